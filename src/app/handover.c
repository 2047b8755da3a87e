/* handover.c - see handover.h.
 *
 * Events are in the order of their arrival. One with which no handler has begun is left as a whole: the next generation's handlers,
 * be they other ones, get it. Otherwise it is left to those handlers, by pattern and place, that it still waits for. */
#include "app/handover.h"

#include <lauxlib.h>
#include <stdlib.h>

typedef enum { KEY_NONE, KEY_TEXT, KEY_INTEGER, KEY_NUMBER, KEY_BOOLEAN } KeyKind;

/* A key that can be told to another lua_State. */
typedef struct {
    KeyKind kind;
    char *text;
    size_t size;
    lua_Integer integer;
    lua_Number number;
} Key;

typedef struct {
    char *pattern;
    unsigned ordinal;
} Name;

typedef struct {
    Message *message;
    uint64_t arrival;
    size_t name;       /* of the handler */
    unsigned attempts; /* that failed, of an event that is tried again */
    bool partial;
} Left;

typedef struct {
    Lane *lane; /* of the one that leaves; then of the one that follows, NULL if it has no such handler */
    size_t name;
    Key key;
    unsigned calls;
} Call;

struct Handover {
    Name *names;
    Left *left;
    Call *calls;
    size_t name_count, left_count, call_count, next; /* next: of `left`, to be delivered */
    size_t call_room;
    Inbox *inbox; /* in which what is left weighs; NULL: it does not yet, or any more */
    bool failed;  /* there was no memory */
};

/* --- collecting ---------------------------------------------------------------------------------------------------------------- */

/* None of them has a name yet. */
static size_t count_handlers(Generation *generation)
{
    size_t count = 0;
    for (Handler *handler = generation->handlers; handler; handler = handler->next) {
        handler->name = 0;
        count++;
    }
    return count;
}

/* Place of the handler's name, made if it is not there yet; there is room for all handlers. */
static size_t name_of(const Generation *generation, Handover *handover, Handler *handler)
{
    if (handler->name > 0) return handler->name - 1;
    Name *name = &handover->names[handover->name_count];
    *name = (Name){strdup(handler->pattern), handler_ordinal(generation, handler)};
    handover->failed |= !name->pattern;
    if (!name->pattern) return 0;
    handler->name = ++handover->name_count;
    return handler->name - 1;
}

static void add_left(Handover *handover, const Left *left)
{
    message_ref(left->message);
    handover->left[handover->left_count++] = *left;
}

/* With the generation's lock held. What waits for a handler that was cancelled is not handled any more. What it was left itself, and
 * has not come to, comes last. */
static void collect_left(Generation *generation, Handover *handover)
{
    const Handover *before = generation->left;
    size_t count = before ? before->left_count - before->next : 0;
    uint64_t last = generation->youngest ? generation->youngest->arrival : 0;
    handover->names = calloc(count_handlers(generation) + count + 1, sizeof *handover->names);
    for (const Delivery *delivery = generation->oldest; delivery; delivery = delivery->younger)
        count++;
    handover->left = calloc(count + 1, sizeof *handover->left);
    if (!handover->names || !handover->left) {
        handover->failed = true;
        return;
    }
    for (const Delivery *delivery = generation->oldest; delivery && !handover->failed; delivery = delivery->younger) {
        if (delivery->handler->removed) continue;
        size_t name = name_of(generation, handover, delivery->handler);
        Left left = {delivery->message, delivery->arrival, name, delivery->attempts, delivery->partial};
        add_left(handover, &left);
    }
    for (size_t i = before ? before->next : 0; before && i < before->left_count && !handover->failed; i++) {
        Left left = before->left[i];
        const Name *name = &before->names[left.name];
        Name *copy = &handover->names[handover->name_count];
        *copy = (Name){strdup(name->pattern), name->ordinal};
        handover->failed |= !copy->pattern;
        if (!copy->pattern) return;
        left.arrival += last + 1;
        left.name = handover->name_count++;
        add_left(handover, &left);
    }
}

static void copy_key(lua_State *L, int key_ref, Key *key, bool *failed)
{
    size_t size;
    if (key_ref == LUA_NOREF) return;
    switch (lua_rawgeti(L, LUA_REGISTRYINDEX, key_ref)) {
    case LUA_TSTRING: {
        const char *text = lua_tolstring(L, -1, &size);
        *key = (Key){.kind = KEY_TEXT, .text = malloc(size + 1), .size = size};
        *failed |= !key->text;
        if (key->text) memcpy(key->text, text, size + 1);
        break;
    }
    case LUA_TNUMBER:
        if (lua_isinteger(L, -1))
            *key = (Key){.kind = KEY_INTEGER, .integer = lua_tointeger(L, -1)};
        else
            *key = (Key){.kind = KEY_NUMBER, .number = lua_tonumber(L, -1)};
        break;
    case LUA_TBOOLEAN: *key = (Key){.kind = KEY_BOOLEAN, .integer = lua_toboolean(L, -1)}; break;
    default: break; /* a table is nothing that another state could find again */
    }
    lua_pop(L, 1);
}

typedef struct {
    Generation *generation;
    Handover *handover;
} Collector;

static void collect_call(void *context, Lane *lane)
{
    const Collector *collector = context;
    Handover *handover = collector->handover;
    if (handover->failed) return;
    if (lane->held) {
        handover->calls[lane->held - 1].calls++;
        return;
    }
    if (handover->call_count == handover->call_room) {
        size_t room = handover->call_room ? handover->call_room * 2 : 16;
        Call *calls = realloc(handover->calls, room * sizeof *calls);
        handover->failed |= !calls;
        if (!calls) return;
        handover->calls = calls;
        handover->call_room = room;
    }
    Call *call = &handover->calls[handover->call_count];
    *call = (Call){.lane = lane, .name = name_of(collector->generation, handover, lane->handler), .calls = 1};
    copy_key(collector->generation->L, lane->key_ref, &call->key, &handover->failed);
    bool lost_key = lane->key_ref != LUA_NOREF && call->key.kind == KEY_NONE;
    if (handover->failed) free(call->key.text);
    if (handover->failed || lost_key) return;
    lane->held = ++handover->call_count;
}

static Handover *whole(Generation *generation, Handover *handover)
{
    if (!handover || !handover->failed) return handover;
    handover_free(generation, handover);
    return NULL;
}

/* With the lock for the calls, too: who takes over by force names the handlers as well. */
Handover *handover_collect(Generation *generation)
{
    Handover *handover = calloc(1, sizeof *handover);
    Collector collector = {generation, handover};
    if (!handover) return NULL;
    pthread_mutex_lock(&generation->lock);
    collect_left(generation, handover);
    if (!handover->failed) tasks_each_call(generation, collect_call, &collector);
    pthread_mutex_unlock(&generation->lock);
    return whole(generation, handover);
}

/* From the lock on it begins with none of the events: see lane_pop. Their weight is not its own any more. */
Handover *handover_seize(Generation *stuck)
{
    Handover *handover = calloc(1, sizeof *handover);
    pthread_mutex_lock(&stuck->lock);
    atomic_store(&stuck->condemned, true);
    if (handover) collect_left(stuck, handover);
    for (Delivery *delivery = stuck->oldest; delivery; delivery = delivery->younger) {
        if (delivery->charged) inbox_release(app_inbox(stuck->app), delivery->message->size_bytes);
        delivery->charged = false;
    }
    if (stuck->left) handover_weigh(stuck->left, NULL);
    pthread_mutex_unlock(&stuck->lock);
    return whole(NULL, handover);
}

void handover_weigh(Handover *handover, Inbox *inbox)
{
    for (size_t i = handover->next; i < handover->left_count; i++) {
        size_t bytes = handover->left[i].message->size_bytes;
        if (inbox) inbox_charge(inbox, bytes);
        if (handover->inbox) inbox_release(handover->inbox, bytes);
    }
    handover->inbox = inbox;
}

static void forget(Handover *handover)
{
    handover_weigh(handover, NULL);
    for (size_t i = handover->next; i < handover->left_count; i++)
        message_unref(handover->left[i].message);
    for (size_t i = 0; i < handover->call_count; i++)
        free(handover->calls[i].key.text);
    for (size_t i = 0; i < handover->name_count; i++)
        free(handover->names[i].pattern);
    free(handover->left);
    free(handover->calls);
    free(handover->names);
    free(handover);
}

void handover_free(Generation *generation, Handover *handover)
{
    if (!handover) return;
    for (size_t i = 0; i < handover->call_count && generation; i++)
        handover->calls[i].lane->held = 0;
    forget(handover);
}

/* --- the one that follows -------------------------------------------------------------------------------------------------------- */

static Handler *find(Generation *generation, const Handover *handover, size_t name)
{
    return handler_find(generation, handover->names[name].pattern, handover->names[name].ordinal);
}

static void push_key(lua_State *L, const Key *key)
{
    switch (key->kind) {
    case KEY_NONE: lua_pushnil(L); break;
    case KEY_TEXT: lua_pushlstring(L, key->text, key->size); break;
    case KEY_INTEGER: lua_pushinteger(L, key->integer); break;
    case KEY_NUMBER: lua_pushnumber(L, key->number); break;
    case KEY_BOOLEAN: lua_pushboolean(L, key->integer != 0); break;
    }
}

typedef struct {
    Handover *handover;
    Call *call;
} Hold;

/* Stack: hold */
static int hold_one(lua_State *L)
{
    Generation *generation = generation_of(L);
    const Hold *hold = lua_touserdata(L, 1);
    Call *call = hold->call;
    Handler *handler = find(generation, hold->handover, call->name);
    if (!handler) return 0;
    Lane *lane = &handler->lane;
    if (handler->key_ref != LUA_NOREF) {
        push_key(L, &call->key);
        lane = lane_of_key(L, handler);
    }
    lane_hold(lane, call->calls);
    call->lane = lane;
    return 0;
}

void handover_hold(Generation *generation, Handover *handover)
{
    for (size_t i = 0; i < handover->call_count; i++) {
        Hold hold = {handover, &handover->calls[i]};
        hold.call->lane = NULL;
        generation_protect(generation, hold_one, &hold, "following");
    }
}

void handover_let_go(Generation *generation, Handover *handover, uint64_t lane)
{
    if (lane == 0 || lane > handover->call_count) return;
    Call *call = &handover->calls[lane - 1];
    if (call->calls == 0) return;
    call->calls--;
    if (call->lane) lane_let_go(generation, call->lane);
}

void handover_let_all_go(Generation *generation, Handover *handover)
{
    for (size_t i = 0; i < handover->call_count; i++) {
        while (handover->calls[i].calls > 0)
            handover_let_go(generation, handover, i + 1);
    }
}

#define GONE "it was put back, and its handler was gone before it was called"

/* The handler is not there in this generation, as if it had been cancelled. */
static void drop(Generation *generation, const Handover *handover, const Left *left)
{
    atomic_fetch_add_explicit(&generation->dropped, 1, memory_order_relaxed);
    if (left->attempts)
        letters_keep(generation, handover->names[left->name].pattern, left->message, GONE, left->attempts);
}

/* With the generation's lock held. */
static Left take_next(Handover *handover)
{
    Left left = handover->left[handover->next++];
    if (handover->inbox) inbox_release(handover->inbox, left.message->size_bytes);
    return left;
}

/* The event as a whole, once, for all the handlers that it waited for. */
static void skip_siblings(Handover *handover, const Left *left)
{
    while (handover->next < handover->left_count && handover->left[handover->next].arrival == left->arrival)
        message_unref(take_next(handover).message);
}

bool handover_deliver(Generation *generation, Handover *handover)
{
    if (handover->next == handover->left_count) return false;
    pthread_mutex_lock(&generation->lock);
    Left left = take_next(handover);
    if (!left.partial) skip_siblings(handover, &left);
    pthread_mutex_unlock(&generation->lock);
    Handler *handler = left.partial ? find(generation, handover, left.name) : NULL;
    generation_busy_begin(generation, left.message);
    if (!left.partial)
        deliver_event(generation, left.message);
    else if (handler)
        deliver_to(generation, handler, left.message, left.attempts);
    else
        drop(generation, handover, &left);
    (void)generation_busy_end(generation);
    message_unref(left.message);
    return true;
}
