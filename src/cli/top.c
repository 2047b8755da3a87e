/* top.c - `gatehouse top`: the apps of the running host, every second. Rates are those since the screen before; on the first one,
 * and with --once, those since the host began. */
#include "cli/control_client.h"
#include "cli/status_view.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "protocol/json.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define EVERY_MS 1000
#define MOST_APPS 512

typedef enum { BY_CPU, BY_MEMORY, BY_EVENTS, BY_QUEUE, BY_ERRORS, BY_NAME, ORDERS } Order;

static const struct {
    char key;
    const char *name;
} orders[ORDERS] = {[BY_CPU] = {'c', "cpu"},     [BY_MEMORY] = {'m', "memory"}, [BY_EVENTS] = {'e', "events"},
                    [BY_QUEUE] = {'u', "queue"}, [BY_ERRORS] = {'r', "errors"}, [BY_NAME] = {'n', "name"}};

/* An app as it was on the screen before. */
typedef struct {
    char name[65];
    int64_t handled, cpu_ms;
} Sample;

typedef struct {
    char name[65], running[97];
    Slice json;
    int64_t generation, handled, errors, queued, memory_bytes, limit_bytes, p99_us;
    bool draining, stuck, off;
    double events_s, cpu_percent;
} Row;

typedef struct {
    ControlClient client;
    Terminal terminal;
    Order order;
    Sample samples[MOST_APPS];
    size_t sample_count;
    int64_t uptime_ms; /* of the host at that time; 0: none yet */
    Row rows[MOST_APPS];
    size_t row_count;
} Top;

/* --- what the host said ---------------------------------------------------------------------------------------------------------- */

static const Sample *find_sample(const Top *top, const char *name)
{
    for (size_t i = 0; i < top->sample_count; i++) {
        if (strcmp(top->samples[i].name, name) == 0) return &top->samples[i];
    }
    return NULL;
}

static void read_handlers(Row *row, Slice handlers)
{
    JsonCursor cursor = json_cursor(handlers);
    Slice handler;

    while (json_next_element(&cursor, &handler)) {
        int64_t p99_us = view_int(json_find(handler, "latency_us"), "p99", 0);
        if (p99_us > row->p99_us) row->p99_us = p99_us;
        if (json_is_true(json_find(handler, "off"))) row->off = true;
    }
}

static void read_row(const Top *top, Slice app, int64_t passed_ms, Row *row)
{
    *row = (Row){.json = app};
    (void)json_copy_string(json_find(app, "name"), row->name, sizeof row->name);
    (void)json_copy_string(json_find(app, "running"), row->running, sizeof row->running);
    row->generation = view_int(app, "generation", 0);
    row->handled = view_int(app, "handled", 0);
    row->errors = view_int(app, "errors", 0);
    row->queued = view_int(json_find(app, "inbox"), "count", 0) + view_int(json_find(app, "inbox"), "spilled", 0);
    row->memory_bytes = view_int(json_find(app, "memory"), "used_bytes", 0);
    row->limit_bytes = view_int(json_find(app, "memory"), "limit_bytes", 0);
    row->draining = json_type(json_find(app, "draining")) == JSON_NUMBER;
    row->stuck = json_is_true(json_find(app, "stuck"));
    read_handlers(row, json_find(app, "handlers"));
    const Sample *before = find_sample(top, row->name);
    int64_t handled = before ? before->handled : 0, cpu_ms = before ? before->cpu_ms : 0;
    int64_t cpu_now_ms = view_int(app, "cpu_ms", 0);
    /* A counter that went back began anew. */
    if (row->handled >= handled && passed_ms > 0)
        row->events_s = (double)(row->handled - handled) * 1000 / (double)passed_ms;
    if (cpu_now_ms >= cpu_ms && passed_ms > 0)
        row->cpu_percent = (double)(cpu_now_ms - cpu_ms) * 100 / (double)passed_ms;
}

static void read_rows(Top *top, Slice status)
{
    int64_t uptime_ms = view_int(json_find(status, "host"), "uptime_ms", 0);
    JsonCursor cursor = json_cursor(json_find(status, "apps"));
    Slice app;

    top->row_count = 0;
    while (top->row_count < MOST_APPS && json_next_element(&cursor, &app)) {
        read_row(top, app, uptime_ms - top->uptime_ms, &top->rows[top->row_count++]);
    }
    for (size_t i = 0; i < top->row_count; i++) {
        const Row *row = &top->rows[i];
        top->samples[i] = (Sample){.handled = row->handled, .cpu_ms = view_int(row->json, "cpu_ms", 0)};
        (void)snprintf(top->samples[i].name, sizeof top->samples[i].name, "%s", row->name);
    }
    top->sample_count = top->row_count;
    top->uptime_ms = uptime_ms;
}

static int descending(double a, double b)
{
    return (a < b) - (a > b);
}

static int compare(const Row *a, const Row *b, Order order)
{
    int result = 0;

    switch (order) {
    case BY_CPU: result = descending(a->cpu_percent, b->cpu_percent); break;
    case BY_MEMORY: result = descending((double)a->memory_bytes, (double)b->memory_bytes); break;
    case BY_EVENTS: result = descending(a->events_s, b->events_s); break;
    case BY_QUEUE: result = descending((double)a->queued, (double)b->queued); break;
    case BY_ERRORS: result = descending((double)a->errors, (double)b->errors); break;
    case BY_NAME:
    case ORDERS: break;
    }
    return result ? result : strcmp(a->name, b->name);
}

/* Insertion: they are nearly in order from one second to the next, and qsort has no room for the order. */
static void sort_rows(Top *top)
{
    for (size_t i = 1; i < top->row_count; i++) {
        Row row = top->rows[i];
        size_t at = i;
        for (; at > 0 && compare(&row, &top->rows[at - 1], top->order) < 0; at--) {
            top->rows[at] = top->rows[at - 1];
        }
        top->rows[at] = row;
    }
}

/* --- the table -------------------------------------------------------------------------------------------------------------------- */

static void add_row(Table *table, const Row *row)
{
    char size[VIEW_TEXT], p99[VIEW_TEXT];
    double full = row->limit_bytes > 0 ? (double)row->memory_bytes * 100 / (double)row->limit_bytes : 0;
    const char *state = row->stuck ? "stuck" : row->off ? "off" : row->draining ? "reloads" : "";

    table_add(table, TABLE_PLAIN, slice_of(row->name));
    table_add_format(table, TABLE_PLAIN, "%" PRId64, row->generation);
    table_add_format(table, TABLE_PLAIN, "%.0f", row->events_s);
    table_add_format(table, TABLE_PLAIN, "%" PRId64, row->handled);
    table_add_format(table, row->errors > 0 ? TABLE_BAD : TABLE_PLAIN, "%" PRId64, row->errors);
    table_add_format(table, TABLE_PLAIN, "%" PRId64, row->queued);
    table_add_format(table, TABLE_PLAIN, "%.1f", row->cpu_percent);
    table_add(table, TABLE_PLAIN, slice_of(view_size(row->memory_bytes, size)));
    table_add_format(table, full >= 80 ? TABLE_WARN : TABLE_PLAIN, "%.0f", full);
    table_add(table, TABLE_PLAIN, slice_of(view_micros(row->p99_us, p99)));
    table_add(table, row->stuck || row->off ? TABLE_BAD : TABLE_WARN, slice_of(state));
    table_add(table, TABLE_DIM, slice_of(row->running));
}

static void write_table(Top *top, bool colour, Buffer *out)
{
    static const char *const titles[] = {"app",  "gen",    "events/s", "handled", "errors", "queued",
                                         "cpu%", "memory", "of%",      "p99",     "",       "runs"};
    Table table = {.align = "lrrrrrrrrrll"};

    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++) {
        table_add(&table, TABLE_DIM, slice_of(titles[i]));
    }
    for (size_t i = 0; i < top->row_count; i++) {
        add_row(&table, &top->rows[i]);
    }
    table_write(&table, 0, colour, out);
    table_free(&table);
}

static void write_screen(Top *top, Slice status, bool colour, Buffer *out)
{
    read_rows(top, status);
    sort_rows(top);
    view_host(out, status, colour);
    view_connection(out, status, colour);
    buffer_append_char(out, '\n');
    write_table(top, colour, out);
}

/* --- the screen ------------------------------------------------------------------------------------------------------------------- */

/* A line, cut at the width; escape sequences take no room. */
static void append_cut(Buffer *out, Slice line, int columns)
{
    int used = 0;

    for (size_t i = 0; i < line.size; i++) {
        if (line.data[i] == '\033') {
            size_t end = i;
            while (end < line.size && line.data[end] != 'm') {
                end++;
            }
            buffer_append(out, line.data + i, end < line.size ? end - i + 1 : end - i);
            i = end;
            continue;
        }
        if (((unsigned char)line.data[i] & 0xc0) != 0x80) used++;
        if (used <= columns) buffer_append_char(out, line.data[i]);
    }
    buffer_append_text(out, TABLE_END "\033[K");
}

static void append_keys(const Top *top, Buffer *out)
{
    buffer_append_text(out, "sort:");
    for (int i = 0; i < ORDERS; i++) {
        bool chosen = top->order == (Order)i;
        buffer_append_format(out, " %s%c %s%s", chosen ? "\033[7m" : "", orders[i].key, orders[i].name,
                             chosen ? TABLE_END : "");
    }
    buffer_append_text(out, "   q quit");
}

/* Fills the screen from its top: no flicker, since nothing is cleared first. The keys are in the last row. */
static bool show(const Top *top, Slice text)
{
    Buffer out = {0}, keys = {0};
    int columns, rows, row = 0;

    terminal_size(&columns, &rows);
    buffer_append_text(&out, "\033[H");
    while (text.size > 0 && row + 1 < rows) {
        const char *newline = memchr(text.data, '\n', text.size);
        size_t size = newline ? (size_t)(newline - text.data) : text.size, used = newline ? size + 1 : size;
        append_cut(&out, slice_make(text.data, size), columns);
        buffer_append_char(&out, '\n');
        text = slice_make(text.data + used, text.size - used);
        row++;
    }
    buffer_append_format(&out, "\033[J\033[%d;1H", rows);
    append_keys(top, &keys);
    append_cut(&out, buffer_slice(&keys), columns);
    Slice all = buffer_slice(&out);
    bool shown = fwrite(all.data, 1, all.size, stdout) == all.size && fflush(stdout) == 0;
    buffer_free(&keys);
    buffer_free(&out);
    return shown;
}

static bool colours(void)
{
    const char *none = getenv("NO_COLOR");
    return !none || !*none;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

typedef enum { GO_ON, REFRESH, QUIT } Wish;

static Wish read_keys(Top *top)
{
    char keys[64];
    ssize_t got = read(STDIN_FILENO, keys, sizeof keys);
    Wish wish = GO_ON;

    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) return QUIT; /* the terminal is gone */
    for (ssize_t i = 0; i < got; i++) {
        if (keys[i] == 'q' || keys[i] == 'Q' || keys[i] == 3) return QUIT;
        for (int order = 0; order < ORDERS; order++) {
            if ((keys[i] | 32) != orders[order].key) continue;
            top->order = (Order)order;
            wish = REFRESH;
        }
    }
    return wish;
}

static Wish obey(Top *top, int signal)
{
    if (signal == SIGTSTP) return terminal_suspend(&top->terminal) ? REFRESH : QUIT;
    return signal == SIGWINCH ? REFRESH : QUIT;
}

/* Until the next screen is due. */
static Wish wait_for_wish(Top *top, int64_t due_ms)
{
    Slice line;

    for (;;) {
        int64_t left_ms = due_ms - now_ms();
        if (left_ms <= 0) return REFRESH;
        switch (control_client_read(&top->client, (int)left_ms, &line)) {
        case CONTROL_LINE: break; /* nothing was asked */
        case CONTROL_SILENT: return REFRESH;
        case CONTROL_INTERRUPTED: return obey(top, terminal_next_signal(top->client.signal_fd));
        case CONTROL_DEAF:
        case CONTROL_GONE: return REFRESH; /* asking tells */
        case CONTROL_INPUT: {
            Wish wish = read_keys(top);
            if (wish != GO_ON) return wish;
        }
        }
    }
}

/* Returns CLI_OK when the user has seen enough. */
static int watch(Top *top)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP};
    ControlClient *client = &top->client;
    Slice status;
    Wish wish = GO_ON;
    bool answered = true, shown = true;
    int signal = 0;

    client->signal_fd = terminal_watch_signals(signals, sizeof signals / sizeof *signals);
    client->input_fd = STDIN_FILENO;
    while (wish != QUIT && shown) {
        Buffer request = control_client_request(client, "status"), out = {0};
        answered = control_client_ask(client, &request, &status);
        if (!answered) signal = client->signal_fd >= 0 ? terminal_next_signal(client->signal_fd) : 0;
        /* The answer that comes later is passed over. */
        if (!answered && (signal == SIGWINCH || signal == SIGTSTP) && obey(top, signal) == REFRESH) continue;
        if (!answered) break;
        write_screen(top, status, colours(), &out);
        shown = show(top, buffer_slice(&out));
        buffer_free(&out);
        if (shown) wish = wait_for_wish(top, now_ms() + EVERY_MS);
    }
    terminal_give_back(&top->terminal);
    if (client->signal_fd >= 0) close(client->signal_fd);
    return answered || signal != 0 ? CLI_OK : control_client_fail(client);
}

static int print_once(Top *top)
{
    const Command *command = top->client.context.command;
    Buffer request = control_client_request(&top->client, "status"), out = {0};
    Slice status;

    if (!control_client_ask(&top->client, &request, &status)) return control_client_fail(&top->client);
    write_screen(top, status, log_wants_colour(STDOUT_FILENO), &out);
    Slice text = buffer_slice(&out);
    bool written = fwrite(text.data, 1, text.size, stdout) == text.size && fflush(stdout) == 0;
    buffer_free(&out);
    return written ? CLI_OK : command_fail(command, CLI_FAILED, "stdout cannot be written: %s", strerror(errno));
}

static int top_main(const Command *command, const Parsed *parsed)
{
    if (parsed->count > 0)
        return command_misused(command, "it takes no argument, and there is \"%s\"", parsed->arguments[0]);
    Top *top = calloc(1, sizeof *top);
    if (!top) return command_fail(command, CLI_FAILED, "there is not enough memory");
    int status = control_client_open(&top->client, command, parsed);
    if (status == CLI_OK && parsed->values[OPTION_ONCE]) {
        status = print_once(top);
    } else if (status == CLI_OK && !terminal_take(&top->terminal)) {
        status = command_fail(command, CLI_FAILED, "it needs a terminal; --once prints once without one");
    } else if (status == CLI_OK) {
        status = watch(top);
    }
    control_client_close(&top->client);
    free(top);
    return status;
}

static const OptionId own_options[] = {OPTION_ONCE};

const Command command_top = {
    .name = "top",
    .arguments = "",
    .summary = "Watch the apps of the running host",
    .details = "Every second: what each app handles, fails, has in its queue, takes of CPU and\n"
               "memory. Keys: c, m, e, u, r, n sort by CPU time, memory, events, queue,\n"
               "errors, name; q or ctrl-C ends.\n",
    .options = {own_options, sizeof own_options / sizeof *own_options},
    .shared = &control_options,
    .run = top_main,
};
