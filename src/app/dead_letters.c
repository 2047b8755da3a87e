/* dead_letters.c - see dead_letters.h. The ring is a list, oldest first, under one lock that is held for a few steps.
 * What is to be written gathers beside it as text; dead_letters_file.c brings it to the disk. */
#include "app/dead_letters_private.h"

#include <stdlib.h>

/* What a letter weighs. */
static size_t weigh(const DeadLetter *letter)
{
    return sizeof *letter + letter->message->size_bytes + strlen(letter->handler) + strlen(letter->traceback) + 2;
}

/* The beginning of a text, cut between two characters. */
static size_t cut(const char *text, size_t most)
{
    size_t size = strlen(text);
    if (size <= most) return size;
    size = most;
    while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--;
    return size;
}

/* Copies the texts behind the struct, and takes over the reference. NULL without memory; the reference is then still
 * the caller's. */
static DeadLetter *letter_new(Message *message, const char *handler, const char *traceback)
{
    size_t handler_size = cut(handler, DEAD_LETTERS_TEXT_BYTES), text_size = cut(traceback, DEAD_LETTERS_TEXT_BYTES);
    DeadLetter *letter = calloc(1, sizeof *letter + handler_size + text_size + 2);
    if (!letter) return NULL;
    char *texts = (char *)(letter + 1);
    memcpy(texts, handler, handler_size);
    memcpy(texts + handler_size + 1, traceback, text_size);
    letter->handler = texts;
    letter->traceback = texts + handler_size + 1;
    letter->message = message;
    return letter;
}

void dead_letter_free(DeadLetter *letter)
{
    if (!letter) return;
    message_unref(letter->message);
    free(letter);
}

static void tell_gone(DeadLetters *letters, uint64_t id)
{
    if (!letters->path) return;
    buffer_append_format(&letters->pending, "{\"gone\":%llu}\n", (unsigned long long)id);
    letters->pending_lines++;
}

/* Takes `*link` out of the list. */
static DeadLetter *unlink_letter(DeadLetters *letters, DeadLetter **link)
{
    DeadLetter *letter = *link;
    *link = letter->next;
    if (!*link) letters->end = link;
    letter->next = NULL;
    letters->stats.count--;
    letters->stats.bytes -= weigh(letter);
    return letter;
}

static void append_letter(DeadLetters *letters, DeadLetter *letter)
{
    *letters->end = letter;
    letters->end = &letter->next;
    letters->stats.count++;
    letters->stats.bytes += weigh(letter);
}

static void evict(DeadLetters *letters)
{
    while (letters->first &&
           (letters->stats.count > letters->limits.max_count || letters->stats.bytes > letters->limits.max_bytes)) {
        DeadLetter *oldest = unlink_letter(letters, &letters->first);
        letters->stats.evicted++;
        tell_gone(letters, oldest->id);
        dead_letter_free(oldest);
    }
}

static DeadLetter **find(DeadLetters *letters, uint64_t id)
{
    for (DeadLetter **link = &letters->first; *link; link = &(*link)->next)
        if ((*link)->id == id) return link;
    return NULL;
}

bool dead_letters_keep_read(DeadLetters *letters, const DeadLetterLine *line)
{
    if (line->gone) {
        DeadLetter **link = find(letters, line->id);
        if (link) dead_letter_free(unlink_letter(letters, link));
    } else {
        Message *message = message_event(&line->event);
        DeadLetter *letter = message ? letter_new(message, line->handler, line->traceback) : NULL;
        if (!letter) {
            message_unref(message);
            return false;
        }
        letter->id = line->id;
        letter->failed_ms = line->failed_ms;
        letter->attempts = line->attempts;
        append_letter(letters, letter);
        evict(letters);
    }
    if (line->id >= letters->next_id) letters->next_id = line->id + 1;
    return true;
}

DeadLetters *dead_letters_new(const char *folder, const DeadLetterLimits *limits)
{
    DeadLetters *letters = calloc(1, sizeof *letters);
    if (!letters) return NULL;
    letters->limits = *limits;
    if (!letters->limits.max_count) letters->limits.max_count = DEAD_LETTERS_COUNT;
    if (!letters->limits.max_bytes) letters->limits.max_bytes = DEAD_LETTERS_BYTES;
    letters->end = &letters->first;
    letters->next_id = 1;
    pthread_mutex_init(&letters->lock, NULL);
    pthread_mutex_init(&letters->file_lock, NULL);
    if (folder && !dead_letters_read_file(letters, folder)) {
        dead_letters_free(letters);
        return NULL;
    }
    letters->stats.evicted = 0; /* what went while reading had gone before, or was told by the one who wrote it */
    return letters;
}

void dead_letters_free(DeadLetters *letters)
{
    if (!letters) return;
    while (letters->first)
        dead_letter_free(unlink_letter(letters, &letters->first));
    pthread_mutex_destroy(&letters->lock);
    pthread_mutex_destroy(&letters->file_lock);
    buffer_free(&letters->pending);
    free(letters->path);
    free(letters);
}

uint64_t dead_letters_add(DeadLetters *letters, Message *message, const char *handler, const char *traceback,
                          int64_t failed_ms, unsigned attempts)
{
    uint64_t id = 0;
    DeadLetter *letter = letter_new(message, handler, traceback);
    if (!letter) return 0;
    message_ref(message);
    letter->failed_ms = failed_ms;
    letter->attempts = attempts;

    pthread_mutex_lock(&letters->lock);
    if (weigh(letter) > letters->limits.max_bytes) {
        letters->stats.too_large++;
    } else {
        id = letter->id = letters->next_id++;
        letters->stats.added++;
        if (letters->path) {
            dead_letter_write(letter, &letters->pending);
            buffer_append_char(&letters->pending, '\n');
            letters->pending_lines++;
        }
        append_letter(letters, letter);
        letter = NULL;
        evict(letters);
    }
    pthread_mutex_unlock(&letters->lock);
    dead_letter_free(letter);
    dead_letters_flush(letters);
    return id;
}

void dead_letters_each(DeadLetters *letters, void (*each)(void *context, const DeadLetter *letter), void *context)
{
    pthread_mutex_lock(&letters->lock);
    for (const DeadLetter *letter = letters->first; letter; letter = letter->next)
        each(context, letter);
    pthread_mutex_unlock(&letters->lock);
}

DeadLetter *dead_letters_take(DeadLetters *letters, uint64_t id)
{
    pthread_mutex_lock(&letters->lock);
    DeadLetter **link = find(letters, id);
    DeadLetter *letter = link ? unlink_letter(letters, link) : NULL;
    if (letter) {
        letters->stats.taken++;
        tell_gone(letters, id);
    }
    pthread_mutex_unlock(&letters->lock);
    return letter;
}

void dead_letters_stats(DeadLetters *letters, DeadLetterStats *out)
{
    pthread_mutex_lock(&letters->lock);
    *out = letters->stats;
    pthread_mutex_unlock(&letters->lock);
}
