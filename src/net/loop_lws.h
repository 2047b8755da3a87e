/* loop_lws.h - what only the files of net/ that speak libwebsockets need of the loop. */
#ifndef GATEHOUSE_NET_LOOP_LWS_H
#define GATEHOUSE_NET_LOOP_LWS_H

#include "net/loop.h"

#include <libwebsockets.h>

#define LOOP_MAX_DESCRIPTORS 4096 /* all together, connections that libwebsockets accepts included */

/* What loop_watch.c keeps in the loop. */
typedef struct {
    struct lws_vhost *vhost;
    LoopWatch *changes; /* wishes that libwebsockets does not know yet, and watches to be closed */
    size_t count;
} LoopWatches;

extern const struct lws_protocols loop_watch_protocols[];
LoopWatches *loop_watches(Loop *loop);
void loop_watches_apply(LoopWatches *table); /* between two turns */

/* loop_signals.c: NULL in `*place` when no signals are taken. One loop of a process at a time. */
typedef struct LoopSignals LoopSignals;
bool loop_signals_take(Loop *loop, LoopSignals **place, const int *numbers, size_t count,
                       void (*handler)(void *context, int signal), void *context);
void loop_signals_release(LoopSignals **place);
/* Writing to a closed peer fails with EPIPE, and a file over the limit of its size with EFBIG, for the life of the process. */
void loop_survive_writes(void);

struct lws_context *loop_context(Loop *loop);

/* Called first by every callback that libwebsockets makes: the turn has begun, the clock is read. */
void loop_enter(Loop *loop);

/* What libwebsockets may use until its end; `release` is called behind that. */
typedef struct LoopLeftover LoopLeftover;
struct LoopLeftover {
    LoopLeftover *next;
    void (*release)(LoopLeftover *leftover);
};
void loop_release_at_end(Loop *loop, LoopLeftover *leftover);

#endif
