/* base/digest: the byte-exact digest of a channel.
 *
 * Method: the vectors of test/vectors/digest.json, which another implementation has written (in
 * another language, over another XXH3); and that each single thing a subscriber sees counts. */
#include "base/digest.h"
#include "base/prng.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- the vectors --------------------------------------------------------------------------- */

static struct bytes text_of(const json_t *object, const char *member)
{
    const json_t *value = json_object_get(object, member);
    return value == NULL ? (struct bytes){0}
                         : bytes_of(json_string_value(value), json_string_length(value));
}

static uint64_t integer_of(const json_t *object, const char *member)
{
    return (uint64_t)json_integer_value(json_object_get(object, member));
}

static uint64_t digest_of(const json_t *object, const char *member)
{
    uint64_t digest = 0;
    assert_true(digest_parse(text_of(object, member), &digest));
    return digest;
}

static unsigned base64_value(uint8_t c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = strchr(alphabet, c);
    assert_non_null(found);
    return (unsigned)(found - alphabet);
}

static struct bytes base64_of(struct bytes text, uint8_t *to)
{
    size_t size = 0;
    unsigned bits = 0;
    unsigned value = 0;
    for (size_t i = 0; i < text.size && text.data[i] != '='; i++) {
        value = (value << 6 | base64_value(text.data[i])) & 0xFFFF;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            to[size++] = (uint8_t)(value >> bits);
        }
    }
    return bytes_of(to, size);
}

static struct digest_message message_of(const json_t *entry, uint8_t *decoded)
{
    const bool is_bytes = json_object_get(entry, "data_base64") != NULL;
    return (struct digest_message){
        .seq = integer_of(entry, "seq"),
        .time_ms = integer_of(entry, "time"),
        .message_id = text_of(entry, "message_id"),
        .producer = text_of(entry, "producer"),
        .producer_seq = integer_of(entry, "producer_seq"),
        .key = text_of(entry, "key"),
        .has_key = json_object_get(entry, "key") != NULL,
        .is_bytes = is_bytes,
        .data = is_bytes ? base64_of(text_of(entry, "data_base64"), decoded)
                         : text_of(entry, "data_text"),
    };
}

static size_t check_history(const json_t *history)
{
    uint64_t digest = digest_start(text_of(history, "channel"));
    assert_true(digest == digest_of(history, "start"));
    const json_t *before = json_object_get(history, "before");
    if (before != NULL) {
        digest = digest_of(before, "digest");
    }
    size_t index;
    const json_t *entry;
    json_array_foreach(json_object_get(history, "entries"), index, entry)
    {
        if (json_object_get(entry, "gap") != NULL) {
            digest = digest_of(entry, "digest");
            continue;
        }
        uint8_t decoded[2000];
        const struct digest_message message = message_of(entry, decoded);
        digest = digest_roll(digest, &message);
        assert_true(digest == digest_of(entry, "digest"));
    }
    return index;
}

static void every_vector_is_met(void **state)
{
    (void)state;
    json_error_t error;
    json_t *root = json_load_file(VECTORS, 0, &error);
    assert_non_null(root);
    size_t checked = 0;
    size_t index;
    const json_t *history;
    json_array_foreach(json_object_get(root, "histories"), index, history)
    {
        checked += check_history(history);
    }
    assert_true(index >= 8);
    assert_true(checked >= 30);
    json_decref(root);
}

/* ---- everything counts --------------------------------------------------------------------- */

static const struct digest_message whole = {
    .seq = 7,
    .time_ms = 1780000000000,
    .message_id = BYTES_LITERAL("53000000000000007"),
    .producer = BYTES_LITERAL("p"),
    .producer_seq = 3,
    .key = BYTES_LITERAL("k"),
    .has_key = true,
    .data = BYTES_LITERAL("{}"),
};

static void each_thing_that_a_subscriber_sees_changes_the_digest(void **state)
{
    (void)state;
    enum { CHANGES = 9 };
    struct digest_message changed[CHANGES];
    for (size_t i = 0; i < CHANGES; i++) {
        changed[i] = whole;
    }
    changed[0].seq++;
    changed[1].time_ms++;
    changed[2].message_id = BYTES_LITERAL("53000000000000008");
    changed[3].producer = BYTES_LITERAL("q");
    changed[4].producer_seq = 0;
    changed[5].key = BYTES_LITERAL("");
    changed[6].has_key = false;
    changed[7].is_bytes = true;
    changed[8].data = BYTES_LITERAL("{} ");
    uint64_t digests[CHANGES + 2];
    digests[CHANGES] = digest_roll(1, &whole);
    digests[CHANGES + 1] = digest_roll(2, &whole);
    for (size_t i = 0; i < CHANGES; i++) {
        digests[i] = digest_roll(1, &changed[i]);
    }
    for (size_t i = 0; i < CHANGES + 2; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_true(digests[i] != digests[j]);
        }
    }
}

static void a_key_that_is_not_there_does_not_count(void **state)
{
    (void)state;
    struct digest_message none = whole;
    none.has_key = false;
    const uint64_t digest = digest_roll(1, &none);
    none.key = (struct bytes){0};
    assert_true(digest_roll(1, &none) == digest);
}

/* ---- texts --------------------------------------------------------------------------------- */

static void an_id_is_written_as_its_decimal_digits(void **state)
{
    (void)state;
    enum { KNOWN = 14, COUNT = 200000 };
    static const uint64_t known[KNOWN] = {0,
                                          9,
                                          10,
                                          99,
                                          100,
                                          99999999,
                                          100000000,
                                          9999999999999999,
                                          10000000000000000,
                                          53000000000000001,
                                          99990000,
                                          9999,
                                          INT64_MAX,
                                          UINT64_MAX};
    struct digest_id one = {0};
    struct prng prng = {.state = 5};
    for (size_t i = 0; i < COUNT; i++) {
        const uint64_t id = i < KNOWN ? known[i] : prng_next(&prng) >> i % 64;
        char expected[32];
        const int size = snprintf(expected, sizeof(expected), "%llu", (unsigned long long)id);
        const struct bytes text = digest_id_text(&one, id);
        assert_true(bytes_equal(text, bytes_of(expected, (size_t)size)));
        /* Whatever it was used for before. */
        struct digest_id other = {0};
        (void)digest_id_text(&other, id ^ 1);
        assert_true(bytes_equal(digest_id_text(&other, id), bytes_of(expected, (size_t)size)));
    }
}

static void a_digest_is_written_as_16_digits_and_read_back(void **state)
{
    (void)state;
    static const uint64_t digests[] = {0, 1, 0x0123456789abcdef, UINT64_MAX};
    static const char *const texts[] = {"0000000000000000", "0000000000000001", "0123456789abcdef",
                                        "ffffffffffffffff"};
    for (size_t i = 0; i < sizeof(digests) / sizeof(digests[0]); i++) {
        char text[DIGEST_TEXT_SIZE];
        digest_text(digests[i], text);
        assert_string_equal(text, texts[i]);
        uint64_t digest = ~digests[i];
        assert_true(digest_parse(bytes_of_text(text), &digest));
        assert_true(digest == digests[i]);
    }
}

static void what_is_no_digest_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "0",
                                        "0123456789abcde",
                                        "0123456789abcdef0",
                                        "0123456789ABCDEF",
                                        "0123456789abcdeg",
                                        "/123456789abcdef",
                                        ":123456789abcdef",
                                        "`123456789abcdef",
                                        " 123456789abcdef"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint64_t digest = 42;
        assert_false(digest_parse(bytes_of_text(texts[i]), &digest));
        assert_true(digest == 42);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_vector_is_met),
        cmocka_unit_test(each_thing_that_a_subscriber_sees_changes_the_digest),
        cmocka_unit_test(a_key_that_is_not_there_does_not_count),
        cmocka_unit_test(an_id_is_written_as_its_decimal_digits),
        cmocka_unit_test(a_digest_is_written_as_16_digits_and_read_back),
        cmocka_unit_test(what_is_no_digest_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
