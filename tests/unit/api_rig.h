/* api_rig.h - an app with the real bindings in a world of the test's making: files in a folder of its own, events
 * that the test pushes, requests that the test answers, a log that the test waits for. Included once by each
 * test_api_*.c. */
#ifndef GATEHOUSE_TESTS_API_RIG_H
#define GATEHOUSE_TESTS_API_RIG_H

#include "api/api.h"

#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define RIG_PATIENCE_S 10
#define RIG_REQUESTS 64

typedef struct {
    uint64_t token;
    char method[64], params[1024];
    int64_t timeout_ms, wait_ms;
    bool final, resend, cancelled;
} RigRequest;

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char folder[64], data_dir[80];
    char log[65536]; /* lines: level message fields */
    LogLevel level;  /* below it nothing is written */
    RigRequest requests[RIG_REQUESTS];
    size_t request_count;
    bool refuses; /* port->request finds no memory */
    int news;     /* calls of port->news */
    bool ended, dry_run;
    const char *settings;
    size_t memory_bytes;
    int64_t stop_ms;
    AppBindings bindings;
    char problem[4096]; /* of a load that failed */
    App *app;
} Rig;

static inline void rig_changed(Rig *rig)
{
    pthread_cond_broadcast(&rig->changed);
    pthread_mutex_unlock(&rig->lock);
}

/* --- the port ----------------------------------------------------------------------------------------------------- */

static inline bool rig_request(void *context, App *app, uint64_t token, AppRequest *request)
{
    Rig *rig = context;
    (void)app;
    if (rig->refuses) return false;
    pthread_mutex_lock(&rig->lock);
    assert_true(rig->request_count < RIG_REQUESTS);
    RigRequest *kept = &rig->requests[rig->request_count++];
    *kept = (RigRequest){.token = token,
                         .timeout_ms = request->timeout_ms,
                         .wait_ms = request->wait_ms,
                         .final = request->final,
                         .resend = request->resend};
    snprintf(kept->method, sizeof kept->method, "%.*s", SLICE_ARGS(request->method));
    snprintf(kept->params, sizeof kept->params, "%.*s", SLICE_ARGS(buffer_slice(&request->params)));
    buffer_free(&request->params);
    rig_changed(rig);
    return true;
}

static inline void rig_cancel(void *context, App *app, unsigned generation, uint64_t token)
{
    Rig *rig = context;
    (void)app;
    (void)generation;
    pthread_mutex_lock(&rig->lock);
    for (size_t i = 0; i < rig->request_count; i++)
        if (rig->requests[i].token == token) rig->requests[i].cancelled = true;
    rig_changed(rig);
}

static inline void rig_subscribe(void *context, App *app, Slice pattern, bool wanted)
{
    (void)context;
    (void)app;
    (void)pattern;
    (void)wanted;
}

static inline void rig_log(void *context, const char *app, LogLevel level, Slice message, Slice fields)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    Rig *rig = context;
    (void)app;
    pthread_mutex_lock(&rig->lock);
    size_t used = strlen(rig->log);
    snprintf(rig->log + used, sizeof rig->log - used, "%s %.*s %.*s\n", names[level], SLICE_ARGS(message),
             SLICE_ARGS(fields));
    rig_changed(rig);
}

static inline bool rig_logs(void *context, LogLevel level)
{
    return level >= ((Rig *)context)->level;
}

static inline void rig_relieved(void *context, App *app)
{
    (void)context;
    (void)app;
}

static inline void rig_news(void *context, App *app)
{
    Rig *rig = context;
    (void)app;
    pthread_mutex_lock(&rig->lock);
    rig->news++;
    rig_changed(rig);
}

static inline void rig_app_ended(void *context, App *app)
{
    Rig *rig = context;
    (void)app;
    pthread_mutex_lock(&rig->lock);
    rig->ended = true;
    rig_changed(rig);
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static inline void rig_file(Rig *rig, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", rig->folder, name);
    for (char *slash = path + strlen(rig->folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* The content; the caller frees it. NULL: there is no such file. */
static inline char *rig_read(Rig *rig, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", rig->folder, name);
    FILE *file = fopen(path, "r");
    if (!file) return NULL;
    char *text = calloc(1, 65536);
    assert_non_null(text);
    assert_true(fread(text, 1, 65535, file) < 65535);
    fclose(file);
    return text;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static inline Rig *rig_new(void)
{
    Rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    pthread_mutex_init(&rig->lock, NULL);
    pthread_cond_init(&rig->changed, NULL);
    strcpy(rig->folder, "/tmp/gatehouse-api-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    snprintf(rig->data_dir, sizeof rig->data_dir, "%s/data", rig->folder);
    assert_int_equal(mkdir(rig->data_dir, 0700), 0);
    rig->bindings = api_bindings();
    rig->stop_ms = 2000;
    rig->memory_bytes = 64u << 20;
    return rig;
}

/* Loads `text` as app/main.lua. False with `problem`. */
static inline bool rig_load(Rig *rig, const char *text)
{
    char path[128];
    rig_file(rig, "app/main.lua", text);
    snprintf(path, sizeof path, "%s/app/main.lua", rig->folder);
    AppConfig config = {
        .name = "rig",
        .path = path,
        .data_dir = rig->data_dir,
        .settings = rig->settings,
        .memory_bytes = rig->memory_bytes,
        .dry_run = rig->dry_run,
        .stop_ms = rig->stop_ms,
        .cpu_ms = -1, /* a sanitizer makes scripts slow */
        .port = {rig, rig_request, rig_cancel, rig_subscribe, rig_log, rig_logs, rig_relieved, rig_app_ended, rig_news,
                 NULL},
        .bindings = rig->bindings,
    };
    rig->ended = false;
    rig->app = app_new(&config, rig->problem, sizeof rig->problem);
    assert_non_null(rig->app);
    return app_load(rig->app, rig->problem, sizeof rig->problem);
}

static inline void rig_run(Rig *rig, const char *text)
{
    if (!rig_load(rig, text)) fail_msg("the app does not load: %s", rig->problem);
    assert_true(app_start(rig->app));
}

static inline void rig_await(Rig *rig, bool (*done)(const Rig *rig, const void *argument), const void *argument,
                             const char *what)
{
    struct timespec due;
    int status = 0;
    clock_gettime(CLOCK_REALTIME, &due);
    due.tv_sec += RIG_PATIENCE_S;
    pthread_mutex_lock(&rig->lock);
    while (!done(rig, argument) && status == 0)
        status = pthread_cond_timedwait(&rig->changed, &rig->lock, &due);
    bool is = done(rig, argument);
    pthread_mutex_unlock(&rig->lock);
    if (!is) fail_msg("waited in vain for: %s\nlog:\n%s", what, rig->log);
}

static inline bool rig_has_ended(const Rig *rig, const void *unused)
{
    (void)unused;
    return rig->ended;
}

static inline void rig_stop(Rig *rig)
{
    app_stop(rig->app);
    rig_await(rig, rig_has_ended, NULL, "the end of the app");
    assert_true(app_free(rig->app));
    rig->app = NULL;
}

static inline int rig_remove(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

static inline void rig_free(Rig *rig)
{
    if (rig->app) app_free(rig->app);
    assert_int_equal(nftw(rig->folder, rig_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
    pthread_cond_destroy(&rig->changed);
    pthread_mutex_destroy(&rig->lock);
    free(rig);
}

/* --- what happens ------------------------------------------------------------------------------------------------- */

static inline bool rig_logged(const Rig *rig, const void *text)
{
    return strstr(rig->log, text) != NULL;
}

static inline void rig_await_log(Rig *rig, const char *text)
{
    rig_await(rig, rig_logged, text, text);
}

static inline bool rig_has_requests(const Rig *rig, const void *count)
{
    return rig->request_count >= *(const size_t *)count;
}

static inline RigRequest *rig_await_request(Rig *rig, size_t number)
{
    rig_await(rig, rig_has_requests, &number, "a request");
    return &rig->requests[number - 1];
}

static inline void rig_push(Rig *rig, Message *message)
{
    assert_non_null(message);
    assert_true(inbox_push(app_inbox(rig->app), &message, 1));
}

static inline void rig_event(Rig *rig, const char *name, const char *payload)
{
    EventFields fields = {
        .name = slice_of(name), .payload = slice_of(payload), .seq = 7, .received_ms = 1000, .connection = 1};
    rig_push(rig, message_event(&fields));
}

static inline void rig_answer(Rig *rig, const RigRequest *request, bool ok, bool last, const char *body)
{
    rig_push(rig, message_response(1, request->token, ok, last, slice_of(body)));
}

static inline size_t rig_count(const Rig *rig, const char *text)
{
    size_t count = 0;
    for (const char *at = rig->log; (at = strstr(at, text)); at += strlen(text))
        count++;
    return count;
}

/* Runs a script whose assertions speak for themselves: it logs "done" when all of them held. */
static inline void rig_check(const char *text)
{
    Rig *rig = rig_new();
    rig_run(rig, text);
    rig_await_log(rig, "info done");
    if (strstr(rig->log, "\nerror ") || strncmp(rig->log, "error ", 6) == 0) fail_msg("errors:\n%s", rig->log);
    rig_stop(rig);
    rig_free(rig);
}

/* Loads a script that must fail, with that text in the message. */
static inline void rig_refused(const char *text, const char *message)
{
    Rig *rig = rig_new();
    if (rig_load(rig, text)) fail_msg("loaded, though it should not: %s", text);
    if (!strstr(rig->problem, message)) fail_msg("%s\n    expected: %s\n    came:     %s", text, message, rig->problem);
    rig_free(rig);
}

#endif
