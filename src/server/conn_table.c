#include "server/conn_table.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdbool.h>

#define CAPACITY_FIRST   64u
#define CAPACITY_MAX     (UINT32_C(1) << 31)
#define GENERATION_SHIFT 40u
#define GENERATION_MASK  ((UINT32_C(1) << CONN_GENERATION_BITS) - 1)

static uint64_t slot_free(uint32_t generation, uint32_t next)
{
    return (uint64_t)generation << GENERATION_SHIFT | (uint64_t)next << 1 | 1u;
}

static enum rc table_grow(struct conn_table *table)
{
    ASSERT(table->free_ == table->capacity_); /* so no slot has the old end for its next one */
    const uint32_t capacity = table->capacity_ == 0 ? CAPACITY_FIRST : table->capacity_ * 2;
    if (capacity > CAPACITY_MAX) {
        return RC_NOMEM;
    }
    uint64_t *slots = mem_realloc(table->slots_, capacity * sizeof(uint64_t));
    if (slots == NULL) {
        return RC_NOMEM;
    }
    for (uint32_t slot = table->capacity_; slot < capacity; slot++) {
        slots[slot] = slot_free(0, slot + 1); /* the last one's is the new end: none */
    }
    table->slots_ = slots;
    table->capacity_ = capacity;
    return RC_OK;
}

enum rc conn_table_add(struct conn_table *table, struct conn *conn, uint64_t *ret_handle)
{
    ASSERT(((uintptr_t)conn & 1u) == 0);
    ASSERT(conn != NULL);
    if (table->free_ == table->capacity_) {
        const enum rc rc = table_grow(table);
        if (rc != RC_OK) {
            return rc;
        }
    }
    const uint32_t slot = table->free_;
    const uint64_t free = table->slots_[slot];
    ASSERT((free & 1u) != 0);
    const uint32_t generation = ((uint32_t)(free >> GENERATION_SHIFT) + 1) & GENERATION_MASK;
    table->free_ = (uint32_t)(free >> 1);
    table->slots_[slot] = (uint64_t)(uintptr_t)conn;
    *ret_handle = (uint64_t)generation << 32 | slot;
    return RC_OK;
}

void conn_table_remove(struct conn_table *table, uint64_t handle)
{
    const uint32_t slot = (uint32_t)handle;
    ASSERT(conn_table_at(table, slot) != NULL);
    table->slots_[slot] = slot_free((uint32_t)(handle >> 32) & GENERATION_MASK, table->free_);
    table->free_ = slot;
}

void conn_table_deinit(struct conn_table *table)
{
    mem_free(table->slots_);
    *table = (struct conn_table){0};
}
