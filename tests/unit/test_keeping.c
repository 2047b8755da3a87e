/* test_keeping.c - when the state of a running app is saved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/keeping.h"

static void nothing_is_saved_before_there_is_a_state(void **state)
{
    (void)state;
    Keeping keeping = {0};
    keeping_look(&keeping, 1000);
    assert_false(keeping_due(&keeping, 1 << 30, true));
    assert_int_equal(keeping_next_ms(&keeping), INT64_MAX);
}

static void an_idle_app_is_saved_a_second_after_the_last_time_and_then_sleeps(void **state)
{
    (void)state;
    Keeping keeping = {0};
    keeping_begin(&keeping, 10000, 1);
    assert_int_equal(keeping_next_ms(&keeping), 11000);
    assert_false(keeping_due(&keeping, 10999, true));
    assert_true(keeping_due(&keeping, 11000, true));
    keeping_done(&keeping, 11000, 0, 7);
    keeping_look(&keeping, 7); /* nothing ran */
    assert_false(keeping_due(&keeping, 1 << 30, true));
    assert_int_equal(keeping_next_ms(&keeping), INT64_MAX);
    keeping_look(&keeping, 8);
    assert_true(keeping_due(&keeping, 20000, true));
}

static void a_busy_app_is_saved_after_five(void **state)
{
    (void)state;
    Keeping keeping = {0};
    keeping_begin(&keeping, 10000, 1);
    assert_false(keeping_due(&keeping, 14999, false));
    assert_true(keeping_due(&keeping, 15000, false));
}

static void it_never_takes_more_than_a_fiftieth_of_the_time(void **state)
{
    (void)state;
    Keeping keeping = {0};
    keeping_begin(&keeping, 10000, 1);
    keeping_done(&keeping, 12000, 300001, 2); /* 300 ms */
    keeping_look(&keeping, 3);
    assert_false(keeping_due(&keeping, 27000, true));
    assert_false(keeping_due(&keeping, 27000, false));
    assert_true(keeping_due(&keeping, 27001, true));
    assert_true(keeping_due(&keeping, 27001, false));
    assert_int_equal(keeping_next_ms(&keeping), 27001);
}

static void a_failure_is_told_once_a_minute(void **state)
{
    (void)state;
    Keeping keeping = {0};
    assert_true(keeping_may_tell(&keeping, 5));
    assert_false(keeping_may_tell(&keeping, 60004));
    assert_true(keeping_may_tell(&keeping, 60005));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_saved_before_there_is_a_state),
        cmocka_unit_test(an_idle_app_is_saved_a_second_after_the_last_time_and_then_sleeps),
        cmocka_unit_test(a_busy_app_is_saved_after_five),
        cmocka_unit_test(it_never_takes_more_than_a_fiftieth_of_the_time),
        cmocka_unit_test(a_failure_is_told_once_a_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
