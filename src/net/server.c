/* server.c - a WebSocket server by libwebsockets' own ws role.
 *
 * Listening is ours (a socket that the loop watches, so that it ends when the server does), the rest is libwebsockets': a virtual
 * host of its own that accepted sockets are given to. That host lives as long as the loop, and so does a Server that was freed:
 * libwebsockets may still end connections of it. */
#define _GNU_SOURCE /* accept4 */
#include "net/server.h"

#include "net/address.h"
#include "net/link.h"
#include "net/loop_lws.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#define SERVER_BACKLOG 128
#define SERVER_MAX_QUEUE_BYTES ((size_t)64 << 20) /* per peer */
#define SERVER_MAX_MESSAGE_BYTES ((size_t)64 << 20)
#define SERVER_RECEIVE_BYTES 16384

typedef enum { ITEM_TEXT, ITEM_RAW, ITEM_CLOSE } ItemKind;

typedef struct Item Item;
struct Item {
    Item *next;
    ItemKind kind;
    Buffer bytes; /* of a close: its reason */
    size_t piece;
    unsigned code;
};

typedef struct Peer Peer;
struct Peer {
    Peer *next;
    Server *server;
    struct lws *wsi;
    uint64_t number;
    Buffer incoming; /* fragments of a message */
    Item *first, *last;
    size_t queued_bytes;
    unsigned close_code;
    bool dropped; /* takes and gives nothing any more */
};

struct Server {
    LoopLeftover leftover;
    Loop *loop;
    struct lws_vhost *vhost;
    LoopWatch *listener;
    int listen_fd;
    unsigned port;
    char address[256];
    char vhost_name[32];
    ServerSink sink;
    Peer *peers;
    uint64_t last_number;
    unsigned refusals;
    int refusal_status;
    char refusal_body[512];
    bool gone;
};

/* --- who may come in --------------------------------------------------------------------------------------------------------- */

static bool is_local_address(struct lws *wsi, const char *host)
{
    Address literal;
    struct sockaddr_storage local;
    socklen_t size = sizeof local;
    char ours[ADDRESS_TEXT_SIZE];
    char theirs[ADDRESS_TEXT_SIZE];
    AddressList list = {.count = 0};
    if (!address_parse(host, 0, &literal) || getsockname(lws_get_socket_fd(wsi), (struct sockaddr *)&local, &size) != 0)
        return false;
    address_list_add(&list, (struct sockaddr *)&local, size);
    if (list.count == 0) return false;
    address_format(&literal, theirs);
    address_format(&list.at[0], ours);
    return strcmp(ours, theirs) == 0;
}

/* A web page that somebody looks at may open sockets to this machine, under any name that its owner lets point here; it cannot
 * hide Origin, nor choose Host freely. */
static bool is_welcome(Server *server, struct lws *wsi)
{
    char host[300];
    if (lws_hdr_total_length(wsi, WSI_TOKEN_ORIGIN) > 0 || lws_hdr_copy(wsi, host, sizeof host, WSI_TOKEN_HOST) <= 0)
        return false;
    char *name = host;
    char *end = host + strcspn(host, ":");
    if (*host == '[') {
        name = host + 1;
        end = host + strcspn(host, "]");
    }
    *end = '\0';
    return link_host_is_loopback(name) || strcasecmp(name, server->address) == 0 || is_local_address(wsi, name);
}

/* The whole answer in one piece; the connection ends behind it. */
static int answer_http(struct lws *wsi, int status, const char *body)
{
    char text[LWS_PRE + 1024];
    int size = snprintf(
        text + LWS_PRE, sizeof text - LWS_PRE,
        "HTTP/1.1 %d Refused\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", status,
        strlen(body), body);
    if (size > 0 && (size_t)size < sizeof text - LWS_PRE)
        lws_write(wsi, (unsigned char *)text + LWS_PRE, (size_t)size, LWS_WRITE_HTTP);
    return -1;
}

static int on_upgrade(Server *server, struct lws *wsi)
{
    if (server->gone) return -1;
    if (server->refusals > 0) {
        server->refusals--;
        return answer_http(wsi, server->refusal_status, server->refusal_body);
    }
    if (!is_welcome(server, wsi)) return answer_http(wsi, 403, "browsers and foreign host names are kept out\n");
    return 0;
}

/* --- peers ------------------------------------------------------------------------------------------------------------------- */

static Peer *find_peer(Server *server, uint64_t number)
{
    Peer *peer = server->peers;
    while (peer && peer->number != number)
        peer = peer->next;
    return peer && !peer->dropped ? peer : NULL;
}

static void pop_item(Peer *peer)
{
    Item *item = peer->first;
    peer->first = item->next;
    if (!peer->first) peer->last = NULL;
    peer->queued_bytes -= buffer_size(&item->bytes);
    buffer_free(&item->bytes);
    free(item);
}

static void free_peer(Peer *peer)
{
    while (peer->first)
        pop_item(peer);
    buffer_free(&peer->incoming);
    free(peer);
}

static int on_opened(Server *server, struct lws *wsi, Peer **slot)
{
    Peer *peer = server->gone ? NULL : calloc(1, sizeof *peer);
    int on = 1;
    if (!peer) return -1;
    setsockopt(lws_get_socket_fd(wsi), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    *peer = (Peer){.server = server, .wsi = wsi, .number = ++server->last_number, .close_code = 1006};
    peer->incoming = buffer_with_headroom(0);
    peer->next = server->peers;
    server->peers = peer;
    *slot = peer;
    server->sink.opened(server->sink.context, peer->number);
    return 0;
}

static void on_closed(Peer *peer)
{
    Server *server = peer->server;
    Peer **link = &server->peers;
    while (*link != peer)
        link = &(*link)->next;
    *link = peer->next;
    uint64_t number = peer->number;
    unsigned code = peer->close_code;
    free_peer(peer);
    server->sink.closed(server->sink.context, number, code);
}

static int on_received(Peer *peer, const char *data, size_t size, bool is_last)
{
    if (peer->dropped) return -1;
    if (buffer_size(&peer->incoming) + size > SERVER_MAX_MESSAGE_BYTES) return -1;
    buffer_append(&peer->incoming, data, size);
    if (peer->incoming.failed) return -1;
    if (!is_last) return 0;
    /* The callback may end the server, and so the peer. */
    Buffer message = buffer_take(&peer->incoming);
    peer->server->sink.text(peer->server->sink.context, peer->number, buffer_slice(&message));
    buffer_free(&message);
    return 0;
}

/* --- writing ----------------------------------------------------------------------------------------------------------------- */

/* Bytes past libwebsockets, which has nothing left to write here. False if the connection is gone. */
static bool write_raw(Peer *peer, Item *item)
{
    size_t size = buffer_size(&item->bytes);
    size_t part = item->piece && item->piece < size ? item->piece : size;
    ssize_t put = send(lws_get_socket_fd(peer->wsi), item->bytes.base + item->bytes.start, part, MSG_NOSIGNAL);
    if (put < 0) return errno == EAGAIN || errno == EINTR;
    item->bytes.start += (size_t)put;
    peer->queued_bytes -= (size_t)put;
    return true;
}

static int on_writable(Peer *peer)
{
    while (peer->first && !peer->dropped) {
        Item *item = peer->first;
        size_t size = buffer_size(&item->bytes);
        unsigned char *bytes = (unsigned char *)item->bytes.base + item->bytes.start;
        if (lws_partial_buffered(peer->wsi) || lws_send_pipe_choked(peer->wsi)) {
            lws_callback_on_writable(peer->wsi);
            return 0;
        }
        switch (item->kind) {
        case ITEM_TEXT:
            if (lws_write(peer->wsi, bytes, size, LWS_WRITE_TEXT) < 0) return -1;
            pop_item(peer);
            break;
        case ITEM_RAW:
            if (size > 0) {
                if (!write_raw(peer, item)) return -1;
                lws_callback_on_writable(peer->wsi); /* the next piece goes with the next write */
                return 0;
            }
            pop_item(peer);
            break;
        case ITEM_CLOSE:
            peer->close_code = item->code;
            lws_close_reason(peer->wsi, (enum lws_close_status)item->code, bytes, size);
            return -1;
        }
    }
    return 0;
}

/* Takes the content of `bytes`. */
static bool push_item(Peer *peer, ItemKind kind, Buffer *bytes, size_t piece, unsigned code)
{
    Item *item = bytes->failed ? NULL : calloc(1, sizeof *item);
    if (!item) {
        buffer_free(bytes);
        return false;
    }
    peer->queued_bytes += buffer_size(bytes);
    *item = (Item){.kind = kind, .bytes = buffer_take(bytes), .piece = piece, .code = code};
    if (peer->last)
        peer->last->next = item;
    else
        peer->first = item;
    peer->last = item;
    lws_callback_on_writable(peer->wsi);
    return true;
}

/* --- libwebsockets ----------------------------------------------------------------------------------------------------------- */

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t size)
{
    Peer **slot = user;
    Server *server = lws_get_vhost(wsi) ? lws_vhost_user(lws_get_vhost(wsi)) : NULL;
    if (!server) return 0;
    switch (reason) {
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE: loop_enter(server->loop); return on_upgrade(server, wsi);
    case LWS_CALLBACK_HTTP: return answer_http(wsi, 426, "this port speaks WebSocket only\n");
    case LWS_CALLBACK_ESTABLISHED: loop_enter(server->loop); return on_opened(server, wsi, slot);
    case LWS_CALLBACK_RECEIVE:
        loop_enter(server->loop);
        return *slot
                   ? on_received(*slot, in, size, lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0)
                   : -1;
    case LWS_CALLBACK_SERVER_WRITEABLE: return *slot ? on_writable(*slot) : -1;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        if (*slot && (*slot)->close_code == 1006)
            (*slot)->close_code =
                size >= 2 ? (unsigned)(((unsigned char *)in)[0] << 8 | ((unsigned char *)in)[1]) : 1005;
        return 0;
    case LWS_CALLBACK_CLOSED:
        loop_enter(server->loop);
        if (*slot) on_closed(*slot);
        *slot = NULL;
        return 0;
    default: return 0;
    }
}

static const struct lws_protocols server_protocols[] = {
    {.name = "gateway",
     .callback = on_event,
     .per_session_data_size = sizeof(Peer *),
     .rx_buffer_size = SERVER_RECEIVE_BYTES},
    {.name = NULL},
};

static void on_connection(void *context)
{
    Server *server = context;
    int fd;
    while (server->listener && (fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
        lws_adopt_socket_vhost(server->vhost, fd); /* closes it if it cannot be */
}

/* --- life -------------------------------------------------------------------------------------------------------------------- */

/* A listening socket, and the port it got. */
static int listen_on(const char *address, unsigned port, unsigned *bound_port, char *problem, size_t problem_size)
{
    char service[16];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int fd = -1;
    int on = 1;
    snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(address, service, &hints, &found) != 0) {
        snprintf(problem, problem_size, "cannot listen on %s: it is no address of this machine", address);
        return -1;
    }
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) goto failed;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, SERVER_BACKLOG) != 0) goto failed;
    Address bound;
    bound.size = sizeof bound.at;
    if (getsockname(fd, &bound.at.any, &bound.size) != 0) goto failed;
    *bound_port = ntohs(bound.at.any.sa_family == AF_INET ? bound.at.v4.sin_port : bound.at.v6.sin6_port);
    freeaddrinfo(found);
    return fd;

failed:
    switch (errno) {
    case EADDRINUSE:
        snprintf(problem, problem_size, "cannot listen on %s port %u: the port is taken; choose another one", address,
                 port);
        break;
    case EACCES:
        snprintf(problem, problem_size, "cannot listen on %s port %u: ports below 1024 need root", address, port);
        break;
    case EADDRNOTAVAIL:
        snprintf(problem, problem_size, "cannot listen on %s: it is no address of this machine", address);
        break;
    default: snprintf(problem, problem_size, "cannot listen on %s port %u: %s", address, port, strerror(errno)); break;
    }
    freeaddrinfo(found);
    if (fd >= 0) close(fd);
    return -1;
}

static void release(LoopLeftover *leftover)
{
    free(HEAP_OWNER(leftover, Server, leftover));
}

static struct lws_vhost *make_vhost(Server *server, const char *cert_file, const char *key_file)
{
    struct lws_context_creation_info info = {0};
    info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
    info.protocols = server_protocols;
    info.user = server;
    snprintf(server->vhost_name, sizeof server->vhost_name, "server-%u", server->port);
    info.vhost_name = server->vhost_name;
    if (cert_file && key_file) {
        info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.ssl_cert_filepath = cert_file;
        info.ssl_private_key_filepath = key_file;
        info.alpn = "http/1.1";
    }
    return lws_create_vhost(loop_context(server->loop), &info);
}

Server *server_new(Loop *loop, const char *address, unsigned port, const char *cert_file, const char *key_file,
                   const ServerSink *sink, char *problem, size_t problem_size)
{
    int fd = -1;
    Server *server = calloc(1, sizeof *server);
    if (!server) {
        snprintf(problem, problem_size, "out of memory");
        return NULL;
    }
    server->leftover.release = release;
    loop_release_at_end(loop, &server->leftover);
    server->gone = true; /* until all of it is there */
    server->loop = loop;
    server->sink = *sink;
    snprintf(server->address, sizeof server->address, "%s", address);
    fd = listen_on(address, port, &server->port, problem, problem_size);
    if (fd < 0) return NULL;
    server->vhost = make_vhost(server, cert_file, key_file);
    if (!server->vhost) {
        snprintf(problem, problem_size, "cannot serve with TLS: %s and %s are no certificate and key in PEM form",
                 cert_file ? cert_file : "-", key_file ? key_file : "-");
        close(fd);
        return NULL;
    }
    server->listen_fd = fd;
    server->listener = loop_watch(loop, fd, on_connection, NULL, server);
    if (!server->listener) {
        snprintf(problem, problem_size, "cannot listen on %s port %u: too many open files", address, port);
        close(fd);
        return NULL;
    }
    server->gone = false;
    return server;
}

void server_free(Server *server)
{
    if (!server) return;
    server->gone = true;
    loop_unwatch(server->listener);
    server->listener = NULL;
    while (server->peers) {
        Peer *peer = server->peers;
        server->peers = peer->next;
        *(Peer **)lws_wsi_user(peer->wsi) = NULL;
        shutdown(lws_get_socket_fd(peer->wsi), SHUT_RDWR);
        lws_set_timeout(peer->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
        free_peer(peer);
    }
}

unsigned server_port(const Server *server)
{
    return server->port;
}

bool server_send(Server *server, uint64_t peer, Buffer *text)
{
    Peer *to = find_peer(server, peer);
    if (!to || to->queued_bytes + buffer_size(text) > SERVER_MAX_QUEUE_BYTES) {
        buffer_free(text);
        return false;
    }
    /* libwebsockets writes its header in front of the content, where it is told to have room. */
    static const char room[LWS_PRE];
    buffer_prepend(text, room, sizeof room);
    if (!text->failed) text->start += sizeof room;
    return push_item(to, ITEM_TEXT, text, 0, 0);
}

bool server_send_raw(Server *server, uint64_t peer, Buffer *bytes, size_t piece)
{
    Peer *to = find_peer(server, peer);
    if (!to || to->queued_bytes + buffer_size(bytes) > SERVER_MAX_QUEUE_BYTES) {
        buffer_free(bytes);
        return false;
    }
    return push_item(to, ITEM_RAW, bytes, piece, 0);
}

void server_close(Server *server, uint64_t peer, unsigned code, const char *reason)
{
    Peer *to = find_peer(server, peer);
    Buffer text = buffer_with_headroom(0);
    if (!to) return;
    buffer_append_text(&text, reason ? reason : "");
    push_item(to, ITEM_CLOSE, &text, 0, code);
}

void server_drop(Server *server, uint64_t peer)
{
    Peer *to = find_peer(server, peer);
    if (!to) return;
    to->dropped = true;
    while (to->first)
        pop_item(to);
    shutdown(lws_get_socket_fd(to->wsi), SHUT_RDWR);
    lws_rx_flow_control(to->wsi, 1);
    lws_set_timeout(to->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
}

void server_deafen(Server *server, uint64_t peer, bool deaf)
{
    Peer *to = find_peer(server, peer);
    if (to) lws_rx_flow_control(to->wsi, deaf ? 0 : 1);
}

void server_refuse(Server *server, int status, const char *body, unsigned count)
{
    server->refusal_status = status;
    server->refusals = count;
    snprintf(server->refusal_body, sizeof server->refusal_body, "%s", body);
}
