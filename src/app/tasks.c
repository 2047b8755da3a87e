/* tasks.c - coroutines that may wait: how they begin, run and end. What they wait for is in task_wait.c.
 *
 * A task is a coroutine with a name. While it waits, its wait has a name too, and whoever ends the wait (a response, a timer, another
 * task) says that name; a name that is out of date is simply not found. So nothing is resumed twice, and nothing dangles.
 *
 *     name = serial << SLOT_BITS | slot        serial: grows with every name given; slot: where the task stands in the table
 *
 *              begin                wait                 wake                   step
 *     idle ───────────► running ───────────► waiting ───────────► ready ─────────────► running
 *       ▲                  │ returns or raises
 *       └──────────────────┘ its coroutine is used again for the next task
 *
 * Tasks run from the loop only, never inside each other: what wakes or starts one puts it in the list of ready ones. */
#include "app/tasks_private.h"
#include "app/clock.h"

#include <lauxlib.h>
#include <stdlib.h>

#define IDLE_TASKS 64 /* coroutines kept for the next tasks */

lua_State *task_stack(Task *task)
{
    return task->L;
}

void task_for(Task *task, Message *message, unsigned attempts, bool probe)
{
    task->message = message;
    task->attempts = attempts;
    task->probe = probe;
}

void task_ask(Task *task, uint64_t token)
{
    task->asked = token;
}

uint64_t task_asked(const Task *task)
{
    return task->asked;
}

/* The task that a coroutine belongs to is noted in the space that Lua keeps for its host in front of each. A coroutine of the script
 * gets a copy of what the main one has there, which is NULL. */
static Task **owner_of(lua_State *coroutine)
{
    return lua_getextraspace(coroutine);
}

void tasks_init(lua_State *L)
{
    *owner_of(L) = NULL;
}

bool task_owns(lua_State *coroutine)
{
    return *owner_of(coroutine) != NULL && !watchdog_spent(coroutine);
}

uint64_t task_new_name(Tasks *tasks, size_t slot)
{
    return ++tasks->next_serial << SLOT_BITS | slot;
}

/* --- making and keeping ----------------------------------------------------------------------------------------------------- */

/* Tasks weigh on the app's memory as what Lua holds does: a script that starts them without end meets its limit. */
static void *resize(lua_State *L, void *block, size_t old_bytes, size_t new_bytes)
{
    Memory *memory = &generation_of(L)->memory;
    void *resized = memory_grant(memory, block, old_bytes, new_bytes);
    if (resized) return resized;
    lua_gc(L, LUA_GCCOLLECT);
    return memory_grant(memory, block, old_bytes, new_bytes);
}

static bool slots_grow(lua_State *L, Tasks *tasks)
{
    if (tasks->count < tasks->capacity) return true;
    if (tasks->count > SLOT_MASK) return false;
    size_t capacity = tasks->capacity ? tasks->capacity * 2 : 16;
    Task **slots = resize(L, tasks->slots, tasks->capacity * sizeof *slots, capacity * sizeof *slots);
    if (!slots) return false;
    tasks->slots = slots;
    tasks->capacity = capacity;
    return true;
}

/* A task without a coroutine. */
static Task *task_new(lua_State *L, Tasks *tasks)
{
    Task *task = slots_grow(L, tasks) ? resize(L, NULL, 0, sizeof *task) : NULL;
    if (!task) {
        luaL_error(L, "not enough memory for another task");
        return NULL; /* not reached */
    }
    *task = (Task){.slot = tasks->count};
    task->thread_ref = task->accepted_ref = LUA_NOREF;
    task->alarm.fire = task_alarm_fires;
    task->alarm.alarm = true;
    tasks->slots[tasks->count++] = task;
    return task;
}

static void make_idle(Tasks *tasks, Task *task)
{
    task->next = tasks->idle;
    tasks->idle = task;
    tasks->idle_count++;
}

Task *task_acquire(lua_State *L)
{
    Tasks *tasks = &generation_of(L)->tasks;
    if (!tasks->idle) make_idle(tasks, task_new(L, tasks));
    Task *task = tasks->idle;
    if (!task->L) {
        lua_State *coroutine = lua_newthread(L);
        task->thread_ref = luaL_ref(L, LUA_REGISTRYINDEX);
        *owner_of(coroutine) = task;
        task->L = coroutine;
    }
    /* Nothing raises from here on, so the task is not lost between the lists. */
    tasks->idle = task->next;
    tasks->idle_count--;
    tasks->live_count++;
    task->next = NULL;
    task->id = task_new_name(tasks, task->slot);
    return task;
}

static void drop_coroutine(Generation *generation, Task *task)
{
    if (!watchdog_spent(task->L)) *owner_of(task->L) = NULL; /* the script may still hold it */
    luaL_unref(generation->L, LUA_REGISTRYINDEX, task->thread_ref);
    task->thread_ref = LUA_NOREF;
    task->L = NULL;
}

static void forget_message(Task *task)
{
    if (task->keeps) message_unref(task->message);
    task->message = NULL;
    task->keeps = task->probe = false;
}

static void release(Generation *generation, Task *task)
{
    Tasks *tasks = &generation->tasks;
    forget_message(task);
    task->id = task->wait = 0;
    task->yielded = task->cancelled = task->ready = false;
    task->lane = NULL;
    task->asked = 0;
    if (tasks->idle_count >= IDLE_TASKS || watchdog_spent(task->L))
        drop_coroutine(generation, task);
    else
        lua_settop(task->L, 0);
    tasks->live_count--;
    make_idle(tasks, task);
}

/* --- running ---------------------------------------------------------------------------------------------------------------- */

void task_push_ready(Generation *generation, Task *task)
{
    Tasks *tasks = &generation->tasks;
    task->ready = true;
    task->next = NULL;
    if (!tasks->ready_first) tasks->ready_last = &tasks->ready_first;
    *tasks->ready_last = task;
    tasks->ready_last = &task->next;
}

#define STRAY_YIELD "coroutine.yield outside of a coroutine of the script: task.sleep lets others run"

/* Logs what it failed with, and what comes of that. */
static void take_failure(Generation *generation, const Task *task, const char *traceback)
{
    generation_error(generation, task->what, traceback);
    if (!task->lane) return;
    HandlerCall call = {task->lane->handler, task->message, task->attempts, task->probe};
    failures_ended(generation, &call, QUARANTINE_FAILED, traceback);
}

/* Stack: task */
static int report_failure(lua_State *L)
{
    Task *task = lua_touserdata(L, 1);
    if (lua_status(task->L) == LUA_YIELD)
        luaL_traceback(L, task->L, STRAY_YIELD, 0);
    else
        door_traceback(L, task->L);
    return 1;
}

/* Without memory for a traceback, or with an error that cannot be told as text, that is what is told. */
static void report(Generation *generation, Task *task)
{
    lua_State *L = generation->L;
    int top = lua_gettop(L);
    lua_pushcfunction(L, report_failure);
    lua_pushlightuserdata(L, task);
    (void)door_call(L, 1, 1);
    take_failure(generation, task, lua_tostring(L, -1));
    lua_settop(L, top);
}

static void count_call(Generation *generation, Handler *handler, bool failed, int64_t begun_us)
{
    latency_add(&handler->latency, clock_us() - begun_us);
    count_up(&generation->handled);
    if (failed) count_up(&handler->errors);
}

/* A verdict is there without Lua, whose memory may be gone as well. */
static void tell_failure(Generation *generation, Task *task)
{
    if (watchdog_spent(task->L))
        take_failure(generation, task, watchdog_verdict());
    else
        report(generation, task);
}

/* The budget is gone, and the script has caught the error, or it was raised where none is looked for: not a word would be said. */
static void report_hidden_verdict(Generation *generation, const Task *task)
{
    if (watchdog_judged()) generation_error(generation, task->what, watchdog_verdict());
}

/* Runs what the script has in variables that are to be closed. */
static void close_failed(Generation *generation, Task *task)
{
    if (watchdog_spent(task->L)) return;
    generation_doing(generation, task->what);
    (void)door_close(task->L);
    report_hidden_verdict(generation, task);
    generation_doing(generation, NULL);
}

/* A call that ended without an error, or was cancelled. */
static void take_end(Generation *generation, const Task *task)
{
    Handler *handler = task->lane->handler;
    if (handler->quarantine.failures == 0 && generation->probation == 0) return; /* as nearly always */
    HandlerCall call = {handler, task->message, task->attempts, task->probe};
    failures_ended(generation, &call, task->cancelled ? QUARANTINE_ABANDONED : QUARANTINE_SUCCEEDED, NULL);
}

/* `results`: on its stack; -1: it failed. */
static void task_ended(Generation *generation, Task *task, int results)
{
    Lane *lane = task->lane;
    bool failed = results < 0;
    task_forget_wait(generation, task);
    if (task->asked) eval_ended(generation, task->L, task->asked, results);
    if (lane) count_call(generation, lane->handler, failed && !task->cancelled, task->begun_us);
    if (lane && (!failed || task->cancelled)) take_end(generation, task);
    if (failed) {
        if (!task->cancelled && !task->asked) tell_failure(generation, task);
        close_failed(generation, task);
    }
    release(generation, task);
    if (lane) lane_ended(generation, lane);
}

static void step(Generation *generation, Task *task, int args)
{
    int results = 0;
    generation->tasks.running = task;
    generation_doing(generation, task->what);
    DoorResult result = door_resume(task->L, generation->L, args, &results);
    if (result != DOOR_FAILED) report_hidden_verdict(generation, task);
    generation_doing(generation, NULL);
    generation->tasks.running = NULL;
    if (result != DOOR_WAITS || !task->yielded)
        task_ended(generation, task, result == DOOR_ENDED ? results : -1);
    else if (task->message && !task->keeps)
        task->keeps = message_ref(task->message) != NULL;
}

/* A call that goes on after a wait: its event is what the generation is busy with, if nothing else is. Nobody takes it away from one that
 * drains. */
static void go_on(Generation *generation, Task *task)
{
    bool begins = task->message && !generation->drains && !atomic_load(&generation->handling);
    if (begins) generation_busy_begin(generation, task->message);
    step(generation, task, task->args);
    if (begins) (void)generation_busy_end(generation);
}

void task_begin(Generation *generation, Task *task, Lane *lane, const char *what, int args)
{
    task->lane = lane;
    task->what = what;
    if (lane) task->begun_us = clock_us();
    step(generation, task, args);
}

bool tasks_ready(const Generation *generation)
{
    return generation->tasks.ready_first != NULL;
}

void tasks_step(Generation *generation)
{
    Tasks *tasks = &generation->tasks;
    Task *end = NULL; /* what becomes ready meanwhile waits for the next round, so that messages get their turn */
    for (Task *task = tasks->ready_first; task; task = task->next)
        end = task;
    for (bool more = end != NULL; more;) {
        Task *task = tasks->ready_first;
        tasks->ready_first = task->next;
        if (!tasks->ready_first) tasks->ready_last = &tasks->ready_first;
        more = task != end;
        task->ready = false;
        go_on(generation, task);
    }
}

size_t tasks_live(const Generation *generation)
{
    return generation->tasks.live_count;
}

uint64_t task_start(lua_State *L, int args, const char *what)
{
    Generation *generation = generation_of(L);
    Task *task = task_acquire(L);
    if (!lua_checkstack(task->L, args + 1)) {
        release(generation, task);
        luaL_error(L, "not enough memory for another task");
    }
    lua_xmove(L, task->L, args + 1);
    task->what = what;
    task->args = args;
    task_push_ready(generation, task);
    return task->id;
}

void tasks_each_call(Generation *generation, void (*each)(void *context, Lane *lane), void *context)
{
    for (size_t i = 0; i < generation->tasks.count; i++) {
        const Task *task = generation->tasks.slots[i];
        if (task->id && task->lane) each(context, task->lane);
    }
}

void tasks_drop(Generation *generation)
{
    for (size_t i = 0; i < generation->tasks.count; i++) {
        const Task *task = generation->tasks.slots[i];
        if (task->id && task->asked) eval_dropped(generation, task->asked);
    }
    generation_asks_no_more(generation);
}

void tasks_free(Generation *generation)
{
    Tasks *tasks = &generation->tasks;
    for (size_t i = 0; i < tasks->count; i++) {
        forget_message(tasks->slots[i]);
        free(tasks->slots[i]);
    }
    free(tasks->slots);
}
