/* server/frames: a run of encoded messages is whole at any moment, also when memory runs out.
 * Method: each allocation fails in turn; what the run shows of itself is compared with what has
 * been added, so that a pointer to a block that has moved meets the sanitizer or other bytes. */
#include "server/frames.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MESSAGES 20u

static char text[1u << 16];

/* Where the list of ends grows, behind a power of two, the bytes must grow as well. */
static struct wire_message message(const struct shared_chunk *chunk)
{
    const uint64_t count = chunk->chunk.count;
    const size_t size = (count & (count - 1)) == 0 ? 2 * chunk->bytes_.size + 40 : 40;
    assert_true(size <= sizeof(text));
    for (size_t i = 0; i < size; i++) {
        text[i] = '1';
    }
    return (struct wire_message){
        .channel = BYTES_LITERAL("orders"),
        .seq = chunk_cursor(&chunk->chunk, chunk->chunk.count),
        .message_id = count + 1,
        .time_ms = 1780000000000u,
        .data = bytes_of(text, size),
    };
}

/* The ends rise to the size of all, and each frame begins with the head of its codec's frames. */
static void check(const struct shared_chunk *shared, uint32_t count)
{
    const struct chunk *chunk = &shared->chunk;
    assert_int_equal(chunk->count, count);
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(chunk->bytes[at], shared->codec == WIRE_JSON ? 0x81 : 0x82);
        assert_true(chunk->ends[i] > at);
        at = chunk->ends[i];
    }
    assert_int_equal(at, shared->bytes_.size);
    uint64_t cursor = 1;
    for (uint32_t i = 0; shared->sparse && i < count; i++) {
        cursor += i % 3 == 1 ? 2 : 1; /* a gap of two messages, or a message */
        assert_true(chunk->steps[i] == (cursor | (i % 3 == 1 ? CHUNK_GAP : 0)));
        assert_true(chunk_cursor(chunk, i + 1) == cursor);
    }
    assert_true(chunk_cursor(chunk, count) == (shared->sparse ? cursor : 1 + count));
}

static void check_all(enum wire_codec codec, bool sparse)
{
    uint64_t refused = 0;
    for (uint64_t k = 1;; k++) {
        struct shared_chunk *chunk = shared_chunk_new(codec, BYTES_LITERAL("orders"), 1);
        struct buf scratch = {0};
        assert_non_null(chunk);
        chunk->sparse = sparse;
        mem_fault_set(k, 0);
        uint32_t count = 0;
        enum rc rc = RC_OK;
        while (count < MESSAGES && rc == RC_OK) {
            const struct wire_message next = message(chunk);
            rc = sparse && count % 3 == 1
                     ? shared_chunk_add_gap(chunk, next.seq + 1, "slow", &scratch)
                     : shared_chunk_add(chunk, &next, &scratch);
            count += rc == RC_OK;
            check(chunk, count);
        }
        mem_fault_set(0, 0);
        assert_int_equal(scratch.size, 0);
        buf_deinit(&scratch);
        shared_chunk_unref(chunk);
        if (rc == RC_OK) {
            break;
        }
        assert_int_equal(rc, RC_NOMEM);
        refused++;
    }
    assert_true(refused > 5);
}

static void a_message_that_finds_no_memory_leaves_the_run_as_it_was(void **state)
{
    (void)state;
    check_all(WIRE_JSON, false);
    check_all(WIRE_BINARY, false);
    check_all(WIRE_JSON, true);
    check_all(WIRE_BINARY, true);
}

/* Compressed or not, message n is message n; memory that runs out leaves the run as it was. */
static void a_run_is_compressed_for_all_message_by_message(void **state)
{
    (void)state;
    const struct deflater_options options = {
        .window_bits = 12, .memory_level = 3, .min_bytes = 200};
    struct deflater *deflater = NULL;
    unsigned plain = 0;
    assert_int_equal(deflater_new(&options, &deflater), RC_OK);
    for (uint64_t k = 1;; k++) {
        struct shared_chunk *shared = shared_chunk_new(WIRE_JSON, BYTES_LITERAL("orders"), 1);
        struct buf scratch = {0};
        assert_non_null(shared);
        while (shared->chunk.count < MESSAGES) {
            const struct wire_message next = message(shared);
            assert_int_equal(shared_chunk_add(shared, &next, &scratch), RC_OK);
        }
        mem_fault_set(k, 0);
        size_t left = SIZE_MAX;
        shared_chunk_deflate(shared, deflater, &left);
        mem_fault_set(0, 0);
        check(shared, MESSAGES);
        const struct chunk *deflated = shared->chunk.deflated;
        buf_deinit(&scratch);
        deflater_rest(deflater);
        if (deflated == NULL) {
            plain++;
            shared_chunk_unref(shared);
            continue;
        }
        assert_int_equal(deflated->count, MESSAGES);
        assert_int_equal(deflated->first_seq, 1);
        assert_true(deflated->ends[MESSAGES - 1] < shared->chunk.ends[MESSAGES - 1] / 4);
        for (uint32_t i = 0; i < MESSAGES; i++) {
            const uint32_t size = shared->chunk.ends[i] - chunk_at(&shared->chunk, i);
            const uint8_t first = deflated->bytes[chunk_at(deflated, i)];
            assert_int_equal(first, size > options.min_bytes + 4 ? 0xC1 : 0x81);
        }
        shared_chunk_unref(shared);
        break;
    }
    assert_true(plain > 5);
    deflater_free(deflater);
}

static void nothing_is_compressed_where_nothing_is_large_enough_or_all_is_skipped(void **state)
{
    (void)state;
    const struct deflater_options options = {
        .window_bits = 9, .memory_level = 1, .min_bytes = 4096};
    struct deflater *deflater = NULL;
    struct shared_chunk *shared = shared_chunk_new(WIRE_JSON, BYTES_LITERAL("orders"), 1);
    struct buf scratch = {0};
    assert_int_equal(deflater_new(&options, &deflater), RC_OK);
    assert_non_null(shared);
    const struct wire_message next = message(shared);
    assert_int_equal(shared_chunk_add(shared, &next, &scratch), RC_OK);
    size_t left = SIZE_MAX;
    shared_chunk_deflate(shared, deflater, &left);
    assert_null(shared->chunk.deflated);
    shared_chunk_skip(shared, 1);
    shared_chunk_deflate(shared, deflater, &left);
    assert_null(shared->chunk.deflated);
    assert_int_equal(deflater_memory(deflater), 0);
    shared_chunk_unref(shared);
    deflater_free(deflater);
    buf_deinit(&scratch);
}

/* [I12] A turn compresses so much; what is beyond goes out as it is, under its number. */
static void of_a_long_run_only_so_much_is_compressed(void **state)
{
    (void)state;
    const struct deflater_options options = {
        .window_bits = 12, .memory_level = 3, .min_bytes = 200};
    struct deflater *deflater = NULL;
    struct shared_chunk *shared = shared_chunk_new(WIRE_JSON, BYTES_LITERAL("orders"), 1);
    struct buf scratch = {0};
    assert_int_equal(deflater_new(&options, &deflater), RC_OK);
    assert_non_null(shared);
    while (shared->chunk.count < MESSAGES) {
        const struct wire_message next = message(shared);
        assert_int_equal(shared_chunk_add(shared, &next, &scratch), RC_OK);
    }
    const uint32_t half = MESSAGES / 2;
    size_t left = shared->chunk.ends[half - 1] + 1; /* one byte of the next one is enough for it */
    shared_chunk_deflate(shared, deflater, &left);
    assert_int_equal(left, 0);
    check(shared, MESSAGES);
    const struct chunk *deflated = shared->chunk.deflated;
    assert_non_null(deflated);
    assert_int_equal(deflated->count, MESSAGES);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        const uint32_t size = shared->chunk.ends[i] - chunk_at(&shared->chunk, i);
        const bool large = size > options.min_bytes + 4;
        assert_int_equal(deflated->bytes[chunk_at(deflated, i)], large && i <= half ? 0xC1 : 0x81);
    }
    shared_chunk_unref(shared);
    deflater_free(deflater);
    buf_deinit(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_that_finds_no_memory_leaves_the_run_as_it_was),
        cmocka_unit_test(a_run_is_compressed_for_all_message_by_message),
        cmocka_unit_test(of_a_long_run_only_so_much_is_compressed),
        cmocka_unit_test(nothing_is_compressed_where_nothing_is_large_enough_or_all_is_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
