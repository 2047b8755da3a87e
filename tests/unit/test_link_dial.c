/* Dialing: what can go wrong before a link is open and what is said about it, several addresses, and where a secret does not go. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include "net/link.h"
#include "net/server.h"

#include "net/fake_names.h"
#include "net/link_fixture.h"

static void expect_reason(Fixture *f, const char *format, unsigned port)
{
    char text[512];
    snprintf(text, sizeof text, format, port);
    assert_string_equal(f->reason, text);
}

/* --- dialing that fails ------------------------------------------------------------------------------------------------------ */

static unsigned closed_port(void)
{
    unsigned port;
    close(listen_at("127.0.0.1", 0, 1, &port));
    return port;
}

static void nobody_listens(void **state)
{
    Fixture *f = *state;
    unsigned port = closed_port();
    dial_port(f, port);
    wait_for(f, is_closed);
    expect_reason(f, "cannot connect to 127.0.0.1:%u: connection refused; is the gateway running?", port);
    assert_int_equal(f->how.code, 0);
    assert_int_equal(f->how.http_status, 0);
    assert_int_equal(f->how.retry_after_ms, -1);
    assert_false(f->how.fatal);
}

static void a_name_that_does_not_exist(void **state)
{
    Fixture *f = *state;
    dial(f, "ws://nobody.test/");
    wait_for(f, is_closed);
    assert_string_equal(f->reason, "cannot find the address of nobody.test: there is no such host name");
}

static void answer_503(int fd, void *context)
{
    char head[2048];
    (void)context;
    hear_head(fd, head, sizeof head);
    say_text(fd, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 17\r\n\r\ntoo many clients\n");
}

static void a_refused_upgrade_says_what_the_gateway_said(void **state)
{
    Fixture *f = *state;
    Script script;
    script_start(&script, answer_503, NULL);
    dial_port(f, script.port);
    wait_for(f, is_closed);
    expect_reason(f, "cannot connect to 127.0.0.1:%u: HTTP 503: too many clients", script.port);
    assert_int_equal(f->how.http_status, 503);
    assert_int_equal(f->how.retry_after_ms, 7000);
    script_join(&script);
}

static void answer_ssh(int fd, void *context)
{
    (void)context;
    say_text(fd, "SSH-2.0-OpenSSH_9.2\r\n");
    hear_until_end(fd);
}

static void a_port_of_something_else(void **state)
{
    Fixture *f = *state;
    Script script;
    script_start(&script, answer_ssh, NULL);
    dial_port(f, script.port);
    wait_for(f, is_closed);
    assert_non_null(strstr(f->reason, "does not speak HTTP"));
    assert_int_equal(f->opened, 0);
    script_join(&script);
}

static void answer_nothing(int fd, void *context)
{
    (void)context;
    hear_until_end(fd);
}

static void a_port_that_never_answers(void **state)
{
    Fixture *f = *state;
    Script script;
    script_start(&script, answer_nothing, NULL);
    f->config.upgrade_ms = 30;
    dial_port(f, script.port);
    wait_for(f, is_closed);
    expect_reason(
        f,
        "cannot connect to 127.0.0.1:%u: it took the connection, but gave no answer in 1 s; is it the gateway's port?",
        script.port);
    script_join(&script);
}

/* A port whose queue of connections is full answers no more: as good as a dead machine. */
typedef struct {
    int listen_fd;
    int clients[4];
    unsigned port;
} DeadEnd;

static void dead_end_open(DeadEnd *dead, const char *address, unsigned port)
{
    dead->listen_fd = listen_at(address, port, 0, &dead->port);
    for (size_t i = 0; i < 4; i++) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)dead->port)};
        inet_pton(AF_INET, address, &at.sin_addr);
        dead->clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)!connect(dead->clients[i], (struct sockaddr *)&at, sizeof at);
    }
}

static void dead_end_close(DeadEnd *dead)
{
    for (size_t i = 0; i < 4; i++)
        close(dead->clients[i]);
    close(dead->listen_fd);
}

static void a_machine_that_does_not_answer(void **state)
{
    Fixture *f = *state;
    DeadEnd dead;
    dead_end_open(&dead, "127.0.0.1", 0);
    f->config.connect_ms = 50;
    dial_port(f, dead.port);
    wait_for(f, is_closed);
    expect_reason(
        f,
        "cannot connect to 127.0.0.1:%u: no answer in 1 s; is the address right, and does a firewall let it through?",
        dead.port);
    dead_end_close(&dead);
}

static void another_address_is_tried_beside_a_dead_one(void **state)
{
    Fixture *f = *state;
    DeadEnd dead;
    char url[96];
    serve(f);
    dead_end_open(&dead, "127.0.0.2", server_port(f->server));
    f->config.address_ms = 20;
    snprintf(url, sizeof url, "ws://127.0.0.2_127.0.0.1.test:%u/", dead.port);
    make_target(f, url);
    snprintf(f->config.target.authority, sizeof f->config.target.authority, "localhost");
    make_link(f);
    link_dial(f->link);
    wait_for(f, is_open);
    dead_end_close(&dead);
}

static void another_address_is_tried_behind_a_refusal(void **state)
{
    Fixture *f = *state;
    char url[96];
    serve(f);
    f->config.address_ms = GIVE_UP_MS * 2; /* it must not wait for that */
    snprintf(url, sizeof url, "ws://127.0.0.2_--1_127.0.0.1.test:%u/", server_port(f->server));
    make_target(f, url);
    snprintf(f->config.target.authority, sizeof f->config.target.authority, "localhost");
    make_link(f);
    link_dial(f->link);
    wait_for(f, is_open);
}

static void a_name_server_that_hangs(void **state)
{
    Fixture *f = *state;
    f->config.connect_ms = 30;
    dial(f, "ws://slow.test:18789/");
    wait_for(f, is_closed);
    assert_string_equal(f->reason, "cannot find the address of slow.test:18789: the name server gave no answer in 1 s");
    sem_post(&slow_names); /* the look-up ends after the link lost interest */
}

static void a_look_up_may_outlive_the_loop(void **state)
{
    (void)state;
    Fixture *f = NULL;
    assert_int_equal(setup((void **)&f), 0);
    dial(f, "ws://slow.test/");
    loop_stop(f->loop);
    loop_run(f->loop);
    teardown((void **)&f);
    sem_post(&slow_names);
}

static void an_attempt_can_be_given_up(void **state)
{
    Fixture *f = *state;
    DeadEnd dead;
    dead_end_open(&dead, "127.0.0.1", 0);
    dial_port(f, dead.port);
    loop_stop(f->loop);
    loop_run(f->loop);
    link_close(f->link, 1000, "not needed any more");
    assert_int_equal(f->closed, 0);
    wait_for(f, is_closed);
    assert_string_equal(f->log, "closed:0 ");
    assert_string_equal(f->reason, "not needed any more");
    dead_end_close(&dead);
}

/* --- secrets ----------------------------------------------------------------------------------------------------------------- */

static void a_secret_does_not_go_in_the_clear_to_a_public_address(void **state)
{
    Fixture *f = *state;
    f->config.carries_secret = true;
    dial(f, "ws://203.0.113.7:18789/");
    wait_for(f, is_closed);
    assert_string_equal(f->reason,
                        "refusing to send the token in the clear to 203.0.113.7:18789, a public address (203.0.113.7): "
                        "use wss://, or give --allow-insecure if the way there is safe");
    assert_true(f->how.fatal);
}

static void a_name_is_judged_by_its_addresses(void **state)
{
    Fixture *f = *state;
    f->config.carries_secret = true;
    dial(f, "ws://203.0.113.7_2001-db8--1.test:18789/");
    wait_for(f, is_closed);
    assert_true(f->how.fatal);
    assert_non_null(strstr(f->reason, "203.0.113.7"));
}

static void only_the_private_addresses_of_a_name_are_used(void **state)
{
    Fixture *f = *state;
    char url[96];
    serve(f);
    f->config.carries_secret = true;
    f->config.address_ms = GIVE_UP_MS * 2;
    snprintf(url, sizeof url, "ws://203.0.113.7_127.0.0.1.test:%u/", server_port(f->server));
    make_target(f, url);
    snprintf(f->config.target.authority, sizeof f->config.target.authority, "localhost");
    make_link(f);
    link_dial(f->link);
    wait_for(f, is_open);
}

static void the_operator_may_allow_it(void **state)
{
    Fixture *f = *state;
    f->config.carries_secret = true;
    f->config.allow_insecure = true;
    f->config.connect_ms = 20;
    dial(f, "ws://203.0.113.7:18789/");
    wait_for(f, is_closed);
    assert_false(f->how.fatal);
    assert_null(strstr(f->reason, "refusing"));
}

static int group_setup(void **state)
{
    (void)state;
    return sem_init(&slow_names, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINK_TEST(nobody_listens),
        LINK_TEST(a_name_that_does_not_exist),
        LINK_TEST(a_refused_upgrade_says_what_the_gateway_said),
        LINK_TEST(a_port_of_something_else),
        LINK_TEST(a_port_that_never_answers),
        LINK_TEST(a_machine_that_does_not_answer),
        LINK_TEST(another_address_is_tried_beside_a_dead_one),
        LINK_TEST(another_address_is_tried_behind_a_refusal),
        LINK_TEST(a_name_server_that_hangs),
        cmocka_unit_test(a_look_up_may_outlive_the_loop),
        LINK_TEST(an_attempt_can_be_given_up),
        LINK_TEST(a_secret_does_not_go_in_the_clear_to_a_public_address),
        LINK_TEST(a_name_is_judged_by_its_addresses),
        LINK_TEST(only_the_private_addresses_of_a_name_are_used),
        LINK_TEST(the_operator_may_allow_it),
    };
    return cmocka_run_group_tests_name("link_dial", tests, group_setup, NULL);
}
