/* generation.c - one load of an app: its thread, from the main chunk to the end. What it does while it runs is in generation_loop.c.
 *
 *     the first:   LOADING ──► LOADED ──go──► RUNNING ──────────────┬─► ENDED
 *                     └──────► FAILED ──────────────────────────────►
 *     a later one: LOADING ── loaded, took over (takeover.h) ──► RUNNING
 *
 * All Lua runs on that thread, and all of it inside generation_protect or a task. */
#include "app/generation_private.h"
#include "app/handover.h"
#include "app/keep.h"
#include "app/takeover.h"
#include "protocol/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SLOW_LOAD_MS 1000        /* a main chunk that runs for longer is told … */
#define SLOW_LOAD_AGAIN_MS 10000 /* … and told again */

#define NOT_FOLLOWING "{\"code\":\"RELOADED\",\"message\":\"this load of the app does not follow the running one\"}"

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

static void start(Generation *generation)
{
    Buffer payload = {0};
    buffer_append_char(&payload, '{');
    json_write_member_int(&payload, "generation", generation->number);
    json_write_member_string(&payload, "reason", generation->reason);
    buffer_append_text(&payload, "}");
    buffer_append_char(&payload, '\0');
    atomic_store(&generation->loaded_ms, generation_wall_ms());
    generation_host_event(generation, "@start", payload.failed ? "" : buffer_slice(&payload).data);
    buffer_free(&payload);
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
    generation_live(generation);
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
        generation_live(generation);
        save_at_end(generation);
        return;
    }
    takeover_give_up(generation);
    handlers_announce(generation, false);
    tasks_cancel_all(generation, NOT_FOLLOWING);
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
    generation_let_all_go(generation);
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
    return generation_open_lua(generation);
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
