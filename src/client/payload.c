#include "client/payload.h"

#include "wire/base64.h"
#include "wire/json_codec.h"
#include "wire/utf8.h"

static enum rc encode_json(struct buf *to, struct bytes text)
{
    struct json_value value;
    if (!utf8_valid(text) || json_scan_text(text, &value) != RC_OK || value.too_deep) {
        return RC_BAD;
    }
    const size_t before = to->size;
    enum rc rc = buf_append(to, BYTES_LITERAL("\"data\":"));
    if (rc == RC_OK) {
        rc = buf_append(to, value.raw);
    }
    if (rc != RC_OK) {
        to->size = before;
    }
    return rc;
}

static enum rc encode_string(struct buf *to, struct bytes text)
{
    const size_t before = to->size;
    enum rc rc = buf_append(to, BYTES_LITERAL("\"data\":"));
    if (rc == RC_OK) {
        rc = json_encode_string(to, text);
    }
    if (rc != RC_OK) {
        to->size = before;
    }
    return rc;
}

static enum rc encode_base64(struct buf *to, struct bytes text)
{
    static const struct bytes head = BYTES_LITERAL("\"data_base64\":\"");
    const size_t size = base64_encoded_size(text.size);
    const enum rc rc = buf_reserve(to, head.size + size + 1);
    if (rc != RC_OK) {
        return rc;
    }
    buf_put(to, head.data, head.size);
    base64_encode(to->data + to->size, text);
    to->size += size;
    buf_put_u8(to, '"');
    return RC_OK;
}

enum rc payload_encode(struct buf *to, struct bytes text, enum payload_mode mode)
{
    if (mode != PAYLOAD_STRING) {
        const enum rc rc = encode_json(to, text);
        if (rc != RC_BAD || mode == PAYLOAD_JSON) {
            return rc;
        }
    }
    return utf8_valid(text) ? encode_string(to, text) : encode_base64(to, text);
}

static enum rc decode_base64(struct buf *to, const struct json_value *value)
{
    if (value->kind != JSON_KIND_STRING) {
        return RC_BAD;
    }
    const struct bytes text = json_string_inner(value);
    const enum rc rc = buf_reserve(to, base64_decoded_size(text) + 1);
    if (rc != RC_OK) {
        return rc;
    }
    size_t size = 0;
    if (!base64_decode(to->data + to->size, text, &size)) {
        return RC_BAD;
    }
    to->size += size;
    return RC_OK;
}

enum rc payload_decode(struct buf *to, const struct client_message *message)
{
    const bool has_data = client_message_has(message, CLIENT_FIELD_DATA);
    if (has_data == client_message_has(message, CLIENT_FIELD_DATA_BASE64)) {
        return RC_BAD;
    }
    if (!has_data) {
        return decode_base64(to, &message->fields[CLIENT_FIELD_DATA_BASE64]);
    }
    const struct json_value *value = &message->fields[CLIENT_FIELD_DATA];
    const enum rc rc = buf_reserve(to, value->raw.size);
    if (rc != RC_OK) {
        return rc;
    }
    size_t size = 0;
    if (value->kind == JSON_KIND_STRING && json_unescape(value, to->data + to->size, &size)) {
        to->size += size;
        return RC_OK;
    }
    return buf_append(to, value->raw);
}
