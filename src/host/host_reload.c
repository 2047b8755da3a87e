/* host_reload.c - the next generation of an app: one load at a time, the newest wish wins, and everybody who asked hears what came of it.
 *
 * A wish while a load runs waits for the next one; many of them become one. */
#include "host/host_asked.h"
#include "protocol/json.h"

#include <stdio.h>
#include <stdlib.h>

struct HostWaiter {
    HostWaiter *next;
    HostAsked *asked;
};

/* --- who waits -------------------------------------------------------------------------------------------------------------- */

static void answer(HostWaiter **waiters, bool ok, Slice text)
{
    while (*waiters) {
        HostWaiter *waiter = *waiters;
        *waiters = waiter->next;
        host_asked_part(waiter->asked, ok, text);
        free(waiter);
    }
}

static void append(HostWaiter **list, HostWaiter *waiters)
{
    while (*list) {
        list = &(*list)->next;
    }
    *list = waiters;
}

/* --- one app ---------------------------------------------------------------------------------------------------------------- */

static void fail_all(HostApp *app, const char *why)
{
    char text[256];

    (void)snprintf(text, sizeof text, "%.64s: %s", app->number >= 0 && app->app ? app_name(app->app) : "the app", why);
    answer(&app->waiting, false, slice_of(text));
    answer(&app->later, false, slice_of(text));
    app->wants = app->loads = false;
}

/* Begins the load that is wanted, if none runs. */
static void begin(HostApp *app)
{
    if (!app->wants) return;
    if (app_reload(app->app, app->kind, app->reason)) {
        append(&app->waiting, app->later);
        app->later = NULL;
        app->wants = false;
        app->loads = true;
        host_arm_watch(app->host);
    } else if (!app->loads) {
        fail_all(app, app->kind == RELOAD_BACK ? "there is no generation to go back to"
                                               : "it does not run, or there is no memory or thread for another "
                                                 "generation: it cannot be reloaded");
    }
}

/* RELOAD_ASKED is the strongest wish, since it is done whatever the files say; a way back or a fresh state gives way to it. */
static void want(HostApp *app, ReloadKind kind, const char *reason)
{
    bool keeps = app->wants && app->kind == RELOAD_ASKED;
    app->wants = true;
    if (keeps) return;
    app->kind = kind;
    size_t size = strnlen(reason, sizeof app->reason - 1);
    memmove(app->reason, reason, size); /* it may be this very text: the load is tried again */
    app->reason[size] = '\0';
}

void host_want_reload(HostApp *app, ReloadKind kind, const char *reason)
{
    want(app, kind, reason);
    begin(app);
}

static void ask(HostApp *app, const char *reason, HostAsked *asked)
{
    HostWaiter *waiter = calloc(1, sizeof *waiter);

    host_asked_expect(asked);
    if (!waiter) {
        host_asked_part(asked, false, slice_of("there is not enough memory"));
        return;
    }
    waiter->asked = asked;
    append(&app->later, waiter);
    host_want_reload(app, RELOAD_ASKED, reason);
}

/* --- what came of it ---------------------------------------------------------------------------------------------------------- */

static void tell_done(HostApp *app, const AppReloaded *result)
{
    Buffer text = {0};
    const char *name = app_name(app->app);

    if (result->kind == RELOAD_BACK)
        (void)snprintf(app->last_failure, sizeof app->last_failure,
                       "generation %u was taken back to the files of the one before: %s", result->before, app->reason);
    else
        *app->last_failure = '\0';
    log_print(app->host->log, LOG_INFO, name, "generation %u took over from %u%s", result->generation, result->before,
              result->kind == RELOAD_BACK ? ", with the files of the generation before that" : "");
    buffer_append_format(&text, "%s: generation %u took over from %u", name, result->generation, result->before);
    if (*result->text) {
        log_print(app->host->log, LOG_ERROR, name, "%s", result->text);
        buffer_append_format(&text, "\n%s: %s", name, result->text);
    }
    answer(&app->waiting, true, buffer_slice(&text));
    buffer_free(&text);
}

static void tell_unchanged(HostApp *app)
{
    char text[128];

    (void)snprintf(text, sizeof text, "%s: nothing has changed", app_name(app->app));
    answer(&app->waiting, true, slice_of(text));
}

/* Whether its script is gone: the text is "cannot open PATH: …", of a folder with the file in it. */
static bool lost_its_script(const HostApp *app, const char *text)
{
    static const char opens[] = "cannot open ";
    const char *path = app_path(app->app);
    size_t size = strlen(path);

    if (strncmp(text, opens, sizeof opens - 1) != 0 || strncmp(text + sizeof opens - 1, path, size) != 0) return false;
    text += sizeof opens - 1 + size;
    return *text == ':' || strncmp(text, "/init.lua:", 10) == 0;
}

/* The first line is the message, the rest its traceback. */
static void log_failure(const HostApp *app, const AppReloaded *result)
{
    Buffer message = {0}, fields = {0};
    size_t first = strcspn(result->text, "\n");

    buffer_append_format(&message, "it was not reloaded, generation %u goes on: %.*s", result->before, (int)first,
                         result->text);
    buffer_append_char(&fields, '{');
    if (result->text[first]) json_write_member_string(&fields, "traceback", result->text + first + 1);
    buffer_append_char(&fields, '}');
    log_write(app->host->log, LOG_ERROR, app_name(app->app), buffer_slice(&message), buffer_slice(&fields));
    buffer_free(&message);
    buffer_free(&fields);
}

static void tell_failed(HostApp *app, const AppReloaded *result)
{
    Buffer text = {0};

    (void)snprintf(app->last_failure, sizeof app->last_failure, "%s", result->text);
    log_failure(app, result);
    if (result->kind != RELOAD_ASKED && lost_its_script(app, result->text))
        log_print(app->host->log, LOG_WARN, app_name(app->app),
                  "if it is to go: gatehouse reload, without a name, stops apps that are gone from a folder of apps");
    buffer_append_format(&text, "%s: it was not reloaded, generation %u goes on: %s", app_name(app->app),
                         result->before, result->text);
    answer(&app->waiting, false, buffer_slice(&text));
    buffer_free(&text);
}

static void take_result(HostApp *app, const AppReloaded *result)
{
    app->loads = false;
    switch (result->outcome) {
    case RELOADED_DONE:
        if (app->kind == RELOAD_BACK || app->kind == RELOAD_AGAIN) app->wants = false; /* of the one before */
        tell_done(app, result);
        host_watch_files_of(app);
        break;
    case RELOADED_UNCHANGED: tell_unchanged(app); break;
    case RELOADED_FAILED:
        tell_failed(app, result);
        host_watch_files_of(app);
        break;
    case RELOADED_SUPERSEDED:
    case RELOADED_CAME_BACK: /* once more, with those that have asked meanwhile */
        append(&app->waiting, app->later);
        app->later = app->waiting;
        app->waiting = NULL;
        want(app, result->kind, app->reason);
        break;
    }
}

static void take_wish(HostApp *app)
{
    char reason[256];

    switch (app_wish(app->app, reason, sizeof reason)) {
    case WISH_NONE: break;
    case WISH_BACK: host_want_reload(app, RELOAD_BACK, reason); break;
    case WISH_AGAIN: host_want_reload(app, RELOAD_AGAIN, reason); break;
    }
}

void host_app_news(HostApp *app)
{
    AppReloaded result;

    if (app->app && !app->started) host_look_at_launch(app);
    if (!app->app || !app->started || app->has_ended) return;
    app_tidy(app->app, loop_now_ms(app->host->loop));
    if (app_reloaded(app->app, &result)) take_result(app, &result);
    take_wish(app);
    if (!app->loads) begin(app);
}

void host_reloads_end(HostApp *app)
{
    fail_all(app, "it has ended");
}

/* --- all ------------------------------------------------------------------------------------------------------------------------ */

static void no_such_app(HostAsked *asked, const char *name)
{
    char text[128];

    (void)snprintf(text, sizeof text, "there is no app %.64s here", name);
    host_asked_expect(asked);
    host_asked_part(asked, false, slice_of(text));
}

bool host_reload(Host *host, const char *name, const char *reason, HostDone *done, void *context)
{
    bool found = false;
    HostAsked *asked = host_asked_new(host, done, context);

    if (!asked) return false;
    if (host->state != HOST_RUNNING) {
        host_asked_expect(asked);
        host_asked_part(asked, false, slice_of("the host does not run"));
        host_asked_ready(asked);
        return true;
    }
    if (!name && host->sink.rescan) host->sink.rescan(host->sink.context, asked);
    for (int i = 0; i < host->app_count; i++) {
        HostApp *app = host->apps[i];
        if (!app->app || (name && strcmp(app_name(app->app), name) != 0)) continue;
        if (!app->started || app->has_ended || app->removing) continue;
        found = true;
        ask(app, reason, asked);
    }
    if (name && !found) no_such_app(asked, name);
    host_asked_ready(asked);
    return true;
}

void host_reload_changed(Host *host, const char *reason)
{
    HostAsked *asked = host->state == HOST_RUNNING ? host_asked_new(host, NULL, NULL) : NULL;

    if (!asked) return;
    if (host->sink.rescan) host->sink.rescan(host->sink.context, asked);
    host_asked_ready(asked);
    for (int i = 0; i < host->app_count; i++) {
        HostApp *app = host->apps[i];
        if (app->app && app->started && !app->has_ended && !app->removing)
            host_want_reload(app, RELOAD_CHANGED, reason);
    }
}
