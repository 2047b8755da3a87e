/* The simulator's server: who may come in, what it refuses, and how it misbehaves when it is told to. */
#define _GNU_SOURCE
#include "net/server.h"

#include "net/link_fixture.h"

static bool peer_left(Fixture *f)
{
    return f->peers_closed > 0;
}

/* A raw client on a thread: says `request`, and hears what comes until the end. */
typedef struct {
    Fixture *f;
    LoopWork done;
    const char *request;
    char heard[4096];
    unsigned port;
    pthread_t thread;
} Client;

static void client_done(LoopWork *work)
{
    Client *client = HEAP_OWNER(work, Client, done);
    loop_stop(client->f->loop);
}

static void *client_main(void *context)
{
    Client *client = context;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)client->port)};
    size_t used = 0;
    ssize_t got;
    inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0) {
        say_text(fd, client->request);
        while (used < sizeof client->heard - 1 &&
               (got = recv(fd, client->heard + used, sizeof client->heard - 1 - used, 0)) > 0) {
            used += (size_t)got;
            if (strncmp(client->heard, "HTTP/1.1 101", 12) == 0) break; /* it was let in */
        }
    }
    client->heard[used] = '\0';
    close(fd);
    loop_post(client->f->loop, &client->done);
    return NULL;
}

static void ask(Fixture *f, Client *client, const char *request)
{
    *client = (Client){.f = f, .request = request, .port = server_port(f->server), .done.run = client_done};
    assert_int_equal(pthread_create(&client->thread, NULL, client_main, client), 0);
    wait_for(f, NULL);
    pthread_join(client->thread, NULL);
}

static const char *upgrade(char *out, size_t size, const char *host, const char *extra)
{
    snprintf(out, size,
             "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
             host, extra);
    return out;
}

static void programs_on_this_machine_may_come_in(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "127.0.0.1:18789", "localhost:1", "LOCALHOST", "[::1]:1"};
    Fixture *f = *state;
    char request[512];
    Client client;
    serve(f);
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        ask(f, &client, upgrade(request, sizeof request, hosts[i], ""));
        if (!strstr(client.heard, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")) /* the answer in RFC 6455, 1.3 */
            fail_msg("%s: %s", hosts[i], client.heard);
    }
}

static void browsers_and_foreign_names_are_kept_out(void **state)
{
    Fixture *f = *state;
    char request[512];
    Client client;
    serve(f);
    ask(f, &client, upgrade(request, sizeof request, "127.0.0.1", "Origin: http://evil.example\r\n"));
    assert_memory_equal(client.heard, "HTTP/1.1 403", 12);
    ask(f, &client, upgrade(request, sizeof request, "127.0.0.1", "Origin: null\r\n"));
    assert_memory_equal(client.heard, "HTTP/1.1 403", 12);
    static const char *const hosts[] = {"evil.example", "evil.example:18789", "localhost.evil.example", "10.1.2.3",
                                        "[::2]"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        ask(f, &client, upgrade(request, sizeof request, hosts[i], ""));
        if (memcmp(client.heard, "HTTP/1.1 403", 12) != 0) fail_msg("%s: %s", hosts[i], client.heard);
    }
    assert_string_equal(f->server_log, "");
}

static void plain_http_is_told_what_this_is(void **state)
{
    Fixture *f = *state;
    Client client;
    serve(f);
    ask(f, &client, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    assert_memory_equal(client.heard, "HTTP/1.1 426", 12);
    assert_non_null(strstr(client.heard, "WebSocket"));
}

static bool was_closed(Fixture *f)
{
    return f->closed > 0;
}

static void upgrades_are_refused_as_often_as_told(void **state)
{
    Fixture *f = *state;
    serve(f);
    server_refuse(f->server, 503, "too many clients\nmore", 2);
    dial_port(f, server_port(f->server));
    for (int i = 0; i < 2; i++) {
        f->closed = 0;
        link_dial(f->link);
        wait_for(f, was_closed);
        assert_int_equal(f->how.http_status, 503);
        assert_non_null(strstr(f->reason, "HTTP 503: too many clients"));
    }
    link_dial(f->link);
    wait_for(f, is_open);
}

static void send_mixed(Fixture *f, uint64_t peer)
{
    Buffer first = text_of("first");
    Buffer raw = buffer_with_headroom(0);
    Buffer last = text_of("last");
    buffer_append(&raw, "\x81\x03raw", 5);
    assert_true(server_send(f->server, peer, &first));
    assert_true(server_send_raw(f->server, peer, &raw, 2));
    assert_true(server_send(f->server, peer, &last));
    server_close(f->server, peer, 4001, "enough");
}

static void raw_bytes_keep_their_place(void **state)
{
    Fixture *f = *state;
    serve(f);
    f->on_peer = send_mixed;
    dial_port(f, server_port(f->server));
    wait_for(f, both_closed);
    assert_string_equal(f->log, "open text:first text:raw text:last closed:4001 ");
    assert_string_equal(f->server_log, "open1 close1:4001 ");
    Buffer late = text_of("late");
    assert_false(server_send(f->server, 1, &late));
}

static void send_half_a_frame(Fixture *f, uint64_t peer)
{
    Buffer raw = buffer_with_headroom(0);
    buffer_append(&raw, "\x81\x10half", 6);
    server_send_raw(f->server, peer, &raw, 0);
}

static void drop_when_it_came(Fixture *f)
{
    server_drop(f->server, f->peer);
}

static void half_a_frame_and_gone(void **state)
{
    Fixture *f = *state;
    serve(f);
    f->on_peer = send_half_a_frame;
    f->on_alive = drop_when_it_came;
    dial_port(f, server_port(f->server));
    wait_for(f, both_closed);
    assert_string_equal(f->log, "open closed:1006 ");
    assert_string_equal(f->server_log, "open1 close1:1006 ");
}

static void go_deaf(Fixture *f, uint64_t peer)
{
    server_deafen(f->server, peer, true);
}

static void send_word(Fixture *f)
{
    send_text(f, "word");
}

static void hear_again(void *context)
{
    Fixture *f = context;
    assert_string_equal(f->server_log, "open1 ");
    server_deafen(f->server, f->peer, false);
}

static bool server_heard(Fixture *f)
{
    return strstr(f->server_log, "word") != NULL;
}

static void a_deaf_server_hears_later(void **state)
{
    Fixture *f = *state;
    serve(f);
    f->on_peer = go_deaf;
    f->on_open = send_word;
    f->timer = (LoopTimer){.fire = hear_again, .context = f};
    dial_port(f, server_port(f->server));
    loop_timer_set(f->loop, &f->timer, loop_now_ms(f->loop) + 50);
    wait_for(f, server_heard);
    assert_string_equal(f->server_log, "open1 word ");
}

static void fill(Fixture *f, uint64_t peer)
{
    size_t sent = 0;
    for (;;) {
        Buffer piece = buffer_with_headroom(BUFFER_FRAME_HEADROOM);
        memset(buffer_reserve(&piece, 8u << 20), 'x', 8u << 20);
        buffer_commit(&piece, 8u << 20);
        if (!server_send(f->server, peer, &piece)) break;
        sent++;
    }
    f->wanted = (int)sent;
}

static void the_queue_of_a_peer_has_a_bound(void **state)
{
    Fixture *f = *state;
    serve(f);
    f->on_peer = fill;
    dial_port(f, server_port(f->server));
    wait_for(f, is_open);
    assert_in_range(f->wanted, 7, 8);
}

static void free_in_callback(Fixture *f, uint64_t peer)
{
    (void)peer;
    server_free(f->server);
    f->server = NULL;
}

static void a_callback_may_free_the_server(void **state)
{
    Fixture *f = *state;
    serve(f);
    f->on_peer = free_in_callback;
    dial_port(f, server_port(f->server));
    wait_for(f, is_closed);
    assert_int_equal(f->peers_closed, 0); /* no callback comes after it */
    link_dial(f->link);
    f->closed = 0;
    wait_for(f, is_closed);
    assert_non_null(strstr(f->reason, "connection refused"));
}

static void what_cannot_be_listened_on_is_told(void **state)
{
    Fixture *f = *state;
    ServerSink sink = {.context = f};
    char problem[256];
    char expected[256];
    serve(f);
    assert_null(server_new(f->loop, "127.0.0.1", server_port(f->server), NULL, NULL, &sink, problem, sizeof problem));
    snprintf(expected, sizeof expected, "cannot listen on 127.0.0.1 port %u: the port is taken; choose another one",
             server_port(f->server));
    assert_string_equal(problem, expected);
    assert_null(server_new(f->loop, "203.0.113.1", 0, NULL, NULL, &sink, problem, sizeof problem));
    assert_string_equal(problem, "cannot listen on 203.0.113.1: it is no address of this machine");
    assert_null(server_new(f->loop, "not an address", 0, NULL, NULL, &sink, problem, sizeof problem));
    assert_string_equal(problem, "cannot listen on not an address: it is no address of this machine");
    assert_null(server_new(f->loop, "127.0.0.1", 0, "/nonexistent", "/nonexistent", &sink, problem, sizeof problem));
    assert_non_null(strstr(problem, "cannot serve with TLS"));
}

static void a_client_that_leaves_is_noticed(void **state)
{
    Fixture *f = *state;
    serve(f);
    dial_port(f, server_port(f->server));
    wait_for(f, is_open);
    link_close(f->link, 1000, "bye");
    wait_for(f, peer_left);
    assert_int_equal(f->last_server_close, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINK_TEST(programs_on_this_machine_may_come_in),
        LINK_TEST(browsers_and_foreign_names_are_kept_out),
        LINK_TEST(plain_http_is_told_what_this_is),
        LINK_TEST(upgrades_are_refused_as_often_as_told),
        LINK_TEST(raw_bytes_keep_their_place),
        LINK_TEST(half_a_frame_and_gone),
        LINK_TEST(a_deaf_server_hears_later),
        LINK_TEST(the_queue_of_a_peer_has_a_bound),
        LINK_TEST(a_callback_may_free_the_server),
        LINK_TEST(what_cannot_be_listened_on_is_told),
        LINK_TEST(a_client_that_leaves_is_noticed),
    };
    return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
