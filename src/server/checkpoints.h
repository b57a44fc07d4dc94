/* Checkpoints that are encoded and wait until everything below them is sealed.
 *
 * The oldest one stays until it is written, or under a log that is always ahead of the keeper none
 * ever would be. Of those behind it, when they are too many, the one goes whose neighbours are the
 * closest to each other: so what retention can remove at a time (it goes from checkpoint to
 * checkpoint) stays small, however far behind the keeper is.
 *
 * Thread: the partition's.  Memory: checkpoints_deinit() frees. All zero is a valid empty one. */
#ifndef SERVER_CHECKPOINTS_H
#define SERVER_CHECKPOINTS_H

#include "base/pieces.h"

#define CHECKPOINTS_MAX 8u

struct checkpoint_waiting {
    uint64_t segment;
    uint64_t pos; /* the first one of the segment */
    struct pieces state;
};

struct checkpoints {
    struct checkpoint_waiting items[CHECKPOINTS_MAX]; /* by segment */
    unsigned count;
};

/* Whether to begin no other one: together they hold tune.checkpoint_bytes or more. */
bool checkpoints_full(const struct checkpoints *checkpoints);
/* One of a later segment than all that wait. Takes the state over. */
void checkpoints_add(struct checkpoints *checkpoints, const struct checkpoint_waiting *waiting);
/* The oldest one's segment, 0: none waits. */
uint64_t checkpoints_first(const struct checkpoints *checkpoints);
/* The newest one's segment and bytes, 0: none waits. */
uint64_t checkpoints_last(const struct checkpoints *checkpoints, uint64_t *ret_bytes);
/* The oldest one, which no longer waits; its state is the caller's. There must be one. */
struct checkpoint_waiting checkpoints_take(struct checkpoints *checkpoints);
void checkpoints_deinit(struct checkpoints *checkpoints);

#endif
