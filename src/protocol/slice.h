/* slice.h - a piece of somebody else's bytes. A Slice owns nothing and need not end in a zero byte. */
#ifndef GATEHOUSE_PROTOCOL_SLICE_H
#define GATEHOUSE_PROTOCOL_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct {
    const char *data; /* NULL when there is nothing, as opposed to an empty text */
    size_t size;      /* bytes */
} Slice;

/* For printf("%.*s", SLICE_ARGS(s)). */
#define SLICE_ARGS(slice) (int)(slice).size, (slice).data ? (slice).data : ""

static inline Slice slice_of(const char *text)
{
    return (Slice){text, text ? strlen(text) : 0};
}

static inline Slice slice_make(const char *data, size_t size)
{
    return (Slice){data, size};
}

static inline bool slice_equals(Slice slice, Slice other)
{
    return slice.size == other.size && (slice.size == 0 || memcmp(slice.data, other.data, slice.size) == 0);
}

static inline bool slice_is(Slice slice, const char *text)
{
    return slice_equals(slice, slice_of(text));
}

#endif
