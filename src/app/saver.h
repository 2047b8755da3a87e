/* saver.h - brings the newest of something to the disk on a thread of its own, so that nobody waits for the disk. The thread starts
 * with the first one, and blocks all signals.
 *
 *     put ──► waits ──► is written        While one is being written, the newest takes its turn after it; those between are skipped. */
#ifndef GATEHOUSE_APP_SAVER_H
#define GATEHOUSE_APP_SAVER_H

#include "protocol/buffer.h"

typedef struct Saver Saver;

typedef struct {
    bool (*write)(void *context, Slice bytes, char *problem, size_t size); /* on the thread; false with a sentence */
    void (*failed)(void *context,
                   const char *problem); /* on the thread; not while saver_flush waits, which tells. May be NULL */
    void *context;
    bool secret; /* the bytes are wiped once they are written; so the same ones are written again */
} SaverConfig;

/* NULL without memory. `context` is borrowed. */
Saver *saver_new(const SaverConfig *config);

/* Takes the bytes, does not wait. Bytes that are the same as the last ones, which were written or are about to be, are skipped. False
 * if no thread can be started: then they wait for the next call. */
bool saver_put(Saver *saver, Buffer *bytes);

/* Waits until the last ones are written, for at most `timeout_ms` (INT64_MAX: for ever); tries once more if that had failed. True at once
 * if there is nothing to write. False with a sentence. */
bool saver_flush(Saver *saver, int64_t timeout_ms, char *problem, size_t size);

/* Appends the last bytes that were put, whether they are on the disk or not; nothing if there were none or they are secret. False
 * without memory. Any thread. */
bool saver_latest(Saver *saver, Buffer *out);

/* False if it is still writing (a disk that hangs): then it is left alone, with `context`, and the process is about to go. NULL is fine. */
bool saver_free(Saver *saver);

#endif
