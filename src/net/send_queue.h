/* send_queue.h - what waits to be written to a socket: buffers in order, taken apart wherever a write stops. */
#ifndef GATEHOUSE_NET_SEND_QUEUE_H
#define GATEHOUSE_NET_SEND_QUEUE_H

#include "protocol/buffer.h"

#include <sys/uio.h>

typedef struct {
    Buffer *items; /* a ring */
    size_t first, count, capacity;
    size_t bytes; /* all of it that is not written yet */
} SendQueue;      /* all zero is an empty queue */

/* Takes the content of `item`. False without memory; the content is then freed. */
bool send_queue_push(SendQueue *queue, Buffer *item);

/* Where the next bytes are, at most `max` pieces. Borrowed until the next change. Returns how many pieces. */
size_t send_queue_pieces(const SendQueue *queue, struct iovec *pieces, size_t max);

/* So many bytes from the front are written. */
void send_queue_written(SendQueue *queue, size_t bytes);

void send_queue_free(SendQueue *queue); /* it is empty and usable afterwards */

#endif
