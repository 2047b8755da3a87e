/* Events whose handler raised are kept within bounds, listed, taken once, and survive a restart where the app wants
 * that. */
#define _GNU_SOURCE /* nftw */
#include "app/dead_letters.h"
#include "protocol/json.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "temp_dir.h"

typedef struct {
    TempDir dir;
    DeadLetters *letters;
    char log[4096];
} Fixture;

static const DeadLetterLimits defaults;

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof *f);
    temp_dir_make(&f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    dead_letters_free(f->letters);
    temp_dir_remove(f->dir.path);
    free(f);
    return 0;
}

static void in_memory(Fixture *f, DeadLetterLimits limits)
{
    f->letters = dead_letters_new(NULL, &limits);
    assert_non_null(f->letters);
}

/* Also again, as after a restart. */
static void on_disk(Fixture *f, DeadLetterLimits limits)
{
    dead_letters_free(f->letters);
    f->letters = dead_letters_new(f->dir.path, &limits);
    assert_non_null(f->letters);
}

static uint64_t add(Fixture *f, const char *name, const char *payload)
{
    EventFields fields = {slice_of(name), slice_of(payload), slice_of("{\"v\":1}"), 7, 1700000000123, 2};
    Message *message = message_event(&fields);
    uint64_t id = dead_letters_add(f->letters, message, "agent.*", "app.lua:3: no\nstack traceback:", 1700000000456, 1);
    message_unref(message);
    return id;
}

static void note(void *context, const DeadLetter *letter)
{
    Fixture *f = context;
    size_t used = strlen(f->log);
    snprintf(f->log + used, sizeof f->log - used, "%d:%.*s ", (int)letter->id, SLICE_ARGS(letter->message->name));
}

static const char *list(Fixture *f)
{
    f->log[0] = '\0';
    dead_letters_each(f->letters, note, f);
    return f->log;
}

static DeadLetterStats stats(Fixture *f)
{
    DeadLetterStats out;
    dead_letters_stats(f->letters, &out);
    return out;
}

static void letters_are_listed_oldest_first_and_taken_once(void **state)
{
    Fixture *f = *state;
    in_memory(f, defaults);
    assert_int_equal(add(f, "a", "1"), 1);
    assert_int_equal(add(f, "b", "2"), 2);
    assert_int_equal(add(f, "c", "3"), 3);
    assert_string_equal(list(f), "1:a 2:b 3:c ");
    DeadLetter *letter = dead_letters_take(f->letters, 3);
    assert_true(slice_is(letter->message->payload, "3"));
    assert_true(slice_is(letter->message->state_version, "{\"v\":1}"));
    assert_string_equal(letter->handler, "agent.*");
    assert_string_equal(letter->traceback, "app.lua:3: no\nstack traceback:");
    assert_int_equal(letter->failed_ms, 1700000000456);
    dead_letter_free(letter);
    assert_null(dead_letters_take(f->letters, 3));
    assert_int_equal(add(f, "d", "4"), 4); /* behind the one that was taken from the end */
    assert_string_equal(list(f), "1:a 2:b 4:d ");

    for (uint64_t id = 1; id <= 4; id++) {
        if (id == 3) continue;
        letter = dead_letters_take(f->letters, id);
        assert_int_equal(letter->id, id);
        dead_letter_free(letter);
    }
    assert_string_equal(list(f), "");
    add(f, "e", "5");
    assert_string_equal(list(f), "5:e ");
    assert_int_equal(stats(f).taken, 4);
    assert_int_equal(stats(f).count, 1);
}

static void the_ring_is_bounded_by_count_and_by_bytes(void **state)
{
    Fixture *f = *state;
    in_memory(f, (DeadLetterLimits){.max_count = 3, .max_bytes = 4096});
    for (int i = 0; i < 5; i++)
        add(f, "a", "1");
    assert_string_equal(list(f), "3:a 4:a 5:a ");
    assert_int_equal(stats(f).evicted, 2);

    char large[3001], larger[5001];
    memset(large, '1', sizeof large - 1);
    memset(larger, '1', sizeof larger - 1);
    large[3000] = larger[5000] = '\0';
    assert_int_equal(add(f, "b", large), 6);
    assert_int_equal(add(f, "c", large), 7);
    assert_string_equal(list(f), "7:c ");
    assert_true(stats(f).bytes <= 4096);
    assert_int_equal(add(f, "d", larger), 0); /* and nothing is thrown away for what cannot be kept */
    assert_string_equal(list(f), "7:c ");
    assert_int_equal(stats(f).too_large, 1);
}

static void a_long_traceback_is_cut_between_characters(void **state)
{
    Fixture *f = *state;
    in_memory(f, defaults);
    char *text = malloc(DEAD_LETTERS_TEXT_BYTES + 10);
    memset(text, 'x', DEAD_LETTERS_TEXT_BYTES + 9);
    text[DEAD_LETTERS_TEXT_BYTES + 9] = '\0';
    memcpy(text + DEAD_LETTERS_TEXT_BYTES - 1, "\xc3\xa9", 2);
    Message *message = message_event(&(EventFields){.name = slice_of("a")});
    assert_int_equal(dead_letters_add(f->letters, message, "a", text, 0, 1), 1);
    message_unref(message);
    free(text);
    DeadLetter *letter = dead_letters_take(f->letters, 1);
    assert_int_equal(strlen(letter->traceback), DEAD_LETTERS_TEXT_BYTES - 1);
    dead_letter_free(letter);
}

static void a_restart_finds_the_letters_as_they_were(void **state)
{
    Fixture *f = *state;
    on_disk(f, defaults);
    add(f, "a", "{\n \"text\" : \"one\\ntwo\",\r\n \"n\":[1,2]}");
    add(f, "b\"\xc3\xa9", "");
    add(f, "c", "{\"cut");
    add(f, "gone", "1");
    dead_letter_free(dead_letters_take(f->letters, 4));
    dead_letters_flush(f->letters);
    on_disk(f, defaults);
    assert_string_equal(list(f), "1:a 2:b\"\xc3\xa9 3:c ");
    assert_int_equal(stats(f).broken, 0);
    assert_string_equal(stats(f).problem, "");

    DeadLetter *letter = dead_letters_take(f->letters, 1);
    const Message *message = letter->message;
    assert_int_equal(message->kind, MESSAGE_EVENT);
    assert_true(json_validate(message->payload, NULL));
    assert_true(slice_is(json_find(message->payload, "text"), "\"one\\ntwo\""));
    assert_true(slice_is(message->state_version, "{\"v\":1}"));
    assert_int_equal(message->seq, 7);
    assert_int_equal(message->received_ms, 1700000000123);
    assert_int_equal(message->connection, 2);
    assert_string_equal(letter->handler, "agent.*");
    assert_string_equal(letter->traceback, "app.lua:3: no\nstack traceback:");
    assert_int_equal(letter->attempts, 1);
    dead_letter_free(letter);
    letter = dead_letters_take(f->letters, 3);
    assert_true(slice_is(letter->message->payload, "{\"cut")); /* broken as it came */
    dead_letter_free(letter);
    letter = dead_letters_take(f->letters, 2);
    assert_int_equal(letter->message->payload.size, 0);
    dead_letter_free(letter);
    assert_int_equal(add(f, "d", "1"), 5); /* 4 was used */
}

static void nobody_else_may_read_the_file(void **state)
{
    Fixture *f = *state;
    on_disk(f, defaults);
    add(f, "a", "1");
    struct stat about;
    assert_int_equal(stat(IN(&f->dir, "dead.jsonl"), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
}

static void broken_lines_are_skipped_and_counted_and_the_next_one_is_not_harmed(void **state)
{
    Fixture *f = *state;
    on_disk(f, defaults);
    add(f, "a", "1");
    temp_write_mode(IN(&f->dir, "dead.jsonl"), "nonsense\n{\"id\":-1}\n[]\n\n", O_APPEND);
    on_disk(f, defaults);
    add(f, "b", "2");
    temp_write_mode(IN(&f->dir, "dead.jsonl"), "{\"id\":9,\"event\":\"torn", O_APPEND);
    on_disk(f, defaults);
    assert_int_equal(stats(f).broken, 1);
    assert_string_equal(list(f), "1:a 2:b ");
    add(f, "c", "3");
    on_disk(f, defaults);
    assert_int_equal(stats(f).broken, 0);
    assert_string_equal(list(f), "1:a 2:b 3:c ");
}

static void the_file_stays_bounded_and_tells_what_the_ring_holds(void **state)
{
    Fixture *f = *state;
    DeadLetterLimits limits = {.max_count = 10, .max_bytes = 10000};
    on_disk(f, limits);
    size_t largest = 0;
    for (int i = 0; i < 500; i++) {
        struct stat about;
        add(f, "a", "{\"text\":\"something that takes some room in the file\"}");
        assert_int_equal(stat(IN(&f->dir, "dead.jsonl"), &about), 0);
        if ((size_t)about.st_size > largest) largest = (size_t)about.st_size;
    }
    assert_true(largest <= 2 * limits.max_bytes);
    assert_true(largest > limits.max_bytes); /* not written anew each time */
    assert_int_equal(temp_count(f->dir.path), 1);
    on_disk(f, limits);
    assert_string_equal(list(f), "491:a 492:a 493:a 494:a 495:a 496:a 497:a 498:a 499:a 500:a ");
    assert_int_equal(stats(f).evicted, 0);
}

static void ids_are_not_used_again_after_the_file_was_written_anew(void **state)
{
    Fixture *f = *state;
    DeadLetterLimits limits = {.max_count = 1, .max_bytes = 1000};
    on_disk(f, limits);
    for (int i = 0; i < 20; i++)
        add(f, "a", "1");
    temp_write_mode(IN(&f->dir, "dead.jsonl"), "torn", O_APPEND);
    on_disk(f, limits);
    dead_letter_free(dead_letters_take(f->letters, 20));
    dead_letters_flush(f->letters); /* written anew, for the torn line */
    on_disk(f, limits);
    assert_string_equal(list(f), "");
    assert_int_equal(add(f, "a", "1"), 21);
}

static void what_could_not_be_written_is_told_and_written_later(void **state)
{
    Fixture *f = *state;
    on_disk(f, defaults);
    assert_int_equal(mkdir(IN(&f->dir, "dead.jsonl"), 0700), 0);
    assert_int_equal(add(f, "a", "1"), 1);
    assert_int_equal(stats(f).unwritten, 1);
    assert_non_null(strstr(stats(f).problem, "dead.jsonl"));
    assert_string_equal(list(f), "1:a ");
    assert_int_equal(rmdir(IN(&f->dir, "dead.jsonl")), 0);
    add(f, "b", "2");
    on_disk(f, defaults);
    assert_string_equal(list(f), "1:a 2:b ");
}

typedef struct {
    Fixture *f;
    atomic_bool done;
    size_t taken;
} Taker;

static void note_id(void *context, const DeadLetter *letter)
{
    *(uint64_t *)context = letter->id;
}

/* The youngest; NULL if there is none. */
static DeadLetter *take_one(DeadLetters *letters)
{
    uint64_t id = 0;
    dead_letters_each(letters, note_id, &id);
    return id > 0 ? dead_letters_take(letters, id) : NULL;
}

static void *take_and_list(void *context)
{
    Taker *taker = context;
    bool last = false;
    while (!last) {
        last = atomic_load(&taker->done);
        list(taker->f);
        for (DeadLetter *letter; (letter = take_one(taker->f->letters)) != NULL; taker->taken++)
            dead_letter_free(letter);
    }
    return NULL;
}

static void one_thread_adds_while_another_lists_and_takes(void **state)
{
    Fixture *f = *state;
    on_disk(f, (DeadLetterLimits){.max_count = 20, .max_bytes = 20000});
    Taker taker = {.f = f};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, take_and_list, &taker), 0);
    for (int i = 0; i < 500; i++)
        add(f, "a", "{\"n\":1}");
    atomic_store(&taker.done, true);
    pthread_join(thread, NULL);
    DeadLetterStats now = stats(f);
    assert_int_equal(now.added, 500);
    assert_int_equal(taker.taken + now.evicted, 500);
    dead_letters_flush(f->letters);
    on_disk(f, (DeadLetterLimits){.max_count = 20, .max_bytes = 20000});
    assert_string_equal(list(f), "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(letters_are_listed_oldest_first_and_taken_once),
        TEST(the_ring_is_bounded_by_count_and_by_bytes),
        TEST(a_long_traceback_is_cut_between_characters),
        TEST(a_restart_finds_the_letters_as_they_were),
        TEST(nobody_else_may_read_the_file),
        TEST(broken_lines_are_skipped_and_counted_and_the_next_one_is_not_harmed),
        TEST(the_file_stays_bounded_and_tells_what_the_ring_holds),
        TEST(ids_are_not_used_again_after_the_file_was_written_anew),
        TEST(what_could_not_be_written_is_told_and_written_later),
        TEST(one_thread_adds_while_another_lists_and_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
