/* show.c - values as a REPL prints them. */
#include "api/api.h"
#include "api/json.h"
#include "api/support.h"

/* A plain table as JSON, if all of it has such a form: its address would tell nothing. */
static bool show_table(lua_State *L, int index, Buffer *out)
{
    Buffer problem = buffer_with_headroom(0);

    if (state_is(L, index)) { /* of gw.state its content */
        state_push_table(L, index);
        lua_replace(L, index);
    }
    if (!lua_istable(L, index)) return false;
    if (luaL_getmetafield(L, index, "__tostring") != LUA_TNIL) {
        lua_pop(L, 1);
        return false;
    }
    bool shown = json_encode(L, index, "", out, &problem);
    buffer_free(&problem);
    return shown;
}

void api_show(lua_State *L, int from, Buffer *out)
{
    int top = lua_gettop(L);

    for (int index = from; index <= top; index++) {
        size_t size;
        if (index > from) buffer_append_char(out, '\t');
        if (show_table(L, index, out)) continue;
        const char *text = luaL_tolstring(L, index, &size);
        buffer_append(out, text, size);
        lua_pop(L, 1);
    }
}
