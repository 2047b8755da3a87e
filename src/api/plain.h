/* plain.h - plain Lua values as bytes and back: how gw.state goes to the next generation and to the disk.
 *
 * Plain are nil, booleans, integers, floats, strings of any bytes, json.null, and tables of them with strings, numbers and booleans
 * as keys. A table that is met again is the same table again when it is read: shared ones stay shared, and cycles are fine. The mark
 * of json.array is carried; tables with another metatable are not plain.
 *
 * A value is a tag and what belongs to it; numbers of any size are varints (7 bits a byte, low ones first):
 *
 *     0 nil   1 false   2 true   3 json.null
 *     4 integer   zigzag varint           5 float    8 bytes, low ones first
 *     6 string    varint size, bytes      7 again    varint: which table, in the order of their beginnings, from 0
 *     8 table, 9 array (with the mark)    varint: how many elements are about to come; a hint
 *                 values of the elements 1, 2, …
 *                 10 and a byte (as many pairs as two to that power are about to come; a hint), then pairs key value
 *                 11: the end of the table; 10 may be missing
 *     128 + n     a string of n < 64 bytes
 *     192 + n     the integer n < 64 */
#ifndef GATEHOUSE_API_PLAIN_H
#define GATEHOUSE_API_PLAIN_H

#include "protocol/buffer.h"

#include <lua.h>

#define PLAIN_MAX_DEPTH 1000 /* tables inside each other */

/* Appends the value at `index`. Raises nothing, allocates nothing in Lua and calls no metamethods. False if something cannot be
 * carried: then `out` holds what it held, and `problem` gets a sentence with the place, which begins with `root`:
 * "gw.state.items[3].callback is a function". `out` may be NULL: then it only looks. */
bool plain_encode(lua_State *L, int index, const char *root, Buffer *out, Buffer *problem);

/* Whether the value at `value` can be carried as the member at `key` of the table that is called `root`; a sentence if not. Nothing
 * is walked or allocated for what is no table. */
bool plain_check_member(lua_State *L, int key, int value, const char *root, Buffer *problem);

/* Pushes the value that `bytes` are; or pushes nothing, and says what is wrong (static). Takes any bytes. Raises nothing but Lua's
 * memory error. After json_open. */
bool plain_push(lua_State *L, Slice bytes, const char **problem);

#endif
