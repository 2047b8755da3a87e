/* heap.h - a min-heap of things that are due: deadlines of requests, timers of an app, timers of the loop.
 * Intrusive: a node is embedded in its owner, the heap keeps pointers only. Add, remove and change cost O(log n). */
#ifndef GATEHOUSE_PROTOCOL_HEAP_H
#define GATEHOUSE_PROTOCOL_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAP_NEVER INT64_MAX

typedef struct {
    int64_t due_ms;  /* read-only outside of the heap */
    uint64_t order;  /* nodes that are due at the same time come out in the order in which they were added */
    size_t position; /* 1 + index in the heap; 0: not in it */
} HeapNode;

typedef struct {
    HeapNode **nodes;
    size_t count, capacity;
    uint64_t next_order;
} Heap; /* all zero is an empty heap */

/* Moves the node if it is in already. False: no memory, and not added. */
bool heap_add(Heap *heap, HeapNode *node, int64_t due_ms);
void heap_remove(Heap *heap, HeapNode *node);       /* nothing if it is not in */
HeapNode *heap_first(const Heap *heap);             /* NULL if empty */
HeapNode *heap_pop_due(Heap *heap, int64_t now_ms); /* removes and returns one that is due, or NULL */
int64_t heap_next_ms(const Heap *heap);             /* when the first is due; HEAP_NEVER if empty */
void heap_free(Heap *heap);                         /* the array; nodes belong to their owners */

#define HEAP_OWNER(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

#endif
