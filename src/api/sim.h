/* sim.h - the raw module of the gateway simulator, which is an app too: what its scenario sees is made of this in lua/sim/.
 *
 * The simulator's server pushes what its peers do into the app's inbox, as the events below; `seq` is the peer's number. What the app does
 * goes through the SimPort. Only apps whose AppConfig has sim_bindings() and a SimPort as its extension have the module. */
#ifndef GATEHOUSE_API_SIM_H
#define GATEHOUSE_API_SIM_H

#include "app/app.h"

#define SIM_EVENT_OPENED "@sim.opened"   /* no payload */
#define SIM_EVENT_MESSAGE "@sim.message" /* payload: SIM_TEXT_MARK, then the text as it came, which need not be JSON */
#define SIM_EVENT_CLOSED "@sim.closed"   /* payload: the close code */

#define SIM_TEXT_MARK "\001" /* no JSON text begins with it */

/* Every function may be called from any thread, does not wait, and copies what it is given; false without memory.
 * What it does to a peer that is gone is nothing. net/server.h says what each means. */
typedef struct {
    void *context;
    bool (*send)(void *context, uint64_t peer, Slice text);
    bool (*send_bytes)(void *context, uint64_t peer, Slice bytes, size_t piece);
    bool (*close)(void *context, uint64_t peer, unsigned code, Slice reason);
    bool (*drop)(void *context, uint64_t peer);
    bool (*deafen)(void *context, uint64_t peer, bool deaf);
    bool (*refuse)(void *context, int status, Slice body, unsigned count);
    unsigned (*port)(void *context); /* 0: not listening yet */
} SimPort;

AppBindings sim_bindings(void);

#endif
