/* test_api_state.c - gw.state: what it takes, what it refuses, and that it is there again after a restart. */
#define _GNU_SOURCE /* nftw */
#include "api/api.h"
#include "app/state_file.h"

#include "api_rig.h"

#include <glob.h>

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

static void state_survives_a_restart(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    struct stat status;
    run_once(rig, "assert(gw.state.failures == nil)\n"
                  "gw.state = gw.state or {}\n"
                  "gw.state.failures = (gw.state.failures or 0) + 1\n"
                  "gw.state.sessions = {}\n"
                  "gw.state.sessions['a:b'] = { n = 9007199254740993, list = json.array {}, half = 0.5, text = "
                  "'h\\u{e9}\\xff' }\n"
                  "gw.state[7], gw.state[2.5], gw.state[true] = 'seven', 1/0, gw.state.sessions\n"
                  "gw.state.gone = 1\n"
                  "gw.state.gone = nil\n"
                  "gw.state.whole = 2.0\n"
                  "gw.on('@stop', function() gw.state.stopped = true end)\n");
    no_errors(rig);
    char path[128];
    snprintf(path, sizeof path, "%s/state.bin", rig->data_dir);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    run_once(rig, "assert(gw.state.failures == 1 and gw.state.stopped == true and gw.state.gone == nil)\n"
                  "local s = gw.state.sessions['a:b']\n"
                  "assert(s.n == 9007199254740993 and s.half == 0.5 and s.text == 'h\\u{e9}\\xff')\n"
                  "assert(gw.state[7] == 'seven' and gw.state[2.5] == 1/0 and gw.state[true] == gw.state.sessions)\n"
                  "assert(json.encode(s.list) == '[]' and math.type(gw.state.whole) == 'float')\n"
                  "gw.state = { fresh = { 1, 2 } }\n");
    no_errors(rig);
    run_once(rig, "local names = {}\n"
                  "for name in pairs(gw.state) do names[#names + 1] = name end\n"
                  "assert(#names == 1 and names[1] == 'fresh' and gw.state.fresh[2] == 2)\n"
                  "gw.state = {}\n");
    no_errors(rig);
    run_once(rig, "assert(gw.state.fresh == nil)");
    no_errors(rig);
    rig_free(rig);
}

static void what_cannot_be_carried_is_refused_with_its_path(void **state)
{
    (void)state;
    rig_refused("gw.state.f = print", "main.lua:1: gw.state.f is a function, and gw.state holds plain data only");
    rig_refused("gw.state.deep = { list = { 1, { co = coroutine.create(print) } } }",
                "gw.state.deep.list[2].co is a thread");
    rig_refused("gw.state.timer = timer.after(1, print)", "gw.state.timer is a userdata");
    rig_refused("gw.state.itself = gw.state", "gw.state.itself is a userdata");
    rig_refused("gw.state.object = setmetatable({}, { __index = string })", "gw.state.object has a metatable");
    rig_refused("gw.state[{}] = 1", "gw.state has a table as a key");
    rig_refused("gw.state[nil] = 1", "gw.state has nil as a key");
    rig_refused("gw.state = 5", "gw.state is a table");
    rig_refused("gw.state = { a = 1, b = print }", "gw.state.b is a function");
    rig_refused("next(gw.state)", "table expected");
}

/* What was taken one by one can be saved together: the state itself is a level of depth. */
static void the_deepest_that_is_taken_is_saved(void **state)
{
    (void)state;
    static const char *const text = "local function nest(depth)\n"
                                    "  local root = {}\n"
                                    "  local inner = root\n"
                                    "  for _ = 2, depth do inner.x = {} inner = inner.x end\n"
                                    "  return root\n"
                                    "end\n"
                                    "gw.state.good = 1\n"
                                    "local depth = 980\n"
                                    "while pcall(function() gw.state.deep = nest(depth) end) do depth = depth + 1 end\n"
                                    "assert(depth > 990)\n";
    Rig *rig = rig_new();
    run_once(rig, text);
    no_errors(rig);
    run_once(rig, "assert(gw.state.good == 1 and gw.state.deep.x)");
    no_errors(rig);
    rig_free(rig);
}

static void it_reads_like_a_table(void **state)
{
    (void)state;
    rig_check("gw.state = { 'a', 'b', x = 'c' }\n"
              "assert(#gw.state == 2 and gw.state[2] == 'b' and gw.state.none == nil)\n"
              "local n = 0\n"
              "for k, v in pairs(gw.state) do assert(gw.state[k] == v) n = n + 1 end\n"
              "assert(n == 3)\n"
              "for i, v in ipairs(gw.state) do assert(v == (i == 1 and 'a' or 'b')) end\n"
              "assert(table.concat(gw.state, ' ') == 'a b' and select('#', table.unpack(gw.state)) == 2)\n"
              "gw.state = gw.state\n"
              "local mine = {}\n"
              "gw.state = mine\n"
              "mine.later = 1\n"
              "assert(gw.state.later == 1 and gw.state.x == nil)\n"
              "log.info('done')");
}

static void a_refused_table_changes_nothing(void **state)
{
    (void)state;
    rig_check("gw.state.kept = 1\n"
              "assert(not pcall(function() gw.state = { other = 1, bad = print } end))\n"
              "assert(not pcall(function() gw.state.kept = print end))\n"
              "assert(gw.state.kept == 1 and gw.state.other == nil)\n"
              "log.info('done')");
}

/* Changes inside of a table are not seen when they are made: they are told at the end, and cost that member only. */
static void what_was_put_in_later_is_told_when_it_is_saved(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    run_once(rig, "gw.state.good = 1\ngw.state.bad = {}\ngw.state.bad.f = print\n");
    assert_non_null(strstr(rig->log, "error gw.state.bad.f is a function: gw.state.bad is not saved"));
    run_once(rig, "assert(gw.state.good == 1 and gw.state.bad == nil)");
    no_errors(rig);
    rig_free(rig);
}

static void a_broken_file_is_moved_aside(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    char pattern[256];
    glob_t found;
    rig_file(rig, "data/state.bin", "nonsense");
    run_once(rig, "assert(gw.state.a == nil)\ngw.state.b = 1");
    assert_non_null(strstr(rig->log, "warn "));
    assert_non_null(strstr(rig->log, "state.bin is cut off: moved to "));
    snprintf(pattern, sizeof pattern, "%s/state.bin.broken-*", rig->data_dir);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    char *text = rig_read(rig, found.gl_pathv[0] + strlen(rig->folder) + 1);
    globfree(&found);
    assert_string_equal(text, "nonsense");
    free(text);
    run_once(rig, "assert(gw.state.b == 1)");
    no_errors(rig);
    rig_free(rig);
}

static void the_json_of_an_earlier_release_is_taken_over(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_file(rig, "data/state.json", "{\"a\":1,\"list\":[],\"f\":2.0,\"none\":null}");
    run_once(rig, "assert(gw.state.a == 1 and json.encode(gw.state.list) == '[]' and gw.state.none == json.null)\n"
                  "gw.on_migrate(1, function(state, from) assert(from == 0) state.a = state.a + 1 end)");
    no_errors(rig);
    assert_null(rig_read(rig, "data/state.json"));
    run_once(rig,
             "assert(gw.state.a == 2 and math.type(gw.state.f) == 'float' and json.encode(gw.state.list) == '[]')");
    no_errors(rig);
    rig_free(rig);
}

/* It would be overwritten at the end. */
static void a_file_that_cannot_be_read_stops_the_load(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_file(rig, "data/state.bin/in_the_way", "");
    assert_false(rig_load(rig, "log.info('runs', gw.state.a)"));
    assert_non_null(strstr(rig->problem, "gw.state cannot be restored: "));
    assert_non_null(strstr(rig->problem, "state.bin is not a file"));
    rig_free(rig);
}

static void bytes_of_another_release_stop_the_load(void **state)
{
    (void)state;
    static const char *const contents[] = {"\2and more of it", "\1short", "\1........\11", "\1........\xc1"};
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        char problem[256];
        Rig *rig = rig_new();
        assert_true(state_file_write(rig->data_dir, slice_of(contents[i]), problem, sizeof problem));
        assert_false(rig_load(rig, "gw.state.a = 1"));
        assert_non_null(strstr(rig->problem, "gw.state cannot be restored: "));
        rig_free(rig);
    }
}

static void an_app_that_does_not_look_at_it_neither_reads_nor_writes_it(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_file(rig, "data/state.bin", "nonsense");
    run_once(rig, "local state = gw.state\ngw.on('@stop', function() log.info('stops', { state = type(state) }) end)");
    no_errors(rig);
    char *text = rig_read(rig, "data/state.bin");
    assert_string_equal(text, "nonsense");
    free(text);
    rig_free(rig);
}

static void a_state_that_cannot_be_written_is_told(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    run_once(rig, "gw.state.a = 1");
    rig_run(rig, "gw.state.a = 2");
    char elsewhere[96];
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", rig->folder);
    assert_int_equal(rename(rig->data_dir, elsewhere), 0);
    app_stop(rig->app);
    rig_await(rig, rig_has_ended, NULL, "the end of the app");
    assert_false(app_ended_well(rig->app));
    assert_true(app_free(rig->app));
    rig->app = NULL;
    assert_non_null(strstr(rig->log, "gw.state is not saved: cannot write "));
    assert_int_equal(rename(elsewhere, rig->data_dir), 0);
    run_once(rig, "assert(gw.state.a == 1)");
    no_errors(rig);
    rig_free(rig);
}

static bool saved(const Rig *rig, const void *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", rig->data_dir, (const char *)name);
    return access(path, F_OK) == 0;
}

/* Waits until it is there; an event now and then wakes the test. */
static void it_is_saved_while_the_app_runs(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_run(rig, "gw.state.a = 1\n"
                 "timer.every(0.05, function() log.info('tick') end)");
    rig_await(rig, saved, "state.bin", "the state on the disk");
    rig_stop(rig);
    no_errors(rig);
    rig_free(rig);
}

static bool told_twice(const Rig *rig, const void *text)
{
    return rig_count(rig, "tick ") > 60 && strstr(rig->log, text);
}

static void what_cannot_be_saved_meanwhile_is_told_once_a_minute(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_run(rig, "gw.state.a = {}\n"
                 "gw.state.a.f = print\n"
                 "timer.every(0.05, function() log.info('tick') end)");
    rig_await(rig, told_twice, "saving failed: gw.state.a.f is a function, and gw.state holds plain data only",
              "a complaint");
    rig_stop(rig);
    assert_int_equal(rig_count(rig, "saving failed: "), 1);
    rig_free(rig);
}

static void an_app_that_keeps_nothing_leaves_no_file(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    run_once(rig, "assert(gw.state.a == nil)");
    assert_null(rig_read(rig, "data/state.bin"));
    rig_free(rig);
}

static void a_failed_load_and_a_check_leave_the_file_alone(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    run_once(rig, "gw.state.a = 1");
    assert_false(rig_load(rig, "gw.state.a = 2\nerror('no')"));
    app_free(rig->app);
    rig->dry_run = true;
    assert_true(rig_load(rig, "assert(gw.state.a == 1)\ngw.state.a = 3"));
    app_free(rig->app);
    rig->app = NULL;
    rig->dry_run = false;
    run_once(rig, "assert(gw.state.a == 1)");
    no_errors(rig);
    rig->dry_run = true;
    rig_file(rig, "data/state.bin", "broken");
    assert_true(rig_load(rig, "assert(gw.state.a == nil)"));
    app_free(rig->app);
    rig->app = NULL;
    assert_non_null(strstr(rig->log, "the app would begin with an empty gw.state"));
    char *text = rig_read(rig, "data/state.bin");
    assert_string_equal(text, "broken");
    free(text);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_survives_a_restart),
        cmocka_unit_test(what_cannot_be_carried_is_refused_with_its_path),
        cmocka_unit_test(the_deepest_that_is_taken_is_saved),
        cmocka_unit_test(it_reads_like_a_table),
        cmocka_unit_test(a_refused_table_changes_nothing),
        cmocka_unit_test(what_was_put_in_later_is_told_when_it_is_saved),
        cmocka_unit_test(a_broken_file_is_moved_aside),
        cmocka_unit_test(the_json_of_an_earlier_release_is_taken_over),
        cmocka_unit_test(a_file_that_cannot_be_read_stops_the_load),
        cmocka_unit_test(bytes_of_another_release_stop_the_load),
        cmocka_unit_test(an_app_that_does_not_look_at_it_neither_reads_nor_writes_it),
        cmocka_unit_test(a_state_that_cannot_be_written_is_told),
        cmocka_unit_test(it_is_saved_while_the_app_runs),
        cmocka_unit_test(what_cannot_be_saved_meanwhile_is_told_once_a_minute),
        cmocka_unit_test(an_app_that_keeps_nothing_leaves_no_file),
        cmocka_unit_test(a_failed_load_and_a_check_leave_the_file_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
