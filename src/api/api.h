/* api.h - what scripts see: the modules gw, task, timer, log and json, strict globals, `require`. docs/lua-api.md is
 * the manual. */
#ifndef GATEHOUSE_API_API_H
#define GATEHOUSE_API_API_H

#include "app/app.h"

/* For AppConfig.bindings. */
AppBindings api_bindings(void);

/* Opens the libraries and sets the globals of a generation's state; restores gw.state. May raise: in a protected
 * call. A host with modules of its own calls this from its own `open`, and adds them. */
void api_open(lua_State *L);

/* What AppBindings.push_error does, for those modules. */
void api_push_error(lua_State *L, Slice error);

/* What AppBindings.show does: tabs between the values, tables as JSON where they have such a form, the rest as print shows it. */
void api_show(lua_State *L, int from, Buffer *out);

#endif
