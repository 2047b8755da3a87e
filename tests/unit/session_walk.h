/* session_walk.h - reads bytes as inputs to a session, plays link, gateway and caller, and checks after each input what
 * must hold whatever happened. For random walks and for the fuzzer. Ends the process when something does not hold. */
#ifndef GATEHOUSE_TESTS_SESSION_WALK_H
#define GATEHOUSE_TESTS_SESSION_WALK_H

#include "protocol/heap.h"
#include "protocol/session.h"

#include <stdio.h>
#include <stdlib.h>

#define WALK_TOKENS 1024 /* requests of one walk; later ones are not made */
#define WALK_IDS 32      /* of written requests, to be answered */

#define WALK_CHECK(condition)                                                              \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                       \
        }                                                                                  \
    } while (0)

typedef enum { WALK_LINK_NONE, WALK_LINK_DIALING, WALK_LINK_OPEN, WALK_LINK_CLOSING } WalkLink;
typedef enum { WALK_UNUSED, WALK_PENDING, WALK_TOLD, WALK_ENDED } WalkToken;

typedef struct {
    const uint8_t *at, *end; /* the inputs */
    Session *session;
    int64_t now_ms;
    WalkLink link;
    bool attempt; /* a DIALING notice without its CLOSED */
    bool reading;
    bool has_token; /* the session knows "secret-token", so it must not repeat it */
    WalkToken tokens[WALK_TOKENS];
    bool final[WALK_TOKENS];
    size_t token_count, unfinished;
    char ids[WALK_IDS][64];
    size_t id_count;
    int64_t seq;
    unsigned meddling; /* what callbacks do besides; 0: nothing */
    unsigned depth;    /* of callbacks that meddle */
} Walk;

static inline unsigned walk_byte(Walk *walk)
{
    return walk->at < walk->end ? *walk->at++ : 0;
}

/* --- the caller ----------------------------------------------------------------------------------------------------- */

static inline void walk_request(Walk *walk)
{
    unsigned flags = walk_byte(walk);
    uint64_t token = walk->token_count;
    if (token == WALK_TOKENS) return;
    walk->token_count++;
    walk->unfinished++;
    walk->tokens[token] = WALK_PENDING;
    walk->final[token] = flags & 1;
    SessionRequest request = {.token = token,
                              .method = slice_of(flags & 2 ? "agent" : "chat.history"),
                              .params = buffer_with_headroom(BUFFER_FRAME_HEADROOM),
                              .timeout_ms = flags & 4 ? 1 + 300 * (int64_t)(flags >> 5) : 0,
                              .wait_ms = flags & 8 ? 1 + 1000 * (int64_t)(flags >> 5) : 0,
                              .final = flags & 1,
                              .resend = flags & 16};
    if (flags & 32) buffer_append_text(&request.params, "{\"text\":\"");
    for (unsigned i = 0; flags & 32 && i < flags * 8; i++)
        buffer_append_char(&request.params, 'x');
    if (flags & 32) buffer_append_text(&request.params, "\"}");
    session_request(walk->session, walk->now_ms, &request);
}

static inline void walk_stop(Walk *walk)
{
    walk->attempt = false;
    session_stop(walk->session, walk->now_ms);
}

static inline void walk_meddle(Walk *walk)
{
    if (walk->meddling == 0 || walk->depth > 3) return;
    walk->depth++;
    switch (walk->meddling) {
    case 1: walk_request(walk); break;
    case 2: session_cancel(walk->session, walk->now_ms, 0, walk_byte(walk)); break;
    case 3: walk_stop(walk); break;
    case 4: session_start(walk->session, walk->now_ms); break;
    case 5: session_resume(walk->session, walk->now_ms); break;
    case 6:
        walk_request(walk);
        session_cancel(walk->session, walk->now_ms, 0, walk->token_count - 1 - walk_byte(walk) % 4);
        break;
    default: break;
    }
    walk->depth--;
}

/* --- the sink ------------------------------------------------------------------------------------------------------- */

static inline void walk_on_dial(void *context)
{
    Walk *walk = context;
    WALK_CHECK(walk->link == WALK_LINK_NONE);
    walk->link = WALK_LINK_DIALING;
}

static inline void walk_on_write(void *context, Buffer *text)
{
    Walk *walk = context;
    char *id = walk->ids[walk->id_count++ % WALK_IDS];
    WALK_CHECK(walk->link == WALK_LINK_OPEN);
    WALK_CHECK(json_validate(buffer_slice(text), NULL));
    WALK_CHECK(json_copy_string(json_find(buffer_slice(text), "id"), id, sizeof walk->ids[0]));
    buffer_free(text);
}

static inline void walk_on_close(void *context, unsigned code, const char *reason)
{
    Walk *walk = context;
    WALK_CHECK(walk->link == WALK_LINK_DIALING || walk->link == WALK_LINK_OPEN);
    WALK_CHECK(code >= 1000 && code < 5000 && reason);
    walk->link = WALK_LINK_CLOSING;
}

static inline void walk_on_event(void *context, const Frame *frame)
{
    Walk *walk = context;
    SessionStatus status;
    session_status(walk->session, &status);
    WALK_CHECK(status.state == SESSION_READY && frame->type == FRAME_EVENT);
    walk_meddle(walk);
}

static inline void walk_on_reply(void *context, const SessionReply *reply)
{
    Walk *walk = context;
    WALK_CHECK(reply->token < walk->token_count);
    WalkToken *token = &walk->tokens[reply->token];
    if (reply->last) {
        WALK_CHECK(*token == WALK_PENDING || *token == WALK_TOLD);
        *token = WALK_ENDED;
        walk->unfinished--;
    } else {
        WALK_CHECK(*token == WALK_PENDING && walk->final[reply->token] && reply->ok);
        *token = WALK_TOLD;
    }
    WALK_CHECK((reply->ok ? reply->payload : reply->error).size > 0);
    walk_meddle(walk);
}

static inline void walk_on_notice(void *context, const SessionNotice *notice)
{
    Walk *walk = context;
    WALK_CHECK(notice->reason);
    if (walk->has_token) {
        WALK_CHECK(!strstr(notice->reason, "secret") && !(notice->hint && strstr(notice->hint, "secret")));
        WALK_CHECK(!(notice->error && strstr(notice->error->message, "secret")));
    }
    if (notice->type == SESSION_NOTICE_DIALING) {
        WALK_CHECK(!walk->attempt);
        walk->attempt = true;
    }
    if (notice->type == SESSION_NOTICE_CLOSED) {
        WALK_CHECK(walk->attempt);
        walk->attempt = false;
    }
    if (notice->type == SESSION_NOTICE_GAP) WALK_CHECK(notice->received > notice->expected);
    walk_meddle(walk);
}

static inline void walk_on_device_token(void *context, const char *token)
{
    (void)context;
    WALK_CHECK(!token || token[0]);
}

static inline void walk_on_new_id(void *context, char id[37])
{
    Walk *walk = context;
    snprintf(id, 37, "00000000-0000-4000-8000-%012zu", walk->token_count + 1000 * (walk->id_count + 1));
}

static inline uint32_t walk_on_random(void *context)
{
    return walk_byte(context) << 24;
}

/* --- the link and the gateway --------------------------------------------------------------------------------------- */

static inline void walk_text(Walk *walk, const char *text, size_t size)
{
    if (walk->link != WALK_LINK_OPEN && walk->link != WALK_LINK_CLOSING) return;
    char *copy = malloc(size + 1); /* its own block, so that a read beyond it is seen */
    WALK_CHECK(copy);
    memcpy(copy, text, size);
    session_text(walk->session, walk->now_ms, slice_make(copy, size));
    free(copy);
}

static inline void walk_answer(Walk *walk, const char *rest)
{
    char text[2048];
    size_t newest = walk->id_count < WALK_IDS ? walk->id_count : WALK_IDS;
    if (newest == 0) return;
    size_t which = (walk->id_count - 1 - walk_byte(walk) % newest) % WALK_IDS;
    int size = snprintf(text, sizeof text, "{\"type\":\"res\",\"id\":\"%s\",%s}", walk->ids[which], rest);
    walk_text(walk, text, (size_t)size);
}

static inline void walk_event(Walk *walk)
{
    static const char *const names[] = {"chat", "tick", "shutdown", "connect.challenge", "secret-token"};
    char text[512];
    unsigned how = walk_byte(walk);
    walk->seq += how % 8 == 0 ? -3 : how % 4 == 0 ? 5 : 1;
    int size = snprintf(text, sizeof text,
                        "{\"type\":\"event\",\"event\":\"%s\",\"payload\":{\"reason\":\"secret-token\"},\"seq\":%lld}",
                        names[how % 5], (long long)walk->seq);
    walk_text(walk, text, (size_t)size);
}

static inline void walk_closed(Walk *walk)
{
    static const unsigned codes[] = {0, 1000, 1006, 1008, 1012, 1013};
    unsigned how = walk_byte(walk);
    if (walk->link == WALK_LINK_NONE) return;
    walk->link = WALK_LINK_NONE;
    session_closed(walk->session, walk->now_ms,
                   &(SessionClose){.code = codes[how % 6],
                                   .reason = slice_of(how & 64 ? "secret-token\x1b" : ""),
                                   .retry_after_ms = how & 32 ? (int64_t)how : -1,
                                   .fatal = how % 16 == 15});
}

static inline void walk_refuse(Walk *walk)
{
    static const char *const errors[] = {
        "{\"code\":\"UNAVAILABLE\",\"retryable\":true,\"retryAfterMs\":0}",
        "{\"code\":\"NOT_PAIRED\",\"message\":\"secret-token\",\"details\":{\"code\":\"PAIRING_REQUIRED\"}}",
        "{\"code\":\"X\",\"details\":{\"code\":\"AUTH_TOKEN_MISMATCH\",\"canRetryWithDeviceToken\":true}}",
        "{\"code\":\"X\",\"details\":{\"code\":\"AUTH_DEVICE_TOKEN_MISMATCH\"}}",
        "{\"code\":7,\"message\":\"secret-token\"}",
    };
    char rest[512];
    snprintf(rest, sizeof rest, "\"ok\":false,\"error\":%s", errors[walk_byte(walk) % 5]);
    walk_answer(walk, rest);
}

/* The next step toward READY, whatever it is. */
static inline void walk_onward(Walk *walk)
{
    static const char challenge[] = "{\"type\":\"event\",\"event\":\"connect.challenge\",\"payload\":"
                                    "{\"nonce\":\"n\",\"ts\":1}}";
    static const char hello[] = "{\"type\":\"res\",\"id\":\"%s\",\"ok\":true,\"payload\":{\"type\":\"hello-ok\","
                                "\"protocol\":4,\"auth\":{\"deviceToken\":\"secret-%u\"},"
                                "\"policy\":{\"maxPayload\":%u}}}";
    char text[512];
    SessionStatus status;
    session_status(walk->session, &status);
    switch (status.state) {
    case SESSION_STOPPED: session_start(walk->session, walk->now_ms); break;
    case SESSION_DIALING:
        walk->link = WALK_LINK_OPEN;
        walk->reading = true;
        session_opened(walk->session, walk->now_ms);
        break;
    case SESSION_CHALLENGE: walk_text(walk, challenge, sizeof challenge - 1); break;
    case SESSION_GREETING:
        snprintf(text, sizeof text, hello, walk->ids[(walk->id_count - 1) % WALK_IDS], walk_byte(walk),
                 walk_byte(walk) % 2 ? 1024u : 65536u);
        walk_text(walk, text, strlen(text));
        break;
    case SESSION_READY: walk_event(walk); break;
    case SESSION_WAITING:
    case SESSION_PAUSED:
        if (walk->link == WALK_LINK_CLOSING) {
            walk_closed(walk);
        } else {
            session_resume(walk->session, walk->now_ms);
        }
        break;
    }
}

static inline void walk_time(Walk *walk, int64_t ms)
{
    walk->now_ms += ms;
    session_time(walk->session, walk->now_ms);
    WALK_CHECK(session_due_ms(walk->session) > walk->now_ms);
}

static inline void walk_step(Walk *walk)
{
    unsigned length = 0;
    int64_t due_ms = session_due_ms(walk->session);
    unsigned step = walk_byte(walk) % 64;
    switch (step) {
    case 0: walk_stop(walk); break;
    case 1: session_start(walk->session, walk->now_ms); break;
    case 2: session_resume(walk->session, walk->now_ms); break;
    case 3: walk_closed(walk); break;
    case 4: walk_refuse(walk); break;
    case 5: walk_answer(walk, "\"ok\":true,\"payload\":{\"status\":\"accepted\"}"); break;
    case 6:
    case 7: walk_answer(walk, "\"ok\":true,\"payload\":{\"status\":\"ok\"}"); break;
    case 8: walk_answer(walk, "\"result\":[]"); break;
    case 9: walk_answer(walk, "\"ok\":false"); break;
    case 10: session_cancel(walk->session, walk->now_ms, 0, walk_byte(walk)); break;
    case 11: walk_time(walk, walk_byte(walk)); break;
    case 12: walk_time(walk, walk_byte(walk) * (int64_t)walk_byte(walk)); break;
    case 13: walk_time(walk, due_ms != HEAP_NEVER && due_ms > walk->now_ms ? due_ms - walk->now_ms : 0); break;
    case 14:
        walk->reading = !walk->reading;
        session_reading(walk->session, walk->now_ms, walk->reading);
        break;
    case 15: session_alive(walk->session, walk->now_ms); break;
    case 16:
        walk->has_token = walk_byte(walk) % 2;
        session_set_secrets(walk->session, walk->has_token ? "secret-token" : NULL, NULL);
        break;
    case 17: walk->meddling = walk_byte(walk) % 32; break;
    case 18: /* raw bytes */
        length = walk_byte(walk);
        if (length > walk->end - walk->at) length = (unsigned)(walk->end - walk->at);
        walk_text(walk, (const char *)walk->at, length);
        walk->at += length;
        break;
    default:
        if (step < 32) {
            walk_request(walk);
        } else {
            walk_onward(walk);
        }
        break;
    }
}

static inline void walk_check(const Walk *walk)
{
    SessionStatus s;
    session_status(walk->session, &s);
    uint64_t ended =
        s.ended_ok + s.ended_error + s.ended_timeout + s.ended_disconnected + s.ended_refused + s.ended_cancelled;
    bool connecting = s.state >= SESSION_DIALING && s.state <= SESSION_READY;
    WALK_CHECK(s.requests == ended + s.in_flight + s.in_line);
    WALK_CHECK(s.requests == walk->token_count);
    WALK_CHECK(s.in_flight + s.in_line == walk->unfinished);
    WALK_CHECK(s.state == SESSION_READY || s.in_flight == 0);
    WALK_CHECK(walk->attempt == connecting);
    WALK_CHECK(connecting == (walk->link == WALK_LINK_DIALING || walk->link == WALK_LINK_OPEN));
    WALK_CHECK((session_hello(walk->session).size > 0) == (s.state == SESSION_READY));
    WALK_CHECK(s.attempts >= s.readies && s.readies == s.connection);
}

/* Walks over all bytes. `sum`, if not NULL, gets the counters added. */
static inline void walk_run(const uint8_t *bytes, size_t size, SessionStatus *sum)
{
    Walk *walk = calloc(1, sizeof *walk);
    const uint8_t seed[IDENTITY_SEED_SIZE] = {1};
    Identity *identity = identity_new(seed);
    WALK_CHECK(walk && identity);
    walk->at = bytes;
    walk->end = bytes + size;
    walk->now_ms = 1000;
    unsigned how = walk_byte(walk);
    walk->has_token = how & 2;
    SessionConfig config = {.identity = how & 1 ? identity : NULL,
                            .token = walk->has_token ? "secret-token" : NULL,
                            .device_token = how & 4 ? "secret-device" : NULL,
                            .device_token_retry = how & 8,
                            .max_in_flight = 1 + (how >> 4) % 4,
                            .max_in_line = 1 + (how >> 6) * 4};
    SessionSink sink = {.context = walk,
                        .dial = walk_on_dial,
                        .write = walk_on_write,
                        .close = walk_on_close,
                        .event = walk_on_event,
                        .reply = walk_on_reply,
                        .notice = walk_on_notice,
                        .device_token = walk_on_device_token,
                        .new_id = walk_on_new_id,
                        .random = walk_on_random};
    walk->session = session_new(&config, &sink);
    WALK_CHECK(walk->session);
    while (walk->at < walk->end) {
        walk_step(walk);
        walk_check(walk);
    }
    if (sum) {
        SessionStatus s;
        session_status(walk->session, &s);
        sum->events += s.events;
        sum->gaps += s.gaps;
        sum->readies += s.readies;
        sum->ended_ok += s.ended_ok;
        sum->ended_error += s.ended_error;
        sum->ended_timeout += s.ended_timeout;
        sum->ended_disconnected += s.ended_disconnected;
        sum->ended_refused += s.ended_refused;
        sum->ended_cancelled += s.ended_cancelled;
        sum->late_responses += s.late_responses;
        sum->second_responses += s.second_responses;
        sum->unknown_responses += s.unknown_responses;
    }
    session_free(walk->session);
    WALK_CHECK(walk->unfinished == 0);
    identity_free(identity);
    free(walk);
}

#endif
