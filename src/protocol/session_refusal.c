/* session_refusal.c - what follows when the gateway answers connect with an error: one table, and the two rows of it
 * that try another secret once. */
#include "protocol/session_private.h"

#include <stdio.h>

typedef enum {
    REFUSAL_RETRY,        /* with backoff, or when the gateway says */
    REFUSAL_NOT_YET,      /* it is starting; no longer backoff */
    REFUSAL_OPERATOR,     /* trying again changes nothing */
    REFUSAL_PAIRING,      /* the operator approves, we look again slowly */
    REFUSAL_PROTOCOL,     /* as OPERATOR; the hint names the versions */
    REFUSAL_TOKEN,        /* once more with the stored device token, where that is allowed */
    REFUSAL_DEVICE_TOKEN, /* drop it, once more with the configured secret */
} RefusalKind;

typedef struct {
    const char *code; /* of the error's details, or of the error; a trailing * stands for the rest */
    RefusalKind kind;
    const char *hint;
} RefusalRow;

/* The first row that fits counts. The detail code is looked up before the code. */
static const RefusalRow ROWS[] = {
    {"AUTH_RATE_LIMITED", REFUSAL_RETRY, NULL},
    {"AUTH_TOKEN_MISMATCH", REFUSAL_TOKEN,
     "compare OPENCLAW_GATEWAY_TOKEN or token_file with gateway.auth.token of the gateway"},
    {"AUTH_DEVICE_TOKEN_MISMATCH", REFUSAL_DEVICE_TOKEN,
     "set OPENCLAW_GATEWAY_TOKEN or token_file, so that the gateway issues a new device token"},
    {"AUTH_TOKEN_MISSING", REFUSAL_OPERATOR, "set OPENCLAW_GATEWAY_TOKEN or token_file"},
    {"AUTH_PASSWORD_*", REFUSAL_OPERATOR, "set OPENCLAW_GATEWAY_PASSWORD to the gateway's password"},
    {"AUTH_*", REFUSAL_OPERATOR, "check OPENCLAW_GATEWAY_TOKEN, token_file or OPENCLAW_GATEWAY_PASSWORD"},
    {"PAIRING_REQUIRED", REFUSAL_PAIRING, NULL},
    {"PROTOCOL_MISMATCH", REFUSAL_PROTOCOL, NULL},
    {"DEVICE_IDENTITY_REQUIRED", REFUSAL_OPERATOR,
     "set OPENCLAW_GATEWAY_TOKEN or token_file; the gateway lets nobody in without a token or a device that it knows"},
    {"DEVICE_AUTH_*", REFUSAL_OPERATOR, "the gateway does not accept this device's key; look at: gatehouse device"},
    {"CONTROL_UI_*", REFUSAL_OPERATOR, "the gateway takes this client for its web page; leave the client id at cli"},
    {"NOT_PAIRED", REFUSAL_PAIRING, NULL},
    {"UNAVAILABLE", REFUSAL_NOT_YET, NULL},
    {"INVALID_REQUEST", REFUSAL_OPERATOR, "check the connection settings role, scopes and caps"},
    {"UNAUTHORIZED", REFUSAL_OPERATOR, "check OPENCLAW_GATEWAY_TOKEN, token_file or OPENCLAW_GATEWAY_PASSWORD"},
    {"FORBIDDEN", REFUSAL_OPERATOR, "check the connection settings role and scopes"},
    /* The legacy dialect has numbers only; these two it shares with HTTP. */
    {"401", REFUSAL_OPERATOR, "check OPENCLAW_GATEWAY_TOKEN or token_file"},
    {"403", REFUSAL_OPERATOR, "check OPENCLAW_GATEWAY_TOKEN or token_file"},
};

static bool code_fits(const char *pattern, const char *code)
{
    size_t length = strlen(pattern);
    if (pattern[length - 1] == '*') return strncmp(pattern, code, length - 1) == 0;
    return strcmp(pattern, code) == 0;
}

static const RefusalRow *find_row(const char *code)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        if (code_fits(ROWS[i].code, code)) return &ROWS[i];
    }
    return NULL;
}

static RefusalRow row_for(const FrameError *error)
{
    const RefusalRow *row = find_row(error->detail_code);
    if (!row) row = find_row(error->code);
    if (!row) return (RefusalRow){.kind = REFUSAL_RETRY};
    /* The gateway knows better when it says that another try may do. */
    if (row->kind == REFUSAL_OPERATOR && error->retryable) return (RefusalRow){.kind = REFUSAL_RETRY};
    if (row->kind == REFUSAL_NOT_YET && !error->retryable) return (RefusalRow){.kind = REFUSAL_RETRY};
    return *row;
}

/* The operator pastes the hint into a shell: the id may be nothing but what ids are made of. */
static bool id_is_harmless(const char *id)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";
    return id[0] != '\0' && id[0] != '-' && id[strspn(id, allowed)] == '\0';
}

static void hint_at_pairing(SessionEnding *ending, const char *request_id)
{
    if (id_is_harmless(request_id)) {
        snprintf(ending->hint, sizeof ending->hint, "run: openclaw devices approve %s", request_id);
    } else {
        snprintf(ending->hint, sizeof ending->hint, "run: openclaw devices list, then approve this device");
    }
}

static void hint_at_protocols(SessionEnding *ending, Slice raw)
{
    int64_t expected = 0;
    if (json_get_int(json_find(json_find(raw, "details"), "expectedProtocol"), &expected)) {
        snprintf(ending->hint, sizeof ending->hint,
                 "the gateway speaks protocol %lld, this program %d to %d: update the older one", (long long)expected,
                 SESSION_MIN_PROTOCOL, SESSION_MAX_PROTOCOL);
    } else {
        snprintf(ending->hint, sizeof ending->hint, "this program speaks protocols %d to %d: update the gateway",
                 SESSION_MIN_PROTOCOL, SESSION_MAX_PROTOCOL);
    }
}

/* The configured secret was refused: may the stored device token stand in for it? Never toward a peer that might be
 * somebody else; and not twice, since it stays in place until it is refused itself. */
static bool try_device_token(Session *session, const FrameError *error)
{
    bool allowed = error->can_retry_with_device_token && session->config.device_token_retry &&
                   session->config.identity && session->secrets.device_token && !session->sent_device_token;
    if (allowed) session->prefer_device_token = session->secret_retried = true;
    return allowed;
}

/* The device token was refused and is dropped: is there another secret that has not been refused as well? */
static bool try_configured_secret(Session *session)
{
    bool allowed =
        session->sent_device_token && (session->secrets.token || session->secrets.password) && !session->secret_retried;
    session->prefer_device_token = false;
    if (allowed) session->secret_retried = true;
    return allowed;
}

void session_judge_refusal(Session *session, const FrameError *error, Slice raw, SessionEnding *ending,
                           bool *drop_device_token)
{
    RefusalRow row = row_for(error);
    bool try_other_secret = false;

    *drop_device_token = row.kind == REFUSAL_DEVICE_TOKEN && session->sent_device_token;
    *ending = (SessionEnding){.error = error, .backoff = BACKOFF_FAILED, .retry_after_ms = error->retry_after_ms};
    const char *words = error->message[0] ? error->message : error->code[0] ? error->code : "without a reason";
    session_format(session, ending->reason, sizeof ending->reason, "the gateway refused the connection: %s%s%s%s",
                   words, error->detail_code[0] ? " (" : "", error->detail_code, error->detail_code[0] ? ")" : "");
    if (row.hint) snprintf(ending->hint, sizeof ending->hint, "%s", row.hint);

    switch (row.kind) {
    case REFUSAL_RETRY: break;
    case REFUSAL_NOT_YET: ending->backoff = BACKOFF_NOT_YET; break;
    case REFUSAL_OPERATOR: ending->pause = true; break;
    case REFUSAL_PAIRING:
        ending->pause = true;
        ending->backoff = BACKOFF_PAIRING;
        hint_at_pairing(ending, error->request_id);
        break;
    case REFUSAL_PROTOCOL:
        ending->pause = true;
        hint_at_protocols(ending, raw);
        break;
    case REFUSAL_TOKEN:
        try_other_secret = try_device_token(session, error);
        ending->pause = !try_other_secret;
        break;
    case REFUSAL_DEVICE_TOKEN:
        try_other_secret = try_configured_secret(session);
        ending->pause = !try_other_secret;
        break;
    }
    if (try_other_secret) {
        ending->backoff = BACKOFF_NOT_YET;
        ending->retry_after_ms = 0;
        ending->hint[0] = '\0';
    }
}
