/* wish.c - what a generation asks the host for: the sources of the one before, since too many of its first calls fail; a fresh state,
 * since its memory is full of what it holds. The host looks at app_wish when there is news. */
#include "app/app_private.h"

#include <stdio.h>

#define RESTART_FIRST_MS 1000           /* between the first two fresh starts; then twice as long each time … */
#define RESTART_MOST_MS (5 * 60 * 1000) /* … up to here. When so long nothing was asked for, it begins anew */

static void wish(Generation *generation, AppWish what, const char *reason)
{
    App *app = generation->app;
    char text[320];
    pthread_mutex_lock(&app->lock);
    /* The way back is the stronger one, if it is not fetched yet. */
    bool wishes = app->current == generation && !app->stopping && app->wish != WISH_BACK;
    if (wishes) {
        app->wish = what;
        if (what == WISH_BACK) generation->failed_often = true; /* nobody goes back to it */
        snprintf(app->wish_reason, sizeof app->wish_reason, "%s", reason);
    }
    pthread_mutex_unlock(&app->lock);
    if (!wishes) return;
    snprintf(text, sizeof text, "%s: %s", what == WISH_BACK ? "going back to the code before" : "loading it afresh",
             reason);
    generation_log(generation, LOG_WARN, slice_of(text), slice_of(""));
    app->config.port.news(app->config.port.context, app);
}

/* --- back ------------------------------------------------------------------------------------------------------------------------- */

void wish_count(Generation *generation, bool failed, const char *traceback)
{
    const AppConfig *config = generation->config;
    char reason[256];
    if (generation->probation == 0) return;
    generation->probation--;
    if (!failed || ++generation->failures <= config->rollback_failures) return;
    snprintf(reason, sizeof reason, "%d of its first %d handler calls failed; the last: %.*s", generation->failures,
             config->rollback_calls - generation->probation, (int)strcspn(traceback, "\n"), traceback);
    generation->probation = 0; /* once */
    wish(generation, WISH_BACK, reason);
}

/* --- afresh ----------------------------------------------------------------------------------------------------------------------- */

static bool is_full(const Generation *generation)
{
    return atomic_load(&generation->memory.used_bytes) > generation->memory.limit_bytes / 10 * 9;
}

static void wish_again(Generation *generation, int64_t now_ms)
{
    App *app = generation->app;
    const size_t limit = generation->memory.limit_bytes, used = atomic_load(&generation->memory.used_bytes);
    const bool small = limit < 2u << 20;
    const unsigned shift = small ? 10 : 20;
    char reason[128];
    snprintf(reason, sizeof reason, "memory: %zu of %zu %s are in use after a full collection", used >> shift,
             limit >> shift, small ? "KiB" : "MiB");
    pthread_mutex_lock(&app->lock);
    bool anew = app->restart_wait_ms == 0 || now_ms - app->restart_due_ms >= RESTART_MOST_MS;
    int64_t wait_ms = anew ? RESTART_FIRST_MS : app->restart_wait_ms * 2;
    app->restart_wait_ms = wait_ms < RESTART_MOST_MS ? wait_ms : RESTART_MOST_MS;
    app->restart_due_ms = now_ms + app->restart_wait_ms;
    pthread_mutex_unlock(&app->lock);
    wish(generation, WISH_AGAIN, reason);
}

/* Once for a generation; not before the time since the one before is over. */
void wish_fresh(Generation *generation)
{
    App *app = generation->app;
    int64_t now_ms = generation_now_ms();
    if (generation->restarts || generation->starting || generation_replaced(generation) || !is_full(generation)) return;
    generation->restarts = true;
    pthread_mutex_lock(&app->lock);
    int64_t due_ms = app->restart_due_ms;
    pthread_mutex_unlock(&app->lock);
    if (now_ms >= due_ms)
        wish_again(generation, now_ms);
    else
        generation->restart_due_ms = due_ms;
}

void wish_look(Generation *generation)
{
    int64_t now_ms = generation_now_ms();
    if (now_ms < generation->restart_due_ms) return;
    generation->restart_due_ms = 0;
    lua_gc(generation->L, LUA_GCCOLLECT);
    generation->restarts = is_full(generation); /* it may have let go of what it held meanwhile */
    if (generation->restarts) wish_again(generation, now_ms);
}
