/* app_rig.h - an app on its thread in a world of the test's making, with the smallest bindings that can show it: on, off, send, sleep,
 * spawn, cancel, note. The script notes what it does; the test waits for the notes. */
#ifndef GATEHOUSE_TESTS_APP_RIG_H
#define GATEHOUSE_TESTS_APP_RIG_H

#include "app/generation.h"
#include "protocol/json.h"

#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_S 10

/* --- the world: what the app does to it ---------------------------------------------------------------------------------------- */

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char notes[8192];      /* words that the script noted, each followed by a space */
    char errors[8192];     /* messages logged as errors */
    uint64_t requests[64]; /* tokens, in order */
    size_t request_count, cancel_count, subscriptions;
    int reliefs, news;
    int hanging, freed; /* calls of hang() that have begun; that may end */
    bool ended;
} World;

static inline void changed(World *world)
{
    pthread_cond_broadcast(&world->changed);
    pthread_mutex_unlock(&world->lock);
}

static inline void note(World *world, const char *text)
{
    pthread_mutex_lock(&world->lock);
    size_t used = strlen(world->notes);
    snprintf(world->notes + used, sizeof world->notes - used, "%s ", text);
    changed(world);
}

static inline bool world_request(void *context, App *app, uint64_t token, AppRequest *request)
{
    World *world = context;
    (void)app;
    buffer_free(&request->params);
    pthread_mutex_lock(&world->lock);
    world->requests[world->request_count++] = token;
    changed(world);
    return true;
}

static inline void world_cancel(void *context, App *app, unsigned generation, uint64_t token)
{
    World *world = context;
    (void)app;
    (void)generation;
    (void)token;
    pthread_mutex_lock(&world->lock);
    world->cancel_count++;
    changed(world);
}

static inline void world_subscribe(void *context, App *app, Slice pattern, bool wanted)
{
    World *world = context;
    (void)app;
    (void)pattern;
    pthread_mutex_lock(&world->lock);
    world->subscriptions += wanted ? 1 : (size_t)-1;
    changed(world);
}

static inline void world_log(void *context, const char *app, LogLevel level, Slice message, Slice fields)
{
    World *world = context;
    (void)app;
    if (level < LOG_WARN) return;
    pthread_mutex_lock(&world->lock);
    size_t used = strlen(world->errors);
    snprintf(world->errors + used, sizeof world->errors - used, "%.*s %.*s\n", SLICE_ARGS(message), SLICE_ARGS(fields));
    changed(world);
}

static inline bool world_logs(void *context, LogLevel level)
{
    (void)context;
    (void)level;
    return true;
}

static inline void world_relieved(void *context, App *app)
{
    World *world = context;
    (void)app;
    pthread_mutex_lock(&world->lock);
    world->reliefs++;
    changed(world);
}

static inline void world_ended(void *context, App *app)
{
    World *world = context;
    (void)app;
    pthread_mutex_lock(&world->lock);
    world->ended = true;
    changed(world);
}

static inline void world_news(void *context, App *app)
{
    World *world = context;
    (void)app;
    pthread_mutex_lock(&world->lock);
    world->news++;
    changed(world);
}

static inline void world_evaluated(void *context, App *app, uint64_t token, bool ok, Slice text)
{
    char line[512];
    (void)app;
    snprintf(line, sizeof line, "eval%d:%s:%.*s", (int)token, ok ? "ok" : "failed", SLICE_ARGS(text));
    note(context, line);
}

/* Waits until `done` says so; fails with what is there otherwise. */
static inline void await(World *world, bool (*done)(const World *world, const void *argument), const void *argument,
                         const char *what)
{
    struct timespec due;
    clock_gettime(CLOCK_REALTIME, &due);
    due.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&world->lock);
    int status = 0;
    while (!done(world, argument) && status == 0)
        status = pthread_cond_timedwait(&world->changed, &world->lock, &due);
    pthread_mutex_unlock(&world->lock);
    if (status != 0) fail_msg("waited for %s\nnotes: %s\nerrors: %s", what, world->notes, world->errors);
}

static inline bool noted(const World *world, const void *text)
{
    return strstr(world->notes, text) != NULL;
}

static inline bool complained(const World *world, const void *text)
{
    return strstr(world->errors, text) != NULL;
}

static inline bool requested(const World *world, const void *count)
{
    return world->request_count >= *(const size_t *)count;
}

static inline bool has_ended(const World *world, const void *unused)
{
    (void)unused;
    return world->ended;
}

static inline void await_note(World *world, const char *text)
{
    await(world, noted, text, text);
}

static inline void await_requests(World *world, size_t count)
{
    await(world, requested, &count, "requests");
}

/* --- bindings: payloads are integers or strings ---------------------------------------------------------------------------------- */

static inline World *world_of(lua_State *L)
{
    return generation_config(generation_of(L))->port.context;
}

static inline int lua_note(lua_State *L)
{
    note(world_of(L), luaL_tolstring(L, 1, NULL));
    return 0;
}

/* on(pattern, fn [, concurrency [, key [, queue [, once]]]]) */
static inline int lua_on(lua_State *L)
{
    size_t size;
    const char *pattern = luaL_checklstring(L, 1, &size);
    HandlerOptions options = {.concurrency = (unsigned)luaL_optinteger(L, 3, 0),
                              .queue = (size_t)luaL_optinteger(L, 5, 0),
                              .once = lua_toboolean(L, 6)};
    lua_pushinteger(L,
                    (lua_Integer)handler_add(L, slice_make(pattern, size), 2, lua_isfunction(L, 4) ? 4 : 0, &options));
    return 1;
}

static inline int lua_off(lua_State *L)
{
    lua_pushboolean(L, handler_remove(L, (uint64_t)luaL_checkinteger(L, 1)));
    return 1;
}

static inline int lua_send(lua_State *L)
{
    Generation *generation = generation_of(L);
    const AppPort *port = &generation_config(generation)->port;
    AppRequest request = {.method = slice_of("echo"), .final = lua_isfunction(L, 2)};
    uint64_t wait = task_wait_begin(L, "send");
    task_wait_response(L, lua_isfunction(L, 2) ? 2 : 0);
    port->request(port->context, generation_app(generation), wait, &request);
    return task_wait(L);
}

static inline int lua_sleep(lua_State *L)
{
    task_wait_begin(L, "sleep");
    task_wait_until(L, generation_now_ms() + luaL_checkinteger(L, 1));
    return task_wait(L);
}

static inline int lua_spawn(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)task_start(L, lua_gettop(L) - 1, "task"));
    return 1;
}

static inline int lua_cancel(lua_State *L)
{
    lua_pushboolean(L, task_cancel(L, (uint64_t)luaL_checkinteger(L, 1)));
    return 1;
}

/* inherit() -> text */
static inline int lua_inherit(lua_State *L)
{
    Slice text = generation_inherit(L);
    lua_pushlstring(L, text.data, text.size);
    return 1;
}

/* hang(): a call that nothing interrupts; the test ends the first of them with unhang. */
static inline int lua_hang(lua_State *L)
{
    World *world = world_of(L);
    pthread_mutex_lock(&world->lock);
    int number = ++world->hanging;
    while (world->freed < number)
        pthread_cond_wait(&world->changed, &world->lock);
    pthread_mutex_unlock(&world->lock);
    return 0;
}

/* freed() -> whether the test has called unhang: for a loop that the test ends */
static inline int lua_freed(lua_State *L)
{
    World *world = world_of(L);
    pthread_mutex_lock(&world->lock);
    lua_pushboolean(L, world->freed > 0);
    pthread_mutex_unlock(&world->lock);
    return 1;
}

static inline void unhang(World *world)
{
    pthread_mutex_lock(&world->lock);
    world->freed++;
    changed(world);
}

/* connection() -> what gw.info() would tell, as text */
static inline int lua_connection(lua_State *L)
{
    Slice text = generation_connection(generation_of(L));
    lua_pushlstring(L, text.data, text.size);
    return 1;
}

static inline void open_bindings(lua_State *L)
{
    luaL_openlibs(L);
    lua_register(L, "connection", lua_connection);
    lua_register(L, "note", lua_note);
    lua_register(L, "on", lua_on);
    lua_register(L, "off", lua_off);
    lua_register(L, "send", lua_send);
    lua_register(L, "sleep", lua_sleep);
    lua_register(L, "spawn", lua_spawn);
    lua_register(L, "cancel", lua_cancel);
    lua_register(L, "inherit", lua_inherit);
    lua_register(L, "hang", lua_hang);
    lua_register(L, "freed", lua_freed);
}

static inline bool push_json(lua_State *L, Slice text, const char **problem)
{
    if (slice_is(text, "BAD")) {
        *problem = "not JSON";
        return false;
    }
    lua_pushlstring(L, text.data, text.size);
    if (lua_stringtonumber(L, lua_tostring(L, -1))) lua_remove(L, -2);
    return true;
}

static inline void push_error(lua_State *L, Slice error)
{
    lua_pushlstring(L, error.data, error.size);
}

static inline bool save_bindings(lua_State *L, Buffer *out)
{
    lua_getglobal(L, "state");
    size_t size;
    const char *text = luaL_tolstring(L, -1, &size);
    buffer_append_slice(out, slice_make(text, size));
    note(world_of(L), "saved");
    return true;
}

static inline void retire_bindings(lua_State *L)
{
    note(world_of(L), "retired");
}

static inline void show_bindings(lua_State *L, int from, Buffer *out)
{
    for (; from <= lua_gettop(L); from++) {
        size_t size;
        const char *text = luaL_tolstring(L, from, &size);
        buffer_append_slice(out, slice_make(text, size));
        buffer_append_char(out, ' ');
        lua_pop(L, 1);
    }
}

/* --- one app under test ----------------------------------------------------------------------------------------------------------- */

typedef struct {
    World world;
    App *app;
    char path[64];
    char problem[4096];
} Bench;

static inline void bench_write(Bench *bench, const char *script)
{
    strcpy(bench->path, "/tmp/gatehouse-app-XXXXXX");
    int fd = mkstemp(bench->path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, script, strlen(script)), (ssize_t)strlen(script));
    close(fd);
}

static inline void bench_make(Bench *bench, const char *script, AppConfig config)
{
    *bench = (Bench){.world = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER}};
    bench_write(bench, script);
    AppConfig whole = {
        .name = "test",
        .path = bench->path,
        .data_dir = config.data_dir,
        .dead_letters = config.dead_letters,
        .quarantine_failures = config.quarantine_failures,
        .rollback_failures = config.rollback_failures,
        .rollback_calls = config.rollback_calls,
        .memory_bytes = config.memory_bytes,
        .stop_ms = config.stop_ms ? config.stop_ms : 2000,
        .grace_ms = config.grace_ms,
        .load_ms = config.load_ms,
        .cpu_ms = config.cpu_ms ? config.cpu_ms : -1, /* where a script loops here it is meant to */
        .inbox = config.inbox,
        .port = {&bench->world, world_request, world_cancel, world_subscribe, world_log, world_logs, world_relieved,
                 world_ended, world_news, world_evaluated},
        .bindings = {open_bindings, push_json, push_error, save_bindings, retire_bindings, show_bindings},
    };
    bench->app = app_new(&whole, bench->problem, sizeof bench->problem);
    assert_non_null(bench->app);
}

static inline bool bench_load_with(Bench *bench, const char *script, AppConfig config)
{
    bench_make(bench, script, config);
    return app_load(bench->app, bench->problem, sizeof bench->problem);
}

static inline bool bench_load(Bench *bench, const char *script, size_t memory_bytes, InboxLimits limits)
{
    return bench_load_with(bench, script, (AppConfig){.memory_bytes = memory_bytes, .inbox = limits});
}

static inline void bench_start(Bench *bench, const char *script)
{
    if (!bench_load(bench, script, 0, (InboxLimits){0})) fail_msg("did not load: %s", bench->problem);
    assert_true(app_start(bench->app));
}

static inline void bench_stop(Bench *bench)
{
    app_stop(bench->app);
    await(&bench->world, has_ended, NULL, "the end");
    assert_true(app_free(bench->app));
    unlink(bench->path);
}

static inline void send_event(Bench *bench, const char *name, const char *payload)
{
    EventFields fields = {.name = slice_of(name), .payload = slice_of(payload), .seq = 7, .connection = 1};
    Message *message = message_event(&fields);
    assert_true(inbox_push(app_inbox(bench->app), &message, 1));
}

static inline void answer(Bench *bench, size_t request, bool ok, bool last, const char *body)
{
    Message *message = message_response(1, bench->world.requests[request], ok, last, slice_of(body));
    assert_true(inbox_push(app_inbox(bench->app), &message, 1));
}

#endif
