/* A greedy search. A smaller world is one in which some values of the plan are smaller; chance runs
 * another course in it, and it counts if the same promise is broken, in whatever way. First kinds
 * of faults are switched off, many at once and then fewer; then every other number goes down to the
 * least that works, by halves. All of it again, until nothing changes. */
#include "sim/shrink.h"

#include "base/assert.h"
#include "sim/plan.h"
#include "sim/trace.h"
#include "sim/world.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIES_MAX 600u
/* One that does not end has so much of the processor, ten times what the largest world takes, and
 * counts as so many tries. */
#define PATIENCE_S 4u
#define LONG_TRIES 40u
#define NAMES_MAX  200u

/* Where other numbers than rates may go down to; what is not here stays. */
static const struct {
    const char *name;
    uint64_t least;
} leasts[] = {
    {"hostiles", 0},        {"web_publishers", 0}, {"readers", 0},    {"subscribers", 0},
    {"publishers", 1},      {"channels", 1},       {"partitions", 1}, {"threads", 1},
    {"tiny_buffers", 0},    {"disk_slow_us", 0},   {"latency_us", 0}, {"retention_messages", 0},
    {"retention_bytes", 0}, {"batch_max", 1},      {"pad_max", 0},    {"steps", 1},
    {"messages_max", 1},
};
#define LEASTS (sizeof(leasts) / sizeof(leasts[0]))

static struct {
    uint64_t seed;
    struct failure *shared; /* what the last try has to say */
    struct failure first;
    uint64_t values[NAMES_MAX]; /* of the smallest world so far */
    bool given[NAMES_MAX];      /* where it differs from what the seed draws */
    bool faults[NAMES_MAX];     /* a rate */
    unsigned count;
    unsigned tries;
} search;

/* ---- one try --------------------------------------------------------------------------------- */

static void give(const uint64_t *values)
{
    for (unsigned i = 0; i < search.count; i++) {
        if (values[i] != search.values[i] || search.given[i]) {
            (void)plan_set(plan_name(i), values[i]);
        }
    }
}

static _Noreturn void run(const uint64_t *values)
{
    if (freopen("/dev/null", "w", stdout) == NULL || freopen("/dev/null", "w", stderr) == NULL) {
        _exit(1);
    }
    give(values);
    trace_fail_to(search.shared);
    struct world_result result;
    world_run(search.seed, false, &result);
    _exit(0);
}

/* Whether a world with these values fails; how is in `shared`. */
static bool fails(const uint64_t *values)
{
    *search.shared = (struct failure){0};
    (void)fflush(NULL);
    const pid_t pid = fork();
    ASSERT(pid >= 0);
    if (pid == 0) {
        run(values);
    }
    int status;
    const pid_t ended = waitpid(pid, &status, 0);
    ASSERT(ended == pid);
    const bool ends = strcmp(search.shared->invariant, TRACE_ENDLESS) != 0;
    search.tries += ends ? 1 : LONG_TRIES;
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

/* Of an assertion the place counts, too. */
static bool same(const struct failure *a, const struct failure *b)
{
    return strcmp(a->invariant, b->invariant) == 0 &&
           (strcmp(a->invariant, "assertion") != 0 || strcmp(a->what, b->what) == 0);
}

/* Takes the values if the world still fails with them. */
static bool take(const uint64_t *values)
{
    if (search.tries >= TRIES_MAX || !fails(values) || !same(search.shared, &search.first)) {
        return false;
    }
    for (unsigned i = 0; i < search.count; i++) {
        search.given[i] = search.given[i] || values[i] != search.values[i];
        search.values[i] = values[i];
    }
    return true;
}

/* ---- the search ------------------------------------------------------------------------------ */

/* Switches off every kind of faults that comes `part`th among those that are on. */
static bool without(unsigned part, unsigned size)
{
    uint64_t values[NAMES_MAX];
    bytes_copy(values, search.values, sizeof(values));
    unsigned on = 0;
    bool any = false;
    for (unsigned i = 0; i < search.count; i++) {
        if (search.faults[i] && search.values[i] > 0) {
            if (on / size == part) {
                values[i] = 0;
                any = true;
            }
            on++;
        }
    }
    return any && take(values);
}

static bool fewer_faults(void)
{
    bool changed = false;
    for (unsigned size = 64; size > 0; size /= 2) {
        for (unsigned part = 0; part * size < NAMES_MAX; part++) {
            while (without(part, size)) { /* others have moved up */
                changed = true;
            }
        }
    }
    return changed;
}

static bool put(unsigned index, uint64_t value)
{
    uint64_t values[NAMES_MAX];
    bytes_copy(values, search.values, sizeof(values));
    values[index] = value;
    return value < search.values[index] && take(values);
}

/* Down to the least, or to as near as it goes by smaller and smaller parts of the way. */
static bool lower(unsigned index, uint64_t least)
{
    if (put(index, least)) {
        return true;
    }
    bool changed = false;
    for (unsigned part = 2; part <= 16; part *= 2) {
        while (search.values[index] > least &&
               put(index, search.values[index] - (search.values[index] - least) / part)) {
            changed = true;
        }
    }
    return changed;
}

static unsigned index_of(const char *name)
{
    for (unsigned i = 0; i < search.count; i++) {
        if (strcmp(plan_name(i), name) == 0) {
            return i;
        }
    }
    UNREACHABLE();
}

static bool round_of(void)
{
    bool changed = fewer_faults();
    for (unsigned i = 0; i < LEASTS; i++) {
        changed = lower(index_of(leasts[i].name), leasts[i].least) || changed;
    }
    return changed;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void begin(uint64_t seed)
{
    struct plan plan;
    search.seed = seed;
    search.shared = mmap(NULL, sizeof(*search.shared), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(search.shared != MAP_FAILED);
    trace_begin(seed, false);
    plan_draw(&plan, seed);
    for (unsigned i = 0; plan_name(i) != NULL; i++) {
        ASSERT(i < NAMES_MAX);
        search.values[i] = plan_get(&plan, i);
        search.faults[i] = plan_name(i)[0] >= 'A' && plan_name(i)[0] <= 'Z';
        search.count++;
    }
}

static void say_one(const char *name, uint64_t value)
{
    char text[100];
    (void)snprintf(text, sizeof(text), "%s=%llu", name, (unsigned long long)value);
    (void)printf("  %s\n", text);
    trace_replay("--set", text);
}

/* What must be set for it. Of faults only those that are left. */
static void say(void)
{
    bool fewer = false;
    for (unsigned i = 0; i < search.count; i++) {
        fewer = fewer || (search.given[i] && search.faults[i]);
        if (search.given[i] && !search.faults[i]) {
            say_one(plan_name(i), search.values[i]);
        }
    }
    if (fewer) {
        say_one("faults", 0);
    }
    for (unsigned i = 0; fewer && i < search.count; i++) {
        if (search.faults[i] && search.values[i] > 0) {
            say_one(plan_name(i), search.values[i]);
        }
    }
}

int shrink(uint64_t seed)
{
    begin(seed);
    if (!fails(search.values)) {
        (void)printf("seed %llu does not fail\n", (unsigned long long)seed);
        return 2;
    }
    search.first = *search.shared;
    trace_patience(PATIENCE_S);
    while (search.tries < TRIES_MAX && round_of()) {
    }
    (void)printf("%u worlds tried; the smallest that fails so:\n", search.tries);
    say();
    give(search.values);
    struct world_result result;
    world_run(seed, false, &result);
    (void)printf("FAILED seed %llu: simulator: the smallest world fails only in a process of its "
                 "own\n",
                 (unsigned long long)seed);
    return 1;
}
