/* base/pieces: what is in the pieces are the bytes that were put in, and none is moved. Method: a
 * buffer of the same bytes beside them; failing allocations. */
#include "base/pieces.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void pieces_are_what_was_put_in(void **state)
{
    (void)state;
    struct pieces pieces = {0};
    struct buf whole = {0};
    struct prng prng = {.state = 9};
    for (unsigned n = 0; n < 400; n++) {
        uint8_t part[6000];
        const size_t size = (size_t)prng_below(&prng, n % 10 == 0 ? sizeof(part) : 900);
        for (size_t i = 0; i < size; i++) {
            part[i] = (uint8_t)prng_next(&prng);
        }
        assert_int_equal(pieces_append(&pieces, bytes_of(part, size)), RC_OK);
        assert_int_equal(buf_append(&whole, bytes_of(part, size)), RC_OK);
    }
    assert_true(pieces.count > 3);
    assert_int_equal(pieces_size(&pieces), whole.size);
    assert_true(pieces_hash(&pieces, 0) == hash_bytes(buf_bytes(&whole), 0));
    size_t at = 0;
    for (size_t i = 0; i < pieces.count; i++) {
        assert_true(pieces.items[i].size <= 70u * 1024u);
        assert_memory_equal(pieces.items[i].data, whole.data + at, pieces.items[i].size);
        at += pieces.items[i].size;
    }
    assert_int_equal(at, whole.size);
    pieces_deinit(&pieces);
    buf_deinit(&whole);
    assert_int_equal(pieces_size(&pieces), 0);
    assert_true(pieces_hash(&pieces, 0) == hash_bytes((struct bytes){0}, 0));
}

static void pieces_without_memory_are_as_they_were(void **state)
{
    (void)state;
    struct pieces pieces = {0};
    for (uint64_t k = 1; k <= 2; k++) {
        mem_fault_set(k, 0);
        assert_int_equal(pieces_append(&pieces, BYTES_LITERAL("abc")), RC_NOMEM);
        assert_int_equal(pieces_size(&pieces), 0);
    }
    mem_fault_set(0, 0);
    pieces_deinit(&pieces);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_what_was_put_in),
        cmocka_unit_test(pieces_without_memory_are_as_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
