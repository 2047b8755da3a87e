/* support.h - what the files that bind a module share: opening it, checking arguments, errors, memory that a raised
 * error does not lose. */
#ifndef GATEHOUSE_API_SUPPORT_H
#define GATEHOUSE_API_SUPPORT_H

#include "app/generation.h"

#include <lauxlib.h>

/* --- the modules: each pushes its table, or changes what the standard library put there --------------------------- */

int gw_open(lua_State *L);
int task_open(lua_State *L);
int timer_open(lua_State *L);
int log_open(lua_State *L);
void stdlib_restrict(lua_State *L); /* os.exit, bytecode, debug, … */
void budget_guard(lua_State *L);    /* what would escape the CPU budget; before stdlib_restrict */
void coroutines_guard(lua_State *L);
void sandbox_close(lua_State *L); /* after all others: nothing if the app runs without a sandbox */
void require_open(lua_State *L);  /* the app's folder, what ships, the system; text only */
void globals_make_strict(lua_State *L);

/* Pushes a function that raises the message on top of the stack, in its place. */
void refusal_push(lua_State *L);

/* Of the global table `library` only the functions named in `kept` (ended by NULL) stay. The others are there, and raise their name and `why`;
 * what is no function (an open file) goes. */
void library_keep_only(lua_State *L, const char *library, const char *const *kept, const char *why);
bool is_one_of(const char *name, const char *const *names);

/* Pushes what the chunk of an embedded file returns, called with `args` values from the top of L. Raises if there is
 * none of that name. */
void require_embedded(lua_State *L, const char *name, int args);

/* Whether the app runs in a sandbox; and then, whether a file is in its folder, wherever links lead. */
bool sandboxed(lua_State *L);
bool sandbox_allows_file(lua_State *L, const char *path);

/* gw.send, gw.state: parts of gw with a file of their own. Each pushes one value. */
void gw_send_push(lua_State *L);
void state_push(lua_State *L);
void state_replace(lua_State *L, int index); /* gw.state = {…} */
bool state_is(lua_State *L, int index);      /* whether the value is gw.state */
void state_push_table(lua_State *L,
                      int index);   /* of gw.state at `index` its content; may wait and raise, as its first use does */
int state_on_migrate(lua_State *L); /* gw.on_migrate */
bool state_save(lua_State *L, Buffer *out); /* AppBindings.save */
void state_freeze(lua_State *L);            /* AppBindings.retire */

/* --- classes of userdata ------------------------------------------------------------------------------------------ */

/* A metatable named `name` with these methods, which scripts cannot reach. */
void class_new(lua_State *L, const char *name, const luaL_Reg *methods);

/* --- arguments: what is wrong raises with the argument's number and the function's name --------------------------- */

/* Seconds as milliseconds, rounded up, of at least `least_ms`. */
int64_t check_ms(lua_State *L, int arg, int64_t least_ms);

/* The table of options at `arg`, or nothing: false. A name that is not in `names` (ended by NULL) is refused. */
bool check_options(lua_State *L, int arg, const char *const *names);

/* Option `name` of that table. Each leaves the stack as it was, and gives `otherwise` for nil. */
bool option_flag(lua_State *L, int arg, const char *name);
int64_t option_ms(lua_State *L, int arg, const char *name, int64_t least_ms, int64_t otherwise);
lua_Integer option_count(lua_State *L, int arg, const char *name, lua_Integer otherwise); /* at least 1 */
int option_function(lua_State *L, int arg,
                    const char *name); /* pushes it and returns its index; 0, with nothing pushed, for nil */

/* Raises where `who` cannot wait: while the app loads, in a coroutine of the script, inside a C function that calls
 * back. */
void check_can_wait(lua_State *L, const char *who);

/* --- results ------------------------------------------------------------------------------------------------------ */

void errors_open(lua_State *L); /* the class of err tables, before all else */

/* Pushes nil and an err table with that code and message. `return api_fail(L, …)`. */
int api_fail(lua_State *L, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A sentence in the log, in the app's name. */
void api_log(lua_State *L, LogLevel level, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Pushes a userdata that holds an empty buffer, freed with it: so it survives a raised error. The pointer is good
 * while the value is reachable. */
Buffer *scratch_new(lua_State *L, size_t headroom);

#endif
