/* The server's disk: test/lib/sim_disk, which knows what is synced, behind faults that come by
 * chance, with files that can be closed when their owner is gone.
 *
 * Thread: one.  Memory: disk_end() frees. */
#ifndef SIM_DISK_FAULTS_H
#define SIM_DISK_FAULTS_H

#include "lib/sim_disk.h"
#include "sim/plan.h"

/* `slow_us`: what a slow call takes, at most. */
void disk_begin(uint64_t seed, uint64_t slow_us);
void disk_end(void);
struct storage disk_storage_sim(void);
/* No call fails from now on, but by chance. */
void disk_calm(void);
/* The next write finds no space. */
void disk_no_space(void);
/* From now on many calls fail, or none but those that fail by themselves. */
void disk_errors(bool on);
/* Closes what a dead server held open, and powers on again. */
void disk_power_cycle(enum sim_loss loss);
struct sim_disk *disk_inner(void);
/* How long the calls since the last call of this took. */
uint64_t disk_time_taken(void);
/* A call has failed by chance since the last call of this. */
bool disk_has_failed(void);

#endif
