/* test_reload.c - one generation follows another: what the next one gets, what the old one keeps, and what a failed load changes
 * (nothing). */
#include "app/app.h"

#include "reload_rig.h"

static unsigned generation_of_app(const Bench *bench)
{
    AppStatus status;
    app_status(bench->app, 0, &status);
    return status.generation;
}

/* --- the next one takes over ---------------------------------------------------------------------------------------------------- */

static void the_next_one_takes_what_comes_from_then_on(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function(n) note('old' .. n) end)", (AppConfig){0});
    send_event(&bench, "e", "1");
    await_note(&bench.world, "old1");
    reload_well(&bench, "on('e', function(n) note('new' .. n) end)");
    send_event(&bench, "e", "2");
    await_note(&bench.world, "new2");
    assert_int_equal(generation_of_app(&bench), 2);
    await_drained(&bench);
    assert_int_equal(bench.world.subscriptions, 1);
    bench_stop(&bench);
    assert_null(strstr(bench.world.notes, "old2"));
}

static void the_next_one_begins_with_what_the_old_one_had_at_the_border(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "state = 0 on('e', function() state = state + 1 note('n' .. state) end)", (AppConfig){0});
    for (int i = 0; i < 3; i++)
        send_event(&bench, "e", "");
    await_note(&bench.world, "n3");
    reload_well(&bench, "state = tonumber(inherit()) on('e', function() state = state + 1 note('m' .. state) end)");
    send_event(&bench, "e", "");
    await_note(&bench.world, "m4");
    bench_stop(&bench);
}

static void the_old_one_is_told_that_it_ends(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('@stop', function(text) note('old' .. text) send() note('done') end)", (AppConfig){0});
    reload_well(&bench, "on('@stop', function(text) note('new' .. text) end)");
    await_note(&bench.world, "old{\"reason\":\"reload\"}");
    await_requests(&bench.world, 1); /* it may still wait, for a short time */
    answer(&bench, 0, true, true, "1");
    await_note(&bench.world, "done");
    await_drained(&bench);
    bench_stop(&bench);
    assert_non_null(strstr(bench.world.notes, "new{\"reason\":\"stop\"}"));
}

static void start_is_told_why(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "", (AppConfig){0});
    reload_well(&bench, "on('@start', function(text) note((text:gsub(' ', ''))) end)");
    await_note(&bench.world, "{\"generation\":2,\"reason\":\"test\"}");
    bench_stop(&bench);
}

/* --- it does not load ------------------------------------------------------------------------------------------------------------- */

static void assert_stays(const char *script, const char *problem)
{
    Bench bench;
    setup(&bench, "on('e', function(n) note('old' .. n) end)", (AppConfig){.memory_bytes = 8u << 20});
    AppReloaded result = reload(&bench, script);
    assert_int_equal(result.outcome, RELOADED_FAILED);
    if (!strstr(result.text, problem)) fail_msg("%s\nis not about\n%s", result.text, problem);
    send_event(&bench, "e", "1");
    await_note(&bench.world, "old1");
    assert_int_equal(generation_of_app(&bench), 1);
    assert_int_equal(bench.world.subscriptions, 1);
    bench_stop(&bench);
    assert_null(strstr(bench.world.notes, "new"));
    assert_string_equal(bench.world.errors, "");
}

static void what_does_not_load_changes_nothing(void **state)
{
    (void)state;
    assert_stays("on('e', function() note('new') end) local = 1", ":1: ");
    assert_stays("on('e', function() note('new') end) error('no')", ":1: no\nstack traceback:");
    assert_stays("on('e', function() note('new') end) inherit() error('after')", ":1: after");
    assert_stays("on('e', function() note('new') end) require 'not.there'", "module 'not.there' not found");
    assert_stays("on('e', function() note('new') end) local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end",
                 "not enough memory");
    assert_stays("on('e', function() note('new') end) on('@start', function() error('unwell') end)", "@start");
    assert_stays("on('e', function() note('new') end) on('@start', function() error('unwell') end)", "unwell");
    assert_stays("on('e', function() note('new') end) send()", "send");
}

static void a_main_chunk_without_end_is_given_up(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function(n) note('old' .. n) end)", (AppConfig){.load_ms = 50});
    begin_reload(&bench, "inherit() note('hangs') hang()");
    await_note(&bench.world, "hangs");
    AppReloaded result;
    while (!app_reloaded(bench.app, &result))
        app_tidy(bench.app, generation_now_ms());
    assert_int_equal(result.outcome, RELOADED_FAILED);
    assert_non_null(strstr(result.text, "did not come to an end"));
    send_event(&bench, "e", "1");
    await_note(&bench.world, "old1");
    unhang(&bench.world);
    bench_stop(&bench);
}

/* --- what waits ---------------------------------------------------------------------------------------------------------------------- */

static void events_that_waited_belong_to_the_next_one_and_keep_their_order(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function(n) note('old' .. n) send() note('end' .. n) end)", (AppConfig){0});
    for (int i = 1; i <= 3; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", i);
        send_event(&bench, "e", number);
    }
    await_requests(&bench.world, 1);
    reload_well(&bench, "on('e', function(n) note('new' .. n) end) on('f', function() note('f') end)");
    send_event(&bench, "f", "");
    await_note(&bench.world, "f"); /* another handler does not wait */
    assert_null(strstr(bench.world.notes, "new"));
    answer(&bench, 0, true, true, "1");
    await_note(&bench.world, "new3");
    await_drained(&bench);
    bench_stop(&bench);
    assert_true(strstr(bench.world.notes, "end1") < strstr(bench.world.notes, "new2"));
    assert_true(strstr(bench.world.notes, "new2") < strstr(bench.world.notes, "new3"));
    assert_null(strstr(bench.world.notes, "new1"));
    assert_null(strstr(bench.world.notes, "old2"));
}

static void the_order_of_a_key_holds_across_the_border(void **state)
{
    Bench bench;
    const char *script =
        "on('e', function(k) note('%s' .. k) if '%s' == 'old' and k == 'a' then send() note('enda') end end, "
        "0, function(k) return k end)";
    char old[256], new[256];
    (void)state;
    snprintf(old, sizeof old, script, "old", "old");
    snprintf(new, sizeof new, script, "new", "new");
    setup(&bench, old, (AppConfig){0});
    send_event(&bench, "e", "a");
    await_requests(&bench.world, 1);
    send_event(&bench, "e", "a");
    send_event(&bench, "e", "b");
    await_note(&bench.world, "oldb");
    reload_well(&bench, new);
    send_event(&bench, "e", "b");
    await_note(&bench.world, "newb"); /* this key does not wait, the other does */
    assert_null(strstr(bench.world.notes, "newa"));
    answer(&bench, 0, true, true, "1");
    await_note(&bench.world, "newa");
    assert_true(strstr(bench.world.notes, "enda") < strstr(bench.world.notes, "newa"));
    bench_stop(&bench);
}

static void a_part_of_an_event_goes_to_the_handler_that_it_waited_for(void **state)
{
    Bench bench;
    const char *script = "on('e', function(n) note('%sA' .. n) end) "
                         "on('e', function(n) note('%sB' .. n) if '%s' == 'old' then send() end end)";
    char old[256], new[256];
    (void)state;
    snprintf(old, sizeof old, script, "old", "old", "old");
    snprintf(new, sizeof new, script, "new", "new", "new");
    setup(&bench, old, (AppConfig){0});
    send_event(&bench, "e", "1");
    send_event(&bench, "e", "2");
    await_note(&bench.world, "oldA2");
    reload_well(&bench, new);
    answer(&bench, 0, true, true, "1");
    await_note(&bench.world, "newB2");
    await_drained(&bench);
    bench_stop(&bench);
    assert_null(strstr(bench.world.notes, "newA2"));
    assert_null(strstr(bench.world.notes, "oldB2"));
}

static void what_waits_longer_than_the_grace_gets_reloaded(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function(n) local _, err = send() note(err or 'answer') end)", (AppConfig){.grace_ms = 30});
    send_event(&bench, "e", "1");
    send_event(&bench, "e", "2");
    await_requests(&bench.world, 1);
    reload_well(&bench, "on('e', function(n) note('new' .. n) end)");
    await_note(&bench.world, "\"code\":\"RELOADED\"");
    await_note(&bench.world, "new2");
    await_drained(&bench);
    assert_int_equal(bench.world.cancel_count, 1);
    answer(&bench, 0, true, true, "late");
    send_event(&bench, "e", "3");
    await_note(&bench.world, "new3");
    bench_stop(&bench);
    assert_null(strstr(bench.world.notes, "answer"));
}

static void an_answer_finds_the_generation_that_asked(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function(n) note('old' .. send()) end)", (AppConfig){0});
    send_event(&bench, "e", "1");
    await_requests(&bench.world, 1);
    reload_well(&bench, "on('f', function(n) note('new' .. send()) end)");
    send_event(&bench, "f", "1");
    await_requests(&bench.world, 2);
    assert_int_equal(bench.world.requests[0], bench.world.requests[1]); /* both count from the same start */
    Message *message = message_response(2, bench.world.requests[1], true, true, slice_of("two"));
    assert_true(inbox_push(app_inbox(bench.app), &message, 1));
    await_note(&bench.world, "newtwo");
    answer(&bench, 0, true, true, "one");
    await_note(&bench.world, "oldone");
    bench_stop(&bench);
}

/* --- files ----------------------------------------------------------------------------------------------------------------------- */

static AppReloaded reload_as(Bench *bench, ReloadKind kind)
{
    assert_true(app_reload(bench->app, kind, "test"));
    return await_reloaded(bench);
}

static void what_has_not_changed_since_it_was_last_tried_is_not_loaded(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "note('one')", (AppConfig){0});
    assert_int_equal(reload_as(&bench, RELOAD_CHANGED).outcome, RELOADED_UNCHANGED);
    rewrite(&bench, "error('broken')");
    assert_int_equal(reload_as(&bench, RELOAD_CHANGED).outcome, RELOADED_FAILED);
    assert_int_equal(reload_as(&bench, RELOAD_CHANGED).outcome, RELOADED_UNCHANGED);
    rewrite(&bench, "note('two')");
    AppReloaded result = reload_as(&bench, RELOAD_CHANGED);
    assert_int_equal(result.outcome, RELOADED_DONE);
    assert_int_equal(reload_as(&bench, RELOAD_CHANGED).outcome, RELOADED_UNCHANGED);
    assert_int_equal(generation_of_app(&bench), result.generation);
    bench_stop(&bench);
    assert_null(strstr(bench.world.notes, "two two"));
}

static void the_way_back_leads_to_the_sources_that_were_loaded_before(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function() note('good') end)", (AppConfig){0});
    assert_false(app_reload(bench.app, RELOAD_BACK, "nothing to go back to"));
    reload_well(&bench, "on('e', function() note('bad') end)");
    rewrite(&bench, "on('e', function() note('newer') end)");
    await_drained(&bench);
    assert_int_equal(reload_as(&bench, RELOAD_BACK).outcome, RELOADED_DONE);
    send_event(&bench, "e", "");
    await_note(&bench.world, "good");
    await_drained(&bench);
    /* The disk was not asked: what is there now is still a change. */
    assert_int_equal(reload_as(&bench, RELOAD_CHANGED).outcome, RELOADED_DONE);
    send_event(&bench, "e", "");
    await_note(&bench.world, "newer");
    await_drained(&bench);
    assert_int_equal(reload_as(&bench, RELOAD_AGAIN).outcome, RELOADED_DONE);
    bench_stop(&bench);
}

/* --- several --------------------------------------------------------------------------------------------------------------------------- */

static void one_old_generation_drains_at_a_time_and_the_newest_wins(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function(n) send() note('end') end)", (AppConfig){0});
    send_event(&bench, "e", "1");
    await_requests(&bench.world, 1);
    reload_well(&bench, "on('e', function(n) note('two') end)");
    begin_reload(&bench, "note('loaded3') on('e', function(n) note('three') end)");
    await_note(&bench.world, "loaded3");
    /* It waits for its turn: a newer one takes its place. */
    rewrite(&bench, "on('e', function(n) note('four') end)");
    AppReloaded result = {.outcome = RELOADED_DONE};
    while (result.outcome != RELOADED_SUPERSEDED) {
        assert_false(app_reload(bench.app, RELOAD_ASKED, "newer"));
        (void)app_reloaded(bench.app, &result);
    }
    while (!app_reload(bench.app, RELOAD_ASKED, "newer"))
        app_tidy(bench.app, generation_now_ms());
    answer(&bench, 0, true, true, "1");
    result = await_reloaded(&bench);
    assert_int_equal(result.outcome, RELOADED_DONE);
    send_event(&bench, "e", "2");
    await_note(&bench.world, "four");
    bench_stop(&bench);
    assert_null(strstr(bench.world.notes, "three"));
}

static void a_hundred_reloads_leave_one_generation(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "state = 0", (AppConfig){0});
    for (int i = 1; i <= 100; i++) {
        reload_well(&bench, "state = tonumber(inherit()) + 1 on('e', function() note('at' .. state) end)");
        await_drained(&bench);
        app_tidy(bench.app, generation_now_ms());
        bench.world.notes[0] = '\0';
    }
    send_event(&bench, "e", "");
    await_note(&bench.world, "at100");
    await_drained(&bench);
    assert_int_equal(bench.world.subscriptions, 1);
    bench_stop(&bench);
}

/* --- stuck ------------------------------------------------------------------------------------------------------------------------------- */

static void a_generation_that_does_not_come_back_is_replaced_by_force(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function(n) note('old' .. n) if n == 1 then hang() note('after') end end)",
          (AppConfig){.cpu_ms = 1});
    send_event(&bench, "e", "1");
    send_event(&bench, "e", "2");
    await_note(&bench.world, "old1");
    reload_well(&bench, "on('e', function(n) note('new' .. n) end)");
    await_note(&bench.world, "new2");
    AppStatus status;
    app_status(bench.app, 0, &status);
    assert_int_equal(status.abandoned, 1);
    assert_int_equal(status.errors, 1);
    unhang(&bench.world);
    await(&bench.world, complained, "the generation was replaced while e (", "the end of what it did");
    send_event(&bench, "e", "3");
    await_note(&bench.world, "new3");
    bench_stop(&bench);
    assert_null(strstr(bench.world.notes, "old2"));
    assert_null(strstr(bench.world.notes, "new1"));
    assert_null(strstr(bench.world.notes, "after"));
}

static void one_that_comes_back_in_time_is_not_replaced_by_force(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "state = 0 on('e', function() note('in') hang() state = 1 note('back') end)",
          (AppConfig){.cpu_ms = 1});
    send_event(&bench, "e", "1");
    await_note(&bench.world, "in");
    begin_reload(&bench, "local s = inherit() note('got[' .. s .. ']') if s == '' then hang() end");
    await_note(&bench.world, "got[]");
    unhang(&bench.world);
    for (AppStatus status = {0}; !status.stands;)
        app_status(bench.app, 0, &status);
    unhang(&bench.world);
    AppReloaded result = await_reloaded(&bench);
    if (result.outcome == RELOADED_DONE) fail_msg("what the old generation did meanwhile is lost");
    assert_int_equal(result.outcome, RELOADED_CAME_BACK);
    reload_well(&bench, "note('got[' .. inherit() .. ']')");
    await_note(&bench.world, "got[1]");
    bench_stop(&bench);
}

/* --- stop ---------------------------------------------------------------------------------------------------------------------------------- */

static void stop_during_a_load_ends_both(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('@stop', function() note('oldstop') end)", (AppConfig){0});
    begin_reload(&bench, "inherit() note('loading') hang()");
    await_note(&bench.world, "loading");
    app_stop(bench.app);
    await_note(&bench.world, "oldstop");
    unhang(&bench.world);
    await(&bench.world, has_ended, NULL, "the end");
    AppReloaded result;
    assert_true(app_reloaded(bench.app, &result));
    assert_int_equal(result.outcome, RELOADED_FAILED);
    assert_true(app_free(bench.app));
    unlink(bench.path);
}

static void stop_reaches_the_one_that_drains(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function() local _, err = send() note(err) end)", (AppConfig){0});
    send_event(&bench, "e", "1");
    await_requests(&bench.world, 1);
    reload_well(&bench, "");
    bench_stop(&bench);
    assert_non_null(strstr(bench.world.notes, "RELOADED"));
}

/* --- eval ------------------------------------------------------------------------------------------------------------------------------------ */

static void code_is_evaluated_in_the_state_of_the_app(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "x = 20", (AppConfig){0});
    assert_true(app_eval(bench.app, 1, slice_of("x + 1, 'b'")));
    await_note(&bench.world, "eval1:ok:21 b ");
    assert_true(app_eval(bench.app, 2, slice_of("x = 5")));
    await_note(&bench.world, "eval2:ok: ");
    assert_true(app_eval(bench.app, 3, slice_of("error('no ' .. x)")));
    await_note(&bench.world, "eval3:failed:eval:1: no 5\nstack traceback:");
    assert_true(app_eval(bench.app, 4, slice_of("x +")));
    await_note(&bench.world, "eval4:failed:eval:1: ");
    assert_true(app_eval(bench.app, 5, slice_of("send()")));
    await_requests(&bench.world, 1);
    answer(&bench, 0, true, true, "late");
    await_note(&bench.world, "eval5:ok:late");
    bench_stop(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_one_takes_what_comes_from_then_on),
        cmocka_unit_test(the_next_one_begins_with_what_the_old_one_had_at_the_border),
        cmocka_unit_test(the_old_one_is_told_that_it_ends),
        cmocka_unit_test(start_is_told_why),
        cmocka_unit_test(what_does_not_load_changes_nothing),
        cmocka_unit_test(a_main_chunk_without_end_is_given_up),
        cmocka_unit_test(events_that_waited_belong_to_the_next_one_and_keep_their_order),
        cmocka_unit_test(the_order_of_a_key_holds_across_the_border),
        cmocka_unit_test(a_part_of_an_event_goes_to_the_handler_that_it_waited_for),
        cmocka_unit_test(what_waits_longer_than_the_grace_gets_reloaded),
        cmocka_unit_test(an_answer_finds_the_generation_that_asked),
        cmocka_unit_test(what_has_not_changed_since_it_was_last_tried_is_not_loaded),
        cmocka_unit_test(the_way_back_leads_to_the_sources_that_were_loaded_before),
        cmocka_unit_test(one_old_generation_drains_at_a_time_and_the_newest_wins),
        cmocka_unit_test(a_hundred_reloads_leave_one_generation),
        cmocka_unit_test(a_generation_that_does_not_come_back_is_replaced_by_force),
        cmocka_unit_test(one_that_comes_back_in_time_is_not_replaced_by_force),
        cmocka_unit_test(stop_during_a_load_ends_both),
        cmocka_unit_test(stop_reaches_the_one_that_drains),
        cmocka_unit_test(code_is_evaluated_in_the_state_of_the_app),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
