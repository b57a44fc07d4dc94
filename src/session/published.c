/* What became of a publish, told to who sent it.
 *
 * Where the client has asked for it (binary, `connect`), publishes whose answers follow from one
 * another are told by one: the newest are held back as a run until one comes that does not continue
 * it, or the connection is about to write. So nothing waits longer than it did before; what is
 * saved is the encoding, a frame, and the bytes of each but the first.
 *
 *   continues a run    accepted and not a duplicate, of the same channel and epoch, its id the next
 *                      one, its first message behind the run's last
 *   anything else      is told by itself, after the run: answers of one channel keep their order
 *
 * Thread: the owning reactor.  Memory: a run, for a session that wants one. */
#include "base/mark.h"
#include "session/session_private.h"

#include <stdio.h>

/* Above what an id can be. */
#define TAG_QUIET (UINT64_C(1) << 63)

static_assert((WIRE_INTEGER_MAX & TAG_QUIET) == 0, "an id and the flag have room in a tag");

uint64_t session_tag(const struct wire_command *command)
{
    ASSERT_HOT(command->type == WIRE_PUBLISH);
    ASSERT_HOT(command->id <= WIRE_INTEGER_MAX);
    return command->id | (command->quiet ? TAG_QUIET : 0);
}

void publish_error(struct wire_error *ret_error, uint64_t id, const struct publish_result *result)
{
    struct wire_error error = {.id = id};
    switch (result->verdict) {
    case PUBLISH_OUT_OF_SEQUENCE:
        error.code = WIRE_ERROR_OUT_OF_SEQUENCE;
        error.has_expected = true;
        error.expected = result->expected;
        (void)snprintf(error.message, sizeof(error.message), "expected producer_seq %llu, got %llu",
                       (unsigned long long)result->expected,
                       (unsigned long long)result->producer_seq);
        break;
    case PUBLISH_PRODUCER_UNKNOWN:
        error.code = WIRE_ERROR_PRODUCER_UNKNOWN;
        (void)snprintf(
            error.message, sizeof(error.message),
            "this channel does not know this producer and epoch (any more): take a higher "
            "epoch and begin with producer_seq 1");
        break;
    case PUBLISH_PRODUCER_FENCED:
        error.code = WIRE_ERROR_PRODUCER_FENCED;
        (void)snprintf(error.message, sizeof(error.message),
                       "a higher epoch of this producer has published to this channel");
        break;
    case PUBLISH_UNAVAILABLE:
        error.code = WIRE_ERROR_UNAVAILABLE;
        error.retry_after_ms = 1000;
        (void)snprintf(error.message, sizeof(error.message),
                       "the log cannot accept commands now; nothing was stored");
        break;
    case PUBLISH_LIMIT:
        error.code = WIRE_ERROR_LIMIT_EXCEEDED;
        (void)snprintf(error.message, sizeof(error.message),
                       "too many channels, or too many producers in this channel");
        break;
    case PUBLISH_ACCEPTED:
    case PUBLISH_DUPLICATE: UNREACHABLE();
    }
    *ret_error = error;
}

static bool is_stored(const struct publish_result *result)
{
    return result->verdict == PUBLISH_ACCEPTED || result->verdict == PUBLISH_DUPLICATE;
}

/* Appends to `out`; what is in `encode` stays. */
static enum rc published_send(struct session *session, uint64_t id, uint32_t publishes,
                              const struct publish_result *result)
{
    ASSERT_HOT(result->count > 0);
    ASSERT_HOT(is_stored(result));
    ASSERT_HOT(session->env->encode->size == 0);
    const struct wire_published published = {
        .id = id,
        .channel = result->channel,
        .has_seq = result->has_seq,
        .seq = result->seq,
        .is_batch = result->is_batch,
        .count = result->count,
        .message_id = result->message_id,
        .epoch = result->epoch,
        .duplicate = result->verdict == PUBLISH_DUPLICATE,
        .publishes = publishes,
    };
    const enum rc rc = codec_encode_published(session->codec, session->env->encode, &published);
    return rc == RC_OK ? session_send_encoded(session) : rc;
}

/* ---- runs ------------------------------------------------------------------------------------ */

enum rc session_flush(struct session *session)
{
    ASSERT_HOT(session->env->encode->size == 0);
    ASSERT_HOT(session->run == NULL || session->codec == WIRE_BINARY);
    struct run *run = session->run;
    if (run == NULL || run->publishes == 0) {
        return RC_OK;
    }
    const uint32_t publishes = run->publishes;
    run->publishes = 0;
    MARK_IF(publishes > 1, "published: a run is told at once");
    return published_send(session, run->id, publishes > 1 ? publishes : 0, &run->result);
}

/* [P 15] What may be told with others at all. */
static bool may_run(const struct session *session, uint64_t id, const struct publish_result *result)
{
    ASSERT_HOT(id <= WIRE_INTEGER_MAX);
    return session->run != NULL && id != 0 && result->verdict == PUBLISH_ACCEPTED &&
           result->has_seq;
}

static bool continues(const struct run *run, uint64_t id, const struct publish_result *result)
{
    ASSERT_HOT(run->publishes > 0);
    ASSERT_HOT(run->result.count >= run->publishes);
    const struct publish_result *before = &run->result;
    return id == run->id + run->publishes && result->seq == before->seq + before->count &&
           result->epoch == before->epoch && bytes_equal(result->channel, before->channel) &&
           before->count <= UINT32_MAX - BATCH_MESSAGES_MAX;
}

/* It is told by session_flush(), at the latest before the next write: so there must be one. */
static void run_begin(struct session *session, uint64_t id, const struct publish_result *result)
{
    struct run *run = session->run;
    ASSERT_HOT(run->publishes == 0);
    ASSERT_HOT(result->channel.size <= sizeof(run->channel));
    run->publishes = 1;
    run->id = id;
    run->result = *result;
    bytes_copy(run->channel, result->channel.data, result->channel.size);
    run->result.channel = bytes_of(run->channel, result->channel.size);
    session->env->ops->wake(session->env->ctx, session);
}

static enum rc published_tell(struct session *session, uint64_t id,
                              const struct publish_result *result)
{
    ASSERT_HOT(is_stored(result));
    ASSERT_HOT(session->state != SESSION_OPENING);
    const bool runs = may_run(session, id, result);
    struct run *run = session->run;
    if (runs && run->publishes > 0 && continues(run, id, result)) {
        MARK_IF(result->is_batch, "published: a batch continues a run");
        run->publishes++;
        run->result.count += result->count;
        return RC_OK;
    }
    MARK_IF(run != NULL && run->publishes > 0, "published: something ends a run");
    const enum rc rc = session_flush(session);
    if (rc != RC_OK) {
        return rc;
    }
    if (!runs) {
        return published_send(session, id, 0, result);
    }
    run_begin(session, id, result);
    return RC_OK;
}

enum rc session_on_published(struct session *session, uint64_t tag,
                             const struct publish_result *result, size_t size)
{
    ASSERT(session->inflight_count > 0);
    ASSERT(session->inflight_bytes >= size);
    const uint64_t id = tag & ~TAG_QUIET;
    session->inflight_count--;
    session->inflight_bytes -= (uint32_t)size;
    session_check(session);
    if (!is_stored(result)) {
        struct wire_error error;
        const enum rc rc = session_flush(session);
        publish_error(&error, id, result);
        return rc == RC_OK ? session_send_error(session, &error) : rc;
    }
    if ((tag & TAG_QUIET) != 0) {
        MARK("published: not told, as was asked");
        return RC_OK;
    }
    return published_tell(session, id, result);
}
