/* link_fixture.h - what the tests of the link share: a loop with a link whose callbacks are written down, and peers that follow a
 * script on a thread of their own. */
#ifndef TESTS_NET_LINK_FIXTURE_H
#define TESTS_NET_LINK_FIXTURE_H

#include "net/link.h"
#include "net/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define GIVE_UP_MS 20000 /* what a test waits for comes long before, or never */
#define MESSAGE_LIMIT ((size_t)32 << 20)
#define MAYBE_UNUSED __attribute__((unused))

/* --- the link under test ----------------------------------------------------------------------------------------------------- */

typedef struct Fixture Fixture;
struct Fixture {
    Loop *loop;
    Link *link;
    Server *server;
    LinkConfig config;
    char server_log[512]; /* "open1 hello close1:1000 " */
    char log[4096];       /* "open text:hello closed:1000 " */
    bool keep_texts;      /* in the log; else they are counted only */
    int opened, texts, binaries, alive, closed, drained;
    size_t last_size;
    LinkClose how; /* of the last close; reason in `reason` */
    char reason[1024];
    unsigned last_server_close;
    LoopTimer give_up;
    LoopTimer timer; /* for the test */
    LoopTurn turn;
    bool gave_up;
    bool (*until)(Fixture *f);
    int wanted;
    void (*on_text)(Fixture *f, Slice text);
    void (*on_open)(Fixture *f);
    void (*on_close)(Fixture *f);
    void (*on_alive)(Fixture *f);
    void (*on_drained)(Fixture *f);
    void (*on_peer)(Fixture *f, uint64_t peer);
    bool server_echoes;
    uint64_t peer;
    int peers_closed;
};

MAYBE_UNUSED static void note(char *log, size_t size, const char *format, ...)
{
    size_t used = strlen(log);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(log + used, size - used, format, arguments);
    va_end(arguments);
}

static void sink_opened(void *context)
{
    Fixture *f = context;
    f->opened++;
    note(f->log, sizeof f->log, "open ");
    if (f->on_open) f->on_open(f);
}

static void sink_text(void *context, Slice text)
{
    Fixture *f = context;
    f->texts++;
    f->last_size = text.size;
    if (f->keep_texts) note(f->log, sizeof f->log, "text:%.*s ", SLICE_ARGS(text));
    if (f->on_text) f->on_text(f, text);
}

static void sink_alive(void *context)
{
    Fixture *f = context;
    f->alive++;
    if (f->on_alive) f->on_alive(f);
}

static void sink_drained(void *context)
{
    Fixture *f = context;
    f->drained++;
    if (f->on_drained) f->on_drained(f);
}

static void sink_closed(void *context, const LinkClose *how)
{
    Fixture *f = context;
    f->closed++;
    f->how = *how;
    snprintf(f->reason, sizeof f->reason, "%.*s", SLICE_ARGS(how->reason));
    note(f->log, sizeof f->log, "closed:%u ", how->code);
    if (f->on_close) f->on_close(f);
}

static void give_up(void *context)
{
    Fixture *f = context;
    f->gave_up = true;
    loop_stop(f->loop);
}

static void look(void *context)
{
    Fixture *f = context;
    if (f->until && f->until(f)) loop_stop(f->loop);
}

/* Runs the loop until the condition holds. */
MAYBE_UNUSED static void wait_for(Fixture *f, bool (*until)(Fixture *f))
{
    f->until = until;
    f->gave_up = false;
    f->give_up = (LoopTimer){.fire = give_up, .context = f};
    f->turn = (LoopTurn){.end = look, .context = f};
    loop_timer_set(f->loop, &f->give_up, loop_now_ms(f->loop) + GIVE_UP_MS);
    loop_on_turn_end(f->loop, &f->turn);
    loop_run(f->loop);
    loop_off_turn_end(f->loop, &f->turn);
    loop_timer_set(f->loop, &f->give_up, HEAP_NEVER);
    if (f->gave_up) fail_msg("waited in vain; log: %s / %s; reason: %s", f->log, f->server_log, f->reason);
}

MAYBE_UNUSED static bool is_open(Fixture *f)
{
    return f->opened > 0;
}

MAYBE_UNUSED static bool is_closed(Fixture *f)
{
    return f->closed > 0;
}

MAYBE_UNUSED static bool has_texts(Fixture *f)
{
    return f->texts >= f->wanted;
}

MAYBE_UNUSED static bool both_closed(Fixture *f)
{
    return f->closed > 0 && f->peers_closed > 0;
}

MAYBE_UNUSED static void make_target(Fixture *f, const char *url)
{
    char problem[128];
    if (!link_target_parse(url, &f->config.target, problem, sizeof problem)) fail_msg("%s: %s", url, problem);
}

MAYBE_UNUSED static void make_link(Fixture *f)
{
    char problem[256] = "";
    LinkSink sink = {.context = f,
                     .opened = sink_opened,
                     .text = sink_text,
                     .alive = sink_alive,
                     .closed = sink_closed,
                     .drained = sink_drained};
    if (f->config.max_message_bytes == 0) f->config.max_message_bytes = MESSAGE_LIMIT;
    f->link = link_new(f->loop, &f->config, &sink, problem, sizeof problem);
    if (!f->link) fail_msg("no link: %s", problem);
}

MAYBE_UNUSED static void dial(Fixture *f, const char *url)
{
    make_target(f, url);
    make_link(f);
    link_dial(f->link);
}

MAYBE_UNUSED static void dial_port(Fixture *f, unsigned port)
{
    char url[64];
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
    dial(f, url);
}

MAYBE_UNUSED static Buffer text_of(const char *text)
{
    Buffer buffer = buffer_with_headroom(BUFFER_FRAME_HEADROOM);
    buffer_append_text(&buffer, text);
    return buffer;
}

MAYBE_UNUSED static bool send_text(Fixture *f, const char *text)
{
    Buffer buffer = text_of(text);
    return link_send(f->link, &buffer);
}

MAYBE_UNUSED static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof *f);
    f->loop = loop_new();
    f->keep_texts = true;
    *state = f;
    return f->loop ? 0 : -1;
}

MAYBE_UNUSED static int teardown(void **state)
{
    Fixture *f = *state;
    link_free(f->link);
    server_free(f->server);
    loop_free(f->loop);
    free(f);
    return 0;
}

#define LINK_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* --- the simulator's server as the peer ----------------------------------------------------------------------------------------- */

static void server_opened(void *context, uint64_t peer)
{
    Fixture *f = context;
    f->peer = peer;
    note(f->server_log, sizeof f->server_log, "open%u ", (unsigned)peer);
    if (f->on_peer) f->on_peer(f, peer);
}

static void server_text(void *context, uint64_t peer, Slice text)
{
    Fixture *f = context;
    if (f->server_echoes) {
        Buffer reply = buffer_with_headroom(BUFFER_FRAME_HEADROOM);
        buffer_append_slice(&reply, text);
        server_send(f->server, peer, &reply);
    } else {
        note(f->server_log, sizeof f->server_log, "%.*s ", SLICE_ARGS(text));
    }
}

static void server_closed(void *context, uint64_t peer, unsigned code)
{
    Fixture *f = context;
    f->peers_closed++;
    f->last_server_close = code;
    note(f->server_log, sizeof f->server_log, "close%u:%u ", (unsigned)peer, code);
}

MAYBE_UNUSED static void serve_tls(Fixture *f, const char *cert_file, const char *key_file)
{
    char problem[256] = "";
    ServerSink sink = {.context = f, .opened = server_opened, .text = server_text, .closed = server_closed};
    f->server = server_new(f->loop, "127.0.0.1", 0, cert_file, key_file, &sink, problem, sizeof problem);
    if (!f->server) fail_msg("no server: %s", problem);
}

MAYBE_UNUSED static void serve(Fixture *f)
{
    serve_tls(f, NULL, NULL);
}

/* --- peers that follow a script -------------------------------------------------------------------------------------------------- */

typedef struct {
    int listen_fd;
    unsigned port;
    int connections; /* to take, one after the other */
    void (*script)(int fd, void *context);
    void *context;
    pthread_t thread;
} Script;

MAYBE_UNUSED static int listen_at(const char *address, unsigned port, int backlog, unsigned *bound_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t size = sizeof at;
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, address, &at.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, size) != 0 || listen(fd, backlog) != 0)
        fail_msg("cannot listen on %s:%u", address, port);
    getsockname(fd, (struct sockaddr *)&at, &size);
    *bound_port = ntohs(at.sin_port);
    return fd;
}

static void *script_main(void *context)
{
    Script *script = context;
    for (int i = 0; i < script->connections; i++) {
        int fd = accept(script->listen_fd, NULL, NULL);
        if (fd < 0) break;
        script->script(fd, script->context);
        close(fd);
    }
    return NULL;
}

MAYBE_UNUSED static void script_start(Script *script, void (*run)(int fd, void *context), void *context)
{
    *script = (Script){.script = run, .context = context, .connections = 1};
    script->listen_fd = listen_at("127.0.0.1", 0, 8, &script->port);
    assert_int_equal(pthread_create(&script->thread, NULL, script_main, script), 0);
}

MAYBE_UNUSED static void script_join(Script *script)
{
    pthread_join(script->thread, NULL);
    close(script->listen_fd);
}

MAYBE_UNUSED static void say(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t put = send(fd, at, size, MSG_NOSIGNAL);
        if (put <= 0) return;
        at += put;
        size -= (size_t)put;
    }
}

MAYBE_UNUSED static void say_text(int fd, const char *text)
{
    say(fd, text, strlen(text));
}

/* Up to and with the empty line. */
MAYBE_UNUSED static void hear_head(int fd, char *head, size_t size)
{
    size_t used = 0;
    while (used + 1 < size && recv(fd, head + used, 1, 0) == 1) {
        head[++used] = '\0';
        if (used >= 4 && memcmp(head + used - 4, "\r\n\r\n", 4) == 0) return;
    }
    head[used] = '\0';
}

MAYBE_UNUSED static bool hear_exactly(int fd, void *bytes, size_t size)
{
    return recv(fd, bytes, size, MSG_WAITALL) == (ssize_t)size;
}

/* One frame of the client, unmasked. Returns its opcode, -1 at the end. Short frames only. */
MAYBE_UNUSED static int hear_frame(int fd, char *payload, size_t *size)
{
    uint8_t head[6];
    if (!hear_exactly(fd, head, sizeof head) || !(head[1] & 0x80)) return -1;
    *size = head[1] & 0x7f;
    if (*size > 125 || !hear_exactly(fd, payload, *size)) return -1;
    for (size_t i = 0; i < *size; i++)
        payload[i] = (char)(payload[i] ^ head[2 + i % 4]);
    payload[*size] = '\0';
    return head[0] & 0x0f;
}

MAYBE_UNUSED static void hear_until_end(int fd)
{
    char bytes[4096];
    while (recv(fd, bytes, sizeof bytes, 0) > 0)
        ;
}

/* The first half of being a WebSocket server: the answer to the upgrade whose head was heard. `extra` goes into the same write. */
MAYBE_UNUSED static void accept_upgrade(int fd, const char *extra, size_t extra_size)
{
    char head[2048];
    char answer[4096];
    char input[128];
    unsigned char digest[SHA_DIGEST_LENGTH];
    unsigned char accept[64];
    hear_head(fd, head, sizeof head);
    const char *key = strstr(head, "Sec-WebSocket-Key: ");
    snprintf(input, sizeof input, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key ? key + 19 : "");
    SHA1((unsigned char *)input, strlen(input), digest);
    EVP_EncodeBlock(accept, digest, sizeof digest);
    int size = snprintf(answer, sizeof answer,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Accept: %s\r\n\r\n",
                        (char *)accept);
    memcpy(answer + size, extra, extra_size);
    say(fd, answer, (size_t)size + extra_size);
}

#endif
