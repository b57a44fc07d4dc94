/* MQTT 3.1.1 inside WebSocket, with QoS 0 or QoS 1 for both publishers and subscribers.
 *
 * A packet identifier has 16 bits: answers are known by their turn, which [MQTT 4.6] fixes, and the
 * identifier must agree. */
#include "bench/websocket.h"
#include "peers/peers.h"

#include <inttypes.h>
#include <stdio.h>

enum packet {
    PACKET_CONNECT = 1,
    PACKET_CONNACK = 2,
    PACKET_PUBLISH = 3,
    PACKET_PUBACK = 4,
    PACKET_SUBSCRIBE = 8,
    PACKET_SUBACK = 9,
};

#define KEEP_ALIVE_OFF 0u
#define IDS            65535u

static bool with_acks(const struct bench_conn *conn)
{
    return conn->bench->adapter->acks;
}

/* 1 to 65535; 0 is none. */
static uint16_t packet_id(uint64_t id)
{
    return (uint16_t)(id % IDS + 1);
}

static void put_big(struct buf *to, uint16_t value)
{
    buf_put_u8(to, (uint8_t)(value >> 8));
    buf_put_u8(to, (uint8_t)value);
}

/* [MQTT 2.2.3] seven bits a byte, the low ones first. */
static void put_size(struct buf *to, size_t size)
{
    for (; size > 127; size /= 128) {
        buf_put_u8(to, (uint8_t)(size % 128 + 128));
    }
    buf_put_u8(to, (uint8_t)size);
}

/* A string with its size in front. */
static void put_text(struct buf *to, const char *text, size_t size)
{
    put_big(to, (uint16_t)size);
    buf_put(to, text, size);
}

static enum rc mqtt_open(struct bench_conn *conn)
{
    return peer_upgrade(conn, "/mqtt", "mqtt");
}

static enum rc mqtt_upgraded(struct bench_conn *conn)
{
    uint8_t room[64];
    char name[24];
    const int size = snprintf(name, sizeof(name), "%c%06" PRIu32, conn->setup.publishes ? 'p' : 's',
                              conn->setup.index);
    struct buf packet = {.data = room, .capacity = sizeof(room)};
    buf_put_u8(&packet, PACKET_CONNECT << 4);
    put_size(&packet, 10 + 2 + (size_t)size);
    put_text(&packet, "MQTT", 4);
    buf_put_u8(&packet, 4); /* 3.1.1 */
    buf_put_u8(&packet, 2); /* a clean session */
    put_big(&packet, KEEP_ALIVE_OFF);
    put_text(&packet, name, (size_t)size);
    return websocket_append(bench_send_buf(conn), WS_BINARY, buf_bytes(&packet), peer_mask(conn));
}

static enum rc mqtt_subscribe(struct bench_conn *conn, const char *channel, uint64_t from)
{
    (void)from;
    uint8_t room[BENCH_NAME_SIZE + 16];
    struct buf packet = {.data = room, .capacity = sizeof(room)};
    buf_put_u8(&packet, PACKET_SUBSCRIBE << 4 | 2);
    put_size(&packet, 2 + 2 + strlen(channel) + 1);
    put_big(&packet, 1);
    put_text(&packet, channel, strlen(channel));
    buf_put_u8(&packet, with_acks(conn) ? 1 : 0);
    return websocket_append(bench_send_buf(conn), WS_BINARY, buf_bytes(&packet), peer_mask(conn));
}

static enum rc mqtt_prepare(struct bench_conn *conn, const char *prefix, struct bytes payload,
                            size_t count, bool ack, struct bench_template *ret_template)
{
    struct buf *frame = &ret_template->frame;
    const size_t name_size = strlen(prefix) + 1 + BENCH_CHANNEL_DIGITS;
    const size_t id_size = ack ? 2 : 0;
    ASSERT(count == 1 && ack == with_acks(conn));
    const enum rc rc = buf_reserve(frame, 16 + name_size + payload.size);
    if (rc != RC_OK) {
        return rc;
    }
    buf_put_u8(frame, (uint8_t)(PACKET_PUBLISH << 4 | (ack ? 2 : 0)));
    put_size(frame, 2 + name_size + id_size + payload.size);
    put_big(frame, (uint16_t)name_size);
    buf_put(frame, prefix, strlen(prefix));
    ret_template->channel_at = frame->size + 1;
    buf_put(frame, "-000000", 1 + BENCH_CHANNEL_DIGITS);
    ret_template->id_at = ack ? frame->size : 0;
    buf_put(frame, "\0\0", id_size);
    ret_template->payload_at = frame->size;
    ret_template->count = count;
    buf_put(frame, payload.data, payload.size);
    return peer_frame(ret_template);
}

static void mqtt_finish(struct bench_conn *conn, const struct bench_template *made, uint8_t *frame,
                        uint64_t id)
{
    if (made->id_at != 0) {
        frame[made->id_at] = (uint8_t)(packet_id(id) >> 8);
        frame[made->id_at + 1] = (uint8_t)packet_id(id);
    }
    websocket_seal(frame, WS_BINARY, made->frame.size - made->head_size, peer_mask(conn));
}

static uint16_t get_big(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void on_puback(struct bench_conn *conn, struct bytes body, struct bench_event *event)
{
    const uint64_t id = bench_id(conn->answered++);
    if (body.size != 2 || get_big(body.data) != packet_id(id)) {
        peer_failed(event, BYTES_LITERAL("an acknowledgement out of turn"));
        return;
    }
    *event = (struct bench_event){.type = BENCH_EVENT_PUBLISHED, .id = id, .count = 1};
}

static enum rc acknowledge(struct bench_conn *conn, const uint8_t *id)
{
    const uint8_t packet[] = {PACKET_PUBACK << 4, 2, id[0], id[1]};
    return websocket_append(bench_send_buf(conn), WS_BINARY, bytes_of(packet, sizeof(packet)),
                            peer_mask(conn));
}

static void on_publish(struct bench_conn *conn, unsigned qos, struct bytes body,
                       struct bench_event *event)
{
    const size_t name_size = body.size < 2 ? 0 : get_big(body.data);
    const size_t head = 2 + name_size + (qos > 0 ? 2 : 0);
    if (body.size < head || qos > 1) {
        peer_failed(event, BYTES_LITERAL("a message that is none"));
    } else if (qos > 0 && acknowledge(conn, body.data + head - 2) != RC_OK) {
        peer_failed(event, BYTES_LITERAL("out of memory"));
    } else {
        event->type = BENCH_EVENT_MESSAGE;
        event->payload = bytes_of(body.data + head, body.size - head);
    }
}

static void parse_packet(struct bench_conn *conn, uint8_t first, struct bytes body,
                         struct bench_event *event)
{
    const unsigned kind = first >> 4;
    event->type = BENCH_EVENT_OTHER;
    if (kind == PACKET_PUBLISH) {
        on_publish(conn, first >> 1 & 3u, body, event);
    } else if (kind == PACKET_PUBACK) {
        on_puback(conn, body, event);
    } else if (kind == PACKET_CONNACK && body.size == 2 && body.data[1] == 0) {
        event->type = BENCH_EVENT_READY;
    } else if (kind == PACKET_SUBACK && body.size == 3 && body.data[2] < 2) {
        event->type = BENCH_EVENT_SUBSCRIBED;
    } else if (kind == PACKET_CONNACK || kind == PACKET_SUBACK) {
        peer_failed(event, BYTES_LITERAL("the server refuses"));
    }
}

static void parse_inside(struct bench_conn *conn, struct bytes data, bool whole, size_t *ret_used,
                         struct bench_event *event)
{
    (void)whole;
    size_t size = 0;
    size_t at = 1;
    for (unsigned shift = 0;; shift += 7) {
        if (at == data.size) {
            return;
        }
        if (shift > 21) {
            *ret_used = data.size;
            peer_failed(event, BYTES_LITERAL("a packet without a size"));
            return;
        }
        const uint8_t byte = data.data[at++];
        size |= (size_t)(byte & 127u) << shift;
        if (byte < 128) {
            break;
        }
    }
    if (data.size - at < size) {
        return;
    }
    *ret_used = at + size;
    parse_packet(conn, data.data[0], bytes_of(data.data + at, size), event);
}

static void mqtt_parse(struct bench_conn *conn, const uint8_t *data, size_t size, size_t *ret_used,
                       struct bench_event *ret_event)
{
    static const struct peer_inner inner = {mqtt_upgraded, parse_inside};
    peer_parse(conn, bytes_of(data, size), &inner, ret_used, ret_event);
}

const struct bench_adapter peer_mqtt = {
    .name = "mqtt",
    .open = mqtt_open,
    .subscribe = mqtt_subscribe,
    .prepare = mqtt_prepare,
    .finish = mqtt_finish,
    .parse = mqtt_parse,
};

const struct bench_adapter peer_mqtt_qos1 = {
    .name = "mqtt-qos1",
    .acks = true,
    .open = mqtt_open,
    .subscribe = mqtt_subscribe,
    .prepare = mqtt_prepare,
    .finish = mqtt_finish,
    .parse = mqtt_parse,
};
