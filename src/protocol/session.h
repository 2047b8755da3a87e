/* session.h - the state machine of one gateway connection and of the time between connections. Pure: time, bytes, ids
 * and random numbers come in; frames to write, events, responses and notices go out through the sink.
 *
 *              session_start                      opened            challenge            hello-ok
 *     STOPPED ───────────────► DIALING ─────────► CHALLENGE ─────► GREETING ──────────► READY
 *        ▲                      ▲   │ closed          │ closed         │ closed/refused    │ closed
 *        │ session_stop         │   ▼                 ▼                ▼                   ▼
 *        │ (from everywhere)    └─ WAITING (n ms, backoff)  or, when only the operator can help, PAUSED
 *        └──────────────────────────────────────────────────────────────────────────────────────────────
 *     PAUSED looks again by itself only when pairing is what it waits for; session_resume dials at once from WAITING
 *     and PAUSED.
 *
 * Every request ends exactly once, with a reply whose `last` is true: the gateway's answer, TIMEOUT, DISCONNECTED,
 * NOT_CONNECTED, QUEUE_FULL, TOO_LARGE or CANCELLED.
 *
 * The sink's callbacks may call back: session_request, session_cancel, session_stop, session_start, session_resume,
 * session_set_secrets and the looks; never session_free, nor what is said to come from the link. */
#ifndef GATEHOUSE_PROTOCOL_SESSION_H
#define GATEHOUSE_PROTOCOL_SESSION_H

#include "protocol/frame.h"
#include "protocol/identity.h"

#define SESSION_HANDSHAKE_MS 15000      /* from opened to hello-ok */
#define SESSION_IN_FLIGHT 128           /* requests the gateway has at a time, by default; the rest waits in line */
#define SESSION_IN_LINE 8192            /* requests that wait, by default; more, or over 64 MiB kept: QUEUE_FULL */
#define SESSION_AHEAD_BYTES (32u << 20) /* requests that the link has not written yet; a larger one goes alone */
#define SESSION_TIMEOUT_MS 30000        /* a request's, by default */
#define SESSION_TICK_MS 30000           /* until the policy says otherwise; silent for two of them: close 4000 */
#define SESSION_MAX_PAYLOAD (25u << 20) /* bytes; until the policy says otherwise */

typedef struct Session Session;

typedef enum {
    SESSION_STOPPED,
    SESSION_DIALING,
    SESSION_CHALLENGE,
    SESSION_GREETING,
    SESSION_READY,
    SESSION_WAITING,
    SESSION_PAUSED
} SessionState;

/* "stopped", "connecting", "handshake" (twice), "ready", "waiting", "paused". Static. */
const char *session_state_name(SessionState state);

/* All pointers are borrowed for the session's life, but the secrets: session_new and session_set_secrets copy them. */
typedef struct {
    const Identity *identity;     /* NULL: no device */
    const char *token, *password; /* NULL if not configured */
    const char *device_token;     /* the stored one of this gateway and role, or NULL */
    bool device_token_retry;      /* loopback or pinned TLS: a refused token may be retried with the device token */
    const char *client_id, *client_mode;                                  /* NULL: "cli" */
    const char *client_version, *platform, *device_family, *display_name; /* NULL: left out */
    const char *role;                                                     /* NULL: "operator" */
    const char *const *scopes;                                            /* ended by NULL */
    const char *const *caps;                                              /* ended by NULL */
    size_t max_in_flight, max_in_line;                                    /* 0: the default */
} SessionConfig;

typedef struct {
    unsigned owner; /* on whose behalf; comes back with the reply */
    uint64_t token; /* the owner's name for it, unique among those of it that have not ended */
    Slice method;
    Buffer params;      /* raw JSON object or empty; with BUFFER_FRAME_HEADROOM. The session takes it */
    int64_t timeout_ms; /* over all, also while it waits; 0: the default */
    int64_t wait_ms;    /* how long it may wait for a connection; 0: not connected is NOT_CONNECTED at once */
    bool final;         /* wait for the second of two responses; `status:"accepted"` comes with last = false */
    bool resend;        /* params carry an idempotencyKey: after a disconnect send again, within timeout_ms */
} SessionRequest;

typedef struct {
    unsigned owner;
    uint64_t token;
    bool last; /* the request has ended */
    bool ok;
    Slice payload; /* ok: raw JSON, `null` when the response had none */
    Slice error;   /* not ok: raw JSON {code,message,details?,retryable?,retryAfterMs?}; ours are {code,message,sent} */
} SessionReply;

typedef enum {
    SESSION_NOTICE_DIALING,  /* a connection attempt begins */
    SESSION_NOTICE_READY,    /* hello-ok; session_hello has it */
    SESSION_NOTICE_CLOSED,   /* an attempt failed or a connection ended: code, reason, error, hint, retry_ms. One for
                              * each DIALING, but for one that session_stop ended */
    SESSION_NOTICE_PAUSED,   /* follows such a CLOSED, with the same fields, when only the operator can help */
    SESSION_NOTICE_GAP,      /* expected, received */
    SESSION_NOTICE_SHUTDOWN, /* the gateway said that it is going; reason */
    SESSION_NOTICE_ODD /* to log at debug level and count: a frame of unknown type, a late response, …; reason */
} SessionNoticeType;

typedef struct {
    SessionNoticeType type;
    unsigned code;              /* WebSocket close code; 0 if there was none */
    const char *reason;         /* text for people; borrowed for the call */
    const FrameError *error;    /* what the gateway answered to connect; NULL if it was not that */
    const char *hint;           /* what the operator can do: "run: openclaw devices approve 1234"; NULL: nothing */
    int64_t retry_ms;           /* until the next attempt; -1: none by itself */
    int64_t expected, received; /* GAP */
} SessionNotice;

typedef struct {
    void *context;
    /* Open a connection; the answer is session_opened or session_closed, never inside the call. */
    void (*dial)(void *context);
    /* A text frame; the callee takes the content. Never calls back. */
    void (*write)(void *context, Buffer *text);
    /* Bytes given to `write` that wait in the link. NULL: it takes all at once. */
    size_t (*unwritten)(void *context);
    /* Close it (also while dialing); the answer is session_closed, never inside the call. */
    void (*close)(void *context, unsigned code, const char *reason);
    /* Every event after hello-ok. */
    void (*event)(void *context, const Frame *frame);
    void (*reply)(void *context, const SessionReply *reply);
    void (*notice)(void *context, const SessionNotice *notice);
    /* Store it; NULL: drop the stored one. */
    void (*device_token)(void *context, const char *token);
    /* A fresh UUID. */
    void (*new_id)(void *context, char id[37]);
    uint32_t (*random)(void *context);
} SessionSink;

/* NULL if there is no memory. */
Session *session_new(const SessionConfig *config, const SessionSink *sink);
void session_free(Session *session); /* what is pending ends with CANCELLED first */

/* A token file was read again. Copies; NULL: none. */
void session_set_secrets(Session *session, const char *token, const char *password);

void session_start(Session *session, int64_t now_ms);
void session_resume(Session *session, int64_t now_ms);
/* Closes with 1000, ends everything pending with CANCELLED. The sink's close is called if a connection is there;
 * session_closed may come after. */
void session_stop(Session *session, int64_t now_ms);

/* --- from the link ------------------------------------------------------------------------------------------------ */

typedef struct {
    unsigned code;          /* close code received, 1006 if the connection just ended, 0 if it was never open */
    Slice reason;           /* the peer's text, or what failed, for people; hostile */
    int http_status;        /* of a refused upgrade, 0 otherwise */
    int64_t retry_after_ms; /* of a refused upgrade, -1 if it named none */
    bool fatal;             /* only the operator can help: the certificate is refused, a policy forbids it */
} SessionClose;

void session_opened(Session *session, int64_t now_ms);
void session_closed(Session *session, int64_t now_ms, const SessionClose *how);
void session_text(Session *session, int64_t now_ms, Slice text); /* one text message, borrowed for the call */
void session_alive(Session *session, int64_t now_ms);            /* a ping, pong or part of a message came */
/* All that was given to `write` has been written: requests that waited for that go. */
void session_drained(Session *session);
/* The link stopped or went on reading: silence does not count while stopped. */
void session_reading(Session *session, int64_t now_ms, bool reading);

/* --- from the host ------------------------------------------------------------------------------------------------ */

/* Takes request->params. The reply may come inside the call. */
void session_request(Session *session, int64_t now_ms, SessionRequest *request);
/* Ends it with CANCELLED unless it has ended; a response that comes later is counted as late. */
void session_cancel(Session *session, int64_t now_ms, unsigned owner, uint64_t token);

/* Time passed. Call at or after session_due_ms. */
void session_time(Session *session, int64_t now_ms);
int64_t session_due_ms(const Session *session); /* HEAP_NEVER if nothing waits for time */

/* --- to look at --------------------------------------------------------------------------------------------------- */

typedef struct {
    SessionState state;
    int64_t since_ms;     /* of the state, monotonic */
    int protocol;         /* 0 before the first hello-ok */
    unsigned connection;  /* 1 for the first that became ready, … */
    int64_t last_seq;     /* -1 if none on this connection */
    int64_t last_tick_ms; /* monotonic; of a tick event, or of ready */
    size_t in_flight, in_line;
    size_t max_payload_bytes;
    int64_t tick_interval_ms;
    char server_version[64], conn_id[64];
    /* Counters since session_new; requests == ended + in_flight + in_line at any time. */
    uint64_t attempts, readies, events, gaps, missed_events, requests;
    uint64_t ended_ok, ended_error, ended_timeout, ended_disconnected, ended_refused, ended_cancelled;
    uint64_t late_responses;    /* after TIMEOUT or CANCELLED */
    uint64_t second_responses;  /* after an `accepted` that ended its request */
    uint64_t unknown_responses; /* to nothing we remember */
    uint64_t odd_frames;
} SessionStatus;

void session_status(const Session *session, SessionStatus *out);
/* The payload of the last hello-ok, raw JSON; empty unless READY. Borrowed until the next input. Secrets
 * (auth.deviceToken…) are removed from it. */
Slice session_hello(const Session *session);

#endif
