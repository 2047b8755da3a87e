/* websocket.c - the RFC 6455 codec of a client.
 *
 * The receive buffer, while a message in fragments is being put together:
 *
 *     | (used) | message so far | (gap) | header | payload … |  free  |
 *     bytes    message_at               frame_at             end      capacity
 *
 * A message in a single frame is handed out where it lies. The payload of a fragment is moved back over its header and
 * what was handed out between, so that the message is in one piece when its last fragment is there. Bytes behind it move
 * only when the room behind them runs out: at most once per frame, however the bytes are cut.
 *
 * States and what leads from one to the next:
 *
 *         ┌──────────── frame complete ─────────────┐
 *         ▼                                         │
 *      HEADER ── header complete and allowed ──> PAYLOAD ── a close, complete ──> CLOSED (drops what follows)
 *         └── a header, a text, a close ────────────┴─────── that must not be ──> FAILED */
#include "protocol/websocket.h"

#include "protocol/utf8.h"

#include <assert.h>
#include <stdlib.h>

#define FIRST_CAPACITY ((size_t)16 * 1024)
#define USUAL_CAPACITY ((size_t)256 * 1024)
#define SHRINK_AFTER 4 /* times that the buffer was empty since a message needed more than the usual capacity */

#define FINAL 0x80u /* first byte of a header */
#define RESERVED 0x70u
#define OPCODE 0x0Fu
#define MASKED 0x80u /* second byte */
#define LENGTH 0x7Fu
#define LENGTH_16 126u /* the length is in the next 2 bytes */
#define LENGTH_64 127u /* in the next 8 */

#define CONTINUATION 0u
#define FIRST_CONTROL 8u
#define MAX_HEADER_BYTES 10
#define MAX_CONTROL_BYTES 125
#define MASK_BYTES 4

typedef enum { HEADER, PAYLOAD, CLOSED, FAILED } State;

struct Websocket {
    State state;
    char *bytes;
    size_t capacity;
    size_t frame_at; /* the header in state HEADER, the payload in state PAYLOAD */
    size_t end;      /* of what was received */
    size_t limit;

    unsigned opcode; /* of the frame whose payload is awaited */
    bool final;
    size_t payload_size;
    size_t checked; /* bytes of the payload that were found to be good text */

    unsigned message_opcode; /* of the message in fragments, 0 outside of one */
    size_t message_at, message_size;
    uint32_t text_state; /* of the UTF-8 check: goes on across fragments, UTF8_ACCEPT between messages */

    bool filled;          /* the last read used all the room it was given */
    unsigned times_empty; /* since more than the usual capacity was needed */
    WebsocketError error;
};

Websocket *websocket_new(size_t max_message_bytes)
{
    Websocket *websocket = calloc(1, sizeof *websocket);

    if (!websocket) return NULL;
    websocket_set_limit(websocket, max_message_bytes);
    return websocket;
}

void websocket_free(Websocket *websocket)
{
    if (!websocket) return;
    free(websocket->bytes);
    free(websocket);
}

void websocket_reset(Websocket *websocket)
{
    Websocket fresh = {.bytes = websocket->bytes, .capacity = websocket->capacity, .limit = websocket->limit};

    if (fresh.capacity > USUAL_CAPACITY) {
        free(fresh.bytes);
        fresh.bytes = NULL;
        fresh.capacity = 0;
    }
    *websocket = fresh;
}

void websocket_set_limit(Websocket *websocket, size_t max_message_bytes)
{
    const size_t most = PTRDIFF_MAX / 4; /* sums of sizes below cannot overflow */

    websocket->limit = max_message_bytes < most ? max_message_bytes : most;
}

static WebsocketResult fail(Websocket *websocket, unsigned close_code, const char *text)
{
    websocket->state = FAILED;
    websocket->error = (WebsocketError){close_code, text};
    return WEBSOCKET_ERROR;
}

WebsocketError websocket_error(const Websocket *websocket)
{
    return websocket->error;
}

/* ---- receiving: the room ---- */

static bool is_empty(const Websocket *websocket)
{
    return websocket->state != PAYLOAD && websocket->frame_at == websocket->end && websocket->message_opcode == 0;
}

/* Bytes from the message in fragments, or else from the frame, to the end of the frame as far as it is known. */
static size_t needed_capacity(const Websocket *websocket)
{
    size_t frame = websocket->state == PAYLOAD ? websocket->payload_size : MAX_HEADER_BYTES;

    return websocket->message_size + frame;
}

/* Moves what is needed to the front: the message in fragments, and behind it the frame. */
static void compact(Websocket *websocket)
{
    size_t rest = websocket->end - websocket->frame_at;

    if (websocket->message_size && websocket->message_at != 0) {
        memmove(websocket->bytes, websocket->bytes + websocket->message_at, websocket->message_size);
    }
    websocket->message_at = 0;
    if (websocket->frame_at != websocket->message_size) {
        memmove(websocket->bytes + websocket->message_size, websocket->bytes + websocket->frame_at, rest);
    }
    websocket->frame_at = websocket->message_size;
    websocket->end = websocket->message_size + rest;
}

static bool set_capacity(Websocket *websocket, size_t capacity)
{
    char *bytes = realloc(websocket->bytes, capacity);

    if (!bytes) {
        fail(websocket, 1011, "out of memory for a message");
        return false;
    }
    websocket->bytes = bytes;
    websocket->capacity = capacity;
    return true;
}

/* The capacity for a buffer that is full of an unfinished message. It doubles, so that what is copied stays in proportion to
 * what is received, and so that nobody gets memory by announcing a size. */
static size_t capacity_when_full(const Websocket *websocket)
{
    size_t doubled = websocket->capacity * 2;
    size_t needed = needed_capacity(websocket);
    bool size_is_known = websocket->state == PAYLOAD && websocket->final;
    size_t most = size_is_known ? needed : websocket->limit + MAX_HEADER_BYTES + MAX_CONTROL_BYTES;

    if (most < needed) most = needed; /* the limit was lowered meanwhile */
    if (most < USUAL_CAPACITY) most = USUAL_CAPACITY;
    return doubled < most ? doubled : most;
}

/* The capacity for a buffer with nothing in it. */
static size_t capacity_when_empty(Websocket *websocket)
{
    size_t capacity = websocket->capacity;

    if (capacity == 0) return FIRST_CAPACITY;
    if (capacity > USUAL_CAPACITY) return ++websocket->times_empty < SHRINK_AFTER ? capacity : USUAL_CAPACITY;
    return websocket->filled && capacity < USUAL_CAPACITY ? capacity * 2 : capacity;
}

static bool make_room_when_empty(Websocket *websocket)
{
    size_t capacity = capacity_when_empty(websocket);

    websocket->frame_at = websocket->end = 0;
    if (capacity == websocket->capacity) return true;
    free(websocket->bytes); /* nothing in it that realloc should copy */
    websocket->bytes = NULL;
    websocket->capacity = 0;
    return set_capacity(websocket, capacity);
}

static bool make_room_behind(Websocket *websocket)
{
    bool is_full;

    if (needed_capacity(websocket) > USUAL_CAPACITY) websocket->times_empty = 0;
    if (websocket->capacity - websocket->end < websocket->capacity / 4) compact(websocket);
    is_full = websocket->end == websocket->capacity || (websocket->filled && websocket->capacity < USUAL_CAPACITY);
    return !is_full || set_capacity(websocket, capacity_when_full(websocket));
}

char *websocket_room(Websocket *websocket, size_t *size_bytes)
{
    bool is_over = websocket->state == CLOSED || websocket->state == FAILED;
    bool has_room;

    *size_bytes = 0;
    if (is_over || is_empty(websocket)) {
        has_room = make_room_when_empty(websocket);
    } else {
        has_room = make_room_behind(websocket);
    }
    if (!has_room) return NULL;
    websocket->filled = false;
    *size_bytes = websocket->capacity - websocket->end;
    return websocket->bytes + websocket->end;
}

void websocket_received(Websocket *websocket, size_t size_bytes)
{
    assert(size_bytes <= websocket->capacity - websocket->end);
    websocket->end += size_bytes;
    websocket->filled = websocket->end == websocket->capacity;
}

/* ---- receiving: the frames ---- */

/* What is wrong with the first two bytes of a header, NULL if nothing. */
static const char *header_problem(unsigned first, unsigned second, bool in_message)
{
    if (first & RESERVED) return "the server set reserved bits of a frame, but no extension was agreed on";
    if (second & MASKED) return "the server sent a masked frame";
    switch (first & OPCODE) {
    case CONTINUATION: return in_message ? NULL : "the server continued a message that it had not begun";
    case WEBSOCKET_TEXT:
    case WEBSOCKET_BINARY: return in_message ? "the server began a message before the end of another" : NULL;
    case WEBSOCKET_CLOSE:
    case WEBSOCKET_PING:
    case WEBSOCKET_PONG:
        if (!(first & FINAL)) return "the server sent a control frame in fragments";
        if ((second & LENGTH) > MAX_CONTROL_BYTES) return "the server sent a control frame of more than 125 bytes";
        return NULL;
    default: return "the server sent a frame of an unknown kind";
    }
}

static uint64_t read_big_endian(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* HEADER: reads the header if all of it is there. */
static WebsocketResult read_header(Websocket *websocket)
{
    const uint8_t *header;
    size_t available = websocket->end - websocket->frame_at;
    size_t header_size = 2;
    uint64_t payload_size;
    const char *problem;

    if (available < header_size) return WEBSOCKET_MORE;
    header = (const uint8_t *)websocket->bytes + websocket->frame_at;
    problem = header_problem(header[0], header[1], websocket->message_opcode != 0);
    if (problem) return fail(websocket, 1002, problem);

    payload_size = header[1] & LENGTH;
    if (payload_size >= LENGTH_16) {
        size_t length_size = payload_size == LENGTH_16 ? 2 : 8;
        uint64_t least = payload_size == LENGTH_16 ? LENGTH_16 : 0x10000;

        header_size += length_size;
        if (available < header_size) return WEBSOCKET_MORE;
        payload_size = read_big_endian(header + 2, length_size);
        if (payload_size > INT64_MAX) return fail(websocket, 1002, "the server sent a length of more than 63 bits");
        if (payload_size < least) return fail(websocket, 1002, "the server wrote a length in more bytes than it needs");
    }

    websocket->opcode = header[0] & OPCODE;
    websocket->final = header[0] & FINAL;
    /* message_size may exceed a limit that was lowered meanwhile */
    if (websocket->opcode < FIRST_CONTROL && payload_size + websocket->message_size > websocket->limit) {
        return fail(websocket, 1009, "the server sent a message larger than the limit");
    }
    websocket->payload_size = (size_t)payload_size;
    websocket->checked = 0;
    websocket->frame_at += header_size;
    websocket->state = PAYLOAD;
    return WEBSOCKET_MESSAGE;
}

static bool is_close_code(unsigned code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

static WebsocketResult finish_control(Websocket *websocket, Slice payload, WebsocketMessage *message)
{
    *message = (WebsocketMessage){(WebsocketOpcode)websocket->opcode, payload, 0};
    if (websocket->opcode != WEBSOCKET_CLOSE) return WEBSOCKET_MESSAGE;

    message->close_code = 1005;
    if (payload.size == 1) return fail(websocket, 1002, "the server sent a close frame with half a code");
    if (payload.size >= 2) {
        message->close_code = (unsigned)read_big_endian((const uint8_t *)payload.data, 2);
        message->data = slice_make(payload.data + 2, payload.size - 2);
        if (!is_close_code(message->close_code)) {
            return fail(websocket, 1002, "the server sent a close frame with a code that must not be sent");
        }
        if (!utf8_valid(message->data)) {
            return fail(websocket, 1007, "the server sent a close reason that is not UTF-8");
        }
    }
    websocket->state = CLOSED;
    return WEBSOCKET_MESSAGE;
}

/* Puts the fragment behind those before it. True if it was the last, and `payload` the whole message. */
static bool join_fragment(Websocket *websocket, Slice *payload)
{
    if (websocket->opcode != CONTINUATION) {
        websocket->message_opcode = websocket->opcode;
        websocket->message_at = (size_t)(payload->data - websocket->bytes);
    } else {
        memmove(websocket->bytes + websocket->message_at + websocket->message_size, payload->data, payload->size);
    }
    websocket->message_size += payload->size;
    if (!websocket->final) return false;
    *payload = slice_make(websocket->bytes + websocket->message_at, websocket->message_size);
    return true;
}

/* PAYLOAD: checks what has come of it; when all of it is there, the next header is awaited. MORE may also mean that it was a
 * fragment and not the last. */
static WebsocketResult read_payload(Websocket *websocket, WebsocketMessage *message)
{
    unsigned kind = websocket->opcode == CONTINUATION ? websocket->message_opcode : websocket->opcode;
    Slice payload = slice_make(websocket->bytes + websocket->frame_at, websocket->end - websocket->frame_at);
    bool is_complete = payload.size >= websocket->payload_size;

    if (is_complete) payload.size = websocket->payload_size;
    if (kind == WEBSOCKET_TEXT) {
        Slice unchecked = slice_make(payload.data + websocket->checked, payload.size - websocket->checked);

        websocket->text_state = utf8_check(websocket->text_state, unchecked);
        websocket->checked = payload.size;
        if (websocket->text_state == UTF8_REJECT ||
            (is_complete && websocket->final && websocket->text_state != UTF8_ACCEPT)) {
            return fail(websocket, 1007, "the server sent a text that is not UTF-8");
        }
    }
    if (!is_complete) return WEBSOCKET_MORE;

    websocket->frame_at += payload.size;
    websocket->state = HEADER;
    if (kind >= FIRST_CONTROL) return finish_control(websocket, payload, message);
    if (!websocket->final || websocket->opcode == CONTINUATION) {
        if (!join_fragment(websocket, &payload)) return WEBSOCKET_MORE;
        websocket->message_opcode = 0;
        websocket->message_size = 0;
    }
    *message = (WebsocketMessage){(WebsocketOpcode)kind, payload, 0};
    return WEBSOCKET_MESSAGE;
}

WebsocketResult websocket_next(Websocket *websocket, WebsocketMessage *message)
{
    for (;;) {
        WebsocketResult result;

        switch (websocket->state) {
        case HEADER:
            result = read_header(websocket);
            if (result != WEBSOCKET_MESSAGE) return result;
            break;
        case PAYLOAD:
            result = read_payload(websocket, message);
            if (result == WEBSOCKET_MORE && websocket->state == HEADER) break; /* a fragment: the next may be here */
            return result;
        case CLOSED: return WEBSOCKET_MORE;
        case FAILED: return WEBSOCKET_ERROR;
        }
    }
}

/* ---- sending ---- */

static void mask_bytes(char *bytes, size_t size, const uint8_t mask[MASK_BYTES])
{
    uint64_t pattern, words[4];
    size_t done = 0;

    for (size_t i = 0; i < sizeof pattern; i += MASK_BYTES)
        memcpy((char *)&pattern + i, mask, MASK_BYTES);
    for (; size - done >= sizeof words; done += sizeof words) {
        memcpy(words, bytes + done, sizeof words);
        for (int i = 0; i < 4; i++)
            words[i] ^= pattern;
        memcpy(bytes + done, words, sizeof words);
    }
    for (; done < size; done++)
        bytes[done] = (char)((uint8_t)bytes[done] ^ mask[done % MASK_BYTES]);
}

void websocket_seal(Buffer *payload, WebsocketOpcode opcode, const uint8_t mask[4])
{
    size_t size = buffer_size(payload);
    uint8_t header[MAX_HEADER_BYTES + MASK_BYTES];
    size_t length_size = size < LENGTH_16 ? 0 : size < 0x10000 ? 2 : 8;
    size_t header_size = 2 + length_size;

    if (payload->failed) return;
    header[0] = (uint8_t)(FINAL | (unsigned)opcode);
    header[1] = (uint8_t)(MASKED | (length_size == 0 ? size : length_size == 2 ? LENGTH_16 : LENGTH_64));
    for (size_t i = 0; i < length_size; i++)
        header[header_size - 1 - i] = (uint8_t)((uint64_t)size >> 8 * i);
    memcpy(header + header_size, mask, MASK_BYTES);
    if (size) mask_bytes(payload->base + payload->start, size, mask);
    buffer_prepend(payload, (const char *)header, header_size + MASK_BYTES);
}

void websocket_write_close(Buffer *out, unsigned code, Slice reason)
{
    const char bytes[2] = {(char)(code >> 8), (char)(code & 0xFF)};

    if (!is_close_code(code)) return;
    buffer_append(out, bytes, sizeof bytes);
    if (!utf8_valid(reason)) return;
    reason.size = utf8_prefix(reason, MAX_CONTROL_BYTES - sizeof bytes);
    buffer_append_slice(out, reason);
}
