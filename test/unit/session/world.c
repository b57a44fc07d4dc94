#include "world.h"

#include "world_owner.h"

#include "base/mem.h"
#include "test/lib/packed.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void world_enter(struct world *w)
{
    mem_fault_set(w->fault_at > w->fault_seen ? w->fault_at - w->fault_seen : 0, 0);
}

void world_leave(struct world *w)
{
    w->fault_seen += mem_fault_count();
    mem_fault_set(0, 0);
}

static size_t or_default(size_t value, size_t otherwise)
{
    return value > 0 ? value : otherwise;
}

void world_init(struct world *w, const struct world_limits *limits)
{
    *w = (struct world){.limits = *limits, .next_handle = 1};
    w->limits.feed_bytes_max = or_default(limits->feed_bytes_max, MIB);
    w->limits.table_bytes_max = or_default(limits->table_bytes_max, 16u * MIB);
    w->limits.read_bytes_max = or_default(limits->read_bytes_max, 64u * KIB);
    w->limits.gather_bytes_max = or_default(limits->gather_bytes_max, 256u * KIB);
    w->verdict = (struct publish_result){.verdict = PUBLISH_ACCEPTED};
    wire_scratch_init(&w->scratch);
    w->env = (struct session_env){
        .ops = &world_session_ops,
        .ctx = w,
        .feeds = &w->feeds,
        .scratch = &w->scratch,
        .encode = &w->encode,
        .node = 1,
        .durability = "fsync",
        .ping_ms = 25000,
        .message_bytes_max = 1000,
        .frame_bytes_max = 4000,
        .subscriptions_max = (uint32_t)or_default(limits->subscriptions_max, 8),
        .inflight_max = (uint32_t)or_default(limits->inflight_max, 64),
        .inflight_bytes_max = or_default(limits->inflight_bytes_max, MIB),
    };
    feed_table_init(&w->feeds, &world_session_ops, w, w->limits.feed_bytes_max,
                    w->limits.table_bytes_max, 7);
}

void world_deinit(struct world *w)
{
    w->fault_at = 0;
    for (unsigned i = 0; i < WORLD_CLIENTS_MAX; i++) {
        world_close(w, i);
        buf_deinit(&w->clients[i].stream);
    }
    world_owners_clear(w);
    feed_table_deinit(&w->feeds);
    wire_scratch_deinit(&w->scratch);
    ASSERT(w->encode.size == 0);
    buf_deinit(&w->encode);
    ASSERT(w->chunks_live == 0);
}

/* ---- connections ------------------------------------------------------------------------------
 */

static void hang_up(struct world_client *client)
{
    session_close(client->session);
    client->session = NULL;
}

/* As the server does: out of memory ends the connection at once, a wish to close after what was
 * said before it. */
void world_check(struct world_client *client, enum rc rc)
{
    uint16_t code;
    const char *text;
    ASSERT(rc == RC_OK || rc == RC_FULL || rc == RC_NOMEM);
    ASSERT(rc == RC_NOMEM || client->world->encode.size == 0);
    if (rc == RC_NOMEM) {
        const struct world *w = client->world;
        ASSERT(w->fault_at > 0 || w->channel_count == WORLD_CHANNELS_MAX); /* never of itself */
        client->killed = true;
        buf_clear(&client->world->encode);
        hang_up(client);
    } else if (client->session != NULL && session_closing(client->session, &code, &text)) {
        ASSERT(text != NULL);
        client->close_code = code;
        hang_up(client);
    }
}

void world_open(struct world *w, unsigned nth)
{
    struct world_client *client = &w->clients[nth];
    ASSERT(client->session == NULL);
    ASSERT(client->inbox == NULL);
    for (unsigned i = 0; i < WORLD_CHANNELS_MAX; i++) {
        client->views[i].on = false;
    }
    client->world = w;
    client->handle = w->next_handle++;
    client->inbox = json_array();
    client->woken = false;
    client->want_write = false;
    client->killed = false;
    client->close_code = 0;
    ws_decoder_init(&client->decoder, WS_CLIENT);
    world_enter(w);
    const enum rc rc = session_open(&w->env, w->limits.codec, client->handle, client, &client->out,
                                    &client->session);
    world_leave(w);
    world_check(client, rc);
}

struct world_client *world_connect(struct world *w, unsigned nth)
{
    struct world_client *client = &w->clients[nth];
    world_open(w, nth);
    (void)world_text(client, "{\"type\":\"connect\",\"id\":1}");
    ASSERT(client->session == NULL || session_ready(client->session));
    return client;
}

void world_close(struct world *w, unsigned nth)
{
    struct world_client *client = &w->clients[nth];
    if (client->inbox == NULL) {
        return;
    }
    hang_up(client);
    json_decref(client->inbox);
    client->inbox = NULL;
    ws_decoder_deinit(&client->decoder);
    buf_deinit(&client->out);
}

enum rc world_text(struct world_client *client, const char *text)
{
    if (client->session == NULL) {
        return RC_CLOSED;
    }
    struct buf packed = {0};
    struct bytes message = bytes_of_text(text);
    if (client->world->limits.codec == WIRE_BINARY) {
        ASSERT(packed_text(&packed, message));
        message = buf_bytes(&packed);
    }
    const enum rc rc = world_message(client, &message);
    ASSERT(rc != RC_OK || message.size == 0);
    buf_deinit(&packed);
    return rc;
}

enum rc world_message(struct world_client *client, struct bytes *rest)
{
    if (client->session == NULL) {
        return RC_CLOSED;
    }
    world_enter(client->world);
    const enum rc rc = session_on_message(client->session, rest, 1780000000000u);
    world_leave(client->world);
    world_check(client, rc);
    return rc;
}

enum rc world_textf(struct world_client *client, const char *format, ...)
{
    char text[2000];
    va_list args;
    va_start(args, format);
    const int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    ASSERT(size > 0 && (size_t)size < sizeof(text));
    return world_text(client, text);
}

/* ---- what comes out of a socket ---------------------------------------------------------------
 */

static const char *text_of(json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));
    ASSERT(text != NULL);
    return text;
}

static uint64_t number_of(json_t *object, const char *member)
{
    json_t *value = json_object_get(object, member);
    ASSERT(json_is_integer(value));
    return (uint64_t)json_integer_value(value);
}

static bool has_reason(json_t *text, const char *reason)
{
    const char *value = json_string_value(json_object_get(text, "reason"));
    return value != NULL && strcmp(value, reason) == 0;
}

static void check_message(struct world_client *client, unsigned channel, json_t *text)
{
    struct world_view *view = &client->views[channel];
    const uint64_t seq = number_of(text, "seq");
    char data[WORLD_DATA_SIZE];
    char message_id[24];
    ASSERT(view->on);
    ASSERT(seq == view->expected); /* I1 */
    ASSERT(seq <= client->world->channels[channel].latest);
    world_data(channel, seq, data);
    (void)snprintf(message_id, sizeof(message_id), "%llu",
                   (unsigned long long)world_message_id(seq));
    ASSERT(strcmp(text_of(text, "data"), data) == 0); /* I2 */
    ASSERT(strcmp(text_of(text, "message_id"), message_id) == 0);
    ASSERT(number_of(text, "time") == world_time(seq));
    const char *key = world_key(seq);
    const char *told = json_string_value(json_object_get(text, "key"));
    ASSERT((key == NULL) == (told == NULL) && (key == NULL || strcmp(key, told) == 0));
    if (key != NULL) {
        view->owed[key[0] - 'a'] = 0;
    }
    view->expected++;
    view->messages++;
    ASSERT(view->window == 0 || view->expected - 1 - view->acked <= view->window);
    client->world->marks.messages++;
}

/* A hole is told from where the client stands, and nothing that could be had is left out. */
static void check_hole(struct world_client *client, unsigned channel, json_t *text)
{
    const struct world_channel *at = &client->world->channels[channel];
    struct world_view *view = &client->views[channel];
    const uint64_t from = number_of(text, "from");
    const uint64_t to = number_of(text, "to");
    ASSERT(view->on);
    ASSERT(from == view->expected); /* I7 */
    ASSERT(from <= to);
    const bool trimmed = to < at->earliest;
    const bool damaged = from >= at->damaged_from && to == at->damaged_to;
    ASSERT(trimmed || damaged);
    bytes_zero(view->owed, sizeof(view->owed)); /* what replaced it may be in the hole */
}

/* What a slow subscription has asked not to get: after it has followed, only old messages, and of
 * those that are conflated each is followed by a newer one of its key. */
static void check_left_out(struct world_client *client, unsigned channel, json_t *text)
{
    struct world_marks *marks = &client->world->marks;
    struct world_view *view = &client->views[channel];
    const bool slow = has_reason(text, "slow");
    const uint64_t from = number_of(text, "from");
    const uint64_t to = number_of(text, "to");
    ASSERT(view->on);
    ASSERT(from == view->expected); /* I7 */
    ASSERT(from <= to);
    ASSERT(to < client->world->channels[channel].latest);
    ASSERT(from > view->complete);
    ASSERT(client->world->any_slow || view->when_slow == (slow ? WIRE_SKIP : WIRE_CONFLATE));
    marks->skipped += slow;
    marks->conflated += !slow;
    for (uint64_t seq = from; !slow && seq <= to; seq++) {
        ASSERT(world_key(seq) != NULL);
        view->owed[world_key(seq)[0] - 'a'] = seq;
    }
}

static void check_unsubscribed(struct world_client *client, unsigned channel, json_t *text)
{
    struct world_marks *marks = &client->world->marks;
    if (has_reason(text, "gap")) {
        check_hole(client, channel, text);
        marks->ended_by_gap++;
    } else if (has_reason(text, "unavailable")) {
        ASSERT(client->views[channel].on);
        marks->ended_by_failure++;
    } else {
        ASSERT(json_object_get(text, "reason") == NULL);
    }
    client->views[channel].on = false;
}

static void check_subscribed(struct world_client *client, unsigned channel, json_t *text)
{
    struct world_view *view = &client->views[channel];
    ASSERT(!view->on);
    view->on = true;
    view->expected = number_of(text, "next");
    view->messages = 0;
    view->acked = view->expected - 1;
    view->complete = number_of(text, "latest");
    bytes_zero(view->owed, sizeof(view->owed));
    const uint64_t earliest = number_of(text, "earliest");
    const uint64_t latest = number_of(text, "latest");
    ASSERT(earliest >= 1);
    ASSERT(view->expected >= earliest);
    ASSERT(view->expected <= latest + 1);
    if (json_object_get(text, "reset") != NULL) {
        client->world->marks.resets++;
    }
}

static void check_text(struct world_client *client, json_t *text)
{
    const char *type = text_of(text, "type");
    const char *name = json_string_value(json_object_get(text, "channel"));
    if (strcmp(type, "error") == 0 && strcmp(text_of(text, "code"), "gap") == 0) {
        client->world->marks.refused_gap++;
    }
    if (name == NULL) {
        return;
    }
    const unsigned channel = world_channel(client->world, name);
    if (strcmp(type, "message") == 0) {
        check_message(client, channel, text);
    } else if (strcmp(type, "gap") == 0) {
        if (has_reason(text, "slow") || has_reason(text, "conflated")) {
            check_left_out(client, channel, text);
        } else {
            check_hole(client, channel, text);
        }
        client->views[channel].expected = number_of(text, "to") + 1;
        client->views[channel].acked = number_of(text, "to");
        client->world->marks.gaps++;
    } else if (strcmp(type, "unsubscribed") == 0) {
        check_unsubscribed(client, channel, text);
    } else if (strcmp(type, "subscribed") == 0) {
        check_subscribed(client, channel, text);
    } else {
        ASSERT(strcmp(type, "published") == 0 || strcmp(type, "history") == 0 ||
               strcmp(type, "digest") == 0);
    }
}

static void on_text(struct world_client *client, struct bytes payload)
{
    json_t *text =
        json_loadb((const char *)payload.data, payload.size, JSON_REJECT_DUPLICATES, NULL);
    ASSERT(json_is_object(text));
    check_text(client, text);
    if (client->on_text != NULL) {
        client->on_text(client, text);
        json_decref(text);
    } else {
        ASSERT(json_array_append_new(client->inbox, text) == 0);
    }
}

static void on_frame(struct world_client *client, const struct ws_event *event)
{
    ASSERT(event->type == WS_EVENT_MESSAGE);
    if (client->world->limits.codec == WIRE_JSON) {
        ASSERT(event->opcode == WS_TEXT);
        on_text(client, event->payload);
        return;
    }
    ASSERT(event->opcode == WS_BINARY);
    for (struct bytes rest = event->payload; rest.size > 0;) {
        struct buf text = {0};
        ASSERT(packed_reply(&rest, &text) == NULL);
        on_text(client, buf_bytes(&text));
        buf_deinit(&text);
    }
}

static void receive(struct world_client *client, uint8_t *data, size_t size)
{
    const struct ws_limits limits = {.message_bytes = 4u * MIB};
    struct ws_event event;
    if (size == 0) {
        return;
    }
    ASSERT(buf_append(&client->stream, bytes_of(data, size)) == RC_OK);
    size_t at = 0;
    for (;;) {
        size_t used = 0;
        ws_decoder_feed(&client->decoder, &limits, data + at, size - at, &used, &event);
        at += used;
        if (event.type == WS_EVENT_NONE) {
            break;
        }
        on_frame(client, &event);
    }
    ASSERT(at == size);
}

/* ---- sending ----------------------------------------------------------------------------------
 */

/* The first `size` bytes of the connection's own and of the pieces. */
static void collect(struct buf *to, const struct world_client *client, const struct bytes pieces[],
                    unsigned count, size_t size)
{
    const size_t own = client->out.size < size ? client->out.size : size;
    ASSERT(buf_append(to, bytes_of(client->out.data, own)) == RC_OK);
    for (unsigned i = 0; i < count && to->size < size; i++) {
        const size_t left = size - to->size;
        const size_t part = pieces[i].size < left ? pieces[i].size : left;
        ASSERT(buf_append(to, bytes_of(pieces[i].data, part)) == RC_OK);
    }
    ASSERT(to->size == size);
}

static void sent(struct world_client *client, const struct session_slice slices[], unsigned count,
                 size_t size)
{
    const size_t own = client->out.size < size ? client->out.size : size;
    if (own > 0) {
        buf_consume(&client->out, own);
    }
    if (count == 0) {
        return;
    }
    world_enter(client->world);
    const enum rc rc = session_sent(client->session, slices, count, size - own);
    world_leave(client->world);
    if (client->out.size > 0) {
        client->world->marks.cut_frames++;
    }
    world_check(client, rc);
}

/* One write. Returns what the socket took; less than there was sets want_write. */
static size_t write_once(struct world_client *client, size_t size)
{
    struct session_slice slices[SESSION_SLICES_MAX];
    struct bytes pieces[SESSION_SLICES_MAX];
    unsigned count = 0;
    if (client->session != NULL) {
        world_enter(client->world);
        const enum rc rc = session_flush(client->session);
        count = rc != RC_OK ? 0
                            : session_gather(client->session, slices, pieces, SESSION_SLICES_MAX,
                                             client->world->limits.gather_bytes_max);
        world_leave(client->world);
        world_check(client, rc);
    }
    size_t total = client->out.size;
    for (unsigned i = 0; i < count; i++) {
        ASSERT(pieces[i].size > 0);
        total += pieces[i].size;
    }
    const size_t taken = size < total ? size : total;
    struct buf bytes = {0};
    collect(&bytes, client, pieces, count, taken);
    sent(client, slices, count, taken);
    client->want_write = taken < total;
    receive(client, bytes.data, bytes.size);
    buf_deinit(&bytes);
    return taken;
}

size_t world_pump(struct world_client *client, size_t size)
{
    size_t taken = 0;
    client->woken = false;
    client->want_write = false;
    for (;;) {
        const size_t part = write_once(client, size - taken);
        taken += part;
        if (client->want_write || part == 0) {
            break;
        }
    }
    if (client->want_write && client->session != NULL) {
        client->world->marks.stalls++;
        world_enter(client->world);
        session_stalled(client->session);
        world_leave(client->world);
    }
    return taken;
}

void world_run(struct world *w)
{
    bool moved = true;
    for (unsigned round = 0; moved; round++) {
        ASSERT(round < 100000); /* nothing turns in a circle for ever */
        moved = false;
        world_owners_run(w);
        for (unsigned i = 0; i < WORLD_CLIENTS_MAX; i++) {
            struct world_client *client = &w->clients[i];
            if (client->inbox != NULL && (client->woken || client->want_write)) {
                (void)world_pump(client, SIZE_MAX);
                moved = true;
            }
        }
        feed_table_trim(&w->feeds);
        moved = moved || world_owners_busy(w);
    }
}

static void take_first(struct world_client *client)
{
    ASSERT(json_array_remove(client->inbox, 0) == 0);
}

static void show(const char *what, json_t *text)
{
    char *shown = json_dumps(text, JSON_COMPACT | JSON_ENCODE_ANY);
    (void)fprintf(stderr, "%s %s\n", what, shown == NULL ? "nothing" : shown);
    free(shown);
}

void world_expect(struct world_client *client, const char *expected)
{
    world_run(client->world);
    json_t *want = json_loads(expected, JSON_REJECT_DUPLICATES, NULL);
    ASSERT(json_is_object(want));
    json_t *got = json_array_get(client->inbox, 0);
    bool equal = got != NULL;
    const char *name;
    json_t *value;
    json_object_foreach(want, name, value)
    {
        equal = equal && json_equal(value, json_object_get(got, name));
    }
    if (!equal) {
        show("expected", want);
        show("got     ", got);
    }
    ASSERT(equal);
    json_decref(want);
    take_first(client);
}

void world_expect_messages(struct world_client *client, unsigned channel, uint64_t first,
                           uint64_t end)
{
    char text[CHANNEL_NAME_BYTES_MAX + 100];
    for (uint64_t seq = first; seq < end; seq++) {
        (void)snprintf(text, sizeof(text), "{\"type\":\"message\",\"channel\":\"%s\",\"seq\":%llu}",
                       client->world->channels[channel].name, (unsigned long long)seq);
        world_expect(client, text);
    }
}

void world_expect_nothing(struct world_client *client)
{
    world_run(client->world);
    json_t *got = json_array_get(client->inbox, 0);
    if (got != NULL) {
        show("expected nothing, got", got);
    }
    ASSERT(got == NULL);
}
