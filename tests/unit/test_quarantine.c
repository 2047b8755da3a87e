/* A handler that fails again and again is switched off, for longer each time, and its first success lifts it. */
#include "app/quarantine.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const QuarantineRules defaults;

static QuarantineChange fail_at(Quarantine *q, int64_t now_ms, bool probe)
{
    return quarantine_result(q, &defaults, QUARANTINE_FAILED, probe, now_ms);
}

/* Calls and fails until it is off. */
static void drive_off(Quarantine *q, int64_t now_ms)
{
    for (int i = 1; i < QUARANTINE_FAILURES; i++) {
        assert_int_equal(quarantine_ask(q, now_ms), QUARANTINE_CALL);
        assert_int_equal(fail_at(q, now_ms, false), QUARANTINE_AS_BEFORE);
    }
    assert_int_equal(quarantine_ask(q, now_ms), QUARANTINE_CALL);
    assert_int_equal(fail_at(q, now_ms, false), QUARANTINE_BEGINS);
}

static void ten_failures_in_a_row_switch_it_off_and_a_success_between_does_not(void **state)
{
    (void)state;
    Quarantine q = {0};
    for (int i = 1; i < QUARANTINE_FAILURES; i++)
        assert_int_equal(fail_at(&q, 5, false), QUARANTINE_AS_BEFORE);
    assert_int_equal(quarantine_result(&q, &defaults, QUARANTINE_SUCCEEDED, false, 5), QUARANTINE_AS_BEFORE);
    drive_off(&q, 5);
    assert_true(q.off);
    assert_int_equal(quarantine_ask(&q, 5), QUARANTINE_SKIP);
    assert_int_equal(quarantine_ask(&q, 5 + QUARANTINE_FIRST_MS - 1), QUARANTINE_SKIP);
    assert_int_equal(q.skipped, 2);
}

static void one_probe_decides_and_all_else_is_skipped_meanwhile(void **state)
{
    (void)state;
    Quarantine q = {0};
    drive_off(&q, 0);
    assert_int_equal(quarantine_ask(&q, 1000), QUARANTINE_PROBE);
    assert_int_equal(quarantine_ask(&q, 9000), QUARANTINE_SKIP);
    assert_int_equal(quarantine_result(&q, &defaults, QUARANTINE_SUCCEEDED, true, 9000), QUARANTINE_ENDS);
    assert_int_equal(quarantine_ask(&q, 9000), QUARANTINE_CALL);
    drive_off(&q, 9000); /* takes ten failures again, and starts with the short time */
    assert_int_equal(q.length_ms, QUARANTINE_FIRST_MS);
    assert_int_equal(q.skipped, 1);
}

static void the_time_doubles_up_to_its_most(void **state)
{
    (void)state;
    Quarantine q = {0};
    int64_t now_ms = 0, expected_ms = QUARANTINE_FIRST_MS;
    drive_off(&q, now_ms);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(q.length_ms, expected_ms);
        now_ms = q.until_ms;
        assert_int_equal(quarantine_ask(&q, now_ms), QUARANTINE_PROBE);
        assert_int_equal(fail_at(&q, now_ms, true), QUARANTINE_GOES_ON);
        expected_ms = expected_ms * 2 < QUARANTINE_MOST_MS ? expected_ms * 2 : QUARANTINE_MOST_MS;
    }
    assert_int_equal(q.length_ms, QUARANTINE_MOST_MS);
}

static void calls_that_began_before_neither_lengthen_it_nor_are_ignored_when_they_succeed(void **state)
{
    (void)state;
    Quarantine q = {0};
    drive_off(&q, 0);
    assert_int_equal(fail_at(&q, 500, false), QUARANTINE_AS_BEFORE);
    assert_int_equal(q.until_ms, QUARANTINE_FIRST_MS);
    assert_int_equal(quarantine_result(&q, &defaults, QUARANTINE_SUCCEEDED, false, 600), QUARANTINE_ENDS);
    assert_int_equal(quarantine_ask(&q, 600), QUARANTINE_CALL);
}

static void a_probe_that_is_abandoned_is_followed_by_another(void **state)
{
    (void)state;
    Quarantine q = {0};
    drive_off(&q, 0);
    assert_int_equal(quarantine_ask(&q, 1000), QUARANTINE_PROBE);
    assert_int_equal(quarantine_result(&q, &defaults, QUARANTINE_ABANDONED, true, 1500), QUARANTINE_AS_BEFORE);
    assert_int_equal(quarantine_ask(&q, 1500), QUARANTINE_PROBE);
}

static void rules_can_be_other_ones_or_none(void **state)
{
    (void)state;
    Quarantine q = {0};
    QuarantineRules rules = {.failures = 1, .first_ms = 70, .most_ms = 100};
    assert_int_equal(quarantine_result(&q, &rules, QUARANTINE_FAILED, false, 0), QUARANTINE_BEGINS);
    assert_int_equal(q.until_ms, 70);
    assert_int_equal(quarantine_ask(&q, 70), QUARANTINE_PROBE);
    assert_int_equal(quarantine_result(&q, &rules, QUARANTINE_FAILED, true, 70), QUARANTINE_GOES_ON);
    assert_int_equal(q.until_ms, 170);

    Quarantine never = {0};
    rules.failures = UINT_MAX;
    for (int i = 0; i < 100; i++)
        assert_int_equal(quarantine_result(&never, &rules, QUARANTINE_FAILED, false, 0), QUARANTINE_AS_BEFORE);
    assert_int_equal(quarantine_ask(&never, 0), QUARANTINE_CALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_failures_in_a_row_switch_it_off_and_a_success_between_does_not),
        cmocka_unit_test(one_probe_decides_and_all_else_is_skipped_meanwhile),
        cmocka_unit_test(the_time_doubles_up_to_its_most),
        cmocka_unit_test(calls_that_began_before_neither_lengthen_it_nor_are_ignored_when_they_succeed),
        cmocka_unit_test(a_probe_that_is_abandoned_is_followed_by_another),
        cmocka_unit_test(rules_can_be_other_ones_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
