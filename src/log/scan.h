/* Reads a segment's records one after another, in large chunks; and looks for whole records behind
 * a bad one.
 *
 * What it finds is verified by checksum only. Whether a record continues the chain is for the
 * caller, who knows what came before.
 *
 * Thread: one.  Memory: the buffer is the caller's; records borrow from it until the next call. */
#ifndef LOG_SCAN_H
#define LOG_SCAN_H

#include "log/files.h"
#include "log/record.h"

struct scan {
    const struct storage *storage_;
    struct storage_file *file_;
    struct buf *buffer_;
    uint64_t window_at_; /* buffer_ holds the file's bytes from here on */
    uint64_t file_size;
    uint64_t at; /* the next record */
};

/* Begins at `at`; `buffer` is lent until the caller stops. */
void scan_begin(struct scan *scan, const struct storage *storage, struct storage_file *file,
                uint64_t file_size, uint64_t at, struct buf *buffer);
/* The record at scan->at, which stays there: add ret_record->size to go on.
 * RC_END      the header is zero, or the file ends here with zeros that are too few for one
 * RC_CORRUPT  no whole record
 * RC_IO, RC_NOMEM */
MUST_USE enum rc scan_record(struct scan *scan, struct record *ret_record, struct bytes *ret_bytes);
/* One past the last byte from `from` on that is not zero; `from` if all are zero. */
MUST_USE enum rc scan_nonzero_end(struct scan *scan, uint64_t from, uint64_t *ret_end);

/* Whole records that follow one another in the chain, somewhere behind a bad one. */
struct scan_run {
    uint64_t at;
    uint64_t end_at;
    uint64_t first_pos;
    uint64_t end_pos;
    uint64_t prev_hash; /* what its first record carries */
    bool later_batch;   /* holds a record of a batch that begins behind the bad record */
};

struct scan_behind {
    bool found;            /* at least one run */
    bool later_batch;      /* in any of them */
    struct scan_run first; /* the nearest */
};

/* What stands behind the bad record of position `bad_pos` at scan->at. `next_pos` is where the next
 * segment begins (UINT64_MAX: there is none): nothing at or above it counts. Between bad_pos and
 * what is found each position took a record's header at least; `slack` positions more may have been
 * lost in front.
 *
 * A message may hold bytes that look like a record. Such a record claims positions that the records
 * behind its message have, too; of two runs that contradict each other the later one is believed,
 * since it is nearer to the end that is known to be ours. And looking at forged headers costs a
 * bounded time: beyond it we say that there is something behind, which is the careful answer. */
MUST_USE enum rc scan_behind(struct scan *scan, uint32_t partition, uint64_t bad_pos,
                             uint64_t slack, uint64_t next_pos, struct scan_behind *ret_behind);

#endif
