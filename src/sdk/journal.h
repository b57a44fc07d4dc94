/* The outbox's file: what was published and is not acknowledged yet, so that it survives the end of
 * the process under its numbers.
 *
 * The file is a row of blocks, each the entries of one write:
 *
 *     | at | size | |
 *     |  0 | 4    | magic, "SrOB" |
 *     |  4 | 4    | size of the entries in bytes |
 *     |  8 | 4    | CRC-32C of everything else in the block and of its place in the file |
 *     | 12 | 4    | 0 |
 *     | 16 | 8    | how much of the file was on disk when this was written |
 *     | 24 |      | entries, each a byte, its type, and its fields |
 *
 *     1 producer   epoch u64, size u8, id                       the first entry of the file
 *     2 channel    number u32, head u64, size u8, name          numbers from 0, in order
 *     3 put        channel u32, flags u8, key u8, data u32, key, data      flags: 1 key, 2 bytes
 *     4 done       channel u32, head u64      all messages before `head` are answered
 *     5 drop       channel u32, head u64      as done; then the head was refused, and its number is
 *                                             the next one's
 *
 * The messages of a channel have the numbers from its head on, one by one. Channels stay in the
 * file for ever, since their next numbers must not be forgotten.
 *
 * Messages count when their block is on disk. That something was done may be lost: it is sent
 * again, and the server knows its number. On reading, a block that is not whole is a torn tail, and
 * is cut, unless one behind it says that the place was on disk before: that is damage, and refused.
 *
 *   a write fails     what it added is taken back, and may be tried again later (a full disk)
 *   a sync fails      nobody knows what is on disk: nothing more is written, for ever
 *   the file is long  and little of it is still open: it is written anew beside the old one,
 *                     synced, and renamed over it
 *
 * Thread: the owner's.  Memory: journal_close() frees. */
#ifndef SDK_JOURNAL_H
#define SDK_JOURNAL_H

#include "log/storage.h"
#include "wire/command.h"

struct journal; /* opaque */

/* What stands in the file, in the order in which it was written. RC_NOMEM ends the reading; RC_BAD:
 * it does not fit. */
struct journal_ops {
    enum rc (*channel)(void *ctx, uint32_t number, uint64_t head, struct bytes name);
    enum rc (*put)(void *ctx, uint32_t channel, const struct wire_item *item);
    enum rc (*done)(void *ctx, uint32_t channel, uint64_t head);
    enum rc (*drop)(void *ctx, uint32_t channel, uint64_t head);
};

/* Reads the file, or makes it, for `producer`, whose `epoch` is at least 1. A file that is there
 * keeps its own producer where `named` is false; else it must be the same, and a higher epoch is
 * refused, since the numbers in it belong to the old one.
 * RC_CORRUPT  it holds damage; RC_USAGE  it is another producer's
 * RC_NOMEM, RC_NOSPACE, RC_IO, RC_DENIED */
MUST_USE enum rc journal_open(struct storage storage, struct bytes producer, uint64_t epoch,
                              bool named, const struct journal_ops *ops, void *ctx,
                              struct journal **ret_journal);
/* NULL is allowed. What was added and not written is lost. */
void journal_close(struct journal *journal);
struct bytes journal_producer(const struct journal *journal);
uint64_t journal_epoch(const struct journal *journal);

/* Add an entry to the next block. RC_NOMEM */
MUST_USE enum rc journal_add_channel(struct journal *journal, uint32_t number, uint64_t head,
                                     struct bytes name);
MUST_USE enum rc journal_add_put(struct journal *journal, uint32_t channel,
                                 const struct wire_item *item);
MUST_USE enum rc journal_add_done(struct journal *journal, uint32_t channel, uint64_t head);
MUST_USE enum rc journal_add_drop(struct journal *journal, uint32_t channel, uint64_t head);
/* Writes what was added as one block, and then waits for the disk if `sync`. After a failure what
 * was added is gone.
 * RC_NOSPACE, RC_IO  not written
 * RC_CLOSED          as before: the journal has failed for good; see journal_failed() */
MUST_USE enum rc journal_write(struct journal *journal, bool sync);
/* What was added is not written. */
void journal_discard(struct journal *journal);
/* Whether nothing can be written any more. */
bool journal_failed(const struct journal *journal);
/* Whether nothing was added since the last write. */
bool journal_written(const struct journal *journal);
/* Bytes in the file, and those that were added. */
uint64_t journal_size(const struct journal *journal);
/* With nothing added: writes the file anew. `each` adds what is to stand in it, by the functions
 * above. The old one stays if that fails. RC_NOMEM, RC_NOSPACE, RC_IO */
MUST_USE enum rc journal_rewrite(struct journal *journal, enum rc (*each)(void *ctx), void *ctx);

#endif
