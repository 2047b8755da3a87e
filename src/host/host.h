/* host.h - apps, router, log and, unless it is left out, the connection to a gateway, on one loop. For the I/O thread.
 *
 *     host_new → host_add_app … → host_connect (or not) → host_start → [the loop runs] → host_stop → sink.ended → host_free
 *
 * A host without a connection runs apps that other things feed (the simulator's scenarios): their gw.send gets NOT_CONNECTED.
 * Several hosts can live on one loop, as in `demo`. */
#ifndef GATEHOUSE_HOST_HOST_H
#define GATEHOUSE_HOST_HOST_H

#include "app/app.h"
#include "host/client.h"
#include "host/config.h"
#include "host/log.h"
#include "net/loop.h"

typedef struct Host Host;
typedef struct HostAsked HostAsked;

typedef struct {
    void *context;
    void (*notice)(void *context,
                   const SessionNotice *notice); /* of the connection, after the apps' trays have it; may be NULL */
    void (*ended)(void *context,
                  bool clean); /* after host_stop; false: an app did not come back. Never inside a call */
    /* All apps are reloaded: now is the time for host_launch and host_retire_app. May be NULL */
    void (*rescan)(void *context, HostAsked *asked);
} HostSink;

/* NULL without memory. `log` is borrowed. */
Host *host_new(Loop *loop, Log *log, const HostSink *sink);
/* After `ended`, or without ever having started. Apps that did not come back are left alone, and what they point at with them. NULL is fine. */
void host_free(Host *host);

/* Makes an app and runs its main chunk. `config->port` is the host's own and is overwritten; the rest, bindings and extension too,
 * is the caller's. NULL with what is wrong in `problem`: bad name, name taken, script that does not load. */
App *host_add_app(Host *host, const AppConfig *config, char *problem, size_t problem_size);

/* While the host runs: an app that loads without being waited for, one that is to stop and be gone. `asked` hears what comes of it. */
void host_launch(Host *host, const AppConfig *config, HostAsked *asked);
void host_retire_app(Host *host, const char *name, HostAsked *asked);

/* During sink.rescan: one more sentence for who asked; not ok: what was asked for has failed. */
void host_tell_asked(HostAsked *asked, bool ok, Slice text);

/* Calls `each` with the name of every app, until it returns false; returns the last answer. Apps may be added and retired meanwhile. */
bool host_each_app(Host *host, bool (*each)(void *context, const char *name), void *context);

/* Makes the connection that host_start opens. False with a sentence in `problem`. */
bool host_connect(Host *host, const Config *config, char *problem, size_t problem_size);

/* Apps begin to take from their inboxes, then the connection is dialed. False without memory. */
bool host_start(Host *host);

/* Stops the apps (@stop, within their limit), then closes the connection with 1000, then says `ended`. Events that arrive meanwhile are
 * counted, not delivered. A second call ends without waiting any longer. */
void host_stop(Host *host);

/* Pushes an event of the host's own to the apps that subscribed: `name` begins with '@'. */
void host_event(Host *host, const char *name, Slice payload);

/* How a question to the host ends: once, on the I/O thread, never inside the call that asked. `text` is for people, of several lines perhaps
 * (a traceback), and is valid during the call. */
typedef void HostDone(void *context, bool ok, Slice text);

/* Loads the next generation of the app `name`, or of all (NULL). `done` may be NULL. What happened is in the log too. False without memory: then
 * nothing was done. */
bool host_reload(Host *host, const char *name, const char *reason, HostDone *done, void *context);

/* The same for those of which a file has changed; nobody waits for it. */
void host_reload_changed(Host *host, const char *reason);

/* From now on an app is reloaded when a file that it was made of changes. After host_start. */
void host_watch_files(Host *host);

/* Runs a piece of Lua in the app, behind the messages that wait for it; `text` is what a REPL prints. False as above. */
bool host_eval(Host *host, const char *name, Slice code, HostDone *done, void *context);

/* Calls `each` with every pattern that the app subscribed to, in no order. */
void host_patterns(Host *host, const App *app, void (*each)(void *context, Slice pattern), void *context);

Client *host_client(Host *host); /* NULL if there is no connection */

/* --- for the operator, while it runs ------------------------------------------------------------------------------------------ */

/* Opens `control.sock` in the state folder, which the caller has locked: see docs/control.md. Closed by host_free. False with a
 * sentence in `problem`. */
bool host_open_control(Host *host, const char *state_dir, char *problem, size_t problem_size);

/* Events whose handler raised: lists them (`text`: a JSON array, see docs/control.md), or puts them back into the inbox (`text`: {"retried":N}).
 * `name` NULL: of all apps. False without memory. */
bool host_dead(Host *host, const char *name, bool retry, HostDone *done, void *context);

/* Signals for the programs that are a host: the first SIGINT or SIGTERM is host_stop, a second one ends the process at once,
 * SIGHUP is `hangup` (NULL: ignored). False if the handlers cannot be had. */
bool host_on_signals(Host *host, void (*hangup)(void *context), void *context);

typedef struct {
    uint64_t events;            /* that came from the gateway */
    uint64_t unwanted;          /* of them: nobody subscribed */
    uint64_t refused;           /* of them: with a name that belongs to the host ('@') */
    uint64_t late;              /* of them: after the stop began */
    uint64_t withheld;          /* of them: kept from an app that was stuck and full; counted for each such app */
    uint64_t lost;              /* messages for which there was no memory */
    uint64_t spoiled;           /* apps that ended without having saved what they wanted to keep */
    uint64_t requests, replies; /* of apps */
    uint64_t pauses;            /* how often an inbox under pressure stopped the reading */
    int64_t paused_ms;          /* for how long altogether */
} HostStats;
void host_stats(const Host *host, HostStats *out);

#endif
