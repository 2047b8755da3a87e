/* host_letters.c - the dead letters of the apps: events whose handler raised, to be looked at and to be put back. */
#include "host/host_private.h"

static bool is_meant(const HostApp *app, const char *name)
{
    return app->app && !app->removing && (!name || strcmp(app_name(app->app), name) == 0);
}

typedef struct {
    const char *app;
    void (*each)(void *context, const char *app, const DeadLetter *letter);
    void *context;
} Listing;

static void list(void *context, const DeadLetter *letter)
{
    const Listing *listing = context;
    listing->each(listing->context, listing->app, letter);
}

void host_dead_each(Host *host, const char *name,
                    void (*each)(void *context, const char *app, const DeadLetter *letter), void *context)
{
    for (int i = 0; i < host->app_count; i++) {
        const HostApp *app = host->apps[i];
        if (!is_meant(app, name)) continue;
        Listing listing = {app_name(app->app), each, context};
        app_dead_each(app->app, list, &listing);
    }
}

size_t host_dead_retry(Host *host, const char *name, uint64_t id)
{
    size_t count = 0;

    for (int i = 0; i < host->app_count; i++) {
        HostApp *app = host->apps[i];
        if (!is_meant(app, name) || !app->started || app->has_ended) continue;
        count += app_dead_retry(app->app, id);
    }
    if (count > 0) host_arm_watch(host);
    return count;
}
