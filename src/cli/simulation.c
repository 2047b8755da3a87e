/* simulation.c - see simulation.h. The end goes in three steps: the app says good-bye and ends, what it sent goes out, `ended`. */
#include "cli/simulation.h"

#include "host/random_pool.h"
#include "protocol/json.h"

#include <stdio.h>
#include <stdlib.h>

struct Simulation {
    Loop *loop;
    Sim *sim;
    Host *host;
    void *context;
    void (*ended)(void *context, bool clean);
    bool clean;
};

static void on_drained(void *context)
{
    Simulation *simulation = context;
    simulation->ended(simulation->context, simulation->clean);
}

static void on_ended(void *context, bool clean)
{
    Simulation *simulation = context;

    simulation->clean = clean;
    sim_drain(simulation->sim, on_drained, simulation);
}

/* What lua/sim/ finds in gw.app.config. */
static void write_settings(Buffer *out, const SimulationConfig *config)
{
    buffer_append_char(out, '{');
    json_write_member_int(out, "protocol", config->protocol);
    json_write_member_bool(out, "legacy", config->legacy);
    json_write_member_int(out, "tick_ms", config->tick_ms);
    json_write_member_string(out, "token", config->token);
    buffer_append(out, "}", 2);
}

static bool open_all(Simulation *simulation, Log *log, const SimulationConfig *config, char *problem,
                     size_t problem_size)
{
    const HostSink sink = {.context = simulation, .ended = on_ended};
    Buffer settings = {0};
    bool opened = false;

    simulation->sim = sim_new(simulation->loop);
    simulation->host = host_new(simulation->loop, log, &sink);
    write_settings(&settings, config);
    if (!simulation->sim || !simulation->host || settings.failed) {
        (void)snprintf(problem, problem_size, "there is not enough memory");
        goto out;
    }
    const AppConfig app = {.name = config->name,
                           .path = config->scenario, /* NULL: an empty script */
                           .settings = buffer_slice(&settings).data,
                           .cpu_ms = -1, /* a scenario may work as long as it likes */
                           .bindings = sim_bindings(),
                           .extension = sim_port(simulation->sim)};
    App *gateway = host_add_app(simulation->host, &app, problem, problem_size);
    opened = gateway && sim_listen(simulation->sim, gateway, config->address, config->port, problem, problem_size);
out:
    buffer_free(&settings);
    return opened;
}

Simulation *simulation_new(Loop *loop, Log *log, const SimulationConfig *config, char *problem, size_t problem_size)
{
    Simulation *simulation = calloc(1, sizeof *simulation);

    if (!simulation) {
        (void)snprintf(problem, problem_size, "there is not enough memory");
        return NULL;
    }
    simulation->loop = loop;
    simulation->context = config->context;
    simulation->ended = config->ended;
    if (open_all(simulation, log, config, problem, problem_size)) return simulation;
    simulation_free(simulation);
    return NULL;
}

void simulation_free(Simulation *simulation)
{
    if (!simulation) return;
    host_free(simulation->host);
    sim_free(simulation->sim);
    free(simulation);
}

bool simulation_start(Simulation *simulation)
{
    return host_start(simulation->host);
}

void simulation_stop(Simulation *simulation)
{
    host_stop(simulation->host);
}

unsigned simulation_port(const Simulation *simulation)
{
    return sim_listening_port(simulation->sim);
}

Host *simulation_host(Simulation *simulation)
{
    return simulation->host;
}

void simulation_make_token(char token[33])
{
    RandomPool pool = {0};
    unsigned char bytes[16];

    random_pool_take(&pool, bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        (void)snprintf(token + 2 * i, 3, "%02x", bytes[i]);
    }
}
