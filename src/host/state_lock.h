/* state_lock.h - one host at a time uses a state folder: two would run the same apps on the same data. */
#ifndef GATEHOUSE_HOST_STATE_LOCK_H
#define GATEHOUSE_HOST_STATE_LOCK_H

#include <stdbool.h>
#include <stddef.h>

/* Takes the lock, which the process holds until state_lock_release or its end. Returns a descriptor; -1 with a sentence in
 * `problem` that names the process which has it. */
int state_lock_take(const char *state_dir, char *problem, size_t problem_size);
void state_lock_release(int lock); /* -1 is fine */

#endif
