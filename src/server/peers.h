/* How many connections each address has, for limits.connections_per_ip.
 *
 * Thread: the acceptor's reactor.  Memory: peers_close() frees. */
#ifndef SERVER_PEERS_H
#define SERVER_PEERS_H

#include "base/rc.h"
#include "io/address.h"

#include <stdbool.h>
#include <stdint.h>

struct peers; /* opaque */

MUST_USE enum rc peers_open(uint64_t hash_seed, struct peers **ret_peers);
void peers_close(struct peers *peers); /* NULL is allowed */
/* Counts one more connection of that address. False: it has `max` already (or memory is short). */
bool peers_add(struct peers *peers, const struct address *address, uint64_t max);
/* Counts one less. */
void peers_remove(struct peers *peers, const struct address *address);

#endif
