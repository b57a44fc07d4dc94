#include "base/digest.h"

#include "base/hash.h"
#include "base/limits.h"

enum {
    AT_BEFORE = 0,
    AT_SEQ = 8,
    AT_TIME = 16,
    AT_PRODUCER_SEQ = 24,
    AT_DATA_SIZE = 32,
    AT_DATA_HASH = 40,
    AT_FORM = 48,
    AT_ID_SIZE = 49,
    AT_PRODUCER_SIZE = 50,
    AT_HAS_KEY = 51,
    AT_KEY_SIZE = 52,
    AT_TEXTS = 53,
};

#define FORM_TEXT  1u
#define FORM_BYTES 2u

static_assert(KEY_BYTES_MAX <= DIGEST_TEXT_BYTES_MAX, "a key's size is one byte");
static_assert(PRODUCER_ID_BYTES_MAX <= DIGEST_TEXT_BYTES_MAX, "a producer's size is one byte");

uint64_t digest_start(struct bytes channel)
{
    ASSERT_HOT(channel.size > 0);
    return hash_bytes(channel, 0);
}

uint64_t digest_roll(uint64_t before, const struct digest_message *message)
{
    ASSERT(message->message_id.size <= DIGEST_TEXT_BYTES_MAX);
    ASSERT(message->producer.size <= DIGEST_TEXT_BYTES_MAX);
    ASSERT(!message->has_key || message->key.size <= DIGEST_TEXT_BYTES_MAX);
    const struct bytes key = message->has_key ? message->key : (struct bytes){0};
    uint8_t entry[AT_TEXTS + 3 * DIGEST_TEXT_BYTES_MAX];
    bytes_store_u64(entry + AT_BEFORE, before);
    bytes_store_u64(entry + AT_SEQ, message->seq);
    bytes_store_u64(entry + AT_TIME, message->time_ms);
    bytes_store_u64(entry + AT_PRODUCER_SEQ, message->producer_seq);
    bytes_store_u64(entry + AT_DATA_SIZE, message->data.size);
    bytes_store_u64(entry + AT_DATA_HASH, hash_bytes(message->data, 0));
    entry[AT_FORM] = message->is_bytes ? FORM_BYTES : FORM_TEXT;
    entry[AT_ID_SIZE] = (uint8_t)message->message_id.size;
    entry[AT_PRODUCER_SIZE] = (uint8_t)message->producer.size;
    entry[AT_HAS_KEY] = message->has_key ? 1 : 0;
    entry[AT_KEY_SIZE] = (uint8_t)key.size;
    uint8_t *at = entry + AT_TEXTS;
    bytes_copy(at, message->message_id.data, message->message_id.size);
    at += message->message_id.size;
    bytes_copy(at, message->producer.data, message->producer.size);
    at += message->producer.size;
    bytes_copy(at, key.data, key.size);
    at += key.size;
    return hash_bytes(bytes_of(entry, (size_t)(at - entry)), 0);
}

/* The eight digits of a value below 10^8 as text, the first in the lowest byte. All of them at
 * once, for this is done for every message: halves of four, then pairs, then single ones, in the
 * lanes of one word. */
static uint64_t eight_digits(uint64_t value)
{
    ASSERT_HOT(value < 100000000);
    const uint64_t fours = value / 10000 | value % 10000 << 32;
    const uint64_t hundreds = (fours * 10486 >> 20) & 0x0000007F0000007Fu; /* / 100 */
    const uint64_t twos = hundreds + ((fours - hundreds * 100) << 16);
    const uint64_t tens = (twos * 103 >> 10) & 0x000F000F000F000Fu; /* / 10 */
    const uint64_t ones = tens + ((twos - tens * 10) << 8);
    return ones | 0x3030303030303030u;
}

#define CHUNK_VALUE UINT64_C(100000000) /* of eight digits */

/* All digits of a new number, but the last eight. */
static void id_begin(struct digest_id *id, uint64_t high)
{
    const uint64_t zeros = 0x3030303030303030u;
    const uint64_t first = eight_digits(high / CHUNK_VALUE);
    const uint64_t second = eight_digits(high % CHUNK_VALUE);
    bytes_store_u64(id->digits_, first);
    bytes_store_u64(id->digits_ + 8, second);
    id->high_ = high;
    id->first_ = first != zeros    ? (uint8_t)(__builtin_ctzll(first ^ zeros) / 8)
                 : second != zeros ? (uint8_t)(8 + __builtin_ctzll(second ^ zeros) / 8)
                                   : 16;
}

struct bytes digest_id_text(struct digest_id *id, uint64_t number)
{
    const uint64_t high = number / CHUNK_VALUE;
    if (high != id->high_ || high == 0) {
        id_begin(id, high);
    }
    bytes_store_u64(id->digits_ + 16, eight_digits(number % CHUNK_VALUE));
    size_t first = id->first_;
    while (first >= 16 && first < sizeof(id->digits_) - 1 && id->digits_[first] == '0') {
        first++;
    }
    return bytes_of(id->digits_ + first, sizeof(id->digits_) - first);
}

void digest_text(uint64_t digest, char to[static DIGEST_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < DIGEST_TEXT_SIZE - 1; i++) {
        to[i] = digits[digest >> (60 - 4 * i) & 15];
    }
    to[DIGEST_TEXT_SIZE - 1] = '\0';
}

bool digest_parse(struct bytes text, uint64_t *ret_digest)
{
    if (text.size != DIGEST_TEXT_SIZE - 1) {
        return false;
    }
    uint64_t digest = 0;
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t c = text.data[i];
        const bool is_digit = c >= '0' && c <= '9';
        if (!is_digit && (c < 'a' || c > 'f')) {
            return false;
        }
        digest = digest << 4 | (uint64_t)(is_digit ? c - '0' : c - 'a' + 10);
    }
    *ret_digest = digest;
    return true;
}
