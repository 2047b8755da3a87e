/* test_api_stubs.c - what the binary registers and what the type stubs in lua/library describe are the same names,
 * both ways. */
#define _GNU_SOURCE /* nftw */
#include "api/api.h"

#include "api_rig.h"

#include <ctype.h>
#include <lauxlib.h>

#define LIBRARY GATEHOUSE_FIXTURES "/../../lua/library/"
#define CLASS_PREFIX "gatehouse."

static const char *const modules[] = {"gw", "task", "timer", "log", "json"};
#define MODULES (sizeof modules / sizeof *modules)

typedef struct {
    char names[128][64];
    size_t count;
} Names;

static Names registered, described; /* the first one is written by the app's thread, before app_load returns */

static void add(Names *names, const char *format, const char *first, const char *second)
{
    assert_true(names->count < 128);
    char *name = names->names[names->count++];
    snprintf(name, 64, format, first, second);
    for (; *name; name++)
        *name = (char)tolower((unsigned char)*name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* --- what is registered ------------------------------------------------------------------------------------------- */

/* The fields of the table on top of the stack; pops it. */
static void add_fields(lua_State *L, const char *format, const char *owner)
{
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        add(&registered, format, owner, lua_tostring(L, -2));
    lua_pop(L, 1);
}

/* A module's own fields, and those that stand behind it: gw.state. */
static void add_module(lua_State *L, const char *name)
{
    lua_getglobal(L, name);
    if (lua_getmetatable(L, -1)) {
        lua_getfield(L, -1, "__index");
        add_fields(L, "%s.%s", name);
        lua_pop(L, 1);
    }
    add_fields(L, "%s.%s", name);
}

/* Methods of the classes in the registry. */
static void add_classes(lua_State *L)
{
    lua_pushvalue(L, LUA_REGISTRYINDEX);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        if (strncmp(name, CLASS_PREFIX, strlen(CLASS_PREFIX)) != 0) continue;
        if (lua_getfield(L, -1, "__index") == LUA_TTABLE)
            add_fields(L, "%s:%s", name + strlen(CLASS_PREFIX));
        else
            lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void open_and_list(lua_State *L)
{
    api_open(L);
    for (size_t i = 0; i < MODULES; i++)
        add_module(L, modules[i]);
    add_classes(L);
}

/* --- what is described -------------------------------------------------------------------------------------------- */

/* `function gw.on(…) end`, `function Task:cancel() end`, `gw.state = …` */
static void read_line(const char *line)
{
    char owner[32], field[32], between;
    if (sscanf(line, "function %31[A-Za-z]%c%31[A-Za-z_](", owner, &between, field) == 3)
        add(&described, between == ':' ? "%s:%s" : "%s.%s", owner, field);
    else if (sscanf(line, "%31[a-z].%31[a-z_] %c", owner, field, &between) == 3 && between == '=')
        add(&described, "%s.%s", owner, field);
}

static void read_stub(const char *module)
{
    char path[512], line[1024];
    snprintf(path, sizeof path, LIBRARY "%s.lua", module);
    FILE *file = fopen(path, "r");
    if (!file) fail_msg("there is no %s", path);
    while (fgets(line, sizeof line, file))
        read_line(line);
    fclose(file);
}

static void stubs_and_registered_names_are_the_same(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig->bindings.open = open_and_list;
    assert_true(rig_load(rig, ""));
    for (size_t i = 0; i < MODULES; i++)
        read_stub(modules[i]);
    qsort(registered.names, registered.count, sizeof *registered.names, by_name);
    qsort(described.names, described.count, sizeof *described.names, by_name);
    assert_true(registered.count > 20);
    for (size_t r = 0, d = 0; r < registered.count || d < described.count; r++, d++) {
        const char *here = r < registered.count ? registered.names[r] : "\x7f",
                   *there = d < described.count ? described.names[d] : "\x7f";
        int order = strcmp(here, there);
        if (order < 0) fail_msg("%s is registered, but lua/library does not describe it", here);
        if (order > 0) fail_msg("%s is described in lua/library, but not registered", there);
    }
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(stubs_and_registered_names_are_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
