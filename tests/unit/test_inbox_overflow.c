/* What comes over an inbox's mark: nothing is lost on the way over the disk, nothing overtakes, what is dropped is counted, and at the
 * disk's bound there is pressure again. */
#define _GNU_SOURCE /* nftw */
#include "app/inbox.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

#include "temp_dir.h"

#define HIGH 8
#define FLOOD 20000
#define PAYLOAD 100

typedef struct {
    TempDir dir;
    char folder[160];
    Inbox *inbox;
    atomic_int reliefs;
} Fixture;

static void on_relieved(void *context)
{
    Fixture *f = context;
    atomic_fetch_add(&f->reliefs, 1);
}

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof *f);
    if (!f) return -1;
    temp_dir_make(&f->dir);
    snprintf(f->folder, sizeof f->folder, "%s/overflow", f->dir.path);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    inbox_free(f->inbox);
    temp_dir_remove(f->dir.path);
    free(f);
    return 0;
}

static void open_inbox(Fixture *f, const InboxOverflow *overflow)
{
    f->inbox = inbox_new(&(InboxLimits){.high_count = HIGH, .limit_count = 2 * HIGH}, on_relieved, f);
    assert_non_null(f->inbox);
    assert_true(inbox_set_overflow(f->inbox, overflow));
}

static void open_spilling(Fixture *f)
{
    open_inbox(f, &(InboxOverflow){.folder = f->folder, .memory_bytes = 64u << 10});
}

static Message *event(const char *name, int64_t seq)
{
    static char zeros[PAYLOAD];
    EventFields fields = {
        .name = slice_of(name), .payload = slice_make(zeros, sizeof zeros), .seq = seq, .connection = 1};
    Message *message = message_event(&fields);
    assert_non_null(message);
    return message;
}

static void push(Fixture *f, Message *message)
{
    assert_non_null(message);
    assert_true(inbox_push(f->inbox, &message, 1));
}

static InboxStats stats_of(Fixture *f)
{
    InboxStats stats;
    inbox_stats(f->inbox, &stats);
    return stats;
}

/* Pushes when the disk has kept up, as a host does that stops reading under pressure. */
static void push_patiently(Fixture *f, Message *message)
{
    while (inbox_pressure(f->inbox))
        sched_yield();
    push(f, message);
}

static void handle(Fixture *f, Message *message)
{
    inbox_release(f->inbox, message->size_bytes);
    message_unref(message);
}

static Message *take_one(Fixture *f)
{
    Message *message = NULL;
    while (inbox_take(f->inbox, &message, 1, INT64_MAX) == 0) {
    }
    return message;
}

static void expect_numbers(Fixture *f, int64_t from, int64_t to)
{
    for (int64_t next = from; next < to; next++) {
        Message *message = take_one(f);
        assert_int_equal(message->seq, next);
        handle(f, message);
    }
}

static void expect_nothing(Fixture *f)
{
    Message *message;
    for (int i = 0; i < 3; i++)
        assert_int_equal(inbox_take(f->inbox, &message, 1, 0), 0);
}

/* --- spill ------------------------------------------------------------------------------------------------------------------- */

static void a_flood_comes_out_whole_and_in_order(void **state)
{
    Fixture *f = *state;
    open_spilling(f);
    for (int64_t i = 0; i < FLOOD; i++)
        push_patiently(f, event("agent", i));
    InboxStats stats = stats_of(f);
    assert_true(stats.spilled > FLOOD - HIGH - 2);
    assert_true(stats.spill.written > FLOOD / 2);
    assert_true(stats.peak_count <= HIGH + 1);
    assert_int_equal(stats.pushed, FLOOD);
    expect_numbers(f, 0, FLOOD);
    expect_nothing(f);
    stats = stats_of(f);
    assert_true(stats.peak_count <= HIGH + 1);
    assert_int_equal(stats.pushed, FLOOD);
    assert_int_equal(stats.count, 0);
    assert_int_equal(stats.spilled, 0);
    assert_int_equal(stats.refused, 0);
    assert_int_equal(stats.spill.disk_bytes, 0);
    /* And then as if nothing had been. */
    uint64_t put = stats.spill.put;
    push(f, event("agent", 7));
    expect_numbers(f, 7, 8);
    assert_int_equal(stats_of(f).spill.put, put);
}

static void a_batch_over_the_mark_is_parted_in_order(void **state)
{
    Fixture *f = *state;
    Message *batch[300];
    open_spilling(f);
    for (int i = 0; i < 300; i++)
        batch[i] = event("agent", i);
    assert_true(inbox_push(f->inbox, batch, 300));
    assert_int_equal(stats_of(f).count, HIGH + 1);
    assert_int_equal(stats_of(f).spilled, 300 - HIGH - 1);
    expect_numbers(f, 0, 300);
}

static void what_somebody_waits_for_overtakes(void **state)
{
    Fixture *f = *state;
    open_spilling(f);
    for (int i = 0; i < 100; i++)
        push(f, event("agent", i));
    push(f, message_connection(slice_of("{}")));
    push(f, message_response(1, 42, true, true, slice_of("{}")));
    push(f, message_eval(1, slice_of("1")));
    push(f, message_stop());
    expect_numbers(f, 0, HIGH + 1);
    static const MessageKind overtake[] = {MESSAGE_RESPONSE, MESSAGE_EVAL, MESSAGE_STOP};
    for (int i = 0; i < 3; i++) {
        Message *message = take_one(f);
        /* What was read back meanwhile may be in front, none of those that were put by is lost. */
        assert_int_equal(message->kind, overtake[i]);
        handle(f, message);
    }
    expect_numbers(f, HIGH + 1, 100);
    Message *last = take_one(f);
    assert_int_equal(last->kind, MESSAGE_CONNECTION);
    handle(f, last);
}

static void a_consumer_that_sleeps_is_woken_for_what_was_spilled(void **state)
{
    Fixture *f = *state;
    open_spilling(f);
    for (int i = 0; i <= HIGH; i++)
        inbox_charge(f->inbox, 10); /* wait for their handlers: nothing is in the ring */
    for (int i = 0; i < 5; i++)
        push(f, event("agent", i));
    assert_int_equal(stats_of(f).spilled, 5);
    expect_nothing(f);
    for (int i = 0; i <= HIGH; i++)
        inbox_release(f->inbox, 10);
    expect_numbers(f, 0, 5);
}

/* Handlers that wait for an event which is behind them in the spill. */
static void an_app_that_stands_still_gets_more_up_to_the_limit(void **state)
{
    Fixture *f = *state;
    Message *taken[8 * HIGH];
    open_spilling(f);
    for (int i = 0; i < 8 * HIGH; i++)
        push(f, event("agent", i));
    int count = 0;
    for (; count < 2 * HIGH; count++) {
        taken[count] = take_one(f); /* is not released: still weighs */
        assert_int_equal(taken[count]->seq, count);
    }
    assert_int_equal(stats_of(f).count, 2 * HIGH);
    expect_nothing(f);
    for (int i = 0; i < count; i++)
        handle(f, taken[i]);
    expect_numbers(f, count, 8 * HIGH);
}

typedef struct {
    Fixture *f;
    int64_t count;
} Pusher;

static void *push_many(void *context)
{
    const Pusher *pusher = context;
    for (int64_t i = 0; i < pusher->count; i++)
        push_patiently(pusher->f, event("agent", i));
    return NULL;
}

/* The consumer is now faster, now slower: spilling begins and ends many times. */
static void nothing_overtakes_where_spilling_begins_and_ends(void **state)
{
    Fixture *f = *state;
    Pusher pusher = {f, FLOOD};
    pthread_t thread;
    open_spilling(f);
    assert_int_equal(pthread_create(&thread, NULL, push_many, &pusher), 0);
    for (int64_t next = 0; next < FLOOD;) {
        Message *batch[5];
        size_t count = inbox_take(f->inbox, batch, 5, INT64_MAX);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(batch[i]->seq, next++);
            handle(f, batch[i]);
        }
        if (next % 97 == 0) sched_yield();
    }
    pthread_join(thread, NULL);
    expect_nothing(f);
    assert_int_equal(stats_of(f).spilled, 0);
}

typedef struct {
    Fixture *f;
    InboxEpoch epoch;
    atomic_llong *next;
    atomic_bool *wrong;
} Consumer;

static void *consume(void *context)
{
    const Consumer *consumer = context;
    Inbox *inbox = consumer->f->inbox;
    Message *batch[7];
    size_t count;
    while (atomic_load(consumer->next) < FLOOD) {
        count = inbox_peek(inbox, consumer->epoch, batch, 7, 0);
        for (size_t i = 0; i < count; i++) {
            if (!inbox_claim(inbox, consumer->epoch)) return NULL;
            if (batch[i]->seq != atomic_fetch_add(consumer->next, 1)) atomic_store(consumer->wrong, true);
            handle(consumer->f, batch[i]);
        }
    }
    return NULL;
}

/* Every message is claimed by one of them, which may be anywhere in reading back when the other takes over. */
static void consumers_follow_each_other_while_it_spills(void **state)
{
    enum { CONSUMERS = 20 };
    Fixture *f = *state;
    Pusher pusher = {f, FLOOD};
    pthread_t pushing, consuming[CONSUMERS];
    Consumer consumers[CONSUMERS];
    atomic_llong next = 0;
    atomic_bool wrong = false;
    open_spilling(f);
    assert_int_equal(pthread_create(&pushing, NULL, push_many, &pusher), 0);
    for (int i = 0; i < CONSUMERS; i++) {
        consumers[i] = (Consumer){f, i == 0 ? 0 : inbox_hand_over(f->inbox), &next, &wrong};
        assert_int_equal(pthread_create(&consuming[i], NULL, consume, &consumers[i]), 0);
        while (atomic_load(&next) < (i + 1) * (FLOOD / CONSUMERS))
            sched_yield();
    }
    pthread_join(pushing, NULL);
    for (int i = 0; i < CONSUMERS; i++)
        pthread_join(consuming[i], NULL);
    assert_false(wrong);
    assert_int_equal(next, FLOOD);
}

/* --- bounds of the spill -------------------------------------------------------------------------------------------------------- */

static void the_bound_of_the_disk_is_pressure_and_reading_is_relief(void **state)
{
    Fixture *f = *state;
    int64_t count = 0;
    open_inbox(f, &(InboxOverflow){.folder = f->folder, .limit_bytes = 64u << 10, .memory_bytes = 32u << 10});
    for (bool pressure = false, filled = false; !pressure || !filled;) {
        atomic_store(&f->reliefs, 0); /* before the look: relief may follow it at once, when something is written */
        pressure = inbox_pressure(f->inbox);
        filled = stats_of(f).spill.disk_bytes >= 63u << 10;
        if (!pressure)
            push(f, event("agent", count++));
        else if (!filled)
            sched_yield(); /* the disk does not keep up */
    }
    assert_false(inbox_full(f->inbox));
    expect_numbers(f, 0, count);
    assert_true(f->reliefs > 0);
    assert_false(inbox_pressure(f->inbox));
    assert_int_equal(stats_of(f).refused, 0);
}

/* Nothing can be written to it, so memory fills up. */
static void open_without_a_disk(Fixture *f)
{
    snprintf(f->folder, sizeof f->folder, "/proc/no/such/folder");
    open_inbox(f, &(InboxOverflow){.folder = f->folder, .memory_bytes = 32u << 10});
}

static void a_waiting_request_keeps_the_road_open_for_longer(void **state)
{
    Fixture *f = *state;
    int64_t count = 0;
    open_without_a_disk(f);
    while (!inbox_pressure(f->inbox))
        push(f, event("agent", count++));
    inbox_waiting(f->inbox, 1); /* its response comes by that road */
    assert_int_equal(f->reliefs, 1);
    assert_false(inbox_pressure(f->inbox));
    while (!inbox_pressure(f->inbox))
        push(f, event("agent", count++));
    assert_true(inbox_full(f->inbox));
    assert_int_equal(stats_of(f).refused, 0);
    inbox_waiting(f->inbox, -1);
    expect_numbers(f, 0, count);
    assert_int_equal(f->reliefs, 2);
}

static void what_is_beyond_all_bounds_is_dropped_and_counted(void **state)
{
    Fixture *f = *state;
    open_without_a_disk(f);
    for (int i = 0; i < 2000; i++)
        push(f, event("agent", i));
    InboxStats stats = stats_of(f);
    assert_true(stats.refused > 0);
    assert_int_equal(stats.count + stats.spilled + stats.refused, 2000);
    expect_numbers(f, 0, 2000 - (int64_t)stats.refused);
    expect_nothing(f);
}

static void at_the_end_what_is_in_the_spill_is_dropped_and_its_files_are_gone(void **state)
{
    Fixture *f = *state;
    open_spilling(f);
    for (int64_t i = 0; i < FLOOD; i++)
        push_patiently(f, event("agent", i));
    assert_int_equal(inbox_close_spill(f->inbox), FLOOD - HIGH - 1);
    assert_int_equal(inbox_close_spill(f->inbox), 0);
    push(f, event("agent", HIGH + 1));
    expect_numbers(f, 0, HIGH + 2);
    expect_nothing(f);
    assert_int_equal(stats_of(f).spilled, 0);
    inbox_free(f->inbox);
    f->inbox = NULL;
    assert_int_equal(rmdir(f->folder), 0); /* it was there, and is empty */
}

/* --- events that may be dropped ------------------------------------------------------------------------------------------------- */

static void over_the_mark_the_newest_are_dropped_where_that_is_wanted(void **state)
{
    Fixture *f = *state;
    open_inbox(f, &(InboxOverflow){.drop_newest = "tick,presence.*"});
    for (int i = 0; i <= HIGH; i++)
        push(f, event("tick", i));
    push(f, event("tick", 100));
    push(f, event("presence.x", 101));
    push(f, event("presence", HIGH + 1)); /* is no presence.* */
    push(f, event("@tick", HIGH + 2));
    assert_int_equal(stats_of(f).dropped_newest, 2);
    assert_true(inbox_pressure(f->inbox));
    expect_numbers(f, 0, HIGH + 3);
    expect_nothing(f);
}

static void over_the_mark_the_oldest_of_its_kind_makes_room(void **state)
{
    Fixture *f = *state;
    Message *looked_at[2];
    open_inbox(f, &(InboxOverflow){.drop_oldest = "tick,presence.*"});
    static const char *const names[HIGH + 1] = {"tick", "agent", "tick",  "presence.a", "agent",
                                                "tick", "agent", "agent", "agent"};
    for (int i = 0; i <= HIGH; i++)
        push(f, event(names[i], i));
    assert_int_equal(inbox_peek(f->inbox, 0, looked_at, 2, 0), 2);
    push(f, event("tick", 9));        /* for 2: at 0 somebody looks */
    push(f, event("presence.b", 10)); /* for 3 */
    push(f, event("tick", 11));       /* for 5 */
    InboxStats stats = stats_of(f);
    assert_int_equal(stats.dropped_oldest, 3);
    assert_int_equal(stats.count, HIGH + 1);
    static const int64_t left[] = {0, 1, 4, 6, 7, 8, 9, 10, 11};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        Message *message = take_one(f);
        assert_int_equal(message->seq, left[i]);
        handle(f, message);
    }
    expect_nothing(f);
    assert_int_equal(stats_of(f).count, 0);
    assert_int_equal(stats_of(f).bytes, 0);
}

static void the_oldest_is_dropped_on_the_disk_as_well(void **state)
{
    Fixture *f = *state;
    open_inbox(f, &(InboxOverflow){.folder = f->folder, .memory_bytes = 64u << 10, .drop_oldest = "tick"});
    for (int i = 0; i <= HIGH; i++)
        push(f, event("agent", i));
    for (int i = 0; i < 3000; i++) {
        push_patiently(f, event("tick", 1000 + i));
        push_patiently(f, event("agent", HIGH + 1 + i));
    }
    int64_t next = 0;
    size_t ticks = 0;
    for (int i = 0; i < HIGH + 1 + 3000 + 1; i++) {
        Message *message = take_one(f);
        if (slice_is(message->name, "tick")) {
            assert_int_equal(message->seq, 1000 + 2999);
            ticks++;
        } else {
            assert_int_equal(message->seq, next++);
        }
        handle(f, message);
    }
    expect_nothing(f);
    assert_int_equal(ticks, 1);
    assert_int_equal(stats_of(f).dropped_oldest, 2999);
}

static void many_that_are_dropped_in_a_row_hold_up_nothing(void **state)
{
    Fixture *f = *state;
    open_inbox(f, &(InboxOverflow){.folder = f->folder, .drop_oldest = "tick"});
    for (int i = 0; i <= HIGH; i++)
        push(f, event("agent", i));
    for (int i = 0; i < 1000; i++)
        push(f, event("tick", i));
    assert_int_equal(stats_of(f).dropped_oldest, 999);
    expect_numbers(f, 0, HIGH + 1);
    expect_numbers(f, 999, 1000);
    expect_nothing(f);
    assert_int_equal(inbox_close_spill(f->inbox), 0);
}

static void the_consumer_is_waited_for_before_the_disk_is_used(void **state)
{
    Fixture *f = *state;
    open_inbox(f, &(InboxOverflow){.folder = f->folder, .memory_bytes = 64u << 10, .waits_first = true});
    for (int round = 0; round < 2; round++) {
        int64_t seq = 0;
        while (!inbox_pressure(f->inbox))
            push(f, event("agent", seq++));
        push(f, event("agent", seq++)); /* what has been read already */
        assert_int_equal(stats_of(f).spilled, 0);
        inbox_lose_patience(f->inbox);
        assert_false(inbox_pressure(f->inbox));
        for (int i = 0; i < 3; i++)
            push(f, event("agent", seq++));
        assert_int_equal(stats_of(f).spilled, 3);
        expect_numbers(f, 0, seq);
        expect_nothing(f);
        assert_false(inbox_pressure(f->inbox)); /* from here on it is waited for again */
    }
    inbox_waiting(f->inbox, 1); /* its answer comes by the road that would be closed */
    for (int64_t seq = 0; stats_of(f).spilled == 0; seq++) {
        push(f, event("agent", seq));
        assert_false(inbox_pressure(f->inbox));
    }
    inbox_waiting(f->inbox, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_consumer_is_waited_for_before_the_disk_is_used, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flood_comes_out_whole_and_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_batch_over_the_mark_is_parted_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(what_somebody_waits_for_overtakes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_consumer_that_sleeps_is_woken_for_what_was_spilled, setup, teardown),
        cmocka_unit_test_setup_teardown(an_app_that_stands_still_gets_more_up_to_the_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_overtakes_where_spilling_begins_and_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(consumers_follow_each_other_while_it_spills, setup, teardown),
        cmocka_unit_test_setup_teardown(the_bound_of_the_disk_is_pressure_and_reading_is_relief, setup, teardown),
        cmocka_unit_test_setup_teardown(a_waiting_request_keeps_the_road_open_for_longer, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_beyond_all_bounds_is_dropped_and_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(at_the_end_what_is_in_the_spill_is_dropped_and_its_files_are_gone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(over_the_mark_the_newest_are_dropped_where_that_is_wanted, setup, teardown),
        cmocka_unit_test_setup_teardown(over_the_mark_the_oldest_of_its_kind_makes_room, setup, teardown),
        cmocka_unit_test_setup_teardown(the_oldest_is_dropped_on_the_disk_as_well, setup, teardown),
        cmocka_unit_test_setup_teardown(many_that_are_dropped_in_a_row_hold_up_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
