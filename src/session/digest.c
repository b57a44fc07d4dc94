/* The digest command: sent on to the channel's owner, and answered when its read comes back.
 *
 * Thread: the owning reactor.  Memory: none. */
#include "session/session_private.h"
#include "wire/json_codec.h"

#include <stdio.h>

/* What one counts as until its reply is there. [I11] a reply is no more than a name with every byte
 * escaped and some; [I12] but the message may stand in the middle of a large batch, and a few dozen
 * of such reads are as much as one connection may put in front of others'. */
#define DIGEST_COUNTS_BYTES (256u * KIB)

static_assert(6 * CHANNEL_NAME_BYTES_MAX + 256 <= DIGEST_COUNTS_BYTES, "a reply fits");

enum rc session_digest(struct session *session, const struct wire_command *command)
{
    ASSERT(command->type == WIRE_DIGEST);
    const enum rc rc = session->env->ops->digest(session->env->ctx, session, command);
    if (rc == RC_OK) {
        session->inflight_count++;
        session->inflight_bytes += DIGEST_COUNTS_BYTES;
    }
    return rc;
}

static struct wire_error error_of(const struct session_digest *digest)
{
    struct wire_error error = {.id = digest->id, .code = WIRE_ERROR_UNAVAILABLE};
    if (digest->rc != RC_OK) {
        (void)snprintf(error.message, sizeof(error.message), "the log could not be read");
        return error;
    }
    ASSERT(digest->missing != NULL);
    error.code = WIRE_ERROR_GAP;
    error.has_bounds = true;
    error.epoch = digest->position.epoch;
    error.earliest = digest->position.earliest;
    error.latest = digest->position.latest;
    error.reason = digest->missing;
    (void)snprintf(error.message, sizeof(error.message),
                   "the digest of message %llu is not there (%s): ask from earliest - 1 to latest",
                   (unsigned long long)digest->seq, digest->missing);
    return error;
}

static bool is_missing(const struct session_digest *digest)
{
    return digest->rc != RC_OK || digest->missing != NULL;
}

static struct wire_digest reply_of(const struct session_digest *digest)
{
    ASSERT(digest->seq + 1 >= digest->position.earliest);
    ASSERT(digest->seq <= digest->position.latest);
    return (struct wire_digest){
        .id = digest->id,
        .channel = digest->channel,
        .epoch = digest->position.epoch,
        .seq = digest->seq,
        .digest = digest->digest,
    };
}

enum rc digest_encode_http(struct buf *to, const struct session_digest *digest)
{
    if (is_missing(digest)) {
        const struct wire_error error = error_of(digest);
        return json_encode_error(to, &error, false);
    }
    const struct wire_digest reply = reply_of(digest);
    return json_encode_digest(to, &reply, false);
}

enum rc session_on_digest(struct session *session, const struct session_digest *digest)
{
    ASSERT(session->inflight_count > 0);
    ASSERT(session->inflight_bytes >= DIGEST_COUNTS_BYTES);
    session->inflight_count--;
    session->inflight_bytes -= DIGEST_COUNTS_BYTES;
    if (session->state == SESSION_CLOSING) {
        return RC_OK;
    }
    if (is_missing(digest)) {
        const struct wire_error error = error_of(digest);
        return session_send_error(session, &error);
    }
    const struct wire_digest reply = reply_of(digest);
    const enum rc rc = codec_encode_digest(session->codec, session->env->encode, &reply);
    return rc == RC_OK ? session_send_encoded(session) : rc;
}
