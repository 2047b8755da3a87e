/* inbox.h - the bounded queue in front of an app, and the only thing it shares with the I/O thread.
 *
 * Many threads push, one consumer (the app's current generation) takes. It looks at what is next and claims each message before
 * it begins with it. A hand-over makes somebody else the consumer: each message is claimed by exactly one of the two, whatever
 * the old one is doing, and those that were not claimed belong to the new one.
 *
 * What is in it weighs bytes and counts; so does what was taken but has to wait for its handler (inbox_charge). Two marks bound it:
 *
 *     high water: the inbox is under pressure: the host stops reading from the gateway, until it has sunk below half of it.
 *                 While the app waits for a response, which arrives by that same road, reading goes on …
 *     limit:      … up to here. Beyond it reading stops whatever waits, until it has sunk below half of it.
 *
 * A push never fails for the bound (the reader is stopped instead, so nothing is lost); it fails only without memory.
 *
 * Overflow. An inbox with a spill goes on on the disk: events that come over the high mark go there, in order, and come back when the weight
 * has sunk below half of it; what somebody waits for (responses, the end) overtakes them. Then it is the spill that is under pressure or
 * not: at its bounds in memory, when the disk is full or does not keep up. Of events that were named for it the oldest one is dropped
 * over the mark, or the one that comes. */
#ifndef GATEHOUSE_APP_INBOX_H
#define GATEHOUSE_APP_INBOX_H

#include "app/message.h"
#include "app/spill.h"

typedef struct Inbox Inbox;

typedef struct {
    size_t high_bytes, high_count; /* 0: the default */
    size_t limit_bytes, limit_count;
} InboxLimits;

#define INBOX_HIGH_BYTES (2u << 20)
#define INBOX_HIGH_COUNT 4096
#define INBOX_LIMIT_BYTES (64u << 20)
#define INBOX_LIMIT_COUNT 131072

/* `relieved(context)` is called on the taking thread when the inbox, having been reported as under pressure, sank below half
 * of the mark that counts. NULL if there is no memory. */
Inbox *inbox_new(const InboxLimits *limits, void (*relieved)(void *context), void *context);
void inbox_free(Inbox *inbox); /* drops the references that are in it, and the files of its spill */

typedef struct {
    const char
        *folder; /* of the spill, which has it for itself; made when it is needed. NULL: no spill, but backpressure */
    size_t limit_bytes, memory_bytes; /* of the spill; 0: the default */
    bool waits_first;                 /* over the mark the reader waits for the consumer, until inbox_lose_patience */
    const char *drop_oldest,
        *drop_newest; /* names of events, or prefixes with a '*' behind, separated by commas; NULL: none. */
} InboxOverflow;      /* copied */

/* Before the first message. False without memory. Without it there is backpressure. */
bool inbox_set_overflow(Inbox *inbox, const InboxOverflow *overflow);

/* The end has begun: what is in the spill is not handled any more, and nothing goes there. Returns how many messages that are. Any thread but
 * one that is in inbox_peek. */
uint64_t inbox_close_spill(Inbox *inbox);

/* Takes one reference of each message; wakes the taker once. Any thread; never waits for the disk. False without memory: then nothing was
 * taken. The order of events is that of the pushes of one thread. */
bool inbox_push(Inbox *inbox, Message *const *messages, size_t count);

/* The names of consumers: 0 is the first. */
typedef unsigned InboxEpoch;

/* Copies up to `room` pointers of what is next, in order, and returns how many; none of them is claimed yet. Waits for the first
 * until `due_ms` (monotonic; INT64_MAX: for ever; a past time: not at all) or inbox_wake. 0 at once for who is not the consumer. */
size_t inbox_peek(Inbox *inbox, InboxEpoch epoch, Message **messages, size_t room, int64_t due_ms);

/* The next message, the first that was not claimed, belongs to the caller from now on, with its reference; it stays charged until
 * inbox_release. False: another is the consumer now, and what was peeked must not be touched. Without a lock. */
bool inbox_claim(Inbox *inbox, InboxEpoch epoch);

/* Peeks and claims, for the only consumer that there ever is. */
size_t inbox_take(Inbox *inbox, Message **messages, size_t room, int64_t due_ms);

/* Makes who gets this epoch the consumer. Any thread. */
InboxEpoch inbox_hand_over(Inbox *inbox);

/* Who waits in inbox_peek, or will wait next, comes back at once. Any thread. */
void inbox_wake(Inbox *inbox);

/* Whether something is in it that was not claimed. Any thread; without a lock. */
bool inbox_waits(const Inbox *inbox);

/* The weight of a message that was taken: released when it is handled; charged again for each handler it has to wait for. */
void inbox_charge(Inbox *inbox, size_t bytes);
void inbox_release(Inbox *inbox, size_t bytes);

/* The app has this many more (fewer) requests in flight. */
void inbox_waiting(Inbox *inbox, int change);

/* Whether it is at its limit. Any thread. */
bool inbox_full(const Inbox *inbox);

/* An app that is slow for a moment only is better waited for than written to the disk: over its mark an inbox with a spill is under pressure
 * first, like one without. Who has waited for long enough says so; until the inbox has been empty enough again, the spill takes what comes. */
void inbox_lose_patience(Inbox *inbox);

/* Whether the reader should stop. Remembered, so that `relieved` follows. Any thread. */
bool inbox_pressure(Inbox *inbox);

typedef struct {
    size_t count, bytes; /* now, with what is charged */
    size_t peak_count, peak_bytes;
    uint64_t pushed, taken; /* with those that were dropped while they waited in memory */
    size_t spilled;         /* now in the spill */
    uint64_t dropped_oldest, dropped_newest;
    uint64_t refused; /* dropped because the spill was full to the brim */
    SpillStats spill;
} InboxStats;
void inbox_stats(Inbox *inbox, InboxStats *out);

#endif
