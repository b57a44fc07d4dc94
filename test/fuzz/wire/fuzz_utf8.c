/* The validator against the naive one of the unit test, whole and in pieces.
 *
 * The first byte is the size of the pieces. */
#include "../../unit/wire/utf8_oracle.h"
#include "wire/utf8.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const size_t step = 1 + data[0] % 64u;
    const uint8_t *text = data + 1;
    const size_t text_size = size - 1;
    const enum verdict expected = utf8_naive(text, text_size);

    struct utf8 whole = {0};
    check(utf8_feed(&whole, bytes_of(text, text_size)) == (expected != BAD));
    check(utf8_complete(&whole) == (expected == VALID));
    check(utf8_valid(bytes_of(text, text_size)) == (expected == VALID));

    struct utf8 pieces = {0};
    bool good = true;
    for (size_t at = 0; at < text_size; at += step) {
        const size_t piece = text_size - at < step ? text_size - at : step;
        good = utf8_feed(&pieces, bytes_of(text + at, piece));
        /* Fails at the first piece that decides, and stays failed. */
        check(good == (utf8_naive(text, at + piece) != BAD));
    }
    check(good == (expected != BAD));
    return 0;
}
