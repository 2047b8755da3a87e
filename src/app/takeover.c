/* takeover.c - see takeover.h. */
#include "app/app_private.h"
#include "app/handover.h"
#include "app/keep.h"
#include "app/takeover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define PATIENCE_MS 2000 /* on top of the time that a handler's call may take, until it is replaced by force */

static bool fail(Generation *incoming, ReloadOutcome outcome, const char *problem)
{
    incoming->outcome = outcome;
    snprintf(incoming->problem, sizeof incoming->problem, "%s", problem);
    return false;
}

/* --- the incoming one ----------------------------------------------------------------------------------------------------------- */

bool takeover_begin(Generation *incoming)
{
    App *app = incoming->app;
    if (incoming->kind != RELOAD_CHANGED) return true;
    pthread_mutex_lock(&app->lock);
    Sources *attempted = app->attempted ? sources_ref(app->attempted) : NULL;
    pthread_mutex_unlock(&app->lock);
    bool same = attempted && sources_same_on_disk(attempted);
    sources_unref(attempted);
    return !same || fail(incoming, RELOADED_UNCHANGED, "nothing has changed");
}

/* What came from elsewhere than the disk says nothing about what is there. */
void takeover_attempted(Generation *incoming)
{
    App *app = incoming->app;
    sources_seal(incoming->sources);
    if (incoming->override) return;
    sources_unref(app->attempted);
    app->attempted = sources_ref(incoming->sources);
}

/* One that was given up has been attempted, and perhaps another one since. */
void takeover_loaded(Generation *incoming)
{
    App *app = incoming->app;
    pthread_mutex_lock(&app->lock);
    if (app->incoming == incoming || app->current == incoming) takeover_attempted(incoming);
    pthread_mutex_unlock(&app->lock);
}

/* With the lock held: whether it may go on. */
static bool check_wanted(Generation *incoming)
{
    if (incoming->app->stopping) return fail(incoming, RELOADED_FAILED, "the app is stopping");
    if (incoming->cancelled) return fail(incoming, RELOADED_SUPERSEDED, "a newer reload takes its place");
    return true;
}

static struct timespec time_at(int64_t ms)
{
    return (struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
}

/* With the lock held: nobody waits for it any more, should it ever come back. */
static void write_off(App *app, Generation *draining)
{
    app->draining = NULL;
    pthread_mutex_lock(&draining->lock);
    atomic_store(&draining->condemned, true);
    pthread_mutex_unlock(&draining->lock);
    generation_asks_no_more(draining);
    atomic_store(&app->current->holds_over, true);
    generation_look_up(app->current);
}

static bool await_turn(Generation *incoming)
{
    App *app = incoming->app;
    incoming->waits_for_turn = true;
    while (app->draining && check_wanted(incoming)) {
        Generation *draining = app->draining;
        struct timespec due = time_at(draining->drain_due_ms);
        if (pthread_cond_timedwait(&app->changed, &app->lock, &due) == ETIMEDOUT && app->draining == draining)
            write_off(app, draining);
    }
    incoming->waits_for_turn = false;
    return check_wanted(incoming);
}

/* Until the current one stands; false when it does not in time. */
static bool await_border(Generation *incoming)
{
    App *app = incoming->app;
    Generation *current = app->current;
    int64_t cpu_ms = app->config.cpu_ms > 0 ? app->config.cpu_ms : APP_CPU_MS;
    int64_t due_ms = generation_now_ms() + cpu_ms + PATIENCE_MS;
    struct timespec due = time_at(due_ms);
    atomic_store(&current->pause_wanted, true);
    generation_look_up(current);
    while (!current->paused && !current->ended && check_wanted(incoming))
        if (pthread_cond_timedwait(&app->changed, &app->lock, &due) == ETIMEDOUT) break;
    return current->paused || current->ended;
}

/* With the lock held, on its thread, outside of Lua or where the script asks for gw.state. */
static void set_connection(Generation *incoming)
{
    const App *app = incoming->app;
    message_unref(incoming->connection);
    incoming->connection = app->connection ? message_ref(app->connection) : NULL;
}

static bool inherit(Generation *incoming)
{
    App *app = incoming->app;
    const Generation *current = app->current;
    if (!check_wanted(incoming)) return false;
    if (current->paused && *current->pause_problem) return fail(incoming, RELOADED_FAILED, current->pause_problem);
    if (!keep_latest(app, &incoming->inheritance))
        return fail(incoming, RELOADED_FAILED, "there is not enough memory for gw.state");
    set_connection(incoming);
    incoming->inherited = true;
    incoming->load_due_ms = generation_now_ms() + app->config.load_ms; /* that it had to wait was not its fault */
    return true;
}

bool takeover_ask(Generation *incoming)
{
    App *app = incoming->app;
    if (incoming->inherited) return true;
    pthread_mutex_lock(&app->lock);
    incoming->load_due_ms = INT64_MAX;
    bool may = await_turn(incoming);
    if (may) incoming->forces = !await_border(incoming);
    may = may && inherit(incoming);
    pthread_mutex_unlock(&app->lock);
    return may;
}

/* With the lock held: it goes on. */
static void release(App *app)
{
    Generation *current = app->current;
    if (!current) return;
    atomic_store(&current->pause_wanted, false);
    current->paused = false;
    pthread_cond_broadcast(&app->changed);
}

/* With the lock held: what came of a load, for app_reloaded. */
static void report(Generation *incoming, ReloadOutcome outcome, unsigned before, const char *text)
{
    App *app = incoming->app;
    app->result =
        (AppReloaded){.outcome = outcome, .kind = incoming->kind, .generation = incoming->number, .before = before};
    snprintf(app->result.text, sizeof app->result.text, "%s", text);
    if (outcome == RELOADED_FAILED) app->failed_reloads++;
    app->has_result = true;
    app->config.port.news(app->config.port.context, app);
}

void takeover_give_up(Generation *incoming)
{
    App *app = incoming->app;
    pthread_mutex_lock(&app->lock);
    if (app->incoming == incoming) {
        release(app);
        app->incoming = NULL;
        if (incoming->outcome == RELOADED_UNCHANGED) app->last_number--; /* nothing of it was ever seen */
        report(incoming, incoming->outcome, app->current->number, incoming->problem);
    }
    pthread_mutex_unlock(&app->lock);
}

/* How many of its first calls are looked at: of sources that nobody has seen at work. */
static int probation_of(const Generation *incoming)
{
    const AppConfig *config = incoming->config;
    bool is_new = incoming->kind == RELOAD_ASKED || incoming->kind == RELOAD_CHANGED;
    return is_new && config->rollback_failures > 0 && config->rollback_calls > 0 ? config->rollback_calls : 0;
}

/* What an operator should know of it. */
static void tell_forced(Generation *stuck, char *text, size_t size)
{
    pthread_mutex_lock(&stuck->lock); /* so that the label stays */
    const char *doing = atomic_load(&stuck->doing);
    snprintf(
        text, size,
        "generation %u did not come back from %s, so it was replaced by force: that counts as failed, and gw.state "
        "is what it was when it was last saved",
        stuck->number, doing ? doing : "what it did");
    pthread_mutex_unlock(&stuck->lock);
}

/* The message that the stuck one is busy with counts as failed; it is kept as long as that one may look at it. It may never come back, so
 * what it has in the inbox and at the port is given back for it. */
static void condemn(Generation *incoming, Generation *stuck)
{
    App *app = incoming->app;
    Message *taken = atomic_exchange(&stuck->handling, NULL);
    incoming->left = handover_seize(stuck);
    if (taken) inbox_release(app->inbox, taken->size_bytes);
    if (taken && taken->kind == MESSAGE_EVAL) eval_dropped(stuck, taken->token);
    stuck->taken = taken;
    generation_asks_no_more(stuck);
    handlers_announce(stuck, false);
    watchdog_replace(stuck->watchdog);
    atomic_fetch_add(&stuck->errors, 1);
}

/* With the lock held. */
static void swap(Generation *incoming)
{
    App *app = incoming->app;
    Generation *before = app->current;
    char text[512] = "";
    incoming->epoch = inbox_hand_over(app->inbox);
    if (before->paused) {
        incoming->left = before->handover;
        before->handover = NULL;
        before->drain_due_ms = generation_now_ms() + app->config.grace_ms + app->config.stop_ms + PATIENCE_MS;
        app->draining = before;
    } else if (!before->ended) {
        tell_forced(before, text, sizeof text);
        condemn(incoming, before);
    }
    if (incoming->left) handover_weigh(incoming->left, app->inbox);
    if (!before->failed_often) { /* the one to go back to, should this one fail */
        sources_unref(app->good);
        app->good = sources_ref(before->sources);
    }
    if (incoming->kind == RELOAD_BACK) app->rollbacks++;
    set_connection(incoming); /* one that was replaced by force may have heard more meanwhile */
    atomic_store(&before->retired, true);
    incoming->probation = probation_of(incoming);
    app->wish = WISH_NONE; /* it was about the one before */
    app->current = incoming;
    app->incoming = NULL;
    app->reloads++;
    atomic_store(&before->pause_wanted, false);
    before->paused = false;
    pthread_cond_broadcast(&app->changed);
    generation_look_up(before);
    report(incoming, RELOADED_DONE, before->number, text);
}

#define STUCK "it was being handled when the generation was replaced by force"

/* An event that was taken from the stuck one, and what was at it. */
typedef struct {
    Message *message;
    char label[96];
} Taken;

/* With the lock held: who is replaced by force has ended its part in it. */
static Taken find_taken(Generation *stuck)
{
    Taken taken = {.message = stuck->taken};
    if (!taken.message) return taken;
    message_ref(taken.message);
    pthread_mutex_lock(&stuck->lock); /* so that its label stays */
    const char *doing = atomic_load(&stuck->doing);
    snprintf(taken.label, sizeof taken.label, "%s", doing ? doing : "");
    pthread_mutex_unlock(&stuck->lock);
    if (!doing) snprintf(taken.label, sizeof taken.label, "%.*s", SLICE_ARGS(taken.message->name));
    return taken;
}

bool takeover_finish(Generation *incoming)
{
    App *app = incoming->app;
    Taken taken = {.message = NULL};
    pthread_mutex_lock(&app->lock);
    Generation *before = app->current;
    bool may = check_wanted(incoming);
    if (may && incoming->forces && app->current->paused)
        may = fail(incoming, RELOADED_CAME_BACK, "the generation that was stuck came back meanwhile");
    if (may) {
        swap(incoming);
        taken = find_taken(before);
    }
    pthread_mutex_unlock(&app->lock);
    if (taken.message) letters_keep(incoming, taken.label, taken.message, STUCK, 1);
    message_unref(taken.message);
    return may;
}

/* --- the current one ------------------------------------------------------------------------------------------------------------- */

/* Why it cannot be replaced goes into pause_problem. */
static void write_down(Generation *current)
{
    *current->pause_problem = '\0';
    (void)keep_for_next(current, current->pause_problem, sizeof current->pause_problem);
    current->handover = handover_collect(current);
    if (!current->handover)
        snprintf(current->pause_problem, sizeof current->pause_problem, "there is not enough memory for a hand-over");
}

void takeover_stand(Generation *current)
{
    App *app = current->app;
    write_down(current);
    pthread_mutex_lock(&app->lock);
    if (atomic_load(&current->pause_wanted) && !app->stopping) {
        current->paused = true;
        pthread_cond_broadcast(&app->changed);
        while (current->paused)
            pthread_cond_wait(&app->changed, &app->lock);
    }
    Handover *unused = current->handover; /* it goes on; or another has it */
    current->handover = NULL;
    pthread_mutex_unlock(&app->lock);
    handover_free(current, unused);
}

void takeover_connection(Generation *current, Message *connection)
{
    App *app = current->app;
    pthread_mutex_lock(&app->lock);
    message_unref(app->connection);
    app->connection = message_ref(connection);
    Generation *draining = app->draining;
    if (draining) generation_post(draining, message_ref(connection));
    pthread_mutex_unlock(&app->lock);
}

void takeover_forward(Generation *current, Message *message)
{
    App *app = current->app;
    pthread_mutex_lock(&app->lock);
    Generation *draining = app->draining;
    bool theirs = draining && (message->kind != MESSAGE_RESPONSE || message->generation == draining->number);
    if (theirs) generation_post(draining, message_ref(message));
    pthread_mutex_unlock(&app->lock);
}

/* --- the one that drains ----------------------------------------------------------------------------------------------------------- */

/* Without memory the current one learns it when all is over. */
void takeover_tell_lane(Generation *retired, uint64_t lane)
{
    App *app = retired->app;
    Message *message = message_lane(lane);
    pthread_mutex_lock(&app->lock);
    if (message && app->draining == retired)
        generation_post(app->current, message);
    else
        message_unref(message);
    pthread_mutex_unlock(&app->lock);
}

/* --- each --------------------------------------------------------------------------------------------------------------------------- */

void takeover_launched(Generation *first)
{
    App *app = first->app;
    if (app->launched) app->config.port.news(app->config.port.context, app);
}

/* The port is told with the lock held, so that what one thread says last does not come after what another says as the app's last. */
void takeover_ended(Generation *generation)
{
    App *app = generation->app;
    const AppPort *port = &app->config.port;
    pthread_mutex_lock(&app->lock);
    if (app->draining == generation) {
        app->draining = NULL;
        atomic_store(&app->current->holds_over, true);
        generation_look_up(app->current);
    }
    generation->ended = true;
    bool last = --app->threads == 0 && app->stopping;
    pthread_cond_broadcast(&app->changed);
    if (last)
        port->ended(port->context, app);
    else if (app->started)
        port->news(port->context, app);
    pthread_mutex_unlock(&app->lock);
}
