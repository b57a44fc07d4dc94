/* Checkpoints of a partition's state: <number>.ckp, the state at the first position of a segment.
 *
 * Written under a temporary name, synced and renamed, so that a whole one is never replaced by a
 * torn one; and checked whole, by checksum of the head and hash of the state, before it is used.
 * Byte table: docs/LOG.md.
 *
 * Thread: the keeper writes, start-up reads.  Memory: the caller's buffer. */
#ifndef LOG_CHECKPOINT_H
#define LOG_CHECKPOINT_H

#include "base/pieces.h"
#include "log/files.h"

#define CHECKPOINT_HEADER_SIZE 80u

struct checkpoint {
    uint32_t partition;
    uint64_t incarnation;
    uint64_t segment; /* number */
    uint64_t pos;     /* its first position */
    uint64_t hash;    /* what the record there carries */
};

MUST_USE enum rc checkpoint_write(const struct storage *storage, const char *folder,
                                  const struct checkpoint *checkpoint, const struct pieces *state);
/* Appends the state to `to`, which the caller empties before.
 * RC_NOT_FOUND; RC_CORRUPT: not whole, or of another segment; RC_IO, RC_NOMEM */
MUST_USE enum rc checkpoint_read(const struct storage *storage, const char *folder,
                                 uint64_t segment, struct checkpoint *ret_checkpoint,
                                 struct buf *to);
/* As above, a piece at a time, without the state. */
MUST_USE enum rc checkpoint_check(const struct storage *storage, const char *folder,
                                  uint64_t segment, struct checkpoint *ret_checkpoint);

#endif
