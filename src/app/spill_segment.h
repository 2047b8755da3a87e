/* spill_segment.h - the files of a spill: numbered, appended to, read record by record, removed. Nothing stays open.
 * For spill.c; every call may wait for the disk. */
#ifndef GATEHOUSE_APP_SPILL_SEGMENT_H
#define GATEHOUSE_APP_SPILL_SEGMENT_H

#include "app/message.h"

/* Writes at `offset` of segment `number`; offset 0 makes it, and its folder. False with errno; the file is then as long
 * as before, as far as that can be had. */
bool spill_segment_write(const char *folder, uint64_t number, size_t offset, Slice bytes);

/* Where the reading of a segment is. All zero is its beginning. Fields are private. */
typedef struct {
    char *chunk; /* read, and from `at` to `end` not given out yet */
    size_t at, end, capacity;
    size_t offset; /* in the file, behind the chunk */
} SpillReader;

/* The next record of a segment of which `size_bytes` are good to be read, and more than were given out. NULL if there
 * is none to be had: it is broken, or `*no_memory` is set, and it may be tried again. */
Message *spill_reader_next(SpillReader *reader, const char *folder, uint64_t number, size_t size_bytes,
                           bool *no_memory);

/* To the beginning of another segment, without memory held. */
void spill_reader_reset(SpillReader *reader);

void spill_segment_remove(const char *folder, uint64_t number);

/* All that are in the folder. */
void spill_segments_remove(const char *folder);

#endif
