#include "log/index_file.h"

#include "base/crc32c.h"
#include "base/limits.h"
#include "base/mem.h"

#include <stdlib.h>

#define INDEX_MAGIC 0x315844494D545253u /* "SRTMIDX1" */

/* A page: bytes, then at 4092 the CRC-32C over them, begun with the page's number, so that a page
 * in the wrong place is no page. */
#define PAGE_CRC_AT      (INDEX_PAGE_SIZE - 4)
#define ROW_SIZE         48u
#define ROWS_PER_PAGE    (PAGE_CRC_AT / ROW_SIZE)
#define ENTRY_SIZE       36u
#define ENTRIES_PER_PAGE (PAGE_CRC_AT / ENTRY_SIZE)

enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_PARTITION = 12,
    AT_INCARNATION = 16,
    AT_NUMBER = 24,
    AT_FIRST_POS = 32,
    AT_END_POS = 40,
    AT_END_HASH = 48,
    AT_END_AT = 56,
    AT_LAST_MS = 64,
    AT_CHANNEL_COUNT = 72,
    AT_ENTRY_COUNT = 80,
    AT_BLOOM_SIZE = 88,
    AT_BLOOM = 96,
};

/* Eight bits a channel and four of them set: about 2 % of false answers, until the bound is reached
 * at 2048 channels; beyond it lookups read more, memory stays. */
#define BLOOM_SIZE_MAX 2048u
#define BLOOM_HASHES   4u

static_assert(AT_BLOOM + BLOOM_SIZE_MAX <= PAGE_CRC_AT, "the filter fits the head's page");
static_assert((BLOOM_SIZE_MAX & (BLOOM_SIZE_MAX - 1)) == 0, "sizes are powers of two");

/* ---- the filter ---------------------------------------------------------------------------- */

static uint32_t bloom_size_for(uint64_t channel_count)
{
    ASSERT(channel_count <= UINT32_MAX);
    uint32_t size = 8;
    while (size < BLOOM_SIZE_MAX && size < channel_count) {
        size *= 2;
    }
    ASSERT(size <= BLOOM_SIZE_MAX);
    ASSERT((size & (size - 1)) == 0);
    return size;
}

/* The i-th bit of a channel. */
static uint32_t bloom_bit(uint64_t channel_id, uint32_t i, uint32_t size)
{
    ASSERT_HOT(i < BLOOM_HASHES);
    ASSERT_HOT(size >= 8);
    ASSERT_HOT((size & (size - 1)) == 0);
    uint64_t z = (channel_id + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z ^= z >> 27;
    const uint32_t step = (uint32_t)(z >> 32) | 1u;
    return ((uint32_t)z + i * step) & (size * 8 - 1);
}

bool index_summary_may_hold(const struct index_summary *summary, uint64_t channel_id)
{
    ASSERT_HOT(summary->bloom_size >= 8);
    ASSERT_HOT(summary->bloom_size <= BLOOM_SIZE_MAX);
    for (uint32_t i = 0; i < BLOOM_HASHES; i++) {
        const uint32_t bit = bloom_bit(channel_id, i, summary->bloom_size);
        if ((summary->bloom[bit / 8] & (1u << (bit % 8))) == 0) {
            return false;
        }
    }
    return summary->head.channel_count > 0;
}

/* ---- writing ------------------------------------------------------------------------------- */

struct page_writer {
    const struct storage *storage;
    struct storage_file *file;
    uint64_t page;
    size_t used;
    uint8_t bytes[INDEX_PAGE_SIZE];
};

static uint32_t page_crc(const uint8_t *bytes, uint64_t page)
{
    ASSERT_HOT(page <= UINT32_MAX);
    return crc32c((uint32_t)page, bytes_of(bytes, PAGE_CRC_AT));
}

/* Writes the page, if it holds anything, and begins the next. */
static enum rc page_flush(struct page_writer *writer)
{
    ASSERT_HOT(writer->file != NULL);
    ASSERT_HOT(writer->used <= PAGE_CRC_AT);
    if (writer->used == 0) {
        return RC_OK;
    }
    bytes_zero(writer->bytes + writer->used, PAGE_CRC_AT - writer->used);
    bytes_store_u32(writer->bytes + PAGE_CRC_AT, page_crc(writer->bytes, writer->page));
    ASSERT_HOT(bytes_load_u32(writer->bytes + PAGE_CRC_AT) ==
               page_crc(writer->bytes, writer->page));
    const enum rc rc =
        files_write(writer->storage, writer->file, bytes_of(writer->bytes, INDEX_PAGE_SIZE),
                    writer->page * INDEX_PAGE_SIZE);
    writer->page++;
    writer->used = 0;
    return rc;
}

/* Room for `size` more bytes in a page. */
static enum rc page_room(struct page_writer *writer, size_t size, uint8_t **ret_to)
{
    ASSERT_HOT(size > 0);
    ASSERT_HOT(size <= PAGE_CRC_AT);
    if (writer->used + size > PAGE_CRC_AT) {
        const enum rc rc = page_flush(writer);
        if (rc != RC_OK) {
            return rc;
        }
    }
    *ret_to = writer->bytes + writer->used;
    writer->used += size;
    ASSERT_HOT(writer->used <= PAGE_CRC_AT);
    return RC_OK;
}

static enum rc write_head(struct page_writer *writer, const struct index_head *head,
                          const struct segment_index *index)
{
    ASSERT(writer->page == 0);
    ASSERT(writer->used == 0);
    ASSERT(head->channel_count <= head->entry_count);
    ASSERT(head->channel_count == 0 || index != NULL);
    uint8_t *to;
    const enum rc rc = page_room(writer, PAGE_CRC_AT, &to);
    if (rc != RC_OK) {
        return rc;
    }
    const uint32_t bloom_size = bloom_size_for(head->channel_count);
    bytes_zero(to, PAGE_CRC_AT);
    bytes_store_u64(to + AT_MAGIC, INDEX_MAGIC);
    bytes_store_u32(to + AT_VERSION, INDEX_VERSION);
    bytes_store_u32(to + AT_PARTITION, head->partition);
    bytes_store_u64(to + AT_INCARNATION, head->incarnation);
    bytes_store_u64(to + AT_NUMBER, head->number);
    bytes_store_u64(to + AT_FIRST_POS, head->first_pos);
    bytes_store_u64(to + AT_END_POS, head->end_pos);
    bytes_store_u64(to + AT_END_HASH, head->end_hash);
    bytes_store_u64(to + AT_END_AT, head->end_at);
    bytes_store_u64(to + AT_LAST_MS, head->last_ms);
    bytes_store_u64(to + AT_CHANNEL_COUNT, head->channel_count);
    bytes_store_u64(to + AT_ENTRY_COUNT, head->entry_count);
    bytes_store_u32(to + AT_BLOOM_SIZE, bloom_size);
    for (uint64_t c = 0; c < head->channel_count; c++) {
        const uint64_t id = segment_index_channel_at(index, (size_t)c)->id;
        for (uint32_t i = 0; i < BLOOM_HASHES; i++) {
            const uint32_t bit = bloom_bit(id, i, bloom_size);
            to[AT_BLOOM + bit / 8] |= (uint8_t)(1u << (bit % 8));
        }
    }
    return page_flush(writer);
}

static enum rc write_rows(struct page_writer *writer, const struct index_channel *const *channels,
                          uint64_t count)
{
    ASSERT(writer->page == 1);
    ASSERT(writer->used == 0);
    uint32_t entries_first = 0;
    for (uint64_t i = 0; i < count; i++) {
        const struct index_channel *channel = channels[i];
        ASSERT_HOT(i == 0 || channels[i - 1]->id < channel->id);
        const struct index_entry *first = index_channel_first(channel);
        const struct index_entry *last = index_channel_last(channel);
        ASSERT_HOT(first->first_seq < last->first_seq + last->count);
        uint8_t *to;
        const enum rc rc = page_room(writer, ROW_SIZE, &to);
        if (rc != RC_OK) {
            return rc;
        }
        bytes_store_u64(to, channel->id);
        bytes_store_u64(to + 8, first->first_seq);
        bytes_store_u64(to + 16, last->first_seq + last->count);
        bytes_store_u64(to + 24, first->time_ms);
        bytes_store_u64(to + 32, last->time_ms);
        bytes_store_u32(to + 40, entries_first);
        bytes_store_u32(to + 44, channel->entry_count);
        entries_first += channel->entry_count;
    }
    return page_flush(writer);
}

/* The first bytes of the record at a place. RC_CORRUPT: none is there */
static enum rc check_find(const struct index_check *checks, size_t count, uint32_t at,
                          uint32_t *ret_crc)
{
    ASSERT_HOT(checks != NULL || count == 0);
    ASSERT_HOT(ret_crc != NULL);
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (checks[middle].at < at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    ASSERT_HOT(low == high);
    if (low == count || checks[low].at != at) {
        return RC_CORRUPT;
    }
    *ret_crc = checks[low].crc;
    return RC_OK;
}

static enum rc write_channel_entries(struct page_writer *writer,
                                     const struct index_channel *channel,
                                     const struct index_check *checks, size_t check_count)
{
    ASSERT_HOT(channel->entry_count > 0);
    struct index_cursor cursor = index_channel_begin(channel);
    const struct index_entry *entry;
    for (; (entry = index_cursor_entry(&cursor)) != NULL; index_cursor_next(&cursor)) {
        uint32_t crc = 0;
        uint8_t *to;
        enum rc rc = check_find(checks, check_count, entry->at, &crc);
        if (rc == RC_OK) {
            rc = page_room(writer, ENTRY_SIZE, &to);
        }
        if (rc != RC_OK) {
            return rc;
        }
        ASSERT_HOT(entry->count > 0);
        ASSERT_HOT(entry->first_seq + entry->count <= index_channel_end_seq(channel));
        bytes_store_u64(to, entry->first_seq);
        bytes_store_u64(to + 8, entry->time_ms);
        bytes_store_u32(to + 16, entry->at);
        bytes_store_u32(to + 20, entry->count);
        bytes_store_u32(to + 24, crc);
        bytes_store_u64(to + 28, entry->digest);
    }
    return RC_OK;
}

static int compare_channels(const void *a, const void *b)
{
    const struct index_channel *const *left = a;
    const struct index_channel *const *right = b;
    ASSERT_HOT(*left != NULL);
    ASSERT_HOT(*right != NULL);
    return (*left)->id < (*right)->id ? -1 : (*left)->id > (*right)->id;
}

static enum rc write_all(struct page_writer *writer, struct index_head *head,
                         const struct segment_index *index, const struct index_check *checks,
                         size_t check_count)
{
    ASSERT(check_count == 0 || checks != NULL);
    const size_t count = index == NULL ? 0 : segment_index_channel_count(index);
    const struct index_channel **channels = mem_alloc((count + 1) * sizeof(*channels));
    if (channels == NULL) {
        return RC_NOMEM;
    }
    head->channel_count = count;
    head->entry_count = index == NULL ? 0 : segment_index_entry_count(index);
    head->last_ms = 0;
    ASSERT(head->entry_count >= head->channel_count);
    for (size_t i = 0; i < count; i++) {
        channels[i] = segment_index_channel_at(index, i);
        const uint64_t last_ms = index_channel_last(channels[i])->time_ms;
        head->last_ms = last_ms > head->last_ms ? last_ms : head->last_ms;
    }
    if (count > 0) {
        qsort(channels, count, sizeof(*channels), compare_channels);
    }

    enum rc rc = write_head(writer, head, index);
    if (rc == RC_OK) {
        rc = write_rows(writer, channels, count);
    }
    for (size_t i = 0; rc == RC_OK && i < count; i++) {
        rc = write_channel_entries(writer, channels[i], checks, check_count);
    }
    if (rc == RC_OK) {
        rc = page_flush(writer);
    }
    mem_free(channels);
    return rc;
}

enum rc index_file_write(const struct storage *storage, const char *folder, struct index_head *head,
                         const struct segment_index *index, const struct index_check *checks,
                         size_t check_count)
{
    ASSERT(head->number > 0);
    ASSERT(head->end_at >= SEGMENT_HEADER_SIZE);
    ASSERT(head->end_at <= SEGMENT_BYTES_MAX);
    const struct log_name temporary = log_name_of(folder, head->number, ".idx.tmp");
    const struct log_name name = log_name_of(folder, head->number, ".idx");
    struct page_writer writer = {.storage = storage};
    enum rc rc = files_create_anew(storage, temporary.text, &writer.file);
    if (rc != RC_OK) {
        return rc;
    }
    rc = write_all(&writer, head, index, checks, check_count);
    if (rc == RC_OK) {
        rc = files_sync(storage, writer.file);
    }
    files_close(storage, writer.file);
    if (rc == RC_OK) {
        rc = files_rename(storage, temporary.text, name.text);
    }
    return rc == RC_OK ? files_sync_dir(storage, folder) : rc;
}

/* ---- reading ------------------------------------------------------------------------------- */

static uint64_t pages_for(uint64_t count, uint64_t per_page)
{
    ASSERT_HOT(per_page > 0);
    ASSERT_HOT(count <= UINT32_MAX);
    return (count + per_page - 1) / per_page;
}

void index_pages_begin(struct index_pages *pages, const struct storage *storage,
                       struct storage_file *file)
{
    ASSERT(storage != NULL);
    ASSERT(file != NULL);
    pages->storage = storage;
    pages->file = file;
    pages->page = 0;
}

static enum rc page_read(const struct storage *storage, struct storage_file *file, uint64_t page,
                         uint8_t *bytes)
{
    ASSERT_HOT(file != NULL);
    ASSERT_HOT(bytes != NULL);
    const enum rc rc =
        files_read_exact(storage, file, bytes, INDEX_PAGE_SIZE, page * INDEX_PAGE_SIZE);
    if (rc != RC_OK) {
        return rc;
    }
    return bytes_load_u32(bytes + PAGE_CRC_AT) == page_crc(bytes, page) ? RC_OK : RC_CORRUPT;
}

static enum rc page_take(struct index_pages *pages, uint64_t page)
{
    ASSERT_HOT(pages->file != NULL);
    ASSERT(page > 0); /* page 0 is the head */
    if (pages->page == page) {
        return RC_OK;
    }
    pages->page = 0;
    const enum rc rc = page_read(pages->storage, pages->file, page, pages->bytes);
    if (rc == RC_OK) {
        pages->page = page;
    }
    ASSERT_HOT(pages->page == (rc == RC_OK ? page : 0));
    return rc;
}

static enum rc head_decode(const uint8_t *page, uint64_t number, struct index_head *ret_head)
{
    ASSERT(number > 0);
    const uint64_t magic = bytes_load_u64(page + AT_MAGIC);
    if (magic != INDEX_MAGIC || bytes_load_u32(page + AT_VERSION) != INDEX_VERSION) {
        return RC_CORRUPT;
    }
    const struct index_head head = {
        .partition = bytes_load_u32(page + AT_PARTITION),
        .incarnation = bytes_load_u64(page + AT_INCARNATION),
        .number = bytes_load_u64(page + AT_NUMBER),
        .first_pos = bytes_load_u64(page + AT_FIRST_POS),
        .end_pos = bytes_load_u64(page + AT_END_POS),
        .end_hash = bytes_load_u64(page + AT_END_HASH),
        .end_at = bytes_load_u64(page + AT_END_AT),
        .last_ms = bytes_load_u64(page + AT_LAST_MS),
        .channel_count = bytes_load_u64(page + AT_CHANNEL_COUNT),
        .entry_count = bytes_load_u64(page + AT_ENTRY_COUNT),
    };
    if (head.number != number || head.channel_count > UINT32_MAX || head.entry_count > UINT32_MAX ||
        head.channel_count > head.entry_count) {
        return RC_CORRUPT;
    }
    *ret_head = head;
    ASSERT(ret_head->number == number);
    ASSERT(ret_head->channel_count <= ret_head->entry_count);
    return RC_OK;
}

static enum rc summary_decode(const uint8_t *page, uint64_t number, uint64_t file_size,
                              struct index_summary **ret_summary)
{
    ASSERT(ret_summary != NULL);
    struct index_head head;
    const enum rc rc = head_decode(page, number, &head);
    if (rc != RC_OK) {
        return rc;
    }
    const uint64_t pages = 1 + pages_for(head.channel_count, ROWS_PER_PAGE) +
                           pages_for(head.entry_count, ENTRIES_PER_PAGE);
    const uint32_t bloom_size = bytes_load_u32(page + AT_BLOOM_SIZE);
    if (file_size != pages * INDEX_PAGE_SIZE || bloom_size != bloom_size_for(head.channel_count)) {
        return RC_CORRUPT;
    }
    struct index_summary *summary = mem_alloc(sizeof(*summary) + bloom_size);
    if (summary == NULL) {
        return RC_NOMEM;
    }
    summary->head = head;
    summary->file_size = file_size;
    summary->refs = 0;
    summary->bloom_size = bloom_size;
    bytes_copy(summary->bloom, page + AT_BLOOM, bloom_size);
    ASSERT(summary->bloom_size <= BLOOM_SIZE_MAX);
    ASSERT(AT_BLOOM + summary->bloom_size <= PAGE_CRC_AT);
    *ret_summary = summary;
    return RC_OK;
}

enum rc index_summary_open(const struct storage *storage, const char *folder, uint64_t number,
                           struct index_summary **ret_summary)
{
    ASSERT(number > 0);
    ASSERT(ret_summary != NULL);
    const struct log_name name = log_name_of(folder, number, ".idx");
    struct storage_file *file;
    enum rc rc = files_open(storage, name.text, STORAGE_READ, &file);
    if (rc != RC_OK) {
        return rc;
    }
    uint8_t page[INDEX_PAGE_SIZE];
    uint64_t size = 0;
    rc = files_size(storage, file, &size);
    if (rc == RC_OK) {
        rc = page_read(storage, file, 0, page);
    }
    files_close(storage, file);
    return rc == RC_OK ? summary_decode(page, number, size, ret_summary) : rc;
}

void index_summary_close(struct index_summary *summary)
{
    ASSERT(summary == NULL || summary->refs <= 1);
    mem_free(summary);
}

enum rc index_file_row(struct index_pages *pages, const struct index_head *head, uint64_t i,
                       struct index_row *ret_row)
{
    ASSERT_HOT(ret_row != NULL);
    ASSERT(i < head->channel_count);
    const enum rc rc = page_take(pages, 1 + i / ROWS_PER_PAGE);
    if (rc != RC_OK) {
        return rc;
    }
    const uint8_t *from = pages->bytes + i % ROWS_PER_PAGE * ROW_SIZE;
    const struct index_row row = {
        .channel_id = bytes_load_u64(from),
        .first_seq = bytes_load_u64(from + 8),
        .end_seq = bytes_load_u64(from + 16),
        .first_time_ms = bytes_load_u64(from + 24),
        .last_time_ms = bytes_load_u64(from + 32),
        .entries_first = bytes_load_u32(from + 40),
        .entry_count = bytes_load_u32(from + 44),
    };
    if (row.first_seq >= row.end_seq || row.entry_count == 0 ||
        (uint64_t)row.entries_first + row.entry_count > head->entry_count) {
        return RC_CORRUPT;
    }
    *ret_row = row;
    ASSERT_HOT(pages->page == 1 + i / ROWS_PER_PAGE);
    ASSERT_HOT(ret_row->entry_count > 0);
    return RC_OK;
}

enum rc index_file_find(struct index_pages *pages, const struct index_head *head,
                        uint64_t channel_id, struct index_row *ret_row)
{
    ASSERT_HOT(head->channel_count <= UINT32_MAX);
    uint64_t low = 0;
    uint64_t high = head->channel_count;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        struct index_row row;
        const enum rc rc = index_file_row(pages, head, middle, &row);
        if (rc != RC_OK) {
            return rc;
        }
        if (row.channel_id == channel_id) {
            *ret_row = row;
            return RC_OK;
        }
        if (row.channel_id < channel_id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    ASSERT_HOT(low == high);
    return RC_END;
}

enum rc index_file_entry(struct index_pages *pages, const struct index_head *head,
                         const struct index_row *row, uint32_t i, struct index_entry *ret_entry,
                         uint32_t *ret_crc)
{
    ASSERT_HOT((uint64_t)row->entries_first + row->entry_count <= head->entry_count);
    ASSERT_HOT(ret_entry != NULL);
    ASSERT(i < row->entry_count);
    const uint64_t number = (uint64_t)row->entries_first + i;
    const uint64_t page = 1 + pages_for(head->channel_count, ROWS_PER_PAGE);
    const enum rc rc = page_take(pages, page + number / ENTRIES_PER_PAGE);
    if (rc != RC_OK) {
        return rc;
    }
    const uint8_t *from = pages->bytes + number % ENTRIES_PER_PAGE * ENTRY_SIZE;
    const struct index_entry entry = {
        .first_seq = bytes_load_u64(from),
        .time_ms = bytes_load_u64(from + 8),
        .at = bytes_load_u32(from + 16),
        .count = bytes_load_u32(from + 20),
        .digest = bytes_load_u64(from + 28),
    };
    if (entry.count == 0 || entry.first_seq < row->first_seq ||
        entry.first_seq + entry.count > row->end_seq || entry.at < SEGMENT_HEADER_SIZE) {
        return RC_CORRUPT;
    }
    *ret_entry = entry;
    *ret_crc = bytes_load_u32(from + 24);
    ASSERT_HOT(ret_entry->count > 0);
    ASSERT_HOT(ret_entry->first_seq >= row->first_seq);
    return RC_OK;
}

uint64_t index_file_entry_at(const struct index_head *head, const struct index_row *row, uint32_t i)
{
    ASSERT((uint64_t)row->entries_first + row->entry_count <= head->entry_count);
    ASSERT(i < row->entry_count);
    const uint64_t number = (uint64_t)row->entries_first + i;
    const uint64_t page =
        1 + pages_for(head->channel_count, ROWS_PER_PAGE) + number / ENTRIES_PER_PAGE;
    return page * INDEX_PAGE_SIZE + number % ENTRIES_PER_PAGE * ENTRY_SIZE;
}

enum rc index_file_seek(struct index_pages *pages, const struct index_head *head,
                        const struct index_row *row, uint64_t seq, uint64_t time_ms,
                        uint32_t *ret_i)
{
    ASSERT_HOT(row->entry_count > 0);
    uint32_t low = 0;
    uint32_t high = row->entry_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        struct index_entry entry;
        uint32_t crc;
        const enum rc rc = index_file_entry(pages, head, row, middle, &entry, &crc);
        if (rc != RC_OK) {
            return rc;
        }
        if (entry.first_seq + entry.count > seq && entry.time_ms >= time_ms) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    ASSERT_HOT(low == high);
    ASSERT_HOT(low <= row->entry_count);
    *ret_i = low;
    return RC_OK;
}

enum rc index_file_seek_behind(struct index_pages *pages, const struct index_head *head,
                               const struct index_row *row, uint64_t seq, uint32_t *ret_i)
{
    ASSERT_HOT(row->entry_count > 0);
    uint32_t low = 0;
    uint32_t high = row->entry_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        struct index_entry entry;
        uint32_t crc;
        const enum rc rc = index_file_entry(pages, head, row, middle, &entry, &crc);
        if (rc != RC_OK) {
            return rc;
        }
        if (entry.first_seq > seq) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    ASSERT_HOT(low == high);
    ASSERT_HOT(low <= row->entry_count);
    *ret_i = low;
    return RC_OK;
}

/* ---- all of it ----------------------------------------------------------------------------- */

static enum rc check_row(struct index_pages *pages, const struct index_head *head,
                         const struct index_row *row)
{
    ASSERT_HOT(row->entry_count > 0);
    ASSERT_HOT(row->first_seq < row->end_seq);
    uint64_t end_seq = row->first_seq;
    for (uint32_t e = 0; e < row->entry_count; e++) {
        struct index_entry entry;
        uint32_t crc;
        const enum rc rc = index_file_entry(pages, head, row, e, &entry, &crc);
        if (rc != RC_OK) {
            return rc;
        }
        if (entry.first_seq < end_seq) {
            return RC_CORRUPT;
        }
        end_seq = entry.first_seq + entry.count;
    }
    return end_seq == row->end_seq ? RC_OK : RC_CORRUPT;
}

enum rc index_file_check(struct index_pages *pages, const struct index_head *head)
{
    ASSERT(pages->file != NULL);
    ASSERT(head->channel_count <= head->entry_count);
    uint64_t entries = 0;
    for (uint64_t i = 0; i < head->channel_count; i++) {
        struct index_row row;
        enum rc rc = index_file_row(pages, head, i, &row);
        if (rc == RC_OK && row.entries_first != entries) {
            rc = RC_CORRUPT;
        }
        if (rc == RC_OK) {
            entries += row.entry_count;
            ASSERT_HOT(entries <= head->entry_count);
            rc = check_row(pages, head, &row);
        }
        if (rc != RC_OK) {
            return rc;
        }
    }
    return entries == head->entry_count ? RC_OK : RC_CORRUPT;
}
