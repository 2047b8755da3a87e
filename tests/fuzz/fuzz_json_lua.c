/* fuzz_json_lua.c - the decoder into Lua values takes what json_validate takes, and what it made is encoded to the same values. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <lauxlib.h>

#include "api/json.h"
#include "protocol/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds) abort();
}

/* One state for many texts: what the decoder remembers from one must not change the next. */
static lua_State *shared_state(void)
{
    static lua_State *L;
    if (!L) {
        L = luaL_newstate();
        check(L != NULL);
        json_open(L);
    }
    return L;
}

/* Whether two values are the same all through; an empty array is no empty object. */
static bool same(lua_State *L, int a, int b)
{
    a = lua_absindex(L, a);
    b = lua_absindex(L, b);
    luaL_checkstack(L, 8, NULL);
    if (lua_type(L, a) != LUA_TTABLE) return lua_isinteger(L, a) == lua_isinteger(L, b) && lua_rawequal(L, a, b);
    if (lua_type(L, b) != LUA_TTABLE || lua_rawlen(L, a) != lua_rawlen(L, b)) return false;
    bool marked = lua_getmetatable(L, a);
    if (marked) lua_pop(L, 1);
    bool other = lua_getmetatable(L, b);
    if (other) lua_pop(L, 1);
    if (marked != other) return false;
    for (lua_pushnil(L); lua_next(L, a); lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        lua_rawget(L, b);
        bool equal = same(L, -2, -1);
        lua_pop(L, 1);
        if (!equal) return false;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lua_State *L = shared_state();
    Slice text = slice_make((const char *)data, size);
    JsonError error = {0};
    bool valid = json_validate(text, NULL);
    bool pushed = json_push(L, text, &error);
    check(lua_gettop(L) == pushed);
    if (json_check_utf8(text, NULL)) check(pushed == valid);
    if (!pushed) check(error.text && error.offset <= size);
    if (valid) {
        Buffer out = buffer_with_headroom(0), problem = buffer_with_headroom(0);
        check(json_encode(L, 1, "value", &out, &problem));
        check(json_validate(buffer_slice(&out), NULL));
        check(json_push(L, buffer_slice(&out), NULL));
        check(same(L, 1, 2) && same(L, 2, 1));
        buffer_free(&out);
        buffer_free(&problem);
    }
    lua_settop(L, 0);
    return 0;
}
