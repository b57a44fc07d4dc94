/* A bounded ring of bytes from any number of threads to one.
 *
 * A producer reserves room for a record, writes it in place and commits it; the consumer gets the
 * records in the order in which room was reserved. No producer waits for another: reserving is one
 * compare-and-swap, committing one store. A record that is reserved and not committed yet holds up
 * what stands behind it, so nothing long may be done in between. A full ring is an answer.
 *
 *     | size | bytes … | size | bytes … | filler up to the end |
 *       0: not committed yet
 *
 * Everything behind the tail is zero: the consumer clears what it gives back.
 *
 * Thread: reserves and commits any, the rest one thread, for life.  Memory: intake_deinit(). */
#ifndef RING_INTAKE_H
#define RING_INTAKE_H

#include "base/limits.h"
#include "base/rc.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct intake {
    alignas(CACHE_LINE) _Atomic uint64_t tail_; /* producers reserve here */
    alignas(CACHE_LINE) _Atomic uint64_t head_; /* the consumer has given back up to here */
    uint64_t taken_;                            /* consumer only: read up to here */
    alignas(CACHE_LINE) uint64_t size_;         /* constant, 2^k */
    uint8_t *room_;                             /* constant pointer */
};

/* `size` is a power of two from 64 to 2^30. RC_NOMEM */
MUST_USE enum rc intake_init(struct intake *intake, size_t size);
void intake_deinit(struct intake *intake);

/* The largest record: half of the ring, so that one always fits into an empty one. */
size_t intake_record_max(const struct intake *intake);
/* Room for `size` bytes (1 … intake_record_max()), 8-aligned; NULL: full. *ret_end is a position
 * that intake_taken() reaches when the record has been given back. */
void *intake_reserve(struct intake *intake, size_t size, uint64_t *ret_end);
/* The record that was reserved is whole. */
void intake_commit(void *record, size_t size);

/* Consumer. The next record, its until intake_give(); NULL: none, or it is not committed yet. */
void *intake_next(struct intake *intake, size_t *ret_size);
/* Consumer. Whether intake_next() would find something now. */
bool intake_empty(const struct intake *intake);
/* Consumer. Gives all records back that were read. */
void intake_give(struct intake *intake);
/* Consumer. Where it has read up to. */
uint64_t intake_taken(const struct intake *intake);

#endif
