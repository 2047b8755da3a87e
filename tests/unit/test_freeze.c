/* test_freeze.c - at whichever allocation memory runs out: each table is frozen or as it was, and all of its content can be read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/freeze.h"
#include "api/json.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>

typedef struct {
    size_t left; /* bytes that Lua may still get */
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

static int freeze(lua_State *L)
{
    freeze_tables(L, 1);
    return 0;
}

static void call(lua_State *L, const char *text)
{
    if (luaL_loadstring(L, text)) fail_msg("%s", lua_tostring(L, -1));
    lua_insert(L, -2);
    if (lua_pcall(L, 1, 1, 0)) fail_msg("%s", lua_tostring(L, -1));
}

/* Its argument is the state. Returns how many of its tables are frozen; the content has to be there in any case. */
static const char *const look = "local s, n, frozen = ..., 0, 0\n"
                                "for i = 1, 40 do\n"
                                "  local t = s['k' .. i]\n"
                                "  assert(#t == 40 and t.next == s['k' .. i % 40 + 1])\n"
                                "  for k, v in ipairs(t) do assert(k * i == v) end\n"
                                "  if getmetatable(t) == 'gw.state' then frozen = frozen + 1 end\n"
                                "end\n"
                                "for _ in pairs(s) do n = n + 1 end\n"
                                "assert(n == 40)\n"
                                "return frozen";

static void no_content_is_lost_when_memory_runs_out(void **state)
{
    (void)state;
    unsigned whole = 0, partly = 0, frozen = 0;
    for (size_t left = 0; frozen == 0; left += 200) {
        Purse purse = {.left = SIZE_MAX / 2};
        lua_State *L = lua_newstate(spend, &purse);
        assert_non_null(L);
        luaL_openlibs(L);
        json_open(L);
        lua_settop(L, 0);
        if (luaL_dostring(L, "local s = {}\n"
                             "for i = 1, 40 do s['k' .. i] = {} end\n"
                             "for i = 1, 40 do\n"
                             "  local t = s['k' .. i]\n"
                             "  for k = 1, 40 do t[k] = k * i end\n"
                             "  t.next = s['k' .. i % 40 + 1]\n"
                             "end\n"
                             "return s"))
            fail_msg("%s", lua_tostring(L, -1));
        lua_gc(L, LUA_GCCOLLECT);
        lua_pushcfunction(L, freeze);
        lua_pushvalue(L, 1);
        size_t before = purse.left;
        purse.left = left;
        bool fine = lua_pcall(L, 1, 0, 0) == LUA_OK;
        purse.left += before - left;
        lua_settop(L, 1);
        lua_pushvalue(L, 1);
        call(L, look);
        lua_Integer refused = lua_tointeger(L, -1);
        if (fine) assert_int_equal(refused, 40);
        whole += refused == 0;
        partly += refused > 0 && refused < 40;
        frozen += fine;
        lua_close(L);
    }
    assert_true(whole > 0 && partly > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_content_is_lost_when_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
