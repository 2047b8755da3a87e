/* address.c - one address to connect to, and what may be concluded from it. */
#include "net/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

bool address_parse(const char *host, unsigned port, Address *address)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char service[16];
    snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(host, service, &hints, &found) != 0) return false;
    AddressList list = {.count = 0};
    address_list_add(&list, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    if (list.count == 0) return false;
    *address = list.at[0];
    return true;
}

void address_list_add(AddressList *list, const struct sockaddr *at, socklen_t size)
{
    bool known = (at->sa_family == AF_INET && size == sizeof(struct sockaddr_in)) ||
                 (at->sa_family == AF_INET6 && size == sizeof(struct sockaddr_in6));
    if (!known || list->count == ADDRESS_LIST_MAX) return;
    Address *address = &list->at[list->count++];
    memset(address, 0, sizeof *address);
    memcpy(&address->at, at, size);
    address->size = size;
}

void address_list_interleave(AddressList *list)
{
    AddressList sorted = {.count = 0};
    size_t next[2] = {0, 0}; /* where to look on, for the first family and for the other one */
    if (list->count == 0) return;
    sa_family_t first = list->at[0].at.any.sa_family;
    for (size_t turn = 0; sorted.count < list->count; turn ^= 1) {
        while (next[turn] < list->count) {
            const Address *address = &list->at[next[turn]++];
            if ((address->at.any.sa_family == first) == (turn == 0)) {
                sorted.at[sorted.count++] = *address;
                break;
            }
        }
    }
    *list = sorted;
}

void address_format(const Address *address, char text[ADDRESS_TEXT_SIZE])
{
    const void *bytes = address->at.any.sa_family == AF_INET ? (const void *)&address->at.v4.sin_addr
                                                             : (const void *)&address->at.v6.sin6_addr;
    if (!inet_ntop(address->at.any.sa_family, bytes, text, ADDRESS_TEXT_SIZE)) text[0] = '\0';
}

typedef struct {
    uint32_t network;
    unsigned bits;
} Block;

static bool in_block(uint32_t address, Block block)
{
    uint32_t mask = UINT32_MAX << (32 - block.bits);
    return (address & mask) == block.network;
}

static bool is_private_v4(uint32_t address)
{
    static const Block blocks[] = {
        {0x7f000000, 8},  /* 127.0.0.0/8, loopback */
        {0x0a000000, 8},  /* 10.0.0.0/8 */
        {0xac100000, 12}, /* 172.16.0.0/12 */
        {0xc0a80000, 16}, /* 192.168.0.0/16 */
        {0xa9fe0000, 16}, /* 169.254.0.0/16, link-local */
        {0x64400000, 10}, /* 100.64.0.0/10, CGNAT */
    };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        if (in_block(address, blocks[i])) return true;
    }
    return false;
}

/* The IPv4 address that a socket of either family would reach; false for a true IPv6 address. */
static bool as_v4(const Address *address, uint32_t *v4)
{
    if (address->at.any.sa_family == AF_INET) {
        *v4 = ntohl(address->at.v4.sin_addr.s_addr);
        return true;
    }
    const struct in6_addr *v6 = &address->at.v6.sin6_addr;
    if (!IN6_IS_ADDR_V4MAPPED(v6)) return false;
    uint32_t network_order;
    memcpy(&network_order, v6->s6_addr + 12, sizeof network_order);
    *v4 = ntohl(network_order);
    return true;
}

bool address_is_loopback(const Address *address)
{
    uint32_t v4;
    if (as_v4(address, &v4)) return in_block(v4, (Block){0x7f000000, 8});
    return IN6_IS_ADDR_LOOPBACK(&address->at.v6.sin6_addr);
}

bool address_is_private(const Address *address)
{
    uint32_t v4;
    if (as_v4(address, &v4)) return is_private_v4(v4);
    const struct in6_addr *v6 = &address->at.v6.sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(v6) || IN6_IS_ADDR_LINKLOCAL(v6) || (v6->s6_addr[0] & 0xfe) == 0xfc;
}
