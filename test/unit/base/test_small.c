/* base/crc32c, hash, list, mem, prng, rc, clock: the small ones, each against published values,
 * a second implementation or a plain array. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- crc32c -------------------------------------------------------------------------------- */

static void crc32c_has_the_published_check_value(void **state)
{
    (void)state;
    assert_true(crc32c(0, BYTES_LITERAL("123456789")) == 0xE3069283u);
    assert_true(crc32c_portable(0, BYTES_LITERAL("123456789")) == 0xE3069283u);
    assert_true(crc32c(0, (struct bytes){0}) == 0);
}

/* RFC 3720, B.4: 32 bytes of zeros, of ones, ascending, descending. */
static void crc32c_has_the_values_of_rfc_3720(void **state)
{
    (void)state;
    uint8_t data[32] = {0};
    assert_true(crc32c(0, bytes_of(data, sizeof(data))) == 0x8A9136AAu);
    for (uint8_t i = 0; i < sizeof(data); i++) {
        data[i] = 0xFF;
    }
    assert_true(crc32c(0, bytes_of(data, sizeof(data))) == 0x62A8AB43u);
    for (uint8_t i = 0; i < sizeof(data); i++) {
        data[i] = i;
    }
    assert_true(crc32c(0, bytes_of(data, sizeof(data))) == 0x46DD794Eu);
    for (uint8_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(31 - i);
    }
    assert_true(crc32c(0, bytes_of(data, sizeof(data))) == 0x113FDB5Cu);
}

static void crc32c_agrees_with_the_portable_way_at_every_size_and_alignment(void **state)
{
    (void)state;
    uint8_t data[160];
    struct prng prng = {.state = 1};
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)prng_next(&prng);
    }
    for (size_t at = 0; at < 16; at++) {
        for (size_t size = 0; size <= sizeof(data) - at; size++) {
            const struct bytes piece = bytes_of(data + at, size);
            assert_true(crc32c(0, piece) == crc32c_portable(0, piece));
        }
    }
}

static void crc32c_of_pieces_is_that_of_the_whole(void **state)
{
    (void)state;
    const struct bytes whole = BYTES_LITERAL("the quick brown fox jumps over the lazy dog");
    for (size_t cut = 0; cut <= whole.size; cut++) {
        const uint32_t first = crc32c(0, bytes_of(whole.data, cut));
        const struct bytes rest = bytes_of(whole.data + cut, whole.size - cut);
        assert_true(crc32c(first, rest) == crc32c(0, whole));
    }
}

/* ---- hash ---------------------------------------------------------------------------------- */

/* The chain of records is stored: a changed hash would make every old log look damaged. */
static void hash_is_xxh3_and_stays_the_same(void **state)
{
    (void)state;
    assert_true(hash_bytes((struct bytes){0}, 0) == UINT64_C(0x2D06800538D394C2));
    assert_true(hash_bytes(BYTES_LITERAL("a"), 0) == UINT64_C(0xE6C632B61E964E1F));
    assert_true(hash_bytes(BYTES_LITERAL("abc"), 0) == UINT64_C(0x78AF5F94892F3950));
    assert_true(hash_bytes(BYTES_LITERAL("abc"), 1) != hash_bytes(BYTES_LITERAL("abc"), 0));
}

/* ---- list ---------------------------------------------------------------------------------- */

struct item {
    int number;
    struct list link;
};

static void a_list_is_first_in_first_out(void **state)
{
    (void)state;
    struct list list;
    struct item items[5];
    list_init(&list);
    assert_true(list_empty(&list));
    assert_null(list_pop_front(&list));
    for (int i = 0; i < 5; i++) {
        items[i].number = i;
        list_push_back(&list, &items[i].link);
    }
    for (int i = 0; i < 5; i++) {
        struct list *node = list_pop_front(&list);
        assert_int_equal(CONTAINER_OF(node, struct item, link)->number, i);
    }
    assert_true(list_empty(&list));
}

static void a_removed_node_may_be_removed_again(void **state)
{
    (void)state;
    struct list list;
    struct item items[3];
    list_init(&list);
    for (int i = 0; i < 3; i++) {
        items[i].number = i;
        list_push_back(&list, &items[i].link);
    }
    list_remove(&items[1].link);
    list_remove(&items[1].link);
    assert_true(list_empty(&items[1].link));
    assert_ptr_equal(list_pop_front(&list), &items[0].link);
    assert_ptr_equal(list_pop_front(&list), &items[2].link);
    assert_null(list_pop_front(&list));
}

/* ---- mem ----------------------------------------------------------------------------------- */

static void the_kth_allocation_fails_once(void **state)
{
    (void)state;
    mem_fault_set(2, 0);
    void *first = mem_alloc(8);
    void *second = mem_calloc(1, 8);
    void *third = mem_alloc(8);
    assert_int_equal(mem_fault_count(), 3);
    mem_fault_set(0, 0);
    assert_non_null(first);
    assert_null(second);
    assert_non_null(third);
    mem_free(first);
    mem_free(third);
}

static void from_the_kth_allocation_on_all_fail_if_asked(void **state)
{
    (void)state;
    void *kept = mem_strdup("kept");
    mem_fault_set(2, 1);
    void *first = mem_alloc(8);
    assert_null(mem_alloc(8));
    assert_null(mem_strdup("x"));
    assert_null(mem_realloc(kept, 100));
    mem_fault_set(0, 0);
    assert_non_null(first);
    assert_string_equal(kept, "kept");
    mem_free(kept);
    mem_free(first);
    mem_free(NULL);
}

static void without_memory_the_process_ends_by_name(void **state)
{
    (void)state;
    int words[2];
    assert_int_equal(pipe(words), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)dup2(words[1], STDERR_FILENO);
        mem_exhausted("this and that");
    }
    (void)close(words[1]);
    char said[200] = "";
    const ssize_t size = read(words[0], said, sizeof(said) - 1);
    (void)close(words[0]);
    assert_true(size > 0);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_string_equal(
        said, "seriatim: out of memory: this and that; ending, what is committed is safe\n");
}

static void a_count_times_size_that_overflows_is_refused(void **state)
{
    (void)state;
    /* Through volatile, so that the compiler does not see (and warn of) the absurdity. */
    volatile size_t count = SIZE_MAX / 2;
    assert_null(mem_calloc(count, 16));
}

/* ---- prng, clock, rc ----------------------------------------------------------------------- */

static void the_same_seed_gives_the_published_numbers(void **state)
{
    (void)state;
    /* The reference outputs of splitmix64 for seed 1234567. */
    struct prng prng = {.state = 1234567};
    assert_true(prng_next(&prng) == UINT64_C(6457827717110365317));
    assert_true(prng_next(&prng) == UINT64_C(3203168211198807973));
    assert_true(prng_next(&prng) == UINT64_C(9817491932198370423));
}

static void numbers_below_a_bound_are_below_it_and_cover_it(void **state)
{
    (void)state;
    struct prng prng = {.state = 5};
    unsigned counts[7] = {0};
    for (int i = 0; i < 7000; i++) {
        const uint64_t n = prng_below(&prng, 7);
        assert_true(n < 7);
        counts[n]++;
    }
    for (int i = 0; i < 7; i++) {
        assert_in_range(counts[i], 800, 1200);
    }
    assert_true(prng_below(&prng, 1) == 0);
}

static uint64_t fixed_mono(void *ctx)
{
    return *(const uint64_t *)ctx;
}

static uint64_t fixed_wall(void *ctx)
{
    return *(const uint64_t *)ctx + 1;
}

static void a_clock_says_what_it_was_given(void **state)
{
    (void)state;
    uint64_t now = 99;
    const struct clock clock = {.mono_ns = fixed_mono, .wall_ms = fixed_wall, .ctx = &now};
    assert_true(clock_mono_ns(&clock) == 99);
    assert_true(clock_wall_ms(&clock) == 100);
}

static void every_result_code_has_a_name_a_text_and_a_class(void **state)
{
    (void)state;
    for (int code = 0; code < RC_COUNT; code++) {
        assert_true(strlen(rc_name((enum rc)code)) > 0);
        assert_true(strlen(rc_text((enum rc)code)) > 0);
        assert_true(rc_class((enum rc)code) <= RC_CLASS_USAGE);
        for (int other = 0; other < code; other++) {
            assert_string_not_equal(rc_name((enum rc)code), rc_name((enum rc)other));
            assert_string_not_equal(rc_text((enum rc)code), rc_text((enum rc)other));
        }
    }
    assert_string_equal(rc_name(RC_NOSPACE), "NOSPACE");
    assert_int_equal(rc_class(RC_NOSPACE), RC_CLASS_DISK);
    assert_int_equal(rc_class(RC_OK), RC_CLASS_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_has_the_published_check_value),
        cmocka_unit_test(crc32c_has_the_values_of_rfc_3720),
        cmocka_unit_test(crc32c_agrees_with_the_portable_way_at_every_size_and_alignment),
        cmocka_unit_test(crc32c_of_pieces_is_that_of_the_whole),
        cmocka_unit_test(hash_is_xxh3_and_stays_the_same),
        cmocka_unit_test(a_list_is_first_in_first_out),
        cmocka_unit_test(a_removed_node_may_be_removed_again),
        cmocka_unit_test(the_kth_allocation_fails_once),
        cmocka_unit_test(from_the_kth_allocation_on_all_fail_if_asked),
        cmocka_unit_test(without_memory_the_process_ends_by_name),
        cmocka_unit_test(a_count_times_size_that_overflows_is_refused),
        cmocka_unit_test(the_same_seed_gives_the_published_numbers),
        cmocka_unit_test(numbers_below_a_bound_are_below_it_and_cover_it),
        cmocka_unit_test(a_clock_says_what_it_was_given),
        cmocka_unit_test(every_result_code_has_a_name_a_text_and_a_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
