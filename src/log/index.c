#include "log/index.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/slots.h"

#include <stdalign.h>

/* Entries of one channel; each chunk of a channel is twice the one before, up to a bound. */
struct index_chunk {
    struct index_chunk *prev;
    struct index_chunk *next;
    uint32_t count;
    uint32_t capacity;
    struct index_entry entries[];
};

#define CHUNK_ENTRIES_FIRST 2u
#define CHUNK_ENTRIES_MAX   4096u

struct arena_block {
    struct arena_block *next;
    size_t used;
    size_t capacity;
    alignas(16) uint8_t bytes[];
};

#define ARENA_BLOCK_FIRST (4u * KIB)
#define ARENA_BLOCK_MAX   (256u * KIB)

static_assert(sizeof(struct index_chunk) + CHUNK_ENTRIES_MAX * sizeof(struct index_entry) <=
                  ARENA_BLOCK_MAX,
              "the largest chunk fits a block");

/* Channels stand in pages, so that nothing is moved when one more comes. */
#define PAGE_CHANNELS       64u
#define PAGE_CAPACITY_FIRST 4u

struct segment_index {
    struct arena_block *blocks;
    struct index_channel **pages;
    size_t page_count;
    size_t page_capacity;
    size_t channel_count;
    struct slots slots; /* channel's place + 1, by its number */
    uint64_t entry_count;
};

/* Each channel in the table has an entry, and stands in a page. */
static void index_check(const struct segment_index *index)
{
    ASSERT_HOT(index->page_count <= index->page_capacity);
    ASSERT_HOT(index->channel_count <= index->page_count * PAGE_CHANNELS);
    ASSERT_HOT(index->channel_count == slots_count(&index->slots));
    ASSERT_HOT(index->channel_count <= index->entry_count);
    ASSERT_HOT(index->entry_count == 0 || index->blocks != NULL);
}

static inline const struct index_entry *newest_of(const struct index_channel *channel)
{
    ASSERT_HOT(channel->entry_count > 0);
    if (channel->entry_count == 1) {
        return &channel->entries_.one;
    }
    const struct index_chunk *last = channel->entries_.many.last;
    ASSERT_HOT(last->count > 0);
    return &last->entries[last->count - 1];
}

/* A channel's seqs and times rise, and its last chunk holds the last of them. */
static void channel_check(const struct index_channel *channel)
{
    ASSERT_HOT(channel->entry_count > 0);
    ASSERT_HOT(index_channel_first(channel)->first_seq < index_channel_end_seq(channel));
    ASSERT_HOT(index_channel_first(channel)->time_ms <= newest_of(channel)->time_ms);
    if (channel->entry_count > 1) {
        ASSERT_HOT(channel->entries_.many.first->prev == NULL);
        ASSERT_HOT(channel->entries_.many.last->next == NULL);
        ASSERT_HOT(channel->entries_.many.last->count > 0);
        ASSERT_HOT(channel->entries_.many.last->count <= channel->entries_.many.last->capacity);
    }
}

enum rc segment_index_open(struct segment_index **ret_index)
{
    ASSERT(ret_index != NULL);
    struct segment_index *index = mem_calloc(1, sizeof(*index));
    if (index == NULL) {
        return RC_NOMEM;
    }
    *ret_index = index;
    return RC_OK;
}

void segment_index_close(struct segment_index *index)
{
    if (index == NULL) {
        return;
    }
    while (index->blocks != NULL) {
        struct arena_block *block = index->blocks;
        ASSERT(block->used <= block->capacity);
        index->blocks = block->next;
        mem_free(block);
    }
    mem_free(index->pages);
    slots_deinit(&index->slots);
    mem_free(index);
}

static void *arena_take(struct segment_index *index, size_t size)
{
    ASSERT_HOT(size > 0);
    ASSERT_HOT(size <= ARENA_BLOCK_MAX);
    size = (size + 15) & ~(size_t)15;
    struct arena_block *block = index->blocks;
    if (block == NULL || block->capacity - block->used < size) {
        size_t capacity = block == NULL ? ARENA_BLOCK_FIRST : block->capacity * 2;
        capacity = capacity > ARENA_BLOCK_MAX ? ARENA_BLOCK_MAX : capacity;
        capacity = capacity < size ? size : capacity;
        block = mem_alloc(sizeof(*block) + capacity);
        if (block == NULL) {
            return NULL;
        }
        block->used = 0;
        block->capacity = capacity;
        block->next = index->blocks;
        index->blocks = block;
    }
    ASSERT_HOT(block->capacity - block->used >= size);
    ASSERT_HOT(block->used % 16 == 0);
    void *taken = block->bytes + block->used;
    block->used += size;
    return taken;
}

/* Channel ids are small and dense; spread them. */
static uint32_t id_hash(uint32_t id)
{
    ASSERT_HOT(id != 0);
    return (uint32_t)((id * 0x9E3779B97F4A7C15u) >> 32);
}

static struct index_channel *channel_at(const struct segment_index *index, size_t i)
{
    ASSERT_HOT(i < index->page_count * PAGE_CHANNELS);
    ASSERT_HOT(index->pages[i / PAGE_CHANNELS] != NULL);
    return &index->pages[i / PAGE_CHANNELS][i % PAGE_CHANNELS];
}

static bool id_match(const void *ctx, uint32_t number, const void *key)
{
    const struct segment_index *index = ctx;
    ASSERT_HOT(number >= 1);
    ASSERT_HOT(number <= index->channel_count);
    return channel_at(index, number - 1)->id == *(const uint32_t *)key;
}

static struct index_channel *channel_find(const struct segment_index *index, uint32_t id)
{
    ASSERT_HOT(index->channel_count == slots_count(&index->slots));
    ASSERT_HOT(id != 0);
    const uint32_t number = slots_find(&index->slots, id_hash(id), id_match, index, &id);
    return number == 0 ? NULL : channel_at(index, number - 1);
}

const struct index_channel *segment_index_find(const struct segment_index *index,
                                               uint64_t channel_id)
{
    index_check(index);
    ASSERT_HOT(channel_id != 0);
    return channel_id > UINT32_MAX ? NULL : channel_find(index, (uint32_t)channel_id);
}

/* Makes room for one more channel. RC_NOMEM */
static enum rc pages_grow(struct segment_index *index)
{
    ASSERT_HOT(index->page_count <= index->page_capacity);
    if (index->channel_count < index->page_count * PAGE_CHANNELS) {
        return RC_OK;
    }
    if (index->page_count == index->page_capacity) {
        const size_t capacity =
            index->page_capacity == 0 ? PAGE_CAPACITY_FIRST : index->page_capacity * 2;
        struct index_channel **pages =
            mem_realloc(index->pages, capacity * sizeof(struct index_channel *));
        if (pages == NULL) {
            return RC_NOMEM;
        }
        index->pages = pages;
        index->page_capacity = capacity;
    }
    struct index_channel *page = arena_take(index, PAGE_CHANNELS * sizeof(*page));
    if (page == NULL) {
        return RC_NOMEM;
    }
    index->pages[index->page_count++] = page;
    ASSERT_HOT(index->channel_count < index->page_count * PAGE_CHANNELS);
    return RC_OK;
}

/* A channel's first entry. RC_NOMEM: unchanged */
static enum rc channel_add(struct segment_index *index, uint32_t id,
                           const struct index_entry *entry)
{
    ASSERT_HOT(channel_find(index, id) == NULL);
    ASSERT(index->channel_count < SLOTS_NUMBER_MAX);
    enum rc rc = pages_grow(index);
    if (rc == RC_OK) {
        rc = slots_insert(&index->slots, id_hash(id), (uint32_t)index->channel_count + 1);
    }
    if (rc == RC_OK) {
        struct index_channel *channel = channel_at(index, index->channel_count++);
        *channel = (struct index_channel){.id = id, .entry_count = 1, .entries_ = {.one = *entry}};
        channel_check(channel);
    }
    return rc;
}

static struct index_chunk *chunk_make(struct segment_index *index, uint32_t capacity,
                                      struct index_chunk *prev)
{
    ASSERT_HOT(capacity >= CHUNK_ENTRIES_FIRST);
    ASSERT_HOT(capacity <= CHUNK_ENTRIES_MAX);
    struct index_chunk *chunk =
        arena_take(index, sizeof(*chunk) + capacity * sizeof(struct index_entry));
    if (chunk != NULL) {
        *chunk = (struct index_chunk){.prev = prev, .capacity = capacity};
    }
    return chunk;
}

/* Room for one more entry of a channel that has some: its last chunk, or a new one. NULL: out of
 * memory, unchanged. */
static struct index_chunk *chunk_with_room(struct segment_index *index,
                                           struct index_channel *channel)
{
    ASSERT_HOT(channel->entry_count >= 1);
    if (channel->entry_count == 1) {
        struct index_chunk *chunk = chunk_make(index, CHUNK_ENTRIES_FIRST, NULL);
        if (chunk != NULL) {
            chunk->entries[chunk->count++] = channel->entries_.one;
            channel->entries_.many.first = chunk;
            channel->entries_.many.last = chunk;
        }
        return chunk;
    }
    struct index_chunk *last = channel->entries_.many.last;
    ASSERT_HOT(last->next == NULL);
    if (last->count < last->capacity) {
        return last;
    }
    const uint32_t capacity = last->capacity * 2;
    struct index_chunk *chunk =
        chunk_make(index, capacity > CHUNK_ENTRIES_MAX ? CHUNK_ENTRIES_MAX : capacity, last);
    if (chunk != NULL) {
        last->next = chunk;
        channel->entries_.many.last = chunk;
    }
    return chunk;
}

enum rc segment_index_add(struct segment_index *index, uint64_t channel_id,
                          const struct index_entry *entry)
{
    ASSERT_HOT(entry->at % 8 == 0);
    ASSERT_HOT(entry->count > 0);
    ASSERT(channel_id != 0 && channel_id <= UINT32_MAX);
    struct index_channel *channel = channel_find(index, (uint32_t)channel_id);
    if (channel == NULL) {
        const enum rc rc = channel_add(index, (uint32_t)channel_id, entry);
        index->entry_count += rc == RC_OK;
        index_check(index);
        return rc;
    }
    const struct index_entry *last = newest_of(channel);
    ASSERT(entry->first_seq >= last->first_seq + last->count);
    ASSERT_HOT(entry->time_ms >= last->time_ms);
    struct index_chunk *chunk = chunk_with_room(index, channel);
    if (chunk == NULL) {
        return RC_NOMEM;
    }
    ASSERT_HOT(chunk->count < chunk->capacity);
    ASSERT_HOT(chunk->count == 0 || chunk->entries[chunk->count - 1].at <= entry->at);
    chunk->entries[chunk->count++] = *entry;
    channel->entry_count++;
    index->entry_count++;
    channel_check(channel);
    index_check(index);
    return RC_OK;
}

size_t segment_index_channel_count(const struct segment_index *index)
{
    index_check(index);
    return index->channel_count;
}

uint64_t segment_index_entry_count(const struct segment_index *index)
{
    ASSERT_HOT(index->entry_count >= index->channel_count);
    return index->entry_count;
}

const struct index_channel *segment_index_channel_at(const struct segment_index *index, size_t i)
{
    ASSERT(i < index->channel_count);
    ASSERT_HOT(channel_at(index, i)->entry_count > 0);
    return channel_at(index, i);
}

const struct index_entry *index_channel_first(const struct index_channel *channel)
{
    ASSERT_HOT(channel->entry_count > 0);
    ASSERT_HOT(channel->entry_count == 1 || channel->entries_.many.first->count > 0);
    return channel->entry_count == 1 ? &channel->entries_.one
                                     : &channel->entries_.many.first->entries[0];
}

const struct index_entry *index_channel_last(const struct index_channel *channel)
{
    channel_check(channel);
    return newest_of(channel);
}

uint64_t index_channel_first_seq(const struct index_channel *channel)
{
    ASSERT_HOT(channel->entry_count > 0);
    return index_channel_first(channel)->first_seq;
}

uint64_t index_channel_end_seq(const struct index_channel *channel)
{
    const struct index_entry *last = newest_of(channel);
    ASSERT_HOT(last->count > 0);
    return last->first_seq + last->count;
}

struct index_cursor index_channel_begin(const struct index_channel *channel)
{
    channel_check(channel);
    return channel->entry_count == 1 ? (struct index_cursor){.one = &channel->entries_.one}
                                     : (struct index_cursor){.chunk = channel->entries_.many.first};
}

static bool entry_reaches(const struct index_entry *entry, uint64_t seq, uint64_t time_ms)
{
    ASSERT_HOT(entry->count > 0);
    return entry->first_seq + entry->count > seq && entry->time_ms >= time_ms;
}

struct index_cursor index_channel_seek(const struct index_channel *channel, uint64_t seq,
                                       uint64_t time_ms)
{
    channel_check(channel);
    if (!entry_reaches(index_channel_last(channel), seq, time_ms)) {
        return (struct index_cursor){0};
    }
    if (channel->entry_count == 1) {
        return index_channel_begin(channel);
    }
    /* From the back: who asks mostly wants something recent. */
    const struct index_chunk *chunk = channel->entries_.many.last;
    while (chunk->prev != NULL &&
           entry_reaches(&chunk->prev->entries[chunk->prev->count - 1], seq, time_ms)) {
        chunk = chunk->prev;
    }
    struct index_cursor cursor = {.chunk = chunk};
    uint32_t low = 0;
    uint32_t high = chunk->count - 1; /* the last one does reach */
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (entry_reaches(&chunk->entries[middle], seq, time_ms)) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    cursor.i = low;
    ASSERT_HOT(low < chunk->count);
    ASSERT_HOT(entry_reaches(&chunk->entries[low], seq, time_ms));
    return cursor;
}

struct index_cursor index_channel_seek_back(const struct index_channel *channel, uint64_t seq)
{
    channel_check(channel);
    if (channel->entry_count == 1) {
        return channel->entries_.one.first_seq > seq ? (struct index_cursor){0}
                                                     : index_channel_begin(channel);
    }
    const struct index_chunk *chunk = channel->entries_.many.last;
    while (chunk != NULL && chunk->entries[0].first_seq > seq) {
        chunk = chunk->prev;
    }
    struct index_cursor cursor = {.chunk = chunk};
    if (chunk == NULL) {
        return cursor;
    }
    uint32_t low = 0; /* begins at or below seq */
    uint32_t high = chunk->count;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (chunk->entries[middle].first_seq <= seq) {
            low = middle;
        } else {
            high = middle;
        }
    }
    cursor.i = low;
    ASSERT_HOT(low < chunk->count);
    ASSERT_HOT(chunk->entries[low].first_seq <= seq);
    return cursor;
}

const struct index_entry *index_cursor_entry(const struct index_cursor *cursor)
{
    ASSERT_HOT(cursor->chunk == NULL || cursor->i < cursor->chunk->count);
    ASSERT_HOT(cursor->chunk == NULL || cursor->one == NULL);
    return cursor->chunk == NULL ? cursor->one : &cursor->chunk->entries[cursor->i];
}

void index_cursor_next(struct index_cursor *cursor)
{
    ASSERT(index_cursor_entry(cursor) != NULL);
    cursor->one = NULL;
    if (cursor->chunk == NULL) {
        return;
    }
    cursor->i++;
    ASSERT_HOT(cursor->i <= cursor->chunk->count);
    if (cursor->i == cursor->chunk->count) {
        cursor->chunk = cursor->chunk->next;
        cursor->i = 0;
    }
}

void index_cursor_prev(struct index_cursor *cursor)
{
    ASSERT(index_cursor_entry(cursor) != NULL);
    cursor->one = NULL;
    if (cursor->chunk == NULL) {
        return;
    }
    if (cursor->i > 0) {
        cursor->i--;
        return;
    }
    cursor->chunk = cursor->chunk->prev;
    ASSERT_HOT(cursor->chunk == NULL || cursor->chunk->count > 0);
    cursor->i = cursor->chunk == NULL ? 0 : cursor->chunk->count - 1;
}
