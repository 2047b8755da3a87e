/* link_target.c - from what a person writes as the gateway's URL to host, port and path. */
#include "net/address.h"
#include "net/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

typedef struct {
    const char *name;
    bool tls;
    unsigned port;
} Scheme;

static const Scheme *find_scheme(Slice name)
{
    /* People copy the address of the gateway's web page; it is the same port. */
    static const Scheme schemes[] = {{"ws", false, 80}, {"wss", true, 443}, {"http", false, 80}, {"https", true, 443}};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (name.size == strlen(schemes[i].name) && strncasecmp(name.data, schemes[i].name, name.size) == 0)
            return &schemes[i];
    }
    return NULL;
}

static bool fail(char *problem, size_t size, const char *text)
{
    snprintf(problem, size, "%s", text);
    return false;
}

/* Decimal digits only; 0 if it is no port. */
static unsigned parse_port(Slice digits)
{
    unsigned port = 0;
    if (digits.size == 0 || digits.size > 5) return 0;
    for (size_t i = 0; i < digits.size; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9') return 0;
        port = port * 10 + (unsigned)(digits.data[i] - '0');
    }
    return port <= 65535 ? port : 0;
}

static bool is_host_name(const char *host)
{
    size_t label = 0;
    for (const char *c = host; *c; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
        if (*c == '.' && label > 0)
            label = 0;
        else if ((letter || *c == '-' || *c == '_') && ++label <= 63)
            continue;
        else
            return false;
    }
    return *host != '\0';
}

/* `text` is host, host:port, [v6] or [v6]:port. */
static bool parse_authority(Slice text, LinkTarget *target, bool *has_port, char *problem, size_t problem_size)
{
    if (memchr(text.data, '@', text.size))
        return fail(problem, problem_size,
                    "a user name or password does not belong into the URL; give the token with OPENCLAW_GATEWAY_TOKEN");

    Slice host = text;
    Slice port = {NULL, 0};
    bool bracketed = text.size > 0 && text.data[0] == '[';
    const char *host_end = NULL;
    if (bracketed) {
        host_end = memchr(text.data, ']', text.size);
        if (!host_end) return fail(problem, problem_size, "the IPv6 address is not closed by a bracket");
        host = slice_make(text.data + 1, (size_t)(host_end - text.data) - 1);
        host_end++;
    } else {
        host_end = memchr(text.data, ':', text.size);
        host_end = host_end ? host_end : text.data + text.size;
        host.size = (size_t)(host_end - text.data);
    }
    size_t rest = text.size - (size_t)(host_end - text.data);
    if (rest > 0) {
        if (*host_end != ':') return fail(problem, problem_size, "what follows the host is no :port");
        port = slice_make(host_end + 1, rest - 1);
        if (!bracketed && memchr(port.data, ':', port.size))
            return fail(problem, problem_size, "an IPv6 address belongs into brackets, as in ws://[::1]:18789");
        target->port = parse_port(port);
        if (target->port == 0) return fail(problem, problem_size, "the port is no number from 1 to 65535");
    }
    *has_port = port.data != NULL;

    if (host.size == 0) return fail(problem, problem_size, "it names no host");
    if (host.size >= sizeof target->host || (!bracketed && host.size > 253))
        return fail(problem, problem_size, "the host name is too long");
    memcpy(target->host, host.data, host.size);
    target->host[host.size] = '\0';
    Address literal;
    bool is_literal = address_parse(target->host, target->port, &literal);
    if (bracketed && (!is_literal || literal.at.any.sa_family != AF_INET6))
        return fail(problem, problem_size, "what is in brackets is no IPv6 address");
    if (!is_literal && !is_host_name(target->host))
        return fail(problem, problem_size, "the host is neither a name nor an address");
    return true;
}

bool link_target_parse(const char *url, LinkTarget *target, char *problem, size_t problem_size)
{
    memset(target, 0, sizeof *target);
    for (const char *c = url; *c; c++) {
        if (*c <= ' ' || *c > '~')
            return fail(problem, problem_size, "it contains a blank, a control character or a letter beyond ASCII");
    }
    const char *colon = strstr(url, "://");
    if (!colon) return fail(problem, problem_size, "it does not begin with ws:// or wss://");
    const Scheme *scheme = find_scheme(slice_make(url, (size_t)(colon - url)));
    if (!scheme)
        return fail(problem, problem_size, "it begins neither with ws:// or wss:// nor with http:// or https://");
    target->tls = scheme->tls;
    target->port = scheme->port;

    const char *authority = colon + 3;
    Slice host_and_port = slice_make(authority, strcspn(authority, "/?#"));
    bool has_port = false;
    if (!parse_authority(host_and_port, target, &has_port, problem, problem_size)) return false;
    bool v6 = strchr(target->host, ':') != NULL;
    int used = snprintf(target->authority, sizeof target->authority, v6 ? "[%s]" : "%s", target->host);
    if (has_port && target->port != scheme->port)
        snprintf(target->authority + used, sizeof target->authority - (size_t)used, ":%u", target->port);

    const char *path = authority + host_and_port.size;
    size_t path_size = strcspn(path, "#"); /* a fragment is for browsers */
    bool slash = path_size == 0 || *path != '/';
    if (path_size + slash >= sizeof target->path) return fail(problem, problem_size, "the path is too long");
    snprintf(target->path, sizeof target->path, "%s%.*s", slash ? "/" : "", (int)path_size, path);
    return true;
}

bool link_host_is_loopback(const char *host)
{
    size_t size = strlen(host);
    const char *suffix = ".localhost";
    if (strcasecmp(host, suffix + 1) == 0 ||
        (size > strlen(suffix) && strcasecmp(host + size - strlen(suffix), suffix) == 0))
        return true;
    Address literal;
    return address_parse(host, 0, &literal) && address_is_loopback(&literal);
}
