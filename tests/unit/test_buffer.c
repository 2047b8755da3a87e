/* test_buffer.c - the growable buffer: content survives growth at both ends, headroom is used, failure is sticky. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/buffer.h"

static void assert_content(const Buffer *buffer, const char *expected)
{
    Slice content = buffer_slice(buffer);

    assert_int_equal(content.size, strlen(expected));
    assert_memory_equal(content.data, expected, content.size);
}

static void zero_is_an_empty_buffer(void **state)
{
    Buffer buffer = {0};

    (void)state;
    assert_int_equal(buffer_size(&buffer), 0);
    assert_non_null(buffer_slice(&buffer).data);
    buffer_append_text(&buffer, "");
    assert_null(buffer.base);
    buffer_append_text(&buffer, "a");
    assert_content(&buffer, "a");
    buffer_free(&buffer);
    buffer_append_char(&buffer, 'b');
    assert_content(&buffer, "b");
    buffer_free(&buffer);
}

static void appends_of_every_kind_follow_each_other(void **state)
{
    Buffer buffer = buffer_with_headroom(BUFFER_FRAME_HEADROOM);
    char *room;

    (void)state;
    buffer_append(&buffer, "one", 3);
    buffer_append_slice(&buffer, slice_of(" two"));
    buffer_append_slice(&buffer, (Slice){NULL, 0});
    buffer_append_char(&buffer, ' ');
    buffer_append_text(&buffer, "three");
    buffer_append_format(&buffer, " %d%s", 4, "ever");
    room = buffer_reserve(&buffer, 100);
    assert_non_null(room);
    memcpy(room, "!", 1);
    buffer_commit(&buffer, 1);
    assert_content(&buffer, "one two three 4ever!");
    assert_false(buffer.failed);
    buffer_free(&buffer);
}

static void content_survives_growth(void **state)
{
    Buffer buffer = buffer_with_headroom(7);

    (void)state;
    for (unsigned i = 0; i < 100000; i++)
        buffer_append_char(&buffer, (char)(i * 7 % 251));
    assert_int_equal(buffer_size(&buffer), 100000);
    assert_int_equal(buffer.start, 7);
    for (unsigned i = 0; i < 100000; i++)
        assert_true(buffer_slice(&buffer).data[i] == (char)(i * 7 % 251));
    buffer_free(&buffer);
}

static void long_format_is_not_cut(void **state)
{
    Buffer buffer = {0};

    (void)state;
    buffer_append_format(&buffer, "%05000d", 7);
    assert_int_equal(buffer_size(&buffer), 5000);
    assert_int_equal(buffer_slice(&buffer).data[4999], '7');
    buffer_free(&buffer);
}

static void prepending_within_the_headroom_does_not_move(void **state)
{
    Buffer buffer = buffer_with_headroom(8);
    const char *before;

    (void)state;
    buffer_append_text(&buffer, "payload");
    before = buffer_slice(&buffer).data;
    buffer_prepend(&buffer, "12345678", 8);
    assert_ptr_equal(buffer_slice(&buffer).data, before - 8);
    assert_content(&buffer, "12345678payload");
    buffer_prepend(&buffer, "0", 1); /* the headroom is used up */
    buffer_prepend(&buffer, "", 0);
    assert_content(&buffer, "012345678payload");
    assert_int_equal(buffer.start, 8); /* and is there again */
    buffer_free(&buffer);
}

static void prepending_to_an_empty_buffer(void **state)
{
    Buffer buffer = {0};

    (void)state;
    buffer_prepend(&buffer, "b", 1);
    buffer_prepend(&buffer, "a", 1);
    buffer_append_text(&buffer, "c");
    assert_content(&buffer, "abc");
    buffer_free(&buffer);

    buffer = buffer_with_headroom(16);
    buffer_prepend(&buffer, "d", 1);
    assert_content(&buffer, "d");
    buffer_free(&buffer);
}

static void clearing_keeps_memory_and_headroom(void **state)
{
    Buffer buffer = buffer_with_headroom(4);
    char *base;

    (void)state;
    buffer_append_text(&buffer, "text");
    buffer_prepend(&buffer, "1234", 4);
    base = buffer.base;
    buffer_clear(&buffer);
    assert_int_equal(buffer_size(&buffer), 0);
    buffer_append_text(&buffer, "more");
    assert_ptr_equal(buffer.base, base);
    assert_int_equal(buffer.start, 4);
    assert_content(&buffer, "more");
    buffer_free(&buffer);
}

static void taking_leaves_an_empty_buffer(void **state)
{
    Buffer buffer = buffer_with_headroom(4), taken;

    (void)state;
    buffer_append_text(&buffer, "mine");
    taken = buffer_take(&buffer);
    assert_int_equal(buffer_size(&buffer), 0);
    assert_null(buffer.base);
    buffer_append_text(&buffer, "new");
    assert_int_equal(buffer.start, 4);
    assert_content(&taken, "mine");
    assert_content(&buffer, "new");
    buffer_free(&taken);
    buffer_free(&buffer);
}

static void failure_is_sticky_and_keeps_the_content(void **state)
{
    Buffer buffer = buffer_with_headroom(4);

    (void)state;
    buffer_append_text(&buffer, "kept");
    assert_null(buffer_reserve(&buffer, SIZE_MAX));
    assert_true(buffer.failed);
    assert_null(buffer_reserve(&buffer, 1));
    buffer_append_text(&buffer, "x");
    buffer_append_char(&buffer, 'x');
    buffer_append_format(&buffer, "%d", 1);
    buffer_prepend(&buffer, "x", 1);
    assert_content(&buffer, "kept");
    buffer_clear(&buffer);
    assert_false(buffer.failed);
    buffer_append_text(&buffer, "again");
    assert_content(&buffer, "again");
    buffer_free(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_is_an_empty_buffer),
        cmocka_unit_test(appends_of_every_kind_follow_each_other),
        cmocka_unit_test(content_survives_growth),
        cmocka_unit_test(long_format_is_not_cut),
        cmocka_unit_test(prepending_within_the_headroom_does_not_move),
        cmocka_unit_test(prepending_to_an_empty_buffer),
        cmocka_unit_test(clearing_keeps_memory_and_headroom),
        cmocka_unit_test(taking_leaves_an_empty_buffer),
        cmocka_unit_test(failure_is_sticky_and_keeps_the_content),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
