/* Handing pointers from thread to thread: the rings of src/ring, a queue behind a mutex, and a
 * bounded channel.
 *
 *   ring, one by one   spsc_push(), spsc_pop()
 *   ring, 64 at once   spsc_push_many(), spsc_pop_many()
 *   mutex queue        an array under a mutex; the consumer takes all that is there; it sleeps on a
 *                      condition variable while there is nothing, a producer while it is full
 *   bounded channel    as a language's channels: one item a call, blocking at both ends
 *
 * All hold 1,024 items for each producer. A row is many short runs: the median and the best of
 * them. On a machine that is busy with other work only the best is near what the cores can do, for
 * in most runs one of the two threads was not running.
 *
 * For round trips the floor is a bare word on a cache line for each direction: what the cores
 * themselves need. The consumer checks every item. */
#include "write_path.h"

#include "base/mem.h"
#include "ring/doorbell.h"
#include "ring/spsc.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SLOTS         1024u
#define MANY          64u
#define PRODUCERS_MAX 8u
#define RUNS_MAX      1000u

/* ---- a queue behind a mutex ------------------------------------------------------------------ */

struct locked {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    pthread_cond_t drained;
    uint32_t head;
    uint32_t count;
    uint32_t capacity;
    void *items[PRODUCERS_MAX * SLOTS];
};

static void locked_init(struct locked *queue, uint32_t capacity)
{
    *queue = (struct locked){.capacity = capacity};
    (void)pthread_mutex_init(&queue->mutex, NULL);
    (void)pthread_cond_init(&queue->filled, NULL);
    (void)pthread_cond_init(&queue->drained, NULL);
}

static void locked_deinit(struct locked *queue)
{
    (void)pthread_mutex_destroy(&queue->mutex);
    (void)pthread_cond_destroy(&queue->filled);
    (void)pthread_cond_destroy(&queue->drained);
}

static void locked_push(struct locked *queue, void *item)
{
    (void)pthread_mutex_lock(&queue->mutex);
    while (queue->count == queue->capacity) {
        (void)pthread_cond_wait(&queue->drained, &queue->mutex);
    }
    queue->items[(queue->head + queue->count) % queue->capacity] = item;
    queue->count++;
    if (queue->count == 1) {
        (void)pthread_cond_signal(&queue->filled);
    }
    (void)pthread_mutex_unlock(&queue->mutex);
}

/* At least one, at most `most`. */
static uint32_t locked_pop(struct locked *queue, void *items[], uint32_t most)
{
    (void)pthread_mutex_lock(&queue->mutex);
    while (queue->count == 0) {
        (void)pthread_cond_wait(&queue->filled, &queue->mutex);
    }
    const bool was_full = queue->count == queue->capacity;
    const uint32_t count = queue->count < most ? queue->count : most;
    for (uint32_t i = 0; i < count; i++) {
        items[i] = queue->items[queue->head];
        queue->head = (queue->head + 1) % queue->capacity;
    }
    queue->count -= count;
    if (was_full) {
        (void)pthread_cond_broadcast(&queue->drained);
    }
    (void)pthread_mutex_unlock(&queue->mutex);
    return count;
}

/* ---- a run ----------------------------------------------------------------------------------- */

enum way { WAY_RING, WAY_RING_MANY, WAY_MUTEX_QUEUE, WAY_CHANNEL, WAY_RING_BELL, WAY_LINE };

/* One word on a cache line of its own. */
struct line {
    alignas(CACHE_LINE) _Atomic uintptr_t value;
};

struct run {
    enum way way;
    unsigned producers;
    uint64_t items_each;
    _Atomic unsigned arrived;
    struct spsc *rings; /* one each; for round trips the second leads back */
    struct locked *queue;
    struct locked *back;
    struct line lines[2];
    struct doorbell bells[2];
    int wake_fds[2];
};

struct producer {
    struct run *run;
    unsigned index;
};

/* An item is the producer's number and its count, from 1. */
static void *item_of(unsigned producer, uint64_t count)
{
    return (void *)(uintptr_t)((count << 8) | producer);
}

static void relax(uint32_t *spins)
{
    /* On a machine with one core the other side must run at last. */
    if (++*spins % 1024 == 0) {
        (void)sched_yield();
    }
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

/* The cores that the process may use; a thread's own set is smaller once it has taken one. */
static cpu_set_t cores;

/* The consumer takes the first one; the producers share the others, in turn. */
static void core_take(unsigned nth)
{
    const unsigned others = CPU_COUNT(&cores) > 1 ? (unsigned)CPU_COUNT(&cores) - 1 : 1;
    const unsigned n = nth == 0 ? 0 : 1 + (nth - 1) % others;
    cpu_set_t one;
    CPU_ZERO(&one);
    unsigned seen = 0;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &cores) && seen++ == n) {
            CPU_SET(cpu, &one);
            (void)pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
        }
    }
}

/* All sides of a run are there and running. */
static void meet(struct run *run, unsigned sides)
{
    uint32_t spins = 0;
    atomic_fetch_add(&run->arrived, 1);
    while (atomic_load(&run->arrived) < sides) {
        relax(&spins);
    }
}

static void push_many(struct spsc *ring, unsigned producer, uint64_t items)
{
    uint32_t spins = 0;
    void *some[MANY];
    for (uint64_t count = 1; count <= items;) {
        const uint32_t wanted = items - count + 1 < MANY ? (uint32_t)(items - count + 1) : MANY;
        for (uint32_t i = 0; i < wanted; i++) {
            some[i] = item_of(producer, count + i);
        }
        for (uint32_t done = 0; done < wanted;) {
            const uint32_t pushed = spsc_push_many(ring, some + done, wanted - done);
            done += pushed;
            if (pushed == 0) {
                relax(&spins);
            }
        }
        count += wanted;
    }
}

static void push_one(struct run *run, struct spsc *ring, void *item)
{
    uint32_t spins = 0;
    if (run->way == WAY_MUTEX_QUEUE || run->way == WAY_CHANNEL) {
        locked_push(run->queue, item);
        return;
    }
    while (!spsc_push(ring, item)) {
        relax(&spins);
    }
}

static void *producer_main(void *arg)
{
    const struct producer *producer = arg;
    struct run *run = producer->run;
    core_take(1 + producer->index);
    meet(run, run->producers + 1);
    if (run->way == WAY_RING_MANY) {
        push_many(&run->rings[producer->index], producer->index, run->items_each);
        return NULL;
    }
    for (uint64_t count = 1; count <= run->items_each; count++) {
        push_one(run, &run->rings[producer->index], item_of(producer->index, count));
    }
    return NULL;
}

/* Some items from ring `turn`, or from the queue that all share; 0: none there. */
static uint32_t pop_some(struct run *run, unsigned turn, void *items[SLOTS])
{
    if (run->way == WAY_MUTEX_QUEUE) {
        return locked_pop(run->queue, items, SLOTS);
    }
    if (run->way == WAY_CHANNEL) {
        return locked_pop(run->queue, items, 1);
    }
    if (run->way == WAY_RING_MANY) {
        return spsc_pop_many(&run->rings[turn], items, MANY);
    }
    items[0] = spsc_pop(&run->rings[turn]);
    return items[0] == NULL ? 0 : 1;
}

static void consume(struct run *run)
{
    void *items[SLOTS];
    uint64_t seen[PRODUCERS_MAX] = {0};
    uint32_t spins = 0;
    unsigned turn = 0;
    for (uint64_t left = run->items_each * run->producers; left > 0;) {
        const uint32_t count = pop_some(run, turn, items);
        for (uint32_t i = 0; i < count; i++) {
            const unsigned producer = (uintptr_t)items[i] & 0xFF;
            if (items[i] != item_of(producer, ++seen[producer])) {
                die("an item is not the next one of its producer");
            }
        }
        left -= count;
        turn = turn + 1 == run->producers ? 0 : turn + 1;
        if (count == 0) {
            relax(&spins);
        }
    }
}

static void run_open(struct run *run)
{
    run->rings = mem_calloc_lines(PRODUCERS_MAX, sizeof(*run->rings));
    run->queue = mem_calloc(1, sizeof(*run->queue));
    run->back = mem_calloc(1, sizeof(*run->back));
    if (run->rings == NULL || run->queue == NULL || run->back == NULL) {
        die("out of memory");
    }
    for (unsigned i = 0; i < PRODUCERS_MAX; i++) {
        if (spsc_init(&run->rings[i], SLOTS) != RC_OK) {
            die("out of memory");
        }
    }
    locked_init(run->queue, run->producers * SLOTS);
    locked_init(run->back, SLOTS);
    for (unsigned i = 0; i < 2; i++) {
        doorbell_init(&run->bells[i]);
        run->wake_fds[i] = eventfd(0, EFD_CLOEXEC);
        if (run->wake_fds[i] < 0) {
            die("no eventfd");
        }
    }
}

static void run_close(struct run *run)
{
    for (unsigned i = 0; i < PRODUCERS_MAX; i++) {
        spsc_deinit(&run->rings[i]);
    }
    locked_deinit(run->queue);
    locked_deinit(run->back);
    mem_free(run->rings);
    mem_free(run->queue);
    mem_free(run->back);
    (void)close(run->wake_fds[0]);
    (void)close(run->wake_fds[1]);
}

/* Items a second. */
static double run_rate(struct run *run)
{
    struct producer producers[PRODUCERS_MAX];
    pthread_t threads[PRODUCERS_MAX];
    run_open(run);
    for (unsigned i = 0; i < run->producers; i++) {
        producers[i] = (struct producer){run, i};
        threads[i] = thread_start(producer_main, &producers[i]);
    }
    meet(run, run->producers + 1);
    const uint64_t before = now_ns();
    consume(run);
    const uint64_t elapsed = now_ns() - before;
    for (unsigned i = 0; i < run->producers; i++) {
        thread_join(threads[i]);
    }
    run_close(run);
    return (double)(run->items_each * run->producers) / (double)elapsed * 1e9;
}

/* ---- there and back -------------------------------------------------------------------------- */

/* Passes an item on in one direction: 0 there, 1 back. */
static void trip_push(struct run *run, unsigned direction, void *item)
{
    if (run->way == WAY_CHANNEL) {
        locked_push(direction == 0 ? run->queue : run->back, item);
        return;
    }
    if (run->way == WAY_LINE) {
        atomic_store_explicit(&run->lines[direction].value, (uintptr_t)item, memory_order_release);
        return;
    }
    if (!spsc_push(&run->rings[direction], item)) {
        die("a ring is full with one item under way");
    }
    if (run->way == WAY_RING_BELL && doorbell_ring(&run->bells[direction])) {
        const uint64_t one = 1;
        (void)!write(run->wake_fds[direction], &one, sizeof(one));
    }
}

/* Waits until the word changes: the only thing that two cores cannot do faster. */
static void *line_pop(struct line *line, void *before)
{
    uint32_t spins = 0;
    uintptr_t value;
    while ((value = atomic_load_explicit(&line->value, memory_order_acquire)) ==
           (uintptr_t)before) {
        relax(&spins);
    }
    return (void *)value;
}

static void *trip_pop(struct run *run, unsigned direction, void *before)
{
    uint32_t spins = 0;
    void *item;
    if (run->way == WAY_LINE) {
        return line_pop(&run->lines[direction], before);
    }
    if (run->way == WAY_CHANNEL) {
        (void)locked_pop(direction == 0 ? run->queue : run->back, &item, 1);
        return item;
    }
    while ((item = spsc_pop(&run->rings[direction])) == NULL) {
        if (run->way != WAY_RING_BELL) {
            relax(&spins);
            continue;
        }
        doorbell_arm(&run->bells[direction]);
        if (spsc_empty(&run->rings[direction])) {
            uint64_t count;
            (void)!read(run->wake_fds[direction], &count, sizeof(count));
        }
        doorbell_disarm(&run->bells[direction]);
    }
    return item;
}

static void *echo_main(void *arg)
{
    struct run *run = arg;
    core_take(1);
    meet(run, 2);
    void *item = NULL;
    for (uint64_t i = 0; i < run->items_each; i++) {
        item = trip_pop(run, 0, item);
        trip_push(run, 1, item);
    }
    return NULL;
}

/* Nanoseconds there and back. */
static double run_round_trip(struct run *run)
{
    run_open(run);
    const pthread_t echo = thread_start(echo_main, run);
    meet(run, 2);
    const uint64_t before = now_ns();
    for (uint64_t i = 1; i <= run->items_each; i++) {
        trip_push(run, 0, item_of(0, i));
        if (trip_pop(run, 1, i == 1 ? NULL : item_of(0, i - 1)) != item_of(0, i)) {
            die("another item came back");
        }
    }
    const uint64_t elapsed = now_ns() - before;
    thread_join(echo);
    run_close(run);
    return (double)elapsed / (double)run->items_each;
}

/* ---- the rows -------------------------------------------------------------------------------- */

struct row_plan {
    const char *name;
    enum way way;
    unsigned producers;
    uint64_t items_each; /* a run takes some milliseconds where nothing else runs */
    bool is_round_trip;
};

static const struct row_plan plans[] = {
    {"ring, 64 at once", WAY_RING_MANY, 1, 400000, false},
    {"ring, one by one", WAY_RING, 1, 50000, false},
    {"mutex queue", WAY_MUTEX_QUEUE, 1, 20000, false},
    {"bounded channel", WAY_CHANNEL, 1, 20000, false},
    {"a ring each, 64 at once", WAY_RING_MANY, 8, 50000, false},
    {"a ring each, one by one", WAY_RING, 8, 8000, false},
    {"mutex queue", WAY_MUTEX_QUEUE, 8, 3000, false},
    {"bounded channel", WAY_CHANNEL, 8, 3000, false},
    {"a word, spinning (the floor)", WAY_LINE, 1, 300, true},
    {"ring, spinning", WAY_RING, 1, 300, true},
    {"ring and doorbell, sleeping", WAY_RING_BELL, 1, 200, true},
    {"bounded channel", WAY_CHANNEL, 1, 200, true},
};
static_assert(sizeof(plans) / sizeof(plans[0]) <= QUEUE_ROWS_MAX, "rows fit");

static int by_value(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return (left > right) - (left < right);
}

unsigned queue_run(uint64_t budget_ns, struct queue_row rows[QUEUE_ROWS_MAX])
{
    const unsigned count = sizeof(plans) / sizeof(plans[0]);
    if (sched_getaffinity(0, sizeof(cores), &cores) != 0) {
        die("sched_getaffinity");
    }
    core_take(0);
    for (unsigned i = 0; i < count; i++) {
        const struct row_plan *plan = &plans[i];
        double values[RUNS_MAX];
        unsigned runs = 0;
        const uint64_t end_ns = now_ns() + budget_ns;
        while (runs < RUNS_MAX && (runs == 0 || now_ns() < end_ns)) {
            struct run run = {
                .way = plan->way, .producers = plan->producers, .items_each = plan->items_each};
            values[runs++] = plan->is_round_trip ? run_round_trip(&run) : run_rate(&run);
        }
        qsort(values, runs, sizeof(values[0]), by_value);
        rows[i] = (struct queue_row){.name = plan->name,
                                     .producers = plan->producers,
                                     .is_round_trip = plan->is_round_trip,
                                     .median = values[runs / 2],
                                     .best = values[plan->is_round_trip ? 0 : runs - 1]};
    }
    return count;
}
