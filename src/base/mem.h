/* The one door to the heap: counted, and able to fail on demand.
 *
 * Every allocation of the program goes through here (tidy bans malloc elsewhere), so that tests
 * can fail the k-th one, and so that the memory in use can be told. NULL means out of memory; the
 * caller must cope.
 *
 * Thread: any; fault injection is for single-threaded tests.  Memory: caller frees. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/rc.h"

#include <stddef.h>
#include <stdint.h>

/* `size` > 0. */
MUST_USE void *mem_alloc(size_t size);
/* Zeroed; NULL also when count * size overflows. */
MUST_USE void *mem_calloc(size_t count, size_t size);
/* As mem_calloc(), at the start of a cache line: for arrays of what threads must not share a line
 * of. */
MUST_USE void *mem_calloc_lines(size_t count, size_t size);
/* As realloc: on failure the old block is untouched. `size` > 0. */
MUST_USE void *mem_realloc(void *block, size_t size);
/* NULL is allowed. */
void mem_free(void *block);
/* A copy with a NUL behind it. */
MUST_USE char *mem_strdup(const char *text);

/* Ends the process, by name, where memory has run out and going on would break a promise; `what`
 * could not be done for want of it. What is committed is safe: the next start goes on from there.
 */
_Noreturn void mem_exhausted(const char *what);

/* Test only: the allocation number `countdown` from now (1 = the next) fails, and after it each
 * one too if `forever`. 0 switches off. */
void mem_fault_set(uint64_t countdown, int forever);
/* How many allocations were asked for since the last mem_fault_set(). */
uint64_t mem_fault_count(void);

#endif
