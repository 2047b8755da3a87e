/* deliver.c - an event to its handlers.
 *
 * Each handler has a lane (a keyed one: a lane for each key). An event starts at once in a lane that is free and empty; otherwise it
 * waits there as a Delivery. When a call ends, its lane is put into the list of lanes to drain, and the loop starts what waits.
 *
 * The payload is decoded when its first handler starts, and the handlers that start with it share the value. A delivery keeps the raw
 * bytes, since a decoded one weighs more; only for a keyed handler, whose key was computed from it, the value is kept. */
#include "app/generation_private.h"
#include "app/takeover.h"

#include <lauxlib.h>
#include <stdlib.h>

/* --- what a handler gets ------------------------------------------------------------------------------------------------------ */

static void push_payload(lua_State *L, Generation *generation, const Message *message)
{
    const char *problem = NULL;
    if (message->payload.size == 0)
        lua_pushnil(L);
    else if (!generation->config->bindings.push_json(L, message->payload, &problem))
        luaL_error(L, "the payload of event %s is not valid JSON: %s",
                   lua_pushlstring(L, message->name.data, message->name.size), problem);
}

static void push_event(lua_State *L, Generation *generation, const Message *message)
{
    const char *problem;
    lua_createtable(L, 0, 5);
    lua_pushlstring(L, message->name.data, message->name.size);
    lua_setfield(L, -2, "name");
    if (message->seq >= 0) {
        lua_pushinteger(L, message->seq);
        lua_setfield(L, -2, "seq");
    }
    lua_pushinteger(L, message->received_ms);
    lua_setfield(L, -2, "received_ms");
    lua_pushinteger(L, message->connection);
    lua_setfield(L, -2, "connection");
    if (message->state_version.size && generation->config->bindings.push_json(L, message->state_version, &problem))
        lua_setfield(L, -2, "state_version");
}

/* Takes the payload from the top of L and runs the handler with it. */
static void start(lua_State *L, Generation *generation, Lane *lane, Message *message, unsigned attempts)
{
    Handler *handler = lane->handler;
    int args = 1;
    Task *task = NULL;
    lua_rawgeti(L, LUA_REGISTRYINDEX, handler->function_ref);
    lua_insert(L, -2); /* function, payload */
    if (handler->wants_event) {
        push_event(L, generation, message);
        args = 2;
    }
    task = task_acquire(L); /* the last that may raise */
    lua_xmove(L, task_stack(task), args + 1);
    task_for(task, message, attempts, failures_probe(handler));
    lane->running++;
    count_by(&handler->running, 1);
    handler->uses++;
    task_begin(generation, task, lane, handler->label, args);
}

/* --- lanes -------------------------------------------------------------------------------------------------------------------- */

static bool lane_is_free(const Lane *lane)
{
    return lane->waiting == 0 && lane->running < lane->handler->options.concurrency;
}

/* One handler begins with the event: the others that it waits for get what is left of it, not all. */
static void mark_partial(Delivery *delivery)
{
    for (Delivery *other = delivery->older; other && other->arrival == delivery->arrival; other = other->older)
        other->partial = true;
    for (Delivery *other = delivery->younger; other && other->arrival == delivery->arrival; other = other->younger)
        other->partial = true;
}

static void link_youngest(Generation *generation, Delivery *delivery)
{
    pthread_mutex_lock(&generation->lock);
    delivery->older = generation->youngest;
    *(generation->youngest ? &generation->youngest->younger : &generation->oldest) = delivery;
    generation->youngest = delivery;
    pthread_mutex_unlock(&generation->lock);
}

/* False if it is to begin here, but another generation has it by now. */
static bool unlink(Generation *generation, Delivery *delivery, bool begins)
{
    pthread_mutex_lock(&generation->lock);
    bool ours = !begins || !generation->condemned;
    if (ours) {
        if (begins) mark_partial(delivery);
        *(delivery->older ? &delivery->older->younger : &generation->oldest) = delivery->younger;
        *(delivery->younger ? &delivery->younger->older : &generation->youngest) = delivery->older;
    }
    pthread_mutex_unlock(&generation->lock);
    return ours;
}

/* `begins`: its handler is about to be called, or would have been: NULL if that is for another generation to do. Otherwise it is
 * dropped. */
static Delivery *lane_pop(Generation *generation, Lane *lane, bool begins)
{
    Delivery *delivery = lane->first;
    if (!unlink(generation, delivery, begins)) return NULL;
    lane->first = delivery->next;
    lane->waiting--;
    count_by(&lane->handler->waiting, (size_t)-1);
    return delivery;
}

static void delivery_free(Generation *generation, Delivery *delivery)
{
    if (delivery->charged) inbox_release(app_inbox(generation->app), delivery->message->size_bytes);
    luaL_unref(generation->L, LUA_REGISTRYINDEX, delivery->payload_ref);
    message_unref(delivery->message);
    handler_release(generation, delivery->handler);
    free(delivery);
}

#define DROPPED "it was put back, and dropped before its handler was called"
#define NOT_CALLED "its handler could not be called: there was not enough memory, or the payload is not valid JSON"

static void drop_first(Generation *generation, Lane *lane)
{
    Delivery *delivery = lane_pop(generation, lane, false);
    if (!generation_replaced(generation)) {
        atomic_fetch_add_explicit(&generation->dropped, 1, memory_order_relaxed);
        if (delivery->attempts)
            letters_keep(generation, delivery->handler->label, delivery->message, DROPPED, delivery->attempts);
    }
    delivery_free(generation, delivery);
}

void lane_clear(Generation *generation, Lane *lane)
{
    while (lane->waiting)
        drop_first(generation, lane);
}

/* The event waits in the lane. `payload_index`: the decoded value to keep, or 0. */
static void enqueue(lua_State *L, Generation *generation, Lane *lane, const Delivery *what, int payload_index)
{
    size_t bound = lane->handler->options.queue;
    int payload_ref = LUA_NOREF;
    if (payload_index) {
        lua_pushvalue(L, payload_index);
        payload_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    Delivery *delivery = malloc(sizeof *delivery);
    if (!delivery) {
        luaL_unref(L, LUA_REGISTRYINDEX, payload_ref);
        luaL_error(L, "not enough memory to queue an event");
        return; /* not reached */
    }
    *delivery = *what;
    delivery->handler = lane->handler;
    delivery->payload_ref = payload_ref;
    delivery->charged = true;
    message_ref(delivery->message);
    inbox_charge(app_inbox(generation->app), delivery->message->size_bytes);
    if (!lane->first) lane->last = &lane->first;
    *lane->last = delivery;
    lane->last = &delivery->next;
    lane->waiting++;
    count_by(&lane->handler->waiting, 1);
    lane->handler->uses++;
    link_youngest(generation, delivery);
    if (bound && lane->waiting > bound) drop_first(generation, lane);
}

Lane *lane_of_key(lua_State *L, Handler *handler)
{
    int key = lua_gettop(L);
    Lane *lane = &handler->lane;
    /* No key, or NaN: the handler's common lane. */
    if (!lua_isnil(L, key) && lua_compare(L, key, key, LUA_OPEQ)) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, handler->lanes_ref);
        lua_pushvalue(L, key);
        if (lua_rawget(L, key + 1) == LUA_TUSERDATA) {
            lane = lua_touserdata(L, -1);
        } else { /* key, lanes, nil */
            lua_pop(L, 1);
            lane = lua_newuserdatauv(L, sizeof *lane, 0); /* key, lanes, lane */
            *lane = (Lane){.handler = handler, .key_ref = LUA_NOREF};
            lua_pushvalue(L, key);
            lane->key_ref = luaL_ref(L, LUA_REGISTRYINDEX);
            lua_pushvalue(L, key);
            lua_insert(L, -2);
            lua_rawset(L, key + 1);
        }
    }
    lua_settop(L, key - 1);
    return lane;
}

/* Stack of L: …, payload. Runs the script's key function; without an answer the handler's common lane serves. */
static Lane *keyed_lane(lua_State *L, Generation *generation, Handler *handler)
{
    int payload = lua_gettop(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, handler->key_ref);
    lua_pushvalue(L, payload);
    generation_doing(generation, handler->label);
    bool called = door_call(L, 1, 1); /* payload, key or message */
    generation_doing(generation, NULL);
    if (called) return lane_of_key(L, handler);
    generation_error(generation, handler->label, lua_tostring(L, -1));
    lua_settop(L, payload);
    return &handler->lane;
}

/* A keyed lane that nobody uses leaves the table, which was all that kept it. Does not raise. */
static void lane_forget(Generation *generation, Lane *lane)
{
    lua_State *L = generation->L;
    int key_ref = lane->key_ref;
    if (key_ref == LUA_NOREF || lane->running || lane->waiting || lane->draining || lane->held) return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, lane->handler->lanes_ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, key_ref);
    lua_pushnil(L);
    lua_rawset(L, -3); /* the key is there: no allocation */
    lua_pop(L, 1);
    luaL_unref(L, LUA_REGISTRYINDEX, key_ref);
}

static void list_for_draining(Generation *generation, Lane *lane)
{
    if (lane->draining) return;
    lane->draining = true;
    lane->next_draining = NULL;
    if (!generation->draining_first) generation->draining_last = &generation->draining_first;
    *generation->draining_last = lane;
    generation->draining_last = &lane->next_draining;
}

/* A call of the lane is over. */
static void free_place(Generation *generation, Lane *lane)
{
    Handler *handler = lane->handler;
    lane->running--;
    if (lane->waiting)
        list_for_draining(generation, lane);
    else
        lane_forget(generation, lane);
    handler_release(generation, handler);
}

void lane_ended(Generation *generation, Lane *lane)
{
    count_by(&lane->handler->running, (size_t)-1);
    if (lane->held) takeover_tell_lane(generation, lane->held);
    free_place(generation, lane);
}

void lane_hold(Lane *lane, unsigned calls)
{
    lane->running += calls;
    lane->handler->uses += calls;
}

void lane_let_go(Generation *generation, Lane *lane)
{
    free_place(generation, lane);
}

bool lanes_draining(const Generation *generation)
{
    return generation->draining_first != NULL;
}

typedef struct {
    Lane *lane;
    Delivery *delivery;
} Turn;

/* Stack: turn. Runs the handler for what had to wait. */
static int start_waiting(lua_State *L)
{
    Generation *generation = generation_of(L);
    Turn *turn = lua_touserdata(L, 1);
    if (turn->delivery->payload_ref == LUA_NOREF)
        push_payload(L, generation, turn->delivery->message);
    else
        lua_rawgeti(L, LUA_REGISTRYINDEX, turn->delivery->payload_ref);
    start(L, generation, turn->lane, turn->delivery->message, turn->delivery->attempts);
    return 0;
}

static bool may_begin(const Generation *generation, const Lane *lane)
{
    return lane->waiting && lane->running < lane->handler->options.concurrency && !generation_cut_short(generation);
}

static void begin_waiting(Generation *generation, Turn *turn)
{
    Handler *handler = turn->lane->handler;
    Delivery *delivery = turn->delivery;
    message_unref(generation_busy_with(generation, message_ref(delivery->message)));
    if (!generation_protect(generation, start_waiting, turn, handler->label)) {
        count_up(&generation->handled);
        letters_keep(generation, handler->label, delivery->message, NOT_CALLED, delivery->attempts + 1);
    }
    Message *handled = generation_busy_with(generation, NULL);
    if (!handled) delivery->charged = false; /* it was taken away, with its weight */
    message_unref(handled);
}

/* What the lane has first, to its handler, or to nobody if that is off. False if another generation has it by now. */
static bool take_turn(Generation *generation, Lane *lane)
{
    Turn turn = {lane, lane_pop(generation, lane, true)};
    if (!turn.delivery) return false;
    HandlerCall call = {
        .handler = lane->handler, .message = turn.delivery->message, .attempts = turn.delivery->attempts};
    if (!lane->handler->quarantine.off || !failures_skip(generation, &call)) begin_waiting(generation, &turn);
    delivery_free(generation, turn.delivery);
    return true;
}

/* Stops at a border when somebody waits there; the rest of the lane is listed again. */
void lanes_drain(Generation *generation)
{
    Lane *lane = generation->draining_first;
    if (!lane) return;
    generation->draining_first = lane->next_draining;
    if (lane->handler->removed) lane_clear(generation, lane);
    while (may_begin(generation, lane)) {
        if (!take_turn(generation, lane)) break;
        if (lane->handler->removed) lane_clear(generation, lane);
        if (atomic_load_explicit(&generation->attention, memory_order_relaxed)) break;
    }
    lane->draining = false;
    if (may_begin(generation, lane))
        list_for_draining(generation, lane);
    else
        lane_forget(generation, lane);
}

/* --- the event ---------------------------------------------------------------------------------------------------------------- */

/* One event on its way through the list of handlers. */
typedef struct {
    Message *message;
    Handler *next; /* who sees it next; NULL: all have */
    Handler *last; /* those added meanwhile do not see this event */
    Handler *at;   /* who sees it now */
    uint64_t number;
    unsigned attempts; /* that failed, of an event that is tried again */
    bool begun;        /* a handler was called for it: those for whom it waits get a part of it */
} Arrival;

/* A handler is called: the event, if it waits for others already, waits for them as a part from now on. */
static void begin(Generation *generation, Arrival *arrival)
{
    const Delivery *youngest = generation->youngest;
    if (arrival->begun) return;
    arrival->begun = true;
    if (!youngest || youngest->arrival != arrival->number) return;
    pthread_mutex_lock(&generation->lock);
    for (Delivery *other = generation->youngest; other && other->arrival == arrival->number; other = other->older)
        other->partial = true;
    pthread_mutex_unlock(&generation->lock);
}

/* What cannot be decoded for one handler cannot for the next: nobody is left to see it if this raises. */
static int decode_once(lua_State *L, Generation *generation, Arrival *arrival)
{
    Handler *next = arrival->next;
    arrival->next = NULL;
    push_payload(L, generation, arrival->message);
    arrival->next = next;
    return lua_gettop(L);
}

/* Stack: arrival. Goes on with the next handler; raises when one could not be started. */
static int deliver_on(lua_State *L)
{
    Generation *generation = generation_of(L);
    Arrival *arrival = lua_touserdata(L, 1);
    int payload = 0;
    while (arrival->next && !generation_cut_short(generation)) {
        Handler *handler = arrival->next;
        arrival->next = handler == arrival->last ? NULL : handler->next;
        if (!handler_matches(handler, arrival->message->name)) continue;
        HandlerCall call = {.handler = handler, .message = arrival->message, .attempts = arrival->attempts};
        if (handler->quarantine.off && failures_skip(generation, &call)) continue;
        arrival->at = handler;
        generation_collect(generation); /* the one before may have used all that there is */
        bool keyed = handler->key_ref != LUA_NOREF;
        Lane *lane = &handler->lane;
        if (!payload && (keyed || lane_is_free(lane))) payload = decode_once(L, generation, arrival);
        if (keyed) lane = keyed_lane(L, generation, handler);
        if (handler->removed) continue; /* by its own key function */
        if (lane_is_free(lane)) {
            begin(generation, arrival);
            lua_pushvalue(L, payload);
            start(L, generation, lane, arrival->message, arrival->attempts);
        } else {
            Delivery what = {.message = arrival->message,
                             .arrival = arrival->number,
                             .attempts = arrival->attempts,
                             .partial = arrival->begun};
            enqueue(L, generation, lane, &what, keyed ? payload : 0);
        }
        if (handler->options.once) handler_remove(L, handler->id);
    }
    return 0;
}

static void deliver(Generation *generation, Arrival arrival)
{
    arrival.number = ++generation->arrivals;
    generation->delivering++;
    while (arrival.next && !generation_cut_short(generation)) {
        if (generation_protect(generation, deliver_on, &arrival, "an event")) continue;
        if (arrival.at) letters_keep(generation, arrival.at->label, arrival.message, NOT_CALLED, arrival.attempts + 1);
        arrival.at = NULL;
    }
    generation->delivering--;
}

void deliver_event(Generation *generation, Message *message)
{
    if (!generation->handlers) return;
    Handler *last = HEAP_OWNER(generation->handlers_last, Handler, next);
    deliver(generation, (Arrival){.message = message, .next = generation->handlers, .last = last});
}

void deliver_to(Generation *generation, Handler *handler, Message *message, unsigned attempts)
{
    deliver(generation,
            (Arrival){.message = message, .next = handler, .last = handler, .attempts = attempts, .begun = true});
}
