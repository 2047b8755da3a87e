/* budget.c - what of the standard library would escape the CPU budget (app/watchdog.h), made so that it does not.
 *
 * The watchdog interrupts with a hook, and there are places where Lua calls no hooks: in finalizers, and while it handles an error that
 * a hook raised. And a function in C that loops calls none either: those whose loop nothing else bounds get a bound here. What
 * is left is what works on memory that the script has, and patterns that backtrack: they hold up their own app, and are told in the
 * log. Coroutines have a file of their own. */
#include "api/json_private.h"
#include "api/support.h"
#include "app/watchdog.h"

#define MOST_ELEMENTS (1 << 26) /* that a function of `table` moves: more than a table in the default memory has */

/* The standard function that is upvalue 1, with the same arguments. */
static int original(lua_State *L)
{
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* --- metatables --------------------------------------------------------------------------------------------------------------------- */

/* Pushes the field as it is in the table itself. */
static int raw_field(lua_State *L, int table, const char *name)
{
    table = lua_absindex(L, table);
    lua_pushstring(L, name);
    return lua_rawget(L, table);
}

/* table, metatable or nil -> table. A `__gc` that comes into the metatable later has no effect: Lua looks for it here. */
static int set_metatable(lua_State *L)
{
    int type = lua_type(L, 2);
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) return luaL_error(L, "cannot change a protected metatable");
    if (type == LUA_TTABLE && raw_field(L, 2, "__gc") != LUA_TNIL)
        return luaL_error(
            L, "__gc is refused in a metatable, since nothing could interrupt it: use __close with a local variable "
               "<close>, or gw.on(\"@stop\", …)");
    lua_settop(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

/* value -> metatable | nil. One with a finalizer is that of a library in C (files have one), which a script could put its own in; into that
 * of arrays as well, and the host gives it to all of them. */
static int get_metatable(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    if (json_is_marked_array(L)) {
        lua_pushliteral(L, "json.array");
        return 1;
    }
    if (!lua_getmetatable(L, 1)) {
        lua_pushnil(L);
        return 1;
    }
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) return 1;
    if (raw_field(L, -1, "__gc") == LUA_TNIL)
        lua_pop(L, 1);
    else
        lua_pushboolean(L, 0);
    return 1;
}

/* --- xpcall -------------------------------------------------------------------------------------------------------------------------- */

/* error -> what the script's handler makes of it, unless it was interrupted: its handler would run without hooks. Upvalue: the handler */
static int handle_error(lua_State *L)
{
    if (watchdog_judged()) return 1;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static int finish(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    return lua_gettop(L);
}

/* function, handler, … -> true, results | false, what the handler gave. Upvalues: xpcall, debug.traceback, which needs no care and
 * shows one line less without. */
static int guarded_xpcall(lua_State *L)
{
    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (!lua_rawequal(L, 2, lua_upvalueindex(2))) {
        lua_pushvalue(L, 2);
        lua_pushcclosure(L, handle_error, 1);
        lua_replace(L, 2);
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, finish);
    return lua_gettop(L);
}

/* --- loops in C ---------------------------------------------------------------------------------------------------------------------- */

/* text, count [, separator]: of nothing at all it makes nothing, one by one. */
static int repeat(lua_State *L)
{
    size_t size, between;
    luaL_checklstring(L, 1, &size);
    (void)luaL_optlstring(L, 3, "", &between);
    if (size > 0 || between > 0) return original(L);
    luaL_checkinteger(L, 2);
    lua_pushliteral(L, "");
    return 1;
}

/* A table without elements may say that it has any number: by __len, or by a few in the right places. */
static int check_length(lua_State *L)
{
    if (lua_istable(L, 1) && lua_gettop(L) > 1 && luaL_len(L, 1) > MOST_ELEMENTS)
        return luaL_error(L, "the table says that it has more than %d elements", MOST_ELEMENTS);
    return original(L);
}

/* table, position [, value]: at the end nothing is moved */
static int insert(lua_State *L)
{
    return lua_gettop(L) == 2 ? original(L) : check_length(L);
}

/* table, first, last, to [, other table] */
static int move(lua_State *L)
{
    lua_Integer first = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3);
    if (last >= first && (lua_Unsigned)last - (lua_Unsigned)first > MOST_ELEMENTS)
        return luaL_argerror(L, 3, "too many elements to move");
    return original(L);
}

/* Field `name` of the table on top of the stack is guarded by `guard`, which has the function as its upvalue. */
static void guard_field(lua_State *L, const char *name, lua_CFunction guard)
{
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, guard, 1);
    lua_setfield(L, -2, name);
}

void budget_guard(lua_State *L)
{
    lua_pushcfunction(L, set_metatable);
    lua_setglobal(L, "setmetatable");
    lua_pushcfunction(L, get_metatable);
    lua_setglobal(L, "getmetatable");

    lua_getglobal(L, "xpcall");
    lua_getglobal(L, "debug");
    lua_getfield(L, -1, "traceback");
    lua_remove(L, -2);
    lua_pushcclosure(L, guarded_xpcall, 2);
    lua_setglobal(L, "xpcall");

    lua_getglobal(L, "string");
    guard_field(L, "rep", repeat);
    lua_getglobal(L, "table");
    guard_field(L, "insert", insert);
    guard_field(L, "remove", check_length);
    guard_field(L, "move", move);
    lua_pop(L, 2);
}
