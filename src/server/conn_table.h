/* The connections of a reactor by slot, in 8 bytes a slot.
 *
 * A handle is a slot's number and its generation, and never used again: so what comes back late for
 * a connection that has gone finds nobody, though its slot has been taken anew.
 *
 *   bit 0 of a slot   0: a pointer to the connection
 *                     1: free; bits 1 to 32 the next free slot, 40 to 63 the generation so far
 *
 * Thread: the reactor.  Memory: conn_table_deinit() frees the slots. All zero is a valid empty
 * one. */
#ifndef SERVER_CONN_TABLE_H
#define SERVER_CONN_TABLE_H

#include "base/rc.h"

#include <stddef.h>
#include <stdint.h>

struct conn;

struct conn_table {
    uint64_t *slots_;
    uint32_t capacity_;
    uint32_t free_; /* the first free slot; capacity_: none */
};

#define CONN_GENERATION_BITS 24u

/* Slots are 0 … conn_table_end() - 1. */
static inline uint32_t conn_table_end(const struct conn_table *table)
{
    return table->capacity_;
}

/* The connection in that slot, or NULL. */
static inline struct conn *conn_table_at(const struct conn_table *table, uint32_t slot)
{
    if (slot >= table->capacity_ || (table->slots_[slot] & 1u) != 0) {
        return NULL;
    }
    return (struct conn *)(uintptr_t)table->slots_[slot];
}

/* *ret_handle: generation << 32 | slot. RC_NOMEM: unchanged */
MUST_USE enum rc conn_table_add(struct conn_table *table, struct conn *conn, uint64_t *ret_handle);
/* `handle` as it was given, whatever is in the bits above the generation's. */
void conn_table_remove(struct conn_table *table, uint64_t handle);
void conn_table_deinit(struct conn_table *table);

#endif
