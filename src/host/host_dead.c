/* host_dead.c - events whose handler raised. */
#include "host/host_asked.h"

bool host_dead(Host *host, const char *name, bool retry, HostDone *done, void *context)
{
    HostAsked *asked = host_asked_new(host, done, context);

    (void)name;
    (void)retry;
    if (!asked) return false;
    host_asked_expect(asked);
    host_asked_part(asked, false, slice_of("this gatehouse keeps no events whose handler raised"));
    host_asked_ready(asked);
    return true;
}
