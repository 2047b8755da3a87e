/* simulation.h - a simulated gateway that runs: its server, and the host with the one app that plays it. For `sim` and `demo`. */
#ifndef GATEHOUSE_CLI_SIMULATION_H
#define GATEHOUSE_CLI_SIMULATION_H

#include "host/host.h"
#include "sim/sim.h"

typedef struct Simulation Simulation;

typedef struct {
    const char *name;     /* of the app, in the log */
    const char *scenario; /* a Lua file or a folder with init.lua; NULL: the gateway as it is */
    const char *address;
    unsigned port; /* 0: a free one */
    int protocol;  /* 3 or 4 */
    bool legacy;   /* the legacy dialect of 3 */
    int64_t tick_ms;
    const char *token; /* that clients must have */
    void *context;
    void (*ended)(void *context, bool clean); /* after simulation_stop; false: the scenario did not come back */
} SimulationConfig;

/* Loads the scenario, then listens. NULL with a sentence in `problem`; of a scenario that does not load, with the place. */
Simulation *simulation_new(Loop *loop, Log *log, const SimulationConfig *config, char *problem, size_t problem_size);
/* After `ended`, or without ever having started. NULL is fine. */
void simulation_free(Simulation *simulation);

bool simulation_start(Simulation *simulation); /* false without memory */
void simulation_stop(Simulation *simulation);  /* clients get `shutdown` and 1012; a second call ends without waiting */

unsigned simulation_port(const Simulation *simulation);
Host *simulation_host(Simulation *simulation);

/* 32 random hexadecimal digits: a token that nobody has to remember. */
void simulation_make_token(char token[33]);

#endif
