/* server.h - a WebSocket server by libwebsockets' own ws role, for the simulator: an implementation independent of our codec. It can
 * also misbehave: raw bytes into the stream, silence, an HTTP refusal of the upgrade. */
#ifndef GATEHOUSE_NET_SERVER_H
#define GATEHOUSE_NET_SERVER_H

#include "net/loop.h"
#include "protocol/buffer.h"

typedef struct Server Server;

typedef struct {
    void *context;
    void (*opened)(void *context, uint64_t peer);           /* peers are numbered 1, 2, … */
    void (*text)(void *context, uint64_t peer, Slice text); /* a whole message, borrowed */
    void (*closed)(void *context, uint64_t peer, unsigned code);
} ServerSink;

/* Listens on a loopback or other address, port 0 for a free one. TLS when both files are given. Browsers are kept out: a request with
 * an Origin header or a Host that is neither loopback nor the listening address gets 403. NULL with a sentence in `problem`. */
Server *server_new(Loop *loop, const char *address, unsigned port, const char *cert_file, const char *key_file,
                   const ServerSink *sink, char *problem, size_t problem_size);
void server_free(Server *server); /* ends all peers, no callback after it */
unsigned server_port(const Server *server);

/* One text message; takes the content. False if there is no such peer or its queue is over 64 MiB. */
bool server_send(Server *server, uint64_t peer, Buffer *text);
/* Bytes as they are into the TCP stream, in order with server_send, `piece` bytes per write (0: at once). Plain connections only. */
bool server_send_raw(Server *server, uint64_t peer, Buffer *bytes, size_t piece);
/* A close frame after what is queued. */
void server_close(Server *server, uint64_t peer, unsigned code, const char *reason);
/* The TCP connection ends at once, without a close frame; what is queued is lost. */
void server_drop(Server *server, uint64_t peer);
/* Goes deaf to a peer (no reading, so no pongs) or on again. */
void server_deafen(Server *server, uint64_t peer, bool deaf);
/* The next `count` upgrades are refused with this HTTP status and body text. */
void server_refuse(Server *server, int status, const char *body, unsigned count);

#endif
