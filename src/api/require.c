/* require.c - where `require` looks: the app's own folder, what ships inside the binary, then the system
 * (package.path, package.cpath), which is where lua-cjson is. Source text only. */
#include "api/embedded.h"
#include "api/support.h"

#include <limits.h>
#include <stdio.h>

#define SHIPPED \
    "gatehouse." /* what ships may be named with that in front, to tell it from an app's file of the same name */

/* --- files -------------------------------------------------------------------------------------------------------- */

/* Stack: name, …, file name on top -> loader, file name. Raises for a file that does not compile. */
static int load_file(lua_State *L)
{
    const char *file = lua_tostring(L, -1);
    if (generation_load_file(L, file) != LUA_OK)
        return luaL_error(L, "error loading module '%s' from file '%s':\n\t%s", lua_tostring(L, 1), file,
                          lua_tostring(L, -1));
    lua_insert(L, -2);
    return 2;
}

/* name -> loader, file name | what was tried. A module a.b is a/b.lua or a/b/init.lua. */
static int search_folder(lua_State *L)
{
    static const char *const forms[] = {"%s/%s.lua", "%s/%s/init.lua"};
    const char *folder = generation_folder(generation_of(L)), *path = luaL_gsub(L, luaL_checkstring(L, 1), ".", "/");
    luaL_Buffer tried;
    luaL_buffinit(L, &tried);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        char file[PATH_MAX];
        if (snprintf(file, sizeof file, forms[i], folder, path) >= (int)sizeof file) continue;
        bool there = generation_has_file(L, file);
        if (there && !sandbox_allows_file(L, file))
            return luaL_error(
                L, "module '%s': %s leads out of the app's folder, which is refused: the app runs in a sandbox",
                lua_tostring(L, 1), file);
        if (there) {
            lua_pushstring(L, file);
            return load_file(L);
        }
        lua_pushfstring(L, "%sno file '%s'", i > 0 ? "\n\t" : "", file);
        luaL_addvalue(&tried);
    }
    luaL_pushresult(&tried);
    return 1;
}

/* The same over package.path. Upvalue: the table package */
static int search_path(lua_State *L)
{
    luaL_checkstring(L, 1);
    lua_settop(L, 1);
    lua_getfield(L, lua_upvalueindex(1), "searchpath");
    lua_pushvalue(L, 1);
    lua_getfield(L, lua_upvalueindex(1), "path");
    lua_call(L, 2, 2); /* name, file or nil, what was tried */
    if (lua_isnil(L, 2)) return 1;
    lua_settop(L, 2);
    return load_file(L);
}

/* --- what ships --------------------------------------------------------------------------------------------------- */

static const EmbeddedFile *find_embedded(const char *name)
{
    for (const EmbeddedFile *file = gatehouse_embedded_files; file->name; file++)
        if (strcmp(file->name, name) == 0) return file;
    return NULL;
}

/* Pushes the compiled file; its chunk is called gatehouse/<name> in messages. */
static void push_embedded(lua_State *L, const EmbeddedFile *file)
{
    const char *chunk = lua_pushfstring(L, "@gatehouse/%s", file->name);
    if (luaL_loadbufferx(L, file->data, file->size, chunk, "t") != LUA_OK) lua_error(L);
    lua_remove(L, -2);
}

void require_embedded(lua_State *L, const char *name, int args)
{
    const EmbeddedFile *file = find_embedded(name);
    if (!file) {
        luaL_error(L, "%s does not ship with this binary", name);
        return;
    }
    push_embedded(L, file);
    lua_insert(L, -1 - args);
    lua_call(L, args, 1);
}

/* A module that is there already, under the name without SHIPPED. */
static int give_loaded(lua_State *L)
{
    lua_settop(L, 2); /* name, the module */
    return 1;
}

/* name -> loader, where | what was tried */
static int search_embedded(lua_State *L)
{
    static const char *const forms[] = {"%s.lua", "%s/init.lua"};
    const char *name = luaL_checkstring(L, 1);
    bool marked = strncmp(name, SHIPPED, sizeof SHIPPED - 1) == 0;
    if (marked) {
        name += sizeof SHIPPED - 1;
        luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
        lua_pushcfunction(L, give_loaded);
        if (lua_getfield(L, -2, name) != LUA_TNIL) return 2;
    }
    const char *path = luaL_gsub(L, name, ".", "/");
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        char text[256];
        if (snprintf(text, sizeof text, forms[i], path) >= (int)sizeof text) continue;
        const EmbeddedFile *file = find_embedded(text);
        if (!file) continue;
        push_embedded(L, file);
        lua_pushfstring(L, "gatehouse/%s", file->name);
        return 2;
    }
    lua_pushfstring(L, "nothing that ships is named '%s'", name);
    return 1;
}

/* --- the list ----------------------------------------------------------------------------------------------------- */

/* The standard list is: preload, Lua files, C library, all-in-one C library. The second is ours, three in its place; in a sandbox it ends
 * before those that look on the system. */
void require_open(lua_State *L)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchers"); /* package, old */
    lua_createtable(L, 6, 0);         /* package, old, new */
    lua_rawgeti(L, -2, 1);
    lua_rawseti(L, -2, 1);
    lua_pushcfunction(L, search_folder);
    lua_rawseti(L, -2, 2);
    lua_pushcfunction(L, search_embedded);
    lua_rawseti(L, -2, 3);
    lua_pushvalue(L, -3);
    lua_pushcclosure(L, search_path, 1);
    lua_rawseti(L, -2, 4);
    lua_rawgeti(L, -2, 3);
    lua_rawseti(L, -2, 5);
    lua_rawgeti(L, -2, 4);
    lua_rawseti(L, -2, 6);
    /* `require` keeps the table that it was made with: its content changes. */
    for (int i = 1; i <= 6; i++) {
        if (i > 3 && sandboxed(L))
            lua_pushnil(L);
        else
            lua_rawgeti(L, -1, i);
        lua_rawseti(L, -3, i);
    }
    lua_pop(L, 3);
}
