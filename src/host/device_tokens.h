/* device_tokens.h - the tokens that gateways issued to this device: `device-tokens.json` in the state folder, one for
 * each gateway and role. */
#ifndef GATEHOUSE_HOST_DEVICE_TOKENS_H
#define GATEHOUSE_HOST_DEVICE_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEVICE_TOKENS_TOKEN_SIZE 1024 /* bytes, with the zero byte */

typedef struct {
    const char *state_dir;
    const char *device_id; /* tokens of another device do not count */
    const char *url;       /* of the gateway, compared byte by byte */
    const char *role;
} DeviceTokenKey;

/* Copies the stored token, "" if there is none. False with a sentence in `message` if the file cannot be read or is
 * damaged. */
bool device_tokens_get(const DeviceTokenKey *key, char token[DEVICE_TOKENS_TOKEN_SIZE], char *message,
                       size_t message_size);

/* Stores the token, or with NULL drops the stored one. `now_ms` is the wall clock. False with a sentence in `message`;
 * what was stored is unchanged then. */
bool device_tokens_put(const DeviceTokenKey *key, const char *token, int64_t now_ms, char *message,
                       size_t message_size);

/* Calls `each` for every stored token, with what it is for; the token itself is not shown. False with a sentence in `message`. */
bool device_tokens_each(const char *state_dir, const char *device_id,
                        void (*each)(void *context, const char *url, const char *role, int64_t saved_at_ms),
                        void *context, char *message, size_t message_size);

#endif
