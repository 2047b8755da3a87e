/* timer.c - the module timer: after, every, cron.
 *
 * A timer is a userdata, kept in a table of the registry while it is set. When it fires, its function becomes a task.
 * A timer of `every` or `cron` has one call at a time: a beat that finds the last call still running is skipped.
 *
 * `every` keeps to the grid on which it was started, so it does not drift. `cron` follows the wall clock, while
 * timers of the core follow the monotonic one, which neither a clock that is set nor a machine that sleeps moves: so
 * it looks again at least once a minute. */
#include "api/cron.h"
#include "api/support.h"

#include <string.h>
#include <time.h>

#define CLASS "gatehouse.timer"
#define LOOK_AGAIN_MS 60000

typedef enum { TIMER_AFTER, TIMER_EVERY, TIMER_CRON } TimerKind;

typedef struct {
    AppTimer base;
    TimerKind kind;
    uint64_t task;     /* of the last call; 0: none */
    int64_t period_ms; /* EVERY */
    int64_t due_ms;    /* EVERY: the next beat, monotonic */
    int64_t due_s;     /* CRON: the next beat, since 1970 */
    Cron cron;
    bool once; /* CRON: one call for beats that were missed */
} Timer;

static const char set_key; /* address: name in the registry of the table of set timers: light userdata -> userdata */

/* --- set and not set ---------------------------------------------------------------------------------------------- */

/* Pushes the timer's userdata; nil if it is not set. */
static void push_timer(lua_State *L, Timer *timer)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &set_key);
    lua_rawgetp(L, -1, timer);
    lua_remove(L, -2);
}

/* Keeps (value: the userdata on top of the stack) or lets go (nil), and pops it. */
static void keep(lua_State *L, Timer *timer)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &set_key);
    lua_insert(L, -2);
    lua_rawsetp(L, -2, timer);
    lua_pop(L, 1);
}

static void let_go(lua_State *L, Timer *timer)
{
    app_timer_stop(L, &timer->base);
    lua_pushnil(L);
    keep(L, timer);
}

static int64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* When a cron timer has to look at the wall clock next: at its beat, if that is near. */
static void set_cron(lua_State *L, Timer *timer, int64_t now_ms)
{
    int64_t wait_ms = LOOK_AGAIN_MS, wait_s = timer->due_s - now_ms / 1000;
    if (wait_s > 0 && wait_s <= LOOK_AGAIN_MS / 1000) wait_ms = timer->due_s * 1000 - now_ms;
    app_timer_set(L, &timer->base, generation_now_ms() + wait_ms);
}

/* --- firing: in a protected call, on the main coroutine ----------------------------------------------------------- */

/* Stack: timer */
static void call(lua_State *L, Timer *timer)
{
    lua_getiuservalue(L, -1, 1);
    timer->task = task_start(L, 0, "a timer");
}

static void fire_after(lua_State *L, Timer *timer)
{
    let_go(L, timer);
    call(L, timer);
}

static void fire_every(lua_State *L, Timer *timer)
{
    int64_t late_ms = generation_now_ms() - timer->due_ms;
    timer->due_ms += (late_ms / timer->period_ms + 1) * timer->period_ms;
    app_timer_set(L, &timer->base, timer->due_ms);
    if (!task_alive(L, timer->task)) call(L, timer);
}

static void fire_cron(lua_State *L, Timer *timer)
{
    int64_t now_ms = wall_ms();
    bool runs = cron_beat(&timer->cron, timer->once, task_alive(L, timer->task), now_ms / 1000, &timer->due_s);
    set_cron(L, timer, now_ms);
    if (runs) call(L, timer);
}

static void fire(lua_State *L, AppTimer *base)
{
    Timer *timer = HEAP_OWNER(base, Timer, base);
    if (generation_stopping(generation_of(L))) return;
    push_timer(L, timer);
    switch (timer->kind) {
    case TIMER_AFTER: fire_after(L, timer); break;
    case TIMER_EVERY: fire_every(L, timer); break;
    case TIMER_CRON: fire_cron(L, timer); break;
    }
}

/* --- the module --------------------------------------------------------------------------------------------------- */

/* Pushes a timer for the function at index 2, kept already. */
static Timer *new_timer(lua_State *L, TimerKind kind)
{
    luaL_checktype(L, 2, LUA_TFUNCTION);
    Timer *timer = lua_newuserdatauv(L, sizeof *timer, 1);
    *timer = (Timer){.base.fire = fire, .kind = kind};
    luaL_setmetatable(L, CLASS);
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, 1);
    lua_pushvalue(L, -1);
    keep(L, timer);
    return timer;
}

/* seconds, function -> timer */
static int timer_after(lua_State *L)
{
    int64_t ms = check_ms(L, 1, 0);
    Timer *timer = new_timer(L, TIMER_AFTER);
    app_timer_set(L, &timer->base, generation_due_ms(ms));
    return 1;
}

static int timer_every(lua_State *L)
{
    int64_t ms = check_ms(L, 1, 1);
    Timer *timer = new_timer(L, TIMER_EVERY);
    timer->period_ms = ms;
    timer->due_ms = generation_now_ms() + ms;
    app_timer_set(L, &timer->base, timer->due_ms);
    return 1;
}

/* options at index 3 -> whether missed = "once" */
static bool check_missed(lua_State *L)
{
    static const char *const names[] = {"missed", NULL};
    static const char *const answers[] = {"skip", "once", NULL};
    if (!check_options(L, 3, names)) return false;
    if (lua_getfield(L, 3, "missed") == LUA_TNIL) return false;
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    for (int i = 0; answers[i]; i++)
        if (strcmp(text, answers[i]) == 0) return i == 1;
    return luaL_argerror(L, 3, "option 'missed': \"skip\" or \"once\" is expected");
}

/* expression, function [, options] -> timer */
static int timer_cron(lua_State *L)
{
    char problem[256];
    Cron cron;
    const char *text = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    bool once = check_missed(L);
    if (!cron_parse(text, &cron, problem, sizeof problem)) return luaL_argerror(L, 1, problem);
    Timer *timer = new_timer(L, TIMER_CRON);
    int64_t now_ms = wall_ms();
    timer->cron = cron;
    timer->once = once;
    timer->due_s = cron_next(&cron, now_ms / 1000);
    set_cron(L, timer, now_ms);
    return 1;
}

/* timer -> whether it was set */
static int cancel(lua_State *L)
{
    Timer *timer = luaL_checkudata(L, 1, CLASS);
    push_timer(L, timer);
    bool set = !lua_isnil(L, -1);
    let_go(L, timer);
    lua_pushboolean(L, set);
    return 1;
}

int timer_open(lua_State *L)
{
    static const luaL_Reg methods[] = {{"cancel", cancel}, {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"after", timer_after}, {"every", timer_every}, {"cron", timer_cron}, {NULL, NULL}};
    class_new(L, CLASS, methods);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &set_key);
    luaL_newlib(L, functions);
    return 1;
}
