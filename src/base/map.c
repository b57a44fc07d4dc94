#include "base/map.h"

#include "base/hash.h"
#include "base/mem.h"

struct map_slot {
    uint64_t hash;
    void *value; /* NULL: free */
};

#define MAP_CAPACITY_FIRST 8

void map_init(struct map *map, uint64_t seed, map_key_of *key_of)
{
    *map = (struct map){.seed_ = seed, .key_of_ = key_of};
}

void map_deinit(struct map *map)
{
    mem_free(map->slots_);
    map->slots_ = NULL;
    map->capacity_ = 0;
    map->count_ = 0;
}

/* The slot that holds the key, or the free one where it would go. The table is never full. */
static struct map_slot *slot_of(const struct map *map, uint64_t hash, struct bytes key)
{
    const size_t mask = map->capacity_ - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct map_slot *slot = &map->slots_[i];
        if (slot->value == NULL) {
            return slot;
        }
        if (slot->hash == hash && bytes_equal(map->key_of_(slot->value), key)) {
            return slot;
        }
    }
}

void *map_find(const struct map *map, struct bytes key)
{
    if (map->count_ == 0) {
        return NULL;
    }
    return slot_of(map, hash_bytes(key, map->seed_), key)->value;
}

static enum rc map_grow(struct map *map)
{
    const size_t capacity = map->capacity_ == 0 ? MAP_CAPACITY_FIRST : map->capacity_ * 2;
    struct map_slot *slots = mem_calloc(capacity, sizeof(*slots));
    if (slots == NULL) {
        return RC_NOMEM;
    }
    const size_t mask = capacity - 1;
    for (size_t i = 0; i < map->capacity_; i++) {
        if (map->slots_[i].value == NULL) {
            continue;
        }
        size_t to = map->slots_[i].hash & mask;
        while (slots[to].value != NULL) {
            to = (to + 1) & mask;
        }
        slots[to] = map->slots_[i];
    }
    mem_free(map->slots_);
    map->slots_ = slots;
    map->capacity_ = capacity;
    return RC_OK;
}

enum rc map_insert(struct map *map, void *value)
{
    ASSERT(value != NULL);
    if (map->count_ + map->count_ / 2 + 1 >= map->capacity_) { /* load at most 2/3 */
        const enum rc rc = map_grow(map);
        if (rc != RC_OK) {
            return rc;
        }
    }
    const struct bytes key = map->key_of_(value);
    const uint64_t hash = hash_bytes(key, map->seed_);
    struct map_slot *slot = slot_of(map, hash, key);
    ASSERT(slot->value == NULL);
    *slot = (struct map_slot){.hash = hash, .value = value};
    map->count_++;
    return RC_OK;
}

void *map_remove(struct map *map, struct bytes key)
{
    if (map->count_ == 0) {
        return NULL;
    }
    struct map_slot *slot = slot_of(map, hash_bytes(key, map->seed_), key);
    void *value = slot->value;
    if (value == NULL) {
        return NULL;
    }
    /* Backward shift: whoever was pushed past the hole moves into it, so probes never break. */
    const size_t mask = map->capacity_ - 1;
    size_t hole = (size_t)(slot - map->slots_);
    for (size_t i = (hole + 1) & mask; map->slots_[i].value != NULL; i = (i + 1) & mask) {
        const size_t home = map->slots_[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            map->slots_[hole] = map->slots_[i];
            hole = i;
        }
    }
    map->slots_[hole] = (struct map_slot){0};
    map->count_--;
    return value;
}

void *map_next(const struct map *map, size_t *at)
{
    while (*at < map->capacity_) {
        void *value = map->slots_[(*at)++].value;
        if (value != NULL) {
            return value;
        }
    }
    return NULL;
}
