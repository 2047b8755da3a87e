/* sim.c - `gatehouse sim`: the gateway simulator, alone or with a scenario. */
#include "cli/command.h"
#include "cli/context.h"
#include "cli/simulation.h"
#include "app/atomic_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_LISTEN "127.0.0.1:18789" /* where clients look for a gateway */
#define DEFAULT_TICK_MS 30000
#define LONGEST_TICK_MS 86400000

typedef struct {
    Context context;
    Simulation *simulation;
    char address[256];
    char token[33]; /* the one that was made */
    bool clean;
    SimulationConfig config;
} Simulator;

static void on_ended(void *context, bool clean)
{
    Simulator *simulator = context;

    simulator->clean = clean;
    loop_stop(simulator->context.loop);
}

/* --- options ---------------------------------------------------------------------------------------------------------------- */

static bool parse_number(const char *text, long least, long most, long *number)
{
    char *end;

    *number = strtol(text, &end, 10);
    return end != text && !*end && *number >= least && *number <= most;
}

/* ADDRESS, ADDRESS:PORT, [ADDRESS]:PORT; an address with several colons is IPv6 without a port. */
static bool parse_listen(Simulator *simulator, const char *text)
{
    const char *port = strrchr(text, ':');
    size_t size = strlen(text);
    long number = 0;

    if (*text == '[') {
        const char *end = strchr(text, ']');
        if (!end || (end[1] && end[1] != ':')) return false;
        port = end[1] ? end + 1 : NULL;
        size = (size_t)(end - ++text);
    } else if (port && strchr(text, ':') == port) {
        size = (size_t)(port - text);
    } else {
        port = NULL;
    }
    if (port && !parse_number(port + 1, 0, 65535, &number)) return false;
    if (size == 0 || size >= sizeof simulator->address) return false;
    (void)snprintf(simulator->address, sizeof simulator->address, "%.*s", (int)size, text);
    simulator->config.address = simulator->address;
    simulator->config.port = (unsigned)number;
    return true;
}

static int read_options(Simulator *simulator, const Command *command, const Parsed *parsed)
{
    const char *const *values = parsed->values;
    SimulationConfig *config = &simulator->config;
    const char *listen = values[OPTION_LISTEN] ? values[OPTION_LISTEN] : DEFAULT_LISTEN;
    const char *token = getenv("OPENCLAW_GATEWAY_TOKEN");
    long protocol = 4, tick_ms = DEFAULT_TICK_MS;

    if (parsed->count > 1)
        return command_misused(command, "one scenario at a time: \"%s\" is too much", parsed->arguments[1]);
    if (!parse_listen(simulator, listen))
        return command_misused(command, "--listen %s: ADDRESS or ADDRESS:PORT is expected", listen);
    if (values[OPTION_PROTOCOL] && !parse_number(values[OPTION_PROTOCOL], 3, 4, &protocol)) {
        return command_misused(command, "--protocol %s: 3 or 4 is expected", values[OPTION_PROTOCOL]);
    }
    if (values[OPTION_LEGACY] && values[OPTION_PROTOCOL] && protocol == 4) {
        return command_misused(command, "--legacy is a dialect of protocol 3");
    }
    if (values[OPTION_TICK_MS] && !parse_number(values[OPTION_TICK_MS], 1, LONGEST_TICK_MS, &tick_ms)) {
        return command_misused(command, "--tick-ms %s: milliseconds are expected", values[OPTION_TICK_MS]);
    }
    if (values[OPTION_TOKEN]) token = values[OPTION_TOKEN];
    if (!token || !*token) {
        simulation_make_token(simulator->token);
        token = simulator->token;
    }
    config->name = "sim";
    config->scenario = parsed->count > 0 ? parsed->arguments[0] : NULL;
    config->protocol = (int)protocol;
    config->legacy = values[OPTION_LEGACY] != NULL;
    config->tick_ms = tick_ms;
    config->token = token;
    config->context = simulator;
    config->ended = on_ended;
    return CLI_OK;
}

/* --- the run ---------------------------------------------------------------------------------------------------------------- */

static int fail(Simulator *simulator, const char *problem)
{
    return command_fail(simulator->context.command, CLI_FAILED, "%s", problem);
}

static void tell_where(Simulator *simulator)
{
    const SimulationConfig *config = &simulator->config;
    const char *form = strchr(config->address, ':') ? "ws://[%s]:%u/" : "ws://%s:%u/";
    const char *dialect = config->legacy ? ", legacy dialect" : "";
    char url[300];

    (void)snprintf(url, sizeof url, form, config->address, simulation_port(simulator->simulation));
    log_print(simulator->context.log, LOG_INFO, NULL, "simulated gateway at %s, protocol %d%s", url,
              config->legacy ? 3 : config->protocol, dialect);
    if (!*simulator->token) return;
    /* Made for this run, so it is nobody's secret; without it nobody could connect. */
    log_flush(simulator->context.log);
    (void)fprintf(
        stderr,
        "\nIn another terminal:\n  export OPENCLAW_GATEWAY_URL=%s OPENCLAW_GATEWAY_TOKEN=%s\n  gatehouse tail\n\n", url,
        simulator->token);
}

static int write_port(Simulator *simulator, const char *path)
{
    char text[16], problem[1024];

    if (!path) return CLI_OK;
    (void)snprintf(text, sizeof text, "%u\n", simulation_port(simulator->simulation));
    return atomic_file_write(path, slice_of(text), problem, sizeof problem) == ATOMIC_FILE_DONE
               ? CLI_OK
               : fail(simulator, problem);
}

static int start(Simulator *simulator, const char *port_file)
{
    const Context *context = &simulator->context;
    char problem[4096];

    if (simulator->config.scenario && access(simulator->config.scenario, R_OK) != 0) {
        return command_fail(context->command, CLI_USAGE, "the scenario %s cannot be read", simulator->config.scenario);
    }
    simulator->simulation = simulation_new(context->loop, context->log, &simulator->config, problem, sizeof problem);
    if (!simulator->simulation) return fail(simulator, problem);
    if (!host_on_signals(simulation_host(simulator->simulation), NULL, NULL))
        return fail(simulator, "signals cannot be watched");
    if (!simulation_start(simulator->simulation)) return fail(simulator, "there is not enough memory");
    tell_where(simulator);
    return write_port(simulator, port_file);
}

static int sim_main(const Command *command, const Parsed *parsed)
{
    Simulator simulator = {.clean = true};
    int status = read_options(&simulator, command, parsed);

    if (status != CLI_OK) return status;
    status = context_open(&simulator.context, command, parsed, LOG_INFO);
    if (status == CLI_OK) status = start(&simulator, parsed->values[OPTION_PORT_FILE]);
    if (status == CLI_OK) {
        loop_run(simulator.context.loop);
        if (!simulator.clean) status = CLI_FAILED;
    }
    if (!simulator.clean || (status != CLI_OK && simulator.simulation)) {
        /* The scenario's thread still uses all of this. */
        log_flush(simulator.context.log);
        _exit(status);
    }
    simulation_free(simulator.simulation);
    context_close(&simulator.context);
    return status;
}

static const OptionId own_ids[] = {OPTION_LISTEN,  OPTION_TOKEN,     OPTION_PROTOCOL,  OPTION_LEGACY,
                                   OPTION_TICK_MS, OPTION_PORT_FILE, OPTION_LOG_LEVEL, OPTION_LOG_FORMAT};

const Command command_sim = {
    .name = "sim",
    .arguments = "[SCENARIO]",
    .summary = "Simulate a gateway, for trying out and for tests",
    .details = "Behaves like a real gateway: handshake, agents, sessions, chat with streamed\n"
               "answers. SCENARIO is a Lua script that answers methods, emits events and makes\n"
               "things go wrong; docs/simulator.md tells how.\n\n"
               "Meant for this machine: there is no TLS. Without --token and\n"
               "OPENCLAW_GATEWAY_TOKEN a token is made and shown.\n",
    .options = {own_ids, sizeof own_ids / sizeof *own_ids},
    .run = sim_main,
};
