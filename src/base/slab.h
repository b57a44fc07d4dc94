/* Many small objects of many sizes, without the heap's overhead: in blocks, each found by a handle
 * of 32 bits.
 *
 * An object never moves. What is given back is used again for one of the same size class (8 bytes
 * apart); blocks go when the slab does.
 *
 * Thread: the owner's.  Memory: slab_deinit() frees. All zero is a valid empty slab. */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include "base/assert.h"
#include "base/rc.h"

#include <stddef.h>
#include <stdint.h>

#define SLAB_UNIT        8u           /* sizes and places are multiples of it */
#define SLAB_BLOCK_UNITS (8u * 1024u) /* a block of 64 KiB */
#define SLAB_SIZE_MAX    384u         /* of one object */
#define SLAB_CLASSES     (SLAB_SIZE_MAX / SLAB_UNIT + 1)

struct slab {
    uint64_t **blocks_;
    uint32_t block_count_;
    uint32_t block_capacity_;
    uint32_t used_;               /* units of the last block */
    uint32_t free_[SLAB_CLASSES]; /* by units: the first one given back, which names the next */
};

/* Room for an object, not cleared: its handle; 0: out of memory, or the slab has 32 GiB. */
MUST_USE uint32_t slab_take(struct slab *slab, size_t size);
/* Of the size that it was taken with. */
void slab_give(struct slab *slab, uint32_t handle, size_t size);
void slab_deinit(struct slab *slab);

static inline void *slab_at(const struct slab *slab, uint32_t handle)
{
    ASSERT_HOT(handle != 0 && handle / SLAB_BLOCK_UNITS < slab->block_count_);
    return &slab->blocks_[handle / SLAB_BLOCK_UNITS][handle % SLAB_BLOCK_UNITS];
}

#endif
