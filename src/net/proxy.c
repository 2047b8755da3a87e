/* proxy.c - which proxy the environment names for a target, and what its value says. */
#include "net/proxy.h"

#include "net/address.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define PROXY_DEFAULT_PORT 1080 /* curl's, too */

/* --- the environment --------------------------------------------------------------------------------------------------------- */

static const char *from_environment(const char *lower, const char *upper)
{
    const char *value = getenv(lower);
    if (!value || !*value) value = getenv(upper);
    return value && *value ? value : NULL;
}

/* One entry of NO_PROXY: a host or a domain, with or without a dot in front; an IPv6 address with or without brackets. */
static bool entry_matches(Slice entry, const char *host, bool host_is_address)
{
    if (slice_is(entry, "*")) return true;
    if (entry.size >= 2 && entry.data[0] == '[' && entry.data[entry.size - 1] == ']')
        entry = slice_make(entry.data + 1, entry.size - 2);
    if (entry.size > 0 && entry.data[0] == '.') entry = slice_make(entry.data + 1, entry.size - 1);
    size_t size = strlen(host);
    if (size > 0 && host[size - 1] == '.') size--;
    if (entry.size == 0 || entry.size > size) return false;
    const char *tail = host + size - entry.size;
    return strncasecmp(tail, entry.data, entry.size) == 0 && (tail == host || (tail[-1] == '.' && !host_is_address));
}

static bool is_exempt(const char *host)
{
    const char *list = from_environment("no_proxy", "NO_PROXY");
    Address literal;
    bool is_address = address_parse(host, 0, &literal);
    while (list && *list) {
        list += strspn(list, ", \t");
        size_t size = strcspn(list, ", \t");
        if (entry_matches(slice_make(list, size), host, is_address)) return true;
        list += size;
    }
    return false;
}

const char *link_proxy_from_environment(const LinkTarget *target)
{
    if (link_host_is_loopback(target->host) || is_exempt(target->host)) return NULL;
    const char *value =
        target->tls ? from_environment("https_proxy", "HTTPS_PROXY") : from_environment("http_proxy", "HTTP_PROXY");
    return value ? value : from_environment("all_proxy", "ALL_PROXY");
}

/* --- its value --------------------------------------------------------------------------------------------------------------- */

static bool fail(char *problem, size_t size, const char *text)
{
    snprintf(problem, size, "the proxy setting cannot be used: %s", text);
    return false;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') return (c | 0x20) - 'a' + 10;
    return -1;
}

/* A copy of `text` with %XX decoded; NULL without memory, or for a zero byte or a line end in it. */
static char *percent_decode(Slice text)
{
    char *out = malloc(text.size + 1);
    size_t used = 0;
    if (!out) return NULL;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '%' && i + 2 < text.size && hex_digit(text.data[i + 1]) >= 0 && hex_digit(text.data[i + 2]) >= 0) {
            c = (char)(hex_digit(text.data[i + 1]) * 16 + hex_digit(text.data[i + 2]));
            i += 2;
        }
        if (c == '\0' || c == '\r' || c == '\n') {
            OPENSSL_cleanse(out, used);
            free(out);
            return NULL;
        }
        out[used++] = c;
    }
    out[used] = '\0';
    return out;
}

bool proxy_parse(const char *value, Proxy *proxy, char *problem, size_t problem_size)
{
    memset(proxy, 0, sizeof *proxy);
    const char *rest = strstr(value, "://");
    if (rest && strncasecmp(value, "http://", 7) != 0)
        return fail(problem, problem_size, "only http:// proxies are supported");
    rest = rest ? rest + 3 : value;
    Slice authority = slice_make(rest, strcspn(rest, "/?#"));

    const char *at = NULL;
    for (size_t i = 0; i < authority.size; i++) {
        if (authority.data[i] == '@') at = authority.data + i;
    }
    if (at) {
        proxy->credentials = percent_decode(slice_make(authority.data, (size_t)(at - authority.data)));
        if (!proxy->credentials) return fail(problem, problem_size, "its user name and password cannot be read");
        authority = slice_make(at + 1, authority.size - (size_t)(at + 1 - authority.data));
    }

    /* What is left has the form of a target's, so that is where it is understood. */
    LinkTarget target;
    char url[300];
    char text[128];
    bool with_port =
        authority.size > 0 && memchr(authority.data, ':', authority.size) && authority.data[authority.size - 1] != ']';
    int size = snprintf(url, sizeof url, "http://%.*s", SLICE_ARGS(authority));
    if (size < 0 || (size_t)size >= sizeof url || !link_target_parse(url, &target, text, sizeof text)) {
        proxy_clear(proxy);
        return fail(problem, problem_size, "it is no http://host:port");
    }
    snprintf(proxy->host, sizeof proxy->host, "%s", target.host);
    proxy->port = with_port ? target.port : PROXY_DEFAULT_PORT;
    return true;
}

void proxy_clear(Proxy *proxy)
{
    if (proxy->credentials) OPENSSL_cleanse(proxy->credentials, strlen(proxy->credentials));
    free(proxy->credentials);
    proxy->credentials = NULL;
}
