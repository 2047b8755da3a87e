/* The link over plain TCP: frames both ways, closing, the rules of the protocol, backpressure, and callbacks that do as they like. */
#include "net/link.h"
#include "net/server.h"

#include "net/link_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <malloc.h>

static void expect_reason(Fixture *f, const char *format, unsigned port)
{
    char text[512];
    snprintf(text, sizeof text, format, port);
    assert_string_equal(f->reason, text);
}

/* --- a connection that works ------------------------------------------------------------------------------------------------- */

static void hello_on_open(Fixture *f)
{
    assert_true(send_text(f, "hello"));
}

static void messages_go_both_ways(void **state)
{
    Fixture *f = *state;
    serve(f);
    f->server_echoes = true;
    f->on_open = hello_on_open;
    f->wanted = 1;
    dial_port(f, server_port(f->server));
    assert_int_equal(f->opened + f->closed, 0); /* never inside of link_dial */
    wait_for(f, has_texts);
    link_close(f->link, 1000, "done");
    assert_int_equal(f->closed, 0); /* nor inside of link_close */
    wait_for(f, both_closed);
    assert_string_equal(f->log, "open text:hello closed:1000 ");
    assert_string_equal(f->server_log, "open1 close1:1000 ");
    LinkStats stats;
    link_stats(f->link, &stats);
    assert_int_equal(stats.messages_in, 1);
    assert_int_equal(stats.messages_out, 1);
    assert_true(stats.bytes_in > 5 && stats.bytes_out > 5);
}

static void localhost_is_found(void **state)
{
    Fixture *f = *state;
    char url[64];
    serve(f);
    snprintf(url, sizeof url, "http://localhost:%u", server_port(f->server));
    f->config.carries_secret = true;
    dial(f, url);
    wait_for(f, is_open);
}

static void close_at_peer(Fixture *f, uint64_t peer)
{
    Buffer last = text_of("last words");
    server_send(f->server, peer, &last);
    server_close(f->server, peer, 1012, "service restart");
}

static void a_close_frame_comes_behind_the_last_message(void **state)
{
    Fixture *f = *state;
    serve(f);
    f->on_peer = close_at_peer;
    dial_port(f, server_port(f->server));
    wait_for(f, is_closed);
    assert_string_equal(f->log, "open text:last words closed:1012 ");
    assert_string_equal(f->reason, "service restart");
    assert_false(f->how.fatal);
}

static void drop_peer(Fixture *f, uint64_t peer)
{
    server_drop(f->server, peer);
}

static void a_connection_that_just_ends_is_1006(void **state)
{
    Fixture *f = *state;
    serve(f);
    f->on_peer = drop_peer;
    dial_port(f, server_port(f->server));
    wait_for(f, is_closed);
    assert_string_equal(f->log, "open closed:1006 ");
    expect_reason(f, "connection to 127.0.0.1:%u lost: the gateway ended it without a close frame",
                  server_port(f->server));
}

static void send_bytewise(Fixture *f, uint64_t peer)
{
    static const char frames[] = "\x81\x05hello"
                                 "\x01\x03spl"
                                 "\x89\x00"
                                 "\x80\x02it"
                                 "\x88\x05\x03\xe8"
                                 "bye";
    Buffer bytes = buffer_with_headroom(0);
    buffer_append(&bytes, frames, sizeof frames - 1);
    server_send_raw(f->server, peer, &bytes, 1);
}

static void bytes_one_at_a_time_are_fine(void **state)
{
    Fixture *f = *state;
    serve(f);
    f->on_peer = send_bytewise;
    dial_port(f, server_port(f->server));
    wait_for(f, is_closed);
    assert_string_equal(f->log, "open text:hello text:split closed:1000 ");
    assert_string_equal(f->reason, "bye");
    assert_true(f->alive > 5); /* an unfinished message is a sign of life, and so is the ping */
}

#define BIG_BYTES ((size_t)16 << 20)

static void send_big(Fixture *f)
{
    Buffer big = buffer_with_headroom(BUFFER_FRAME_HEADROOM);
    char *room = buffer_reserve(&big, BIG_BYTES);
    memset(room, 'x', BIG_BYTES);
    buffer_commit(&big, BIG_BYTES);
    assert_true(link_send(f->link, &big));
    assert_true(send_text(f, "behind") == false); /* 16 MiB is what the queue may hold */
}

static void sixteen_megabytes_go_both_ways(void **state)
{
    Fixture *f = *state;
    serve(f);
    f->keep_texts = false;
    f->server_echoes = true;
    f->on_open = send_big;
    f->wanted = 1;
    dial_port(f, server_port(f->server));
    wait_for(f, has_texts);
    assert_int_equal(f->last_size, BIG_BYTES);
    assert_int_equal(f->drained, 1);
    assert_int_equal(link_queued_bytes(f->link), 0);
}

static void with_first_event(int fd, void *context)
{
    (void)context;
    accept_upgrade(fd,
                   "\x81\x05"
                   "first",
                   7);
    hear_until_end(fd);
}

static void a_frame_glued_to_the_upgrade_is_not_lost(void **state)
{
    Fixture *f = *state;
    Script script;
    script_start(&script, with_first_event, NULL);
    f->wanted = 1;
    dial_port(f, script.port);
    wait_for(f, has_texts);
    assert_string_equal(f->log, "open text:first ");
    link_free(f->link);
    f->link = NULL;
    loop_stop(f->loop);
    loop_run(f->loop);
    script_join(&script);
}

/* --- rules ------------------------------------------------------------------------------------------------------------------- */

typedef struct {
    const char *frames;
    size_t size;
    unsigned heard_code;
} Violation;

static void violate(int fd, void *context)
{
    Violation *violation = context;
    char payload[128];
    size_t size;
    accept_upgrade(fd, violation->frames, violation->size);
    while (hear_frame(fd, payload, &size) == 8 && size >= 2)
        violation->heard_code = (unsigned)((uint8_t)payload[0] << 8 | (uint8_t)payload[1]);
}

static void expect_violation(Fixture *f, const char *frames, size_t size, unsigned code, const char *words)
{
    Script script;
    Violation violation = {.frames = frames, .size = size};
    script_start(&script, violate, &violation);
    dial_port(f, script.port);
    wait_for(f, is_closed);
    assert_int_equal(f->how.code, 1006);
    if (!strstr(f->reason, words)) fail_msg("`%s` does not say `%s`", f->reason, words);
    script_join(&script);
    assert_int_equal(violation.heard_code, code);
}

static void masked_frames_are_refused(void **state)
{
    expect_violation(*state, "\x81\x85xxxxhello", 11, 1002, "masked");
}

static void binary_messages_are_refused_by_who_cannot_take_them(void **state)
{
    expect_violation(*state, "\x82\x01x", 3, 1003, "binary");
}

static void messages_over_the_limit_are_refused(void **state)
{
    Fixture *f = *state;
    f->config.max_message_bytes = 4;
    expect_violation(f, "\x81\x05hello", 7, 1009, "given up");
}

static void invalid_text_is_refused(void **state)
{
    expect_violation(*state, "\x81\x02\xc3\x28", 4, 1007, "UTF-8");
}

static void ping(int fd, void *context)
{
    char *heard = context;
    char payload[128];
    size_t size;
    accept_upgrade(fd,
                   "\x89\x04"
                   "ping",
                   6);
    int opcode = hear_frame(fd, payload, &size);
    snprintf(heard, 160, "%d:%s", opcode, payload);
}

static void a_ping_is_answered_with_its_payload(void **state)
{
    Fixture *f = *state;
    Script script;
    char heard[160] = "";
    script_start(&script, ping, heard);
    dial_port(f, script.port);
    wait_for(f, is_closed);
    script_join(&script);
    assert_string_equal(heard, "10:ping");
    assert_int_equal(f->alive, 1);
}

static void deaf_to_close(int fd, void *context)
{
    (void)context;
    accept_upgrade(fd, "", 0);
    hear_until_end(fd);
}

static void close_on_open(Fixture *f)
{
    link_close(f->link, 4000, "tick timeout");
    assert_false(send_text(f, "too late"));
}

static void a_peer_that_ignores_the_close_frame_is_left(void **state)
{
    Fixture *f = *state;
    Script script;
    f->config.close_ms = 30;
    f->on_open = close_on_open;
    script_start(&script, deaf_to_close, NULL);
    dial_port(f, script.port);
    wait_for(f, is_closed);
    assert_string_equal(f->log, "open closed:1006 ");
    script_join(&script);
}

/* Says why in a close frame, then resets the connection under the client's writes. */
static void close_and_reset(int fd, void *context)
{
    (void)context;
    accept_upgrade(fd,
                   "\x88\x0c\x03\xf0"
                   "slow client",
                   0);
    char byte[4096];
    (void)!recv(fd, byte, sizeof byte, 0);
    say(fd,
        "\x88\x0d\x03\xf0"
        "slow client",
        15);
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    shutdown(fd, SHUT_WR);
    (void)!recv(fd, byte, 1, 0);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

static void send_more(Fixture *f)
{
    char text[2048];
    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (int i = 0; i < 64; i++)
        send_text(f, text);
}

static void what_the_gateway_said_last_is_heard_though_writing_fails(void **state)
{
    Fixture *f = *state;
    Script script;
    f->on_open = send_more;
    script_start(&script, close_and_reset, NULL);
    dial_port(f, script.port);
    wait_for(f, is_closed);
    script_join(&script);
    assert_int_equal(f->how.code, 1008);
    assert_string_equal(f->reason, "slow client");
}

/* --- backpressure ------------------------------------------------------------------------------------------------------------ */

#define MANY 2000

static void send_many(Fixture *f, uint64_t peer)
{
    for (int i = 0; i < MANY; i++) {
        char text[32];
        snprintf(text, sizeof text, "%d", i);
        Buffer message = text_of(text);
        assert_true(server_send(f->server, peer, &message));
    }
}

static void resume_later(void *context)
{
    Fixture *f = context;
    link_pause(f->link, false);
}

static void count_and_pause(Fixture *f, Slice text)
{
    char expected[32];
    snprintf(expected, sizeof expected, "%d", f->texts - 1);
    assert_true(slice_is(text, expected));
    if (f->texts % 500 == 0) {
        link_pause(f->link, true);
        f->timer = (LoopTimer){.fire = resume_later, .context = f};
        f->wanted = f->texts; /* no message more until then */
        loop_timer_set(f->loop, &f->timer, loop_now_ms(f->loop) + 5);
    }
}

static bool has_all(Fixture *f)
{
    return f->texts == MANY;
}

static void a_pause_holds_at_once_and_loses_nothing(void **state)
{
    Fixture *f = *state;
    serve(f);
    f->keep_texts = false;
    f->on_peer = send_many;
    f->on_text = count_and_pause;
    dial_port(f, server_port(f->server));
    wait_for(f, has_all);
    assert_int_equal(f->closed, 0);
    loop_timer_set(f->loop, &f->timer, HEAP_NEVER);
}

static void count_pongs(int fd, void *context)
{
    int *pongs = context;
    char payload[128];
    size_t size;
    accept_upgrade(fd, "\x81\x01x", 3);
    while (*pongs < 3 && hear_frame(fd, payload, &size) == 10)
        ++*pongs;
}

static void pause_on_open(Fixture *f)
{
    link_pause(f->link, true);
}

static void pongs_go_out_while_reading_is_paused(void **state)
{
    Fixture *f = *state;
    Script script;
    int pongs = 0;
    f->config.pong_ms = 10;
    f->on_open = pause_on_open;
    script_start(&script, count_pongs, &pongs);
    dial_port(f, script.port);
    wait_for(f, is_closed); /* the peer leaves after three of them, which is noticed by the next */
    script_join(&script);
    assert_int_equal(pongs, 3);
    assert_int_equal(f->texts, 0);
    assert_int_equal(f->how.code, 1006);
}

static void reset_after_upgrade(int fd, void *context)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    (void)context;
    accept_upgrade(fd, "", 0);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

static void a_reset_is_noticed_while_reading_is_paused(void **state)
{
    Fixture *f = *state;
    Script script;
    f->on_open = pause_on_open;
    script_start(&script, reset_after_upgrade, NULL);
    dial_port(f, script.port);
    wait_for(f, is_closed);
    script_join(&script);
    assert_int_equal(f->how.code, 1006);
}

static void fill_queue(Fixture *f)
{
    size_t sent = 0;
    char text[1024];
    memset(text, 'z', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    while (send_text(f, text))
        sent++;
    assert_int_equal(sent, 10000 / sizeof text);
    assert_true(link_queued_bytes(f->link) <= 10000);
}

static void the_queue_has_a_bound(void **state)
{
    Fixture *f = *state;
    serve(f);
    f->config.max_queue_bytes = 10000;
    f->on_open = fill_queue;
    dial_port(f, server_port(f->server));
    wait_for(f, is_open);
    assert_int_equal(f->closed, 0);
}

/* --- callbacks that do as they like -------------------------------------------------------------------------------------------- */

static void free_link(Fixture *f)
{
    link_free(f->link);
    f->link = NULL;
    loop_stop(f->loop);
}

static void free_on_text(Fixture *f, Slice text)
{
    (void)text;
    free_link(f);
}

static void send_two_and_ping(Fixture *f, uint64_t peer)
{
    Buffer bytes = buffer_with_headroom(0);
    buffer_append(&bytes, "\x89\x00\x81\x01x\x81\x01y", 8);
    server_send_raw(f->server, peer, &bytes, 0);
}

static bool peer_is_gone(Fixture *f)
{
    return f->peers_closed > 0;
}

static void nothing_comes_after_link_free(void **state)
{
    for (int which = 0; which < 5; which++) {
        Fixture *f = NULL;
        assert_int_equal(setup((void **)&f), 0);
        serve(f);
        f->on_peer = send_two_and_ping;
        if (which == 0) f->on_open = free_link;
        if (which == 1) f->on_text = free_on_text;
        if (which == 2) f->on_alive = free_link;
        if (which == 3) {
            f->on_open = hello_on_open;
            f->on_drained = free_link;
        }
        if (which == 4) {
            f->on_open = close_on_open;
            f->on_close = free_link;
        }
        dial_port(f, server_port(f->server));
        wait_for(f, NULL);
        int calls = f->opened + f->texts + f->alive + f->drained + f->closed;
        wait_for(f, peer_is_gone);
        assert_int_equal(f->opened + f->texts + f->alive + f->drained + f->closed, calls);
        if (which == 1) assert_int_equal(f->texts, 1);
        teardown((void **)&f);
    }
    (void)state;
}

static void redial(Fixture *f)
{
    if (f->closed < f->wanted) link_dial(f->link);
}

static bool closed_as_wanted(Fixture *f)
{
    return f->closed >= f->wanted;
}

static size_t open_descriptors(void)
{
    size_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void end_somehow(Fixture *f, uint64_t peer)
{
    if (peer % 3 == 0)
        server_drop(f->server, peer);
    else if (peer % 3 == 1)
        server_close(f->server, peer, 1012, "");
    else
        link_close(f->link, 1000, "");
}

static void a_thousand_connections_leave_nothing_behind(void **state)
{
    Fixture *f = *state;
    serve(f);
    f->on_peer = end_somehow;
    f->on_open = hello_on_open;
    f->on_close = redial;
    f->wanted = 20;
    dial_port(f, server_port(f->server));
    wait_for(f, closed_as_wanted);
    size_t descriptors = open_descriptors();
    size_t bytes = mallinfo2().uordblks;
    f->wanted = 1020;
    f->log[0] = '\0';
    link_dial(f->link);
    wait_for(f, closed_as_wanted);
    assert_int_equal(f->closed, 1020);
    assert_in_range(open_descriptors(), descriptors - 4,
                    descriptors + 4); /* the server's side may still be on its way out */
    assert_true(mallinfo2().uordblks < bytes + 128 * 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINK_TEST(messages_go_both_ways),
        LINK_TEST(localhost_is_found),
        LINK_TEST(a_close_frame_comes_behind_the_last_message),
        LINK_TEST(a_connection_that_just_ends_is_1006),
        LINK_TEST(bytes_one_at_a_time_are_fine),
        LINK_TEST(sixteen_megabytes_go_both_ways),
        LINK_TEST(a_frame_glued_to_the_upgrade_is_not_lost),
        LINK_TEST(masked_frames_are_refused),
        LINK_TEST(binary_messages_are_refused_by_who_cannot_take_them),
        LINK_TEST(messages_over_the_limit_are_refused),
        LINK_TEST(invalid_text_is_refused),
        LINK_TEST(a_ping_is_answered_with_its_payload),
        LINK_TEST(a_peer_that_ignores_the_close_frame_is_left),
        LINK_TEST(what_the_gateway_said_last_is_heard_though_writing_fails),
        LINK_TEST(a_pause_holds_at_once_and_loses_nothing),
        LINK_TEST(pongs_go_out_while_reading_is_paused),
        LINK_TEST(a_reset_is_noticed_while_reading_is_paused),
        LINK_TEST(the_queue_has_a_bound),
        cmocka_unit_test(nothing_comes_after_link_free),
        LINK_TEST(a_thousand_connections_leave_nothing_behind),
    };
    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
