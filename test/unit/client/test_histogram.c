/* client/histogram: percentiles are those of the values, to 0.1 %.
 * Method: random values of every size, compared with a sorted array. */
#include "client/histogram.h"

#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define VALUES 5000u

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y ? 1 : 0;
}

static struct histogram histogram;
static uint64_t values[VALUES];

static void agrees_with_a_sorted_array(void **state)
{
    (void)state;
    struct prng prng = {.state = 7};
    for (unsigned bits = 1; bits <= 64; bits++) {
        histogram = (struct histogram){0};
        for (unsigned i = 0; i < VALUES; i++) {
            values[i] = prng_next(&prng) >> (64 - bits) >> prng_below(&prng, bits);
            histogram_add(&histogram, values[i]);
        }
        qsort(values, VALUES, sizeof(values[0]), compare);
        assert_int_equal(histogram.count, VALUES);
        assert_true(histogram.max == values[VALUES - 1]);
        for (unsigned permyriad = 2; permyriad <= 10000; permyriad += 2) {
            const uint64_t exact = values[(uint64_t)VALUES * permyriad / 10000 - 1];
            const uint64_t told = histogram_at(&histogram, permyriad);
            assert_true(told >= exact);
            assert_true(told - exact <= exact / 1024);
        }
    }
}

static void an_empty_one_says_0_and_one_value_is_every_percentile(void **state)
{
    (void)state;
    histogram = (struct histogram){0};
    assert_int_equal(histogram_at(&histogram, 5000), 0);
    histogram_add(&histogram, 1000);
    assert_int_equal(histogram_at(&histogram, 1), 1000);
    assert_int_equal(histogram_at(&histogram, 5000), 1000);
    assert_int_equal(histogram_at(&histogram, 10000), 1000);
    histogram_add(&histogram, UINT64_MAX);
    assert_true(histogram_at(&histogram, 10000) == UINT64_MAX);
    assert_true(histogram_at(&histogram, 5000) < 1001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_sorted_array),
        cmocka_unit_test(an_empty_one_says_0_and_one_value_is_every_percentile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
