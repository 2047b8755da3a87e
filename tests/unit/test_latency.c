/* The histogram of handler calls: how exact it is, at its ends, when it is full, and while another thread reads. */
#include "app/latency.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void nothing_was_measured(void **state)
{
    Latency latency = {0};
    LatencySummary summary;
    (void)state;

    latency_summary(&latency, &summary);
    assert_int_equal(summary.count, 0);
    assert_int_equal(summary.p50_us, 0);
    assert_int_equal(summary.max_us, 0);
}

static void every_value_is_told_within_its_precision(void **state)
{
    (void)state;
    for (int64_t us = 0; us < 60 * 1000000; us = us < 1000 ? us + 1 : us + us / 97) {
        Latency latency = {0};
        LatencySummary summary;
        latency_add(&latency, us);
        latency_add(&latency, 66 * 1000000); /* so that the maximum does not cut the middle of the bucket */
        latency_summary(&latency, &summary);
        int64_t off = llabs(summary.p50_us - us);
        if (off * 1000 > us * 32) fail_msg("%lld us is told as %lld", (long long)us, (long long)summary.p50_us);
    }
}

static void percentiles_are_those_of_the_calls(void **state)
{
    Latency latency = {0};
    LatencySummary summary;
    (void)state;

    for (int64_t us = 1; us <= 10000; us++) {
        latency_add(&latency, us);
    }
    latency_summary(&latency, &summary);
    assert_int_equal(summary.count, 10000);
    assert_in_range(summary.p50_us, 4840, 5160);
    assert_in_range(summary.p95_us, 9196, 9804);
    assert_in_range(summary.p99_us, 9584, 10000);
    assert_int_equal(summary.max_us, 10000);
}

static void one_slow_call_in_a_hundred_is_no_p95(void **state)
{
    Latency latency = {0};
    LatencySummary summary;
    (void)state;

    for (int i = 0; i < 99; i++) {
        latency_add(&latency, 10);
    }
    latency_add(&latency, 5000000);
    latency_summary(&latency, &summary);
    assert_int_equal(summary.p50_us, 10);
    assert_int_equal(summary.p95_us, 10);
    assert_int_equal(summary.p99_us, 10);
    assert_int_equal(summary.max_us, 5000000);
}

static void values_out_of_range_are_kept_at_its_ends(void **state)
{
    Latency latency = {0};
    LatencySummary summary;
    (void)state;

    latency_add(&latency, -5);
    latency_summary(&latency, &summary);
    assert_int_equal(summary.p99_us, 0);
    latency_add(&latency, INT64_MAX);
    latency_add(&latency, (int64_t)3600 * 1000000);
    latency_summary(&latency, &summary);
    assert_int_equal(summary.count, 3);
    assert_true(summary.p50_us == INT64_MAX); /* beyond the last bucket the maximum is all that is known */
    assert_true(summary.max_us == INT64_MAX);
}

static void a_full_bucket_keeps_the_shape(void **state)
{
    Latency latency = {0};
    LatencySummary summary;
    (void)state;

    atomic_store(&latency.counts[7], 0x7fffffffu);
    atomic_store(&latency.counts[3], 0x7fffffffu);
    latency_add(&latency, 7);
    assert_int_equal(atomic_load(&latency.counts[7]), 0x40000001u);
    assert_int_equal(atomic_load(&latency.counts[3]), 0x40000000u);
    latency_summary(&latency, &summary);
    assert_int_equal(summary.p50_us, 7);
}

typedef struct {
    Latency latency;
    atomic_bool end;
} Shared;

static void *reader(void *context)
{
    Shared *shared = context;
    LatencySummary summary;

    while (!atomic_load(&shared->end)) {
        latency_summary(&shared->latency, &summary);
        if (summary.p99_us > 100 || summary.p50_us > summary.p99_us) return shared;
    }
    return NULL;
}

static void another_thread_may_read_meanwhile(void **state)
{
    static Shared shared;
    pthread_t thread;
    void *wrong = NULL;
    (void)state;

    assert_int_equal(pthread_create(&thread, NULL, reader, &shared), 0);
    for (int i = 0; i < 200000; i++) {
        latency_add(&shared.latency, i % 100);
    }
    atomic_store(&shared.end, true);
    pthread_join(thread, &wrong);
    assert_null(wrong);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_was_measured),
        cmocka_unit_test(every_value_is_told_within_its_precision),
        cmocka_unit_test(percentiles_are_those_of_the_calls),
        cmocka_unit_test(one_slow_call_in_a_hundred_is_no_p95),
        cmocka_unit_test(values_out_of_range_are_kept_at_its_ends),
        cmocka_unit_test(a_full_bucket_keeps_the_shape),
        cmocka_unit_test(another_thread_may_read_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
