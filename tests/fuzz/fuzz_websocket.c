/* fuzz_websocket.c - the same bytes, cut differently, give the same messages and the same error.
 *
 * Input: one byte chooses the limit, one the cuts, the rest is what the server sends. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "protocol/utf8.h"
#include "protocol/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds) abort();
}

static void write_down(Buffer *log, const WebsocketMessage *message, size_t limit)
{
    bool is_control = message->opcode >= WEBSOCKET_CLOSE;

    check(message->data.data != NULL);
    check(message->data.size <= (is_control ? 125 : limit));
    if (message->opcode == WEBSOCKET_TEXT || message->opcode == WEBSOCKET_CLOSE) check(utf8_valid(message->data));
    check((message->opcode == WEBSOCKET_CLOSE) == (message->close_code != 0));
    buffer_append_format(log, "%d %u %zu ", (int)message->opcode, message->close_code, message->data.size);
    buffer_append_slice(log, message->data);
}

/* Reads of at most 1 to `largest_read` bytes, in an order that `random` gives. */
static Buffer receive(Slice bytes, size_t limit, size_t largest_read, uint32_t random)
{
    Websocket *websocket = websocket_new(limit);
    WebsocketResult result = WEBSOCKET_MORE;
    Buffer log = {0};

    check(websocket != NULL);
    while (bytes.size > 0 && result != WEBSOCKET_ERROR) {
        WebsocketMessage message;
        size_t room_size, read_size;
        char *room = websocket_room(websocket, &room_size);

        check(room != NULL && room_size > 0);
        random = random * 1664525u + 1013904223u;
        read_size = 1 + (random >> 8) % largest_read;
        if (read_size > bytes.size) read_size = bytes.size;
        if (read_size > room_size) read_size = room_size;
        memcpy(room, bytes.data, read_size);
        websocket_received(websocket, read_size);
        bytes = slice_make(bytes.data + read_size, bytes.size - read_size);
        while ((result = websocket_next(websocket, &message)) == WEBSOCKET_MESSAGE)
            write_down(&log, &message, limit);
    }
    if (result == WEBSOCKET_ERROR) {
        check(websocket_error(websocket).text != NULL);
        buffer_append_format(&log, "error %u %s", websocket_error(websocket).close_code,
                             websocket_error(websocket).text);
    }
    websocket_free(websocket);
    return log;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t largest_reads[] = {1, 2, 5, 40, 1000};
    Slice bytes;
    size_t limit;
    Buffer expected;

    if (size < 2) return 0;
    bytes = slice_make((const char *)data + 2, size - 2);
    limit = (size_t)1 << data[0] % 24;
    expected = receive(bytes, limit, SIZE_MAX, 0);
    for (size_t i = 0; i < sizeof largest_reads / sizeof largest_reads[0]; i++) {
        Buffer log = receive(bytes, limit, largest_reads[i], data[1]);

        check(slice_equals(buffer_slice(&log), buffer_slice(&expected)));
        buffer_free(&log);
    }
    buffer_free(&expected);
    return 0;
}
