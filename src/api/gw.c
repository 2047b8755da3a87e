/* gw.c - the module gw: handlers, what is known of the connection, the app itself. gw.send and gw.state have files of
 * their own. */
#include "api/json.h"
#include "api/support.h"
#include "app/file.h"

#include <limits.h>
#include <stdio.h>
#include <time.h>

#define SUBSCRIPTION "gatehouse.subscription"
#define PATTERN_BYTES 200

/* --- handlers ----------------------------------------------------------------------------------------------------- */

static const char *const host_events[] = {"@ready", "@closed", "@gap", "@paused", "@start", "@stop", NULL};

static void check_host_event(lua_State *L, int arg, const char *name)
{
    for (size_t i = 0; host_events[i]; i++)
        if (strcmp(name, host_events[i]) == 0) return;
    luaL_argerror(
        L, arg,
        lua_pushfstring(L, "there is no host event '%s'; known: @ready, @closed, @gap, @paused, @start, @stop", name));
}

/* A name, a prefix that ends in `*`, or `*`. */
static Slice check_pattern(lua_State *L, int arg)
{
    Slice pattern;
    luaL_checktype(L, arg, LUA_TSTRING);
    pattern.data = lua_tolstring(L, arg, &pattern.size);
    const char *star = memchr(pattern.data, '*', pattern.size);
    luaL_argcheck(L, pattern.size > 0 && pattern.size <= PATTERN_BYTES && strlen(pattern.data) == pattern.size, arg,
                  "the name of an event is expected");
    luaL_argcheck(L, !star || star == pattern.data + pattern.size - 1, arg, "a '*' stands at the end: \"session.*\"");
    if (*pattern.data == '@') check_host_event(L, arg, pattern.data);
    return pattern;
}

static int subscribe(lua_State *L, Slice pattern, int key_index, const HandlerOptions *options)
{
    uint64_t *id = lua_newuserdatauv(L, sizeof *id, 0);
    *id = handler_add(L, pattern, 2, key_index, options);
    luaL_setmetatable(L, SUBSCRIPTION);
    return 1;
}

/* event, function [, options] -> subscription */
static int gw_on(lua_State *L)
{
    static const char *const names[] = {"concurrency", "key", "queue", NULL};
    HandlerOptions options = {0};
    int key_index = 0;
    Slice pattern = check_pattern(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 3);
    if (check_options(L, 3, names)) {
        lua_Integer concurrency = option_count(L, 3, "concurrency", 0), queue = option_count(L, 3, "queue", 0);
        options.concurrency = concurrency > INT_MAX ? INT_MAX : (unsigned)concurrency;
        options.queue = (size_t)queue;
        key_index = option_function(L, 3, "key");
        if (key_index && concurrency)
            luaL_argerror(
                L, 3, "options 'key' and 'concurrency' exclude each other: with a key, events of one key run in order");
    }
    return subscribe(L, pattern, key_index, &options);
}

/* event, function -> subscription */
static int gw_once(lua_State *L)
{
    const HandlerOptions options = {.once = true};
    Slice pattern = check_pattern(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    luaL_argcheck(L, lua_isnoneornil(L, 3), 3, "gw.once takes no options");
    return subscribe(L, pattern, 0, &options);
}

/* subscription -> whether it was there */
static int subscription_cancel(lua_State *L)
{
    uint64_t *id = luaL_checkudata(L, 1, SUBSCRIPTION);
    lua_pushboolean(L, handler_remove(L, *id));
    return 1;
}

/* --- what is known ------------------------------------------------------------------------------------------------ */

static int gw_info(lua_State *L)
{
    if (!json_push(L, generation_connection(generation_of(L)), NULL))
        return luaL_error(L, "gw.info: the host's answer is not valid JSON");
    return 1;
}

static int gw_now(lua_State *L)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now); /* the clock of timers */
    lua_pushnumber(L, (lua_Number)now.tv_sec + (lua_Number)now.tv_nsec / 1e9);
    return 1;
}

/* Whether a path stays inside of the folder that it is relative to. */
static bool stays_inside(const char *path)
{
    if (*path == '/' || *path == 0) return false;
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == 0)) return false;
    }
    return true;
}

/* path -> text | nil, err. Upvalue: a buffer */
static int gw_read_file(lua_State *L)
{
    Generation *generation = generation_of(L);
    Buffer *scratch = lua_touserdata(L, lua_upvalueindex(1));
    char full[PATH_MAX], problem[512];
    size_t size;
    luaL_checktype(L, 1, LUA_TSTRING);
    const char *path = lua_tolstring(L, 1, &size);
    if (strlen(path) != size || !stays_inside(path) ||
        snprintf(full, sizeof full, "%s/%s", generation_folder(generation), path) >= (int)sizeof full)
        return api_fail(L, "BAD_PATH",
                        "gw.read_file reads files of the app's folder, by a path relative to it: '%.200s' is none",
                        path);
    if (!sandbox_allows_file(L, full))
        return api_fail(
            L, "BAD_PATH",
            "gw.read_file: %.200s leads out of the app's folder, which is refused: the app runs in a sandbox", path);
    size_t limit_bytes = generation_config(generation)->memory_bytes;
    buffer_clear(scratch);
    switch (generation_read(L, full, limit_bytes ? limit_bytes : APP_MEMORY_BYTES, scratch, problem, sizeof problem)) {
    case FILE_READ: {
        Slice text = buffer_slice(scratch);
        lua_pushlstring(L, text.data, text.size);
        buffer_free(scratch);
        return 1;
    }
    case FILE_MISSING: return api_fail(L, "NOT_FOUND", "%s", problem);
    case FILE_TOO_LARGE: buffer_free(scratch); return api_fail(L, "TOO_LARGE", "%s", problem);
    case FILE_FAILED: break;
    }
    buffer_free(scratch);
    return api_fail(L, "READ_FAILED", "%s", problem);
}

/* gw.app */
static void push_app(lua_State *L)
{
    const Generation *generation = generation_of(L);
    const AppConfig *config = generation_config(generation);
    JsonError error;
    lua_createtable(L, 0, 4);
    lua_pushstring(L, config->name);
    lua_setfield(L, -2, "name");
    lua_pushinteger(L, generation_number(generation));
    lua_setfield(L, -2, "generation");
    lua_pushstring(L, config->data_dir);
    lua_setfield(L, -2, "data_dir");
    if (!json_push(L, slice_of(config->settings ? config->settings : "{}"), &error))
        luaL_error(L, "the settings of app %s are not valid JSON: %s", config->name, error.text);
    lua_setfield(L, -2, "config");
}

/* --- the module --------------------------------------------------------------------------------------------------- */

/* gw, name, value: gw.state = {…}; nothing else is assigned. */
static int gw_assign(lua_State *L)
{
    const char *name = lua_tostring(L, 2);
    if (!name || strcmp(name, "state") != 0)
        return luaL_error(L, "gw.%s cannot be assigned: data goes into gw.state", luaL_tolstring(L, 2, NULL));
    state_replace(L, 3);
    return 0;
}

int gw_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"on", gw_on}, {"once", gw_once}, {"info", gw_info}, {"now", gw_now}, {"on_migrate", state_on_migrate},
        {NULL, NULL}};
    static const luaL_Reg methods[] = {{"cancel", subscription_cancel}, {NULL, NULL}};
    class_new(L, SUBSCRIPTION, methods);
    luaL_newlib(L, functions);
    gw_send_push(L);
    lua_setfield(L, -2, "send");
    scratch_new(L, 0);
    lua_pushcclosure(L, gw_read_file, 1);
    lua_setfield(L, -2, "read_file");
    push_app(L);
    lua_setfield(L, -2, "app");

    /* gw, class: `state` is behind it, so that an assignment to it is seen */
    lua_createtable(L, 0, 3);
    lua_createtable(L, 0, 1);
    state_push(L);
    lua_setfield(L, -2, "state");
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, gw_assign);
    lua_setfield(L, -2, "__newindex");
    lua_pushliteral(L, "gw");
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    return 1;
}
