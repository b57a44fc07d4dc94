/* Which message comes when: a load as a pure function of a few numbers, so that a checker need not
 * store what it has sent.
 *
 * Messages go out in batches (of one or more). Batch number b of the whole load belongs to producer
 * b mod P, and is that producer's command number k = b / P; the producer goes round the channels:
 * command k goes to channel (k + producer) mod C. So every producer has a stream of its own in
 * every channel, numbered from 1 ([P 3] producer_seq):
 *
 *     (producer, k)  <->  (producer, channel, first number)  <->  when it is due
 *
 * The data of each message is an object with its channel, producer and number, filled up to the
 * size asked for with text that depends on all of them and on the seed; some of it is escaped or
 * beyond ASCII, since payloads must pass byte for byte. Every eighth message has a key.
 *
 * Thread: the owner's.  Memory: workload_deinit() frees. */
#ifndef CLIENT_WORKLOAD_H
#define CLIENT_WORKLOAD_H

#include "base/bytes.h"

#define WORKLOAD_SIZE_MIN      64u
#define WORKLOAD_PREFIX_MAX    100u
#define WORKLOAD_NAME_SIZE     128u
#define WORKLOAD_PRODUCERS_MAX 1024u
#define WORKLOAD_CHANNELS_MAX  16384u

struct workload_options {
    const char *prefix; /* of every name: letters, digits, '.', '-' and '_', copied */
    uint64_t seed;
    uint64_t messages; /* > 0 */
    uint32_t channels;
    uint32_t producers;
    uint32_t batch;
    uint32_t size; /* bytes of a message's data, from WORKLOAD_SIZE_MIN */
    uint64_t rate; /* messages a second, > 0 */
};

struct workload {
    struct workload_options options;
    char prefix[WORKLOAD_PREFIX_MAX + 1];
    /* private */
    uint8_t *pool_; /* text to fill with */
};

/* Room for the data of any message of it. */
size_t workload_data_room(const struct workload *workload);

/* RC_NOMEM */
MUST_USE enum rc workload_init(struct workload *workload, const struct workload_options *options);
void workload_deinit(struct workload *workload);

/* How many commands that producer has in all. */
uint64_t workload_commands(const struct workload *workload, uint32_t producer);

/* One command of a producer's. */
struct workload_command {
    uint32_t channel;
    uint32_t count; /* messages; less than the batch only in the load's last command */
    uint64_t first; /* the first one's number */
};
struct workload_command workload_command(const struct workload *workload, uint32_t producer,
                                         uint64_t k);
/* When message `index` of it is due, in nanoseconds from the start of the load. */
uint64_t workload_due_ns(const struct workload *workload, uint32_t producer, uint64_t k,
                         uint32_t index);
/* When the message of that number is due; UINT64_MAX: there is none. */
uint64_t workload_number_due_ns(const struct workload *workload, uint32_t channel,
                                uint32_t producer, uint64_t number);
/* Which command has the message of that number, and which of its messages it is. */
void workload_place(const struct workload *workload, uint32_t channel, uint32_t producer,
                    uint64_t number, uint64_t *ret_k, uint32_t *ret_index);
/* The number of messages that a producer's first `k` commands bring into a channel. */
uint64_t workload_numbers(const struct workload *workload, uint32_t channel, uint32_t producer,
                          uint64_t k);

/* "prefix-c17" and "prefix-p3": no JSON string needs an escape. Returns the size. */
size_t workload_channel_name(const struct workload *workload, uint32_t channel,
                             char to[static WORKLOAD_NAME_SIZE]);
size_t workload_producer_name(const struct workload *workload, uint32_t producer,
                              char to[static WORKLOAD_NAME_SIZE]);
/* The channel, or producer, of that name; false: none of ours. */
bool workload_channel_of(const struct workload *workload, struct bytes name, uint32_t *ret_channel);
bool workload_producer_of(const struct workload *workload, struct bytes name,
                          uint32_t *ret_producer);

/* Appends a message's data, a JSON value. RC_NOMEM */
MUST_USE enum rc workload_data(const struct workload *workload, uint32_t channel, uint32_t producer,
                               uint64_t number, struct buf *to);
/* A message's key, empty: it has none. Plain text without escapes. */
struct bytes workload_key(const struct workload *workload, uint64_t number);

#endif
