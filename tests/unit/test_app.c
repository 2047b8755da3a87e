/* test_app.c - an app on its thread: order per handler and key, waiting, responses, errors, memory, timers, stopping. */
#include "app/generation.h"

#include "app_rig.h"

/* --- tests -------------------------------------------------------------------------------------------------------------------- */

static void handlers_run_in_registration_order_and_by_pattern(void **state)
{
    (void)state;
    Bench bench;
    bench_start(&bench, "on('a.b', function(p) note('exact' .. p) end)\n"
                        "on('a.*', function(p, e) note('prefix' .. p .. e.name .. e.seq) end)\n"
                        "on('*', function(p) note('all' .. p) end)\n"
                        "on('@start', function(p) note('start') end)\n");
    send_event(&bench, "a.b", "1");
    send_event(&bench, "a", "2");
    send_event(&bench, "@ready", "3");
    send_event(&bench, "a.c", "4");
    await_note(&bench.world, "all4");
    assert_string_equal(bench.world.notes, "start exact1 prefix1a.b7 all1 all2 prefix4a.c7 all4 ");
    assert_int_equal(bench.world.subscriptions, 4);
    bench_stop(&bench);
}

static void a_waiting_handler_keeps_its_order_and_lets_others_run(void **state)
{
    (void)state;
    Bench bench;
    bench_start(&bench, "on('e', function(p) note('in' .. p) send() note('out' .. p) end)\n"
                        "on('e', function(p) note('other' .. p) end)\n");
    send_event(&bench, "e", "1");
    send_event(&bench, "e", "2");
    await_note(&bench.world, "other2");
    await_requests(&bench.world, 1);
    assert_string_equal(bench.world.notes, "in1 other1 other2 ");
    answer(&bench, 0, true, true, "0");
    await_requests(&bench.world, 2);
    assert_string_equal(bench.world.notes, "in1 other1 other2 out1 in2 ");
    answer(&bench, 1, true, true, "0");
    await_note(&bench.world, "out2");
    bench_stop(&bench);
}

static void concurrency_opens_a_handler_up(void **state)
{
    (void)state;
    Bench bench;
    bench_start(&bench, "on('e', function(p) note('in' .. p) send() note('out' .. p) end, 2)\n");
    for (int i = 1; i <= 3; i++)
        send_event(&bench, "e", (const char *[]){"", "1", "2", "3"}[i]);
    await_requests(&bench.world, 2);
    assert_string_equal(bench.world.notes, "in1 in2 ");
    answer(&bench, 1, true, true, "0");
    await_note(&bench.world, "in3");
    assert_string_equal(bench.world.notes, "in1 in2 out2 in3 ");
    await_requests(&bench.world, 3);
    answer(&bench, 0, true, true, "0");
    answer(&bench, 2, true, true, "0");
    await_note(&bench.world, "out3");
    bench_stop(&bench);
}

static void keys_run_side_by_side_and_keep_order_each(void **state)
{
    (void)state;
    Bench bench;
    bench_start(
        &bench,
        "on('e', function(p) note('in' .. p) send() note('out' .. p) end, 0, function(p) return p // 10 end)\n");
    send_event(&bench, "e", "11");
    send_event(&bench, "e", "12");
    send_event(&bench, "e", "21");
    await_requests(&bench.world, 2);
    assert_string_equal(bench.world.notes, "in11 in21 ");
    answer(&bench, 0, true, true, "0");
    await_requests(&bench.world, 3);
    assert_string_equal(bench.world.notes, "in11 in21 out11 in12 ");
    answer(&bench, 1, true, true, "0");
    answer(&bench, 2, true, true, "0");
    await_note(&bench.world, "out12");
    bench_stop(&bench);
}

static void a_thousand_keys_leave_nothing_behind(void **state)
{
    (void)state;
    Bench bench;
    bench_start(&bench, "n = 0\n"
                        "on('e', function(p) n = n + 1 end, 0, function(p) return 'key' .. p end)\n"
                        "on('count', function() for _ = 1, 3 do collectgarbage() end note('n' .. n .. "
                        "(collectgarbage('count') < 400 and 'small' or 'large')) end)\n");
    for (int i = 0; i < 20000; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", i);
        send_event(&bench, "e", number);
    }
    send_event(&bench, "count", "0");
    await_note(&bench.world, "n20000small");
    bench_stop(&bench);
}

static void a_bounded_queue_drops_the_oldest_and_counts(void **state)
{
    (void)state;
    Bench bench;
    bench_start(&bench,
                "on('e', function(p) note('in' .. p) send() end, 0, nil, 2)\n on('last', function() note('seen') end)");
    for (int i = 0; i < 5; i++)
        send_event(&bench, "e", (const char *[]){"1", "2", "3", "4", "5"}[i]);
    send_event(&bench, "last", "0");
    await_note(&bench.world, "seen");
    AppStatus status;
    app_status(bench.app, 0, &status);
    assert_int_equal(status.dropped, 2);
    for (size_t i = 0; i < 3; i++) {
        await_requests(&bench.world, i + 1);
        answer(&bench, i, true, true, "0");
    }
    await_note(&bench.world, "in5");
    assert_string_equal(bench.world.notes, "in1 seen in4 in5 ");
    bench_stop(&bench);
}

static void responses_errors_and_the_first_of_two(void **state)
{
    (void)state;
    Bench bench;
    bench_start(&bench, "on('e', function()\n"
                        "  note(send(nil, function(p) note('accepted' .. p) end))\n"
                        "  local v, err = send() note(tostring(v) .. err)\n"
                        "  v, err = send() note(tostring(v) .. #err)\n"
                        "end)\n");
    send_event(&bench, "e", "0");
    await_requests(&bench.world, 1);
    answer(&bench, 0, true, false, "5");
    await_note(&bench.world, "accepted5");
    answer(&bench, 0, true, true, "6");
    answer(&bench, 0, true, true, "7"); /* nobody waits for it any more */
    await_requests(&bench.world, 2);
    answer(&bench, 1, false, true, "FORBIDDEN");
    await_requests(&bench.world, 3);
    answer(&bench, 2, true, true, "BAD");
    await_note(&bench.world, "nil7");
    assert_non_null(strstr(bench.world.notes, "accepted5 6 nilFORBIDDEN "));
    bench_stop(&bench);
}

static void a_handler_that_raises_stops_nothing(void **state)
{
    (void)state;
    Bench bench;
    bench_start(&bench, "on('e', function(p) if p == 1 then error('oh no') end note('ok' .. p) end)\n"
                        "on('e', function(p) note('other' .. p) end)\n");
    send_event(&bench, "e", "1");
    send_event(&bench, "e", "2");
    await_note(&bench.world, "other2");
    assert_string_equal(bench.world.notes, "other1 ok2 other2 ");
    assert_non_null(strstr(bench.world.errors, "oh no"));
    assert_non_null(strstr(bench.world.errors, "stack traceback"));
    AppStatus status;
    app_status(bench.app, 0, &status);
    assert_int_equal(status.errors, 1);
    bench_stop(&bench);
}

static void a_payload_that_is_no_json_is_an_error_of_that_event(void **state)
{
    (void)state;
    Bench bench;
    bench_start(&bench, "on('e', function(p) note('ok' .. p) end)\n");
    send_event(&bench, "e", "BAD");
    send_event(&bench, "e", "2");
    await_note(&bench.world, "ok2");
    assert_non_null(strstr(bench.world.errors, "payload of event e is not valid JSON"));
    bench_stop(&bench);
}

static void memory_without_end_is_an_error_of_that_handler(void **state)
{
    (void)state;
    Bench bench;
    assert_true(
        bench_load(&bench,
                   "on('grow', function() local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end end)\n"
                   "on('e', function(p) note('ok' .. p) end)\n",
                   4 << 20, (InboxLimits){0}));
    app_start(bench.app);
    for (int i = 0; i < 3; i++)
        send_event(&bench, "grow", "0");
    send_event(&bench, "e", "1");
    await_note(&bench.world, "ok1");
    assert_non_null(strstr(bench.world.errors, "not enough memory"));
    assert_non_null(strstr(bench.world.errors, "4 MiB"));
    send_event(&bench, "e", "2"); /* another turn: garbage has been collected at the end of the last */
    await_note(&bench.world, "ok2");
    AppStatus status;
    app_status(bench.app, 0, &status);
    assert_true(status.memory_bytes < 2 << 20);
    bench_stop(&bench);
}

static void a_main_chunk_that_fails_says_where(void **state)
{
    (void)state;
    static const struct {
        const char *script, *problem;
    } cases[] = {{"local x = = 1", ":1: unexpected symbol"},
                 {"\nerror('nope')", ":2: nope"},
                 {"send()", "send waits"},
                 {"\033Lua", "binary"},
                 {"local t = {} while true do t = {t} end", "test: not enough memory (the app has "},
                 {"local t = {} while true do t = {t} end", " of its 1000 KiB; setting `memory`)"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Bench bench;
        assert_false(bench_load(&bench, cases[i].script, 1000 << 10, (InboxLimits){0}));
        if (!strstr(bench.problem, cases[i].problem)) fail_msg("%s: %s", cases[i].script, bench.problem);
        assert_true(app_free(bench.app));
        unlink(bench.path);
    }
}

static void a_main_chunk_that_takes_long_is_told(void **state)
{
    (void)state;
    Bench bench;
    assert_true(
        bench_load(&bench, "local begun = os.clock() repeat until os.clock() > begun + 1.2", 0, (InboxLimits){0}));
    assert_non_null(strstr(bench.world.errors, "has been running for 1 s: it registers handlers and returns"));
    assert_true(app_free(bench.app));
    unlink(bench.path);
}

static void a_loaded_app_that_is_never_started_is_freed(void **state)
{
    (void)state;
    Bench bench;
    assert_true(bench_load(&bench, "on('e', function() end)", 0, (InboxLimits){0}));
    assert_true(app_free(bench.app));
    unlink(bench.path);
}

static void tasks_sleep_and_are_cancelled(void **state)
{
    (void)state;
    Bench bench;
    bench_start(&bench,
                "on('e', function()\n"
                "  local id = spawn(function() local v, err = send() note(tostring(v)) sleep(1) note('never') end)\n"
                "  sleep(5) note('slept') cancel(id)\n"
                "end)\n");
    send_event(&bench, "e", "0");
    await_note(&bench.world, "nil");
    assert_string_equal(bench.world.notes, "slept nil ");
    assert_int_equal(bench.world.cancel_count, 1);
    bench_stop(&bench);
    assert_string_equal(bench.world.notes, "slept nil saved ");
    assert_string_equal(bench.world.errors, "");
}

static void waiting_where_nothing_can_wait_is_explained(void **state)
{
    (void)state;
    Bench bench;
    bench_start(&bench, "on('e', function() coroutine.wrap(function() send() end)() end)\n on('y', function() "
                        "coroutine.yield() end)\n");
    send_event(&bench, "e", "0");
    await(&bench.world, complained, "task.spawn", "an explanation");
    send_event(&bench, "y", "0");
    await(&bench.world, complained, "coroutine.yield outside", "another explanation");
    bench_stop(&bench);
}

static void stopping_cancels_requests_and_runs_stop_handlers(void **state)
{
    (void)state;
    Bench bench;
    bench_start(&bench, "on('e', function(p) note('in') local v, err = send() note('cancelled' .. tostring(v)) end)\n"
                        "on('@stop', function() sleep(5) note('stop') end)\n");
    send_event(&bench, "e", "1");
    await_requests(&bench.world, 1);
    bench_stop(&bench);
    assert_string_equal(bench.world.notes, "in cancellednil stop saved ");
    assert_int_equal(bench.world.cancel_count, 1);
}

static void no_event_reaches_a_handler_behind_stop(void **state)
{
    (void)state;
    Bench bench;
    bench_start(&bench, "on('e', function(p) note('in' .. p) send() note('out' .. p) end)\n"
                        "on('e', function(p) note('key' .. p) send() end, 0, function(p) return p % 2 end)\n"
                        "on('@stop', function() note('stop') end)\n");
    for (int i = 1; i <= 3; i++)
        send_event(&bench, "e", (const char *[]){"", "1", "2", "3"}[i]);
    await_requests(&bench.world, 3);
    bench_stop(&bench);
    assert_string_equal(bench.world.notes, "in1 key1 key2 out1 stop saved ");
    assert_non_null(strstr(bench.world.errors, "3 events that waited for their handler are not handled any more"));
}

static void handlers_may_come_and_go_while_events_flow(void **state)
{
    (void)state;
    Bench bench;
    bench_start(&bench, "local id\n"
                        "id = on('e', function(p) note('a' .. p) if p == 2 then off(id) on('e', function(q) note('b' "
                        ".. q) end) end end)\n"
                        "on('e', function(p) note('once' .. p) end, 0, nil, 0, true)\n");
    for (int i = 0; i < 3; i++)
        send_event(&bench, "e", (const char *[]){"1", "2", "3"}[i]);
    await_note(&bench.world, "b3");
    assert_string_equal(bench.world.notes, "a1 once1 a2 b3 ");
    bench_stop(&bench);
}

static void a_looping_key_function_is_seen_from_outside(void **state)
{
    (void)state;
    Bench bench;
    AppStatus status;
    bench_start(&bench, "on('e', function() end, 0, function() note('in') repeat until freed() end)\n");
    send_event(&bench, "e", "0");
    await_note(&bench.world, "in");
    app_status(bench.app, 1000, &status);
    assert_non_null(strstr(status.running, "e ("));
    unhang(&bench.world);
    bench_stop(&bench);
}

static void handlers_that_are_gone_leave_nothing_behind(void **state)
{
    (void)state;
    Bench bench;
    AppStatus before, after;
    bench_start(&bench, "on('e', function(p) for i = 1, 100 do off(on('some.event' .. i, function() end)) end\n"
                        "  collectgarbage() collectgarbage() note('round' .. p) end)\n");
    send_event(&bench, "e", "1"); /* what Lua's registry and the script itself need stays after the first round */
    send_event(&bench, "e", "2");
    await_note(&bench.world, "round2");
    app_status(bench.app, 0, &before);
    for (int i = 0; i < 200; i++)
        send_event(&bench, "e", "0");
    send_event(&bench, "e", "3");
    await_note(&bench.world, "round3");
    send_event(&bench, "e", "4"); /* another turn: what was removed is gone at the end of the last */
    await_note(&bench.world, "round4");
    app_status(bench.app, 0, &after);
    assert_in_range(after.memory_bytes, 0, before.memory_bytes + (1u << 20)); /* 200 rounds of 100 handlers are 5 MiB */
    bench_stop(&bench);
}

static void handlers_without_end_meet_the_limit(void **state)
{
    (void)state;
    Bench bench;
    assert_true(bench_load(&bench,
                           "on('e', function() while true do off(on('other', function() end)) end end)\n"
                           "on('e', function(p) note('alive' .. p) end)\n",
                           4u << 20, (InboxLimits){0}));
    assert_true(app_start(bench.app));
    send_event(&bench, "e", "1");
    await(&bench.world, complained, "not enough memory", "the error");
    await_note(&bench.world, "alive1");
    bench_stop(&bench);
}

static void a_looping_handler_is_seen_from_outside(void **state)
{
    (void)state;
    Bench bench;
    bench_start(&bench, "on('e', function() note('in') repeat until freed() end)\n");
    send_event(&bench, "e", "0");
    await_note(&bench.world, "in");
    AppStatus status;
    app_status(bench.app, 1000, &status);
    app_status(bench.app, 4000, &status);
    assert_int_equal(status.busy_ms, 3000);
    assert_non_null(strstr(status.running, "e ("));
    unhang(&bench.world);
    bench_stop(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handlers_run_in_registration_order_and_by_pattern),
        cmocka_unit_test(a_waiting_handler_keeps_its_order_and_lets_others_run),
        cmocka_unit_test(concurrency_opens_a_handler_up),
        cmocka_unit_test(keys_run_side_by_side_and_keep_order_each),
        cmocka_unit_test(a_thousand_keys_leave_nothing_behind),
        cmocka_unit_test(a_bounded_queue_drops_the_oldest_and_counts),
        cmocka_unit_test(responses_errors_and_the_first_of_two),
        cmocka_unit_test(a_handler_that_raises_stops_nothing),
        cmocka_unit_test(a_payload_that_is_no_json_is_an_error_of_that_event),
        cmocka_unit_test(memory_without_end_is_an_error_of_that_handler),
        cmocka_unit_test(a_main_chunk_that_fails_says_where),
        cmocka_unit_test(a_main_chunk_that_takes_long_is_told),
        cmocka_unit_test(a_loaded_app_that_is_never_started_is_freed),
        cmocka_unit_test(tasks_sleep_and_are_cancelled),
        cmocka_unit_test(waiting_where_nothing_can_wait_is_explained),
        cmocka_unit_test(stopping_cancels_requests_and_runs_stop_handlers),
        cmocka_unit_test(no_event_reaches_a_handler_behind_stop),
        cmocka_unit_test(handlers_may_come_and_go_while_events_flow),
        cmocka_unit_test(a_looping_key_function_is_seen_from_outside),
        cmocka_unit_test(handlers_that_are_gone_leave_nothing_behind),
        cmocka_unit_test(handlers_without_end_meet_the_limit),
        cmocka_unit_test(a_looping_handler_is_seen_from_outside),
    };
    return cmocka_run_group_tests_name("app", tests, NULL, NULL);
}
