/* A change of a watched file is told, however it is made; others are not; and what is watched is given back. */
#define _GNU_SOURCE /* nftw */
#include "net/file_watch.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "temp_dir.h"

/* A test that waits for something that never comes ends by this. */
#define GIVE_UP_MS 10000

typedef struct {
    Loop *loop;
    LoopTimer give_up;
    FileWatch *watch;
    TempDir dir;
    int calls;
    bool gave_up, in_call;
    void (*then)(void *fixture); /* in the call */
} Fixture;

static void on_give_up(void *context)
{
    Fixture *f = context;
    f->gave_up = true;
    loop_stop(f->loop);
}

static void on_changed(void *context)
{
    Fixture *f = context;
    assert_false(f->in_call);
    f->calls++;
    if (f->then) f->then(f);
    loop_stop(f->loop);
}

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof *f);
    temp_dir_make(&f->dir);
    f->loop = loop_new();
    f->watch = file_watch_new(f->loop, on_changed, f);
    *state = f;
    return f->watch ? 0 : -1;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    file_watch_free(f->watch);
    loop_free(f->loop);
    temp_dir_remove(f->dir.path);
    free(f);
    return 0;
}

static void run(Fixture *f)
{
    f->give_up = (LoopTimer){.fire = on_give_up, .context = f};
    assert_true(loop_timer_set(f->loop, &f->give_up, loop_now_ms(f->loop) + GIVE_UP_MS));
    loop_run(f->loop);
    loop_timer_set(f->loop, &f->give_up, HEAP_NEVER);
    assert_false(f->gave_up);
}

static void set(Fixture *f, const char *name)
{
    TempPath path = temp_path(&f->dir, name);
    const char *paths[] = {path.text};
    f->in_call = true;
    assert_true(file_watch_set(f->watch, paths, 1));
    f->in_call = false;
    assert_null(file_watch_polls(f->watch));
}

/* What happened since the last look is told once. */
static void expect_one_call(Fixture *f)
{
    f->calls = 0;
    run(f);
    assert_int_equal(f->calls, 1);
}

/* Another watch that is told of a change made after all that came before: by then this one would have been told as
 * well. */
static void expect_no_call(Fixture *f)
{
    Fixture other = {.loop = f->loop, .dir = f->dir};
    other.watch = file_watch_new(f->loop, on_changed, &other);
    temp_write(IN(&f->dir, "witness"), "1");
    set(&other, "witness");
    temp_write(IN(&f->dir, "witness"), "2");
    f->calls = 0;
    run(&other);
    assert_int_equal(other.calls, 1);
    assert_int_equal(f->calls, 0);
    file_watch_free(other.watch);
}

static void make_folder(Fixture *f, const char *name)
{
    assert_int_equal(mkdir(IN(&f->dir, name), 0700), 0);
}

/* --- ways to write ------------------------------------------------------------------------------------------------ */

static void replacing_truncating_and_appending_are_told_once_each(void **state)
{
    Fixture *f = *state;
    temp_write(IN(&f->dir, "app.lua"), "1");
    set(f, "app.lua");
    temp_replace(IN(&f->dir, "app.lua"), "2");
    expect_one_call(f);
    temp_write(IN(&f->dir, "app.lua"), "3");
    expect_one_call(f);
    temp_write_mode(IN(&f->dir, "app.lua"), "4", O_APPEND);
    expect_one_call(f);
    temp_replace(IN(&f->dir, "app.lua"), "5"); /* still, after all this */
    expect_one_call(f);
    expect_no_call(f);
}

static void an_editor_that_moves_the_old_file_away_first_is_one_change(void **state)
{
    Fixture *f = *state;
    temp_write(IN(&f->dir, "app.lua"), "1");
    set(f, "app.lua");
    assert_int_equal(rename(IN(&f->dir, "app.lua"), IN(&f->dir, "app.lua~")), 0);
    temp_write(IN(&f->dir, "app.lua"), "2");
    expect_one_call(f);
    temp_write(IN(&f->dir, "app.lua~"), "the old one");
    expect_no_call(f);
}

typedef struct {
    Fixture *f;
    int fd;
    LoopTimer timer;
    bool finished;
} Slow;

static void finish_writing(void *context)
{
    Slow *slow = context;
    assert_int_equal(slow->f->calls, 0);
    assert_int_equal(write(slow->fd, "rest", 4), 4);
    close(slow->fd);
    slow->finished = true;
}

static void a_file_written_in_two_steps_is_told_when_it_is_closed(void **state)
{
    Fixture *f = *state;
    temp_write(IN(&f->dir, "app.lua"), "1");
    set(f, "app.lua");
    Slow slow = {.f = f, .fd = open(IN(&f->dir, "app.lua"), O_WRONLY | O_TRUNC | O_CLOEXEC)};
    assert_int_equal(write(slow.fd, "half", 4), 4);
    slow.timer = (LoopTimer){.fire = finish_writing, .context = &slow};
    loop_timer_set(f->loop, &slow.timer, loop_now_ms(f->loop) + 3 * FILE_WATCH_QUIET_MS);
    expect_one_call(f);
    assert_true(slow.finished);
}

static void a_file_that_stays_open_is_told_all_the_same(void **state)
{
    Fixture *f = *state;
    temp_write(IN(&f->dir, "data.json"), "1");
    set(f, "data.json");
    int fd = open(IN(&f->dir, "data.json"), O_WRONLY | O_CLOEXEC);
    assert_int_equal(write(fd, "2", 1), 1);
    expect_one_call(f);
    close(fd);
}

/* --- files that come and go --------------------------------------------------------------------------------------- */

static void a_file_that_is_created_later_is_told_also_deep_in_folders_that_are_not_there(void **state)
{
    Fixture *f = *state;
    set(f, "a/b/app.lua");
    make_folder(f, "a");
    make_folder(f, "a/b");
    temp_write(IN(&f->dir, "a/b/app.lua"), "1");
    expect_one_call(f);
    temp_write(IN(&f->dir, "a/b/app.lua"), "2");
    expect_one_call(f);
}

static void each_step_of_the_way_may_come_on_its_own(void **state)
{
    Fixture *f = *state;
    set(f, "a/b/app.lua");
    make_folder(f, "a");
    expect_one_call(f);
    make_folder(f, "a/b");
    expect_one_call(f);
    temp_write(IN(&f->dir, "a/b/app.lua"), "1");
    expect_one_call(f);
}

static void a_folder_that_is_removed_and_made_again_is_watched_again(void **state)
{
    Fixture *f = *state;
    make_folder(f, "app");
    temp_write(IN(&f->dir, "app/main.lua"), "1");
    set(f, "app/main.lua");
    temp_dir_remove(IN(&f->dir, "app"));
    expect_one_call(f);
    make_folder(f, "app");
    temp_write(IN(&f->dir, "app/main.lua"), "2");
    expect_one_call(f);
    temp_write(IN(&f->dir, "app/main.lua"), "3");
    expect_one_call(f);
}

static void a_folder_that_is_removed_while_somebody_stands_in_it_is_told(void **state)
{
    Fixture *f = *state;
    make_folder(f, "app");
    set(f, "app/main.lua");
    int held = open(IN(&f->dir, "app"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(rmdir(IN(&f->dir, "app")), 0);
    expect_one_call(f);
    make_folder(f, "app");
    temp_write(IN(&f->dir, "app/main.lua"), "2");
    expect_one_call(f);
    close(held);
}

static void a_folder_above_that_is_renamed_is_told(void **state)
{
    Fixture *f = *state;
    make_folder(f, "site");
    make_folder(f, "site/apps");
    make_folder(f, "site/apps/one");
    temp_write(IN(&f->dir, "site/apps/one/main.lua"), "1");
    set(f, "site/apps/one/main.lua");
    assert_int_equal(rename(IN(&f->dir, "site"), IN(&f->dir, "old")), 0);
    expect_one_call(f);
    temp_write(IN(&f->dir, "old/apps/one/main.lua"), "not ours any more");
    expect_no_call(f);
    assert_int_equal(rename(IN(&f->dir, "old"), IN(&f->dir, "site")), 0);
    expect_one_call(f);
}

/* --- links -------------------------------------------------------------------------------------------------------- */

static void swap_link(Fixture *f, const char *target)
{
    assert_int_equal(symlink(target, IN(&f->dir, "current.new")), 0);
    assert_int_equal(rename(IN(&f->dir, "current.new"), IN(&f->dir, "current")), 0);
}

static void a_release_that_is_swapped_by_its_link_is_told_and_the_new_one_watched(void **state)
{
    Fixture *f = *state;
    make_folder(f, "releases");
    make_folder(f, "releases/1");
    make_folder(f, "releases/2");
    temp_write(IN(&f->dir, "releases/1/app.lua"), "1");
    temp_write(IN(&f->dir, "releases/2/app.lua"), "2");
    swap_link(f, "releases/1");
    set(f, "current/app.lua");
    temp_write(IN(&f->dir, "releases/1/app.lua"), "1b");
    expect_one_call(f);
    swap_link(f, "releases/2");
    expect_one_call(f);
    temp_write(IN(&f->dir, "releases/1/app.lua"), "1c");
    expect_no_call(f);
    temp_replace(IN(&f->dir, "releases/2/app.lua"), "2b");
    expect_one_call(f);
    swap_link(f, IN(&f->dir, "releases/3")); /* to nothing yet, and absolute */
    expect_one_call(f);
    make_folder(f, "releases/3");
    temp_write(IN(&f->dir, "releases/3/app.lua"), "3");
    expect_one_call(f);
}

static void a_file_that_is_a_link_to_a_link_is_told_at_each_end(void **state)
{
    Fixture *f = *state;
    make_folder(f, "x");
    make_folder(f, "y");
    temp_write(IN(&f->dir, "y/real.lua"), "1");
    assert_int_equal(symlink("../y/real.lua", IN(&f->dir, "x/link.lua")), 0);
    assert_int_equal(symlink("x/link.lua", IN(&f->dir, "app.lua")), 0);
    set(f, "app.lua");
    temp_write(IN(&f->dir, "y/real.lua"), "2");
    expect_one_call(f);
    remove(IN(&f->dir, "x/link.lua"));
    expect_one_call(f);
    temp_replace(IN(&f->dir, "app.lua"), "a file now");
    expect_one_call(f);
    temp_write(IN(&f->dir, "y/real.lua"), "3");
    expect_no_call(f);
}

static void links_in_a_circle_are_as_good_as_absent(void **state)
{
    Fixture *f = *state;
    assert_int_equal(symlink("b", IN(&f->dir, "a")), 0);
    assert_int_equal(symlink("a", IN(&f->dir, "b")), 0);
    set(f, "a/app.lua");
    remove(IN(&f->dir, "b"));
    make_folder(f, "b");
    temp_write(IN(&f->dir, "b/app.lua"), "1");
    expect_one_call(f);
    temp_write(IN(&f->dir, "b/app.lua"), "2");
    expect_one_call(f);
}

/* --- storms, and silence ------------------------------------------------------------------------------------------ */

static void a_thousand_writes_are_one_call(void **state)
{
    Fixture *f = *state;
    temp_write(IN(&f->dir, "app.lua"), "1");
    set(f, "app.lua");
    for (int i = 0; i < 1000; i++) {
        temp_write(IN(&f->dir, "app.lua"), "text");
        temp_replace(IN(&f->dir, "app.lua"), "text");
    }
    expect_one_call(f);
    expect_no_call(f);
}

typedef struct {
    Fixture *f;
    LoopTimer timer;
    int64_t until_ms;
} Storm;

static void write_again(void *context)
{
    Storm *storm = context;
    Fixture *f = storm->f;
    int64_t now_ms = loop_now_ms(f->loop);
    temp_write(IN(&f->dir, "app.lua"), "text");
    if (now_ms < storm->until_ms) loop_timer_set(f->loop, &storm->timer, now_ms + 1);
}

static void a_storm_without_end_is_told_twice_a_second(void **state)
{
    Fixture *f = *state;
    temp_write(IN(&f->dir, "app.lua"), "1");
    set(f, "app.lua");
    int64_t start_ms = loop_now_ms(f->loop);
    Storm storm = {.f = f, .until_ms = INT64_MAX};
    storm.timer = (LoopTimer){.fire = write_again, .context = &storm};
    loop_timer_set(f->loop, &storm.timer, start_ms);
    run(f);
    run(f);
    loop_timer_set(f->loop, &storm.timer, HEAP_NEVER);
    assert_int_equal(f->calls, 2);
    assert_true(loop_now_ms(f->loop) - start_ms >= 2 * FILE_WATCH_MOST_MS);
}

static void other_files_of_the_same_folder_are_nobodys_business(void **state)
{
    Fixture *f = *state;
    temp_write(IN(&f->dir, "app.lua"), "1");
    set(f, "app.lua");
    for (int i = 0; i < 100; i++) {
        temp_write(IN(&f->dir, "app.log"), "line");
        temp_replace(IN(&f->dir, "other.lua"), "text");
    }
    remove(IN(&f->dir, "app.log"));
    make_folder(f, "folder");
    char byte;
    int fd = open(IN(&f->dir, "app.lua"), O_RDONLY | O_CLOEXEC); /* reading is no change either */
    assert_int_equal(read(fd, &byte, 1), 1);
    close(fd);
    expect_no_call(f);
}

static void a_replaced_set_is_silent(void **state)
{
    Fixture *f = *state;
    temp_write(IN(&f->dir, "old.lua"), "1");
    temp_write(IN(&f->dir, "new.lua"), "1");
    set(f, "old.lua");
    set(f, "new.lua");
    temp_write(IN(&f->dir, "old.lua"), "2");
    expect_no_call(f);
    temp_write(IN(&f->dir, "new.lua"), "2");
    expect_one_call(f);
    assert_true(file_watch_set(f->watch, NULL, 0));
    temp_write(IN(&f->dir, "new.lua"), "3");
    expect_no_call(f);
}

static void an_overflow_of_the_kernels_queue_counts_as_a_change(void **state)
{
    Fixture *f = *state;
    unsigned most = 0;
    FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
    if (!file || fscanf(file, "%u", &most) != 1) skip(); /* NOLINT(cert-err34-c) */
    fclose(file);
    temp_write(IN(&f->dir, "app.lua"), "1");
    set(f, "app.lua");
    int a = open(IN(&f->dir, "a"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int b = open(IN(&f->dir, "b"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (unsigned i = 0; i < most; i++) { /* of other files, and never the same twice, which the kernel would merge */
        assert_int_equal(fchmod(a, 0600), 0);
        assert_int_equal(fchmod(b, 0600), 0);
    }
    close(a);
    close(b);
    expect_one_call(f);
    temp_write(IN(&f->dir, "app.lua"), "2");
    expect_one_call(f);
}

static void set_again(void *fixture)
{
    Fixture *f = fixture;
    f->then = NULL;
    set(f, "other.lua");
    temp_write(IN(&f->dir, "other.lua"), "1");
}

static void the_set_may_be_replaced_in_the_call(void **state)
{
    Fixture *f = *state;
    set(f, "app.lua");
    f->then = set_again;
    temp_write(IN(&f->dir, "app.lua"), "1");
    expect_one_call(f);
    expect_one_call(f);
}

static void free_it(void *fixture)
{
    Fixture *f = fixture;
    file_watch_free(f->watch);
    f->watch = NULL;
}

static void it_may_be_freed_in_the_call(void **state)
{
    Fixture *f = *state;
    set(f, "app.lua");
    f->then = free_it;
    temp_write(IN(&f->dir, "app.lua"), "1");
    expect_one_call(f);
}

/* --- what the kernel gives ---------------------------------------------------------------------------------------- */

/* The kernel's watches of all inotify descriptors of this process. */
static size_t count_kernel_watches(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 256; fd++) {
        char name[64], line[512];
        snprintf(name, sizeof name, "/proc/self/fdinfo/%d", fd);
        FILE *file = fopen(name, "re");
        if (!file) continue;
        while (fgets(line, sizeof line, file))
            count += strncmp(line, "inotify wd:", 11) == 0;
        fclose(file);
    }
    return count;
}

static void descriptors_and_kernel_watches_are_given_back(void **state)
{
    Fixture *f = *state;
    set(f, "app.lua");
    temp_write(IN(&f->dir, "app.lua"), "0");
    expect_one_call(f);
    size_t descriptors = temp_count("/proc/self/fd"), watches = count_kernel_watches();
    for (int i = 0; i < 20; i++) {
        char name[64];
        snprintf(name, sizeof name, "folder%d", i);
        make_folder(f, name);
        snprintf(name, sizeof name, "folder%d/app.lua", i);
        set(f, name);
        temp_write(IN(&f->dir, name), "1");
        expect_one_call(f);
        file_watch_free(f->watch);
        f->watch = file_watch_new(f->loop, on_changed, f);
    }
    set(f, "app.lua");
    temp_write(IN(&f->dir, "app.lua"), "1");
    expect_one_call(f);
    assert_int_equal(temp_count("/proc/self/fd"), descriptors);
    assert_int_equal(count_kernel_watches(), watches);
}

static void without_the_kernels_help_the_files_are_looked_at_until_it_helps(void **state)
{
    Fixture *f = *state;
    temp_write(IN(&f->dir, "app.lua"), "1");
    struct rlimit was, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    TempPath path = temp_path(&f->dir, "app.lua");
    const char *paths[] = {path.text};
    assert_true(file_watch_set(f->watch, paths, 1));
    assert_non_null(strstr(file_watch_polls(f->watch), "max_user_instances"));
    assert_int_equal(truncate(path.text, 0), 0);
    expect_one_call(f);
    assert_non_null(file_watch_polls(f->watch));

    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    temp_write(path.text, "longer"); /* found by the next look, which is the last */
    expect_one_call(f);
    assert_null(file_watch_polls(f->watch));
    temp_write(path.text, "1");
    expect_one_call(f);
}

static bool write_proc(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) close(fd);
    return written;
}

/* The limit is set in a user namespace of this process, so this is the last test. Not everybody may have one. */
static void when_the_kernels_watches_run_out_the_files_are_looked_at(void **state)
{
    static const char limit[] = "/proc/sys/user/max_inotify_watches";
    Fixture *f = *state;
    char map[64];
    snprintf(map, sizeof map, "%u %u 1", getuid(), getuid());
    if (unshare(CLONE_NEWUSER) != 0 || !write_proc("/proc/self/uid_map", map) || !write_proc(limit, "2")) skip();
    make_folder(f, "a");
    make_folder(f, "a/b");
    temp_write(IN(&f->dir, "a/b/app.lua"), "1");
    TempPath path = temp_path(&f->dir, "a/b/app.lua");
    const char *paths[] = {path.text};
    assert_true(file_watch_set(f->watch, paths, 1));
    assert_non_null(strstr(file_watch_polls(f->watch), "max_user_watches"));
    temp_write(path.text, "longer");
    expect_one_call(f);
    assert_true(write_proc(limit, "1000"));
    temp_write(path.text, "even longer"); /* found by the next look, which is the last */
    expect_one_call(f);
    assert_null(file_watch_polls(f->watch));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(replacing_truncating_and_appending_are_told_once_each),
        TEST(an_editor_that_moves_the_old_file_away_first_is_one_change),
        TEST(a_file_written_in_two_steps_is_told_when_it_is_closed),
        TEST(a_file_that_stays_open_is_told_all_the_same),
        TEST(a_file_that_is_created_later_is_told_also_deep_in_folders_that_are_not_there),
        TEST(each_step_of_the_way_may_come_on_its_own),
        TEST(a_folder_that_is_removed_and_made_again_is_watched_again),
        TEST(a_folder_that_is_removed_while_somebody_stands_in_it_is_told),
        TEST(a_folder_above_that_is_renamed_is_told),
        TEST(a_release_that_is_swapped_by_its_link_is_told_and_the_new_one_watched),
        TEST(a_file_that_is_a_link_to_a_link_is_told_at_each_end),
        TEST(links_in_a_circle_are_as_good_as_absent),
        TEST(a_thousand_writes_are_one_call),
        TEST(a_storm_without_end_is_told_twice_a_second),
        TEST(other_files_of_the_same_folder_are_nobodys_business),
        TEST(a_replaced_set_is_silent),
        TEST(an_overflow_of_the_kernels_queue_counts_as_a_change),
        TEST(the_set_may_be_replaced_in_the_call),
        TEST(it_may_be_freed_in_the_call),
        TEST(descriptors_and_kernel_watches_are_given_back),
        TEST(without_the_kernels_help_the_files_are_looked_at_until_it_helps),
        TEST(when_the_kernels_watches_run_out_the_files_are_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
