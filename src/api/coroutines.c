/* coroutines.c - coroutine.resume, wrap and close, made anew over the one door into Lua: so that the watchdog knows which coroutine
 * runs, and stops one that has used up the budget however deep it lies inside others.
 *
 * They are as the standard ones, but for three refusals. A task is resumed by the scheduler and by nobody else. A coroutine that was
 * interrupted over its budget is not closed: no hook would stop what it has left to close. And coroutines inside of each other end at half
 * of the C stack, which Lua does not see when coroutines close each other. */
#include "api/support.h"
#include "app/door.h"
#include "app/watchdog.h"

#define TOO_DEEP "C stack overflow: too many coroutines inside of each other"

static lua_State *check_coroutine(lua_State *L)
{
    lua_State *coroutine = lua_tothread(L, 1);
    luaL_argexpected(L, coroutine, 1, "coroutine");
    return coroutine;
}

#define REFUSED (-1) /* the error is on top of L */
#define DIED (-2)    /* it is on top of the coroutine's stack */

static int fail(lua_State *L, const char *problem)
{
    lua_pushstring(L, problem);
    return REFUSED;
}

/* Stack of L: …, `args` values → …, results, and returns their number, or REFUSED, or DIED. */
static int go_on(lua_State *L, lua_State *coroutine, int args)
{
    int results = 0;
    if (watchdog_stack_is_short()) return fail(L, TOO_DEEP);
    if (task_owns(coroutine)) return fail(L, "cannot resume a task: it goes on when what it waits for is there");
    if (!lua_checkstack(coroutine, args)) return fail(L, "too many arguments to resume");
    lua_xmove(L, coroutine, args);
    if (door_resume(coroutine, L, args, &results) == DOOR_FAILED) return DIED;
    if (!lua_checkstack(L, results + 1)) {
        lua_pop(coroutine, results);
        return fail(L, "too many results to resume");
    }
    lua_xmove(coroutine, L, results);
    return results;
}

/* coroutine, … */
static int resume(lua_State *L)
{
    lua_State *coroutine = check_coroutine(L);
    int results = go_on(L, coroutine, lua_gettop(L) - 1);
    if (results == DIED) lua_xmove(coroutine, L, 1);
    lua_pushboolean(L, results >= 0);
    if (results < 0) results = 1;
    lua_insert(L, -(results + 1));
    return results + 1;
}

/* The function that coroutine.wrap gives. Upvalue: the coroutine */
static int wrapped(lua_State *L)
{
    lua_State *coroutine = lua_tothread(L, lua_upvalueindex(1));
    int results = go_on(L, coroutine, lua_gettop(L)), status = lua_status(coroutine);
    if (results >= 0) return results;
    if (results == DIED && status > LUA_YIELD && !watchdog_spent(coroutine)) (void)door_close(coroutine);
    if (results == DIED) lua_xmove(coroutine, L, 1);
    if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

/* function. Upvalue: coroutine.create */
static int wrap(lua_State *L)
{
    lua_tocfunction(L, lua_upvalueindex(1))(L);
    lua_pushcclosure(L, wrapped, 1);
    return 1;
}

/* Whether it waits or is dead: what runs, or has resumed what runs, is neither. */
static bool may_be_closed(lua_State *L, lua_State *coroutine)
{
    lua_Debug level;
    if (L == coroutine) return false;
    return lua_status(coroutine) != LUA_OK || lua_getstack(coroutine, 0, &level) == 0;
}

/* coroutine -> true | false, error */
static int close(lua_State *L)
{
    lua_State *coroutine = check_coroutine(L);
    if (task_owns(coroutine)) return luaL_error(L, "cannot close a task: use its method cancel");
    if (!may_be_closed(L, coroutine)) return luaL_error(L, "cannot close a running coroutine");
    if (watchdog_stack_is_short()) return luaL_error(L, TOO_DEEP);
    if (watchdog_spent(coroutine)) {
        lua_pushboolean(L, 0);
        lua_pushliteral(
            L, "it was interrupted over its CPU budget: what it had to close is left to the garbage collector");
        return 2;
    }
    bool closed = door_close(coroutine);
    lua_pushboolean(L, closed);
    if (closed) return 1;
    lua_xmove(coroutine, L, 1);
    return 2;
}

void coroutines_guard(lua_State *L)
{
    lua_getglobal(L, "coroutine");
    lua_pushcfunction(L, resume);
    lua_setfield(L, -2, "resume");
    lua_getfield(L, -1, "create");
    lua_pushcclosure(L, wrap, 1);
    lua_setfield(L, -2, "wrap");
    lua_pushcfunction(L, close);
    lua_setfield(L, -2, "close");
    lua_pop(L, 1);
}
