/* test_session_requests.c - requests and their answers: order, two responses, bounds, time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/session.h"
#include "unit/session_rig.h"

#define ACCEPTED "{\"runId\":\"r\",\"status\":\"accepted\"}"
#define FINAL "{\"runId\":\"r\",\"status\":\"ok\"}"

static void request_and_response(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){0});

    (void)state;
    rig_request(rig, 42);
    assert_int_equal(rig_status(rig).in_flight, 1);
    char expected[256];
    snprintf(expected, sizeof expected,
             "{\"type\":\"req\",\"id\":\"%s\",\"method\":\"chat.send\",\"params\":{\"a\":1}}",
             rig_id_of(rig_last_write(rig)));
    assert_string_equal(rig_last_write(rig), expected);
    rig_answer_last(rig, "{\"b\":[1,2]}");
    assert_int_equal(rig->reply_count, 1);
    assert_int_equal(rig->replies[0].token, 42);
    assert_true(rig->replies[0].last);
    assert_true(rig->replies[0].ok);
    assert_string_equal(rig->replies[0].text, "{\"b\":[1,2]}");
    assert_int_equal(rig_status(rig).ended_ok, 1);
    assert_int_equal(rig_status(rig).in_flight, 0);

    rig_request_with(rig, (SessionRequest){.token = 43}, "");
    assert_null(strstr(rig_last_write(rig), "params"));
    rig_text_format(rig, "{\"type\":\"res\",\"id\":\"%s\",\"ok\":true}", rig_id_of(rig_last_write(rig)));
    assert_string_equal(rig_last_reply(rig)->text, "null");

    rig_request(rig, 44);
    rig_refuse_last(
        rig, "{\"code\":\"FORBIDDEN\",\"details\":{\"code\":\"MISSING_SCOPE\",\"missingScope\":\"operator.write\"}}");
    rig_expect_error(rig, 44, "FORBIDDEN");
    assert_non_null(strstr(rig_last_reply(rig)->text, "missingScope"));
    assert_int_equal(rig_status(rig).ended_error, 1);

    rig_request(rig, 45);
    rig_text_format(rig, "{\"type\":\"res\",\"id\":\"%s\",\"ok\":false}", rig_id_of(rig_last_write(rig)));
    rig_expect_error(rig, 45, "UNKNOWN");
    rig_free(rig);
}

static void responses_in_the_legacy_dialect(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){0});

    (void)state;
    rig_request(rig, 1);
    rig_text_format(rig, "{\"type\":\"res\",\"id\":\"%s\",\"result\":[7]}", rig_id_of(rig_last_write(rig)));
    assert_string_equal(rig_last_reply(rig)->text, "[7]");
    rig_request(rig, 2);
    rig_text_format(rig, "{\"type\":\"res\",\"id\":\"%s\",\"error\":{\"code\":404,\"message\":\"no\"}}",
                    rig_id_of(rig_last_write(rig)));
    assert_false(rig_last_reply(rig)->ok);
    assert_string_equal(rig_last_reply(rig)->text, "{\"code\":404,\"message\":\"no\"}");
    rig_free(rig);
}

static void responses_come_in_any_order(void **state)
{
    enum { COUNT = 100 };
    Rig *rig = rig_ready(&(SessionConfig){0});
    size_t first = rig->write_count;

    (void)state;
    for (uint64_t i = 0; i < COUNT; i++)
        rig_request(rig, i);
    for (size_t i = 0; i < COUNT; i++) {
        size_t which = i * 37 % COUNT;
        char payload[32];
        snprintf(payload, sizeof payload, "%zu", which);
        rig_answer(rig, rig_id_of(rig->writes[first + which]), payload);
        assert_int_equal(rig_last_reply(rig)->token, which);
        assert_string_equal(rig_last_reply(rig)->text, payload);
    }
    assert_int_equal(rig->reply_count, COUNT);
    rig_expect_sum(rig);
    rig_free(rig);
}

/* --- two responses ------------------------------------------------------------------------------------------------ */

static void final_waits_for_the_second_response(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){0});

    (void)state;
    rig_request_with(rig, (SessionRequest){.token = 1, .final = true, .timeout_ms = 90000}, "{}");
    rig_answer_last(rig, ACCEPTED);
    assert_int_equal(rig->reply_count, 1);
    assert_false(rig->replies[0].last);
    assert_true(rig->replies[0].ok);
    assert_string_equal(rig->replies[0].text, ACCEPTED);
    rig_answer_last(rig, ACCEPTED); /* said twice */
    assert_int_equal(rig->reply_count, 1);
    assert_int_equal(rig_status(rig).odd_frames, 1);
    rig_answer_last(rig, FINAL);
    assert_int_equal(rig->reply_count, 2);
    assert_true(rig->replies[1].last);
    assert_string_equal(rig->replies[1].text, FINAL);
    rig_expect_sum(rig);

    /* A method that answers once ends with that. */
    rig_request_with(rig, (SessionRequest){.token = 2, .final = true}, "{}");
    rig_answer_last(rig, "{\"status\":\"started\"}");
    assert_true(rig_last_reply(rig)->last);

    /* An error after `accepted` is the end. */
    rig_request_with(rig, (SessionRequest){.token = 3, .final = true}, "{}");
    rig_answer_last(rig, ACCEPTED);
    rig_refuse_last(rig, "{\"code\":\"ABORTED\"}");
    rig_expect_error(rig, 3, "ABORTED");
    assert_int_equal(rig_status(rig).in_flight, 0);
    rig_free(rig);
}

static void without_final_the_second_response_is_known(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){0});

    (void)state;
    rig_request(rig, 1);
    rig_answer_last(rig, ACCEPTED);
    assert_true(rig_last_reply(rig)->last);
    size_t notices = rig->notice_count;
    rig_answer_last(rig, FINAL);
    assert_int_equal(rig->reply_count, 1);
    assert_int_equal(rig->notice_count, notices);
    assert_int_equal(rig_status(rig).second_responses, 1);
    assert_int_equal(rig_status(rig).unknown_responses, 0);
    rig_answer_last(rig, FINAL); /* a third one is not */
    assert_int_equal(rig_status(rig).second_responses, 1);
    assert_int_equal(rig_status(rig).unknown_responses, 1);
    rig_free(rig);
}

static void an_accepted_request_holds_no_slot(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){.max_in_flight = 1});

    (void)state;
    rig_request_with(rig, (SessionRequest){.token = 1, .final = true}, "{}");
    char *first_id = rig_copy(slice_of(rig_id_of(rig_last_write(rig))));
    size_t writes = rig->write_count;
    rig_request(rig, 2);
    assert_int_equal(rig->write_count, writes);
    rig_answer(rig, first_id, ACCEPTED);
    assert_int_equal(rig->write_count, writes + 1);
    assert_int_equal(rig_status(rig).in_flight, 2);
    rig_answer(rig, first_id, FINAL);
    assert_int_equal(rig_last_reply(rig)->token, 1);
    rig_request(rig, 3); /* 2 still holds the slot */
    assert_int_equal(rig_status(rig).in_line, 1);
    rig_expect_sum(rig);
    free(first_id);
    rig_free(rig);
}

static void requests_wait_for_a_link_that_has_not_written_what_it_has(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){0});
    size_t writes = rig->write_count;

    (void)state;
    rig->unwritten_bytes = SESSION_AHEAD_BYTES - 1024;
    rig_request(rig, 1); /* a small one has room */
    assert_int_equal(rig->write_count, writes + 1);
    rig->unwritten_bytes = SESSION_AHEAD_BYTES;
    rig_request(rig, 2);
    rig_request(rig, 3);
    assert_int_equal(rig->write_count, writes + 1);
    assert_int_equal(rig_status(rig).in_line, 2);
    rig_answer_last(rig, "{}"); /* a free slot is no room */
    assert_int_equal(rig->write_count, writes + 1);
    rig->unwritten_bytes = 0;
    session_drained(rig->session);
    assert_int_equal(rig->write_count, writes + 3);
    assert_int_equal(rig_status(rig).in_flight, 2);
    rig_expect_sum(rig);
    rig_free(rig);
}

/* Names are of the owner's making: all 64 bits of them come back, and two owners may use the same. */
static void owners_do_not_share_names(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){0});
    uint64_t token = UINT64_MAX;

    (void)state;
    rig_request_with(rig, (SessionRequest){.owner = 0, .token = token}, "{}");
    rig_request_with(rig, (SessionRequest){.owner = 65534, .token = token}, "{}");
    rig_answer_last(rig, "2");
    assert_int_equal(rig_last_reply(rig)->owner, 65534);
    assert_true(rig_last_reply(rig)->token == token);

    rig_request_with(rig, (SessionRequest){.owner = 1, .token = token}, "{}");
    session_cancel(rig->session, rig->now_ms, 2, token);
    assert_int_equal(rig->reply_count, 1);
    session_cancel(rig->session, rig->now_ms, 0, token);
    assert_int_equal(rig->reply_count, 2);
    assert_int_equal(rig_last_reply(rig)->owner, 0);
    assert_true(rig_last_reply(rig)->token == token);
    assert_int_equal(rig_status(rig).in_flight, 1);
    rig_answer_last(rig, "1");
    assert_int_equal(rig_last_reply(rig)->owner, 1);
    rig_expect_sum(rig);
    rig_free(rig);
}

/* --- responses to nothing ----------------------------------------------------------------------------------------- */

static void late_and_unknown_responses_are_counted(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){0});

    (void)state;
    rig_request_with(rig, (SessionRequest){.token = 1, .timeout_ms = 10}, "{}");
    rig_advance(rig, 10);
    rig_expect_error(rig, 1, "TIMEOUT");
    rig_answer_last(rig, "{}");
    assert_int_equal(rig_status(rig).late_responses, 1);
    assert_int_equal(rig_last_notice(rig)->type, SESSION_NOTICE_ODD);
    rig_answer_last(rig, "{}");
    assert_int_equal(rig_status(rig).unknown_responses, 1);

    rig_request(rig, 2);
    session_cancel(rig->session, rig->now_ms, 0, 2);
    rig_expect_error(rig, 2, "CANCELLED");
    rig_answer_last(rig, "{}");
    assert_int_equal(rig_status(rig).late_responses, 2);

    rig_answer(rig, "no-id-of-ours", "{}");
    rig_answer(rig, "", "{}");
    rig_text(rig, "{\"type\":\"res\",\"ok\":true,\"payload\":1}");
    rig_text(rig, "{\"type\":\"res\",\"id\":7,\"ok\":true,\"payload\":1}");
    assert_int_equal(rig_status(rig).unknown_responses, 5);
    assert_int_equal(rig->reply_count, 2);
    rig_free(rig);
}

static void an_answer_to_a_malformed_request_ends_nothing(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){0});

    (void)state;
    rig_request(rig, 1);
    rig_text(rig, "{\"type\":\"res\",\"id\":\"invalid\",\"ok\":false,\"error\":{\"code\":\"INVALID_REQUEST\","
                  "\"message\":\"invalid request frame: must be object\"}}");
    assert_int_equal(rig->reply_count, 0);
    assert_int_equal(rig_status(rig).odd_frames, 1);
    assert_int_equal(rig_status(rig).unknown_responses, 0);
    assert_non_null(strstr(rig_last_notice(rig)->reason, "must be object"));
    rig_free(rig);
}

static void what_is_remembered_is_bounded(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){.max_in_flight = 3000});
    size_t first = rig->write_count;

    (void)state;
    for (uint64_t i = 0; i < 2000; i++)
        rig_request_with(rig, (SessionRequest){.token = i, .timeout_ms = 10}, "{}");
    rig_advance(rig, 10);
    assert_int_equal(rig->reply_count, 2000);
    rig_answer(rig, rig_id_of(rig->writes[first]), "{}"); /* the oldest is forgotten */
    assert_int_equal(rig_status(rig).unknown_responses, 1);
    rig_answer(rig, rig_id_of(rig->writes[first + 1999]), "{}");
    assert_int_equal(rig_status(rig).late_responses, 1);
    rig_free(rig);
}

/* --- line and bounds ---------------------------------------------------------------------------------------------- */

static void the_rest_waits_in_line_in_order(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){.max_in_flight = 3, .max_in_line = 4});
    size_t first = rig->write_count;

    (void)state;
    for (uint64_t i = 0; i < 7; i++)
        rig_request(rig, i);
    assert_int_equal(rig->write_count, first + 3);
    assert_int_equal(rig_status(rig).in_flight, 3);
    assert_int_equal(rig_status(rig).in_line, 4);
    rig_request(rig, 7);
    rig_expect_error(rig, 7, "QUEUE_FULL");
    for (size_t i = 0; i < 7; i++) {
        rig_answer(rig, rig_id_of(rig->writes[first + i]), "{}");
        assert_int_equal(rig_last_reply(rig)->token, i);
        rig_expect_sum(rig);
    }
    assert_int_equal(rig_status(rig).ended_ok, 7);
    assert_int_equal(rig_status(rig).ended_refused, 1);
    rig_free(rig);
}

static void the_default_is_128_in_flight(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){0});

    (void)state;
    for (uint64_t i = 0; i < 200; i++)
        rig_request(rig, i);
    assert_int_equal(rig_status(rig).in_flight, SESSION_IN_FLIGHT);
    assert_int_equal(rig_status(rig).in_line, 200 - SESSION_IN_FLIGHT);
    rig_free(rig);
}

static void the_line_is_bounded_in_bytes(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){.max_in_flight = 1});
    char *params = malloc((10u << 20) + 1);

    (void)state;
    assert_non_null(params);
    memset(params, ' ', 10u << 20);
    params[10u << 20] = '\0';
    rig_request(rig, 0);
    for (uint64_t i = 1; i <= 6; i++)
        rig_request_with(rig, (SessionRequest){.token = i}, params);
    assert_int_equal(rig_status(rig).in_line, 6);
    rig_request_with(rig, (SessionRequest){.token = 7}, params);
    rig_expect_error(rig, 7, "QUEUE_FULL");
    rig_request(rig, 8);
    assert_int_equal(rig_status(rig).in_line, 7);
    session_cancel(rig->session, rig->now_ms, 0, 3);
    rig_request_with(rig, (SessionRequest){.token = 9}, params);
    assert_int_equal(rig_status(rig).in_line, 7);
    free(params);
    rig_free(rig);
}

/* One that was accepted holds no slot any more, but its frame is kept for the next connection. */
static void what_is_kept_to_be_sent_again_is_bounded_in_bytes(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){.max_in_flight = 1});
    char *params = malloc((10u << 20) + 1);

    (void)state;
    assert_non_null(params);
    memset(params, ' ', 10u << 20);
    params[10u << 20] = '\0';
    for (uint64_t i = 0; i < 6; i++) {
        rig_request_with(rig, (SessionRequest){.token = i, .final = true, .resend = true}, params);
        rig_answer_last(rig, ACCEPTED);
    }
    assert_int_equal(rig->reply_count, 6);
    rig_request_with(rig, (SessionRequest){.token = 6, .final = true, .resend = true}, params);
    rig_expect_error(rig, 6, "QUEUE_FULL");
    rig_answer_last(rig, FINAL); /* makes room */
    rig_request_with(rig, (SessionRequest){.token = 7, .final = true, .resend = true}, params);
    assert_int_equal(rig_status(rig).in_flight, 6);
    rig_closed(rig, 1006, "");
    assert_int_equal(rig_status(rig).in_line, 6);
    rig_request_with(rig, (SessionRequest){.token = 8, .wait_ms = 1000}, params);
    rig_expect_error(rig, 8, "QUEUE_FULL");
    free(params);
    rig_free(rig);
}

static void a_request_over_the_policy_is_not_sent(void **state)
{
    Rig *rig = rig_new(&(SessionConfig){0});
    char params[2100];

    (void)state;
    session_start(rig->session, rig->now_ms);
    memset(params, ' ', sizeof params);
    params[sizeof params - 1] = '\0';
    /* Let in while nothing better was known, found too large when it could go. */
    rig_request_with(rig, (SessionRequest){.token = 1, .wait_ms = 1000}, params);
    rig_challenge(rig);
    rig_answer_last(rig, "{\"type\":\"hello-ok\",\"protocol\":4,\"policy\":{\"maxPayload\":2048}}");
    rig_expect_error(rig, 1, "TOO_LARGE");
    assert_int_equal(rig->write_count, 1);
    rig_request_with(rig, (SessionRequest){.token = 2}, params);
    rig_expect_error(rig, 2, "TOO_LARGE");
    assert_non_null(strstr(rig_last_reply(rig)->text, "2048"));
    assert_false(rig_was_sent(rig_last_reply(rig)));

    /* Exactly the limit goes. */
    rig_request_with(rig, (SessionRequest){.token = 3}, "");
    size_t envelope = strlen(rig_last_write(rig)) + strlen(",\"params\":");
    params[2048 - envelope] = '\0';
    rig_request_with(rig, (SessionRequest){.token = 4}, params);
    assert_int_equal(strlen(rig_last_write(rig)), 2048);
    params[2048 - envelope] = ' ';
    params[2048 - envelope + 1] = '\0';
    rig_request_with(rig, (SessionRequest){.token = 5}, params);
    rig_expect_error(rig, 5, "TOO_LARGE");
    rig_free(rig);
}

/* --- time --------------------------------------------------------------------------------------------------------- */

static void a_request_times_out_in_flight_and_in_line(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){.max_in_flight = 1});

    (void)state;
    rig_request_with(rig, (SessionRequest){.token = 1}, "{}");
    rig_request_with(rig, (SessionRequest){.token = 2, .timeout_ms = 500}, "{}");
    assert_true(session_due_ms(rig->session) == rig->now_ms + 500);
    rig_advance(rig, 499);
    assert_int_equal(rig->reply_count, 0);
    rig_advance(rig, 1);
    rig_expect_error(rig, 2, "TIMEOUT");
    assert_false(rig_was_sent(rig_last_reply(rig)));
    rig_advance(rig, SESSION_TIMEOUT_MS - 501);
    assert_int_equal(rig->reply_count, 1);
    rig_request_with(rig, (SessionRequest){.token = 3}, "{}");
    size_t writes = rig->write_count;
    rig_advance(rig, 1);
    rig_expect_error(rig, 1, "TIMEOUT");
    assert_true(rig_was_sent(rig_last_reply(rig)));
    assert_int_equal(rig->write_count, writes + 1); /* its slot is free */
    assert_int_equal(rig_status(rig).ended_timeout, 2);
    rig_free(rig);
}

static void not_connected_is_an_error_at_once_or_after_wait(void **state)
{
    Rig *rig = rig_new(&(SessionConfig){0});

    (void)state;
    rig_request(rig, 1);
    rig_expect_error(rig, 1, "NOT_CONNECTED");
    assert_non_null(strstr(rig_last_reply(rig)->text, "stopped"));
    session_start(rig->session, rig->now_ms);
    rig_request(rig, 2);
    rig_expect_error(rig, 2, "NOT_CONNECTED");
    rig_request_with(rig, (SessionRequest){.token = 3, .wait_ms = 700}, "{}");
    rig_request_with(rig, (SessionRequest){.token = 4, .wait_ms = 90000, .timeout_ms = 800}, "{}");
    rig_request_with(rig, (SessionRequest){.token = 5, .wait_ms = INT64_MAX, .timeout_ms = INT64_MAX}, "{\"e\":5}");
    assert_int_equal(rig_status(rig).in_line, 3);
    rig_advance(rig, 699);
    assert_int_equal(rig->reply_count, 2);
    rig_advance(rig, 1);
    rig_expect_error(rig, 3, "NOT_CONNECTED");
    rig_advance(rig, 100);
    rig_expect_error(rig, 4, "TIMEOUT");
    rig_greet(rig);
    assert_non_null(strstr(rig_last_write(rig), "{\"e\":5}"));
    rig_answer_last(rig, "{}");
    assert_int_equal(rig_last_reply(rig)->token, 5);
    rig_free(rig);
}

/* wait_ms is about the connection: once there is one, only the timeout counts. */
static void the_wait_ends_with_the_connection(void **state)
{
    Rig *rig = rig_new(&(SessionConfig){.max_in_flight = 1});

    (void)state;
    session_start(rig->session, rig->now_ms);
    rig_request_with(rig, (SessionRequest){.token = 1, .wait_ms = 1000, .timeout_ms = 5000}, "{}");
    rig_request_with(rig, (SessionRequest){.token = 2, .wait_ms = 1000, .timeout_ms = 5000}, "{}");
    rig_greet(rig);
    rig_advance(rig, 4999);
    assert_int_equal(rig->reply_count, 0);
    rig_advance(rig, 1);
    assert_int_equal(rig->reply_count, 2);
    rig_expect_error(rig, 2, "TIMEOUT");
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_and_response),
        cmocka_unit_test(responses_in_the_legacy_dialect),
        cmocka_unit_test(responses_come_in_any_order),
        cmocka_unit_test(final_waits_for_the_second_response),
        cmocka_unit_test(without_final_the_second_response_is_known),
        cmocka_unit_test(an_accepted_request_holds_no_slot),
        cmocka_unit_test(late_and_unknown_responses_are_counted),
        cmocka_unit_test(an_answer_to_a_malformed_request_ends_nothing),
        cmocka_unit_test(what_is_remembered_is_bounded),
        cmocka_unit_test(the_rest_waits_in_line_in_order),
        cmocka_unit_test(the_default_is_128_in_flight),
        cmocka_unit_test(the_line_is_bounded_in_bytes),
        cmocka_unit_test(what_is_kept_to_be_sent_again_is_bounded_in_bytes),
        cmocka_unit_test(requests_wait_for_a_link_that_has_not_written_what_it_has),
        cmocka_unit_test(owners_do_not_share_names),
        cmocka_unit_test(a_request_over_the_policy_is_not_sent),
        cmocka_unit_test(a_request_times_out_in_flight_and_in_line),
        cmocka_unit_test(not_connected_is_an_error_at_once_or_after_wait),
        cmocka_unit_test(the_wait_ends_with_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
