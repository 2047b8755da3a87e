/* json_scalar.c - reads one string, number or boolean out of its raw text. */
#include "protocol/json_scan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned digit_of(char c)
{
    return (unsigned)(unsigned char)c - '0'; /* over 9 for anything else */
}

/* --- numbers -------------------------------------------------------------------------------------------------------------- */

#define SIGNIFICANT_DIGITS 800    /* a double is decided by 768; one more digit stands for all that follow */
#define EXPONENT_LIMIT 1000000000 /* beyond it nothing changes: larger than any text is long */

/* The double nearest to digits * 10^exponent; `digits` may hold a '.', which counts for nothing. The text handed to strtod
 * has no decimal point, since that is a matter of the locale. */
static double read_decimal(const char *digits, const char *end, int64_t exponent)
{
    char text[SIGNIFICANT_DIGITS + 32];
    size_t length = 0;
    bool dropped = false;
    for (; digits < end; digits++) {
        if (*digits == '.' || (length == 0 && *digits == '0')) continue;
        if (length < SIGNIFICANT_DIGITS) {
            text[length++] = *digits;
        } else {
            exponent++;
            dropped |= *digits != '0';
        }
    }
    if (length == 0) return 0.0;
    if (dropped) {
        text[length++] = '1';
        exponent--;
    }
    snprintf(text + length, sizeof text - length, "e%lld", (long long)exponent);
    return strtod(text, NULL);
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && digit_of(*at) < 10) {
        at++;
    }
    return at;
}

/* Reads digits onto `mantissa`, which is exact as long as it got no more than 19 of them. */
static const char *read_digits(const char *at, const char *end, uint64_t *mantissa)
{
    uint64_t value = *mantissa;
    for (unsigned digit; at < end && (digit = digit_of(*at)) < 10; at++) {
        value = value * 10 + digit;
    }
    *mantissa = value;
    return at;
}

/* Reads what may follow the 'e'; returns NULL if there is no digit. */
static const char *read_exponent(const char *at, const char *end, int64_t *exponent)
{
    bool negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+')) at++;
    const char *behind = skip_digits(at, end);
    if (behind == at) return NULL;
    int64_t value = 0;
    for (; at < behind; at++) {
        value = value * 10 + digit_of(*at);
        if (value > EXPONENT_LIMIT) value = EXPONENT_LIMIT;
    }
    *exponent = negative ? -value : value;
    return behind;
}

const char *json_read_number(const char *at, const char *end, JsonNumber *number)
{
    static const double powers_of_ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                           1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    number->is_integer = false;
    number->real = 0;
    bool negative = at < end && *at == '-';
    const char *digits = at + negative;
    uint64_t mantissa = 0;
    at = read_digits(digits, end, &mantissa);
    int64_t count = at - digits, exponent = 0;
    if (count == 0 || (count > 1 && *digits == '0')) return NULL;

    bool is_integer = true;
    if (at < end && *at == '.') {
        const char *fraction = at + 1;
        at = read_digits(fraction, end, &mantissa);
        if (at == fraction) return NULL;
        is_integer = false;
        count += at - fraction;
        exponent = fraction - at;
    }
    const char *digits_end = at;
    if (at < end && (*at == 'e' || *at == 'E')) {
        int64_t written = 0;
        at = read_exponent(at + 1, end, &written);
        if (!at) return NULL;
        is_integer = false;
        exponent += written;
    }

    if (is_integer && (count < 19 || (count == 19 && mantissa <= (uint64_t)INT64_MAX + negative))) {
        number->is_integer = true;
        number->integer = negative ? (int64_t)(0 - mantissa) : (int64_t)mantissa;
        return at;
    }
    double real;
    if (count <= 15 && exponent >= -22 && exponent <= 22) {
        /* Both are exact doubles, so one operation rounds once. */
        real = exponent < 0 ? (double)mantissa / powers_of_ten[-exponent] : (double)mantissa * powers_of_ten[exponent];
    } else {
        real = read_decimal(digits, digits_end, exponent);
    }
    number->real = negative ? -real : real;
    return isinf(real) ? NULL : at;
}

static bool read_whole_number(Slice value, JsonNumber *number)
{
    if (value.size == 0) return false;
    const char *end = value.data + value.size;
    return json_read_number(value.data, end, number) == end;
}

bool json_get_int(Slice value, int64_t *number)
{
    JsonNumber read;
    if (!read_whole_number(value, &read)) return false;
    if (!read.is_integer) {
        /* Up to here a double tells the integers apart. */
        if (fabs(read.real) > 0x1p53 || read.real != floor(read.real)) return false;
        read.integer = (int64_t)read.real;
    }
    *number = read.integer;
    return true;
}

bool json_get_double(Slice value, double *number)
{
    JsonNumber read;
    if (!read_whole_number(value, &read)) return false;
    *number = read.is_integer ? (double)read.integer : read.real;
    return true;
}

bool json_is_true(Slice value)
{
    return slice_is(value, "true");
}

/* --- strings -------------------------------------------------------------------------------------------------------------- */

static bool read_hex4(const char *at, const char *end, uint32_t *code)
{
    if (end - at < 4) return false;
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t digit = digit_of(at[i]);
        if (digit > 9) {
            digit = (uint32_t)((unsigned char)at[i] | 0x20) - 'a';
            if (digit > 5) return false;
            digit += 10;
        }
        value = value << 4 | digit;
    }
    *code = value;
    return true;
}

static char *put_utf8(char *out, uint32_t code)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xC0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *out++ = (char)(0xE0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    } else {
        *out++ = (char)(0xF0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3F));
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    }
    return out;
}

/* What the byte behind a backslash stands for; 0 for 'u' and for what is no escape. */
static const char short_escapes[256] = {
    ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t',
};

const char *json_read_escape(const char *at, const char *end, uint32_t *code)
{
    if (end - at < 2) return NULL;
    at += 2;
    *code = (unsigned char)short_escapes[(unsigned char)at[-1]];
    if (*code) return at;
    if (at[-1] != 'u') return NULL;
    if (!read_hex4(at, end, code)) return NULL;
    at += 4;
    if (*code < 0xD800 || *code > 0xDFFF) return at;
    uint32_t low = 0;
    if (*code > 0xDBFF || end - at < 6 || at[0] != '\\' || at[1] != 'u') return NULL;
    if (!read_hex4(at + 2, end, &low) || low < 0xDC00 || low > 0xDFFF) return NULL;
    *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
    return at + 6;
}

char *json_unescape(const char **text, const char *end, char *out)
{
    const char *at = *text;
    while (at < end) {
#ifdef __SSE2__
        /* Plain text is copied sixteen bytes at a time; what is copied too much is overwritten or not counted. */
        if (end - at >= JSON_VECTOR) {
            __m128i bytes = json_load(at);
            int stops = json_special_bytes(bytes);
            _mm_storeu_si128((__m128i *)(void *)out, bytes);
            int plain = stops ? __builtin_ctz((unsigned)stops) : JSON_VECTOR;
            at += plain;
            out += plain;
            if (!stops) continue;
        }
#endif
        if (*at == '"') {
            *text = at;
            return out;
        }
        if (*at == '\\') {
            uint32_t code = end - at < 2 ? 0 : (unsigned char)short_escapes[(unsigned char)at[1]];
            if (code) {
                *out++ = (char)code;
                at += 2;
                continue;
            }
            at = json_read_escape(at, end, &code);
            if (!at) return NULL;
            out = put_utf8(out, code);
        } else if ((unsigned char)*at >= 0x20) {
            *out++ = *at++;
        } else {
            return NULL;
        }
    }
    return NULL;
}

/* Finds the text between the quotes of a string; false for anything else. */
static bool string_body(Slice value, const char **text, const char **close)
{
    if (value.size < 2 || value.data[0] != '"') return false;
    *text = value.data + 1;
    *close = value.data + value.size - 1;
    return json_close_quote(*text, value.data + value.size) == *close;
}

bool json_get_string(Slice value, Buffer *out)
{
    if (value.size < 2 || value.data[0] != '"') return false;
    const char *at = value.data + 1, *end = value.data + value.size;
    char *room = buffer_reserve(out, value.size + JSON_UNESCAPE_SLACK);
    char *behind = room ? json_unescape(&at, end, room) : NULL;
    if (!behind || at != end - 1) return false;
    buffer_commit(out, (size_t)(behind - room));
    return true;
}

bool json_copy_string(Slice value, char *out, size_t size_bytes)
{
    const char *at, *close;
    size_t used = 0;
    if (size_bytes == 0) return false;
    bool good = string_body(value, &at, &close);
    while (good && at < close) {
        char character[4];
        const char *begin = at;
        size_t length;
        if (*at == '\\') {
            uint32_t code = 0;
            at = json_read_escape(at, close, &code);
            if (!at) {
                good = false;
                break;
            }
            /* A zero byte would end the text for its readers. */
            length = (size_t)(put_utf8(character, code ? code : 0xFFFD) - character);
        } else {
            if ((unsigned char)*at < 0x20) {
                good = false;
                break;
            }
            do { /* a character with its continuation bytes */
                at++;
            } while (at < close && at - begin < 4 && ((unsigned char)*at & 0xC0) == 0x80);
            length = (size_t)(at - begin);
            memcpy(character, begin, length);
        }
        if (length >= size_bytes - used) break;
        memcpy(out + used, character, length);
        used += length;
    }
    if (!good) used = 0;
    out[used] = '\0';
    return good;
}

Slice json_plain_string(Slice value)
{
    if (value.size < 2 || value.data[0] != '"') return (Slice){0};
    const char *text = value.data + 1, *close = value.data + value.size - 1;
    if (*close != '"' || json_plain_end(text, close) != close) return (Slice){0};
    return slice_make(text, (size_t)(close - text));
}
