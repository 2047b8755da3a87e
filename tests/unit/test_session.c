/* test_session.c - a session at work: events, silence, and the ways a connection ends and begins again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/session.h"
#include "unit/session_rig.h"

static void event(Rig *rig, const char *name, int64_t seq)
{
    rig_text_format(rig, "{\"type\":\"event\",\"event\":\"%s\",\"payload\":{},\"seq\":%" PRId64 "}", name, seq);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static void an_event_right_after_hello_is_delivered_after_the_notice(void **state)
{
    Rig *rig = rig_new(&(SessionConfig){0});

    (void)state;
    session_start(rig->session, rig->now_ms);
    rig_greet(rig);
    assert_int_equal(rig_last_notice(rig)->type, SESSION_NOTICE_READY);
    event(rig, "health", 1);
    assert_int_equal(rig->event_count, 1);
    assert_int_equal(rig_count_notices(rig, SESSION_NOTICE_GAP), 0);
    rig_free(rig);
}

static void a_gap_is_a_jump_between_two_numbered_events(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){0});

    (void)state;
    event(rig, "chat", 4711); /* the first number is no gap */
    event(rig, "chat", 4712);
    rig_text(rig, "{\"type\":\"event\",\"event\":\"session.message\",\"payload\":{}}"); /* none is no gap */
    event(rig, "chat", 4713);
    assert_int_equal(rig_status(rig).gaps, 0);
    event(rig, "chat", 4717);
    assert_int_equal(rig_status(rig).gaps, 1);
    assert_int_equal(rig_status(rig).missed_events, 3);
    assert_int_equal(rig_last_notice(rig)->type, SESSION_NOTICE_GAP);
    assert_int_equal(rig_last_notice(rig)->expected, 4714);
    assert_int_equal(rig_last_notice(rig)->received, 4717);
    assert_int_equal(rig->event_count, 5);

    /* A number that was there is no gap, is noticed, and does not make one of the next. */
    event(rig, "chat", 4717);
    event(rig, "chat", 3);
    event(rig, "chat", 4718);
    assert_int_equal(rig_status(rig).gaps, 1);
    assert_int_equal(rig_status(rig).odd_frames, 2);
    assert_int_equal(rig->event_count, 8);
    event(rig, "chat", 4720); /* one missing is the smallest */
    assert_int_equal(rig_status(rig).gaps, 2);
    assert_int_equal(rig_status(rig).missed_events, 4);

    /* Never compared across connections. */
    rig_closed(rig, 1006, "");
    rig_reconnect(rig);
    event(rig, "chat", 9999);
    assert_int_equal(rig_status(rig).gaps, 2);
    event(rig, "chat", INT64_MAX);
    event(rig, "chat", INT64_MAX);
    event(rig, "chat", 0);
    assert_int_equal(rig_status(rig).gaps, 3);
    rig_free(rig);
}

static void stop_in_gap_notice(Rig *rig, const SessionNotice *notice)
{
    if (notice->type == SESSION_NOTICE_GAP) session_stop(rig->session, rig->now_ms);
}

static void a_session_stopped_by_a_notice_delivers_no_event(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){0});

    (void)state;
    rig->in_notice = stop_in_gap_notice;
    event(rig, "chat", 1);
    event(rig, "chat", 5);
    assert_int_equal(rig->event_count, 1);
    assert_int_equal(rig_status(rig).state, SESSION_STOPPED);
    rig_free(rig);
}

static void odd_frames_are_counted_told_and_skipped(void **state)
{
    static const char *const texts[] = {
        "not json",
        "[]",
        "{}",
        "{\"type\":7}",
        "{\"type\":\"ping\"}",
        "{\"type\":\"req\",\"id\":\"1\",\"method\":\"node.invoke\"}",
    };
    Rig *rig = rig_ready(&(SessionConfig){0});

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        rig_text(rig, texts[i]);
        assert_int_equal(rig_status(rig).odd_frames, i + 1);
        assert_int_equal(rig_last_notice(rig)->type, SESSION_NOTICE_ODD);
    }
    assert_int_equal(rig_status(rig).state, SESSION_READY);
    rig_free(rig);
}

static void what_the_peer_wrote_is_cleaned(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){.token = "secret-token", .password = "secret-password"});

    (void)state;
    rig_text(rig, "{\"type\":\"\x1b[31mred\xc2\x9b\x7f secret-token secret-passw\"}");
    assert_null(strpbrk(rig_last_notice(rig)->reason, "\x1b\x7f"));
    assert_null(strstr(rig_last_notice(rig)->reason, "\xc2\x9b"));
    assert_null(strstr(rig_last_notice(rig)->reason, "secret"));
    rig_closed(rig, 1008, "go away, secret-token\nERROR forged line \xff");
    assert_string_equal(rig_last_notice(rig)->reason, "go away, ************ ERROR forged line ?");
    rig_free(rig);
}

/* --- silence ------------------------------------------------------------------------------------------------------ */

static void silence_of_two_ticks_ends_the_connection(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){0});

    (void)state;
    rig_request_with(rig, (SessionRequest){.token = 1, .timeout_ms = 600000}, "{}");
    rig_advance(rig, 59999);
    assert_int_equal(rig_status(rig).state, SESSION_READY);
    session_alive(rig->session, rig->now_ms); /* a pong */
    rig_advance(rig, 59999);
    event(rig, "tick", 1);
    assert_int_equal(rig_status(rig).last_tick_ms, rig->now_ms);
    rig_advance(rig, 59999);
    assert_int_equal(rig_status(rig).state, SESSION_READY);
    assert_true(session_due_ms(rig->session) == rig->now_ms + 1);
    rig_advance(rig, 1);
    assert_int_equal(rig_status(rig).state, SESSION_WAITING);
    assert_int_equal(rig->close_code, 4000);
    assert_int_equal(rig_last_notice(rig)->code, 4000);
    assert_string_equal(rig_error_code(rig_last_reply(rig)), "DISCONNECTED");

    /* The next connection waits until the dead one is gone. */
    unsigned dials = rig->dials;
    rig_advance(rig, 5000);
    assert_int_equal(rig->dials, dials);
    assert_true(session_due_ms(rig->session) == HEAP_NEVER);
    rig_closed(rig, 1006, "");
    assert_int_equal(rig->dials, dials + 1);
    rig_free(rig);
}

static void time_without_reading_is_no_silence(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){0});

    (void)state;
    rig_advance(rig, 40000);
    session_reading(rig->session, rig->now_ms, false);
    session_reading(rig->session, rig->now_ms, false);
    assert_true(session_due_ms(rig->session) == HEAP_NEVER);
    rig_advance(rig, 10000000);
    assert_int_equal(rig_status(rig).state, SESSION_READY);
    session_reading(rig->session, rig->now_ms, true);
    rig_advance(rig, 19999);
    assert_int_equal(rig_status(rig).state, SESSION_READY);
    rig_advance(rig, 1);
    assert_int_equal(rig_status(rig).state, SESSION_WAITING);
    rig_free(rig);

    /* What was read before and is handled while reading is stopped is a sign of life. */
    rig = rig_ready(&(SessionConfig){0});
    rig_advance(rig, 40000);
    session_reading(rig->session, rig->now_ms, false);
    event(rig, "chat", 1);
    rig_advance(rig, 100000);
    session_reading(rig->session, rig->now_ms, true);
    rig_advance(rig, 59999);
    assert_int_equal(rig_status(rig).state, SESSION_READY);
    rig_free(rig);
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

static void each_end_has_its_wait(void **state)
{
    static const struct {
        bool was_ready, shutdown;
        unsigned code;
        int64_t retry_after_ms, expected_ms;
    } cases[] = {
        {false, false, 0, -1, 1000},    /* unreachable */
        {false, false, 0, 7000, 7000},  /* HTTP 503 with Retry-After */
        {false, false, 1008, -1, 1000}, /* closed before the challenge */
        {false, false, 1013, -1, 500},  /* starting */
        {true, false, 1013, -1, 500},   {true, false, 1006, -1, 1000},
        {true, false, 1012, -1, 1000},  {true, true, 1006, -1, 1000},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Rig *rig = rig_new(&(SessionConfig){0});
        session_start(rig->session, rig->now_ms);
        if (cases[i].was_ready) rig_greet(rig);
        if (cases[i].shutdown) {
            rig_text(rig, "{\"type\":\"event\",\"event\":\"shutdown\",\"payload\":{\"reason\":\"bye\"}}");
        }
        session_closed(rig->session, rig->now_ms,
                       &(SessionClose){.code = cases[i].code, .retry_after_ms = cases[i].retry_after_ms});
        assert_int_equal(rig_status(rig).state, SESSION_WAITING);
        assert_int_equal(rig_last_notice(rig)->type, SESSION_NOTICE_CLOSED);
        assert_int_equal(rig_last_notice(rig)->retry_ms, cases[i].expected_ms);
        assert_true(session_due_ms(rig->session) == rig->now_ms + cases[i].expected_ms);
        assert_true(rig_last_notice(rig)->reason[0] != '\0');
        rig_free(rig);
    }
}

static void failures_double_and_restarts_start_over(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){0});
    const int64_t expected_ms[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000};

    (void)state;
    for (size_t i = 0; i < sizeof expected_ms / sizeof *expected_ms; i++) {
        rig_closed(rig, i == 0 ? 1006 : 0, "");
        assert_int_equal(rig_last_notice(rig)->retry_ms, expected_ms[i]);
        rig_advance(rig, expected_ms[i] - 1);
        assert_int_equal(rig->dials, i + 1);
        rig_advance(rig, 1);
        assert_int_equal(rig->dials, i + 2);
    }
    /* Ready, but not for ten seconds: goes on. */
    rig_greet(rig);
    rig_advance(rig, 9999);
    rig_closed(rig, 1006, "");
    assert_int_equal(rig_last_notice(rig)->retry_ms, 30000);
    rig_reconnect(rig);
    rig_advance(rig, 10000);
    rig_closed(rig, 1006, "");
    assert_int_equal(rig_last_notice(rig)->retry_ms, 1000);
    /* A shutdown announced on one connection says nothing about the next. */
    rig_reconnect(rig);
    rig_text(rig, "{\"type\":\"event\",\"event\":\"shutdown\",\"payload\":{}}");
    rig_closed(rig, 1006, "");
    assert_int_equal(rig_last_notice(rig)->retry_ms, 1000);
    rig_reconnect(rig);
    rig_closed(rig, 1006, "");
    assert_int_equal(rig_last_notice(rig)->retry_ms, 2000);
    rig_free(rig);
}

static void a_fatal_end_pauses_until_resumed(void **state)
{
    Rig *rig = rig_new(&(SessionConfig){0});

    (void)state;
    session_start(rig->session, rig->now_ms);
    session_closed(
        rig->session, rig->now_ms,
        &(SessionClose){.reason = slice_of("the certificate has expired"), .retry_after_ms = -1, .fatal = true});
    assert_int_equal(rig_status(rig).state, SESSION_PAUSED);
    assert_int_equal(rig->notice_count, 3);
    assert_int_equal(rig->notices[1].type, SESSION_NOTICE_CLOSED);
    assert_int_equal(rig->notices[2].type, SESSION_NOTICE_PAUSED);
    assert_string_equal(rig->notices[2].reason, "the certificate has expired");
    assert_int_equal(rig->notices[2].retry_ms, -1);
    assert_true(session_due_ms(rig->session) == HEAP_NEVER);
    rig_advance(rig, 100000000);
    assert_int_equal(rig->dials, 1);
    session_resume(rig->session, rig->now_ms);
    assert_int_equal(rig->dials, 2);
    session_resume(rig->session, rig->now_ms); /* it is dialing already */
    assert_int_equal(rig->dials, 2);
    rig_free(rig);
}

static void resume_dials_at_once_but_never_over_a_closing_connection(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){0});

    (void)state;
    rig_closed(rig, 1006, "");
    session_resume(rig->session, rig->now_ms);
    assert_int_equal(rig->dials, 2);
    rig_challenge(rig);
    rig_refuse_last(rig, "{\"code\":\"FORBIDDEN\",\"message\":\"no\"}");
    assert_int_equal(rig_status(rig).state, SESSION_PAUSED);
    assert_int_equal(rig->closes, 1);
    session_resume(rig->session, rig->now_ms);
    assert_int_equal(rig_status(rig).state, SESSION_WAITING);
    assert_int_equal(rig->dials, 2);
    rig_closed(rig, 1008, "");
    assert_int_equal(rig->dials, 3);
    rig_free(rig);
}

static void stop_and_start(void **state)
{
    Rig *rig = rig_ready(&(SessionConfig){0});

    (void)state;
    rig_request(rig, 1);
    session_start(rig->session, rig->now_ms); /* it is on already */
    assert_int_equal(rig->dials, 1);
    session_stop(rig->session, rig->now_ms);
    assert_int_equal(rig->closes, 1);
    assert_int_equal(rig->close_code, 1000);
    assert_string_equal(rig_error_code(rig_last_reply(rig)), "CANCELLED");
    assert_int_equal(rig_status(rig).state, SESSION_STOPPED);
    assert_int_equal(rig_count_notices(rig, SESSION_NOTICE_CLOSED), 0);
    event(rig, "chat", 1); /* what was on its way */
    assert_int_equal(rig->event_count, 0);
    session_start(rig->session, rig->now_ms);
    assert_int_equal(rig->dials, 1);
    rig_closed(rig, 1000, "");
    assert_int_equal(rig->dials, 2);
    rig_greet(rig);
    assert_int_equal(rig_status(rig).connection, 2);
    session_stop(rig->session, rig->now_ms);
    rig_closed(rig, 1000, "");
    rig_closed(rig, 1000, ""); /* said twice */
    rig_advance(rig, 1000000);
    assert_int_equal(rig->dials, 2);
    assert_true(session_due_ms(rig->session) == HEAP_NEVER);
    rig_free(rig);
}

static void stop_in_dialing_notice(Rig *rig, const SessionNotice *notice)
{
    if (notice->type == SESSION_NOTICE_DIALING) session_stop(rig->session, rig->now_ms);
}

static void resume_in_closed_notice(Rig *rig, const SessionNotice *notice)
{
    if (notice->type == SESSION_NOTICE_CLOSED) session_resume(rig->session, rig->now_ms);
}

static void notices_may_stop_and_resume(void **state)
{
    Rig *rig = rig_new(&(SessionConfig){0});

    (void)state;
    rig->in_notice = stop_in_dialing_notice;
    session_start(rig->session, rig->now_ms);
    assert_int_equal(rig->dials, 0);
    assert_int_equal(rig_status(rig).state, SESSION_STOPPED);
    rig_free(rig);

    rig = rig_ready(&(SessionConfig){0});
    rig_request(rig, 1);
    rig->in_notice = resume_in_closed_notice;
    rig_closed(rig, 1006, "");
    assert_int_equal(rig->dials, 2);
    assert_int_equal(rig_status(rig).state, SESSION_DIALING);
    assert_int_equal(rig->reply_count, 1);
    session_closed(rig->session, rig->now_ms, &(SessionClose){.retry_after_ms = -1, .fatal = true});
    assert_int_equal(rig->dials, 3);
    assert_int_equal(rig_count_notices(rig, SESSION_NOTICE_PAUSED), 0);
    rig_free(rig);
}

static void states_have_names(void **state)
{
    (void)state;
    assert_string_equal(session_state_name(SESSION_STOPPED), "stopped");
    assert_string_equal(session_state_name(SESSION_DIALING), "connecting");
    assert_string_equal(session_state_name(SESSION_CHALLENGE), "handshake");
    assert_string_equal(session_state_name(SESSION_GREETING), "handshake");
    assert_string_equal(session_state_name(SESSION_READY), "ready");
    assert_string_equal(session_state_name(SESSION_WAITING), "waiting");
    assert_string_equal(session_state_name(SESSION_PAUSED), "paused");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_right_after_hello_is_delivered_after_the_notice),
        cmocka_unit_test(a_gap_is_a_jump_between_two_numbered_events),
        cmocka_unit_test(a_session_stopped_by_a_notice_delivers_no_event),
        cmocka_unit_test(odd_frames_are_counted_told_and_skipped),
        cmocka_unit_test(what_the_peer_wrote_is_cleaned),
        cmocka_unit_test(silence_of_two_ticks_ends_the_connection),
        cmocka_unit_test(time_without_reading_is_no_silence),
        cmocka_unit_test(each_end_has_its_wait),
        cmocka_unit_test(failures_double_and_restarts_start_over),
        cmocka_unit_test(a_fatal_end_pauses_until_resumed),
        cmocka_unit_test(resume_dials_at_once_but_never_over_a_closing_connection),
        cmocka_unit_test(stop_and_start),
        cmocka_unit_test(notices_may_stop_and_resume),
        cmocka_unit_test(states_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
