/* support.c - see support.h. */
#include "api/support.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

void class_new(lua_State *L, const char *name, const luaL_Reg *methods)
{
    luaL_newmetatable(L, name);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, name);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

/* --- arguments ---------------------------------------------------------------------------------------------------- */

#define LONGEST_S 3.2e9 /* a hundred years, so that sums of times stay far from overflow */

/* The number at `index` as milliseconds; -1 for what is none. */
static int64_t to_ms(lua_State *L, int index, int64_t least_ms)
{
    if (lua_type(L, index) != LUA_TNUMBER) return -1;
    double seconds = lua_tonumber(L, index);
    if (!(seconds >= 0)) return -1;
    int64_t ms = (int64_t)ceil((seconds < LONGEST_S ? seconds : LONGEST_S) * 1000);
    if (ms < least_ms) return seconds > 0 ? least_ms : -1;
    return ms;
}

static const char *seconds_expected(int64_t least_ms)
{
    return least_ms > 0 ? "a number of seconds above 0 is expected" : "a number of seconds from 0 on is expected";
}

int64_t check_ms(lua_State *L, int arg, int64_t least_ms)
{
    luaL_checktype(L, arg, LUA_TNUMBER);
    int64_t ms = to_ms(L, arg, least_ms);
    if (ms < 0) luaL_argerror(L, arg, seconds_expected(least_ms));
    return ms;
}

static void refuse_option(lua_State *L, int arg, const char *const *names)
{
    luaL_Buffer list;
    const char *unknown = luaL_tolstring(L, -1, NULL);
    luaL_buffinit(L, &list);
    for (size_t i = 0; names[i]; i++) {
        if (i > 0) luaL_addstring(&list, ", ");
        luaL_addstring(&list, names[i]);
    }
    luaL_pushresult(&list);
    luaL_argerror(L, arg, lua_pushfstring(L, "there is no option '%s'; known: %s", unknown, lua_tostring(L, -1)));
}

bool check_options(lua_State *L, int arg, const char *const *names)
{
    if (lua_isnoneornil(L, arg)) return false;
    luaL_checktype(L, arg, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, arg)) { /* …, name, value */
        bool known = false;
        lua_pop(L, 1);
        for (size_t i = 0; names[i] && !known; i++)
            known = lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), names[i]) == 0;
        if (!known) refuse_option(L, arg, names);
    }
    return true;
}

static void wrong_option(lua_State *L, int arg, const char *name, const char *expected)
{
    const char *got = lua_type(L, -1) == LUA_TNUMBER ? lua_tostring(L, -1) : luaL_typename(L, -1);
    luaL_argerror(L, arg, lua_pushfstring(L, "option '%s': %s, got %s", name, expected, got));
}

bool option_flag(lua_State *L, int arg, const char *name)
{
    int type = lua_getfield(L, arg, name);
    if (type != LUA_TNIL && type != LUA_TBOOLEAN) wrong_option(L, arg, name, "true or false is expected");
    bool flag = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return flag;
}

int64_t option_ms(lua_State *L, int arg, const char *name, int64_t least_ms, int64_t otherwise)
{
    int64_t ms = otherwise;
    if (lua_getfield(L, arg, name) != LUA_TNIL) {
        ms = to_ms(L, -1, least_ms);
        if (ms < 0) wrong_option(L, arg, name, seconds_expected(least_ms));
    }
    lua_pop(L, 1);
    return ms;
}

lua_Integer option_count(lua_State *L, int arg, const char *name, lua_Integer otherwise)
{
    lua_Integer count = otherwise;
    if (lua_getfield(L, arg, name) != LUA_TNIL) {
        count = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
        if (count < 1) wrong_option(L, arg, name, "an integer from 1 on is expected");
    }
    lua_pop(L, 1);
    return count;
}

int option_function(lua_State *L, int arg, const char *name)
{
    int type = lua_getfield(L, arg, name);
    if (type == LUA_TNIL) {
        lua_pop(L, 1);
        return 0;
    }
    if (type != LUA_TFUNCTION) wrong_option(L, arg, name, "a function is expected");
    return lua_gettop(L);
}

void check_can_wait(lua_State *L, const char *who)
{
    if (task_current(L) == 0) {
        const char *reason = generation_loading(generation_of(L))
                                 ? "the main chunk of an app cannot, since there is no connection yet: put it into "
                                   "gw.on(\"@ready\", function() … end), "
                                   "a timer or task.spawn"
                                 : "a coroutine made by the script cannot: use task.spawn in place of coroutine.create";
        luaL_error(L, "%s waits, which %s", who, reason);
    }
    if (!lua_isyieldable(L))
        luaL_error(
            L,
            "%s waits, which is not possible inside a function that C calls back (table.sort, string.gsub, require …)",
            who);
}

/* --- results ------------------------------------------------------------------------------------------------------ */

void api_log(lua_State *L, LogLevel level, const char *format, ...)
{
    char message[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    generation_log(generation_of(L), level, slice_of(message), slice_of(""));
}

static int scratch_gc(lua_State *L)
{
    buffer_free(lua_touserdata(L, 1));
    return 0;
}

Buffer *scratch_new(lua_State *L, size_t headroom)
{
    Buffer *buffer = lua_newuserdatauv(L, sizeof *buffer, 0);
    *buffer = buffer_with_headroom(headroom);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, scratch_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    return buffer;
}
