/* link_frames.c - a link while it is open: frames in, frames out, and reading that pauses.
 *
 * Read straight into the codec's buffer until the socket is empty, at most a budget per turn so that other descriptors get theirs.
 * What is sent in a turn is written at its end, many frames with one call. */
#include "net/link_private.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <unistd.h>

#define READ_BUDGET_BYTES (1u << 20)  /* in one turn */
#define TLS_RECORD_BYTES (16u * 1024) /* the most that fits into one */
#define WRITE_PIECES 64               /* buffers in one writev */

/* --- out --------------------------------------------------------------------------------------------------------------------- */

static void plan_flush(Link *link)
{
    if (link->flush_planned || link->awaits_writable) return;
    link->flush_planned = true;
    loop_on_turn_end(link->loop, &link->flush_turn);
}

bool link_push(Link *link, Buffer *bytes)
{
    if (bytes->failed) {
        buffer_free(bytes);
        return false;
    }
    return send_queue_push(&link->queue, bytes);
}

static bool next_mask(Link *link, uint8_t mask[4])
{
    if (link->masks_left < 4) {
        if (getrandom(link->masks, sizeof link->masks, 0) != (ssize_t)sizeof link->masks) return false;
        link->masks_left = sizeof link->masks;
    }
    link->masks_left -= 4;
    memcpy(mask, link->masks + link->masks_left, 4);
    return true;
}

static bool send_frame(Link *link, Buffer *payload, WebsocketOpcode opcode)
{
    uint8_t mask[4];
    if (!next_mask(link, mask)) {
        buffer_free(payload);
        return false;
    }
    websocket_seal(payload, opcode, mask);
    if (!link_push(link, payload)) return false;
    plan_flush(link);
    return true;
}

static bool send_message(Link *link, Buffer *payload, WebsocketOpcode opcode)
{
    size_t size = buffer_size(payload);
    if (link->state != LINK_OPEN || link->queue.bytes + size > link->config.max_queue_bytes) {
        buffer_free(payload);
        return false;
    }
    if (!send_frame(link, payload, opcode)) return false;
    link->stats.messages_out++;
    return true;
}

bool link_send(Link *link, Buffer *payload)
{
    return send_message(link, payload, WEBSOCKET_TEXT);
}

bool link_send_binary(Link *link, Buffer *payload)
{
    return send_message(link, payload, WEBSOCKET_BINARY);
}

size_t link_queued_bytes(const Link *link)
{
    return link->queue.bytes;
}

/* Not while as much waits as may: who sends pings without reading the pongs gets no more of them. */
static void send_pong(Link *link, Slice payload)
{
    Buffer pong = buffer_with_headroom(BUFFER_FRAME_HEADROOM);
    if (link->queue.bytes > link->config.max_queue_bytes) return;
    buffer_append_slice(&pong, payload);
    send_frame(link, &pong, WEBSOCKET_PONG);
}

void link_send_close(Link *link, unsigned code, const char *reason)
{
    Buffer close = buffer_with_headroom(BUFFER_FRAME_HEADROOM);
    websocket_write_close(&close, code, slice_of(reason));
    send_frame(link, &close, WEBSOCKET_CLOSE);
}

/* One write. Small frames are put together into one TLS record; what was not taken is offered again, at least as much of it, which
 * is what OpenSSL asks for. */
static ssize_t transmit(Link *link)
{
    struct iovec pieces[WRITE_PIECES];
    size_t count = send_queue_pieces(&link->queue, pieces, WRITE_PIECES);
    link->stats.writes++;
    if (!link->tls) return writev(link->fd, pieces, (int)count);
    if (count == 1 || pieces[0].iov_len >= TLS_RECORD_BYTES)
        return tls_write(link->tls, pieces[0].iov_base, pieces[0].iov_len);
    char record[TLS_RECORD_BYTES];
    size_t size = 0;
    for (size_t i = 0; i < count && size < sizeof record; i++) {
        size_t part = pieces[i].iov_len < sizeof record - size ? pieces[i].iov_len : sizeof record - size;
        memcpy(record + size, pieces[i].iov_base, part);
        size += part;
    }
    return tls_write(link->tls, record, size);
}

/* A peer that does not read any more may have said why: a close frame, an HTTP answer. */
static bool write_failed(Link *link, int error)
{
    send_queue_free(&link->queue);
    if (link->state == LINK_OPEN && link->paused) {
        link_lost(link, error);
    } else {
        /* Reading ends the connection, by what was said or by the same error. */
        loop_soon(link->loop, &link->soon);
    }
    return false;
}

bool link_flush(Link *link)
{
    bool had_some = link->queue.bytes > 0;
    while (link->queue.bytes > 0) {
        ssize_t put = transmit(link);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0 && errno == EAGAIN) {
            link->awaits_writable = true;
            loop_want_write(link->watch);
            return true;
        }
        if (put <= 0) return write_failed(link, put < 0 ? errno : EPIPE);
        link->stats.bytes_out += (uint64_t)put;
        send_queue_written(&link->queue, (size_t)put);
    }
    if (had_some && link->state == LINK_OPEN && link->sink.drained) {
        link->sink.drained(link->sink.context);
        return link->state != LINK_IDLE;
    }
    return true;
}

/* --- in ---------------------------------------------------------------------------------------------------------------------- */

ssize_t link_receive(Link *link, char *room, size_t size)
{
    ssize_t got;
    do {
        got = link->tls ? tls_read(link->tls, room, size) : read(link->fd, room, size);
    } while (got < 0 && errno == EINTR);
    link->stats.reads++;
    if (got > 0)
        link->stats.bytes_in += (uint64_t)got;
    else if (got < 0 && errno == EAGAIN && link->tls && tls_wants_write(link->tls))
        loop_want_write(link->watch);
    return got;
}

void link_lost(Link *link, int error)
{
    char text[LINK_REASON_SIZE];
    const char *what = error ? connector_explain(error) : "the gateway ended it without a close frame";
    if (link->state == LINK_CLOSING && link->close_reason[0])
        snprintf(text, sizeof text, "%s", link->close_reason);
    else
        snprintf(text, sizeof text, "connection to %s lost: %s", link->name, what);
    link_finish(link, (LinkClose){.code = 1006, .reason = slice_of(text), .retry_after_ms = -1});
}

/* Bytes that are unread when a socket is closed turn the end into a reset, which overtakes our close frame. */
static void discard_input(Link *link)
{
    char bytes[TLS_RECORD_BYTES];
    size_t left = READ_BUDGET_BYTES;
    ssize_t got;
    while (left > 0 && (got = link_receive(link, bytes, sizeof bytes)) > 0)
        left -= (size_t)got < left ? (size_t)got : left;
}

/* The peer broke the rules: told so, as far as that does not block, and left. */
static void break_off(Link *link, unsigned code, const char *what)
{
    char text[LINK_REASON_SIZE];
    snprintf(text, sizeof text, "connection to %s given up: %s", link->name, what);
    if (link->state == LINK_OPEN) link_send_close(link, code, what);
    link->state = LINK_CLOSING; /* nothing of what is still written or read makes a callback */
    link_flush(link);
    discard_input(link);
    link_finish(link, (LinkClose){.code = 1006, .reason = slice_of(text), .retry_after_ms = -1});
}

static void closed_by_peer(Link *link, const WebsocketMessage *message)
{
    char reason[sizeof link->close_reason];
    snprintf(reason, sizeof reason, "%.*s", SLICE_ARGS(message->data));
    if (link->state == LINK_OPEN) {
        link_send_close(link, message->close_code, "");
        link->state = LINK_CLOSING;
        link_flush(link);
    } else if (reason[0] == '\0') {
        snprintf(reason, sizeof reason, "%s", link->close_reason);
    }
    link_finish(link, (LinkClose){.code = message->close_code, .reason = slice_of(reason), .retry_after_ms = -1});
}

static void handle(Link *link, const WebsocketMessage *message)
{
    bool is_open = link->state == LINK_OPEN;
    switch (message->opcode) {
    case WEBSOCKET_TEXT:
        link->stats.messages_in++;
        if (is_open) link->sink.text(link->sink.context, message->data);
        break;
    case WEBSOCKET_BINARY:
        link->stats.messages_in++;
        if (is_open && link->sink.binary)
            link->sink.binary(link->sink.context, message->data);
        else if (is_open)
            break_off(link, 1003, "the gateway sent a binary message");
        break;
    case WEBSOCKET_CLOSE: closed_by_peer(link, message); break;
    case WEBSOCKET_PING:
        if (is_open) send_pong(link, message->data);
        __attribute__((fallthrough));
    case WEBSOCKET_PONG:
        if (is_open) link->sink.alive(link->sink.context);
        break;
    }
}

static bool wants_messages(const Link *link)
{
    return link->state == LINK_CLOSING || (link->state == LINK_OPEN && !link->paused);
}

/* What the codec has. Returns how many messages; the connection may be gone or paused after it. */
static size_t hand_out(Link *link)
{
    size_t count = 0;
    while (wants_messages(link)) {
        WebsocketMessage message;
        switch (websocket_next(link->websocket, &message)) {
        case WEBSOCKET_MORE: return count;
        case WEBSOCKET_MESSAGE:
            count++;
            handle(link, &message);
            break;
        case WEBSOCKET_ERROR: {
            WebsocketError error = websocket_error(link->websocket);
            break_off(link, error.close_code, error.text);
        }
        }
    }
    return count;
}

void link_read_frames(Link *link)
{
    size_t budget = READ_BUDGET_BYTES;
    hand_out(link);
    while (wants_messages(link)) {
        size_t size = 0;
        char *room = websocket_room(link->websocket, &size);
        if (!room || size == 0) {
            link_lost(link, ENOMEM);
            return;
        }
        ssize_t got = link_receive(link, room, size);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) {
            link_lost(link, got < 0 ? errno : 0);
            return;
        }
        websocket_received(link->websocket, (size_t)got);
        if (hand_out(link) == 0 && link->state == LINK_OPEN) link->sink.alive(link->sink.context);
        /* Less than there was room for: the socket is empty, which need not be asked. */
        if (!link->tls && (size_t)got < size && wants_messages(link) && !loop_hung_up(link->watch)) return;
        if ((size_t)got >= budget) break;
        budget -= (size_t)got;
    }
    /* poll tells again about what is in the socket, but not about what is in OpenSSL. */
    if (wants_messages(link) && ((link->tls && tls_has_buffered(link->tls)) || loop_hung_up(link->watch)))
        loop_soon(link->loop, &link->soon);
}

void link_on_open(Link *link)
{
    link->state = LINK_OPEN;
    link->sink.opened(link->sink.context);
    if (link->state == LINK_OPEN) link_apply_pause(link);
    if (wants_messages(link)) link_read_frames(link);
}

/* --- pause ------------------------------------------------------------------------------------------------------------------- */

void link_on_pong_due(void *context)
{
    Link *link = context;
    link_enter(link);
    send_pong(link, slice_of(""));
    loop_timer_set(link->loop, &link->pong, loop_now_ms(link->loop) + link->config.pong_ms);
    link_leave(link);
}

/* Reading, and pongs in its place, follow state and pause. */
void link_apply_pause(Link *link)
{
    bool reads = wants_messages(link);
    loop_want_read(link->watch, reads);
    loop_timer_set(link->loop, &link->pong, reads ? HEAP_NEVER : loop_now_ms(link->loop) + link->config.pong_ms);
    if (reads) loop_soon(link->loop, &link->soon);
}

void link_pause(Link *link, bool paused)
{
    if (link->paused == paused) return;
    link->paused = paused;
    if (link->state == LINK_OPEN) link_apply_pause(link);
}

void link_stats(const Link *link, LinkStats *out)
{
    *out = link->stats;
}
