/* gw_send.c - gw.send: params become JSON, the task waits, the answer is what the call returns. */
#include "api/json.h"
#include "api/support.h"

#include <stdio.h>
#include <uuid/uuid.h>

#define METHOD_BYTES 200
#define MISSING_SCOPE "MISSING_SCOPE"

enum { SCRATCH = 1, SCOPES_TOLD = 2 }; /* upvalues */

static const char *const option_names[] = {"timeout", "wait", "final", "on_accepted", "idempotent", NULL};

/* Whether it can stand in a frame as it is. */
static Slice check_method(lua_State *L, int arg)
{
    Slice method;
    luaL_checktype(L, arg, LUA_TSTRING);
    method.data = lua_tolstring(L, arg, &method.size);
    bool fine = method.size > 0 && method.size <= METHOD_BYTES;
    for (size_t i = 0; i < method.size && fine; i++) {
        unsigned char c = (unsigned char)method.data[i];
        fine = c > ' ' && c < 0x7f && c != '"' && c != '\\';
    }
    if (!fine) luaL_argerror(L, arg, "the name of a method is expected, such as \"sessions.list\"");
    return method;
}

/* --- params ------------------------------------------------------------------------------------------------------- */

/* Puts "idempotencyKey":"<a new UUID>" into the object that `json` is. */
static void add_key(Buffer *json)
{
    uuid_t id;
    char text[UUID_STR_LEN];
    uuid_generate(id);
    uuid_unparse_lower(id, text);
    json->end--; /* the closing brace */
    json_write_member_string(json, "idempotencyKey", text);
    buffer_append_char(json, '}');
}

static bool has_key(lua_State *L, int params)
{
    if (lua_isnil(L, params)) return false;
    lua_pushliteral(L, "idempotencyKey");
    bool has = lua_rawget(L, params) != LUA_TNIL;
    lua_pop(L, 1);
    return has;
}

/* The params at that index into `json`. False with what is wrong in `problem`, a sentence. */
static bool encode(lua_State *L, int params, bool idempotent, Buffer *json, char *problem, size_t problem_size)
{
    Buffer sentence = buffer_with_headroom(0);
    bool fine = true;
    buffer_clear(json);
    if (lua_istable(L, params))
        fine = json_encode(L, params, "params", json, &sentence);
    else if (idempotent)
        buffer_append_text(json, "{}");
    if (!fine) snprintf(problem, problem_size, "%.*s", SLICE_ARGS(buffer_slice(&sentence)));
    buffer_free(&sentence);
    if (fine && buffer_size(json) > 0 && *buffer_slice(json).data != '{') {
        snprintf(problem, problem_size, "params: an object is expected, not an array");
        fine = false;
    }
    if (fine && idempotent && !json->failed && !has_key(L, params)) add_key(json);
    if (fine && json->failed) {
        snprintf(problem, problem_size, "params: not enough memory");
        fine = false;
    }
    return fine;
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

/* Pushes the name of the scope that the error at `err` says is missing; false, with nothing pushed, if it is about
 * something else. Protocol 4: details.code and details.missingScope; protocol 3: "missing scope: <name>" as the
 * message and nothing else. */
static bool push_missing_scope(lua_State *L, int err)
{
    static const char prefix[] = "missing scope: ";
    int top = lua_gettop(L);
    if (lua_getfield(L, err, "details") == LUA_TTABLE) {
        lua_getfield(L, -1, "code");
        bool missing = lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), MISSING_SCOPE) == 0;
        if (missing && lua_getfield(L, -2, "missingScope") == LUA_TSTRING) return true;
    }
    lua_settop(L, top);
    lua_getfield(L, err, "message");
    const char *message = lua_tostring(L, -1);
    if (message && strncmp(message, prefix, sizeof prefix - 1) == 0) {
        lua_pushstring(L, message + sizeof prefix - 1);
        return true;
    }
    lua_getfield(L, err, "code");
    const char *code = lua_tostring(L, -1);
    if (code && message && strcmp(code, MISSING_SCOPE) == 0) {
        lua_pushstring(L, message);
        return true;
    }
    lua_settop(L, top);
    return false;
}

/* Once for each scope: what is missing and which setting gives it. Stack: method, …, err on top. */
static void tell_missing_scope(lua_State *L)
{
    int err = lua_gettop(L);
    if (push_missing_scope(L, err)) {
        int scope = lua_gettop(L);
        lua_pushvalue(L, scope);
        if (lua_rawget(L, lua_upvalueindex(SCOPES_TOLD)) == LUA_TNIL) {
            lua_pushvalue(L, scope);
            lua_pushboolean(L, 1);
            lua_rawset(L, lua_upvalueindex(SCOPES_TOLD));
            api_log(L, LOG_WARN,
                    "%s needs the scope %.200s, which this connection does not have: add it to the setting scopes",
                    lua_tostring(L, 1), lua_tostring(L, scope));
        }
    }
    lua_settop(L, err);
}

/* Stack: method, params, options, on_accepted, payload or nil, nil or err. */
static int answered(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    if (lua_istable(L, -1) && lua_isnil(L, -2)) {
        lua_pushvalue(L, 1);
        lua_setfield(L, -2, "method");
        tell_missing_scope(L);
        return 2;
    }
    lua_pop(L, 1);
    return 1;
}

static int wait_for_answer(lua_State *L)
{
    return task_wait(L);
}

/* method [, params [, options]] -> payload | nil, err */
static int gw_send(lua_State *L)
{
    Generation *generation = generation_of(L);
    const AppPort *port = &generation_config(generation)->port;
    Buffer *scratch = lua_touserdata(L, lua_upvalueindex(SCRATCH));
    AppRequest request = {.method = check_method(L, 1), .generation = generation_number(generation)};
    char problem[512];
    int on_accepted = 0;

    lua_settop(L, 3);
    if (!lua_isnil(L, 2)) luaL_checktype(L, 2, LUA_TTABLE);
    if (check_options(L, 3, option_names)) {
        request.timeout_ms = option_ms(L, 3, "timeout", 1, 0);
        request.wait_ms = option_ms(L, 3, "wait", 0, 0);
        request.final = option_flag(L, 3, "final");
        request.resend = option_flag(L, 3, "idempotent");
        on_accepted = option_function(L, 3, "on_accepted");
        if (on_accepted && !request.final)
            luaL_argerror(L, 3, "option 'on_accepted' is for requests with final = true");
    }
    check_can_wait(L, "gw.send");
    lua_settop(L, 4);
    if (!encode(L, 2, request.resend, scratch, problem, sizeof problem)) {
        api_fail(L, "BAD_PARAMS", "%s", problem);
        return answered(L, LUA_OK, 0);
    }
    uint64_t wait = task_wait_begin(L, "gw.send");
    task_wait_response(L, on_accepted);
    request.params = buffer_take(scratch);
    bool asked = port->request(port->context, generation_app(generation), wait, &request);
    buffer_free(&request.params); /* empty, unless it was not taken */
    if (!asked) return luaL_error(L, "gw.send: not enough memory");
    /* The wait is a call of its own, so that there is a place where its results pass by. */
    lua_pushcfunction(L, wait_for_answer);
    lua_callk(L, 0, 2, 0, answered);
    return answered(L, LUA_OK, 0);
}

void gw_send_push(lua_State *L)
{
    scratch_new(L, BUFFER_FRAME_HEADROOM);
    lua_newtable(L);
    lua_pushcclosure(L, gw_send, 2);
}
