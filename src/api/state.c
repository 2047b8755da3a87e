/* state.c - gw.state: plain data that outlives a generation.
 *
 * What the script holds is a userdata that stands in front of a table: so every assignment to gw.state.<name> passes
 * by here and is refused if it cannot be carried, deep down. The tables inside are ordinary ones; what the script
 * does to them is looked at when the state is saved. A userdata rather than an empty table in front, so that
 * next(gw.state) fails instead of finding nothing.
 *
 *     UNREAD ──first access: generation_inherit──► READ ──state_freeze──► frozen (see freeze.h)
 *
 * The app that reads it at once waits for the old generation at once; one that never looks at it never waits.
 *
 * As bytes it is FORMAT, its version as 8 bytes (low ones first), and the table as in plain.h. Bytes that begin with `{`
 * are JSON, as an earlier release wrote it. */
#include "api/freeze.h"
#include "api/json.h"
#include "api/plain.h"
#include "api/support.h"
#include "protocol/json_scan.h"

#include <stdio.h>

#define CLASS "gw.state"
#define FORMAT 1
#define HEADER_BYTES 9
#define PLAIN_ONLY ", and gw.state holds plain data only"
#define PROBLEM_BYTES 512

typedef struct {
    lua_Integer version; /* set by gw.on_migrate; 0: never */
    bool read, frozen;
    bool kept;     /* something was there to be kept: now an empty state has to be saved as well */
    bool migrated; /* gw.on_migrate was called */
} State;           /* a userdata; its user value is the table, once it is read */

static const char state_key; /* its address is the name of the userdata in the registry */

/* --- reading it ------------------------------------------------------------------------------------------------------------- */

static int fail_to_restore(lua_State *L, const char *problem)
{
    return luaL_error(L, "gw.state cannot be restored: %s", problem);
}

static bool is_json(Slice bytes)
{
    const char *end = bytes.data + bytes.size, *first = json_skip_space(bytes.data, end);
    return first < end && *first == '{';
}

static lua_Integer read_version(const char *bytes)
{
    uint64_t version = 0;
    for (unsigned i = 0; i < 8; i++)
        version |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
    return (lua_Integer)version;
}

/* Pushes the table that the bytes are. */
static void push_restored(lua_State *L, State *state, Slice bytes)
{
    const char *problem = NULL;
    JsonError error = {0};
    if (bytes.size == 0) {
        lua_newtable(L);
    } else if (is_json(bytes)) {
        if (!json_push(L, bytes, &error)) fail_to_restore(L, error.text);
    } else if (bytes.size < HEADER_BYTES || bytes.data[0] != FORMAT) {
        fail_to_restore(L, "it was written by another release of gatehouse");
    } else if (!plain_push(L, slice_make(bytes.data + HEADER_BYTES, bytes.size - HEADER_BYTES), &problem)) {
        fail_to_restore(L, problem);
    } else if (!lua_istable(L, -1)) {
        fail_to_restore(L, "it is no table");
    } else {
        state->version = read_version(bytes.data + 1);
    }
    state->kept = bytes.size > 0;
}

/* Pushes the table with the content. The first time this may wait for the generation before, and raises if what was
 * saved cannot be read: it would be overwritten. */
static void push_table(lua_State *L, int index)
{
    State *state = lua_touserdata(L, index);
    index = lua_absindex(L, index);
    if (!state->read) {
        push_restored(L, state, generation_inherit(L));
        if (state->frozen) {
            freeze_tables(L, -1);
            freeze_look_through(L);
        }
        lua_setiuservalue(L, index, 1);
        state->read = true;
    }
    lua_getiuservalue(L, index, 1);
}

static State *push_state(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
    return lua_touserdata(L, -1);
}

bool state_is(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    bool is = push_state(L) && lua_rawequal(L, index, -1);
    lua_pop(L, 1);
    return is;
}

void state_push_table(lua_State *L, int index)
{
    push_table(L, index);
}

/* --- what can be carried ------------------------------------------------------------------------------------------ */

/* Moves the sentence out of the buffer, so that none is lost when an error is raised. Returns `fine`. */
static bool conclude(bool fine, Buffer *sentence, char problem[PROBLEM_BYTES])
{
    if (!fine) snprintf(problem, PROBLEM_BYTES, "%.*s", SLICE_ARGS(buffer_slice(sentence)));
    buffer_free(sentence);
    return fine;
}

static bool encode(lua_State *L, int index, Buffer *out, char problem[PROBLEM_BYTES])
{
    Buffer sentence = buffer_with_headroom(0);
    return conclude(plain_encode(L, index, CLASS, out, &sentence), &sentence, problem);
}

static bool member_is_plain(lua_State *L, int key, int value, char problem[PROBLEM_BYTES])
{
    Buffer sentence = buffer_with_headroom(0);
    return conclude(plain_check_member(L, key, value, CLASS, &sentence), &sentence, problem);
}

/* Raises unless the table at `index` can be the state. */
static void check_table(lua_State *L, int index)
{
    char problem[PROBLEM_BYTES];
    if (!encode(L, index, NULL, problem)) luaL_error(L, "%s" PLAIN_ONLY, problem);
}

/* --- the script's side: upvalue 1 is the userdata ----------------------------------------------------------------- */

/* state, key */
static int get(lua_State *L)
{
    lua_settop(L, 2);
    push_table(L, lua_upvalueindex(1));
    lua_insert(L, 2);
    lua_rawget(L, 2);
    return 1;
}

/* state, key, value */
static int set(lua_State *L)
{
    const State *state = lua_touserdata(L, lua_upvalueindex(1));
    char problem[PROBLEM_BYTES];
    lua_settop(L, 3);
    if (state->frozen) return freeze_refuse(L);
    if (!member_is_plain(L, 2, 3, problem)) return luaL_error(L, "%s" PLAIN_ONLY, problem);
    push_table(L, lua_upvalueindex(1));
    lua_insert(L, 2);
    lua_rawset(L, 2);
    return 0;
}

static int length(lua_State *L)
{
    push_table(L, lua_upvalueindex(1));
    lua_pushinteger(L, (lua_Integer)lua_rawlen(L, -1));
    return 1;
}

static int pairs(lua_State *L)
{
    push_table(L, lua_upvalueindex(1));
    return freeze_pairs(L);
}

/* Stack: …, userdata. The table at `index`, which was checked, becomes the content. */
static void replace_table(lua_State *L, int index)
{
    lua_pushvalue(L, index);
    lua_setiuservalue(L, -2, 1);
}

void state_replace(lua_State *L, int index)
{
    State *state = push_state(L);
    bool same = lua_rawequal(L, index, -1); /* gw.state = gw.state or {} is a habit */
    if (state->frozen && !same) freeze_refuse(L);
    if (!same) {
        if (!lua_istable(L, index))
            luaL_error(L, "gw.state is a table: assign to its fields, or a table of plain data");
        check_table(L, index);
        push_table(L, -1);
        lua_pop(L, 1);
        replace_table(L, index);
    }
    lua_pop(L, 1);
}

void state_push(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"__index", get}, {"__newindex", set}, {"__len", length}, {"__pairs", pairs}, {NULL, NULL}};
    State *state = lua_newuserdatauv(L, sizeof *state, 1);
    *state = (State){0};
    lua_createtable(L, 0, 6); /* state, class */
    lua_pushvalue(L, -2);
    luaL_setfuncs(L, methods, 1);
    lua_pushliteral(L, CLASS);
    lua_setfield(L, -2, "__name");
    lua_pushliteral(L, CLASS);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
}

/* --- versions ------------------------------------------------------------------------------------------------------- */

/* Stack: version, function, userdata, table. */
static void migrate(lua_State *L, State *state, lua_Integer version)
{
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 4);
    lua_pushinteger(L, state->version);
    lua_call(L, 2, 1);
    int result = lua_gettop(L);
    if (lua_isnil(L, result) || lua_rawequal(L, result, 3)) {
        lua_getiuservalue(L, 3, 1); /* the function may have assigned gw.state */
        lua_replace(L, result);
    }
    if (!lua_istable(L, result))
        luaL_error(L, "the function of gw.on_migrate returned a %s: a table is expected, or nothing",
                   luaL_typename(L, result));
    check_table(L, result);
    lua_settop(L, result);
    lua_pushvalue(L, 3);
    replace_table(L, result);
    state->version = version;
    state->kept = true;
}

/* version, function */
int state_on_migrate(lua_State *L)
{
    lua_Integer version = luaL_checkinteger(L, 1);
    luaL_argcheck(L, version >= 1, 1, "versions are integers from 1 on");
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    if (!generation_loading(generation_of(L)))
        luaL_error(L, "gw.on_migrate belongs into the main chunk: before anything uses gw.state");
    State *state = push_state(L);
    if (state->migrated)
        luaL_error(L,
                   "gw.on_migrate was called already: one function converts all that is older than the newest version");
    push_table(L, 3);
    if (state->version > version)
        api_log(L, LOG_WARN,
                "gw.state has version %lld, which is newer than version %lld of gw.on_migrate: it is taken as it is",
                (long long)state->version, (long long)version);
    if (state->version < version) migrate(L, state, version);
    state->migrated = true;
    return 0;
}

/* --- saving it ------------------------------------------------------------------------------------------------------ */

/* Stack: …, table. Takes out, with an error in the log for each, the members that cannot be saved. */
static void drop_what_cannot_be_saved(lua_State *L)
{
    char problem[PROBLEM_BYTES];
    int table = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, table)) { /* table, name, value */
        if (!member_is_plain(L, table + 1, table + 2, problem)) {
            const char *name = luaL_tolstring(L, table + 1, NULL);
            api_log(L, LOG_ERROR, "%s: gw.state.%.100s is not saved", problem, name);
            lua_pushvalue(L, table + 1);
            lua_pushnil(L);
            lua_rawset(L, table);
        }
        lua_settop(L, table + 1);
    }
}

static void append_header(Buffer *out, lua_Integer version)
{
    char header[HEADER_BYTES] = {FORMAT};
    for (unsigned i = 0; i < 8; i++)
        header[1 + i] = (char)((uint64_t)version >> (8 * i));
    buffer_append(out, header, sizeof header);
}

/* Whether the table on top of the stack is empty. */
static bool is_empty(lua_State *L)
{
    lua_pushnil(L);
    if (!lua_next(L, -2)) return true;
    lua_pop(L, 2);
    return false;
}

bool state_save(lua_State *L, Buffer *out)
{
    char problem[PROBLEM_BYTES];
    State *state = push_state(L);
    const size_t before = buffer_size(out);
    if (!state->read) {
        lua_pop(L, 1);
        return false;
    }
    push_table(L, -1);
    state->kept |= !is_empty(L);
    if (state->kept) {
        append_header(out, state->version);
        bool fine = encode(L, -1, out, problem);
        if (!fine && generation_stopping(generation_of(L))) {
            drop_what_cannot_be_saved(L); /* the last chance of the others */
            fine = encode(L, -1, out, problem);
        }
        if (!fine) {
            out->end = out->start + before;
            luaL_error(L, "%s" PLAIN_ONLY, problem);
        }
    }
    lua_pop(L, 2);
    return true;
}

void state_freeze(lua_State *L)
{
    State *state = push_state(L);
    if (!state->frozen) {
        state->frozen = true;
        if (state->read) {
            push_table(L, -1);
            freeze_tables(L, -1);
            freeze_look_through(L);
            lua_setiuservalue(L, -2, 1);
        }
    }
    lua_pop(L, 1);
}
