/* cli/lines against a naive split: whatever the pieces, the same lines come out. */
#include "cli/lines.h"

#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* The naive way: the next line of `text` from *at on; false at the end. */
static bool naive_next(struct bytes text, size_t *at, struct bytes *ret_line)
{
    if (*at == text.size) {
        return false;
    }
    size_t end = *at;
    while (end < text.size && text.data[end] != '\n') {
        end++;
    }
    *ret_line = bytes_of(text.data + *at, end - *at);
    *at = end < text.size ? end + 1 : end;
    return true;
}

static void the_same_lines_come_out_whatever_the_pieces(void **state)
{
    (void)state;
    struct prng prng = {.state = 3};
    uint8_t data[200];
    for (int round = 0; round < 3000; round++) {
        const struct bytes text = bytes_of(data, prng_below(&prng, sizeof(data)));
        for (size_t i = 0; i < text.size; i++) {
            data[i] = (uint8_t) "ab\n\r\0"[prng_below(&prng, 5)];
        }
        struct lines lines = {0};
        size_t pushed = 0;
        size_t naive_at = 0;
        struct bytes line;
        struct bytes wanted = {0};
        enum rc rc = RC_AGAIN;
        while (rc != RC_END) {
            rc = lines_next(&lines, sizeof(data), &line);
            if (rc == RC_OK) {
                assert_true(naive_next(text, &naive_at, &wanted));
                assert_true(bytes_equal(line, wanted));
            } else if (rc == RC_AGAIN && pushed < text.size) {
                const size_t size = 1 + prng_below(&prng, text.size - pushed);
                assert_int_equal(lines_push(&lines, bytes_of(data + pushed, size)), RC_OK);
                pushed += size;
            } else if (rc == RC_AGAIN) {
                lines_end(&lines);
            }
        }
        assert_false(naive_next(text, &naive_at, &wanted));
        lines_deinit(&lines);
    }
}

static void a_line_over_the_limit_is_refused_before_it_ends(void **state)
{
    (void)state;
    struct lines lines = {0};
    struct bytes line;
    assert_int_equal(lines_push(&lines, BYTES_LITERAL("abc\nabcd")), RC_OK);
    assert_int_equal(lines_next(&lines, 3, &line), RC_OK);
    assert_true(bytes_equal(line, BYTES_LITERAL("abc")));
    assert_int_equal(lines_next(&lines, 3, &line), RC_TOO_LARGE);
    lines_deinit(&lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_lines_come_out_whatever_the_pieces),
        cmocka_unit_test(a_line_over_the_limit_is_refused_before_it_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
