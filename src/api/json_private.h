/* json_private.h - what json.c, json_decode.c and json_encode.c share. */
#ifndef GATEHOUSE_API_JSON_PRIVATE_H
#define GATEHOUSE_API_JSON_PRIVATE_H

#include "api/json.h"

void json_open_decoder(lua_State *L);    /* json_decode.c; a second call does nothing */
void json_push_array_mark(lua_State *L); /* the metatable that arrays have */
bool json_is_marked_array(lua_State *L); /* whether the table on top of the stack has it */
bool json_is_null(lua_State *L, int index);

#endif
