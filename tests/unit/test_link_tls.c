/* The link over TLS and through a proxy: which certificates are trusted, and what is said of those that are not. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include "net/link.h"
#include "net/server.h"

#include "net/certificates.h"
#include "net/fake_names.h"
#include "net/link_fixture.h"

#include <openssl/ssl.h>
#include <sys/stat.h>

#define DAY_S 86400L

typedef struct {
    char folder[64];
    char ca_file[96];
    Identity valid, expired, future, other, unknown;
} Certificates;

/* cmocka's group state would be the way, if setup did not need it for its fixture. */
static Certificates certificates;

static int make_all(void **state)
{
    (void)state;
    snprintf(certificates.folder, sizeof certificates.folder, "/tmp/gatehouse-test-XXXXXX");
    if (!mkdtemp(certificates.folder)) return -1;
    char stranger_file[96];
    snprintf(certificates.ca_file, sizeof certificates.ca_file, "%s/ca.pem", certificates.folder);
    snprintf(stranger_file, sizeof stranger_file, "%s/stranger.pem", certificates.folder);
    Authority authority = make_authority(certificates.ca_file);
    Authority stranger = make_authority(stranger_file);
    const char *ours = "DNS:localhost,IP:127.0.0.1,DNS:127.0.0.1.test";
    certificates.valid = make_identity(certificates.folder, "valid", ours, -100, DAY_S, &authority);
    certificates.expired = make_identity(certificates.folder, "expired", ours, -2 * DAY_S, -DAY_S, &authority);
    certificates.future = make_identity(certificates.folder, "future", ours, DAY_S, 2 * DAY_S, &authority);
    certificates.other =
        make_identity(certificates.folder, "other", "DNS:other.example,IP:10.1.2.3", -100, DAY_S, &authority);
    certificates.unknown = make_identity(certificates.folder, "unknown", ours, -100, DAY_S, &stranger);
    free_authority(&authority);
    free_authority(&stranger);
    return sem_init(&slow_names, 0, 0);
}

static int remove_all(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r '%s'", certificates.folder);
    return system(command); /* NOLINT(cert-env33-c): the path is ours */
}

static void dial_tls(Fixture *f, const char *host)
{
    char url[96];
    snprintf(url, sizeof url, "wss://%s:%u/", host, server_port(f->server));
    make_target(f, url);
    snprintf(f->config.target.authority, sizeof f->config.target.authority, "localhost");
    make_link(f);
    link_dial(f->link);
}

static bool open_or_closed(Fixture *f)
{
    return f->opened + f->closed > 0;
}

/* --- certificates ------------------------------------------------------------------------------------------------------------ */

static void expect_open(Fixture *f, const Identity *identity, const char *host)
{
    serve_tls(f, identity->certificate, identity->key);
    dial_tls(f, host);
    wait_for(f, open_or_closed);
    if (!f->opened) fail_msg("%s", f->reason);
}

static void expect_refusal(Fixture *f, const Identity *identity, const char *host, const char *why)
{
    char text[512];
    serve_tls(f, identity->certificate, identity->key);
    dial_tls(f, host);
    wait_for(f, open_or_closed);
    snprintf(text, sizeof text, "cannot connect to %s:%u: %s", host, server_port(f->server), why);
    assert_string_equal(f->reason, text);
    assert_true(f->how.fatal);
    assert_int_equal(f->how.code, 0);
    assert_string_equal(f->server_log, "");
}

static void a_name_that_the_certificate_has(void **state)
{
    Fixture *f = *state;
    f->config.ca_file = certificates.ca_file;
    f->config.carries_secret = true;
    expect_open(f, &certificates.valid, "127.0.0.1.test");
}

static void an_address_that_the_certificate_has(void **state)
{
    Fixture *f = *state;
    f->config.ca_file = certificates.ca_file;
    expect_open(f, &certificates.valid, "127.0.0.1");
}

static void an_expired_certificate(void **state)
{
    Fixture *f = *state;
    char day[16];
    char text[128];
    time_t yesterday = time(NULL) - DAY_S;
    f->config.ca_file = certificates.ca_file;
    strftime(day, sizeof day, "%Y-%m-%d", gmtime(&yesterday));
    snprintf(text, sizeof text, "certificate of 127.0.0.1.test has expired (%s)", day);
    expect_refusal(f, &certificates.expired, "127.0.0.1.test", text);
}

static void a_certificate_of_tomorrow(void **state)
{
    Fixture *f = *state;
    f->config.ca_file = certificates.ca_file;
    serve_tls(f, certificates.future.certificate, certificates.future.key);
    dial_tls(f, "127.0.0.1");
    wait_for(f, open_or_closed);
    assert_non_null(strstr(f->reason, "is the clock of this machine right?"));
    assert_true(f->how.fatal);
}

static void a_certificate_for_somebody_else(void **state)
{
    Fixture *f = *state;
    f->config.ca_file = certificates.ca_file;
    expect_refusal(f, &certificates.other, "127.0.0.1.test",
                   "certificate is for other.example, 10.1.2.3, not for 127.0.0.1.test");
}

static void an_authority_that_nobody_knows(void **state)
{
    Fixture *f = *state;
    f->config.ca_file = certificates.ca_file;
    expect_refusal(
        f, &certificates.unknown, "127.0.0.1",
        "certificate is signed by an unknown authority: give it with --ca-file, or pin it with tls_fingerprint");
}

static void the_system_does_not_know_ours(void **state)
{
    expect_refusal(
        *state, &certificates.valid, "127.0.0.1",
        "certificate is signed by an unknown authority: give it with --ca-file, or pin it with tls_fingerprint");
}

static void allow_insecure_does_not_switch_verification_off(void **state)
{
    Fixture *f = *state;
    f->config.allow_insecure = true;
    expect_refusal(
        f, &certificates.unknown, "127.0.0.1",
        "certificate is signed by an unknown authority: give it with --ca-file, or pin it with tls_fingerprint");
}

static void a_pinned_certificate_is_trusted_whatever_it_says(void **state)
{
    Fixture *f = *state;
    f->config.tls_fingerprint = certificates.expired.fingerprint;
    expect_open(f, &certificates.expired, "127.0.0.1");
}

static void only_the_pinned_certificate_is_trusted(void **state)
{
    Fixture *f = *state;
    f->config.ca_file = certificates.ca_file;
    f->config.tls_fingerprint = certificates.other.fingerprint;
    serve_tls(f, certificates.valid.certificate, certificates.valid.key);
    dial_tls(f, "127.0.0.1");
    wait_for(f, open_or_closed);
    assert_true(f->how.fatal);
    assert_non_null(strstr(f->reason, "certificate of 127.0.0.1 is not the pinned one"));
    /* The one it has is told, in the form in which it may be set. */
    f->config.tls_fingerprint = strstr(f->reason, "set tls_fingerprint to ") + strlen("set tls_fingerprint to ");
    char told[128];
    snprintf(told, sizeof told, "%s", f->config.tls_fingerprint);
    f->config.tls_fingerprint = told;
    link_free(f->link);
    f->closed = 0;
    dial_tls(f, "127.0.0.1");
    wait_for(f, open_or_closed);
    assert_int_equal(f->opened, 1);
}

static void bad_settings_are_told_at_once(void **state)
{
    Fixture *f = *state;
    LinkSink sink = {.context = f};
    static const char *const fingerprints[] = {"", "00", "xyz", "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff"};
    char problem[256];
    make_target(f, "wss://gateway.example");
    f->config.max_message_bytes = 1000;
    for (size_t i = 0; i < sizeof fingerprints / sizeof *fingerprints; i++) {
        f->config.tls_fingerprint = fingerprints[i];
        assert_null(link_new(f->loop, &f->config, &sink, problem, sizeof problem));
        assert_string_equal(problem,
                            "tls_fingerprint is no SHA-256 fingerprint: 64 hex digits, with or without colons");
    }
    f->config.tls_fingerprint = NULL;
    f->config.ca_file = "/nonexistent.pem";
    assert_null(link_new(f->loop, &f->config, &sink, problem, sizeof problem));
    assert_string_equal(problem,
                        "cannot read the certificate authorities in /nonexistent.pem: No such file or directory");
    f->config.ca_file = certificates.valid.key;
    assert_null(link_new(f->loop, &f->config, &sink, problem, sizeof problem));
    assert_non_null(strstr(problem, "holds no certificate in PEM form"));
}

/* --- traffic ----------------------------------------------------------------------------------------------------------------- */

#define BIG_BYTES ((size_t)8 << 20)

static void send_small_and_big(Fixture *f)
{
    for (int i = 0; i < 100; i++)
        assert_true(send_text(f, "small"));
    Buffer big = buffer_with_headroom(BUFFER_FRAME_HEADROOM);
    memset(buffer_reserve(&big, BIG_BYTES), 'x', BIG_BYTES);
    buffer_commit(&big, BIG_BYTES);
    assert_true(link_send(f->link, &big));
    for (int i = 0; i < 100; i++)
        assert_true(send_text(f, "small"));
}

static void messages_of_all_sizes_go_both_ways(void **state)
{
    Fixture *f = *state;
    f->keep_texts = false;
    f->config.ca_file = certificates.ca_file;
    f->server_echoes = true;
    f->on_open = send_small_and_big;
    f->wanted = 201;
    serve_tls(f, certificates.valid.certificate, certificates.valid.key);
    dial_tls(f, "127.0.0.1");
    wait_for(f, has_texts);
    assert_int_equal(f->closed, 0);
    LinkStats stats;
    link_stats(f->link, &stats);
    assert_true(stats.bytes_in > BIG_BYTES && stats.bytes_out > BIG_BYTES);
    link_close(f->link, 1000, "");
    wait_for(f, both_closed);
    assert_int_equal(f->how.code, 1000);
}

/* A peer whose every record is read as it comes, also when reading was paused between them. */
static void pause_each_time(Fixture *f, Slice text)
{
    (void)text;
    link_pause(f->link, true);
    link_pause(f->link, false);
}

static void pauses_lose_nothing_that_openssl_holds(void **state)
{
    Fixture *f = *state;
    f->on_text = pause_each_time;
    messages_of_all_sizes_go_both_ways(state);
    assert_int_equal(f->texts, 201);
}

/* --- peers that do not speak it -------------------------------------------------------------------------------------------------- */

static void dial_tls_port(Fixture *f, unsigned port)
{
    char url[64];
    snprintf(url, sizeof url, "wss://127.0.0.1:%u/", port);
    dial(f, url);
}

static void answer_plain(int fd, void *context)
{
    (void)context;
    say_text(fd, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    shutdown(fd, SHUT_WR);
    hear_until_end(fd);
}

static void tls_to_a_plain_port(void **state)
{
    Fixture *f = *state;
    Script script;
    script_start(&script, answer_plain, NULL);
    dial_tls_port(f, script.port);
    wait_for(f, is_closed);
    script_join(&script);
    assert_non_null(strstr(f->reason, "the port does not speak TLS: use ws://"));
    assert_false(f->how.fatal);
}

static void hang_up(int fd, void *context)
{
    char bytes[4096];
    (void)context;
    (void)!recv(fd, bytes, sizeof bytes, 0);
}

static void tls_to_a_port_that_hangs_up(void **state)
{
    Fixture *f = *state;
    Script script;
    script_start(&script, hang_up, NULL);
    dial_tls_port(f, script.port);
    wait_for(f, is_closed);
    script_join(&script);
    assert_non_null(
        strstr(f->reason, "ended the connection in the TLS handshake: if it does not speak TLS, use ws://"));
}

static void say_nothing(int fd, void *context)
{
    (void)context;
    hear_until_end(fd);
}

static void tls_to_a_port_that_says_nothing(void **state)
{
    Fixture *f = *state;
    Script script;
    f->config.connect_ms = 50;
    script_start(&script, say_nothing, NULL);
    dial_tls_port(f, script.port);
    wait_for(f, is_closed);
    script_join(&script);
    assert_non_null(strstr(f->reason, "the TLS handshake did not finish in 1 s; does the port speak TLS?"));
}

static void plain_to_a_tls_port(void **state)
{
    Fixture *f = *state;
    serve_tls(f, certificates.valid.certificate, certificates.valid.key);
    dial_port(f, server_port(f->server));
    wait_for(f, open_or_closed);
    assert_int_equal(f->opened, 0);
    assert_non_null(strstr(f->reason, "cannot connect to 127.0.0.1:"));
}

static void answer_alert(int fd, void *context)
{
    (void)context;
    say(fd, "\x15\x03\x01\x00\x02\x02\x46", 7);
    hear_until_end(fd);
}

static void plain_to_a_port_that_answers_with_an_alert(void **state)
{
    Fixture *f = *state;
    Script script;
    script_start(&script, answer_alert, NULL);
    dial_port(f, script.port);
    wait_for(f, is_closed);
    script_join(&script);
    assert_non_null(strstr(f->reason, "wss://"));
}

/* A server that speaks TLS 1.1 at most. */
static void speak_old(int fd, void *context)
{
    (void)context;
    SSL_CTX *old = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_security_level(old, 0);
    SSL_CTX_set_min_proto_version(old, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(old, TLS1_1_VERSION);
    SSL_CTX_use_certificate_file(old, certificates.valid.certificate, SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(old, certificates.valid.key, SSL_FILETYPE_PEM);
    SSL *ssl = SSL_new(old);
    SSL_set_fd(ssl, fd);
    SSL_accept(ssl);
    SSL_free(ssl);
    SSL_CTX_free(old);
}

static void old_versions_are_refused(void **state)
{
    Fixture *f = *state;
    Script script;
    f->config.ca_file = certificates.ca_file;
    script_start(&script, speak_old, NULL);
    dial_tls_port(f, script.port);
    wait_for(f, is_closed);
    script_join(&script);
    assert_non_null(strstr(f->reason, "it speaks no TLS of version 1.2 or newer"));
}

/* --- through a proxy ------------------------------------------------------------------------------------------------------------- */

typedef struct {
    unsigned target_port;
    const char *refusal;
    char heard[1024];
} ProxyScript;

static void *pump(void *context)
{
    int *fds = context;
    char bytes[16384];
    ssize_t got;
    while ((got = recv(fds[0], bytes, sizeof bytes, 0)) > 0)
        say(fds[1], bytes, (size_t)got);
    shutdown(fds[1], SHUT_WR);
    return NULL;
}

static void be_proxy(int fd, void *context)
{
    ProxyScript *script = context;
    hear_head(fd, script->heard, sizeof script->heard);
    if (script->refusal) {
        say_text(fd, script->refusal);
        return;
    }
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)script->target_port)};
    inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
    int target = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(target, (struct sockaddr *)&at, sizeof at) == 0) {
        say_text(fd, "HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n");
        pthread_t back;
        int forth_fds[] = {fd, target};
        int back_fds[] = {target, fd};
        pthread_create(&back, NULL, pump, back_fds);
        pump(forth_fds);
        pthread_join(back, NULL);
    }
    close(target);
}

static void dial_through(Fixture *f, const char *url, unsigned proxy_port)
{
    char proxy[64];
    snprintf(proxy, sizeof proxy, "http://me:secret@127.0.0.1:%u", proxy_port);
    f->config.proxy = proxy;
    make_target(f, url);
    snprintf(f->config.target.authority, sizeof f->config.target.authority, "localhost");
    make_link(f);
    f->config.proxy = NULL;
    link_dial(f->link);
}

static void end_and_join(Fixture *f, Script *script)
{
    link_free(f->link);
    f->link = NULL;
    loop_stop(f->loop);
    loop_run(f->loop);
    script_join(script);
}

static bool hello_came(Fixture *f)
{
    return f->texts == 1;
}

static void say_hello(Fixture *f)
{
    send_text(f, "hello");
}

static void tls_goes_through_a_proxy(void **state)
{
    Fixture *f = *state;
    Script script;
    char url[96];
    serve_tls(f, certificates.valid.certificate, certificates.valid.key);
    ProxyScript proxy = {.target_port = server_port(f->server)};
    script_start(&script, be_proxy, &proxy);
    f->config.ca_file = certificates.ca_file;
    f->config.carries_secret = true;
    f->server_echoes = true;
    f->on_open = say_hello;
    snprintf(url, sizeof url, "wss://127.0.0.1.test:%u/", proxy.target_port);
    dial_through(f, url, script.port);
    wait_for(f, hello_came);
    link_close(f->link, 1000, "");
    wait_for(f, both_closed); /* so that both ends of the proxy's work are closed */
    end_and_join(f, &script);
    char expected[96];
    snprintf(expected, sizeof expected, "CONNECT 127.0.0.1.test:%u HTTP/1.1\r\n", proxy.target_port);
    assert_memory_equal(proxy.heard, expected, strlen(expected));
    assert_non_null(strstr(proxy.heard, "Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"));
}

static void a_proxy_that_refuses(void **state)
{
    Fixture *f = *state;
    Script script;
    ProxyScript proxy = {.refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"};
    script_start(&script, be_proxy, &proxy);
    dial_through(f, "wss://gateway.example/", script.port);
    wait_for(f, is_closed);
    script_join(&script);
    assert_int_equal(f->how.http_status, 407);
    assert_non_null(strstr(f->reason, "cannot connect to gateway.example:443: the proxy answered HTTP 407"));
    assert_null(strstr(f->reason, "secret"));
}

static void a_proxy_that_is_not_there(void **state)
{
    Fixture *f = *state;
    unsigned port;
    char expected[128];
    close(listen_at("127.0.0.1", 0, 1, &port));
    dial_through(f, "wss://gateway.example/", port);
    wait_for(f, is_closed);
    snprintf(expected, sizeof expected,
             "cannot connect to proxy 127.0.0.1:%u: connection refused; is the proxy running?", port);
    assert_string_equal(f->reason, expected);
}

static void a_proxy_that_says_nothing(void **state)
{
    Fixture *f = *state;
    Script script;
    f->config.connect_ms = 30;
    script_start(&script, say_nothing, NULL);
    dial_through(f, "wss://gateway.example/", script.port);
    wait_for(f, is_closed);
    script_join(&script);
    assert_non_null(strstr(f->reason, "cannot connect to gateway.example:443: proxy 127.0.0.1:"));
}

static void a_proxy_that_talks_too_much(void **state)
{
    Fixture *f = *state;
    Script script;
    ProxyScript proxy = {.refusal = "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n"};
    script_start(&script, be_proxy, &proxy);
    dial_through(f, "wss://gateway.example/", script.port);
    wait_for(f, is_closed);
    script_join(&script);
    assert_non_null(strstr(f->reason, "the proxy sent bytes of its own"));
}

static void a_secret_does_not_go_in_the_clear_through_a_proxy(void **state)
{
    Fixture *f = *state;
    f->config.carries_secret = true;
    dial_through(f, "ws://gateway.example/", 1);
    wait_for(f, is_closed);
    assert_true(f->how.fatal);
    assert_non_null(strstr(f->reason, "a name that the proxy looks up"));
    assert_non_null(strstr(f->reason, "--allow-insecure"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINK_TEST(a_name_that_the_certificate_has),
        LINK_TEST(an_address_that_the_certificate_has),
        LINK_TEST(an_expired_certificate),
        LINK_TEST(a_certificate_of_tomorrow),
        LINK_TEST(a_certificate_for_somebody_else),
        LINK_TEST(an_authority_that_nobody_knows),
        LINK_TEST(the_system_does_not_know_ours),
        LINK_TEST(allow_insecure_does_not_switch_verification_off),
        LINK_TEST(a_pinned_certificate_is_trusted_whatever_it_says),
        LINK_TEST(only_the_pinned_certificate_is_trusted),
        LINK_TEST(bad_settings_are_told_at_once),
        LINK_TEST(messages_of_all_sizes_go_both_ways),
        LINK_TEST(pauses_lose_nothing_that_openssl_holds),
        LINK_TEST(tls_to_a_plain_port),
        LINK_TEST(tls_to_a_port_that_hangs_up),
        LINK_TEST(tls_to_a_port_that_says_nothing),
        LINK_TEST(plain_to_a_tls_port),
        LINK_TEST(plain_to_a_port_that_answers_with_an_alert),
        LINK_TEST(old_versions_are_refused),
        LINK_TEST(tls_goes_through_a_proxy),
        LINK_TEST(a_proxy_that_refuses),
        LINK_TEST(a_proxy_that_is_not_there),
        LINK_TEST(a_proxy_that_says_nothing),
        LINK_TEST(a_proxy_that_talks_too_much),
        LINK_TEST(a_secret_does_not_go_in_the_clear_through_a_proxy),
    };
    return cmocka_run_group_tests_name("link_tls", tests, make_all, remove_all);
}
