/* app.c - see app.h. */
#include "app/generation_private.h"

#include <stdio.h>
#include <stdlib.h>

struct App {
    AppConfig config;
    char *name, *path, *data_dir, *settings; /* what the config points to */
    Inbox *inbox;
    Generation *generation;
    bool started;
    /* How long the app has been in one step, seen from outside: see app_status. */
    unsigned long long seen_steps;
    int64_t seen_ms;
};

static void relieved(void *context)
{
    App *app = context;
    app->config.port.relieved(app->config.port.context, app);
}

static void app_destroy(App *app)
{
    inbox_free(app->inbox);
    free(app->name);
    free(app->path);
    free(app->data_dir);
    free(app->settings);
    free(app);
}

static bool copy_strings(App *app, const AppConfig *config)
{
    app->name = strdup(config->name);
    app->path = strdup(config->path);
    app->data_dir = config->data_dir ? strdup(config->data_dir) : NULL;
    app->settings = strdup(config->settings ? config->settings : "{}");
    app->config.name = app->name;
    app->config.path = app->path;
    app->config.data_dir = app->data_dir;
    app->config.settings = app->settings;
    return app->name && app->path && app->settings && (app->data_dir || !config->data_dir);
}

App *app_new(const AppConfig *config, char *problem, size_t problem_size)
{
    App *app = calloc(1, sizeof *app);
    if (app) {
        app->config = *config;
        if (!app->config.memory_bytes) app->config.memory_bytes = APP_MEMORY_BYTES;
        if (!app->config.stop_ms) app->config.stop_ms = APP_STOP_MS;
        app->inbox = inbox_new(&config->inbox, relieved, app);
        if (copy_strings(app, config) && app->inbox) return app;
        app_destroy(app);
    }
    snprintf(problem, problem_size, "not enough memory for the app %s", config->name);
    return NULL;
}

/* The thread of a generation that does not run, or has ended, comes home. */
static void discard_generation(App *app)
{
    generation_go(app->generation);
    generation_free(app->generation);
    app->generation = NULL;
}

bool app_load(App *app, char *problem, size_t problem_size)
{
    app->generation = generation_new(app, &app->config, 1);
    if (!app->generation) {
        snprintf(problem, problem_size, "cannot start the app %s: out of memory or threads", app->config.name);
        return false;
    }
    if (generation_await_load(app->generation, problem, problem_size)) return true;
    discard_generation(app);
    return false;
}

bool app_start(App *app)
{
    if (!app->generation || app->started) return false;
    app->started = true;
    generation_go(app->generation);
    return true;
}

void app_stop(App *app)
{
    Message *stop = message_stop();
    if (stop && !inbox_push(app->inbox, &stop, 1)) message_unref(stop);
}

static void read_steps(App *app, int64_t now_ms, AppStatus *out)
{
    Generation *generation = app->generation;
    unsigned long long steps = atomic_load(&generation->steps);
    pthread_mutex_lock(&generation->lock); /* so that its label stays */
    const char *doing = atomic_load(&generation->doing);
    if (doing) snprintf(out->running, sizeof out->running, "%s", doing);
    pthread_mutex_unlock(&generation->lock);
    if (steps != app->seen_steps || !doing) {
        app->seen_steps = steps;
        app->seen_ms = now_ms;
    }
    out->busy_ms = now_ms - app->seen_ms;
}

void app_status(App *app, int64_t now_ms, AppStatus *out)
{
    Generation *generation = app->generation;
    *out = (AppStatus){.generation = 0};
    inbox_stats(app->inbox, &out->inbox);
    if (!generation) return;
    out->generation = generation->number;
    out->memory_bytes = atomic_load(&generation->memory.used_bytes);
    out->handled = atomic_load(&generation->handled);
    out->errors = atomic_load(&generation->errors);
    out->dropped = atomic_load(&generation->dropped);
    read_steps(app, now_ms, out);
}

static bool has_ended(Generation *generation)
{
    pthread_mutex_lock(&generation->lock);
    bool ended = generation->state == GENERATION_ENDED;
    pthread_mutex_unlock(&generation->lock);
    return ended;
}

bool app_ended_well(const App *app)
{
    return !app->generation || !atomic_load(&app->generation->spoiled);
}

bool app_free(App *app)
{
    if (!app) return true;
    if (app->generation) {
        if (app->started && !app->config.dry_run && !has_ended(app->generation)) {
            generation_abandon(app->generation);
            return false;
        }
        if (!app->started) app->config.dry_run = true; /* it was loaded only */
        discard_generation(app);
    }
    app_destroy(app);
    return true;
}

const char *app_name(const App *app)
{
    return app->config.name;
}

Inbox *app_inbox(App *app)
{
    return app->inbox;
}

void *app_extension(const App *app)
{
    return app->config.extension;
}
