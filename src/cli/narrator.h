/* narrator.h - turns the log of a demo into a story: who did what, when. A thread of its own reads the log's JSON lines from a pipe and
 * writes to stdout, so that a terminal that stands still stalls nobody else. */
#ifndef GATEHOUSE_CLI_NARRATOR_H
#define GATEHOUSE_CLI_NARRATOR_H

#include <stdbool.h>

typedef struct Narrator Narrator;

/* Who an app is in the story. */
typedef struct {
    const char *app;    /* its name in the log; NULL: lines of the host itself */
    const char *who;    /* what it is called, at most 7 characters */
    const char *colour; /* an escape sequence */
} NarratorRole;

/* `roles` ends with an entry whose `who` is NULL; borrowed. `deaf` is called on the narrator's thread, at most once, when nobody reads stdout
 * any more. NULL if it cannot be started. */
Narrator *narrator_new(const NarratorRole *roles, void (*deaf)(void *context), void *context);
int narrator_log_fd(const Narrator *narrator); /* where the log writes, in its JSON form */
/* Tells what is left; call it when the log is gone. False if stdout could not be written. NULL is fine. */
bool narrator_free(Narrator *narrator);

#endif
