/* The C client library's arguments: each that is not as client.h says is refused by the status that
 * it says, nothing happens, and the smallest and largest that may be are taken. No server is there,
 * so what is taken waits. */
#include <seriatim/client.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const nowhere[] = {"ws://127.0.0.1:1"};
static char longest[256]; /* 255 bytes, and a NUL */
static char too_long[257];
static char deep[2001];

static const struct seriatim_client_options options = {.size = sizeof(options),
                                                       .endpoints = nowhere,
                                                       .endpoint_count = 1,
                                                       .outbox_bytes = 100000,
                                                       .message_bytes = 50000};

static struct seriatim_client *open_client(enum seriatim_codec codec)
{
    struct seriatim_client_options o = options;
    struct seriatim_client *client = NULL;
    o.codec = codec;
    assert_int_equal(seriatim_client_new(&o, &client, NULL), SERIATIM_OK);
    (void)memset(longest, 'x', sizeof(longest) - 1);
    (void)memset(too_long, 'x', sizeof(too_long) - 1);
    (void)memset(deep, '[', sizeof(deep) - 1);
    return client;
}

static void options_that_cannot_be(void **state)
{
    (void)state;
    static const char *const hole[] = {"ws://127.0.0.1:1", NULL};
    struct seriatim_client_options bad[6];
    for (size_t i = 0; i < 6; i++) {
        bad[i] = options;
    }
    bad[0].endpoints = NULL;
    bad[1].codec = (enum seriatim_codec)2;
    bad[2].message_bytes = bad[2].outbox_bytes + 1;
    bad[3].producer_epoch = UINT64_C(1) << 53;
    bad[4].endpoints = hole;
    bad[4].endpoint_count = 2;
    bad[5].producer = "";
    for (size_t i = 0; i < 6; i++) {
        struct seriatim_client *client = NULL;
        assert_int_equal(seriatim_client_new(&bad[i], &client, NULL), SERIATIM_BAD);
        assert_null(client);
    }
}

struct publish_case {
    struct seriatim_publish publish; /* `size` is set */
    enum seriatim_status status;
};

static void publishes(void **state)
{
    (void)state;
    struct seriatim_client *client = open_client(SERIATIM_BINARY);
    char large[50001];
    (void)memset(large, '1', sizeof(large));
    const struct publish_case cases[] = {
        {{.data = "1", .data_size = 1}, SERIATIM_BAD}, /* no channel */
        {{.channel = "c", .data = "\"\xff\"", .data_size = 3}, SERIATIM_BAD},
        {{.channel = "c", .data = "1 2", .data_size = 3}, SERIATIM_BAD},
        {{.channel = "c", .data = deep, .data_size = 2000}, SERIATIM_BAD},
        {{.channel = "c", .data_size = 1, .bytes = true}, SERIATIM_BAD},
        {{.channel = "c", .data = large, .data_size = 50001, .bytes = true}, SERIATIM_TOO_LARGE},
        {{.channel = too_long, .data = "1", .data_size = 1}, SERIATIM_TOO_LARGE},
        {{.channel = "c", .data = "1", .data_size = 1, .key = too_long}, SERIATIM_TOO_LARGE},
        {{.channel = "\xc3\xa9", .data = "1", .data_size = 1}, SERIATIM_OK},
        {{.channel = longest, .data = "1", .data_size = 1, .key = longest}, SERIATIM_OK},
        {{.channel = "cut here", .channel_size = 3, .data = "1", .data_size = 1}, SERIATIM_OK},
        {{.channel = "c", .bytes = true}, SERIATIM_OK}, /* an empty payload */
        {{.channel = "c", .data = "1", .data_size = 1, .key = "k\0k", .key_size = 3}, SERIATIM_OK},
        {{.channel = "c", .data = large, .data_size = 50000, .bytes = true}, SERIATIM_OK},
        {{.channel = "c", .data = large, .data_size = 50000, .bytes = true}, SERIATIM_FULL},
    };
    assert_int_equal(seriatim_publish(client, NULL), SERIATIM_BAD);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct seriatim_publish p = cases[i].publish;
        p.size = sizeof(p);
        assert_int_equal(seriatim_publish(client, &p), cases[i].status);
        if (cases[i].status != SERIATIM_OK && cases[i].status != SERIATIM_FULL) {
            assert_int_equal(seriatim_publish_wait(client, &p, 0), cases[i].status);
        }
    }
    struct seriatim_publish more = cases[sizeof(cases) / sizeof(cases[0]) - 1].publish;
    more.size = sizeof(more);
    assert_int_equal(seriatim_publish_wait(client, &more, 30), SERIATIM_TIMEOUT);
    assert_int_equal(seriatim_client_close(client, 0), SERIATIM_TIMEOUT);
}

static void on_message(void *user, const struct seriatim_message *message)
{
    (void)user;
    (void)message;
    fail();
}

static void on_answer(void *user, const struct seriatim_answer *answer)
{
    (void)user;
    (void)answer;
}

static void subscriptions(void **state)
{
    (void)state;
    struct seriatim_client *client = open_client(SERIATIM_JSON);
    const struct seriatim_subscribe good = {
        .size = sizeof(good), .channel = "c", .on_message = on_message};
    struct seriatim_subscribe bad[9];
    for (size_t i = 0; i < 9; i++) {
        bad[i] = good;
    }
    bad[0].size--;
    bad[1].channel = NULL;
    bad[2].channel = "";
    bad[3].from = (enum seriatim_from)(SERIATIM_TIME + 1);
    bad[4].when_slow = (enum seriatim_when_slow)(SERIATIM_CONFLATE + 1);
    bad[5].from = SERIATIM_SEQ;
    bad[5].seq = UINT64_C(1) << 53;
    bad[6].from = SERIATIM_TIME;
    bad[6].time_ms = UINT64_C(1) << 53;
    bad[7].from = SERIATIM_POSITION;
    bad[7].seq = 1;
    bad[8].on_message = NULL;
    for (size_t i = 0; i < 9; i++) {
        assert_int_equal(seriatim_subscribe(client, &bad[i], NULL), SERIATIM_BAD);
    }
    assert_int_equal(seriatim_subscribe(client, NULL, NULL), SERIATIM_BAD);
    bad[0] = good;
    bad[0].channel = too_long;
    assert_int_equal(seriatim_subscribe(client, &bad[0], NULL), SERIATIM_TOO_LARGE);
    static const enum seriatim_from froms[] = {SERIATIM_LATEST, SERIATIM_EARLIEST, SERIATIM_SEQ,
                                               SERIATIM_POSITION, SERIATIM_TIME};
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < 5; i++) {
        struct seriatim_subscribe s = good;
        s.channel = names[i];
        s.from = froms[i];
        s.seq = 1;
        s.epoch = "k3x";
        assert_int_equal(seriatim_subscribe(client, &s, NULL), SERIATIM_OK);
        assert_int_equal(seriatim_subscribe(client, &s, NULL), SERIATIM_EXISTS);
    }
    assert_int_equal(seriatim_client_close(client, 0), SERIATIM_OK);
}

static void questions_and_beginnings(void **state)
{
    (void)state;
    struct seriatim_client *client = open_client(SERIATIM_JSON);
    assert_int_equal(seriatim_history(client, NULL), SERIATIM_BAD);
    assert_int_equal(seriatim_digest(client, NULL), SERIATIM_BAD);
    const struct seriatim_history page = {.size = sizeof(page),
                                          .channel = "c",
                                          .from = (UINT64_C(1) << 53) - 1,
                                          .limit = 0, /* as many as there may be */
                                          .on_message = on_message,
                                          .on_answer = on_answer};
    struct seriatim_history beyond = page;
    beyond.from = UINT64_C(1) << 53;
    assert_int_equal(seriatim_history(client, &beyond), SERIATIM_BAD);
    for (unsigned open = 0; open < 1000; open++) {
        assert_int_equal(seriatim_history(client, &page), SERIATIM_OK);
    }
    assert_int_equal(seriatim_history(client, &page), SERIATIM_FULL);
    const struct seriatim_digest digest = {
        .size = sizeof(digest), .channel = "c", .on_answer = on_answer};
    assert_int_equal(seriatim_digest(client, &digest), SERIATIM_FULL);
    assert_int_equal(seriatim_channel_begin(client, "c", 0), SERIATIM_BAD);
    assert_int_equal(seriatim_channel_begin(client, "c", UINT64_C(1) << 53), SERIATIM_BAD);
    assert_int_equal(seriatim_channel_begin(client, "", 1), SERIATIM_BAD);
    assert_int_equal(seriatim_channel_begin(client, "c", 17), SERIATIM_OK);
    assert_int_equal(seriatim_client_close(client, 0), SERIATIM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_that_cannot_be),
        cmocka_unit_test(publishes),
        cmocka_unit_test(subscriptions),
        cmocka_unit_test(questions_and_beginnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
