/* How cursors move: from the feed's shared bytes, from the log when they have fallen behind, and
 * past what history no longer holds - never past anything in silence. */
#include "base/mark.h"
#include "base/tune.h"
#include "session/session_private.h"
#include "session/subscription.h"

/* How many messages the window lets it send now. */
static uint64_t credit(const struct subscription *sub)
{
    ASSERT_HOT(sub->state != SUB_ATTACHING);
    ASSERT_HOT(sub->acked < sub->cursor);
    if (sub->window == 0) {
        return UINT32_MAX;
    }
    const uint64_t unacked = sub->cursor - 1 - sub->acked;
    ASSERT(unacked <= sub->window);
    ASSERT_HOT(sub->window - unacked <= UINT32_MAX);
    return sub->window - unacked;
}

/* Where the next message is: in the chunk that was read, in the feed, or nowhere yet (NULL). */
static const struct chunk *source(struct subscription *sub)
{
    ASSERT_HOT(sub->state != SUB_ATTACHING);
    ASSERT_HOT((sub->state == SUB_CATCHING_UP) == (sub->chunk != NULL));
    if (sub->state == SUB_CATCHING_UP) {
        return sub->chunk;
    }
    if (sub->state != SUB_FOLLOWING || sub->cursor == sub->feed->next_seq) {
        return NULL;
    }
    const struct chunk *chunk = feed_chunk_of(sub->feed, sub->cursor);
    if (chunk == NULL) {
        MARK("deliver: a follower is overtaken by its feed and falls behind");
        subscription_move(sub, SUB_BEHIND);
        /* [P 6] What stood there when it subscribed comes complete. */
        sub->is_slow = sub->when_slow != WIRE_CATCH_UP && sub->cursor >= sub->tail_seq;
    }
    return chunk;
}

static uint32_t read_count(uint64_t credit)
{
    ASSERT_HOT(credit > 0);
    ASSERT_HOT(tune.read_count > 0);
    return credit < tune.read_count ? (uint32_t)credit : tune.read_count;
}

/* Where the tail does not reach what follows the chunk, it is read while the chunk is being sent.
 * Only for one that has flowed: a slow one would have it read for nothing. */
static void ahead_begin(struct subscription *sub)
{
    ASSERT(sub->state == SUB_CATCHING_UP);
    ASSERT(!sub->ahead && sub->chunk->then == NULL);
    struct session *session = sub->session;
    const struct session_env *env = session->env;
    const uint64_t end = chunk_cursor(sub->chunk, sub->chunk->count);
    const uint64_t left = credit(sub);
    if (!sub->flows || sub->is_slow || session->read_count >= tune.session_reads ||
        left <= end - sub->cursor || end >= sub->feed->next_seq ||
        feed_chunk_of(sub->feed, end) != NULL) {
        return;
    }
    if (env->ops->read(env->ctx, session, sub, end, read_count(left - (end - sub->cursor))) !=
        RC_OK) {
        return; /* out of memory: it is read when the cursor is there */
    }
    MARK("deliver: the log is read ahead of a cursor");
    sub->ahead = true;
    sub->tail_seq = sub->feed->next_seq;
    session->read_count++;
}

/* The read ahead has come back, is the one that is waited for now, or has been used. */
static void ahead_settle(struct subscription *sub)
{
    ASSERT(sub->session->read_count > 0);
    ASSERT(sub->state == SUB_CATCHING_UP || sub->state == SUB_BEHIND);
    sub->ahead = false;
    sub->session->read_count--;
}

static void read_begin(struct subscription *sub)
{
    ASSERT(sub->state == SUB_BEHIND);
    ASSERT(sub->chunk == NULL);
    const struct session_env *env = sub->session->env;
    const uint64_t left = credit(sub);
    if (left == 0) {
        MARK("deliver: the window is full, nothing is read ahead");
        return; /* the next acknowledgement wakes it */
    }
    if (sub->ahead) {
        MARK("deliver: a read that is not wanted any more is waited for");
        return; /* it wakes it when it comes: one of its reads is under way at a time */
    }
    if (sub->session->read_count >= tune.session_reads) {
        MARK("deliver: as many reads as one connection may have");
        return; /* it stays ready, and the next write tries again */
    }
    if (env->ops->read(env->ctx, sub->session, sub, sub->cursor, read_count(left)) == RC_OK) {
        MARK("deliver: a cursor behind reads the log");
        MARK_IF(subscription_keeps(sub) == WIRE_SKIP, "deliver: a slow one skips");
        MARK_IF(subscription_keeps(sub) == WIRE_CONFLATE, "deliver: a slow one conflates");
        sub->tail_seq = sub->feed->next_seq;
        subscription_move(sub, SUB_READING);
    }
    /* Out of memory: it stays BEHIND and ready, so the next write, tail or acknowledgement tries
     * again; the ping of a silent connection is a write too. */
}

/* What goes out of a chunk: the same messages, with the same numbers, either way. */
static const struct chunk *as_taken(const struct subscription *sub, const struct chunk *chunk)
{
    ASSERT_HOT(chunk->ends != NULL);
    ASSERT_HOT(chunk->deflated == NULL || chunk->deflated->count == chunk->count);
    const bool deflated = sub->session->deflated && chunk->deflated != NULL;
    MARK_IF(deflated, "deliver: what was compressed for all");
    return deflated ? chunk->deflated : chunk;
}

/* The frame that the cursor stands before. */
static uint32_t frame_of(const struct chunk *chunk, uint64_t cursor)
{
    ASSERT_HOT(cursor >= chunk->first_seq);
    if (chunk->steps == NULL) {
        return (uint32_t)(cursor - chunk->first_seq);
    }
    uint32_t low = 0;
    uint32_t high = chunk->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (chunk_cursor(chunk, middle) < cursor) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    ASSERT(chunk_cursor(chunk, low) == cursor);
    return low;
}

/* Adds slices of one cursor, without moving it. Returns the bytes added. */
static size_t gather_sub(struct subscription *sub, struct session_slice slices[],
                         struct bytes pieces[], unsigned max, size_t bytes_max, unsigned *count)
{
    ASSERT_HOT(*count < max);
    ASSERT_HOT(bytes_max > 0);
    size_t bytes = 0;
    uint64_t left = credit(sub);
    uint64_t seq = sub->cursor;
    const struct chunk *chunk = source(sub);
    while (chunk != NULL && left > 0 && *count < max && bytes < bytes_max) {
        chunk = as_taken(sub, chunk);
        ASSERT(seq >= chunk->first_seq && seq < chunk_cursor(chunk, chunk->count));
        const uint32_t from = frame_of(chunk, seq);
        const uint32_t have = chunk->count - from;
        const uint32_t to = from + (left < have ? (uint32_t)left : have);
        const uint32_t at = chunk_at(chunk, from);
        slices[*count] = (struct session_slice){.sub = sub, .chunk = chunk, .from = from, .to = to};
        pieces[*count] = bytes_of(chunk->bytes + at, chunk->ends[to - 1] - at);
        bytes += pieces[*count].size;
        ASSERT_HOT(pieces[*count].size > 0);
        ASSERT_HOT(from < to && to <= chunk->count);
        (*count)++;
        left -= to - from;
        seq = chunk_cursor(chunk, to);
        chunk = sub->state == SUB_FOLLOWING ? feed_chunk_of(sub->feed, seq) : NULL;
        MARK_IF(left == 0 && sub->window > 0, "deliver: the window ends what is sent");
    }
    return bytes;
}

unsigned session_gather(struct session *session, struct session_slice slices[],
                        struct bytes pieces[], unsigned max, size_t bytes_max)
{
    ASSERT_HOT(max <= SESSION_SLICES_MAX);
    ASSERT_HOT(bytes_max > 0);
    unsigned count = 0;
    size_t bytes = 0;
    session->stalled = false;
    if (session->state != SESSION_READY) {
        return 0;
    }
    struct list *next;
    for (struct list *at = session->ready.next; at != &session->ready; at = next) {
        next = at->next;
        struct subscription *sub = CONTAINER_OF(at, struct subscription, ready_link);
        const unsigned before = count;
        if (count < max && bytes < bytes_max) {
            bytes += gather_sub(sub, slices, pieces, max, bytes_max - bytes, &count);
            if (sub->state == SUB_BEHIND) {
                read_begin(sub);
            }
            const bool again = sub->state == SUB_BEHIND && credit(sub) > 0; /* see read_begin() */
            if (count == before && !again) {
                list_remove(&sub->ready_link); /* nothing now; whoever changes that wakes it */
            }
        }
    }
    ASSERT_HOT(count <= max);
    return count;
}

/* What was read ahead goes on where the chunk has ended. False: nothing was. */
static bool go_on_ahead(struct subscription *sub, struct chunk *then)
{
    ASSERT(sub->state == SUB_CATCHING_UP);
    ASSERT(then == NULL || !sub->ahead);
    if (then != NULL) {
        MARK("deliver: the next one had been read ahead");
        ASSERT(then->first_seq == sub->cursor); /* I1 */
        sub->chunk = then;
        ahead_settle(sub);
        ahead_begin(sub);
        return true;
    }
    if (sub->ahead) {
        MARK("deliver: the next one is being read already");
        ahead_settle(sub);
        subscription_move(sub, SUB_READING);
        return true;
    }
    return false;
}

/* One that compresses for itself takes a little at a time. */
static void chunk_has_gone(struct subscription *sub, size_t size)
{
    ASSERT_HOT(sub->state == SUB_CATCHING_UP);
    ASSERT_HOT(tune.flow_chunks >= 1 && tune.flow_chunks <= 15);
    const struct session *session = sub->session;
    if (session->deflater != NULL && !session->deflated) {
        MARK("deliver: nothing is read ahead for one that compresses for itself");
        return;
    }
    const size_t chunks = size < 2 * tune.catch_up_bytes ? 1 : size / tune.catch_up_bytes;
    const size_t whole = sub->whole + chunks;
    sub->whole = (whole < tune.flow_chunks ? whole : tune.flow_chunks) & 15u;
    sub->flows = sub->flows || sub->whole == tune.flow_chunks;
}

/* It goes on flowing only if enough went out since it stalled before: for one that takes a chunk
 * and stalls at the next, what is read beyond that is read in vain. */
static void stall(struct subscription *sub)
{
    ASSERT_HOT(sub->whole <= tune.flow_chunks);
    MARK_IF(sub->flows && sub->whole < tune.flow_chunks, "deliver: one flows no more");
    MARK_IF(sub->flows && sub->whole == tune.flow_chunks,
            "deliver: one stalls and goes on flowing");
    sub->flows = sub->flows && sub->whole == tune.flow_chunks;
    sub->whole = 0;
}

/* A chunk that was read is used up: on to the next one if it has been read ahead, to the feed if
 * the cursor stands in it, else read on. */
static void catch_up_done(struct subscription *sub)
{
    ASSERT(sub->state == SUB_CATCHING_UP);
    ASSERT(sub->cursor == chunk_cursor(sub->chunk, sub->chunk->count));
    struct chunk *then = sub->chunk->then;
    sub->chunk->then = NULL;
    const size_t size = sub->chunk->ends[sub->chunk->count - 1];
    subscription_drop_chunk(sub);
    chunk_has_gone(sub, size);
    if (go_on_ahead(sub, then)) {
        return;
    }
    const struct feed *feed = sub->feed;
    ASSERT(sub->cursor <= feed->next_seq);
    const bool in_feed = sub->cursor == feed->next_seq || feed_chunk_of(feed, sub->cursor) != NULL;
    MARK_IF(!in_feed, "deliver: one read is not enough to catch up");
    MARK_IF(in_feed && sub->cursor < feed->next_seq,
            "deliver: handed over to the live tail in its middle");
    MARK_IF(in_feed && sub->cursor == feed->next_seq,
            "deliver: handed over to the live tail at its end");
    subscription_move(sub, in_feed ? SUB_FOLLOWING : SUB_BEHIND);
}

/* [P 7] What lies before the end of a gap that was told counts as acknowledged. */
static void pass_gaps(struct subscription *sub, const struct chunk *chunk, uint32_t from,
                      uint32_t to)
{
    ASSERT(sub->state == SUB_CATCHING_UP);
    ASSERT(from < to && to <= chunk->count);
    for (uint32_t i = to; i > from; i--) {
        if ((chunk->steps[i - 1] & CHUNK_GAP) != 0) {
            const uint64_t last = chunk_cursor(chunk, i) - 1;
            sub->acked = last > sub->acked ? last : sub->acked;
            return;
        }
    }
}

static void advance(const struct session_slice *slice, uint32_t frames)
{
    ASSERT_HOT(frames > 0);
    ASSERT_HOT(slice->from + frames <= slice->to);
    struct subscription *sub = slice->sub;
    const struct chunk *chunk = slice->chunk;
    ASSERT(chunk_cursor(chunk, slice->from) == sub->cursor); /* I1 */
    sub->cursor = chunk_cursor(chunk, slice->from + frames);
    if (chunk->steps != NULL) {
        pass_gaps(sub, chunk, slice->from, slice->from + frames);
    }
    ASSERT_HOT(slice->from + frames <= chunk->count);
    ASSERT_HOT(sub->window == 0 || sub->cursor - 1 - sub->acked <= sub->window);
    if (sub->state == SUB_CATCHING_UP && slice->from + frames == chunk->count) {
        catch_up_done(sub);
    } else if (sub->state == SUB_FOLLOWING && sub->cursor == sub->feed->next_seq) {
        list_remove(&sub->ready_link);
        MARK("deliver: a follower stands at the end of the tail");
        sub->feed->at_end++;
        feed_touch(sub->session->env->feeds, sub->feed);
    }
    if (!list_empty(&sub->ready_link)) {
        /* It has more: the connection's other channels first. */
        list_remove(&sub->ready_link);
        MARK("deliver: a channel with more lets the others go first");
        list_push_back(&sub->session->ready, &sub->ready_link);
    }
}

/* Part of a slice went out: whole frames count as sent, and so does the one that was cut, whose
 * rest goes first next time, whatever becomes of the chunk. */
static enum rc advance_part(struct session *session, const struct session_slice *slice, size_t size)
{
    ASSERT_HOT(size > 0);
    ASSERT_HOT(slice->from < slice->to);
    ASSERT_HOT(slice->to <= slice->chunk->count);
    const struct chunk *chunk = slice->chunk;
    const uint32_t start = chunk_at(chunk, slice->from);
    uint32_t frame = slice->from;
    while (chunk->ends[frame] - start < size) {
        frame++;
    }
    ASSERT(frame < slice->to);
    const size_t rest = chunk->ends[frame] - start - size;
    MARK_IF(rest > 0, "deliver: a frame is cut");
    MARK_IF(frame > slice->from, "deliver: a write ends in the middle of some frames");
    const enum rc rc =
        buf_append(session->out, bytes_of(chunk->bytes + chunk->ends[frame] - rest, rest));
    advance(slice, frame + 1 - slice->from);
    return rc;
}

enum rc session_sent(struct session *session, const struct session_slice slices[], unsigned count,
                     size_t size)
{
    ASSERT_HOT(count <= SESSION_SLICES_MAX);
    ASSERT_HOT(session->state == SESSION_READY || count == 0);
    for (unsigned i = 0; i < count && size > 0; i++) {
        const struct session_slice *slice = &slices[i];
        const size_t whole =
            slice->chunk->ends[slice->to - 1] - chunk_at(slice->chunk, slice->from);
        if (size < whole) {
            return advance_part(session, slice, size);
        }
        size -= whole;
        advance(slice, slice->to - slice->from);
    }
    ASSERT(size == 0);
    return RC_OK;
}

void session_stalled(struct session *session)
{
    ASSERT(session->state != SESSION_OPENING || list_empty(&session->ready));
    struct list *at;
    session->stalled = true; /* what is being read will not be kept either */
    for (at = session->ready.next; at != &session->ready; at = at->next) {
        struct subscription *sub = CONTAINER_OF(at, struct subscription, ready_link);
        stall(sub);
        if (sub->state == SUB_CATCHING_UP) {
            MARK("deliver: what was read is not kept for a slow connection");
            subscription_drop_chunk(sub);
            subscription_move(sub, SUB_BEHIND);
        }
    }
}

/* [I7] Tells of messages from the cursor to `end` - 1 that will never come, then goes on at `end`;
 * or ends the subscription where it asked for that. */
static enum rc tell_gap(struct subscription *sub, uint64_t end, const char *reason,
                        const struct position *position)
{
    ASSERT(sub->state == SUB_READING);
    ASSERT(reason[0] != '\0');
    ASSERT(sub->session->env->encode->size == 0);
    struct session *session = sub->session;
    ASSERT(end > sub->cursor);
    const struct wire_notice notice = {
        .channel = sub->feed->name,
        .reason = sub->on_gap_reset ? reason : "gap",
        .has_range = true,
        .from = sub->cursor,
        .to = end - 1,
        .epoch = position->epoch,
        .earliest = position->earliest,
        .latest = position->latest,
    };
    enum rc rc;
    if (sub->on_gap_reset) {
        rc = codec_encode_gap(session->codec, session->env->encode, &notice);
        sub->cursor = end;
        sub->acked = end - 1;
        subscription_move(sub, SUB_BEHIND);
        MARK("gap: told, and the subscription goes on");
        if (end == sub->feed->next_seq || feed_chunk_of(sub->feed, end) != NULL) {
            MARK("gap: behind it stands the live tail");
            subscription_move(sub, SUB_FOLLOWING);
        }
        subscription_wake(sub);
    } else {
        MARK("gap: it ends the subscription");
        rc = codec_encode_unsubscribed(session->codec, session->env->encode, &notice);
        subscription_move(sub, SUB_BEHIND); /* its read has come back */
        subscription_end(sub);
    }
    return rc == RC_OK ? session_send_encoded(session) : rc;
}

/* The log could not be read at all: the subscription ends by name rather than hang. */
static enum rc tell_failure(struct subscription *sub)
{
    ASSERT(sub->state == SUB_READING);
    ASSERT(sub->session->env->encode->size == 0);
    struct session *session = sub->session;
    const struct wire_notice notice = {.channel = sub->feed->name, .reason = "unavailable"};
    const enum rc rc = codec_encode_unsubscribed(session->codec, session->env->encode, &notice);
    subscription_move(sub, SUB_BEHIND); /* its read has come back */
    subscription_end(sub);
    return rc == RC_OK ? session_send_encoded(session) : rc;
}

/* Takes the reference. */
static void on_chunk_read(struct subscription *sub, struct chunk *chunk)
{
    ASSERT(sub->state == SUB_READING);
    ASSERT(sub->chunk == NULL);
    ASSERT(chunk->count > 0);
    ASSERT(chunk->ends != NULL);
    ASSERT(chunk->first_seq == sub->cursor); /* I1 */
    sub->chunk = chunk;
    if (sub->session->stalled) {
        /* Nobody knows when it could go out: it is read again then. */
        MARK("deliver: a read comes for a connection that takes nothing");
        stall(sub);
        subscription_drop_chunk(sub);
        subscription_move(sub, SUB_BEHIND);
    } else {
        subscription_move(sub, SUB_CATCHING_UP);
        ahead_begin(sub);
    }
    subscription_wake(sub);
}

/* A read ahead of the cursor has come back. What it could not read is told when the cursor is
 * there: then it is read again. */
static void on_read_ahead(struct subscription *sub, struct chunk *chunk)
{
    ASSERT(sub->ahead);
    ASSERT(sub->state == SUB_CATCHING_UP || sub->state == SUB_BEHIND);
    struct session *session = sub->session;
    if (chunk != NULL && sub->state == SUB_CATCHING_UP && !session->stalled) {
        ASSERT(chunk->first_seq == chunk_cursor(sub->chunk, sub->chunk->count)); /* I1 */
        sub->chunk->then = chunk;
        sub->ahead = false; /* it counts as a read as long as it is held */
        return;
    }
    MARK_IF(chunk != NULL, "deliver: what was read ahead is not wanted any more");
    MARK_IF(chunk == NULL, "deliver: nothing could be read ahead");
    if (chunk != NULL) {
        session->env->ops->chunk_unref(session->env->ctx, chunk);
    }
    sub->flows = false;
    ahead_settle(sub);
    subscription_wake(sub); /* it may have been waited for */
}

/* Its subscription has ended, or its session closes. */
static void on_late_read(struct session *session, const struct session_read *read, bool ended)
{
    ASSERT(ended || session->state == SESSION_CLOSING);
    ASSERT(session->read_count > 0);
    MARK("deliver: a read comes too late for its subscription");
    if (read->chunk != NULL) {
        session->env->ops->chunk_unref(session->env->ctx, read->chunk);
    }
    if (ended) {
        session->read_count--;
        session->env->ops->wake(session->env->ctx, session); /* another one may have waited */
    }
}

enum rc session_on_read(struct session *session, const struct session_read *read)
{
    ASSERT(read->chunk == NULL || !read->trimmed);
    ASSERT(read->chunk == NULL || read->damaged_end == 0);
    struct subscription *sub = subs_find(&session->subs, read->channel);
    const bool ended = sub == NULL || sub->id != read->sub_id;
    if (ended || session->state != SESSION_READY) {
        on_late_read(session, read, ended);
        return RC_OK;
    }
    if (sub->ahead) {
        on_read_ahead(sub, read->chunk);
        return RC_OK;
    }
    ASSERT(sub->state == SUB_READING);
    if (read->chunk != NULL) {
        on_chunk_read(sub, read->chunk);
        return RC_OK;
    }
    if (read->trimmed) {
        MARK("gap: retention has overtaken a cursor");
        return tell_gap(sub, read->position.earliest, "trimmed", &read->position);
    }
    if (read->damaged_end > 0) {
        MARK("gap: what a cursor wanted is damaged");
        return tell_gap(sub, read->damaged_end, "damaged", &read->position);
    }
    MARK("deliver: a subscription ends, the log cannot be read");
    return tell_failure(sub);
}
