/* bench/stamp: what is written into a payload is read from it, and nothing else passes for it. */
#include "bench/stamp.h"

#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void a_stamp_is_read_as_it_was_written(void **state)
{
    (void)state;
    uint8_t payload[200];
    struct prng prng = {.state = 3};
    for (unsigned i = 0; i < 2000; i++) {
        const size_t size = STAMP_SIZE_MIN + prng_below(&prng, sizeof(payload) - STAMP_SIZE_MIN);
        const struct stamp in = {.due_ns = prng_next(&prng) >> 16,
                                 .number = prng_next(&prng) >> 24,
                                 .channel = (uint32_t)(prng_next(&prng) >> 40)};
        struct stamp out;
        stamp_payload(payload, size);
        stamp_put(payload, &in);
        assert_true(stamp_get(bytes_of(payload, size), &out));
        assert_true(out.due_ns == in.due_ns && out.number == in.number);
        assert_int_equal(out.channel, in.channel);
        /* A JSON string without anything to escape. */
        assert_int_equal(payload[0], '"');
        assert_int_equal(payload[size - 1], '"');
        for (size_t k = 1; k + 1 < size; k++) {
            assert_true((payload[k] >= '0' && payload[k] <= '9') ||
                        (payload[k] >= 'a' && payload[k] <= 'z'));
        }
    }
}

static void what_is_no_stamp_is_refused(void **state)
{
    (void)state;
    uint8_t payload[64];
    struct stamp stamp;
    stamp_payload(payload, sizeof(payload));
    assert_true(stamp_get(bytes_of(payload, sizeof(payload)), &stamp));
    assert_false(stamp_get(bytes_of(payload, STAMP_SIZE_MIN - 1), &stamp));
    assert_false(stamp_get((struct bytes){0}, &stamp));
    for (size_t i = 0; i <= 28; i++) { /* the quote and each digit */
        uint8_t changed[64];
        bytes_copy(changed, payload, sizeof(payload));
        changed[i] = i % 2 == 0 ? 'g' : 'A';
        assert_false(stamp_get(bytes_of(changed, sizeof(changed)), &stamp));
        changed[i] = '!'; /* below the digits */
        assert_false(stamp_get(bytes_of(changed, sizeof(changed)), &stamp));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stamp_is_read_as_it_was_written),
        cmocka_unit_test(what_is_no_stamp_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
