/* reload_rig.h - an app that is reloaded: what tests of generations share. */
#ifndef GATEHOUSE_TESTS_RELOAD_RIG_H
#define GATEHOUSE_TESTS_RELOAD_RIG_H

#include "app_rig.h"

#include <fcntl.h>

static inline void setup(Bench *bench, const char *script, AppConfig config)
{
    if (!bench_load_with(bench, script, config)) fail_msg("did not load: %s", bench->problem);
    assert_true(app_start(bench->app));
}

static inline AppStatus status_of(const Bench *bench)
{
    AppStatus status;
    app_status(bench->app, 0, &status);
    return status;
}

/* The world changes, or some milliseconds pass. */
static inline void await_change(World *world)
{
    struct timespec due;
    clock_gettime(CLOCK_REALTIME, &due);
    due.tv_nsec += 5000000;
    due.tv_sec += due.tv_nsec / 1000000000;
    due.tv_nsec %= 1000000000;
    pthread_mutex_lock(&world->lock);
    pthread_cond_timedwait(&world->changed, &world->lock, &due);
    pthread_mutex_unlock(&world->lock);
}

/* For what only the app itself can tell. */
static inline void await_app(Bench *bench, bool (*done)(Bench *bench, void *argument), void *argument, const char *what)
{
    int64_t due_ms = generation_now_ms() + PATIENCE_S * 1000;
    while (!done(bench, argument)) {
        if (generation_now_ms() > due_ms)
            fail_msg("waited for %s\nnotes: %s\nerrors: %s", what, bench->world.notes, bench->world.errors);
        await_change(&bench->world);
        app_tidy(bench->app, generation_now_ms());
    }
}

static inline bool has_result(Bench *bench, void *result)
{
    return app_reloaded(bench->app, result);
}

static inline void rewrite(const Bench *bench, const char *script)
{
    int fd = open(bench->path, O_WRONLY | O_TRUNC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, script, strlen(script)), (ssize_t)strlen(script));
    close(fd);
}

static inline void begin_reload(Bench *bench, const char *script)
{
    rewrite(bench, script);
    assert_true(app_reload(bench->app, RELOAD_ASKED, "test"));
}

static inline AppReloaded await_reloaded(Bench *bench)
{
    AppReloaded result;
    await_app(bench, has_result, &result, "what comes of the reload");
    return result;
}

static inline AppReloaded reload(Bench *bench, const char *script)
{
    begin_reload(bench, script);
    return await_reloaded(bench);
}

static inline AppReloaded reload_well(Bench *bench, const char *script)
{
    AppReloaded result = reload(bench, script);
    if (result.outcome != RELOADED_DONE) fail_msg("not reloaded: %s", result.text);
    return result;
}

static inline bool drained(Bench *bench, void *unused)
{
    (void)unused;
    return status_of(bench).draining == 0;
}

static inline void await_drained(Bench *bench)
{
    await_app(bench, drained, NULL, "the end of the old generation");
}

#endif
