/* line_server.h - lines of text over a Unix socket, from peers of the same user (or root). Knows nothing of what they say.
 *
 * Bounds: LINE_SERVER_PEERS peers, LINE_SERVER_LINE_BYTES a line, LINE_SERVER_QUEUE_BYTES that wait to be read by a peer. A peer
 * has one line in work at a time: the next one is handed on after line_server_next, and as long as that does not come nothing more
 * is read from it. A peer that is silent, slow or talks nonsense costs its own memory and nothing else. For the I/O thread. */
#ifndef GATEHOUSE_NET_LINE_SERVER_H
#define GATEHOUSE_NET_LINE_SERVER_H

#include "net/loop.h"
#include "protocol/buffer.h"

#define LINE_SERVER_PEERS 32
#define LINE_SERVER_LINE_BYTES (1u << 20)
#define LINE_SERVER_QUEUE_BYTES (16u << 20)

typedef struct LineServer LineServer;

/* Everything may call back, but for line_server_free. */
typedef struct {
    void *context;
    /* A line, without its end; borrowed for the call. line_server_next is due, in the call or later. */
    void (*line)(void *context, uint64_t peer, Slice line);
    /* What to tell (one line, with its newline; empty: nothing) before it is closed: a peer whose line was too long, and
     * one that is too much. Static. */
    Slice too_long, too_many;
    /* The peer is gone, or is not listened to any more: what comes for it will be dropped. */
    void (*closed)(void *context, uint64_t peer);
} LineServerSink;

/* Listens on `folder`/`name` (see unix_socket_listen). NULL with a sentence in `problem`. */
LineServer *line_server_new(Loop *loop, const char *folder, const char *name, const LineServerSink *sink, char *problem,
                            size_t problem_size);
/* Writes what the peers take at once, closes, and removes the socket. `closed` is not called. NULL is fine. */
void line_server_free(LineServer *server);

/* Puts a line (with its newline) in line for the peer. False if it is gone, or takes too little: then it is closed, unless the
 * line is `optional`, which is merely not sent. */
bool line_server_send(LineServer *server, uint64_t peer, Slice line, bool optional);

/* The line in work is done. */
void line_server_next(LineServer *server, uint64_t peer);

#endif
