/* session_private.h - what the files of the session share. Nobody else includes it.
 *
 *     session.c           the state machine: inputs, transitions, time
 *     session_connect.c   the connect request, and which secret it carries
 *     session_hello.c     what is read from hello-ok
 *     session_refusal.c   the table of refusals: what follows from an answer that is no hello-ok
 *     session_requests.c  requests between session_request and their last reply
 *     session_table.c     the lists and indexes that those are in
 *     session_notice.c    texts for people: cleaned of control characters and secrets
 *
 * The sink's callbacks may call the session again (all but session_free). So whoever calls the sink has finished its
 * own change of state before, and looks at the state afresh after. */
#ifndef GATEHOUSE_PROTOCOL_SESSION_PRIVATE_H
#define GATEHOUSE_PROTOCOL_SESSION_PRIVATE_H

#include "protocol/backoff.h"
#include "protocol/session.h"
#include "protocol/session_table.h"

#define SESSION_MIN_PROTOCOL 3
#define SESSION_MAX_PROTOCOL 4
#define SESSION_REASON_SIZE 768 /* bytes of a text for people */

/* WebSocket close codes (RFC 6455, section 7.4). */
enum {
    CLOSE_NORMAL = 1000,
    CLOSE_PROTOCOL_ERROR = 1002,
    CLOSE_TOO_BIG = 1009,
    CLOSE_RESTART = 1012,
    CLOSE_TRY_LATER = 1013,
    CLOSE_SILENT = 4000
};

/* The connection as the link has it. It outlives the state: after sink.close the next one waits for session_closed. */
typedef enum { LINK_NONE, LINK_UP, LINK_CLOSING } SessionLink;

typedef struct {
    char *token, *password, *device_token; /* owned, NULL if there is none */
} SessionSecrets;

struct Session {
    SessionConfig config;
    SessionSink sink;
    SessionSecrets secrets;

    SessionState state;
    SessionLink link;
    Backoff backoff;
    int64_t retry_at_ms;     /* WAITING, PAUSED; HEAP_NEVER if not by itself */
    int64_t handshake_by_ms; /* CHALLENGE, GREETING */
    int64_t alive_ms;        /* last sign of life */
    int64_t silent_ms;       /* while not reading: the silence before reading stopped */
    bool reading;
    bool shutdown_announced; /* on this connection */
    bool freeing;

    char connect_id[SESSION_ID_SIZE];
    bool sent_device_token;   /* this attempt's connect carries the device token in place of token and password */
    bool prefer_device_token; /* the configured token was refused */
    bool secret_retried;      /* the one other try after a refused secret has been made */

    Requests requests;
    Buffer hello;
    SessionStatus status; /* counters and what the last hello-ok said; session_status completes it */
};

/* Why an attempt or a connection ends, and what comes then. */
typedef struct {
    unsigned code; /* for the notice, and for the peer while the link is up; 0: none, the peer gets 1000 */
    char reason[SESSION_REASON_SIZE];
    const FrameError *error; /* the refusal, NULL if it is none */
    BackoffReason backoff;
    int64_t retry_after_ms; /* -1: the peer named none */
    bool pause;             /* only the operator can help; looks again by itself only with BACKOFF_PAIRING */
    char hint[256];         /* "" if there is none */
} SessionEnding;

/* --- session.c ---------------------------------------------------------------------------------------------------- */

static inline int64_t session_add_ms(int64_t now_ms, int64_t span_ms)
{
    return span_ms > HEAP_NEVER - now_ms ? HEAP_NEVER : now_ms + span_ms;
}

/* --- session_connect.c -------------------------------------------------------------------------------------------- */

/* Copies a secret; NULL and "" are none. */
char *session_copy_secret(const char *secret);
void session_wipe_secret(char **secret);
/* Writes the connect frame into `out`, answering `challenge` (the event's payload). False: `ending` says why not. */
bool session_write_connect(Session *session, Slice challenge, Buffer *out, SessionEnding *ending);

/* --- session_hello.c ---------------------------------------------------------------------------------------------- */

/* Takes over what hello-ok says. NULL, or why it is none; the session is unchanged then. `device_token` gets a new
 * device token to be stored, owned by the session, or NULL. */
const char *session_read_hello(Session *session, Slice payload, const char **device_token);

/* --- session_refusal.c -------------------------------------------------------------------------------------------- */

/* What follows from the gateway's refusal. Uses up the session's one try with another secret where the table allows it.
 * `raw` is the same error as JSON. `drop_device_token`: the stored one is worthless. */
void session_judge_refusal(Session *session, const FrameError *error, Slice raw, SessionEnding *ending,
                           bool *drop_device_token);

/* --- session_requests.c ------------------------------------------------------------------------------------------- */

void session_send_waiting(Session *session);                        /* fills the free slots from the line */
void session_answer(Session *session, const Frame *frame);          /* a response, while READY */
void session_disconnect_requests(Session *session, int64_t now_ms); /* READY has ended */
void session_cancel_requests(Session *session);
void session_expire_requests(Session *session, int64_t now_ms);
void session_free_requests(Session *session);

/* --- session_notice.c --------------------------------------------------------------------------------------------- */

void session_notify(Session *session, SessionNotice notice);
/* Makes hostile text fit for a log line, in place: control characters become spaces, our secrets asterisks. */
void session_clean(const Session *session, char *text);
void session_clean_error(const Session *session, FrameError *error);
/* Formats into `out`, cut at a character's border, then cleans. */
void session_format(const Session *session, char *out, size_t size_bytes, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Counts it and tells it. */
void session_odd(Session *session, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
