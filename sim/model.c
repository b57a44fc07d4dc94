#include "sim/model.h"

#include "base/digest.h"
#include "base/hash.h"
#include "base/mem.h"
#include "core/command.h"
#include "core/snowflake.h"
#include "sim/copies.h"
#include "sim/faults.h"
#include "sim/keys.h"
#include "sim/numbers.h"
#include "sim/rot.h"
#include "sim/trace.h"

#include <stdio.h>
#include <string.h>

#define TEXT_SIZE     32u
#define HISTORIES_MAX 32u

struct told {
    bool known;      /* who it is */
    bool seen;       /* with the rest */
    bool has_digest; /* told, or computed from those before */
    uint64_t digest;
    struct identity who;
    uint64_t time;
    char message_id[TEXT_SIZE];
};

/* What one epoch of a channel holds, and held. */
struct history {
    char epoch[TEXT_SIZE]; /* empty: nobody knows it */
    struct told *messages; /* by seq */
    uint64_t capacity;
    uint64_t latest;
    uint64_t earliest;
    uint64_t same_below; /* below it the current one is said to be the same */
};

struct channel_model {
    char name[TEXT_SIZE];
    struct history histories[HISTORIES_MAX]; /* the last is the current one */
    unsigned count;
    unsigned loss_count; /* how often something that somebody may have seen was lost */
};

/* Where the messages of one (producer, epoch, channel) stand: seq by number, 0: not known. */
struct series {
    uint64_t *seqs;
    unsigned capacity;
    uint64_t first; /* the lowest and the highest seq */
    uint64_t last;
};

static struct {
    struct plan plan;
    bool retention;      /* some setting so far has removed messages … */
    bool whole;          /* … whole segments of them */
    uint64_t keep_least; /* messages of a channel; the smallest setting so far, 0: none */
    uint64_t keep_most;  /* the largest; UINT64_MAX: all */
    struct channel_model channels[PLAN_CHANNELS_MAX];
    struct series series[PRODUCERS_MAX][EPOCHS_MAX][PLAN_CHANNELS_MAX];
    uint64_t expiry_least; /* of a producer; the shortest so far, 0: none */
    unsigned loss_count;   /* how often something that somebody may have seen was lost */
    uint64_t message_count;
} model;

static struct history *history_at(unsigned channel, unsigned index)
{
    ASSERT(index < model.channels[channel].count);
    return &model.channels[channel].histories[index];
}

static struct history *current(unsigned channel)
{
    return history_at(channel, model.channels[channel].count - 1);
}

void model_begin(const struct plan *plan)
{
    bytes_zero(&model, sizeof(model));
    numbers_begin();
    for (unsigned i = 0; i < PLAN_CHANNELS_MAX; i++) {
        struct channel_model *channel = &model.channels[i];
        (void)snprintf(channel->name, sizeof(channel->name), "channel-%u", i);
        channel->histories[0].earliest = 1;
        channel->count = 1;
    }
    model_plan(plan);
}

void model_plan(const struct plan *plan)
{
    model.plan = *plan;
    model.whole = model.whole || plan->retention_bytes > 0 || plan->retention_age_ms > 0;
    model.retention = model.whole || model.retention || plan->retention_messages > 0;
    const uint64_t expiry = plan->producer_expiry_ms;
    if (expiry > 0 && (model.expiry_least == 0 || expiry < model.expiry_least)) {
        model.expiry_least = expiry;
    }
    const uint64_t keep = plan->retention_messages;
    if (keep > 0 && (model.keep_least == 0 || keep < model.keep_least)) {
        model.keep_least = keep;
    }
    if (keep == 0 || keep > model.keep_most) {
        model.keep_most = keep == 0 ? UINT64_MAX : keep;
    }
}

void model_end(void)
{
    for (unsigned c = 0; c < PLAN_CHANNELS_MAX; c++) {
        for (unsigned h = 0; h < model.channels[c].count; h++) {
            mem_free(model.channels[c].histories[h].messages);
        }
        for (unsigned p = 0; p < PRODUCERS_MAX; p++) {
            for (unsigned e = 0; e < EPOCHS_MAX; e++) {
                mem_free(model.series[p][e][c].seqs);
            }
        }
    }
}

const char *model_channel_name(unsigned channel)
{
    return model.channels[channel].name;
}

unsigned model_channel_number(const char *name)
{
    for (unsigned c = 0; c < PLAN_CHANNELS_MAX; c++) {
        if (strcmp(name, model.channels[c].name) == 0) {
            return c;
        }
    }
    trace_fail("protocol", "something of channel %s", name);
}

uint64_t model_message_count(void)
{
    return model.message_count;
}

static unsigned partition_of(unsigned channel)
{
    const uint64_t hash = hash_bytes(bytes_of_text(model.channels[channel].name), 0);
    return (unsigned)(hash % model.plan.partitions);
}

/* ---- payloads -------------------------------------------------------------------------------- */

static size_t pad_of(unsigned channel, struct identity who)
{
    const uint64_t key[4] = {channel, who.producer, who.epoch, who.n};
    return model.plan.pad_max == 0
               ? 0
               : (size_t)(hash_bytes(bytes_of(key, sizeof(key)), 5) % (model.plan.pad_max + 1));
}

void model_payload(struct buf *to, unsigned channel, struct identity who)
{
    char text[100];
    const size_t pad = pad_of(channel, who);
    const int size = snprintf(text, sizeof(text), "{\"p\":%u,\"e\":%u,\"n\":%u,\"c\":%u,\"x\":\"",
                              who.producer, who.epoch, who.n, channel);
    enum rc rc = buf_reserve(to, (size_t)size + pad + 2);
    ASSERT(rc == RC_OK);
    buf_put(to, text, (size_t)size);
    (void)memset(to->data + to->size, 'a' + (int)(who.n % 26), pad);
    to->size += pad;
    buf_put(to, "\"}", 2);
}

static struct identity payload_check(unsigned channel, const struct value *data)
{
    const struct identity who = {
        .producer = (unsigned)member_u64(data, "p"),
        .epoch = (unsigned)member_u64(data, "e"),
        .n = (unsigned)member_u64(data, "n"),
    };
    const char *pad = member_text(data, "x");
    const size_t size = strlen(pad);
    if (member_u64(data, "c") != channel || who.producer >= PRODUCERS_MAX ||
        who.epoch >= EPOCHS_MAX || size != pad_of(channel, who) ||
        (size > 0 && (pad[0] != 'a' + (char)(who.n % 26) || pad[size - 1] != pad[0]))) {
        trace_fail("I2 agreement", "a payload that nobody published to %s (p%u e%u n%u)",
                   model.channels[channel].name, who.producer, who.epoch, who.n);
    }
    return who;
}

/* ---- the map --------------------------------------------------------------------------------- */

static struct told *told_at(struct history *channel, uint64_t seq)
{
    if (seq == 0 || seq > 1000000) {
        trace_fail("protocol", "seq %llu", (unsigned long long)seq);
    }
    if (seq >= channel->capacity) {
        const uint64_t capacity = seq * 2 + 64;
        channel->messages = mem_realloc(channel->messages, capacity * sizeof(struct told));
        ASSERT(channel->messages != NULL);
        bytes_zero(channel->messages + channel->capacity,
                   (capacity - channel->capacity) * sizeof(struct told));
        channel->capacity = capacity;
    }
    return &channel->messages[seq];
}

bool model_who(unsigned channel, unsigned history, uint64_t seq, struct identity *ret_who)
{
    const struct told *told = told_at(history_at(channel, history), seq);
    *ret_who = told->who;
    return told->known;
}

static bool identity_equal(struct identity a, struct identity b)
{
    return a.producer == b.producer && a.epoch == b.epoch && a.n == b.n;
}

static void epochs_check(unsigned channel, struct identity who, uint64_t seq)
{
    for (unsigned e = 1; e < EPOCHS_MAX; e++) {
        const struct series *other = &model.series[who.producer][e][channel];
        if (other->first != 0 &&
            ((e > who.epoch && seq > other->first) || (e < who.epoch && seq < other->last))) {
            trace_fail("P16 fencing", "p%u epoch %u at seq %llu of %s, epoch %u at %llu … %llu",
                       who.producer, who.epoch, (unsigned long long)seq,
                       model.channels[channel].name, e, (unsigned long long)other->first,
                       (unsigned long long)other->last);
        }
    }
}

/* Neighbouring numbers that are known must stand on the right side. */
static void order_check(unsigned channel, const struct series *series, struct identity who,
                        uint64_t seq)
{
    const uint64_t below = who.n > 0 ? series->seqs[who.n - 1] : 0;
    const uint64_t above = who.n + 1 < series->capacity ? series->seqs[who.n + 1] : 0;
    if (below > seq || (above != 0 && above < seq)) {
        trace_fail("I6 producer order", "p%u e%u n%u has seq %llu of %s, between %llu and %llu",
                   who.producer, who.epoch, who.n, (unsigned long long)seq,
                   model.channels[channel].name, (unsigned long long)below,
                   (unsigned long long)above);
    }
}

static void series_put(unsigned channel, struct identity who, uint64_t seq)
{
    struct series *series = &model.series[who.producer][who.epoch][channel];
    if (who.n + 1 >= series->capacity) {
        const unsigned capacity = who.n * 2 + 64;
        series->seqs = mem_realloc(series->seqs, capacity * sizeof(uint64_t));
        ASSERT(series->seqs != NULL);
        bytes_zero(series->seqs + series->capacity,
                   (capacity - series->capacity) * sizeof(uint64_t));
        series->capacity = capacity;
    }
    const uint64_t before = series->seqs[who.n];
    if (before != 0 && before != seq) {
        trace_fail("I5 once", "p%u e%u n%u is both seq %llu and %llu of %s", who.producer,
                   who.epoch, who.n, (unsigned long long)before, (unsigned long long)seq,
                   model.channels[channel].name);
    }
    series->seqs[who.n] = seq;
    series->first = series->first == 0 || seq < series->first ? seq : series->first;
    series->last = seq > series->last ? seq : series->last;
    if (who.epoch > 0) {
        order_check(channel, series, who, seq);
        epochs_check(channel, who, seq);
    }
}

static struct told *know(unsigned channel, unsigned history, uint64_t seq, struct identity who)
{
    struct history *m = history_at(channel, history);
    struct told *told = told_at(m, seq);
    if (told->known && !identity_equal(told->who, who)) {
        trace_fail("I2 agreement", "seq %llu of %s was p%u e%u n%u, is p%u e%u n%u",
                   (unsigned long long)seq, model.channels[channel].name, told->who.producer,
                   told->who.epoch, told->who.n, who.producer, who.epoch, who.n);
    }
    if (!told->known) {
        if (!copies_possible(channel, who)) {
            trace_fail("P17 refused is not stored",
                       "seq %llu of %s is p%u e%u n%u: all that were sent were refused",
                       (unsigned long long)seq, model.channels[channel].name, who.producer,
                       who.epoch, who.n);
        }
        model.message_count++;
        told->known = true;
        told->who = who;
        if (m == current(channel)) {
            series_put(channel, who, seq);
        }
        told->who.n += model.message_count == model.plan.canary;
    }
    m->latest = seq > m->latest ? seq : m->latest;
    return told;
}

bool model_is_stored(unsigned channel, struct identity who)
{
    const struct series *series = &model.series[who.producer][who.epoch][channel];
    return who.n < series->capacity && series->seqs[who.n] != 0;
}

/* `last`: by producer, the message before; `whole`: everything since number 1 has been looked at.
 */
static void dense_check(unsigned channel, uint64_t seq, struct identity *last, bool whole)
{
    const struct identity who = current(channel)->messages[seq].who;
    if (who.epoch == 0) {
        return;
    }
    struct identity *before = &last[who.producer];
    const bool goes_on = before->epoch == who.epoch;
    const unsigned n = number_of(channel, who);
    if (goes_on ? n != number_of(channel, *before) + 1 : whole && n != 1) {
        trace_fail("I6 producer order", "seq %llu of %s is p%u e%u n%u, and the one before is n%u",
                   (unsigned long long)seq, model.channels[channel].name, who.producer, who.epoch,
                   who.n, goes_on ? before->n : 0);
    }
    *before = who;
}

void model_dense(void)
{
    for (unsigned c = 0; c < PLAN_CHANNELS_MAX && !model_lossy(); c++) {
        const struct history *m = current(c);
        struct identity last[PRODUCERS_MAX] = {0};
        bool whole = m->earliest == 1;
        for (uint64_t seq = m->earliest; seq <= m->latest && seq < m->capacity; seq++) {
            if (m->messages[seq].seen) {
                dense_check(c, seq, last, whole);
            } else { /* lost by name */
                bytes_zero(last, sizeof(last));
                whole = false;
            }
        }
    }
}

/* The producers are named p0, p1 …; others have no numbers. */
static unsigned producer_number(struct bytes id)
{
    unsigned number = 0;
    for (size_t i = 1; i < id.size; i++) {
        number = number * 10 + (unsigned)(id.data[i] - '0');
    }
    return number;
}

void model_kept(const struct record *record)
{
    struct command_publish publish = {0};
    char name[TEXT_SIZE];
    if (record->type != RECORD_PUBLISH || model.keep_least > 0 ||
        command_publish_decode(record->body, &publish) != RC_OK || publish.producer.size == 0) {
        return;
    }
    (void)snprintf(name, sizeof(name), "%.*s", (int)publish.channel.size,
                   (const char *)publish.channel.data);
    const unsigned channel = model_channel_number(name);
    const struct series *series =
        &model.series[producer_number(publish.producer)][publish.producer_epoch][channel];
    for (uint32_t i = 0; i < publish.count; i++) {
        const struct identity who = {producer_number(publish.producer),
                                     (unsigned)publish.producer_epoch,
                                     (unsigned)publish.producer_seq + i};
        const uint64_t n = number_owner(channel, who).n;
        const uint64_t seq = n < series->capacity ? series->seqs[n] : 0;
        char id[TEXT_SIZE]; /* a retry is a record, too, and has another */
        (void)snprintf(id, sizeof(id), "%llu",
                       (unsigned long long)snowflake_id(publish.tick + i, 1));
        const struct history *m = current(channel);
        if (seq > 0 && seq < m->earliest && strcmp(id, m->messages[seq].message_id) == 0) {
            trace_fail("P13 bounds", "seq %llu of %s is in the log, earliest is %llu",
                       (unsigned long long)seq, name, (unsigned long long)m->earliest);
        }
    }
}

/* ---- what clients are told ------------------------------------------------------------------- */

struct model_mark model_mark(unsigned channel)
{
    const struct history *m = current(channel);
    return (struct model_mark){
        .history = model_history(channel), .earliest = m->earliest, .latest = m->latest};
}

unsigned model_history(unsigned channel)
{
    return model.channels[channel].count - 1;
}

uint64_t model_latest(unsigned channel)
{
    return current(channel)->latest;
}

bool model_time(unsigned channel, uint64_t seq, uint64_t *ret_time)
{
    const struct history *m = current(channel);
    if (seq >= m->capacity || !m->messages[seq].seen) {
        return false;
    }
    *ret_time = m->messages[seq].time;
    return true;
}

uint64_t model_latest_of(unsigned channel, unsigned history)
{
    return history_at(channel, history)->latest;
}

const char *model_epoch(unsigned channel, unsigned history)
{
    const char *epoch = history_at(channel, history)->epoch;
    return epoch[0] == '\0' ? NULL : epoch;
}

void model_may_lose(void)
{
    model.loss_count++;
    for (unsigned c = 0; c < PLAN_CHANNELS_MAX; c++) {
        model.channels[c].loss_count++;
    }
}

void model_may_lose_in(unsigned partition)
{
    model.loss_count++;
    for (unsigned c = 0; c < PLAN_CHANNELS_MAX; c++) {
        model.channels[c].loss_count += partition_of(c) == partition;
    }
}

bool model_may_be_damaged(unsigned channel)
{
    return rot_log(partition_of(channel)) || rot_side(partition_of(channel));
}

void model_damaged(unsigned channel, uint64_t from, uint64_t to)
{
    if (!model_may_be_damaged(channel) || to < from || from == 0) {
        trace_fail("P18 damage", "%s: %llu … %llu are told to be damaged, and nothing is",
                   model.channels[channel].name, (unsigned long long)from, (unsigned long long)to);
    }
}

bool model_lossy(void)
{
    return model.loss_count > 0;
}

/* A history that nobody has heard of begins; what producers have in it is not known. */
static void history_begin(unsigned channel, const char *epoch)
{
    struct channel_model *m = &model.channels[channel];
    if (m->count - 1 >= m->loss_count) {
        trace_fail("P9 epoch", "%s had epoch %s, has %s, and was lost %u times", m->name,
                   current(channel)->epoch, epoch, m->loss_count);
    }
    ASSERT(m->count < HISTORIES_MAX);
    trace("%s has a new epoch %s", m->name, epoch);
    for (unsigned h = 0; h < m->count; h++) {
        m->histories[h].same_below = 0;
    }
    m->histories[m->count++].earliest = 1;
    (void)snprintf(current(channel)->epoch, TEXT_SIZE, "%s", epoch);
    for (unsigned p = 0; p < PRODUCERS_MAX; p++) {
        for (unsigned e = 0; e < EPOCHS_MAX; e++) {
            struct series *series = &model.series[p][e][channel];
            mem_free(series->seqs);
            *series = (struct series){0};
        }
    }
}

/* Which history an answer speaks of; it may be of an older one only if it was asked then. */
static unsigned epoch_told(unsigned channel, const char *epoch, unsigned asked)
{
    struct channel_model *m = &model.channels[channel];
    if (current(channel)->epoch[0] == '\0') {
        trace("%s has epoch %s", m->name, epoch);
        (void)snprintf(current(channel)->epoch, TEXT_SIZE, "%s", epoch);
    }
    for (unsigned h = m->count; h-- > 0;) {
        if (strcmp(m->histories[h].epoch, epoch) == 0) {
            if (h < asked) {
                trace_fail("P9 epoch", "%s has epoch %s again", m->name, epoch);
            }
            return h;
        }
    }
    history_begin(channel, epoch);
    return m->count - 1;
}

static void same_check(unsigned channel, const struct history *old, uint64_t seq)
{
    const struct history *now = current(channel);
    const struct told *a = seq < old->capacity ? &old->messages[seq] : NULL;
    const struct told *b = seq < now->capacity ? &now->messages[seq] : NULL;
    if (a == NULL || b == NULL || !a->known || !b->known) {
        return;
    }
    if (!identity_equal(a->who, b->who) ||
        (a->seen && b->seen && strcmp(a->message_id, b->message_id) != 0)) {
        trace_fail("I2 agreement", "seq %llu of %s was p%u e%u n%u, and no longer is",
                   (unsigned long long)seq, model.channels[channel].name, a->who.producer,
                   a->who.epoch, a->who.n);
    }
}

void model_same(unsigned channel, unsigned history, uint64_t below)
{
    struct history *old = history_at(channel, history);
    if (old != current(channel) && below > old->same_below) {
        for (uint64_t seq = 1; seq < below; seq++) {
            same_check(channel, old, seq);
        }
        old->same_below = below;
    }
}

void model_lost(unsigned channel, unsigned history, unsigned now, uint64_t seq)
{
    const struct history *old = history_at(channel, history);
    const struct history *new = history_at(channel, now);
    /* A repair may be more careful than it need be; and where there was more than one loss, that
     * of an epoch in between may be lost as well. */
    if (rot_world() || model.channels[channel].loss_count > 1 || seq < 2 || seq > old->capacity ||
        seq > new->capacity) {
        return;
    }
    const struct told *a = &old->messages[seq - 1];
    const struct told *b = &new->messages[seq - 1];
    if (a->seen && b->seen && strcmp(a->message_id, b->message_id) == 0) {
        trace_fail("P7 resume",
                   "position %llu of %s is said to be lost with its epoch, and the "
                   "message before it is still there",
                   (unsigned long long)seq, model.channels[channel].name);
    }
}

void model_trimmed(unsigned channel, unsigned history, uint64_t to)
{
    struct history *m = history_at(channel, history);
    if (!model.retention) {
        trace_fail("I3 acked is kept", "%s: messages up to %llu are gone without retention",
                   model.channels[channel].name, (unsigned long long)to);
    }
    m->earliest = to + 1 > m->earliest ? to + 1 : m->earliest;
    m->latest = to > m->latest ? to : m->latest; /* it was there, whoever had seen it */
}

/* Whether a producer may be forgotten for its silence since that message. A wall clock that goes
 * its own way leaves it open. */
static bool expired(unsigned channel, uint64_t seq)
{
    uint64_t time;
    const bool true_clock = !fault_enabled(FAULT_WALL_BACK) && !fault_enabled(FAULT_WALL_FORWARD) &&
                            !fault_enabled(FAULT_WALL_DRIFTS) && !fault_enabled(FAULT_WALL_STOPS) &&
                            !fault_enabled(FAULT_LEAP_SECOND);
    return sim_wall_skew_ms != 0 || !true_clock || !model_time(channel, seq, &time) ||
           sim_wall_ms() > time + model.expiry_least;
}

void model_forgotten(unsigned channel, unsigned producer, unsigned epoch)
{
    const struct series *series = &model.series[producer][epoch][channel];
    if (model_lossy()) {
        return;
    }
    if (model.expiry_least > 0 && expired(channel, series->last)) {
        return;
    }
    if (!model.whole) {
        trace_fail("I5 once", "%s has forgotten p%u e%u, and has history",
                   model.channels[channel].name, producer, epoch);
    }
    model_trimmed(channel, model_history(channel), series->last);
}

/* Retention by number keeps as many as it says, no more and no fewer. */
static void keep_check(unsigned channel, uint64_t earliest, uint64_t latest)
{
    const uint64_t least = model.keep_least;
    const uint64_t upper = least > 0 && latest > least ? latest - least + 1 : 1;
    const uint64_t lower = latest > model.keep_most ? latest - model.keep_most + 1 : 1;
    /* Behind a loss what retention had taken may be there again, until the next message comes. */
    if ((earliest < lower && !rot_log(partition_of(channel))) ||
        (earliest > upper && !model.whole)) {
        trace_fail("P13 bounds", "%s: earliest %llu, latest %llu, and %llu to %llu are kept",
                   model.channels[channel].name, (unsigned long long)earliest,
                   (unsigned long long)latest, (unsigned long long)least,
                   (unsigned long long)model.keep_most);
    }
}

unsigned model_told(unsigned channel, const struct value *object, struct model_mark mark)
{
    const char *name = model.channels[channel].name;
    const uint64_t earliest = member_u64(object, "earliest");
    const uint64_t latest = member_u64(object, "latest");
    const unsigned history = epoch_told(channel, member_text(object, "epoch"), mark.history);
    if (history != mark.history) {
        mark = (struct model_mark){0};
    }
    if (latest < mark.latest) {
        trace_fail("I4 no phantom", "%s: latest is %llu, but %llu was known before the question",
                   name, (unsigned long long)latest, (unsigned long long)mark.latest);
    }
    const bool back = earliest < mark.earliest && !rot_log(partition_of(channel));
    if (back || earliest > latest + 1) {
        trace_fail("P13 bounds", "%s: earliest %llu, latest %llu, and earliest was %llu before",
                   name, (unsigned long long)earliest, (unsigned long long)latest,
                   (unsigned long long)mark.earliest);
    }
    keep_check(channel, earliest, latest);
    if (earliest > 1) {
        model_trimmed(channel, history, earliest - 1);
    }
    struct history *m = history_at(channel, history);
    m->latest = latest > m->latest ? latest : m->latest;
    return history;
}

/* As numbers: a shorter text is a smaller one. */
static int id_compare(const char *a, const char *b)
{
    const size_t x = strlen(a);
    const size_t y = strlen(b);
    return x != y ? (x < y ? -1 : 1) : strcmp(a, b);
}

static void id_check(const struct history *m, const char *name, uint64_t seq)
{
    const struct told *here = &m->messages[seq];
    const struct told *below = &m->messages[seq - 1];
    if (below->seen && id_compare(below->message_id, here->message_id) >= 0) {
        trace_fail("P25 message ids", "%s: seq %llu has %s, the one before has %s", name,
                   (unsigned long long)seq, here->message_id, below->message_id);
    }
}

static void time_check(const struct history *m, const char *name, uint64_t seq, uint64_t time)
{
    const struct told *below = &m->messages[seq - 1];
    const struct told *above = &m->messages[seq + 1];
    if ((below->seen && below->time > time) ||
        (seq + 1 < m->capacity && above->seen && above->time < time)) {
        trace_fail("P26 time", "the time of seq %llu of %s goes back", (unsigned long long)seq,
                   name);
    }
}

/* ---- digests --------------------------------------------------------------------------------- */

/* False: the digest in front of that message is not known. */
static bool digest_before(unsigned channel, const struct history *m, uint64_t seq,
                          uint64_t *ret_digest)
{
    if (seq == 1) {
        *ret_digest = digest_start(bytes_of_text(model.channels[channel].name));
        return true;
    }
    *ret_digest = m->messages[seq - 1].digest;
    return m->messages[seq - 1].has_digest;
}

/* [P 8] From what subscribers see of a message, and the digest before it. */
static uint64_t digest_next(unsigned channel, const struct history *m, uint64_t seq,
                            uint64_t before)
{
    const struct told *told = &m->messages[seq];
    char producer[TEXT_SIZE] = "";
    struct buf payload = {0};
    model_payload(&payload, channel, told->who);
    if (told->who.epoch > 0) {
        (void)snprintf(producer, sizeof(producer), "p%u", told->who.producer);
    }
    const char *key = key_text(key_number(channel, told->who));
    const struct digest_message message = {
        .seq = seq,
        .key = bytes_of_text(key == NULL ? "" : key),
        .has_key = key != NULL,
        .time_ms = told->time,
        .message_id = bytes_of_text(told->message_id),
        .producer = bytes_of_text(producer),
        .producer_seq = told->who.epoch > 0 ? number_of(channel, told->who) : 0,
        .data = buf_bytes(&payload),
    };
    const uint64_t digest = digest_roll(before, &message);
    buf_deinit(&payload);
    return digest;
}

static void digest_put(unsigned channel, struct history *m, uint64_t seq, uint64_t digest)
{
    struct told *told = &m->messages[seq];
    if (told->has_digest && told->digest != digest) {
        trace_fail("P28 digest", "%s: the digest of seq %llu is %016llx, and was %016llx",
                   model.channels[channel].name, (unsigned long long)seq,
                   (unsigned long long)digest, (unsigned long long)told->digest);
    }
    told->has_digest = true;
    told->digest = digest;
}

/* From that message on, as far as all are seen and nothing was told before. */
static void digest_roll_on(unsigned channel, unsigned history, uint64_t seq)
{
    struct history *m = history_at(channel, history);
    uint64_t before;
    while (seq < m->capacity && m->messages[seq].seen && digest_before(channel, m, seq, &before)) {
        const bool told = m->messages[seq].has_digest;
        digest_put(channel, m, seq, digest_next(channel, m, seq, before));
        if (told) {
            return;
        }
        seq++;
    }
}

void model_digest(unsigned channel, const struct value *reply)
{
    const uint64_t seq = member_u64(reply, "seq");
    uint64_t digest;
    if (!digest_parse(bytes_of_text(member_text(reply, "digest")), &digest)) {
        trace_fail("protocol", "a digest that is none: %s", member_text(reply, "digest"));
    }
    const unsigned history = epoch_told(channel, member_text(reply, "epoch"), 0);
    struct history *m = history_at(channel, history);
    if (seq == 0) {
        const char *name = model.channels[channel].name;
        if (digest != digest_start(bytes_of_text(name))) {
            trace_fail("P28 digest", "%s: the digest of nothing", name);
        }
        return;
    }
    (void)told_at(m, seq + 1);
    digest_put(channel, m, seq, digest);
    digest_roll_on(channel, history, seq + 1);
}

void model_seen(unsigned channel, unsigned history, const struct value *message)
{
    const char *name = model.channels[channel].name;
    const uint64_t seq = member_u64(message, "seq");
    const struct identity who = payload_check(channel, value_member(message, "data"));
    const char *message_id = member_text(message, "message_id");
    const uint64_t time = member_u64(message, "time");
    struct told *told = know(channel, history, seq, who);
    key_check(channel, who, message);
    if (who.epoch > 0) {
        char producer[TEXT_SIZE];
        (void)snprintf(producer, sizeof(producer), "p%u", who.producer);
        if (strcmp(member_text(message, "producer"), producer) != 0 ||
            member_u64(message, "producer_seq") != number_of(channel, who)) {
            trace_fail("I2 agreement", "seq %llu of %s, p%u e%u n%u, bears number %llu of %s",
                       (unsigned long long)seq, name, who.producer, who.epoch, who.n,
                       (unsigned long long)member_u64(message, "producer_seq"),
                       member_text(message, "producer"));
        }
    }
    if (told->seen && (told->time != time || strcmp(told->message_id, message_id) != 0)) {
        trace_fail("I2 agreement", "seq %llu of %s has another time or message_id than before",
                   (unsigned long long)seq, name);
    }
    const bool first = !told->seen;
    told->seen = true;
    told->time = time;
    (void)snprintf(told->message_id, sizeof(told->message_id), "%s", message_id);
    time_check(history_at(channel, history), name, seq, time);
    id_check(history_at(channel, history), name, seq);
    for (unsigned h = 0; history == model_history(channel) && h < history; h++) {
        if (seq < history_at(channel, h)->same_below) {
            same_check(channel, history_at(channel, h), seq);
        }
    }
    if (first) {
        digest_roll_on(channel, history, seq);
    }
}

void model_acked(unsigned channel, const char *epoch, uint64_t seq, struct identity who)
{
    (void)know(channel, epoch_told(channel, epoch, 0), seq, who);
}

unsigned model_heard(unsigned channel, const char *epoch)
{
    return epoch_told(channel, epoch, 0);
}
