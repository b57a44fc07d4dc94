/* Runs of messages encoded once for each codec, as frames, for every subscriber of a channel on
 * every reactor.
 *
 * Built by one thread, then never changed; counted references (ring/share.h).
 *
 * Thread: building one, then any.  Memory: the last shared_chunk_unref() frees. */
#ifndef SERVER_FRAMES_H
#define SERVER_FRAMES_H

#include "core/command.h"
#include "ring/share.h"
#include "session/feed.h"
#include "wire/command.h"
#include "wire/deflate.h"

struct shared_chunk {
    struct chunk chunk; /* first: what sessions see */
    struct share share;
    struct buf bytes_;
    struct buf ends_;
    struct buf steps_;
    bool sparse; /* set before anything is added: it may have gaps */
    enum wire_codec codec;
    struct chunk deflated_; /* see shared_chunk_deflate() */
    struct buf deflated_bytes_;
    struct buf deflated_ends_;
    struct bytes channel; /* behind the struct */
};

/* An empty run that will begin with `first_seq`. NULL: out of memory. */
MUST_USE struct shared_chunk *shared_chunk_new(enum wire_codec codec, struct bytes channel,
                                               uint64_t first_seq);
/* Adds the next message; `scratch` is empty before and after. RC_NOMEM: unchanged. */
MUST_USE enum rc shared_chunk_add(struct shared_chunk *chunk, const struct wire_message *message,
                                  struct buf *scratch);
/* Tells of messages up to `to` that are left out, in one that is sparse. RC_NOMEM: unchanged. */
MUST_USE enum rc shared_chunk_add_gap(struct shared_chunk *chunk, uint64_t to, const char *reason,
                                      struct buf *scratch);
/* Adds `count` messages by number only; what is encoded is let go of (struct chunk: `ends`). From
 * then on nothing else may be added. */
void shared_chunk_skip(struct shared_chunk *chunk, uint32_t count);
/* The run is complete: compresses its messages, each by itself, for those who take them so. Where
 * none is large enough, or memory is short, there is nothing of the kind. `deflater` keeps no
 * context. [I12] `*left` bytes of messages are compressed and taken off, the last of them whole;
 * what follows stands as it is. */
void shared_chunk_deflate(struct shared_chunk *chunk, struct deflater *deflater, size_t *left);
static inline bool shared_chunk_skipped(const struct shared_chunk *chunk)
{
    return chunk->chunk.count > 0 && chunk->chunk.ends == NULL;
}
/* NULL is allowed. */
void shared_chunk_unref(struct shared_chunk *chunk);

static inline struct shared_chunk *shared_chunk_of(struct chunk *chunk)
{
    return (struct shared_chunk *)chunk;
}

/* The wire's view of message number `nth` of a publish whose first seq is `first_seq`. */
void frames_message(struct wire_message *ret_message, const struct command_publish *publish,
                    const struct command_message *message, uint64_t first_seq, uint32_t nth,
                    unsigned node);

#endif
