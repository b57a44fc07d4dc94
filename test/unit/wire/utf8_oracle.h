/* A naive validator of UTF-8: forms the code point and looks at its value. The oracle of the unit
 * test and of the fuzz target. */
#ifndef TEST_UTF8_ORACLE_H
#define TEST_UTF8_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum verdict {
    BAD,        /* no text begins so */
    INCOMPLETE, /* some text begins so, but none ends so */
    VALID,
};

static inline bool utf8_naive_good(const uint8_t *data, size_t size)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t code = size == 1 ? data[0] : data[0] & (0x7Fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((data[i] & 0xC0u) != 0x80u) {
            return false;
        }
        code = code << 6 | (data[i] & 0x3Fu);
    }
    return code >= least[size] && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
}

static inline size_t utf8_naive_size(uint8_t lead)
{
    return lead < 0x80             ? 1
           : (lead & 0xE0) == 0xC0 ? 2
           : (lead & 0xF0) == 0xE0 ? 3
           : (lead & 0xF8) == 0xF0 ? 4
                                   : 0;
}

static inline enum verdict utf8_naive(const uint8_t *data, size_t size)
{
    size_t at = 0;
    while (at < size) {
        const size_t need = utf8_naive_size(data[at]);
        if (need == 0) {
            return BAD;
        }
        if (size - at < need) {
            /* Code points are in order of their bytes: if neither the least nor the greatest end
             * makes a good one, or the two are both in one forbidden range, none does. */
            uint8_t least[4];
            uint8_t most[4];
            for (size_t i = 0; i < need; i++) {
                least[i] = at + i < size ? data[at + i] : 0x80;
                most[i] = at + i < size ? data[at + i] : 0xBF;
            }
            const bool good = utf8_naive_good(least, need) || utf8_naive_good(most, need);
            return good ? INCOMPLETE : BAD;
        }
        if (!utf8_naive_good(data + at, need)) {
            return BAD;
        }
        at += need;
    }
    return VALID;
}

#endif
