/* control_status.c - what `status` tells, as JSON. Its fields are documented in docs/control.md and stay: a field may be added, none
 * changes its meaning. What is not known is null. */
#include "host/control_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static void write_null(Buffer *out, const char *key)
{
    json_write_member_raw(out, key, slice_of("null"));
}

static void write_text_or_null(Buffer *out, const char *key, const char *text)
{
    if (text && *text) {
        json_write_member_string(out, key, text);
    } else {
        write_null(out, key);
    }
}

static void write_int_or_null(Buffer *out, const char *key, int64_t value, bool known)
{
    if (known) {
        json_write_member_int(out, key, value);
    } else {
        write_null(out, key);
    }
}

static void write_count(Buffer *out, const char *key, uint64_t count)
{
    json_write_member_int(out, key, (int64_t)(count < INT64_MAX ? count : INT64_MAX));
}

static void open_object(Buffer *out, const char *key)
{
    json_write_key(out, key);
    buffer_append_char(out, '{');
}

/* --- the host ------------------------------------------------------------------------------------------------------------------ */

/* Resident memory; -1 if /proc is not there. */
static int64_t resident_bytes(void)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    const char *second = NULL;

    if (fd >= 0) close(fd);
    text[got > 0 ? got : 0] = '\0';
    second = strchr(text, ' ');
    return second ? strtoll(second, NULL, 10) * sysconf(_SC_PAGESIZE) : -1;
}

static int64_t cpu_ms(void)
{
    struct rusage used;

    if (getrusage(RUSAGE_SELF, &used) != 0) return 0;
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
           (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
}

static const char *state_name(HostState state)
{
    static const char *const names[] = {"loading", "running", "stopping", "closing", "ended"};
    return names[state];
}

static void write_host(Buffer *out, const Control *control)
{
    const Host *host = control->host;
    HostStats stats;
    LogStats log;
    int64_t resident = resident_bytes();

    host_stats(host, &stats);
    log_stats(host->log, &log);
    open_object(out, "host");
    json_write_member_int(out, "pid", getpid());
    json_write_member_string(out, "version", GATEHOUSE_VERSION);
    json_write_member_string(out, "state", state_name(host->state));
    json_write_member_string(out, "state_dir", control->state_dir);
    json_write_member_int(out, "started_at_ms", control->started_wall_ms);
    json_write_member_int(out, "uptime_ms", loop_now_ms(host->loop) - control->started_ms);
    json_write_member_int(out, "cpu_ms", cpu_ms());
    write_int_or_null(out, "rss_bytes", resident, resident >= 0);
    open_object(out, "events");
    write_count(out, "received", stats.events);
    write_count(out, "unwanted", stats.unwanted);
    write_count(out, "refused", stats.refused);
    write_count(out, "late", stats.late);
    write_count(out, "withheld", stats.withheld);
    write_count(out, "lost", stats.lost);
    buffer_append_char(out, '}');
    open_object(out, "requests");
    write_count(out, "made", stats.requests);
    write_count(out, "answered", stats.replies);
    buffer_append_char(out, '}');
    open_object(out, "reading");
    json_write_member_bool(out, "paused", host->pressing > 0);
    write_count(out, "pauses", stats.pauses);
    json_write_member_int(out, "paused_ms", stats.paused_ms);
    buffer_append_char(out, '}');
    open_object(out, "log");
    write_count(out, "lines", log.lines);
    write_count(out, "dropped", log.dropped);
    buffer_append_text(out, "}}");
}

/* --- the connection ------------------------------------------------------------------------------------------------------------ */

/* The gateway's list, of which only texts are taken over. */
static void write_scopes(Buffer *out, Slice hello)
{
    JsonCursor cursor = json_cursor(json_find(json_find(hello, "auth"), "scopes"));
    Slice element;
    Buffer scope = {0};
    bool first = true;

    json_write_key(out, "scopes");
    buffer_append_char(out, '[');
    while (json_next_element(&cursor, &element)) {
        buffer_clear(&scope);
        if (!json_get_string(element, &scope)) continue;
        if (!first) buffer_append_char(out, ',');
        first = false;
        (void)json_write_string(out, buffer_slice(&scope));
    }
    buffer_append_char(out, ']');
    buffer_free(&scope);
}

static void write_requests(Buffer *out, const SessionStatus *status)
{
    open_object(out, "requests");
    write_count(out, "in_flight", status->in_flight);
    write_count(out, "waiting", status->in_line);
    write_count(out, "made", status->requests);
    write_count(out, "ok", status->ended_ok);
    write_count(out, "errors", status->ended_error);
    write_count(out, "timeouts", status->ended_timeout);
    write_count(out, "disconnected", status->ended_disconnected);
    write_count(out, "refused", status->ended_refused);
    write_count(out, "cancelled", status->ended_cancelled);
    write_count(out, "late_responses", status->late_responses);
    buffer_append_char(out, '}');
}

static void write_problem(Buffer *out, const Control *control)
{
    if (!control->problem) {
        write_null(out, "problem");
        return;
    }
    open_object(out, "problem");
    json_write_member_string(out, "message", control->problem);
    json_write_member_int(out, "at_ms", control->problem_wall_ms);
    buffer_append_char(out, '}');
}

static void write_connection(Buffer *out, const Control *control)
{
    const Client *client = control->host->client;
    int64_t now_ms = loop_now_ms(control->host->loop);
    SessionStatus status;

    if (!client) {
        write_null(out, "connection");
        return;
    }
    client_status(client, &status);
    bool ready = status.state == SESSION_READY;
    open_object(out, "connection");
    json_write_member_string(out, "url", client_url(client));
    json_write_member_string(out, "state", session_state_name(status.state));
    json_write_member_int(out, "since_at_ms", control_wall_ms() - (now_ms - status.since_ms));
    json_write_member_int(out, "for_ms", now_ms - status.since_ms);
    write_problem(out, control);
    write_int_or_null(out, "protocol", status.protocol, status.protocol > 0);
    write_text_or_null(out, "server_version", status.server_version);
    write_text_or_null(out, "conn_id", status.conn_id);
    write_scopes(out, ready ? client_hello(client) : (Slice){0});
    write_count(out, "attempts", status.attempts);
    write_count(out, "connections", status.readies);
    write_count(out, "reconnects", status.readies > 0 ? status.readies - 1 : 0);
    write_int_or_null(out, "tick_age_ms", now_ms - status.last_tick_ms, ready);
    json_write_member_int(out, "tick_interval_ms", status.tick_interval_ms);
    write_int_or_null(out, "last_seq", status.last_seq, status.last_seq >= 0);
    write_count(out, "gaps", status.gaps);
    write_count(out, "missed_events", status.missed_events);
    write_count(out, "odd_frames", status.odd_frames);
    write_requests(out, &status);
    buffer_append_char(out, '}');
}

/* --- apps ---------------------------------------------------------------------------------------------------------------------- */

static void write_handler(Buffer *out, const HandlerStatus *handler)
{
    buffer_append_char(out, '{');
    json_write_member_string(out, "event", handler->pattern);
    json_write_member_string(out, "label", handler->label);
    write_count(out, "handled", handler->handled);
    write_count(out, "errors", handler->errors);
    write_count(out, "skipped", handler->skipped);
    write_count(out, "queued", handler->queued);
    write_count(out, "running", handler->running);
    json_write_member_bool(out, "off", handler->off);
    open_object(out, "latency_us");
    json_write_member_int(out, "p50", handler->latency.p50_us);
    json_write_member_int(out, "p95", handler->latency.p95_us);
    json_write_member_int(out, "p99", handler->latency.p99_us);
    json_write_member_int(out, "max", handler->latency.max_us);
    buffer_append_text(out, "}}");
}

static void add_handler(void *context, const HandlerStatus *handler)
{
    Buffer *out = context;

    if (buffer_size(out) > 0 && out->base[out->end - 1] == '}') buffer_append_char(out, ',');
    write_handler(out, handler);
}

static void write_sizes(Buffer *out, const AppStatus *status)
{
    open_object(out, "memory");
    write_count(out, "used_bytes", status->memory_bytes);
    write_count(out, "peak_bytes",
                status->memory_peak_bytes > status->memory_bytes ? status->memory_peak_bytes : status->memory_bytes);
    write_count(out, "limit_bytes", status->memory_limit_bytes);
    buffer_append_char(out, '}');
    open_object(out, "inbox");
    write_count(out, "count", status->inbox.count);
    write_count(out, "bytes", status->inbox.bytes);
    write_count(out, "peak_count", status->inbox.peak_count);
    write_count(out, "peak_bytes", status->inbox.peak_bytes);
    write_count(out, "pushed", status->inbox.pushed);
    write_count(out, "taken", status->inbox.taken);
    write_count(out, "spilled", status->inbox.spilled);
    write_count(out, "disk_bytes", status->inbox.spill.disk_bytes);
    buffer_append_char(out, '}');
}

static const char *app_state(const HostApp *app)
{
    if (app->has_ended) return "ended";
    if (app->removing || app->host->state > HOST_RUNNING) return "stopping";
    return app->started ? "running" : "loading";
}

static void write_dead_letters(Buffer *out, const HostApp *app)
{
    DeadLetterStats stats;

    app_dead_stats(app->app, &stats);
    open_object(out, "dead_letters");
    write_count(out, "count", stats.count);
    write_count(out, "added", stats.added);
    write_count(out, "evicted", stats.evicted);
    write_count(out, "retried", stats.taken);
    buffer_append_char(out, '}');
}

static void write_app(Buffer *out, HostApp *app)
{
    Host *host = app->host;
    AppStatus status;

    app_status(app->app, loop_now_ms(host->loop), &status);
    buffer_append_char(out, '{');
    json_write_member_string(out, "name", app_name(app->app));
    json_write_member_string(out, "path", app_path(app->app));
    json_write_member_string(out, "state", app_state(app));
    json_write_member_int(out, "generation", status.generation);
    json_write_member_int(out, "loaded_at_ms", status.loaded_ms);
    write_int_or_null(out, "loading", status.incoming, status.incoming > 0);
    write_int_or_null(out, "draining", status.draining, status.draining > 0);
    json_write_member_int(out, "abandoned", status.abandoned);
    write_text_or_null(out, "running", status.running);
    json_write_member_int(out, "running_ms", *status.running ? status.busy_ms : 0);
    json_write_member_bool(out, "stuck", app->stuck);
    write_count(out, "handled", status.handled);
    write_count(out, "errors", status.errors);
    json_write_member_int(out, "cpu_ms", status.cpu_ms);
    write_sizes(out, &status);
    open_object(out, "dropped");
    write_count(out, "handler_queue", status.dropped);
    write_count(out, "withheld", app->withheld + router_withheld(host->router, app->number).count);
    write_count(out, "oldest", status.inbox.dropped_oldest);
    write_count(out, "newest", status.inbox.dropped_newest);
    write_count(out, "overflow", status.inbox.refused + status.inbox.spill.lost);
    write_count(out, "skipped", status.skipped);
    buffer_append_char(out, '}');
    write_dead_letters(out, app);
    open_object(out, "reloads");
    write_count(out, "done", status.reloads);
    write_count(out, "failed", status.failed_reloads);
    write_count(out, "rollbacks", status.rollbacks);
    write_text_or_null(out, "last_error", app->last_failure);
    buffer_append_char(out, '}');
    json_write_key(out, "handlers");
    buffer_append_char(out, '[');
    app_each_handler(app->app, add_handler, out);
    buffer_append_text(out, "]}");
}

void control_write_status(Buffer *out, const Control *control)
{
    const Host *host = control->host;

    buffer_append_char(out, '{');
    write_host(out, control);
    write_connection(out, control);
    json_write_key(out, "apps");
    buffer_append_char(out, '[');
    for (int i = 0; i < host->app_count; i++) {
        if (!host->apps[i]->app) continue; /* it is gone */
        if (!out->failed && out->base[out->end - 1] != '[') buffer_append_char(out, ',');
        write_app(out, host->apps[i]);
    }
    buffer_append_text(out, "]}");
}
