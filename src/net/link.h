/* link.h - the socket to the gateway: names to addresses, TCP, proxy, TLS, WebSocket upgrade, frames in and out. Knows nothing
 * of JSON or of the gateway's protocol; never blocks.
 *
 *     IDLE ─dial─► RESOLVING ─► CONNECTING ─► [PROXY] ─► [TLS] ─► UPGRADING ─► OPEN ─close─► CLOSING ─► IDLE
 *       ▲              └─────────── any failure: closed(what failed, in one line) ────────────────────────┘
 */
#ifndef GATEHOUSE_NET_LINK_H
#define GATEHOUSE_NET_LINK_H

#include "net/loop.h"
#include "protocol/buffer.h"

#define LINK_CONNECT_MS 10000      /* name look-up, TCP, proxy and TLS together */
#define LINK_ADDRESS_MS 250        /* the next address gets its try after this long, side by side (RFC 8305) */
#define LINK_UPGRADE_MS 15000      /* the WebSocket upgrade */
#define LINK_CLOSE_MS 2000         /* for the peer's answer to our close frame */
#define LINK_MAX_QUEUE (16u << 20) /* bytes that wait to be written; more is refused */
#define LINK_PONG_MS 10000         /* while reading is paused: an unsolicited pong this often */

typedef struct Link Link;

/* Where to. Made by link_target_parse from ws://host[:port][/path] or wss://…; also http:// and https:// */
typedef struct {
    bool tls;
    char host[256];      /* without brackets */
    char authority[300]; /* host[:port] as for Host */
    char path[1024];     /* with query; "/" if none */
    unsigned port;
} LinkTarget;

/* False, with a sentence in `problem`, for what is no such URL. A user name or password in it is refused. */
bool link_target_parse(const char *url, LinkTarget *target, char *problem, size_t problem_size);

/* localhost, names under it, and loopback addresses (IPv6 without brackets). Looks nothing up. */
bool link_host_is_loopback(const char *host);

typedef struct {
    LinkTarget target;
    const char *ca_file; /* NULL: the system's */
    const char *
        tls_fingerprint; /* SHA-256 of the certificate, hex with or without colons: it alone is what is trusted. NULL: verify */
    const char *proxy;        /* http://[user:password@]host:port, or NULL. From link_proxy_from_environment */
    bool carries_secret;      /* a token will be sent: plain ws:// to a public address is refused … */
    bool allow_insecure;      /* … unless this is given. Never switches verification of certificates off */
    size_t max_message_bytes; /* what we accept */
    size_t max_queue_bytes;   /* 0: LINK_MAX_QUEUE */
    int64_t connect_ms, address_ms, upgrade_ms, close_ms, pong_ms; /* 0: what is defined above */
} LinkConfig;                                                      /* strings are read by link_new and not kept */

/* HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, in lower case first, as curl reads them; but what is on this machine is never
 * behind a proxy. Returns NULL or the value (borrowed from the environment). */
const char *link_proxy_from_environment(const LinkTarget *target);

typedef struct {
    unsigned code; /* close code received (1005: a close frame without one), 1006 if the connection just ended or broke
                             * the rules, 0 if it never opened */
    Slice reason;  /* close reason (hostile), or what failed and what to do, in one line */
    int http_status;        /* of a refused upgrade */
    int64_t retry_after_ms; /* -1 */
    bool fatal;             /* trying again cannot help: certificate refused, plain connection refused by policy */
} LinkClose;

typedef struct {
    void *context;
    void (*opened)(void *context);
    void (*text)(void *context, Slice text);   /* borrowed for the call */
    void (*binary)(void *context, Slice data); /* NULL: a binary message closes with 1003 */
    void (*alive)(void *context);              /* ping or pong, or bytes of a message that is not complete */
    void (*closed)(void *context,
                   const LinkClose *how); /* once per dial; the link is IDLE and may be dialed again, from inside too */
    void (*drained)(void *context);       /* the write queue became empty; may be NULL */
} LinkSink;

/* NULL if there is no memory or the TLS settings are bad (sentence in `problem`). */
Link *link_new(Loop *loop, const LinkConfig *config, const LinkSink *sink, char *problem, size_t problem_size);
void link_free(Link *link); /* no callback comes after it */

/* From IDLE. `closed` or `opened` comes later, never inside the call. */
void link_dial(Link *link);

/* Sends the content as one text (binary) message; takes it. Written at the end of the turn, many frames in one write.
 * False when not OPEN, when the queue is full, or without memory; the content is then freed. */
bool link_send(Link *link, Buffer *payload);
bool link_send_binary(Link *link, Buffer *payload);
size_t link_queued_bytes(const Link *link);

/* The close handshake, within LINK_CLOSE_MS; while not OPEN just ends the attempt. `closed` comes later. */
void link_close(Link *link, unsigned code, const char *reason);

/* Backpressure: stops handing out messages at once, and reading from the socket; unsolicited pongs keep the peer content meanwhile.
 * Going on hands out what is buffered in the next turn, not inside of the call. Stays as it is over a new dial. */
void link_pause(Link *link, bool paused);

typedef struct {
    uint64_t bytes_in, bytes_out, messages_in, messages_out, reads, writes;
} LinkStats;
void link_stats(const Link *link, LinkStats *out);

#endif
