/* The integers of the binary codec: 1, 2, 4 or 8 bytes, little-endian.
 *
 *     bits 0 and 1 of the first byte   0: 1 byte   1: 2 bytes   2: 4 bytes   3: 8 bytes
 *     all bits above them              the number, below 2^6, 2^14, 2^30 or 2^62
 *
 * One number has one form, the shortest, and none is above 2^53 - 1: so whatever is read can be
 * written back as it came. One load, one shift and one comparison read any of them.
 *
 * Thread: any.  Memory: none. */
#ifndef WIRE_BINARY_INT_H
#define WIRE_BINARY_INT_H

#include "base/bytes.h"
#include "base/limits.h"

#define BINARY_INT_SIZE_MAX 8u

static_assert(WIRE_INTEGER_MAX >> 62 == 0, "the largest number has a form");

static inline unsigned binary_int_code(uint64_t value)
{
    ASSERT_HOT(value <= WIRE_INTEGER_MAX);
    return (unsigned)(value >= 1u << 6) + (value >= 1u << 14) + (value >= 1u << 30);
}

static inline size_t binary_int_size(uint64_t value)
{
    ASSERT_HOT(value <= WIRE_INTEGER_MAX);
    return (size_t)1 << binary_int_code(value);
}

/* Writes 1 to 8 bytes, and may write anything into the rest of the 8 from `at` on. */
static inline uint8_t *binary_int_put(uint8_t *at, uint64_t value)
{
    ASSERT_HOT(at != NULL);
    const unsigned code = binary_int_code(value);
    bytes_store_u64(at, value << 2 | code);
    return at + ((size_t)1 << code);
}

/* Takes one off the front of `*rest`. False: cut off, not in its shortest form, or too large. */
static inline bool binary_int_take(struct bytes *rest, uint64_t *ret_value)
{
    ASSERT_HOT(rest->size == 0 || rest->data != NULL);
    static const uint64_t least[] = {0, 1u << 6, 1u << 14, 1u << 30};
    if (rest->size == 0) {
        return false;
    }
    const unsigned code = rest->data[0] & 3u;
    const size_t size = (size_t)1 << code;
    uint64_t value = 0;
    if (rest->size < size) {
        return false;
    }
    if (rest->size >= sizeof(value)) {
        value = bytes_load_u64(rest->data) & UINT64_MAX >> (64 - 8 * size);
    } else {
        bytes_copy(&value, rest->data, size);
    }
    value >>= 2;
    if (value < least[code] || value > WIRE_INTEGER_MAX) {
        return false;
    }
    rest->data += size;
    rest->size -= size;
    *ret_value = value;
    return true;
}

#endif
