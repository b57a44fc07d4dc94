/* The client's side of the WebSocket opening handshake ([WS 4.1]), sans I/O.
 *
 * Thread: any.  Memory: the caller's. */
#ifndef CLIENT_UPGRADE_H
#define CLIENT_UPGRADE_H

#include "base/bytes.h"
#include "client/url.h"
#include "wire/command.h"

#define UPGRADE_NONCE_SIZE 16u
#define UPGRADE_HEAD_MAX   (16u * 1024u)
#define UPGRADE_WHY_SIZE   200u

/* Appends the request, for the subprotocol of that codec. RC_NOMEM */
MUST_USE enum rc upgrade_request(struct buf *to, const struct client_url *url,
                                 enum wire_codec codec,
                                 const uint8_t nonce[static UPGRADE_NONCE_SIZE]);

/* Looks at what has come of the response.
 * RC_OK        101 with everything right; *ret_used bytes belong to it, frames follow
 * RC_AGAIN     not all there yet
 * RC_CLOSED    another status that may pass (429, 5xx); `why` says which
 * RC_DENIED    another status; `why` says which
 * RC_PROTOCOL  not a good response; `why` says what is wrong
 * RC_NOMEM */
MUST_USE enum rc upgrade_check(struct bytes response, enum wire_codec codec,
                               const uint8_t nonce[static UPGRADE_NONCE_SIZE],
                               char why[static UPGRADE_WHY_SIZE], size_t *ret_used);

#endif
