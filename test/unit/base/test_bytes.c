/* base/bytes: the growable buffer against a flat array, and the latching reader.
 * Method: random appends and consumes are mirrored in an array; the two must always agree. */
#include "base/bytes.h"

#include "base/mem.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void empty_ranges_are_equal_whatever_they_point_to(void **state)
{
    (void)state;
    assert_true(bytes_equal((struct bytes){0}, bytes_of("x", 0)));
    assert_true(bytes_equal(BYTES_LITERAL("abc"), bytes_of_text("abc")));
    assert_false(bytes_equal(BYTES_LITERAL("abc"), BYTES_LITERAL("abd")));
    assert_false(bytes_equal(BYTES_LITERAL("abc"), BYTES_LITERAL("ab")));
}

static void copies_of_nothing_touch_nothing(void **state)
{
    (void)state;
    bytes_copy(NULL, NULL, 0);
    bytes_move(NULL, NULL, 0);
    bytes_zero(NULL, 0);
    uint8_t text[] = "abcdef";
    bytes_move(text + 1, text, 4);
    assert_memory_equal(text, "aabcdf", 6);
    bytes_zero(text, 2);
    assert_memory_equal(text, "\0\0bcdf", 6);
}

static void loads_read_back_what_stores_wrote_little_endian(void **state)
{
    (void)state;
    uint8_t at[8];
    bytes_store_u16(at, 0x1234u);
    assert_int_equal(at[0], 0x34);
    assert_int_equal(bytes_load_u16(at), 0x1234u);
    bytes_store_u32(at, 0x89ABCDEFu);
    assert_int_equal(at[0], 0xEF);
    assert_true(bytes_load_u32(at) == 0x89ABCDEFu);
    bytes_store_u64(at, UINT64_C(0x0123456789ABCDEF));
    assert_int_equal(at[7], 0x01);
    assert_true(bytes_load_u64(at) == UINT64_C(0x0123456789ABCDEF));
}

#define MODEL_BYTES_MAX 20000

static void a_buffer_agrees_with_a_flat_array_through_random_changes(void **state)
{
    (void)state;
    static uint8_t model[MODEL_BYTES_MAX];
    size_t model_size = 0;
    struct prng prng = {.state = 7};
    struct buf buf = {0};
    for (int step = 0; step < 5000; step++) {
        uint8_t piece[300];
        const size_t size = (size_t)prng_below(&prng, sizeof(piece));
        for (size_t i = 0; i < size; i++) {
            piece[i] = (uint8_t)prng_next(&prng);
        }
        if (model_size + size <= MODEL_BYTES_MAX && prng_below(&prng, 3) > 0) {
            assert_int_equal(buf_append(&buf, bytes_of(piece, size)), RC_OK);
            bytes_copy(model + model_size, piece, size);
            model_size += size;
        } else {
            const size_t count = (size_t)prng_below(&prng, model_size + 1);
            buf_consume(&buf, count);
            bytes_move(model, model + count, model_size - count);
            model_size -= count;
        }
        assert_true(bytes_equal(buf_bytes(&buf), bytes_of(model, model_size)));
        assert_true(buf.capacity >= buf.size);
    }
    buf_deinit(&buf);
    assert_null(buf.data);
    assert_int_equal(buf.capacity, 0);
}

static void clearing_keeps_the_memory(void **state)
{
    (void)state;
    struct buf buf = {0};
    assert_int_equal(buf_append(&buf, BYTES_LITERAL("0123456789")), RC_OK);
    const size_t capacity = buf.capacity;
    buf_clear(&buf);
    assert_int_equal(buf.size, 0);
    assert_int_equal(buf.capacity, capacity);
    buf_deinit(&buf);
}

static void a_failed_allocation_leaves_the_buffer_as_it_was(void **state)
{
    (void)state;
    struct buf buf = {0};
    assert_int_equal(buf_append(&buf, BYTES_LITERAL("kept")), RC_OK);
    mem_fault_set(1, 1);
    const enum rc rc = buf_reserve(&buf, buf.capacity + 1);
    mem_fault_set(0, 0);
    assert_int_equal(rc, RC_NOMEM);
    assert_true(bytes_equal(buf_bytes(&buf), BYTES_LITERAL("kept")));
    buf_deinit(&buf);
}

static void an_absurd_reservation_is_refused_without_overflow(void **state)
{
    (void)state;
    struct buf buf = {0};
    assert_int_equal(buf_append(&buf, BYTES_LITERAL("x")), RC_OK);
    assert_int_equal(buf_reserve(&buf, SIZE_MAX), RC_NOMEM);
    assert_int_equal(buf_reserve(&buf, SIZE_MAX / 2), RC_NOMEM);
    assert_int_equal(buf.size, 1);
    buf_deinit(&buf);
}

static void a_reader_gives_back_what_was_put(void **state)
{
    (void)state;
    struct buf buf = {0};
    assert_int_equal(buf_reserve(&buf, 32), RC_OK);
    buf_put_u8(&buf, 0xA5);
    buf_put_u16(&buf, 0xBEEF);
    buf_put_u32(&buf, 0xDEADBEEFu);
    buf_put_u64(&buf, UINT64_MAX - 1);
    buf_put(&buf, "tail", 4);
    struct bytes_reader reader = {.rest = buf_bytes(&buf)};
    assert_int_equal(reader_u8(&reader), 0xA5);
    assert_int_equal(reader_u16(&reader), 0xBEEF);
    assert_true(reader_u32(&reader) == 0xDEADBEEFu);
    assert_true(reader_u64(&reader) == UINT64_MAX - 1);
    assert_true(bytes_equal(reader_take(&reader, 4), BYTES_LITERAL("tail")));
    assert_false(reader.failed);
    assert_int_equal(reader.rest.size, 0);
    buf_deinit(&buf);
}

static void a_short_read_latches_and_everything_after_it_is_zero(void **state)
{
    (void)state;
    const uint8_t data[] = {1, 2, 3, 4, 5};
    struct bytes_reader reader = {.rest = bytes_of(data, sizeof(data))};
    assert_int_equal(reader_u8(&reader), 1);
    assert_true(reader_u64(&reader) == 0);
    assert_true(reader.failed);
    /* Enough bytes would be there for these, but the reader has lost its place. */
    assert_int_equal(reader_u8(&reader), 0);
    assert_int_equal(reader_u16(&reader), 0);
    assert_int_equal(reader_u32(&reader), 0);
    assert_int_equal(reader_take(&reader, 1).size, 0);
}

/* Shorter than the first guess, as long, and longer. */
static void a_format_of_any_length_is_appended(void **state)
{
    (void)state;
    static const int widths[] = {0, 1, 126, 127, 128, 129, 5000};
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
        struct buf buf = {0};
        char want[5010];
        const int size = snprintf(want, sizeof(want), "ab%*s%d", widths[i], "", 7);
        assert_int_equal(buf_append(&buf, BYTES_LITERAL("ab")), RC_OK);
        assert_int_equal(buf_append_format(&buf, "%*s%d", widths[i], "", 7), RC_OK);
        assert_int_equal(buf.size, size);
        assert_memory_equal(buf.data, want, buf.size);
        buf_deinit(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_format_of_any_length_is_appended),
        cmocka_unit_test(empty_ranges_are_equal_whatever_they_point_to),
        cmocka_unit_test(copies_of_nothing_touch_nothing),
        cmocka_unit_test(loads_read_back_what_stores_wrote_little_endian),
        cmocka_unit_test(a_buffer_agrees_with_a_flat_array_through_random_changes),
        cmocka_unit_test(clearing_keeps_the_memory),
        cmocka_unit_test(a_failed_allocation_leaves_the_buffer_as_it_was),
        cmocka_unit_test(an_absurd_reservation_is_refused_without_overflow),
        cmocka_unit_test(a_reader_gives_back_what_was_put),
        cmocka_unit_test(a_short_read_latches_and_everything_after_it_is_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
