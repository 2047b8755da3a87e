/* host_pressure.c - apps that do not keep up.
 *
 * What comes faster than an app takes it goes to the disk (app/inbox_overflow.c); the log tells so. Where that is not wanted, or at its bound,
 * a full inbox stops the reading from the gateway, so that nothing is lost. A handler that does not return is named in the log; after
 * HOST_STUCK_MS in which none of its handlers comes to an end, be it that one runs or that all wait, an app has no say any more, so that
 * the other apps go on: its inbox fills to the limit, beyond that events are kept from it, counted, and when it comes back it is told
 * by @gap. */
#include "host/host_private.h"
#include "protocol/json.h"

#include <inttypes.h>
#include <stdio.h>

#define LONGEST_ASK_MS \
    3000           /* an app that has been in one step for longer is told without its place, if that is not known */
#define ASK_MS 100 /* between two questions */

/* --- backpressure ----------------------------------------------------------------------------------------------------------- */

static uint64_t taken_by(const HostApp *app)
{
    InboxStats stats;

    inbox_stats(app_inbox(app->app), &stats);
    return stats.taken;
}

static void arm_patience(Host *host)
{
    if (host->patience.node.position == 0)
        (void)loop_timer_set(host->loop, &host->patience, loop_now_ms(host->loop) + HOST_PATIENCE_MS);
}

static void set_pressing(HostApp *app, bool presses)
{
    Host *host = app->host;

    if (app->presses == presses) return;
    app->presses = presses;
    app->progress_ms = loop_now_ms(host->loop);
    host->pressing += presses ? 1 : -1;
    log_print(host->log, LOG_DEBUG, app_name(app->app), presses ? "its inbox is full" : "its inbox has room again");
    app->pressed_ms = app->progress_ms;
    app->taken = taken_by(app);
    if (presses) arm_patience(host);
    if (presses && host->pressing == 1) {
        host->stats.pauses++;
        host->paused_since_ms = loop_now_ms(host->loop);
        if (host->client) client_pause(host->client, true);
    } else if (!presses && host->pressing == 0) {
        host->stats.paused_ms += loop_now_ms(host->loop) - host->paused_since_ms;
        if (host->client) client_pause(host->client, false);
    }
}

/* Whether it has not been waited for yet, or is at it, and will have caught up in a moment. */
static bool is_worth_waiting_for(HostApp *app)
{
    int64_t waited_ms = loop_now_ms(app->host->loop) - app->pressed_ms;
    uint64_t before = app->taken;

    if (waited_ms < HOST_PATIENCE_MS) return true;
    app->taken = taken_by(app);
    return app->taken - before >= HOST_PATIENCE_COUNT && waited_ms < HOST_LONG_PATIENCE_MS;
}

/* Those with a disk behind them go on there; the others press on. */
void host_out_of_patience(void *context)
{
    Host *host = context;

    for (int i = 0; i < host->app_count; i++) {
        HostApp *app = host->apps[i];
        if (!app->presses) continue;
        if (is_worth_waiting_for(app)) {
            arm_patience(host);
            continue;
        }
        inbox_lose_patience(app_inbox(app->app));
        if (!inbox_pressure(app_inbox(app->app))) set_pressing(app, false);
    }
}

void host_pushed(void *context, int number)
{
    Host *host = context;
    HostApp *app = host->apps[number];

    if (!app->app) return;
    host_arm_watch(host);
    if (app->stuck) {
        router_shut(host->router, number, inbox_full(app_inbox(app->app)));
        return;
    }
    /* While stopping all reading goes on: responses are awaited, events are not delivered any more. */
    if (host->state == HOST_RUNNING && !app->removing && inbox_pressure(app_inbox(app->app))) set_pressing(app, true);
}

static void tell_gap(HostApp *app, const RouterWithheld *withheld)
{
    Buffer payload = {0};

    buffer_append_char(&payload, '{');
    if (withheld->first_seq >= 0) {
        json_write_member_int(&payload, "expected", withheld->first_seq);
        json_write_member_int(&payload, "received", withheld->last_seq + 1);
    }
    json_write_member_int(&payload, "dropped", (int64_t)withheld->count);
    buffer_append_char(&payload, '}');
    EventFields gap = {
        .name = slice_of("@gap"), .payload = buffer_slice(&payload), .seq = -1, .connection = app->host->connection};
    (void)router_push(app->host->router, app->number, payload.failed ? NULL : message_event(&gap));
    buffer_free(&payload);
}

/* It takes messages again. */
static void recovered(HostApp *app)
{
    RouterWithheld withheld = router_withheld(app->host->router, app->number);

    app->stuck = app->waits = false;
    router_shut(app->host->router, app->number, false);
    router_forget_withheld(app->host->router, app->number);
    app->withheld += withheld.count;
    app->host->stats.withheld += withheld.count;
    if (withheld.count == 0) return;
    log_print(app->host->log, LOG_WARN, app_name(app->app),
              "it is back; %" PRIu64 " events were kept from it meanwhile", withheld.count);
    tell_gap(app, &withheld);
}

static void got_stuck(HostApp *app, const AppStatus *status)
{
    bool runs = *status->running;

    app->stuck = true;
    app->waits = !runs;
    log_print(app->host->log, LOG_ERROR, app_name(app->app),
              "%s%s: the app no longer holds up the others, and will lose events when its inbox is full",
              runs ? status->running : "its handlers wait", runs ? " does not return" : " and do not come to an end");
    set_pressing(app, false);
}

void host_relieved(HostApp *app)
{
    if (!app->app) return;
    if (app->stuck) recovered(app);
    /* It may have filled again since; being asked, the inbox then promises to call once more. */
    if (app->presses && !inbox_pressure(app_inbox(app->app))) set_pressing(app, false);
}

void host_stop_pressing(HostApp *app)
{
    set_pressing(app, false);
}

void host_release_all(Host *host)
{
    for (int i = 0; i < host->app_count; i++) {
        if (host->apps[i]->app) set_pressing(host->apps[i], false);
    }
}

/* --- handlers that do not return --------------------------------------------------------------------------------------------- */

/* What its inbox has put by, and what it dropped. */
static void tell_overflow(HostApp *app, const InboxStats *inbox, int64_t now_ms)
{
    Log *log = app->host->log;
    const char *name = app_name(app->app);
    uint64_t skipped, drops = inbox->dropped_oldest + inbox->dropped_newest;
    uint64_t breaks = inbox->spill.refused + inbox->refused + inbox->spill.lost;

    if (inbox->spilled > 0 && log_allow(&app->spills, now_ms, HOST_REPEAT_MS, &skipped)) {
        log_print(log, LOG_WARN, name,
                  "it does not keep up: %zu messages wait, and %zu more beyond them (%zu KiB on the disk)",
                  inbox->count, inbox->spilled, inbox->spill.disk_bytes >> 10);
    }
    if (drops != app->told_drops && log_allow(&app->drops, now_ms, HOST_REPEAT_MS, &skipped)) {
        log_print(log, LOG_WARN, name,
                  "it does not keep up: dropped so far are %" PRIu64 " events of drop_oldest and %" PRIu64
                  " of drop_newest",
                  inbox->dropped_oldest, inbox->dropped_newest);
        app->told_drops = drops;
    }
    if (breaks != app->told_breaks && log_allow(&app->breaks, now_ms, HOST_REPEAT_MS, &skipped)) {
        log_print(log, LOG_ERROR, name,
                  "its messages that wait for the disk: %s; lost so far are %" PRIu64
                  " that it was too late for, and %" PRIu64 " whose file was damaged",
                  *inbox->spill.problem ? inbox->spill.problem : "it is too slow, or its limit is reached",
                  inbox->refused, inbox->spill.lost);
        app->told_breaks = breaks;
    }
}

static void tell(HostApp *app, const AppStatus *status, int64_t now_ms)
{
    uint64_t skipped;
    const char *kind = strchr(status->running, '(') ? "handler " : ""; /* and not a task, a timer or the main chunk */

    if (app->presses && log_allow(&app->holds, now_ms, HOST_REPEAT_MS, &skipped)) {
        log_print(app->host->log, LOG_WARN, app_name(app->app),
                  "it does not keep up: %zu messages (%zu KiB) wait, so nothing is read from the gateway%s%s",
                  status->inbox.count + status->inbox.spilled,
                  (status->inbox.bytes + status->inbox.spill.memory_bytes + status->inbox.spill.disk_bytes) >> 10,
                  *status->running ? "; it runs " : "", status->running);
    }
    uint64_t withheld = router_withheld(app->host->router, app->number).count;
    if (withheld > 0 && log_allow(&app->loses, now_ms, HOST_REPEAT_MS, &skipped)) {
        log_print(app->host->log, LOG_ERROR, app_name(app->app),
                  "its inbox is full: %" PRIu64 " events were kept from it so far", withheld);
    }
    if (*status->running && status->busy_ms >= HOST_WATCH_MS &&
        log_allow(&app->slow, now_ms, HOST_REPEAT_MS, &skipped)) {
        bool in_c = strncmp(status->place, "in ", 3) == 0;
        log_print(app->host->log, LOG_WARN, app_name(app->app), "%s%s has been %s%s%s for %.0f s", kind,
                  status->running, in_c ? "" : "running", in_c || !*status->place ? "" : " ", status->place,
                  (double)status->busy_ms / 1000);
    }
}

/* What is slow is told again after a while; another handler than the one before at once. */
static void look_who_is_slow(HostApp *app, const AppStatus *status)
{
    if (status->busy_ms < HOST_WATCH_MS || strcmp(app->slow_label, status->running) == 0) return;
    (void)snprintf(app->slow_label, sizeof app->slow_label, "%s", status->running);
    app->slow = (LogLimit){0};
}

/* Before a step that takes long is told, the app is asked where it is (app_look). What works without a pause is looked at anyway, but
 * not before it has used some CPU time, which it may have to wait for as well. */
static bool awaits_place(HostApp *app, const AppStatus *status, int64_t now_ms)
{
    if (!*status->running || *status->place || now_ms < app->slow.next_ms) return false;
    if (status->busy_ms < HOST_WATCH_MS || status->busy_ms >= LONGEST_ASK_MS) return false;
    app_look(app->app);
    return true;
}

/* Whether nothing has come to an end for so long that it is not to be expected any more. */
static bool stands_still(HostApp *app, const AppStatus *status, int64_t now_ms)
{
    uint64_t handled = status->handled + status->skipped;

    if (handled != app->handled) {
        app->handled = handled;
        app->progress_ms = now_ms;
    }
    return now_ms - app->progress_ms >= HOST_STUCK_MS;
}

void host_watch(void *context)
{
    Host *host = context;
    int64_t now_ms = loop_now_ms(host->loop);
    bool work_left = false, asked = false;

    for (int i = 0; i < host->app_count; i++) {
        HostApp *app = host->apps[i];
        AppStatus status;
        if (!app->app || app->has_ended) continue;
        host_app_news(app);
        if (!app->app) continue; /* it was new, and did not load */
        if (app->removing) host_look_at_removal(app, now_ms);
        app_status(app->app, now_ms, &status);
        work_left = work_left || *status.running || status.inbox.count > 0 || status.inbox.spilled > 0 ||
                    status.incoming || app->change;
        bool still = stands_still(app, &status, now_ms);
        bool stays = *status.running && status.busy_ms >= HOST_STUCK_MS;
        if (app->stuck && !app->waits && !stays) recovered(app);
        if (app->presses && (stays || still)) got_stuck(app, &status);
        look_who_is_slow(app, &status);
        if (awaits_place(app, &status, now_ms))
            asked = true;
        else
            tell(app, &status, now_ms);
        tell_overflow(app, &status.inbox, now_ms);
    }
    if (work_left) (void)loop_timer_set(host->loop, &host->watch, now_ms + (asked ? ASK_MS : HOST_WATCH_MS));
}

/* Runs only while there is something to watch, so that an idle host sleeps. */
void host_arm_watch(Host *host)
{
    if (host->watch.node.position == 0) {
        (void)loop_timer_set(host->loop, &host->watch, loop_now_ms(host->loop) + HOST_WATCH_MS);
    }
}
