/* latency.c - see latency.h. Bucket i < 16 holds the value i; above, the four bits behind the leading one choose a bucket of
 * the value's doubling, which is 1/16 of the value wide: its middle is at most 1/32 away. */
#include "app/latency.h"

#define LINEAR_BITS 4 /* 2^4 == LATENCY_STEPS */
#define FULL 0x7fffffffu

_Static_assert(1 << LINEAR_BITS == LATENCY_STEPS, "the bits behind the leading one choose the step");
_Static_assert(sizeof(Latency) <= 1536, "one is kept for each handler");

static unsigned bucket_of(uint64_t us)
{
    if (us < LATENCY_STEPS) return (unsigned)us;
    unsigned shift = 63u - (unsigned)__builtin_clzll(us) - LINEAR_BITS;
    uint64_t bucket = ((uint64_t)(shift + 1) << LINEAR_BITS) + (us >> shift) - LATENCY_STEPS;
    return bucket < LATENCY_BUCKETS ? (unsigned)bucket : LATENCY_BUCKETS - 1;
}

static int64_t middle_of(unsigned bucket)
{
    if (bucket < LATENCY_STEPS) return (int64_t)bucket;
    unsigned shift = (bucket >> LINEAR_BITS) - 1;
    int64_t first = (int64_t)(LATENCY_STEPS + (bucket & (LATENCY_STEPS - 1))) << shift;
    return first + ((int64_t)1 << shift) / 2;
}

static void halve(Latency *latency)
{
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        unsigned count = atomic_load_explicit(&latency->counts[i], memory_order_relaxed);
        atomic_store_explicit(&latency->counts[i], (count + 1) / 2, memory_order_relaxed);
    }
}

/* One writer: a load and a store are enough, and cheaper than an addition that is atomic as a whole. */
void latency_add(Latency *latency, int64_t us)
{
    unsigned bucket = bucket_of(us > 0 ? (uint64_t)us : 0);
    unsigned count = atomic_load_explicit(&latency->counts[bucket], memory_order_relaxed);

    if (count >= FULL) {
        halve(latency);
        count = atomic_load_explicit(&latency->counts[bucket], memory_order_relaxed);
    }
    atomic_store_explicit(&latency->counts[bucket], count + 1, memory_order_relaxed);
    atomic_store_explicit(&latency->count, atomic_load_explicit(&latency->count, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    if (us > atomic_load_explicit(&latency->max_us, memory_order_relaxed))
        atomic_store_explicit(&latency->max_us, us, memory_order_relaxed);
}

/* The value that `percent` of the calls do not exceed. */
static int64_t percentile(const unsigned *counts, uint64_t total, unsigned percent, int64_t max_us)
{
    uint64_t rank = (total * percent + 99) / 100, seen = 0;

    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        seen += counts[i];
        if (seen < rank) continue;
        if (i == LATENCY_BUCKETS - 1) return max_us; /* it has no end */
        return middle_of(i) < max_us ? middle_of(i) : max_us;
    }
    return max_us;
}

void latency_summary(const Latency *latency, LatencySummary *out)
{
    unsigned counts[LATENCY_BUCKETS];
    uint64_t total = 0;

    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        counts[i] = atomic_load_explicit(&latency->counts[i], memory_order_relaxed);
        total += counts[i];
    }
    *out = (LatencySummary){.count = atomic_load_explicit(&latency->count, memory_order_relaxed),
                            .max_us = atomic_load_explicit(&latency->max_us, memory_order_relaxed)};
    if (total == 0) return;
    out->p50_us = percentile(counts, total, 50, out->max_us);
    out->p95_us = percentile(counts, total, 95, out->max_us);
    out->p99_us = percentile(counts, total, 99, out->max_us);
}
