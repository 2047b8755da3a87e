/* loop_lws.h - what only the files of net/ that speak libwebsockets need of the loop. */
#ifndef GATEHOUSE_NET_LOOP_LWS_H
#define GATEHOUSE_NET_LOOP_LWS_H

#include "net/loop.h"

#include <libwebsockets.h>

struct lws_context *loop_context(Loop *loop);

/* Called first by every callback that libwebsockets makes: the turn has begun, the clock is read. */
void loop_enter(Loop *loop);

#endif
