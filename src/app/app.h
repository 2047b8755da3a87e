/* app.h - an app: a name, an inbox, and the generation that takes from it. The host's handle. */
#ifndef GATEHOUSE_APP_APP_H
#define GATEHOUSE_APP_APP_H

#include "app/inbox.h"
#include "app/port.h"

typedef struct lua_State lua_State;

#define APP_MEMORY_BYTES (256u << 20) /* of one lua_State, by default */
#define APP_STOP_MS 5000              /* for @stop handlers and what still runs, by default */

/* The Lua bindings, handed in by the host since app/ does not know api/. All run inside a protected call and may raise. */
typedef struct {
    void (*open)(lua_State *L); /* opens the libraries and sets the globals, once per state */
    bool (*push_json)(lua_State *L, Slice text,
                      const char **problem);       /* pushes one value; or nothing, and says what is wrong (static) */
    void (*push_error)(lua_State *L, Slice error); /* pushes the err table made of a raw JSON error object */
    void (*close)(lua_State *L); /* the app has ended, its handlers have run: save what is to be kept. May be NULL */
} AppBindings;

typedef struct {
    const char *name;     /* [A-Za-z0-9_.-]+ */
    const char *path;     /* the main file, or a folder with init.lua */
    const char *data_dir; /* exists, 0700; NULL: none */
    const char *settings; /* gw.app.config: raw JSON; NULL: {} */
    size_t memory_bytes;  /* 0: the default */
    int64_t stop_ms;      /* 0: the default */
    InboxLimits inbox;
    bool dry_run; /* `check`: load only */
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

/* Asks it to end; port->ended follows within stop_ms unless the script neither returns nor waits. */
void app_stop(App *app);

/* What it is doing, for messages about apps that do not come back: the running handler's name, "" if idle. */
typedef struct {
    char running[96]; /* `agent (watch.lua:12)`; empty when idle */
    int64_t busy_ms;  /* for how long, at `now_ms` */
    unsigned generation;
    size_t memory_bytes;
    uint64_t handled, errors,
        dropped; /* handler calls that ended, of them with an error; events dropped at a handler's `queue` bound or at stop */
    InboxStats inbox;
} AppStatus;
void app_status(App *app, int64_t now_ms, AppStatus *out); /* always on the same thread: it keeps what it saw last */

/* After port->ended: whether all that it wanted to keep was saved. */
bool app_ended_well(const App *app);

/* After port->ended: waits for the thread and frees all. An app that never ended is left alone (false): the process is about to go. */
bool app_free(App *app);

const char *app_name(const App *app);
Inbox *app_inbox(App *app);
void *app_extension(const App *app);

#endif
