/* test_backoff.c - how long to wait before the next connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/backoff.h"

#define LONGEST UINT32_MAX /* random bits for the latest point of the jitter */
#define SHORTEST 0u

static void doubles_from_one_to_thirty_seconds(void **state)
{
    const int64_t expected_ms[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000};
    Backoff backoff = {0};

    (void)state;
    for (size_t i = 0; i < sizeof expected_ms / sizeof *expected_ms; i++) {
        assert_int_equal(backoff_next(&backoff, BACKOFF_FAILED, 0, -1, LONGEST), expected_ms[i]);
    }
    for (int i = 0; i < 1000; i++)
        backoff_next(&backoff, BACKOFF_FAILED, 0, -1, LONGEST);
    assert_int_equal(backoff_next(&backoff, BACKOFF_FAILED, 0, -1, LONGEST), BACKOFF_MAX_MS);
}

static void jitter_covers_the_upper_half(void **state)
{
    int64_t least_ms = INT64_MAX;
    int64_t most_ms = 0;

    (void)state;
    for (uint32_t i = 0; i < 4096; i++) {
        Backoff backoff = {.attempt = 3};
        int64_t wait_ms = backoff_next(&backoff, BACKOFF_FAILED, 0, -1, i << 20 | i);
        assert_in_range(wait_ms, 4000, 8000);
        if (wait_ms < least_ms) least_ms = wait_ms;
        if (wait_ms > most_ms) most_ms = wait_ms;
    }
    assert_in_range(least_ms, 4000, 4010);
    assert_in_range(most_ms, 7990, 8000);
    assert_int_equal(backoff_next(&(Backoff){0}, BACKOFF_FAILED, 0, -1, SHORTEST), 500);
}

static void only_a_stable_connection_starts_over(void **state)
{
    Backoff backoff = {.attempt = 4};

    (void)state;
    assert_int_equal(backoff_next(&backoff, BACKOFF_FAILED, BACKOFF_STABLE_MS - 1, -1, LONGEST), 16000);
    assert_int_equal(backoff_next(&backoff, BACKOFF_FAILED, BACKOFF_STABLE_MS, -1, LONGEST), 1000);
    assert_int_equal(backoff_next(&backoff, BACKOFF_FAILED, 0, -1, LONGEST), 2000);
}

static void a_named_time_is_obeyed_and_does_not_lengthen(void **state)
{
    const BackoffReason reasons[] = {BACKOFF_FAILED, BACKOFF_RESTARTING, BACKOFF_NOT_YET, BACKOFF_PAIRING};

    (void)state;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        Backoff backoff = {0};
        assert_int_equal(backoff_next(&backoff, reasons[i], 0, 500, LONGEST), 500);
        assert_int_equal(backoff_next(&backoff, reasons[i], 0, BACKOFF_LONGEST_RETRY_AFTER_MS, LONGEST),
                         BACKOFF_LONGEST_RETRY_AFTER_MS);
        assert_int_equal(backoff.attempt, 0);
    }
}

static void at_once_is_not_at_once(void **state)
{
    Backoff backoff = {0};

    (void)state;
    assert_int_equal(backoff_next(&backoff, BACKOFF_FAILED, 0, 1, LONGEST), BACKOFF_FIRST_MS);
    assert_int_equal(backoff_next(&backoff, BACKOFF_NOT_YET, 0, 1, LONGEST), 100);
}

static void an_absurd_time_is_not_obeyed(void **state)
{
    Backoff backoff = {0};

    (void)state;
    assert_int_equal(backoff_next(&backoff, BACKOFF_FAILED, 0, BACKOFF_LONGEST_RETRY_AFTER_MS + 1, LONGEST), 1000);
    assert_int_equal(backoff_next(&backoff, BACKOFF_FAILED, 0, INT64_MAX, LONGEST), 2000);
    assert_int_equal(backoff_next(&backoff, BACKOFF_NOT_YET, 0, INT64_MAX, LONGEST), 500);
    /* "At once", for ever, must not make a busy loop. */
    assert_int_equal(backoff_next(&backoff, BACKOFF_NOT_YET, 0, 0, LONGEST), 100);
}

static void an_announced_restart_is_no_failure(void **state)
{
    Backoff backoff = {.attempt = 5};

    (void)state;
    assert_int_equal(backoff_next(&backoff, BACKOFF_RESTARTING, 0, -1, LONGEST), 1000);
    assert_int_equal(backoff_next(&backoff, BACKOFF_FAILED, 0, -1, LONGEST), 2000); /* it is not back yet */
    assert_int_equal(backoff_next(&backoff, BACKOFF_RESTARTING, 0, -1, SHORTEST), 500);
}

static void waiting_for_the_start_or_the_operator_does_not_double(void **state)
{
    Backoff backoff = {.attempt = 2};

    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(backoff_next(&backoff, BACKOFF_NOT_YET, 0, -1, LONGEST), 500);
        assert_int_equal(backoff_next(&backoff, BACKOFF_PAIRING, 0, -1, LONGEST), BACKOFF_PAIRING_MS);
    }
    assert_int_equal(backoff_next(&backoff, BACKOFF_FAILED, 0, -1, LONGEST), 4000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_from_one_to_thirty_seconds),
        cmocka_unit_test(jitter_covers_the_upper_half),
        cmocka_unit_test(only_a_stable_connection_starts_over),
        cmocka_unit_test(a_named_time_is_obeyed_and_does_not_lengthen),
        cmocka_unit_test(at_once_is_not_at_once),
        cmocka_unit_test(an_absurd_time_is_not_obeyed),
        cmocka_unit_test(an_announced_restart_is_no_failure),
        cmocka_unit_test(waiting_for_the_start_or_the_operator_does_not_double),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
