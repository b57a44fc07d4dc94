#include "core/channel.h"

#include "base/digest.h"
#include "base/hash.h"
#include "base/mark.h"
#include "base/mem.h"
#include "base/tune.h"
#include "core/epoch.h"

#define PAGE_CAPACITY_FIRST  4u
#define EPOCH_CAPACITY_FIRST 2u

static_assert(sizeof(struct channel) + CHANNEL_NAME_BYTES_MAX <= SLAB_SIZE_MAX, "it fits a slab");

/* ---- the table ----------------------------------------------------------------------------- */

static size_t channel_size(size_t name_size)
{
    ASSERT_HOT(name_size >= 1);
    ASSERT_HOT(name_size <= CHANNEL_NAME_BYTES_MAX);
    const size_t size = offsetof(struct channel, name_) + name_size;
    return size < sizeof(struct channel) ? sizeof(struct channel) : size;
}

static struct channel *channel_at(const struct channel_table *table, uint32_t handle)
{
    ASSERT_HOT(handle != 0);
    struct channel *channel = slab_at(&table->slab, handle);
    ASSERT_HOT(channel->name_size_ >= 1);
    return channel;
}

static uint32_t name_hash(const struct channel_table *table, struct bytes name)
{
    ASSERT_HOT(name.size >= 1);
    ASSERT_HOT(name.size <= CHANNEL_NAME_BYTES_MAX);
    return (uint32_t)hash_bytes(name, table->hash_seed);
}

static bool name_match(const void *ctx, uint32_t number, const void *key)
{
    const struct bytes *name = key;
    ASSERT_HOT(name->size >= 1);
    return bytes_equal(channel_name(channel_at(ctx, number)), *name);
}

void table_init(struct channel_table *table, uint64_t hash_seed)
{
    ASSERT(table != NULL);
    *table = (struct channel_table){.hash_seed = hash_seed};
    ASSERT(slots_count(&table->names) == 0);
}

/* What it has outside its object. */
static void channel_deinit(struct channel *channel)
{
    ASSERT(channel->id == 0 || channel->epoch != 0);
    struct channel_more *more = channel->more_;
    if (more == NULL) {
        return;
    }
    size_t at = 0;
    struct producer *producer;
    while ((producer = map_next(&more->producers, &at)) != NULL) {
        producer_close(producer);
    }
    map_deinit(&more->producers);
    mem_free(more->epochs);
    mem_free(more);
    channel->more_ = NULL;
}

void table_deinit(struct channel_table *table)
{
    ASSERT(table->count <= slots_count(&table->names));
    ASSERT(table->count <= table->page_count * TABLE_PAGE);
    size_t at = 0;
    uint32_t handle;
    while ((handle = slots_next(&table->names, &at)) != 0) {
        channel_deinit(channel_at(table, handle));
    }
    slots_deinit(&table->names);
    slab_deinit(&table->slab);
    for (size_t i = 0; i < table->page_count; i++) {
        mem_free(table->pages[i]);
    }
    mem_free(table->pages);
    *table = (struct channel_table){0};
}

struct channel *table_find(const struct channel_table *table, struct bytes name)
{
    ASSERT_HOT(table->count <= slots_count(&table->names));
    ASSERT_HOT(name.size >= 1);
    const uint32_t handle =
        slots_find(&table->names, name_hash(table, name), name_match, table, &name);
    return handle == 0 ? NULL : channel_at(table, handle);
}

struct channel *table_by_id(const struct channel_table *table, uint64_t id)
{
    ASSERT_HOT(table->count <= table->page_count * TABLE_PAGE);
    if (id < 1 || id > table->count) {
        return NULL;
    }
    const uint32_t *page = table->pages[(id - 1) / TABLE_PAGE];
    struct channel *channel = channel_at(table, page[(id - 1) % TABLE_PAGE]);
    ASSERT_HOT(channel->id == id);
    return channel;
}

enum rc table_expect(struct channel_table *table, size_t count)
{
    ASSERT(table->count == 0);
    ASSERT(slots_count(&table->names) == 0);
    return slots_reserve(&table->names, count);
}

enum rc table_add(struct channel_table *table, struct bytes name, struct channel **ret_channel)
{
    ASSERT_HOT(table_find(table, name) == NULL);
    ASSERT(name.size >= 1 && name.size <= CHANNEL_NAME_BYTES_MAX);
    const size_t size = channel_size(name.size);
    const uint32_t handle = slab_take(&table->slab, size);
    if (handle == 0) {
        return RC_NOMEM;
    }
    const enum rc rc = slots_insert(&table->names, name_hash(table, name), handle);
    if (rc != RC_OK) {
        slab_give(&table->slab, handle, size);
        return rc;
    }
    struct channel *channel = slab_at(&table->slab, handle);
    *channel = (struct channel){
        .earliest = 1,
        .digest = digest_start(name),
        .name_size_ = (uint8_t)name.size,
    };
    bytes_copy(channel->name_, name.data, name.size);
    *ret_channel = channel;
    return RC_OK;
}

enum rc table_reserve(struct channel_table *table)
{
    ASSERT(table->count <= table->page_count * TABLE_PAGE);
    ASSERT(table->page_count <= table->page_capacity);
    if (table->count < table->page_count * TABLE_PAGE) {
        return RC_OK;
    }
    if (table->page_count == table->page_capacity) {
        const size_t capacity =
            table->page_capacity == 0 ? PAGE_CAPACITY_FIRST : table->page_capacity * 2;
        uint32_t **pages = mem_realloc(table->pages, capacity * sizeof(uint32_t *));
        if (pages == NULL) {
            return RC_NOMEM;
        }
        table->pages = pages;
        table->page_capacity = capacity;
    }
    uint32_t *page = mem_alloc(TABLE_PAGE * sizeof(*page));
    if (page == NULL) {
        return RC_NOMEM;
    }
    table->pages[table->page_count++] = page;
    ASSERT(table->count < table->page_count * TABLE_PAGE);
    return RC_OK;
}

/* The handle of an object that the table has. */
static uint32_t handle_of(const struct channel_table *table, const struct channel *channel)
{
    const struct bytes name = channel_name(channel);
    const uint32_t handle =
        slots_find(&table->names, name_hash(table, name), name_match, table, &name);
    ASSERT(handle != 0);
    ASSERT(channel_at(table, handle) == channel);
    return handle;
}

void table_number(struct channel_table *table, struct channel *channel, uint64_t epoch)
{
    ASSERT(channel->latest == 0);
    ASSERT(channel->id == 0 && epoch != 0);
    ASSERT(table->count < table->page_count * TABLE_PAGE);
    ASSERT(table->count < SLOTS_NUMBER_MAX);
    table->pages[table->count / TABLE_PAGE][table->count % TABLE_PAGE] = handle_of(table, channel);
    table->count++;
    channel->id = (uint32_t)table->count;
    channel->epoch = epoch;
}

void table_drop(struct channel_table *table, struct channel *channel)
{
    ASSERT(channel->latest == 0);
    ASSERT(channel->pending_ == 0);
    ASSERT(channel_producer_count(channel) == 0);
    ASSERT(channel->id == 0);
    const uint32_t handle = handle_of(table, channel);
    slots_remove(&table->names, name_hash(table, channel_name(channel)), handle);
    channel_deinit(channel);
    slab_give(&table->slab, handle, channel_size(channel->name_size_));
}

/* ---- what few channels have ---------------------------------------------------------------- */

enum rc channel_more_reserve(const struct channel_table *table, struct channel *channel)
{
    ASSERT_HOT(table != NULL);
    ASSERT_HOT(channel->name_size_ >= 1);
    if (channel->more_ != NULL) {
        return RC_OK;
    }
    struct channel_more *more = mem_calloc(1, sizeof(*more));
    if (more == NULL) {
        return RC_NOMEM;
    }
    map_init(&more->producers, table->hash_seed, producer_key);
    list_init(&more->idle);
    channel->more_ = more;
    return RC_OK;
}

void *channel_user(const struct channel *channel)
{
    return channel->more_ == NULL ? NULL : channel->more_->user;
}

enum rc channel_epoch_reserve(const struct channel_table *table, struct channel *channel)
{
    ASSERT(channel_epoch_count(channel) <= CHANNEL_EPOCHS_MAX);
    const enum rc rc = channel_more_reserve(table, channel);
    if (rc != RC_OK) {
        return rc;
    }
    struct channel_more *more = channel->more_;
    ASSERT(more->epoch_count <= more->epoch_capacity);
    if (more->epoch_count < more->epoch_capacity || more->epoch_capacity == tune.channel_epochs) {
        return RC_OK; /* when there are as many as may be, the oldest makes room */
    }
    const uint32_t capacity =
        more->epoch_capacity == 0 ? EPOCH_CAPACITY_FIRST : more->epoch_capacity * 2;
    struct channel_epoch *epochs = mem_realloc(more->epochs, capacity * sizeof(*epochs));
    if (epochs == NULL) {
        return RC_NOMEM;
    }
    more->epochs = epochs;
    more->epoch_capacity = capacity;
    ASSERT(more->epoch_count < capacity);
    return RC_OK;
}

void channel_epoch_push(struct channel *channel, struct channel_epoch epoch)
{
    struct channel_more *more = channel->more_;
    ASSERT(epoch.epoch != 0);
    ASSERT(more->epoch_count < more->epoch_capacity);
    more->epochs[more->epoch_count++] = epoch;
}

static bool epoch_is_used(const struct channel *channel, uint64_t epoch)
{
    ASSERT(epoch != 0);
    ASSERT(channel->epoch != 0);
    return epoch == channel->epoch || channel_epoch_good_end(channel, epoch) != 0;
}

/* What they have been told is stored may be gone: they cannot send it again. */
void channel_producers_resync(struct channel *channel)
{
    ASSERT(channel->id != 0);
    if (channel->more_ == NULL) {
        return;
    }
    const struct list *idle = &channel->more_->idle;
    for (struct list *at = idle->next; at != idle; at = at->next) {
        struct producer *producer = CONTAINER_OF(at, struct producer, idle_link);
        MARK("epoch: its producers may go on anywhere");
        ASSERT(!producer->expired);
        producer->resync = true;
    }
}

void channel_epoch_change(struct channel *channel, uint64_t good_end, uint64_t pos, uint64_t salt)
{
    static_assert((CHANNEL_EPOCHS_MAX & (CHANNEL_EPOCHS_MAX - 1)) == 0,
                  "capacity doubles up to it");
    struct channel_more *more = channel->more_;
    ASSERT(channel->id != 0);
    ASSERT(good_end >= 1 && good_end <= channel->latest + 1);

    uint64_t epoch = epoch_next(channel->epoch, pos, salt);
    while (epoch_is_used(channel, epoch)) {
        epoch = epoch_next(epoch, pos, salt);
    }
    for (uint32_t i = 0; i < more->epoch_count; i++) {
        if (more->epochs[i].good_end > good_end) {
            MARK("epoch: an older one is good for less");
            more->epochs[i].good_end = good_end;
        }
    }
    if (more->epoch_count == tune.channel_epochs) {
        MARK("epoch: the oldest one known is forgotten");
        more->epoch_count--;
        bytes_move(more->epochs, more->epochs + 1, more->epoch_count * sizeof(*more->epochs));
    }
    channel_epoch_push(channel,
                       (struct channel_epoch){.epoch = channel->epoch, .good_end = good_end});
    ASSERT(epoch != channel->epoch && epoch != 0);
    channel->epoch = epoch;

    channel_producers_resync(channel);
    channel_check(channel);
}

uint64_t channel_epoch_good_end(const struct channel *channel, uint64_t epoch)
{
    ASSERT_HOT(epoch != 0 || channel->id == 0);
    ASSERT_HOT(channel_epoch_count(channel) <= CHANNEL_EPOCHS_MAX);
    for (uint32_t i = channel_epoch_count(channel); i > 0; i--) {
        if (channel->more_->epochs[i - 1].epoch == epoch) {
            return channel->more_->epochs[i - 1].good_end;
        }
    }
    return 0;
}

/* ---- producers ----------------------------------------------------------------------------- */

struct producer *channel_producer(const struct channel *channel, struct bytes id)
{
    ASSERT_HOT(id.size >= 1 && id.size <= PRODUCER_ID_BYTES_MAX);
    ASSERT_HOT(channel_producer_count(channel) <= CHANNEL_PRODUCERS_MAX);
    return channel->more_ == NULL ? NULL : map_find(&channel->more_->producers, id);
}

enum rc channel_producer_add(struct channel *channel, struct producer *producer)
{
    ASSERT_HOT(channel_producer_count(channel) < CHANNEL_PRODUCERS_MAX);
    ASSERT(channel->more_ != NULL);
    return map_insert(&channel->more_->producers, producer);
}

void channel_producer_drop(struct channel *channel, struct producer *producer)
{
    ASSERT(channel->more_ != NULL);
    const void *removed = map_remove(&channel->more_->producers, producer_id(producer));
    ASSERT(removed == producer);
    producer_close(producer);
}

void channel_producer_touch(struct channel *channel, struct producer *producer)
{
    ASSERT_HOT(channel->more_ != NULL);
    ASSERT_HOT(!producer->expired);
    list_remove(&producer->idle_link);
    list_push_back(&channel->more_->idle, &producer->idle_link);
}

void channel_producers_expire(struct channel *channel, uint64_t idle_ms, uint64_t now_ms)
{
    ASSERT_HOT(now_ms >= channel->last_time_ms || channel->latest == 0);
    ASSERT(idle_ms > 0);
    if (channel->more_ == NULL) {
        return;
    }
    struct list *idle = &channel->more_->idle;
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
    ASSERT(channel->earliest == channel->latest + 1); /* no history is left */
    if (channel->more_ == NULL) {
        return;
    }
    struct list *idle = &channel->more_->idle;
    while (!list_empty(idle)) {
        producer_expire(CONTAINER_OF(idle->next, struct producer, idle_link));
    }
    ASSERT(list_empty(idle));
}

void channel_check(const struct channel *channel)
{
    const struct channel_more *more = channel->more_;
    ASSERT_HOT(more == NULL || more->epoch_count <= more->epoch_capacity);
    ASSERT_HOT(more == NULL || list_empty(&more->idle) || map_count(&more->producers) > 0);
    ASSERT_HOT(channel->name_size_ >= 1);
    ASSERT(channel->id != 0 && channel->epoch != 0);
    ASSERT(channel->latest >= 1 && channel->latest <= WIRE_INTEGER_MAX);
    ASSERT(channel->earliest >= 1 && channel->earliest <= channel->latest + 1);
    ASSERT(channel->applied_prev_pos_ >= 1);
    ASSERT(channel->prev_pos_ >= channel->applied_prev_pos_);
}
