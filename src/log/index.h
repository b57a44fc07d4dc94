/* The index of a segment that is not sealed: where each channel's messages stand, in memory.
 *
 * Per channel a growing row of entries {first seq, count, time, byte position, digest, checksum},
 * one per record. It only grows, and once its segment is full it never changes again: the keeper
 * then writes it to a file (log/index_file.h) while the owner still reads it.
 *
 * Thread: the owner; also the keeper and readers once it is full, for reading.
 * Memory: segment_index_close() frees; entries live in an arena of the segment's. */
#ifndef LOG_INDEX_H
#define LOG_INDEX_H

#include "base/bytes.h"

struct index_entry {
    uint64_t first_seq;
    uint64_t time_ms;
    uint64_t digest; /* of the channel in front of first_seq (base/digest.h) */
    uint32_t at;
    uint32_t count;
    uint32_t crc; /* what the record begins with, where it is known from having been written */
};

struct index_chunk; /* private: some entries of one channel */

/* There may be a million in one segment, nearly all with a single record, which needs no chunk. */
struct index_channel {
    uint32_t id;
    uint32_t entry_count;
    union {
        struct index_entry one; /* entry_count 1 */
        struct {
            struct index_chunk *first; /* oldest */
            struct index_chunk *last;
        } many;
    } entries_;
};

struct segment_index; /* opaque */

MUST_USE enum rc segment_index_open(struct segment_index **ret_index);
void segment_index_close(struct segment_index *index); /* NULL is allowed */

/* In order of position. Seqs of a channel rise; its number fits 32 bits. RC_NOMEM: unchanged */
MUST_USE enum rc segment_index_add(struct segment_index *index, uint64_t channel_id,
                                   const struct index_entry *entry);
/* NULL: the segment holds nothing of the channel. */
const struct index_channel *segment_index_find(const struct segment_index *index,
                                               uint64_t channel_id);
size_t segment_index_channel_count(const struct segment_index *index);
uint64_t segment_index_entry_count(const struct segment_index *index);
const struct index_channel *segment_index_channel_at(const struct segment_index *index, size_t i);

/* A channel's oldest and newest entry. Borrowed until the next one is added. */
const struct index_entry *index_channel_first(const struct index_channel *channel);
const struct index_entry *index_channel_last(const struct index_channel *channel);
uint64_t index_channel_first_seq(const struct index_channel *channel);
uint64_t index_channel_end_seq(const struct index_channel *channel);

/* A place in a channel's row; beyond either end both pointers are NULL. */
struct index_cursor {
    const struct index_chunk *chunk;
    uint32_t i;
    const struct index_entry *one; /* the only entry of a channel without chunks */
};
/* At the oldest entry. */
struct index_cursor index_channel_begin(const struct index_channel *channel);
/* The first entry that ends behind `seq` and is not older than time_ms. */
struct index_cursor index_channel_seek(const struct index_channel *channel, uint64_t seq,
                                       uint64_t time_ms);
/* The last entry that begins at or below `seq`. */
struct index_cursor index_channel_seek_back(const struct index_channel *channel, uint64_t seq);
const struct index_entry *index_cursor_entry(const struct index_cursor *cursor);
void index_cursor_next(struct index_cursor *cursor);
void index_cursor_prev(struct index_cursor *cursor);

#endif
