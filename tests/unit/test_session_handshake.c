/* test_session_handshake.c - from the challenge to hello-ok, in all dialects, and peers that are no gateway. */
#define _GNU_SOURCE /* memmem */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/session.h"
#include "unit/session_rig.h"

static const char *const SCOPES[] = {"operator.read", "operator.write", NULL};
static const char *const CAPS[] = {"tool-events", NULL};

static Identity *test_identity(void)
{
    const uint8_t seed[IDENTITY_SEED_SIZE] = {7};
    return identity_new(seed);
}

/* --- the connect request ------------------------------------------------------------------------------------------ */

static void connect_leaves_out_what_is_absent(void **state)
{
    Rig *rig = rig_new(&(SessionConfig){0});

    (void)state;
    session_start(rig->session, rig->now_ms);
    rig_challenge(rig);
    assert_string_equal(rig_last_write(rig),
                        "{\"type\":\"req\",\"id\":\"00000000-0000-4000-8000-000000000001\",\"method\":\"connect\","
                        "\"params\":{\"minProtocol\":3,\"maxProtocol\":4,\"client\":{\"id\":\"cli\",\"mode\":\"cli\"},"
                        "\"role\":\"operator\",\"scopes\":[],\"caps\":[]}}");
    rig_free(rig);
}

static void connect_carries_what_is_configured(void **state)
{
    Identity *identity = test_identity();
    SessionConfig config = {.identity = identity,
                            .token = "secret-token",
                            .password = "secret-password",
                            .device_token = "stored-token",
                            .client_id = "gateway-client",
                            .client_mode = "backend",
                            .client_version = "0.1.0",
                            .platform = "linux",
                            .device_family = "Server",
                            .display_name = "a \"host\"",
                            .role = "node",
                            .scopes = SCOPES,
                            .caps = CAPS};
    Rig *rig = rig_new(&config);
    char signature[IDENTITY_SIGNATURE_SIZE];
    char expected[2048];
    char claim[1024];

    (void)state;
    session_start(rig->session, rig->now_ms);
    rig_challenge(rig);
    snprintf(
        claim, sizeof claim,
        "v3|%s|gateway-client|backend|node|operator.read,operator.write|1737264000000|secret-token|n-1|linux|server",
        identity_id(identity));
    assert_true(identity_sign(identity, slice_of(claim), signature));
    snprintf(expected, sizeof expected,
             "{\"minProtocol\":3,\"maxProtocol\":4,\"client\":{\"id\":\"gateway-client\","
             "\"displayName\":\"a \\\"host\\\"\",\"version\":\"0.1.0\",\"platform\":\"linux\","
             "\"deviceFamily\":\"Server\",\"mode\":\"backend\"},\"role\":\"node\","
             "\"scopes\":[\"operator.read\",\"operator.write\"],\"caps\":[\"tool-events\"],"
             "\"auth\":{\"token\":\"secret-token\",\"password\":\"secret-password\"},"
             "\"device\":{\"id\":\"%s\",\"publicKey\":\"%s\",\"signature\":\"%s\","
             "\"signedAt\":1737264000000,\"nonce\":\"n-1\"}}",
             identity_id(identity), identity_public_key(identity), signature);
    Slice params = json_find(slice_of(rig_last_write(rig)), "params");
    assert_int_equal(params.size, strlen(expected));
    assert_memory_equal(params.data, expected, params.size);
    rig_free(rig);
    identity_free(identity);
}

static void a_device_token_stands_in_for_a_missing_token(void **state)
{
    Identity *identity = test_identity();
    Rig *rig = rig_new(&(SessionConfig){.identity = identity, .device_token = "stored-token"});
    char claim[512];

    (void)state;
    session_start(rig->session, rig->now_ms);
    rig_challenge(rig);
    Slice params = json_find(slice_of(rig_last_write(rig)), "params");
    Slice device = json_find(params, "device");
    assert_true(slice_is(json_find(params, "auth"), "{\"deviceToken\":\"stored-token\"}"));
    snprintf(claim, sizeof claim, "v3|%s|cli|cli|operator||1737264000000|stored-token|n-1||", identity_id(identity));
    assert_true(identity_verify(slice_of(identity_public_key(identity)), slice_of(claim),
                                json_plain_string(json_find(device, "signature"))));
    rig_free(rig);

    /* It was issued to a device: without one it is worth nothing. */
    rig = rig_new(&(SessionConfig){.device_token = "stored-token"});
    session_start(rig->session, rig->now_ms);
    rig_challenge(rig);
    assert_null(strstr(rig_last_write(rig), "stored-token"));
    rig_free(rig);
    identity_free(identity);
}

static void a_challenge_without_nonce_is_answered_without_device(void **state)
{
    Identity *identity = test_identity();
    static const char *const challenges[] = {
        "{\"type\":\"event\",\"event\":\"connect.challenge\"}",
        "{\"type\":\"event\",\"event\":\"connect.challenge\",\"params\":{}}",
        "{\"type\":\"event\",\"event\":\"connect.challenge\",\"payload\":{\"nonce\":\"n\"}}",
        "{\"type\":\"event\",\"event\":\"connect.challenge\",\"payload\":{\"nonce\":\"\",\"ts\":1}}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof challenges / sizeof *challenges; i++) {
        Rig *rig = rig_new(&(SessionConfig){.identity = identity, .token = "secret-token"});
        session_start(rig->session, rig->now_ms);
        session_opened(rig->session, rig->now_ms);
        rig_text(rig, challenges[i]);
        assert_non_null(strstr(rig_last_write(rig), "secret-token"));
        assert_null(strstr(rig_last_write(rig), "\"device\""));
        rig_free(rig);
    }
    identity_free(identity);
}

static void a_connect_request_over_64_kib_is_not_sent(void **state)
{
    char *token = calloc(1, 70000);
    Rig *rig = NULL;

    (void)state;
    assert_non_null(token);
    memset(token, 'x', 69999);
    rig = rig_new(&(SessionConfig){.token = token});
    session_start(rig->session, rig->now_ms);
    rig_challenge(rig);
    assert_int_equal(rig->write_count, 0);
    assert_int_equal(rig_status(rig).state, SESSION_PAUSED);
    assert_non_null(strstr(rig_last_notice(rig)->reason, "64 KiB"));
    assert_int_equal(rig_last_notice(rig)->retry_ms, -1);
    rig_free(rig);
    free(token);
}

/* --- hello-ok ----------------------------------------------------------------------------------------------------- */

/* Replays what a gateway sent, putting our id in place of the recorded one. Returns the rig after the last line. */
static Rig *replay(const char *name, const SessionConfig *config)
{
    char path[512];
    char *line = NULL;
    size_t room = 0;
    ssize_t length = 0;
    Rig *rig = rig_new(config);

    session_start(rig->session, rig->now_ms);
    session_opened(rig->session, rig->now_ms);
    snprintf(path, sizeof path, GATEHOUSE_FIXTURES "/session/%s", name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while ((length = getline(&line, &room, file)) > 0) {
        line[length - 1] = '\0';
        Slice payload = json_find(slice_of(line), "payload");
        if (slice_is(json_plain_string(json_find(slice_of(line), "type")), "res")) {
            char *copy = rig_copy(payload);
            rig_answer_last(rig, copy);
            free(copy);
        } else {
            rig_text(rig, line);
        }
    }
    free(line);
    fclose(file);
    return rig;
}

static void recorded_handshake_of_protocol_4(void **state)
{
    Identity *identity = test_identity();
    Rig *rig = replay("protocol4.jsonl", &(SessionConfig){.identity = identity, .token = "secret-token"});
    SessionStatus status = rig_status(rig);

    (void)state;
    assert_int_equal(status.state, SESSION_READY);
    assert_int_equal(status.protocol, 4);
    assert_int_equal(status.connection, 1);
    assert_string_equal(status.server_version, "2026.9.6");
    assert_int_equal(strlen(status.conn_id), 36);
    assert_int_equal(status.max_payload_bytes, 26214400);
    assert_int_equal(status.tick_interval_ms, 30000);
    assert_int_equal(status.events, 2);
    assert_int_equal(status.last_seq, 3);
    assert_int_equal(status.gaps, 0);
    assert_string_equal(rig->events[0], "tick");
    assert_string_equal(rig->events[1], "shutdown");
    assert_int_equal(rig_last_notice(rig)->type, SESSION_NOTICE_SHUTDOWN);
    assert_string_equal(rig_last_notice(rig)->reason, "gateway stopping");

    /* The device token is stored, and nobody who looks at the hello sees it or its like. */
    assert_int_equal(rig->tokens_stored, 1);
    assert_int_equal(strlen(rig->device_token), 43);
    Slice hello = session_hello(rig->session);
    assert_true(json_validate(hello, NULL));
    assert_true(hello.size > 10000);
    assert_null(memmem(hello.data, hello.size, rig->device_token, strlen(rig->device_token)));
    assert_null(memmem(hello.data, hello.size, "deviceToken", 11));
    assert_null(memmem(hello.data, hello.size, "recoveryScope", 13));
    assert_int_equal(json_type(json_find(json_find(hello, "auth"), "scopes")), JSON_ARRAY);
    assert_int_equal(json_type(json_find(json_find(hello, "features"), "methods")), JSON_ARRAY);

    /* What was announced: the close that follows is a restart, whatever its code. */
    rig_closed(rig, 1012, "service restart");
    assert_int_equal(rig_last_notice(rig)->retry_ms, 1000);
    rig_free(rig);
    identity_free(identity);
}

static void recorded_handshake_of_protocol_3(void **state)
{
    Identity *identity = test_identity();
    Rig *rig = replay("protocol3.jsonl", &(SessionConfig){.identity = identity});
    SessionStatus status = rig_status(rig);

    (void)state;
    assert_int_equal(status.state, SESSION_READY);
    assert_int_equal(status.protocol, 3);
    assert_string_equal(status.server_version, "2026.5.7");
    assert_int_equal(status.events, 1);
    assert_int_equal(rig->tokens_stored, 1);
    assert_null(memmem(session_hello(rig->session).data, session_hello(rig->session).size, "deviceToken", 11));
    rig_free(rig);
    identity_free(identity);
}

static void handshake_of_the_legacy_dialect(void **state)
{
    Rig *rig = rig_new(&(SessionConfig){.token = "secret-token"});

    (void)state;
    session_start(rig->session, rig->now_ms);
    session_opened(rig->session, rig->now_ms);
    rig_text(rig, "{\"type\":\"event\",\"event\":\"connect.challenge\",\"params\":{\"nonce\":\"n\",\"ts\":1}}");
    rig_text_format(
        rig,
        "{\"type\":\"res\",\"id\":\"%s\",\"result\":{\"connId\":\"c-7\",\"features\":{\"methods\":[],\"events\":[]}}}",
        rig_id_of(rig_last_write(rig)));
    SessionStatus status = rig_status(rig);
    assert_int_equal(status.state, SESSION_READY);
    assert_int_equal(status.protocol, 3);
    assert_string_equal(status.conn_id, "c-7");
    assert_string_equal(status.server_version, "");
    assert_int_equal(status.tick_interval_ms, SESSION_TICK_MS);
    rig_text(rig, "{\"type\":\"event\",\"event\":\"chat\",\"params\":{\"x\":1}}");
    assert_string_equal(rig->events[0], "chat");
    rig_free(rig);
}

static void a_known_device_token_is_not_stored_again(void **state)
{
    Identity *identity = test_identity();
    Rig *rig = rig_new(&(SessionConfig){.identity = identity, .token = "secret-token", .device_token = "one"});
    static const char *const hello = "{\"type\":\"hello-ok\",\"protocol\":4,\"auth\":{\"deviceToken\":\"%s\"}}";
    char payload[256];

    (void)state;
    session_start(rig->session, rig->now_ms);
    snprintf(payload, sizeof payload, hello, "one"); // NOLINT(clang-diagnostic-format-nonliteral)
    rig_challenge(rig);
    rig_answer_last(rig, payload);
    assert_int_equal(rig->tokens_stored, 0);
    rig_closed(rig, 1006, "");
    rig_advance(rig, 60000);
    rig_challenge(rig);
    rig_answer_last(rig, "{\"type\":\"hello-ok\",\"protocol\":4,\"auth\":{\"deviceToken\":\"two\"}}");
    assert_int_equal(rig->tokens_stored, 1);
    assert_string_equal(rig->device_token, "two");
    rig_free(rig);
    identity_free(identity);
}

static void an_absurd_policy_is_not_believed(void **state)
{
    static const struct {
        const char *policy;
        int64_t tick_ms;
        size_t payload_bytes;
    } cases[] = {
        {"{\"tickIntervalMs\":5000,\"maxPayload\":65536}", 5000, 65536},
        {"{\"tickIntervalMs\":0,\"maxPayload\":0}", SESSION_TICK_MS, SESSION_MAX_PAYLOAD},
        {"{\"tickIntervalMs\":-1,\"maxPayload\":-1}", SESSION_TICK_MS, SESSION_MAX_PAYLOAD},
        {"{\"tickIntervalMs\":9e18,\"maxPayload\":9e18}", SESSION_TICK_MS, SESSION_MAX_PAYLOAD},
        {"{\"tickIntervalMs\":\"1\",\"maxPayload\":[]}", SESSION_TICK_MS, SESSION_MAX_PAYLOAD},
        {"[]", SESSION_TICK_MS, SESSION_MAX_PAYLOAD},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Rig *rig = rig_new(&(SessionConfig){0});
        char hello[256];
        snprintf(hello, sizeof hello, "{\"type\":\"hello-ok\",\"protocol\":4,\"policy\":%s}", cases[i].policy);
        session_start(rig->session, rig->now_ms);
        rig_challenge(rig);
        rig_answer_last(rig, hello);
        assert_int_equal(rig_status(rig).tick_interval_ms, cases[i].tick_ms);
        assert_int_equal(rig_status(rig).max_payload_bytes, cases[i].payload_bytes);
        rig_free(rig);
    }
}

/* --- a peer that is no gateway ------------------------------------------------------------------------------------ */

static void expect_given_up(Rig *rig, unsigned code)
{
    assert_int_equal(rig_status(rig).state, SESSION_WAITING);
    assert_int_equal(rig->closes, 1);
    assert_int_equal(rig->close_code, code);
    assert_int_equal(rig_last_notice(rig)->type, SESSION_NOTICE_CLOSED);
    assert_int_equal(rig_last_notice(rig)->retry_ms, 1000);
    assert_true(strlen(rig_last_notice(rig)->reason) > 20);
}

static void what_comes_before_the_challenge_must_be_one(void **state)
{
    static const char *const texts[] = {
        "",
        "hello",
        "[]",
        "{",
        "{\"type\":\"event\"}",
        "{\"type\":\"event\",\"event\":\"tick\",\"payload\":{}}",
        "{\"type\":\"res\",\"id\":\"1\",\"ok\":true,\"payload\":{\"type\":\"hello-ok\"}}",
        "{\"type\":\"event\",\"event\":\"connect.challenge\",\"payload\":{\"nonce\":\"a\\u0000b\",\"ts\":1}}",
        "{\"type\":\"event\",\"event\":\"connect.challenge\",\"payload\":{\"nonce\":\"\\ud800\",\"ts\":1}}",
        "{\"type\":\"event\",\"event\":\"connect.challenge\",\"payload\":{\"nonce\":\"a\",\"ts\":1} x}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        Rig *rig = rig_new(&(SessionConfig){0});
        session_start(rig->session, rig->now_ms);
        session_opened(rig->session, rig->now_ms);
        rig_text(rig, texts[i]);
        assert_int_equal(rig->write_count, 0);
        expect_given_up(rig, 1002);
        rig_free(rig);
    }
}

static void the_answer_to_connect_must_be_a_hello(void **state)
{
    static const char *const payloads[] = {
        "null",
        "{}",
        "[]",
        "\"hello-ok\"",
        "{\"type\":\"hello\"}",
        "{\"connId\":7}",
        "{\"type\":\"hello-ok\",\"protocol\":2}",
        "{\"type\":\"hello-ok\",\"protocol\":5}",
        "{\"type\":\"hello-ok\",\"protocol\":\"4\"}",
        "{\"type\":\"hello-ok\",\"protocol\":4,}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++) {
        Rig *rig = rig_new(&(SessionConfig){0});
        session_start(rig->session, rig->now_ms);
        rig_challenge(rig);
        rig_answer_last(rig, payloads[i]);
        expect_given_up(rig, 1002);
        assert_int_equal(session_hello(rig->session).size, 0);
        rig_free(rig);
    }
}

static void oversized_handshakes_are_refused(void **state)
{
    char *spaces = malloc((5u << 20) + 1);
    Rig *rig = rig_new(&(SessionConfig){0});

    (void)state;
    assert_non_null(spaces);
    memset(spaces, ' ', 5u << 20);
    spaces[5u << 20] = '\0';
    session_start(rig->session, rig->now_ms);
    session_opened(rig->session, rig->now_ms);
    rig_text(rig, spaces);
    expect_given_up(rig, 1009);
    rig_free(rig);

    rig = rig_new(&(SessionConfig){0});
    session_start(rig->session, rig->now_ms);
    rig_challenge(rig);
    rig_text(rig, spaces);
    expect_given_up(rig, 1009);
    rig_free(rig);
    free(spaces);
}

static void other_frames_before_hello_are_odd_and_skipped(void **state)
{
    Rig *rig = rig_new(&(SessionConfig){0});

    (void)state;
    session_start(rig->session, rig->now_ms);
    rig_challenge(rig);
    rig_text(rig, "{\"type\":\"event\",\"event\":\"tick\",\"payload\":{},\"seq\":9}");
    rig_text(rig, "{\"type\":\"res\",\"id\":\"invalid\",\"ok\":false,\"error\":{\"code\":\"INVALID_REQUEST\"}}");
    rig_text(rig, "{\"type\":\"what\"}");
    assert_int_equal(rig_status(rig).odd_frames, 3);
    assert_int_equal(rig->event_count, 0);
    rig_answer_last(rig, RIG_HELLO);
    assert_int_equal(rig_status(rig).state, SESSION_READY);
    assert_int_equal(rig_status(rig).last_seq, -1);
    rig_free(rig);
}

static void the_handshake_has_fifteen_seconds(void **state)
{
    Rig *rig = rig_new(&(SessionConfig){0});

    (void)state;
    session_start(rig->session, rig->now_ms);
    session_opened(rig->session, rig->now_ms);
    assert_true(session_due_ms(rig->session) == rig->now_ms + SESSION_HANDSHAKE_MS);
    rig_advance(rig, SESSION_HANDSHAKE_MS - 1);
    assert_int_equal(rig_status(rig).state, SESSION_CHALLENGE);
    rig_advance(rig, 1);
    expect_given_up(rig, 1000);
    rig_free(rig);

    /* Together, not fifteen for each half. */
    rig = rig_new(&(SessionConfig){0});
    session_start(rig->session, rig->now_ms);
    session_opened(rig->session, rig->now_ms);
    rig_advance(rig, 10000);
    rig_text(rig, RIG_CHALLENGE);
    rig_advance(rig, 4999);
    assert_int_equal(rig_status(rig).state, SESSION_GREETING);
    rig_advance(rig, 1);
    expect_given_up(rig, 1000);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connect_leaves_out_what_is_absent),
        cmocka_unit_test(connect_carries_what_is_configured),
        cmocka_unit_test(a_device_token_stands_in_for_a_missing_token),
        cmocka_unit_test(a_challenge_without_nonce_is_answered_without_device),
        cmocka_unit_test(a_connect_request_over_64_kib_is_not_sent),
        cmocka_unit_test(recorded_handshake_of_protocol_4),
        cmocka_unit_test(recorded_handshake_of_protocol_3),
        cmocka_unit_test(handshake_of_the_legacy_dialect),
        cmocka_unit_test(a_known_device_token_is_not_stored_again),
        cmocka_unit_test(an_absurd_policy_is_not_believed),
        cmocka_unit_test(what_comes_before_the_challenge_must_be_one),
        cmocka_unit_test(the_answer_to_connect_must_be_a_hello),
        cmocka_unit_test(oversized_handshakes_are_refused),
        cmocka_unit_test(other_frames_before_hello_are_odd_and_skipped),
        cmocka_unit_test(the_handshake_has_fifteen_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
