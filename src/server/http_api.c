/* The HTTP API ([P 5]): health, publish, history, digest. One request of a connection at a time;
 * the next is parsed when the response stands in `out`. */
#include "base/mem.h"
#include "server/conn_private.h"
#include "server/logger.h"
#include "wire/http_list.h"
#include "wire/json_codec.h"
#include "wire/utf8.h"
#include "wire/ws_origin.h"

#include <stdio.h>
#include <time.h>

#define JSON_TYPE             "application/json"
#define CHANNELS_PREFIX       "/v1/channels/"
#define MESSAGES_SUFFIX       "/messages"
#define DIGEST_SUFFIX         "/digest"
#define HISTORY_LIMIT_DEFAULT 100u

void exchange_free(struct exchange *exchange)
{
    if (exchange != NULL) {
        buf_deinit(&exchange->channel);
        buf_deinit(&exchange->body);
        mem_free(exchange);
    }
}

/* ---- responses ------------------------------------------------------------------------------- */

/* [HTTP 6.6.1] a server with a clock says when it answered. */
static void date_field(char *to, size_t size, uint64_t wall_ms)
{
    const time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL ||
        strftime(to, size, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm) == 0) {
        to[0] = '\0';
    }
}

/* Appends the response to the exchange's request and ends the exchange. */
static void respond(struct conn *conn, unsigned status, struct bytes body)
{
    struct exchange *exchange = conn->work->exchange;
    const bool close = exchange->close || conn->reactor->draining || conn->eof;
    char extra[128];
    date_field(extra, sizeof(extra), conn->reactor->wall_ms);
    size_t size = strlen(extra);
    if (exchange->allow != NULL) {
        (void)snprintf(extra + size, sizeof(extra) - size, "Allow: %s\r\n", exchange->allow);
        size += strlen(extra + size);
    }
    if (exchange->keep_told && !close) { /* [HTTP 9112 C.2.2] or such a client waits for the end */
        (void)snprintf(extra + size, sizeof(extra) - size, "Connection: keep-alive\r\n");
    }
    const enum rc rc = http_response_append(&conn->out, status, JSON_TYPE, extra, body, close);
    if (rc != RC_OK) {
        conn_kill(conn, "out of memory");
        return;
    }
    if (exchange->head_only) {
        conn->out.size -= body.size; /* [HTTP 9.3.2] HEAD: all but the content */
    }
    conn->close_after_out = conn->close_after_out || close;
    exchange_free(exchange);
    conn->work->exchange = NULL;
    conn->served = true;
    conn->since_ms = conn->reactor->mono_ms;
    conn_timer_set(conn); /* none ran while the request was with a partition */
    conn_wake(conn);
}

static void respond_error(struct conn *conn, unsigned status, const struct wire_error *error)
{
    struct buf *encode = &conn->reactor->encode;
    if (json_encode_error(encode, error, false) != RC_OK) {
        conn_kill(conn, "out of memory");
        return;
    }
    respond(conn, status, buf_bytes(encode));
    buf_clear(encode);
}

static void respond_refusal(struct conn *conn, unsigned status, enum wire_error_code code,
                            const char *text)
{
    struct wire_error error = {.code = code};
    (void)snprintf(error.message, sizeof(error.message), "%s", text);
    respond_error(conn, status, &error);
}

/* ---- health ---------------------------------------------------------------------------------- */

static bool logs_ready(const struct server *server, unsigned *ret_partition)
{
    for (unsigned i = 0; i < server->partitions; i++) {
        if (!stats_flag_get(&server->ready[i])) {
            *ret_partition = i;
            return false;
        }
    }
    return true;
}

static void answer_readyz(struct conn *conn)
{
    const struct server *server = conn->reactor->server;
    char body[96];
    unsigned partition = 0;
    unsigned status = 503;
    int size;
    if (stats_flag_get(&server->draining)) {
        size = snprintf(body, sizeof(body), "{\"status\":\"draining\"}\n");
    } else if (!logs_ready(server, &partition)) {
        size = snprintf(body, sizeof(body),
                        "{\"status\":\"unavailable\",\"reason\":\"log\",\"partition\":%u}\n",
                        partition);
    } else {
        status = 200;
        size = snprintf(body, sizeof(body), "{\"status\":\"ready\"}\n");
    }
    respond(conn, status, bytes_of(body, (size_t)size));
}

/* ---- publish --------------------------------------------------------------------------------- */

static void answer_publish(struct conn *conn)
{
    struct reactor *reactor = conn->reactor;
    const struct wire_limits limits = {.message_bytes = reactor->env.message_bytes_max};
    struct wire_command command = {0};
    struct wire_error error = {0};
    if (!utf8_valid(buf_bytes(&conn->work->exchange->body))) {
        respond_refusal(conn, 400, WIRE_ERROR_BAD_REQUEST, "the body is not UTF-8");
        return;
    }
    enum rc rc = json_publish_decode(buf_bytes(&conn->work->exchange->body), &limits,
                                     &reactor->scratch, &command, &error);
    if (rc == RC_BAD) {
        respond_refusal(conn, 400, WIRE_ERROR_BAD_REQUEST, "the body is not a JSON object");
        return;
    }
    if (rc == RC_PROTOCOL) {
        respond_error(conn, wire_error_status(error.code), &error);
        return;
    }
    if (command.has_producer_seq && command.producer.id.size == 0) {
        respond_refusal(conn, 400, WIRE_ERROR_BAD_REQUEST, "producer_seq needs a producer");
        return;
    }
    struct command_publish head = {
        .channel = command.channel,
        .count = command.item_count,
        .is_batch = command.is_batch,
    };
    if (command.has_producer_seq) {
        head.producer = command.producer.id;
        head.producer_epoch = command.producer.epoch;
        head.producer_seq = command.producer_seq;
    }
    if (rc == RC_OK) {
        rc = router_publish(reactor, conn->handle, command.id, conn->work->exchange->body.size,
                            &head, (const void *)command.items);
    }
    if (rc == RC_FULL) {
        conn_block(conn);
        conn->work->exchange->waiting = true;
    } else if (rc != RC_OK) {
        conn_kill(conn, "out of memory");
    } else {
        conn->work->exchange->waiting = true;
        conn->work->exchange->id = command.id;
    }
}

void http_retry(struct conn *conn)
{
    if (conn->work != NULL && conn->work->exchange != NULL) {
        answer_publish(conn);
    }
}

void http_on_published(struct conn *conn, const struct publish_result *result)
{
    if (conn->work->exchange == NULL || !conn->work->exchange->waiting) {
        return;
    }
    const uint64_t id = conn->work->exchange->id;
    if (result->verdict != PUBLISH_ACCEPTED && result->verdict != PUBLISH_DUPLICATE) {
        struct wire_error error;
        publish_error(&error, id, result);
        respond_error(conn, wire_error_status(error.code), &error);
        return;
    }
    const struct wire_published published = {
        .id = id,
        .channel = result->channel,
        .has_seq = result->has_seq,
        .seq = result->seq,
        .is_batch = result->is_batch,
        .count = result->count,
        .message_id = result->message_id,
        .epoch = result->epoch,
        .duplicate = result->verdict == PUBLISH_DUPLICATE,
    };
    struct buf *encode = &conn->reactor->encode;
    if (json_encode_published(encode, &published, false) != RC_OK) {
        conn_kill(conn, "out of memory");
        return;
    }
    respond(conn, 200, buf_bytes(encode));
    buf_clear(encode);
}

/* ---- history --------------------------------------------------------------------------------- */

static void answer_messages(struct conn *conn)
{
    struct exchange *exchange = conn->work->exchange;
    const struct wire_command command = {
        .type = WIRE_HISTORY,
        .channel = buf_bytes(&exchange->channel),
        .has_history_from = exchange->has_from,
        .history_from = exchange->from,
        .limit = exchange->limit,
        .reverse = exchange->reverse,
    };
    exchange->waiting = true;
    if (router_history(conn->reactor, conn->handle, WIRE_JSON, &command) != RC_OK) {
        conn_kill(conn, "out of memory");
    }
}

static enum rc history_body(struct buf *to, const struct mail_read *read)
{
    enum rc rc = json_encode_history_head(to, 0, read->channel, read->position.epoch,
                                          read->position.earliest, read->position.latest, false);
    if (rc == RC_OK) {
        rc = buf_append(to, buf_bytes(&read->elements));
    }
    return rc == RC_OK ? json_encode_history_tail_damaged(to, read->damaged, read->damaged_count,
                                                          read->more)
                       : rc;
}

static void on_history(struct conn *conn, const struct mail_read *read)
{
    if (read->rc != RC_OK) {
        respond_refusal(conn, 503, WIRE_ERROR_UNAVAILABLE, "the log could not be read");
        return;
    }
    struct buf *encode = &conn->reactor->encode;
    if (history_body(encode, read) != RC_OK) {
        conn_kill(conn, "out of memory");
    } else {
        respond(conn, 200, buf_bytes(encode));
    }
    buf_clear(encode);
}

/* ---- digest ---------------------------------------------------------------------------------- */

static void answer_digest(struct conn *conn)
{
    struct exchange *exchange = conn->work->exchange;
    const struct wire_command command = {
        .type = WIRE_DIGEST,
        .channel = buf_bytes(&exchange->channel),
        .has_seq = exchange->has_from,
        .seq = exchange->from,
    };
    exchange->waiting = true;
    if (router_digest(conn->reactor, conn->handle, &command) != RC_OK) {
        conn_kill(conn, "out of memory");
    }
}

static void on_digest(struct conn *conn, const struct mail_read *read)
{
    const struct session_digest digest = mail_digest(read);
    const unsigned status = digest.rc != RC_OK       ? wire_error_status(WIRE_ERROR_UNAVAILABLE)
                            : digest.missing != NULL ? wire_error_status(WIRE_ERROR_GAP)
                                                     : 200;
    struct buf *encode = &conn->reactor->encode;
    if (digest_encode_http(encode, &digest) != RC_OK) {
        conn_kill(conn, "out of memory");
    } else {
        respond(conn, status, buf_bytes(encode));
    }
    buf_clear(encode);
}

void http_on_read(struct conn *conn, const struct mail_read *read)
{
    if (conn->work->exchange == NULL || !conn->work->exchange->waiting) {
        return;
    }
    if (read->purpose == READ_DIGEST) {
        on_digest(conn, read);
    } else {
        on_history(conn, read);
    }
}

/* ---- requests -------------------------------------------------------------------------------- */

/* The request is refused when all of it has come; the first reason stands. */
static void refuse_later(struct exchange *exchange, unsigned status, enum wire_error_code code,
                         const char *text)
{
    if (exchange->status == 0) {
        exchange->status = status;
        exchange->code = code;
        exchange->text = text;
    }
}

static bool text_is(struct bytes text, const char *expected)
{
    return bytes_equal(text, bytes_of_text(expected));
}

static bool path_starts(struct bytes path, const char *prefix)
{
    const struct bytes start = bytes_of_text(prefix);
    return path.size >= start.size && bytes_equal(bytes_of(path.data, start.size), start);
}

static bool path_ends(struct bytes path, const char *suffix)
{
    const struct bytes end = bytes_of_text(suffix);
    return path.size >= end.size &&
           bytes_equal(bytes_of(path.data + path.size - end.size, end.size), end);
}

/* The name between prefix and suffix; a '/' in it must have come as %2F. */
static bool channel_of_path(struct bytes path, const char *suffix, struct bytes *ret_name)
{
    const size_t around = sizeof(CHANNELS_PREFIX) - 1 + strlen(suffix);
    if (!path_starts(path, CHANNELS_PREFIX) || !path_ends(path, suffix) || path.size <= around) {
        return false;
    }
    *ret_name = bytes_of(path.data + sizeof(CHANNELS_PREFIX) - 1, path.size - around);
    return memchr(ret_name->data, '/', ret_name->size) == NULL;
}

static enum http_route route_of(struct bytes path)
{
    struct bytes name;
    if (text_is(path, "/healthz")) {
        return ROUTE_HEALTHZ;
    }
    if (text_is(path, "/readyz")) {
        return ROUTE_READYZ;
    }
    if (text_is(path, "/v1/publish")) {
        return ROUTE_PUBLISH;
    }
    if (channel_of_path(path, MESSAGES_SUFFIX, &name)) {
        return ROUTE_MESSAGES;
    }
    return channel_of_path(path, DIGEST_SUFFIX, &name) ? ROUTE_DIGEST : ROUTE_NONE;
}

static void check_method(struct exchange *exchange, struct bytes method)
{
    const bool get = text_is(method, "GET");
    const bool head = text_is(method, "HEAD");
    exchange->head_only = head;
    switch (exchange->route) {
    case ROUTE_NONE:
        refuse_later(exchange, 404, WIRE_ERROR_BAD_REQUEST, "there is nothing at this path");
        return;
    case ROUTE_PUBLISH:
        if (!text_is(method, "POST")) {
            exchange->allow = "POST";
            refuse_later(exchange, 405, WIRE_ERROR_BAD_REQUEST, "this path takes POST");
        }
        return;
    case ROUTE_HEALTHZ:
    case ROUTE_READYZ:
    case ROUTE_MESSAGES:
    case ROUTE_DIGEST:
        if (!get && !head) {
            exchange->allow = "GET, HEAD";
            refuse_later(exchange, 405, WIRE_ERROR_BAD_REQUEST, "this path takes GET");
        }
        return;
    }
    UNREACHABLE();
}

/* [WS 10.2] holds for a POST as well: a page elsewhere could make a browser send one. */
static void check_origin(struct conn *conn, struct exchange *exchange,
                         const struct http_request *request)
{
    const struct server *server = conn->reactor->server;
    if (http_field_count(request, "origin") == 0 || exchange->route != ROUTE_PUBLISH) {
        return;
    }
    if (!ws_origin_allowed(http_field_find(request, "origin"), http_field_find(request, "host"),
                           server->origins, server->origin_count)) {
        refuse_later(exchange, 403, WIRE_ERROR_FORBIDDEN,
                     "this origin is not allowed: see the setting allowed_origins");
    }
}

/* A whole number in decimal, at most 2^53 - 1. */
static bool number_parse(struct bytes text, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (text.size == 0 || text.size > 16) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        number = number * 10 + (uint64_t)(text.data[i] - '0');
    }
    *ret_number = number;
    return number <= WIRE_INTEGER_MAX;
}

static enum rc query_number(struct exchange *exchange, struct bytes query, const char *name,
                            uint64_t *ret_number, bool *ret_found)
{
    struct buf value = {0};
    const enum rc rc = http_query_find(query, name, &value, ret_found);
    if (rc == RC_BAD ||
        (rc == RC_OK && *ret_found && !number_parse(buf_bytes(&value), ret_number))) {
        refuse_later(exchange, 400, WIRE_ERROR_BAD_REQUEST,
                     "from, limit and seq are whole numbers up to 9007199254740991 in decimal, "
                     "each given once");
        *ret_found = false;
    }
    buf_deinit(&value);
    return rc == RC_NOMEM ? rc : RC_OK;
}

static enum rc query_reverse(struct exchange *exchange, struct bytes query)
{
    struct buf value = {0};
    bool found = false;
    const enum rc rc = http_query_find(query, "reverse", &value, &found);
    const struct bytes text = buf_bytes(&value);
    const bool on = text_is(text, "true") || text_is(text, "1") || text.size == 0;
    const bool off = text_is(text, "false") || text_is(text, "0");
    exchange->reverse = found && on;
    if (rc == RC_BAD || (found && !on && !off)) {
        refuse_later(exchange, 400, WIRE_ERROR_BAD_REQUEST, "reverse is true or false");
    }
    buf_deinit(&value);
    return rc == RC_NOMEM ? rc : RC_OK;
}

static enum rc parse_channel(struct exchange *exchange, const struct http_request *request,
                             const char *suffix)
{
    struct bytes name = {0};
    (void)channel_of_path(request->path, suffix, &name);
    const enum rc rc = http_percent_decode(name, &exchange->channel);
    if (rc == RC_OK && exchange->channel.size > CHANNEL_NAME_BYTES_MAX) {
        refuse_later(exchange, 413, WIRE_ERROR_TOO_LARGE,
                     "channel: expected at most 255 bytes of UTF-8");
    } else if (rc == RC_BAD ||
               (rc == RC_OK && !wire_channel_name_valid(buf_bytes(&exchange->channel)))) {
        refuse_later(exchange, 400, WIRE_ERROR_BAD_REQUEST,
                     "a channel name is 1 to 255 bytes of UTF-8 without control characters");
        return RC_OK;
    }
    return rc;
}

static enum rc parse_digest(struct exchange *exchange, const struct http_request *request)
{
    const enum rc rc = parse_channel(exchange, request, DIGEST_SUFFIX);
    return rc == RC_OK
               ? query_number(exchange, request->query, "seq", &exchange->from, &exchange->has_from)
               : rc;
}

static enum rc parse_messages(struct exchange *exchange, const struct http_request *request)
{
    uint64_t limit = HISTORY_LIMIT_DEFAULT;
    bool found = false;
    enum rc rc = parse_channel(exchange, request, MESSAGES_SUFFIX);
    if (rc == RC_OK) {
        rc = query_number(exchange, request->query, "limit", &limit, &found);
    }
    if (rc == RC_OK) {
        rc = query_number(exchange, request->query, "from", &exchange->from, &exchange->has_from);
    }
    if (rc == RC_OK) {
        rc = query_reverse(exchange, request->query);
    }
    if (limit == 0) {
        refuse_later(exchange, 400, WIRE_ERROR_BAD_REQUEST, "limit is at least 1");
    }
    exchange->limit = limit > HISTORY_MESSAGES_MAX ? HISTORY_MESSAGES_MAX : (uint32_t)limit;
    return rc;
}

static enum rc parse_target(struct exchange *exchange, const struct http_request *request)
{
    switch (exchange->route) {
    case ROUTE_MESSAGES: return parse_messages(exchange, request);
    case ROUTE_DIGEST: return parse_digest(exchange, request);
    case ROUTE_NONE:
    case ROUTE_HEALTHZ:
    case ROUTE_READYZ:
    case ROUTE_PUBLISH: return RC_OK;
    }
    UNREACHABLE();
}

/* The upgrade: from here on the connection speaks frames, or is closed with a refusal. */
static void on_upgrade(struct conn *conn, const struct http_request *request)
{
    const struct server *server = conn->reactor->server;
    struct ws_deflate deflate = {0};
    const struct ws_handshake_options options = {
        .path = "/v1/ws",
        .origins = server->origins,
        .origin_count = server->origin_count,
        .deflate = compress_wish(&conn->reactor->compress),
        .ret_deflate = &deflate,
    };
    if (conn->reactor->draining) {
        if (http_response_append(&conn->out, 503, JSON_TYPE, "Retry-After: 1\r\n",
                                 BYTES_LITERAL("{\"code\":\"unavailable\",\"message\":\"the server "
                                               "is about to stop\",\"retry_after_ms\":1000}\n"),
                                 true) != RC_OK) {
            conn_kill(conn, "out of memory");
        }
        conn->close_after_out = true;
        conn_wake(conn);
        return;
    }
    enum wire_codec codec;
    const char *why = "";
    const enum rc rc = ws_handshake(request, &options, &conn->out, &codec, &why);
    if (rc == RC_OK) {
        conn_ws_open(conn, codec);
        conn_deflate_open(conn, &deflate);
    } else if (rc == RC_PROTOCOL) {
        char peer[ADDRESS_TEXT_SIZE];
        address_print(&conn->peer, peer);
        log_event(LEVEL_INFO, "upgrade refused", FIELD_TEXT("peer", peer), FIELD_TEXT("why", why),
                  FIELD_BYTES("origin", http_field_find(request, "origin")));
        conn->close_after_out = true;
    } else {
        conn_kill(conn, "out of memory");
    }
    conn_wake(conn);
}

/* [HTTP 10.1.1] Whether the client asks before it sends the body; in HTTP/1.0 that is ignored. */
static bool expects_continue(const struct http_request *request)
{
    return request->minor > 0 && request->has_body &&
           http_text_equal(http_field_find(request, "expect"), BYTES_LITERAL("100-continue"));
}

/* It is told to go on, or at once what is wrong: then no body comes. */
static void answer_expectation(struct conn *conn)
{
    struct exchange *exchange = conn->work->exchange;
    if (exchange->status != 0) {
        exchange->close = true;
        respond_refusal(conn, exchange->status, exchange->code, exchange->text);
        return;
    }
    if (buf_append(&conn->out, BYTES_LITERAL("HTTP/1.1 100 Continue\r\n\r\n")) != RC_OK) {
        conn_kill(conn, "out of memory");
    }
    conn_wake(conn);
}

static void on_head(struct conn *conn, const struct http_request *request)
{
    if (request->upgrade || text_is(request->path, "/v1/ws")) {
        on_upgrade(conn, request);
        return;
    }
    struct exchange *exchange = mem_calloc(1, sizeof(*exchange));
    if (exchange == NULL) {
        conn_kill(conn, "out of memory");
        return;
    }
    conn->work->exchange = exchange;
    conn->since_ms = conn->reactor->mono_ms;
    exchange->close = !request->keep_alive;
    exchange->keep_told = request->minor == 0;
    exchange->route = route_of(request->path);
    check_method(exchange, request->method);
    check_origin(conn, exchange, request);
    if (request->content_length > conn->reactor->server->config->limit_frame_bytes) {
        refuse_later(exchange, 413, WIRE_ERROR_TOO_LARGE, "the body is too large");
        exchange->close = true;
        respond_refusal(conn, exchange->status, exchange->code, exchange->text);
        conn->close_after_out = true;
        return;
    }
    if (parse_target(exchange, request) != RC_OK) {
        conn_kill(conn, "out of memory");
    } else if (expects_continue(request)) {
        answer_expectation(conn);
    }
}

static void on_body(struct conn *conn, struct bytes piece)
{
    struct exchange *exchange = conn->work->exchange;
    if (exchange == NULL || exchange->status != 0 || exchange->route != ROUTE_PUBLISH) {
        return; /* read past, not kept */
    }
    if (exchange->body.size + piece.size > conn->reactor->server->config->limit_frame_bytes) {
        exchange->close = true;
        respond_refusal(conn, 413, WIRE_ERROR_TOO_LARGE, "the body is too large");
        conn->close_after_out = true;
        return;
    }
    if (buf_append(&exchange->body, piece) != RC_OK) {
        conn_kill(conn, "out of memory");
    }
}

static void on_complete(struct conn *conn)
{
    struct exchange *exchange = conn->work->exchange;
    if (exchange == NULL) {
        return;
    }
    if (exchange->status != 0) {
        respond_refusal(conn, exchange->status, exchange->code, exchange->text);
        return;
    }
    switch (exchange->route) {
    case ROUTE_HEALTHZ: respond(conn, 200, BYTES_LITERAL("{\"status\":\"ok\"}\n")); return;
    case ROUTE_READYZ: answer_readyz(conn); return;
    case ROUTE_PUBLISH: answer_publish(conn); return;
    case ROUTE_MESSAGES: answer_messages(conn); return;
    case ROUTE_DIGEST: answer_digest(conn); return;
    case ROUTE_NONE: break;
    }
    UNREACHABLE();
}

static void on_error(struct conn *conn, const struct http_event *event)
{
    struct wire_error error = {.code = WIRE_ERROR_BAD_REQUEST};
    (void)snprintf(error.message, sizeof(error.message), "%s", event->text);
    struct buf *encode = &conn->reactor->encode;
    if (json_encode_error(encode, &error, false) != RC_OK ||
        http_response_append(&conn->out, event->status, JSON_TYPE, NULL, buf_bytes(encode), true) !=
            RC_OK) {
        conn_kill(conn, "out of memory");
    }
    buf_clear(encode);
    conn->close_after_out = true;
    conn_wake(conn);
}

/* One event. False: more input is needed, or the connection speaks HTTP no more. */
static bool input_step(struct conn *conn, struct bytes input, size_t *ret_used)
{
    struct http_event event = {0};
    *ret_used = input.size;
    http_parser_feed(conn->work->parser, input, ret_used, &event);
    switch (event.type) {
    case HTTP_EVENT_NONE: return false;
    case HTTP_EVENT_HEAD: on_head(conn, event.request); break;
    case HTTP_EVENT_BODY: on_body(conn, event.body); break;
    case HTTP_EVENT_COMPLETE: on_complete(conn); return false;
    case HTTP_EVENT_ERROR:
        on_error(conn, &event);
        *ret_used = input.size;
        return false;
    }
    return conn->phase == CONN_HTTP && !conn->dead && !conn->close_after_out;
}

size_t http_input(struct conn *conn, const uint8_t *data, size_t size)
{
    if (conn->work->exchange == NULL && !http_parser_busy(conn->work->parser)) {
        conn->since_ms = conn->reactor->mono_ms; /* the first byte of a request */
    }
    /* Up to the end of one request: it may be complete without a further byte. */
    size_t used = 0;
    size_t step;
    while (input_step(conn, bytes_of(data + used, size - used), &step)) {
        used += step;
    }
    return used + step;
}
