/* handlers.c - who listens to what. A handler is kept in the order of its registration; it may be removed while it runs or while
 * events wait for it, and is freed when neither is the case any more. */
#include "app/generation_private.h"

#include <lauxlib.h>
#include <stdio.h>

bool handler_is_of_host(Slice name)
{
    return name.size > 0 && name.data[0] == '@';
}

bool handler_matches(const Handler *handler, Slice name)
{
    if (handler->removed) return false;
    if (!handler->prefix)
        return name.size == handler->pattern_size && memcmp(name.data, handler->pattern, name.size) == 0;
    if (handler_is_of_host(name)) return false;
    return name.size >= handler->pattern_size && memcmp(name.data, handler->pattern, handler->pattern_size) == 0;
}

static size_t block_bytes(size_t pattern_size, bool prefix)
{
    return sizeof(Handler) + pattern_size + prefix + 1;
}

/* Handlers weigh on the app's memory as what Lua holds does: a script that registers without end meets its limit. */
static Handler *handler_new(lua_State *L, Slice pattern, const HandlerOptions *options)
{
    Generation *generation = generation_of(L);
    bool prefix = pattern.size > 0 && pattern.data[pattern.size - 1] == '*';
    size_t pattern_size = pattern.size - prefix, size = block_bytes(pattern_size, prefix);
    Handler *handler = memory_grant(&generation->memory, NULL, 0, size);
    if (!handler) {
        lua_gc(L, LUA_GCCOLLECT);
        handler = memory_grant(&generation->memory, NULL, 0, size);
    }
    if (!handler) return NULL;
    *handler = (Handler){.prefix = prefix, .pattern_size = pattern_size, .options = *options};
    memcpy(handler->pattern, pattern.data, pattern.size);
    handler->pattern[pattern.size] = 0;
    if (handler->options.concurrency == 0) handler->options.concurrency = 1;
    handler->function_ref = handler->key_ref = handler->lanes_ref = LUA_NOREF;
    handler->lane = (Lane){.handler = handler, .key_ref = LUA_NOREF};
    handler->id = ++generation->tasks.next_serial;
    return handler;
}

#define SOURCE_BYTES 40 /* of a path in a label */

/* Of a long path the end, from the begin of a folder's name on if there is one: the file's name is what one looks for. */
static const char *path_end(const char *path)
{
    size_t size = strlen(path);

    if (size <= SOURCE_BYTES) return path;
    const char *end = path + size - SOURCE_BYTES, *slash = strchr(end, '/');
    return slash ? slash + 1 : end;
}

/* `agent (watch.lua:12)` of the function at `index`; and whether it takes a second argument. */
static void describe(lua_State *L, Handler *handler, int index)
{
    lua_Debug info;
    lua_pushvalue(L, index);
    lua_getinfo(L, ">Su", &info);
    handler->wants_event = info.nparams >= 2 || info.isvararg;
    snprintf(handler->label, sizeof handler->label, "%.40s (%.*s:%d)", handler->pattern, SOURCE_BYTES,
             path_end(info.short_src), info.linedefined);
}

static void refer(lua_State *L, Handler *handler, int index, int key_index)
{
    lua_pushvalue(L, index);
    handler->function_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    if (!key_index) return;
    lua_pushvalue(L, key_index);
    handler->key_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_newtable(L);
    handler->lanes_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

static void tell_port(Generation *generation, const Handler *handler, bool wanted)
{
    const AppPort *port = &generation->config->port;
    Slice pattern = slice_make(handler->pattern, handler->pattern_size + handler->prefix);
    port->subscribe(port->context, generation->app, pattern, wanted);
}

/* The port hears of it exactly if it knows of the others: who takes over by force may take them all back at this moment. */
static void set_removed(Generation *generation, Handler *handler, bool removed)
{
    pthread_mutex_lock(&generation->lock);
    handler->removed = removed;
    if (generation->announced) tell_port(generation, handler, !removed);
    pthread_mutex_unlock(&generation->lock);
}

uint64_t handler_add(lua_State *L, Slice pattern, int index, int key_index, const HandlerOptions *options)
{
    Generation *generation = generation_of(L);
    if (generation->closing) luaL_error(L, "the app has ended: nothing is handled any more");
    generation_refuse_retired(L, "a handler");
    index = lua_absindex(L, index);
    if (key_index) key_index = lua_absindex(L, key_index);
    Handler *handler = handler_new(L, pattern, options);
    if (!handler) luaL_error(L, "not enough memory for another handler");
    /* Linked first: if what follows raises, the list owns it, and as a removed one it is freed with the next sweep. */
    describe(L, handler, index);
    handler->removed = generation->handlers_removed = true;
    pthread_mutex_lock(&generation->lock);
    *generation->handlers_last = handler;
    generation->handlers_last = &handler->next;
    pthread_mutex_unlock(&generation->lock);
    refer(L, handler, index, key_index);
    set_removed(generation, handler, false);
    return handler->id;
}

bool handler_remove(lua_State *L, uint64_t id)
{
    Generation *generation = generation_of(L);
    for (Handler *handler = generation->handlers; handler; handler = handler->next) {
        if (handler->id != id || handler->removed) continue;
        set_removed(generation, handler, true);
        generation->handlers_removed = true;
        return true;
    }
    return false;
}

void handlers_announce(Generation *generation, bool wanted)
{
    pthread_mutex_lock(&generation->lock);
    for (Handler *handler = generation->handlers; handler && generation->announced != wanted; handler = handler->next)
        if (!handler->removed) tell_port(generation, handler, wanted);
    generation->announced = wanted;
    pthread_mutex_unlock(&generation->lock);
}

unsigned handler_ordinal(const Generation *generation, const Handler *handler)
{
    unsigned ordinal = 0;
    for (const Handler *other = generation->handlers; other && other != handler; other = other->next)
        ordinal += !other->removed && strcmp(other->pattern, handler->pattern) == 0;
    return ordinal;
}

Handler *handler_find(Generation *generation, const char *pattern, unsigned ordinal)
{
    for (Handler *handler = generation->handlers; handler; handler = handler->next) {
        if (handler->removed || strcmp(handler->pattern, pattern) != 0) continue;
        if (ordinal-- == 0) return handler;
    }
    return NULL;
}

void handler_release(Generation *generation, Handler *handler)
{
    handler->uses--;
    if (handler->removed) generation->handlers_removed = true;
}

static void handler_free(Generation *generation, Handler *handler)
{
    luaL_unref(generation->L, LUA_REGISTRYINDEX, handler->function_ref);
    luaL_unref(generation->L, LUA_REGISTRYINDEX, handler->key_ref);
    luaL_unref(generation->L, LUA_REGISTRYINDEX, handler->lanes_ref);
    memory_resize(&generation->memory, handler, block_bytes(handler->pattern_size, handler->prefix), 0);
}

/* Nobody else reads its label, or the list, any more. */
static void unlink_handler(Generation *generation, Handler **link)
{
    Handler *handler = *link;
    pthread_mutex_lock(&generation->lock);
    *link = handler->next;
    pthread_mutex_unlock(&generation->lock);
    handler_free(generation, handler);
}

void handlers_sweep(Generation *generation)
{
    if (!generation->handlers_removed || generation->delivering) return;
    generation->handlers_removed = false;
    Handler **link = &generation->handlers;
    while (*link) {
        if ((*link)->removed && (*link)->uses == 0)
            unlink_handler(generation, link);
        else
            link = &(*link)->next;
    }
    generation->handlers_last = link;
}

/* Drops what waits in the lanes of a keyed handler: they live in Lua. Stack: handler */
static int clear_lanes(lua_State *L)
{
    Handler *handler = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, handler->lanes_ref);
    lua_pushnil(L);
    while (lua_next(L, 2)) { /* handler, lanes, key, lane */
        lane_clear(generation_of(L), lua_touserdata(L, 4));
        lua_pop(L, 1);
    }
    return 0;
}

void handlers_clear(Generation *generation)
{
    for (Handler *handler = generation->handlers; handler; handler = handler->next) {
        lane_clear(generation, &handler->lane);
        if (handler->lanes_ref != LUA_NOREF) generation_protect(generation, clear_lanes, handler, "ending");
    }
}

void handlers_free(Generation *generation)
{
    handlers_clear(generation);
    while (generation->handlers)
        unlink_handler(generation, &generation->handlers);
    generation->handlers_last = &generation->handlers;
}
