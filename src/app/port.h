/* port.h - what an app may ask of the world: its outbox. The host implements it; every function may be called from any thread,
 * does not wait, and copies or takes what it is given. */
#ifndef GATEHOUSE_APP_PORT_H
#define GATEHOUSE_APP_PORT_H

#include "protocol/buffer.h"

typedef struct App App;

typedef enum { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR } LogLevel;

typedef struct {
    Slice method;
    Buffer params;       /* raw JSON object or empty, BUFFER_FRAME_HEADROOM in front */
    int64_t timeout_ms;  /* over all; 0: the default */
    int64_t wait_ms;     /* for a connection; 0: none */
    bool final;          /* wait for the second response; the first comes with last = false */
    bool resend;         /* params carry an idempotencyKey */
    unsigned generation; /* whose: comes back with the response */
} AppRequest;

typedef struct {
    void *context;
    /* Answered by MESSAGE_RESPONSE with `token`, exactly once with last = true. Takes request->params. False without memory: then no answer comes. */
    bool (*request)(void *context, App *app, uint64_t token, AppRequest *request);
    void (*cancel)(void *context, App *app, unsigned generation,
                   uint64_t token); /* nobody waits for it any more; its answer may come all the same and is dropped */
    void (*subscribe)(void *context, App *app, Slice pattern,
                      bool wanted); /* one more (one fewer) handler of this pattern */
    void (*log)(void *context, const char *app, LogLevel level, Slice message,
                Slice fields);                   /* fields: raw JSON object or empty */
    bool (*logs)(void *context, LogLevel level); /* whether that level is written at all */
    void (*relieved)(void *context, App *app);   /* its inbox has room again */
    void (*ended)(void *context, App *app);      /* its last thread is about to end, after app_stop */
    void (*news)(
        void *context,
        App *
            app); /* a load came to its end, a generation ended or wishes something: app_tidy, app_reloaded, app_wish */
    void (*evaluated)(void *context, App *app, uint64_t token, bool ok, Slice text); /* of app_eval; may be NULL */
} AppPort;

#endif
