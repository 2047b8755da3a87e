/* test_api_state_versions.c - how gw.state of an older version is converted, and what is left of it once its generation was replaced. */
#define _GNU_SOURCE /* nftw */
#include "api/api.h"

#include "api_rig.h"

#include <lauxlib.h>

/* Runs `text` from load to stop. */
static void run_once(Rig *rig, const char *text)
{
    rig->log[0] = 0;
    rig_run(rig, text);
    rig_stop(rig);
}

static void no_errors(const Rig *rig)
{
    if (strstr(rig->log, "error ") || strstr(rig->log, "warn ")) fail_msg("log:\n%s", rig->log);
}

/* --- versions ----------------------------------------------------------------------------------------------------- */

static void an_older_state_is_converted_once(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    run_once(rig, "gw.state.names = { 'a', 'b' }");
    run_once(rig, "gw.on_migrate(2, function(state, from)\n"
                  "  assert(from == 0 and next(state) == 'names' and gw.state.names == state.names)\n"
                  "  state.by_name = {}\n"
                  "  for i, name in ipairs(state.names) do state.by_name[name] = i end\n"
                  "  state.names = nil\n"
                  "end)\n"
                  "assert(gw.state.by_name.b == 2 and gw.state.names == nil)");
    no_errors(rig);
    run_once(rig, "gw.on_migrate(2, function() error('again') end)\nassert(gw.state.by_name.b == 2)");
    no_errors(rig);
    run_once(rig, "gw.on_migrate(3, function(state, from) assert(from == 2) return { old = state } end)\n"
                  "assert(gw.state.old.by_name.b == 2)");
    no_errors(rig);
    run_once(rig, "gw.on_migrate(4, function(_, from) assert(from == 3) gw.state = { assigned = true } end)\n"
                  "assert(gw.state.assigned)");
    no_errors(rig);
    rig_free(rig);
}

static void a_new_app_converts_nothing_into_something(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    run_once(rig,
             "gw.on_migrate(1, function(state, from) assert(from == 0 and next(state) == nil) state.made = true end)");
    no_errors(rig);
    run_once(rig, "gw.on_migrate(1, error)\nassert(gw.state.made)");
    no_errors(rig);
    rig_free(rig);
}

static void a_newer_state_is_taken_as_it_is_and_keeps_its_version(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    run_once(rig, "gw.on_migrate(5, function(state) state.a = 1 end)");
    run_once(rig, "gw.on_migrate(4, error)\ngw.state.a = gw.state.a + 1");
    assert_non_null(strstr(rig->log, "warn gw.state has version 5, which is newer than version 4 of gw.on_migrate"));
    run_once(rig, "gw.on_migrate(5, error)\nassert(gw.state.a == 2)");
    no_errors(rig);
    rig_free(rig);
}

static void a_conversion_that_fails_changes_nothing(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    run_once(rig, "gw.state.a = 1");
    static const char *const failing[][2] = {
        {"gw.on_migrate(1, function(state) state.a = 2 error('cannot convert') end)", "cannot convert"},
        {"gw.on_migrate(1, function(state) state.a = print end)", "main.lua:1: gw.state.a is a function"},
        {"gw.on_migrate(1, function() return 5 end)", "returned a number: a table is expected"},
        {"gw.on_migrate(0, print)", "versions are integers from 1 on"},
        {"gw.on_migrate(1.5, print)", "number has no integer representation"},
        {"gw.on_migrate(1)", "function expected"},
        {"gw.on_migrate(1, print) gw.on_migrate(2, print)", "gw.on_migrate was called already"},
        {"gw.on_migrate(1, function() task.sleep(1) end)", "task.sleep waits"},
    };
    for (size_t i = 0; i < sizeof failing / sizeof *failing; i++) {
        if (rig_load(rig, failing[i][0])) fail_msg("loaded: %s", failing[i][0]);
        if (!strstr(rig->problem, failing[i][1])) fail_msg("%s\n%s", failing[i][0], rig->problem);
        app_free(rig->app);
        rig->app = NULL;
    }
    run_once(rig, "assert(gw.state.a == 1)\n"
                  "gw.on('@start', function()\n"
                  "  local fine, problem = pcall(gw.on_migrate, 1, print)\n"
                  "  assert(not fine and problem:find('belongs into the main chunk', 1, true))\n"
                  "end)");
    no_errors(rig);
    rig_free(rig);
}

/* --- a generation that was replaced ------------------------------------------------------------------------------- */

static int retire(lua_State *L)
{
    api_bindings().retire(L);
    return 0;
}

static void open_with_retire(lua_State *L)
{
    lua_register(L, "retire", retire);
    api_open(L);
}

/* A script that has `retire`, and `lost(fn)`, which says that a write is refused. */
static void check_retired(const char *text)
{
    static const char *const head = "local function lost(write)\n"
                                    "  local fine, problem = pcall(write)\n"
                                    "  assert(not fine and problem.code == 'RELOADED', problem)\n"
                                    "  assert(tostring(problem):find('was replaced by a newer one'))\n"
                                    "end\n";
    char script[4096];
    Rig *rig = rig_new();
    rig->bindings.open = open_with_retire;
    assert_true(snprintf(script, sizeof script, "%s%s\nlog.info('done')", head, text) < (int)sizeof script);
    rig_run(rig, script);
    rig_await_log(rig, "info done");
    if (strstr(rig->log, "error ")) fail_msg("log:\n%s", rig->log);
    rig_stop(rig);
    rig_free(rig);
}

static void no_write_of_a_replaced_generation_is_lost_without_a_word(void **state)
{
    (void)state;
    check_retired("gw.state = { list = { 1, 2, { deep = true } }, n = 1 }\n"
                  "local list = gw.state.list\n"
                  "local deep = list[3]\n"
                  "retire()\n"
                  "lost(function() gw.state.n = 2 end)\n"
                  "lost(function() gw.state.other = 2 end)\n"
                  "lost(function() gw.state = {} end)\n"
                  "lost(function() list[1] = 5 end)\n"
                  "lost(function() list[4] = 5 end)\n"
                  "lost(function() deep.deep = nil end)\n"
                  "lost(function() table.insert(list, 4) end)\n"
                  "lost(function() table.remove(list) end)\n"
                  "lost(function() table.sort(list, function() return true end) end)\n"
                  "assert(not pcall(setmetatable, list, nil))\n"
                  "gw.state = gw.state\n"
                  "retire()\n"
                  "assert(gw.state.n == 1 and gw.state.list == list)");
}

static void a_replaced_generation_goes_on_reading(void **state)
{
    (void)state;
    check_retired(
        "local shared = { 's' }\n"
        "gw.state = { list = { 1, 2, 3, json.null }, map = { a = 1, b = shared }, c = shared, none = json.array() }\n"
        "gw.state.map.itself = gw.state.map\n"
        "local list, map, none = gw.state.list, gw.state.map, gw.state.none\n"
        "retire()\n"
        "assert(#list == 4 and list[2] == 2 and list[5] == nil and gw.state.list == list)\n"
        "assert(map.itself == map and map.b == shared and gw.state.c == shared and shared[1] == 's')\n"
        "local n = 0\n"
        "for i, v in ipairs(list) do n = n + 1 assert(v == (i == 4 and json.null or i)) end\n"
        "assert(n == 4)\n"
        "local names = {}\n"
        "for k, v in pairs(map) do names[#names + 1] = k assert(map[k] == v) end\n"
        "table.sort(names)\n"
        "assert(table.concat(names) == 'abitself')\n"
        "local all = 0\n"
        "for _ in pairs(gw.state) do all = all + 1 end\n"
        "assert(all == 4)\n"
        "assert(table.concat(list, ' ', 1, 3) == '1 2 3' and select('#', table.unpack(list)) == 4)\n"
        "assert(json.encode { list = list, none = none, b = map.b } and json.encode(list) == '[1,2,3,null]')\n"
        "assert(json.encode(none) == '[]' and json.encode { map.b, gw.state.c } == '[[\"s\"],[\"s\"]]')\n"
        "assert(not json.encode(map))\n" /* contains itself */
        "assert(next(list) == nil and rawget(list, 1) == nil)");
}

static void a_state_that_was_never_looked_at_is_frozen_too(void **state)
{
    (void)state;
    check_retired("retire()\nassert(gw.state.a == nil)\nlost(function() gw.state.a = 1 end)");
}

/* --- from one generation to the next ------------------------------------------------------------------------------ */

static bool has_news(const Rig *rig, const void *unused)
{
    (void)unused;
    return rig->news > 0;
}

/* Reloads the app with that script. */
static AppReloaded reload(Rig *rig, const char *text)
{
    AppReloaded result;
    rig_file(rig, "app/main.lua", text);
    assert_true(app_reload(rig->app, RELOAD_ASKED, "test"));
    while (!app_reloaded(rig->app, &result)) {
        rig_await(rig, has_news, NULL, "the end of the reload");
        pthread_mutex_lock(&rig->lock);
        rig->news = 0;
        pthread_mutex_unlock(&rig->lock);
    }
    return result;
}

static void reloaded(Rig *rig, const char *text)
{
    AppReloaded result = reload(rig, text);
    if (result.outcome != RELOADED_DONE) fail_msg("%s", result.text);
}

static void the_next_generation_goes_on_with_the_state(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_run(rig, "local tree = { n = 1, half = 0.5, list = json.array(), [7] = 'seven' }\n"
                 "gw.state = { tree = tree, again = tree }\n"
                 "gw.on('change', function() gw.state.tree.n = 2 log.info('changed') end)");
    rig_event(rig, "change", "{}");
    rig_await_log(rig, "info changed");
    reloaded(rig, "local s = gw.state\n"
                  "assert(s.tree == s.again and s.tree.n == 2 and s.tree.half == 0.5 and s.tree[7] == 'seven')\n"
                  "assert(json.encode(s.tree.list) == '[]')\n"
                  "s.tree.n = 3\n"
                  "gw.on_migrate(1, function(state, from) assert(from == 0) state.old = state.tree.n end)");
    reloaded(rig, "gw.on_migrate(1, error)\nassert(gw.state.old == 3)");
    rig_stop(rig);
    no_errors(rig);
    run_once(rig, "gw.on_migrate(1, error)\nassert(gw.state.old == 3 and gw.state.again.n == 3)");
    no_errors(rig);
    rig_free(rig);
}

static void generations_that_do_not_look_at_it_pass_it_on(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    run_once(rig, "gw.state.a = 1");
    rig_run(rig, "log.info('does not look')");
    reloaded(rig, "log.info('nor does this one')");
    reloaded(rig, "assert(gw.state.a == 1)\ngw.state.a = 2");
    reloaded(rig, "log.info('nor this one')");
    reloaded(rig, "assert(gw.state.a == 2)");
    rig_stop(rig);
    no_errors(rig);
    run_once(rig, "assert(gw.state.a == 2)");
    rig_free(rig);
}

static void a_state_that_cannot_be_carried_keeps_the_old_generation(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_run(rig, "gw.state.a = { b = {} }\n"
                 "gw.state.a.b.c = print\n"
                 "gw.on('mend', function() gw.state.a.b.c = 1 log.info('mended') end)");
    AppReloaded result = reload(rig, "gw.state.x = 1");
    assert_int_equal(result.outcome, RELOADED_FAILED);
    assert_non_null(strstr(result.text, "gw.state.a.b.c is a function, and gw.state holds plain data only"));
    rig_event(rig, "mend", "{}");
    rig_await_log(rig, "info mended");
    reloaded(rig, "assert(gw.state.a.b.c == 1 and gw.state.x == nil)");
    rig_stop(rig);
    no_errors(rig);
    rig_free(rig);
}

static void a_conversion_that_fails_keeps_the_old_generation_and_its_state(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_run(rig, "gw.state.a = 1\ngw.on('look', function() log.info('a is ' .. gw.state.a) end)");
    AppReloaded result = reload(rig, "gw.on_migrate(1, function(state) state.a = 2 error('cannot convert') end)");
    assert_int_equal(result.outcome, RELOADED_FAILED);
    assert_non_null(strstr(result.text, "main.lua:1: cannot convert"));
    rig_event(rig, "look", "{}");
    rig_await_log(rig, "info a is 1");
    reloaded(rig, "gw.on_migrate(1, function(state) state.a = 3 end)\nassert(gw.state.a == 3)");
    rig_stop(rig);
    no_errors(rig);
    rig_free(rig);
}

/* It waits for an answer, while another one takes over. */
static void what_a_replaced_generation_writes_is_refused_in_its_handler(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_run(rig, "gw.state = { n = 1, list = { 1 } }\n"
                 "gw.on('ask', function()\n"
                 "  local list = gw.state.list\n"
                 "  gw.send('status')\n"
                 "  local fine, err = pcall(function() list[2] = 2 end)\n"
                 "  assert(not fine and err.code == 'RELOADED' and #list == 1 and gw.state.n == 1)\n"
                 "  log.info('refused')\n"
                 "end)");
    rig_event(rig, "ask", "{}");
    RigRequest *request = rig_await_request(rig, 1);
    reloaded(rig, "assert(gw.state.n == 1)\ngw.state.n = 2");
    rig_answer(rig, request, true, true, "{}");
    rig_await_log(rig, "info refused");
    rig_stop(rig);
    no_errors(rig);
    run_once(rig, "assert(gw.state.n == 2 and #gw.state.list == 1)");
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_older_state_is_converted_once),
        cmocka_unit_test(a_new_app_converts_nothing_into_something),
        cmocka_unit_test(a_newer_state_is_taken_as_it_is_and_keeps_its_version),
        cmocka_unit_test(a_conversion_that_fails_changes_nothing),
        cmocka_unit_test(no_write_of_a_replaced_generation_is_lost_without_a_word),
        cmocka_unit_test(a_replaced_generation_goes_on_reading),
        cmocka_unit_test(a_state_that_was_never_looked_at_is_frozen_too),
        cmocka_unit_test(the_next_generation_goes_on_with_the_state),
        cmocka_unit_test(generations_that_do_not_look_at_it_pass_it_on),
        cmocka_unit_test(a_state_that_cannot_be_carried_keeps_the_old_generation),
        cmocka_unit_test(a_conversion_that_fails_keeps_the_old_generation_and_its_state),
        cmocka_unit_test(what_a_replaced_generation_writes_is_refused_in_its_handler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
