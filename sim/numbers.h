/* Which number a message of the C library's bears. Its application counts what it publishes, 1, 2,
 * 3 … in each channel; the library numbers the same way, but leaves out what has ended without
 * being stored: the number of a message that was refused, or was not on its disk when the machine
 * went down, is the next one's.
 *
 * Thread: one.  Memory: static. */
#ifndef SIM_NUMBERS_H
#define SIM_NUMBERS_H

#include "sim/model.h"

/* Producers of the library's; all others number as they count. */
#define LIBRARY_PRODUCER 4u
#define LIBRARIES_MAX    2u
#define LIBRARY_MESSAGES 400u /* of an epoch to a channel */

void numbers_begin(void);
/* Whether that message has no number (any more). */
void numbers_skip(unsigned channel, struct identity who, bool skips);
/* Its number; and who it is, `who.n` being a number. */
unsigned number_of(unsigned channel, struct identity who);
struct identity number_owner(unsigned channel, struct identity who);

#endif
