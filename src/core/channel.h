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

#include "core/producer.h"

/* Earlier epochs remembered, per channel and of the partition's base: repairs and unclean stops
 * are rare, and a client that has been away for 64 of them is told `epoch`. */
#define CHANNEL_EPOCHS_MAX 64u

struct channel_private {
    struct map producers;         /* struct producer, by id */
    struct list idle;             /* those not expired, by last_ms */
    struct channel_epoch *epochs; /* earlier ones, oldest first */
    uint32_t epoch_count;
    uint32_t epoch_capacity;
    uint32_t pending;          /* records appended that are not applied yet */
    bool in_doubt;             /* a hole may have eaten records of it */
    bool resync;               /* it has: producers not known may begin with any number */
    uint64_t applied_prev_pos; /* prev_pos_ as of the last record applied */
    uint64_t append_time_ms;   /* the time stamped last; not going back */
};

struct channel_table {
    struct map names;       /* struct channel, the ones without a number too */
    struct channel **by_id; /* [id - 1] */
    size_t count;
    size_t capacity;
    uint64_t hash_seed;
};

void table_init(struct channel_table *table, uint64_t hash_seed);
void table_deinit(struct channel_table *table);

/* The object of that name, NULL if there is none; perhaps without a number. */
struct channel *table_find(const struct channel_table *table, struct bytes name);
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

/* Room for one more earlier epoch. RC_NOMEM */
MUST_USE enum rc channel_epoch_reserve(struct channel *channel);
/* Ends the channel's epoch: positions up to `good_end` of it, and of those before it, remain good;
 * producers may go on with a number that is ahead. After channel_epoch_reserve(). */
void channel_epoch_change(struct channel *channel, uint64_t good_end, uint64_t pos, uint64_t salt);
/* How far an epoch that is not the current one is good; 0: it is not one of the channel's. */
uint64_t channel_epoch_good_end(const struct channel *channel, uint64_t epoch);

/* NULL: not known */
struct producer *channel_producer(const struct channel *channel, struct bytes id);
/* Expires the producers whose last message is more than idle_ms older than now_ms. */
void channel_producers_expire(struct channel *channel, uint64_t idle_ms, uint64_t now_ms);
void channel_producers_expire_all(struct channel *channel);
void channel_check(const struct channel *channel);

#endif
