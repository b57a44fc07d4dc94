/* A strict JSON scanner (RFC 8259): it checks the whole grammar, and hands on raw spans.
 *
 * One pass, no allocation, no recursion: nesting costs one bit a level, up to JSON_DEPTH_MAX levels
 * of any one value. A value nested deeper is skipped to its end by counting brackets, so that the
 * rest of the text (a command's `id`, say) can still be read, and is marked `too_deep`.
 *
 * The text must be UTF-8 already checked; the scanner looks at bytes only. Lone surrogate escapes
 * and numbers of any size are well-formed JSON and pass; who needs a string's or a number's meaning
 * asks json_unescape() or json_scan_integer().
 *
 * After RC_BAD the scan is over: json_scan_offset() and json_scan_expected() say why.
 *
 * Thread: the owner's.  Memory: none; every span borrows from the text. */
#ifndef WIRE_JSON_H
#define WIRE_JSON_H

#include "base/bytes.h"
#include "base/limits.h"
#include "base/rc.h"

enum json_kind {
    JSON_KIND_STRING,
    JSON_KIND_NUMBER,
    JSON_KIND_OBJECT,
    JSON_KIND_ARRAY,
    JSON_KIND_TRUE,
    JSON_KIND_FALSE,
    JSON_KIND_NULL,
};

struct json_value {
    struct bytes raw; /* first to last byte, without white space around it; a string's quotes too */
    enum json_kind kind;
    bool escaped;  /* a string that holds a backslash */
    bool too_deep; /* more than JSON_DEPTH_MAX levels: only its brackets and strings were checked */
};

struct json_scan {
    const uint8_t *at_;
    const uint8_t *begin_;
    const uint8_t *end_;
    const char *expected_;
};

void json_scan_init(struct json_scan *scan, struct bytes text);
/* The next value, whatever it is. RC_BAD */
MUST_USE enum rc json_scan_value(struct json_scan *scan, struct json_value *ret_value);
/* Takes an opening '{' or '['. RC_BAD: something else is there */
MUST_USE enum rc json_scan_open(struct json_scan *scan, uint8_t bracket);
/* Inside an object: the next member's name (a string) and its colon; the value is next. `first`
 * directly after the opening.
 * RC_END  the object was closed; RC_BAD */
MUST_USE enum rc json_scan_member(struct json_scan *scan, bool first, struct json_value *ret_name);
/* Inside an array: whether a value is next. RC_END the array was closed; RC_BAD */
MUST_USE enum rc json_scan_element(struct json_scan *scan, bool first);
/* RC_BAD: something but white space is left */
MUST_USE enum rc json_scan_end(struct json_scan *scan);
/* The next byte that is not white space; 0 at the end (a real NUL is never good JSON either). */
uint8_t json_scan_peek(struct json_scan *scan);
/* Where the scan stands, in bytes from the start. */
size_t json_scan_offset(const struct json_scan *scan);
/* After RC_BAD: what should have been there; static. */
const char *json_scan_expected(const struct json_scan *scan);

/* A whole text that is one value of any kind. *ret_value is it.
 * RC_BAD  not JSON */
MUST_USE enum rc json_scan_text(struct bytes text, struct json_value *ret_value);

/* What stands between a string's quotes, as written. */
static inline struct bytes json_string_inner(const struct json_value *string)
{
    ASSERT_HOT(string->kind == JSON_KIND_STRING && string->raw.size >= 2);
    return (struct bytes){string->raw.data + 1, string->raw.size - 2};
}

/* Undoes a string's escapes into `to`, which has room for raw.size - 2 bytes. The result is UTF-8.
 * False: it holds a lone surrogate. */
bool json_unescape(const struct json_value *string, uint8_t *to, size_t *ret_size);

/* A number written as a plain integer from 0 to 2^53 - 1: no sign, no fraction, no exponent.
 * False: anything else. */
bool json_scan_integer(const struct json_value *value, uint64_t *ret_integer);

#endif
