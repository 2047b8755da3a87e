/* token_saver.c - one slot, in which the newest token waits, and a thread that lives until the slot is empty. Tokens are
 * rare (the first hello-ok of a gateway, and after a pairing), unless a gateway issues one with every hello. */
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
    bool started;         /* there is a thread to be joined */
    pthread_mutex_t lock; /* of all that follows */
    bool writing;         /* the thread will look at the slot again */
    bool waits;           /* the slot is filled */
    bool drop;
    char token[DEVICE_TOKENS_TOKEN_SIZE];
};

TokenSaver *token_saver_new(const DeviceTokenKey *key, Log *log)
{
    TokenSaver *saver = calloc(1, sizeof *saver);
    if (!saver) return NULL;
    saver->key = *key;
    saver->log = log;
    pthread_mutex_init(&saver->lock, NULL);
    return saver;
}

void token_saver_free(TokenSaver *saver)
{
    if (!saver) return;
    if (saver->started) pthread_join(saver->thread, NULL);
    pthread_mutex_destroy(&saver->lock);
    explicit_bzero(saver->token, sizeof saver->token);
    free(saver);
}

static void store(const TokenSaver *saver, const char *token)
{
    char message[512];
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (!device_tokens_put(&saver->key, token, (int64_t)now.tv_sec * 1000, message, sizeof message)) {
        log_print(saver->log, LOG_WARN, NULL, "the device token could not be stored: %s", message);
    }
}

static void *store_until_empty(void *context)
{
    TokenSaver *saver = context;
    char token[DEVICE_TOKENS_TOKEN_SIZE];

    pthread_mutex_lock(&saver->lock);
    while (saver->waits) {
        bool drop = saver->drop;
        memcpy(token, saver->token, sizeof token);
        saver->waits = false;
        pthread_mutex_unlock(&saver->lock);
        store(saver, drop ? NULL : token);
        pthread_mutex_lock(&saver->lock);
    }
    saver->writing = false;
    pthread_mutex_unlock(&saver->lock);
    explicit_bzero(token, sizeof token);
    return NULL;
}

/* Returns whether there is a thread already that will see it. */
static bool fill_slot(TokenSaver *saver, const char *token)
{
    pthread_mutex_lock(&saver->lock);
    bool writing = saver->writing;
    saver->writing = saver->waits = true;
    saver->drop = !token;
    if (token) memcpy(saver->token, token, strlen(token) + 1);
    pthread_mutex_unlock(&saver->lock);
    return writing;
}

static void start_thread(TokenSaver *saver)
{
    sigset_t all, before;

    if (saver->started) pthread_join(saver->thread, NULL); /* it has nothing left to do but to return */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    saver->started = pthread_create(&saver->thread, NULL, store_until_empty, saver) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (saver->started) return;
    saver->writing = saver->waits = false; /* no thread, so no lock */
    log_print(saver->log, LOG_WARN, NULL, "the device token could not be stored: no thread can be started");
}

void token_saver_put(TokenSaver *saver, const char *token)
{
    if (token && strlen(token) >= sizeof saver->token) {
        log_print(saver->log, LOG_WARN, NULL, "the gateway's device token is too long to be stored");
        return;
    }
    if (!fill_slot(saver, token)) start_thread(saver);
}
