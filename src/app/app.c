/* app.c - see app.h. What happens between its generations is in takeover.c. */
#include "app/app_private.h"
#include "app/keep.h"
#include "app/takeover.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define OVERFLOW_FOLDER "overflow" /* in the data folder */

static void relieved(void *context)
{
    App *app = context;
    app->config.port.relieved(app->config.port.context, app);
}

static bool app_destroy(App *app)
{
    if (!keep_close(app)) return false;
    inbox_free(app->inbox);
    dead_letters_free(atomic_load(&app->letters));
    message_unref(app->connection);
    sources_unref(app->attempted);
    sources_unref(app->good);
    pthread_cond_destroy(&app->changed);
    pthread_mutex_destroy(&app->lock);
    free(app->name);
    free(app->path);
    free(app->data_dir);
    free(app->settings);
    free(app->drop_oldest);
    free(app->drop_newest);
    free(app);
    return true;
}

/* NULL for NULL. False without memory. */
static bool copy(const char *text, char **out)
{
    *out = text ? strdup(text) : NULL;
    return *out || !text;
}

static bool copy_strings(App *app, const AppConfig *config)
{
    bool copied = copy(config->name, &app->name) && copy(config->path, &app->path) &&
                  copy(config->data_dir, &app->data_dir) &&
                  copy(config->settings ? config->settings : "{}", &app->settings) &&
                  copy(config->drop_oldest, &app->drop_oldest) && copy(config->drop_newest, &app->drop_newest);
    app->config.name = app->name;
    app->config.path = app->path;
    app->config.data_dir = app->data_dir;
    app->config.settings = app->settings;
    app->config.drop_oldest = app->drop_oldest;
    app->config.drop_newest = app->drop_newest;
    return copied;
}

static bool make_inbox(App *app)
{
    const AppConfig *config = &app->config;
    char folder[PATH_MAX];
    InboxOverflow overflow = {.limit_bytes = config->overflow_bytes,
                              .waits_first = true,
                              .drop_oldest = config->drop_oldest,
                              .drop_newest = config->drop_newest};
    app->inbox = inbox_new(&config->inbox, relieved, app);
    if (!app->inbox) return false;
    int length = config->data_dir ? snprintf(folder, sizeof folder, "%s/" OVERFLOW_FOLDER, config->data_dir)
                                  : (int)sizeof folder;
    bool has_folder = length < (int)sizeof folder;
    if (has_folder && config->backpressure) spill_remove_left(folder);
    if (has_folder && !config->backpressure) overflow.folder = folder;
    return inbox_set_overflow(app->inbox, &overflow);
}

static void set_defaults(AppConfig *config)
{
    if (!config->memory_bytes) config->memory_bytes = APP_MEMORY_BYTES;
    if (!config->stop_ms) config->stop_ms = APP_STOP_MS;
    if (!config->grace_ms) config->grace_ms = APP_GRACE_MS;
    if (!config->load_ms) config->load_ms = APP_LOAD_MS;
    if (!config->cpu_ms) config->cpu_ms = APP_CPU_MS;
    if (!config->rollback_calls) config->rollback_calls = APP_ROLLBACK_CALLS;
    if (!config->rollback_failures) config->rollback_failures = APP_ROLLBACK_FAILURES;
    if (!config->quarantine_failures) config->quarantine_failures = QUARANTINE_FAILURES;
}

App *app_new(const AppConfig *config, char *problem, size_t problem_size)
{
    App *app = calloc(1, sizeof *app);
    if (app) {
        pthread_condattr_t monotonic;
        pthread_mutex_init(&app->lock, NULL);
        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        pthread_cond_init(&app->changed, &monotonic);
        pthread_condattr_destroy(&monotonic);
        app->config = *config;
        set_defaults(&app->config);
        if (copy_strings(app, config) && make_inbox(app) && keep_open(app)) return app;
        app_destroy(app);
    }
    snprintf(problem, problem_size, "not enough memory for the app %s", config->name);
    return NULL;
}

/* --- loads ------------------------------------------------------------------------------------------------------------------------ */

/* A thread for the next generation, in the list; NULL without memory or threads. With the lock held. */
static Generation *add_generation(App *app, ReloadKind kind, const char *reason)
{
    Generation *generation = generation_new(app, &app->config, app->last_number + 1);
    if (!generation) return NULL;
    generation->kind = kind;
    snprintf(generation->reason, sizeof generation->reason, "%s", reason);
    if (kind == RELOAD_BACK && app->good) generation->override = sources_ref(app->good);
    if (kind == RELOAD_AGAIN) generation->override = sources_ref(app->current->sources);
    generation->load_due_ms = generation_now_ms() + app->config.load_ms;
    generation->next = app->generations;
    app->generations = generation;
    app->last_number++;
    app->threads++;
    if (generation->number > 1) app->incoming = generation;
    if (generation_begin(generation)) return generation;
    app->generations = generation->next;
    app->incoming = NULL;
    app->threads--;
    generation_free(generation);
    return NULL;
}

/* The first generation's thread, which does not run, or has ended, comes home. */
static void discard_first(App *app)
{
    Generation *first = app->current;
    app->current = NULL;
    app->generations = NULL;
    generation_go(first);
    generation_free(first);
}

bool app_load(App *app, char *problem, size_t problem_size)
{
    pthread_mutex_lock(&app->lock);
    app->current = add_generation(app, RELOAD_ASKED, "start");
    pthread_mutex_unlock(&app->lock);
    if (!app->current) {
        snprintf(problem, problem_size, "cannot start the app %s: out of memory or threads", app->config.name);
        return false;
    }
    if (generation_await_load(app->current, problem, problem_size)) return true;
    discard_first(app);
    return false;
}

bool app_launch(App *app)
{
    pthread_mutex_lock(&app->lock);
    app->launched = true;
    app->current = add_generation(app, RELOAD_ASKED, "start");
    pthread_mutex_unlock(&app->lock);
    return app->current != NULL;
}

AppLaunch app_launched(App *app, char *problem, size_t problem_size)
{
    Generation *first = app->current;
    pthread_mutex_lock(&first->lock);
    GenerationState state = first->state;
    pthread_mutex_unlock(&first->lock);
    if (state == GENERATION_LOADED) return LAUNCH_LOADED;
    if (state == GENERATION_LOADING && generation_now_ms() < first->load_due_ms) return LAUNCH_LOADS;
    snprintf(problem, problem_size, "%s",
             state == GENERATION_FAILED ? first->problem : "the main chunk does not come to an end");
    app->gave_up = state == GENERATION_LOADING;
    return LAUNCH_FAILED;
}

bool app_start(App *app)
{
    if (!app->current || app->started) return false;
    app->started = true;
    generation_go(app->current);
    return true;
}

/* With the lock held: who loads does not follow, whatever it is at; who stands for it goes on. */
static void call_off(App *app)
{
    if (!app->incoming) return;
    app->incoming->cancelled = true;
    if (app->current) {
        atomic_store(&app->current->pause_wanted, false);
        app->current->paused = false;
    }
    pthread_cond_broadcast(&app->changed);
}

bool app_reload(App *app, ReloadKind kind, const char *reason)
{
    pthread_mutex_lock(&app->lock);
    bool runs = app->started && !app->stopping && app->current && !app->current->ended;
    if (runs && app->incoming && app->incoming->waits_for_turn) call_off(app);
    bool possible = kind != RELOAD_BACK || app->good;
    bool begun = runs && possible && !app->incoming && !app->has_result && add_generation(app, kind, reason);
    pthread_mutex_unlock(&app->lock);
    return begun;
}

Sources *app_sources(App *app, AppSources which)
{
    pthread_mutex_lock(&app->lock);
    Sources *sources = which == SOURCES_ATTEMPTED ? app->attempted : app->current ? app->current->sources : NULL;
    if (sources) sources_ref(sources);
    pthread_mutex_unlock(&app->lock);
    return sources;
}

bool app_reloaded(App *app, AppReloaded *out)
{
    pthread_mutex_lock(&app->lock);
    bool has = app->has_result;
    if (has) *out = app->result;
    app->has_result = false;
    pthread_mutex_unlock(&app->lock);
    return has;
}

AppWish app_wish(App *app, char *reason, size_t reason_size)
{
    pthread_mutex_lock(&app->lock);
    AppWish wish = app->wish;
    app->wish = WISH_NONE;
    snprintf(reason, reason_size, "%s", app->wish_reason);
    pthread_mutex_unlock(&app->lock);
    return wish;
}

/* With the lock held: takes one that has ended, and is not the current one, out of the list; NULL if there is none. */
static Generation *take_ended(App *app)
{
    for (Generation **link = &app->generations; *link; link = &(*link)->next) {
        Generation *generation = *link;
        if (!generation->ended || generation == app->current) continue;
        *link = generation->next;
        app->handled += atomic_load(&generation->handled);
        app->errors += atomic_load(&generation->errors);
        app->dropped += atomic_load(&generation->dropped);
        app->skipped += atomic_load(&generation->skipped);
        return generation;
    }
    return NULL;
}

/* Its time is over: as if it had failed. Whenever its thread comes back, it finds that it is not wanted. */
static void give_up_load(App *app, int64_t now_ms)
{
    Generation *incoming = app->incoming;
    if (!incoming || now_ms < incoming->load_due_ms) return;
    call_off(app);
    takeover_attempted(incoming); /* so that --watch does not try the same again */
    app->incoming = NULL;
    app->failed_reloads++;
    app->result = (AppReloaded){.outcome = RELOADED_FAILED,
                                .kind = incoming->kind,
                                .generation = incoming->number,
                                .before = app->current->number};
    snprintf(app->result.text, sizeof app->result.text,
             "%s: the main chunk did not come to an end within %lld s: it registers handlers and returns",
             incoming->main_file, (long long)(app->config.load_ms / 1000));
    app->has_result = true;
}

void app_tidy(App *app, int64_t now_ms)
{
    pthread_mutex_lock(&app->lock);
    give_up_load(app, now_ms);
    for (Generation *ended; (ended = take_ended(app));) {
        pthread_mutex_unlock(&app->lock);
        generation_free(ended); /* waits for a thread that is through */
        pthread_mutex_lock(&app->lock);
    }
    pthread_mutex_unlock(&app->lock);
}

/* --- messages ---------------------------------------------------------------------------------------------------------------------- */

static bool push(App *app, Message *message)
{
    bool pushed = message && inbox_push(app->inbox, &message, 1);
    if (!pushed) message_unref(message);
    return pushed;
}

bool app_eval(App *app, uint64_t token, Slice code)
{
    return push(app, message_eval(token, code));
}

void app_stop(App *app)
{
    pthread_mutex_lock(&app->lock);
    app->stopping = true;
    call_off(app);
    pthread_cond_broadcast(&app->changed);
    pthread_mutex_unlock(&app->lock);
    (void)push(app, message_stop());
}

/* --- to look at --------------------------------------------------------------------------------------------------------------------- */

static void read_steps(App *app, Generation *generation, int64_t now_ms, AppStatus *out)
{
    unsigned long long steps = atomic_load(&generation->steps);
    pthread_mutex_lock(&generation->lock); /* so that its label stays */
    const char *doing = atomic_load(&generation->doing);
    if (doing) snprintf(out->running, sizeof out->running, "%s", doing);
    pthread_mutex_unlock(&generation->lock);
    if (steps != app->seen_steps || !doing) {
        app->seen_steps = steps;
        app->seen_ms = now_ms;
    }
    out->busy_ms = now_ms - app->seen_ms;
    if (!doing || !watchdog_place(generation->watchdog, out->place)) *out->place = 0;
}

static void read_counts(const App *app, AppStatus *out)
{
    out->handled = app->handled;
    out->errors = app->errors;
    out->dropped = app->dropped;
    out->skipped = app->skipped;
    for (Generation *generation = app->generations; generation; generation = generation->next) {
        out->handled += atomic_load(&generation->handled);
        out->errors += atomic_load(&generation->errors);
        out->dropped += atomic_load(&generation->dropped);
        out->skipped += atomic_load(&generation->skipped);
        if (atomic_load(&generation->condemned) && !generation->ended) out->abandoned++;
    }
    out->reloads = app->reloads;
    out->failed_reloads = app->failed_reloads;
    out->rollbacks = app->rollbacks;
}

static int64_t cpu_ms(const Generation *generation)
{
    clockid_t clock;
    struct timespec used;
    if (generation->ended || pthread_getcpuclockid(generation->thread, &clock) != 0 || clock_gettime(clock, &used) != 0)
        return 0;
    return (int64_t)used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

void app_status(App *app, int64_t now_ms, AppStatus *out)
{
    *out = (AppStatus){.generation = 0};
    inbox_stats(app->inbox, &out->inbox);
    pthread_mutex_lock(&app->lock);
    Generation *current = app->current;
    read_counts(app, out);
    if (app->draining) out->draining = app->draining->number;
    if (app->incoming) out->incoming = app->incoming->number;
    if (current) {
        out->generation = current->number;
        out->stands = current->paused;
        out->loaded_ms = atomic_load(&current->loaded_ms);
        out->memory_bytes = atomic_load(&current->memory.used_bytes);
        out->memory_limit_bytes = current->memory.limit_bytes;
        out->cpu_ms = cpu_ms(current);
        read_steps(app, current, now_ms, out);
    }
    pthread_mutex_unlock(&app->lock);
}

static void describe(const Handler *handler, HandlerStatus *out)
{
    *out = (HandlerStatus){.pattern = handler->pattern,
                           .label = handler->label,
                           .errors = atomic_load(&handler->errors),
                           .skipped = atomic_load(&handler->skipped),
                           .queued = atomic_load(&handler->waiting),
                           .running = atomic_load(&handler->running),
                           .off = atomic_load(&handler->off)};
    latency_summary(&handler->latency, &out->latency);
    out->handled = out->latency.count;
}

void app_each_handler(App *app, void (*each)(void *context, const HandlerStatus *handler), void *context)
{
    pthread_mutex_lock(&app->lock);
    Generation *current = app->current;
    if (current) pthread_mutex_lock(&current->lock);
    for (const Handler *handler = current ? current->handlers : NULL; handler; handler = handler->next) {
        HandlerStatus status;
        if (handler->removed) continue;
        describe(handler, &status);
        each(context, &status);
    }
    if (current) pthread_mutex_unlock(&current->lock);
    pthread_mutex_unlock(&app->lock);
}

void app_look(App *app)
{
    pthread_mutex_lock(&app->lock);
    const Generation *current = app->current;
    if (current && current->begun && !current->ended) watchdog_look(current->watchdog);
    pthread_mutex_unlock(&app->lock);
}

/* --- the end ------------------------------------------------------------------------------------------------------------------------- */

bool app_ended_well(const App *app)
{
    return !app->current || !atomic_load(&app->current->spoiled);
}

/* Those that have ended come home; the others are left to themselves. False if there are any. */
static bool free_generations(App *app)
{
    bool all = true;
    for (Generation *generation = app->generations, *next; generation; generation = next) {
        next = generation->next;
        pthread_mutex_lock(&app->lock);
        bool ended = generation->ended;
        pthread_mutex_unlock(&app->lock);
        if (ended)
            generation_free(generation);
        else
            generation_abandon(generation);
        all = all && ended;
    }
    app->generations = NULL;
    return all;
}

/* The first one's main chunk has not come to its end: nobody knows when it will. */
static bool still_loads(App *app)
{
    Generation *first = app->current;
    pthread_mutex_lock(&first->lock);
    bool loads = first->state == GENERATION_LOADING;
    pthread_mutex_unlock(&first->lock);
    return loads;
}

bool app_free(App *app)
{
    if (!app) return true;
    if (app->current && (!app->started || app->config.dry_run) && !app->gave_up && !still_loads(app)) {
        app->config.dry_run = true; /* it was loaded only */
        discard_first(app);
    }
    return free_generations(app) && app_destroy(app);
}

const char *app_name(const App *app)
{
    return app->config.name;
}

const char *app_path(const App *app)
{
    return app->config.path;
}

Inbox *app_inbox(App *app)
{
    return app->inbox;
}

void *app_extension(const App *app)
{
    return app->config.extension;
}
