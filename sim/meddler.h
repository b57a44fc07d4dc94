/* Somebody on the way to a client who loses, repeats or delays a message that is pushed: what no
 * honest network does, and a client is to see and to mend. Everything else passes as it came.
 *
 * Frames are held back until they are whole; nothing here may be compressed.
 *
 * Thread: one.  Memory: meddler_deinit() frees; the C heap. */
#ifndef SIM_MEDDLER_H
#define SIM_MEDDLER_H

#include "base/bytes.h"

struct meddler_block {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

struct meddler {
    bool on;
    bool open;                 /* the handshake has passed */
    bool did;                  /* something is not as the server has sent it */
    struct meddler_block part; /* of a frame */
    struct meddler_block held; /* a frame that is late … */
    unsigned held_for;         /* … by so many others; 0: none is */
};

/* Appends what passes to `to`. */
void meddler_pass(struct meddler *meddler, const uint8_t *data, size_t size,
                  struct meddler_block *to);
void meddler_deinit(struct meddler *meddler);

void meddler_block_put(struct meddler_block *to, const void *data, size_t size);
void meddler_block_take(struct meddler_block *from, size_t size);
void meddler_block_deinit(struct meddler_block *block);

#endif
