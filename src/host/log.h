/* log.h - the structured log on stderr. Any thread logs; one thread writes, so that a stalled stderr stalls nobody.
 *
 * Lines wait in a ring of LOG_RING_BYTES. One that would be longer than LOG_LINE_BYTES is cut and says so. What does not fit is dropped and counted, and the count is written as soon as
 * there is room again. Texts may come from the wire: control characters leave as escapes, in both formats. */
#ifndef GATEHOUSE_HOST_LOG_H
#define GATEHOUSE_HOST_LOG_H

#include "app/port.h"

#define LOG_RING_BYTES (1u << 20)
#define LOG_LINE_BYTES (256u << 10)
#define LOG_FLUSH_MS 1000 /* how long log_free waits for a stalled reader */

typedef struct Log Log;

typedef enum { LOG_HUMAN, LOG_JSON } LogFormat;

typedef struct {
    LogLevel level; /* lines below it are not written */
    LogFormat format;
    bool colour; /* of the human form; see log_wants_colour */
    int fd;      /* borrowed; is left blocking or not as it is */
} LogConfig;

/* "debug", "info", "warn", "error"; "human", "json". False for another text. */
bool log_parse_level(const char *text, LogLevel *level);
bool log_parse_format(const char *text, LogFormat *format);

/* Whether `fd` is a terminal that wants colours (NO_COLOR, TERM=dumb). */
bool log_wants_colour(int fd);

/* Starts the writing thread. NULL without memory or thread. */
Log *log_new(const LogConfig *config);
/* Writes what waits, as far as the reader takes it within LOG_FLUSH_MS, and ends the thread. NULL is fine. */
void log_free(Log *log);

/* The waiting alone: for a process that ends while other threads may still log. */
void log_flush(Log *log);

/* Any thread; never waits for the reader. `app` may be NULL; `fields` is a raw JSON object or empty. */
void log_write(Log *log, LogLevel level, const char *app, Slice message, Slice fields);
void log_print(Log *log, LogLevel level, const char *app, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
bool log_writes(const Log *log, LogLevel level);

/* Appends `text` with everything escaped that a terminal might obey: control characters, and what reorders text. */
void log_append_plain(Buffer *out, Slice text);
/* The same for JSON text, which stays JSON that means the same, and becomes one line. */
void log_append_plain_json(Buffer *out, Slice json);

typedef struct {
    uint64_t lines, dropped;
} LogStats;
void log_stats(Log *log, LogStats *out);

/* "The same message once in a while": true when it may be written again; `*skipped` is how often it was not since then.
 * All zero allows the first. For one thread. */
typedef struct {
    int64_t next_ms;
    uint64_t skipped;
} LogLimit;
bool log_allow(LogLimit *limit, int64_t now_ms, int64_t every_ms, uint64_t *skipped);

#endif
