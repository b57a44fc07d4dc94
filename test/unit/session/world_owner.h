/* The owners' half of the world: the model of the channels, and the mail. Between the files of the
 * world only.
 *
 * Thread: one.  Memory: world_owners_clear() frees what is under way. */
#ifndef TEST_SESSION_WORLD_OWNER_H
#define TEST_SESSION_WORLD_OWNER_H

#include "world.h"

extern const struct session_ops world_session_ops;

#define WORLD_DATA_SIZE 64

/* The contents of a message; a string that JSON writes as it is. */
void world_data(unsigned channel, uint64_t seq, char data[static WORLD_DATA_SIZE]);
/* Its key, or NULL: every fourth has none, the others one of three. */
const char *world_key(uint64_t seq);
uint64_t world_message_id(uint64_t seq);
uint64_t world_time(uint64_t seq);

bool world_owners_busy(const struct world *w);
void world_owners_clear(struct world *w);

#endif
