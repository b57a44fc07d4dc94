#include "session/feed.h"

#include "base/mark.h"
#include "base/mem.h"
#include "session/session.h"
#include "session/subscription.h"

#define CHUNKS_CAPACITY_FIRST 4u

static struct bytes feed_key(const void *value)
{
    const struct feed *feed = value;
    ASSERT_HOT(feed->name.size > 0);
    return feed->name;
}

void feed_table_init(struct feed_table *table, const struct session_ops *ops, void *ctx,
                     size_t feed_bytes_max, size_t table_bytes_max, uint64_t hash_seed)
{
    ASSERT(ops != NULL);
    ASSERT(feed_bytes_max > 0);
    ASSERT(table_bytes_max > 0);
    *table = (struct feed_table){
        .next_id_ = 1,
        .feed_bytes_max_ = feed_bytes_max,
        .table_bytes_max_ = table_bytes_max,
        .ops_ = ops,
        .ctx_ = ctx,
    };
    for (unsigned codec = 0; codec < WIRE_CODEC_COUNT; codec++) {
        map_init(&table->by_name_[codec], hash_seed, feed_key);
    }
    list_init(&table->dirty_);
    list_init(&table->kept_);
}

void feed_table_deinit(struct feed_table *table)
{
    ASSERT(list_empty(&table->dirty_) && list_empty(&table->kept_));
    ASSERT(table->bytes_ == 0);
    for (unsigned codec = 0; codec < WIRE_CODEC_COUNT; codec++) {
        ASSERT(map_count(&table->by_name_[codec]) == 0);
        map_deinit(&table->by_name_[codec]);
    }
}

uint64_t feed_table_next_id(struct feed_table *table)
{
    ASSERT(table->next_id_ > 0);
    return table->next_id_++;
}

struct feed *feed_find(const struct feed_table *table, enum wire_codec codec, struct bytes name)
{
    ASSERT_HOT(codec < WIRE_CODEC_COUNT);
    ASSERT_HOT(name.size > 0);
    return map_find(&table->by_name_[codec], name);
}

enum rc feed_open(struct feed_table *table, enum wire_codec codec, struct bytes name,
                  struct feed **ret_feed)
{
    ASSERT(name.size > 0 && name.size <= CHANNEL_NAME_BYTES_MAX);
    struct feed *feed = feed_find(table, codec, name);
    if (feed != NULL) {
        *ret_feed = feed;
        return RC_OK;
    }
    feed = mem_calloc(1, sizeof(*feed) + name.size);
    if (feed == NULL) {
        return RC_NOMEM;
    }
    uint8_t *copy = (uint8_t *)(feed + 1);
    bytes_copy(copy, name.data, name.size);
    feed->name = bytes_of(copy, name.size);
    feed->codec = codec;
    feed->id = feed_table_next_id(table);
    list_init(&feed->subs);
    list_init(&feed->dirty_link_);
    list_init(&feed->kept_link_);
    if (map_insert(&table->by_name_[codec], feed) != RC_OK) {
        mem_free(feed);
        return RC_NOMEM;
    }
    *ret_feed = feed;
    return RC_OK;
}

static size_t chunk_size(const struct chunk *chunk)
{
    ASSERT_HOT(chunk->ends != NULL);
    ASSERT_HOT(chunk->count > 0);
    const size_t deflated =
        chunk->deflated == NULL ? 0 : chunk->deflated->ends[chunk->deflated->count - 1];
    return chunk->ends[chunk->count - 1] + deflated;
}

static struct chunk *chunk_nth(const struct feed *feed, uint32_t nth)
{
    ASSERT_HOT((feed->chunk_capacity_ & (feed->chunk_capacity_ - 1)) == 0);
    ASSERT_HOT(feed->chunk_count_ <= feed->chunk_capacity_);
    ASSERT_HOT(nth < feed->chunk_count_);
    return feed->chunks_[(feed->chunk_head_ + nth) & (feed->chunk_capacity_ - 1)];
}

static void drop_oldest(struct feed_table *table, struct feed *feed)
{
    ASSERT_HOT(feed->chunk_count_ > 0);
    ASSERT_HOT(feed->bytes_ <= table->bytes_);
    struct chunk *chunk = chunk_nth(feed, 0);
    feed->chunk_head_++;
    feed->chunk_count_--;
    feed->bytes_ -= chunk_size(chunk);
    table->bytes_ -= chunk_size(chunk);
    ASSERT_HOT((feed->chunk_count_ == 0) == (feed->bytes_ == 0));
    if (feed->chunk_count_ == 0) {
        list_remove(&feed->kept_link_);
    }
    table->ops_->chunk_unref(table->ctx_, chunk);
}

void feed_close_if_unused(struct feed_table *table, struct feed *feed)
{
    ASSERT(list_empty(&feed->subs) == (feed->sub_count == 0));
    if (!list_empty(&feed->subs)) {
        return;
    }
    while (feed->chunk_count_ > 0) {
        drop_oldest(table, feed);
    }
    ASSERT(feed->bytes_ == 0);
    list_remove(&feed->dirty_link_);
    (void)map_remove(&table->by_name_[feed->codec], feed->name);
    table->ops_->detach(table->ctx_, feed);
    mem_free(feed->chunks_);
    mem_free(feed);
}

static bool chunks_grow(struct feed *feed)
{
    ASSERT_HOT(feed->chunk_count_ <= feed->chunk_capacity_);
    if (feed->chunk_count_ < feed->chunk_capacity_) {
        return true;
    }
    const uint32_t capacity =
        feed->chunk_capacity_ == 0 ? CHUNKS_CAPACITY_FIRST : feed->chunk_capacity_ * 2;
    struct chunk **chunks = mem_calloc(capacity, sizeof(struct chunk *));
    if (chunks == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < feed->chunk_count_; i++) {
        chunks[i] = chunk_nth(feed, i);
    }
    mem_free(feed->chunks_);
    feed->chunks_ = chunks;
    feed->chunk_capacity_ = capacity;
    feed->chunk_head_ = 0;
    ASSERT((capacity & (capacity - 1)) == 0);
    ASSERT(feed->chunk_count_ < capacity);
    return true;
}

/* Makes room for a chunk of that size: the oldest go, and whoever still needed them reads the log.
 * [I11] Also those of other feeds, where followers of many channels stall. */
static void make_room(struct feed_table *table, struct feed *feed, size_t size)
{
    ASSERT_HOT(size > 0);
    ASSERT_HOT(feed->bytes_ <= table->bytes_);
    while (feed->chunk_count_ > 0 && feed->bytes_ + size > table->feed_bytes_max_) {
        MARK("feed: its bound drops the oldest chunk");
        drop_oldest(table, feed);
    }
    while (!list_empty(&table->kept_) && table->bytes_ + size > table->table_bytes_max_) {
        MARK("feed: the bound of all feeds drops a chunk");
        drop_oldest(table, CONTAINER_OF(table->kept_.next, struct feed, kept_link_));
    }
}

void feed_on_chunk(struct feed_table *table, struct feed *feed, struct chunk *chunk)
{
    ASSERT_HOT(feed->attached || feed->chunk_count_ == 0);
    if (!feed->attached) {
        MARK("feed: a tail comes before its answer");
        table->ops_->chunk_unref(table->ctx_, chunk);
        return;
    }
    ASSERT(chunk->count > 0);
    ASSERT(chunk->steps == NULL);
    ASSERT(chunk->first_seq == feed->next_seq); /* I1: the tail has no hole */
    feed->next_seq = chunk_end_seq(chunk);
    feed->at_end = 0;
    const bool told = chunk->ends != NULL;
    if (told) {
        make_room(table, feed, chunk_size(chunk));
    }
    if (told && chunks_grow(feed)) {
        feed->chunks_[(feed->chunk_head_ + feed->chunk_count_) & (feed->chunk_capacity_ - 1)] =
            chunk;
        feed->chunk_count_++;
        feed->bytes_ += chunk_size(chunk);
        table->bytes_ += chunk_size(chunk);
        list_remove(&feed->kept_link_);
        list_push_back(&table->kept_, &feed->kept_link_);
    } else {
        /* Told by number only, or out of memory: the feed forgets everything, its followers read
         * the log. */
        MARK_IF(!told, "feed: a tail is told by number only");
        while (feed->chunk_count_ > 0) {
            drop_oldest(table, feed);
        }
        table->ops_->chunk_unref(table->ctx_, chunk);
    }
    ASSERT_HOT((feed->chunk_count_ == 0) == (feed->bytes_ == 0));
    ASSERT_HOT(feed->bytes_ <= table->bytes_);
    feed_touch(table, feed);
    for (struct list *at = feed->subs.next; at != &feed->subs; at = at->next) {
        subscription_on_tail(CONTAINER_OF(at, struct subscription, feed_link));
    }
}

struct chunk *feed_chunk_of(const struct feed *feed, uint64_t seq)
{
    ASSERT_HOT(feed->attached || feed->chunk_count_ == 0);
    /* Followers stand near the end, so the search begins there. */
    for (uint32_t i = feed->chunk_count_; i > 0; i--) {
        struct chunk *chunk = chunk_nth(feed, i - 1);
        if (seq >= chunk->first_seq) {
            return seq < chunk_end_seq(chunk) ? chunk : NULL;
        }
    }
    return NULL;
}

void feed_touch(struct feed_table *table, struct feed *feed)
{
    ASSERT_HOT(table->next_id_ > feed->id);
    ASSERT_HOT(feed->name.size > 0);
    if (list_empty(&feed->dirty_link_)) {
        list_push_back(&table->dirty_, &feed->dirty_link_);
    }
}

/* From where on a subscription wants the feed. A read gives what stood there when it was asked for,
 * or less: what comes in meanwhile is kept for the hand-over, or under a tail that never pauses a
 * reader would never reach it. */
static uint64_t wanted_from(const struct subscription *sub)
{
    ASSERT_HOT(sub->feed->attached || sub->state == SUB_ATTACHING);
    ASSERT_HOT(sub->state < SUB_STATE_COUNT);
    switch ((enum subscription_state)sub->state) {
    case SUB_FOLLOWING: return sub->cursor;
    case SUB_READING:
    case SUB_CATCHING_UP: return sub->tail_seq;
    case SUB_ATTACHING:
    case SUB_BEHIND: return sub->feed->next_seq;
    case SUB_STATE_COUNT: break;
    }
    UNREACHABLE();
}

static uint64_t wanted_min(const struct feed *feed)
{
    ASSERT_HOT(list_empty(&feed->subs) == (feed->sub_count == 0));
    uint64_t min = feed->next_seq;
    for (struct list *at = feed->subs.next; at != &feed->subs; at = at->next) {
        const uint64_t from = wanted_from(CONTAINER_OF(at, struct subscription, feed_link));
        min = from < min ? from : min;
    }
    ASSERT_HOT(min <= feed->next_seq);
    return min;
}

void feed_table_trim(struct feed_table *table)
{
    struct list *node;
    while ((node = list_pop_front(&table->dirty_)) != NULL) {
        struct feed *feed = CONTAINER_OF(node, struct feed, dirty_link_);
        const uint64_t min = wanted_min(feed);
        ASSERT_HOT(feed->attached || feed->chunk_count_ == 0);
        while (feed->chunk_count_ > 0 && chunk_end_seq(chunk_nth(feed, 0)) <= min) {
            MARK("feed: what all have is dropped");
            drop_oldest(table, feed);
        }
    }
}
