/* test_plain.c - plain Lua values survive the way to bytes and back; what is not plain is named with its place; no bytes do harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/json.h"
#include "api/plain.h"
#include "unit/exact_copy.h"

#include <lauxlib.h>
#include <lualib.h>

/* Gives out no more than that many bytes, so that Lua runs out of memory at any point. */
typedef struct {
    size_t left;
} Purse;

static void *spend(void *context, void *block, size_t old_bytes, size_t new_bytes)
{
    Purse *purse = context;
    if (!block) old_bytes = 0;
    if (new_bytes > old_bytes && new_bytes - old_bytes > purse->left) return NULL;
    purse->left = purse->left + old_bytes - new_bytes;
    if (new_bytes > 0) return realloc(block, new_bytes);
    free(block);
    return NULL;
}

static lua_State *new_state(Purse *purse)
{
    lua_State *L = purse ? lua_newstate(spend, purse) : luaL_newstate();
    assert_non_null(L);
    luaL_openlibs(L);
    luaL_requiref(L, "json", luaopen_gatehouse_json, 1);
    lua_settop(L, 0);
    return L;
}

/* Pushes what the text returns. */
static void push(lua_State *L, const char *text)
{
    if (luaL_dostring(L, text)) fail_msg("%s", lua_tostring(L, -1));
}

static void run(lua_State *L, const char *text, int args, int results)
{
    if (luaL_loadstring(L, text)) fail_msg("%s", lua_tostring(L, -1));
    lua_insert(L, -1 - args);
    if (lua_pcall(L, args, results, 0)) fail_msg("%s", lua_tostring(L, -1));
}

/* Pushes the value on top once more, after a way to bytes and back. */
static size_t carry(lua_State *L)
{
    Buffer bytes = buffer_with_headroom(0), problem = buffer_with_headroom(0);
    const char *wrong = NULL;
    int top = lua_gettop(L);
    if (!plain_encode(L, -1, "value", &bytes, &problem)) fail_msg("%.*s", SLICE_ARGS(buffer_slice(&problem)));
    assert_int_equal(lua_gettop(L), top);
    Slice copy = exact_copy(buffer_slice(&bytes));
    if (!plain_push(L, copy, &wrong)) fail_msg("%s", wrong);
    assert_int_equal(lua_gettop(L), top + 1);
    size_t size = copy.size;
    free_copy(copy);
    buffer_free(&bytes);
    buffer_free(&problem);
    return size;
}

/* The function `checks` gets what came out. */
static void carried(const char *value, const char *checks)
{
    lua_State *L = new_state(NULL);
    push(L, value);
    carry(L);
    run(L, checks, 1, 0);
    lua_close(L);
}

static void scalars_stay_what_they_are(void **state)
{
    (void)state;
    static const char *const values[] = {"nil",
                                         "true",
                                         "false",
                                         "0",
                                         "63",
                                         "64",
                                         "-1",
                                         "-64",
                                         "-65",
                                         "127",
                                         "128",
                                         "9007199254740993",
                                         "math.mininteger",
                                         "math.maxinteger",
                                         "0.0",
                                         "-0.0",
                                         "0.5",
                                         "1.0",
                                         "1e300",
                                         "5e-324",
                                         "1/0",
                                         "-1/0",
                                         "2^53",
                                         "''",
                                         "'a'",
                                         "('x'):rep(63)",
                                         "('x'):rep(64)",
                                         "('x'):rep(100000)",
                                         "'\\0\\xff\\0'",
                                         "json.null"};
    lua_State *L = new_state(NULL);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char text[64];
        snprintf(text, sizeof text, "return %s", values[i]);
        push(L, text);
        carry(L);
        if (!lua_rawequal(L, -1, -2) || lua_isinteger(L, -1) != lua_isinteger(L, -2)) fail_msg("%s changed", values[i]);
        lua_settop(L, 0);
    }
    lua_close(L);
    carried("return -0.0", "assert(1 / ... == -math.huge)");
    carried("return 0/0", "local n = ... assert(n ~= n)");
}

static void tables_stay_what_they_are(void **state)
{
    (void)state;
    carried("return { 1, 'two', 3.0, { 'four' }, n = 5, [true] = 6, [false] = 7, [0] = 8, [-1] = 9, [2.5] = 10, [1 << "
            "40] = 11 }",
            "local t = ... assert(t[1] == 1 and t[2] == 'two' and math.type(t[3]) == 'float' and t[4][1] == 'four' and "
            "#t == 4)\n"
            "assert(t.n == 5 and t[true] == 6 and t[false] == 7 and t[0] == 8 and t[-1] == 9 and t[2.5] == 10 and t[1 "
            "<< 40] == 11)\n"
            "local n = 0 for _ in pairs(t) do n = n + 1 end assert(n == 11)");
    carried("return {}", "assert(next(...) == nil and getmetatable(...) == nil)");
    carried("local t = { 1, nil, 3, nil, 5 } t[10] = 10 return t",
            "local t = ... assert(t[1] == 1 and t[2] == nil and t[3] == 3 and t[5] == 5 and t[10] == 10)");
    carried("local t = {} for i = 1000, 1, -1 do t[i] = i end return t",
            "local t = ... assert(#t == 1000) for i = 1, 1000 do assert(t[i] == i) end");
    carried("local t = {} for i = 1, 1000 do t['k' .. i] = { i } end return t",
            "local t, n = ..., 0 for k, v in pairs(t) do n = n + 1 assert(k == 'k' .. v[1]) end assert(n == 1000)");
}

static void arrays_keep_their_mark(void **state)
{
    (void)state;
    carried("return { a = json.array(), o = {}, l = json.array { json.null, json.array { 1 } } }",
            "local t = ... assert(json.encode(t.a) == '[]' and json.encode(t.o) == '{}' and json.encode(t.l) == "
            "'[null,[1]]')\n"
            "assert(json.encode(t.l[2]) == '[1]' and getmetatable(t.l[2]) == getmetatable(t.a))");
}

static void shared_tables_stay_shared_and_cycles_closed(void **state)
{
    (void)state;
    carried("local a, b = { 1 }, {} b.itself, b.a, b[1], b[2] = b, a, a, { a } return b",
            "local b = ... assert(b.itself == b and b.a == b[1] and b[2][1] == b.a and b.a[1] == 1)");
    carried("local list = {} for i = 1, 500 do list[i] = {} end for i = 1, 500 do list[i].all = list list[i].next = "
            "list[i % 500 + 1] end return list",
            "local list = ... for i = 1, 500 do assert(list[i].all == list and list[i].next == list[i % 500 + 1]) end");
}

static void it_is_compact(void **state)
{
    (void)state;
    lua_State *L = new_state(NULL);
    push(L, "return 5");
    assert_int_equal(carry(L), 1);
    push(L, "return { 1, 2, 3 }");
    assert_int_equal(carry(L), 6);
    push(L, "return { key = 'value' }");
    assert_int_equal(carry(L), 2 + 2 + 4 + 6 + 1);
    lua_close(L);
}

/* --- what is not plain ------------------------------------------------------------------------------------------------------ */

/* The sentence, with and without writing; and nothing was written. */
static void refused(const char *value, const char *expected)
{
    lua_State *L = new_state(NULL);
    push(L, value);
    for (int looks = 0; looks < 2; looks++) {
        Buffer bytes = buffer_with_headroom(0), problem = buffer_with_headroom(0);
        buffer_append_text(&bytes, "before");
        assert_false(plain_encode(L, -1, "gw.state", looks ? NULL : &bytes, &problem));
        buffer_append(&problem, "", 1);
        assert_string_equal(buffer_slice(&problem).data, expected);
        assert_true(slice_is(buffer_slice(&bytes), "before"));
        assert_int_equal(lua_gettop(L), 1);
        buffer_free(&bytes);
        buffer_free(&problem);
    }
    lua_close(L);
}

static void what_is_not_plain_is_named_with_its_place(void **state)
{
    (void)state;
    refused("return print", "gw.state is a function");
    refused("return { a = { b = { 1, 2, print } } }", "gw.state.a.b[3] is a function");
    refused("return { list = { { co = coroutine.create(print) } } }", "gw.state.list[1].co is a thread");
    refused("return { ['not a name'] = io.stdout }", "gw.state[\"not a name\"] is a userdata");
    refused("return { [2.5] = print }", "gw.state[2.5] is a function");
    refused("return { [-7] = { [true] = print } }", "gw.state[-7][true] is a function");
    refused("return { ['\\xff'] = print }", "gw.state[\"\xEF\xBF\xBD\"] is a function");
    refused("return { o = setmetatable({}, {}) }", "gw.state.o has a metatable");
    refused("return { o = { [{}] = 1 } }", "gw.state.o has a table as a key");
    refused("return { [print] = 1 }", "gw.state has a function as a key");
    refused("return { [json.null] = 1 }", "gw.state has a userdata as a key");
}

static void what_is_too_deep_is_told_in_short(void **state)
{
    (void)state;
    char text[160];
    snprintf(text, sizeof text, "local t = 1 for _ = 1, %d do t = { x = t } end return t", PLAIN_MAX_DEPTH);
    carried(text, "local t, n = ..., 0 while type(t) == 'table' do t, n = t.x, n + 1 end assert(n == 1000)");
    refused("local t = {} for _ = 1, 1000 do t = { x = t } end return t",
            "gw.state.x.x.x.x.x.x.x.x.x.x.x.x….x.x.x.x.x.x.x.x.x.x.x.x is nested too deeply");
}

static void a_member_is_looked_at_with_its_key(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *problem;
    } cases[] = {
        {"'name'", "1", NULL},
        {"1.5", "{}", NULL},
        {"'name'", "nil", NULL},
        {"'name'", "print", "gw.state.name is a function"},
        {"3", "{ { print } }", "gw.state[3][1][1] is a function"},
        {"{}", "1", "gw.state has a table as a key"},
        {"nil", "1", "gw.state has nil as a key"},
        {"0/0", "1", "gw.state has NaN as a key"},
    };
    lua_State *L = new_state(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64];
        Buffer problem = buffer_with_headroom(0);
        snprintf(text, sizeof text, "return %s, %s", cases[i].key, cases[i].value);
        push(L, text);
        assert_int_equal(plain_check_member(L, 1, 2, "gw.state", &problem), cases[i].problem == NULL);
        assert_true(slice_is(buffer_slice(&problem), cases[i].problem ? cases[i].problem : ""));
        assert_int_equal(lua_gettop(L), 2);
        lua_settop(L, 0);
        buffer_free(&problem);
    }
    lua_close(L);
}

/* --- no memory, no sense ---------------------------------------------------------------------------------------------------- */

static int push_in_purse(lua_State *L)
{
    const char *problem = NULL;
    Slice *bytes = lua_touserdata(L, 1);
    return plain_push(L, *bytes, &problem) ? 1 : luaL_error(L, "%s", problem);
}

/* At whichever allocation Lua runs out of memory: the error is raised, the state stays usable, and nothing is lost (a leak is seen by
 * the sanitizer). */
static void memory_may_run_out_anywhere(void **state)
{
    (void)state;
    static const char *const value = "local t = { shared = {}, ('x'):rep(200), { 1, 2, 3 } } for i = 1, 20 do t['key' "
                                     ".. i] = { t.shared, i } end return t";
    lua_State *L = new_state(NULL);
    Buffer bytes = buffer_with_headroom(0), problem = buffer_with_headroom(0);
    push(L, value);
    assert_true(plain_encode(L, -1, "value", &bytes, &problem));
    lua_close(L);
    Purse purse = {.left = SIZE_MAX / 2};
    L = new_state(&purse);
    bool done = false;
    unsigned failures = 0;
    for (size_t left = 0; !done; left += 64) {
        Slice slice = buffer_slice(&bytes);
        lua_gc(L, LUA_GCCOLLECT);
        lua_pushcfunction(L, push_in_purse);
        lua_pushlightuserdata(L, &slice);
        size_t whole = purse.left;
        purse.left = left;
        done = lua_pcall(L, 1, 1, 0) == LUA_OK;
        purse.left += whole - left;
        failures += !done;
        lua_settop(L, 0);
    }
    assert_true(failures > 10);
    lua_close(L);
    buffer_free(&bytes);
    buffer_free(&problem);
}

static void bytes(lua_State *L, Slice from, bool good)
{
    const char *problem = NULL;
    Slice copy = exact_copy(from);
    if (plain_push(L, copy, &problem) != good) fail_msg("%zu bytes: %s", from.size, problem ? problem : "taken");
    assert_int_equal(lua_gettop(L), good);
    assert_int_equal(problem == NULL, good);
    lua_settop(L, 0);
    free_copy(copy);
}

static void every_beginning_of_a_value_is_refused(void **state)
{
    (void)state;
    lua_State *L = new_state(NULL);
    Buffer out = buffer_with_headroom(0), problem = buffer_with_headroom(0);
    push(L, "local t = { ('x'):rep(70), 1.5, 1000, k = { json.null } } t.t = t return t");
    assert_true(plain_encode(L, -1, "value", &out, &problem));
    lua_settop(L, 0);
    Slice whole = buffer_slice(&out);
    for (size_t size = 0; size < whole.size; size++)
        bytes(L, slice_make(whole.data, size), false);
    bytes(L, whole, true);
    buffer_append_char(&out, 0);
    bytes(L, buffer_slice(&out), false);
    buffer_free(&out);
    buffer_free(&problem);
    lua_close(L);
}

#define BYTES(text) slice_make(text, sizeof(text) - 1)

static void nonsense_is_refused(void **state)
{
    (void)state;
    lua_State *L = new_state(NULL);
    bytes(L, BYTES("\x0b"), false);                                          /* the end of nothing */
    bytes(L, BYTES("\x0c"), false);                                          /* no tag */
    bytes(L, BYTES("\x07\x00"), false);                                      /* again, before any table */
    bytes(L, BYTES("\x08\x00\x07\x01\x0b"), false);                          /* … and one that does not exist yet */
    bytes(L, BYTES("\x04\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), false);  /* an integer of 65 bits */
    bytes(L, BYTES("\x04\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), true);   /* the smallest of 64 */
    bytes(L, BYTES("\x06\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x"), false); /* a string of 16 EiB */
    bytes(L, BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x0b"),
          true);                                                    /* a hint of as many elements: just a hint */
    bytes(L, BYTES("\x08\x00\x0a\xff\x81k\xc1\x0b"), true);         /* … and of pairs */
    bytes(L, BYTES("\x08\x00\x0a\x00\x00\xc1\x0b"), false);         /* nil as a key */
    bytes(L, BYTES("\x08\x00\x0a\x00\x03\xc1\x0b"), false);         /* null as a key */
    bytes(L, BYTES("\x08\x00\x0a\x00\x08\x00\x0b\xc1\x0b"), false); /* a table as a key */
    bytes(L, BYTES("\x08\x00\x0a\x00\x05\0\0\0\0\0\0\xf8\x7f\xc1\x0b"), false); /* NaN as a key */
    bytes(L, BYTES("\x08\x00\x0a\x00\x81k\x0b"), false);                        /* a key without a value */
    Buffer deep = buffer_with_headroom(0);
    for (int i = 0; i < 100000; i++)
        buffer_append(&deep, "\x08\x7f", 2);
    bytes(L, buffer_slice(&deep), false);
    buffer_free(&deep);
    lua_close(L);
}

/* Tables inside each other, each of which says that it has as many elements as there are bytes. */
static void hints_cannot_ask_for_more_memory_than_there_are_bytes(void **state)
{
    (void)state;
    Purse purse = {.left = 4u << 20};
    lua_State *L = new_state(&purse);
    Buffer out = buffer_with_headroom(0);
    for (int i = 0; i < 900; i++)
        buffer_append(&out, "\x08\xff\xff\x7f", 4);
    for (int i = 0; i < 20000; i++)
        buffer_append(&out, "\xc1", 1);
    for (int i = 0; i < 900; i++)
        buffer_append(&out, "\x0b", 1);
    Slice slice = buffer_slice(&out);
    lua_pushcfunction(L, push_in_purse);
    lua_pushlightuserdata(L, &slice);
    assert_int_equal(lua_pcall(L, 1, 1, 0), LUA_OK);
    buffer_free(&out);
    lua_close(L);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_stay_what_they_are),
        cmocka_unit_test(tables_stay_what_they_are),
        cmocka_unit_test(arrays_keep_their_mark),
        cmocka_unit_test(shared_tables_stay_shared_and_cycles_closed),
        cmocka_unit_test(it_is_compact),
        cmocka_unit_test(what_is_not_plain_is_named_with_its_place),
        cmocka_unit_test(what_is_too_deep_is_told_in_short),
        cmocka_unit_test(a_member_is_looked_at_with_its_key),
        cmocka_unit_test(memory_may_run_out_anywhere),
        cmocka_unit_test(every_beginning_of_a_value_is_refused),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(hints_cannot_ask_for_more_memory_than_there_are_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
