/* buffer.h - the one growable byte buffer of the project.
 *
 * A buffer keeps room in front of its content, so that a frame is put around a payload without a copy: the app encodes
 * params, the session writes `{"type":"req",…,"params":` in front of them, the codec the WebSocket header in front of that.
 *
 *     |  headroom  |  content  |  free  |
 *     base         start       end      capacity
 *
 * An allocation that fails sets `failed` and leaves the content as it was; later calls on it do nothing, until it is cleared
 * or freed. So a writer checks once, at its end. All zero is an empty buffer without headroom. What is appended must not
 * point into the buffer itself. */
#ifndef GATEHOUSE_PROTOCOL_BUFFER_H
#define GATEHOUSE_PROTOCOL_BUFFER_H

#include "protocol/slice.h"

#include <stdint.h>

#define BUFFER_FRAME_HEADROOM 256 /* bytes: WebSocket header, request envelope, an id, a method of usual length */

typedef struct {
    char *base;
    size_t start, end, capacity; /* bytes from base */
    size_t headroom;             /* what `start` is of an empty buffer */
    bool failed;
} Buffer;

/* An empty buffer that allocates nothing yet. Its first allocation leaves `headroom` bytes in front. */
Buffer buffer_with_headroom(size_t headroom);

/* Frees the content; the buffer is empty and usable afterwards. */
void buffer_free(Buffer *buffer);

/* Empties the buffer, forgets a failure, keeps memory and headroom. */
void buffer_clear(Buffer *buffer);

/* The content of `from`, which is left empty, with the same headroom and without memory. */
Buffer buffer_take(Buffer *from);

static inline size_t buffer_size(const Buffer *buffer)
{
    return buffer->end - buffer->start;
}

static inline Slice buffer_slice(const Buffer *buffer)
{
    return (Slice){buffer->base ? buffer->base + buffer->start : "", buffer_size(buffer)};
}

/* Makes room for `size` more bytes behind the content and returns where they go, NULL if there is no memory. */
char *buffer_reserve(Buffer *buffer, size_t size);

/* Says how many of the reserved bytes were written. */
static inline void buffer_commit(Buffer *buffer, size_t size)
{
    buffer->end += size;
}

void buffer_append(Buffer *buffer, const char *data, size_t size);
void buffer_append_slice(Buffer *buffer, Slice slice);
void buffer_append_text(Buffer *buffer, const char *text);
void buffer_append_char(Buffer *buffer, char c);
void buffer_append_format(Buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts bytes in front of the content; moves the content when the headroom is used up. */
void buffer_prepend(Buffer *buffer, const char *data, size_t size);

#endif
