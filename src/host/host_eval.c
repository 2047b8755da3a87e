/* host_eval.c - a piece of Lua into an app, and what came of it back to who asked. */
#include "host/host_asked.h"

#include <stdlib.h>

struct HostEval {
    HostEval *next;
    uint64_t token;
    HostAsked *asked;
};

static HostApp *find_app(const Host *host, const char *name)
{
    for (int i = 0; i < host->app_count; i++) {
        HostApp *app = host->apps[i];
        if (app->app && app->started && !app->has_ended && strcmp(app_name(app->app), name) == 0) return app;
    }
    return NULL;
}

static void refuse(HostAsked *asked, const char *why)
{
    host_asked_expect(asked);
    host_asked_part(asked, false, slice_of(why));
}

static bool begin(HostApp *app, HostAsked *asked, Slice code)
{
    HostEval *eval = calloc(1, sizeof *eval);

    if (!eval) return false;
    *eval = (HostEval){.next = app->evals, .token = ++app->host->last_eval, .asked = asked};
    if (!app_eval(app->app, eval->token, code)) {
        free(eval);
        return false;
    }
    app->evals = eval;
    host_asked_expect(asked);
    host_arm_watch(app->host);
    return true;
}

bool host_eval(Host *host, const char *name, Slice code, HostDone *done, void *context)
{
    HostAsked *asked = host_asked_new(host, done, context);
    HostApp *app = find_app(host, name);

    if (!asked) return false;
    if (!app) {
        refuse(asked, "there is no such app here");
    } else if (!begin(app, asked, code)) {
        refuse(asked, "there is not enough memory");
    }
    host_asked_ready(asked);
    return true;
}

void host_evaluated(HostApp *app, uint64_t token, bool ok, Slice text)
{
    for (HostEval **link = &app->evals; *link; link = &(*link)->next) {
        HostEval *eval = *link;
        if (eval->token != token) continue;
        *link = eval->next;
        host_asked_part(eval->asked, ok, text);
        free(eval);
        return;
    }
}

void host_evals_end(HostApp *app)
{
    while (app->evals) {
        HostEval *eval = app->evals;
        app->evals = eval->next;
        host_asked_part(eval->asked, false, slice_of("the app has ended"));
        free(eval);
    }
}
