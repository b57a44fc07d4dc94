/* The cost of locks: what the parts of write_path share.
 *
 * It is a program for developers: an error ends it with a sentence on standard error.
 *
 * Thread: as the parts say.  Memory: the process's life, unless said otherwise. */
#ifndef BENCH_WRITE_PATH_H
#define BENCH_WRITE_PATH_H

#include "base/bytes.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define THREADS_MAX 1024u

/* ---- common (write_path.c) ------------------------------------------------------------------ */

_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t now_ns(void);
/* User and system time of the whole process so far. */
uint64_t cpu_ns(void);
pthread_t thread_start(void *(*main)(void *arg), void *arg);
void thread_join(pthread_t thread);

/* ---- one connection, many producers (write_path_line.c) -------------------------------------- */

/* How threads share a connection's write path: encode, append to the out-buffer, send. */
enum design {
    DESIGN_RINGS, /* each encodes, and pushes into a ring of its own; the owner appends and sends */
    DESIGN_FINE,  /* each encodes; a mutex for the out-buffer, another one for the socket */
    DESIGN_COARSE, /* one mutex around encode, append and send */
    DESIGN_COUNT,
};
const char *design_name(enum design design);

struct line_options {
    enum design design;
    unsigned threads;
    uint64_t duration_ns;
    uint64_t rate;          /* messages a second of all threads together; 0: as fast as it goes */
    unsigned burst;         /* with a rate: messages that a thread writes in a turn */
    uint32_t slots;         /* of each ring: 2^k */
    size_t data_size;       /* bytes of a message's `data`, quotes included */
    uint64_t messages_each; /* > 0: so many of each thread, and each is checked by the reader */
};

struct line_result {
    double messages_per_second;
    double mean_ns; /* from the call to write until the kernel has the message */
    uint64_t p99_ns;
    uint64_t max_ns;
    double blocked; /* share of the threads' time spent waiting for a lock or for room */
    double cpu_ns;  /* of the process for a message, the reader's included */
    uint64_t sends_per_thousand;
};

void line_run(const struct line_options *options, struct line_result *ret_result);

/* ---- between threads (write_path_queue.c) ---------------------------------------------------- */

struct queue_row {
    const char *name;
    unsigned producers;
    bool is_round_trip; /* nanoseconds there and back; else items a second */
    double median;
    double best;
};

#define QUEUE_ROWS_MAX 16u

/* Each row within `budget_ns`; returns how many rows. */
unsigned queue_run(uint64_t budget_ns, struct queue_row rows[QUEUE_ROWS_MAX]);

#endif
