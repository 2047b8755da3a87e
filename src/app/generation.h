/* generation.h - one load of an app: a lua_State, its handlers, tasks and timers, on a thread of its own. For the bindings.
 *
 * Everything here is called on the generation's thread. `L` is any coroutine of its state. */
#ifndef GATEHOUSE_APP_GENERATION_H
#define GATEHOUSE_APP_GENERATION_H

#include "app/app.h"
#include "app/file.h"
#include "protocol/heap.h"

#include <lua.h>

typedef struct Generation Generation;

Generation *generation_of(lua_State *L);
const AppConfig *generation_config(const Generation *generation);
App *generation_app(const Generation *generation);
unsigned generation_number(const Generation *generation);
bool generation_loading(const Generation *generation);         /* the main chunk is running: no connection yet */
bool generation_stopping(const Generation *generation);        /* its end has begun */
void generation_refuse_retired(lua_State *L, const char *who); /* raises if so: what is begun now would never happen */
const char *generation_folder(const Generation *generation);   /* the app's own folder: what `require` looks in first */
Slice generation_connection(
    const Generation
        *generation); /* what gw.info() tells, raw JSON; {"state":"stopped"} at first. Borrowed until the task waits */
/* The bytes of gw.state to begin with, empty for none: what the generation before has at the border where it stops for this one; the first
 * generation's are the saved ones. The first call waits for that border; raises if there will be none, or if they cannot be read. Borrowed until the task ends. */
Slice generation_inherit(lua_State *L);

/* What file_read does; the file belongs to the app's sources from then on: --watch watches it, a rollback brings its content back. */
FileResult generation_read(lua_State *L, const char *path, size_t limit_bytes, Buffer *content, char *problem,
                           size_t problem_size);
/* Whether it is there to be read; a file that is not, and then is, is a change, too. */
bool generation_has_file(lua_State *L, const char *path);
/* Reads and compiles it, text only, as luaL_loadfilex does: pushes the chunk, or a message. May raise without memory. */
int generation_load_file(lua_State *L, const char *path);

int64_t generation_now_ms(void);            /* monotonic */
int64_t generation_due_ms(int64_t wait_ms); /* when at least so long has passed; at once for 0 */

/* Writes to the log in the app's name. */
void generation_log(Generation *generation, LogLevel level, Slice message, Slice fields);

/* --- handlers --------------------------------------------------------------------------------------------------------------- */

typedef struct {
    unsigned concurrency; /* calls at a time; 0: one */
    size_t queue; /* events that may wait for this handler, the oldest is dropped for a newer one; 0: no such bound */
    bool once;
} HandlerOptions;

/* The function at `index`; `key_index` is a function payload -> key, or 0. Returns the handler's id, never 0; raises without memory. */
uint64_t handler_add(lua_State *L, Slice pattern, int index, int key_index, const HandlerOptions *options);
bool handler_remove(lua_State *L,
                    uint64_t id); /* false if it is gone. Events that wait for it are not handled any more */

/* --- tasks: coroutines that may wait ----------------------------------------------------------------------------------------- */

/* Takes a function and `args` values from L and makes them a task, which starts when the running one waits or ends. `what` names it in
 * messages ("timer", "task"); static. Returns its id, never 0 and never used again; raises without memory. */
uint64_t task_start(lua_State *L, int args, const char *what);

/* 0 in the main chunk and in coroutines that the script made itself. */
uint64_t task_current(lua_State *L);

/* Whether a coroutine is one that runs tasks: nobody but the scheduler may resume or close it. */
bool task_owns(lua_State *coroutine);

/* Waiting, in two steps: `id = task_wait_begin(L, who)` names the wait, `return task_wait(L)` waits. What task_wake gives are the
 * results of the C function that returned task_wait. `who` is for the error that is raised where nothing can wait: "gw.send". */
uint64_t task_wait_begin(lua_State *L, const char *who);
int task_wait(lua_State *L);
void task_wait_until(lua_State *L, int64_t due_ms); /* between the two: at that time the wait ends with `true` */

/* Between the two steps: the wait is for a response to the request with the wait's id as token. If the wait ends otherwise, port->cancel
 * is called. The function at `accepted_index` (0: none) is started as a task with the payload of a response that is not the last. */
void task_wait_response(lua_State *L, int accepted_index);

/* Ends a wait with `values` values from the top of L (popped in any case). False if it has ended already. */
bool task_wake(lua_State *L, uint64_t wait, int values);

/* The task's wait ends with nil and an err of code CANCELLED; the next time that it wants to wait, that raises. False if the task has ended. */
bool task_cancel(lua_State *L, uint64_t task);
bool task_alive(lua_State *L, uint64_t task);

/* --- timers ------------------------------------------------------------------------------------------------------------------ */

/* Embedded in a userdata of the binding, which must stop it before it is collected (anchor it while it is set). */
typedef struct AppTimer AppTimer;
struct AppTimer {
    HeapNode node;
    bool alarm; /* of a task that waits: goes on in a generation that was replaced, where other timers stop */
    void (*fire)(lua_State *L,
                 AppTimer *timer); /* in a protected call on the main coroutine; starts a task, as a rule */
};
void app_timer_set(lua_State *L, AppTimer *timer, int64_t due_ms); /* raises without memory */
void app_timer_stop(lua_State *L, AppTimer *timer);

#endif
