/* eval.c - a piece of Lua that an operator sends into the running app: as a message, so that nothing runs beside it, and as a task,
 * so that it may wait. The answer is what a REPL would print. */
#include "app/generation_private.h"

#include <lauxlib.h>

#define CHUNK "=eval"

static const char globals_key; /* its address: a name in the registry */

/* The chunk on top sees the app's globals, and what it defines goes into a table of its own, which the next one sees too: the app's globals
 * stay what its files made of them. */
static void set_globals(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &globals_key) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_createtable(L, 0, 1); /* chunk, globals, class */
        lua_pushglobaltable(L);
        lua_setfield(L, -2, "__index");
        lua_setmetatable(L, -2);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &globals_key);
    }
    lua_setupvalue(L, -2, 1);
}

static void tell(Generation *generation, uint64_t token, bool ok, Slice text)
{
    const AppPort *port = &generation->config->port;
    if (port->evaluated) port->evaluated(port->context, generation->app, token, ok, text);
}

/* Pushes the compiled code: as an expression if it is one, so that its value is seen. False with the message, which is about the code as it was written. */
static bool compile(lua_State *L, Slice code)
{
    const char *expression = lua_pushfstring(L, "return %s", lua_pushlstring(L, code.data, code.size));
    if (luaL_loadbufferx(L, expression, strlen(expression), CHUNK, "t") == LUA_OK) return true;
    return luaL_loadbufferx(L, code.data, code.size, CHUNK, "t") == LUA_OK;
}

/* Stack: message */
static int begin(lua_State *L)
{
    Generation *generation = generation_of(L);
    const Message *message = lua_touserdata(L, 1);
    size_t size;
    if (!compile(L, message->payload)) {
        const char *text = luaL_tolstring(L, -1, &size);
        tell(generation, message->token, false, slice_make(text, size));
        return 0;
    }
    set_globals(L);
    Task *task = task_acquire(L);
    lua_xmove(L, task_stack(task), 1);
    task_ask(task, message->token);
    task_begin(generation, task, NULL, "eval", 0);
    return 0;
}

void eval_run(Generation *generation, const Message *message)
{
    if (!generation_protect(generation, begin, (void *)message, "eval"))
        tell(generation, message->token, false, slice_of("not enough memory"));
}

typedef struct {
    lua_State *from; /* the coroutine with the results, or the error, on top */
    int results;     /* -1: it failed */
    Buffer *out;
} Ending;

/* Stack: ending */
static int show(lua_State *L)
{
    const Ending *ending = lua_touserdata(L, 1);
    const AppBindings *bindings = &generation_of(L)->config->bindings;
    size_t size;
    if (ending->results < 0) {
        door_traceback(L, ending->from);
        const char *text = lua_tolstring(L, -1, &size);
        buffer_append_slice(ending->out, slice_make(text, size));
        return 0;
    }
    luaL_checkstack(L, ending->results, "too many results");
    lua_xmove(ending->from, L, ending->results);
    if (bindings->show) bindings->show(L, 2, ending->out);
    return 0;
}

void eval_dropped(Generation *generation, uint64_t token)
{
    tell(generation, token, false,
         slice_of("it did not come to an end: the generation that it ran in was replaced, or stopped"));
}

void eval_ended(Generation *generation, lua_State *from, uint64_t token, int results)
{
    Buffer out = {0};
    Ending ending = {from, results, &out};
    char problem[512];
    if (!generation_try(generation, show, &ending, problem, sizeof problem))
        tell(generation, token, false, slice_of(problem));
    else
        tell(generation, token, results >= 0, buffer_slice(&out));
    buffer_free(&out);
}
