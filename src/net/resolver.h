/* resolver.h - one name look-up, on a helper thread since getaddrinfo blocks. */
#ifndef GATEHOUSE_NET_RESOLVER_H
#define GATEHOUSE_NET_RESOLVER_H

#include "net/address.h"
#include "net/loop.h"

typedef struct Resolver Resolver;

/* `addresses` has none when the name was not found; `problem` says why then. Both borrowed. The resolver is gone already. */
typedef void ResolverDone(void *context, const AddressList *addresses, const char *problem);

/* Calls `done` once, in a later turn, unless cancelled. NULL if there is no memory, thread or descriptor for it. */
Resolver *resolver_start(Loop *loop, const char *host, unsigned port, ResolverDone *done, void *context);

/* No callback comes after it. A look-up that hangs goes on by itself, and frees what is left when it ends. NULL is fine. */
void resolver_cancel(Resolver *resolver);

#endif
