/* link_handshake.c - what is said over a new socket before the first frame: CONNECT to a proxy, TLS, the WebSocket upgrade. */
#include "net/link_private.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#define ANSWER_CHUNK_BYTES 4096

/* --- the upgrade ------------------------------------------------------------------------------------------------------------- */

static void begin_upgrade(Link *link)
{
    uint8_t random[16];
    Buffer request = buffer_with_headroom(0);
    link->state = LINK_UPGRADING;
    link_set_deadline(link, link->config.upgrade_ms);
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        link_fail(link, false, "cannot connect to %s: the system gives no random bytes", link->name);
        return;
    }
    ws_handshake_key(random, link->key);
    ws_handshake_write(&request, link->config.target.authority, link->config.target.path, link->key, NULL);
    if (!link_push(link, &request)) {
        link_fail(link, false, "cannot connect to %s: out of memory", link->name);
        return;
    }
    link_flush(link);
}

/* More of an answer's bytes into link->answer. Returns as read(2). */
static ssize_t read_answer(Link *link)
{
    char *room = buffer_reserve(&link->answer, ANSWER_CHUNK_BYTES);
    if (!room) {
        errno = ENOMEM;
        return -1;
    }
    ssize_t got = link_receive(link, room, ANSWER_CHUNK_BYTES);
    if (got > 0) buffer_commit(&link->answer, (size_t)got);
    return got;
}

static void refuse(Link *link, const WsHandshakeAnswer *answer)
{
    char text[LINK_REASON_SIZE];
    snprintf(text, sizeof text, "cannot connect to %s: %s", link->name, answer->message);
    link_finish(
        link,
        (LinkClose){.reason = slice_of(text), .http_status = answer->status, .retry_after_ms = answer->retry_after_ms});
}

/* What came behind the answer are frames already. */
static bool keep_rest(Link *link, size_t used)
{
    Slice rest = buffer_slice(&link->answer);
    rest = slice_make(rest.data + used, rest.size - used);
    while (rest.size > 0) {
        size_t size = 0;
        char *room = websocket_room(link->websocket, &size);
        if (!room || size == 0) return false;
        size = size < rest.size ? size : rest.size;
        memcpy(room, rest.data, size);
        websocket_received(link->websocket, size);
        rest = slice_make(rest.data + size, rest.size - size);
    }
    return true;
}

static void begin_secure(Link *link);

/* Reads the proxy's answer to CONNECT, or the gateway's to the upgrade. */
void link_continue_answer(Link *link)
{
    for (;;) {
        ssize_t got = read_answer(link);
        if (got < 0 && errno == EAGAIN) return;
        WsHandshakeAnswer answer;
        bool ended = got <= 0;
        WsHandshakeResult result = link->state == LINK_PROXY
                                       ? ws_handshake_read_proxy(buffer_slice(&link->answer), ended, &answer)
                                       : ws_handshake_read(buffer_slice(&link->answer), link->key, ended, &answer);
        if (result == WS_HANDSHAKE_MORE && !ended) continue;
        if (result != WS_HANDSHAKE_DONE) {
            refuse(link, &answer);
            return;
        }
        if (link->state == LINK_PROXY) {
            bool surplus = answer.used_bytes < buffer_size(&link->answer);
            buffer_free(&link->answer);
            if (surplus)
                link_fail(link, false, "cannot connect to %s: the proxy sent bytes of its own behind its answer",
                          link->name);
            else
                begin_secure(link);
            return;
        }
        if (!keep_rest(link, answer.used_bytes)) {
            link_fail(link, false, "cannot connect to %s: out of memory", link->name);
            return;
        }
        buffer_free(&link->answer);
        loop_timer_set(link->loop, &link->deadline, HEAP_NEVER);
        link_on_open(link);
        return;
    }
}

/* --- TLS --------------------------------------------------------------------------------------------------------------------- */

void link_continue_tls(Link *link)
{
    switch (tls_handshake(link->tls)) {
    case TLS_READY: begin_upgrade(link); return;
    case TLS_WANTS_WRITE: loop_want_write(link->watch); return;
    case TLS_WANTS_READ: return;
    case TLS_FAILED: {
        bool fatal = tls_certificate_refused(link->tls);
        char problem[LINK_REASON_SIZE];
        snprintf(problem, sizeof problem, "%s", tls_problem(link->tls));
        link_fail(link, fatal, "cannot connect to %s: %s", link->name, problem);
    }
    }
}

static void begin_secure(Link *link)
{
    if (!link->trust) {
        begin_upgrade(link);
        return;
    }
    link->state = LINK_TLS;
    link->tls = tls_new(link->trust, link->fd, link->config.target.host);
    if (!link->tls) {
        link_fail(link, false, "cannot connect to %s: out of memory", link->name);
        return;
    }
    link_continue_tls(link);
}

void link_begin_handshake(Link *link)
{
    if (!link->has_proxy) {
        begin_secure(link);
        return;
    }
    Buffer request = buffer_with_headroom(0);
    link->state = LINK_PROXY;
    ws_handshake_write_proxy(&request, link->name, link->proxy.credentials);
    if (link_push(link, &request))
        link_flush(link);
    else
        link_fail(link, false, "cannot connect to %s: out of memory", link->name);
}
