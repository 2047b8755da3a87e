/* generation_private.h - what the files of a generation share: generation.c (its thread), generation_loop.c (what it does with its
 * messages), generation_lua.c (its lua_State), load.c (the main chunk), tasks.c and task_wait.c (coroutines), handlers.c (who listens to what),
 * deliver.c (messages to handlers), handover.c (what the next generation gets), takeover.c (how it gets it), timers.c, failures.c and
 * letters.c (calls that failed), wish.c (what it asks the host for). */
#ifndef GATEHOUSE_APP_GENERATION_PRIVATE_H
#define GATEHOUSE_APP_GENERATION_PRIVATE_H

#include "app/door.h"
#include "app/generation.h"
#include "app/keeping.h"
#include "app/memory.h"
#include "app/quarantine.h"
#include "app/saver.h"
#include "app/sources.h"
#include "app/watchdog.h"

#include <pthread.h>

typedef struct Handler Handler;
typedef struct Lane Lane;
typedef struct Task Task;
typedef struct Delivery Delivery;

/* --- handlers.c: a handler has a lane, or one lane for each key; what is in a lane runs in order -------------------------------- */

/* An event that waits for its turn in a lane. It is in the generation's list of all of them too, in the order of arrival: there those
 * of one event stand side by side. */
struct Delivery {
    Delivery *next;            /* in the lane */
    Delivery *older, *younger; /* of all; written under Generation.lock */
    Handler *handler;
    Message *message;
    int payload_ref; /* LUA_NOREF: not decoded yet */
    uint64_t arrival;
    unsigned attempts; /* that failed, of an event that is tried again */
    bool partial;      /* another handler has begun with this event */
    bool charged;      /* it weighs in the inbox; under Generation.lock while it is in the list */
};

struct Lane {
    Handler *handler;
    Delivery *first, **last; /* last: where the next is linked; NULL while the lane is new */
    size_t waiting;
    unsigned running;
    int key_ref; /* keyed lanes: the key; LUA_NOREF otherwise */
    uint64_t
        held; /* while calls of it run on in a generation that was replaced: the name under which the next one waits for them */
    bool draining; /* is in the generation's list of lanes to look at */
    Lane *next_draining;
};

struct Handler {
    Handler *next;
    uint64_t id;
    size_t pattern_size; /* of what has to be equal: without the '*' of a prefix */
    atomic_bool removed;
    bool prefix, wants_event; /* wants_event: the function takes a second argument */
    HandlerOptions options;
    int function_ref, key_ref, lanes_ref; /* lanes_ref: a table key -> Lane userdata, for keyed handlers */
    Lane lane;                            /* of handlers without a key, and of events whose key is nil */
    size_t uses; /* calls that run, events that wait; the handler is freed when it is removed and unused */
    size_t name; /* while a hand-over is collected: its place there, from 1 on */
    Quarantine quarantine;
    uint64_t skipped_before;        /* it was switched off: of all that it skipped */
    int64_t told_ms;                /* … when that was told last */
    atomic_ullong errors;           /* calls that ended with one; how many ended at all is in `latency` */
    atomic_ullong skipped;          /* events, while it was off */
    atomic_bool off;                /* what other threads see of the quarantine */
    atomic_size_t waiting, running; /* over all its lanes */
    Latency latency;                /* of its calls; read by other threads */
    char label[96];                 /* `agent (watch.lua:12)`; another thread may read it: see Generation.doing */
    char pattern[];                 /* as registered */
};

/* A counter that one thread writes and others read needs no locked instruction. */
static inline void count_up(atomic_ullong *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

static inline void count_by(atomic_size_t *gauge, size_t change)
{
    atomic_store_explicit(gauge, atomic_load_explicit(gauge, memory_order_relaxed) + change, memory_order_relaxed);
}

/* --- tasks.c, task_wait.c -------------------------------------------------------------------------------------------------------- */

typedef struct {
    Task **slots; /* by the low bits of an id */
    size_t count, capacity;
    Task *idle; /* ended ones whose coroutine is used again */
    size_t idle_count, live_count;
    Task *ready_first, **ready_last;
    Task *running;
    uint64_t next_serial;
} Tasks;

/* --- the whole ----------------------------------------------------------------------------------------------------------------- */

typedef enum {
    GENERATION_LOADING,
    GENERATION_LOADED,
    GENERATION_FAILED,
    GENERATION_RUNNING,
    GENERATION_ENDED
} GenerationState;

/* What one generation leaves to the next: see handover.h. */
typedef struct Handover Handover;

struct Generation {
    App *app;
    const AppConfig *config;
    unsigned number;
    Generation *next; /* in App.generations, as all up to `news` under App.lock */
    ReloadKind kind;
    char reason[128];      /* for @start and the log */
    bool paused;           /* it stands at a border for an incoming one */
    bool cancelled;        /* an incoming one that is not to take over */
    bool waits_for_turn;   /* an incoming one that does nothing but wait for the draining one to end */
    bool forces;           /* an incoming one that could not wait any longer for the border */
    bool inherited;        /* `inheritance` is what it begins with */
    bool ended;            /* its thread is about to end, or has */
    int64_t load_due_ms;   /* an incoming one's time is over then; INT64_MAX while it waits for others */
    int64_t drain_due_ms;  /* one that drains should have ended by then */
    ReloadOutcome outcome; /* of an incoming one that failed */
    Buffer inheritance;
    char pause_problem[1024]; /* why it cannot be replaced now */
    Handover *handover;       /* while paused: what it would leave */

    Sources *sources;  /* what it has read */
    Sources *override; /* what it reads in place of the disk; NULL: the disk */
    Buffer text;       /* of a file that is compiled */
    char *folder;      /* of the main file, for require */
    char *main_file;
    lua_State *L;
    Memory memory;
    Watchdog *watchdog;
    Tasks tasks;
    Heap timers;
    InboxEpoch epoch;
    Inbox *mail; /* what is for it alone: from the generation beside it */

    Handler *handlers, **handlers_last; /* the list is changed under `lock` */
    size_t delivering;                  /* > 0: the list of handlers is being walked, nothing is freed from it */
    bool handlers_removed;              /* there is something to free */
    bool announced;                     /* the port knows of its handlers; under `lock` */
    int asking;                         /* requests in flight, that the inbox knows of; under `lock` */
    Lane *draining_first, **draining_last;
    Delivery *oldest, *youngest; /* of all that wait; changed under `lock` */
    uint64_t arrivals;           /* events so far */
    Handover *left;              /* what the generation before left, while it is being worked through; under `lock` */
    Handover *holds;   /* the same, for the calls of that generation that it waits for; NULL when they are over */
    int probation;     /* calls that are still looked at for a way back */
    int failures;      /* of them */
    bool failed_often; /* it has asked for a way back; under App.lock */

    Keeping keeping; /* active once generation_inherit was called */

    Message *connection; /* the last MESSAGE_CONNECTION */
    bool starting;       /* an error now means that it does not follow */
    bool drains;         /* it was replaced, and knows it */
    bool stopping;
    bool closing;           /* only finalizers of the script still run */
    bool collect;           /* memory ran out: collect garbage once the failed task is gone */
    bool restarts;          /* and that was not enough: it asks for a fresh state */
    int64_t restart_due_ms; /* … when; 0: it has, or does not */
    bool letters_told;      /* that the file of dead letters does not work */
    int64_t stop_due_ms;

    /* Read and written by other threads. */
    _Atomic(const char *)
        doing;           /* label of the running handler or kind of task; NULL: idle. Its text is read under the lock */
    atomic_ullong steps; /* grows with every step into Lua: the same value twice with `doing` set is one long call */
    atomic_ullong handled, errors, dropped, skipped;
    atomic_bool spoiled;         /* what it wanted to keep could not be saved */
    atomic_bool attention;       /* there is mail, or somebody waits for it at the border */
    atomic_bool pause_wanted;    /* … that */
    atomic_bool retired;         /* another one has taken over */
    atomic_bool condemned;       /* nobody waits for it any more: what runs here counts as failed. Set under `lock` */
    atomic_bool holds_over;      /* nobody is left to tell that the calls of the generation before have ended */
    _Atomic(Message *) handling; /* the reference of the message that it is busy with, for who takes over by force */
    Message *taken;              /* that one, then: kept until it comes back */
    atomic_llong loaded_ms;      /* wall clock */

    pthread_t thread;
    bool begun;           /* there is a thread */
    pthread_mutex_t lock; /* of what says so above, and the two below; and no label is freed without it */
    pthread_cond_t changed;
    GenerationState state;
    bool go;
    char problem[4096];
};

/* A generation and, when `start` is called, its thread. The first one loads and waits for generation_go; one that follows takes over
 * when it can. */
Generation *generation_new(App *app, const AppConfig *config, unsigned number);
bool generation_begin(Generation *generation);
bool generation_await_load(Generation *generation, char *problem, size_t problem_size);
void generation_go(Generation *generation);      /* begin to take from the inbox; or, if it failed to load, just end */
void generation_free(Generation *generation);    /* joins the thread, if it has begun */
void generation_abandon(Generation *generation); /* its thread does not come back: nobody will join it */
void generation_post(Generation *generation, Message *message); /* into its mail; takes the reference. Any thread */
void generation_look_up(Generation *generation); /* there is something for it beside the inbox. Any thread */

#define GENERATION_MASK 0xffffu /* what is known of a generation's number on the other side of the thread border */

/* generation_lua.c */
bool generation_open_lua(Generation *generation); /* false without memory */

/* generation_loop.c */
void generation_live(Generation *generation); /* takes messages until it is to end, and drains if it was replaced */
void generation_host_event(Generation *generation, const char *name, const char *payload); /* to its handlers, now */
void generation_let_all_go(Generation *generation); /* it waits for no call of the generation before any more */

/* eval.c */
void eval_run(Generation *generation, const Message *message); /* MESSAGE_EVAL */
void eval_ended(Generation *generation, lua_State *from, uint64_t token,
                int results);                              /* its task; -1 results: it failed */
void eval_dropped(Generation *generation, uint64_t token); /* it will not end. Any thread */

/* failures.c: what comes of handlers' calls that failed. `attempts` counts the failed ones before. */
typedef struct {
    Handler *handler;
    Message *message;
    unsigned attempts;
    bool probe; /* it decides whether the handler stays off */
} HandlerCall;
bool failures_skip(Generation *generation, const HandlerCall *call); /* its handler is off: not to be called; counted */
bool failures_probe(Handler *handler);                               /* a call begins: whether it decides */
/* A call was over. `traceback`: of one that failed; NULL: there was no memory for it. */
void failures_ended(Generation *generation, const HandlerCall *call, QuarantineOutcome outcome, const char *traceback);

/* letters.c: dead letters */
void letters_open(Generation *first); /* on its thread: may wait for the disk */
/* Keeps an event of the gateway, with why, and how often it has failed; nothing of others. May wait for the disk. */
void letters_keep(Generation *generation, const char *label, Message *message, const char *why, unsigned attempts);
void letters_retry(Generation *generation, uint64_t id); /* MESSAGE_RETRY */

/* wish.c */
void wish_count(Generation *generation, bool failed, const char *traceback); /* a call has ended, in probation */
void wish_fresh(Generation *generation); /* garbage was collected, after memory ran out */
void wish_look(Generation *generation);  /* while restart_due_ms is set */

/* load.c */
bool load_find_main_file(Generation *generation,
                         const char *path); /* sets folder and main_file; false without memory */
bool load_run(Generation *generation);      /* the main chunk; false: why is in `problem` */
void load_explain_memory(Generation *generation, Buffer *message);
bool load_is_memory(const char *text); /* whether an error is the want of memory */

/* A C function with `argument` as light userdata, in a protected call on the main coroutine; an error is logged and counted. */
bool generation_protect(Generation *generation, lua_CFunction function, void *argument, const char *what);
/* The same, and an error is only told. */
bool generation_try(Generation *generation, lua_CFunction function, void *argument, char *problem, size_t problem_size);
void generation_error(Generation *generation, const char *what, const char *traceback);
void generation_doing(Generation *generation, const char *label); /* a step into Lua begins (NULL: ended) */
void generation_asks(Generation *generation, int change);         /* so many requests more (fewer) are in flight */
void generation_asks_no_more(Generation *generation);             /* whatever is in flight. Any thread */
void generation_collect(Generation *generation);                  /* garbage, after memory ran out */
bool generation_replaced(const Generation *generation);           /* retired or condemned */
bool generation_cut_short(
    const Generation *generation); /* replaced in the middle of what it does: nothing more of that */
int64_t generation_wall_ms(void);
bool generation_sent(const Generation *generation,
                     const Message *response); /* whether it is an answer to its request */

void tasks_init(lua_State *L);    /* of a new state: before the first coroutine is made */
Task *task_acquire(lua_State *L); /* a task with an empty stack, running nothing; may raise */
void task_begin(Generation *generation, Task *task, Lane *lane, const char *what,
                int args); /* its stack: function, args. Steps into it */
lua_State *task_stack(Task *task);
/* It is the call of a handler for that event, which is borrowed until the task waits. Before task_begin. */
void task_for(Task *task, Message *message, unsigned attempts, bool probe);
void task_ask(Task *task, uint64_t token); /* its end is told to eval_ended */
uint64_t task_asked(const Task *task);     /* 0: by nobody */
bool tasks_ready(const Generation *generation);
void tasks_step(Generation *generation); /* runs what is ready now */
size_t tasks_live(const Generation *generation);
void tasks_cancel_all(Generation *generation,
                      const char *error); /* `error`: the raw JSON object that their waits end with */
void tasks_each_call(Generation *generation, void (*each)(void *context, Lane *lane),
                     void *context); /* of a handler, that has not ended */
bool task_answer(Generation *generation, lua_State *L,
                 const Message *message); /* a response; may raise. False: nobody waits */
void tasks_drop(Generation *generation);  /* those that have not ended never will */
void tasks_free(Generation *generation);

bool handler_matches(const Handler *handler, Slice name);
bool handler_is_of_host(Slice name);                            /* of a pattern or an event: it begins with '@' */
void handler_release(Generation *generation, Handler *handler); /* one use fewer */
/* Tells the port of all of them, or that they are gone. Any thread. */
void handlers_announce(Generation *generation, bool wanted);
/* A handler is found again in the next generation by its pattern and its place among those of that pattern. */
unsigned handler_ordinal(const Generation *generation, const Handler *handler);
Handler *handler_find(Generation *generation, const char *pattern, unsigned ordinal); /* NULL if there is none */
void handlers_sweep(Generation *generation); /* frees removed ones, when nothing walks the list */
void handlers_clear(Generation *generation); /* drops the events that wait for them, counted */
void handlers_free(Generation *generation);  /* before the state is closed */

void deliver_event(Generation *generation, Message *message); /* to all its handlers */
void deliver_to(Generation *generation, Handler *handler, Message *message, unsigned attempts); /* to this one only */
/* What it is busy with, for who takes over by force. Returns what it was before, with its reference. */
Message *generation_busy_with(Generation *generation, Message *message);
/* The same for a message that has no weight in the inbox, for as long as it lasts: who takes it away gives its weight back. False if it
 * was taken away. */
void generation_busy_begin(Generation *generation, Message *message);
bool generation_busy_end(Generation *generation);
void lane_ended(Generation *generation, Lane *lane); /* a call of this lane ended */
bool lanes_draining(const Generation *generation);
void lanes_drain(Generation *generation);            /* starts what waits and may run */
void lane_clear(Generation *generation, Lane *lane); /* drops what waits, counted unless another generation has it */
Lane *lane_of_key(lua_State *L, Handler *handler);   /* of the key on top, popped; made if it is not there. May raise */
void lane_hold(Lane *lane, unsigned calls);          /* so many calls run already, elsewhere */
void lane_let_go(Generation *generation, Lane *lane); /* one of them has ended */

void timers_fire(Generation *generation);
void timers_retire(Generation *generation); /* all but those of tasks that wait */

#endif
