/* The scanner of wire/json.h.
 *
 * Scalars are read where they stand. A container is read by a loop that knows, for each open level,
 * one bit: object or array. At each turn it stands either before a value or behind one:
 *
 *     before a value ── scalar ──────────────────────────▶ behind a value ── level 0 ──▶ done
 *        ▲    │                                             ▲   │    │
 *        │    └─ '{' or '[': push; closed at once: pop ─────┘   │    └─ '}' or ']': pop, stay
 *        └─ else (a name and a colon first in an object)        │
 *        ▲                                                      │
 *        └────────────────────────── ',' ───────────────────────┘
 *
 * Whatever does not fit is RC_BAD, with the place and what was expected there. */
#include "wire/json.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static_assert(JSON_DEPTH_MAX % 64 == 0, "levels are kept in whole words");

static bool scan_fail(struct json_scan *scan, const uint8_t *at, const char *expected)
{
    ASSERT(expected != NULL);
    ASSERT(at >= scan->begin_ && at <= scan->end_);
    scan->at_ = at;
    scan->expected_ = expected;
    return false;
}

void json_scan_init(struct json_scan *scan, struct bytes text)
{
    ASSERT_HOT(text.size == 0 || text.data != NULL);
    /* Arithmetic on NULL is undefined; an empty text may have it. */
    static const uint8_t empty[1];
    const uint8_t *begin = text.data == NULL ? empty : text.data;
    ASSERT_HOT(begin != NULL);
    *scan = (struct json_scan){.at_ = begin, .begin_ = begin, .end_ = begin + text.size};
}

/* ---- scalars --------------------------------------------------------------------------------- */

static inline bool is_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* The next byte that is not white space, without taking it; 0 at the end. */
static inline uint8_t space_skip(struct json_scan *scan)
{
    ASSERT_HOT(scan->at_ >= scan->begin_);
    ASSERT_HOT(scan->at_ <= scan->end_);
    const uint8_t *at = scan->at_;
    if (at<scan->end_ && * at> ' ') {
        return *at; /* machines write no white space */
    }
    while (at < scan->end_ && is_space(*at)) {
        at++;
    }
    scan->at_ = at;
    return at < scan->end_ ? *at : 0;
}

/* The first byte at or after `at` that ends a run of plain string bytes: a quote, a backslash or a
 * control character; or the end. Sixteen bytes at a time where the machine can. */
static inline const uint8_t *plain_end(const uint8_t *at, const uint8_t *end)
{
    ASSERT_HOT(at <= end);
#ifdef __SSE2__
    while (end - at >= 16) {
        const __m128i piece = _mm_loadu_si128((const __m128i *)(const void *)at);
        const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(piece, _mm_set1_epi8(0x1f)), piece);
        const __m128i quote = _mm_cmpeq_epi8(piece, _mm_set1_epi8('"'));
        const __m128i slash = _mm_cmpeq_epi8(piece, _mm_set1_epi8('\\'));
        const int found = _mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, slash)));
        if (found != 0) {
            return at + __builtin_ctz((unsigned)found);
        }
        at += 16;
    }
#endif
    while (at < end && *at >= 0x20 && *at != '"' && *at != '\\') {
        at++;
    }
    return at;
}

/* The value of a hexadecimal digit, or 16. */
static unsigned hex_value(uint8_t c)
{
    if (is_digit(c)) {
        return (unsigned)(c - '0');
    }
    const uint8_t lower = (uint8_t)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? (unsigned)(lower - 'a' + 10) : 16;
}

/* The end of the escape that begins with the backslash at `at`; NULL: there is no such escape. */
static const uint8_t *escape_end(const uint8_t *at, const uint8_t *end)
{
    ASSERT_HOT(at < end);
    ASSERT_HOT(*at == '\\');
    if (end - at < 2) {
        return NULL;
    }
    switch (at[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't': return at + 2;
    case 'u': break;
    default: return NULL;
    }
    if (end - at < 6) {
        return NULL;
    }
    for (int i = 2; i < 6; i++) {
        if (hex_value(at[i]) > 15) {
            return NULL;
        }
    }
    return at + 6;
}

/* Takes a string; the scan stands at its opening quote. */
static inline bool string_scan(struct json_scan *scan, bool *escaped)
{
    ASSERT_HOT(escaped != NULL);
    ASSERT_HOT(scan->at_ < scan->end_);
    ASSERT_HOT(*scan->at_ == '"');
    const uint8_t *at = scan->at_ + 1;
    for (;;) {
        at = plain_end(at, scan->end_);
        if (at == scan->end_) {
            return scan_fail(scan, at, "the rest of a string");
        }
        if (*at == '"') {
            scan->at_ = at + 1;
            return true;
        }
        if (*at != '\\') {
            return scan_fail(scan, at, "an escape in place of a control character");
        }
        *escaped = true;
        const uint8_t *after = escape_end(at, scan->end_);
        if (after == NULL) {
            return scan_fail(scan, at, "a valid escape");
        }
        at = after;
    }
}

static inline const uint8_t *digits_end(const uint8_t *at, const uint8_t *end)
{
    ASSERT_HOT(at <= end);
    while (at < end && is_digit(*at)) {
        at++;
    }
    ASSERT_HOT(at <= end);
    return at;
}

static bool number_scan(struct json_scan *scan)
{
    ASSERT_HOT(scan->at_ >= scan->begin_);
    ASSERT_HOT(scan->at_ < scan->end_);
    ASSERT_HOT(*scan->at_ == '-' || is_digit(*scan->at_));
    const uint8_t *const end = scan->end_;
    const uint8_t *at = scan->at_;
    if (*at == '-') {
        at++;
    }
    if (at == end || !is_digit(*at)) {
        return scan_fail(scan, at, "a digit");
    }
    at = *at == '0' ? at + 1 : digits_end(at, end); /* [RFC 8259 6] no leading zeros */
    if (at < end && *at == '.') {
        const uint8_t *fraction = at + 1;
        at = digits_end(fraction, end);
        if (at == fraction) {
            return scan_fail(scan, at, "a digit");
        }
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-')) {
            at++;
        }
        const uint8_t *exponent = at;
        at = digits_end(exponent, end);
        if (at == exponent) {
            return scan_fail(scan, at, "a digit");
        }
    }
    scan->at_ = at;
    return true;
}

static bool word_scan(struct json_scan *scan, const char *word, size_t size)
{
    ASSERT_HOT(size > 0);
    ASSERT_HOT(size == strlen(word));
    ASSERT_HOT(scan->at_ < scan->end_);
    if ((size_t)(scan->end_ - scan->at_) < size || memcmp(scan->at_, word, size) != 0) {
        return scan_fail(scan, scan->at_, "a value");
    }
    scan->at_ += size;
    return true;
}

/* Takes a value that is no container; `c` is its first byte. */
static inline bool scalar_scan(struct json_scan *scan, uint8_t c, enum json_kind *kind,
                               bool *escaped)
{
    ASSERT_HOT(scan->at_ <= scan->end_);
    ASSERT_HOT(c != '{' && c != '[');
    if (c == '"') {
        *kind = JSON_KIND_STRING;
        return string_scan(scan, escaped);
    }
    if (is_digit(c) || c == '-') {
        *kind = JSON_KIND_NUMBER;
        return number_scan(scan);
    }
    switch (c) {
    case 't': *kind = JSON_KIND_TRUE; return word_scan(scan, "true", 4);
    case 'f': *kind = JSON_KIND_FALSE; return word_scan(scan, "false", 5);
    case 'n': *kind = JSON_KIND_NULL; return word_scan(scan, "null", 4);
    default: return scan_fail(scan, scan->at_, "a value");
    }
}

/* ---- containers ------------------------------------------------------------------------------ */

/* The open levels of the container being read, innermost last: bit set for an object. */
struct json_levels {
    uint64_t objects[JSON_DEPTH_MAX / 64];
    unsigned depth;
};

static inline bool levels_in_object(const struct json_levels *levels)
{
    ASSERT_HOT(levels->depth <= JSON_DEPTH_MAX);
    ASSERT_HOT(levels->depth > 0);
    const unsigned index = levels->depth - 1;
    return (levels->objects[index / 64] >> (index % 64) & 1) != 0;
}

static inline void levels_push(struct json_levels *levels, bool object)
{
    ASSERT_HOT(levels->depth < JSON_DEPTH_MAX);
    const unsigned index = levels->depth++;
    const uint64_t bit = UINT64_C(1) << (index % 64);
    uint64_t *word = &levels->objects[index / 64];
    *word = object ? *word | bit : *word & ~bit;
}

/* Takes a container that is too deep to check, by counting brackets outside of strings. */
static bool deep_skip(struct json_scan *scan)
{
    ASSERT(scan->at_ < scan->end_);
    ASSERT(*scan->at_ == '{' || *scan->at_ == '[');
    size_t open_count = 0;
    bool escaped;
    while (scan->at_ < scan->end_) {
        const uint8_t c = *scan->at_;
        if (c == '"') {
            if (!string_scan(scan, &escaped)) {
                return false;
            }
            continue;
        }
        scan->at_++;
        if (c == '{' || c == '[') {
            open_count++;
        } else if (c == '}' || c == ']') {
            open_count--;
        }
        if (open_count == 0) {
            return true;
        }
    }
    return scan_fail(scan, scan->at_, "a closing bracket");
}

/* Takes a member's name and its colon, and stands before the value. */
static inline bool name_scan(struct json_scan *scan, bool *escaped)
{
    ASSERT_HOT(scan->at_ <= scan->end_);
    ASSERT_HOT(scan->at_ > scan->begin_);
    if (space_skip(scan) != '"') {
        return scan_fail(scan, scan->at_, "a member's name");
    }
    if (!string_scan(scan, escaped)) {
        return false;
    }
    if (space_skip(scan) != ':') {
        return scan_fail(scan, scan->at_, "a colon");
    }
    scan->at_++;
    return true;
}

/* Before a value: takes a scalar, a container that is empty or too deep (*ret_inside false), or the
 * opening of a container and what comes before its first value (true). */
static inline bool value_enter(struct json_scan *scan, struct json_levels *levels, bool *too_deep,
                               bool *ret_inside)
{
    ASSERT_HOT(scan->at_ <= scan->end_);
    ASSERT_HOT(ret_inside != NULL);
    ASSERT_HOT(levels->depth <= JSON_DEPTH_MAX);
    enum json_kind kind;
    bool escaped;
    const uint8_t c = space_skip(scan);
    *ret_inside = false;
    if (c != '{' && c != '[') {
        return scalar_scan(scan, c, &kind, &escaped);
    }
    if (levels->depth == JSON_DEPTH_MAX) {
        *too_deep = true;
        return deep_skip(scan);
    }
    scan->at_++;
    if (space_skip(scan) == (c == '{' ? '}' : ']')) {
        scan->at_++;
        return true;
    }
    levels_push(levels, c == '{');
    *ret_inside = true;
    return c == '[' || name_scan(scan, &escaped);
}

/* Behind a value: takes closing brackets and a comma, until another value is next (*ret_more) or
 * the outermost level has been closed. */
static inline bool value_leave(struct json_scan *scan, struct json_levels *levels, bool *ret_more)
{
    ASSERT_HOT(scan->at_ <= scan->end_);
    ASSERT_HOT(ret_more != NULL);
    ASSERT_HOT(levels->depth <= JSON_DEPTH_MAX);
    ASSERT_HOT(scan->at_ > scan->begin_);
    bool escaped;
    *ret_more = false;
    while (levels->depth > 0) {
        const bool object = levels_in_object(levels);
        const uint8_t c = space_skip(scan);
        if (c == ',') {
            scan->at_++;
            *ret_more = true;
            return !object || name_scan(scan, &escaped);
        }
        if (c != (object ? '}' : ']')) {
            return scan_fail(scan, scan->at_, object ? "a comma or '}'" : "a comma or ']'");
        }
        scan->at_++;
        levels->depth--;
    }
    return true;
}

/* Takes a container; the scan stands at its opening bracket. */
static bool container_scan(struct json_scan *scan, bool *too_deep)
{
    ASSERT_HOT(scan->at_ < scan->end_);
    ASSERT_HOT(*scan->at_ == '{' || *scan->at_ == '[');
    struct json_levels levels;
    bool inside;
    bool more = true;
    levels.depth = 0;
    while (more) {
        if (!value_enter(scan, &levels, too_deep, &inside)) {
            return false;
        }
        if (!inside && !value_leave(scan, &levels, &more)) {
            return false;
        }
    }
    ASSERT_HOT(levels.depth == 0);
    return true;
}

/* ---- the interface --------------------------------------------------------------------------- */

enum rc json_scan_value(struct json_scan *scan, struct json_value *ret_value)
{
    ASSERT_HOT(ret_value != NULL);
    ASSERT_HOT(scan->at_ >= scan->begin_ && scan->at_ <= scan->end_);
    enum json_kind kind = JSON_KIND_ARRAY;
    bool escaped = false;
    bool too_deep = false;
    const uint8_t c = space_skip(scan);
    const uint8_t *const begin = scan->at_;
    bool good;
    if (c == '{' || c == '[') {
        kind = c == '{' ? JSON_KIND_OBJECT : JSON_KIND_ARRAY;
        good = container_scan(scan, &too_deep);
    } else {
        good = scalar_scan(scan, c, &kind, &escaped);
    }
    if (!good) {
        return RC_BAD;
    }
    ASSERT_HOT(scan->at_ > begin && scan->at_ <= scan->end_);
    ret_value->raw = (struct bytes){begin, (size_t)(scan->at_ - begin)};
    ret_value->kind = kind;
    ret_value->escaped = escaped;
    ret_value->too_deep = too_deep;
    return RC_OK;
}

enum rc json_scan_open(struct json_scan *scan, uint8_t bracket)
{
    ASSERT_HOT(scan->at_ >= scan->begin_);
    ASSERT_HOT(scan->at_ <= scan->end_);
    ASSERT(bracket == '{' || bracket == '[');
    if (space_skip(scan) != bracket) {
        scan_fail(scan, scan->at_, bracket == '{' ? "an object" : "an array");
        return RC_BAD;
    }
    scan->at_++;
    return RC_OK;
}

enum rc json_scan_member(struct json_scan *scan, bool first, struct json_value *ret_name)
{
    ASSERT_HOT(scan->at_ >= scan->begin_);
    ASSERT_HOT(ret_name != NULL);
    ASSERT_HOT(scan->at_ <= scan->end_);
    uint8_t c = space_skip(scan);
    if (c == '}') {
        scan->at_++;
        return RC_END;
    }
    if (!first) {
        if (c != ',') {
            scan_fail(scan, scan->at_, "a comma or '}'");
            return RC_BAD;
        }
        scan->at_++;
        c = space_skip(scan);
    }
    bool escaped = false;
    const uint8_t *const begin = scan->at_;
    if (c != '"') {
        scan_fail(scan, begin, "a member's name");
        return RC_BAD;
    }
    if (!string_scan(scan, &escaped)) {
        return RC_BAD;
    }
    const size_t size = (size_t)(scan->at_ - begin);
    if (space_skip(scan) != ':') {
        scan_fail(scan, scan->at_, "a colon");
        return RC_BAD;
    }
    scan->at_++;
    ret_name->raw = (struct bytes){begin, size};
    ret_name->kind = JSON_KIND_STRING;
    ret_name->escaped = escaped;
    ret_name->too_deep = false;
    return RC_OK;
}

enum rc json_scan_element(struct json_scan *scan, bool first)
{
    ASSERT_HOT(scan->at_ >= scan->begin_);
    ASSERT_HOT(scan->at_ <= scan->end_);
    const uint8_t c = space_skip(scan);
    if (c == ']') {
        scan->at_++;
        return RC_END;
    }
    if (first) {
        return RC_OK;
    }
    if (c != ',') {
        scan_fail(scan, scan->at_, "a comma or ']'");
        return RC_BAD;
    }
    scan->at_++;
    return RC_OK;
}

enum rc json_scan_end(struct json_scan *scan)
{
    ASSERT_HOT(scan->at_ >= scan->begin_);
    ASSERT_HOT(scan->at_ <= scan->end_);
    (void)space_skip(scan);
    if (scan->at_ != scan->end_) {
        scan_fail(scan, scan->at_, "the end of the text");
        return RC_BAD;
    }
    return RC_OK;
}

uint8_t json_scan_peek(struct json_scan *scan)
{
    ASSERT_HOT(scan->at_ >= scan->begin_);
    ASSERT_HOT(scan->at_ <= scan->end_);
    return space_skip(scan);
}

size_t json_scan_offset(const struct json_scan *scan)
{
    ASSERT_HOT(scan->at_ >= scan->begin_);
    ASSERT_HOT(scan->at_ <= scan->end_);
    return (size_t)(scan->at_ - scan->begin_);
}

const char *json_scan_expected(const struct json_scan *scan)
{
    ASSERT(scan->at_ <= scan->end_);
    ASSERT(scan->expected_ != NULL);
    return scan->expected_;
}

enum rc json_scan_text(struct bytes text, struct json_value *ret_value)
{
    ASSERT_HOT(text.size == 0 || text.data != NULL);
    ASSERT_HOT(ret_value != NULL);
    struct json_scan scan;
    struct json_value value;
    json_scan_init(&scan, text);
    enum rc rc = json_scan_value(&scan, &value);
    if (rc != RC_OK) {
        return rc;
    }
    rc = json_scan_end(&scan);
    if (rc != RC_OK) {
        return rc;
    }
    *ret_value = value;
    return RC_OK;
}

/* ---- what strings and numbers mean ----------------------------------------------------------- */

/* The four digits of an escape whose backslash is at `at`. */
static unsigned escape_unit(const uint8_t *at)
{
    ASSERT_HOT(at[0] == '\\' && at[1] == 'u');
    unsigned unit = 0;
    for (int i = 2; i < 6; i++) {
        unit = unit << 4 | hex_value(at[i]);
    }
    ASSERT_HOT(unit <= 0xffff);
    return unit;
}

static size_t utf8_put(uint8_t *to, unsigned point)
{
    ASSERT_HOT(to != NULL);
    ASSERT_HOT(point < 0xd800 || point > 0xdfff);
    ASSERT_HOT(point <= 0x10ffff);
    if (point < 0x80) {
        to[0] = (uint8_t)point;
        return 1;
    }
    if (point < 0x800) {
        to[0] = (uint8_t)(0xc0 | point >> 6);
        to[1] = (uint8_t)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        to[0] = (uint8_t)(0xe0 | point >> 12);
        to[1] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        to[2] = (uint8_t)(0x80 | (point & 0x3f));
        return 3;
    }
    to[0] = (uint8_t)(0xf0 | point >> 18);
    to[1] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
    to[2] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
    to[3] = (uint8_t)(0x80 | (point & 0x3f));
    return 4;
}

/* Undoes the \uXXXX at *at, or the pair of them. False: a lone surrogate. */
static bool unicode_unescape(const uint8_t **at, const uint8_t *end, uint8_t *to, size_t *size)
{
    ASSERT_HOT(to != NULL);
    ASSERT_HOT(size != NULL);
    ASSERT_HOT(end - *at >= 6);
    ASSERT_HOT((*at)[0] == '\\' && (*at)[1] == 'u');
    unsigned point = escape_unit(*at);
    *at += 6;
    if (point >= 0xdc00 && point <= 0xdfff) {
        return false;
    }
    if (point >= 0xd800 && point <= 0xdbff) {
        if (end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u') {
            return false;
        }
        const unsigned low = escape_unit(*at);
        if (low < 0xdc00 || low > 0xdfff) {
            return false;
        }
        *at += 6;
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    }
    *size += utf8_put(to + *size, point);
    return true;
}

static uint8_t short_escape_value(uint8_t c)
{
    switch (c) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return c; /* a quote, a backslash or a slash */
    }
}

bool json_unescape(const struct json_value *string, uint8_t *to, size_t *ret_size)
{
    ASSERT_HOT(to != NULL);
    ASSERT_HOT(ret_size != NULL);
    ASSERT_HOT(string->kind == JSON_KIND_STRING);
    ASSERT_HOT(string->raw.size >= 2);
    const struct bytes inner = json_string_inner(string);
    const uint8_t *at = inner.data;
    const uint8_t *const end = inner.data + inner.size;
    size_t size = 0;
    while (at < end) {
        const uint8_t *run = plain_end(at, end);
        bytes_copy(to + size, at, (size_t)(run - at));
        size += (size_t)(run - at);
        at = run;
        if (at == end) {
            break;
        }
        ASSERT_HOT(*at == '\\'); /* the scanner let nothing else through */
        if (at[1] != 'u') {
            to[size++] = short_escape_value(at[1]);
            at += 2;
        } else if (!unicode_unescape(&at, end, to, &size)) {
            return false;
        }
    }
    ASSERT(size <= inner.size);
    *ret_size = size;
    return true;
}

bool json_scan_integer(const struct json_value *value, uint64_t *ret_integer)
{
    ASSERT_HOT(ret_integer != NULL);
    ASSERT_HOT(value->raw.size > 0);
    enum { DIGITS_MAX = 16 }; /* 2^53 - 1 has 16, so the sum below cannot overflow */
    if (value->kind != JSON_KIND_NUMBER || value->raw.size > DIGITS_MAX) {
        return false;
    }
    uint64_t integer = 0;
    for (size_t i = 0; i < value->raw.size; i++) {
        const uint8_t c = value->raw.data[i];
        if (!is_digit(c)) {
            return false;
        }
        integer = integer * 10 + (uint64_t)(c - '0');
    }
    if (integer > WIRE_INTEGER_MAX) {
        return false;
    }
    *ret_integer = integer;
    return true;
}
