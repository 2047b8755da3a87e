/* test_api_json.c - JSON to Lua values and back: what scripts get, what they are told, and lua-cjson as the oracle where both must
 * agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <lauxlib.h>
#include <lualib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/json.h"
#include "exact_copy.h"
#include "frame_fixtures.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static int open_state(void **state)
{
    lua_State *L = luaL_newstate();
    if (!L) return -1;
    luaL_openlibs(L);
    luaL_requiref(L, "json", luaopen_gatehouse_json, 1);
    lua_settop(L, 0);
    *state = L;
    return 0;
}

static int close_state(void **state)
{
    lua_close(*state);
    return 0;
}

/* Runs a chunk of assertions. */
static void run(lua_State *L, const char *chunk)
{
    if (luaL_dostring(L, chunk) != LUA_OK) fail_msg("%s", lua_tostring(L, -1));
    lua_settop(L, 0);
}

/* json_push on a copy with nothing readable behind it. */
static bool push(lua_State *L, Slice text, JsonError *error)
{
    Slice copy = exact_copy(text);
    int top = lua_gettop(L);
    bool good = json_push(L, copy, error);
    assert_int_equal(lua_gettop(L), top + good);
    free_copy(copy);
    return good;
}

/* The JSON of the value on top of the stack; the caller frees it. */
static Buffer encoded(lua_State *L)
{
    Buffer out = buffer_with_headroom(0), problem = buffer_with_headroom(0);
    int top = lua_gettop(L);
    bool good = json_encode(L, -1, "value", &out, &problem);
    if (!good) fail_msg("%.*s", SLICE_ARGS(buffer_slice(&problem)));
    assert_int_equal(buffer_size(&problem), 0);
    assert_int_equal(lua_gettop(L), top);
    buffer_free(&problem);
    return out;
}

/* --- decoding -------------------------------------------------------------------------------------------------------------- */

static void values_become_what_the_manual_says(void **state)
{
    run(*state,
        "local d = json.decode\n"
        "assert(d'null' == json.null and tostring(json.null) == 'null' and json.null ~= nil and type(json.null) == "
        "'userdata')\n"
        "assert(d'true' == true and d'false' == false)\n"
        "assert(math.type(d'1737264000000') == 'integer' and d'1737264000000' == 1737264000000)\n"
        "assert(d'9007199254740993' == 9007199254740993 and d'-9223372036854775808' == math.mininteger)\n"
        "assert(d'9223372036854775807' == math.maxinteger and d'9223372036854775808' == 0x1p63)\n"
        "assert(math.type(d'1.0') == 'float' and math.type(d'1e3') == 'float' and d'1e3' == 1000 and d'-0' == 0)\n"
        "assert(d' \"a\\\\u0000\\\\ud83d\\\\ude00\\\\n\\\\/\" ' == 'a\\0\\u{1F600}\\n/')\n"
        "local t = d'{\"a\":{\"b\":[1,[2,null],{}]},\"c\":null,\"\":0}'\n"
        "assert(t.a.b[1] == 1 and t.a.b[2][1] == 2 and t.a.b[2][2] == json.null and #t.a.b == 3 and next(t.a.b[3]) == "
        "nil)\n"
        "assert(t.c == json.null and t[''] == 0)\n"
        "assert(d'{\"a\":1,\"a\":2}'.a == 2, 'of duplicate keys the last one counts')\n"
        "assert(next(d'{}') == nil and next(d'[]') == nil)\n");
}

static void bad_text_gives_nil_and_an_error_with_its_place(void **state)
{
    run(*state, "local value, err = json.decode('{\"a\":1,\\n \"b\":[1 2]}')\n"
                "assert(value == nil and err.code == 'BAD_JSON')\n"
                "assert(err.message == \"expected ',' or ']' at line 2, column 9\", err.message)\n"
                "value, err = json.decode('\"\\xff\"')\n"
                "assert(value == nil and err.message == 'invalid UTF-8 at line 1, column 2', err.message)\n"
                "value, err = json.decode('')\n"
                "assert(value == nil and err.message == 'the text ends too early at line 1, column 1', err.message)\n"
                "assert(not pcall(json.decode) and not pcall(json.decode, {}) and not pcall(json.encode))\n");
}

/* The decoder describes no error itself: it must refuse just what json_validate refuses. */
static void decoder_and_validator_agree(void **state)
{
    static const char *const pieces[] = {"{",       "}", "[",      "]",  ",",  ":",    "\"a\"", "\"\\n\"",
                                         "\"\\x\"", "1", "-1.5e3", "01", "1.", "null", "nul",   "true",
                                         "fals",    " ", "\n",     "\"", "\\", "\x01", "1e999", "\"\\ud800\""};
    lua_State *L = *state;
    uint32_t random = 1;
    size_t valid = 0;
    Buffer text = buffer_with_headroom(0);
    for (int round = 0; round < 200000; round++) {
        buffer_clear(&text);
        size_t count = 1 + (size_t)round % 7;
        for (size_t i = 0; i < count; i++) {
            random = random * 1664525u + 1013904223u;
            buffer_append_text(&text, pieces[(random >> 16) % COUNT(pieces)]);
        }
        JsonError pushed = {0}, validated = {0};
        bool good = push(L, buffer_slice(&text), &pushed);
        if (good != json_validate(buffer_slice(&text), &validated))
            fail_msg("%.*s: decoded %d, validated %d", SLICE_ARGS(buffer_slice(&text)), good, !good);
        assert_int_equal(pushed.offset, validated.offset);
        assert_ptr_equal(pushed.text, validated.text);
        valid += good;
        lua_settop(L, 0);
    }
    assert_true(valid > 1000);
    buffer_free(&text);
}

static void depth_is_limited(void **state)
{
    lua_State *L = *state;
    char text[2 * JSON_MAX_DEPTH + 8];
    for (size_t depth = JSON_MAX_DEPTH - 1; depth <= JSON_MAX_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        JsonError error;
        assert_int_equal(push(L, slice_make(text, 2 * depth), &error), depth <= JSON_MAX_DEPTH);
        lua_settop(L, 0);
    }
    assert_false(json_push(L, (Slice){0}, NULL));
}

/* Long strings with escapes need memory between texts; it follows the longest but is not kept for ever. */
static void long_strings_with_escapes_leave_no_memory_behind(void **state)
{
    lua_State *L = *state;
    Buffer text = buffer_with_headroom(0);
    lua_gc(L, LUA_GCCOLLECT);
    int before_kib = lua_gc(L, LUA_GCCOUNT);
    for (size_t size = 10; size < 5000000; size *= 7) {
        buffer_clear(&text);
        buffer_append_text(&text, "[\"\\n");
        for (size_t i = 0; i < size; i++) {
            buffer_append_char(&text, (char)('a' + i % 26));
        }
        buffer_append_text(&text, "\\u00e9\",\"\\t\"]");
        assert_true(push(L, buffer_slice(&text), NULL));
        lua_rawgeti(L, -1, 1);
        size_t length = 0;
        const char *string = lua_tolstring(L, -1, &length);
        assert_int_equal(length, size + 3);
        assert_true(string[0] == '\n' && string[1] == 'a' && memcmp(string + length - 2, "\xC3\xA9", 2) == 0);
        lua_settop(L, 0);
    }
    buffer_free(&text);
    lua_gc(L, LUA_GCCOLLECT);
    assert_in_range(lua_gc(L, LUA_GCCOUNT), 0, before_kib + 600);
}

/* --- memory ---------------------------------------------------------------------------------------------------------------- */

typedef struct {
    size_t used, limit;
} Budget;

static void *allocate(void *context, void *block, size_t old_size, size_t new_size)
{
    Budget *budget = context;
    size_t old = block ? old_size : 0;
    if (new_size > old && budget->used - old + new_size > budget->limit) return NULL;
    void *moved = NULL;
    if (new_size == 0) {
        free(block);
    } else if (!(moved = realloc(block, new_size))) {
        return NULL;
    }
    budget->used = budget->used - old + new_size;
    return moved;
}

static int decode_argument(lua_State *L)
{
    Slice text;
    text.data = lua_tolstring(L, 1, &text.size);
    return json_push(L, text, NULL);
}

/* Wherever the memory ends, it is Lua's error that comes, nothing is lost, and afterwards all is well. */
static void out_of_memory_is_an_error_like_any(void **state)
{
    const char *text = "{\"list\":[1,2.5,null,{\"a\":\"x\\ny\",\"b\":[]},\"a string that is too long to be interned, "
                       "\\\" with escapes\"],"
                       "\"more\":{\"a\":{\"b\":{\"c\":{\"d\":[[[[1]]]]}}}}}";
    Budget budget = {0, SIZE_MAX};
    lua_State *L = lua_newstate(allocate, &budget);
    int failures = 0;
    (void)state;
    assert_non_null(L);
    json_open(L);
    lua_pushcfunction(L, decode_argument);
    lua_pushstring(L, text);
    for (size_t more = 0;; more += 24) {
        lua_pushvalue(L, 1);
        lua_pushvalue(L, 2);
        lua_gc(L, LUA_GCCOLLECT);
        budget.limit = budget.used + more;
        int status = lua_pcall(L, 1, 1, 0);
        budget.limit = SIZE_MAX;
        bool decoded = status == LUA_OK && lua_istable(L, -1);
        lua_settop(L, 2);
        if (decoded) break;
        assert_true(status == LUA_ERRMEM || status == LUA_OK);
        failures++;
    }
    assert_true(failures > 10);
    lua_close(L);
    assert_int_equal(budget.used, 0);
}

/* --- encoding -------------------------------------------------------------------------------------------------------------- */

static void what_is_decoded_is_encoded_as_it_was(void **state)
{
    static const char *const texts[] = {"null",
                                        "true",
                                        "false",
                                        "0",
                                        "-7",
                                        "9007199254740993",
                                        "-9223372036854775808",
                                        "9223372036854775807",
                                        "1.0",
                                        "0.1",
                                        "1e22",
                                        "-0.0",
                                        "1.5e-300",
                                        "\"\"",
                                        "\"a\\\"\\\\\\n\\u0001\"",
                                        "\"\xC3\xA9\"",
                                        "[]",
                                        "{}",
                                        "[[]]",
                                        "[{}]",
                                        "[[],{},[[]]]",
                                        "{\"a\":[]}",
                                        "{\"a\":{}}",
                                        "[null]",
                                        "[null,null]",
                                        "[1,\"2\",[3,[4]]]",
                                        "{\"1\":2}",
                                        "{\"\":{\"\":[]}}",
                                        "[0.5,2,null,true,{\"a\":[1]}]"};
    lua_State *L = *state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        assert_true(push(L, slice_of(texts[i]), NULL));
        Buffer out = encoded(L);
        if (!slice_is(buffer_slice(&out), texts[i]))
            fail_msg("%s became %.*s", texts[i], SLICE_ARGS(buffer_slice(&out)));
        buffer_free(&out);
        lua_settop(L, 0);
    }
}

static void arrays_stay_arrays_and_empty_tables_are_objects(void **state)
{
    run(*state,
        "assert(json.encode({}) == '{}' and json.encode(json.array{}) == '[]' and json.encode(json.array()) == '[]')\n"
        "assert(json.encode({1,2,3}) == '[1,2,3]' and json.encode{a={}} == '{\"a\":{}}')\n"
        "local list = json.decode'[1,2]'\n"
        "table.remove(list) table.remove(list)\n"
        "assert(json.encode(list) == '[]', 'a decoded array that was emptied is an array')\n"
        "table.insert(list, 'x')\n"
        "assert(json.encode(list) == '[\"x\"]')\n"
        "local holed = {}\n"
        "for i = 10, 1, -1 do holed[i] = i end\n" /* in the hash part of the table */
        "assert(json.encode(holed) == '[1,2,3,4,5,6,7,8,9,10]')\n"
        "local t = {1}\n"
        "assert(json.array(t) == t and json.array(t) == t)\n"
        "assert(not pcall(json.array, setmetatable({}, {})) and not pcall(json.array, 1))\n"
        "assert(json.encode(nil) == 'null' and json.encode(json.null) == 'null')\n");
}

static void what_has_no_json_form_is_told_with_its_place(void **state)
{
    run(*state,
        "local function refused(value, message)\n"
        "  local text, err = json.encode(value)\n"
        "  assert(text == nil and err.code == 'BAD_VALUE', text)\n"
        "  assert(err.message == message, err.message)\n"
        "end\n"
        "refused(print, 'value: a function has no JSON form')\n"
        "refused({items = {1, 2, {callback = print}}}, 'value.items[3].callback: a function has no JSON form')\n"
        "refused({['a b'] = {coroutine.create(print)}}, 'value[\"a b\"][1]: a thread has no JSON form')\n"
        "refused({f = io.stdout}, 'value.f: a userdata has no JSON form')\n"
        "refused({0/0}, 'value[1]: NaN has no JSON form')\n"
        "refused({x = {-1/0}}, 'value.x[1]: an infinite number has no JSON form')\n"
        "refused({s = 'a\\xff'}, 'value.s: the string is not valid UTF-8; send bytes as hex or base64')\n"
        "refused({['k\\xff'] = 1}, 'value[\"k\\u{FFFD}\"]: the key is not valid UTF-8')\n"
        "refused({1, nil, 3, nil, nil, nil, nil, 8}, 'value: the array has holes: 3 of 8 elements; fill them with "
        "json.null, or make the keys strings for an object')\n"
        "refused({[5] = 'x'}, 'value: the array has holes: 1 of 5 elements; fill them with json.null, or make the keys "
        "strings for an object')\n"
        "refused({[0] = 'x'}, 'value: array elements begin at 1; for an object make the keys strings with "
        "tostring()')\n"
        "refused({[true] = 2}, 'value: the table has a key of type boolean: keys of JSON objects are strings')\n"
        "refused({[1.5] = 2}, 'value: the table has a key of type number that is no integer: keys of JSON objects are "
        "strings')\n"
        "refused({1, 2, a = 3}, 'value: the table mixes array elements with other keys: JSON has objects or arrays')\n"
        "refused({n = json.array{a = 3}}, 'value.n: the table is marked as an array, but not all of its keys are "
        "1..n')\n"
        "local long = string.rep('k', 100)\n"
        "refused({[long] = print}, 'value[\"' .. long:sub(1, 64) .. '\"…]: a function has no JSON form')\n");
}

static void tables_that_never_end_are_refused(void **state)
{
    run(*state, "local t = {} t.a = {b = {t}}\n"
                "local text, err = json.encode(t)\n"
                "assert(text == nil and err.message == 'value.a.b[1]: the table contains itself', err.message)\n"
                "local twice = {} assert(json.encode{twice, twice} == '[{},{}]', 'the same table twice is no cycle')\n"
                "local deep = {} for i = 1, 127 do deep = {deep} end\n"
                "assert(#json.encode(deep) == 2 * 128)\n"
                "text, err = json.encode{deep}\n"
                "assert(text == nil and err.message:find('nested too deeply', 1, true))\n"
                /* 2^100 strings: the size is limited, so time and memory are. */
                "local wide = {string.rep('x', 1 << 20)} for i = 1, 100 do wide = {wide, wide} end\n"
                "text, err = json.encode(wide)\n"
                "assert(text == nil and err.message:find('too long', 1, true), err.message)\n"
                "assert(json.encode{1} == '[1]')\n");
}

static void metamethods_are_not_called(void **state)
{
    run(*state, "local called = false\n"
                "local function call() called = true error('called') end\n"
                "local mt = {__index = call, __pairs = call, __len = call, __tostring = call, __name = 'x', __eq = "
                "call, __metatable = 'hidden'}\n"
                "assert(json.encode(setmetatable({a = 1}, mt)) == '{\"a\":1}')\n"
                "assert(json.encode(setmetatable({1, 2}, mt)) == '[1,2]')\n"
                "assert(json.encode(setmetatable({}, mt)) == '{}')\n"
                "assert(not called)\n");
}

static void a_failure_leaves_the_buffer_as_it_was(void **state)
{
    lua_State *L = *state;
    Buffer out = buffer_with_headroom(16), problem = buffer_with_headroom(0);
    buffer_append_text(&out, "before");
    assert_int_equal(luaL_dostring(L, "return {1, {a = 'some text'}, print}"), LUA_OK);
    int top = lua_gettop(L);
    assert_false(json_encode(L, -1, "params", &out, &problem));
    assert_int_equal(lua_gettop(L), top);
    assert_true(slice_is(buffer_slice(&out), "before"));
    assert_true(slice_is(buffer_slice(&problem), "params[3]: a function has no JSON form"));
    lua_settop(L, 0);
    lua_pushboolean(L, true);
    buffer_clear(&problem);
    assert_true(json_encode(L, 1, "params", &out, &problem));
    assert_true(slice_is(buffer_slice(&out), "beforetrue"));
    lua_settop(L, 0);
    buffer_free(&out);
    buffer_free(&problem);
}

static void only_null_prints_as_null(void **state)
{
    lua_State *L = *state;
    int something = 0;
    lua_pushlightuserdata(L, &something);
    assert_non_null(strstr(luaL_tolstring(L, -1, NULL), "userdata: 0x"));
    lua_settop(L, 1);
    Buffer out = buffer_with_headroom(0), problem = buffer_with_headroom(0);
    assert_false(json_encode(L, 1, "value", &out, &problem));
    assert_true(slice_is(buffer_slice(&problem), "value: a userdata has no JSON form"));
    buffer_free(&out);
    buffer_free(&problem);
    lua_settop(L, 0);
    json_open(L); /* a second time: nothing happens */
    run(L, "assert(tostring(json.decode'null') == 'null' and json.encode(json.decode'[]') == '[]')");
}

/* --- the oracle -------------------------------------------------------------------------------------------------------------- */

static const char compare_with_cjson[] = "local cjson, frame = require 'cjson', ...\n"
                                         "local function same(a, b, path)\n"
                                         "  if type(a) ~= 'table' then\n"
                                         "    assert(a == b, path)\n"
                                         "    return\n"
                                         "  end\n"
                                         "  for k, v in pairs(a) do same(v, b[k], path .. '.' .. tostring(k)) end\n"
                                         "  for k in pairs(b) do assert(a[k] ~= nil, path) end\n"
                                         "end\n"
                                         "local ours, theirs = assert(json.decode(frame)), cjson.decode(frame)\n"
                                         "same(ours, theirs, 'frame')\n"
                                         "same(json.decode(json.encode(ours)), ours, 'encoded')\n"
                                         "same(cjson.decode(json.encode(ours)), theirs, 'encoded')\n";

static void compare_frame(const FixtureLine *line, void *context)
{
    lua_State *L = context;
    if (line->frame.size == 0) return;
    if (luaL_loadstring(L, compare_with_cjson) != LUA_OK) fail_msg("%s", lua_tostring(L, -1));
    lua_pushlstring(L, line->frame.data, line->frame.size);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) fail_msg("%s:%zu: %s", line->file, line->number, lua_tostring(L, -1));
}

static void recorded_frames_are_what_cjson_reads(void **state)
{
    lua_State *L = *state;
    if (luaL_dostring(L, "require 'cjson'") != LUA_OK) fail_msg("%s", lua_tostring(L, -1));
    lua_settop(L, 0);
    assert_true(fixture_frames("*", compare_frame, L) > 100);
}

static void null_is_the_same_value_as_that_of_cjson(void **state)
{
    run(*state, "local cjson = require 'cjson'\n"
                "assert(json.null == cjson.null and cjson.encode{json.null} == '[null]' and json.encode{cjson.null} == "
                "'[null]')\n");
}

/* Where lua-cjson is wrong, for whoever wonders why there is a codec of our own. */
static void what_cjson_loses_is_kept(void **state)
{
    run(*state,
        "local cjson = require 'cjson'\n"
        "assert(cjson.decode'[9007199254740993]'[1] ~= 9007199254740993 and json.decode'[9007199254740993]'[1] == "
        "9007199254740993)\n"
        "assert(cjson.encode(cjson.decode'[]') == '{}' and json.encode(json.decode'[]') == '[]')\n"
        "for _, text in ipairs{'01', '0x10', 'NaN', '-'} do assert(not json.decode('[' .. text .. ']'), text) end\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_become_what_the_manual_says, open_state, close_state),
        cmocka_unit_test_setup_teardown(bad_text_gives_nil_and_an_error_with_its_place, open_state, close_state),
        cmocka_unit_test_setup_teardown(decoder_and_validator_agree, open_state, close_state),
        cmocka_unit_test_setup_teardown(depth_is_limited, open_state, close_state),
        cmocka_unit_test_setup_teardown(long_strings_with_escapes_leave_no_memory_behind, open_state, close_state),
        cmocka_unit_test(out_of_memory_is_an_error_like_any),
        cmocka_unit_test_setup_teardown(what_is_decoded_is_encoded_as_it_was, open_state, close_state),
        cmocka_unit_test_setup_teardown(arrays_stay_arrays_and_empty_tables_are_objects, open_state, close_state),
        cmocka_unit_test_setup_teardown(what_has_no_json_form_is_told_with_its_place, open_state, close_state),
        cmocka_unit_test_setup_teardown(tables_that_never_end_are_refused, open_state, close_state),
        cmocka_unit_test_setup_teardown(metamethods_are_not_called, open_state, close_state),
        cmocka_unit_test_setup_teardown(a_failure_leaves_the_buffer_as_it_was, open_state, close_state),
        cmocka_unit_test_setup_teardown(only_null_prints_as_null, open_state, close_state),
        cmocka_unit_test_setup_teardown(recorded_frames_are_what_cjson_reads, open_state, close_state),
        cmocka_unit_test_setup_teardown(null_is_the_same_value_as_that_of_cjson, open_state, close_state),
        cmocka_unit_test_setup_teardown(what_cjson_loses_is_kept, open_state, close_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
