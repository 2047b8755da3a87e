/* connector.h - the race of RFC 8305 ("happy eyeballs"): several addresses of one host, the first that connects wins. */
#ifndef GATEHOUSE_NET_CONNECTOR_H
#define GATEHOUSE_NET_CONNECTOR_H

#include "net/address.h"
#include "net/loop.h"

typedef struct Connector Connector;

/* Connected: `watch` and its descriptor `fd` belong to the callee, who hands it over. Failed: `watch` is NULL, and `error` the errno
 * that says most. The connector is gone already. */
typedef void ConnectorDone(void *context, LoopWatch *watch, int fd, int error);

/* Tries the addresses in turn, the next one after `stagger_ms` or as soon as one failed, and keeps the others going. Calls `done`
 * once, in a later turn, unless cancelled. It has no time limit of its own. NULL if there is no memory. */
Connector *connector_start(Loop *loop, const AddressList *addresses, int64_t stagger_ms, ConnectorDone *done,
                           void *context);

/* No callback comes after it. NULL is fine. */
void connector_cancel(Connector *connector);

/* For people: what an errno of a socket means, and what to look at. Never a number. */
const char *connector_explain(int error);

#endif
