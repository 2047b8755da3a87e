/* inbox_overflow.c - what becomes of events that come while an inbox is over its high mark: see inbox.h.
 *
 *     push ──► ring ────────────────────────────► consumer
 *       └─ over the mark, or `spilling` ─► spill ─┘ refill: when the weight has sunk below half of the mark
 *
 * `spilling` is set with the first message that goes to the spill, and cleared by the refill that finds it empty. Both happen under
 * the inbox's lock, and not while a push has yet to put what it chose to spill (`putting`): so no event overtakes another. The
 * spill itself is called without that lock, but for a look at its counters. A refill takes and appends under a lock of its own, since
 * the consumer that was replaced by force may still be in one.
 *
 * What has to wait for its handler weighs too. If that alone keeps the inbox over the mark, and nothing of it moves, the handlers may
 * be waiting for an event that is behind it in the spill: then the mark is raised step by step, up to the inbox's limit. */
#include "app/inbox_drops.h"
#include "app/clock.h"
#include "app/inbox_private.h"
#include "app/spill.h"

#include <stdlib.h>

#define REFILL 64     /* messages at a time */
#define CHUNK 64      /* of a push, between two times that the lock is taken */
#define STILL_MS 1000 /* without movement, until the mark is raised */

struct Overflow {
    Spill *spill; /* NULL: backpressure */
    size_t memory_bytes;
    bool waits_first;
    Drops drops;
    atomic_bool closed;
    atomic_uint raised; /* how often the mark was */

    pthread_mutex_t refilling; /* taken before the inbox's lock */

    /* Under the inbox's lock. */
    size_t putting;         /* chosen for the spill, and not put yet */
    int64_t still_ms;       /* since when nothing moves; 0: something does */
    size_t still_count;     /* the weight then */
    uint64_t put, refilled; /* of the spill */
    uint64_t refused, dropped_oldest, dropped_newest;
};

static int64_t earlier(int64_t a_ms, int64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

/* --- marks ------------------------------------------------------------------------------------------------------------------- */

static bool over_mark(const Inbox *inbox)
{
    return inbox_over(inbox, inbox->limits.high_bytes, inbox->limits.high_count);
}

static size_t refill_mark(const Inbox *inbox, size_t high, size_t limit)
{
    size_t raised = atomic_load(&inbox->overflow->raised);
    if (raised > limit / high) return limit;
    size_t mark = high / 2 + raised * high + 1;
    return mark < limit ? mark : limit;
}

/* Whether more may be read back, on top of `count` messages of `bytes`. */
static bool has_sunk(const Inbox *inbox, size_t count, size_t bytes)
{
    const InboxLimits *limits = &inbox->limits;
    size_t mark_bytes = refill_mark(inbox, limits->high_bytes, limits->limit_bytes);
    size_t mark_count = refill_mark(inbox, limits->high_count, limits->limit_count);
    return atomic_load(&inbox->bytes) + bytes < mark_bytes && atomic_load(&inbox->count) + count < mark_count;
}

bool overflow_concerns(const Inbox *inbox, size_t count, size_t bytes)
{
    const InboxLimits *limits = &inbox->limits;
    return atomic_load_explicit(&inbox->spilling, memory_order_relaxed) ||
           atomic_load(&inbox->bytes) + bytes > limits->high_bytes ||
           atomic_load(&inbox->count) + count > limits->high_count;
}

/* --- push ------------------------------------------------------------------------------------------------------------------------ */

typedef enum { TO_RING, TO_SPILL, DROPPED } Fate;

/* With the lock held. */
static Fate decide(Inbox *inbox, const Message *message)
{
    Overflow *overflow = inbox->overflow;
    bool waits_in_line = message->kind == MESSAGE_EVENT || message->kind == MESSAGE_CONNECTION;
    if (!waits_in_line || atomic_load(&overflow->closed)) return TO_RING; /* others belong to who waits for them */
    if (!atomic_load(&inbox->spilling) && !over_mark(inbox)) return TO_RING;
    Drop *drop = drops_find(&overflow->drops, message);
    if (drop && drop->newest) return DROPPED;
    if (drop && drops_older(inbox, &overflow->drops, drop)) overflow->dropped_oldest++;
    if (!overflow->spill || (!atomic_load(&inbox->spilling) && !over_mark(inbox))) return TO_RING;
    if (overflow_is_patient(inbox) && !inbox_over(inbox, inbox->limits.limit_bytes, inbox->limits.limit_count))
        return TO_RING;
    if (drop) drop->spilled++;
    return TO_SPILL;
}

typedef struct {
    Message *spilled[CHUNK];
    size_t count;
} Chosen;

/* With the lock held. */
static void sort(Inbox *inbox, Message *const *messages, size_t count, Chosen *chosen)
{
    Overflow *overflow = inbox->overflow;
    bool spilled = atomic_load(&inbox->spilling);
    uint64_t tail = inbox->tail;
    chosen->count = 0;
    for (size_t i = 0; i < count; i++) {
        switch (decide(inbox, messages[i])) {
        case TO_RING: inbox_append(inbox, messages[i]); break;
        case TO_SPILL:
            chosen->spilled[chosen->count++] = messages[i];
            atomic_store(&inbox->spilling, true);
            break;
        case DROPPED:
            overflow->dropped_newest++;
            message_unref(messages[i]);
            break;
        }
    }
    inbox->reserved -= count;
    overflow->putting += chosen->count;
    overflow->put += chosen->count;
    bool begins = !spilled && chosen->count > 0; /* then the consumer has to look to the spill */
    if (begins) inbox->woken = true;
    if (inbox->sleeping && (begins || inbox->tail != tail)) inbox_wake_all(inbox);
}

/* Without the lock. Those that the spill refuses are at the front of it then. */
static size_t put(Overflow *overflow, Chosen *chosen)
{
    size_t refused = 0;
    for (size_t i = 0; i < chosen->count; i++)
        if (!spill_put(overflow->spill, chosen->spilled[i])) chosen->spilled[refused++] = chosen->spilled[i];
    return refused;
}

/* With the lock held. */
static void note_put(Overflow *overflow, const Chosen *chosen, size_t refused)
{
    overflow->putting -= chosen->count;
    overflow->put -= refused;
    overflow->refused += refused;
    for (size_t i = 0; i < refused; i++) {
        Drop *drop = drops_find(&overflow->drops, chosen->spilled[i]);
        if (drop && drop->spilled > 0) drop->spilled--;
        message_unref(chosen->spilled[i]);
    }
}

bool overflow_push(Inbox *inbox, Message *const *messages, size_t count)
{
    Chosen chosen;
    pthread_mutex_lock(&inbox->lock);
    bool room = inbox_make_room(inbox, count);
    if (room) inbox->reserved += count;
    for (size_t i = 0; room && i < count; i += CHUNK) {
        sort(inbox, messages + i, count - i < CHUNK ? count - i : CHUNK, &chosen);
        if (chosen.count == 0) continue;
        pthread_mutex_unlock(&inbox->lock);
        size_t refused = put(inbox->overflow, &chosen);
        pthread_mutex_lock(&inbox->lock);
        note_put(inbox->overflow, &chosen, refused);
    }
    pthread_mutex_unlock(&inbox->lock);
    return room;
}

/* --- refill ---------------------------------------------------------------------------------------------------------------------- */

/* With the lock held: raises the mark when the consumer has nothing to do and nothing has ended for long. True if it did. `*due_ms` comes
 * down to when it has to look again. */
static bool stands_still(Inbox *inbox, int64_t *due_ms)
{
    Overflow *overflow = inbox->overflow;
    size_t count = atomic_load(&inbox->count);
    if (inbox_waits(inbox)) overflow->still_ms = 0;
    if (inbox_waits(inbox) || inbox_over(inbox, inbox->limits.limit_bytes - 1, inbox->limits.limit_count - 1))
        return false;
    int64_t now = clock_ms();
    bool moves = overflow->still_ms == 0 || count < overflow->still_count;
    bool still = !moves && now - overflow->still_ms >= STILL_MS;
    if (still) atomic_fetch_add(&overflow->raised, 1);
    if (moves || still) {
        overflow->still_ms = now;
        overflow->still_count = count;
    }
    *due_ms = earlier(*due_ms, overflow->still_ms + STILL_MS);
    return still;
}

/* With the lock held. */
static bool may_refill(Inbox *inbox, int64_t *due_ms)
{
    atomic_store(&inbox->waits_for_lighter, true); /* before the look: who makes it lighter looks for this afterwards */
    bool may = has_sunk(inbox, 0, 0) || (stands_still(inbox, due_ms) && has_sunk(inbox, 0, 0));
    if (may) atomic_store(&inbox->waits_for_lighter, false);
    return may;
}

/* Without the lock. `*all`: there was no more to be had. */
static size_t take(const Inbox *inbox, Message **taken, bool *all)
{
    size_t count = 0, bytes = 0;
    *all = false;
    while (count < REFILL && (count == 0 || has_sunk(inbox, count, bytes))) {
        Message *message = spill_take(inbox->overflow->spill);
        *all = message == NULL;
        if (!message) break;
        taken[count++] = message;
        bytes += message->size_bytes;
    }
    return count;
}

/* With the lock held. */
static void stop_spilling(Inbox *inbox)
{
    Overflow *overflow = inbox->overflow;
    atomic_store(&inbox->spilling, false);
    atomic_store(&inbox->waits_for_lighter, false);
    atomic_store(&overflow->raised, 0);
    overflow->still_ms = 0;
    drops_forget_spilled(&overflow->drops); /* what was lost on the disk is in them */
}

/* With the lock held. */
static void take_back(Inbox *inbox, Message *const *taken, size_t count, bool all)
{
    Overflow *overflow = inbox->overflow;
    uint64_t tail = inbox->tail;
    for (size_t i = 0; i < count; i++) {
        if (drops_is_owed(&overflow->drops, taken[i]))
            message_unref(taken[i]);
        else
            inbox_append(inbox, taken[i]);
    }
    overflow->refilled += count;
    if (count > 0 && inbox->tail == tail) inbox->woken = true; /* all of them were dropped: the next are to be taken */
    if (all && overflow->putting == 0 && spill_count(overflow->spill) == 0) stop_spilling(inbox);
}

int64_t overflow_refill(Inbox *inbox, InboxEpoch epoch, int64_t due_ms)
{
    Overflow *overflow = inbox->overflow;
    Message *taken[REFILL];
    bool all;
    if (!inbox_is_consumer(inbox, epoch) || !may_refill(inbox, &due_ms)) return due_ms;
    pthread_mutex_unlock(&inbox->lock);
    pthread_mutex_lock(&overflow->refilling);
    pthread_mutex_lock(&inbox->lock);
    bool goes_on = inbox_is_consumer(inbox, epoch) && atomic_load(&inbox->spilling) && inbox_make_room(inbox, REFILL);
    if (goes_on) {
        inbox->reserved += REFILL;
        pthread_mutex_unlock(&inbox->lock);
        size_t count = take(inbox, taken, &all);
        pthread_mutex_lock(&inbox->lock);
        inbox->reserved -= REFILL;
        take_back(inbox, taken, count, all);
    } else {
        due_ms = earlier(due_ms, clock_ms() + STILL_MS); /* there may have been no memory */
    }
    pthread_mutex_unlock(&overflow->refilling);
    return due_ms;
}

void overflow_lighter(Inbox *inbox)
{
    if (!has_sunk(inbox, 0, 0)) return;
    pthread_mutex_lock(&inbox->lock);
    if (atomic_exchange(&inbox->waits_for_lighter, false)) {
        inbox->woken = true;
        inbox_wake_all(inbox);
    }
    pthread_mutex_unlock(&inbox->lock);
}

/* --- pressure --------------------------------------------------------------------------------------------------------------------- */

bool overflow_spills(const Inbox *inbox)
{
    return inbox->overflow && inbox->overflow->spill && !atomic_load(&inbox->overflow->closed);
}

bool overflow_is_patient(const Inbox *inbox)
{
    if (!inbox->overflow->waits_first || atomic_load(&inbox->waiting) > 0) return false;
    return !atomic_load(&inbox->spilling) && !atomic_load(&inbox->impatient);
}

/* Halfway between where the reader should stop and where the spill refuses. */
bool overflow_full(const Inbox *inbox)
{
    SpillStats stats;
    if (!atomic_load(&inbox->spilling)) return false;
    spill_stats(inbox->overflow->spill, &stats);
    return stats.memory_bytes >= inbox->overflow->memory_bytes / 2 * 3;
}

bool overflow_pressure(Inbox *inbox, bool waits)
{
    if (!atomic_load(&inbox->spilling)) return false;
    atomic_store(&inbox->pressed, true);
    bool pressure = spill_pressure(inbox->overflow->spill);
    if (pressure && (waits || atomic_load(&inbox->waiting) > 0)) pressure = overflow_full(inbox);
    return pressure || !atomic_exchange(&inbox->pressed, false);
}

/* --- life ------------------------------------------------------------------------------------------------------------------------- */

static void on_readable(void *context)
{
    inbox_wake(context);
}

/* With the lock held, so that nobody is told any more once it is closed. */
static void on_relieved(void *context)
{
    Inbox *inbox = context;
    pthread_mutex_lock(&inbox->lock);
    if (!atomic_load(&inbox->overflow->closed)) inbox_relieve(inbox);
    pthread_mutex_unlock(&inbox->lock);
}

bool inbox_set_overflow(Inbox *inbox, const InboxOverflow *policy)
{
    if (!policy->folder && !policy->drop_oldest && !policy->drop_newest) return true;
    Overflow *overflow = calloc(1, sizeof *overflow);
    if (!overflow) return false;
    pthread_mutex_init(&overflow->refilling, NULL);
    overflow->waits_first = policy->waits_first;
    overflow->memory_bytes = policy->memory_bytes ? policy->memory_bytes : SPILL_MEMORY_BYTES;
    bool set = drops_set(&overflow->drops, policy);
    if (set && policy->folder) {
        const SpillConfig config = {.limit_bytes = policy->limit_bytes,
                                    .memory_bytes = overflow->memory_bytes,
                                    .readable = on_readable,
                                    .relieved = on_relieved,
                                    .context = inbox};
        overflow->spill = spill_new(policy->folder, &config);
        set = overflow->spill != NULL;
    }
    if (set)
        inbox->overflow = overflow;
    else
        overflow_free(overflow);
    return set;
}

void overflow_free(Overflow *overflow)
{
    if (!overflow) return;
    atomic_store(&overflow->closed, true);
    spill_free(overflow->spill);
    pthread_mutex_destroy(&overflow->refilling);
    drops_clear(&overflow->drops);
    free(overflow);
}

uint64_t inbox_close_spill(Inbox *inbox)
{
    Overflow *overflow = inbox->overflow;
    SpillStats stats;
    if (!overflow_spills(inbox)) return 0;
    pthread_mutex_lock(&overflow->refilling); /* nothing is half way back */
    pthread_mutex_lock(&inbox->lock);
    atomic_store(&overflow->closed, true);
    spill_stats(overflow->spill, &stats);
    uint64_t dropped = overflow->put - overflow->refilled - stats.lost;
    size_t owed = drops_owed(&overflow->drops); /* were counted as dropped */
    dropped -= owed < dropped ? owed : dropped;
    stop_spilling(inbox);
    inbox_relieve(inbox);
    pthread_mutex_unlock(&inbox->lock);
    pthread_mutex_unlock(&overflow->refilling);
    return dropped;
}

void overflow_stats(const Inbox *inbox, InboxStats *out)
{
    const Overflow *overflow = inbox->overflow;
    out->pushed += overflow->put - overflow->refilled;
    out->dropped_oldest = overflow->dropped_oldest;
    out->dropped_newest = overflow->dropped_newest;
    out->refused = overflow->refused;
    if (!overflow->spill) return;
    spill_stats(overflow->spill, &out->spill);
    if (!atomic_load(&overflow->closed)) out->spilled = out->spill.memory_count + out->spill.disk_count;
}
