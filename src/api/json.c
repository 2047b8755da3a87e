/* json.c - the Lua module `json`, and what marks arrays and null in a state. */
#include "api/json_private.h"
#include "api/support.h"

#define BUFFER_KEPT_BYTES (1u << 20) /* of json.encode; a larger one is given back */

/* --- arrays and null -------------------------------------------------------------------------------------------------------- */

static const char array_mark_key; /* its address is the key of the arrays' metatable in the registry */

void json_push_array_mark(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_mark_key);
}

/* Gives the table on top of the stack the mark of arrays. */
static void mark_array(lua_State *L)
{
    json_push_array_mark(L);
    lua_setmetatable(L, -2);
}

bool json_is_marked_array(lua_State *L)
{
    if (!lua_getmetatable(L, -1)) return false;
    json_push_array_mark(L);
    bool marked = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return marked;
}

void json_push_null(lua_State *L)
{
    lua_pushlightuserdata(L, NULL);
}

bool json_is_null(lua_State *L, int index)
{
    return lua_islightuserdata(L, index) && !lua_touserdata(L, index);
}

/* All light userdata of a state share one metatable. */
static int light_userdata_tostring(lua_State *L)
{
    if (json_is_null(L, 1)) {
        lua_pushliteral(L, "null");
    } else {
        lua_pushfstring(L, "userdata: %p", lua_topointer(L, 1));
    }
    return 1;
}

void json_open(lua_State *L)
{
    luaL_checkstack(L, 4, NULL);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &array_mark_key) == LUA_TNIL) {
        lua_createtable(L, 0, 1);
        lua_pushliteral(L, "json.array");
        lua_setfield(L, -2, "__name");
        lua_rawsetp(L, LUA_REGISTRYINDEX, &array_mark_key);

        json_push_null(L);
        lua_createtable(L, 0, 1);
        lua_pushcfunction(L, light_userdata_tostring);
        lua_setfield(L, -2, "__tostring");
        lua_setmetatable(L, -2);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    json_open_decoder(L);
}

/* --- the module ------------------------------------------------------------------------------------------------------------- */

/* json.encode writes into buffers that belong to the state, so that an error of Lua cannot lose them. */
#define TEXT_UPVALUE lua_upvalueindex(1)
#define PROBLEM_UPVALUE lua_upvalueindex(2)

static void clear_output(Buffer *buffer)
{
    if (buffer->capacity > BUFFER_KEPT_BYTES) {
        buffer_free(buffer);
    } else {
        buffer_clear(buffer);
    }
}

/* json.decode(text) -> value | nil, err */
static int decode(lua_State *L)
{
    Slice text;
    JsonError error;
    text.data = luaL_checklstring(L, 1, &text.size);
    if (json_check_utf8(text, &error) && json_push(L, text, &error)) return 1;
    size_t line = 1, column = 1;
    for (size_t i = 0; i < error.offset; i++, column++) {
        if (text.data[i] == '\n') {
            line++;
            column = 0;
        }
    }
    return api_fail(L, "BAD_JSON", "%s at line %zu, column %zu", error.text, line, column);
}

/* json.encode(value) -> text | nil, err */
static int encode(lua_State *L)
{
    Buffer *text = lua_touserdata(L, TEXT_UPVALUE), *problem = lua_touserdata(L, PROBLEM_UPVALUE);
    luaL_checkany(L, 1);
    clear_output(text);
    clear_output(problem);
    if (json_encode(L, 1, "value", text, problem)) {
        lua_pushlstring(L, buffer_slice(text).data, buffer_size(text));
        clear_output(text);
        return 1;
    }
    return api_fail(L, "BAD_VALUE", "%.*s", SLICE_ARGS(buffer_slice(problem)));
}

/* json.array([t]) -> t, with the mark of arrays */
static int array(lua_State *L)
{
    lua_settop(L, 1);
    if (lua_isnil(L, 1)) {
        lua_newtable(L);
    } else {
        luaL_checktype(L, 1, LUA_TTABLE);
        bool other = lua_getmetatable(L, 1);
        lua_settop(L, 1);
        if (other && !json_is_marked_array(L)) return luaL_argerror(L, 1, "the table has another metatable already");
    }
    mark_array(L);
    return 1;
}

int luaopen_gatehouse_json(lua_State *L)
{
    static const luaL_Reg functions[] = {{"decode", decode}, {"array", array}, {NULL, NULL}};
    json_open(L);
    luaL_newlib(L, functions);
    scratch_new(L, 0);
    scratch_new(L, 0);
    lua_pushcclosure(L, encode, 2);
    lua_setfield(L, -2, "encode");
    json_push_null(L);
    lua_setfield(L, -2, "null");
    return 1;
}
