/* A command as it stands in a partition's log, and batches of them.
 *
 * Each record says where it stands (position) and what stood before it (a hash over the record
 * before): a partition's log is a chain. Byte tables: docs/LOG.md.
 *
 * Header, 40 bytes, little-endian, then the body, then zero bytes up to a multiple of 8:
 *
 *   at  size
 *    0     4  CRC-32C over bytes 4 … the end of the padding
 *    4     4  body size in bytes (without header and padding)
 *    8     1  record type (enum record_type)
 *    9     1  format version (1)
 *   10     2  zero
 *   12     4  partition number
 *   16     8  position (0, 1, 2 … in the partition's log)
 *   24     8  XXH3-64 (seed 0) of the whole record before, padding included; for position 0 the
 *             log's incarnation
 *   32     8  position + 1 of the record before that concerns the same channel, 0: there is none
 *
 * Thread: any.  Memory: batch_deinit() frees. */
#ifndef LOG_RECORD_H
#define LOG_RECORD_H

#include "base/bytes.h"
#include "base/rc.h"

#define RECORD_HEADER_SIZE 40u
#define RECORD_VERSION 1u

/* What a record is for. The log does not look into bodies; core (and for HOLE log/recover) does. */
enum record_type {
    RECORD_PUBLISH = 1,  /* core/command.h */
    RECORD_TRIM = 2,     /* core/command.h: channels' earliest moves */
    RECORD_SETTINGS = 3, /* core/command.h: what apply must know of the configuration */
    RECORD_DOUBT = 4,    /* core/command.h: after repair or an unclean stop: histories may differ */
    RECORD_HOLE = 5,     /* stands where damage was cut out; body: see docs/LOG.md */
};

struct record {
    enum record_type type;
    uint32_t partition;
    uint64_t pos;
    uint64_t prev_hash;
    uint64_t channel_prev; /* position + 1, or 0 */
    struct bytes body;     /* borrowed from the bytes that were decoded */
    size_t size;           /* header, body and padding */
};

/* The size on disk of a record with that body. */
size_t record_size(size_t body_size);

/* Decodes and verifies the record at the start of `bytes` (CRC, version, sizes; not the chain).
 * RC_AGAIN    the range is too short to hold it
 * RC_END      the header is all zero: nothing was written here
 * RC_CORRUPT  anything else that is not a whole record */
MUST_USE enum rc record_decode(struct bytes bytes, struct record *ret_record);

/* The hash that the next record must carry. `bytes` is the whole record. */
uint64_t record_hash(struct bytes bytes);

/* Where a record stands. */
struct log_place {
    uint64_t segment; /* segment number */
    uint32_t at;      /* byte position in the segment's file */
};

/* Records that are committed together: one write, one sync. The owner fills it, lends it to the
 * committer until the commit is done, and then applies its records. */
struct log_batch {
    struct buf bytes;      /* the records, one after another */
    uint64_t first_pos;
    uint64_t end_pos;      /* one past the last */
    uint64_t end_hash;     /* what the record after the last must carry */
    uint32_t partition;
    /* Set by the commit: */
    struct log_place place; /* of the first record */
};

/* Empties the batch; its records will follow (pos, hash). */
void batch_begin(struct log_batch *batch, uint32_t partition, uint64_t pos, uint64_t hash);
/* Appends one record whose body is `body`; copies it. RC_NOMEM: unchanged. */
MUST_USE enum rc batch_append(struct log_batch *batch, enum record_type type,
                              uint64_t channel_prev, struct bytes body);
void batch_deinit(struct log_batch *batch);

#endif
