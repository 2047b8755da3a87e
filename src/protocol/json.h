/* json.h - strict RFC 8259: find slices in a text, read scalars, write values. Locale-proof; builds no tree.
 *
 * Two depths of trust. json_validate reads every byte. The cursors *skim*: they trust the nesting of quotes and brackets,
 * touch each byte once and sixteen at a time, and leave the rest to whoever reads the value (the decoder into Lua values
 * validates what it decodes). A skim never leaves its slice, whatever the bytes are.
 *
 * Defined answers: duplicate keys: the last one wins in a decoded value, json_find returns the last one. Invalid UTF-8 and
 * lone surrogates: an error in json_validate and in the decoder. Numbers: an integer that fits int64 is exact; a larger one or one
 * with fraction or exponent is a double; one too large for a double is an error. Depth over JSON_MAX_DEPTH: an error. */
#ifndef GATEHOUSE_PROTOCOL_JSON_H
#define GATEHOUSE_PROTOCOL_JSON_H

#include "protocol/buffer.h"

#define JSON_MAX_DEPTH 128 /* containers inside each other */

typedef enum {
    JSON_NONE,
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
} JsonType;

/* By its first byte; JSON_NONE for an empty slice or a byte that begins no value. */
JsonType json_type(Slice value);

typedef struct {
    size_t offset;    /* bytes from the start of the text */
    const char *text; /* static: "expected ',' or '}'" */
} JsonError;

/* Whether `text` is exactly one valid value, white space around it allowed. `error` may be NULL. */
bool json_validate(Slice text, JsonError *error);

/* Whether the text is valid UTF-8; `error` tells where it is not, unless it is NULL. */
bool json_check_utf8(Slice text, JsonError *error);

/* --- skim ---------------------------------------------------------------------------------------------------------------- */

typedef struct {
    const char *at, *end;
    bool malformed;
} JsonCursor;

/* Steps over the members of an object or the elements of an array. A value that is not of that type has none.
 * `key` is the raw text between the quotes. Once there is no further one `malformed` tells a broken text from a
 * finished one, and then `at` is behind the container. Not to be called again after that. */
JsonCursor json_cursor(Slice container);
bool json_next_member(JsonCursor *cursor, Slice *key, Slice *value);
bool json_next_element(JsonCursor *cursor, Slice *value);

/* The value of `key` (plain ASCII, without escapes) in `object`; the empty slice if there is none. */
Slice json_find(Slice object, const char *key);

/* --- scalars: `value` is the raw text of one value ------------------------------------------------------------------------ */

bool json_is_true(Slice value);
bool json_get_int(Slice value, int64_t *number);   /* integers that fit; also 12.0 and 1e3, up to 2^53 */
bool json_get_double(Slice value, double *number); /* any number that fits; '.' is the decimal point in every locale */
/* Appends the decoded text of a string. False for another type or a bad escape; `out` then holds what it held. */
bool json_get_string(Slice value, Buffer *out);
/* The same into an array, always ended by a zero byte, cut at a character's border; "" if it is no string. Returns whether it was one. */
bool json_copy_string(Slice value, char *out, size_t size_bytes);
/* The text between the quotes when it has no escapes; the empty slice otherwise. */
Slice json_plain_string(Slice value);

/* --- writing --------------------------------------------------------------------------------------------------------------- */

/* A string with its quotes. Bytes that are no UTF-8 become U+FFFD; returns false then, for callers that must refuse. */
bool json_write_string(Buffer *out, Slice text);
void json_write_int(Buffer *out, int64_t number);
/* Shortest text that reads back as the same double, with a '.' or exponent so that it stays a float. False for NaN and infinities (nothing is written). */
bool json_write_double(Buffer *out, double number);
/* `"key":` with a comma in front unless the last byte opens a container. For the objects that C writes. */
void json_write_key(Buffer *out, const char *key);
void json_write_member_string(Buffer *out, const char *key, const char *text); /* nothing when text is NULL */
void json_write_member_int(Buffer *out, const char *key, int64_t number);
void json_write_member_bool(Buffer *out, const char *key, bool flag);
void json_write_member_raw(Buffer *out, const char *key, Slice value); /* nothing when value is empty */

#endif
