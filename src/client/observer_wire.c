/* How what a server says is read by an observer. */
#include "client/observer_private.h"

#include <inttypes.h>
#include <stdio.h>

static void broken(struct observer *o, const char *what)
{
    violations_add(o->ledger->violations, VIOLATION_PROTOCOL, 1, "%s, channel %" PRIu32 ": %s",
                   o->name, o->channel, what);
}

/* ---- what the client says ------------------------------------------------------------------ */

void observer_on_ready(struct observer *observer)
{
    struct observer *o = observer;
    o->active = false;
    o->ended = false;
    o->acked = 0;
    o->asked_id = 0;
    o->answered_next = 0;
    for (size_t i = 0; i < OBSERVER_ANSWERED; i++) {
        o->answered[i] = 0;
    }
}

void observer_said(struct observer *observer, const struct client_said *said)
{
    struct observer *o = observer;
    switch (said->what) {
    case CLIENT_SAID_PUBLISH:
    case CLIENT_SAID_QUESTION: break;
    case CLIENT_SAID_SUBSCRIBE:
        o->asked = said->number;
        o->asked_id = said->id;
        break;
    case CLIENT_SAID_ACK: o->acked = said->number > o->acked ? said->number : o->acked; break;
    }
}

/* ---- answers ------------------------------------------------------------------------------- */

bool observer_is_first_answer(struct observer *observer, const struct reply *reply)
{
    struct observer *o = observer;
    if (reply->id == 0) {
        return true; /* a push */
    }
    for (size_t i = 0; i < OBSERVER_ANSWERED; i++) {
        if (o->answered[i] == reply->id) {
            broken(o, "a second answer to one command");
            return false;
        }
    }
    o->answered[o->answered_next++ % OBSERVER_ANSWERED] = reply->id;
    return true;
}

/* Takes over the epoch of an answer. */
static void take_epoch(struct observer *o, const struct reply *reply)
{
    bytes_copy((uint8_t *)o->epoch, (const uint8_t *)reply->epoch, sizeof(o->epoch));
    ledger_epoch(o->ledger, o->channel, bytes_of_text(reply->epoch));
}

/* The server has moved our position. Ahead it is an announced gap; back, what comes again was taken
 * back: those seqs are of another history, which ledger_epoch() has told. */
static void move_to(struct observer *o, uint64_t next, const char *reason)
{
    o->again = 0;
    if (next > o->next) {
        observer_gap(o, o->next, next - 1, reason);
        return;
    }
    violations_add(o->ledger->violations, VIOLATION_GAP_ANNOUNCED, next < o->next ? 1 : 0,
                   "%s, channel %" PRIu32 ": the server goes back from seq %" PRIu64 " to %" PRIu64
                   " (%s)",
                   o->name, o->channel, o->next, next, reason);
    o->digest_whole = o->digest_whole && next == o->next;
    o->behind = next < o->next && o->next > o->behind ? o->next : o->behind;
    o->next = next;
}

static void on_subscribed(struct observer *o, const struct reply *reply)
{
    const bool asked_for = o->asked_id != 0 && reply->id == o->asked_id;
    o->asked_id = asked_for ? 0 : o->asked_id;
    if (!asked_for || o->active || !reply->has_latest) {
        broken(o, asked_for ? "a `subscribed` that makes no sense"
                            : "a `subscribed` that was not asked for");
        return;
    }
    take_epoch(o, reply);
    const uint64_t next = reply->next;
    const uint64_t asked = o->asked == 0 ? 1 : o->asked;
    o->active = true;
    o->begun = true;
    o->left = false;
    o->latest_told = reply->latest;
    o->again = 0;
    if (reply->reason != REPLY_REASON_NONE) {
        move_to(o, next, "reset");
    } else if (o->asked == 0 && next > o->next) {
        observer_gap(o, o->next, next - 1, "asked for the earliest");
    } else if (next != asked) {
        /* [P 3] the position asked for, or a reset: nothing else. What it skips shows by itself. */
        broken(o, "subscribed at another seq than was asked for, and no reset told");
    } else if (next < o->next) {
        o->again = next;
    }
    o->acked = next - 1;
}

static void on_gap(struct observer *o, const struct reply *reply)
{
    const uint64_t wanted = o->again == 0 ? o->next : o->again;
    if (!o->active || reply->from != wanted || reply->to < reply->from) {
        broken(o, "a `gap` that does not begin with the seq that is next");
        return;
    }
    observer_gap(o, reply->from, reply->to, reply_reason_text(reply->reason));
}

static void on_reset(struct observer *o, const struct reply *reply)
{
    if (!o->active) {
        broken(o, "a `reset` that makes no sense");
        return;
    }
    take_epoch(o, reply);
    move_to(o, reply->next, "reset");
    o->acked = reply->next - 1;
}

static bool is_whole(struct observer *o, const struct reply_message *m)
{
    return m->time_ms > 0 && observer_id(o, m).size > 0;
}

static void on_message(struct observer *o, const struct reply_message *m, uint64_t load_ns)
{
    if (!o->active || !is_whole(o, m)) {
        broken(o, "a `message` that lacks a member, or was not asked for");
        return;
    }
    observer_message(o, m, load_ns);
}

static void on_unsubscribed(struct observer *o, const struct reply *reply)
{
    const bool by_itself = reply->id == 0; /* else it answers our `unsubscribe` */
    o->ended = o->ended || (by_itself && o->active);
    o->left = o->left || by_itself;
    o->active = false;
}

/* The client says what becomes of it. [P 6] `not_subscribed` without an id answers an ack, which
 * is right where it has crossed the server's own `unsubscribed`. */
static void on_error(struct observer *o, const struct reply *reply)
{
    const struct bytes code = BYTES_LITERAL("not_subscribed");
    o->asked_id = reply->id == o->asked_id ? 0 : o->asked_id;
    if (reply->id == 0 && !o->ended && client_message_is(&reply->object, CLIENT_FIELD_CODE, code)) {
        broken(o, "`not_subscribed`, and the server has ended no subscription");
    }
}

static bool is_ours(const struct observer *o, const struct reply *reply)
{
    const struct bytes name = bytes_of(o->channel_name, o->channel_name_size);
    if (reply->type == CLIENT_ERROR) { /* which need not name one */
        return !client_message_has(&reply->object, CLIENT_FIELD_CHANNEL) ||
               client_message_is(&reply->object, CLIENT_FIELD_CHANNEL, name);
    }
    return bytes_equal(reply->channel, name);
}

static bool is_push(enum client_type type)
{
    return type == CLIENT_MESSAGE || type == CLIENT_GAP || type == CLIENT_RESET;
}

void observer_heard(struct observer *observer, const struct reply *reply, uint64_t load_ns)
{
    struct observer *o = observer;
    switch (reply->type) {
    case CLIENT_CONNECTED:
    case CLIENT_PUBLISHED:
    case CLIENT_DIGEST:
    case CLIENT_GOAWAY:
    case CLIENT_OTHER: return; /* [P 2] what we do not know is ignored */
    case CLIENT_HISTORY:       /* the client fills a hole, which is counted */
        (void)observer_is_first_answer(o, reply);
        return;
    case CLIENT_ERROR:
    case CLIENT_SUBSCRIBED:
    case CLIENT_UNSUBSCRIBED:
    case CLIENT_MESSAGE:
    case CLIENT_GAP:
    case CLIENT_RESET: break;
    }
    if (!is_ours(o, reply)) {
        broken(o, "something of another channel");
    } else if (!is_push(reply->type) && !observer_is_first_answer(o, reply)) {
        return;
    } else if (reply->type == CLIENT_MESSAGE) {
        on_message(o, &reply->message, load_ns);
    } else if (reply->type == CLIENT_SUBSCRIBED) {
        on_subscribed(o, reply);
    } else if (reply->type == CLIENT_GAP) {
        on_gap(o, reply);
    } else if (reply->type == CLIENT_RESET) {
        on_reset(o, reply);
    } else if (reply->type == CLIENT_UNSUBSCRIBED) {
        on_unsubscribed(o, reply);
    } else {
        on_error(o, reply);
    }
}

/* ---- history ------------------------------------------------------------------------------- */

/* [P 3] damaged: ranges of messages that the server could not read, told before they are missed. */
static void take_damaged(struct observer *o, enum wire_codec codec, struct reply *reply)
{
    struct wire_range range;
    enum rc rc;
    while ((rc = reply_next_damaged(codec, reply, &range)) == RC_OK) {
        violations_add(o->ledger->violations, VIOLATION_GAP_ANNOUNCED, 1,
                       "%s, channel %" PRIu32 ": the server cannot read seqs %" PRIu64
                       " to %" PRIu64,
                       o->name, o->channel, range.from, range.to);
    }
    if (rc != RC_END) {
        broken(o, "a `history` with damage that is no range");
    }
}

/* RC_END: that was the last one. */
static enum rc take_element(struct observer *o, enum wire_codec codec, struct reply *reply,
                            struct reply_room *room)
{
    struct reply_message message;
    const enum rc rc = reply_next_element(codec, reply, room, &message);
    if (rc != RC_OK) {
        return rc;
    }
    if (!is_whole(o, &message)) {
        return RC_BAD;
    }
    observer_message(o, &message, 0);
    return RC_OK;
}

void observer_history(struct observer *observer, enum wire_codec codec, const struct reply *reply,
                      struct reply_room *room, bool *ret_more)
{
    struct observer *o = observer;
    struct reply rest = *reply; /* reading it moves on */
    enum rc rc = RC_OK;
    *ret_more = false;
    if (!reply->has_earliest || !reply->has_latest || !is_ours(o, reply)) {
        broken(o, "a `history` that makes no sense");
        return;
    }
    take_epoch(o, reply);
    take_damaged(o, codec, &rest);
    if (reply->earliest > o->next) {
        observer_gap(o, o->next, reply->earliest - 1, "trimmed");
    }
    const uint64_t before = o->next;
    o->latest_told = reply->latest;
    while (rc == RC_OK) {
        rc = take_element(o, codec, &rest, room);
    }
    if (rc == RC_NOMEM) {
        *ret_more = true; /* the rest is asked for again */
        return;
    }
    if (rc != RC_END) {
        broken(o, "a `history` with an element that is no message");
        return;
    }
    *ret_more = reply->more;
    if (*ret_more && o->next == before) {
        *ret_more = false; /* it would never end */
        broken(o, "a `history` that says there is more, and gives nothing");
    }
}
