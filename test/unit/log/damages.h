/* Kinds of damage that a recovery can meet, each planted in a copy of a base log (base.h).
 *
 * Thread: one.  Memory: none. */
#ifndef TEST_LOG_DAMAGES_H
#define TEST_LOG_DAMAGES_H

#include "unit/log/base.h"

struct damage_case {
    const char *name;
    bool checkpoints; /* in the base log */
    bool seal_all;
    void (*plant)(const struct base *base, struct sim_disk *disk);
};

extern const struct damage_case damage_cases[];
extern const size_t damage_case_count;

/* The bytes of a segment; its size. */
uint64_t damage_segment_size(const struct sim_disk *disk, uint64_t number);
/* Where record number `index` of a segment stands. */
uint64_t damage_record_at(const struct sim_disk *disk, uint64_t number, uint64_t index);
/* One past a segment's last record. */
uint64_t damage_end_at(const struct sim_disk *disk, uint64_t number);
/* Zeros over a range of a segment. */
void damage_zero(struct sim_disk *disk, uint64_t number, uint64_t first, uint64_t end);

#endif
