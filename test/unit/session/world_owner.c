#include "world_owner.h"

#include "base/mem.h"
#include "wire/binary_codec.h"
#include "wire/codec.h"
#include "wire/json_codec.h"

#include <stdio.h>

enum world_kind {
    WORLD_ASK,
    WORLD_DETACH,
    WORLD_READ,
    WORLD_HISTORY,
    WORLD_DIGEST,
    WORLD_PUBLISH,
    WORLD_TAIL,
};

struct world_mail {
    struct list link;
    enum world_kind kind;
    unsigned channel;
    uint64_t handle;
    struct session_ask ask;
    struct session_answer answer;
    struct session_read read;
    struct session_history history;
    struct session_digest digest;
    struct publish_result result;
    uint64_t from;
    uint64_t latest; /* when the read began */
    enum wire_when_slow keeps;
    uint32_t count_max;
    bool reverse;
    uint64_t id;
    size_t size;
    uint32_t count;
    bool is_batch;
    struct chunk *chunk;
    struct buf elements;
};

struct world_chunk {
    struct chunk chunk; /* first: what sessions see */
    struct buf bytes;
    struct buf ends;
    struct buf steps;
    unsigned refs;
};

/* ---- messages ---------------------------------------------------------------------------------
 */

uint64_t world_message_id(uint64_t seq)
{
    return 7000000 + seq;
}

uint64_t world_time(uint64_t seq)
{
    return 1000 + 10 * seq;
}

void world_data(unsigned channel, uint64_t seq, char data[static WORLD_DATA_SIZE])
{
    static const char pad[] = "xxxxxxxxxxxxxxxxxxxx";
    (void)snprintf(data, WORLD_DATA_SIZE, "%u:%llu:%.*s", channel, (unsigned long long)seq,
                   (int)(seq * 7 % 19), pad);
}

const char *world_key(uint64_t seq)
{
    static const char *const keys[] = {"a", "b", "c"};
    return seq % 4 == 0 ? NULL : keys[seq / 4 % 3];
}

/* A frame, or an element of a history. */
static void encode_message(struct world *w, unsigned channel, uint64_t seq, bool frame,
                           struct buf *to)
{
    char data[WORLD_DATA_SIZE];
    char quoted[WORLD_DATA_SIZE + 2];
    struct buf scratch = {0};
    const char *key = world_key(seq);
    world_data(channel, seq, data);
    (void)snprintf(quoted, sizeof(quoted), "\"%s\"", data);
    const struct wire_message message = {
        .channel = bytes_of_text(w->channels[channel].name),
        .seq = seq,
        .message_id = world_message_id(seq),
        .time_ms = world_time(seq),
        .key = bytes_of_text(key == NULL ? "" : key),
        .has_key = key != NULL,
        .data = bytes_of_text(quoted),
    };
    const bool json = w->limits.codec == WIRE_JSON;
    ASSERT((frame  ? codec_encode_message_frame(w->limits.codec, to, &message, &scratch)
            : json ? json_encode_message(to, &message, false)
                   : binary_encode_element(to, &message)) == RC_OK);
    buf_deinit(&scratch);
}

/* The run from … to, as the owner or the reader thread encodes it. */
static struct chunk *chunk_new(struct world *w, unsigned channel, uint64_t from, uint64_t to,
                               size_t bytes_max)
{
    struct world_chunk *made = mem_calloc(1, sizeof(*made));
    ASSERT(made != NULL);
    made->refs = 1;
    made->chunk.first_seq = from;
    for (uint64_t seq = from; seq <= to && made->bytes.size < bytes_max; seq++) {
        encode_message(w, channel, seq, true, &made->bytes);
        const uint32_t end = (uint32_t)made->bytes.size;
        ASSERT(buf_append(&made->ends, bytes_of(&end, sizeof(end))) == RC_OK);
        made->chunk.count++;
    }
    made->chunk.bytes = made->bytes.data;
    made->chunk.ends = (const uint32_t *)(const void *)made->ends.data;
    w->chunks_live++;
    return &made->chunk;
}

/* ---- sparse runs ------------------------------------------------------------------------------
 */

static void sparse_frame(struct world_chunk *made, uint64_t step)
{
    const uint32_t end = (uint32_t)made->bytes.size;
    ASSERT(buf_append(&made->ends, bytes_of(&end, sizeof(end))) == RC_OK);
    ASSERT(buf_append(&made->steps, bytes_of(&step, sizeof(step))) == RC_OK);
    made->chunk.count++;
    made->chunk.bytes = made->bytes.data;
    made->chunk.ends = (const uint32_t *)(const void *)made->ends.data;
    made->chunk.steps = (const uint64_t *)(const void *)made->steps.data;
}

static void sparse_gap(struct world *w, struct world_chunk *made, unsigned channel, uint64_t to,
                       const char *reason)
{
    struct buf text = {0};
    const struct wire_notice notice = {
        .channel = bytes_of_text(w->channels[channel].name),
        .reason = reason,
        .has_range = true,
        .from = chunk_cursor(&made->chunk, made->chunk.count),
        .to = to,
    };
    ASSERT(codec_encode_gap(w->limits.codec, &text, &notice) == RC_OK);
    ASSERT(ws_frame_append(&made->bytes, codec_opcode(w->limits.codec), buf_bytes(&text)) == RC_OK);
    buf_deinit(&text);
    sparse_frame(made, (to + 1) | CHUNK_GAP);
}

/* Whether message `seq` is replaced by a later one up to `end`. */
static bool is_replaced(uint64_t seq, uint64_t end)
{
    const char *key = world_key(seq);
    for (uint64_t later = seq + 1; key != NULL && later <= end; later++) {
        const char *other = world_key(later);
        if (other != NULL && strcmp(other, key) == 0) {
            return true;
        }
    }
    return false;
}

/* Of from … end the newest, or the newest of each key `count_max` of them at most. */
static struct chunk *sparse_new(struct world *w, const struct world_mail *mail, uint64_t end)
{
    const bool skips = mail->keeps == WIRE_SKIP;
    struct world_chunk *made = mem_calloc(1, sizeof(*made));
    ASSERT(made != NULL);
    made->refs = 1;
    made->chunk.first_seq = mail->from;
    uint32_t count = 0;
    for (uint64_t seq = skips ? end : mail->from; seq <= end && count < mail->count_max; seq++) {
        if (is_replaced(seq, end)) {
            continue;
        }
        count++;
        if (seq > chunk_cursor(&made->chunk, made->chunk.count)) {
            sparse_gap(w, made, mail->channel, seq - 1, skips ? "slow" : "conflated");
        }
        encode_message(w, mail->channel, seq, true, &made->bytes);
        sparse_frame(made, seq + 1);
    }
    w->chunks_live++;
    return &made->chunk;
}

static void chunk_unref(void *ctx, struct chunk *chunk)
{
    struct world *w = ctx;
    struct world_chunk *made = (struct world_chunk *)chunk;
    ASSERT(made->refs == 1); /* one reactor: a reference each */
    made->refs = 0;
    buf_deinit(&made->bytes);
    buf_deinit(&made->ends);
    buf_deinit(&made->steps);
    mem_free(made);
    ASSERT(w->chunks_live > 0);
    w->chunks_live--;
}

/* ---- what sessions ask ------------------------------------------------------------------------
 */

static struct world_client *client_of(struct session *session)
{
    return session_user(session);
}

static unsigned channel_find(const struct world *w, const char *name)
{
    unsigned i = 0;
    while (i < w->channel_count && strcmp(w->channels[i].name, name) != 0) {
        i++;
    }
    return i;
}

unsigned world_channel(struct world *w, const char *name)
{
    const unsigned found = channel_find(w, name);
    if (found < w->channel_count) {
        return found;
    }
    ASSERT(w->channel_count < WORLD_CHANNELS_MAX);
    struct world_channel *made = &w->channels[w->channel_count];
    (void)snprintf(made->name, sizeof(made->name), "%s", name);
    made->earliest = 1;
    list_init(&made->requests);
    list_init(&made->waiting);
    list_init(&made->jobs);
    list_init(&made->mails);
    return w->channel_count++;
}

/* A request to the channel's owner, or NULL: out of memory, also where the world has no room. */
static struct world_mail *request(struct world *w, struct bytes name, enum world_kind kind)
{
    char text[CHANNEL_NAME_BYTES_MAX + 1] = "";
    ASSERT(name.size > 0 && name.size <= CHANNEL_NAME_BYTES_MAX);
    bytes_copy(text, name.data, name.size);
    ASSERT(memchr(text, 0, name.size) == NULL);
    if (channel_find(w, text) == WORLD_CHANNELS_MAX) {
        return NULL;
    }
    struct world_mail *mail = mem_calloc(1, sizeof(*mail));
    if (mail != NULL) {
        mail->kind = kind;
        mail->channel = world_channel(w, text);
        list_push_back(&w->channels[mail->channel].requests, &mail->link);
    }
    return mail;
}

static enum rc on_publish(void *ctx, struct session *session, const struct command_publish *head,
                          const struct command_message *messages, uint64_t id, size_t size)
{
    struct world *w = ctx;
    ASSERT(head->count > 0);
    ASSERT(messages != NULL);
    if (w->publish_full) {
        return RC_FULL;
    }
    struct world_mail *mail = request(w, head->channel, WORLD_PUBLISH);
    if (mail == NULL) {
        return RC_NOMEM;
    }
    mail->handle = client_of(session)->handle;
    mail->id = id;
    mail->size = size;
    mail->count = head->count;
    mail->is_batch = head->is_batch;
    return RC_OK;
}

static enum rc on_subscribe(void *ctx, struct session *session, const struct session_ask *ask)
{
    struct world_mail *mail = request(ctx, ask->channel, WORLD_ASK);
    if (mail == NULL) {
        return RC_NOMEM;
    }
    mail->handle = client_of(session)->handle;
    mail->ask = *ask;
    return RC_OK;
}

static void on_detach(void *ctx, const struct feed *feed)
{
    struct world *w = ctx;
    w->detach_count++;
    (void)request(w, feed->name, WORLD_DETACH); /* NULL: the tail goes on coming, for no feed */
}

static enum rc on_read(void *ctx, struct session *session, const struct subscription *sub,
                       uint64_t from, uint32_t count_max)
{
    struct world *w = ctx;
    ASSERT(count_max > 0);
    if (w->read_nomem) {
        return RC_NOMEM;
    }
    struct world_mail *mail = request(w, sub->feed->name, WORLD_READ);
    if (mail == NULL) {
        return RC_NOMEM;
    }
    mail->handle = client_of(session)->handle;
    mail->read.sub_id = sub->id;
    mail->from = from;
    mail->count_max = count_max;
    mail->keeps = subscription_keeps(sub);
    w->marks.reads++;
    return RC_OK;
}

static enum rc on_history(void *ctx, struct session *session, const struct wire_command *command)
{
    struct world_mail *mail = request(ctx, command->channel, WORLD_HISTORY);
    if (mail == NULL) {
        return RC_NOMEM;
    }
    mail->handle = client_of(session)->handle;
    mail->id = command->id;
    mail->from = command->has_history_from ? command->history_from : 0;
    mail->count_max = command->limit;
    return RC_OK;
}

static enum rc on_digest(void *ctx, struct session *session, const struct wire_command *command)
{
    struct world_mail *mail = request(ctx, command->channel, WORLD_DIGEST);
    if (mail == NULL) {
        return RC_NOMEM;
    }
    mail->handle = client_of(session)->handle;
    mail->id = command->id;
    mail->from = command->has_seq ? command->seq : UINT64_MAX;
    return RC_OK;
}

static void on_wake(void *ctx, struct session *session)
{
    (void)ctx;
    client_of(session)->woken = true;
}

const struct session_ops world_session_ops = {
    .publish = on_publish,
    .subscribe = on_subscribe,
    .detach = on_detach,
    .read = on_read,
    .history = on_history,
    .digest = on_digest,
    .wake = on_wake,
    .chunk_unref = chunk_unref,
};

/* ---- the owner --------------------------------------------------------------------------------
 */

static struct position position_of(const struct world_channel *at)
{
    return (struct position){.epoch = WORLD_EPOCH, .earliest = at->earliest, .latest = at->latest};
}

void world_publish(struct world *w, unsigned channel, uint32_t count, uint32_t per_chunk)
{
    struct world_channel *at = &w->channels[channel];
    while (count > 0) {
        const uint32_t part = count < per_chunk ? count : per_chunk;
        const uint64_t first = at->latest + 1;
        at->latest += part;
        count -= part;
        if (at->watched) {
            struct world_mail *mail = mem_calloc(1, sizeof(*mail));
            ASSERT(mail != NULL);
            mail->kind = WORLD_TAIL;
            mail->channel = channel;
            mail->chunk = chunk_new(w, channel, first, at->latest, SIZE_MAX);
            list_push_back(&at->mails, &mail->link);
        }
    }
}

void world_trim(struct world *w, unsigned channel, uint64_t earliest)
{
    struct world_channel *at = &w->channels[channel];
    ASSERT(earliest <= at->latest + 1);
    if (earliest > at->earliest) {
        at->earliest = earliest;
    }
}

static void mail_free(struct world *w, struct world_mail *mail)
{
    if (mail->chunk != NULL) {
        chunk_unref(w, mail->chunk);
    }
    buf_deinit(&mail->elements);
    mem_free(mail);
}

static enum position_verdict judge(const struct world_channel *at, const struct session_ask *ask)
{
    ASSERT(!ask->has_epoch || ask->epoch != 0); /* a channel's is never 0 */
    if (ask->from == WIRE_FROM_EPOCH_SEQ && (!ask->has_epoch || ask->epoch != WORLD_EPOCH)) {
        return POSITION_EPOCH;
    }
    if (ask->seq < at->earliest) {
        return POSITION_TRIMMED;
    }
    return ask->seq > at->latest + 1 ? POSITION_AHEAD : POSITION_OK;
}

static uint64_t next_by_time(const struct world_channel *at, uint64_t time_ms)
{
    uint64_t seq = at->earliest;
    while (seq <= at->latest && world_time(seq) < time_ms) {
        seq++;
    }
    return seq;
}

static uint64_t next_by_seq(const struct world_channel *at, const struct session_ask *ask,
                            enum position_verdict verdict)
{
    switch (verdict) {
    case POSITION_OK: return ask->seq;
    case POSITION_TRIMMED:
    case POSITION_EPOCH: return at->earliest;
    case POSITION_AHEAD: return at->latest + 1;
    }
    UNREACHABLE();
}

static void answer(struct world *w, struct world_mail *mail)
{
    struct world_channel *at = &w->channels[mail->channel];
    struct session_answer *give = &mail->answer;
    *give = (struct session_answer){
        .feed_id = mail->ask.feed_id,
        .sub_id = mail->ask.sub_id,
        .channel = bytes_of_text(at->name),
        .position = position_of(at),
    };
    switch (mail->ask.from) {
    case WIRE_FROM_LATEST: give->next = at->latest + 1; break;
    case WIRE_FROM_EARLIEST: give->next = at->earliest; break;
    case WIRE_FROM_SEQ:
    case WIRE_FROM_EPOCH_SEQ:
        give->verdict = judge(at, &mail->ask);
        give->next = next_by_seq(at, &mail->ask, give->verdict);
        break;
    case WIRE_FROM_TIME:
        give->next = next_by_time(at, mail->ask.time_ms);
        give->failed = w->fail_reads;
        break;
    }
    at->watched = at->watched || !give->failed;
    list_push_back(&at->mails, &mail->link);
}

static struct world_mail *pop(struct list *list)
{
    struct list *node = list_pop_front(list);
    return node == NULL ? NULL : CONTAINER_OF(node, struct world_mail, link);
}

static void publish_result(struct world *w, struct world_mail *mail)
{
    struct world_channel *at = &w->channels[mail->channel];
    mail->result = w->verdict;
    mail->result.channel = bytes_of_text(at->name);
    mail->result.is_batch = mail->is_batch;
    mail->result.count = mail->count;
    mail->result.epoch = WORLD_EPOCH;
    if (mail->result.verdict == PUBLISH_ACCEPTED) {
        mail->result.has_seq = true;
        mail->result.seq = at->latest + 1;
        mail->result.message_id = world_message_id(at->latest + 1);
        world_publish(w, mail->channel, mail->count, mail->count);
    }
    list_push_back(&at->mails, &mail->link);
}

bool world_request(struct world *w, unsigned channel)
{
    struct world_channel *at = &w->channels[channel];
    struct world_mail *mail = pop(&at->requests);
    if (mail == NULL) {
        return false;
    }
    switch (mail->kind) {
    case WORLD_DETACH:
        at->watched = false;
        mail_free(w, mail);
        break;
    case WORLD_PUBLISH: publish_result(w, mail); break;
    case WORLD_ASK:
    case WORLD_READ:
    case WORLD_HISTORY:
    case WORLD_DIGEST: list_push_back(&at->waiting, &mail->link); break;
    case WORLD_TAIL: UNREACHABLE();
    }
    return true;
}

/* A read learns first whether its cursor is still good, and where the end is. */
static void read_prepare(struct world_channel *at, struct world_mail *mail)
{
    mail->latest = at->latest;
    const bool skips = mail->keeps == WIRE_SKIP && at->earliest <= at->latest;
    if (mail->kind == WORLD_READ && mail->from < at->earliest && !skips) {
        mail->read.trimmed = true;
        mail->read.position = position_of(at);
        list_push_back(&at->mails, &mail->link);
        return;
    }
    ASSERT(mail->kind != WORLD_READ || mail->from <= at->latest); /* never asks for what is not */
    list_push_back(&at->jobs, &mail->link);
}

bool world_waiting(struct world *w, unsigned channel)
{
    struct world_channel *at = &w->channels[channel];
    struct world_mail *mail = pop(&at->waiting);
    if (mail == NULL) {
        return false;
    }
    if (mail->kind == WORLD_ASK && mail->ask.from != WIRE_FROM_TIME) {
        answer(w, mail);
    } else {
        read_prepare(at, mail);
    }
    return true;
}

static void read_done(struct world *w, struct world_mail *mail)
{
    struct world_channel *at = &w->channels[mail->channel];
    struct session_read *give = &mail->read;
    give->position = position_of(at);
    uint64_t end = mail->from + mail->count_max - 1;
    end = end > mail->latest || mail->keeps != WIRE_CATCH_UP ? mail->latest : end;
    if (mail->keeps == WIRE_SKIP && at->damaged_from <= end && end <= at->damaged_to &&
        mail->from < at->damaged_from) {
        end = at->damaged_from - 1; /* the naive owner skips to before the damage */
    }
    if (w->fail_reads) {
        give->rc = RC_IO;
        w->marks.reads_failed++;
    } else if (at->damaged_from > 0 && mail->from >= at->damaged_from &&
               mail->from <= at->damaged_to) {
        give->damaged_end = at->damaged_to + 1;
    } else if (mail->keeps == WIRE_SKIP) {
        mail->chunk = sparse_new(w, mail, end);
    } else {
        if (at->damaged_from > mail->from && end >= at->damaged_from) {
            end = at->damaged_from - 1;
        }
        if (mail->keeps == WIRE_CONFLATE) {
            mail->chunk = sparse_new(w, mail, end);
            list_push_back(&at->mails, &mail->link);
            return;
        }
        mail->chunk = chunk_new(w, mail->channel, mail->from, end, w->limits.read_bytes_max);
    }
    list_push_back(&at->mails, &mail->link);
}

static void history_done(struct world *w, struct world_mail *mail)
{
    struct world_channel *at = &w->channels[mail->channel];
    const uint64_t from = mail->from < at->earliest ? at->earliest : mail->from;
    uint64_t seq = from;
    for (; seq <= mail->latest && seq - from < mail->count_max; seq++) {
        if (seq > from && w->limits.codec == WIRE_JSON) {
            ASSERT(buf_append(&mail->elements, BYTES_LITERAL(",")) == RC_OK);
        }
        encode_message(w, mail->channel, seq, false, &mail->elements);
    }
    mail->history = (struct session_history){
        .id = mail->id,
        .channel = bytes_of_text(at->name),
        .rc = w->fail_reads ? RC_IO : RC_OK,
        .position = position_of(at),
        .messages = buf_bytes(&mail->elements),
        .more = seq <= at->latest,
    };
    list_push_back(&at->mails, &mail->link);
}

static uint64_t world_digest_of(unsigned channel, uint64_t seq)
{
    return (channel + 1) * UINT64_C(0x1000000000000000) + seq;
}

static void digest_done(struct world *w, struct world_mail *mail)
{
    struct world_channel *at = &w->channels[mail->channel];
    const uint64_t seq = mail->from == UINT64_MAX ? mail->latest : mail->from;
    mail->digest = (struct session_digest){
        .id = mail->id,
        .channel = bytes_of_text(at->name),
        .rc = w->fail_reads ? RC_IO : RC_OK,
        .missing = seq + 1 < at->earliest ? "trimmed"
                   : seq > at->latest     ? "ahead"
                                          : NULL,
        .position = position_of(at),
        .seq = seq,
        .digest = world_digest_of(mail->channel, seq),
    };
    list_push_back(&at->mails, &mail->link);
}

unsigned world_job_count(const struct world *w, unsigned channel)
{
    const struct world_channel *at = &w->channels[channel];
    unsigned count = 0;
    for (const struct list *node = at->jobs.next; node != &at->jobs; node = node->next) {
        count++;
    }
    return count;
}

bool world_job(struct world *w, unsigned channel, unsigned nth)
{
    struct world_channel *at = &w->channels[channel];
    struct list *node = at->jobs.next;
    while (nth > 0 && node != &at->jobs) {
        node = node->next;
        nth--;
    }
    if (node == &at->jobs) {
        return false;
    }
    list_remove(node);
    struct world_mail *mail = CONTAINER_OF(node, struct world_mail, link);
    if (mail->kind == WORLD_ASK) {
        answer(w, mail);
    } else if (mail->kind == WORLD_READ) {
        read_done(w, mail);
    } else if (mail->kind == WORLD_DIGEST) {
        digest_done(w, mail);
    } else {
        history_done(w, mail);
    }
    return true;
}

/* ---- mail arrives -----------------------------------------------------------------------------
 */

static struct world_client *client_find(struct world *w, uint64_t handle)
{
    for (unsigned i = 0; i < WORLD_CLIENTS_MAX; i++) {
        if (w->clients[i].session != NULL && w->clients[i].handle == handle) {
            return &w->clients[i];
        }
    }
    w->marks.late++;
    return NULL;
}

static void deliver_tail(struct world *w, struct world_mail *mail)
{
    struct feed *feed =
        feed_find(&w->feeds, w->limits.codec, bytes_of_text(w->channels[mail->channel].name));
    if (feed != NULL) {
        struct chunk *chunk = mail->chunk;
        mail->chunk = NULL; /* the reference goes to the feed */
        world_enter(w);
        feed_on_chunk(&w->feeds, feed, chunk);
        world_leave(w);
    }
}

static enum rc deliver_read(struct world *w, struct world_client *client, struct world_mail *mail)
{
    mail->read.channel = bytes_of_text(w->channels[mail->channel].name);
    mail->read.chunk = mail->chunk;
    mail->chunk = NULL; /* the reference goes to the session */
    w->marks.reads_trimmed += mail->read.trimmed;
    w->marks.reads_damaged += mail->read.damaged_end > 0;
    return session_on_read(client->session, &mail->read);
}

static enum rc deliver_to(struct world *w, struct world_client *client, struct world_mail *mail)
{
    switch (mail->kind) {
    case WORLD_ASK: return session_on_subscribed(client->session, &mail->answer);
    case WORLD_READ: return deliver_read(w, client, mail);
    case WORLD_HISTORY: return session_on_history(client->session, &mail->history);
    case WORLD_DIGEST: return session_on_digest(client->session, &mail->digest);
    case WORLD_PUBLISH:
        return session_on_published(client->session, mail->id, &mail->result, mail->size);
    case WORLD_TAIL:
    case WORLD_DETACH: break;
    }
    UNREACHABLE();
}

bool world_deliver(struct world *w, unsigned channel)
{
    struct world_mail *mail = pop(&w->channels[channel].mails);
    if (mail == NULL) {
        return false;
    }
    struct world_client *client = mail->kind == WORLD_TAIL ? NULL : client_find(w, mail->handle);
    if (mail->kind == WORLD_TAIL) {
        deliver_tail(w, mail);
    } else if (client != NULL) {
        world_enter(w);
        const enum rc rc = deliver_to(w, client, mail);
        world_leave(w);
        world_check(client, rc);
    }
    mail_free(w, mail);
    return true;
}

void world_owners_run(struct world *w)
{
    bool moved = true;
    while (moved) {
        moved = false;
        for (unsigned i = 0; i < w->channel_count; i++) {
            moved = world_request(w, i) || moved;
            moved = world_waiting(w, i) || moved;
            moved = world_job(w, i, 0) || moved;
            moved = world_deliver(w, i) || moved;
        }
    }
}

bool world_owners_busy(const struct world *w)
{
    for (unsigned i = 0; i < w->channel_count; i++) {
        const struct world_channel *at = &w->channels[i];
        if (!list_empty(&at->requests) || !list_empty(&at->waiting) || !list_empty(&at->jobs) ||
            !list_empty(&at->mails)) {
            return true;
        }
    }
    return false;
}

void world_owners_clear(struct world *w)
{
    for (unsigned i = 0; i < w->channel_count; i++) {
        struct world_channel *at = &w->channels[i];
        struct list *const lists[] = {&at->requests, &at->waiting, &at->jobs, &at->mails};
        for (unsigned k = 0; k < sizeof(lists) / sizeof(lists[0]); k++) {
            struct world_mail *mail;
            while ((mail = pop(lists[k])) != NULL) {
                mail_free(w, mail);
            }
        }
    }
}
