/* The heap of the simulated process, in place of base/mem.c: it knows whose each block is.
 *
 * What the server allocates is dropped as a whole when the machine dies, without a line of its code
 * running; what it has not freed at an orderly end is a leak. An allocation of the server's may
 * fail; where it then ends the process by name, mem_exhausted(), that comes back as a crash.
 *
 * Thread: one.  Memory: heap_drop() frees. */
#ifndef SIM_HEAP_H
#define SIM_HEAP_H

#include "base/mem.h"

#include <setjmp.h>
#include <stdbool.h>

/* A sanitizer looks after the heap itself. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define HEAP_SANITIZED
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define HEAP_SANITIZED
#endif

#define HEAP_LIBRARIES 6

enum heap_owner {
    HEAP_WORLD, /* clients and the simulator */
    HEAP_SERVER,
    HEAP_LIBRARY, /* the first of the processes that use the C library */
    HEAP_OWNERS = HEAP_LIBRARY + HEAP_LIBRARIES,
};

/* Whose the blocks allocated from now on are; returns whose they were. */
enum heap_owner heap_owner_set(enum heap_owner owner);
uint64_t heap_blocks(enum heap_owner owner);
/* Frees all blocks of that owner. */
void heap_drop(enum heap_owner owner);

/* The server's allocation number k from now fails; 0: none, and none has failed so far. */
void heap_fail_at(uint64_t k);
/* The same, and all after it, as long as the process lives. */
void heap_fail_from(uint64_t k);
/* How many have failed, ever. */
uint64_t heap_failures(void);
/* A step begins: the server may end itself for want of memory where it runs out, not later. */
void heap_step(void);
/* Whether one has failed. */
bool heap_has_failed(void);
/* Where the server goes that ends itself. An assertion is a broken promise also then. */
extern jmp_buf heap_crash;

#endif
