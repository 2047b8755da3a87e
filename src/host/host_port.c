/* host_port.c - the apps' side of the host: each call of an app becomes one posted piece of work, each reply one message.
 *
 * A request needs no table on its way: the session knows it by the app's number and the app's token, and the reply brings both
 * back. */
#include "host/host_private.h"

#include "protocol/json.h"

#include <stdlib.h>

typedef struct {
    LoopWork work;
    HostApp *app;
    uint64_t token;
    AppRequest request; /* its method is in `text` */
    bool wanted;
    size_t size;
    char text[];
} Post;

static Post *post_new(HostApp *app, void (*run)(LoopWork *work), Slice text)
{
    Post *post = calloc(1, sizeof *post + text.size);
    if (!post) return NULL;
    post->work.run = run;
    post->app = app;
    post->size = text.size;
    if (text.size > 0) memcpy(post->text, text.data, text.size);
    return post;
}

static Post *post_of(LoopWork *work)
{
    return (Post *)(void *)((char *)work - offsetof(Post, work));
}

/* --- requests -------------------------------------------------------------------------------------------------------------- */

/* A host without a gateway answers as a session without a connection does. */
static void refuse(HostApp *app, uint64_t token)
{
    static const char error[] = "{\"code\":\"NOT_CONNECTED\",\"message\":\"this host has no gateway\",\"sent\":false}";

    (void)router_push(app->host->router, app->number, message_response(token, false, true, slice_of(error)));
}

static void run_request(LoopWork *work)
{
    Post *post = post_of(work);
    Host *host = post->app->host;
    AppRequest *request = &post->request;

    host->stats.requests++;
    host_arm_watch(host);
    if (host->client) {
        SessionRequest forward = {.owner = (unsigned)post->app->number,
                                  .token = post->token,
                                  .method = slice_make(post->text, post->size),
                                  .params = buffer_take(&request->params),
                                  .timeout_ms = request->timeout_ms,
                                  .wait_ms = request->wait_ms,
                                  .final = request->final,
                                  .resend = request->resend};
        client_request(host->client, &forward);
    } else {
        refuse(post->app, post->token);
    }
    buffer_free(&request->params);
    free(post);
}

static bool port_request(void *context, App *app, uint64_t token, AppRequest *request)
{
    HostApp *host_app = context;
    Post *post = post_new(host_app, run_request, request->method);

    (void)app;
    if (!post) {
        buffer_free(&request->params);
        return false;
    }
    post->token = token;
    post->request = *request;
    post->request.params = buffer_take(&request->params);
    loop_post(host_app->host->loop, &post->work);
    return true;
}

void host_reply(void *context, const SessionReply *reply)
{
    Host *host = context;
    Slice body = reply->ok ? reply->payload : reply->error;

    host->stats.replies++;
    (void)router_push(host->router, (int)reply->owner, message_response(reply->token, reply->ok, reply->last, body));
}

static void run_cancel(LoopWork *work)
{
    Post *post = post_of(work);
    Client *client = post->app->host->client;

    if (client) client_cancel(client, (unsigned)post->app->number, post->token);
    free(post);
}

/* Without memory the request just runs to its own end, and its answer is dropped. */
static void port_cancel(void *context, App *app, uint64_t token)
{
    HostApp *host_app = context;
    Post *post = post_new(host_app, run_cancel, (Slice){0});

    (void)app;
    if (!post) return;
    post->token = token;
    loop_post(host_app->host->loop, &post->work);
}

/* --- subscriptions --------------------------------------------------------------------------------------------------------- */

static void tell_unsubscribed(const HostApp *app, Slice pattern)
{
    log_print(app->host->log, LOG_ERROR, app_name(app->app),
              "not enough memory for the handler of %.*s: it gets no events", SLICE_ARGS(pattern));
}

static void subscribe(const HostApp *app, Slice pattern, bool wanted)
{
    if (!router_subscribe(app->host->router, app->number, pattern, wanted)) tell_unsubscribed(app, pattern);
}

static void run_subscribe(LoopWork *work)
{
    Post *post = post_of(work);

    subscribe(post->app, slice_make(post->text, post->size), post->wanted);
    free(post);
}

static void port_subscribe(void *context, App *app, Slice pattern, bool wanted)
{
    HostApp *host_app = context;

    (void)app;
    if (atomic_load(&host_app->awaited)) {
        subscribe(host_app, pattern, wanted);
        return;
    }
    Post *post = post_new(host_app, run_subscribe, pattern);
    if (!post) {
        tell_unsubscribed(host_app, pattern);
        return;
    }
    post->wanted = wanted;
    loop_post(host_app->host->loop, &post->work);
}

/* --- the rest -------------------------------------------------------------------------------------------------------------- */

static void port_log(void *context, const char *app, LogLevel level, Slice message, Slice fields)
{
    const HostApp *host_app = context;
    log_write(host_app->host->log, level, app, message, fields);
}

static bool port_logs(void *context, LogLevel level)
{
    const HostApp *host_app = context;
    return log_writes(host_app->host->log, level);
}

static void run_relief(LoopWork *work)
{
    HostApp *app = HEAP_OWNER(work, HostApp, relief);

    atomic_store(&app->relief_posted, false);
    host_relieved(app);
}

static void port_relieved(void *context, App *app)
{
    HostApp *host_app = context;

    (void)app;
    if (!atomic_exchange(&host_app->relief_posted, true)) loop_post(host_app->host->loop, &host_app->relief);
}

static void run_ended(LoopWork *work)
{
    host_app_ended(HEAP_OWNER(work, HostApp, ended));
}

static void port_ended(void *context, App *app)
{
    HostApp *host_app = context;

    (void)app;
    loop_post(host_app->host->loop, &host_app->ended);
}

AppPort host_port(HostApp *app)
{
    app->relief.run = run_relief;
    app->ended.run = run_ended;
    return (AppPort){.context = app,
                     .request = port_request,
                     .cancel = port_cancel,
                     .subscribe = port_subscribe,
                     .log = port_log,
                     .logs = port_logs,
                     .relieved = port_relieved,
                     .ended = port_ended};
}
