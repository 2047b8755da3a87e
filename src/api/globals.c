/* globals.c - strict globals: a name that nobody defined raises where it is read, and so does the assignment that
 * would define it. */
#include "api/support.h"

/* What other versions of Lua, or other hosts, have. Modules probe for them (`table.unpack or unpack`), so they read
 * as nil. */
static const char *const probed[] = {"unpack", "loadstring", "setfenv", "getfenv", "module", "newproxy",
                                     "jit",    "bit",        "bit32",   "ngx",     NULL};

/* _G, name */
static int read_undefined(lua_State *L)
{
    const char *name = luaL_tolstring(L, 2, NULL);
    for (size_t i = 0; probed[i]; i++)
        if (strcmp(name, probed[i]) == 0) return 0;
    return luaL_error(L, "undefined global '%s'", name);
}

/* _G, name, value */
static int define(lua_State *L)
{
    const char *name = luaL_tolstring(L, 2, NULL);
    return luaL_error(L, "assignment to undefined global '%s': write 'local %s' (or 'local function')", name, name);
}

void globals_make_strict(lua_State *L)
{
    lua_pushglobaltable(L);
    lua_createtable(L, 0, 3);
    lua_pushcfunction(L, read_undefined);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, define);
    lua_setfield(L, -2, "__newindex");
    lua_pushliteral(L, "globals");
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}
