/* UTF-8 validation: whole blocks of ASCII are skipped, everything else goes through an automaton.
 *
 * The automaton has nine states, and a state is the place of its own six bits in a 64-bit row:
 * row[byte] holds, for every state, the state that follows. So a step is one load that does not
 * depend on the step before, one shift and one mask. RFC 3629's table of well-formed sequences is
 * what the states say:
 *
 *   START  00-7F -> START   C2-DF -> ONE      E0 -> E0   E1-EC EE EF -> TWO   ED -> ED
 *                           F0 -> F0          F1-F3 -> THREE               F4 -> F4
 *   ONE    80-BF -> START   TWO   80-BF -> ONE   THREE  80-BF -> TWO
 *   E0     A0-BF -> ONE     (shorter forms exist below: overlong)
 *   ED     80-9F -> ONE     (above are the surrogates)
 *   F0     90-BF -> TWO     (overlong below)
 *   F4     80-8F -> TWO     (beyond U+10FFFF above)
 *
 * Everything else is BAD, and BAD stays BAD. START is 0, so that a zeroed struct is a beginning. */
#include "wire/utf8.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define START 0u
#define ONE   6u
#define TWO   12u
#define THREE 18u
#define E0    24u
#define ED    30u
#define F0    36u
#define F4    42u
#define BAD   48u

#define STATE_MASK 63u

static_assert(START == 0, "a zeroed struct is a beginning");
static_assert(BAD + 6 <= 64, "nine states of six bits fit a row");
static_assert((BAD | STATE_MASK) == STATE_MASK, "a state fits its bits");

/* A row: what follows START, then what follows ONE, TWO and THREE, then each of the four narrow
 * states. */
#define ROW(start, one, two, three, e0, ed, f0, f4)                                                \
    (((uint64_t)(start) << START) | ((uint64_t)(one) << ONE) | ((uint64_t)(two) << TWO) |          \
     ((uint64_t)(three) << THREE) | ((uint64_t)(e0) << E0) | ((uint64_t)(ed) << ED) |              \
     ((uint64_t)(f0) << F0) | ((uint64_t)(f4) << F4) | ((uint64_t)BAD << BAD))

#define LEAD(start)               ROW(start, BAD, BAD, BAD, BAD, BAD, BAD, BAD)
#define CONTINUED(e0, ed, f0, f4) ROW(BAD, START, ONE, TWO, e0, ed, f0, f4)

static const uint64_t utf8_rows[256] = {
    [0x00 ... 0x7F] = LEAD(START),
    [0x80 ... 0x8F] = CONTINUED(BAD, ONE, BAD, TWO),
    [0x90 ... 0x9F] = CONTINUED(BAD, ONE, TWO, BAD),
    [0xA0 ... 0xBF] = CONTINUED(ONE, BAD, TWO, BAD),
    [0xC0 ... 0xC1] = LEAD(BAD), /* overlong */
    [0xC2 ... 0xDF] = LEAD(ONE),
    [0xE0] = LEAD(E0),
    [0xE1 ... 0xEC] = LEAD(TWO),
    [0xED] = LEAD(ED),
    [0xEE ... 0xEF] = LEAD(TWO),
    [0xF0] = LEAD(F0),
    [0xF1 ... 0xF3] = LEAD(THREE),
    [0xF4] = LEAD(F4),
    [0xF5 ... 0xFF] = LEAD(BAD), /* beyond U+10FFFF */
};

/* Bytes that are tested, or stepped through, at a time. */
#define BLOCK 16u

/* How many bytes at the start are ASCII, in whole blocks: four blocks are looked at together. */
#ifdef __SSE2__
static inline __m128i block_load(const uint8_t *data)
{
    return _mm_loadu_si128((const __m128i *)(const void *)data);
}

static inline size_t ascii_blocks(const uint8_t *data, size_t size)
{
    ASSERT_HOT(data != NULL);
    ASSERT_HOT(size >= BLOCK);
    size_t at = 0;
    while (size - at >= 4 * BLOCK) {
        const __m128i low = _mm_or_si128(block_load(data + at), block_load(data + at + BLOCK));
        const __m128i high =
            _mm_or_si128(block_load(data + at + 2 * BLOCK), block_load(data + at + 3 * BLOCK));
        if (_mm_movemask_epi8(_mm_or_si128(low, high)) != 0) {
            break;
        }
        at += 4 * BLOCK;
    }
    while (size - at >= BLOCK && _mm_movemask_epi8(block_load(data + at)) == 0) {
        at += BLOCK;
    }
    ASSERT_HOT(at % BLOCK == 0);
    ASSERT_HOT(at <= size);
    return at;
}
#else
static inline size_t ascii_blocks(const uint8_t *data, size_t size)
{
    size_t at = 0;
    while (size - at >= BLOCK && ((bytes_load_u64(data + at) | bytes_load_u64(data + at + 8)) &
                                  0x8080808080808080u) == 0) {
        at += BLOCK;
    }
    return at;
}
#endif

static inline uint64_t utf8_step(uint64_t state, const uint8_t *data, size_t size)
{
    ASSERT_HOT(state <= BAD);
    ASSERT_HOT(size == 0 || data != NULL);
    for (size_t i = 0; i < size; i++) {
        state = (utf8_rows[data[i]] >> state) & STATE_MASK;
    }
    return state;
}

bool utf8_feed(struct utf8 *utf8, struct bytes piece)
{
    ASSERT_HOT(piece.size == 0 || piece.data != NULL);
    ASSERT_HOT(utf8->state_ % 6 == 0);
    const uint8_t *data = piece.data;
    size_t left = piece.size;
    uint64_t state = utf8->state_;
    ASSERT_HOT(state <= BAD);

    while (left >= BLOCK && state != BAD) {
        size_t taken = state == START ? ascii_blocks(data, left) : 0;
        if (taken == 0) {
            state = utf8_step(state, data, BLOCK);
            taken = BLOCK;
        }
        data += taken;
        left -= taken;
    }
    if (state != BAD) {
        state = utf8_step(state, data, left);
    }
    ASSERT_HOT(state <= BAD && state % 6 == 0);
    utf8->state_ = (uint8_t)state;
    return state != BAD;
}

bool utf8_complete(const struct utf8 *utf8)
{
    ASSERT_HOT(utf8->state_ <= BAD);
    ASSERT_HOT(utf8->state_ % 6 == 0);
    return utf8->state_ == START;
}

bool utf8_valid(struct bytes text)
{
    ASSERT_HOT(text.size == 0 || text.data != NULL);
    struct utf8 utf8 = {0};
    return utf8_feed(&utf8, text) && utf8_complete(&utf8);
}
