#include "client/publisher.h"

#include "base/mem.h"
#include "client/link.h"
#include "wire/json_codec.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define PAUSE_MS_MAX 60000u

static void publisher_check(const struct publisher *p)
{
    ASSERT(p->head_ <= p->sent_ && p->sent_ <= p->tail_);
    ASSERT(p->tail_ - p->head_ <= p->window_);
    ASSERT(p->rewind_ || p->in_flight_ == p->sent_ - p->head_);
}

enum rc publisher_init(struct publisher *publisher, struct bytes channel, struct bytes key,
                       uint64_t first, uint64_t window)
{
    ASSERT(window > 0 && first > 0);
    *publisher = (struct publisher){
        .window_ = window, .head_ = first, .sent_ = first, .tail_ = first, .first_ = first};
    enum rc rc = buf_append(&publisher->names_, BYTES_LITERAL("\"channel\":"));
    if (rc == RC_OK) {
        rc = json_encode_string(&publisher->names_, channel);
    }
    if (rc == RC_OK && key.size > 0) {
        rc = buf_append(&publisher->names_, BYTES_LITERAL(",\"key\":"));
        if (rc == RC_OK) {
            rc = json_encode_string(&publisher->names_, key);
        }
    }
    if (rc == RC_OK) {
        publisher->slots_ = mem_calloc(window, sizeof(struct buf));
        rc = publisher->slots_ == NULL ? RC_NOMEM : RC_OK;
    }
    if (rc != RC_OK) {
        buf_deinit(&publisher->names_);
    }
    return rc;
}

void publisher_deinit(struct publisher *publisher)
{
    for (uint64_t i = 0; publisher->slots_ != NULL && i < publisher->window_; i++) {
        buf_deinit(&publisher->slots_[i]);
    }
    mem_free(publisher->slots_);
    publisher->slots_ = NULL;
    buf_deinit(&publisher->names_);
}

bool publisher_full(const struct publisher *publisher)
{
    return publisher->tail_ - publisher->head_ == publisher->window_;
}

bool publisher_idle(const struct publisher *publisher)
{
    return publisher->head_ == publisher->tail_;
}

enum rc publisher_add(struct publisher *publisher, struct bytes member)
{
    ASSERT(!publisher_full(publisher));
    struct buf *slot = &publisher->slots_[publisher->tail_ % publisher->window_];
    buf_clear(slot);
    const enum rc rc = buf_append(slot, member);
    if (rc == RC_OK) {
        publisher->tail_++;
        publisher_check(publisher);
    }
    return rc;
}

void publisher_on_ready(struct publisher *publisher)
{
    publisher->sent_ = publisher->head_;
    publisher->in_flight_ = 0;
    publisher->rewind_ = false;
    publisher_check(publisher);
}

__attribute__((format(printf, 3, 4))) static enum rc refuse(struct publisher *publisher, enum rc rc,
                                                            const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(publisher->why_, sizeof(publisher->why_), format, args);
    va_end(args);
    return rc;
}

/* [I6] within one epoch, seqs rise as the numbers do. */
static enum rc check_seq(struct publisher *p, const struct client_message *message)
{
    uint64_t seq;
    if (!client_message_integer(message, CLIENT_FIELD_SEQ, &seq)) {
        return client_message_true(message, CLIENT_FIELD_DUPLICATE)
                   ? RC_OK /* [P 3] a duplicate whose seq is no longer known */
                   : refuse(p, RC_PROTOCOL, "the server said `published` without a seq");
    }
    const struct bytes epoch = client_message_has(message, CLIENT_FIELD_EPOCH)
                                   ? message->fields[CLIENT_FIELD_EPOCH].raw
                                   : (struct bytes){0};
    if (epoch.size > sizeof(p->epoch_)) {
        return refuse(p, RC_PROTOCOL, "the server sent an epoch of %zu bytes", epoch.size);
    }
    if (bytes_equal(epoch, bytes_of(p->epoch_, p->epoch_size_)) && seq <= p->last_seq_) {
        return refuse(p, RC_PROTOCOL,
                      "order is broken: number %" PRIu64 " got seq %" PRIu64
                      ", but the one before it has seq %" PRIu64,
                      p->head_, seq, p->last_seq_);
    }
    bytes_copy(p->epoch_, epoch.data, epoch.size);
    p->epoch_size_ = epoch.size;
    p->last_seq_ = seq;
    return RC_OK;
}

static enum rc on_published(struct publisher *p, uint64_t id, const struct client_message *message)
{
    const bool duplicate = client_message_true(message, CLIENT_FIELD_DUPLICATE);
    if (p->rewind_ && id > p->head_ && id < p->sent_ && p->in_flight_ > 0) {
        /* One before it was refused for now, though stored on an earlier connection: so this one
         * was accepted. It is sent again in its turn, which costs a duplicate and keeps the check
         * of the order whole. */
        p->in_flight_--;
        return RC_OK;
    }
    if (id != p->head_ || id >= p->sent_) {
        return refuse(p, RC_PROTOCOL,
                      "the server acknowledged number %" PRIu64 " where %" PRIu64 " is next", id,
                      p->head_);
    }
    if (p->in_flight_ == 0) {
        return refuse(p, RC_PROTOCOL,
                      "the server acknowledged number %" PRIu64 ", which it had refused", id);
    }
    const enum rc rc = check_seq(p, message);
    if (rc != RC_OK) {
        return rc;
    }
    p->duplicates_ += duplicate ? 1 : 0;
    p->head_++;
    p->in_flight_--;
    p->refusals_ = 0;
    publisher_check(p);
    return RC_OK;
}

/* Sends again from head_ after the wait that was asked for, or one of our own. */
static void begin_rewind(struct publisher *p, const struct client_message *message, bool wait,
                         uint64_t now_ms)
{
    p->rewind_ = true;
    if (!wait) {
        return;
    }
    uint64_t pause = client_message_integer_or_0(message, CLIENT_FIELD_RETRY_AFTER_MS);
    if (pause == 0) {
        pause = link_backoff_ms(p->refusals_, UINT64_MAX / 2);
    }
    p->refusals_++;
    pause = pause < PAUSE_MS_MAX ? pause : PAUSE_MS_MAX;
    if (p->pause_until_ms_ < now_ms + pause) {
        p->pause_until_ms_ = now_ms + pause;
    }
}

/* The server lacks what comes before number `id`. */
static enum rc on_out_of_sequence(struct publisher *p, uint64_t id,
                                  const struct client_message *message, uint64_t now_ms)
{
    if (id != p->head_) {
        begin_rewind(p, message, false, now_ms); /* one before it was refused: that one tells */
        return RC_OK;
    }
    uint64_t expected;
    if (!client_message_integer(message, CLIENT_FIELD_EXPECTED, &expected)) {
        return refuse(p, RC_DENIED,
                      "the server does not know this producer (any more): it cannot tell whether "
                      "number %" PRIu64 " was stored",
                      id);
    }
    return refuse(p, RC_DENIED,
                  "the server expects number %" PRIu64 ", but this is number %" PRIu64
                  ": the numbers before it are not there (any more)",
                  expected, id);
}

static bool code_is(const struct client_message *message, const char *code)
{
    return client_message_is(message, CLIENT_FIELD_CODE, bytes_of_text(code));
}

static enum rc on_error(struct publisher *p, uint64_t id, const struct client_message *message,
                        uint64_t now_ms)
{
    if (p->in_flight_ == 0 || id < p->head_ || id >= p->sent_) {
        return refuse(p, RC_PROTOCOL, "the server answered number %" PRIu64 ", which is not open",
                      id);
    }
    p->in_flight_--;
    if (code_is(message, "out_of_sequence") || code_is(message, "producer_unknown")) {
        return on_out_of_sequence(p, id, message, now_ms);
    }
    if (client_message_has(message, CLIENT_FIELD_RETRY_AFTER_MS) ||
        code_is(message, "unavailable") || code_is(message, "rate_limited") ||
        code_is(message, "internal")) {
        begin_rewind(p, message, true, now_ms);
        return RC_OK;
    }
    char code[40];
    char text[200];
    client_message_show(message, CLIENT_FIELD_CODE, code, sizeof(code));
    client_message_show(message, CLIENT_FIELD_TEXT, text, sizeof(text));
    return refuse(p, RC_DENIED, "message %" PRIu64 " was refused (%s): %s", id, code, text);
}

enum rc publisher_on_message(struct publisher *publisher, const struct client_message *message,
                             uint64_t now_ms)
{
    uint64_t id;
    const bool has_id = client_message_integer(message, CLIENT_FIELD_ID, &id);
    if (message->type == CLIENT_PUBLISHED && has_id) {
        return on_published(publisher, id, message);
    }
    if (message->type == CLIENT_ERROR && has_id) {
        return on_error(publisher, id, message, now_ms);
    }
    if (message->type == CLIENT_ERROR) {
        char text[200];
        client_message_show(message, CLIENT_FIELD_TEXT, text, sizeof(text));
        return refuse(publisher, RC_DENIED, "the server complains: %s", text);
    }
    return RC_OK;
}

enum rc publisher_next(struct publisher *publisher, uint64_t now_ms, struct buf *to)
{
    struct publisher *p = publisher;
    if (p->rewind_ && (p->in_flight_ > 0 || now_ms < p->pause_until_ms_)) {
        return RC_END;
    }
    if (p->rewind_) {
        publisher_on_ready(p);
    }
    if (p->sent_ == p->tail_) {
        return RC_END;
    }
    const struct buf *slot = &p->slots_[p->sent_ % p->window_];
    char head[128];
    const int size =
        snprintf(head, sizeof(head),
                 "{\"type\":\"publish\",\"id\":%" PRIu64 ",\"producer_seq\":%" PRIu64 ",", p->sent_,
                 p->sent_);
    ASSERT(size > 0 && (size_t)size < sizeof(head));
    const enum rc rc = buf_reserve(to, (size_t)size + p->names_.size + slot->size + 2);
    if (rc != RC_OK) {
        return rc;
    }
    buf_put(to, head, (size_t)size);
    buf_put(to, p->names_.data, p->names_.size);
    buf_put_u8(to, ',');
    buf_put(to, slot->data, slot->size);
    buf_put_u8(to, '}');
    p->sent_++;
    p->in_flight_++;
    publisher_check(p);
    return RC_OK;
}

uint64_t publisher_deadline_ms(const struct publisher *publisher)
{
    return publisher->rewind_ && publisher->in_flight_ == 0 ? publisher->pause_until_ms_
                                                            : UINT64_MAX;
}

uint64_t publisher_acked(const struct publisher *publisher)
{
    return publisher->head_ - publisher->first_;
}

uint64_t publisher_duplicates(const struct publisher *publisher)
{
    return publisher->duplicates_;
}

uint64_t publisher_head(const struct publisher *publisher)
{
    return publisher->head_;
}

const char *publisher_why(const struct publisher *publisher)
{
    return publisher->why_;
}
