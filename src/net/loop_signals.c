/* loop_signals.c - signals on the I/O thread: a handler writes the number into a pipe, which the loop reads.
 *
 * Not a signalfd: that needs the signals blocked in every thread, and what an app starts (os.execute, io.popen) would inherit that,
 * and not even die of SIGTERM. For the same reason SIGPIPE and SIGXFSZ get a handler that does nothing instead of being ignored. */
#define _GNU_SOURCE /* pipe2 */
#include "net/loop_lws.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_SIGNALS 8

struct LoopSignals {
    LoopWatch *watch;
    int read_fd, write_fd;
    int numbers[MAX_SIGNALS];
    struct sigaction before[MAX_SIGNALS];
    size_t count;
    void (*handler)(void *context, int signal);
    void *context;
};

/* The end of the pipe to write to: the one thing that a signal handler can know is the process's. */
static atomic_int signal_pipe = -1;

static void on_signal(int number)
{
    int error = errno;
    unsigned char byte = (unsigned char)number;
    ssize_t written = write(atomic_load(&signal_pipe), &byte, 1);
    (void)written; /* full of signals already */
    errno = error;
}

static void ignore_signal(int number)
{
    (void)number;
}

void loop_survive_writes(void)
{
    struct sigaction action = {.sa_handler = ignore_signal, .sa_flags = SA_RESTART};
    sigaction(SIGPIPE, &action, NULL);
    sigaction(SIGXFSZ, &action, NULL);
}

static void on_readable(void *context)
{
    LoopSignals **place = context;
    unsigned char number;
    while (*place && read((*place)->read_fd, &number, 1) == 1)
        (*place)->handler((*place)->context, number);
}

void loop_signals_release(LoopSignals **place)
{
    LoopSignals *signals = *place;
    if (!signals) return;
    for (size_t i = 0; i < signals->count; i++)
        sigaction(signals->numbers[i], &signals->before[i], NULL);
    atomic_store(&signal_pipe, -1);
    loop_unwatch(signals->watch); /* closes the end that it reads */
    close(signals->write_fd);
    free(signals);
    *place = NULL;
}

static LoopSignals *signals_new(Loop *loop, LoopSignals **place)
{
    int ends[2];
    LoopSignals *signals = calloc(1, sizeof *signals);
    if (!signals || pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        free(signals);
        return NULL;
    }
    signals->read_fd = ends[0];
    signals->write_fd = ends[1];
    signals->watch = loop_watch(loop, ends[0], on_readable, NULL, place);
    if (!signals->watch) {
        close(ends[0]);
        close(ends[1]);
        free(signals);
        return NULL;
    }
    return signals;
}

bool loop_signals_take(Loop *loop, LoopSignals **place, const int *numbers, size_t count,
                       void (*handler)(void *context, int signal), void *context)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    if (count > MAX_SIGNALS) return false;
    LoopSignals *signals = signals_new(loop, place);
    if (!signals) return false;
    loop_signals_release(place);
    signals->handler = handler;
    signals->context = context;
    *place = signals;
    atomic_store(&signal_pipe, signals->write_fd);
    for (; signals->count < count; signals->count++) {
        signals->numbers[signals->count] = numbers[signals->count];
        sigaction(numbers[signals->count], &action, &signals->before[signals->count]);
    }
    return true;
}
