/* test_takeover.c - generations that do not come back, or come back late: what is replaced by force, what waits for whom, and what
 * is left behind (nothing). */
#include "app/app.h"

#include "reload_rig.h"

/* --- helpers ------------------------------------------------------------------------------------------------------------------ */

static bool none_is_left_behind(Bench *bench, void *unused)
{
    (void)unused;
    return status_of(bench).abandoned == 0;
}

static bool inbox_is_empty(Bench *bench, void *unused)
{
    (void)unused;
    return status_of(bench).inbox.count == 0;
}

static void push(const Bench *bench, Message *message)
{
    assert_true(inbox_push(app_inbox(bench->app), &message, 1));
}

#define MANY 100
#define MANY_TEXT "100"

static void send_numbers(Bench *bench, const char *name, int count)
{
    for (int i = 1; i <= count; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", i);
        send_event(bench, name, number);
    }
}

/* Lets one call end after the other, until that is noted or as many have ended as there are events. */
static void step_until(Bench *bench, const char *text)
{
    for (int i = 0; i < MANY; i++) {
        pthread_mutex_lock(&bench->world.lock);
        bool there = strstr(bench->world.notes, text) != NULL;
        pthread_mutex_unlock(&bench->world.lock);
        if (there) return;
        unhang(&bench->world);
        await_change(&bench->world);
    }
}

/* --- a generation that is replaced at a border ------------------------------------------------------------------------------------ */

static void calls_that_end_all_at_once_hold_nothing_back_any_more(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function() sleep(1000000) end, 200) on('ready', function() note('all') end)",
          (AppConfig){.grace_ms = 100});
    for (int i = 0; i < 200; i++)
        send_event(&bench, "e", "");
    send_event(&bench, "ready", "");
    await_note(&bench.world, "all");
    reload_well(&bench, "on('e', function(n) note('new' .. n) end) on('busy', function() note('busy') hang() end)");
    send_event(&bench, "busy", "");
    await_note(&bench.world, "busy");
    await_drained(&bench);
    send_event(&bench, "e", "1");
    unhang(&bench.world);
    await_note(&bench.world, "new1");
    bench_stop(&bench);
}

static void what_waits_in_a_lane_does_not_keep_the_next_one_waiting(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function(n) note('old' .. n) if n == 1 then send() else hang() end end)", (AppConfig){0});
    send_numbers(&bench, "e", MANY);
    await_requests(&bench.world, 1);
    answer(&bench, 0, true, true, "");
    await_note(&bench.world, "old2");
    begin_reload(&bench, "note('loaded') on('e', function(n) note('new' .. n) end)");
    await_note(&bench.world, "loaded");
    step_until(&bench, "new");
    await_note(&bench.world, "new" MANY_TEXT);
    bench_stop(&bench);
    assert_null(strstr(bench.world.notes, "old" MANY_TEXT));
}

static void an_event_for_a_handler_that_was_cancelled_goes_to_no_other(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench,
          "local id = on('e', function(n) send() end)\n"
          "on('e', function(n) note('second' .. n) end)\n"
          "on('off', function() off(id) note('cancelled') end)",
          (AppConfig){0});
    send_event(&bench, "e", "1");
    send_event(&bench, "e", "2"); /* the first handler has it in its lane */
    send_event(&bench, "off", "");
    await_note(&bench.world, "cancelled");
    reload_well(&bench, "on('e', function(n) note('new' .. n) end)");
    answer(&bench, 0, true, true, "");
    send_event(&bench, "e", "3");
    await_note(&bench.world, "new3");
    bench_stop(&bench);
    assert_null(strstr(bench.world.notes, "new2"));
}

static void start_knows_the_connection(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function() note('seen') end)", (AppConfig){0});
    push(&bench, message_connection(slice_of("{\"state\":\"ready\"}")));
    send_event(&bench, "e", "");
    await_note(&bench.world, "seen");
    reload_well(&bench, "on('@start', function() note('at' .. connection()) end)");
    await_note(&bench.world, "at{\"state\":\"ready\"}");
    bench_stop(&bench);
}

/* --- one that is stuck --------------------------------------------------------------------------------------------------------------- */

#define STUCK_SCRIPT                                                                                               \
    "on('w', function() send() end) on('w', function() end) on('e', function() note('stuck') hang() end) on('z', " \
    "print)"

/* It is at a call that nothing interrupts, with a request in flight and events that wait. */
static void get_stuck(Bench *bench)
{
    setup(bench, STUCK_SCRIPT,
          (AppConfig){.cpu_ms = 100, .inbox = {.high_count = 1, .limit_count = 100, .high_bytes = 1 << 20}});
    for (int i = 0; i < 4; i++)
        send_event(bench, "w", "");
    send_event(bench, "e", "");
    await_note(&bench->world, "stuck");
}

static void what_is_replaced_by_force_leaves_no_weight_and_no_subscription(void **state)
{
    Bench bench;
    (void)state;
    get_stuck(&bench);
    AppReloaded result =
        reload_well(&bench, "on('w', function() note('new') end) on('h', function() note('held') hang() end)");
    assert_non_null(strstr(result.text, "come back from e ("));
    await_note(&bench.world, "new new new ");
    await_app(&bench, inbox_is_empty, NULL, "an empty inbox");
    assert_int_equal(bench.world.subscriptions, 2);
    send_event(&bench, "h", "");
    await_note(&bench.world, "held");
    for (int i = 0; i < 3; i++)
        send_event(&bench, "w", "");
    assert_true(inbox_pressure(app_inbox(bench.app))); /* nobody waits for a response any more */
    unhang(&bench.world);
    unhang(&bench.world);
    await_app(&bench, none_is_left_behind, NULL, "the end of the stuck one");
    await_app(&bench, inbox_is_empty, NULL, "an empty inbox");
    assert_int_equal(bench.world.subscriptions, 2);
    bench_stop(&bench);
}

static bool has_letter(Bench *bench, void *unused)
{
    DeadLetterStats letters;
    (void)unused;
    app_dead_stats(bench->app, &letters);
    return letters.count == 1;
}

static void expect_letter_without_weight(Bench *bench)
{
    AppReloaded result = reload_well(bench, "on('f', print)");
    assert_non_null(strstr(result.text, "did not come back"));
    InboxStats inbox = status_of(bench).inbox;
    assert_int_equal(inbox.count, 0);
    assert_int_equal(inbox.bytes, 0);
    await_app(bench, has_letter, NULL, "the letter");
    unhang(&bench->world);
    await_app(bench, none_is_left_behind, NULL, "the end of the stuck one");
    inbox = status_of(bench).inbox;
    assert_int_equal(inbox.count, 0);
    assert_int_equal(inbox.bytes, 0);
    bench_stop(bench);
}

static void event_that_is_stuck_after_a_wait_fails_without_weight(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function() sleep(1) note('stuck') hang() end)", (AppConfig){.cpu_ms = 100});
    send_event(&bench, "e", "");
    await_note(&bench.world, "stuck");
    expect_letter_without_weight(&bench);
}

static void event_that_was_put_back_and_is_stuck_fails_without_weight(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function() if tried then note('stuck') hang() end tried = true error('no') end)",
          (AppConfig){.cpu_ms = 100});
    send_event(&bench, "e", "");
    await_app(&bench, has_letter, NULL, "the letter");
    assert_int_equal(app_dead_retry(bench.app, 0), 1);
    await_note(&bench.world, "stuck");
    expect_letter_without_weight(&bench);
}

static void event_that_was_left_and_is_stuck_fails_without_weight(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function() note('waits') sleep(1000000) end)", (AppConfig){.cpu_ms = 100, .grace_ms = 1});
    send_event(&bench, "e", "");
    send_event(&bench, "e", "");
    await_note(&bench.world, "waits");
    reload_well(&bench, "on('e*', function() note('stuck') hang() end)");
    await_note(&bench.world, "stuck");
    expect_letter_without_weight(&bench);
}

static void what_is_left_twice_is_handled_once(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('w', function() sleep(1000000) end) on('e', function() note('stuck') hang() end)",
          (AppConfig){.cpu_ms = 100});
    send_numbers(&bench, "w", MANY);
    send_event(&bench, "e", "");
    await_note(&bench.world, "stuck");
    reload_well(&bench, "on('w', function(n) note('second' .. n) hang() end)");
    await_note(&bench.world, "second2");
    begin_reload(&bench, "note('loaded') on('w', function(n) note('third' .. n) end)");
    await_note(&bench.world, "loaded");
    step_until(&bench, "third");
    await_note(&bench.world, "third" MANY_TEXT);
    bench_stop(&bench);
    for (int i = 2; i <= MANY; i++) {
        char second[32], third[32];
        snprintf(second, sizeof second, "second%d ", i);
        snprintf(third, sizeof third, "third%d ", i);
        assert_true(!strstr(bench.world.notes, second) != !strstr(bench.world.notes, third));
    }
}

static void a_load_has_all_its_time_behind_a_generation_that_is_stuck(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function() note('stuck') hang() end)", (AppConfig){.cpu_ms = 100, .load_ms = 500});
    send_event(&bench, "e", "");
    await_note(&bench.world, "stuck");
    reload_well(&bench, "on('e', function() end)");
    unhang(&bench.world);
    bench_stop(&bench);
}

static void who_evaluates_what_hangs_is_told_when_that_is_replaced(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "", (AppConfig){.cpu_ms = 100});
    assert_true(app_eval(bench.app, 1, slice_of("note('in'), hang()")));
    await_note(&bench.world, "in");
    reload_well(&bench, "note('new')");
    await_note(&bench.world, "eval1:failed:");
    unhang(&bench.world);
    bench_stop(&bench);
}

static void one_that_is_stuck_while_it_drains_does_not_keep_the_next_ones_waiting(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function() send() note('stuck') hang() end)", (AppConfig){.grace_ms = 1000, .stop_ms = 500});
    send_event(&bench, "e", "");
    await_requests(&bench.world, 1);
    reload_well(&bench, "on('e', function(n) note('second' .. n) end)");
    answer(&bench, 0, true, true, "");
    await_note(&bench.world, "stuck");
    send_event(&bench, "e", "2");
    reload_well(&bench, "on('e', function(n) note('third' .. n) end)");
    send_event(&bench, "e", "3");
    await_note(&bench.world, "third3");
    assert_true(!strstr(bench.world.notes, "second2") != !strstr(bench.world.notes, "third2"));
    assert_int_equal(status_of(&bench).abandoned, 1);
    await_drained(&bench);
    unhang(&bench.world);
    bench_stop(&bench);
}

/* --- a load that does not come to its end ---------------------------------------------------------------------------------------------- */

static bool is_given_up(Bench *bench, void *result)
{
    app_tidy(bench->app, generation_now_ms());
    return app_reloaded(bench->app, result);
}

static void what_was_given_up_is_not_tried_again_unchanged(void **state)
{
    Bench bench;
    AppReloaded result;
    (void)state;
    setup(&bench, "note('one')", (AppConfig){.load_ms = 50});
    begin_reload(&bench, "note('hangs') hang()");
    await_note(&bench.world, "hangs");
    await_app(&bench, is_given_up, &result, "the end of patience");
    assert_int_equal(result.outcome, RELOADED_FAILED);
    assert_true(app_reload(bench.app, RELOAD_CHANGED, "test"));
    assert_int_equal(await_reloaded(&bench).outcome, RELOADED_UNCHANGED);
    unhang(&bench.world);
    bench_stop(&bench);
}

/* Its thread never comes back: all that it uses stays. */
static void an_app_that_still_loads_is_left_alone_at_the_end(void **state)
{
    static Bench bench;
    (void)state;
    bench_make(&bench, "note('hangs') hang()", (AppConfig){0});
    assert_true(app_launch(bench.app));
    await_note(&bench.world, "hangs");
    assert_false(app_free(bench.app));
    unlink(bench.path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_that_end_all_at_once_hold_nothing_back_any_more),
        cmocka_unit_test(what_waits_in_a_lane_does_not_keep_the_next_one_waiting),
        cmocka_unit_test(an_event_for_a_handler_that_was_cancelled_goes_to_no_other),
        cmocka_unit_test(start_knows_the_connection),
        cmocka_unit_test(what_is_replaced_by_force_leaves_no_weight_and_no_subscription),
        cmocka_unit_test(event_that_is_stuck_after_a_wait_fails_without_weight),
        cmocka_unit_test(event_that_was_put_back_and_is_stuck_fails_without_weight),
        cmocka_unit_test(event_that_was_left_and_is_stuck_fails_without_weight),
        cmocka_unit_test(what_is_left_twice_is_handled_once),
        cmocka_unit_test(a_load_has_all_its_time_behind_a_generation_that_is_stuck),
        cmocka_unit_test(who_evaluates_what_hangs_is_told_when_that_is_replaced),
        cmocka_unit_test(one_that_is_stuck_while_it_drains_does_not_keep_the_next_ones_waiting),
        cmocka_unit_test(what_was_given_up_is_not_tried_again_unchanged),
        cmocka_unit_test(an_app_that_still_loads_is_left_alone_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
