#include "log/index.h"

#include "base/limits.h"
#include "base/mem.h"

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

struct segment_index {
    struct arena_block *blocks;
    struct index_channel *channels;
    size_t channel_count;
    size_t channel_capacity;
    uint32_t *slots; /* channel's place in `channels` + 1; 0: free */
    size_t slot_count;
    uint64_t entry_count;
};

/* The table is at most half full, and each channel in it has an entry. */
static void index_check(const struct segment_index *index)
{
    ASSERT_HOT(index->channel_count <= index->channel_capacity);
    ASSERT_HOT((index->slot_count & (index->slot_count - 1)) == 0);
    ASSERT_HOT(index->channel_count * 2 <= index->slot_count);
    ASSERT_HOT(index->channel_count <= index->entry_count);
    ASSERT_HOT(index->entry_count == 0 || index->blocks != NULL);
}

/* A channel's seqs and times rise, and its last chunk holds the last of them. */
static void channel_check(const struct index_channel *channel)
{
    ASSERT_HOT(channel->entry_count > 0);
    ASSERT_HOT(channel->first_seq < channel->end_seq);
    ASSERT_HOT(channel->first_time_ms <= channel->last_time_ms);
    ASSERT_HOT(channel->first_ != NULL);
    ASSERT_HOT(channel->first_->prev == NULL);
    ASSERT_HOT(channel->last_->next == NULL);
    ASSERT_HOT(channel->last_->count > 0);
    ASSERT_HOT(channel->last_->count <= channel->last_->capacity);
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
    mem_free(index->channels);
    mem_free(index->slots);
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
static size_t slot_of(const struct segment_index *index, uint64_t id)
{
    ASSERT_HOT(index->slot_count > 0);
    uint64_t z = id * 0x9E3779B97F4A7C15u;
    z ^= z >> 32;
    return (size_t)z & (index->slot_count - 1);
}

static uint32_t *slot_find(const struct segment_index *index, uint64_t id)
{
    ASSERT_HOT(index->channel_count * 2 <= index->slot_count);
    for (size_t i = slot_of(index, id);; i = (i + 1) & (index->slot_count - 1)) {
        uint32_t *slot = &index->slots[i];
        ASSERT_HOT(*slot <= index->channel_count);
        if (*slot == 0 || index->channels[*slot - 1].id == id) {
            return slot;
        }
    }
}

const struct index_channel *segment_index_find(const struct segment_index *index,
                                               uint64_t channel_id)
{
    index_check(index);
    if (index->channel_count == 0) {
        return NULL;
    }
    const uint32_t *slot = slot_find(index, channel_id);
    return *slot == 0 ? NULL : &index->channels[*slot - 1];
}

/* Makes room for one more channel, in the table (at most half full) and in the array. */
static enum rc channels_grow(struct segment_index *index)
{
    if (index->channel_count == index->channel_capacity) {
        const size_t capacity = index->channel_capacity == 0 ? 8 : index->channel_capacity * 2;
        struct index_channel *channels = mem_realloc(index->channels, capacity * sizeof(*channels));
        if (channels == NULL) {
            return RC_NOMEM;
        }
        index->channels = channels;
        index->channel_capacity = capacity;
    }
    if ((index->channel_count + 1) * 2 > index->slot_count) {
        const size_t count = index->slot_count == 0 ? 16 : index->slot_count * 2;
        uint32_t *slots = mem_calloc(count, sizeof(*slots));
        if (slots == NULL) {
            return RC_NOMEM;
        }
        mem_free(index->slots);
        index->slots = slots;
        index->slot_count = count;
        for (size_t i = 0; i < index->channel_count; i++) {
            *slot_find(index, index->channels[i].id) = (uint32_t)(i + 1);
        }
    }
    ASSERT_HOT(index->channel_count < index->channel_capacity);
    ASSERT_HOT((index->channel_count + 1) * 2 <= index->slot_count);
    return RC_OK;
}

/* Room for one more entry of the channel: its last chunk, or a new one. */
static struct index_chunk *chunk_with_room(struct segment_index *index,
                                           const struct index_channel *channel)
{
    struct index_chunk *last = channel == NULL ? NULL : channel->last_;
    ASSERT_HOT(last == NULL || last->next == NULL);
    if (last != NULL && last->count < last->capacity) {
        return last;
    }
    uint32_t capacity = last == NULL ? CHUNK_ENTRIES_FIRST : last->capacity * 2;
    capacity = capacity > CHUNK_ENTRIES_MAX ? CHUNK_ENTRIES_MAX : capacity;
    ASSERT_HOT(capacity >= CHUNK_ENTRIES_FIRST);
    struct index_chunk *chunk =
        arena_take(index, sizeof(*chunk) + capacity * sizeof(struct index_entry));
    if (chunk != NULL) {
        *chunk = (struct index_chunk){.prev = last, .capacity = capacity};
    }
    return chunk;
}

enum rc segment_index_add(struct segment_index *index, uint64_t channel_id,
                          const struct index_entry *entry)
{
    ASSERT_HOT(entry->at % 8 == 0);
    ASSERT_HOT(entry->count > 0);
    enum rc rc = channels_grow(index);
    if (rc != RC_OK) {
        return rc;
    }
    uint32_t *slot = slot_find(index, channel_id);
    struct index_channel *channel = *slot == 0 ? NULL : &index->channels[*slot - 1];
    struct index_chunk *chunk = chunk_with_room(index, channel);
    if (chunk == NULL) {
        return RC_NOMEM;
    }
    if (channel == NULL) {
        channel = &index->channels[index->channel_count++];
        *slot = (uint32_t)index->channel_count;
        *channel = (struct index_channel){
            .id = channel_id,
            .first_seq = entry->first_seq,
            .first_time_ms = entry->time_ms,
            .first_ = chunk,
        };
    }
    ASSERT(entry->first_seq >= channel->end_seq);
    ASSERT_HOT(entry->time_ms >= channel->last_time_ms);
    if (chunk != channel->last_) {
        if (channel->last_ != NULL) {
            channel->last_->next = chunk;
        }
        channel->last_ = chunk;
    }
    ASSERT_HOT(chunk->count < chunk->capacity);
    ASSERT_HOT(chunk->count == 0 || chunk->entries[chunk->count - 1].at <= entry->at);
    chunk->entries[chunk->count++] = *entry;
    channel->end_seq = entry->first_seq + entry->count;
    channel->last_time_ms = entry->time_ms;
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
    ASSERT_HOT(index->channels[i].entry_count > 0);
    ASSERT(i < index->channel_count);
    return &index->channels[i];
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
    /* From the back: who asks mostly wants something recent. */
    const struct index_chunk *chunk = channel->last_;
    if (!entry_reaches(&chunk->entries[chunk->count - 1], seq, time_ms)) {
        return (struct index_cursor){0};
    }
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
    const struct index_chunk *chunk = channel->last_;
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
    return cursor->chunk == NULL ? NULL : &cursor->chunk->entries[cursor->i];
}

void index_cursor_next(struct index_cursor *cursor)
{
    ASSERT_HOT(cursor->i < cursor->chunk->count);
    ASSERT(cursor->chunk != NULL);
    cursor->i++;
    if (cursor->i == cursor->chunk->count) {
        cursor->chunk = cursor->chunk->next;
        cursor->i = 0;
    }
}

void index_cursor_prev(struct index_cursor *cursor)
{
    ASSERT_HOT(cursor->i < cursor->chunk->count);
    ASSERT(cursor->chunk != NULL);
    if (cursor->i > 0) {
        cursor->i--;
        return;
    }
    cursor->chunk = cursor->chunk->prev;
    ASSERT_HOT(cursor->chunk == NULL || cursor->chunk->count > 0);
    cursor->i = cursor->chunk == NULL ? 0 : cursor->chunk->count - 1;
}
