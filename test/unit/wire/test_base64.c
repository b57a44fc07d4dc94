/* wire/base64: strict decoding and encoding.
 * Method: the vectors of RFC 4648, a table of bad texts, and random round trips in which every
 * single change of a character must either fail or give back what encodes to the changed text. */
#include "wire/base64.h"

#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void the_vectors_of_the_rfc_encode_and_decode(void **state)
{
    static const struct {
        const char *plain;
        const char *text;
    } vectors[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xff\xbf", "+/+/"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        const struct bytes plain = bytes_of_text(vectors[i].plain);
        const struct bytes text = bytes_of_text(vectors[i].text);
        uint8_t out[16];
        size_t size;
        assert_int_equal(base64_encoded_size(plain.size), text.size);
        base64_encode(out, plain);
        assert_true(bytes_equal(bytes_of(out, text.size), text));
        assert_int_equal(base64_decoded_size(text), plain.size);
        assert_true(base64_decode(out, text, &size));
        assert_true(bytes_equal(bytes_of(out, size), plain));
    }
}

static void texts_that_are_not_strict_base64_are_refused(void **state)
{
    static const char *const bad[] = {
        "Z",        "Zg",       "Zg=",   "Zm8",        "Zg===", "=",        "==",
        "====",     "=Zg=",     "Z===",  "Zg=v",       "Z=g=",  "Zm9vZg",   "Zm9v=",
        "Zm9v====", "Zm9v Zm9", "Zm9\n", "Zm9v\nZg==", " Zm9v", "Zm-v",     "Zm_v",
        "Zm9*",     "Zh==",     "Zo==",  "Zm+=",       "Zm9=",  "Zg==Zg==", "Zm9v\xc3\xa9Zg",
        "Zm\x80v",  "Zm9.",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        uint8_t out[32];
        size_t size = 77;
        assert_false(base64_decode(out, bytes_of_text(bad[i]), &size));
        assert_int_equal(size, 77);
        assert_true(base64_decoded_size(bytes_of_text(bad[i])) <= sizeof(out));
    }
}

static void one_text_stands_for_one_sequence_of_bytes(void **state)
{
    struct prng prng;
    (void)state;
    prng.state = 64;
    for (unsigned round = 0; round < 300; round++) {
        uint8_t plain[48];
        uint8_t text[64];
        uint8_t back[48];
        uint8_t again[64];
        const size_t size = (size_t)prng_below(&prng, sizeof(plain) + 1);
        for (size_t i = 0; i < size; i++) {
            plain[i] = (uint8_t)prng_below(&prng, 256);
        }
        const size_t text_size = base64_encoded_size(size);
        size_t back_size;
        base64_encode(text, bytes_of(plain, size));
        assert_true(base64_decode(back, bytes_of(text, text_size), &back_size));
        assert_true(bytes_equal(bytes_of(back, back_size), bytes_of(plain, size)));
        if (text_size == 0) {
            continue;
        }
        text[prng_below(&prng, text_size)] = (uint8_t)prng_below(&prng, 256);
        if (base64_decode(back, bytes_of(text, text_size), &back_size)) {
            base64_encode(again, bytes_of(back, back_size));
            assert_memory_equal(again, text, text_size);
        }
        /* in place, as the decoder of commands does */
        base64_encode(text, bytes_of(plain, size));
        assert_true(base64_decode(text, bytes_of(text, text_size), &back_size));
        assert_true(bytes_equal(bytes_of(text, back_size), bytes_of(plain, size)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_the_rfc_encode_and_decode),
        cmocka_unit_test(texts_that_are_not_strict_base64_are_refused),
        cmocka_unit_test(one_text_stands_for_one_sequence_of_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
