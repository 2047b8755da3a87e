/* inbox_private.h - what inbox.c (the queue in memory) and inbox_overflow.c (what happens beyond its mark) and
 * inbox_drops.c (what is dropped there) share. */
#ifndef GATEHOUSE_APP_INBOX_PRIVATE_H
#define GATEHOUSE_APP_INBOX_PRIVATE_H

#include "app/inbox.h"

#include <pthread.h>

#define INBOX_INDEX_BITS 48

typedef struct Overflow Overflow;

struct Inbox {
    InboxLimits limits;
    void (*relieved)(void *context);
    void *context;
    Overflow *overflow; /* NULL: over the mark there is only backpressure */

    pthread_mutex_t lock;
    pthread_cond_t arrived;
    Message **ring; /* NULL in it: the message was dropped */
    size_t mask;
    size_t reserved;    /* slots for what is being read back from the disk */
    atomic_ullong tail; /* index of the next free slot; written under the lock */
    uint64_t peeked;    /* from this index on nobody has looked yet */
    bool sleeping;      /* somebody may be waiting: a push has to signal */
    bool woken;
    size_t peak_count, peak_bytes;

    atomic_ullong cursor;
    atomic_size_t count, bytes;    /* the weight */
    atomic_int waiting;            /* requests in flight */
    atomic_bool pressed;           /* was reported as under pressure, relieved has not followed yet */
    atomic_bool spilling;          /* events go to the spill; written under the lock */
    atomic_bool impatient;         /* the reader has waited long enough for the consumer */
    atomic_bool waits_for_lighter; /* the consumer reads back from the spill when the weight has sunk */
};

/* Of inbox.c. All with the lock held but where it says otherwise. */
uint64_t inbox_next_index(const Inbox *inbox);                /* without it */
bool inbox_is_consumer(const Inbox *inbox, InboxEpoch epoch); /* without it */
bool inbox_make_room(Inbox *inbox, size_t count);
void inbox_append(Inbox *inbox, Message *message);               /* into a free slot, with its weight */
bool inbox_over(const Inbox *inbox, size_t bytes, size_t count); /* without it */
void inbox_wake_all(Inbox *inbox);
void inbox_relieve(Inbox *inbox); /* without it */

/* Of inbox_overflow.c, for an inbox that has one. */
void overflow_free(Overflow *overflow); /* NULL is fine */
/* With the lock held: whether messages of this weight are for overflow_push. */
bool overflow_concerns(const Inbox *inbox, size_t count, size_t bytes);
/* Takes the lock, as inbox_push. */
bool overflow_push(Inbox *inbox, Message *const *messages, size_t count);
/* With the lock held, which it lets go of meanwhile: reads back what there is room for. Returns until when the consumer may sleep. */
int64_t overflow_refill(Inbox *inbox, InboxEpoch epoch, int64_t due_ms);
void overflow_lighter(Inbox *inbox); /* the weight has sunk, and the consumer waits for that. Takes the lock */
bool overflow_spills(const Inbox *inbox);
bool overflow_is_patient(const Inbox *inbox); /* over the mark the consumer is waited for; the spill is not touched */
bool overflow_pressure(Inbox *inbox, bool waits);
bool overflow_full(const Inbox *inbox);
void overflow_stats(const Inbox *inbox, InboxStats *out); /* with the lock held */

#endif
