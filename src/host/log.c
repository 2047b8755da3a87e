/* log.c - lines are made on the thread that logs and written by the outlet's. */
#define _GNU_SOURCE /* vasprintf */
#include "host/log.h"

#include "host/log_text.h"
#include "host/outlet.h"

#include "protocol/utf8.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CUT_MESSAGE_BYTES (32u << 10) /* even if each byte leaves as an escape of six, it is within LOG_LINE_BYTES */

struct Log {
    LogConfig config;
    Outlet *outlet;
    atomic_ullong lines, dropped;
    atomic_ullong untold; /* of the dropped: not yet reported */
};

bool log_wants_colour(int fd)
{
    const char *refusal = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(fd) && !(refusal && *refusal) && !(terminal && strcmp(terminal, "dumb") == 0);
}

static void append_line(const Log *log, Buffer *text, const LogLine *line)
{
    if (log->config.format == LOG_JSON) {
        log_line_json(text, line);
    } else {
        log_line_human(text, line, log->config.colour);
    }
}

/* The message's beginning, and in place of the fields how much is missing. */
static void append_cut_line(const Log *log, Buffer *text, LogLine line)
{
    char fields[64];
    size_t kept = utf8_prefix(line.message, CUT_MESSAGE_BYTES);

    (void)snprintf(fields, sizeof fields, "{\"cut_bytes\":%zu}", line.message.size - kept + line.fields.size);
    line.message.size = kept;
    line.fields = slice_of(fields);
    append_line(log, text, &line);
}

/* Returns false if there was no room. */
static bool put_line(Log *log, LogLevel level, const char *app, Slice message, Slice fields)
{
    LogLine line = {.level = level, .app = app, .message = message, .fields = fields};
    Buffer text = {0};

    clock_gettime(CLOCK_REALTIME, &line.time);
    append_line(log, &text, &line);
    if (buffer_size(&text) > LOG_LINE_BYTES) {
        buffer_clear(&text);
        append_cut_line(log, &text, line);
    }
    bool put = !text.failed && outlet_put(log->outlet, buffer_slice(&text)) > 0;
    buffer_free(&text);
    return put;
}

/* On the writing thread: there is room again. */
static void report_dropped(void *context, int error)
{
    Log *log = context;
    char message[96];
    unsigned long long untold = atomic_exchange(&log->untold, 0);

    if (error || untold == 0) return;
    (void)snprintf(message, sizeof message, "%llu lines of the log were dropped: stderr did not take them in time",
                   untold);
    if (put_line(log, LOG_WARN, NULL, slice_of(message), (Slice){0})) {
        atomic_fetch_add(&log->lines, 1);
    } else {
        atomic_fetch_add(&log->untold, untold);
    }
}

Log *log_new(const LogConfig *config)
{
    Log *log = calloc(1, sizeof *log);
    if (!log) return NULL;
    log->config = *config;
    log->outlet = outlet_new(
        &(OutletConfig){.fd = config->fd, .limit_bytes = LOG_RING_BYTES, .context = log, .wrote = report_dropped});
    if (log->outlet) return log;
    free(log);
    return NULL;
}

void log_free(Log *log)
{
    if (!log) return;
    (void)outlet_free(log->outlet, LOG_FLUSH_MS);
    free(log);
}

void log_flush(Log *log)
{
    (void)outlet_flush(log->outlet, LOG_FLUSH_MS);
}

void log_write(Log *log, LogLevel level, const char *app, Slice message, Slice fields)
{
    if (!log_writes(log, level)) return;
    if (put_line(log, level, app, message, fields)) {
        atomic_fetch_add(&log->lines, 1);
    } else {
        atomic_fetch_add(&log->dropped, 1);
        atomic_fetch_add(&log->untold, 1);
    }
}

void log_print(Log *log, LogLevel level, const char *app, const char *format, ...)
{
    char *message = NULL;
    va_list arguments;

    if (!log_writes(log, level)) return;
    va_start(arguments, format);
    int size = vasprintf(&message, format, arguments);
    va_end(arguments);
    if (size < 0) return;
    log_write(log, level, app, slice_make(message, (size_t)size), (Slice){0});
    free(message);
}

bool log_writes(const Log *log, LogLevel level)
{
    return level >= log->config.level;
}

void log_stats(Log *log, LogStats *out)
{
    *out = (LogStats){.lines = atomic_load(&log->lines), .dropped = atomic_load(&log->dropped)};
}

bool log_allow(LogLimit *limit, int64_t now_ms, int64_t every_ms, uint64_t *skipped)
{
    if (now_ms < limit->next_ms) {
        limit->skipped++;
        return false;
    }
    *skipped = limit->skipped;
    *limit = (LogLimit){.next_ms = now_ms + every_ms};
    return true;
}
