/* bench/peers: each adapter says and understands what its protocol's documents say.
 * Method: what a server sends is written out by hand, and fed whole and cut at every byte: the same
 * events must come. What we send is unmasked and compared with what the documents want. */
#include "peers/peers.h"

#include "base/mem.h"
#include "bench/stamp.h"
#include "bench/websocket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define UPGRADE                                                                                    \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
#define EVENTS_MAX 16u

struct world {
    struct bench bench;
    struct bench_options options;
    struct bench_conn conn;
    struct buf rest;
    struct bench_event events[EVENTS_MAX]; /* but those that nobody asks about */
    char payloads[EVENTS_MAX][160];
    size_t count;
};

static struct world *world_open(const struct bench_adapter *adapter, bool publishes)
{
    struct world *w = mem_calloc(1, sizeof(*w));
    assert_non_null(w);
    w->options = (struct bench_options){.prefix = "bench.t", .codec = "json", .payload = 40};
    w->bench = (struct bench){.options = &w->options, .adapter = adapter};
    (void)snprintf(w->bench.target.authority, sizeof(w->bench.target.authority), "127.0.0.1:9");
    w->conn = (struct bench_conn){
        .bench = &w->bench,
        .fd = -1,
        .wants_write = true, /* nothing is queued to be sent */
        .setup = {.index = 7, .publishes = publishes, .channel = 3},
    };
    assert_int_equal(adapter->open(&w->conn), RC_OK);
    return w;
}

static void world_close(struct world *w)
{
    buf_deinit(&w->conn.out);
    buf_deinit(&w->rest);
    mem_free(w);
}

/* As the loop does it: events off the front, until one is not whole. */
static void feed(struct world *w, const void *data, size_t size)
{
    assert_int_equal(buf_append(&w->rest, bytes_of(data, size)), RC_OK);
    size_t at = 0;
    while (at < w->rest.size) {
        struct bench_event event;
        size_t used = 0;
        w->bench.adapter->parse(&w->conn, w->rest.data + at, w->rest.size - at, &used, &event);
        if (event.type == BENCH_EVENT_NONE) {
            assert_int_equal(used, 0);
            break;
        }
        assert_true(used > 0 && used <= w->rest.size - at);
        at += used;
        w->conn.ready = w->conn.ready || event.type == BENCH_EVENT_READY;
        if (event.type != BENCH_EVENT_OTHER) {
            assert_true(w->count < EVENTS_MAX);
            const struct bytes text = event.type == BENCH_EVENT_FAILED ? event.text : event.payload;
            (void)snprintf(w->payloads[w->count], sizeof(w->payloads[0]), "%.*s", (int)text.size,
                           (const char *)text.data);
            w->events[w->count++] = event;
        }
    }
    struct buf kept = {0};
    assert_int_equal(buf_append(&kept, bytes_of(w->rest.data + at, w->rest.size - at)), RC_OK);
    buf_deinit(&w->rest);
    w->rest = kept;
}

static void feed_frame(struct buf *to, enum ws_opcode opcode, const void *data, size_t size)
{
    assert_int_equal(ws_frame_append(to, opcode, bytes_of(data, size)), RC_OK);
}

/* What we have said since, frame by frame without masks, one after the other. */
static void said(struct world *w, char *to, size_t size)
{
    size_t at = 0;
    size_t written = 0;
    struct buf *out = &w->conn.out;
    to[0] = '\0';
    while (at < out->size) {
        uint8_t *frame = out->data + at;
        const size_t payload = frame[1] & 127u;
        assert_true((frame[1] & 128u) != 0);
        const size_t head = payload == 126 ? 8 : 6;
        const size_t length = payload == 126 ? (size_t)(frame[2] << 8 | frame[3]) : payload;
        ws_mask(frame + head, length, frame + head - 4, 0);
        written += (size_t)snprintf(to + written, size - written, "%.*s", (int)length,
                                    (const char *)frame + head);
        assert_true(written < size);
        at += head + length;
    }
    buf_clear(out);
}

static void expect(const struct world *w, size_t index, enum bench_event_type type,
                   const char *payload)
{
    assert_true(index < w->count);
    assert_int_equal(w->events[index].type, type);
    assert_string_equal(w->payloads[index], payload);
}

/* The whole at once, then a byte at a time; `check` looks at the events. */
static void both_ways(const struct bench_adapter *adapter, bool publishes, const struct buf *text,
                      void (*check)(struct world *w))
{
    for (unsigned way = 0; way < 2; way++) {
        struct world *w = world_open(adapter, publishes);
        buf_clear(&w->conn.out); /* the request for an upgrade */
        const size_t step = way == 0 ? text->size : 1;
        for (size_t at = 0; at < text->size; at += step) {
            feed(w, text->data + at, step);
        }
        assert_int_equal(w->rest.size, 0);
        check(w);
        world_close(w);
    }
}

static void start(struct buf *text)
{
    assert_int_equal(buf_append(text, BYTES_LITERAL(UPGRADE)), RC_OK);
}

/* One template with a payload in it, its numbers patched, as bench/publisher does it. */
static void publish(struct world *w, uint64_t id, struct bench_template *made)
{
    uint8_t payload[40];
    stamp_payload(payload, sizeof(payload));
    assert_int_equal(w->bench.adapter->prepare(&w->conn, "bench.t", bytes_of(payload, 40), 1,
                                               w->bench.adapter->acks, made),
                     RC_OK);
    assert_memory_equal(made->frame.data + made->payload_at, payload, 40);
    if (made->channel_at != 0) {
        assert_memory_equal(made->frame.data + made->channel_at, "000000", 6);
        bytes_copy(made->frame.data + made->channel_at, "000003", 6);
    }
    w->bench.adapter->finish(&w->conn, made, made->frame.data, id);
    buf_clear(&w->conn.out);
    assert_int_equal(buf_append(&w->conn.out, buf_bytes(&made->frame)), RC_OK);
    buf_deinit(&made->frame);
}

/* ---- plain --------------------------------------------------------------------------------- */

static void check_plain(struct world *w)
{
    assert_int_equal(w->count, 4);
    expect(w, 0, BENCH_EVENT_READY, "");
    expect(w, 1, BENCH_EVENT_SUBSCRIBED, "");
    expect(w, 2, BENCH_EVENT_MESSAGE, "\"one\"");
    expect(w, 3, BENCH_EVENT_FAILED, "the server closes the connection");
}

static void check_plain_publisher(struct world *w)
{
    assert_int_equal(w->count, 1); /* what nchan says of each message is passed over */
    expect(w, 0, BENCH_EVENT_READY, "");
}

static void plain_has_the_channel_in_its_path(void **state)
{
    (void)state;
    struct world *w = world_open(&peer_plain, false);
    assert_memory_equal(w->conn.out.data, "GET /sub/bench.t-000003 HTTP/1.1\r\n", 34);
    world_close(w);
    w = world_open(&peer_plain, true);
    assert_memory_equal(w->conn.out.data, "GET /pub/bench.t-000003 HTTP/1.1\r\n", 34);
    struct bench_template made = {0};
    publish(w, BENCH_ID_FIRST, &made);
    assert_int_equal(made.id_at, 0);
    char text[256];
    said(w, text, sizeof(text));
    assert_int_equal(strlen(text), 40);
    world_close(w);
}

static void plain_frames_are_messages(void **state)
{
    (void)state;
    struct buf text = {0};
    start(&text);
    feed_frame(&text, WS_PONG, "here", 4);
    feed_frame(&text, WS_PING, "?", 1);
    feed_frame(&text, WS_TEXT, "\"one\"", 5);
    feed_frame(&text, WS_CLOSE, "\x03\xE8", 2);
    both_ways(&peer_plain, false, &text, check_plain);
    buf_clear(&text);
    start(&text);
    feed_frame(&text, WS_TEXT, "queued messages: 1", 18);
    both_ways(&peer_plain, true, &text, check_plain_publisher);
    buf_deinit(&text);
}

/* ---- nats ---------------------------------------------------------------------------------- */

static void check_nats(struct world *w)
{
    char text[2048];
    said(w, text, sizeof(text));
    assert_non_null(strstr(text, "CONNECT {\"verbose\":false,"));
    assert_non_null(strstr(text, "}\r\nPING\r\nPONG\r\n"));
    assert_int_equal(w->count, 4);
    expect(w, 0, BENCH_EVENT_READY, "");
    expect(w, 1, BENCH_EVENT_SUBSCRIBED, "");
    expect(w, 2, BENCH_EVENT_MESSAGE, "\"a\r\nb\"");
    expect(w, 3, BENCH_EVENT_FAILED, "-ERR 'Slow Consumer'");
}

static void nats_messages_share_frames(void **state)
{
    (void)state;
    static const char many[] = "PONG\r\nPING\r\nMSG bench.t-000003 1 6\r\n\"a\r\nb\"\r\n"
                               "-ERR 'Slow Consumer'\r\n";
    struct buf text = {0};
    start(&text);
    feed_frame(&text, WS_BINARY, "INFO {\"max_payload\":1}\r\n", 24);
    feed_frame(&text, WS_BINARY, "PONG\r\n", 6);
    feed_frame(&text, WS_BINARY, many, sizeof(many) - 1);
    both_ways(&peer_nats, false, &text, check_nats);
    buf_deinit(&text);
}

static void check_jetstream(struct world *w)
{
    char text[2048];
    said(w, text, sizeof(text));
    assert_non_null(strstr(text, "\r\nSUB _INBOX.000007.* 1\r\nPUB $JS.API.STREAM.CREATE.BENCH "
                                 "_INBOX.000007.made "));
    assert_int_equal(w->count, 3);
    expect(w, 0, BENCH_EVENT_READY, "");
    expect(w, 1, BENCH_EVENT_PUBLISHED, "");
    assert_true(w->events[1].id == 1000000001 && w->events[1].count == 1);
    expect(w, 2, BENCH_EVENT_FAILED, "{\"error\":{\"code\":503}}");
}

static void jetstream_answers_bear_the_id(void **state)
{
    (void)state;
    static const char made[] = "MSG _INBOX.000007.made 1 14\r\n{\"type\":\"made\"\r\n";
    static const char answers[] =
        "MSG _INBOX.000007.1000000001 1 26\r\n{\"stream\":\"BENCH\",\"seq\":1}\r\n"
        "MSG _INBOX.000007.1000000002 1 22\r\n{\"error\":{\"code\":503}}\r\n";
    struct buf text = {0};
    start(&text);
    feed_frame(&text, WS_BINARY, "INFO {}\r\n", 9);
    feed_frame(&text, WS_BINARY, made, sizeof(made) - 1);
    feed_frame(&text, WS_BINARY, answers, sizeof(answers) - 1);
    both_ways(&peer_jetstream, true, &text, check_jetstream);
    buf_deinit(&text);
}

static void nats_publishes_as_its_documents_say(void **state)
{
    (void)state;
    char text[512];
    struct bench_template made = {0};
    struct world *w = world_open(&peer_nats, true);
    publish(w, BENCH_ID_FIRST, &made);
    said(w, text, sizeof(text));
    assert_memory_equal(text, "PUB bench.t-000003 40\r\n\"", 24);
    assert_string_equal(text + 23 + 40, "\r\n");
    world_close(w);
    w = world_open(&peer_jetstream, true);
    made = (struct bench_template){0};
    publish(w, 1000000042, &made);
    said(w, text, sizeof(text));
    assert_memory_equal(text, "PUB bench.t-000003 _INBOX.000007.1000000042 40\r\n\"", 49);
    world_close(w);
}

/* ---- mqtt ---------------------------------------------------------------------------------- */

static void check_mqtt(struct world *w)
{
    assert_int_equal(w->count, 4);
    expect(w, 0, BENCH_EVENT_READY, "");
    expect(w, 1, BENCH_EVENT_SUBSCRIBED, "");
    expect(w, 2, BENCH_EVENT_MESSAGE, "\"m\"");
    expect(w, 3, BENCH_EVENT_MESSAGE, "\"n\"");
}

static void mqtt_packets_are_taken_apart(void **state)
{
    (void)state;
    struct buf text = {0};
    start(&text);
    feed_frame(&text, WS_BINARY, "\x20\x02\x00\x00", 4);     /* CONNACK */
    feed_frame(&text, WS_BINARY, "\x90\x03\x00\x01\x00", 5); /* SUBACK */
    /* Two PUBLISH in one frame, the second one's size in two bytes. */
    feed_frame(&text, WS_BINARY, "\x30\x06\x00\x01t\"m\"\x30\x86\x00\x00\x01t\"n\"", 17);
    both_ways(&peer_mqtt, false, &text, check_mqtt);
    buf_deinit(&text);
}

static void check_mqtt_refused(struct world *w)
{
    assert_int_equal(w->count, 1);
    expect(w, 0, BENCH_EVENT_FAILED, "the server refuses");
}

static void check_mqtt_answers(struct world *w)
{
    assert_int_equal(w->count, 3);
    expect(w, 0, BENCH_EVENT_READY, "");
    expect(w, 1, BENCH_EVENT_PUBLISHED, "");
    assert_true(w->events[1].id == BENCH_ID_FIRST && w->events[1].count == 1);
    expect(w, 2, BENCH_EVENT_FAILED, "an acknowledgement out of turn");
}

static void mqtt_answers_come_in_turn(void **state)
{
    (void)state;
    struct buf text = {0};
    start(&text);
    feed_frame(&text, WS_BINARY, "\x20\x02\x00\x05", 4); /* CONNACK: not authorized */
    both_ways(&peer_mqtt, false, &text, check_mqtt_refused);
    const unsigned first = BENCH_ID_FIRST % 65535 + 1;
    const uint8_t puback[] = {0x40, 2, (uint8_t)(first >> 8), (uint8_t)first};
    buf_clear(&text);
    start(&text);
    feed_frame(&text, WS_BINARY, "\x20\x02\x00\x00", 4);
    feed_frame(&text, WS_BINARY, puback, 4);
    feed_frame(&text, WS_BINARY, puback, 4); /* the same again */
    both_ways(&peer_mqtt_qos1, true, &text, check_mqtt_answers);
    buf_deinit(&text);
}

static void mqtt_publishes_as_the_standard_says(void **state)
{
    (void)state;
    struct bench_template made = {0};
    struct world *w = world_open(&peer_mqtt_qos1, true);
    publish(w, BENCH_ID_FIRST + 1, &made);
    uint8_t *frame = w->conn.out.data;
    const size_t size = 2 + 2 + 14 + 2 + 40;
    assert_int_equal(w->conn.out.size, 6 + size);
    ws_mask(frame + 6, size, frame + 2, 0);
    const unsigned id = (BENCH_ID_FIRST + 1) % 65535 + 1;
    const uint8_t head[] = {0x32, (uint8_t)(size - 2), 0, 14};
    assert_memory_equal(frame + 6, head, sizeof(head));
    assert_memory_equal(frame + 10, "bench.t-000003", 14);
    assert_int_equal(frame[24] << 8 | frame[25], id);
    assert_int_equal(frame[26], '"');
    world_close(w);
}

static void mqtt_acknowledges_what_it_gets_with_qos_1(void **state)
{
    (void)state;
    struct world *w = world_open(&peer_mqtt_qos1, false);
    struct buf text = {0};
    start(&text);
    feed_frame(&text, WS_BINARY, "\x20\x02\x00\x00", 4);
    feed(w, text.data, text.size);
    buf_clear(&w->conn.out);
    buf_clear(&text);
    feed_frame(&text, WS_BINARY, "\x32\x08\x00\x01t\x12\x34\"m\"", 10);
    feed(w, text.data, text.size);
    expect(w, 1, BENCH_EVENT_MESSAGE, "\"m\"");
    uint8_t *frame = w->conn.out.data;
    assert_int_equal(w->conn.out.size, 10);
    ws_mask(frame + 6, 4, frame + 2, 0);
    assert_memory_equal(frame + 6, "\x40\x02\x12\x34", 4);
    buf_deinit(&text);
    world_close(w);
}

/* ---- redis --------------------------------------------------------------------------------- */

static void check_redis(struct world *w)
{
    assert_int_equal(w->count, 5);
    expect(w, 0, BENCH_EVENT_READY, "");
    expect(w, 1, BENCH_EVENT_SUBSCRIBED, "");
    expect(w, 2, BENCH_EVENT_MESSAGE, "\"m\r\n\"");
    expect(w, 3, BENCH_EVENT_MESSAGE, "\"n\"");
    expect(w, 4, BENCH_EVENT_FAILED, "-ERR no");
    /* It asks for what follows the last one, once. */
    static const char again[] = "*6\r\n$5\r\nXREAD\r\n$5\r\nBLOCK\r\n$1\r\n0\r\n$7\r\nSTREAMS\r\n"
                                "$14\r\nbench.t-000003\r\n$3\r\n2-0\r\n";
    const size_t size = sizeof(again) - 1;
    assert_int_equal(w->conn.out.size, size);
    assert_memory_equal(w->conn.out.data, again, size);
}

static void redis_entries_are_messages_and_it_asks_again(void **state)
{
    (void)state;
    struct buf text = {0};
    assert_int_equal(
        buf_append(&text,
                   BYTES_LITERAL("+PONG\r\n+PONG\r\n"
                                 "*1\r\n*2\r\n$14\r\nbench.t-000003\r\n*2\r\n"
                                 "*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nd\r\n$5\r\n\"m\r\n\"\r\n"
                                 "*2\r\n$3\r\n2-0\r\n*2\r\n$1\r\nd\r\n$3\r\n\"n\"\r\n-ERR no\r\n")),
        RC_OK);
    both_ways(&peer_redis, false, &text, check_redis);
    buf_deinit(&text);
}

static void check_redis_answers(struct world *w)
{
    assert_int_equal(w->count, 4);
    expect(w, 1, BENCH_EVENT_PUBLISHED, "");
    assert_true(w->events[1].id == BENCH_ID_FIRST && w->events[2].id == BENCH_ID_FIRST + 1);
    expect(w, 3, BENCH_EVENT_FAILED, "an answer that is none");
}

static void redis_answers_are_known_by_their_turn(void **state)
{
    (void)state;
    struct buf text = {0};
    assert_int_equal(buf_append(&text, BYTES_LITERAL("+PONG\r\n$3\r\n1-0\r\n$3\r\n1-1\r\n"
                                                     "$x\r\n")),
                     RC_OK);
    both_ways(&peer_redis, true, &text, check_redis_answers);
    buf_deinit(&text);
    struct world *w = world_open(&peer_redis, true);
    struct bench_template made = {0};
    publish(w, BENCH_ID_FIRST, &made);
    static const char head[] = "*5\r\n$4\r\nXADD\r\n$14\r\nbench.t-000003\r\n$1\r\n*\r\n"
                               "$1\r\nd\r\n$40\r\n\"";
    assert_memory_equal(w->conn.out.data, head, sizeof(head) - 1);
    assert_int_equal(w->conn.out.size, sizeof(head) - 2 + 40 + 2);
    world_close(w);
}

/* ---- centrifugo ---------------------------------------------------------------------------- */

static void check_centrifugo(struct world *w)
{
    char text[512];
    said(w, text, sizeof(text));
    assert_non_null(strstr(text, "{\"id\":1,\"connect\":{}}{}"));
    assert_int_equal(w->count, 5);
    expect(w, 0, BENCH_EVENT_READY, "");
    expect(w, 1, BENCH_EVENT_SUBSCRIBED, "");
    expect(w, 2, BENCH_EVENT_MESSAGE, "\"m\"");
    expect(w, 3, BENCH_EVENT_PUBLISHED, "");
    assert_true(w->events[3].id == 1000000042);
    assert_int_equal(w->events[4].type, BENCH_EVENT_FAILED);
}

static void centrifugo_has_objects_a_line(void **state)
{
    (void)state;
    static const char many[] =
        "{\"id\":2,\"subscribe\":{}}\n{}\n"
        "{\"push\":{\"channel\":\"bench.t-000003\",\"pub\":{\"data\":\"m\",\"offset\":1}}}\n"
        "{\"push\":{\"channel\":\"bench.t-000003\",\"join\":{}}}\n"
        "{\"id\":1000000042,\"publish\":{}}";
    static const char error[] = "{\"id\":3,\"error\":{\"code\":103}}\n";
    struct buf text = {0};
    start(&text);
    feed_frame(&text, WS_TEXT, "{\"id\":1,\"connect\":{\"client\":\"x\"}}", 34);
    feed_frame(&text, WS_TEXT, many, sizeof(many) - 1);
    feed_frame(&text, WS_TEXT, error, sizeof(error) - 1);
    both_ways(&peer_centrifugo, false, &text, check_centrifugo);
    buf_deinit(&text);
    struct world *w = world_open(&peer_centrifugo, true);
    struct bench_template made = {0};
    publish(w, 1000000042, &made);
    char out[512];
    said(w, out, sizeof(out));
    static const char head[] = "{\"id\":1000000042,\"publish\":{\"channel\":\"bench.t-000003\","
                               "\"data\":\"";
    assert_memory_equal(out, head, sizeof(head) - 1);
    assert_string_equal(out + sizeof(head) - 2 + 40, "}}");
    world_close(w);
}

/* ---- all of them --------------------------------------------------------------------------- */

static void check_spread(struct world *w)
{
    expect(w, w->count - 1, BENCH_EVENT_FAILED, "a message that is spread over frames");
}

static void check_fragment(struct world *w)
{
    expect(w, w->count - 1, BENCH_EVENT_FAILED, "a frame that no server may send");
}

static void what_cannot_be_is_a_failure(void **state)
{
    (void)state;
    static const struct bench_adapter *const inside[] = {&peer_nats, &peer_mqtt};
    static const char *const part[] = {"MSG a 1 5\r\nab", "\x30\x09\x00\x01t"};
    static const size_t sizes[] = {13, 5};
    for (size_t i = 0; i < 2; i++) {
        struct buf text = {0};
        start(&text);
        feed_frame(&text, WS_BINARY, part[i], sizes[i]);
        both_ways(inside[i], false, &text, check_spread);
        buf_clear(&text);
        start(&text);
        assert_int_equal(buf_append(&text, BYTES_LITERAL("\x02\x01")), RC_OK);
        both_ways(inside[i], false, &text, check_fragment);
        buf_deinit(&text);
    }
    assert_null(peer_find("nobody"));
    assert_ptr_equal(peer_find("mqtt-qos1"), &peer_mqtt_qos1);
    assert_ptr_equal(peer_find("seriatim"), &bench_adapter_seriatim);
}

static void a_refused_upgrade_is_a_failure(void **state)
{
    (void)state;
    static const struct bench_adapter *const all[] = {&peer_plain, &peer_nats, &peer_mqtt,
                                                      &peer_centrifugo};
    for (size_t i = 0; i < 4; i++) {
        struct world *w = world_open(all[i], false);
        feed(w, "HTTP/1.1 403 Forbidden\r\n\r\n", 26);
        assert_int_equal(w->count, 1);
        assert_int_equal(w->events[0].type, BENCH_EVENT_FAILED);
        world_close(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_has_the_channel_in_its_path),
        cmocka_unit_test(plain_frames_are_messages),
        cmocka_unit_test(nats_messages_share_frames),
        cmocka_unit_test(jetstream_answers_bear_the_id),
        cmocka_unit_test(nats_publishes_as_its_documents_say),
        cmocka_unit_test(mqtt_packets_are_taken_apart),
        cmocka_unit_test(mqtt_answers_come_in_turn),
        cmocka_unit_test(mqtt_publishes_as_the_standard_says),
        cmocka_unit_test(mqtt_acknowledges_what_it_gets_with_qos_1),
        cmocka_unit_test(redis_entries_are_messages_and_it_asks_again),
        cmocka_unit_test(redis_answers_are_known_by_their_turn),
        cmocka_unit_test(centrifugo_has_objects_a_line),
        cmocka_unit_test(what_cannot_be_is_a_failure),
        cmocka_unit_test(a_refused_upgrade_is_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
