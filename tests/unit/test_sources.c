/* What a generation read is known afterwards: for the watch, for "nothing changed", and for going back. */
#define _GNU_SOURCE /* nftw */
#include "app/sources.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "temp_dir.h"

#define LIMIT_BYTES (1u << 20)

typedef struct {
    TempDir dir;
    Buffer content;
    char problem[512];
} Fixture;

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
    temp_dir_remove(f->dir.path);
    buffer_free(&f->content);
    free(f);
    return 0;
}

static FileResult take(Fixture *f, Sources *sources, const Sources *override, const char *name)
{
    buffer_clear(&f->content);
    return sources_read(sources, override, IN(&f->dir, name), LIMIT_BYTES, &f->content, f->problem, sizeof f->problem);
}

static void assert_reads(Fixture *f, Sources *sources, const Sources *override, const char *name, const char *text)
{
    assert_int_equal(take(f, sources, override, name), FILE_READ);
    assert_int_equal(buffer_size(&f->content), strlen(text));
    assert_memory_equal(buffer_slice(&f->content).data, text, strlen(text));
}

static void paths_are_listed_once_in_the_order_of_reading(void **state)
{
    Fixture *f = *state;
    Sources *sources = sources_new(0);
    temp_write(IN(&f->dir, "main.lua"), "return 1");
    assert_reads(f, sources, NULL, "main.lua", "return 1");
    assert_int_equal(take(f, sources, NULL, "absent.lua"), FILE_MISSING);
    assert_reads(f, sources, NULL, "main.lua", "return 1");
    sources_seal(sources);

    size_t count = 0;
    const char *const *paths = sources_paths(sources, &count);
    assert_int_equal(count, 2);
    assert_string_equal(paths[0], IN(&f->dir, "main.lua"));
    assert_string_equal(paths[1], IN(&f->dir, "absent.lua"));
    sources_unref(sources);
}

static void writing_the_same_content_again_changes_nothing(void **state)
{
    Fixture *f = *state;
    Sources *sources = sources_new(0);
    temp_write(IN(&f->dir, "a"), "text");
    temp_write(IN(&f->dir, "empty"), "");
    assert_reads(f, sources, NULL, "a", "text");
    assert_reads(f, sources, NULL, "empty", "");
    sources_seal(sources);
    temp_replace(IN(&f->dir, "a"), "text");
    assert_true(sources_same_on_disk(sources));
    temp_write(IN(&f->dir, "a"), "Text");
    assert_false(sources_same_on_disk(sources));
    temp_write(IN(&f->dir, "a"), "text");
    assert_true(sources_same_on_disk(sources));
    temp_write(IN(&f->dir, "empty"), "x");
    assert_false(sources_same_on_disk(sources));
    sources_unref(sources);
}

static void a_file_that_appears_goes_or_becomes_unreadable_is_a_change(void **state)
{
    Fixture *f = *state;
    Sources *sources = sources_new(0);
    temp_write(IN(&f->dir, "a"), "text");
    mkdir(IN(&f->dir, "folder"), 0700);
    assert_reads(f, sources, NULL, "a", "text");
    assert_int_equal(take(f, sources, NULL, "probed"), FILE_MISSING);
    assert_int_equal(take(f, sources, NULL, "folder"), FILE_FAILED);
    sources_seal(sources);
    assert_true(sources_same_on_disk(sources));
    temp_write(IN(&f->dir, "probed"), "");
    assert_false(sources_same_on_disk(sources));
    remove(IN(&f->dir, "probed"));
    assert_true(sources_same_on_disk(sources));
    remove(IN(&f->dir, "a"));
    assert_false(sources_same_on_disk(sources));
    mkdir(IN(&f->dir, "a"), 0700);
    assert_false(sources_same_on_disk(sources));
    remove(IN(&f->dir, "a"));
    temp_write(IN(&f->dir, "a"), "text");
    remove(IN(&f->dir, "folder"));
    assert_false(sources_same_on_disk(sources));
    sources_unref(sources);
}

static void of_a_file_that_is_read_again_the_last_content_counts(void **state)
{
    Fixture *f = *state;
    Sources *sources = sources_new(0);
    temp_write(IN(&f->dir, "counter"), "1");
    assert_reads(f, sources, NULL, "counter", "1");
    temp_write(IN(&f->dir, "counter"), "22");
    assert_reads(f, sources, NULL, "counter", "22");
    sources_seal(sources);
    assert_true(sources_same_on_disk(sources));
    SourcesStats stats;
    sources_stats(sources, &stats);
    assert_int_equal(stats.kept_bytes, 2);
    sources_unref(sources);
}

static void going_back_reads_what_was_then_and_misses_what_was_absent_then(void **state)
{
    Fixture *f = *state;
    Sources *good = sources_new(0), *again = sources_new(0);
    temp_write(IN(&f->dir, "main.lua"), "good");
    assert_reads(f, good, NULL, "main.lua", "good");
    assert_int_equal(take(f, good, NULL, "probed.lua"), FILE_MISSING);
    sources_seal(good);
    temp_write(IN(&f->dir, "main.lua"), "bad, and longer");
    temp_write(IN(&f->dir, "probed.lua"), "bad");
    temp_write(IN(&f->dir, "other.lua"), "other");

    assert_reads(f, again, good, "main.lua", "good");
    assert_int_equal(take(f, again, good, "probed.lua"), FILE_MISSING);
    assert_non_null(strstr(f->problem, "probed.lua"));
    assert_reads(f, again, good, "other.lua", "other");
    sources_seal(again);
    sources_unref(good);
    assert_false(sources_same_on_disk(again));
    Sources *third = sources_new(0); /* and once more back, with the first set gone */
    assert_reads(f, third, again, "main.lua", "good");
    sources_unref(third);
    sources_unref(again);
}

static void a_file_that_was_only_looked_for_is_a_change_when_it_is_there(void **state)
{
    Fixture *f = *state;
    Sources *before = sources_new(0), *after = sources_new(0);
    temp_write(IN(&f->dir, "there"), "text");
    assert_reads(f, before, NULL, "there", "text");
    assert_true(sources_has(before, NULL, IN(&f->dir, "there")));
    assert_false(sources_has(before, NULL, IN(&f->dir, "absent")));
    sources_seal(before);
    assert_true(sources_same_on_disk(before));
    temp_write(IN(&f->dir, "absent"), "");
    assert_false(sources_same_on_disk(before));
    unlink(IN(&f->dir, "there"));
    assert_true(sources_has(after, before, IN(&f->dir, "there"))); /* as it was then */
    assert_false(sources_has(after, before, IN(&f->dir, "absent")));
    sources_unref(before);
    sources_unref(after);
}

static void what_does_not_fit_is_known_by_its_hash_and_cannot_come_back(void **state)
{
    Fixture *f = *state;
    Sources *good = sources_new(10), *again = sources_new(10);
    temp_write(IN(&f->dir, "small"), "12345678");
    temp_write(IN(&f->dir, "large"), "1234567890a");
    assert_reads(f, good, NULL, "small", "12345678");
    assert_reads(f, good, NULL, "large", "1234567890a");
    sources_seal(good);
    SourcesStats stats;
    sources_stats(good, &stats);
    assert_int_equal(stats.kept_bytes, 8);
    assert_int_equal(stats.hashed_only, 1);
    assert_true(sources_same_on_disk(good));
    assert_reads(f, again, good, "large", "1234567890a"); /* unchanged: the one on the disk will do */

    temp_write(IN(&f->dir, "large"), "1234567890b");
    assert_false(sources_same_on_disk(good));
    assert_int_equal(take(f, again, good, "large"), FILE_FAILED);
    assert_non_null(strstr(f->problem, "too large to be kept"));
    assert_reads(f, again, good, "small", "12345678");
    sources_unref(good);
    sources_unref(again);
}

static void a_sealed_set_reads_and_does_not_remember(void **state)
{
    Fixture *f = *state;
    Sources *sources = sources_new(0);
    temp_write(IN(&f->dir, "a"), "1");
    assert_reads(f, sources, NULL, "a", "1");
    sources_seal(sources);
    temp_write(IN(&f->dir, "a"), "2");
    temp_write(IN(&f->dir, "b"), "3");
    assert_reads(f, sources, NULL, "a", "2");
    assert_reads(f, sources, NULL, "b", "3");
    assert_false(sources_same_on_disk(sources));
    size_t count = 0;
    sources_paths(sources, &count);
    assert_int_equal(count, 1);
    sources_unref(sources);
}

static void a_file_over_its_limit_is_remembered_as_that(void **state)
{
    Fixture *f = *state;
    Sources *sources = sources_new(0);
    temp_write(IN(&f->dir, "a"), "12345");
    buffer_clear(&f->content);
    assert_int_equal(sources_read(sources, NULL, IN(&f->dir, "a"), 4, &f->content, f->problem, sizeof f->problem),
                     FILE_TOO_LARGE);
    sources_seal(sources);
    assert_true(sources_same_on_disk(sources));
    temp_write(IN(&f->dir, "a"), "1234");
    assert_false(sources_same_on_disk(sources));
    sources_unref(sources);
}

static void a_script_that_probes_without_end_fills_the_set_and_no_more(void **state)
{
    Fixture *f = *state;
    Sources *sources = sources_new(0);
    for (int i = 0; i < SOURCES_MAX_FILES + 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "probe%d", i);
        assert_int_equal(take(f, sources, NULL, name), FILE_MISSING);
    }
    SourcesStats stats;
    sources_stats(sources, &stats);
    assert_int_equal(stats.files, SOURCES_MAX_FILES);
    assert_int_equal(stats.forgotten, 5);
    sources_unref(sources);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(paths_are_listed_once_in_the_order_of_reading, setup, teardown),
        cmocka_unit_test_setup_teardown(writing_the_same_content_again_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_appears_goes_or_becomes_unreadable_is_a_change, setup, teardown),
        cmocka_unit_test_setup_teardown(of_a_file_that_is_read_again_the_last_content_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(going_back_reads_what_was_then_and_misses_what_was_absent_then, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_file_that_was_only_looked_for_is_a_change_when_it_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_known_by_its_hash_and_cannot_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sealed_set_reads_and_does_not_remember, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_over_its_limit_is_remembered_as_that, setup, teardown),
        cmocka_unit_test_setup_teardown(a_script_that_probes_without_end_fills_the_set_and_no_more, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
