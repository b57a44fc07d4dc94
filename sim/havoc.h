/* What befalls network, clocks, disk and machine, by chance, between two steps of a world.
 *
 * Thread: one.  Memory: none. */
#ifndef SIM_HAVOC_H
#define SIM_HAVOC_H

#include <stdbool.h>
#include <stdint.h>

void havoc_begin(void);
/* Each kind that this seed has enabled may come. */
void havoc_step(void);
/* What lasts ends now, and nothing new comes. */
void havoc_end(void);
/* Whether the server's machine has been without a fault of its own for so long. */
bool havoc_disk_is_full(void);
/* When something that lasts ends; UINT64_MAX: nothing does. */
uint64_t havoc_next_us(void);

#endif
