/* quarantine.h - when a handler that fails again and again is switched off, and when it is tried again. Pure: times are
 * arguments, on any clock that only goes forward.
 *
 *     ON ── n failures in a row ──► OFF until a time ── the time is over ──► one PROBE call
 *      ▲                             ▲ twice as long, up to most_ms ◄── it fails ──┤
 *      └─────────────────────────────┴──────────────── any success ◄───────────────┘
 *
 * Everything that is asked for while it is OFF, or while the probe runs, is skipped and counted. */
#ifndef GATEHOUSE_APP_QUARANTINE_H
#define GATEHOUSE_APP_QUARANTINE_H

#include <stdbool.h>
#include <stdint.h>

#define QUARANTINE_FAILURES 10
#define QUARANTINE_FIRST_MS 1000
#define QUARANTINE_MOST_MS (5 * 60 * 1000)

typedef struct {
    unsigned failures; /* in a row, until it is switched off; 0: QUARANTINE_FAILURES; UINT_MAX: never */
    int64_t first_ms;  /* how long at first; 0: QUARANTINE_FIRST_MS */
    int64_t most_ms;   /* how long at most; 0: QUARANTINE_MOST_MS */
} QuarantineRules;

/* All zero is a handler without a past. Fields are for reading. */
typedef struct {
    unsigned failures; /* in a row */
    bool off;
    bool probing;      /* the call that decides is running */
    int64_t until_ms;  /* off: no call before */
    int64_t length_ms; /* off: how long the present time is */
    uint64_t skipped;  /* ever */
} Quarantine;

typedef enum {
    QUARANTINE_CALL,
    QUARANTINE_PROBE, /* call, and say so in quarantine_result */
    QUARANTINE_SKIP   /* do not call; it is counted */
} QuarantineAnswer;

/* Whether a call would be skipped now; if so, it counts as skipped. For before the work that a call takes. */
bool quarantine_skips(Quarantine *quarantine, int64_t now_ms);

/* Before each call. */
QuarantineAnswer quarantine_ask(Quarantine *quarantine, int64_t now_ms);

typedef enum {
    QUARANTINE_SUCCEEDED,
    QUARANTINE_FAILED,
    QUARANTINE_ABANDONED /* it ended, and nobody knows how: the handler was removed, the state is closed */
} QuarantineOutcome;

typedef enum {
    QUARANTINE_AS_BEFORE, /* nothing to be said */
    QUARANTINE_BEGINS,    /* now off: said once */
    QUARANTINE_GOES_ON,   /* the probe failed; the time is longer */
    QUARANTINE_ENDS       /* on again */
} QuarantineChange;

/* After each call that was not skipped; `probe`: what the question for it was answered with. Failures of other calls
 * that had begun before it was switched off change nothing; a success of one does. */
QuarantineChange quarantine_result(Quarantine *quarantine, const QuarantineRules *rules, QuarantineOutcome outcome,
                                   bool probe, int64_t now_ms);

#endif
