/* exact_copy.h - texts in blocks of their exact size, so that AddressSanitizer sees a read beyond them. */
#ifndef GATEHOUSE_TESTS_EXACT_COPY_H
#define GATEHOUSE_TESTS_EXACT_COPY_H

#include <stdlib.h>

#include "protocol/slice.h"

static inline Slice exact_copy(Slice text)
{
    char *data = malloc(text.size ? text.size : 1);
    if (!data) abort();
    if (text.size) memcpy(data, text.data, text.size);
    return slice_make(data, text.size);
}

static inline void free_copy(Slice copy)
{
    free((char *)copy.data);
}

#endif
