/* test_websocket.c - the codec against a small server-side encoder: every split of the bytes, every refusal, sizes to 16 MiB.
 *
 * What comes out is written down as lines ("text 5 Hello", "error 1002 …") and compared as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "protocol/websocket.h"

#define MIB ((size_t)1024 * 1024)
#define LIMIT (16 * MIB)
#define USUAL_ROOM ((size_t)256 * 1024)

#define TEXT 0x81
#define BINARY 0x82
#define TEXT_BEGIN 0x01
#define BINARY_BEGIN 0x02
#define CONTINUE 0x00
#define CONTINUE_LAST 0x80
#define CLOSE 0x88
#define PING 0x89
#define PONG 0x8A

#define BYTES(literal) slice_make((literal), sizeof(literal) - 1)

/* ---- the server's side ---- */

static void server_header(Buffer *to, unsigned first, uint64_t size)
{
    buffer_append_char(to, (char)first);
    if (size < 126) {
        buffer_append_char(to, (char)size);
    } else if (size < 65536) {
        buffer_append_char(to, 126);
        for (int shift = 8; shift >= 0; shift -= 8)
            buffer_append_char(to, (char)(size >> shift));
    } else {
        buffer_append_char(to, 127);
        for (int shift = 56; shift >= 0; shift -= 8)
            buffer_append_char(to, (char)(size >> shift));
    }
}

static void server_frame(Buffer *to, unsigned first, Slice payload)
{
    server_header(to, first, payload.size);
    buffer_append_slice(to, payload);
}

static uint32_t next_random(uint32_t *random)
{
    *random = *random * 1664525u + 1013904223u;
    return *random >> 8;
}

static Slice random_bytes(Buffer *to, size_t size, uint32_t seed)
{
    char *at = buffer_reserve(to, size);

    for (size_t i = 0; i < size; i++)
        at[i] = (char)next_random(&seed);
    buffer_commit(to, size);
    return buffer_slice(to);
}

/* ---- the codec under test ---- */

static const char *name_of(WebsocketOpcode opcode)
{
    switch (opcode) {
    case WEBSOCKET_TEXT: return "text";
    case WEBSOCKET_BINARY: return "binary";
    case WEBSOCKET_CLOSE: return "close";
    case WEBSOCKET_PING: return "ping";
    case WEBSOCKET_PONG: return "pong";
    }
    return "?";
}

/* Writes down what the codec has to give; a long payload by size and sum. */
static void drain(Websocket *websocket, Buffer *log)
{
    WebsocketMessage message;
    WebsocketResult result;

    while ((result = websocket_next(websocket, &message)) == WEBSOCKET_MESSAGE) {
        assert_non_null(message.data.data);
        buffer_append_text(log, name_of(message.opcode));
        if (message.opcode == WEBSOCKET_CLOSE) buffer_append_format(log, " %u", message.close_code);
        buffer_append_format(log, " %zu ", message.data.size);
        if (message.data.size <= 300) {
            buffer_append_slice(log, message.data);
        } else {
            uint32_t sum = 0;

            for (size_t i = 0; i < message.data.size; i++)
                sum = sum * 31 + (uint8_t)message.data.data[i];
            buffer_append_format(log, "sum %08x", sum);
        }
        buffer_append_char(log, '\n');
    }
    if (result == WEBSOCKET_ERROR) {
        buffer_append_format(log, "error %u %s\n", websocket_error(websocket).close_code,
                             websocket_error(websocket).text);
    }
}

/* Gives bytes to the codec as a socket would that has them all, and drains it after each read. False after an error. */
static bool feed(Websocket *websocket, Slice bytes, Buffer *log)
{
    while (bytes.size > 0) {
        size_t size;
        char *room = websocket_room(websocket, &size);

        assert_non_null(room);
        assert_true(size > 0);
        if (size > bytes.size) size = bytes.size;
        memcpy(room, bytes.data, size);
        websocket_received(websocket, size);
        bytes = slice_make(bytes.data + size, bytes.size - size);
        drain(websocket, log);
        if (websocket_error(websocket).close_code) return false;
    }
    return true;
}

static bool feed_in_pieces(Websocket *websocket, Slice bytes, size_t piece_size, Buffer *log)
{
    for (size_t at = 0; at < bytes.size; at += piece_size) {
        size_t size = bytes.size - at < piece_size ? bytes.size - at : piece_size;

        if (!feed(websocket, slice_make(bytes.data + at, size), log)) return false;
    }
    return true;
}

static void assert_log(const Buffer *log, Slice expected)
{
    if (!slice_equals(buffer_slice(log), expected)) {
        fail_msg("expected:\n%.*s\ncame:\n%.*s", SLICE_ARGS(expected), SLICE_ARGS(buffer_slice(log)));
    }
}

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

static void sizes_around_every_border(void **state)
{
    static const size_t sizes[] = {0,     1,     124,   125,   126,   127,    128,    16379,  16380, 16381,
                                   16384, 65534, 65535, 65536, 65537, 262133, 262134, 262144, 300000};
    static const size_t pieces[] = {1, 2, 7, 1000, 16384, 100000, SIZE_MAX / 2};
    Buffer payload = {0}, bytes = {0}, log = {0}, expected = {0};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        Websocket *websocket = websocket_new(LIMIT);

        buffer_clear(&payload);
        buffer_clear(&bytes);
        random_bytes(&payload, sizes[i], (uint32_t)i);
        server_frame(&bytes, PING, slice_of("before"));
        server_frame(&bytes, BINARY, buffer_slice(&payload));
        server_frame(&bytes, PING, slice_of("after"));
        buffer_clear(&expected);
        assert_true(feed(websocket, buffer_slice(&bytes), &expected));
        for (size_t j = 0; j < sizeof pieces / sizeof pieces[0]; j++) {
            buffer_clear(&log);
            assert_true(feed_in_pieces(websocket, buffer_slice(&bytes), pieces[j], &log));
            assert_true(slice_equals(buffer_slice(&log), buffer_slice(&expected)));
        }
        websocket_free(websocket);
    }
    buffer_free(&payload);
    buffer_free(&bytes);
    buffer_free(&log);
    buffer_free(&expected);
}

/* The message as one frame and in fragments of `fragment_size` with pings between, both in random pieces. */
static void assert_large_message(size_t size, size_t fragment_size, bool is_text)
{
    Websocket *websocket = websocket_new(LIMIT);
    Buffer payload = {0}, bytes = {0};
    uint32_t random = (uint32_t)size;
    bool has_come = false;

    if (is_text) {
        while (buffer_size(&payload) + 4 <= size)
            buffer_append_text(&payload, "\xC3\xA4 \x7A");
        while (buffer_size(&payload) < size)
            buffer_append_char(&payload, '.');
    } else {
        random_bytes(&payload, size, random);
    }
    for (size_t at = 0; at < size; at += fragment_size) {
        size_t part = size - at < fragment_size ? size - at : fragment_size;
        unsigned first = at > 0 ? CONTINUE : is_text ? TEXT_BEGIN : BINARY_BEGIN;

        if (at + part == size) first |= 0x80;
        server_frame(&bytes, first, slice_make(payload.base + at, part));
        if (next_random(&random) % 16 == 0 && at + part < size) server_frame(&bytes, PING, slice_of("?"));
    }
    for (size_t at = 0; at < buffer_size(&bytes);) {
        WebsocketMessage message;
        WebsocketResult result;
        size_t rest = buffer_size(&bytes) - at, piece = next_random(&random) % 100000 + 1, room_size;
        char *room = websocket_room(websocket, &room_size);

        assert_non_null(room);
        if (piece > rest) piece = rest;
        if (piece > room_size) piece = room_size;
        memcpy(room, bytes.base + at, piece);
        websocket_received(websocket, piece);
        at += piece;
        while ((result = websocket_next(websocket, &message)) == WEBSOCKET_MESSAGE) {
            if (message.opcode == WEBSOCKET_PING) continue;
            assert_true(slice_equals(message.data, buffer_slice(&payload)));
            has_come = true;
        }
        assert_int_equal(result, WEBSOCKET_MORE);
    }
    assert_true(has_come);
    buffer_free(&payload);
    buffer_free(&bytes);
    websocket_free(websocket);
}

static void large_messages(void **state)
{
    (void)state;
    for (int is_text = 0; is_text < 2; is_text++) {
        assert_large_message(16 * MIB, 16 * MIB, is_text);
        assert_large_message(16 * MIB, 4096, is_text);
        assert_large_message(MIB + 1, 1000003, is_text);
        assert_large_message(MIB, 3, is_text);
        assert_large_message(300000, 1, is_text);
    }
}

static size_t room_size(Websocket *websocket)
{
    size_t size;

    assert_non_null(websocket_room(websocket, &size));
    return size;
}

static void the_room_follows_the_traffic(void **state)
{
    Websocket *websocket = websocket_new(LIMIT);
    Buffer bytes = {0}, log = {0};

    (void)state;
    /* an idle connection costs little, and announcing a large message costs the server its bytes */
    assert_int_equal(room_size(websocket), 16 * 1024);
    assert_true(feed(websocket, BYTES("\x82\x7F\x00\x00\x00\x00\x01\x00\x00\x00 some bytes"), &log));
    assert_true(room_size(websocket) <= 16 * 1024);

    /* reads that fill the room make it larger */
    websocket_reset(websocket);
    for (int i = 0; i < 40000; i++)
        server_frame(&bytes, TEXT, slice_of("a message of usual length"));
    assert_true(feed(websocket, buffer_slice(&bytes), &log));
    assert_true(room_size(websocket) == USUAL_ROOM);
    assert_true(room_size(websocket) == USUAL_ROOM);

    /* one large message makes it large, for a while */
    buffer_clear(&bytes);
    server_header(&bytes, BINARY, 4 * MIB);
    memset(buffer_reserve(&bytes, 4 * MIB), 0, 4 * MIB);
    buffer_commit(&bytes, 4 * MIB - 1);
    assert_true(feed(websocket, buffer_slice(&bytes), &log));
    assert_int_equal(room_size(websocket), 1);
    assert_true(feed(websocket, BYTES("\0"), &log));
    for (int i = 0; i < 4; i++)
        assert_true(feed(websocket, BYTES("\x89\x00"), &log));
    assert_int_equal(room_size(websocket), USUAL_ROOM);

    /* a new connection does not inherit it */
    assert_true(feed(websocket, buffer_slice(&bytes), &log));
    websocket_reset(websocket);
    assert_true(room_size(websocket) <= USUAL_ROOM);
    buffer_free(&bytes);
    buffer_free(&log);
    websocket_free(websocket);
}

/* Fragments without end: what they are worth is bounded by the limit, whatever their number and size. */
static void the_room_never_exceeds_the_limit_by_more_than_a_control_frame(void **state)
{
    const size_t limit = MIB;
    Websocket *websocket = websocket_new(limit);
    Buffer bytes = {0}, log = {0};
    size_t sent = 0;

    (void)state;
    server_frame(&bytes, TEXT_BEGIN, slice_of("abc"));
    while (feed(websocket, buffer_slice(&bytes), &log)) {
        sent += 3;
        assert_true(sent <= limit);
        assert_true(room_size(websocket) <= (limit > USUAL_ROOM ? limit : USUAL_ROOM) + 135 - sent);
        buffer_clear(&bytes);
        server_frame(&bytes, CONTINUE, slice_of("abc"));
        if (sent % 300 == 0) server_frame(&bytes, PING, slice_of("?"));
        buffer_clear(&log);
    }
    assert_log(&log, slice_of("error 1009 the server sent a message larger than the limit\n"));
    assert_true(sent + 3 > limit);
    buffer_free(&bytes);
    buffer_free(&log);
    websocket_free(websocket);
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
        cmocka_unit_test(nothing_comes_of_nothing),
        cmocka_unit_test(examples_of_the_rfc),
        cmocka_unit_test(examples_of_the_rfc_for_clients),
        cmocka_unit_test(a_conversation_at_every_split),
        cmocka_unit_test(every_refusal_comes_at_the_first_byte_that_shows_it),
        cmocka_unit_test(messages_before_an_error_come_out),
        cmocka_unit_test(every_close_code_that_may_be_sent_is_accepted),
        cmocka_unit_test(nothing_comes_after_a_close),
        cmocka_unit_test(reset_forgets_fragments),
        cmocka_unit_test(the_limit_can_change),
        cmocka_unit_test(sizes_around_every_border),
        cmocka_unit_test(large_messages),
        cmocka_unit_test(the_room_follows_the_traffic),
        cmocka_unit_test(the_room_never_exceeds_the_limit_by_more_than_a_control_frame),
        cmocka_unit_test(what_is_sealed_can_be_opened),
        cmocka_unit_test(sealing_keeps_a_failure),
        cmocka_unit_test(close_content_fits_a_control_frame),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
