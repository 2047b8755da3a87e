/* state.c - gw.state: plain data that outlives a generation.
 *
 * What the script holds is a userdata that stands in front of a table: so every assignment to gw.state.<name> passes
 * by here and is refused if it cannot be carried, deep down. The tables inside are ordinary ones; what the script
 * does to them is looked at when the state is saved. A userdata rather than an empty table in front, so that
 * next(gw.state) fails instead of finding nothing.
 *
 * It is saved as <data folder>/state.json when the generation ends, and read when the next one begins. */
#define _GNU_SOURCE /* strerror_r */
#include "api/json.h"
#include "api/support.h"
#include "app/file.h"
#include "app/atomic_file.h"
#include "protocol/json_scan.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define CLASS "gw.state"
#define STATE_BYTES (64u << 20)

static const char table_key, scratch_key; /* addresses: names in the registry */

/* --- what can be carried ------------------------------------------------------------------------------------------ */

static Buffer *cleared_scratch(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &scratch_key);
    Buffer *scratch = lua_touserdata(L, -1); /* stays reachable: it is in the registry */
    lua_pop(L, 1);
    buffer_clear(scratch);
    return scratch;
}

/* Into `json`, what was in it is gone. False with a sentence: where in `root` is what. */
static bool encode(lua_State *L, int index, const char *root, Buffer *json, char *problem, size_t problem_size)
{
    Buffer sentence = buffer_with_headroom(0);
    buffer_clear(json);
    bool fine = json_encode(L, index, root, json, &sentence) && !json->failed;
    if (!fine) snprintf(problem, problem_size, "%.*s", SLICE_ARGS(buffer_slice(&sentence)));
    buffer_free(&sentence);
    return fine;
}

/* The same for one member as it will stand in the state: name and depth count too. */
static bool encode_member(lua_State *L, int key, int value, Buffer *json, char *problem, size_t problem_size)
{
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, key);
    lua_pushvalue(L, value);
    lua_rawset(L, -3);
    bool fine = encode(L, lua_gettop(L), "gw.state", json, problem, problem_size);
    lua_pop(L, 1);
    return fine;
}

/* Raises unless key and value can be carried. */
static void check_member(lua_State *L, int key, int value)
{
    char problem[512];
    if (lua_type(L, key) != LUA_TSTRING)
        luaL_error(L, "gw.state[%s]: its names are strings; keep a list in a field, such as gw.state.list",
                   luaL_tolstring(L, key, NULL));
    if (!lua_isnil(L, value) && !encode_member(L, key, value, cleared_scratch(L), problem, sizeof problem))
        luaL_error(L, "%s, and gw.state holds plain data only", problem);
}

/* --- the script's side: upvalue 1 is the table -------------------------------------------------------------------- */

/* state, key */
static int get(lua_State *L)
{
    lua_settop(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    return 1;
}

/* state, key, value */
static int set(lua_State *L)
{
    lua_settop(L, 3);
    check_member(L, 2, 3);
    lua_rawset(L, lua_upvalueindex(1));
    return 0;
}

/* state, key -> key, value */
static int following(lua_State *L)
{
    lua_settop(L, 2);
    if (lua_next(L, lua_upvalueindex(1))) return 2;
    lua_pushnil(L);
    return 1;
}

static int pairs(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, following, 1);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

static void push_table(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &table_key);
}

/* gw.state = gw.state or {} is a habit. */
static bool is_state(lua_State *L, int index)
{
    if (!luaL_getmetafield(L, index, "__name")) return false;
    bool is = lua_isuserdata(L, index) && lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), CLASS) == 0;
    lua_pop(L, 1);
    return is;
}

void state_replace(lua_State *L, int index)
{
    if (is_state(L, index)) return;
    if (!lua_istable(L, index)) luaL_error(L, "gw.state is a table: assign to its fields, or a table of plain data");
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
        check_member(L, lua_gettop(L) - 1, lua_gettop(L));
    push_table(L);
    int table = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, table)) { /* table, name, value: emptying while walking is allowed */
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, table);
    }
    lua_pushnil(L);
    while (lua_next(L, index)) { /* table, name, value */
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, table);
    }
    lua_settop(L, table - 1);
}

/* --- the file ----------------------------------------------------------------------------------------------------- */

/* False if there is no data folder. */
static bool state_path(lua_State *L, char path[PATH_MAX])
{
    const char *folder = generation_config(generation_of(L))->data_dir;
    return folder && snprintf(path, PATH_MAX, "%s/state.json", folder) < PATH_MAX;
}

/* What the operator may still want to look at stays; the app begins with an empty state. */
static void move_aside(lua_State *L, const char *path, const char *what)
{
    char aside[PATH_MAX], reason[128];
    if (generation_config(generation_of(L))->dry_run) {
        api_log(L, LOG_WARN, "%s %s: the app would begin with an empty gw.state", path, what);
        return;
    }
    bool fits = snprintf(aside, sizeof aside, "%s.broken-%lld", path, (long long)time(NULL)) < (int)sizeof aside;
    if (!fits || rename(path, aside) != 0)
        luaL_error(L, "%s %s, and cannot be moved aside: %s", path, what,
                   fits ? strerror_r(errno, reason, sizeof reason) : "the name is too long");
    api_log(L, LOG_WARN, "%s %s: moved to %s, the app begins with an empty gw.state", path, what, aside);
}

/* Pushes the table of the file, or an empty one. A file that cannot be read raises: it would be overwritten at the
 * end. */
static void push_saved(lua_State *L)
{
    char path[PATH_MAX], problem[512];
    Buffer *text = cleared_scratch(L);
    FileResult result =
        state_path(L, path) ? file_read(path, STATE_BYTES, text, problem, sizeof problem) : FILE_MISSING;
    if (result == FILE_FAILED || result == FILE_TOO_LARGE) luaL_error(L, "gw.state cannot be restored: %s", problem);
    if (result == FILE_READ) {
        JsonError error = {0, "an object is expected"};
        Slice json = buffer_slice(text);
        const char *first = json_skip_space(json.data, json.data + json.size);
        bool object = first < json.data + json.size && *first == '{';
        if (object && json_check_utf8(json, &error) && json_push(L, json, &error)) return;
        lua_pushfstring(L, "is broken (byte %I: %s)", (lua_Integer)error.offset, error.text);
        move_aside(L, path, lua_tostring(L, -1));
        lua_pop(L, 1);
    }
    lua_newtable(L);
}

void state_push(lua_State *L)
{
    static const luaL_Reg methods[] = {{"__index", get}, {"__newindex", set}, {"__pairs", pairs}, {NULL, NULL}};
    scratch_new(L, 0);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &scratch_key);
    push_saved(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &table_key); /* table */
    lua_newuserdatauv(L, 0, 0);
    lua_createtable(L, 0, 5); /* table, state, class */
    lua_pushvalue(L, -3);
    luaL_setfuncs(L, methods, 1);
    lua_pushliteral(L, CLASS);
    lua_setfield(L, -2, "__name");
    lua_pushliteral(L, CLASS);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_remove(L, -2);
}

/* Stack: …, table. Takes out, with an error in the log for each, the members that cannot be saved. */
static void drop_what_cannot_be_saved(lua_State *L, Buffer *scratch)
{
    char problem[512];
    int table = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, table)) { /* table, name, value */
        if (!encode_member(L, table + 1, table + 2, scratch, problem, sizeof problem)) {
            api_log(L, LOG_ERROR, "%s: gw.state.%.100s is not saved", problem, lua_tostring(L, table + 1));
            lua_pushvalue(L, table + 1);
            lua_pushnil(L);
            lua_rawset(L, table);
        }
        lua_settop(L, table + 1);
    }
}

void state_save(lua_State *L)
{
    char path[PATH_MAX], problem[512];
    Buffer *json = cleared_scratch(L);
    if (!state_path(L, path)) return;
    push_table(L);
    if (!encode(L, lua_gettop(L), "gw.state", json, problem, sizeof problem)) {
        drop_what_cannot_be_saved(L, json);
        if (!encode(L, lua_gettop(L), "gw.state", json, problem, sizeof problem)) luaL_error(L, "%s", problem);
    }
    /* An app that keeps nothing leaves no file. */
    bool empty = slice_is(buffer_slice(json), "{}") && access(path, F_OK) != 0;
    lua_pop(L, 1);
    if (!empty && atomic_file_write(path, buffer_slice(json), problem, sizeof problem) != ATOMIC_FILE_DONE)
        luaL_error(L, "gw.state is not saved: %s", problem);
}
