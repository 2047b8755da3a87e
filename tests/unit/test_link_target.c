/* URLs of gateways, what an address says about the way to it, and the proxy that the environment names. */
#include "net/address.h"
#include "net/link.h"
#include "net/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct {
    const char *url;
    bool tls;
    const char *host, *authority, *path;
    unsigned port;
} Good;

static void urls_that_people_write(void **state)
{
    (void)state;
    static const Good good[] = {
        {"ws://127.0.0.1:18789/", false, "127.0.0.1", "127.0.0.1:18789", "/", 18789},
        {"ws://127.0.0.1:18789", false, "127.0.0.1", "127.0.0.1:18789", "/", 18789},
        {"wss://gateway.example", true, "gateway.example", "gateway.example", "/", 443},
        {"wss://gateway.example:443/a/b?c=d#e", true, "gateway.example", "gateway.example", "/a/b?c=d", 443},
        {"WSS://Gateway.Example:8443", true, "Gateway.Example", "Gateway.Example:8443", "/", 8443},
        {"http://localhost:18789/ui", false, "localhost", "localhost:18789", "/ui", 18789},
        {"https://host_1", true, "host_1", "host_1", "/", 443},
        {"ws://host?x=1", false, "host", "host", "/?x=1", 80},
        {"ws://[::1]:18789/", false, "::1", "[::1]:18789", "/", 18789},
        {"ws://[fe80::1]", false, "fe80::1", "[fe80::1]", "/", 80},
        {"ws://host.:1/", false, "host.", "host.:1", "/", 1},
        {"ws://host:65535/", false, "host", "host:65535", "/", 65535},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        LinkTarget target;
        char problem[128] = "";
        if (!link_target_parse(good[i].url, &target, problem, sizeof problem)) fail_msg("%s: %s", good[i].url, problem);
        assert_int_equal(target.tls, good[i].tls);
        assert_string_equal(target.host, good[i].host);
        assert_string_equal(target.authority, good[i].authority);
        assert_string_equal(target.path, good[i].path);
        assert_int_equal(target.port, good[i].port);
    }
}

static void urls_that_are_none(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"", "ws://"},
        {"127.0.0.1:18789", "ws://"},
        {"ftp://host", "ws://"},
        {"ws:/host", "ws://"},
        {"ws://", "no host"},
        {"ws:///path", "no host"},
        {"ws://:18789", "no host"},
        {"ws://host:", "port"},
        {"ws://host:0", "port"},
        {"ws://host:65536", "port"},
        {"ws://host:99999999999", "port"},
        {"ws://host:12x", "port"},
        {"ws://host:-1", "port"},
        {"ws://::1:18789", "brackets"},
        {"ws://[::1", "bracket"},
        {"ws://[::1]x", "host"},
        {"ws://[localhost]:1", "IPv6"},
        {"ws://[127.0.0.1]:1", "IPv6"},
        {"ws://user:secret@host", "user name"},
        {"ws://token@host", "user name"},
        {"ws://ho st", "blank"},
        {"ws://host/\r\nX: y", "blank"},
        {"ws://h\xc3\xb6st", "ASCII"},
        {"ws://-..-", "host"},
        {"ws://a..b", "host"},
        {"ws://ho%73t", "host"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        LinkTarget target;
        char problem[128] = "";
        if (link_target_parse(bad[i][0], &target, problem, sizeof problem)) fail_msg("taken for a URL: %s", bad[i][0]);
        if (!strstr(problem, bad[i][1]) || strstr(problem, "secret")) fail_msg("%s: %s", bad[i][0], problem);
    }
}

static void long_urls_are_refused_not_cut(void **state)
{
    (void)state;
    for (size_t size = 200; size < 2000; size += 50) {
        char url[2100] = "ws://host/";
        LinkTarget target;
        char problem[128] = "";
        memset(url + 10, 'p', size);
        bool taken = link_target_parse(url, &target, problem, sizeof problem);
        assert_int_equal(taken, size + 1 < sizeof target.path);
        if (taken) assert_int_equal(strlen(target.path), size + 1);
        memset(url + 5, 'h', size);
        assert_false(link_target_parse(url, &target, problem, sizeof problem));
    }
}

static void addresses_have_classes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool loopback, private;
    } cases[] = {
        {"127.0.0.1", true, true},
        {"127.255.255.254", true, true},
        {"::1", true, true},
        {"::ffff:127.0.0.1", true, true},
        {"10.0.0.1", false, true},
        {"11.0.0.1", false, false},
        {"172.15.255.255", false, false},
        {"172.16.0.0", false, true},
        {"172.31.255.255", false, true},
        {"172.32.0.0", false, false},
        {"192.168.255.1", false, true},
        {"192.169.0.1", false, false},
        {"169.254.0.1", false, true},
        {"100.63.255.255", false, false},
        {"100.64.0.0", false, true},
        {"100.127.255.255", false, true},
        {"100.128.0.0", false, false},
        {"8.8.8.8", false, false},
        {"0.0.0.0", false, false},
        {"fc00::1", false, true},
        {"fdff::1", false, true},
        {"fe00::1", false, false},
        {"fe80::1", false, true},
        {"febf::1", false, true},
        {"fec0::1", false, false},
        {"2001:db8::1", false, false},
        {"::ffff:10.1.2.3", false, true},
        {"::ffff:8.8.8.8", false, false},
        {"::", false, false},
        {"::7f00:1", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Address address;
        assert_true(address_parse(cases[i].text, 1, &address));
        if (address_is_loopback(&address) != cases[i].loopback || address_is_private(&address) != cases[i].private)
            fail_msg("%s", cases[i].text);
    }
    Address address;
    assert_false(address_parse("host", 1, &address));
    assert_false(address_parse("", 1, &address));
    assert_false(address_parse("1.2.3.4.5", 1, &address));
}

static void families_take_turns(void **state)
{
    (void)state;
    static const char *const order[] = {"::1", "::2", "::3", "10.0.0.1", "10.0.0.2"};
    static const char *const expected[] = {"::1", "10.0.0.1", "::2", "10.0.0.2", "::3"};
    AddressList list = {.count = 0};
    for (size_t i = 0; i < 5; i++) {
        Address address;
        assert_true(address_parse(order[i], 1, &address));
        address_list_add(&list, &address.at.any, address.size);
    }
    address_list_interleave(&list);
    assert_int_equal(list.count, 5);
    for (size_t i = 0; i < 5; i++) {
        char text[ADDRESS_TEXT_SIZE];
        address_format(&list.at[i], text);
        assert_string_equal(text, expected[i]);
    }
}

static void too_many_addresses_are_left_out(void **state)
{
    (void)state;
    AddressList list = {.count = 0};
    Address address;
    assert_true(address_parse("10.0.0.1", 1, &address));
    for (int i = 0; i < 100; i++)
        address_list_add(&list, &address.at.any, address.size);
    assert_int_equal(list.count, ADDRESS_LIST_MAX);
    address_list_interleave(&list);
    assert_int_equal(list.count, ADDRESS_LIST_MAX);
}

static void loopback_names(void **state)
{
    (void)state;
    static const char *const yes[] = {"localhost", "LOCALHOST", "a.localhost", "127.0.0.1", "127.1.2.3", "::1"};
    static const char *const no[] = {
        "localhost.example", "notlocalhost", ".localhost.x", "10.0.0.1", "::2", "", "example"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        assert_true(link_host_is_loopback(yes[i]));
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        assert_false(link_host_is_loopback(no[i]));
}

/* --- the proxy --------------------------------------------------------------------------------------------------------------- */

static int no_proxy_set(void **state)
{
    static const char *const names[] = {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY",
                                        "all_proxy",  "ALL_PROXY",  "no_proxy",    "NO_PROXY"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    return 0;
}

static const char *proxy_for(const char *url)
{
    LinkTarget target;
    char problem[128];
    assert_true(link_target_parse(url, &target, problem, sizeof problem));
    return link_proxy_from_environment(&target);
}

static void the_environment_names_the_proxy(void **state)
{
    (void)state;
    assert_null(proxy_for("wss://gateway.example"));
    setenv("ALL_PROXY", "http://all:1", 1);
    assert_string_equal(proxy_for("wss://gateway.example"), "http://all:1");
    setenv("HTTPS_PROXY", "http://https:1", 1);
    setenv("HTTP_PROXY", "http://http:1", 1);
    assert_string_equal(proxy_for("wss://gateway.example"), "http://https:1");
    assert_string_equal(proxy_for("ws://gateway.example"), "http://http:1");
    setenv("https_proxy", "http://lower:1", 1);
    assert_string_equal(proxy_for("wss://gateway.example"), "http://lower:1");
    assert_null(proxy_for("ws://127.0.0.1:18789"));
    assert_null(proxy_for("ws://localhost:18789"));
    assert_null(proxy_for("ws://[::1]:18789"));
}

static void no_proxy_exempts(void **state)
{
    static const struct {
        const char *list, *url;
        bool exempt;
    } cases[] = {
        {"gateway.example", "wss://gateway.example", true},
        {"example", "wss://gateway.example", true},
        {".example", "wss://gateway.example", true},
        {"way.example", "wss://gateway.example", false},
        {"EXAMPLE", "wss://gateway.example.", true},
        {"*", "wss://anything", true},
        {"a, b ,gateway.example", "wss://gateway.example", true},
        {"a,b", "wss://gateway.example", false},
        {"10.0.0.1", "ws://10.0.0.1", true},
        {"0.0.1", "ws://10.0.0.1", false},
        {"[fd00::1]", "ws://[fd00::1]:1", true},
        {"fd00::1", "ws://[fd00::1]:1", true},
        {",,", "wss://gateway.example", false},
        {"gateway.example.org", "wss://gateway.example", false},
    };
    (void)state;
    setenv("ALL_PROXY", "http://all:1", 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv("NO_PROXY", cases[i].list, 1);
        if ((proxy_for(cases[i].url) == NULL) != cases[i].exempt) fail_msg("%s / %s", cases[i].list, cases[i].url);
    }
}

static void proxy_values(void **state)
{
    static const struct {
        const char *value, *host, *credentials;
        unsigned port;
    } good[] = {
        {"http://proxy:3128", "proxy", NULL, 3128},
        {"http://proxy:3128/", "proxy", NULL, 3128},
        {"proxy:8080", "proxy", NULL, 8080},
        {"http://proxy", "proxy", NULL, 1080},
        {"http://[::1]:3128", "::1", NULL, 3128},
        {"http://[::1]", "::1", NULL, 1080},
        {"http://me:s%40cret@proxy:1", "proxy", "me:s@cret", 1},
        {"me:p@ss@proxy:1", "proxy", "me:p@ss", 1},
        {"http://100%25@proxy:1", "proxy", "100%", 1},
        {"http://100%@proxy:1", "proxy", "100%", 1},
    };
    static const char *const bad[] = {"socks5://proxy:1",
                                      "https://proxy:1",
                                      "http://",
                                      "http://me:secret@",
                                      "http://a b:1",
                                      "http://proxy:0",
                                      "http://me:se%0acret@proxy:1",
                                      ""};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        Proxy proxy;
        char problem[256] = "";
        if (!proxy_parse(good[i].value, &proxy, problem, sizeof problem)) fail_msg("%s: %s", good[i].value, problem);
        assert_string_equal(proxy.host, good[i].host);
        assert_int_equal(proxy.port, good[i].port);
        if (good[i].credentials)
            assert_string_equal(proxy.credentials, good[i].credentials);
        else
            assert_null(proxy.credentials);
        proxy_clear(&proxy);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Proxy proxy;
        char problem[256] = "";
        assert_false(proxy_parse(bad[i], &proxy, problem, sizeof problem));
        assert_non_null(strstr(problem, "proxy"));
        assert_null(strstr(problem, "secret"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_that_people_write),
        cmocka_unit_test(urls_that_are_none),
        cmocka_unit_test(long_urls_are_refused_not_cut),
        cmocka_unit_test(addresses_have_classes),
        cmocka_unit_test(families_take_turns),
        cmocka_unit_test(too_many_addresses_are_left_out),
        cmocka_unit_test(loopback_names),
        cmocka_unit_test_setup(the_environment_names_the_proxy, no_proxy_set),
        cmocka_unit_test_setup(no_proxy_exempts, no_proxy_set),
        cmocka_unit_test(proxy_values),
    };
    return cmocka_run_group_tests_name("link_target", tests, NULL, NULL);
}
