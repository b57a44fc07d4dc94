/* Messages compressed one by one as permessage-deflate wants it (RFC 7692), over zlib.
 *
 * What goes on the wire is a DEFLATE stream that is flushed at the end of each message, without the
 * four bytes 00 00 FF FF that such a flush ends with. Either side remembers the end of what went
 * before (its *context*), or begins each message anew.
 *
 * zlib's memory comes from base/mem.h, when the first message does, and is counted.
 *
 * Thread: the owner's.  Memory: the _free functions. */
#ifndef WIRE_DEFLATE_H
#define WIRE_DEFLATE_H

#include "base/bytes.h"
#include "base/rc.h"

/* [DEFLATE 7.1.2] sizes of windows are told as powers of two. */
#define DEFLATE_BITS_MIN 8u
#define DEFLATE_BITS_MAX 15u
/* How much zlib keeps for matches and output, beside the window. */
#define DEFLATE_LEVEL_MIN 1u
#define DEFLATE_LEVEL_MAX 9u

struct deflater; /* opaque: one direction, out */
struct inflater; /* opaque: one direction, in */

struct deflater_options {
    uint8_t window_bits;  /* no match reaches further back than 2^window_bits bytes */
    uint8_t memory_level; /* DEFLATE_LEVEL_MIN … DEFLATE_LEVEL_MAX */
    bool takeover;        /* keeps its context from message to message */
    size_t min_bytes;     /* smaller messages are left as they are (see ws_message_append()) */
};

/* RC_NOMEM */
MUST_USE enum rc deflater_new(const struct deflater_options *options,
                              struct deflater **ret_deflater);
/* NULL is allowed. */
void deflater_free(struct deflater *deflater);
const struct deflater_options *deflater_options(const struct deflater *deflater);
/* Appends what `payload` becomes.
 * RC_NOMEM  `to` is as it was; a context that was to be taken over is lost: nothing more may be
 *           sent by it */
MUST_USE enum rc deflater_append(struct deflater *deflater, struct bytes payload, struct buf *to);
/* Lets go of zlib's memory until the next message, unless it holds a context. */
void deflater_rest(struct deflater *deflater);

/* `window_bits`: how far back the peer's matches reach at most. RC_NOMEM */
MUST_USE enum rc inflater_new(uint8_t window_bits, bool takeover, struct inflater **ret_inflater);
/* NULL is allowed. */
void inflater_free(struct inflater *inflater);
/* Appends what the whole message `payload` was to the empty `to`, in steps: no more than `limit`
 * bytes and a step are ever there.
 * RC_TOO_LARGE  it would be more than `limit` bytes
 * RC_BAD        it is no such stream, or ends within a block
 * RC_NOMEM
 * After any of these `to` holds part of it, and the inflater is of use only without a context. */
MUST_USE enum rc inflater_append(struct inflater *inflater, struct bytes payload, size_t limit,
                                 struct buf *to);

/* What a message of up to `size` bytes may be on the wire: no compressor needs as much. */
static inline size_t deflate_size_max(size_t size)
{
    return size + size / 4 + 1024;
}

/* Bytes of memory that zlib holds for one of these now. */
size_t deflater_memory(const struct deflater *deflater);
size_t inflater_memory(const struct inflater *inflater);
/* The most that it will hold for one of the kind: asked of this zlib, by trying.
 * RC_NOMEM */
MUST_USE enum rc deflater_measure(uint8_t window_bits, uint8_t memory_level, size_t *ret_bytes);
MUST_USE enum rc inflater_measure(uint8_t window_bits, size_t *ret_bytes);

#endif
