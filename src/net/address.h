/* address.h - one address to connect to, and what may be concluded from it. */
#ifndef GATEHOUSE_NET_ADDRESS_H
#define GATEHOUSE_NET_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define ADDRESS_TEXT_SIZE INET6_ADDRSTRLEN

typedef struct {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at;
    socklen_t size;
} Address;

#define ADDRESS_LIST_MAX 16

typedef struct {
    Address at[ADDRESS_LIST_MAX];
    size_t count;
} AddressList;

/* False if `host` is no literal address (IPv6 without brackets, a zone may follow). Looks nothing up. */
bool address_parse(const char *host, unsigned port, Address *address);

/* Adds a socket address as the resolver gives it; what is neither IPv4 nor IPv6, or one too many, is left out. */
void address_list_add(AddressList *list, const struct sockaddr *at, socklen_t size);

/* Puts the families in turn, beginning with the first address's: the order in which RFC 8305 tries them. */
void address_list_interleave(AddressList *list);

void address_format(const Address *address, char text[ADDRESS_TEXT_SIZE]);

bool address_is_loopback(const Address *address);

/* Loopback, private, link-local and CGNAT (which VPNs such as Tailscale use): what does not cross the open internet. */
bool address_is_private(const Address *address);

#endif
