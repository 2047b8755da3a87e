/* latency.h - how long calls took: a histogram whose buckets grow with the value, so that a fixed 1.5 KiB tells microseconds
 * and minutes alike, within 3.2 %. One thread adds, any thread reads: relaxed atomics, no lock, and a reader sees the
 * calls of the very moment or not. */
#ifndef GATEHOUSE_APP_LATENCY_H
#define GATEHOUSE_APP_LATENCY_H

#include <stdatomic.h>
#include <stdint.h>

#define LATENCY_STEPS 16  /* buckets for each doubling */
#define LATENCY_GROUPS 23 /* of so many buckets each: 0 … 15 µs exactly, then the doublings up to 67 s */
#define LATENCY_BUCKETS (LATENCY_STEPS * LATENCY_GROUPS)

typedef struct {
    atomic_ullong count;
    atomic_llong max_us;
    atomic_uint counts[LATENCY_BUCKETS];
} Latency; /* all zero is an empty one */

/* A call that took so long; negative is 0. On one thread at a time. A bucket that is about to overflow halves them all: the
 * shape stays, and calls of long ago weigh less. */
void latency_add(Latency *latency, int64_t us);

typedef struct {
    uint64_t count;                         /* of all calls */
    int64_t p50_us, p95_us, p99_us, max_us; /* 0 if there was none; max is exact */
} LatencySummary;

void latency_summary(const Latency *latency, LatencySummary *out);

#endif
