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
 *    9     1  format version (2)
 *   10     2  index of the record in its batch, 65535 if that or more
 *   12     2  partition number
 *   14     2  count of the control records (trim, settings, doubt) before this one, modulo 65536
 *   16     8  position (0, 1, 2 … in the partition's log)
 *   24     8  XXH3-64 (seed 0) of the whole record before, padding included; for position 0 the
 *             log's incarnation
 *   32     8  position + 1 of the record before that concerns the same channel, 0: there is none
 *
 * The index in the batch tells recovery what was committed together: a bad record with whole ones
 * behind it is no damage if they are all of its own batch, which then was never acknowledged.
 *
 * The count of control records tells what a repair that cut damage out could not know: whether a
 * record that concerns every channel was among what was lost (core/apply.c, "Doubt").
 *
 * Thread: any.  Memory: batch_deinit() frees. */
#ifndef LOG_RECORD_H
#define LOG_RECORD_H

#include "base/bytes.h"
#include "base/rc.h"

#define RECORD_HEADER_SIZE 40u
#define RECORD_VERSION     2u

#define RECORD_PARTITIONS_MAX 65536u

/* A body's size: far above any command (a frame holds 64 MiB at most), far below what a 32-bit byte
 * position in a segment can hold. */
#define RECORD_BODY_BYTES_MAX (1u << 30)

#define RECORD_BATCH_INDEX_MAX 65535u

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
    uint16_t controls;     /* control records before it in the partition's log, modulo 65536 */
    uint16_t batch_index;  /* of the record in its batch; RECORD_BATCH_INDEX_MAX: that or more */
    struct bytes body;     /* borrowed from the bytes that were decoded */
    size_t size;           /* header, body and padding */
};

/* Whether records of that type concern more than one channel; a HOLE stands for what it replaces.
 */
static inline bool record_is_control(enum record_type type)
{
    return type == RECORD_TRIM || type == RECORD_SETTINGS || type == RECORD_DOUBT;
}

/* The size on disk of a record with that body. */
size_t record_size(size_t body_size);

/* Decodes and verifies the record at the start of `bytes` (CRC, version, sizes; not the chain).
 * RC_AGAIN    the range is too short to hold it
 * RC_END      the header is all zero: nothing was written here
 * RC_CORRUPT  anything else that is not a whole record */
MUST_USE enum rc record_decode(struct bytes bytes, struct record *ret_record);

/* The record at the start of `bytes`, which batch_append() has put there: memory of ours, so its
 * checksum, made of the same bytes, is not computed again (but where hot assertions are on). */
struct record record_trust(struct bytes bytes);

/* The body of a RECORD_HOLE: what stood where damage was cut out. It may be followed by zeros. */
struct record_hole {
    uint64_t first_pos;   /* the first position lost, which is the record's own */
    uint64_t end_pos;     /* one past the last position lost: the next record's; may be first_pos */
    uint64_t resume_hash; /* what the next record carries as the hash of the one before it */
    uint64_t segment;     /* where the damage was: segment number, byte position, size in bytes */
    uint64_t at;
    uint64_t size;
    uint64_t salt; /* XXH3-64 of the fields above: the same hole gives the same salt on any node */
};
#define RECORD_HOLE_BODY_SIZE 56u

/* Sets hole->salt and writes the body. */
void record_hole_encode(struct record_hole *hole, uint8_t to[RECORD_HOLE_BODY_SIZE]);
/* RC_CORRUPT  not the body of a hole */
MUST_USE enum rc record_hole_decode(struct bytes body, struct record_hole *ret_hole);

/* The hash that the next record must carry. `bytes` is the whole record. */
uint64_t record_hash(struct bytes bytes);

/* Where the record behind this one stands, and the hash that it carries; a hole leads to its end.
 * RC_CORRUPT  a hole whose body is none */
MUST_USE enum rc record_after(const struct record *record, struct bytes bytes, uint64_t *ret_pos,
                              uint64_t *ret_hash);

/* Where a record stands. */
struct log_place {
    uint64_t segment; /* segment number */
    uint32_t at;      /* byte position in the segment's file */
    uint32_t crc;     /* what the record begins with; of a batch: 0 */
};

/* Records that are committed together: one write, one sync. The owner fills it, lends it to the
 * committer until the commit is done, and then applies its records. */
struct log_batch {
    struct buf bytes; /* the records, one after another */
    uint64_t first_pos;
    uint64_t end_pos;  /* one past the last */
    uint64_t end_hash; /* what the record after the last must carry */
    uint32_t partition;
    uint16_t controls; /* control records before the next one, modulo 65536 */
    /* Set by the commit: */
    struct log_place place; /* of the first record */
};

/* Empties the batch; its records will follow (pos, hash), and `controls` control records. */
void batch_begin(struct log_batch *batch, uint32_t partition, uint64_t pos, uint64_t hash,
                 uint16_t controls);
/* Appends one record whose body is `body`; copies it. RC_NOMEM: unchanged. */
MUST_USE enum rc batch_append(struct log_batch *batch, enum record_type type, uint64_t channel_prev,
                              struct bytes body);
/* The same in two steps, for a body that is changed on its way: *ret_body is its copy, lent until
 * batch_seal(), which has to come next. RC_NOMEM: unchanged. */
MUST_USE enum rc batch_place(struct log_batch *batch, enum record_type type, uint64_t channel_prev,
                             struct bytes body, uint8_t **ret_body);
void batch_seal(struct log_batch *batch);
void batch_deinit(struct log_batch *batch);

#endif
