/* handover.h - what one generation leaves to the next: events that were taken from the inbox and wait for their handler, and the
 * calls that still run (wait), for which the next one's handler of the same pattern, and key, has to wait.
 *
 * A handler is the same in both generations if it has the same pattern and stands at the same place among those of that pattern. */
#ifndef GATEHOUSE_APP_HANDOVER_H
#define GATEHOUSE_APP_HANDOVER_H

#include "app/generation_private.h"

/* What a generation would leave now, at a border, on its thread. NULL without memory. */
Handover *handover_collect(Generation *generation);
/* The same of one that does not come to a border, by who takes over by force: it begins with nothing of that any more (it is condemned), what
 * it runs counts as failed, and nobody waits for it. */
Handover *handover_seize(Generation *stuck);
void handover_free(Generation *generation,
                   Handover *handover); /* as if it had not been; NULL is fine. By who collected it */

/* What is left weighs in that inbox from now on, until it is delivered; NULL: it does not any more. By who has it, or with the lock of the
 * generation that does. */
void handover_weigh(Handover *handover, Inbox *inbox);

/* On the thread of the one that follows: its handlers hold back for the calls that run elsewhere. */
void handover_hold(Generation *generation, Handover *handover);
void handover_let_go(Generation *generation, Handover *handover, uint64_t lane); /* one call of that lane has ended */
void handover_let_all_go(Generation *generation, Handover *handover);

/* The next event that was left, to its handlers; false when all are through. The calls are still held. */
bool handover_deliver(Generation *generation, Handover *handover);

#endif
