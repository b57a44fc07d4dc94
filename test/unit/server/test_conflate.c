/* server/conflate: in a span the newest message of each key is kept, and every message without one;
 * a span stays in its bounds, and its last message is always kept.
 * Method: random spans against a naive model; each allocation fails in turn. */
#include "server/conflate.h"

#include "base/mem.h"
#include "base/prng.h"
#include "base/tune.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define MESSAGES_MAX 300u
#define KEYS         7u

static struct prng prng = {.state = 5};
static char keys[MESSAGES_MAX][8]; /* of message `from` + i */
static char large[1u << 16];

static struct wire_message message_of(uint64_t from, uint64_t seq)
{
    const char *key = keys[seq - from];
    return (struct wire_message){
        .channel = BYTES_LITERAL("orders"),
        .seq = seq,
        .key = bytes_of_text(key[0] == '-' ? "" : key),
        .has_key = key[0] != '-', /* an empty key is one, too */
        .data = bytes_of(large, 10),
    };
}

static void draw(void)
{
    static const char *const some[KEYS] = {"-", "", "a", "b", "ab", "aa", "abc"};
    for (unsigned i = 0; i < MESSAGES_MAX; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "%s", some[prng_below(&prng, KEYS)]);
    }
}

static bool is_replaced(uint64_t from, uint64_t seq, uint64_t end)
{
    const struct wire_message message = message_of(from, seq);
    for (uint64_t later = seq + 1; message.has_key && later < end; later++) {
        const struct wire_message other = message_of(from, later);
        if (other.has_key && bytes_equal(other.key, message.key)) {
            return true;
        }
    }
    return false;
}

/* Looks until it is full. Returns the span's end. */
static uint64_t fill(struct conflate *conflate, uint64_t from, uint64_t count)
{
    enum rc rc = RC_OK;
    for (uint64_t seq = from; seq < from + count && rc == RC_OK; seq++) {
        const struct wire_message message = message_of(from, seq);
        rc = conflate_look(conflate, &message);
        assert_true(rc == RC_OK || rc == RC_END);
    }
    assert_int_equal(conflate_full(conflate), rc != RC_OK);
    return conflate_next(conflate);
}

static void check(const struct conflate *conflate, uint64_t from, uint64_t end)
{
    for (uint64_t seq = from; seq < end; seq++) {
        const struct wire_message message = message_of(from, seq);
        assert_int_equal(conflate_keeps(conflate, &message), !is_replaced(from, seq, end));
    }
}

static void the_newest_of_each_key_is_kept_and_all_without_one(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 500; round++) {
        const uint64_t from = 1 + prng_below(&prng, 1000);
        const uint64_t count = 1 + prng_below(&prng, MESSAGES_MAX);
        struct conflate conflate;
        tune.conflate_count = 1 + (uint32_t)prng_below(&prng, 400);
        draw();
        conflate_init(&conflate, 9, from, 1 + (uint32_t)prng_below(&prng, 60));
        const uint64_t end = fill(&conflate, from, count);
        assert_true(end - from == (count < tune.conflate_count ? count : tune.conflate_count));
        check(&conflate, from, end);
        conflate_deinit(&conflate);
        conflate_deinit(&conflate); /* as often as one likes */
    }
    tune = tune_default;
}

/* [I12] who takes few at a time makes nobody look at many. */
static void a_span_is_as_long_as_pays(void **state)
{
    static const struct {
        uint32_t wanted;
        uint64_t span;
    } table[] = {{1, 1000}, {50, 1000}, {100, 2000}, {500, 10000}, {1000, 10000}};
    (void)state;
    for (size_t row = 0; row < sizeof(table) / sizeof(table[0]); row++) {
        struct conflate conflate;
        struct wire_message message = {.seq = 1};
        conflate_init(&conflate, 9, 1, table[row].wanted);
        while (conflate_look(&conflate, &message) == RC_OK) {
            message.seq++;
        }
        assert_true(conflate_next(&conflate) - 1 == table[row].span);
        conflate_deinit(&conflate);
    }
}

/* [I11] [I12] whatever the messages are; but one always fits. */
static void a_span_has_so_many_bytes_and_keys_and_no_more(void **state)
{
    char key[300];
    struct conflate conflate;
    struct wire_message message = {.seq = 1, .data = bytes_of(large, sizeof(large))};
    (void)state;
    conflate_init(&conflate, 9, 1, 1000);
    while (conflate_look(&conflate, &message) == RC_OK) {
        message.seq++;
    }
    assert_int_equal(conflate_next(&conflate) - 1, tune.conflate_bytes / sizeof(large));
    conflate_deinit(&conflate);

    conflate_init(&conflate, 9, 1, 1000);
    message = (struct wire_message){.seq = 1, .has_key = true};
    do {
        const int size = snprintf(key, sizeof(key), "%0255llu", (unsigned long long)message.seq);
        message.key = bytes_of(key, (size_t)size);
        message.seq = conflate_next(&conflate);
    } while (conflate_look(&conflate, &message) == RC_OK);
    const uint64_t count = conflate_next(&conflate) - 1;
    assert_true(count * 255 < tune.conflate_key_bytes);
    assert_true((count + 1) * 280 > tune.conflate_key_bytes);
    assert_true(count < tune.conflate_count);
    conflate_deinit(&conflate);

    tune.conflate_bytes = 1;
    tune.conflate_key_bytes = 1;
    message.seq = 1;
    message.data = bytes_of(large, 10);
    conflate_init(&conflate, 9, 1, 1000);
    assert_int_equal(conflate_look(&conflate, &message), RC_OK);
    assert_true(conflate_keeps(&conflate, &message));
    message.seq = 2;
    assert_int_equal(conflate_look(&conflate, &message), RC_END);
    assert_int_equal(conflate_next(&conflate), 2);
    conflate_deinit(&conflate);
    tune = tune_default;
}

static void without_memory_a_span_is_shorter_and_still_right(void **state)
{
    uint64_t refused = 0;
    (void)state;
    draw();
    for (uint64_t k = 1;; k++) {
        struct conflate conflate;
        mem_fault_set(k, 0);
        conflate_init(&conflate, 9, 3, 1000);
        const uint64_t end = fill(&conflate, 3, MESSAGES_MAX);
        mem_fault_set(0, 0);
        check(&conflate, 3, end);
        conflate_deinit(&conflate);
        if (end == 3 + MESSAGES_MAX) {
            break;
        }
        refused++;
    }
    assert_true(refused >= KEYS - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_of_each_key_is_kept_and_all_without_one),
        cmocka_unit_test(a_span_is_as_long_as_pays),
        cmocka_unit_test(a_span_has_so_many_bytes_and_keys_and_no_more),
        cmocka_unit_test(without_memory_a_span_is_shorter_and_still_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
