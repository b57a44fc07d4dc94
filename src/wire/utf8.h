/* UTF-8 validation (RFC 3629), incremental and fail-fast.
 *
 * Thread: the owner's.  Memory: none. */
#ifndef WIRE_UTF8_H
#define WIRE_UTF8_H

#include "base/bytes.h"

/* The state between pieces of one text; all zero at the start. */
struct utf8 {
    uint8_t state_;
};

/* Takes the next piece. False: some byte of it can begin or go on no valid text. */
bool utf8_feed(struct utf8 *utf8, struct bytes piece);
/* Whether the text may end here. */
bool utf8_complete(const struct utf8 *utf8);
/* A whole text at once. */
bool utf8_valid(struct bytes text);

#endif
