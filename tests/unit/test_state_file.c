/* test_state_file.c - what an app keeps is on the disk whole, or is told to be broken and moved aside. */
#define _GNU_SOURCE /* nftw */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/state_file.h"

#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    char folder[64];
    char sentence[1024];
    Buffer bytes;
} World;

static int set_up(void **state)
{
    World *world = calloc(1, sizeof *world);
    assert_non_null(world);
    strcpy(world->folder, "/tmp/gatehouse-state-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    *state = world;
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

static int tear_down(void **state)
{
    World *world = *state;
    int status = nftw(world->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    buffer_free(&world->bytes);
    free(world);
    return status;
}

static const char *path_of(const World *world, const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", world->folder, name);
    return path;
}

static void make(const World *world, const char *name, Slice content)
{
    FILE *file = fopen(path_of(world, name), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(content.data, 1, content.size, file), content.size);
    assert_int_equal(fclose(file), 0);
}

static bool is_there(const World *world, const char *name)
{
    return access(path_of(world, name), F_OK) == 0;
}

static StateFileResult load(World *world, bool look_only)
{
    buffer_clear(&world->bytes);
    world->sentence[0] = 0;
    return state_file_read(world->folder, look_only, &world->bytes, world->sentence, sizeof world->sentence);
}

static void save(World *world, Slice bytes)
{
    if (!state_file_write(world->folder, bytes, world->sentence, sizeof world->sentence))
        fail_msg("%s", world->sentence);
}

/* The name of the one file that matches, in `name`. */
static void find_one(const World *world, const char *pattern, char name[256])
{
    glob_t found;
    assert_int_equal(glob(path_of(world, pattern), 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    snprintf(name, 256, "%s", found.gl_pathv[0]);
    globfree(&found);
}

static void what_was_written_is_read(void **state)
{
    World *world = *state;
    static const char content[] = "any\0bytes\xff";
    struct stat status;
    assert_int_equal(load(world, false), STATE_FILE_ABSENT);
    save(world, slice_make(content, sizeof content));
    assert_int_equal(load(world, false), STATE_FILE_DONE);
    assert_true(slice_equals(buffer_slice(&world->bytes), slice_make(content, sizeof content)));
    assert_int_equal(stat(path_of(world, "state.bin"), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    save(world, slice_of(""));
    assert_int_equal(load(world, false), STATE_FILE_DONE);
    assert_int_equal(buffer_size(&world->bytes), 0);
}

/* Of a good file every byte is changed, and it is cut off at every place. */
static void any_damage_is_seen_and_the_file_moved_aside(void **state)
{
    World *world = *state;
    char file[256], aside[256];
    save(world, slice_of("content"));
    FILE *good = fopen(path_of(world, "state.bin"), "r");
    assert_non_null(good);
    size_t size = fread(file, 1, sizeof file, good);
    fclose(good);
    assert_int_equal(size, 8 + 4 + 8 + 32 + 7);
    for (size_t i = 0; i < 2 * size; i++) {
        char damaged[256];
        memcpy(damaged, file, size);
        if (i < size) damaged[i] = (char)(damaged[i] ^ 1);
        if (i >= 9 && i < 12) continue; /* a newer format: the next test */
        Slice content = slice_make(damaged, i < size ? size : i - size);
        make(world, "state.bin", content);
        assert_int_equal(load(world, true), STATE_FILE_BROKEN);
        assert_non_null(strstr(world->sentence, "the app would begin with an empty gw.state"));
        assert_int_equal(load(world, false), STATE_FILE_BROKEN);
        assert_non_null(strstr(world->sentence, "moved to "));
        assert_int_equal(buffer_size(&world->bytes), 0);
        assert_false(is_there(world, "state.bin"));
        find_one(world, "state.bin.broken-*", aside);
        struct stat status;
        assert_int_equal(stat(aside, &status), 0);
        assert_int_equal(status.st_size, content.size);
        assert_int_equal(unlink(aside), 0);
    }
}

static void the_file_of_a_newer_release_is_left_alone(void **state)
{
    World *world = *state;
    make(world, "state.bin", slice_make("GHstate\n\2\0\0\0and so on", 21));
    assert_int_equal(load(world, false), STATE_FILE_FAILED);
    assert_non_null(strstr(world->sentence, "was written by a newer release of gatehouse"));
    assert_true(is_there(world, "state.bin"));
}

static void what_cannot_be_read_is_left_alone(void **state)
{
    World *world = *state;
    assert_int_equal(mkdir(path_of(world, "state.bin"), 0700), 0);
    assert_int_equal(load(world, false), STATE_FILE_FAILED);
    assert_non_null(strstr(world->sentence, "state.bin is not a file"));
}

static void the_json_of_an_earlier_release_is_read_once(void **state)
{
    World *world = *state;
    make(world, "state.json", slice_of(" {\"a\":1}"));
    for (int i = 0; i < 2; i++) { /* until something is saved */
        assert_int_equal(load(world, false), STATE_FILE_DONE);
        assert_true(slice_is(buffer_slice(&world->bytes), " {\"a\":1}"));
    }
    save(world, slice_of("new"));
    assert_false(is_there(world, "state.json"));
    assert_true(is_there(world, "state.json.imported"));
    assert_int_equal(unlink(path_of(world, "state.bin")), 0);
    assert_int_equal(load(world, false), STATE_FILE_ABSENT);
}

static void broken_json_is_moved_aside(void **state)
{
    World *world = *state;
    static const char *const broken[] = {"{\"a\":", "[1]", "", "{\"a\":\"\xff\"}", "nonsense"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char aside[256];
        make(world, "state.json", slice_of(broken[i]));
        assert_int_equal(load(world, false), STATE_FILE_BROKEN);
        assert_non_null(strstr(world->sentence, "state.json is broken (byte "));
        find_one(world, "state.json.broken-*", aside);
        assert_int_equal(unlink(aside), 0);
    }
}

static void what_a_crash_left_is_removed(void **state)
{
    World *world = *state;
    save(world, slice_of("content"));
    make(world, "state.bin.Ab12xY", slice_of("half"));
    make(world, "state.bin.broken-1", slice_of("kept"));
    make(world, "other.bin.Ab12xY", slice_of("not ours"));
    state_file_sweep(world->folder);
    assert_int_equal(load(world, false), STATE_FILE_DONE);
    assert_false(is_there(world, "state.bin.Ab12xY"));
    assert_true(is_there(world, "state.bin.broken-1") && is_there(world, "other.bin.Ab12xY"));
}

static void a_folder_that_is_gone_is_told(void **state)
{
    World *world = *state;
    assert_int_equal(rmdir(world->folder), 0);
    assert_false(state_file_write(world->folder, slice_of("x"), world->sentence, sizeof world->sentence));
    assert_non_null(strstr(world->sentence, "cannot write "));
    assert_int_equal(load(world, false), STATE_FILE_ABSENT);
    assert_int_equal(mkdir(world->folder, 0700), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_written_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(any_damage_is_seen_and_the_file_moved_aside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_file_of_a_newer_release_is_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_is_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_json_of_an_earlier_release_is_read_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(broken_json_is_moved_aside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_crash_left_is_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_that_is_gone_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
