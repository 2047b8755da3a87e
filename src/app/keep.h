/* keep.h - gw.state on its way: from the disk or the generation before into this one, and as snapshots to the disk and to the next.
 *
 * A snapshot (AppBindings.save) is made on the generation's thread and written on another one (saver.h). The newest is also what a
 * generation that follows begins with. */
#ifndef GATEHOUSE_APP_KEEP_H
#define GATEHOUSE_APP_KEEP_H

#include "app/generation_private.h"

/* An app begins, and ends: what brings its snapshots to the disk. False without memory; or, at the end, when the disk hangs and the
 * app has to be left alone. */
bool keep_open(App *app);
bool keep_close(App *app);

/* Behind every round of the loop of the current generation; `idle`: it is about to wait. Makes a snapshot if it is time to. */
void keep_when_due(Generation *generation, bool idle);
int64_t keep_due_ms(const Generation *generation); /* when it has to wake up for that */

/* At a border: a snapshot for the one that follows. False, with a sentence, if something cannot be carried. */
bool keep_for_next(Generation *current, char *problem, size_t problem_size);

/* The incoming one: appends the newest snapshot, if any generation has made one. False without memory. Any thread. */
bool keep_latest(App *app, Buffer *out);

/* The app ends with this generation as the current one: the last snapshot, and a while for the disk. False if not all is saved: that
 * was logged. */
bool keep_at_end(Generation *generation);

#endif
