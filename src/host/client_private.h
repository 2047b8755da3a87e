/* client_private.h - what client.c and client_tell.c share. */
#ifndef GATEHOUSE_HOST_CLIENT_PRIVATE_H
#define GATEHOUSE_HOST_CLIENT_PRIVATE_H

#include "host/client.h"
#include "host/random_pool.h"
#include "host/token_saver.h"
#include "net/link.h"

#include <limits.h>

struct Client {
    Loop *loop;
    ClientConfig config;
    ClientSink sink;
    Link *link;
    Session *session;
    Identity *identity;
    TokenSaver *saver;
    RandomPool random;
    char state_dir[PATH_MAX];
    char shown_url[1400]; /* without the query, which may hold secrets */
    bool dialed;          /* the link has not said closed yet */
    bool stopping;
    bool paused;            /* the host wants no more events for now */
    bool was_ready;         /* since the last notice CLOSED */
    char told_pairing[160]; /* the hint that was logged last, "" if none */
    LoopTimer timer;
    int64_t armed_ms;
    LoopTurn turn;
    LoopSoon stopped;
};

/* client_tell.c: logs the notice unless the caller wants to tell it. */
void client_log(Client *client, const SessionNotice *notice);

#endif
