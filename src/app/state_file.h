/* state_file.h - what an app keeps, on the disk: `state.bin` in its data folder. A crash at any moment leaves the last content or the
 * one before; the checksum tells whether it is one of them.
 *
 *     "GHstate\n"   format, 4 bytes   size, 8 bytes   SHA-256 of the content, 32 bytes   content
 *
 * Numbers have their low bytes first. `state.json` is what an earlier release wrote: read when there is no state.bin yet, and renamed
 * to state.json.imported when there is. Every call may wait for the disk. Sentences are for people. */
#ifndef GATEHOUSE_APP_STATE_FILE_H
#define GATEHOUSE_APP_STATE_FILE_H

#include "protocol/buffer.h"

#define STATE_FILE_MAX_BYTES (1u << 30)

typedef enum {
    STATE_FILE_DONE,
    STATE_FILE_ABSENT, /* nothing was saved yet */
    STATE_FILE_BROKEN, /* not what was written: it was moved aside, and the sentence says where to */
    STATE_FILE_FAILED /* it cannot be read, or is from a newer release, or cannot be moved: it must not be overwritten */
} StateFileResult;

/* Appends what was saved last to `bytes`, nothing unless DONE. `look_only` moves nothing. A sentence if it is BROKEN or
 * FAILED. */
StateFileResult state_file_read(const char *folder, bool look_only, Buffer *bytes, char *sentence,
                                size_t sentence_size);

/* Removes what a crash has left of unfinished writes. For who writes, before the first time. */
void state_file_sweep(const char *folder);

/* Replaces the content; false with a sentence. One at a time. */
bool state_file_write(const char *folder, Slice bytes, char *sentence, size_t sentence_size);

#endif
