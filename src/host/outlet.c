/* outlet.c - two buffers: the producers fill one while the thread writes the other. */
#include "host/outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define KEEP_BYTES (64u << 10) /* what an idle buffer may hold on to */

struct Outlet {
    OutletConfig config; /* fd: our own duplicate, since an abandoned thread outlives the caller's */
    pthread_mutex_t lock;
    pthread_cond_t filled, changed;
    pthread_t thread;
    Buffer filling;       /* under the lock, as all that follows */
    size_t writing_bytes; /* what the thread has taken and not yet written */
    bool broken;          /* nobody reads any more */
    bool closing;         /* the thread ends when there is nothing left */
    bool abandoned;       /* the thread, which hangs in write(), frees everything when it comes back */
    bool calling;         /* it is in config.wrote */
};

static void destroy(Outlet *outlet)
{
    (void)close(outlet->config.fd);
    buffer_free(&outlet->filling);
    pthread_cond_destroy(&outlet->changed);
    pthread_cond_destroy(&outlet->filled);
    pthread_mutex_destroy(&outlet->lock);
    free(outlet);
}

static size_t waiting_bytes(const Outlet *outlet)
{
    return buffer_size(&outlet->filling) + outlet->writing_bytes;
}

/* Returns 0 or an errno. A descriptor that somebody made non-blocking is waited for. */
static int write_all(int fd, Slice text)
{
    while (text.size > 0) {
        ssize_t written = write(fd, text.data, text.size);
        struct pollfd writable = {.fd = fd, .events = POLLOUT};
        if (written >= 0) {
            text = slice_make(text.data + written, text.size - (size_t)written);
        } else if (errno == EAGAIN) {
            (void)poll(&writable, 1, -1);
        } else if (errno != EINTR) {
            return errno;
        }
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

/* With the lock held, which is given up meanwhile. */
static void tell(Outlet *outlet, int error)
{
    outlet->calling = true;
    pthread_mutex_unlock(&outlet->lock);
    outlet->config.wrote(outlet->config.context, error);
    pthread_mutex_lock(&outlet->lock);
    outlet->calling = false;
}

static void *run(void *context)
{
    Outlet *outlet = context;
    Buffer writing = {0};

    pthread_mutex_lock(&outlet->lock);
    while (!outlet->abandoned) {
        while (buffer_size(&outlet->filling) == 0 && !outlet->closing) {
            pthread_cond_wait(&outlet->filled, &outlet->lock);
        }
        if (buffer_size(&outlet->filling) == 0) break;

        Buffer empty = writing;
        writing = outlet->filling;
        outlet->filling = empty;
        outlet->writing_bytes = buffer_size(&writing);
        bool broken = outlet->broken;
        pthread_mutex_unlock(&outlet->lock);

        int error = broken ? 0 : write_all(outlet->config.fd, buffer_slice(&writing));
        recycle(&writing);

        pthread_mutex_lock(&outlet->lock);
        outlet->writing_bytes = 0;
        if (error) outlet->broken = true;
        if (!broken && !outlet->abandoned && outlet->config.wrote) tell(outlet, error);
        pthread_cond_broadcast(&outlet->changed);
    }
    bool abandoned = outlet->abandoned;
    pthread_mutex_unlock(&outlet->lock);
    buffer_free(&writing);
    if (abandoned) destroy(outlet);
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

Outlet *outlet_new(const OutletConfig *config)
{
    pthread_condattr_t monotonic;
    Outlet *outlet = calloc(1, sizeof *outlet);

    if (!outlet) return NULL;
    outlet->config = *config;
    outlet->config.fd = fcntl(config->fd, F_DUPFD_CLOEXEC, 3);
    pthread_mutex_init(&outlet->lock, NULL);
    pthread_cond_init(&outlet->filled, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&outlet->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    /* A descriptor that is not there (2>&-) fails at the first write, as a reader that went away does. */
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
    while (waiting_bytes(outlet) > 0 && waited == 0) {
        waited = pthread_cond_timedwait(&outlet->changed, &outlet->lock, &until);
    }
    bool written = waiting_bytes(outlet) == 0;
    pthread_mutex_unlock(&outlet->lock);
    return written;
}

bool outlet_free(Outlet *outlet, int flush_ms)
{
    bool written = outlet_flush(outlet, flush_ms);
    pthread_t thread = outlet->thread;

    pthread_mutex_lock(&outlet->lock);
    while (outlet->calling) {
        pthread_cond_wait(&outlet->changed, &outlet->lock);
    }
    bool broken = outlet->broken;
    outlet->closing = true;
    outlet->abandoned = !written;
    pthread_cond_signal(&outlet->filled);
    pthread_mutex_unlock(&outlet->lock);
    if (!written) {
        pthread_detach(thread);
        return false;
    }
    pthread_join(thread, NULL);
    destroy(outlet);
    return !broken;
}

size_t outlet_put(Outlet *outlet, Slice text)
{
    size_t waiting = 0;

    pthread_mutex_lock(&outlet->lock);
    size_t before = waiting_bytes(outlet);
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
    size_t waiting = waiting_bytes(outlet);
    pthread_mutex_unlock(&outlet->lock);
    return waiting;
}
