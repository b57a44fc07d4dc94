#include "wire/json_members.h"

#include "wire/base64.h"

/* ---- names ----------------------------------------------------------------------------------- */

static inline enum member member_if(struct bytes name, const char *text, size_t size,
                                    enum member member)
{
    ASSERT_HOT(member < MEMBER_COUNT);
    ASSERT_HOT(name.size == size);
    return memcmp(name.data, text, size) == 0 ? member : MEMBER_COUNT;
}

#define IF(text, member) member_if(name, text, sizeof(text) - 1, MEMBER_##member)

/* By length, then by first byte, then one comparison: this runs for each member of each command. */
static_assert(MEMBER_COUNT <= 32, "a bit for each in `seen`");

enum member member_of(struct bytes name)
{
    ASSERT_HOT(name.size == 0 || name.data != NULL);
    switch (name.size) {
    case 2: return IF("id", ID);
    case 3: return name.data[0] == 'k' ? IF("key", KEY) : IF("seq", SEQ);
    case 4:
        switch (name.data[0]) {
        case 'd': return IF("data", DATA);
        case 'f': return IF("from", FROM);
        default: return name.data[1] == 'y' ? IF("type", TYPE) : IF("time", TIME);
        }
    case 5:
        switch (name.data[0]) {
        case 'b': return IF("batch", BATCH);
        case 'e': return IF("epoch", EPOCH);
        case 'l': return IF("limit", LIMIT);
        case 'q': return IF("quiet", QUIET);
        default: return IF("token", TOKEN);
        }
    case 6: return name.data[0] == 'o' ? IF("on_gap", ON_GAP) : IF("window", WINDOW);
    case 7: return name.data[0] == 'c' ? IF("channel", CHANNEL) : IF("reverse", REVERSE);
    case 8: return IF("producer", PRODUCER);
    case 9: return IF("when_slow", WHEN_SLOW);
    case 11: return IF("data_base64", DATA_BASE64);
    case 12: return IF("producer_seq", PRODUCER_SEQ);
    default: return MEMBER_COUNT;
    }
}

#undef IF

const char *member_name(enum member member)
{
    ASSERT(member < MEMBER_COUNT);
    static const char *const names[MEMBER_COUNT] = {
#define X(name, text) [MEMBER_##name] = text,
        MEMBER_LIST(X)
#undef X
    };
    ASSERT(member < MEMBER_COUNT);
    return names[member];
}

/* [RFC 8259 8.3] names are compared unescaped. */
static enum member member_of_escaped(const struct json_value *name)
{
    ASSERT(name->escaped);
    ASSERT(name->kind == JSON_KIND_STRING);
    ASSERT(name->raw.size >= 2);
    enum { SIZE_MAX_ESCAPED = 12 * 6 }; /* the longest of our names, each character as \uXXXX */
    uint8_t plain[SIZE_MAX_ESCAPED];
    size_t size;
    if (name->raw.size - 2 > sizeof(plain) || !json_unescape(name, plain, &size)) {
        return MEMBER_COUNT;
    }
    return member_of(bytes_of(plain, size));
}

enum rc members_scan(struct json_scan *scan, struct members *members, batch_scan_fn batch,
                     struct decode *decode)
{
    ASSERT_HOT(scan->at_ <= scan->end_);
    ASSERT_HOT(members != NULL);
    ASSERT_HOT(batch == NULL || !decode->in_batch);
    struct json_value name;
    struct json_value ignored;
    members->seen = 0;
    members->repeated = 0;
    members->too_deep = false;
    enum rc rc = json_scan_open(scan, '{');
    if (rc != RC_OK) {
        return rc;
    }
    for (bool first = true;; first = false) {
        rc = json_scan_member(scan, first, &name);
        if (rc != RC_OK) {
            return rc == RC_END ? RC_OK : rc;
        }
        const enum member member =
            name.escaped ? member_of_escaped(&name) : member_of(json_string_inner(&name));
        const uint32_t bit = member == MEMBER_COUNT ? 0 : 1u << member;
        struct json_value *value = bit == 0 ? &ignored : &members->values[member];
        const bool is_new = (members->seen & bit) == 0;
        members->repeated |= members->seen & bit;
        members->seen |= bit;
        if (member == MEMBER_BATCH && batch != NULL && is_new && json_scan_peek(scan) == '[') {
            *value = (struct json_value){.kind = JSON_KIND_ARRAY};
            rc = batch(decode);
        } else {
            rc = json_scan_value(scan, value);
            members->too_deep |= rc == RC_OK && value->too_deep;
        }
        if (rc != RC_OK) {
            return rc;
        }
    }
}

/* ---- refusals -------------------------------------------------------------------------------- */

enum rc decode_refuse(struct decode *decode, enum wire_error_code code, const char *member,
                      const char *expected)
{
    ASSERT(code < WIRE_ERROR_COUNT);
    ASSERT(!decode->in_batch || decode->item_index < UINT32_MAX);
    ASSERT(expected != NULL);
    if (decode->refusal.expected == NULL) {
        decode->refusal = (struct refusal){
            .code = code,
            .in_batch = decode->in_batch,
            .item_index = decode->item_index,
            .member = member,
            .expected = expected,
        };
    }
    return RC_PROTOCOL;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Room in the arena for `size` bytes that come out of the text. All that comes out of one text is
 * no longer than the text, and is reserved at once, so what was handed out before stays put. */
static enum rc arena_take(struct decode *decode, size_t size, uint8_t **ret_room)
{
    ASSERT_HOT(ret_room != NULL);
    struct buf *arena = &decode->scratch->arena_;
    ASSERT(arena->size + size <= decode->text_size);
    if (arena->capacity < decode->text_size) {
        ASSERT(arena->size == 0);
        const enum rc rc = buf_reserve(arena, decode->text_size);
        if (rc != RC_OK) {
            return rc;
        }
    }
    *ret_room = arena->data + arena->size;
    arena->size += size;
    ASSERT_HOT(arena->size <= arena->capacity);
    return RC_OK;
}

/* Gives back the last `size` bytes of what arena_take() gave last. */
static void arena_give(struct decode *decode, size_t size)
{
    ASSERT(decode->scratch->arena_.size >= size);
    decode->scratch->arena_.size -= size;
}

enum rc take_string(struct decode *decode, const struct json_value *value, const char *member,
                    struct bytes *ret_text)
{
    ASSERT_HOT(ret_text != NULL);
    ASSERT_HOT(member[0] != '\0');
    ASSERT_HOT(value->kind != JSON_KIND_STRING || value->raw.size >= 2);
    if (value->kind != JSON_KIND_STRING) {
        return decode_refuse(decode, WIRE_ERROR_BAD_REQUEST, member, "expected a string");
    }
    const struct bytes inner = json_string_inner(value);
    if (!value->escaped) {
        *ret_text = inner;
        return RC_OK;
    }
    uint8_t *room;
    size_t size;
    const enum rc rc = arena_take(decode, inner.size, &room);
    if (rc != RC_OK) {
        return rc;
    }
    if (!json_unescape(value, room, &size)) {
        return decode_refuse(decode, WIRE_ERROR_BAD_REQUEST, member,
                             "expected a string without lone surrogates");
    }
    arena_give(decode, inner.size - size);
    *ret_text = bytes_of(room, size);
    return RC_OK;
}

enum rc take_name(struct decode *decode, const struct json_value *value, const char *member,
                  size_t size_max, struct bytes *ret_name)
{
    ASSERT_HOT(ret_name != NULL);
    ASSERT_HOT(size_max >= 1 && size_max <= 255);
    ASSERT_HOT(member[0] != '\0');
    struct bytes name;
    const enum rc rc = take_string(decode, value, member, &name);
    if (rc != RC_OK) {
        return rc;
    }
    if (name.size > size_max) {
        return decode_refuse(decode, WIRE_ERROR_TOO_LARGE, member,
                             "expected at most 255 bytes of UTF-8");
    }
    if (name.size == 0) {
        return decode_refuse(decode, WIRE_ERROR_BAD_REQUEST, member,
                             "expected 1 to 255 bytes, not an empty string");
    }
    if (wire_has_control(name)) {
        return decode_refuse(decode, WIRE_ERROR_BAD_REQUEST, member,
                             "expected a string without control characters");
    }
    ASSERT_HOT(name.size >= 1 && name.size <= size_max);
    *ret_name = name;
    return RC_OK;
}

enum rc take_key(struct decode *decode, const struct json_value *value, struct bytes *ret_key)
{
    ASSERT_HOT(ret_key != NULL);
    ASSERT_HOT(value->raw.size > 0);
    struct bytes key;
    const enum rc rc = take_string(decode, value, "key", &key);
    if (rc != RC_OK) {
        return rc;
    }
    if (key.size > KEY_BYTES_MAX) {
        return decode_refuse(decode, WIRE_ERROR_TOO_LARGE, "key",
                             "expected at most 255 bytes of UTF-8");
    }
    *ret_key = key;
    return RC_OK;
}

enum rc take_integer(struct decode *decode, const struct json_value *value, const char *member,
                     uint64_t min, uint64_t *ret_integer)
{
    ASSERT_HOT(ret_integer != NULL);
    ASSERT_HOT(member[0] != '\0');
    uint64_t integer;
    ASSERT_HOT(min <= 1);
    if (!json_scan_integer(value, &integer) || integer < min) {
        return decode_refuse(decode, WIRE_ERROR_BAD_REQUEST, member,
                             min == 0 ? "expected an integer from 0 to 9007199254740991"
                                      : "expected an integer from 1 to 9007199254740991");
    }
    ASSERT_HOT(integer >= min && integer <= WIRE_INTEGER_MAX);
    *ret_integer = integer;
    return RC_OK;
}

enum rc take_data(struct decode *decode, const struct json_value *value, struct bytes *ret_data)
{
    ASSERT_HOT(ret_data != NULL);
    ASSERT_HOT(value->raw.size > 0);
    if (value->raw.size > decode->limits->message_bytes) {
        return decode_refuse(decode, WIRE_ERROR_TOO_LARGE, "data",
                             "larger than limits.message_bytes in `connected`");
    }
    *ret_data = value->raw;
    return RC_OK;
}

enum rc take_data_base64(struct decode *decode, const struct json_value *value,
                         struct bytes *ret_data)
{
    ASSERT_HOT(ret_data != NULL);
    ASSERT_HOT(decode->scratch->arena_.size <= decode->text_size);
    static const char member[] = "data_base64";
    struct bytes text;
    enum rc rc = take_string(decode, value, member, &text);
    if (rc != RC_OK) {
        return rc;
    }
    const size_t size_max = base64_decoded_size(text);
    if (size_max > decode->limits->message_bytes) {
        return decode_refuse(decode, WIRE_ERROR_TOO_LARGE, member,
                             "larger than limits.message_bytes in `connected`");
    }
    uint8_t *room;
    size_t size;
    if (value->escaped) {
        /* The unescaped text (PHP writes "\/") is the last of the arena: decode where it stands. */
        struct buf *arena = &decode->scratch->arena_;
        room = arena->data + arena->size - text.size;
        ASSERT(room == text.data || text.size == 0);
    } else {
        rc = arena_take(decode, size_max, &room);
        if (rc != RC_OK) {
            return rc;
        }
    }
    if (!base64_decode(room, text, &size)) {
        return decode_refuse(decode, WIRE_ERROR_BAD_REQUEST, member,
                             "expected standard base64 with padding");
    }
    ASSERT(size == size_max);
    *ret_data = bytes_of(room, size);
    return RC_OK;
}
