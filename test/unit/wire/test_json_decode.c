/* wire/json_decode: commands out of JSON.
 * Goal: a text that is no JSON object is told from a bad command, payloads pass byte for byte,
 * limits hold to the byte, and a refusal says what and whose without a word of the client's.
 * Method: tables and texts by hand; each member alone is driven by test_json_members.c. */
#include "json_decode_lib.h"

static char text_[4096];

/* ---- the type -------------------------------------------------------------------------------- */

static void the_type_may_stand_anywhere_and_be_escaped(void **state)
{
    (void)state;
    assert_good("{\"data\":{\"type\":\"x\"},\"channel\":\"c\",\"id\":3,\"type\":\"publish\"}");
    assert_int_equal(command.type, WIRE_PUBLISH);
    assert_text(command.items[0].data, "{\"type\":\"x\"}");
    assert_good("{\"\\u0074ype\":\"\\u0070ing\"}");
    assert_int_equal(command.type, WIRE_PING);
    assert_int_equal(command.id, 0);
}

static void a_type_that_is_missing_unknown_ill_typed_or_repeated_is_refused(void **state)
{
    static const char *const bad[] = {
        "{}",
        "{\"id\":5}",
        "{\"id\":5,\"type\":1}",
        "{\"type\":null,\"id\":5}",
        "{\"type\":\"\"}",
        "{\"type\":\"Ping\"}",
        "{\"type\":\"pin\"}",
        "{\"type\":\"pings\"}",
        "{\"type\":\"message\"}",
        "{\"type\":[\"ping\"]}",
        "{\"type\":\"ping\",\"type\":\"ping\"}",
        "{\"type\":\"ping\\u0000\"}",
        "{\"type\":\"\\ud800\"}",
        "{\"type\":\"ping\",\"t\\u0079pe\":\"ping\"}",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_refused(bad[i], WIRE_ERROR_BAD_REQUEST, "type: ");
        assert_int_equal(error.id, strstr(bad[i], "\"id\":5") == NULL ? 0 : 5);
    }
}

static void an_error_carries_the_id_wherever_it_stood(void **state)
{
    (void)state;
    assert_refused("{\"type\":\"publish\",\"data\":1,\"id\":77}", WIRE_ERROR_BAD_REQUEST,
                   "channel: is missing");
    assert_int_equal(error.id, 77);
    assert_refused("{\"type\":\"publish\",\"batch\":[1],\"channel\":\"c\",\"id\":78}",
                   WIRE_ERROR_BAD_REQUEST, "batch[0]: expected an object");
    assert_int_equal(error.id, 78);
    assert_refused("{\"type\":\"ping\",\"id\":1,\"id\":1}", WIRE_ERROR_BAD_REQUEST,
                   "id: is repeated");
    assert_int_equal(error.id, 0);
    assert_false(error.has_expected || error.has_bounds);
}

/* ---- no JSON object at all ------------------------------------------------------------------- */

static void what_is_not_a_json_object_is_bad_and_no_command(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "[]",
        "[{\"type\":\"ping\"}]",
        "1",
        "\"ping\"",
        "null",
        "true",
        "ping",
        "{",
        "{\"type\":\"ping\"",
        "{\"type\":\"ping\"}}",
        "{\"type\":\"ping\"} {}",
        "{\"type\":\"ping\"},",
        "{\"type\":\"ping\",}",
        "{'type':'ping'}",
        "{type:\"ping\"}",
        "{\"type\":\"ping\" \"id\":1}",
        "{\"type\":\"ping\",\"id\":01}",
        "{\"type\":\"ping\",\"id\":+1}",
        "{\"type\":\"ping\",\"id\":1.}",
        "{\"type\":\"ping\",\"id\":}",
        "{\"type\":\"ping\",\"x\":nul}",
        "{\"type\":\"ping\",\"x\":NaN}",
        "{\"type\":\"ping\",\"x\":[1,]}",
        "{\"type\":\"ping\",\"x\":{\"y\":\"\\x\"}}",
        "{\"type\":\"ping\",\"x\":\"\t\"}",
        "{\"type\":\"pi\ng\"}",
        "{\"type\":\"ping\"}//",
        "/**/{\"type\":\"ping\"}",
        "\xef\xbb\xbf{\"type\":\"ping\"}",
        "{\"type\":\"ping\",,}",
        "{\"type\":\"publish\",\"channel\":\"c\",\"batch\":[{\"data\":1},]}",
        "{\"type\":\"publish\",\"channel\":\"c\",\"batch\":[{\"data\":1}{\"data\":2}]}",
        "{\"type\":\"publish\",\"channel\":\"c\",\"batch\":[1,{\"data\":tru}]}",
        "{\"type\":\"publish\",\"channel\":\"c\",\"batch\":[{\"data\":1}",
        "{\"type\":\"publish\",\"channel\":\"c\",\"batch\":[{\"data\":1}}",
        "{\"type\":\"nonsense\",\"id\":0,\"x\":}",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (decode(bad[i]) != RC_BAD) {
            print_error("accepted: %s\n", bad[i]);
            fail();
        }
        assert_int_equal(error.code, WIRE_ERROR_BAD_REQUEST);
        assert_int_equal(error.id, 0);
        assert_non_null(strstr(error.message, "not a JSON object: expected "));
    }
    assert_int_equal(decode_bytes(BYTES_LITERAL("{\"type\":\"ping\"}\0"), false), RC_BAD);
    assert_string_equal(error.message,
                        "not a JSON object: expected the end of the text at byte 15");
}

/* ---- publish --------------------------------------------------------------------------------- */

static void a_publish_hands_on_its_payload_byte_for_byte(void **state)
{
    static const char *const payloads[] = {
        "1",
        "\"\"",
        "{ \"b\" : 1 ,\t\"a\":[ 1.50, -0 ] }",
        "\"\\u00e9\\ud800 \\/ \xc3\xa9\"",
        "1e999",
        "123456789012345678901234567890",
        "{\"a\":1,\"a\":2}",
        "[[[[[]]]]]",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(payloads); i++) {
        char text[256];
        (void)snprintf(text, sizeof(text),
                       "{\"type\":\"publish\",\"channel\":\"c\",\"data\": \n%s\t ,\"id\":1}",
                       payloads[i]);
        assert_good(text);
        assert_int_equal(command.item_count, 1);
        assert_false(command.is_batch || command.items[0].is_bytes || command.items[0].has_key);
        assert_text(command.items[0].data, payloads[i]);
        (void)snprintf(text, sizeof(text),
                       "{\"type\":\"publish\",\"channel\":\"c\",\"batch\":[{\"data\": %s },"
                       "{\"key\":\"\\u006b\",\"data\":%s}]}",
                       payloads[i], payloads[i]);
        assert_good(text);
        assert_true(command.is_batch);
        assert_int_equal(command.item_count, 2);
        assert_text(command.items[0].data, payloads[i]);
        assert_text(command.items[1].data, payloads[i]);
        assert_true(command.items[1].has_key);
        assert_text(command.items[1].key, "k");
    }
}

static void the_members_of_a_publish_are_all_there(void **state)
{
    (void)state;
    assert_good("{\"type\":\"publish\",\"id\":7,\"channel\":\"orders\",\"data\":{\"n\":1},"
                "\"key\":\"customer-9\",\"producer_seq\":41}");
    assert_int_equal(command.type, WIRE_PUBLISH);
    assert_int_equal(command.id, 7);
    assert_text(command.channel, "orders");
    assert_text(command.items[0].data, "{\"n\":1}");
    assert_true(command.items[0].has_key);
    assert_text(command.items[0].key, "customer-9");
    assert_true(command.has_producer_seq);
    assert_int_equal(command.producer_seq, 41);

    assert_good("{\"type\":\"publish\",\"channel\":\"\\u00e9\\/\",\"data_base64\":\"+\\/+\\/AA==\","
                "\"key\":\"\\ud83d\\ude00\"}");
    assert_text(command.channel, "\xc3\xa9/");
    assert_true(command.items[0].is_bytes);
    assert_true(bytes_equal(command.items[0].data, BYTES_LITERAL("\xfb\xff\xbf\0")));
    assert_text(command.items[0].key, "\xf0\x9f\x98\x80");
    assert_false(command.has_producer_seq);
    assert_int_equal(command.id, 0);
}

static void data_data_base64_and_batch_exclude_one_another(void **state)
{
    static const char *const members[] = {"\"data\":1", "\"data_base64\":\"\"",
                                          "\"batch\":[{\"data\":1}]"};
    (void)state;
    for (size_t a = 0; a < COUNT(members); a++) {
        for (size_t b = 0; b < COUNT(members); b++) {
            char text[256];
            (void)snprintf(text, sizeof(text), "{\"type\":\"publish\",\"channel\":\"c\",%s,%s}",
                           members[a], members[b]);
            assert_refused(text, WIRE_ERROR_BAD_REQUEST, a == b ? "repeated" : "not both");
        }
    }
    assert_refused(
        "{\"type\":\"publish\",\"channel\":\"c\",\"key\":\"k\",\"batch\":[{\"data\":1}]}",
        WIRE_ERROR_BAD_REQUEST, "key: expected in the items");
}

/* {"type":"publish","channel":"c","batch":[{"data":0},{"data":1},…]} */
static void batch_of(struct buf *to, unsigned count)
{
    char item[64];
    buf_clear(to);
    assert_int_equal(
        buf_append(to, BYTES_LITERAL("{\"type\":\"publish\",\"channel\":\"c\",\"batch\":[")),
        RC_OK);
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(item, sizeof(item), "%s{\"data\":%u,\"key\":\"\\u006b%u\"}",
                       i == 0 ? "" : ",", i, i);
        assert_int_equal(buf_append(to, bytes_of_text(item)), RC_OK);
    }
    assert_int_equal(buf_append(to, BYTES_LITERAL("],\"id\":4}")), RC_OK);
}

static void a_batch_holds_1_to_1000_messages(void **state)
{
    struct buf text = {0};
    (void)state;
    batch_of(&text, BATCH_MESSAGES_MAX);
    assert_int_equal(decode_bytes(buf_bytes(&text), false), RC_OK);
    assert_int_equal(command.item_count, BATCH_MESSAGES_MAX);
    for (unsigned i = 0; i < BATCH_MESSAGES_MAX; i++) {
        char expected[16];
        (void)snprintf(expected, sizeof(expected), "%u", i);
        assert_text(command.items[i].data, expected);
        (void)snprintf(expected, sizeof(expected), "k%u", i);
        assert_text(command.items[i].key, expected);
    }
    batch_of(&text, BATCH_MESSAGES_MAX + 1);
    assert_int_equal(decode_bytes(buf_bytes(&text), false), RC_PROTOCOL);
    assert_int_equal(error.code, WIRE_ERROR_TOO_LARGE);
    assert_int_equal(error.id, 4);
    buf_deinit(&text);
    assert_refused("{\"type\":\"publish\",\"channel\":\"c\",\"batch\":[]}", WIRE_ERROR_BAD_REQUEST,
                   "batch: expected 1 to 1000 messages");
}

static void a_fault_in_a_batch_names_the_item(void **state)
{
    (void)state;
    assert_refused("{\"type\":\"publish\",\"channel\":\"c\",\"batch\":[{\"data\":1},{\"data\":2,"
                   "\"key\":3},4]}",
                   WIRE_ERROR_BAD_REQUEST, "batch[1].key: expected a string");
    assert_refused("{\"type\":\"publish\",\"channel\":\"c\",\"batch\":[{\"data\":1},4]}",
                   WIRE_ERROR_BAD_REQUEST, "batch[1]: expected an object");
    /* what stands behind a fault is not looked at, but for its grammar */
    assert_refused(
        "{\"type\":\"publish\",\"channel\":\"c\",\"batch\":[{\"data\":1,\"key\":3},{\"data\":2},"
        "{\"data\":1,\"data_base64\":2}]}",
        WIRE_ERROR_BAD_REQUEST, "batch[0].key: expected a string");
    assert_int_equal(decode("{\"type\":\"publish\",\"channel\":\"c\",\"batch\":[{\"data\":1,"
                            "\"key\":3},{\"data\":}]}"),
                     RC_BAD);
    assert_refused("{\"type\":\"publish\",\"channel\":\"c\",\"batch\":[{}]}",
                   WIRE_ERROR_BAD_REQUEST, "batch[0].data: is missing");
}

/* ---- sizes ----------------------------------------------------------------------------------- */

/* head, then `count` times `unit`, then tail */
static const char *repeated(const char *head, const char *unit, size_t count, const char *tail)
{
    int size = snprintf(text_, sizeof(text_), "%s", head);
    for (size_t i = 0; i < count; i++) {
        size += snprintf(text_ + size, sizeof(text_) - (size_t)size, "%s", unit);
    }
    size += snprintf(text_ + size, sizeof(text_) - (size_t)size, "%s", tail);
    assert_true(size < (int)sizeof(text_));
    return text_;
}

static void names_hold_255_bytes_and_not_one_more(void **state)
{
    static const struct {
        const char *head;
        const char *tail;
        const char *member;
    } cases[] = {
        {"{\"type\":\"unsubscribe\",\"channel\":\"", "\"}", "channel: "},
        {"{\"type\":\"publish\",\"channel\":\"c\",\"data\":1,\"key\":\"", "\"}", "key: "},
        {"{\"type\":\"publish\",\"channel\":\"c\",\"batch\":[{\"data\":1,\"key\":\"", "\"}]}",
         "batch[0].key: "},
        {"{\"type\":\"connect\",\"producer\":{\"id\":\"", "\"}}", "producer.id: "},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *head = cases[i].head;
        const char *tail = cases[i].tail;
        assert_good(repeated(head, "x", 255, tail));
        assert_refused(repeated(head, "x", 256, tail), WIRE_ERROR_TOO_LARGE, cases[i].member);
        /* counted unescaped, in bytes */
        assert_good(repeated(head, "\\u0078", 255, tail));
        assert_refused(repeated(head, "\\u0078", 256, tail), WIRE_ERROR_TOO_LARGE, cases[i].member);
        assert_good(repeated(head, "\xc3\xa9", 127, tail));
        assert_refused(repeated(head, "\xc3\xa9", 128, tail), WIRE_ERROR_TOO_LARGE,
                       cases[i].member);
    }
}

static void a_message_over_the_limit_is_too_large(void **state)
{
    static const char json_head[] = "{\"type\":\"publish\",\"channel\":\"c\",\"id\":6,\"data\": \"";
    static const char base64_head[] = "{\"type\":\"publish\",\"channel\":\"c\",\"data_base64\":\"";
    static const char item_head[] =
        "{\"type\":\"publish\",\"channel\":\"c\",\"batch\":[{\"data\":1},{\"data\":\"";
    (void)state;
    assert_int_equal(limits.message_bytes, 64); /* 62 and two quotes; 21 groups of 3, and 1 */
    assert_good(repeated(json_head, "x", 62, "\" }"));
    assert_refused(repeated(json_head, "x", 63, "\"}"), WIRE_ERROR_TOO_LARGE, "data: ");
    assert_int_equal(error.id, 6);
    assert_good(repeated(base64_head, "AAAA", 21, "AA==\"}"));
    assert_int_equal(command.items[0].data.size, 64);
    assert_refused(repeated(base64_head, "AAAA", 21, "AAA=\"}"), WIRE_ERROR_TOO_LARGE,
                   "data_base64: ");
    assert_good(repeated(item_head, "x", 62, "\"}]}"));
    assert_refused(repeated(item_head, "x", 63, "\"}]}"), WIRE_ERROR_TOO_LARGE, "batch[1].data: ");
}

static void a_value_nested_too_deep_is_refused_and_the_id_kept(void **state)
{
    static const struct {
        const char *head;
        const char *tail;
    } cases[] = {
        {"{\"type\":\"publish\",\"channel\":\"c\",\"data\":", ",\"id\":12}"},
        {"{\"type\":\"publish\",\"channel\":\"c\",\"batch\":[{\"data\":", "}],\"id\":12}"},
        {"{\"type\":\"publish\",\"channel\":\"c\",\"batch\":[", "],\"id\":12}"},
        {"{\"type\":\"ping\",\"x\":", ",\"id\":12}"},
    };
    const struct wire_limits roomy = {.message_bytes = 4096};
    struct buf text = {0};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (unsigned extra = 0; extra < 2; extra++) {
            buf_clear(&text);
            assert_int_equal(buf_append(&text, bytes_of_text(cases[i].head)), RC_OK);
            for (unsigned level = 0; level < JSON_DEPTH_MAX + extra; level++) {
                assert_int_equal(buf_append(&text, BYTES_LITERAL("[")), RC_OK);
            }
            for (unsigned level = 0; level < JSON_DEPTH_MAX + extra; level++) {
                assert_int_equal(buf_append(&text, BYTES_LITERAL("]")), RC_OK);
            }
            assert_int_equal(buf_append(&text, bytes_of_text(cases[i].tail)), RC_OK);
            const enum rc rc =
                json_command_decode(buf_bytes(&text), &roomy, &scratch, &command, &error);
            if (extra == 1) {
                assert_int_equal(rc, RC_PROTOCOL);
                assert_int_equal(error.code, WIRE_ERROR_BAD_REQUEST);
                assert_int_equal(error.id, 12);
                assert_string_equal(error.message, "a value is nested deeper than 512 levels");
            } else {
                /* an array is no message, but deep it is not */
                assert_int_equal(rc, i == 2 ? RC_PROTOCOL : RC_OK);
                assert_true(i != 2 || strstr(error.message, "batch[0]: ") != NULL);
            }
        }
    }
    buf_deinit(&text);
}

/* ---- the other commands ---------------------------------------------------------------------- */

static void connect_takes_producer_and_token(void **state)
{
    (void)state;
    assert_good("{\"type\":\"connect\",\"id\":1,\"token\":\"a.b\\u002ec\","
                "\"producer\":{\"id\":\"p-81f3\",\"epoch\":2}}");
    assert_int_equal(command.type, WIRE_CONNECT);
    assert_text(command.token, "a.b.c");
    assert_text(command.producer.id, "p-81f3");
    assert_int_equal(command.producer.epoch, 2);
    assert_good("{\"type\":\"connect\",\"producer\":{\"id\":\"p\\u0031\"}}");
    assert_text(command.producer.id, "p1");
    assert_int_equal(command.producer.epoch, 1);
    assert_good("{\"type\":\"connect\"}");
    assert_int_equal(command.producer.id.size, 0);
}

static void subscribe_takes_every_kind_of_position(void **state)
{
    (void)state;
    assert_good("{\"type\":\"subscribe\",\"id\":2,\"channel\":\"orders\"}");
    assert_int_equal(command.type, WIRE_SUBSCRIBE);
    assert_int_equal(command.from, WIRE_FROM_LATEST);
    assert_int_equal(command.window, 0);
    assert_false(command.on_gap_reset);
    assert_good(
        "{\"type\":\"subscribe\",\"channel\":\"o\",\"from\":\"earliest\",\"on_gap\":\"reset\","
        "\"window\":256}");
    assert_int_equal(command.from, WIRE_FROM_EARLIEST);
    assert_int_equal(command.window, 256);
    assert_true(command.on_gap_reset);
    assert_good(
        "{\"type\":\"subscribe\",\"channel\":\"o\",\"from\":{\"seq\":43},\"on_gap\":\"error\"}");
    assert_int_equal(command.from, WIRE_FROM_SEQ);
    assert_int_equal(command.seq, 43);
    assert_false(command.on_gap_reset);
    assert_good(
        "{\"type\":\"subscribe\",\"channel\":\"o\",\"from\":{\"epoch\":\"k\\u0033x\",\"seq\":9}}");
    assert_int_equal(command.from, WIRE_FROM_EPOCH_SEQ);
    assert_text(command.epoch, "k3x");
    assert_int_equal(command.seq, 9);
    assert_good("{\"type\":\"subscribe\",\"channel\":\"o\",\"from\":{\"time\":1780000000000}}");
    assert_int_equal(command.from, WIRE_FROM_TIME);
    assert_true(command.time_ms == 1780000000000u);
}

static void subscribe_says_what_becomes_of_it_when_it_is_slow(void **state)
{
    (void)state;
    assert_good("{\"type\":\"subscribe\",\"channel\":\"o\"}");
    assert_int_equal(command.when_slow, WIRE_CATCH_UP);
    assert_good("{\"type\":\"subscribe\",\"channel\":\"o\",\"when_slow\":\"catch_up\"}");
    assert_int_equal(command.when_slow, WIRE_CATCH_UP);
    assert_good("{\"type\":\"subscribe\",\"channel\":\"o\",\"when_slow\":\"sk\\u0069p\"}");
    assert_int_equal(command.when_slow, WIRE_SKIP);
    assert_good("{\"type\":\"subscribe\",\"channel\":\"o\",\"when_slow\":\"conflate\"}");
    assert_int_equal(command.when_slow, WIRE_CONFLATE);
    assert_int_equal(decode("{\"type\":\"subscribe\",\"channel\":\"o\",\"when_slow\":\"drop\"}"),
                     RC_PROTOCOL);
    assert_int_equal(decode("{\"type\":\"subscribe\",\"channel\":\"o\",\"when_slow\":1}"),
                     RC_PROTOCOL);
    assert_int_equal(decode("{\"type\":\"subscribe\",\"channel\":\"o\",\"when_slow\":\"skip\","
                            "\"when_slow\":\"skip\"}"),
                     RC_PROTOCOL);
}

static void a_position_is_one_of_the_words_or_an_object(void **state)
{
    static const char *const bad[] = {"\"\\ud800\"", "\"Latest\"", "\"\"", "1", "null", "[]"};
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), "{\"type\":\"subscribe\",\"channel\":\"c\",\"from\":%s}",
                       bad[i]);
        assert_refused(text, WIRE_ERROR_BAD_REQUEST, "from: expected");
    }
}

static void ack_unsubscribe_history_digest_and_ping_are_taken(void **state)
{
    (void)state;
    assert_good("{\"type\":\"ack\",\"channel\":\"o\",\"seq\":9007199254740991}");
    assert_int_equal(command.type, WIRE_ACK);
    assert_true(command.seq == WIRE_INTEGER_MAX);
    assert_good("{\"type\":\"unsubscribe\",\"id\":3,\"channel\":\"o\"}");
    assert_int_equal(command.type, WIRE_UNSUBSCRIBE);
    assert_good("{\"type\":\"history\",\"id\":4,\"channel\":\"o\"}");
    assert_int_equal(command.type, WIRE_HISTORY);
    assert_false(command.has_history_from || command.reverse);
    assert_int_equal(command.limit, 100);
    assert_good("{\"type\":\"history\",\"channel\":\"o\",\"from\":0,\"limit\":1,\"reverse\":true}");
    assert_true(command.has_history_from && command.reverse);
    assert_int_equal(command.history_from, 0);
    assert_int_equal(command.limit, 1);
    assert_good("{\"type\":\"history\",\"channel\":\"o\",\"limit\":5000}");
    assert_int_equal(command.limit, HISTORY_MESSAGES_MAX);
    assert_good("{\"type\":\"digest\",\"id\":6,\"channel\":\"o\"}");
    assert_int_equal(command.type, WIRE_DIGEST);
    assert_false(command.has_seq);
    assert_good("{\"type\":\"digest\",\"channel\":\"o\",\"seq\":0}");
    assert_true(command.has_seq);
    assert_int_equal(command.seq, 0);
    assert_good("{\"type\":\"publish\",\"channel\":\"o\",\"data\":1,\"quiet\":true}");
    assert_true(command.quiet);
    assert_good("{\"type\":\"publish\",\"channel\":\"o\",\"data\":1,\"quiet\":false}");
    assert_false(command.quiet);
    assert_good("{\"type\":\"ping\",\"id\":5}");
    assert_int_equal(command.type, WIRE_PING);
    assert_int_equal(command.id, 5);
}

static void an_http_publish_has_no_type_and_may_have_a_producer(void **state)
{
    (void)state;
    assert_int_equal(decode_bytes(BYTES_LITERAL("{\"channel\":\"o\",\"data\":1,\"producer_seq\":3,"
                                                "\"producer\":{\"id\":\"p\",\"epoch\":4}}"),
                                  true),
                     RC_OK);
    assert_int_equal(command.type, WIRE_PUBLISH);
    assert_text(command.producer.id, "p");
    assert_int_equal(command.producer.epoch, 4);
    assert_int_equal(command.producer_seq, 3);
    assert_int_equal(decode_bytes(BYTES_LITERAL("{\"type\":7,\"type\":8,\"channel\":\"o\","
                                                "\"batch\":[{\"data\":1}],\"id\":5}"),
                                  true),
                     RC_OK);
    assert_true(command.is_batch);
    assert_int_equal(command.id, 5);
    assert_int_equal(
        decode_bytes(BYTES_LITERAL("{\"channel\":\"o\",\"data\":1,\"producer\":1}"), true),
        RC_PROTOCOL);
    assert_int_equal(decode_bytes(BYTES_LITERAL("{\"channel\":\"o\",\"data\":1,\"producer\":"
                                                "{\"id\":\"p\"},\"producer\":{\"id\":\"p\"}}"),
                                  true),
                     RC_PROTOCOL);
    assert_int_equal(decode_bytes(BYTES_LITERAL("{\"data\":1}"), true), RC_PROTOCOL);
    assert_int_equal(decode_bytes(BYTES_LITERAL("[]"), true), RC_BAD);
}

/* ---- memory and refusals in general ---------------------------------------------------------- */

static void running_out_of_memory_is_told_and_leaves_nothing_behind(void **state)
{
    static const char *const texts[] = {
        "{\"type\":\"publish\",\"channel\":\"\\u0063\",\"data_base64\":\"Zm9v\"}",
        "{\"type\":\"publish\",\"channel\":\"c\",\"batch\":[{\"data\":1,\"key\":\"\\u006b\"}]}",
        "{\"type\":\"connect\",\"token\":\"\\u0063\"}",
        "{\"type\":\"publish\",\"channel\":\"c\",\"data_base64\":\"Zm9v\"}",
        "{\"type\":\"publish\",\"channel\":\"c\",\"data_base64\":\"Zm9v\\/w==\"}",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        bool failed = false;
        for (uint64_t k = 1;; k++) {
            struct wire_scratch fresh;
            wire_scratch_init(&fresh);
            mem_fault_set(k, 0);
            command = (struct wire_command){.id = 55};
            const enum rc rc =
                json_command_decode(bytes_of_text(texts[i]), &limits, &fresh, &command, &error);
            mem_fault_set(0, 0);
            wire_scratch_deinit(&fresh);
            if (rc == RC_OK) {
                break;
            }
            failed = true;
            assert_int_equal(rc, RC_NOMEM);
            assert_int_equal(command.id, 55);
        }
        assert_true(failed);
    }
}

static void a_message_of_an_error_holds_nothing_of_the_client(void **state)
{
    static const char *const texts[] = {
        "{\"type\":\"secret\"}",
        "{\"type\":\"publish\",\"channel\":\"secret\\n\",\"data\":\"secret\"}",
        "{\"type\":\"publish\",\"channel\":\"c\",\"data\":\"secret\",\"key\":[\"secret\"]}",
        "{\"type\":\"subscribe\",\"channel\":\"c\",\"from\":\"secret\"}",
        "{\"type\":\"subscribe\",\"channel\":\"c\",\"on_gap\":\"secret\"}",
        "{\"type\":\"publish\",\"secret\":secret}",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        assert_int_not_equal(decode(texts[i]), RC_OK);
        assert_null(strstr(error.message, "secret"));
        for (const char *c = error.message; *c != '\0'; c++) {
            assert_true(*c >= ' ' && *c <= '~' && *c != '"' && *c != '\\');
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_type_may_stand_anywhere_and_be_escaped),
        cmocka_unit_test(a_type_that_is_missing_unknown_ill_typed_or_repeated_is_refused),
        cmocka_unit_test(an_error_carries_the_id_wherever_it_stood),
        cmocka_unit_test(what_is_not_a_json_object_is_bad_and_no_command),
        cmocka_unit_test(a_publish_hands_on_its_payload_byte_for_byte),
        cmocka_unit_test(the_members_of_a_publish_are_all_there),
        cmocka_unit_test(data_data_base64_and_batch_exclude_one_another),
        cmocka_unit_test(a_batch_holds_1_to_1000_messages),
        cmocka_unit_test(a_fault_in_a_batch_names_the_item),
        cmocka_unit_test(names_hold_255_bytes_and_not_one_more),
        cmocka_unit_test(a_message_over_the_limit_is_too_large),
        cmocka_unit_test(a_value_nested_too_deep_is_refused_and_the_id_kept),
        cmocka_unit_test(connect_takes_producer_and_token),
        cmocka_unit_test(subscribe_takes_every_kind_of_position),
        cmocka_unit_test(subscribe_says_what_becomes_of_it_when_it_is_slow),
        cmocka_unit_test(a_position_is_one_of_the_words_or_an_object),
        cmocka_unit_test(ack_unsubscribe_history_digest_and_ping_are_taken),
        cmocka_unit_test(an_http_publish_has_no_type_and_may_have_a_producer),
        cmocka_unit_test(running_out_of_memory_is_told_and_leaves_nothing_behind),
        cmocka_unit_test(a_message_of_an_error_holds_nothing_of_the_client),
    };
    return cmocka_run_group_tests(tests, decode_setup, decode_teardown);
}
