/* backoff.c - see backoff.h. */
#include "protocol/backoff.h"

#define NOT_YET_MS 500  /* what gateways that are starting up name themselves */
#define SHORTEST_MS 100 /* a peer that says "at once" for ever must not make a busy loop */
#define DOUBLINGS 5     /* after these the wait is BACKOFF_MAX_MS */

static int64_t doubling_ms(Backoff *backoff, uint32_t random)
{
    int64_t longest_ms = (int64_t)BACKOFF_FIRST_MS << backoff->attempt;
    if (longest_ms > BACKOFF_MAX_MS) longest_ms = BACKOFF_MAX_MS;
    if (backoff->attempt < DOUBLINGS) backoff->attempt++;
    int64_t half_ms = longest_ms / 2;
    return half_ms + (int64_t)(((uint64_t)random * (uint64_t)(half_ms + 1)) >> 32);
}

int64_t backoff_next(Backoff *backoff, BackoffReason reason, int64_t ready_ms, int64_t retry_after_ms, uint32_t random)
{
    /* An announced restart is no failure of the gateway, so it does not count as one. */
    if (ready_ms >= BACKOFF_STABLE_MS || reason == BACKOFF_RESTARTING) backoff->attempt = 0;
    if (retry_after_ms >= 0 && retry_after_ms <= BACKOFF_LONGEST_RETRY_AFTER_MS) {
        if (retry_after_ms >= SHORTEST_MS) return retry_after_ms;
        return reason == BACKOFF_FAILED ? BACKOFF_FIRST_MS : SHORTEST_MS;
    }
    switch (reason) {
    case BACKOFF_NOT_YET: return NOT_YET_MS;
    case BACKOFF_PAIRING: return BACKOFF_PAIRING_MS;
    case BACKOFF_FAILED:
    case BACKOFF_RESTARTING: break;
    }
    return doubling_ms(backoff, random);
}
