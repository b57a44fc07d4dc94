#include "client/subscriber.h"

#include "client/link.h"
#include "wire/json_codec.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define NO_TIME      UINT64_MAX
#define PAUSE_MS_MAX 60000u

void subscriber_init(struct subscriber *subscriber, const struct subscriber_options *options)
{
    *subscriber = (struct subscriber){.options_ = *options, .retry_at_ms_ = NO_TIME};
}

void subscriber_on_ready(struct subscriber *subscriber, uint64_t now_ms)
{
    subscriber->active_ = false;
    subscriber->acked_ = 0;
    subscriber->last_ = 0;
    subscriber->retry_at_ms_ = now_ms;
}

__attribute__((format(printf, 3, 4))) static enum subscriber_event
say(struct subscriber *s, enum subscriber_event event, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(s->text_, sizeof(s->text_), format, args);
    va_end(args);
    return event;
}

/* Takes over (epoch, next) from a message that has both. */
static bool take_cursor(struct subscriber *s, const struct client_message *message)
{
    const struct json_value *epoch = &message->fields[CLIENT_FIELD_EPOCH];
    uint64_t next;
    if (!client_message_has(message, CLIENT_FIELD_EPOCH) || epoch->kind != JSON_KIND_STRING ||
        epoch->raw.size > sizeof(s->epoch_) ||
        !client_message_integer(message, CLIENT_FIELD_NEXT, &next) || next == 0) {
        return false;
    }
    bytes_copy(s->epoch_, epoch->raw.data, epoch->raw.size);
    s->epoch_size_ = epoch->raw.size;
    s->next_ = next;
    s->has_cursor_ = true;
    return true;
}

/* What was asked for, 0: nothing definite. */
static uint64_t wanted_next(const struct subscriber *s)
{
    if (s->has_cursor_) {
        return s->next_;
    }
    return s->options_.from == SUBSCRIBER_FROM_SEQ ? s->options_.seq : 0;
}

static enum subscriber_event on_subscribed(struct subscriber *s,
                                           const struct client_message *message)
{
    const uint64_t wanted = wanted_next(s);
    if (s->active_ || !take_cursor(s, message)) {
        return say(s, SUBSCRIBER_BROKEN, "the server sent a `subscribed` that makes no sense");
    }
    s->active_ = true;
    s->refusals_ = 0;
    if (client_message_has(message, CLIENT_FIELD_RESET)) {
        if (!s->options_.on_gap_reset) {
            return say(s, SUBSCRIBER_BROKEN, "the server skipped messages though told not to");
        }
        return say(s, SUBSCRIBER_NOTICE,
                   "the position asked for (%" PRIu64 ") is not there; going on with %" PRIu64,
                   wanted, s->next_);
    }
    if (wanted != 0 && wanted != s->next_) {
        return say(s, SUBSCRIBER_BROKEN,
                   "order is broken: asked for seq %" PRIu64 ", the server goes on with %" PRIu64
                   " and tells no gap",
                   wanted, s->next_);
    }
    return SUBSCRIBER_NOTHING;
}

static enum subscriber_event on_push(struct subscriber *s, const struct client_message *message)
{
    uint64_t seq;
    if (!s->active_ || !client_message_integer(message, CLIENT_FIELD_SEQ, &seq)) {
        return say(s, SUBSCRIBER_BROKEN, "the server sent a message that was not asked for");
    }
    if (seq != s->next_) {
        return say(s, SUBSCRIBER_BROKEN, "order is broken: expected seq %" PRIu64 ", got %" PRIu64,
                   s->next_, seq);
    }
    s->last_ = seq;
    s->next_++;
    s->received_++;
    return SUBSCRIBER_DELIVER;
}

static enum subscriber_event on_gap(struct subscriber *s, const struct client_message *message)
{
    uint64_t from;
    uint64_t to;
    if (!s->active_ || !client_message_integer(message, CLIENT_FIELD_FROM, &from) ||
        !client_message_integer(message, CLIENT_FIELD_TO, &to) || from != s->next_ || to < from) {
        return say(s, SUBSCRIBER_BROKEN,
                   "the server told a gap that does not fit: seq %" PRIu64 " is next", s->next_);
    }
    char reason[40];
    client_message_show(message, CLIENT_FIELD_REASON, reason, sizeof(reason));
    const bool wanted = client_message_is(message, CLIENT_FIELD_REASON, BYTES_LITERAL("slow")) ||
                        client_message_is(message, CLIENT_FIELD_REASON, BYTES_LITERAL("conflated"));
    s->next_ = to + 1;
    return say(s, SUBSCRIBER_NOTICE, "messages %" PRIu64 " to %" PRIu64 " are %s (%s)", from, to,
               wanted ? "left out" : "lost", reason);
}

static enum subscriber_event on_reset(struct subscriber *s, const struct client_message *message)
{
    const uint64_t before = s->next_;
    if (!s->active_ || !take_cursor(s, message)) {
        return say(s, SUBSCRIBER_BROKEN, "the server sent a `reset` that makes no sense");
    }
    return say(s, SUBSCRIBER_NOTICE,
               "the channel's history has changed: seq %" PRIu64 " was next, now it is %" PRIu64,
               before, s->next_);
}

static enum subscriber_event on_unsubscribed(struct subscriber *s,
                                             const struct client_message *message)
{
    char reason[40];
    client_message_show(message, CLIENT_FIELD_REASON, reason, sizeof(reason));
    s->active_ = false;
    return say(s, SUBSCRIBER_FAILED,
               "the server ended the subscription (%s); seq %" PRIu64
               " was next; --on-gap reset goes on behind a gap",
               reason, s->next_);
}

static enum subscriber_event on_error(struct subscriber *s, const struct client_message *message,
                                      uint64_t now_ms)
{
    char code[40];
    char text[200];
    client_message_show(message, CLIENT_FIELD_CODE, code, sizeof(code));
    client_message_show(message, CLIENT_FIELD_TEXT, text, sizeof(text));
    const uint64_t asked = client_message_integer_or_0(message, CLIENT_FIELD_RETRY_AFTER_MS);
    if (asked > 0 || strcmp(code, "unavailable") == 0 || strcmp(code, "rate_limited") == 0 ||
        strcmp(code, "internal") == 0) {
        const uint64_t wait = asked > 0 ? asked : link_backoff_ms(s->refusals_, UINT64_MAX / 2);
        s->refusals_++;
        s->retry_at_ms_ = now_ms + (wait < PAUSE_MS_MAX ? wait : PAUSE_MS_MAX);
        return say(s, SUBSCRIBER_NOTICE, "the server cannot subscribe us now (%s): %s", code, text);
    }
    if (strcmp(code, "gap") == 0) {
        return say(s, SUBSCRIBER_FAILED,
                   "seq %" PRIu64 " is not there: the channel has %" PRIu64 " to %" PRIu64
                   "; --on-gap reset begins where it can",
                   wanted_next(s), client_message_integer_or_0(message, CLIENT_FIELD_EARLIEST),
                   client_message_integer_or_0(message, CLIENT_FIELD_LATEST));
    }
    return say(s, SUBSCRIBER_FAILED, "the server refuses (%s): %s", code, text);
}

enum subscriber_event subscriber_on_message(struct subscriber *subscriber,
                                            const struct client_message *message, uint64_t now_ms)
{
    struct subscriber *s = subscriber;
    if (client_message_has(message, CLIENT_FIELD_CHANNEL) &&
        !client_message_is(message, CLIENT_FIELD_CHANNEL, s->options_.channel)) {
        return say(s, SUBSCRIBER_BROKEN, "the server sent something of another channel");
    }
    switch (message->type) {
    case CLIENT_SUBSCRIBED: return on_subscribed(s, message);
    case CLIENT_MESSAGE: return on_push(s, message);
    case CLIENT_GAP: return on_gap(s, message);
    case CLIENT_RESET: return on_reset(s, message);
    case CLIENT_UNSUBSCRIBED: return on_unsubscribed(s, message);
    case CLIENT_ERROR: return on_error(s, message, now_ms);
    case CLIENT_CONNECTED:
    case CLIENT_PUBLISHED:
    case CLIENT_GOAWAY:
    case CLIENT_HISTORY:
    case CLIENT_DIGEST:
    case CLIENT_OTHER: return SUBSCRIBER_NOTHING; /* [P 2] what we do not know is ignored */
    }
    UNREACHABLE();
}

static enum rc append_from(const struct subscriber *s, struct buf *to)
{
    char text[SUBSCRIBER_EPOCH_SIZE + 80];
    if (s->has_cursor_) {
        (void)snprintf(text, sizeof(text), "{\"epoch\":%.*s,\"seq\":%" PRIu64 "}",
                       (int)s->epoch_size_, (const char *)s->epoch_, s->next_);
    } else if (s->options_.from == SUBSCRIBER_FROM_SEQ) {
        (void)snprintf(text, sizeof(text), "{\"seq\":%" PRIu64 "}", s->options_.seq);
    } else {
        (void)snprintf(text, sizeof(text), "\"%s\"",
                       s->options_.from == SUBSCRIBER_FROM_EARLIEST ? "earliest" : "latest");
    }
    return buf_append(to, bytes_of_text(text));
}

static enum rc append_subscribe(const struct subscriber *s, struct buf *to)
{
    enum rc rc = buf_append(to, BYTES_LITERAL("{\"type\":\"subscribe\",\"id\":2,\"channel\":"));
    if (rc == RC_OK) {
        rc = json_encode_string(to, s->options_.channel);
    }
    if (rc == RC_OK) {
        rc = buf_append(to, BYTES_LITERAL(",\"from\":"));
    }
    if (rc == RC_OK) {
        rc = append_from(s, to);
    }
    char tail[120];
    int size = snprintf(tail, sizeof(tail), ",\"on_gap\":\"%s\"",
                        s->options_.on_gap_reset ? "reset" : "error");
    if (s->options_.when_slow != NULL) {
        size += snprintf(tail + size, sizeof(tail) - (size_t)size, ",\"when_slow\":\"%s\"",
                         s->options_.when_slow);
    }
    if (s->options_.window > 0) {
        size += snprintf(tail + size, sizeof(tail) - (size_t)size, ",\"window\":%" PRIu64,
                         s->options_.window);
    }
    (void)snprintf(tail + size, sizeof(tail) - (size_t)size, "}");
    return rc == RC_OK ? buf_append(to, bytes_of_text(tail)) : rc;
}

static enum rc append_ack(const struct subscriber *s, struct buf *to)
{
    enum rc rc = buf_append(to, BYTES_LITERAL("{\"type\":\"ack\",\"channel\":"));
    if (rc == RC_OK) {
        rc = json_encode_string(to, s->options_.channel);
    }
    char tail[48];
    (void)snprintf(tail, sizeof(tail), ",\"seq\":%" PRIu64 "}", s->last_);
    return rc == RC_OK ? buf_append(to, bytes_of_text(tail)) : rc;
}

enum rc subscriber_next(struct subscriber *subscriber, uint64_t now_ms, struct buf *to)
{
    struct subscriber *s = subscriber;
    if (!s->active_ && now_ms >= s->retry_at_ms_) {
        s->retry_at_ms_ = NO_TIME;
        return append_subscribe(s, to);
    }
    if (s->active_ && s->options_.window > 0 && s->last_ > s->acked_) {
        s->acked_ = s->last_;
        return append_ack(s, to);
    }
    return RC_END;
}

uint64_t subscriber_deadline_ms(const struct subscriber *subscriber)
{
    return subscriber->active_ ? NO_TIME : subscriber->retry_at_ms_;
}

uint64_t subscriber_received(const struct subscriber *subscriber)
{
    return subscriber->received_;
}

const char *subscriber_text(const struct subscriber *subscriber)
{
    return subscriber->text_;
}
