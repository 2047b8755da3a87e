/* app_private.h - an app and its generations: what app.c (its life, seen from the I/O thread) and takeover.c (how one generation
 * follows another, seen from their threads) share. */
#ifndef GATEHOUSE_APP_APP_PRIVATE_H
#define GATEHOUSE_APP_APP_PRIVATE_H

#include "app/generation_private.h"

struct App {
    AppConfig config;
    char *name, *path, *data_dir, *settings, *drop_oldest, *drop_newest; /* what the config points to */
    Inbox *inbox;
    Saver *saver;    /* of gw.state: see keep.h */
    bool swept;      /* its thread: what a crash left is gone */
    int64_t told_ms; /* its thread: that it cannot write; 0: never */
    bool started;
    bool launched; /* nobody waits for its first load: it is told as news */
    bool gave_up;  /* … which does not come to an end */
    /* How long the app has been in one step, seen from outside: see app_status. */
    unsigned long long seen_steps;
    int64_t seen_ms;

    pthread_mutex_t lock; /* of all below; taken before a generation's own */
    pthread_cond_t changed;
    Generation *generations; /* all whose threads were not joined yet */
    Generation *current;     /* the inbox's consumer; NULL before the first load */
    Generation *draining;    /* was replaced, its calls that wait have their time of grace */
    Generation *incoming;    /* loads, to follow the current one */
    size_t threads;          /* that have not ended */
    bool stopping;           /* the end has begun: nobody follows any more */
    unsigned last_number;
    Message *connection; /* the last MESSAGE_CONNECTION that was claimed */
    Sources *attempted;  /* what the last load from the disk has read */
    Sources *good;       /* what the last generation before the current one that did well had read */
    AppReloaded result;  /* of the last load, until it is fetched */
    bool has_result;
    AppWish wish; /* of the current generation, until it is fetched */
    char wish_reason[256];
    uint64_t reloads, failed_reloads,
        rollbacks; /* that took over; that did not; of the first, back to earlier sources */
    uint64_t handled, errors, dropped, skipped; /* of generations that were freed */
    int64_t restart_wait_ms, restart_due_ms;    /* see wish.c */

    _Atomic(DeadLetters *) letters; /* set by the first generation's thread; NULL: none are kept */
};

#endif
