/* host.c - the life of a host, and what the connection brings on its way to the apps. */
#include "host/host.h"

#include "host/host_events.h"
#include "host/host_private.h"
#include "protocol/json.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define AGAIN_MS \
    200 /* a second signal within this time is the same one: timeout(1) sends it to the process and to its group */
#define STOP_GRACE_MS 500 /* on top of the apps' own limits, before one is left behind */

/* --- from the connection to the apps -------------------------------------------------------------------------------------- */

static int64_t wall_clock_ms(Host *host)
{
    if (host->wall_ms == 0) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        host->wall_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    }
    return host->wall_ms;
}

/* The name without JSON escapes; the empty slice for one that is no text. */
static Slice event_name(Host *host, Slice raw)
{
    if (!memchr(raw.data, '\\', raw.size)) return raw;
    Slice quoted = {raw.data - 1, raw.size + 2}; /* the frame has the quotes around it */
    buffer_clear(&host->name);
    if (!json_get_string(quoted, &host->name)) buffer_clear(&host->name);
    return buffer_slice(&host->name);
}

static void on_event(void *context, const Frame *frame)
{
    Host *host = context;
    Slice name = event_name(host, frame->event);

    host->stats.events++;
    if (host->state != HOST_RUNNING) {
        host->stats.late++;
    } else if (name.size == 0 || name.data[0] == '@') {
        host->stats.refused++;
    } else {
        EventFields event = {.name = name,
                             .payload = frame->payload,
                             .state_version = frame->state_version,
                             .seq = frame->seq,
                             .received_ms = wall_clock_ms(host),
                             .connection = host->connection};
        if (router_event(host->router, &event) == 0) host->stats.unwanted++;
    }
}

void host_event(Host *host, const char *name, Slice payload)
{
    EventFields event = {.name = slice_of(name),
                         .payload = payload,
                         .seq = -1,
                         .received_ms = wall_clock_ms(host),
                         .connection = host->connection};

    if (host->state == HOST_RUNNING) (void)router_event(host->router, &event);
}

/* What gw.info() tells from now on comes first, the event about it second. */
static void tell_state(Host *host, const SessionStatus *status, Slice hello)
{
    Buffer info = {0};

    host_write_info(&info, status, hello);
    (void)router_push_all(host->router, info.failed ? NULL : message_connection(buffer_slice(&info)));
    buffer_free(&info);
}

void host_welcome(HostApp *app)
{
    Host *host = app->host;
    SessionStatus status;
    Buffer info = {0}, ready = {0};

    if (!host->client) return;
    Slice hello = client_hello(host->client);
    client_status(host->client, &status);
    host_write_info(&info, &status, hello);
    (void)router_push(host->router, app->number, info.failed ? NULL : message_connection(buffer_slice(&info)));
    if (status.state == SESSION_READY) {
        host_write_ready(&ready, &status, hello);
        EventFields event = {.name = slice_of("@ready"),
                             .payload = buffer_slice(&ready),
                             .seq = -1,
                             .received_ms = wall_clock_ms(host),
                             .connection = host->connection};
        (void)router_push(host->router, app->number, ready.failed ? NULL : message_event(&event));
    }
    buffer_free(&info);
    buffer_free(&ready);
}

static void on_notice(void *context, const SessionNotice *notice)
{
    Host *host = context;
    Slice hello = client_hello(host->client);
    SessionStatus status;
    Buffer payload = {0};

    client_status(host->client, &status);
    host->connection = status.connection;
    switch (notice->type) {
    case SESSION_NOTICE_DIALING: tell_state(host, &status, hello); break;
    case SESSION_NOTICE_READY:
        tell_state(host, &status, hello);
        host_write_ready(&payload, &status, hello);
        host_event(host, "@ready", buffer_slice(&payload));
        break;
    case SESSION_NOTICE_CLOSED:
        tell_state(host, &status, hello);
        host_write_closed(&payload, notice);
        host_event(host, "@closed", buffer_slice(&payload));
        break;
    case SESSION_NOTICE_PAUSED:
        tell_state(host, &status, hello);
        host_write_paused(&payload, notice);
        host_event(host, "@paused", buffer_slice(&payload));
        break;
    case SESSION_NOTICE_GAP:
        host_write_gap(&payload, notice);
        host_event(host, "@gap", buffer_slice(&payload));
        break;
    case SESSION_NOTICE_SHUTDOWN:
    case SESSION_NOTICE_ODD: break;
    }
    buffer_free(&payload);
    control_notice(host->control, notice);
    if (host->sink.notice) host->sink.notice(host->sink.context, notice);
}

static void on_turn_end(void *context)
{
    Host *host = context;
    bool paid = host_pay_answers(host);
    size_t lost = router_flush(host->router, host_pushed, host);

    host->wall_ms = 0;
    if (!paid || router_waits(host->router)) host_arm_watch(host); /* which makes a turn that tries again */
    if (lost == 0) return;
    host->stats.lost += lost;
    log_print(host->log, LOG_ERROR, NULL, "not enough memory: %zu messages to apps were lost", lost);
}

/* --- construction ------------------------------------------------------------------------------------------------------------ */

static void stop_limit(void *context);
static void finish(void *context);

Host *host_new(Loop *loop, Log *log, const HostSink *sink)
{
    Host *host = calloc(1, sizeof *host);
    if (!host) return NULL;
    host->router = router_new();
    if (!host->router) {
        free(host);
        return NULL;
    }
    host->loop = loop;
    host->log = log;
    host->sink = *sink;
    host->clean = true;
    host->turn = (LoopTurn){.end = on_turn_end, .context = host};
    host->watch = (LoopTimer){.fire = host_watch, .context = host};
    host->limit = (LoopTimer){.fire = stop_limit, .context = host};
    host->patience = (LoopTimer){.fire = host_out_of_patience, .context = host};
    host->finish = (LoopSoon){.run = finish, .context = host};
    host->answer = (LoopSoon){.run = host_answer_asked, .context = host};
    loop_on_turn_end(loop, &host->turn);
    return host;
}

void host_free(Host *host)
{
    bool all_back = true;

    if (!host) return;
    (void)loop_timer_set(host->loop, &host->watch, HEAP_NEVER);
    (void)loop_timer_set(host->loop, &host->limit, HEAP_NEVER);
    (void)loop_timer_set(host->loop, &host->patience, HEAP_NEVER);
    loop_not_soon(host->loop, &host->finish);
    loop_not_soon(host->loop, &host->answer);
    loop_off_turn_end(host->loop, &host->turn);
    client_free(host->client);
    host->client = NULL;
    for (int i = 0; i < host->app_count; i++) {
        HostApp *app = host->apps[i];
        host_stop_watching_files(app);
        atomic_store(&app->awaited, true);
        if (app->app && !app_free(app->app)) {
            all_back = false;
            continue;
        }
        app->app = NULL;
        host_reloads_end(app);
        host_evals_end(app);
        if (app->started && !app->has_ended) all_back = false;
    }
    host_asked_free(host->asked); /* which tells those who asked over the control socket */
    control_free(host->control);
    host->control = NULL;
    if (!all_back) return; /* a thread, or work that one has posted, still points at us; the process is about to end */
    for (int i = 0; i < host->app_count; i++) {
        free(host->apps[i]);
    }
    router_free(host->router);
    host_free_answers(host->answers);
    host_free_answers(host->owed);
    buffer_free(&host->name);
    free(host->apps);
    free(host);
}

static void on_stopped(void *context)
{
    finish(context);
}

bool host_connect(Host *host, const Config *config, char *problem, size_t problem_size)
{
    ClientSink sink = {
        .context = host, .event = on_event, .reply = host_reply, .notice = on_notice, .stopped = on_stopped};
    ClientConfig client = {.config = config, .log = host->log};

    host->client = client_new(host->loop, &client, &sink, problem, problem_size);
    return host->client != NULL;
}

bool host_start(Host *host)
{
    for (int i = 0; i < host->app_count; i++) {
        if (host->apps[i]->app && !app_start(host->apps[i]->app)) return false;
        host->apps[i]->started = host->apps[i]->app != NULL;
    }
    host->state = HOST_RUNNING;
    if (host->client) client_start(host->client);
    return true;
}

/* --- the end ------------------------------------------------------------------------------------------------------------------ */

static void finish(void *context)
{
    Host *host = context;

    if (host->state == HOST_ENDED) return;
    host->state = HOST_ENDED;
    host_tell_counters(host);
    host->sink.ended(host->sink.context, host->clean);
}

static void close_connection(Host *host)
{
    host->state = HOST_CLOSING;
    (void)loop_timer_set(host->loop, &host->limit, HEAP_NEVER);
    if (host->client) {
        client_stop(host->client);
    } else {
        loop_soon(host->loop, &host->finish);
    }
}

/* Those that only load yet have to come to the end of that. */
static bool all_ended(const Host *host)
{
    for (int i = 0; i < host->app_count; i++) {
        if (host->apps[i]->app && !host->apps[i]->has_ended) return false;
    }
    return true;
}

void host_look_at_end(Host *host)
{
    if (host->state == HOST_STOPPING && all_ended(host)) close_connection(host);
}

void host_app_ended(HostApp *app)
{
    Host *host = app->host;

    app->has_ended = true;
    host_stop_watching_files(app);
    host_reloads_end(app);
    host_evals_end(app);
    if (app->app && !app_ended_well(app->app)) host->stats.spoiled++; /* NULL: host_free was before */
    if (app->removing) host_removed(app);
    host_look_at_end(host);
}

/* The apps' time is over. */
static void stop_limit(void *context)
{
    Host *host = context;

    for (int i = 0; i < host->app_count; i++) {
        const HostApp *app = host->apps[i];
        AppStatus status;
        if (!app->app || app->has_ended) continue;
        host->clean = false;
        app_status(app->app, loop_now_ms(host->loop), &status);
        const char *what = *status.running    ? "; it runs "
                           : status.abandoned ? "; a generation that was replaced has not come back"
                           : status.incoming  ? "; the generation that was to be the next one still loads"
                                              : "";
        log_print(host->log, LOG_ERROR, app_name(app->app), "it did not stop in time and is left behind%s%s", what,
                  status.running);
    }
    close_connection(host);
}

static void stop_apps(Host *host)
{
    bool running = host->state == HOST_RUNNING;

    (void)router_flush(host->router, host_pushed, host); /* what came before the stop is in front of it */
    host->state = HOST_STOPPING;
    host_release_all(host); /* last, since the flush may have filled an inbox */
    for (int i = 0; i < host->app_count && running; i++) {
        if (host->apps[i]->started && !host->apps[i]->has_ended) app_stop(host->apps[i]->app);
    }
    if (!running || all_ended(host)) {
        close_connection(host);
    } else {
        (void)loop_timer_set(host->loop, &host->limit, loop_now_ms(host->loop) + host->stop_ms + STOP_GRACE_MS);
    }
}

void host_stop(Host *host)
{
    switch (host->state) {
    case HOST_NEW:
    case HOST_RUNNING: stop_apps(host); break;
    case HOST_STOPPING: stop_limit(host); break;
    case HOST_CLOSING: loop_soon(host->loop, &host->finish); break;
    case HOST_ENDED: break;
    }
}

static void on_signal(void *context, int number)
{
    Host *host = context;

    if (number == SIGHUP) {
        if (host->hangup) host->hangup(host->hangup_context);
        return;
    }
    const char *name = number == SIGINT ? "SIGINT" : "SIGTERM";
    int64_t now_ms = loop_now_ms(host->loop);
    if (host->signal) {
        if (now_ms - host->signal_ms < AGAIN_MS) return;
        log_print(host->log, LOG_WARN, NULL, "%s again: ending at once", name);
        log_flush(host->log);
        _exit(EXIT_FAILURE);
    }
    host->signal = name;
    host->signal_ms = now_ms;
    log_print(host->log, LOG_INFO, NULL, "%s: stopping; once more ends at once", name);
    host_stop(host);
}

bool host_on_signals(Host *host, void (*hangup)(void *context), void *context)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

    host->hangup = hangup;
    host->hangup_context = context;
    return loop_on_signals(host->loop, signals, sizeof signals / sizeof *signals, on_signal, host);
}

/* --- to look at ------------------------------------------------------------------------------------------------------------- */

void host_patterns(Host *host, const App *app, void (*each)(void *context, Slice pattern), void *context)
{
    for (int i = 0; i < host->app_count; i++) {
        if (app && host->apps[i]->app == app) router_patterns(host->router, i, each, context);
    }
}

Client *host_client(Host *host)
{
    return host->client;
}

void host_stats(const Host *host, HostStats *out)
{
    *out = host->stats;
    for (int i = 0; i < host->app_count; i++) {
        out->withheld += router_withheld(host->router, i).count; /* and is not back yet */
    }
    if (host->pressing > 0) out->paused_ms += loop_now_ms(host->loop) - host->paused_since_ms;
}
