#include "sim/heap.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "sim/trace.h"

#include <stdlib.h>

#define BLOCK_MARK 0x5EED0B10u

struct block {
    struct block *next;
    struct block *prev;
    size_t size;
    enum heap_owner owner;
    unsigned mark;
    uint8_t padding[CACHE_LINE - 2 * sizeof(void *) - sizeof(size_t) - 8];
};
static_assert(sizeof(struct block) == CACHE_LINE,
              "what follows a block's head is aligned as it is");

#define EMPTY(i)                                                                                   \
    {                                                                                              \
        .next = &ring[i], .prev = &ring[i]                                                         \
    }
static struct block ring[HEAP_OWNERS] = {EMPTY(0), EMPTY(1), EMPTY(2), EMPTY(3),
                                         EMPTY(4), EMPTY(5), EMPTY(6), EMPTY(7)};
static_assert(HEAP_OWNERS == 8, "each has a ring that is empty");
static uint64_t counts[HEAP_OWNERS];
static enum heap_owner current;
static uint64_t fail_left;
static bool fail_ever;
static bool failed;
static bool failed_now; /* in this step */
static uint64_t failures;
jmp_buf heap_crash;

enum heap_owner heap_owner_set(enum heap_owner owner)
{
    const enum heap_owner before = current;
    current = owner;
    return before;
}

uint64_t heap_blocks(enum heap_owner owner)
{
    return counts[owner];
}

void heap_fail_at(uint64_t k)
{
    fail_left = k;
    fail_ever = false;
    failed = failed && k > 0;
}

void heap_fail_from(uint64_t k)
{
    heap_fail_at(k);
    fail_ever = k > 0;
}

uint64_t heap_failures(void)
{
    return failures;
}

void heap_step(void)
{
    failed_now = false;
}

bool heap_has_failed(void)
{
    return failed;
}

static bool fails(void)
{
    if (current != HEAP_SERVER || fail_left == 0) {
        return false;
    }
    const bool fails_now = fail_left == 1;
    failed = failed || fails_now;
    failed_now = failed_now || fails_now;
    failures += fails_now;
    fail_left -= !(fails_now && fail_ever);
    return fails_now;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* Free blocks by size, powers of two; the C heap takes longer. Not under AddressSanitizer, which
 * would see nothing wrong with the use of a block that lies on a shelf. */
#ifdef HEAP_SANITIZED

/* Of just that size: one byte too many is seen. */
static struct block *shelf_take(size_t size)
{
    void *block = NULL;
    const int error = posix_memalign(&block, CACHE_LINE, sizeof(struct block) + size);
    ASSERT(error == 0);
    return block;
}

static void shelf_put(struct block *block)
{
    free(block);
}

#else

#define SHELF_LEAST 128u
#define SHELVES     14u

static struct block *shelves[SHELVES];

/* SHELVES: too large for any. */
static unsigned shelf_of(size_t size)
{
    const size_t whole = sizeof(struct block) + size;
    const unsigned shelf =
        whole <= SHELF_LEAST ? 0 : 64u - (unsigned)__builtin_clzll((whole - 1) / SHELF_LEAST);
    return shelf < SHELVES ? shelf : SHELVES;
}

static struct block *shelf_take(size_t size)
{
    const unsigned shelf = shelf_of(size);
    struct block *block = shelf < SHELVES ? shelves[shelf] : NULL;
    if (block != NULL) {
        shelves[shelf] = block->next;
        return block;
    }
    const size_t bytes = shelf < SHELVES
                             ? (size_t)SHELF_LEAST << shelf
                             : (sizeof(*block) + size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    block = aligned_alloc(CACHE_LINE, bytes);
    ASSERT(block != NULL);
    return block;
}

static void shelf_put(struct block *block)
{
    const unsigned shelf = shelf_of(block->size);
    if (shelf == SHELVES) {
        free(block);
        return;
    }
    block->next = shelves[shelf];
    shelves[shelf] = block;
}

#endif

static void *take(size_t size, bool zero)
{
    ASSERT(size > 0);
    if (fails()) {
        return NULL;
    }
    struct block *block = shelf_take(size);
    *block = (struct block){.size = size, .owner = current, .mark = BLOCK_MARK};
    block->next = ring[current].next;
    block->prev = &ring[current];
    block->next->prev = block;
    ring[current].next = block;
    counts[current]++;
    if (zero) {
        bytes_zero(block + 1, size);
    } else {
        (void)memset(block + 1, 0xA5, size); /* what nobody has set is the same in every run */
    }
    return block + 1;
}

static void drop(struct block *block)
{
    ASSERT(block->mark == BLOCK_MARK);
    block->mark = 0;
    block->next->prev = block->prev;
    block->prev->next = block->next;
    counts[block->owner]--;
    shelf_put(block);
}

void heap_drop(enum heap_owner owner)
{
    while (ring[owner].next != &ring[owner]) {
        drop(ring[owner].next);
    }
}

/* ---- base/mem.h ------------------------------------------------------------------------------ */

void *mem_alloc(size_t size)
{
    return take(size, false);
}

void *mem_calloc(size_t count, size_t size)
{
    return count > SIZE_MAX / size ? NULL : take(count * size, true);
}

void *mem_calloc_lines(size_t count, size_t size)
{
    return mem_calloc(count, size);
}

void *mem_realloc(void *old, size_t size)
{
    void *fresh = take(size, false);
    if (fresh != NULL && old != NULL) {
        struct block *block = (struct block *)old - 1;
        bytes_copy(fresh, old, block->size < size ? block->size : size);
        drop(block);
    }
    return fresh;
}

void mem_free(void *old)
{
    if (old != NULL) {
        drop((struct block *)old - 1);
    }
}

char *mem_strdup(const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = mem_alloc(size);
    if (copy != NULL) {
        bytes_copy(copy, text, size);
    }
    return copy;
}

void mem_exhausted(const char *what)
{
    if (!failed_now || current != HEAP_SERVER) {
        trace_fail("P24 the server crashes", "out of memory, and there is enough: %s", what);
    }
    trace("server: out of memory: %s", what);
    failed = false;
    fail_left = 0;
    longjmp(heap_crash, 1);
}

void mem_fault_set(uint64_t countdown, int forever)
{
    ASSERT(forever == 0);
    heap_fail_at(countdown);
}

uint64_t mem_fault_count(void)
{
    return failed;
}
