/* dead_letters_private.h - what dead_letters.c (the ring) and dead_letters_file.c (the file) share. */
#ifndef GATEHOUSE_APP_DEAD_LETTERS_PRIVATE_H
#define GATEHOUSE_APP_DEAD_LETTERS_PRIVATE_H

#include "app/dead_letters.h"

#include <pthread.h>

struct DeadLetters {
    DeadLetterLimits limits;
    char *path; /* of the file; NULL: in memory only */

    pthread_mutex_t file_lock; /* of the file and the three below; taken before `lock`, never by the I/O thread */
    size_t file_bytes, rewritten_bytes; /* now; when it was written anew last */
    bool rewrite;                       /* its end is torn, or something did not reach it: appending is not enough */

    pthread_mutex_t lock; /* of all that follows */
    DeadLetter *first, **end;
    uint64_t next_id;
    Buffer pending; /* lines for the file */
    size_t pending_lines;
    DeadLetterStats stats;
};

/* A line of the file. The slices and texts are borrowed. */
typedef struct {
    bool gone;
    uint64_t id;
    EventFields event;
    const char *handler, *traceback;
    int64_t failed_ms;
    unsigned attempts;
} DeadLetterLine;

/* Takes what the line tells. For dead_letters_read_file. False without memory. */
bool dead_letters_keep_read(DeadLetters *letters, const DeadLetterLine *line);

/* Sets `path`, and fills the ring from the file. False without memory. */
bool dead_letters_read_file(DeadLetters *letters, const char *folder);

#endif
