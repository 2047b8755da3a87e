/* open.c - opens the libraries of an app's state, in the order in which they need each other. */
#include "api/api.h"
#include "api/json.h"
#include "api/support.h"

#include <lualib.h>

static const luaL_Reg modules[] = {{"json", luaopen_gatehouse_json},
                                   {"log", log_open},
                                   {"task", task_open},
                                   {"timer", timer_open},
                                   {"gw", gw_open},
                                   {NULL, NULL}};

void api_open(lua_State *L)
{
    luaL_openlibs(L);
    errors_open(L);
    require_open(L);
    for (const luaL_Reg *module = modules; module->name; module++) {
        luaL_requiref(L, module->name, module->func, 1);
        lua_pop(L, 1);
    }
    coroutines_guard(L);
    budget_guard(L);
    stdlib_restrict(L);
    sandbox_close(L);
    globals_make_strict(L);
}

static bool push_json(lua_State *L, Slice text, const char **problem)
{
    JsonError error;
    if (json_push(L, text, &error)) return true;
    *problem = error.text;
    return false;
}

AppBindings api_bindings(void)
{
    return (AppBindings){.open = api_open,
                         .push_json = push_json,
                         .push_error = api_push_error,
                         .save = state_save,
                         .retire = state_freeze,
                         .show = api_show};
}
