/* Goal: the validator says what RFC 3629 says, at the first byte that decides, however it is cut.
 * Method: a naive decoder that forms the code point and looks at its value is the oracle; all
 * sequences of one to three bytes, the four-byte ones at every boundary and at random. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "utf8_oracle.h"
#include "wire/utf8.h"

static enum verdict ours(const uint8_t *data, size_t size)
{
    struct utf8 utf8 = {0};
    if (!utf8_feed(&utf8, bytes_of(data, size))) {
        return BAD;
    }
    return utf8_complete(&utf8) ? VALID : INCOMPLETE;
}

static enum verdict ours_by_bytes(const uint8_t *data, size_t size)
{
    struct utf8 utf8 = {0};
    bool good = true;
    for (size_t i = 0; i < size; i++) {
        good = utf8_feed(&utf8, bytes_of(data + i, 1));
    }
    return !good ? BAD : utf8_complete(&utf8) ? VALID : INCOMPLETE;
}

static void every_sequence_of_up_to_three_bytes_is_judged_as_by_the_reference(void **state)
{
    (void)state;
    size_t wrong = 0;
    size_t count[3] = {0};
    for (uint32_t n = 0; n < 1u << 24; n++) {
        const uint8_t data[3] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
        const enum verdict expected = utf8_naive(data, 3);
        wrong += ours(data, 3) != expected;
        count[expected]++;
    }
    for (uint32_t n = 0; n < 1u << 16; n++) {
        const uint8_t data[2] = {(uint8_t)(n >> 8), (uint8_t)n};
        wrong +=
            ours(data, 2) != utf8_naive(data, 2) || ours_by_bytes(data, 2) != utf8_naive(data, 2);
    }
    for (uint32_t n = 0; n < 1u << 8; n++) {
        const uint8_t data[1] = {(uint8_t)n};
        wrong += ours(data, 1) != utf8_naive(data, 1);
    }
    assert_int_equal(wrong, 0);
    /* Texts of three ASCII bytes, of one and a pair in either order, and of one sequence of three:
     * 128^3 + 2 * 128 * 1920 + 61440. */
    assert_int_equal(count[VALID], 2097152 + 2 * 128 * 1920 + 61440);
    assert_true(count[INCOMPLETE] > 0 && count[BAD] > 0);
}

static void sequences_of_four_bytes_are_judged_as_by_the_reference(void **state)
{
    (void)state;
    static const uint8_t edges[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
    struct prng prng = {.state = 4};
    size_t valid = 0;
    for (uint32_t n = 0; n < 1u << 16; n++) {
        for (size_t i = 0; i < sizeof(edges) + 2; i++) {
            const uint64_t drawn = prng_next(&prng);
            const uint8_t third = i < sizeof(edges) ? edges[i] : (uint8_t)drawn;
            const uint8_t fourth = (uint8_t)(drawn >> 8);
            const uint8_t data[4] = {(uint8_t)(n >> 8), (uint8_t)n, third,
                                     (n & 1) != 0 ? fourth : edges[drawn % sizeof(edges)]};
            const enum verdict expected = utf8_naive(data, 4);
            if (ours(data, 4) != expected || ours_by_bytes(data, 4) != expected) {
                fail_msg("%02x %02x %02x %02x", data[0], data[1], data[2], data[3]);
            }
            valid += expected == VALID;
        }
    }
    assert_true(valid > 1000);
}

/* One sequence, good or bad, at every place of a longer text: blocks and their edges. */
static void a_sequence_counts_the_same_at_every_place_of_a_text(void **state)
{
    (void)state;
    static const char *const sequences[] = {
        "\xC2\x80",
        "\xDF\xBF",
        "\xE0\xA0\x80",
        "\xED\x9F\xBF",
        "\xEE\x80\x80",
        "\xEF\xBF\xBF",
        "\xF0\x90\x80\x80",
        "\xF4\x8F\xBF\xBF",
        "\x80",
        "\xC0\x80",
        "\xC1\xBF",
        "\xE0\x9F\xBF",
        "\xED\xA0\x80",
        "\xED\xBF\xBF",
        "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80",
        "\xF8\x88\x80\x80",
        "\xFE",
        "\xFF",
        "\xC2",
        "\xE1\x80",
        "\xF1\x80\x80",
        "\xCE\xBA\xE1\xBD\xB9",
    };
    for (size_t s = 0; s < sizeof(sequences) / sizeof(sequences[0]); s++) {
        for (size_t size = strlen(sequences[s]); size <= 56; size++) {
            for (size_t at = 0; at + strlen(sequences[s]) <= size; at++) {
                uint8_t text[56];
                memset(text, 'a', size);
                memcpy(text + at, sequences[s], strlen(sequences[s]));
                const enum verdict expected = utf8_naive(text, size);
                assert_int_equal(ours(text, size), expected);
                assert_int_equal(utf8_valid(bytes_of(text, size)), expected == VALID);
            }
        }
    }
}

static void a_text_is_judged_alike_however_it_is_cut(void **state)
{
    (void)state;
    static const char text[] = "ascii first, then \xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5 and "
                               "\xF0\x9F\x98\x80 between plain letters enough for blocks";
    const size_t size = sizeof(text) - 1;
    for (size_t a = 0; a <= size; a++) {
        for (size_t b = a; b <= size; b++) {
            struct utf8 utf8 = {0};
            assert_true(utf8_feed(&utf8, bytes_of(text, a)));
            assert_true(utf8_feed(&utf8, bytes_of(text + a, b - a)));
            assert_true(utf8_feed(&utf8, bytes_of(text + b, size - b)));
            assert_true(utf8_complete(&utf8));
        }
    }
}

static void what_has_failed_stays_failed(void **state)
{
    (void)state;
    struct utf8 utf8 = {0};
    assert_false(utf8_feed(&utf8, BYTES_LITERAL("\xC0")));
    assert_false(utf8_feed(&utf8, BYTES_LITERAL("a")));
    assert_false(utf8_feed(&utf8, BYTES_LITERAL("a plain text that is longer than a block")));
    assert_false(utf8_feed(&utf8, (struct bytes){0}));
    assert_false(utf8_complete(&utf8));
}

static void the_empty_text_is_valid(void **state)
{
    (void)state;
    assert_true(utf8_valid((struct bytes){0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sequence_of_up_to_three_bytes_is_judged_as_by_the_reference),
        cmocka_unit_test(sequences_of_four_bytes_are_judged_as_by_the_reference),
        cmocka_unit_test(a_sequence_counts_the_same_at_every_place_of_a_text),
        cmocka_unit_test(a_text_is_judged_alike_however_it_is_cut),
        cmocka_unit_test(what_has_failed_stays_failed),
        cmocka_unit_test(the_empty_text_is_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
