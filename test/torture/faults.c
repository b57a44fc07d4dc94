/* Every k-th call fails, once and ever after: of the disk, of the network, of the heap.
 *
 * Goal: after any one failure, and after a lasting one has ended, the server keeps what it has
 * acknowledged, stores nothing twice, names its errors, loses no memory and comes back: by itself
 * or, where the design says so, when an operator starts it again. Method: the simulated world
 * (sim/), with workloads in place of what a seed draws, so that all runs of one are the same up to
 * the failure; then one run for each call of the workload, with that call failing. Its clients and
 * its model are the oracle, as for a seed; faults end with the workload.
 *
 * A failed allocation may end the process by name, mem_exhausted(), where going on would break a
 * promise; it is then started again. How often that happens is counted by reason.
 *
 *   faults [--processes N]
 *   faults --only WORKLOAD:CALL:once|ever:K    one case, with its trace */
#include "base/assert.h"
#include "base/bytes.h"
#include "sim/heap.h"
#include "sim/plan.h"
#include "sim/trace.h"
#include "sim/world.h"
#include "torture/kth.h"
#include "torture/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct script {
    enum fault_kind kind;
    uint64_t n;
};

struct workload {
    const char *name;
    struct plan plan;
    struct script script[4];
};

/* Small on purpose: each runs once for each of its calls, twice. Segments hold 4 KiB, the smallest
 * there are. */
static const struct workload workloads[] = {
    {
        "first-start",
        {.steps = 200, .publishers = 1, .messages_max = 12, .batch_max = 1},
        {{FAULT_STOP, 130}},
    },
    {
        "restart",
        {.steps = 1100,
         .publishers = 1,
         .messages_max = 60,
         .pad_max = 600,
         .batch_max = 4,
         .think_us = 20000},
        {{FAULT_KILL, 120}, {FAULT_POWER_TEAR, 190}, {FAULT_STOP, 250}},
    },
    {
        "retention",
        {.steps = 1000,
         .step_us = 20000,
         .publishers = 1,
         .messages_max = 100,
         .pad_max = 900,
         .batch_max = 6,
         .retention_messages = 5,
         .retention_bytes = 16384},
        {{FAULT_STOP, 700}},
    },
    {
        "subscribe",
        {.steps = 1300,
         .publishers = 1,
         .subscribers = 2,
         .messages_max = 90,
         .pad_max = 300,
         .batch_max = 3,
         .feed_bytes = 1024,
         .tiny_buffers = true},
        {{FAULT_SLOW_READER, KTH_ALWAYS}, {FAULT_TINY_BUFFER, KTH_ALWAYS}, {FAULT_CUT, 200}},
    },
    {
        "producers",
        {.steps = 600,
         .publishers = 2,
         .readers = 1,
         .messages_max = 30,
         .pad_max = 50,
         .batch_max = 5},
        {{FAULT_CUT, 150}, {FAULT_KILL, 400}, {FAULT_NEW_EPOCH, 1}},
    },
    {
        "http",
        {.steps = 600,
         .web_publishers = 2,
         .subscribers = 1,
         .messages_max = 30,
         .pad_max = 200,
         .batch_max = 1},
        {{FAULT_CUT, 180}},
    },
    {
        "two-threads",
        {.steps = 700,
         .threads = 2,
         .partitions = 2,
         .channels = 3,
         .publishers = 1,
         .web_publishers = 1,
         .subscribers = 2,
         .readers = 1,
         .messages_max = 20,
         .pad_max = 300,
         .batch_max = 3,
         .retention_messages = 8},
        {{FAULT_HALF_OPEN, 200}, {FAULT_STOP, 400}},
    },
};
#define WORKLOADS ((unsigned)(sizeof(workloads) / sizeof(workloads[0])))

static const struct call {
    const char *name;
    enum fault_kind kind;
} calls[] = {
    {"malloc", FAULT_NO_MEMORY},
    {"open", FAULT_OPEN_FAILS},
    {"read", FAULT_READ_FAILS},
    {"write", FAULT_WRITE_FAILS},
    {"write-no-space", FAULT_WRITE_NO_SPACE},
    {"fdatasync", FAULT_SYNC_FAILS},
    {"fdatasync-done", FAULT_SYNC_LIES_FAILED},
    {"rename", FAULT_RENAME_FAILS},
    {"unlink", FAULT_REMOVE_FAILS},
    {"mkdir", FAULT_MAKE_DIR_FAILS},
    {"fsync-folder", FAULT_SYNC_DIR_FAILS},
    {"readdir", FAULT_LIST_FAILS},
    {"accept", FAULT_ACCEPT},
    {"send", FAULT_SEND_FAILS},
    {"recv", FAULT_RECEIVE_FAILS},
};
#define CALLS  ((unsigned)(sizeof(calls) / sizeof(calls[0])))
#define SLICES 8u /* of the k's of a loop, for the processes */
#define SITES  10u

enum counter {
    COUNT_RUNS,
    COUNT_HITS,
    COUNTERS,
};

/* Where the process ended itself for want of memory, and what was broken. */
struct shared {
    struct site {
        char what[80];
        uint64_t count; /* as both processes count at once, about */
    } sites[SITES];
    struct failure failure;
};

static struct shared *shared;
static const struct workload *now;

/* ---- in place of sim/plan.c ------------------------------------------------------------------ */

void plan_draw(struct plan *ret_plan, uint64_t seed)
{
    *ret_plan = now->plan;
    ret_plan->seed = seed;
    ret_plan->step_us = now->plan.step_us > 0 ? now->plan.step_us : 2000;
    ret_plan->partitions = now->plan.partitions > 0 ? now->plan.partitions : 1;
    ret_plan->threads = now->plan.threads > 0 ? now->plan.threads : 1;
    ret_plan->segment_bytes = 4096;
    ret_plan->feed_bytes = now->plan.feed_bytes > 0 ? now->plan.feed_bytes : 2048;
    ret_plan->inflight = 16;
    ret_plan->tune = tune_default;
    ret_plan->tune.producer_runs = 4;
    ret_plan->tune.slice_bytes = 100;
    ret_plan->channels = now->plan.channels > 0 ? now->plan.channels : 1;
    ret_plan->think_us = now->plan.think_us > 0 ? now->plan.think_us : 3000;
    ret_plan->latency_us = 1000;
}

void plan_settings_change(struct plan *plan)
{
    (void)plan;
}

void plan_trace(const struct plan *plan)
{
    trace("workload %s, seed %llu", now->name, (unsigned long long)plan->seed);
}

/* ---- the end for want of memory ---------------------------------------------------------------
 */

_Noreturn void __real_mem_exhausted(const char *what);
_Noreturn void __wrap_mem_exhausted(const char *what);

void __wrap_mem_exhausted(const char *what)
{
    for (unsigned i = 0; i < SITES; i++) {
        struct site *site = &shared->sites[i];
        if (site->what[0] == '\0') {
            (void)snprintf(site->what, sizeof(site->what), "%s", what);
        }
        if (strcmp(site->what, what) == 0) {
            site->count++;
            break;
        }
    }
    __real_mem_exhausted(what);
}

/* ---- loops ----------------------------------------------------------------------------------- */

static unsigned counter_of(unsigned workload, unsigned call, bool forever, enum counter counter)
{
    return ((workload * CALLS + call) * 2 + forever) * COUNTERS + counter;
}

/* Runs a workload with its k-th call of a kind failing. False: it has no such call. */
static bool run_one(unsigned workload, unsigned call, bool forever, uint64_t k, bool verbose)
{
    now = &workloads[workload];
    torture_case("--only %s:%s:%s:%llu", now->name, calls[call].name, forever ? "ever" : "once",
                 (unsigned long long)k);
    kth_script_clear();
    for (unsigned i = 0; i < sizeof(now->script) / sizeof(now->script[0]); i++) {
        if (now->script[i].n > 0) {
            kth_script(now->script[i].kind, now->script[i].n);
        }
    }
    kth_arm(calls[call].kind, k, forever);
    struct world_result result;
    world_run(1, verbose, &result);
    if (kth_hits() > 0) {
        torture_add(counter_of(workload, call, forever, COUNT_RUNS), 1);
        torture_add(counter_of(workload, call, forever, COUNT_HITS), kth_hits());
    }
    return kth_hits() > 0;
}

/* Each job is a part of the k's of one loop: every SLICES-th, up to the first that is not there. */
static void job_run(unsigned job)
{
    const unsigned slice = job % SLICES;
    const bool forever = job / SLICES % 2 == 1;
    const unsigned workload = job / SLICES / 2 % WORKLOADS;
    const unsigned call = job / SLICES / 2 / WORKLOADS;
    trace_fail_to(&shared->failure);
    for (uint64_t k = slice + 1; run_one(workload, call, forever, k, false); k += SLICES) {
    }
}

/* ---- the program ----------------------------------------------------------------------------- */

/* A line a workload: how many calls of each kind there were to fail. False: a loop did not come to
 * the same calls both times. */
static bool print_totals(void)
{
    uint64_t runs = 0;
    bool good = true;
    for (unsigned w = 0; w < WORKLOADS; w++) {
        uint64_t failures = 0;
        (void)printf("faults %s:", workloads[w].name);
        for (unsigned c = 0; c < CALLS; c++) {
            const uint64_t once = torture_total(counter_of(w, c, false, COUNT_RUNS));
            const uint64_t ever = torture_total(counter_of(w, c, true, COUNT_RUNS));
            (void)printf(" %llu %s,", (unsigned long long)once, calls[c].name);
            failures += torture_total(counter_of(w, c, false, COUNT_HITS)) +
                        torture_total(counter_of(w, c, true, COUNT_HITS));
            runs += once + ever;
            good = good && once > 0 && once == ever;
        }
        (void)printf(" each once and ever after: %llu failures, 0 violations\n",
                     (unsigned long long)failures);
    }
    for (unsigned i = 0; i < SITES && shared->sites[i].count > 0; i++) {
        (void)printf("faults: out of memory ended the process %llu times: %s\n",
                     (unsigned long long)shared->sites[i].count, shared->sites[i].what);
    }
    (void)printf("faults: %llu runs, %.1f s\n", (unsigned long long)runs, torture_seconds());
    if (!good) {
        (void)printf("FAILED: a kind of calls is never made, or not equally often\n");
    }
    return good;
}

/* WORKLOAD:CALL:once|ever:K */
static bool run_only(char *text)
{
    const char *part[4] = {text};
    for (unsigned i = 1; i < 4; i++) {
        char *colon = strchr(part[i - 1], ':');
        if (colon == NULL) {
            return false;
        }
        *colon = '\0';
        part[i] = colon + 1;
    }
    for (unsigned w = 0; w < WORKLOADS; w++) {
        for (unsigned c = 0; c < CALLS; c++) {
            if (strcmp(workloads[w].name, part[0]) == 0 && strcmp(calls[c].name, part[1]) == 0) {
                const bool hit =
                    run_one(w, c, strcmp(part[2], "ever") == 0, torture_number(part[3]), true);
                (void)printf("%s\n", hit ? "0 violations" : "there is no such call");
                return true;
            }
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    unsigned processes = 2;
    torture_init("faults");
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(shared != MAP_FAILED);
    for (int i = 1; i < argc; i++) {
        if (i + 1 < argc && strcmp(argv[i], "--processes") == 0) {
            processes = (unsigned)torture_number(argv[++i]);
        } else if (i + 1 < argc && strcmp(argv[i], "--only") == 0 && run_only(argv[++i])) {
            return 0;
        } else {
            (void)fprintf(stderr, "usage: faults [--processes N] [--only CASE]\n");
            return 2;
        }
    }
    const bool good = torture_run(CALLS * WORKLOADS * 2 * SLICES, processes, job_run);
    if (good) {
        return print_totals() ? 0 : 1;
    }
    if (shared->failure.failed) {
        (void)printf("%s: %s\n", shared->failure.invariant, shared->failure.what);
    }
    return 1;
}
