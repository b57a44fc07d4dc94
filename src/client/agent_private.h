/* Between agent.c, which takes what the server says, and agent_say.c, which says what is due.
 *
 * Thread: the owner's.  Memory: the agent's. */
#ifndef CLIENT_AGENT_PRIVATE_H
#define CLIENT_AGENT_PRIVATE_H

#include "client/agent.h"

void agent_sub_move(struct agent_sub *sub, enum agent_sub_state next);
void agent_sub_free(struct agent *agent, struct agent_sub *sub);
/* What may be acknowledged: all that was handled, as far as the server knows of it. */
uint64_t agent_sub_ack(const struct agent_sub *sub);

#endif
