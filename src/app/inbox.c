/* inbox.c - see inbox.h.
 *
 * A ring of message pointers under one mutex that is held for the copy of some pointers, never longer. The weight is kept in
 * atomics beside it: it covers more than the ring (what was taken and waits for its handler), and it is read on both sides
 * without the lock. A push signals only when the taker sleeps.
 *
 * `cursor` says in one word who the consumer is and which message is next: a claim is one compare-and-swap on it, which fails
 * from the moment of a hand-over. What was copied by a peek is not touched before it is claimed. A slot that is NULL held a message that
 * was dropped for a younger one; it is claimed as the others are.
 *
 *     cursor = epoch << 48 | index of the next message         index: counts all messages ever pushed */
#include "app/inbox_private.h"

#include <stdlib.h>
#include <time.h>

#define RING_FIRST 64 /* slots; a power of two, as every later size */
#define INDEX_MASK ((1ull << INBOX_INDEX_BITS) - 1)

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

uint64_t inbox_next_index(const Inbox *inbox)
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
    overflow_free(inbox->overflow);
    for (uint64_t i = inbox_next_index(inbox); i != inbox->tail; i++)
        message_unref(*slot(inbox, i));
    pthread_cond_destroy(&inbox->arrived);
    pthread_mutex_destroy(&inbox->lock);
    free(inbox->ring);
    free(inbox);
}

/* The consumer may claim meanwhile: then more is copied than is needed. */
bool inbox_make_room(Inbox *inbox, size_t count)
{
    uint64_t first = inbox_next_index(inbox), tail = inbox->tail;
    size_t used = (size_t)(tail - first) + inbox->reserved, size = inbox->mask + 1;
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

void inbox_append(Inbox *inbox, Message *message)
{
    uint64_t tail = inbox->tail;
    add_weight(inbox, 1, message->size_bytes);
    *slot(inbox, tail) = message;
    atomic_store(&inbox->tail, tail + 1);
}

bool inbox_push(Inbox *inbox, Message *const *messages, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += messages[i]->size_bytes;
    pthread_mutex_lock(&inbox->lock);
    if (inbox->overflow && overflow_concerns(inbox, count, bytes)) {
        pthread_mutex_unlock(&inbox->lock);
        return overflow_push(inbox, messages, count);
    }
    bool room = inbox_make_room(inbox, count);
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

bool inbox_is_consumer(const Inbox *inbox, InboxEpoch epoch)
{
    return atomic_load(&inbox->cursor) >> INBOX_INDEX_BITS == epoch;
}

bool inbox_waits(const Inbox *inbox)
{
    return inbox_next_index(inbox) != atomic_load(&inbox->tail);
}

/* With the lock held: whether there is something to look at. What was dropped is claimed on the way. */
static bool has_next(Inbox *inbox, InboxEpoch epoch)
{
    uint64_t next = inbox_next_index(inbox);
    while (next != inbox->tail && !*slot(inbox, next) && inbox_claim(inbox, epoch))
        next++;
    return next != inbox->tail;
}

/* With the lock held: waits until there is a message or a reason to look up, or `due_ms`. Nobody resets `sleeping` on the way out: for a
 * moment there can be two of us, and a signal too many does no harm. */
static void wait_for_message(Inbox *inbox, InboxEpoch epoch, int64_t due_ms)
{
    struct timespec due = {.tv_sec = (time_t)(due_ms / 1000), .tv_nsec = (long)(due_ms % 1000) * 1000000};
    while (!has_next(inbox, epoch) && !inbox->woken && inbox_is_consumer(inbox, epoch)) {
        inbox->sleeping = true;
        if (due_ms == INT64_MAX)
            pthread_cond_wait(&inbox->arrived, &inbox->lock);
        else if (due_ms <= 0 || pthread_cond_timedwait(&inbox->arrived, &inbox->lock, &due) != 0)
            break;
    }
}

/* With the lock held. */
static size_t copy_next(Inbox *inbox, Message **messages, size_t room)
{
    size_t count = 0;
    uint64_t index = inbox_next_index(inbox);
    for (; count < room && index != inbox->tail; index++) {
        if (!*slot(inbox, index)) break; /* it was dropped: claimed with the next peek */
        messages[count++] = *slot(inbox, index);
    }
    if (index > inbox->peeked) inbox->peeked = index;
    return count;
}

size_t inbox_peek(Inbox *inbox, InboxEpoch epoch, Message **messages, size_t room, int64_t due_ms)
{
    size_t count = 0;
    pthread_mutex_lock(&inbox->lock);
    if (atomic_load_explicit(&inbox->spilling, memory_order_relaxed)) due_ms = overflow_refill(inbox, epoch, due_ms);
    wait_for_message(inbox, epoch, due_ms);
    if (inbox_is_consumer(inbox, epoch)) {
        inbox->woken = false;
        count = copy_next(inbox, messages, room);
    }
    pthread_mutex_unlock(&inbox->lock);
    return count;
}

bool inbox_claim(Inbox *inbox, InboxEpoch epoch)
{
    unsigned long long seen = atomic_load_explicit(&inbox->cursor, memory_order_relaxed);
    return seen >> INBOX_INDEX_BITS == epoch && atomic_compare_exchange_strong(&inbox->cursor, &seen, seen + 1);
}

size_t inbox_take(Inbox *inbox, Message **messages, size_t room, int64_t due_ms)
{
    InboxEpoch epoch = (InboxEpoch)(atomic_load(&inbox->cursor) >> INBOX_INDEX_BITS);
    size_t count = inbox_peek(inbox, epoch, messages, room, due_ms);
    for (size_t i = 0; i < count; i++)
        (void)inbox_claim(inbox, epoch);
    return count;
}

void inbox_wake_all(Inbox *inbox)
{
    inbox->sleeping = false;
    pthread_cond_broadcast(&inbox->arrived);
}

InboxEpoch inbox_hand_over(Inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    unsigned long long seen = atomic_fetch_add(&inbox->cursor, 1ull << INBOX_INDEX_BITS);
    inbox_wake_all(inbox);
    pthread_mutex_unlock(&inbox->lock);
    return (InboxEpoch)((seen >> INBOX_INDEX_BITS) + 1) & 0xffff;
}

void inbox_wake(Inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    inbox->woken = true;
    inbox_wake_all(inbox);
    pthread_mutex_unlock(&inbox->lock);
}

bool inbox_over(const Inbox *inbox, size_t bytes, size_t count)
{
    return atomic_load(&inbox->bytes) > bytes || atomic_load(&inbox->count) > count;
}

bool inbox_full(const Inbox *inbox)
{
    if (overflow_spills(inbox)) return overflow_full(inbox);
    return inbox_over(inbox, inbox->limits.limit_bytes, inbox->limits.limit_count);
}

void inbox_lose_patience(Inbox *inbox)
{
    if (overflow_spills(inbox)) atomic_store(&inbox->impatient, true);
}

/* The spill decides: about pressure, and about relief. */
static bool leaves_it_to_the_spill(const Inbox *inbox)
{
    return overflow_spills(inbox) && !overflow_is_patient(inbox);
}

/* Half of the mark, so that reading does not stop again at once. While a response is waited for, the mark is the limit: it comes by the
 * road that is closed, and the rest may be waiting for just that. */
static bool sunk(const Inbox *inbox)
{
    const InboxLimits *limits = &inbox->limits;
    if (leaves_it_to_the_spill(inbox)) return false;
    if (atomic_load(&inbox->waiting) > 0) return !inbox_over(inbox, limits->limit_bytes / 2, limits->limit_count / 2);
    return !inbox_over(inbox, limits->high_bytes / 2, limits->high_count / 2);
}

void inbox_relieve(Inbox *inbox)
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
    if (atomic_load(&inbox->pressed) && sunk(inbox)) inbox_relieve(inbox);
    if (atomic_load(&inbox->waits_for_lighter)) overflow_lighter(inbox);
}

void inbox_waiting(Inbox *inbox, int change)
{
    atomic_fetch_add(&inbox->waiting, change);
    /* The response comes by the road that is closed: open it, unless the inbox is at its limit. */
    if (change > 0 && atomic_load(&inbox->pressed) && !inbox_full(inbox)) inbox_relieve(inbox);
}

bool inbox_pressure(Inbox *inbox)
{
    bool waits = atomic_load(&inbox->waiting) > 0;
    bool at_ease =
        !atomic_load(&inbox->spilling) && !inbox_over(inbox, inbox->limits.high_bytes, inbox->limits.high_count);
    if (at_ease) atomic_store(&inbox->impatient, false);
    if (leaves_it_to_the_spill(inbox)) return overflow_pressure(inbox, waits);
    size_t bytes = waits ? inbox->limits.limit_bytes : inbox->limits.high_bytes;
    size_t count = waits ? inbox->limits.limit_count : inbox->limits.high_count;
    if (!inbox_over(inbox, bytes, count)) return false;
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
                        .taken = inbox_next_index(inbox)};
    if (inbox->overflow) overflow_stats(inbox, out);
    pthread_mutex_unlock(&inbox->lock);
}
