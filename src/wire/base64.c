#include "wire/base64.h"

static const char base64_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static_assert(sizeof(base64_alphabet) == 64 + 1, "a letter for each value");

/* Far above the six bits of a digit: set, also after shifting, if a character was none. */
#define BASE64_BAD 0xff000000u

/* The value of a character; all bits set if it is none. */
static inline uint32_t digit_value(uint8_t c)
{
    /* The alphabet reversed. Values are one too high, so that what is not named, 0, is none. */
    static const uint8_t values[256] = {
        ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,
        ['H'] = 8,  ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14,
        ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21,
        ['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28,
        ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35,
        ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42,
        ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49,
        ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
        ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63,
        ['/'] = 64,
    };
    ASSERT_HOT(values[c] <= 64);
    return (uint32_t)values[c] - 1;
}

static inline uint8_t alphabet_at(uint32_t value)
{
    ASSERT_HOT(value < 64);
    ASSERT_HOT(base64_alphabet[value] != '=');
    return (uint8_t)base64_alphabet[value];
}

void base64_encode(uint8_t *to, struct bytes bytes)
{
    ASSERT_HOT(to != NULL || bytes.size == 0);
    ASSERT_HOT(bytes.size == 0 || bytes.data != NULL);
    const uint8_t *from = bytes.data;
    size_t left = bytes.size;
    for (; left >= 3; left -= 3, from += 3, to += 4) {
        const uint32_t group = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
        to[0] = alphabet_at(group >> 18);
        to[1] = alphabet_at(group >> 12 & 63);
        to[2] = alphabet_at(group >> 6 & 63);
        to[3] = alphabet_at(group & 63);
    }
    if (left > 0) {
        const uint32_t second = left == 2 ? from[1] : 0;
        const uint32_t group = (uint32_t)from[0] << 16 | second << 8;
        to[0] = alphabet_at(group >> 18);
        to[1] = alphabet_at(group >> 12 & 63);
        to[2] = left == 2 ? alphabet_at(group >> 6 & 63) : '=';
        to[3] = '=';
    }
}

static size_t padding_size(struct bytes text)
{
    ASSERT_HOT(text.size == 0 || text.data != NULL);
    if (text.size == 0 || text.data[text.size - 1] != '=') {
        return 0;
    }
    return text.size > 1 && text.data[text.size - 2] == '=' ? 2 : 1;
}

size_t base64_decoded_size(struct bytes text)
{
    const size_t padded = text.size / 4 * 3;
    const size_t padding = padding_size(text);
    ASSERT_HOT(padding <= 2);
    ASSERT_HOT(padded <= text.size);
    return padded < padding ? 0 : padded - padding;
}

/* The last group, with `padding` characters '=' at its end. */
static bool last_decode(uint8_t *to, const uint8_t *from, size_t padding)
{
    ASSERT_HOT(to != NULL);
    ASSERT_HOT(from[3] == '=');
    ASSERT_HOT((padding == 2) == (from[2] == '='));
    ASSERT(padding == 1 || padding == 2);
    const uint32_t third = padding == 1 ? digit_value(from[2]) << 6 : 0;
    const uint32_t first = digit_value(from[0]);
    const uint32_t second = digit_value(from[1]);
    if (((first | second | third) & BASE64_BAD) != 0) {
        return false;
    }
    const uint32_t group = first << 18 | second << 12 | third;
    /* [RFC 4648 3.5] bits that stand for no byte must be zero */
    if ((group & (padding == 1 ? 0xffu : 0xffffu)) != 0) {
        return false;
    }
    to[0] = (uint8_t)(group >> 16);
    if (padding == 1) {
        to[1] = (uint8_t)(group >> 8);
    }
    return true;
}

bool base64_decode(uint8_t *to, struct bytes text, size_t *ret_size)
{
    ASSERT_HOT(text.size == 0 || text.data != NULL);
    ASSERT_HOT(ret_size != NULL);
    if (text.size % 4 != 0) {
        return false;
    }
    const size_t padding = padding_size(text);
    const size_t group_count = text.size / 4 - (padding > 0 ? 1 : 0);
    const uint8_t *from = text.data;
    uint32_t bad = 0;
    uint8_t *at = to;
    for (size_t i = 0; i < group_count; i++, from += 4, at += 3) {
        const uint32_t a = digit_value(from[0]);
        const uint32_t b = digit_value(from[1]);
        const uint32_t c = digit_value(from[2]);
        const uint32_t d = digit_value(from[3]);
        bad |= a | b | c | d;
        const uint32_t group = a << 18 | b << 12 | c << 6 | d;
        at[0] = (uint8_t)(group >> 16);
        at[1] = (uint8_t)(group >> 8);
        at[2] = (uint8_t)group;
    }
    if ((bad & BASE64_BAD) != 0) {
        return false;
    }
    if (padding > 0 && !last_decode(at, from, padding)) {
        return false;
    }
    ASSERT_HOT((bad >> 24) == 0);
    *ret_size = group_count * 3 + (padding > 0 ? 3 - padding : 0);
    ASSERT(*ret_size == base64_decoded_size(text));
    return true;
}
