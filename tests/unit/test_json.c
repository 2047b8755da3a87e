/* test_json.c - what is JSON and what is not, and slices found by skimming. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "exact_copy.h"
#include "protocol/json.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static bool is_valid(Slice text, JsonError *error)
{
    Slice copy = exact_copy(text);
    bool valid = json_validate(copy, error);
    free_copy(copy);
    return valid;
}

/* --- grammar --------------------------------------------------------------------------------------------------------------- */

static const char *const good_texts[] = {"null",
                                         "true",
                                         "false",
                                         "0",
                                         "-0",
                                         "1",
                                         "-1",
                                         "10",
                                         "9007199254740993",
                                         "9223372036854775807",
                                         "-9223372036854775808",
                                         "18446744073709551616",
                                         "123456789012345678901234567890",
                                         "1.0",
                                         "0.5",
                                         "-0.5",
                                         "1e3",
                                         "1E3",
                                         "1e+3",
                                         "1e-3",
                                         "0e0",
                                         "0.0e-0",
                                         "1.7976931348623157e308",
                                         "5e-324",
                                         "1e-400",
                                         "0e99999999999999999999",
                                         "0.000000000000000000000000000001e30",
                                         " 1 ",
                                         "\t\n\r 1\t\n\r ",
                                         "\"\"",
                                         "\"a\"",
                                         "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
                                         "\"\\u0041\\u00e9\\u20AC\"",
                                         "\"\\u0000\"",
                                         "\"\\ud83d\\ude00\"",
                                         "\"\\uD83D\\uDE00\"",
                                         "\"\\uFFFF\"",
                                         "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"",
                                         "\"\x7f\"",
                                         "\"'\"",
                                         "\"a text of more than sixteen bytes, plain\"",
                                         "\"fifteen bytes..\\n\"",
                                         "\"sixteen bytes...\\u00e9 and then some more text\"",
                                         "[]",
                                         "[ ]",
                                         "[\n]",
                                         "{}",
                                         "{ }",
                                         "[[]]",
                                         "[{}]",
                                         "{\"a\":[]}",
                                         "[1]",
                                         "[1,2]",
                                         "[ 1 , 2 ]",
                                         "[null,true,false,\"\",0,[],{}]",
                                         "{\"a\":1}",
                                         "{ \"a\" : 1 , \"b\" : 2 }",
                                         "{\"a\":1,\"a\":2}",
                                         "{\"\":0}",
                                         "{\"a\\u0062\":1}",
                                         "{\"a\":{\"b\":{\"c\":[1,[2,[3]]]}}}",
                                         "\"]\"",
                                         "[\"}\",\"{\",\"]\",\"[\",\"\\\"\"]"};

static const struct {
    const char *text;
    size_t offset;
} bad_texts[] = {{"", 0},
                 {" ", 1},
                 {"nul", 0},
                 {"nulL", 0},
                 {"nullx", 4},
                 {"tru", 0},
                 {"True", 0},
                 {"fals", 0},
                 {"NaN", 0},
                 {"Infinity", 0},
                 {"-", 0},
                 {"+1", 0},
                 {"01", 0},
                 {"-01", 0},
                 {"00", 0},
                 {"1.", 0},
                 {".5", 0},
                 {"-.5", 0},
                 {"1.e3", 0},
                 {"1e", 0},
                 {"1e+", 0},
                 {"1e1.5", 3},
                 {"0x10", 1},
                 {"1_000", 1},
                 {"1e309", 0},
                 {"-1e309", 0},
                 {"1 2", 2},
                 {"--1", 0},
                 {"1,", 1},
                 {"- 1", 0},
                 {"\"", 1},
                 {"\"a", 2},
                 {"\"\\", 1},
                 {"\"\\\"", 3},
                 {"\"\\x\"", 1},
                 {"\"\\u\"", 1},
                 {"\"\\u12\"", 1},
                 {"\"\\u12G4\"", 1},
                 {"\"\\u 123\"", 1},
                 {"\"\\u+123\"", 1},
                 {"\"\\U0041\"", 1},
                 {"\"\\ud800\"", 1},
                 {"\"\\udc00\"", 1},
                 {"\"\\ud800\\u0041\"", 1},
                 {"\"\\ud800\\ud800\"", 1},
                 {"\"\\udc00\\ud800\"", 1},
                 {"\"\\ud83d\\ude0\"", 1},
                 {"\"\\ud83d\\", 1},
                 {"\"\\ud83dx\"", 1},
                 {"\"a\nb\"", 2},
                 {"\"\t\"", 1},
                 {"\"\x1f\"", 1},
                 {"'a'", 0},
                 {"\"0123456789abcdef\n\"", 17},
                 {"a", 0},
                 {"\"\xff\"", 1},
                 {"\"\xC0\x80\"", 1},
                 {"\"\xED\xA0\x80\"", 1},
                 {"\"a\xE2\x82\"", 2},
                 {"\"a\xF4\x90\x80\x80\"", 2},
                 {"\"0123456789abcdef\xE2\x28\xA1\"", 17},
                 {"\xEF\xBB\xBF"
                  "1",
                  0},
                 {"\"\xE2\x82", 1},
                 {"[", 1},
                 {"]", 0},
                 {"[1", 2},
                 {"[1,", 3},
                 {"[1,]", 3},
                 {"[,1]", 1},
                 {"[1,,2]", 3},
                 {"[1 2]", 3},
                 {"[1}", 2},
                 {"[1:2]", 2},
                 {"[1]]", 3},
                 {"[1],", 3},
                 {"[\"a\",\n4\n,1,", 11},
                 {"[", 1},
                 {"[[", 2},
                 {"[\"", 2},
                 {"{", 1},
                 {"}", 0},
                 {"{1:2}", 1},
                 {"{a:1}", 1},
                 {"{'a':1}", 1},
                 {"{\"a\"}", 4},
                 {"{\"a\":}", 5},
                 {"{\"a\":1", 6},
                 {"{\"a\":1,", 7},
                 {"{\"a\":1,}", 7},
                 {"{,}", 1},
                 {"{\"a\" 1}", 5},
                 {"{\"a\":1 \"b\":2}", 7},
                 {"{\"a\":1]", 6},
                 {"{\"a\"::1}", 5},
                 {"{\"a\":1}}", 7},
                 {"{null:1}", 1},
                 {"{\"a", 3},
                 {"{\"a\"", 4},
                 {"{\"a\":", 5},
                 {"{\"a\\x\":1}", 3},
                 {"{}{}", 2},
                 {"/* c */ 1", 0},
                 {"// c\n1", 0},
                 {"[1 // c\n]", 3},
                 {"\f1", 0},
                 {"\v1", 0},
                 {"\xC2\xA0"
                  "1",
                  0},
                 {"1\x01", 1}};

static void grammar_is_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good_texts); i++) {
        JsonError error;
        if (!is_valid(slice_of(good_texts[i]), &error))
            fail_msg("%s: at %zu: %s", good_texts[i], error.offset, error.text);
    }
}

static void what_is_not_grammar_is_refused_with_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_texts); i++) {
        JsonError error = {0};
        if (is_valid(slice_of(bad_texts[i].text), &error)) fail_msg("accepted: %s", bad_texts[i].text);
        if (error.offset != bad_texts[i].offset) {
            fail_msg("%s: said %zu (%s), not %zu", bad_texts[i].text, error.offset, error.text, bad_texts[i].offset);
        }
        assert_non_null(error.text);
        assert_false(is_valid(slice_of(bad_texts[i].text), NULL));
    }
}

static void zero_bytes_are_no_white_space(void **state)
{
    (void)state;
    assert_false(is_valid(slice_make("1\0", 2), NULL));
    assert_false(is_valid(slice_make("\0", 1), NULL));
    assert_false(is_valid(slice_make("\"\0\"", 3), NULL));
    assert_false(is_valid(slice_make("[\0]", 3), NULL));
    assert_false(is_valid(slice_make(NULL, 0), NULL));
}

/* Every shorter part of a container or string from its start is unfinished, and says so at its end. */
static void every_prefix_of_a_container_is_unfinished(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good_texts); i++) {
        Slice text = slice_of(good_texts[i]);
        if (text.data[0] != '[' && text.data[0] != '{') continue;
        for (size_t size = 0; size < text.size; size++) {
            if (is_valid(slice_make(text.data, size), NULL)) fail_msg("%.*s", (int)size, text.data);
        }
    }
}

static void nesting_has_a_limit(void **state)
{
    char text[2 * JSON_MAX_DEPTH + 2];
    JsonError error;
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        memset(text, "[{"[kind], JSON_MAX_DEPTH);
        Buffer deep = buffer_with_headroom(0);
        for (int depth = 0; depth <= JSON_MAX_DEPTH; depth++) {
            buffer_append_text(&deep, kind ? "{\"a\":" : "[");
        }
        size_t unit = kind ? 5 : 1;
        buffer_append_text(&deep, "0");
        for (int depth = 0; depth <= JSON_MAX_DEPTH; depth++) {
            buffer_append_char(&deep, "]}"[kind]);
        }
        Slice whole = buffer_slice(&deep), inner = slice_make(whole.data + unit, whole.size - unit - 1);
        assert_true(is_valid(inner, &error));
        assert_false(is_valid(whole, &error));
        assert_int_equal(error.offset, unit * JSON_MAX_DEPTH);
        assert_string_equal(error.text, "nested too deeply");
        buffer_free(&deep);
    }
    /* Siblings do not add up. */
    Buffer wide = buffer_with_headroom(0);
    buffer_append_text(&wide, "[");
    for (int i = 0; i < 1000; i++) {
        buffer_append_text(&wide, "[[],{}],");
    }
    buffer_append_text(&wide, "0]");
    assert_true(is_valid(buffer_slice(&wide), NULL));
    buffer_free(&wide);
}

/* --- skim ------------------------------------------------------------------------------------------------------------------ */

static void members_come_in_order_as_raw_text(void **state)
{
    static const char *const expected[][2] = {{"a", "1"},    {"b", "\"x,}]\\\"\""}, {"c\\\"d", "{\"e\":[\"}\",{}]}"},
                                              {"f", "null"}, {"", "[ ]"},           {"a", "-1.5e3"}};
    Slice text = exact_copy(slice_of(
        " { \"a\" : 1,\"b\":\"x,}]\\\"\" ,\"c\\\"d\":{\"e\":[\"}\",{}]},\n\"f\":null,\"\": [ ] ,\"a\":-1.5e3}"));
    Slice key, value;
    size_t count = 0;
    (void)state;
    JsonCursor cursor = json_cursor(text);
    while (json_next_member(&cursor, &key, &value)) {
        assert_true(count < COUNT(expected));
        assert_true(slice_is(key, expected[count][0]));
        assert_true(slice_is(value, expected[count][1]));
        count++;
    }
    assert_int_equal(count, COUNT(expected));
    assert_false(cursor.malformed);
    free_copy(text);
}

static void elements_come_in_order_as_raw_text(void **state)
{
    static const char *const expected[] = {"1", "[2,3]", "\"]\"", "{\"a\":[]}", "true"};
    Slice text = exact_copy(slice_of("[1,[2,3] , \"]\",{\"a\":[]}, true ]"));
    Slice value;
    size_t count = 0;
    (void)state;
    JsonCursor cursor = json_cursor(text);
    while (json_next_element(&cursor, &value)) {
        assert_true(count < COUNT(expected) && slice_is(value, expected[count]));
        count++;
    }
    assert_int_equal(count, COUNT(expected));
    assert_false(cursor.malformed);
    free_copy(text);
}

static void what_is_no_such_container_has_no_items(void **state)
{
    static const char *const texts[] = {"", "1", "\"a\"", "null", ",1", "}", "]", "{}", "[]", "{ }", "[ ]"};
    Slice key, value;
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        JsonCursor members = json_cursor(slice_of(texts[i])), elements = members;
        assert_false(json_next_member(&members, &key, &value) || members.malformed);
        assert_false(json_next_element(&elements, &value) || elements.malformed);
    }
    JsonCursor array = json_cursor(slice_of("[1]")), object = json_cursor(slice_of("{\"a\":1}"));
    assert_false(json_next_member(&array, &key, &value) || array.malformed);
    assert_false(json_next_element(&object, &value) || object.malformed);
    JsonCursor nothing = json_cursor((Slice){0});
    assert_false(json_next_member(&nothing, &key, &value) || nothing.malformed);
}

static void broken_containers_are_told_from_finished_ones(void **state)
{
    static const char *const texts[] = {"{",
                                        "{\"a\"",
                                        "{\"a\":",
                                        "{\"a\":1",
                                        "{\"a\":1,",
                                        "{\"a\":1,}",
                                        "{1:2}",
                                        "{\"a\" 1}",
                                        "{\"a\":1 \"b\":2}",
                                        "{\"a\":}",
                                        "{\"a\":{\"b\":1}",
                                        "{\"a\":\"b}",
                                        "{\"a\":[1,{}}",
                                        "{\"a",
                                        "{a:1}",
                                        "{\"a\":\"\\\"}",
                                        "{\"a\":\"0123456789abcdef0123456789abcdef\\\"}"};
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        Slice text = exact_copy(slice_of(texts[i])), key, value;
        JsonCursor cursor = json_cursor(text);
        while (json_next_member(&cursor, &key, &value)) {
        }
        if (!cursor.malformed) fail_msg("taken as finished: %s", texts[i]);
        free_copy(text);
    }
}

/* The way over a value must not depend on where its quotes, backslashes and brackets fall in a block. */
static void values_end_where_they_end_at_every_alignment(void **state)
{
    static const char *const values[] = {
        "{}",
        "[]",
        "\"\"",
        "\"\\\\\"",
        "\"\\\"\"",
        "\"\\\\\\\"\"",
        "{\"a\":\"\\\\\"}",
        "[\"\\\"]\",\"[\"]",
        "{\"k\":[{},{\"}\":\"{\"}]}",
        "[\"a long text without any quote in it, longer than a block of sixty-four bytes is, and then some\",[]]",
        "[\"a text with \\\" quotes and ] brackets } in it, and \\\\\\\" longer than a block \\\\\",{}]",
        "{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":{\"f\":{\"g\":{\"h\":{\"i\":[[[[[[[[[[]]]]]]]]]]}}}}}}}}}"};
    (void)state;
    for (size_t i = 0; i < COUNT(values); i++) {
        for (int before = 0; before < 80; before++) {
            for (int behind = 0; behind < 80; behind += 13) {
                char text[512];
                snprintf(text, sizeof text, "[\"%.*s\",%s,\"%.*s\"]", before,
                         "................................................................................", values[i],
                         behind, "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
                Slice copy = exact_copy(slice_of(text)), value = {0};
                JsonCursor cursor = json_cursor(copy);
                assert_true(json_next_element(&cursor, &value));
                assert_true(json_next_element(&cursor, &value) && slice_is(value, values[i]));
                assert_true(json_next_element(&cursor, &value) && value.size == (size_t)behind + 2);
                assert_false(json_next_element(&cursor, &value) || cursor.malformed);

                /* And as a whole, inside one more container. */
                JsonCursor outer = json_cursor(copy);
                Slice last = {0};
                while (json_next_element(&outer, &value)) {
                    last = value;
                }
                assert_int_equal(last.size, behind + 2);
                free_copy(copy);
            }
        }
    }
}

static void find_returns_the_last_of_its_name(void **state)
{
    Slice object = slice_of("{\"a\":1,\"ab\":2,\"a\":{\"a\":3},\"b\":null}");
    (void)state;
    assert_true(slice_is(json_find(object, "a"), "{\"a\":3}"));
    assert_true(slice_is(json_find(object, "ab"), "2"));
    assert_true(slice_is(json_find(json_find(object, "a"), "a"), "3"));
    assert_int_equal(json_find(object, "c").size, 0);
    assert_int_equal(json_find(slice_of("[1]"), "a").size, 0);
    assert_int_equal(json_find((Slice){0}, "a").size, 0);
}

static void types_are_told_by_the_first_byte(void **state)
{
    (void)state;
    assert_int_equal(json_type(slice_of("null")), JSON_NULL);
    assert_int_equal(json_type(slice_of("true")), JSON_TRUE);
    assert_int_equal(json_type(slice_of("false")), JSON_FALSE);
    assert_int_equal(json_type(slice_of("-1")), JSON_NUMBER);
    assert_int_equal(json_type(slice_of("9")), JSON_NUMBER);
    assert_int_equal(json_type(slice_of("\"\"")), JSON_STRING);
    assert_int_equal(json_type(slice_of("[]")), JSON_ARRAY);
    assert_int_equal(json_type(slice_of("{}")), JSON_OBJECT);
    assert_int_equal(json_type(slice_of("x")), JSON_NONE);
    assert_int_equal(json_type(slice_of("")), JSON_NONE);
    assert_int_equal(json_type((Slice){0}), JSON_NONE);
    assert_true(json_is_true(slice_of("true")));
    assert_false(json_is_true(slice_of("\"true\"")));
    assert_false(json_is_true((Slice){0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grammar_is_accepted),
        cmocka_unit_test(what_is_not_grammar_is_refused_with_its_place),
        cmocka_unit_test(zero_bytes_are_no_white_space),
        cmocka_unit_test(every_prefix_of_a_container_is_unfinished),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(members_come_in_order_as_raw_text),
        cmocka_unit_test(elements_come_in_order_as_raw_text),
        cmocka_unit_test(what_is_no_such_container_has_no_items),
        cmocka_unit_test(broken_containers_are_told_from_finished_ones),
        cmocka_unit_test(values_end_where_they_end_at_every_alignment),
        cmocka_unit_test(find_returns_the_last_of_its_name),
        cmocka_unit_test(types_are_told_by_the_first_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
