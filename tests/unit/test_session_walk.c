/* test_session_walk.c - two thousand random walks through the session's inputs; session_walk.h checks each step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/session.h"
#include "unit/session_walk.h"

#define WALKS 2000
#define STEPS_BYTES 700

/* splitmix64: the same walks on every machine. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void what_must_hold_holds_on_random_walks(void **state)
{
    uint8_t bytes[STEPS_BYTES];
    SessionStatus sum = {0};
    uint64_t random = 2026;

    (void)state;
    for (int walk = 0; walk < WALKS; walk++) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)(next_random(&random) >> 32);
        walk_run(bytes, sizeof bytes, &sum);
    }
    /* The walks must have been everywhere to say anything. */
    assert_true(sum.readies > WALKS);
    assert_true(sum.events > WALKS);
    assert_true(sum.gaps > 100);
    assert_true(sum.ended_ok > 100);
    assert_true(sum.ended_error > 100);
    assert_true(sum.ended_timeout > 100);
    assert_true(sum.ended_disconnected > 100);
    assert_true(sum.ended_refused > 100);
    assert_true(sum.ended_cancelled > 100);
    assert_true(sum.late_responses > 100);
    assert_true(sum.second_responses > 100);
    assert_true(sum.unknown_responses > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_must_hold_holds_on_random_walks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
