/* A hash map from byte strings to pointers: open addressing, linear probing, backward-shift
 * deletion (no tombstones, so a table that churns does not rot).
 *
 * The map stores hash and value only; the key lives inside the value, and the `key_of` callback
 * finds it there. Values are borrowed.
 *
 * Thread: the owner's.  Memory: map_deinit() frees the table, never the values. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/bytes.h"

struct map_slot; /* private */

typedef struct bytes map_key_of(const void *value);

struct map {
    struct map_slot *slots_;
    size_t capacity_; /* 0 or 2^k */
    size_t count_;
    uint64_t seed_;
    map_key_of *key_of_;
};

/* No allocation until the first insertion. `seed`: see base/hash.h. */
void map_init(struct map *map, uint64_t seed, map_key_of *key_of);
void map_deinit(struct map *map);
static inline size_t map_count(const struct map *map)
{
    return map->count_;
}
/* The value with that key, or NULL. */
void *map_find(const struct map *map, struct bytes key);
/* Adds a value whose key is not there yet (asserted in test builds). RC_NOMEM: unchanged. */
MUST_USE enum rc map_insert(struct map *map, void *value);
/* Takes the value with that key out and returns it, or NULL. */
void *map_remove(struct map *map, struct bytes key);
/* Iterates in table order: start with *at = 0; NULL at the end. No insertion or removal between. */
void *map_next(const struct map *map, size_t *at);

#endif
