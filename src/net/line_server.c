/* line_server.c - see line_server.h.
 *
 *     SERVING ─too long, too many─► CLOSING ─all written─► gone       from everywhere: hung up, or the queue is over its bound ─► gone
 *        └─end of input, nothing in work─► CLOSING
 *
 * A peer is freed in `reap` only, which runs by itself: whoever walks over peers or is called by one finds it still there. */
#define _GNU_SOURCE /* accept4 */
#include "net/line_server.h"

#include "net/unix_socket.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES (64u << 10)
#define KEEP_BYTES (64u << 10) /* what an idle buffer may hold on to */
#define AGAIN_MS 1000          /* until the next try when there are no descriptors left */

typedef struct Peer Peer;
struct Peer {
    Peer *next;
    LineServer *server;
    uint64_t number;
    LoopWatch *watch; /* NULL: gone, to be freed */
    int fd;           /* the watch's */
    Buffer incoming;
    size_t searched; /* of it: no newline is in these bytes */
    Buffer filling, writing;
    size_t written; /* of `writing` */
    LoopSoon more;
    bool in_work;    /* a line was handed on */
    bool handing_on; /* the sink is being called with it */
    bool ended;      /* nothing more comes from it */
    bool closing;    /* once all is written */
};

struct LineServer {
    Loop *loop;
    LineServerSink sink;
    LoopWatch *listener;
    int fd; /* the listener's */
    LoopTimer again;
    LoopSoon reap;
    Peer *peers;
    size_t count; /* of those that are not gone */
    uint64_t last_number;
    char path[PATH_MAX];
};

/* --- the end of a peer -------------------------------------------------------------------------------------------------------- */

static void free_peer(Peer *peer)
{
    buffer_free(&peer->incoming);
    buffer_free(&peer->filling);
    buffer_free(&peer->writing);
    free(peer);
}

static void reap(void *context)
{
    LineServer *server = context;

    for (Peer **link = &server->peers; *link;) {
        Peer *peer = *link;
        if (peer->watch) {
            link = &peer->next;
            continue;
        }
        *link = peer->next;
        free_peer(peer);
    }
}

static void drop(Peer *peer)
{
    LineServer *server = peer->server;

    if (!peer->watch) return;
    loop_unwatch(peer->watch);
    loop_not_soon(server->loop, &peer->more);
    peer->watch = NULL;
    server->count--;
    loop_soon(server->loop, &server->reap);
    server->sink.closed(server->sink.context, peer->number);
}

static size_t waiting_bytes(const Peer *peer)
{
    return buffer_size(&peer->filling) + buffer_size(&peer->writing) - peer->written;
}

static void close_when_written(Peer *peer)
{
    if (!peer->watch) return;
    peer->closing = true;
    loop_want_read(peer->watch, false);
    if (waiting_bytes(peer) == 0) drop(peer);
}

/* --- to a peer ---------------------------------------------------------------------------------------------------------------- */

static void recycle(Buffer *buffer)
{
    if (buffer->capacity > KEEP_BYTES) {
        buffer_free(buffer);
    } else {
        buffer_clear(buffer);
    }
}

/* Writes until the peer takes no more. False if it is gone. */
static bool write_waiting(Peer *peer)
{
    while (waiting_bytes(peer) > 0) {
        if (peer->written == buffer_size(&peer->writing)) {
            Buffer empty = peer->writing;
            recycle(&empty);
            peer->writing = peer->filling;
            peer->filling = empty;
            peer->written = 0;
        }
        Slice rest = buffer_slice(&peer->writing);
        ssize_t put = send(peer->fd, rest.data + peer->written, rest.size - peer->written, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return errno == EAGAIN;
        peer->written += (size_t)put;
    }
    recycle(&peer->writing);
    peer->written = 0;
    return true;
}

static void writable(void *context)
{
    Peer *peer = context;

    bool taken = write_waiting(peer);
    if (taken && waiting_bytes(peer) > 0) {
        loop_want_write(peer->watch);
    } else if (!taken || peer->closing) {
        drop(peer);
    }
}

static bool put(Peer *peer, Slice text, bool optional)
{
    size_t waiting = waiting_bytes(peer);
    bool fits = waiting <= LINE_SERVER_QUEUE_BYTES && text.size <= LINE_SERVER_QUEUE_BYTES - waiting;

    if (fits) buffer_append_slice(&peer->filling, text);
    if (peer->filling.failed) {
        peer->filling.failed = false; /* what waits is intact */
        fits = false;
    }
    if (fits) {
        loop_want_write(peer->watch);
    } else if (!optional) {
        drop(peer);
    }
    return fits;
}

/* --- from a peer -------------------------------------------------------------------------------------------------------------- */

static void refuse(Peer *peer, Slice text)
{
    peer->ended = true;
    if (text.size > 0) (void)put(peer, text, false);
    close_when_written(peer);
}

/* The next whole line, without its end. False if there is none yet. */
static bool next_line(Peer *peer, Slice *line)
{
    Slice all = buffer_slice(&peer->incoming);
    const char *newline = memchr(all.data + peer->searched, '\n', all.size - peer->searched);

    peer->searched = newline ? 0 : all.size;
    if (newline) *line = slice_make(all.data, (size_t)(newline - all.data));
    return newline != NULL;
}

/* Hands one line on; the next one has to wait for the next turn, so that a peer with thousands of them does not keep the loop. */
static void hand_on(void *context)
{
    Peer *peer = context;
    LineServer *server = peer->server;
    Slice line = {0};

    if (!peer->watch || peer->in_work || peer->closing) return;
    bool whole = next_line(peer, &line);
    if ((whole ? line.size : buffer_size(&peer->incoming)) > LINE_SERVER_LINE_BYTES) {
        refuse(peer, server->sink.too_long); /* its end may not even be in sight */
    } else if (whole) {
        loop_want_read(peer->watch, false);
        peer->in_work = peer->handing_on = true;
        server->sink.line(server->sink.context, peer->number, line);
        peer->handing_on = false;
        peer->incoming.start += line.size + 1;
        if (peer->watch && !peer->in_work) loop_soon(server->loop, &peer->more);
    } else if (peer->ended) {
        close_when_written(peer);
    } else {
        if (buffer_size(&peer->incoming) == 0) recycle(&peer->incoming);
        loop_want_read(peer->watch, true);
    }
}

/* What was handed on stays in front of the rest until it is worth a move. */
static void compact(Buffer *buffer)
{
    size_t size = buffer_size(buffer);

    if (buffer->start < READ_BYTES) return;
    memmove(buffer->base, buffer->base + buffer->start, size);
    buffer->start = 0;
    buffer->end = size;
}

static void readable(void *context)
{
    Peer *peer = context;

    if (loop_hung_up(peer->watch)) { /* both ways: nobody waits for an answer */
        drop(peer);
        return;
    }
    if (peer->in_work || peer->more.waits || peer->ended) return; /* the end of this turn stops the reading */
    compact(&peer->incoming);
    char *room = buffer_reserve(&peer->incoming, READ_BYTES);
    ssize_t got = room ? recv(peer->fd, room, READ_BYTES, MSG_DONTWAIT) : -1;
    if (got < 0) {
        if (!room || (errno != EAGAIN && errno != EINTR)) drop(peer);
        return;
    }
    if (got == 0) peer->ended = true;
    buffer_commit(&peer->incoming, (size_t)got);
    hand_on(peer);
}

/* --- who comes ---------------------------------------------------------------------------------------------------------------- */

static void welcome(LineServer *server, int fd)
{
    Peer *peer = unix_socket_is_ours(fd, NULL) ? calloc(1, sizeof *peer) : NULL;

    if (!peer) goto refused;
    *peer = (Peer){.server = server, .fd = fd, .number = ++server->last_number};
    peer->more = (LoopSoon){.run = hand_on, .context = peer};
    peer->watch = loop_watch(server->loop, fd, readable, writable, peer);
    if (!peer->watch) goto refused;
    peer->next = server->peers;
    server->peers = peer;
    server->count++;
    return;

refused:
    free(peer);
    close(fd);
}

/* It may not even be read: the answer goes into the empty queue of its socket, or not at all. */
static void turn_away(const LineServer *server, int fd)
{
    Slice text = server->sink.too_many;

    if (text.size > 0) (void)send(fd, text.data, text.size, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}

static void listen_again(void *context)
{
    LineServer *server = context;
    loop_want_read(server->listener, true);
}

static void on_connection(void *context)
{
    LineServer *server = context;
    int fd;

    while ((fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        if (server->count < LINE_SERVER_PEERS) {
            welcome(server, fd);
        } else {
            turn_away(server, fd);
        }
    }
    if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return;
    /* Whoever waits stays in line, and would wake the loop all the time. */
    if (!loop_timer_set(server->loop, &server->again, loop_now_ms(server->loop) + AGAIN_MS)) return;
    loop_want_read(server->listener, false);
}

/* --- life --------------------------------------------------------------------------------------------------------------------- */

LineServer *line_server_new(Loop *loop, const char *folder, const char *name, const LineServerSink *sink, char *problem,
                            size_t problem_size)
{
    LineServer *server = calloc(1, sizeof *server);

    if (!server) {
        (void)snprintf(problem, problem_size, "there is not enough memory");
        return NULL;
    }
    server->loop = loop;
    server->sink = *sink;
    server->again = (LoopTimer){.fire = listen_again, .context = server};
    server->reap = (LoopSoon){.run = reap, .context = server};
    (void)snprintf(server->path, sizeof server->path, "%s/%s", folder, name);
    server->fd = unix_socket_listen(folder, name, problem, problem_size);
    if (server->fd < 0) goto failed;
    server->listener = loop_watch(loop, server->fd, on_connection, NULL, server);
    if (server->listener) return server;
    (void)snprintf(problem, problem_size, "%s cannot be listened to: too many open files", server->path);
    close(server->fd);
    (void)unlink(server->path);

failed:
    free(server);
    return NULL;
}

void line_server_free(LineServer *server)
{
    if (!server) return;
    (void)loop_timer_set(server->loop, &server->again, HEAP_NEVER);
    loop_not_soon(server->loop, &server->reap);
    loop_unwatch(server->listener);
    (void)unlink(server->path);
    while (server->peers) {
        Peer *peer = server->peers;
        server->peers = peer->next;
        if (peer->watch) {
            (void)write_waiting(peer);
            loop_not_soon(server->loop, &peer->more);
            loop_unwatch(peer->watch);
        }
        free_peer(peer);
    }
    free(server);
}

static Peer *find(LineServer *server, uint64_t number)
{
    Peer *peer = server->peers;

    while (peer && peer->number != number) {
        peer = peer->next;
    }
    return peer && peer->watch ? peer : NULL;
}

bool line_server_send(LineServer *server, uint64_t peer, Slice line, bool optional)
{
    Peer *to = find(server, peer);
    return to && put(to, line, optional);
}

void line_server_next(LineServer *server, uint64_t peer)
{
    Peer *from = find(server, peer);

    if (!from) return;
    from->in_work = false;
    if (!from->handing_on) loop_soon(server->loop, &from->more);
}
