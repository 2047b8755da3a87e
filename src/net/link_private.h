/* link_private.h - what link.c (from dial to a socket, and the end), link_handshake.c (until it is open) and link_frames.c (while it
 * is open) share. */
#ifndef GATEHOUSE_NET_LINK_PRIVATE_H
#define GATEHOUSE_NET_LINK_PRIVATE_H

#include "net/connector.h"
#include "net/link.h"
#include "net/proxy.h"
#include "net/resolver.h"
#include "net/send_queue.h"
#include "net/tls.h"
#include "protocol/websocket.h"
#include "protocol/ws_handshake.h"

#define LINK_REASON_SIZE 768

typedef enum {
    LINK_IDLE,
    LINK_STARTING, /* dialed; the rest begins in the next turn */
    LINK_RESOLVING,
    LINK_CONNECTING, /* TCP: to the gateway or to the proxy */
    LINK_PROXY,      /* waits for the answer to CONNECT */
    LINK_TLS,
    LINK_UPGRADING, /* waits for the answer to the WebSocket upgrade */
    LINK_OPEN,
    LINK_CLOSING, /* our close frame is on its way; waits for the peer's */
    LINK_ENDING   /* given up before it was open; `closed` comes in the next turn */
} LinkState;

struct Link {
    Loop *loop;
    LinkConfig config; /* without its strings, which are read in link_new only */
    LinkSink sink;
    char name[300];  /* host:port, for messages and for CONNECT */
    TlsTrust *trust; /* NULL for ws:// */
    bool has_proxy;
    Proxy proxy;

    LinkState state;
    unsigned busy; /* calls of ours that callbacks may be inside of: link_free waits for them */
    bool freed;
    bool paused;

    Resolver *resolver;
    Connector *connector;
    LoopWatch *watch;
    int fd;
    Tls *tls;
    Buffer answer; /* of the proxy, then of the upgrade, as far as it came */
    char key[WS_HANDSHAKE_KEY_SIZE];

    Websocket *websocket;
    SendQueue queue;
    bool awaits_writable;
    bool flush_planned;
    LoopTurn flush_turn;
    LoopTimer deadline;     /* of the state */
    LoopTimer pong;         /* while reading is paused */
    LoopSoon soon;          /* begin, end, or go on reading, as the state says */
    char close_reason[124]; /* of our own close, if the peer gives none */

    uint8_t masks[1024]; /* random bytes in stock */
    size_t masks_left;
    LinkStats stats;
};

/* Every function that the loop calls is between these two. */
void link_enter(Link *link);
void link_leave(Link *link);

/* The end of a dial: the connection is released, the link IDLE, `closed` called, which may dial again or free the link. The caller
 * must not touch the connection after it. `reason` is copied. */
void link_finish(Link *link, LinkClose how);
/* The same for what went wrong before it was open. */
void link_fail(Link *link, bool fatal, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As read(2), over TLS where there is one. */
ssize_t link_receive(Link *link, char *room, size_t size);

/* Puts bytes into the queue as they are. False without memory. */
bool link_push(Link *link, Buffer *bytes);
/* Writes what the socket takes. False if the connection ended by it. */
bool link_flush(Link *link);

/* The state's time limit, from now. */
void link_set_deadline(Link *link, int64_t after_ms);

/* link_handshake.c: the socket is connected; more came from it. */
void link_begin_handshake(Link *link);
void link_continue_answer(Link *link); /* PROXY, UPGRADING */
void link_continue_tls(Link *link);    /* TLS */

/* link_frames.c: from the answer to the upgrade on. */
void link_on_open(Link *link);
void link_read_frames(Link *link);
void link_on_pong_due(void *context);
void link_send_close(Link *link, unsigned code, const char *reason);
void link_apply_pause(Link *link);
/* The stream ended (error 0) or broke while OPEN or CLOSING. */
void link_lost(Link *link, int error);

#endif
