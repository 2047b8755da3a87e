/* log_text.c - how a line of the log looks, and what must not reach a terminal.
 *
 *     15:04:05.123 WARN  watcher: describe failed  code=NOT_FOUND attempt=2
 *     {"time":"2026-01-31T14:04:05.123Z","level":"warn","app":"watcher","message":"describe failed","fields":{"code":…}}
 *
 * A message of several lines (a traceback) keeps them in the human form; the later ones are indented, so that no text
 * from outside can pass for a line of ours. */
#include "host/log_text.h"

#include "protocol/json.h"
#include "protocol/utf8.h"

#include <stdint.h>

#define TRACEBACK "traceback" /* the field of that name */

static const struct {
    const char *name, *label, *colour;
} levels[] = {
    [LOG_DEBUG] = {"debug", "DEBUG", "\033[2m"},
    [LOG_INFO] = {"info", "INFO ", "\033[32m"},
    [LOG_WARN] = {"warn", "WARN ", "\033[33m"},
    [LOG_ERROR] = {"error", "ERROR", "\033[31m"},
};

#define DIM "\033[2m"
#define PLAIN "\033[0m"

const char *log_level_name(LogLevel level)
{
    return levels[level].name;
}

bool log_parse_level(const char *text, LogLevel *level)
{
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (strcmp(text, levels[i].name) == 0) {
            *level = (LogLevel)i;
            return true;
        }
    }
    return false;
}

bool log_parse_format(const char *text, LogFormat *format)
{
    *format = strcmp(text, "json") == 0 ? LOG_JSON : LOG_HUMAN;
    return *format == LOG_JSON || strcmp(text, "human") == 0;
}

/* --- what a terminal might obey ------------------------------------------------------------------------------------- */

/* The code point of the character at `at` that a terminal obeys or that reorders text, 0 for a harmless one. `*size` is how
 * many bytes it has. Bytes that are no UTF-8 are for the caller; it sees them one at a time. */
static unsigned unsafe_character(Slice text, size_t at, size_t *size)
{
    unsigned char first = (unsigned char)text.data[at];
    unsigned char second = at + 1 < text.size ? (unsigned char)text.data[at + 1] : 0;
    unsigned char third = at + 2 < text.size ? (unsigned char)text.data[at + 2] : 0;

    *size = 1;
    if (first < 0x20 || first == 0x7f) return first ? first : 0x100; /* U+0000 is told apart by the caller */
    if (first == 0xc2 && second >= 0x80 && second < 0xa0) {          /* C1 */
        *size = 2;
        return second;
    }
    if (first == 0xd8 && second == 0x9c) { /* U+061C, Arabic letter mark */
        *size = 2;
        return 0x61c;
    }
    if (first == 0xe2 && (second == 0x80 || second == 0x81) && third >= 0x80 && third < 0xc0) {
        unsigned code = 0x2000u + ((second & 1u) << 6) + (third & 0x3fu);
        bool moves_text = (code >= 0x200e && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
                          (code >= 0x2066 && code <= 0x2069);
        *size = 3;
        return moves_text ? code : 0;
    }
    return 0;
}

void log_append_plain(Buffer *out, Slice text)
{
    bool valid = utf8_valid(text);
    size_t plain = 0, at = 0;

    while (at < text.size) {
        size_t size;
        unsigned code = unsafe_character(text, at, &size);
        bool stray = !valid && (unsigned char)text.data[at] >= 0x80;
        if (code == '\t' || (code == 0 && !stray)) {
            at += code == 0 ? size : 1;
            continue;
        }
        buffer_append(out, text.data + plain, at - plain);
        if (code == '\n') {
            buffer_append_text(out, "\\n");
        } else if (stray || code < 0x80 || code == 0x100) {
            size = 1;
            buffer_append_format(out, "\\x%02x", (unsigned)(unsigned char)text.data[at]);
        } else {
            buffer_append_format(out, "\\u%04x", code);
        }
        at += size;
        plain = at;
    }
    buffer_append(out, text.data ? text.data + plain : "", text.size - plain);
}

/* The same for JSON text: escapes that mean the character itself. Raw control characters are only white space there. */
void log_append_plain_json(Buffer *out, Slice json)
{
    size_t plain = 0, at = 0;

    while (at < json.size) {
        size_t size;
        unsigned code = unsafe_character(json, at, &size);
        if (code == 0) {
            at += size;
            continue;
        }
        buffer_append(out, json.data + plain, at - plain);
        if (code < 0x20 || code == 0x100) {
            buffer_append_char(out, ' ');
        } else {
            buffer_append_format(out, "\\u%04x", code);
        }
        at += size;
        plain = at;
    }
    buffer_append(out, json.data ? json.data + plain : "", json.size - plain);
}

static void append_json_text(Buffer *out, Slice text)
{
    Buffer quoted = {0};
    json_write_string(&quoted, text);
    log_append_plain_json(out, buffer_slice(&quoted));
    if (quoted.failed) out->failed = true;
    buffer_free(&quoted);
}

/* --- human ----------------------------------------------------------------------------------------------------------- */

/* Plain words go as they are, all else keeps its JSON form. */
static void append_value(Buffer *out, Slice value)
{
    Slice plain = json_plain_string(value);
    bool word = plain.size > 0;

    for (size_t i = 0; i < plain.size && word; i++) {
        unsigned char c = (unsigned char)plain.data[i];
        word = c > ' ' && c != '=' && c != '"';
    }
    if (word) {
        log_append_plain(out, plain);
    } else {
        log_append_plain_json(out, value);
    }
}

/* The later lines are indented. */
static void append_lines(Buffer *out, Slice text)
{
    while (text.size > 0 && text.data[text.size - 1] == '\n') {
        text.size--;
    }
    for (const char *newline; text.size > 0 && (newline = memchr(text.data, '\n', text.size));) {
        size_t size = (size_t)(newline - text.data);
        log_append_plain(out, slice_make(text.data, size));
        buffer_append_text(out, "\n    ");
        text = slice_make(newline + 1, text.size - size - 1);
    }
    log_append_plain(out, text);
}

/* A traceback stands below the line, in lines of its own. */
static void append_traceback(Buffer *out, Slice fields)
{
    Buffer text = {0};
    if (json_get_string(json_find(fields, TRACEBACK), &text)) {
        buffer_append_text(out, "\n    ");
        append_lines(out, buffer_slice(&text));
    }
    buffer_free(&text);
}

static void append_fields(Buffer *out, Slice fields, bool colour)
{
    JsonCursor cursor = json_cursor(fields);
    Slice key, value;
    const char *space = "  ";

    while (json_next_member(&cursor, &key, &value)) {
        if (slice_is(key, TRACEBACK) && json_type(value) == JSON_STRING) continue;
        buffer_append_text(out, space);
        space = " ";
        if (colour) buffer_append_text(out, DIM);
        log_append_plain(out, key);
        buffer_append_char(out, '=');
        if (colour) buffer_append_text(out, PLAIN);
        append_value(out, value);
    }
}

void log_line_human(Buffer *out, const LogLine *line, bool colour)
{
    struct tm local;
    char time_text[16];

    localtime_r(&line->time.tv_sec, &local);
    strftime(time_text, sizeof time_text, "%H:%M:%S", &local);
    if (colour) {
        buffer_append_format(out, DIM "%s.%03ld" PLAIN " %s%s" PLAIN " ", time_text, line->time.tv_nsec / 1000000,
                             levels[line->level].colour, levels[line->level].label);
    } else {
        buffer_append_format(out, "%s.%03ld %s ", time_text, line->time.tv_nsec / 1000000, levels[line->level].label);
    }
    if (line->app && *line->app) {
        log_append_plain(out, slice_of(line->app));
        buffer_append_text(out, ": ");
    }
    append_lines(out, line->message);
    append_fields(out, line->fields, colour);
    append_traceback(out, line->fields);
    buffer_append_char(out, '\n');
}

/* --- JSON ------------------------------------------------------------------------------------------------------------ */

void log_line_json(Buffer *out, const LogLine *line)
{
    struct tm utc;
    char time_text[24];

    gmtime_r(&line->time.tv_sec, &utc);
    strftime(time_text, sizeof time_text, "%Y-%m-%dT%H:%M:%S", &utc);
    buffer_append_format(out, "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\"", time_text, line->time.tv_nsec / 1000000,
                         levels[line->level].name);
    if (line->app && *line->app) {
        buffer_append_text(out, ",\"app\":");
        append_json_text(out, slice_of(line->app));
    }
    buffer_append_text(out, ",\"message\":");
    append_json_text(out, line->message);
    if (line->fields.size > 0) {
        buffer_append_text(out, ",\"fields\":");
        log_append_plain_json(out, line->fields);
    }
    buffer_append_text(out, "}\n");
}
