/* Goal: requests as RFC 9112 has them, and each way of smuggling, overlong or broken ones refused
 * with its status; alike however the bytes are cut.
 * Method: rows of request bytes and the events they give, each fed whole, in two pieces at every
 * place, and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "http_transcript.h"

struct row {
    const char *name;
    struct bytes stream;
    const char *events;
};

#define ROW(name, stream, events)                                                                  \
    {                                                                                              \
        name, BYTES_LITERAL(stream), events                                                        \
    }

static struct http_parser *parser_open(void)
{
    struct http_parser *parser = NULL;
    assert_int_equal(http_parser_new(&parser), RC_OK);
    return parser;
}

/* Pieces of `step` bytes behind a first one of `cut`. */
static void check_cut(const char *name, struct bytes stream, size_t cut, size_t step,
                      const char *events)
{
    struct http_transcript got = {0};
    struct http_parser *parser = parser_open();
    bool more = http_transcript_piece(&got, parser, bytes_of(stream.data, cut));
    for (size_t at = cut; more && at < stream.size; at += step) {
        const size_t size = stream.size - at < step ? stream.size - at : step;
        more = http_transcript_piece(&got, parser, bytes_of(stream.data + at, size));
    }
    if (got.in_body) {
        http_transcript_put(&got, BYTES_LITERAL(")"));
    }
    if (!bytes_equal(buf_bytes(&got.text), bytes_of_text(events))) {
        fail_msg("%s (cut at %zu, then %zu): expected %s, got %.*s", name, cut, step, events,
                 (int)got.text.size, (const char *)got.text.data);
    }
    buf_deinit(&got.text);
    http_parser_free(parser);
}

static void run_row(const struct row *row)
{
    for (size_t cut = 0; cut <= row->stream.size; cut++) {
        check_cut(row->name, row->stream, cut, row->stream.size + 1, row->events);
    }
    check_cut(row->name, row->stream, 0, 1, row->events);
    check_cut(row->name, row->stream, 1, 3, row->events);
}

static void run_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        run_row(&rows[i]);
    }
}

#define RUN(rows) run_rows(rows, sizeof(rows) / sizeof((rows)[0]))
#define HOST      "Host: a\r\n"

static void requests_are_parsed(void **state)
{
    (void)state;
    static const struct row rows[] = {
        ROW("get", "GET / HTTP/1.1\r\n" HOST "\r\n", "H(GET /)."),
        ROW("query", "GET /a?b=c HTTP/1.1\r\n" HOST "\r\n", "H(GET /a?b=c)."),
        ROW("no white space behind the colon", "GET / HTTP/1.1\r\nHost:a\r\n\r\n", "H(GET /)."),
        ROW("much of it", "GET / HTTP/1.1\r\nHost: \t a \t\r\n\r\n", "H(GET /)."),
        ROW("an empty value", "GET / HTTP/1.1\r\n" HOST "X:\r\nY: \r\n\r\n", "H(GET /)."),
        ROW("latin-1 in a value", "GET / HTTP/1.1\r\n" HOST "X: \xE9\r\n\r\n", "H(GET /)."),
        ROW("an empty line before", "\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "H(GET /)."),
        ROW("two empty lines before", "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "H(GET /)."),
        ROW("1.0 without Host", "GET / HTTP/1.0\r\n\r\n", "H(GET /)."),
        ROW("head", "HEAD /x HTTP/1.1\r\n" HOST "\r\n", "H(HEAD /x)."),
        ROW("options of all", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "H(OPTIONS *)."),
        ROW("post with a length", "POST /p HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello",
            "H(POST /p)B(hello)."),
        ROW("length 0", "POST /p HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", "H(POST /p)."),
        ROW("a body to a get", "GET /p HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi",
            "H(GET /p)B(hi)."),
        ROW("pipelined", "GET /1 HTTP/1.1\r\n" HOST "\r\nGET /2 HTTP/1.1\r\n" HOST "\r\n",
            "H(GET /1).H(GET /2)."),
        ROW("pipelined behind bodies",
            "POST /1 HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nxPOST /2 HTTP/1.1\r\n" HOST
            "Transfer-Encoding: chunked\r\n\r\n1\r\ny\r\n0\r\n\r\nGET /3 HTTP/1.1\r\n" HOST "\r\n",
            "H(POST /1)B(x).H(POST /2)B(y).H(GET /3)."),
        ROW("an empty line behind a body",
            "POST /1 HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx\r\nGET /2 HTTP/1.1\r\n" HOST
            "\r\n",
            "H(POST /1)B(x).H(GET /2)."),
        ROW("a connection that upgrades to what we do not speak",
            "GET /1 HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
            "GET /2 HTTP/1.1\r\n" HOST "\r\n",
            "H(GET /1).H(GET /2)."),
        ROW("an upgrade with a body",
            "POST /1 HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n"
            "Content-Length: 2\r\n\r\nhiGET /2 HTTP/1.1\r\n" HOST "\r\n",
            "H(POST /1)B(hi).H(GET /2)."),
        ROW("absolute-form", "GET http://a/x?y HTTP/1.1\r\n" HOST "\r\n", "H(GET /x?y)."),
        ROW("absolute-form without a path", "GET http://a HTTP/1.1\r\n" HOST "\r\n", "H(GET /)."),
        ROW("absolute-form, default port", "GET http://A:80/ HTTP/1.1\r\n" HOST "\r\n",
            "H(GET /)."),
        ROW("absolute-form, https", "GET HTTPS://a:443/ HTTP/1.1\r\n" HOST "\r\n", "H(GET /)."),
        ROW("ipv6", "GET / HTTP/1.1\r\nHost: [::1]:8470\r\n\r\n", "H(GET /)."),
        ROW("unfinished", "GET / HTTP/1.1\r\n" HOST "\r", ""),
        ROW("unfinished body", "POST / HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nhello",
            "H(POST /)B(hello)"),
    };
    RUN(rows);
}

#define CHUNKED "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"

static void chunked_bodies_are_parsed(void **state)
{
    (void)state;
    static const struct row rows[] = {
        ROW("one chunk", CHUNKED "5\r\nhello\r\n0\r\n\r\n", "H(POST /)B(hello)."),
        ROW("two chunks", CHUNKED "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "H(POST /)B(hello)."),
        ROW("no chunk", CHUNKED "0\r\n\r\n", "H(POST /)."),
        ROW("many zeros", CHUNKED "0005\r\nhello\r\n000\r\n\r\n", "H(POST /)B(hello)."),
        ROW("hex", CHUNKED "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
            "H(POST /)B(01234567890123456789)."),
        ROW("extensions", CHUNKED "5;a;b=\"c;d\"\r\nhello\r\n0;x\r\n\r\n", "H(POST /)B(hello)."),
        ROW("trailers", CHUNKED "0\r\nA: b\r\nC: d\r\n\r\n", "H(POST /)."),
        ROW("coding in other letters",
            "POST / HTTP/1.1\r\n" HOST "transfer-encoding:CHUNKED\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "H(POST /)B(x)."),
        ROW("data that looks like an end", CHUNKED "5\r\n0\r\n\r\n\r\n0\r\n\r\n",
            "H(POST /)B(0\r\n\r\n)."),
        ROW("no size", CHUNKED "\r\nhello", "H(POST /)E400"),
        ROW("no hex", CHUNKED "g\r\n", "H(POST /)E400"),
        ROW("0x", CHUNKED "0x5\r\nhello\r\n", "H(POST /)E400"),
        ROW("a sign", CHUNKED "+5\r\nhello\r\n", "H(POST /)E400"),
        ROW("a minus", CHUNKED "-5\r\nhello\r\n", "H(POST /)E400"),
        ROW("white space before", CHUNKED " 5\r\nhello\r\n", "H(POST /)E400"),
        ROW("white space behind", CHUNKED "5 \r\nhello\r\n", "H(POST /)E400"),
        ROW("a size of 2^64", CHUNKED "10000000000000000\r\n", "H(POST /)E400"),
        ROW("a size of 2^68", CHUNKED "fffffffffffffffff\r\n", "H(POST /)E400"),
        ROW("LF behind the size", CHUNKED "5\nhello\r\n", "H(POST /)E400"),
        ROW("CR behind the size", CHUNKED "5\rhello\r\n", "H(POST /)E400"),
        ROW("LF behind the data", CHUNKED "5\r\nhello\n0\r\n\r\n", "H(POST /)B(hello)E400"),
        ROW("too much data", CHUNKED "5\r\nhello!\r\n", "H(POST /)B(hello)E400"),
        ROW("LF in an extension", CHUNKED "5;a\nb\r\n", "H(POST /)E400"),
        ROW("a folded trailer", CHUNKED "0\r\nA: b\r\n c\r\n\r\n", "H(POST /)E400"),
        ROW("a trailer without a colon", CHUNKED "0\r\nA\r\n\r\n", "H(POST /)E400"),
        ROW("LF behind a trailer", CHUNKED "0\r\nA: b\n\r\n", "H(POST /)E400"),
        ROW("LF at the end", CHUNKED "0\r\n\n", "H(POST /)E400"),
    };
    RUN(rows);
}

static void two_ways_to_tell_the_end_of_a_body_are_refused(void **state)
{
    (void)state;
    static const struct row rows[] = {
        ROW("CL and TE",
            "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "E400"),
        ROW("TE and CL",
            "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
            "E400"),
        ROW("TE and CL 0",
            "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
            "E400"),
        ROW("two CL that differ",
            "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", "E400"),
        ROW("two CL alike",
            "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", "E400"),
        ROW("a list of CL", "POST / HTTP/1.1\r\n" HOST "Content-Length: 3, 3\r\n\r\n", "E400"),
        ROW("empty CL", "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", "E400"),
        ROW("CL with a sign", "POST / HTTP/1.1\r\n" HOST "Content-Length: +3\r\n\r\n", "E400"),
        ROW("negative CL", "POST / HTTP/1.1\r\n" HOST "Content-Length: -3\r\n\r\n", "E400"),
        ROW("hex CL", "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x3\r\n\r\n", "E400"),
        ROW("CL in two words", "POST / HTTP/1.1\r\n" HOST "Content-Length: 3 3\r\n\r\n", "E400"),
        ROW("CL of 2^64", "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551616\r\n\r\n",
            "E400"),
        ROW("CL of 10^20",
            "POST / HTTP/1.1\r\n" HOST "Content-Length: 100000000000000000000\r\n\r\n", "E400"),
        ROW("two TE",
            "POST / HTTP/1.1\r\n" HOST
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "E400"),
        ROW("TE on two lines",
            "POST / HTTP/1.1\r\n" HOST
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
            "E400"),
        ROW("two TE, none of them chunked",
            "POST / HTTP/1.1\r\n" HOST
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: deflate\r\n\r\n",
            "E400"),
        ROW("CL and another TE",
            "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: gzip\r\n\r\n",
            "E400"),
        ROW("another TE and CL",
            "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\nContent-Length: 3\r\n\r\n",
            "E400"),
        ROW("a letter in CL", "POST / HTTP/1.1\r\n" HOST "Content-Length: 3a\r\n\r\n", "E400"),
        ROW("a slash in CL", "POST / HTTP/1.1\r\n" HOST "Content-Length: 3/\r\n\r\n", "E400"),
        ROW("Content-Length, and a Transfer-Encoding of nothing",
            "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding:\r\n\r\n", "E400"),
        ROW("chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "E400"),
        ROW("gzip, chunked", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n",
            "E501"),
        ROW("identity", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", "E501"),
        ROW("xchunked", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n", "E501"),
        ROW("white space in the name",
            "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n", "E400"),
    };
    RUN(rows);
}

static void malformed_heads_are_refused(void **state)
{
    (void)state;
    static const struct row rows[] = {
        ROW("obs-fold", "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n", "E400"),
        ROW("obs-fold by a tab", "GET / HTTP/1.1\r\n" HOST "X: a\r\n\tb\r\n\r\n", "E400"),
        ROW("a folded first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "E400"),
        ROW("space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "E400"),
        ROW("space in a name", "GET / HTTP/1.1\r\n" HOST "X Y: a\r\n\r\n", "E400"),
        ROW("no name", "GET / HTTP/1.1\r\n" HOST ": a\r\n\r\n", "E400"),
        ROW("no colon", "GET / HTTP/1.1\r\n" HOST "X\r\n\r\n", "E400"),
        ROW("bare LF", "GET / HTTP/1.1\n" HOST "\r\n", "E400"),
        ROW("bare LF behind a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", "E400"),
        ROW("bare LF at the end", "GET / HTTP/1.1\r\n" HOST "\n", "E400"),
        ROW("LF LF", "GET / HTTP/1.1\nHost: a\n\n", "E400"),
        ROW("bare CR in a value", "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", "E400"),
        ROW("bare CR behind the line", "GET / HTTP/1.1\rHost: a\r\n\r\n", "E400"),
        ROW("CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", "E400"),
        ROW("bare CR at the end", "GET / HTTP/1.1\r\n" HOST "\rx", "E400"),
        ROW("NUL in a value", "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", "E400"),
        ROW("NUL in a name", "GET / HTTP/1.1\r\n" HOST "X\0Y: b\r\n\r\n", "E400"),
        ROW("NUL in the target", "GET /\0 HTTP/1.1\r\n" HOST "\r\n", "E400"),
        ROW("a control byte in a value", "GET / HTTP/1.1\r\n" HOST "X: \x01\r\n\r\n", "E400"),
        ROW("DEL in a value", "GET / HTTP/1.1\r\n" HOST "X: \x7F\r\n\r\n", "E400"),
        ROW("latin-1 in a name", "GET / HTTP/1.1\r\n" HOST "\xE9: x\r\n\r\n", "E400"),
        ROW("two spaces before the target", "GET  / HTTP/1.1\r\n" HOST "\r\n", "E400"),
        ROW("two spaces behind the target", "GET /  HTTP/1.1\r\n" HOST "\r\n", "E400"),
        ROW("a tab", "GET\t/ HTTP/1.1\r\n" HOST "\r\n", "E400"),
        ROW("a space behind the version", "GET / HTTP/1.1 \r\n" HOST "\r\n", "E400"),
        ROW("a space before the method", " GET / HTTP/1.1\r\n" HOST "\r\n", "E400"),
        ROW("a fragment", "GET /a#b HTTP/1.1\r\n" HOST "\r\n", "E400"),
        ROW("bytes in the target", "GET /\xC3\xA9 HTTP/1.1\r\n" HOST "\r\n", "E400"),
        ROW("three empty lines before", "\r\n\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "E400"),
        ROW("TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03", "E400"),
        ROW("noise", "\x80\x81\x82", "E400"),
    };
    RUN(rows);
}

static void versions_and_methods_we_do_not_speak_are_told_so(void **state)
{
    (void)state;
    static const struct row rows[] = {
        ROW("HTTP/0.9", "GET /\r\n", "E400"),
        ROW("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "E505"),
        ROW("HTTP/2.0", "GET / HTTP/2.0\r\n" HOST "\r\n", "E505"),
        ROW("HTTP/1.2", "GET / HTTP/1.2\r\n" HOST "\r\n", "E505"),
        ROW("HTTP/0.9 by name", "GET / HTTP/0.9\r\n" HOST "\r\n", "E505"),
        ROW("HTTP/11.1", "GET / HTTP/11.1\r\n" HOST "\r\n", "E400"),
        ROW("HTTP/1.10", "GET / HTTP/1.10\r\n" HOST "\r\n", "E400"),
        ROW("HTTP/1", "GET / HTTP/1\r\n" HOST "\r\n", "E400"),
        ROW("http/1.1", "GET / http/1.1\r\n" HOST "\r\n", "E400"),
        ROW("HTTPS/1.1", "GET / HTTPS/1.1\r\n" HOST "\r\n", "E400"),
        ROW("ICE/1.0", "SOURCE / ICE/1.0\r\n" HOST "\r\n", "E400"),
        ROW("RTSP/1.0", "PLAY / RTSP/1.0\r\n" HOST "\r\n", "E400"),
        ROW("an unknown method", "BREW / HTTP/1.1\r\n" HOST "\r\n", "E501"),
        ROW("a method in small letters", "get / HTTP/1.1\r\n" HOST "\r\n", "E501"),
        ROW("a method of RTSP", "PLAY / HTTP/1.1\r\n" HOST "\r\n", "E501"),
        ROW("PRI", "PRI / HTTP/1.1\r\n" HOST "\r\n", "E400"),
        ROW("CONNECT", "CONNECT a:443 HTTP/1.1\r\n" HOST "\r\n", "E501"),
        ROW("no method", "G@T / HTTP/1.1\r\n" HOST "\r\n", "E400"),
        ROW("an endless method", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "E501"),
    };
    RUN(rows);
}

static void the_host_is_given_once_and_the_target_is_on_it(void **state)
{
    (void)state;
    static const struct row rows[] = {
        ROW("no Host", "GET / HTTP/1.1\r\n\r\n", "E400"),
        ROW("two Hosts", "GET / HTTP/1.1\r\n" HOST HOST "\r\n", "E400"),
        ROW("two Hosts in 1.0", "GET / HTTP/1.0\r\n" HOST HOST "\r\n", "E400"),
        ROW("empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "E400"),
        ROW("a list of Hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "E400"),
        ROW("Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "E400"),
        ROW("Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "E400"),
        ROW("Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "E400"),
        ROW("Host with a bad port", "GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", "E400"),
        ROW("Host with port 65536", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", "E400"),
        ROW("Host with half a bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "E400"),
        ROW("no path", "GET a HTTP/1.1\r\n" HOST "\r\n", "E400"),
        ROW("authority-form", "GET a:80 HTTP/1.1\r\n" HOST "\r\n", "E400"),
        ROW("all, but no OPTIONS", "GET * HTTP/1.1\r\n" HOST "\r\n", "E400"),
        ROW("another host", "GET http://b/ HTTP/1.1\r\n" HOST "\r\n", "E400"),
        ROW("a longer host", "GET http://a.b/ HTTP/1.1\r\n" HOST "\r\n", "E400"),
        ROW("another port", "GET http://a:81/ HTTP/1.1\r\n" HOST "\r\n", "E400"),
        ROW("a user", "GET http://u@a/ HTTP/1.1\r\n" HOST "\r\n", "E400"),
        ROW("no host in the target", "GET http:///x HTTP/1.1\r\n" HOST "\r\n", "E400"),
        ROW("another scheme", "GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n", "E400"),
    };
    RUN(rows);
}

/* ---- sizes --------------------------------------------------------------------------------- */

static void add(struct buf *to, const char *text)
{
    assert_int_equal(buf_append(to, bytes_of_text(text)), RC_OK);
}

static void check_sizes(const struct buf *stream, const char *name, const char *events)
{
    static const size_t steps[] = {1, 2, 7, 1000, 100000};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        check_cut(name, buf_bytes(stream), 0, steps[i], events);
    }
}

static void a_head_has_at_most_16_kib(void **state)
{
    (void)state;
    for (size_t over = 0; over < 2; over++) {
        struct buf stream = {0};
        add(&stream, "GET / HTTP/1.1\r\n" HOST "X: ");
        while (stream.size < HTTP_HEAD_BYTES_MAX - 4 + over) {
            add(&stream, "x");
        }
        add(&stream, "\r\n\r\n");
        check_sizes(&stream, "head", over == 0 ? "H(GET /)." : "E431");
        buf_deinit(&stream);
    }
}

static void a_target_that_fills_the_head_is_refused_with_414(void **state)
{
    (void)state;
    struct buf stream = {0};
    add(&stream, "GET /");
    while (stream.size < HTTP_HEAD_BYTES_MAX) {
        add(&stream, "x");
    }
    check_sizes(&stream, "target", "E414");
    buf_deinit(&stream);
}

static void a_head_has_at_most_100_fields(void **state)
{
    (void)state;
    for (size_t count = 99; count <= 101; count++) {
        struct buf stream = {0};
        add(&stream, "GET / HTTP/1.1\r\n" HOST);
        for (size_t i = 1; i < count; i++) {
            add(&stream, "X: y\r\n");
        }
        add(&stream, "\r\n");
        check_sizes(&stream, "fields", count <= HTTP_FIELDS_MAX ? "H(GET /)." : "E431");
        buf_deinit(&stream);
    }
}

static void a_chunk_has_at_most_512_bytes_around_it(void **state)
{
    (void)state;
    for (size_t over = 0; over < 2; over++) {
        struct buf stream = {0};
        add(&stream, CHUNKED "1;");
        const size_t start = stream.size - 2;
        while (stream.size - start < 510 + over) {
            add(&stream, "e");
        }
        add(&stream, "\r\nx\r\n0\r\n\r\n");
        check_sizes(&stream, "chunk", over == 0 ? "H(POST /)B(x)." : "H(POST /)E400");
        buf_deinit(&stream);
    }
}

static void endless_zeros_of_a_chunk_size_are_refused(void **state)
{
    (void)state;
    struct buf stream = {0};
    add(&stream, CHUNKED);
    for (size_t i = 0; i < 600; i++) {
        add(&stream, "0");
    }
    check_sizes(&stream, "zeros", "H(POST /)E400");
    buf_deinit(&stream);
}

static void a_trailer_has_the_limits_of_a_head(void **state)
{
    (void)state;
    struct buf stream = {0};
    add(&stream, CHUNKED "0\r\n");
    for (size_t i = 0; i < 101; i++) {
        add(&stream, "X: y\r\n");
    }
    check_sizes(&stream, "trailer fields", "H(POST /)E431");
    buf_clear(&stream);
    add(&stream, CHUNKED "0\r\nX: ");
    for (size_t i = 0; i < HTTP_HEAD_BYTES_MAX; i++) {
        add(&stream, "y");
    }
    check_sizes(&stream, "trailer bytes", "H(POST /)E431");
    buf_deinit(&stream);
}

/* ---- what a request says ------------------------------------------------------------------- */

/* Feeds a whole head and calls `check` on its request. */
static void with_request(const char *head, void (*check)(const struct http_request *request))
{
    struct http_parser *parser = parser_open();
    struct http_event event;
    size_t used = 0;
    http_parser_feed(parser, bytes_of_text(head), &used, &event);
    assert_int_equal(event.type, HTTP_EVENT_HEAD);
    check(event.request);
    http_parser_free(parser);
}

static void assert_text(struct bytes got, const char *expected)
{
    assert_int_equal(got.size, strlen(expected));
    assert_memory_equal(got.data, expected, got.size);
}

static void check_parts(const struct http_request *request)
{
    assert_text(request->method, "GET");
    assert_text(request->target, "/v1/x?a=b?c");
    assert_text(request->path, "/v1/x");
    assert_text(request->query, "a=b?c");
    assert_int_equal(request->minor, 1);
    assert_int_equal(request->field_count, 4);
    assert_text(request->fields[1].name, "X-One");
    assert_text(request->fields[1].value, "1  1");
    assert_text(http_field_find(request, "x-one"), "1  1");
    assert_text(http_field_find(request, "EMPTY"), "");
    assert_int_equal(http_field_count(request, "empty"), 1);
    assert_null(http_field_find(request, "none").data);
    assert_int_equal(http_field_count(request, "none"), 0);
    assert_true(request->keep_alive);
    assert_false(request->upgrade || request->has_body || request->chunked);
}

static void check_closes(const struct http_request *request)
{
    assert_false(request->keep_alive);
    assert_false(request->upgrade);
}

static void check_stays(const struct http_request *request)
{
    assert_true(request->keep_alive);
    assert_false(request->upgrade);
}

static void check_upgrade(const struct http_request *request)
{
    assert_true(request->upgrade);
}

static void check_double(const struct http_request *request)
{
    assert_int_equal(http_field_count(request, "x"), 2);
    assert_null(http_field_find(request, "x").data);
}

static void check_length(const struct http_request *request)
{
    assert_true(request->has_body);
    assert_false(request->chunked);
    assert_true(request->content_length == UINT64_MAX);
}

static void check_chunked(const struct http_request *request)
{
    assert_true(request->has_body);
    assert_true(request->chunked);
    assert_int_equal(request->content_length, 0);
}

static void check_query_only(const struct http_request *request)
{
    assert_true(bytes_equal(request->target, BYTES_LITERAL("?x=/y")));
    assert_true(bytes_equal(request->path, BYTES_LITERAL("/")));
    assert_true(bytes_equal(request->query, BYTES_LITERAL("x=/y")));
}

static void check_no_host(const struct http_request *request)
{
    assert_true(bytes_equal(request->target, BYTES_LITERAL("/b")));
    assert_int_equal(request->minor, 0);
    assert_int_equal(http_field_count(request, "host"), 0);
}

static void a_request_has_its_parts(void **state)
{
    (void)state;
    with_request("GET /v1/x?a=b?c HTTP/1.1\r\n" HOST "X-One:\t1  1 \r\nEmpty:\r\nLast: z\r\n\r\n",
                 check_parts);
    with_request("GET / HTTP/1.1\r\n" HOST "x: 1\r\nX: 2\r\n\r\n", check_double);
    with_request("POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551615\r\n\r\n",
                 check_length);
    /* [HTTP 3.2.2] absolute-form: with nothing before its query; and where no Host can differ */
    with_request("GET http://a?x=/y HTTP/1.1\r\n" HOST "\r\n", check_query_only);
    with_request("GET http://a/b HTTP/1.0\r\n\r\n", check_no_host);
    with_request("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", check_chunked);
}

static void whether_a_connection_stays_follows_version_and_field(void **state)
{
    (void)state;
    with_request("GET / HTTP/1.0\r\n\r\n", check_closes);
    with_request("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", check_stays);
    with_request("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", check_closes);
    with_request("GET / HTTP/1.1\r\n" HOST "Connection: x, Close\r\n\r\n", check_closes);
    with_request("GET / HTTP/1.1\r\n" HOST "Connection: x\r\nConnection: close\r\n\r\n",
                 check_closes);
    with_request("GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n", check_stays);
    with_request("GET / HTTP/1.1\r\n" HOST "Upgrade: h2c, WebSocket\r\n\r\n", check_upgrade);
    with_request("GET / HTTP/1.1\r\n" HOST "Upgrade: h2c\r\n\r\n", check_stays);
    with_request("GET / HTTP/1.1\r\n" HOST "Upgrade: websockets\r\n\r\n", check_stays);
    with_request("GET / HTTP/1.0\r\n" HOST "Upgrade: websocket\r\n\r\n", check_closes);
}

static void bytes_behind_a_head_are_left_to_the_caller(void **state)
{
    (void)state;
    static const char head[] = "GET / HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n\r\n";
    static const char all[] = "GET / HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n\r\n\x81\x80";
    for (size_t cut = 0; cut < sizeof(head) - 1; cut++) {
        struct http_parser *parser = parser_open();
        struct http_event event;
        size_t used = 0;
        http_parser_feed(parser, bytes_of(all, cut), &used, &event);
        assert_int_equal(event.type, HTTP_EVENT_NONE);
        assert_int_equal(used, cut);
        assert_int_equal(http_parser_busy(parser), cut > 0);
        http_parser_feed(parser, bytes_of(all + cut, sizeof(all) - 1 - cut), &used, &event);
        assert_int_equal(event.type, HTTP_EVENT_HEAD);
        assert_int_equal(cut + used, sizeof(head) - 1);
        http_parser_free(parser);
    }
}

static void a_parser_is_busy_from_the_first_byte_to_the_end(void **state)
{
    (void)state;
    static const char stream[] = CHUNKED "1\r\nx\r\n0\r\n\r\n";
    struct http_parser *parser = parser_open();
    struct http_transcript got = {0};
    assert_false(http_parser_busy(parser));
    (void)http_transcript_piece(&got, parser, BYTES_LITERAL("\r\n"));
    assert_false(http_parser_busy(parser));
    for (size_t i = 0; i + 1 < sizeof(stream); i++) {
        assert_true(http_transcript_piece(&got, parser, bytes_of(stream + i, 1)));
        assert_int_equal(http_parser_busy(parser), i + 2 < sizeof(stream));
    }
    (void)http_transcript_piece(&got, parser, BYTES_LITERAL("?"));
    assert_false(http_parser_busy(parser));
    buf_deinit(&got.text);
    http_parser_free(parser);
}

static void an_error_stays(void **state)
{
    (void)state;
    struct http_parser *parser = parser_open();
    struct http_event event;
    for (size_t i = 0; i < 3; i++) {
        size_t used = 0;
        http_parser_feed(parser, BYTES_LITERAL("?GET / HTTP/1.1\r\n"), &used, &event);
        assert_int_equal(event.type, HTTP_EVENT_ERROR);
        assert_int_equal(event.status, 400);
        assert_non_null(event.text);
        assert_int_equal(used, 17);
    }
    http_parser_free(parser);
    http_parser_free(NULL);
}

static void every_failing_allocation_is_answered_with_503(void **state)
{
    (void)state;
    static const char head[] = "GET / HTTP/1.1\r\n" HOST "X: a longer value, so that the head"
                               " grows a second time beyond its first block\r\n\r\n";
    uint64_t failed = 0;
    for (uint64_t k = 1;; k++) {
        struct http_parser *parser = NULL;
        mem_fault_set(k, 0);
        const enum rc rc = http_parser_new(&parser);
        if (rc == RC_OK) {
            struct http_event event = {.type = HTTP_EVENT_NONE};
            for (size_t i = 0; i + 1 < sizeof(head) && event.type == HTTP_EVENT_NONE; i++) {
                size_t used = 0;
                http_parser_feed(parser, bytes_of(head + i, 1), &used, &event);
            }
            const bool none_failed = mem_fault_count() < k;
            mem_fault_set(0, 0);
            assert_int_equal(event.type, none_failed ? HTTP_EVENT_HEAD : HTTP_EVENT_ERROR);
            assert_int_equal(event.status, none_failed ? 0 : 503);
            http_parser_free(parser);
            if (none_failed) {
                break;
            }
        } else {
            assert_int_equal(rc, RC_NOMEM);
        }
        failed++;
    }
    mem_fault_set(0, 0);
    assert_true(failed >= 4); /* the parser, the head twice, the fields */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_parsed),
        cmocka_unit_test(chunked_bodies_are_parsed),
        cmocka_unit_test(two_ways_to_tell_the_end_of_a_body_are_refused),
        cmocka_unit_test(malformed_heads_are_refused),
        cmocka_unit_test(versions_and_methods_we_do_not_speak_are_told_so),
        cmocka_unit_test(the_host_is_given_once_and_the_target_is_on_it),
        cmocka_unit_test(a_head_has_at_most_16_kib),
        cmocka_unit_test(a_target_that_fills_the_head_is_refused_with_414),
        cmocka_unit_test(a_head_has_at_most_100_fields),
        cmocka_unit_test(a_chunk_has_at_most_512_bytes_around_it),
        cmocka_unit_test(endless_zeros_of_a_chunk_size_are_refused),
        cmocka_unit_test(a_trailer_has_the_limits_of_a_head),
        cmocka_unit_test(a_request_has_its_parts),
        cmocka_unit_test(whether_a_connection_stays_follows_version_and_field),
        cmocka_unit_test(bytes_behind_a_head_are_left_to_the_caller),
        cmocka_unit_test(a_parser_is_busy_from_the_first_byte_to_the_end),
        cmocka_unit_test(an_error_stays),
        cmocka_unit_test(every_failing_allocation_is_answered_with_503),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
