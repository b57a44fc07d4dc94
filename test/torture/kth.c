#include "torture/kth.h"

#include "sim/heap.h"
#include "sim/trace.h"

#include <stdio.h>

static struct {
    enum fault_kind kind;
    uint64_t k;
    bool forever;
    uint64_t calls;
    uint64_t hits;
    uint64_t memory_before; /* failures of the heap when the world began */
    uint64_t script[FAULT_COUNT_MAX];
    uint64_t opportunities[FAULT_COUNT_MAX];
    uint64_t counts[FAULT_COUNT_MAX];
    bool active;
} kth;

void kth_arm(enum fault_kind kind, uint64_t k, bool forever)
{
    kth.kind = kind;
    kth.k = k;
    kth.forever = forever;
}

bool kth_is(enum fault_kind kind)
{
    return kth.kind == kind && kth.k > 0;
}

uint64_t kth_hits(void)
{
    return kth.kind == FAULT_NO_MEMORY ? heap_failures() - kth.memory_before : kth.hits;
}

uint64_t kth_calls(void)
{
    return kth.calls;
}

void kth_script(enum fault_kind kind, uint64_t n)
{
    kth.script[kind] = n;
}

void kth_script_clear(void)
{
    for (unsigned i = 0; i < FAULT_COUNT_MAX; i++) {
        kth.script[i] = 0;
    }
}

/* ---- sim/faults.h ---------------------------------------------------------------------------- */

static const char *const texts[] = {
#define X(name, text, ...) text,
    FAULT_LIST(X)
#undef X
};
static const char *const names[] = {
#define X(name, ...) #name,
    FAULT_LIST(X)
#undef X
};

void faults_draw(struct faults *ret_faults, uint64_t steps)
{
    (void)steps;
    *ret_faults = (struct faults){0};
}

void faults_begin(const struct faults *faults)
{
    (void)faults;
    kth.calls = 0;
    kth.hits = 0;
    kth.memory_before = heap_failures();
    kth.active = true;
    for (unsigned i = 0; i < FAULT_COUNT_MAX; i++) {
        kth.counts[i] = 0;
        kth.opportunities[i] = 0;
    }
    if (kth.kind == FAULT_NO_MEMORY && kth.k > 0) {
        kth.counts[FAULT_NO_MEMORY] = 1; /* what it leaves behind is looked at with that in mind */
        if (kth.forever) {
            heap_fail_from(kth.k);
        } else {
            heap_fail_at(kth.k);
        }
    }
}

void faults_end(void)
{
    kth.active = false;
}

bool fault_enabled(enum fault_kind kind)
{
    return kth.active && (kth.script[kind] > 0 || (kth.kind == kind && kth.k > 0));
}

bool fault_is_due(enum fault_kind kind)
{
    if (!kth.active || kind == FAULT_NO_MEMORY) {
        return false;
    }
    if (kth.script[kind] == KTH_ALWAYS) {
        return true;
    }
    if (kth.script[kind] > 0 && ++kth.opportunities[kind] == kth.script[kind]) {
        return true;
    }
    if (kth.kind != kind) {
        return false;
    }
    kth.calls++;
    const bool due = kth.k > 0 && (kth.calls == kth.k || (kth.forever && kth.calls > kth.k));
    kth.hits += due;
    return due;
}

void fault_did(enum fault_kind kind)
{
    trace("fault: %s", texts[kind]);
    kth.counts[kind]++;
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
    kth.counts[kind] += count;
}

uint64_t fault_total(void)
{
    return kth.hits;
}

const char *fault_text(enum fault_kind kind)
{
    return texts[kind];
}

const char *fault_name(enum fault_kind kind)
{
    return names[kind];
}

const uint64_t *fault_counts(void)
{
    kth.counts[FAULT_NO_MEMORY] = heap_failures() - kth.memory_before; /* the heap counts its own */
    return kth.counts;
}

void faults_print(const uint64_t totals[FAULT_COUNT_MAX])
{
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        (void)printf("%s %llu\n", names[i], (unsigned long long)totals[i]);
    }
}
