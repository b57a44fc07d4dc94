/* The committed tail of a channel on one reactor, in one codec, and the cursors that follow it.
 *
 * A chunk is a run of messages encoded once, as the frames that go to every subscriber. A feed
 * holds the newest chunks of its channel, bounded in bytes; each subscription is a cursor that
 * sends straight from them. Who falls off the feed's front reads from the log until the cursor
 * stands inside the feed again: the hand-over is by number alone, so it can neither skip nor
 * repeat. One that asked for it when it subscribed gets only the newest of what it has missed, or
 * the newest of each key, once it has followed and fallen off (`is_slow`): its reads are sparse.
 *
 *                subscribed                cursor below the feed
 *   ATTACHING ───────────────▶ FOLLOWING ───────────────────────▶ BEHIND
 *                                  ▲       read wanted, not begun    │ read begun
 *                                  │                                 ▼
 *                                  └──────────── CATCHING_UP ◀── READING
 *                                    chunk sent    chunk there
 *
 * While a chunk is being sent the next one is read (`ahead`), once the connection has shown that it
 * takes whole ones: then disk, encoding and socket work at the same time.
 *
 * Thread: the owning reactor.  Memory: feeds end with their last subscription; chunks are counted
 * references given back through session_ops.chunk_unref. */
#ifndef SESSION_FEED_H
#define SESSION_FEED_H

#include "base/list.h"
#include "base/map.h"
#include "wire/command.h"

struct session;
struct session_ops;

/* A run of messages, encoded as frames: frame i is bytes[ends[i-1] … ends[i]). A tail's `ends` is
 * NULL where so much was committed at once that it is told by number only: who follows reads the
 * log.
 *
 * One that was read for a subscription that skips or conflates may be sparse: its frames are
 * messages and the gaps between them, and steps[i] is the cursor behind frame i, with CHUNK_GAP set
 * where the frame is a gap. In a feed there are none. */
struct chunk {
    uint64_t first_seq;
    uint32_t count;
    const uint32_t *ends;
    const uint8_t *bytes;
    const struct chunk *deflated; /* the same messages for who takes them compressed, or NULL */
    const uint64_t *steps;        /* NULL: frame i is message first_seq + i */
    struct chunk
        *then; /* of one that was read: what has been read behind it, for the same cursor */
};

#define CHUNK_GAP (UINT64_C(1) << 63)

static inline uint32_t chunk_at(const struct chunk *chunk, uint32_t frame)
{
    return frame == 0 ? 0 : chunk->ends[frame - 1];
}

/* Of one that is not sparse. */
static inline uint64_t chunk_end_seq(const struct chunk *chunk)
{
    return chunk->first_seq + chunk->count;
}

/* Where the cursor stands before frame `frame`; frame `count`: behind the last. */
static inline uint64_t chunk_cursor(const struct chunk *chunk, uint32_t frame)
{
    return chunk->steps == NULL || frame == 0 ? chunk->first_seq + frame
                                              : chunk->steps[frame - 1] & ~CHUNK_GAP;
}

struct feed {
    struct bytes name; /* owned: the channel */
    enum wire_codec codec;
    uint64_t id;   /* never used again on this reactor: answers to an earlier feed are told apart */
    bool attached; /* the owner's tail arrives here */
    uint64_t next_seq; /* one past the newest message that has arrived */
    struct chunk **chunks_;
    uint32_t chunk_head_;
    uint32_t chunk_count_;
    uint32_t chunk_capacity_; /* 0 or 2^k */
    size_t bytes_;
    struct list subs; /* struct subscription.feed_link */
    uint32_t sub_count;
    uint32_t at_end; /* subscriptions that have reached next_seq since the last chunk came; a hint:
                      * too high costs a read of the log, too low a look at every cursor */
    struct list dirty_link_;
    struct list kept_link_; /* in feed_table.kept_ while there are chunks */
};

enum subscription_state {
    SUB_ATTACHING,
    SUB_FOLLOWING,
    SUB_BEHIND,
    SUB_READING,
    SUB_CATCHING_UP,
    SUB_STATE_COUNT,
};

/* There may be a million of them, nearly all of them idle: see the bound below. */
struct subscription {
    struct session *session;
    struct subscription *next; /* subs.h */
    struct feed *feed;
    struct list feed_link;
    struct list ready_link; /* in session->ready while there may be something to send */
    struct chunk *chunk;    /* CATCHING_UP: what was read, a reference of its own; and its `then` */
    uint64_t id;            /* as feed.id */
    uint64_t tail_seq;      /* where the feed ended when it was subscribed, or its last read began;
                             * what is below comes complete unless it is slow already */
    uint64_t cursor;        /* the next seq it wants; everything below has been sent */
    union {
        uint64_t request_id; /* ATTACHING: of the subscribe command */
        uint64_t acked;      /* then: the highest seq acknowledged; first cursor - 1 at the start */
    };
    uint32_t window;   /* 0: none */
    uint8_t state;     /* enum subscription_state */
    uint8_t when_slow; /* enum wire_when_slow */
    bool on_gap_reset : 1;
    bool is_slow : 1; /* BEHIND, READING, CATCHING_UP: it has fallen off the tail, not begun so */
    bool flows : 1; /* its connection takes what is read for it as fast as it is read: it gets more
                     * at a time, and ahead */
    uint8_t whole : 4; /* chunks that were read and have gone out whole since the last stall, a
                        * large one as several; no more are counted than it takes to flow */
    bool ahead : 1;    /* a read of what follows `chunk` is under way; BEHIND: one that was, and is
                        * not wanted any more when it comes back */
};

static_assert(sizeof(struct subscription) <= 104, "with the heap's 8 bytes no more than 112");

/* What a read for it is to keep of what it finds. */
static inline enum wire_when_slow subscription_keeps(const struct subscription *sub)
{
    return sub->is_slow ? (enum wire_when_slow)sub->when_slow : WIRE_CATCH_UP;
}

/* All feeds of a reactor. */
struct feed_table {
    struct map by_name_[WIRE_CODEC_COUNT];
    struct list dirty_;
    struct list kept_; /* those with chunks; whose newest is the oldest comes first */
    uint64_t next_id_;
    size_t bytes_; /* held by all feeds together */
    size_t feed_bytes_max_;
    size_t table_bytes_max_;
    const struct session_ops *ops_;
    void *ctx_;
};

/* `feed_bytes_max` per channel, `table_bytes_max` together; over either, the oldest chunks go. The
 * newest is kept, however large. */
void feed_table_init(struct feed_table *table, const struct session_ops *ops, void *ctx,
                     size_t feed_bytes_max, size_t table_bytes_max, uint64_t hash_seed);
/* No subscription may be left. */
void feed_table_deinit(struct feed_table *table);
uint64_t feed_table_next_id(struct feed_table *table);

struct feed *feed_find(const struct feed_table *table, enum wire_codec codec, struct bytes name);
/* Finds or makes. RC_NOMEM */
MUST_USE enum rc feed_open(struct feed_table *table, enum wire_codec codec, struct bytes name,
                           struct feed **ret_feed);
/* Ends a feed without subscriptions, and tells the owner (ops->detach). */
void feed_close_if_unused(struct feed_table *table, struct feed *feed);

/* A chunk from the owner, next in order; takes the reference. Wakes the sessions that follow.
 * A feed not attached ignores it: its numbers are at or below what `subscribed` will tell. */
void feed_on_chunk(struct feed_table *table, struct feed *feed, struct chunk *chunk);
/* The chunk that holds `seq`, or NULL where the feed does not reach. Borrowed. */
struct chunk *feed_chunk_of(const struct feed *feed, uint64_t seq);
/* A subscription has moved or ended: the feed may have chunks to let go of at the end of the tick.
 */
void feed_touch(struct feed_table *table, struct feed *feed);
/* After the sends of a tick: lets go of chunks that no follower still needs. */
void feed_table_trim(struct feed_table *table);

#endif
