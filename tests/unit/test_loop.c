/* The event loop: timers, posted work, descriptors, turn ends, signals, and that it sleeps when there is nothing to do. */
#define _GNU_SOURCE /* RUSAGE_THREAD */
#include "net/loop.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* A test that waits for something that never comes ends by this. */
#define GIVE_UP_MS 5000

typedef struct {
    Loop *loop;
    LoopTimer give_up;
    bool gave_up;
    char log[256];
} Fixture;

static void note(Fixture *f, const char *text)
{
    size_t used = strlen(f->log);
    snprintf(f->log + used, sizeof f->log - used, "%s ", text);
}

static void give_up(void *context)
{
    Fixture *f = context;
    f->gave_up = true;
    loop_stop(f->loop);
}

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof *f);
    f->loop = loop_new();
    *state = f;
    return f->loop ? 0 : -1;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    loop_free(f->loop);
    free(f);
    return 0;
}

static void run(Fixture *f)
{
    f->give_up = (LoopTimer){.fire = give_up, .context = f};
    assert_true(loop_timer_set(f->loop, &f->give_up, loop_now_ms(f->loop) + GIVE_UP_MS));
    loop_run(f->loop);
    loop_timer_set(f->loop, &f->give_up, HEAP_NEVER);
    assert_false(f->gave_up);
}

/* --- timers ------------------------------------------------------------------------------------------------------------------ */

typedef struct {
    LoopTimer timer;
    Fixture *f;
    const char *name;
    bool last;
    int64_t fired_ms;
    LoopTimer *stops;
} Alarm;

static void alarm_fire(void *context)
{
    Alarm *alarm = context;
    note(alarm->f, alarm->name);
    alarm->fired_ms = loop_now_ms(alarm->f->loop);
    if (alarm->stops) loop_timer_set(alarm->f->loop, alarm->stops, HEAP_NEVER);
    if (alarm->last) loop_stop(alarm->f->loop);
}

static void alarm_set(Alarm *alarm, int64_t due_ms)
{
    alarm->timer.fire = alarm_fire;
    alarm->timer.context = alarm;
    assert_true(loop_timer_set(alarm->f->loop, &alarm->timer, due_ms));
}

static void timers_fire_in_order_and_never_early(void **state)
{
    Fixture *f = *state;
    Alarm a = {.f = f, .name = "a"}, b = {.f = f, .name = "b"}, c = {.f = f, .name = "c", .last = true},
          d = {.f = f, .name = "d"};
    int64_t now_ms = loop_now_ms(f->loop);
    alarm_set(&c, now_ms + 30);
    alarm_set(&a, now_ms + 10);
    alarm_set(&b, now_ms + 10);
    alarm_set(&d, now_ms + 20);
    b.stops = &d.timer;
    run(f);
    assert_string_equal(f->log, "a b c ");
    assert_true(a.fired_ms >= now_ms + 10);
    assert_true(c.fired_ms >= now_ms + 30);
}

static void a_timer_that_is_moved_fires_once_at_its_new_time(void **state)
{
    Fixture *f = *state;
    Alarm a = {.f = f, .name = "a"}, end = {.f = f, .name = "end", .last = true};
    int64_t now_ms = loop_now_ms(f->loop);
    alarm_set(&a, now_ms + 1000);
    alarm_set(&a, now_ms + 5);
    alarm_set(&end, now_ms + 20);
    run(f);
    assert_string_equal(f->log, "a end ");
}

static void a_deadline_in_the_past_fires_at_once(void **state)
{
    Fixture *f = *state;
    Alarm end = {.f = f, .name = "end", .last = true};
    alarm_set(&end, 0);
    int64_t before_ms = loop_now_ms(f->loop);
    run(f);
    assert_true(loop_now_ms(f->loop) - before_ms < 1000);
}

static void waiting_costs_no_wakeups(void **state)
{
    Fixture *f = *state;
    Alarm first = {.f = f, .name = "first", .last = true}, end = {.f = f, .name = "end", .last = true};
    alarm_set(&first, loop_now_ms(f->loop) + 1);
    run(f); /* what libwebsockets does once, at its start, is done */
    struct rusage before, after;
    alarm_set(&end, loop_now_ms(f->loop) + 500);
    getrusage(RUSAGE_THREAD, &before);
    run(f);
    getrusage(RUSAGE_THREAD, &after);
    long sleeps = after.ru_nvcsw - before.ru_nvcsw;
    long cpu_us =
        (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 + after.ru_utime.tv_usec - before.ru_utime.tv_usec;
    assert_true(sleeps <= 3);
    assert_true(cpu_us < 100000);
}

/* --- posted work ------------------------------------------------------------------------------------------------------------- */

#define POSTERS 4
#define POSTS 5000

typedef struct Poster Poster;

typedef struct {
    LoopWork work;
    Poster *poster;
    int number;
} Item;

struct Poster {
    Fixture *f;
    int seen;
    int *total;
    bool out_of_order;
    Item items[POSTS];
};

static void item_run(LoopWork *work)
{
    Item *item = HEAP_OWNER(work, Item, work);
    if (item->number != item->poster->seen) item->poster->out_of_order = true;
    item->poster->seen++;
    if (++*item->poster->total == POSTERS * POSTS) loop_stop(item->poster->f->loop);
}

static void *poster_main(void *context)
{
    Poster *poster = context;
    for (int i = 0; i < POSTS; i++) {
        poster->items[i] = (Item){.work.run = item_run, .poster = poster, .number = i};
        loop_post(poster->f->loop, &poster->items[i].work);
    }
    return NULL;
}

static void work_from_many_threads_runs_once_and_in_order(void **state)
{
    Fixture *f = *state;
    Poster *posters = calloc(POSTERS, sizeof *posters);
    pthread_t threads[POSTERS];
    int total = 0;
    for (int i = 0; i < POSTERS; i++) {
        posters[i].f = f;
        posters[i].total = &total;
        assert_int_equal(pthread_create(&threads[i], NULL, poster_main, &posters[i]), 0);
    }
    run(f);
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(posters[i].seen, POSTS);
        assert_false(posters[i].out_of_order);
    }
    free(posters);
}

/* Ping-pong between two threads: a lost wake-up would hang here. */
typedef struct {
    LoopWork work;
    Fixture *f;
    atomic_int answered;
    int rounds;
} Rally;

static void rally_run(LoopWork *work)
{
    Rally *rally = HEAP_OWNER(work, Rally, work);
    if (atomic_fetch_add(&rally->answered, 1) + 1 == rally->rounds) loop_stop(rally->f->loop);
}

static void *rally_main(void *context)
{
    Rally *rally = context;
    for (int i = 0; i < rally->rounds; i++) {
        loop_post(rally->f->loop, &rally->work);
        while (atomic_load(&rally->answered) == i)
            sched_yield();
    }
    return NULL;
}

static void every_post_wakes_a_loop_that_sleeps(void **state)
{
    Fixture *f = *state;
    Rally rally = {.work.run = rally_run, .f = f, .rounds = 2000};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, rally_main, &rally), 0);
    run(f);
    pthread_join(thread, NULL);
    assert_int_equal(rally.answered, 2000);
}

typedef struct {
    LoopWork work;
    Fixture *f;
    int left;
} Chain;

static void chain_run(LoopWork *work)
{
    Chain *chain = HEAP_OWNER(work, Chain, work);
    if (--chain->left == 0)
        loop_stop(chain->f->loop);
    else
        loop_post(chain->f->loop, work);
}

static void work_that_posts_itself_again_does_not_starve_timers(void **state)
{
    Fixture *f = *state;
    Chain chain = {.work.run = chain_run, .f = f, .left = 1 << 30};
    Alarm end = {.f = f, .name = "end", .last = true};
    alarm_set(&end, loop_now_ms(f->loop) + 5);
    loop_post(f->loop, &chain.work);
    run(f);
    assert_string_equal(f->log, "end ");
    assert_true(chain.left > 0);
}

typedef struct {
    LoopSoon soon;
    Fixture *f;
    const char *name;
    LoopSoon *takes_back;
    int again;
    bool last;
} Errand;

static void errand_run(void *context)
{
    Errand *errand = context;
    note(errand->f, errand->name);
    if (errand->takes_back) loop_not_soon(errand->f->loop, errand->takes_back);
    if (errand->again-- > 0)
        loop_soon(errand->f->loop, &errand->soon);
    else if (errand->last)
        loop_stop(errand->f->loop);
}

static void what_is_to_be_soon_runs_once_in_order_and_can_be_taken_back(void **state)
{
    Fixture *f = *state;
    Errand a = {.f = f, .name = "a", .again = 1}, b = {.f = f, .name = "b"}, c = {.f = f, .name = "c"};
    Errand d = {.f = f, .name = "d", .again = 2, .last = true};
    Errand *all[] = {&a, &b, &c, &d};
    for (size_t i = 0; i < 4; i++) {
        all[i]->soon.run = errand_run;
        all[i]->soon.context = all[i];
        loop_soon(f->loop, &all[i]->soon);
        loop_soon(f->loop, &all[i]->soon);
    }
    a.takes_back = &c.soon;
    loop_not_soon(f->loop, &b.soon);
    loop_not_soon(f->loop, &b.soon);
    run(f);
    assert_string_equal(f->log, "a d a d d ");
}

static void stop_before_run_is_not_lost(void **state)
{
    Fixture *f = *state;
    loop_stop(f->loop);
    run(f);
}

/* --- turn ends --------------------------------------------------------------------------------------------------------------- */

typedef struct {
    LoopTurn turn;
    Fixture *f;
    const char *name;
    LoopTurn *adds;
    bool once;
} Closer;

static void closer_end(void *context)
{
    Closer *closer = context;
    note(closer->f, closer->name);
    if (closer->once) loop_off_turn_end(closer->f->loop, &closer->turn);
    if (closer->adds) {
        loop_on_turn_end(closer->f->loop, closer->adds);
        closer->adds = NULL;
    }
}

static Closer closer_of(Fixture *f, const char *name)
{
    return (Closer){.f = f, .name = name, .turn.end = closer_end};
}

static void turn_ends_may_add_and_remove_themselves(void **state)
{
    Fixture *f = *state;
    Closer a = closer_of(f, "a"), b = closer_of(f, "b"), late = closer_of(f, "late");
    a.turn.context = &a;
    b.turn.context = &b;
    late.turn.context = &late;
    b.once = late.once = true;
    b.adds = &late.turn;
    loop_on_turn_end(f->loop, &a.turn);
    loop_on_turn_end(f->loop, &b.turn);
    Chain chain = {.work.run = chain_run, .f = f, .left = 1};
    loop_post(f->loop, &chain.work);
    run(f);
    assert_string_equal(f->log, "a b late a ");
    loop_off_turn_end(f->loop, &a.turn);
}

/* --- descriptors ------------------------------------------------------------------------------------------------------------- */

typedef struct {
    Fixture *f;
    LoopWatch *watch;
    int fd;
    int peer;
    int reads, writes;
    int writes_wanted;
    bool unwatch_on_read;
    bool hung_up;
} Pipe;

static void pipe_readable(void *context)
{
    Pipe *end = context;
    char bytes[64];
    ssize_t got = read(end->fd, bytes, sizeof bytes);
    end->reads++;
    end->hung_up = loop_hung_up(end->watch);
    if (got > 0) note(end->f, "read");
    if (got == 0) note(end->f, "end");
    if (end->unwatch_on_read) {
        loop_unwatch(end->watch);
        end->watch = NULL;
    }
    loop_stop(end->f->loop);
}

static void pipe_writable(void *context)
{
    Pipe *end = context;
    end->writes++;
    if (end->writes < end->writes_wanted)
        loop_want_write(end->watch);
    else
        loop_stop(end->f->loop);
}

static void pipe_open(Fixture *f, Pipe *end)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    *end = (Pipe){.f = f, .fd = fds[0], .peer = fds[1]};
    end->watch = loop_watch(f->loop, end->fd, pipe_readable, pipe_writable, end);
    assert_non_null(end->watch);
}

static void pipe_close(Pipe *end)
{
    loop_unwatch(end->watch);
    close(end->peer);
}

static void a_watch_reads_and_writes(void **state)
{
    Fixture *f = *state;
    Pipe end;
    pipe_open(f, &end);
    assert_int_equal(write(end.peer, "x", 1), 1);
    run(f);
    assert_int_equal(end.reads, 1);
    assert_int_equal(end.writes, 0);
    end.writes_wanted = 3; /* asked for again from inside of the callback */
    loop_want_write(end.watch);
    run(f);
    assert_int_equal(end.writes, 3);
    pipe_close(&end);
}

static void no_reading_while_it_is_not_wanted(void **state)
{
    Fixture *f = *state;
    Pipe end;
    Alarm timer = {.f = f, .name = "timer", .last = true};
    pipe_open(f, &end);
    assert_int_equal(write(end.peer, "x", 1), 1);
    loop_want_read(end.watch, false);
    alarm_set(&timer, loop_now_ms(f->loop) + 20);
    run(f);
    loop_want_read(end.watch, true);
    run(f);
    assert_string_equal(f->log, "timer read ");
    pipe_close(&end);
}

static void a_callback_may_unwatch_itself(void **state)
{
    Fixture *f = *state;
    Pipe end;
    Alarm timer = {.f = f, .name = "timer", .last = true};
    pipe_open(f, &end);
    end.unwatch_on_read = true;
    loop_want_write(end.watch); /* ready as well, and must not be called after */
    end.writes_wanted = 1000000;
    assert_int_equal(write(end.peer, "xy", 2), 2);
    run(f);
    int writes = end.writes;
    alarm_set(&timer, loop_now_ms(f->loop) + 5);
    run(f);
    assert_int_equal(end.reads, 1);
    assert_int_equal(end.writes, writes);
    close(end.peer);
}

static void a_hangup_is_told_while_reading_is_off(void **state)
{
    Fixture *f = *state;
    Pipe end;
    pipe_open(f, &end);
    loop_want_read(end.watch, false);
    close(end.peer);
    run(f);
    assert_string_equal(f->log, "end ");
    assert_true(end.hung_up);
    loop_unwatch(end.watch);
}

static void a_hangup_of_what_was_unwatched_tells_nobody(void **state)
{
    Fixture *f = *state;
    Pipe first, second;
    Alarm timer = {.f = f, .name = "timer", .last = true};
    pipe_open(f, &first);
    pipe_open(f, &second);
    loop_want_read(first.watch, false);
    loop_want_read(second.watch, false);
    alarm_set(&timer, loop_now_ms(f->loop) + 1);
    run(f);
    close(first.peer);
    close(second.peer);
    /* libwebsockets finds out about the second when it is ours no more. */
    loop_unwatch(second.watch);
    run(f);
    assert_int_equal(first.reads + second.reads, 1);
    loop_unwatch(first.watch);
}

static void descriptors_are_closed(void **state)
{
    Fixture *f = *state;
    int before = dup(0);
    close(before);
    for (int i = 0; i < 2000; i++) {
        Pipe end;
        pipe_open(f, &end);
        pipe_close(&end);
        loop_stop(f->loop);
        run(f);
    }
    int after = dup(0);
    close(after);
    assert_int_equal(before, after);
}

/* --- signals ----------------------------------------------------------------------------------------------------------------- */

static void on_signal(void *context, int number)
{
    Fixture *f = context;
    note(f, number == SIGUSR1 ? "usr1" : number == SIGUSR2 ? "usr2" : "other");
    if (number == SIGUSR2) loop_stop(f->loop);
}

static void ignore_signal(int number)
{
    (void)number;
}

static void signals_arrive_in_a_turn(void **state)
{
    Fixture *f = *state;
    signal(SIGUSR1, ignore_signal);
    assert_true(loop_on_signals(f->loop, (const int[]){SIGUSR1, SIGUSR2}, 2, on_signal, f));
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGUSR2);
    run(f);
    assert_string_equal(f->log, "usr1 usr2 ");
    assert_true(loop_on_signals(f->loop, NULL, 0, NULL, NULL));
    kill(getpid(), SIGUSR1); /* back to the handler of before */
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    assert_false(sigismember(&mask, SIGUSR1));
    assert_string_equal(f->log, "usr1 usr2 ");
}

static void loops_come_and_go_without_a_trace(void **state)
{
    (void)state;
    int before = dup(0);
    close(before);
    for (int i = 0; i < 20; i++)
        loop_free(loop_new());
    int after = dup(0);
    close(after);
    assert_int_equal(before, after);
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(timers_fire_in_order_and_never_early),
        LOOP_TEST(a_timer_that_is_moved_fires_once_at_its_new_time),
        LOOP_TEST(a_deadline_in_the_past_fires_at_once),
        LOOP_TEST(waiting_costs_no_wakeups),
        LOOP_TEST(work_from_many_threads_runs_once_and_in_order),
        LOOP_TEST(every_post_wakes_a_loop_that_sleeps),
        LOOP_TEST(work_that_posts_itself_again_does_not_starve_timers),
        LOOP_TEST(what_is_to_be_soon_runs_once_in_order_and_can_be_taken_back),
        LOOP_TEST(stop_before_run_is_not_lost),
        LOOP_TEST(turn_ends_may_add_and_remove_themselves),
        LOOP_TEST(a_watch_reads_and_writes),
        LOOP_TEST(no_reading_while_it_is_not_wanted),
        LOOP_TEST(a_callback_may_unwatch_itself),
        LOOP_TEST(a_hangup_is_told_while_reading_is_off),
        LOOP_TEST(a_hangup_of_what_was_unwatched_tells_nobody),
        LOOP_TEST(descriptors_are_closed),
        LOOP_TEST(signals_arrive_in_a_turn),
        cmocka_unit_test(loops_come_and_go_without_a_trace),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
