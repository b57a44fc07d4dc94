/* Goal: masking by blocks is the byte-wise XOR of [WS 5.3], and touches nothing else.
 * Method: every size and alignment around the blocks against the formula. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "wire/ws.h"

#define ROOM 160

static void masking_is_the_xor_with_byte_i_mod_4(void **state)
{
    (void)state;
    const uint8_t mask[4] = {0x37, 0xFA, 0x21, 0x3D};
    struct prng prng = {.state = 1};
    for (size_t size = 0; size <= 100; size++) {
        for (unsigned at = 0; at < 4; at++) {
            for (size_t shift = 0; shift < 17; shift++) {
                uint8_t data[ROOM];
                uint8_t expected[ROOM];
                for (size_t i = 0; i < ROOM; i++) {
                    data[i] = expected[i] = (uint8_t)prng_next(&prng);
                }
                for (size_t i = 0; i < size; i++) {
                    expected[shift + i] ^= mask[(at + i) % 4];
                }
                ws_mask(data + shift, size, mask, at);
                assert_memory_equal(data, expected, ROOM);
            }
        }
    }
}

static void masking_twice_in_other_pieces_gives_the_text_back(void **state)
{
    (void)state;
    const uint8_t mask[4] = {1, 2, 3, 4};
    uint8_t data[ROOM];
    uint8_t expected[ROOM];
    for (size_t i = 0; i < ROOM; i++) {
        data[i] = expected[i] = (uint8_t)i;
    }
    for (size_t cut = 0; cut <= ROOM; cut++) {
        ws_mask(data, ROOM, mask, 0);
        ws_mask(data, cut, mask, 0);
        ws_mask(data + cut, ROOM - cut, mask, cut % 4);
        assert_memory_equal(data, expected, ROOM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masking_is_the_xor_with_byte_i_mod_4),
        cmocka_unit_test(masking_twice_in_other_pieces_gives_the_text_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
