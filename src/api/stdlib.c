/* stdlib.c - the standard library inside an app: what would reach beyond the app, or below Lua, is refused.
 *
 * An app shares the process with others, so it cannot end it or change its locale. Source text is all that is loaded:
 * bytecode is not verified, and a crafted one can do anything. Of `debug` stays what looks (traceback, getinfo,
 * getlocal); what reaches into C functions, metatables or the registry could break the bindings' memory. Coroutines, and what
 * would escape the CPU budget, have files of their own, and so has what the sandbox takes away. */
#include "api/support.h"

#include <limits.h>

/* Upvalue: what to say. */
static int refuse(lua_State *L)
{
    return luaL_error(L, "%s", lua_tostring(L, lua_upvalueindex(1)));
}

void refusal_push(lua_State *L)
{
    lua_pushcclosure(L, refuse, 1);
}

bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0) return true;
    return false;
}

void library_keep_only(lua_State *L, const char *library, const char *const *kept, const char *why)
{
    lua_getglobal(L, library);
    lua_pushnil(L);
    while (lua_next(L, -2)) { /* library, name, value */
        bool function = lua_isfunction(L, -1);
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING && is_one_of(lua_tostring(L, -1), kept)) continue;
        lua_pushvalue(L, -1); /* library, name, name */
        if (function) {
            lua_pushfstring(L, "%s.%s%s", library, lua_tostring(L, -1), why);
            refusal_push(L);
        } else {
            lua_pushnil(L);
        }
        lua_rawset(L, -4); /* a field that is there: the walk goes on */
    }
    lua_pop(L, 1);
}

/* Field `name` of the table on top of the stack raises `message`. */
static void refuse_field(lua_State *L, const char *name, const char *message)
{
    lua_pushstring(L, message);
    refusal_push(L);
    lua_setfield(L, -2, name);
}

/* In each field of the global table `name` the wrapper takes the place of the function, and has that as upvalue 1. */
static void wrap(lua_State *L, const char *name, const luaL_Reg *wrappers)
{
    lua_getglobal(L, name);
    for (; wrappers->name; wrappers++) {
        lua_getfield(L, -1, wrappers->name);
        lua_pushcclosure(L, wrappers->func, 1);
        lua_setfield(L, -2, wrappers->name);
    }
    lua_pop(L, 1);
}

/* Calls the standard function that is upvalue 1 with the arguments on the stack. */
static int call_original(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/* Calls the standard function of `debug` that is upvalue 1; a level of this stack counts from the wrapper, not from it. */
static int call_looker(lua_State *L)
{
    int level = lua_isthread(L, 1) ? 2 : 1;
    bool own_stack = level == 1 || lua_tothread(L, 1) == L;
    if (own_stack && lua_isinteger(L, level) && lua_tointeger(L, level) >= 0) {
        lua_pushinteger(L, lua_tointeger(L, level) < INT_MAX ? lua_tointeger(L, level) + 1 : INT_MAX);
        lua_replace(L, level);
    }
    return call_original(L);
}

/* [thread,] level or function [, what]. The functions of the host that stand on the stack are not for the script to call: they
 * take pointers. */
static int get_info(lua_State *L)
{
    bool asked_for_it = lua_isfunction(L, lua_isthread(L, 1) ? 2 : 1);
    int results = call_looker(L);
    if (asked_for_it || !lua_istable(L, -1)) return results;
    lua_getfield(L, -1, "func");
    bool hide = lua_iscfunction(L, -1);
    lua_pop(L, 1);
    if (!hide) return results;
    lua_pushnil(L);
    lua_setfield(L, -2, "func");
    return results;
}

/* [thread,] level or function, number. Nor are the values that they work with. */
static int get_local(lua_State *L)
{
    int results = call_looker(L);
    bool hide = lua_type(L, 1) == LUA_TSTRING && strcmp(lua_tostring(L, 1), "(C temporary)") == 0;
    return hide ? 0 : results;
}

/* --- text only ---------------------------------------------------------------------------------------------------- */

/* The standard function that is upvalue 1 with mode "t" as argument `mode`. */
static int call_for_text(lua_State *L, int mode)
{
    if (lua_gettop(L) < mode) lua_settop(L, mode);
    lua_pushliteral(L, "t");
    lua_replace(L, mode);
    return call_original(L);
}

/* chunk [, name [, mode [, env]]] */
static int load_text(lua_State *L)
{
    return call_for_text(L, 3);
}

/* file [, mode [, env]]. The file is one of the app's sources from then on. */
static int load_file(lua_State *L)
{
    const char *file = luaL_checkstring(L, 1); /* without a name it would read the host's standard input */
    bool has_globals = !lua_isnone(L, 3);
    lua_settop(L, 3);
    if (generation_load_file(L, file) != LUA_OK) {
        luaL_pushfail(L);
        lua_insert(L, -2);
        return 2;
    }
    if (!has_globals) return 1;
    lua_pushvalue(L, 3);
    if (!lua_setupvalue(L, -2, 1)) lua_pop(L, 1);
    return 1;
}

static int done_file(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    return lua_gettop(L) - 1;
}

static int do_file(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    lua_settop(L, 1);
    if (generation_load_file(L, name) != LUA_OK) return lua_error(L);
    lua_callk(L, 0, LUA_MULTRET, 0, done_file);
    return done_file(L, LUA_OK, 0);
}

/* --- the process -------------------------------------------------------------------------------------------------- */

/* [locale [, category]]: asking is fine */
static int set_locale(lua_State *L)
{
    if (!lua_isnoneornil(L, 1))
        return luaL_error(L, "os.setlocale is refused inside an app: the locale belongs to the whole process");
    lua_pushliteral(L, "C");
    return 1;
}

void stdlib_restrict(lua_State *L)
{
    static const luaL_Reg loaders[] = {{"load", load_text}, {NULL, NULL}};
    static const char *const kept[] = {"traceback", "getinfo", "getlocal", NULL};
    static const luaL_Reg lookers[] = {{"getinfo", get_info}, {"getlocal", get_local}, {NULL, NULL}};
    lua_getglobal(L, "os");
    refuse_field(L, "exit",
                 "os.exit is refused inside an app: the host and its other apps go on. To stop handling events, cancel "
                 "the subscriptions; "
                 "to give up, raise an error");
    lua_pushcfunction(L, set_locale);
    lua_setfield(L, -2, "setlocale");
    lua_pop(L, 1);
    wrap(L, "_G", loaders);
    lua_pushcfunction(L, load_file);
    lua_setglobal(L, "loadfile");
    lua_pushcfunction(L, do_file);
    lua_setglobal(L, "dofile");
    library_keep_only(L, "debug", kept, " is refused inside an app");
    wrap(L, "debug", lookers);
}
