/* stdlib.c - the standard library inside an app: what would reach beyond the app, or below Lua, is refused.
 *
 * An app shares the process with others, so it cannot end it or change its locale. Source text is all that is loaded:
 * bytecode is not verified, and a crafted one can do anything. Of `debug` stays what looks (traceback, getinfo,
 * getlocal); what reaches into C functions, metatables or the registry could break the bindings' memory. */
#include "api/support.h"

/* Upvalue: what to say. */
static int refuse(lua_State *L)
{
    return luaL_error(L, "%s", lua_tostring(L, lua_upvalueindex(1)));
}

/* Field `name` of the table on top of the stack raises `message`. */
static void refuse_field(lua_State *L, const char *name, const char *message)
{
    lua_pushstring(L, message);
    lua_pushcclosure(L, refuse, 1);
    lua_setfield(L, -2, name);
}

static void restrict_debug(lua_State *L)
{
    static const char *const kept[] = {"traceback", "getinfo", "getlocal", NULL};
    lua_getglobal(L, "debug");
    lua_pushnil(L);
    while (lua_next(L, -2)) { /* debug, name, function */
        const char *name = lua_tostring(L, -2);
        bool keep = false;
        for (size_t i = 0; kept[i] && !keep; i++)
            keep = strcmp(kept[i], name) == 0;
        lua_pop(L, 1);
        if (keep) continue;
        lua_pushfstring(L, "debug.%s is refused inside an app", name);
        lua_pushcclosure(L, refuse, 1); /* debug, name, refusal */
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4); /* a field that is there: the walk goes on */
    }
    lua_pop(L, 1);
}

/* --- text only ---------------------------------------------------------------------------------------------------- */

/* Calls the standard function that is upvalue 1 with mode "t" as argument `mode`. */
static int call_for_text(lua_State *L, int mode)
{
    if (lua_gettop(L) < mode) lua_settop(L, mode);
    lua_pushliteral(L, "t");
    lua_replace(L, mode);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/* chunk [, name [, mode [, env]]] */
static int load_text(lua_State *L)
{
    return call_for_text(L, 3);
}

/* file [, mode [, env]] */
static int load_file(lua_State *L)
{
    luaL_checkstring(L, 1); /* without a name it would read the host's standard input */
    return call_for_text(L, 2);
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
    if (luaL_loadfilex(L, name, "t") != LUA_OK) return lua_error(L);
    lua_callk(L, 0, LUA_MULTRET, 0, done_file);
    return done_file(L, LUA_OK, 0);
}

static void wrap(lua_State *L, const char *name, lua_CFunction wrapper)
{
    lua_getglobal(L, name);
    lua_pushcclosure(L, wrapper, 1);
    lua_setglobal(L, name);
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
    lua_getglobal(L, "os");
    refuse_field(L, "exit",
                 "os.exit is refused inside an app: the host and its other apps go on. To stop handling events, cancel "
                 "the subscriptions; "
                 "to give up, raise an error");
    lua_pushcfunction(L, set_locale);
    lua_setfield(L, -2, "setlocale");
    lua_pop(L, 1);
    wrap(L, "load", load_text);
    wrap(L, "loadfile", load_file);
    lua_pushcfunction(L, do_file);
    lua_setglobal(L, "dofile");
    restrict_debug(L);
}
