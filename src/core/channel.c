#include "core/channel.h"

#include "base/digest.h"
#include "base/mark.h"
#include "base/mem.h"
#include "base/tune.h"
#include "core/epoch.h"

#define TABLE_CAPACITY_FIRST 16u
#define EPOCH_CAPACITY_FIRST 2u

/* One block per channel. */
struct channel_block {
    struct channel channel;
    struct channel_private private;
    uint8_t name[];
};

static struct bytes channel_key(const void *value)
{
    const struct channel *channel = value;
    ASSERT_HOT(channel->name.size >= 1 && channel->name.size <= CHANNEL_NAME_BYTES_MAX);
    return channel->name;
}

void table_init(struct channel_table *table, uint64_t hash_seed)
{
    ASSERT(table != NULL);
    *table = (struct channel_table){.hash_seed = hash_seed};
    map_init(&table->names, hash_seed, channel_key);
    ASSERT(map_count(&table->names) == 0);
}

static void channel_free(struct channel *channel)
{
    ASSERT(channel->id == 0 || channel->epoch != 0);
    struct channel_private *private = channel->private_;
    size_t at = 0;
    for (;;) {
        struct producer *producer = map_next(&private->producers, &at);
        if (producer == NULL) {
            break;
        }
        producer_close(producer);
    }
    map_deinit(&private->producers);
    mem_free(private->epochs);
    mem_free(CONTAINER_OF(channel, struct channel_block, channel));
}

void table_deinit(struct channel_table *table)
{
    ASSERT(table->count <= map_count(&table->names));
    ASSERT(table->count <= table->capacity);
    size_t at = 0;
    for (;;) {
        struct channel *channel = map_next(&table->names, &at);
        if (channel == NULL) {
            break;
        }
        channel_free(channel);
    }
    map_deinit(&table->names);
    mem_free(table->by_id);
    *table = (struct channel_table){0};
}

struct channel *table_find(const struct channel_table *table, struct bytes name)
{
    ASSERT_HOT(table->count <= map_count(&table->names));
    ASSERT_HOT(name.size >= 1);
    return map_find(&table->names, name);
}

struct channel *table_by_id(const struct channel_table *table, uint64_t id)
{
    ASSERT_HOT(table->count <= table->capacity);
    ASSERT_HOT(id == 0 || id > table->count || table->by_id[id - 1]->id == id);
    return id >= 1 && id <= table->count ? table->by_id[id - 1] : NULL;
}

enum rc table_add(struct channel_table *table, struct bytes name, struct channel **ret_channel)
{
    ASSERT(table_find(table, name) == NULL);
    ASSERT(name.size >= 1 && name.size <= CHANNEL_NAME_BYTES_MAX);
    struct channel_block *block = mem_calloc(1, sizeof(*block) + name.size);
    if (block == NULL) {
        return RC_NOMEM;
    }
    bytes_copy(block->name, name.data, name.size);
    block->channel.name = bytes_of(block->name, name.size);
    block->channel.private_ = &block->private;
    block->channel.earliest = 1;
    block->channel.digest = digest_start(name);
    map_init(&block->private.producers, table->hash_seed, producer_key);
    list_init(&block->private.idle);
    const enum rc rc = map_insert(&table->names, &block->channel);
    if (rc != RC_OK) {
        mem_free(block);
        return rc;
    }
    *ret_channel = &block->channel;
    return RC_OK;
}

enum rc table_reserve(struct channel_table *table)
{
    ASSERT(table->count <= table->capacity);
    ASSERT((table->capacity & (table->capacity - 1)) == 0);
    if (table->count < table->capacity) {
        return RC_OK;
    }
    const size_t capacity = table->capacity == 0 ? TABLE_CAPACITY_FIRST : table->capacity * 2;
    struct channel **by_id = mem_realloc(table->by_id, capacity * sizeof(struct channel *));
    if (by_id == NULL) {
        return RC_NOMEM;
    }
    table->by_id = by_id;
    table->capacity = capacity;
    ASSERT(table->count < table->capacity);
    return RC_OK;
}

void table_number(struct channel_table *table, struct channel *channel, uint64_t epoch)
{
    ASSERT(channel->latest == 0);
    ASSERT(table_find(table, channel->name) == channel);
    ASSERT(channel->id == 0 && epoch != 0);
    ASSERT(table->count < table->capacity);
    table->by_id[table->count++] = channel;
    channel->id = table->count;
    channel->epoch = epoch;
}

void table_drop(struct channel_table *table, struct channel *channel)
{
    ASSERT(channel->latest == 0);
    ASSERT(channel->private_->pending == 0);
    ASSERT(map_count(&channel->private_->producers) == 0);
    ASSERT(channel->id == 0);
    const void *removed = map_remove(&table->names, channel->name);
    ASSERT(removed == channel);
    channel_free(channel);
}

enum rc channel_epoch_reserve(struct channel *channel)
{
    ASSERT(channel->private_->epoch_count <= channel->private_->epoch_capacity);
    ASSERT(channel->private_->epoch_capacity <= CHANNEL_EPOCHS_MAX);
    struct channel_private *private = channel->private_;
    if (private->epoch_count < private->epoch_capacity ||
        private->epoch_capacity == tune.channel_epochs) {
        return RC_OK; /* when there are as many as may be, the oldest makes room */
    }
    const uint32_t capacity =
        private->epoch_capacity == 0 ? EPOCH_CAPACITY_FIRST : private->epoch_capacity * 2;
    struct channel_epoch *epochs = mem_realloc(private->epochs, capacity * sizeof(*epochs));
    if (epochs == NULL) {
        return RC_NOMEM;
    }
    private->epochs = epochs;
    private->epoch_capacity = capacity;
    ASSERT(private->epoch_count < capacity);
    return RC_OK;
}

static bool epoch_is_used(const struct channel *channel, uint64_t epoch)
{
    ASSERT(epoch != 0);
    ASSERT(channel->epoch != 0);
    return epoch == channel->epoch || channel_epoch_good_end(channel, epoch) != 0;
}

void channel_epoch_change(struct channel *channel, uint64_t good_end, uint64_t pos, uint64_t salt)
{
    static_assert((CHANNEL_EPOCHS_MAX & (CHANNEL_EPOCHS_MAX - 1)) == 0,
                  "capacity doubles up to it");
    struct channel_private *private = channel->private_;
    ASSERT(channel->id != 0);
    ASSERT(good_end >= 1 && good_end <= channel->latest + 1);

    uint64_t epoch = epoch_next(channel->epoch, pos, salt);
    while (epoch_is_used(channel, epoch)) {
        epoch = epoch_next(epoch, pos, salt);
    }
    for (uint32_t i = 0; i < private->epoch_count; i++) {
        if (private->epochs[i].good_end > good_end) {
            MARK("epoch: an older one is good for less");
            private->epochs[i].good_end = good_end;
        }
    }
    if (private->epoch_count == tune.channel_epochs) {
        MARK("epoch: the oldest one known is forgotten");
        private->epoch_count--;
        bytes_move(private->epochs, private->epochs + 1,
                   private->epoch_count * sizeof(*private->epochs));
    }
    ASSERT(private->epoch_count < private->epoch_capacity);
    private->epochs[private->epoch_count++] =
        (struct channel_epoch){.epoch = channel->epoch, .good_end = good_end};
    ASSERT(epoch != channel->epoch && epoch != 0);
    channel->epoch = epoch;

    /* What its producers have been told is stored may be gone: they cannot send it again. */
    for (struct list *at = private->idle.next; at != &private->idle; at = at->next) {
        MARK("epoch: its producers may go on anywhere");
        CONTAINER_OF(at, struct producer, idle_link)->resync = true;
    }
    channel_check(channel);
}

uint64_t channel_epoch_good_end(const struct channel *channel, uint64_t epoch)
{
    ASSERT_HOT(epoch != 0 || channel->id == 0);
    ASSERT_HOT(channel->private_->epoch_count <= CHANNEL_EPOCHS_MAX);
    const struct channel_private *private = channel->private_;
    for (uint32_t i = private->epoch_count; i > 0; i--) {
        if (private->epochs[i - 1].epoch == epoch) {
            return private->epochs[i - 1].good_end;
        }
    }
    return 0;
}

struct producer *channel_producer(const struct channel *channel, struct bytes id)
{
    ASSERT_HOT(id.size >= 1 && id.size <= PRODUCER_ID_BYTES_MAX);
    ASSERT_HOT(map_count(&channel->private_->producers) <= CHANNEL_PRODUCERS_MAX);
    return map_find(&channel->private_->producers, id);
}

void channel_producers_expire(struct channel *channel, uint64_t idle_ms, uint64_t now_ms)
{
    ASSERT_HOT(now_ms >= channel->last_time_ms || channel->latest == 0);
    ASSERT(idle_ms > 0);
    struct list *idle = &channel->private_->idle;
    while (!list_empty(idle)) {
        struct producer *producer = CONTAINER_OF(idle->next, struct producer, idle_link);
        ASSERT_HOT(producer->last_ms <= now_ms);
        if (now_ms - producer->last_ms <= idle_ms) {
            break;
        }
        producer_expire(producer);
    }
}

void channel_producers_expire_all(struct channel *channel)
{
    struct list *idle = &channel->private_->idle;
    while (!list_empty(idle)) {
        producer_expire(CONTAINER_OF(idle->next, struct producer, idle_link));
    }
    ASSERT(list_empty(idle));
    ASSERT(channel->earliest == channel->latest + 1); /* no history is left */
}

void channel_check(const struct channel *channel)
{
    const struct channel_private *private = channel->private_;
    ASSERT_HOT(private->epoch_count <= private->epoch_capacity);
    ASSERT_HOT(channel->name.size >= 1);
    ASSERT_HOT(list_empty(&private->idle) || map_count(&private->producers) > 0);
    ASSERT(channel->id != 0 && channel->epoch != 0);
    ASSERT(channel->latest >= 1 && channel->latest <= WIRE_INTEGER_MAX);
    ASSERT(channel->earliest >= 1 && channel->earliest <= channel->latest + 1);
    ASSERT(private->applied_prev_pos >= 1);
    ASSERT(channel->prev_pos_ >= private->applied_prev_pos);
}
