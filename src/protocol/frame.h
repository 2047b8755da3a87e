/* frame.h - the gateway's frames: requests, responses, events, in three dialects behind one struct of slices.
 *
 * Protocol 4 and 3: {type:"req",id,method,params?} {type:"res",id,ok,payload|error} {type:"event",event,payload,seq?,stateVersion?}.
 * The legacy dialect of 3: events carry `params`, responses `result` without `ok`, errors a numeric code. */
#ifndef GATEHOUSE_PROTOCOL_FRAME_H
#define GATEHOUSE_PROTOCOL_FRAME_H

#include "protocol/json.h"

typedef enum { FRAME_REQUEST, FRAME_RESPONSE, FRAME_EVENT, FRAME_OTHER } FrameType;

typedef struct {
    FrameType type;
    Slice type_name;     /* text of `type`; OTHER: for the log */
    Slice id;            /* text of a string, or the digits of a number; empty if there is none */
    Slice method;        /* requests */
    Slice event;         /* events: raw text between the quotes */
    Slice payload;       /* raw JSON of payload, params or result; empty if absent */
    Slice error;         /* raw JSON; empty if absent or null */
    Slice state_version; /* raw JSON; empty if absent */
    int64_t seq;         /* events; -1 if absent or not an integer */
    bool ok;             /* responses: `ok`, or in the legacy dialect that there is no error */
} Frame;

/* One scan over the text; all slices point into it. Returns NULL, or what is wrong (static text) for a text that is no JSON object
 * or lacks `type`. Unknown keys are skipped. */
const char *frame_parse(Slice text, Frame *frame);

/* Puts {"type":"req","id":…,"method":…,"params": and } around the params that `params` holds; empty params are left out. */
void frame_wrap_request(Buffer *params, const char *id, Slice method);

/* A gateway's error object, read. Texts are cut to fit and always ended. */
typedef struct {
    char code[64]; /* INVALID_REQUEST, …; a numeric code of the legacy dialect as digits */
    char message[512];
    char detail_code[64];   /* details.code, "" if there is none */
    char detail_reason[64]; /* details.reason */
    char request_id[128];   /* details.requestId: of a pairing request */
    bool retryable;
    bool can_retry_with_device_token;
    int64_t retry_after_ms; /* -1 if absent */
} FrameError;

void frame_read_error(Slice error, FrameError *out);

#endif
