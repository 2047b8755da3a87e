/* eval.c - a piece of Lua that an operator sends into the running app: as a message, so that nothing runs beside it, and as a task,
 * so that it may wait. The answer is what a REPL would print. */
#include "app/generation_private.h"

#include <lauxlib.h>

#define CHUNK "=eval"

#define PRINTED_BYTES ((lua_Integer)64 << 10) /* that an answer carries; the lines beyond are counted */
#define LAST_LINES 20                         /* of them that are told with a traceback */

static const char globals_key, printed_key; /* their addresses: names in the registry */

/* Pushes the table of what was printed for whom: token → { line, …, size = bytes, more = lines that had no room }. */
static void push_printed(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &printed_key) != LUA_TNIL) return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &printed_key);
}

/* Pushes the arguments as one line, with tabs between them. */
static void push_line(lua_State *L)
{
    int count = lua_gettop(L);
    luaL_Buffer line;
    luaL_buffinit(L, &line);
    for (int i = 1; i <= count; i++) {
        if (i > 1) luaL_addchar(&line, '\t');
        (void)luaL_tolstring(L, i, NULL);
        luaL_addvalue(&line);
    }
    luaL_pushresult(&line);
}

static lua_Integer add_to_field(lua_State *L, const char *key, lua_Integer number)
{
    lua_getfield(L, -1, key);
    number += lua_tointeger(L, -1);
    lua_pop(L, 1);
    lua_pushinteger(L, number);
    lua_setfield(L, -2, key);
    return number;
}

/* The line on top goes into the answer for `token`, if there is room. */
static void keep_line(lua_State *L, lua_Integer token)
{
    int line = lua_gettop(L);
    push_printed(L);
    if (lua_rawgeti(L, -1, token) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawseti(L, -3, token);
    }
    if (add_to_field(L, "size", (lua_Integer)lua_rawlen(L, line) + 1) <= PRINTED_BYTES) {
        lua_pushvalue(L, line);
        lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    } else {
        add_to_field(L, "more", 1);
    }
    lua_settop(L, line);
}

/* `print` of what an operator sends, who reads it with the answer. What runs when nobody waits any more prints as the app does. */
static int print(lua_State *L)
{
    Generation *generation = generation_of(L);
    const Task *task = generation->tasks.running;
    Slice line;
    push_line(L);
    if (task && task_asked(task)) {
        keep_line(L, (lua_Integer)task_asked(task));
    } else {
        line.data = lua_tolstring(L, -1, &line.size);
        generation_log(generation, LOG_INFO, line, slice_of(""));
    }
    return 0;
}

/* Appends lines of the table on top, from that one on, each on one of its own. */
static void append_lines(lua_State *L, lua_Integer from, Buffer *out)
{
    lua_Integer count = (lua_Integer)lua_rawlen(L, -1);
    size_t size;
    for (lua_Integer i = from; i <= count; i++) {
        lua_rawgeti(L, -1, i);
        const char *line = lua_tolstring(L, -1, &size);
        if (i > 1 || buffer_size(out) > 0) buffer_append_char(out, '\n');
        buffer_append(out, line, size);
        lua_pop(L, 1);
    }
    lua_getfield(L, -1, "more");
    if (!lua_isnil(L, -1)) buffer_append_format(out, "\n… and %lld more lines", (long long)lua_tointeger(L, -1));
    lua_pop(L, 1);
}

/* Appends what was printed for `token`, of code that failed its end. It is forgotten. */
static void take_printed(lua_State *L, lua_Integer token, bool failed, Buffer *out)
{
    int top = lua_gettop(L);
    push_printed(L);
    if (lua_rawgeti(L, -1, token) == LUA_TTABLE) {
        lua_Integer count = (lua_Integer)lua_rawlen(L, -1);
        lua_pushnil(L);
        lua_rawseti(L, -3, token);
        if (failed) buffer_append_text(out, "\nprinted before:");
        append_lines(L, failed && count > LAST_LINES ? count - LAST_LINES + 1 : 1, out);
    }
    lua_settop(L, top);
}

/* The chunk on top sees the app's globals, and what it defines goes into a table of its own, which the next one sees too: the app's globals
 * stay what its files made of them. */
static void set_globals(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &globals_key) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushcfunction(L, print);
        lua_setfield(L, -2, "print");
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
    lua_Integer token;
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
        take_printed(L, ending->token, true, ending->out);
        return 0;
    }
    take_printed(L, ending->token, false, ending->out);
    if (ending->results > 0 && buffer_size(ending->out) > 0) buffer_append_char(ending->out, '\n');
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
    Ending ending = {from, results, (lua_Integer)token, &out};
    char problem[512];
    if (!generation_try(generation, show, &ending, problem, sizeof problem))
        tell(generation, token, false, slice_of(problem));
    else
        tell(generation, token, results >= 0, buffer_slice(&out));
    buffer_free(&out);
}
