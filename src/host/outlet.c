/* outlet.c - two buffers: the producers fill one while the thread writes the other. */
#include "host/outlet.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define KEEP_BYTES (64u << 10) /* what an idle buffer may hold on to */

struct Outlet {
    OutletConfig config;
    pthread_mutex_t lock;
    pthread_cond_t filled, emptied;
    pthread_t thread;
    Buffer filling;       /* under the lock */
    Buffer writing;       /* of the thread */
    size_t writing_bytes; /* under the lock: what the thread has taken and not yet written */
    bool closing, broken; /* under the lock */
};

/* The only place where the thread may be cancelled, which is how a stalled reader is given up. */
static ssize_t write_some(int fd, Slice text)
{
    int ignored;
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &ignored);
    ssize_t written = write(fd, text.data, text.size);
    int error = errno;
    if (written < 0 && error == EAGAIN) {
        struct pollfd waiting = {.fd = fd, .events = POLLOUT};
        written = poll(&waiting, 1, -1) < 0 ? -1 : 0;
        error = errno;
    }
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &ignored);
    errno = error;
    return written;
}

/* Returns 0 or an errno. */
static int write_all(int fd, Slice text)
{
    while (text.size > 0) {
        ssize_t written = write_some(fd, text);
        if (written < 0 && errno != EINTR) return errno;
        if (written > 0) text = slice_make(text.data + written, text.size - (size_t)written);
    }
    return 0;
}

static void recycle(Buffer *buffer)
{
    if (buffer->capacity > KEEP_BYTES) {
        buffer_free(buffer);
    } else {
        buffer_clear(buffer);
    }
}

static void *run(void *context)
{
    Outlet *outlet = context;
    int ignored;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &ignored);
    pthread_mutex_lock(&outlet->lock);
    for (;;) {
        while (buffer_size(&outlet->filling) == 0 && !outlet->closing) {
            pthread_cond_wait(&outlet->filled, &outlet->lock);
        }
        if (buffer_size(&outlet->filling) == 0) break;

        Buffer empty = outlet->writing;
        outlet->writing = outlet->filling;
        outlet->filling = empty;
        outlet->writing_bytes = buffer_size(&outlet->writing);
        bool broken = outlet->broken;
        pthread_mutex_unlock(&outlet->lock);

        int error = broken ? 0 : write_all(outlet->config.fd, buffer_slice(&outlet->writing));
        recycle(&outlet->writing);

        pthread_mutex_lock(&outlet->lock);
        outlet->writing_bytes = 0;
        if (error) outlet->broken = true;
        pthread_mutex_unlock(&outlet->lock);
        if (!broken && outlet->config.wrote) outlet->config.wrote(outlet->config.context, error);
        pthread_mutex_lock(&outlet->lock);
        pthread_cond_broadcast(&outlet->emptied);
    }
    pthread_mutex_unlock(&outlet->lock);
    return NULL;
}

static bool start_thread(Outlet *outlet)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&outlet->thread, NULL, run, outlet) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static void destroy(Outlet *outlet)
{
    buffer_free(&outlet->filling);
    buffer_free(&outlet->writing);
    pthread_cond_destroy(&outlet->emptied);
    pthread_cond_destroy(&outlet->filled);
    pthread_mutex_destroy(&outlet->lock);
    free(outlet);
}

Outlet *outlet_new(const OutletConfig *config)
{
    pthread_condattr_t monotonic;
    Outlet *outlet = calloc(1, sizeof *outlet);

    if (!outlet) return NULL;
    outlet->config = *config;
    pthread_mutex_init(&outlet->lock, NULL);
    pthread_cond_init(&outlet->filled, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&outlet->emptied, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (start_thread(outlet)) return outlet;
    destroy(outlet);
    return NULL;
}

bool outlet_flush(Outlet *outlet, int flush_ms)
{
    struct timespec until;
    int waited = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += flush_ms / 1000;
    until.tv_nsec += flush_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&outlet->lock);
    while (buffer_size(&outlet->filling) + outlet->writing_bytes > 0 && waited == 0) {
        waited = pthread_cond_timedwait(&outlet->emptied, &outlet->lock, &until);
    }
    bool written = buffer_size(&outlet->filling) + outlet->writing_bytes == 0 && !outlet->broken;
    pthread_mutex_unlock(&outlet->lock);
    return written;
}

bool outlet_free(Outlet *outlet, int flush_ms)
{
    bool written = outlet_flush(outlet, flush_ms);

    pthread_mutex_lock(&outlet->lock);
    outlet->closing = true;
    pthread_cond_signal(&outlet->filled);
    pthread_mutex_unlock(&outlet->lock);
    if (!written) pthread_cancel(outlet->thread);
    pthread_join(outlet->thread, NULL);
    destroy(outlet);
    return written;
}

size_t outlet_put(Outlet *outlet, Slice text)
{
    size_t waiting = 0;

    pthread_mutex_lock(&outlet->lock);
    size_t before = buffer_size(&outlet->filling) + outlet->writing_bytes;
    if (text.size > 0 && !outlet->broken && before <= outlet->config.limit_bytes &&
        text.size <= outlet->config.limit_bytes - before) {
        bool was_empty = buffer_size(&outlet->filling) == 0;
        buffer_append_slice(&outlet->filling, text);
        if (outlet->filling.failed) {
            outlet->filling.failed = false; /* what waits is intact; this text is refused */
        } else {
            waiting = before + text.size;
            if (was_empty) pthread_cond_signal(&outlet->filled);
        }
    }
    pthread_mutex_unlock(&outlet->lock);
    return waiting;
}

size_t outlet_waiting(Outlet *outlet)
{
    pthread_mutex_lock(&outlet->lock);
    size_t waiting = buffer_size(&outlet->filling) + outlet->writing_bytes;
    pthread_mutex_unlock(&outlet->lock);
    return waiting;
}
