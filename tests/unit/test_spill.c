/* What memory cannot hold goes to the disk and comes back, whole and in order; at the bounds there is pressure; nothing
 * is left. */
#define _GNU_SOURCE /* nftw */
#include "app/spill.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

#include "temp_dir.h"

#define GIVE_UP_S 60

typedef struct {
    TempDir dir;
    char folder[160];
    Spill *spill;
    int64_t next_put, next_taken;
    pthread_mutex_t lock;
    pthread_cond_t called;
    unsigned readable, relieved; /* calls */
} Fixture;

static void on_readable(void *context)
{
    Fixture *f = context;
    pthread_mutex_lock(&f->lock);
    f->readable++;
    pthread_cond_broadcast(&f->called);
    pthread_mutex_unlock(&f->lock);
}

static void on_relieved(void *context)
{
    Fixture *f = context;
    pthread_mutex_lock(&f->lock);
    f->relieved++;
    pthread_cond_broadcast(&f->called);
    pthread_mutex_unlock(&f->lock);
}

static unsigned calls_of(Fixture *f, const unsigned *counter)
{
    pthread_mutex_lock(&f->lock);
    unsigned now = *counter;
    pthread_mutex_unlock(&f->lock);
    return now;
}

/* Waits for a call after the `seen` first ones. */
static unsigned wait_for(Fixture *f, const unsigned *counter, unsigned seen)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += GIVE_UP_S;
    pthread_mutex_lock(&f->lock);
    while (*counter == seen)
        assert_int_equal(pthread_cond_timedwait(&f->called, &f->lock, &until), 0);
    unsigned now = *counter;
    pthread_mutex_unlock(&f->lock);
    return now;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof *f);
    temp_dir_make(&f->dir);
    snprintf(f->folder, sizeof f->folder, "%s/spill", f->dir.path);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->called, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    spill_free(f->spill);
    assert_int_equal(temp_count(f->folder), 0); /* whatever happened */
    temp_dir_remove(f->dir.path);
    free(f);
    return 0;
}

static void begin(Fixture *f, SpillConfig config)
{
    config.readable = on_readable;
    config.relieved = on_relieved;
    config.context = f;
    f->spill = spill_new(f->folder, &config);
    assert_non_null(f->spill);
}

static SpillStats stats(Fixture *f)
{
    SpillStats out;
    spill_stats(f->spill, &out);
    return out;
}

static Message *event(int64_t number, size_t payload_bytes)
{
    char *payload = malloc(payload_bytes + 1);
    memset(payload, (int)('0' + number % 10), payload_bytes);
    EventFields fields = {slice_of("agent"),
                          slice_make(payload, payload_bytes),
                          slice_of("{\"presence\":3}"),
                          number,
                          1700000000000 + number,
                          3};
    Message *message = message_event(&fields);
    free(payload);
    return message;
}

static bool put(Fixture *f, size_t payload_bytes)
{
    Message *message = event(f->next_put, payload_bytes);
    bool kept = spill_put(f->spill, message);
    if (kept)
        f->next_put++;
    else
        message_unref(message);
    return kept;
}

/* Takes one if there is one, and checks that it is the next, and whole. */
static bool take(Fixture *f)
{
    Message *message = spill_take(f->spill);
    if (!message) return false;
    int64_t number = f->next_taken++;
    if (message->seq != number) fail_msg("expected %lld, got %lld", (long long)number, (long long)message->seq);
    assert_int_equal(message->kind, MESSAGE_EVENT);
    assert_int_equal(message->received_ms, 1700000000000 + number);
    assert_int_equal(message->connection, 3);
    assert_true(slice_is(message->name, "agent"));
    assert_true(slice_is(message->state_version, "{\"presence\":3}"));
    for (size_t i = 0; i < message->payload.size; i += 97)
        assert_int_equal(message->payload.data[i], '0' + number % 10);
    message_unref(message);
    return true;
}

static void take_until(Fixture *f, int64_t end)
{
    unsigned seen = 0;
    while (f->next_taken < end) {
        if (!take(f)) seen = wait_for(f, &f->readable, seen);
    }
}

/* Until the writing thread has nothing to do: memory is below what is worth a write, or it is held up. */
static void wait_until_written(Fixture *f, size_t memory_bytes)
{
    while (stats(f).memory_bytes > memory_bytes)
        sched_yield();
}

static void a_few_messages_never_touch_the_disk(void **state)
{
    Fixture *f = *state;
    begin(f, (SpillConfig){0});
    assert_null(spill_take(f->spill));
    put(f, 10);
    assert_int_equal(f->readable, 1); /* at once, since somebody had asked */
    put(f, 10);
    put(f, 0);
    assert_int_equal(spill_count(f->spill), 3);
    take_until(f, 3);
    assert_false(take(f));
    assert_int_equal(spill_count(f->spill), 0);
    assert_int_equal(access(f->folder, F_OK), -1);
}

static void a_hundred_thousand_messages_come_back_in_order_through_many_segments(void **state)
{
    Fixture *f = *state;
    begin(f, (SpillConfig){.memory_bytes = 1 << 20, .segment_bytes = 1 << 20});
    for (int i = 0; i < 100000;) {
        if (put(f, (size_t)i % 200))
            i++;
        else
            sched_yield(); /* the disk is slower: wait for it */
    }
    SpillStats now = stats(f);
    assert_int_equal(spill_count(f->spill), 100000);
    assert_true(now.disk_bytes > 10 << 20);
    assert_true(temp_count(f->folder) >= 10);
    struct stat about;
    char path[256];
    snprintf(path, sizeof path, "%s/spill-1", f->folder);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);

    take_until(f, 50000);
    wait_until_written(f, 1 << 20);
    assert_true(stats(f).disk_bytes < now.disk_bytes * 2 / 3); /* space comes back on the way */
    take_until(f, 100000);
    assert_false(take(f));
    now = stats(f);
    assert_int_equal(now.lost, 0);
    assert_int_equal(now.disk_bytes, 0);
    assert_int_equal(temp_count(f->folder), 0);
}

static void a_message_larger_than_everything_is_carried(void **state)
{
    Fixture *f = *state;
    begin(f, (SpillConfig){.memory_bytes = 1 << 16, .segment_bytes = 1 << 16, .limit_bytes = 8 << 20});
    put(f, 10);
    put(f, 3 << 20);
    wait_until_written(f, 1 << 15);
    assert_true(put(f, 10));
    assert_true(put(f, 12 << 20)); /* more than the disk may take */
    assert_false(put(f, 10));
    take_until(f, 4);
    assert_true(put(f, 10));
    take_until(f, 5);
}

static void other_kinds_of_message_keep_what_is_theirs(void **state)
{
    Fixture *f = *state;
    begin(f, (SpillConfig){.memory_bytes = 2}); /* everything is worth a write */
    Message *put_in[] = {message_response(5, 77, true, false, slice_of("{}")),
                         message_connection(slice_of("{\"a\":1}")), message_stop()};
    for (size_t i = 0; i < 3; i++) {
        assert_true(spill_put(f->spill, put_in[i]));
        wait_until_written(f, 0);
    }
    Message *response = spill_take(f->spill), *connection = spill_take(f->spill), *stop = spill_take(f->spill);
    assert_int_equal(stats(f).written, 3);
    assert_int_equal(response->kind, MESSAGE_RESPONSE);
    assert_int_equal(response->token, 77);
    assert_int_equal(response->generation, 5);
    assert_true(response->ok);
    assert_false(response->last);
    assert_true(slice_is(response->payload, "{}"));
    assert_int_equal(connection->kind, MESSAGE_CONNECTION);
    assert_true(slice_is(connection->payload, "{\"a\":1}"));
    assert_int_equal(stop->kind, MESSAGE_STOP);
    message_unref(response);
    message_unref(connection);
    message_unref(stop);
}

static void at_the_limit_of_the_disk_memory_fills_up_and_then_it_refuses(void **state)
{
    Fixture *f = *state;
    begin(f, (SpillConfig){.memory_bytes = 1 << 20, .segment_bytes = 1 << 18, .limit_bytes = 2 << 20});
    while (stats(f).disk_bytes + 2000 < 2 << 20) { /* another record would fit */
        if (!put(f, 1000)) sched_yield();
    }
    while (put(f, 1000))
        ;
    SpillStats now = stats(f);
    assert_true(now.disk_bytes <= 2 << 20);
    assert_true(now.memory_bytes >= 2 << 20 && now.memory_bytes < (2 << 20) + 2000);
    assert_true(spill_pressure(f->spill));
    unsigned relieved = calls_of(f, &f->relieved);
    take_until(f, f->next_put);
    wait_for(f, &f->relieved, relieved);
    assert_false(spill_pressure(f->spill));
    assert_true(put(f, 1000));
    take_until(f, f->next_put);
    assert_int_equal(stats(f).refused, 0);
}

static void fill_disk(Fixture *f, int segments)
{
    while (temp_count(f->folder) < (size_t)segments) {
        if (!put(f, 1000)) sched_yield();
    }
    wait_until_written(f, 1 << 17);
}

/* Changes one byte in the middle of a segment. */
static void damage(Fixture *f, int number, off_t offset)
{
    char path[256], byte = 0;
    snprintf(path, sizeof path, "%s/spill-%d", f->folder, number);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

/* Takes all there is, in order but for gaps, and returns how many came. */
static int64_t take_rest(Fixture *f)
{
    int64_t taken = 0, last = -1;
    while (spill_count(f->spill) > 0) {
        Message *message = spill_take(f->spill);
        if (!message) {
            sched_yield();
            continue;
        }
        assert_true(message->seq > last);
        last = message->seq;
        taken++;
        message_unref(message);
    }
    return taken;
}

static void a_damaged_record_costs_the_rest_of_its_segment_and_is_counted(void **state)
{
    Fixture *f = *state;
    begin(f, (SpillConfig){.memory_bytes = 1 << 18, .segment_bytes = 1 << 19});
    fill_disk(f, 4);
    damage(f, 2, 1 << 18);
    int64_t taken = take_rest(f);
    SpillStats now = stats(f);
    assert_int_equal(now.broken_segments, 1);
    assert_true(now.lost > 0 && now.lost < 600);
    assert_int_equal(taken + (int64_t)now.lost, f->next_put);
    assert_int_equal(spill_count(f->spill), 0);
    assert_int_equal(temp_count(f->folder), 0);
}

static void a_torn_segment_and_one_that_is_gone_cost_no_more_than_themselves(void **state)
{
    Fixture *f = *state;
    char path[256];
    begin(f, (SpillConfig){.memory_bytes = 1 << 18, .segment_bytes = 1 << 19});
    fill_disk(f, 4);
    snprintf(path, sizeof path, "%s/spill-1", f->folder);
    assert_int_equal(truncate(path, 1 << 18), 0);
    snprintf(path, sizeof path, "%s/spill-3", f->folder);
    assert_int_equal(remove(path), 0);
    int64_t taken = take_rest(f);
    SpillStats now = stats(f);
    assert_int_equal(now.broken_segments, 2);
    assert_int_equal(taken + (int64_t)now.lost, f->next_put);
    assert_true(put(f, 1000)); /* and it goes on */
    assert_int_equal(take_rest(f), 1);
}

static void what_is_put_behind_a_broken_segment_goes_to_another(void **state)
{
    Fixture *f = *state;
    begin(f, (SpillConfig){.memory_bytes = 1 << 18, .segment_bytes = 8 << 20});
    fill_disk(f, 1);
    damage(f, 1, 0);
    assert_true(spill_count(f->spill) > 0);
    f->next_taken = -1;
    for (int i = 0; i < 5000;) {
        if (put(f, 1000))
            i++;
        else
            sched_yield();
    }
    int64_t taken = take_rest(f);
    assert_int_equal(taken + (int64_t)stats(f).lost, f->next_put);
}

static void a_disk_that_refuses_is_pressure_and_nothing_is_lost(void **state)
{
    Fixture *f = *state;
    struct rlimit was, small;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    begin(f, (SpillConfig){.memory_bytes = 1 << 20, .segment_bytes = 1 << 20});
    small = (struct rlimit){.rlim_cur = 700000, .rlim_max = was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int64_t start_ms = now_ms();
    while (put(f, 1000) || stats(f).refused == 0)
        sched_yield();
    for (int i = 0; i < 1000; i++)
        sched_yield();
    int64_t refused = (int64_t)stats(f).refused; /* tried again now and then only */
    assert_true(refused <= 1 + (now_ms() - start_ms) / SPILL_RETRY_MS);
    assert_true(spill_pressure(f->spill));
    assert_non_null(strstr(stats(f).problem, f->folder));
    int64_t half = f->next_put / 2;
    take_until(f, half); /* through the disk and into memory */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    for (int i = 0; i < 3000;) {
        if (put(f, 1000))
            i++;
        else
            sched_yield();
    }
    take_until(f, f->next_put);
    assert_int_equal(stats(f).lost, 0);
    signal(SIGXFSZ, SIG_DFL);
}

static void what_an_earlier_process_left_is_removed_and_nothing_else(void **state)
{
    Fixture *f = *state;
    char path[256];
    assert_int_equal(mkdir(f->folder, 0700), 0);
    const char *names[] = {"spill-1", "spill-22", "spill-x", "spill-", "state.json"};
    for (size_t i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s/%s", f->folder, names[i]);
        temp_write(path, "left");
    }
    begin(f, (SpillConfig){0});
    assert_int_equal(temp_count(f->folder), 3);
    assert_int_equal(spill_count(f->spill), 0);
    for (size_t i = 2; i < 5; i++) {
        snprintf(path, sizeof path, "%s/%s", f->folder, names[i]);
        assert_int_equal(remove(path), 0);
    }
}

static void what_was_not_taken_leaves_no_file(void **state)
{
    Fixture *f = *state;
    begin(f, (SpillConfig){.memory_bytes = 1 << 18, .segment_bytes = 1 << 19});
    fill_disk(f, 3);
    spill_free(f->spill);
    f->spill = NULL;
    assert_int_equal(temp_count(f->folder), 0);
}

/* --- two threads -------------------------------------------------------------------------------------------------- */

#define RACED 60000

static void *put_all(void *context)
{
    Fixture *f = context;
    unsigned seen = 0;
    while (f->next_put < RACED) {
        if (!put(f, (size_t)(f->next_put * 37 % 500))) seen = wait_for(f, &f->relieved, seen);
    }
    return NULL;
}

static void race(Fixture *f, SpillConfig config, bool late)
{
    pthread_t thread;
    unsigned seen = 0;
    begin(f, config);
    assert_int_equal(pthread_create(&thread, NULL, put_all, f), 0);
    while (late && !spill_pressure(f->spill))
        sched_yield();
    while (f->next_taken < RACED) {
        if (!take(f))
            seen = wait_for(f, &f->readable, seen);
        else if (late && f->next_taken % 3 == 0)
            sched_yield();
    }
    pthread_join(thread, NULL);
    assert_false(take(f));
    SpillStats now = stats(f);
    assert_int_equal(now.put, RACED);
    assert_int_equal(now.taken, RACED);
    assert_int_equal(now.lost, 0);
    assert_int_equal(now.disk_bytes, 0);
    assert_int_equal(now.memory_bytes, 0);
}

static void one_thread_puts_while_another_takes(void **state)
{
    race(*state, (SpillConfig){.memory_bytes = 1 << 18, .segment_bytes = 1 << 19}, false);
}

static void and_a_slow_taker_with_little_disk_holds_it_up(void **state)
{
    Fixture *f = *state;
    race(f, (SpillConfig){.memory_bytes = 1 << 16, .segment_bytes = 1 << 16, .limit_bytes = 1 << 18}, true);
    assert_true(calls_of(f, &f->relieved) > 0);
}

/* Changes the last byte of the newest segment from `number` on, as far as there is one. */
static int damage_newest(Fixture *f, int number)
{
    char path[256];
    struct stat about;
    for (;; number++) {
        snprintf(path, sizeof path, "%s/spill-%d", f->folder, number + 1);
        if (stat(path, &about) != 0) break;
    }
    snprintf(path, sizeof path, "%s/spill-%d", f->folder, number);
    if (stat(path, &about) == 0 && about.st_size > 0) damage(f, number, about.st_size - 1);
    return number;
}

static void damage_that_is_found_while_more_is_written_costs_nothing_more(void **state)
{
    Fixture *f = *state;
    pthread_t thread;
    int number = 0;
    uint64_t damaged = 0;
    int64_t taken = 0, last = -1;
    unsigned seen = 0;
    begin(f, (SpillConfig){.memory_bytes = 1 << 16, .segment_bytes = 16 << 20});
    assert_int_equal(pthread_create(&thread, NULL, put_all, f), 0);
    while (last < RACED - 1 && taken + (int64_t)stats(f).lost < RACED) {
        Message *message = spill_take(f->spill);
        if (!message) {
            if (taken + (int64_t)stats(f).lost < RACED) seen = wait_for(f, &f->readable, seen);
            continue;
        }
        assert_true(message->seq > last);
        last = message->seq;
        message_unref(message);
        if (++taken % 200 == 0) {
            int newest = damage_newest(f, number);
            if (newest != number) damaged++; /* each may be found out once */
            number = newest;
        }
    }
    pthread_join(thread, NULL);
    SpillStats now = stats(f);
    assert_int_equal(taken + (int64_t)now.lost, RACED);
    assert_true(now.broken_segments <= damaged);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_few_messages_never_touch_the_disk),
        TEST(a_hundred_thousand_messages_come_back_in_order_through_many_segments),
        TEST(a_message_larger_than_everything_is_carried),
        TEST(other_kinds_of_message_keep_what_is_theirs),
        TEST(at_the_limit_of_the_disk_memory_fills_up_and_then_it_refuses),
        TEST(a_damaged_record_costs_the_rest_of_its_segment_and_is_counted),
        TEST(a_torn_segment_and_one_that_is_gone_cost_no_more_than_themselves),
        TEST(what_is_put_behind_a_broken_segment_goes_to_another),
        TEST(a_disk_that_refuses_is_pressure_and_nothing_is_lost),
        TEST(what_an_earlier_process_left_is_removed_and_nothing_else),
        TEST(what_was_not_taken_leaves_no_file),
        TEST(one_thread_puts_while_another_takes),
        TEST(and_a_slow_taker_with_little_disk_holds_it_up),
        TEST(damage_that_is_found_while_more_is_written_costs_nothing_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
