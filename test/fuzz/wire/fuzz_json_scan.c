/* Any bytes through the JSON scanner, and the same bytes through jansson: the verdicts are equal
 * (json_oracle.h names the few places where they cannot be). What the scanner accepts lies in the
 * text, and a container walked member by member ends where the scan of the whole ended. */
#include "wire/json.h"

#include "../../unit/wire/json_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Walks one object or array by the iterator; members' values whole. */
static void walk(struct bytes text, enum json_kind kind)
{
    struct json_scan scan;
    struct json_value name;
    struct json_value value;
    enum rc rc;
    json_scan_init(&scan, text);
    rc = json_scan_open(&scan, kind == JSON_KIND_OBJECT ? '{' : '[');
    ASSERT(rc == RC_OK);
    for (bool first = true;; first = false) {
        rc = kind == JSON_KIND_OBJECT ? json_scan_member(&scan, first, &name)
                                      : json_scan_element(&scan, first);
        if (rc == RC_END) {
            break;
        }
        ASSERT(rc == RC_OK);
        rc = json_scan_value(&scan, &value);
        ASSERT(rc == RC_OK);
    }
    ASSERT(json_scan_offset(&scan) == text.size);
}

static void check_string(const struct json_value *value)
{
    size_t size;
    uint8_t *plain = mem_alloc(value->raw.size);
    ASSERT(plain != NULL);
    if (json_unescape(value, plain, &size)) {
        ASSERT(size <= value->raw.size - 2);
        ASSERT(value->escaped || bytes_equal(bytes_of(plain, size), json_string_inner(value)));
    } else {
        ASSERT(value->escaped);
    }
    mem_free(plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct bytes text = bytes_of(data, size);
    struct json_value value = {0};
    const enum rc rc = json_scan_text(text, &value);
    ASSERT(rc == RC_OK || rc == RC_BAD);
    if (rc == RC_OK) {
        ASSERT(value.raw.size > 0);
        ASSERT(value.raw.data >= data && value.raw.data + value.raw.size <= data + size);
        if (value.too_deep) {
            return 0;
        }
        if (value.kind == JSON_KIND_OBJECT || value.kind == JSON_KIND_ARRAY) {
            walk(value.raw, value.kind);
        } else if (value.kind == JSON_KIND_STRING) {
            check_string(&value);
        }
    }
    const enum oracle oracle = oracle_verdict(text);
    ASSERT(oracle == ORACLE_UNKNOWN || (oracle == ORACLE_GOOD) == (rc == RC_OK));
    return 0;
}
