/* A channel's digest (base/digest.h) over the messages of a publish.
 *
 * Thread: any.  Memory: none. */
#ifndef CORE_DIGEST_H
#define CORE_DIGEST_H

#include "core/command.h"

/* From `before`, the digest in front of the publish's first message, which has first_seq, to the
 * one behind message `last_seq`: one of its own. `node` gives the message ids. */
uint64_t publish_digest(uint64_t before, const struct command_publish *publish, uint64_t first_seq,
                        uint64_t last_seq, unsigned node);

#endif
