/* timers.c - timers of a generation: a heap whose first entry is the deadline of the wait on the inbox. */
#include "app/generation_private.h"

#include <lauxlib.h>

void app_timer_set(lua_State *L, AppTimer *timer, int64_t due_ms)
{
    if (!timer->alarm) generation_refuse_retired(L, "a timer");
    if (!heap_add(&generation_of(L)->timers, &timer->node, due_ms)) luaL_error(L, "not enough memory for a timer");
}

void app_timer_stop(lua_State *L, AppTimer *timer)
{
    heap_remove(&generation_of(L)->timers, &timer->node);
}

/* Stack: timer */
static int fire(lua_State *L)
{
    AppTimer *timer = lua_touserdata(L, 1);
    lua_settop(L, 0);
    timer->fire(L, timer);
    return 0;
}

void timers_fire(Generation *generation)
{
    int64_t now_ms = generation_now_ms();
    for (HeapNode *node; (node = heap_pop_due(&generation->timers, now_ms));)
        generation_protect(generation, fire, HEAP_OWNER(node, AppTimer, node), "a timer");
}

/* The heap is emptied and filled anew with what stays; an alarm that finds no room there rings now. */
void timers_retire(Generation *generation)
{
    Heap kept = {0};
    for (HeapNode *node; (node = heap_first(&generation->timers));) {
        AppTimer *timer = HEAP_OWNER(node, AppTimer, node);
        int64_t due_ms = node->due_ms;
        heap_remove(&generation->timers, node);
        if (timer->alarm && !heap_add(&kept, node, due_ms)) generation_protect(generation, fire, timer, "a timer");
    }
    heap_free(&generation->timers);
    generation->timers = kept;
}
