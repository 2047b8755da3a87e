/* token_saver.h - stores the device token that a gateway issues on a thread of its own: the disk may take its time. */
#ifndef GATEHOUSE_HOST_TOKEN_SAVER_H
#define GATEHOUSE_HOST_TOKEN_SAVER_H

#include "host/device_tokens.h"
#include "host/log.h"

typedef struct TokenSaver TokenSaver;

/* `key` and its texts, and the log, are borrowed. NULL without memory. */
TokenSaver *token_saver_new(const DeviceTokenKey *key, Log *log);
void token_saver_free(TokenSaver *saver); /* waits until the last one is stored; NULL is fine */

/* Stores the token, NULL drops the stored one. Never waits for the disk: while one is being stored, the newest takes its
 * turn after it, and those between the two are skipped. What fails is logged. */
void token_saver_put(TokenSaver *saver, const char *token);

#endif
