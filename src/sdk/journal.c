#include "sdk/journal.h"

#include "base/crc32c.h"
#include "base/mark.h"
#include "base/mem.h"

#define NAME       "outbox"
#define NAME_NEW   "outbox.new"
#define MAGIC      0x424F7253u
#define HEAD_BYTES 24u
/* What a file may have: as much as can be pending, four times over, and some. */
#define FILE_BYTES_MAX (UINT64_C(1) << 44)
/* Blocks are read whole: the largest has a message of the largest size and many small ones. */
#define BLOCK_BYTES_MAX (256u * MIB)

enum entry_type { ENTRY_PRODUCER = 1, ENTRY_CHANNEL, ENTRY_PUT, ENTRY_DONE, ENTRY_DROP };
enum { PUT_KEY = 1, PUT_BYTES = 2 };

struct journal {
    struct storage storage;
    struct storage_file *file;
    struct buf added; /* room for the head, then entries */
    uint64_t size;    /* of the file */
    uint64_t synced;  /* of it */
    uint64_t epoch;
    uint32_t channel_count;
    bool failed;
    uint8_t producer_size;
    uint8_t producer[PRODUCER_ID_BYTES_MAX];
};

struct block {
    uint32_t size;
    uint32_t crc;
    uint64_t synced;
};

static uint32_t checksum(const uint8_t *head, struct bytes entries, uint64_t at)
{
    uint8_t place[16];
    bytes_store_u64(place, at);
    bytes_copy(place + 8, head + 16, 8);
    uint32_t crc = crc32c(0, bytes_of(head, 8)); /* magic and size */
    crc = crc32c(crc, bytes_of(place, sizeof(place)));
    return crc32c(crc, entries);
}

/* ---- writing ------------------------------------------------------------------------------- */

/* Room for an entry of `size` bytes behind its type, which is written. */
static enum rc begin_entry(struct journal *j, enum entry_type type, size_t size)
{
    const bool first = j->added.size == 0;
    const enum rc rc = buf_reserve(&j->added, (first ? HEAD_BYTES : 0) + 1 + size);
    if (rc == RC_OK && first) {
        bytes_zero(j->added.data, HEAD_BYTES);
        j->added.size = HEAD_BYTES;
    }
    if (rc == RC_OK) {
        buf_put_u8(&j->added, (uint8_t)type);
    }
    return rc;
}

static enum rc add_producer(struct journal *j)
{
    const enum rc rc = begin_entry(j, ENTRY_PRODUCER, 9u + j->producer_size);
    if (rc == RC_OK) {
        buf_put_u64(&j->added, j->epoch);
        buf_put_u8(&j->added, j->producer_size);
        buf_put(&j->added, j->producer, j->producer_size);
    }
    return rc;
}

enum rc journal_add_channel(struct journal *journal, uint32_t number, uint64_t head,
                            struct bytes name)
{
    ASSERT(name.size > 0 && name.size <= CHANNEL_NAME_BYTES_MAX);
    const enum rc rc = begin_entry(journal, ENTRY_CHANNEL, 13 + name.size);
    if (rc == RC_OK) {
        buf_put_u32(&journal->added, number);
        buf_put_u64(&journal->added, head);
        buf_put_u8(&journal->added, (uint8_t)name.size);
        buf_put(&journal->added, name.data, name.size);
    }
    return rc;
}

enum rc journal_add_put(struct journal *journal, uint32_t channel, const struct wire_item *item)
{
    ASSERT(item->key.size <= KEY_BYTES_MAX && item->data.size <= MESSAGE_BYTES_MAX);
    const enum rc rc = begin_entry(journal, ENTRY_PUT, 10 + item->key.size + item->data.size);
    if (rc == RC_OK) {
        buf_put_u32(&journal->added, channel);
        buf_put_u8(&journal->added,
                   (uint8_t)((item->has_key ? PUT_KEY : 0) | (item->is_bytes ? PUT_BYTES : 0)));
        buf_put_u8(&journal->added, (uint8_t)item->key.size);
        buf_put_u32(&journal->added, (uint32_t)item->data.size);
        buf_put(&journal->added, item->key.data, item->key.size);
        buf_put(&journal->added, item->data.data, item->data.size);
    }
    return rc;
}

static enum rc add_head(struct journal *journal, enum entry_type type, uint32_t channel,
                        uint64_t head)
{
    const enum rc rc = begin_entry(journal, type, 12);
    if (rc == RC_OK) {
        buf_put_u32(&journal->added, channel);
        buf_put_u64(&journal->added, head);
    }
    return rc;
}

enum rc journal_add_done(struct journal *journal, uint32_t channel, uint64_t head)
{
    return add_head(journal, ENTRY_DONE, channel, head);
}

enum rc journal_add_drop(struct journal *journal, uint32_t channel, uint64_t head)
{
    return add_head(journal, ENTRY_DROP, channel, head);
}

/* Writes the block at the end of `file`. */
static enum rc write_block(struct journal *j, struct storage_file *file, uint64_t at,
                           uint64_t synced)
{
    uint8_t *head = j->added.data;
    const struct bytes entries = bytes_of(head + HEAD_BYTES, j->added.size - HEAD_BYTES);
    bytes_store_u32(head, MAGIC);
    bytes_store_u32(head + 4, (uint32_t)entries.size);
    bytes_store_u64(head + 16, synced);
    bytes_store_u32(head + 8, checksum(head, entries, at));
    return j->storage.ops->write(j->storage.ctx, file, buf_bytes(&j->added), at);
}

static enum rc sync_file(struct journal *j)
{
    const enum rc rc = j->storage.ops->sync_data(j->storage.ctx, j->file);
    MARK_IF(rc != RC_OK, "journal: a sync fails");
    j->failed = rc != RC_OK; /* never again as if nothing had happened: log/storage.h */
    j->synced = rc == RC_OK ? j->size : j->synced;
    return rc;
}

enum rc journal_write(struct journal *journal, bool sync)
{
    struct journal *j = journal;
    enum rc rc = RC_OK;
    if (j->failed) {
        buf_clear(&j->added);
        return RC_CLOSED;
    }
    if (j->added.size > 0) {
        rc = write_block(j, j->file, j->size, j->synced);
        j->size += rc == RC_OK ? j->added.size : 0;
        buf_clear(&j->added);
    }
    if (rc != RC_OK) {
        MARK("journal: a write fails, and is taken back");
        /* Part of it may be there; what is not cut off now is cut at the next start. */
        j->failed = j->storage.ops->truncate(j->storage.ctx, j->file, j->size) != RC_OK;
        return rc;
    }
    return sync && j->synced < j->size ? sync_file(j) : RC_OK;
}

void journal_discard(struct journal *journal)
{
    buf_clear(&journal->added);
}

bool journal_failed(const struct journal *journal)
{
    return journal->failed;
}

bool journal_written(const struct journal *journal)
{
    return journal->added.size == 0;
}

uint64_t journal_size(const struct journal *journal)
{
    return journal->size + journal->added.size;
}

struct bytes journal_producer(const struct journal *journal)
{
    return bytes_of(journal->producer, journal->producer_size);
}

uint64_t journal_epoch(const struct journal *journal)
{
    return journal->epoch;
}

/* ---- writing it anew ----------------------------------------------------------------------- */

/* The new file with its entries, on disk, beside the old one. */
static enum rc write_new(struct journal *j, enum rc (*each)(void *ctx), void *ctx,
                         struct storage_file **ret_file)
{
    const struct storage_ops *ops = j->storage.ops;
    struct storage_file *file = NULL;
    const enum rc gone = ops->remove(j->storage.ctx, NAME_NEW);
    enum rc rc = gone == RC_NOT_FOUND ? RC_OK : gone;
    if (rc == RC_OK) {
        rc = ops->open(j->storage.ctx, NAME_NEW, STORAGE_CREATE, &file);
    }
    if (rc == RC_OK) {
        rc = add_producer(j);
    }
    if (rc == RC_OK) {
        rc = each(ctx);
    }
    if (rc == RC_OK) {
        rc = write_block(j, file, 0, 0);
    }
    if (rc == RC_OK) {
        rc = ops->sync_data(j->storage.ctx, file);
    }
    if (rc == RC_OK) {
        rc = ops->rename(j->storage.ctx, NAME_NEW, NAME);
    }
    if (rc != RC_OK) {
        ops->close(j->storage.ctx, file);
        return rc;
    }
    *ret_file = file;
    return RC_OK;
}

enum rc journal_rewrite(struct journal *journal, enum rc (*each)(void *ctx), void *ctx)
{
    struct journal *j = journal;
    ASSERT(!j->failed && j->added.size == 0); /* what was added belongs to the old one */
    struct storage_file *file = NULL;
    const enum rc rc = write_new(j, each, ctx, &file);
    const uint64_t size = j->added.size;
    buf_deinit(&j->added);
    if (rc != RC_OK) {
        return rc;
    }
    j->storage.ops->close(j->storage.ctx, j->file);
    j->file = file;
    j->size = size;
    j->synced = size;
    /* Until the name is on disk a crash may bring the old file back, which lacks what comes next.
     */
    j->failed = j->storage.ops->sync_dir(j->storage.ctx, "") != RC_OK;
    MARK_IF(j->failed, "journal: a new file's name is not on disk");
    return j->failed ? RC_IO : RC_OK;
}

/* ---- reading ------------------------------------------------------------------------------- */

static enum rc read_channel(struct journal *j, struct bytes_reader *r,
                            const struct journal_ops *ops, void *ctx)
{
    const uint32_t number = reader_u32(r);
    const uint64_t head = reader_u64(r);
    const struct bytes name = reader_take(r, reader_u8(r));
    if (r->failed || number != j->channel_count || head == 0 || !wire_channel_name_valid(name)) {
        return RC_CORRUPT;
    }
    j->channel_count++;
    return ops->channel(ctx, number, head, name);
}

static enum rc read_put(struct journal *j, struct bytes_reader *r, const struct journal_ops *ops,
                        void *ctx)
{
    const uint32_t channel = reader_u32(r);
    const unsigned flags = reader_u8(r);
    const size_t key_size = reader_u8(r);
    const size_t data_size = reader_u32(r);
    struct wire_item item = {.has_key = (flags & PUT_KEY) != 0,
                             .is_bytes = (flags & PUT_BYTES) != 0};
    item.key = reader_take(r, key_size);
    item.data = reader_take(r, data_size);
    if (r->failed || channel >= j->channel_count || flags > (PUT_KEY | PUT_BYTES)) {
        return RC_CORRUPT;
    }
    return ops->put(ctx, channel, &item);
}

static enum rc read_producer(struct journal *j, struct bytes_reader *r)
{
    const uint64_t epoch = reader_u64(r);
    const struct bytes id = reader_take(r, reader_u8(r));
    if (r->failed || epoch == 0 || id.size == 0 || j->producer_size != 0) {
        return RC_CORRUPT;
    }
    j->epoch = epoch;
    j->producer_size = (uint8_t)id.size;
    bytes_copy(j->producer, id.data, id.size);
    return RC_OK;
}

static enum rc read_entry(struct journal *j, struct bytes_reader *r, const struct journal_ops *ops,
                          void *ctx)
{
    const unsigned type = reader_u8(r);
    if (type == ENTRY_PRODUCER) {
        return read_producer(j, r);
    }
    if (j->producer_size == 0) {
        return RC_CORRUPT; /* it stands first */
    }
    if (type == ENTRY_CHANNEL) {
        return read_channel(j, r, ops, ctx);
    }
    if (type == ENTRY_PUT) {
        return read_put(j, r, ops, ctx);
    }
    if (type != ENTRY_DONE && type != ENTRY_DROP) {
        return RC_CORRUPT;
    }
    const uint32_t channel = reader_u32(r);
    const uint64_t head = reader_u64(r);
    if (r->failed || channel >= j->channel_count) {
        return RC_CORRUPT;
    }
    return type == ENTRY_DONE ? ops->done(ctx, channel, head) : ops->drop(ctx, channel, head);
}

static enum rc read_at(struct journal *j, uint64_t at, uint8_t *to, size_t size)
{
    size_t got = 0;
    const enum rc rc = j->storage.ops->read(j->storage.ctx, j->file, to, size, at, &got);
    return rc != RC_OK ? rc : got == size ? RC_OK : RC_BAD;
}

/* Reads the block at `at` into `entries`. RC_BAD: there is none */
static enum rc read_block(struct journal *j, uint64_t at, uint64_t file_size, struct buf *entries,
                          struct block *ret_block)
{
    uint8_t head[HEAD_BYTES];
    if (file_size - at < HEAD_BYTES) {
        return RC_BAD;
    }
    enum rc rc = read_at(j, at, head, sizeof(head));
    const struct block block = {.size = bytes_load_u32(head + 4),
                                .crc = bytes_load_u32(head + 8),
                                .synced = bytes_load_u64(head + 16)};
    if (rc != RC_OK || bytes_load_u32(head) != MAGIC || block.size == 0 ||
        block.size > BLOCK_BYTES_MAX || block.size > file_size - at - HEAD_BYTES) {
        return rc != RC_OK ? rc : RC_BAD;
    }
    buf_clear(entries);
    rc = buf_reserve(entries, block.size);
    if (rc == RC_OK) {
        rc = read_at(j, at + HEAD_BYTES, entries->data, block.size);
    }
    if (rc != RC_OK) {
        return rc;
    }
    entries->size = block.size;
    if (checksum(head, buf_bytes(entries), at) != block.crc) {
        return RC_BAD;
    }
    *ret_block = block;
    return RC_OK;
}

/* Whether a block behind `at` says that `at` was on disk before it was written: RC_CORRUPT. */
static enum rc look_behind(struct journal *j, uint64_t at, uint64_t file_size, struct buf *scratch)
{
    uint8_t window[4096];
    for (uint64_t from = at + 1; from + HEAD_BYTES <= file_size; from += sizeof(window) - 3) {
        size_t got = 0;
        enum rc rc =
            j->storage.ops->read(j->storage.ctx, j->file, window, sizeof(window), from, &got);
        for (size_t i = 0; rc == RC_OK && i + 4 <= got; i++) {
            struct block block;
            if (bytes_load_u32(window + i) != MAGIC) {
                continue;
            }
            rc = read_block(j, from + i, file_size, scratch, &block);
            if (rc == RC_OK && block.synced > at) {
                return RC_CORRUPT;
            }
            rc = rc == RC_BAD ? RC_OK : rc;
        }
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

static enum rc read_entries(struct journal *j, struct bytes entries, const struct journal_ops *ops,
                            void *ctx)
{
    struct bytes_reader reader = {.rest = entries};
    enum rc rc = RC_OK;
    while (rc == RC_OK && reader.rest.size > 0) {
        rc = read_entry(j, &reader, ops, ctx);
    }
    return rc == RC_BAD ? RC_CORRUPT : rc;
}

/* Everything that is whole; then the torn tail is cut off. */
static enum rc read_all(struct journal *j, const struct journal_ops *ops, void *ctx)
{
    struct buf entries = {0};
    struct block block;
    uint64_t file_size = 0;
    enum rc rc = j->storage.ops->size(j->storage.ctx, j->file, &file_size);
    if (rc == RC_OK && file_size > FILE_BYTES_MAX) {
        rc = RC_CORRUPT;
    }
    while (rc == RC_OK && j->size < file_size) {
        rc = read_block(j, j->size, file_size, &entries, &block);
        if (rc == RC_OK) {
            rc = read_entries(j, buf_bytes(&entries), ops, ctx);
            j->size += HEAD_BYTES + block.size;
        } else if (rc == RC_BAD) {
            rc = look_behind(j, j->size, file_size, &entries);
            break;
        }
    }
    buf_deinit(&entries);
    if (rc == RC_OK && j->size < file_size) {
        MARK("journal: a torn tail is cut off");
        rc = j->storage.ops->truncate(j->storage.ctx, j->file, j->size);
    }
    return rc;
}

/* An empty file, or what a crash has left of one: the producer is written first. */
static enum rc begin_file(struct journal *j, struct bytes producer, uint64_t epoch)
{
    j->epoch = epoch;
    j->producer_size = (uint8_t)producer.size;
    bytes_copy(j->producer, producer.data, producer.size);
    enum rc rc = add_producer(j);
    if (rc == RC_OK) {
        rc = journal_write(j, true);
    }
    return rc == RC_OK ? j->storage.ops->sync_dir(j->storage.ctx, "") : rc;
}

/* What was read may never have been synced, and is relied on from now on. */
static enum rc settle(struct journal *j, struct bytes producer, uint64_t epoch, bool named)
{
    if (j->producer_size == 0) {
        return begin_file(j, producer, epoch);
    }
    if (named && (!bytes_equal(producer, journal_producer(j)) || epoch != j->epoch)) {
        return RC_USAGE;
    }
    const enum rc rc = sync_file(j);
    return rc == RC_OK ? j->storage.ops->sync_dir(j->storage.ctx, "") : rc;
}

enum rc journal_open(struct storage storage, struct bytes producer, uint64_t epoch, bool named,
                     const struct journal_ops *ops, void *ctx, struct journal **ret_journal)
{
    ASSERT(producer.size > 0 && producer.size <= PRODUCER_ID_BYTES_MAX && epoch > 0);
    struct journal *j = mem_calloc(1, sizeof(*j));
    if (j == NULL) {
        return RC_NOMEM;
    }
    j->storage = storage;
    enum rc rc = storage.ops->open(storage.ctx, NAME, STORAGE_WRITE, &j->file);
    if (rc == RC_NOT_FOUND) {
        rc = storage.ops->open(storage.ctx, NAME, STORAGE_CREATE, &j->file);
    }
    if (rc == RC_OK) {
        rc = read_all(j, ops, ctx);
    }
    if (rc == RC_OK) {
        rc = settle(j, producer, epoch, named);
    }
    if (rc != RC_OK) {
        journal_close(j);
        return rc;
    }
    *ret_journal = j;
    return RC_OK;
}

void journal_close(struct journal *journal)
{
    if (journal == NULL) {
        return;
    }
    journal->storage.ops->close(journal->storage.ctx, journal->file);
    buf_deinit(&journal->added);
    mem_free(journal);
}
