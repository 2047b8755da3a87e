/* log.c - the module log, and print. A line in the log never is a reason to fail: what has no JSON form is written as
 * text. */
#include "api/json.h"
#include "api/support.h"
#include "app/door.h"

#include <stdio.h>

static const char scratch_key; /* address: name in the registry of the buffer for fields */

static bool level_is_written(lua_State *L, LogLevel level)
{
    const AppPort *port = &generation_config(generation_of(L))->port;
    return port->logs(port->context, level);
}

/* --- values as text ----------------------------------------------------------------------------------------------- */

static int to_text(lua_State *L)
{
    luaL_tolstring(L, 1, NULL);
    return 1;
}

/* Pushes the value at `index` as print would show it; if its __tostring raises, what that raised. */
static Slice push_text(lua_State *L, int index)
{
    Slice text;
    index = lua_absindex(L, index);
    lua_pushcfunction(L, to_text);
    lua_pushvalue(L, index);
    door_call(L, 1, 1);
    text.data = lua_tolstring(L, -1, &text.size);
    return text.data ? text : slice_of("?");
}

/* Appends the value at `index`: as JSON, or as text in quotes. */
static void write_value(lua_State *L, int index, Buffer *fields)
{
    Buffer problem = buffer_with_headroom(0);
    bool fine = json_encode(L, index, "", fields, &problem);
    buffer_free(&problem);
    if (fine) return;
    json_write_string(fields, push_text(L, index));
    lua_pop(L, 1);
}

/* The table at `index`, member by member; keys as text. */
static void write_members(lua_State *L, int index, Buffer *fields)
{
    const char *between = "{";
    lua_pushnil(L);
    while (lua_next(L, index)) { /* …, key, value */
        buffer_append_text(fields, between);
        between = ",";
        json_write_string(fields, push_text(L, -2));
        lua_pop(L, 1);
        buffer_append_char(fields, ':');
        write_value(L, lua_gettop(L), fields);
        lua_pop(L, 1);
    }
    buffer_append_text(fields, *between == '{' ? "{}" : "}");
}

/* The table at `index` as it is, if all of it has a JSON form and it is an object. */
static bool write_object(lua_State *L, int index, Buffer *fields)
{
    Buffer problem = buffer_with_headroom(0);
    bool fine = lua_istable(L, index) && json_encode(L, index, "", fields, &problem);
    buffer_free(&problem);
    return fine && buffer_size(fields) > 0 && *buffer_slice(fields).data == '{';
}

/* The second argument of a log function as a JSON object: a table is that, another value becomes the field `value`. */
static Slice encode_fields(lua_State *L, int index)
{
    if (lua_isnoneornil(L, index)) return slice_of("");
    lua_rawgetp(L, LUA_REGISTRYINDEX, &scratch_key);
    Buffer *fields = lua_touserdata(L, -1);
    buffer_clear(fields);
    if (write_object(L, index, fields)) return buffer_slice(fields);
    fields = scratch_new(L, 0); /* from here on a __tostring of the script may run, and log something itself */
    if (lua_istable(L, index)) {
        write_members(L, index, fields);
    } else {
        buffer_append_text(fields, "{\"value\":");
        write_value(L, index, fields);
        buffer_append_char(fields, '}');
    }
    return fields->failed ? slice_of("") : buffer_slice(fields);
}

/* --- the functions ------------------------------------------------------------------------------------------------ */

static int write_line(lua_State *L, LogLevel level)
{
    luaL_checkany(L, 1);
    if (!level_is_written(L, level)) return 0;
    lua_settop(L, 2);
    Slice message = push_text(L, 1);
    generation_log(generation_of(L), level, message, encode_fields(L, 2));
    return 0;
}

static int log_debug(lua_State *L)
{
    return write_line(L, LOG_DEBUG);
}
static int log_info(lua_State *L)
{
    return write_line(L, LOG_INFO);
}
static int log_warn(lua_State *L)
{
    return write_line(L, LOG_WARN);
}
static int log_error(lua_State *L)
{
    return write_line(L, LOG_ERROR);
}

/* What the arguments are as text, one behind the other. */
static void push_joined(lua_State *L, const char *between)
{
    int count = lua_gettop(L);
    luaL_Buffer line;
    luaL_buffinit(L, &line);
    for (int i = 1; i <= count; i++) {
        if (i > 1) luaL_addstring(&line, between);
        push_text(L, i);
        luaL_addvalue(&line);
    }
    luaL_pushresult(&line);
}

static int print(lua_State *L)
{
    if (!level_is_written(L, LOG_INFO)) return 0;
    Slice line;
    push_joined(L, "\t");
    line.data = lua_tolstring(L, -1, &line.size);
    generation_log(generation_of(L), LOG_INFO, line, slice_of(""));
    return 0;
}

/* Lua's own `warn`, with which Lua also tells of errors in finalizers. */
typedef struct {
    Generation *generation;
    char text[512];
    size_t size;
} Warning;

static void collect_warning(void *context, const char *piece, int more)
{
    Warning *warning = context;
    size_t size = strlen(piece), room = sizeof warning->text - warning->size;
    if (warning->size == 0 && !more && *piece == '@') return; /* "@on", "@off": for Lua's own switch */
    if (size > room) size = room;
    memcpy(warning->text + warning->size, piece, size);
    warning->size += size;
    if (more) return;
    generation_log(warning->generation, LOG_WARN, slice_make(warning->text, warning->size), slice_of(""));
    warning->size = 0;
}

int log_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"debug", log_debug}, {"info", log_info}, {"warn", log_warn}, {"error", log_error}, {NULL, NULL}};
    static const char warning_key;
    scratch_new(L, 0);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &scratch_key);
    Warning *warning = lua_newuserdatauv(L, sizeof *warning, 0);
    *warning = (Warning){.generation = generation_of(L)};
    lua_rawsetp(L, LUA_REGISTRYINDEX, &warning_key);
    lua_setwarnf(L, collect_warning, warning);
    lua_pushcfunction(L, print);
    lua_setglobal(L, "print");
    luaL_newlib(L, functions);
    return 1;
}
