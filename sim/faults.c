#include "sim/faults.h"

#include "sim/trace.h"

#include <assert.h>
#include <stdio.h>

/* Rates of steps and calls are those of a world of so many steps. */
#define STEPS_USUAL 700u

static_assert(FAULT_COUNT <= FAULT_COUNT_MAX, "each kind has a count");

static const struct kind {
    const char *name;
    const char *text;
    enum fault_unit unit;
    unsigned percent;
    unsigned rate_max;
} kinds[] = {
#define X(name, text, unit, percent, rate_max) {#name, text, unit, percent, rate_max},
    FAULT_LIST(X)
#undef X
};

static struct faults now;
static uint64_t counts[FAULT_COUNT_MAX];

static unsigned rate_draw(const struct kind *kind, uint64_t steps)
{
    uint64_t rate = sim_between(1 + kind->rate_max / 8, kind->rate_max);
    if (kind->unit != FAULT_A_CASE) {
        rate = rate * STEPS_USUAL / steps;
    }
    return rate > 100000 ? 100000 : rate == 0 ? 1 : (unsigned)rate;
}

void faults_draw(struct faults *ret_faults, uint64_t steps)
{
    *ret_faults = (struct faults){0};
    for (unsigned i = 0; i < FAULT_CLIENTS_FIRST; i++) {
        if (kinds[i].rate_max > 0 && sim_chance(kinds[i].percent)) {
            ret_faults->rates[i] = rate_draw(&kinds[i], steps);
        }
    }
}

void faults_draw_clients(struct faults *faults, struct prng *prng)
{
    for (unsigned i = FAULT_CLIENTS_FIRST; i < FAULT_COUNT; i++) {
        assert(kinds[i].unit == FAULT_A_CASE);
        const unsigned least = 1 + kinds[i].rate_max / 8;
        const bool there = prng_below(prng, 100) < kinds[i].percent;
        const uint64_t rate = least + prng_below(prng, kinds[i].rate_max - least + 1);
        faults->rates[i] = there ? (unsigned)rate : 0;
    }
}

void faults_begin(const struct faults *faults)
{
    now = *faults;
    for (unsigned i = 0; i < FAULT_COUNT_MAX; i++) {
        counts[i] = 0;
    }
}

void faults_end(void)
{
    now = (struct faults){0};
}

bool fault_enabled(enum fault_kind kind)
{
    return now.rates[kind] > 0;
}

bool fault_is_due(enum fault_kind kind)
{
    return now.rates[kind] > 0 && sim_below(100000) < now.rates[kind];
}

void fault_did(enum fault_kind kind)
{
    trace("fault: %s", kinds[kind].text);
    counts[kind]++;
}

bool fault_happens(enum fault_kind kind)
{
    const bool due = fault_is_due(kind);
    if (due) {
        fault_did(kind);
    }
    return due;
}

void fault_add(enum fault_kind kind, uint64_t count)
{
    counts[kind] += count;
}

uint64_t fault_total(void)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        total += kinds[i].rate_max > 0 ? counts[i] : 0;
    }
    return total;
}

const char *fault_text(enum fault_kind kind)
{
    return kinds[kind].text;
}

const char *fault_name(enum fault_kind kind)
{
    return kinds[kind].name;
}

const uint64_t *fault_counts(void)
{
    return counts;
}

void faults_print(const uint64_t totals[FAULT_COUNT_MAX])
{
    unsigned never = 0;
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        (void)printf("fault %-18s %10llu  %s\n", kinds[i].name, (unsigned long long)totals[i],
                     kinds[i].text);
        never += totals[i] == 0;
    }
    (void)printf("%u fault kinds, %u never came\n", (unsigned)FAULT_COUNT, never);
}
