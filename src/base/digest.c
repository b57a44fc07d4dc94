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

size_t digest_id_text(uint64_t id, uint8_t to[static DIGEST_ID_SIZE])
{
    uint8_t digits[DIGEST_ID_SIZE];
    size_t count = 0;
    do {
        count++;
        digits[DIGEST_ID_SIZE - count] = (uint8_t)('0' + id % 10);
        id /= 10;
    } while (id > 0);
    ASSERT_HOT(count <= DIGEST_ID_SIZE);
    bytes_copy(to, digits + DIGEST_ID_SIZE - count, count);
    return count;
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
