/* Epochs: the names of histories.
 *
 * A channel's first epoch follows from the partition's base epoch and the channel's name, so that a
 * channel that nobody has published to has one too, and its first message leaves it as it is.
 *
 * Thread: any.  Memory: none. */
#ifndef CORE_EPOCH_H
#define CORE_EPOCH_H

#include "base/bytes.h"

/* The base epoch of a new log. Never 0. */
uint64_t epoch_base_first(uint64_t incarnation, uint32_t partition);
/* The first epoch of the channel of that name. Never 0. */
uint64_t epoch_of_name(uint64_t base, struct bytes name);
/* The epoch after `epoch`, ended by the record at `pos`. `salt` comes with that record: the same
 * position written anew, after its record was lost, gives another one. Never 0, never `epoch`. */
uint64_t epoch_next(uint64_t epoch, uint64_t pos, uint64_t salt);

#endif
