/* saver.c - one slot, in which the newest waits, and a thread that empties it. What was written stays in a second one, to be
 * compared with and to be read. */
#include "app/saver.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct Saver {
    SaverConfig config;
    pthread_t thread;
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t changed;
    bool started;       /* there is a thread */
    bool waits;         /* `next` is to be written */
    bool writing;       /* `current` is being written */
    bool failed;        /* writing `current` did not work out */
    bool holds;         /* `current` holds something */
    bool ending;        /* the thread returns */
    unsigned flushing;  /* so many wait, and hear what fails */
    Buffer next;        /* while it waits */
    Buffer current;     /* what is being or was written last; changed by the thread, which reads it without the lock */
    char problem[1024]; /* if it failed */
};

Saver *saver_new(const SaverConfig *config)
{
    Saver *saver = calloc(1, sizeof *saver);
    pthread_condattr_t monotonic;
    if (!saver) return NULL;
    saver->config = *config;
    pthread_mutex_init(&saver->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&saver->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return saver;
}

static void drop(const Saver *saver, Buffer *bytes)
{
    if (saver->config.secret && bytes->base) explicit_bzero(bytes->base, bytes->capacity);
    buffer_free(bytes);
}

/* --- the thread ------------------------------------------------------------------------------------------------------------------ */

/* With the lock, which it gives up while it writes. */
static void write_next(Saver *saver)
{
    char problem[sizeof saver->problem] = "";
    drop(saver, &saver->current);
    saver->current = buffer_take(&saver->next);
    saver->waits = false;
    saver->writing = saver->holds = true;
    pthread_mutex_unlock(&saver->lock);
    bool written = saver->config.write(saver->config.context, buffer_slice(&saver->current), problem, sizeof problem);
    pthread_mutex_lock(&saver->lock);
    saver->writing = false;
    saver->failed = !written;
    memcpy(saver->problem, problem, sizeof problem);
    bool tell = !written && saver->flushing == 0 && saver->config.failed;
    if (saver->config.secret) {
        drop(saver, &saver->current);
        saver->holds = false;
    }
    pthread_cond_broadcast(&saver->changed);
    if (!tell) return;
    pthread_mutex_unlock(&saver->lock);
    saver->config.failed(saver->config.context, problem);
    pthread_mutex_lock(&saver->lock);
}

static void *saver_main(void *context)
{
    Saver *saver = context;
    pthread_mutex_lock(&saver->lock);
    while (saver->waits || !saver->ending) {
        if (saver->waits)
            write_next(saver);
        else
            pthread_cond_wait(&saver->changed, &saver->lock);
    }
    pthread_mutex_unlock(&saver->lock);
    return NULL;
}

/* With the lock. */
static bool start(Saver *saver)
{
    sigset_t all, before;
    if (saver->started) return true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    saver->started = pthread_create(&saver->thread, NULL, saver_main, saver) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return saver->started;
}

/* --- everybody else --------------------------------------------------------------------------------------------------------------- */

/* The last bytes that were put and are still there; NULL if there are none. With the lock. */
static const Buffer *latest(const Saver *saver)
{
    if (saver->waits) return &saver->next;
    return saver->holds ? &saver->current : NULL;
}

bool saver_put(Saver *saver, Buffer *bytes)
{
    Buffer taken = buffer_take(bytes), skipped = buffer_with_headroom(0);
    pthread_mutex_lock(&saver->lock);
    bool fine = start(saver);
    const Buffer *last = saver->config.secret ? NULL : latest(saver);
    bool known = last && slice_equals(buffer_slice(last), buffer_slice(&taken));
    bool done = known && (saver->waits || saver->writing || !saver->failed);
    if (done) {
        skipped = taken;
    } else {
        skipped = buffer_take(&saver->next);
        saver->next = taken;
        saver->waits = true;
        pthread_cond_broadcast(&saver->changed);
    }
    pthread_mutex_unlock(&saver->lock);
    drop(saver, &skipped);
    return fine;
}

static struct timespec time_in(int64_t ms)
{
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    if (ms > INT64_C(1000) * 3600 * 24 * 365) ms = INT64_C(1000) * 3600 * 24 * 365; /* as good as for ever */
    due.tv_sec += (time_t)(ms / 1000);
    due.tv_nsec += (long)(ms % 1000) * 1000000;
    if (due.tv_nsec >= 1000000000) {
        due.tv_sec++;
        due.tv_nsec -= 1000000000;
    }
    return due;
}

bool saver_flush(Saver *saver, int64_t timeout_ms, char *problem, size_t size)
{
    struct timespec due = time_in(timeout_ms);
    bool in_time = true, written;
    pthread_mutex_lock(&saver->lock);
    if (saver->failed && saver->holds && !saver->waits && !saver->writing) {
        saver->next = buffer_take(&saver->current);
        saver->waits = true;
        pthread_cond_broadcast(&saver->changed);
    }
    bool stuck = saver->waits && !start(saver);
    saver->flushing++;
    while (!stuck && in_time && (saver->waits || saver->writing))
        in_time = pthread_cond_timedwait(&saver->changed, &saver->lock, &due) == 0;
    saver->flushing--;
    written = !saver->waits && !saver->writing;
    if (stuck)
        snprintf(problem, size, "no thread can be started");
    else if (!written)
        snprintf(problem, size, "the disk takes longer than %lld ms", (long long)timeout_ms);
    else if (saver->failed)
        snprintf(problem, size, "%s", saver->problem);
    written = written && !saver->failed;
    pthread_mutex_unlock(&saver->lock);
    return written;
}

bool saver_latest(Saver *saver, Buffer *out)
{
    pthread_mutex_lock(&saver->lock);
    const Buffer *last = saver->config.secret ? NULL : latest(saver);
    if (last) buffer_append_slice(out, buffer_slice(last));
    pthread_mutex_unlock(&saver->lock);
    return !out->failed;
}

bool saver_free(Saver *saver)
{
    if (!saver) return true;
    pthread_mutex_lock(&saver->lock);
    bool busy = saver->waits || saver->writing, started = saver->started;
    saver->ending = true;
    pthread_cond_broadcast(&saver->changed);
    pthread_mutex_unlock(&saver->lock);
    if (started && busy) {
        pthread_detach(saver->thread);
        return false;
    }
    if (started) pthread_join(saver->thread, NULL);
    drop(saver, &saver->next);
    drop(saver, &saver->current);
    pthread_cond_destroy(&saver->changed);
    pthread_mutex_destroy(&saver->lock);
    free(saver);
    return true;
}
