/* token_saver.c - one thread for one token; they are rare: the first hello-ok of a gateway, and after a pairing. */
#include "host/token_saver.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct TokenSaver {
    DeviceTokenKey key;
    Log *log;
    pthread_t thread;
    bool running;
    bool drop;
    char token[DEVICE_TOKENS_TOKEN_SIZE];
};

TokenSaver *token_saver_new(const DeviceTokenKey *key, Log *log)
{
    TokenSaver *saver = calloc(1, sizeof *saver);
    if (!saver) return NULL;
    saver->key = *key;
    saver->log = log;
    return saver;
}

static void wait_for_thread(TokenSaver *saver)
{
    if (saver->running) pthread_join(saver->thread, NULL);
    saver->running = false;
}

void token_saver_free(TokenSaver *saver)
{
    if (!saver) return;
    wait_for_thread(saver);
    explicit_bzero(saver->token, sizeof saver->token);
    free(saver);
}

static void *save(void *context)
{
    TokenSaver *saver = context;
    char message[512];
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (!device_tokens_put(&saver->key, saver->drop ? NULL : saver->token, (int64_t)now.tv_sec * 1000, message,
                           sizeof message)) {
        log_print(saver->log, LOG_WARN, NULL, "the device token could not be stored: %s", message);
    }
    return NULL;
}

void token_saver_put(TokenSaver *saver, const char *token)
{
    sigset_t all, before;

    wait_for_thread(saver);
    saver->drop = !token;
    if (token && strlen(token) >= sizeof saver->token) {
        log_print(saver->log, LOG_WARN, NULL, "the gateway's device token is too long to be stored");
        return;
    }
    if (token) memcpy(saver->token, token, strlen(token) + 1);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    saver->running = pthread_create(&saver->thread, NULL, save, saver) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!saver->running) (void)save(saver);
}
