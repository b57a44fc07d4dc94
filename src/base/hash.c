#include "base/hash.h"

#define XXH_INLINE_ALL
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wswitch-enum"
#include <xxhash.h>
#pragma GCC diagnostic pop

uint64_t hash_bytes(struct bytes bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes.data, bytes.size, seed);
}

static_assert(sizeof(XXH3_state_t) <= sizeof(struct hash_sum), "it has room for what is in it");
static_assert(_Alignof(XXH3_state_t) <= _Alignof(struct hash_sum), "and stands as that must");

void hash_sum_begin(struct hash_sum *sum, uint64_t seed)
{
    XXH3_state_t *state = (XXH3_state_t *)(void *)sum->state_;
    XXH3_INITSTATE(state);
    (void)XXH3_64bits_reset_withSeed(state, seed);
}

void hash_sum_add(struct hash_sum *sum, struct bytes bytes)
{
    (void)XXH3_64bits_update((XXH3_state_t *)(void *)sum->state_, bytes.data, bytes.size);
}

uint64_t hash_sum_end(const struct hash_sum *sum)
{
    return XXH3_64bits_digest((const XXH3_state_t *)(const void *)sum->state_);
}

uint64_t hash_parts(const struct buf *parts, size_t count, uint64_t seed)
{
    struct hash_sum sum;
    hash_sum_begin(&sum, seed);
    for (size_t i = 0; i < count; i++) {
        hash_sum_add(&sum, buf_bytes(&parts[i]));
    }
    return hash_sum_end(&sum);
}
