/* json_scan.h - what every reader of JSON text does to bytes: skip white space, find the end of plain text or of a string,
 * read a number, decode escapes. For json_*.c and for the decoder into Lua values.
 *
 * Texts need no padding: sixteen bytes are read at a time only while sixteen are left, the rest goes byte by byte. That
 * last loop is also all there is on machines without SSE2. */
#ifndef GATEHOUSE_PROTOCOL_JSON_SCAN_H
#define GATEHOUSE_PROTOCOL_JSON_SCAN_H

#include "protocol/json.h"

#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#define JSON_VECTOR 16

static inline __m128i json_load(const char *at)
{
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

/* A bit for each byte that is not plain text inside a string. */
static inline int json_special_bytes(__m128i bytes)
{
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), last_control = _mm_set1_epi8(0x1f);
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, last_control), bytes);
    __m128i special = _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash));
    return _mm_movemask_epi8(_mm_or_si128(special, control));
}
#endif

static inline const char *json_skip_space(const char *at, const char *end)
{
    if (at<end && * at> ' ') return at; /* nearly always: gateways send none */
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) {
        at++;
    }
    return at;
}

/* The first byte that is not plain text inside a string: quote, backslash, control character; `end` if there is none. */
static inline const char *json_plain_end(const char *at, const char *end)
{
#ifdef __SSE2__
    for (; end - at >= JSON_VECTOR; at += JSON_VECTOR) {
        int stops = json_special_bytes(json_load(at));
        if (stops) return at + __builtin_ctz((unsigned)stops);
    }
#endif
    while (at < end && *at != '"' && *at != '\\' && (unsigned char)*at >= 0x20) {
        at++;
    }
    return at;
}

/* The quote that closes the string whose text begins at `at`, behind its opening quote; NULL if there is none. Looks for
 * quotes only and then back over the backslashes in front of one: each of them is seen twice at most, since a run of them
 * that was looked at ends at its quote. */
static inline const char *json_close_quote(const char *at, const char *end)
{
    for (;; at++) {
#ifdef __SSE2__
        const __m128i quote = _mm_set1_epi8('"');
        int quotes = 0;
        for (ptrdiff_t vectors = (end - at) / JSON_VECTOR; vectors > 0; vectors--) {
            quotes = _mm_movemask_epi8(_mm_cmpeq_epi8(json_load(at), quote));
            if (quotes) break;
            at += JSON_VECTOR;
        }
        if (quotes) at += __builtin_ctz((unsigned)quotes);
#endif
        while (at < end && *at != '"') {
            at++;
        }
        if (at == end) return NULL;
        if (at[-1] != '\\') return at;
        const char *run = at - 1;
        while (run[-1] == '\\') {
            run--;
        }
        if (((at - run) & 1) == 0) return at;
    }
}

typedef struct {
    bool is_integer; /* then `integer` holds it, otherwise `real` */
    int64_t integer;
    double real;
} JsonNumber;

/* Reads the number that begins at `at` and returns what follows it. NULL for anything else, and for a number too large for
 * a double: `number->real` is infinite then. */
const char *json_read_number(const char *at, const char *end, JsonNumber *number);

/* Reads the escape (both halves of a surrogate pair) whose backslash is at `at`; returns what follows it, NULL for a bad
 * escape and for a lone surrogate. */
const char *json_read_escape(const char *at, const char *end, uint32_t *code);

#define JSON_UNESCAPE_SLACK 16 /* bytes that json_unescape may write behind its result, as it copies in blocks */

/* Decodes the text of a string to its closing quote, to which `text` is moved. `out` has room for
 * end - text + JSON_UNESCAPE_SLACK bytes. Returns the end of what was written, NULL for a bad escape, a control character or
 * a string that does not end. */
char *json_unescape(const char **text, const char *end, char *out);

#endif
