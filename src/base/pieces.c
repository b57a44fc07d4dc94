#include "base/pieces.h"

#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"

#define PIECE_BYTES    (64u * KIB)
#define PIECE_ROOM     (4u * KIB) /* with less than that left, the next part begins a new one */
#define CAPACITY_FIRST 4u

enum rc pieces_room(struct pieces *pieces, struct buf **ret_buf)
{
    ASSERT(pieces->count <= pieces->capacity);
    if (pieces->count > 0) {
        struct buf *last = &pieces->items[pieces->count - 1];
        if (last->size + PIECE_ROOM <= PIECE_BYTES) {
            *ret_buf = last;
            return RC_OK;
        }
    }
    if (pieces->count == pieces->capacity) {
        const size_t capacity = pieces->capacity == 0 ? CAPACITY_FIRST : pieces->capacity * 2;
        struct buf *items = mem_realloc(pieces->items, capacity * sizeof(*items));
        if (items == NULL) {
            return RC_NOMEM;
        }
        pieces->items = items;
        pieces->capacity = capacity;
    }
    struct buf fresh = {0};
    const enum rc rc = buf_reserve(&fresh, PIECE_BYTES);
    if (rc == RC_OK) {
        pieces->items[pieces->count++] = fresh;
        *ret_buf = &pieces->items[pieces->count - 1];
    }
    return rc;
}

enum rc pieces_append(struct pieces *pieces, struct bytes bytes)
{
    struct buf *to = NULL;
    const enum rc rc = pieces_room(pieces, &to);
    return rc == RC_OK ? buf_append(to, bytes) : rc;
}

uint64_t pieces_size(const struct pieces *pieces)
{
    uint64_t size = 0;
    for (size_t i = 0; i < pieces->count; i++) {
        size += pieces->items[i].size;
    }
    return size;
}

uint64_t pieces_hash(const struct pieces *pieces, uint64_t seed)
{
    return hash_parts(pieces->items, pieces->count, seed);
}

void pieces_deinit(struct pieces *pieces)
{
    for (size_t i = 0; i < pieces->count; i++) {
        buf_deinit(&pieces->items[i]);
    }
    mem_free(pieces->items);
    *pieces = (struct pieces){0};
}
