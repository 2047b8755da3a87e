/* test_host_port.c - what an app asks of its host, and what comes back to its inbox. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/host_private.h"

#include <stdlib.h>
#include <unistd.h>

typedef struct {
    Loop *loop;
    Log *log;
    Host *host;
    Inbox *inbox;
    HostApp app;
    AppPort port;
    LoopTimer end;
} World;

static void never_ends(void *context, bool clean)
{
    (void)context;
    (void)clean;
    fail_msg("the host ended");
}

static void end_run(void *context)
{
    World *world = context;
    loop_stop(world->loop);
}

static int set_up(void **state)
{
    static World world;

    world = (World){.loop = loop_new(), .log = log_new(&(LogConfig){.level = LOG_ERROR, .fd = STDERR_FILENO})};
    world.host = host_new(world.loop, world.log, &(HostSink){.context = &world, .ended = never_ends});
    world.inbox = inbox_new(&(InboxLimits){0}, NULL, NULL);
    world.app = (HostApp){.host = world.host, .number = router_add(world.host->router, world.inbox)};
    world.host->apps =
        malloc(sizeof *world.host->apps); /* freed with the host; the app in it is not: it is not counted */
    assert_non_null(world.host->apps);
    world.host->apps[0] = &world.app;
    world.port = host_port(&world.app);
    world.end = (LoopTimer){.fire = end_run, .context = &world};
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    World *world = *state;

    host_free(world->host);
    inbox_free(world->inbox);
    log_free(world->log);
    loop_free(world->loop);
    return 0;
}

/* One turn: what was posted is run, what it brings is pushed. */
static void turn(World *world)
{
    assert_true(loop_timer_set(world->loop, &world->end, loop_now_ms(world->loop)));
    loop_run(world->loop);
}

/* An app names its requests with ever larger numbers; after weeks they have more than 48 bits. */
static void a_request_keeps_its_name_whatever_it_is(void **state)
{
    static const uint64_t names[] = {1, UINT64_C(1) << 48, UINT64_C(1) << 63, UINT64_MAX};
    World *world = *state;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        AppRequest request = {.method = slice_of("health"), .params = buffer_with_headroom(BUFFER_FRAME_HEADROOM)};
        Message *answer = NULL;
        buffer_append_text(&request.params, "{}");
        assert_true(world->port.request(world->port.context, NULL, names[i], &request));
        assert_int_equal(buffer_size(&request.params), 0);
        turn(world);
        assert_int_equal(inbox_take(world->inbox, &answer, 1, 0), 1);
        assert_int_equal(answer->kind, MESSAGE_RESPONSE);
        assert_true(answer->token == names[i]);
        assert_false(answer->ok);
        assert_true(answer->last);
        inbox_release(world->inbox, answer->size_bytes);
        message_unref(answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_keeps_its_name_whatever_it_is, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
