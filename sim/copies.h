/* Who has sent what: of each message, how many copies were sent and not refused since.
 *
 * A refusal says that nothing was stored: so a message can be there only while a copy of it is
 * under way, was accepted, or had no answer. This holds whatever the server has lost meanwhile.
 *
 * Thread: one.  Memory: copies_end() frees. */
#ifndef SIM_COPIES_H
#define SIM_COPIES_H

#include "sim/model.h"

void copies_begin(void);
void copies_end(void);
/* A client sends `count` messages, numbered from who.n on. */
void copies_sent(unsigned channel, struct identity who, uint64_t count);
/* They were not stored: refused with `code`, or duplicates of others. */
void copies_refused(unsigned channel, struct identity who, uint64_t count, const char *code);
/* Whether it can be stored. */
bool copies_possible(unsigned channel, struct identity who);

#endif
