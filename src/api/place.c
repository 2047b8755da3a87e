/* place.c - see place.h. */
#include "api/place.h"
#include "protocol/json.h"

#define KEY_SHOWN_BYTES 64
#define STEPS_SHOWN 12 /* at each end of a long way */

static bool is_name(Slice key)
{
    for (size_t i = 0; i < key.size; i++) {
        char c = key.data[i], letter = (char)(c | 0x20);
        bool digit = c >= '0' && c <= '9';
        if (!(letter >= 'a' && letter <= 'z') && c != '_' && !(digit && i > 0)) return false;
    }
    return key.size > 0;
}

static void write_name(Buffer *out, Slice key)
{
    if (is_name(key) && key.size <= KEY_SHOWN_BYTES) {
        if (buffer_size(out)) buffer_append_char(out, '.');
        buffer_append_slice(out, key);
    } else {
        bool cut = key.size > KEY_SHOWN_BYTES;
        buffer_append_char(out, '[');
        json_write_string(out, slice_make(key.data, cut ? KEY_SHOWN_BYTES : key.size));
        buffer_append_text(out, cut ? "…]" : "]");
    }
}

static void write_key(Buffer *out, lua_State *L, int key)
{
    Slice text;
    switch (lua_type(L, key)) {
    case LUA_TSTRING:
        text.data = lua_tolstring(L, key, &text.size);
        write_name(out, text);
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, key))
            buffer_append_format(out, "[%lld]", (long long)lua_tointeger(L, key));
        else
            buffer_append_format(out, "[%.14g]", lua_tonumber(L, key));
        break;
    case LUA_TBOOLEAN: buffer_append_text(out, lua_toboolean(L, key) ? "[true]" : "[false]"); break;
    default: buffer_append_format(out, "[a %s]", lua_typename(L, lua_type(L, key))); break;
    }
}

static void write_step(Buffer *out, lua_State *L, const Place *place)
{
    if (place->key)
        write_key(out, L, place->key);
    else
        buffer_append_format(out, "[%lld]", (long long)place->index);
}

/* `steps` steps up from `place`. */
static const Place *ancestor(const Place *place, size_t steps)
{
    while (steps-- > 0)
        place = place->outer;
    return place;
}

void place_write(Buffer *out, lua_State *L, const char *root, const Place *place)
{
    size_t depth = 0;
    for (const Place *at = place; at->outer; at = at->outer)
        depth++;
    buffer_append_text(out, root);
    for (size_t step = 1; step <= depth; step++) {
        if (depth > 2 * STEPS_SHOWN && step == STEPS_SHOWN + 1) {
            buffer_append_text(out, "…");
            step = depth - STEPS_SHOWN + 1;
        }
        write_step(out, L, ancestor(place, depth - step));
    }
}
