#include "client/observer.h"

#include "base/digest.h"
#include "base/mem.h"
#include "client/observer_private.h"

#include <inttypes.h>
#include <stdio.h>

/* Behind a gap a producer's next number is anything that has not come yet. */
#define LAST_UNKNOWN UINT32_MAX

enum rc observer_init(struct observer *observer, struct ledger *ledger, uint32_t channel,
                      const char *name, struct buf *scratch)
{
    const uint64_t bits = ledger_bit_count(ledger, channel);
    *observer =
        (struct observer){.ledger = ledger, .channel = channel, .next = 1, .scratch = scratch};
    (void)snprintf(observer->name, sizeof(observer->name), "%s", name);
    observer->delivered = mem_calloc(bits / 8 + 1, 1);
    observer->last_numbers = mem_calloc(ledger->workload->options.producers, sizeof(uint32_t));
    enum rc rc = observer->delivered == NULL || observer->last_numbers == NULL ? RC_NOMEM : RC_OK;
    observer->channel_name_size =
        workload_channel_name(ledger->workload, channel, observer->channel_name);
    observer->digest = digest_start(bytes_of(observer->channel_name, observer->channel_name_size));
    observer->digest_whole = true;
    if (rc == RC_OK) {
        /* Without it a message could not be compared, and would seem to be another. */
        buf_clear(scratch);
        rc = buf_reserve(scratch, workload_data_room(ledger->workload));
    }
    if (rc != RC_OK) {
        observer_deinit(observer);
    }
    return rc;
}

void observer_deinit(struct observer *observer)
{
    mem_free(observer->delivered);
    mem_free(observer->last_numbers);
    mem_free(observer->gaps);
    *observer = (struct observer){0};
}

static bool has_bit(const uint8_t *bits, uint64_t bit)
{
    return (bits[bit / 8] >> (bit % 8) & 1) != 0;
}

static void set_bit(uint8_t *bits, uint64_t bit)
{
    bits[bit / 8] = (uint8_t)(bits[bit / 8] | 1u << (bit % 8));
}

bool observer_has(const struct observer *observer, uint32_t producer, uint64_t number)
{
    return has_bit(observer->delivered,
                   ledger_bit(observer->ledger, observer->channel, producer, number));
}

/* ---- one message --------------------------------------------------------------------------- */

/* Whose message it is; false: nobody has sent it. */
static bool find_sender(const struct observer *o, const struct reply_message *m,
                        uint32_t *ret_producer)
{
    uint32_t producer;
    if (!workload_producer_of(o->ledger->workload, m->producer, &producer) ||
        m->producer_seq == 0 ||
        m->producer_seq > o->ledger->sent[ledger_stream(o->ledger, o->channel, producer)]) {
        return false;
    }
    *ret_producer = producer;
    return true;
}

/* Whether data and key are, byte for byte, what was sent. */
static bool payload_is_right(struct observer *o, const struct reply_message *m, uint32_t producer)
{
    const struct workload *workload = o->ledger->workload;
    const struct bytes key = workload_key(workload, m->producer_seq);
    struct buf *wanted = o->scratch;
    buf_clear(wanted);
    const enum rc rc = workload_data(workload, o->channel, producer, m->producer_seq, wanted);
    ASSERT(rc == RC_OK); /* observer_init() has made room */
    return !m->is_bytes && bytes_equal(m->data, buf_bytes(wanted)) &&
           m->has_key == (key.size > 0) && bytes_equal(m->key, key);
}

static void check_payload(struct observer *o, const struct reply_message *m, uint32_t producer)
{
    if (!payload_is_right(o, m, producer)) {
        violations_add(o->ledger->violations, VIOLATION_PAYLOAD_CHANGED, 1,
                       "%s, channel %" PRIu32 ", seq %" PRIu64 ": data or key of %.*s's number "
                       "%" PRIu64 " are not what was sent",
                       o->name, o->channel, m->seq, (int)m->producer.size,
                       (const char *)m->producer.data, m->producer_seq);
    }
}

/* [I6] numbers rise one by one, where no message is missing in between. */
static void check_producer_order(struct observer *o, uint32_t producer, uint64_t number,
                                 uint64_t seq)
{
    const uint32_t last = o->last_numbers[producer];
    if (last != LAST_UNKNOWN && number != (uint64_t)last + 1) {
        violations_add(o->ledger->violations, VIOLATION_PRODUCER_ORDER, 1,
                       "%s, channel %" PRIu32 ", seq %" PRIu64 ": producer %" PRIu32
                       "'s number %" PRIu64 " follows its number %" PRIu32,
                       o->name, o->channel, seq, producer, number, last);
    }
    if (last == LAST_UNKNOWN || number > last) {
        o->last_numbers[producer] = (uint32_t)number;
    }
}

static void forget_numbers(struct observer *o)
{
    for (uint32_t i = 0; i < o->ledger->workload->options.producers; i++) {
        o->last_numbers[i] = LAST_UNKNOWN;
    }
}

/* Seqs from `from` up to `seq` were passed over without a word; they may still come. */
static void skip(struct observer *o, uint64_t from, uint64_t seq)
{
    if (o->missing == 0) {
        o->missing_first = from;
    }
    o->missing += seq - from;
    o->ledger->violations->suspects += seq - from;
    forget_numbers(o);
}

/* A seq that was judged before comes again, as the client has asked for it. */
static void take_again(struct observer *o, uint64_t seq)
{
    if (seq > o->again) {
        skip(o, o->again, seq);
    }
    o->again = seq + 1 == o->next ? 0 : seq + 1;
}

/* A seq that was passed before. */
static void take_late(struct observer *o, uint64_t seq, bool known)
{
    if (known) {
        violations_add(o->ledger->violations, VIOLATION_DUPLICATED, 1,
                       "%s, channel %" PRIu32 ": seq %" PRIu64 " came again where %" PRIu64
                       " is next",
                       o->name, o->channel, seq, o->next);
        return;
    }
    violations_add(o->ledger->violations, VIOLATION_OUT_OF_ORDER, 1,
                   "%s, channel %" PRIu32 ": seq %" PRIu64 " came behind seq %" PRIu64, o->name,
                   o->channel, seq, o->next - 1);
    if (o->missing > 0) {
        o->missing--;
        o->ledger->violations->suspects--;
    }
}

static void take_new(struct observer *o, uint64_t seq, uint32_t producer, uint64_t number,
                     bool known)
{
    const uint64_t wanted = o->again == 0 ? o->next : o->again;
    if (seq > wanted) {
        skip(o, wanted, seq);
    }
    o->again = 0;
    o->next = seq + 1;
    if (seq < o->behind) {
        forget_numbers(o); /* it was here before the server went back, as that has told */
    }
    if (known && seq >= o->behind) {
        violations_add(o->ledger->violations, VIOLATION_STORED_TWICE, 1,
                       "%s, channel %" PRIu32 ": producer %" PRIu32 "'s number %" PRIu64
                       " stands at seq %" PRIu64 ", and at a lower one too",
                       o->name, o->channel, producer, number, seq);
    } else {
        check_producer_order(o, producer, number, seq);
    }
}

struct bytes observer_id(struct observer *observer, const struct reply_message *message)
{
    return message->id_text.size > 0 || message->message_id == 0
               ? message->id_text
               : digest_id_text(&observer->id, message->message_id);
}

/* The digest goes on only from one message to the next. */
static void roll_digest(struct observer *o, const struct reply_message *m, struct bytes id)
{
    if (m->seq != o->next || id.size > DIGEST_TEXT_BYTES_MAX ||
        m->producer.size > DIGEST_TEXT_BYTES_MAX || m->key.size > DIGEST_TEXT_BYTES_MAX) {
        o->digest_whole = false;
    }
    if (!o->digest_whole) {
        return;
    }
    const struct digest_message message = {.seq = m->seq,
                                           .time_ms = m->time_ms,
                                           .message_id = id,
                                           .producer = m->producer,
                                           .producer_seq = m->producer_seq,
                                           .key = m->key,
                                           .has_key = m->has_key,
                                           .is_bytes = m->is_bytes,
                                           .data = m->data};
    o->digest = digest_roll(o->digest, &message);
}

/* [P 3] `window`: as many are unacknowledged at most. What we have acknowledged may not be there
 * yet, so a server may keep to less. */
static void check_window(const struct observer *o, uint64_t seq)
{
    if (o->window > 0 && seq > o->acked && seq - o->acked > o->window) {
        violations_add(o->ledger->violations, VIOLATION_PROTOCOL, 1,
                       "%s, channel %" PRIu32 ": seq %" PRIu64 " was sent with %" PRIu64
                       " acknowledged and a window of %" PRIu64,
                       o->name, o->channel, seq, o->acked, o->window);
    }
}

/* A message that came for the first time. */
static void count_delivery(struct observer *o, uint32_t producer, uint64_t number, uint64_t load_ns)
{
    set_bit(o->delivered, ledger_bit(o->ledger, o->channel, producer, number));
    o->distinct++;
    const uint64_t due = workload_number_due_ns(o->ledger->workload, o->channel, producer, number);
    if (o->latency_us != NULL && load_ns >= due) {
        histogram_add(o->latency_us, (load_ns - due) / 1000);
    }
}

void observer_message(struct observer *observer, const struct reply_message *message,
                      uint64_t load_ns)
{
    struct observer *o = observer;
    const struct reply_message *m = message;
    const struct bytes id = observer_id(o, m);
    uint32_t producer;
    o->received++;
    check_window(o, m->seq);
    roll_digest(o, m, id);
    if (!find_sender(o, m, &producer)) {
        violations_add(o->ledger->violations, VIOLATION_UNEXPECTED, 1,
                       "%s, channel %" PRIu32 ", seq %" PRIu64 ": number %" PRIu64
                       " of producer '%.*s' was never sent",
                       o->name, o->channel, m->seq, m->producer_seq, (int)m->producer.size,
                       (const char *)m->producer.data);
        o->next = m->seq >= o->next ? m->seq + 1 : o->next;
        return;
    }
    check_payload(o, m, producer);
    const bool known = observer_has(o, producer, m->producer_seq);
    if (m->seq >= o->next) {
        take_new(o, m->seq, producer, m->producer_seq, known);
    } else if (o->again != 0 && m->seq >= o->again) {
        take_again(o, m->seq);
        ledger_seen(o->ledger, o->channel, m->seq, producer, m->producer_seq, m->time_ms, id);
        return;
    } else {
        take_late(o, m->seq, known);
    }
    if (!known) {
        count_delivery(o, producer, m->producer_seq, load_ns);
    }
    ledger_seen(o->ledger, o->channel, m->seq, producer, m->producer_seq, m->time_ms, id);
}

/* ---- what is missing ----------------------------------------------------------------------- */

static void remember_gap(struct observer *o, uint64_t from, uint64_t to)
{
    if (o->gaps == NULL) {
        o->gaps = mem_calloc(OBSERVER_GAPS_MAX, sizeof(*o->gaps));
    }
    if (o->gaps == NULL || o->gap_count == OBSERVER_GAPS_MAX) {
        o->forgot_gaps = true;
        return;
    }
    o->gaps[o->gap_count++] = (struct observer_gap){from, to};
}

void observer_gap(struct observer *observer, uint64_t from, uint64_t to, const char *reason)
{
    struct observer *o = observer;
    ASSERT(from <= to);
    violations_add(o->ledger->violations, VIOLATION_GAP_ANNOUNCED, to - from + 1,
                   "%s, channel %" PRIu32 ": the server says that seqs %" PRIu64 " to %" PRIu64
                   " are gone (%s)",
                   o->name, o->channel, from, to, reason);
    remember_gap(o, from, to);
    o->digest_whole = false;
    forget_numbers(o);
    o->again = o->again != 0 && to + 1 < o->next ? to + 1 : 0;
    o->next = to + 1 > o->next ? to + 1 : o->next;
    o->acked = to > o->acked ? to : o->acked; /* nobody can acknowledge what is gone */
}

/* What was announced as gone counts as delivered from here on. Returns how many messages were in
 * the gaps of which nobody ever saw which they were. */
static uint64_t excuse_gaps(struct observer *o)
{
    const struct ledger_channel *c = &o->ledger->channels[o->channel];
    uint64_t unknown = 0;
    for (uint32_t i = 0; i < o->gap_count; i++) {
        /* `to` is what a server says, and may be anything. */
        const uint64_t to = o->gaps[i].to < c->capacity ? o->gaps[i].to : c->capacity;
        unknown += o->gaps[i].to - to;
        for (uint64_t seq = o->gaps[i].from; seq <= to; seq++) {
            const struct ledger_entry *e = &c->entries[seq - 1];
            if (e->seen_number == 0 && e->acked_number == 0) {
                unknown++;
                continue;
            }
            const bool seen = e->seen_number != 0;
            set_bit(o->delivered,
                    ledger_bit(o->ledger, o->channel, seen ? e->seen_producer : e->acked_producer,
                               seen ? e->seen_number : e->acked_number));
        }
    }
    return unknown;
}

/* The first (or last) number of a stream that was delivered, 0: none was. */
static uint64_t edge(const struct observer *o, uint32_t producer, uint64_t count, bool last)
{
    for (uint64_t i = 1; i <= count; i++) {
        const uint64_t number = last ? count + 1 - i : i;
        if (observer_has(o, producer, number)) {
            return number;
        }
    }
    return 0;
}

/* Counts a number as lost unless another observer's end has. */
static bool mark_lost(struct observer *o, uint32_t producer, uint64_t number)
{
    struct ledger_channel *c = &o->ledger->channels[o->channel];
    if (c->lost == NULL) {
        c->lost = mem_calloc(ledger_bit_count(o->ledger, o->channel) / 8 + 1, 1);
    }
    const uint64_t bit = ledger_bit(o->ledger, o->channel, producer, number);
    if (c->lost == NULL || has_bit(c->lost, bit)) {
        return c->lost == NULL; /* without memory it is counted once for each observer */
    }
    set_bit(c->lost, bit);
    return true;
}

static void finish_stream(struct observer *o, uint32_t producer, bool complete, uint64_t *excused)
{
    const uint64_t acked = o->ledger->acked[ledger_stream(o->ledger, o->channel, producer)];
    const uint64_t first = edge(o, producer, acked, false);
    const uint64_t last = edge(o, producer, acked, true);
    for (uint64_t number = 1; number <= (complete ? acked : last); number++) {
        if (observer_has(o, producer, number)) {
            continue;
        }
        if (*excused > 0) {
            (*excused)--;
            continue;
        }
        if (!mark_lost(o, producer, number)) {
            continue;
        }
        const enum violation violation = number > last    ? VIOLATION_LOST_POSTFIX
                                         : number < first ? VIOLATION_LOST_PREFIX
                                                          : VIOLATION_LOST_MIDDLE;
        violations_add(o->ledger->violations, violation, 1,
                       "%s, channel %" PRIu32 ": producer %" PRIu32 "'s number %" PRIu64
                       " was acknowledged and never came",
                       o->name, o->channel, producer, number);
    }
}

void observer_finish(struct observer *observer, bool complete)
{
    struct observer *o = observer;
    if (o->missing > 0) {
        violations_add(o->ledger->violations, VIOLATION_GAP_UNANNOUNCED, o->missing,
                       "%s, channel %" PRIu32 ": %" PRIu64 " seqs were skipped without a word, "
                       "the first one near seq %" PRIu64,
                       o->name, o->channel, o->missing, o->missing_first);
        o->ledger->violations->suspects -= o->missing;
        o->missing = 0;
    }
    uint64_t excused = excuse_gaps(o);
    if (o->forgot_gaps) {
        return; /* what is missing cannot be told from what was announced */
    }
    for (uint32_t i = 0; i < o->ledger->workload->options.producers; i++) {
        finish_stream(o, i, complete, &excused);
    }
}
