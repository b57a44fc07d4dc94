/* The index of a sealed segment, as a file: <number>.idx.
 *
 * Pages of 4 KiB, each with its own checksum, so that a lookup reads little and trusts nothing: the
 * head with a Bloom filter of the channels; rows, one per channel, by channel id; entries, one per
 * record, by channel and seq. In memory stays a summary of the head, a few KiB at most.
 * Byte tables: docs/LOG.md.
 *
 * Thread: written by the keeper; a summary is never changed and may be read by any; an index_pages
 * belongs to one thread.  Memory: index_summary_close() frees. */
#ifndef LOG_INDEX_FILE_H
#define LOG_INDEX_FILE_H

#include "log/files.h"
#include "log/index.h"

#define INDEX_PAGE_SIZE 4096u

/* What the head says of the segment. */
struct index_head {
    uint32_t partition;
    uint64_t incarnation;
    uint64_t number;
    uint64_t first_pos;
    uint64_t end_pos;
    uint64_t end_hash; /* what the record at end_pos carries */
    uint64_t end_at;   /* bytes used in the segment */
    uint64_t last_ms;  /* time of the newest message; 0: none */
    uint64_t channel_count;
    uint64_t entry_count;
};

struct index_summary {
    struct index_head head;
    uint64_t file_size;
    uint32_t refs; /* owner only: the catalogue and the snapshots that reads hold */
    uint32_t bloom_size;
    uint8_t bloom[];
};

/* One channel's messages in the segment. */
struct index_row {
    uint64_t channel_id;
    uint64_t first_seq;
    uint64_t end_seq;
    uint64_t first_time_ms;
    uint64_t last_time_ms;
    uint32_t entries_first;
    uint32_t entry_count;
};

/* What a record in the segment begins with, so that a reader knows that it has found the record
 * that was meant and not another whole one: a disk may write to the wrong place. */
struct index_check {
    uint32_t at;
    uint32_t crc;
};

/* Writes the file: whole and synced, its name too, or not at all. The counts and last_ms in `head`
 * are set here; `index` may be NULL: nothing is in the segment. `checks` are by place.
 * RC_CORRUPT  an entry whose record is not among the checks
 * RC_IO, RC_NOSPACE, RC_NOMEM */
MUST_USE enum rc index_file_write(const struct storage *storage, const char *folder,
                                  struct index_head *head, const struct segment_index *index,
                                  const struct index_check *checks, size_t check_count);

/* Reads the head. RC_NOT_FOUND; RC_CORRUPT: not whole; RC_IO, RC_NOMEM */
MUST_USE enum rc index_summary_open(const struct storage *storage, const char *folder,
                                    uint64_t number, struct index_summary **ret_summary);
void index_summary_close(struct index_summary *summary); /* NULL is allowed */
/* False: the segment surely holds nothing of the channel. */
bool index_summary_may_hold(const struct index_summary *summary, uint64_t channel_id);

/* Reads pages of one index file, and remembers the last. */
struct index_pages {
    const struct storage *storage;
    struct storage_file *file; /* borrowed */
    uint64_t page;             /* in `bytes`; 0: none */
    uint8_t bytes[INDEX_PAGE_SIZE];
};

void index_pages_begin(struct index_pages *pages, const struct storage *storage,
                       struct storage_file *file);
/* RC_END: nothing of that channel; RC_CORRUPT: a damaged page; RC_IO */
MUST_USE enum rc index_file_find(struct index_pages *pages, const struct index_head *head,
                                 uint64_t channel_id, struct index_row *ret_row);
MUST_USE enum rc index_file_row(struct index_pages *pages, const struct index_head *head,
                                uint64_t i, struct index_row *ret_row);
/* Entry number i of the row, and what its record begins with. */
MUST_USE enum rc index_file_entry(struct index_pages *pages, const struct index_head *head,
                                  const struct index_row *row, uint32_t i,
                                  struct index_entry *ret_entry, uint32_t *ret_crc);
/* Where it stands in the file. */
uint64_t index_file_entry_at(const struct index_head *head, const struct index_row *row,
                             uint32_t i);
/* The number of the first entry that ends behind `seq` and is not older than time_ms (entry_count
 * if none), or of the first that begins behind `seq`. */
MUST_USE enum rc index_file_seek(struct index_pages *pages, const struct index_head *head,
                                 const struct index_row *row, uint64_t seq, uint64_t time_ms,
                                 uint32_t *ret_i);
MUST_USE enum rc index_file_seek_behind(struct index_pages *pages, const struct index_head *head,
                                        const struct index_row *row, uint64_t seq, uint32_t *ret_i);
/* Reads every page. RC_CORRUPT: one is damaged, or rows and entries do not fit; RC_IO */
MUST_USE enum rc index_file_check(struct index_pages *pages, const struct index_head *head);

#endif
