/* permessage-deflate at a client: an offer drawn, the answer held against it, messages deflated and
 * inflated as agreed.
 *
 * Thread: one.  Memory: zipped_deinit() frees. */
#ifndef SIM_ZIPPED_H
#define SIM_ZIPPED_H

#include "sim/plan.h"
#include "wire/ws_deflate.h"

struct zipped {
    const char *offer; /* NULL: nothing was offered */
    struct deflater *deflater;
    struct inflater *inflater;
};

/* The field line of an offer, with its CRLF, or "". Draws only in worlds whose server speaks it. */
const char *zipped_offer(struct zipped *zipped, const struct plan *plan);
/* What the head of a 101 agrees on: an answer that was not asked for, or says what it may not,
 * fails the run. From then on the decoder takes compressed messages. */
void zipped_agree(struct zipped *zipped, struct bytes head, struct ws_decoder *decoder);
/* Appends a payload as it goes on the wire; true: it is compressed. */
bool zipped_append(struct zipped *zipped, struct bytes payload, struct buf *to);
void zipped_deinit(struct zipped *zipped);

/* For who means no good: one message of 64 KiB in some 80 bytes. Static. */
struct bytes zipped_bomb(void);

#endif
