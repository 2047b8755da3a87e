/* test_websocket_memory.c - messages of all sizes to 16 MiB, and that the receive buffer is as large as the traffic asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/websocket.h"
#include "unit/websocket_peer.h"

#define USUAL_ROOM ((size_t)256 * 1024)

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
    memset(buffer_reserve(&bytes, MIB), 0, MIB);
    assert_true(feed(websocket, slice_make(bytes.base, room_size(websocket)), &log));
    assert_true(room_size(websocket) <= 32 * 1024);
    assert_true(room_size(websocket) <= 32 * 1024); /* asking is not receiving */

    /* reads that fill the room make it larger */
    websocket_reset(websocket);
    for (int i = 0; i < 40000; i++)
        server_frame(&bytes, TEXT, slice_of("a message of usual length"));
    assert_true(feed(websocket, buffer_slice(&bytes), &log));
    assert_int_equal(room_size(websocket), USUAL_ROOM);

    /* one large message makes it large, for a while */
    buffer_clear(&bytes);
    server_header(&bytes, BINARY, 4 * MIB);
    memset(buffer_reserve(&bytes, 4 * MIB), 0, 4 * MIB);
    buffer_commit(&bytes, 4 * MIB - 1);
    assert_true(feed(websocket, buffer_slice(&bytes), &log));
    assert_int_equal(room_size(websocket), 1);
    assert_true(feed(websocket, BYTES("\0"), &log));
    assert_true(room_size(websocket) > USUAL_ROOM);
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

static void a_limit_lowered_within_a_message_lets_the_frame_end(void **state)
{
    Websocket *websocket = websocket_new(LIMIT);
    Buffer bytes = {0}, log = {0};

    (void)state;
    server_header(&bytes, BINARY_BEGIN, MIB);
    memset(buffer_reserve(&bytes, MIB), 0, MIB);
    buffer_commit(&bytes, MIB);
    assert_true(feed(websocket, slice_make(bytes.base, 300000), &log));
    websocket_set_limit(websocket, 10);
    assert_true(feed(websocket, slice_make(bytes.base + 300000, buffer_size(&bytes) - 300000), &log));
    assert_false(feed(websocket, BYTES("\x80\x00"), &log));
    assert_log(&log, slice_of("error 1009 the server sent a message larger than the limit\n"));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_around_every_border),
        cmocka_unit_test(large_messages),
        cmocka_unit_test(the_room_follows_the_traffic),
        cmocka_unit_test(a_limit_lowered_within_a_message_lets_the_frame_end),
        cmocka_unit_test(the_room_never_exceeds_the_limit_by_more_than_a_control_frame),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
