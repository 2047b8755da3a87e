/* host_asked.h - questions to the host whose answer takes time: each is answered once, and never inside the call that asked. */
#ifndef GATEHOUSE_HOST_HOST_ASKED_H
#define GATEHOUSE_HOST_HOST_ASKED_H

#include "host/host_private.h"

/* Needs `parts` answers, 0 at first: see host_asked_expect. NULL without memory: then `done` has nobody to come from. */
HostAsked *host_asked_new(Host *host, HostDone *done, void *context);
void host_asked_expect(HostAsked *asked); /* one more part */
void host_asked_part(HostAsked *asked, bool ok,
                     Slice text);        /* one part: a paragraph of the answer. With the last one it is due */
void host_asked_ready(HostAsked *asked); /* all parts were expected */

#endif
