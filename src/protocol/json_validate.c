/* json_validate.c - reads every byte of a JSON text and says where it breaks the grammar of RFC 8259. Also the one source of
 * error messages for readers that only notice that something is wrong. */
#include "protocol/json_scan.h"
#include "protocol/utf8.h"

#include <math.h>

typedef struct {
    const char *end;
    unsigned depth;
    const char *failed_at;
    const char *problem;
} Validation;

static const char *check_value(Validation *validation, const char *at);

/* Each check returns what follows the thing that begins at `at`; NULL when it has called this. */
static const char *fail(Validation *validation, const char *at, const char *problem)
{
    validation->failed_at = at;
    validation->problem = at == validation->end ? "the text ends too early" : problem;
    return NULL;
}

static const char *check_string(Validation *validation, const char *at)
{
    const char *end = validation->end;
    const char *stop = json_plain_end(at + 1, end);
    while (stop < end && *stop == '\\') {
        uint32_t code = 0;
        const char *behind = json_read_escape(stop, end, &code);
        if (!behind) return fail(validation, stop, "bad escape in a string");
        stop = json_plain_end(behind, end);
    }
    if (stop == end || *stop != '"') return fail(validation, stop, "a control character in a string must be escaped");
    return stop + 1;
}

static const char *check_number(Validation *validation, const char *at)
{
    JsonNumber number;
    const char *behind = json_read_number(at, validation->end, &number);
    if (behind) return behind;
    return fail(validation, at, isinf(number.real) ? "the number is too large" : "malformed number");
}

static const char *check_word(Validation *validation, const char *at, Slice word)
{
    Slice rest = slice_make(at, (size_t)(validation->end - at));
    if (rest.size > word.size) rest.size = word.size;
    return slice_equals(rest, word) ? at + word.size : fail(validation, at, "expected a value");
}

static const char *check_member(Validation *validation, const char *at)
{
    if (at == validation->end || *at != '"') return fail(validation, at, "expected a key in quotes");
    at = check_string(validation, at);
    if (!at) return NULL;
    at = json_skip_space(at, validation->end);
    if (at == validation->end || *at != ':') return fail(validation, at, "expected ':'");
    return check_value(validation, at + 1);
}

static const char *check_container(Validation *validation, const char *at, char close)
{
    const char *end = validation->end;
    if (++validation->depth > JSON_MAX_DEPTH) return fail(validation, at, "nested too deeply");
    at = json_skip_space(at + 1, end);
    if (at < end && *at == close) {
        validation->depth--;
        return at + 1;
    }
    for (;; at = json_skip_space(at + 1, end)) {
        at = close == '}' ? check_member(validation, at) : check_value(validation, at);
        if (!at) return NULL;
        at = json_skip_space(at, end);
        if (at < end && *at == close) {
            validation->depth--;
            return at + 1;
        }
        if (at == end || *at != ',') {
            return fail(validation, at, close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
        }
    }
}

static const char *check_value(Validation *validation, const char *at)
{
    at = json_skip_space(at, validation->end);
    switch (json_type(slice_make(at, (size_t)(validation->end - at)))) {
    case JSON_NULL: return check_word(validation, at, slice_of("null"));
    case JSON_FALSE: return check_word(validation, at, slice_of("false"));
    case JSON_TRUE: return check_word(validation, at, slice_of("true"));
    case JSON_NUMBER: return check_number(validation, at);
    case JSON_STRING: return check_string(validation, at);
    case JSON_ARRAY: return check_container(validation, at, ']');
    case JSON_OBJECT: return check_container(validation, at, '}');
    case JSON_NONE: break;
    }
    return fail(validation, at, "expected a value");
}

bool json_check_utf8(Slice text, JsonError *error)
{
    if (utf8_valid(text)) return true;
    if (error) {
        uint32_t state = UTF8_ACCEPT;
        size_t begin = 0; /* of the character that `at` is in */
        for (size_t at = 0; at < text.size && state != UTF8_REJECT; at++) {
            if (state == UTF8_ACCEPT) begin = at;
            state = utf8_check(state, slice_make(text.data + at, 1));
        }
        *error = (JsonError){begin, "invalid UTF-8"};
    }
    return false;
}

bool json_validate(Slice text, JsonError *error)
{
    if (!text.data) text = slice_of("");
    if (!json_check_utf8(text, error)) return false;
    Validation validation = {.end = text.data + text.size};
    const char *behind = check_value(&validation, text.data);
    if (behind) {
        behind = json_skip_space(behind, validation.end);
        if (behind == validation.end) return true;
        fail(&validation, behind, "more text behind the value");
    }
    if (error) *error = (JsonError){(size_t)(validation.failed_at - text.data), validation.problem};
    return false;
}
