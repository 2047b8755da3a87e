/* door.c - see door.h. */
#include "app/door.h"

#include <lauxlib.h>

/* The message handler of every protected call: the error as text, with the stack at the place where it was raised. */
static int with_traceback(lua_State *L)
{
    const char *text = luaL_tolstring(L, 1, NULL);
    luaL_traceback(L, L, text, 1);
    return 1;
}

bool door_call(lua_State *L, int args, int results)
{
    int handler = lua_gettop(L) - args;
    lua_pushcfunction(L, with_traceback);
    lua_insert(L, handler);
    int status = lua_pcall(L, args, results, handler);
    lua_remove(L, handler);
    return status == LUA_OK;
}

DoorResult door_resume(lua_State *coroutine, lua_State *from, int args, int *results)
{
    int status = lua_resume(coroutine, from, args, results);
    return status == LUA_OK ? DOOR_ENDED : status == LUA_YIELD ? DOOR_WAITS : DOOR_FAILED;
}

void door_traceback(lua_State *L, lua_State *failed)
{
    lua_pushvalue(failed, -1);
    lua_xmove(failed, L, 1); /* L: …, error */
    const char *text = luaL_tolstring(L, -1, NULL);
    luaL_traceback(L, failed, text, 0); /* L: …, error, text, traceback */
    lua_replace(L, -3);
    lua_pop(L, 1);
}
