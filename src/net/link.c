/* link.c - the life of a connection: from dial to a TCP socket, and its end. What is said over the socket before the first frame
 * is in link_handshake.c, frames are in link_frames.c.
 *
 *     IDLE ─dial─► STARTING ─► RESOLVING ─► CONNECTING ─► PROXY ─► TLS ─► UPGRADING ─► OPEN ─link_close─► CLOSING
 *                      └── a literal address ──┘            └ where there is one ┘       │                    │
 *     any state ─failure, refusal, deadline, close frame, end of stream──────────────────┴──► closed() ─► IDLE ┘
 *     before OPEN ─link_close─► ENDING ─► closed() ─► IDLE
 *
 * Callbacks are made from functions that the loop called, and last in them; they may do with the link what they want, link_free
 * included: the memory then stays until the call is back. */
#include "net/link_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void link_enter(Link *link)
{
    link->busy++;
}

static void destroy(Link *link)
{
    websocket_free(link->websocket);
    tls_trust_free(link->trust);
    proxy_clear(&link->proxy);
    free(link);
}

void link_leave(Link *link)
{
    if (--link->busy == 0 && link->freed) destroy(link);
}

/* Everything that belongs to one connection goes. */
static void disconnect(Link *link)
{
    resolver_cancel(link->resolver);
    connector_cancel(link->connector);
    if (link->tls && link->state >= LINK_OPEN) tls_shutdown(link->tls);
    tls_free(link->tls);
    loop_unwatch(link->watch);
    link->resolver = NULL;
    link->connector = NULL;
    link->tls = NULL;
    link->watch = NULL;
    link->fd = -1;

    loop_timer_set(link->loop, &link->deadline, HEAP_NEVER);
    loop_timer_set(link->loop, &link->pong, HEAP_NEVER);
    loop_not_soon(link->loop, &link->soon);
    if (link->flush_planned) loop_off_turn_end(link->loop, &link->flush_turn);
    link->flush_planned = false;
    link->awaits_writable = false;
    buffer_free(&link->answer);
    send_queue_free(&link->queue);
    websocket_reset(link->websocket);
    link->state = LINK_IDLE;
}

void link_finish(Link *link, LinkClose how)
{
    char reason[LINK_REASON_SIZE];
    size_t size = how.reason.size < sizeof reason ? how.reason.size : sizeof reason;
    if (size > 0) memcpy(reason, how.reason.data, size);
    how.reason = slice_make(reason, size);
    disconnect(link);
    link->sink.closed(link->sink.context, &how);
}

void link_fail(Link *link, bool fatal, const char *format, ...)
{
    char text[LINK_REASON_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    link_finish(link, (LinkClose){.reason = slice_of(text), .retry_after_ms = -1, .fatal = fatal});
}

/* Who the current state is about. */
static void peer_name(const Link *link, char *out, size_t size)
{
    if (link->state == LINK_PROXY || (link->state == LINK_CONNECTING && link->has_proxy))
        snprintf(out, size, "proxy %s:%u", link->proxy.host, link->proxy.port);
    else
        snprintf(out, size, "%s", link->name);
}

void link_set_deadline(Link *link, int64_t after_ms)
{
    loop_timer_set(link->loop, &link->deadline, loop_now_ms(link->loop) + after_ms);
}

static void on_deadline(void *context)
{
    Link *link = context;
    char peer[320];
    peer_name(link, peer, sizeof peer);
    long long connect_s = (link->config.connect_ms + 999) / 1000;
    long long upgrade_s = (link->config.upgrade_ms + 999) / 1000;
    link_enter(link);
    switch (link->state) {
    case LINK_RESOLVING:
        link_fail(link, false, "cannot find the address of %s: the name server gave no answer in %lld s", peer,
                  connect_s);
        break;
    case LINK_CONNECTING:
        link_fail(
            link, false,
            "cannot connect to %s: no answer in %lld s; is the address right, and does a firewall let it through?",
            peer, connect_s);
        break;
    case LINK_PROXY:
        link_fail(link, false, "cannot connect to %s: %s gave no answer in %lld s", link->name, peer, connect_s);
        break;
    case LINK_TLS:
        link_fail(link, false,
                  "cannot connect to %s: the TLS handshake did not finish in %lld s; does the port speak TLS?", peer,
                  connect_s);
        break;
    case LINK_UPGRADING:
        link_fail(
            link, false,
            "cannot connect to %s: it took the connection, but gave no answer in %lld s; is it the gateway's port?",
            peer, upgrade_s);
        break;
    case LINK_CLOSING:
        link_finish(link, (LinkClose){.code = 1006,
                                      .reason = slice_of("the gateway did not answer the close frame"),
                                      .retry_after_ms = -1});
        break;
    default: break;
    }
    link_leave(link);
}

/* --- TCP and the proxy ------------------------------------------------------------------------------------------------------- */

static void on_readable(void *context)
{
    Link *link = context;
    link_enter(link);
    switch (link->state) {
    case LINK_PROXY:
    case LINK_UPGRADING: link_continue_answer(link); break;
    case LINK_TLS: link_continue_tls(link); break;
    case LINK_OPEN:
        /* Nothing more can be said to this peer; what it said last is not worth keeping its end a secret. */
        if (link->paused && loop_hung_up(link->watch))
            link_lost(link, ECONNRESET);
        else
            link_read_frames(link);
        break;
    case LINK_CLOSING: link_read_frames(link); break;
    default: break;
    }
    link_leave(link);
}

static void on_writable(void *context)
{
    Link *link = context;
    link_enter(link);
    link->awaits_writable = false;
    if (link->state == LINK_TLS)
        link_continue_tls(link);
    else if (link_flush(link) && link->tls && link->state >= LINK_OPEN && tls_wants_write(link->tls))
        link_read_frames(link);
    link_leave(link);
}

static void on_connected(void *context, LoopWatch *watch, int fd, int error)
{
    Link *link = context;
    char peer[320];
    peer_name(link, peer, sizeof peer);
    link->connector = NULL;
    link_enter(link);
    if (!watch) {
        link_fail(link, false, "cannot connect to %s: %s", peer,
                  link->has_proxy && error == ECONNREFUSED ? "connection refused; is the proxy running?"
                                                           : connector_explain(error));
        link_leave(link);
        return;
    }
    link->watch = watch;
    link->fd = fd;
    loop_hand_over(watch, on_readable, on_writable, link);
    link_begin_handshake(link);
    link_leave(link);
}

/* --- addresses --------------------------------------------------------------------------------------------------------------- */

static bool is_secret_at_risk(const Link *link)
{
    return !link->config.target.tls && link->config.carries_secret && !link->config.allow_insecure;
}

static void refuse_insecure(Link *link, const char *why)
{
    link_fail(link, true,
              "refusing to send the token in the clear to %s, %s: use wss://, or give --allow-insecure if the way "
              "there is safe",
              link->name, why);
}

/* Of a host that has several addresses, those over which the token may go. False if that ended the dial. */
static bool keep_safe_addresses(Link *link, AddressList *addresses)
{
    AddressList safe = {.count = 0};
    char why[ADDRESS_TEXT_SIZE + 32];
    char text[ADDRESS_TEXT_SIZE];
    if (link->has_proxy || !is_secret_at_risk(link)) return true;
    for (size_t i = 0; i < addresses->count; i++) {
        if (address_is_private(&addresses->at[i])) safe.at[safe.count++] = addresses->at[i];
    }
    if (safe.count == 0) {
        address_format(&addresses->at[0], text);
        snprintf(why, sizeof why, "a public address (%s)", text);
        refuse_insecure(link, why);
        return false;
    }
    *addresses = safe;
    return true;
}

static void begin_connecting(Link *link, const AddressList *found)
{
    AddressList addresses = *found;
    if (!keep_safe_addresses(link, &addresses)) return;
    link->state = LINK_CONNECTING;
    link->connector = connector_start(link->loop, &addresses, link->config.address_ms, on_connected, link);
    if (!link->connector) link_fail(link, false, "cannot connect to %s: out of memory", link->name);
}

static void on_resolved(void *context, const AddressList *addresses, const char *problem)
{
    Link *link = context;
    const char *host = link->has_proxy ? link->proxy.host : link->config.target.host;
    link->resolver = NULL;
    link_enter(link);
    if (addresses->count == 0)
        link_fail(link, false, "cannot find the address of %s%s: %s", link->has_proxy ? "proxy " : "", host, problem);
    else
        begin_connecting(link, addresses);
    link_leave(link);
}

static void begin(Link *link)
{
    const char *host = link->has_proxy ? link->proxy.host : link->config.target.host;
    unsigned port = link->has_proxy ? link->proxy.port : link->config.target.port;
    AddressList literal = {.count = 1};
    Address target;
    if (link->has_proxy && is_secret_at_risk(link)) {
        bool is_literal = address_parse(link->config.target.host, 0, &target);
        if (!is_literal || !address_is_private(&target)) {
            refuse_insecure(link, is_literal ? "a public address, through a proxy" : "a name that the proxy looks up");
            return;
        }
    }
    if (!loop_timer_set(link->loop, &link->deadline, loop_now_ms(link->loop) + link->config.connect_ms)) {
        link_fail(link, false, "cannot connect to %s: out of memory", link->name);
        return;
    }
    if (address_parse(host, port, &literal.at[0])) {
        begin_connecting(link, &literal);
        return;
    }
    link->state = LINK_RESOLVING;
    link->resolver = resolver_start(link->loop, host, port, on_resolved, link);
    if (!link->resolver) link_fail(link, false, "cannot find the address of %s: too many threads or open files", host);
}

/* --- from outside ------------------------------------------------------------------------------------------------------------ */

static void on_soon(void *context)
{
    Link *link = context;
    link_enter(link);
    switch (link->state) {
    case LINK_STARTING: begin(link); break;
    case LINK_ENDING:
        link_finish(link, (LinkClose){.reason = slice_of(link->close_reason), .retry_after_ms = -1});
        break;
    case LINK_PROXY:
    case LINK_UPGRADING: link_continue_answer(link); break;
    case LINK_OPEN:
    case LINK_CLOSING: link_read_frames(link); break;
    default: break;
    }
    link_leave(link);
}

static void on_turn_end(void *context)
{
    Link *link = context;
    link_enter(link);
    loop_off_turn_end(link->loop, &link->flush_turn);
    link->flush_planned = false;
    link_flush(link);
    link_leave(link);
}

static int64_t or_default(int64_t value, int64_t otherwise)
{
    return value > 0 ? value : otherwise;
}

Link *link_new(Loop *loop, const LinkConfig *config, const LinkSink *sink, char *problem, size_t problem_size)
{
    Link *link = calloc(1, sizeof *link);
    if (!link) goto out_of_memory;
    link->loop = loop;
    link->sink = *sink;
    link->fd = -1;
    link->config = *config;
    link->config.ca_file = link->config.tls_fingerprint = link->config.proxy = NULL; /* read below, not kept */
    link->config.max_queue_bytes = config->max_queue_bytes ? config->max_queue_bytes : LINK_MAX_QUEUE;
    link->config.connect_ms = or_default(config->connect_ms, LINK_CONNECT_MS);
    link->config.address_ms = or_default(config->address_ms, LINK_ADDRESS_MS);
    link->config.upgrade_ms = or_default(config->upgrade_ms, LINK_UPGRADE_MS);
    link->config.close_ms = or_default(config->close_ms, LINK_CLOSE_MS);
    link->config.pong_ms = or_default(config->pong_ms, LINK_PONG_MS);
    link->deadline = (LoopTimer){.fire = on_deadline, .context = link};
    link->pong = (LoopTimer){.fire = link_on_pong_due, .context = link};
    link->soon = (LoopSoon){.run = on_soon, .context = link};
    link->flush_turn = (LoopTurn){.end = on_turn_end, .context = link};
    bool v6 = strchr(config->target.host, ':') != NULL;
    snprintf(link->name, sizeof link->name, v6 ? "[%s]:%u" : "%s:%u", config->target.host, config->target.port);

    if (config->proxy) {
        link->has_proxy = true;
        if (!proxy_parse(config->proxy, &link->proxy, problem, problem_size)) goto failed;
    }
    if (config->target.tls) {
        link->trust = tls_trust_new(config->ca_file, config->tls_fingerprint, problem, problem_size);
        if (!link->trust) goto failed;
    }
    link->websocket = websocket_new(config->max_message_bytes);
    if (!link->websocket) goto out_of_memory;
    return link;

out_of_memory:
    snprintf(problem, problem_size, "out of memory");
failed:
    if (link) destroy(link);
    return NULL;
}

void link_free(Link *link)
{
    if (!link) return;
    disconnect(link);
    link->freed = true;
    link_enter(link);
    link_leave(link);
}

void link_dial(Link *link)
{
    if (link->state != LINK_IDLE || link->freed) return;
    link->state = LINK_STARTING;
    loop_soon(link->loop, &link->soon);
}

void link_close(Link *link, unsigned code, const char *reason)
{
    switch (link->state) {
    case LINK_IDLE:
    case LINK_CLOSING:
    case LINK_ENDING: return;
    case LINK_OPEN:
        snprintf(link->close_reason, sizeof link->close_reason, "%s", reason ? reason : "");
        link->state = LINK_CLOSING;
        link_send_close(link, code, link->close_reason);
        link_apply_pause(link);
        link_set_deadline(link, link->config.close_ms);
        return;
    default:
        snprintf(link->close_reason, sizeof link->close_reason, "%s", reason ? reason : "");
        disconnect(link);
        link->state = LINK_ENDING;
        loop_soon(link->loop, &link->soon);
    }
}
