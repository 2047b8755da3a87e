/* sim.h - the gateway simulator: a WebSocket server whose other end is an app (api/sim.h, lua/sim/). For the I/O thread.
 *
 *     sim_new → the host adds the app, with sim_port as its extension → sim_listen → [the loop runs]
 *             → the host's app has ended → sim_drain → host_free → sim_free */
#ifndef GATEHOUSE_SIM_SIM_H
#define GATEHOUSE_SIM_SIM_H

#include "api/sim.h"
#include "net/loop.h"

typedef struct Sim Sim;

#define SIM_DRAIN_MS 500 /* how long peers have to take what was sent to them */

/* NULL without memory. */
Sim *sim_new(Loop *loop);
void sim_free(Sim *sim); /* ends all peers; after the app's thread. NULL is fine */

/* For AppConfig.extension; lives as long as the simulator. */
SimPort *sim_port(Sim *sim);

/* From now on peers may come, and what they do goes into the inbox of `app`. Port 0: a free one. False with a sentence in `problem`. */
bool sim_listen(Sim *sim, App *app, const char *address, unsigned port, char *problem, size_t problem_size);
unsigned sim_listening_port(const Sim *sim); /* 0: not listening */

/* Calls `done` when the last peer is gone, or after SIM_DRAIN_MS; never inside the call. */
void sim_drain(Sim *sim, void (*done)(void *context), void *context);

#endif
