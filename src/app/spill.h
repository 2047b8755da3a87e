/* spill.h - a queue of messages, first in, first out, that goes on on the disk where memory ends: what an inbox holds
 * beyond its bound (`overflow = "spill"`).
 *
 *     spill_put ──► memory ── the writing thread ──► segment files ──► spill_take
 *     (I/O thread)     └────── while there is nothing on the disk ──────┘ (the app's thread)
 *
 * The I/O thread never waits for the disk: it leaves messages in memory, and a thread of the spill's own, which is
 * started when there is enough for it to do, takes them to the disk. The app's thread reads, and may wait for the disk.
 * Any thread may call anything; messages come in the order in which they were put, so one thread at a time should put,
 * and one take: a generation that replaces another one may go on where that one stopped.
 *
 * Bounds. Memory: from `memory_bytes` on spill_pressure says that the reader of the socket should stop; at twice as
 * much spill_put refuses. Disk: at `limit_bytes`, and when the disk refuses (full, say), nothing more is written;
 * memory then fills up, so that the same pressure follows; writing is tried again when a segment is freed, and every
 * SPILL_RETRY_MS.
 *
 * Segments are removed as soon as they are read, so the space comes back. They are 0600, and are not synced: they are
 * overflow of memory and no journal. What is left of an earlier process is removed by spill_new and not read: the
 * messages in memory that were older are gone with that process, so is the connection that their sequence numbers and
 * responses belong to, and an app that got them now would see old events without their beginning, as new. The gateway
 * has no replay either: after a restart an app starts from a snapshot, as it does after any time that it was not there.
 * What is in here when an app is stopped is dropped, and the app says so.
 *
 * A record that is not what was written (torn, changed from outside) is not given out, nor is what follows in its
 * segment: all of them are counted as lost, and reading goes on with the next segment. */
#ifndef GATEHOUSE_APP_SPILL_H
#define GATEHOUSE_APP_SPILL_H

#include "app/message.h"

#define SPILL_LIMIT_BYTES (1u << 30)
#define SPILL_MEMORY_BYTES (8u << 20)
#define SPILL_SEGMENT_BYTES (16u << 20)
#define SPILL_RETRY_MS 1000

typedef struct Spill Spill;

/* Sizes: 0 is the default. Segments are at most a quarter of the limit, but for a message that is larger itself.
 *
 * `readable`: spill_take gave nothing, and now there is something. `relieved`: after a pressure that was told, memory
 * is below half of it. Both may be NULL, come on any thread, without a lock held, and must not wait. */
typedef struct {
    size_t limit_bytes, memory_bytes, segment_bytes;
    void (*readable)(void *context);
    void (*relieved)(void *context);
    void *context;
} SpillConfig;

/* Removes what an earlier process left in `folder` (which is made when it is needed first), so it may wait for the
 * disk. NULL without memory. */
Spill *spill_new(const char *folder, const SpillConfig *config);

/* Removes what an earlier process left there, where there is to be no spill. */
void spill_remove_left(const char *folder);

/* Ends the thread, drops what is in it, and removes its files. No call of put or take may be under way. NULL is
 * fine. */
void spill_free(Spill *spill);

/* Appends, and takes over the caller's reference. False: full, or no memory; the reference is still the caller's. Never
 * waits. */
bool spill_put(Spill *spill, Message *message);

/* Whether the reader of the socket should stop. Remembered, so that `relieved` follows; a refused spill_put counts as
 * asked. */
bool spill_pressure(Spill *spill);

/* The next message, with its reference, or NULL: there is none, or it is just on its way to the disk; `readable`
 * follows. */
Message *spill_take(Spill *spill);

/* Messages in it. */
size_t spill_count(Spill *spill);

typedef struct {
    size_t memory_count, memory_bytes;
    size_t disk_count, disk_bytes; /* not read yet; what the files take */
    uint64_t put, taken;
    uint64_t written;         /* of the messages put, went to the disk */
    uint64_t lost;            /* broken records, with those behind them */
    uint64_t broken_segments; /* in which they were */
    uint64_t refused;         /* times that the disk refused */
    char problem[256];        /* why the last time, for people; "" if it never did */
} SpillStats;
void spill_stats(Spill *spill, SpillStats *out);

#endif
