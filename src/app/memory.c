/* memory.c - see memory.h. */
#include "app/memory.h"

#include <stdlib.h>

void *memory_resize(Memory *memory, void *block, size_t old_bytes, size_t new_bytes)
{
    if (!block) old_bytes = 0; /* Lua passes a kind of object there */
    size_t used = atomic_load_explicit(&memory->used_bytes, memory_order_relaxed);
    if (new_bytes > old_bytes && used - old_bytes + new_bytes > memory->limit_bytes) return NULL;
    void *resized = NULL;
    if (new_bytes == 0) {
        free(block);
    } else {
        resized = realloc(block, new_bytes);
        if (!resized) return NULL;
    }
    atomic_store_explicit(&memory->used_bytes, used - old_bytes + new_bytes, memory_order_relaxed);
    return resized;
}

void *memory_grant(Memory *memory, void *block, size_t old_bytes, size_t new_bytes)
{
    size_t used = atomic_load_explicit(&memory->used_bytes, memory_order_relaxed);
    if (used + new_bytes > memory->limit_bytes - memory->limit_bytes / 32) return NULL;
    return memory_resize(memory, block, old_bytes, new_bytes);
}
