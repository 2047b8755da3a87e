/* fuzz_plain.c - any bytes: what plain_push takes is a plain value, which becomes the same bytes each time that it is written and
 * read from then on. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <lauxlib.h>

#include "api/json.h"
#include "api/plain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds) abort();
}

static lua_State *shared_state(void)
{
    static lua_State *L;
    if (!L) {
        L = luaL_newstate();
        check(L != NULL);
        json_open(L);
    }
    return L;
}

static size_t count(lua_State *L, int index)
{
    size_t members = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
        members++;
    return members;
}

/* Whether the two are the same on their surface. */
static bool similar(lua_State *L, int a, int b)
{
    if (lua_type(L, a) != lua_type(L, b) || lua_isinteger(L, a) != lua_isinteger(L, b)) return false;
    if (lua_istable(L, a)) return count(L, a) == count(L, b);
    return lua_rawequal(L, a, b) || !lua_rawequal(L, a, a); /* NaN */
}

/* Of the value at 1: as bytes, and as a value again at 2. */
static void carry(lua_State *L)
{
    Buffer out = buffer_with_headroom(0), problem = buffer_with_headroom(0);
    const char *wrong = NULL;
    check(plain_encode(L, 1, "value", NULL, &problem));
    check(plain_encode(L, 1, "value", &out, &problem));
    check(plain_push(L, buffer_slice(&out), &wrong));
    check(lua_gettop(L) == 2 && similar(L, 1, 2));
    buffer_free(&out);
    buffer_free(&problem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lua_State *L = shared_state();
    const char *problem = NULL;
    bool pushed = plain_push(L, slice_make((const char *)data, size), &problem);
    check(lua_gettop(L) == pushed && (problem == NULL) == pushed);
    if (pushed) carry(L);
    lua_settop(L, 0);
    return 0;
}
