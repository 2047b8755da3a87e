/* loop.h - the one place where the I/O thread waits: a libwebsockets context with timers, descriptors, signals and
 * work posted by other threads. Everything here is for the I/O thread, except loop_post. */
#ifndef GATEHOUSE_NET_LOOP_H
#define GATEHOUSE_NET_LOOP_H

#include "protocol/heap.h"

typedef struct Loop Loop;

/* NULL if the context cannot be made. SIGPIPE and SIGXFSZ are ignored from then on. */
Loop *loop_new(void);

/* After everything that uses it is gone: watches unwatched, other threads ended. Work still posted is dropped, not run. */
void loop_free(Loop *loop);

/* Runs until loop_stop; called before loop_run, it makes that return at once. Nothing to do: no wake-ups, but for one that
 * libwebsockets has every 30 s. A turn is: descriptors, posted work, what was to be soon, timers, turn ends. */
void loop_run(Loop *loop);
void loop_stop(Loop *loop);

/* Monotonic milliseconds; read once per turn of the loop, so cheap, and at each call between two runs. */
int64_t loop_now_ms(const Loop *loop);

/* --- work from other threads ------------------------------------------------------------------------------------------------ */

/* Embedded in what it works on; `run` may free its owner. */
typedef struct LoopWork LoopWork;
struct LoopWork {
    LoopWork *next;
    void (*run)(LoopWork *work);
};

/* From any thread: runs `work` on the I/O thread, in the order posted. Many posts of one moment cost one wake-up. */
void loop_post(Loop *loop, LoopWork *work);

/* The same for the I/O thread itself, and it can be taken back: `run` is called once, in the next turn (never inside of
 * loop_soon), and the loop does not sleep before. To ask again while it waits changes nothing. */
typedef struct LoopSoon LoopSoon;
struct LoopSoon {
    LoopSoon *next;
    void (*run)(void *context);
    void *context;
    bool waits;
};
void loop_soon(Loop *loop, LoopSoon *soon);
void loop_not_soon(Loop *loop, LoopSoon *soon);

/* --- timers ------------------------------------------------------------------------------------------------------------------ */

typedef struct {
    HeapNode node;
    void (*fire)(void *context);
    void *context;
} LoopTimer;

/* `due_ms` on the clock of loop_now_ms; HEAP_NEVER stops it. Owner keeps the timer until it is stopped. False without memory: the timer
 * is stopped then. */
bool loop_timer_set(Loop *loop, LoopTimer *timer, int64_t due_ms);

/* Called once at the end of every turn, after all descriptors of the turn; for what collects and flushes. One that is added by
 * another turn end is called in the same turn, so that adding and removing oneself makes it "once, at the end of this turn". */
typedef struct LoopTurn LoopTurn;
struct LoopTurn {
    LoopTurn *next;
    void (*end)(void *context);
    void *context;
};
void loop_on_turn_end(Loop *loop, LoopTurn *turn);
void loop_off_turn_end(Loop *loop, LoopTurn *turn);

/* --- descriptors ------------------------------------------------------------------------------------------------------------- */

typedef struct LoopWatch LoopWatch;

/* Watches a non-blocking descriptor, level triggered; it belongs to the watch from then on. Reading is on, writing off.
 * `readable` / `writable` may call loop_unwatch; `writable` may be NULL. NULL if it cannot be watched; the descriptor then still
 * belongs to the caller. */
LoopWatch *loop_watch(Loop *loop, int fd, void (*readable)(void *context), void (*writable)(void *context),
                      void *context);
void loop_want_write(LoopWatch *watch); /* `writable` once */
void loop_want_read(LoopWatch *watch, bool wanted);
void loop_unwatch(LoopWatch *watch); /* closes the descriptor; no callback comes after it */

/* From now on the callbacks are these: for who opens a descriptor and hands it on. */
void loop_hand_over(LoopWatch *watch, void (*readable)(void *context), void (*writable)(void *context), void *context);

/* The peer hung up while reading was off. `readable` was called for it, and will not be called again: read to the end now. */
bool loop_hung_up(const LoopWatch *watch);

/* --- signals ----------------------------------------------------------------------------------------------------------------- */

/* `handler` runs on the I/O thread, in a turn. For one signal set at a time; a NULL handler (count 0) goes back to the default.
 * Of one loop in a process at a time. False if it cannot be had; nothing changed then. */
bool loop_on_signals(Loop *loop, const int *signals, size_t count, void (*handler)(void *context, int signal),
                     void *context);

#endif
