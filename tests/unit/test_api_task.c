/* test_api_task.c - task.spawn, sleep, all, race, cancel, and the timers, as scripts see them. */
#define _GNU_SOURCE /* nftw */
#include "api/api.h"

#include "api_rig.h"

static void spawn_and_sleep(void **state)
{
    (void)state;
    rig_check("local order = {}\n"
              "gw.on('@start', function()\n"
              "  task.spawn(function(...) order[#order + 1] = table.concat({ ... }, '+') end, 'a', 'b')\n"
              "  order[#order + 1] = 'first'\n"
              "  local before = gw.now()\n"
              "  assert(task.sleep(0.02) == true)\n"
              "  assert(gw.now() - before > 0.018)\n"
              "  assert(table.concat(order, ' ') == 'first a+b', table.concat(order, ' '))\n"
              "  log.info('done')\n"
              "end)");
    rig_refused("task.spawn('f')", "bad argument #1 to 'spawn' (function expected, got string)");
    rig_check("gw.on('@start', function()\n"
              "  for _, wrong in ipairs { -1, 0/0, 'x', '1' } do assert(not pcall(task.sleep, wrong)) end\n"
              "  log.info('done')\n"
              "end)");
}

/* The main chunk may spawn: the task runs once the app does. */
static void a_task_of_the_main_chunk_runs_after_it(void **state)
{
    (void)state;
    rig_check("local loaded = false\n"
              "task.spawn(function() assert(loaded) task.sleep(0) log.info('done') end)\n"
              "loaded = true");
}

static void cancel_ends_the_wait_once(void **state)
{
    (void)state;
    rig_check("gw.on('@start', function()\n"
              "  local seen, again\n"
              "  local t = task.spawn(function()\n"
              "    local no, err = task.sleep(100)\n"
              "    seen = not no and err.code\n"
              "    local ok, message = pcall(task.sleep, 1)\n"
              "    again = not ok and message\n"
              "  end)\n"
              "  task.sleep(0)\n"
              "  assert(t:cancel() == true)\n"
              "  task.sleep(0)\n"
              "  assert(seen == 'CANCELLED', seen)\n"
              "  assert(again:find('task.sleep: this task was cancelled', 1, true), again)\n"
              "  assert(t:cancel() == false)\n"
              "  log.info('done')\n"
              "end)");
}

/* The scheduler counts on finding a coroutine as it left it. */
static void nobody_else_resumes_a_task(void **state)
{
    (void)state;
    rig_check("gw.on('@start', function()\n"
              "  local co, seen\n"
              "  local t = task.spawn(function() co = coroutine.running() seen = select(2, task.sleep(100)).code end)\n"
              "  task.sleep(0)\n"
              "  t:cancel()\n"
              "  local ok, message = coroutine.resume(co, 1, 2, 3)\n"
              "  assert(not ok and message:find('cannot resume a task', 1, true), message)\n"
              "  ok, message = pcall(coroutine.close, co)\n"
              "  assert(not ok and message:find('cannot close a task', 1, true), message)\n"
              "  task.sleep(0)\n"
              "  assert(seen == 'CANCELLED')\n"
              "  assert(not coroutine.resume(co))\n"
              "  local own = coroutine.create(function(x) return coroutine.yield(x) end)\n"
              "  assert(select(2, coroutine.resume(own, 1)) == 1 and coroutine.close(own))\n"
              "  assert(not pcall(coroutine.resume, 1) and not pcall(coroutine.close))\n"
              "  log.info('done')\n"
              "end)");
}

static void pcall_works_over_a_wait(void **state)
{
    (void)state;
    rig_check("gw.on('@start', function()\n"
              "  local ok, err = pcall(function() task.sleep(0.001) error({ code = 1 }) end)\n"
              "  assert(not ok and err.code == 1)\n"
              "  local co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end)\n"
              "  assert(co() == 1 and co() == 2)\n"
              "  log.info('done')\n"
              "end)");
}

static void all_gives_a_result_for_each_key(void **state)
{
    (void)state;
    rig_check("gw.on('@start', function()\n"
              "  local before = gw.now()\n"
              "  local got = task.all { a = function() task.sleep(0.03) return 1 end, b = function() task.sleep(0.03) "
              "return 2 end }\n"
              "  assert(got.a == 1 and got.b == 2)\n"
              "  local list = task.all { function() return 'x', 'y' end, function() end, function() task.sleep(0) "
              "return 'z' end }\n"
              "  assert(list[1] == 'x' and list[2] == nil and list[3] == 'z')\n"
              "  assert(next(task.all {}) == nil)\n"
              "  log.info('done')\n"
              "end)");
}

static void the_first_failure_ends_all(void **state)
{
    (void)state;
    rig_check("gw.on('@start', function()\n"
              "  local other\n"
              "  local function long() local ok, err = task.sleep(100) other = err and err.code return ok, err end\n"
              "  local ok, message = pcall(task.all, { function() task.sleep(0.001) error('broken leg') end, long })\n"
              "  assert(not ok and message:find('main.lua:4: broken leg\\nstack traceback:', 1, true), message)\n"
              "  task.sleep(0)\n"
              "  assert(other == 'CANCELLED')\n"
              "  other = nil\n"
              "  local no, err = task.all { long, function() task.sleep(0.001) return nil, { code = 'MINE' } end }\n"
              "  assert(no == nil and err.code == 'MINE')\n"
              "  task.sleep(0)\n"
              "  assert(other == 'CANCELLED')\n"
              "  ok, err = pcall(task.all, { function() error({ code = 'TABLE' }) end })\n"
              "  assert(not ok and err.code == 'TABLE')\n"
              "  local thread = coroutine.create(print)\n"
              "  ok, err = pcall(task.all, { function() error(thread) end })\n"
              "  assert(not ok and err == thread)\n"
              "  local ran = false\n"
              "  pcall(task.all, { function() error('at once') end, function() task.sleep(0) ran = true end })\n"
              "  task.sleep(0.005)\n"
              "  assert(not ran)\n"
              "  log.info('done')\n"
              "end)");
}

static void race_gives_what_the_first_gives(void **state)
{
    (void)state;
    rig_check(
        "gw.on('@start', function()\n"
        "  local loser\n"
        "  local a, b, c = task.race {\n"
        "    function() local _, err = task.sleep(100) loser = err.code end,\n"
        "    function() task.sleep(0.001) return 1, nil, 3 end,\n"
        "  }\n"
        "  assert(a == 1 and b == nil and c == 3)\n"
        "  task.sleep(0)\n"
        "  assert(loser == 'CANCELLED')\n"
        "  local ok, message = pcall(task.race, { function() error('lost', 0) end, function() task.sleep(100) end })\n"
        "  assert(not ok and message:find('^lost\\nstack traceback'), message)\n"
        "  for _, wrong in ipairs { {}, { 1 }, 'x' } do assert(not pcall(task.race, wrong)) end\n"
        "  ok, message = pcall(function() task.race {} end)\n"
        "  assert(message:find('^%S+main.lua:13: bad argument #1 to'), message)\n"
        "  ok, message = pcall(function() task.all { print, 3 } end)\n"
        "  assert(message:find('main.lua:15: bad argument #1 to \\'task.all\\' ([2]: function expected, got number)', "
        "1, true), message)\n"
        "  log.info('done')\n"
        "end)");
}

static void cancelling_the_parent_cancels_the_children(void **state)
{
    (void)state;
    rig_check("gw.on('@start', function()\n"
              "  local begun, child, result\n"
              "  local parent = task.spawn(function()\n"
              "    local no, err = task.all { function()\n"
              "      begun = true\n"
              "      local _, e = task.sleep(100)\n"
              "      child = e.code\n"
              "    end }\n"
              "    result = no == nil and err.code\n"
              "  end)\n"
              "  repeat task.sleep(0) until begun\n"
              "  parent:cancel()\n"
              "  repeat task.sleep(0) until result and child\n"
              "  assert(result == 'CANCELLED' and child == 'CANCELLED')\n"
              "  log.info('done')\n"
              "end)");
}

static void an_error_in_a_task_is_logged_with_its_place(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_run(rig, "task.spawn(function() error('ouch') end)\n"
                 "timer.after(0, function() error('late ouch') end)\n"
                 "task.spawn(function() task.all { function() error('deep ouch') end } end)\n"
                 "task.spawn(coroutine.yield)\n"
                 "timer.after(0.03, function() log.info('end') end)");
    rig_await_log(rig, "info end");
    assert_non_null(strstr(rig->log, "error a task failed: "));
    assert_non_null(strstr(rig->log, "main.lua:1: ouch"));
    assert_non_null(strstr(rig->log, "error a timer failed: "));
    assert_non_null(strstr(rig->log, "main.lua:2: late ouch"));
    assert_non_null(strstr(rig->log, "main.lua:3: deep ouch"));
    assert_non_null(strstr(rig->log, "coroutine.yield outside of a coroutine"));
    rig_stop(rig);
    rig_free(rig);
}

/* --- timers ------------------------------------------------------------------------------------------------------- */

static void after_fires_once(void **state)
{
    (void)state;
    rig_check("local before, fired = gw.now(), 0\n"
              "timer.after(0.02, function() fired = fired + 1 assert(gw.now() - before > 0.018) end)\n"
              "local never = timer.after(0.01, function() error('cancelled') end)\n"
              "assert(never:cancel() == true and never:cancel() == false)\n"
              "local last = timer.after(0.05, function() assert(fired == 1) log.info('done') end)\n"
              "collectgarbage()");
}

/* Set and not kept by the script: it fires all the same. */
static void set_timers_survive_collections(void **state)
{
    (void)state;
    rig_check("local left = 50\n"
              "for i = 1, 50 do timer.after(i / 2000, function()\n"
              "  left = left - 1\n"
              "  collectgarbage()\n"
              "  if left == 0 then log.info('done') end\n"
              "end) end\n"
              "for _ = 1, 100 do timer.every(1, print):cancel() end\n"
              "collectgarbage()");
}

static void every_keeps_to_its_grid_one_call_at_a_time(void **state)
{
    (void)state;
    rig_check("local start, beats, running, t = gw.now(), {}, 0, nil\n"
              "t = timer.every(0.02, function()\n"
              "  running = running + 1\n"
              "  assert(running == 1)\n"
              "  beats[#beats + 1] = gw.now() - start\n"
              "  task.sleep(#beats == 2 and 0.05 or 0.001)\n"
              "  running = running - 1\n"
              "  if #beats < 5 then return end\n"
              "  assert(t:cancel())\n"
              "  for _, at in ipairs(beats) do assert(at > 0.018, at) end\n"
              /* The second call ran over at least two beats: they were skipped, not made up for. */
              "  assert(beats[3] - beats[2] > 0.048, beats[3] - beats[2])\n"
              "  for i = 4, 5 do assert(beats[i] - beats[i - 1] >= 0.01, beats[i] - beats[i - 1]) end\n"
              "  log.info('done')\n"
              "end)");
}

static void a_call_that_raises_does_not_end_every(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_run(rig,
            "local n = 0\n"
            "timer.every(0.005, function() n = n + 1 if n == 3 then log.info('third') end error('beat ' .. n) end)");
    rig_await_log(rig, "info third");
    assert_non_null(strstr(rig->log, "beat 1"));
    rig_stop(rig);
    rig_free(rig);
}

/* The next minute is too far away for a test: test_cron.c shows when it calls. */
static void cron_is_set_and_checked(void **state)
{
    (void)state;
    rig_check("local t = timer.cron('*/5 * * * *', print, { missed = 'once' })\n"
              "assert(t:cancel() == true and t:cancel() == false)\n"
              "timer.cron('@daily', print)\n"
              "timer.cron('0 9 * * mon-fri', print, { missed = 'skip' })\n"
              "log.info('done')");
    rig_refused("timer.cron('0 0 30 2 *', print)",
                "main.lua:1: bad argument #1 to 'cron' (\"0 0 30 2 *\" names a date that does not exist)");
    rig_refused("timer.cron('61 * * * *', print)", "the field minute (0-59), \"61\", is out of range");
    rig_refused("timer.cron('* * * * *')", "function expected");
    rig_refused("timer.cron('* * * * *', print, { missed = 'all' })", "\"skip\" or \"once\" is expected");
    rig_refused("timer.cron('* * * * *', print, { mised = 'once' })", "there is no option 'mised'; known: missed");
    rig_refused("timer.every(0, print)", "a number of seconds above 0");
    rig_refused("timer.after(-1, print)", "a number of seconds from 0 on");
    rig_refused("timer.after(1)", "function expected");
    rig_refused("timer.after('1', print)", "number expected");
    rig_refused("timer.every(1, print).cancel(print)", "gatehouse.timer expected");
}

static void timers_do_not_hold_up_the_end(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_run(rig, "timer.every(0.001, function() end)\n"
                 "timer.after(3600, print)\n"
                 "timer.cron('* * * * *', print)\n"
                 "gw.on('@stop', function() log.info('stop') end)");
    rig_stop(rig);
    assert_non_null(strstr(rig->log, "info stop"));
    assert_null(strstr(rig->log, "warn"));
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spawn_and_sleep),
        cmocka_unit_test(a_task_of_the_main_chunk_runs_after_it),
        cmocka_unit_test(cancel_ends_the_wait_once),
        cmocka_unit_test(nobody_else_resumes_a_task),
        cmocka_unit_test(pcall_works_over_a_wait),
        cmocka_unit_test(all_gives_a_result_for_each_key),
        cmocka_unit_test(the_first_failure_ends_all),
        cmocka_unit_test(race_gives_what_the_first_gives),
        cmocka_unit_test(cancelling_the_parent_cancels_the_children),
        cmocka_unit_test(an_error_in_a_task_is_logged_with_its_place),
        cmocka_unit_test(after_fires_once),
        cmocka_unit_test(set_timers_survive_collections),
        cmocka_unit_test(every_keeps_to_its_grid_one_call_at_a_time),
        cmocka_unit_test(a_call_that_raises_does_not_end_every),
        cmocka_unit_test(cron_is_set_and_checked),
        cmocka_unit_test(timers_do_not_hold_up_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
