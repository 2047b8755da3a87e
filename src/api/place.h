/* place.h - where a codec is in nested tables, for its sentences: `params.items[3].name`. A chain from the innermost value to the
 * root, on the C stack; nothing here can raise. */
#ifndef GATEHOUSE_API_PLACE_H
#define GATEHOUSE_API_PLACE_H

#include "protocol/buffer.h"

#include <lua.h>

typedef struct Place {
    const struct Place *outer; /* NULL: this is the root */
    const void *table;         /* that the value is in */
    int key;                   /* absolute index of the key on the Lua stack; 0: an element */
    lua_Integer index;         /* of an element */
} Place;

/* Appends `root` and what leads from there to `place`. */
void place_write(Buffer *out, lua_State *L, const char *root, const Place *place);

#endif
