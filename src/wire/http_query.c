/* Query parameters and percent-encoding ([URI 2.1]). */
#include "wire/http.h"

static int hex_value(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    const uint8_t letter = byte | 0x20u;
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* Takes one byte off `text`, decoded. False: a bad escape. */
static bool decoded_next(struct bytes *text, uint8_t *ret_byte)
{
    ASSERT_HOT(ret_byte != NULL);
    ASSERT_HOT(text->size > 0);
    size_t size = 1;
    uint8_t byte = text->data[0];
    if (byte == '%') {
        const int high = text->size > 2 ? hex_value(text->data[1]) : -1;
        const int low = text->size > 2 ? hex_value(text->data[2]) : -1;
        if (high < 0 || low < 0) {
            return false;
        }
        ASSERT_HOT(high <= 15 && low <= 15);
        byte = (uint8_t)(high * 16 + low);
        size = 3;
    }
    *text = bytes_of(text->data + size, text->size - size);
    *ret_byte = byte;
    return true;
}

enum rc http_percent_decode(struct bytes text, struct buf *to)
{
    ASSERT_HOT(text.size == 0 || text.data != NULL);
    const size_t size_before = to->size;
    const enum rc rc = buf_reserve(to, text.size);
    if (rc != RC_OK) {
        return rc;
    }
    while (text.size > 0) {
        uint8_t byte = 0;
        if (!decoded_next(&text, &byte)) {
            to->size = size_before;
            return RC_BAD;
        }
        buf_put_u8(to, byte);
    }
    ASSERT(to->size >= size_before && to->size <= to->capacity);
    return RC_OK;
}

/* Whether `text`, decoded, is `name`; a bad escape is no name of ours. */
static bool name_matches(struct bytes text, const char *name)
{
    ASSERT_HOT(text.size == 0 || text.data != NULL);
    ASSERT(name[0] != '\0');
    for (const char *at = name; *at != '\0'; at++) {
        uint8_t byte = 0;
        if (text.size == 0 || !decoded_next(&text, &byte) || byte != (uint8_t)*at) {
            return false;
        }
    }
    return text.size == 0;
}

/* Takes the range before `separator` off `text`, and the separator. */
static struct bytes take_until(struct bytes *text, uint8_t separator)
{
    const uint8_t *end = text->size > 0 ? memchr(text->data, separator, text->size) : NULL;
    const size_t size = end == NULL ? text->size : (size_t)(end - text->data);
    const struct bytes taken = bytes_of(text->data, size);
    const size_t skip = end == NULL ? size : size + 1;
    ASSERT(skip <= text->size && size <= skip);
    *text = skip == 0 ? *text : bytes_of(text->data + skip, text->size - skip);
    return taken;
}

enum rc http_query_find(struct bytes query, const char *name, struct buf *to, bool *ret_found)
{
    ASSERT(name[0] != '\0');
    struct bytes found = {0};
    size_t count = 0;
    while (query.size > 0) {
        struct bytes value = take_until(&query, '&');
        const struct bytes key = take_until(&value, '=');
        if (name_matches(key, name)) {
            found = value;
            count++;
        }
    }
    if (count > 1) {
        return RC_BAD; /* [P 2] a repeated member is a bad request, here too */
    }
    if (count == 1) {
        const enum rc rc = http_percent_decode(found, to);
        if (rc != RC_OK) {
            return rc;
        }
    }
    *ret_found = count == 1;
    return RC_OK;
}
