/* hash.c - see hash.h. Buckets of chains; they double when there are as many nodes as buckets. */
#include "protocol/hash.h"

#include <stdlib.h>

#define FIRST_CAPACITY 64

static bool grow(HashIndex *index)
{
    size_t capacity = index->capacity ? index->capacity * 2 : FIRST_CAPACITY;
    HashNode **buckets = calloc(capacity, sizeof(HashNode *));
    if (!buckets) return false;
    for (size_t i = 0; i < index->capacity; i++) {
        HashNode *next = NULL;
        for (HashNode *node = index->buckets[i]; node; node = next) {
            HashNode **bucket = &buckets[node->hash & (capacity - 1)];
            next = node->next;
            node->next = *bucket;
            *bucket = node;
        }
    }
    free(index->buckets);
    index->buckets = buckets;
    index->capacity = capacity;
    return true;
}

bool hash_add(HashIndex *index, HashNode *node, uint64_t hash)
{
    /* Without memory to grow, longer chains do as well. */
    if (index->count >= index->capacity && !grow(index) && index->capacity == 0) return false;
    HashNode **bucket = &index->buckets[hash & (index->capacity - 1)];
    node->hash = hash;
    node->next = *bucket;
    *bucket = node;
    index->count++;
    return true;
}

void hash_remove(HashIndex *index, HashNode *node)
{
    HashNode **link = &index->buckets[node->hash & (index->capacity - 1)];
    while (*link != node)
        link = &(*link)->next;
    *link = node->next;
    node->next = NULL;
    index->count--;
}

static HashNode *match_in_chain(HashNode *node, uint64_t hash)
{
    while (node && node->hash != hash)
        node = node->next;
    return node;
}

HashNode *hash_first(const HashIndex *index, uint64_t hash)
{
    return index->count > 0 ? match_in_chain(index->buckets[hash & (index->capacity - 1)], hash) : NULL;
}

HashNode *hash_next(const HashNode *node)
{
    return match_in_chain(node->next, node->hash);
}

void hash_free(HashIndex *index)
{
    free(index->buckets);
    *index = (HashIndex){0};
}

uint64_t hash_of_number(uint64_t key)
{
    key *= 0x9e3779b97f4a7c15u; /* 2^64 divided by the golden ratio */
    return key ^ key >> 32;
}

uint64_t hash_of_slice(Slice key)
{
    uint64_t hash = key.size;
    while (key.size > 0) {
        uint64_t chunk = 0;
        size_t size = key.size < sizeof chunk ? key.size : sizeof chunk;
        memcpy(&chunk, key.data, size);
        hash = hash_of_number(hash ^ chunk);
        key = slice_make(key.data + size, key.size - size);
    }
    return hash;
}
