/* connector.c - the race of RFC 8305 ("happy eyeballs"): several addresses of one host, the first that connects wins. */
#include "net/connector.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    Connector *connector;
    LoopWatch *watch; /* NULL: not begun, or failed */
    int fd;
} Attempt;

struct Connector {
    Loop *loop;
    AddressList addresses;
    Attempt attempts[ADDRESS_LIST_MAX];
    size_t begun;
    size_t running;
    int64_t stagger_ms;
    LoopTimer next_attempt;
    int error;
    ConnectorDone *done;
    void *context;
};

const char *connector_explain(int error)
{
    switch (error) {
    case ECONNREFUSED: return "connection refused; is the gateway running?";
    case ETIMEDOUT: return "no answer; is the address right, and does a firewall let it through?";
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EADDRNOTAVAIL: return "there is no route to it; is the network up?";
    case EACCES:
    case EPERM: return "this machine does not allow it; is there a firewall rule?";
    case EMFILE:
    case ENFILE: return "too many open files; raise the limit (ulimit -n)";
    case ECONNRESET:
    case EPIPE: return "the connection was reset";
    case EPROTO: return "the peer broke off TLS";
    case ENOMEM:
    case ENOBUFS: return "out of memory";
    default: return "the connection failed";
    }
}

/* Of several failures the one from furthest away says most: a refusal more than a missing route. */
static void remember_error(Connector *connector, int error)
{
    bool is_local = connector->error == ENETUNREACH || connector->error == EHOSTUNREACH ||
                    connector->error == EADDRNOTAVAIL || connector->error == EAFNOSUPPORT;
    if (connector->error == 0 || is_local) connector->error = error;
}

/* The winner's watch stays; all else of the connector goes. */
static void finish(Connector *connector, LoopWatch *winner, int fd)
{
    ConnectorDone *done = connector->done;
    void *context = connector->context;
    int error = connector->error;
    for (size_t i = 0; i < connector->begun; i++) {
        if (connector->attempts[i].watch == winner) connector->attempts[i].watch = NULL;
    }
    connector_cancel(connector);
    done(context, winner, fd, error);
}

static void on_ready(void *context)
{
    Attempt *attempt = context;
    Connector *connector = attempt->connector;
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    struct sockaddr_storage peer;
    socklen_t peer_size = sizeof peer;
    if (error == 0 && getpeername(attempt->fd, (struct sockaddr *)&peer, &peer_size) != 0)
        return; /* still on its way */
    if (error == 0) {
        finish(connector, attempt->watch, attempt->fd);
        return;
    }
    remember_error(connector, error);
    loop_unwatch(attempt->watch);
    attempt->watch = NULL;
    connector->running--;
    loop_timer_set(connector->loop, &connector->next_attempt, loop_now_ms(connector->loop));
}

/* False if it failed at once. */
static bool begin(Connector *connector, size_t index)
{
    const Address *address = &connector->addresses.at[index];
    Attempt *attempt = &connector->attempts[index];
    int fd = socket(address->at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        remember_error(connector, errno);
        return false;
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, &address->at.any, address->size) != 0 && errno != EINPROGRESS) {
        remember_error(connector, errno);
        close(fd);
        return false;
    }
    attempt->connector = connector;
    attempt->fd = fd;
    attempt->watch = loop_watch(connector->loop, fd, on_ready, on_ready, attempt);
    if (!attempt->watch) {
        remember_error(connector, EMFILE);
        close(fd);
        return false;
    }
    loop_want_write(attempt->watch);
    connector->running++;
    return true;
}

static void on_next_attempt(void *context)
{
    Connector *connector = context;
    while (connector->begun < connector->addresses.count) {
        if (!begin(connector, connector->begun++)) continue;
        int64_t due_ms = connector->begun < connector->addresses.count
                             ? loop_now_ms(connector->loop) + connector->stagger_ms
                             : HEAP_NEVER;
        loop_timer_set(connector->loop, &connector->next_attempt, due_ms);
        return;
    }
    if (connector->running == 0) finish(connector, NULL, -1);
}

Connector *connector_start(Loop *loop, const AddressList *addresses, int64_t stagger_ms, ConnectorDone *done,
                           void *context)
{
    Connector *connector = calloc(1, sizeof *connector);
    if (!connector) return NULL;
    connector->loop = loop;
    connector->addresses = *addresses;
    connector->stagger_ms = stagger_ms;
    connector->done = done;
    connector->context = context;
    connector->next_attempt = (LoopTimer){.fire = on_next_attempt, .context = connector};
    address_list_interleave(&connector->addresses);
    if (!loop_timer_set(loop, &connector->next_attempt, loop_now_ms(loop))) {
        free(connector);
        return NULL;
    }
    return connector;
}

void connector_cancel(Connector *connector)
{
    if (!connector) return;
    for (size_t i = 0; i < connector->begun; i++)
        loop_unwatch(connector->attempts[i].watch);
    loop_timer_set(connector->loop, &connector->next_attempt, HEAP_NEVER);
    free(connector);
}
