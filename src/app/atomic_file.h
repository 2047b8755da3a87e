/* atomic_file.h - small files that must be whole or absent: keys, tokens, saved state. Mode 0600.
 *
 * Written to a temporary file beside them, synced, then put in place; the folder is synced too. So a crash or a full
 * disk leaves the old content. Every call may wait for the disk. Messages are one sentence for people. */
#ifndef GATEHOUSE_APP_ATOMIC_FILE_H
#define GATEHOUSE_APP_ATOMIC_FILE_H

#include "protocol/buffer.h"

typedef enum { ATOMIC_FILE_DONE, ATOMIC_FILE_ABSENT, ATOMIC_FILE_EXISTS, ATOMIC_FILE_FAILED } AtomicFileResult;

/* Makes or replaces the file. DONE, or FAILED with a message. */
AtomicFileResult atomic_file_write(const char *path, Slice content, char *message, size_t message_size);

/* Makes the file unless it is there: DONE, EXISTS, or FAILED with a message. Of several processes one gets DONE. */
AtomicFileResult atomic_file_create(const char *path, Slice content, char *message, size_t message_size);

/* Appends the content of a file that holds secrets to `out`: DONE, ABSENT, or FAILED with a message. Refused are files
 * that others can access, that belong to another user, or that are larger than `max_bytes`. */
AtomicFileResult atomic_file_read_private(const char *path, size_t max_bytes, Buffer *out, char *message,
                                          size_t message_size);

#endif
