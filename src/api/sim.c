/* sim.c - the raw module of the simulator: the server's functions, and what Lua has no way to do (UUIDs, Ed25519, a clock in
 * milliseconds). lua/sim/init.lua gets it and makes the global `sim` of it. */
#include "api/sim.h"

#include "api/api.h"
#include "api/support.h"
#include "protocol/identity.h"

#include <limits.h>
#include <time.h>
#include <uuid/uuid.h>

#define CLOSE_REASON_BYTES 123 /* what fits into a control frame, RFC 6455 5.5 */

static const SimPort *port_of(lua_State *L)
{
    return app_extension(generation_app(generation_of(L)));
}

static uint64_t check_peer(lua_State *L)
{
    return (uint64_t)luaL_checkinteger(L, 1);
}

static Slice check_text(lua_State *L, int arg)
{
    Slice text;
    text.data = luaL_checklstring(L, arg, &text.size);
    return text;
}

static lua_Integer check_range(lua_State *L, int arg, lua_Integer least, lua_Integer most, lua_Integer otherwise)
{
    lua_Integer number = luaL_optinteger(L, arg, otherwise);
    luaL_argcheck(L, number >= least && number <= most, arg, "out of range");
    return number;
}

static int done(lua_State *L, bool posted)
{
    return posted ? 0 : luaL_error(L, "not enough memory");
}

/* --- the server ------------------------------------------------------------------------------------------------------------------- */

/* event, function: for all events of that name; one does not wait for the other. */
static int raw_on(lua_State *L)
{
    const HandlerOptions options = {.concurrency = UINT_MAX};
    luaL_checktype(L, 2, LUA_TFUNCTION);
    handler_add(L, check_text(L, 1), 2, 0, &options);
    return 0;
}

/* peer, text */
static int raw_send(lua_State *L)
{
    const SimPort *port = port_of(L);
    return done(L, port->send(port->context, check_peer(L), check_text(L, 2)));
}

/* peer, bytes [, bytes per write] */
static int raw_send_bytes(lua_State *L)
{
    const SimPort *port = port_of(L);
    size_t piece = (size_t)check_range(L, 3, 0, INT_MAX, 0);
    return done(L, port->send_bytes(port->context, check_peer(L), check_text(L, 2), piece));
}

/* peer, code, reason */
static int raw_close(lua_State *L)
{
    const SimPort *port = port_of(L);
    unsigned code = (unsigned)check_range(L, 2, 1000, 4999, 1000);
    Slice reason = check_text(L, 3);
    luaL_argcheck(L, reason.size <= CLOSE_REASON_BYTES, 3, "the reason is over 123 bytes");
    return done(L, port->close(port->context, check_peer(L), code, reason));
}

/* peer */
static int raw_drop(lua_State *L)
{
    const SimPort *port = port_of(L);
    return done(L, port->drop(port->context, check_peer(L)));
}

/* peer, whether nothing is read from it */
static int raw_deafen(lua_State *L)
{
    const SimPort *port = port_of(L);
    return done(L, port->deafen(port->context, check_peer(L), lua_toboolean(L, 2)));
}

/* HTTP status, body, count */
static int raw_refuse(lua_State *L)
{
    const SimPort *port = port_of(L);
    int status = (int)check_range(L, 1, 300, 599, 503);
    unsigned count = (unsigned)check_range(L, 3, 0, INT_MAX, 1);
    return done(L, port->refuse(port->context, status, check_text(L, 2), count));
}

/* -> port | nil */
static int raw_port(lua_State *L)
{
    const SimPort *port = port_of(L);
    unsigned number = port->port(port->context);
    if (number == 0) return 0;
    lua_pushinteger(L, number);
    return 1;
}

/* --- what Lua cannot do ----------------------------------------------------------------------------------------------------------- */

/* -> milliseconds since 1970 */
static int raw_now_ms(lua_State *L)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    lua_pushinteger(L, (lua_Integer)now.tv_sec * 1000 + now.tv_nsec / 1000000);
    return 1;
}

static int raw_uuid(lua_State *L)
{
    uuid_t id;
    char text[37];
    uuid_generate_random(id);
    uuid_unparse_lower(id, text);
    lua_pushstring(L, text);
    return 1;
}

/* public key, text, signature -> whether it is that key's signature of the text */
static int raw_verify(lua_State *L)
{
    lua_pushboolean(L, identity_verify(check_text(L, 1), check_text(L, 2), check_text(L, 3)));
    return 1;
}

/* public key -> device id | nil */
static int raw_device_id(lua_State *L)
{
    char id[IDENTITY_ID_SIZE];
    if (!identity_id_of(check_text(L, 1), id)) return 0;
    lua_pushstring(L, id);
    return 1;
}

/* --- the state -------------------------------------------------------------------------------------------------------------------- */

static void open_sim(lua_State *L)
{
    static const luaL_Reg functions[] = {{"on", raw_on},
                                         {"send", raw_send},
                                         {"send_bytes", raw_send_bytes},
                                         {"close", raw_close},
                                         {"drop", raw_drop},
                                         {"deafen", raw_deafen},
                                         {"refuse", raw_refuse},
                                         {"port", raw_port},
                                         {"now_ms", raw_now_ms},
                                         {"uuid", raw_uuid},
                                         {"verify", raw_verify},
                                         {"device_id", raw_device_id},
                                         {NULL, NULL}};
    api_open(L);
    lua_pushglobaltable(L);
    lua_pushliteral(L, "sim");
    luaL_newlib(L, functions);
    require_embedded(L, "sim/init.lua", 1);
    lua_rawset(L, -3); /* globals are strict: only this way is a new one made */
    lua_pop(L, 1);
}

static bool push_payload(lua_State *L, Slice text, const char **problem)
{
    if (text.size == 0 || *text.data != *SIM_TEXT_MARK) return api_bindings().push_json(L, text, problem);
    lua_pushlstring(L, text.data + 1, text.size - 1);
    return true;
}

AppBindings sim_bindings(void)
{
    AppBindings bindings = api_bindings();
    bindings.open = open_sim;
    bindings.push_json = push_payload;
    return bindings;
}
