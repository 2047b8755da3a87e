/* fuzz_json.c - the readers of JSON against each other: what is valid is skimmed whole, what is skimmed is valid, and scalars that
 * are written again read back as they were. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "protocol/json.h"
#include "protocol/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds) abort();
}

static bool is_inside(Slice part, Slice whole)
{
    return part.data >= whole.data && part.data + part.size <= whole.data + whole.size;
}

static void read_string(Slice value, bool valid)
{
    Buffer text = buffer_with_headroom(0), again = buffer_with_headroom(0), back = buffer_with_headroom(0);
    char copy[40];
    bool good = json_get_string(value, &text);
    check(good || buffer_size(&text) == 0);
    check(json_copy_string(value, copy, sizeof copy) == good || !valid);
    check(strlen(copy) < sizeof copy);
    if (valid) check(good && utf8_valid(buffer_slice(&text)) && utf8_valid(slice_of(copy)));
    Slice plain = json_plain_string(value);
    if (plain.data) check(good && slice_equals(plain, buffer_slice(&text)));
    if (good) {
        bool is_utf8 = json_write_string(&again, buffer_slice(&text));
        check(is_utf8 == utf8_valid(buffer_slice(&text)));
        check(json_validate(buffer_slice(&again), NULL));
        check(json_get_string(buffer_slice(&again), &back));
        if (is_utf8) check(slice_equals(buffer_slice(&back), buffer_slice(&text)));
    }
    buffer_free(&text);
    buffer_free(&again);
    buffer_free(&back);
}

static void read_number(Slice value, bool valid)
{
    int64_t integer = 0;
    double real = 0, back = 0;
    bool good = json_get_double(value, &real);
    check(good == json_validate(value, NULL) || !valid);
    if (json_get_int(value, &integer)) check(good && (double)integer == real);
    if (!good) return;
    Buffer text = buffer_with_headroom(0);
    check(json_write_double(&text, real));
    check(json_validate(buffer_slice(&text), NULL));
    check(json_get_double(buffer_slice(&text), &back) && back == real);
    buffer_free(&text);
}

/* Walks over a value by skimming. In a valid text each part is valid too, and no container is malformed. */
static void walk(Slice value, bool valid, unsigned depth)
{
    Slice key, inner;
    if (depth > JSON_MAX_DEPTH) return;
    if (valid) check(json_validate(value, NULL) && json_type(value) != JSON_NONE);
    switch (json_type(value)) {
    case JSON_STRING: read_string(value, valid); break;
    case JSON_NUMBER: read_number(value, valid); break;
    default: break;
    }
    JsonCursor members = json_cursor(value), elements = members;
    while (json_next_member(&members, &key, &inner)) {
        check(is_inside(key, value) && is_inside(inner, value) && inner.size > 0);
        walk(inner, valid, depth + 1);
    }
    while (json_next_element(&elements, &inner)) {
        check(is_inside(inner, value) && inner.size > 0);
        walk(inner, valid, depth + 1);
    }
    if (valid) check(!members.malformed && !elements.malformed);
    if (json_type(value) == JSON_OBJECT) {
        Slice found = json_find(value, "type");
        check(found.size == 0 || is_inside(found, value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Slice text = slice_make((const char *)data, size);
    JsonError error = {0};
    if (size > 4096) return 0; /* walking is quadratic in the depth */
    bool valid = json_validate(text, &error);
    check(valid || (error.text && error.offset <= size));
    while (valid && text.size && strchr(" \t\r\n", *text.data)) {
        text = slice_make(text.data + 1, text.size - 1);
    }
    while (valid && text.size && strchr(" \t\r\n", text.data[text.size - 1])) {
        text.size--;
    }
    walk(text, valid, 0);
    return 0;
}
