/* freeze.c - see freeze.h. */
#include "api/freeze.h"
#include "api/json_private.h"
#include "api/support.h"

static const char class_key, contents_key; /* addresses: the metatable, and a table: frozen table -> its content */

int freeze_refuse(lua_State *L)
{
    api_fail(L, "RELOADED",
             "generation %u of this app was replaced by a newer one: a write to its gw.state would be lost",
             generation_number(generation_of(L)));
    return lua_error(L);
}

/* --- what a frozen table does: upvalue 1 is the table of contents ----------------------------------------------------------- */

static void push_content(lua_State *L)
{
    lua_pushvalue(L, 1);
    lua_rawget(L, lua_upvalueindex(1));
}

/* table, key */
static int get(lua_State *L)
{
    lua_settop(L, 2);
    push_content(L);
    lua_insert(L, 2);
    lua_rawget(L, 2);
    return 1;
}

static int length(lua_State *L)
{
    push_content(L);
    lua_pushinteger(L, (lua_Integer)lua_rawlen(L, -1));
    return 1;
}

/* anything, key -> key, value. Upvalue: the table */
static int following(lua_State *L)
{
    lua_settop(L, 2);
    if (lua_next(L, lua_upvalueindex(1))) return 2;
    lua_pushnil(L);
    return 1;
}

int freeze_pairs(lua_State *L)
{
    lua_pushcclosure(L, following, 1);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

static int pairs(lua_State *L)
{
    lua_settop(L, 1);
    push_content(L);
    return freeze_pairs(L);
}

static void push_class(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"__index", get}, {"__newindex", freeze_refuse}, {"__len", length}, {"__pairs", pairs}, {NULL, NULL}};
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &class_key) == LUA_TTABLE) return;
    lua_pop(L, 1);
    lua_createtable(L, 0, 5);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &contents_key);
    luaL_setfuncs(L, methods, 1);
    lua_pushliteral(L, "gw.state");
    lua_setfield(L, -2, "__metatable");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &class_key);
}

void freeze_look_through(lua_State *L)
{
    if (lua_type(L, -1) != LUA_TTABLE || !lua_getmetatable(L, -1)) return;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &class_key);
    bool frozen = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    if (!frozen) return;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &contents_key);
    lua_insert(L, -2); /* …, contents, table */
    lua_rawget(L, -2);
    lua_remove(L, -2);
}

/* --- freezing --------------------------------------------------------------------------------------------------------------- */

/* Indices on the stack while it goes on. */
typedef struct {
    int queue, seen, class, contents;
    lua_Integer queued;
} Freezing;

/* Stack: …, value → …. Queues it if it is a table to be frozen. */
static void enqueue(lua_State *L, Freezing *freezing)
{
    bool wanted = lua_type(L, -1) == LUA_TTABLE;
    if (wanted && lua_getmetatable(L, -1)) {
        lua_pop(L, 1);
        wanted = json_is_marked_array(L);
    }
    if (wanted) {
        lua_pushvalue(L, -1);
        wanted = lua_rawget(L, freezing->seen) == LUA_TNIL;
        lua_pop(L, 1);
    }
    if (!wanted) {
        lua_pop(L, 1);
        return;
    }
    lua_pushvalue(L, -1);
    lua_pushboolean(L, true);
    lua_rawset(L, freezing->seen);
    lua_rawseti(L, freezing->queue, ++freezing->queued);
}

/* Stack: …, table → …, table, content. Until the last step, which needs no memory, the table is whole and can be written. */
static void freeze_one(lua_State *L, Freezing *freezing)
{
    int table = lua_gettop(L), content = table + 1;
    lua_createtable(L, (int)lua_rawlen(L, table), 0);
    if (lua_getmetatable(L, table)) lua_setmetatable(L, content); /* the mark of arrays */
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        lua_pushvalue(L, -1);
        enqueue(L, freezing);
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_rawset(L, content);
    }
    lua_pushvalue(L, table);
    lua_pushvalue(L, content);
    lua_rawset(L, freezing->contents);
    lua_pushvalue(L, freezing->class);
    lua_setmetatable(L, table);
    lua_pushnil(L);
    while (lua_next(L, table)) { /* emptying while walking is allowed */
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, table);
    }
}

void freeze_tables(lua_State *L, int index)
{
    int top = lua_gettop(L);
    Freezing freezing = {.queue = top + 1, .seen = top + 2, .class = top + 3, .contents = top + 4};
    index = lua_absindex(L, index);
    luaL_checkstack(L, 16, NULL);
    lua_newtable(L);
    lua_newtable(L);
    push_class(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &contents_key);
    lua_pushvalue(L, index);
    enqueue(L, &freezing);
    while (freezing.queued > 0) {
        lua_rawgeti(L, freezing.queue, freezing.queued--);
        freeze_one(L, &freezing);
        lua_settop(L, freezing.contents);
    }
    lua_settop(L, top);
}
