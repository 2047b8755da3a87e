/* task.c - the module task: raw pieces here, task.all and task.race of them in lua/task.lua. */
#include "api/support.h"

#define CLASS "gatehouse.task"

static uint64_t check_task(lua_State *L, int arg)
{
    const uint64_t *id = luaL_checkudata(L, arg, CLASS);
    return *id;
}

/* function, … -> task */
static int task_spawn(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    uint64_t *id = lua_newuserdatauv(L, sizeof *id, 0);
    *id = 0;
    luaL_setmetatable(L, CLASS);
    lua_insert(L, 1); /* task, function, … */
    *id = task_start(L, lua_gettop(L) - 2, "a task");
    return 1;
}

/* task -> whether it had not ended */
static int cancel(lua_State *L)
{
    uint64_t id = check_task(L, 1);
    luaL_argcheck(L, id != task_current(L), 1, "a task does not cancel itself: return, or raise an error");
    lua_pushboolean(L, task_cancel(L, id));
    return 1;
}

/* seconds -> true | nil, err */
static int task_sleep(lua_State *L)
{
    int64_t ms = check_ms(L, 1, 0);
    check_can_wait(L, "task.sleep");
    task_wait_begin(L, "task.sleep");
    task_wait_until(L, generation_due_ms(ms));
    return task_wait(L);
}

/* --- for lua/task.lua --------------------------------------------------------------------------------------------- */

/* who -> name of a wait, which `wait` then begins */
static int raw_begin(lua_State *L)
{
    const char *who = luaL_checkstring(L, 1);
    check_can_wait(L, who);
    lua_pushinteger(L, (lua_Integer)task_wait_begin(L, who));
    return 1;
}

static int raw_wait(lua_State *L)
{
    return task_wait(L);
}

/* name of a wait: it ends */
static int raw_wake(lua_State *L)
{
    lua_pushboolean(L, 1);
    task_wake(L, (uint64_t)luaL_checkinteger(L, 1), 1);
    return 0;
}

int task_open(lua_State *L)
{
    static const luaL_Reg methods[] = {{"cancel", cancel}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"spawn", task_spawn}, {"sleep", task_sleep}, {NULL, NULL}};
    static const luaL_Reg raw[] = {{"begin", raw_begin}, {"wait", raw_wait}, {"wake", raw_wake}, {NULL, NULL}};
    class_new(L, CLASS, methods);
    luaL_newlib(L, functions);
    lua_pushvalue(L, -1);
    luaL_newlib(L, raw);
    require_embedded(L, "task.lua", 2); /* adds all and race to the table */
    lua_pop(L, 1);
    return 1;
}
