#include "base/mem.h"

#include "base/assert.h"
#include "base/limits.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Armed by single-threaded tests only; in production `armed` stays false and is only read. */
static struct {
    bool armed;
    bool forever;
    uint64_t countdown;
    uint64_t count;
} fault;

static bool fault_hits(void)
{
    if (!fault.armed) {
        return false;
    }
    fault.count++;
    if (fault.countdown == 0) {
        return false;
    }
    if (fault.count == fault.countdown) {
        return true;
    }
    return fault.forever && fault.count > fault.countdown;
}

void *mem_alloc(size_t size)
{
    ASSERT(size > 0);
    return fault_hits() ? NULL : malloc(size);
}

void *mem_calloc(size_t count, size_t size)
{
    ASSERT(count > 0);
    ASSERT(size > 0);
    /* Checked here, since sanitizers make calloc's own refusal fatal. */
    if (count > SIZE_MAX / size) {
        return NULL;
    }
    return fault_hits() ? NULL : calloc(count, size);
}

void *mem_calloc_lines(size_t count, size_t size)
{
    ASSERT(count > 0);
    ASSERT(size > 0);
    ASSERT(size % CACHE_LINE == 0);
    if (fault_hits() || count > SIZE_MAX / size) {
        return NULL;
    }
    void *block = aligned_alloc(CACHE_LINE, count * size);
    if (block != NULL) {
        (void)memset(block, 0, count * size);
    }
    return block;
}

void *mem_realloc(void *block, size_t size)
{
    ASSERT(size > 0);
    return fault_hits() ? NULL : realloc(block, size);
}

void mem_free(void *block)
{
    free(block);
}

char *mem_strdup(const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = mem_alloc(size);
    if (copy != NULL) {
        (void)memcpy(copy, text, size);
    }
    return copy;
}

void mem_exhausted(const char *what)
{
    /* As assert_failed(), but nobody has made a mistake: no core of all that memory. */
    (void)fprintf(stderr, "seriatim: out of memory: %s; ending, what is committed is safe\n", what);
    _Exit(EXIT_FAILURE);
}

void mem_fault_set(uint64_t countdown, int forever)
{
    fault.armed = true;
    fault.forever = forever != 0;
    fault.countdown = countdown;
    fault.count = 0;
}

uint64_t mem_fault_count(void)
{
    return fault.count;
}
