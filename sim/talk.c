#include "sim/talk.h"

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
static void frame_send(struct talk *talk, enum ws_opcode opcode, bool fin, struct bytes payload);
static void held_send(struct talk *talk);
static void frame_put(struct talk *talk, uint8_t first, struct bytes payload);

void talk_init(struct talk *talk, const struct talk_ops *ops, void *owner, unsigned number)
{
    *talk = (struct talk){.ops = ops, .owner = owner, .number = number};
    talk->net = (struct net_client){.on_bytes = on_bytes, .on_end = on_end};
}

static void reset(struct talk *talk)
{
    ws_decoder_deinit(&talk->decoder);
    zipped_deinit(&talk->zipped);
    buf_deinit(&talk->head);
    buf_deinit(&talk->held);
    talk->conn = NULL;
    talk->state = TALK_DOWN;
    talk->goaway = false;
    talk->ping_n = 0;
    talk->pong_n = 0;
    talk->half_closed = false;
    bytes_zero(talk->asks, sizeof(talk->asks));
    bytes_zero(talk->published_id, sizeof(talk->published_id));
    talk->since_us = sim_now_us;
}

void talk_deinit(struct talk *talk)
{
    if (talk->conn != NULL) {
        net_close(talk->conn);
    }
    reset(talk);
}

static void down(struct talk *talk)
{
    reset(talk);
    talk->try_us = sim_now_us + sim_below(300000);
    talk->ops->down(talk);
}

static void on_end(struct net_client *client)
{
    struct talk *talk = (struct talk *)client;
    trace("talk %u: connection ended", talk->number);
    down(talk);
}

void talk_close(struct talk *talk)
{
    if (talk->conn != NULL) {
        if (talk->state == TALK_READY && sim_chance(30)) {
            frame_send(talk, WS_CLOSE, true, BYTES_LITERAL("\x03\xE8"));
        }
        net_close(talk->conn);
        down(talk);
    }
}

/* [WS 5.5.2, 5.5.3] Each says another thing; of several the last one must be answered. */
static void pings_send(struct talk *talk)
{
    for (uint64_t left = sim_between(1, 5); left > 0; left--) {
        char text[24];
        const int size = snprintf(text, sizeof(text), "%llu", (unsigned long long)++talk->ping_n);
        frame_send(talk, WS_PING, true, bytes_of(text, (size_t)size));
    }
    talk->ping_us = sim_now_us;
}

static void on_pong(struct talk *talk, struct bytes payload)
{
    uint64_t n = 0;
    for (size_t i = 0; i < payload.size && n <= talk->ping_n; i++) {
        n = n * 10 + (uint64_t)(payload.data[i] - '0');
    }
    if (n <= talk->pong_n || n > talk->ping_n) {
        trace_fail("P20 replies", "talk %u: a pong to ping %llu, of %llu, behind %llu",
                   talk->number, (unsigned long long)n, (unsigned long long)talk->ping_n,
                   (unsigned long long)talk->pong_n);
    }
    talk->pong_n = n;
}

bool talk_settled(const struct talk *talk)
{
    return talk->pong_n == talk->ping_n || talk->half_closed;
}

void talk_fits(struct talk *talk)
{
    held_send(talk);
    if (talk->state == TALK_READY && !talk->half_closed && fault_happens(FAULT_PINGS)) {
        pings_send(talk);
    }
    if (talk->conn != NULL && fault_happens(FAULT_LEAVES)) {
        talk_close(talk);
    }
    if (talk->conn != NULL && fault_happens(FAULT_HALF_CLOSE)) {
        net_half_close(talk->conn);
        talk->half_closed = true;
    }
}

/* ---- opening --------------------------------------------------------------------------------- */

struct net_nature talk_nature(const struct plan *plan, bool calm)
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

void talk_open(struct talk *talk, const struct plan *plan, bool calm)
{
    if (talk->state != TALK_DOWN || sim_now_us < talk->try_us) {
        return;
    }
    if (!net_is_listening()) {
        talk->try_us = sim_now_us + 100000 + sim_below(500000);
        return;
    }
    const struct net_nature nature = talk_nature(plan, calm);
    talk->pong_us = node_config()->pong_timeout_ms * 1000;
    talk->connect_us = node_config()->connect_timeout_ms * 1000;
    talk->conn = net_connect(&talk->net, &nature);
    if (talk->conn == NULL) {
        talk->try_us = sim_now_us + 100000 + sim_below(500000);
        return;
    }
    talk->binary = sim_chance(33);
    talk->cumulative = talk->binary && sim_chance(50);
    static const char request[] =
        "GET /v1/ws HTTP/1.1\r\nHost: sim\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const char *end = talk->binary ? "Sec-WebSocket-Protocol: seriatim.v1.binary\r\n\r\n" : "\r\n";
    const char *offer = zipped_offer(&talk->zipped, plan);
    net_send(talk->conn, request, sizeof(request) - 1);
    net_send(talk->conn, offer, strlen(offer));
    net_send(talk->conn, end, strlen(end));
    talk->state = TALK_UPGRADING;
    talk->since_us = sim_now_us;
    ws_decoder_init(&talk->decoder, WS_CLIENT);
}

static void connect_send_binary(struct talk *talk, uint64_t id)
{
    char producer[16];
    struct wire_command connect = {.type = WIRE_CONNECT, .id = id, .cumulative = talk->cumulative};
    (void)snprintf(producer, sizeof(producer), "p%u", talk->producer);
    if (talk->epoch > 0) {
        connect.producer =
            (struct wire_producer){.id = bytes_of_text(producer), .epoch = talk->epoch};
    }
    packed_command(&talk->held, &connect);
    held_send(talk);
}

static void connect_send(struct talk *talk)
{
    char text[200];
    const struct talk_ask *ask = talk_ask(talk, TALK_ASK_CONNECT, 0);
    talk->state = TALK_CONNECTING;
    if (talk->binary) {
        connect_send_binary(talk, ask->id);
        return;
    }
    int size = snprintf(text, sizeof(text), "{\"type\":\"connect\",\"id\":%llu",
                        (unsigned long long)ask->id);
    if (talk->epoch > 0) {
        size +=
            snprintf(text + size, sizeof(text) - (size_t)size,
                     ",\"producer\":{\"id\":\"p%u\",\"epoch\":%u}", talk->producer, talk->epoch);
    }
    size += snprintf(text + size, sizeof(text) - (size_t)size, "}");
    talk_send(talk, bytes_of(text, (size_t)size));
}

/* ---- sending --------------------------------------------------------------------------------- */

static void frame_put(struct talk *talk, uint8_t first, struct bytes payload)
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
    net_send(talk->conn, head, head_size);
    net_send(talk->conn, masked.data, masked.size);
    buf_deinit(&masked);
}

static void frame_send(struct talk *talk, enum ws_opcode opcode, bool fin, struct bytes payload)
{
    frame_put(talk, (uint8_t)((fin ? 0x80u : 0) | (unsigned)opcode), payload);
}

/* Compressed, if that is agreed on and it likes. */
static void message_send(struct talk *talk, enum ws_opcode opcode, struct bytes message)
{
    struct buf sent = {0};
    const bool compressed = zipped_append(&talk->zipped, message, &sent);
    const uint8_t first = (uint8_t)((unsigned)opcode | (compressed ? 0x40u : 0));
    if (sim_chance(4) && sent.size > 2) {
        const size_t cut = (size_t)sim_between(1, sent.size - 1);
        frame_put(talk, first, bytes_of(sent.data, cut));
        frame_send(talk, WS_CONTINUATION, true, bytes_of(sent.data + cut, sent.size - cut));
    } else {
        frame_put(talk, first | 0x80u, buf_bytes(&sent));
    }
    buf_deinit(&sent);
}

static void held_send(struct talk *talk)
{
    if (talk->held.size > 0) {
        ASSERT(talk->conn != NULL && talk->state >= TALK_CONNECTING);
        message_send(talk, WS_BINARY, buf_bytes(&talk->held));
        buf_deinit(&talk->held);
    }
}

void talk_send(struct talk *talk, struct bytes text)
{
    if (!talk->binary) {
        message_send(talk, WS_TEXT, text);
        return;
    }
    const bool packed = packed_text(&talk->held, text);
    ASSERT(packed);
    if (sim_chance(60)) {
        held_send(talk);
    }
}

struct talk_ask *talk_ask(struct talk *talk, enum talk_ask_kind kind, unsigned channel)
{
    for (unsigned i = 0; i < TALK_ASKS_MAX; i++) {
        if (talk->asks[i].id == 0) {
            talk->asks[i] = (struct talk_ask){
                .id = ++talk->id_last,
                .kind = kind,
                .channel = channel,
                .mark = model_mark(channel),
                .sent_us = sim_now_us,
            };
            return &talk->asks[i];
        }
    }
    return NULL;
}

unsigned talk_asks_out(const struct talk *talk, enum talk_ask_kind kind)
{
    unsigned count = 0;
    for (unsigned i = 0; i < TALK_ASKS_MAX; i++) {
        count += talk->asks[i].id != 0 && talk->asks[i].kind == kind;
    }
    return count;
}

/* When everything arrives there is no excuse. */
static void pong_check(const struct talk *talk)
{
    const uint64_t since_us = talk->ping_us > talk->calm_us ? talk->ping_us : talk->calm_us;
    if (talk->calm_us > 0 && !talk_settled(talk) && since_us + PATIENCE_US < sim_now_us) {
        trace_fail("P20 replies", "talk %u: ping %llu is not answered", talk->number,
                   (unsigned long long)talk->ping_n);
    }
}

void talk_check_time(struct talk *talk)
{
    held_send(talk);
    talk->calm_us = clients_calm && talk->calm_us == 0 ? sim_now_us : talk->calm_us;
    pong_check(talk);
    bool late = talk->state != TALK_DOWN && talk->state != TALK_READY &&
                talk->since_us + PATIENCE_US < sim_now_us;
    for (unsigned i = 0; i < TALK_ASKS_MAX; i++) {
        late = late || (talk->asks[i].id != 0 && talk->asks[i].sent_us + PATIENCE_US < sim_now_us);
    }
    if (late) {
        trace("talk %u: no answer, gives up", talk->number);
        talk_close(talk);
    }
}

/* ---- receiving ------------------------------------------------------------------------------- */

static struct talk_ask *ask_of(struct talk *talk, const struct value *object)
{
    const struct value *id = value_member(object, "id");
    if (id == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < TALK_ASKS_MAX; i++) {
        if (talk->asks[i].id != 0 && talk->asks[i].id == value_number(id)) {
            return &talk->asks[i];
        }
    }
    trace_fail("P20 replies", "talk %u: a reply to id %llu, which is not open", talk->number,
               (unsigned long long)value_number(id));
}

static void published_check(struct talk *talk, const struct talk_ask *ask)
{
    if (ask == NULL || ask->kind != TALK_ASK_PUBLISH ||
        ask->id < talk->published_id[ask->channel]) {
        trace_fail("P20 replies", "talk %u: published out of order", talk->number);
    }
    talk->published_id[ask->channel] = ask->id;
}

static void on_object(struct talk *talk, const struct value *object)
{
    const char *type = member_text(object, "type");
    struct talk_ask *ask = ask_of(talk, object);
    talk->goaway = talk->goaway || strcmp(type, "goaway") == 0;
    if (strcmp(type, "published") == 0) {
        published_check(talk, ask);
    }
    if (ask == NULL && talk->state == TALK_CONNECTING && strcmp(type, "error") == 0) {
        return; /* its connect comes too late; the close follows */
    }
    if (ask == NULL || ask->kind != TALK_ASK_CONNECT) {
        struct talk_ask copy = ask == NULL ? (struct talk_ask){0} : *ask;
        if (ask != NULL) {
            ask->id = 0;
        }
        talk->ops->object(talk, type, object, ask == NULL ? NULL : &copy);
        return;
    }
    ask->id = 0;
    if (strcmp(type, "connected") != 0) {
        trace_fail("protocol", "talk %u: connect was answered with %s", talk->number, type);
    }
    trace("talk %u: connected", talk->number);
    talk->state = TALK_READY;
    talk->since_us = sim_now_us;
    talk->ops->ready(talk);
}

static void on_text(struct talk *talk, struct bytes text)
{
    /* The decoder's buffer, or what was received: nobody reads it again. */
    const struct value *object = value_read((uint8_t *)(uintptr_t)text.data, text.size);
    if (object == NULL) {
        trace_fail("protocol", "talk %u: a message that is no JSON: %.100s", talk->number,
                   (const char *)text.data);
    }
    on_object(talk, object);
}

/* [P 15] Each publish of a run is told by itself to who sent it. */
static void on_run(struct talk *talk, const struct value *object)
{
    const struct net_conn *conn = talk->conn;
    const uint64_t id = member_u64(object, "id");
    const uint64_t publishes = member_u64(object, "publishes");
    const uint64_t end = member_u64(object, "seq") + member_u64(object, "count");
    uint64_t seq = member_u64(object, "seq");
    char rest[300]; /* the table of values has room for one object */
    (void)snprintf(rest, sizeof(rest), "\"channel\":\"%s\",\"epoch\":\"%s\"}",
                   member_text(object, "channel"), member_text(object, "epoch"));
    if (!talk->cumulative || publishes < 2 || value_member(object, "duplicate") != NULL) {
        trace_fail("P20 replies", "talk %u: a run that was not asked for, or is none",
                   talk->number);
    }
    for (uint64_t i = 0; i < publishes; i++) {
        char text[400];
        const int head = snprintf(text, sizeof(text), "{\"type\":\"published\",\"id\":%llu,",
                                  (unsigned long long)(id + i));
        const int size = snprintf(text + head, sizeof(text) - (size_t)head, "\"seq\":%llu,%s",
                                  (unsigned long long)seq, rest);
        const struct value *one = value_read((uint8_t *)text, (size_t)(head + size));
        seq += ask_of(talk, one)->count;
        on_object(talk, one);
        if (talk->conn != conn) {
            return;
        }
    }
    if (seq != end) {
        trace_fail("P20 replies", "talk %u: a run up to %llu, told to end at %llu", talk->number,
                   (unsigned long long)seq - 1, (unsigned long long)end - 1);
    }
}

static void on_units(struct talk *talk, struct bytes message)
{
    const struct net_conn *conn = talk->conn;
    while (message.size > 0 && talk->conn == conn) {
        struct buf text = {0};
        const char *wrong = packed_reply(&message, &text);
        const struct value *object = wrong == NULL ? value_read(text.data, text.size) : NULL;
        if (object == NULL) {
            trace_fail("protocol", "talk %u: a unit that is none: %s: %.*s", talk->number,
                       wrong == NULL ? "no JSON" : wrong, (int)text.size, (const char *)text.data);
        }
        if (value_member(object, "publishes") != NULL) {
            on_run(talk, object);
        } else {
            on_object(talk, object);
        }
        buf_deinit(&text);
    }
}

static void on_message(struct talk *talk, const struct ws_event *event)
{
    if (event->opcode != (talk->binary ? WS_BINARY : WS_TEXT)) {
        trace_fail("protocol", "talk %u: a frame of the other codec", talk->number);
    }
    if (talk->binary) {
        on_units(talk, event->payload);
    } else {
        on_text(talk, event->payload);
    }
}

/* The server closes: for a reason, and a reason that is true. Deadlines are of the time that
 * passes, whatever the wall clock says; times are cut off to milliseconds there. */
static void close_check(const struct talk *talk, const struct ws_event *event)
{
    static const char silent[] = "nothing has come for too long";
    const bool ready = talk->state == TALK_READY;
    if (event->code == WS_CLOSE_GOING_AWAY) {
        if (ready && !talk->goaway) {
            trace_fail("P27 graceful stop", "talk %u is closed without a goaway", talk->number);
        }
    } else if (event->code == WS_CLOSE_POLICY) {
        const bool is_silent = bytes_equal(event->payload, bytes_of_text(silent));
        if (is_silent && net_silence_us(talk->conn) + 1000 < talk->pong_us) {
            trace_fail("P26 clock independence", "talk %u was silent for %llu us, and is closed",
                       talk->number, (unsigned long long)net_silence_us(talk->conn));
        }
    } else if (event->code == WS_CLOSE_UNAUTHORIZED && talk->state == TALK_CONNECTING) {
        if (net_age_us(talk->conn) + 1000 < talk->connect_us) {
            trace_fail("P26 clock independence", "talk %u is closed after %llu us for no connect",
                       talk->number, (unsigned long long)net_age_us(talk->conn));
        }
    } else if (event->code != WS_CLOSE_INTERNAL ||
               fault_count_of(FAULT_MEMORY_FIRST, FAULT_MEMORY_LAST) == 0) {
        trace_fail("protocol", "talk %u: the server closed with %u", talk->number, event->code);
    }
}

/* False: the connection is gone. */
static bool on_event(struct talk *talk, const struct ws_event *event)
{
    switch (event->type) {
    case WS_EVENT_MESSAGE: on_message(talk, event); break;
    case WS_EVENT_PING: frame_send(talk, WS_PONG, true, event->payload); break;
    case WS_EVENT_CLOSE:
        trace("talk %u: closed with %u", talk->number, event->code);
        close_check(talk, event);
        talk_close(talk);
        break;
    case WS_EVENT_ERROR:
        trace_fail("protocol", "talk %u: the server's frames are bad: %s", talk->number,
                   event->text);
    case WS_EVENT_PONG: on_pong(talk, event->payload); break;
    case WS_EVENT_NONE: break;
    }
    return talk->conn != NULL;
}

static void frames(struct talk *talk, uint8_t *data, size_t size)
{
    const struct ws_limits limits = {.message_bytes = 64u << 20};
    const struct net_conn *conn = talk->conn;
    for (;;) {
        size_t used = 0;
        struct ws_event event = {0};
        ws_decoder_feed(&talk->decoder, &limits, data, size, &used, &event);
        data += used;
        size -= used;
        if (event.type == WS_EVENT_NONE || !on_event(talk, &event) || talk->conn != conn) {
            return;
        }
    }
}

static void upgrade(struct talk *talk, const uint8_t *data, size_t size)
{
    const enum rc rc = buf_append(&talk->head, bytes_of(data, size));
    ASSERT(rc == RC_OK);
    const uint8_t *end = memmem(talk->head.data, talk->head.size, "\r\n\r\n", 4);
    if (end == NULL) {
        return;
    }
    if (memcmp(talk->head.data, "HTTP/1.1 101 ", 13) != 0) {
        if (memcmp(talk->head.data, "HTTP/1.1 503 ", 13) != 0 &&
            memcmp(talk->head.data, "HTTP/1.1 408 ", 13) != 0) {
            trace_fail("protocol", "the upgrade was answered with %.30s", talk->head.data);
        }
        talk_close(talk);
        return;
    }
    struct buf head = talk->head;
    talk->head = (struct buf){0};
    const size_t at = (size_t)(end - head.data) + 4;
    zipped_agree(&talk->zipped, bytes_of(head.data, at), &talk->decoder);
    connect_send(talk);
    frames(talk, head.data + at, head.size - at);
    buf_deinit(&head);
}

static void on_bytes(struct net_client *client, const uint8_t *data, size_t size)
{
    struct talk *talk = (struct talk *)client;
    if (talk->state == TALK_UPGRADING) {
        upgrade(talk, data, size);
    } else {
        frames(talk, (uint8_t *)(uintptr_t)data, size);
    }
}

void talk_unavailable(const struct talk *talk, const char *what)
{
    const uint64_t causes = fault_count_of(FAULT_DISK_FIRST, FAULT_DISK_LAST) +
                            fault_count_of(FAULT_MEMORY_FIRST, FAULT_MEMORY_LAST) +
                            fault_count_of(FAULT_ROT_FIRST, FAULT_ROT_LAST) +
                            fault_counts()[FAULT_DISK_ERRORS] + fault_counts()[FAULT_DISK_FULL];
    if (causes == 0) {
        trace_fail("P24 clear refusal", "talk %u: %s is unavailable, and nothing has failed",
                   talk->number, what);
    }
}
