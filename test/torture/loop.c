#include "torture/loop.h"

#include "base/assert.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES_MAX 8u
#define CASE_BYTES    240u
#define KEYS          (1u << 23) /* more than any loop has, by half */

struct shared {
    unsigned next_job;
    uint64_t counters[TORTURE_COUNTERS_MAX];
    char cases[PROCESSES_MAX][CASE_BYTES];
    uint64_t keys[KEYS];
};

static struct {
    struct shared *shared;
    const char *program;
    unsigned self;
    struct timespec began;
} loop;

void torture_init(const char *program)
{
    loop.program = program;
    loop.shared = mmap(NULL, sizeof(*loop.shared), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT(loop.shared != MAP_FAILED);
    (void)clock_gettime(CLOCK_MONOTONIC, &loop.began);
}

void torture_case(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(loop.shared->cases[loop.self], CASE_BYTES, format, args);
    va_end(args);
}

void torture_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)printf("\n");
    (void)fflush(stdout);
    _exit(1);
}

void torture_add(unsigned counter, uint64_t count)
{
    ASSERT(counter < TORTURE_COUNTERS_MAX);
    (void)__atomic_fetch_add(&loop.shared->counters[counter], count, __ATOMIC_RELAXED);
}

uint64_t torture_total(unsigned counter)
{
    ASSERT(counter < TORTURE_COUNTERS_MAX);
    return __atomic_load_n(&loop.shared->counters[counter], __ATOMIC_RELAXED);
}

bool torture_first_time(uint64_t key)
{
    key += key == 0; /* 0 is a free place */
    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t *place = &loop.shared->keys[(key + i) % KEYS];
        uint64_t there = 0;
        if (__atomic_compare_exchange_n(place, &there, key, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            return true;
        }
        if (there == key) {
            return false;
        }
    }
    torture_fail("the table of keys is full");
}

double torture_seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - loop.began.tv_sec) +
           (double)(now.tv_nsec - loop.began.tv_nsec) / 1e9;
}

uint64_t torture_number(const char *text)
{
    uint64_t value = 0;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || value > UINT64_MAX / 10 - 1) {
            (void)fprintf(stderr, "%s: not a number: %s\n", loop.program, text);
            exit(2);
        }
        value = value * 10 + (uint64_t)(*text - '0');
    }
    return value;
}

/* ---- processes ------------------------------------------------------------------------------- */

_Noreturn static void work(unsigned self, unsigned count, void (*run)(unsigned job))
{
    loop.self = self;
    for (;;) {
        const unsigned job = __atomic_fetch_add(&loop.shared->next_job, 1, __ATOMIC_RELAXED);
        if (job >= count) {
            break;
        }
        run(job);
    }
    exit(0); /* with what a sanitizer has to say of leaks */
}

static void tell(unsigned who, int status)
{
    if (WIFSIGNALED(status)) {
        (void)printf("ended by signal %d (%s)\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
    }
    (void)printf("FAILED. replay: build/test/torture/%s %s\n", loop.program,
                 loop.shared->cases[who]);
}

bool torture_run(unsigned count, unsigned processes, void (*run)(unsigned job))
{
    ASSERT(processes > 0);
    pid_t pids[PROCESSES_MAX];
    processes = processes < PROCESSES_MAX ? processes : PROCESSES_MAX;
    loop.shared->next_job = 0;
    (void)fflush(stdout);
    for (unsigned i = 0; i < processes; i++) {
        pids[i] = fork();
        ASSERT(pids[i] >= 0);
        if (pids[i] == 0) {
            work(i, count, run);
        }
    }
    bool good = true;
    for (unsigned left = processes; left > 0; left--) {
        int status = 0;
        const pid_t pid = wait(&status);
        for (unsigned i = 0; i < processes; i++) {
            if (pids[i] != pid) {
                continue;
            }
            pids[i] = 0;
            if (good && status != 0) {
                good = false;
                tell(i, status);
            }
        }
        for (unsigned i = 0; i < processes && !good; i++) {
            if (pids[i] != 0) {
                (void)kill(pids[i], SIGKILL);
            }
        }
    }
    (void)fflush(stdout);
    return good;
}
