#include "client/violation.h"

#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const names[VIOLATION_COUNT] = {
#define X(name, text, invariant, meaning) [VIOLATION_##name] = text,
    VIOLATION_LIST(X)
#undef X
};
static const char *const invariants[VIOLATION_COUNT] = {
#define X(name, text, invariant, meaning) [VIOLATION_##name] = invariant,
    VIOLATION_LIST(X)
#undef X
};
static const char *const meanings[VIOLATION_COUNT] = {
#define X(name, text, invariant, meaning) [VIOLATION_##name] = meaning,
    VIOLATION_LIST(X)
#undef X
};

void violations_add(struct violations *violations, enum violation violation, uint64_t count,
                    const char *format, ...)
{
    ASSERT(violation < VIOLATION_COUNT);
    if (count == 0) {
        return;
    }
    violations->counts[violation] += count;
    if (violations->tolerated[violation]) {
        return;
    }
    violations->total += count;
    if (violations->example_count == VIOLATION_EXAMPLES_MAX) {
        return;
    }
    struct violation_example *example = &violations->examples[violations->example_count++];
    example->violation = violation;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(example->text, sizeof(example->text), format, args);
    va_end(args);
}

uint64_t violations_counted(const struct violations *violations)
{
    uint64_t count = violations->suspects;
    for (size_t i = 0; i < VIOLATION_COUNT; i++) {
        count += violations->counts[i];
    }
    return count;
}

const char *violation_name(enum violation violation)
{
    ASSERT(violation < VIOLATION_COUNT);
    return names[violation];
}

const char *violation_invariant(enum violation violation)
{
    ASSERT(violation < VIOLATION_COUNT);
    return invariants[violation];
}

const char *violation_meaning(enum violation violation)
{
    ASSERT(violation < VIOLATION_COUNT);
    return meanings[violation];
}
