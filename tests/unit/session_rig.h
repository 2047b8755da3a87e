/* session_rig.h - a session with a sink that writes down what comes out, and a clock that the test turns. To be included
 * after <cmocka.h>. */
#ifndef GATEHOUSE_TESTS_SESSION_RIG_H
#define GATEHOUSE_TESTS_SESSION_RIG_H

#include "protocol/heap.h"
#include "protocol/session.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define RIG_LOG 4096 /* notices, replies, writes kept; a test that makes more fails */

#define RIG_CHALLENGE \
    "{\"type\":\"event\",\"event\":\"connect.challenge\",\"payload\":{\"nonce\":\"n-1\",\"ts\":1737264000000}}"
#define RIG_HELLO                                                                                        \
    "{\"type\":\"hello-ok\",\"protocol\":4,\"server\":{\"version\":\"2026.9.6\",\"connId\":\"c-1\"},"    \
    "\"features\":{\"methods\":[\"health\"],\"events\":[\"tick\"]},\"policy\":{\"maxPayload\":26214400," \
    "\"maxBufferedBytes\":52428800,\"tickIntervalMs\":30000}}"

typedef struct {
    SessionNoticeType type;
    unsigned code;
    char reason[800], hint[300], detail_code[64];
    bool has_hint, has_error;
    int64_t retry_ms, expected, received, at_ms;
} RigNotice;

typedef struct {
    uint64_t token;
    unsigned owner;
    bool last, ok;
    char *text; /* payload or error */
} RigReply;

typedef struct Rig Rig;
struct Rig {
    Session *session;
    int64_t now_ms;
    uint32_t random; /* what sink.random gives */
    uint64_t next_id;

    unsigned dials, closes, tokens_stored, tokens_dropped;
    size_t unwritten_bytes; /* what sink.unwritten tells */
    unsigned close_code;
    char close_reason[800];
    char device_token[1100];
    char *writes[RIG_LOG];
    size_t write_count;
    char *events[RIG_LOG]; /* their names */
    size_t event_count;
    RigReply replies[RIG_LOG];
    size_t reply_count;
    RigNotice notices[RIG_LOG];
    size_t notice_count;

    /* What a test does inside of a callback; NULL: nothing. */
    void (*in_reply)(Rig *rig, const SessionReply *reply);
    void (*in_event)(Rig *rig, const Frame *frame);
    void (*in_notice)(Rig *rig, const SessionNotice *notice);
};

static inline void rig_check(bool fine, const char *what)
{
    if (fine) return;
    fprintf(stderr, "session_rig: %s\n", what);
    abort();
}

static inline char *rig_copy(Slice text)
{
    char *copy = malloc(text.size + 1);
    rig_check(copy != NULL, "no memory");
    if (text.size > 0) memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return copy;
}

static inline void rig_on_dial(void *context)
{
    ((Rig *)context)->dials++;
}

static inline void rig_on_write(void *context, Buffer *text)
{
    Rig *rig = context;
    rig_check(rig->write_count < RIG_LOG, "too many writes");
    rig->writes[rig->write_count++] = rig_copy(buffer_slice(text));
    buffer_free(text);
}

static inline void rig_on_close(void *context, unsigned code, const char *reason)
{
    Rig *rig = context;
    rig->closes++;
    rig->close_code = code;
    snprintf(rig->close_reason, sizeof rig->close_reason, "%s", reason);
}

static inline void rig_on_event(void *context, const Frame *frame)
{
    Rig *rig = context;
    rig_check(rig->event_count < RIG_LOG, "too many events");
    rig->events[rig->event_count++] = rig_copy(frame->event);
    if (rig->in_event) rig->in_event(rig, frame);
}

static inline size_t rig_on_unwritten(void *context)
{
    return ((Rig *)context)->unwritten_bytes;
}

static inline void rig_on_reply(void *context, const SessionReply *reply)
{
    Rig *rig = context;
    rig_check(rig->reply_count < RIG_LOG, "too many replies");
    rig_check(json_validate(reply->ok ? reply->payload : reply->error, NULL), "a reply that is no JSON");
    rig->replies[rig->reply_count++] = (RigReply){.token = reply->token,
                                                  .owner = reply->owner,
                                                  .last = reply->last,
                                                  .ok = reply->ok,
                                                  .text = rig_copy(reply->ok ? reply->payload : reply->error)};
    if (rig->in_reply) rig->in_reply(rig, reply);
}

static inline void rig_on_notice(void *context, const SessionNotice *notice)
{
    Rig *rig = context;
    rig_check(rig->notice_count < RIG_LOG, "too many notices");
    RigNotice *copy = &rig->notices[rig->notice_count++];
    *copy = (RigNotice){.type = notice->type,
                        .code = notice->code,
                        .has_hint = notice->hint != NULL,
                        .has_error = notice->error != NULL,
                        .retry_ms = notice->retry_ms,
                        .expected = notice->expected,
                        .received = notice->received,
                        .at_ms = rig->now_ms};
    snprintf(copy->reason, sizeof copy->reason, "%s", notice->reason);
    snprintf(copy->hint, sizeof copy->hint, "%s", notice->hint ? notice->hint : "");
    snprintf(copy->detail_code, sizeof copy->detail_code, "%s", notice->error ? notice->error->detail_code : "");
    if (rig->in_notice) rig->in_notice(rig, notice);
}

static inline void rig_on_device_token(void *context, const char *token)
{
    Rig *rig = context;
    if (token) rig->tokens_stored++;
    if (!token) rig->tokens_dropped++;
    snprintf(rig->device_token, sizeof rig->device_token, "%s", token ? token : "");
}

static inline void rig_on_new_id(void *context, char id[37])
{
    Rig *rig = context;
    snprintf(id, 37, "00000000-0000-4000-8000-%012" PRIx64, ++rig->next_id & 0xffffffffffff);
}

static inline uint32_t rig_on_random(void *context)
{
    return ((Rig *)context)->random;
}

static inline Rig *rig_new(const SessionConfig *config)
{
    Rig *rig = calloc(1, sizeof *rig);
    rig_check(rig != NULL, "no memory");
    rig->now_ms = 1000000;
    rig->random = UINT32_MAX; /* the longest wait, so that waits are round numbers */
    SessionSink sink = {.context = rig,
                        .dial = rig_on_dial,
                        .write = rig_on_write,
                        .close = rig_on_close,
                        .event = rig_on_event,
                        .unwritten = rig_on_unwritten,
                        .reply = rig_on_reply,
                        .notice = rig_on_notice,
                        .device_token = rig_on_device_token,
                        .new_id = rig_on_new_id,
                        .random = rig_on_random};
    rig->session = session_new(config, &sink);
    rig_check(rig->session != NULL, "no memory");
    return rig;
}

static inline void rig_forget(Rig *rig)
{
    for (size_t i = 0; i < rig->write_count; i++)
        free(rig->writes[i]);
    for (size_t i = 0; i < rig->event_count; i++)
        free(rig->events[i]);
    for (size_t i = 0; i < rig->reply_count; i++)
        free(rig->replies[i].text);
    rig->write_count = rig->event_count = rig->reply_count = rig->notice_count = 0;
}

static inline void rig_free(Rig *rig)
{
    session_free(rig->session);
    rig_forget(rig);
    free(rig);
}

static inline SessionStatus rig_status(const Rig *rig)
{
    SessionStatus status;
    session_status(rig->session, &status);
    return status;
}

/* --- inputs ------------------------------------------------------------------------------------------------------- */

static inline void rig_text(Rig *rig, const char *text)
{
    char *copy = rig_copy(slice_of(text)); /* its own block, so that a read beyond it is seen */
    session_text(rig->session, rig->now_ms, slice_make(copy, strlen(text)));
    free(copy);
}

__attribute__((format(printf, 2, 3))) static inline void rig_text_format(Rig *rig, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    text = malloc((size_t)length + 1);
    rig_check(text != NULL, "no memory");
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    rig_text(rig, text);
    free(text);
}

static inline void rig_closed(Rig *rig, unsigned code, const char *reason)
{
    session_closed(rig->session, rig->now_ms,
                   &(SessionClose){.code = code, .reason = slice_of(reason), .retry_after_ms = -1});
}

static inline void rig_advance(Rig *rig, int64_t ms)
{
    rig->now_ms += ms;
    session_time(rig->session, rig->now_ms);
}

static inline void rig_request_with(Rig *rig, SessionRequest request, const char *params)
{
    request.method = slice_of("chat.send");
    request.params = buffer_with_headroom(BUFFER_FRAME_HEADROOM);
    buffer_append_text(&request.params, params);
    session_request(rig->session, rig->now_ms, &request);
}

static inline void rig_request(Rig *rig, uint64_t token)
{
    rig_request_with(rig, (SessionRequest){.token = token}, "{\"a\":1}");
}

/* --- what came out ------------------------------------------------------------------------------------------------ */

/* The id in a written frame. Valid until the next call. */
static inline const char *rig_id_of(const char *frame)
{
    static char id[64];
    rig_check(json_copy_string(json_find(slice_of(frame), "id"), id, sizeof id), "a written frame without id");
    return id;
}

static inline const char *rig_last_write(const Rig *rig)
{
    rig_check(rig->write_count > 0, "nothing was written");
    return rig->writes[rig->write_count - 1];
}

static inline const RigReply *rig_last_reply(const Rig *rig)
{
    rig_check(rig->reply_count > 0, "no reply came");
    return &rig->replies[rig->reply_count - 1];
}

static inline const RigNotice *rig_last_notice(const Rig *rig)
{
    rig_check(rig->notice_count > 0, "no notice came");
    return &rig->notices[rig->notice_count - 1];
}

static inline size_t rig_count_notices(const Rig *rig, SessionNoticeType type)
{
    size_t count = 0;
    for (size_t i = 0; i < rig->notice_count; i++)
        count += rig->notices[i].type == type;
    return count;
}

/* Of the last error reply. Valid until the next call. */
static inline const char *rig_error_code(const RigReply *reply)
{
    static char code[64];
    rig_check(!reply->ok, "the reply is no error");
    json_copy_string(json_find(slice_of(reply->text), "code"), code, sizeof code);
    return code;
}

/* Every request is in flight, in line, or has ended once. */
static inline void rig_expect_sum(const Rig *rig)
{
    SessionStatus s = rig_status(rig);
    uint64_t ended =
        s.ended_ok + s.ended_error + s.ended_timeout + s.ended_disconnected + s.ended_refused + s.ended_cancelled;
    assert_int_equal(s.requests, ended + s.in_flight + s.in_line);
}

/* The last reply is the end of that request, with that error. */
static inline void rig_expect_error(const Rig *rig, uint64_t token, const char *code)
{
    const RigReply *reply = rig_last_reply(rig);
    assert_int_equal(reply->token, token);
    assert_true(reply->last);
    assert_false(reply->ok);
    assert_string_equal(rig_error_code(reply), code);
    rig_expect_sum(rig);
}

/* What an error reply says of its request. */
static inline bool rig_was_sent(const RigReply *reply)
{
    return json_is_true(json_find(slice_of(reply->text), "sent"));
}

/* --- the way to ready --------------------------------------------------------------------------------------------- */

/* From a dialed connection to the connect request. */
static inline void rig_challenge(Rig *rig)
{
    session_opened(rig->session, rig->now_ms);
    rig_text(rig, RIG_CHALLENGE);
}

static inline void rig_answer(Rig *rig, const char *id, const char *payload)
{
    rig_text_format(rig, "{\"type\":\"res\",\"id\":\"%s\",\"ok\":true,\"payload\":%s}", id, payload);
}

static inline void rig_answer_last(Rig *rig, const char *payload)
{
    rig_answer(rig, rig_id_of(rig_last_write(rig)), payload);
}

static inline void rig_refuse_last(Rig *rig, const char *error)
{
    rig_text_format(rig, "{\"type\":\"res\",\"id\":\"%s\",\"ok\":false,\"error\":%s}", rig_id_of(rig_last_write(rig)),
                    error);
}

/* From a dialed connection to READY. */
static inline void rig_greet(Rig *rig)
{
    rig_challenge(rig);
    rig_answer_last(rig, RIG_HELLO);
}

static inline Rig *rig_ready(const SessionConfig *config)
{
    Rig *rig = rig_new(config);
    session_start(rig->session, rig->now_ms);
    rig_greet(rig);
    rig_check(rig_status(rig).state == SESSION_READY, "the session did not become ready");
    return rig;
}

/* Waits out the backoff and connects again. */
static inline void rig_reconnect(Rig *rig)
{
    int64_t due_ms = session_due_ms(rig->session);
    unsigned dials = rig->dials;
    while (rig->dials == dials) {
        rig_check(due_ms != HEAP_NEVER, "the session does not dial by itself");
        rig_advance(rig, due_ms > rig->now_ms ? due_ms - rig->now_ms : 0);
        due_ms = session_due_ms(rig->session);
    }
    rig_greet(rig);
}

#endif
