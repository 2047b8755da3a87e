/* plain_encode.c - plain Lua values to bytes, and what about a value is not plain.
 *
 * No call here can raise, so that memory from malloc is safe: tables are walked with lua_next and read raw. Nothing allocates in
 * Lua either, so nothing is collected meanwhile and a table keeps its address. */
#include "api/place.h"
#include "api/plain_private.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define VALUE_MAX_BYTES 16 /* of a tag and a number */

/* --- which tables were met ------------------------------------------------------------------------------------------------- */

typedef struct {
    const void *table; /* NULL: free */
    size_t number;
} Met;

#define MET_INLINE 32 /* a power of two; so many are kept without an allocation, up to half of it */

typedef struct {
    Met first[MET_INLINE], *slots;
    size_t capacity, count;
} Tables;

static Met *find(const Tables *tables, const void *table)
{
    size_t at = (size_t)(((uintptr_t)table >> 4) * 0x9E3779B97F4A7C15u >> 20);
    while (tables->slots[at & (tables->capacity - 1)].table &&
           tables->slots[at & (tables->capacity - 1)].table != table)
        at++;
    return &tables->slots[at & (tables->capacity - 1)];
}

static bool grow(Tables *tables)
{
    Tables larger = {.capacity = tables->capacity * 2};
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (!larger.slots) return false;
    for (size_t i = 0; i < tables->capacity; i++)
        if (tables->slots[i].table) *find(&larger, tables->slots[i].table) = tables->slots[i];
    if (tables->slots != tables->first) free(tables->slots);
    tables->slots = larger.slots;
    tables->capacity = larger.capacity;
    return true;
}

typedef enum { MET_NEW, MET_AGAIN, MET_NO_MEMORY } Meeting;

static Meeting meet(Tables *tables, const void *table, size_t *number)
{
    Met *met = find(tables, table);
    if (met->table) {
        *number = met->number;
        return MET_AGAIN;
    }
    if (tables->count >= tables->capacity / 2) {
        if (!grow(tables)) return MET_NO_MEMORY;
        met = find(tables, table);
    }
    *met = (Met){table, tables->count++};
    return MET_NEW;
}

/* --- bytes ------------------------------------------------------------------------------------------------------------------ */

typedef struct {
    lua_State *L;
    const char *root;
    Buffer *out, *problem; /* out: NULL if it only looks */
    Tables tables;
    unsigned depth;
} Encoding;

static void write_tag(const Encoding *encoding, PlainTag tag)
{
    if (encoding->out) buffer_append_char(encoding->out, (char)tag);
}

static size_t put_varint(char *to, uint64_t number)
{
    size_t size = 0;
    for (; number >= 0x80; number >>= 7)
        to[size++] = (char)(number | 0x80);
    to[size++] = (char)number;
    return size;
}

static void write_number(const Encoding *encoding, PlainTag tag, uint64_t number)
{
    char *to = encoding->out ? buffer_reserve(encoding->out, VALUE_MAX_BYTES) : NULL;
    if (!to) return;
    *to = (char)tag;
    buffer_commit(encoding->out, 1 + put_varint(to + 1, number));
}

static void write_integer(const Encoding *encoding, lua_Integer number)
{
    uint64_t bits = (uint64_t)number;
    if (bits < PLAIN_SHORT)
        write_tag(encoding, (PlainTag)(PLAIN_SMALL_INTEGER + bits));
    else
        write_number(encoding, PLAIN_INTEGER, number < 0 ? ~(bits << 1) : bits << 1);
}

static void write_float(const Encoding *encoding, lua_Number number)
{
    uint64_t bits;
    char *to = encoding->out ? buffer_reserve(encoding->out, VALUE_MAX_BYTES) : NULL;
    if (!to) return;
    _Static_assert(sizeof bits == sizeof number, "a float is a double");
    memcpy(&bits, &number, sizeof bits);
    *to = PLAIN_FLOAT;
    for (unsigned i = 0; i < 8; i++)
        to[1 + i] = (char)(bits >> (8 * i));
    buffer_commit(encoding->out, 9);
}

static void write_string(const Encoding *encoding, int index)
{
    Slice text;
    if (!encoding->out) return;
    text.data = lua_tolstring(encoding->L, index, &text.size);
    if (text.size < PLAIN_SHORT)
        write_tag(encoding, (PlainTag)(PLAIN_SHORT_STRING + text.size));
    else
        write_number(encoding, PLAIN_STRING, text.size);
    buffer_append_slice(encoding->out, text);
}

/* --- values: each writes the one on top of the stack and leaves the stack as it was; false when `problem` was told why not ---- */

static bool encode_value(Encoding *encoding, const Place *place);

static bool fail(Encoding *encoding, const Place *place, const char *verb, const char *what)
{
    place_write(encoding->problem, encoding->L, encoding->root, place);
    buffer_append_format(encoding->problem, " %s %s", verb, what);
    return false;
}

static bool is_number(lua_State *L, int index)
{
    return lua_type(L, index) == LUA_TNUMBER && (lua_isinteger(L, index) || !isnan(lua_tonumber(L, index)));
}

/* Of the table at `place`. */
static bool check_key(Encoding *encoding, const Place *place, int index)
{
    lua_State *L = encoding->L;
    int type = lua_type(L, index);
    char what[64] = "NaN as a key";
    if (type == LUA_TSTRING || type == LUA_TBOOLEAN || is_number(L, index)) return true;
    if (type != LUA_TNUMBER)
        snprintf(what, sizeof what, "%s%s as a key", type == LUA_TNIL ? "" : "a ", lua_typename(L, type));
    return fail(encoding, place, "has", what);
}

static void write_key(const Encoding *encoding, int index)
{
    lua_State *L = encoding->L;
    switch (lua_type(L, index)) {
    case LUA_TSTRING: write_string(encoding, index); break;
    case LUA_TBOOLEAN: write_tag(encoding, lua_toboolean(L, index) ? PLAIN_TRUE : PLAIN_FALSE); break;
    default:
        if (lua_isinteger(L, index))
            write_integer(encoding, lua_tointeger(L, index));
        else
            write_float(encoding, lua_tonumber(L, index));
        break;
    }
}

/* Stack: table, key, value. The elements 1, 2, … come first, in this order, as far as the table keeps them so. Pops key and value
 * when there is nothing behind them: false in `more`. */
static bool encode_elements(Encoding *encoding, const Place *place, bool *more)
{
    lua_State *L = encoding->L;
    Place element = {.outer = place, .index = 1};
    *more = true;
    for (; lua_isinteger(L, -2) && lua_tointeger(L, -2) == element.index; element.index++) {
        if (!encode_value(encoding, &element)) return false;
        lua_pop(L, 1);
        *more = lua_next(L, -2);
        if (!*more) break;
    }
    return true;
}

/* The exponent of the next power of two: what a table is made for. */
static char exponent_of(size_t count)
{
    char exponent = 0;
    for (size_t room = 1; room < count; room *= 2)
        exponent++;
    return exponent;
}

/* Stack: table, key, value; pops the two. */
static bool encode_pairs(Encoding *encoding, const Place *place)
{
    lua_State *L = encoding->L;
    Place member = {.outer = place, .key = lua_gettop(L) - 1};
    size_t count = 0, hint = 0;
    write_tag(encoding, PLAIN_PAIRS);
    if (encoding->out) hint = buffer_size(encoding->out);
    write_tag(encoding, 0);
    do {
        if (!check_key(encoding, place, -2)) return false;
        write_key(encoding, -2);
        if (!encode_value(encoding, &member)) return false;
        lua_pop(L, 1);
        count++;
    } while (lua_next(L, -2));
    if (encoding->out && !encoding->out->failed) encoding->out->base[encoding->out->start + hint] = exponent_of(count);
    return true;
}

/* Whether the table has a metatable that is not the mark of arrays. */
static bool is_plain_table(lua_State *L, bool *marked)
{
    *marked = false;
    if (!lua_getmetatable(L, -1)) return true;
    lua_pop(L, 1);
    *marked = json_is_marked_array(L);
    return *marked;
}

static bool encode_content(Encoding *encoding, const Place *place, PlainTag tag)
{
    lua_State *L = encoding->L;
    bool more = true;
    if (encoding->depth == PLAIN_MAX_DEPTH || !lua_checkstack(L, 6))
        return fail(encoding, place, "is", "nested too deeply");
    encoding->depth++;
    write_number(encoding, tag, lua_rawlen(L, -1));
    lua_pushnil(L);
    if (lua_next(L, -2)) {
        if (!encode_elements(encoding, place, &more)) return false;
        if (more && !encode_pairs(encoding, place)) return false;
    }
    write_tag(encoding, PLAIN_END);
    encoding->depth--;
    return true;
}

static bool encode_table(Encoding *encoding, const Place *place)
{
    lua_State *L = encoding->L;
    bool marked;
    size_t number;
    switch (meet(&encoding->tables, lua_topointer(L, -1), &number)) {
    case MET_NO_MEMORY: return fail(encoding, place, "does not fit into", "memory");
    case MET_AGAIN: write_number(encoding, PLAIN_AGAIN, number); return true;
    case MET_NEW: break;
    }
    if (!is_plain_table(L, &marked)) return fail(encoding, place, "has", "a metatable");
    return encode_content(encoding, place, marked ? PLAIN_ARRAY : PLAIN_TABLE);
}

static bool encode_value(Encoding *encoding, const Place *place)
{
    lua_State *L = encoding->L;
    char what[32];
    switch (lua_type(L, -1)) {
    case LUA_TNIL: write_tag(encoding, PLAIN_NIL); return true;
    case LUA_TBOOLEAN: write_tag(encoding, lua_toboolean(L, -1) ? PLAIN_TRUE : PLAIN_FALSE); return true;
    case LUA_TNUMBER:
        if (lua_isinteger(L, -1))
            write_integer(encoding, lua_tointeger(L, -1));
        else
            write_float(encoding, lua_tonumber(L, -1));
        return true;
    case LUA_TSTRING: write_string(encoding, -1); return true;
    case LUA_TTABLE: return encode_table(encoding, place);
    default: break;
    }
    if (json_is_null(L, -1)) {
        write_tag(encoding, PLAIN_NULL);
        return true;
    }
    snprintf(what, sizeof what, "a %s", lua_typename(L, lua_type(L, -1)));
    return fail(encoding, place, "is", what);
}

/* The value at `value`, at `place`. */
static bool encode(Encoding *encoding, const Place *place, int value)
{
    lua_State *L = encoding->L;
    int top = lua_gettop(L);
    bool good;
    encoding->tables.slots = encoding->tables.first;
    encoding->tables.capacity = MET_INLINE;
    if (lua_checkstack(L, 4)) {
        lua_pushvalue(L, value);
        good = encode_value(encoding, place);
    } else {
        good = fail(encoding, place, "does not fit into", "memory");
    }
    if (encoding->tables.slots != encoding->tables.first) free(encoding->tables.slots);
    lua_settop(L, top);
    return good;
}

bool plain_encode(lua_State *L, int index, const char *root, Buffer *out, Buffer *problem)
{
    const Place place = {0};
    const size_t before = out ? buffer_size(out) : 0;
    Encoding encoding = {.L = L, .root = root, .out = out, .problem = problem};
    bool good = encode(&encoding, &place, lua_absindex(L, index));
    if (good && out && out->failed) good = fail(&encoding, &place, "does not fit into", "memory");
    if (!good && out) out->end = out->start + before;
    return good;
}

bool plain_check_member(lua_State *L, int key, int value, const char *root, Buffer *problem)
{
    const Place table = {0}, place = {.outer = &table, .key = lua_absindex(L, key)};
    Encoding encoding = {.L = L, .root = root, .problem = problem, .depth = 1};
    return check_key(&encoding, &table, place.key) && encode(&encoding, &place, lua_absindex(L, value));
}
