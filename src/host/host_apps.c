/* host_apps.c - apps come and go: before the start, and while the host runs.
 *
 * Before the start the I/O thread waits for each main chunk, since nothing else is to be done. Later it does not: the app loads on its
 * thread, and its first news tells what came of it. A number in the router is never used again. */
#include "host/host_asked.h"

#include <stdio.h>
#include <stdlib.h>

#define REMOVE_GRACE_MS 500 /* on top of its own limit, before an app that is to go is said not to stop */

static HostApp *find_app(const Host *host, const char *name)
{
    for (int i = 0; i < host->app_count; i++) {
        HostApp *app = host->apps[i];
        if (app->app && !app->removing && strcmp(app_name(app->app), name) == 0) return app;
    }
    return NULL;
}

/* A place for the app, and the app; nothing of it runs yet. */
static HostApp *make_app(Host *host, const AppConfig *config, char *problem, size_t problem_size)
{
    AppConfig own = *config;
    HostApp *app = NULL;
    HostApp **apps = NULL;

    if (find_app(host, config->name)) {
        (void)snprintf(problem, problem_size, "there is an app %s already; %s needs another name", config->name,
                       config->path);
        return NULL;
    }
    apps = realloc(host->apps, ((size_t)host->app_count + 1) * sizeof(HostApp *));
    if (apps) host->apps = apps;
    app = calloc(1, sizeof *app);
    if (!apps || !app) {
        (void)snprintf(problem, problem_size, "not enough memory for the app %s", config->name);
        goto failed;
    }
    app->host = host;
    own.port = host_port(app);
    app->app = app_new(&own, problem, problem_size);
    if (!app->app) goto failed;
    app->number = router_add(host->router, app_inbox(app->app));
    if (app->number < 0) {
        (void)snprintf(problem, problem_size, "no room for the app %s", config->name);
        goto failed;
    }
    host->apps[host->app_count++] = app; /* a number is never used again, so it stays there if it does not load */
    if (host->stop_ms < (own.stop_ms ? own.stop_ms : APP_STOP_MS))
        host->stop_ms = own.stop_ms ? own.stop_ms : APP_STOP_MS;
    return app;

failed:
    if (app && app->app) (void)app_free(app->app);
    free(app);
    return NULL;
}

/* No message goes there any more, and the app is freed. */
void host_let_go(HostApp *app)
{
    control_app_gone(app->host->control, app->number);
    router_remove(app->host->router, app->number);
    host_stop_pressing(app);
    atomic_store(&app->awaited, true);
    if (!app_free(app->app)) app->host->clean = false; /* a thread of it did not come back */
    app->app = NULL;
}

App *host_add_app(Host *host, const AppConfig *config, char *problem, size_t problem_size)
{
    HostApp *app = make_app(host, config, problem, problem_size);

    if (!app) return NULL;
    atomic_store(&app->awaited, true);
    bool loaded = app_load(app->app, problem, problem_size);
    atomic_store(&app->awaited, false);
    if (loaded) return app->app;
    host_let_go(app);
    return NULL;
}

/* --- while the host runs -------------------------------------------------------------------------------------------------------- */

void host_launch(Host *host, const AppConfig *config, HostAsked *asked)
{
    char problem[4096];
    HostApp *app = make_app(host, config, problem, sizeof problem);

    host_asked_expect(asked);
    if (app && !app_launch(app->app)) {
        (void)snprintf(problem, sizeof problem, "the app %s cannot be started: out of memory or threads", config->name);
        host_let_go(app);
        app = NULL;
    }
    if (!app) {
        log_write(host->log, LOG_ERROR, NULL, slice_of(problem), (Slice){0});
        host_asked_part(asked, false, slice_of(problem));
        return;
    }
    app->change = asked;
    host_arm_watch(host);
}

/* What came of its coming or going, to who asked for that. */
static void tell_change(HostApp *app, bool ok, const char *what)
{
    Buffer text = {0};

    if (!app->change) return;
    buffer_append_format(&text, "%s: %s", app_name(app->app), what);
    log_print(app->host->log, ok ? LOG_INFO : LOG_ERROR, app_name(app->app), "%s", what);
    host_asked_part(app->change, ok, buffer_slice(&text));
    app->change = NULL;
    buffer_free(&text);
}

void host_look_at_launch(HostApp *app)
{
    char problem[4096];
    AppLaunch launch = app_launched(app->app, problem, sizeof problem);

    if (app->host->state == HOST_STOPPING && launch == LAUNCH_LOADED) {
        (void)snprintf(problem, sizeof problem, "it has loaded, but the host is stopping");
        launch = LAUNCH_FAILED;
    }
    switch (launch) {
    case LAUNCH_LOADS: break;
    case LAUNCH_LOADED:
        host_welcome(app);
        app->started = app_start(app->app);
        tell_change(app, app->started, "it is new, and runs");
        host_watch_files_of(app);
        break;
    case LAUNCH_FAILED:
        tell_change(app, false, problem);
        app->removing = true;
        host_let_go(app);
        host_look_at_end(app->host);
        break;
    }
}

void host_retire_app(Host *host, const char *name, HostAsked *asked)
{
    HostApp *app = find_app(host, name);

    if (!app || !app->started || app->has_ended) return;
    app->removing = true;
    host_asked_expect(asked);
    log_print(host->log, LOG_INFO, name, "it is not there any more: stopping it");
    app->change = asked;
    app->remove_due_ms = loop_now_ms(host->loop) + host->stop_ms + REMOVE_GRACE_MS;
    host_stop_pressing(app);
    app_stop(app->app);
    host_arm_watch(host);
}

void host_removed(HostApp *app)
{
    tell_change(app, true, "it was stopped");
    host_let_go(app);
}

void host_look_at_removal(HostApp *app, int64_t now_ms)
{
    if (now_ms >= app->remove_due_ms) tell_change(app, false, "it does not stop");
}

bool host_each_app(Host *host, bool (*each)(void *context, const char *name), void *context)
{
    for (int i = 0; i < host->app_count; i++) {
        const HostApp *app = host->apps[i];
        if (app->app && !app->removing && !each(context, app_name(app->app))) return false;
    }
    return true;
}
