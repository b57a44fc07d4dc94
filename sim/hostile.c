/* Somebody who means no good: connects and leaves, sends rubbish, broken frames, commands that make
 * no sense, half of a command; and never reads an answer. Nobody else may notice. */
#include "base/mem.h"
#include "sim/client.h"
#include "sim/faults.h"
#include "sim/trace.h"
#include "sim/zipped.h"
#include "test/lib/packed.h"

#include <stdio.h>
#include <string.h>

struct hostile {
    struct client client;  /* first */
    struct net_client net; /* second */
    struct net_conn *conn;
    unsigned stage;
    bool binary; /* it has said that it speaks seriatim.v1.binary */
};

static void on_bytes(struct net_client *net, const uint8_t *data, size_t size)
{
    (void)net;
    (void)data;
    (void)size;
}

static void on_end(struct net_client *net)
{
    ((struct hostile *)(void *)((char *)net - offsetof(struct hostile, net)))->conn = NULL;
}

static void send_frame(struct hostile *hostile, enum ws_opcode opcode, struct bytes payload)
{
    uint8_t head[WS_HEADER_SIZE_MAX];
    static const uint8_t mask[4];
    net_send(hostile->conn, head, ws_header_encode(head, opcode, payload.size, mask));
    net_send(hostile->conn, payload.data, sim_chance(90) ? payload.size : payload.size / 2);
}

/* Compressed, agreed on or not: a bomb, or what is broken. */
static void send_zipped(struct hostile *hostile)
{
    uint8_t head[WS_HEADER_SIZE_MAX];
    static const uint8_t mask[4];
    const struct bytes bomb = zipped_bomb();
    const size_t size = sim_chance(60) ? bomb.size : sim_below(bomb.size);
    const size_t head_size = ws_header_encode(head, WS_TEXT, size, mask);
    head[0] |= 0x40;
    net_send(hostile->conn, head, head_size);
    net_send(hostile->conn, bomb.data, size);
}

/* Bytes changed, left out at the end, or too many: sizes, types and flags are among them. */
static void spoil(struct buf *units)
{
    for (uint64_t left = sim_below(3); left > 0; left--) {
        units->data[sim_below(units->size)] = (uint8_t)sim_below(256);
    }
    if (sim_chance(30)) {
        units->size = (size_t)sim_below(units->size) + 1;
    } else if (sim_chance(30)) {
        const size_t more = 1 + units->size / 2; /* its own first bytes again */
        const enum rc rc = buf_reserve(units, more);
        ASSERT(rc == RC_OK);
        buf_put(units, units->data, more);
    }
}

/* In the codec that it has named, or in the other one; in binary maybe several at once, or what is
 * nearly a command. A text that is no command goes as it is. */
static void send_text(struct hostile *hostile, const char *text)
{
    struct buf units = {0};
    const struct bytes plain = bytes_of_text(text);
    if (!hostile->binary || sim_chance(3) || !packed_text(&units, plain)) {
        send_frame(hostile, hostile->binary && sim_chance(50) ? WS_BINARY : WS_TEXT, plain);
        return;
    }
    for (uint64_t left = sim_below(3); left > 0; left--) {
        (void)packed_text(&units, plain);
    }
    if (sim_chance(40)) {
        spoil(&units);
    }
    send_frame(hostile, WS_BINARY, buf_bytes(&units));
    buf_deinit(&units);
}

/* What a WebSocket client may do and ours do not, and what it may not. */
static void send_control(struct hostile *hostile)
{
    switch (sim_below(7)) {
    case 0: send_frame(hostile, WS_BINARY, BYTES_LITERAL("\x01\x02")); break;
    case 1: send_frame(hostile, WS_CLOSE, BYTES_LITERAL("\x03\xE8 bye")); break;
    case 2: send_frame(hostile, WS_TEXT, BYTES_LITERAL("\"\xFF\xFE\"")); break;
    case 3: send_frame(hostile, WS_BINARY, (struct bytes){0}); break;
    default:
        for (uint64_t left = sim_between(1, 20); left > 0; left--) {
            send_frame(hostile, WS_PING, BYTES_LITERAL("are you there?"));
        }
        break;
    }
}

static void send_rubbish(struct hostile *hostile)
{
    uint8_t bytes[200];
    const size_t size = (size_t)sim_between(1, sizeof(bytes));
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)sim_below(256);
    }
    net_send(hostile->conn, bytes, size);
}

static void send_nonsense(struct hostile *hostile)
{
    static const char *const texts[] = {
        "{\"type\":\"connect\",\"id\":1}",
        "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"channel-0\",\"from\":\"earliest\"}",
        "{\"type\":\"subscribe\",\"channel\":\"channel-1\",\"window\":1}",
        "{\"type\":\"unsubscribe\",\"channel\":\"channel-0\"}",
        "{\"type\":\"ack\",\"channel\":\"channel-0\",\"seq\":999999}",
        "{\"type\":\"history\",\"channel\":\"channel-0\",\"reverse\":true}",
        "{\"type\":\"publish\",\"channel\":\"channel-0\",\"data\":{}",
        "{\"type\":\"publish\",\"channel\":\"\",\"data\":1}",
        "{\"type\":\"publish\",\"channel\":\"channel-0\",\"data\":1,\"producer_seq\":1}",
        "{\"type\":\"subscribe\",\"channel\":\"channel-0\",\"from\":{\"seq\":77777}}",
        "[]",
        "{\"type\":\"ping\",\"id\":3}",
        "{\"type\":\"digest\",\"channel\":\"channel-0\"}",
    };
    send_text(hostile, texts[sim_below(sizeof(texts) / sizeof(texts[0]))]);
}

/* Channels of its own, up to the limit and beyond; but only where those of the others are there and
 * stay, since their clients would wait for ever. */
static void send_others(struct hostile *hostile)
{
    char text[100];
    for (unsigned c = 0; c < clients_plan.channels; c++) {
        if (model_latest(c) == 0 || model_lossy()) {
            return;
        }
    }
    const char *format =
        sim_chance(35) ? "{\"type\":\"publish\",\"channel\":\"other-%u\",\"data\":[]}"
        : sim_chance(50)
            ? "{\"type\":\"publish\",\"channel\":\"other-%u\",\"data\":[],\"quiet\":true}"
            : "{\"type\":\"subscribe\",\"channel\":\"other-%u\",\"from\":\"earliest\"}";
    const unsigned number = (unsigned)sim_below(4); /* drawn second with every compiler */
    (void)snprintf(text, sizeof(text), format, number);
    send_text(hostile, text);
}

static void act(struct client *client)
{
    static const char request[] =
        "GET /v1/ws HTTP/1.1\r\nHost: sim\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    struct hostile *hostile = (struct hostile *)client;
    if (hostile->conn == NULL) {
        const struct net_nature nature = talk_nature(&clients_plan, false);
        hostile->conn = clients_calm ? NULL : net_connect(&hostile->net, &nature);
        hostile->stage = 0;
        return;
    }
    if (hostile->stage++ == 0) {
        hostile->binary = sim_chance(33);
        struct zipped zipped = {0};
        const char *offer = zipped_offer(&zipped, &clients_plan);
        const char *end =
            hostile->binary ? "Sec-WebSocket-Protocol: seriatim.v1.binary\r\n\r\n" : "\r\n";
        net_send(hostile->conn, request, sim_chance(85) ? sizeof(request) - 1 : sim_below(100));
        net_send(hostile->conn, offer, strlen(offer));
        net_send(hostile->conn, end, strlen(end));
        if (sim_chance(80)) {
            send_text(hostile, "{\"type\":\"connect\",\"id\":1}");
        }
    } else if (clients_calm || sim_chance(15)) {
        net_close(hostile->conn);
        hostile->conn = NULL;
    } else if (fault_happens(FAULT_RUBBISH)) {
        send_rubbish(hostile);
    } else if (fault_happens(FAULT_BAD_FRAMES)) {
        if (clients_plan.deflate != 0 && sim_chance(40)) {
            send_zipped(hostile);
        } else {
            send_control(hostile);
        }
    } else if (sim_chance(15)) {
        send_others(hostile);
    } else if (sim_chance(10)) {
        net_window(hostile->conn, false);
    } else if (fault_happens(FAULT_NONSENSE)) {
        send_nonsense(hostile);
    }
}

static bool settled(const struct client *client)
{
    (void)client;
    return true;
}

static void hostile_close(struct client *client)
{
    struct hostile *hostile = (struct hostile *)client;
    if (hostile->conn != NULL) {
        net_close(hostile->conn);
    }
    mem_free(hostile);
}

struct client *hostile_open(unsigned number)
{
    static const struct client_ops ops = {.act = act, .settled = settled, .close = hostile_close};
    struct hostile *hostile = mem_calloc(1, sizeof(*hostile));
    ASSERT(hostile != NULL);
    hostile->client = (struct client){.ops = &ops, .number = number};
    hostile->net = (struct net_client){.on_bytes = on_bytes, .on_end = on_end};
    return &hostile->client;
}
