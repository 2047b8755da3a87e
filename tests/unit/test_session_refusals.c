/* test_session_refusals.c - the whole table of refusals: what follows from each answer to connect that is no hello-ok. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/session.h"
#include "unit/session_rig.h"

#define NEVER (-1)
#define DETAILS(code) "{\"code\":\"INVALID_REQUEST\",\"message\":\"no\",\"details\":{\"code\":\"" code "\"}}"

typedef struct {
    const char *error;
    SessionState state;
    int64_t retry_ms;
    const char *hint; /* part of it; NULL: there is none */
} Row;

static const Row ROWS[] = {
    {DETAILS("AUTH_TOKEN_MISMATCH"), SESSION_PAUSED, NEVER, "OPENCLAW_GATEWAY_TOKEN"},
    {DETAILS("AUTH_TOKEN_MISSING"), SESSION_PAUSED, NEVER, "OPENCLAW_GATEWAY_TOKEN"},
    {DETAILS("AUTH_PASSWORD_MISMATCH"), SESSION_PAUSED, NEVER, "OPENCLAW_GATEWAY_PASSWORD"},
    {DETAILS("AUTH_SOMETHING_NEW"), SESSION_PAUSED, NEVER, "OPENCLAW_GATEWAY_TOKEN"},
    {DETAILS("AUTH_DEVICE_TOKEN_MISMATCH"), SESSION_PAUSED, NEVER, "OPENCLAW_GATEWAY_TOKEN"},
    {DETAILS("DEVICE_IDENTITY_REQUIRED"), SESSION_PAUSED, NEVER, "OPENCLAW_GATEWAY_TOKEN"},
    {DETAILS("DEVICE_AUTH_SIGNATURE_INVALID"), SESSION_PAUSED, NEVER, "gatehouse device"},
    {DETAILS("DEVICE_AUTH_SIGNATURE_EXPIRED"), SESSION_PAUSED, NEVER, "gatehouse device"},
    {DETAILS("DEVICE_AUTH_NONCE_MISMATCH"), SESSION_PAUSED, NEVER, "gatehouse device"},
    {DETAILS("CONTROL_UI_ORIGIN_NOT_ALLOWED"), SESSION_PAUSED, NEVER, "client id"},
    {DETAILS("PROTOCOL_MISMATCH"), SESSION_PAUSED, NEVER, "protocols 3 to 4"},
    {"{\"code\":\"INVALID_REQUEST\",\"details\":{\"code\":\"PROTOCOL_MISMATCH\",\"expectedProtocol\":5}}",
     SESSION_PAUSED, NEVER, "the gateway speaks protocol 5, this program 3 to 4"},

    {"{\"code\":\"NOT_PAIRED\",\"details\":{\"code\":\"PAIRING_REQUIRED\",\"requestId\":\"ab-12:3._x\"}}",
     SESSION_PAUSED, 30000, "run: openclaw devices approve ab-12:3._x"},
    {"{\"code\":\"NOT_PAIRED\",\"message\":\"pairing required\"}", SESSION_PAUSED, 30000, "run: openclaw devices list"},

    {"{\"code\":\"UNAVAILABLE\",\"retryable\":true,\"retryAfterMs\":500,\"details\":{\"reason\":\"startup-sidecars\"}}",
     SESSION_WAITING, 500, NULL},
    {"{\"code\":\"UNAVAILABLE\",\"retryable\":true,\"retryAfterMs\":2500}", SESSION_WAITING, 2500, NULL},
    {"{\"code\":\"UNAVAILABLE\",\"retryable\":true}", SESSION_WAITING, 500, NULL},
    {"{\"code\":\"UNAVAILABLE\"}", SESSION_WAITING, 1000, NULL},
    {"{\"code\":\"INVALID_REQUEST\",\"retryable\":true,\"retryAfterMs\":90000,\"details\":{\"code\":\"AUTH_RATE_"
     "LIMITED\"}}",
     SESSION_WAITING, 90000, NULL},
    {"{\"code\":\"INVALID_REQUEST\",\"details\":{\"code\":\"AUTH_RATE_LIMITED\"}}", SESSION_WAITING, 1000, NULL},

    {"{\"code\":\"INVALID_REQUEST\",\"message\":\"invalid connect params\"}", SESSION_PAUSED, NEVER,
     "role, scopes and caps"},
    {"{\"code\":\"FORBIDDEN\"}", SESSION_PAUSED, NEVER, "scopes"},
    {"{\"code\":\"UNAUTHORIZED\"}", SESSION_PAUSED, NEVER, "OPENCLAW_GATEWAY_TOKEN"},
    {"{\"code\":\"FORBIDDEN\",\"retryable\":true}", SESSION_WAITING, 1000, NULL}, /* the gateway knows better */
    {"{\"code\":\"INTERNAL\",\"message\":\"oops\"}", SESSION_WAITING, 1000, NULL},
    {"{\"code\":401,\"message\":\"legacy dialect\"}", SESSION_PAUSED, NEVER, "OPENCLAW_GATEWAY_TOKEN"},
    {"{\"code\":500,\"message\":\"legacy dialect\"}", SESSION_WAITING, 1000, NULL},
    {"{}", SESSION_WAITING, 1000, NULL},
    {"\"nonsense\"", SESSION_WAITING, 1000, NULL},
};

static void expect(const Rig *rig, const Row *row, size_t connected)
{
    const RigNotice *notice = rig_last_notice(rig);
    bool paused = row->state == SESSION_PAUSED;

    if (rig_status(rig).state != row->state || notice->retry_ms != row->retry_ms ||
        notice->has_hint != (row->hint != NULL) || (row->hint && !strstr(notice->hint, row->hint))) {
        fail_msg("%s: %s, retry %" PRId64 " ms, hint \"%s\"", row->error, session_state_name(rig_status(rig).state),
                 notice->retry_ms, notice->hint);
    }
    assert_int_equal(notice->type, paused ? SESSION_NOTICE_PAUSED : SESSION_NOTICE_CLOSED);
    assert_int_equal(rig_count_notices(rig, SESSION_NOTICE_CLOSED), connected);
    assert_true(notice->has_error);
    assert_true(notice->reason[strlen(notice->reason) - 1] != ' '); /* a refusal without a word says so */
    assert_int_equal(rig->closes, connected);
    assert_int_equal(rig->close_code, 1000);
}

static void every_refusal_has_its_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        Rig *rig = rig_new(&(SessionConfig){.token = "secret-token"});
        session_start(rig->session, rig->now_ms);
        rig_challenge(rig);
        rig_refuse_last(rig, ROWS[i].error);
        expect(rig, &ROWS[i], 1);

        /* The gateway's own close comes after and changes nothing. */
        rig_closed(rig, 1008, "refused");
        expect(rig, &ROWS[i], 1);
        if (ROWS[i].retry_ms == NEVER) {
            rig_advance(rig, 1000000000);
            assert_int_equal(rig->dials, 1);
        } else {
            rig_advance(rig, ROWS[i].retry_ms - 1);
            assert_int_equal(rig->dials, 1);
            rig_advance(rig, 1);
            assert_int_equal(rig->dials, 2);
            rig_greet(rig);
            assert_int_equal(rig_status(rig).state, SESSION_READY);
        }
        rig_free(rig);
    }
}

/* All refusals of the recording are there for the operator: none of them heals by itself. */
static void recorded_refusals_pause(void **state)
{
    FILE *file = fopen(GATEHOUSE_FIXTURES "/session/refusals.jsonl", "r");
    char *line = NULL;
    size_t room = 0;
    size_t count = 0;
    ssize_t length = 0;

    (void)state;
    assert_non_null(file);
    while ((length = getline(&line, &room, file)) > 0) {
        Rig *rig = rig_new(&(SessionConfig){.token = "secret-token"});
        char *error = rig_copy(json_find(slice_make(line, (size_t)length), "error"));
        session_start(rig->session, rig->now_ms);
        rig_challenge(rig);
        rig_refuse_last(rig, error);
        assert_int_equal(rig_last_notice(rig)->type, SESSION_NOTICE_PAUSED);
        assert_int_equal(rig_last_notice(rig)->retry_ms, NEVER);
        assert_true(rig_last_notice(rig)->has_hint);
        assert_non_null(strstr(rig_last_notice(rig)->reason, "the gateway refused the connection: "));
        free(error);
        rig_free(rig);
        count++;
    }
    assert_int_equal(count, 13);
    free(line);
    fclose(file);
}

static void pairing_looks_again_slowly_and_for_ever(void **state)
{
    Rig *rig = rig_new(&(SessionConfig){0});

    (void)state;
    session_start(rig->session, rig->now_ms);
    for (unsigned i = 1; i <= 20; i++) {
        rig_challenge(rig);
        rig_refuse_last(rig, DETAILS("PAIRING_REQUIRED"));
        assert_int_equal(rig_last_notice(rig)->retry_ms, 30000);
        rig_closed(rig, 1008, "");
        assert_int_equal(rig->dials, i);
        rig_advance(rig, 30000);
        assert_int_equal(rig->dials, i + 1);
    }
    rig_greet(rig);
    assert_int_equal(rig_status(rig).state, SESSION_READY);
    rig_free(rig);
}

/* The operator pastes the hint into a shell. */
static void a_request_id_that_is_none_is_not_repeated(void **state)
{
    static const char *const ids[] = {
        "1; rm -rf ~", "$(reboot)", "`reboot`", "a b",    "a\\nb",    "--help",
        "-y",          "",          "a|b",      "a/../b", "\xc3\xa4", "a\\u0000b",
    };

    (void)state;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        Rig *rig = rig_new(&(SessionConfig){0});
        char error[256];
        snprintf(error, sizeof error,
                 "{\"code\":\"NOT_PAIRED\",\"details\":{\"code\":\"PAIRING_REQUIRED\",\"requestId\":\"%s\"}}", ids[i]);
        session_start(rig->session, rig->now_ms);
        rig_challenge(rig);
        rig_refuse_last(rig, error);
        assert_string_equal(rig_last_notice(rig)->hint, "run: openclaw devices list, then approve this device");
        rig_free(rig);
    }
}

/* --- another secret ----------------------------------------------------------------------------------------------- */

#define TOKEN_REFUSED                                                                                               \
    "{\"code\":\"INVALID_REQUEST\",\"message\":\"bad secret-token\",\"details\":{\"code\":\"AUTH_TOKEN_MISMATCH\"," \
    "\"canRetryWithDeviceToken\":true}}"
#define DEVICE_TOKEN_REFUSED DETAILS("AUTH_DEVICE_TOKEN_MISMATCH")

static Identity *test_identity(void)
{
    const uint8_t seed[IDENTITY_SEED_SIZE] = {9};
    return identity_new(seed);
}

/* The secret that the last connect request carried. */
static const char *sent_secret(const Rig *rig)
{
    const char *text = rig_last_write(rig);
    if (strstr(text, "\"deviceToken\":\"stored-token\"")) return strstr(text, "secret-token") ? "both" : "device token";
    return strstr(text, "\"token\":\"secret-token\"") ? "token" : "none";
}

/* Refuses, lets the old connection close, and waits for the next connect request. */
static void refuse_and_reconnect(Rig *rig, const char *error)
{
    rig_refuse_last(rig, error);
    assert_int_equal(rig_status(rig).state, SESSION_WAITING);
    assert_in_range(rig_last_notice(rig)->retry_ms, 0, 1000);
    rig_closed(rig, 1008, "");
    rig_advance(rig, rig_last_notice(rig)->retry_ms);
    rig_challenge(rig);
}

static void a_refused_token_is_retried_once_with_the_device_token(void **state)
{
    Identity *identity = test_identity();
    Rig *rig = rig_new(&(SessionConfig){
        .identity = identity, .token = "secret-token", .device_token = "stored-token", .device_token_retry = true});

    (void)state;
    session_start(rig->session, rig->now_ms);
    rig_challenge(rig);
    assert_string_equal(sent_secret(rig), "token");
    refuse_and_reconnect(rig, TOKEN_REFUSED);
    assert_string_equal(sent_secret(rig), "device token");
    rig_answer_last(rig, RIG_HELLO);
    assert_int_equal(rig_status(rig).state, SESSION_READY);
    assert_int_equal(rig_count_notices(rig, SESSION_NOTICE_PAUSED), 0);

    /* It stays with what works. */
    rig_closed(rig, 1006, "");
    rig_advance(rig, 60000);
    rig_challenge(rig);
    assert_string_equal(sent_secret(rig), "device token");
    rig_answer_last(rig, RIG_HELLO);

    /* Until that is refused too: dropped, the token once more, then the operator. */
    rig_closed(rig, 1006, "");
    rig_advance(rig, 60000);
    rig_challenge(rig);
    refuse_and_reconnect(rig, DEVICE_TOKEN_REFUSED);
    assert_int_equal(rig->tokens_dropped, 1);
    assert_string_equal(sent_secret(rig), "token");
    rig_refuse_last(rig, TOKEN_REFUSED);
    assert_int_equal(rig_status(rig).state, SESSION_PAUSED);
    assert_int_equal(rig->tokens_dropped, 1);
    rig_free(rig);
    identity_free(identity);
}

static void both_refused_is_for_the_operator(void **state)
{
    Identity *identity = test_identity();
    Rig *rig = rig_new(&(SessionConfig){
        .identity = identity, .token = "secret-token", .device_token = "stored-token", .device_token_retry = true});

    (void)state;
    session_start(rig->session, rig->now_ms);
    rig_challenge(rig);
    refuse_and_reconnect(rig, TOKEN_REFUSED);
    rig_refuse_last(rig, DEVICE_TOKEN_REFUSED);
    assert_int_equal(rig_status(rig).state, SESSION_PAUSED);
    assert_int_equal(rig->tokens_dropped, 1);
    rig_closed(rig, 1008, "");

    /* The operator sets another token: everything starts over. */
    session_set_secrets(rig->session, "other-token", NULL);
    session_resume(rig->session, rig->now_ms);
    rig_challenge(rig);
    assert_non_null(strstr(rig_last_write(rig), "\"token\":\"other-token\""));
    rig_answer_last(rig, RIG_HELLO);
    assert_int_equal(rig_status(rig).state, SESSION_READY);
    rig_free(rig);
    identity_free(identity);
}

static void the_device_token_is_not_shown_to_a_peer_that_may_be_another(void **state)
{
    Identity *identity = test_identity();
    const SessionConfig configs[] = {
        {.identity = identity, .token = "secret-token", .device_token = "stored-token"}, /* not loopback, not pinned */
        {.identity = identity, .token = "secret-token", .device_token_retry = true},     /* none is stored */
        {.token = "secret-token", .device_token = "stored-token", .device_token_retry = true}, /* no device */
    };

    (void)state;
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        Rig *rig = rig_new(&configs[i]);
        session_start(rig->session, rig->now_ms);
        rig_challenge(rig);
        rig_refuse_last(rig, TOKEN_REFUSED);
        assert_int_equal(rig_status(rig).state, SESSION_PAUSED);
        rig_free(rig);
    }
    /* The gateway does not offer it. */
    Rig *rig = rig_new(&(SessionConfig){
        .identity = identity, .token = "secret-token", .device_token = "stored-token", .device_token_retry = true});
    session_start(rig->session, rig->now_ms);
    rig_challenge(rig);
    rig_refuse_last(rig, DETAILS("AUTH_TOKEN_MISMATCH"));
    assert_int_equal(rig_status(rig).state, SESSION_PAUSED);
    rig_free(rig);
    identity_free(identity);
}

/* A gateway that names the token when the device token was sent, and offers the device token again. */
static void the_device_token_does_not_stand_in_for_itself(void **state)
{
    Identity *identity = test_identity();
    Rig *rig = rig_new(&(SessionConfig){
        .identity = identity, .token = "secret-token", .device_token = "stored-token", .device_token_retry = true});

    (void)state;
    session_start(rig->session, rig->now_ms);
    rig_challenge(rig);
    refuse_and_reconnect(rig, TOKEN_REFUSED);
    rig_refuse_last(rig, TOKEN_REFUSED);
    assert_int_equal(rig_status(rig).state, SESSION_PAUSED);
    assert_int_equal(rig_last_notice(rig)->retry_ms, NEVER);
    rig_free(rig);
    identity_free(identity);
}

static void a_stale_device_token_alone_is_dropped_once(void **state)
{
    Identity *identity = test_identity();
    Rig *rig = rig_new(&(SessionConfig){.identity = identity, .device_token = "stored-token"});

    (void)state;
    session_start(rig->session, rig->now_ms);
    rig_challenge(rig);
    assert_string_equal(sent_secret(rig), "device token");
    rig_refuse_last(rig, DEVICE_TOKEN_REFUSED);
    assert_int_equal(rig_status(rig).state, SESSION_PAUSED);
    assert_int_equal(rig->tokens_dropped, 1);
    rig_closed(rig, 1008, "");
    session_resume(rig->session, rig->now_ms);
    rig_challenge(rig);
    assert_string_equal(sent_secret(rig), "none");
    rig_refuse_last(rig, DEVICE_TOKEN_REFUSED);
    assert_int_equal(rig->tokens_dropped, 1);
    rig_free(rig);
    identity_free(identity);
}

static void no_secret_is_in_any_notice(void **state)
{
    Identity *identity = test_identity();
    static const char *const echo =
        "{\"code\":\"secret-token\",\"message\":\"secret-token secret-password stored-token\",\"details\":"
        "{\"code\":\"x stored-token\",\"reason\":\"secret-password\",\"requestId\":\"secret-token\"}}";
    Rig *rig = rig_new(&(SessionConfig){.identity = identity,
                                        .token = "secret-token",
                                        .password = "secret-password",
                                        .device_token = "stored-token",
                                        .device_token_retry = true});

    (void)state;
    session_start(rig->session, rig->now_ms);
    rig_challenge(rig);
    rig_refuse_last(rig, echo);
    rig_closed(rig, 1008, "");
    rig_reconnect(rig);
    rig_text(rig, "{\"type\":\"event\",\"event\":\"shutdown\",\"payload\":{\"reason\":\"stored-token\"}}");
    rig_text(rig, "{\"type\":\"res\",\"id\":\"invalid\",\"ok\":false,\"error\":{\"message\":\"secret-token\"}}");
    rig_closed(rig, 1008, "secret-password");
    assert_true(rig->notice_count >= 7);
    for (size_t i = 0; i < rig->notice_count; i++) {
        const RigNotice *notice = &rig->notices[i];
        assert_null(strstr(notice->reason, "secret"));
        assert_null(strstr(notice->reason, "stored"));
        assert_null(strstr(notice->hint, "secret"));
        assert_null(strstr(notice->detail_code, "stored"));
    }
    assert_null(strstr(rig->close_reason, "secret"));
    rig_free(rig);
    identity_free(identity);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_refusal_has_its_answer),
        cmocka_unit_test(recorded_refusals_pause),
        cmocka_unit_test(pairing_looks_again_slowly_and_for_ever),
        cmocka_unit_test(a_request_id_that_is_none_is_not_repeated),
        cmocka_unit_test(a_refused_token_is_retried_once_with_the_device_token),
        cmocka_unit_test(both_refused_is_for_the_operator),
        cmocka_unit_test(the_device_token_is_not_shown_to_a_peer_that_may_be_another),
        cmocka_unit_test(the_device_token_does_not_stand_in_for_itself),
        cmocka_unit_test(a_stale_device_token_alone_is_dropped_once),
        cmocka_unit_test(no_secret_is_in_any_notice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
