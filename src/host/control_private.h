/* control_private.h - what the files control*.c share. The protocol is in docs/control.md. */
#ifndef GATEHOUSE_HOST_CONTROL_PRIVATE_H
#define GATEHOUSE_HOST_CONTROL_PRIVATE_H

#include "host/host_private.h"
#include "net/line_server.h"
#include "protocol/json.h"

#include <limits.h>

#define CONTROL_SOCKET "control.sock"
#define CONTROL_VERSION 1
#define CONTROL_ID_BYTES 256 /* of a request's id, as JSON */

/* A request that is answered later, or is a tail. Freed with its answer, or when the peer of a tail is gone. */
typedef struct ControlCall ControlCall;
struct ControlCall {
    ControlCall *next;
    Control *control;
    uint64_t peer;
    Buffer id; /* raw JSON */
    void (*done)(ControlCall *call, bool ok, Slice text);
    /* of a tail */
    bool tails;
    int number;      /* of the app; -1: all */
    Buffer patterns; /* raw JSON array; empty: all events */
    uint64_t missed; /* lines that the peer did not take, and was not told of */
};

struct Control {
    Host *host;
    LineServer *server;
    ControlCall *calls;
    char state_dir[PATH_MAX];
    int64_t started_ms, started_wall_ms;
    char *problem; /* why the connection is not there; NULL: it is, or nobody knows */
    int64_t problem_wall_ms;
};

/* What is being asked, during the dispatch. */
typedef struct {
    Control *control;
    uint64_t peer;
    Slice id;      /* raw JSON */
    Slice request; /* a valid JSON object */
    HostApp *app;  /* that it names; NULL: none */
} ControlRequest;

/* control.c: answers. `result` is raw JSON on one line. */
void control_answer(Control *control, uint64_t peer, Slice id, Slice result);
void control_refuse(Control *control, uint64_t peer, Slice id, const char *code, Slice message);
/* A call for the request, in the list; NULL without memory: then it was answered. */
ControlCall *control_call_new(const ControlRequest *request, void (*done)(ControlCall *call, bool ok, Slice text));
void control_call_free(ControlCall *call);

int64_t control_wall_ms(void);
/* Puts raw JSON that somebody else wrote on one line; `null` in place of what is no JSON, and false. */
bool control_write_raw(Buffer *out, Slice json);

/* control_commands.c: finds and runs the command; an answer follows, in the call or later. */
void control_run(const ControlRequest *request, Slice command);

/* control_status.c */
void control_write_status(Buffer *out, const Control *control);

/* control_tail.c */
void control_tail(const ControlRequest *request);
void control_tail_event(void *context, int number, const Message *event); /* of router_on_seen */
void control_tail_ended(ControlCall *call);

#endif
