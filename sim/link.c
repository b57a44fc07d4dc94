#include "sim/link.h"

#include "base/mem.h"
#include "sim/client.h"
#include "sim/faults.h"
#include "sim/node.h"
#include "sim/trace.h"
#include "test/lib/packed.h"

#include <stdio.h>
#include <string.h>

#define PATIENCE_US 40000000u

static void on_bytes(struct net_client *client, const uint8_t *data, size_t size);
static void on_end(struct net_client *client);
static void frame_send(struct link *link, enum ws_opcode opcode, bool fin, struct bytes payload);
static void held_send(struct link *link);
static void frame_put(struct link *link, uint8_t first, struct bytes payload);

void link_init(struct link *link, const struct link_ops *ops, void *owner, unsigned number)
{
    *link = (struct link){.ops = ops, .owner = owner, .number = number};
    link->net = (struct net_client){.on_bytes = on_bytes, .on_end = on_end};
}

static void reset(struct link *link)
{
    ws_decoder_deinit(&link->decoder);
    zipped_deinit(&link->zipped);
    buf_deinit(&link->head);
    buf_deinit(&link->held);
    link->conn = NULL;
    link->state = LINK_DOWN;
    link->goaway = false;
    link->ping_n = 0;
    link->pong_n = 0;
    link->half_closed = false;
    bytes_zero(link->asks, sizeof(link->asks));
    bytes_zero(link->published_id, sizeof(link->published_id));
    link->since_us = sim_now_us;
}

void link_deinit(struct link *link)
{
    if (link->conn != NULL) {
        net_close(link->conn);
    }
    reset(link);
}

static void down(struct link *link)
{
    reset(link);
    link->try_us = sim_now_us + sim_below(300000);
    link->ops->down(link);
}

static void on_end(struct net_client *client)
{
    struct link *link = (struct link *)client;
    trace("link %u: connection ended", link->number);
    down(link);
}

void link_close(struct link *link)
{
    if (link->conn != NULL) {
        if (link->state == LINK_READY && sim_chance(30)) {
            frame_send(link, WS_CLOSE, true, BYTES_LITERAL("\x03\xE8"));
        }
        net_close(link->conn);
        down(link);
    }
}

/* [WS 5.5.2, 5.5.3] Each says another thing; of several the last one must be answered. */
static void pings_send(struct link *link)
{
    for (uint64_t left = sim_between(1, 5); left > 0; left--) {
        char text[24];
        const int size = snprintf(text, sizeof(text), "%llu", (unsigned long long)++link->ping_n);
        frame_send(link, WS_PING, true, bytes_of(text, (size_t)size));
    }
    link->ping_us = sim_now_us;
}

static void on_pong(struct link *link, struct bytes payload)
{
    uint64_t n = 0;
    for (size_t i = 0; i < payload.size && n <= link->ping_n; i++) {
        n = n * 10 + (uint64_t)(payload.data[i] - '0');
    }
    if (n <= link->pong_n || n > link->ping_n) {
        trace_fail("P20 replies", "link %u: a pong to ping %llu, of %llu, behind %llu",
                   link->number, (unsigned long long)n, (unsigned long long)link->ping_n,
                   (unsigned long long)link->pong_n);
    }
    link->pong_n = n;
}

bool link_settled(const struct link *link)
{
    return link->pong_n == link->ping_n || link->half_closed;
}

void link_fits(struct link *link)
{
    held_send(link);
    if (link->state == LINK_READY && !link->half_closed && fault_happens(FAULT_PINGS)) {
        pings_send(link);
    }
    if (link->conn != NULL && fault_happens(FAULT_LEAVES)) {
        link_close(link);
    }
    if (link->conn != NULL && fault_happens(FAULT_HALF_CLOSE)) {
        net_half_close(link->conn);
        link->half_closed = true;
    }
}

/* ---- opening --------------------------------------------------------------------------------- */

struct net_nature link_nature(const struct plan *plan, bool calm)
{
    struct net_nature nature = {.latency_us = plan->latency_us, .down_max = 65536, .buffer = 65536};
    if (calm) {
        nature.latency_us = 1000;
        return nature;
    }
    if (fault_happens(FAULT_TINY_BUFFER)) {
        nature.buffer = (size_t)sim_between(200, 4000);
    }
    if (fault_happens(FAULT_SLOW_READER)) {
        nature.down_max = (size_t)sim_between(20, 600);
        nature.latency_us = sim_between(1000, 200000);
    }
    if (fault_happens(FAULT_CUT_LATER)) {
        nature.cut_after = sim_between(1, 20000);
    }
    return nature;
}

void link_open(struct link *link, const struct plan *plan, bool calm)
{
    if (link->state != LINK_DOWN || sim_now_us < link->try_us) {
        return;
    }
    if (!net_is_listening()) {
        link->try_us = sim_now_us + 100000 + sim_below(500000);
        return;
    }
    const struct net_nature nature = link_nature(plan, calm);
    link->pong_us = node_config()->pong_timeout_ms * 1000;
    link->connect_us = node_config()->connect_timeout_ms * 1000;
    link->conn = net_connect(&link->net, &nature);
    if (link->conn == NULL) {
        link->try_us = sim_now_us + 100000 + sim_below(500000);
        return;
    }
    link->binary = sim_chance(33);
    link->cumulative = link->binary && sim_chance(50);
    static const char request[] =
        "GET /v1/ws HTTP/1.1\r\nHost: sim\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const char *end = link->binary ? "Sec-WebSocket-Protocol: seriatim.v1.binary\r\n\r\n" : "\r\n";
    const char *offer = zipped_offer(&link->zipped, plan);
    net_send(link->conn, request, sizeof(request) - 1);
    net_send(link->conn, offer, strlen(offer));
    net_send(link->conn, end, strlen(end));
    link->state = LINK_UPGRADING;
    link->since_us = sim_now_us;
    ws_decoder_init(&link->decoder, WS_CLIENT);
}

static void connect_send_binary(struct link *link, uint64_t id)
{
    char producer[16];
    struct wire_command connect = {.type = WIRE_CONNECT, .id = id, .cumulative = link->cumulative};
    (void)snprintf(producer, sizeof(producer), "p%u", link->producer);
    if (link->epoch > 0) {
        connect.producer =
            (struct wire_producer){.id = bytes_of_text(producer), .epoch = link->epoch};
    }
    packed_command(&link->held, &connect);
    held_send(link);
}

static void connect_send(struct link *link)
{
    char text[200];
    const struct link_ask *ask = link_ask(link, ASK_CONNECT, 0);
    link->state = LINK_CONNECTING;
    if (link->binary) {
        connect_send_binary(link, ask->id);
        return;
    }
    int size = snprintf(text, sizeof(text), "{\"type\":\"connect\",\"id\":%llu",
                        (unsigned long long)ask->id);
    if (link->epoch > 0) {
        size +=
            snprintf(text + size, sizeof(text) - (size_t)size,
                     ",\"producer\":{\"id\":\"p%u\",\"epoch\":%u}", link->producer, link->epoch);
    }
    size += snprintf(text + size, sizeof(text) - (size_t)size, "}");
    link_send(link, bytes_of(text, (size_t)size));
}

/* ---- sending --------------------------------------------------------------------------------- */

static void frame_put(struct link *link, uint8_t first, struct bytes payload)
{
    uint8_t head[WS_HEADER_SIZE_MAX];
    uint8_t mask[4];
    bytes_store_u32(mask, (uint32_t)sim_below(UINT32_MAX));
    const size_t head_size = ws_header_encode(head, WS_TEXT, payload.size, mask);
    head[0] = first;
    struct buf masked = {0};
    const enum rc rc = buf_append(&masked, payload);
    ASSERT(rc == RC_OK);
    if (payload.size > 0) {
        ws_mask(masked.data, masked.size, mask, 0);
    }
    net_send(link->conn, head, head_size);
    net_send(link->conn, masked.data, masked.size);
    buf_deinit(&masked);
}

static void frame_send(struct link *link, enum ws_opcode opcode, bool fin, struct bytes payload)
{
    frame_put(link, (uint8_t)((fin ? 0x80u : 0) | (unsigned)opcode), payload);
}

/* Compressed, if that is agreed on and it likes. */
static void message_send(struct link *link, enum ws_opcode opcode, struct bytes message)
{
    struct buf sent = {0};
    const bool compressed = zipped_append(&link->zipped, message, &sent);
    const uint8_t first = (uint8_t)((unsigned)opcode | (compressed ? 0x40u : 0));
    if (sim_chance(4) && sent.size > 2) {
        const size_t cut = (size_t)sim_between(1, sent.size - 1);
        frame_put(link, first, bytes_of(sent.data, cut));
        frame_send(link, WS_CONTINUATION, true, bytes_of(sent.data + cut, sent.size - cut));
    } else {
        frame_put(link, first | 0x80u, buf_bytes(&sent));
    }
    buf_deinit(&sent);
}

static void held_send(struct link *link)
{
    if (link->held.size > 0) {
        ASSERT(link->conn != NULL && link->state >= LINK_CONNECTING);
        message_send(link, WS_BINARY, buf_bytes(&link->held));
        buf_deinit(&link->held);
    }
}

void link_send(struct link *link, struct bytes text)
{
    if (!link->binary) {
        message_send(link, WS_TEXT, text);
        return;
    }
    const bool packed = packed_text(&link->held, text);
    ASSERT(packed);
    if (sim_chance(60)) {
        held_send(link);
    }
}

struct link_ask *link_ask(struct link *link, enum ask_kind kind, unsigned channel)
{
    for (unsigned i = 0; i < LINK_ASKS_MAX; i++) {
        if (link->asks[i].id == 0) {
            link->asks[i] = (struct link_ask){
                .id = ++link->id_last,
                .kind = kind,
                .channel = channel,
                .mark = model_mark(channel),
                .sent_us = sim_now_us,
            };
            return &link->asks[i];
        }
    }
    return NULL;
}

unsigned link_asks_out(const struct link *link, enum ask_kind kind)
{
    unsigned count = 0;
    for (unsigned i = 0; i < LINK_ASKS_MAX; i++) {
        count += link->asks[i].id != 0 && link->asks[i].kind == kind;
    }
    return count;
}

/* When everything arrives there is no excuse. */
static void pong_check(const struct link *link)
{
    const uint64_t since_us = link->ping_us > link->calm_us ? link->ping_us : link->calm_us;
    if (link->calm_us > 0 && !link_settled(link) && since_us + PATIENCE_US < sim_now_us) {
        trace_fail("P20 replies", "link %u: ping %llu is not answered", link->number,
                   (unsigned long long)link->ping_n);
    }
}

void link_check_time(struct link *link)
{
    held_send(link);
    link->calm_us = clients_calm && link->calm_us == 0 ? sim_now_us : link->calm_us;
    pong_check(link);
    bool late = link->state != LINK_DOWN && link->state != LINK_READY &&
                link->since_us + PATIENCE_US < sim_now_us;
    for (unsigned i = 0; i < LINK_ASKS_MAX; i++) {
        late = late || (link->asks[i].id != 0 && link->asks[i].sent_us + PATIENCE_US < sim_now_us);
    }
    if (late) {
        trace("link %u: no answer, gives up", link->number);
        link_close(link);
    }
}

/* ---- receiving ------------------------------------------------------------------------------- */

static struct link_ask *ask_of(struct link *link, const struct value *object)
{
    const struct value *id = value_member(object, "id");
    if (id == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < LINK_ASKS_MAX; i++) {
        if (link->asks[i].id != 0 && link->asks[i].id == value_number(id)) {
            return &link->asks[i];
        }
    }
    trace_fail("P20 replies", "link %u: a reply to id %llu, which is not open", link->number,
               (unsigned long long)value_number(id));
}

static void published_check(struct link *link, const struct link_ask *ask)
{
    if (ask == NULL || ask->kind != ASK_PUBLISH || ask->id < link->published_id[ask->channel]) {
        trace_fail("P20 replies", "link %u: published out of order", link->number);
    }
    link->published_id[ask->channel] = ask->id;
}

static void on_object(struct link *link, const struct value *object)
{
    const char *type = member_text(object, "type");
    struct link_ask *ask = ask_of(link, object);
    link->goaway = link->goaway || strcmp(type, "goaway") == 0;
    if (strcmp(type, "published") == 0) {
        published_check(link, ask);
    }
    if (ask == NULL && link->state == LINK_CONNECTING && strcmp(type, "error") == 0) {
        return; /* its connect comes too late; the close follows */
    }
    if (ask == NULL || ask->kind != ASK_CONNECT) {
        struct link_ask copy = ask == NULL ? (struct link_ask){0} : *ask;
        if (ask != NULL) {
            ask->id = 0;
        }
        link->ops->object(link, type, object, ask == NULL ? NULL : &copy);
        return;
    }
    ask->id = 0;
    if (strcmp(type, "connected") != 0) {
        trace_fail("protocol", "link %u: connect was answered with %s", link->number, type);
    }
    trace("link %u: connected", link->number);
    link->state = LINK_READY;
    link->since_us = sim_now_us;
    link->ops->ready(link);
}

static void on_text(struct link *link, struct bytes text)
{
    /* The decoder's buffer, or what was received: nobody reads it again. */
    const struct value *object = value_read((uint8_t *)(uintptr_t)text.data, text.size);
    if (object == NULL) {
        trace_fail("protocol", "link %u: a message that is no JSON: %.100s", link->number,
                   (const char *)text.data);
    }
    on_object(link, object);
}

/* [P 15] Each publish of a run is told by itself to who sent it. */
static void on_run(struct link *link, const struct value *object)
{
    const struct net_conn *conn = link->conn;
    const uint64_t id = member_u64(object, "id");
    const uint64_t publishes = member_u64(object, "publishes");
    const uint64_t end = member_u64(object, "seq") + member_u64(object, "count");
    uint64_t seq = member_u64(object, "seq");
    char rest[300]; /* the table of values has room for one object */
    (void)snprintf(rest, sizeof(rest), "\"channel\":\"%s\",\"epoch\":\"%s\"}",
                   member_text(object, "channel"), member_text(object, "epoch"));
    if (!link->cumulative || publishes < 2 || value_member(object, "duplicate") != NULL) {
        trace_fail("P20 replies", "link %u: a run that was not asked for, or is none",
                   link->number);
    }
    for (uint64_t i = 0; i < publishes; i++) {
        char text[400];
        const int head = snprintf(text, sizeof(text), "{\"type\":\"published\",\"id\":%llu,",
                                  (unsigned long long)(id + i));
        const int size = snprintf(text + head, sizeof(text) - (size_t)head, "\"seq\":%llu,%s",
                                  (unsigned long long)seq, rest);
        const struct value *one = value_read((uint8_t *)text, (size_t)(head + size));
        seq += ask_of(link, one)->count;
        on_object(link, one);
        if (link->conn != conn) {
            return;
        }
    }
    if (seq != end) {
        trace_fail("P20 replies", "link %u: a run up to %llu, told to end at %llu", link->number,
                   (unsigned long long)seq - 1, (unsigned long long)end - 1);
    }
}

static void on_units(struct link *link, struct bytes message)
{
    const struct net_conn *conn = link->conn;
    while (message.size > 0 && link->conn == conn) {
        struct buf text = {0};
        const char *wrong = packed_reply(&message, &text);
        const struct value *object = wrong == NULL ? value_read(text.data, text.size) : NULL;
        if (object == NULL) {
            trace_fail("protocol", "link %u: a unit that is none: %s: %.*s", link->number,
                       wrong == NULL ? "no JSON" : wrong, (int)text.size, (const char *)text.data);
        }
        if (value_member(object, "publishes") != NULL) {
            on_run(link, object);
        } else {
            on_object(link, object);
        }
        buf_deinit(&text);
    }
}

static void on_message(struct link *link, const struct ws_event *event)
{
    if (event->opcode != (link->binary ? WS_BINARY : WS_TEXT)) {
        trace_fail("protocol", "link %u: a frame of the other codec", link->number);
    }
    if (link->binary) {
        on_units(link, event->payload);
    } else {
        on_text(link, event->payload);
    }
}

/* The server closes: for a reason, and a reason that is true. Deadlines are of the time that
 * passes, whatever the wall clock says; times are cut off to milliseconds there. */
static void close_check(const struct link *link, const struct ws_event *event)
{
    static const char silent[] = "nothing has come for too long";
    const bool ready = link->state == LINK_READY;
    if (event->code == WS_CLOSE_GOING_AWAY) {
        if (ready && !link->goaway) {
            trace_fail("P27 graceful stop", "link %u is closed without a goaway", link->number);
        }
    } else if (event->code == WS_CLOSE_POLICY) {
        const bool is_silent = bytes_equal(event->payload, bytes_of_text(silent));
        if (is_silent && net_silence_us(link->conn) + 1000 < link->pong_us) {
            trace_fail("P26 clock independence", "link %u was silent for %llu us, and is closed",
                       link->number, (unsigned long long)net_silence_us(link->conn));
        }
    } else if (event->code == WS_CLOSE_UNAUTHORIZED && link->state == LINK_CONNECTING) {
        if (net_age_us(link->conn) + 1000 < link->connect_us) {
            trace_fail("P26 clock independence", "link %u is closed after %llu us for no connect",
                       link->number, (unsigned long long)net_age_us(link->conn));
        }
    } else if (event->code != WS_CLOSE_INTERNAL ||
               fault_count_of(FAULT_MEMORY_FIRST, FAULT_MEMORY_LAST) == 0) {
        trace_fail("protocol", "link %u: the server closed with %u", link->number, event->code);
    }
}

/* False: the connection is gone. */
static bool on_event(struct link *link, const struct ws_event *event)
{
    switch (event->type) {
    case WS_EVENT_MESSAGE: on_message(link, event); break;
    case WS_EVENT_PING: frame_send(link, WS_PONG, true, event->payload); break;
    case WS_EVENT_CLOSE:
        trace("link %u: closed with %u", link->number, event->code);
        close_check(link, event);
        link_close(link);
        break;
    case WS_EVENT_ERROR:
        trace_fail("protocol", "link %u: the server's frames are bad: %s", link->number,
                   event->text);
    case WS_EVENT_PONG: on_pong(link, event->payload); break;
    case WS_EVENT_NONE: break;
    }
    return link->conn != NULL;
}

static void frames(struct link *link, uint8_t *data, size_t size)
{
    const struct ws_limits limits = {.message_bytes = 64u << 20};
    const struct net_conn *conn = link->conn;
    for (;;) {
        size_t used = 0;
        struct ws_event event = {0};
        ws_decoder_feed(&link->decoder, &limits, data, size, &used, &event);
        data += used;
        size -= used;
        if (event.type == WS_EVENT_NONE || !on_event(link, &event) || link->conn != conn) {
            return;
        }
    }
}

static void upgrade(struct link *link, const uint8_t *data, size_t size)
{
    const enum rc rc = buf_append(&link->head, bytes_of(data, size));
    ASSERT(rc == RC_OK);
    const uint8_t *end = memmem(link->head.data, link->head.size, "\r\n\r\n", 4);
    if (end == NULL) {
        return;
    }
    if (memcmp(link->head.data, "HTTP/1.1 101 ", 13) != 0) {
        if (memcmp(link->head.data, "HTTP/1.1 503 ", 13) != 0 &&
            memcmp(link->head.data, "HTTP/1.1 408 ", 13) != 0) {
            trace_fail("protocol", "the upgrade was answered with %.30s", link->head.data);
        }
        link_close(link);
        return;
    }
    struct buf head = link->head;
    link->head = (struct buf){0};
    const size_t at = (size_t)(end - head.data) + 4;
    zipped_agree(&link->zipped, bytes_of(head.data, at), &link->decoder);
    connect_send(link);
    frames(link, head.data + at, head.size - at);
    buf_deinit(&head);
}

static void on_bytes(struct net_client *client, const uint8_t *data, size_t size)
{
    struct link *link = (struct link *)client;
    if (link->state == LINK_UPGRADING) {
        upgrade(link, data, size);
    } else {
        frames(link, (uint8_t *)(uintptr_t)data, size);
    }
}
