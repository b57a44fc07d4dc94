/* Producers, subscribers and readers on their connections. */
#include "base/digest.h"
#include "cli/verify.h"

#include <inttypes.h>
#include <stdio.h>

/* What may wait in our own buffer before it is written. */
#define PENDING_BYTES_MAX (256u * 1024u)
#define NS_PER_MS         UINT64_C(1000000)

uint64_t verify_load_ns(const struct verify *verify)
{
    return verify->began_ns == 0 ? 0 : verify->now_ns - verify->began_ns;
}

static uint64_t ns_of(uint64_t ms)
{
    return ms > UINT64_MAX / NS_PER_MS ? UINT64_MAX : ms * NS_PER_MS;
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

/* What comes while the connection is up, before it is parsed. */
static bool take_quick(void *ctx, struct bytes text)
{
    struct verify_client *c = ctx;
    const uint64_t load_ns = verify_load_ns(c->verify);
    switch (c->kind) {
    case VERIFY_PRODUCER: return numbered_take_quick(&c->number, text, load_ns);
    case VERIFY_SUBSCRIBER: return observer_take_quick(&c->view, text, load_ns);
    case VERIFY_READER: return false;
    }
    UNREACHABLE();
}

enum rc verify_client_open(struct verify_client *client)
{
    struct verify *v = client->verify;
    const struct link_options options = {
        .url = v->options->url,
        .producer = client->kind == VERIFY_PRODUCER ? client->name : NULL,
        .producer_epoch = 1,
        .take = take_quick,
        .ctx = client,
    };
    plan_cut(client);
    return link_open(&options, prng_next(&v->prng), v->now_ms, &client->link);
}

void verify_client_close(struct verify_client *client)
{
    link_close(client->link);
    client->link = NULL;
    if (client->kind == VERIFY_PRODUCER) {
        numbered_deinit(&client->number);
    } else {
        observer_deinit(&client->view);
    }
}

/* ---- reading a channel's history ----------------------------------------------------------- */

static void begin_channel(struct verify_client *c)
{
    struct verify *v = c->verify;
    const uint32_t channel = c->next_channel;
    char name[OBSERVER_NAME_SIZE];
    (void)snprintf(name, sizeof(name), "history");
    if (observer_init(&c->view, &v->ledger, channel, name, &v->expected) != RC_OK) {
        v->end = VERIFY_END_NOMEM;
        v->phase = VERIFY_DONE;
        return;
    }
    c->next_channel += (uint32_t)v->reader_count;
    c->reading = true;
    c->asked_id = 0;
    c->wants_digest = false;
}

static void channel_done(struct verify_client *c)
{
    c->verify->counts.audited += c->view.distinct;
    c->verify->counts.channels_audited++;
    observer_finish(&c->view, true);
    observer_deinit(&c->view);
    c->reading = false;
}

/* [P 8] the server's digest must be that of every observer who saw the whole channel. */
static void compare_digest(struct verify_client *c, const struct client_message *message)
{
    struct verify *v = c->verify;
    const struct json_value *value = &message->fields[CLIENT_FIELD_DIGEST];
    uint64_t digest;
    if (!client_message_has(message, CLIENT_FIELD_DIGEST) || value->kind != JSON_KIND_STRING ||
        !digest_parse(json_string_inner(value), &digest)) {
        violations_add(&v->violations, VIOLATION_PROTOCOL, 1,
                       "channel %" PRIu32 ": a `digest` without one", c->view.channel);
        return;
    }
    const struct observer *views[1 + VERIFY_SUBSCRIBERS_MAX] = {&c->view};
    size_t count = 1;
    for (size_t i = 0; i < v->subscriber_count; i++) {
        if (v->subscribers[i].view.channel == c->view.channel) {
            views[count++] = &v->subscribers[i].view;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!views[i]->digest_whole || views[i]->next != c->view.next) {
            continue;
        }
        v->counts.digests_compared++;
        violations_add(&v->violations, VIOLATION_DIGEST_MISMATCH,
                       views[i]->digest == digest ? 0 : 1,
                       "%s, channel %" PRIu32 ": at seq %" PRIu64 " the server's digest is "
                       "%016" PRIx64 ", that of what was seen is %016" PRIx64,
                       views[i]->name, c->view.channel, c->view.next - 1, digest, views[i]->digest);
    }
}

/* [P 4, P 8] a server that lists `digest` tells it of every message that is there. One that does
 * not may refuse it: then there is nothing to compare, which the account says. */
static void on_digest_refused(struct verify_client *c, const char *code, const char *text)
{
    struct verify *v = c->verify;
    v->counts.digests_refused++;
    if (v->digest_code[0] == '\0') {
        (void)snprintf(v->digest_code, sizeof(v->digest_code), "%s", code[0] == '\0' ? "-" : code);
    }
    if (!link_offers_digest(c->link)) {
        v->no_digest = true;
    } else if (strcmp(code, "gap") == 0) {
        violations_add(&v->violations, VIOLATION_GAP_ANNOUNCED, 1,
                       "channel %" PRIu32 ": the server says that the digest of seq %" PRIu64
                       " is gone: %s",
                       c->view.channel, c->view.next - 1, text);
    } else {
        violations_add(&v->violations, VIOLATION_PROTOCOL, 1,
                       "channel %" PRIu32 ": the server lists `digest` among its features and "
                       "refuses it (%s): %s",
                       c->view.channel, code, text);
    }
    channel_done(c);
}

/* What the server refuses to a reader: worth another try, unknown to it, or the end. */
static void on_reader_error(struct verify_client *c, const struct client_message *message)
{
    struct verify *v = c->verify;
    char code[VERIFY_CODE_SIZE];
    char text[200];
    client_message_show(message, CLIENT_FIELD_CODE, code, sizeof(code));
    client_message_show(message, CLIENT_FIELD_TEXT, text, sizeof(text));
    const bool again = client_message_has(message, CLIENT_FIELD_RETRY_AFTER_MS) ||
                       strcmp(code, "unavailable") == 0 || strcmp(code, "internal") == 0 ||
                       strcmp(code, "rate_limited") == 0;
    if (c->wants_digest && !(again && link_offers_digest(c->link))) {
        on_digest_refused(c, code, text);
        return;
    }
    if (again) {
        link_cut(c->link, v->now_ms,
                 client_message_integer_or_0(message, CLIENT_FIELD_RETRY_AFTER_MS) + 100);
        c->cutting = true;
        return;
    }
    (void)snprintf(c->view.why, sizeof(c->view.why), "history: refused (%s): %s", code, text);
}

static void take_reader(struct verify_client *c, const struct client_message *message)
{
    struct verify *v = c->verify;
    bool more = false;
    if (!c->reading || c->asked_id == 0 ||
        client_message_integer_or_0(message, CLIENT_FIELD_ID) != c->asked_id) {
        return;
    }
    c->asked_id = 0;
    if (message->type == CLIENT_ERROR) {
        on_reader_error(c, message);
    } else if (message->type == CLIENT_DIGEST && c->wants_digest) {
        compare_digest(c, message);
        channel_done(c);
    } else if (message->type == CLIENT_HISTORY && !c->wants_digest) {
        observer_take_history(&c->view, message, &more);
        if (!more) {
            c->wants_digest = !v->no_digest && c->view.next > 1;
            if (!c->wants_digest) {
                channel_done(c);
            }
        }
    } else {
        violations_add(&v->violations, VIOLATION_PROTOCOL, 1, "a reply of another type");
    }
}

static enum rc reader_command(struct verify_client *c, struct buf *to)
{
    struct verify *v = c->verify;
    if (!c->reading && c->next_channel < v->workload.options.channels) {
        begin_channel(c);
    }
    if (!c->reading || c->asked_id != 0) {
        return RC_END;
    }
    const uint64_t id = ++c->last_id + 1; /* 1 is the link's own */
    enum rc rc;
    if (c->wants_digest) {
        char name[WORKLOAD_NAME_SIZE];
        char text[WORKLOAD_NAME_SIZE + 96];
        (void)workload_channel_name(&v->workload, c->view.channel, name);
        (void)snprintf(text, sizeof(text),
                       "{\"type\":\"digest\",\"id\":%" PRIu64 ",\"channel\":\"%s\",\"seq\":%" PRIu64
                       "}",
                       id, name, c->view.next - 1);
        rc = buf_append(to, bytes_of_text(text));
    } else {
        rc = observer_history_command(&c->view, id, to);
    }
    c->asked_id = rc == RC_OK ? id : 0;
    return rc;
}

/* ---- all of them --------------------------------------------------------------------------- */

static void on_ready(struct verify_client *c)
{
    struct verify *v = c->verify;
    c->up = true;
    plan_cut(c);
    switch (c->kind) {
    case VERIFY_PRODUCER: numbered_on_ready(&c->number); break;
    case VERIFY_SUBSCRIBER: observer_on_ready(&c->view, v->now_ms); break;
    case VERIFY_READER: c->asked_id = 0; break;
    }
}

static void on_message(struct verify_client *c, const struct client_message *message)
{
    struct verify *v = c->verify;
    const uint64_t load_ns = verify_load_ns(v);
    switch (c->kind) {
    case VERIFY_PRODUCER: numbered_take(&c->number, message, load_ns, v->now_ms); break;
    case VERIFY_SUBSCRIBER: observer_take(&c->view, message, load_ns, v->now_ms); break;
    case VERIFY_READER: take_reader(c, message); break;
    }
}

/* Whether the server has said that it will never do; the run is over then. */
static void look_for_refusal(struct verify_client *c)
{
    const char *why = c->kind == VERIFY_PRODUCER ? c->number.why : c->view.why;
    struct verify *v = c->verify;
    if (why[0] != '\0' && v->phase != VERIFY_DONE) {
        (void)snprintf(v->subject, sizeof(v->subject), "%s", why);
        const bool violation = c->kind == VERIFY_PRODUCER && c->number.accused;
        v->end = violation ? VERIFY_END_VIOLATION : VERIFY_END_REFUSED;
        v->phase = VERIFY_DONE;
    }
}

static void on_lost(struct verify_client *c)
{
    c->verify->counts.restarts += c->cutting ? 1 : 0;
    c->verify->counts.reconnects += c->up && !c->cutting ? 1 : 0;
    c->cutting = false;
    c->up = false;
}

/* The server says that it will not talk to us, or talks nonsense. */
static void on_failed(struct verify_client *c)
{
    struct verify *v = c->verify;
    (void)snprintf(v->subject, sizeof(v->subject), "%s", link_why(c->link));
    v->end = link_broken(c->link) ? VERIFY_END_VIOLATION : VERIFY_END_REFUSED;
    v->phase = VERIFY_DONE;
    violations_add(&v->violations, VIOLATION_PROTOCOL, link_broken(c->link) ? 1 : 0, "%s",
                   v->subject);
}

static void take_events(struct verify_client *c)
{
    struct link_event event;
    for (link_next(c->link, c->verify->now_ms, &event); event.type != LINK_NONE;
         link_next(c->link, c->verify->now_ms, &event)) {
        switch (event.type) {
        case LINK_NONE:
        case LINK_GOAWAY: break;
        case LINK_READY: on_ready(c); break;
        case LINK_MESSAGE: on_message(c, &event.message); break;
        case LINK_LOST: on_lost(c); break;
        case LINK_FAILED: on_failed(c); return;
        }
    }
    look_for_refusal(c);
}

static enum rc next_command(struct verify_client *c, struct buf *to)
{
    struct verify *v = c->verify;
    switch (c->kind) {
    case VERIFY_PRODUCER:
        return v->phase == VERIFY_CONNECT
                   ? RC_END
                   : numbered_command(&c->number, verify_load_ns(v), v->now_ms, to);
    case VERIFY_SUBSCRIBER: return observer_command(&c->view, v->now_ms, to);
    case VERIFY_READER: return v->phase == VERIFY_AUDIT ? reader_command(c, to) : RC_END;
    }
    UNREACHABLE();
}

void verify_client_send(struct verify_client *client)
{
    struct verify *v = client->verify;
    bool any = false;
    while (link_ready(client->link) && link_pending(client->link) < PENDING_BYTES_MAX) {
        buf_clear(&v->scratch);
        enum rc rc = next_command(client, &v->scratch);
        if (rc == RC_END) {
            break;
        }
        if (rc == RC_OK) {
            rc = link_send(client->link, buf_bytes(&v->scratch));
        }
        if (rc != RC_OK) {
            v->end = VERIFY_END_NOMEM;
            v->phase = VERIFY_DONE;
            return;
        }
        any = true;
    }
    if (any) {
        link_step(client->link, v->now_ms);
        take_events(client);
    }
}

void verify_client_step(struct verify_client *client, bool ready)
{
    struct verify *v = client->verify;
    if (client->cut_at_ms <= v->now_ms) {
        plan_cut(client);
        if (v->phase == VERIFY_LOAD && link_ready(client->link)) {
            link_cut(client->link, v->now_ms, 0);
            client->cutting = true;
            take_events(client);
        }
    }
    if (ready || link_deadline_ms(client->link) <= v->now_ms) {
        link_step(client->link, v->now_ms);
        take_events(client);
    }
}

/* Whether it has something to send at once: what was read while it sent may have made room. */
static bool wants_to_send(const struct verify_client *c)
{
    const struct observer *view = &c->view;
    switch (c->kind) {
    case VERIFY_PRODUCER: return false; /* when it does is told by numbered_due_ns() */
    case VERIFY_SUBSCRIBER:
        return view->active && view->window > 0 && view->taken_last > view->acked;
    case VERIFY_READER:
        return c->verify->phase == VERIFY_AUDIT && c->asked_id == 0 && !verify_client_done(c);
    }
    UNREACHABLE();
}

uint64_t verify_client_deadline_ns(const struct verify_client *client)
{
    const struct verify *v = client->verify;
    uint64_t deadline = ns_of(link_deadline_ms(client->link));
    const uint64_t cut = ns_of(client->cut_at_ms);
    deadline = cut < deadline ? cut : deadline;
    if (!link_ready(client->link)) {
        return deadline;
    }
    if (wants_to_send(client)) {
        return v->now_ns;
    }
    if (client->kind == VERIFY_PRODUCER && v->phase != VERIFY_CONNECT) {
        const uint64_t due = numbered_due_ns(&client->number);
        uint64_t retry_ms;
        if (due != UINT64_MAX && v->began_ns + due < deadline) {
            deadline = v->began_ns + due;
        }
        if (numbered_retry_ms(&client->number, &retry_ms) && ns_of(retry_ms) < deadline) {
            deadline = ns_of(retry_ms);
        }
    }
    if (client->kind == VERIFY_SUBSCRIBER && !client->view.active &&
        ns_of(client->view.retry_at_ms) < deadline) {
        deadline = ns_of(client->view.retry_at_ms);
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
