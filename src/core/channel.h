/* A partition's channels: by name and by number, with what apply keeps of each.
 *
 * A channel object is made when the first command for its name is appended, since the order of the
 * log's records is known from then on; it has no number yet (id 0) and nobody can see it. It
 * becomes a channel when a publish is accepted for it, or goes when the last command that named it
 * has been refused or lost.
 *
 * Thread: the partition's owner.  Memory: table_deinit() frees everything. */
#ifndef CORE_CHANNEL_H
#define CORE_CHANNEL_H

#include "base/slab.h"
#include "base/slots.h"
#include "core/producer.h"

/* Earlier epochs remembered, per channel and of the partition's base: repairs and unclean stops
 * are rare, and a client that has been away for 64 of them is told `epoch`. */
#define CHANNEL_EPOCHS_MAX 64u

/* What few channels have: producers, a past, followers. */
struct channel_more {
    void *user;                   /* the owner's */
    struct map producers;         /* struct producer, by id */
    struct list idle;             /* those not expired, by last_ms */
    struct channel_epoch *epochs; /* earlier ones, oldest first */
    uint32_t epoch_count;
    uint32_t epoch_capacity;
};

/* A channel costs its object, 4 bytes of `pages` and some 11 to 21 of `names`. */
struct channel_table {
    struct slab slab;   /* struct channel */
    struct slots names; /* handles, by name; of the ones without a number too */
    uint32_t **pages;   /* handles, by id: [(id - 1) / TABLE_PAGE][(id - 1) % TABLE_PAGE] */
    size_t page_count;
    size_t page_capacity;
    size_t count; /* of those with a number */
    uint64_t hash_seed;
};

#define TABLE_PAGE 1024u

void table_init(struct channel_table *table, uint64_t hash_seed);
void table_deinit(struct channel_table *table);

/* The object of that name, NULL if there is none; perhaps without a number. */
struct channel *table_find(const struct channel_table *table, struct bytes name);
/* Into an empty table: room for `count` at once. RC_NOMEM */
MUST_USE enum rc table_expect(struct channel_table *table, size_t count);
/* NULL: no such number */
struct channel *table_by_id(const struct channel_table *table, uint64_t id);
/* A new object without a number. RC_NOMEM */
MUST_USE enum rc table_add(struct channel_table *table, struct bytes name,
                           struct channel **ret_channel);
/* Room for one more number. RC_NOMEM */
MUST_USE enum rc table_reserve(struct channel_table *table);
/* Gives it the next number and its first epoch; after table_reserve(). */
void table_number(struct channel_table *table, struct channel *channel, uint64_t epoch);
/* Takes an object without a number out and frees it. */
void table_drop(struct channel_table *table, struct channel *channel);

/* What few channels have, made if it is not there. RC_NOMEM */
MUST_USE enum rc channel_more_reserve(const struct channel_table *table, struct channel *channel);
static inline uint32_t channel_epoch_count(const struct channel *channel)
{
    return channel->more_ == NULL ? 0 : channel->more_->epoch_count;
}
static inline size_t channel_producer_count(const struct channel *channel)
{
    return channel->more_ == NULL ? 0 : map_count(&channel->more_->producers);
}
/* Room for one more earlier epoch. RC_NOMEM */
MUST_USE enum rc channel_epoch_reserve(const struct channel_table *table, struct channel *channel);
/* An earlier epoch, the newest so far; there is room. For decoding. */
void channel_epoch_push(struct channel *channel, struct channel_epoch epoch);
/* Ends the channel's epoch: positions up to `good_end` of it, and of those before it, remain good;
 * producers may go on with a number that is ahead. After channel_epoch_reserve(). */
void channel_epoch_change(struct channel *channel, uint64_t good_end, uint64_t pos, uint64_t salt);
/* Its producers may go on, once each, with a number that is ahead. */
void channel_producers_resync(struct channel *channel);
/* How far an epoch that is not the current one is good; 0: it is not one of the channel's. */
uint64_t channel_epoch_good_end(const struct channel *channel, uint64_t epoch);

/* A producer of the channel's; after channel_more_reserve(). RC_NOMEM */
MUST_USE enum rc channel_producer_add(struct channel *channel, struct producer *producer);
void channel_producer_drop(struct channel *channel, struct producer *producer);
/* It has been heard of last. */
void channel_producer_touch(struct channel *channel, struct producer *producer);
/* NULL: not known */
struct producer *channel_producer(const struct channel *channel, struct bytes id);
/* Expires the producers whose last message is more than idle_ms older than now_ms. */
void channel_producers_expire(struct channel *channel, uint64_t idle_ms, uint64_t now_ms);
void channel_producers_expire_all(struct channel *channel);
void channel_check(const struct channel *channel);

#endif
