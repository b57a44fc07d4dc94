/* client/workload: the load as a function is the load as a list.
 * Method: the list is made naively, message by message; everything the functions say is compared
 * with it, for many shapes. What is published is decoded by the server's own decoder. */
#include "client/workload.h"

#include "base/mem.h"
#include "wire/json.h"
#include "wire/json_codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct workload make(uint64_t messages, uint32_t channels, uint32_t producers,
                            uint32_t batch, uint32_t size)
{
    const struct workload_options options = {.prefix = "w",
                                             .seed = 5,
                                             .messages = messages,
                                             .channels = channels,
                                             .producers = producers,
                                             .batch = batch,
                                             .size = size,
                                             .rate = 1000};
    struct workload workload;
    assert_int_equal(workload_init(&workload, &options), RC_OK);
    return workload;
}

/* Deals the messages out as the head comment says, one after the other. */
static void compare_with_list(uint64_t messages, uint32_t channels, uint32_t producers,
                              uint32_t batch)
{
    struct workload w = make(messages, channels, producers, batch, 64);
    uint64_t numbers[16][16] = {{0}};
    uint64_t commands[16] = {0};
    for (uint64_t m = 0; m < messages; m += batch) {
        const uint32_t producer = (uint32_t)(m / batch % producers);
        const uint64_t k = commands[producer]++;
        const uint32_t channel = (uint32_t)((k + producer) % channels);
        const uint64_t count = messages - m < batch ? messages - m : batch;
        const struct workload_command c = workload_command(&w, producer, k);
        assert_int_equal(c.channel, channel);
        assert_int_equal(c.count, count);
        assert_int_equal(c.first, numbers[channel][producer] + 1);
        assert_int_equal(workload_numbers(&w, channel, producer, k), numbers[channel][producer]);
        for (uint32_t i = 0; i < count; i++) {
            const uint64_t due = (m + i) * 1000000;
            const uint64_t number = ++numbers[channel][producer];
            assert_int_equal(workload_due_ns(&w, producer, k, i), due);
            assert_int_equal(workload_number_due_ns(&w, channel, producer, number), due);
            uint64_t place;
            uint32_t index;
            workload_place(&w, channel, producer, number, &place, &index);
            assert_int_equal(place, k);
            assert_int_equal(c.first + index, number);
        }
    }
    for (uint32_t producer = 0; producer < producers; producer++) {
        assert_int_equal(workload_commands(&w, producer), commands[producer]);
        for (uint32_t channel = 0; channel < channels; channel++) {
            const uint64_t last = numbers[channel][producer];
            assert_int_equal(workload_numbers(&w, channel, producer, commands[producer]), last);
            assert_true(workload_number_due_ns(&w, channel, producer, last + 1) == UINT64_MAX);
            assert_true(workload_number_due_ns(&w, channel, producer, 0) == UINT64_MAX);
        }
    }
    workload_deinit(&w);
}

static void says_the_same_as_a_list_for_many_shapes(void **state)
{
    (void)state;
    for (uint32_t channels = 1; channels <= 6; channels++) {
        for (uint32_t producers = 1; producers <= 5; producers++) {
            for (uint32_t batch = 1; batch <= 4; batch++) {
                compare_with_list(1, channels, producers, batch);
                compare_with_list(97, channels, producers, batch);
                compare_with_list(240, channels, producers, batch);
            }
        }
    }
}

static void data_is_json_of_the_size_asked_for_and_differs_for_every_message(void **state)
{
    (void)state;
    const uint32_t sizes[] = {64, 65, 71, 72, 128, 1000, 40000, 100001};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        struct workload w = make(2000, 3, 2, 1, sizes[s]);
        struct buf before = {0};
        for (uint64_t number = 1; number <= 50; number++) {
            struct buf data = {0};
            struct json_value value;
            assert_int_equal(workload_data(&w, 2, 1, number, &data), RC_OK);
            assert_int_equal(data.size, sizes[s]);
            assert_int_equal(json_scan_text(buf_bytes(&data), &value), RC_OK);
            assert_int_equal(value.kind, JSON_KIND_OBJECT);
            assert_false(bytes_equal(buf_bytes(&before), buf_bytes(&data)));
            buf_deinit(&before);
            before = data;
        }
        buf_deinit(&before);
        workload_deinit(&w);
    }
}

/* The largest numbers that options allow must still fit the smallest size. */
static void the_smallest_size_holds_the_largest_numbers(void **state)
{
    (void)state;
    struct workload w =
        make(UINT32_MAX - 1, WORKLOAD_CHANNELS_MAX, WORKLOAD_PRODUCERS_MAX, 1, WORKLOAD_SIZE_MIN);
    struct buf data = {0};
    assert_int_equal(workload_data(&w, WORKLOAD_CHANNELS_MAX - 1, WORKLOAD_PRODUCERS_MAX - 1,
                                   UINT32_MAX - 1, &data),
                     RC_OK);
    assert_int_equal(data.size, WORKLOAD_SIZE_MIN);
    buf_deinit(&data);
    workload_deinit(&w);
}

static bool is_producer(const struct workload *w, const char *name, uint32_t *ret_producer)
{
    return workload_producer_of(w, bytes_of_text(name), ret_producer);
}

static void producers_are_known_by_name_and_nobody_else_is(void **state)
{
    (void)state;
    struct workload w = make(10, 1, 12, 1, 64);
    char name[WORKLOAD_NAME_SIZE];
    uint32_t producer;
    for (uint32_t i = 0; i < 12; i++) {
        (void)workload_producer_name(&w, i, name);
        assert_true(is_producer(&w, name, &producer));
        assert_int_equal(producer, i);
    }
    const char *const strangers[] = {"",      "w",     "w-p",   "w-p12",
                                     "w-p01", "w-p1x", "x-p1",  "w-c1",
                                     "w_p1",  "w-p-1", "w-p 1", "w-p999999999999999999"};
    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
        assert_false(is_producer(&w, strangers[i], &producer));
    }
    workload_deinit(&w);
}

static void channels_are_known_by_name_and_no_other_is(void **state)
{
    (void)state;
    struct workload w = make(10, 12, 1, 1, 64);
    char name[WORKLOAD_NAME_SIZE];
    uint32_t channel;
    for (uint32_t i = 0; i < 12; i++) {
        (void)workload_channel_name(&w, i, name);
        assert_true(workload_channel_of(&w, bytes_of_text(name), &channel));
        assert_int_equal(channel, i);
    }
    const char *const strangers[] = {"", "w-c", "w-c12", "w-p1", "x-c1", "w-c4294967297"};
    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
        assert_false(workload_channel_of(&w, bytes_of_text(strangers[i]), &channel));
    }
    workload_deinit(&w);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const struct workload_options options = {.prefix = "w",
                                             .seed = 5,
                                             .messages = 100,
                                             .channels = 1,
                                             .producers = 1,
                                             .batch = 1,
                                             .size = 64,
                                             .rate = 1000};
    struct workload none;
    mem_fault_set(1, 0);
    assert_int_equal(workload_init(&none, &options), RC_NOMEM);
    mem_fault_set(0, 0);
    struct workload w = make(100, 1, 1, 1, 64);
    struct buf to = {0};
    mem_fault_set(1, 0);
    assert_int_equal(workload_data(&w, 0, 0, 7, &to), RC_NOMEM);
    mem_fault_set(0, 0);
    assert_int_equal(to.size, 0);
    assert_int_equal(workload_data(&w, 0, 0, 7, &to), RC_OK);
    buf_deinit(&to);
    workload_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_the_same_as_a_list_for_many_shapes),
        cmocka_unit_test(data_is_json_of_the_size_asked_for_and_differs_for_every_message),
        cmocka_unit_test(the_smallest_size_holds_the_largest_numbers),
        cmocka_unit_test(producers_are_known_by_name_and_nobody_else_is),
        cmocka_unit_test(channels_are_known_by_name_and_no_other_is),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
