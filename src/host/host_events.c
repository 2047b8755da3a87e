/* host_events.c - see host_events.h. What the gateway sent stays raw JSON, so nothing is lost on the way to the apps. */
#include "host/host_events.h"

#include "protocol/json.h"

/* Lists and tables that apps index without asking first. */
static Slice or_else(Slice value, const char *otherwise)
{
    return value.size > 0 && json_type(value) != JSON_NULL ? value : slice_of(otherwise);
}

static void write_grant(Buffer *out, Slice hello)
{
    Slice features = json_find(hello, "features"); /* the legacy dialect has it in the same place */

    json_write_member_raw(out, "scopes", or_else(json_find(json_find(hello, "auth"), "scopes"), "[]"));
    json_write_member_raw(out, "methods", or_else(json_find(features, "methods"), "[]"));
    json_write_member_raw(out, "events", or_else(json_find(features, "events"), "[]"));
    json_write_member_raw(out, "policy", or_else(json_find(hello, "policy"), "{}"));
}

void host_write_info(Buffer *out, const SessionStatus *status, Slice hello)
{
    buffer_append_char(out, '{');
    json_write_member_string(out, "state", session_state_name(status->state));
    json_write_member_int(out, "connection", status->connection);
    if (status->state == SESSION_READY) {
        json_write_member_int(out, "protocol", status->protocol);
        json_write_member_string(out, "server_version", status->server_version);
        json_write_member_string(out, "conn_id", status->conn_id);
        write_grant(out, hello);
    }
    buffer_append_char(out, '}');
}

void host_write_ready(Buffer *out, const SessionStatus *status, Slice hello)
{
    buffer_append_char(out, '{');
    json_write_member_int(out, "protocol", status->protocol);
    json_write_member_int(out, "connection", status->connection);
    json_write_member_string(out, "conn_id", status->conn_id);
    json_write_member_raw(out, "server", or_else(json_find(hello, "server"), "{}"));
    write_grant(out, hello);
    json_write_member_raw(out, "snapshot", or_else(json_find(hello, "snapshot"), "{}"));
    buffer_append_char(out, '}');
}

/* In the words that an err has in Lua. */
static void write_error(Buffer *out, const FrameError *error)
{
    if (!error) return;
    json_write_key(out, "error");
    buffer_append_char(out, '{');
    json_write_member_string(out, "code", error->code);
    json_write_member_string(out, "message", error->message);
    json_write_member_bool(out, "retryable", error->retryable);
    if (error->retry_after_ms >= 0) json_write_member_int(out, "retry_after_ms", error->retry_after_ms);
    if (*error->detail_code) {
        json_write_key(out, "details");
        buffer_append_char(out, '{');
        json_write_member_string(out, "code", error->detail_code);
        if (*error->detail_reason) json_write_member_string(out, "reason", error->detail_reason);
        if (*error->request_id) json_write_member_string(out, "requestId", error->request_id);
        buffer_append_char(out, '}');
    }
    buffer_append_char(out, '}');
}

static void write_retry(Buffer *out, const SessionNotice *notice)
{
    if (notice->retry_ms >= 0) json_write_member_int(out, "retry_ms", notice->retry_ms);
}

void host_write_closed(Buffer *out, const SessionNotice *notice)
{
    buffer_append_char(out, '{');
    json_write_member_int(out, "code", notice->code);
    json_write_member_string(out, "reason", notice->reason);
    write_retry(out, notice);
    write_error(out, notice->error);
    buffer_append_char(out, '}');
}

void host_write_paused(Buffer *out, const SessionNotice *notice)
{
    const FrameError *error = notice->error;
    const char *code = "REFUSED"; /* a certificate, a policy of our own: the gateway has not said anything */

    if (error && *error->detail_code) {
        code = error->detail_code;
    } else if (error && *error->code) {
        code = error->code;
    }
    buffer_append_char(out, '{');
    json_write_member_string(out, "code", code);
    json_write_member_string(out, "message", notice->reason);
    json_write_member_string(out, "hint", notice->hint);
    write_retry(out, notice);
    buffer_append_char(out, '}');
}

void host_write_gap(Buffer *out, const SessionNotice *notice)
{
    buffer_append_char(out, '{');
    json_write_member_int(out, "expected", notice->expected);
    json_write_member_int(out, "received", notice->received);
    buffer_append_char(out, '}');
}

int host_count_agents(Slice hello)
{
    Slice agents = json_find(json_find(json_find(hello, "snapshot"), "health"), "agents");
    JsonCursor cursor = json_cursor(agents);
    Slice agent;
    int count = 0;

    if (json_type(agents) != JSON_ARRAY) return -1;
    while (json_next_element(&cursor, &agent)) {
        count++;
    }
    return count;
}
