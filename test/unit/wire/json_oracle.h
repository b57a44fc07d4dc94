/* Whether a text is JSON, in the opinion of jansson: the oracle for our scanner, in unit tests and
 * in the fuzz target.
 *
 * The two differ on purpose in a few places, which are evened out here:
 *  - lone surrogate escapes: jansson refuses them, a payload may hold them. They are rewritten to
 *    \ufffd in the copy that jansson gets;
 *  - \u0000 in a member's name: jansson has no place for it. Rewritten to \u0001;
 *  - numbers beyond a double (1e999): jansson refuses, the grammar does not: ORACLE_UNKNOWN;
 *  - nesting: jansson stops at 2048 levels, we at JSON_DEPTH_MAX: ORACLE_UNKNOWN, and the caller
 *    asks nothing about values that are too deep for us;
 *  - a raw NUL: no JSON holds one, but jansson loses one that follows a number: ORACLE_BAD unasked;
 *  - bad UTF-8: the frame decoder's duty, not the scanner's: ORACLE_UNKNOWN.
 *
 * Thread: any.  Memory: what it takes it frees. */
#ifndef TEST_UNIT_WIRE_JSON_ORACLE_H
#define TEST_UNIT_WIRE_JSON_ORACLE_H

#include "base/bytes.h"
#include "base/mem.h"

#include <jansson.h>

enum oracle {
    ORACLE_GOOD,
    ORACLE_BAD,
    ORACLE_UNKNOWN,
};

/* The unit of the escape \uXXXX at `at`, or -1. */
static inline int oracle_unit(const uint8_t *at, const uint8_t *end)
{
    if (end - at < 6 || at[0] != '\\' || at[1] != 'u') {
        return -1;
    }
    int unit = 0;
    for (int i = 2; i < 6; i++) {
        const char *digits = "0123456789abcdef0123456789ABCDEF";
        const char *found = at[i] == 0 ? NULL : strchr(digits, at[i]);
        if (found == NULL) {
            return -1;
        }
        unit = unit * 16 + (int)((found - digits) % 16);
    }
    return unit;
}

static inline void oracle_even_out(uint8_t *text, size_t size)
{
    const uint8_t *const end = text + size;
    for (uint8_t *at = text; at < end;) {
        const int unit = oracle_unit(at, end);
        if (unit < 0) {
            at += *at == '\\' ? 2 : 1;
            continue;
        }
        if (unit == 0) {
            bytes_copy(at + 2, "0001", 4);
        } else if (unit >= 0xd800 && unit <= 0xdbff) {
            const int low = oracle_unit(at + 6, end);
            if (low >= 0xdc00 && low <= 0xdfff) {
                at += 6;
            } else {
                bytes_copy(at + 2, "fffd", 4);
            }
        } else if (unit >= 0xdc00 && unit <= 0xdfff) {
            bytes_copy(at + 2, "fffd", 4);
        }
        at += 6;
    }
}

static inline enum oracle oracle_verdict(struct bytes text)
{
    /* JSON_REJECT_DUPLICATES and JSON_DISABLE_EOF_CHECK are off. */
    const size_t flags = JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL;
    json_error_t error;
    if (text.size > 0 && memchr(text.data, 0, text.size) != NULL) {
        return ORACLE_BAD;
    }
    uint8_t *copy = mem_alloc(text.size + 1);
    ASSERT(copy != NULL);
    bytes_copy(copy, text.data, text.size);
    oracle_even_out(copy, text.size);
    json_t *json = json_loadb((const char *)copy, text.size, flags, &error);
    mem_free(copy);
    if (json != NULL) {
        json_decref(json);
        return ORACLE_GOOD;
    }
    switch (json_error_code(&error)) {
    case json_error_numeric_overflow:
    case json_error_stack_overflow:
    case json_error_invalid_utf8: return ORACLE_UNKNOWN;
    case json_error_unknown:
    case json_error_out_of_memory:
    case json_error_cannot_open_file:
    case json_error_invalid_argument:
    case json_error_premature_end_of_input:
    case json_error_end_of_input_expected:
    case json_error_invalid_syntax:
    case json_error_invalid_format:
    case json_error_wrong_type:
    case json_error_null_character:
    case json_error_null_value:
    case json_error_null_byte_in_key:
    case json_error_duplicate_key:
    case json_error_item_not_found:
    case json_error_index_out_of_range: break;
    }
    return ORACLE_BAD;
}

#endif
