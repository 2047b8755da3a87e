/* websocket.h - RFC 6455 client codec: bytes in, messages out; frames out. Knows no socket, no JSON, no clock.
 *
 * The codec owns one receive buffer. The link reads into it, the codec parses in place and hands out slices of it:
 *
 *     while ((room = websocket_room(ws, &size)) && (n = read(fd, room, size)) > 0) {
 *         websocket_received(ws, n);
 *         while (websocket_next(ws, &message) == WEBSOCKET_MESSAGE) …
 *     }
 */
#ifndef GATEHOUSE_PROTOCOL_WEBSOCKET_H
#define GATEHOUSE_PROTOCOL_WEBSOCKET_H

#include "protocol/buffer.h"

typedef struct Websocket Websocket;

typedef enum {
    WEBSOCKET_TEXT = 1,
    WEBSOCKET_BINARY = 2,
    WEBSOCKET_CLOSE = 8,
    WEBSOCKET_PING = 9,
    WEBSOCKET_PONG = 10
} WebsocketOpcode;

typedef struct {
    WebsocketOpcode opcode;
    Slice data; /* payload; of a close its reason. Borrowed until the next call on the codec. Text is valid UTF-8 */
    unsigned close_code; /* of a close: its code, 1005 when it carries none */
} WebsocketMessage;

typedef enum { WEBSOCKET_MESSAGE, WEBSOCKET_MORE, WEBSOCKET_ERROR } WebsocketResult;

/* Returns NULL if there is no memory. `max_message_bytes` bounds a message, all its fragments together. */
Websocket *websocket_new(size_t max_message_bytes);
void websocket_free(Websocket *websocket);

/* Forgets the connection (buffered bytes, fragments, error) but keeps up to 256 KiB of memory. */
void websocket_reset(Websocket *websocket);

/* Bounds what begins from now on. */
void websocket_set_limit(Websocket *websocket, size_t max_message_bytes);

/* Where the next bytes from the peer go, and how many may. The buffer begins small (16 KiB), since most connections are idle,
 * grows to 256 KiB when reads fill it, and beyond that with a large message that is being received, to the limit plus one
 * control frame at most; it shrinks again when the large messages are over. To be asked when websocket_next has nothing
 * more to give, as in the loop above: a buffer full of messages has no room. NULL if there is no memory, which is an error of
 * websocket_next from then on. Invalidates what websocket_next handed out. */
char *websocket_room(Websocket *websocket, size_t *size_bytes);

/* `size_bytes` were written to the room, which is used up thereby: ask for it again. */
void websocket_received(Websocket *websocket, size_t size_bytes);

/* The next message in the buffer. A ping or pong between the fragments of a message comes out when it arrives. After a
 * close nothing comes any more: what the peer sends behind it is dropped. After WEBSOCKET_ERROR (sticky) websocket_error
 * says what to tell the peer and the log. Errors come as soon as they can be known: of a header before its payload, of
 * text at the byte that cannot be. */
WebsocketResult websocket_next(Websocket *websocket, WebsocketMessage *message);

typedef struct {
    unsigned close_code; /* 1002, 1007 or 1009; 1011 for no memory */
    const char *text;    /* static, for people: "the server sent a masked frame" */
} WebsocketError;
WebsocketError websocket_error(const Websocket *websocket);

/* Makes `payload` one final frame, in place: masks its content with `mask` and writes the header in front.
 * `mask` are 4 random bytes. payload->failed if there is no memory. */
void websocket_seal(Buffer *payload, WebsocketOpcode opcode, const uint8_t mask[4]);

/* The content of a close frame: code and reason (cut to 123 bytes at a character's border, left out if not UTF-8), to be
 * sealed. A code that must not be sent (1005, which stands for none, 1006, …) gives none. */
void websocket_write_close(Buffer *out, unsigned code, Slice reason);

#endif
