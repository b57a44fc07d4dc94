/* The C client library by its public header: threads that publish, a client that turns itself or is
 * turned, and what it refuses.
 * Method: the test is the server (unit/client/peer.h), with a naive log; clients run on threads of
 * their own. Run under TSan too. */
#include "base/mem.h"
#include "base/stats.h"
#include "base/tune.h"
#include "unit/client/peer.h"
#include "wire/codec.h"
#include "wire/json_codec.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <seriatim/client.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define CONNECTED                                                                                  \
    "{\"type\":\"connected\",\"id\":1,\"ping_ms\":25000,\"features\":[],\"limits\":"               \
    "{\"frame_bytes\":65536}}"
#define STORED_MAX 4000u
#define THREADS    4u
#define EACH       500u

/* ---- the server ---------------------------------------------------------------------------- */

struct stored {
    uint32_t thread;
    uint32_t count;
};

struct world {
    struct peer peer;
    struct wire_scratch scratch;
    struct buf out;
    struct stored log[STORED_MAX];
    uint64_t stored;
    uint64_t producer_next;
    uint64_t commands;
    uint64_t cut_at; /* the command at which the connection ends; 0: none */
    bool mute;       /* answers only the first command, which is connect */
    bool subscribed;
    uint64_t pushed;
    /* told by the client, on its thread */
    uint64_t published;
    uint64_t ends[SERIATIM_SYSTEM + 1];
    uint64_t received;
    uint64_t states;
    struct stats_flag failed;
};

static void say(struct world *w)
{
    peer_frame(&w->peer, WS_TEXT, buf_bytes(&w->out));
    buf_clear(&w->out);
}

static void on_publish(struct world *w, const struct wire_command *c)
{
    const bool duplicate = c->producer_seq < w->producer_next;
    assert_true(duplicate || c->producer_seq == w->producer_next);
    for (uint32_t i = 0; i < c->item_count && !duplicate; i++) {
        assert_true(w->stored < STORED_MAX && c->items[i].is_bytes);
        assert_int_equal(c->items[i].data.size, 8);
        w->log[w->stored++] = (struct stored){bytes_load_u32(c->items[i].data.data),
                                              bytes_load_u32(c->items[i].data.data + 4)};
    }
    const struct wire_published published = {.id = c->id,
                                             .channel = c->channel,
                                             .has_seq = true,
                                             .seq = c->producer_seq,
                                             .is_batch = c->is_batch,
                                             .count = c->item_count,
                                             .message_id = 1,
                                             .epoch = 9,
                                             .duplicate = duplicate};
    w->producer_next = duplicate ? w->producer_next : c->producer_seq + c->item_count;
    assert_int_equal(json_encode_published(&w->out, &published, true), RC_OK);
    say(w);
}

static void push_all(struct world *w, struct bytes channel)
{
    for (; w->subscribed && w->pushed <= w->stored; w->pushed++) {
        const struct wire_message m = {.channel = channel,
                                       .seq = w->pushed,
                                       .message_id = 1,
                                       .time_ms = 2,
                                       .data = BYTES_LITERAL("{}")};
        assert_int_equal(json_encode_message(&w->out, &m, true), RC_OK);
        say(w);
    }
}

static void serve_history(struct world *w, const struct wire_command *c)
{
    char text[400];
    assert_int_equal(c->limit, 1000);
    (void)snprintf(text, sizeof(text),
                   "{\"type\":\"history\",\"id\":%" PRIu64 ",\"channel\":\"c\",\"epoch\":\"9\","
                   "\"earliest\":1,\"latest\":9,\"messages\":[{\"seq\":%" PRIu64
                   ",\"message_id\":\"5\",\"time\":6,\"key\":\"k\",\"data\":1}],"
                   "\"damaged\":[{\"from\":%" PRIu64 ",\"to\":9}],\"more\":true}",
                   c->id, c->history_from, c->history_from + 1);
    peer_say(&w->peer, text);
}

static void serve_digest(struct world *w, const struct wire_command *c)
{
    char text[300];
    if (c->has_seq) {
        (void)snprintf(text, sizeof(text),
                       "{\"type\":\"error\",\"id\":%" PRIu64 ",\"code\":\"gap\",\"message\":\"no\","
                       "\"reason\":\"trimmed\",\"epoch\":\"9\",\"earliest\":3,\"latest\":9}",
                       c->id);
    } else {
        (void)snprintf(text, sizeof(text),
                       "{\"type\":\"digest\",\"id\":%" PRIu64
                       ",\"channel\":\"c\",\"epoch\":\"9\",\"seq\":9,"
                       "\"digest\":\"000000000000000a\"}",
                       c->id);
    }
    peer_say(&w->peer, text);
}

static void serve(struct world *w, const struct wire_command *c)
{
    struct wire_subscribed subscribed = {.id = c->id, .channel = c->channel, .epoch = 9};
    switch (c->type) {
    case WIRE_CONNECT: peer_say(&w->peer, CONNECTED); break;
    case WIRE_PUBLISH: on_publish(w, c); break;
    case WIRE_SUBSCRIBE:
        w->subscribed = true;
        w->pushed = c->from == WIRE_FROM_EARLIEST ? 1 : c->seq;
        subscribed.next = w->pushed;
        subscribed.earliest = 1;
        subscribed.latest = w->stored;
        assert_int_equal(json_encode_subscribed(&w->out, &subscribed), RC_OK);
        say(w);
        break;
    case WIRE_UNSUBSCRIBE: w->subscribed = false; break;
    case WIRE_ACK: break;
    case WIRE_HISTORY: serve_history(w, c); break;
    case WIRE_DIGEST: serve_digest(w, c); break;
    case WIRE_PING: fail(); break;
    }
    push_all(w, BYTES_LITERAL("c"));
}

static void take_frame(struct world *w, struct bytes frame)
{
    static const struct wire_limits limits = {.message_bytes = 65536};
    struct wire_command command;
    struct wire_error error;
    assert_int_equal(
        codec_command_decode(WIRE_JSON, &frame, &limits, &w->scratch, &command, &error), RC_OK);
    w->commands++;
    if (w->commands == w->cut_at) {
        peer_hang_up(&w->peer, false);
        w->subscribed = false;
        w->cut_at += 37;
    } else if (!w->mute || w->commands == 1) {
        serve(w, &command);
    }
}

/* Everything that there is to do now; waits a moment for it. */
static void turn_server(struct world *w)
{
    struct ws_event event;
    struct pollfd fd = {.fd = w->peer.fd >= 0 ? w->peer.fd : w->peer.listener, .events = POLLIN};
    if (poll(&fd, 1, 2) <= 0) {
        return;
    }
    if (w->peer.fd < 0) {
        peer_greet(&w->peer);
        return;
    }
    const bool open = peer_read(&w->peer);
    while (w->peer.fd >= 0 && peer_next(&w->peer, &event)) {
        if (event.type == WS_EVENT_MESSAGE) {
            take_frame(w, event.payload);
        }
    }
    if (!open && w->peer.fd >= 0) {
        peer_hang_up(&w->peer, false);
        w->subscribed = false;
    }
}

static void open_world(struct world *w)
{
    bytes_zero(w, sizeof(*w));
    w->producer_next = 1;
    peer_open(&w->peer);
    wire_scratch_init(&w->scratch);
}

static void close_world(struct world *w)
{
    peer_close(&w->peer);
    wire_scratch_deinit(&w->scratch);
    buf_deinit(&w->out);
}

/* ---- the client ---------------------------------------------------------------------------- */

static void on_published(void *user, const struct seriatim_published *p)
{
    struct world *w = user;
    w->published++;
    w->ends[p->status]++;
}

static void on_connection(void *user, enum seriatim_connection connection, const char *why)
{
    struct world *w = user;
    (void)why;
    if (connection == SERIATIM_FAILED) {
        stats_flag_set(&w->failed, true);
    }
}

static struct seriatim_client *open_client(struct world *w, bool thread, uint64_t outbox_bytes)
{
    char url[320];
    const char *urls[] = {url};
    (void)snprintf(url, sizeof(url), "ws://%s/v1/ws", w->peer.url.authority);
    const struct seriatim_client_options options = {.size = sizeof(options),
                                                    .endpoints = urls,
                                                    .endpoint_count = 1,
                                                    .codec = SERIATIM_JSON,
                                                    .outbox_bytes = outbox_bytes,
                                                    .thread = thread,
                                                    .user = w,
                                                    .on_published = on_published,
                                                    .on_connection = on_connection};
    struct seriatim_client *client = NULL;
    const char *why = "untouched";
    assert_int_equal(seriatim_client_new(&options, &client, &why), SERIATIM_OK);
    assert_null(why);
    assert_int_equal(strncmp(seriatim_client_producer(client), "p-", 2), 0);
    assert_int_equal(seriatim_client_producer_epoch(client), 1);
    return client;
}

static enum seriatim_status publish(struct seriatim_client *client, uint32_t thread, uint32_t count,
                                    bool wait)
{
    uint8_t data[8];
    bytes_store_u32(data, thread);
    bytes_store_u32(data + 4, count);
    const struct seriatim_publish p = {
        .size = sizeof(p), .channel = "c", .data = data, .data_size = sizeof(data), .bytes = true};
    return wait ? seriatim_publish_wait(client, &p, SERIATIM_FOR_EVER)
                : seriatim_publish(client, &p);
}

struct publisher {
    struct seriatim_client *client;
    uint32_t number;
};

static void *publish_all(void *arg)
{
    const struct publisher *p = arg;
    for (uint32_t i = 0; i < EACH; i++) {
        enum seriatim_status status = publish(p->client, p->number, i, false);
        if (status == SERIATIM_FULL) {
            status = publish(p->client, p->number, i, true);
        }
        if (status != SERIATIM_OK) {
            return "it was refused";
        }
    }
    return NULL;
}

struct closing {
    struct seriatim_client *client;
    struct stats_flag over;
    enum seriatim_status status;
};

static void *close_it(void *arg)
{
    struct closing *closing = arg;
    closing->status = seriatim_client_close(closing->client, 60000);
    stats_flag_set(&closing->over, true);
    return NULL;
}

static void close_client(struct world *w, struct seriatim_client *client,
                         enum seriatim_status wanted)
{
    struct closing closing = {.client = client};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, close_it, &closing), 0);
    while (!stats_flag_get(&closing.over)) {
        turn_server(w);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(closing.status, wanted);
}

static void threads_publish_through_one_client_and_a_bad_wire(void **state)
{
    (void)state;
    static struct world w;
    pthread_t threads[THREADS];
    struct publisher publishers[THREADS];
    uint32_t next[THREADS] = {0};
    open_world(&w);
    w.cut_at = 5;
    struct seriatim_client *client = open_client(&w, true, 8192); /* full at nearly every turn */
    for (uint32_t i = 0; i < THREADS; i++) {
        publishers[i] = (struct publisher){client, i};
        assert_int_equal(pthread_create(&threads[i], NULL, publish_all, &publishers[i]), 0);
    }
    while (w.stored < THREADS * EACH) {
        turn_server(&w);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        void *why = NULL;
        assert_int_equal(pthread_join(threads[i], &why), 0);
        assert_null(why);
    }
    close_client(&w, client, SERIATIM_OK);
    assert_int_equal(w.stored, THREADS * EACH);
    assert_int_equal(w.ends[SERIATIM_OK], THREADS * EACH);
    for (uint64_t i = 0; i < w.stored; i++) {
        assert_int_equal(w.log[i].count, next[w.log[i].thread]++);
    }
    close_world(&w);
}

static void on_message(void *user, const struct seriatim_message *m)
{
    struct world *w = user;
    w->received++;
    if (m->seq != w->received) {
        stats_flag_set(&w->failed, true);
    }
}

static void on_state(void *user, const struct seriatim_subscription_news *news)
{
    struct world *w = user;
    w->states |= UINT64_C(1) << news->state;
}

/* While the thread turns, others subscribe, look and leave. */
static void others_get_in_while_the_client_turns(void **state)
{
    (void)state;
    static struct world w;
    open_world(&w);
    struct seriatim_client *client = open_client(&w, true, 0);
    const struct seriatim_subscribe ask = {.size = sizeof(ask),
                                           .channel = "c",
                                           .from = SERIATIM_EARLIEST,
                                           .user = &w,
                                           .on_message = on_message,
                                           .on_state = on_state};
    for (uint32_t i = 0; i < 50; i++) {
        struct seriatim_subscription *sub = NULL;
        assert_int_equal(seriatim_subscribe(client, &ask, &sub), SERIATIM_OK);
        assert_int_equal(seriatim_subscribe(client, &ask, NULL), SERIATIM_EXISTS);
        assert_int_equal(publish(client, 0, i, false), SERIATIM_OK);
        turn_server(&w);
        turn_server(&w);
        if (i < 49) {
            seriatim_unsubscribe(client, sub);
            w.received = 0; /* the callback cannot run now */
        }
    }
    while (seriatim_client_pending_bytes(client) > 0) {
        turn_server(&w);
    }
    close_client(&w, client, SERIATIM_OK);
    assert_int_equal(w.stored, 50);
    assert_int_equal(w.received, 50);
    assert_false(stats_flag_get(&w.failed));
    close_world(&w);
}

static bool count_pending(void *user, const struct seriatim_pending *pending)
{
    uint64_t *count = user;
    assert_int_equal(pending->producer_seq, 5 + *count);
    assert_string_equal(pending->channel, "c");
    assert_true(pending->bytes && !pending->recovered && pending->key == NULL);
    return ++*count < 2;
}

static void a_client_that_is_turned_says_when_and_what_waits(void **state)
{
    (void)state;
    static struct world w;
    open_world(&w);
    struct seriatim_client *client = open_client(&w, false, 3 * (64 + 1 + 8));
    assert_int_equal(seriatim_channel_begin(client, "c", 5), SERIATIM_OK);
    assert_int_equal(seriatim_channel_begin(client, "", 5), SERIATIM_BAD);
    assert_int_equal(seriatim_channel_begin(client, "c", 0), SERIATIM_BAD);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(publish(client, 0, i, false), SERIATIM_OK);
    }
    assert_int_equal(publish(client, 0, 3, false), SERIATIM_FULL);
    uint8_t data[8] = {0};
    const struct seriatim_publish p = {
        .size = sizeof(p), .channel = "c", .data = data, .data_size = 8, .bytes = true};
    assert_int_equal(seriatim_publish_wait(client, &p, 5), SERIATIM_TIMEOUT);
    struct pollfd fd = {.fd = seriatim_client_fd(client), .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 0), 1); /* the first turn is due */
    assert_int_equal(seriatim_client_turn(client), SERIATIM_OK);
    uint64_t count = 0;
    seriatim_client_pending(client, count_pending, &count);
    assert_int_equal(count, 2);
    assert_int_equal(seriatim_channel_begin(client, "c", 5), SERIATIM_EXISTS);
    w.producer_next = 5;
    for (unsigned i = 0; i < 5000 && w.published < 3; i++) {
        turn_server(&w);
        if (poll(&fd, 1, 0) > 0) {
            assert_int_equal(seriatim_client_turn(client), SERIATIM_OK);
        }
    }
    assert_int_equal(w.ends[SERIATIM_OK], 3);
    assert_int_equal(seriatim_client_pending_bytes(client), 0);
    assert_int_equal(publish(client, 0, 4, false), SERIATIM_OK);
    assert_int_equal(seriatim_client_close(client, 0), SERIATIM_TIMEOUT); /* and it is lost */
    close_world(&w);
}

/* The socket has taken it all, so nothing tells of room in it; and a server that answers nothing
 * wakes nobody. */
static void what_does_not_fit_into_one_turn_goes_out_in_the_next(void **state)
{
    (void)state;
    static struct world w;
    enum { MESSAGES = 20 };
    open_world(&w);
    tune.pending_bytes = 1;
    struct seriatim_client *client = open_client(&w, false, 0);
    w.mute = true;
    for (int i = 0; i < MESSAGES; i++) { /* a command each, since a publish is to one channel */
        const char name[] = {(char)('a' + i), '\0'};
        const struct seriatim_publish p = {
            .size = sizeof(p), .channel = name, .data = "1", .data_size = 1};
        assert_int_equal(seriatim_publish(client, &p), SERIATIM_OK);
    }
    struct pollfd fd = {.fd = seriatim_client_fd(client), .events = POLLIN};
    for (unsigned i = 0; i < 200 && w.commands < 1 + MESSAGES; i++) {
        turn_server(&w);
        if (poll(&fd, 1, 0) > 0) {
            assert_int_equal(seriatim_client_turn(client), SERIATIM_OK);
        }
    }
    assert_int_equal(w.commands, 1 + MESSAGES);
    assert_int_equal(poll(&fd, 1, 0), 0); /* and then it sleeps */
    assert_int_equal(seriatim_client_close(client, 0), SERIATIM_TIMEOUT);
    close_world(&w);
    tune = tune_default;
}

static void what_is_not_as_it_must_be_is_refused(void **state)
{
    (void)state;
    static struct world w;
    open_world(&w);
    struct seriatim_client *client = open_client(&w, false, 0);
    char name[257];
    (void)memset(name, 'x', 256);
    name[256] = '\0';
    const struct seriatim_publish good = {
        .size = sizeof(good), .channel = "c", .data = "{}", .data_size = 2};
    struct seriatim_publish p = good;
    p.channel = name;
    assert_int_equal(seriatim_publish(client, &p), SERIATIM_TOO_LARGE);
    p.channel = "a\nb";
    assert_int_equal(seriatim_publish(client, &p), SERIATIM_BAD);
    p.channel = "";
    assert_int_equal(seriatim_publish(client, &p), SERIATIM_BAD);
    p = good;
    p.key = name;
    assert_int_equal(seriatim_publish(client, &p), SERIATIM_TOO_LARGE);
    p = good;
    p.key = "\xff";
    assert_int_equal(seriatim_publish(client, &p), SERIATIM_BAD);
    p = good;
    p.data = "{]";
    assert_int_equal(seriatim_publish(client, &p), SERIATIM_BAD);
    p = good;
    p.data = NULL;
    assert_int_equal(seriatim_publish(client, &p), SERIATIM_BAD);
    p = good;
    p.data_size = (size_t)2 << 20;
    assert_int_equal(seriatim_publish(client, &p), SERIATIM_TOO_LARGE);
    p = good;
    p.size = 1;
    assert_int_equal(seriatim_publish(client, &p), SERIATIM_BAD);
    const struct seriatim_subscribe ask = {
        .size = sizeof(ask), .channel = "c", .from = SERIATIM_SEQ, .on_message = on_message};
    struct seriatim_subscribe s = ask;
    assert_int_equal(seriatim_subscribe(client, &s, NULL), SERIATIM_BAD); /* seq 0 */
    s.seq = 1;
    s.window = 1000001;
    assert_int_equal(seriatim_subscribe(client, &s, NULL), SERIATIM_TOO_LARGE);
    s.window = 1;
    s.from = SERIATIM_POSITION;
    static const char *const epochs[] = {NULL, "", "\xff", "1234567890123456"};
    for (size_t i = 0; i < sizeof(epochs) / sizeof(epochs[0]); i++) {
        s.epoch = epochs[i];
        assert_int_equal(seriatim_subscribe(client, &s, NULL), SERIATIM_BAD);
    }
    s.epoch = "k3x";
    s.on_message = NULL;
    assert_int_equal(seriatim_subscribe(client, &s, NULL), SERIATIM_BAD);
    seriatim_unsubscribe(client, NULL);
    assert_int_equal(seriatim_client_close(client, 0), SERIATIM_OK);
    assert_int_equal(seriatim_client_close(NULL, 0), SERIATIM_OK);
    close_world(&w);
}

static void options_that_cannot_be_are_refused_with_the_reason(void **state)
{
    (void)state;
    const char *urls[] = {"ws://127.0.0.1:1"};
    const char *bad_urls[] = {"http://x"};
    const struct seriatim_client_options good = {
        .size = sizeof(good), .endpoints = urls, .endpoint_count = 1};
    struct seriatim_client_options cases[7];
    for (size_t i = 0; i < 7; i++) {
        cases[i] = good;
    }
    cases[0].endpoint_count = 0;
    cases[1].endpoint_count = 17;
    cases[2].endpoints = bad_urls;
    cases[3].producer = "a\nb";
    cases[4].outbox_bytes = UINT64_C(1) << 40;
    cases[5].message_bytes = UINT64_C(17) << 20;
    cases[6].batch_messages = 1001;
    for (size_t i = 0; i < 7; i++) {
        struct seriatim_client *client = NULL;
        const char *why = NULL;
        assert_int_equal(seriatim_client_new(&cases[i], &client, &why), SERIATIM_BAD);
        assert_null(client);
        assert_non_null(why);
    }
    struct seriatim_client_options none = good;
    none.outbox = "/nowhere/at/all";
    struct seriatim_client *client = NULL;
    assert_int_equal(seriatim_client_new(&none, &client, NULL), SERIATIM_DISK);
    assert_string_equal(seriatim_status_text(SERIATIM_FULL), "the outbox is full");
    assert_string_equal(seriatim_status_text((enum seriatim_status)99), "unknown");
    assert_non_null(seriatim_version());
}

/* Each allocation of a client's beginning fails in turn. */
static void memory_that_runs_out_at_the_beginning_is_told(void **state)
{
    (void)state;
    const char *urls[] = {"ws://127.0.0.1:1"};
    char folder[] = "/var/tmp/seriatim-XXXXXX";
    assert_non_null(mkdtemp(folder));
    const struct seriatim_client_options options = {
        .size = sizeof(options), .endpoints = urls, .endpoint_count = 1, .outbox = folder};
    enum seriatim_status status = SERIATIM_NOMEM;
    for (uint64_t k = 1; status != SERIATIM_OK; k++) {
        struct seriatim_client *client = NULL;
        assert_true(k < 100);
        mem_fault_set(k, 0);
        status = seriatim_client_new(&options, &client, NULL);
        mem_fault_set(0, 0);
        assert_true(status == SERIATIM_OK || status == SERIATIM_NOMEM);
        assert_int_equal(seriatim_client_close(client, 0), SERIATIM_OK);
    }
    char file[64];
    (void)snprintf(file, sizeof(file), "%s/outbox", folder);
    assert_int_equal(unlink(file), 0);
    (void)snprintf(file, sizeof(file), "%s/LOCK", folder);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* ---- history and digests ------------------------------------------------------------------- */

struct answers {
    uint64_t messages;
    uint64_t gaps;
    uint64_t answers;
    struct seriatim_answer last;
};

static void on_page(void *user, const struct seriatim_message *m)
{
    struct answers *a = user;
    assert_int_equal(m->seq, 4);
    assert_string_equal(m->channel, "c");
    assert_string_equal(m->epoch, "9");
    assert_int_equal(m->message_id, 5);
    assert_int_equal(m->key_size, 1);
    a->messages++;
}

static void on_page_gap(void *user, const struct seriatim_gap *gap)
{
    struct answers *a = user;
    assert_int_equal(a->messages, 1);
    assert_int_equal(gap->from, 5);
    assert_int_equal(gap->to, 9);
    assert_int_equal(gap->next, 10);
    assert_string_equal(gap->reason, "damaged");
    a->gaps++;
}

static void on_answer(void *user, const struct seriatim_answer *answer)
{
    struct answers *a = user;
    a->answers++;
    a->last = *answer;
    assert_string_equal(answer->channel, "c");
    assert_string_equal(answer->code, answer->status == SERIATIM_OK ? "" : "gap");
}

static void play_until(struct world *w, struct seriatim_client *client, const uint64_t *count,
                       uint64_t wanted)
{
    while (*count < wanted) {
        turn_server(w);
        assert_int_equal(seriatim_client_turn(client), SERIATIM_OK);
    }
    assert_int_equal(*count, wanted);
}

static void history_and_digests_are_asked_for_and_answered(void **state)
{
    (void)state;
    static struct world w;
    struct answers a = {0};
    open_world(&w);
    struct seriatim_client *client = open_client(&w, false, 0);
    const struct seriatim_history page = {.size = sizeof(page),
                                          .channel = "c",
                                          .from = 4,
                                          .user = &a,
                                          .on_message = on_page,
                                          .on_gap = on_page_gap,
                                          .on_answer = on_answer};
    const struct seriatim_digest digest = {
        .size = sizeof(digest), .channel = "c", .user = &a, .on_answer = on_answer};
    struct seriatim_digest gone = digest;
    gone.seq = 1;
    assert_int_equal(seriatim_history(client, &page), SERIATIM_OK); /* before it is connected */
    play_until(&w, client, &a.answers, 1);
    assert_int_equal(a.last.status, SERIATIM_OK);
    assert_int_equal(a.messages, 1);
    assert_int_equal(a.gaps, 1);
    assert_int_equal(a.last.earliest, 1);
    assert_int_equal(a.last.latest, 9);
    assert_true(a.last.more);
    assert_int_equal(seriatim_digest(client, &digest), SERIATIM_OK);
    play_until(&w, client, &a.answers, 2);
    assert_int_equal(a.last.status, SERIATIM_OK);
    assert_int_equal(a.last.seq, 9);
    assert_int_equal(a.last.digest, 10);
    assert_int_equal(seriatim_digest(client, &gone), SERIATIM_OK);
    play_until(&w, client, &a.answers, 3);
    assert_int_equal(a.last.status, SERIATIM_GAP);
    assert_int_equal(a.last.earliest, 3);
    /* What is not answered when the client ends is forgotten without a word. */
    struct seriatim_history quiet = page;
    quiet.on_gap = NULL;
    assert_int_equal(seriatim_history(client, &quiet), SERIATIM_OK);
    assert_int_equal(seriatim_client_close(client, 0), SERIATIM_OK);
    assert_int_equal(a.answers, 3);
    close_world(&w);
}

static void questions_that_are_not_as_they_must_be_are_refused(void **state)
{
    (void)state;
    static struct world w;
    char name[300];
    (void)memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    open_world(&w);
    struct seriatim_client *client = open_client(&w, false, 0);
    const struct seriatim_history page = {.size = sizeof(page),
                                          .channel = "c",
                                          .from = 1,
                                          .on_message = on_page,
                                          .on_answer = on_answer};
    const struct seriatim_digest digest = {
        .size = sizeof(digest), .channel = "c", .on_answer = on_answer};
    struct seriatim_history h[] = {page, page, page, page, page, page, page};
    struct seriatim_digest d[] = {digest, digest, digest, digest};
    h[0].size--;
    h[1].channel = NULL;
    h[2].channel = "a\nb";
    h[3].from = 0;
    h[4].limit = 1001;
    h[5].on_message = NULL;
    h[6].on_answer = NULL;
    d[0].size--;
    d[1].channel = "";
    d[2].seq = UINT64_MAX;
    d[3].on_answer = NULL;
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(seriatim_history(client, &h[i]), SERIATIM_BAD);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(seriatim_digest(client, &d[i]), SERIATIM_BAD);
    }
    h[0] = page;
    h[0].channel = name;
    assert_int_equal(seriatim_history(client, &h[0]), SERIATIM_TOO_LARGE);
    d[0] = digest;
    d[0].channel = name;
    assert_int_equal(seriatim_digest(client, &d[0]), SERIATIM_TOO_LARGE);
    for (uint64_t k = 1; k <= 2; k++) {
        mem_fault_set(k, 0);
        assert_int_equal(seriatim_history(client, &page), SERIATIM_NOMEM);
        mem_fault_set(k, 0);
        assert_int_equal(seriatim_digest(client, &digest), SERIATIM_NOMEM);
        mem_fault_set(0, 0);
    }
    assert_int_equal(seriatim_client_close(client, 0), SERIATIM_OK);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_publish_through_one_client_and_a_bad_wire),
        cmocka_unit_test(others_get_in_while_the_client_turns),
        cmocka_unit_test(a_client_that_is_turned_says_when_and_what_waits),
        cmocka_unit_test(what_does_not_fit_into_one_turn_goes_out_in_the_next),
        cmocka_unit_test(what_is_not_as_it_must_be_is_refused),
        cmocka_unit_test(history_and_digests_are_asked_for_and_answered),
        cmocka_unit_test(questions_that_are_not_as_they_must_be_are_refused),
        cmocka_unit_test(options_that_cannot_be_are_refused_with_the_reason),
        cmocka_unit_test(memory_that_runs_out_at_the_beginning_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
