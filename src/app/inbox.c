/* inbox.c - see inbox.h.
 *
 * A ring of message pointers under one mutex that is held for the copy of some pointers, never longer. The weight is kept in
 * atomics beside it: it covers more than the ring (what was taken and waits for its handler), and it is read on both sides
 * without the lock. A push signals only when the taker sleeps.
 *
 * `cursor` says in one word who the consumer is and which message is next: a claim is one compare-and-swap on it, which fails
 * from the moment of a hand-over. What was copied by a peek is not touched before it is claimed.
 *
 *     cursor = epoch << 48 | index of the next message         index: counts all messages ever pushed */
#include "app/inbox.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define RING_FIRST 64 /* slots; a power of two, as every later size */
#define INDEX_BITS 48
#define INDEX_MASK ((1ull << INDEX_BITS) - 1)

struct Inbox {
    InboxLimits limits;
    void (*relieved)(void *context);
    void *context;

    pthread_mutex_t lock;
    pthread_cond_t arrived;
    Message **ring;
    size_t mask;
    atomic_ullong tail; /* index of the next free slot; written under the lock */
    bool sleeping;      /* somebody may be waiting: a push has to signal */
    bool woken;
    size_t peak_count, peak_bytes;

    atomic_ullong cursor;
    atomic_size_t count, bytes; /* the weight */
    atomic_int waiting;         /* requests in flight */
    atomic_bool pressed;        /* was reported as under pressure, relieved has not followed yet */
};

static size_t or_default(size_t value, size_t otherwise)
{
    return value ? value : otherwise;
}

Inbox *inbox_new(const InboxLimits *limits, void (*relieved)(void *context), void *context)
{
    Inbox *inbox = calloc(1, sizeof *inbox);
    if (!inbox) return NULL;
    inbox->ring = malloc(RING_FIRST * sizeof(Message *));
    if (!inbox->ring) {
        free(inbox);
        return NULL;
    }
    inbox->mask = RING_FIRST - 1;
    inbox->limits = (InboxLimits){
        or_default(limits->high_bytes, INBOX_HIGH_BYTES), or_default(limits->high_count, INBOX_HIGH_COUNT),
        or_default(limits->limit_bytes, INBOX_LIMIT_BYTES), or_default(limits->limit_count, INBOX_LIMIT_COUNT)};
    inbox->relieved = relieved;
    inbox->context = context;
    pthread_mutex_init(&inbox->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&inbox->arrived, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return inbox;
}

static uint64_t next_index(const Inbox *inbox)
{
    return atomic_load(&inbox->cursor) & INDEX_MASK;
}

static Message **slot(const Inbox *inbox, uint64_t index)
{
    return &inbox->ring[index & inbox->mask];
}

void inbox_free(Inbox *inbox)
{
    if (!inbox) return;
    for (uint64_t i = next_index(inbox); i != inbox->tail; i++)
        message_unref(*slot(inbox, i));
    pthread_cond_destroy(&inbox->arrived);
    pthread_mutex_destroy(&inbox->lock);
    free(inbox->ring);
    free(inbox);
}

/* The consumer may claim meanwhile: then more is copied than is needed. */
static bool ring_make_room(Inbox *inbox, size_t count)
{
    uint64_t first = next_index(inbox), tail = inbox->tail;
    size_t used = (size_t)(tail - first), size = inbox->mask + 1;
    if (used + count <= size) return true;
    size_t larger = size;
    while (larger < used + count)
        larger *= 2;
    Message **ring = malloc(larger * sizeof(Message *));
    if (!ring) return false;
    for (uint64_t i = first; i != tail; i++)
        ring[i & (larger - 1)] = *slot(inbox, i);
    free(inbox->ring);
    inbox->ring = ring;
    inbox->mask = larger - 1;
    return true;
}

/* The weight is added before the taker can see the messages, so that a release never comes first. */
static void add_weight(Inbox *inbox, size_t count, size_t bytes)
{
    size_t now_count = atomic_fetch_add(&inbox->count, count) + count;
    size_t now_bytes = atomic_fetch_add(&inbox->bytes, bytes) + bytes;
    if (now_count > inbox->peak_count) inbox->peak_count = now_count;
    if (now_bytes > inbox->peak_bytes) inbox->peak_bytes = now_bytes;
}

bool inbox_push(Inbox *inbox, Message *const *messages, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += messages[i]->size_bytes;
    pthread_mutex_lock(&inbox->lock);
    bool room = ring_make_room(inbox, count);
    bool asleep = inbox->sleeping;
    if (room) {
        uint64_t tail = inbox->tail;
        add_weight(inbox, count, bytes);
        for (size_t i = 0; i < count; i++)
            *slot(inbox, tail++) = messages[i];
        atomic_store(&inbox->tail, tail);
        inbox->sleeping = false;
    }
    pthread_mutex_unlock(&inbox->lock);
    if (room && asleep) pthread_cond_broadcast(&inbox->arrived);
    return room;
}

static bool is_consumer(const Inbox *inbox, InboxEpoch epoch)
{
    return atomic_load(&inbox->cursor) >> INDEX_BITS == epoch;
}

bool inbox_waits(const Inbox *inbox)
{
    return next_index(inbox) != atomic_load(&inbox->tail);
}

/* With the lock held: waits until there is a message or a reason to look up, or `due_ms`. Nobody resets `sleeping` on the way out: for a
 * moment there can be two of us, and a signal too many does no harm. */
static void wait_for_message(Inbox *inbox, InboxEpoch epoch, int64_t due_ms)
{
    struct timespec due = {.tv_sec = (time_t)(due_ms / 1000), .tv_nsec = (long)(due_ms % 1000) * 1000000};
    while (!inbox_waits(inbox) && !inbox->woken && is_consumer(inbox, epoch)) {
        inbox->sleeping = true;
        if (due_ms == INT64_MAX)
            pthread_cond_wait(&inbox->arrived, &inbox->lock);
        else if (due_ms <= 0 || pthread_cond_timedwait(&inbox->arrived, &inbox->lock, &due) != 0)
            break;
    }
}

size_t inbox_peek(Inbox *inbox, InboxEpoch epoch, Message **messages, size_t room, int64_t due_ms)
{
    size_t count = 0;
    pthread_mutex_lock(&inbox->lock);
    wait_for_message(inbox, epoch, due_ms);
    if (is_consumer(inbox, epoch)) {
        inbox->woken = false;
        for (uint64_t i = next_index(inbox); count < room && i != inbox->tail; i++)
            messages[count++] = *slot(inbox, i);
    }
    pthread_mutex_unlock(&inbox->lock);
    return count;
}

bool inbox_claim(Inbox *inbox, InboxEpoch epoch)
{
    unsigned long long seen = atomic_load_explicit(&inbox->cursor, memory_order_relaxed);
    return seen >> INDEX_BITS == epoch && atomic_compare_exchange_strong(&inbox->cursor, &seen, seen + 1);
}

size_t inbox_take(Inbox *inbox, Message **messages, size_t room, int64_t due_ms)
{
    InboxEpoch epoch = (InboxEpoch)(atomic_load(&inbox->cursor) >> INDEX_BITS);
    size_t count = inbox_peek(inbox, epoch, messages, room, due_ms);
    for (size_t i = 0; i < count; i++)
        (void)inbox_claim(inbox, epoch);
    return count;
}

static void wake_all(Inbox *inbox)
{
    inbox->sleeping = false;
    pthread_cond_broadcast(&inbox->arrived);
}

InboxEpoch inbox_hand_over(Inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    unsigned long long seen = atomic_fetch_add(&inbox->cursor, 1ull << INDEX_BITS);
    wake_all(inbox);
    pthread_mutex_unlock(&inbox->lock);
    return (InboxEpoch)((seen >> INDEX_BITS) + 1) & 0xffff;
}

void inbox_wake(Inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    inbox->woken = true;
    wake_all(inbox);
    pthread_mutex_unlock(&inbox->lock);
}

static bool over(const Inbox *inbox, size_t bytes, size_t count)
{
    return atomic_load(&inbox->bytes) > bytes || atomic_load(&inbox->count) > count;
}

bool inbox_full(const Inbox *inbox)
{
    return over(inbox, inbox->limits.limit_bytes, inbox->limits.limit_count);
}

/* Half of the mark, so that reading does not stop again at once. While a response is waited for, the mark is the limit: it comes by the
 * road that is closed, and the rest may be waiting for just that. */
static bool sunk(const Inbox *inbox)
{
    const InboxLimits *limits = &inbox->limits;
    if (atomic_load(&inbox->waiting) > 0) return !over(inbox, limits->limit_bytes / 2, limits->limit_count / 2);
    return !over(inbox, limits->high_bytes / 2, limits->high_count / 2);
}

static void relieve(Inbox *inbox)
{
    if (atomic_exchange(&inbox->pressed, false) && inbox->relieved) inbox->relieved(inbox->context);
}

void inbox_charge(Inbox *inbox, size_t bytes)
{
    atomic_fetch_add(&inbox->count, 1);
    atomic_fetch_add(&inbox->bytes, bytes);
}

void inbox_release(Inbox *inbox, size_t bytes)
{
    atomic_fetch_sub(&inbox->bytes, bytes);
    atomic_fetch_sub(&inbox->count, 1);
    if (atomic_load(&inbox->pressed) && sunk(inbox)) relieve(inbox);
}

void inbox_waiting(Inbox *inbox, int change)
{
    atomic_fetch_add(&inbox->waiting, change);
    /* The response comes by the road that is closed: open it, unless the inbox is at its limit. */
    if (change > 0 && atomic_load(&inbox->pressed) && !inbox_full(inbox)) relieve(inbox);
}

bool inbox_pressure(Inbox *inbox)
{
    bool waits = atomic_load(&inbox->waiting) > 0;
    size_t bytes = waits ? inbox->limits.limit_bytes : inbox->limits.high_bytes;
    size_t count = waits ? inbox->limits.limit_count : inbox->limits.high_count;
    if (!over(inbox, bytes, count)) return false;
    atomic_store(&inbox->pressed, true);
    /* The taker may have emptied it, or begun to wait for a response, just before it could see `pressed`. */
    bool late = sunk(inbox) || (!waits && atomic_load(&inbox->waiting) > 0);
    return !(late && atomic_exchange(&inbox->pressed, false));
}

void inbox_stats(Inbox *inbox, InboxStats *out)
{
    pthread_mutex_lock(&inbox->lock);
    *out = (InboxStats){.count = atomic_load(&inbox->count),
                        .bytes = atomic_load(&inbox->bytes),
                        .peak_count = inbox->peak_count,
                        .peak_bytes = inbox->peak_bytes,
                        .pushed = inbox->tail,
                        .taken = next_index(inbox)};
    pthread_mutex_unlock(&inbox->lock);
}
