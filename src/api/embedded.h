/* The Lua sources that ship inside the binary: everything under lua/, put there by cmake/embed.cmake. */
#ifndef GATEHOUSE_API_EMBEDDED_H
#define GATEHOUSE_API_EMBEDDED_H

#include <stddef.h>

typedef struct EmbeddedFile {
    const char *name; /* path below lua/, as in "sim/gateway.lua" */
    const char *data; /* size bytes of source text, and a zero behind them */
    size_t size;
} EmbeddedFile;

/* Sorted by name in byte order; an entry whose name is NULL stands behind the last. */
extern const EmbeddedFile gatehouse_embedded_files[];
extern const size_t gatehouse_embedded_file_count;

#endif
