#include "client/ledger.h"

#include "base/hash.h"
#include "base/mem.h"

#include <inttypes.h>

/* Room for what should not be there: a message stored twice takes a seq of its own. */
#define SPARE_MIN 1024u

static enum rc channel_init(struct ledger *ledger, uint32_t channel)
{
    const struct workload *workload = ledger->workload;
    const uint32_t producers = workload->options.producers;
    struct ledger_channel *c = &ledger->channels[channel];
    c->first_bits = mem_calloc((size_t)producers + 1, sizeof(uint64_t));
    if (c->first_bits == NULL) {
        return RC_NOMEM;
    }
    uint64_t total = 0;
    for (uint32_t producer = 0; producer < producers; producer++) {
        c->first_bits[producer] = total;
        total +=
            workload_numbers(workload, channel, producer, workload_commands(workload, producer));
    }
    c->first_bits[producers] = total;
    c->capacity = total + total / 8 + SPARE_MIN;
    c->entries = mem_calloc(c->capacity, sizeof(struct ledger_entry));
    return c->entries == NULL ? RC_NOMEM : RC_OK;
}

enum rc ledger_init(struct ledger *ledger, const struct workload *workload,
                    struct violations *violations)
{
    const uint32_t channels = workload->options.channels;
    const size_t streams = (size_t)channels * workload->options.producers;
    ASSERT(workload->options.messages < UINT32_MAX); /* numbers are kept in 32 bits */
    *ledger = (struct ledger){.workload = workload, .violations = violations};
    ledger->channels = mem_calloc(channels, sizeof(struct ledger_channel));
    ledger->sent = mem_calloc(streams, sizeof(uint64_t));
    ledger->acked = mem_calloc(streams, sizeof(uint64_t));
    enum rc rc = ledger->channels == NULL || ledger->sent == NULL || ledger->acked == NULL
                     ? RC_NOMEM
                     : RC_OK;
    for (uint32_t channel = 0; channel < channels && rc == RC_OK; channel++) {
        rc = channel_init(ledger, channel);
    }
    if (rc != RC_OK) {
        ledger_deinit(ledger);
    }
    return rc;
}

void ledger_deinit(struct ledger *ledger)
{
    for (uint32_t i = 0; ledger->channels != NULL && i < ledger->workload->options.channels; i++) {
        mem_free(ledger->channels[i].entries);
        mem_free(ledger->channels[i].first_bits);
        mem_free(ledger->channels[i].lost);
    }
    mem_free(ledger->channels);
    mem_free(ledger->sent);
    mem_free(ledger->acked);
    *ledger = (struct ledger){0};
}

static struct ledger_entry *entry_at(struct ledger *ledger, uint32_t channel, uint64_t seq)
{
    struct ledger_channel *c = &ledger->channels[channel];
    ASSERT(seq > 0);
    return seq <= c->capacity ? &c->entries[seq - 1] : NULL;
}

/* 0 stands for "not known". */
static uint32_t id_hash(struct bytes message_id)
{
    const uint32_t hash = (uint32_t)hash_bytes(message_id, 0);
    return message_id.size == 0 ? 0 : hash == 0 ? 1 : hash;
}

/* Whether what was acknowledged and what was seen are the same message. */
static bool check_agreed(struct ledger *ledger, uint32_t channel, uint64_t seq,
                         const struct ledger_entry *entry)
{
    if (entry->seen_number == 0 || entry->acked_number == 0 ||
        (entry->seen_number == entry->acked_number &&
         entry->seen_producer == entry->acked_producer)) {
        return true;
    }
    violations_add(ledger->violations, VIOLATION_ACK_MISMATCH, 1,
                   "channel %" PRIu32 ": producer %u's number %" PRIu32
                   " was acknowledged as seq %" PRIu64 ", but there stands producer %u's number "
                   "%" PRIu32,
                   channel, entry->acked_producer, entry->acked_number, seq, entry->seen_producer,
                   entry->seen_number);
    return false;
}

/* Of one message: two have two. */
static void check_id(struct ledger *ledger, uint32_t channel, uint64_t seq,
                     struct ledger_entry *entry, uint32_t hash)
{
    if (entry->id_hash == 0) {
        entry->id_hash = hash;
    } else if (hash != 0 && hash != entry->id_hash) {
        violations_add(ledger->violations, VIOLATION_INCONSISTENT, 1,
                       "channel %" PRIu32 ", seq %" PRIu64 ": two different message_ids", channel,
                       seq);
    }
}

void ledger_sent(struct ledger *ledger, uint32_t channel, uint32_t producer, uint64_t last)
{
    uint64_t *sent = &ledger->sent[ledger_stream(ledger, channel, producer)];
    *sent = last > *sent ? last : *sent;
}

void ledger_acked(struct ledger *ledger, uint32_t channel, uint64_t seq, uint32_t producer,
                  uint64_t number, struct bytes message_id)
{
    struct ledger_channel *c = &ledger->channels[channel];
    uint64_t *acked = &ledger->acked[ledger_stream(ledger, channel, producer)];
    *acked = number > *acked ? number : *acked;
    if (seq == 0) {
        return;
    }
    c->acked_last = seq > c->acked_last ? seq : c->acked_last;
    struct ledger_entry *entry = entry_at(ledger, channel, seq);
    if (entry == NULL) {
        violations_add(ledger->violations, VIOLATION_UNEXPECTED, 1,
                       "channel %" PRIu32 ": producer %" PRIu32 "'s number %" PRIu64
                       " was acknowledged as seq %" PRIu64 ", beyond all that was sent",
                       channel, producer, number, seq);
        return;
    }
    if (c->changed) {
        return;
    }
    if (entry->acked_number != 0 &&
        (entry->acked_number != number || entry->acked_producer != producer)) {
        violations_add(ledger->violations, VIOLATION_ACK_MISMATCH, 1,
                       "channel %" PRIu32 ", seq %" PRIu64 ": acknowledged for producer %u's "
                       "number %" PRIu32 " and for producer %" PRIu32 "'s number %" PRIu64,
                       channel, seq, entry->acked_producer, entry->acked_number, producer, number);
        return;
    }
    entry->acked_number = (uint32_t)number;
    entry->acked_producer = (uint16_t)producer;
    if (check_agreed(ledger, channel, seq, entry)) {
        check_id(ledger, channel, seq, entry, id_hash(message_id));
    }
}

bool ledger_is_acked(const struct ledger *ledger, uint32_t channel, uint64_t seq, uint32_t producer,
                     uint64_t number)
{
    const struct ledger_channel *c = &ledger->channels[channel];
    ASSERT(seq > 0);
    return c->changed || seq > c->capacity ||
           (c->entries[seq - 1].acked_number == number &&
            c->entries[seq - 1].acked_producer == producer);
}

void ledger_seen(struct ledger *ledger, uint32_t channel, uint64_t seq, uint32_t producer,
                 uint64_t number, uint64_t time, struct bytes message_id)
{
    struct ledger_channel *c = &ledger->channels[channel];
    struct ledger_entry *entry = entry_at(ledger, channel, seq);
    c->seen_last = seq > c->seen_last ? seq : c->seen_last;
    if (entry == NULL) {
        violations_add(ledger->violations, VIOLATION_UNEXPECTED, 1,
                       "channel %" PRIu32 ": a message has seq %" PRIu64
                       ", beyond all that was sent",
                       channel, seq);
        return;
    }
    if (c->changed) {
        return;
    }
    if (entry->seen_number == 0) {
        entry->seen_number = (uint32_t)number;
        entry->seen_producer = (uint16_t)producer;
        entry->time_low = (uint32_t)time;
        ledger->seen_count++;
        if (!check_agreed(ledger, channel, seq, entry)) {
            entry->id_hash = 0; /* another message's: what is seen counts */
        }
        check_id(ledger, channel, seq, entry, id_hash(message_id));
        return;
    }
    if (entry->seen_number != number || entry->seen_producer != producer) {
        violations_add(ledger->violations, VIOLATION_INCONSISTENT, 1,
                       "channel %" PRIu32 ", seq %" PRIu64 ": one observer saw producer %u's "
                       "number %" PRIu32 ", another one producer %" PRIu32 "'s number %" PRIu64,
                       channel, seq, entry->seen_producer, entry->seen_number, producer, number);
        return;
    }
    if (entry->time_low != (uint32_t)time) {
        violations_add(ledger->violations, VIOLATION_INCONSISTENT, 1,
                       "channel %" PRIu32 ", seq %" PRIu64 ": two different times", channel, seq);
    }
    check_id(ledger, channel, seq, entry, id_hash(message_id));
}

void ledger_epoch(struct ledger *ledger, uint32_t channel, struct bytes epoch)
{
    struct ledger_channel *c = &ledger->channels[channel];
    if (bytes_equal(epoch, bytes_of(c->epoch, c->epoch_size))) {
        return;
    }
    if (epoch.size == 0 || epoch.size > sizeof(c->epoch)) {
        violations_add(ledger->violations, VIOLATION_PROTOCOL, 1,
                       "channel %" PRIu32 ": an epoch of %zu bytes", channel, epoch.size);
        return;
    }
    if (c->epoch_size > 0) {
        c->changed = true;
        ledger->epoch_changes++;
        violations_add(ledger->violations, VIOLATION_HISTORY_CHANGED, 1,
                       "channel %" PRIu32 ": its epoch was %.*s and is %.*s", channel,
                       (int)c->epoch_size, (const char *)c->epoch, (int)epoch.size,
                       (const char *)epoch.data);
    }
    bytes_copy(c->epoch, epoch.data, epoch.size);
    c->epoch_size = epoch.size;
}

uint64_t ledger_bit_count(const struct ledger *ledger, uint32_t channel)
{
    return ledger->channels[channel].first_bits[ledger->workload->options.producers];
}

uint64_t ledger_bit(const struct ledger *ledger, uint32_t channel, uint32_t producer,
                    uint64_t number)
{
    const struct ledger_channel *c = &ledger->channels[channel];
    const uint64_t bit = c->first_bits[producer] + number - 1;
    ASSERT_HOT(number > 0 && bit < c->first_bits[producer + 1]);
    return bit;
}
