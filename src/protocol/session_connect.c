/* session_connect.c - the connect request, and which secret it carries.
 *
 * The gateway's schema is strict: a field that is absent is left out, never null; scopes and caps are arrays, even
 * when they are empty. */
#include "protocol/session_private.h"

#include <openssl/crypto.h>

#include <stdio.h>
#include <stdlib.h>

#define CONNECT_MAX_BYTES 65536 /* the gateway closes with 1009 over a larger frame before hello-ok */
#define NONCE_MAX_BYTES 512

/* What the challenge gives to sign. Gateways of the legacy dialect may give nothing. */
typedef struct {
    char nonce[NONCE_MAX_BYTES + 1];
    int64_t signed_at_ms;
} Challenge;

char *session_copy_secret(const char *secret)
{
    return secret && *secret ? strdup(secret) : NULL;
}

void session_wipe_secret(char **secret)
{
    if (*secret) OPENSSL_cleanse(*secret, strlen(*secret));
    free(*secret);
    *secret = NULL;
}

/* Which secret the next connect carries. */
static bool uses_device_token(const Session *session)
{
    const SessionSecrets *secrets = &session->secrets;
    if (!session->config.identity || !secrets->device_token) return false;
    return session->prefer_device_token || (!secrets->token && !secrets->password);
}

static const char *or_cli(const char *text)
{
    return text ? text : "cli";
}

static const char *role_of(const SessionConfig *config)
{
    return config->role ? config->role : "operator";
}

static void write_string_array(Buffer *out, const char *key, const char *const *texts)
{
    json_write_key(out, key);
    buffer_append_char(out, '[');
    for (size_t i = 0; texts && texts[i]; i++) {
        if (i > 0) buffer_append_char(out, ',');
        json_write_string(out, slice_of(texts[i]));
    }
    buffer_append_char(out, ']');
}

static void write_client(Buffer *out, const SessionConfig *config)
{
    json_write_key(out, "client");
    buffer_append_char(out, '{');
    json_write_member_string(out, "id", or_cli(config->client_id));
    json_write_member_string(out, "displayName", config->display_name);
    json_write_member_string(out, "version", config->client_version);
    json_write_member_string(out, "platform", config->platform);
    json_write_member_string(out, "deviceFamily", config->device_family);
    json_write_member_string(out, "mode", or_cli(config->client_mode));
    buffer_append_char(out, '}');
}

static void write_auth(Buffer *out, const Session *session)
{
    const SessionSecrets *secrets = &session->secrets;
    if (!session->sent_device_token && !secrets->token && !secrets->password) return;
    json_write_key(out, "auth");
    buffer_append_char(out, '{');
    if (session->sent_device_token) {
        json_write_member_string(out, "deviceToken", secrets->device_token);
    } else {
        json_write_member_string(out, "token", secrets->token);
        json_write_member_string(out, "password", secrets->password);
    }
    buffer_append_char(out, '}');
}

static bool sign_claim(const Session *session, const Challenge *challenge, char signature[IDENTITY_SIGNATURE_SIZE])
{
    const SessionConfig *config = &session->config;
    const char *token = session->sent_device_token ? session->secrets.device_token : session->secrets.token;
    Buffer scopes = buffer_with_headroom(0);
    Buffer claim = buffer_with_headroom(0);
    bool done = false;

    for (size_t i = 0; config->scopes && config->scopes[i]; i++) {
        if (i > 0) buffer_append_char(&scopes, ',');
        buffer_append_text(&scopes, config->scopes[i]);
    }
    buffer_append(&scopes, "", 1);
    if (scopes.failed) goto out;
    identity_write_claim(&claim, &(IdentityClaim){.device_id = identity_id(config->identity),
                                                  .client_id = or_cli(config->client_id),
                                                  .client_mode = or_cli(config->client_mode),
                                                  .role = role_of(config),
                                                  .scopes = buffer_slice(&scopes).data,
                                                  .signed_at_ms = challenge->signed_at_ms,
                                                  .token = token ? token : "",
                                                  .nonce = challenge->nonce,
                                                  .platform = config->platform,
                                                  .device_family = config->device_family});
    done = !claim.failed && identity_sign(config->identity, buffer_slice(&claim), signature);
out:
    if (claim.base) OPENSSL_cleanse(claim.base, claim.capacity); /* it holds the token */
    buffer_free(&claim);
    buffer_free(&scopes);
    return done;
}

static bool write_device(Buffer *out, const Session *session, const Challenge *challenge)
{
    char signature[IDENTITY_SIGNATURE_SIZE];
    const Identity *identity = session->config.identity;
    if (!sign_claim(session, challenge, signature)) return false;
    json_write_key(out, "device");
    buffer_append_char(out, '{');
    json_write_member_string(out, "id", identity_id(identity));
    json_write_member_string(out, "publicKey", identity_public_key(identity));
    json_write_member_string(out, "signature", signature);
    json_write_member_int(out, "signedAt", challenge->signed_at_ms);
    json_write_member_string(out, "nonce", challenge->nonce);
    buffer_append_char(out, '}');
    return true;
}

/* False if it has a nonce that cannot be signed. An absent one leaves `nonce` empty. */
static bool read_challenge(Slice payload, Challenge *challenge)
{
    Slice nonce = json_find(payload, "nonce");
    *challenge = (Challenge){0};
    if (!json_get_int(json_find(payload, "ts"), &challenge->signed_at_ms) || json_type(nonce) != JSON_STRING)
        return true;

    Buffer text = buffer_with_headroom(0);
    bool fits = json_get_string(nonce, &text) && buffer_size(&text) <= NONCE_MAX_BYTES &&
                !memchr(buffer_slice(&text).data, '\0', buffer_size(&text));
    if (fits) memcpy(challenge->nonce, buffer_slice(&text).data, buffer_size(&text));
    buffer_free(&text);
    return fits;
}

static bool fail(SessionEnding *ending, unsigned code, bool pause, const char *reason)
{
    *ending = (SessionEnding){.code = code, .backoff = BACKOFF_FAILED, .retry_after_ms = -1, .pause = pause};
    snprintf(ending->reason, sizeof ending->reason, "%s", reason);
    return false;
}

bool session_write_connect(Session *session, Slice payload, Buffer *out, SessionEnding *ending)
{
    const SessionConfig *config = &session->config;
    Challenge challenge;
    if (!read_challenge(payload, &challenge)) {
        return fail(ending, CLOSE_PROTOCOL_ERROR, false, "the gateway's challenge has a nonce that cannot be signed");
    }
    session->sent_device_token = uses_device_token(session);
    buffer_append_char(out, '{');
    json_write_member_int(out, "minProtocol", SESSION_MIN_PROTOCOL);
    json_write_member_int(out, "maxProtocol", SESSION_MAX_PROTOCOL);
    write_client(out, config);
    json_write_member_string(out, "role", role_of(config));
    write_string_array(out, "scopes", config->scopes);
    write_string_array(out, "caps", config->caps);
    write_auth(out, session);
    /* Without a nonce there is nothing to sign; a gateway that insists on a device says so. */
    if (config->identity && challenge.nonce[0] && !write_device(out, session, &challenge)) {
        return fail(ending, CLOSE_NORMAL, false, "the connect request could not be signed");
    }
    buffer_append_char(out, '}');

    session->sink.new_id(session->sink.context, session->connect_id);
    frame_wrap_request(out, session->connect_id, slice_of("connect"));
    if (out->failed) return fail(ending, CLOSE_NORMAL, false, "no memory for the connect request");
    if (buffer_size(out) > CONNECT_MAX_BYTES) {
        return fail(ending, CLOSE_NORMAL, true,
                    "the connect request is over the 64 KiB that a gateway takes: shorten token, scopes or caps");
    }
    return true;
}
