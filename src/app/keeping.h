/* keeping.h - when the state of a running generation is saved: pure, times come in.
 *
 * After something ran: a second after the last time as soon as it is about to wait, and after five seconds also while it is busy. To
 * save takes time of the app: never more than a fiftieth of it. */
#ifndef GATEHOUSE_APP_KEEPING_H
#define GATEHOUSE_APP_KEEPING_H

#include <stdbool.h>
#include <stdint.h>

#define KEEPING_IDLE_MS 1000  /* between two times, when it is about to wait */
#define KEEPING_BUSY_MS 5000  /* when it is not */
#define KEEPING_SHARE 50      /* a time that took t ms is followed by 50 t without */
#define KEEPING_TELL_MS 60000 /* between two complaints that it does not work */

typedef struct {
    bool active;  /* there is a state to be saved */
    bool changed; /* something ran since the last time */
    int64_t idle_due_ms, busy_due_ms;
    uint64_t steps;  /* at the last time */
    int64_t tell_ms; /* no complaint before; 0: there was none */
} Keeping;           /* all zero: nothing is saved */

/* From now on there is a state: it was read for the first time. */
void keeping_begin(Keeping *keeping, int64_t now_ms, uint64_t steps);

/* `steps` differs from what it was whenever something may have changed the state. */
void keeping_look(Keeping *keeping, uint64_t steps);

/* Whether to save now; `idle`: it is about to wait. */
bool keeping_due(const Keeping *keeping, int64_t now_ms, bool idle);

/* When it has to wake up to save, if nothing happens before; INT64_MAX: not at all. */
int64_t keeping_next_ms(const Keeping *keeping);

/* It was saved, or tried, which took so long. */
void keeping_done(Keeping *keeping, int64_t now_ms, int64_t took_us, uint64_t steps);

/* Whether a failure is to be told now, or was told a short while ago. */
bool keeping_may_tell(Keeping *keeping, int64_t now_ms);

#endif
