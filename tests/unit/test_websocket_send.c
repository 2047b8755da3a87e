/* test_websocket_send.c - frames that go out: sealed with any mask, at any size, and opened again as a server would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/websocket.h"
#include "unit/websocket_peer.h"

static void examples_of_the_rfc_for_clients(void **state)
{
    const uint8_t mask[4] = {0x37, 0xFA, 0x21, 0x3D};
    Buffer text = buffer_with_headroom(BUFFER_FRAME_HEADROOM), pong = {0};

    (void)state;
    buffer_append_text(&text, "Hello");
    websocket_seal(&text, WEBSOCKET_TEXT, mask);
    assert_true(slice_equals(buffer_slice(&text), BYTES("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58")));
    buffer_append_text(&pong, "Hello");
    websocket_seal(&pong, WEBSOCKET_PONG, mask);
    assert_true(slice_equals(buffer_slice(&pong), BYTES("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58")));
    buffer_free(&text);
    buffer_free(&pong);
}

static void what_is_sealed_can_be_opened(void **state)
{
    static const size_t large[] = {65534, 65535, 65536, 65537, 1000000};
    uint32_t random = 99;

    (void)state;
    for (size_t i = 0; i < 400 + sizeof large / sizeof large[0]; i++) {
        size_t size = i < 400 ? i : large[i - 400];
        size_t header_size = size < 126 ? 6 : size < 65536 ? 8 : 14;
        Buffer plain = {0}, header = {0}, sealed = buffer_with_headroom(next_random(&random) % 20);
        uint8_t mask[4];
        const uint8_t *bytes;

        for (int k = 0; k < 4; k++)
            mask[k] = (uint8_t)next_random(&random);
        random_bytes(&plain, size, (uint32_t)i);
        buffer_append_slice(&sealed, buffer_slice(&plain));
        websocket_seal(&sealed, WEBSOCKET_BINARY, mask);
        assert_false(sealed.failed);
        assert_int_equal(buffer_size(&sealed), header_size + size);
        server_header(&header, BINARY, size);
        header.base[header.start + 1] |= (char)0x80;
        buffer_append(&header, (const char *)mask, 4);
        bytes = (const uint8_t *)buffer_slice(&sealed).data;
        assert_memory_equal(bytes, buffer_slice(&header).data, header_size);
        for (size_t k = 0; k < size; k++) {
            assert_true((bytes[header_size + k] ^ mask[k % 4]) == (uint8_t)plain.base[k]);
        }
        buffer_free(&plain);
        buffer_free(&header);
        buffer_free(&sealed);
    }
}

static void sealing_keeps_a_failure(void **state)
{
    const uint8_t mask[4] = {1, 2, 3, 4};
    Buffer buffer = {0};

    (void)state;
    buffer_append_text(&buffer, "plain");
    assert_null(buffer_reserve(&buffer, SIZE_MAX));
    websocket_seal(&buffer, WEBSOCKET_TEXT, mask);
    assert_true(buffer.failed);
    assert_true(slice_is(buffer_slice(&buffer), "plain"));
    buffer_free(&buffer);
}

static void close_content_fits_a_control_frame(void **state)
{
    static const unsigned unsendable[] = {0, 999, 1004, 1005, 1006, 1015, 2000, 5000, 70000};
    Buffer out = {0}, reason = {0};

    (void)state;
    for (size_t i = 0; i < sizeof unsendable / sizeof unsendable[0]; i++) {
        websocket_write_close(&out, unsendable[i], slice_of("reason"));
        assert_int_equal(buffer_size(&out), 0);
    }
    websocket_write_close(&out, 4000, slice_of("no tick"));
    assert_true(slice_equals(buffer_slice(&out), BYTES("\x0F\xA0no tick")));

    buffer_clear(&out);
    websocket_write_close(&out, 1000, (Slice){NULL, 0});
    assert_true(slice_equals(buffer_slice(&out), BYTES("\x03\xE8")));

    buffer_clear(&out);
    for (int i = 0; i < 100; i++)
        buffer_append_text(&reason, "\xC3\xA4");
    websocket_write_close(&out, 1000, buffer_slice(&reason));
    assert_int_equal(buffer_size(&out), 2 + 122); /* 123 would cut a character */

    buffer_clear(&out);
    websocket_write_close(&out, 1000, slice_of("\xFF"));
    assert_int_equal(buffer_size(&out), 2);
    buffer_free(&out);
    buffer_free(&reason);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_of_the_rfc_for_clients),
        cmocka_unit_test(what_is_sealed_can_be_opened),
        cmocka_unit_test(sealing_keeps_a_failure),
        cmocka_unit_test(close_content_fits_a_control_frame),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
