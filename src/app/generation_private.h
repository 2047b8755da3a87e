/* generation_private.h - what the files of a generation share: generation.c (the state and its thread), tasks.c (coroutines),
 * handlers.c (who listens to what), deliver.c (messages to handlers), timers.c. */
#ifndef GATEHOUSE_APP_GENERATION_PRIVATE_H
#define GATEHOUSE_APP_GENERATION_PRIVATE_H

#include "app/door.h"
#include "app/generation.h"
#include "app/memory.h"

#include <pthread.h>

typedef struct Handler Handler;
typedef struct Lane Lane;
typedef struct Task Task;
typedef struct Delivery Delivery;

/* --- handlers.c: a handler has a lane, or one lane for each key; what is in a lane runs in order -------------------------------- */

/* An event that waits for its turn in a lane. */
struct Delivery {
    Delivery *next;
    Message *message;
    int payload_ref; /* LUA_NOREF: not decoded yet */
};

struct Lane {
    Handler *handler;
    Delivery *first, **last; /* last: where the next is linked; NULL while the lane is new */
    size_t waiting;
    unsigned running;
    int key_ref;   /* keyed lanes: the key; LUA_NOREF otherwise */
    bool draining; /* is in the generation's list of lanes to look at */
    Lane *next_draining;
};

struct Handler {
    Handler *next;
    uint64_t id;
    size_t pattern_size;               /* of what has to be equal: without the '*' of a prefix */
    bool prefix, removed, wants_event; /* wants_event: the function takes a second argument */
    HandlerOptions options;
    int function_ref, key_ref, lanes_ref; /* lanes_ref: a table key -> Lane userdata, for keyed handlers */
    Lane lane;                            /* of handlers without a key, and of events whose key is nil */
    size_t uses;    /* calls that run, events that wait; the handler is freed when it is removed and unused */
    char label[96]; /* `agent (watch.lua:12)`; another thread may read it: see Generation.doing */
    char pattern[]; /* as registered */
};

/* --- tasks.c ------------------------------------------------------------------------------------------------------------------- */

typedef struct {
    Task **slots; /* by the low bits of an id */
    size_t count, capacity;
    Task *idle; /* ended ones whose coroutine is used again */
    size_t idle_count, live_count;
    Task *ready_first, **ready_last;
    Task *running;
    uint64_t next_serial;
} Tasks;

/* --- generation.c -------------------------------------------------------------------------------------------------------------- */

typedef enum {
    GENERATION_LOADING,
    GENERATION_LOADED,
    GENERATION_FAILED,
    GENERATION_RUNNING,
    GENERATION_ENDED
} GenerationState;

struct Generation {
    App *app;
    const AppConfig *config;
    unsigned number;
    char *folder; /* of the main file, for require */
    char *main_file;
    lua_State *L;
    Memory memory;
    Tasks tasks;
    Heap timers;

    Handler *handlers, **handlers_last;
    size_t delivering;     /* > 0: the list of handlers is being walked, nothing is freed from it */
    bool handlers_removed; /* there is something to free */
    Lane *draining_first, **draining_last;

    Message *connection; /* the last MESSAGE_CONNECTION */
    bool stopping;
    bool closing; /* only finalizers of the script still run */
    bool collect; /* memory ran out: collect garbage once the failed task is gone */
    int64_t stop_due_ms;

    /* Read by other threads. */
    _Atomic(const char *)
        doing;           /* label of the running handler or kind of task; NULL: idle. Its text is read under the lock */
    atomic_ullong steps; /* grows with every step into Lua: the same value twice with `doing` set is one long call */
    atomic_ullong handled, errors, dropped;
    atomic_bool spoiled; /* what it wanted to keep could not be saved */

    pthread_t thread;
    pthread_mutex_t lock; /* of the two below; and no label is freed without it */
    pthread_cond_t changed;
    GenerationState state;
    bool go;
    char problem[4096];
};

/* Starts its thread, which loads the main chunk; generation_await_load waits for that. */
Generation *generation_new(App *app, const AppConfig *config, unsigned number);
bool generation_await_load(Generation *generation, char *problem, size_t problem_size);
void generation_go(Generation *generation);      /* begin to take from the inbox; or, if it failed to load, just end */
void generation_free(Generation *generation);    /* joins the thread */
void generation_abandon(Generation *generation); /* its thread does not come back: nobody will join it */

/* A C function with `argument` as light userdata, in a protected call on the main coroutine; an error is logged and counted. */
bool generation_protect(Generation *generation, lua_CFunction function, void *argument, const char *what);
void generation_error(Generation *generation, const char *what, const char *traceback);
void generation_doing(Generation *generation, const char *label); /* a step into Lua begins (NULL: ended) */

void tasks_init(lua_State *L);    /* of a new state: before the first coroutine is made */
Task *task_acquire(lua_State *L); /* a task with an empty stack, running nothing; may raise */
void task_begin(Generation *generation, Task *task, Lane *lane, const char *what,
                int args); /* its stack: function, args. Steps into it */
lua_State *task_stack(Task *task);
bool tasks_ready(const Generation *generation);
void tasks_step(Generation *generation); /* runs what is ready now */
size_t tasks_live(const Generation *generation);
void tasks_cancel_all(Generation *generation);
bool task_answer(Generation *generation, lua_State *L,
                 const Message *message); /* a response; may raise. False: nobody waits */
void tasks_free(Generation *generation);

bool handler_matches(const Handler *handler, Slice name);
void handler_release(Generation *generation, Handler *handler); /* one use fewer */
void handlers_subscribe(Generation *generation);                /* tells the port what was registered while loading */
void handlers_sweep(Generation *generation);                    /* frees removed ones, when nothing walks the list */
void handlers_clear(Generation *generation);                    /* drops the events that wait for them, counted */
void handlers_free(Generation *generation);                     /* before the state is closed */

void deliver_event(Generation *generation, Message *message); /* to all its handlers */
void lane_ended(Generation *generation, Lane *lane);          /* a call of this lane ended */
bool lanes_draining(const Generation *generation);
void lanes_drain(Generation *generation);            /* starts what waits and may run */
void lane_clear(Generation *generation, Lane *lane); /* drops what waits, counted */

void timers_fire(Generation *generation);

#endif
