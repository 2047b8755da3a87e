/* generation.c - one load of an app: the lua_State, its thread, and the loop that takes from the inbox.
 *
 *     the first:   LOADING ──► LOADED ──go──► RUNNING ──────────────┬─► ENDED
 *                     └──────► FAILED ──────────────────────────────►
 *     a later one: LOADING ── loaded, took over (takeover.h) ──► RUNNING
 *
 *     RUNNING:     takes messages ──MESSAGE_STOP──► stopping: all tasks ended or stop_ms passed
 *                        └────────────retired─────► drains: all tasks ended or grace_ms passed ──► stopping
 *
 * All Lua runs on that thread, and all of it inside generation_protect or a task. */
#include "app/generation_private.h"
#include "app/handover.h"
#include "app/keep.h"
#include "app/takeover.h"
#include "protocol/json.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BATCH 64                 /* messages looked at a time */
#define SLOW_LOAD_MS 1000        /* a main chunk that runs for longer is told … */
#define SLOW_LOAD_AGAIN_MS 10000 /* … and told again */

#define CANCELLED "{\"code\":\"CANCELLED\",\"message\":\"the app is stopping\"}"
#define RELOADED                                                                                                     \
    "{\"code\":\"RELOADED\",\"message\":\"the app was reloaded, and the time that its old generation had to finish " \
    "is over\"}"

int64_t generation_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t generation_due_ms(int64_t wait_ms)
{
    /* The clock is cut to whole milliseconds: one more, so that it is never a part of one too early. */
    return generation_now_ms() + (wait_ms > 0 ? wait_ms + 1 : 0);
}

/* The allocator's context is the generation: the shortest way from any lua_State to it. */
static void *allocate(void *context, void *block, size_t old_bytes, size_t new_bytes)
{
    return memory_resize(&((Generation *)context)->memory, block, old_bytes, new_bytes);
}

Generation *generation_of(lua_State *L)
{
    void *context;
    lua_getallocf(L, &context);
    return context;
}

const AppConfig *generation_config(const Generation *generation)
{
    return generation->config;
}

App *generation_app(const Generation *generation)
{
    return generation->app;
}

unsigned generation_number(const Generation *generation)
{
    return generation->number;
}

bool generation_loading(const Generation *generation)
{
    return generation->state == GENERATION_LOADING;
}

bool generation_stopping(const Generation *generation)
{
    return generation->stopping;
}

bool generation_retired(const Generation *generation)
{
    return atomic_load_explicit(&generation->retired, memory_order_relaxed);
}

bool generation_replaced(const Generation *generation)
{
    return generation_retired(generation) || atomic_load_explicit(&generation->condemned, memory_order_relaxed);
}

bool generation_cut_short(const Generation *generation)
{
    return generation_replaced(generation) && !generation->drains;
}

bool generation_sent(const Generation *generation, const Message *response)
{
    return (generation->number & GENERATION_MASK) == response->generation;
}

void generation_refuse_retired(lua_State *L, const char *who)
{
    const Generation *generation = generation_of(L);
    if (generation_retired(generation))
        luaL_error(L, "RELOADED: generation %d of this app was replaced, %s in it would never come to anything",
                   (int)generation->number, who);
}

const char *generation_folder(const Generation *generation)
{
    return generation->folder;
}

Slice generation_connection(const Generation *generation)
{
    return generation->connection ? generation->connection->payload : slice_of("{\"state\":\"stopped\"}");
}

void generation_log(Generation *generation, LogLevel level, Slice message, Slice fields)
{
    const AppPort *port = &generation->config->port;
    port->log(port->context, generation->config->name, level, message, fields);
}

void generation_doing(Generation *generation, const char *label)
{
    atomic_store_explicit(&generation->doing, label, memory_order_release); /* with its text */
    atomic_store_explicit(&generation->steps, atomic_load_explicit(&generation->steps, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    watchdog_renew(generation->watchdog);
}

/* --- errors of the script -------------------------------------------------------------------------------------------------------- */

void generation_error(Generation *generation, const char *what, const char *traceback)
{
    if (!traceback) traceback = "not enough memory";
    Buffer message = buffer_with_headroom(0), fields = buffer_with_headroom(0);
    const char *stack = strstr(traceback, "\nstack traceback:\n");
    Slice cause = slice_make(traceback, stack ? (size_t)(stack - traceback) : strlen(traceback));
    bool memory = load_is_memory(traceback);
    buffer_append_format(&message, "%s failed: %.*s", what, SLICE_ARGS(cause));
    if (memory) load_explain_memory(generation, &message);
    buffer_append_char(&fields, '{');
    if (stack) json_write_member_string(&fields, "traceback", stack + 1);
    buffer_append_char(&fields, '}');
    if (generation->starting)
        snprintf(generation->problem, sizeof generation->problem, "%s failed: %s", what, traceback);
    else
        generation_log(generation, LOG_ERROR, buffer_slice(&message), buffer_slice(&fields));
    atomic_fetch_add_explicit(&generation->errors, 1, memory_order_relaxed);
    buffer_free(&message);
    buffer_free(&fields);
    generation->collect |= memory;
}

/* Leaves the message of what went wrong on the stack. */
static bool call_protected(Generation *generation, lua_CFunction function, void *argument)
{
    lua_State *L = generation->L;
    lua_pushcfunction(L, function);
    lua_pushlightuserdata(L, argument);
    return door_call(L, 1, 0);
}

bool generation_protect(Generation *generation, lua_CFunction function, void *argument, const char *what)
{
    int top = lua_gettop(generation->L);
    bool fine = call_protected(generation, function, argument);
    if (!fine) generation_error(generation, what, lua_tostring(generation->L, -1));
    lua_settop(generation->L, top);
    return fine;
}

bool generation_try(Generation *generation, lua_CFunction function, void *argument, char *problem, size_t problem_size)
{
    int top = lua_gettop(generation->L);
    bool fine = call_protected(generation, function, argument);
    const char *text = fine ? NULL : lua_tostring(generation->L, -1);
    if (!fine)
        snprintf(problem, problem_size, "%.*s", text ? (int)strcspn(text, "\n") : 17,
                 text ? text : "not enough memory");
    lua_settop(generation->L, top);
    return fine;
}

/* Unreachable as long as all Lua runs in protected calls; says so before Lua aborts. */
static int panic(lua_State *L)
{
    const char *text = lua_tostring(L, -1);
    generation_log(generation_of(L), LOG_ERROR, slice_of("a Lua error outside of a protected call, please report this"),
                   slice_of(""));
    generation_log(generation_of(L), LOG_ERROR, slice_of(text ? text : "(no message)"), slice_of(""));
    return 0;
}

/* --- messages ------------------------------------------------------------------------------------------------------------------ */

/* Stack: message */
static int answer(lua_State *L)
{
    task_answer(generation_of(L), L, lua_touserdata(L, 1));
    return 0;
}

static void handle_host_event(Generation *generation, const char *name, const char *payload)
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
    handle_host_event(generation, "@stop", retired ? "{\"reason\":\"reload\"}" : "{\"reason\":\"stop\"}");
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
    if (left != generation->holds) handover_free(NULL, left);
}

static void let_all_go(Generation *generation)
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
    if (atomic_exchange(&generation->holds_over, false)) let_all_go(generation);
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

/* --- the thread ---------------------------------------------------------------------------------------------------------------- */

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

static void set_state(Generation *generation, GenerationState state)
{
    pthread_mutex_lock(&generation->lock);
    generation->state = state;
    pthread_cond_broadcast(&generation->changed);
    pthread_mutex_unlock(&generation->lock);
}

static void await_go(Generation *generation)
{
    pthread_mutex_lock(&generation->lock);
    while (!generation->go)
        pthread_cond_wait(&generation->changed, &generation->lock);
    pthread_mutex_unlock(&generation->lock);
}

int64_t generation_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void start(Generation *generation)
{
    Buffer payload = {0};
    buffer_append_char(&payload, '{');
    json_write_member_int(&payload, "generation", generation->number);
    json_write_member_string(&payload, "reason", generation->reason);
    buffer_append_text(&payload, "}");
    buffer_append_char(&payload, '\0');
    atomic_store(&generation->loaded_ms, generation_wall_ms());
    handle_host_event(generation, "@start", payload.failed ? "" : buffer_slice(&payload).data);
    buffer_free(&payload);
}

static void live(Generation *generation)
{
    run(generation);
    if (generation_replaced(generation)) drain(generation);
    end(generation);
}

/* What cannot be carried was told; the rest is. */
static void save_at_end(Generation *generation)
{
    if (!keep_at_end(generation)) atomic_store(&generation->spoiled, true);
}

/* The first one: whoever loads it waits for that, and starts it. */
static void go_first(Generation *generation)
{
    letters_open(generation);
    bool loaded = load_run(generation);
    takeover_loaded(generation);
    /* Before anybody hears that it has loaded: who dials then must know what to bring. */
    if (loaded) handlers_announce(generation, true);
    set_state(generation, loaded ? GENERATION_LOADED : GENERATION_FAILED);
    takeover_launched(generation);
    await_go(generation);
    if (!loaded || generation->config->dry_run) return;
    set_state(generation, GENERATION_RUNNING);
    start(generation);
    live(generation);
    save_at_end(generation);
}

/* What an @start handler raises, before it waits, is a reason not to follow. */
static bool check_itself(Generation *generation)
{
    uint64_t errors = atomic_load(&generation->errors);
    set_state(generation, GENERATION_RUNNING);
    generation->starting = true;
    start(generation);
    generation->starting = false;
    bool fine = atomic_load(&generation->errors) == errors;
    if (fine) handlers_announce(generation, true);
    return fine;
}

static bool load_later(Generation *generation)
{
    if (!takeover_begin(generation)) return false;
    bool loaded = load_run(generation);
    takeover_loaded(generation);
    return loaded;
}

/* A later one: takes over, or leaves all as it was. */
static void go_on(Generation *generation)
{
    bool loaded = load_later(generation);
    if (loaded && takeover_ask(generation) && check_itself(generation) && takeover_finish(generation)) {
        live(generation);
        save_at_end(generation);
        return;
    }
    takeover_give_up(generation);
    handlers_announce(generation, false);
    tasks_cancel_all(generation, RELOADED);
}

static void *generation_main(void *argument)
{
    Generation *generation = argument;
    if (!watchdog_start(generation->watchdog))
        generation_log(generation, LOG_WARN, slice_of("no timer for its CPU time: it is not interrupted when it loops"),
                       slice_of(""));
    if (generation->number == 1)
        go_first(generation);
    else
        go_on(generation);
    generation->closing = true;
    tasks_drop(generation);
    let_all_go(generation);
    handlers_free(generation);
    lua_close(generation->L);
    generation->L = NULL;
    watchdog_stop(generation->watchdog);
    set_state(generation, GENERATION_ENDED);
    takeover_ended(generation);
    return NULL;
}

static void free_all(Generation *generation)
{
    if (generation->L) lua_close(generation->L);
    watchdog_free(generation->watchdog);
    tasks_free(generation);
    heap_free(&generation->timers);
    handover_free(NULL, generation->left);
    message_unref(generation->connection);
    message_unref(generation->taken);
    buffer_free(&generation->inheritance);
    buffer_free(&generation->text);
    sources_unref(generation->sources);
    sources_unref(generation->override);
    inbox_free(generation->mail);
    pthread_cond_destroy(&generation->changed);
    pthread_mutex_destroy(&generation->lock);
    free(generation->folder);
    free(generation->main_file);
    free(generation);
}

static bool make_parts(Generation *generation)
{
    generation->mail = inbox_new(&(InboxLimits){0}, NULL, NULL);
    generation->sources = sources_new(0);
    generation->watchdog = watchdog_new(&generation->doing, generation->config->cpu_ms);
    if (!generation->mail || !generation->sources || !generation->watchdog ||
        !load_find_main_file(generation, generation->config->path))
        return false;
    generation->L = lua_newstate(allocate, generation);
    if (!generation->L) return false;
    lua_atpanic(generation->L, panic);
    tasks_init(generation->L);
    lua_gc(generation->L, LUA_GCGEN, 0, 0);
    return true;
}

Generation *generation_new(App *app, const AppConfig *config, unsigned number)
{
    Generation *generation = calloc(1, sizeof *generation);
    if (!generation) return NULL;
    generation->app = app;
    generation->config = config;
    generation->number = number;
    generation->outcome = RELOADED_FAILED;
    generation->memory.limit_bytes = config->memory_bytes;
    generation->handlers_last = &generation->handlers;
    snprintf(generation->reason, sizeof generation->reason, "start");
    pthread_mutex_init(&generation->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&generation->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (make_parts(generation)) return generation;
    free_all(generation);
    return NULL;
}

/* Signals stay open on that thread: what the script starts inherits them. Their handlers only write into a pipe. */
bool generation_begin(Generation *generation)
{
    generation->begun = pthread_create(&generation->thread, NULL, generation_main, generation) == 0;
    return generation->begun;
}

static void tell_slow_load(Generation *generation, int64_t ms)
{
    char text[512];
    snprintf(text, sizeof text,
             "the main chunk (%.400s) has been running for %lld s: it registers handlers and returns",
             generation->main_file, (long long)(ms / 1000));
    generation_log(generation, LOG_WARN, slice_of(text), slice_of(""));
}

bool generation_await_load(Generation *generation, char *problem, size_t problem_size)
{
    int64_t begun_ms = generation_now_ms(), tell_ms = begun_ms + SLOW_LOAD_MS;
    pthread_mutex_lock(&generation->lock);
    while (generation->state == GENERATION_LOADING) {
        struct timespec due = {.tv_sec = (time_t)(tell_ms / 1000), .tv_nsec = (long)(tell_ms % 1000) * 1000000};
        if (pthread_cond_timedwait(&generation->changed, &generation->lock, &due) != ETIMEDOUT) continue;
        tell_slow_load(generation, generation_now_ms() - begun_ms);
        tell_ms = generation_now_ms() + SLOW_LOAD_AGAIN_MS;
    }
    bool loaded = generation->state == GENERATION_LOADED;
    pthread_mutex_unlock(&generation->lock);
    if (!loaded) snprintf(problem, problem_size, "%s", generation->problem);
    return loaded;
}

void generation_go(Generation *generation)
{
    pthread_mutex_lock(&generation->lock);
    generation->go = true;
    pthread_cond_broadcast(&generation->changed);
    pthread_mutex_unlock(&generation->lock);
}

void generation_abandon(Generation *generation)
{
    pthread_detach(generation->thread);
}

void generation_free(Generation *generation)
{
    if (generation->begun) pthread_join(generation->thread, NULL);
    free_all(generation);
}
