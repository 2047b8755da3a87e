/* task_wait.c - the waits of tasks: how one begins, and what ends it. See tasks.c for their names. */
#include "app/tasks_private.h"

#include <lauxlib.h>

static Task *task_in_slot(const Tasks *tasks, uint64_t name)
{
    size_t slot = (size_t)(name & SLOT_MASK);
    return slot < tasks->count ? tasks->slots[slot] : NULL;
}

static Task *find_task(const Tasks *tasks, uint64_t id)
{
    Task *task = task_in_slot(tasks, id);
    return task && id && task->id == id ? task : NULL;
}

static Task *find_wait(const Tasks *tasks, uint64_t wait)
{
    Task *task = task_in_slot(tasks, wait);
    return task && wait && task->wait == wait && task->yielded ? task : NULL;
}

void task_forget_wait(Generation *generation, Task *task)
{
    if (task->wait) heap_remove(&generation->timers, &task->alarm.node);
    if (task->kind == WAIT_RESPONSE && task->yielded) generation_asks(generation, -1);
    luaL_unref(generation->L, LUA_REGISTRYINDEX, task->accepted_ref);
    task->accepted_ref = LUA_NOREF;
    task->wait = 0;
    task->kind = WAIT_NONE;
    task->yielded = false;
}

void task_alarm_fires(lua_State *L, AppTimer *timer)
{
    Task *task = HEAP_OWNER(timer, Task, alarm);
    lua_pushboolean(L, 1);
    task_wake(L, task->wait, 1);
}

uint64_t task_current(lua_State *L)
{
    Task *task = generation_of(L)->tasks.running;
    return task && task->L == L ? task->id : 0;
}

/* Raises: why nothing can wait here. */
static uint64_t refuse_to_wait(lua_State *L, const Task *running, const char *who)
{
    luaL_error(L,
               running ? "%s waits, which a coroutine made by the script cannot: use task.spawn for it"
                       : "%s waits, which only a handler, a timer or a task can: "
                         "put it into gw.on(\"@ready\", function() … end)",
               who);
    return 0; /* not reached */
}

uint64_t task_wait_begin(lua_State *L, const char *who)
{
    Generation *generation = generation_of(L);
    Task *task = generation->tasks.running;
    if (!task || task->L != L) return refuse_to_wait(L, task, who);
    if (task->cancelled) luaL_error(L, "%s: this task was cancelled", who);
    task_forget_wait(generation, task);
    task->kind = WAIT_ANY;
    return task->wait = task_new_name(&generation->tasks, task->slot);
}

int task_wait(lua_State *L)
{
    Generation *generation = generation_of(L);
    Task *task = generation->tasks.running;
    task->yielded = true;
    if (task->kind == WAIT_RESPONSE) generation_asks(generation, 1);
    return lua_yield(L, 0);
}

void task_wait_until(lua_State *L, int64_t due_ms)
{
    app_timer_set(L, &generation_of(L)->tasks.running->alarm, due_ms);
}

void task_wait_response(lua_State *L, int accepted_index)
{
    Task *task = generation_of(L)->tasks.running;
    if (accepted_index) {
        lua_pushvalue(L, accepted_index);
        task->accepted_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    task->kind = WAIT_RESPONSE;
}

bool task_wake(lua_State *L, uint64_t wait, int values)
{
    Generation *generation = generation_of(L);
    Task *task = find_wait(&generation->tasks, wait);
    if (!task || !lua_checkstack(task->L, values)) {
        lua_pop(L, values);
        return false;
    }
    lua_xmove(L, task->L, values);
    task->args = values;
    task_forget_wait(generation, task);
    task_push_ready(generation, task);
    return true;
}

bool task_alive(lua_State *L, uint64_t task)
{
    return find_task(&generation_of(L)->tasks, task) != NULL;
}

#define CANCELLED "{\"code\":\"CANCELLED\",\"message\":\"the task was cancelled\"}"

/* Ends the wait of `task`, if it waits, with nil and the error, raw JSON. May raise. */
static void cancel_wait(Generation *generation, lua_State *L, Task *task, const char *error)
{
    const AppConfig *config = generation->config;
    if (!task->yielded) return;
    uint64_t wait = task->wait;
    bool asked = task->kind == WAIT_RESPONSE;
    lua_pushnil(L);
    config->bindings.push_error(L, slice_of(error));
    if (task_wake(L, wait, 2) && asked)
        config->port.cancel(config->port.context, generation->app, generation->number, wait);
}

bool task_cancel(lua_State *L, uint64_t id)
{
    Generation *generation = generation_of(L);
    Task *task = find_task(&generation->tasks, id);
    if (!task) return false;
    cancel_wait(generation, L, task, CANCELLED);
    task->cancelled = true;
    return true;
}

typedef struct {
    Task *task;
    const char *error;
} Cancel;

/* Stack: cancel */
static int cancel_one(lua_State *L)
{
    const Cancel *cancel = lua_touserdata(L, 1);
    cancel->task->cancelled = cancel->task->id != 0; /* a loop of waits ends at the next one */
    cancel_wait(generation_of(L), L, cancel->task, cancel->error);
    return 0;
}

void tasks_cancel_all(Generation *generation, const char *error)
{
    for (size_t i = 0; i < generation->tasks.count; i++) {
        Cancel cancel = {generation->tasks.slots[i], error};
        generation_protect(generation, cancel_one, &cancel, "stopping");
    }
}

/* --- responses -------------------------------------------------------------------------------------------------------------- */

/* Pushes the payload, or nil and an error. Returns how many values. */
static int push_answer(lua_State *L, Generation *generation, const Message *message)
{
    const AppBindings *bindings = &generation->config->bindings;
    const char *problem = NULL;
    if (message->ok && bindings->push_json(L, message->payload, &problem)) return 1;
    lua_pushnil(L);
    if (problem)
        bindings->push_error(
            L, slice_of("{\"code\":\"BAD_RESPONSE\",\"message\":\"the gateway's answer is not valid JSON\"}"));
    else
        bindings->push_error(L, message->payload);
    return 2;
}

bool task_answer(Generation *generation, lua_State *L, const Message *message)
{
    Task *task = find_wait(&generation->tasks, message->token);
    if (!task) return false;
    if (message->last) return task_wake(L, message->token, push_answer(L, generation, message));
    if (task->accepted_ref == LUA_NOREF) return true;
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->accepted_ref);
    task_start(L, push_answer(L, generation, message), "on_accepted");
    return true;
}
