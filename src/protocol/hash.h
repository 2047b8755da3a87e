/* hash.h - an index of things by a 64-bit hash: requests by id and by token. Intrusive like heap.h: a node is embedded
 * in its owner, the index keeps pointers only. Who looks something up compares the key itself: two may share a hash. */
#ifndef GATEHOUSE_PROTOCOL_HASH_H
#define GATEHOUSE_PROTOCOL_HASH_H

#include "protocol/slice.h"

#include <stdint.h>

typedef struct HashNode HashNode;
struct HashNode {
    HashNode *next;
    uint64_t hash;
};

typedef struct {
    HashNode **buckets;
    size_t count, capacity; /* capacity is a power of two */
} HashIndex;                /* all zero is an empty index */

bool hash_add(HashIndex *index, HashNode *node, uint64_t hash); /* false: no memory, and not added */
void hash_remove(HashIndex *index, HashNode *node);             /* it must be in */
HashNode *hash_first(const HashIndex *index, uint64_t hash);    /* NULL if there is none */
HashNode *hash_next(const HashNode *node);                      /* the next one with the same hash, or NULL */
void hash_free(HashIndex *index);                               /* the buckets; nodes belong to their owners */

/* Spread well enough for keys that the other side cannot choose: our own random ids and counters. */
uint64_t hash_of_slice(Slice key);
uint64_t hash_of_number(uint64_t key);

#endif
