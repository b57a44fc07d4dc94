#include "sim/jobs.h"

#include "base/hash.h"
#include "base/stats.h"
#include "ring/ticket.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Seeds that a process takes at once. */
#define TAKEN      16u
#define LOOK_EVERY 5000000 /* ns between two looks at the processes */

/* What a process has to say. */
struct report {
    struct stats_counter done;
    uint64_t index; /* of the seed that it runs */
    struct tally tally;
};

struct shared {
    struct ticket next;
    struct stats_flag stop;
    struct report reports[JOBS_MAX];
};

uint64_t seed_at(const struct seeds *seeds, uint64_t index)
{
    return seeds->list != NULL ? seeds->list[index] : seeds->first + index;
}

/* ---- one seed -------------------------------------------------------------------------------- */

static void add(struct tally *tally, uint64_t seed, const struct world_result *result)
{
    const uint64_t both[] = {seed, result->hash};
    struct world_result *sum = &tally->sum;
    tally->seeds++;
    sum->hash += hash_bytes(bytes_of(both, sizeof(both)), 0);
    sum->faults += result->faults;
    sum->crashes += result->crashes;
    sum->messages += result->messages;
    sum->steps += result->steps;
    for (unsigned i = 0; i < FAULT_COUNT_MAX; i++) {
        sum->kinds[i] += result->kinds[i];
    }
}

void seed_run(const struct seeds *seeds, uint64_t index, bool verbose, struct tally *tally)
{
    const uint64_t seed = seed_at(seeds, index);
    struct world_result result;
    world_run(seed, verbose, &result);
    add(tally, seed, &result);
    if (index % 100 == 0 && seeds->list == NULL && !verbose) {
        struct world_result second;
        world_run(seed, false, &second);
        if (result.hash != second.hash) {
            (void)printf("FAILED seed %llu: simulator: two runs differ, %016llx and %016llx\n",
                         (unsigned long long)seed, (unsigned long long)result.hash,
                         (unsigned long long)second.hash);
            exit(1);
        }
    }
}

/* ---- a process ------------------------------------------------------------------------------- */

static uint64_t now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec;
}

static _Noreturn void work(const struct seeds *seeds, struct shared *shared, struct report *report,
                           uint64_t end_s)
{
    /* Whoever started this one runs the seed again to print what it says. */
    if (freopen("/dev/null", "w", stdout) == NULL || freopen("/dev/null", "w", stderr) == NULL) {
        _exit(1);
    }
    while (!stats_flag_get(&shared->stop) && now_s() < end_s) {
        const uint64_t from = ticket_take(&shared->next, 0, TAKEN);
        for (uint64_t i = from; i < from + TAKEN && i < seeds->count; i++) {
            report->index = i;
            seed_run(seeds, i, false, &report->tally);
            (void)stats_counter_add(&report->done, 1);
        }
        if (from + TAKEN >= seeds->count) {
            break;
        }
    }
    marks_add(&report->tally.marks);
    exit(0); /* with the counters of a build that measures coverage */
}

static void merge(struct tally *tally, const struct tally *other)
{
    tally->seeds += other->seeds;
    tally->sum.hash += other->sum.hash;
    tally->sum.faults += other->sum.faults;
    tally->sum.crashes += other->sum.crashes;
    tally->sum.messages += other->sum.messages;
    tally->sum.steps += other->sum.steps;
    for (unsigned i = 0; i < FAULT_COUNT_MAX; i++) {
        tally->sum.kinds[i] += other->sum.kinds[i];
    }
    marks_merge(&tally->marks, &other->marks);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void progress(const struct shared *shared, unsigned jobs, uint64_t began_s)
{
    static uint64_t told_s;
    if (isatty(STDERR_FILENO) == 0 || told_s == now_s()) {
        return;
    }
    told_s = now_s();
    uint64_t done = 0;
    for (unsigned i = 0; i < jobs; i++) {
        done += stats_counter_get(&shared->reports[i].done);
    }
    (void)fprintf(stderr, "\r%llu seeds, %llu s ", (unsigned long long)done,
                  (unsigned long long)(told_s - began_s));
}

/* Looks whether that process has ended; one that has failed stops the others. True: it has. */
static bool has_ended(pid_t pid, struct shared *shared, const struct report *report,
                      uint64_t *lowest)
{
    int status;
    if (waitpid(pid, &status, WNOHANG) == 0) {
        return false;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        stats_flag_set(&shared->stop, true);
        *lowest = report->index < *lowest ? report->index : *lowest;
    }
    return true;
}

/* Returns the lowest index at which one has failed; UINT64_MAX: none has. */
static uint64_t wait_all(pid_t *pids, struct shared *shared, unsigned jobs, uint64_t began_s)
{
    uint64_t lowest = UINT64_MAX;
    for (unsigned left = jobs; left > 0;) {
        for (unsigned i = 0; i < jobs; i++) {
            if (pids[i] != 0 && has_ended(pids[i], shared, &shared->reports[i], &lowest)) {
                pids[i] = 0;
                left--;
            }
        }
        const struct timespec pause = {.tv_nsec = LOOK_EVERY};
        (void)nanosleep(&pause, NULL);
        progress(shared, jobs, began_s);
    }
    return lowest;
}

bool jobs_run(const struct seeds *seeds, unsigned jobs, struct tally *ret_tally,
              uint64_t *ret_index)
{
    ASSERT(jobs > 0 && jobs <= JOBS_MAX);
    const uint64_t began_s = now_s();
    const uint64_t end_s = seeds->minutes > 0 ? began_s + seeds->minutes * 60 : UINT64_MAX;
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(shared != MAP_FAILED);
    pid_t pids[JOBS_MAX];
    (void)fflush(NULL);
    for (unsigned i = 0; i < jobs; i++) {
        pids[i] = fork();
        ASSERT(pids[i] >= 0);
        if (pids[i] == 0) {
            work(seeds, shared, &shared->reports[i], end_s);
        }
    }
    const uint64_t lowest = wait_all(pids, shared, jobs, began_s);
    if (isatty(STDERR_FILENO) != 0) {
        (void)fputs("\r", stderr);
    }
    *ret_tally = (struct tally){0};
    for (unsigned i = 0; i < jobs; i++) {
        merge(ret_tally, &shared->reports[i].tally);
    }
    (void)munmap(shared, sizeof(*shared));
    *ret_index = lowest;
    return lowest == UINT64_MAX;
}
