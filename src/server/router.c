/* Between the sessions of a reactor and the partitions, wherever they are.
 *
 * Publishes of one turn to one partition travel together, in a parcel. How many bytes a reactor may
 * have under way to a partition is bounded (tune.credit_bytes): over that a session is told
 * RC_FULL, its connection keeps the command and reads no further, and so the pressure ends at the
 * socket that makes it. Everything else to an owner goes behind the parcel, so that commands of a
 * connection reach a partition in the order sent. */
#include "base/hash.h"
#include "base/mark.h"
#include "base/mem.h"
#include "base/tune.h"
#include "server/host.h"
#include "server/reactor.h"
#include "server/server_private.h"

#define PARCEL_ALIGN 8u

static unsigned partition_of(const struct reactor *reactor, struct bytes channel)
{
    return server_partition_of(reactor->server, hash_bytes(channel, 0));
}

static void parcel_send(struct reactor *reactor, unsigned partition)
{
    struct mail_parcel *parcel = reactor->parcels[partition];
    if (parcel != NULL) {
        reactor->parcels[partition] = NULL;
        reactor->parcel_sizes[partition] = parcel->bytes.size;
        mesh_send(&reactor->server->mesh, reactor->index,
                  server_owner_of(reactor->server, partition), &parcel->mail);
    }
}

static void send_owner(struct reactor *reactor, unsigned partition, struct mail *mail)
{
    parcel_send(reactor, partition);
    mesh_send(&reactor->server->mesh, reactor->index, server_owner_of(reactor->server, partition),
              mail);
}

static struct mail_parcel *parcel_for(struct reactor *reactor, unsigned partition)
{
    if (reactor->parcels[partition] == NULL) {
        struct mail_parcel *parcel =
            mail_new(MAIL_PARCEL, sizeof(struct mail_parcel), (struct bytes){0}, NULL);
        if (parcel != NULL) {
            parcel->partition = partition;
            reactor->parcels[partition] = parcel;
            /* Likely as large as the last one: growing it step by step would copy it once more.
             * Where memory is short it grows. One huge publish is no measure. */
            const size_t last = reactor->parcel_sizes[partition];
            (void)!buf_reserve(&parcel->bytes,
                               last < 2 * tune.parcel_bytes ? last : 2 * tune.parcel_bytes);
        }
    }
    return reactor->parcels[partition];
}

static enum rc parcel_add(struct buf *bytes, struct parcel_entry *entry,
                          const struct command_publish *head,
                          const struct command_message *messages)
{
    const size_t start = bytes->size;
    enum rc rc = buf_reserve(bytes, sizeof(*entry));
    if (rc != RC_OK) {
        return rc;
    }
    bytes->size += sizeof(*entry);
    rc = command_publish_encode(bytes, head, messages);
    if (rc == RC_OK) {
        rc = buf_reserve(bytes, PARCEL_ALIGN);
    }
    if (rc != RC_OK) {
        bytes->size = start;
        return rc;
    }
    entry->body_size = (uint32_t)(bytes->size - start - sizeof(*entry));
    bytes_copy(bytes->data + start, entry, sizeof(*entry));
    while (bytes->size % PARCEL_ALIGN != 0) {
        buf_put_u8(bytes, 0);
    }
    return RC_OK;
}

bool router_has_room(const struct reactor *reactor, unsigned partition, size_t size)
{
    const size_t used = reactor->credit_used[partition];
    return used == 0 || used + size <= tune.credit_bytes;
}

enum rc router_publish(struct reactor *reactor, uint64_t handle, uint64_t id, size_t size,
                       const struct command_publish *head, const struct command_message *messages)
{
    ASSERT(size <= UINT32_MAX);
    const unsigned partition = partition_of(reactor, head->channel);
    /* A small publish must not slip past a large one for ever: who waits goes first. */
    const bool behind = !reactor->unblocking && !list_empty(&reactor->blocked[partition]);
    MARK_IF(behind, "credit: a publish waits behind others");
    if (behind || !router_has_room(reactor, partition, size)) {
        reactor->full_partition = partition;
        reactor->full_size = size;
        return RC_FULL;
    }
    struct mail_parcel *parcel = parcel_for(reactor, partition);
    if (parcel == NULL) {
        return RC_NOMEM;
    }
    struct parcel_entry entry = {.handle = handle, .id = id, .size = (uint32_t)size};
    const enum rc rc = parcel_add(&parcel->bytes, &entry, head, messages);
    if (rc != RC_OK) {
        return rc;
    }
    reactor->credit_used[partition] += size;
    if (parcel->bytes.size >= tune.parcel_bytes) {
        MARK("router: a full parcel goes at once");
        parcel_send(reactor, partition);
    }
    return RC_OK;
}

void router_flush(struct reactor *reactor)
{
    for (unsigned i = 0; i < reactor->server->partitions; i++) {
        parcel_send(reactor, i);
    }
}

enum rc router_history(struct reactor *reactor, uint64_t handle, enum wire_codec codec,
                       const struct wire_command *command)
{
    struct bytes channel;
    struct mail_read *read =
        mail_new(MAIL_READ, sizeof(struct mail_read), command->channel, &channel);
    if (read == NULL) {
        return RC_NOMEM;
    }
    read->purpose = READ_HISTORY;
    read->codec = codec;
    read->partition = partition_of(reactor, channel);
    read->handle = handle;
    read->channel = channel;
    read->id = command->id;
    read->has_from = command->has_history_from;
    read->from = command->history_from;
    read->reverse = command->reverse;
    read->count_max = command->limit;
    read->bytes_max = tune.history_bytes;
    send_owner(reactor, read->partition, &read->mail);
    return RC_OK;
}

enum rc router_digest(struct reactor *reactor, uint64_t handle, const struct wire_command *command)
{
    struct bytes channel;
    struct mail_read *read =
        mail_new(MAIL_READ, sizeof(struct mail_read), command->channel, &channel);
    if (read == NULL) {
        return RC_NOMEM;
    }
    read->purpose = READ_DIGEST;
    read->partition = partition_of(reactor, channel);
    read->handle = handle;
    read->channel = channel;
    read->id = command->id;
    read->has_from = command->has_seq;
    read->from = command->seq;
    send_owner(reactor, read->partition, &read->mail);
    return RC_OK;
}

/* ---- what sessions ask ----------------------------------------------------------------------- */

static enum rc on_publish(void *ctx, struct session *session, const struct command_publish *head,
                          const struct command_message *messages, uint64_t id, size_t size)
{
    return router_publish(ctx, conn_handle(session_user(session)), id, size, head, messages);
}

static enum rc on_subscribe(void *ctx, struct session *session, const struct session_ask *asked)
{
    struct reactor *reactor = ctx;
    struct bytes channel;
    struct mail_ask *ask = mail_new(MAIL_ASK, sizeof(struct mail_ask), asked->channel, &channel);
    if (ask == NULL) {
        return RC_NOMEM;
    }
    ask->partition = partition_of(reactor, channel);
    ask->handle = conn_handle(session_user(session));
    ask->ask = *asked;
    ask->ask.channel = channel;
    send_owner(reactor, ask->partition, &ask->mail);
    return RC_OK;
}

static void detach(struct reactor *reactor, enum wire_codec codec, struct bytes name)
{
    struct bytes channel;
    struct mail_channel *mail = mail_new(MAIL_DETACH, sizeof(struct mail_channel), name, &channel);
    if (mail == NULL) {
        return; /* the owner goes on sending; the next tail that comes for no feed tries again */
    }
    mail->partition = partition_of(reactor, channel);
    mail->codec = codec;
    mail->channel = channel;
    send_owner(reactor, mail->partition, &mail->mail);
}

static void on_detach(void *ctx, const struct feed *feed)
{
    detach(ctx, feed->codec, feed->name);
}

static enum rc on_read(void *ctx, struct session *session, const struct subscription *sub,
                       uint64_t from, uint32_t count_max)
{
    struct reactor *reactor = ctx;
    struct bytes channel;
    struct mail_read *read =
        mail_new(MAIL_READ, sizeof(struct mail_read), sub->feed->name, &channel);
    if (read == NULL) {
        return RC_NOMEM;
    }
    read->purpose = READ_CATCH_UP;
    read->codec = sub->feed->codec;
    read->partition = partition_of(reactor, channel);
    read->handle = conn_handle(session_user(session));
    read->channel = channel;
    read->sub_id = sub->id;
    read->keeps = subscription_keeps(sub);
    read->has_from = true;
    read->from = from;
    read->count_max = count_max;
    read->bytes_max = sub->flows ? tune.flow_bytes : tune.catch_up_bytes;
    read->deflated = session_deflated(session);
    send_owner(reactor, read->partition, &read->mail);
    return RC_OK;
}

static enum rc on_history(void *ctx, struct session *session, const struct wire_command *command)
{
    return router_history(ctx, conn_handle(session_user(session)), session_codec(session), command);
}

static enum rc on_digest(void *ctx, struct session *session, const struct wire_command *command)
{
    return router_digest(ctx, conn_handle(session_user(session)), command);
}

static void on_wake(void *ctx, struct session *session)
{
    (void)ctx;
    conn_wake(session_user(session));
}

static void on_chunk_unref(void *ctx, struct chunk *chunk)
{
    (void)ctx;
    shared_chunk_unref(shared_chunk_of(chunk));
}

const struct session_ops router_session_ops = {
    .publish = on_publish,
    .subscribe = on_subscribe,
    .detach = on_detach,
    .read = on_read,
    .history = on_history,
    .digest = on_digest,
    .wake = on_wake,
    .chunk_unref = on_chunk_unref,
};

/* ---- mail ------------------------------------------------------------------------------------ */

static void on_replies(struct reactor *reactor, struct mail_replies *replies)
{
    size_t *used = &reactor->credit_used[replies->partition];
    size_t at = 0;
    while (at < replies->bytes.size) {
        struct reply_entry entry;
        bytes_copy(&entry, replies->bytes.data + at, sizeof(entry));
        at += sizeof(entry);
        entry.result.channel = bytes_of(replies->bytes.data + at, entry.channel_size);
        at += (entry.channel_size + PARCEL_ALIGN - 1) / PARCEL_ALIGN * PARCEL_ALIGN;
        ASSERT(*used >= entry.size);
        *used -= entry.size;
        struct conn *conn = conn_find(reactor, entry.handle);
        if (conn != NULL) {
            conn_on_published(conn, entry.id, &entry.result, entry.size);
        }
    }
    ASSERT(at == replies->bytes.size);
    reactor->room_made = true;
    mail_free(&replies->mail);
}

static void on_answer(struct reactor *reactor, struct mail_ask *ask)
{
    /* Nobody is left: the detach of its feed has overtaken the ask, which waited at the owner. */
    if (feed_find(&reactor->feeds, ask->ask.codec, ask->answer.channel) == NULL) {
        MARK("router: an answer for nobody");
        detach(reactor, ask->ask.codec, ask->answer.channel);
    }
    struct conn *conn = conn_find(reactor, ask->handle);
    if (conn != NULL) {
        conn_on_answer(conn, &ask->answer);
    }
    mail_free(&ask->mail);
}

static void on_tail(struct reactor *reactor, struct mail_tail *tail)
{
    const struct shared_chunk *told = tail->chunk;
    struct feed *feed = feed_find(&reactor->feeds, told->codec, told->channel);
    if (feed == NULL) {
        MARK("router: a tail for nobody");
        /* An answer that was still waiting at the owner made us a follower after we had gone. */
        detach(reactor, told->codec, told->channel);
    } else {
        struct shared_chunk *chunk = tail->chunk;
        tail->chunk = NULL; /* the reference goes to the feed */
        feed_on_chunk(&reactor->feeds, feed, &chunk->chunk);
    }
    mail_free(&tail->mail);
}

static void on_read_done(struct reactor *reactor, struct mail_read *read)
{
    struct conn *conn = conn_find(reactor, read->handle);
    if (conn != NULL) {
        conn_on_read(conn, read);
    }
    mail_free(&read->mail);
}

static void on_drain(struct reactor *reactor, struct mail *mail)
{
    reactor->draining = true;
    reactor->drain_since_ms = reactor->mono_ms;
    conns_goaway(reactor);
    mail_free(mail);
}

void router_on_mail(struct reactor *reactor, struct mail *mail)
{
    switch (mail->kind) {
    case MAIL_CONNECTION: conn_open(reactor, (struct mail_connection *)mail); return;
    case MAIL_GONE: reactor_on_gone(reactor, (struct mail_connection *)mail); return;
    case MAIL_PARCEL: {
        struct mail_parcel *parcel = (struct mail_parcel *)mail;
        host_on_parcel(reactor->hosts[parcel->partition], parcel);
        return;
    }
    case MAIL_REPLIES: on_replies(reactor, (struct mail_replies *)mail); return;
    case MAIL_ASK: {
        struct mail_ask *ask = (struct mail_ask *)mail;
        host_on_ask(reactor->hosts[ask->partition], ask);
        return;
    }
    case MAIL_ANSWER: on_answer(reactor, (struct mail_ask *)mail); return;
    case MAIL_DETACH: {
        struct mail_channel *channel = (struct mail_channel *)mail;
        host_on_detach(reactor->hosts[channel->partition], channel);
        return;
    }
    case MAIL_TAIL: on_tail(reactor, (struct mail_tail *)mail); return;
    case MAIL_READ: {
        struct mail_read *read = (struct mail_read *)mail;
        host_on_read(reactor->hosts[read->partition], read);
        return;
    }
    case MAIL_READ_DONE: on_read_done(reactor, (struct mail_read *)mail); return;
    case MAIL_DRAIN: on_drain(reactor, mail); return;
    case MAIL_CLOSE:
        conns_close(reactor, false);
        mail_free(mail);
        return;
    case MAIL_STOP:
        reactor->stopping = true;
        mail_free(mail);
        return;
    case MAIL_DRAINED: break; /* the main thread's */
    }
    UNREACHABLE();
}
