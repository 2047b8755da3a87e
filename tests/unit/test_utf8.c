/* test_utf8.c - every code point and every malformed shape, at every place where the fast path could miss it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/utf8.h"

static size_t encode(uint32_t point, char *to)
{
    if (point < 0x80) {
        to[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        to[0] = (char)(0xC0 | point >> 6);
        to[1] = (char)(0x80 | (point & 0x3F));
        return 2;
    }
    if (point < 0x10000) {
        to[0] = (char)(0xE0 | point >> 12);
        to[1] = (char)(0x80 | (point >> 6 & 0x3F));
        to[2] = (char)(0x80 | (point & 0x3F));
        return 3;
    }
    to[0] = (char)(0xF0 | point >> 18);
    to[1] = (char)(0x80 | (point >> 12 & 0x3F));
    to[2] = (char)(0x80 | (point >> 6 & 0x3F));
    to[3] = (char)(0x80 | (point & 0x3F));
    return 4;
}

static void every_scalar_value_is_valid_and_nothing_else(void **state)
{
    (void)state;
    for (uint32_t point = 0; point < 0x1FFFFF; point++) { /* all that four bytes can hold */
        char text[4];
        size_t size = encode(point, text);
        bool is_scalar = point <= 0x10FFFF && !(point >= 0xD800 && point <= 0xDFFF);

        if (utf8_valid(slice_make(text, size)) != is_scalar) fail_msg("U+%04X", point);
    }
}

/* All sequences of two bytes, and of three and four with continuations after the first two, against the definition. */
static void short_sequences_agree_with_decoding(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned second = 0; second < 256; second++) {
            char text[4] = {(char)first, (char)second, (char)0x80, (char)0xBF};
            bool continues = second >= 0x80 && second < 0xC0;
            bool two = (first < 0x80 && second < 0x80) || (first >= 0xC2 && first < 0xE0 && continues);
            bool three = first >= 0xE0 && first < 0xF0 && continues && (first != 0xE0 || second >= 0xA0) &&
                         (first != 0xED || second < 0xA0);
            bool four = first >= 0xF0 && first < 0xF5 && continues && (first != 0xF0 || second >= 0x90) &&
                        (first != 0xF4 || second < 0x90);
            /* ASCII before a shorter character is the other way to the same number of bytes */
            bool ascii_two = first < 0x80 && second >= 0xC2 && second < 0xE0;
            bool ascii_three = first < 0x80 && second > 0xE0 && second < 0xF0;

            assert_int_equal(utf8_valid(slice_make(text, 2)), two);
            assert_int_equal(utf8_valid(slice_make(text, 3)), three || ascii_two);
            assert_int_equal(utf8_valid(slice_make(text, 4)), four || ascii_three);
        }
    }
}

static void malformed_bytes_are_found_at_every_offset(void **state)
{
    static const char *const malformed[] = {"\x80",
                                            "\xBF",
                                            "\xC0\x80",
                                            "\xC1\xBF",
                                            "\xE0\x9F\xBF",
                                            "\xED\xA0\x80",
                                            "\xF0\x8F\xBF\xBF",
                                            "\xF4\x90\x80\x80",
                                            "\xF5\x80\x80\x80",
                                            "\xFE",
                                            "\xFF",
                                            "\xC3(",
                                            "\xE2\x82(",
                                            "\xF0\x9F\x98("};
    char text[160];

    (void)state;
    for (size_t kind = 0; kind < sizeof malformed / sizeof malformed[0]; kind++) {
        size_t size = strlen(malformed[kind]);

        for (size_t offset = 0; offset + size <= sizeof text; offset++) {
            memset(text, 'a', sizeof text);
            assert_true(utf8_valid(slice_make(text, sizeof text)));
            memcpy(text + offset, malformed[kind], size);
            assert_int_equal(utf8_check(UTF8_ACCEPT, slice_make(text, sizeof text)), UTF8_REJECT);
        }
    }
}

static void the_check_stops_and_goes_on_anywhere(void **state)
{
    const Slice text = slice_of(
        "plain ascii of more than sixteen bytes, \xC3\xA4\xC3\xB6\xC3\xBC, \xE2\x82\xAC \xED\x9F\xBF, \xF0\x9F\x98\x80 "
        "and a tail that is longer than sixty-four bytes, so that every path is taken at least once");

    (void)state;
    for (size_t first = 0; first <= text.size; first++) {
        for (size_t second = first; second <= text.size; second++) {
            uint32_t reached = utf8_check(UTF8_ACCEPT, slice_make(text.data, first));

            reached = utf8_check(reached, slice_make(text.data + first, second - first));
            reached = utf8_check(reached, slice_make(text.data + second, text.size - second));
            assert_int_equal(reached, UTF8_ACCEPT);
        }
    }
}

static void a_cut_character_is_neither_valid_nor_rejected(void **state)
{
    uint32_t reached = utf8_check(UTF8_ACCEPT, slice_of("\xF0\x9F\x98"));

    (void)state;
    assert_true(reached != UTF8_ACCEPT && reached != UTF8_REJECT);
    assert_false(utf8_valid(slice_of("\xF0\x9F\x98")));
    assert_int_equal(utf8_check(reached, slice_make(NULL, 0)), reached);
    assert_int_equal(utf8_check(reached, slice_of("\x80")), UTF8_ACCEPT);
    assert_int_equal(utf8_check(reached, slice_of("a")), UTF8_REJECT);
    assert_int_equal(utf8_check(UTF8_REJECT, slice_of("a")), UTF8_REJECT);
    assert_true(utf8_valid(slice_make(NULL, 0)));
}

static void a_prefix_cuts_no_character(void **state)
{
    const Slice text = slice_of("a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"); /* borders at 0, 1, 3, 6, 10 */
    const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};

    (void)state;
    for (size_t limit = 0; limit < sizeof expected / sizeof expected[0]; limit++) {
        assert_int_equal(utf8_prefix(text, limit), expected[limit]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scalar_value_is_valid_and_nothing_else),
        cmocka_unit_test(short_sequences_agree_with_decoding),
        cmocka_unit_test(malformed_bytes_are_found_at_every_offset),
        cmocka_unit_test(the_check_stops_and_goes_on_anywhere),
        cmocka_unit_test(a_cut_character_is_neither_valid_nor_rejected),
        cmocka_unit_test(a_prefix_cuts_no_character),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
