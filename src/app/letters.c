/* letters.c - the dead letters of an app: what its generations put there, and what is put back. See dead_letters.h for how they are
 * kept.
 *
 * A letter is taken when its turn has come and not before, so that those behind one that does not return are still there for who takes
 * over. */
#include "app/app_private.h"

#include <stdio.h>

static void complain(Generation *generation, const char *problem, uint64_t count, const char *what)
{
    char text[512];
    snprintf(text, sizeof text, "dead letters: %s (%llu %s)", *problem ? problem : "the file is damaged",
             (unsigned long long)count, what);
    generation_log(generation, LOG_WARN, slice_of(text), slice_of(""));
}

void letters_open(Generation *first)
{
    App *app = first->app;
    const AppConfig *config = first->config;
    DeadLetterStats stats;
    if (config->dry_run) return;
    DeadLetters *letters = dead_letters_new(config->dead_letters ? config->data_dir : NULL, &(DeadLetterLimits){0});
    if (!letters) {
        complain(first, "there is not enough memory for them", 0, "kept");
        return;
    }
    dead_letters_stats(letters, &stats);
    if (*stats.problem || stats.broken) complain(first, stats.problem, stats.broken, "lines could not be read");
    atomic_store(&app->letters, letters);
}

/* Once is enough: it is the disk. */
static void tell_unwritten(Generation *generation, DeadLetters *letters)
{
    DeadLetterStats stats;
    if (!generation->config->dead_letters || generation->letters_told) return;
    dead_letters_stats(letters, &stats);
    if (stats.unwritten == 0) return;
    generation->letters_told = true;
    complain(generation, stats.problem, stats.unwritten, "did not reach the file; they are kept in memory");
}

void letters_keep(Generation *generation, const char *label, Message *message, const char *why, unsigned attempts)
{
    DeadLetters *letters = atomic_load(&generation->app->letters);
    if (!letters || message->kind != MESSAGE_EVENT || handler_is_of_host(message->name)) return;
    (void)dead_letters_add(letters, message, label, why, generation_wall_ms(), attempts);
    tell_unwritten(generation, letters);
}

/* --- put back -------------------------------------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t id; /* which; 0: all */
    uint64_t ids[DEAD_LETTERS_COUNT];
    size_t count;
} Wanted;

static void want(void *context, const DeadLetter *letter)
{
    Wanted *wanted = context;
    if ((wanted->id && letter->id != wanted->id) || wanted->count == DEAD_LETTERS_COUNT) return;
    wanted->ids[wanted->count++] = letter->id;
}

/* Of a label, `agent (watch.lua:12)`: the pattern, with what follows it if that is a place. */
static size_t pattern_size(const char *label)
{
    const char *place = NULL;
    for (const char *next = label; (next = strstr(next, " (")) != NULL; next++)
        place = next;
    return place ? (size_t)(place - label) : strlen(label);
}

/* The one with that label, or else the first of the same pattern. */
static Handler *find_handler(Generation *generation, const DeadLetter *letter)
{
    Handler *found = NULL;
    size_t size = pattern_size(letter->handler);
    for (Handler *handler = generation->handlers; handler; handler = handler->next) {
        if (!handler_matches(handler, letter->message->name)) continue;
        if (strcmp(handler->label, letter->handler) == 0) return handler;
        bool alike = pattern_size(handler->label) == size && memcmp(handler->label, letter->handler, size) == 0;
        if (alike && !found) found = handler;
    }
    return found;
}

#define NO_HANDLER "there is no handler any more; "

static void put_away(DeadLetters *letters, const DeadLetter *letter)
{
    Buffer text = {0};
    bool again = strncmp(letter->traceback, NO_HANDLER, sizeof NO_HANDLER - 1) == 0;
    buffer_append_format(&text, "%s%s", again ? "" : NO_HANDLER "it failed before with: ", letter->traceback);
    buffer_append_char(&text, '\0');
    (void)dead_letters_add(letters, letter->message, letter->handler,
                           text.failed ? letter->traceback : buffer_slice(&text).data, letter->failed_ms,
                           letter->attempts);
    buffer_free(&text);
}

/* False if it is not there any more, or has no handler. */
static bool put_back(Generation *generation, DeadLetters *letters, uint64_t id)
{
    DeadLetter *letter = dead_letters_take(letters, id);
    Handler *handler = letter ? find_handler(generation, letter) : NULL;
    if (handler) {
        generation_busy_begin(generation, letter->message);
        deliver_to(generation, handler, letter->message, letter->attempts);
        (void)generation_busy_end(generation);
    } else if (letter) {
        put_away(letters, letter);
    }
    dead_letter_free(letter);
    return handler != NULL;
}

/* The letters take the place of the message that asks for them: who takes over by force takes the one that does not return. */
void letters_retry(Generation *generation, uint64_t id)
{
    (void)generation_busy_end(generation);
    DeadLetters *letters = atomic_load(&generation->app->letters);
    Wanted wanted = {.id = id};
    size_t count = 0;
    char text[128];
    if (!letters || generation->stopping) return;
    dead_letters_each(letters, want, &wanted);
    for (size_t i = 0; i < wanted.count && !generation_replaced(generation); i++)
        count += put_back(generation, letters, wanted.ids[i]);
    dead_letters_flush(letters);
    tell_unwritten(generation, letters);
    snprintf(text, sizeof text, "%zu of %zu dead letters were put back", count, wanted.count);
    generation_log(generation, LOG_INFO, slice_of(text), slice_of(""));
}

/* --- for the host ------------------------------------------------------------------------------------------------------------------ */

void app_dead_each(App *app, void (*each)(void *context, const DeadLetter *letter), void *context)
{
    DeadLetters *letters = atomic_load(&app->letters);
    if (letters) dead_letters_each(letters, each, context);
}

size_t app_dead_retry(App *app, uint64_t id)
{
    Wanted wanted = {.id = id};
    app_dead_each(app, want, &wanted);
    if (wanted.count == 0) return 0;
    Message *message = message_retry(id);
    if (message && inbox_push(app->inbox, &message, 1)) return wanted.count;
    message_unref(message);
    return 0;
}

void app_dead_stats(App *app, DeadLetterStats *out)
{
    DeadLetters *letters = atomic_load(&app->letters);
    *out = (DeadLetterStats){0};
    if (letters) dead_letters_stats(letters, out);
}
