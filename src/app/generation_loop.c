/* generation_loop.c - what a generation does with its messages: the current one takes from the inbox, one that was replaced drains, both
 * until they are to end.
 *
 *     takes messages ──MESSAGE_STOP──► stopping: all tasks ended or stop_ms passed
 *            └────────────retired─────► drains: all tasks ended or grace_ms passed ──► stopping */
#include "app/generation_private.h"
#include "app/handover.h"
#include "app/keep.h"
#include "app/takeover.h"

#include <lauxlib.h>
#include <stdio.h>

#define BATCH 64 /* messages looked at a time */

#define CANCELLED "{\"code\":\"CANCELLED\",\"message\":\"the app is stopping\"}"
#define RELOADED                                                                                                     \
    "{\"code\":\"RELOADED\",\"message\":\"the app was reloaded, and the time that its old generation had to finish " \
    "is over\"}"

/* --- messages ------------------------------------------------------------------------------------------------------------------ */

/* Stack: message */
static int answer(lua_State *L)
{
    task_answer(generation_of(L), L, lua_touserdata(L, 1));
    return 0;
}

void generation_host_event(Generation *generation, const char *name, const char *payload)
{
    EventFields fields = {.name = slice_of(name), .payload = slice_of(payload), .seq = -1};
    Message *message = message_event(&fields);
    if (!message) {
        generation_error(generation, name, NULL);
        return;
    }
    deliver_event(generation, message);
    message_unref(message);
}

/* Behind @stop no event reaches a handler: those that still wait for their turn are not handled any more. */
static void drop_what_waits(Generation *generation)
{
    char text[96];
    uint64_t before = atomic_load(&generation->dropped);
    handlers_clear(generation);
    uint64_t count = atomic_load(&generation->dropped) - before;
    if (count == 0) return;
    snprintf(text, sizeof text, "%llu events that waited for their handler are not handled any more",
             (unsigned long long)count);
    generation_log(generation, LOG_WARN, slice_of(text), slice_of(""));
}

/* The same for what waits beyond the inbox: it could take much longer than the time to stop. */
static void drop_what_was_spilled(Generation *generation)
{
    char text[96];
    uint64_t count = inbox_close_spill(app_inbox(generation->app));
    if (count == 0) return;
    atomic_fetch_add(&generation->dropped, count);
    snprintf(text, sizeof text, "%llu messages that waited beyond the inbox are not handled any more",
             (unsigned long long)count);
    generation_log(generation, LOG_WARN, slice_of(text), slice_of(""));
}

static void begin_stop(Generation *generation)
{
    bool retired = generation_replaced(generation);
    if (generation->stopping) return;
    generation->stopping = true;
    generation->stop_due_ms = generation_now_ms() + generation->config->stop_ms;
    drop_what_waits(generation);
    if (!retired) drop_what_was_spilled(generation);
    tasks_cancel_all(generation, retired ? RELOADED : CANCELLED);
    tasks_step(generation); /* what was cancelled has its say before @stop, which can then save what came of it */
    generation_host_event(generation, "@stop", retired ? "{\"reason\":\"reload\"}" : "{\"reason\":\"stop\"}");
}

static void take_connection(Generation *generation, Message *message)
{
    message_unref(generation->connection);
    generation->connection = message_ref(message);
}

static void take_event(Generation *generation, Message *message)
{
    if (generation->stopping)
        atomic_fetch_add(&generation->dropped, 1);
    else
        deliver_event(generation, message);
}

static void take_response(Generation *generation, Message *message)
{
    if (generation_sent(generation, message))
        generation_protect(generation, answer, message, "a response");
    else
        takeover_forward(generation, message);
}

Message *generation_busy_with(Generation *generation, Message *message)
{
    return atomic_exchange(&generation->handling, message);
}

void generation_busy_begin(Generation *generation, Message *message)
{
    inbox_charge(app_inbox(generation->app), message->size_bytes);
    message_unref(generation_busy_with(generation, message_ref(message)));
}

bool generation_busy_end(Generation *generation)
{
    Message *message = generation_busy_with(generation, NULL);
    if (!message) return false;
    inbox_release(app_inbox(generation->app), message->size_bytes);
    message_unref(message);
    return true;
}

/* What it is busy with can be taken away by who takes over by force. */
static void handle(Generation *generation, Message *message)
{
    atomic_store(&generation->handling, message);
    switch (message->kind) {
    case MESSAGE_EVENT: take_event(generation, message); break;
    case MESSAGE_RESPONSE: take_response(generation, message); break;
    case MESSAGE_CONNECTION:
        take_connection(generation, message);
        takeover_connection(generation, message);
        break;
    case MESSAGE_EVAL: eval_run(generation, message); break;
    case MESSAGE_RETRY: letters_retry(generation, message->token); break;
    case MESSAGE_LANE: break;
    case MESSAGE_STOP:
        begin_stop(generation);
        takeover_forward(generation, message);
        break;
    }
    if (!atomic_exchange(&generation->handling, NULL)) return; /* it was taken away, with its weight */
    inbox_release(app_inbox(generation->app), message->size_bytes);
    message_unref(message);
}

/* What comes from the generation beside it: none of it is in the app's inbox. */
static void handle_mail(Generation *generation, Message *message)
{
    switch (message->kind) {
    case MESSAGE_RESPONSE:
        if (generation_sent(generation, message)) generation_protect(generation, answer, message, "a response");
        break;
    case MESSAGE_CONNECTION: take_connection(generation, message); break;
    case MESSAGE_LANE:
        if (generation->holds) handover_let_go(generation, generation->holds, message->token);
        break;
    case MESSAGE_STOP: begin_stop(generation); break;
    case MESSAGE_EVENT:
    case MESSAGE_RETRY:
    case MESSAGE_EVAL: break;
    }
    inbox_release(generation->mail, message->size_bytes);
    message_unref(message);
}

/* --- the loop ------------------------------------------------------------------------------------------------------------------ */

static bool busy(const Generation *generation)
{
    return tasks_ready(generation) || lanes_draining(generation);
}

void generation_collect(Generation *generation)
{
    if (!generation->collect) return;
    generation->collect = false;
    lua_gc(generation->L, LUA_GCCOLLECT);
    wish_fresh(generation);
}

static void run_what_is_ready(Generation *generation)
{
    tasks_step(generation);
    lanes_drain(generation);
    handlers_sweep(generation);
    generation_collect(generation);
}

static int64_t earlier(int64_t a_ms, int64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

static int64_t next_due_ms(const Generation *generation)
{
    if (busy(generation)) return 0;
    int64_t due_ms = earlier(heap_next_ms(&generation->timers), keep_due_ms(generation));
    if (generation->restart_due_ms) due_ms = earlier(due_ms, generation->restart_due_ms);
    return generation->stopping ? earlier(due_ms, generation->stop_due_ms) : due_ms;
}

static bool finished(const Generation *generation)
{
    if (!generation->stopping) return false;
    return (tasks_live(generation) == 0 && !busy(generation)) || generation_now_ms() >= generation->stop_due_ms;
}

void generation_look_up(Generation *generation)
{
    atomic_store(&generation->attention, true);
    inbox_wake(generation->mail);
    inbox_wake(app_inbox(generation->app));
}

void generation_asks(Generation *generation, int change)
{
    pthread_mutex_lock(&generation->lock);
    if (!generation->condemned) {
        generation->asking += change;
        inbox_waiting(app_inbox(generation->app), change);
    }
    pthread_mutex_unlock(&generation->lock);
}

void generation_asks_no_more(Generation *generation)
{
    pthread_mutex_lock(&generation->lock);
    inbox_waiting(app_inbox(generation->app), -generation->asking);
    generation->asking = 0;
    pthread_mutex_unlock(&generation->lock);
}

void generation_post(Generation *generation, Message *message)
{
    if (!inbox_push(generation->mail, &message, 1)) message_unref(message);
    generation_look_up(generation);
}

static void read_mail(Generation *generation, int64_t due_ms)
{
    Message *batch[BATCH];
    size_t count = inbox_take(generation->mail, batch, BATCH, due_ms);
    for (size_t i = 0; i < count; i++)
        handle_mail(generation, batch[i]);
    if (inbox_waits(generation->mail)) atomic_store(&generation->attention, true);
}

static void set_left(Generation *generation, Handover *left)
{
    pthread_mutex_lock(&generation->lock); /* who takes over by force looks at it */
    generation->left = left;
    pthread_mutex_unlock(&generation->lock);
}

/* All that was left is through, or for another one to do. */
static void drop_left(Generation *generation)
{
    Handover *left = generation->left;
    set_left(generation, NULL);
    if (left && left == generation->holds)
        handover_weigh(left, NULL);
    else
        handover_free(NULL, left);
}

void generation_let_all_go(Generation *generation)
{
    Handover *holds = generation->holds;
    generation->holds = NULL;
    if (holds) handover_let_all_go(generation, holds);
    if (holds != generation->left) handover_free(NULL, holds);
}

/* At a border: mail, the end of the generation before, one that wants to follow. */
static void look_up(Generation *generation)
{
    if (!atomic_exchange(&generation->attention, false)) return;
    read_mail(generation, 0);
    if (atomic_exchange(&generation->holds_over, false)) generation_let_all_go(generation);
    if (atomic_load(&generation->pause_wanted)) takeover_stand(generation);
}

/* Whether the inbox is empty behind it. */
static bool take_batch(Generation *generation)
{
    Inbox *inbox = app_inbox(generation->app);
    Message *batch[BATCH];
    size_t count = inbox_peek(inbox, generation->epoch, batch, BATCH, next_due_ms(generation));
    for (size_t i = 0; i < count; i++) {
        if (atomic_load_explicit(&generation->attention, memory_order_relaxed)) break; /* the rest stays where it is */
        if (!inbox_claim(inbox, generation->epoch)) break;
        handle(generation, batch[i]);
        if (busy(generation)) run_what_is_ready(generation);
    }
    return count < BATCH;
}

/* What the generation before has left, in front of all that is in the inbox; up to a border at which somebody waits. */
static void work_off(Generation *generation)
{
    while (!atomic_load_explicit(&generation->attention, memory_order_relaxed) && !generation_cut_short(generation)) {
        if (!handover_deliver(generation, generation->left)) {
            drop_left(generation);
            return;
        }
        if (busy(generation)) run_what_is_ready(generation);
    }
}

static bool take_some(Generation *generation)
{
    if (!generation->left) return take_batch(generation);
    work_off(generation);
    return false;
}

static void run(Generation *generation)
{
    generation->holds = generation->left;
    if (generation->holds) handover_hold(generation, generation->holds);
    while (!finished(generation) && !generation_replaced(generation)) {
        bool all = take_some(generation);
        if (heap_first(&generation->timers)) timers_fire(generation);
        run_what_is_ready(generation);
        keep_when_due(generation, all && !busy(generation));
        if (generation->restart_due_ms) wish_look(generation);
        look_up(generation);
    }
}

/* --- replaced ------------------------------------------------------------------------------------------------------------------ */

static int retire_bindings(lua_State *L)
{
    generation_of(L)->config->bindings.retire(L);
    return 0;
}

static void retire(Generation *generation)
{
    drop_left(generation); /* the next one has it, and what waits for its handler */
    handlers_clear(generation);
    timers_retire(generation);
    if (generation->config->bindings.retire) generation_protect(generation, retire_bindings, NULL, "freezing gw.state");
    handlers_announce(generation, false);
}

/* Its calls that wait get their answers, and their time. */
static void drain(Generation *generation)
{
    bool forced = atomic_load(&generation->condemned);
    generation->drains = true;
    int64_t grace_due_ms = generation_now_ms() + (forced ? 0 : generation->config->grace_ms);
    retire(generation);
    while (!finished(generation)) {
        bool over = generation_now_ms() >= grace_due_ms || (tasks_live(generation) == 0 && !busy(generation));
        if (over) begin_stop(generation);
        if (finished(generation)) break;
        read_mail(generation,
                  generation->stopping ? next_due_ms(generation) : earlier(next_due_ms(generation), grace_due_ms));
        if (heap_first(&generation->timers)) timers_fire(generation);
        run_what_is_ready(generation);
    }
}

/* --- the whole ----------------------------------------------------------------------------------------------------------------- */

/* The current one, which ends with the app. */
static void end(Generation *generation)
{
    size_t abandoned = tasks_live(generation);
    char text[96];
    if (!abandoned) return;
    snprintf(text, sizeof text, "%zu task%s did not end within the time to stop", abandoned, abandoned == 1 ? "" : "s");
    generation_log(generation, LOG_WARN, slice_of(text), slice_of(""));
    tasks_cancel_all(generation, CANCELLED);
}

void generation_live(Generation *generation)
{
    run(generation);
    if (generation_replaced(generation)) drain(generation);
    end(generation);
}
