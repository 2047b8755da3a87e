/* ws_handshake.c - the two HTTP exchanges before the first frame: the upgrade and a proxy's CONNECT.
 *
 * An answer is read anew from its first byte each time that more of it has come: it is small, and so there is no state.
 * What the peer wrote goes into messages for people only after what could confuse a terminal was taken out. */
#include "protocol/ws_handshake.h"

#include "protocol/utf8.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#define ACCEPT_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define ACCEPT_SIZE 29     /* 28 characters of base64 and a zero byte */
#define MAX_BODY_BYTES 512 /* of a refusal, that are looked at */
#define MAX_QUOTE_BYTES 160
#define MAX_RETRY_AFTER_S 999999999

/* ---- writing ---- */

void ws_handshake_key(const uint8_t random[16], char key[WS_HANDSHAKE_KEY_SIZE])
{
    EVP_EncodeBlock((unsigned char *)key, random, 16);
}

static bool fits_header_line(const char *text)
{
    if (*text == '\0') return false;
    for (; *text; text++) {
        if (*text <= ' ' || *text > '~') return false;
    }
    return true;
}

void ws_handshake_write(Buffer *out, const char *authority, const char *target, const char *key, const char *origin)
{
    if (!fits_header_line(authority) || !fits_header_line(target) || *target != '/' || !fits_header_line(key) ||
        (origin && !fits_header_line(origin))) {
        out->failed = true;
        return;
    }
    buffer_append_format(out,
                         "GET %s HTTP/1.1\r\n"
                         "Host: %s\r\n"
                         "Upgrade: websocket\r\n"
                         "Connection: Upgrade\r\n"
                         "Sec-WebSocket-Key: %s\r\n"
                         "Sec-WebSocket-Version: 13\r\n"
                         "%s%s%s\r\n",
                         target, authority, key, origin ? "Origin: " : "", origin ? origin : "", origin ? "\r\n" : "");
}

void ws_handshake_write_proxy(Buffer *out, const char *authority, const char *credentials)
{
    if (!fits_header_line(authority)) {
        out->failed = true;
        return;
    }
    buffer_append_format(out, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", authority, authority);
    if (credentials) {
        size_t size = strlen(credentials);
        char *base64;

        buffer_append_text(out, "Proxy-Authorization: Basic ");
        base64 = size < INT32_MAX / 2 ? buffer_reserve(out, (size + 2) / 3 * 4 + 1) : NULL;
        if (!base64) {
            out->failed = true;
            return;
        }
        buffer_commit(out,
                      (size_t)EVP_EncodeBlock((unsigned char *)base64, (const unsigned char *)credentials, (int)size));
        buffer_append_text(out, "\r\n");
    }
    buffer_append_text(out, "\r\n");
}

/* ---- reading: slices of text ---- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static Slice trim(Slice text)
{
    while (text.size > 0 && is_space(text.data[0]))
        text = slice_make(text.data + 1, text.size - 1);
    while (text.size > 0 && is_space(text.data[text.size - 1]))
        text.size--;
    return text;
}

static bool is_name(Slice text, const char *name)
{
    return text.size == strlen(name) && strncasecmp(text.data, name, text.size) == 0;
}

/* Cuts the text before `separator` off the front of `rest`: all of it where there is no separator. False if `rest` is used up. */
static bool next_part(Slice *rest, char separator, Slice *part)
{
    const char *end;

    if (!rest->data) return false;
    end = rest->size ? memchr(rest->data, separator, rest->size) : NULL;
    *part = slice_make(rest->data, end ? (size_t)(end - rest->data) : rest->size);
    *rest = end ? slice_make(end + 1, rest->size - part->size - 1) : slice_make(NULL, 0);
    return true;
}

/* The next line without its end, which is LF or CR LF. False if there is no complete one. */
static bool next_line(Slice *rest, Slice *line)
{
    const char *end = rest->size ? memchr(rest->data, '\n', rest->size) : NULL;

    if (!end) return false;
    *line = slice_make(rest->data, (size_t)(end - rest->data));
    *rest = slice_make(end + 1, rest->size - line->size - 1);
    if (line->size > 0 && line->data[line->size - 1] == '\r') line->size--;
    return true;
}

static bool list_contains(Slice list, const char *token)
{
    Slice part;

    while (next_part(&list, ',', &part)) {
        if (is_name(trim(part), token)) return true;
    }
    return false;
}

/* -1 if the text is no number of at most `most`. */
static int64_t read_number(Slice text, unsigned base, int64_t most)
{
    int64_t number = 0;

    if (text.size == 0) return -1;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : 16;

        if (digit >= base) return -1;
        number = number * base + digit;
        if (number > most) return -1;
    }
    return number;
}

/* ---- reading: the head of an answer ---- */

typedef struct {
    int status;
    Slice reason;
    bool is_http_1_1;
    bool is_malformed;          /* a line that is no header */
    bool upgrades_to_websocket; /* Upgrade says websocket and nothing else */
    bool connection_upgrades;   /* upgrade is among what Connection says */
    bool has_two_accepts;
    bool is_chunked;
    Slice upgrade, accept, extensions, protocol, location; /* the last of each, NULL without */
    int64_t content_length;                                /* -1 if unknown */
    int64_t retry_after_ms;
} Head;

/* HTTP/1.<minor> <three digits>[ <reason>] */
static bool read_status_line(Slice line, Head *head)
{
    int64_t status;

    if (line.size < 12 || memcmp(line.data, "HTTP/1.", 7) != 0) return false;
    if (line.data[7] < '0' || line.data[7] > '9' || line.data[8] != ' ') return false;
    if (line.size > 12 && line.data[12] != ' ') return false;
    status = read_number(slice_make(line.data + 9, 3), 10, 999);
    if (status < 100) return false;
    head->status = (int)status;
    head->is_http_1_1 = line.data[7] != '0';
    head->reason = trim(slice_make(line.data + 12, line.size - 12));
    return true;
}

static bool is_header_name(Slice name)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool is_alphanumeric = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        if (!is_alphanumeric && (c == '\0' || !strchr(others, c))) return false;
    }
    return name.size > 0;
}

static bool is_header_value(Slice value)
{
    for (size_t i = 0; i < value.size; i++) {
        uint8_t c = (uint8_t)value.data[i];

        if ((c < ' ' && c != '\t') || c == 0x7F) return false;
    }
    return true;
}

static void read_header_line(Slice line, Head *head)
{
    Slice value = line, name;

    next_part(&value, ':', &name);
    if (!value.data || !is_header_name(name) || !is_header_value(value)) {
        head->is_malformed = true;
        return;
    }
    value = trim(value);
    if (is_name(name, "Upgrade")) {
        head->upgrades_to_websocket =
            is_name(value, "websocket") && (head->upgrades_to_websocket || !head->upgrade.data);
        head->upgrade = value;
    } else if (is_name(name, "Connection")) {
        head->connection_upgrades = head->connection_upgrades || list_contains(value, "upgrade");
    } else if (is_name(name, "Sec-WebSocket-Accept")) {
        head->has_two_accepts = head->accept.data != NULL;
        head->accept = value;
    } else if (is_name(name, "Sec-WebSocket-Extensions")) {
        if (value.size > 0) head->extensions = value;
    } else if (is_name(name, "Sec-WebSocket-Protocol")) {
        if (value.size > 0) head->protocol = value;
    } else if (is_name(name, "Location")) {
        head->location = value;
    } else if (is_name(name, "Content-Length")) {
        head->content_length = read_number(value, 10, INT32_MAX);
    } else if (is_name(name, "Transfer-Encoding")) {
        head->is_chunked = list_contains(value, "chunked");
    } else if (is_name(name, "Retry-After")) {
        int64_t seconds = read_number(value, 10, MAX_RETRY_AFTER_S);

        head->retry_after_ms = seconds < 0 ? -1 : seconds * 1000;
    }
}

/* ---- reading: messages for people ---- */

/* The text without control characters, C1 ones included, and with '?' for what is not UTF-8. */
static void quote(Slice text, char to[MAX_QUOTE_BYTES + 1])
{
    size_t size = 0;
    bool is_utf8;

    text.size = utf8_prefix(text, MAX_QUOTE_BYTES);
    is_utf8 = utf8_valid(text);
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = (uint8_t)text.data[i];

        if (c < ' ' || c == 0x7F) continue;
        if (is_utf8 && c == 0xC2 && (uint8_t)text.data[i + 1] < 0xA0) {
            i++;
            continue;
        }
        to[size++] = c < 0x80 || is_utf8 ? text.data[i] : '?';
    }
    to[size] = '\0';
}

__attribute__((format(printf, 2, 3))) static WsHandshakeResult refuse(WsHandshakeAnswer *answer, const char *format,
                                                                      ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(answer->message, sizeof answer->message, format, arguments);
    va_end(arguments);
    return WS_HANDSHAKE_REFUSED;
}

/* An HTML page says what it has to say in its title. */
static Slice title_of(Slice page)
{
    static const char tag[] = "<title>";
    const size_t tag_size = sizeof tag - 1;

    for (size_t i = 0; i + tag_size <= page.size; i++) {
        Slice rest = slice_make(page.data + i + tag_size, page.size - i - tag_size), title;

        if (strncasecmp(page.data + i, tag, tag_size) != 0) continue;
        next_part(&rest, '<', &title);
        return rest.data ? trim(title) : slice_make(NULL, 0);
    }
    return slice_make(NULL, 0);
}

/* The first line of the body that says something, in as much of the body as has come. False if more of it must come first. */
static bool read_body_line(Slice body, const Head *head, Slice *line)
{
    bool is_whole = body.size >= MAX_BODY_BYTES;
    int64_t body_size = head->content_length;
    Slice rest, first = {NULL, 0};

    *line = first;
    if (is_whole) body.size = MAX_BODY_BYTES;
    if (head->is_chunked) { /* the first chunk will do; its size is in a line before it, with what nobody uses behind a ';' */
        Slice size_line, size;

        if (!next_line(&body, &size_line)) return is_whole;
        next_part(&size_line, ';', &size);
        body_size = read_number(trim(size), 16, INT32_MAX);
    }
    if (head->status == 304) body_size = 0;
    if (body_size >= 0 && body.size >= (size_t)body_size) {
        body.size = (size_t)body_size;
        is_whole = true;
    }

    rest = body;
    while (first.size == 0 && next_line(&rest, &first))
        first = trim(first);
    if (first.size > 0 && first.data[0] != '<') {
        is_whole = true;
    } else if (first.size == 0) {
        first = trim(rest); /* a line that has not ended */
    }
    *line = first;
    if (first.size > 0 && first.data[0] == '<') {
        *line = title_of(body);
        if (line->size > 0) is_whole = true;
    }
    return is_whole;
}

typedef enum { HEAD_MORE, HEAD_READ, HEAD_REFUSED } HeadResult;

/* Reads the head of the answer that matters: those of interim answers (100, 103) are skipped. `who` names the peer. */
static HeadResult read_head(Slice received, const char *who, bool ended, Head *head, WsHandshakeAnswer *answer)
{
    static const char start[] = "HTTP/1.";
    size_t start_size = received.size < sizeof start - 1 ? received.size : sizeof start - 1;
    Slice rest = received, line;
    bool is_too_long = received.size >= WS_HANDSHAKE_MAX_BYTES;

    *answer = (WsHandshakeAnswer){.retry_after_ms = -1};
    if (received.size > 0 && (received.data[0] == 0x15 || received.data[0] == 0x16)) { /* a TLS alert or handshake */
        if (received.size < 2 && !ended) return HEAD_MORE;
        if (received.size >= 2 && received.data[1] == 0x03) {
            refuse(answer, "the %s speaks TLS: use %s", who, strcmp(who, "proxy") == 0 ? "https:// for it" : "wss://");
            return HEAD_REFUSED;
        }
    }
    if (memcmp(received.size ? received.data : "", start, start_size) != 0) {
        refuse(answer, "the %s does not speak HTTP: is the port right?", who);
        return HEAD_REFUSED;
    }

    if (is_too_long) rest.size = WS_HANDSHAKE_MAX_BYTES;
    do {
        *head = (Head){.content_length = -1, .retry_after_ms = -1};
        if (!next_line(&rest, &line)) goto incomplete;
        if (!read_status_line(line, head)) {
            refuse(answer, "the %s's answer is not HTTP/1.1: is the port right?", who);
            return HEAD_REFUSED;
        }
        for (;;) {
            if (!next_line(&rest, &line)) goto incomplete;
            if (line.size == 0) break;
            read_header_line(line, head);
        }
    } while (head->status < 200 && head->status != 101);
    answer->used_bytes = (size_t)(rest.data - received.data);
    answer->status = head->status;
    answer->retry_after_ms = head->retry_after_ms;
    return HEAD_READ;

incomplete:
    if (is_too_long) {
        refuse(answer, "the %s's answer has a header of more than %d bytes", who, WS_HANDSHAKE_MAX_BYTES);
    } else if (!ended) {
        return HEAD_MORE;
    } else if (received.size == 0) {
        refuse(answer, "the %s closed the connection without an answer", who);
    } else {
        refuse(answer, "the %s closed the connection in the middle of its answer", who);
    }
    return HEAD_REFUSED;
}

/* ---- reading: the answers ---- */

/* A status that is not the one hoped for, as a person should read it. */
static WsHandshakeResult refuse_status(Slice received, const char *who, bool ended, const Head *head,
                                       WsHandshakeAnswer *answer)
{
    Slice body = slice_make(received.data + answer->used_bytes, received.size - answer->used_bytes), line;
    char text[MAX_QUOTE_BYTES + 1];
    bool is_proxy = strcmp(who, "proxy") == 0;
    const char *prefix = is_proxy ? "the proxy answered " : "";

    if (head->status >= 300 && head->status < 400 && head->location.size > 0) {
        quote(head->location, text);
        return refuse(answer, "%sHTTP %d: redirected to %s, which must be given as the address", prefix, head->status,
                      text);
    }
    if (head->status < 300) {
        return refuse(answer,
                      "the %s answered HTTP %d instead of switching to WebSocket: is the address that of a gateway?",
                      who, head->status);
    }
    if (!read_body_line(body, head, &line) && !ended) return WS_HANDSHAKE_MORE;
    quote(line.size > 0 ? line : head->reason, text);
    return refuse(answer, "%sHTTP %d%s%s", prefix, head->status, *text ? ": " : "", text);
}

static void expected_accept(const char *key, char accept[ACCEPT_SIZE])
{
    unsigned char input[WS_HANDSHAKE_KEY_SIZE + sizeof ACCEPT_GUID], digest[SHA_DIGEST_LENGTH];
    int size = snprintf((char *)input, sizeof input, "%.*s%s", WS_HANDSHAKE_KEY_SIZE - 1, key, ACCEPT_GUID);

    SHA1(input, (size_t)size, digest);
    EVP_EncodeBlock((unsigned char *)accept, digest, sizeof digest);
}

WsHandshakeResult ws_handshake_read(Slice received, const char *key, bool ended, WsHandshakeAnswer *answer)
{
    const char *who = "server";
    char accept[ACCEPT_SIZE], text[MAX_QUOTE_BYTES + 1];
    Head head;

    switch (read_head(received, who, ended, &head, answer)) {
    case HEAD_MORE: return WS_HANDSHAKE_MORE;
    case HEAD_REFUSED: return WS_HANDSHAKE_REFUSED;
    case HEAD_READ: break;
    }
    if (head.status != 101) return refuse_status(received, who, ended, &head, answer);
    if (head.is_malformed) return refuse(answer, "the server's answer to the upgrade has a malformed header");
    if (!head.is_http_1_1) return refuse(answer, "the server answered the upgrade with HTTP/1.0");
    if (!head.upgrades_to_websocket) return refuse(answer, "the server switched to something else than WebSocket");
    if (!head.connection_upgrades) return refuse(answer, "the server's answer lacks `Connection: Upgrade`");
    expected_accept(key, accept);
    if (head.has_two_accepts || !slice_is(head.accept, accept)) {
        return refuse(answer,
                      "the server's Sec-WebSocket-Accept does not belong to this request: does a cache answer?");
    }
    if (head.extensions.data) {
        quote(head.extensions, text);
        return refuse(answer, "the server agreed to an extension that was not asked for: %s", text);
    }
    if (head.protocol.data) {
        quote(head.protocol, text);
        return refuse(answer, "the server chose a subprotocol that was not asked for: %s", text);
    }
    return WS_HANDSHAKE_DONE;
}

WsHandshakeResult ws_handshake_read_proxy(Slice received, bool ended, WsHandshakeAnswer *answer)
{
    const char *who = "proxy";
    Head head;

    switch (read_head(received, who, ended, &head, answer)) {
    case HEAD_MORE: return WS_HANDSHAKE_MORE;
    case HEAD_REFUSED: return WS_HANDSHAKE_REFUSED;
    case HEAD_READ: break;
    }
    if (head.status < 200 || head.status > 299) return refuse_status(received, who, ended, &head, answer);
    if (head.is_malformed) return refuse(answer, "the proxy's answer has a malformed header");
    return WS_HANDSHAKE_DONE;
}
