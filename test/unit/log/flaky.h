/* A storage in front of another one, of which the k-th call fails, whatever it is; or lies: the
 * k-th read gives less than the file has, the k-th size is far too large, the k-th change is not
 * made.
 *
 * Unlike the simulated disk's own faults it counts all kinds of calls together, also those for a
 * file's size, and nothing is lost by a failure: so every call of one run can be failed in turn.
 *
 * Thread: one.  Memory: the inner storage's. */
#ifndef TEST_LOG_FLAKY_H
#define TEST_LOG_FLAKY_H

#include "log/storage.h"

struct flaky {
    struct storage inner;
    uint64_t count;      /* calls so far, but for close() */
    uint64_t fail_at;    /* 0: none */
    uint64_t read_count; /* read() calls so far */
    uint64_t short_at;   /* 0: none */
    uint64_t size_count; /* size() calls so far */
    uint64_t huge_at;    /* that one says 4 GiB; 0: none */
    bool huge_forever;   /* … and all after it */
    uint64_t change_count;
    uint64_t lie_at; /* that write, rename or removal says RC_OK and does nothing; 0: none */
    bool hit;        /* the fault has happened */
    enum rc rc;      /* what the failing call says */
};

/* Through `flaky`, which must stay where it is. */
struct storage flaky_storage(struct flaky *flaky);

#endif
