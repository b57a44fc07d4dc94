#include "base/slab.h"

#include "base/bytes.h"
#include "base/mem.h"

#define BLOCKS_CAPACITY_FIRST 4u
#define BLOCKS_MAX            (UINT32_MAX / SLAB_BLOCK_UNITS)

static enum rc block_add(struct slab *slab)
{
    if (slab->block_count_ == BLOCKS_MAX) {
        return RC_NOMEM;
    }
    if (slab->block_count_ == slab->block_capacity_) {
        const uint32_t capacity =
            slab->block_capacity_ == 0 ? BLOCKS_CAPACITY_FIRST : slab->block_capacity_ * 2;
        uint64_t **blocks = mem_realloc(slab->blocks_, capacity * sizeof(uint64_t *));
        if (blocks == NULL) {
            return RC_NOMEM;
        }
        slab->blocks_ = blocks;
        slab->block_capacity_ = capacity;
    }
    uint64_t *block = mem_alloc(SLAB_BLOCK_UNITS * sizeof(uint64_t));
    if (block == NULL) {
        return RC_NOMEM;
    }
    /* Handle 0 is nobody's. */
    slab->used_ = slab->block_count_ == 0 ? 1 : 0;
    slab->blocks_[slab->block_count_++] = block;
    return RC_OK;
}

static uint32_t units_of(size_t size)
{
    ASSERT(size > 0 && size <= SLAB_SIZE_MAX);
    return (uint32_t)((size + SLAB_UNIT - 1) / SLAB_UNIT);
}

uint32_t slab_take(struct slab *slab, size_t size)
{
    const uint32_t units = units_of(size);
    uint32_t handle = slab->free_[units];
    if (handle != 0) {
        bytes_copy(&slab->free_[units], slab_at(slab, handle), sizeof(handle));
        return handle;
    }
    if (slab->block_count_ == 0 || SLAB_BLOCK_UNITS - slab->used_ < units) {
        if (block_add(slab) != RC_OK) {
            return 0;
        }
    }
    handle = (slab->block_count_ - 1) * SLAB_BLOCK_UNITS + slab->used_;
    slab->used_ += units;
    ASSERT_HOT(slab->used_ <= SLAB_BLOCK_UNITS);
    return handle;
}

void slab_give(struct slab *slab, uint32_t handle, size_t size)
{
    ASSERT(handle != 0);
    const uint32_t units = units_of(size);
    bytes_copy(slab_at(slab, handle), &slab->free_[units], sizeof(handle));
    slab->free_[units] = handle;
}

void slab_deinit(struct slab *slab)
{
    for (uint32_t i = 0; i < slab->block_count_; i++) {
        mem_free(slab->blocks_[i]);
    }
    mem_free(slab->blocks_);
    *slab = (struct slab){0};
}
