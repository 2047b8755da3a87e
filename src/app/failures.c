/* failures.c - what comes of handlers' calls that failed: the event becomes a dead letter, the handler may be switched off for a while
 * (quarantine.h), and a generation whose calls fail too often wishes for the one before (wish.c).
 *
 * Host events are left out of all that: @stop or @ready that fails ten times in a row is to be called again all the same. */
#include "app/generation_private.h"

#include <limits.h>
#include <stdio.h>

#define TELL_AGAIN_MS 60000 /* between two lines that say that a handler stays off */

#define SKIPPED "it was put back, and skipped: its handler is switched off, since it failed again and again"

bool failures_skip(Generation *generation, const HandlerCall *call)
{
    Handler *handler = call->handler;
    if (!handler->quarantine.off || !quarantine_skips(&handler->quarantine, generation_now_ms())) return false;
    atomic_fetch_add_explicit(&handler->skipped, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&generation->skipped, 1, memory_order_relaxed);
    if (call->attempts) letters_keep(generation, handler->label, call->message, SKIPPED, call->attempts);
    return true;
}

bool failures_probe(Handler *handler)
{
    if (!handler->quarantine.off) return false;
    return quarantine_ask(&handler->quarantine, generation_now_ms()) == QUARANTINE_PROBE;
}

static void tell(Generation *generation, LogLevel level, const char *text)
{
    generation_log(generation, level, slice_of(text), slice_of(""));
}

static void tell_off(Generation *generation, Handler *handler, bool begins, int64_t now_ms)
{
    const Quarantine *quarantine = &handler->quarantine;
    long long length_s = (long long)(quarantine->length_ms / 1000);
    char text[256];
    if (begins) {
        handler->skipped_before = quarantine->skipped;
        snprintf(text, sizeof text, "%s failed %u times in a row: switched off for %lld s; its events are skipped",
                 handler->label, quarantine->failures, length_s);
    } else if (now_ms - handler->told_ms >= TELL_AGAIN_MS) {
        snprintf(text, sizeof text, "%s still fails: switched off for another %lld s; %llu events were skipped so far",
                 handler->label, length_s, (unsigned long long)(quarantine->skipped - handler->skipped_before));
    } else {
        return;
    }
    handler->told_ms = now_ms;
    tell(generation, LOG_WARN, text);
}

static void tell_on(Generation *generation, const Handler *handler)
{
    unsigned long long skipped = handler->quarantine.skipped - handler->skipped_before;
    char text[256];
    snprintf(text, sizeof text, "%s works again; %llu event%s skipped", handler->label, skipped,
             skipped == 1 ? " was" : "s were");
    tell(generation, LOG_INFO, text);
}

static void judge(Generation *generation, const HandlerCall *call, QuarantineOutcome outcome)
{
    Handler *handler = call->handler;
    int failures = generation->config->quarantine_failures;
    QuarantineRules rules = {.failures = failures > 0 ? (unsigned)failures : UINT_MAX};
    int64_t now_ms = generation_now_ms();
    switch (quarantine_result(&handler->quarantine, &rules, outcome, call->probe, now_ms)) {
    case QUARANTINE_AS_BEFORE: break;
    case QUARANTINE_BEGINS:
        atomic_store(&handler->off, true);
        tell_off(generation, handler, true, now_ms);
        break;
    case QUARANTINE_GOES_ON: tell_off(generation, handler, false, now_ms); break;
    case QUARANTINE_ENDS:
        atomic_store(&handler->off, false);
        tell_on(generation, handler);
        break;
    }
}

void failures_ended(Generation *generation, const HandlerCall *call, QuarantineOutcome outcome, const char *traceback)
{
    Handler *handler = call->handler;
    bool failed = outcome == QUARANTINE_FAILED;
    if (handler_is_of_host(slice_of(handler->pattern))) return;
    if (!traceback) traceback = "not enough memory";
    /* Who was replaced by force has lost the event: it is a letter already. */
    if (failed && !atomic_load(&generation->condemned))
        letters_keep(generation, handler->label, call->message, traceback, call->attempts + 1);
    if (generation_replaced(generation)) return; /* its handlers are not called any more */
    judge(generation, call, outcome);
    if (outcome != QUARANTINE_ABANDONED) wish_count(generation, failed, traceback);
}
