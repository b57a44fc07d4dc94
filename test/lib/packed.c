#include "test/lib/packed.h"

#include "wire/json_codec.h"

#include <stdio.h>

/* ---- to bytes -------------------------------------------------------------------------------- */

static void add(struct buf *to, const void *data, size_t size)
{
    const enum rc rc = buf_append(to, bytes_of(data, size));
    ASSERT(rc == RC_OK);
}

static void add_byte(struct buf *to, unsigned value)
{
    const uint8_t byte = (uint8_t)value;
    add(to, &byte, 1);
}

/* Written byte by byte, as the page tells it. */
static void add_int(struct buf *to, uint64_t value)
{
    unsigned code = 0;
    while (code < 3 && value >= UINT64_C(1) << ((8u << code) - 2)) {
        code++;
    }
    uint64_t word = value * 4 + code;
    for (unsigned left = 1u << code; left > 0; left--) {
        add_byte(to, word % 256);
        word /= 256;
    }
}

static void add_u64(struct buf *to, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++) {
        add_byte(to, value >> (8 * i) & 255);
    }
}

static void add_text(struct buf *to, struct bytes text)
{
    ASSERT(text.size <= 255);
    add_byte(to, (unsigned)text.size);
    add(to, text.data, text.size);
}

static void add_bytes(struct buf *to, struct bytes bytes)
{
    add_int(to, bytes.size);
    add(to, bytes.data, bytes.size);
}

static void add_connect(struct buf *to, const struct wire_command *c)
{
    if (c->producer.id.size > 0) {
        add_text(to, c->producer.id);
        add_int(to, c->producer.epoch);
    }
    if (c->token.data != NULL) {
        add_bytes(to, c->token);
    }
}

static void add_publish(struct buf *to, const struct wire_command *c)
{
    add_text(to, c->channel);
    if (c->has_producer_seq) {
        add_int(to, c->producer_seq);
    }
    if (c->is_batch) {
        add_int(to, c->item_count);
    }
    for (uint32_t i = 0; i < c->item_count; i++) {
        const struct wire_item *item = &c->items[i];
        add_byte(to, (item->has_key ? 1u : 0u) + (item->is_bytes ? 2u : 0u));
        if (item->has_key) {
            add_text(to, item->key);
        }
        add_bytes(to, item->data);
    }
}

static void add_subscribe(struct buf *to, const struct wire_command *c)
{
    uint64_t epoch = c->epoch_number;
    if (c->epoch.data != NULL && !wire_epoch_parse(c->epoch, &epoch)) {
        epoch = 0;
    }
    add_text(to, c->channel);
    switch (c->from) {
    case WIRE_FROM_LATEST: add_byte(to, 0); break;
    case WIRE_FROM_EARLIEST: add_byte(to, 1); break;
    case WIRE_FROM_SEQ:
        add_byte(to, 2);
        add_int(to, c->seq);
        break;
    case WIRE_FROM_EPOCH_SEQ:
        add_byte(to, 3);
        add_u64(to, epoch);
        add_int(to, c->seq);
        break;
    case WIRE_FROM_TIME:
        add_byte(to, 4);
        add_int(to, c->time_ms);
        break;
    }
    if (c->window > 0) {
        add_int(to, c->window);
    }
    if (c->when_slow != WIRE_CATCH_UP) {
        add_byte(to, (unsigned)c->when_slow);
    }
}

static void add_history(struct buf *to, const struct wire_command *c)
{
    add_text(to, c->channel);
    if (c->has_history_from) {
        add_int(to, c->history_from);
    }
    add_int(to, c->limit);
}

static void add_fields(struct buf *to, const struct wire_command *c)
{
    switch (c->type) {
    case WIRE_CONNECT: add_connect(to, c); break;
    case WIRE_PUBLISH: add_publish(to, c); break;
    case WIRE_SUBSCRIBE: add_subscribe(to, c); break;
    case WIRE_ACK:
        add_text(to, c->channel);
        add_int(to, c->seq);
        break;
    case WIRE_UNSUBSCRIBE: add_text(to, c->channel); break;
    case WIRE_HISTORY: add_history(to, c); break;
    case WIRE_DIGEST:
        add_text(to, c->channel);
        if (c->has_seq) {
            add_int(to, c->seq);
        }
        break;
    case WIRE_PING: break;
    }
}

static unsigned flag(bool is_set, unsigned value)
{
    return is_set ? value : 0;
}

static unsigned flags_of(const struct wire_command *c)
{
    switch (c->type) {
    case WIRE_CONNECT:
        return flag(c->producer.id.size > 0, 1) + flag(c->token.data != NULL, 2) +
               flag(c->cumulative, 4);
    case WIRE_PUBLISH:
        return flag(c->has_producer_seq, 1) + flag(c->is_batch, 2) + flag(c->quiet, 4);
    case WIRE_SUBSCRIBE:
        return flag(c->on_gap_reset, 1) + flag(c->window > 0, 2) +
               flag(c->when_slow != WIRE_CATCH_UP, 4);
    case WIRE_HISTORY: return flag(c->has_history_from, 1) + 2u + flag(c->reverse, 4);
    case WIRE_DIGEST: return flag(c->has_seq, 1);
    case WIRE_ACK:
    case WIRE_UNSUBSCRIBE:
    case WIRE_PING: return 0;
    }
    UNREACHABLE();
}

void packed_command(struct buf *to, const struct wire_command *command)
{
    static const unsigned types[] = {
        [WIRE_CONNECT] = 1,     [WIRE_PUBLISH] = 2, [WIRE_SUBSCRIBE] = 3, [WIRE_ACK] = 4,
        [WIRE_UNSUBSCRIBE] = 5, [WIRE_HISTORY] = 6, [WIRE_DIGEST] = 7,    [WIRE_PING] = 8,
    };
    struct buf content = {0};
    add_byte(&content, types[command->type]);
    add_byte(&content, flags_of(command));
    add_int(&content, command->id);
    add_fields(&content, command);
    add_bytes(to, buf_bytes(&content));
    buf_deinit(&content);
}

bool packed_text(struct buf *to, struct bytes text)
{
    static const struct wire_limits limits = {.message_bytes = MESSAGE_BYTES_MAX};
    struct wire_scratch scratch;
    struct wire_command command = {0};
    struct wire_error error = {0};
    wire_scratch_init(&scratch);
    const enum rc rc = json_command_decode(text, &limits, &scratch, &command, &error);
    if (rc == RC_OK) {
        packed_command(to, &command);
    }
    wire_scratch_deinit(&scratch);
    return rc == RC_OK;
}

/* ---- from bytes ------------------------------------------------------------------------------ */

struct unpack {
    struct bytes rest; /* of the unit */
    struct buf *to;
    const char *wrong;
};

static void wrong(struct unpack *u, const char *what)
{
    u->wrong = u->wrong == NULL ? what : u->wrong;
}

static struct bytes get(struct unpack *u, uint64_t size)
{
    if (size > u->rest.size) {
        wrong(u, "a field goes beyond its unit");
        return (struct bytes){0};
    }
    const struct bytes piece = bytes_of(u->rest.data, (size_t)size);
    u->rest.data += size;
    u->rest.size -= (size_t)size;
    return piece;
}

static uint64_t get_number(struct unpack *u, unsigned size)
{
    const struct bytes bytes = get(u, size);
    uint64_t value = 0;
    for (size_t i = bytes.size; i > 0; i--) {
        value = value << 8 | bytes.data[i - 1];
    }
    return value;
}

static unsigned get_byte(struct unpack *u)
{
    return (unsigned)get_number(u, 1);
}

static uint64_t get_u64(struct unpack *u)
{
    return get_number(u, 8);
}

static uint64_t get_int(struct unpack *u)
{
    const unsigned code = u->rest.size == 0 ? 0 : u->rest.data[0] % 4u;
    const uint64_t value = get_number(u, 1u << code) / 4;
    if (code > 0 && value < UINT64_C(1) << ((8u << (code - 1)) - 2)) {
        wrong(u, "an int is not in its shortest form");
    }
    if (value > WIRE_INTEGER_MAX) {
        wrong(u, "an int is above 2^53 - 1");
    }
    return value;
}

static struct bytes get_text(struct unpack *u)
{
    return get(u, get_byte(u));
}

static const char *get_reason(struct unpack *u)
{
    static const char *const reasons[] = {
        "", "trimmed", "epoch", "ahead", "damaged", "gap", "unavailable", "slow", "conflated",
    };
    const unsigned reason = get_byte(u);
    if (reason == 0 || reason >= sizeof(reasons) / sizeof(reasons[0])) {
        wrong(u, "there is no such reason");
        return "";
    }
    return reasons[reason];
}

/* ---- to JSON --------------------------------------------------------------------------------- */

static void say(struct unpack *u, const char *text)
{
    add(u->to, text, strlen(text));
}

/* A name, after a comma but for the first of an object. */
static void say_name(struct unpack *u, const char *name)
{
    say(u, u->to->data[u->to->size - 1] == '{' ? "\"" : ",\"");
    say(u, name);
    say(u, "\":");
}

static void say_number(struct unpack *u, const char *name, uint64_t value)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    say_name(u, name);
    say(u, text);
}

static void say_text(struct unpack *u, const char *name, struct bytes value)
{
    say_name(u, name);
    say(u, "\"");
    for (size_t i = 0; i < value.size; i++) {
        const uint8_t c = value.data[i];
        char escaped[8];
        if (c < 0x20 || c == '"' || c == '\\') {
            (void)snprintf(escaped, sizeof(escaped), "\\u%04x", c);
            say(u, escaped);
        } else {
            add(u->to, &c, 1);
        }
    }
    say(u, "\"");
}

static void say_epoch(struct unpack *u)
{
    char text[WIRE_EPOCH_TEXT_SIZE];
    wire_epoch_text(get_u64(u), text);
    say_text(u, "epoch", bytes_of_text(text));
}

static void say_digits(struct unpack *u, const char *name, const char *format, uint64_t value)
{
    char text[32];
    (void)snprintf(text, sizeof(text), format, (unsigned long long)value);
    say_text(u, name, bytes_of_text(text));
}

static void say_base64(struct unpack *u, struct bytes data)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    say_name(u, "data_base64");
    say(u, "\"");
    for (size_t i = 0; i < data.size; i += 3) {
        const size_t have = data.size - i < 3 ? data.size - i : 3;
        uint32_t bits = (uint32_t)data.data[i] << 16;
        bits |= have > 1 ? (uint32_t)data.data[i + 1] << 8 : 0;
        bits |= have > 2 ? data.data[i + 2] : 0;
        for (unsigned k = 0; k < 4; k++) {
            add_byte(u->to, k <= have ? (unsigned)alphabet[bits >> (18 - 6 * k) & 63] : '=');
        }
    }
    say(u, "\"");
}

static void say_channel(struct unpack *u)
{
    say_text(u, "channel", get_text(u));
}

/* ---- units ----------------------------------------------------------------------------------- */

static void unpack_message(struct unpack *u, unsigned flags)
{
    say_number(u, "seq", get_int(u));
    say_digits(u, "message_id", "%llu", get_u64(u));
    say_number(u, "time", get_int(u));
    if ((flags & 1) != 0) {
        say_text(u, "key", get_text(u));
    }
    if ((flags & 4) != 0) {
        say_text(u, "producer", get_text(u));
    }
    if ((flags & 8) != 0) {
        say_number(u, "producer_seq", get_int(u));
    }
    const struct bytes data = get(u, u->rest.size);
    if ((flags & 2) != 0) {
        say_base64(u, data);
    } else {
        say_name(u, "data");
        add(u->to, data.data, data.size);
    }
}

static void unpack_published(struct unpack *u, unsigned flags)
{
    say_channel(u);
    say_epoch(u);
    if ((flags & 1) != 0) {
        say_number(u, "seq", get_int(u));
    }
    if ((flags & 2) != 0) {
        say_digits(u, "message_id", "%llu", get_u64(u));
    }
    if ((flags & 4) != 0) {
        say_number(u, "count", get_int(u));
    }
    if ((flags & 16) != 0) {
        say_number(u, "publishes", get_int(u));
    }
    if ((flags & 8) != 0) {
        say_name(u, "duplicate");
        say(u, "true");
    }
}

static void unpack_subscribed(struct unpack *u, unsigned flags)
{
    say_channel(u);
    say_epoch(u);
    say_number(u, "next", get_int(u));
    say_number(u, "earliest", get_int(u));
    say_number(u, "latest", get_int(u));
    if ((flags & 1) != 0) {
        say_name(u, "reset");
        say(u, "{");
        say_text(u, "reason", bytes_of_text(get_reason(u)));
        say(u, "}");
    }
}

static void unpack_unsubscribed(struct unpack *u, unsigned flags)
{
    say_channel(u);
    if ((flags & 1) != 0) {
        say_text(u, "reason", bytes_of_text(get_reason(u)));
    }
    if ((flags & 2) != 0) {
        say_number(u, "from", get_int(u));
        say_number(u, "to", get_int(u));
        say_epoch(u);
        say_number(u, "earliest", get_int(u));
        say_number(u, "latest", get_int(u));
    }
}

static void unpack_elements(struct unpack *u)
{
    say_name(u, "messages");
    say(u, "[");
    for (bool first = true; u->rest.size > 0 && u->wrong == NULL; first = false) {
        struct unpack inner = {.to = u->to};
        inner.rest = get(u, get_int(u));
        say(u, first ? "{" : ",{");
        const unsigned flags = get_byte(&inner);
        if (flags > 15) {
            wrong(u, "a message has a flag that it should not have");
        }
        unpack_message(&inner, flags);
        say(u, "}");
        if (inner.wrong != NULL) {
            wrong(u, inner.wrong);
        }
    }
    say(u, "]");
}

static void unpack_history(struct unpack *u, unsigned flags)
{
    say_channel(u);
    say_epoch(u);
    say_number(u, "earliest", get_int(u));
    say_number(u, "latest", get_int(u));
    if ((flags & 2) != 0) {
        say_name(u, "damaged");
        say(u, "[");
        const uint64_t count = get_int(u);
        for (uint64_t i = 0; i < count && u->wrong == NULL; i++) {
            say(u, i == 0 ? "{" : ",{");
            say_number(u, "from", get_int(u));
            say_number(u, "to", get_int(u));
            say(u, "}");
        }
        say(u, "]");
    }
    unpack_elements(u);
    if ((flags & 1) != 0) {
        say_name(u, "more");
        say(u, "true");
    }
}

static void unpack_digest(struct unpack *u)
{
    say_channel(u);
    say_epoch(u);
    say_number(u, "seq", get_int(u));
    say_digits(u, "digest", "%016llx", get_u64(u));
}

static void unpack_gap(struct unpack *u)
{
    say_channel(u);
    say_number(u, "from", get_int(u));
    say_number(u, "to", get_int(u));
    say_text(u, "reason", bytes_of_text(get_reason(u)));
}

static void unpack_reset(struct unpack *u)
{
    say_channel(u);
    say_epoch(u);
    say_text(u, "reason", bytes_of_text(get_reason(u)));
    say_number(u, "next", get_int(u));
}

static const struct {
    unsigned type;
    const char *name;
    unsigned flags;
} kinds[] = {
    {0x82, "published", 31}, {0x83, "subscribed", 1}, {0x85, "unsubscribed", 3},
    {0x86, "history", 3},    {0x87, "digest", 0},     {0x88, "pong", 0},
    {0x90, "message", 15},   {0x91, "gap", 0},        {0x92, "reset", 0},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void unpack_fields(struct unpack *u, unsigned type, unsigned flags)
{
    switch (type) {
    case 0x82: unpack_published(u, flags); break;
    case 0x83: unpack_subscribed(u, flags); break;
    case 0x85: unpack_unsubscribed(u, flags); break;
    case 0x86: unpack_history(u, flags); break;
    case 0x87: unpack_digest(u); break;
    case 0x90:
        say_channel(u);
        unpack_message(u, flags);
        break;
    case 0x91: unpack_gap(u); break;
    case 0x92: unpack_reset(u); break;
    default: break;
    }
    if (u->rest.size > 0) {
        wrong(u, "there are bytes behind the last field");
    }
}

static void unpack_unit(struct unpack *u)
{
    const unsigned type = get_byte(u);
    const unsigned flags = get_byte(u);
    const uint64_t id = type >= 0x90 ? 0 : get_int(u);
    if (type == 0x80 || type == 0x81 || type == 0x93) {
        const struct bytes object = get(u, u->rest.size); /* it is JSON, and has its id */
        add(u->to, object.data, object.size);
        if (flags != 0) {
            wrong(u, "an object has flags");
        }
        return;
    }
    unsigned at = 0;
    while (at < KINDS && kinds[at].type != type) {
        at++;
    }
    if (at == KINDS || (flags & ~kinds[at].flags) != 0) {
        wrong(u, "there is no such type, or no such flag");
        return;
    }
    say(u, "{");
    say_text(u, "type", bytes_of_text(kinds[at].name));
    if (id != 0) {
        say_number(u, "id", id);
    }
    unpack_fields(u, type, flags);
    say(u, "}");
}

const char *packed_reply(struct bytes *rest, struct buf *to)
{
    struct unpack outer = {.rest = *rest, .to = to};
    struct unpack inner = {.to = to};
    inner.rest = get(&outer, get_int(&outer));
    if (outer.wrong != NULL || inner.rest.size == 0) {
        return "there is no whole unit";
    }
    *rest = outer.rest;
    unpack_unit(&inner);
    return inner.wrong;
}
