/* tls.c - OpenSSL as a client on a non-blocking socket that somebody else watches.
 *
 * Certificates are judged inside of the handshake, so that a server that is refused gets an alert and not a byte more: by
 * OpenSSL's verification (chain, dates, name), or by the fingerprint alone when one is pinned. */
#include "net/tls.h"

#include "net/address.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FINGERPRINT_BYTES 32
#define READ_AHEAD_BYTES (64 * 1024) /* several records with one read(2) */
#define PROBLEM_SIZE 512

struct TlsTrust {
    SSL_CTX *context;
    bool pinned;
    unsigned char fingerprint[FINGERPRINT_BYTES];
};

struct Tls {
    SSL *ssl;
    TlsTrust *trust;
    char host[256];
    bool wants_write;
    bool certificate_refused;
    bool broken; /* after a fatal error OpenSSL must not be called again, SSL_shutdown included */
    char problem[PROBLEM_SIZE];
};

/* --- what is trusted --------------------------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') return (c | 0x20) - 'a' + 10;
    return -1;
}

static bool parse_fingerprint(const char *text, unsigned char out[FINGERPRINT_BYTES])
{
    for (size_t i = 0; i < FINGERPRINT_BYTES; i++) {
        if (i > 0 && *text == ':') text++;
        int high = hex_digit(text[0]);
        int low = high < 0 ? -1 : hex_digit(text[1]);
        if (low < 0) return false;
        out[i] = (unsigned char)(high * 16 + low);
        text += 2;
    }
    return *text == '\0';
}

static void write_fingerprint(const unsigned char bytes[FINGERPRINT_BYTES], char *out, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < FINGERPRINT_BYTES && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, i ? ":%02X" : "%02X", bytes[i]);
}

static Tls *tls_of(X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    return SSL_get_app_data(ssl);
}

/* In place of verification, when a certificate is pinned. */
static int check_fingerprint(X509_STORE_CTX *store, void *argument)
{
    TlsTrust *trust = argument;
    Tls *tls = tls_of(store);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    X509 *certificate = X509_STORE_CTX_get0_cert(store);
    if (certificate && X509_digest(certificate, EVP_sha256(), digest, &size) && size == FINGERPRINT_BYTES &&
        CRYPTO_memcmp(digest, trust->fingerprint, FINGERPRINT_BYTES) == 0) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    char text[FINGERPRINT_BYTES * 3 + 1] = "";
    if (size == FINGERPRINT_BYTES) write_fingerprint(digest, text, sizeof text);
    tls->certificate_refused = true;
    snprintf(tls->problem, sizeof tls->problem,
             "certificate of %s is not the pinned one: if it was renewed, set tls_fingerprint to %s", tls->host, text);
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

static void format_date(const ASN1_TIME *time, char out[16])
{
    struct tm parts;
    if (!ASN1_TIME_to_tm(time, &parts) || strftime(out, 16, "%Y-%m-%d", &parts) == 0) snprintf(out, 16, "?");
}

/* The names it is for, as the certificate says: bytes from the wire, so only what belongs into a name is repeated. */
static void format_names(X509 *certificate, char *out, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t used = 0;
    int shown = 0;
    out[0] = '\0';
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names) && shown < 3; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        char text[128] = "";
        if (name->type == GEN_DNS) {
            snprintf(text, sizeof text, "%.*s", ASN1_STRING_length(name->d.dNSName),
                     (const char *)ASN1_STRING_get0_data(name->d.dNSName));
        } else if (name->type == GEN_IPADD) {
            Address address = {.size = 0};
            const unsigned char *bytes = ASN1_STRING_get0_data(name->d.iPAddress);
            bool v4 = ASN1_STRING_length(name->d.iPAddress) == 4;
            address.at.any.sa_family = v4 ? AF_INET : AF_INET6;
            if (v4)
                memcpy(&address.at.v4.sin_addr, bytes, 4);
            else if (ASN1_STRING_length(name->d.iPAddress) == 16)
                memcpy(&address.at.v6.sin6_addr, bytes, 16);
            address_format(&address, text);
        }
        if (text[0] && used < size) {
            used += (size_t)snprintf(out + used, size - used, "%s%s", shown ? ", " : "", text);
            shown++;
        }
    }
    GENERAL_NAMES_free(names);
    if (shown == 0) X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, out, (int)size);
    for (char *c = out; *c; c++) {
        if (*c < ' ' || *c > '~') *c = '?';
    }
    if (out[0] == '\0') snprintf(out, size, "nobody");
}

static void explain_verification(Tls *tls, X509_STORE_CTX *store)
{
    int error = X509_STORE_CTX_get_error(store);
    X509 *certificate = X509_STORE_CTX_get_current_cert(store);
    const char *whose = X509_STORE_CTX_get_error_depth(store) > 0 ? "an authority in the chain of " : "";
    char detail[384] = "?";
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        format_date(X509_get0_notAfter(certificate), detail);
        snprintf(tls->problem, sizeof tls->problem, "certificate of %s%s has expired (%.16s)", whose, tls->host,
                 detail);
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        format_date(X509_get0_notBefore(certificate), detail);
        snprintf(tls->problem, sizeof tls->problem,
                 "certificate of %s%s is valid from %.16s only: is the clock of this machine right?", whose, tls->host,
                 detail);
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        format_names(certificate, detail, 200);
        snprintf(tls->problem, sizeof tls->problem, "certificate is for %.200s, not for %.200s", detail, tls->host);
        break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE: /* another one of the same name */
        snprintf(
            tls->problem, sizeof tls->problem,
            "certificate is signed by an unknown authority: give it with --ca-file, or pin it with tls_fingerprint");
        break;
    default:
        snprintf(tls->problem, sizeof tls->problem, "certificate of %s%s was refused: %s", whose, tls->host,
                 X509_verify_cert_error_string(error));
        break;
    }
}

static int on_verified(int ok, X509_STORE_CTX *store)
{
    if (ok) return 1;
    Tls *tls = tls_of(store);
    tls->certificate_refused = true;
    explain_verification(tls, store);
    return 0;
}

static bool load_authorities(SSL_CTX *context, const char *ca_file, char *problem, size_t size)
{
    if (!ca_file) {
        if (SSL_CTX_set_default_verify_paths(context) == 1) return true;
        snprintf(problem, size, "the system's certificate authorities cannot be loaded: give them with --ca-file");
        return false;
    }
    FILE *file = fopen(ca_file, "re");
    if (!file) {
        snprintf(problem, size, "cannot read the certificate authorities in %s: %s", ca_file, strerror(errno));
        return false;
    }
    (void)fclose(file);
    if (SSL_CTX_load_verify_locations(context, ca_file, NULL) == 1) return true;
    snprintf(problem, size, "%s holds no certificate in PEM form", ca_file);
    return false;
}

TlsTrust *tls_trust_new(const char *ca_file, const char *fingerprint, char *problem, size_t problem_size)
{
    TlsTrust *trust = calloc(1, sizeof *trust);
    SSL_CTX *context = trust ? SSL_CTX_new(TLS_client_method()) : NULL;
    if (!context || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
        snprintf(problem, problem_size, "OpenSSL cannot be set up: out of memory");
        goto failed;
    }
    trust->context = context;
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, READ_AHEAD_BYTES);
    if (fingerprint) {
        if (!parse_fingerprint(fingerprint, trust->fingerprint)) {
            snprintf(problem, problem_size,
                     "tls_fingerprint is no SHA-256 fingerprint: 64 hex digits, with or without colons");
            goto failed;
        }
        trust->pinned = true;
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_cert_verify_callback(context, check_fingerprint, trust);
    } else {
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, on_verified);
        if (!load_authorities(context, ca_file, problem, problem_size)) goto failed;
    }
    ERR_clear_error();
    return trust;

failed:
    ERR_clear_error();
    SSL_CTX_free(context);
    free(trust);
    return NULL;
}

void tls_trust_free(TlsTrust *trust)
{
    if (!trust) return;
    SSL_CTX_free(trust->context);
    free(trust);
}

/* --- one connection ---------------------------------------------------------------------------------------------------------- */

/* The name that is asked for, and that the certificate must be for. */
static bool set_host(Tls *tls, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);
    Address literal;
    if (address_parse(host, 0, &literal)) return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(tls->ssl, host) == 1 && SSL_set_tlsext_host_name(tls->ssl, host) == 1;
}

Tls *tls_new(TlsTrust *trust, int fd, const char *host)
{
    Tls *tls = calloc(1, sizeof *tls);
    if (!tls) return NULL;
    tls->trust = trust;
    snprintf(tls->host, sizeof tls->host, "%s", host);
    tls->ssl = SSL_new(trust->context);
    if (!tls->ssl || SSL_set_fd(tls->ssl, fd) != 1 || SSL_set_app_data(tls->ssl, tls) != 1 || !set_host(tls, host)) {
        ERR_clear_error();
        tls_free(tls);
        return NULL;
    }
    SSL_set_connect_state(tls->ssl);
    return tls;
}

void tls_free(Tls *tls)
{
    if (!tls) return;
    SSL_free(tls->ssl);
    free(tls);
}

/* A handshake that failed for another reason than the certificate. */
static void explain_handshake(Tls *tls, int result)
{
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_REASON(error);
    if (tls->problem[0]) return;
    if (result == SSL_ERROR_SYSCALL || (result == SSL_ERROR_SSL && reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)) {
        snprintf(tls->problem, sizeof tls->problem,
                 "the port ended the connection in the TLS handshake: if it does not speak TLS, use ws://");
        return;
    }
    switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_RECORD_LENGTH_MISMATCH:
    case SSL_R_UNEXPECTED_MESSAGE:
    case SSL_R_BAD_RECORD_TYPE:
        snprintf(tls->problem, sizeof tls->problem, "the port does not speak TLS: use ws://");
        break;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        snprintf(tls->problem, sizeof tls->problem,
                 "it speaks no TLS of version 1.2 or newer, older ones are not safe");
        break;
    default: {
        const char *text = ERR_reason_error_string(error);
        snprintf(tls->problem, sizeof tls->problem, "the TLS handshake failed: %s",
                 text ? text : "no reason was given");
    }
    }
}

TlsResult tls_handshake(Tls *tls)
{
    ERR_clear_error();
    int done = SSL_do_handshake(tls->ssl);
    if (done == 1) return TLS_READY;
    int result = SSL_get_error(tls->ssl, done);
    switch (result) {
    case SSL_ERROR_WANT_READ: return TLS_WANTS_READ;
    case SSL_ERROR_WANT_WRITE: return TLS_WANTS_WRITE;
    default: break;
    }
    tls->broken = true;
    explain_handshake(tls, result);
    ERR_clear_error();
    return TLS_FAILED;
}

const char *tls_problem(const Tls *tls)
{
    return tls->problem;
}

bool tls_certificate_refused(const Tls *tls)
{
    return tls->certificate_refused;
}

/* -1 with errno, or 0 at the end of the stream. A stream that ends without the TLS goodbye ends as well: WebSocket has its own. */
static ssize_t io_result(Tls *tls, int done)
{
    int saved = errno;
    int result = SSL_get_error(tls->ssl, done);
    bool truncated = result == SSL_ERROR_SSL && ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    ERR_clear_error();
    switch (result) {
    case SSL_ERROR_WANT_WRITE:
    case SSL_ERROR_WANT_READ:
        tls->wants_write = result == SSL_ERROR_WANT_WRITE;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN: return 0;
    default: break;
    }
    tls->broken = true;
    if (truncated || (result == SSL_ERROR_SYSCALL && saved == 0)) return 0;
    errno = result == SSL_ERROR_SYSCALL ? saved : EPROTO;
    return -1;
}

ssize_t tls_read(Tls *tls, void *bytes, size_t size)
{
    ERR_clear_error();
    errno = 0;
    tls->wants_write = false;
    int got = SSL_read(tls->ssl, bytes, size > INT_MAX ? INT_MAX : (int)size);
    return got > 0 ? got : io_result(tls, got);
}

ssize_t tls_write(Tls *tls, const void *bytes, size_t size)
{
    ERR_clear_error();
    errno = 0;
    int put = SSL_write(tls->ssl, bytes, size > INT_MAX ? INT_MAX : (int)size);
    return put > 0 ? put : io_result(tls, put);
}

bool tls_wants_write(const Tls *tls)
{
    return tls->wants_write;
}

bool tls_has_buffered(const Tls *tls)
{
    return SSL_has_pending(tls->ssl) == 1;
}

void tls_shutdown(Tls *tls)
{
    if (tls->broken || !SSL_is_init_finished(tls->ssl)) return;
    ERR_clear_error();
    (void)SSL_shutdown(tls->ssl);
    ERR_clear_error();
}
