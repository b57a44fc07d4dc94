/* Which web pages may open a WebSocket here ([WS 10.2]).
 *
 * Thread: any.  Memory: none. */
#ifndef WIRE_WS_ORIGIN_H
#define WIRE_WS_ORIGIN_H

#include "wire/http.h"

/* Whether a page of `origin` may connect to `host` (the Host field): it is of the same host and
 * port, or an item of the list is "*", or names it. "null" is allowed by an item "null" only. */
bool ws_origin_allowed(struct bytes origin, struct bytes host, const struct bytes *list,
                       size_t list_count);

#endif
