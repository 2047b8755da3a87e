/* app.h - an app: a name, an inbox, and the generations that take from it, one after the other. The host's handle.
 *
 * A generation is one load of the app. A reload makes the next one beside the running one, on a thread of its own; it takes over
 * between two messages, or, if it does not load, leaves everything as it was. See takeover.h for how. */
#ifndef GATEHOUSE_APP_APP_H
#define GATEHOUSE_APP_APP_H

#include "app/dead_letters.h"
#include "app/inbox.h"
#include "app/latency.h"
#include "app/port.h"
#include "app/sources.h"

typedef struct lua_State lua_State;

#define APP_MEMORY_BYTES (256u << 20) /* of one lua_State, by default */
#define APP_STOP_MS 5000              /* for @stop handlers and what still runs, by default */
#define APP_GRACE_MS 10000            /* for what still waits in a generation that was replaced, by default */
#define APP_CPU_MS 1000               /* of a handler's call, by default */
#define APP_LOAD_MS 10000             /* until a new generation's main chunk and @start have returned or wait */
#define APP_ROLLBACK_FAILURES 5       /* more of the first … */
#define APP_ROLLBACK_CALLS 20         /* … calls that fail, by default: back to the sources before */

/* The Lua bindings, handed in by the host since app/ does not know api/. All run inside a protected call and may raise. */
typedef struct {
    void (*open)(lua_State *L); /* opens the libraries and sets the globals, once per state */
    bool (*push_json)(lua_State *L, Slice text,
                      const char **problem);       /* pushes one value; or nothing, and says what is wrong (static) */
    void (*push_error)(lua_State *L, Slice error); /* pushes the err table made of a raw JSON error object */
    /* Appends what is to outlive the generation: gw.state as bytes; nothing if there never was anything. False if the script has
     * not looked at it yet, so that it still is what generation_inherit gives. Raises, with the place, if something cannot be
     * carried. May be NULL, as the next. */
    bool (*save)(lua_State *L, Buffer *out);
    void (*retire)(
        lua_State *L); /* the generation was replaced: what is written to gw.state from now on would be lost */
    void (*show)(lua_State *L, int from,
                 Buffer *out); /* appends the values from that index on to the top, as a REPL prints them */
} AppBindings;

typedef struct {
    const char *name;     /* [A-Za-z0-9_.-]+ */
    const char *path;     /* the main file, or a folder with init.lua; NULL: an empty script */
    const char *data_dir; /* exists, 0700; NULL: none */
    const char *settings; /* gw.app.config: raw JSON; NULL: {} */
    size_t memory_bytes;  /* 0: the default, as in the next */
    int64_t stop_ms, grace_ms, load_ms;
    int64_t cpu_ms; /* of CPU time, for a handler's call up to its next wait, and for the main chunk; -1: no limit */
    int rollback_failures, rollback_calls; /* -1: no way back by itself */
    int quarantine_failures;               /* in a row, until a handler is switched off; -1: never */
    bool dead_letters;                     /* events whose handler raised are kept in the data folder too */
    bool sandbox;                          /* no files, processes, C modules, debug: api/sandbox.c */
    InboxLimits inbox;
    /* What comes over the inbox's high mark goes to the disk, into data_dir, up to so many bytes (0: the default); or, without a data_dir or with
     * `backpressure`, the reading stops. */
    size_t overflow_bytes;
    bool backpressure;
    const char *drop_oldest, *drop_newest; /* events that may be dropped then: see InboxOverflow; NULL: none */
    bool dry_run;                          /* `check`: load only */
    AppPort port;
    AppBindings bindings;
    void *extension; /* for bindings that only some hosts open (the simulator's); see app_extension */
} AppConfig;         /* copied; the strings too */

/* NULL without memory, with a sentence in `problem`. Nothing runs yet. */
App *app_new(const AppConfig *config, char *problem, size_t problem_size);

/* Starts the first generation on a thread of its own and waits until its main chunk has run. False, with a message that names file,
 * line and cause (several lines: traceback) in `problem`, and nothing left running, if it did not load. */
bool app_load(App *app, char *problem, size_t problem_size);

/* The generation begins to take from the inbox; @start is its first message. After app_load. */
bool app_start(App *app);

/* In place of app_load, without waiting: port->news follows when the main chunk has run, or cannot. */
bool app_launch(App *app); /* false without memory or threads */
typedef enum { LAUNCH_LOADS, LAUNCH_LOADED, LAUNCH_FAILED } AppLaunch;
AppLaunch app_launched(App *app, char *problem,
                       size_t problem_size); /* FAILED: also after load_ms; then it is only to be freed */

/* Asks it to end; port->ended follows within stop_ms unless the script neither returns nor waits. */
void app_stop(App *app);

/* --- reload ------------------------------------------------------------------------------------------------------------------- */

typedef enum {
    RELOAD_ASKED,   /* whatever the files say */
    RELOAD_CHANGED, /* nothing, if they say what they said when they were last loaded, in vain or not */
    RELOAD_BACK,    /* the sources of the last generation that did well */
    RELOAD_AGAIN    /* the sources of the current one: it needs a fresh state */
} ReloadKind;

/* Begins to load the next generation; `reason` is for @start and the log. port->news follows. False if one loads already (if it does not load
 * any more, but waits for its turn, it is given up for a newer one: ask again at the next news), or the app does not run. */
bool app_reload(App *app, ReloadKind kind, const char *reason);

typedef enum {
    RELOADED_DONE,
    RELOADED_UNCHANGED,
    RELOADED_FAILED,
    RELOADED_SUPERSEDED,
    RELOADED_CAME_BACK
} ReloadOutcome;

typedef struct {
    ReloadOutcome
        outcome; /* SUPERSEDED, CAME_BACK (the stuck one that it was to replace by force): to be tried again */
    ReloadKind kind;
    unsigned generation, before;
    char text[4096]; /* FAILED: file, line, cause, traceback; DONE: what an operator should know, or empty */
} AppReloaded;

/* What came of the load, once; false if there is nothing new. */
bool app_reloaded(App *app, AppReloaded *out);

/* What the current generation asks the host for. */
typedef enum { WISH_NONE, WISH_BACK, WISH_AGAIN } AppWish;
AppWish app_wish(App *app, char *reason, size_t reason_size); /* once */

/* The files that the last load from the disk has read, well or not; and those of the current generation. A reference for the caller; NULL if there
 * are none. */
typedef enum { SOURCES_ATTEMPTED, SOURCES_CURRENT } AppSources;
Sources *app_sources(App *app, AppSources which);

/* Frees generations that have ended, gives up a load that takes too long. In each news, and once in a while. */
void app_tidy(App *app, int64_t now_ms);

/* Runs a piece of Lua in the app's state, as a message behind those that wait; port->evaluated follows. False without memory. */
bool app_eval(App *app, uint64_t token, Slice code);

/* --- dead letters: events whose handler raised, see dead_letters.h ------------------------------------------------------------ */

/* Oldest first; `each` must not wait, nor call anything here. Any thread, as the next two. */
void app_dead_each(App *app, void (*each)(void *context, const DeadLetter *letter), void *context);

/* Puts one letter, or all of them (0), behind the messages that wait: each goes to the handler that it failed in, by its label, or else to
 * the first one of the same pattern; without one it stays a letter. Returns how many there are to be put back. */
size_t app_dead_retry(App *app, uint64_t id);

void app_dead_stats(App *app, DeadLetterStats *out);

/* --- to look at --------------------------------------------------------------------------------------------------------------- */

/* What it is doing, for messages about apps that do not come back: the running handler's name, "" if idle. */
typedef struct {
    char running[96]; /* `agent (watch.lua:12)`; empty when idle */
    /* Where that is, if it takes long: "at watch.lua:14", "in find, called at watch.lua:14"; or empty. */
    char place[128];
    int64_t busy_ms;                                            /* for how long, at `now_ms` */
    unsigned generation, draining, incoming;                    /* 0: none */
    bool stands;                                                /* the current one, for the incoming one */
    unsigned abandoned;                                         /* generations that were replaced and never came back */
    int64_t loaded_ms;                                          /* wall clock */
    int64_t cpu_ms;                                             /* of the current generation's thread */
    size_t memory_bytes, memory_limit_bytes, memory_peak_bytes; /* peak: 0 if it is not known */
    uint64_t handled, errors,
        dropped; /* handler calls that ended, of them with an error; events dropped at a handler's `queue` bound or at stop */
    uint64_t skipped; /* events for a handler that was switched off, counted for each such handler */
    uint64_t reloads, failed_reloads, rollbacks;
    InboxStats inbox;
} AppStatus;
void app_status(App *app, int64_t now_ms, AppStatus *out); /* always on the same thread: it keeps what it saw last */

typedef struct {
    const char *pattern, *label; /* `agent`, `agent (watch.lua:12)` */
    uint64_t handled, errors;    /* calls that ended, of them with an error */
    uint64_t skipped;            /* events that it did not get while it was off */
    size_t queued, running;      /* events that wait for it; calls that run or wait */
    bool off;                    /* in quarantine */
    LatencySummary latency;      /* of a call, from its begin to its end */
} HandlerStatus;                 /* borrowed during the call */

/* Calls `each` for every handler of the current generation, in the order of their registration; it must not wait. Any thread. */
void app_each_handler(App *app, void (*each)(void *context, const HandlerStatus *handler), void *context);

/* Asks an app that has been in one step for long to look where it is; asked twice, some ms apart, it tells in AppStatus.place. */
void app_look(App *app);

/* After port->ended: whether all that it wanted to keep was saved. */
bool app_ended_well(const App *app);

/* After port->ended: waits for the threads and frees all. An app of which one never ended, or whose disk hangs, is left
 * alone (false): the process is about to go. */
bool app_free(App *app);

const char *app_name(const App *app);
const char *app_path(const App *app);
Inbox *app_inbox(App *app);
void *app_extension(const App *app);

#endif
