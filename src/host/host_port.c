/* host_port.c - the apps' side of the host: each call of an app becomes one posted piece of work, each reply one message.
 *
 * A request needs no table on its way: the session knows it by the app's number and the app's token, and the reply brings both
 * back. What may be on the way to the I/O thread is bounded by HOST_OUTBOX_BYTES for each app.
 *
 * A request that was taken is answered, whatever becomes of the memory: with it, the app's thread makes the HostAnswer that will
 * be needed if there is none left for the answer itself. One is as good as another, so they are a stock, not a table. */
#include "host/host_private.h"

#include "protocol/json.h"

#include <stdlib.h>

typedef struct {
    LoopWork work;
    HostApp *app;
    unsigned generation;
    uint64_t token;
    AppRequest request; /* its method is in `text` */
    HostAnswer *answer; /* NULL: no request */
    bool full;          /* it is to be refused: too much is on the way already */
    bool wanted;        /* of a subscription; of an evaluation: it went well */
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

#define NO_GATEWAY "{\"code\":\"NOT_CONNECTED\",\"message\":\"this host has no gateway\",\"sent\":false}"
#define OUTBOX_FULL \
    "{\"code\":\"QUEUE_FULL\",\"message\":\"the app asks faster than the host takes it\",\"sent\":false}"
#define ANSWER_LOST "{\"code\":\"NO_MEMORY\",\"message\":\"there was no memory for the answer\",\"sent\":true}"

/* The session's owner of a request: the app's number, and in the upper half what the thread border keeps of its generation's. */
static unsigned owner_of(const Post *post)
{
    return (unsigned)post->app->number | post->generation << 16;
}

static int number_of(unsigned owner)
{
    return (int)(owner & 0xffff);
}

static unsigned generation_of(unsigned owner)
{
    return owner >> 16;
}

static void put_in_stock(HostAnswer **stock, HostAnswer *answer)
{
    answer->next = *stock;
    *stock = answer;
}

static HostAnswer *take_from_stock(HostAnswer **stock)
{
    HostAnswer *answer = *stock;
    *stock = answer->next;
    return answer;
}

void host_free_answers(HostAnswer *stock)
{
    while (stock) {
        free(take_from_stock(&stock));
    }
}

bool host_pay_answers(Host *host)
{
    while (host->owed) {
        const HostAnswer *owed = host->owed;
        Message *message =
            message_response(generation_of(owed->owner), owed->token, false, true, slice_of(ANSWER_LOST));
        if (!message || !router_push(host->router, number_of(owed->owner), message)) return false;
        free(take_from_stock(&host->owed));
    }
    return true;
}

void host_reply(void *context, const SessionReply *reply)
{
    Host *host = context;
    Slice body = reply->ok ? reply->payload : reply->error;
    Message *message = message_response(generation_of(reply->owner), reply->token, reply->ok, reply->last, body);

    host->stats.replies++;
    bool pushed = router_push(host->router, number_of(reply->owner), message);
    if (!reply->last) return;
    HostAnswer *answer = take_from_stock(&host->answers); /* each request that was taken has put one in */
    if (pushed) {
        free(answer);
        return;
    }
    answer->owner = reply->owner;
    answer->token = reply->token;
    put_in_stock(&host->owed, answer);
}

static void refuse(const Post *post, const char *error)
{
    SessionReply reply = {.owner = owner_of(post), .token = post->token, .last = true, .error = slice_of(error)};
    host_reply(post->app->host, &reply);
}

static size_t post_bytes(const Post *post)
{
    return sizeof *post + post->size + buffer_size(&post->request.params);
}

static void run_request(LoopWork *work)
{
    Post *post = post_of(work);
    Host *host = post->app->host;
    AppRequest *request = &post->request;

    host->stats.requests++;
    host_arm_watch(host);
    put_in_stock(&host->answers, post->answer);
    atomic_fetch_sub(&post->app->outbox_bytes, post_bytes(post));
    if (post->full) {
        refuse(post, OUTBOX_FULL);
    } else if (host->client) {
        SessionRequest forward = {.owner = owner_of(post),
                                  .token = post->token,
                                  .method = slice_make(post->text, post->size),
                                  .params = buffer_take(&request->params),
                                  .timeout_ms = request->timeout_ms,
                                  .wait_ms = request->wait_ms,
                                  .final = request->final,
                                  .resend = request->resend};
        client_request(host->client, &forward);
    } else {
        refuse(post, NO_GATEWAY);
    }
    buffer_free(&request->params);
    free(post);
}

static bool port_request(void *context, App *app, uint64_t token, AppRequest *request)
{
    HostApp *host_app = context;
    Post *post = post_new(host_app, run_request, request->method);
    HostAnswer *answer = malloc(sizeof *answer);

    (void)app;
    if (!post || !answer) {
        buffer_free(&request->params);
        free(post);
        free(answer);
        return false;
    }
    post->generation = request->generation & 0xffff;
    post->token = token;
    post->answer = answer;
    post->request = *request;
    post->request.params = buffer_take(&request->params);
    post->full = atomic_load(&host_app->outbox_bytes) + post_bytes(post) > HOST_OUTBOX_BYTES;
    if (post->full) buffer_free(&post->request.params);
    atomic_fetch_add(&host_app->outbox_bytes, post_bytes(post));
    loop_post(host_app->host->loop, &post->work);
    return true;
}

static void run_cancel(LoopWork *work)
{
    Post *post = post_of(work);
    Client *client = post->app->host->client;

    if (client) client_cancel(client, owner_of(post), post->token);
    free(post);
}

/* Without memory the request just runs to its own end, and its answer is dropped. */
static void port_cancel(void *context, App *app, unsigned generation, uint64_t token)
{
    HostApp *host_app = context;
    Post *post = post_new(host_app, run_cancel, (Slice){0});

    (void)app;
    if (!post) return;
    post->generation = generation & 0xffff;
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

    if (post->app->app) subscribe(post->app, slice_make(post->text, post->size), post->wanted);
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

static void run_news(LoopWork *work)
{
    HostApp *app = HEAP_OWNER(work, HostApp, news);

    atomic_store(&app->news_posted, false);
    host_app_news(app);
}

static void port_news(void *context, App *app)
{
    HostApp *host_app = context;

    (void)app;
    if (!atomic_exchange(&host_app->news_posted, true)) loop_post(host_app->host->loop, &host_app->news);
}

static void run_evaluated(LoopWork *work)
{
    Post *post = post_of(work);

    host_evaluated(post->app, post->token, post->wanted, slice_make(post->text, post->size));
    free(post);
}

/* Without memory it is as if it had not come to an end: who asked is told when the app stops. */
static void port_evaluated(void *context, App *app, uint64_t token, bool ok, Slice text)
{
    HostApp *host_app = context;
    Post *post = post_new(host_app, run_evaluated, text);

    (void)app;
    if (!post) return;
    post->token = token;
    post->wanted = ok;
    loop_post(host_app->host->loop, &post->work);
}

AppPort host_port(HostApp *app)
{
    app->news.run = run_news;
    app->relief.run = run_relief;
    app->ended.run = run_ended;
    return (AppPort){.context = app,
                     .request = port_request,
                     .cancel = port_cancel,
                     .subscribe = port_subscribe,
                     .log = port_log,
                     .logs = port_logs,
                     .relieved = port_relieved,
                     .ended = port_ended,
                     .news = port_news,
                     .evaluated = port_evaluated};
}
