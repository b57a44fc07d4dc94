/* Producers, subscribers and readers: clients of the library, and what it tells of them. */
#include "base/limits.h"
#include "cli/verify.h"
#include "sdk/tap.h"

#include <inttypes.h>
#include <stdio.h>

#define NS_PER_MS          UINT64_C(1000000)
#define OUTBOX_BYTES       (128u * MIB)
#define SUBSCRIBE_AGAIN_MS 100u

uint64_t verify_load_ns(const struct verify *verify)
{
    return verify->began_ns == 0 ? 0 : verify->now_ns - verify->began_ns;
}

static uint64_t ns_of(uint64_t ms)
{
    return ms > UINT64_MAX / NS_PER_MS ? UINT64_MAX : ms * NS_PER_MS;
}

void verify_end(struct verify *verify, enum verify_end end)
{
    verify->end = end;
    verify->phase = VERIFY_DONE;
}

/* The server has said that it will never do. */
static void end_refused(struct verify *v, const char *why)
{
    if (v->phase != VERIFY_DONE) {
        (void)snprintf(v->subject, sizeof(v->subject), "%s", why);
        verify_end(v, VERIFY_END_REFUSED);
    }
}

static uint64_t restart_every(const struct verify_client *c)
{
    const struct verify_options *options = c->verify->options;
    return c->kind == VERIFY_PRODUCER     ? options->restart_producers_ms
           : c->kind == VERIFY_SUBSCRIBER ? options->restart_subscribers_ms
                                          : 0;
}

/* At random, between a half and one and a half of what was asked for. */
static void plan_cut(struct verify_client *c)
{
    const uint64_t every = restart_every(c);
    c->cut_at_ms = every == 0
                       ? UINT64_MAX
                       : c->verify->now_ms + every / 2 + prng_below(&c->verify->prng, every + 1);
}

/* ---- what goes over the connection --------------------------------------------------------- */

static void on_said(void *ctx, const struct client_said *said)
{
    struct verify_client *c = ctx;
    switch (c->kind) {
    case VERIFY_PRODUCER: numbered_said(&c->number, said); break;
    case VERIFY_SUBSCRIBER: observer_said(&c->view, said); break;
    case VERIFY_READER: c->asked_id = said->what == CLIENT_SAID_QUESTION ? said->id : 0; break;
    }
}

/* Whether the server has said that it will never take a producer's messages. */
static void look_for_refusal(struct verify_client *c)
{
    struct verify *v = c->verify;
    if (c->number.why[0] != '\0' && v->phase != VERIFY_DONE) {
        (void)snprintf(v->subject, sizeof(v->subject), "%s", c->number.why);
        verify_end(v, c->number.accused ? VERIFY_END_VIOLATION : VERIFY_END_REFUSED);
    }
}

static void on_heard(void *ctx, const struct reply *reply)
{
    struct verify_client *c = ctx;
    struct verify *v = c->verify;
    if (v->phase == VERIFY_DONE) {
        return;
    }
    c->judged = violations_counted(&v->violations);
    switch (c->kind) {
    case VERIFY_PRODUCER:
        numbered_heard(&c->number, reply, verify_load_ns(v));
        look_for_refusal(c);
        break;
    case VERIFY_SUBSCRIBER: observer_heard(&c->view, reply, verify_load_ns(v)); break;
    case VERIFY_READER: verify_reader_heard(c, reply); break;
    }
}

/* ---- what the library tells ---------------------------------------------------------------- */

static void on_ready(struct verify_client *c)
{
    c->up = true;
    plan_cut(c);
    switch (c->kind) {
    case VERIFY_PRODUCER: numbered_on_ready(&c->number); break;
    case VERIFY_SUBSCRIBER: observer_on_ready(&c->view); break;
    case VERIFY_READER:
        c->asked_id = 0;
        observer_on_ready(&c->view);
        break;
    }
}

static void on_lost(struct verify_client *c, const char *why)
{
    c->verify->counts.restarts += c->cutting ? 1 : 0;
    c->verify->counts.reconnects += c->up && !c->cutting ? 1 : 0;
    c->cutting = false;
    c->up = false;
    (void)snprintf(c->lost_why, sizeof(c->lost_why), "%s", why);
}

/* The server says that it will not talk to us, or talks nonsense. What the library cannot go on
 * behind, but what was judged, another client may. */
static void on_failed(struct verify_client *c, const char *why)
{
    struct verify *v = c->verify;
    if (v->phase == VERIFY_DONE) {
        return;
    }
    if (!sdk_broken(c->client)) {
        end_refused(v, why);
        return;
    }
    const bool judged = violations_counted(&v->violations) > c->judged;
    violations_add(&v->violations, VIOLATION_PROTOCOL, judged ? 0 : 1, "%s", why);
    on_lost(c, why);
    c->again = judged && v->options->keep_going;
    if (!c->again) {
        (void)snprintf(v->subject, sizeof(v->subject), "%s", why);
        verify_end(v, VERIFY_END_VIOLATION);
    }
}

static void on_connection(void *user, enum seriatim_connection connection, const char *why)
{
    struct verify_client *c = user;
    switch (connection) {
    case SERIATIM_CONNECTING: on_lost(c, why); break;
    case SERIATIM_CONNECTED: on_ready(c); break;
    case SERIATIM_LEAVING: break;
    case SERIATIM_FAILED: on_failed(c, why); break;
    }
}

/* What the server said of it was judged already; this is what the library says. */
static void on_published(void *user, const struct seriatim_published *published)
{
    struct verify_client *c = user;
    struct verify *v = c->verify;
    c->full = false;
    if (published->status == SERIATIM_OK || v->phase == VERIFY_DONE) {
        return;
    }
    if (published->status == SERIATIM_NOMEM) {
        verify_end(v, VERIFY_END_NOMEM); /* the numbers behind it would be others */
        return;
    }
    numbered_give_up(&c->number, published->code, published->text);
    look_for_refusal(c);
}

/* ---- subscribers --------------------------------------------------------------------------- */

/* The library hands on each message next to the one before, or says what does not come: that is
 * our own promise, and not the server's. */
static void on_message(void *user, const struct seriatim_message *message)
{
    struct verify_client *c = user;
    ASSERT(message->seq == c->handed_next);
    c->handed_next++;
}

static void on_gap(void *user, const struct seriatim_gap *gap)
{
    struct verify_client *c = user;
    c->handed_next = gap->next;
}

static void on_state(void *user, const struct seriatim_subscription_news *news)
{
    struct verify_client *c = user;
    if (news->state == SERIATIM_SUB_LIVE) {
        c->handed_next = news->next;
        return;
    }
    if (news->state != SERIATIM_SUB_ENDED) {
        return;
    }
    if (news->status == SERIATIM_PROTOCOL || c->view.left) {
        /* A hole that its history has as well, which was counted; or the server's own will. */
        c->subscribe_at_ms = c->verify->now_ms + SUBSCRIBE_AGAIN_MS;
        return;
    }
    char why[400];
    (void)snprintf(why, sizeof(why), "%s, channel %" PRIu32 ": refused (%s): %s", c->view.name,
                   c->view.channel, news->code, news->text);
    end_refused(c->verify, why);
}

static enum seriatim_status subscribe(struct verify_client *c)
{
    const struct observer *view = &c->view;
    const struct seriatim_subscribe subscribe = {
        .size = sizeof(subscribe),
        .channel = view->channel_name,
        .from = view->begun ? SERIATIM_POSITION : SERIATIM_EARLIEST,
        .seq = view->next,
        .epoch = view->epoch,
        .window = (uint32_t)c->verify->options->window,
        .go_on_behind_gaps = true,
        .user = c,
        .on_message = on_message,
        .on_gap = on_gap,
        .on_state = on_state,
    };
    c->subscribe_at_ms = UINT64_MAX;
    return seriatim_subscribe(c->client, &subscribe, &c->subscription);
}

/* ---- its life ------------------------------------------------------------------------------ */

/* What the library could not do for us. */
static bool check(struct verify *v, enum seriatim_status status)
{
    if (status == SERIATIM_NOMEM) {
        verify_end(v, VERIFY_END_NOMEM);
    } else if (status != SERIATIM_OK) {
        end_refused(v, seriatim_status_text(status));
    }
    return status == SERIATIM_OK;
}

bool verify_client_open(struct verify_client *client)
{
    struct verify_client *c = client;
    struct verify *v = c->verify;
    const struct verify_options *o = v->options;
    const bool producer = c->kind == VERIFY_PRODUCER;
    const uint64_t window = o->inflight * o->batch;
    const struct seriatim_client_options options = {
        .size = sizeof(options),
        .endpoints = &o->url_text,
        .endpoint_count = 1,
        .producer = producer ? c->name : NULL,
        .producer_epoch = producer ? 1 : 0,
        .codec = o->codec,
        .outbox_bytes = OUTBOX_BYTES,
        .message_bytes = MESSAGE_BYTES_MAX,
        .publish_window = (uint32_t)window,
        .batch_messages = (uint32_t)o->batch,
        .user = c,
        .on_published = on_published,
        .on_connection = on_connection,
    };
    plan_cut(c);
    c->subscribe_at_ms = UINT64_MAX;
    c->up = c->cutting = c->again = c->full = c->asked = false;
    c->tap = (struct client_tap){on_said, on_heard, c};
    if (!check(v, seriatim_client_new(&options, &c->client, NULL))) {
        return false;
    }
    sdk_tap(c->client, &c->tap);
    return c->kind != VERIFY_SUBSCRIBER || check(v, subscribe(c));
}

static void close_client(struct verify_client *c)
{
    (void)seriatim_client_close(c->client, 0); /* what was not answered is counted */
    c->client = NULL;
    c->subscription = NULL;
}

void verify_client_close(struct verify_client *client)
{
    close_client(client);
    if (client->kind == VERIFY_PRODUCER) {
        numbered_deinit(&client->number);
    } else {
        observer_deinit(&client->view);
    }
}

static void replace_client(struct verify_client *c)
{
    close_client(c);
    if (c->kind == VERIFY_PRODUCER) {
        numbered_new_client(&c->number);
    }
    (void)verify_client_open(c);
}

/* ---- what is due --------------------------------------------------------------------------- */

static void turn(struct verify_client *c)
{
    (void)seriatim_client_turn(c->client); /* that it failed was told */
}

static void subscribe_again(struct verify_client *c)
{
    seriatim_unsubscribe(c->client, c->subscription);
    c->subscription = NULL;
    (void)check(c->verify, subscribe(c));
}

void verify_client_step(struct verify_client *client, bool ready)
{
    struct verify_client *c = client;
    struct verify *v = c->verify;
    bool due = ready;
    if (c->again) {
        replace_client(c);
        return;
    }
    if (c->cut_at_ms <= v->now_ms) {
        plan_cut(c);
        if (v->phase == VERIFY_LOAD && c->up) {
            sdk_cut(c->client);
            c->cutting = true;
            due = true;
        }
    }
    if (c->subscribe_at_ms <= v->now_ms) {
        subscribe_again(c);
        due = true;
    }
    if (due && v->phase != VERIFY_DONE) {
        turn(c);
    }
}

/* Hands it to the library. False: it takes no more now. */
static bool publish(struct verify_client *c, const struct numbered_message *m)
{
    struct verify *v = c->verify;
    const struct bytes key = workload_key(&v->workload, m->number);
    const char *name = v->channel_names[m->channel];
    enum seriatim_status status = SERIATIM_OK;
    buf_clear(&v->payload);
    if (workload_data(&v->workload, m->channel, c->number.producer, m->number, &v->payload) !=
        RC_OK) {
        status = SERIATIM_NOMEM;
    } else if (m->begins && m->number > 1) {
        status = seriatim_channel_begin(c->client, name, m->number);
    }
    const struct seriatim_publish publish = {
        .size = sizeof(publish),
        .channel = name,
        .data = v->payload.data,
        .data_size = v->payload.size,
        .key = key.size == 0 ? NULL : (const char *)key.data,
        .key_size = key.size,
    };
    if (status == SERIATIM_OK) {
        status = seriatim_publish(c->client, &publish);
    }
    if (status == SERIATIM_FULL) {
        c->full = true;
        return false;
    }
    return check(v, status);
}

static bool publish_all(struct verify_client *c)
{
    struct verify *v = c->verify;
    struct numbered_message message;
    bool any = false;
    c->full = false;
    while (v->phase != VERIFY_DONE && numbered_next(&c->number, verify_load_ns(v), &message) &&
           publish(c, &message)) {
        numbered_handed(&c->number);
        any = true;
    }
    return any;
}

void verify_client_send(struct verify_client *client)
{
    struct verify_client *c = client;
    struct verify *v = c->verify;
    bool any = false;
    switch (c->kind) {
    case VERIFY_PRODUCER: any = v->phase != VERIFY_CONNECT && !c->again && publish_all(c); break;
    case VERIFY_SUBSCRIBER: break;
    case VERIFY_READER: any = v->phase == VERIFY_AUDIT && !c->again && verify_reader_ask(c); break;
    }
    if (any && v->phase != VERIFY_DONE) {
        turn(c);
    }
}

uint64_t verify_client_deadline_ns(const struct verify_client *client)
{
    const struct verify *v = client->verify;
    uint64_t deadline = ns_of(client->cut_at_ms);
    const uint64_t again = ns_of(client->subscribe_at_ms);
    deadline = again < deadline ? again : deadline;
    if (client->again) {
        return v->now_ns;
    }
    if (client->kind == VERIFY_PRODUCER && v->phase != VERIFY_CONNECT && !client->full) {
        const uint64_t due = numbered_due_ns(&client->number);
        if (due != UINT64_MAX && v->began_ns + due < deadline) {
            deadline = v->began_ns + due;
        }
    }
    if (client->kind == VERIFY_READER && v->phase == VERIFY_AUDIT && !client->asked &&
        !verify_client_done(client)) {
        return v->now_ns;
    }
    return deadline;
}

bool verify_client_done(const struct verify_client *client)
{
    const struct verify *v = client->verify;
    switch (client->kind) {
    case VERIFY_PRODUCER: return numbered_done(&client->number);
    case VERIFY_SUBSCRIBER:
        return v->phase == VERIFY_CONNECT
                   ? client->view.begun
                   : client->view.next > v->ledger.channels[client->view.channel].acked_last;
    case VERIFY_READER:
        return !client->reading && client->next_channel >= v->workload.options.channels;
    }
    UNREACHABLE();
}
