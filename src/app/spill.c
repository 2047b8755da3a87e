/* spill.c - see spill.h.
 *
 * Under the one lock are: a ring of messages (memory), the list of segments (disk), and how many of the ring's first
 * are being written (`writing`). Messages leave the ring when they are safely in a segment, so that a refusing disk
 * changes nothing. The taker reads segments first, then the ring, unless its first are being written. Disk is never
 * touched under the lock.
 *
 * A segment in the list belongs to the taker, which alone removes it; the writer appends to the last one. It is not
 * removed while something is being written, if it is the last. What one of both needs without the lock, it copies. */
#include "app/spill.h"

#include "app/clock.h"
#include "app/spill_record.h"
#include "app/spill_segment.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RING_FIRST 64            /* slots; a power of two, as every later size */
#define BATCH_BYTES (256u << 10) /* worth a write */
#define BATCH_COUNT 1024

typedef struct Segment Segment;
struct Segment {
    Segment *next;
    uint64_t number;
    size_t size_bytes; /* good to be read */
    size_t records, taken;
    bool broken;
};

struct Spill {
    SpillConfig config;
    char *folder;
    size_t batch_bytes; /* what is worth a write */

    pthread_mutex_t taking; /* one taker at a time; taken before `lock` */
    SpillReader reader;     /* of the taker alone: in the first segment */
    Buffer records;         /* of the writer alone */

    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t changed;
    pthread_t thread;
    bool started, stopping;
    Message **ring;
    size_t mask, head, tail; /* head: the oldest, tail: next free; both only grow */
    size_t writing;
    Segment *first, *last;
    uint64_t next_number;
    int64_t retry_ms; /* not to write before; 0: at once */
    bool hungry;      /* spill_take gave nothing */
    bool pressed;     /* pressure was told */
    SpillStats stats;
};

/* --- calls back: what is due is decided under the lock, and called without it ------------------------------------- */

typedef struct {
    bool readable, relieved;
} Due;

static void look_what_is_due(Spill *spill, Due *due)
{
    bool something = spill->stats.disk_count > 0 || (spill->writing == 0 && spill->head != spill->tail);
    if (spill->hungry && something) {
        spill->hungry = false;
        due->readable = true;
    }
    if (spill->pressed && spill->stats.memory_bytes < spill->config.memory_bytes / 2) {
        spill->pressed = false;
        due->relieved = true;
    }
}

static void call_what_is_due(const Spill *spill, const Due *due)
{
    if (due->readable && spill->config.readable) spill->config.readable(spill->config.context);
    if (due->relieved && spill->config.relieved) spill->config.relieved(spill->config.context);
}

/* --- the ring ----------------------------------------------------------------------------------------------------- */

static bool ring_make_room(Spill *spill)
{
    size_t used = spill->tail - spill->head, size = spill->mask + 1;
    if (used < size) return true;
    Message **ring = malloc(2 * size * sizeof(Message *));
    if (!ring) return false;
    for (size_t i = 0; i < used; i++)
        ring[i] = spill->ring[(spill->head + i) & spill->mask];
    free(spill->ring);
    spill->ring = ring;
    spill->mask = 2 * size - 1;
    spill->head = 0;
    spill->tail = used;
    return true;
}

static Message *ring_pop(Spill *spill)
{
    Message *message = spill->ring[spill->head++ & spill->mask];
    spill->stats.memory_count--;
    spill->stats.memory_bytes -= message->size_bytes;
    return message;
}

/* --- the writing thread ------------------------------------------------------------------------------------------- */

typedef struct {
    Message *messages[BATCH_COUNT];
    size_t count, bytes; /* as records */
    uint64_t number;
    size_t offset;
    bool fresh; /* the first of its segment */
} Batch;

/* The first messages of the ring, as many as are worth a write and fit. False if there are none. */
static bool choose_batch(const Spill *spill, Batch *batch)
{
    size_t waiting = spill->tail - spill->head;

    batch->count = batch->bytes = 0;
    if (spill->stats.memory_bytes < spill->batch_bytes && waiting < BATCH_COUNT) return false;
    while (batch->count < waiting && batch->count < BATCH_COUNT && batch->bytes < BATCH_BYTES) {
        Message *message = spill->ring[(spill->head + batch->count) & spill->mask];
        size_t bytes = batch->bytes + spill_record_size(message);
        if (spill->stats.disk_bytes + bytes > spill->config.limit_bytes) break;
        batch->messages[batch->count++] = message;
        batch->bytes = bytes;
    }
    return batch->count > 0;
}

static void choose_segment(Spill *spill, Batch *batch)
{
    const Segment *last = spill->last;
    batch->fresh = !last || last->broken || last->size_bytes + batch->bytes > spill->config.segment_bytes;
    batch->number = batch->fresh ? spill->next_number++ : last->number;
    batch->offset = batch->fresh ? 0 : last->size_bytes;
}

/* Without the lock. False with errno. */
static bool write_batch(Spill *spill, const Batch *batch)
{
    buffer_clear(&spill->records);
    for (size_t i = 0; i < batch->count; i++)
        spill_record_append(batch->messages[i], &spill->records);
    if (spill->records.failed) {
        errno = ENOMEM;
        return false;
    }
    bool written = spill_segment_write(spill->folder, batch->number, batch->offset, buffer_slice(&spill->records));
    int error = errno;
    if (spill->records.capacity > 4 * BATCH_BYTES) buffer_free(&spill->records); /* after one large message */
    errno = error;
    return written;
}

/* The batch is in the file. False if it has to be written again. */
static bool commit_batch(Spill *spill, const Batch *batch, Segment **fresh)
{
    Segment *segment = spill->last;
    if (batch->fresh) {
        segment = *fresh;
        *fresh = NULL;
        segment->number = batch->number;
        if (spill->last) spill->last->next = segment;
        if (!spill->first) spill->first = segment;
        spill->last = segment;
    }
    if (segment->broken) return false; /* the taker found out meanwhile; to the next one, then */
    segment->size_bytes += batch->bytes;
    segment->records += batch->count;
    spill->stats.disk_bytes += batch->bytes;
    spill->stats.disk_count += batch->count;
    spill->stats.written += batch->count;
    for (size_t i = 0; i < batch->count; i++)
        ring_pop(spill);
    return true;
}

static void note_refusal(Spill *spill, int error)
{
    spill->stats.refused++;
    spill->retry_ms = clock_ms() + SPILL_RETRY_MS;
    snprintf(spill->stats.problem, sizeof spill->stats.problem, "cannot write to %.150s: %s", spill->folder,
             strerror(error));
}

/* One batch, chosen under the lock, which is let go of meanwhile. */
static void process_batch(Spill *spill, Batch *batch)
{
    Due due = {0};
    Segment *fresh = calloc(1, sizeof *fresh);
    bool written = false, done = false;
    int error = ENOMEM;

    choose_segment(spill, batch);
    spill->writing = batch->count;
    pthread_mutex_unlock(&spill->lock);
    if (fresh) {
        written = write_batch(spill, batch);
        error = errno;
    }
    pthread_mutex_lock(&spill->lock);
    spill->writing = 0;
    if (written)
        done = commit_batch(spill, batch, &fresh);
    else
        note_refusal(spill, error);
    look_what_is_due(spill, &due);
    pthread_mutex_unlock(&spill->lock);

    free(fresh);
    for (size_t i = 0; done && i < batch->count; i++)
        message_unref(batch->messages[i]);
    call_what_is_due(spill, &due);
    pthread_mutex_lock(&spill->lock);
}

static void wait_for_change(Spill *spill)
{
    if (spill->retry_ms == 0) {
        pthread_cond_wait(&spill->changed, &spill->lock);
        return;
    }
    struct timespec until = {.tv_sec = spill->retry_ms / 1000, .tv_nsec = spill->retry_ms % 1000 * 1000000};
    pthread_cond_timedwait(&spill->changed, &spill->lock, &until);
    if (clock_ms() >= spill->retry_ms) spill->retry_ms = 0;
}

static void *write_until_stopped(void *context)
{
    Spill *spill = context;
    Batch batch;

    pthread_mutex_lock(&spill->lock);
    while (!spill->stopping) {
        if (spill->retry_ms == 0 && choose_batch(spill, &batch))
            process_batch(spill, &batch);
        else
            wait_for_change(spill);
    }
    pthread_mutex_unlock(&spill->lock);
    return NULL;
}

/* Without a thread messages stay in memory; it is tried again with the next one. */
static void start_thread(Spill *spill)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the I/O thread */
    spill->started = pthread_create(&spill->thread, NULL, write_until_stopped, spill) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* --- putting ------------------------------------------------------------------------------------------------------ */

bool spill_put(Spill *spill, Message *message)
{
    Due due = {0};

    pthread_mutex_lock(&spill->lock);
    bool full = spill->stats.memory_bytes / 2 >= spill->config.memory_bytes;
    bool kept = !full && ring_make_room(spill);
    if (full) spill->pressed = true;
    if (kept) {
        spill->ring[spill->tail++ & spill->mask] = message;
        spill->stats.memory_count++;
        spill->stats.memory_bytes += message->size_bytes;
        spill->stats.put++;
        bool worth_a_write =
            spill->stats.memory_bytes >= spill->batch_bytes || spill->stats.memory_count >= BATCH_COUNT;
        if (worth_a_write && !spill->started) start_thread(spill);
        if (worth_a_write && spill->writing == 0) pthread_cond_signal(&spill->changed);
        look_what_is_due(spill, &due);
    }
    pthread_mutex_unlock(&spill->lock);
    call_what_is_due(spill, &due);
    return kept;
}

bool spill_pressure(Spill *spill)
{
    pthread_mutex_lock(&spill->lock);
    bool pressure = spill->stats.memory_bytes >= spill->config.memory_bytes;
    if (pressure) spill->pressed = true;
    pthread_mutex_unlock(&spill->lock);
    return pressure;
}

/* --- taking ------------------------------------------------------------------------------------------------------- */

/* Removes segments that are read to their end. Lets go of the lock for each. */
static void drop_read_segments(Spill *spill)
{
    for (Segment *segment = spill->first; segment && segment->taken == segment->records; segment = spill->first) {
        if (segment == spill->last && spill->writing > 0) return;
        spill->first = segment->next;
        if (!spill->first) spill->last = NULL;
        pthread_mutex_unlock(&spill->lock);
        spill_segment_remove(spill->folder, segment->number);
        spill_reader_reset(&spill->reader);
        pthread_mutex_lock(&spill->lock);
        spill->stats.disk_bytes -= segment->size_bytes;
        spill->retry_ms = 0;
        pthread_cond_signal(&spill->changed);
        free(segment);
    }
}

static void give_up_segment(Spill *spill, Segment *segment)
{
    size_t lost = segment->records - segment->taken;
    segment->taken = segment->records;
    segment->broken = true;
    spill->stats.disk_count -= lost;
    spill->stats.lost += lost;
    spill->stats.broken_segments++;
}

/* From the first segment, which has some. Lets go of the lock. NULL if there was nothing to be had; look again, unless
 * `no_memory`. */
static Message *take_from_disk(Spill *spill, Segment *segment, bool *no_memory)
{
    size_t size_bytes = segment->size_bytes;
    pthread_mutex_unlock(&spill->lock);
    Message *message = spill_reader_next(&spill->reader, spill->folder, segment->number, size_bytes, no_memory);
    pthread_mutex_lock(&spill->lock);
    if (message) {
        segment->taken++;
        spill->stats.disk_count--;
    } else if (!*no_memory) {
        give_up_segment(spill, segment);
    }
    return message;
}

Message *spill_take(Spill *spill)
{
    Message *message = NULL;
    Due due = {0};

    pthread_mutex_lock(&spill->taking);
    pthread_mutex_lock(&spill->lock);
    while (!message && !due.readable) {
        drop_read_segments(spill);
        if (spill->stats.disk_count > 0) {
            /* Without memory the taker is told to come again. */
            message = take_from_disk(spill, spill->first, &due.readable);
        } else if (!spill->first && spill->writing == 0 && spill->head != spill->tail) {
            message = ring_pop(spill);
        } else {
            spill->hungry = true;
            break;
        }
    }
    if (message) {
        spill->stats.taken++;
        drop_read_segments(spill);
        look_what_is_due(spill, &due);
    }
    pthread_mutex_unlock(&spill->lock);
    pthread_mutex_unlock(&spill->taking);
    call_what_is_due(spill, &due);
    return message;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static size_t or_default(size_t value, size_t otherwise)
{
    return value ? value : otherwise;
}

Spill *spill_new(const char *folder, const SpillConfig *config)
{
    Spill *spill = calloc(1, sizeof *spill);
    if (!spill) return NULL;
    spill->config = *config;
    spill->config.limit_bytes = or_default(config->limit_bytes, SPILL_LIMIT_BYTES);
    spill->config.memory_bytes = or_default(config->memory_bytes, SPILL_MEMORY_BYTES);
    spill->config.segment_bytes = or_default(config->segment_bytes, SPILL_SEGMENT_BYTES);
    if (spill->config.segment_bytes > spill->config.limit_bytes / 4)
        spill->config.segment_bytes = spill->config.limit_bytes / 4;
    spill->batch_bytes = spill->config.memory_bytes / 2 < BATCH_BYTES ? spill->config.memory_bytes / 2 : BATCH_BYTES;
    spill->next_number = 1;
    spill->mask = RING_FIRST - 1;
    pthread_mutex_init(&spill->lock, NULL);
    pthread_mutex_init(&spill->taking, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&spill->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    spill->folder = strdup(folder);
    spill->ring = malloc(RING_FIRST * sizeof(Message *));
    if (!spill->folder || !spill->ring) {
        spill_free(spill);
        return NULL;
    }
    spill_segments_remove(folder);
    return spill;
}

void spill_remove_left(const char *folder)
{
    spill_segments_remove(folder);
}

static void stop_thread(Spill *spill)
{
    pthread_mutex_lock(&spill->lock);
    spill->stopping = true;
    pthread_cond_signal(&spill->changed);
    pthread_mutex_unlock(&spill->lock);
    if (spill->started) pthread_join(spill->thread, NULL);
}

void spill_free(Spill *spill)
{
    if (!spill) return;
    stop_thread(spill);
    while (spill->head != spill->tail)
        message_unref(ring_pop(spill));
    while (spill->first) {
        Segment *segment = spill->first;
        spill->first = segment->next;
        spill_segment_remove(spill->folder, segment->number);
        free(segment);
    }
    pthread_cond_destroy(&spill->changed);
    pthread_mutex_destroy(&spill->lock);
    pthread_mutex_destroy(&spill->taking);
    buffer_free(&spill->records);
    spill_reader_reset(&spill->reader);
    free(spill->ring);
    free(spill->folder);
    free(spill);
}

size_t spill_count(Spill *spill)
{
    pthread_mutex_lock(&spill->lock);
    size_t count = spill->stats.memory_count + spill->stats.disk_count;
    pthread_mutex_unlock(&spill->lock);
    return count;
}

void spill_stats(Spill *spill, SpillStats *out)
{
    pthread_mutex_lock(&spill->lock);
    *out = spill->stats;
    pthread_mutex_unlock(&spill->lock);
}
