/* ws_handshake.h - the HTTP upgrade that opens a WebSocket, and the CONNECT that opens a way through a proxy. Pure text. */
#ifndef GATEHOUSE_PROTOCOL_WS_HANDSHAKE_H
#define GATEHOUSE_PROTOCOL_WS_HANDSHAKE_H

#include "protocol/buffer.h"

#define WS_HANDSHAKE_KEY_SIZE 25     /* 24 characters of base64 and a zero byte */
#define WS_HANDSHAKE_MAX_BYTES 16384 /* a longer header is refused */

/* `random` are 16 random bytes. */
void ws_handshake_key(const uint8_t random[16], char key[WS_HANDSHAKE_KEY_SIZE]);

/* The request. `authority` is host[:port] as it belongs into Host, `target` begins with '/', `origin` may be NULL. What does
 * not fit into a header line (control characters, spaces, bytes beyond ASCII) must have been refused by the caller: out->failed
 * is set then, and nothing is written. The same goes for the next function. */
void ws_handshake_write(Buffer *out, const char *authority, const char *target, const char *key, const char *origin);

/* A CONNECT request for a proxy; `credentials` is "user:password" or NULL. */
void ws_handshake_write_proxy(Buffer *out, const char *authority, const char *credentials);

typedef enum { WS_HANDSHAKE_MORE, WS_HANDSHAKE_DONE, WS_HANDSHAKE_REFUSED } WsHandshakeResult;

typedef struct {
    size_t used_bytes;      /* DONE: how many bytes of `received` belonged to the answer; what follows are frames */
    int status;             /* the HTTP status, 0 if the answer was not HTTP */
    int64_t retry_after_ms; /* from Retry-After, in seconds there; -1 without */
    char message
        [256]; /* REFUSED: for people, with the status and the first line of the body: `HTTP 503: too many clients` */
} WsHandshakeAnswer;

/* Reads the answer to the upgrade. Call again with all bytes so far after MORE. At the end of the connection (or of one's
 * patience) call with `ended` true, which turns MORE into REFUSED with what is there. A refusal waits for the first line of
 * its body, but never for more than 512 bytes of it. */
WsHandshakeResult ws_handshake_read(Slice received, const char *key, bool ended, WsHandshakeAnswer *answer);

/* The same for the answer to CONNECT: DONE on 2xx. */
WsHandshakeResult ws_handshake_read_proxy(Slice received, bool ended, WsHandshakeAnswer *answer);

#endif
