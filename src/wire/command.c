#include "wire/command.h"

#include "base/mem.h"
#include "wire/utf8.h"

const char *wire_error_text(enum wire_error_code code)
{
    static const char *const texts[WIRE_ERROR_COUNT] = {
#define X(name, text, status) [WIRE_ERROR_##name] = text,
        WIRE_ERROR_LIST(X)
#undef X
    };
    ASSERT(code < WIRE_ERROR_COUNT);
    ASSERT(texts[code] != NULL);
    return texts[code];
}

unsigned wire_error_status(enum wire_error_code code)
{
    static const unsigned statuses[WIRE_ERROR_COUNT] = {
#define X(name, text, status) [WIRE_ERROR_##name] = status,
        WIRE_ERROR_LIST(X)
#undef X
    };
    ASSERT(code < WIRE_ERROR_COUNT);
    ASSERT(statuses[code] >= 400 && statuses[code] <= 599);
    return statuses[code];
}

void wire_scratch_init(struct wire_scratch *scratch)
{
    *scratch = (struct wire_scratch){0};
}

void wire_scratch_deinit(struct wire_scratch *scratch)
{
    ASSERT((scratch->items_ == NULL) == (scratch->items_capacity_ == 0));
    ASSERT(scratch->arena_.size <= scratch->arena_.capacity);
    buf_deinit(&scratch->arena_);
    mem_free(scratch->items_);
    *scratch = (struct wire_scratch){0};
}

enum rc wire_scratch_items(struct wire_scratch *scratch, size_t count)
{
    ASSERT_HOT(count >= 1 && count <= BATCH_MESSAGES_MAX);
    ASSERT_HOT((scratch->items_ == NULL) == (scratch->items_capacity_ == 0));
    if (count <= scratch->items_capacity_) {
        return RC_OK;
    }
    const size_t capacity = count < 8 ? 8 : count + count / 2;
    struct wire_item *items = mem_realloc(scratch->items_, capacity * sizeof(*items));
    if (items == NULL) {
        return RC_NOMEM;
    }
    scratch->items_ = items;
    scratch->items_capacity_ = capacity;
    ASSERT(capacity >= count);
    return RC_OK;
}

#define EPOCH_BITS_PER_CHARACTER 5u
#define EPOCH_CHARACTERS_MAX     13u /* of 5 bits each: 65, so the first one has 4 */

static_assert(WIRE_EPOCH_TEXT_SIZE == EPOCH_CHARACTERS_MAX + 1, "the longest text and its NUL");

void wire_epoch_text(uint64_t epoch, char text[static WIRE_EPOCH_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    unsigned count = 1;
    while (count < EPOCH_CHARACTERS_MAX && epoch >> (count * EPOCH_BITS_PER_CHARACTER) != 0) {
        count++;
    }
    for (unsigned i = 0; i < count; i++) {
        text[i] = digits[epoch >> ((count - 1 - i) * EPOCH_BITS_PER_CHARACTER) & 31];
    }
    ASSERT_HOT(count >= 1 && count <= EPOCH_CHARACTERS_MAX);
    ASSERT_HOT(count == 1 || text[0] != '0'); /* one epoch has one text */
    text[count] = '\0';
}

bool wire_epoch_parse(struct bytes text, uint64_t *ret_epoch)
{
    if (text.size == 0 || text.size > EPOCH_CHARACTERS_MAX) {
        return false;
    }
    if (text.size > 1 && text.data[0] == '0') {
        return false; /* one epoch has one text */
    }
    uint64_t epoch = 0;
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t c = text.data[i];
        uint64_t digit;
        if (c >= '0' && c <= '9') {
            digit = (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'v') {
            digit = (uint64_t)(c - 'a') + 10;
        } else {
            return false;
        }
        if (epoch >> (64 - EPOCH_BITS_PER_CHARACTER) != 0) {
            return false; /* over 64 bits */
        }
        epoch = epoch << EPOCH_BITS_PER_CHARACTER | digit;
    }
    *ret_epoch = epoch;
    return true;
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Not zero where one of eight bytes is below 0x20, 0x7F or above. What a lane borrows from the next
 * one matters only where it has been found already. */
static inline uint64_t not_plain(uint64_t word)
{
    return ((word - EACH(0x20)) | word | ((word ^ EACH(0x7F)) - EACH(1))) & EACH(0x80);
}

bool wire_is_plain(struct bytes text)
{
    ASSERT_HOT(text.size == 0 || text.data != NULL);
    uint64_t found = 0;
    uint64_t rest = EACH(' ');
    if (text.size < sizeof(rest)) {
        bytes_copy(&rest, text.data, text.size);
        return not_plain(rest) == 0;
    }
    for (size_t at = 0; at + sizeof(rest) < text.size; at += sizeof(rest)) {
        found |= not_plain(bytes_load_u64(text.data + at));
    }
    found |= not_plain(bytes_load_u64(text.data + text.size - sizeof(rest))); /* again in part */
    ASSERT_HOT((found & ~EACH(0x80)) == 0);
    return found == 0;
}

/* [P 2] U+0000 to U+001F, U+007F, U+0080 to U+009F (C2 80 to C2 9F in UTF-8). */
bool wire_has_control(struct bytes text)
{
    if (wire_is_plain(text)) {
        return false;
    }
    bool found = false;
    bool suspect = false; /* no early exit, so that the compiler takes many bytes at a time */
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t c = text.data[i];
        found |= (c < 0x20) | (c == 0x7f);
        suspect |= c == 0xc2;
    }
    for (size_t i = 0; suspect && i + 1 < text.size; i++) {
        found |= text.data[i] == 0xc2 && text.data[i + 1] <= 0x9f;
    }
    return found;
}

bool wire_channel_name_valid(struct bytes name)
{
    return name.size >= 1 && name.size <= CHANNEL_NAME_BYTES_MAX && utf8_valid(name) &&
           !wire_has_control(name);
}
