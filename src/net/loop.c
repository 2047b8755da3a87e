/* loop.c - the I/O thread's event loop: libwebsockets waits and dispatches, the rest of a turn is here.
 *
 *     end of the last turn:  turn ends ─► changes of interest reach libwebsockets ─► the timer descriptor is armed
 *     wait:                  lws_service (poll)
 *     turn:                  descriptors (inside lws_service) ─► posted work ─► what was to be soon ─► timers
 *
 * libwebsockets 4.1 rounds its own timers down to milliseconds before poll, so that it spins until one is due. Ours wait in a
 * heap whose first deadline is a timerfd, a descriptor like others (loop_watch.c).
 */
#include "net/loop_lws.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct Loop {
    struct lws_context *lws;
    LoopWatches watches;
    LoopLeftover *leftovers;
    int64_t now_ms;
    bool in_turn;
    bool stopped;

    LoopSoon *soon;    /* in order */
    LoopSoon *running; /* the part of it that the current turn calls */

    _Atomic(LoopWork *) posted; /* newest first */
    atomic_bool asleep;         /* or about to be: who posts has to wake */

    Heap timers;
    LoopWatch *timer_watch;
    int timer_fd;
    int64_t armed_ms;

    LoopTurn *turns;
    LoopTurn *next_turn; /* while they are called: the one after the current */
    bool in_turn_ends;

    LoopSignals *signals;
};

static int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t loop_now_ms(const Loop *loop)
{
    return loop->in_turn ? loop->now_ms : clock_ms();
}

struct lws_context *loop_context(Loop *loop)
{
    return loop->lws;
}

void loop_release_at_end(Loop *loop, LoopLeftover *leftover)
{
    leftover->next = loop->leftovers;
    loop->leftovers = leftover;
}

LoopWatches *loop_watches(Loop *loop)
{
    return &loop->watches;
}

void loop_enter(Loop *loop)
{
    if (loop->in_turn) return;
    loop->in_turn = true;
    loop->now_ms = clock_ms();
    atomic_store(&loop->asleep, false);
}

/* --- work from other threads ------------------------------------------------------------------------------------------------ */

void loop_post(Loop *loop, LoopWork *work)
{
    LoopWork *newest = atomic_load_explicit(&loop->posted, memory_order_relaxed);
    do {
        work->next = newest;
    } while (!atomic_compare_exchange_weak(&loop->posted, &newest, work));
    /* Either we see that the loop sleeps, or it sees the work before it does: both sides write first and then look. */
    if (atomic_exchange(&loop->asleep, false)) lws_cancel_service(loop->lws);
}

/* What is posted meanwhile waits for the next turn, so that the descriptors get theirs. */
static void run_posted(Loop *loop)
{
    LoopWork *newest = atomic_exchange(&loop->posted, NULL);
    LoopWork *oldest = NULL;
    while (newest) {
        LoopWork *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        LoopWork *work = oldest;
        oldest = work->next;
        work->run(work);
    }
}

/* --- work of the I/O thread itself ------------------------------------------------------------------------------------------ */

void loop_soon(Loop *loop, LoopSoon *soon)
{
    if (soon->waits) return;
    LoopSoon **link = &loop->soon;
    while (*link)
        link = &(*link)->next;
    soon->next = NULL;
    soon->waits = true;
    *link = soon;
}

static bool remove_soon(LoopSoon **list, LoopSoon *soon)
{
    for (LoopSoon **link = list; *link; link = &(*link)->next) {
        if (*link == soon) {
            *link = soon->next;
            return true;
        }
    }
    return false;
}

void loop_not_soon(Loop *loop, LoopSoon *soon)
{
    if (!soon->waits) return;
    soon->waits = false;
    if (!remove_soon(&loop->soon, soon)) remove_soon(&loop->running, soon);
}

static void run_soon(Loop *loop)
{
    loop->running = loop->soon;
    loop->soon = NULL;
    while (loop->running) {
        LoopSoon *soon = loop->running;
        loop->running = soon->next;
        soon->waits = false;
        soon->run(soon->context);
    }
}

/* --- timers ------------------------------------------------------------------------------------------------------------------ */

bool loop_timer_set(Loop *loop, LoopTimer *timer, int64_t due_ms)
{
    if (due_ms == HEAP_NEVER) {
        heap_remove(&loop->timers, &timer->node);
        return true;
    }
    return heap_add(&loop->timers, &timer->node, due_ms);
}

static void fire_timers(Loop *loop)
{
    HeapNode *node;
    while ((node = heap_pop_due(&loop->timers, loop->now_ms))) {
        LoopTimer *timer = HEAP_OWNER(node, LoopTimer, node);
        timer->fire(timer->context);
    }
}

static void arm_timer(Loop *loop)
{
    int64_t next_ms = heap_next_ms(&loop->timers);
    if (next_ms == loop->armed_ms) return;
    struct itimerspec when = {0}; /* zero disarms; so what was due at once is due at 1 ns */
    if (next_ms != HEAP_NEVER && next_ms > 0)
        when.it_value = (struct timespec){.tv_sec = next_ms / 1000, .tv_nsec = next_ms % 1000 * 1000000};
    else if (next_ms != HEAP_NEVER)
        when.it_value.tv_nsec = 1;
    timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
    loop->armed_ms = next_ms;
}

static void on_timer_descriptor(void *context)
{
    Loop *loop = context;
    uint64_t count;
    if (read(loop->timer_fd, &count, sizeof count) > 0)
        loop->armed_ms = HEAP_NEVER; /* it fires once; the timers themselves are looked at in every turn */
}

/* --- the end of a turn ------------------------------------------------------------------------------------------------------- */

void loop_on_turn_end(Loop *loop, LoopTurn *turn)
{
    LoopTurn **link = &loop->turns;
    while (*link)
        link = &(*link)->next;
    turn->next = NULL;
    *link = turn;
    if (loop->in_turn_ends && !loop->next_turn) loop->next_turn = turn;
}

void loop_off_turn_end(Loop *loop, LoopTurn *turn)
{
    for (LoopTurn **link = &loop->turns; *link; link = &(*link)->next) {
        if (*link == turn) {
            *link = turn->next;
            break;
        }
    }
    if (loop->next_turn == turn) loop->next_turn = turn->next;
}

static void call_turn_ends(Loop *loop)
{
    loop->in_turn_ends = true;
    for (LoopTurn *turn = loop->turns; turn; turn = loop->next_turn) {
        loop->next_turn = turn->next;
        turn->end(turn->context);
    }
    loop->in_turn_ends = false;
}

/* --- signals ----------------------------------------------------------------------------------------------------------------- */

bool loop_on_signals(Loop *loop, const int *signals, size_t count, void (*handler)(void *context, int signal),
                     void *context)
{
    if (handler) return loop_signals_take(loop, &loop->signals, signals, count, handler, context);
    loop_signals_release(&loop->signals);
    return true;
}

/* --- life -------------------------------------------------------------------------------------------------------------------- */

/* libwebsockets writes to stderr on its own, in lines that mean nothing to a person; what fails is reported by who called it. */
static void ignore_log(int level, const char *line)
{
    (void)level;
    (void)line;
}

static bool make_context(Loop *loop)
{
    lws_set_log_level(LLL_ERR, ignore_log);
    struct lws_context_creation_info info = {0};
    /* LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT is for server.c to say, if it serves TLS: it costs 2 MiB of resident memory. */
    info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.uid = -1; /* stay who we are */
    info.gid = -1;
    /* Without it the tables are made, and touched, for as many descriptors as the process may have: 16 MiB in a container. */
    info.fd_limit_per_thread = LOOP_MAX_DESCRIPTORS;
    loop->lws = lws_create_context(&info);
    if (!loop->lws) return false;
    info.options = 0;
    info.protocols = loop_watch_protocols;
    info.vhost_name = "descriptors";
    loop->watches.vhost = lws_create_vhost(loop->lws, &info);
    return loop->watches.vhost != NULL;
}

Loop *loop_new(void)
{
    Loop *loop = calloc(1, sizeof *loop);
    if (!loop) return NULL;
    loop->armed_ms = HEAP_NEVER;
    if (!make_context(loop)) goto failed;
    loop_survive_writes(); /* after libwebsockets, which ignores it */
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (loop->timer_fd < 0) goto failed;
    loop->timer_watch = loop_watch(loop, loop->timer_fd, on_timer_descriptor, NULL, loop);
    if (!loop->timer_watch) {
        close(loop->timer_fd);
        goto failed;
    }
    return loop;

failed:
    loop_free(loop);
    return NULL;
}

void loop_free(Loop *loop)
{
    if (!loop) return;
    loop_signals_release(&loop->signals);
    loop_unwatch(loop->timer_watch);
    loop_watches_apply(&loop->watches);
    if (loop->lws) lws_context_destroy(loop->lws);
    while (loop->leftovers) {
        LoopLeftover *next = loop->leftovers->next;
        loop->leftovers->release(loop->leftovers);
        loop->leftovers = next;
    }
    heap_free(&loop->timers);
    free(loop);
}

static void wait_and_dispatch(Loop *loop)
{
    loop->in_turn = false;
    atomic_store(&loop->asleep, true);
    /* In this version a negative timeout means "do not wait", and any other one "until something happens". */
    lws_service(loop->lws, loop->soon || atomic_load(&loop->posted) ? -1 : 0);
    loop_enter(loop);
    run_posted(loop);
    run_soon(loop);
    fire_timers(loop);
}

void loop_run(Loop *loop)
{
    loop_enter(loop);
    for (;;) {
        call_turn_ends(loop);
        loop_watches_apply(&loop->watches);
        arm_timer(loop);
        if (loop->stopped) break;
        wait_and_dispatch(loop);
    }
    loop->stopped = false;
    loop->in_turn = false;
}

void loop_stop(Loop *loop)
{
    loop->stopped = true;
}
