/* heap.c - the binary min-heap of deadlines: the children of index i are at 2i+1 and 2i+2, and due no earlier. */
#include "protocol/heap.h"

#include <stdlib.h>

#define FIRST_CAPACITY 16

static bool is_before(const HeapNode *node, const HeapNode *other)
{
    return node->due_ms != other->due_ms ? node->due_ms < other->due_ms : node->order < other->order;
}

static void put(Heap *heap, HeapNode *node, size_t index)
{
    heap->nodes[index] = node;
    node->position = index + 1;
}

/* `node` belongs at `index` or nearer to the root: parents that are due later move down. */
static void sift_up(Heap *heap, HeapNode *node, size_t index)
{
    while (index > 0) {
        size_t parent = (index - 1) / 2;

        if (!is_before(node, heap->nodes[parent])) break;
        put(heap, heap->nodes[parent], index);
        index = parent;
    }
    put(heap, node, index);
}

/* `node` belongs at `index` or farther from the root: the earlier child moves up. */
static void sift_down(Heap *heap, HeapNode *node, size_t index)
{
    for (;;) {
        size_t child = 2 * index + 1;

        if (child >= heap->count) break;
        if (child + 1 < heap->count && is_before(heap->nodes[child + 1], heap->nodes[child])) child++;
        if (!is_before(heap->nodes[child], node)) break;
        put(heap, heap->nodes[child], index);
        index = child;
    }
    put(heap, node, index);
}

static void settle(Heap *heap, HeapNode *node, size_t index)
{
    if (index > 0 && is_before(node, heap->nodes[(index - 1) / 2])) {
        sift_up(heap, node, index);
    } else {
        sift_down(heap, node, index);
    }
}

bool heap_add(Heap *heap, HeapNode *node, int64_t due_ms)
{
    if (node->position == 0 && heap->count == heap->capacity) {
        size_t capacity = heap->capacity ? heap->capacity * 2 : FIRST_CAPACITY;
        HeapNode **nodes = realloc(heap->nodes, capacity * sizeof *nodes);

        if (!nodes) return false;
        heap->nodes = nodes;
        heap->capacity = capacity;
    }
    node->due_ms = due_ms;
    node->order = heap->next_order++;
    if (node->position == 0) {
        sift_up(heap, node, heap->count++);
    } else {
        settle(heap, node, node->position - 1);
    }
    return true;
}

void heap_remove(Heap *heap, HeapNode *node)
{
    size_t index;
    HeapNode *last;

    if (node->position == 0) return;
    index = node->position - 1;
    node->position = 0;
    last = heap->nodes[--heap->count];
    if (last != node) settle(heap, last, index);
}

HeapNode *heap_first(const Heap *heap)
{
    return heap->count ? heap->nodes[0] : NULL;
}

HeapNode *heap_pop_due(Heap *heap, int64_t now_ms)
{
    HeapNode *first = heap_first(heap);

    if (!first || first->due_ms > now_ms) return NULL;
    heap_remove(heap, first);
    return first;
}

int64_t heap_next_ms(const Heap *heap)
{
    return heap->count ? heap->nodes[0]->due_ms : HEAP_NEVER;
}

void heap_free(Heap *heap)
{
    free(heap->nodes);
    *heap = (Heap){0};
}
