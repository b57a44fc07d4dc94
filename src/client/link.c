#include "client/link.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/prng.h"
#include "client/conn.h"
#include "wire/json_codec.h"

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
    struct prng prng;
    unsigned attempt;
    uint64_t due_ms;     /* WAITING: the next attempt; OPENING, GREETING: given up */
    uint64_t heard_ms;   /* READY: when something last came */
    uint64_t ping_ms;    /* the server's ping interval */
    uint64_t not_before; /* what a goaway or an error asked for */
    bool broken;         /* FAILED: by breaking the rules */
    bool offers_digest;  /* as `connected` said last */
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

uint64_t link_backoff_ms(unsigned attempt, uint64_t drawn)
{
    uint64_t whole = BACKOFF_FIRST_MS;
    while (attempt > 0 && whole < BACKOFF_LAST_MS) {
        whole *= 2;
        attempt--;
    }
    whole = whole < BACKOFF_LAST_MS ? whole : BACKOFF_LAST_MS;
    return whole / 2 + drawn % (whole / 2 + 1);
}

static void say_why(struct link *link, const char *why)
{
    (void)snprintf(link->why, sizeof(link->why), "%s", why);
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
    const uint64_t due = now_ms + link_backoff_ms(link->attempt++, prng_next(&link->prng));
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
    const enum rc rc = client_conn_open(&link->options.url, &link->conn);
    if (rc == RC_OK) {
        link->due_ms = now_ms + OPEN_TIMEOUT_MS;
        link_move(link, LINK_STATE_OPENING);
        return;
    }
    char why[WHY_SIZE];
    (void)snprintf(why, sizeof(why), "cannot connect to %s: %s", link->options.url.authority,
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
    char head[80];
    struct buf text = {0};
    enum rc rc = buf_append(&text, BYTES_LITERAL("{\"type\":\"connect\",\"id\":1"));
    if (rc == RC_OK && link->options.producer != NULL) {
        rc = buf_append(&text, BYTES_LITERAL(",\"producer\":{\"id\":"));
        if (rc == RC_OK) {
            rc = json_encode_string(&text, bytes_of_text(link->options.producer));
        }
        (void)snprintf(head, sizeof(head), ",\"epoch\":%" PRIu64 "}", link->options.producer_epoch);
        if (rc == RC_OK) {
            rc = buf_append(&text, bytes_of_text(head));
        }
    }
    if (rc == RC_OK) {
        rc = buf_append(&text, BYTES_LITERAL("}"));
    }
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
        link->attempt = 0;
        link->not_before = 0;
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

static enum link_event_type on_text(struct link *link, struct bytes text, uint64_t now_ms,
                                    struct client_message *ret_message)
{
    if (link->state == LINK_STATE_READY && link->options.take != NULL &&
        link->options.take(link->options.ctx, text)) {
        return LINK_NONE;
    }
    if (client_message_parse(text, ret_message) != RC_OK) {
        link->broken = true;
        failed(link, "the server sent something that is no message of the protocol");
        return LINK_NONE;
    }
    if (ret_message->type == CLIENT_GOAWAY) {
        link->not_before = now_ms + asked_wait(ret_message, CLIENT_FIELD_RECONNECT_AFTER_MS);
        return LINK_GOAWAY;
    }
    if (link->state == LINK_STATE_GREETING) {
        return on_greeting(link, ret_message, now_ms);
    }
    return LINK_MESSAGE;
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

void link_next(struct link *link, uint64_t now_ms, struct link_event *ret_event)
{
    ret_event->type = LINK_NONE;
    while (link->conn != NULL && ret_event->type == LINK_NONE) {
        struct client_conn_event event;
        client_conn_next(link->conn, &event);
        if (event.type == CONN_NONE) {
            break;
        }
        link->heard_ms = now_ms;
        if (event.type == CONN_OPEN) {
            on_open(link, now_ms);
        } else if (event.type == CONN_TEXT) {
            ret_event->type = on_text(link, event.text, now_ms, &ret_event->message);
        } else {
            on_closed(link, now_ms);
        }
    }
    if (link->state == LINK_STATE_READY && ret_event->type == LINK_NONE &&
        now_ms >= silent_at(link)) {
        lost(link, now_ms, "the server has been silent for too long");
    }
    if (link->told) {
        ASSERT(ret_event->type == LINK_NONE); /* whatever ends a connection is no event itself */
        link->told = false;
        ret_event->type = link->state == LINK_STATE_FAILED ? LINK_FAILED : LINK_LOST;
    }
}

enum rc link_send(struct link *link, struct bytes command)
{
    return link_ready(link) ? client_conn_send(link->conn, command) : RC_CLOSED;
}

size_t link_pending(const struct link *link)
{
    return link->conn == NULL ? 0 : client_conn_pending(link->conn);
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

uint64_t link_wait_ms(const struct link *link, uint64_t now_ms)
{
    return link->state == LINK_STATE_WAITING && link->due_ms > now_ms ? link->due_ms - now_ms : 0;
}
