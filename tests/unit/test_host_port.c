/* test_host_port.c - what an app asks of its host, and what comes back to its inbox. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/host_private.h"
#include "protocol/json.h"

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

static Message *next_answer(World *world)
{
    Message *answer = NULL;

    assert_int_equal(inbox_take(world->inbox, &answer, 1, 0), 1);
    inbox_release(world->inbox, answer->size_bytes);
    assert_int_equal(answer->kind, MESSAGE_RESPONSE);
    assert_true(answer->last);
    return answer;
}

static void ask(World *world, uint64_t token, size_t params_bytes)
{
    AppRequest request = {.method = slice_of("health"), .params = buffer_with_headroom(BUFFER_FRAME_HEADROOM)};

    memset(buffer_reserve(&request.params, params_bytes), ' ', params_bytes);
    buffer_commit(&request.params, params_bytes);
    assert_true(world->port.request(world->port.context, NULL, token, &request));
}

static void expect_refused(World *world, uint64_t token, const char *code)
{
    Message *answer = next_answer(world);

    assert_true(answer->token == token);
    assert_false(answer->ok);
    assert_true(slice_is(json_plain_string(json_find(answer->payload, "code")), code));
    message_unref(answer);
}

/* The loop stands still meanwhile: nothing is taken. */
static void an_app_that_asks_too_much_is_refused_until_the_host_has_taken_it(void **state)
{
    enum { COUNT = 80 };
    World *world = *state;

    for (uint64_t i = 0; i < COUNT; i++) {
        ask(world, i, 1u << 20);
        assert_true(atomic_load(&world->app.outbox_bytes) < HOST_OUTBOX_BYTES + (64u << 10));
    }
    turn(world);
    for (uint64_t i = 0; i < COUNT; i++) {
        expect_refused(world, i, i < 63 ? "NOT_CONNECTED" : "QUEUE_FULL");
    }
    assert_int_equal(atomic_load(&world->app.outbox_bytes), 0);
    ask(world, COUNT, 1u << 20);
    turn(world);
    expect_refused(world, COUNT, "NOT_CONNECTED");
}

#define TOO_MUCH (SIZE_MAX / 4) /* more than any machine has */

/* Under AddressSanitizer too, malloc then says no, as it does elsewhere. */
const char *__asan_default_options(void); // NOLINT(bugprone-reserved-identifier)
const char *__asan_default_options(void)  // NOLINT(bugprone-reserved-identifier)
{
    return "allocator_may_return_null=1";
}

static void a_request_is_answered_though_there_is_no_memory_for_the_answer(void **state)
{
    World *world = *state;
    SessionReply reply = {.token = 7, .last = true, .ok = true, .payload = {"{}", TOO_MUCH}};

    /* As the session does it with a request that was taken. */
    world->host->answers = calloc(1, sizeof *world->host->answers);
    assert_non_null(world->host->answers);
    host_reply(world->host, &reply);
    assert_null(world->host->answers);
    turn(world);
    expect_refused(world, 7, "NO_MEMORY");
    assert_null(world->host->owed);
}

/* Its thread is home, the news of it is still on the way. */
static void a_host_outlives_the_work_that_its_apps_have_posted(void **state)
{
    World *world = *state;
    HostApp *app = calloc(1, sizeof *app);

    assert_non_null(app);
    *app = (HostApp){.host = world->host, .started = true};
    world->host->apps[0] = app;
    world->host->app_count = 1;
    AppPort port = host_port(app);
    port.ended(port.context, NULL);
    host_free(world->host); /* AddressSanitizer tells in the turn, or at the end, if it frees too much or too little */
    turn(world);
    assert_true(app->has_ended);
}

/* An app names its requests with ever larger numbers; after weeks they have more than 48 bits. */
static void a_request_keeps_its_name_whatever_it_is(void **state)
{
    static const uint64_t names[] = {1, UINT64_C(1) << 48, UINT64_C(1) << 63, UINT64_MAX};
    World *world = *state;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        AppRequest request = {.method = slice_of("health"), .params = buffer_with_headroom(BUFFER_FRAME_HEADROOM)};
        buffer_append_text(&request.params, "{}");
        assert_true(world->port.request(world->port.context, NULL, names[i], &request));
        assert_int_equal(buffer_size(&request.params), 0);
        turn(world);
        expect_refused(world, names[i], "NOT_CONNECTED");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_keeps_its_name_whatever_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_app_that_asks_too_much_is_refused_until_the_host_has_taken_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_request_is_answered_though_there_is_no_memory_for_the_answer, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_host_outlives_the_work_that_its_apps_have_posted, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
