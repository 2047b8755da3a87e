/* json_write.c - appends JSON to a buffer: scalars, and the members of the small objects that C writes itself. */
#include "protocol/json_scan.h"
#include "protocol/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* --- strings -------------------------------------------------------------------------------------------------------------- */

static void write_escape(Buffer *out, char c)
{
    switch (c) {
    case '"': buffer_append(out, "\\\"", 2); break;
    case '\\': buffer_append(out, "\\\\", 2); break;
    case '\b': buffer_append(out, "\\b", 2); break;
    case '\f': buffer_append(out, "\\f", 2); break;
    case '\n': buffer_append(out, "\\n", 2); break;
    case '\r': buffer_append(out, "\\r", 2); break;
    case '\t': buffer_append(out, "\\t", 2); break;
    default: buffer_append_format(out, "\\u%04x", (unsigned)(unsigned char)c); break;
    }
}

/* Writes valid text without quotes. */
static void write_text(Buffer *out, const char *at, const char *end)
{
    while (at < end) {
        const char *stop = json_plain_end(at, end);
        buffer_append(out, at, (size_t)(stop - at));
        if (stop < end) write_escape(out, *stop++);
        at = stop;
    }
}

/* Bytes of the character at `at`, 0 if it is none. */
static size_t character_size(const char *at, const char *end)
{
    uint32_t state = UTF8_ACCEPT;
    for (size_t size = 0; at + size < end && state != UTF8_REJECT;) {
        state = utf8_check(state, slice_make(at + size, 1));
        size++;
        if (state == UTF8_ACCEPT) return size;
    }
    return 0;
}

bool json_write_string(Buffer *out, Slice text)
{
    bool valid = utf8_valid(text);
    buffer_append_char(out, '"');
    if (valid && text.size) {
        write_text(out, text.data, text.data + text.size);
    } else if (text.size) {
        const char *at = text.data, *end = text.data + text.size;
        while (at < end) {
            size_t size = character_size(at, end);
            if (size) {
                write_text(out, at, at + size);
                at += size;
            } else {
                buffer_append(out, "\xEF\xBF\xBD", 3);
                at++;
            }
        }
    }
    buffer_append_char(out, '"');
    return valid;
}

/* --- numbers -------------------------------------------------------------------------------------------------------------- */

void json_write_int(Buffer *out, int64_t number)
{
    char text[24];
    char *at = text + sizeof text;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (number < 0) *--at = '-';
    buffer_append(out, at, (size_t)(text + sizeof text - at));
}

#define DIGITS_MAX 17 /* significant ones: enough for every double */
#define DOUBLE_TEXT_SIZE 48

typedef struct {
    char digits[DIGITS_MAX]; /* without trailing zeros; the value is 0.d1d2d3… * 10^point */
    int count;
    int point;
} Decimal;

/* Rounds a positive number to `precision` significant digits. Whatever the locale's decimal point is, it is no digit. */
static Decimal round_to_digits(double number, int precision)
{
    Decimal decimal = {.count = 0};
    char text[DOUBLE_TEXT_SIZE];
    snprintf(text, sizeof text, "%.*e", precision - 1, number);
    const char *at = text;
    for (; *at != 'e'; at++) {
        if (*at >= '0' && *at <= '9') decimal.digits[decimal.count++] = *at;
    }
    decimal.point = (int)strtol(at + 1, NULL, 10) + 1;
    while (decimal.count > 1 && decimal.digits[decimal.count - 1] == '0') {
        decimal.count--;
    }
    return decimal;
}

/* Copies the digits from `first` to before `last`, zeros for those that are not there. */
static char *put_digits(char *out, const Decimal *decimal, int first, int last)
{
    for (int i = first; i < last; i++) {
        *out++ = i >= 0 && i < decimal->count ? decimal->digits[i] : '0';
    }
    return out;
}

/* From 0.00001 to 10^17 as digits with a point, beyond as digits with an exponent. Returns the end of the text. */
static char *format_decimal(char *out, const Decimal *decimal)
{
    bool fixed = decimal->point >= -4 && decimal->point <= DIGITS_MAX;
    int point = fixed ? decimal->point : 1;
    out = put_digits(out, decimal, point > 0 ? 0 : point - 1, point);
    if (fixed || decimal->count > 1) {
        *out++ = '.';
        out = put_digits(out, decimal, point, decimal->count > point ? decimal->count : point + 1);
    }
    if (!fixed) out += snprintf(out, 8, "e%d", decimal->point - 1);
    return out;
}

bool json_write_double(Buffer *out, double number)
{
    if (!isfinite(number)) return false;
    char text[DOUBLE_TEXT_SIZE];
    char *end = text;
    if (signbit(number)) {
        buffer_append_char(out, '-');
        number = -number;
    }
    for (int precision = 15; precision <= DIGITS_MAX; precision++) {
        Decimal decimal = round_to_digits(number, precision);
        end = format_decimal(text, &decimal);
        double read = 0;
        if (json_get_double(slice_make(text, (size_t)(end - text)), &read) && read == number) break;
    }
    buffer_append(out, text, (size_t)(end - text));
    return true;
}

/* --- objects -------------------------------------------------------------------------------------------------------------- */

void json_write_key(Buffer *out, const char *key)
{
    Slice written = buffer_slice(out);
    char last = written.size ? written.data[written.size - 1] : '{';
    if (last != '{' && last != '[') buffer_append_char(out, ',');
    json_write_string(out, slice_of(key));
    buffer_append_char(out, ':');
}

void json_write_member_string(Buffer *out, const char *key, const char *text)
{
    if (!text) return;
    json_write_key(out, key);
    json_write_string(out, slice_of(text));
}

void json_write_member_int(Buffer *out, const char *key, int64_t number)
{
    json_write_key(out, key);
    json_write_int(out, number);
}

void json_write_member_bool(Buffer *out, const char *key, bool flag)
{
    json_write_key(out, key);
    buffer_append_text(out, flag ? "true" : "false");
}

void json_write_member_raw(Buffer *out, const char *key, Slice value)
{
    if (value.size == 0) return;
    json_write_key(out, key);
    buffer_append_slice(out, value);
}
