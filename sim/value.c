#include "sim/value.h"

#include "base/assert.h"
#include "base/bytes.h"

#include <string.h>

#define VALUES_MAX (1u << 18)
#define DEPTH_MAX  32u

/* The table, in the order of the text: behind an array or object comes what is in it. */
static struct value values[VALUES_MAX];

struct scan {
    uint8_t *at;
    const uint8_t *end;
    unsigned count;
    unsigned depth;
    unsigned open[DEPTH_MAX]; /* arrays and objects that have not ended, outermost first */
};

static struct value *add(struct scan *scan, enum value_type type)
{
    ASSERT(scan->count < VALUES_MAX);
    struct value *value = &values[scan->count++];
    *value = (struct value){.type = type, .span = 1};
    return value;
}

static void skip_space(struct scan *scan)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t')) {
        scan->at++;
    }
}

/* Takes that byte if it is the next. */
static bool take(struct scan *scan, uint8_t byte)
{
    if (scan->at == scan->end || *scan->at != byte) {
        return false;
    }
    scan->at++;
    return true;
}

/* ---- texts ----------------------------------------------------------------------------------- */

static bool hex4(struct scan *scan, unsigned *ret_value)
{
    unsigned value = 0;
    for (unsigned i = 0; i < 4; i++) {
        if (scan->at == scan->end) {
            return false;
        }
        const uint8_t byte = *scan->at++;
        if (byte >= '0' && byte <= '9') {
            value = value * 16 + byte - '0';
        } else if ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'f') {
            value = value * 16 + 10 + (byte | 0x20u) - 'a';
        } else {
            return false;
        }
    }
    *ret_value = value;
    return true;
}

/* What stands in the text as \uXXXX, maybe in two halves. */
static bool code_point(struct scan *scan, unsigned *ret_code)
{
    unsigned high;
    unsigned low;
    if (!hex4(scan, &high) || high == 0 || (high >= 0xDC00 && high <= 0xDFFF)) {
        return false;
    }
    *ret_code = high;
    if (high < 0xD800 || high > 0xDBFF) {
        return true;
    }
    if (!take(scan, '\\') || !take(scan, 'u') || !hex4(scan, &low) || low < 0xDC00 ||
        low > 0xDFFF) {
        return false;
    }
    *ret_code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    return true;
}

/* As UTF-8; never longer than it was as an escape. */
static uint8_t *code_put(uint8_t *to, unsigned code)
{
    if (code < 0x80) {
        *to++ = (uint8_t)code;
        return to;
    }
    const unsigned more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t first[] = {0, 0xC0, 0xE0, 0xF0};
    *to++ = (uint8_t)(first[more] | (code >> (6 * more)));
    for (unsigned i = more; i-- > 0;) {
        *to++ = (uint8_t)(0x80 | ((code >> (6 * i)) & 0x3F));
    }
    return to;
}

static bool escape(struct scan *scan, uint8_t **to)
{
    static const char names[] = "\"\\/bfnrt";
    static const char means[] = "\"\\/\b\f\n\r\t";
    if (scan->at == scan->end) {
        return false;
    }
    const uint8_t name = *scan->at++;
    if (name == 'u') {
        unsigned code;
        if (!code_point(scan, &code)) {
            return false;
        }
        *to = code_put(*to, code);
        return true;
    }
    const char *found = name == '\0' ? NULL : strchr(names, name);
    if (found != NULL) {
        *(*to)++ = (uint8_t)means[found - names];
    }
    return found != NULL;
}

/* One character of more than one byte; refuses what is too long, a half, or too large. */
static bool wide(struct scan *scan, uint8_t **to)
{
    static const unsigned least[] = {0, 0x80, 0x800, 0x10000};
    const uint8_t first = *scan->at;
    const unsigned more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    if (first < 0xC0 || first > 0xF7 || (size_t)(scan->end - scan->at) <= more) {
        return false;
    }
    unsigned code = first & (0x3Fu >> more);
    for (unsigned i = 1; i <= more; i++) {
        if ((scan->at[i] & 0xC0) != 0x80) {
            return false;
        }
        code = (code << 6) | (scan->at[i] & 0x3Fu);
    }
    if (code < least[more] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
        return false;
    }
    *to = code_put(*to, code);
    scan->at += more + 1;
    return true;
}

/* Bytes that stand for themselves. */
static bool plain(uint8_t byte)
{
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

/* Of eight bytes at once. The last is exact where all of them are below 128. */
#define EACH(byte)         (0x0101010101010101u * (byte))
#define ANY_ZERO(word)     (((word)-EACH(1u)) & ~(word)&EACH(0x80u))
#define ANY_BELOW_20(word) (((word)-EACH(0x20u)) & EACH(0x80u))

/* Eight at a time: payloads are long. */
static void skip_plain(struct scan *scan)
{
    while (scan->end - scan->at >= 8) {
        uint64_t word;
        bytes_copy(&word, scan->at, 8);
        if (((word & EACH(0x80u)) | ANY_BELOW_20(word) | ANY_ZERO(word ^ EACH((uint64_t)'"')) |
             ANY_ZERO(word ^ EACH((uint64_t)'\\'))) != 0) {
            break;
        }
        scan->at += 8;
    }
    while (scan->at < scan->end && plain(*scan->at)) {
        scan->at++;
    }
}

static bool scan_text(struct scan *scan)
{
    struct value *value = add(scan, VALUE_TEXT);
    value->text = (const char *)scan->at;
    skip_plain(scan);
    uint8_t *to = scan->at; /* behind the first escape it lags */
    while (scan->at < scan->end && *scan->at != '"') {
        if (plain(*scan->at)) {
            *to++ = *scan->at++;
        } else if (*scan->at < 0x20) {
            return false;
        } else if (!(take(scan, '\\') ? escape(scan, &to) : wide(scan, &to))) {
            return false;
        }
    }
    if (scan->at == scan->end) {
        return false;
    }
    value->size = (uint64_t)((const char *)to - value->text);
    scan->at++;
    *to = '\0';
    return true;
}

/* ---- numbers and words ----------------------------------------------------------------------- */

static unsigned digits(struct scan *scan)
{
    unsigned count = 0;
    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9') {
        scan->at++;
        count++;
    }
    return count;
}

static bool exponent(struct scan *scan)
{
    if (!take(scan, 'e') && !take(scan, 'E')) {
        return true;
    }
    if (!take(scan, '-')) {
        (void)take(scan, '+');
    }
    return digits(scan) > 0;
}

static bool scan_number(struct scan *scan)
{
    struct value *value = add(scan, VALUE_NUMBER);
    const bool minus = take(scan, '-');
    const uint8_t *from = scan->at;
    const unsigned count = digits(scan);
    if (count == 0 || (count > 1 && *from == '0')) {
        return false;
    }
    bool whole = !minus && count <= 20;
    for (unsigned i = 0; whole && i < count; i++) {
        whole = !__builtin_mul_overflow(value->number, 10u, &value->number) &&
                !__builtin_add_overflow(value->number, (uint64_t)from[i] - '0', &value->number);
    }
    const uint8_t *behind = scan->at;
    if ((take(scan, '.') && digits(scan) == 0) || !exponent(scan)) {
        return false;
    }
    value->type = whole && scan->at == behind ? VALUE_NUMBER : VALUE_OTHER;
    return true;
}

static bool scan_word(struct scan *scan)
{
    static const struct {
        const char *text;
        size_t size;
        enum value_type type;
    } words[] = {{"true", 4, VALUE_TRUE}, {"false", 5, VALUE_FALSE}, {"null", 4, VALUE_NULL}};
    for (unsigned i = 0; i < 3; i++) {
        if ((size_t)(scan->end - scan->at) >= words[i].size &&
            memcmp(scan->at, words[i].text, words[i].size) == 0) {
            scan->at += words[i].size;
            (void)add(scan, words[i].type);
            return true;
        }
    }
    return false;
}

/* ---- arrays and objects ---------------------------------------------------------------------- */

static bool same(const struct value *a, const struct value *b)
{
    return a->size == b->size && memcmp(a->text, b->text, a->size) == 0;
}

/* The name of the next member, which none before it may have. */
static bool scan_name(struct scan *scan, struct value *object)
{
    skip_space(scan);
    const struct value *name = &values[scan->count];
    if (!take(scan, '"') || !scan_text(scan)) {
        return false;
    }
    const struct value *other = object + 1;
    while (other != name) {
        if (same(other, name)) {
            return false;
        }
        other += 1 + other[1].span;
    }
    skip_space(scan);
    return take(scan, ':');
}

/* Begins what the next byte says. `ret_opened`: an array or object that is not empty. */
static bool scan_value(struct scan *scan, bool *ret_opened)
{
    skip_space(scan);
    *ret_opened = false;
    const uint8_t byte = scan->at == scan->end ? 0 : *scan->at;
    if (byte == '"') {
        scan->at++;
        return scan_text(scan);
    }
    if (byte != '{' && byte != '[') {
        return byte == '-' || (byte >= '0' && byte <= '9') ? scan_number(scan) : scan_word(scan);
    }
    scan->at++;
    struct value *value = add(scan, byte == '{' ? VALUE_OBJECT : VALUE_ARRAY);
    skip_space(scan);
    if (take(scan, byte == '{' ? '}' : ']')) {
        return true;
    }
    if (scan->depth == DEPTH_MAX) {
        return false;
    }
    scan->open[scan->depth++] = (unsigned)(value - values);
    *ret_opened = true;
    return byte == '[' || scan_name(scan, value);
}

/* Behind a value: ends what ends there, up to where the next value begins. */
static bool scan_behind(struct scan *scan)
{
    while (scan->depth > 0) {
        struct value *outer = &values[scan->open[scan->depth - 1]];
        const bool object = outer->type == VALUE_OBJECT;
        outer->size++;
        skip_space(scan);
        if (take(scan, ',')) {
            return !object || scan_name(scan, outer);
        }
        if (!take(scan, object ? '}' : ']')) {
            return false;
        }
        outer->span = scan->count - (unsigned)(outer - values);
        scan->depth--;
    }
    skip_space(scan);
    return true;
}

const struct value *value_read(uint8_t *text, size_t size)
{
    struct scan scan = {.at = text, .end = text + size};
    do {
        bool opened;
        if (!scan_value(&scan, &opened) || (!opened && !scan_behind(&scan))) {
            return NULL;
        }
    } while (scan.depth > 0);
    return scan.at == scan.end ? &values[0] : NULL;
}

/* ---- looking at it --------------------------------------------------------------------------- */

const struct value *value_member(const struct value *object, const char *name)
{
    if (object == NULL || object->type != VALUE_OBJECT) {
        return NULL;
    }
    const struct value *end = object + object->span;
    const size_t size = strlen(name);
    for (const struct value *at = object + 1; at < end; at += 1 + at[1].span) {
        if (at->size == size && memcmp(at->text, name, size) == 0) {
            return at + 1;
        }
    }
    return NULL;
}

uint64_t value_number(const struct value *value)
{
    return value == NULL || value->type != VALUE_NUMBER ? 0 : value->number;
}

const char *value_text(const struct value *value)
{
    return value == NULL || value->type != VALUE_TEXT ? NULL : value->text;
}

bool value_is_true(const struct value *value)
{
    return value != NULL && value->type == VALUE_TRUE;
}

size_t value_count(const struct value *array)
{
    return array == NULL || array->type != VALUE_ARRAY ? 0 : array->size;
}

const struct value *value_next(const struct value *array, const struct value *before)
{
    if (value_count(array) == 0) {
        return NULL;
    }
    const struct value *next = before == NULL ? array + 1 : before + before->span;
    return next < array + array->span ? next : NULL;
}
