/* load.c - the main file of an app: where it is, compiled, run; and why not, in words for people. */
#define _GNU_SOURCE /* asprintf */
#include "app/generation_private.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define OUT_OF_MEMORY "not enough memory"

bool load_is_memory(const char *text)
{
    return strstr(text, OUT_OF_MEMORY) != NULL;
}

void load_explain_memory(Generation *generation, Buffer *message)
{
    const bool small = generation->memory.limit_bytes < 2u << 20;
    const unsigned shift = small ? 10 : 20;
    buffer_append_format(message, " (the app has %zu of its %zu %s; setting `memory`)",
                         atomic_load(&generation->memory.used_bytes) >> shift, generation->memory.limit_bytes >> shift,
                         small ? "KiB" : "MiB");
}

/* The text in front of the last slash: where a file lives. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/* A folder's main file is its init.lua. The folder is where `require` looks first. */
bool load_find_main_file(Generation *generation, const char *path)
{
    struct stat status;
    if (!path) return (generation->folder = strdup(".")) != NULL;
    bool is_folder = stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    if (asprintf(&generation->main_file, is_folder ? "%s/init.lua" : "%s", path) < 0) generation->main_file = NULL;
    generation->folder = is_folder ? strdup(path) : folder_of(path);
    return generation->main_file && generation->folder;
}

/* The want of memory has no place in the script, so it gets the app's name and the setting. */
static void set_problem(Generation *generation, const char *text)
{
    Buffer problem = buffer_with_headroom(0);
    bool memory = !text || strncmp(text, OUT_OF_MEMORY, sizeof OUT_OF_MEMORY - 1) == 0;
    if (memory) buffer_append_format(&problem, "%s: ", generation->config->name);
    buffer_append_text(&problem, text ? text : OUT_OF_MEMORY);
    if (memory) load_explain_memory(generation, &problem);
    snprintf(generation->problem, sizeof generation->problem, "%.*s", SLICE_ARGS(buffer_slice(&problem)));
    buffer_free(&problem);
}

/* --- files ----------------------------------------------------------------------------------------------------------------------- */

/* Later than its main chunk a generation reads what is there, wherever its sources came from. */
static const Sources *override_of(const Generation *generation)
{
    return generation_loading(generation) ? generation->override : NULL;
}

bool generation_has_file(lua_State *L, const char *path)
{
    const Generation *generation = generation_of(L);
    return sources_has(generation->sources, override_of(generation), path);
}

FileResult generation_read(lua_State *L, const char *path, size_t limit_bytes, Buffer *content, char *problem,
                           size_t problem_size)
{
    const Generation *generation = generation_of(L);
    return sources_read(generation->sources, override_of(generation), path, limit_bytes, content, problem,
                        problem_size);
}

/* A first line that begins with '#' is for the shell; its end stays, so that lines keep their numbers. */
static Slice without_shebang(Slice text)
{
    static const char mark[] = "\xef\xbb\xbf";
    if (text.size >= 3 && strncmp(text.data, mark, 3) == 0) text = slice_make(text.data + 3, text.size - 3);
    if (text.size == 0 || *text.data != '#') return text;
    const char *end = memchr(text.data, '\n', text.size);
    return end ? slice_make(end, text.size - (size_t)(end - text.data)) : slice_make(text.data, 0);
}

int generation_load_file(lua_State *L, const char *path)
{
    Generation *generation = generation_of(L);
    char problem[512];
    const char *name = lua_pushfstring(L, "@%s", path);
    buffer_clear(&generation->text);
    if (generation_read(L, path, generation->config->memory_bytes, &generation->text, problem, sizeof problem) !=
        FILE_READ) {
        lua_pop(L, 1);
        lua_pushstring(L, problem);
        return LUA_ERRFILE;
    }
    Slice text = without_shebang(buffer_slice(&generation->text));
    int status = luaL_loadbufferx(L, text.data, text.size, name, "t");
    buffer_free(&generation->text);
    lua_remove(L, -2);
    return status;
}

/* Compiles the main file: text only. A syntax error needs no traceback, so it is kept here. */
static int compile(lua_State *L)
{
    Generation *generation = generation_of(L);
    generation->config->bindings.open(L);
    lua_settop(L, 0);
    if (!generation->main_file) return luaL_loadstring(L, "") == LUA_OK ? 1 : lua_error(L);
    if (generation_load_file(L, generation->main_file) == LUA_OK) return 1;
    set_problem(generation, lua_tostring(L, -1));
    return 0;
}

bool load_run(Generation *generation)
{
    lua_State *L = generation->L;
    lua_pushcfunction(L, compile);
    bool compiled = door_call(L, 0, 1);
    if (!compiled) set_problem(generation, lua_tostring(L, -1));
    if (!compiled || !lua_isfunction(L, -1)) return false;
    generation_doing(generation, "the main chunk");
    bool ran = door_call(L, 0, 0);
    generation_doing(generation, NULL);
    if (!ran) set_problem(generation, lua_tostring(L, -1));
    lua_settop(L, 0);
    return ran;
}
