/* buffer.c - the growable byte buffer with room in front. All growth goes through make_room. */
#include "protocol/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SMALLEST_CAPACITY 256

Buffer buffer_with_headroom(size_t headroom)
{
    return (Buffer){.start = headroom, .end = headroom, .headroom = headroom};
}

void buffer_free(Buffer *buffer)
{
    free(buffer->base);
    *buffer = buffer_with_headroom(buffer->headroom);
}

void buffer_clear(Buffer *buffer)
{
    buffer->start = buffer->headroom; /* an allocation is never smaller */
    buffer->end = buffer->start;
    buffer->failed = false;
}

Buffer buffer_take(Buffer *from)
{
    Buffer taken = *from;

    *from = buffer_with_headroom(from->headroom);
    return taken;
}

/* Moves the content into an allocation with `front` bytes before and at least `back` bytes behind it. */
static bool make_room(Buffer *buffer, size_t front, size_t back)
{
    const size_t limit = PTRDIFF_MAX;
    size_t size = buffer_size(buffer);
    size_t needed, capacity;
    char *base;

    if (front > limit - size || back > limit - size - front) goto failed;
    needed = front + size + back;
    capacity = buffer->capacity < SMALLEST_CAPACITY ? SMALLEST_CAPACITY : buffer->capacity;
    while (capacity < needed)
        capacity = capacity > limit / 2 ? limit : capacity * 2;
    if (front == buffer->start) { /* the usual case: nothing moves within the allocation */
        base = realloc(buffer->base, capacity);
        if (!base) goto failed;
    } else {
        base = malloc(capacity);
        if (!base) goto failed;
        if (buffer->base) memcpy(base + front, buffer->base + buffer->start, size);
        free(buffer->base);
    }
    buffer->base = base;
    buffer->capacity = capacity;
    buffer->start = front;
    buffer->end = front + size;
    return true;

failed:
    buffer->failed = true;
    return false;
}

char *buffer_reserve(Buffer *buffer, size_t size)
{
    if (buffer->failed) return NULL;
    if (!buffer->base || size > buffer->capacity - buffer->end) {
        if (!make_room(buffer, buffer->start, size)) return NULL;
    }
    return buffer->base + buffer->end;
}

void buffer_append(Buffer *buffer, const char *data, size_t size)
{
    char *to;

    if (size == 0) return;
    to = buffer_reserve(buffer, size);
    if (!to) return;
    memcpy(to, data, size);
    buffer_commit(buffer, size);
}

void buffer_append_slice(Buffer *buffer, Slice slice)
{
    buffer_append(buffer, slice.data, slice.size);
}

void buffer_append_text(Buffer *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

void buffer_append_char(Buffer *buffer, char c)
{
    buffer_append(buffer, &c, 1);
}

void buffer_append_format(Buffer *buffer, const char *format, ...)
{
    va_list arguments;
    int size;
    char *to;

    if (buffer->failed) return;
    va_start(arguments, format);
    size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (size < 0) {
        buffer->failed = true;
        return;
    }
    to = buffer_reserve(buffer, (size_t)size + 1); /* vsnprintf ends the text with a zero byte, which is not content */
    if (!to) return;
    va_start(arguments, format);
    vsnprintf(to, (size_t)size + 1, format, arguments);
    va_end(arguments);
    buffer_commit(buffer, (size_t)size);
}

void buffer_prepend(Buffer *buffer, const char *data, size_t size)
{
    if (size == 0 || buffer->failed) return;
    if (!buffer->base || size > buffer->start) {
        size_t headroom = buffer->headroom;

        if (size > (size_t)PTRDIFF_MAX - headroom || !make_room(buffer, headroom + size, 0)) {
            buffer->failed = true;
            return;
        }
    }
    buffer->start -= size;
    memcpy(buffer->base + buffer->start, data, size);
}
