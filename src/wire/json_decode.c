/* Commands out of JSON text.
 *
 * One pass over the text gathers the raw spans of the members that any of our commands has, and
 * checks the grammar of everything, known or not; a `batch` is taken apart on the way. Only then is
 * the type looked at, wherever in the object it stood, and each member of that type is taken as
 * what it must be. So a text that is not JSON is told from a bad command, whatever comes first, and
 * an error carries the `id` also where that came last. Small inner objects (`producer`, `from`) are
 * gathered a second time from their spans.
 *
 * A member that another command knows is an unknown one here, and ignored [P 2]. Of several faults
 * the first that is found is told; which one that is is no promise. */
#include "wire/json_codec.h"
#include "wire/json_members.h"

#include <stdio.h>

static_assert(CHANNEL_NAME_BYTES_MAX == 255 && KEY_BYTES_MAX == 255 && PRODUCER_ID_BYTES_MAX == 255,
              "the texts of refusals say 255");
static_assert(BATCH_MESSAGES_MAX == 1000 && WINDOW_MAX == 1000000,
              "the texts of refusals say 1000 and 1000000");

#define HISTORY_LIMIT_DEFAULT 100u

static enum rc refuse_bad(struct decode *d, const char *member, const char *expected)
{
    ASSERT_HOT(expected != NULL);
    return decode_refuse(d, WIRE_ERROR_BAD_REQUEST, member, expected);
}

/* Gathers the members of an object inside the command; `known` are those that it has.
 * RC_PROTOCOL  no object, or one of `known` is repeated */
static enum rc inner_members(struct decode *d, const struct json_value *value, const char *name,
                             uint32_t known, struct members *ret_members)
{
    ASSERT(ret_members != NULL);
    ASSERT(name[0] != '\0');
    ASSERT(known != 0);
    struct json_scan scan;
    if (value->kind != JSON_KIND_OBJECT) {
        return refuse_bad(d, name, "expected an object");
    }
    json_scan_init(&scan, value->raw);
    const enum rc rc = members_scan(&scan, ret_members, NULL, d);
    ASSERT(rc == RC_OK); /* the first pass has been over it */
    if ((ret_members->repeated & known) != 0) {
        return refuse_bad(d, name, "a member of it is repeated");
    }
    return RC_OK;
}

/* ---- messages -------------------------------------------------------------------------------- */

/* Takes data, data_base64 and key of a single publish or of one item of a batch. */
static enum rc take_item(struct decode *d, const struct members *m, struct wire_item *ret_item)
{
    ASSERT_HOT(ret_item != NULL);
    ASSERT_HOT(d->refusal.expected == NULL);
    ASSERT_HOT(!d->in_batch || d->item_index < BATCH_MESSAGES_MAX);
    struct wire_item item = {0};
    const bool has_data = members_have(m, MEMBER_DATA);
    item.is_bytes = members_have(m, MEMBER_DATA_BASE64);
    item.has_key = members_have(m, MEMBER_KEY);
    if (has_data && item.is_bytes) {
        return refuse_bad(d, "data", "expected either data or data_base64, not both");
    }
    if (!has_data && !item.is_bytes) {
        return refuse_bad(d, "data",
                          d->in_batch ? "is missing; expected data or data_base64"
                                      : "is missing; expected data, data_base64 or batch");
    }
    enum rc rc = item.is_bytes ? take_data_base64(d, &m->values[MEMBER_DATA_BASE64], &item.data)
                               : take_data(d, &m->values[MEMBER_DATA], &item.data);
    if (rc == RC_OK && item.has_key) {
        rc = take_key(d, &m->values[MEMBER_KEY], &item.key);
    }
    if (rc != RC_OK) {
        return rc;
    }
    *ret_item = item;
    return RC_OK;
}

/* One value of a batch: an object that is a message, or a refusal. */
static enum rc batch_item_scan(struct decode *d)
{
    ASSERT_HOT(d->in_batch);
    static const uint32_t known = MEMBER_BIT(DATA) | MEMBER_BIT(DATA_BASE64) | MEMBER_BIT(KEY);
    struct members m;
    struct json_value other;
    if (json_scan_peek(&d->scan) != '{') {
        (void)refuse_bad(d, NULL, "expected an object");
        const enum rc rc = json_scan_value(&d->scan, &other);
        d->members.too_deep |= rc == RC_OK && other.too_deep;
        return rc;
    }
    enum rc rc = members_scan(&d->scan, &m, NULL, d);
    if (rc != RC_OK) {
        return rc;
    }
    d->members.too_deep |= m.too_deep;
    if ((m.repeated & known) != 0) {
        return refuse_bad(d, NULL, "data, data_base64 or key is repeated");
    }
    if (d->refusal.expected != NULL || d->item_index >= BATCH_MESSAGES_MAX) {
        return RC_OK; /* it is refused anyway: only the grammar still matters */
    }
    rc = wire_scratch_items(d->scratch, (size_t)d->item_index + 1);
    if (rc != RC_OK) {
        return rc;
    }
    return take_item(d, &m, &d->scratch->items_[d->item_index]);
}

/* The whole array. A refusal waits in d->refusal; the scan goes on. RC_BAD, RC_NOMEM */
static enum rc batch_scan(struct decode *d)
{
    ASSERT_HOT(!d->in_batch);
    ASSERT_HOT(d->batch_count == 0);
    enum rc rc = json_scan_open(&d->scan, '[');
    ASSERT(rc == RC_OK); /* the caller has seen the bracket */
    d->in_batch = true;
    for (d->item_index = 0;; d->item_index++) {
        rc = json_scan_element(&d->scan, d->item_index == 0);
        if (rc == RC_OK) {
            rc = batch_item_scan(d);
        }
        if (rc != RC_OK && rc != RC_PROTOCOL) {
            break;
        }
    }
    d->in_batch = false;
    d->batch_count = d->item_index;
    return rc == RC_END ? RC_OK : rc;
}

/* ---- the commands ---------------------------------------------------------------------------- */

static enum rc take_channel(struct decode *d, struct wire_command *c)
{
    ASSERT_HOT(c->channel.size == 0);
    if (!members_have(&d->members, MEMBER_CHANNEL)) {
        return refuse_bad(d, "channel", "is missing");
    }
    return take_name(d, &d->members.values[MEMBER_CHANNEL], "channel", CHANNEL_NAME_BYTES_MAX,
                     &c->channel);
}

static enum rc take_boolean(struct decode *d, enum member member, bool *ret_boolean)
{
    ASSERT(members_have(&d->members, member));
    ASSERT(!*ret_boolean);
    const enum json_kind kind = d->members.values[member].kind;
    if (kind != JSON_KIND_TRUE && kind != JSON_KIND_FALSE) {
        return refuse_bad(d, member_name(member), "expected true or false");
    }
    *ret_boolean = kind == JSON_KIND_TRUE;
    return RC_OK;
}

static enum rc take_producer(struct decode *d, struct wire_producer *ret_producer)
{
    ASSERT(ret_producer != NULL);
    ASSERT(members_have(&d->members, MEMBER_PRODUCER));
    ASSERT(!d->in_batch);
    struct members m;
    struct wire_producer producer = {.epoch = 1};
    enum rc rc = inner_members(d, &d->members.values[MEMBER_PRODUCER], "producer",
                               MEMBER_BIT(ID) | MEMBER_BIT(EPOCH), &m);
    if (rc != RC_OK) {
        return rc;
    }
    if (!members_have(&m, MEMBER_ID)) {
        return refuse_bad(d, "producer.id", "is missing");
    }
    rc = take_name(d, &m.values[MEMBER_ID], "producer.id", PRODUCER_ID_BYTES_MAX, &producer.id);
    if (rc == RC_OK && members_have(&m, MEMBER_EPOCH)) {
        rc = take_integer(d, &m.values[MEMBER_EPOCH], "producer.epoch", 1, &producer.epoch);
    }
    if (rc != RC_OK) {
        return rc;
    }
    *ret_producer = producer;
    return RC_OK;
}

static enum rc take_connect(struct decode *d, struct wire_command *c)
{
    ASSERT(c->type == WIRE_CONNECT);
    ASSERT(!d->http);
    const struct members *m = &d->members;
    if (members_have(m, MEMBER_TOKEN)) {
        const enum rc rc = take_string(d, &m->values[MEMBER_TOKEN], "token", &c->token);
        if (rc != RC_OK) {
            return rc;
        }
    }
    return members_have(m, MEMBER_PRODUCER) ? take_producer(d, &c->producer) : RC_OK;
}

static enum rc take_batch(struct decode *d, struct wire_command *c)
{
    ASSERT_HOT(members_have(&d->members, MEMBER_BATCH));
    ASSERT_HOT(!d->in_batch);
    ASSERT_HOT(c->items == NULL);
    const struct members *m = &d->members;
    if (members_have(m, MEMBER_DATA) || members_have(m, MEMBER_DATA_BASE64)) {
        return refuse_bad(d, "batch", "expected either batch or data, not both");
    }
    if (members_have(m, MEMBER_KEY)) {
        return refuse_bad(d, "key", "expected in the items of the batch, not beside it");
    }
    if (m->values[MEMBER_BATCH].kind != JSON_KIND_ARRAY) {
        return refuse_bad(d, "batch", "expected an array");
    }
    if (d->batch_count == 0) {
        return refuse_bad(d, "batch", "expected 1 to 1000 messages, not an empty array");
    }
    if (d->batch_count > BATCH_MESSAGES_MAX) {
        return decode_refuse(d, WIRE_ERROR_TOO_LARGE, "batch", "expected at most 1000 messages");
    }
    if (d->batch_refusal.expected != NULL) {
        d->refusal = d->batch_refusal;
        return RC_PROTOCOL;
    }
    c->is_batch = true;
    c->item_count = d->batch_count;
    return RC_OK;
}

static enum rc take_publish(struct decode *d, struct wire_command *c)
{
    ASSERT_HOT(d->refusal.expected == NULL);
    ASSERT_HOT(c->type == WIRE_PUBLISH);
    const struct members *m = &d->members;
    enum rc rc = take_channel(d, c);
    if (rc != RC_OK) {
        return rc;
    }
    if (d->http && members_have(m, MEMBER_PRODUCER)) {
        rc = take_producer(d, &c->producer);
        if (rc != RC_OK) {
            return rc;
        }
    }
    c->has_producer_seq = members_have(m, MEMBER_PRODUCER_SEQ);
    if (c->has_producer_seq) {
        rc = take_integer(d, &m->values[MEMBER_PRODUCER_SEQ], "producer_seq", 1, &c->producer_seq);
        if (rc != RC_OK) {
            return rc;
        }
    }
    if (members_have(m, MEMBER_QUIET)) {
        rc = take_boolean(d, MEMBER_QUIET, &c->quiet);
        if (rc != RC_OK) {
            return rc;
        }
    }
    if (members_have(m, MEMBER_BATCH)) {
        rc = take_batch(d, c);
    } else {
        c->item_count = 1;
        rc = wire_scratch_items(d->scratch, 1);
        if (rc == RC_OK) {
            rc = take_item(d, m, &d->scratch->items_[0]);
        }
    }
    c->items = d->scratch->items_;
    return rc;
}

/* {"seq":n}, {"epoch":e,"seq":n} or {"time":ms} */
static enum rc take_from_object(struct decode *d, struct wire_command *c)
{
    ASSERT(c->type == WIRE_SUBSCRIBE);
    ASSERT(d->members.values[MEMBER_FROM].kind == JSON_KIND_OBJECT);
    struct members m;
    enum rc rc = inner_members(d, &d->members.values[MEMBER_FROM], "from",
                               MEMBER_BIT(SEQ) | MEMBER_BIT(EPOCH) | MEMBER_BIT(TIME), &m);
    if (rc != RC_OK) {
        return rc;
    }
    switch (m.seen & (MEMBER_BIT(SEQ) | MEMBER_BIT(EPOCH) | MEMBER_BIT(TIME))) {
    case MEMBER_BIT(TIME):
        c->from = WIRE_FROM_TIME;
        return take_integer(d, &m.values[MEMBER_TIME], "from.time", 0, &c->time_ms);
    case MEMBER_BIT(SEQ):
        c->from = WIRE_FROM_SEQ;
        return take_integer(d, &m.values[MEMBER_SEQ], "from.seq", 1, &c->seq);
    case MEMBER_BIT(EPOCH) | MEMBER_BIT(SEQ):
        c->from = WIRE_FROM_EPOCH_SEQ;
        rc = take_integer(d, &m.values[MEMBER_SEQ], "from.seq", 1, &c->seq);
        return rc != RC_OK ? rc : take_string(d, &m.values[MEMBER_EPOCH], "from.epoch", &c->epoch);
    default: return refuse_bad(d, "from", "expected seq, epoch with seq, or time in the object");
    }
}

static enum rc take_from(struct decode *d, struct wire_command *c)
{
    ASSERT(members_have(&d->members, MEMBER_FROM));
    ASSERT(c->type == WIRE_SUBSCRIBE);
    const struct json_value *value = &d->members.values[MEMBER_FROM];
    struct bytes text;
    if (value->kind == JSON_KIND_OBJECT) {
        return take_from_object(d, c);
    }
    if (value->kind == JSON_KIND_STRING) {
        const enum rc rc = take_string(d, value, "from", &text);
        if (rc != RC_OK) {
            return rc;
        }
        if (bytes_equal(text, BYTES_LITERAL("latest"))) {
            c->from = WIRE_FROM_LATEST;
            return RC_OK;
        }
        if (bytes_equal(text, BYTES_LITERAL("earliest"))) {
            c->from = WIRE_FROM_EARLIEST;
            return RC_OK;
        }
    }
    return refuse_bad(d, "from", "expected latest, earliest or an object with seq or time");
}

static enum rc take_on_gap(struct decode *d, struct wire_command *c)
{
    ASSERT(members_have(&d->members, MEMBER_ON_GAP));
    ASSERT(c->type == WIRE_SUBSCRIBE);
    struct bytes text;
    const enum rc rc = take_string(d, &d->members.values[MEMBER_ON_GAP], "on_gap", &text);
    if (rc != RC_OK) {
        return rc;
    }
    c->on_gap_reset = bytes_equal(text, BYTES_LITERAL("reset"));
    if (!c->on_gap_reset && !bytes_equal(text, BYTES_LITERAL("error"))) {
        return refuse_bad(d, "on_gap", "expected error or reset");
    }
    return RC_OK;
}

static enum rc take_when_slow(struct decode *d, struct wire_command *c)
{
    ASSERT(members_have(&d->members, MEMBER_WHEN_SLOW));
    ASSERT(c->when_slow == WIRE_CATCH_UP);
    struct bytes text;
    const enum rc rc = take_string(d, &d->members.values[MEMBER_WHEN_SLOW], "when_slow", &text);
    if (rc != RC_OK) {
        return rc;
    }
    if (bytes_equal(text, BYTES_LITERAL("skip"))) {
        c->when_slow = WIRE_SKIP;
    } else if (bytes_equal(text, BYTES_LITERAL("conflate"))) {
        c->when_slow = WIRE_CONFLATE;
    } else if (!bytes_equal(text, BYTES_LITERAL("catch_up"))) {
        return refuse_bad(d, "when_slow", "expected catch_up, skip or conflate");
    }
    return RC_OK;
}

static enum rc take_subscribe(struct decode *d, struct wire_command *c)
{
    ASSERT(c->type == WIRE_SUBSCRIBE);
    ASSERT(c->window == 0);
    const struct members *m = &d->members;
    uint64_t window = 0;
    enum rc rc = take_channel(d, c);
    if (rc == RC_OK && members_have(m, MEMBER_FROM)) {
        rc = take_from(d, c);
    }
    if (rc == RC_OK && members_have(m, MEMBER_ON_GAP)) {
        rc = take_on_gap(d, c);
    }
    if (rc == RC_OK && members_have(m, MEMBER_WHEN_SLOW)) {
        rc = take_when_slow(d, c);
    }
    if (rc == RC_OK && members_have(m, MEMBER_WINDOW)) {
        const struct json_value *value = &m->values[MEMBER_WINDOW];
        if (!json_scan_integer(value, &window) || window < 1 || window > WINDOW_MAX) {
            rc = refuse_bad(d, "window", "expected an integer from 1 to 1000000");
        }
    }
    if (rc != RC_OK) {
        return rc;
    }
    c->window = (uint32_t)window;
    return RC_OK;
}

static enum rc take_ack(struct decode *d, struct wire_command *c)
{
    ASSERT_HOT(c->type == WIRE_ACK);
    ASSERT_HOT(c->seq == 0);
    const enum rc rc = take_channel(d, c);
    if (rc != RC_OK) {
        return rc;
    }
    if (!members_have(&d->members, MEMBER_SEQ)) {
        return refuse_bad(d, "seq", "is missing");
    }
    return take_integer(d, &d->members.values[MEMBER_SEQ], "seq", 1, &c->seq);
}

static enum rc take_history(struct decode *d, struct wire_command *c)
{
    ASSERT(c->type == WIRE_HISTORY);
    ASSERT(c->limit == 0);
    const struct members *m = &d->members;
    uint64_t limit = HISTORY_LIMIT_DEFAULT;
    enum rc rc = take_channel(d, c);
    c->has_history_from = members_have(m, MEMBER_FROM);
    if (rc == RC_OK && c->has_history_from) {
        /* 0 is a place as good as any before the earliest. */
        rc = take_integer(d, &m->values[MEMBER_FROM], "from", 0, &c->history_from);
    }
    if (rc == RC_OK && members_have(m, MEMBER_LIMIT)) {
        rc = take_integer(d, &m->values[MEMBER_LIMIT], "limit", 1, &limit);
    }
    if (rc == RC_OK && members_have(m, MEMBER_REVERSE)) {
        rc = take_boolean(d, MEMBER_REVERSE, &c->reverse);
    }
    if (rc != RC_OK) {
        return rc;
    }
    ASSERT(limit >= 1);
    c->limit = (uint32_t)(limit > HISTORY_MESSAGES_MAX ? HISTORY_MESSAGES_MAX : limit);
    return RC_OK;
}

/* Of message 0, before the first, there is a digest, too. */
static enum rc take_digest(struct decode *d, struct wire_command *c)
{
    ASSERT_HOT(c->type == WIRE_DIGEST);
    ASSERT_HOT(!c->has_seq);
    const struct members *m = &d->members;
    const enum rc rc = take_channel(d, c);
    c->has_seq = members_have(m, MEMBER_SEQ);
    return rc == RC_OK && c->has_seq ? take_integer(d, &m->values[MEMBER_SEQ], "seq", 0, &c->seq)
                                     : rc;
}

/* ---- one command ----------------------------------------------------------------------------- */

#define KNOWN_ALWAYS (MEMBER_BIT(TYPE) | MEMBER_BIT(ID))
#define KNOWN_PUBLISH                                                                              \
    (MEMBER_BIT(CHANNEL) | MEMBER_BIT(DATA) | MEMBER_BIT(DATA_BASE64) | MEMBER_BIT(BATCH) |        \
     MEMBER_BIT(KEY) | MEMBER_BIT(PRODUCER_SEQ) | MEMBER_BIT(QUIET))

/* What each type knows beside type and id: of these none may be repeated. */
static const struct {
    struct bytes name;
    uint32_t known;
} types[] = {
    [WIRE_CONNECT] = {{(const uint8_t *)"connect", 7}, MEMBER_BIT(TOKEN) | MEMBER_BIT(PRODUCER)},
    [WIRE_PUBLISH] = {{(const uint8_t *)"publish", 7}, KNOWN_PUBLISH},
    [WIRE_SUBSCRIBE] = {{(const uint8_t *)"subscribe", 9},
                        MEMBER_BIT(CHANNEL) | MEMBER_BIT(FROM) | MEMBER_BIT(ON_GAP) |
                            MEMBER_BIT(WINDOW) | MEMBER_BIT(WHEN_SLOW)},
    [WIRE_ACK] = {{(const uint8_t *)"ack", 3}, MEMBER_BIT(CHANNEL) | MEMBER_BIT(SEQ)},
    [WIRE_UNSUBSCRIBE] = {{(const uint8_t *)"unsubscribe", 11}, MEMBER_BIT(CHANNEL)},
    [WIRE_HISTORY] = {{(const uint8_t *)"history", 7},
                      MEMBER_BIT(CHANNEL) | MEMBER_BIT(FROM) | MEMBER_BIT(LIMIT) |
                          MEMBER_BIT(REVERSE)},
    [WIRE_DIGEST] = {{(const uint8_t *)"digest", 6}, MEMBER_BIT(CHANNEL) | MEMBER_BIT(SEQ)},
    [WIRE_PING] = {{(const uint8_t *)"ping", 4}, 0},
};
#define TYPE_COUNT (sizeof(types) / sizeof(types[0]))
static_assert(TYPE_COUNT == WIRE_PING + 1, "each type has its row");

static enum rc take_type(struct decode *d, enum wire_type *ret_type)
{
    ASSERT_HOT(ret_type != NULL);
    ASSERT_HOT(!d->http);
    ASSERT_HOT(d->refusal.expected == NULL);
    struct bytes text;
    if (!members_have(&d->members, MEMBER_TYPE)) {
        return refuse_bad(d, "type", "is missing");
    }
    if ((d->members.repeated & MEMBER_BIT(TYPE)) != 0) {
        return refuse_bad(d, "type", "is repeated");
    }
    const enum rc rc = take_string(d, &d->members.values[MEMBER_TYPE], "type", &text);
    if (rc != RC_OK) {
        return rc;
    }
    for (unsigned i = 0; i < TYPE_COUNT; i++) {
        if (bytes_equal(text, types[i].name)) {
            *ret_type = (enum wire_type)i;
            return RC_OK;
        }
    }
    return refuse_bad(d, "type",
                      "expected connect, publish, subscribe, ack, unsubscribe, history, digest or "
                      "ping");
}

static enum rc take_body(struct decode *d, struct wire_command *c)
{
    ASSERT_HOT(c->type <= WIRE_PING);
    ASSERT_HOT(d->refusal.expected == NULL);
    switch (c->type) {
    case WIRE_CONNECT: return take_connect(d, c);
    case WIRE_PUBLISH: return take_publish(d, c);
    case WIRE_SUBSCRIBE: return take_subscribe(d, c);
    case WIRE_ACK: return take_ack(d, c);
    case WIRE_UNSUBSCRIBE: return take_channel(d, c);
    case WIRE_HISTORY: return take_history(d, c);
    case WIRE_DIGEST: return take_digest(d, c);
    case WIRE_PING: return RC_OK;
    }
    UNREACHABLE();
}

/* The id is taken before anything else, so that every refusal can carry it. */
static enum rc take_id(struct decode *d, uint64_t *ret_id)
{
    ASSERT_HOT(*ret_id == 0);
    ASSERT_HOT(d->refusal.expected == NULL);
    if (!members_have(&d->members, MEMBER_ID)) {
        return RC_OK;
    }
    if ((d->members.repeated & MEMBER_BIT(ID)) != 0) {
        return refuse_bad(d, "id", "is repeated");
    }
    return take_integer(d, &d->members.values[MEMBER_ID], "id", 1, ret_id);
}

static enum rc refuse_repeated(struct decode *d, uint32_t repeated)
{
    ASSERT((repeated & ~((1u << MEMBER_COUNT) - 1)) == 0);
    ASSERT(repeated != 0);
    return refuse_bad(d, member_name((enum member)__builtin_ctz(repeated)), "is repeated");
}

/* Makes a command of the members gathered. */
static enum rc take_command(struct decode *d, struct wire_command *c)
{
    ASSERT_HOT(d->refusal.expected == NULL);
    ASSERT_HOT(c->id == 0);
    enum rc rc = take_id(d, &c->id);
    if (rc != RC_OK) {
        return rc;
    }
    if (d->members.too_deep) {
        return refuse_bad(d, NULL, "a value is nested deeper than 512 levels");
    }
    uint32_t known = KNOWN_PUBLISH | MEMBER_BIT(PRODUCER);
    c->type = WIRE_PUBLISH;
    if (!d->http) {
        rc = take_type(d, &c->type);
        if (rc != RC_OK) {
            return rc;
        }
        known = types[c->type].known;
    }
    if ((d->members.repeated & known) != 0) {
        return refuse_repeated(d, d->members.repeated & known);
    }
    return take_body(d, c);
}

static_assert(JSON_DEPTH_MAX == 512, "the text of the refusal says 512");

/* Writes the sentence for a developer. Nothing in it comes from the client but numbers. */
static void error_write(const struct refusal *refusal, uint64_t id, struct wire_error *error)
{
    ASSERT(refusal->expected != NULL);
    ASSERT(refusal->code < WIRE_ERROR_COUNT);
    char item[32] = "";
    const char *member = refusal->member == NULL ? "" : refusal->member;
    *error = (struct wire_error){.code = refusal->code, .id = id};
    if (refusal->in_batch) {
        (void)snprintf(item, sizeof(item), "batch[%u]%s", refusal->item_index,
                       member[0] == '\0' ? "" : ".");
    }
    const bool bare = item[0] == '\0' && member[0] == '\0';
    (void)snprintf(error->message, sizeof(error->message), "%s%s%s%s", item, member,
                   bare ? "" : ": ", refusal->expected);
}

static void syntax_error_write(const struct json_scan *scan, struct wire_error *error)
{
    ASSERT(json_scan_expected(scan) != NULL);
    *error = (struct wire_error){.code = WIRE_ERROR_BAD_REQUEST};
    (void)snprintf(error->message, sizeof(error->message),
                   "not a JSON object: expected %s at byte %zu", json_scan_expected(scan),
                   json_scan_offset(scan));
}

static enum rc decode(struct bytes text, bool http, const struct wire_limits *limits,
                      struct wire_scratch *scratch, struct wire_command *ret_command,
                      struct wire_error *ret_error)
{
    ASSERT_HOT(text.size == 0 || text.data != NULL);
    ASSERT_HOT(scratch != NULL);
    ASSERT_HOT(ret_command != NULL);
    ASSERT_HOT(ret_error != NULL);
    ASSERT_HOT(limits->message_bytes > 0);
    struct decode d; /* not zeroed: its table of values is large, and `seen` says what counts */
    struct wire_command command = {0};
    d.limits = limits;
    d.scratch = scratch;
    d.text_size = text.size;
    d.http = http;
    d.in_batch = false;
    d.item_index = 0;
    d.batch_count = 0;
    d.refusal = (struct refusal){0};
    buf_clear(&scratch->arena_);
    json_scan_init(&d.scan, text);

    enum rc rc = members_scan(&d.scan, &d.members, batch_scan, &d);
    if (rc == RC_OK) {
        rc = json_scan_end(&d.scan);
    }
    if (rc == RC_BAD) {
        syntax_error_write(&d.scan, ret_error);
        return RC_BAD;
    }
    if (rc != RC_OK) {
        return rc;
    }
    d.batch_refusal = d.refusal; /* which may not matter: is it a publish at all? */
    d.refusal = (struct refusal){0};
    rc = take_command(&d, &command);
    if (rc == RC_PROTOCOL) {
        error_write(&d.refusal, command.id, ret_error);
    }
    if (rc != RC_OK) {
        return rc;
    }
    ASSERT_HOT(d.refusal.expected == NULL);
    *ret_command = command;
    return RC_OK;
}

enum rc json_command_decode(struct bytes text, const struct wire_limits *limits,
                            struct wire_scratch *scratch, struct wire_command *ret_command,
                            struct wire_error *ret_error)
{
    ASSERT_HOT(limits->message_bytes > 0);
    return decode(text, false, limits, scratch, ret_command, ret_error);
}

enum rc json_publish_decode(struct bytes text, const struct wire_limits *limits,
                            struct wire_scratch *scratch, struct wire_command *ret_command,
                            struct wire_error *ret_error)
{
    ASSERT_HOT(limits->message_bytes > 0);
    return decode(text, true, limits, scratch, ret_command, ret_error);
}
