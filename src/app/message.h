/* message.h - what reaches an app. Immutable once it is shared; one allocation, counted references, shared by all inboxes. */
#ifndef GATEHOUSE_APP_MESSAGE_H
#define GATEHOUSE_APP_MESSAGE_H

#include "protocol/slice.h"

#include <stdatomic.h>
#include <stdint.h>

typedef enum {
    MESSAGE_EVENT,      /* of the gateway, or of the host: then its name starts with '@' */
    MESSAGE_RESPONSE,   /* to a request of this app */
    MESSAGE_CONNECTION, /* what gw.info() tells from now on */
    MESSAGE_EVAL,       /* a piece of Lua that an operator wants to see the result of */
    MESSAGE_RETRY,      /* dead letters are to be tried again */
    MESSAGE_LANE,       /* from the replaced generation to the one that followed it: a call ended that it waits for */
    MESSAGE_STOP        /* the app is to end */
} MessageKind;

/* Fields are for reading. The slices point into the message. */
typedef struct {
    MessageKind kind;
    atomic_uint references;
    size_t size_bytes; /* what it weighs in an inbox */
    Slice name;        /* EVENT */
    Slice
        payload; /* raw JSON. EVENT: the payload, empty for none; RESPONSE: payload, or the error object; CONNECTION: the table; EVAL: Lua */
    Slice state_version; /* EVENT: raw JSON, empty if absent */
    int64_t seq;         /* EVENT: -1 if absent */
    int64_t received_ms; /* EVENT: wall clock, for people */
    unsigned connection; /* EVENT: 1, 2, … */
    uint64_t token; /* RESPONSE: of the request; EVAL: of who asked; LANE: which; RETRY: the letter's id, 0 for all */
    unsigned generation; /* RESPONSE: which generation sent the request */
    bool ok, last;       /* RESPONSE: last is false for the first of two */
} Message;

typedef struct {
    Slice name, payload, state_version;
    int64_t seq, received_ms;
    unsigned connection;
} EventFields;

/* All copy what they are given, hold one reference for the caller, and return NULL if there is no memory. */
Message *message_event(const EventFields *fields);
Message *message_response(unsigned generation, uint64_t token, bool ok, bool last, Slice body);
Message *message_connection(Slice info);
Message *message_eval(uint64_t token, Slice code);
Message *message_retry(uint64_t letter); /* 0: all */
Message *message_lane(uint64_t lane);
Message *message_stop(void);
Message *message_copy(const Message *from); /* of any kind; its slices may point anywhere */

Message *message_ref(Message *message); /* any thread; returns the message */
void message_unref(Message *message);   /* any thread; NULL is fine */

#endif
