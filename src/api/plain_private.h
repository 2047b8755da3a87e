/* plain_private.h - the tags of plain.h. */
#ifndef GATEHOUSE_API_PLAIN_PRIVATE_H
#define GATEHOUSE_API_PLAIN_PRIVATE_H

#include "api/json_private.h"
#include "api/plain.h"

typedef enum {
    PLAIN_NIL,
    PLAIN_FALSE,
    PLAIN_TRUE,
    PLAIN_NULL,
    PLAIN_INTEGER,
    PLAIN_FLOAT,
    PLAIN_STRING,
    PLAIN_AGAIN,
    PLAIN_TABLE,
    PLAIN_ARRAY,
    PLAIN_PAIRS,
    PLAIN_END,
    PLAIN_SHORT_STRING = 128,
    PLAIN_SMALL_INTEGER = 192,
} PlainTag;

#define PLAIN_SHORT 64 /* lengths and integers below it are in the tag */

#endif
