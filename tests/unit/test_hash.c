/* test_hash.c - the index by hash, against plain arrays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/hash.h"

#define NODES 5000

static bool is_in(const HashIndex *index, const HashNode *node, uint64_t hash)
{
    for (HashNode *found = hash_first(index, hash); found; found = hash_next(found)) {
        if (found == node) return true;
    }
    return false;
}

static void empty_index_has_nothing(void **state)
{
    HashIndex index = {0};

    (void)state;
    assert_null(hash_first(&index, 0));
    assert_null(hash_first(&index, 42));
    hash_free(&index);
}

/* Hashes that collide: every one belongs to ten nodes. */
static void finds_what_is_in_and_nothing_else(void **state)
{
    static HashNode nodes[NODES];
    HashIndex index = {0};

    (void)state;
    for (size_t i = 0; i < NODES; i++)
        assert_true(hash_add(&index, &nodes[i], hash_of_number(i / 10)));
    assert_int_equal(index.count, NODES);
    for (size_t i = 0; i < NODES; i += 3)
        hash_remove(&index, &nodes[i]);
    for (size_t i = 0; i < NODES; i++) {
        assert_int_equal(is_in(&index, &nodes[i], hash_of_number(i / 10)), i % 3 != 0);
        assert_false(is_in(&index, &nodes[i], hash_of_number(i / 10 + NODES)));
    }
    for (size_t i = 0; i < NODES; i++) {
        if (i % 3 != 0) hash_remove(&index, &nodes[i]);
    }
    assert_int_equal(index.count, 0);
    assert_null(hash_first(&index, hash_of_number(7)));
    hash_free(&index);
}

static void hashes_differ_where_keys_differ(void **state)
{
    char id[] = "00000000-0000-4000-8000-000000000000";
    uint64_t first = hash_of_slice(slice_of(id));

    (void)state;
    for (size_t i = 0; i < sizeof id - 1; i++) {
        char kept = id[i];
        id[i] = '7';
        assert_true(hash_of_slice(slice_of(id)) != first);
        id[i] = kept;
        assert_true(hash_of_slice(slice_make(id, i)) != first);
    }
    assert_true(hash_of_slice(slice_of(id)) == first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_index_has_nothing),
        cmocka_unit_test(finds_what_is_in_and_nothing_else),
        cmocka_unit_test(hashes_differ_where_keys_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
