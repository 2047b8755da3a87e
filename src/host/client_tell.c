/* client_tell.c - what happens to the connection, in one line each. */
#include "host/client_private.h"
#include "host/host_events.h"

#include <stdio.h>

static void tell_ready(const Client *client, Buffer *out)
{
    SessionStatus status;
    int agents = host_count_agents(session_hello(client->session));

    session_status(client->session, &status);
    buffer_append_format(out, "ready: protocol %d", status.protocol);
    if (agents >= 0) buffer_append_format(out, ", %d agent%s", agents, agents == 1 ? "" : "s");
    if (*status.server_version) buffer_append_format(out, ", gateway %s", status.server_version);
}

/* What gateways say to a client that lets too much pile up. */
static bool read_too_slowly(const SessionNotice *notice)
{
    return notice->code == 1008 && strstr(notice->reason, "slow consumer");
}

static void tell_closed(const Client *client, const SessionNotice *notice, Buffer *out)
{
    if (client->was_ready && read_too_slowly(notice)) {
        buffer_append_format(out, "connection lost: the gateway closed it because it was not read fast enough (%u: %s)",
                             notice->code, notice->reason);
    } else if (client->was_ready && notice->code) {
        buffer_append_format(out, "connection lost (%u: %s)", notice->code, notice->reason);
    } else if (notice->code && !notice->error) {
        buffer_append_format(out, "the connection ended before it was ready (%u: %s)", notice->code, notice->reason);
    } else {
        buffer_append_text(out, notice->reason);
    }
    if (notice->hint) buffer_append_format(out, "; %s", notice->hint);
    if (notice->retry_ms >= 0) buffer_append_format(out, "; next try in %.1f s", (double)notice->retry_ms / 1000);
}

static bool is_pairing(const SessionNotice *notice)
{
    return notice->type == SESSION_NOTICE_PAUSED && notice->retry_ms >= 0;
}

static void tell_paused(const SessionNotice *notice, Buffer *out)
{
    if (is_pairing(notice)) {
        buffer_append_format(out, "waiting for pairing: %s (looks again in %.0f s)",
                             notice->hint ? notice->hint : notice->reason, (double)notice->retry_ms / 1000);
        return;
    }
    buffer_append_text(out, notice->reason);
    if (notice->hint) buffer_append_format(out, "; %s", notice->hint);
}

void client_tell(const Client *client, const SessionNotice *notice, Buffer *out)
{
    switch (notice->type) {
    case SESSION_NOTICE_DIALING: buffer_append_format(out, "connecting to %s", client->shown_url); break;
    case SESSION_NOTICE_READY: tell_ready(client, out); break;
    case SESSION_NOTICE_CLOSED: tell_closed(client, notice, out); break;
    case SESSION_NOTICE_PAUSED: tell_paused(notice, out); break;
    case SESSION_NOTICE_GAP:
        buffer_append_format(out, "events were missed: number %lld was expected, %lld came",
                             (long long)notice->expected, (long long)notice->received);
        break;
    case SESSION_NOTICE_SHUTDOWN:
        buffer_append_format(out, "the gateway is going down%s%s", *notice->reason ? ": " : "", notice->reason);
        break;
    case SESSION_NOTICE_ODD: buffer_append_text(out, notice->reason); break;
    }
}

bool client_notice_is_final(const SessionNotice *notice)
{
    return notice->type == SESSION_NOTICE_PAUSED && notice->retry_ms < 0;
}

/* A gateway that is starting up, or on its way down, is nothing to worry about. */
static bool is_routine(const SessionNotice *notice)
{
    const FrameError *error = notice->error;
    return notice->code == 1012 || notice->code == 1013 ||
           (error && error->retryable && strcmp(error->code, "UNAVAILABLE") == 0);
}

static LogLevel level_of(Client *client, const SessionNotice *notice)
{
    switch (notice->type) {
    case SESSION_NOTICE_READY: *client->told_pairing = '\0'; return LOG_INFO;
    case SESSION_NOTICE_SHUTDOWN: return LOG_INFO;
    case SESSION_NOTICE_GAP: return LOG_WARN;
    case SESSION_NOTICE_ODD: return LOG_DEBUG;
    case SESSION_NOTICE_DIALING: return *client->told_pairing ? LOG_DEBUG : LOG_INFO;
    case SESSION_NOTICE_CLOSED: return is_routine(notice) ? LOG_INFO : LOG_WARN;
    case SESSION_NOTICE_PAUSED: break;
    }
    if (!is_pairing(notice)) return LOG_ERROR;
    /* It looks again every half minute; once is enough for the operator, unless there is another request to approve. */
    const char *hint = notice->hint ? notice->hint : "?";
    bool told = strcmp(client->told_pairing, hint) == 0;
    (void)snprintf(client->told_pairing, sizeof client->told_pairing, "%s", hint);
    return told ? LOG_DEBUG : LOG_WARN;
}

void client_log(Client *client, const SessionNotice *notice)
{
    SessionStatus status;
    Buffer text = {0};

    session_status(client->session, &status);
    /* CLOSED comes before PAUSED, which says the same and what to do. */
    bool doubled = notice->type == SESSION_NOTICE_CLOSED && status.state == SESSION_PAUSED;
    if (!client->config.quiet && !doubled) {
        LogLevel level = level_of(client, notice);
        client_tell(client, notice, &text);
        log_write(client->config.log, level, NULL, buffer_slice(&text), (Slice){0});
    }
    buffer_free(&text);
    if (notice->type == SESSION_NOTICE_READY) client->was_ready = true;
    if (notice->type == SESSION_NOTICE_CLOSED) client->was_ready = false;
}
