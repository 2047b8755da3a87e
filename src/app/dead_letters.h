/* dead_letters.h - the events of an app whose handler raised, with the traceback: to be looked at, and to be tried
 * again.
 *
 * A ring, bounded by count and by bytes; the oldest goes first. Any thread calls anything here, except where it says
 * otherwise: the app's thread adds and takes, the I/O thread lists. No lock is held while the disk is waited for.
 *
 * On disk, where the app wants that: `dead.jsonl` in its data folder (0600), one JSON object a line, which
 * dead_letters_new reads back. A letter is a line as dead_letter_write makes it; one that was taken or evicted is told
 * by {"gone":id}. Lines are only appended, until the file is twice as large as the ring may be: then it is written
 * anew, atomically. It is not synced at each letter: after a loss of power the last ones may be missing. Lines that
 * cannot be read are skipped and counted. */
#ifndef GATEHOUSE_APP_DEAD_LETTERS_H
#define GATEHOUSE_APP_DEAD_LETTERS_H

#include "app/message.h"
#include "protocol/buffer.h"

#define DEAD_LETTERS_COUNT 100
#define DEAD_LETTERS_BYTES (1u << 20)
#define DEAD_LETTERS_TEXT_BYTES 16384 /* of a traceback; what is longer is cut */

typedef struct DeadLetters DeadLetters;

/* Fields are for reading. */
typedef struct DeadLetter DeadLetter;
struct DeadLetter {
    DeadLetter *next; /* in the ring */
    uint64_t id;      /* 1, 2, …; never used again, also after a restart as far as the file tells */
    Message *message; /* the letter's own reference */
    const char *handler;
    const char *traceback;
    int64_t failed_ms; /* wall clock */
    unsigned attempts; /* how often it failed */
};

typedef struct {
    size_t max_count, max_bytes; /* 0: the default */
} DeadLetterLimits;

/* `folder` (may be NULL: in memory only) must exist; reads what is there, so it may wait for the disk. A file that
 * cannot be read is an empty one, and `stats.problem` says why. NULL without memory. */
DeadLetters *dead_letters_new(const char *folder, const DeadLetterLimits *limits);
void dead_letters_free(DeadLetters *letters); /* after dead_letters_flush, if wanted; NULL is fine */

/* Keeps an event (a reference of its own) and copies of the texts, and writes to the disk: not for the I/O thread.
 * `attempts`: 1, or one more than the letter had that is tried again. Returns its id; 0 if it is not kept: it alone is
 * larger than the ring, or no memory. */
uint64_t dead_letters_add(DeadLetters *letters, Message *message, const char *handler, const char *traceback,
                          int64_t failed_ms, unsigned attempts);

/* Oldest first. `each` runs under the lock: it must not wait, nor call anything here. */
void dead_letters_each(DeadLetters *letters, void (*each)(void *context, const DeadLetter *letter), void *context);

/* Removes a letter, which then belongs to the caller. NULL if there is none of that number.
 * Never waits for the disk: the file follows with the next dead_letters_add or dead_letters_flush. A process that dies
 * before has the letter again. */
DeadLetter *dead_letters_take(DeadLetters *letters, uint64_t id);
void dead_letter_free(DeadLetter *letter); /* with its reference of the message; NULL is fine */

/* Brings the file up to date. Waits for the disk: not for the I/O thread. */
void dead_letters_flush(DeadLetters *letters);

/* Appends the letter as a JSON object:
 * {"id":3,"event":"agent","payload":…,"stateVersion":…,"seq":7,"receivedMs":…,"connection":1,
 * "handler":"agent","traceback":"…","failedMs":…,"attempts":1}. A payload that is no JSON becomes the string
 * "brokenPayload". */
void dead_letter_write(const DeadLetter *letter, Buffer *out);

typedef struct {
    size_t count, bytes;
    uint64_t added, evicted, taken;
    uint64_t too_large; /* not kept: larger than the ring */
    uint64_t broken;    /* lines of the file that could not be read */
    uint64_t unwritten; /* letters and removals that did not reach the file */
    char problem[256];  /* the last one with the file, for people; "" if there was none */
} DeadLetterStats;
void dead_letters_stats(DeadLetters *letters, DeadLetterStats *out);

#endif
