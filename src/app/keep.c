/* keep.c - see keep.h. */
#include "app/app_private.h"
#include "app/clock.h"
#include "app/keep.h"
#include "app/state_file.h"
#include "app/takeover.h"

#include <lauxlib.h>
#include <stdio.h>

#define FLUSH_MS 300 /* for the disk at least, at the end: less than what host/ waits beyond the app's time to stop */
#define NOT_SAVED "gw.state is not saved: "

/* --- to the disk: on the saver's thread -------------------------------------------------------------------------------------- */

static bool write_state(void *context, Slice bytes, char *problem, size_t size)
{
    App *app = context;
    if (!app->data_dir) return true; /* then it lives as long as the app */
    if (!app->swept) state_file_sweep(app->data_dir);
    app->swept = true;
    return state_file_write(app->data_dir, bytes, problem, size);
}

static void tell_not_written(void *context, const char *problem)
{
    App *app = context;
    char text[1100];
    int64_t now_ms = generation_now_ms();
    if (app->told_ms != 0 && now_ms < app->told_ms + KEEPING_TELL_MS) return;
    app->told_ms = now_ms;
    snprintf(text, sizeof text, NOT_SAVED "%s", problem);
    app->config.port.log(app->config.port.context, app->name, LOG_ERROR, slice_of(text), slice_of(""));
}

bool keep_open(App *app)
{
    app->saver = saver_new(&(SaverConfig){.write = write_state, .failed = tell_not_written, .context = app});
    return app->saver != NULL;
}

bool keep_close(App *app)
{
    return saver_free(app->saver);
}

bool keep_latest(App *app, Buffer *out)
{
    return saver_latest(app->saver, out);
}

/* --- the state to begin with ------------------------------------------------------------------------------------------------- */

static uint64_t steps_of(const Generation *generation)
{
    return atomic_load_explicit(&generation->steps, memory_order_relaxed);
}

/* No generation has made a snapshot: it is as it was saved. */
static void read_saved(lua_State *L, Generation *generation)
{
    const AppConfig *config = generation->config;
    char sentence[1024];
    if (!config->data_dir) return;
    switch (state_file_read(config->data_dir, config->dry_run, &generation->inheritance, sentence, sizeof sentence)) {
    case STATE_FILE_DONE:
    case STATE_FILE_ABSENT: break;
    case STATE_FILE_BROKEN: generation_log(generation, LOG_WARN, slice_of(sentence), slice_of("")); break;
    case STATE_FILE_FAILED:
        buffer_free(&generation->inheritance);
        luaL_error(L, "gw.state cannot be restored: %s", sentence);
    }
}

Slice generation_inherit(lua_State *L)
{
    Generation *generation = generation_of(L);
    if (generation->keeping.active) return buffer_slice(&generation->inheritance);
    if (generation->number > 1 && !takeover_ask(generation)) luaL_error(L, "%s", generation->problem);
    if (buffer_size(&generation->inheritance) == 0) read_saved(L, generation);
    keeping_begin(&generation->keeping, generation_now_ms(), steps_of(generation));
    return buffer_slice(&generation->inheritance);
}

/* --- snapshots --------------------------------------------------------------------------------------------------------------- */

/* Stack: buffer → whether there is a state */
static int snapshot(lua_State *L)
{
    lua_pushboolean(L, generation_of(L)->config->bindings.save(L, lua_touserdata(L, 1)));
    return 1;
}

/* Hands a snapshot over to the saver. NULL, or why not: a text on top of the stack, or static. */
static const char *take_snapshot(Generation *generation)
{
    lua_State *L = generation->L;
    Buffer bytes = buffer_with_headroom(0);
    const char *problem = NULL;
    lua_pushcfunction(L, snapshot);
    lua_pushlightuserdata(L, &bytes);
    if (!door_call(L, 1, 1)) {
        problem = lua_tostring(L, -1);
        if (!problem) problem = "not enough memory";
    } else if (bytes.failed) {
        problem = NOT_SAVED "not enough memory";
    } else if (lua_toboolean(L, -1) && buffer_size(&bytes) > 0) {
        (void)saver_put(generation->app->saver, &bytes); /* without a thread, it stays there and is tried again */
    }
    buffer_free(&bytes);
    return problem;
}

static bool keeps(const Generation *generation)
{
    return generation->keeping.active && generation->config->bindings.save && !generation->stopping &&
           !generation_replaced(generation);
}

void keep_when_due(Generation *generation, bool idle)
{
    Keeping *keeping = &generation->keeping;
    if (!keeps(generation)) return;
    buffer_free(&generation->inheritance); /* the bindings have made a table of it */
    keeping_look(keeping, steps_of(generation));
    int64_t begun_us = clock_us();
    if (!keeping_due(keeping, begun_us / 1000, idle)) return;
    int top = lua_gettop(generation->L);
    const char *problem = take_snapshot(generation);
    if (problem && keeping_may_tell(keeping, begun_us / 1000)) generation_error(generation, "saving", problem);
    lua_settop(generation->L, top);
    keeping_done(keeping, clock_us() / 1000, clock_us() - begun_us, steps_of(generation));
}

int64_t keep_due_ms(const Generation *generation)
{
    return keeps(generation) ? keeping_next_ms(&generation->keeping) : INT64_MAX;
}

bool keep_for_next(Generation *current, char *problem, size_t problem_size)
{
    if (!current->config->bindings.save) return true;
    int top = lua_gettop(current->L);
    const char *unsaved = take_snapshot(current);
    if (unsaved) snprintf(problem, problem_size, "%.*s", (int)strcspn(unsaved, "\n"), unsaved);
    lua_settop(current->L, top);
    return !unsaved;
}

bool keep_at_end(Generation *generation)
{
    char problem[1024], text[1100];
    if (!generation->config->bindings.save || generation_replaced(generation)) return true;
    int top = lua_gettop(generation->L);
    const char *unsaved = take_snapshot(generation);
    if (unsaved) generation_error(generation, "saving", unsaved);
    lua_settop(generation->L, top);
    int64_t left_ms = generation->stop_due_ms - generation_now_ms();
    if (left_ms < FLUSH_MS) left_ms = FLUSH_MS;
    if (saver_flush(generation->app->saver, left_ms, problem, sizeof problem)) return !unsaved;
    snprintf(text, sizeof text, NOT_SAVED "%s", problem);
    generation_error(generation, "saving", text);
    return false;
}
