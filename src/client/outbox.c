#include "client/outbox.h"

#include "base/mark.h"
#include "base/mem.h"
#include "client/link.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define NEVER_MS     UINT64_MAX
#define PAUSE_MS_MAX 60000u
/* Names and numbers around the messages of a publish, in JSON with every byte escaped. */
#define PUBLISH_FRAME 2048u

static struct bytes key_of(const void *value)
{
    return outbox_channel_name(value);
}

static void channel_check(const struct outbox_channel *c)
{
    ASSERT(c->head_ <= c->sent_ && c->sent_ <= c->tail_);
    ASSERT((c->first_ == NULL) == (c->head_ == c->tail_));
    ASSERT((c->next_ == NULL) == (c->sent_ == c->tail_));
    ASSERT(list_empty(&c->busy_) == (c->flights_ == 0));
}

/* ---- messages and channels ----------------------------------------------------------------- */

enum rc outbox_init(struct outbox *outbox, const struct outbox_ops *ops, void *ctx, uint64_t window,
                    uint32_t batch_max, uint64_t seed)
{
    ASSERT(window > 0 && batch_max > 0 && batch_max <= BATCH_MESSAGES_MAX);
    *outbox = (struct outbox){.ops_ = ops,
                              .ctx_ = ctx,
                              .prng_ = {seed},
                              .window_ = window,
                              .batch_max_ = batch_max,
                              .step_ms_ = NEVER_MS,
                              .flight_first_ = 1,
                              .flight_end_ = 1};
    map_init(&outbox->channels_, seed, key_of);
    list_init(&outbox->due_);
    list_init(&outbox->paused_);
    list_init(&outbox->busy_);
    outbox->flights_ = mem_calloc(OUTBOX_FLIGHTS_MAX, sizeof(struct outbox_flight));
    return outbox->flights_ == NULL ? RC_NOMEM : RC_OK;
}

void outbox_deinit(struct outbox *outbox)
{
    size_t at = 0;
    struct outbox_channel *c;
    while ((c = map_next(&outbox->channels_, &at)) != NULL) {
        while (c->first_ != NULL) {
            struct outbox_message *message = c->first_;
            c->first_ = message->next_;
            outbox_message_free(message);
        }
        mem_free(c);
    }
    map_deinit(&outbox->channels_);
    mem_free(outbox->flights_);
    outbox->flights_ = NULL;
}

struct outbox_message *outbox_message_make(const struct wire_item *item)
{
    ASSERT(item->key.size <= KEY_BYTES_MAX && item->data.size <= UINT32_MAX);
    struct outbox_message *m = mem_alloc(sizeof(*m) + item->key.size + item->data.size);
    if (m != NULL) {
        *m = (struct outbox_message){.data_size = (uint32_t)item->data.size,
                                     .key_size = (uint8_t)item->key.size,
                                     .has_key = item->has_key,
                                     .is_bytes = item->is_bytes};
        bytes_copy(m->bytes, item->key.data, item->key.size);
        bytes_copy(m->bytes + item->key.size, item->data.data, item->data.size);
    }
    return m;
}

void outbox_message_free(struct outbox_message *message)
{
    mem_free(message);
}

struct wire_item outbox_message_item(const struct outbox_message *m)
{
    return (struct wire_item){.data = bytes_of(m->bytes + m->key_size, m->data_size),
                              .key = bytes_of(m->bytes, m->key_size),
                              .has_key = m->has_key,
                              .is_bytes = m->is_bytes};
}

enum rc outbox_channel(struct outbox *outbox, struct bytes name,
                       struct outbox_channel **ret_channel)
{
    ASSERT(name.size > 0 && name.size <= CHANNEL_NAME_BYTES_MAX);
    struct outbox_channel *c = map_find(&outbox->channels_, name);
    if (c == NULL) {
        c = mem_calloc(1, sizeof(*c) + name.size + 1);
        if (c == NULL) {
            return RC_NOMEM;
        }
        c->head_ = c->sent_ = c->fresh_ = c->tail_ = 1;
        c->name_size_ = (uint8_t)name.size;
        bytes_copy(c->name_, name.data, name.size);
        list_init(&c->due_);
        list_init(&c->busy_);
        if (map_insert(&outbox->channels_, c) != RC_OK) {
            mem_free(c);
            return RC_NOMEM;
        }
    }
    *ret_channel = c;
    return RC_OK;
}

bool outbox_channel_begin(struct outbox_channel *channel, uint64_t number)
{
    ASSERT(number > 0);
    if (channel->first_ != NULL) {
        return false;
    }
    channel->head_ = channel->sent_ = channel->fresh_ = channel->tail_ = number;
    channel->last_seq_ = 0;
    return true;
}

struct bytes outbox_channel_name(const struct outbox_channel *channel)
{
    return bytes_of(channel->name_, channel->name_size_);
}

uint64_t outbox_channel_head(const struct outbox_channel *channel)
{
    return channel->head_;
}

uint64_t outbox_channel_tail(const struct outbox_channel *channel)
{
    return channel->tail_;
}

struct outbox_channel *outbox_next_channel(const struct outbox *outbox, size_t *at)
{
    return map_next(&outbox->channels_, at);
}

const struct outbox_message *outbox_next_message(const struct outbox_channel *channel,
                                                 const struct outbox_message *message)
{
    return message == NULL ? channel->first_ : message->next_;
}

uint64_t outbox_count(const struct outbox *outbox)
{
    return outbox->count_;
}

/* ---- what is due --------------------------------------------------------------------------- */

/* Puts the channel where it belongs, after anything about it has changed. */
static void place(struct outbox *o, struct outbox_channel *c)
{
    const bool wants = !c->ended_ && (c->again_ || c->rewind_ || c->sent_ < c->tail_);
    const bool blocked = c->rewind_ && c->flights_ > 0;
    if (!wants || blocked) {
        list_remove(&c->due_);
    } else if (list_empty(&c->due_) && c->rewind_ && c->pause_until_ms_ > 0) {
        list_push_back(&o->paused_, &c->due_);
        o->step_ms_ = c->pause_until_ms_ < o->step_ms_ ? c->pause_until_ms_ : o->step_ms_;
    } else if (list_empty(&c->due_)) {
        /* What is sent again goes in front: it needs no room in the window. */
        list_push_back(c->again_ ? o->due_.next : &o->due_, &c->due_);
    }
    channel_check(c);
}

static void set_sent_to_head(struct outbox_channel *c)
{
    ASSERT(c->flights_ == 0);
    c->fresh_ = c->sent_ > c->fresh_ ? c->sent_ : c->fresh_;
    c->sent_ = c->head_;
    c->next_ = c->first_;
    c->rewind_ = false;
    c->again_ = false;
}

/* The messages from the head on leave, up to but without number `end`. */
static void leave(struct outbox *o, struct outbox_channel *c, uint64_t end,
                  struct outbox_result *result)
{
    const uint64_t seq = result->seq;
    const uint64_t first = c->head_;
    ASSERT(end <= c->tail_);
    while (c->head_ < end) {
        struct outbox_message *message = c->first_;
        c->first_ = message->next_;
        if (c->head_ == c->sent_) {
            c->sent_++;
            c->next_ = c->first_;
        }
        c->last_ = c->first_ == NULL ? NULL : c->last_;
        result->seq = seq == 0 ? 0 : seq + (c->head_ - first);
        c->head_++;
        o->count_--;
        message->next_ = NULL;
        o->ops_->done(o->ctx_, c, message, result);
    }
    c->fresh_ = c->fresh_ < c->head_ ? c->head_ : c->fresh_;
    c->resends_ = 0;
}

/* Nothing of this channel will ever be taken again. */
static void end_channel(struct outbox *o, struct outbox_channel *c, struct outbox_result *result)
{
    c->ended_ = true;
    c->again_ = false;
    c->rewind_ = false;
    leave(o, c, c->tail_, result);
    o->ops_->moved(o->ctx_, c);
}

void outbox_add(struct outbox *outbox, struct outbox_channel *channel,
                struct outbox_message *message, bool sent_before)
{
    struct outbox_channel *c = channel;
    message->next_ = NULL;
    if (c->first_ == NULL) {
        c->first_ = message;
    } else {
        c->last_->next_ = message;
    }
    c->last_ = message;
    c->next_ = c->next_ == NULL ? message : c->next_;
    c->tail_++;
    outbox->count_++;
    if (sent_before) {
        c->fresh_ = c->tail_;
    }
    if (c->ended_) {
        struct outbox_result result = {.end = OUTBOX_UNKNOWN,
                                       .code = "producer_unknown",
                                       .text = "the channel has ended for this producer"};
        end_channel(outbox, c, &result);
    }
    place(outbox, c);
}

struct outbox_message *outbox_forget(struct outbox *outbox, struct outbox_channel *channel,
                                     bool keeps_number)
{
    struct outbox_channel *c = channel;
    struct outbox_message *message = c->first_;
    ASSERT(c->flights_ == 0 && c->sent_ == c->head_);
    if (message == NULL) {
        return NULL;
    }
    c->first_ = c->next_ = message->next_;
    c->last_ = c->first_ == NULL ? NULL : c->last_;
    if (keeps_number) {
        c->tail_--;
        c->fresh_ = c->fresh_ > c->tail_ ? c->tail_ : c->fresh_;
    } else {
        c->head_++;
        c->sent_++;
    }
    outbox->count_--;
    place(outbox, c);
    return message;
}

/* ---- flights ------------------------------------------------------------------------------- */

static struct outbox_flight *flight_at(const struct outbox *o, uint64_t id)
{
    return &o->flights_[id % OUTBOX_FLIGHTS_MAX];
}

static void begin_flight(struct outbox *o, struct outbox_channel *c, uint64_t first, uint32_t count,
                         uint64_t now_ms)
{
    if (o->tap != NULL) {
        const struct client_said said = {.what = CLIENT_SAID_PUBLISH,
                                         .channel = outbox_channel_name(c),
                                         .id = o->flight_end_,
                                         .number = first,
                                         .count = count};
        o->tap->said(o->tap->ctx, &said);
    }
    *flight_at(o, o->flight_end_++) = (struct outbox_flight){c, first, count};
    o->in_flight_ += count;
    if (c->flights_++ == 0) {
        c->moved_ms_ = now_ms;
        c->wait_ms_ = OUTBOX_RESEND_FIRST_MS;
        list_push_back(&o->busy_, &c->busy_);
    }
    const uint64_t check = now_ms + OUTBOX_RESEND_FIRST_MS;
    o->step_ms_ = o->step_ms_ < check ? o->step_ms_ : check;
}

/* The flight is answered. */
static void end_flight(struct outbox *o, struct outbox_flight *flight)
{
    struct outbox_channel *c = flight->channel;
    ASSERT(c != NULL && c->flights_ > 0 && o->in_flight_ >= flight->count);
    o->in_flight_ -= flight->count;
    flight->channel = NULL;
    if (--c->flights_ == 0) {
        list_remove(&c->busy_);
    }
    while (o->flight_first_ < o->flight_end_ && flight_at(o, o->flight_first_)->channel == NULL) {
        o->flight_first_++;
    }
}

void outbox_on_ready(struct outbox *outbox, uint64_t first_id)
{
    size_t at = 0;
    struct outbox_channel *c;
    outbox->flight_first_ = first_id;
    outbox->flight_end_ = first_id;
    outbox->in_flight_ = 0;
    outbox->step_ms_ = NEVER_MS;
    while ((c = map_next(&outbox->channels_, &at)) != NULL) {
        c->flights_ = 0;
        c->resends_ = 0;
        c->pause_until_ms_ = 0;
        list_remove(&c->busy_);
        list_remove(&c->due_);
        set_sent_to_head(c);
        place(outbox, c);
    }
}

/* ---- sending ------------------------------------------------------------------------------- */

/* How many of the messages from `first` on go into one publish; *ret_size is what they take. */
static uint32_t batch_of(const struct outbox *o, const struct outbox_channel *c,
                         enum wire_codec codec, size_t bytes_max, size_t *ret_size)
{
    const struct outbox_message *m = c->next_;
    struct wire_item item = outbox_message_item(m);
    size_t size = speak_item_size(codec, &item);
    uint32_t count = 1;
    uint64_t room = o->window_ - o->in_flight_;
    room = room < o->batch_max_ ? room : o->batch_max_;
    room = c->sent_ >= c->fresh_ ? room : 1;
    for (m = m->next_; count < room && m != NULL; m = m->next_) {
        item = outbox_message_item(m);
        const size_t more = speak_item_size(codec, &item);
        if (size + more > bytes_max) {
            break;
        }
        size += more;
        count++;
    }
    *ret_size = size;
    return count;
}

/* Appends a publish of the messages from `m` on. */
static enum rc append(struct outbox *o, struct outbox_channel *c, enum wire_codec codec,
                      struct speak_publish *publish, const struct outbox_message *m, struct buf *to)
{
    publish->id = o->flight_end_;
    publish->channel = outbox_channel_name(c);
    const enum rc rc = speak_publish(codec, to, publish);
    if (rc != RC_OK) {
        return rc;
    }
    for (uint32_t i = 0; i < publish->count; i++, m = m->next_) {
        const struct wire_item item = outbox_message_item(m);
        speak_item(codec, to, &item, i == 0, publish->count > 1);
    }
    speak_publish_end(codec, to, publish->count > 1);
    return RC_OK;
}

/* A message that no frame can hold is refused here: the server would close. RC_OK: it was. */
static enum rc refuse_too_large(struct outbox *o, struct outbox_channel *c)
{
    if (c->head_ != c->sent_ || c->flights_ > 0) {
        list_remove(&c->due_); /* what is in flight comes first; its answer brings us back */
        return RC_OK;
    }
    struct outbox_result result = {.end = OUTBOX_REFUSED,
                                   .code = "too_large",
                                   .text = "larger than a frame of the server's may be"};
    leave(o, c, c->head_ + 1, &result);
    c->head_--;
    c->sent_--;
    c->tail_--;
    c->fresh_ = c->fresh_ > c->head_ ? c->fresh_ - 1 : c->head_;
    o->ops_->dropped(o->ctx_, c);
    place(o, c);
    return RC_OK;
}

/* What a WebSocket message may hold, less what is around the messages of a publish. */
struct frame_room {
    size_t max;
    size_t left;
};

static enum rc send_again(struct outbox *o, struct outbox_channel *c, enum wire_codec codec,
                          const struct frame_room *room, uint64_t now_ms, struct buf *to)
{
    const struct wire_item item = outbox_message_item(c->first_);
    struct speak_publish publish = {
        .number = c->head_, .count = 1, .size = speak_item_size(codec, &item)};
    if (publish.size > room->left) {
        return RC_END;
    }
    const enum rc rc = append(o, c, codec, &publish, c->first_, to);
    if (rc == RC_OK) {
        MARK("outbox: the head is sent again, for want of an answer");
        c->again_ = false;
        begin_flight(o, c, c->head_, 1, now_ms);
        place(o, c);
    }
    return rc;
}

static enum rc send_next(struct outbox *o, struct outbox_channel *c, enum wire_codec codec,
                         const struct frame_room *room, uint64_t now_ms, struct buf *to)
{
    struct speak_publish publish = {.number = c->sent_};
    const size_t most = room->left < OUTBOX_BATCH_BYTES ? room->left : OUTBOX_BATCH_BYTES;
    publish.count = batch_of(o, c, codec, most, &publish.size);
    if (publish.size > room->max) {
        return refuse_too_large(o, c);
    }
    if (publish.size > room->left) {
        return RC_END;
    }
    const enum rc rc = append(o, c, codec, &publish, c->next_, to);
    if (rc != RC_OK) {
        return rc;
    }
    for (uint32_t i = 0; i < publish.count; i++) {
        c->next_ = c->next_->next_;
    }
    begin_flight(o, c, c->sent_, publish.count, now_ms);
    c->sent_ += publish.count;
    list_remove(&c->due_); /* behind the others */
    place(o, c);
    return RC_OK;
}

enum rc outbox_next(struct outbox *outbox, enum wire_codec codec, size_t frame_max, size_t room,
                    uint64_t now_ms, struct buf *to)
{
    ASSERT(frame_max > PUBLISH_FRAME && room <= frame_max);
    const struct frame_room left = {.max = frame_max - PUBLISH_FRAME,
                                    .left = room > PUBLISH_FRAME ? room - PUBLISH_FRAME : 0};
    const size_t before = to->size;
    enum rc rc = RC_OK;
    while (rc == RC_OK && to->size == before) {
        if (list_empty(&outbox->due_) ||
            outbox->flight_end_ - outbox->flight_first_ == OUTBOX_FLIGHTS_MAX) {
            return RC_END;
        }
        struct outbox_channel *c = CONTAINER_OF(outbox->due_.next, struct outbox_channel, due_);
        if (c->rewind_) {
            set_sent_to_head(c);
        }
        c->again_ = c->again_ && c->head_ < c->sent_; /* else it was answered meanwhile */
        if (outbox->in_flight_ >= outbox->window_ && !c->again_) {
            return RC_END;
        }
        if (c->again_) {
            rc = send_again(outbox, c, codec, &left, now_ms, to);
        } else if (c->sent_ < c->tail_) {
            rc = send_next(outbox, c, codec, &left, now_ms, to);
        } else {
            place(outbox, c);
        }
    }
    return rc;
}

/* ---- answers ------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static enum rc broken(struct outbox *o, const char *format,
                                                            ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(o->why_, sizeof(o->why_), format, args);
    va_end(args);
    return RC_PROTOCOL;
}

/* Something was answered: the channel's clock begins anew. */
static void moved(struct outbox *o, struct outbox_channel *c, uint64_t now_ms)
{
    c->refusals_ = 0;
    c->moved_ms_ = now_ms;
    c->wait_ms_ = OUTBOX_RESEND_FIRST_MS;
    if (c->flights_ > 0) {
        list_remove(&c->busy_);
        list_push_back(&o->busy_, &c->busy_);
    }
    o->ops_->moved(o->ctx_, c);
}

/* [I6] Within one epoch seqs rise as the numbers do. */
static enum rc check_seq(struct outbox *o, struct outbox_channel *c, uint64_t first,
                         const struct outbox_result *result)
{
    if (result->seq == 0) {
        return result->duplicate ? RC_OK /* [P 5] a duplicate whose seq is no longer known */
                                 : broken(o, "the server said `published` without a seq");
    }
    if (strcmp(result->epoch, c->epoch_) == 0 && result->seq <= c->last_seq_) {
        return broken(o,
                      "order is broken: number %" PRIu64 " got seq %" PRIu64
                      ", but the one before it has seq %" PRIu64,
                      first, result->seq, c->last_seq_);
    }
    return RC_OK;
}

/* One flight was published, its first message with `seq` (0: not known). */
static enum rc on_flight(struct outbox *o, struct outbox_flight *flight, uint64_t seq,
                         const struct reply *reply, uint64_t now_ms)
{
    struct outbox_channel *c = flight->channel;
    const uint64_t end = flight->first + flight->count;
    const uint64_t first = flight->first;
    if (!bytes_equal(reply->channel, outbox_channel_name(c))) {
        return broken(o, "the server answered a publish with another channel's name");
    }
    end_flight(o, flight);
    if (first > c->head_ && !c->rewind_) {
        return broken(o, "the server acknowledged number %" PRIu64 " where %" PRIu64 " is next",
                      first, c->head_);
    }
    if (first <= c->head_ && end > c->head_) {
        struct outbox_result result = {.duplicate = reply->duplicate,
                                       .seq = seq == 0 ? 0 : seq + (c->head_ - first)};
        bytes_copy((uint8_t *)result.epoch, (const uint8_t *)reply->epoch, sizeof(result.epoch));
        const enum rc rc = check_seq(o, c, c->head_, &result);
        if (rc != RC_OK) {
            return rc;
        }
        if (result.seq != 0) {
            bytes_copy((uint8_t *)c->epoch_, (const uint8_t *)reply->epoch, sizeof(c->epoch_));
            c->last_seq_ = result.seq + (end - c->head_ - 1);
        }
        MARK_IF(reply->duplicate, "outbox: a retry, and the first had been stored");
        leave(o, c, end, &result);
        moved(o, c, now_ms);
    } /* else one before it was refused, and this is sent again in its turn; or it was sent twice */
    place(o, c);
    return RC_OK;
}

static enum rc on_published(struct outbox *o, const struct reply *reply, uint64_t now_ms)
{
    uint64_t seq = reply->has_seq ? reply->seq : 0;
    for (uint64_t i = 0; i < reply->publishes; i++) {
        const uint64_t id = reply->id + i;
        struct outbox_flight *flight = flight_at(o, id);
        if (id < o->flight_first_ || id >= o->flight_end_ || flight->channel == NULL) {
            return broken(o, "the server answered publish %" PRIu64 ", which is not open", id);
        }
        const uint32_t count = flight->count;
        const enum rc rc = on_flight(o, flight, seq, reply, now_ms);
        if (rc != RC_OK) {
            return rc;
        }
        seq = seq == 0 ? 0 : seq + count;
    }
    return RC_OK;
}

static void begin_rewind(struct outbox *o, struct outbox_channel *c, uint64_t pause_ms,
                         uint64_t now_ms)
{
    const uint64_t pause = pause_ms < PAUSE_MS_MAX ? pause_ms : PAUSE_MS_MAX;
    list_remove(&c->due_);
    c->again_ = false;
    if (!c->rewind_ || c->pause_until_ms_ < now_ms + pause) {
        c->pause_until_ms_ = pause == 0 ? 0 : now_ms + pause;
    }
    c->rewind_ = true;
    const uint64_t until = c->pause_until_ms_;
    o->step_ms_ = until > 0 && until < o->step_ms_ ? until : o->step_ms_;
}

/* The head was refused for good. What stands behind it will be told out_of_sequence, and goes
 * again with numbers one lower. */
static void drop_head(struct outbox *o, struct outbox_channel *c, struct outbox_result *result,
                      uint64_t now_ms)
{
    leave(o, c, c->head_ + 1, result);
    c->head_--;
    c->sent_--;
    c->tail_--;
    c->fresh_ = c->sent_;
    o->ops_->dropped(o->ctx_, c);
    begin_rewind(o, c, 0, now_ms);
}

static bool code_is(const struct client_message *object, const char *code)
{
    return client_message_is(object, CLIENT_FIELD_CODE, bytes_of_text(code));
}

static bool is_not_now(const struct client_message *object)
{
    return client_message_has(object, CLIENT_FIELD_RETRY_AFTER_MS) ||
           code_is(object, "unavailable") || code_is(object, "rate_limited") ||
           code_is(object, "internal");
}

/* In our words: the server's are about a number, and do not say what it means. */
static void say_unknown(const struct outbox_channel *c, uint64_t expected,
                        struct outbox_result *result)
{
    if (expected > 0) {
        (void)snprintf(result->text, sizeof(result->text),
                       "the server expects number %" PRIu64 ", but this is number %" PRIu64
                       ": the numbers before it are not there (any more)",
                       expected, c->head_);
    } else {
        (void)snprintf(result->text, sizeof(result->text),
                       "the server does not know this producer (any more): it cannot tell whether "
                       "number %" PRIu64 " was stored",
                       c->head_);
    }
}

/* Whether the head is still on its way in another flight, having been sent more than once. */
static bool head_flies(const struct outbox *o, const struct outbox_channel *c)
{
    for (uint64_t id = o->flight_first_; c->flights_ > 0 && id < o->flight_end_; id++) {
        const struct outbox_flight *flight = flight_at(o, id);
        if (flight->channel == c && flight->first <= c->head_ &&
            flight->first + flight->count > c->head_) {
            return true;
        }
    }
    return false;
}

/* The head's flight was refused. */
static void on_head_refused(struct outbox *o, struct outbox_channel *c, uint32_t count,
                            const struct client_message *object, uint64_t now_ms)
{
    struct outbox_result result = {.end = OUTBOX_REFUSED};
    client_message_show(object, CLIENT_FIELD_CODE, result.code, sizeof(result.code));
    client_message_show(object, CLIENT_FIELD_TEXT, result.text, sizeof(result.text));
    const uint64_t expected = client_message_integer_or_0(object, CLIENT_FIELD_EXPECTED);
    if (is_not_now(object)) {
        const uint64_t asked = client_message_integer_or_0(object, CLIENT_FIELD_RETRY_AFTER_MS);
        const uint64_t own = link_jitter_ms(c->refusals_, prng_next(&o->prng_));
        c->refusals_ = (uint16_t)(c->refusals_ < UINT16_MAX ? c->refusals_ + 1 : UINT16_MAX);
        MARK("outbox: refused for now");
        begin_rewind(o, c, asked > 0 ? asked : own, now_ms);
    } else if (code_is(object, "producer_fenced")) {
        MARK("outbox: the producer is fenced");
        result.end = OUTBOX_FENCED;
        end_channel(o, c, &result);
    } else if (code_is(object, "producer_unknown") ||
               (code_is(object, "out_of_sequence") && (count == 1 || expected <= c->head_))) {
        MARK("outbox: the server does not know the producer");
        result.end = OUTBOX_UNKNOWN;
        say_unknown(c, expected, &result);
        end_channel(o, c, &result);
    } else if (count > 1) {
        MARK("outbox: a batch is refused, and goes one by one");
        c->fresh_ = c->sent_; /* one by one, so that each gets its own answer */
        begin_rewind(o, c, 0, now_ms);
    } else if (head_flies(o, c)) {
        /* Its last answer counts: told now, that one would hit the next message, of this number. */
        MARK("outbox: refused for good, and another copy is on its way");
    } else {
        MARK("outbox: refused for good");
        drop_head(o, c, &result, now_ms);
    }
}

static enum rc on_error(struct outbox *o, const struct reply *reply, uint64_t now_ms)
{
    struct outbox_flight *flight = flight_at(o, reply->id);
    if (reply->id < o->flight_first_ || flight->channel == NULL) {
        return broken(o, "the server answered publish %" PRIu64 ", which is not open", reply->id);
    }
    struct outbox_channel *c = flight->channel;
    const uint64_t first = flight->first;
    const uint32_t count = flight->count;
    end_flight(o, flight);
    if (c->ended_ || first + count <= c->head_) {
        MARK("outbox: an error about what has left");
        place(o, c); /* it has left already */
        return RC_OK;
    }
    if (first <= c->head_) {
        on_head_refused(o, c, count, &reply->object, now_ms);
    } else if (!c->rewind_) {
        MARK("outbox: out of sequence, since one before it was refused");
        /* [P 3] one before it was refused, and its answer is still to come */
        begin_rewind(o, c, 0, now_ms);
    }
    place(o, c);
    return RC_OK;
}

bool outbox_owns(const struct outbox *outbox, uint64_t id)
{
    return id > 0 && id < outbox->flight_end_;
}

enum rc outbox_take(struct outbox *outbox, const struct reply *reply, uint64_t now_ms)
{
    ASSERT(reply->type == CLIENT_PUBLISHED || reply->type == CLIENT_ERROR);
    return reply->type == CLIENT_PUBLISHED ? on_published(outbox, reply, now_ms)
                                           : on_error(outbox, reply, now_ms);
}

/* ---- time ---------------------------------------------------------------------------------- */

/* The head has waited too long for its answer: once more, and longer until the next time. */
static void resend(struct outbox *o, struct outbox_channel *c, uint64_t now_ms)
{
    const unsigned shift = c->resends_ < 5 ? c->resends_ + 1u : 5u;
    uint64_t wait = (uint64_t)OUTBOX_RESEND_FIRST_MS << shift;
    wait = wait < OUTBOX_RESEND_LAST_MS ? wait : OUTBOX_RESEND_LAST_MS;
    c->wait_ms_ = wait + prng_below(&o->prng_, wait / 2);
    c->moved_ms_ = now_ms;
    c->resends_ = (uint16_t)(c->resends_ < UINT16_MAX ? c->resends_ + 1 : UINT16_MAX);
    c->again_ = !c->rewind_ && c->head_ < c->sent_;
    if (c->again_) {
        list_remove(&c->due_); /* to the front */
    }
    place(o, c);
}

void outbox_step(struct outbox *outbox, uint64_t now_ms)
{
    if (now_ms < outbox->step_ms_) {
        return;
    }
    uint64_t next = NEVER_MS;
    for (struct list *at = outbox->busy_.next, *after; at != &outbox->busy_; at = after) {
        after = at->next;
        struct outbox_channel *c = CONTAINER_OF(at, struct outbox_channel, busy_);
        if (now_ms >= c->moved_ms_ + c->wait_ms_) {
            resend(outbox, c, now_ms);
        }
        const uint64_t due = c->moved_ms_ + c->wait_ms_;
        next = due < next ? due : next;
    }
    for (struct list *at = outbox->paused_.next, *after; at != &outbox->paused_; at = after) {
        after = at->next;
        struct outbox_channel *c = CONTAINER_OF(at, struct outbox_channel, due_);
        if (now_ms >= c->pause_until_ms_) {
            c->pause_until_ms_ = 0;
            list_remove(&c->due_);
            place(outbox, c);
        } else {
            next = c->pause_until_ms_ < next ? c->pause_until_ms_ : next;
        }
    }
    outbox->step_ms_ = next;
}

uint64_t outbox_deadline_ms(const struct outbox *outbox)
{
    return outbox->step_ms_;
}

const char *outbox_why(const struct outbox *outbox)
{
    return outbox->why_;
}
