/* plain_decode.c - bytes to plain Lua values. Whatever the bytes are: every step stays inside of them, and what a hint asks for is
 * bounded by their number, over all tables together. */
#include "api/plain_private.h"

#include <limits.h>
#include <stdint.h>

typedef struct {
    lua_State *L;
    const char *at, *end;
    int tables; /* stack index of a table: number + 1 -> table */
    lua_Integer table_count;
    size_t room; /* so many places in tables may still be made ahead */
    unsigned depth;
    const char *problem;
} Decoding;

static bool fail(Decoding *decoding, const char *problem)
{
    decoding->problem = problem;
    return false;
}

static bool read_byte(Decoding *decoding, unsigned char *byte)
{
    if (decoding->at == decoding->end) return fail(decoding, "it ends too early");
    *byte = (unsigned char)*decoding->at++;
    return true;
}

static bool read_varint(Decoding *decoding, uint64_t *number)
{
    unsigned char byte;
    *number = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (!read_byte(decoding, &byte)) return false;
        if (shift == 63 && byte > 1) break;
        *number |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return true;
    }
    return fail(decoding, "a number has more than 64 bits");
}

/* --- scalars: each pushes a value ------------------------------------------------------------------------------------------- */

static bool push_integer(Decoding *decoding)
{
    uint64_t bits;
    if (!read_varint(decoding, &bits)) return false;
    bits = bits & 1 ? ~(bits >> 1) : bits >> 1;
    lua_pushinteger(decoding->L, (lua_Integer)bits);
    return true;
}

static bool push_float(Decoding *decoding)
{
    uint64_t bits = 0;
    lua_Number number;
    if (decoding->end - decoding->at < 8) return fail(decoding, "it ends too early");
    for (unsigned i = 0; i < 8; i++)
        bits |= (uint64_t)(unsigned char)*decoding->at++ << (8 * i);
    memcpy(&number, &bits, sizeof number);
    lua_pushnumber(decoding->L, number);
    return true;
}

static bool push_string(Decoding *decoding, uint64_t size)
{
    if (size > (uint64_t)(decoding->end - decoding->at)) return fail(decoding, "it ends too early");
    lua_pushlstring(decoding->L, decoding->at, (size_t)size);
    decoding->at += size;
    return true;
}

static bool push_long_string(Decoding *decoding)
{
    uint64_t size;
    return read_varint(decoding, &size) && push_string(decoding, size);
}

static bool push_again(Decoding *decoding)
{
    uint64_t number;
    if (!read_varint(decoding, &number)) return false;
    if (number >= (uint64_t)decoding->table_count) return fail(decoding, "it refers to a table that is not there");
    lua_rawgeti(decoding->L, decoding->tables, (lua_Integer)number + 1);
    return true;
}

/* --- tables ----------------------------------------------------------------------------------------------------------------- */

static bool push_value(Decoding *decoding, unsigned char tag);

/* How many places to make: what is asked for, as far as there can be so many. */
static int take_room(Decoding *decoding, uint64_t wanted)
{
    if (wanted > decoding->room) wanted = decoding->room;
    if (wanted > INT_MAX / 2) wanted = INT_MAX / 2;
    decoding->room -= (size_t)wanted;
    return (int)wanted;
}

/* Only with the pairs it is known for how many of them to make room, and a table cannot be told later: so this looks ahead when the
 * table has no elements, which is the rule for those that have pairs. */
static int pairs_ahead(Decoding *decoding)
{
    if (decoding->end - decoding->at < 2 || decoding->at[0] != PLAIN_PAIRS) return 0;
    unsigned char exponent = (unsigned char)decoding->at[1];
    return exponent < 32 ? take_room(decoding, (uint64_t)1 << exponent) : 0;
}

/* Stack: table. Pairs up to the end. */
static bool read_pairs(Decoding *decoding)
{
    lua_State *L = decoding->L;
    unsigned char tag, exponent;
    if (!read_byte(decoding, &exponent)) return false;
    for (;;) {
        if (!read_byte(decoding, &tag)) return false;
        if (tag == PLAIN_END) return true;
        if (tag == PLAIN_NIL || tag == PLAIN_NULL || (tag >= PLAIN_AGAIN && tag <= PLAIN_PAIRS))
            return fail(decoding, "a key is none");
        if (!push_value(decoding, tag)) return false;
        if (lua_type(L, -1) == LUA_TNUMBER && !lua_rawequal(L, -1, -1)) return fail(decoding, "a key is NaN");
        if (!read_byte(decoding, &tag) || !push_value(decoding, tag)) return false;
        lua_rawset(L, -3);
    }
}

/* Stack: table. */
static bool read_content(Decoding *decoding)
{
    unsigned char tag;
    for (lua_Integer index = 1;; index++) {
        if (!read_byte(decoding, &tag)) return false;
        if (tag == PLAIN_END) return true;
        if (tag == PLAIN_PAIRS) return read_pairs(decoding);
        if (!push_value(decoding, tag)) return false;
        lua_rawseti(decoding->L, -2, index);
    }
}

static bool push_table(Decoding *decoding, bool marked)
{
    lua_State *L = decoding->L;
    uint64_t elements;
    if (decoding->depth == PLAIN_MAX_DEPTH || !lua_checkstack(L, 6)) return fail(decoding, "nested too deeply");
    if (!read_varint(decoding, &elements)) return false;
    int element_room = take_room(decoding, elements);
    lua_createtable(L, element_room, pairs_ahead(decoding));
    if (marked) {
        json_push_array_mark(L);
        lua_setmetatable(L, -2);
    }
    lua_pushvalue(L, -1);
    lua_rawseti(L, decoding->tables, ++decoding->table_count);
    decoding->depth++;
    bool good = read_content(decoding);
    decoding->depth--;
    return good;
}

static bool push_value(Decoding *decoding, unsigned char tag)
{
    lua_State *L = decoding->L;
    if (tag >= PLAIN_SMALL_INTEGER) {
        lua_pushinteger(L, tag - PLAIN_SMALL_INTEGER);
        return true;
    }
    if (tag >= PLAIN_SHORT_STRING) return push_string(decoding, tag - PLAIN_SHORT_STRING);
    switch (tag) {
    case PLAIN_NIL: lua_pushnil(L); return true;
    case PLAIN_FALSE: lua_pushboolean(L, false); return true;
    case PLAIN_TRUE: lua_pushboolean(L, true); return true;
    case PLAIN_NULL: json_push_null(L); return true;
    case PLAIN_INTEGER: return push_integer(decoding);
    case PLAIN_FLOAT: return push_float(decoding);
    case PLAIN_STRING: return push_long_string(decoding);
    case PLAIN_AGAIN: return push_again(decoding);
    case PLAIN_TABLE: return push_table(decoding, false);
    case PLAIN_ARRAY: return push_table(decoding, true);
    default: return fail(decoding, "it has a tag that nothing has");
    }
}

bool plain_push(lua_State *L, Slice bytes, const char **problem)
{
    const int top = lua_gettop(L);
    unsigned char tag;
    if (bytes.size == 0 || !lua_checkstack(L, 6)) {
        *problem = bytes.size > 0 ? "not enough memory" : "it is empty";
        return false;
    }
    lua_newtable(L);
    Decoding decoding = {
        .L = L, .at = bytes.data, .end = bytes.data + bytes.size, .tables = top + 1, .room = bytes.size};
    bool good = read_byte(&decoding, &tag) && push_value(&decoding, tag);
    if (good && decoding.at != decoding.end) good = fail(&decoding, "something stands behind its end");
    if (good) {
        lua_replace(L, top + 1);
        lua_settop(L, top + 1);
    } else {
        lua_settop(L, top);
        *problem = decoding.problem;
    }
    return good;
}
