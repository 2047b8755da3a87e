/* generation.c - one load of an app: the lua_State, its thread, and the loop that takes from the inbox.
 *
 *     LOADING ──► LOADED ──go──► RUNNING ──MESSAGE_STOP, then all tasks ended or stop_ms passed──► ENDED
 *        └──────► FAILED ──────────────────────────────────────────────────────────────────────────►
 *
 * All Lua runs on that thread, and all of it inside generation_protect or a task. */
#define _GNU_SOURCE /* asprintf, memrchr */
#include "app/generation_private.h"
#include "protocol/json.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#define BATCH 64                 /* messages taken at a time */
#define SLOW_LOAD_MS 1000        /* a main chunk that runs for longer is told … */
#define SLOW_LOAD_AGAIN_MS 10000 /* … and told again */

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
}

/* --- errors of the script -------------------------------------------------------------------------------------------------------- */

#define OUT_OF_MEMORY "not enough memory"

static void explain_memory(Generation *generation, Buffer *message)
{
    const bool small = generation->memory.limit_bytes < 2u << 20;
    const unsigned shift = small ? 10 : 20;
    buffer_append_format(message, " (the app has %zu of its %zu %s; setting `memory`)",
                         atomic_load(&generation->memory.used_bytes) >> shift, generation->memory.limit_bytes >> shift,
                         small ? "KiB" : "MiB");
}

void generation_error(Generation *generation, const char *what, const char *traceback)
{
    if (!traceback) traceback = OUT_OF_MEMORY;
    Buffer message = buffer_with_headroom(0), fields = buffer_with_headroom(0);
    const char *stack = strstr(traceback, "\nstack traceback:\n");
    Slice cause = slice_make(traceback, stack ? (size_t)(stack - traceback) : strlen(traceback));
    bool memory = strstr(traceback, OUT_OF_MEMORY) != NULL;
    buffer_append_format(&message, "%s failed: %.*s", what, SLICE_ARGS(cause));
    if (memory) explain_memory(generation, &message);
    buffer_append_char(&fields, '{');
    if (stack) json_write_member_string(&fields, "traceback", stack + 1);
    buffer_append_char(&fields, '}');
    generation_log(generation, LOG_ERROR, buffer_slice(&message), buffer_slice(&fields));
    atomic_fetch_add_explicit(&generation->errors, 1, memory_order_relaxed);
    buffer_free(&message);
    buffer_free(&fields);
    generation->collect |= memory;
}

bool generation_protect(Generation *generation, lua_CFunction function, void *argument, const char *what)
{
    lua_State *L = generation->L;
    int top = lua_gettop(L);
    lua_pushcfunction(L, function);
    lua_pushlightuserdata(L, argument);
    bool fine = door_call(L, 1, 0);
    if (!fine) generation_error(generation, what, lua_tostring(L, -1));
    lua_settop(L, top);
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

/* --- loading ------------------------------------------------------------------------------------------------------------------- */

/* The text in front of the last slash: where a file lives. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/* A folder's main file is its init.lua. The folder is where `require` looks first. False without memory. */
static bool find_main_file(Generation *generation, const char *path)
{
    struct stat status;
    bool is_folder = stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    if (asprintf(&generation->main_file, is_folder ? "%s/init.lua" : "%s", path) < 0) generation->main_file = NULL;
    generation->folder = is_folder ? strdup(path) : folder_of(path);
    return generation->main_file && generation->folder;
}

/* The want of memory has no place in the script, so it gets the app's name and the setting. */
static void set_problem(Generation *generation, const char *text)
{
    Buffer problem = buffer_with_headroom(0);
    bool memory = !text || strncmp(text, OUT_OF_MEMORY, sizeof OUT_OF_MEMORY - 1) == 0;
    if (memory) buffer_append_format(&problem, "%s: ", generation->config->name);
    buffer_append_text(&problem, text ? text : OUT_OF_MEMORY);
    if (memory) explain_memory(generation, &problem);
    snprintf(generation->problem, sizeof generation->problem, "%.*s", SLICE_ARGS(buffer_slice(&problem)));
    buffer_free(&problem);
}

/* Compiles the main file: text only. A syntax error needs no traceback, so it is kept here. */
static int compile(lua_State *L)
{
    Generation *generation = generation_of(L);
    generation->config->bindings.open(L);
    lua_settop(L, 0);
    if (luaL_loadfilex(L, generation->main_file, "t") == LUA_OK) return 1;
    set_problem(generation, lua_tostring(L, -1));
    return 0;
}

static bool load(Generation *generation)
{
    lua_State *L = generation->L;
    lua_pushcfunction(L, compile);
    bool compiled = door_call(L, 0, 1);
    if (!compiled) set_problem(generation, lua_tostring(L, -1));
    if (!compiled || !lua_isfunction(L, -1)) return false;
    generation_doing(generation, "the main chunk");
    bool ran = door_call(L, 0, 0);
    generation_doing(generation, NULL);
    if (!ran) set_problem(generation, lua_tostring(L, -1));
    lua_settop(L, 0);
    return ran;
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

static void begin_stop(Generation *generation)
{
    if (generation->stopping) return;
    generation->stopping = true;
    generation->stop_due_ms = generation_now_ms() + generation->config->stop_ms;
    drop_what_waits(generation);
    tasks_cancel_all(generation);
    tasks_step(generation); /* what was cancelled has its say before @stop, which can then save what came of it */
    handle_host_event(generation, "@stop", "");
}

static void handle(Generation *generation, Message *message)
{
    switch (message->kind) {
    case MESSAGE_EVENT:
        if (generation->stopping)
            atomic_fetch_add(&generation->dropped, 1);
        else
            deliver_event(generation, message);
        break;
    case MESSAGE_RESPONSE: generation_protect(generation, answer, message, "a response"); break;
    case MESSAGE_CONNECTION:
        message_unref(generation->connection);
        generation->connection = message_ref(message);
        break;
    case MESSAGE_STOP: begin_stop(generation); break;
    }
    inbox_release(app_inbox(generation->app), message->size_bytes);
    message_unref(message);
}

/* --- the loop ------------------------------------------------------------------------------------------------------------------ */

static bool busy(const Generation *generation)
{
    return tasks_ready(generation) || lanes_draining(generation);
}

static void run_what_is_ready(Generation *generation)
{
    tasks_step(generation);
    lanes_drain(generation);
    handlers_sweep(generation);
    if (generation->collect) lua_gc(generation->L, LUA_GCCOLLECT);
    generation->collect = false;
}

static int64_t next_due_ms(const Generation *generation)
{
    if (busy(generation)) return 0;
    int64_t due_ms = heap_next_ms(&generation->timers);
    return generation->stopping && generation->stop_due_ms < due_ms ? generation->stop_due_ms : due_ms;
}

static bool finished(const Generation *generation)
{
    if (!generation->stopping) return false;
    return (tasks_live(generation) == 0 && !busy(generation)) || generation_now_ms() >= generation->stop_due_ms;
}

static void run(Generation *generation)
{
    Inbox *inbox = app_inbox(generation->app);
    Message *batch[BATCH];
    char reason[64];
    snprintf(reason, sizeof reason, "{\"generation\":%u,\"reason\":\"start\"}", generation->number);
    handle_host_event(generation, "@start", reason);
    while (!finished(generation)) {
        size_t count = inbox_take(inbox, batch, BATCH, next_due_ms(generation));
        for (size_t i = 0; i < count; i++) {
            handle(generation, batch[i]);
            if (busy(generation)) run_what_is_ready(generation);
        }
        if (heap_first(&generation->timers)) timers_fire(generation);
        run_what_is_ready(generation);
    }
}

/* --- the thread ---------------------------------------------------------------------------------------------------------------- */

static int close_bindings(lua_State *L)
{
    generation_of(L)->config->bindings.close(L);
    return 0;
}

static void end(Generation *generation)
{
    size_t abandoned = tasks_live(generation);
    char text[96];
    if (abandoned) {
        snprintf(text, sizeof text, "%zu task%s did not end within the time to stop", abandoned,
                 abandoned == 1 ? "" : "s");
        generation_log(generation, LOG_WARN, slice_of(text), slice_of(""));
        tasks_cancel_all(generation);
    }
    bool saves = generation->config->bindings.close != NULL;
    if (saves && !generation_protect(generation, close_bindings, NULL, "saving"))
        atomic_store(&generation->spoiled, true);
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

static void *generation_main(void *argument)
{
    Generation *generation = argument;
    const AppPort *port = &generation->config->port;
    bool loaded = load(generation);
    /* Before anybody hears that it has loaded: who dials then must know what to bring. */
    if (loaded) handlers_subscribe(generation);
    set_state(generation, loaded ? GENERATION_LOADED : GENERATION_FAILED);
    await_go(generation);
    bool runs = loaded && !generation->config->dry_run;
    if (runs) {
        set_state(generation, GENERATION_RUNNING);
        run(generation);
        end(generation);
    }
    generation->closing = true;
    handlers_free(generation);
    lua_close(generation->L);
    generation->L = NULL;
    set_state(generation, GENERATION_ENDED);
    if (runs) port->ended(port->context, generation->app);
    return NULL;
}

static void free_all(Generation *generation)
{
    if (generation->L) lua_close(generation->L);
    tasks_free(generation);
    heap_free(&generation->timers);
    message_unref(generation->connection);
    pthread_cond_destroy(&generation->changed);
    pthread_mutex_destroy(&generation->lock);
    free(generation->folder);
    free(generation->main_file);
    free(generation);
}

Generation *generation_new(App *app, const AppConfig *config, unsigned number)
{
    Generation *generation = calloc(1, sizeof *generation);
    if (!generation) return NULL;
    generation->app = app;
    generation->config = config;
    generation->number = number;
    generation->memory.limit_bytes = config->memory_bytes;
    generation->handlers_last = &generation->handlers;
    pthread_mutex_init(&generation->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&generation->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    bool ready =
        find_main_file(generation, config->path) && (generation->L = lua_newstate(allocate, generation)) != NULL;
    if (ready) {
        lua_atpanic(generation->L, panic);
        tasks_init(generation->L);
        lua_gc(generation->L, LUA_GCGEN, 0, 0);
    }
    /* Signals stay open on that thread: what the script starts inherits them. Their handlers only write into a pipe. */
    if (!ready || pthread_create(&generation->thread, NULL, generation_main, generation) != 0) {
        free_all(generation);
        return NULL;
    }
    return generation;
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
    pthread_join(generation->thread, NULL);
    free_all(generation);
}
