/* test_inbox.c - the bounded queue in front of an app: order, weight, pressure and relief, many pushers at once. */
#include "app/inbox.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void count_relief(void *context)
{
    atomic_fetch_add((atomic_int *)context, 1);
}

static Message *event(int64_t seq, size_t payload_bytes)
{
    static char zeros[4096];
    assert_true(payload_bytes <= sizeof zeros);
    EventFields fields = {
        .name = slice_of("agent"), .payload = slice_make(zeros, payload_bytes), .seq = seq, .connection = 1};
    Message *message = message_event(&fields);
    assert_non_null(message);
    return message;
}

static void push(Inbox *inbox, int64_t seq, size_t payload_bytes)
{
    Message *message = event(seq, payload_bytes);
    assert_true(inbox_push(inbox, &message, 1));
}

static size_t take_all(Inbox *inbox)
{
    Message *batch[16];
    size_t total = 0, count;
    while ((count = inbox_take(inbox, batch, 16, 0)) > 0) {
        for (size_t i = 0; i < count; i++) {
            inbox_release(inbox, batch[i]->size_bytes);
            message_unref(batch[i]);
        }
        total += count;
    }
    return total;
}

static void messages_come_out_in_order_across_growth(void **state)
{
    (void)state;
    Inbox *inbox = inbox_new(&(InboxLimits){0}, NULL, NULL);
    Message *batch[7];
    int64_t pushed = 0, taken = 0;
    while (pushed < 1000) {
        for (int i = 0; i < 10; i++)
            push(inbox, pushed++, 10);
        size_t count = inbox_take(inbox, batch, 7, INT64_MAX);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(batch[i]->seq, taken++);
            inbox_release(inbox, batch[i]->size_bytes);
            message_unref(batch[i]);
        }
    }
    assert_int_equal(take_all(inbox), pushed - taken);
    InboxStats stats;
    inbox_stats(inbox, &stats);
    assert_int_equal(stats.count, 0);
    assert_int_equal(stats.bytes, 0);
    assert_int_equal(stats.pushed, 1000);
    inbox_free(inbox);
}

static void pressure_by_count_is_relieved_at_half(void **state)
{
    (void)state;
    atomic_int reliefs = 0;
    Inbox *inbox = inbox_new(&(InboxLimits){.high_count = 8}, count_relief, &reliefs);
    for (int i = 0; i < 8; i++)
        push(inbox, i, 10);
    assert_false(inbox_pressure(inbox));
    push(inbox, 8, 10);
    assert_true(inbox_pressure(inbox));
    Message *batch[16];
    assert_int_equal(inbox_take(inbox, batch, 16, 0), 9);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(reliefs, i <= 4 ? 0 : 1); /* taken, but not handled, still weighs */
        inbox_release(inbox, batch[i]->size_bytes);
        message_unref(batch[i]);
    }
    assert_int_equal(reliefs, 1);
    assert_false(inbox_pressure(inbox));
    inbox_free(inbox);
}

static void pressure_by_bytes(void **state)
{
    (void)state;
    atomic_int reliefs = 0;
    Inbox *inbox = inbox_new(&(InboxLimits){.high_bytes = 10000}, count_relief, &reliefs);
    push(inbox, 1, 4096);
    push(inbox, 2, 4096);
    assert_false(inbox_pressure(inbox));
    push(inbox, 3, 4096);
    assert_true(inbox_pressure(inbox));
    assert_int_equal(take_all(inbox), 3);
    assert_int_equal(reliefs, 1);
    inbox_free(inbox);
}

static void what_waits_for_its_handler_weighs(void **state)
{
    (void)state;
    Inbox *inbox = inbox_new(&(InboxLimits){.high_count = 2}, NULL, NULL);
    for (int i = 0; i < 3; i++)
        inbox_charge(inbox, 100);
    assert_true(inbox_pressure(inbox));
    for (int i = 0; i < 3; i++)
        inbox_release(inbox, 100);
    assert_false(inbox_pressure(inbox));
    inbox_free(inbox);
}

static void a_waiting_request_keeps_the_road_open_up_to_the_limit(void **state)
{
    (void)state;
    atomic_int reliefs = 0;
    Inbox *inbox = inbox_new(&(InboxLimits){.high_count = 2, .limit_count = 6}, count_relief, &reliefs);
    for (int i = 0; i < 4; i++)
        push(inbox, i, 10);
    assert_true(inbox_pressure(inbox));
    inbox_waiting(inbox, 1); /* its response can only come if reading goes on */
    assert_int_equal(reliefs, 1);
    assert_false(inbox_pressure(inbox));
    for (int i = 0; i < 3; i++)
        push(inbox, i, 10);
    assert_true(inbox_pressure(inbox));
    inbox_waiting(inbox, 1);
    assert_int_equal(reliefs, 1);
    inbox_waiting(inbox, -2);
    assert_int_equal(take_all(inbox), 7);
    assert_int_equal(reliefs, 2);
    inbox_free(inbox);
}

/* What is left waits for its handler, which waits for a response: to wait until it has sunk to the high-water mark is to wait for ever. */
static void a_waiting_request_opens_the_road_below_the_limit(void **state)
{
    (void)state;
    atomic_int reliefs = 0;
    Message *batch[4];
    Inbox *inbox = inbox_new(&(InboxLimits){.high_count = 2, .limit_count = 6}, count_relief, &reliefs);
    inbox_waiting(inbox, 1);
    for (int i = 0; i < 7; i++)
        push(inbox, i, 10);
    assert_true(inbox_pressure(inbox));
    assert_int_equal(inbox_take(inbox, batch, 4, 0), 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(reliefs, 0);
        inbox_release(inbox, batch[i]->size_bytes);
        message_unref(batch[i]);
    }
    assert_int_equal(reliefs, 1);
    assert_false(inbox_pressure(inbox));
    inbox_free(inbox);
}

static void what_was_not_taken_is_freed(void **state)
{
    (void)state;
    Inbox *inbox = inbox_new(&(InboxLimits){0}, NULL, NULL);
    Message *message = event(1, 100);
    message_ref(message);
    assert_true(inbox_push(inbox, &message, 1));
    inbox_free(inbox);
    assert_int_equal(atomic_load(&message->references), 1);
    message_unref(message);
}

/* --- threads ---------------------------------------------------------------------------------------------------------------- */

#define PUSHERS 3
#define EACH 20000

typedef struct {
    Inbox *inbox;
    unsigned number;
} Pusher;

static void *push_many(void *argument)
{
    Pusher *pusher = argument;
    for (int64_t i = 0; i < EACH; i++) {
        EventFields fields = {.name = slice_of("n"), .seq = i, .connection = pusher->number};
        Message *message = message_event(&fields);
        if (!message || !inbox_push(pusher->inbox, &message, 1)) abort();
    }
    return NULL;
}

static void many_pushers_lose_nothing_and_keep_their_order(void **state)
{
    (void)state;
    Inbox *inbox = inbox_new(&(InboxLimits){0}, NULL, NULL);
    pthread_t threads[PUSHERS];
    Pusher pushers[PUSHERS];
    int64_t next[PUSHERS] = {0};
    for (unsigned i = 0; i < PUSHERS; i++) {
        pushers[i] = (Pusher){inbox, i};
        assert_int_equal(pthread_create(&threads[i], NULL, push_many, &pushers[i]), 0);
    }
    for (size_t total = 0; total < (size_t)PUSHERS * EACH;) {
        Message *batch[64];
        size_t count = inbox_take(inbox, batch, 64, INT64_MAX);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(batch[i]->seq, next[batch[i]->connection]++);
            inbox_release(inbox, batch[i]->size_bytes);
            message_unref(batch[i]);
        }
        total += count;
    }
    for (unsigned i = 0; i < PUSHERS; i++)
        pthread_join(threads[i], NULL);
    inbox_free(inbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_out_in_order_across_growth),
        cmocka_unit_test(pressure_by_count_is_relieved_at_half),
        cmocka_unit_test(pressure_by_bytes),
        cmocka_unit_test(what_waits_for_its_handler_weighs),
        cmocka_unit_test(a_waiting_request_keeps_the_road_open_up_to_the_limit),
        cmocka_unit_test(a_waiting_request_opens_the_road_below_the_limit),
        cmocka_unit_test(what_was_not_taken_is_freed),
        cmocka_unit_test(many_pushers_lose_nothing_and_keep_their_order),
    };
    return cmocka_run_group_tests_name("inbox", tests, NULL, NULL);
}
