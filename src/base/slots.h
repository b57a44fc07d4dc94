/* A table from hashes to numbers, for very many of them: 8 bytes a slot, and no insertion that
 * takes long.
 *
 * Open addressing with linear probing. A slot holds 32 bits of hash and a number, which is the
 * caller's way to what it stands for; whether that has the key that is looked for, the caller says
 * (`match`). At most three quarters of the slots are taken.
 *
 * A table that is full gets one of twice its size beside it, and each insertion from then on moves
 * a few slots over, so that no single one pays for all (base/map.h, which moves everything at once,
 * would stop a reactor for 25 ms at a million). Until that is done a search looks in both.
 *
 * Thread: the owner's.  Memory: slots_deinit() frees. All zero is a valid empty table. */
#ifndef BASE_SLOTS_H
#define BASE_SLOTS_H

#include "base/assert.h"
#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers are 1 … SLOTS_NUMBER_MAX. */
#define SLOTS_NUMBER_MAX (UINT32_MAX - 1)
#define SLOTS_GONE_      UINT32_MAX /* taken out of the old table: a search goes on behind it */

struct slots {
    uint64_t *slots_; /* hash in the upper half, number in the lower; 0: free */
    uint64_t *old_;   /* being moved over; NULL: nothing is */
    size_t capacity_; /* 0 or 2^k */
    size_t old_capacity_;
    size_t moved_; /* the old slots below this one count no more */
    size_t count_;
};

/* Whether `number` stands for the key. */
typedef bool slots_match(const void *ctx, uint32_t number, const void *key);

/* Searches one of the two tables, from its slot number `from` on only. Here, as is slots_find(), so
 * that the compiler puts the caller's match in. */
static inline uint32_t slots_side_find_(const uint64_t *slots, size_t capacity, size_t from,
                                        uint32_t hash, slots_match *match, const void *ctx,
                                        const void *key)
{
    const size_t mask = capacity - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        const uint32_t number = (uint32_t)slots[i];
        if (number == 0) {
            return 0;
        }
        if (slots[i] >> 32 == hash && i >= from && number != SLOTS_GONE_ &&
            match(ctx, number, key)) {
            return number;
        }
    }
}

/* The number with that hash and key; 0: there is none. */
static inline uint32_t slots_find(const struct slots *slots, uint32_t hash, slots_match *match,
                                  const void *ctx, const void *key)
{
    if (slots->count_ == 0) {
        return 0;
    }
    uint32_t number = slots_side_find_(slots->slots_, slots->capacity_, 0, hash, match, ctx, key);
    if (number == 0 && slots->old_ != NULL) {
        number = slots_side_find_(slots->old_, slots->old_capacity_, slots->moved_, hash, match,
                                  ctx, key);
    }
    return number;
}

void slots_deinit(struct slots *slots);
static inline size_t slots_count(const struct slots *slots)
{
    return slots->count_;
}
/* Adds a number that is not there yet. RC_NOMEM: unchanged */
MUST_USE enum rc slots_insert(struct slots *slots, uint32_t hash, uint32_t number);
/* Into an empty table: room for `count`, at once. RC_NOMEM: unchanged */
MUST_USE enum rc slots_reserve(struct slots *slots, size_t count);
/* Takes a number that is there, with that hash, out. */
void slots_remove(struct slots *slots, uint32_t hash, uint32_t number);
/* Iterates: start with *at = 0; 0 at the end. No insertion or removal between. */
uint32_t slots_next(const struct slots *slots, size_t *at);

#endif
