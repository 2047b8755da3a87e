/* identity.h - the device's Ed25519 key as the gateway wants it: id, public key, signature. Pure; files are
 * host/identity_file. */
#ifndef GATEHOUSE_PROTOCOL_IDENTITY_H
#define GATEHOUSE_PROTOCOL_IDENTITY_H

#include "protocol/buffer.h"

#define IDENTITY_SEED_SIZE 32
#define IDENTITY_ID_SIZE 65         /* lower-case hex SHA-256 of the raw public key, and a zero byte */
#define IDENTITY_PUBLIC_KEY_SIZE 44 /* base64url of 32 bytes without padding, and a zero byte */
#define IDENTITY_SIGNATURE_SIZE 87  /* base64url of 64 bytes without padding, and a zero byte */

typedef struct Identity Identity;

/* From 32 secret random bytes. NULL if there is no memory. */
Identity *identity_new(const uint8_t seed[IDENTITY_SEED_SIZE]);
void identity_free(Identity *identity); /* wipes the key */
const char *identity_id(const Identity *identity);
const char *identity_public_key(const Identity *identity);
bool identity_sign(const Identity *identity, Slice text, char signature[IDENTITY_SIGNATURE_SIZE]);

/* For the other side (the simulator): whether `signature` over `text` is that of `public_key`, both base64url. */
bool identity_verify(Slice public_key, Slice text, Slice signature);
/* The id that belongs to a public key; false if it is none. */
bool identity_id_of(Slice public_key, char id[IDENTITY_ID_SIZE]);

/* What is signed. Fields as sent in `connect`; scopes joined by commas in the order sent. */
typedef struct {
    const char *device_id, *client_id, *client_mode, *role, *scopes;
    int64_t signed_at_ms; /* the challenge's ts */
    const char *token;    /* exactly the token sent in auth, "" if none */
    const char *nonce;
    const char *platform, *device_family; /* trimmed and lower-cased here; NULL is "" */
} IdentityClaim;

/* v3|deviceId|clientId|clientMode|role|scopes|signedAtMs|token|nonce|platform|deviceFamily */
void identity_write_claim(Buffer *out, const IdentityClaim *claim);

/* base64url without padding. Decode returns the number of bytes, or -1 for bad text or too little room. */
void base64url_encode(const uint8_t *bytes, size_t size, char *out); /* needs (size * 4 + 2) / 3 + 1 bytes */
int base64url_decode(Slice text, uint8_t *out, size_t room);

#endif
