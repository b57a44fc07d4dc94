/* Requests, one after another.
 *
 * A head is gathered while the scanner (http_scan.h) judges its form; when it is whole, llhttp
 * parses it in one go, and what it found is checked for meaning: one Host, one way to tell the
 * body's end, a target in a form we serve. Then the body: counted where Content-Length gives it,
 * through llhttp where it is chunked. The trailer behind a chunked body goes through the scanner
 * again and is dropped.
 *
 *   HEAD -> SIZED | CHUNKED | END      by what the head says
 *   SIZED -> END                       at the last byte
 *   CHUNKED -> TRAILER -> END          at the chunk of size 0; at the empty line
 *   END -> HEAD                        with HTTP_EVENT_COMPLETE
 *   any -> FAILED                      and there it stays
 *
 * The head, the fields and the request are let go with HTTP_EVENT_COMPLETE: between requests a
 * parser holds nothing but itself. */
#include "base/mem.h"
#include "wire/http.h"
#include "wire/http_list.h"
#include "wire/http_scan.h"

#include <llhttp.h>

enum parse_state {
    PARSE_HEAD,
    PARSE_SIZED,
    PARSE_CHUNKED,
    PARSE_TRAILER,
    PARSE_END,
    PARSE_FAILED,
    PARSE_STATE_COUNT,
};

#define TO(name) (1u << PARSE_##name)
static const unsigned parse_moves[PARSE_STATE_COUNT] = {
    [PARSE_HEAD] = TO(SIZED) | TO(CHUNKED) | TO(END) | TO(FAILED),
    [PARSE_SIZED] = TO(END) | TO(FAILED),
    [PARSE_CHUNKED] = TO(TRAILER) | TO(FAILED),
    [PARSE_TRAILER] = TO(END) | TO(FAILED),
    [PARSE_END] = TO(HEAD),
    [PARSE_FAILED] = 0,
};
#undef TO

/* Bytes around the data of one chunk: size, extensions, line ends. Nobody who means well sends
 * extensions. */
#define CHUNK_OVERHEAD_MAX 512u

struct http_parser {
    llhttp_t llhttp;
    struct http_scan scan;
    struct http_request request;
    struct buf head;
    struct http_field *fields; /* scan.field_count of them */
    size_t field_count;        /* found by llhttp */
    uint64_t body_left;        /* SIZED */
    struct bytes piece;        /* CHUNKED: data that llhttp has found */
    uint32_t chunk_overhead;   /* CHUNKED: bytes since the last data */
    enum parse_state state;
    bool last_chunk; /* CHUNKED */
    unsigned status; /* FAILED */
    const char *text;
};

static void parser_move(struct http_parser *parser, enum parse_state next)
{
    ASSERT(parser->state < PARSE_STATE_COUNT);
    ASSERT(next < PARSE_STATE_COUNT);
    ASSERT((parse_moves[parser->state] & (1u << next)) != 0);
    parser->state = next;
}

static void parser_release(struct http_parser *parser)
{
    ASSERT(parser->field_count == 0 || parser->fields != NULL);
    buf_deinit(&parser->head);
    mem_free(parser->fields);
    parser->fields = NULL;
    parser->field_count = 0;
    parser->request = (struct http_request){0};
}

enum rc http_parser_new(struct http_parser **ret_parser)
{
    ASSERT(ret_parser != NULL);
    struct http_parser *parser = mem_calloc(1, sizeof(*parser));
    if (parser == NULL) {
        return RC_NOMEM;
    }
    http_scan_init(&parser->scan);
    *ret_parser = parser;
    return RC_OK;
}

void http_parser_free(struct http_parser *parser)
{
    if (parser != NULL) {
        parser_release(parser);
        mem_free(parser);
    }
}

bool http_parser_busy(const struct http_parser *parser)
{
    ASSERT(parser->state < PARSE_STATE_COUNT);
    switch (parser->state) {
    case PARSE_HEAD: return http_scan_begun(&parser->scan);
    case PARSE_SIZED:
    case PARSE_CHUNKED:
    case PARSE_TRAILER:
    case PARSE_END: return true;
    case PARSE_FAILED:
    case PARSE_STATE_COUNT: break;
    }
    return false;
}

static void parser_fail(struct http_parser *parser, unsigned status, const char *text)
{
    ASSERT(status >= 400 && status <= 599);
    ASSERT(text != NULL);
    parser_move(parser, PARSE_FAILED);
    parser->status = status;
    parser->text = text;
    parser_release(parser);
}

/* ---- what llhttp finds --------------------------------------------------------------------- */

static int on_field_name(llhttp_t *llhttp, const char *at, size_t size)
{
    ASSERT(at != NULL || size == 0);
    struct http_parser *parser = llhttp->data;
    if (NEVER(parser->field_count == parser->scan.field_count)) {
        return HPE_USER; /* more fields than lines: the two parsers disagree */
    }
    parser->fields[parser->field_count++] = (struct http_field){.name = bytes_of(at, size)};
    return 0;
}

static int on_field_value(llhttp_t *llhttp, const char *at, size_t size)
{
    ASSERT(at != NULL || size == 0);
    struct http_parser *parser = llhttp->data;
    ASSERT(parser->field_count > 0);
    struct http_field *field = &parser->fields[parser->field_count - 1];
    if (NEVER(field->value.data != NULL)) {
        return HPE_USER; /* two values to a name */
    }
    field->value = http_trim(bytes_of(at, size));
    return 0;
}

static int on_head_complete(llhttp_t *llhttp)
{
    ASSERT(llhttp->data != NULL);
    ASSERT(((struct http_parser *)llhttp->data)->state == PARSE_HEAD);
    (void)llhttp;
    return HPE_PAUSED; /* the body is not llhttp's affair yet */
}

static int on_chunk_header(llhttp_t *llhttp)
{
    ASSERT(((struct http_parser *)llhttp->data)->state == PARSE_CHUNKED);
    struct http_parser *parser = llhttp->data;
    parser->last_chunk = llhttp->content_length == 0;
    return parser->last_chunk ? HPE_PAUSED : 0;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t size)
{
    ASSERT(((struct http_parser *)llhttp->data)->state == PARSE_CHUNKED);
    ASSERT(((struct http_parser *)llhttp->data)->piece.size == 0);
    struct http_parser *parser = llhttp->data;
    parser->piece = bytes_of(at, size);
    return ALWAYS(size > 0) ? HPE_PAUSED : 0;
}

static const llhttp_settings_t parser_settings = {
    .on_header_field = on_field_name,
    .on_header_value = on_field_value,
    .on_headers_complete = on_head_complete,
    .on_chunk_header = on_chunk_header,
    .on_body = on_body,
};

/* Runs llhttp over `input` up to its end or a pause; returns how much it took. */
static size_t llhttp_take(struct http_parser *parser, struct bytes input, llhttp_errno_t *ret_error)
{
    ASSERT(input.size > 0);
    ASSERT(parser->state == PARSE_HEAD || parser->state == PARSE_CHUNKED);
    llhttp_resume(&parser->llhttp);
    const llhttp_errno_t error =
        llhttp_execute(&parser->llhttp, (const char *)input.data, input.size);
    *ret_error = error;
    if (error == HPE_OK) {
        return input.size;
    }
    const uint8_t *end = (const uint8_t *)llhttp_get_error_pos(&parser->llhttp);
    return NEVER(end == NULL) ? 0 : (size_t)(end - input.data);
}

/* ---- what a request means ------------------------------------------------------------------ */

struct refusal {
    unsigned status;
    const char *text;
};

static bool refuse(struct refusal *refusal, unsigned status, const char *text)
{
    ASSERT(status >= 400 && status <= 599);
    ASSERT(text != NULL);
    *refusal = (struct refusal){status, text};
    return false;
}

/* llhttp has judged the text before; a length of the body is judged twice. */
static bool all_digits(struct bytes text)
{
    ASSERT_HOT(text.size == 0 || text.data != NULL);
    for (size_t i = 0; i < text.size; i++) {
        if (NEVER(text.data[i] < '0' || text.data[i] > '9')) {
            return false;
        }
    }
    return text.size > 0;
}

/* [HTTP 6.1] to [HTTP 6.3]: how the end of the body is told; never in two ways. */
static bool check_body(struct http_parser *parser, struct refusal *refusal)
{
    ASSERT(!parser->request.has_body);
    ASSERT(parser->request.minor <= 1);
    struct http_request *request = &parser->request;
    const size_t lengths = http_field_count(request, "content-length");
    const size_t codings = http_field_count(request, "transfer-encoding");

    /* The first is refused by llhttp before; the head of a body is worth two looks. So is the last,
     * unless the coding is empty. */
    if (NEVER(lengths > 1) || codings > 1 || (lengths > 0 && codings > 0)) {
        return refuse(refusal, 400, "more than one length of the body");
    }
    if (codings > 0) {
        const struct bytes coding = http_field_find(request, "transfer-encoding");
        if (request->minor == 0) {
            return refuse(refusal, 400, "Transfer-Encoding in HTTP/1.0");
        }
        if (!http_text_equal(coding, BYTES_LITERAL("chunked"))) {
            return refuse(refusal, 501, "a transfer coding other than chunked");
        }
        request->chunked = true;
    }
    if (lengths > 0) {
        const bool digits = all_digits(http_field_find(request, "content-length"));
        if (NEVER(!digits)) {
            return refuse(refusal, 400, "malformed Content-Length");
        }
        request->content_length = parser->llhttp.content_length;
    }
    request->has_body = request->chunked || request->content_length > 0;
    ASSERT(!request->chunked || request->content_length == 0);
    return true;
}

static uint16_t port_or(const struct http_authority *authority, uint16_t port)
{
    ASSERT(port > 0);
    ASSERT(authority->has_port || authority->port == 0);
    return authority->has_port ? authority->port : port;
}

/* [HTTP 3.2.2] absolute-form, as proxies are asked; it must name the host that Host names. */
static bool split_absolute(struct http_request *request, bool has_host,
                           const struct http_authority *host)
{
    ASSERT(request->target.size > 0);
    ASSERT(!has_host || host->host.size > 0);
    static const struct {
        struct bytes prefix;
        uint16_t port;
    } schemes[] = {{BYTES_LITERAL("http://"), 80}, {BYTES_LITERAL("https://"), 443}};

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        const size_t skip = schemes[i].prefix.size;
        const struct bytes all = request->target;
        if (all.size <= skip || !http_text_equal(bytes_of(all.data, skip), schemes[i].prefix)) {
            continue;
        }
        size_t end = skip;
        while (end < all.size && all.data[end] != '/' && all.data[end] != '?') {
            end++;
        }
        struct http_authority authority;
        if (!http_authority_parse(bytes_of(all.data + skip, end - skip), &authority)) {
            return false;
        }
        request->target =
            end < all.size ? bytes_of(all.data + end, all.size - end) : BYTES_LITERAL("/");
        return !has_host ||
               (http_text_equal(authority.host, host->host) &&
                port_or(&authority, schemes[i].port) == port_or(host, schemes[i].port));
    }
    return false;
}

/* [HTTP 3.2] Host once, and well-formed; the target in origin-form, or what comes to the same. */
static bool check_target(struct http_request *request, struct refusal *refusal)
{
    ASSERT(request->target.size > 0);
    ASSERT(request->path.size == 0);
    const size_t hosts = http_field_count(request, "host");
    struct http_authority host = {0};
    if (hosts > 1 || (hosts == 0 && request->minor > 0)) {
        return refuse(refusal, 400, "Host must be given exactly once");
    }
    if (hosts == 1 && !http_authority_parse(http_field_find(request, "host"), &host)) {
        return refuse(refusal, 400, "malformed Host");
    }
    const uint8_t first = request->target.data[0];
    const bool asterisk = request->target.size == 1 && first == '*';
    if (first != '/' && !(asterisk && bytes_equal(request->method, BYTES_LITERAL("OPTIONS"))) &&
        !split_absolute(request, hosts == 1, &host)) {
        return refuse(refusal, 400, "a target that is not on this host");
    }
    const struct bytes target = request->target;
    const uint8_t *mark = memchr(target.data, '?', target.size);
    const size_t path_size = mark == NULL ? target.size : (size_t)(mark - target.data);
    const size_t skip = mark == NULL ? path_size : path_size + 1;
    request->path = path_size > 0 ? bytes_of(target.data, path_size) : BYTES_LITERAL("/");
    request->query = bytes_of(target.data + skip, target.size - skip);
    ASSERT(request->path.size > 0);
    ASSERT(request->path.data[0] == '/' || request->path.data[0] == '*');
    return true;
}

static bool check_request(struct http_parser *parser, struct refusal *refusal)
{
    ASSERT(parser->state == PARSE_HEAD);
    ASSERT(parser->request.field_count == parser->field_count);
    struct http_request *request = &parser->request;
    if (!check_body(parser, refusal) || !check_target(request, refusal)) {
        return false;
    }
    const bool close = http_field_lists(request, "connection", "close");
    request->keep_alive =
        !close && (request->minor > 0 || http_field_lists(request, "connection", "keep-alive"));
    /* [HTTP 9110 7.8] Upgrade in HTTP/1.0 is to be ignored. */
    request->upgrade = request->minor > 0 && http_field_lists(request, "upgrade", "websocket");
    return true;
}

/* ---- events -------------------------------------------------------------------------------- */

/* Only what passed the scanner comes here, so few of llhttp's verdicts are left. */
static void fail_by_llhttp(struct http_parser *parser, llhttp_errno_t error)
{
    ASSERT(error != HPE_PAUSED);
    ASSERT(parser->state == PARSE_HEAD);
    if (error == HPE_INVALID_METHOD || error == HPE_INVALID_CONSTANT) {
        /* The second: a method of RTSP or ICE; "HTTP/" itself has passed the scanner. */
        parser_fail(parser, 501, "unknown method");
    } else if (error == HPE_INVALID_URL) {
        parser_fail(parser, 400, "malformed request target");
    } else if (error == HPE_INVALID_CONTENT_LENGTH || error == HPE_UNEXPECTED_CONTENT_LENGTH) {
        parser_fail(parser, 400, "malformed Content-Length");
    } else if (error == HPE_INVALID_TRANSFER_ENCODING) {
        parser_fail(parser, 400, "malformed Transfer-Encoding");
    } else {
        parser_fail(parser, 400, "malformed request");
    }
}

/* The whole head is gathered: parses it. False: failed. */
static bool head_parse(struct http_parser *parser)
{
    ASSERT(parser->state == PARSE_HEAD);
    ASSERT(http_scan_done(&parser->scan));
    ASSERT(parser->fields == NULL);
    const struct http_scan *scan = &parser->scan;
    const uint8_t *start = parser->head.data + scan->start;
    parser->request = (struct http_request){
        .method = bytes_of(start, scan->method_size),
        .target = bytes_of(start + scan->method_size + 1, scan->target_size),
        .minor = scan->minor,
    };
    /* A tunnel is not served here; and for llhttp it would be the end of HTTP. */
    if (bytes_equal(parser->request.method, BYTES_LITERAL("CONNECT"))) {
        parser_fail(parser, 501, "no proxy here");
        return false;
    }
    if (scan->field_count > 0) {
        parser->fields = mem_calloc(scan->field_count, sizeof(*parser->fields));
        if (parser->fields == NULL) {
            parser_fail(parser, 503, "out of memory");
            return false;
        }
    }
    llhttp_init(&parser->llhttp, HTTP_REQUEST, &parser_settings);
    parser->llhttp.data = parser;
    llhttp_errno_t error = HPE_OK;
    const size_t used = llhttp_take(parser, buf_bytes(&parser->head), &error);
    if (error != HPE_PAUSED) {
        fail_by_llhttp(parser, error);
        return false;
    }
    if (NEVER(used != parser->head.size || parser->field_count != scan->field_count)) {
        parser_fail(parser, 400, "malformed request");
        return false;
    }
    parser->request.fields = parser->fields;
    parser->request.field_count = parser->field_count;
    struct refusal refusal;
    if (!check_request(parser, &refusal)) {
        parser_fail(parser, refusal.status, refusal.text);
        return false;
    }
    return true;
}

static size_t head_take(struct http_parser *parser, struct bytes input, struct http_event *event)
{
    ASSERT(parser->state == PARSE_HEAD);
    ASSERT(input.size > 0);
    const size_t used = http_scan_feed(&parser->scan, input);
    if (http_scan_failed(&parser->scan)) {
        parser_fail(parser, parser->scan.status, parser->scan.text);
        return used;
    }
    if (buf_append(&parser->head, bytes_of(input.data, used)) != RC_OK) {
        parser_fail(parser, 503, "out of memory");
        return used;
    }
    if (http_scan_done(&parser->scan) && head_parse(parser)) {
        parser->body_left = parser->request.content_length;
        parser->chunk_overhead = 0;
        parser->last_chunk = false;
        parser_move(parser, parser->request.chunked    ? PARSE_CHUNKED
                            : parser->request.has_body ? PARSE_SIZED
                                                       : PARSE_END);
        ASSERT((parser->state == PARSE_SIZED) == (parser->body_left > 0));
        *event = (struct http_event){.type = HTTP_EVENT_HEAD, .request = &parser->request};
    }
    return used;
}

static size_t sized_take(struct http_parser *parser, struct bytes input, struct http_event *event)
{
    ASSERT(parser->state == PARSE_SIZED);
    ASSERT(input.size > 0);
    ASSERT(parser->body_left > 0);
    const size_t used = input.size < parser->body_left ? input.size : (size_t)parser->body_left;
    parser->body_left -= used;
    if (parser->body_left == 0) {
        parser_move(parser, PARSE_END);
    }
    *event = (struct http_event){.type = HTTP_EVENT_BODY, .body = bytes_of(input.data, used)};
    return used;
}

static size_t chunked_take(struct http_parser *parser, struct bytes input, struct http_event *event)
{
    ASSERT(parser->state == PARSE_CHUNKED);
    ASSERT(!parser->last_chunk);
    ASSERT(parser->chunk_overhead <= CHUNK_OVERHEAD_MAX);
    llhttp_errno_t error = HPE_OK;
    parser->piece = (struct bytes){0};
    const size_t used = llhttp_take(parser, input, &error);
    if (error != HPE_OK && error != HPE_PAUSED) {
        parser_fail(parser, 400, "malformed chunk");
        return used;
    }
    ASSERT(parser->piece.size <= used);
    const size_t overhead = used - parser->piece.size;
    if (overhead > CHUNK_OVERHEAD_MAX - parser->chunk_overhead) {
        parser_fail(parser, 400, "a chunk's extensions are too long");
        return used;
    }
    parser->chunk_overhead += (uint32_t)overhead;
    if (parser->piece.size > 0) {
        parser->chunk_overhead = 0;
        *event = (struct http_event){.type = HTTP_EVENT_BODY, .body = parser->piece};
    }
    if (parser->last_chunk) {
        http_scan_init_trailer(&parser->scan);
        parser_move(parser, PARSE_TRAILER);
    }
    return used;
}

static size_t trailer_take(struct http_parser *parser, struct bytes input)
{
    ASSERT(parser->state == PARSE_TRAILER);
    ASSERT(parser->last_chunk);
    const size_t used = http_scan_feed(&parser->scan, input);
    if (http_scan_failed(&parser->scan)) {
        parser_fail(parser, parser->scan.status, parser->scan.text);
    } else if (http_scan_done(&parser->scan)) {
        parser_move(parser, PARSE_END);
    }
    return used;
}

static void parser_end(struct http_parser *parser, struct http_event *event)
{
    ASSERT(parser->state == PARSE_END);
    ASSERT(parser->body_left == 0);
    ASSERT(event->type == HTTP_EVENT_NONE);
    parser_release(parser);
    http_scan_init(&parser->scan);
    parser_move(parser, PARSE_HEAD);
    *event = (struct http_event){.type = HTTP_EVENT_COMPLETE};
}

/* One step in the current state; at the end of a request it needs no input. */
static size_t parser_step(struct http_parser *parser, struct bytes input, struct http_event *event)
{
    ASSERT(parser->state < PARSE_STATE_COUNT);
    ASSERT(event->type == HTTP_EVENT_NONE);
    switch (parser->state) {
    case PARSE_HEAD: return head_take(parser, input, event);
    case PARSE_SIZED: return sized_take(parser, input, event);
    case PARSE_CHUNKED: return chunked_take(parser, input, event);
    case PARSE_TRAILER: return trailer_take(parser, input);
    case PARSE_END: parser_end(parser, event); return 0;
    case PARSE_FAILED:
    case PARSE_STATE_COUNT: break;
    }
    UNREACHABLE();
}

void http_parser_feed(struct http_parser *parser, struct bytes input, size_t *ret_used,
                      struct http_event *ret_event)
{
    ASSERT_HOT(input.size == 0 || input.data != NULL);
    ASSERT_HOT(ret_used != NULL);
    ASSERT_HOT(ret_event != NULL);
    struct http_event event = {.type = HTTP_EVENT_NONE};
    size_t used = 0;

    while (event.type == HTTP_EVENT_NONE && parser->state != PARSE_FAILED &&
           (used < input.size || parser->state == PARSE_END)) {
        used += parser_step(parser, bytes_of(input.data + used, input.size - used), &event);
    }
    if (parser->state == PARSE_FAILED) {
        used = input.size;
        event = (struct http_event){
            .type = HTTP_EVENT_ERROR, .status = parser->status, .text = parser->text};
    }
    ASSERT(used <= input.size);
    ASSERT(event.type != HTTP_EVENT_NONE || used == input.size); /* all taken, or something told */
    ASSERT((event.type == HTTP_EVENT_ERROR) == (parser->state == PARSE_FAILED));
    *ret_used = used;
    *ret_event = event;
}
