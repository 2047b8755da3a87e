/* test_session_disconnect.c - requests over the end of a connection, cancelled ones, and calls out of callbacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/session.h"
#include "unit/session_rig.h"

#define ACCEPTED "{\"runId\":\"r\",\"status\":\"accepted\"}"
#define FINAL "{\"runId\":\"r\",\"status\":\"ok\"}"

/* --- disconnect --------------------------------------------------------------------------------------------------- */

static void a_disconnect_fails_what_is_pending_at_once(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){.max_in_flight = 2});

    (void)state;
    for (uint64_t i = 0; i < 4; i++)
        rig_request(rig, i);
    rig_closed(rig, 1006, "");
    assert_int_equal(rig->reply_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(rig->replies[i].token, i);
        assert_string_equal(rig_error_code(&rig->replies[i]), "DISCONNECTED");
        assert_int_equal(rig_was_sent(&rig->replies[i]), i < 2);
    }
    assert_int_equal(rig_status(rig).ended_disconnected, 4);
    rig_expect_sum(rig);
    rig_free(rig);
}

static void an_answer_on_another_connection_means_nothing(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){.max_in_flight = 1});
    size_t first = rig->write_count;

    (void)state;
    rig_request_with(rig, (SessionRequest){.token = 1, .timeout_ms = 10}, "{}");
    rig_advance(rig, 10);
    rig_expect_error(rig, 1, "TIMEOUT");
    rig_request_with(rig, (SessionRequest){.token = 2, .resend = true, .final = true}, "{}");
    rig_answer_last(rig, ACCEPTED);
    rig_request_with(rig, (SessionRequest){.token = 3, .resend = true}, "{}");
    char *third = rig_copy(slice_of(rig_last_write(rig)));
    rig_closed(rig, 1006, "");
    rig_reconnect(rig);
    size_t replies = rig->reply_count;
    assert_int_equal(rig_status(rig).in_flight, 1);
    assert_int_equal(rig_status(rig).in_line, 1);
    rig_answer(rig, rig_id_of(rig->writes[first]), "{}"); /* not late: that was another connection */
    rig_answer(rig, rig_id_of(third), "{}");              /* not sent on this one yet */
    assert_int_equal(rig_status(rig).late_responses, 0);
    assert_int_equal(rig_status(rig).unknown_responses, 2);
    assert_int_equal(rig->reply_count, replies);
    rig_answer_last(rig, FINAL);
    rig_answer_last(rig, "{}");
    assert_int_equal(rig_last_reply(rig)->token, 3);
    assert_int_equal(rig_status(rig).ended_ok, 2);
    free(third);
    rig_free(rig);
}

static void what_may_wait_waits_over_a_disconnect(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){.max_in_flight = 1});

    (void)state;
    rig_request_with(rig, (SessionRequest){.token = 1, .wait_ms = 60000}, "{}"); /* is in flight: waiting is over */
    rig_request_with(rig, (SessionRequest){.token = 2, .wait_ms = 60000, .timeout_ms = 60000}, "{\"n\":2}");
    rig_request_with(rig, (SessionRequest){.token = 3, .wait_ms = 400}, "{}");
    rig_closed(rig, 1006, "");
    assert_int_equal(rig->reply_count, 1);
    rig_expect_error(rig, 1, "DISCONNECTED");
    rig_advance(rig, 400);
    rig_expect_error(rig, 3, "NOT_CONNECTED");
    rig_reconnect(rig);
    assert_non_null(strstr(rig_last_write(rig), "{\"n\":2}"));
    rig_free(rig);
}

static void what_may_be_resent_is_resent_once_ready(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){.max_in_flight = 3});

    (void)state;
    rig_request_with(rig, (SessionRequest){.token = 1, .resend = true}, "{\"idempotencyKey\":\"k1\"}");
    rig_request_with(rig, (SessionRequest){.token = 2}, "{}");
    rig_request_with(rig, (SessionRequest){.token = 3, .resend = true, .final = true}, "{\"idempotencyKey\":\"k3\"}");
    char *first = rig_copy(slice_of(rig->writes[1]));
    char *third = rig_copy(slice_of(rig->writes[3]));
    rig_answer_last(rig, ACCEPTED);
    rig_request_with(rig, (SessionRequest){.token = 4, .resend = true}, "{\"idempotencyKey\":\"k4\"}");
    rig_request_with(rig, (SessionRequest){.token = 5, .resend = true}, "{\"idempotencyKey\":\"k5\"}");
    assert_int_equal(rig_status(rig).in_line, 1);
    rig_closed(rig, 1006, "");
    assert_int_equal(rig->reply_count, 2); /* 3's accepted, 2's end */
    rig_expect_error(rig, 2, "DISCONNECTED");
    assert_int_equal(rig_status(rig).in_line, 4);

    size_t writes = rig->write_count;
    rig_reconnect(rig);
    assert_int_equal(rig->write_count, writes + 4); /* connect, and three slots */
    assert_string_equal(rig->writes[writes + 1], first);
    assert_string_equal(rig->writes[writes + 2], third);
    assert_non_null(strstr(rig->writes[writes + 3], "k4"));

    /* The caller has heard `accepted` once; the end comes once. */
    rig_answer(rig, rig_id_of(third), ACCEPTED);
    assert_int_equal(rig->reply_count, 2);
    assert_non_null(strstr(rig_last_write(rig), "k5"));
    rig_answer(rig, rig_id_of(third), FINAL);
    assert_int_equal(rig_last_reply(rig)->token, 3);
    assert_true(rig_last_reply(rig)->last);
    rig_answer(rig, rig_id_of(first), "{}");
    assert_int_equal(rig_last_reply(rig)->token, 1);
    rig_expect_sum(rig);
    free(first);
    free(third);
    rig_free(rig);
}

static void a_resend_keeps_its_first_deadline(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){0});

    (void)state;
    rig_request_with(rig, (SessionRequest){.token = 1, .resend = true, .timeout_ms = 5000}, "{}");
    rig_advance(rig, 3000);
    rig_closed(rig, 1006, "");
    rig_reconnect(rig); /* after one second */
    rig_advance(rig, 999);
    assert_int_equal(rig->reply_count, 0);
    rig_advance(rig, 1);
    rig_expect_error(rig, 1, "TIMEOUT");
    assert_true(rig_was_sent(rig_last_reply(rig)));

    /* Also when no connection comes any more. */
    rig_request_with(rig, (SessionRequest){.token = 2, .resend = true, .timeout_ms = 5000}, "{}");
    rig_closed(rig, 1006, "");
    rig_advance(rig, 5000);
    rig_expect_error(rig, 2, "TIMEOUT");
    rig_free(rig);
}

static void a_failed_attempt_in_between_ends_nothing(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){0});

    (void)state;
    rig_request_with(rig, (SessionRequest){.token = 1, .resend = true}, "{}");
    rig_closed(rig, 1006, "");
    rig_request_with(rig, (SessionRequest){.token = 2, .wait_ms = 20000}, "{}");
    rig_advance(rig, 1000);
    rig_closed(rig, 0, "refused");
    rig_advance(rig, 2000);
    rig_closed(rig, 0, "refused");
    assert_int_equal(rig->reply_count, 0);
    rig_reconnect(rig);
    assert_int_equal(rig_status(rig).in_flight, 2);
    rig_free(rig);
}

static void cancel_ends_it_wherever_it_is(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){.max_in_flight = 1});

    (void)state;
    rig_request(rig, 1);
    rig_request(rig, 2);
    rig_request(rig, 3);
    session_cancel(rig->session, rig->now_ms, 0, 2);
    rig_expect_error(rig, 2, "CANCELLED");
    assert_false(rig_was_sent(rig_last_reply(rig)));
    size_t writes = rig->write_count;
    session_cancel(rig->session, rig->now_ms, 0, 1);
    assert_true(rig_was_sent(rig_last_reply(rig)));
    assert_int_equal(rig->write_count, writes + 1);
    session_cancel(rig->session, rig->now_ms, 0, 1);
    session_cancel(rig->session, rig->now_ms, 0, 99);
    assert_int_equal(rig->reply_count, 2);
    assert_int_equal(rig_status(rig).ended_cancelled, 2);
    rig_expect_sum(rig);
    rig_free(rig);
}

static void free_ends_what_is_pending(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){.max_in_flight = 1});

    (void)state;
    for (uint64_t i = 0; i < 3; i++)
        rig_request(rig, i);
    session_free(rig->session);
    assert_int_equal(rig->reply_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(rig_error_code(&rig->replies[i]), "CANCELLED");
    rig_forget(rig);
    free(rig);
}

/* --- calls from inside of callbacks ------------------------------------------------------------------------------- */

static void request_in_reply(Rig *rig, const SessionReply *reply)
{
    if (reply->token < 50) rig_request(rig, reply->token + 1);
}

static void request_in_event(Rig *rig, const Frame *frame)
{
    (void)frame;
    rig_request(rig, 1000 + rig->event_count);
}

static void replies_and_events_may_request(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){.max_in_flight = 2});

    (void)state;
    rig->in_reply = request_in_reply;
    rig_request(rig, 0);
    for (size_t i = 0; i <= 50; i++)
        rig_answer_last(rig, "{}");
    assert_int_equal(rig->reply_count, 51);
    rig->in_event = request_in_event;
    for (int i = 0; i < 5; i++)
        rig_text(rig, "{\"type\":\"event\",\"event\":\"chat\",\"payload\":{}}");
    assert_int_equal(rig_status(rig).in_flight, 2);
    assert_int_equal(rig_status(rig).in_line, 3);
    rig->in_reply = NULL;
    rig_expect_sum(rig);
    rig_free(rig);
}

/* Each end of a request, and in it: one new request, one that may wait, and the end of a neighbour. */
static void meddle_in_reply(Rig *rig, const SessionReply *reply)
{
    uint64_t token = reply->token;
    if (!reply->last || token >= 100) return;
    rig_request(rig, token + 100);
    rig_request_with(rig, (SessionRequest){.token = token + 200, .wait_ms = 500}, "{}");
    session_cancel(rig->session, rig->now_ms, 0, token + 1);
}

static void expect_each_token_once(const Rig *rig)
{
    for (size_t i = 0; i < rig->reply_count; i++) {
        for (size_t j = i + 1; j < rig->reply_count; j++)
            assert_true(rig->replies[i].token != rig->replies[j].token);
    }
}

static void replies_may_meddle_with_their_neighbours(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        Rig *rig = rig_ready(&(SessionConfig){.max_in_flight = 4});
        for (uint64_t i = 0; i < 10; i++)
            rig_request_with(rig, (SessionRequest){.token = i, .timeout_ms = 1000}, "{}");
        rig->in_reply = meddle_in_reply;
        switch (how) {
        case 0: rig_closed(rig, 1006, ""); break;
        case 1: session_stop(rig->session, rig->now_ms); break;
        case 2: rig_advance(rig, 1000); break;
        case 3: session_cancel(rig->session, rig->now_ms, 0, 5); break;
        }
        rig_expect_sum(rig);
        expect_each_token_once(rig);
        rig->in_reply = NULL;
        rig_advance(rig, 600000);
        rig_expect_sum(rig);
        expect_each_token_once(rig);
        assert_int_equal(rig_status(rig).in_flight + rig_status(rig).in_line, 0);
        assert_int_equal(rig->reply_count, rig_status(rig).requests);
        rig_free(rig);
    }
}

static void stop_in_reply(Rig *rig, const SessionReply *reply)
{
    (void)reply;
    session_stop(rig->session, rig->now_ms);
}

static void a_reply_may_stop_the_session(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){.max_in_flight = 2});

    (void)state;
    for (uint64_t i = 0; i < 5; i++)
        rig_request(rig, i);
    rig->in_reply = stop_in_reply;
    rig_closed(rig, 1006, "");
    assert_int_equal(rig->reply_count, 5);
    assert_string_equal(rig_error_code(&rig->replies[0]), "DISCONNECTED");
    assert_string_equal(rig_error_code(&rig->replies[4]), "CANCELLED");
    assert_int_equal(rig_status(rig).state, SESSION_STOPPED);
    assert_true(session_due_ms(rig->session) == HEAP_NEVER);
    rig_expect_sum(rig);
    rig_free(rig);
}

static void request_in_freeing(Rig *rig, const SessionReply *reply)
{
    if (reply->token < 10) rig_request_with(rig, (SessionRequest){.token = reply->token + 10, .wait_ms = 1000}, "{}");
}

static void a_request_while_freeing_is_cancelled(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){0});

    (void)state;
    rig_request(rig, 1);
    rig->in_reply = request_in_freeing;
    session_free(rig->session);
    assert_int_equal(rig->reply_count, 2);
    assert_string_equal(rig_error_code(&rig->replies[1]), "CANCELLED");
    rig_forget(rig);
    free(rig);
}

static void request_in_ready_notice(Rig *rig, const SessionNotice *notice)
{
    if (notice->type == SESSION_NOTICE_READY) rig_request_with(rig, (SessionRequest){.token = 2}, "{\"n\":2}");
}

static void the_ready_notice_may_request(void **state)
{
    Rig *rig = rig_new(&(SessionConfig){0});

    (void)state;
    session_start(rig->session, rig->now_ms);
    rig_request_with(rig, (SessionRequest){.token = 1, .wait_ms = 1000}, "{\"n\":1}");
    rig->in_notice = request_in_ready_notice;
    rig_greet(rig);
    assert_int_equal(rig->write_count, 3);
    assert_non_null(strstr(rig->writes[1], "{\"n\":1}")); /* who waited longer goes first */
    assert_non_null(strstr(rig->writes[2], "{\"n\":2}"));
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_disconnect_fails_what_is_pending_at_once),
        cmocka_unit_test(an_answer_on_another_connection_means_nothing),
        cmocka_unit_test(what_may_wait_waits_over_a_disconnect),
        cmocka_unit_test(what_may_be_resent_is_resent_once_ready),
        cmocka_unit_test(a_resend_keeps_its_first_deadline),
        cmocka_unit_test(a_failed_attempt_in_between_ends_nothing),
        cmocka_unit_test(cancel_ends_it_wherever_it_is),
        cmocka_unit_test(free_ends_what_is_pending),
        cmocka_unit_test(replies_and_events_may_request),
        cmocka_unit_test(replies_may_meddle_with_their_neighbours),
        cmocka_unit_test(a_reply_may_stop_the_session),
        cmocka_unit_test(a_request_while_freeing_is_cancelled),
        cmocka_unit_test(the_ready_notice_may_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
