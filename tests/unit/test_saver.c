/* test_saver.c - the newest reaches the disk, a disk that takes its time holds up nobody, and what fails is told once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/saver.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FOREVER INT64_MAX

/* A disk that stops when the test wants it to. */
typedef struct {
    Saver *saver;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char written[256]; /* each followed by a space */
    char told[256];
    bool stopped, full, in_write, signals_open;
} Disk;

static bool write_to(void *context, Slice bytes, char *problem, size_t size)
{
    Disk *disk = context;
    sigset_t blocked;
    pthread_mutex_lock(&disk->lock);
    disk->in_write = true;
    pthread_cond_broadcast(&disk->changed);
    while (disk->stopped)
        pthread_cond_wait(&disk->changed, &disk->lock);
    disk->in_write = false;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    disk->signals_open |= !sigismember(&blocked, SIGTERM);
    size_t used = strlen(disk->written);
    bool written = !disk->full;
    if (written) snprintf(disk->written + used, sizeof disk->written - used, "%.*s ", SLICE_ARGS(bytes));
    if (!written) snprintf(problem, size, "no room for %.*s", SLICE_ARGS(bytes));
    pthread_mutex_unlock(&disk->lock);
    return written;
}

static void tell(void *context, const char *problem)
{
    Disk *disk = context;
    pthread_mutex_lock(&disk->lock);
    size_t used = strlen(disk->told);
    snprintf(disk->told + used, sizeof disk->told - used, "%s; ", problem);
    pthread_cond_broadcast(&disk->changed);
    pthread_mutex_unlock(&disk->lock);
}

static void set(Disk *disk, bool stopped, bool full)
{
    pthread_mutex_lock(&disk->lock);
    disk->stopped = stopped;
    disk->full = full;
    pthread_cond_broadcast(&disk->changed);
    pthread_mutex_unlock(&disk->lock);
}

static void await_write(Disk *disk)
{
    pthread_mutex_lock(&disk->lock);
    while (!disk->in_write)
        pthread_cond_wait(&disk->changed, &disk->lock);
    pthread_mutex_unlock(&disk->lock);
}

static void await_told(Disk *disk)
{
    pthread_mutex_lock(&disk->lock);
    while (!disk->told[0])
        pthread_cond_wait(&disk->changed, &disk->lock);
    pthread_mutex_unlock(&disk->lock);
}

static Disk *disk_new(bool secret)
{
    Disk *disk = calloc(1, sizeof *disk);
    assert_non_null(disk);
    pthread_mutex_init(&disk->lock, NULL);
    pthread_cond_init(&disk->changed, NULL);
    disk->saver = saver_new(&(SaverConfig){.write = write_to, .failed = tell, .context = disk, .secret = secret});
    assert_non_null(disk->saver);
    (void)alarm(30); /* ends a test that hangs */
    return disk;
}

static void put(Disk *disk, const char *text)
{
    Buffer bytes = buffer_with_headroom(0);
    buffer_append_text(&bytes, text);
    assert_true(saver_put(disk->saver, &bytes));
    assert_null(bytes.base);
}

static void flush(Disk *disk)
{
    char problem[128];
    if (!saver_flush(disk->saver, FOREVER, problem, sizeof problem)) fail_msg("%s", problem);
}

/* What is expected to have been written in all. */
static void disk_free(Disk *disk, const char *written)
{
    (void)alarm(0);
    assert_true(saver_free(disk->saver));
    assert_string_equal(disk->written, written);
    assert_false(disk->signals_open);
    pthread_cond_destroy(&disk->changed);
    pthread_mutex_destroy(&disk->lock);
    free(disk);
}

static void what_is_put_is_written_without_signals(void **state)
{
    (void)state;
    Disk *disk = disk_new(false);
    put(disk, "a");
    flush(disk);
    put(disk, "b");
    flush(disk);
    disk_free(disk, "a b ");
}

static void a_saver_without_work_has_no_thread_to_wait_for(void **state)
{
    (void)state;
    Disk *disk = disk_new(false);
    flush(disk);
    disk_free(disk, "");
    assert_true(saver_free(NULL));
}

static void a_slow_disk_holds_up_nobody_and_the_newest_wins(void **state)
{
    (void)state;
    Disk *disk = disk_new(false);
    set(disk, true, false);
    put(disk, "first");
    await_write(disk);
    for (int i = 0; i < 1000; i++) {
        char text[16];
        snprintf(text, sizeof text, "n%d", i);
        put(disk, text);
    }
    set(disk, false, false);
    flush(disk);
    disk_free(disk, "first n999 ");
}

static void the_same_bytes_are_written_once(void **state)
{
    (void)state;
    Disk *disk = disk_new(false);
    put(disk, "a");
    put(disk, "a");
    flush(disk);
    put(disk, "a");
    flush(disk);
    put(disk, "b");
    put(disk, "a");
    flush(disk);
    char last = disk->written[strlen(disk->written) - 2];
    assert_int_equal(last, 'a');
    disk->written[2] = 0; /* whether "b" had its turn is up to the threads */
    disk_free(disk, "a ");
}

static void a_failure_is_told_and_tried_again_with_the_same_bytes(void **state)
{
    (void)state;
    Disk *disk = disk_new(false);
    set(disk, false, true);
    put(disk, "a");
    await_told(disk);
    assert_string_equal(disk->told, "no room for a; ");
    set(disk, false, false);
    put(disk, "a");
    flush(disk);
    disk_free(disk, "a ");
}

static void a_flush_tries_again_and_tells_itself(void **state)
{
    (void)state;
    char problem[128];
    Disk *disk = disk_new(false);
    set(disk, false, true);
    put(disk, "a");
    await_told(disk);
    assert_false(saver_flush(disk->saver, FOREVER, problem, sizeof problem));
    assert_string_equal(problem, "no room for a");
    assert_string_equal(disk->told, "no room for a; ");
    set(disk, false, false);
    flush(disk);
    disk_free(disk, "a ");
}

static void a_flush_does_not_wait_for_ever(void **state)
{
    (void)state;
    char problem[128];
    Disk *disk = disk_new(false);
    set(disk, true, false);
    put(disk, "a");
    assert_false(saver_flush(disk->saver, 1, problem, sizeof problem));
    assert_string_equal(problem, "the disk takes longer than 1 ms");
    set(disk, false, false);
    flush(disk);
    disk_free(disk, "a ");
}

static void the_newest_can_be_read_before_it_is_written(void **state)
{
    (void)state;
    Disk *disk = disk_new(false);
    Buffer out = buffer_with_headroom(0);
    assert_true(saver_latest(disk->saver, &out));
    assert_int_equal(buffer_size(&out), 0);
    set(disk, true, false);
    put(disk, "a");
    await_write(disk);
    put(disk, "b");
    assert_true(saver_latest(disk->saver, &out));
    assert_true(slice_is(buffer_slice(&out), "b"));
    set(disk, false, false);
    flush(disk);
    buffer_clear(&out);
    assert_true(saver_latest(disk->saver, &out));
    assert_true(slice_is(buffer_slice(&out), "b"));
    buffer_free(&out);
    disk_free(disk, "a b ");
}

static void secrets_are_not_kept(void **state)
{
    (void)state;
    Disk *disk = disk_new(true);
    Buffer out = buffer_with_headroom(0);
    put(disk, "a");
    flush(disk);
    assert_true(saver_latest(disk->saver, &out));
    assert_int_equal(buffer_size(&out), 0);
    put(disk, "a");
    flush(disk);
    disk_free(disk, "a a ");
}

static void *put_many(void *context)
{
    Disk *disk = context;
    for (int i = 0; i < 1000; i++)
        put(disk, i % 2 ? "a" : "b");
    return NULL;
}

static void many_may_put(void **state)
{
    (void)state;
    Disk *disk = disk_new(false);
    pthread_t threads[2];
    set(disk, true, false);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_many, disk), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    set(disk, false, false);
    put(disk, "end");
    flush(disk);
    assert_non_null(strstr(disk->written, "end "));
    disk->written[0] = 0;
    disk_free(disk, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_written_without_signals),
        cmocka_unit_test(a_saver_without_work_has_no_thread_to_wait_for),
        cmocka_unit_test(a_slow_disk_holds_up_nobody_and_the_newest_wins),
        cmocka_unit_test(the_same_bytes_are_written_once),
        cmocka_unit_test(a_failure_is_told_and_tried_again_with_the_same_bytes),
        cmocka_unit_test(a_flush_tries_again_and_tells_itself),
        cmocka_unit_test(a_flush_does_not_wait_for_ever),
        cmocka_unit_test(the_newest_can_be_read_before_it_is_written),
        cmocka_unit_test(secrets_are_not_kept),
        cmocka_unit_test(many_may_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
