/* utf8.h - UTF-8 validation that runs over ASCII sixteen bytes at a time and can stop anywhere. */
#ifndef GATEHOUSE_PROTOCOL_UTF8_H
#define GATEHOUSE_PROTOCOL_UTF8_H

#include "protocol/slice.h"

#include <stdint.h>

#define UTF8_ACCEPT 0u /* the state at a character's border */
#define UTF8_REJECT 1u /* the state after a byte that cannot be */

/* Goes on from `state` over `bytes` and returns the new state; a state of neither value above is inside a character. */
uint32_t utf8_check(uint32_t state, Slice bytes);

static inline bool utf8_valid(Slice bytes)
{
    return utf8_check(UTF8_ACCEPT, bytes) == UTF8_ACCEPT;
}

/* The longest prefix of at most `limit` bytes that does not cut a character of the valid text. */
size_t utf8_prefix(Slice text, size_t limit);

#endif
