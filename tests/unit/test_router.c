/* test_router.c - who gets which event, and in what order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/router.h"

#include <stdio.h>

#define APPS 3

typedef struct {
    Router *router;
    Inbox *inboxes[APPS];
    int pushes[APPS]; /* how often router_flush said so */
} World;

static int set_up(void **state)
{
    static World world;

    world = (World){.router = router_new()};
    for (int i = 0; i < APPS; i++) {
        world.inboxes[i] = inbox_new(&(InboxLimits){0}, NULL, NULL);
        assert_int_equal(router_add(world.router, world.inboxes[i]), i);
    }
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    World *world = *state;

    router_free(world->router);
    for (int i = 0; i < APPS; i++) {
        inbox_free(world->inboxes[i]);
    }
    return 0;
}

static void want(World *world, int number, const char *pattern, bool wanted)
{
    assert_true(router_subscribe(world->router, number, slice_of(pattern), wanted));
}

static int send(World *world, const char *name)
{
    return router_event(world->router, &(EventFields){.name = slice_of(name), .payload = slice_of("{}"), .seq = -1});
}

static void count_push(void *context, int number)
{
    World *world = context;
    world->pushes[number]++;
}

/* What an app has in its inbox now: the names, a comma behind each; responses are '#'. */
static const char *taken(World *world, int number)
{
    static char text[256];
    Message *messages[16];
    size_t count = inbox_take(world->inboxes[number], messages, 16, 0);

    *text = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(text);
        if (messages[i]->kind == MESSAGE_EVENT) {
            (void)snprintf(text + size, sizeof text - size, "%.*s,", SLICE_ARGS(messages[i]->name));
        } else {
            (void)snprintf(text + size, sizeof text - size, "#,");
        }
        message_unref(messages[i]);
    }
    return text;
}

static void flush(World *world)
{
    assert_int_equal(router_flush(world->router, count_push, world), 0);
}

static void exact_names_and_prefixes(void **state)
{
    World *world = *state;

    want(world, 0, "agent", true);
    want(world, 1, "session.*", true);
    want(world, 2, "*", true);
    assert_int_equal(send(world, "agent"), 2);
    assert_int_equal(send(world, "session.message"), 2);
    assert_int_equal(send(world, "session"), 1);
    assert_int_equal(send(world, "agents"), 1);
    flush(world);
    assert_string_equal(taken(world, 0), "agent,");
    assert_string_equal(taken(world, 1), "session.message,");
    assert_string_equal(taken(world, 2), "agent,session.message,session,agents,");
}

static void events_that_nobody_wants_go_nowhere(void **state)
{
    World *world = *state;

    want(world, 0, "agent", true);
    assert_int_equal(send(world, "tick"), 0);
    assert_int_equal(send(world, ""), 0);
    flush(world);
    assert_int_equal(world->pushes[0], 0);
}

static void an_app_gets_an_event_once_however_many_patterns_fit(void **state)
{
    World *world = *state;

    want(world, 0, "agent", true);
    want(world, 0, "a*", true);
    want(world, 0, "*", true);
    want(world, 1, "ag*", true);
    assert_int_equal(send(world, "agent"), 2);
    flush(world);
    assert_string_equal(taken(world, 0), "agent,");
    assert_string_equal(taken(world, 1), "agent,");
}

static void host_events_are_asked_for_by_name_only(void **state)
{
    World *world = *state;

    want(world, 0, "*", true);
    want(world, 1, "@*", true);
    want(world, 2, "@ready", true);
    assert_int_equal(send(world, "@ready"), 1);
    flush(world);
    assert_string_equal(taken(world, 0), "");
    assert_string_equal(taken(world, 1), "");
    assert_string_equal(taken(world, 2), "@ready,");
}

static void a_pattern_counts_its_handlers(void **state)
{
    World *world = *state;
    static const char *const patterns[] = {"agent", "ag*"};

    for (size_t i = 0; i < 2; i++) {
        want(world, 0, patterns[i], true);
        want(world, 0, patterns[i], true);
        want(world, 1, patterns[i], true);
        want(world, 0, patterns[i], false);
        assert_int_equal(send(world, "agent"), 2);
        want(world, 0, patterns[i], false);
        want(world, 0, patterns[i], false); /* one too many changes nothing */
        assert_int_equal(send(world, "agent"), 1);
        want(world, 1, patterns[i], false);
        assert_int_equal(send(world, "agent"), 0);
    }
    want(world, 0, "never there", false);
}

static void a_turn_is_pushed_once_and_in_order(void **state)
{
    World *world = *state;

    want(world, 0, "a", true);
    want(world, 0, "b", true);
    assert_int_equal(send(world, "a"), 1);
    assert_true(router_push(world->router, 0, message_response(1, 7, true, true, slice_of("{}"))));
    assert_int_equal(send(world, "b"), 1);
    assert_true(router_push_all(world->router, message_connection(slice_of("{}"))));
    flush(world);
    assert_string_equal(taken(world, 0), "a,#,b,#,");
    assert_string_equal(taken(world, 1), "#,");
    assert_int_equal(world->pushes[0], 1);
    assert_int_equal(world->pushes[1], 1);
    flush(world);
    assert_int_equal(world->pushes[0], 1);
}

static void a_message_that_could_not_be_made_is_counted(void **state)
{
    World *world = *state;

    assert_false(router_push(world->router, 0, NULL));
    assert_int_equal(router_flush(world->router, count_push, world), 1);
    assert_int_equal(router_flush(world->router, count_push, world), 0);
}

static void what_was_not_flushed_is_freed(void **state)
{
    World *world = *state;

    want(world, 0, "agent", true);
    assert_int_equal(send(world, "agent"), 1); /* the leak checker looks at tear_down */
}

static void collect(void *context, Slice pattern)
{
    char *text = context;
    size_t size = strlen(text);
    (void)snprintf(text + size, 64 - size, "%.*s ", SLICE_ARGS(pattern));
}

static void patterns_of_an_app(void **state)
{
    World *world = *state;
    char text[64] = "";

    want(world, 0, "agent", true);
    want(world, 0, "session.*", true);
    want(world, 1, "other", true);
    router_patterns(world->router, 0, collect, text);
    assert_string_equal(text, "agent session.* ");
}

static void many_names(void **state)
{
    World *world = *state;
    char name[32];

    for (int i = 0; i < 2000; i++) {
        (void)snprintf(name, sizeof name, "event.%d", i);
        want(world, i % APPS, name, true);
    }
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(name, sizeof name, "event.%d", i);
        assert_int_equal(send(world, name), 1);
        want(world, i % APPS, name, false);
        assert_int_equal(send(world, name), 0);
    }
}

static void a_shut_road_keeps_events_back_and_counts_them_once(void **state)
{
    World *world = *state;
    Message *batch[8];

    want(world, 0, "agent", true);
    want(world, 0, "*", true);
    want(world, 1, "agent", true);
    router_shut(world->router, 0, true);
    for (int64_t seq = 5; seq <= 7; seq++) {
        EventFields event = {.name = slice_of("agent"), .seq = seq};
        assert_int_equal(router_event(world->router, &event), 1);
    }
    assert_int_equal(send(world, "@ready"), 0);
    assert_true(router_push(world->router, 0, message_stop()));
    (void)router_flush(world->router, count_push, world);
    assert_int_equal(inbox_take(world->inboxes[0], batch, 8, 0), 1);
    assert_int_equal(batch[0]->kind, MESSAGE_STOP);
    message_unref(batch[0]);

    RouterWithheld withheld = router_withheld(world->router, 0);
    assert_int_equal(withheld.count, 3);
    assert_int_equal(withheld.first_seq, 5);
    assert_int_equal(withheld.last_seq, 7);
    router_forget_withheld(world->router, 0);
    assert_int_equal(router_withheld(world->router, 0).count, 0);
    router_shut(world->router, 0, false);
    assert_int_equal(send(world, "agent"), 2);
}

typedef struct {
    char text[128];
} Seen;

static void note_seen(void *context, int number, const Message *event)
{
    Seen *seen = context;
    size_t size = strlen(seen->text);
    (void)snprintf(seen->text + size, sizeof seen->text - size, "%d:%.*s,", number, SLICE_ARGS(event->name));
}

static void events_of_an_observed_app_are_seen_once_and_in_order(void **state)
{
    World *world = *state;
    Seen seen = {""};

    want(world, 0, "agent", true);
    want(world, 0, "a*", true);
    want(world, 0, "@ready", true);
    want(world, 1, "agent", true);
    send(world, "agent"); /* nobody looks */
    router_on_seen(world->router, note_seen, &seen);
    router_observe(world->router, 0, true);
    send(world, "agent");
    send(world, "@ready");
    send(world, "other");
    (void)router_push(world->router, 0, message_response(1, 1, true, true, slice_of("{}"))); /* no event */
    router_shut(world->router, 0, true);
    send(world, "agent"); /* it does not get it */
    router_shut(world->router, 0, false);
    assert_string_equal(seen.text, "0:agent,0:@ready,");
    router_observe(world->router, 0, false);
    send(world, "agent");
    router_observe(world->router, 1, true);
    router_on_seen(world->router, NULL, NULL);
    send(world, "agent");
    assert_string_equal(seen.text, "0:agent,0:@ready,");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(exact_names_and_prefixes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(events_that_nobody_wants_go_nowhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_app_gets_an_event_once_however_many_patterns_fit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(host_events_are_asked_for_by_name_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_pattern_counts_its_handlers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_turn_is_pushed_once_and_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_message_that_could_not_be_made_is_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_not_flushed_is_freed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(patterns_of_an_app, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(events_of_an_observed_app_are_seen_once_and_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_shut_road_keeps_events_back_and_counts_them_once, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
