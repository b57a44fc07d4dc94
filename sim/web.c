/* A client of the HTTP API: publishes without numbers, reads histories, one request at a time. What
 * it has sent once may be stored at most once. */
#include "base/mem.h"
#include "sim/client.h"
#include "sim/keys.h"
#include "sim/copies.h"
#include "sim/history.h"
#include "sim/trace.h"

#include <stdio.h>
#include <string.h>

#define PATIENCE_US 40000000u
#define CALM_ASKS   6u

struct web {
    struct client client;  /* first */
    struct net_client net; /* second */
    struct net_conn *conn;
    unsigned producer;
    unsigned made;
    unsigned calm_asks;
    bool waiting;
    bool reading; /* what it waits for is a history */
    unsigned channel;
    uint64_t since_us;
    struct history_ask history;
    struct buf answer;
};

static struct web *web_of(struct net_client *net)
{
    return (struct web *)(void *)((char *)net - offsetof(struct web, net));
}

static void idle(struct web *web)
{
    web->waiting = false;
    buf_deinit(&web->answer);
}

static void on_end(struct net_client *net)
{
    struct web *web = web_of(net);
    web->conn = NULL;
    idle(web);
}

static void on_answer(struct web *web, unsigned status, uint8_t *body, size_t size)
{
    trace("w%u: HTTP %u", web->client.number, status);
    if (status == 408) {
        return; /* it took too long to ask */
    }
    const struct value *object = value_read(body, size);
    if (object == NULL) {
        trace_fail("protocol", "an HTTP answer that is no JSON");
    }
    if (status == 200 && web->reading) {
        history_check(&web->history, object);
    } else if (status == 200) {
        model_acked(web->channel, member_text(object, "epoch"), member_u64(object, "seq"),
                    (struct identity){web->producer, 0, web->made});
    } else if (status != 503) {
        trace_fail("protocol", "an HTTP request is answered with %u", status);
    } else if (!web->reading) {
        copies_refused(web->channel, (struct identity){web->producer, 0, web->made}, 1,
                       member_text(object, "code"));
    }
}

static uint64_t number_behind(const struct buf *head, const char *what)
{
    const char *at = memmem(head->data, head->size, what, strlen(what));
    uint64_t value = 0;
    for (at = at == NULL ? "" : at + strlen(what); *at >= '0' && *at <= '9'; at++) {
        value = value * 10 + (uint64_t)(*at - '0');
    }
    return value;
}

static void on_bytes(struct net_client *net, const uint8_t *data, size_t size)
{
    struct web *web = web_of(net);
    const enum rc rc = buf_append(&web->answer, bytes_of(data, size));
    ASSERT(rc == RC_OK);
    const uint8_t *end = memmem(web->answer.data, web->answer.size, "\r\n\r\n", 4);
    if (end == NULL) {
        return;
    }
    const size_t head = (size_t)(end - web->answer.data) + 4;
    const size_t body = (size_t)number_behind(&web->answer, "Content-Length: ");
    if (web->answer.size < head + body) {
        return;
    }
    if (!web->waiting || web->answer.size > head + body) {
        trace_fail("protocol", "more HTTP than was asked for");
    }
    on_answer(web, (unsigned)number_behind(&web->answer, "HTTP/1.1 "), web->answer.data + head,
              body);
    const bool last = memmem(web->answer.data, head, "onnection: close", 16) != NULL;
    idle(web);
    if (last) {
        net_close(web->conn);
        web->conn = NULL;
    }
}

static void send_publish(struct web *web)
{
    struct buf body = {0};
    char text[200];
    web->channel = (unsigned)sim_below(clients_plan.channels);
    web->made++;
    int size = snprintf(text, sizeof(text),
                        "{\"channel\":\"%s\",\"data\":", model_channel_name(web->channel));
    enum rc rc = buf_append(&body, bytes_of(text, (size_t)size));
    ASSERT(rc == RC_OK);
    key_payload(&body, web->channel, (struct identity){web->producer, 0, web->made});
    copies_sent(web->channel, (struct identity){web->producer, 0, web->made}, 1);
    rc = buf_append(&body, BYTES_LITERAL("}"));
    ASSERT(rc == RC_OK);
    size = snprintf(text, sizeof(text),
                    "POST /v1/publish HTTP/1.1\r\nHost: sim\r\nContent-Length: %zu\r\n\r\n",
                    body.size);
    net_send(web->conn, text, (size_t)size);
    net_send(web->conn, body.data, body.size);
    buf_deinit(&body);
    web->reading = false;
}

static void send_history(struct web *web)
{
    char text[300];
    web->history = history_ask_draw(clients_plan.channels);
    web->history.has_from = true;
    const int size =
        snprintf(text, sizeof(text),
                 "GET /v1/channels/%s/messages?from=%llu&limit=%llu&reverse=%s HTTP/1.1\r\nHost: "
                 "sim\r\n\r\n",
                 model_channel_name(web->history.channel), (unsigned long long)web->history.from,
                 (unsigned long long)web->history.limit, web->history.reverse ? "true" : "false");
    net_send(web->conn, text, (size_t)size);
    web->reading = true;
}

static void act(struct client *client)
{
    struct web *web = (struct web *)client;
    if (web->waiting && web->since_us + PATIENCE_US < sim_now_us) {
        net_close(web->conn);
        web->conn = NULL;
        idle(web);
    }
    if (web->waiting || (clients_calm && web->calm_asks == CALM_ASKS)) {
        return;
    }
    if (web->conn == NULL) {
        const struct net_nature nature = talk_nature(&clients_plan, clients_calm);
        web->conn = net_connect(&web->net, &nature);
    }
    if (web->conn == NULL) {
        return;
    }
    if (clients_calm || sim_chance(30) || web->made >= clients_plan.messages_max) {
        send_history(web);
    } else {
        send_publish(web);
    }
    web->calm_asks += clients_calm;
    web->waiting = true;
    web->since_us = sim_now_us;
}

static bool settled(const struct client *client)
{
    (void)client;
    return true;
}

static void web_close(struct client *client)
{
    struct web *web = (struct web *)client;
    if (web->conn != NULL) {
        net_close(web->conn);
    }
    buf_deinit(&web->answer);
    mem_free(web);
}

struct client *web_open(unsigned number, unsigned producer)
{
    static const struct client_ops ops = {.act = act, .settled = settled, .close = web_close};
    struct web *web = mem_calloc(1, sizeof(*web));
    ASSERT(web != NULL);
    web->client = (struct client){.ops = &ops, .number = number};
    web->net = (struct net_client){.on_bytes = on_bytes, .on_end = on_end};
    web->producer = producer;
    return &web->client;
}
