/* tls.h - OpenSSL as a client on a non-blocking socket that somebody else watches. */
#ifndef GATEHOUSE_NET_TLS_H
#define GATEHOUSE_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What is trusted; made once per link. */
typedef struct TlsTrust TlsTrust;

/* `ca_file`: PEM, in place of the system's authorities; NULL for those. `fingerprint`: SHA-256 of the certificate in hex, with or
 * without colons; then that certificate and no other is trusted, whatever else is said of it; NULL to verify. Returns NULL
 * with a sentence in `problem`. */
TlsTrust *tls_trust_new(const char *ca_file, const char *fingerprint, char *problem, size_t problem_size);
void tls_trust_free(TlsTrust *trust);

/* One connection. */
typedef struct Tls Tls;

/* `host` is what the certificate must be for: a name (sent as SNI) or an address. The descriptor stays the caller's. NULL without
 * memory. */
Tls *tls_new(TlsTrust *trust, int fd, const char *host);
void tls_free(Tls *tls);

typedef enum { TLS_READY, TLS_WANTS_READ, TLS_WANTS_WRITE, TLS_FAILED } TlsResult;

TlsResult tls_handshake(Tls *tls);

/* After TLS_FAILED: what went wrong and what to do, in one line; whether the certificate was refused, which another try does not
 * change. */
const char *tls_problem(const Tls *tls);
bool tls_certificate_refused(const Tls *tls);

/* As read(2) and write(2): bytes, 0 at the end of the stream, or -1 with errno, EAGAIN among it. A write that got EAGAIN must be
 * repeated with the same bytes, from wherever they are by then. */
ssize_t tls_read(Tls *tls, void *bytes, size_t size);
ssize_t tls_write(Tls *tls, const void *bytes, size_t size);
bool tls_wants_write(const Tls *tls);  /* the last tls_read stopped because it has something to write */
bool tls_has_buffered(const Tls *tls); /* bytes that poll does not tell about any more */

/* Tells the peer that the stream ends here, as far as that does not block. */
void tls_shutdown(Tls *tls);

#endif
