/* test_ws_handshake.c - the upgrade and the CONNECT: what is asked, what is accepted, and how a refusal reads.
 *
 * Every answer is given whole and at every length, in an allocation of exactly that size, so that the sanitizer sees a
 * read beyond it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "protocol/ws_handshake.h"

/* the example of RFC 6455, section 1.3 */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define SWITCHING "HTTP/1.1 101 Switching Protocols\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define ACCEPTED "Sec-WebSocket-Accept: " ACCEPT "\r\n"

typedef enum { UPGRADE_ANSWER, PROXY_ANSWER } Kind;

static WsHandshakeResult read_copy(Kind kind, Slice bytes, bool ended, WsHandshakeAnswer *answer)
{
    char *copy = malloc(bytes.size ? bytes.size : 1);
    Slice received = slice_make(copy, bytes.size);
    WsHandshakeResult result;

    if (bytes.size) memcpy(copy, bytes.data, bytes.size);
    result = kind == PROXY_ANSWER ? ws_handshake_read_proxy(received, ended, answer)
                                  : ws_handshake_read(received, KEY, ended, answer);
    free(copy);
    return result;
}

/* The bytes are refused with `message`, as soon as it can be known and from then on. */
static void assert_refused(Kind kind, Slice bytes, bool ended, int status, const char *message)
{
    WsHandshakeAnswer answer;
    bool is_decided = false;

    if (read_copy(kind, bytes, ended, &answer) != WS_HANDSHAKE_REFUSED) {
        fail_msg("not refused, but should be: %s", message);
    }
    assert_string_equal(answer.message, message);
    assert_int_equal(answer.status, status);
    for (size_t size = 0; size < bytes.size; size++) {
        WsHandshakeResult result = read_copy(kind, slice_make(bytes.data, size), false, &answer);

        assert_int_not_equal(result, WS_HANDSHAKE_DONE);
        if (result == WS_HANDSHAKE_MORE) {
            assert_false(is_decided);
            continue;
        }
        is_decided = true;
        assert_string_equal(answer.message, message);
        assert_int_equal(answer.status, status);
    }
}

static void refused(const char *bytes, int status, const char *message)
{
    assert_refused(UPGRADE_ANSWER, slice_of(bytes), false, status, message);
}

static void refused_at_the_end(const char *bytes, int status, const char *message)
{
    WsHandshakeAnswer answer;

    assert_int_equal(read_copy(UPGRADE_ANSWER, slice_of(bytes), false, &answer), WS_HANDSHAKE_MORE);
    assert_refused(UPGRADE_ANSWER, slice_of(bytes), true, status, message);
}

/* Accepted with its last byte, not before, and not changed by frames behind it. */
static void accepted(Kind kind, const char *bytes)
{
    WsHandshakeAnswer answer;
    size_t size = strlen(bytes);
    Buffer with_frames = {0};

    for (size_t part = 0; part < size; part++) {
        assert_int_equal(read_copy(kind, slice_make(bytes, part), false, &answer), WS_HANDSHAKE_MORE);
    }
    if (read_copy(kind, slice_of(bytes), false, &answer) != WS_HANDSHAKE_DONE) fail_msg("%s", answer.message);
    assert_int_equal(answer.used_bytes, size);
    buffer_append_text(&with_frames, bytes);
    buffer_append_text(&with_frames, "\x81\x05Hello\r\n\r\n");
    assert_int_equal(read_copy(kind, buffer_slice(&with_frames), false, &answer), WS_HANDSHAKE_DONE);
    assert_int_equal(answer.used_bytes, size);
    buffer_free(&with_frames);
}

static void the_key_is_base64(void **state)
{
    char key[WS_HANDSHAKE_KEY_SIZE];

    (void)state;
    ws_handshake_key((const uint8_t *)"the sample nonce", key);
    assert_string_equal(key, KEY);
}

static void the_request_as_a_whole(void **state)
{
    Buffer out = {0};

    (void)state;
    ws_handshake_write(&out, "[::1]:18789", "/path?query=1", KEY, NULL);
    assert_true(slice_is(buffer_slice(&out), "GET /path?query=1 HTTP/1.1\r\n"
                                             "Host: [::1]:18789\r\n"
                                             "Upgrade: websocket\r\n"
                                             "Connection: Upgrade\r\n"
                                             "Sec-WebSocket-Key: " KEY "\r\n"
                                             "Sec-WebSocket-Version: 13\r\n"
                                             "\r\n"));
    buffer_clear(&out);
    ws_handshake_write(&out, "gateway.example", "/", KEY, "https://gateway.example");
    buffer_append_char(&out, '\0');
    assert_non_null(strstr(buffer_slice(&out).data, "\r\nOrigin: https://gateway.example\r\n\r\n"));
    buffer_free(&out);
}

static void the_request_to_a_proxy(void **state)
{
    Buffer out = {0};

    (void)state;
    ws_handshake_write_proxy(&out, "gateway.example:443", NULL);
    assert_true(
        slice_is(buffer_slice(&out), "CONNECT gateway.example:443 HTTP/1.1\r\nHost: gateway.example:443\r\n\r\n"));
    buffer_clear(&out);
    ws_handshake_write_proxy(&out, "h:1", "Aladdin:open sesame");
    assert_true(slice_is(buffer_slice(&out), "CONNECT h:1 HTTP/1.1\r\n"
                                             "Host: h:1\r\n"
                                             "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"
                                             "\r\n"));
    buffer_clear(&out);
    ws_handshake_write_proxy(&out, "h:1", "u:\r\nX: injected"); /* comes out as base64 */
    buffer_append_char(&out, '\0');
    assert_null(strstr(buffer_slice(&out).data, "injected"));
    buffer_free(&out);
}

static void nothing_can_be_injected(void **state)
{
    static const char *const bad[] = {"a\r\nX: y", "a\nb", "a b", "a\tb", "", "a\x7F", "\xC3\xA4", " "};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        Buffer out[6] = {0};
        Buffer target = {0};

        buffer_append_format(&target, "/%s ", bad[i]);
        buffer_append_char(&target, '\0');
        ws_handshake_write(&out[0], bad[i], "/", KEY, NULL);
        ws_handshake_write(&out[1], "h", target.base, KEY, NULL);
        ws_handshake_write(&out[2], "h", "/", bad[i], NULL);
        ws_handshake_write(&out[3], "h", "/", KEY, bad[i]);
        ws_handshake_write_proxy(&out[4], bad[i], NULL);
        ws_handshake_write(&out[5], "h", "no/slash", KEY, NULL);
        for (size_t k = 0; k < sizeof out / sizeof out[0]; k++) {
            assert_true(out[k].failed);
            assert_int_equal(buffer_size(&out[k]), 0);
            buffer_free(&out[k]);
        }
        buffer_free(&target);
    }
}

static void answers_that_are_accepted(void **state)
{
    (void)state;
    accepted(UPGRADE_ANSWER, SWITCHING UPGRADE ACCEPTED "\r\n");
    accepted(UPGRADE_ANSWER, "HTTP/1.1 101\r\nupgrade:WebSocket\r\nCONNECTION: keep-alive,\tUPGRADE \r\n"
                             "sec-websocket-accept:" ACCEPT "\t\r\nServer: x/1 (\xC3\xA4)\r\n\r\n");
    accepted(UPGRADE_ANSWER, SWITCHING "Connection: keep-alive\r\n" UPGRADE ACCEPTED "Connection: foo\r\n\r\n");
    accepted(UPGRADE_ANSWER,
             SWITCHING UPGRADE ACCEPTED "Sec-WebSocket-Extensions: \r\nSec-WebSocket-Protocol:\r\n\r\n");
    accepted(UPGRADE_ANSWER, "HTTP/1.1 101 Switching\nUpgrade: websocket\nConnection: upgrade\n"
                             "Sec-WebSocket-Accept: " ACCEPT "\n\n");
    accepted(UPGRADE_ANSWER,
             "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" SWITCHING UPGRADE ACCEPTED
             "\r\n");
    accepted(PROXY_ANSWER, "HTTP/1.1 200 Connection established\r\n\r\n");
    accepted(PROXY_ANSWER, "HTTP/1.0 200 OK\r\nProxy-Agent: x\r\nContent-Length: 5\r\n\r\n");
}

static void upgrades_that_are_wrong(void **state)
{
    (void)state;
    refused(SWITCHING "Connection: Upgrade\r\n" ACCEPTED "\r\n", 101,
            "the server switched to something else than WebSocket");
    refused(SWITCHING "Upgrade: h2c\r\nConnection: Upgrade\r\n" ACCEPTED "\r\n", 101,
            "the server switched to something else than WebSocket");
    refused(SWITCHING "Upgrade: h2c\r\n" UPGRADE ACCEPTED "\r\n", 101,
            "the server switched to something else than WebSocket");
    refused(SWITCHING "Upgrade: websocket\r\n" ACCEPTED "\r\n", 101, "the server's answer lacks `Connection: Upgrade`");
    refused(SWITCHING "Upgrade: websocket\r\nConnection: upgrades, up grade\r\n" ACCEPTED "\r\n", 101,
            "the server's answer lacks `Connection: Upgrade`");
    refused("HTTP/1.0 101 Switching Protocols\r\n" UPGRADE ACCEPTED "\r\n", 101,
            "the server answered the upgrade with HTTP/1.0");
    refused(SWITCHING UPGRADE ACCEPTED "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", 101,
            "the server agreed to an extension that was not asked for: permessage-deflate");
    refused(SWITCHING UPGRADE ACCEPTED "Sec-WebSocket-Protocol: chat\x80\r\n\r\n", 101,
            "the server chose a subprotocol that was not asked for: chat?");
}

static void accepts_that_are_wrong(void **state)
{
    static const char message[] =
        "the server's Sec-WebSocket-Accept does not belong to this request: does a cache answer?";

    (void)state;
    refused(SWITCHING UPGRADE "\r\n", 101, message);
    refused(SWITCHING UPGRADE "Sec-WebSocket-Accept:\r\n\r\n", 101, message);
    refused(SWITCHING UPGRADE "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", 101, message);
    refused(SWITCHING UPGRADE "Sec-WebSocket-Accept: " KEY "\r\n\r\n", 101, message);
    refused(SWITCHING UPGRADE ACCEPTED ACCEPTED "\r\n", 101, message);
    refused(SWITCHING UPGRADE ACCEPTED "Sec-WebSocket-Accept: x\r\n\r\n", 101, message);
}

static void malformed_headers(void **state)
{
    static const char message[] = "the server's answer to the upgrade has a malformed header";
    static const char zero[] = SWITCHING UPGRADE ACCEPTED "X: a\0b\r\n\r\n";

    (void)state;
    refused(SWITCHING UPGRADE ACCEPTED "no colon\r\n\r\n", 101, message);
    refused(SWITCHING UPGRADE ACCEPTED ": no name\r\n\r\n", 101, message);
    refused(SWITCHING UPGRADE ACCEPTED "Space : before\r\n\r\n", 101, message);
    refused(SWITCHING UPGRADE ACCEPTED "X: a\r\n folded\r\n\r\n", 101, message);
    refused(SWITCHING UPGRADE ACCEPTED "X: a\rb\r\n\r\n", 101, message);
    refused(SWITCHING UPGRADE ACCEPTED "X: \x1B[2J\r\n\r\n", 101, message);
    assert_refused(UPGRADE_ANSWER, slice_make(zero, sizeof zero - 1), false, 101, message);
}

static void what_is_not_http(void **state)
{
    static const char not_http[] = "the server does not speak HTTP: is the port right?";
    static const char not_http_1[] = "the server's answer is not HTTP/1.1: is the port right?";

    (void)state;
    refused("SSH-2.0-OpenSSH_9.2p1\r\n", 0, not_http);
    refused("220 mail ESMTP\r\n", 0, not_http);
    refused("\r\nHTTP/1.1 101 x\r\n", 0, not_http);
    refused("HTTP/2 200\r\n\r\n", 0, not_http);
    refused("http/1.1 101 x\r\n\r\n", 0, not_http);
    refused("\x15\x01", 0, not_http);
    assert_refused(UPGRADE_ANSWER, slice_make("\0\0\x12\x04\0", 5), false, 0, not_http); /* HTTP/2 without asking */
    refused("HTTP/1.1\r\n", 0, not_http_1);
    refused("HTTP/1.1 1\r\n", 0, not_http_1);
    refused("HTTP/1.1 1x1 x\r\n", 0, not_http_1);
    refused("HTTP/1.1 1010 x\r\n", 0, not_http_1);
    refused("HTTP/1.1 099 x\r\n", 0, not_http_1);
    refused("HTTP/1.x 101 x\r\n", 0, not_http_1);
    refused("HTTP/1.1  101 x\r\n", 0, not_http_1);
    assert_refused(UPGRADE_ANSWER, slice_make("\x15\x03\x01\x00\x02\x02\x46", 7), false, 0,
                   "the server speaks TLS: use wss://");
    assert_refused(UPGRADE_ANSWER, slice_make("\x16\x03\x03\x00\x50", 5), false, 0,
                   "the server speaks TLS: use wss://");
    assert_refused(PROXY_ANSWER, slice_make("\x15\x03\x03", 3), false, 0, "the proxy speaks TLS: use https:// for it");
    assert_refused(PROXY_ANSWER, slice_of("\x05\xFF"), false, 0, "the proxy does not speak HTTP: is the port right?");
}

static void connections_that_end_early(void **state)
{
    (void)state;
    refused_at_the_end("", 0, "the server closed the connection without an answer");
    refused_at_the_end("HTT", 0, "the server closed the connection in the middle of its answer");
    refused_at_the_end(SWITCHING UPGRADE ACCEPTED "\r", 0,
                       "the server closed the connection in the middle of its answer");
    refused_at_the_end("HTTP/1.1 100 Continue\r\n\r\n", 0,
                       "the server closed the connection in the middle of its answer");
    refused_at_the_end("HTTP/1.1 503 Unavailable\r\n", 0,
                       "the server closed the connection in the middle of its answer");
    refused_at_the_end("\x15", 0, "the server does not speak HTTP: is the port right?");
}

static void other_statuses_say_what_the_server_says(void **state)
{
    (void)state;
    refused("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 16\r\n\r\ntoo many clients", 503,
            "HTTP 503: too many clients");
    refused("HTTP/1.1 503 Service Unavailable\r\n\r\n\r\n \t\r\n  too many clients  \r\nsecond line", 503,
            "HTTP 503: too many clients");
    refused("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", 401, "HTTP 401: Unauthorized");
    refused("HTTP/1.1 401\r\nContent-Length: 0\r\n\r\n", 401, "HTTP 401");
    refused("HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n0C;x=y\r\nnot from here\r\n0\r\n\r\n", 403,
            "HTTP 403: not from her");
    refused("HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 403, "HTTP 403: Forbidden");
    refused("HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n\r\n<html>\r\n<head><title>502 Bad "
            "Gateway</title></head>",
            502, "HTTP 502: 502 Bad Gateway");
    refused("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 13\r\n\r\n<html></html>", 502, "HTTP 502: Bad Gateway");
    refused("HTTP/1.1 400 Bad\r\nno header\r\n\r\nclient sent an HTTP request to an HTTPS server.\n", 400,
            "HTTP 400: client sent an HTTP request to an HTTPS server.");
    refused_at_the_end("HTTP/1.1 503 Service Unavailable\r\n\r\n", 503, "HTTP 503: Service Unavailable");
    refused_at_the_end("HTTP/1.1 503 Service Unavailable\r\n\r\nhalf a li", 503, "HTTP 503: half a li");
    refused_at_the_end("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 100\r\n\r\nshort", 503, "HTTP 503: short");
}

static void http_servers_and_redirects_are_named(void **state)
{
    (void)state;
    refused("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", 200,
            "the server answered HTTP 200 instead of switching to WebSocket: is the address that of a gateway?");
    refused("HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\n\r\n", 302,
            "HTTP 302: redirected to https://login.example/, which must be given as the address");
    refused("HTTP/1.1 304 Not Modified\r\n\r\n", 304, "HTTP 304: Not Modified");
    assert_refused(PROXY_ANSWER, slice_of("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"),
                   false, 407, "the proxy answered HTTP 407: Proxy Authentication Required");
    assert_refused(PROXY_ANSWER, slice_of("HTTP/1.1 200 OK\r\nbad\r\n\r\n"), false, 200,
                   "the proxy's answer has a malformed header");
}

static void what_the_server_says_cannot_harm_a_terminal(void **state)
{
    Buffer answer = {0};
    WsHandshakeAnswer read;

    (void)state;
    refused("HTTP/1.1 403 x\r\n\r\n\x1B]0;title\a\x1B[31mr\xC3\xB6t\x7F\xC2\x9B"
            "2J\rb\n",
            403, "HTTP 403: ]0;title[31mr\xC3\xB6t2Jb");
    refused("HTTP/1.1 403 x\r\n\r\nlatin \xE4 and \x9B\n", 403, "HTTP 403: latin ? and ?");

    /* only the first 512 bytes of a body are looked at */
    buffer_append_text(&answer, "HTTP/1.1 403 Forbidden\r\n\r\n");
    for (int i = 0; i < 512; i++)
        buffer_append_char(&answer, '\n');
    buffer_append_text(&answer, "too late\n");
    assert_refused(UPGRADE_ANSWER, buffer_slice(&answer), false, 403, "HTTP 403: Forbidden");
    buffer_clear(&answer);

    /* long lines are cut between characters */
    buffer_append_text(&answer, "HTTP/1.1 403 x\r\n\r\n.");
    for (int i = 0; i < 1000; i++)
        buffer_append_text(&answer, "\xC3\xB6");
    assert_int_equal(read_copy(UPGRADE_ANSWER, buffer_slice(&answer), false, &read), WS_HANDSHAKE_REFUSED);
    assert_int_equal(strlen(read.message), strlen("HTTP 403: .") + 158);
    assert_int_equal((uint8_t)read.message[strlen(read.message) - 1], 0xB6);
    buffer_free(&answer);
}

static void a_header_without_end_is_refused(void **state)
{
    Buffer answer = {0};
    WsHandshakeAnswer read;

    (void)state;
    buffer_append_text(&answer, SWITCHING UPGRADE ACCEPTED "X: ");
    while (buffer_size(&answer) < WS_HANDSHAKE_MAX_BYTES - 4)
        buffer_append_char(&answer, 'x');
    buffer_append_text(&answer, "\r\n\r\n");
    assert_int_equal(read_copy(UPGRADE_ANSWER, buffer_slice(&answer), false, &read), WS_HANDSHAKE_DONE);
    assert_int_equal(read.used_bytes, WS_HANDSHAKE_MAX_BYTES);

    answer.end -= 4;
    buffer_append_text(&answer, "x\r\n");
    assert_int_equal(read_copy(UPGRADE_ANSWER, buffer_slice(&answer), false, &read), WS_HANDSHAKE_MORE);
    buffer_append_text(&answer, "\r\n");
    assert_int_equal(read_copy(UPGRADE_ANSWER, buffer_slice(&answer), false, &read), WS_HANDSHAKE_REFUSED);
    assert_string_equal(read.message, "the server's answer has a header of more than 16384 bytes");
    buffer_free(&answer);
}

static void retry_after_is_read(void **state)
{
    static const struct {
        const char *value;
        int64_t expected_ms;
    } cases[] = {{"7", 7000}, {" 120 ", 120000}, {"999999999", 999999999000},          {"1000000000", -1}, {"-1", -1},
                 {"", -1},    {"1.5", -1},       {"Wed, 21 Oct 2026 07:28:00 GMT", -1}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buffer bytes = {0};
        WsHandshakeAnswer answer;

        buffer_append_format(&bytes, "HTTP/1.1 503 x\r\nRetry-After:%s\r\nContent-Length: 0\r\n\r\n", cases[i].value);
        assert_int_equal(read_copy(UPGRADE_ANSWER, buffer_slice(&bytes), false, &answer), WS_HANDSHAKE_REFUSED);
        assert_true(answer.retry_after_ms == cases[i].expected_ms);
        buffer_free(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_is_base64),
        cmocka_unit_test(the_request_as_a_whole),
        cmocka_unit_test(the_request_to_a_proxy),
        cmocka_unit_test(nothing_can_be_injected),
        cmocka_unit_test(answers_that_are_accepted),
        cmocka_unit_test(upgrades_that_are_wrong),
        cmocka_unit_test(accepts_that_are_wrong),
        cmocka_unit_test(malformed_headers),
        cmocka_unit_test(what_is_not_http),
        cmocka_unit_test(connections_that_end_early),
        cmocka_unit_test(other_statuses_say_what_the_server_says),
        cmocka_unit_test(http_servers_and_redirects_are_named),
        cmocka_unit_test(what_the_server_says_cannot_harm_a_terminal),
        cmocka_unit_test(a_header_without_end_is_refused),
        cmocka_unit_test(retry_after_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
