/* json_encode.c - writes Lua values as JSON, and says where a value is that has no JSON form.
 *
 * No call here can raise: tables are walked with lua_next and read raw, and only strings are asked for their text. */
#include "api/freeze.h"
#include "api/json_private.h"
#include "api/place.h"
#include "app/watchdog.h"

#include <math.h>

typedef struct {
    lua_State *L;
    const char *root;
    Buffer *out, *problem;
    size_t limit_bytes; /* of `out` */
    unsigned depth;
} Encoding;

/* Each function here writes the value on top of the stack and leaves the stack as it was; false when `problem` was told why not. */
static bool encode_value(Encoding *encoding, const Place *place);

static bool fail(Encoding *encoding, const Place *place, const char *problem)
{
    place_write(encoding->problem, encoding->L, encoding->root, place);
    buffer_append_text(encoding->problem, ": ");
    buffer_append_text(encoding->problem, problem);
    return false;
}

static bool encode_string(Encoding *encoding, const Place *place, int index, const char *problem)
{
    Slice text;
    text.data = lua_tolstring(encoding->L, index, &text.size);
    return json_write_string(encoding->out, text) || fail(encoding, place, problem);
}

static bool encode_number(Encoding *encoding, const Place *place)
{
    if (lua_isinteger(encoding->L, -1)) {
        json_write_int(encoding->out, lua_tointeger(encoding->L, -1));
        return true;
    }
    double number = lua_tonumber(encoding->L, -1);
    if (json_write_double(encoding->out, number)) return true;
    return fail(encoding, place, isnan(number) ? "NaN has no JSON form" : "an infinite number has no JSON form");
}

/* The key at index -2 of the stack, of another type than string, in a table that is to be an object. */
static bool fail_for_key(Encoding *encoding, const Place *place)
{
    lua_State *L = encoding->L;
    if (lua_isinteger(L, -2)) {
        return fail(encoding, place, "the table mixes named members with array elements: JSON has objects or arrays");
    }
    fail(encoding, place, "the table has a key of type ");
    buffer_append_text(encoding->problem, lua_typename(L, lua_type(L, -2)));
    buffer_append_text(encoding->problem, lua_type(L, -2) == LUA_TNUMBER ? " that is no integer" : "");
    buffer_append_text(encoding->problem, ": keys of JSON objects are strings");
    return false;
}

/* Stack: table, key, value of the first member. Pops key and value. */
static bool encode_members(Encoding *encoding, const Place *place)
{
    lua_State *L = encoding->L;
    Place member = {.outer = place, .table = lua_topointer(L, -3), .key = lua_gettop(L) - 1};
    char separator = '{';
    do {
        if (lua_type(L, -2) != LUA_TSTRING) return fail_for_key(encoding, place);
        buffer_append_char(encoding->out, separator);
        if (!encode_string(encoding, &member, -2, "the key is not valid UTF-8")) return false;
        buffer_append_char(encoding->out, ':');
        if (!encode_value(encoding, &member)) return false;
        lua_pop(L, 1);
        separator = ',';
    } while (lua_next(L, -2));
    buffer_append_char(encoding->out, '}');
    return true;
}

/* Stack: table, key, value of the first element. Pops key and value. Counts the elements; false if the keys are not 1..n. */
static bool count_elements(Encoding *encoding, const Place *place, bool marked, lua_Integer *count)
{
    lua_State *L = encoding->L;
    lua_Integer last = 0;
    *count = 0;
    do {
        lua_Integer index = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
        if (index < 1) {
            if (marked)
                return fail(encoding, place, "the table is marked as an array, but not all of its keys are 1..n");
            if (lua_type(L, -2) != LUA_TNUMBER || !lua_isinteger(L, -2)) {
                if (*count == 0) return fail_for_key(encoding, place);
                return fail(encoding, place,
                            "the table mixes array elements with other keys: JSON has objects or arrays");
            }
            return fail(encoding, place,
                        "array elements begin at 1; for an object make the keys strings with tostring()");
        }
        if (index > last) last = index;
        ++*count;
        lua_pop(L, 1);
    } while (lua_next(L, -2));
    if (last == *count) return true;
    fail(encoding, place, "the array has holes: ");
    buffer_append_format(encoding->problem,
                         "%lld of %lld elements; fill them with json.null, or make the keys strings for an object",
                         (long long)*count, (long long)last);
    return false;
}

/* Stack: table, first key, its value. Pops key and value. */
static bool encode_elements(Encoding *encoding, const Place *place, bool marked)
{
    lua_State *L = encoding->L;
    Place element = {.outer = place, .table = lua_topointer(L, -3)};
    lua_Integer count = 0;
    if (!count_elements(encoding, place, marked, &count)) return false;
    for (element.index = 1; element.index <= count; element.index++) {
        buffer_append_char(encoding->out, element.index == 1 ? '[' : ',');
        lua_rawgeti(L, -1, element.index);
        if (!encode_value(encoding, &element)) return false;
        lua_pop(L, 1);
    }
    buffer_append_char(encoding->out, ']');
    return true;
}

static bool encode_table(Encoding *encoding, const Place *place)
{
    lua_State *L = encoding->L;
    const void *table = lua_topointer(L, -1);
    for (const Place *outer = place; outer; outer = outer->outer) {
        if (outer->table == table) return fail(encoding, place, "the table contains itself");
    }
    if (encoding->depth == JSON_MAX_DEPTH) return fail(encoding, place, "nested too deeply");
    if (watchdog_over()) return fail(encoding, place, "the CPU budget is used up"); /* no hook interrupts this */
    if (!lua_checkstack(L, 4)) return fail(encoding, place, "not enough memory");
    encoding->depth++;
    bool marked = json_is_marked_array(L), good = true;
    lua_pushnil(L);
    if (!lua_next(L, -2)) {
        buffer_append_text(encoding->out, marked ? "[]" : "{}");
    } else if (!marked && lua_type(L, -2) == LUA_TSTRING) {
        good = encode_members(encoding, place);
    } else {
        good = encode_elements(encoding, place, marked);
    }
    encoding->depth--;
    return good;
}

static bool encode_value(Encoding *encoding, const Place *place)
{
    lua_State *L = encoding->L;
    if (buffer_size(encoding->out) > encoding->limit_bytes) {
        return fail(encoding, place,
                    "up to here the JSON text is too long; does a table contain another one many times over?");
    }
    switch (lua_type(L, -1)) {
    case LUA_TNIL: buffer_append_text(encoding->out, "null"); return true;
    case LUA_TBOOLEAN: buffer_append_text(encoding->out, lua_toboolean(L, -1) ? "true" : "false"); return true;
    case LUA_TNUMBER: return encode_number(encoding, place);
    case LUA_TSTRING:
        return encode_string(encoding, place, -1, "the string is not valid UTF-8; send bytes as hex or base64");
    case LUA_TTABLE: freeze_look_through(L); return encode_table(encoding, place);
    default: break;
    }
    if (json_is_null(L, -1)) {
        buffer_append_text(encoding->out, "null");
        return true;
    }
    fail(encoding, place, "a ");
    buffer_append_text(encoding->problem, lua_typename(L, lua_type(L, -1)));
    buffer_append_text(encoding->problem, " has no JSON form");
    return false;
}

bool json_encode(lua_State *L, int index, const char *root, Buffer *out, Buffer *problem)
{
    const Place place = {0};
    const size_t before = buffer_size(out);
    const int top = lua_gettop(L);
    Encoding encoding = {
        .L = L, .root = root, .out = out, .problem = problem, .limit_bytes = before + JSON_ENCODE_MAX_BYTES};
    bool good;
    if (lua_checkstack(L, 4)) {
        lua_pushvalue(L, index);
        good = encode_value(&encoding, &place);
        if (good && buffer_size(out) > encoding.limit_bytes)
            good = fail(&encoding, &place, "the JSON text is too long");
    } else {
        good = fail(&encoding, &place, "not enough memory");
    }
    if (good && out->failed) good = fail(&encoding, &place, "not enough memory");
    if (!good) out->end = out->start + before;
    lua_settop(L, top);
    return good;
}
