/* Bytes in pieces: for what is made bit by bit and grows large. Nothing of it is ever moved, so
 * that no step costs more than the bytes that it adds.
 *
 * Thread: one at a time.  Memory: pieces_deinit() frees. All zero is a valid empty one. */
#ifndef BASE_PIECES_H
#define BASE_PIECES_H

#include "base/bytes.h"

struct pieces {
    struct buf *items;
    size_t count;
    size_t capacity;
};

/* The buffer to append the next part to, which must not be split: at most one of more than 4 KiB
 * makes it grow. Borrowed until the next call. RC_NOMEM */
MUST_USE enum rc pieces_room(struct pieces *pieces, struct buf **ret_buf);
/* RC_NOMEM: nothing of it is there */
MUST_USE enum rc pieces_append(struct pieces *pieces, struct bytes bytes);
uint64_t pieces_size(const struct pieces *pieces);
/* XXH3-64 of all bytes, as hash_bytes(). */
uint64_t pieces_hash(const struct pieces *pieces, uint64_t seed);
void pieces_deinit(struct pieces *pieces);

#endif
