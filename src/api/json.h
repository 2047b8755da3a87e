/* json.h - JSON to Lua values and back, straight: no tree in between. The codec of gw, and the Lua module `json`.
 *
 * What becomes what:
 *     null      json.null: a light userdata, the same value as cjson.null, prints as "null" (nil would lose the member)
 *     integers  Lua integers, exact; those beyond 64 bits, fractions and exponents are floats, and floats stay floats
 *     arrays    tables 1..n that carry the mark of json.array, so that an empty one is an array again when it is encoded
 *     objects   tables; an empty table without the mark is an object
 * Of duplicate keys the last one counts. */
#ifndef GATEHOUSE_API_JSON_H
#define GATEHOUSE_API_JSON_H

#include "protocol/json.h"

#include <lua.h>

#define JSON_ENCODE_MAX_BYTES (64u << 20) /* a table that contains another one many times over can become any size */

/* Makes what the codec keeps in this state: the mark of arrays, how null prints, the decoder's memory. Once per state, before
 * anything else here; a second call does nothing. */
void json_open(lua_State *L);

/* Pushes the module table: decode, encode, array, null. A lua_CFunction for luaL_requiref; opens what json_open does. */
int luaopen_gatehouse_json(lua_State *L);

/* Pushes the value that `text` is, or pushes nothing and returns false; `error`, which may be NULL, then says where and what.
 * The text must be valid UTF-8 (messages of the WebSocket codec are; json_check_utf8 tells of others). Raises nothing but Lua's
 * memory error. */
bool json_push(lua_State *L, Slice text, JsonError *error);

void json_push_null(lua_State *L);

/* Appends the JSON of the value at `index`. Raises nothing and calls no metamethods: tables are read raw. Returns false when
 * something has no JSON form; then `out` holds what it held, and `problem` gets a sentence with the place, which begins with
 * `root`: "params.items[3].callback: a function has no JSON form". */
bool json_encode(lua_State *L, int index, const char *root, Buffer *out, Buffer *problem);

#endif
