/* log_text.h - a line of the log as text, in both formats. */
#ifndef GATEHOUSE_HOST_LOG_TEXT_H
#define GATEHOUSE_HOST_LOG_TEXT_H

#include "host/log.h"

#include <time.h>

typedef struct {
    struct timespec time; /* wall clock */
    LogLevel level;
    const char *app; /* NULL: the host itself */
    Slice message;
    Slice fields; /* raw JSON object or empty */
} LogLine;

/* Both append the line with its newline. */
void log_line_human(Buffer *out, const LogLine *line, bool colour);
void log_line_json(Buffer *out, const LogLine *line);

const char *log_level_name(LogLevel level); /* "debug", … static */

#endif
