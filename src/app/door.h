/* door.h - the one door into Lua: the only lua_pcall, lua_resume and lua_resetthread of the project, each with a traceback, and each
 * watched (watchdog.h). */
#ifndef GATEHOUSE_APP_DOOR_H
#define GATEHOUSE_APP_DOOR_H

#include <lua.h>
#include <stdbool.h>

/* Stack: …, function, args → …, results; or, returning false, …, message with traceback (a string, unless memory ran out even for it). */
bool door_call(lua_State *L, int args, int results);

typedef enum { DOOR_ENDED, DOOR_WAITS, DOOR_FAILED } DoorResult;

/* Starts or goes on with a coroutine whose stack holds (function and) `args` values. ENDED: its stack holds `*results` results.
 * FAILED: the error value is on top of its stack, unwound frames still below, for door_traceback. */
DoorResult door_resume(lua_State *coroutine, lua_State *from, int args, int *results);

/* Closes a coroutine that waits or has failed: its variables that are to be closed are, by functions of the script. False with the
 * error on top of its stack, if it had failed or one of them has. Not for one that is spent (watchdog_spent). */
bool door_close(lua_State *coroutine);

/* Pushes onto L the error value on top of `failed` as a string with the traceback of that coroutine. May raise. */
void door_traceback(lua_State *L, lua_State *failed);

#endif
