/* Reading every channel back, by its history, and comparing its digest. */
#include "base/digest.h"
#include "cli/verify.h"
#include "sdk/tap.h"

#include <inttypes.h>
#include <stdio.h>

static bool begin_channel(struct verify_client *c)
{
    struct verify *v = c->verify;
    if (observer_init(&c->view, &v->ledger, c->next_channel, "history", &v->expected) != RC_OK) {
        verify_end(v, VERIFY_END_NOMEM);
        return false;
    }
    c->next_channel += (uint32_t)v->reader_count;
    c->reading = true;
    c->wants_digest = false;
    return true;
}

static void channel_done(struct verify_client *c)
{
    c->verify->counts.audited += c->view.distinct;
    c->verify->counts.channels_audited++;
    observer_finish(&c->view, true);
    observer_deinit(&c->view);
    c->reading = false;
    c->wants_digest = false;
}

/* ---- digests ------------------------------------------------------------------------------- */

/* [P 8] the server's digest must be that of every observer who saw the whole channel. */
static void compare_digest(struct verify_client *c, uint64_t digest)
{
    struct verify *v = c->verify;
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
    if (!sdk_offers_digest(c->client)) {
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

static void on_digest(void *user, const struct seriatim_answer *answer)
{
    struct verify_client *c = user;
    struct verify *v = c->verify;
    if (!c->wants_digest || v->phase == VERIFY_DONE) {
        return; /* of one that was given up */
    }
    c->asked = false;
    if (answer->status == SERIATIM_OK) {
        compare_digest(c, answer->digest);
        channel_done(c);
    } else if (answer->status == SERIATIM_PROTOCOL) {
        violations_add(&v->violations, VIOLATION_PROTOCOL, 1, "channel %" PRIu32 ": %s",
                       c->view.channel, answer->text);
        channel_done(c);
    } else {
        on_digest_refused(c, answer->code, answer->text);
    }
}

/* ---- history ------------------------------------------------------------------------------- */

/* They were judged as they came, by the tap. */
static void on_message(void *user, const struct seriatim_message *message)
{
    (void)user;
    (void)message;
}

static void on_history(void *user, const struct seriatim_answer *answer)
{
    struct verify_client *c = user;
    struct verify *v = c->verify;
    if (v->phase == VERIFY_DONE) {
        return;
    }
    c->asked = false;
    if (answer->status == SERIATIM_PROTOCOL) {
        violations_add(&v->violations, VIOLATION_PROTOCOL, 1, "channel %" PRIu32 ": %s",
                       c->view.channel, answer->text);
    } else if (answer->status != SERIATIM_OK) {
        (void)snprintf(v->subject, sizeof(v->subject), "history: refused (%s): %s", answer->code,
                       answer->text);
        verify_end(v, VERIFY_END_REFUSED);
    } else if (!c->more) {
        c->wants_digest = !v->no_digest && c->view.next > 1;
        if (!c->wants_digest) {
            channel_done(c);
        }
    }
}

/* A server that does not list `digest` need not answer: it is not asked again. */
static void heard_error(struct verify_client *c, const struct client_message *object)
{
    char code[VERIFY_CODE_SIZE];
    char text[200];
    if (!c->wants_digest || sdk_offers_digest(c->client)) {
        return;
    }
    client_message_show(object, CLIENT_FIELD_CODE, code, sizeof(code));
    client_message_show(object, CLIENT_FIELD_TEXT, text, sizeof(text));
    c->asked = false;
    on_digest_refused(c, code, text);
}

void verify_reader_heard(struct verify_client *client, const struct reply *reply)
{
    struct verify_client *c = client;
    struct verify *v = c->verify;
    const bool answer = reply->type == CLIENT_ERROR || reply->type == CLIENT_HISTORY ||
                        reply->type == CLIENT_DIGEST;
    if (!c->reading || !answer || !observer_is_first_answer(&c->view, reply) || c->asked_id == 0 ||
        reply->id != c->asked_id) {
        return;
    }
    c->asked_id = 0;
    if (reply->type == CLIENT_ERROR) {
        heard_error(c, &reply->object);
    } else if (reply->type == CLIENT_HISTORY && !c->wants_digest) {
        const enum wire_codec codec = v->options->codec == SERIATIM_JSON ? WIRE_JSON : WIRE_BINARY;
        observer_history(&c->view, codec, reply, &v->room, &c->more);
    }
}

static enum seriatim_status ask(struct verify_client *c)
{
    if (c->wants_digest) {
        const struct seriatim_digest digest = {
            .size = sizeof(digest),
            .channel = c->view.channel_name,
            .seq = c->view.next - 1,
            .user = c,
            .on_answer = on_digest,
        };
        return seriatim_digest(c->client, &digest);
    }
    const struct seriatim_history history = {
        .size = sizeof(history),
        .channel = c->view.channel_name,
        .from = c->view.next,
        .user = c,
        .on_message = on_message,
        .on_answer = on_history,
    };
    return seriatim_history(c->client, &history);
}

bool verify_reader_ask(struct verify_client *client)
{
    struct verify_client *c = client;
    struct verify *v = c->verify;
    if (!c->reading && c->next_channel < v->workload.options.channels && !begin_channel(c)) {
        return false;
    }
    if (!c->reading || c->asked) {
        return false;
    }
    const enum seriatim_status status = ask(c);
    if (status != SERIATIM_OK) {
        (void)snprintf(v->subject, sizeof(v->subject), "%s", seriatim_status_text(status));
        verify_end(v, status == SERIATIM_NOMEM ? VERIFY_END_NOMEM : VERIFY_END_REFUSED);
        return false;
    }
    c->asked = true;
    return true;
}
