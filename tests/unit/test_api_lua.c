/* test_api_lua.c - the Lua that an app finds: strict globals, require, the standard library as far as it differs, log
 * and print. */
#define _GNU_SOURCE /* nftw */
#include "api/api.h"

#include "api_rig.h"

static void undefined_globals_raise(void **state)
{
    (void)state;
    rig_refused("\nlocal x = falures", "main.lua:2: undefined global 'falures'");
    rig_refused("function f() return typo end\nf()", "assignment to undefined global 'f': write 'local f'");
    rig_refused("local function f() return typo.x end\nf()", "main.lua:1: undefined global 'typo'");
    rig_refused("\ncount = 1", "main.lua:2: assignment to undefined global 'count': write 'local count'");
    rig_check("assert(unpack == nil and setfenv == nil and jit == nil)\n"
              "assert((table.unpack or unpack) == table.unpack)\n"
              "local before = print\n"
              "print = before\n"
              "rawset(_G, 'deliberate', 1)\n"
              "assert(deliberate == 1)\n"
              "assert(not pcall(setmetatable, _G, nil))\n"
              "gw.on('@start', function() assert(not pcall(function() return undefined end)) log.info('done') end)");
}

static void what_would_reach_beyond_the_app_is_refused(void **state)
{
    (void)state;
    rig_refused("os.exit(0)", "os.exit is refused inside an app");
    rig_refused("os.setlocale('C')", "os.setlocale is refused");
    rig_refused("debug.sethook()", "debug.sethook is refused");
    rig_refused("debug.getregistry()", "debug.getregistry is refused");
    rig_refused("debug.setmetatable(1, {})", "debug.setmetatable is refused");
    rig_refused("getmetatable(gw.on('a', print)).x = 1", "attempt to index a string value");
    rig_check("assert(os.setlocale() == 'C')\n"
              "assert(type(debug.traceback()) == 'string' and debug.getinfo(1).currentline == 2)\n"
              "assert(os.time() > 0 and os.getenv('PATH') and io.open)\n"
              "log.info('done')");
}

/* A key function is called by C functions of the host; what they are and hold stays theirs. */
static void the_host_on_the_stack_is_not_for_scripts(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_run(rig, "local look\n"
                 "function look()\n"
                 "  local info = debug.getinfo(2)\n"
                 "  assert(info.what == 'C' and info.func == nil)\n"
                 "  assert(debug.getlocal(2, 1) == nil)\n"
                 "  assert(debug.getinfo(1, 'f').func == look and debug.getinfo(print, 'f').func == print)\n"
                 "  assert(debug.getinfo(99) == nil)\n"
                 "  local name, value = debug.getlocal(1, 1)\n"
                 "  assert(name == 'info' and value == info)\n"
                 "  log.info('looked')\n"
                 "end\n"
                 "gw.on('agent', function() log.info('done') end, { key = look })");
    rig_event(rig, "agent", "{}");
    rig_await_log(rig, "info done");
    assert_non_null(strstr(rig->log, "info looked"));
    rig_free(rig);
}

static void bytecode_is_not_loaded(void **state)
{
    (void)state;
    rig_check("local code = string.dump(function() return 1 end)\n"
              "local f, message = load(code)\n"
              "assert(not f and message:find('binary chunk'), message)\n"
              "assert(not load(code, 'x', 'b') and not load(code, 'x', 'bt', {}))\n"
              "assert(not load(function() local c = code code = nil return c end))\n"
              "code = string.dump(function() return 1 end)\n"
              "local path = gw.app.data_dir .. '/code'\n"
              "local file = assert(io.open(path, 'wb'))\n"
              "file:write(code)\n"
              "file:close()\n"
              "f, message = loadfile(path)\n"
              "assert(not f and message:find('binary chunk'), message)\n"
              "assert(not loadfile(path, 'b') and not pcall(dofile, path))\n"
              "assert(not pcall(loadfile) and not pcall(dofile))\n"
              /* Text goes as ever, with its environment. */
              "assert(load('return 1 + 1')() == 2)\n"
              "assert(load('return x', 'x', nil, { x = 3 })() == 3)\n"
              "assert(load('return x', 'x', 't', { x = 4 })() == 4)\n"
              "assert(not load('return ='))\n"
              "file = assert(io.open(path, 'wb'))\n"
              "file:write('return 5, ...')\n"
              "file:close()\n"
              "assert(loadfile(path)() == 5 and select('#', dofile(path)) == 1)\n"
              "assert(loadfile(path, 't', {})() == 5)\n"
              "log.info('done')");
}

static void require_looks_in_the_folder_first(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_file(rig, "app/one.lua", "local name, where = ... return { name = name, where = where }");
    rig_file(rig, "app/lib/two.lua", "return 2");
    rig_file(rig, "app/lib/three/init.lua", "return { require 'lib.two', 3 }");
    rig_file(rig, "app/cjson.lua", "return 'own'");
    rig_file(rig, "app/broken.lua", "return =");
    rig_file(rig, "app/raises.lua", "error('on load')");
    rig_file(rig, "app/typo.lua", "return tpyo");
    rig_run(rig,
            "local one = require 'one'\n"
            "assert(one.name == 'one' and one.where:find('/app/one.lua$') and require 'one' == one)\n"
            "assert(require 'lib.two' == 2)\n"
            "local three = require 'lib.three'\n"
            "assert(three[1] == 2 and three[2] == 3)\n"
            "assert(require 'cjson' == 'own')\n"
            "assert(require 'json' == json and require 'gatehouse.json' == json and require 'gatehouse.task' == task)\n"
            "local ok, message = pcall(require, 'broken')\n"
            "assert(not ok and message:find('app/broken.lua:1:', 1, true), message)\n"
            "ok, message = pcall(require, 'raises')\n"
            "assert(not ok and message:find('raises.lua:1: on load', 1, true), message)\n"
            "ok, message = pcall(require, 'typo')\n"
            "assert(not ok and message:find(\"typo.lua:1: undefined global 'tpyo'\", 1, true), message)\n"
            "ok, message = pcall(require, 'not.there')\n"
            "assert(not ok and message:find(\"no file '%S+/app/not/there.lua'\"), message)\n"
            "assert(message:find(\"no file '%S+/app/not/there/init.lua'\") and message:find('nothing that ships', 1, "
            "true), message)\n"
            "log.info('done')");
    rig_await_log(rig, "info done");
    rig_stop(rig);
    rig_free(rig);
}

static void cjson_is_there(void **state)
{
    (void)state;
    rig_check("local cjson = require 'cjson'\n"
              "assert(cjson.decode('{\"a\":[1]}').a[1] == 1)\n"
              "assert(cjson.null == json.null)\n"
              "log.info('done')");
}

static void bytecode_is_not_required(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_file(rig, "app/code.lua", "\x1bLua");
    assert_false(rig_load(rig, "require 'code'"));
    assert_non_null(strstr(rig->problem, "attempt to load a binary chunk"));
    rig_free(rig);
}

/* --- log ---------------------------------------------------------------------------------------------------------- */

static void lines_of_the_log(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_run(rig, "log.debug('d')\n"
                 "log.info('i', { a = 1 })\n"
                 "log.warn('w', { list = { 1, 2 } })\n"
                 "log.error('e', {})\n"
                 "log.info(12)\n"
                 "log.info(nil)\n"
                 "log.info('plain', 'text')\n"
                 "log.info('no form', { f = print, own = setmetatable({ f = print }, { __tostring = function() return "
                 "'mine' end }) })\n"
                 "log.info('raises', { [2] = setmetatable({ f = print }, { __tostring = function() error('in "
                 "tostring') end }) })\n"
                 "log.info('array', { 1, 2 })\n"
                 "local nested = setmetatable({ f = print }, { __tostring = function()\n"
                 "  log.info('from inside', { inner = print, 1 })\n"
                 "  return 'outer'\n"
                 "end })\n"
                 "log.info('nested', { a = nested, b = nested })\n"
                 "log.info('empty', json.array {})\n"
                 "log.info('bytes', { '\\xff' })\n"
                 "print('a', 1, nil, true)\n"
                 "print()\n"
                 "warn('@on')\n"
                 "warn('one ', 'two')\n"
                 "assert(not pcall(log.info))\n"
                 "log.info('done')");
    rig_await_log(rig, "info done");
    static const char *const lines[] = {
        "info empty {}\n",
        "\"a\":\"outer\"",
        "\"b\":\"outer\"",
        "debug d \n",
        "info i {\"a\":1}\n",
        "warn w {\"list\":[1,2]}\n",
        "error e {}\n",
        "info 12 \n",
        "info nil \n",
        "info plain {\"value\":\"text\"}\n",
        "\"own\":\"mine\"",
        "\"f\":\"function: ",
        "in tostring",
        "info array {\"1\":1,\"2\":2}\n",
        "info bytes {\"1\":\"\xef\xbf\xbd\"}\n",
        "info a\t1\tnil\ttrue \n",
        "info  \n",
        "warn one two \n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(rig->log, lines[i])) fail_msg("expected: %s\nlog:\n%s", lines[i], rig->log);
    rig_stop(rig);
    rig_free(rig);
}

static void a_level_that_is_off_costs_nothing(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig->level = LOG_WARN;
    rig_run(rig, "local costly = setmetatable({}, { __tostring = function() error('was made to text') end })\n"
                 "log.debug(costly)\n"
                 "log.info(costly, { f = costly })\n"
                 "print(costly)\n"
                 "log.warn('end')");
    rig_await_log(rig, "warn end");
    assert_null(strstr(rig->log, "info"));
    assert_null(strstr(rig->log, "was made to text"));
    rig_stop(rig);
    rig_free(rig);
}

/* Lua tells of them as warnings. */
/* Nothing could interrupt a finalizer. What is a table's metatable already may get one: it is not called. */
static void finalizers_are_refused(void **state)
{
    (void)state;
    rig_refused("setmetatable({}, { __gc = function() end })",
                "use __close with a local variable <close>, or gw.on(\"@stop\"");
    rig_refused("setmetatable({}, { __gc = false })", "__gc is refused");
    rig_check("local class = {}\n"
              "setmetatable({}, class)\n"
              "class.__gc = function() error('called') end\n"
              "collectgarbage()\n"
              "assert(not getmetatable(io.stdout))\n"
              "log.info('done')");
}

/* What is made anew here does as what it takes the place of. */
static void coroutines_and_errors_are_as_in_plain_lua(void **state)
{
    (void)state;
    rig_check(
        "local function values(...)\n"
        "  local texts = {}\n"
        "  for i = 1, select('#', ...) do texts[i] = tostring((select(i, ...))) end\n"
        "  return table.concat(texts, ',')\n"
        "end\n"
        "local c = coroutine.create(function(a, b) local d = coroutine.yield(a + b) error({ code = d }) end)\n"
        "assert(values(select(2, coroutine.resume(c, 1, 2))) == '3')\n"
        "local ok, err = coroutine.resume(c, 7)\n"
        "assert(not ok and err.code == 7 and coroutine.status(c) == 'dead')\n"
        "assert(values(select(2, coroutine.resume(c))) == 'cannot resume dead coroutine')\n"
        "ok, err = coroutine.close(c)\n"
        "assert(not ok and err.code == 7 and coroutine.close(c))\n"
        "local closed = 0\n"
        "local function closes(e) return setmetatable({}, { __close = function() closed = closed + 1 if e then "
        "error(e, 0) end end }) end\n"
        "c = coroutine.create(function() local _ <close> = closes('late') coroutine.yield() end)\n"
        "coroutine.resume(c)\n"
        "assert(values(coroutine.close(c)) == 'false,late' and closed == 1)\n"
        "local step = coroutine.wrap(function() for i = 1, 2 do coroutine.yield(i, i) end return 'end' end)\n"
        "assert(values(step()) == '1,1' and values(step()) == '2,2' and step() == 'end')\n"
        "ok, err = pcall(step)\n"
        "assert(not ok and err:find('main.lua:%d+: cannot resume dead coroutine') or err:find('cannot resume dead "
        "coroutine'))\n"
        "step = coroutine.wrap(function() local _ <close> = closes() error('ouch') end)\n"
        "ok, err = pcall(step)\n"
        "assert(not ok and err:find('ouch') and closed == 2, err)\n"
        "step = coroutine.wrap(function() error({ 5 }) end)\n"
        "ok, err = pcall(step)\n"
        "assert(not ok and err[1] == 5)\n"
        "assert(not pcall(coroutine.resume, 1) and not pcall(coroutine.wrap, 1) and not pcall(coroutine.close, {}))\n"
        "local self\n"
        "self = coroutine.create(function() return coroutine.resume(self) end)\n"
        "local _, inner, message = coroutine.resume(self)\n"
        "assert(inner == false and message == 'cannot resume non-suspended coroutine', message)\n"
        "self = coroutine.create(function() return pcall(coroutine.close, self) end)\n"
        "_, inner, message = coroutine.resume(self)\n"
        "assert(inner == false and message:find('cannot close a running coroutine'), message)\n"
        "assert(select('#', xpcall(function(...) return ... end, print, 1, nil, 3)) == 4)\n"
        "ok, err = xpcall(error, function(e) return e .. '!' end, 'x')\n"
        "assert(not ok and err == 'x!')\n"
        "ok, err = xpcall(error, debug.traceback, 'x')\n"
        "assert(not ok and err:find('^x\\nstack traceback:\\n\\t%[C%]: in function .error.'), err)\n"
        "assert(not pcall(xpcall) and not pcall(xpcall, print) and not pcall(xpcall, print, 1))\n"
        "local class = { __index = { x = 1 } }\n"
        "assert(setmetatable({}, class).x == 1 and getmetatable(setmetatable({}, class)) == class)\n"
        "assert(not pcall(setmetatable, {}) and not pcall(setmetatable, 1, {}) and not pcall(getmetatable))\n"
        "assert(not pcall(setmetatable, setmetatable({}, { __metatable = 1 }), {}))\n"
        "log.info('done')");
}

static void what_a_script_breaks_breaks_that_app_only(void **state)
{
    (void)state;
    /* Running out of memory, deep recursion, and errors that are no strings end in a message. */
    rig_refused("local t = {} while true do t[#t + 1] = ('x'):rep(1 << 20) .. #t end", "not enough memory");
    rig_refused("local function f() return ('x'):gsub('x', f) end f()", "stack overflow");
    rig_refused("error()", "nil");
    rig_refused("error(setmetatable({}, { __tostring = function() return 'as text' end }))", "as text");
    rig_refused("return =", "main.lua:1:");
}

/* The limit is moved over everything that loading and starting does, so that each allocation is the first to fail in turn. */
static void running_out_of_memory_anywhere_is_an_error(void **state)
{
    (void)state;
    static const char script[] =
        "local function f() task.sleep(0.001) end\n"
        "for i = 1, 5 do\n"
        "  gw.on('a' .. i, f, { key = f })\n"
        "  timer.every(i, f)\n"
        "  task.spawn(f, i)\n"
        "  gw.state['s' .. i] = { list = { i, 'text' } }\n"
        "end\n"
        "local value = json.decode('{\"a\":[1,2,{\"b\":\"text\"}]}')\n"
        "log.info('line', { value = value, f = f })\n"
        "gw.on('@start', function()\n"
        "  task.all { f, f, function() return gw.send('m', { value }, { timeout = 0.01 }) end }\n"
        "  pcall(gw.read_file, 'main.lua')\n"
        "end)\n";
    size_t failed = 0, loaded = 0;
    Rig *rig = rig_new();
    rig->stop_ms = 50; /* what has no memory to be cancelled with is given up then */
    for (rig->memory_bytes = 8000; rig->memory_bytes < 120000; rig->memory_bytes += 757) {
        rig->log[0] = 0;
        rig->request_count = 0;
        if (rig_load(rig, script)) {
            loaded++;
            assert_true(app_start(rig->app));
            rig_stop(rig);
            continue;
        }
        failed++;
        if (!strstr(rig->problem, "memory")) fail_msg("with %zu bytes: %s", rig->memory_bytes, rig->problem);
        assert_true(app_free(rig->app));
        rig->app = NULL;
    }
    assert_true(failed > 20);
    assert_true(loaded > 20);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(undefined_globals_raise),
        cmocka_unit_test(what_would_reach_beyond_the_app_is_refused),
        cmocka_unit_test(the_host_on_the_stack_is_not_for_scripts),
        cmocka_unit_test(bytecode_is_not_loaded),
        cmocka_unit_test(require_looks_in_the_folder_first),
        cmocka_unit_test(cjson_is_there),
        cmocka_unit_test(bytecode_is_not_required),
        cmocka_unit_test(lines_of_the_log),
        cmocka_unit_test(a_level_that_is_off_costs_nothing),
        cmocka_unit_test(finalizers_are_refused),
        cmocka_unit_test(coroutines_and_errors_are_as_in_plain_lua),
        cmocka_unit_test(what_a_script_breaks_breaks_that_app_only),
        cmocka_unit_test(running_out_of_memory_anywhere_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
