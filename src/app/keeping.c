/* keeping.c - see keeping.h. */
#include "app/keeping.h"

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

void keeping_begin(Keeping *keeping, int64_t now_ms, uint64_t steps)
{
    keeping->active = true;
    keeping_done(keeping, now_ms, 0, steps);
    keeping->changed = true; /* whoever reads it for the first time is about to change it */
}

void keeping_look(Keeping *keeping, uint64_t steps)
{
    if (steps != keeping->steps) keeping->changed = true;
}

bool keeping_due(const Keeping *keeping, int64_t now_ms, bool idle)
{
    if (!keeping->active || !keeping->changed) return false;
    return now_ms >= (idle ? keeping->idle_due_ms : keeping->busy_due_ms);
}

int64_t keeping_next_ms(const Keeping *keeping)
{
    return keeping->active && keeping->changed ? keeping->idle_due_ms : INT64_MAX;
}

void keeping_done(Keeping *keeping, int64_t now_ms, int64_t took_us, uint64_t steps)
{
    int64_t rest_ms = (took_us * KEEPING_SHARE + 999) / 1000;
    keeping->changed = false;
    keeping->steps = steps;
    keeping->idle_due_ms = now_ms + larger(KEEPING_IDLE_MS, rest_ms);
    keeping->busy_due_ms = now_ms + larger(KEEPING_BUSY_MS, rest_ms);
}

bool keeping_may_tell(Keeping *keeping, int64_t now_ms)
{
    if (keeping->tell_ms != 0 && now_ms < keeping->tell_ms) return false;
    keeping->tell_ms = now_ms + KEEPING_TELL_MS;
    return true;
}
