#include "core/epoch.h"

#include "base/hash.h"

/* 0 stands for "none" elsewhere. */
static uint64_t not_zero(uint64_t epoch)
{
    return epoch == 0 ? 1 : epoch;
}

uint64_t epoch_base_first(uint64_t incarnation, uint32_t partition)
{
    uint8_t bytes[12];
    bytes_store_u64(bytes, incarnation);
    static_assert(sizeof(bytes) == sizeof(incarnation) + sizeof(partition), "all of both");
    bytes_store_u32(bytes + 8, partition);
    return not_zero(hash_bytes(bytes_of(bytes, sizeof(bytes)), 0));
}

uint64_t epoch_of_name(uint64_t base, struct bytes name)
{
    ASSERT(name.size >= 1);
    ASSERT(base != 0);
    return not_zero(hash_bytes(name, base));
}

uint64_t epoch_next(uint64_t epoch, uint64_t pos, uint64_t salt)
{
    ASSERT(epoch != 0);
    uint8_t bytes[24];
    bytes_store_u64(bytes, epoch);
    bytes_store_u64(bytes + 8, pos);
    bytes_store_u64(bytes + 16, salt);
    uint64_t next = not_zero(hash_bytes(bytes_of(bytes, sizeof(bytes)), 0));
    while (next == epoch) {
        next = not_zero(next + 1);
    }
    ASSERT(next != 0);
    ASSERT(next != epoch);
    return next;
}
