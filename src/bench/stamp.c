#include "bench/stamp.h"

#define DUE_AT         1u /* behind the quote */
#define DUE_DIGITS     12u
#define NUMBER_AT      (DUE_AT + DUE_DIGITS)
#define NUMBER_DIGITS  10u
#define CHANNEL_AT     (NUMBER_AT + NUMBER_DIGITS)
#define CHANNEL_DIGITS 6u
static_assert(CHANNEL_AT + CHANNEL_DIGITS + 1 <= STAMP_SIZE_MIN, "it fits, with its quotes");

static void put_hex(uint8_t *to, uint64_t value, size_t digits)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = digits; i > 0; i--) {
        to[i - 1] = (uint8_t)hex[value & 15];
        value >>= 4;
    }
}

/* Latched: `*good` becomes false at what is no digit. */
static uint64_t get_hex(const uint8_t *from, size_t digits, bool *good)
{
    uint64_t value = 0;
    for (size_t i = 0; i < digits; i++) {
        const uint8_t c = from[i];
        const bool decimal = c >= '0' && c <= '9';
        *good = *good && (decimal || (c >= 'a' && c <= 'f'));
        value = value << 4 | (uint64_t)(decimal ? c - '0' : (c - 'a' + 10) & 15);
    }
    return value;
}

void stamp_payload(uint8_t *to, size_t size)
{
    ASSERT(size >= STAMP_SIZE_MIN);
    for (size_t i = 1; i + 1 < size; i++) {
        to[i] = (uint8_t)('a' + i % 26);
    }
    to[0] = '"';
    to[size - 1] = '"';
    stamp_put(to, &(struct stamp){0});
}

void stamp_put(uint8_t *payload, const struct stamp *stamp)
{
    put_hex(payload + DUE_AT, stamp->due_ns, DUE_DIGITS);
    put_hex(payload + NUMBER_AT, stamp->number, NUMBER_DIGITS);
    put_hex(payload + CHANNEL_AT, stamp->channel, CHANNEL_DIGITS);
}

bool stamp_get(struct bytes payload, struct stamp *ret_stamp)
{
    if (payload.size < STAMP_SIZE_MIN || payload.data[0] != '"') {
        return false;
    }
    bool good = true;
    ret_stamp->due_ns = get_hex(payload.data + DUE_AT, DUE_DIGITS, &good);
    ret_stamp->number = get_hex(payload.data + NUMBER_AT, NUMBER_DIGITS, &good);
    ret_stamp->channel = (uint32_t)get_hex(payload.data + CHANNEL_AT, CHANNEL_DIGITS, &good);
    return good;
}
