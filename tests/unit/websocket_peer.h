/* websocket_peer.h - for the tests of the codec: a small encoder of the server's side, and a reader that writes down what the
 * codec gives as lines ("text 5 Hello", "error 1002 …"), so that it can be compared as text. Included after <cmocka.h>. */
#ifndef GATEHOUSE_TESTS_WEBSOCKET_PEER_H
#define GATEHOUSE_TESTS_WEBSOCKET_PEER_H

#include "protocol/websocket.h"

#define MIB ((size_t)1024 * 1024)
#define LIMIT (16 * MIB)

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

static inline void server_header(Buffer *to, unsigned first, uint64_t size)
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

static inline void server_frame(Buffer *to, unsigned first, Slice payload)
{
    server_header(to, first, payload.size);
    buffer_append_slice(to, payload);
}

static inline uint32_t next_random(uint32_t *random)
{
    *random = *random * 1664525u + 1013904223u;
    return *random >> 8;
}

static inline Slice random_bytes(Buffer *to, size_t size, uint32_t seed)
{
    char *at = buffer_reserve(to, size);

    for (size_t i = 0; i < size; i++)
        at[i] = (char)next_random(&seed);
    buffer_commit(to, size);
    return buffer_slice(to);
}

/* ---- the codec under test ---- */

static inline const char *name_of(WebsocketOpcode opcode)
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
static inline void drain(Websocket *websocket, Buffer *log)
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
static inline bool feed(Websocket *websocket, Slice bytes, Buffer *log)
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

static inline bool feed_in_pieces(Websocket *websocket, Slice bytes, size_t piece_size, Buffer *log)
{
    for (size_t at = 0; at < bytes.size; at += piece_size) {
        size_t size = bytes.size - at < piece_size ? bytes.size - at : piece_size;

        if (!feed(websocket, slice_make(bytes.data + at, size), log)) return false;
    }
    return true;
}

static inline void assert_log(const Buffer *log, Slice expected)
{
    if (!slice_equals(buffer_slice(log), expected)) {
        fail_msg("expected:\n%.*s\ncame:\n%.*s", SLICE_ARGS(expected), SLICE_ARGS(buffer_slice(log)));
    }
}

#endif
