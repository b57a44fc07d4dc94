#include "sim/plan.h"

#include "server/config.h"

#include "base/bytes.h"
#include "base/prng.h"
#include "sim/machine.h"
#include "sim/trace.h"

#include <stddef.h>
#include <string.h>

/* Such that the seeds of sim/seeds.txt mean what they meant before there were any. */
#define LIBRARY_CHANCES 1141u

static uint64_t one_of(const uint64_t *values, unsigned count)
{
    return values[sim_below(count)];
}

#define ONE_OF(...)                                                                                \
    one_of((const uint64_t[]){__VA_ARGS__}, sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

/* One of them, or in half of the cases what a server has. */
static size_t tuned(size_t usual, size_t a, size_t b, size_t c)
{
    return sim_chance(50) ? usual : (size_t)ONE_OF(a, b, c);
}

/* Bounds that nobody would set so, for what happens at them. */
static void draw_tune(struct tune *to)
{
    const struct tune *usual = &tune_default;
    to->credit_bytes = tuned(usual->credit_bytes, 200, 1000, 4000);
    to->parcel_bytes = tuned(usual->parcel_bytes, 100, 500, 2000);
    to->feeds_bytes = tuned(usual->feeds_bytes, 1000, 3000, 10000);
    to->tail_bytes = tuned(usual->tail_bytes, 100, 1000, 4000);
    to->catch_up_bytes = tuned(usual->catch_up_bytes, 100, 1000, 4000);
    to->deflate_bytes = to->tail_bytes < usual->tail_bytes ? to->tail_bytes : usual->deflate_bytes;
    const bool usual_reads = to->catch_up_bytes == usual->catch_up_bytes;
    to->flow_bytes = usual_reads ? usual->flow_bytes : 3 * to->catch_up_bytes;
    to->flow_chunks = usual_reads ? usual->flow_chunks : 1;
    to->out_bytes = tuned(usual->out_bytes, 100, 1000, 10000);
    to->pong_bytes = tuned(usual->pong_bytes, 0, 20, 200);
    to->read_bytes = tuned(16384, 50, 500, 4096);
    to->part_bytes = tuned(1024, 10, 100, 8192);
    to->flush_bytes = tuned(usual->flush_bytes, 50, 500, 4000);
    to->flush_rounds = (unsigned)tuned(usual->flush_rounds, 1, 1, 2);
    to->accepts = (unsigned)tuned(usual->accepts, 1, 1, 2);
    to->newcomers = (unsigned)tuned(usual->newcomers, 1, 1, 2);
    to->waiting_room = (unsigned)tuned(usual->waiting_room, 0, 1, 2);
    to->mails = (unsigned)tuned(usual->mails, 1, 2, 5);
    to->slice_bytes = tuned(usual->slice_bytes, 1, 100, 1000);
    to->slice_rows = (unsigned)tuned(usual->slice_rows, 1, 1, 2);
    to->checkpoints = usual_reads ? usual->checkpoints : 2;
    to->checkpoint_bytes = usual_reads ? usual->checkpoint_bytes : 2 * to->slice_bytes;
    to->host_reads = (unsigned)tuned(usual->host_reads, 1, 1, 2);
    to->session_reads = (unsigned)tuned(usual->session_reads, 1, 1, 2);
    to->history_bytes = tuned(usual->history_bytes, 100, 1000, 4000);
    to->read_count = (uint32_t)tuned(usual->read_count, 1, 2, 7);
    to->subs_listed = (uint32_t)tuned(usual->subs_listed, 0, 1, 2);
    to->read_places = (uint32_t)tuned(usual->read_places, 1, 3, 10);
    to->conflate_count = (uint32_t)tuned(usual->conflate_count, 1, 5, 30);
    to->conflate_bytes = tuned(usual->conflate_bytes, 1, 300, 3000);
    to->conflate_key_bytes = tuned(usual->conflate_key_bytes, 1, 30, 60);
}

static void draw_settings(struct plan *plan)
{
    plan->threads = (unsigned)sim_between(1, 3);
    plan->feed_bytes = ONE_OF(1024, 1024, 2048, 4096, 65536);
    plan->retention_messages = sim_chance(65) ? sim_between(5, 50) : 0;
    plan->retention_bytes = sim_chance(35) ? ONE_OF(16384, 32768, 65536) : 0;
    plan->retention_age_ms = sim_chance(12) ? ONE_OF(1000, 5000, 60000) : 0;
    plan->producer_expiry_ms = sim_chance(12) ? ONE_OF(5000, 60000, 600000) : 0;
    plan->inflight = ONE_OF(1, 4, 64, 4096);
    plan->patience_ms = ONE_OF(0, 0, 500, 3000);
    draw_tune(&plan->tune);
    if (plan->durability == DURABILITY_MEMORY && plan->retention_bytes == 0) {
        plan->retention_bytes = 65536; /* as server.c, which has 256 MiB */
    }
    if (plan->mixed) {
        plan->durability = sim_chance(50) ? DURABILITY_OS : DURABILITY_FSYNC;
    }
}

/* Most worlds promise what a server promises by default. */
static void draw_durability(struct plan *plan)
{
    const unsigned kind = (unsigned)sim_below(100);
    plan->durability = kind < 82 ? DURABILITY_FSYNC : kind < 95 ? DURABILITY_OS : DURABILITY_MEMORY;
    plan->mixed = plan->durability == DURABILITY_OS && sim_chance(50);
}

static void draw_clients(struct plan *plan)
{
    plan->channels = (unsigned)sim_between(1, PLAN_CHANNELS_MAX);
    plan->publishers = (unsigned)sim_between(1, 3);
    plan->subscribers = (unsigned)sim_between(1, 4);
    plan->readers = (unsigned)sim_below(2);
    plan->web_publishers = (unsigned)sim_below(2);
    plan->hostiles = (unsigned)sim_below(2);
    plan->messages_max = (unsigned)ONE_OF(30, 100, 300);
    plan->pad_max = (unsigned)ONE_OF(0, 0, 50, 50, 300, 300, 1200);
    plan->batch_max = (unsigned)ONE_OF(1, 1, 3, 10);
    plan->think_us = ONE_OF(1000, 5000, 20000, 200000);
    plan->latency_us = ONE_OF(0, 1000, 1000, 20000);
}

static void draw_size(struct plan *plan)
{
    const unsigned size = (unsigned)sim_below(100);
    plan->steps = size < 80   ? sim_between(300, 1000)
                  : size < 95 ? sim_between(1000, 2500)
                              : sim_between(3000, 9000);
    plan->step_us = ONE_OF(200, 2000, 2000, 10000);
    if (size >= 95) { /* and more of everything */
        plan->pad_max = (unsigned)ONE_OF(50, 300, 1200, 6000);
        plan->subscribers += 2;
        plan->readers++;
        plan->think_us = ONE_OF(5000, 200000, 2000000);
    }
}

/* As much as it takes for full segments, and for retention to have something to do. */
static void draw_much(struct plan *plan)
{
    plan->segment_bytes = 4096;
    plan->messages_max = 300;
    plan->pad_max = (unsigned)ONE_OF(300, 600, 1200);
    plan->batch_max = (unsigned)ONE_OF(1, 3, 10);
    plan->publishers = 3;
    plan->partitions = sim_chance(60) ? 1 : plan->partitions;
    plan->think_us = ONE_OF(1000, 1000, 5000);
    plan->steps = plan->steps < 1500 ? sim_between(1500, 4000) : plan->steps;
    if (sim_chance(60)) {
        plan->retention_bytes = ONE_OF(16384, 32768);
    }
}

/* One world in eight has a disk that does not keep what it has acknowledged, and enough on it for
 * that to matter. What was not promised to be there is nothing to measure that by. */
static bool draw_damage(struct plan *plan)
{
    if (!sim_chance(16) || plan->durability != DURABILITY_FSYNC || plan->mixed) {
        return false;
    }
    if (sim_chance(75)) {
        draw_much(plan);
    }
    return true;
}

/* It is a start that looks for damage, and most often it is where the log ends. */
static void draw_starts(struct plan *plan)
{
    if (sim_chance(60)) {
        plan->faults.rates[FAULT_KILL] = (unsigned)(sim_between(200, 1000) * 700 / plan->steps);
    }
    if (sim_chance(60)) {
        plan->faults.rates[FAULT_DIE_ROLLING] = 20000;
        plan->faults.rates[FAULT_SEGMENT_CUT] = 300;
    }
    if (sim_chance(30)) {
        plan->faults.rates[FAULT_READ_STALE] = 20000;
    }
    if (sim_chance(60)) {
        plan->faults.rates[FAULT_FILE_GONE] = (unsigned)(400 * 700 / plan->steps);
    }
}

static void draw_faults(struct plan *plan)
{
    const bool damage = draw_damage(plan);
    const bool much = !damage && sim_chance(10);
    if (much) {
        draw_much(plan);
    }
    faults_draw(&plan->faults, plan->steps);
    if (much && sim_chance(50)) { /* the keeper, for one, which then has much to do at once */
        plan->faults.rates[FAULT_PAUSE_WORKER] = (unsigned)(2000 * 700 / plan->steps);
    }
    for (unsigned kind = FAULT_ROT_FIRST; !damage && kind <= FAULT_ROT_LAST; kind++) {
        plan->faults.rates[kind] = 0;
    }
    if (damage) {
        draw_starts(plan);
    }
    if (plan->durability != DURABILITY_FSYNC || plan->mixed) {
        /* What a failed sync drops was shown already, and is read as damage while the server
         * runs. */
        plan->faults.rates[FAULT_SYNC_FAILS] = 0;
        plan->faults.rates[FAULT_SYNC_FAILS_EVER] = 0;
        plan->faults.rates[FAULT_DISK_ERRORS] = 0;
    }
    plan->tiny_buffers = plan->faults.rates[FAULT_TINY_BUFFER] > 0;
    plan->disk_slow_us = ONE_OF(1000, 20000, 500000);
}

/* Where such systems break: slow cursors, retention, reconnects, the hand-over to the live tail. */
static void draw_focus(struct plan *plan)
{
    plan->feed_bytes = 1024;
    plan->retention_messages = sim_between(3, 20);
    plan->subscribers = plan->subscribers < 3 ? 3 : plan->subscribers;
    plan->tiny_buffers = true;
    plan->faults.rates[FAULT_SLOW_READER] = 50000;
    plan->faults.rates[FAULT_TINY_BUFFER] = 70000;
    plan->faults.rates[FAULT_WINDOW_SHUT] = (unsigned)(sim_between(300, 3000) * 700 / plan->steps);
    plan->faults.rates[FAULT_CUT] = (unsigned)(sim_between(200, 1500) * 700 / plan->steps);
}

/* ---- values that are given ------------------------------------------------------------------- */

static const struct field {
    const char *name;
    size_t at;
    size_t size;
} fields[] = {
#define FIELD(name)                                                                                \
    {                                                                                              \
#name, offsetof(struct plan, name), sizeof(((struct plan *)NULL)->name)                    \
    }
    FIELD(steps),
    FIELD(step_us),
    FIELD(partitions),
    FIELD(threads),
    FIELD(segment_bytes),
    FIELD(feed_bytes),
    FIELD(inflight),
    FIELD(durability),
    FIELD(retention_messages),
    FIELD(channels),
    FIELD(retention_bytes),
    FIELD(publishers),
    FIELD(subscribers),
    FIELD(readers),
    FIELD(web_publishers),
    FIELD(hostiles),
    FIELD(messages_max),
    FIELD(pad_max),
    FIELD(batch_max),
    FIELD(think_us),
    FIELD(latency_us),
    FIELD(tiny_buffers),
    FIELD(disk_slow_us),
    FIELD(canary),
    FIELD(deflate),
    FIELD(deflate_bits),
    FIELD(deflate_bytes),
    FIELD(deflate_limit),
    FIELD(patience_ms),
    FIELD(retention_age_ms),
    FIELD(producer_expiry_ms),
    FIELD(libraries),
    FIELD(addresses),
    FIELD(message_bytes),
#undef FIELD
};
#define FIELDS ((unsigned)(sizeof(fields) / sizeof(fields[0])))
#define NAMES  (FIELDS + FAULT_COUNT)

static struct {
    bool given;
    uint64_t value;
} given[NAMES];

const char *plan_name(unsigned index)
{
    if (index >= NAMES) {
        return NULL;
    }
    return index < FIELDS ? fields[index].name : fault_name((enum fault_kind)(index - FIELDS));
}

/* Fields are bool, unsigned or uint64_t; the machine is little-endian. */
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a value's low bytes come first");

uint64_t plan_get(const struct plan *plan, unsigned index)
{
    uint64_t value = 0;
    ASSERT(index < NAMES);
    if (index >= FIELDS) {
        return plan->faults.rates[index - FIELDS];
    }
    bytes_copy(&value, (const char *)plan + fields[index].at, fields[index].size);
    return value;
}

bool plan_set(const char *name, uint64_t value)
{
    bool found = false;
    for (unsigned i = 0; i < NAMES; i++) {
        if (strcmp(plan_name(i), name) == 0 || (i >= FIELDS && strcmp(name, "faults") == 0)) {
            given[i].given = true;
            given[i].value = value;
            found = true;
        }
    }
    return found;
}

static void put_given(struct plan *plan)
{
    for (unsigned i = 0; i < NAMES; i++) {
        if (given[i].given && i >= FIELDS) {
            plan->faults.rates[i - FIELDS] = (unsigned)given[i].value;
        } else if (given[i].given) {
            bytes_copy((char *)plan + fields[i].at, &given[i].value, fields[i].size);
        }
    }
}

/* ---- a plan ---------------------------------------------------------------------------------- */

/* One world in three has compression. From draws of its own: a world without it is the same as it
 * was before there was any. */
static void draw_deflate(struct plan *plan)
{
    struct prng prng = {.state = plan->seed ^ 7692};
    const uint64_t mode = prng_below(&prng, 6);
    plan->deflate = mode < 2 ? (unsigned)mode + 1 : DEFLATE_OFF;
    plan->deflate_bits = prng_below(&prng, 2) == 0 ? 9 : 9 + (unsigned)prng_below(&prng, 7);
    plan->deflate_bytes = 1 + (unsigned)prng_below(&prng, prng_below(&prng, 2) == 0 ? 50 : 400);
    plan->deflate_limit = prng_below(&prng, 3) == 0 ? prng_below(&prng, 300000) : 64u << 20;
}

static uint64_t one_from(struct prng *prng, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t which = prng_below(prng, 3);
    return which == 0 ? a : which == 1 ? b : c;
}

static bool draws_rot(const struct plan *plan)
{
    bool rot = false;
    for (unsigned kind = FAULT_ROT_FIRST; kind <= FAULT_ROT_LAST; kind++) {
        rot = rot || plan->faults.rates[kind] > 0;
    }
    return rot;
}

/* Two worlds in five have one or two programs with the C client library, in place of others. From
 * draws of its own, too. */
static void draw_library(struct plan *plan, bool faults)
{
    struct prng prng = {.state = plan->seed ^ LIBRARY_CHANCES};
    plan->libraries = prng_below(&prng, 5) < 2 ? 1 + (unsigned)prng_below(&prng, 2) : 0;
    plan->addresses = 1 + (unsigned)prng_below(&prng, MACHINE_ADDRESSES_MAX);
    plan->tune.intake_bytes = 16384;
    plan->tune.staged_count = (uint32_t)one_from(&prng, 1, 3, 1000);
    plan->tune.staged_bytes = one_from(&prng, 1, 500, 100000);
    plan->tune.rewrite_bytes = one_from(&prng, 100, 1000, 20000);
    plan->tune.pending_bytes = one_from(&prng, 1, 1000, 100000);
    if (plan->libraries == 0) {
        return;
    }
    plan->publishers -= plan->publishers > 1;
    plan->subscribers -= plan->subscribers > 1;
    /* Behind a loss what was refused is judged anew, and may have another's number then. */
    const bool lossy = plan->durability != DURABILITY_FSYNC || plan->mixed || draws_rot(plan);
    plan->message_bytes = prng_below(&prng, 2) == 0 && !lossy ? plan->pad_max + 100 : 0;
    if (faults) {
        faults_draw_clients(&plan->faults, &prng);
    }
}

void plan_draw(struct plan *ret_plan, uint64_t seed)
{
    struct plan plan = {.seed = seed};
    plan.partitions = (unsigned)sim_between(1, 3);
    plan.segment_bytes = ONE_OF(4096, 4096, 4096, 16384);
    plan.tune.producer_runs = (uint32_t)ONE_OF(4, 4, 16, 1024);
    plan.tune.channel_epochs = (uint32_t)ONE_OF(2, 4, 64);
    draw_durability(&plan);
    draw_settings(&plan);
    draw_clients(&plan);
    draw_size(&plan);
    const bool faults = sim_chance(95);
    if (faults) {
        draw_faults(&plan);
    }
    if (sim_chance(50)) {
        draw_focus(&plan);
    }
    draw_deflate(&plan);
    draw_library(&plan, faults);
    put_given(&plan);
    *ret_plan = plan;
}

void plan_settings_change(struct plan *plan)
{
    draw_settings(plan);
    put_given(plan);
}

void plan_trace(const struct plan *plan)
{
    trace("plan: durability %s, %u partitions, %u threads",
          config_durability_text((enum config_durability)plan->durability), plan->partitions,
          plan->threads);
    trace("plan: segment %llu, feed %llu, keep %llu messages %llu bytes",
          (unsigned long long)plan->segment_bytes, (unsigned long long)plan->feed_bytes,
          (unsigned long long)plan->retention_messages, (unsigned long long)plan->retention_bytes);
    trace("plan: deflate %u, window 2^%u, from %u bytes on, memory %llu", plan->deflate,
          plan->deflate_bits, plan->deflate_bytes, (unsigned long long)plan->deflate_limit);
    trace("plan: %u libraries, %u addresses, messages up to %llu bytes", plan->libraries,
          plan->addresses, (unsigned long long)plan->message_bytes);
    trace("plan: %u channels, %u publishers, %u subscribers, %u readers, %u web, %u hostile",
          plan->channels, plan->publishers, plan->subscribers, plan->readers, plan->web_publishers,
          plan->hostiles);
}
