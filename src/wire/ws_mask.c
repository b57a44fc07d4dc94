/* Masking of WebSocket payloads, [WS 5.3]: 16 bytes at a time, by SSE2 where it is there. */
#include "wire/ws.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define BLOCK 16u

static inline void mask_block(uint8_t *data, uint64_t mask)
{
    ASSERT_HOT((uint32_t)mask == (uint32_t)(mask >> 32));
#ifdef __SSE2__
    __m128i *const at = (__m128i *)(void *)data;
    const __m128i wide = _mm_set1_epi64x((long long)mask);
    _mm_storeu_si128(at, _mm_xor_si128(_mm_loadu_si128(at), wide));
#else
    bytes_store_u64(data, bytes_load_u64(data) ^ mask);
    bytes_store_u64(data + 8, bytes_load_u64(data + 8) ^ mask);
#endif
}

void ws_mask(uint8_t *data, size_t size, const uint8_t mask[static 4], unsigned at)
{
    ASSERT_HOT(size == 0 || data != NULL);
    ASSERT_HOT(at < 4);
    /* The mask turned so that its first byte is that of data[0]; a block is a multiple of its
     * length, so the same word serves for all of them. */
    const uint32_t plain = bytes_load_u32(mask);
    const uint32_t turned = at == 0 ? plain : (plain >> (8 * at)) | (plain << (32 - 8 * at));
    const uint64_t wide = ((uint64_t)turned << 32) | turned;

    while (size >= BLOCK) {
        mask_block(data, wide);
        data += BLOCK;
        size -= BLOCK;
    }
    if (size >= 8) {
        bytes_store_u64(data, bytes_load_u64(data) ^ wide);
        data += 8;
        size -= 8;
    }
    if (size >= 4) {
        bytes_store_u32(data, bytes_load_u32(data) ^ turned);
        data += 4;
        size -= 4;
    }
    for (size_t i = 0; i < size; i++) {
        data[i] ^= (uint8_t)(turned >> (8 * i));
    }
}
