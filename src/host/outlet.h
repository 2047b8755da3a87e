/* outlet.h - bytes on their way to a descriptor that may stall: stderr for the log, stdout for `tail`. Any thread puts, one
 * thread writes. The descriptor's flags are left alone, since a terminal shares them with other programs. */
#ifndef GATEHOUSE_HOST_OUTLET_H
#define GATEHOUSE_HOST_OUTLET_H

#include "protocol/buffer.h"

typedef struct Outlet Outlet;

typedef struct {
    int fd;             /* duplicated */
    size_t limit_bytes; /* what may wait; SIZE_MAX: the caller looks at outlet_put's answer */
    void *context;
    /* On the writing thread, when everything that it had taken is written, or when nobody reads any more (`error`, an errno; once). May put. */
    void (*wrote)(void *context, int error);
} OutletConfig;

/* Starts the thread, with all signals blocked. NULL without memory or thread. */
Outlet *outlet_new(const OutletConfig *config);

/* Waits until nothing waits any more, `flush_ms` at most. False if something does. */
bool outlet_flush(Outlet *outlet, int flush_ms);
/* The same, and ends the thread and frees all; `wrote` is not called any more. A thread that hangs since nobody reads is left to
 * itself. False if something was lost. */
bool outlet_free(Outlet *outlet, int flush_ms);

/* All of `text` or nothing. Returns the bytes that wait now; 0 if it did not fit, without memory, or after an error. Empty text is never put. */
size_t outlet_put(Outlet *outlet, Slice text);

size_t outlet_waiting(Outlet *outlet); /* bytes */

#endif
