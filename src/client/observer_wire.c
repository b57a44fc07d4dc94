/* How an observer asks, and how what comes is read. */
#include "client/link.h"
#include "client/observer_private.h"

#include <inttypes.h>
#include <stdio.h>

#define PAUSE_MS_MAX  60000u
#define HISTORY_LIMIT 1000u
#define REASON_SIZE   40u

/* ---- asking -------------------------------------------------------------------------------- */

void observer_on_ready(struct observer *observer, uint64_t now_ms)
{
    observer->active = false;
    observer->taken_last = 0;
    observer->acked = 0;
    observer->retry_at_ms = now_ms;
}

static enum rc append_subscribe(const struct observer *o, struct buf *to)
{
    char name[WORKLOAD_NAME_SIZE];
    char window[48] = "";
    (void)workload_channel_name(o->ledger->workload, o->channel, name);
    if (o->window > 0) {
        (void)snprintf(window, sizeof(window), ",\"window\":%" PRIu64, o->window);
    }
    if (!o->begun) {
        return buf_append_format(to,
                                 "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"%s\","
                                 "\"from\":\"earliest\",\"on_gap\":\"reset\"%s}",
                                 name, window);
    }
    return buf_append_format(to,
                             "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"%s\","
                             "\"from\":{\"epoch\":%.*s,\"seq\":%" PRIu64
                             "},\"on_gap\":\"reset\"%s}",
                             name, (int)o->epoch_size, (const char *)o->epoch, o->next, window);
}

enum rc observer_command(struct observer *observer, uint64_t now_ms, struct buf *to)
{
    struct observer *o = observer;
    if (!o->active && now_ms >= o->retry_at_ms) {
        o->retry_at_ms = OBSERVER_NEVER;
        return append_subscribe(o, to);
    }
    if (o->active && o->window > 0 && o->taken_last > o->acked) {
        char name[WORKLOAD_NAME_SIZE];
        (void)workload_channel_name(o->ledger->workload, o->channel, name);
        o->acked = o->taken_last;
        return buf_append_format(to, "{\"type\":\"ack\",\"channel\":\"%s\",\"seq\":%" PRIu64 "}",
                                 name, o->acked);
    }
    return RC_END;
}

enum rc observer_history_command(struct observer *observer, uint64_t id, struct buf *to)
{
    char name[WORKLOAD_NAME_SIZE];
    (void)workload_channel_name(observer->ledger->workload, observer->channel, name);
    return buf_append_format(to,
                             "{\"type\":\"history\",\"id\":%" PRIu64 ",\"channel\":\"%s\","
                             "\"from\":%" PRIu64 ",\"limit\":%u}",
                             id, name, observer->next, HISTORY_LIMIT);
}

/* ---- answers ------------------------------------------------------------------------------- */

static void broken(struct observer *o, const char *what)
{
    violations_add(o->ledger->violations, VIOLATION_PROTOCOL, 1, "%s, channel %" PRIu32 ": %s",
                   o->name, o->channel, what);
}

/* Takes over the epoch of an answer. False: there is none. */
static bool take_epoch(struct observer *o, const struct client_message *message)
{
    const struct json_value *epoch = &message->fields[CLIENT_FIELD_EPOCH];
    if (!client_message_has(message, CLIENT_FIELD_EPOCH) || epoch->kind != JSON_KIND_STRING ||
        epoch->raw.size > sizeof(o->epoch)) {
        return false;
    }
    bytes_copy(o->epoch, epoch->raw.data, epoch->raw.size);
    o->epoch_size = epoch->raw.size;
    ledger_epoch(o->ledger, o->channel, epoch->raw);
    return true;
}

/* The server has moved our position. Ahead it is an announced gap; back, what comes again was taken
 * back: those seqs are of another history, which ledger_epoch() has told. */
static void move_to(struct observer *o, uint64_t next, const char *reason)
{
    if (next > o->next) {
        observer_gap(o, o->next, next - 1, reason);
        return;
    }
    violations_add(o->ledger->violations, VIOLATION_GAP_ANNOUNCED, next < o->next ? 1 : 0,
                   "%s, channel %" PRIu32 ": the server goes back from seq %" PRIu64 " to %" PRIu64
                   " (%s)",
                   o->name, o->channel, o->next, next, reason);
    o->digest_whole = o->digest_whole && next == o->next;
    o->next = next;
}

static void on_subscribed(struct observer *o, const struct client_message *message)
{
    uint64_t next;
    uint64_t latest;
    if (o->active || !take_epoch(o, message) ||
        !client_message_integer(message, CLIENT_FIELD_NEXT, &next) || next == 0 ||
        !client_message_integer(message, CLIENT_FIELD_LATEST, &latest)) {
        broken(o, "a `subscribed` that makes no sense");
        return;
    }
    const bool first = !o->begun;
    o->active = true;
    o->begun = true;
    o->refusals = 0;
    o->latest_told = latest;
    if (client_message_has(message, CLIENT_FIELD_RESET)) {
        move_to(o, next, "reset");
    } else if (first && next > 1) {
        observer_gap(o, 1, next - 1, "asked for the earliest");
    } else if (next != o->next) {
        /* [P 3] the position asked for, or a reset: nothing else. What it skips shows by itself. */
        broken(o, "subscribed at another seq than was asked for, and no reset told");
    }
    o->acked = o->next - 1;
}

static void on_gap(struct observer *o, const struct client_message *message)
{
    char reason[REASON_SIZE];
    uint64_t from;
    uint64_t to;
    if (!o->active || !client_message_integer(message, CLIENT_FIELD_FROM, &from) ||
        !client_message_integer(message, CLIENT_FIELD_TO, &to) || from != o->next || to < from) {
        broken(o, "a `gap` that does not begin with the seq that is next");
        return;
    }
    client_message_show(message, CLIENT_FIELD_REASON, reason, sizeof(reason));
    observer_gap(o, from, to, reason);
}

static void on_reset(struct observer *o, const struct client_message *message)
{
    uint64_t next;
    if (!o->active || !take_epoch(o, message) ||
        !client_message_integer(message, CLIENT_FIELD_NEXT, &next) || next == 0) {
        broken(o, "a `reset` that makes no sense");
        return;
    }
    move_to(o, next, "reset");
    o->acked = next - 1;
    o->taken_last = 0;
}

/* [P 3] what waiting may cure is tried again; the rest is final. */
static void on_error(struct observer *o, const struct client_message *message, uint64_t now_ms)
{
    char code[REASON_SIZE];
    char text[200];
    client_message_show(message, CLIENT_FIELD_CODE, code, sizeof(code));
    client_message_show(message, CLIENT_FIELD_TEXT, text, sizeof(text));
    uint64_t pause = client_message_integer_or_0(message, CLIENT_FIELD_RETRY_AFTER_MS);
    if (pause == 0 && strcmp(code, "unavailable") != 0 && strcmp(code, "internal") != 0 &&
        strcmp(code, "rate_limited") != 0) {
        (void)snprintf(o->why, sizeof(o->why), "%s, channel %" PRIu32 ": refused (%s): %s", o->name,
                       o->channel, code, text);
        return;
    }
    pause = pause > 0 ? pause : link_backoff_ms(o->refusals, now_ms);
    pause = pause < PAUSE_MS_MAX ? pause : PAUSE_MS_MAX;
    o->refusals++;
    o->active = false;
    o->retry_at_ms = now_ms + pause;
}

static void on_push(struct observer *o, const struct client_message *message, uint64_t load_ns)
{
    struct pushed pushed;
    if (!o->active || !pushed_from(message, &o->room, &pushed)) {
        broken(o, "a `message` that lacks a member, or was not asked for");
        return;
    }
    observer_message(o, &pushed, false, load_ns);
}

void observer_take(struct observer *observer, const struct client_message *message,
                   uint64_t load_ns, uint64_t now_ms)
{
    struct observer *o = observer;
    char name[WORKLOAD_NAME_SIZE];
    const size_t size = workload_channel_name(o->ledger->workload, o->channel, name);
    const bool named = client_message_has(message, CLIENT_FIELD_CHANNEL);
    if (named ? !client_message_is(message, CLIENT_FIELD_CHANNEL, bytes_of(name, size))
              : message->type == CLIENT_MESSAGE || message->type == CLIENT_GAP ||
                    message->type == CLIENT_RESET) {
        broken(o, "something of another channel");
        return;
    }
    switch (message->type) {
    case CLIENT_SUBSCRIBED: on_subscribed(o, message); break;
    case CLIENT_MESSAGE: on_push(o, message, load_ns); break;
    case CLIENT_GAP: on_gap(o, message); break;
    case CLIENT_RESET: on_reset(o, message); break;
    case CLIENT_ERROR: on_error(o, message, now_ms); break;
    case CLIENT_UNSUBSCRIBED:
        o->active = false;
        o->retry_at_ms = now_ms + link_backoff_ms(o->refusals++, now_ms);
        break;
    case CLIENT_CONNECTED:
    case CLIENT_PUBLISHED:
    case CLIENT_HISTORY:
    case CLIENT_DIGEST:
    case CLIENT_GOAWAY:
    case CLIENT_OTHER: break; /* [P 2] what we do not know is ignored */
    }
}

bool observer_take_quick(struct observer *observer, struct bytes text, uint64_t load_ns)
{
    struct pushed pushed;
    if (!observer->active || !pushed_quick(text, buf_bytes(&observer->head), &pushed)) {
        return false;
    }
    const size_t size = observer_data_matches(observer, &pushed, pushed.data);
    if (size == 0 || pushed.data.size != size + 1 || pushed.data.data[size] != '}') {
        return false;
    }
    pushed.data.size = size;
    observer_message(observer, &pushed, true, load_ns);
    return true;
}

/* ---- history ------------------------------------------------------------------------------- */

/* One element of `messages`, from *at on, in the usual order of members. */
static bool element_quick(struct observer *o, struct bytes text, size_t *at)
{
    struct pushed pushed;
    const struct bytes rest = bytes_of(text.data + *at, text.size - *at);
    if (!pushed_quick(rest, BYTES_LITERAL("{\"seq\":"), &pushed)) {
        return false;
    }
    const size_t size = observer_data_matches(o, &pushed, pushed.data);
    if (size == 0 || pushed.data.size <= size || pushed.data.data[size] != '}') {
        return false;
    }
    *at = (size_t)(pushed.data.data - text.data) + size + 1;
    pushed.data.size = size;
    observer_message(o, &pushed, true, 0);
    return true;
}

static bool element_strict(struct observer *o, struct bytes text, size_t *at)
{
    struct json_scan scan;
    struct json_value value;
    struct client_message message;
    struct pushed pushed;
    json_scan_init(&scan, bytes_of(text.data + *at, text.size - *at));
    if (json_scan_value(&scan, &value) != RC_OK ||
        client_message_parse_element(value.raw, &message) != RC_OK ||
        !pushed_from(&message, &o->room, &pushed)) {
        return false;
    }
    *at += json_scan_offset(&scan);
    observer_message(o, &pushed, false, 0);
    return true;
}

static void skip_space(struct bytes text, size_t *at)
{
    while (*at < text.size && (text.data[*at] == ' ' || text.data[*at] == '\t' ||
                               text.data[*at] == '\n' || text.data[*at] == '\r')) {
        (*at)++;
    }
}

/* `text` is an array, as the scanner has found already. */
static bool take_elements(struct observer *o, struct bytes text)
{
    size_t at = 1;
    for (skip_space(text, &at); text.data[at] != ']'; skip_space(text, &at)) {
        if (!element_quick(o, text, &at) && !element_strict(o, text, &at)) {
            return false;
        }
        skip_space(text, &at);
        at += text.data[at] == ',' ? 1 : 0;
    }
    return true;
}

/* [P 3] damaged: ranges of messages that the server could not read, told before they are missed. */
static void take_damaged(struct observer *o, const struct client_message *message)
{
    const struct json_value *damaged = &message->fields[CLIENT_FIELD_DAMAGED];
    if (client_message_has(message, CLIENT_FIELD_DAMAGED) && damaged->kind == JSON_KIND_ARRAY) {
        violations_add(o->ledger->violations, VIOLATION_GAP_ANNOUNCED, 1,
                       "%s, channel %" PRIu32 ": the server cannot read %.*s", o->name, o->channel,
                       (int)(damaged->raw.size < 120 ? damaged->raw.size : 120),
                       (const char *)damaged->raw.data);
    }
}

void observer_take_history(struct observer *observer, const struct client_message *message,
                           bool *ret_more)
{
    struct observer *o = observer;
    const struct json_value *messages = &message->fields[CLIENT_FIELD_MESSAGES];
    uint64_t earliest;
    uint64_t latest;
    *ret_more = false;
    if (!client_message_has(message, CLIENT_FIELD_MESSAGES) || messages->kind != JSON_KIND_ARRAY ||
        !take_epoch(o, message) ||
        !client_message_integer(message, CLIENT_FIELD_EARLIEST, &earliest) ||
        !client_message_integer(message, CLIENT_FIELD_LATEST, &latest)) {
        broken(o, "a `history` that makes no sense");
        return;
    }
    take_damaged(o, message);
    if (earliest > o->next) {
        observer_gap(o, o->next, earliest - 1, "trimmed");
    }
    const uint64_t before = o->next;
    o->latest_told = latest;
    if (!take_elements(o, messages->raw)) {
        broken(o, "a `history` with an element that is no message");
        return;
    }
    *ret_more = client_message_true(message, CLIENT_FIELD_MORE);
    if (*ret_more && o->next == before) {
        *ret_more = false; /* it would never end */
        broken(o, "a `history` that says there is more, and gives nothing");
    }
}
