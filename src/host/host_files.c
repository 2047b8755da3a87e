/* host_files.c - --watch: when a file of an app changes, the app is reloaded.
 *
 * Watched is what the last load from the disk has read, in vain or not, and what the running generation was made of. Whether the content
 * is another one is found out by the load, on its own thread: an editor that writes a file as it was, or a storm of changes, costs no generation. */
#include "host/host_private.h"

#include <stdlib.h>

static void on_changed(void *context)
{
    HostApp *app = context;

    if (app->app && app->started && !app->has_ended) host_want_reload(app, RELOAD_CHANGED, "changed files");
}

/* Once, and again when the reason is another one. */
static void tell_polling(HostApp *app)
{
    const char *polls = file_watch_polls(app->files);

    if (polls && polls != app->polls) log_print(app->host->log, LOG_WARN, app_name(app->app), "%s", polls);
    app->polls = polls;
}

static bool set_paths(HostApp *app, const Sources *attempted, const Sources *current)
{
    size_t count = 0, more = 0;
    const char *const *first = attempted ? sources_paths(attempted, &count) : NULL;
    const char *const *second = current && current != attempted ? sources_paths(current, &more) : NULL;
    const char **paths = malloc((count + more + 1) * sizeof *paths);

    if (!paths) return false;
    for (size_t i = 0; i < count; i++) {
        paths[i] = first[i];
    }
    for (size_t i = 0; i < more; i++) {
        paths[count + i] = second[i];
    }
    bool set = file_watch_set(app->files, paths, count + more);
    free(paths);
    return set;
}

void host_watch_files_of(HostApp *app)
{
    if (!app->host->watches_files || !app->app) return;
    if (!app->files) app->files = file_watch_new(app->host->loop, on_changed, app);
    Sources *attempted = app_sources(app->app, SOURCES_ATTEMPTED), *current = app_sources(app->app, SOURCES_CURRENT);
    bool set = app->files && set_paths(app, attempted, current);
    sources_unref(attempted);
    sources_unref(current);
    if (!set) {
        log_print(app->host->log, LOG_ERROR, app_name(app->app), "not enough memory to watch its files");
        return;
    }
    tell_polling(app);
    on_changed(app); /* what changed between its reading and the watch is not told */
}

void host_stop_watching_files(HostApp *app)
{
    file_watch_free(app->files);
    app->files = NULL;
}

void host_watch_files(Host *host)
{
    host->watches_files = true;
    for (int i = 0; i < host->app_count; i++) {
        if (host->apps[i]->started) host_watch_files_of(host->apps[i]);
    }
}
