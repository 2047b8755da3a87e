/* token_saver.c - tokens through app/saver.h: a byte that says whether there is one, and the token. */
#include "host/token_saver.h"

#include "app/saver.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEEP 'k'
#define DROP 'd'

struct TokenSaver {
    DeviceTokenKey key;
    Log *log;
    Saver *saver;
};

static void tell(const TokenSaver *saver, const char *reason)
{
    log_print(saver->log, LOG_WARN, NULL, "the device token could not be stored: %s", reason);
}

static bool store(void *context, Slice bytes, char *problem, size_t size)
{
    const TokenSaver *saver = context;
    char token[DEVICE_TOKENS_TOKEN_SIZE] = "";
    struct timespec now;

    memcpy(token, bytes.data + 1, bytes.size - 1);
    clock_gettime(CLOCK_REALTIME, &now);
    bool stored =
        device_tokens_put(&saver->key, bytes.data[0] == KEEP ? token : NULL, (int64_t)now.tv_sec * 1000, problem, size);
    explicit_bzero(token, sizeof token);
    if (!stored) tell(saver, problem);
    return stored;
}

TokenSaver *token_saver_new(const DeviceTokenKey *key, Log *log)
{
    TokenSaver *saver = calloc(1, sizeof *saver);

    if (!saver) return NULL;
    saver->key = *key;
    saver->log = log;
    saver->saver = saver_new(&(SaverConfig){.write = store, .context = saver, .secret = true});
    if (saver->saver) return saver;
    free(saver);
    return NULL;
}

void token_saver_free(TokenSaver *saver)
{
    char problem[512];

    if (!saver) return;
    (void)saver_flush(saver->saver, INT64_MAX, problem, sizeof problem);
    (void)saver_free(saver->saver);
    free(saver);
}

void token_saver_put(TokenSaver *saver, const char *token)
{
    Buffer bytes = buffer_with_headroom(0);

    if (token && strlen(token) >= DEVICE_TOKENS_TOKEN_SIZE) {
        log_print(saver->log, LOG_WARN, NULL, "the gateway's device token is too long to be stored");
        return;
    }
    buffer_append_char(&bytes, token ? KEEP : DROP);
    if (token) buffer_append_text(&bytes, token);
    if (bytes.failed) {
        tell(saver, "not enough memory");
        buffer_free(&bytes);
    } else if (!saver_put(saver->saver, &bytes)) {
        tell(saver, "no thread can be started");
    }
}
