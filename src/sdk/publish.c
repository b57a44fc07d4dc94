/* From seriatim_publish() to the outbox, and back to on_published.
 *
 * A message is copied once into the intake's ring, by its own thread, and from there into memory of
 * its own. With a file, what has gathered in the ring becomes one block and one fdatasync; only
 * then does the outbox have it, and may it be sent. */
#include "base/mark.h"
#include "base/mem.h"
#include "base/tune.h"
#include "io/disk.h"
#include "sdk/private.h"
#include "wire/json.h"
#include "wire/utf8.h"

#include <unistd.h>

enum { RECORD_KEY = 1, RECORD_BYTES = 2 };

/* In the intake; the channel's name follows, then key and data unless `message` has them. */
struct record {
    struct outbox_message *message; /* NULL: it is in the record */
    struct sdk_ticket *ticket;
    void *user;
    uint32_t data_size;
    uint8_t channel_size;
    uint8_t key_size;
    uint8_t flags;
    uint8_t bytes[];
};

/* ---- what a publish must be ---------------------------------------------------------------- */

struct checked {
    struct bytes channel;
    struct wire_item item;
    void *user;
};

static enum seriatim_status check_data(const struct seriatim_client *client,
                                       const struct seriatim_publish *p, struct wire_item *item)
{
    const struct bytes data = bytes_of(p->data, p->data_size);
    if (p->data == NULL && (p->data_size > 0 || !p->bytes)) {
        return SERIATIM_BAD;
    }
    if (data.size > client->options.message_bytes) {
        return SERIATIM_TOO_LARGE;
    }
    item->data = data;
    item->is_bytes = p->bytes;
    struct json_value value;
    if (!p->bytes) {
        if (!utf8_valid(data) || json_scan_text(data, &value) != RC_OK || value.too_deep) {
            return SERIATIM_BAD;
        }
        item->data = value.raw;
    }
    return SERIATIM_OK;
}

static enum seriatim_status check(const struct seriatim_client *client,
                                  const struct seriatim_publish *p, struct checked *ret)
{
    if (p == NULL || p->size < sizeof(*p) || p->channel == NULL) {
        return SERIATIM_BAD;
    }
    ret->user = p->user;
    ret->channel = bytes_of(p->channel, p->channel_size > 0 ? p->channel_size : strlen(p->channel));
    ret->item = (struct wire_item){.has_key = p->key != NULL};
    if (p->key != NULL) {
        ret->item.key = bytes_of(p->key, p->key_size > 0 ? p->key_size : strlen(p->key));
    }
    if (ret->channel.size > CHANNEL_NAME_BYTES_MAX || ret->item.key.size > KEY_BYTES_MAX) {
        return SERIATIM_TOO_LARGE;
    }
    if (!(wire_is_plain(ret->channel) ? ret->channel.size > 0
                                      : wire_channel_name_valid(ret->channel)) ||
        !utf8_valid(ret->item.key)) {
        return SERIATIM_BAD;
    }
    return check_data(client, p, &ret->item);
}

static uint64_t charge_of(size_t channel_size, const struct wire_item *item)
{
    return SDK_MESSAGE_CHARGE + channel_size + item->key.size + item->data.size;
}

/* ---- into the ring ------------------------------------------------------------------------- */

void sdk_wake(struct seriatim_client *client)
{
    if (doorbell_ring(&client->bell)) {
        const uint64_t one = 1;
        const ssize_t written = write(client->wake_fd, &one, sizeof(one));
        ASSERT(written == (ssize_t)sizeof(one)); /* the counter is far from its end */
    }
}

static void fill(struct record *r, const struct checked *c, struct outbox_message *message,
                 struct sdk_ticket *ticket)
{
    *r = (struct record){.message = message,
                         .ticket = ticket,
                         .user = c->user,
                         .data_size = (uint32_t)c->item.data.size,
                         .channel_size = (uint8_t)c->channel.size,
                         .key_size = (uint8_t)c->item.key.size,
                         .flags = (uint8_t)((c->item.has_key ? RECORD_KEY : 0) |
                                            (c->item.is_bytes ? RECORD_BYTES : 0))};
    uint8_t *at = r->bytes;
    bytes_copy(at, c->channel.data, c->channel.size);
    if (message == NULL) {
        at += c->channel.size;
        bytes_copy(at, c->item.key.data, c->item.key.size);
        bytes_copy(at + c->item.key.size, c->item.data.data, c->item.data.size);
    }
}

static enum seriatim_status push(struct seriatim_client *client, const struct checked *c,
                                 struct sdk_ticket *ticket)
{
    const uint64_t charge = charge_of(c->channel.size, &c->item);
    const size_t inside = c->item.key.size + c->item.data.size;
    struct outbox_message *message = NULL;
    if (stats_flag_get(&client->closing)) {
        return SERIATIM_CLOSED;
    }
    if (stats_flag_get(&client->disk_failed)) {
        return SERIATIM_DISK;
    }
    if (charge > client->options.outbox_bytes) {
        return SERIATIM_TOO_LARGE; /* it would never have room */
    }
    if (!budget_take(&client->budget, charge)) {
        MARK("sdk: the outbox is full");
        return SERIATIM_FULL;
    }
    if (inside > SDK_INLINE_BYTES) {
        message = outbox_message_make(&c->item);
        if (message == NULL) {
            budget_give(&client->budget, charge);
            return SERIATIM_NOMEM;
        }
    }
    const size_t size = sizeof(struct record) + c->channel.size + (message == NULL ? inside : 0);
    uint64_t end;
    struct record *record = intake_reserve(&client->intake, size, &end);
    if (record == NULL) {
        MARK("sdk: the ring is full");
        outbox_message_free(message);
        budget_give(&client->budget, charge);
        return SERIATIM_FULL;
    }
    fill(record, c, message, ticket);
    intake_commit(record, size);
    sdk_wake(client);
    return SERIATIM_OK;
}

enum seriatim_status seriatim_publish(struct seriatim_client *client,
                                      const struct seriatim_publish *publish)
{
    struct checked checked;
    const enum seriatim_status status = check(client, publish, &checked);
    return status == SERIATIM_OK ? push(client, &checked, NULL) : status;
}

/* ---- with a wait --------------------------------------------------------------------------- */

struct attempt {
    struct seriatim_client *client;
    const struct checked *checked;
    struct sdk_ticket *ticket;
    enum seriatim_status status;
};

static bool try_push(void *ctx)
{
    struct attempt *a = ctx;
    a->status = push(a->client, a->checked, a->ticket);
    return a->status != SERIATIM_FULL;
}

static bool is_told(void *ctx)
{
    const struct attempt *a = ctx;
    return share_flag_get(&a->ticket->told);
}

static void ticket_unref(struct sdk_ticket *ticket)
{
    if (ticket != NULL && share_unref(&ticket->share)) {
        mem_free(ticket);
    }
}

enum seriatim_status seriatim_publish_wait(struct seriatim_client *client,
                                           const struct seriatim_publish *publish,
                                           uint64_t timeout_ms)
{
    struct checked checked;
    const enum seriatim_status status = check(client, publish, &checked);
    if (status != SERIATIM_OK) {
        return status;
    }
    const uint64_t begun = sdk_now_ms();
    struct attempt attempt = {.client = client, .checked = &checked};
    if (client->journal != NULL) {
        attempt.ticket = mem_calloc(1, sizeof(*attempt.ticket));
        if (attempt.ticket == NULL) {
            return SERIATIM_NOMEM;
        }
        share_init(&attempt.ticket->share);
        share_ref(&attempt.ticket->share);
    }
    if (!gate_wait(&client->taken, try_push, &attempt, timeout_ms)) {
        attempt.status = SERIATIM_TIMEOUT;
    }
    if (attempt.ticket == NULL) {
        return attempt.status;
    }
    if (attempt.status != SERIATIM_OK) {
        ticket_unref(attempt.ticket); /* no message has it */
        ticket_unref(attempt.ticket);
        return attempt.status;
    }
    const uint64_t spent = sdk_now_ms() - begun;
    const uint64_t left = timeout_ms == SERIATIM_FOR_EVER ? timeout_ms
                          : timeout_ms > spent            ? timeout_ms - spent
                                                          : 0;
    const bool told = gate_wait(&client->taken, is_told, &attempt, left);
    const enum seriatim_status end = told ? attempt.ticket->status : SERIATIM_TIMEOUT;
    ticket_unref(attempt.ticket);
    return end;
}

/* ---- out of the ring ----------------------------------------------------------------------- */

static void tell_published(struct seriatim_client *client, const struct seriatim_published *p)
{
    if (client->options.on_published != NULL) {
        client->options.on_published(client->options.user, p);
    }
}

static void give_charge(struct seriatim_client *client, uint64_t charge)
{
    budget_give(&client->budget, charge);
    client->moved = true;
}

/* It never came into the outbox. */
static void refuse_staged(struct seriatim_client *client, struct sdk_staged *staged,
                          enum seriatim_status status)
{
    const struct seriatim_published published = {
        .status = status,
        .channel = (const char *)outbox_channel_name(staged->channel).data,
        .code = "",
        .text = seriatim_status_text(status),
        .user = staged->message->user,
    };
    if (staged->ticket != NULL) {
        staged->ticket->status = status;
    }
    give_charge(client, staged->message->charge);
    tell_published(client, &published);
    outbox_message_free(staged->message);
}

static struct outbox_channel *channel_of(struct seriatim_client *client, struct bytes name)
{
    struct outbox_channel *channel = client->last_channel;
    if (channel != NULL && bytes_equal(outbox_channel_name(channel), name)) {
        return channel;
    }
    if (outbox_channel(&client->agent.outbox, name, &channel) != RC_OK) {
        return NULL;
    }
    client->last_channel = channel;
    return channel;
}

/* Out of memory: nobody is told but by the status, since there is no channel to name. */
static void drop_record(struct seriatim_client *client, const struct record *r, uint64_t charge)
{
    const struct seriatim_published published = {.status = SERIATIM_NOMEM,
                                                 .channel = "",
                                                 .code = "",
                                                 .text = seriatim_status_text(SERIATIM_NOMEM),
                                                 .user = r->user};
    outbox_message_free(r->message);
    give_charge(client, charge);
    if (r->ticket != NULL) {
        r->ticket->status = SERIATIM_NOMEM;
        share_flag_set(&r->ticket->told);
        ticket_unref(r->ticket);
    }
    tell_published(client, &published);
}

static uint64_t stage(struct seriatim_client *client, struct record *r)
{
    const uint8_t *key = r->bytes + r->channel_size;
    const struct wire_item item = {.key = bytes_of(key, r->key_size),
                                   .data = bytes_of(key + r->key_size, r->data_size),
                                   .has_key = (r->flags & RECORD_KEY) != 0,
                                   .is_bytes = (r->flags & RECORD_BYTES) != 0};
    const uint64_t charge = charge_of(r->channel_size, &item);
    struct outbox_channel *channel = channel_of(client, bytes_of(r->bytes, r->channel_size));
    struct outbox_message *message = r->message;
    if (channel != NULL && message == NULL) {
        message = outbox_message_make(&item);
    }
    if (channel == NULL || message == NULL) {
        drop_record(client, r, charge);
        return 0;
    }
    message->user = r->user;
    message->charge = charge;
    client->staged[client->staged_count++] =
        (struct sdk_staged){.message = message, .channel = channel, .ticket = r->ticket};
    return charge;
}

/* ---- the journal --------------------------------------------------------------------------- */

/* Channels that are new in this block; it fails as a whole. */
static enum rc add_entries(struct seriatim_client *client)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; i < client->staged_count && rc == RC_OK; i++) {
        struct outbox_channel *channel = client->staged[i].channel;
        const struct wire_item item = outbox_message_item(client->staged[i].message);
        if (channel->number == 0) {
            rc = journal_add_channel(client->journal, client->journal_channels,
                                     outbox_channel_tail(channel), outbox_channel_name(channel));
            channel->number = rc == RC_OK ? ++client->journal_channels : 0;
        }
        if (rc == RC_OK) {
            rc = journal_add_put(client->journal, channel->number - 1, &item);
        }
    }
    return rc;
}

/* The block is not there: nor are the channels that were new in it. */
static void forget_channels(struct seriatim_client *client, uint32_t known)
{
    size_t at = 0;
    struct outbox_channel *channel;
    while ((channel = outbox_next_channel(&client->agent.outbox, &at)) != NULL) {
        channel->number = channel->number > known ? 0 : channel->number;
    }
    client->journal_channels = known;
}

static enum rc each_entry(void *ctx)
{
    struct seriatim_client *client = ctx;
    size_t at = 0;
    uint32_t number = 0;
    enum rc rc = RC_OK;
    struct outbox_channel *channel;
    while (rc == RC_OK && (channel = outbox_next_channel(&client->agent.outbox, &at)) != NULL) {
        const struct outbox_message *m = NULL;
        if (channel->number == 0) {
            continue;
        }
        rc = journal_add_channel(client->journal, number, outbox_channel_head(channel),
                                 outbox_channel_name(channel));
        while (rc == RC_OK && (m = outbox_next_message(channel, m)) != NULL) {
            const struct wire_item item = outbox_message_item(m);
            rc = journal_add_put(client->journal, number, &item);
        }
        number++;
    }
    return rc;
}

static void rewrite(struct seriatim_client *client)
{
    const uint64_t size = journal_size(client->journal);
    if (size < client->rewrite_bytes || size / 4 < budget_used(&client->budget)) {
        return;
    }
    if (!journal_written(client->journal)) {
        return; /* that it has ended already is to be written first */
    }
    if (journal_rewrite(client->journal, each_entry, client) != RC_OK) {
        client->rewrite_bytes = 2 * size; /* a full disk, say: not at once again */
        return;
    }
    size_t at = 0;
    struct outbox_channel *channel;
    client->journal_channels = 0;
    while ((channel = outbox_next_channel(&client->agent.outbox, &at)) != NULL) {
        channel->number = channel->number == 0 ? 0 : ++client->journal_channels;
    }
    MARK("sdk: the outbox's file is written anew");
    client->rewrite_bytes = tune.rewrite_bytes;
}

/* Writes what was added. RC_OK: what was staged is on disk. */
static enum rc write_journal(struct seriatim_client *client)
{
    const uint32_t known = client->journal_channels;
    enum rc rc = add_entries(client);
    if (rc == RC_OK) {
        rc = journal_write(client->journal, client->staged_count > 0 || client->must_sync);
    } else {
        /* What was answered meanwhile is lost with it: it is sent again after a restart. */
        journal_discard(client->journal);
    }
    if (rc != RC_OK) {
        MARK("sdk: a block of the outbox's file is not written");
        forget_channels(client, known);
    }
    if (journal_failed(client->journal)) {
        stats_flag_set(&client->disk_failed, true);
    }
    if (rc != RC_OK && client->must_sync) {
        sdk_fail(client, "the outbox cannot be written, and a number in it has changed");
    }
    client->must_sync = false;
    return rc;
}

/* What was staged goes to the outbox, or back. */
static void hand_over(struct seriatim_client *client, enum rc rc)
{
    for (size_t i = 0; i < client->staged_count; i++) {
        struct sdk_staged *staged = &client->staged[i];
        if (rc == RC_OK) {
            outbox_add(&client->agent.outbox, staged->channel, staged->message, false);
        } else {
            refuse_staged(client, staged, rc == RC_NOMEM ? SERIATIM_NOMEM : SERIATIM_DISK);
        }
        if (staged->ticket != NULL) {
            share_flag_set(&staged->ticket->told);
            client->moved = true;
            ticket_unref(staged->ticket);
        }
    }
    client->staged_count = 0;
}

void sdk_take_published(struct seriatim_client *client)
{
    size_t size = 0;
    uint64_t bytes = 0;
    const uint64_t from = intake_taken(&client->intake);
    struct record *record;
    while (client->staged_count < tune.staged_count && bytes < tune.staged_bytes &&
           (record = intake_next(&client->intake, &size)) != NULL) {
        bytes += stage(client, record);
    }
    if (intake_taken(&client->intake) != from) {
        intake_give(&client->intake);
        client->moved = true;
    }
    enum rc rc = RC_OK;
    if (client->journal != NULL) {
        rc = write_journal(client);
    }
    hand_over(client, rc);
    if (client->journal != NULL && !journal_failed(client->journal)) {
        rewrite(client);
    }
}

/* ---- what became of it --------------------------------------------------------------------- */

static const enum seriatim_status ends[] = {
    [OUTBOX_PUBLISHED] = SERIATIM_OK,
    [OUTBOX_REFUSED] = SERIATIM_REFUSED,
    [OUTBOX_UNKNOWN] = SERIATIM_UNKNOWN,
    [OUTBOX_FENCED] = SERIATIM_FENCED,
};

static void on_done(void *ctx, struct outbox_channel *channel, struct outbox_message *message,
                    const struct outbox_result *result)
{
    struct seriatim_client *client = ctx;
    const struct seriatim_published published = {
        .status = ends[result->end],
        .channel = (const char *)outbox_channel_name(channel).data,
        .producer_seq = outbox_channel_head(channel) - 1,
        .seq = result->seq,
        .epoch = result->epoch,
        .duplicate = result->duplicate,
        .recovered = message->recovered,
        .code = result->code,
        .text = result->text,
        .user = message->user,
    };
    give_charge(client, message->charge);
    tell_published(client, &published);
    outbox_message_free(message);
}

/* That something was done may be lost, so memory may be short here without harm. */
static void on_moved(void *ctx, struct outbox_channel *channel)
{
    struct seriatim_client *client = ctx;
    if (client->journal != NULL && channel->number > 0) {
        (void)!journal_add_done(client->journal, channel->number - 1, outbox_channel_head(channel));
    }
}

static void on_dropped(void *ctx, struct outbox_channel *channel)
{
    struct seriatim_client *client = ctx;
    if (client->journal == NULL || channel->number == 0) {
        return;
    }
    client->must_sync = true;
    if (journal_add_drop(client->journal, channel->number - 1, outbox_channel_head(channel)) !=
        RC_OK) {
        sdk_fail(client, "out of memory while a number in the outbox changed");
    }
}

const struct outbox_ops sdk_outbox_ops = {
    .done = on_done, .moved = on_moved, .dropped = on_dropped};

/* ---- a start ------------------------------------------------------------------------------- */

/* What is being read: channels by their number, and their heads so far. */
struct recovery {
    struct seriatim_client *client;
    struct buf channels; /* struct outbox_channel * */
};

static struct outbox_channel *recovered_channel(const struct recovery *r, uint32_t number)
{
    struct outbox_channel *channel;
    bytes_copy(&channel, r->channels.data + number * sizeof(channel), sizeof(channel));
    return channel;
}

static enum rc recover_channel(void *ctx, uint32_t number, uint64_t head, struct bytes name)
{
    struct recovery *r = ctx;
    struct outbox_channel *channel;
    enum rc rc = outbox_channel(&r->client->agent.outbox, name, &channel);
    if (rc == RC_OK) {
        rc = buf_append(&r->channels, bytes_of(&channel, sizeof(channel)));
    }
    if (rc != RC_OK) {
        return rc;
    }
    const bool known = channel->number != 0;
    channel->number = number + 1;
    r->client->journal_channels = number + 1;
    return !known && outbox_channel_begin(channel, head) ? RC_OK : RC_BAD;
}

static enum rc recover_put(void *ctx, uint32_t number, const struct wire_item *item)
{
    struct recovery *r = ctx;
    struct outbox_channel *channel = recovered_channel(r, number);
    struct outbox_message *message = outbox_message_make(item);
    if (message == NULL) {
        return RC_NOMEM;
    }
    MARK("sdk: a message comes back after a restart");
    message->recovered = true;
    message->charge = charge_of(outbox_channel_name(channel).size, item);
    budget_force(&r->client->budget, message->charge);
    outbox_add(&r->client->agent.outbox, channel, message, true);
    return RC_OK;
}

static enum rc forget(struct recovery *r, struct outbox_channel *channel, bool keeps_number)
{
    struct outbox_message *message = outbox_forget(&r->client->agent.outbox, channel, keeps_number);
    if (message == NULL) {
        return RC_BAD;
    }
    budget_give(&r->client->budget, message->charge);
    outbox_message_free(message);
    return RC_OK;
}

static enum rc recover_done(void *ctx, uint32_t number, uint64_t head)
{
    struct recovery *r = ctx;
    struct outbox_channel *channel = recovered_channel(r, number);
    enum rc rc = head >= outbox_channel_head(channel) ? RC_OK : RC_BAD;
    while (rc == RC_OK && outbox_channel_head(channel) < head) {
        rc = forget(r, channel, false);
    }
    return rc;
}

static enum rc recover_drop(void *ctx, uint32_t number, uint64_t head)
{
    struct recovery *r = ctx;
    const enum rc rc = recover_done(ctx, number, head);
    return rc == RC_OK ? forget(r, recovered_channel(r, number), true) : rc;
}

enum rc sdk_recover(struct seriatim_client *client, bool named)
{
    static const struct journal_ops ops = {
        .channel = recover_channel, .put = recover_put, .done = recover_done, .drop = recover_drop};
    struct recovery recovery = {.client = client};
    const enum rc rc =
        journal_open(disk_storage(client->disk), bytes_of_text(client->producer),
                     client->producer_epoch, named, &ops, &recovery, &client->journal);
    buf_deinit(&recovery.channels);
    if (rc == RC_OK) {
        const struct bytes producer = journal_producer(client->journal);
        bytes_copy(client->producer, producer.data, producer.size);
        client->producer[producer.size] = '\0';
        client->producer_epoch = journal_epoch(client->journal);
    }
    return rc;
}

/* ---- to be looked at ----------------------------------------------------------------------- */

enum seriatim_status seriatim_channel_begin(struct seriatim_client *client, const char *channel,
                                            uint64_t number)
{
    const struct bytes name = bytes_of_text(channel);
    if (!wire_channel_name_valid(name) || number == 0 || number > WIRE_INTEGER_MAX) {
        return SERIATIM_BAD;
    }
    sdk_lock(client);
    struct outbox_channel *found = NULL;
    enum seriatim_status status = SERIATIM_NOMEM;
    if (outbox_channel(&client->agent.outbox, name, &found) == RC_OK) {
        /* In a file it has its number already. */
        status = found->number == 0 && outbox_channel_begin(found, number) ? SERIATIM_OK
                                                                           : SERIATIM_EXISTS;
    }
    sdk_unlock(client);
    return status;
}

void seriatim_client_pending(struct seriatim_client *client,
                             bool (*each)(void *user, const struct seriatim_pending *pending),
                             void *user)
{
    size_t at = 0;
    bool more = true;
    struct outbox_channel *channel;
    sdk_lock(client);
    while (more && (channel = outbox_next_channel(&client->agent.outbox, &at)) != NULL) {
        uint64_t number = outbox_channel_head(channel);
        const struct outbox_message *m = NULL;
        while (more && (m = outbox_next_message(channel, m)) != NULL) {
            const struct wire_item item = outbox_message_item(m);
            const struct seriatim_pending pending = {
                .channel = (const char *)outbox_channel_name(channel).data,
                .producer_seq = number++,
                .data = item.data.data,
                .data_size = item.data.size,
                .bytes = item.is_bytes,
                .key = item.has_key ? (const char *)item.key.data : NULL,
                .key_size = item.key.size,
                .recovered = m->recovered,
                .user = m->user,
            };
            more = each(user, &pending);
        }
    }
    sdk_unlock(client);
}

uint64_t seriatim_client_pending_bytes(const struct seriatim_client *client)
{
    return budget_used(&client->budget);
}
