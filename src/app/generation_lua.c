/* generation_lua.c - the lua_State of a generation as the rest of the host sees it: where it belongs, what is known of it, and the protected
 * calls into it, with what becomes of their errors. */
#include "app/generation_private.h"
#include "app/clock.h"
#include "protocol/json.h"

#include <lauxlib.h>
#include <stdio.h>
#include <time.h>

int64_t generation_now_ms(void)
{
    return clock_ms();
}

int64_t generation_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t generation_due_ms(int64_t wait_ms)
{
    /* The clock is cut to whole milliseconds: one more, so that it is never a part of one too early. */
    return generation_now_ms() + (wait_ms > 0 ? wait_ms + 1 : 0);
}

/* The allocator's context is the generation: the shortest way from any lua_State to it. */
static void *allocate(void *context, void *block, size_t old_bytes, size_t new_bytes)
{
    return memory_resize(&((Generation *)context)->memory, block, old_bytes, new_bytes);
}

Generation *generation_of(lua_State *L)
{
    void *context;
    lua_getallocf(L, &context);
    return context;
}

const AppConfig *generation_config(const Generation *generation)
{
    return generation->config;
}

App *generation_app(const Generation *generation)
{
    return generation->app;
}

unsigned generation_number(const Generation *generation)
{
    return generation->number;
}

bool generation_loading(const Generation *generation)
{
    return generation->state == GENERATION_LOADING;
}

bool generation_stopping(const Generation *generation)
{
    return generation->stopping;
}

static bool is_retired(const Generation *generation)
{
    return atomic_load_explicit(&generation->retired, memory_order_relaxed);
}

bool generation_replaced(const Generation *generation)
{
    return is_retired(generation) || atomic_load_explicit(&generation->condemned, memory_order_relaxed);
}

bool generation_cut_short(const Generation *generation)
{
    return generation_replaced(generation) && !generation->drains;
}

bool generation_sent(const Generation *generation, const Message *response)
{
    return (generation->number & GENERATION_MASK) == response->generation;
}

void generation_refuse_retired(lua_State *L, const char *who)
{
    const Generation *generation = generation_of(L);
    if (is_retired(generation))
        luaL_error(L, "RELOADED: generation %d of this app was replaced, %s in it would never come to anything",
                   (int)generation->number, who);
}

const char *generation_folder(const Generation *generation)
{
    return generation->folder;
}

Slice generation_connection(const Generation *generation)
{
    return generation->connection ? generation->connection->payload : slice_of("{\"state\":\"stopped\"}");
}

void generation_log(Generation *generation, LogLevel level, Slice message, Slice fields)
{
    const AppPort *port = &generation->config->port;
    port->log(port->context, generation->config->name, level, message, fields);
}

void generation_doing(Generation *generation, const char *label)
{
    atomic_store_explicit(&generation->doing, label, memory_order_release); /* with its text */
    atomic_store_explicit(&generation->steps, atomic_load_explicit(&generation->steps, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    watchdog_renew(generation->watchdog);
}

/* --- errors of the script -------------------------------------------------------------------------------------------------------- */

void generation_error(Generation *generation, const char *what, const char *traceback)
{
    if (!traceback) traceback = "not enough memory";
    Buffer message = buffer_with_headroom(0), fields = buffer_with_headroom(0);
    const char *stack = strstr(traceback, "\nstack traceback:\n");
    Slice cause = slice_make(traceback, stack ? (size_t)(stack - traceback) : strlen(traceback));
    bool memory = load_is_memory(traceback);
    buffer_append_format(&message, "%s failed: %.*s", what, SLICE_ARGS(cause));
    if (memory) load_explain_memory(generation, &message);
    buffer_append_char(&fields, '{');
    if (stack) json_write_member_string(&fields, "traceback", stack + 1);
    buffer_append_char(&fields, '}');
    if (generation->starting)
        snprintf(generation->problem, sizeof generation->problem, "%s failed: %s", what, traceback);
    else
        generation_log(generation, LOG_ERROR, buffer_slice(&message), buffer_slice(&fields));
    atomic_fetch_add_explicit(&generation->errors, 1, memory_order_relaxed);
    buffer_free(&message);
    buffer_free(&fields);
    generation->collect |= memory;
}

/* Leaves the message of what went wrong on the stack. */
static bool call_protected(Generation *generation, lua_CFunction function, void *argument)
{
    lua_State *L = generation->L;
    lua_pushcfunction(L, function);
    lua_pushlightuserdata(L, argument);
    return door_call(L, 1, 0);
}

bool generation_protect(Generation *generation, lua_CFunction function, void *argument, const char *what)
{
    int top = lua_gettop(generation->L);
    bool fine = call_protected(generation, function, argument);
    if (!fine) generation_error(generation, what, lua_tostring(generation->L, -1));
    lua_settop(generation->L, top);
    return fine;
}

bool generation_try(Generation *generation, lua_CFunction function, void *argument, char *problem, size_t problem_size)
{
    int top = lua_gettop(generation->L);
    bool fine = call_protected(generation, function, argument);
    const char *text = fine ? NULL : lua_tostring(generation->L, -1);
    if (!fine)
        snprintf(problem, problem_size, "%.*s", text ? (int)strcspn(text, "\n") : 17,
                 text ? text : "not enough memory");
    lua_settop(generation->L, top);
    return fine;
}

/* Unreachable as long as all Lua runs in protected calls; says so before Lua aborts. */
static int panic(lua_State *L)
{
    const char *text = lua_tostring(L, -1);
    generation_log(generation_of(L), LOG_ERROR, slice_of("a Lua error outside of a protected call, please report this"),
                   slice_of(""));
    generation_log(generation_of(L), LOG_ERROR, slice_of(text ? text : "(no message)"), slice_of(""));
    return 0;
}

bool generation_open_lua(Generation *generation)
{
    generation->L = lua_newstate(allocate, generation);
    if (!generation->L) return false;
    lua_atpanic(generation->L, panic);
    tasks_init(generation->L);
    lua_gc(generation->L, LUA_GCGEN, 0, 0);
    return true;
}
