/* A door into the C client library for who checks a server with it, as `seriatim verify` does:
 * what the public header does not tell, since whoever uses a server has no use for it.
 *
 * For clients without a thread of their own, between their turns.
 *
 * Thread: the one that turns.  Memory: see each. */
#ifndef SDK_TAP_H
#define SDK_TAP_H

#include "client/tap.h"

#include <seriatim/client.h>

/* All that goes over its connections is told to `tap`, which lives as long as the client; see
 * client/tap.h. Before the first turn. */
void sdk_tap(struct seriatim_client *client, const struct client_tap *tap);
/* Cuts the connection without a goodbye, as a crash would, with whatever was received and not yet
 * taken, or not yet sent. The next turn tells of it, and begins to connect at once. */
void sdk_cut(struct seriatim_client *client);
/* After SERIATIM_FAILED: whether the server broke the rules, rather than refuse. */
bool sdk_broken(const struct seriatim_client *client);
/* [P 4] whether the server has listed `digest` among its features, the last time it let us in. */
bool sdk_offers_digest(const struct seriatim_client *client);

#endif
