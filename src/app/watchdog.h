/* watchdog.h - the CPU budget of what a script does in one go: a handler's call up to its first wait, the next stretch up to the
 * next one, a main chunk. What is over its budget is interrupted with an error that no pcall swallows.
 *
 * Nothing is paid for it while scripts behave: a timer on the thread's CPU clock sends a signal to that thread for every tenth of
 * the budget that it has used, so an idle app does not wake, and the signal's handler, which finds the same stretch running, gives the
 * running coroutine a hook (as lua.c does for SIGINT). For that it has to know which coroutine runs, inside which others: door.c
 * tells it (WatchdogFrame), since no Lua runs but through the door.
 *
 *                 signal: over the budget             hook: before the next instruction, or call, or return
 *     watching ───────────────────────────► over ─────────────────────────────────────────────────────────► judged
 *         ▲                                  │ watchdog_renew                                                │ raises at every
 *         └──────────────────────────────────┴───────────────────────────────────────────────────────────────┘ instruction
 *
 * The hook stays on whatever coroutine runs next until the host has control again (watchdog_renew), so a script that catches the
 * error cannot do anything with it. A coroutine that still has the hook by then gets rid of it when it next runs. */
#ifndef GATEHOUSE_APP_WATCHDOG_H
#define GATEHOUSE_APP_WATCHDOG_H

#include <lua.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define WATCHDOG_PLACE_BYTES 128

typedef struct Watchdog Watchdog;

/* A call through the door, on the C stack of who calls: Lua runs on L until it returns. */
typedef struct WatchdogFrame WatchdogFrame;
struct WatchdogFrame {
    lua_State *L;
    WatchdogFrame *outer;
};

/* `doing` names what runs, for messages, and is borrowed. `cpu_ms` below 0: no budget, it only looks where a long call is. NULL without
 * memory. */
Watchdog *watchdog_new(_Atomic(const char *) *doing, int64_t cpu_ms);
void watchdog_free(Watchdog *watchdog); /* NULL is fine; its thread is gone */

/* On the thread that is to be watched, for all its Lua from then on. False if there is no timer to be had: then nothing is watched. */
bool watchdog_start(Watchdog *watchdog);
void watchdog_stop(Watchdog *watchdog); /* on that thread */

/* The host has control: what runs next has a budget of its own. */
void watchdog_renew(Watchdog *watchdog);

/* --- of this thread's watchdog; without one they do nothing and answer no ------------------------------------------------------ */

void watchdog_enter(WatchdogFrame *frame, lua_State *L); /* the outermost one renews the budget, too */
void watchdog_leave(WatchdogFrame *frame);
bool watchdog_stack_is_short(void); /* of the thread's C stack more than half is used */

/* The budget is gone, and it is a step of the script that used it up: nothing of that runs any more. For functions in C that take long,
 * which no hook interrupts. What the host does for itself, such as saving gw.state, goes on. */
bool watchdog_over(void);
bool watchdog_judged(void); /* the budget is gone, and the error was raised */

/* The error of the last one over its budget as text, with its traceback: file and line first. */
const char *watchdog_verdict(void);

/* Whether the error was raised on that coroutine. Hooks stay off on it if it died of that, so it is not to run again, and what
 * it has left to close must not be closed. */
bool watchdog_spent(lua_State *coroutine);

/* --- from any thread -------------------------------------------------------------------------------------------------------------- */

/* Where the stretch that runs was when it was last looked at: "at watch.lua:14", or "in find, called at
 * watch.lua:14". False if it was not looked at. */
bool watchdog_place(Watchdog *watchdog, char place[WATCHDOG_PLACE_BYTES]);

/* What runs is not wanted any more: it is interrupted as if its budget were gone, when the C function that it is in returns. Not for a
 * thread that has ended. */
void watchdog_replace(Watchdog *watchdog);

/* Asks the thread to look where it is. When it is asked a second time a little later, and a C function of its script has waited for
 * something all the while, the answer is there soon. (What works is looked at anyway.) Not for a thread that has ended. */
void watchdog_look(Watchdog *watchdog);

#endif
