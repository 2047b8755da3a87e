/* test_api_state.c - gw.state: what it takes, what it refuses, and that it is there again after a restart. */
#define _GNU_SOURCE /* nftw */
#include "api/api.h"

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
    run_once(
        rig,
        "assert(gw.state.failures == nil)\n"
        "gw.state = gw.state or {}\n"
        "gw.state.failures = (gw.state.failures or 0) + 1\n"
        "gw.state.sessions = {}\n"
        "gw.state.sessions['a:b'] = { n = 9007199254740993, list = json.array {}, half = 0.5, text = 'h\\u{e9}' }\n"
        "gw.state.gone = 1\n"
        "gw.state.gone = nil\n"
        "gw.state.whole = 2.0\n"
        "gw.on('@stop', function() gw.state.stopped = true end)\n");
    no_errors(rig);
    char path[128];
    snprintf(path, sizeof path, "%s/state.json", rig->data_dir);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    run_once(rig, "assert(gw.state.failures == 1 and gw.state.stopped == true and gw.state.gone == nil)\n"
                  "local s = gw.state.sessions['a:b']\n"
                  "assert(s.n == 9007199254740993 and s.half == 0.5 and s.text == 'h\\u{e9}')\n"
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
    rig_refused("gw.state.f = print", "gw.state.f: a function has no JSON form");
    rig_refused("gw.state.deep = { list = { 1, { co = coroutine.create(print) } } }", "gw.state.deep.list[2].co: a ");
    rig_refused("gw.state.timer = timer.after(1, print)", "gw.state.timer: a ");
    rig_refused("gw.state.nan = 0/0", "gw.state.nan: ");
    rig_refused("gw.state.bytes = '\\xff'", "gw.state.bytes: ");
    rig_refused("local t = {} t.t = t gw.state.loop = t", "gw.state.loop");
    rig_refused("gw.state.itself = gw.state", "gw.state.itself: a ");
    rig_refused("gw.state[1] = 'x'", "gw.state[1]: its names are strings");
    rig_refused("gw.state = 5", "gw.state is a table");
    rig_refused("gw.state = { a = 1, b = print }", "gw.state.b: a function");
    rig_refused("gw.state.x = print", "main.lua:1:");
    rig_refused("next(gw.state)", "table expected");
    rig_refused("gw.state['\\xff'] = true", "the key is not valid UTF-8");
    rig_refused("gw.state = { ['\\xff'] = 1 }", "the key is not valid UTF-8");
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
                                    "local depth = 1\n"
                                    "while pcall(function() gw.state.deep = nest(depth) end) do depth = depth + 1 end\n"
                                    "assert(depth > 100)\n";
    Rig *rig = rig_new();
    run_once(rig, text);
    no_errors(rig);
    run_once(rig, "assert(gw.state.good == 1 and gw.state.deep.x)");
    no_errors(rig);
    rig_free(rig);
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
    assert_non_null(strstr(rig->log, "error gw.state.bad.f: a function has no JSON form: gw.state.bad is not saved"));
    run_once(rig, "assert(gw.state.good == 1 and gw.state.bad == nil)");
    no_errors(rig);
    rig_free(rig);
}

static void a_broken_file_is_moved_aside(void **state)
{
    (void)state;
    static const char *const broken[] = {"{\"a\":", "[1]", "", "{\"a\":\"\xff\"}", "nonsense"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        Rig *rig = rig_new();
        char pattern[256];
        glob_t found;
        rig_file(rig, "data/state.json", broken[i]);
        run_once(rig, "assert(gw.state.a == nil)\ngw.state.b = 1");
        assert_non_null(strstr(rig->log, "state.json is broken (byte "));
        assert_non_null(strstr(rig->log, "moved to "));
        char *text = rig_read(rig, "data/state.json");
        assert_string_equal(text, "{\"b\":1}");
        free(text);
        snprintf(pattern, sizeof pattern, "%s/state.json.broken-*", rig->data_dir);
        assert_int_equal(glob(pattern, 0, NULL, &found), 0);
        assert_int_equal(found.gl_pathc, 1);
        text = rig_read(rig, found.gl_pathv[0] + strlen(rig->folder) + 1);
        globfree(&found);
        assert_string_equal(text, broken[i]);
        free(text);
        rig_free(rig);
    }
}

/* It would be overwritten at the end. */
static void a_file_that_cannot_be_read_stops_the_load(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_file(rig, "data/state.json/in_the_way", "");
    assert_false(rig_load(rig, "log.info('runs')"));
    assert_non_null(strstr(rig->problem, "gw.state cannot be restored: "));
    assert_non_null(strstr(rig->problem, "state.json is not a file"));
    rig_free(rig);
}

static void a_state_that_cannot_be_written_is_told(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_file(rig, "data/state.json", "{\"a\":1}");
    rig_run(rig, "gw.state.a = 2");
    char elsewhere[96];
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", rig->folder);
    assert_int_equal(rename(rig->data_dir, elsewhere), 0);
    rig_stop(rig);
    assert_non_null(strstr(rig->log, "gw.state is not saved: cannot write "));
    char *text = rig_read(rig, "elsewhere/state.json");
    assert_string_equal(text, "{\"a\":1}");
    free(text);
    rig_free(rig);
}

static void an_app_that_keeps_nothing_leaves_no_file(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    run_once(rig, "assert(gw.state.a == nil)");
    assert_null(rig_read(rig, "data/state.json"));
    rig_free(rig);
}

static void a_failed_load_and_a_check_leave_the_file_alone(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_file(rig, "data/state.json", "{\"a\":1}");
    assert_false(rig_load(rig, "gw.state.a = 2\nerror('no')"));
    app_free(rig->app);
    rig->dry_run = true;
    assert_true(rig_load(rig, "assert(gw.state.a == 1)\ngw.state.a = 3"));
    app_free(rig->app);
    char *text = rig_read(rig, "data/state.json");
    assert_string_equal(text, "{\"a\":1}");
    free(text);
    rig_file(rig, "data/state.json", "broken");
    assert_true(rig_load(rig, "assert(gw.state.a == nil)"));
    app_free(rig->app);
    rig->app = NULL;
    text = rig_read(rig, "data/state.json");
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
        cmocka_unit_test(a_refused_table_changes_nothing),
        cmocka_unit_test(what_was_put_in_later_is_told_when_it_is_saved),
        cmocka_unit_test(a_broken_file_is_moved_aside),
        cmocka_unit_test(a_file_that_cannot_be_read_stops_the_load),
        cmocka_unit_test(a_state_that_cannot_be_written_is_told),
        cmocka_unit_test(an_app_that_keeps_nothing_leaves_no_file),
        cmocka_unit_test(a_failed_load_and_a_check_leave_the_file_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
