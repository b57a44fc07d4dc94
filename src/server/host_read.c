/* Subscriptions and reads at the owner: judged against the state, done by the reader thread,
 * answered in order.
 *
 * Commands of a connection are carried out in the order sent ([P 2]), but a publish takes effect
 * only once it is committed. So what comes behind publishes waits (the barrier) until all that was
 * appended before it has been applied.
 *
 * A subscribe that needs no search in the log is answered at its barrier exactly, if need be
 * between two records of one batch: what the same connection publishes behind it is a message for
 * it, also from `latest`. Reads and searches wait for the end of the batch; that they see more is
 * no harm. */
#include "base/mark.h"
#include "base/mem.h"
#include "base/tune.h"
#include "core/command.h"
#include "core/digest.h"
#include "server/host_private.h"
#include "server/logger.h"
#include "wire/binary_codec.h"
#include "wire/json_codec.h"

static void send_back(struct host *host, struct mail *mail, enum mail_kind kind)
{
    const unsigned to = mail->from;
    mail->kind = kind;
    mesh_send(&host->server->mesh, host->reactor->index, to, mail);
}

/* ---- subscribe ------------------------------------------------------------------------------- */

static struct topic *topic_open(struct host *host, struct bytes name)
{
    struct topic *topic = map_find(&host->topics, name);
    if (topic != NULL) {
        return topic;
    }
    topic = mem_calloc(1, sizeof(*topic) + name.size);
    if (topic == NULL) {
        return NULL;
    }
    uint8_t *copy = (uint8_t *)(topic + 1);
    bytes_copy(copy, name.data, name.size);
    topic->name = bytes_of(copy, name.size);
    list_init(&topic->open_link);
    struct channel *channel = partition_channel_find(host->partition, name);
    if (map_insert(&host->topics, topic) != RC_OK) {
        mem_free(topic);
        return NULL;
    }
    if (channel != NULL && partition_user_set(host->partition, channel, topic) != RC_OK) {
        (void)map_remove(&host->topics, name);
        mem_free(topic);
        return NULL;
    }
    return topic;
}

static bool is_watched(const struct topic *topic)
{
    bool watched = false;
    for (unsigned codec = 0; codec < WIRE_CODEC_COUNT; codec++) {
        ASSERT(topic->open[codec] == NULL);
        watched = watched || topic->watchers[codec] != 0;
    }
    return watched;
}

void host_on_detach(struct host *host, struct mail_channel *mail)
{
    struct topic *topic = map_find(&host->topics, mail->channel);
    if (topic != NULL) {
        topic->watchers[mail->codec] &= ~(UINT64_C(1) << mail->mail.from);
        topic->deflated[mail->codec] &= topic->watchers[mail->codec];
        if (is_watched(topic)) {
            MARK("host: a channel is still followed elsewhere, or in the other codec");
        } else {
            struct channel *channel = partition_channel_find(host->partition, topic->name);
            if (channel != NULL) {
                MARK("host: nobody follows a channel any more");
                const enum rc rc = partition_user_set(host->partition, channel, NULL);
                ASSERT(rc == RC_OK); /* it has had one */
            }
            (void)map_remove(&host->topics, topic->name);
            mem_free(topic);
        }
    }
    mail_free(&mail->mail);
}

/* From this answer on the tail goes to the asking reactor: both take the same way, so nothing can
 * come between. */
static void answer(struct host *host, struct mail_ask *ask)
{
    struct topic *topic = topic_open(host, ask->ask.channel);
    if (topic == NULL) {
        ask->answer.failed = true;
    } else {
        host_topic_flush(host, topic); /* to those who were there before; then comes the answer */
        topic->watchers[ask->ask.codec] |= UINT64_C(1) << ask->mail.from;
        topic->deflated[ask->ask.codec] |= (uint64_t)ask->ask.deflated << ask->mail.from;
    }
    send_back(host, &ask->mail, MAIL_ANSWER);
}

static void answer_prepare(struct host *host, struct mail_ask *ask)
{
    ask->answer = (struct session_answer){
        .feed_id = ask->ask.feed_id,
        .sub_id = ask->ask.sub_id,
        .channel = ask->ask.channel,
        .verdict = POSITION_OK,
        .position = partition_position(host->partition, ask->ask.channel),
    };
}

static void answer_seq(struct host *host, struct mail_ask *ask)
{
    const struct session_ask *want = &ask->ask;
    struct session_answer *give = &ask->answer;
    if (want->from == WIRE_FROM_EPOCH_SEQ && !want->has_epoch) {
        MARK("subscribe: an epoch that is none of ours");
        give->verdict = POSITION_EPOCH; /* no epoch that we could have given */
    } else {
        give->verdict = partition_position_judge(host->partition, want->channel, want->has_epoch,
                                                 want->epoch, want->seq);
    }
    switch (give->verdict) {
    case POSITION_OK: give->next = want->seq; break;
    case POSITION_TRIMMED:
    case POSITION_EPOCH: give->next = give->position.earliest; break;
    case POSITION_AHEAD: give->next = give->position.latest + 1; break;
    }
    answer(host, ask);
}

static void answer_time(struct host *host, struct mail_ask *ask);

static void time_run(struct job *job)
{
    struct mail_ask *ask = CONTAINER_OF(job, struct mail_ask, job);
    file_log_read_do(ask->host->log, &ask->read);
}

static void time_done(struct job *job)
{
    struct mail_ask *ask = CONTAINER_OF(job, struct mail_ask, job);
    struct host *host = ask->host;
    host->reads_out--;
    file_log_read_end(host->log, &ask->read);
    answer_prepare(host, ask);
    if (ask->read.rc == RC_NOT_FOUND) {
        answer_time(host, ask); /* retention was faster: search in what is left */
    } else if (ask->read.rc != RC_OK) {
        MARK("subscribe: by time, and the log cannot be read");
        ask->answer.failed = true;
        send_back(host, &ask->mail, MAIL_ANSWER);
    } else {
        const uint64_t earliest = ask->answer.position.earliest;
        MARK_IF(ask->read.ret_seq <= earliest, "subscribe: by time, from the earliest on");
        MARK_IF(ask->read.ret_seq > earliest, "subscribe: by time, in the history");
        ask->answer.next = ask->read.ret_seq > earliest ? ask->read.ret_seq : earliest;
        answer(host, ask);
    }
    host_waiting_run(host);
}

/* [P 3] {"time":ms}: the first message not older is searched in the log. */
static void answer_time(struct host *host, struct mail_ask *ask)
{
    struct channel *channel = partition_channel_find(host->partition, ask->ask.channel);
    ask->answer.next = ask->answer.position.latest + 1;
    if (channel == NULL || channel->earliest > channel->latest ||
        channel->last_time_ms < ask->ask.time_ms) {
        MARK("subscribe: by time, and nothing is as new");
        answer(host, ask);
        return;
    }
    ask->read = (struct log_read){
        .kind = LOG_READ_TIME,
        .channel_id = channel->id,
        .seq = channel->earliest,
        .earliest = channel->earliest,
        .latest = channel->latest,
        .time_ms = ask->ask.time_ms,
    };
    if (file_log_read_begin(host->log, &ask->read) != RC_OK) {
        ask->answer.failed = true;
        send_back(host, &ask->mail, MAIL_ANSWER);
        return;
    }
    host->reads_out++;
    ask->host = host;
    ask->job = (struct job){.run = time_run, .done = time_done};
    worker_submit(&host->server->reader, host->reactor->index, &ask->job);
}

static void ask_run(struct host *host, struct mail_ask *ask)
{
    answer_prepare(host, ask);
    switch (ask->ask.from) {
    case WIRE_FROM_LATEST:
        ask->answer.next = ask->answer.position.latest + 1;
        answer(host, ask);
        return;
    case WIRE_FROM_EARLIEST:
        ask->answer.next = ask->answer.position.earliest;
        answer(host, ask);
        return;
    case WIRE_FROM_SEQ:
    case WIRE_FROM_EPOCH_SEQ: answer_seq(host, ask); return;
    case WIRE_FROM_TIME: answer_time(host, ask); return;
    }
    UNREACHABLE();
}

/* ---- reads, on the reader thread ------------------------------------------------------------- */

static enum rc chunk_begin(struct mail_read *read)
{
    if (read->chunk == NULL) {
        read->chunk = shared_chunk_new(read->codec, read->channel, read->from);
        if (read->chunk == NULL) {
            return RC_NOMEM;
        }
        read->chunk->sparse = read->keeps != WIRE_CATCH_UP;
    }
    return RC_OK;
}

/* [P 7] Tells of what comes before `end` and is left out, if anything is. */
static enum rc add_gap(struct mail_read *read, uint64_t end)
{
    if (end == chunk_cursor(&read->chunk->chunk, read->chunk->chunk.count)) {
        return RC_OK;
    }
    MARK_IF(read->keeps == WIRE_SKIP, "read: what is skipped is told");
    MARK_IF(read->keeps == WIRE_CONFLATE, "read: what is conflated is told");
    ASSERT(read->keeps != WIRE_CATCH_UP); /* I1 */
    return shared_chunk_add_gap(read->chunk, end - 1,
                                read->keeps == WIRE_SKIP ? "slow" : "conflated", &read->encode);
}

static enum rc add_frame(struct mail_read *read, const struct wire_message *message)
{
    enum rc rc = chunk_begin(read);
    if (rc == RC_OK) {
        rc = add_gap(read, message->seq);
    }
    return rc == RC_OK ? shared_chunk_add(read->chunk, message, &read->encode) : rc;
}

/* Nothing could be read but what was to be left out: that is told, and the next read comes to the
 * damage itself. */
static void add_gap_alone(struct mail_read *read)
{
    if (read->damaged[0].from > read->from && chunk_begin(read) == RC_OK) {
        MARK("read: what one skips to is damaged");
        read->count = add_gap(read, read->damaged[0].from) == RC_OK;
    }
}

/* [P 3] history: at most 1 MiB a reply, always at least one message. */
static enum rc add_element(struct mail_read *read, const struct wire_message *message)
{
    const bool json = read->codec == WIRE_JSON;
    const enum rc rc = json ? json_encode_message(&read->encode, message, false)
                            : binary_encode_element(&read->encode, message);
    if (rc != RC_OK) {
        return rc;
    }
    if (read->count > 0 && read->elements.size + read->encode.size + 1 > read->bytes_max) {
        MARK("history: its bytes are full");
        buf_clear(&read->encode);
        return RC_END;
    }
    if (buf_reserve(&read->elements, read->encode.size + 1) != RC_OK) {
        return RC_NOMEM;
    }
    if (read->count > 0 && json) {
        buf_put_u8(&read->elements, ',');
    }
    buf_put(&read->elements, read->encode.data, read->encode.size);
    buf_clear(&read->encode);
    return RC_OK;
}

static bool is_full(const struct mail_read *read)
{
    MARK_IF(read->count == read->count_max, "read: has as many messages as it may");
    const size_t bytes = read->chunk != NULL ? read->chunk->bytes_.size : read->elements.size;
    MARK_IF(bytes >= read->bytes_max, "read: has as many bytes as it may");
    return read->count == read->count_max || bytes >= read->bytes_max;
}

static enum rc add(struct mail_read *read, const struct command_publish *publish,
                   const struct command_message *message, uint64_t first_seq, uint32_t nth)
{
    struct wire_message wire;
    frames_message(&wire, publish, message, first_seq, nth, read->node);
    read->seen = wire.seq + 1;
    if (read->looking) {
        return conflate_look(&read->conflate, &wire);
    }
    if (read->keeps == WIRE_CONFLATE && !conflate_keeps(&read->conflate, &wire)) {
        return RC_OK;
    }
    const enum rc rc =
        read->purpose == READ_CATCH_UP ? add_frame(read, &wire) : add_element(read, &wire);
    if (rc != RC_OK) {
        return rc;
    }
    read->count++;
    read->next = read->reverse ? wire.seq - 1 : wire.seq + 1;
    return is_full(read) ? RC_END : RC_OK;
}

static enum rc record_forward(struct mail_read *read, const struct command_publish *publish,
                              uint64_t first_seq)
{
    struct bytes rest = publish->messages;
    struct command_message message;
    for (uint32_t nth = 0; command_message_next(&rest, &message); nth++) {
        if (first_seq + nth < read->read.seq || first_seq + nth > read->read.latest) {
            continue;
        }
        MARK_IF(nth > 0 && read->count == 0, "read: begins in the middle of a batch");
        const enum rc rc = add(read, publish, &message, first_seq, nth);
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

/* The messages of a record lie in ascending order: the n-th is found by walking to it. A batch of
 * 1000 read backwards walks half a million steps at worst, once per 1000 messages. */
static enum rc record_backward(struct mail_read *read, const struct command_publish *publish,
                               uint64_t first_seq)
{
    for (uint32_t left = publish->count; left > 0; left--) {
        const uint64_t seq = first_seq + left - 1;
        if (seq > read->read.seq || seq < read->read.earliest) {
            continue;
        }
        struct bytes rest = publish->messages;
        struct command_message message;
        for (uint32_t i = 0; i < left; i++) {
            (void)command_message_next(&rest, &message);
        }
        MARK("history: backwards in a batch");
        const enum rc rc = add(read, publish, &message, first_seq, left - 1);
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

static enum rc read_record(void *ctx, const struct record *record, uint64_t first_seq)
{
    struct mail_read *read = ctx;
    struct command_publish publish = {0};
    if (read->damaged_more || (read->damaged_count > 0 && read->purpose == READ_CATCH_UP)) {
        MARK("read: damage behind messages");
        return RC_END; /* the hole is told first */
    }
    const enum rc rc = command_publish_decode(record->body, &publish);
    if (rc != RC_OK) {
        return rc;
    }
    publish.time_ms = read->read.ret_time_ms;
    return read->reverse ? record_backward(read, &publish, first_seq)
                         : record_forward(read, &publish, first_seq);
}

static void read_damage(void *ctx, uint64_t from, uint64_t to, const struct log_damage *damage)
{
    struct mail_read *read = ctx;
    log_event(LEVEL_ERROR, "damaged log", FIELD_U64("partition", read->partition),
              FIELD_TEXT("file", damage->file), FIELD_U64("at", damage->at),
              FIELD_TEXT("what", damage->what), FIELD_BYTES("channel", read->channel),
              FIELD_U64("from", from), FIELD_U64("to", to));
    struct wire_range *last =
        read->damaged_count == 0 ? NULL : &read->damaged[read->damaged_count - 1];
    MARK_IF(last == NULL, "read: meets damage");
    if (last != NULL && from == last->to + 1) {
        last->to = to;
    } else if (last != NULL && to + 1 == last->from) {
        last->from = from;
    } else if (read->damaged_count < DAMAGED_RANGES_MAX) {
        read->damaged[read->damaged_count++] = (struct wire_range){from, to};
    } else {
        read->damaged_more = true;
    }
}

/* The record that holds the message wanted and the one behind it. */
static enum rc digest_record(void *ctx, const struct record *record, uint64_t first_seq)
{
    struct mail_read *read = ctx;
    struct command_publish publish = {0};
    const enum rc rc = command_publish_decode(record->body, &publish);
    if (rc != RC_OK || read->digest_seq < first_seq ||
        read->digest_seq - first_seq >= publish.count) {
        return RC_CORRUPT; /* not the record that the index tells of */
    }
    MARK("digest: rolled from the record before");
    publish.time_ms = read->read.ret_time_ms;
    read->digest =
        publish_digest(read->read.ret_digest, &publish, first_seq, read->digest_seq, read->node);
    return RC_END;
}

/* At the owner, when the read is done. */
static void digest_done(struct mail_read *read)
{
    if (read->damaged_count > 0) {
        read->digest_missing = "damaged";
    } else if (read->read.ret_seq == read->digest_seq + 1) {
        MARK("digest: it stands in the index");
        read->digest = read->read.ret_digest; /* in front of a record: none was read */
    }
}

/* The part of a span that was read is not all of it. False: it is, or no more of it can be read. */
static bool span_has_more(const struct mail_read *read, uint64_t before)
{
    const uint64_t end = read->looking ? read->read.latest + 1 : conflate_next(&read->conflate);
    const bool full = read->looking ? conflate_full(&read->conflate) : is_full(read);
    return read->read.rc == RC_OK && read->damaged_count == 0 && !full && read->seen > before &&
           read->seen < end;
}

/* A span is read twice: for its keys, then for the messages that are kept. Each takes as many reads
 * of the log as it needs; the owner begins them. */
static void span_run(struct mail_read *read)
{
    const uint64_t before = read->seen;
    file_log_read_do(read->host->log, &read->read);
    read->goes_on = span_has_more(read, before);
    MARK_IF(read->goes_on, "conflate: a span takes more than one read");
    if (read->looking && !read->goes_on && conflate_next(&read->conflate) > read->from) {
        read->looking = false;
        read->goes_on = true;
        read->seen = read->from;
        read->damaged_count = 0; /* it lies behind the span */
    }
}

static void read_run(struct job *job)
{
    struct mail_read *read = CONTAINER_OF(job, struct mail_read, job);
    if (read->keeps == WIRE_CONFLATE) {
        span_run(read);
    } else {
        file_log_read_do(read->host->log, &read->read);
    }
    if (read->keeps != WIRE_CATCH_UP && !read->goes_on && read->chunk == NULL &&
        read->damaged_count > 0) {
        add_gap_alone(read);
    }
    if (read->deflated && !read->goes_on && read->chunk != NULL && read->count > 0) {
        struct deflater *deflater = read->host->reactor->compress.read_deflater;
        size_t left = SIZE_MAX; /* a read is bounded, and keeps no reactor from its work */
        shared_chunk_deflate(read->chunk, deflater, &left);
        deflater_rest(deflater);
    }
}

/* ---- reads, at the owner --------------------------------------------------------------------- */

/* The seq behind what the read has told, whether messages or damage. */
static uint64_t next_up(const struct mail_read *read)
{
    uint64_t next = read->count > 0 ? read->next : 0;
    for (uint32_t i = 0; i < read->damaged_count; i++) {
        next = read->damaged[i].to + 1 > next ? read->damaged[i].to + 1 : next;
    }
    return next;
}

/* As above for a read backwards; 0: nothing is left, seqs begin with 1. */
static uint64_t next_down(const struct mail_read *read)
{
    uint64_t next = read->count > 0 ? read->next : UINT64_MAX;
    for (uint32_t i = 0; i < read->damaged_count; i++) {
        next = read->damaged[i].from - 1 < next ? read->damaged[i].from - 1 : next;
    }
    return next;
}

/* Its position is that of read_prepare(): what was read lies within the bounds that are told, even
 * if retention has moved them meanwhile. */
static void read_answer(struct host *host, struct mail_read *read)
{
    if (read->rc == RC_OK && (read->count > 0 || read->damaged_count > 0)) {
        read->more = read->reverse ? next_down(read) >= read->position.earliest
                                   : next_up(read) <= read->position.latest;
    }
    send_back(host, &read->mail, MAIL_READ_DONE);
}

/* Retention has removed what was to be read while the read was under way: judged anew, it finds the
 * new bounds. */
static void read_again(struct host *host, struct mail_read *read)
{
    shared_chunk_unref(read->chunk);
    read->chunk = NULL;
    buf_clear(&read->elements);
    buf_clear(&read->encode);
    conflate_deinit(&read->conflate);
    read->count = 0;
    read->damaged_count = 0;
    read->damaged_more = false;
    list_push_back(&host->waiting, &read->mail.link);
    host_waiting_run(host);
}

static void read_go(struct host *host, struct mail_read *read);

/* Another read for a span, unless retention has passed it meanwhile: then all is judged anew. */
static void span_go_on(struct host *host, struct mail_read *read)
{
    const uint64_t latest =
        read->looking ? read->position.latest : conflate_next(&read->conflate) - 1;
    const uint64_t earliest = partition_position(host->partition, read->channel).earliest;
    read->goes_on = false;
    if (read->seen < earliest) {
        MARK("conflate: retention passes a span while it is read");
        read_again(host, read);
        return;
    }
    read->read = (struct log_read){
        .kind = LOG_READ_FORWARD,
        .channel_id = read->read.channel_id,
        .seq = read->seen,
        .earliest = earliest,
        .latest = latest,
    };
    read_go(host, read);
}

static void read_done(struct job *job)
{
    struct mail_read *read = CONTAINER_OF(job, struct mail_read, job);
    struct host *host = read->host;
    host->reads_out--;
    file_log_read_end(host->log, &read->read);
    if (read->goes_on) {
        span_go_on(host, read);
        return;
    }
    if (read->read.rc == RC_NOT_FOUND) {
        MARK("read: again, for retention was faster");
        read_again(host, read);
        return;
    }
    read->rc = read->read.rc;
    if (read->chunk != NULL && read->count == 0) {
        shared_chunk_unref(read->chunk); /* memory ran out at its first message */
        read->chunk = NULL;
    }
    if (read->purpose == READ_DIGEST) {
        digest_done(read);
    } else if (read->rc == RC_OK && read->count == 0 && read->damaged_count == 0) {
        read->rc = RC_CORRUPT; /* asked for what is there, got nothing */
    }
    if (read->chunk != NULL) {
        read->damaged_count = 0; /* met again, first, by the next read */
    }
    read_answer(host, read);
    host_waiting_run(host);
}

static void read_go(struct host *host, struct mail_read *read)
{
    read->read.ctx = read;
    read->read.on_record = read->purpose == READ_DIGEST ? digest_record : read_record;
    read->read.on_damage = read_damage;
    const enum rc rc = file_log_read_begin(host->log, &read->read);
    if (rc != RC_OK) {
        read->rc = rc;
        read_answer(host, read);
        return;
    }
    host->reads_out++;
    read->job = (struct job){.run = read_run, .done = read_done};
    worker_submit(&host->server->reader, host->reactor->index, &read->job);
}

/* [I12] Who reads much at a time does so as long as nobody else waits. */
static size_t fair_bytes(const struct host *host, const struct mail_read *read)
{
    const bool large = read->purpose == READ_CATCH_UP && read->bytes_max > tune.catch_up_bytes;
    MARK_IF(large && !list_empty(&host->waiting), "read: less at a time, for others wait");
    return large && !list_empty(&host->waiting) ? tune.catch_up_bytes : read->bytes_max;
}

static void read_submit(struct host *host, struct mail_read *read)
{
    read->bytes_max = fair_bytes(host, read);
    read->host = host;
    read->node = (unsigned)host->server->config->node;
    if (read->keeps == WIRE_CONFLATE) {
        conflate_init(&read->conflate, host->server->hash_seed, read->from, read->count_max);
        read->looking = true;
        read->seen = read->from;
    }
    read_go(host, read);
}

/* False: nothing need be read. The digest of message n stands in the index with n + 1, or is rolled
 * from there. */
static bool digest_prepare(struct mail_read *read, const struct channel *channel)
{
    const struct position *position = &read->position;
    const uint64_t seq = read->has_from ? read->from : position->latest;
    read->digest_seq = seq;
    read->digest = position->digest;
    MARK_IF(seq + 1 < position->earliest, "digest: of a message that is trimmed");
    MARK_IF(seq > position->latest, "digest: of a message that is ahead");
    read->digest_missing = seq + 1 < position->earliest ? "trimmed"
                           : seq > position->latest     ? "ahead"
                                                        : NULL;
    if (read->digest_missing != NULL || seq == position->latest) {
        return false;
    }
    ASSERT(channel != NULL); /* or latest is 0 */
    read->read = (struct log_read){
        .kind = LOG_READ_DIGEST,
        .channel_id = channel->id,
        .seq = seq + 1,
        .earliest = position->earliest,
        .latest = position->latest,
    };
    return true;
}

/* Where to begin. False: nothing is there to read, or the cursor has been overtaken. */
static bool read_prepare(struct host *host, struct mail_read *read)
{
    const struct channel *channel = partition_channel_find(host->partition, read->channel);
    const struct position position = partition_position(host->partition, read->channel);
    read->rc = RC_OK;
    read->position = position;
    if (read->purpose == READ_DIGEST) {
        return digest_prepare(read, channel);
    }
    const bool skips = read->keeps == WIRE_SKIP && position.earliest <= position.latest;
    MARK_IF(skips && read->from < position.earliest, "read: what is skipped is trimmed, too");
    if (read->purpose == READ_CATCH_UP && read->from < position.earliest && !skips) {
        MARK("read: retention was there before it");
        read->trimmed = true;
        return false;
    }
    if (channel == NULL || position.earliest > position.latest) {
        return false;
    }
    uint64_t seq = skips ? position.latest : read->from;
    if (read->reverse) {
        seq = !read->has_from || seq > position.latest ? position.latest : seq;
    } else {
        seq = !read->has_from || seq < position.earliest ? position.earliest : seq;
    }
    if (seq < position.earliest || seq > position.latest) {
        MARK("history: from where nothing is");
        return false;
    }
    read->read = (struct log_read){
        .kind = read->reverse ? LOG_READ_BACKWARD : LOG_READ_FORWARD,
        .channel_id = channel->id,
        .seq = seq,
        .earliest = position.earliest,
        .latest = position.latest,
    };
    return true;
}

static bool reader_has_room(const struct host *host)
{
    return host->reads_out < tune.host_reads &&
           worker_room(&host->server->reader, host->reactor->index) > 0;
}

/* ---- the barrier and the queue --------------------------------------------------------------- */

static uint64_t *barrier_of(struct mail *mail)
{
    return mail->kind == MAIL_ASK ? &((struct mail_ask *)mail)->barrier_pos
                                  : &((struct mail_read *)mail)->barrier_pos;
}

static bool must_wait(const struct host *host, struct mail *mail)
{
    return *barrier_of(mail) > partition_applied_pos(host->partition) &&
           !partition_stopped(host->partition);
}

static void run_one(struct host *host, struct mail *mail)
{
    if (mail->kind == MAIL_ASK) {
        ask_run(host, (struct mail_ask *)mail);
    } else if (read_prepare(host, (struct mail_read *)mail)) {
        read_submit(host, (struct mail_read *)mail);
    } else {
        read_answer(host, (struct mail_read *)mail);
    }
}

/* The first one, if its barrier has been reached. */
static bool run_first(struct host *host, struct list *queue)
{
    struct mail *mail = CONTAINER_OF(queue->next, struct mail, link);
    if (must_wait(host, mail)) {
        MARK_IF(mail->kind == MAIL_ASK, "barrier: a subscribe waits for the publishes before it");
        MARK_IF(mail->kind != MAIL_ASK, "barrier: a read waits for the publishes before it");
        return false;
    }
    list_remove(&mail->link);
    run_one(host, mail);
    return true;
}

void host_asks_run(struct host *host)
{
    while (!list_empty(&host->asks) && run_first(host, &host->asks)) {
    }
}

void host_waiting_run(struct host *host)
{
    host_asks_run(host);
    MARK_IF(!list_empty(&host->waiting) && !reader_has_room(host),
            "host: as many reads as may be, others wait");
    while (!list_empty(&host->waiting) && reader_has_room(host) &&
           run_first(host, &host->waiting)) {
    }
}

static void barriers_lift(const struct list *waiting)
{
    for (const struct list *at = waiting->next; at != waiting; at = at->next) {
        struct mail *mail = CONTAINER_OF(at, struct mail, link);
        MARK_IF(mail->kind == MAIL_ASK, "barrier: lifted for a subscribe");
        MARK_IF(mail->kind != MAIL_ASK, "barrier: lifted for a read");
        *barrier_of(mail) = 0;
    }
}

void host_barriers_lift(struct host *host)
{
    barriers_lift(&host->asks);
    barriers_lift(&host->waiting);
}

void host_on_ask(struct host *host, struct mail_ask *ask)
{
    ask->barrier_pos = partition_next_pos(host->partition);
    const bool by_time = ask->ask.from == WIRE_FROM_TIME;
    list_push_back(by_time ? &host->waiting : &host->asks, &ask->mail.link);
    host_waiting_run(host);
}

void host_on_read(struct host *host, struct mail_read *read)
{
    /* A cursor asks for what was already told to be there: it need not wait. */
    read->barrier_pos = read->purpose == READ_CATCH_UP ? 0 : partition_next_pos(host->partition);
    list_push_back(&host->waiting, &read->mail.link);
    host_waiting_run(host);
}
