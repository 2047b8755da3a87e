/* test_token_saver.c - device tokens reach the disk, and a disk that takes its time holds up nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/token_saver.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

typedef struct {
    char dir[64];
    DeviceTokenKey key;
    Log *log;
    TokenSaver *saver;
} World;

static int set_up(void **state)
{
    static World world;

    world = (World){.log = log_new(&(LogConfig){.level = LOG_WARN, .fd = STDERR_FILENO})};
    snprintf(world.dir, sizeof world.dir, "/tmp/gatehouse-test-XXXXXX");
    assert_non_null(mkdtemp(world.dir));
    world.key = (DeviceTokenKey){.state_dir = world.dir, .device_id = "d", .url = "ws://g", .role = "operator"};
    world.saver = token_saver_new(&world.key, world.log);
    assert_non_null(world.saver);
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    World *world = *state;
    char path[128];

    snprintf(path, sizeof path, "%s/device-tokens.json", world->dir);
    (void)unlink(path);
    log_free(world->log);
    return rmdir(world->dir);
}

static void expect_stored(World *world, const char *expected)
{
    char token[DEVICE_TOKENS_TOKEN_SIZE], message[512];

    token_saver_free(world->saver);
    world->saver = NULL;
    assert_true(device_tokens_get(&world->key, token, message, sizeof message));
    assert_string_equal(token, expected);
}

static void a_token_is_stored(void **state)
{
    World *world = *state;

    token_saver_put(world->saver, "first");
    expect_stored(world, "first");
}

static void a_dropped_token_is_gone(void **state)
{
    World *world = *state;

    token_saver_put(world->saver, "first");
    token_saver_put(world->saver, NULL);
    expect_stored(world, "");
}

static void a_token_that_is_too_long_changes_nothing(void **state)
{
    World *world = *state;
    char token[DEVICE_TOKENS_TOKEN_SIZE + 1];

    memset(token, 'x', sizeof token - 1);
    token[sizeof token - 1] = '\0';
    token_saver_put(world->saver, "first");
    token_saver_put(world->saver, token);
    expect_stored(world, "first");
}

/* The folder is locked by somebody else, which stops the writer as a slow disk would. */
static void a_slow_disk_holds_up_nobody_and_the_newest_token_wins(void **state)
{
    World *world = *state;
    int lock = open(world->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_int_equal(flock(lock, LOCK_EX), 0);
    (void)alarm(20); /* ends a test that hangs here */
    for (int i = 0; i < 1000; i++) {
        char token[32];
        snprintf(token, sizeof token, "token-%d", i);
        token_saver_put(world->saver, token);
    }
    (void)alarm(0);
    close(lock);
    expect_stored(world, "token-999");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_token_is_stored, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_dropped_token_is_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_token_that_is_too_long_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_slow_disk_holds_up_nobody_and_the_newest_token_wins, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
