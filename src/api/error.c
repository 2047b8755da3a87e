/* error.c - the err tables of `nil, err`: code, message and, where there is more, details, retryable, retry_after_ms,
 * sent, method. As text they are a sentence. */
#include "api/api.h"
#include "api/json.h"
#include "api/support.h"

#include <stdarg.h>
#include <stdio.h>

#define CLASS "gatehouse.error"

/* "method failed: CODE: message", as far as there is such a thing. Fields may have been changed by the script. */
static int error_text(lua_State *L)
{
    luaL_Buffer text;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_getfield(L, 1, "method");  /* 2 */
    lua_getfield(L, 1, "code");    /* 3 */
    lua_getfield(L, 1, "message"); /* 4 */
    luaL_buffinit(L, &text);
    if (lua_type(L, 2) == LUA_TSTRING) {
        lua_pushvalue(L, 2);
        luaL_addvalue(&text);
        luaL_addstring(&text, " failed: ");
    }
    luaL_addstring(&text, lua_type(L, 3) == LUA_TSTRING ? lua_tostring(L, 3) : "error");
    if (lua_type(L, 4) == LUA_TSTRING && lua_rawlen(L, 4) > 0) {
        luaL_addstring(&text, ": ");
        lua_pushvalue(L, 4);
        luaL_addvalue(&text);
    }
    luaL_pushresult(&text);
    return 1;
}

void errors_open(lua_State *L)
{
    luaL_newmetatable(L, CLASS);
    lua_pushcfunction(L, error_text);
    lua_setfield(L, -2, "__tostring");
    lua_pushliteral(L, CLASS);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

/* The table on top of the stack: field `from` becomes `to`; a JSON null is no value. */
static void take_field(lua_State *L, const char *from, const char *to)
{
    lua_getfield(L, -1, from);
    if (lua_islightuserdata(L, -1)) {
        lua_pop(L, 1);
        lua_pushnil(L);
    }
    lua_pushnil(L);
    lua_setfield(L, -3, from);
    lua_setfield(L, -2, to);
}

/* The table on top of the stack: a text in that field, also in place of a number (the legacy dialect's code) or of
 * nothing. */
static void make_text(lua_State *L, const char *field, const char *otherwise)
{
    lua_getfield(L, -1, field); /* table, value */
    if (!lua_tostring(L, -1)) { /* turns a number into text in place */
        lua_pop(L, 1);
        lua_pushstring(L, otherwise);
    }
    lua_setfield(L, -2, field);
}

void api_push_error(lua_State *L, Slice error)
{
    if (json_type(error) != JSON_OBJECT || !json_push(L, error, NULL)) {
        lua_createtable(L, 0, 2);
        if (error.size > 0) {
            lua_pushlstring(L, error.data, error.size);
            lua_setfield(L, -2, "message");
        }
    }
    static const char *const fields[][2] = {
        {"code", "code"},
        {"message", "message"},
        {"details", "details"},
        {"retryable", "retryable"},
        {"retryAfterMs", "retry_after_ms"},
        {"sent", "sent"},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        take_field(L, fields[i][0], fields[i][1]);
    make_text(L, "code", "UNKNOWN");
    make_text(L, "message", "");
    luaL_setmetatable(L, CLASS);
}

int api_fail(lua_State *L, const char *code, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    lua_pushnil(L);
    lua_createtable(L, 0, 2);
    lua_pushstring(L, code);
    lua_setfield(L, -2, "code");
    lua_pushstring(L, message);
    lua_setfield(L, -2, "message");
    luaL_setmetatable(L, CLASS);
    return 2;
}
