#include "core/producer.h"

#include "base/mark.h"
#include "base/mem.h"
#include "base/tune.h"

#define RUN_CAPACITY_FIRST 4u

static_assert((PRODUCER_RUNS_MAX & (PRODUCER_RUNS_MAX - 1)) == 0, "a ring is indexed by a mask");

struct producer *producer_open(struct bytes id)
{
    ASSERT(id.size >= 1 && id.size <= PRODUCER_ID_BYTES_MAX);
    struct producer *producer = mem_calloc(1, sizeof(*producer) + id.size);
    if (producer == NULL) {
        return NULL;
    }
    list_init(&producer->idle_link);
    producer->id_size = (uint8_t)id.size;
    ASSERT(producer->id_size == id.size);
    bytes_copy(producer->id, id.data, id.size);
    return producer;
}

void producer_close(struct producer *producer)
{
    ASSERT(producer == NULL || producer->id_size >= 1);
    if (producer == NULL) {
        return;
    }
    list_remove(&producer->idle_link);
    mem_free(producer->runs);
    mem_free(producer);
}

struct bytes producer_key(const void *value)
{
    return producer_id(value);
}

void producer_check(const struct producer *producer)
{
    ASSERT_HOT(producer->run_count <= producer->run_capacity);
    ASSERT_HOT((producer->run_capacity & (producer->run_capacity - 1)) == 0);
    ASSERT_HOT(producer->last <= WIRE_INTEGER_MAX && producer->epoch <= WIRE_INTEGER_MAX);
    ASSERT_HOT(!producer->expired || producer->runs == NULL);
    ASSERT_HOT(!producer->expired || list_empty(&producer->idle_link));
    ASSERT(producer->epoch >= 1 && producer->last >= 1);
    ASSERT(producer->run_count <= PRODUCER_RUNS_MAX);
    ASSERT(!producer->expired || (producer->run_count == 0 && !producer->resync));
    ASSERT(producer->run_count == 0 ||
           producer_run_at(producer, producer->run_count - 1)->producer_seq <= producer->last);
}

uint64_t producer_run_end(const struct producer *producer, uint32_t index)
{
    ASSERT_HOT(index < producer->run_count);
    return index + 1 < producer->run_count ? producer_run_at(producer, index + 1)->producer_seq
                                           : producer->last + 1;
}

/* The run that holds the number; run_count if it is older than all of them. */
static uint32_t run_find(const struct producer *producer, uint64_t producer_seq)
{
    ASSERT_HOT(producer_seq >= 1);
    ASSERT_HOT(producer_seq <= producer->last);
    uint32_t first = 0;
    uint32_t end = producer->run_count;
    while (first < end) {
        const uint32_t middle = first + (end - first) / 2;
        if (producer_run_at(producer, middle)->producer_seq <= producer_seq) {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    ASSERT_HOT(first <= producer->run_count);
    return first == 0 ? producer->run_count : first - 1;
}

/* Numbers seen before: a duplicate, unless one of them fell into a gap and so is not stored. */
static void judge_seen(const struct producer *producer, const struct command_publish *publish,
                       uint64_t earliest, struct publish_result *result)
{
    ASSERT_HOT(publish->producer_seq + publish->count <= producer->last + 1);
    ASSERT_HOT(publish->producer_epoch == producer->epoch);
    ASSERT(!producer->expired);
    const uint64_t number = publish->producer_seq;
    const uint64_t end = number + publish->count;
    const uint32_t at = run_find(producer, number);
    MARK_IF(at == producer->run_count, "producer: a duplicate older than its runs");
    for (uint32_t i = at < producer->run_count ? at : 0; i < producer->run_count; i++) {
        const struct producer_run *run = producer_run_at(producer, i);
        if (run->producer_seq >= end) {
            break;
        }
        if (run->seq == 0) {
            MARK("producer: a number that fell into a gap");
            result->verdict = PUBLISH_OUT_OF_SEQUENCE;
            result->expected = producer->last + 1;
            result->producer_seq = number;
            return;
        }
    }
    MARK("producer: a duplicate");
    result->verdict = PUBLISH_DUPLICATE;
    if (at < producer->run_count) {
        const struct producer_run *run = producer_run_at(producer, at);
        const uint64_t seq = run->seq + (number - run->producer_seq);
        MARK_IF(seq < earliest, "producer: a duplicate of a message that is trimmed");
        result->has_seq = seq >= earliest;
        result->seq = result->has_seq ? seq : 0;
    }
}

/* All decisions about a numbered publish are here. [P 3 publish] */
void producer_judge(const struct producer *producer, const struct command_publish *publish,
                    bool expired, bool any_start, uint64_t earliest, struct publish_result *result)
{
    ASSERT_HOT(publish->producer_epoch >= 1);
    ASSERT_HOT(publish->count >= 1);
    ASSERT_HOT(earliest >= 1);
    const uint64_t number = publish->producer_seq;
    ASSERT(number >= 1);
    if (producer == NULL || publish->producer_epoch > producer->epoch) {
        MARK_IF(producer == NULL && number > 1 && !any_start, "producer: unknown to the channel");
        MARK_IF(producer != NULL, "producer: a new epoch's first number");
        MARK_IF(number > 1 && any_start, "producer: begins in the middle behind a loss");
        result->verdict = number == 1 || any_start ? PUBLISH_ACCEPTED : PUBLISH_PRODUCER_UNKNOWN;
        return;
    }
    if (publish->producer_epoch < producer->epoch) {
        MARK("producer: fenced");
        result->verdict = PUBLISH_PRODUCER_FENCED;
        return;
    }
    if (expired) {
        MARK("producer: expired, and so unknown");
        result->verdict = PUBLISH_PRODUCER_UNKNOWN;
        return;
    }
    const uint64_t next = producer->last + 1;
    if (number == next || (number > next && producer->resync)) {
        MARK_IF(number != next, "producer: numbers are missing behind a loss");
        result->verdict = PUBLISH_ACCEPTED;
    } else if (number + publish->count <= next) {
        judge_seen(producer, publish, earliest, result);
    } else {
        MARK_IF(number < next, "producer: a batch that is stored in part");
        MARK_IF(number > next, "producer: a number is missing");
        result->verdict = PUBLISH_OUT_OF_SEQUENCE;
        result->expected = next;
        result->producer_seq = number;
    }
}

/* A gap is kept, and what is behind it: its numbers must not come to look like duplicates. */
uint32_t producer_runs_stale(const struct producer *producer, uint64_t earliest)
{
    ASSERT_HOT(earliest >= 1);
    ASSERT_HOT(producer->run_count <= producer->run_capacity);
    uint32_t stale = 0;
    while (stale < producer->run_count) {
        const struct producer_run *run = producer_run_at(producer, stale);
        const uint64_t count = producer_run_end(producer, stale) - run->producer_seq;
        if (run->seq == 0 || run->seq + count > earliest) {
            break;
        }
        stale++;
    }
    return stale;
}

static void runs_drop(struct producer *producer, uint32_t count)
{
    ASSERT_HOT(producer->run_count <= producer->run_capacity);
    ASSERT(count <= producer->run_count);
    if (count > 0) {
        MARK("producer: runs below the earliest message are dropped");
        producer->run_first = (producer->run_first + count) & (producer->run_capacity - 1);
        producer->run_count -= count;
    }
}

enum rc producer_runs_reserve(struct producer *producer, uint32_t count)
{
    ASSERT_HOT(tune.producer_runs <= PRODUCER_RUNS_MAX);
    ASSERT_HOT(producer->run_count <= producer->run_capacity);
    if (count > tune.producer_runs) {
        count = tune.producer_runs; /* beyond it a push drops the oldest */
    }
    if (count <= producer->run_capacity) {
        return RC_OK;
    }
    uint32_t capacity = producer->run_capacity == 0 ? RUN_CAPACITY_FIRST : producer->run_capacity;
    while (capacity < count) {
        capacity *= 2;
    }
    struct producer_run *runs = mem_alloc(capacity * sizeof(*runs));
    if (runs == NULL) {
        return RC_NOMEM;
    }
    for (uint32_t i = 0; i < producer->run_count; i++) {
        runs[i] = *producer_run_at(producer, i);
    }
    mem_free(producer->runs);
    producer->runs = runs;
    producer->run_first = 0;
    producer->run_capacity = capacity;
    ASSERT_HOT((capacity & (capacity - 1)) == 0);
    ASSERT_HOT(producer->run_count < capacity);
    return RC_OK;
}

enum rc producer_reserve(struct producer *producer, uint64_t earliest)
{
    ASSERT_HOT(earliest >= 1);
    runs_drop(producer, producer_runs_stale(producer, earliest));
    return producer_runs_reserve(producer, producer->run_count + 2); /* a gap and a run */
}

void producer_run_push(struct producer *producer, struct producer_run run)
{
    ASSERT_HOT(run.producer_seq >= 1);
    ASSERT_HOT(producer->run_capacity > 0);
    ASSERT(!producer->expired);
    ASSERT(producer->run_count == 0 ||
           producer_run_at(producer, producer->run_count - 1)->producer_seq < run.producer_seq);
    if (producer->run_count == tune.producer_runs) {
        MARK("producer: the oldest run makes room");
        runs_drop(producer, 1);
    }
    ASSERT(producer->run_count < producer->run_capacity);
    producer->run_count++;
    *producer_run_at(producer, producer->run_count - 1) = run;
}

/* Whether a message goes on in the run of the message before it. */
static bool run_goes_on(const struct producer *producer, uint64_t producer_seq, uint64_t seq)
{
    ASSERT_HOT(seq >= 1);
    ASSERT_HOT(producer_seq >= 1);
    if (producer->run_count == 0) {
        return false;
    }
    const struct producer_run *run = producer_run_at(producer, producer->run_count - 1);
    return run->seq != 0 && producer_seq - run->producer_seq == seq - run->seq;
}

void producer_accept(struct producer *producer, const struct command_publish *publish, uint64_t seq,
                     uint64_t time_ms)
{
    ASSERT_HOT(seq >= 1);
    ASSERT_HOT(publish->count >= 1);
    ASSERT_HOT(publish->producer_epoch >= 1);
    const uint64_t number = publish->producer_seq;
    if (publish->producer_epoch != producer->epoch) {
        ASSERT(publish->producer_epoch > producer->epoch);
        runs_drop(producer, producer->run_count);
        MARK("producer: takes a new epoch");
        producer->epoch = publish->producer_epoch;
        producer->last = 0;
        producer->expired = false;
        producer->resync = false;
    }
    ASSERT(!producer->expired);
    ASSERT(number > producer->last); /* I5, I6: last + 1, or ahead after a loss */
    const bool gap = number > producer->last + 1;
    if (gap) {
        MARK("producer: keeps a gap");
        const uint64_t from = producer->last + 1;
        producer_run_push(producer, (struct producer_run){from, 0});
    }
    if (gap || !run_goes_on(producer, number, seq)) {
        MARK("producer: begins a run");
        producer_run_push(producer, (struct producer_run){number, seq});
    }
    producer->resync = false;
    producer->last = number + publish->count - 1;
    ASSERT(time_ms >= producer->last_ms);
    producer->last_ms = time_ms;
    producer_check(producer);
}

void producer_expire(struct producer *producer)
{
    ASSERT(!producer->expired);
    list_remove(&producer->idle_link);
    mem_free(producer->runs);
    producer->runs = NULL;
    producer->run_first = 0;
    producer->run_count = 0;
    producer->run_capacity = 0;
    MARK("producer: expires");
    producer->expired = true;
    producer->resync = false;
    producer_check(producer);
}
