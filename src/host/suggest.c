/* suggest.c - edit distance with transpositions, on short names. */
#include "host/suggest.h"

#include <stdio.h>
#include <string.h>

#define LONGEST 48 /* bytes; longer words are not mistyped names */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t distance(const char *a, const char *b)
{
    size_t rows[3][LONGEST + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    size_t a_size = strlen(a), b_size = strlen(b);

    for (size_t j = 0; j <= b_size; j++) {
        last[j] = j;
        before[j] = 0;
    }
    for (size_t i = 1; i <= a_size; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t best = smaller(smaller(last[j], row[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) best = smaller(best, before[j - 2] + 1);
            row[j] = best;
        }
        size_t *oldest = before;
        before = last;
        last = row;
        row = oldest;
    }
    return last[b_size];
}

Suggestion suggest_for(const char *word)
{
    size_t size = strlen(word);
    return (Suggestion){.word = word,
                        .distance = size > LONGEST ? 0 : 1 + (size + 1) / 3}; /* a third of it may be wrong */
}

void suggest_consider(Suggestion *suggestion, const char *name)
{
    if (suggestion->distance == 0 || strlen(name) > LONGEST) return;
    size_t found = distance(suggestion->word, name);
    if (found < suggestion->distance) {
        suggestion->best = name;
        suggestion->distance = found;
    }
}

const char *suggest_text(const Suggestion *suggestion, char *text, size_t size)
{
    if (suggestion->best) {
        (void)snprintf(text, size, "; did you mean \"%s\"?", suggestion->best);
    } else {
        *text = '\0';
    }
    return text;
}
