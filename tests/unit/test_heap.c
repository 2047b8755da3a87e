/* test_heap.c - the heap of deadlines, against a plain search through all nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/heap.h"

#define NODES 300

typedef struct {
    int number;
    HeapNode node;
} Timer;

static void empty_heap_has_nothing(void **state)
{
    Heap heap = {0};
    HeapNode node = {0};

    (void)state;
    assert_null(heap_first(&heap));
    assert_null(heap_pop_due(&heap, INT64_MAX));
    assert_true(heap_next_ms(&heap) == HEAP_NEVER);
    heap_remove(&heap, &node);
    heap_free(&heap);
}

static void nodes_come_out_when_due_and_in_order(void **state)
{
    Heap heap = {0};
    Timer timers[5] = {0};
    const int64_t due_ms[5] = {50, 20, 50, 10, 20};
    const int expected[5] = {3, 1, 4, 0, 2}; /* the same time: first come, first served */

    (void)state;
    for (int i = 0; i < 5; i++) {
        timers[i].number = i;
        assert_true(heap_add(&heap, &timers[i].node, due_ms[i]));
    }
    assert_true(heap_next_ms(&heap) == 10);
    assert_null(heap_pop_due(&heap, 9));
    for (int i = 0; i < 5; i++) {
        HeapNode *node = heap_pop_due(&heap, 50);

        assert_non_null(node);
        assert_int_equal(HEAP_OWNER(node, Timer, node)->number, expected[i]);
        assert_int_equal(node->position, 0);
    }
    assert_null(heap_pop_due(&heap, INT64_MAX));
    heap_free(&heap);
}

static void adding_again_moves(void **state)
{
    Heap heap = {0};
    HeapNode first = {0}, second = {0};

    (void)state;
    assert_true(heap_add(&heap, &first, 10));
    assert_true(heap_add(&heap, &second, 20));
    assert_true(heap_add(&heap, &first, 30));
    assert_int_equal(heap.count, 2);
    assert_ptr_equal(heap_first(&heap), &second);
    assert_true(heap_add(&heap, &first, 20)); /* the same time as the second, but added later */
    assert_ptr_equal(heap_first(&heap), &second);
    assert_true(heap_add(&heap, &first, 1));
    assert_ptr_equal(heap_first(&heap), &first);
    heap_remove(&heap, &first);
    heap_remove(&heap, &first);
    assert_int_equal(heap.count, 1);
    assert_ptr_equal(heap_first(&heap), &second);
    heap_free(&heap);
}

static const HeapNode *earliest(const HeapNode *nodes)
{
    const HeapNode *best = NULL;

    for (int i = 0; i < NODES; i++) {
        const HeapNode *node = &nodes[i];

        if (node->position == 0) continue;
        if (!best || node->due_ms < best->due_ms || (node->due_ms == best->due_ms && node->order < best->order)) {
            best = node;
        }
    }
    return best;
}

static void random_operations_agree_with_a_search(void **state)
{
    Heap heap = {0};
    HeapNode nodes[NODES] = {0};
    uint32_t random = 12345;

    (void)state;
    for (int step = 0; step < 20000; step++) {
        HeapNode *node;

        random = random * 1664525u + 1013904223u;
        node = &nodes[(random >> 8) % NODES];
        switch (random >> 30) {
        case 0: heap_remove(&heap, node); break;
        case 1: {
            const HeapNode *expected = earliest(nodes);

            assert_ptr_equal(heap_pop_due(&heap, INT64_MAX), expected);
            break;
        }
        default: assert_true(heap_add(&heap, node, (random >> 16) % 50)); break;
        }
        assert_ptr_equal(heap_first(&heap), earliest(nodes));
        for (size_t i = 0; i < heap.count; i++)
            assert_int_equal(heap.nodes[i]->position, i + 1);
    }
    heap_free(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_heap_has_nothing),
        cmocka_unit_test(nodes_come_out_when_due_and_in_order),
        cmocka_unit_test(adding_again_moves),
        cmocka_unit_test(random_operations_agree_with_a_search),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
