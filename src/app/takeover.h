/* takeover.h - how one generation follows another: on their threads, under the app's lock.
 *
 *     incoming:  loads ─ asks for a border ─► [current stands] ─ loads on with its gw.state, @start ─► takes over ─► runs
 *     current:   runs ──────────► border: writes gw.state down, stands ─┬─ incoming took over: retired, drains, ends
 *                                                                       └─ incoming failed:    goes on as if nothing had been
 *
 * A border is a moment between two messages at which no Lua runs. An incoming one asks for it when its main chunk first looks at
 * gw.state, or when the main chunk has run: until then the current one works on. It does not ask while an earlier one still
 * drains. A current one that does not come to a border in time is replaced by force: its message counts as failed, and gw.state is
 * what it was when it was last looked at. Should it come back before that has happened, the incoming one gives way. */
#ifndef GATEHOUSE_APP_TAKEOVER_H
#define GATEHOUSE_APP_TAKEOVER_H

#include "app/generation_private.h"

/* --- the incoming one ----------------------------------------------------------------------------------------------------------- */

/* Whether there is anything to load: false for RELOAD_CHANGED when nothing has changed. Reads the disk. */
bool takeover_begin(Generation *incoming);
/* Its main chunk has run, well or not: what it has read is known. The first one's too. */
void takeover_loaded(Generation *incoming);
void takeover_attempted(Generation *incoming); /* the same, with the lock held, whatever became of it */
/* Waits until the current one stands at a border, or cannot be waited for. A second call returns at once. False, with why in `problem`. */
bool takeover_ask(Generation *incoming);
/* Becomes the current one. False, with why in `problem`. */
bool takeover_finish(Generation *incoming);
/* It does not follow, and says why: the current one goes on. Nothing if it was given up already. */
void takeover_give_up(Generation *incoming);

/* --- the current one ------------------------------------------------------------------------------------------------------------- */

/* At a border, when it was asked for: returns when it is retired or goes on. */
void takeover_stand(Generation *current);
void takeover_connection(Generation *current, Message *connection); /* for those that follow, and the one that drains */
/* What is for another generation than the current one, to that one; gone if there is none. */
void takeover_forward(Generation *current, Message *message);

/* --- the one that drains ----------------------------------------------------------------------------------------------------------- */

void takeover_tell_lane(Generation *retired, uint64_t lane); /* a call has ended for which the current one waits */

/* --- each --------------------------------------------------------------------------------------------------------------------------- */

/* The first one has loaded, or cannot: news, if nobody waits for it. */
void takeover_launched(Generation *first);
/* Its thread ends: the last that it says to the port. */
void takeover_ended(Generation *generation);

#endif
