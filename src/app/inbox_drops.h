/* inbox_drops.h - events of which some are dropped over an inbox's high mark: of `drop_oldest` the oldest one that waits, of
 * `drop_newest` the one that comes. The one that is dropped may be in the spill, where it cannot be taken out: then the next one of its
 * name that comes back from there is. All with the inbox's lock held. */
#ifndef GATEHOUSE_APP_INBOX_DROPS_H
#define GATEHOUSE_APP_INBOX_DROPS_H

#include "app/inbox.h"

/* A name, or a prefix. */
typedef struct {
    Slice text;
    bool prefix, newest;
    uint64_t from;  /* no event of it is in the ring in front of this index */
    size_t spilled; /* that are in the spill … */
    size_t owed;    /* … of them the first so many are dropped (and counted) for younger ones behind them */
} Drop;

typedef struct {
    Drop *each;
    size_t count;
    char *texts[2]; /* that they point into */
} Drops;

bool drops_set(Drops *drops, const InboxOverflow *policy); /* false without memory; to be cleared all the same */
void drops_clear(Drops *drops);

/* The first that the event is of; NULL: it must not be dropped. */
Drop *drops_find(const Drops *drops, const Message *message);

/* Drops the oldest one of `drop` that waits, so that it makes room for the one that comes. False if there is none. */
bool drops_older(Inbox *inbox, const Drops *drops, Drop *drop);

/* One that comes back from the spill: whether it is dropped, for one behind it. */
bool drops_is_owed(const Drops *drops, const Message *message);
size_t drops_owed(const Drops *drops);   /* how many still will be */
void drops_forget_spilled(Drops *drops); /* the spill is empty */

#endif
