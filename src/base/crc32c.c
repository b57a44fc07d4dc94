#include "base/crc32c.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#define POLYNOMIAL_REFLECTED 0x82F63B78u

/* One bit of the shift register. The portable way has no table: it runs only where the processor
 * has no instruction for it, and as the oracle of the tests. */
#define STEP(c) (((c) >> 1) ^ (POLYNOMIAL_REFLECTED & (0u - ((c)&1u))))

uint32_t crc32c_portable(uint32_t crc, struct bytes bytes)
{
    crc = ~crc;
    for (size_t i = 0; i < bytes.size; i++) {
        crc ^= bytes.data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = STEP(crc);
        }
    }
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, struct bytes bytes)
{
    uint64_t state = ~crc;
    const uint8_t *at = bytes.data;
    size_t left = bytes.size;
    for (; left >= 8; left -= 8, at += 8) {
        state = _mm_crc32_u64(state, bytes_load_u64(at));
    }
    uint32_t tail = (uint32_t)state;
    for (; left > 0; left--, at++) {
        tail = _mm_crc32_u8(tail, *at);
    }
    return ~tail;
}
#endif

uint32_t crc32c(uint32_t crc, struct bytes bytes)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) {
        return crc32c_sse42(crc, bytes);
    }
#endif
    return crc32c_portable(crc, bytes);
}
