#include "client/payload.h"

#include "wire/base64.h"
#include "wire/json_codec.h"
#include "wire/utf8.h"

enum rc payload_data(struct buf *to, struct bytes text, enum payload_mode mode, bool *ret_bytes)
{
    struct json_value value;
    const bool utf8 = utf8_valid(text);
    *ret_bytes = false;
    if (mode != PAYLOAD_STRING && utf8 && json_scan_text(text, &value) == RC_OK &&
        !value.too_deep) {
        return buf_append(to, value.raw);
    }
    if (mode == PAYLOAD_JSON) {
        return RC_BAD;
    }
    *ret_bytes = !utf8;
    return utf8 ? json_encode_string(to, text) : buf_append(to, text);
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
    const size_t before = to->size;
    bool is_bytes = false;
    enum rc rc = buf_append(to, BYTES_LITERAL("\"data\":"));
    if (rc == RC_OK) {
        rc = payload_data(to, text, mode, &is_bytes);
    }
    if (rc != RC_OK || is_bytes) {
        to->size = before;
    }
    return rc == RC_OK && is_bytes ? encode_base64(to, text) : rc;
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

static enum rc payload_text(struct buf *to, const struct json_value *value)
{
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

enum rc payload_show(struct buf *to, struct bytes data, bool is_bytes)
{
    struct json_value value;
    if (is_bytes) {
        return buf_append(to, data);
    }
    return json_scan_text(data, &value) == RC_OK ? payload_text(to, &value) : RC_BAD;
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
    return payload_text(to, &message->fields[CLIENT_FIELD_DATA]);
}
