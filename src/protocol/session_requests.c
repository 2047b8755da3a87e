/* session_requests.c - requests between session_request and their last reply.
 *
 * A request is made the text of a frame at once and waits in line as such. The gateway gets a bounded number at a time
 * (a slot each); one whose first of two responses has come holds no slot while it waits for the second, which may take
 * minutes. Found by id (responses) and by token (cancel); each has one deadline in the heap.
 *
 * Every request leaves through end_request or, when it never got in, through refuse: one last reply, one counter. */
#include "protocol/session_private.h"

#include <inttypes.h>
#include <stdio.h>

#define KEPT_BYTES (64u << 20) /* what the frames in line and those kept to be sent again may take; more: QUEUE_FULL */
#define STATUS_LOOKUP_BYTES 4096 /* a first response that ends its request is not looked for in larger payloads */
#define ERROR_SIZE 512

/* --- ends --------------------------------------------------------------------------------------------------------- */

static void end_request(Session *session, Pending *pending, SessionReply reply, uint64_t *counter)
{
    reply.owner = pending->owner;
    reply.token = pending->token;
    reply.last = true;
    ++*counter;
    requests_leave(&session->requests, pending);
    requests_free_pending(&session->requests, pending);
    session->sink.reply(session->sink.context, &reply);
}

/* The host's own errors: {code,message,sent}. `message` is plain text of ours. */
static Slice format_error(char *out, const char *code, bool sent, const char *message)
{
    snprintf(out, ERROR_SIZE, "{\"code\":\"%s\",\"message\":\"%s\",\"sent\":%s}", code, message,
             sent ? "true" : "false");
    return slice_of(out);
}

static void end_with_error(Session *session, Pending *pending, const char *code, const char *message, uint64_t *counter)
{
    char error[ERROR_SIZE];
    SessionReply reply = {.error = format_error(error, code, pending->sent, message)};
    end_request(session, pending, reply, counter);
}

/* Ends a request that never got into the table. */
static void refuse(Session *session, SessionRequest *request, const char *code, const char *message, uint64_t *counter)
{
    char error[ERROR_SIZE];
    SessionReply reply = {.owner = request->owner,
                          .token = request->token,
                          .last = true,
                          .error = format_error(error, code, false, message)};
    ++*counter;
    buffer_free(&request->params);
    session->sink.reply(session->sink.context, &reply);
}

static const char *too_large(char *out, size_t size, size_t frame_bytes, size_t limit_bytes)
{
    snprintf(out, size, "the request has %zu bytes, the gateway takes %zu (policy.maxPayload)", frame_bytes,
             limit_bytes);
    return out;
}

static void cancel(Session *session, Pending *pending)
{
    end_with_error(session, pending, "CANCELLED", "the request was cancelled", &session->status.ended_cancelled);
}

/* --- out ---------------------------------------------------------------------------------------------------------- */

static void send_request(Session *session, Pending *pending)
{
    Requests *requests = &session->requests;
    Buffer text;

    if (buffer_size(&pending->frame) > session->status.max_payload_bytes) {
        char message[160];
        end_with_error(
            session, pending, "TOO_LARGE",
            too_large(message, sizeof message, buffer_size(&pending->frame), session->status.max_payload_bytes),
            &session->status.ended_refused);
        return;
    }
    requests_unlink(requests, pending); /* before the frame goes: the kept bytes are counted by it */
    if (pending->resend) {
        text = buffer_with_headroom(BUFFER_FRAME_HEADROOM);
        buffer_append_slice(&text, buffer_slice(&pending->frame));
    } else {
        text = buffer_take(&pending->frame);
    }
    requests_append(requests, &requests->flight, pending);
    if (text.failed) {
        end_with_error(session, pending, "QUEUE_FULL", "no memory for the request", &session->status.ended_refused);
    } else {
        pending->sent = true;
        session->sink.write(session->sink.context, &text);
    }
    buffer_free(&text);
}

/* Large requests are not piled up in the link: a slow line would take its memory, and its limit ends the connection. */
static bool link_has_room(const Session *session, size_t frame_bytes)
{
    size_t waiting = session->sink.unwritten ? session->sink.unwritten(session->sink.context) : 0;
    return waiting == 0 || waiting + frame_bytes <= SESSION_AHEAD_BYTES;
}

void session_send_waiting(Session *session)
{
    const Requests *requests = &session->requests;
    while (session->state == SESSION_READY && requests->line.first &&
           requests->flight_count - requests->accepted_count < session->config.max_in_flight &&
           link_has_room(session, buffer_size(&requests->line.first->frame))) {
        send_request(session, requests->line.first);
    }
}

void session_request(Session *session, int64_t now_ms, SessionRequest *request)
{
    SessionStatus *status = &session->status;
    Requests *requests = &session->requests;
    bool ready = session->state == SESSION_READY;
    char message[160];

    status->requests++;
    if (session->freeing) {
        refuse(session, request, "CANCELLED", "the session is ending", &status->ended_cancelled);
        return;
    }
    if (!ready && request->wait_ms <= 0) {
        snprintf(message, sizeof message, "not connected to the gateway (%s)", session_state_name(session->state));
        refuse(session, request, "NOT_CONNECTED", message, &status->ended_refused);
        return;
    }
    if (requests_count(requests) >= session->config.max_in_flight + session->config.max_in_line ||
        requests->kept_bytes + buffer_size(&request->params) > KEPT_BYTES) {
        refuse(session, request, "QUEUE_FULL", "too many requests wait for the gateway", &status->ended_refused);
        return;
    }

    Pending *pending = requests_new_pending(requests);
    if (!pending) {
        refuse(session, request, "QUEUE_FULL", "no memory for the request", &status->ended_refused);
        return;
    }
    pending->owner = request->owner;
    pending->token = request->token;
    pending->final = request->final;
    pending->resend = request->resend;
    pending->give_up_ms = session_add_ms(now_ms, request->timeout_ms > 0 ? request->timeout_ms : SESSION_TIMEOUT_MS);
    pending->connect_by_ms = ready && request->wait_ms <= 0 ? now_ms : session_add_ms(now_ms, request->wait_ms);
    session->sink.new_id(session->sink.context, pending->id);
    pending->frame = buffer_take(&request->params);
    frame_wrap_request(&pending->frame, pending->id, request->method);

    size_t size_bytes = buffer_size(&pending->frame);
    bool fits = size_bytes <= status->max_payload_bytes;
    int64_t due_ms =
        ready || pending->connect_by_ms > pending->give_up_ms ? pending->give_up_ms : pending->connect_by_ms;
    if (!pending->frame.failed && fits && requests_enter(requests, pending, due_ms)) {
        session_send_waiting(session);
        return;
    }
    requests_free_pending(requests, pending);
    if (fits) {
        refuse(session, request, "QUEUE_FULL", "no memory for the request", &status->ended_refused);
    } else {
        refuse(session, request, "TOO_LARGE", too_large(message, sizeof message, size_bytes, status->max_payload_bytes),
               &status->ended_refused);
    }
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static bool is_accepted(const Pending *pending, const Frame *frame)
{
    if (!frame->ok || (!pending->final && frame->payload.size > STATUS_LOOKUP_BYTES)) return false;
    return slice_is(json_plain_string(json_find(frame->payload, "status")), "accepted");
}

static SessionReply reply_of(const Frame *frame)
{
    SessionReply reply = {.ok = frame->ok};
    if (frame->ok) {
        reply.payload = frame->payload.size > 0 ? frame->payload : slice_of("null");
    } else {
        reply.error = frame->error.size > 0
                          ? frame->error
                          : slice_of("{\"code\":\"UNKNOWN\",\"message\":\"the gateway gave no reason\"}");
    }
    return reply;
}

/* A response to nothing in flight: late, the second of two, or one that cannot be explained. */
static void answer_to_nobody(Session *session, const Frame *frame, uint64_t id_hash)
{
    SessionStatus *status = &session->status;
    Requests *requests = &session->requests;

    for (size_t i = 0; i < SESSION_RECENT; i++) {
        if (requests->recent[i].id_hash != id_hash || id_hash == 0) continue;
        requests->recent[i].id_hash = 0;
        if (requests->recent[i].second) {
            status->second_responses++;
            return;
        }
        status->late_responses++;
        session_notify(session, (SessionNotice){.type = SESSION_NOTICE_ODD,
                                                .reason = "a response came after its request had ended",
                                                .retry_ms = -1});
        return;
    }
    if (slice_is(frame->id, "invalid")) {
        FrameError error;
        frame_read_error(frame->error, &error);
        session_odd(session, "the gateway could not read a request: %s", error.message);
        return;
    }
    status->unknown_responses++;
    session_notify(
        session,
        (SessionNotice){.type = SESSION_NOTICE_ODD, .reason = "a response to no request of ours", .retry_ms = -1});
}

/* The first of two responses. */
static void accept_request(Session *session, Pending *pending, const Frame *frame)
{
    SessionReply reply = reply_of(frame);
    bool told = pending->told; /* before a disconnect: the caller has heard that already */
    if (pending->accepted) {
        session_odd(session, "a request was accepted twice");
        return;
    }
    pending->accepted = pending->told = true;
    session->requests.accepted_count++;
    reply.owner = pending->owner;
    reply.token = pending->token;
    if (!told) session->sink.reply(session->sink.context, &reply);
}

void session_answer(Session *session, const Frame *frame)
{
    SessionStatus *status = &session->status;
    Requests *requests = &session->requests;
    uint64_t id_hash = hash_of_slice(frame->id);
    Pending *pending = requests_find_in_flight(requests, frame->id, id_hash);

    if (!pending) {
        answer_to_nobody(session, frame, id_hash);
        return;
    }
    bool accepted = is_accepted(pending, frame);
    if (accepted && pending->final) {
        accept_request(session, pending, frame);
    } else {
        if (accepted) requests_remember(requests, pending, true);
        end_request(session, pending, reply_of(frame), frame->ok ? &status->ended_ok : &status->ended_error);
    }
    session_send_waiting(session);
}

/* --- ends without an answer --------------------------------------------------------------------------------------- */

void session_cancel(Session *session, int64_t now_ms, unsigned owner, uint64_t token)
{
    (void)now_ms;
    Requests *requests = &session->requests;
    Pending *pending = requests_find(requests, owner, token);
    if (!pending) return;
    if (pending->list == &requests->flight) requests_remember(requests, pending, false);
    cancel(session, pending);
    session_send_waiting(session);
}

static void doom_all(Requests *requests, PendingList *list)
{
    while (list->first) {
        Pending *pending = list->first;
        requests_unlink(requests, pending);
        requests_append(requests, &requests->doomed, pending);
    }
}

void session_cancel_requests(Session *session)
{
    Requests *requests = &session->requests;
    doom_all(requests, &requests->flight);
    doom_all(requests, &requests->line);
    while (requests->doomed.first)
        cancel(session, requests->doomed.first);
}

void session_expire_requests(Session *session, int64_t now_ms)
{
    Requests *requests = &session->requests;
    HeapNode *node = NULL;
    while ((node = heap_pop_due(&requests->deadlines, now_ms))) {
        Pending *pending = HEAP_OWNER(node, Pending, deadline);
        if (now_ms >= pending->give_up_ms) {
            if (pending->list == &requests->flight) requests_remember(requests, pending, false);
            end_with_error(session, pending, "TIMEOUT",
                           pending->sent ? "the gateway did not answer in time"
                                         : "the request could not be sent in time",
                           &session->status.ended_timeout);
        } else if (session->state == SESSION_READY) {
            heap_add(&requests->deadlines, node, pending->give_up_ms); /* one has just left the heap: it has room */
        } else {
            end_with_error(session, pending, "NOT_CONNECTED", "the gateway could not be reached in time",
                           &session->status.ended_refused);
        }
    }
    session_send_waiting(session);
}

/* What may be sent again goes back to the head of the line, in its old order. */
static void sort_flight(Requests *requests)
{
    Pending *previous = NULL;
    for (Pending *pending = requests->flight.last; pending; pending = previous) {
        previous = pending->previous;
        requests_unlink(requests, pending);
        requests_prepend(requests, pending->resend ? &requests->line : &requests->doomed, pending);
    }
}

static void sort_line(Requests *requests, int64_t now_ms)
{
    Pending *next = NULL;
    for (Pending *pending = requests->line.first; pending; pending = next) {
        next = pending->next;
        if (pending->resend) pending->connect_by_ms = HEAP_NEVER;
        if (pending->connect_by_ms > now_ms) {
            int64_t due_ms =
                pending->connect_by_ms < pending->give_up_ms ? pending->connect_by_ms : pending->give_up_ms;
            heap_add(&requests->deadlines, &pending->deadline, due_ms); /* moves it */
        } else {
            requests_unlink(requests, pending);
            requests_append(requests, &requests->doomed, pending);
        }
    }
}

void session_disconnect_requests(Session *session, int64_t now_ms)
{
    Requests *requests = &session->requests;
    memset(requests->recent, 0, sizeof requests->recent);
    sort_flight(requests);
    sort_line(requests, now_ms);
    while (requests->doomed.first) {
        Pending *pending = requests->doomed.first;
        end_with_error(session, pending, "DISCONNECTED",
                       pending->sent ? "the connection ended before the answer came"
                                     : "the connection ended before the request was sent",
                       &session->status.ended_disconnected);
    }
}

void session_free_requests(Session *session)
{
    Requests *requests = &session->requests;
    while (requests_count(requests) > 0)
        session_cancel_requests(session);
    requests_free(requests);
}
