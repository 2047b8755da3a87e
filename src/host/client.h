/* client.h - a connection to a gateway: the link, the session on it, the device's identity and its stored tokens, glued together.
 * `run`, `call` and `tail` are built on it. For the I/O thread. Time and randomness enter the protocol here. */
#ifndef GATEHOUSE_HOST_CLIENT_H
#define GATEHOUSE_HOST_CLIENT_H

#include "host/config.h"
#include "host/log.h"
#include "net/loop.h"
#include "protocol/session.h"

typedef struct Client Client;

typedef struct {
    void *context;
    void (*event)(void *context, const Frame *frame);           /* may be NULL */
    void (*reply)(void *context, const SessionReply *reply);    /* may be NULL if nothing is requested */
    void (*notice)(void *context, const SessionNotice *notice); /* after it was logged; may be NULL */
    void (*stopped)(void *context);                             /* after client_stop: the connection is closed */
} ClientSink;

typedef struct {
    const Config *config; /* borrowed; with the secrets */
    Log *log;             /* borrowed */
    bool quiet;           /* notices are not logged: the caller tells */
} ClientConfig;

/* Reads or makes the identity and reads the stored token; opens nothing. NULL with a sentence in `problem`. */
Client *client_new(Loop *loop, const ClientConfig *config, const ClientSink *sink, char *problem, size_t problem_size);
void client_free(Client *client); /* what is pending ends with CANCELLED; NULL is fine */

void client_start(Client *client);
/* Close 1000; `stopped` follows, never inside the call. */
void client_stop(Client *client);
/* The secrets of the configuration were read again: takes them over and, if it waits, connects at once. */
void client_resume(Client *client);

/* Takes request->params. */
void client_request(Client *client, SessionRequest *request);
void client_cancel(Client *client, unsigned owner, uint64_t token);

/* Backpressure: stops and resumes reading. */
void client_pause(Client *client, bool paused);

const char *client_url(const Client *client); /* without what may be secret in it */
void client_status(const Client *client, SessionStatus *out);
Slice client_hello(const Client *client); /* as session_hello */

/* The notice as one line for people, without a trailing newline; hostile parts are still in it (the log escapes them). */
void client_tell(const Client *client, const SessionNotice *notice, Buffer *out);

/* Whether the client has given up until the operator does something: what `notice` says is nothing that time heals. */
bool client_notice_is_final(const SessionNotice *notice);

#endif
