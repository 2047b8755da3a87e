/* sim.c - between the server (I/O thread) and the app that plays the gateway (its own thread): callbacks become messages in the app's
 * inbox, calls of the app become work posted to the loop.
 *
 * When the app does not keep up, no peer is read any more until its inbox has room: TCP then holds the peers back. */
#include "sim/sim.h"

#include "app/inbox.h"
#include "net/server.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RELIEF_MS 10 /* how often a full inbox is looked at */

typedef struct SimPeer SimPeer;
struct SimPeer {
    SimPeer *next;
    uint64_t number;
    bool deaf; /* the app wants it so */
};

struct Sim {
    Loop *loop;
    SimPort port;
    Server *server;
    App *app;
    atomic_uint listening_port;
    SimPeer *peers;
    bool pressed; /* the inbox is full: no peer is read */
    LoopTimer relief, limit;
    LoopSoon drained;
    void (*done)(void *context); /* of sim_drain */
    void *done_context;
};

/* --- from the server to the app ------------------------------------------------------------------------------------------------- */

static void deafen(Sim *sim, const SimPeer *peer)
{
    server_deafen(sim->server, peer->number, peer->deaf || sim->pressed);
}

static void deafen_all(Sim *sim)
{
    for (const SimPeer *peer = sim->peers; peer; peer = peer->next) {
        deafen(sim, peer);
    }
}

static void look_for_relief(void *context)
{
    Sim *sim = context;

    if (inbox_pressure(app_inbox(sim->app))) {
        (void)loop_timer_set(sim->loop, &sim->relief, loop_now_ms(sim->loop) + RELIEF_MS);
    } else {
        sim->pressed = false;
        deafen_all(sim);
    }
}

/* False if there is no memory: the app will never hear of it. */
static bool push(Sim *sim, const char *name, uint64_t peer, Slice payload)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    Message *message = message_event(&(EventFields){.name = slice_of(name),
                                                    .payload = payload,
                                                    .seq = (int64_t)peer,
                                                    .received_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000});
    bool pushed = message && inbox_push(app_inbox(sim->app), &message, 1);
    if (!pushed) message_unref(message);
    if (!sim->pressed && inbox_pressure(app_inbox(sim->app)) &&
        loop_timer_set(sim->loop, &sim->relief, loop_now_ms(sim->loop) + RELIEF_MS)) {
        sim->pressed = true;
        deafen_all(sim);
    }
    return pushed;
}

static void on_opened(void *context, uint64_t number)
{
    Sim *sim = context;
    SimPeer *peer = calloc(1, sizeof *peer);

    if (!peer || !push(sim, SIM_EVENT_OPENED, number, (Slice){0})) {
        free(peer);
        server_drop(sim->server, number);
        return;
    }
    *peer = (SimPeer){.next = sim->peers, .number = number};
    sim->peers = peer;
    if (sim->pressed) deafen(sim, peer);
}

static void on_text(void *context, uint64_t number, Slice text)
{
    Sim *sim = context;
    Buffer marked = {0};

    buffer_append_text(&marked, SIM_TEXT_MARK);
    buffer_append_slice(&marked, text);
    if (marked.failed || !push(sim, SIM_EVENT_MESSAGE, number, buffer_slice(&marked))) server_drop(sim->server, number);
    buffer_free(&marked);
}

static void tell_drained(Sim *sim)
{
    if (sim->done && !sim->peers) loop_soon(sim->loop, &sim->drained);
}

static void on_closed(void *context, uint64_t number, unsigned code)
{
    Sim *sim = context;
    char text[16];

    for (SimPeer **link = &sim->peers; *link; link = &(*link)->next) {
        SimPeer *peer = *link;
        if (peer->number != number) continue;
        *link = peer->next;
        free(peer);
        (void)snprintf(text, sizeof text, "%u", code);
        (void)push(sim, SIM_EVENT_CLOSED, number,
                   slice_of(text)); /* without memory the app keeps a peer that takes nothing */
        break;
    }
    tell_drained(sim);
}

/* --- from the app to the server ------------------------------------------------------------------------------------------------- */

typedef enum { ORDER_SEND, ORDER_SEND_BYTES, ORDER_CLOSE, ORDER_DROP, ORDER_DEAFEN, ORDER_REFUSE } OrderKind;

/* One call of the app. */
typedef struct {
    LoopWork work;
    Sim *sim;
    OrderKind kind;
    uint64_t peer;
    unsigned number; /* piece, close code, 1 for deaf, HTTP status */
    unsigned count;  /* REFUSE */
    Buffer text;     /* what is sent; a reason or a body ends in a zero byte */
} Order;

static void set_deaf(Sim *sim, uint64_t number, bool deaf)
{
    for (SimPeer *peer = sim->peers; peer; peer = peer->next) {
        if (peer->number != number) continue;
        peer->deaf = deaf;
        deafen(sim, peer);
    }
}

static void carry_out(Sim *sim, Order *order)
{
    bool fits = true;

    switch (order->kind) {
    case ORDER_SEND: fits = server_send(sim->server, order->peer, &order->text); break;
    case ORDER_SEND_BYTES: fits = server_send_raw(sim->server, order->peer, &order->text, order->number); break;
    case ORDER_CLOSE: server_close(sim->server, order->peer, order->number, buffer_slice(&order->text).data); break;
    case ORDER_DROP: server_drop(sim->server, order->peer); break;
    case ORDER_DEAFEN: set_deaf(sim, order->peer, order->number != 0); break;
    case ORDER_REFUSE:
        server_refuse(sim->server, (int)order->number, buffer_slice(&order->text).data, order->count);
        break;
    }
    /* A client that lets 64 MiB pile up takes no close frame any more. One that is gone is not missed. */
    if (!fits) server_drop(sim->server, order->peer);
}

static void run_order(LoopWork *work)
{
    Order *order = HEAP_OWNER(work, Order, work);

    if (order->sim->server) carry_out(order->sim, order);
    buffer_free(&order->text);
    free(order);
}

static bool post(Sim *sim, const Order *wanted, Slice text)
{
    Order *order = malloc(sizeof *order);

    if (!order) return false;
    *order = *wanted;
    order->work.run = run_order;
    order->sim = sim;
    order->text = buffer_with_headroom(BUFFER_FRAME_HEADROOM);
    buffer_append_slice(&order->text, text);
    if (order->text.failed) {
        buffer_free(&order->text);
        free(order);
        return false;
    }
    loop_post(sim->loop, &order->work);
    return true;
}

static bool port_send(void *context, uint64_t peer, Slice text)
{
    return post(context, &(Order){.kind = ORDER_SEND, .peer = peer}, text);
}

static bool port_send_bytes(void *context, uint64_t peer, Slice bytes, size_t piece)
{
    return post(context, &(Order){.kind = ORDER_SEND_BYTES, .peer = peer, .number = (unsigned)piece}, bytes);
}

/* With the zero byte that stands behind every Lua string. */
static Slice with_end(Slice text)
{
    return slice_make(text.data, text.size + 1);
}

static bool port_close(void *context, uint64_t peer, unsigned code, Slice reason)
{
    return post(context, &(Order){.kind = ORDER_CLOSE, .peer = peer, .number = code}, with_end(reason));
}

static bool port_drop(void *context, uint64_t peer)
{
    return post(context, &(Order){.kind = ORDER_DROP, .peer = peer}, (Slice){0});
}

static bool port_deafen(void *context, uint64_t peer, bool deaf)
{
    return post(context, &(Order){.kind = ORDER_DEAFEN, .peer = peer, .number = deaf}, (Slice){0});
}

static bool port_refuse(void *context, int status, Slice body, unsigned count)
{
    return post(context, &(Order){.kind = ORDER_REFUSE, .number = (unsigned)status, .count = count}, with_end(body));
}

static unsigned port_number(void *context)
{
    return sim_listening_port(context);
}

/* --- life ----------------------------------------------------------------------------------------------------------------------- */

static void finish_drain(void *context)
{
    Sim *sim = context;
    void (*done)(void *) = sim->done;

    (void)loop_timer_set(sim->loop, &sim->limit, HEAP_NEVER);
    loop_not_soon(sim->loop, &sim->drained);
    sim->done = NULL;
    if (done) done(sim->done_context);
}

Sim *sim_new(Loop *loop)
{
    Sim *sim = calloc(1, sizeof *sim);

    if (!sim) return NULL;
    sim->loop = loop;
    sim->relief = (LoopTimer){.fire = look_for_relief, .context = sim};
    sim->limit = (LoopTimer){.fire = finish_drain, .context = sim};
    sim->drained = (LoopSoon){.run = finish_drain, .context = sim};
    sim->port = (SimPort){.context = sim,
                          .send = port_send,
                          .send_bytes = port_send_bytes,
                          .close = port_close,
                          .drop = port_drop,
                          .deafen = port_deafen,
                          .refuse = port_refuse,
                          .port = port_number};
    return sim;
}

void sim_free(Sim *sim)
{
    if (!sim) return;
    (void)loop_timer_set(sim->loop, &sim->relief, HEAP_NEVER);
    (void)loop_timer_set(sim->loop, &sim->limit, HEAP_NEVER);
    loop_not_soon(sim->loop, &sim->drained);
    server_free(sim->server);
    while (sim->peers) {
        SimPeer *peer = sim->peers;
        sim->peers = peer->next;
        free(peer);
    }
    free(sim);
}

SimPort *sim_port(Sim *sim)
{
    return &sim->port;
}

bool sim_listen(Sim *sim, App *app, const char *address, unsigned port, char *problem, size_t problem_size)
{
    const ServerSink sink = {.context = sim, .opened = on_opened, .text = on_text, .closed = on_closed};

    sim->app = app;
    sim->server = server_new(sim->loop, address, port, NULL, NULL, &sink, problem, problem_size);
    if (!sim->server) return false;
    atomic_store(&sim->listening_port, server_port(sim->server));
    return true;
}

unsigned sim_listening_port(const Sim *sim)
{
    return atomic_load(&sim->listening_port);
}

void sim_drain(Sim *sim, void (*done)(void *context), void *context)
{
    sim->done = done;
    sim->done_context = context;
    if (!loop_timer_set(sim->loop, &sim->limit, loop_now_ms(sim->loop) + SIM_DRAIN_MS))
        loop_soon(sim->loop, &sim->drained);
    tell_drained(sim);
}
