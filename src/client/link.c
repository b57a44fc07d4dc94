#include "client/link.h"

#include "base/limits.h"
#include "base/mark.h"
#include "base/mem.h"
#include "base/prng.h"
#include "client/conn.h"
#include "client/endpoints.h"
#include "client/speak.h"
#include "wire/binary_codec.h"
#include "wire/binary_int.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define BACKOFF_FIRST_MS   100u
#define BACKOFF_LAST_MS    5000u
#define OPEN_TIMEOUT_MS    10000u
#define PING_MS_DEFAULT    25000u
#define SILENT_EXTRA_MS    5000u   /* beyond two ping intervals */
#define SERVER_WAIT_MS_MAX 120000u /* what a server may ask for */
#define WHY_SIZE           400u

enum link_state {
    LINK_STATE_WAITING,
    LINK_STATE_OPENING,
    LINK_STATE_GREETING,
    LINK_STATE_READY,
    LINK_STATE_FAILED,
    LINK_STATE_COUNT,
};

struct link {
    enum link_state state;
    struct link_options options;
    struct client_conn *conn;
    struct endpoints endpoints;
    size_t address;
    uint64_t frame_bytes;
    struct prng prng;
    unsigned attempt;
    uint64_t due_ms;     /* WAITING: the next attempt; OPENING, GREETING: given up */
    uint64_t heard_ms;   /* READY: when something last came */
    uint64_t ping_ms;    /* the server's ping interval */
    uint64_t not_before; /* what a goaway or an error asked for */
    bool broken;         /* FAILED: by breaking the rules */
    bool offers_digest;  /* as `connected` said last */
    bool breaks;         /* what was taken broke the rules: FAILED is next */
    bool told;           /* LOST or FAILED is still to be told */
    char why[WHY_SIZE];
};

#define TO(name) (1u << LINK_STATE_##name)
static const unsigned link_moves[LINK_STATE_COUNT] = {
    [LINK_STATE_WAITING] = TO(OPENING) | TO(WAITING),
    [LINK_STATE_OPENING] = TO(GREETING) | TO(WAITING) | TO(FAILED),
    [LINK_STATE_GREETING] = TO(READY) | TO(WAITING) | TO(FAILED),
    [LINK_STATE_READY] = TO(WAITING) | TO(FAILED),
    [LINK_STATE_FAILED] = 0,
};
#undef TO

static void link_check(const struct link *link)
{
    const bool connected = link->state != LINK_STATE_WAITING && link->state != LINK_STATE_FAILED;
    ASSERT(connected == (link->conn != NULL));
    ASSERT(!link->told || !connected);
}

static void link_move(struct link *link, enum link_state next)
{
    ASSERT(link_moves[link->state] & (1u << next));
    link->state = next;
    link_check(link);
}

static uint64_t whole_wait(unsigned attempt)
{
    uint64_t whole = BACKOFF_FIRST_MS;
    while (attempt > 0 && whole < BACKOFF_LAST_MS) {
        whole *= 2;
        attempt--;
    }
    return whole < BACKOFF_LAST_MS ? whole : BACKOFF_LAST_MS;
}

uint64_t link_jitter_ms(unsigned attempt, uint64_t drawn)
{
    return 1 + drawn % whole_wait(attempt);
}

static void say_why(struct link *link, const char *why)
{
    if (why != link->why) {
        (void)snprintf(link->why, sizeof(link->why), "%s", why);
    }
}

static void drop_conn(struct link *link)
{
    client_conn_close(link->conn);
    link->conn = NULL;
    link->told = true;
}

/* Borrows `why`, which may be the connection's. */
static void lost(struct link *link, uint64_t now_ms, const char *why)
{
    say_why(link, why);
    drop_conn(link);
    endpoints_lost(&link->endpoints, now_ms);
    /* Each address that is in gets its try before the wait doubles. */
    const unsigned round = link->attempt++ / (unsigned)endpoints_in(&link->endpoints, now_ms);
    const uint64_t due = now_ms + link_jitter_ms(round, prng_next(&link->prng));
    MARK_IF(due < link->not_before, "link: waits as long as the server has asked for");
    link->due_ms = due > link->not_before ? due : link->not_before;
    link_move(link, LINK_STATE_WAITING);
}

static void failed(struct link *link, const char *why)
{
    say_why(link, why);
    drop_conn(link);
    link_move(link, LINK_STATE_FAILED);
}

enum rc link_open(const struct link_options *options, uint64_t seed, uint64_t now_ms,
                  struct link **ret_link)
{
    struct link *link = mem_calloc(1, sizeof(*link));
    if (link == NULL) {
        return RC_NOMEM;
    }
    link->options = *options;
    link->prng.state = seed;
    link->due_ms = now_ms;
    link->ping_ms = PING_MS_DEFAULT;
    ASSERT(options->codec == WIRE_JSON || options->take != NULL);
    endpoints_init(&link->endpoints, 1 + options->other_count,
                   options->other_count > 0 ? prng_next(&link->prng) : 0);
    link_check(link);
    *ret_link = link;
    return RC_OK;
}

void link_close(struct link *link)
{
    if (link == NULL) {
        return;
    }
    if (link->conn != NULL) {
        client_conn_say_goodbye(link->conn);
    }
    client_conn_close(link->conn);
    mem_free(link);
}

void link_cut(struct link *link, uint64_t now_ms, uint64_t wait_ms)
{
    if (link->conn == NULL) {
        return;
    }
    say_why(link, "cut by ourselves");
    drop_conn(link);
    const uint64_t due = now_ms + wait_ms;
    link->due_ms = due > link->not_before ? due : link->not_before;
    link_move(link, LINK_STATE_WAITING);
}

int link_fd(const struct link *link)
{
    return link->conn == NULL ? -1 : client_conn_fd(link->conn);
}

short link_events(const struct link *link)
{
    return link->conn == NULL ? 0 : client_conn_events(link->conn);
}

/* A silent server: its pings are missing, or our bytes do not arrive. */
static uint64_t silent_at(const struct link *link)
{
    return link->heard_ms + 2 * link->ping_ms + SILENT_EXTRA_MS;
}

uint64_t link_deadline_ms(const struct link *link)
{
    switch (link->state) {
    case LINK_STATE_WAITING:
    case LINK_STATE_OPENING:
    case LINK_STATE_GREETING: return link->due_ms;
    case LINK_STATE_READY: return silent_at(link);
    case LINK_STATE_FAILED: return UINT64_MAX;
    case LINK_STATE_COUNT: break;
    }
    UNREACHABLE();
}

static void attempt(struct link *link, uint64_t now_ms)
{
    link->address = endpoints_pick(&link->endpoints, now_ms);
    const struct client_url *url =
        link->address == 0 ? &link->options.url : &link->options.others[link->address - 1];
    const enum rc rc = client_conn_open(url, link->options.codec, &link->conn);
    if (rc == RC_OK) {
        link->due_ms = now_ms + OPEN_TIMEOUT_MS;
        link_move(link, LINK_STATE_OPENING);
        return;
    }
    char why[WHY_SIZE];
    (void)snprintf(why, sizeof(why), "cannot connect to %s: %s", url->authority,
                   rc == RC_NOT_FOUND ? "the host has no address" : rc_text(rc));
    lost(link, now_ms, why);
}

void link_step(struct link *link, uint64_t now_ms)
{
    const bool due = now_ms >= link_deadline_ms(link);
    switch (link->state) {
    case LINK_STATE_WAITING:
        if (due && !link->told) {
            attempt(link, now_ms);
        }
        break;
    case LINK_STATE_OPENING:
    case LINK_STATE_GREETING:
        if (due) {
            MARK("link: no answer to a connect");
            lost(link, now_ms, "the server did not answer within 10 s");
        }
        break;
    case LINK_STATE_READY: client_conn_on_ready(link->conn); return;
    case LINK_STATE_FAILED: return;
    case LINK_STATE_COUNT: UNREACHABLE();
    }
    if (link->conn != NULL) {
        client_conn_on_ready(link->conn);
    }
}

/* [P 3] connect is the first command. */
static enum rc greet(struct link *link)
{
    const struct link_options *options = &link->options;
    const char *token = options->token == NULL ? NULL : options->token(options->ctx);
    const struct speak_connect connect = {
        .id = 1,
        .producer =
            options->producer == NULL ? (struct bytes){0} : bytes_of_text(options->producer),
        .producer_epoch = options->producer_epoch,
        .token = token == NULL ? (struct bytes){0} : bytes_of_text(token),
        .cumulative = options->cumulative,
    };
    struct buf text = {0};
    enum rc rc = speak_connect(options->codec, &text, &connect);
    if (rc == RC_OK) {
        rc = client_conn_send(link->conn, buf_bytes(&text));
    }
    buf_deinit(&text);
    return rc;
}

static uint64_t asked_wait(const struct client_message *message, enum client_field field)
{
    const uint64_t wait = client_message_integer_or_0(message, field);
    return wait < SERVER_WAIT_MS_MAX ? wait : SERVER_WAIT_MS_MAX;
}

/* `limits.frame_bytes` of `connected`. */
static uint64_t frame_limit(const struct client_message *message)
{
    const struct json_value *limits = &message->fields[CLIENT_FIELD_LIMITS];
    struct client_message inside;
    if (!client_message_has(message, CLIENT_FIELD_LIMITS) ||
        client_message_parse_element(limits->raw, &inside) != RC_OK) {
        return 0;
    }
    return client_message_integer_or_0(&inside, CLIENT_FIELD_FRAME_BYTES);
}

/* The reply to `connect`. */
static enum link_event_type on_greeting(struct link *link, const struct client_message *message,
                                        uint64_t now_ms)
{
    if (message->type == CLIENT_CONNECTED) {
        const uint64_t ping_ms = client_message_integer_or_0(message, CLIENT_FIELD_PING_MS);
        link->ping_ms =
            ping_ms > 0 && ping_ms < SERVER_WAIT_MS_MAX * 60 ? ping_ms : PING_MS_DEFAULT;
        link->offers_digest =
            client_message_lists(message, CLIENT_FIELD_FEATURES, BYTES_LITERAL("digest"));
        link->frame_bytes = frame_limit(message);
        link->attempt = 0;
        link->not_before = 0;
        endpoints_ready(&link->endpoints, now_ms);
        link_move(link, LINK_STATE_READY);
        return LINK_READY;
    }
    if (message->type != CLIENT_ERROR) {
        return LINK_NONE;
    }
    char text[200];
    char why[WHY_SIZE];
    client_message_show(message, CLIENT_FIELD_TEXT, text, sizeof(text));
    (void)snprintf(why, sizeof(why), "the server refuses to connect us: %s", text);
    const uint64_t wait = asked_wait(message, CLIENT_FIELD_RETRY_AFTER_MS);
    if (wait > 0 || client_message_is(message, CLIENT_FIELD_CODE, BYTES_LITERAL("unavailable"))) {
        link->not_before = now_ms + wait;
        lost(link, now_ms, why);
    } else {
        failed(link, why);
    }
    return LINK_NONE;
}

/* [P 15] What answers `connect` is a JSON object in a unit; `text` becomes it. */
static bool open_unit(struct bytes *text)
{
    struct bytes rest = *text;
    uint64_t size;
    uint64_t id;
    if (!binary_int_take(&rest, &size) || size != rest.size || size < 2 ||
        (rest.data[0] != BINARY_CONNECTED && rest.data[0] != BINARY_ERROR)) {
        return false;
    }
    rest = bytes_of(rest.data + 2, rest.size - 2);
    *text = rest;
    return binary_int_take(text, &id);
}

static enum link_event_type on_text(struct link *link, struct bytes text, uint64_t now_ms)
{
    if (link->state == LINK_STATE_READY) {
        link->options.take(link->options.ctx, text);
        return LINK_NONE;
    }
    struct client_message message;
    ASSERT(link->state == LINK_STATE_GREETING);
    const bool opened = link->options.codec == WIRE_JSON || open_unit(&text);
    if (!opened || client_message_parse(text, &message) != RC_OK) {
        link->broken = true;
        failed(link, "the server sent something that is no message of the protocol");
        return LINK_NONE;
    }
    if (message.type == CLIENT_GOAWAY) {
        link_on_goaway(link, asked_wait(&message, CLIENT_FIELD_RECONNECT_AFTER_MS), now_ms);
        return LINK_GOAWAY;
    }
    return on_greeting(link, &message, now_ms);
}

static void on_closed(struct link *link, uint64_t now_ms)
{
    if (client_conn_end(link->conn) == CONN_END_LOST) {
        lost(link, now_ms, client_conn_why(link->conn));
    } else {
        link->broken = client_conn_end(link->conn) == CONN_END_BROKEN;
        failed(link, client_conn_why(link->conn));
    }
}

static void on_open(struct link *link, uint64_t now_ms)
{
    link_move(link, LINK_STATE_GREETING);
    const enum rc rc = greet(link);
    if (rc != RC_OK) {
        lost(link, now_ms, rc_text(rc));
        return;
    }
    client_conn_on_ready(link->conn); /* send it now */
}

/* What was taken broke the rules. */
static void end_if_broken(struct link *link)
{
    if (link->breaks && link->conn != NULL) {
        link->broken = true;
        failed(link, link->why);
    }
}

enum link_event_type link_next(struct link *link, uint64_t now_ms)
{
    enum link_event_type type = LINK_NONE;
    end_if_broken(link);
    while (link->conn != NULL && type == LINK_NONE) {
        struct client_conn_event event;
        client_conn_next(link->conn, &event);
        if (event.type == CONN_NONE) {
            break;
        }
        link->heard_ms = now_ms;
        if (event.type == CONN_OPEN) {
            on_open(link, now_ms);
        } else if (event.type == CONN_TEXT) {
            type = on_text(link, event.text, now_ms);
            end_if_broken(link);
        } else {
            on_closed(link, now_ms);
        }
    }
    if (link->state == LINK_STATE_READY && type == LINK_NONE && now_ms >= silent_at(link)) {
        MARK("link: the server has been silent for too long");
        lost(link, now_ms, "the server has been silent for too long");
    }
    if (link->told) {
        ASSERT(type == LINK_NONE); /* whatever ends a connection is no event itself */
        link->told = false;
        type = link->state == LINK_STATE_FAILED ? LINK_FAILED : LINK_LOST;
    }
    return type;
}

enum rc link_send(struct link *link, struct bytes command)
{
    return link_ready(link) ? client_conn_send(link->conn, command) : RC_CLOSED;
}

size_t link_pending(const struct link *link)
{
    return link->conn == NULL ? 0 : client_conn_pending(link->conn);
}

void link_flush(struct link *link)
{
    if (link->conn != NULL) {
        client_conn_flush(link->conn);
    }
}

void link_on_goaway(struct link *link, uint64_t reconnect_after_ms, uint64_t now_ms)
{
    const uint64_t wait =
        reconnect_after_ms < SERVER_WAIT_MS_MAX ? reconnect_after_ms : SERVER_WAIT_MS_MAX;
    link->not_before = now_ms + wait;
}

void link_on_broken(struct link *link, const char *why)
{
    say_why(link, why);
    link->breaks = true;
}

void link_give_up(struct link *link, const char *why, uint64_t now_ms)
{
    if (link->conn != NULL) {
        lost(link, now_ms, why);
    }
}

uint64_t link_frame_bytes(const struct link *link)
{
    return link->frame_bytes;
}

bool link_ready(const struct link *link)
{
    return link->state == LINK_STATE_READY;
}

const char *link_why(const struct link *link)
{
    return link->why;
}

bool link_broken(const struct link *link)
{
    return link->broken;
}

bool link_offers_digest(const struct link *link)
{
    return link->offers_digest;
}
