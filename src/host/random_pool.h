/* random_pool.h - random bytes from the kernel, fetched many at a time: masks, jitter, ids of requests. */
#ifndef GATEHOUSE_HOST_RANDOM_POOL_H
#define GATEHOUSE_HOST_RANDOM_POOL_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint8_t bytes[512];
    size_t left;
} RandomPool; /* all zero is an empty pool */

void random_pool_take(RandomPool *pool, void *out,
                      size_t size); /* at most 512 bytes; ends the process if the kernel has none */

/* A random (version 4) UUID. */
void random_pool_uuid(RandomPool *pool, char id[37]);

#endif
