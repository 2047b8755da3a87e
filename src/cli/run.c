/* run.c - `gatehouse run`: loads apps, connects, and stays until it is told to stop.
 *
 * Before anything is connected, every app has run its main chunk: one that does not load ends the program. So does a refusal that
 * only the operator can lift, unless the connection has been ready before; then it stays, and SIGHUP tries again. */
#include "cli/apps.h"
#include "cli/command.h"
#include "cli/context.h"
#include "host/state_dir.h"
#include "host/state_lock.h"

#include "api/api.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    Context context;
    char state_dir[PATH_MAX];
    int lock;
    AppChoice *apps;
    size_t app_count;
    Host *host;
    bool watches;
    bool was_ready, failed, clean;
} Run;

static int fail(Run *run, const char *problem)
{
    log_write(run->context.log, LOG_ERROR, NULL, slice_of(problem), (Slice){0});
    return CLI_FAILED;
}

static void on_notice(void *context, const SessionNotice *notice)
{
    Run *run = context;

    if (notice->type == SESSION_NOTICE_READY) run->was_ready = true;
    if (!client_notice_is_final(notice)) return;
    if (run->was_ready) {
        log_print(run->context.log, LOG_ERROR, NULL, "waiting for the operator; kill -HUP %ld tries again",
                  (long)getpid());
    } else {
        run->failed = true;
        host_stop(run->host);
    }
}

static void on_ended(void *context, bool clean)
{
    Run *run = context;

    run->clean = clean;
    loop_stop(run->context.loop);
}

static void on_hangup(void *context)
{
    Run *run = context;
    char problem[1024];

    if (config_read_secrets(run->context.config, problem, sizeof problem)) {
        log_print(run->context.log, LOG_INFO, NULL, "SIGHUP: secrets read again");
        client_resume(host_client(run->host));
    } else {
        log_print(run->context.log, LOG_ERROR, NULL, "SIGHUP: %s; the old secrets stay", problem);
    }
    host_reload_changed(run->host, "SIGHUP");
}

/* What the host is to know of an app, its data folder made; the texts are borrowed from the choice and `data_dir`. */
static bool configure(const Run *run, const AppChoice *choice, char data_dir[PATH_MAX], AppConfig *config,
                      char *problem, size_t problem_size)
{
    if (!apps_data_dir(run->state_dir, choice->name, data_dir, PATH_MAX, problem, problem_size)) return false;
    *config = (AppConfig){.name = choice->name,
                          .path = choice->path,
                          .data_dir = data_dir,
                          .settings = choice->settings,
                          .memory_bytes = choice->memory_bytes,
                          .cpu_ms = choice->cpu_ms,
                          .grace_ms = choice->grace_ms,
                          .sandbox = choice->sandbox,
                          .backpressure = choice->backpressure,
                          .overflow_bytes = choice->overflow_bytes,
                          .drop_oldest = choice->drop_oldest,
                          .drop_newest = choice->drop_newest,
                          .quarantine_failures = choice->quarantine_failures,
                          .rollback_failures = choice->rollback_failures,
                          .rollback_calls = choice->rollback_calls,
                          .dead_letters = choice->dead_letters,
                          .bindings = api_bindings()};
    return true;
}

static int add_apps(Run *run)
{
    char problem[4096], data_dir[PATH_MAX];

    for (size_t i = 0; i < run->app_count; i++) {
        AppConfig app;
        if (!configure(run, &run->apps[i], data_dir, &app, problem, sizeof problem) ||
            !host_add_app(run->host, &app, problem, sizeof problem))
            return fail(run, problem);
    }
    return CLI_OK;
}

/* --- apps that come and go ------------------------------------------------------------------------------------------------- */

typedef struct {
    Run *run;
    HostAsked *asked;
    const AppChoice *apps;
    size_t count;
} Rescan;

static bool is_chosen(const AppChoice *apps, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(apps[i].name, name) == 0) return true;
    }
    return false;
}

static bool retire_if_gone(void *context, const char *name)
{
    const Rescan *rescan = context;

    if (!is_chosen(rescan->apps, rescan->count, name)) host_retire_app(rescan->run->host, name, rescan->asked);
    return true;
}

static bool is_other(void *context, const char *name)
{
    return strcmp(context, name) != 0;
}

static void launch_if_new(const Rescan *rescan, AppChoice *choice)
{
    char problem[1024], data_dir[PATH_MAX];
    AppConfig app;

    if (!host_each_app(rescan->run->host, is_other, choice->name)) return;
    if (configure(rescan->run, choice, data_dir, &app, problem, sizeof problem)) {
        host_launch(rescan->run->host, &app, rescan->asked);
    } else {
        (void)fail(rescan->run, problem);
        host_tell_asked(rescan->asked, false, slice_of(problem));
    }
}

/* A folder of apps has other ones now, perhaps. */
static void on_rescan(void *context, HostAsked *asked)
{
    Run *run = context;
    AppChoice *apps = NULL;
    size_t count = 0;

    if (apps_choose(&run->context, true, &apps, &count) == CLI_OK) {
        Rescan rescan = {run, asked, apps, count};
        (void)host_each_app(run->host, retire_if_gone, &rescan);
        for (size_t i = 0; i < count; i++) {
            launch_if_new(&rescan, &apps[i]);
        }
    } else {
        host_tell_asked(asked, false,
                        slice_of("which apps there are cannot be told: the host has said why where it runs; those that "
                                 "run stay"));
    }
    free(apps);
}

static int open_state(Run *run)
{
    char problem[1024];

    if (!state_dir_open(config_text(run->context.config, SETTING_STATE_DIR), run->state_dir, sizeof run->state_dir,
                        problem, sizeof problem)) {
        return fail(run, problem);
    }
    run->lock = state_lock_take(run->state_dir, problem, sizeof problem);
    return run->lock >= 0 ? CLI_OK : fail(run, problem);
}

static int start(Run *run)
{
    char problem[1024];
    HostSink sink = {.context = run, .notice = on_notice, .ended = on_ended, .rescan = on_rescan};

    run->host = host_new(run->context.loop, run->context.log, &sink);
    if (!run->host) return fail(run, "there is not enough memory");
    if (!host_open_control(run->host, run->state_dir, problem, sizeof problem)) return fail(run, problem);
    int status = add_apps(run);
    if (status != CLI_OK) return status;
    if (!host_connect(run->host, run->context.config, problem, sizeof problem)) return fail(run, problem);
    if (!host_on_signals(run->host, on_hangup, run)) return fail(run, "signals cannot be watched");
    if (!host_start(run->host)) return fail(run, "there is not enough memory");
    if (run->watches) host_watch_files(run->host);
    return CLI_OK;
}

static int run_main(const Command *command, const Parsed *parsed)
{
    Run run = {.lock = -1, .watches = parsed->values[OPTION_WATCH] != NULL, .clean = true};
    int status = context_open(&run.context, command, parsed, LOG_INFO);

    if (status == CLI_OK) status = apps_choose(&run.context, false, &run.apps, &run.app_count);
    if (status == CLI_OK) status = context_read_secrets(&run.context);
    if (status == CLI_OK) status = open_state(&run);
    if (status == CLI_OK) status = start(&run);
    if (status == CLI_OK) {
        HostStats stats;
        loop_run(run.context.loop);
        host_stats(run.host, &stats);
        if (run.failed || !run.clean || stats.spoiled > 0) status = CLI_FAILED;
    }
    if (!run.clean) {
        host_free(run.host); /* joins the threads that did come back; one that did not still uses the rest */
        log_flush(run.context.log);
        _exit(status);
    }
    host_free(run.host);
    state_lock_release(run.lock);
    free(run.apps);
    context_close(&run.context);
    return status;
}

static const OptionId option_ids[] = {OPTION_WATCH};

const Command command_run = {
    .name = "run",
    .arguments = "[APP...]",
    .summary = "Load apps, connect to the gateway and run them",
    .details = "APP is a script, a folder with init.lua, the name of an app in gatehouse.lua,\n"
               "or a folder of such scripts and folders; without any, all apps in\n"
               "gatehouse.lua are run. An app is named after its file or folder.\n\n"
               "The token comes from OPENCLAW_GATEWAY_TOKEN or --token-file. SIGINT and\n"
               "SIGTERM stop, a second one at once; SIGHUP reads the token file again,\n"
               "connects at once, and reloads apps that have changed.\n",
    .options = {option_ids, sizeof option_ids / sizeof *option_ids},
    .shared = &connection_options,
    .run = run_main,
};
