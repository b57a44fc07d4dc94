/* Goal: offers are agreed on as RFC 7692 allows, and declined else; compressed frames go out and
 * come in as it says, in any pieces, and nothing but them may have RSV1.
 * Method: a table of offers; streams in hex from the RFC and by our own deflater, cut at every
 * byte; what one end sends, the other end reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/prng.h"
#include "wire/http.h"
#include "wire/ws_extension.h"
#include "ws_transcript.h"

/* ---- offers ---------------------------------------------------------------------------------- */

#define PMD  "permessage-deflate"
#define SNC  "; server_no_context_takeover"
#define CNC  "; client_no_context_takeover"
#define SMWB "; server_max_window_bits"
#define CMWB "; client_max_window_bits"

static const struct ws_deflate_wish wish_any = {.window_bits = 15};
static const struct ws_deflate_wish wish_small = {.window_bits = 9};
static const struct ws_deflate_wish wish_shared = {
    .window_bits = 12, .no_context = true, .fixed = true};

struct row {
    const char *offer;
    const struct ws_deflate_wish *wish;
    const char *answer; /* "": declined */
};

static const struct row offers[] = {
    {PMD, &wish_any, PMD},
    {PMD SNC, &wish_any, PMD SNC},
    {PMD CNC, &wish_any, PMD CNC},
    {PMD SMWB "=15", &wish_any, PMD SMWB "=15"},
    {PMD SMWB "=8", &wish_any, PMD SMWB "=8"},
    {PMD SMWB "=\"10\"", &wish_any, PMD SMWB "=10"},
    {PMD CMWB, &wish_any, PMD},
    {PMD CMWB "=8", &wish_any, PMD CMWB "=8"},
    {PMD CMWB "=15" SMWB "=9" SNC CNC, &wish_any, PMD SNC CNC SMWB "=9"},
    {PMD ";server_no_context_takeover ;  client_max_window_bits = 10", &wish_any,
     PMD SNC CMWB "=10"},

    /* Small windows: who has not said that it can do with one keeps no context. */
    {PMD, &wish_small, PMD CNC SMWB "=9"},
    {PMD CMWB, &wish_small, PMD SMWB "=9" CMWB "=9"},
    {PMD CMWB "=12", &wish_small, PMD SMWB "=9" CMWB "=9"},
    {PMD CMWB "=8" SMWB "=8", &wish_small, PMD SMWB "=8" CMWB "=8"},
    {PMD CMWB "=9" CNC, &wish_small, PMD CNC SMWB "=9"},
    {PMD SMWB "=15", &wish_small, PMD CNC SMWB "=9"},

    /* What goes to others as well is not made again for one. */
    {PMD, &wish_shared, PMD SNC CNC SMWB "=12"},
    {PMD CMWB, &wish_shared, PMD SNC CNC SMWB "=12"},
    {PMD SMWB "=12", &wish_shared, PMD SNC CNC SMWB "=12"},
    {PMD SMWB "=11", &wish_shared, ""},
    {PMD SMWB "=11, " PMD, &wish_shared, PMD SNC CNC SMWB "=12"},

    /* [DEFLATE 7.1] declined: values. */
    {PMD SMWB, &wish_any, ""},
    {PMD SMWB "=7", &wish_any, ""},
    {PMD SMWB "=16", &wish_any, ""},
    {PMD SMWB "=0", &wish_any, ""},
    {PMD SMWB "=08", &wish_any, ""},
    {PMD SMWB "=010", &wish_any, ""},
    {PMD SMWB "=1", &wish_any, ""},
    {PMD SMWB "=20", &wish_any, ""},
    {PMD SMWB "=100", &wish_any, ""},
    {PMD SMWB "=-9", &wish_any, ""},
    {PMD SMWB "=+9", &wish_any, ""},
    {PMD SMWB "=9.0", &wish_any, ""},
    {PMD SMWB "=9a", &wish_any, ""},
    {PMD SMWB "=1a", &wish_any, ""},
    {PMD SMWB "=1-", &wish_any, ""},
    {PMD SMWB "=a", &wish_any, ""},
    {PMD SMWB "=-", &wish_any, ""},
    {PMD SMWB "=0x9", &wish_any, ""},
    {PMD SMWB "=4294967305", &wish_any, ""},
    {PMD SMWB "=18446744073709551625", &wish_any, ""},
    {PMD CMWB "=7", &wish_any, ""},
    {PMD CMWB "=16", &wish_any, ""},
    {PMD CMWB "=09", &wish_any, ""},
    {PMD CMWB "=true", &wish_any, ""},
    {PMD SNC "=true", &wish_any, ""},
    {PMD SNC "=1", &wish_any, ""},
    {PMD CNC "=\"x\"", &wish_any, ""},
    /* Twice, and unknown. */
    {PMD SNC SNC, &wish_any, ""},
    {PMD CNC CNC, &wish_any, ""},
    {PMD SMWB "=9" SMWB "=9", &wish_any, ""},
    {PMD CMWB CMWB, &wish_any, ""},
    {PMD CMWB "=9" CMWB, &wish_any, ""},
    {PMD "; x", &wish_any, ""},
    {PMD "; server_no_context_takeove", &wish_any, ""},
    {PMD "; Server_no_context_takeover", &wish_any, ""},
    /* Other extensions. */
    {"permessage-deflat", &wish_any, ""},
    {"x-webkit-deflate-frame", &wish_any, ""},
    {"permessage-bzip2, " PMD, &wish_any, PMD},

    /* The first that will do. */
    {PMD "; x, " PMD SNC ", " PMD, &wish_any, PMD SNC},
    {PMD SMWB "=16, " PMD SMWB "=10, " PMD, &wish_any, PMD SMWB "=10"},
    {PMD ", " PMD SNC, &wish_any, PMD},
    {"," PMD ",,", &wish_any, PMD},
};

static void answer_of(struct bytes offer, const struct ws_deflate_wish *wish,
                      char answer[static WS_DEFLATE_ANSWER_SIZE])
{
    struct ws_deflate deflate = {0};
    assert_true(ws_extensions_valid(offer));
    const bool chosen = ws_deflate_choose(offer, wish, &deflate);
    assert_int_equal(chosen, deflate.agreed);
    ws_deflate_answer(&deflate, answer);
}

static void every_offer_of_the_table_gets_its_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
        char answer[WS_DEFLATE_ANSWER_SIZE];
        char expected[WS_DEFLATE_ANSWER_SIZE] = "";
        answer_of(bytes_of_text(offers[i].offer), offers[i].wish, answer);
        if (offers[i].answer[0] != '\0') {
            (void)snprintf(expected, sizeof(expected), "Sec-WebSocket-Extensions: %s\r\n",
                           offers[i].answer);
        }
        if (strcmp(answer, expected) != 0) {
            fail_msg("%s: %s", offers[i].offer, answer);
        }
    }
}

/* [DEFLATE 7.1] for every combination: nothing wider than asked, nothing unasked that may not be.
 */
static void every_combination_is_agreed_within_what_was_offered(void **state)
{
    (void)state;
    for (unsigned bits = 8; bits <= 15; bits++) {
        for (unsigned mask = 0; mask < 16; mask++) {
            for (unsigned offered = 8; offered <= 15; offered++) {
                char offer[200];
                char server[40];
                char client[40];
                (void)snprintf(server, sizeof(server), SMWB "=%u", offered);
                (void)snprintf(client, sizeof(client), CMWB "=%u", 23 - offered);
                (void)snprintf(offer, sizeof(offer), PMD "%s%s%s%s", mask & 1 ? SNC : "",
                               mask & 2 ? CNC : "", mask & 4 ? server : "", mask & 8 ? client : "");
                const struct ws_deflate_wish wish = {.window_bits = (uint8_t)bits};
                struct ws_deflate got = {0};
                assert_true(ws_deflate_choose(bytes_of_text(offer), &wish, &got));
                assert_int_equal(got.server_no_context, (mask & 1) != 0);
                assert_true(got.client_no_context || (mask & 2) == 0);
                assert_true(got.server_bits <= bits);
                assert_true(got.server_bits <= offered || (mask & 4) == 0);
                assert_true(got.tell_server_bits || (mask & 4) == 0);
                assert_true(got.client_no_context || got.client_bits <= bits);
                assert_true(got.client_bits <= 23 - offered || (mask & 8) == 0);
                assert_true(!got.tell_client_bits || (mask & 8) != 0);
            }
        }
    }
}

/* The handshake has refused it before; choosing does not rely on that. */
static void what_is_no_list_of_offers_is_declined(void **state)
{
    (void)state;
    static const char *const lists[] = {
        "; server_no_context_takeover", "=", "\"" PMD "\"", PMD " " PMD, PMD ";", PMD ";=9"};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct ws_deflate got = {0};
        assert_false(ws_extensions_valid(bytes_of_text(lists[i])));
        assert_false(ws_deflate_choose(bytes_of_text(lists[i]), &wish_any, &got));
        assert_false(got.agreed);
    }
}

/* CVE-2021-32640 and its kin: 16 KiB of one field, at once. */
static void a_long_list_of_offers_takes_no_time(void **state)
{
    (void)state;
    struct buf list = {0};
    char answer[WS_DEFLATE_ANSWER_SIZE];
    while (list.size < HTTP_HEAD_BYTES_MAX * 64) {
        assert_int_equal(buf_append(&list, BYTES_LITERAL(PMD SMWB "=16" SNC CNC SNC ", ")), RC_OK);
    }
    answer_of(buf_bytes(&list), &wish_any, answer);
    assert_string_equal(answer, "");
    buf_clear(&list);
    assert_int_equal(buf_append(&list, BYTES_LITERAL(PMD)), RC_OK);
    while (list.size < HTTP_HEAD_BYTES_MAX * 64) {
        assert_int_equal(buf_append(&list, BYTES_LITERAL(" ; a   =   \"b\"")), RC_OK);
    }
    answer_of(buf_bytes(&list), &wish_any, answer);
    assert_string_equal(answer, "");
    buf_deinit(&list);
}

/* ---- frames in ------------------------------------------------------------------------------- */

#define HELLO "\xf2\x48\xcd\xc9\xc9\x07\x00"

/* An unmasked frame. */
static void frame_put(struct buf *to, uint8_t first, struct bytes payload)
{
    uint8_t head[WS_HEADER_SIZE_MAX];
    const size_t size = ws_header_encode(head, WS_BINARY, payload.size, NULL);
    head[0] = first;
    assert_int_equal(buf_append(to, bytes_of(head, size)), RC_OK);
    assert_int_equal(buf_append(to, payload), RC_OK);
}

static void run(struct buf *to, struct bytes stream, size_t cut, bool agreed, size_t limit)
{
    const struct ws_limits limits = {.message_bytes = limit};
    struct inflater *inflater = NULL;
    struct ws_decoder decoder;
    ws_decoder_init(&decoder, WS_CLIENT);
    assert_int_equal(inflater_new(15, true, &inflater), RC_OK);
    if (agreed) {
        ws_decoder_inflate(&decoder, inflater);
    }
    buf_clear(to);
    (void)transcript_piece(to, &decoder, &limits, bytes_of(stream.data, cut));
    (void)transcript_piece(to, &decoder, &limits, bytes_of(stream.data + cut, stream.size - cut));
    ws_decoder_deinit(&decoder);
    inflater_free(inflater);
}

static void assert_stream(const char *name, const struct buf *stream, size_t limit,
                          const char *expected)
{
    struct buf got = {0};
    for (size_t cut = 0; cut <= stream->size; cut++) {
        run(&got, buf_bytes(stream), cut, true, limit);
        if (!bytes_equal(buf_bytes(&got), bytes_of_text(expected))) {
            fail_msg("%s, cut at %zu: %.*s", name, cut, (int)got.size, (const char *)got.data);
        }
    }
    buf_deinit(&got);
}

struct frame {
    uint8_t first;
    struct bytes payload;
};

struct stream {
    const char *name;
    const char *expected;
    size_t limit;
    struct frame frames[8];
};

#define F(first, payload)                                                                          \
    {                                                                                              \
        first, BYTES_LITERAL(payload)                                                              \
    }

static const struct stream streams[] = {
    {"7.2.3.1 and 7.2.3.2",
     "T(Hello)T(Hello)",
     5,
     {F(0xC1, HELLO), F(0xC1, "\xf2\x00\x11\x00\x00")}},
    {"7.2.3.1 in two frames",
     "T(Hello)",
     5,
     {F(0x41, "\xf2\x48\xcd"), F(0x80, "\xc9\xc9\x07\x00")}},
    {"binary", "B(Hello)", 5, {F(0xC2, HELLO)}},
    {"frames in between",
     "P(x)T(Hello)T(plain)B(Hello)",
     5,
     {F(0x41, "\xf2"), F(0x89, "x"), F(0x00, ""), F(0x80, "\x48\xcd\xc9\xc9\x07\x00"),
      F(0x81, "plain"), F(0xC2, "\xf2\x00\x11\x00\x00")}},
    {"an empty first fragment", "T(Hello)", 5, {F(0x41, ""), F(0x80, HELLO)}},
    {"an empty message", "T()B()T(x)", 5, {F(0xC1, "\x00"), F(0xC2, "\x02\x00"), F(0x81, "x")}},
    {"exactly the limit", "T(Hello)", 5, {F(0xC1, HELLO)}},
    {"over the limit", "E1009", 4, {F(0xC1, HELLO)}},
    {"over the limit with two",
     "T(Hello)E1009",
     5,
     {F(0xC1, HELLO), F(0xC1, HELLO "\x00\x00\xff\xff\xf2\x00\x11\x00\x00")}},
    {"broken", "E1002", 5, {F(0xC1, "\xff\xff")}},
    {"cut short", "E1002", 5, {F(0xC1, "\xf2\x48\xcd\xc9")}},
    {"no byte", "E1002", 5, {F(0xC1, "")}},
    {"not UTF-8", "E1007", 9, {F(0xC1, "\x00\x02\x00\xfd\xff\xc3\x28\x00")}},
    {"UTF-8 that ends in a character", "E1007", 9, {F(0xC1, "\x00\x01\x00\xfe\xff\xc3\x00")}},
    {"binary that is not UTF-8", "B(\xc3)", 9, {F(0xC2, "\x00\x01\x00\xfe\xff\xc3\x00")}},
    /* [DEFLATE 6] where RSV1 may not be; the other two never. */
    {"RSV1 on a continuation", "E1002", 9, {F(0x41, "\xf2\x48\xcd"), F(0xC0, "\xc9\xc9\x07\x00")}},
    {"RSV1 on a continuation of a plain message", "E1002", 9, {F(0x01, "a"), F(0xC0, "b")}},
    {"RSV1 on a ping", "E1002", 9, {F(0xC9, "")}},
    {"RSV1 on a pong", "E1002", 9, {F(0xCA, "")}},
    {"RSV1 on a close", "E1002", 9, {F(0xC8, "\x03\xe8")}},
    {"RSV2", "E1002", 9, {F(0xA1, "a")}},
    {"RSV3", "E1002", 9, {F(0x91, "a")}},
    {"RSV1 and RSV2", "E1002", 9, {F(0xE1, HELLO)}},
    {"RSV1 on an unknown opcode", "E1002", 9, {F(0xC3, HELLO)}},
};

static void stream_make(const struct stream *stream, struct buf *to)
{
    buf_clear(to);
    for (size_t i = 0; i < 8 && stream->frames[i].payload.data != NULL; i++) {
        frame_put(to, stream->frames[i].first, stream->frames[i].payload);
    }
}

static void compressed_frames_are_taken_however_they_are_cut(void **state)
{
    (void)state;
    struct buf bytes = {0};
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        stream_make(&streams[i], &bytes);
        assert_stream(streams[i].name, &bytes, streams[i].limit, streams[i].expected);
    }
    buf_deinit(&bytes);
}

static void nothing_is_inflated_that_was_not_agreed_on(void **state)
{
    (void)state;
    struct buf bytes = {0};
    struct buf got = {0};
    frame_put(&bytes, 0xC1, BYTES_LITERAL(HELLO));
    run(&got, buf_bytes(&bytes), bytes.size, false, 100);
    assert_true(bytes_equal(buf_bytes(&got), BYTES_LITERAL("E1002")));
    buf_deinit(&bytes);
    buf_deinit(&got);
}

/* What is on the wire may be a little more than the limit, since noise grows; not much more. */
static void fed(struct ws_decoder *decoder, const struct buf *frame, struct ws_event *ret_event)
{
    const struct ws_limits limits = {.message_bytes = 100};
    struct buf copy = {0};
    size_t used = 0;
    assert_int_equal(buf_append(&copy, buf_bytes(frame)), RC_OK);
    ws_decoder_feed(decoder, &limits, copy.data, copy.size, &used, ret_event);
    assert_int_equal(used, frame->size);
    buf_deinit(&copy);
}

/* A server has one decoder for whoever is between messages. */
static void one_decoder_serves_peers_that_have_agreed_and_others(void **state)
{
    (void)state;
    struct inflater *inflater = NULL;
    struct ws_decoder decoder;
    struct ws_event event;
    struct buf deflated = {0};
    struct buf plain = {0};
    frame_put(&deflated, 0xC1, BYTES_LITERAL(HELLO));
    frame_put(&plain, 0x81, BYTES_LITERAL("plain"));
    assert_int_equal(inflater_new(15, false, &inflater), RC_OK);
    ws_decoder_init(&decoder, WS_CLIENT);
    for (unsigned round = 0; round < 3; round++) {
        ws_decoder_inflate(&decoder, inflater);
        fed(&decoder, &deflated, &event);
        assert_int_equal(event.type, WS_EVENT_MESSAGE);
        assert_true(bytes_equal(event.payload, BYTES_LITERAL("Hello")));
        ws_decoder_inflate(&decoder, NULL);
        fed(&decoder, &plain, &event);
        assert_int_equal(event.type, WS_EVENT_MESSAGE);
    }
    fed(&decoder, &deflated, &event);
    assert_int_equal(event.type, WS_EVENT_ERROR);
    assert_int_equal(event.code, WS_CLOSE_PROTOCOL);
    ws_decoder_deinit(&decoder);
    inflater_free(inflater);
    buf_deinit(&deflated);
    buf_deinit(&plain);
}

static void the_declared_length_is_bounded_too(void **state)
{
    (void)state;
    const struct ws_limits limits = {.message_bytes = 1000};
    const size_t max = deflate_size_max(1000);
    struct inflater *inflater = NULL;
    assert_int_equal(inflater_new(15, false, &inflater), RC_OK);
    for (size_t size = max - 1; size <= max + 1; size++) {
        struct ws_decoder decoder;
        struct ws_event event;
        size_t used = 0;
        uint8_t head[] = {0xC1, 126, (uint8_t)(size >> 8), (uint8_t)size};
        ws_decoder_init(&decoder, WS_CLIENT);
        ws_decoder_inflate(&decoder, inflater);
        ws_decoder_feed(&decoder, &limits, head, sizeof(head), &used, &event);
        assert_int_equal(event.type, size > max ? WS_EVENT_ERROR : WS_EVENT_NONE);
        assert_true(size <= max || event.code == WS_CLOSE_TOO_LARGE);
        ws_decoder_deinit(&decoder);
    }
    inflater_free(inflater);
}

static void a_bomb_in_a_frame_is_closed_with_1009(void **state)
{
    (void)state;
    struct deflater *deflater = NULL;
    struct buf zeros = {0};
    struct buf frame = {0};
    struct buf got = {0};
    const size_t size = 16u * MIB;
    assert_int_equal(buf_reserve(&zeros, size), RC_OK);
    bytes_zero(zeros.data, size);
    zeros.size = size;
    assert_int_equal(deflater_new(&(struct deflater_options){15, 8, false, 1}, &deflater), RC_OK);
    assert_int_equal(ws_message_append(&frame, deflater, WS_TEXT, buf_bytes(&zeros)), RC_OK);
    assert_true(frame.size * 900 < size);
    run(&got, buf_bytes(&frame), frame.size, true, FRAME_BYTES_BEFORE_CONNECT);
    assert_true(bytes_equal(buf_bytes(&got), BYTES_LITERAL("E1009")));
    deflater_free(deflater);
    buf_deinit(&zeros);
    buf_deinit(&frame);
    buf_deinit(&got);
}

/* ---- frames out ------------------------------------------------------------------------------ */

static void small_and_stubborn_messages_go_out_plain(void **state)
{
    (void)state;
    struct buf out = {0};
    struct deflater *with = NULL;
    struct deflater *without = NULL;
    assert_int_equal(deflater_new(&(struct deflater_options){9, 1, true, 4}, &with), RC_OK);
    assert_int_equal(deflater_new(&(struct deflater_options){9, 1, false, 4}, &without), RC_OK);
    assert_int_equal(ws_message_append(&out, NULL, WS_TEXT, BYTES_LITERAL("aaaaaaaaaaaa")), RC_OK);
    assert_int_equal(ws_message_append(&out, with, WS_TEXT, BYTES_LITERAL("aaa")), RC_OK);
    /* Does not get smaller: as it is, but where the peer's context must follow. */
    assert_int_equal(ws_message_append(&out, without, WS_TEXT, BYTES_LITERAL("abcd")), RC_OK);
    const struct bytes plain = BYTES_LITERAL("\x81\x0c"
                                             "aaaaaaaaaaaa"
                                             "\x81\x03"
                                             "aaa"
                                             "\x81\x04"
                                             "abcd");
    assert_true(bytes_equal(buf_bytes(&out), plain));
    buf_clear(&out);
    assert_int_equal(ws_message_append(&out, with, WS_BINARY, BYTES_LITERAL("abcd")), RC_OK);
    assert_int_equal(out.data[0], 0xC2);
    buf_clear(&out);
    assert_int_equal(ws_message_append(&out, without, WS_TEXT, BYTES_LITERAL("Hello")), RC_OK);
    assert_true(bytes_equal(buf_bytes(&out), BYTES_LITERAL("\x81\x05Hello")));
    buf_clear(&out);
    assert_int_equal(ws_message_append(&out, with, WS_TEXT, BYTES_LITERAL("Hello")), RC_OK);
    assert_true(bytes_equal(buf_bytes(&out), BYTES_LITERAL("\xC1\x07" HELLO)));
    deflater_free(with);
    deflater_free(without);
    buf_deinit(&out);
}

/* Sizes around each form of length, before and after; what is in `to` stays. */
static void what_goes_out_comes_in_whole_or_reframed(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 125, 126, 127, 300, 65535, 65536, 65537, 300000};
    const struct ws_limits limits = {.message_bytes = 300000};
    struct prng prng = {.state = 9};
    for (unsigned takeover = 0; takeover < 2; takeover++) {
        struct deflater *deflater = NULL;
        struct inflater *inflater = NULL;
        struct ws_decoder decoder;
        struct buf out = {0};
        struct buf expected = {0};
        struct buf got = {0};
        const struct deflater_options options = {12, 4, takeover != 0, 2};
        assert_int_equal(deflater_new(&options, &deflater), RC_OK);
        assert_int_equal(inflater_new(12, takeover != 0, &inflater), RC_OK);
        for (size_t i = 0; i < 4 * sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct buf text = {0};
            struct buf plain = {0};
            const size_t size = sizes[i / 4];
            while (text.size < size) {
                const uint8_t byte =
                    (uint8_t)(i % 2 == 0 ? 'a' + prng_below(&prng, 3) : 32 + prng_below(&prng, 90));
                assert_int_equal(buf_append(&text, bytes_of(&byte, 1)), RC_OK);
            }
            transcript_add(&expected, "T", 0, &(struct bytes){text.data, text.size});
            if (i % 4 < 2) {
                assert_int_equal(ws_message_append(&out, deflater, WS_TEXT, buf_bytes(&text)),
                                 RC_OK);
            } else {
                assert_int_equal(ws_frame_append(&plain, WS_TEXT, buf_bytes(&text)), RC_OK);
                assert_int_equal(ws_message_reframe(&out, deflater, buf_bytes(&plain)), RC_OK);
            }
            buf_deinit(&text);
            buf_deinit(&plain);
        }
        assert_true(out.size < expected.size * 9 / 10);
        ws_decoder_init(&decoder, WS_CLIENT);
        ws_decoder_inflate(&decoder, inflater);
        assert_null(transcript_piece(&got, &decoder, &limits, buf_bytes(&out)));
        assert_true(bytes_equal(buf_bytes(&got), buf_bytes(&expected)));
        ws_decoder_deinit(&decoder);
        deflater_free(deflater);
        inflater_free(inflater);
        buf_deinit(&out);
        buf_deinit(&expected);
        buf_deinit(&got);
    }
}

static void out_of_memory_leaves_the_output_as_it_was(void **state)
{
    (void)state;
    unsigned failed = 0;
    for (unsigned k = 1; k < 20; k++) {
        struct deflater *deflater = NULL;
        struct buf out = {0};
        assert_int_equal(deflater_new(&(struct deflater_options){9, 1, false, 1}, &deflater),
                         RC_OK);
        assert_int_equal(buf_append(&out, BYTES_LITERAL("abc")), RC_OK);
        mem_fault_set(k, 0);
        const enum rc rc =
            ws_message_append(&out, deflater, WS_TEXT, BYTES_LITERAL("aaaaaaaaaaaaaaaaaaaaaaaa"));
        mem_fault_set(0, 0);
        assert_true(rc == RC_OK || rc == RC_NOMEM);
        assert_true(rc == RC_OK || bytes_equal(buf_bytes(&out), BYTES_LITERAL("abc")));
        failed += rc != RC_OK;
        deflater_free(deflater);
        buf_deinit(&out);
    }
    assert_true(failed >= 5);
}

static void out_of_memory_for_the_header_leaves_nothing(void **state)
{
    (void)state;
    struct deflater *deflater = NULL;
    struct buf out = {0};
    assert_int_equal(deflater_new(&(struct deflater_options){9, 1, false, 1}, &deflater), RC_OK);
    mem_fault_set(1, 0);
    assert_int_equal(ws_message_append(&out, deflater, WS_TEXT, BYTES_LITERAL("aaaaaaaaaaaaaaaa")),
                     RC_NOMEM);
    mem_fault_set(0, 0);
    assert_int_equal(out.size, 0);
    assert_int_equal(ws_message_append(&out, deflater, WS_TEXT, BYTES_LITERAL("aaaaaaaaaaaaaaaa")),
                     RC_OK);
    assert_int_equal(out.data[0], 0xC1);
    deflater_free(deflater);
    buf_deinit(&out);
}

static void where_nothing_was_agreed_a_frame_stays_as_it_is(void **state)
{
    (void)state;
    struct buf out = {0};
    const struct bytes frame = BYTES_LITERAL("\x81\x03"
                                             "aaa");
    assert_int_equal(ws_message_reframe(&out, NULL, frame), RC_OK);
    assert_true(bytes_equal(buf_bytes(&out), frame));
    buf_clear(&out);
    assert_int_equal(ws_message_append(&out, NULL, WS_TEXT, BYTES_LITERAL("aaa")), RC_OK);
    assert_true(bytes_equal(buf_bytes(&out), frame));
    buf_deinit(&out);
}

static void a_message_for_which_there_is_no_memory_is_1011(void **state)
{
    (void)state;
    struct buf bytes = {0};
    frame_put(&bytes, 0xC1, BYTES_LITERAL(HELLO));
    const struct ws_limits limits = {.message_bytes = 100};
    for (unsigned k = 1; k <= 2; k++) {
        struct inflater *inflater = NULL;
        struct ws_decoder decoder;
        struct ws_event event;
        size_t used = 0;
        struct buf copy = {0};
        assert_int_equal(buf_append(&copy, buf_bytes(&bytes)), RC_OK);
        assert_int_equal(inflater_new(15, true, &inflater), RC_OK);
        ws_decoder_init(&decoder, WS_CLIENT);
        ws_decoder_inflate(&decoder, inflater);
        mem_fault_set(k, 0);
        ws_decoder_feed(&decoder, &limits, copy.data, copy.size, &used, &event);
        mem_fault_set(0, 0);
        assert_int_equal(event.type, WS_EVENT_ERROR);
        assert_int_equal(event.code, WS_CLOSE_INTERNAL);
        ws_decoder_deinit(&decoder);
        inflater_free(inflater);
        buf_deinit(&copy);
    }
    buf_deinit(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_offer_of_the_table_gets_its_answer),
        cmocka_unit_test(every_combination_is_agreed_within_what_was_offered),
        cmocka_unit_test(a_long_list_of_offers_takes_no_time),
        cmocka_unit_test(compressed_frames_are_taken_however_they_are_cut),
        cmocka_unit_test(nothing_is_inflated_that_was_not_agreed_on),
        cmocka_unit_test(one_decoder_serves_peers_that_have_agreed_and_others),
        cmocka_unit_test(the_declared_length_is_bounded_too),
        cmocka_unit_test(a_bomb_in_a_frame_is_closed_with_1009),
        cmocka_unit_test(small_and_stubborn_messages_go_out_plain),
        cmocka_unit_test(what_goes_out_comes_in_whole_or_reframed),
        cmocka_unit_test(what_is_no_list_of_offers_is_declined),
        cmocka_unit_test(out_of_memory_for_the_header_leaves_nothing),
        cmocka_unit_test(where_nothing_was_agreed_a_frame_stays_as_it_is),
        cmocka_unit_test(out_of_memory_leaves_the_output_as_it_was),
        cmocka_unit_test(a_message_for_which_there_is_no_memory_is_1011),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
