/* What a checker knows of the history of every channel of a load: for each seq the message that was
 * acknowledged under it and the one that was seen there, in 20 bytes, from whoever came first.
 * Everybody who comes later is compared with it ([I2], [I3]).
 *
 * After a change of a channel's epoch its seqs may mean other messages; what is compared from then
 * on would accuse the wrong one, so only numbers are checked there.
 *
 * Thread: the owner's.  Memory: ledger_deinit() frees; pages that no seq reaches stay untouched. */
#ifndef CLIENT_LEDGER_H
#define CLIENT_LEDGER_H

#include "base/bytes.h"
#include "client/violation.h"
#include "client/workload.h"

#define LEDGER_EPOCH_SIZE 16u

struct ledger_entry {
    uint32_t seen_number; /* producer_seq, 0: not seen */
    uint32_t acked_number;
    uint16_t seen_producer;
    uint16_t acked_producer;
    uint32_t id_hash;  /* of the message_id, 0: not known */
    uint32_t time_low; /* counts if seen */
};

struct ledger_channel {
    struct ledger_entry *entries; /* of seq 1 and up */
    uint64_t capacity;
    uint64_t acked_last; /* the highest seq acknowledged, 0: none */
    uint64_t seen_last;
    uint64_t *first_bits; /* by producer, and the end: where its numbers are in a bitmap */
    uint8_t *lost;        /* bit per number: found lost by some observer; NULL: none was */
    bool changed;         /* the epoch did */
    size_t epoch_size;
    uint8_t epoch[LEDGER_EPOCH_SIZE];
};

struct ledger {
    const struct workload *workload;
    struct violations *violations;
    struct ledger_channel *channels;
    uint64_t *sent;  /* by channel and producer: the highest number sent */
    uint64_t *acked; /* the highest number acknowledged; so all below it are stored ([I5], [I6]) */
    uint64_t seen_count; /* seqs seen by anybody */
    uint64_t epoch_changes;
};

/* Both live as long as the ledger. RC_NOMEM */
MUST_USE enum rc ledger_init(struct ledger *ledger, const struct workload *workload,
                             struct violations *violations);
void ledger_deinit(struct ledger *ledger);

static inline size_t ledger_stream(const struct ledger *ledger, uint32_t channel, uint32_t producer)
{
    return (size_t)channel * ledger->workload->options.producers + producer;
}

/* A producer has put numbers up to `last` on the wire. */
void ledger_sent(struct ledger *ledger, uint32_t channel, uint32_t producer, uint64_t last);

/* `published` says: that number stands at `seq` (0: not told). `message_id` may be empty. */
void ledger_acked(struct ledger *ledger, uint32_t channel, uint64_t seq, uint32_t producer,
                  uint64_t number, struct bytes message_id);
/* Whether `published` may have told that seq for that number: it has, or nothing can be said of it
 * (beyond all that was sent, or the epoch has changed). */
bool ledger_is_acked(const struct ledger *ledger, uint32_t channel, uint64_t seq, uint32_t producer,
                     uint64_t number);
/* An observer saw that message at `seq`. */
void ledger_seen(struct ledger *ledger, uint32_t channel, uint64_t seq, uint32_t producer,
                 uint64_t number, uint64_t time, struct bytes message_id);
/* An answer names the channel's epoch. */
void ledger_epoch(struct ledger *ledger, uint32_t channel, struct bytes epoch);

/* How many numbers a bitmap of the channel has room for, and where one is. */
uint64_t ledger_bit_count(const struct ledger *ledger, uint32_t channel);
uint64_t ledger_bit(const struct ledger *ledger, uint32_t channel, uint32_t producer,
                    uint64_t number);

#endif
