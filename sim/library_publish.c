/* What a program with the C client library publishes, and what it is told of it: each message ends
 * once, in order within its channel, with the number that it must have and a status that is true;
 * what was on disk is there after any crash, and nothing else. */
#include "sdk/private.h"
#include "sim/copies.h"
#include "sim/heap.h"
#include "sim/library.h"
#include "sim/trace.h"

#include <stdio.h>
#include <string.h>

static struct identity who_of(const struct process *process, unsigned n)
{
    return (struct identity){process->library->producer, process->epoch, n};
}

unsigned library_pending(const struct process *process, unsigned channel)
{
    const struct line *line = &process->lines[channel];
    unsigned count = 0;
    for (unsigned n = 1; n <= line->made; n++) {
        count += line->messages[n].fate == FATE_PENDING;
    }
    return count;
}

unsigned library_pending_all(const struct process *process)
{
    unsigned count = 0;
    for (unsigned c = 0; c < PLAN_CHANNELS_MAX; c++) {
        count += library_pending(process, c);
    }
    return count;
}

bool library_has_ended(const struct process *process)
{
    bool ended = false;
    for (unsigned c = 0; c < PLAN_CHANNELS_MAX; c++) {
        ended = ended || process->lines[c].ended;
    }
    return ended;
}

static uint64_t charged(const struct process *process)
{
    uint64_t sum = 0;
    for (unsigned c = 0; c < PLAN_CHANNELS_MAX; c++) {
        const struct line *line = &process->lines[c];
        for (unsigned n = 1; n <= line->made; n++) {
            sum += line->messages[n].fate == FATE_PENDING ? line->messages[n].charge : 0;
        }
    }
    return sum;
}

/* ---- publishing ------------------------------------------------------------------------------ */

struct publishing {
    struct process *process;
    struct seriatim_publish publish;
    bool wait;
    enum seriatim_status status;
};

static void publish_part(void *ctx)
{
    struct publishing *p = ctx;
    p->status = p->wait ? seriatim_publish_wait(p->process->client, &p->publish, 0)
                        : seriatim_publish(p->process->client, &p->publish);
}

/* Now and then one that the server must refuse. */
static void payload_make(struct buf *to, unsigned channel, struct identity who, bool large)
{
    model_payload(to, channel, who);
    if (large) {
        to->size -= 2;
        const size_t more = (size_t)clients_plan.message_bytes + (size_t)sim_between(1, 300);
        const enum rc rc = buf_reserve(to, more + 2);
        ASSERT(rc == RC_OK);
        (void)memset(to->data + to->size, 'z', more);
        to->size += more;
        buf_put(to, "\"}", 2);
    }
}

/* The library has taken it. */
static void taken(struct process *process, unsigned channel, uint32_t charge, bool large)
{
    struct line *line = &process->lines[channel];
    const unsigned n = ++line->made;
    line->messages[n] = (struct fated){.charge = charge, .fate = FATE_PENDING, .large = large};
    copies_sent(channel, who_of(process, n), 1);
}

/* A call of its disk that has failed may have done its work. */
static void doubt(struct process *process)
{
    process->doubtful = machine_disk_failed(process->machine) || process->doubtful;
}

static void not_taken(struct process *process, const struct publishing *p, uint64_t charge)
{
    const uint64_t used = charged(process);
    const bool room = used + charge <= process->outbox_bytes;
    doubt(process);
    if (p->status == SERIATIM_FULL || p->status == SERIATIM_TIMEOUT) {
        if (room && process->ring_bytes + charge < clients_plan.tune.intake_bytes / 4) {
            trace_fail("client bounded", "l%u: an outbox of %llu bytes is full, %llu are in use",
                       process->library->producer, (unsigned long long)process->outbox_bytes,
                       (unsigned long long)used);
        }
        return;
    }
    if (p->status == SERIATIM_TOO_LARGE && charge > process->outbox_bytes) {
        return;
    }
    if (p->status == SERIATIM_DISK && process->doubtful) {
        process->no_disk = true;
        return;
    }
    trace_fail("client publish", "l%u: a publish is not taken: %s", process->library->producer,
               seriatim_status_text(p->status));
}

void library_publish(struct process *process, unsigned channel)
{
    struct line *line = &process->lines[channel];
    if (process->client == NULL || process->failed || process->closing ||
        line->made >= LIBRARY_MESSAGES || line->ended) {
        return;
    }
    const struct identity who = who_of(process, line->made + 1);
    const bool large = clients_plan.message_bytes > 0 && sim_chance(5);
    struct buf payload = {0};
    payload_make(&payload, channel, who, large);
    const char *name = model_channel_name(channel);
    const char *key = key_text(key_number(channel, who));
    struct publishing p = {
        .process = process,
        .publish = {.size = sizeof(p.publish),
                    .channel = name,
                    .data = payload.data,
                    .data_size = payload.size,
                    .key = key,
                    .user = (void *)(uintptr_t)who.n},
        .wait = !machine_runs(process->machine) && sim_chance(10),
    };
    const uint32_t charge = (uint32_t)(SDK_MESSAGE_CHARGE + strlen(name) + payload.size +
                                       (key == NULL ? 0 : strlen(key)));
    /* A callback may tell of it before this returns. */
    (void)process_call(process, publish_part, &p);
    buf_deinit(&payload);
    /* With a file and no time to wait for its disk. */
    const bool waits = p.wait && process->has_file && p.status == SERIATIM_TIMEOUT;
    if (p.status == SERIATIM_OK ||
        (waits && charged(process) + charge == seriatim_client_pending_bytes(process->client))) {
        trace("l%u e%u: n%u to %u%s", who.producer, who.epoch, who.n, channel,
              large ? ", too large" : "");
        process->ring_bytes += charge + 64;
        taken(process, channel, charge, large);
    } else {
        if (p.status != SERIATIM_FULL) {
            trace("l%u e%u: n%u to %u is not taken: %s", who.producer, who.epoch, who.n, channel,
                  seriatim_status_text(p.status));
        }
        not_taken(process, &p, charge);
    }
}

/* ---- what it is told ------------------------------------------------------------------------- */

/* Which message it is about. */
static unsigned told_of(const struct process *process, unsigned channel,
                        const struct seriatim_published *p)
{
    const struct line *line = &process->lines[channel];
    const unsigned number = (unsigned)p->producer_seq;
    const unsigned n = p->recovered ? number_owner(channel, who_of(process, number)).n
                                    : (unsigned)(uintptr_t)p->user;
    if (n == 0 || n > line->made || line->messages[n].fate != FATE_PENDING) {
        trace_fail("client ends once", "l%u e%u: n%u of channel %u ends with %s, and was not open",
                   process->library->producer, process->epoch, n, channel,
                   seriatim_status_text(p->status));
    }
    if (p->status == SERIATIM_DISK) {
        return n;
    }
    for (unsigned before = 1; before < n; before++) {
        if (line->messages[before].fate == FATE_PENDING) {
            trace_fail("client order", "l%u e%u: n%u of channel %u ends before n%u",
                       process->library->producer, process->epoch, n, channel, before);
        }
    }
    if (number != number_of(channel, who_of(process, n))) {
        trace_fail("client order", "l%u e%u: n%u of channel %u has number %u, and %u is its own",
                   process->library->producer, process->epoch, n, channel, number,
                   number_of(channel, who_of(process, n)));
    }
    return n;
}

static void published(struct process *process, unsigned channel, unsigned n,
                      const struct seriatim_published *p)
{
    const struct fated *message = &process->lines[channel].messages[n];
    if (message->large) {
        trace_fail("I13 refusals", "l%u: n%u of channel %u is published, and is too large",
                   process->library->producer, n, channel);
    }
    if (p->seq == 0 && !p->duplicate) {
        trace_fail("client publish", "l%u: n%u of channel %u is published, without a seq",
                   process->library->producer, n, channel);
    }
    if (p->seq > 0) {
        model_acked(channel, p->epoch, p->seq, who_of(process, n));
    } else if (!copies_possible(channel, who_of(process, n))) {
        trace_fail("client publish", "l%u: n%u of channel %u is a duplicate, and no copy can be",
                   process->library->producer, n, channel);
    }
}

static void refused(const struct process *process, unsigned channel, unsigned n,
                    const struct seriatim_published *p)
{
    if (strcmp(p->code, "too_large") != 0 || !process->lines[channel].messages[n].large) {
        trace_fail("client publish", "l%u: n%u of channel %u is refused: %s: %s",
                   process->library->producer, n, channel, p->code, p->text);
    }
    copies_refused(channel, who_of(process, n), 1, p->code);
    numbers_skip(channel, who_of(process, n), true);
}

/* It was not written, and never sent. */
static void failed(struct process *process, unsigned channel, unsigned n)
{
    doubt(process);
    if (!process->doubtful) {
        trace_fail("client publish", "l%u: n%u of channel %u has found no disk, and it works",
                   process->library->producer, n, channel);
    }
    copies_refused(channel, who_of(process, n), 1, "the disk");
    numbers_skip(channel, who_of(process, n), true);
}

static void unknown(struct process *process, unsigned channel, unsigned n,
                    const struct seriatim_published *p)
{
    const struct library *library = process->library;
    struct line *line = &process->lines[channel];
    if (p->status == SERIATIM_FENCED) {
        if (process->epoch == library->epoch_highest) {
            trace_fail("P16 fencing", "l%u: n%u of channel %u is fenced, by nobody",
                       library->producer, n, channel);
        }
    } else if (!line->ended) {
        model_forgotten(channel, library->producer, process->epoch);
    }
    line->ended = true;
}

static enum fate fate_of(struct process *process, unsigned channel, unsigned n,
                         const struct seriatim_published *p)
{
    if (p->status == SERIATIM_OK) {
        published(process, channel, n, p);
        return FATE_PUBLISHED;
    }
    if (p->status == SERIATIM_REFUSED) {
        refused(process, channel, n, p);
        return FATE_REFUSED;
    }
    if (p->status == SERIATIM_DISK) {
        failed(process, channel, n);
        return FATE_FAILED;
    }
    if (p->status != SERIATIM_UNKNOWN && p->status != SERIATIM_FENCED) {
        trace_fail("client publish", "a publish ends with %s", seriatim_status_text(p->status));
    }
    unknown(process, channel, n, p);
    return FATE_UNKNOWN;
}

void library_on_published(void *user, const struct seriatim_published *p)
{
    struct process *process = user;
    const enum heap_owner owner = heap_owner_set(HEAP_WORLD);
    const unsigned channel = model_channel_number(p->channel);
    const unsigned n = told_of(process, channel, p);
    trace("l%u e%u: n%u to %u ends: %s, seq %llu%s", process->library->producer, process->epoch, n,
          channel, seriatim_status_text(p->status), (unsigned long long)p->seq,
          p->duplicate ? ", a duplicate" : "");
    process->lines[channel].messages[n].fate = (uint8_t)fate_of(process, channel, n, p);
    if (!clients_calm && sim_chance(3) &&
        process->lines[channel].made < clients_plan.messages_max) {
        library_publish(process, channel);
    }
    (void)heap_owner_set(owner);
}

/* ---- what can be seen of the outbox ---------------------------------------------------------- */

void library_outbox_check(struct process *process)
{
    const uint64_t told = seriatim_client_pending_bytes(process->client);
    const uint64_t right = charged(process);
    if (told != right) {
        trace_fail("client bounded", "l%u: %llu bytes of the outbox are in use, and %llu are told",
                   process->library->producer, (unsigned long long)right, (unsigned long long)told);
    }
    if (told > process->outbox_bytes && told > process->recovered_bytes) {
        trace_fail("client bounded", "l%u: an outbox of %llu bytes holds %llu",
                   process->library->producer, (unsigned long long)process->outbox_bytes,
                   (unsigned long long)told);
    }
    if (!intake_empty(&process->client->intake)) {
        return;
    }
    process->ring_bytes = 0;
    for (unsigned c = 0; c < PLAN_CHANNELS_MAX; c++) {
        process->lines[c].durable = process->lines[c].made;
    }
}

/* Nobody will ever send it. */
static void lose(struct process *process, unsigned channel, unsigned n)
{
    trace("l%u e%u: n%u to %u was not on disk", process->library->producer, process->epoch, n,
          channel);
    process->lines[channel].messages[n].fate = FATE_LOST;
    copies_refused(channel, who_of(process, n), 1, "never sent");
    numbers_skip(channel, who_of(process, n), true);
}

void library_outbox_down(struct process *process)
{
    process->ring_bytes = 0;
    for (unsigned c = 0; c < PLAN_CHANNELS_MAX && !process->has_file; c++) {
        struct line *line = &process->lines[c];
        for (unsigned n = 1; n <= line->made; n++) {
            if (line->messages[n].fate == FATE_PENDING) {
                line->messages[n].fate = FATE_UNKNOWN;
            }
        }
    }
}

/* ---- what comes back ------------------------------------------------------------------------- */

struct listing {
    struct process *process;
    unsigned last[PLAN_CHANNELS_MAX]; /* of each channel */
    bool listed[PLAN_CHANNELS_MAX][LIBRARY_MESSAGES + 1];
    unsigned numbers[PLAN_CHANNELS_MAX][LIBRARY_MESSAGES + 1];
};

/* Who it is, by its payload. */
static unsigned listed_of(const struct process *process, unsigned channel,
                          const struct seriatim_pending *pending)
{
    struct buf copy = {0};
    const enum rc rc = buf_append(&copy, bytes_of(pending->data, pending->data_size));
    ASSERT(rc == RC_OK);
    const struct value *payload = value_read(copy.data, copy.size);
    const unsigned n = (unsigned)member_u64(payload, "n");
    if (member_u64(payload, "p") != process->library->producer ||
        member_u64(payload, "e") != process->epoch || member_u64(payload, "c") != channel ||
        n == 0 || n > process->lines[channel].made) {
        trace_fail("client outbox", "l%u: its outbox has a message that nobody has put there",
                   process->library->producer);
    }
    buf_deinit(&copy);
    return n;
}

static bool on_listed(void *user, const struct seriatim_pending *pending)
{
    struct listing *listing = user;
    struct process *process = listing->process;
    const enum heap_owner owner = heap_owner_set(HEAP_WORLD);
    const unsigned channel = model_channel_number(pending->channel);
    const unsigned n = listed_of(process, channel, pending);
    const char *key = key_text(key_number(channel, who_of(process, n)));
    if (n <= listing->last[channel] || !pending->recovered ||
        (pending->key == NULL) != (key == NULL) ||
        (key != NULL &&
         (strlen(key) != pending->key_size || memcmp(key, pending->key, pending->key_size) != 0))) {
        trace_fail("client outbox", "l%u e%u: n%u of channel %u is behind n%u, or has another key",
                   process->library->producer, process->epoch, n, channel, listing->last[channel]);
    }
    listing->last[channel] = n;
    listing->listed[channel][n] = true;
    listing->numbers[channel][n] = (unsigned)pending->producer_seq;
    (void)heap_owner_set(owner);
    return true;
}

/* It is there, and will be sent. */
static void came_back(struct process *process, unsigned channel, unsigned n)
{
    struct line *line = &process->lines[channel];
    const enum fate fate = (enum fate)line->messages[n].fate;
    if (fate == FATE_LOST ||
        ((fate == FATE_REFUSED || fate == FATE_FAILED) && !process->doubtful)) {
        trace_fail("client outbox", "l%u e%u: n%u of channel %u has ended, and is back",
                   process->library->producer, process->epoch, n, channel);
    }
    if (fate == FATE_REFUSED || fate == FATE_FAILED) {
        copies_sent(channel, who_of(process, n), 1);
        numbers_skip(channel, who_of(process, n), false);
    }
    line->messages[n].fate = FATE_PENDING;
    line->ended = false;
}

/* It is not there. */
static void stayed_away(struct process *process, unsigned channel, unsigned n)
{
    struct line *line = &process->lines[channel];
    if (line->messages[n].fate != FATE_PENDING) {
        return;
    }
    if (n <= line->durable) {
        trace_fail("client outbox", "l%u e%u: n%u of channel %u was on disk, and is gone",
                   process->library->producer, process->epoch, n, channel);
    }
    lose(process, channel, n);
}

void library_outbox_up(struct process *process)
{
    static struct listing listing;
    listing = (struct listing){.process = process};
    seriatim_client_pending(process->client, on_listed, &listing);
    const enum heap_owner owner = heap_owner_set(HEAP_WORLD);
    for (unsigned c = 0; c < PLAN_CHANNELS_MAX; c++) {
        struct line *line = &process->lines[c];
        for (unsigned n = 1; n <= line->made; n++) {
            (listing.listed[c][n] ? came_back : stayed_away)(process, c, n);
        }
        for (unsigned n = 1; n <= line->made; n++) {
            const unsigned right = number_of(c, who_of(process, n));
            if (listing.listed[c][n] && listing.numbers[c][n] != right) {
                trace_fail(
                    "client order", "l%u e%u: n%u of channel %u is back as number %u, was %u",
                    process->library->producer, process->epoch, n, c, listing.numbers[c][n], right);
            }
            if (listing.listed[c][n]) {
                trace("l%u e%u: n%u to %u is back", process->library->producer, process->epoch, n,
                      c);
            }
        }
        line->durable = line->made;
    }
    process->recovered_bytes = charged(process);
    process->doubtful = false;
    (void)heap_owner_set(owner);
    library_outbox_check(process);
}
