/* status_view.c - see status_view.h. */
#include "cli/status_view.h"

#include "cli/table.h"
#include "host/log.h"
#include "protocol/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* --- numbers in words ---------------------------------------------------------------------------------------------------------- */

const char *view_duration(int64_t ms, char text[VIEW_TEXT])
{
    int64_t s = ms / 1000;

    if (ms < 1000) {
        (void)snprintf(text, VIEW_TEXT, "%" PRId64 " ms", ms > 0 ? ms : 0);
    } else if (s < 60) {
        (void)snprintf(text, VIEW_TEXT, "%.1f s", (double)ms / 1000);
    } else if (s < 3600) {
        (void)snprintf(text, VIEW_TEXT, "%" PRId64 " min %" PRId64 " s", s / 60, s % 60);
    } else if (s < 86400) {
        (void)snprintf(text, VIEW_TEXT, "%" PRId64 " h %" PRId64 " min", s / 3600, s / 60 % 60);
    } else {
        (void)snprintf(text, VIEW_TEXT, "%" PRId64 " d %" PRId64 " h", s / 86400, s / 3600 % 24);
    }
    return text;
}

const char *view_micros(int64_t us, char text[VIEW_TEXT])
{
    if (us < 1000) {
        (void)snprintf(text, VIEW_TEXT, "%" PRId64 " us", us);
    } else if (us < 1000000) {
        (void)snprintf(text, VIEW_TEXT, "%.1f ms", (double)us / 1e3);
    } else {
        (void)snprintf(text, VIEW_TEXT, "%.1f s", (double)us / 1e6);
    }
    return text;
}

const char *view_size(int64_t bytes, char text[VIEW_TEXT])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)bytes;
    int unit = 0;

    while (size >= 1024 && unit < 4) {
        size /= 1024;
        unit++;
    }
    (void)snprintf(text, VIEW_TEXT, unit > 0 && size < 10 ? "%.1f %s" : "%.0f %s", size, units[unit]);
    return text;
}

int64_t view_int(Slice object, const char *key, int64_t otherwise)
{
    int64_t number;
    return json_get_int(json_find(object, key), &number) ? number : otherwise;
}

/* --- pieces -------------------------------------------------------------------------------------------------------------------- */

static void append_text(Buffer *out, Slice value)
{
    Buffer text = {0};

    (void)json_get_string(value, &text);
    log_append_plain(out, buffer_slice(&text));
    buffer_free(&text);
}

/* Of a traceback the first line, which says what went wrong. */
static void append_first_line(Buffer *out, Slice value)
{
    Buffer text = {0};

    (void)json_get_string(value, &text);
    Slice all = buffer_slice(&text);
    const char *newline = memchr(all.data, '\n', all.size);
    log_append_plain(out, newline ? slice_make(all.data, (size_t)(newline - all.data)) : all);
    buffer_free(&text);
}

static void append_styled(Buffer *out, TableStyle style, bool colour, Slice value)
{
    if (colour) buffer_append_text(out, table_style(style));
    append_text(out, value);
    if (colour) buffer_append_text(out, TABLE_END);
}

static void append_title(Buffer *out, const char *title, bool colour)
{
    buffer_append_format(out, "%s%-12s%s", colour ? table_style(TABLE_BOLD) : "", title, colour ? TABLE_END : "");
}

static bool is_there(Slice value)
{
    return value.size > 0 && json_type(value) != JSON_NULL;
}

/* "1 gap", "2 gaps". */
static void append_count(Buffer *out, int64_t count, const char *word)
{
    buffer_append_format(out, "%" PRId64 " %s%s", count, word, count == 1 ? "" : "s");
}

/* ", 3 lost" for a number that is not 0. */
static void append_unless_0(Buffer *out, Slice object, const char *key, const char *word)
{
    int64_t number = view_int(object, key, 0);
    if (number != 0) buffer_append_format(out, ", %" PRId64 " %s", number, word);
}

/* --- the host ------------------------------------------------------------------------------------------------------------------ */

void view_host(Buffer *out, Slice status, bool colour)
{
    Slice host = json_find(status, "host"), events = json_find(host, "events"), reading = json_find(host, "reading");
    char up[VIEW_TEXT], cpu[VIEW_TEXT], size[VIEW_TEXT], paused[VIEW_TEXT];

    append_title(out, "host", colour);
    bool runs = slice_is(json_plain_string(json_find(host, "state")), "running");
    append_styled(out, runs ? TABLE_GOOD : TABLE_WARN, colour, json_find(host, "state"));
    buffer_append_format(out, " for %s: process %" PRId64 "\n            gatehouse ",
                         view_duration(view_int(host, "uptime_ms", 0), up), view_int(host, "pid", 0));
    append_text(out, json_find(host, "version"));
    buffer_append_format(out, ", %s of CPU time, %s\n", view_duration(view_int(host, "cpu_ms", 0), cpu),
                         view_size(view_int(host, "rss_bytes", 0), size));

    append_title(out, "events", colour);
    buffer_append_format(out, "%" PRId64 " received, %" PRId64 " of them for no app", view_int(events, "received", 0),
                         view_int(events, "unwanted", 0));
    append_unless_0(out, events, "refused", "refused");
    append_unless_0(out, events, "late", "after the stop began");
    append_unless_0(out, events, "withheld", "kept from apps that were stuck");
    append_unless_0(out, events, "lost", "lost for want of memory");
    if (json_is_true(json_find(reading, "paused"))) buffer_append_text(out, "; reading waits for an app now");
    if (view_int(reading, "pauses", 0) > 0)
        buffer_append_format(out, "; reading has waited for apps %" PRId64 " times, %s altogether",
                             view_int(reading, "pauses", 0), view_duration(view_int(reading, "paused_ms", 0), paused));
    if (view_int(json_find(host, "log"), "dropped", 0) > 0)
        buffer_append_format(out, "; %" PRId64 " log lines dropped", view_int(json_find(host, "log"), "dropped", 0));
    buffer_append_char(out, '\n');
}

static void view_scopes(Buffer *out, Slice scopes)
{
    JsonCursor cursor = json_cursor(scopes);
    Slice scope;
    const char *space = ", scopes ";

    while (json_next_element(&cursor, &scope)) {
        buffer_append_text(out, space);
        append_text(out, scope);
        space = " ";
    }
}

static void view_ready(Buffer *out, Slice connection)
{
    char age[VIEW_TEXT], interval[VIEW_TEXT];

    buffer_append_format(out, "            protocol %" PRId64 ", gateway ", view_int(connection, "protocol", 0));
    append_text(out, json_find(connection, "server_version"));
    view_scopes(out, json_find(connection, "scopes"));
    buffer_append_format(out, "\n            last tick %s ago (due every %s)",
                         view_duration(view_int(connection, "tick_age_ms", 0), age),
                         view_duration(view_int(connection, "tick_interval_ms", 0), interval));
}

void view_connection(Buffer *out, Slice status, bool colour)
{
    Slice connection = json_find(status, "connection"), requests = json_find(connection, "requests");
    Slice problem = json_find(connection, "problem");
    char duration[VIEW_TEXT];

    append_title(out, "connection", colour);
    if (!is_there(connection)) {
        buffer_append_text(out, "none\n");
        return;
    }
    bool ready = slice_is(json_plain_string(json_find(connection, "state")), "ready");
    append_styled(out, ready ? TABLE_GOOD : TABLE_WARN, colour, json_find(connection, "state"));
    buffer_append_format(out, " for %s: ", view_duration(view_int(connection, "for_ms", 0), duration));
    append_text(out, json_find(connection, "url"));
    buffer_append_char(out, '\n');
    if (is_there(problem)) {
        buffer_append_text(out, "            ");
        append_styled(out, TABLE_WARN, colour, json_find(problem, "message"));
        buffer_append_char(out, '\n');
    }
    if (ready) {
        view_ready(out, connection);
    } else {
        buffer_append_text(out, "            no connection");
    }
    buffer_append_text(out, ", ");
    append_count(out, view_int(connection, "reconnects", 0), "reconnect");
    buffer_append_text(out, ", ");
    append_count(out, view_int(connection, "gaps", 0), "gap");
    append_unless_0(out, connection, "missed_events", "events missed in them");
    buffer_append_text(out, "\n            ");
    append_count(out, view_int(requests, "made", 0), "request");
    buffer_append_format(out, ", %" PRId64 " in flight, %" PRId64 " waiting", view_int(requests, "in_flight", 0),
                         view_int(requests, "waiting", 0));
    append_unless_0(out, requests, "errors", "answered with an error");
    append_unless_0(out, requests, "timeouts", "timeouts");
    append_unless_0(out, requests, "disconnected", "ended by a disconnect");
    append_unless_0(out, requests, "refused", "refused");
    buffer_append_char(out, '\n');
}

/* --- apps ---------------------------------------------------------------------------------------------------------------------- */

static void add_latency(Table *table, Slice latency, const char *key)
{
    char text[VIEW_TEXT];
    table_add(table, TABLE_PLAIN, slice_of(view_micros(view_int(latency, key, 0), text)));
}

static void add_count(Table *table, Slice object, const char *key, TableStyle unless_0)
{
    int64_t number = view_int(object, key, 0);
    table_add_format(table, number != 0 ? unless_0 : TABLE_PLAIN, "%" PRId64, number);
}

static bool any_has(Slice handlers, const char *key)
{
    JsonCursor cursor = json_cursor(handlers);
    Slice handler;

    while (json_next_element(&cursor, &handler)) {
        if (view_int(handler, key, 0) != 0) return true;
    }
    return false;
}

typedef struct {
    const char *key; /* in the handler, or in its latency_us */
    const char *title;
    TableStyle unless_0;
    bool latency;
    bool rare; /* left out where there is none: the table shall fit in 80 columns */
} HandlerColumn;

static const HandlerColumn handler_columns[] = {
    {"handled", "calls", TABLE_PLAIN, false, false}, {"errors", "errors", TABLE_BAD, false, false},
    {"skipped", "skipped", TABLE_WARN, false, true}, {"queued", "queued", TABLE_PLAIN, false, true},
    {"p50", "p50", TABLE_PLAIN, true, false},        {"p95", "p95", TABLE_PLAIN, true, false},
    {"p99", "p99", TABLE_PLAIN, true, false},        {"max", "max", TABLE_PLAIN, true, false},
};

#define HANDLER_COLUMNS (sizeof handler_columns / sizeof *handler_columns)

static void add_handler(Table *table, Slice handler, const bool *shown)
{
    Slice latency = json_find(handler, "latency_us");
    Buffer label = {0};

    (void)json_get_string(json_find(handler, "label"), &label);
    table_add(table, TABLE_PLAIN, buffer_slice(&label));
    buffer_free(&label);
    for (size_t i = 0; i < HANDLER_COLUMNS; i++) {
        const HandlerColumn *column = &handler_columns[i];
        if (!shown[i]) continue;
        if (column->latency) {
            add_latency(table, latency, column->key);
        } else {
            add_count(table, handler, column->key, column->unless_0);
        }
    }
    table_add(table, TABLE_BAD, slice_of(json_is_true(json_find(handler, "off")) ? "off" : ""));
}

static void view_handlers(Buffer *out, Slice handlers, bool colour)
{
    char align[TABLE_COLUMNS + 1] = "l";
    size_t columns = 1;
    bool shown[HANDLER_COLUMNS];
    Table table = {.align = align};
    JsonCursor cursor = json_cursor(handlers);
    Slice handler;
    bool any = false;

    table_add(&table, TABLE_DIM, slice_of("handler"));
    for (size_t i = 0; i < HANDLER_COLUMNS; i++) {
        shown[i] = !handler_columns[i].rare || any_has(handlers, handler_columns[i].key);
        if (!shown[i]) continue;
        table_add(&table, TABLE_DIM, slice_of(handler_columns[i].title));
        align[columns++] = 'r';
    }
    table_add(&table, TABLE_DIM, slice_of(""));
    align[columns++] = 'l';
    align[columns] = '\0';
    while (json_next_element(&cursor, &handler)) {
        add_handler(&table, handler, shown);
        any = true;
    }
    if (any) table_write(&table, 4, colour, out);
    table_free(&table);
}

static void append_time(Buffer *out, int64_t at_ms)
{
    time_t seconds = (time_t)(at_ms / 1000);
    struct tm local;
    char text[32];

    localtime_r(&seconds, &local);
    if (strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local) > 0) buffer_append_text(out, text);
}

/* What an operator would want to know, and only if there is something. */
static void view_troubles(Buffer *out, Slice app, bool colour)
{
    Slice dropped = json_find(app, "dropped"), reloads = json_find(app, "reloads");
    Slice letters = json_find(app, "dead_letters");
    char duration[VIEW_TEXT];

    if (is_there(json_find(app, "running")) && view_int(app, "running_ms", 0) >= 1000) {
        buffer_append_text(out, "    it runs ");
        append_styled(out, TABLE_WARN, colour, json_find(app, "running"));
        buffer_append_format(out, " for %s\n", view_duration(view_int(app, "running_ms", 0), duration));
    }
    if (json_is_true(json_find(app, "stuck"))) buffer_append_text(out, "    it is stuck: it takes no events\n");
    if (is_there(json_find(app, "loading")))
        buffer_append_format(out, "    generation %" PRId64 " loads\n", view_int(app, "loading", 0));
    if (view_int(app, "abandoned", 0) > 0) {
        buffer_append_text(out, "    ");
        append_count(out, view_int(app, "abandoned", 0), "thread");
        buffer_append_text(out, " of replaced generations did not come back\n");
    }
    if (is_there(json_find(app, "draining")))
        buffer_append_format(out, "    generation %" PRId64 " finishes what it had begun\n",
                             view_int(app, "draining", 0));
    if (view_int(dropped, "handler_queue", 0) > 0)
        buffer_append_format(out, "    %" PRId64 " events dropped at the queue of a handler or at the stop\n",
                             view_int(dropped, "handler_queue", 0));
    if (view_int(dropped, "withheld", 0) > 0)
        buffer_append_format(out, "    %" PRId64 " events kept from it while it was stuck\n",
                             view_int(dropped, "withheld", 0));
    if (view_int(dropped, "oldest", 0) + view_int(dropped, "newest", 0) > 0)
        buffer_append_format(out, "    %" PRId64 " events dropped as drop_oldest and drop_newest say\n",
                             view_int(dropped, "oldest", 0) + view_int(dropped, "newest", 0));
    if (view_int(dropped, "overflow", 0) > 0)
        buffer_append_format(out, "    %" PRId64 " messages lost on the way to the disk and back\n",
                             view_int(dropped, "overflow", 0));
    if (view_int(json_find(app, "inbox"), "spilled", 0) > 0)
        buffer_append_format(
            out, "    it does not keep up: %" PRId64 " messages wait beyond the inbox, on the disk as a rule\n",
            view_int(json_find(app, "inbox"), "spilled", 0));
    if (view_int(letters, "count", 0) > 0) {
        buffer_append_text(out, "    ");
        append_count(out, view_int(letters, "count", 0), "dead letter");
        buffer_append_text(out, " (gatehouse dead ");
        append_text(out, json_find(app, "name"));
        buffer_append_text(out, " lists them)\n");
    }
    if (view_int(reloads, "done", 0) + view_int(reloads, "failed", 0) > 0) {
        buffer_append_text(out, "    ");
        append_count(out, view_int(reloads, "done", 0), "reload");
        append_unless_0(out, reloads, "failed", "failed");
        append_unless_0(out, reloads, "rollbacks", "rolled back");
        buffer_append_char(out, '\n');
    }
    if (is_there(json_find(reloads, "last_error"))) {
        buffer_append_text(out, "    last reload: ");
        if (colour) buffer_append_text(out, table_style(TABLE_BAD));
        append_first_line(out, json_find(reloads, "last_error"));
        if (colour) buffer_append_text(out, TABLE_END);
        buffer_append_char(out, '\n');
    }
}

static void view_app(Buffer *out, Slice app, bool colour)
{
    Slice memory = json_find(app, "memory"), inbox = json_find(app, "inbox");
    char cpu[VIEW_TEXT], used[VIEW_TEXT], limit[VIEW_TEXT], bytes[VIEW_TEXT];

    buffer_append_char(out, '\n');
    append_styled(out, TABLE_BOLD, colour, json_find(app, "name"));
    buffer_append_format(out, "  generation %" PRId64, view_int(app, "generation", 0));
    if (view_int(app, "loaded_at_ms", 0) > 0) {
        buffer_append_text(out, " since ");
        append_time(out, view_int(app, "loaded_at_ms", 0));
    }
    buffer_append_text(out, ", from ");
    append_text(out, json_find(app, "path"));
    bool failed = colour && view_int(app, "errors", 0) > 0;
    buffer_append_text(out, "\n    ");
    append_count(out, view_int(app, "handled", 0), "call");
    buffer_append_format(out, ", %s", failed ? table_style(TABLE_BAD) : "");
    append_count(out, view_int(app, "errors", 0), "error");
    buffer_append_format(out, "%s, %s of CPU time, %s of %s memory\n    inbox: %" PRId64 " (%s)\n",
                         failed ? TABLE_END : "", view_duration(view_int(app, "cpu_ms", 0), cpu),
                         view_size(view_int(memory, "used_bytes", 0), used),
                         view_size(view_int(memory, "limit_bytes", 0), limit), view_int(inbox, "count", 0),
                         view_size(view_int(inbox, "bytes", 0), bytes));
    view_troubles(out, app, colour);
    view_handlers(out, json_find(app, "handlers"), colour);
}

void view_apps(Buffer *out, Slice status, bool colour)
{
    JsonCursor cursor = json_cursor(json_find(status, "apps"));
    Slice app;

    while (json_next_element(&cursor, &app)) {
        view_app(out, app, colour);
    }
}
