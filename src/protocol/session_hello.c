/* session_hello.c - what is read from hello-ok: the protocol, who the gateway is, its policy, a device token.
 *
 *     {type:"hello-ok",protocol,server{version,connId},features,snapshot,auth{role,scopes,deviceToken?,…},policy{…}}
 *     legacy dialect: {connId,features}
 *
 * A copy is kept for others to read, and what might be a secret is left out of it. */
#include "protocol/session_private.h"

#define TICK_SHORTEST_MS 100
#define TICK_LONGEST_MS 3600000
#define PAYLOAD_SMALLEST 1024 /* bytes; a policy outside of these limits is not believed */
#define PAYLOAD_LARGEST (1u << 30)
#define DEVICE_TOKEN_SIZE 1024 /* bytes, with its zero byte; seen are 43 characters */

/* Of `auth` only this is shown: the rest is device tokens, and what later gateways may issue. */
static void write_auth(Buffer *out, Slice auth)
{
    static const char *const shown[] = {"method", "role", "scopes", "issuedAtMs"};
    json_write_key(out, "auth");
    buffer_append_char(out, '{');
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        json_write_member_raw(out, shown[i], json_find(auth, shown[i]));
    }
    buffer_append_char(out, '}');
}

static Buffer copy_without_secrets(Slice payload)
{
    Buffer out = buffer_with_headroom(0);
    Slice key = {0};
    Slice value = {0};
    JsonCursor cursor = json_cursor(payload);
    char before = '{';
    while (json_next_member(&cursor, &key, &value)) {
        /* No gateway escapes its keys; one that does could hide `auth` that way. */
        if (slice_is(key, "auth") || (key.size > 0 && memchr(key.data, '\\', key.size))) continue;
        buffer_append_char(&out, before);
        buffer_append_char(&out, '"');
        buffer_append_slice(&out, key);
        buffer_append_text(&out, "\":");
        buffer_append_slice(&out, value);
        before = ',';
    }
    if (before == '{') buffer_append_char(&out, '{');
    Slice auth = json_find(payload, "auth");
    if (json_type(auth) == JSON_OBJECT) write_auth(&out, auth);
    buffer_append_char(&out, '}');
    return out;
}

static int64_t policy_number(Slice policy, const char *key, int64_t smallest, int64_t largest, int64_t otherwise)
{
    int64_t number = 0;
    if (!json_get_int(json_find(policy, key), &number)) return otherwise;
    return number >= smallest && number <= largest ? number : otherwise;
}

/* A new one is kept and returned; NULL when there is none or the one that is known already. */
static const char *take_device_token(Session *session, Slice auth)
{
    char token[DEVICE_TOKEN_SIZE];
    char **known = &session->secrets.device_token;
    char *copy = NULL;
    if (!session->config.identity) return NULL; /* it is issued to a device */
    if (!json_copy_string(json_find(auth, "deviceToken"), token, sizeof token)) return NULL;
    if (strlen(token) + 1 < sizeof token && !(*known && strcmp(*known, token) == 0)) copy = session_copy_secret(token);
    if (!copy) return NULL;
    session_wipe_secret(known);
    *known = copy;
    return copy;
}

const char *session_read_hello(Session *session, Slice payload, const char **device_token)
{
    SessionStatus *status = &session->status;
    int64_t protocol = SESSION_MIN_PROTOCOL; /* the legacy dialect does not say */
    Slice conn_id = json_find(payload, "connId");
    Slice server = json_find(payload, "server");
    Slice policy = json_find(payload, "policy");
    bool legacy = json_type(conn_id) == JSON_STRING;

    if (json_type(payload) != JSON_OBJECT ||
        (!legacy && !slice_is(json_plain_string(json_find(payload, "type")), "hello-ok"))) {
        return "the answer to connect is no hello-ok";
    }
    Slice stated = json_find(payload, "protocol");
    if (stated.size > 0 &&
        (!json_get_int(stated, &protocol) || protocol < SESSION_MIN_PROTOCOL || protocol > SESSION_MAX_PROTOCOL)) {
        return "the gateway chose a protocol that was not offered";
    }
    Buffer copy = copy_without_secrets(payload);
    if (copy.failed) {
        buffer_free(&copy);
        return "no memory for hello-ok";
    }
    buffer_free(&session->hello);
    session->hello = copy;

    status->protocol = (int)protocol;
    json_copy_string(json_find(server, "version"), status->server_version, sizeof status->server_version);
    json_copy_string(legacy ? conn_id : json_find(server, "connId"), status->conn_id, sizeof status->conn_id);
    session_clean(session, status->server_version);
    session_clean(session, status->conn_id);
    status->tick_interval_ms =
        policy_number(policy, "tickIntervalMs", TICK_SHORTEST_MS, TICK_LONGEST_MS, SESSION_TICK_MS);
    status->max_payload_bytes =
        (size_t)policy_number(policy, "maxPayload", PAYLOAD_SMALLEST, PAYLOAD_LARGEST, SESSION_MAX_PAYLOAD);
    *device_token = take_device_token(session, json_find(payload, "auth"));
    return NULL;
}
