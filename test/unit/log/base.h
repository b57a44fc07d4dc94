/* A base log with sealed, unsealed and checkpointed segments, and copies of it to plant damage in:
 * for the tests of recovery, repair and verify.
 *
 * Thread: one.  Memory: base_drop() and case_end() free. */
#ifndef TEST_LOG_BASE_H
#define TEST_LOG_BASE_H

#include "log/files.h"
#include "unit/log/world.h"

struct base {
    struct sim_disk *disk;
    struct world world; /* its model is copied for each case; its log is closed */
    uint64_t last_batch_pos;
    struct log_place last_batch;
    uint64_t last_end_at;
    uint64_t last_segment;
};

/* `batches` batches of 1 to 5 records; sealing stops at 30 unless `seal_all`. */
void base_make_of(struct base *base, int batches, bool checkpoints, bool seal_all);
void base_make(struct base *base, bool checkpoints, bool seal_all);
void base_drop(struct base *base);

/* A case of its own: a copy of the disk, and of the model. */
struct sim_disk *case_begin(const struct base *base, struct world *world, uint64_t seed);
void case_end(struct sim_disk *disk, struct world *world);

/* The name of a segment's file. */
struct log_name seg(uint64_t number);

#endif
