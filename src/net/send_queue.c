/* send_queue.c - what waits to be written to a socket: buffers in order, taken apart wherever a write stops. */
#include "net/send_queue.h"

#include <stdlib.h>

static Buffer *item_at(const SendQueue *queue, size_t index)
{
    return &queue->items[(queue->first + index) % queue->capacity];
}

static bool grow(SendQueue *queue)
{
    size_t capacity = queue->capacity ? queue->capacity * 2 : 16;
    Buffer *items = malloc(capacity * sizeof *items);
    if (!items) return false;
    for (size_t i = 0; i < queue->count; i++)
        items[i] = *item_at(queue, i);
    free(queue->items);
    queue->items = items;
    queue->first = 0;
    queue->capacity = capacity;
    return true;
}

bool send_queue_push(SendQueue *queue, Buffer *item)
{
    if (queue->count == queue->capacity && !grow(queue)) {
        buffer_free(item);
        return false;
    }
    queue->bytes += buffer_size(item);
    *item_at(queue, queue->count++) = buffer_take(item);
    return true;
}

size_t send_queue_pieces(const SendQueue *queue, struct iovec *pieces, size_t max)
{
    size_t count = queue->count < max ? queue->count : max;
    for (size_t i = 0; i < count; i++) {
        Buffer *item = item_at(queue, i);
        pieces[i] = (struct iovec){.iov_base = item->base + item->start, .iov_len = buffer_size(item)};
    }
    return count;
}

void send_queue_written(SendQueue *queue, size_t bytes)
{
    queue->bytes -= bytes;
    while (queue->count > 0) {
        Buffer *item = item_at(queue, 0);
        size_t size = buffer_size(item);
        if (bytes < size) {
            item->start += bytes;
            return;
        }
        bytes -= size;
        buffer_free(item);
        queue->first = (queue->first + 1) % queue->capacity;
        queue->count--;
    }
}

void send_queue_free(SendQueue *queue)
{
    for (size_t i = 0; i < queue->count; i++)
        buffer_free(item_at(queue, i));
    free(queue->items);
    *queue = (SendQueue){0};
}
