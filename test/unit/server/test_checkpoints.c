/* server/checkpoints: the oldest one stays, and those behind it stand about as far apart. */
#include "server/checkpoints.h"

#include "base/assert.h"
#include "base/tune.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void add(struct checkpoints *c, uint64_t segment, size_t size)
{
    static const uint8_t bytes[4096];
    struct checkpoint_waiting waiting = {.segment = segment, .pos = 10 * segment};
    assert_true(size <= sizeof(bytes));
    assert_int_equal(pieces_append(&waiting.state, bytes_of(bytes, size)), RC_OK);
    checkpoints_add(c, &waiting);
}

static void take(struct checkpoints *c, uint64_t segment, size_t size)
{
    assert_int_equal(checkpoints_first(c), segment);
    struct checkpoint_waiting waiting = checkpoints_take(c);
    assert_int_equal(waiting.segment, segment);
    assert_int_equal(waiting.pos, 10 * segment);
    assert_int_equal(pieces_size(&waiting.state), size);
    pieces_deinit(&waiting.state);
}

static int usual(void **state)
{
    (void)state;
    tune = tune_default;
    return 0;
}

static void they_are_written_by_number(void **state)
{
    (void)state;
    struct checkpoints c = {0};
    uint64_t bytes = 1;
    assert_int_equal(checkpoints_first(&c), 0);
    assert_int_equal(checkpoints_last(&c, &bytes), 0);
    assert_int_equal(bytes, 0);
    add(&c, 3, 30);
    add(&c, 5, 50);
    assert_int_equal(checkpoints_last(&c, &bytes), 5);
    assert_int_equal(bytes, 50);
    take(&c, 3, 30);
    add(&c, 9, 90);
    take(&c, 5, 50);
    take(&c, 9, 90);
    assert_int_equal(checkpoints_first(&c), 0);
    add(&c, 11, 1);
    checkpoints_deinit(&c);
    assert_int_equal(checkpoints_first(&c), 0);
}

/* Of however many, the first and the last are there, and no two neighbours are further from each
 * other than they must be: half of that is what an even spread would give. */
static void the_first_stays_and_the_others_are_spread(void **state)
{
    (void)state;
    for (unsigned most = 2; most <= CHECKPOINTS_MAX; most++) {
        for (uint64_t last = 2; last <= 200; last++) {
            struct checkpoints c = {0};
            tune.checkpoints = most;
            for (uint64_t segment = 2; segment <= last; segment++) {
                add(&c, segment, segment);
            }
            const unsigned count = last - 1 < most ? (unsigned)last - 1 : most;
            assert_int_equal(c.count, count);
            assert_int_equal(c.items[0].segment, 2);
            assert_int_equal(c.items[count - 1].segment, last);
            const uint64_t even = count < 2 ? 0 : (last - 2 + count - 2) / (count - 1);
            for (unsigned i = 1; i < count; i++) {
                assert_true(c.items[i].segment - c.items[i - 1].segment <= 2 * even);
                assert_int_equal(pieces_size(&c.items[i].state), c.items[i].segment);
            }
            checkpoints_deinit(&c);
        }
    }
}

static void what_they_hold_together_is_bounded(void **state)
{
    (void)state;
    struct checkpoints c = {0};
    tune.checkpoint_bytes = 100;
    assert_false(checkpoints_full(&c));
    add(&c, 2, 60);
    assert_false(checkpoints_full(&c));
    add(&c, 3, 39);
    assert_false(checkpoints_full(&c));
    add(&c, 4, 1);
    assert_true(checkpoints_full(&c));
    take(&c, 2, 60);
    assert_false(checkpoints_full(&c));
    add(&c, 5, 4000); /* it was begun when there was room */
    assert_true(checkpoints_full(&c));
    checkpoints_deinit(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(they_are_written_by_number, usual),
        cmocka_unit_test_setup(the_first_stays_and_the_others_are_spread, usual),
        cmocka_unit_test_setup(what_they_hold_together_is_bounded, usual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
