/* suggest.h - "did you mean": the known name that is nearest to a mistyped one. For settings, options, subcommands. */
#ifndef GATEHOUSE_HOST_SUGGEST_H
#define GATEHOUSE_HOST_SUGGEST_H

#include <stddef.h>

typedef struct {
    const char *word;
    const char *best; /* NULL: nothing near enough */
    size_t distance;
} Suggestion;

Suggestion suggest_for(const char *word);
void suggest_consider(Suggestion *suggestion, const char *name); /* borrowed */

/* Writes `; did you mean "name"?`, or an empty text. Returns `text`. */
const char *suggest_text(const Suggestion *suggestion, char *text, size_t size);

#endif
