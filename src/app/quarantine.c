/* quarantine.c - see quarantine.h. */
#include "app/quarantine.h"

#include <limits.h>

static int64_t or_default(int64_t value, int64_t otherwise)
{
    return value > 0 ? value : otherwise;
}

bool quarantine_skips(Quarantine *quarantine, int64_t now_ms)
{
    if (!quarantine->off || (!quarantine->probing && now_ms >= quarantine->until_ms)) return false;
    quarantine->skipped++;
    return true;
}

QuarantineAnswer quarantine_ask(Quarantine *quarantine, int64_t now_ms)
{
    if (quarantine_skips(quarantine, now_ms)) return QUARANTINE_SKIP;
    if (!quarantine->off) return QUARANTINE_CALL;
    quarantine->probing = true;
    return QUARANTINE_PROBE;
}

static QuarantineChange switch_off(Quarantine *quarantine, const QuarantineRules *rules, int64_t now_ms)
{
    int64_t first_ms = or_default(rules->first_ms, QUARANTINE_FIRST_MS);
    int64_t most_ms = or_default(rules->most_ms, QUARANTINE_MOST_MS);
    QuarantineChange change = quarantine->off ? QUARANTINE_GOES_ON : QUARANTINE_BEGINS;
    int64_t length_ms = first_ms;

    if (quarantine->off) length_ms = quarantine->length_ms > most_ms / 2 ? most_ms : quarantine->length_ms * 2;
    quarantine->off = true;
    quarantine->length_ms = length_ms < most_ms ? length_ms : most_ms;
    quarantine->until_ms = now_ms + quarantine->length_ms;
    return change;
}

QuarantineChange quarantine_result(Quarantine *quarantine, const QuarantineRules *rules, QuarantineOutcome outcome,
                                   bool probe, int64_t now_ms)
{
    bool was_off = quarantine->off;
    unsigned most = rules->failures ? rules->failures : QUARANTINE_FAILURES;

    if (probe) quarantine->probing = false;
    switch (outcome) {
    case QUARANTINE_ABANDONED: return QUARANTINE_AS_BEFORE;
    case QUARANTINE_SUCCEEDED:
        quarantine->failures = 0;
        quarantine->off = false;
        quarantine->probing = false; /* one that still runs decides nothing any more */
        return was_off ? QUARANTINE_ENDS : QUARANTINE_AS_BEFORE;
    case QUARANTINE_FAILED:
        if (quarantine->failures < UINT_MAX) quarantine->failures++;
        if (was_off ? probe : most != UINT_MAX && quarantine->failures >= most)
            return switch_off(quarantine, rules, now_ms);
        return QUARANTINE_AS_BEFORE;
    }
    return QUARANTINE_AS_BEFORE;
}
