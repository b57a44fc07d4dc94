/* What a message's payload says of itself: when it was due, its number, its channel.
 *
 * A payload is a JSON string of fixed size, so that it is good in every protocol:
 *
 *     "DDDDDDDDDDDDNNNNNNNNNNCCCCCCabcdefgh…"   12 + 10 + 6 hexadecimal digits, then filler
 *
 * The number counts a channel's messages from 1, as its only publisher does; so in a channel of our
 * own it must be the message's seq.
 *
 * Thread: any.  Memory: none. */
#ifndef BENCH_STAMP_H
#define BENCH_STAMP_H

#include "base/bytes.h"

#define STAMP_SIZE_MIN 32u /* of a payload that has room for one */

struct stamp {
    uint64_t due_ns;  /* since the run began; 48 bits */
    uint64_t number;  /* 40 bits */
    uint32_t channel; /* 24 bits */
};

/* A payload of `size` bytes with an empty stamp. */
void stamp_payload(uint8_t *to, size_t size);
/* Writes the stamp into a payload. */
void stamp_put(uint8_t *payload, const struct stamp *stamp);
/* False: it is no payload of ours; the filler is not looked at. */
bool stamp_get(struct bytes payload, struct stamp *ret_stamp);

#endif
