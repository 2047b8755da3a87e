/* demo.c - `gatehouse demo`: a simulated gateway and an example app in one process and on one loop, told as a story on stdout.
 *
 * Nothing stays behind: state folder, token and port are made for the run. Both scripts are in the binary (lua/demo/) and are put into
 * that folder, since an app is a file.
 *
 *     the app's host stops → the simulated gateway stops → the loop ends */
#define _GNU_SOURCE /* nftw */
#include "cli/apps.h"
#include "cli/command.h"
#include "cli/context.h"
#include "cli/narrator.h"
#include "cli/simulation.h"

#include "api/api.h"
#include "api/embedded.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TICK_MS 30000
#define AGAIN_MS 200 /* a second signal that soon is the first one: timeout(1) sends to the process and to its group */
#define GATEWAY "gateway"
#define APP "watch_runs"

static const NarratorRole roles[] = {
    {GATEWAY, "gateway", "\033[36m"}, {NULL, "host", "\033[35m"}, {APP, "app", "\033[32m"}, {NULL, NULL, NULL}};

typedef struct {
    const Command *command;
    Narrator *narrator;
    Log *log;
    Loop *loop;
    Config *config;
    Simulation *simulation;
    Host *host;
    LoopTimer end;
    LoopWork deaf;         /* posted by the narrator's thread */
    char folder[PATH_MAX]; /* "" until it is made */
    int64_t signalled_ms;  /* by the first signal */
    bool stopping, failed, clean;
} Demo;

static int fail(Demo *demo, const char *problem)
{
    return command_fail(demo->command, CLI_FAILED, "%s", problem);
}

/* --- the end ---------------------------------------------------------------------------------------------------------------- */

static void on_gateway_ended(void *context, bool clean)
{
    Demo *demo = context;

    if (!clean) demo->clean = false;
    loop_stop(demo->loop);
}

static void on_host_ended(void *context, bool clean)
{
    Demo *demo = context;

    if (!clean) demo->clean = false;
    simulation_stop(demo->simulation);
}

static void stop(void *context)
{
    Demo *demo = context;

    if (demo->stopping) return;
    demo->stopping = true;
    host_stop(demo->host);
}

static void on_deaf(LoopWork *work)
{
    stop(HEAP_OWNER(work, Demo, deaf));
}

static void post_deaf(void *context)
{
    Demo *demo = context;
    loop_post(demo->loop, &demo->deaf);
}

static void on_notice(void *context, const SessionNotice *notice)
{
    Demo *demo = context;

    if (!client_notice_is_final(notice) || demo->stopping) return;
    demo->failed = true;
    stop(demo);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

static void remove_folder(Demo *demo)
{
    if (*demo->folder) (void)nftw(demo->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void on_signal(void *context, int number)
{
    Demo *demo = context;
    int64_t now_ms = loop_now_ms(demo->loop);

    (void)number;
    if (demo->signalled_ms == 0) {
        demo->signalled_ms = now_ms;
        stop(demo);
    } else if (now_ms - demo->signalled_ms >= AGAIN_MS) {
        remove_folder(demo);
        _exit(CLI_FAILED);
    }
}

/* --- the beginning ---------------------------------------------------------------------------------------------------------- */

static bool make_folder(Demo *demo)
{
    const char *parent = getenv("TMPDIR");

    (void)snprintf(demo->folder, sizeof demo->folder, "%s/gatehouse-demo-XXXXXX", parent && *parent ? parent : "/tmp");
    if (mkdtemp(demo->folder)) return true;
    (void)command_fail(demo->command, CLI_FAILED, "%s cannot be made: %s", demo->folder, strerror(errno));
    *demo->folder = '\0';
    return false;
}

/* Puts lua/demo/<name>.lua into the folder. */
static bool unpack(Demo *demo, const char *name, char path[PATH_MAX])
{
    char embedded[64];
    bool written = false;
    int size = snprintf(path, PATH_MAX, "%s/%s.lua", demo->folder, name);

    (void)snprintf(embedded, sizeof embedded, "demo/%s.lua", name);
    const EmbeddedFile *file = gatehouse_embedded_files;
    while (file->name && strcmp(file->name, embedded) != 0) {
        file++;
    }
    FILE *out = file->name && size < PATH_MAX ? fopen(path, "w") : NULL;
    if (out) {
        written = fwrite(file->data, 1, file->size, out) == file->size;
        written = fclose(out) == 0 && written;
    }
    if (!written) (void)command_fail(demo->command, CLI_FAILED, "%s cannot be written: %s", path, strerror(errno));
    return written;
}

static int start_gateway(Demo *demo, const char *token)
{
    char problem[4096], path[PATH_MAX];

    if (!unpack(demo, GATEWAY, path)) return CLI_FAILED;
    const SimulationConfig config = {.name = GATEWAY,
                                     .scenario = path,
                                     .address = "127.0.0.1",
                                     .protocol = 4,
                                     .tick_ms = TICK_MS,
                                     .token = token,
                                     .context = demo,
                                     .ended = on_gateway_ended};
    demo->simulation = simulation_new(demo->loop, demo->log, &config, problem, sizeof problem);
    if (!demo->simulation) return fail(demo, problem);
    log_print(demo->log, LOG_INFO, GATEWAY, "listens on ws://127.0.0.1:%u/", simulation_port(demo->simulation));
    return simulation_start(demo->simulation) ? CLI_OK : fail(demo, "there is not enough memory");
}

static bool configure(Demo *demo, const char *token, char *problem, size_t problem_size)
{
    char url[64], variable[96];
    char *environment[] = {variable, NULL};

    (void)snprintf(url, sizeof url, "ws://127.0.0.1:%u/", simulation_port(demo->simulation));
    (void)snprintf(variable, sizeof variable, "OPENCLAW_GATEWAY_TOKEN=%s", token);
    demo->config = config_new();
    if (!demo->config) {
        (void)snprintf(problem, problem_size, "there is not enough memory");
        return false;
    }
    return config_load_environment(demo->config, environment, problem, problem_size) &&
           config_set(demo->config, SETTING_URL, url, "demo", problem, problem_size) &&
           config_set(demo->config, SETTING_STATE_DIR, demo->folder, "demo", problem, problem_size) &&
           config_read_secrets(demo->config, problem, problem_size);
}

static int start_host(Demo *demo, const char *token)
{
    const HostSink sink = {.context = demo, .notice = on_notice, .ended = on_host_ended};
    char problem[4096], path[PATH_MAX], data_dir[PATH_MAX];

    if (!unpack(demo, APP, path)) return CLI_FAILED;
    if (!configure(demo, token, problem, sizeof problem)) return fail(demo, problem);
    demo->host = host_new(demo->loop, demo->log, &sink);
    if (!demo->host) return fail(demo, "there is not enough memory");
    if (!apps_data_dir(demo->folder, APP, data_dir, sizeof data_dir, problem, sizeof problem))
        return fail(demo, problem);
    const AppConfig app = {.name = APP, .path = path, .data_dir = data_dir, .bindings = api_bindings()};
    if (!host_add_app(demo->host, &app, problem, sizeof problem)) return fail(demo, problem);
    if (!host_connect(demo->host, demo->config, problem, sizeof problem)) return fail(demo, problem);
    return host_start(demo->host) ? CLI_OK : fail(demo, "there is not enough memory");
}

static void tell_beginning(void)
{
    printf("\nGatehouse runs Lua apps on an OpenClaw agent gateway. In this demo the gateway is simulated, in this "
           "very process.\n\n"
           "  gateway  is what the simulated gateway does: three agents at work, and now and then a restart\n"
           "  host     is the connection to it, which Gatehouse keeps\n"
           "  app      is what an app of 40 lines makes of it: lua/demo/watch_runs.lua\n\n");
    (void)fflush(stdout);
}

static void tell_end(void)
{
    const char *program = program_invocation_name; /* as it was called: it may not be in the PATH */

    printf("\nThat was the demo; nothing of it stays behind. Try next:\n\n"
           "  %s sim                        a simulated gateway for you, which tells how to connect to it\n"
           "  %s tail                       in another terminal: its events, as JSON lines\n"
           "  %s run examples/hello.lua     and your first app\n\n"
           "A real gateway takes two variables: OPENCLAW_GATEWAY_URL and OPENCLAW_GATEWAY_TOKEN.\n\n",
           program, program, program);
}

static int start(Demo *demo)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    LogConfig log = {.level = LOG_INFO, .format = LOG_JSON};
    char token[33];

    demo->deaf.run = on_deaf;
    demo->loop = loop_new();
    if (!demo->loop) return fail(demo, "the event loop cannot be made: no memory or descriptors");
    if (!loop_on_signals(demo->loop, signals, sizeof signals / sizeof *signals, on_signal,
                         demo)) { /* before any thread */
        return fail(demo, "signals cannot be watched");
    }
    demo->narrator = narrator_new(roles, post_deaf, demo);
    if (!demo->narrator) return fail(demo, "the demo cannot begin: no memory, threads or descriptors");
    log.fd = narrator_log_fd(demo->narrator);
    demo->log = log_new(&log);
    if (!demo->log) return fail(demo, "there is not enough memory");
    if (!make_folder(demo)) return CLI_FAILED;
    simulation_make_token(token);
    int status = start_gateway(demo, token);
    return status == CLI_OK ? start_host(demo, token) : status;
}

static int demo_main(const Command *command, const Parsed *parsed)
{
    Demo demo = {.command = command, .clean = true};
    const char *seconds = parsed->values[OPTION_SECONDS];
    int64_t ms = 0;

    if (parsed->count > 0)
        return command_misused(command, "it takes no arguments: \"%s\" is too much", parsed->arguments[0]);
    if (seconds && !context_milliseconds(seconds, &ms))
        return command_misused(command, "--seconds %s: no such time", seconds);
    tell_beginning();
    int status = start(&demo);
    if (status != CLI_OK) {
        /* Threads may run that use all of this. */
        if (demo.log) log_flush(demo.log);
        remove_folder(&demo);
        _exit(status);
    }
    demo.end = (LoopTimer){.fire = stop, .context = &demo};
    if (seconds) (void)loop_timer_set(demo.loop, &demo.end, loop_now_ms(demo.loop) + ms);
    loop_run(demo.loop);

    (void)loop_timer_set(demo.loop, &demo.end, HEAP_NEVER);
    remove_folder(&demo);
    if (!demo.clean) {
        log_flush(demo.log);
        _exit(CLI_FAILED);
    }
    host_free(demo.host);
    simulation_free(demo.simulation);
    config_free(demo.config);
    log_free(demo.log);
    bool told = narrator_free(demo.narrator); /* posts to the loop */
    loop_free(demo.loop);
    if (demo.failed) return CLI_FAILED;
    if (told) tell_end();
    return CLI_OK; /* a reader that has seen enough is no failure */
}

static const OptionId own_ids[] = {OPTION_SECONDS};

const Command command_demo = {
    .name = "demo",
    .arguments = "",
    .summary = "Show a simulated gateway and an app at work",
    .details = "Simulator and example app in one process, nothing to configure; nothing stays\n"
               "behind. Runs until ctrl-C, or for the given time.\n",
    .options = {own_ids, sizeof own_ids / sizeof *own_ids},
    .run = demo_main,
};
