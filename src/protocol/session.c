/* session.c - the state machine drawn in session.h: what each input does in each state.
 *
 * All ways out of a connection, or of the attempt at one, go through end_attempt: it asks the backoff, tells the host,
 * and ends what is pending. The link's side is tracked apart from the state (SessionLink), so that the session can be
 * WAITING or PAUSED while the old connection still closes; the next is dialed after session_closed. */
#include "protocol/session_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CHALLENGE_MAX_BYTES 16384
#define HELLO_MAX_BYTES (4u << 20)

const char *session_state_name(SessionState state)
{
    switch (state) {
    case SESSION_STOPPED: return "stopped";
    case SESSION_DIALING: return "connecting";
    case SESSION_CHALLENGE:
    case SESSION_GREETING: return "handshake";
    case SESSION_READY: return "ready";
    case SESSION_WAITING: return "waiting";
    case SESSION_PAUSED: return "paused";
    }
    return "unknown";
}

/* --- life --------------------------------------------------------------------------------------------------------- */

Session *session_new(const SessionConfig *config, const SessionSink *sink)
{
    Session *session = calloc(1, sizeof *session);
    if (!session) return NULL;
    session->config = *config;
    session->sink = *sink;
    if (session->config.max_in_flight == 0) session->config.max_in_flight = SESSION_IN_FLIGHT;
    if (session->config.max_in_line == 0) session->config.max_in_line = SESSION_IN_LINE;
    session->config.token = session->config.password = session->config.device_token =
        NULL; /* only the copies are used */
    session->secrets.token = session_copy_secret(config->token);
    session->secrets.password = session_copy_secret(config->password);
    session->secrets.device_token = session_copy_secret(config->device_token);
    session->hello = buffer_with_headroom(0);
    session->retry_at_ms = HEAP_NEVER;
    session->status.last_seq = -1;
    session->status.max_payload_bytes = SESSION_MAX_PAYLOAD;
    session->status.tick_interval_ms = SESSION_TICK_MS;
    return session;
}

void session_free(Session *session)
{
    if (!session) return;
    session->freeing = true;
    session->state = SESSION_STOPPED;
    session_free_requests(session);
    session_wipe_secret(&session->secrets.token);
    session_wipe_secret(&session->secrets.password);
    session_wipe_secret(&session->secrets.device_token);
    buffer_free(&session->hello);
    free(session);
}

static void forget_refused_secrets(Session *session)
{
    session->prefer_device_token = false;
    session->secret_retried = false;
}

void session_set_secrets(Session *session, const char *token, const char *password)
{
    session_wipe_secret(&session->secrets.token);
    session_wipe_secret(&session->secrets.password);
    session->secrets.token = session_copy_secret(token);
    session->secrets.password = session_copy_secret(password);
    forget_refused_secrets(session);
}

/* --- transitions -------------------------------------------------------------------------------------------------- */

static void enter(Session *session, SessionState state, int64_t now_ms)
{
    session->state = state;
    session->status.since_ms = now_ms;
}

static void hang_up(Session *session, unsigned code, const char *reason)
{
    if (session->link != LINK_UP) return;
    session->link = LINK_CLOSING;
    session->sink.close(session->sink.context, code, reason);
}

static void dial(Session *session, int64_t now_ms)
{
    enter(session, SESSION_DIALING, now_ms);
    session->retry_at_ms = HEAP_NEVER;
    session->shutdown_announced = false;
    session->status.attempts++;
    session_notify(session, (SessionNotice){.type = SESSION_NOTICE_DIALING, .retry_ms = -1});
    /* Unless the notice has stopped the session, or stopped and started it. */
    if (session->state != SESSION_DIALING || session->link != LINK_NONE) return;
    session->link = LINK_UP;
    session->sink.dial(session->sink.context);
}

/* Dials, or when the last connection has closed. */
static void dial_soon(Session *session, int64_t now_ms)
{
    if (session->link == LINK_NONE) {
        dial(session, now_ms);
        return;
    }
    if (session->state != SESSION_WAITING) enter(session, SESSION_WAITING, now_ms);
    session->retry_at_ms = now_ms;
}

static void end_attempt(Session *session, int64_t now_ms, const SessionEnding *ending)
{
    bool was_ready = session->state == SESSION_READY;
    int64_t ready_ms = was_ready ? now_ms - session->status.since_ms : 0;
    BackoffReason backoff = session->shutdown_announced ? BACKOFF_RESTARTING : ending->backoff;
    bool by_itself = !ending->pause || backoff == BACKOFF_PAIRING;
    int64_t retry_ms = -1;

    if (by_itself) {
        retry_ms = backoff_next(&session->backoff, backoff, ready_ms, ending->retry_after_ms,
                                session->sink.random(session->sink.context));
    }
    session->retry_at_ms = by_itself ? session_add_ms(now_ms, retry_ms) : HEAP_NEVER;
    enter(session, ending->pause ? SESSION_PAUSED : SESSION_WAITING, now_ms);
    uint64_t attempt = session->status.attempts;
    hang_up(session, ending->code ? ending->code : CLOSE_NORMAL, ending->error ? "" : ending->reason);

    SessionNotice notice = {.type = SESSION_NOTICE_CLOSED,
                            .code = ending->code,
                            .reason = ending->reason,
                            .error = ending->error,
                            .hint = ending->hint[0] ? ending->hint : NULL,
                            .retry_ms = retry_ms};
    session_notify(session, notice);
    if (ending->pause && session->state == SESSION_PAUSED && session->status.attempts == attempt) {
        notice.type = SESSION_NOTICE_PAUSED;
        session_notify(session, notice);
    }
    if (was_ready) session_disconnect_requests(session, now_ms);
}

/* The gateway does not speak our protocol, or not in time. */
static void give_up(Session *session, int64_t now_ms, unsigned code, const char *reason)
{
    SessionEnding ending = {.code = code, .backoff = BACKOFF_FAILED, .retry_after_ms = -1};
    snprintf(ending.reason, sizeof ending.reason, "%s", reason);
    end_attempt(session, now_ms, &ending);
}

void session_start(Session *session, int64_t now_ms)
{
    if (session->state != SESSION_STOPPED || session->freeing) return;
    session->backoff = (Backoff){0};
    forget_refused_secrets(session);
    dial_soon(session, now_ms);
}

void session_resume(Session *session, int64_t now_ms)
{
    if (session->state != SESSION_WAITING && session->state != SESSION_PAUSED) return;
    forget_refused_secrets(session);
    dial_soon(session, now_ms);
}

void session_stop(Session *session, int64_t now_ms)
{
    enter(session, SESSION_STOPPED, now_ms);
    session->retry_at_ms = HEAP_NEVER;
    hang_up(session, CLOSE_NORMAL, "");
    session_cancel_requests(session);
}

/* --- the link ----------------------------------------------------------------------------------------------------- */

void session_opened(Session *session, int64_t now_ms)
{
    if (session->state != SESSION_DIALING || session->link != LINK_UP) return;
    enter(session, SESSION_CHALLENGE, now_ms);
    session->handshake_by_ms = now_ms + SESSION_HANDSHAKE_MS;
    session->alive_ms = now_ms;
    session->silent_ms = 0;
    session->reading = true;
}

static const char *reason_of_code(unsigned code)
{
    switch (code) {
    case 0: return "the gateway could not be reached";
    case CLOSE_NORMAL: return "the gateway closed the connection";
    case CLOSE_RESTART: return "the gateway restarts";
    case CLOSE_TRY_LATER: return "the gateway is not ready yet";
    default: return "the connection ended";
    }
}

void session_closed(Session *session, int64_t now_ms, const SessionClose *how)
{
    bool expected = session->link == LINK_CLOSING;
    if (session->link == LINK_NONE) return;
    session->link = LINK_NONE;
    if (expected) {
        if (session->retry_at_ms <= now_ms) dial(session, now_ms);
        return;
    }

    SessionEnding ending = {
        .code = how->code, .backoff = BACKOFF_FAILED, .retry_after_ms = how->retry_after_ms, .pause = how->fatal};
    if (how->code == CLOSE_RESTART) ending.backoff = BACKOFF_RESTARTING;
    if (how->code == CLOSE_TRY_LATER) ending.backoff = BACKOFF_NOT_YET;
    session_format(session, ending.reason, sizeof ending.reason, "%.*s", SLICE_ARGS(how->reason));
    if (!ending.reason[0]) snprintf(ending.reason, sizeof ending.reason, "%s", reason_of_code(how->code));
    end_attempt(session, now_ms, &ending);
}

void session_alive(Session *session, int64_t now_ms)
{
    session->alive_ms = now_ms;
    session->silent_ms = 0;
}

void session_drained(Session *session)
{
    session_send_waiting(session);
}

void session_reading(Session *session, int64_t now_ms, bool reading)
{
    if (reading == session->reading) return;
    session->reading = reading;
    if (reading) {
        session->alive_ms = now_ms - session->silent_ms;
    } else {
        session->silent_ms = now_ms - session->alive_ms;
    }
}

/* --- the handshake ------------------------------------------------------------------------------------------------ */

static void read_challenge(Session *session, int64_t now_ms, Slice text)
{
    Frame frame;
    if (text.size > CHALLENGE_MAX_BYTES) {
        give_up(session, now_ms, CLOSE_TOO_BIG, "the gateway began with a frame that is too large for a challenge");
        return;
    }
    if (!json_validate(text, NULL) || frame_parse(text, &frame) || frame.type != FRAME_EVENT ||
        !slice_is(frame.event, "connect.challenge")) {
        give_up(session, now_ms, CLOSE_PROTOCOL_ERROR, "the peer did not begin with a challenge: is it a gateway?");
        return;
    }
    Buffer connect = buffer_with_headroom(BUFFER_FRAME_HEADROOM);
    SessionEnding ending;
    if (session_write_connect(session, frame.payload, &connect, &ending)) {
        enter(session, SESSION_GREETING, now_ms);
        session->sink.write(session->sink.context, &connect);
    } else {
        end_attempt(session, now_ms, &ending);
    }
    buffer_free(&connect);
}

static void refused(Session *session, int64_t now_ms, Slice raw)
{
    FrameError error;
    SessionEnding ending;
    bool drop_device_token = false;

    frame_read_error(raw, &error);
    session_clean_error(session, &error);
    session_judge_refusal(session, &error, raw, &ending, &drop_device_token);
    if (drop_device_token) {
        session_wipe_secret(&session->secrets.device_token);
        session->sink.device_token(session->sink.context, NULL);
    }
    end_attempt(session, now_ms, &ending);
}

static void ready(Session *session, int64_t now_ms, Slice hello)
{
    SessionStatus *status = &session->status;
    const char *device_token = NULL;
    const char *problem = session_read_hello(session, hello, &device_token);
    if (problem) {
        give_up(session, now_ms, CLOSE_PROTOCOL_ERROR, problem);
        return;
    }
    enter(session, SESSION_READY, now_ms);
    session->secret_retried = false;
    session->alive_ms = now_ms;
    status->connection++;
    status->readies++;
    status->last_seq = -1;
    status->last_tick_ms = now_ms;
    if (device_token) session->sink.device_token(session->sink.context, device_token);
    if (session->state == SESSION_READY) {
        session_notify(session, (SessionNotice){.type = SESSION_NOTICE_READY, .retry_ms = -1});
    }
    session_send_waiting(session);
}

static void read_greeting(Session *session, int64_t now_ms, Slice text)
{
    Frame frame;
    if (text.size > HELLO_MAX_BYTES) {
        give_up(session, now_ms, CLOSE_TOO_BIG, "the gateway's answer to connect is too large");
        return;
    }
    if (!json_validate(text, NULL) || frame_parse(text, &frame)) {
        give_up(session, now_ms, CLOSE_PROTOCOL_ERROR, "the gateway's answer to connect is no frame");
        return;
    }
    if (frame.type != FRAME_RESPONSE || !slice_is(frame.id, session->connect_id)) {
        session_odd(session, "a frame before the answer to connect: %.*s", SLICE_ARGS(frame.type_name));
    } else if (frame.ok) {
        ready(session, now_ms, frame.payload);
    } else {
        refused(session, now_ms, frame.error);
    }
}

/* --- ready -------------------------------------------------------------------------------------------------------- */

/* A gap is a jump between two numbered events of one connection: some have no number, and the first may be any. */
static void check_seq(Session *session, int64_t seq)
{
    SessionStatus *status = &session->status;
    int64_t last = status->last_seq;
    if (last >= 0 && seq <= last) {
        session_odd(session, "event number %" PRId64 " came after %" PRId64, seq, last);
        return;
    }
    status->last_seq = seq;
    if (last < 0 || seq == last + 1) return;
    status->gaps++;
    status->missed_events += (uint64_t)(seq - last - 1);
    session_notify(session,
                   (SessionNotice){.type = SESSION_NOTICE_GAP, .expected = last + 1, .received = seq, .retry_ms = -1});
}

static void shutdown_announced(Session *session, Slice payload)
{
    char reason[256];
    session->shutdown_announced = true;
    json_copy_string(json_find(payload, "reason"), reason, sizeof reason);
    session_clean(session, reason);
    session_notify(session, (SessionNotice){.type = SESSION_NOTICE_SHUTDOWN, .reason = reason, .retry_ms = -1});
}

static void read_event(Session *session, int64_t now_ms, const Frame *frame)
{
    session->status.events++;
    if (frame->seq >= 0) check_seq(session, frame->seq);
    if (slice_is(frame->event, "tick")) session->status.last_tick_ms = now_ms;
    if (slice_is(frame->event, "shutdown")) shutdown_announced(session, frame->payload);
    if (session->state == SESSION_READY)
        session->sink.event(session->sink.context, frame); /* a notice may have stopped it */
}

static void read_frame(Session *session, int64_t now_ms, Slice text)
{
    Frame frame;
    const char *problem = frame_parse(text, &frame);
    if (problem) {
        session_odd(session, "a message that is no frame: %s", problem);
        return;
    }
    switch (frame.type) {
    case FRAME_EVENT: read_event(session, now_ms, &frame); break;
    case FRAME_RESPONSE: session_answer(session, &frame); break;
    case FRAME_REQUEST: session_odd(session, "a request from the gateway: %.*s", SLICE_ARGS(frame.method)); break;
    case FRAME_OTHER: session_odd(session, "a frame of unknown type: %.*s", SLICE_ARGS(frame.type_name)); break;
    }
}

void session_text(Session *session, int64_t now_ms, Slice text)
{
    session_alive(session, now_ms);
    switch (session->state) {
    case SESSION_CHALLENGE: read_challenge(session, now_ms, text); break;
    case SESSION_GREETING: read_greeting(session, now_ms, text); break;
    case SESSION_READY: read_frame(session, now_ms, text); break;
    case SESSION_STOPPED:
    case SESSION_DIALING:
    case SESSION_WAITING:
    case SESSION_PAUSED: break; /* what a connection that we have given up still says */
    }
}

/* --- time --------------------------------------------------------------------------------------------------------- */

/* When the state by itself has something to do. */
static int64_t state_due_ms(const Session *session)
{
    switch (session->state) {
    case SESSION_CHALLENGE:
    case SESSION_GREETING: return session->handshake_by_ms;
    case SESSION_READY:
        return session->reading ? session_add_ms(session->alive_ms, 2 * session->status.tick_interval_ms) : HEAP_NEVER;
    case SESSION_WAITING:
    case SESSION_PAUSED: return session->link == LINK_NONE ? session->retry_at_ms : HEAP_NEVER;
    case SESSION_STOPPED:
    case SESSION_DIALING: break; /* the link has its own time limit */
    }
    return HEAP_NEVER;
}

static void state_is_due(Session *session, int64_t now_ms)
{
    switch (session->state) {
    case SESSION_CHALLENGE: give_up(session, now_ms, CLOSE_NORMAL, "no challenge within 15 s: is it a gateway?"); break;
    case SESSION_GREETING:
        give_up(session, now_ms, CLOSE_NORMAL, "the gateway did not answer connect within 15 s");
        break;
    case SESSION_READY: give_up(session, now_ms, CLOSE_SILENT, "the gateway was silent for two tick intervals"); break;
    case SESSION_WAITING:
    case SESSION_PAUSED: dial(session, now_ms); break;
    case SESSION_STOPPED:
    case SESSION_DIALING: break;
    }
}

void session_time(Session *session, int64_t now_ms)
{
    if (state_due_ms(session) <= now_ms) state_is_due(session, now_ms);
    session_expire_requests(session, now_ms);
}

int64_t session_due_ms(const Session *session)
{
    int64_t state_ms = state_due_ms(session);
    int64_t request_ms = heap_next_ms(&session->requests.deadlines);
    return state_ms < request_ms ? state_ms : request_ms;
}

/* --- to look at --------------------------------------------------------------------------------------------------- */

void session_status(const Session *session, SessionStatus *out)
{
    const Requests *requests = &session->requests;
    *out = session->status;
    out->state = session->state;
    /* Those that a callback finds about to end have not ended. */
    out->in_flight = requests->flight_count + requests->doomed_count;
    out->in_line = requests->line_count;
}

Slice session_hello(const Session *session)
{
    return session->state == SESSION_READY ? buffer_slice(&session->hello) : (Slice){0};
}
