/* freeze.h - tables that can still be read, but not be written: gw.state of a generation that was replaced, also where the script
 * holds a table of it in a variable. A frozen table is the same table as before, emptied, in front of another one that has its
 * content: so indexing, pairs, ipairs, # and json.encode find all, and a write raises RELOADED. next, rawget and rawset see the
 * empty table. */
#ifndef GATEHOUSE_API_FREEZE_H
#define GATEHOUSE_API_FREEZE_H

#include <lua.h>

/* Freezes the table at `index` and the tables in it, each once; those with a metatable of the script are left alone. Raises without
 * memory: then some are frozen and the others whole. */
void freeze_tables(lua_State *L, int index);

/* Puts the content of a frozen table in its place on top of the stack; leaves any other value alone. Raises nothing. */
void freeze_look_through(lua_State *L);

/* Raises the error of a write that would be lost. */
int freeze_refuse(lua_State *L);

/* `return freeze_pairs(L)` for __pairs: walks the table on top of the stack without giving it away. */
int freeze_pairs(lua_State *L);

#endif
