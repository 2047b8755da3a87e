/* test_websocket.c - frames that come in: every split of the bytes, every refusal, every close code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "protocol/websocket.h"
#include "unit/websocket_peer.h"

/* The bytes give the same lines at once, cut at any two places, and in pieces of any small size. */
static void assert_at_every_split(Slice bytes, Slice expected)
{
    Websocket *websocket = websocket_new(LIMIT);
    Buffer log = {0};

    assert_non_null(websocket);
    for (size_t first = 0; first <= bytes.size; first++) {
        for (size_t second = first; second <= bytes.size; second++) {
            websocket_reset(websocket);
            buffer_clear(&log);
            if (feed(websocket, slice_make(bytes.data, first), &log) &&
                feed(websocket, slice_make(bytes.data + first, second - first), &log)) {
                feed(websocket, slice_make(bytes.data + second, bytes.size - second), &log);
            }
            assert_log(&log, expected);
        }
    }
    for (size_t piece = 1; piece < 20; piece++) {
        websocket_reset(websocket);
        buffer_clear(&log);
        feed_in_pieces(websocket, bytes, piece, &log);
        assert_log(&log, expected);
    }
    buffer_free(&log);
    websocket_free(websocket);
}

static void nothing_comes_of_nothing(void **state)
{
    Websocket *websocket = websocket_new(LIMIT);
    WebsocketMessage message;

    (void)state;
    assert_int_equal(websocket_next(websocket, &message), WEBSOCKET_MORE);
    assert_int_equal(websocket_error(websocket).close_code, 0);
    websocket_free(websocket);
    websocket_free(NULL);
}

static void examples_of_the_rfc(void **state)
{
    Buffer bytes = {0}, payload = {0};

    (void)state;
    assert_at_every_split(BYTES("\x81\x05Hello"), slice_of("text 5 Hello\n"));
    assert_at_every_split(BYTES("\x01\x03Hel\x80\x02lo"), slice_of("text 5 Hello\n"));
    assert_at_every_split(BYTES("\x89\x05Hello"), slice_of("ping 5 Hello\n"));

    random_bytes(&payload, 256, 1);
    buffer_append(&bytes, "\x82\x7E\x01\x00", 4);
    buffer_append_slice(&bytes, buffer_slice(&payload));
    {
        Websocket *websocket = websocket_new(LIMIT);
        WebsocketMessage message;
        size_t size;

        memcpy(websocket_room(websocket, &size), buffer_slice(&bytes).data, buffer_size(&bytes));
        websocket_received(websocket, buffer_size(&bytes));
        assert_int_equal(websocket_next(websocket, &message), WEBSOCKET_MESSAGE);
        assert_int_equal(message.opcode, WEBSOCKET_BINARY);
        assert_true(slice_equals(message.data, buffer_slice(&payload)));
        websocket_free(websocket);
    }
    buffer_free(&bytes);
    buffer_free(&payload);
}

static void a_conversation_at_every_split(void **state)
{
    Buffer bytes = {0};

    (void)state;
    server_frame(&bytes, TEXT, slice_of("{\"a\":1}"));
    server_frame(&bytes, PING, slice_of(""));
    server_frame(&bytes, TEXT_BEGIN, slice_of("sm\xC3")); /* a character cut by the border of fragments */
    server_frame(&bytes, PING, slice_of("between"));
    server_frame(&bytes, CONTINUE, slice_of(""));
    server_frame(&bytes, CONTINUE, slice_of("\xB8rrebr\xF0\x9F"));
    server_frame(&bytes, PONG, slice_of("x"));
    server_frame(&bytes, CONTINUE_LAST, slice_of("\x98\x80"));
    server_frame(&bytes, TEXT, slice_of(""));
    server_frame(&bytes, BINARY_BEGIN, slice_of(""));
    server_frame(&bytes, CONTINUE_LAST, BYTES("\xFF\x00\xFE"));
    server_frame(&bytes, BINARY, BYTES("\x80"));
    server_frame(&bytes, CLOSE, BYTES("\x03\xE8gr\xC3\xBC\xC3\x9F"));
    assert_at_every_split(buffer_slice(&bytes), BYTES("text 7 {\"a\":1}\n"
                                                      "ping 0 \n"
                                                      "ping 7 between\n"
                                                      "pong 1 x\n"
                                                      "text 13 sm\xC3\xB8rrebr\xF0\x9F\x98\x80\n"
                                                      "text 0 \n"
                                                      "binary 3 \xFF\x00\xFE\n"
                                                      "binary 1 \x80\n"
                                                      "close 1000 6 gr\xC3\xBC\xC3\x9F\n"));
    buffer_free(&bytes);
}

typedef struct {
    const char *what;
    Slice bytes; /* fed one at a time: the error comes with the last of them, and not before */
    unsigned code;
    const char *text; /* part of the message */
} Refusal;

#define REFUSAL(what, bytes, code, text)             \
    {                                                \
        what, {bytes, sizeof(bytes) - 1}, code, text \
    }

static void every_refusal_comes_at_the_first_byte_that_shows_it(void **state)
{
    static const Refusal refusals[] = {
        REFUSAL("reserved bit 1", "\xC1\x05", 1002, "reserved bits"),
        REFUSAL("reserved bit 2", "\xA1\x05", 1002, "reserved bits"),
        REFUSAL("reserved bit 3", "\x91\x05", 1002, "reserved bits"),
        REFUSAL("reserved bit of a ping", "\xC9\x00", 1002, "reserved bits"),
        REFUSAL("reserved bit of a continuation", "\x01\x01x\xC0\x01", 1002, "reserved bits"),
        REFUSAL("opcode 3", "\x83\x00", 1002, "unknown kind"),
        REFUSAL("opcode 7", "\x87\x00", 1002, "unknown kind"),
        REFUSAL("opcode 11", "\x8B\x00", 1002, "unknown kind"),
        REFUSAL("opcode 15", "\x8F\x00", 1002, "unknown kind"),
        REFUSAL("masked", "\x81\x85", 1002, "masked"),
        REFUSAL("masked ping", "\x89\x80", 1002, "masked"),
        REFUSAL("ping in fragments", "\x09\x00", 1002, "control frame in fragments"),
        REFUSAL("close in fragments", "\x08\x02", 1002, "control frame in fragments"),
        REFUSAL("long ping", "\x89\x7E", 1002, "more than 125 bytes"),
        REFUSAL("very long close", "\x88\x7F", 1002, "more than 125 bytes"),
        REFUSAL("continuation of nothing", "\x80\x01", 1002, "had not begun"),
        REFUSAL("continuation after the end", "\x01\x01x\x80\x01y\x80\x01", 1002, "had not begun"),
        REFUSAL("text within text", "\x01\x01x\x81\x01", 1002, "before the end of another"),
        REFUSAL("binary within text", "\x01\x01x\x02\x01", 1002, "before the end of another"),
        REFUSAL("16 bits for 0", "\x81\x7E\x00\x00", 1002, "more bytes than it needs"),
        REFUSAL("16 bits for 125", "\x82\x7E\x00\x7D", 1002, "more bytes than it needs"),
        REFUSAL("64 bits for 65535", "\x82\x7F\x00\x00\x00\x00\x00\x00\xFF\xFF", 1002, "more bytes than it needs"),
        REFUSAL("64 bits", "\x82\x7F\x80\x00\x00\x00\x00\x00\x00\x00", 1002, "63 bits"),
        REFUSAL("63 bits", "\x82\x7F\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 1009, "larger than the limit"),
        REFUSAL("63 bits in a fragment", "\x02\x01x\x80\x7F\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 1009,
                "larger than the limit"),
        REFUSAL("limit + 1", "\x82\x7F\x00\x00\x00\x00\x01\x00\x00\x01", 1009, "larger than the limit"),
        REFUSAL("limit + 1 with fragments", "\x02\x01x\x80\x7F\x00\x00\x00\x00\x01\x00\x00\x00", 1009,
                "larger than the limit"),
        REFUSAL("close of one byte", "\x88\x01\x03", 1002, "half a code"),
        REFUSAL("close code 0", "\x88\x02\x00\x00", 1002, "must not be sent"),
        REFUSAL("close code 999", "\x88\x02\x03\xE7", 1002, "must not be sent"),
        REFUSAL("close code 1004", "\x88\x02\x03\xEC", 1002, "must not be sent"),
        REFUSAL("close code 1005", "\x88\x02\x03\xED", 1002, "must not be sent"),
        REFUSAL("close code 1006", "\x88\x02\x03\xEE", 1002, "must not be sent"),
        REFUSAL("close code 1015", "\x88\x02\x03\xF7", 1002, "must not be sent"),
        REFUSAL("close code 1016", "\x88\x02\x03\xF8", 1002, "must not be sent"),
        REFUSAL("close code 2999", "\x88\x02\x0B\xB7", 1002, "must not be sent"),
        REFUSAL("close code 5000", "\x88\x02\x13\x88", 1002, "must not be sent"),
        REFUSAL("close reason", "\x88\x04\x03\xE8\xC3(", 1007, "close reason"),
        REFUSAL("close reason cut", "\x88\x04\x03\xE8\xE2\x82", 1007, "close reason"),
        REFUSAL("text, at once", "\x81\x7E\x10\x00xyz\xFF", 1007, "not UTF-8"),
        REFUSAL("text, second byte", "\x81\x7E\x10\x00\xED\xA0", 1007, "not UTF-8"),
        REFUSAL("text ends within a character", "\x81\x03x\xE2\x82", 1007, "not UTF-8"),
        REFUSAL("fragments, second", "\x01\x02x\xE2\x89\x00\x00\x02\x82(", 1007, "not UTF-8"),
        REFUSAL("fragments end within a character", "\x01\x02x\xE2\x80\x01\x82", 1007, "not UTF-8"),
        REFUSAL("fragments end empty within a character", "\x01\x01\xC3\x80\x00", 1007, "not UTF-8"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const Refusal *refusal = &refusals[i];
        Websocket *websocket = websocket_new(LIMIT);
        Buffer log = {0};
        WebsocketMessage message;
        size_t last = refusal->bytes.size - 1;

        if (!feed_in_pieces(websocket, slice_make(refusal->bytes.data, last), 1, &log)) {
            fail_msg("%s: refused too early: %.*s", refusal->what, SLICE_ARGS(buffer_slice(&log)));
        }
        if (feed(websocket, slice_make(refusal->bytes.data + last, 1), &log)) fail_msg("%s: accepted", refusal->what);
        if (websocket_error(websocket).close_code != refusal->code ||
            !strstr(websocket_error(websocket).text, refusal->text)) {
            fail_msg("%s: %.*s", refusal->what, SLICE_ARGS(buffer_slice(&log)));
        }
        /* sticky, until the next connection */
        feed(websocket, BYTES("\x81\x01x"), &log);
        assert_int_equal(websocket_next(websocket, &message), WEBSOCKET_ERROR);
        assert_int_equal(websocket_error(websocket).close_code, refusal->code);
        websocket_reset(websocket);
        buffer_clear(&log);
        assert_true(feed(websocket, BYTES("\x81\x01x"), &log));
        assert_log(&log, slice_of("text 1 x\n"));
        buffer_free(&log);
        websocket_free(websocket);
    }
}

static void messages_before_an_error_come_out(void **state)
{
    (void)state;
    assert_at_every_split(BYTES("\x81\x03one\x81\x03two\x83\x00"),
                          slice_of("text 3 one\ntext 3 two\nerror 1002 the server sent a frame of an unknown kind\n"));
}

static void every_close_code_that_may_be_sent_is_accepted(void **state)
{
    static const unsigned codes[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010,
                                     1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999};

    (void)state;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        Buffer content = {0}, bytes = {0};
        char expected[40];

        websocket_write_close(&content, codes[i], slice_of("why"));
        assert_int_equal(buffer_size(&content), 5);
        server_frame(&bytes, CLOSE, buffer_slice(&content));
        snprintf(expected, sizeof expected, "close %u 3 why\n", codes[i]);
        assert_at_every_split(buffer_slice(&bytes), slice_of(expected));
        buffer_free(&content);
        buffer_free(&bytes);
    }
}

static void nothing_comes_after_a_close(void **state)
{
    (void)state;
    assert_at_every_split(BYTES("\x88\x00\x81\x01x\xFF\xFF"), slice_of("close 1005 0 \n"));
    assert_at_every_split(BYTES("\x01\x01x\x88\x02\x03\xF4\x80\x01y"), slice_of("close 1012 0 \n"));
}

static void reset_forgets_fragments(void **state)
{
    Websocket *websocket = websocket_new(LIMIT);
    Buffer log = {0};

    (void)state;
    assert_true(feed(websocket, BYTES("\x01\x02x\xC3\x00"), &log));
    websocket_reset(websocket);
    assert_true(feed(websocket, BYTES("\x81\x01y"), &log));
    assert_log(&log, slice_of("text 1 y\n"));
    buffer_free(&log);
    websocket_free(websocket);
}

static void the_limit_can_change(void **state)
{
    Websocket *websocket = websocket_new(4);
    Buffer log = {0};

    (void)state;
    assert_true(feed(websocket,
                     BYTES("\x81\x04"
                           "1234"
                           "\x01\x02"
                           "12"
                           "\x89\x05"
                           "12345"
                           "\x80\x02"
                           "34"),
                     &log));
    assert_log(&log, slice_of("text 4 1234\nping 5 12345\ntext 4 1234\n"));
    websocket_set_limit(websocket, SIZE_MAX);
    buffer_clear(&log);
    assert_true(feed(websocket,
                     BYTES("\x81\x05"
                           "12345"
                           "\x01\x04"
                           "1234"),
                     &log));
    websocket_set_limit(websocket, 0);
    assert_true(feed(websocket, BYTES("\x89\x01p"), &log));
    assert_false(feed(websocket, BYTES("\x80\x00"), &log));
    assert_log(&log, slice_of("text 5 12345\nping 1 p\nerror 1009 the server sent a message larger than the limit\n"));
    buffer_free(&log);
    websocket_free(websocket);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_comes_of_nothing),
        cmocka_unit_test(examples_of_the_rfc),
        cmocka_unit_test(a_conversation_at_every_split),
        cmocka_unit_test(every_refusal_comes_at_the_first_byte_that_shows_it),
        cmocka_unit_test(messages_before_an_error_come_out),
        cmocka_unit_test(every_close_code_that_may_be_sent_is_accepted),
        cmocka_unit_test(nothing_comes_after_a_close),
        cmocka_unit_test(reset_forgets_fragments),
        cmocka_unit_test(the_limit_can_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
