/* Goal: what is deflated is what RFC 7692 means, with every window; what is inflated is bounded and
 * right, or refused; memory is counted, and may fail anywhere.
 * Method: the examples of the RFC; zlib itself, fed a byte and giving a byte at a time, as the
 * judge of how far back matches reach; messages drawn at random; bombs; each allocation failing
 * once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"
#include "wire/deflate.h"

#include <stdlib.h>
#include <zlib.h>

#define LIMIT 100000u

/* Inflates one message by `inflater`, from a block of exactly its size. */
static enum rc inflate_to(struct inflater *inflater, struct bytes payload, size_t limit,
                          struct buf *to)
{
    uint8_t *copy = malloc(payload.size + 1);
    assert_non_null(copy);
    bytes_copy(copy + 1, payload.data, payload.size);
    buf_clear(to);
    const enum rc rc = inflater_append(inflater, bytes_of(copy + 1, payload.size), limit, to);
    free(copy);
    return rc;
}

struct vector {
    const char *name;
    struct bytes wire;
    const char *text; /* NULL: refused */
};

#define VECTOR(n, w, t)                                                                            \
    {                                                                                              \
        .name = n, .wire = BYTES_LITERAL(w), .text = t                                             \
    }

/* Each by an inflater of its own. */
static const struct vector vectors[] = {
    VECTOR("7.2.3.1, one block", "\xf2\x48\xcd\xc9\xc9\x07\x00", "Hello"),
    VECTOR("7.2.3.3, no compression", "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello"),
    VECTOR("7.2.3.4, BFINAL", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello"),
    VECTOR("7.2.3.5, two blocks", "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello"),
    VECTOR("7.2.3.6, nothing", "\x00", ""),
    VECTOR("an empty block of fixed codes", "\x02\x00", ""),
    VECTOR("BFINAL and no empty block behind it", "\xf3\x48\xcd\xc9\xc9\x07\x00", "Hello"),
    VECTOR("BFINAL twice", "\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
           "HelloHello"),
    VECTOR("the window goes on behind BFINAL", "\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x00\x11\x00\x00",
           "HelloHello"),
    VECTOR("no byte", "", NULL),
    VECTOR("ends within a code", "\xf2\x48\xcd\xc9\xc9", NULL),
    VECTOR("ends within a block", "\xf2\x48\xcd\xc9\xc9\x07", NULL),
    VECTOR("ends within a stored block", "\x00\x05\x00\xfa\xff\x48\x65", NULL),
    VECTOR("a stored block whose lengths differ", "\x00\x05\x00\xfa\xfe\x48\x65\x6c\x6c\x6f\x00",
           NULL),
    VECTOR("a block of the reserved type", "\x06\x00", NULL),
    VECTOR("further back than there is anything", "\xf2\x00\x11\x00\x00", NULL),
    VECTOR("a zlib header", "\x78\x9c\xf2\x48\xcd\xc9\xc9\x07\x00", NULL),
    VECTOR("garbage", "\xff\xff\xff\xff\xff\xff", NULL),
};

static void the_examples_of_the_rfc_are_inflated_and_broken_ones_refused(void **state)
{
    (void)state;
    struct buf got = {0};
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const struct vector *vector = &vectors[i];
        struct inflater *inflater = NULL;
        assert_int_equal(inflater_new(15, true, &inflater), RC_OK);
        const enum rc rc = inflate_to(inflater, vector->wire, LIMIT, &got);
        if (rc != (vector->text == NULL ? RC_BAD : RC_OK)) {
            fail_msg("%s: %s", vector->name, rc_name(rc));
        }
        if (vector->text != NULL && !bytes_equal(buf_bytes(&got), bytes_of_text(vector->text))) {
            fail_msg("%s: other bytes", vector->name);
        }
        inflater_free(inflater);
    }
    buf_deinit(&got);
}

static void a_context_is_taken_over_or_not(void **state)
{
    (void)state;
    /* 7.2.3.2: the same message again, by a match with the one before. */
    const struct bytes first = BYTES_LITERAL("\xf2\x48\xcd\xc9\xc9\x07\x00");
    const struct bytes second = BYTES_LITERAL("\xf2\x00\x11\x00\x00");
    struct buf got = {0};
    for (unsigned takeover = 0; takeover < 2; takeover++) {
        struct deflater *deflater = NULL;
        struct inflater *inflater = NULL;
        const struct deflater_options options = {15, 8, takeover != 0, 1};
        assert_int_equal(deflater_new(&options, &deflater), RC_OK);
        assert_int_equal(inflater_new(15, takeover != 0, &inflater), RC_OK);
        buf_clear(&got);
        assert_int_equal(deflater_append(deflater, BYTES_LITERAL("Hello"), &got), RC_OK);
        assert_true(bytes_equal(buf_bytes(&got), first));
        buf_clear(&got);
        assert_int_equal(deflater_append(deflater, BYTES_LITERAL("Hello"), &got), RC_OK);
        assert_true(bytes_equal(buf_bytes(&got), takeover ? second : first));

        assert_int_equal(inflate_to(inflater, first, LIMIT, &got), RC_OK);
        const enum rc rc = inflate_to(inflater, second, LIMIT, &got);
        assert_int_equal(rc, takeover ? RC_OK : RC_BAD);
        if (takeover) {
            assert_true(bytes_equal(buf_bytes(&got), BYTES_LITERAL("Hello")));
        }
        deflater_free(deflater);
        inflater_free(inflater);
    }
    buf_deinit(&got);
}

static void nothing_becomes_an_empty_block(void **state)
{
    (void)state;
    struct deflater *deflater = NULL;
    struct inflater *inflater = NULL;
    struct buf wire = {0};
    struct buf got = {0};
    assert_int_equal(deflater_new(&(struct deflater_options){9, 1, true, 0}, &deflater), RC_OK);
    assert_int_equal(inflater_new(9, true, &inflater), RC_OK);
    for (unsigned i = 0; i < 3; i++) {
        buf_clear(&wire);
        assert_int_equal(deflater_append(deflater, (struct bytes){0}, &wire), RC_OK);
        assert_int_equal(inflate_to(inflater, buf_bytes(&wire), 0, &got), RC_OK);
        assert_int_equal(got.size, 0);
        buf_clear(&wire);
        assert_int_equal(deflater_append(deflater, BYTES_LITERAL("abcabc"), &wire), RC_OK);
        assert_int_equal(inflate_to(inflater, buf_bytes(&wire), 6, &got), RC_OK);
        assert_true(bytes_equal(buf_bytes(&got), BYTES_LITERAL("abcabc")));
    }
    deflater_free(deflater);
    inflater_free(inflater);
    buf_deinit(&wire);
    buf_deinit(&got);
}

/* ---- every window ---------------------------------------------------------------------------- */

/* Words that come again at distances of all sizes, and now and then noise. */
static void text_draw(struct prng *prng, struct buf *to, size_t size)
{
    static const char *const words[] = {"{\"seq\":", "channel", "message_id", "\"time\":", "e",
                                        "orders.eu", "null",    "}, ",        "\xC3\xA9"};
    buf_clear(to);
    while (to->size < size) {
        if (prng_below(prng, 4) == 0 && to->size > 300) {
            const size_t back = 1 + (size_t)prng_below(prng, to->size < 70000 ? to->size : 70000);
            const size_t most = back < 300 ? back : 300;
            uint8_t copy[300];
            const size_t copied = 1 + (size_t)prng_below(prng, most);
            bytes_copy(copy, to->data + to->size - back, copied);
            assert_int_equal(buf_append(to, bytes_of(copy, copied)), RC_OK);
        } else if (prng_below(prng, 3) == 0) {
            const uint64_t noise = prng_next(prng);
            assert_int_equal(buf_append(to, bytes_of(&noise, 1 + prng_below(prng, 8))), RC_OK);
        } else {
            const char *word = words[prng_below(prng, sizeof(words) / sizeof(words[0]))];
            assert_int_equal(buf_append(to, bytes_of_text(word)), RC_OK);
        }
    }
    to->size = size;
}

/* zlib with a window of exactly 2^bits, which gives a byte at a time: a match that reaches further
 * back fails. */
static void judge_feed(z_stream *judge, struct bytes wire, struct bytes expected)
{
    uint8_t *stream = malloc(wire.size + 4);
    assert_non_null(stream);
    bytes_copy(stream, wire.data, wire.size);
    bytes_copy(stream + wire.size, "\x00\x00\xff\xff", 4);
    judge->next_in = stream;
    judge->avail_in = (uInt)(wire.size + 4);
    for (size_t i = 0; i < expected.size; i++) {
        uint8_t byte = 0;
        judge->next_out = &byte;
        judge->avail_out = 1;
        assert_int_equal(inflate(judge, Z_SYNC_FLUSH), Z_OK);
        assert_int_equal(judge->avail_out, 0);
        assert_int_equal(byte, expected.data[i]);
    }
    uint8_t more;
    judge->next_out = &more;
    judge->avail_out = 1;
    const int status = inflate(judge, Z_SYNC_FLUSH);
    assert_true(status == Z_OK || status == Z_BUF_ERROR);
    assert_int_equal(judge->avail_out, 1);
    assert_int_equal(judge->avail_in, 0);
    free(stream);
}

static void round_trips(struct prng *prng, uint8_t bits, uint8_t level, bool takeover)
{
    struct deflater *deflater = NULL;
    struct inflater *inflater = NULL;
    struct buf text = {0};
    struct buf wire = {0};
    struct buf got = {0};
    z_stream judge = {0};
    const struct deflater_options options = {bits, level, takeover, 1};
    size_t out_max = 0;
    size_t in_max = 0;
    assert_int_equal(deflater_measure(bits, level, &out_max), RC_OK);
    assert_int_equal(inflater_measure(bits, &in_max), RC_OK);
    assert_int_equal(deflater_new(&options, &deflater), RC_OK);
    assert_int_equal(inflater_new(bits, takeover, &inflater), RC_OK);
    assert_int_equal(inflateInit2(&judge, -(int)bits), Z_OK);
    for (unsigned i = 0; i < 8; i++) {
        text_draw(prng, &text, i == 7 ? 100000 : 1 + (size_t)prng_below(prng, 4000));
        buf_clear(&wire);
        assert_int_equal(deflater_append(deflater, buf_bytes(&text), &wire), RC_OK);
        assert_true(wire.size <= deflate_size_max(text.size));
        if (!takeover) {
            assert_int_equal(inflateReset(&judge), Z_OK);
        }
        judge_feed(&judge, buf_bytes(&wire), buf_bytes(&text));
        assert_int_equal(inflate_to(inflater, buf_bytes(&wire), text.size, &got), RC_OK);
        assert_true(bytes_equal(buf_bytes(&got), buf_bytes(&text)));
        assert_true(deflater_memory(deflater) > 0 && deflater_memory(deflater) < out_max);
        assert_true(inflater_memory(inflater) > 0 && inflater_memory(inflater) < in_max);
    }
    deflater_rest(deflater);
    assert_int_equal(deflater_memory(deflater) > 0, takeover);
    assert_int_equal(inflateEnd(&judge), Z_OK);
    deflater_free(deflater);
    inflater_free(inflater);
    buf_deinit(&text);
    buf_deinit(&wire);
    buf_deinit(&got);
}

static void every_window_and_level_comes_back_and_reaches_no_further(void **state)
{
    (void)state;
    struct prng prng = {.state = 7692};
    for (uint8_t bits = DEFLATE_BITS_MIN; bits <= DEFLATE_BITS_MAX; bits++) {
        for (uint8_t level = DEFLATE_LEVEL_MIN; level <= DEFLATE_LEVEL_MAX; level++) {
            round_trips(&prng, bits, level, false);
            round_trips(&prng, bits, level, true);
        }
    }
}

static void what_cannot_get_smaller_stays_within_the_bound(void **state)
{
    (void)state;
    struct prng prng = {.state = 1};
    struct buf noise = {0};
    struct buf wire = {0};
    for (uint8_t level = DEFLATE_LEVEL_MIN; level <= DEFLATE_LEVEL_MAX; level++) {
        struct deflater *deflater = NULL;
        assert_int_equal(deflater_new(&(struct deflater_options){9, level, true, 1}, &deflater),
                         RC_OK);
        for (size_t size = 1; size < 1000000; size = size * 3 + 1) {
            buf_clear(&noise);
            for (size_t i = 0; i < size; i++) {
                const uint8_t byte = (uint8_t)prng_next(&prng);
                assert_int_equal(buf_append(&noise, bytes_of(&byte, 1)), RC_OK);
            }
            buf_clear(&wire);
            assert_int_equal(deflater_append(deflater, buf_bytes(&noise), &wire), RC_OK);
            assert_true(wire.size <= deflate_size_max(size));
        }
        deflater_free(deflater);
    }
    buf_deinit(&noise);
    buf_deinit(&wire);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

static void bomb_make(size_t size, struct buf *to)
{
    struct deflater *deflater = NULL;
    struct buf zeros = {0};
    assert_int_equal(buf_reserve(&zeros, size), RC_OK);
    bytes_zero(zeros.data, size);
    zeros.size = size;
    assert_int_equal(deflater_new(&(struct deflater_options){15, 9, false, 1}, &deflater), RC_OK);
    assert_int_equal(deflater_append(deflater, buf_bytes(&zeros), to), RC_OK);
    deflater_free(deflater);
    buf_deinit(&zeros);
}

static void a_bomb_is_refused_with_no_more_memory_than_the_limit(void **state)
{
    (void)state;
    const size_t size = 64u << 20;
    struct buf bomb = {0};
    bomb_make(size, &bomb);
    assert_true(bomb.size * 1000 < size);
    for (size_t limit = 1; limit <= 4u << 20; limit *= 64) {
        struct inflater *inflater = NULL;
        size_t most = 0;
        assert_int_equal(inflater_new(15, true, &inflater), RC_OK);
        assert_int_equal(inflater_measure(15, &most), RC_OK);
        struct buf got = {0};
        assert_int_equal(inflate_to(inflater, buf_bytes(&bomb), limit, &got), RC_TOO_LARGE);
        assert_int_equal(got.size, limit + 1);
        /* buffers grow by halves */
        assert_true(got.capacity <= limit + limit / 2 + 2048);
        assert_true(inflater_memory(inflater) < most);
        inflater_free(inflater);
        buf_deinit(&got);
    }
    buf_deinit(&bomb);
}

static void the_limit_is_exact(void **state)
{
    (void)state;
    struct buf wire = {0};
    struct buf got = {0};
    for (size_t size = 1; size < 200000; size = size * 2 + 1) {
        buf_clear(&wire);
        bomb_make(size, &wire);
        for (size_t limit = size - 1; limit <= size + 1; limit++) {
            struct inflater *inflater = NULL;
            assert_int_equal(inflater_new(9, false, &inflater), RC_OK);
            assert_int_equal(inflate_to(inflater, buf_bytes(&wire), limit, &got),
                             limit < size ? RC_TOO_LARGE : RC_OK);
            inflater_free(inflater);
        }
        assert_int_equal(got.size, size);
    }
    buf_deinit(&wire);
    buf_deinit(&got);
}

/* Zeros as zlib deflates them, without the empty block's end; the last block may say that it is. */
static void zeros_deflate(size_t size, bool last, struct buf *to)
{
    static uint8_t zeros[8192];
    uint8_t wire[512];
    z_stream stream = {.next_in = zeros, .avail_in = (uInt)size};
    assert_true(size <= sizeof(zeros));
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_out = wire;
    stream.avail_out = sizeof(wire);
    const int status = deflate(&stream, last ? Z_FINISH : Z_SYNC_FLUSH);
    assert_int_equal(status, last ? Z_STREAM_END : Z_OK);
    const size_t used = sizeof(wire) - stream.avail_out;
    buf_clear(to);
    assert_int_equal(buf_append(to, bytes_of(wire, last ? used : used - 4)), RC_OK);
    assert_int_equal(deflateEnd(&stream), last ? Z_OK : Z_DATA_ERROR);
}

/* What a step of output has no room for comes with the next one, also where all of the input is
 * taken by then: each size across the first steps. */
static void the_end_of_a_step_may_be_anywhere(void **state)
{
    (void)state;
    struct buf wire = {0};
    struct buf got = {0};
    for (int last = 0; last < 2; last++) {
        for (size_t size = 1; size < 4200; size++) {
            struct inflater *inflater = NULL;
            zeros_deflate(size, last == 1, &wire);
            assert_int_equal(inflater_new(15, false, &inflater), RC_OK);
            assert_int_equal(inflate_to(inflater, buf_bytes(&wire), LIMIT, &got), RC_OK);
            assert_int_equal(got.size, size);
            inflater_free(inflater);
            buf_deinit(&got); /* it would have room for the next */
        }
    }
    buf_deinit(&wire);
}

static void a_mebibyte_of_empty_blocks_is_nothing(void **state)
{
    (void)state;
    struct buf wire = {0};
    struct buf got = {0};
    struct inflater *inflater = NULL;
    for (unsigned i = 0; i < 200000; i++) {
        /* five bytes of an empty stored block; two of an empty last block of fixed codes */
        const struct bytes block =
            i % 2 == 0 ? BYTES_LITERAL("\x00\x00\x00\xff\xff") : BYTES_LITERAL("\x03\x00");
        assert_int_equal(buf_append(&wire, block), RC_OK);
    }
    assert_int_equal(buf_append(&wire, BYTES_LITERAL("\0")), RC_OK);
    assert_int_equal(inflater_new(8, true, &inflater), RC_OK);
    assert_int_equal(inflate_to(inflater, buf_bytes(&wire), 10, &got), RC_OK);
    assert_int_equal(got.size, 0);
    inflater_free(inflater);
    buf_deinit(&wire);
    buf_deinit(&got);
}

/* ---- memory that fails ----------------------------------------------------------------------- */

static enum rc both_ways(bool takeover, struct buf *wire, struct buf *got)
{
    struct deflater *deflater = NULL;
    struct inflater *inflater = NULL;
    enum rc rc = deflater_new(&(struct deflater_options){10, 2, takeover, 1}, &deflater);
    if (rc == RC_OK) {
        rc = inflater_new(10, takeover, &inflater);
    }
    for (unsigned i = 0; i < 3 && rc == RC_OK; i++) {
        buf_clear(got);
        buf_clear(wire);
        rc = deflater_append(deflater, BYTES_LITERAL("an event, an event"), wire);
        assert_true(rc == RC_OK || wire->size == 0);
        if (rc == RC_OK) {
            rc = inflater_append(inflater, buf_bytes(wire), 100, got);
        }
    }
    deflater_free(deflater);
    inflater_free(inflater);
    return rc;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    for (unsigned takeover = 0; takeover < 2; takeover++) {
        enum rc rc = RC_NOMEM;
        unsigned k = 0;
        while (rc != RC_OK) {
            struct buf wire = {0};
            struct buf got = {0};
            mem_fault_set(++k, 0);
            rc = both_ways(takeover != 0, &wire, &got);
            mem_fault_set(0, 0);
            assert_true(rc == RC_OK || rc == RC_NOMEM);
            assert_true(rc != RC_OK ||
                        bytes_equal(buf_bytes(&got), BYTES_LITERAL("an event, an event")));
            buf_deinit(&wire);
            buf_deinit(&got);
        }
        assert_true(k > 8); /* two structs, zlib's five and two, two buffers */
        size_t bytes = 0;
        mem_fault_set(2, 0);
        assert_int_equal(deflater_measure(9, 1, &bytes), RC_NOMEM);
        mem_fault_set(1, 0);
        assert_int_equal(deflater_measure(9, 1, &bytes), RC_NOMEM);
        mem_fault_set(2, 0);
        assert_int_equal(inflater_measure(9, &bytes), RC_NOMEM);
        mem_fault_set(1, 0);
        assert_int_equal(inflater_measure(9, &bytes), RC_NOMEM);
        mem_fault_set(0, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_rfc_are_inflated_and_broken_ones_refused),
        cmocka_unit_test(a_context_is_taken_over_or_not),
        cmocka_unit_test(nothing_becomes_an_empty_block),
        cmocka_unit_test(every_window_and_level_comes_back_and_reaches_no_further),
        cmocka_unit_test(what_cannot_get_smaller_stays_within_the_bound),
        cmocka_unit_test(a_bomb_is_refused_with_no_more_memory_than_the_limit),
        cmocka_unit_test(the_limit_is_exact),
        cmocka_unit_test(the_end_of_a_step_may_be_anywhere),
        cmocka_unit_test(a_mebibyte_of_empty_blocks_is_nothing),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
