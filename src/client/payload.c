#include "client/payload.h"

#include "wire/json.h"
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
