/* test_json_scalar.c - numbers and strings, read and written exactly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "exact_copy.h"
#include "protocol/json.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* --- reading --------------------------------------------------------------------------------------------------------------- */

static void integers_are_exact(void **state)
{
    static const struct {
        const char *text;
        int64_t number;
    } good[] = {{"0", 0},
                {"-0", 0},
                {"7", 7},
                {"-7", -7},
                {"1737264000000", 1737264000000},
                {"9007199254740993", 9007199254740993},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN},
                {"1000000000000000000", 1000000000000000000},
                {"12.0", 12},
                {"1e3", 1000},
                {"-1.5e1", -15},
                {"0.0", 0}};
    static const char *const bad[] = {"9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999",
                                      "1.5",
                                      "1e19",
                                      "-1e19",
                                      "9223372036854775807.0",
                                      "\"1\"",
                                      "null",
                                      "",
                                      "1x",
                                      "1 ",
                                      "01",
                                      "-",
                                      "18446744073709551617",
                                      "1e400"};
    int64_t number = 42;
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        Slice text = exact_copy(slice_of(good[i].text));
        if (!json_get_int(text, &number) || number != good[i].number)
            fail_msg("%s is not %lld", good[i].text, (long long)number);
        free_copy(text);
    }
    number = 42;
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (json_get_int(slice_of(bad[i]), &number)) fail_msg("%s became %lld", bad[i], (long long)number);
        assert_int_equal(number, 42);
    }
    assert_false(json_get_int((Slice){0}, &number));
}

/* strtod is right in the C locale; so must be every way through json_get_double. */
static void doubles_are_the_nearest(void **state)
{
    static const char *const texts[] = {"0.1",
                                        "0.2",
                                        "0.3",
                                        "1.5e3",
                                        "123.456",
                                        "-123.456",
                                        "1e22",
                                        "1e23",
                                        "1e-22",
                                        "1e-23",
                                        "9007199254740993.0",
                                        "9007199254740992.5",
                                        "9223372036854775808",
                                        "123456789012345678901234567890",
                                        "1.7976931348623157e308",
                                        "1.7976931348623158e308",
                                        "2.2250738585072014e-308",
                                        "2.2250738585072011e-308",
                                        "5e-324",
                                        "4.9406564584124654e-324",
                                        "2.4703282292062327e-324",
                                        "2.4703282292062328e-324",
                                        "1e-400",
                                        "0e400",
                                        "0.000000000000000000000000000000000000000000000001",
                                        "100000000000000000000000000000000000000000000000.0",
                                        "3.141592653589793238462643383279",
                                        "1.00000000000000011102230246251565404236316680908203125",
                                        "1.00000000000000011102230246251565404236316680908203124",
                                        "1.00000000000000011102230246251565404236316680908203126",
                                        "-0.0",
                                        "179769313486231570000000000000000000000e270",
                                        "0.5e-323",
                                        "12345678901234567e-5"};
    double number;
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        Slice text = exact_copy(slice_of(texts[i]));
        double expected = strtod(texts[i], NULL);
        if (!json_get_double(text, &number) || number != expected || signbit(number) != signbit(expected)) {
            fail_msg("%s: %.17g, expected %.17g", texts[i], number, expected);
        }
        free_copy(text);
    }
    assert_true(json_get_double(slice_of("3"), &number) && number == 3.0);
    assert_false(json_get_double(slice_of("1e309"), &number));
    assert_false(json_get_double(slice_of("\"1\""), &number));
    assert_false(json_get_double((Slice){0}, &number));
}

/* More digits than any reader keeps: the value just above half-way rounds up because of its last digit alone. */
static void thousands_of_digits_still_round_correctly(void **state)
{
    Buffer text = buffer_with_headroom(0);
    double number = 0;
    (void)state;
    buffer_append_text(&text, "1.00000000000000011102230246251565404236316680908203125");
    for (int i = 0; i < 5000; i++) {
        buffer_append_char(&text, '0');
    }
    assert_true(json_get_double(buffer_slice(&text), &number));
    assert_true(number == 1.0); /* a tie goes to even */
    buffer_append_char(&text, '1');
    assert_true(json_get_double(buffer_slice(&text), &number));
    assert_true(number == 1.0 + DBL_EPSILON);

    buffer_clear(&text);
    buffer_append_text(&text, "0.");
    for (int i = 0; i < 4999; i++) {
        buffer_append_char(&text, '0');
    }
    buffer_append_text(&text, "1e5000");
    assert_true(json_get_double(buffer_slice(&text), &number));
    assert_true(number == 1.0);

    buffer_clear(&text);
    for (int i = 0; i < 5000; i++) {
        buffer_append_char(&text, '9');
    }
    assert_false(json_get_double(buffer_slice(&text), &number));
    buffer_append_text(&text, "e-5000");
    assert_true(json_get_double(buffer_slice(&text), &number));
    assert_true(number == 1.0);
    buffer_free(&text);
}

static const struct {
    const char *raw;
    const char *text;
    size_t size;
} strings[] = {
    {"\"\"", "", 0},
    {"\"abc\"", "abc", 3},
    {"\"a\\\"b\\\\c\\/d\"", "a\"b\\c/d", 7},
    {"\"\\b\\f\\n\\r\\t\"", "\b\f\n\r\t", 5},
    {"\"\\u0041\\u00e9\\u20AC\\uD83D\\uDE00\"", "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 10},
    {"\"a\\u0000b\"", "a\0b", 3},
    {"\"\xC3\xA9\"", "\xC3\xA9", 2},
    {"\"sixteen bytes...\\nsixteen bytes...\\tand a tail\"", "sixteen bytes...\nsixteen bytes...\tand a tail", 44},
    {"\"\\n0123456789abcdef0123456789abcdef\"", "\n0123456789abcdef0123456789abcdef", 33}};

static void strings_are_decoded(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(strings); i++) {
        Slice raw = exact_copy(slice_of(strings[i].raw));
        Buffer out = buffer_with_headroom(0);
        buffer_append_text(&out, "kept ");
        assert_true(json_get_string(raw, &out));
        Slice got = buffer_slice(&out);
        assert_int_equal(got.size, 5 + strings[i].size);
        assert_memory_equal(got.data + 5, strings[i].text, strings[i].size);
        buffer_free(&out);
        free_copy(raw);
    }
}

/* Escapes at every place of a text that is copied in blocks. */
static void escapes_are_decoded_at_every_offset(void **state)
{
    (void)state;
    for (int before = 0; before < 40; before++) {
        for (int behind = 0; behind < 40; behind++) {
            char raw[128], expected[128];
            snprintf(raw, sizeof raw, "\"%.*s\\n\\u20ac%.*s\"", before, "........................................",
                     behind, "----------------------------------------");
            snprintf(expected, sizeof expected, "%.*s\n\xE2\x82\xAC%.*s", before,
                     "........................................", behind, "----------------------------------------");
            Slice copy = exact_copy(slice_of(raw));
            Buffer out = buffer_with_headroom(0);
            assert_true(json_get_string(copy, &out));
            assert_true(slice_is(buffer_slice(&out), expected));
            buffer_free(&out);
            free_copy(copy);
        }
    }
}

static const char *const no_strings[] = {
    "",         "1",       "null",        "\"",       "\"a",       "a\"",     "\"\\\"",
    "\"a\"b\"", "\"\\x\"", "\"\\ud800\"", "\"a\nb\"", "\"\\u12\"", "[\"a\"]", "\"0123456789abcdef0123456789abcdef\n\"",
    "\"a\" "};

static void what_is_no_string_leaves_the_buffer_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(no_strings); i++) {
        Slice raw = exact_copy(slice_of(no_strings[i]));
        Buffer out = buffer_with_headroom(0);
        char text[64] = "before";
        buffer_append_text(&out, "kept");
        if (json_get_string(raw, &out)) fail_msg("taken as a string: %s", no_strings[i]);
        assert_true(slice_is(buffer_slice(&out), "kept"));
        assert_false(json_copy_string(raw, text, sizeof text));
        assert_string_equal(text, "");
        buffer_free(&out);
        free_copy(raw);
    }
}

static void copies_are_cut_between_characters(void **state)
{
    static const char *const expected[] = {"",
                                           "",
                                           "\xC3\xA9",
                                           "\xC3\xA9",
                                           "\xC3\xA9",
                                           "\xC3\xA9\xE2\x82\xAC",
                                           "\xC3\xA9\xE2\x82\xAC",
                                           "\xC3\xA9\xE2\x82\xAC",
                                           "\xC3\xA9\xE2\x82\xAC",
                                           "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80",
                                           "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80!"};
    static const char *const raw[] = {"\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80!\"", "\"\\u00e9\\u20ac\\ud83d\\ude00!\""};
    (void)state;
    for (size_t kind = 0; kind < COUNT(raw); kind++) {
        for (size_t limit = 0; limit < COUNT(expected); limit++) {
            char *out = malloc(limit + 1);
            assert_non_null(out);
            assert_true(json_copy_string(slice_of(raw[kind]), out, limit + 1));
            assert_string_equal(out, expected[limit]);
            free(out);
        }
    }
    char text[16];
    assert_true(json_copy_string(slice_of("\"a\\u0000b\""), text, sizeof text));
    assert_string_equal(text, "a\xEF\xBF\xBD"
                              "b");
    assert_false(json_copy_string(slice_of("\"a\""), text, 0));
}

static void plain_strings_are_slices(void **state)
{
    (void)state;
    assert_true(slice_is(json_plain_string(slice_of("\"abc\"")), "abc"));
    assert_non_null(json_plain_string(slice_of("\"\"")).data);
    static const char *const others[] = {"", "1", "\"", "\"a", "\"a\\n\"", "\"a\"b\"", "\"a\nb\"", "\"a\" "};
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_null(json_plain_string(slice_of(others[i])).data);
    }
    assert_null(json_plain_string((Slice){0}).data);
}

/* --- writing --------------------------------------------------------------------------------------------------------------- */

static void assert_written(Buffer *out, const char *expected)
{
    assert_false(out->failed);
    if (!slice_is(buffer_slice(out), expected))
        fail_msg("wrote %.*s, expected %s", SLICE_ARGS(buffer_slice(out)), expected);
    buffer_free(out);
}

static void strings_are_written_with_escapes(void **state)
{
    Buffer out = buffer_with_headroom(0);
    (void)state;
    assert_true(json_write_string(&out, slice_of("a\"b\\c\b\f\n\r\t\x01\x1f\x7f/\xC3\xA9")));
    assert_written(&out, "\"a\\\"b\\\\c\\b\\f\\n\\r\\t\\u0001\\u001f\x7f/\xC3\xA9\"");
    assert_true(json_write_string(&out, slice_make("\0", 1)));
    assert_written(&out, "\"\\u0000\"");
    assert_true(json_write_string(&out, (Slice){0}));
    assert_written(&out, "\"\"");
    assert_false(json_write_string(&out, slice_of("a\xff\"\xE2\x82"
                                                  "b\xF0\x9F\x98\x80\xE2\x82")));
    assert_written(&out, "\"a\xEF\xBF\xBD\\\"\xEF\xBF\xBD\xEF\xBF\xBD"
                         "b\xF0\x9F\x98\x80\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

static void written_strings_read_back(void **state)
{
    (void)state;
    for (unsigned first = 1; first < 0x80; first++) {
        for (int before = 0; before < 20; before++) {
            char text[64];
            snprintf(text, sizeof text, "%.*s%c after it", before, "....................", (int)first);
            Buffer out = buffer_with_headroom(0), back = buffer_with_headroom(0);
            assert_true(json_write_string(&out, slice_of(text)));
            assert_true(json_validate(buffer_slice(&out), NULL));
            assert_true(json_get_string(buffer_slice(&out), &back));
            assert_written(&back, text);
            buffer_free(&out);
        }
    }
}

static void integers_are_written_whole(void **state)
{
    Buffer out = buffer_with_headroom(0);
    (void)state;
    json_write_int(&out, 0);
    assert_written(&out, "0");
    json_write_int(&out, INT64_MAX);
    assert_written(&out, "9223372036854775807");
    json_write_int(&out, INT64_MIN);
    assert_written(&out, "-9223372036854775808");
    json_write_int(&out, -1737264000000);
    assert_written(&out, "-1737264000000");
}

static const struct {
    double number;
    const char *text;
} doubles[] = {{0.0, "0.0"},
               {-0.0, "-0.0"},
               {1.0, "1.0"},
               {-1.0, "-1.0"},
               {0.1, "0.1"},
               {0.5, "0.5"},
               {123.456, "123.456"},
               {1e15, "1000000000000000.0"},
               {1e16, "10000000000000000.0"},
               {1e17, "1e17"},
               {12345678901234567.0, "12345678901234568.0"},
               {1e22, "1e22"},
               {1.5e300, "1.5e300"},
               {0.0001, "0.0001"},
               {0.00001, "0.00001"},
               {0.000001, "1e-6"},
               {0.00012345, "0.00012345"},
               {1.0 / 3, "0.3333333333333333"},
               {2.0 / 3, "0.6666666666666666"},
               {DBL_MAX, "1.7976931348623157e308"},
               {-DBL_MAX, "-1.7976931348623157e308"},
               {DBL_MIN, "2.2250738585072014e-308"},
               {5e-324, "4.94065645841247e-324"},
               {0.1 + 0.2, "0.30000000000000004"},
               {100.0, "100.0"},
               {1e100, "1e100"},
               {9007199254740993.0, "9007199254740992.0"}};

static void doubles_are_written_short_and_stay_floats(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(doubles); i++) {
        Buffer out = buffer_with_headroom(0);
        assert_true(json_write_double(&out, doubles[i].number));
        assert_written(&out, doubles[i].text);
    }
}

static void written_doubles_read_back(void **state)
{
    uint64_t bits = 1;
    Buffer out = buffer_with_headroom(0);
    (void)state;
    for (int i = 0; i < 50000; i++) {
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        double number, back = 0;
        memcpy(&number, &bits, sizeof number);
        buffer_clear(&out);
        if (!json_write_double(&out, number)) {
            assert_true(isnan(number) || isinf(number));
            assert_int_equal(buffer_size(&out), 0);
            continue;
        }
        assert_true(json_get_double(buffer_slice(&out), &back));
        if (back != number)
            fail_msg("%.17g came back as %.17g from %.*s", number, back, SLICE_ARGS(buffer_slice(&out)));
        assert_true(json_validate(buffer_slice(&out), NULL));
        Slice text = buffer_slice(&out);
        assert_true(memchr(text.data, '.', text.size) || memchr(text.data, 'e', text.size));
    }
    buffer_free(&out);
}

static void numbers_without_json_form_are_refused(void **state)
{
    Buffer out = buffer_with_headroom(0);
    (void)state;
    assert_false(json_write_double(&out, NAN));
    assert_false(json_write_double(&out, INFINITY));
    assert_false(json_write_double(&out, -INFINITY));
    assert_int_equal(buffer_size(&out), 0);
}

static void objects_of_c_get_their_commas(void **state)
{
    Buffer out = buffer_with_headroom(0);
    (void)state;
    buffer_append_char(&out, '{');
    json_write_member_string(&out, "a", "x\"{");
    json_write_member_string(&out, "absent", NULL);
    json_write_member_int(&out, "b", -2);
    json_write_member_bool(&out, "c", true);
    json_write_key(&out, "d");
    buffer_append_char(&out, '{');
    json_write_member_bool(&out, "e", false);
    json_write_member_raw(&out, "absent", (Slice){0});
    buffer_append_char(&out, '}');
    json_write_member_raw(&out, "f", slice_of("[1]"));
    buffer_append_char(&out, '}');
    assert_written(&out, "{\"a\":\"x\\\"{\",\"b\":-2,\"c\":true,\"d\":{\"e\":false},\"f\":[1]}");
}

/* Where another decimal point is in use. Machines without such a locale have nothing that could go wrong. */
static void the_locale_does_not_matter(void **state)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "de_DE",
                                        "fr_FR.UTF-8", "fr_FR.utf8", "es_ES.UTF-8"};
    bool changed = false;
    for (size_t i = 0; i < COUNT(names) && !changed; i++) {
        changed = setlocale(LC_ALL, names[i]) && localeconv()->decimal_point[0] == ',';
    }
    if (!changed) {
        setlocale(LC_ALL, "C");
        skip();
    }
    double number = 0;
    assert_true(json_get_double(slice_of("1234.5678901234567891"), &number) && number == 1234.5678901234567891);
    assert_false(json_get_double(slice_of("1,5"), &number));
    doubles_are_written_short_and_stay_floats(state);
    setlocale(LC_ALL, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_exact),
        cmocka_unit_test(doubles_are_the_nearest),
        cmocka_unit_test(thousands_of_digits_still_round_correctly),
        cmocka_unit_test(strings_are_decoded),
        cmocka_unit_test(escapes_are_decoded_at_every_offset),
        cmocka_unit_test(what_is_no_string_leaves_the_buffer_alone),
        cmocka_unit_test(copies_are_cut_between_characters),
        cmocka_unit_test(plain_strings_are_slices),
        cmocka_unit_test(strings_are_written_with_escapes),
        cmocka_unit_test(written_strings_read_back),
        cmocka_unit_test(integers_are_written_whole),
        cmocka_unit_test(doubles_are_written_short_and_stay_floats),
        cmocka_unit_test(written_doubles_read_back),
        cmocka_unit_test(numbers_without_json_form_are_refused),
        cmocka_unit_test(objects_of_c_get_their_commas),
        cmocka_unit_test(the_locale_does_not_matter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
