#include "session/session.h"

#include "base/mark.h"
#include "base/mem.h"
#include "base/tune.h"
#include "session/session_private.h"
#include "session/subscription.h"

#include <stdio.h>

#define TO(name) (1u << SESSION_##name)
static const unsigned session_moves[SESSION_STATE_COUNT] = {
    [SESSION_OPENING] = TO(READY) | TO(CLOSING),
    [SESSION_READY] = TO(CLOSING),
    [SESSION_CLOSING] = 0,
};
#undef TO

void session_check(const struct session *session)
{
    ASSERT_HOT(session->inflight_count > 0 || session->inflight_bytes == 0);
    ASSERT_HOT(session->producer == NULL || session->producer->id_size > 0);
    ASSERT_HOT((session->state == SESSION_CLOSING) == (session->close_code != 0));
    ASSERT_HOT(session->read_count <= tune.session_reads);
    ASSERT_HOT(session->state != SESSION_OPENING || subs_count(&session->subs) == 0);
    ASSERT_HOT(session->state != SESSION_OPENING || session->inflight_count == 0);
    ASSERT_HOT(session->out != session->env->encode);
}

void session_move(struct session *session, enum session_state next)
{
    ASSERT(session->state < SESSION_STATE_COUNT);
    ASSERT(next < SESSION_STATE_COUNT);
    ASSERT(session_moves[session->state] & (1u << next));
    session->state = (uint8_t)next;
    session_check(session);
}

void session_close_with(struct session *session, uint16_t code, const char *text)
{
    ASSERT(code >= 1000 && code <= 4999);
    ASSERT(text != NULL);
    if (session->state == SESSION_CLOSING) {
        return;
    }
    session->close_code = code;
    session->close_text = text;
    session_move(session, SESSION_CLOSING);
    session->env->ops->wake(session->env->ctx, session);
}

enum rc session_open(const struct session_env *env, enum wire_codec codec, uint64_t connection,
                     void *user, struct buf *out, struct session **ret_session)
{
    ASSERT(codec < WIRE_CODEC_COUNT);
    ASSERT(env->encode->size == 0);
    ASSERT(out != env->encode);
    ASSERT(env->inflight_max > 0);
    ASSERT(env->inflight_bytes_max > 0);
    struct session *session = mem_calloc(1, sizeof(*session));
    if (session == NULL) {
        return RC_NOMEM;
    }
    session->env = env;
    session->codec = (uint8_t)codec;
    session->out = out;
    session->user = user;
    session->connection = connection;
    session->state = SESSION_OPENING;
    list_init(&session->ready);
    session_check(session);
    *ret_session = session;
    return RC_OK;
}

void session_close(struct session *session)
{
    if (session == NULL) {
        return;
    }
    struct subscription *sub;
    while ((sub = subs_any(&session->subs)) != NULL) {
        subscription_end(sub);
    }
    ASSERT(list_empty(&session->ready));
    ASSERT(subs_count(&session->subs) == 0);
    ASSERT(session->read_count <= tune.session_reads); /* those still under way find nobody */
    subs_deinit(&session->subs);
    mem_free(session->producer);
    mem_free(session->run);
    mem_free(session);
}

void *session_user(const struct session *session)
{
    ASSERT(session->state < SESSION_STATE_COUNT);
    ASSERT(session->env != NULL);
    return session->user;
}

enum wire_codec session_codec(const struct session *session)
{
    ASSERT_HOT(session->codec < WIRE_CODEC_COUNT);
    return session->codec;
}

void session_deflate(struct session *session, struct deflater *deflater, bool shared)
{
    ASSERT(session->state == SESSION_OPENING);
    ASSERT(deflater != NULL);
    ASSERT(!shared || !deflater_options(deflater)->takeover);
    session->deflater = deflater;
    session->deflated = shared;
}

bool session_deflated(const struct session *session)
{
    ASSERT_HOT(session->state < SESSION_STATE_COUNT);
    ASSERT_HOT(!session->deflated || session->deflater != NULL);
    return session->deflated;
}

bool session_ready(const struct session *session)
{
    return session->state == SESSION_READY;
}

bool session_can_take(const struct session *session)
{
    ASSERT_HOT(session->inflight_count > 0 || session->inflight_bytes == 0);
    MARK_IF(session->inflight_count >= session->env->inflight_max,
            "session: as many commands under way as may be");
    MARK_IF(session->inflight_bytes >= session->env->inflight_bytes_max,
            "session: as many bytes under way as may be");
    return session->state != SESSION_CLOSING &&
           session->inflight_count < session->env->inflight_max &&
           session->inflight_bytes < session->env->inflight_bytes_max;
}

uint32_t session_inflight(const struct session *session)
{
    ASSERT_HOT(session->inflight_count > 0 || session->inflight_bytes == 0);
    ASSERT_HOT(session->state != SESSION_OPENING || session->inflight_count == 0);
    return session->inflight_count;
}

bool session_closing(const struct session *session, uint16_t *ret_code, const char **ret_text)
{
    ASSERT_HOT((session->state == SESSION_CLOSING) == (session->close_code != 0));
    ASSERT_HOT((session->state == SESSION_CLOSING) == (session->close_text != NULL));
    if (session->state != SESSION_CLOSING) {
        return false;
    }
    *ret_code = session->close_code;
    *ret_text = session->close_text;
    return true;
}

enum rc session_send_encoded(struct session *session)
{
    ASSERT_HOT(session->env->encode->size > 0);
    struct buf *encoded = session->env->encode;
    const enum rc rc = ws_message_append(session->out, session->deflater,
                                         codec_opcode(session->codec), buf_bytes(encoded));
    buf_clear(encoded);
    ASSERT_HOT(rc == RC_OK || rc == RC_NOMEM);
    if (rc == RC_OK) {
        session->env->ops->wake(session->env->ctx, session);
    }
    return rc;
}

enum rc session_send_error(struct session *session, const struct wire_error *error)
{
    ASSERT(session->env->encode->size == 0);
    ASSERT(error->code < WIRE_ERROR_COUNT);
    ASSERT(error->message[0] != '\0');
    const enum rc rc = codec_encode_error(session->codec, session->env->encode, error);
    return rc == RC_OK ? session_send_encoded(session) : rc;
}

enum rc session_refuse(struct session *session, uint64_t id, enum wire_error_code code,
                       const char *message)
{
    ASSERT(code < WIRE_ERROR_COUNT);
    ASSERT(strlen(message) < sizeof(((struct wire_error *)NULL)->message));
    struct wire_error error = {.code = code, .id = id};
    (void)snprintf(error.message, sizeof(error.message), "%s", message);
    return session_send_error(session, &error);
}

enum rc session_goaway(struct session *session, const char *reason, uint64_t reconnect_ms)
{
    ASSERT(session->env->encode->size == 0);
    ASSERT(reason[0] != '\0');
    const enum rc rc =
        codec_encode_goaway(session->codec, session->env->encode, reason, reconnect_ms);
    return rc == RC_OK ? session_send_encoded(session) : rc;
}

void session_on_bad_text(struct session *session)
{
    ASSERT(session->env->encode->size == 0);
    MARK("session: a text that is not UTF-8");
    /* Out of memory: the close code alone must do. */
    (void)!session_refuse(session, 0, WIRE_ERROR_BAD_REQUEST, "the frame is not UTF-8");
    session_close_with(session, WS_CLOSE_UTF8, "not UTF-8");
}

void session_on_connect_timeout(struct session *session)
{
    ASSERT(session->state != SESSION_OPENING || session->producer == NULL);
    ASSERT(session->state != SESSION_OPENING || subs_count(&session->subs) == 0);
    if (session->state == SESSION_OPENING) {
        MARK("session: no connect in time");
        session_close_with(session, WS_CLOSE_UNAUTHORIZED, "no connect in time");
    }
}

static enum rc producer_set(struct session *session, const struct wire_command *command)
{
    ASSERT(session->producer == NULL);
    const struct bytes id = command->producer.id;
    ASSERT(id.size > 0 && id.size <= PRODUCER_ID_BYTES_MAX);
    struct named_producer *producer = mem_alloc(sizeof(*producer) + id.size);
    if (producer == NULL) {
        return RC_NOMEM;
    }
    producer->epoch = command->producer.epoch;
    producer->id_size = (uint8_t)id.size;
    bytes_copy(producer->id, id.data, id.size);
    session->producer = producer;
    return RC_OK;
}

static enum rc on_connect(struct session *session, const struct wire_command *command,
                          uint64_t now_ms)
{
    ASSERT(session->state != SESSION_CLOSING);
    ASSERT(command->type == WIRE_CONNECT);
    ASSERT(command->producer.id.size <= PRODUCER_ID_BYTES_MAX);
    const struct session_env *env = session->env;
    if (session->state == SESSION_READY) {
        MARK("session: connects twice");
        return session_refuse(session, command->id, WIRE_ERROR_BAD_REQUEST,
                              "this connection is connected already");
    }
    if (command->cumulative) {
        session->run = mem_calloc(1, sizeof(*session->run));
        if (session->run == NULL) {
            return RC_NOMEM;
        }
    }
    if (command->producer.id.size > 0 && producer_set(session, command) != RC_OK) {
        return RC_NOMEM;
    }
    session_move(session, SESSION_READY);
    const struct wire_connected connected = {
        .id = command->id,
        .connection = session->connection,
        .namespace_name = "default",
        .node = env->node,
        .ping_ms = env->ping_ms,
        .durability = env->durability,
        .message_bytes = env->message_bytes_max,
        .frame_bytes = env->frame_bytes_max,
        .batch_messages = BATCH_MESSAGES_MAX,
        .subscriptions = env->subscriptions_max,
        .time_ms = now_ms,
    };
    const enum rc rc = codec_encode_connected(session->codec, env->encode, &connected);
    return rc == RC_OK ? session_send_encoded(session) : rc;
}

static_assert(sizeof(struct command_message) == sizeof(struct wire_item), "see on_publish()");
static_assert(offsetof(struct command_message, key) == offsetof(struct wire_item, key),
              "see on_publish()");
static_assert(offsetof(struct command_message, has_key) == offsetof(struct wire_item, has_key),
              "see on_publish()");
static_assert(offsetof(struct command_message, is_bytes) == offsetof(struct wire_item, is_bytes),
              "see on_publish()");

static enum rc on_publish(struct session *session, const struct wire_command *command, size_t size)
{
    ASSERT_HOT(session->state == SESSION_READY);
    ASSERT_HOT(command->item_count >= 1);
    ASSERT_HOT(command->item_count <= BATCH_MESSAGES_MAX);
    ASSERT_HOT(command->is_batch || command->item_count == 1);
    ASSERT_HOT(size <= UINT32_MAX - session->inflight_bytes); /* session_can_take() sees to it */
    const struct session_env *env = session->env;
    if (command->has_producer_seq && session->producer == NULL) {
        MARK("session: a number without a producer");
        return session_refuse(session, command->id, WIRE_ERROR_BAD_REQUEST,
                              "producer_seq needs a producer in connect");
    }
    struct command_publish head = {
        .channel = command->channel,
        .count = command->item_count,
        .is_batch = command->is_batch,
    };
    if (command->has_producer_seq) {
        head.producer = bytes_of(session->producer->id, session->producer->id_size);
        head.producer_epoch = session->producer->epoch;
        head.producer_seq = command->producer_seq;
    }
    /* The wire's item and the log's message are one and the same layout (asserted above). */
    const struct command_message *messages = (const void *)command->items;
    const enum rc rc =
        env->ops->publish(env->ctx, session, &head, messages, session_tag(command), size);
    if (rc == RC_OK) {
        session->inflight_count++;
        session->inflight_bytes += (uint32_t)size;
        session_check(session);
    }
    return rc;
}

/* [I11] A reply may be a mebibyte: it counts as much until it is there. */
static enum rc on_history(struct session *session, const struct wire_command *command)
{
    ASSERT(session->state == SESSION_READY);
    ASSERT(command->limit >= 1 && command->limit <= HISTORY_MESSAGES_MAX);
    const enum rc rc = session->env->ops->history(session->env->ctx, session, command);
    if (rc == RC_OK) {
        session->inflight_count++;
        session->inflight_bytes += HISTORY_BYTES_MAX;
        session_check(session);
    }
    return rc;
}

static enum rc on_ping(struct session *session, const struct wire_command *command)
{
    ASSERT(session->state == SESSION_READY);
    ASSERT(command->type == WIRE_PING);
    const enum rc rc = codec_encode_pong(session->codec, session->env->encode, command->id);
    return rc == RC_OK ? session_send_encoded(session) : rc;
}

static enum rc dispatch(struct session *session, const struct wire_command *command, size_t size,
                        uint64_t now_ms)
{
    ASSERT_HOT(session->state != SESSION_CLOSING);
    ASSERT_HOT(session->state == SESSION_READY || command->type == WIRE_CONNECT);
    switch (command->type) {
    case WIRE_CONNECT: return on_connect(session, command, now_ms);
    case WIRE_PUBLISH: return on_publish(session, command, size);
    case WIRE_SUBSCRIBE: return session_subscribe(session, command);
    case WIRE_ACK: return session_ack(session, command);
    case WIRE_UNSUBSCRIBE: return session_unsubscribe(session, command);
    case WIRE_HISTORY: return on_history(session, command);
    case WIRE_DIGEST: return session_digest(session, command);
    case WIRE_PING: return on_ping(session, command);
    }
    UNREACHABLE();
}

/* [P 3] "A frame that is not a JSON object is answered with bad_request and close code 4400", and
 * [P 15] one that is not made of whole units. */
static enum rc on_not_a_command(struct session *session)
{
    ASSERT(session->state != SESSION_CLOSING);
    ASSERT(session->env->encode->size == 0);
    const bool binary = session->codec == WIRE_BINARY;
    const enum rc rc = session_refuse(session, 0, WIRE_ERROR_BAD_REQUEST,
                                      binary ? "the frame is not made of whole commands"
                                             : "the frame is not a JSON object");
    session_close_with(session, WS_CLOSE_BAD_REQUEST,
                       binary ? "not made of whole commands" : "not a JSON object");
    return rc;
}

/* [P 3] "a first command other than connect […] closes with 4401". */
static enum rc on_early(struct session *session, uint64_t id)
{
    ASSERT(session->state == SESSION_OPENING);
    ASSERT(session->inflight_count == 0);
    const enum rc rc =
        session_refuse(session, id, WIRE_ERROR_UNAUTHORIZED, "the first command must be connect");
    session_close_with(session, WS_CLOSE_UNAUTHORIZED, "the first command must be connect");
    return rc;
}

static enum rc on_refused(struct session *session, const struct wire_error *error)
{
    ASSERT(session->state != SESSION_CLOSING);
    ASSERT(error->code < WIRE_ERROR_COUNT);
    MARK("session: a command that is not right");
    const enum rc sent = session_send_error(session, error);
    if (session->state == SESSION_OPENING) {
        session_close_with(session, WS_CLOSE_UNAUTHORIZED, "the first command must be connect");
    }
    return sent;
}

enum rc session_on_message(struct session *session, struct bytes *rest, uint64_t now_ms)
{
    ASSERT_HOT(session->env->encode->size == 0);
    ASSERT_HOT(rest->size == 0 || rest->data != NULL);
    struct bytes left = *rest;
    if (session->state == SESSION_CLOSING) {
        *rest = (struct bytes){0}; /* the peer may still talk; we no longer listen */
        return RC_OK;
    }
    const struct wire_limits limits = {.message_bytes = session->env->message_bytes_max};
    struct wire_command command = {0};
    struct wire_error error = {0};
    enum rc rc = codec_command_decode(session->codec, &left, &limits, session->env->scratch,
                                      &command, &error);
    if (rc == RC_BAD) {
        MARK("session: a message that is no command");
        left = (struct bytes){0};
        rc = on_not_a_command(session);
    } else if (rc == RC_PROTOCOL) {
        rc = on_refused(session, &error);
    } else if (rc == RC_OK && session->state == SESSION_OPENING && command.type != WIRE_CONNECT) {
        MARK("session: the first command is not connect");
        rc = on_early(session, command.id);
    } else if (rc == RC_OK) {
        rc = dispatch(session, &command, rest->size - left.size, now_ms);
    }
    if (rc == RC_OK) {
        *rest = left;
    }
    return rc;
}

enum rc session_on_history(struct session *session, const struct session_history *history)
{
    ASSERT(session->state != SESSION_OPENING);
    ASSERT(session->inflight_count > 0);
    ASSERT(session->inflight_bytes >= HISTORY_BYTES_MAX);
    session->inflight_count--;
    session->inflight_bytes -= HISTORY_BYTES_MAX;
    session_check(session);
    if (session->state == SESSION_CLOSING) {
        return RC_OK;
    }
    if (history->rc != RC_OK) {
        MARK("session: a history fails, the log cannot be read");
        return session_refuse(session, history->id, WIRE_ERROR_UNAVAILABLE,
                              "the log could not be read");
    }
    const struct wire_history reply = {
        .id = history->id,
        .channel = history->channel,
        .epoch = history->position.epoch,
        .earliest = history->position.earliest,
        .latest = history->position.latest,
        .elements = history->messages,
        .damaged = history->damaged,
        .damaged_count = history->damaged_count,
        .more = history->more,
    };
    const enum rc rc = codec_encode_history(session->codec, session->env->encode, &reply);
    return rc == RC_OK ? session_send_encoded(session) : rc;
}
