/* config_file.c - evaluates gatehouse.lua and turns what it returns into JSON.
 *
 * The chunk sees no library and no global: it is data with arithmetic and local names. It may run for STEPS instructions and
 * use MEMORY_BYTES, so that a loop in it is a message and not a hanging program. */
#include "api/config_file.h"

#include "app/door.h"
#include "app/memory.h"
#include "protocol/json.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>

#define STEPS 10000000 /* VM instructions */
#define MEMORY_BYTES ((size_t)64 << 20)
#define DEPTH 32 /* tables inside each other: also what ends a table that contains itself */
#define PLACE_BYTES 256

typedef struct {
    lua_State *L;
    Buffer *json;
    char place[PLACE_BYTES]; /* "apps.watcher.config", for messages */
    size_t place_size;
    char *problem;
    size_t problem_size;
} Writer;

static bool fail(Writer *writer, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail(Writer *writer, const char *format, ...)
{
    char what[160];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    (void)snprintf(writer->problem, writer->problem_size, "%s%s%s", writer->place, *writer->place ? ": " : "", what);
    return false;
}

static void too_long(lua_State *L, lua_Debug *debug)
{
    (void)debug;
    luaL_error(L, "it does not come to an end");
}

/* --- values: nothing here raises, since no metamethod is asked and no key is converted --------------------------------- */

static bool write_value(Writer *writer, unsigned depth);

static bool is_array(lua_State *L, lua_Unsigned *count)
{
    lua_Unsigned keys = 0;

    *count = lua_rawlen(L, -1);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pop(L, 1);
        bool index = lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 1 && (lua_Unsigned)lua_tointeger(L, -1) <= *count;
        if (!index) {
            lua_pop(L, 1);
            return false;
        }
        keys++;
    }
    return keys == *count && keys > 0;
}

static bool write_member(Writer *writer, unsigned depth, const char *name)
{
    size_t before = writer->place_size;
    int size = snprintf(writer->place + before, sizeof writer->place - before, "%s%s",
                        before && *name != '[' ? "." : "", name);

    writer->place_size += size > 0 ? (size_t)size : 0;
    if (writer->place_size >= sizeof writer->place) writer->place_size = sizeof writer->place - 1;
    bool written = write_value(writer, depth);
    writer->place_size = before;
    if (written) writer->place[before] = '\0';
    return written;
}

static bool write_array(Writer *writer, unsigned depth, lua_Unsigned count)
{
    buffer_append_char(writer->json, '[');
    for (lua_Unsigned i = 1; i <= count; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "[%llu]", (unsigned long long)i);
        if (i > 1) buffer_append_char(writer->json, ',');
        lua_rawgeti(writer->L, -1, (lua_Integer)i); /* array, element */
        if (!write_member(writer, depth, name)) return false;
        lua_pop(writer->L, 1);
    }
    buffer_append_char(writer->json, ']');
    return true;
}

static bool write_object(Writer *writer, unsigned depth)
{
    lua_State *L = writer->L;
    bool first = true;

    buffer_append_char(writer->json, '{');
    lua_pushnil(L);
    while (lua_next(L, -2)) { /* table, key, value */
        size_t size;
        if (lua_type(L, -2) != LUA_TSTRING) {
            return fail(writer, "a table has either names or the numbers 1 to n as keys, not %s",
                        lua_type(L, -2) == LUA_TNUMBER ? "both or with gaps" : luaL_typename(L, -2));
        }
        const char *key = lua_tolstring(L, -2, &size);
        if (!first) buffer_append_char(writer->json, ',');
        first = false;
        if (!json_write_string(writer->json, slice_make(key, size))) return fail(writer, "a key is no UTF-8 text");
        buffer_append_char(writer->json, ':');
        if (!write_member(writer, depth, key)) return false;
        lua_pop(L, 1);
    }
    buffer_append_char(writer->json, '}');
    return true;
}

static bool write_text(Writer *writer)
{
    size_t size;
    const char *text = lua_tolstring(writer->L, -1, &size);

    return json_write_string(writer->json, slice_make(text, size)) || fail(writer, "this text is no UTF-8");
}

static bool write_number(Writer *writer)
{
    if (lua_isinteger(writer->L, -1)) {
        json_write_int(writer->json, lua_tointeger(writer->L, -1));
        return true;
    }
    return json_write_double(writer->json, lua_tonumber(writer->L, -1)) || fail(writer, "this is not a finite number");
}

/* Stack: …, value → …, value */
static bool write_value(Writer *writer, unsigned depth)
{
    lua_State *L = writer->L;
    lua_Unsigned count;

    switch (lua_type(L, -1)) {
    case LUA_TBOOLEAN: buffer_append_text(writer->json, lua_toboolean(L, -1) ? "true" : "false"); return true;
    case LUA_TNUMBER: return write_number(writer);
    case LUA_TSTRING: return write_text(writer);
    case LUA_TTABLE: break;
    default: return fail(writer, "a %s cannot be configured", luaL_typename(L, -1));
    }
    if (depth == 0 || !lua_checkstack(L, 4)) return fail(writer, "tables are nested too deep here");
    return is_array(L, &count) ? write_array(writer, depth - 1, count) : write_object(writer, depth - 1);
}

/* --- the file ----------------------------------------------------------------------------------------------------------- */

/* "gatehouse.lua:3: cause" without the traceback behind it; some causes, such as the want of memory, have no place. */
static void take_message(lua_State *L, const char *path, char *problem, size_t problem_size)
{
    const char *message = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "it raised an error that is no text";
    int size = (int)strcspn(message, "\n");
    size_t path_size = strlen(path);
    if (strncmp(message, path, path_size) == 0 && message[path_size] == ':')
        (void)snprintf(problem, problem_size, "%.*s", size, message);
    else
        (void)snprintf(problem, problem_size, "%s: %.*s", path, size, message);
}

static void *allocate(void *memory, void *block, size_t old_bytes, size_t new_bytes)
{
    return memory_resize(memory, block, old_bytes, new_bytes);
}

bool config_file_read(const char *path, Buffer *json, char *problem, size_t problem_size)
{
    bool read = false;
    Memory memory = {.limit_bytes = MEMORY_BYTES};
    lua_State *L = lua_newstate(allocate, &memory);

    if (!L) {
        (void)snprintf(problem, problem_size, "%s: there is not enough memory", path);
        return false;
    }
    FILE *probe = fopen(path, "re"); /* for a better message than Lua's */
    if (!probe) {
        (void)snprintf(problem, problem_size, "%s: cannot be read: %s", path, strerror(errno));
        goto out;
    }
    (void)fclose(probe);
    if (luaL_loadfilex(L, path, "t") != LUA_OK) {
        take_message(L, path, problem, problem_size);
        goto out;
    }
    lua_sethook(L, too_long, LUA_MASKCOUNT, STEPS);
    if (!door_call(L, 0, 1)) {
        take_message(L, path, problem, problem_size);
        goto out;
    }
    lua_sethook(L, NULL, 0, 0);
    if (lua_type(L, -1) != LUA_TTABLE) {
        (void)snprintf(problem, problem_size, "%s: it must return a table of settings, as in: return { url = \"…\" }",
                       path);
        goto out;
    }

    char cause[512];
    Writer writer = {.L = L, .json = json, .problem = cause, .problem_size = sizeof cause};
    lua_Unsigned count;
    read = is_array(L, &count) ? fail(&writer, "it must return a table of named settings, not a list")
                               : write_value(&writer, DEPTH);
    if (read && json->failed) read = fail(&writer, "there is not enough memory");
    if (!read) (void)snprintf(problem, problem_size, "%s: %s", path, cause);

out:
    lua_close(L);
    return read;
}
