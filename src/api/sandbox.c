/* sandbox.c - what is taken away from an app with `sandbox = true`: all that reaches beyond its own state and its own folder.
 *
 * The libraries stay where they are, so that a script that uses what is not there is told so by name. What `require` finds is in
 * require.c, the folder of gw.read_file in gw.c. */
#include "api/support.h"

#include <limits.h>
#include <stdlib.h>

#define WHY " is refused: the app runs in a sandbox (setting `sandbox`)"

static void refuse_global(lua_State *L, const char *name)
{
    lua_pushfstring(L, "%s" WHY, name);
    refusal_push(L);
    lua_setglobal(L, name);
}

/* [option]: looking and collecting is fine, the collector's settings are the host's. Upvalue: the standard function */
static int collect_garbage(lua_State *L)
{
    static const char *const allowed[] = {"collect", "count", "step", "isrunning", NULL};
    const char *option = luaL_optstring(L, 1, "collect");
    if (!is_one_of(option, allowed)) return luaL_error(L, "collectgarbage(\"%s\")" WHY, option);
    lua_settop(L, 1); /* a step has no size */
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* All strings of the state share it. */
static void protect_string_metatable(lua_State *L)
{
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushliteral(L, "string");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
}

bool sandboxed(lua_State *L)
{
    return generation_config(generation_of(L))->sandbox;
}

bool sandbox_allows_file(lua_State *L, const char *path)
{
    char folder[PATH_MAX], file[PATH_MAX];
    if (!sandboxed(L)) return true;
    if (!realpath(generation_folder(generation_of(L)), folder)) return false;
    if (!realpath(path, file)) return true; /* it is not there, which whoever opens it will say */
    size_t size = strcmp(folder, "/") == 0 ? 0 : strlen(folder);
    return strncmp(file, folder, size) == 0 && file[size] == '/';
}

void sandbox_close(lua_State *L)
{
    static const char *const nothing[] = {NULL};
    static const char *const os[] = {"clock", "date", "difftime", "time", "setlocale", NULL};
    static const char *const package[] = {"config", "loaded", "preload", "searchers", NULL};
    if (!sandboxed(L)) return;
    library_keep_only(L, "io", nothing, WHY);
    library_keep_only(L, "debug", nothing, WHY);
    library_keep_only(L, "os", os, WHY);
    library_keep_only(L, "package", package, WHY);
    refuse_global(L, "dofile");
    refuse_global(L, "loadfile");
    lua_getglobal(L, "collectgarbage");
    lua_pushcclosure(L, collect_garbage, 1);
    lua_setglobal(L, "collectgarbage");
    protect_string_metatable(L);
}
