/* Goal: 101 for exactly the handshakes of [WS 4.2.1], and for every other request the right
 * refusal, which closes.
 * Method: a table of requests and statuses, each through the HTTP parser cut in two at every place
 * and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "wire/http.h"

#define GET     "GET /v1/ws HTTP/1.1\r\n"
#define HOST    "Host: good.example\r\n"
#define UPGRADE "Upgrade: websocket\r\n"
#define CONN    "Connection: Upgrade\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define END     "\r\n"
#define GOOD    GET HOST UPGRADE CONN VERSION KEY

#define ACCEPT      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define SWITCHING   "HTTP/1.1 101 Switching Protocols\r\n"
#define JSON_ECHO   "Sec-WebSocket-Protocol: seriatim.v1.json\r\n"
#define BINARY_ECHO "Sec-WebSocket-Protocol: seriatim.v1.binary\r\n"
#define PROTOCOL    "Sec-WebSocket-Protocol: "
#define EXTENSIONS  "Sec-WebSocket-Extensions: "
#define ORIGIN      "Origin: "
#define TEN(x)      x x x x x x x x x x

struct row {
    const char *name;
    struct bytes request;
    unsigned status;
    const char *has; /* a part of the response, or NULL */
};

#define ROW(name, status, request, has)                                                            \
    {                                                                                              \
        name, BYTES_LITERAL(request), status, has                                                  \
    }

static const struct row rows[] = {
    /* What is good. */
    ROW("the rfc's key", 101, GOOD END, ACCEPT),
    ROW("no subprotocol: none is named", 101, GOOD END, SWITCHING),
    ROW("Upgrade in other letters", 101, GET HOST "UPGRADE: WebSocket\r\n" CONN VERSION KEY END,
        ACCEPT),
    ROW("Upgrade as a list", 101, GET HOST "Upgrade: h2c, websocket\r\n" CONN VERSION KEY END,
        ACCEPT),
    ROW("Upgrade on two lines", 101, GET HOST "Upgrade: h2c\r\n" UPGRADE CONN VERSION KEY END,
        ACCEPT),
    ROW("Connection as Firefox has it", 101,
        GET HOST UPGRADE "Connection: keep-alive, Upgrade\r\n" VERSION KEY END, ACCEPT),
    ROW("Connection in other letters", 101,
        GET HOST UPGRADE "connection:UPGRADE\r\n" VERSION KEY END, ACCEPT),
    ROW("Connection on two lines", 101,
        GET HOST UPGRADE "Connection: keep-alive\r\n" CONN VERSION KEY END, ACCEPT),
    ROW("Connection with tabs and empty elements", 101,
        GET HOST UPGRADE "Connection: ,\tUpgrade\t,,\r\n" VERSION KEY END, ACCEPT),
    ROW("white space around the key", 101,
        GET HOST UPGRADE CONN VERSION "Sec-WebSocket-Key: \t dGhlIHNhbXBsZSBub25jZQ== \r\n" END,
        ACCEPT),
    ROW("fields in another order", 101, GET KEY VERSION CONN UPGRADE HOST "User-Agent: x\r\n" END,
        ACCEPT),
    ROW("a query behind the path", 101,
        "GET /v1/ws?token=x HTTP/1.1\r\n" HOST UPGRADE CONN VERSION KEY END, ACCEPT),
    ROW("absolute-form", 101,
        "GET http://good.example/v1/ws HTTP/1.1\r\n" HOST UPGRADE CONN VERSION KEY END, ACCEPT),
    ROW("an empty line before", 101, "\r\n" GOOD END, ACCEPT),
    ROW("a key with a tail that is not 0", 101,
        GET HOST UPGRADE CONN VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n" END,
        SWITCHING),
    ROW("seriatim.v1.json", 101, GOOD PROTOCOL "seriatim.v1.json\r\n" END, JSON_ECHO),
    ROW("json among others", 101, GOOD PROTOCOL "x, seriatim.v1.json,y\r\n" END, JSON_ECHO),
    ROW("json on a second line", 101, GOOD PROTOCOL "chat\r\n" PROTOCOL "seriatim.v1.json\r\n" END,
        JSON_ECHO),
    ROW("an extension is declined", 101,
        GOOD EXTENSIONS "permessage-deflate; client_max_window_bits\r\n" END, ACCEPT),
    ROW("extensions with values", 101,
        GOOD EXTENSIONS "a;b=c;d=\"e\", f ; g = h\r\n" EXTENSIONS "i\r\n" END, ACCEPT),
    ROW("Origin: the same host", 101, GOOD ORIGIN "http://good.example\r\n" END, ACCEPT),
    ROW("Origin: the same host by https", 101, GOOD ORIGIN "https://good.example\r\n" END, ACCEPT),
    ROW("Origin: in the list", 101, GOOD ORIGIN "https://app.example\r\n" END, ACCEPT),

    /* [WS 4.2.1] 1: the request line. */
    ROW("POST", 405, "POST /v1/ws HTTP/1.1\r\n" HOST UPGRADE CONN VERSION KEY END, "Allow: GET"),
    ROW("HEAD", 405, "HEAD /v1/ws HTTP/1.1\r\n" HOST UPGRADE CONN VERSION KEY END, "Allow: GET"),
    ROW("OPTIONS", 405, "OPTIONS /v1/ws HTTP/1.1\r\n" HOST UPGRADE CONN VERSION KEY END, NULL),
    ROW("get", 501, "get /v1/ws HTTP/1.1\r\n" HOST UPGRADE CONN VERSION KEY END, NULL),
    ROW("CONNECT", 501, "CONNECT good.example:80 HTTP/1.1\r\n" HOST UPGRADE CONN VERSION KEY END,
        NULL),
    ROW("HTTP/1.0", 400, "GET /v1/ws HTTP/1.0\r\n" HOST UPGRADE CONN VERSION KEY END, NULL),
    ROW("HTTP/2.0", 505, "GET /v1/ws HTTP/2.0\r\n" HOST UPGRADE CONN VERSION KEY END, NULL),
    ROW("HTTP/0.9", 400, "GET /v1/ws\r\n" HOST UPGRADE CONN VERSION KEY END, NULL),
    ROW("the preface of HTTP/2", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NULL),
    ROW("another path", 404, "GET / HTTP/1.1\r\n" HOST UPGRADE CONN VERSION KEY END, NULL),
    ROW("a longer path", 404, "GET /v1/ws/ HTTP/1.1\r\n" HOST UPGRADE CONN VERSION KEY END, NULL),
    ROW("a path in other letters", 404, "GET /V1/WS HTTP/1.1\r\n" HOST UPGRADE CONN VERSION KEY END,
        NULL),
    ROW("absolute-form of another host", 400,
        "GET http://evil/v1/ws HTTP/1.1\r\n" HOST UPGRADE CONN VERSION KEY END, NULL),
    ROW("two spaces", 400, "GET  /v1/ws HTTP/1.1\r\n" HOST UPGRADE CONN VERSION KEY END, NULL),

    /* [WS 4.2.1] 2: Host. */
    ROW("no Host", 400, GET UPGRADE CONN VERSION KEY END, NULL),
    ROW("two Hosts", 400, GET HOST HOST UPGRADE CONN VERSION KEY END, NULL),
    ROW("two Hosts that differ", 400, GET HOST "Host: b\r\n" UPGRADE CONN VERSION KEY END, NULL),
    ROW("empty Host", 400, GET "Host: \r\n" UPGRADE CONN VERSION KEY END, NULL),
    ROW("Host with a slash", 400, GET "Host: a/b\r\n" UPGRADE CONN VERSION KEY END, NULL),

    /* [WS 4.2.1] 3: Upgrade. */
    ROW("no Upgrade", 426, GET HOST CONN VERSION KEY END, "\r\nUpgrade: websocket\r\n"),
    ROW("nothing of WebSocket", 426, GET HOST END, "\r\nConnection: close\r\n"),
    ROW("empty Upgrade", 400, GET HOST "Upgrade:\r\n" CONN VERSION KEY END, NULL),
    ROW("another Upgrade", 400, GET HOST "Upgrade: h2c\r\n" CONN VERSION KEY END, NULL),
    ROW("Upgrade: websockets", 400, GET HOST "Upgrade: websockets\r\n" CONN VERSION KEY END, NULL),
    ROW("Upgrade: web socket", 400, GET HOST "Upgrade: web socket\r\n" CONN VERSION KEY END, NULL),
    ROW("Upgrade: websocket/13", 400, GET HOST "Upgrade: websocket/13\r\n" CONN VERSION KEY END,
        NULL),

    /* [WS 4.2.1] 4: Connection. */
    ROW("no Connection", 400, GET HOST UPGRADE VERSION KEY END, NULL),
    ROW("empty Connection", 400, GET HOST UPGRADE "Connection:\r\n" VERSION KEY END, NULL),
    ROW("Connection: keep-alive", 400,
        GET HOST UPGRADE "Connection: keep-alive\r\n" VERSION KEY END, NULL),
    ROW("Connection: upgraded", 400, GET HOST UPGRADE "Connection: upgraded\r\n" VERSION KEY END,
        NULL),
    ROW("Connection: websocket", 400, GET HOST UPGRADE "Connection: websocket\r\n" VERSION KEY END,
        NULL),
    ROW("Connection by semicolons", 400,
        GET HOST UPGRADE "Connection: keep-alive; Upgrade\r\n" VERSION KEY END, NULL),

    /* [WS 4.2.1] 5: the key. */
    ROW("no key", 400, GET HOST UPGRADE CONN VERSION END, NULL),
    ROW("two keys", 400, GOOD KEY END, NULL),
    ROW("empty key", 400, GET HOST UPGRADE CONN VERSION "Sec-WebSocket-Key:\r\n" END, NULL),
    ROW("a key of 15 bytes", 400,
        GET HOST UPGRADE CONN VERSION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA\r\n" END, NULL),
    ROW("a key of 17 bytes", 400,
        GET HOST UPGRADE CONN VERSION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=\r\n" END, NULL),
    ROW("a key of 18 bytes", 400,
        GET HOST UPGRADE CONN VERSION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA\r\n" END, NULL),
    ROW("a key without padding", 400,
        GET HOST UPGRADE CONN VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n" END, NULL),
    ROW("a key with a space", 400,
        GET HOST UPGRADE CONN VERSION "Sec-WebSocket-Key: dGhlIHNh XBsZSBub25jZQ==\r\n" END, NULL),
    ROW("a key in base64url", 400,
        GET HOST UPGRADE CONN VERSION "Sec-WebSocket-Key: dGhlIHNh-XBsZSBub25jZQ==\r\n" END, NULL),
    ROW("a key with a brace", 400,
        GET HOST UPGRADE CONN VERSION "Sec-WebSocket-Key: dGhlIHNh{XBsZSBub25jZQ==\r\n" END, NULL),
    ROW("a key with + and /", 101,
        GET HOST UPGRADE CONN VERSION "Sec-WebSocket-Key: dGhlI+NhbXBsZ/Bub25jZQ==\r\n" END,
        SWITCHING),
    ROW("padding that does not end", 400,
        GET HOST UPGRADE CONN VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=A\r\n" END, NULL),
    ROW("padding in the middle", 400,
        GET HOST UPGRADE CONN VERSION "Sec-WebSocket-Key: dGhlIHNh=XBsZSBub25jZQ==\r\n" END, NULL),
    ROW("padding of three", 400,
        GET HOST UPGRADE CONN VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ===\r\n" END, NULL),

    /* [WS 4.2.1] 6: the version. */
    ROW("no version", 426, GET HOST UPGRADE CONN KEY END, "\r\nSec-WebSocket-Version: 13\r\n"),
    ROW("version 8", 426, GET HOST UPGRADE CONN KEY "Sec-WebSocket-Version: 8\r\n" END,
        "\r\nSec-WebSocket-Version: 13\r\n"),
    ROW("version 8 closes", 426, GET HOST UPGRADE CONN KEY "Sec-WebSocket-Version: 8\r\n" END,
        "\r\nConnection: close\r\n"),
    ROW("version 14", 426, GET HOST UPGRADE CONN KEY "Sec-WebSocket-Version: 14\r\n" END, NULL),
    ROW("version 013", 426, GET HOST UPGRADE CONN KEY "Sec-WebSocket-Version: 013\r\n" END, NULL),
    ROW("version 13.0", 426, GET HOST UPGRADE CONN KEY "Sec-WebSocket-Version: 13.0\r\n" END, NULL),
    ROW("a list of versions", 426, GET HOST UPGRADE CONN KEY "Sec-WebSocket-Version: 13, 8\r\n" END,
        NULL),
    ROW("empty version", 426, GET HOST UPGRADE CONN KEY "Sec-WebSocket-Version:\r\n" END, NULL),
    ROW("two versions", 400, GOOD VERSION END, NULL),

    /* A body. */
    ROW("Content-Length", 400, GOOD "Content-Length: 5\r\n" END "hello", NULL),
    ROW("Content-Length: 0", 400, GOOD "Content-Length: 0\r\n" END, NULL),
    ROW("chunked", 400, GOOD "Transfer-Encoding: chunked\r\n" END "0\r\n\r\n", NULL),
    ROW("CL and TE", 400, GOOD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" END, NULL),
    ROW("two CL", 400, GOOD "Content-Length: 5\r\nContent-Length: 6\r\n" END, NULL),

    /* [WS 4.1] 10, [P 1]: subprotocols. */
    ROW("unknown subprotocol", 400, GOOD PROTOCOL "chat\r\n" END, NULL),
    ROW("several unknown", 400, GOOD PROTOCOL "chat, superchat\r\n" END, NULL),
    ROW("binary", 101, GOOD PROTOCOL "seriatim.v1.binary\r\n" END, BINARY_ECHO),
    ROW("both, binary first", 101, GOOD PROTOCOL "seriatim.v1.binary, seriatim.v1.json\r\n" END,
        BINARY_ECHO),
    ROW("both, json first", 101, GOOD PROTOCOL "seriatim.v1.json, seriatim.v1.binary\r\n" END,
        JSON_ECHO),
    ROW("both on two lines behind another", 101,
        GOOD PROTOCOL "chat\r\n" PROTOCOL "seriatim.v1.binary,seriatim.v1.json\r\n" END,
        BINARY_ECHO),
    ROW("twice binary", 400, GOOD PROTOCOL "seriatim.v1.binary, seriatim.v1.binary\r\n" END, NULL),
    ROW("a name that begins as binary", 400, GOOD PROTOCOL "seriatim.v1.binar\r\n" END, NULL),
    ROW("json in other letters", 400, GOOD PROTOCOL "Seriatim.v1.JSON\r\n" END, NULL),
    ROW("a longer name", 400, GOOD PROTOCOL "seriatim.v1.json2\r\n" END, NULL),
    ROW("empty subprotocol", 400, GOOD PROTOCOL "\r\n" END, NULL),
    ROW("commas alone", 400, GOOD PROTOCOL ",,\r\n" END, NULL),
    ROW("twice the same", 400, GOOD PROTOCOL "seriatim.v1.json, seriatim.v1.json\r\n" END, NULL),
    ROW("twice the same on two lines", 400,
        GOOD PROTOCOL "seriatim.v1.json\r\n" PROTOCOL "seriatim.v1.json\r\n" END, NULL),
    ROW("a space in a name", 400, GOOD PROTOCOL "seriatim.v1.json x\r\n" END, NULL),
    ROW("a slash in a name", 400, GOOD PROTOCOL "seriatim.v1.json, a/b\r\n" END, NULL),
    ROW("more than 32", 400,
        GOOD PROTOCOL "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,0,1,2,3,4,5,"
                      "seriatim.v1.json\r\n" END,
        NULL),

    /* [WS 9.1]: extensions. */
    ROW("empty extensions", 400, GOOD EXTENSIONS "\r\n" END, NULL),
    ROW("an extension with a space", 400, GOOD EXTENSIONS "a b\r\n" END, NULL),
    ROW("a parameter without a name", 400, GOOD EXTENSIONS "a;=b\r\n" END, NULL),
    ROW("a parameter without a value", 400, GOOD EXTENSIONS "a;b=\r\n" END, NULL),
    ROW("an open quote", 400, GOOD EXTENSIONS "a;b=\"c\r\n" END, NULL),
    ROW("quotes around no token", 400, GOOD EXTENSIONS "a;b=\"c d\"\r\n" END, NULL),
    ROW("a semicolon at the end", 400, GOOD EXTENSIONS "a;\r\n" END, NULL),
    ROW("commas alone for extensions", 400, GOOD EXTENSIONS ",\r\n" END, NULL),
    ROW("a comma in quotes", 400, GOOD EXTENSIONS "a;b=\"c,d\"\r\n" END, NULL),
    ROW("an extension's name in quotes", 400, GOOD EXTENSIONS "\"a\"\r\n" END, NULL),
    ROW("an extension with a value", 400, GOOD EXTENSIONS "a=b\r\n" END, NULL),

    /* [WS 10.2]: the origin. */
    ROW("another origin", 403, GOOD ORIGIN "http://evil.example\r\n" END, "forbidden"),
    ROW("Origin: a longer host", 403, GOOD ORIGIN "http://good.example.evil\r\n" END, NULL),
    ROW("Origin: a host before it", 403, GOOD ORIGIN "http://evilgood.example\r\n" END, NULL),
    ROW("Origin: another port", 403, GOOD ORIGIN "http://good.example:8080\r\n" END, NULL),
    ROW("Origin: null", 403, GOOD ORIGIN "null\r\n" END, NULL),
    ROW("empty Origin", 403, GOOD ORIGIN "\r\n" END, NULL),
    ROW("Origin: the list's host by http", 403, GOOD ORIGIN "http://app.example\r\n" END, NULL),
    ROW("two Origins", 400, GOOD ORIGIN "http://good.example\r\n" ORIGIN "http://evil\r\n" END,
        NULL),

    /* HTTP itself. */
    ROW("obs-fold", 400, GET HOST UPGRADE "Connection: keep-alive,\r\n Upgrade\r\n" VERSION KEY END,
        NULL),
    ROW("space before a colon", 400, GET HOST UPGRADE "Connection : Upgrade\r\n" VERSION KEY END,
        NULL),
    ROW("bare LF", 400, GET "Host: good.example\n" UPGRADE CONN VERSION KEY END, NULL),
    ROW("bare CR", 400, GET "Host: good.example\r" UPGRADE CONN VERSION KEY END, NULL),
    ROW("NUL", 400, GET HOST UPGRADE CONN VERSION KEY "X: \0\r\n" END, NULL),
    ROW("a control byte", 400, GET HOST UPGRADE CONN VERSION KEY "X: \x1B[31m\r\n" END, NULL),
    ROW("101 fields", 431, GOOD TEN(TEN("X: y\r\n")) END, NULL),
    ROW("TLS to a plain port", 400, "\x16\x03\x01\x00\xA5\x01\x00\x00\xA1\x03\x03", NULL),
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))
_Static_assert(ROW_COUNT >= 80, "the table of the handshake has at least 80 rows");

static const struct bytes test_origins[] = {BYTES_LITERAL("https://app.example")};
static const struct ws_handshake_options test_options = {
    .path = "/v1/ws",
    .origins = test_origins,
    .origin_count = 1,
};

static bool response_has(const struct buf *response, const char *text)
{
    return memmem(response->data, response->size, text, strlen(text)) != NULL;
}

/* Feeds `request` in pieces: a first one of `cut` bytes, then of `step`. Returns the status. */
static unsigned run(struct bytes request, size_t cut, size_t step,
                    const struct ws_handshake_options *options, struct buf *response)
{
    struct http_parser *parser = NULL;
    struct http_event event = {.type = HTTP_EVENT_NONE};
    unsigned status = 0;
    assert_int_equal(http_parser_new(&parser), RC_OK);
    for (size_t at = 0; at < request.size && event.type == HTTP_EVENT_NONE;) {
        const size_t wanted = at < cut ? cut - at : step;
        const size_t left = request.size - at;
        const size_t size = wanted < left ? wanted : left;
        size_t used = 0;
        http_parser_feed(parser, bytes_of(request.data + at, size), &used, &event);
        assert_true(used == size || event.type != HTTP_EVENT_NONE);
        at += used;
    }
    buf_clear(response);
    if (event.type == HTTP_EVENT_HEAD) {
        enum wire_codec codec = (enum wire_codec)99;
        const char *why = NULL;
        const enum rc rc = ws_handshake(event.request, options, response, &codec, &why);
        assert_true(response->size > 12);
        status = (unsigned)((response->data[9] - '0') * 100 + (response->data[10] - '0') * 10 +
                            (response->data[11] - '0'));
        assert_int_equal(rc, status == 101 ? RC_OK : RC_PROTOCOL);
        assert_int_equal(codec, status != 101                         ? (enum wire_codec)99
                                : response_has(response, BINARY_ECHO) ? WIRE_BINARY
                                                                      : WIRE_JSON);
        assert_int_equal(why == NULL, status == 101);
    } else {
        assert_int_equal(event.type, HTTP_EVENT_ERROR);
        status = event.status;
    }
    http_parser_free(parser);
    return status;
}

static void every_row_of_the_table_gets_its_status_however_it_is_cut(void **state)
{
    (void)state;
    struct buf response = {0};
    struct buf first = {0};
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct row *row = &rows[i];
        const unsigned status = run(row->request, row->request.size, 1, &test_options, &first);
        if (status != row->status) {
            fail_msg("%s: expected %u, got %u", row->name, row->status, status);
        }
        if (row->has != NULL && !response_has(&first, row->has)) {
            fail_msg("%s: no %s in %.*s", row->name, row->has, (int)first.size,
                     (const char *)first.data);
        }
        for (size_t cut = 0; cut <= row->request.size; cut++) {
            /* Cut in two; and once (cut 0) byte by byte. */
            const size_t step = cut == 0 ? 1 : row->request.size;
            assert_int_equal(run(row->request, cut, step, &test_options, &response), status);
            assert_true(bytes_equal(buf_bytes(&response), buf_bytes(&first)));
        }
    }
    buf_deinit(&response);
    buf_deinit(&first);
}

static void every_refusal_closes_and_every_101_is_bare(void **state)
{
    (void)state;
    struct buf response = {0};
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct bytes request = rows[i].request;
        (void)run(request, request.size, 1, &test_options, &response);
        if (response.size == 0) {
            continue; /* the parser refused: the server answers with its status and closes */
        }
        const bool switching = rows[i].status == 101;
        assert_int_equal(response_has(&response, "\r\nConnection: close\r\n"), !switching);
        assert_int_equal(response_has(&response, "\r\nSec-WebSocket-Accept: "), switching);
        assert_int_equal(response_has(&response, "\r\nContent-Length: "), !switching);
        assert_int_equal(response_has(&response, "\r\nSec-WebSocket-Version: 13\r\n"),
                         rows[i].status == 426);
        assert_false(response_has(&response, "\r\nSec-WebSocket-Extensions:"));
        if (switching) {
            assert_memory_equal(response.data + response.size - 4, "\r\n\r\n", 4);
            const bool offered = rows[i].has != NULL && (strcmp(rows[i].has, JSON_ECHO) == 0 ||
                                                         strcmp(rows[i].has, BINARY_ECHO) == 0);
            assert_int_equal(response_has(&response, "\r\nSec-WebSocket-Protocol:"), offered);
        }
    }
    buf_deinit(&response);
}

static void the_whole_101_is_as_in_the_rfc(void **state)
{
    (void)state;
    struct buf response = {0};
    const struct bytes request = BYTES_LITERAL(GOOD PROTOCOL "seriatim.v1.json\r\n" END);
    assert_int_equal(run(request, request.size, 1, &test_options, &response), 101);
    static const char expected[] = SWITCHING UPGRADE CONN ACCEPT JSON_ECHO END;
    assert_int_equal(response.size, sizeof(expected) - 1);
    assert_memory_equal(response.data, expected, response.size);
    buf_deinit(&response);
}

static void an_echo_server_takes_any_subprotocol_and_names_none(void **state)
{
    (void)state;
    static const struct {
        struct bytes request;
        unsigned status;
    } cases[] = {
        {BYTES_LITERAL(GOOD END), 101},
        {BYTES_LITERAL(GOOD PROTOCOL "chat\r\n" END), 101},
        {BYTES_LITERAL(GOOD PROTOCOL "seriatim.v1.json\r\n" END), 101},
        {BYTES_LITERAL(GOOD PROTOCOL "a/b\r\n" END), 400},
    };
    struct ws_handshake_options options = test_options;
    options.any_protocol = true;
    struct buf response = {0};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct bytes request = cases[i].request;
        assert_int_equal(run(request, request.size, 1, &options, &response), cases[i].status);
        assert_false(response_has(&response, "\r\nSec-WebSocket-Protocol:"));
    }
    buf_deinit(&response);
}

/* The parser refuses such a request before; the handshake does not rely on it. */
static void permessage_deflate_is_agreed_on_where_it_is_wanted(void **state)
{
    (void)state;
    const struct ws_deflate_wish wish = {.window_bits = 10};
    struct ws_deflate agreed = {0};
    struct ws_handshake_options options = test_options;
    options.deflate = &wish;
    options.ret_deflate = &agreed;
    struct buf response = {0};
    /* Two fields are one list; what is wrong in the second is refused though the first would do. */
    const struct bytes good = BYTES_LITERAL(
        GOOD EXTENSIONS "x, permessage-deflate; y\r\n" EXTENSIONS
                        "permessage-deflate; client_max_window_bits, permessage-deflate\r\n" END);
    assert_int_equal(run(good, good.size, 1, &options, &response), 101);
    assert_true(response_has(&response, "\r\nSec-WebSocket-Extensions: permessage-deflate; "
                                        "server_max_window_bits=10; client_max_window_bits=10\r\n"
                                        "\r\n"));
    assert_true(agreed.agreed && agreed.server_bits == 10 && agreed.client_bits == 10);
    const struct bytes both =
        BYTES_LITERAL(GOOD EXTENSIONS "permessage-deflate\r\n" EXTENSIONS
                                      "permessage-deflate; server_no_context_takeover\r\n" END);
    assert_int_equal(run(both, both.size, 1, &options, &response), 101);
    assert_true(agreed.agreed && !agreed.server_no_context); /* the first that will do */
    const struct bytes bad = BYTES_LITERAL(GOOD EXTENSIONS "permessage-deflate\r\n" EXTENSIONS
                                                           "permessage-deflate;\r\n" END);
    assert_int_equal(run(bad, bad.size, 1, &options, &response), 400);
    const struct bytes none = BYTES_LITERAL(GOOD END);
    assert_int_equal(run(none, none.size, 1, &options, &response), 101);
    assert_false(response_has(&response, "Sec-WebSocket-Extensions:"));
    assert_false(agreed.agreed);
    options.ret_deflate = NULL;
    assert_int_equal(run(good, good.size, 1, &options, &response), 101);
    buf_deinit(&response);
}

static void a_transfer_coding_is_a_body_whatever_the_parser_made_of_it(void **state)
{
    (void)state;
    static const struct http_field fields[] = {
        {BYTES_LITERAL("host"), BYTES_LITERAL("good.example")},
        {BYTES_LITERAL("transfer-encoding"), BYTES_LITERAL("gzip")},
    };
    const struct http_request request = {
        .method = BYTES_LITERAL("GET"),
        .path = BYTES_LITERAL("/v1/ws"),
        .minor = 1,
        .fields = fields,
        .field_count = 2,
    };
    struct buf response = {0};
    enum wire_codec codec = WIRE_JSON;
    const char *why = NULL;
    assert_int_equal(ws_handshake(&request, &test_options, &response, &codec, &why), RC_PROTOCOL);
    assert_string_equal(why, "an upgrade request has no body");
    assert_true(response_has(&response, "HTTP/1.1 400 "));
    buf_deinit(&response);
}

static void every_failing_allocation_of_a_handshake_is_told(void **state)
{
    (void)state;
    const struct bytes requests[] = {BYTES_LITERAL(GOOD END), BYTES_LITERAL(GET HOST END)};
    for (size_t i = 0; i < 2; i++) {
        struct http_parser *parser = NULL;
        struct http_event event;
        size_t used = 0;
        assert_int_equal(http_parser_new(&parser), RC_OK);
        http_parser_feed(parser, requests[i], &used, &event);
        assert_int_equal(event.type, HTTP_EVENT_HEAD);
        struct buf response = {0};
        enum wire_codec codec = WIRE_JSON;
        const char *why = NULL;
        mem_fault_set(1, 0);
        assert_int_equal(ws_handshake(event.request, &test_options, &response, &codec, &why),
                         RC_NOMEM);
        mem_fault_set(0, 0);
        assert_int_equal(response.size, 0);
        assert_null(why);
        buf_deinit(&response);
        http_parser_free(parser);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_the_table_gets_its_status_however_it_is_cut),
        cmocka_unit_test(every_refusal_closes_and_every_101_is_bare),
        cmocka_unit_test(the_whole_101_is_as_in_the_rfc),
        cmocka_unit_test(an_echo_server_takes_any_subprotocol_and_names_none),
        cmocka_unit_test(permessage_deflate_is_agreed_on_where_it_is_wanted),
        cmocka_unit_test(a_transfer_coding_is_a_body_whatever_the_parser_made_of_it),
        cmocka_unit_test(every_failing_allocation_of_a_handshake_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
