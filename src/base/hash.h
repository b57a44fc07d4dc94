/* XXH3-64, for tables and for the chain of records.
 *
 * Names that come from outside are hashed with the process's random seed where the hash only
 * places them in a table; where a hash is stored or must agree between runs the seed is 0.
 *
 * Thread: any.  Memory: none. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/bytes.h"

uint64_t hash_bytes(struct bytes bytes, uint64_t seed);

/* As hash_bytes() over bytes that come in pieces. */
struct hash_sum {
    _Alignas(64) uint8_t state_[576];
};
void hash_sum_begin(struct hash_sum *sum, uint64_t seed);
void hash_sum_add(struct hash_sum *sum, struct bytes bytes);
uint64_t hash_sum_end(const struct hash_sum *sum);
/* As hash_bytes() over all of them, one behind the other. */
uint64_t hash_parts(const struct buf *parts, size_t count, uint64_t seed);

#endif
