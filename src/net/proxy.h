/* proxy.h - the HTTP proxy on the way to the gateway. */
#ifndef GATEHOUSE_NET_PROXY_H
#define GATEHOUSE_NET_PROXY_H

#include "net/link.h"

typedef struct {
    char host[256];
    unsigned port;
    char *credentials; /* "user:password", decoded; NULL for none. Wiped and freed by proxy_clear */
} Proxy;

/* From http://[user:password@]host[:port], or the same without http://. False, with a sentence in `problem` that does not repeat
 * the password, for anything else: SOCKS and proxies that are spoken to in TLS among it. */
bool proxy_parse(const char *value, Proxy *proxy, char *problem, size_t problem_size);
void proxy_clear(Proxy *proxy);

#endif
