/* memory.h - the allocator of a lua_State, with a limit. At the limit Lua collects garbage, then raises "not enough memory" in
 * the script that asked; the host does not notice. */
#ifndef GATEHOUSE_APP_MEMORY_H
#define GATEHOUSE_APP_MEMORY_H

#include <stdatomic.h>
#include <stddef.h>

typedef struct {
    atomic_size_t used_bytes; /* written by the state's thread only */
    size_t limit_bytes;
} Memory;

/* What a lua_Alloc does, within the limit. */
void *memory_resize(Memory *memory, void *block, size_t old_bytes, size_t new_bytes);

/* The same for what the host makes because the script wants it, a handler or a task: the last part of the memory is not for that, so
 * that what runs can still say what went wrong, and the next handler can run. */
void *memory_grant(Memory *memory, void *block, size_t old_bytes, size_t new_bytes);

#endif
