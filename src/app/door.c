/* door.c - see door.h. */
#include "app/door.h"

#include "app/watchdog.h"

#include <lauxlib.h>

/* The message handler of every protected call: the error as text, with the stack at the place where it was raised. What is over
 * its budget is not even asked for its error's text. */
static int with_traceback(lua_State *L)
{
    if (watchdog_judged()) {
        lua_pushstring(L, watchdog_verdict());
        return 1;
    }
    const char *text = luaL_tolstring(L, 1, NULL);
    luaL_traceback(L, L, text, 1);
    return 1;
}

bool door_call(lua_State *L, int args, int results)
{
    WatchdogFrame frame;
    int handler = lua_gettop(L) - args;
    lua_pushcfunction(L, with_traceback);
    lua_insert(L, handler);
    watchdog_enter(&frame, L);
    int status = lua_pcall(L, args, results, handler);
    watchdog_leave(&frame);
    lua_remove(L, handler);
    return status == LUA_OK;
}

DoorResult door_resume(lua_State *coroutine, lua_State *from, int args, int *results)
{
    WatchdogFrame frame;
    watchdog_enter(&frame, coroutine);
    int status = lua_resume(coroutine, from, args, results);
    watchdog_leave(&frame);
    return status == LUA_OK ? DOOR_ENDED : status == LUA_YIELD ? DOOR_WAITS : DOOR_FAILED;
}

bool door_close(lua_State *coroutine)
{
    WatchdogFrame frame;
    watchdog_enter(&frame, coroutine);
    int status = lua_resetthread(coroutine);
    watchdog_leave(&frame);
    return status == LUA_OK;
}

void door_traceback(lua_State *L, lua_State *failed)
{
    if (watchdog_spent(failed)) {
        lua_pushstring(L, watchdog_verdict());
        return;
    }
    lua_pushvalue(failed, -1);
    lua_xmove(failed, L, 1); /* L: …, error */
    const char *text = luaL_tolstring(L, -1, NULL);
    luaL_traceback(L, failed, text, 0); /* L: …, error, text, traceback */
    lua_replace(L, -3);
    lua_pop(L, 1);
}
