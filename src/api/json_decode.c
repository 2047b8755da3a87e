/* json_decode.c - pushes Lua values while it reads JSON.
 *
 * Beside the scanning three things make it fast. Tables are created with the size that the last container at the same depth
 * had, since the elements of a list are alike and events of one kind follow each other. For the same reason keys repeat: the
 * short ones are kept as Lua strings, found by a cheaper hash than Lua's. And errors are not described here: whoever reads
 * valid text pays nothing for it, and for the others json_validate reads the text again. */
#include "api/json_private.h"
#include "protocol/json_scan.h"

#include <lauxlib.h>

#define SIZE_HINT_MAX 64                /* members or elements: no more are reserved on the strength of a memory */
#define SCRATCH_KEPT_BYTES (512u << 10) /* a larger one is given back after its text */

#define KEYS 256         /* a power of 2 */
#define KEY_BYTES_MAX 16 /* longer ones are rarely names of fields */

typedef struct {
    char text[KEY_BYTES_MAX];
    unsigned size; /* 0: none is kept here */
} Key;

/* What the decoder remembers from text to text: a userdata in the registry. */
typedef struct {
    char *scratch; /* for strings with escapes; NULL at first. Anchored as user value 1 */
    size_t scratch_bytes;
    unsigned char members[JSON_MAX_DEPTH + 1], elements[JSON_MAX_DEPTH + 1]; /* of the last container at each depth */
    Key keys[KEYS]; /* their Lua strings are in the table that is user value 2, from index 1 on */
} Decoder;

enum { SCRATCH_VALUE = 1, KEYS_VALUE = 2 };

static const char decoder_key; /* its address is the key in the registry */

typedef struct {
    lua_State *L;
    Decoder *decoder;
    const char *end;
    int keys, mark; /* indices on the stack of the table of keys, of the arrays' metatable */
    unsigned depth;
} Decoding;

static const char *push_value(Decoding *decoding, const char *at);

/* A finalizer that runs inside of lua_newuserdatauv may decode too; whoever is last sets what is anchored. */
static void set_scratch(Decoding *decoding, size_t bytes)
{
    lua_State *L = decoding->L;
    char *scratch = NULL;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &decoder_key);
    if (bytes) {
        scratch = lua_newuserdatauv(L, bytes, 0);
    } else {
        lua_pushnil(L);
    }
    lua_setiuservalue(L, -2, SCRATCH_VALUE);
    lua_pop(L, 1);
    decoding->decoder->scratch = scratch;
    decoding->decoder->scratch_bytes = bytes;
}

/* Each function from here on pushes what begins at `at` and returns what follows it; NULL for anything wrong, and then the
 * stack is left as it is. */

static const char *push_escaped_string(Decoding *decoding, const char *text)
{
    Decoder *decoder = decoding->decoder;
    size_t size = (size_t)(decoding->end - text) + JSON_UNESCAPE_SLACK; /* where it ends is not known yet */
    if (size > decoder->scratch_bytes) set_scratch(decoding, size < SCRATCH_KEPT_BYTES / 2 ? size * 2 : size);
    const char *at = text;
    char *behind = json_unescape(&at, decoding->end, decoder->scratch);
    if (!behind) return NULL;
    lua_pushlstring(decoding->L, decoder->scratch, (size_t)(behind - decoder->scratch));
    return at + 1;
}

static const char *push_string(Decoding *decoding, const char *at)
{
    const char *text = at + 1;
    const char *stop = json_plain_end(text, decoding->end);
    if (stop == decoding->end) return NULL;
    if (*stop == '\\') return push_escaped_string(decoding, text);
    if (*stop != '"') return NULL;
    lua_pushlstring(decoding->L, text, (size_t)(stop - text));
    return stop + 1;
}

static bool is_key(const Key *key, const char *text, size_t size, const char *end)
{
    if (key->size != size) return false;
#ifdef __SSE2__
    if (end - text >= JSON_VECTOR) {
        int equal = _mm_movemask_epi8(_mm_cmpeq_epi8(json_load(text), json_load(key->text)));
        return (~(unsigned)equal & ((1u << size) - 1)) == 0;
    }
#else
    (void)end;
#endif
    return memcmp(key->text, text, size) == 0;
}

static const char *push_key(Decoding *decoding, const char *at)
{
    lua_State *L = decoding->L;
    const char *text = at + 1, *end = decoding->end;
    const char *stop = json_plain_end(text, end);
    size_t size = (size_t)(stop - text);
    if (size - 1 >= KEY_BYTES_MAX || stop == end || *stop != '"')
        return push_string(decoding, at); /* the empty one too */

    unsigned char first = (unsigned char)text[0], middle = (unsigned char)text[size / 2],
                  last = (unsigned char)stop[-1];
    size_t slot = (first * 5u + middle * 11u + last * 23u + size) % KEYS;
    Key *key = &decoding->decoder->keys[slot];
    lua_Integer index = (lua_Integer)slot + 1;
    if (is_key(key, text, size, end)) {
        lua_rawgeti(L, decoding->keys, index);
        return stop + 1;
    }
    lua_pushlstring(L, text, size);
    lua_pushvalue(L, -1);
    lua_rawseti(L, decoding->keys, index);
    memcpy(key->text, text, size);
    key->size = (unsigned)size;
    return stop + 1;
}

static const char *push_number(Decoding *decoding, const char *at)
{
    JsonNumber number;
    const char *behind = json_read_number(at, decoding->end, &number);
    if (!behind) return NULL;
    if (number.is_integer) {
        lua_pushinteger(decoding->L, number.integer);
    } else {
        lua_pushnumber(decoding->L, number.real);
    }
    return behind;
}

static unsigned char remembered(lua_Integer size)
{
    return (unsigned char)(size < SIZE_HINT_MAX ? size : SIZE_HINT_MAX);
}

static const char *push_object(Decoding *decoding, const char *at)
{
    lua_State *L = decoding->L;
    const char *end = decoding->end;
    unsigned char *hint = &decoding->decoder->members[decoding->depth];
    lua_Integer count = 0;
    at = json_skip_space(at + 1, end);
    if (at < end && *at == '}') {
        lua_createtable(L, 0, 0);
        return at + 1;
    }
    lua_createtable(L, 0, *hint);
    for (;;) {
        if (at == end || *at != '"') return NULL;
        at = push_key(decoding, at);
        if (!at) return NULL;
        at = json_skip_space(at, end);
        if (at == end || *at != ':') return NULL;
        at = push_value(decoding, at + 1);
        if (!at) return NULL;
        lua_rawset(L, -3);
        count++;
        at = json_skip_space(at, end);
        if (at == end) return NULL;
        if (*at == '}') break;
        if (*at != ',') return NULL;
        at = json_skip_space(at + 1, end);
    }
    *hint = remembered(count);
    return at + 1;
}

static const char *push_array(Decoding *decoding, const char *at)
{
    lua_State *L = decoding->L;
    const char *end = decoding->end;
    unsigned char *hint = &decoding->decoder->elements[decoding->depth];
    lua_Integer count = 0;
    at = json_skip_space(at + 1, end);
    bool empty = at < end && *at == ']';
    lua_createtable(L, empty ? 0 : *hint, 0);
    lua_pushvalue(L, decoding->mark);
    lua_setmetatable(L, -2);
    if (empty) return at + 1;
    for (;;) {
        at = push_value(decoding, at);
        if (!at) return NULL;
        lua_rawseti(L, -2, ++count);
        at = json_skip_space(at, end);
        if (at == end) return NULL;
        if (*at == ']') break;
        if (*at != ',') return NULL;
        at++;
    }
    *hint = remembered(count);
    return at + 1;
}

static const char *push_container(Decoding *decoding, const char *at)
{
    /* Each level has a table, a key and a value. */
    if (decoding->depth == JSON_MAX_DEPTH || !lua_checkstack(decoding->L, 4)) return NULL;
    decoding->depth++;
    at = *at == '{' ? push_object(decoding, at) : push_array(decoding, at);
    decoding->depth--;
    return at;
}

static const char *behind_word(const char *at, const char *end, Slice word)
{
    return (size_t)(end - at) >= word.size && memcmp(at, word.data, word.size) == 0 ? at + word.size : NULL;
}

static const char *push_value(Decoding *decoding, const char *at)
{
    const char *end = decoding->end;
    at = json_skip_space(at, end);
    if (at == end) return NULL;
    switch (*at) {
    case '"': return push_string(decoding, at);
    case '{':
    case '[': return push_container(decoding, at);
    case 't': lua_pushboolean(decoding->L, true); return behind_word(at, end, slice_of("true"));
    case 'f': lua_pushboolean(decoding->L, false); return behind_word(at, end, slice_of("false"));
    case 'n': json_push_null(decoding->L); return behind_word(at, end, slice_of("null"));
    default: return push_number(decoding, at);
    }
}

void json_open_decoder(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &decoder_key) == LUA_TNIL) {
        Decoder *decoder = lua_newuserdatauv(L, sizeof *decoder, 2);
        *decoder = (Decoder){0};
        lua_createtable(L, KEYS, 0);
        lua_setiuservalue(L, -2, KEYS_VALUE);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &decoder_key);
    }
    lua_pop(L, 1);
}

bool json_push(lua_State *L, Slice text, JsonError *error)
{
    int top = lua_gettop(L);
    JsonError found = {0, "not enough memory"}; /* for the Lua stack, if the text is valid */
    if (text.data && lua_checkstack(L, 8)) {
        lua_rawgetp(L, LUA_REGISTRYINDEX, &decoder_key);
        Decoding decoding = {
            .L = L, .decoder = lua_touserdata(L, -1), .end = text.data + text.size, .keys = top + 1, .mark = top + 2};
        lua_getiuservalue(L, -1, KEYS_VALUE);
        lua_replace(L, decoding.keys);
        json_push_array_mark(L);
        const char *behind = push_value(&decoding, text.data);
        if (decoding.decoder->scratch_bytes > SCRATCH_KEPT_BYTES) set_scratch(&decoding, 0);
        if (behind && json_skip_space(behind, decoding.end) == decoding.end) {
            lua_replace(L, top + 1);
            lua_settop(L, top + 1);
            return true;
        }
        lua_settop(L, top);
    }
    json_validate(text, &found);
    if (error) *error = found;
    return false;
}
