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
    (void)host_reload(run->host, NULL, "SIGHUP", NULL, NULL);
}

static int add_apps(Run *run)
{
    char problem[4096], data_dir[PATH_MAX];

    for (size_t i = 0; i < run->app_count; i++) {
        const AppChoice *choice = &run->apps[i];
        if (!apps_data_dir(run->state_dir, choice->name, data_dir, sizeof data_dir, problem, sizeof problem))
            return fail(run, problem);
        AppConfig app = {.name = choice->name,
                         .path = choice->path,
                         .data_dir = data_dir,
                         .settings = choice->settings,
                         .memory_bytes = choice->memory_bytes,
                         .bindings = api_bindings()};
        if (!host_add_app(run->host, &app, problem, sizeof problem)) return fail(run, problem);
    }
    return CLI_OK;
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
    HostSink sink = {.context = run, .notice = on_notice, .ended = on_ended};

    run->host = host_new(run->context.loop, run->context.log, &sink);
    if (!run->host) return fail(run, "there is not enough memory");
    if (!host_open_control(run->host, run->state_dir, problem, sizeof problem)) return fail(run, problem);
    int status = add_apps(run);
    if (status != CLI_OK) return status;
    if (!host_connect(run->host, run->context.config, problem, sizeof problem)) return fail(run, problem);
    if (!host_on_signals(run->host, on_hangup, run)) return fail(run, "signals cannot be watched");
    return host_start(run->host) ? CLI_OK : fail(run, "there is not enough memory");
}

static int run_main(const Command *command, const Parsed *parsed)
{
    Run run = {.lock = -1, .clean = true};
    int status = context_open(&run.context, command, parsed, LOG_INFO);

    if (status == CLI_OK) status = apps_choose(&run.context, &run.apps, &run.app_count);
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

const Command command_run = {
    .name = "run",
    .arguments = "[APP...]",
    .summary = "Load apps, connect to the gateway and run them",
    .details = "APP is a script, a folder with init.lua, or the name of an app in gatehouse.lua; without any,\n"
               "all apps in gatehouse.lua are run. An app is named after its file or folder.\n\n"
               "The token comes from OPENCLAW_GATEWAY_TOKEN or --token-file. SIGINT and SIGTERM stop, a second one\n"
               "at once; SIGHUP reads the token file again, connects at once, and reloads all apps.\n",
    .shared = &connection_options,
    .run = run_main,
};
