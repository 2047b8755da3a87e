/* identity.c - see identity.h. Ed25519 and SHA-256 come from OpenSSL; both are deterministic, so this stays pure. */
#include "protocol/identity.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include <stdlib.h>

#define PUBLIC_KEY_BYTES 32
#define SIGNATURE_BYTES 64

struct Identity {
    EVP_PKEY *key;
    char id[IDENTITY_ID_SIZE];
    char public_key[IDENTITY_PUBLIC_KEY_SIZE];
};

static void id_of_key(const uint8_t key[PUBLIC_KEY_BYTES], char id[IDENTITY_ID_SIZE])
{
    static const char hex[] = "0123456789abcdef";
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256(key, PUBLIC_KEY_BYTES, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        id[2 * i] = hex[digest[i] >> 4];
        id[2 * i + 1] = hex[digest[i] & 15];
    }
    id[IDENTITY_ID_SIZE - 1] = '\0';
}

Identity *identity_new(const uint8_t seed[IDENTITY_SEED_SIZE])
{
    uint8_t public_key[PUBLIC_KEY_BYTES];
    size_t size = sizeof public_key;
    Identity *identity = calloc(1, sizeof *identity);
    if (!identity) return NULL;
    identity->key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, IDENTITY_SEED_SIZE);
    if (!identity->key || EVP_PKEY_get_raw_public_key(identity->key, public_key, &size) != 1 ||
        size != sizeof public_key) {
        identity_free(identity);
        return NULL;
    }
    id_of_key(public_key, identity->id);
    base64url_encode(public_key, sizeof public_key, identity->public_key);
    return identity;
}

void identity_free(Identity *identity)
{
    if (!identity) return;
    EVP_PKEY_free(identity->key); /* OpenSSL cleanses the private half */
    free(identity);
}

const char *identity_id(const Identity *identity)
{
    return identity->id;
}

const char *identity_public_key(const Identity *identity)
{
    return identity->public_key;
}

bool identity_sign(const Identity *identity, Slice text, char signature[IDENTITY_SIGNATURE_SIZE])
{
    uint8_t bytes[SIGNATURE_BYTES];
    size_t size = sizeof bytes;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = context && EVP_DigestSignInit(context, NULL, NULL, NULL, identity->key) == 1 &&
                EVP_DigestSign(context, bytes, &size, (const uint8_t *)text.data, text.size) == 1 &&
                size == sizeof bytes;
    EVP_MD_CTX_free(context);
    if (done) base64url_encode(bytes, sizeof bytes, signature);
    return done;
}

static bool decode_exactly(Slice text, uint8_t *out, size_t size)
{
    return base64url_decode(text, out, size) == (int)size;
}

bool identity_verify(Slice public_key, Slice text, Slice signature)
{
    uint8_t key_bytes[PUBLIC_KEY_BYTES];
    uint8_t signature_bytes[SIGNATURE_BYTES];
    if (!decode_exactly(public_key, key_bytes, sizeof key_bytes)) return false;
    if (!decode_exactly(signature, signature_bytes, sizeof signature_bytes)) return false;

    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key_bytes, sizeof key_bytes);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool valid =
        key && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
        EVP_DigestVerify(context, signature_bytes, sizeof signature_bytes, (const uint8_t *)text.data, text.size) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return valid;
}

bool identity_id_of(Slice public_key, char id[IDENTITY_ID_SIZE])
{
    uint8_t bytes[PUBLIC_KEY_BYTES];
    if (!decode_exactly(public_key, bytes, sizeof bytes)) return false;
    id_of_key(bytes, id);
    return true;
}

static void write_field(Buffer *out, const char *text)
{
    buffer_append_char(out, '|');
    if (text) buffer_append_text(out, text);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The gateway compares platform and family in this form, so that a changed spelling is no new device. */
static void write_folded_field(Buffer *out, const char *text)
{
    Slice field = slice_of(text);
    while (field.size > 0 && is_space(field.data[0]))
        field = slice_make(field.data + 1, field.size - 1);
    while (field.size > 0 && is_space(field.data[field.size - 1]))
        field.size--;
    buffer_append_char(out, '|');
    for (size_t i = 0; i < field.size; i++) {
        char c = field.data[i];
        buffer_append_char(out, c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c);
    }
}

void identity_write_claim(Buffer *out, const IdentityClaim *claim)
{
    buffer_append_text(out, "v3");
    write_field(out, claim->device_id);
    write_field(out, claim->client_id);
    write_field(out, claim->client_mode);
    write_field(out, claim->role);
    write_field(out, claim->scopes);
    buffer_append_format(out, "|%lld", (long long)claim->signed_at_ms);
    write_field(out, claim->token);
    write_field(out, claim->nonce);
    write_folded_field(out, claim->platform);
    write_folded_field(out, claim->device_family);
}
