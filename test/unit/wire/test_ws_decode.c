/* Goal: every MUST of [WS 5] and [WS 7] that a receiver has to see to, however the bytes are cut.
 * Method: streams written as text (see stream_write()) with the events they must give; each is fed
 * whole, in two pieces at every place, in three where it is short, and byte by byte. Streams drawn
 * at random carry their expected events with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "ws_transcript.h"

#define LIMIT_DEFAULT 100000u

static const uint8_t test_mask[4] = {0x37, 0xFA, 0x21, 0x3D};

static void put(struct buf *to, const void *data, size_t size)
{
    assert_int_equal(buf_append(to, bytes_of(data, size)), RC_OK);
}

/* A frame, byte by byte: the encoder under test is not asked. */
static void frame_put(struct buf *to, uint8_t first, bool masked, const uint8_t *payload,
                      size_t size)
{
    uint8_t head[10] = {first};
    size_t head_size = 2;
    if (size < 126) {
        head[1] = (uint8_t)size;
    } else if (size < 65536) {
        head[1] = 126;
        head[2] = (uint8_t)(size >> 8);
        head[3] = (uint8_t)size;
        head_size = 4;
    } else {
        head[1] = 127;
        for (size_t i = 0; i < 8; i++) {
            head[2 + i] = (uint8_t)((uint64_t)size >> (56 - 8 * i));
        }
        head_size = 10;
    }
    head[1] |= masked ? 0x80 : 0;
    put(to, head, head_size);
    if (masked) {
        put(to, test_mask, 4);
    }
    for (size_t i = 0; i < size; i++) {
        const uint8_t byte = masked ? payload[i] ^ test_mask[i % 4] : payload[i];
        put(to, &byte, 1);
    }
}

static unsigned hex_digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

static uint8_t hex_byte(const char *at)
{
    return (uint8_t)(hex_digit(at[0]) * 16 + hex_digit(at[1]));
}

/* One word of a stream: "81:text" a masked frame with that first byte and payload, "81#hex" one
 * with a payload in hex, "81*9" one with nine letters; with a "u" before it not masked; "=hex" raw
 * bytes. */
static void word_write(struct buf *to, const char *word, size_t size)
{
    uint8_t payload[1024];
    size_t payload_size = 0;
    if (word[0] == '=') {
        for (size_t i = 1; i + 1 < size; i += 2) {
            const uint8_t byte = hex_byte(word + i);
            put(to, &byte, 1);
        }
        return;
    }
    const bool masked = word[0] != 'u';
    const char *at = masked ? word : word + 1;
    const char *end = word + size;
    const uint8_t first = hex_byte(at);
    const char kind = at[2];
    at += 3;
    if (kind == ':') {
        payload_size = (size_t)(end - at);
        assert_true(payload_size <= sizeof(payload));
        bytes_copy(payload, at, payload_size);
    } else if (kind == '#') {
        for (; at + 1 < end; at += 2) {
            payload[payload_size++] = hex_byte(at);
        }
    } else {
        assert_int_equal(kind, '*');
        for (; at < end; at++) {
            payload_size = payload_size * 10 + (size_t)(*at - '0');
        }
        assert_true(payload_size <= sizeof(payload));
        memset(payload, 'a', payload_size);
    }
    frame_put(to, first, masked, payload, payload_size);
}

static void stream_write(struct buf *to, const char *text)
{
    while (*text != '\0') {
        const size_t size = strcspn(text, " ");
        word_write(to, text, size);
        text += size + (text[size] == ' ' ? 1 : 0);
    }
}

/* Feeds `stream` cut at `a` and `b`. */
static void run_cut(struct buf *to, enum ws_role role, size_t limit, struct bytes stream, size_t a,
                    size_t b)
{
    const struct ws_limits limits = {.message_bytes = limit};
    struct ws_decoder decoder;
    ws_decoder_init(&decoder, role);
    buf_clear(to);
    (void)transcript_piece(to, &decoder, &limits, bytes_of(stream.data, a));
    (void)transcript_piece(to, &decoder, &limits, bytes_of(stream.data + a, b - a));
    (void)transcript_piece(to, &decoder, &limits, bytes_of(stream.data + b, stream.size - b));
    ws_decoder_deinit(&decoder);
}

static void run_by_bytes(struct buf *to, enum ws_role role, size_t limit, struct bytes stream)
{
    const struct ws_limits limits = {.message_bytes = limit};
    struct ws_decoder decoder;
    ws_decoder_init(&decoder, role);
    buf_clear(to);
    for (size_t i = 0; i < stream.size; i++) {
        (void)transcript_piece(to, &decoder, &limits, bytes_of(stream.data + i, 1));
    }
    ws_decoder_deinit(&decoder);
}

static void assert_transcript(const char *name, const struct buf *got, const char *expected)
{
    if (!bytes_equal(buf_bytes(got), bytes_of_text(expected))) {
        fail_msg("%s: expected %s, got %.*s", name, expected, (int)got->size,
                 (const char *)got->data);
    }
}

struct row {
    const char *name;
    const char *stream;
    const char *events;
};

static void run_row(const struct row *row, enum ws_role role, size_t limit)
{
    struct buf stream = {0};
    struct buf got = {0};
    stream_write(&stream, row->stream);
    const struct bytes bytes = buf_bytes(&stream);

    for (size_t a = 0; a <= bytes.size; a++) {
        run_cut(&got, role, limit, bytes, a, bytes.size);
        assert_transcript(row->name, &got, row->events);
        for (size_t b = a; b < bytes.size && bytes.size <= 64; b++) {
            run_cut(&got, role, limit, bytes, a, b);
            assert_transcript(row->name, &got, row->events);
        }
    }
    run_by_bytes(&got, role, limit, bytes);
    assert_transcript(row->name, &got, row->events);
    buf_deinit(&got);
    buf_deinit(&stream);
}

static void run_rows(const struct row *rows, size_t count, enum ws_role role, size_t limit)
{
    for (size_t i = 0; i < count; i++) {
        run_row(&rows[i], role, limit);
    }
}

#define RUN_AS(rows, role, limit) run_rows(rows, sizeof(rows) / sizeof((rows)[0]), role, limit)
#define RUN(rows)                 RUN_AS(rows, WS_SERVER, LIMIT_DEFAULT)

static void messages_come_out_as_they_were_sent(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"text", "81:Hello", "T(Hello)"},
        {"binary", "82#deadbeef", "B(\xDE\xAD\xBE\xEF)"},
        {"empty text", "81:", "T()"},
        {"empty binary", "82:", "B()"},
        {"several in a row", "81:a 81:b 82:c", "T(a)T(b)B(c)"},
        {"the rfc's masked example", "=818537fa213d7f9f4d5158", "T(Hello)"},
        {"a mask of zeros", "=8185000000004869212121", "T(Hi!!!)"},
        {"binary is not looked at as text", "82#fffec080", "B(\xFF\xFE\xC0\x80)"},
    };
    RUN(rows);
    char expected[200] = "B(";
    memset(expected + 2, 'a', 126);
    expected[128] = ')';
    const struct row last = {"16-bit length", "82*126", expected};
    run_row(&last, WS_SERVER, LIMIT_DEFAULT);
}

/* What a client sees: frames of a server, which are not masked. */
static void frames_of_a_server_are_decoded_by_a_client(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"[WS 5.7] text", "=810548656c6c6f", "T(Hello)"},
        {"[WS 5.7] fragments", "=010348656c =80026c6f", "T(Hello)"},
        {"[WS 5.7] ping", "=890548656c6c6f", "P(Hello)"},
        {"controls between", "u01:a u8a:x u80:b u88#03e9", "Q(x)T(ab)C1001()"},
        {"[WS 5.1] a masked text", "81:Hello", "E1002"},
        {"[WS 5.1] a masked close", "88#03e8", "E1002"},
        {"[WS 5.1] masked behind a good one", "u81:a 81:b", "T(a)E1002"},
    };
    RUN_AS(rows, WS_CLIENT, LIMIT_DEFAULT);
}

static void fragments_are_joined(void **state)
{
    (void)state;
    static const struct row rows[] = {
        /* [WS 5.4] */
        {"two", "01:Hel 80:lo", "T(Hello)"},
        {"three", "02:a 00:b 80:c", "B(abc)"},
        {"empty first", "01: 80:lo", "T(lo)"},
        {"empty last", "01:Hel 80:", "T(Hel)"},
        {"empty middle", "01:Hel 00: 80:lo", "T(Hello)"},
        {"all empty", "01: 00: 80:", "T()"},
        {"only the middle is not", "01: 00:x 80:", "T(x)"},
        {"a message behind", "01:a 80:b 81:c", "T(ab)T(c)"},
        {"two in a row", "01:a 80:b 02:c 80:d", "T(ab)B(cd)"},
        {"ping between", "01:Hel 89:p 80:lo", "P(p)T(Hello)"},
        {"pong between", "01:Hel 8a:p 80:lo", "Q(p)T(Hello)"},
        {"several controls between", "01:H 89:1 89:2 8a: 00:e 89:3 80:y", "P(1)P(2)Q()P(3)T(Hey)"},
        {"close between", "01:Hel 88#03e8 80:lo", "C1000()"},
        {"a character across frames", "01#ce 80#ba", "T(\xCE\xBA)"},
        {"a character across frames and a ping", "01#f09f 89:p 00#98 80#80",
         "P(p)T(\xF0\x9F\x98\x80)"},
        {"a character across an empty frame", "01#ce 00: 80#ba", "T(\xCE\xBA)"},
    };
    RUN(rows);
}

static void breaches_of_framing_are_closed_with_1002(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"[WS 5.1] unmasked from a client", "u81:Hello", "E1002"},
        {"[WS 5.1] unmasked ping from a client", "u89:", "E1002"},
        {"[WS 5.1] unmasked behind a good one", "81:a u81:b", "T(a)E1002"},
        {"[WS 5.2] RSV1", "c1:x", "E1002"},
        {"[WS 5.2] RSV2", "a1:x", "E1002"},
        {"[WS 5.2] RSV3", "91:x", "E1002"},
        {"[WS 5.2] RSV1 on a ping", "c9:x", "E1002"},
        {"[WS 5.2] RSV1 on a close", "c8:", "E1002"},
        {"[WS 5.2] RSV1 on a continuation", "01:a c0:x", "E1002"},
        {"[WS 5.2] RSV2 in the middle", "81:a a1:x", "T(a)E1002"},
        {"[WS 5.2] opcode 3", "83:", "E1002"},
        {"[WS 5.2] opcode 4", "84:", "E1002"},
        {"[WS 5.2] opcode 5", "85:x", "E1002"},
        {"[WS 5.2] opcode 6", "86:", "E1002"},
        {"[WS 5.2] opcode 7", "87:", "E1002"},
        {"[WS 5.2] opcode B", "8b:", "E1002"},
        {"[WS 5.2] opcode C", "8c:", "E1002"},
        {"[WS 5.2] opcode D", "8d:x", "E1002"},
        {"[WS 5.2] opcode E", "8e:", "E1002"},
        {"[WS 5.2] opcode F", "8f:", "E1002"},
        {"[WS 5.2] 5 in 16 bits", "=81fe000500000000", "E1002"},
        {"[WS 5.2] 125 in 16 bits", "=81fe007d", "E1002"},
        {"[WS 5.2] 125 in 64 bits", "=81ff000000000000007d", "E1002"},
        {"[WS 5.2] 65535 in 64 bits", "=81ff000000000000ffff", "E1002"},
        {"[WS 5.2] top bit", "=81ff8000000000000000", "E1002"},
        {"[WS 5.2] top bit and all others", "=82ffffffffffffffffff", "E1002"},
        {"[WS 5.4] continuation of nothing", "80:x", "E1002"},
        {"[WS 5.4] continuation of nothing, not final", "00:x", "E1002"},
        {"[WS 5.4] continuation behind a whole message", "81:a 80:x", "T(a)E1002"},
        {"[WS 5.4] continuation behind a fragmented one", "01:a 80:b 80:c", "T(ab)E1002"},
        {"[WS 5.4] text inside a message", "01:a 81:b", "E1002"},
        {"[WS 5.4] text fragment inside a message", "01:a 01:b", "E1002"},
        {"[WS 5.4] binary inside a text", "01:a 82:b", "E1002"},
        {"[WS 5.5] ping of 126 bytes", "89*126", "E1002"},
        {"[WS 5.5] pong of 126 bytes", "8a*126", "E1002"},
        {"[WS 5.5] close of 126 bytes", "88*126", "E1002"},
        {"[WS 5.5] ping with a 64-bit length", "=89ff", "E1002"},
        {"[WS 5.4] ping in fragments", "09:x", "E1002"},
        {"[WS 5.4] pong in fragments", "0a:x", "E1002"},
        {"[WS 5.4] close in fragments", "08#03e8", "E1002"},
    };
    RUN(rows);
}

static void control_frames_are_handed_out(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"ping", "89:abc", "P(abc)"},
        {"empty ping", "89:", "P()"},
        {"pong", "8a:abc", "Q(abc)"},
        {"unasked pong", "8a:", "Q()"},
        {"ten pings", "89: 89: 89: 89: 89: 89: 89: 89: 89: 89:", "P()P()P()P()P()P()P()P()P()P()"},
    };
    RUN(rows);
    char expected[128 + 1] = "P(";
    memset(expected + 2, 'a', 125);
    expected[127] = ')';
    const struct row longest = {"a ping of 125 bytes", "89*125", expected};
    run_row(&longest, WS_SERVER, LIMIT_DEFAULT);
}

static void closes_are_judged(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"[WS 5.5.1] without a code", "88:", "C1005()"},
        {"[WS 5.5.1] code", "88#03e8", "C1000()"},
        {"[WS 5.5.1] code and reason", "88#03e8627965", "C1000(bye)"},
        {"[WS 5.5.1] one byte", "88#03", "E1002"},
        {"[WS 5.5.1] reason is not UTF-8", "88#03e8c080", "E1007"},
        {"[WS 5.5.1] reason ends inside a character", "88#03e8e282", "E1007"},
        {"[WS 5.5.1] nothing behind a close", "88#03e8 81:x 89:y", "C1000()"},
        {"[WS 5.5.1] nothing behind a close, be it broken", "88#03e8 =ffffffff", "C1000()"},
        {"[WS 5.5.1] no second close", "88#03e8 88#03e9", "C1000()"},
        {"[WS 7.4.1] 1001", "88#03e9", "C1001()"},
        {"[WS 7.4.1] 1002", "88#03ea", "C1002()"},
        {"[WS 7.4.1] 1003", "88#03eb", "C1003()"},
        {"[WS 7.4.1] 1007", "88#03ef", "C1007()"},
        {"[WS 7.4.1] 1011", "88#03f3", "C1011()"},
        {"1012, registered since", "88#03f4", "C1012()"},
        {"1014, registered since", "88#03f6", "C1014()"},
        {"[WS 7.4.2] 3000", "88#0bb8", "C3000()"},
        {"[WS 7.4.2] 3999", "88#0f9f", "C3999()"},
        {"[WS 7.4.2] 4000", "88#0fa0", "C4000()"},
        {"[WS 7.4.2] 4999", "88#1387", "C4999()"},
        {"[WS 7.4.2] 0", "88#0000", "E1002"},
        {"[WS 7.4.2] 999", "88#03e7", "E1002"},
        {"[WS 7.4.1] 1004", "88#03ec", "E1002"},
        {"[WS 7.4.1] 1005", "88#03ed", "E1002"},
        {"[WS 7.4.1] 1006", "88#03ee", "E1002"},
        {"[WS 7.4.1] 1015", "88#03f7", "E1002"},
        {"[WS 7.4.2] 1016", "88#03f8", "E1002"},
        {"[WS 7.4.2] 1100", "88#044c", "E1002"},
        {"[WS 7.4.2] 2000", "88#07d0", "E1002"},
        {"[WS 7.4.2] 2999", "88#0bb7", "E1002"},
        {"5000", "88#1388", "E1002"},
        {"65535", "88#ffff", "E1002"},
        {"[WS 7.1.7] nothing behind an error", "83: 81:x", "E1002"},
    };
    RUN(rows);
}

static void text_that_is_not_utf8_is_closed_with_1007(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"[WS 8.1] a lone continuation", "81#80", "E1007"},
        {"[WS 8.1] overlong", "81#c080", "E1007"},
        {"[WS 8.1] a surrogate", "81#eda080", "E1007"},
        {"[WS 8.1] beyond U+10FFFF", "81#f4908080", "E1007"},
        {"[WS 8.1] ends inside a character", "81#ce", "E1007"},
        {"[WS 8.1] ends inside a character, in fragments", "01#ce 80:", "E1007"},
        {"[WS 8.1] broken by a fragment", "01#ce 80#ce", "E1007"},
        {"[WS 8.1] behind good text", "81:good 81#f8", "T(good)E1007"},
        /* No end of the frame is in sight: the verdict does not wait for it. */
        {"[WS 8.1] in the middle of a frame", "=81ff0000000000010000 =00000000 =6161c0", "E1007"},
        {"[WS 8.1] in the middle of a fragment", "01:a =00fd00000000 =f5", "E1007"},
        {"[WS 8.1] the next text begins anew", "81#ceba 81:a", "T(\xCE\xBA)T(a)"},
    };
    RUN_AS(rows, WS_SERVER, 1000000);
}

static void sizes_over_the_limit_are_closed_with_1009(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"just the limit", "81*8", "T(aaaaaaaa)"},
        {"one more", "81*9", "E1009"},
        {"declared only", "=8189", "E1009"},
        {"the sum is the limit", "01*5 80*3", "T(aaaaaaaa)"},
        {"the sum is over it", "01*5 80*4", "E1009"},
        {"the sum is over it, declared only", "01*5 =00ffffffffffffffffff", "E1002"},
        {"near 2^63", "01*5 =00ff7fffffffffffffff", "E1009"},
        {"the largest length", "=82ff7fffffffffffffff", "E1009"},
        {"2^32", "=82ff0000000100000000", "E1009"},
        {"2^32 + 1", "=82ff0000000100000001", "E1009"},
    };
    RUN_AS(rows, WS_SERVER, 8);
    char expected[128] = "P(";
    memset(expected + 2, 'a', 100);
    expected[102] = ')';
    const struct row control = {"control frames have their own", "89*100", expected};
    run_row(&control, WS_SERVER, 8);
}

/* ---- declared lengths ---------------------------------------------------------------------- */

static size_t length_put(struct buf *to, uint8_t first, bool masked, uint64_t length, unsigned form)
{
    uint8_t head[10] = {first};
    const size_t bytes = form == 126 ? 2 : form == 127 ? 8 : 0;
    head[1] = (uint8_t)((masked ? 0x80u : 0) | (form < 126 ? (unsigned)length : form));
    for (size_t i = 0; i < bytes; i++) {
        head[2 + i] = (uint8_t)(length >> (8 * (bytes - 1 - i)));
    }
    buf_clear(to);
    put(to, head, 2 + bytes);
    return to->size;
}

/* What a header with that length must give: 0 for "go on". */
static uint16_t naive_length_code(enum ws_role role, bool masked, bool control, uint64_t length,
                                  unsigned form, size_t limit)
{
    const bool shortest = form == 127 ? length > 65535 : form == 126 ? length > 125 : true;
    if (masked != (role == WS_SERVER) || (control && form >= 126) || (length >> 63) != 0 ||
        !shortest) {
        return 1002;
    }
    return !control && length > limit ? 1009 : 0;
}

static void check_length(enum ws_role role, bool masked, uint8_t first, uint64_t length,
                         unsigned form, size_t limit)
{
    struct buf stream = {0};
    const struct ws_limits limits = {.message_bytes = limit};
    const bool control = (first & 8) != 0;
    const uint16_t expected = naive_length_code(role, masked, control, length, form, limit);
    length_put(&stream, first, masked, length, form);

    for (size_t cut = 0; cut <= stream.size; cut++) {
        struct ws_decoder decoder;
        ws_decoder_init(&decoder, role);
        struct buf got = {0};
        (void)transcript_piece(&got, &decoder, &limits, bytes_of(stream.data, cut));
        (void)transcript_piece(&got, &decoder, &limits,
                               bytes_of(stream.data + cut, stream.size - cut));
        char text[16];
        (void)snprintf(text, sizeof(text), "E%u", expected);
        if (expected != 0) {
            assert_transcript("length", &got, text);
            assert_false(ws_decoder_busy(&decoder));
        } else if (length > 0 || masked) {
            assert_transcript("length", &got, "");
            assert_true(ws_decoder_busy(&decoder));
        }
        /* A declaration costs nothing. */
        assert_int_equal(decoder.message_.capacity, 0);
        ws_decoder_deinit(&decoder);
        buf_deinit(&got);
    }
    buf_deinit(&stream);
}

static void every_declared_length_is_judged_without_an_allocation(void **state)
{
    (void)state;
    static const size_t limits[] = {0, 1, 125, 126, 65535, 65536, 16u << 20, SIZE_MAX};
    for (unsigned k = 0; k <= 64; k++) {
        for (int add = -1; add <= 1; add++) {
            const uint64_t length = (k < 64 ? UINT64_C(1) << k : 0) + (uint64_t)(int64_t)add;
            for (unsigned variant = 0; variant < 8; variant++) {
                const enum ws_role role = (variant & 1) != 0 ? WS_CLIENT : WS_SERVER;
                const bool masked = (variant & 2) != 0;
                const uint8_t first = (variant & 4) != 0 ? 0x89 : 0x82;
                for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
                    check_length(role, masked, first, length, 127, limits[i]);
                    if (length <= 65535) {
                        check_length(role, masked, first, length, 126, limits[i]);
                    }
                    if (length <= 125) {
                        check_length(role, masked, first, length, 0, limits[i]);
                    }
                }
            }
        }
    }
}

/* ---- memory -------------------------------------------------------------------------------- */

static void memory_follows_the_bytes_received(void **state)
{
    (void)state;
    const struct ws_limits limits = {.message_bytes = 16u << 20};
    struct ws_decoder decoder;
    struct buf stream = {0};
    struct buf got = {0};
    ws_decoder_init(&decoder, WS_SERVER);
    length_put(&stream, 0x82, true, 16u << 20, 127);
    put(&stream, "\0\0\0\0", 4);
    (void)transcript_piece(&got, &decoder, &limits, buf_bytes(&stream));
    assert_int_equal(decoder.message_.capacity, 0);
    size_t received = 0;
    while (received < 1u << 20) {
        uint8_t piece[1000] = {0};
        (void)transcript_piece(&got, &decoder, &limits, bytes_of(piece, sizeof(piece)));
        received += sizeof(piece);
        assert_int_equal(decoder.message_.size, received);
        assert_true(decoder.message_.capacity <= received * 3 / 2 + 256);
    }
    ws_decoder_deinit(&decoder);
    buf_deinit(&stream);
    buf_deinit(&got);
}

static void a_message_whole_in_the_input_is_not_copied(void **state)
{
    (void)state;
    const struct ws_limits limits = {.message_bytes = 100};
    struct ws_decoder decoder;
    struct ws_event event;
    struct buf stream = {0};
    size_t used = 0;
    stream_write(&stream, "81:Hello 82:you 89:p");
    ws_decoder_init(&decoder, WS_SERVER);
    mem_fault_set(1, 1);
    ws_decoder_feed(&decoder, &limits, stream.data, stream.size, &used, &event);
    assert_int_equal(event.type, WS_EVENT_MESSAGE);
    assert_ptr_equal(event.payload.data, stream.data + 6);
    assert_int_equal(used, 11);
    size_t at = used;
    ws_decoder_feed(&decoder, &limits, stream.data + at, stream.size - at, &used, &event);
    assert_int_equal(event.type, WS_EVENT_MESSAGE);
    assert_int_equal(event.opcode, WS_BINARY);
    at += used;
    ws_decoder_feed(&decoder, &limits, stream.data + at, stream.size - at, &used, &event);
    assert_int_equal(event.type, WS_EVENT_PING);
    assert_int_equal(mem_fault_count(), 0);
    mem_fault_set(0, 0);
    ws_decoder_deinit(&decoder);
    buf_deinit(&stream);
}

static void an_idle_decoder_holds_no_memory(void **state)
{
    (void)state;
    const struct ws_limits limits = {.message_bytes = 100};
    struct ws_decoder decoder;
    struct buf stream = {0};
    struct buf got = {0};
    ws_decoder_init(&decoder, WS_SERVER);
    assert_false(ws_decoder_busy(&decoder));
    stream_write(&stream, "01:Hel 80:lo");
    for (size_t i = 0; i < stream.size; i++) {
        (void)transcript_piece(&got, &decoder, &limits, bytes_of(stream.data + i, 1));
        assert_int_equal(ws_decoder_busy(&decoder), i + 1 < stream.size);
    }
    assert_transcript("idle", &got, "T(Hello)");
    assert_int_equal(decoder.message_.capacity, 0);
    ws_decoder_deinit(&decoder);
    buf_deinit(&stream);
    buf_deinit(&got);
}

static void out_of_memory_closes_with_1011(void **state)
{
    (void)state;
    const struct ws_limits limits = {.message_bytes = 100};
    struct ws_decoder decoder;
    struct ws_event event;
    struct buf stream = {0};
    size_t used = 0;
    stream_write(&stream, "01:Hel 80:lo");
    ws_decoder_init(&decoder, WS_SERVER);
    mem_fault_set(1, 1);
    ws_decoder_feed(&decoder, &limits, stream.data, stream.size, &used, &event);
    mem_fault_set(0, 0);
    assert_int_equal(event.type, WS_EVENT_ERROR);
    assert_int_equal(event.code, WS_CLOSE_INTERNAL);
    assert_int_equal(used, stream.size);
    ws_decoder_feed(&decoder, &limits, stream.data, stream.size, &used, &event);
    assert_int_equal(event.type, WS_EVENT_NONE);
    assert_int_equal(used, stream.size);
    ws_decoder_deinit(&decoder);
    buf_deinit(&stream);
}

static void a_limit_that_shrinks_is_obeyed(void **state)
{
    (void)state;
    const struct ws_limits wide = {.message_bytes = 100};
    const struct ws_limits narrow = {.message_bytes = 2};
    struct ws_decoder decoder;
    struct buf stream = {0};
    struct buf got = {0};
    ws_decoder_init(&decoder, WS_SERVER);
    stream_write(&stream, "01:Hello");
    (void)transcript_piece(&got, &decoder, &wide, buf_bytes(&stream));
    buf_clear(&stream);
    stream_write(&stream, "80:x");
    (void)transcript_piece(&got, &decoder, &narrow, buf_bytes(&stream));
    assert_transcript("narrow", &got, "E1009");
    ws_decoder_deinit(&decoder);
    buf_deinit(&stream);
    buf_deinit(&got);
}

/* ---- many fragments ------------------------------------------------------------------------ */

static void a_message_may_have_65536_fragments_of_a_byte(void **state)
{
    (void)state;
    const struct ws_limits limits = {.message_bytes = 16u << 20};
    struct ws_decoder decoder;
    struct buf stream = {0};
    struct buf got = {0};
    for (size_t i = 0; i < 65536; i++) {
        const uint8_t first = i == 0 ? 0x01 : i == 65535 ? 0x80 : 0x00;
        frame_put(&stream, first, true, (const uint8_t *)"x", 1);
    }
    ws_decoder_init(&decoder, WS_SERVER);
    (void)transcript_piece(&got, &decoder, &limits, buf_bytes(&stream));
    assert_int_equal(got.size, 65536 + 3);
    assert_memory_equal(got.data, "T(xxxx", 6);
    ws_decoder_deinit(&decoder);
    buf_deinit(&stream);
    buf_deinit(&got);
}

static void empty_fragments_in_a_row_are_bounded(void **state)
{
    (void)state;
    const struct ws_limits limits = {.message_bytes = 16u << 20};
    for (unsigned variant = 0; variant < 4; variant++) {
        const bool over = (variant & 1) != 0;
        const bool pings = (variant & 2) != 0;
        struct ws_decoder decoder;
        struct buf stream = {0};
        struct buf got = {0};
        /* Twice as many as may be in a row, but for the byte in the middle. */
        stream_write(&stream, "01:a");
        for (size_t i = 0; i < 2 * 4096 + (over ? 1 : 0); i++) {
            stream_write(&stream, pings && i % 1000 == 0 ? "8a: 00:" : "00:");
            if (i == 4095) {
                stream_write(&stream, "00:b");
            }
        }
        stream_write(&stream, "80:c");
        ws_decoder_init(&decoder, WS_SERVER);
        (void)transcript_piece(&got, &decoder, &limits, buf_bytes(&stream));
        if (over) {
            assert_memory_equal(got.data + got.size - 5, "E1008", 5);
        } else {
            assert_memory_equal(got.data + got.size - 6, "T(abc)", 6);
        }
        ws_decoder_deinit(&decoder);
        buf_deinit(&stream);
        buf_deinit(&got);
    }
}

/* ---- random streams ------------------------------------------------------------------------ */

static uint8_t random_ascii(struct prng *prng)
{
    return (uint8_t)('a' + prng_below(prng, 26));
}

/* A message in random fragments with control frames between; its events go to `expected`. */
static void random_message(struct prng *prng, bool masked, struct buf *stream, struct buf *expected)
{
    uint8_t payload[3000];
    static const size_t sizes[] = {0, 1, 20, 125, 126, 300, 3000};
    const size_t size = prng_below(prng, sizes[prng_below(prng, 7)] + 1);
    const bool text = prng_below(prng, 2) == 0;
    for (size_t i = 0; i < size; i++) {
        payload[i] = random_ascii(prng);
    }
    for (size_t i = 0; i + 2 <= size; i += 2 + prng_below(prng, 100)) {
        memcpy(payload + i, "\xC3\xA9", 2);
    }
    size_t at = 0;
    uint8_t opcode = text ? 1 : 2;
    bool last = false;
    while (!last) {
        last = prng_below(prng, 3) != 0;
        const size_t piece = last ? size - at : prng_below(prng, size - at + 1);
        frame_put(stream, (uint8_t)((last ? 0x80 : 0) | opcode), masked, payload + at, piece);
        at += piece;
        opcode = 0;
        if (prng_below(prng, 4) == 0) {
            const struct bytes control = {payload, prng_below(prng, size < 125 ? size + 1 : 126)};
            if (last) {
                continue;
            }
            frame_put(stream, 0x89, masked, control.data, control.size);
            transcript_add(expected, "P", 0, &control);
        }
    }
    const struct bytes whole = {payload, size};
    transcript_add(expected, text ? "T" : "B", 0, &whole);
}

static void random_streams_give_their_messages_however_they_are_cut(void **state)
{
    (void)state;
    const struct ws_limits limits = {.message_bytes = 3000};
    struct prng prng = {.state = 6455};
    for (size_t round = 0; round < 300; round++) {
        struct buf stream = {0};
        struct buf expected = {0};
        struct buf got = {0};
        const enum ws_role role = round % 2 == 0 ? WS_SERVER : WS_CLIENT;
        for (size_t i = 0; i < 12; i++) {
            random_message(&prng, role == WS_SERVER, &stream, &expected);
        }
        static const size_t longest[] = {1, 2, 3, 7, 16, 100, 1000, 100000};
        for (size_t i = 0; i < sizeof(longest) / sizeof(longest[0]); i++) {
            struct ws_decoder decoder;
            ws_decoder_init(&decoder, role);
            buf_clear(&got);
            size_t at = 0;
            while (at < stream.size) {
                const size_t room = stream.size - at;
                const size_t drawn = 1 + prng_below(&prng, longest[i]);
                const size_t piece = drawn < room ? drawn : room;
                (void)transcript_piece(&got, &decoder, &limits, bytes_of(stream.data + at, piece));
                at += piece;
            }
            assert_true(bytes_equal(buf_bytes(&got), buf_bytes(&expected)));
            assert_false(ws_decoder_busy(&decoder));
            ws_decoder_deinit(&decoder);
        }
        buf_deinit(&stream);
        buf_deinit(&expected);
        buf_deinit(&got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_out_as_they_were_sent),
        cmocka_unit_test(frames_of_a_server_are_decoded_by_a_client),
        cmocka_unit_test(fragments_are_joined),
        cmocka_unit_test(breaches_of_framing_are_closed_with_1002),
        cmocka_unit_test(control_frames_are_handed_out),
        cmocka_unit_test(closes_are_judged),
        cmocka_unit_test(text_that_is_not_utf8_is_closed_with_1007),
        cmocka_unit_test(sizes_over_the_limit_are_closed_with_1009),
        cmocka_unit_test(every_declared_length_is_judged_without_an_allocation),
        cmocka_unit_test(memory_follows_the_bytes_received),
        cmocka_unit_test(a_message_whole_in_the_input_is_not_copied),
        cmocka_unit_test(an_idle_decoder_holds_no_memory),
        cmocka_unit_test(out_of_memory_closes_with_1011),
        cmocka_unit_test(a_limit_that_shrinks_is_obeyed),
        cmocka_unit_test(a_message_may_have_65536_fragments_of_a_byte),
        cmocka_unit_test(empty_fragments_in_a_row_are_bounded),
        cmocka_unit_test(random_streams_give_their_messages_however_they_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
