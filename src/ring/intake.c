#include "ring/intake.h"

#include "base/bytes.h"
#include "base/mem.h"

#define HEAD_BYTES 8u          /* the size, and room that keeps records aligned */
#define FILLER     0x80000000u /* in the size: nothing but room up to the end */

/* The first four bytes of a record's head: how many bytes follow, or how many the filler has. */
static _Atomic uint32_t *size_at(uint8_t *at)
{
    ASSERT_HOT((uintptr_t)at % HEAD_BYTES == 0);
    return (_Atomic uint32_t *)(void *)at;
}

static size_t whole_size(size_t size)
{
    return HEAD_BYTES + (size + HEAD_BYTES - 1) / HEAD_BYTES * HEAD_BYTES;
}

enum rc intake_init(struct intake *intake, size_t size)
{
    ASSERT(size >= 64 && size <= FILLER / 2 && (size & (size - 1)) == 0);
    /* Not cleared by us: of a ring that is never used no page is touched. */
    intake->room_ = mem_calloc(1, size);
    if (intake->room_ == NULL) {
        return RC_NOMEM;
    }
    intake->size_ = size;
    intake->taken_ = 0;
    atomic_init(&intake->tail_, 0);
    atomic_init(&intake->head_, 0);
    return RC_OK;
}

void intake_deinit(struct intake *intake)
{
    mem_free(intake->room_);
    intake->room_ = NULL;
}

size_t intake_record_max(const struct intake *intake)
{
    return intake->size_ / 2 - HEAD_BYTES;
}

void *intake_reserve(struct intake *intake, size_t size, uint64_t *ret_end)
{
    ASSERT(size > 0 && size <= intake_record_max(intake));
    const uint64_t need = whole_size(size);
    /* relaxed: the number alone says whose room it is; the swap below tells whether it is right. */
    uint64_t tail = atomic_load_explicit(&intake->tail_, memory_order_relaxed);
    uint64_t skip;
    do {
        const uint64_t left = intake->size_ - (tail & (intake->size_ - 1));
        skip = need > left ? left : 0;
        /* I2: acquire, pairs with I1: the room was cleared before we write into it. */
        const uint64_t head = atomic_load_explicit(&intake->head_, memory_order_acquire);
        if (tail + skip + need - head > intake->size_) {
            return NULL;
        }
        /* relaxed: as above; what is in the record is published by its commit. */
    } while (!atomic_compare_exchange_weak_explicit(&intake->tail_, &tail, tail + skip + need,
                                                    memory_order_relaxed, memory_order_relaxed));
    uint8_t *at = intake->room_ + (tail & (intake->size_ - 1));
    if (skip > 0) {
        /* I3: release, pairs with I4: the filler is seen whole. */
        atomic_store_explicit(size_at(at), (uint32_t)skip | FILLER, memory_order_release);
        at = intake->room_;
    }
    *ret_end = tail + skip + need;
    return at + HEAD_BYTES;
}

void intake_commit(void *record, size_t size)
{
    /* I3: release, pairs with I4: the record's bytes are written before it can be seen. */
    atomic_store_explicit(size_at((uint8_t *)record - HEAD_BYTES), (uint32_t)size,
                          memory_order_release);
}

static uint32_t peek(const struct intake *intake, uint8_t **ret_at)
{
    /* relaxed: only the consumer writes head_. */
    const uint64_t head = atomic_load_explicit(&intake->head_, memory_order_relaxed);
    if (intake->taken_ - head == intake->size_) {
        return 0; /* all of the ring is ours: what stands next was read before */
    }
    *ret_at = intake->room_ + (intake->taken_ & (intake->size_ - 1));
    /* I4: acquire, pairs with I3. */
    return atomic_load_explicit(size_at(*ret_at), memory_order_acquire);
}

void *intake_next(struct intake *intake, size_t *ret_size)
{
    uint8_t *at = NULL;
    uint32_t size = peek(intake, &at);
    if ((size & FILLER) != 0) {
        intake->taken_ += size & ~FILLER;
        size = peek(intake, &at);
    }
    if (size == 0) {
        return NULL;
    }
    ASSERT((size & FILLER) == 0); /* a record stands behind it */
    intake->taken_ += whole_size(size);
    *ret_size = size;
    return at + HEAD_BYTES;
}

bool intake_empty(const struct intake *intake)
{
    uint8_t *at = NULL;
    return peek(intake, &at) == 0;
}

void intake_give(struct intake *intake)
{
    /* relaxed: only the consumer writes head_. */
    uint64_t head = atomic_load_explicit(&intake->head_, memory_order_relaxed);
    while (head != intake->taken_) {
        const uint64_t at = head & (intake->size_ - 1);
        const uint64_t left = intake->size_ - at;
        const uint64_t count = intake->taken_ - head < left ? intake->taken_ - head : left;
        bytes_zero(intake->room_ + at, count);
        head += count;
    }
    /* I1: release, pairs with I2. */
    atomic_store_explicit(&intake->head_, head, memory_order_release);
}

uint64_t intake_taken(const struct intake *intake)
{
    return intake->taken_;
}
