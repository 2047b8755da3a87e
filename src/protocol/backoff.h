/* backoff.h - how long to wait before the next connection. Every failure path asks this one function.
 *
 *     1 s doubling to 30 s, each with jitter (a random point in its upper half), so that a herd of hosts spreads out.
 *     The doubling starts over only after a connection that stayed ready for 10 s.
 *     A peer that names a time (retryAfterMs, Retry-After) is obeyed and does not lengthen the backoff. */
#ifndef GATEHOUSE_PROTOCOL_BACKOFF_H
#define GATEHOUSE_PROTOCOL_BACKOFF_H

#include <stdint.h>

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_MAX_MS 30000
#define BACKOFF_STABLE_MS 10000               /* ready for this long: a good connection */
#define BACKOFF_LONGEST_RETRY_AFTER_MS 600000 /* a peer that names more than ten minutes is not obeyed */
#define BACKOFF_PAIRING_MS 30000              /* between two looks whether the operator has approved */

typedef struct {
    unsigned attempt; /* failures since the last good connection; all zero is a fresh backoff */
} Backoff;

typedef enum {
    BACKOFF_FAILED,     /* refused, unreachable, lost: double */
    BACKOFF_RESTARTING, /* close 1012 or a shutdown event: the gateway is coming back, first try after a second */
    BACKOFF_NOT_YET,    /* close 1013 or UNAVAILABLE while starting: wait as told (500 ms if not told), no doubling */
    BACKOFF_PAIRING     /* waits for the operator: slowly, no doubling */
} BackoffReason;

/* `ready_ms`: how long the connection that ended had been ready, 0 if it never was. `retry_after_ms`: -1 if the peer
 * named none. `random`: 32 random bits. Returns milliseconds. */
int64_t backoff_next(Backoff *backoff, BackoffReason reason, int64_t ready_ms, int64_t retry_after_ms, uint32_t random);

#endif
