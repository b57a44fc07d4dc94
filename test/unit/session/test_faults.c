/* Goal: a socket may cut the stream anywhere, and memory may run out anywhere: the bytes stay the
 * same, and nothing leaks, crashes or skips a message.
 * Method: one story told again and again, cut at every byte or failing at every allocation. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdlib.h>

/* A conversation with replies, a live tail, a cursor that falls behind and reads, and a gap. */
static void tell(struct world *w, struct world_client *client, unsigned a, unsigned b)
{
    world_publish(w, a, 4, 4);
    (void)world_text(client, "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"a\","
                             "\"from\":\"earliest\",\"on_gap\":\"reset\"}");
    (void)world_text(client, "{\"type\":\"subscribe\",\"id\":3,\"channel\":\"b\"}");
    world_owners_run(w);
    (void)world_text(client, "{\"type\":\"ping\",\"id\":4}");
    world_publish(w, a, 3, 1);
    world_publish(w, b, 3, 2);
    world_owners_run(w);
    (void)world_text(client, "{\"type\":\"publish\",\"id\":5,\"channel\":\"b\",\"data\":1}");
    (void)world_text(client, "{\"type\":\"history\",\"id\":6,\"channel\":\"a\"}");
    (void)world_text(client, "{\"type\":\"digest\",\"id\":7,\"channel\":\"a\",\"seq\":5}");
    (void)world_text(client, "{\"type\":\"digest\",\"id\":8,\"channel\":\"b\",\"seq\":50}");
    world_owners_run(w);
}

static const struct world_limits limits = {
    .feed_bytes_max = 150, .read_bytes_max = 250, .gather_bytes_max = 300};

static bool all_has_come(const struct world_client *client, unsigned a, unsigned b)
{
    const struct world *w = client->world;
    return client->views[a].on && client->views[a].expected == w->channels[a].latest + 1 &&
           client->views[b].on && client->views[b].expected == w->channels[b].latest + 1;
}

/* The bytes of the whole story where the socket takes `cut` bytes, then nothing, then `each` at a
 * time. */
static void story_cut(size_t cut, size_t each, struct buf *ret_stream,
                      struct world_marks *ret_marks)
{
    struct world w;
    world_init(&w, &limits);
    const unsigned a = world_channel(&w, "a");
    const unsigned b = world_channel(&w, "b");
    struct world_client *client = world_connect(&w, 0);
    tell(&w, client, a, b);
    size_t left = cut;
    while (left > 0 && (client->woken || client->want_write)) {
        left -= world_pump(client, left);
        world_owners_run(&w);
        feed_table_trim(&w.feeds);
    }
    (void)world_pump(client, 0);
    world_owners_run(&w);
    while (client->woken || client->want_write) {
        (void)world_pump(client, each);
        world_owners_run(&w);
        feed_table_trim(&w.feeds);
    }
    assert_true(all_has_come(client, a, b)); /* and the world has judged each message */
    *ret_stream = client->stream;
    client->stream = (struct buf){0};
    *ret_marks = w.marks;
    world_deinit(&w);
}

static int by_bytes(const void *one, const void *two)
{
    return memcmp(one, two, 1);
}

/* Where a write is cut may change which channel goes first, but not a byte of either: the order
 * within each is judged by the world, and the bytes as a whole are a permutation. */
static bool same_bytes(struct buf *one, struct buf *two)
{
    qsort(one->data, one->size, 1, by_bytes);
    qsort(two->data, two->size, 1, by_bytes);
    return bytes_equal(buf_bytes(one), buf_bytes(two));
}

static void a_delivery_cut_at_any_byte_is_the_same_delivery(void **state)
{
    (void)state;
    struct buf whole;
    struct world_marks marks;
    story_cut(0, SIZE_MAX, &whole, &marks);
    assert_true(marks.reads > 0);
    assert_true(whole.size > 1000);
    const size_t size = whole.size;
    uint64_t cut_frames = 0;
    for (size_t cut = 1; cut < size; cut++) {
        struct buf stream;
        story_cut(cut, cut % 7 == 0 ? 1 : SIZE_MAX, &stream, &marks);
        cut_frames += marks.cut_frames;
        assert_int_equal(stream.size, size);
        assert_true(same_bytes(&stream, &whole));
        buf_deinit(&stream);
    }
    assert_true(cut_frames > size / 2);
    buf_deinit(&whole);
}

/* One subscription, so that nothing can change places: the very same stream. */
static void one_channel_cut_at_any_byte_is_the_very_same_stream(void **state)
{
    (void)state;
    struct buf whole = {0};
    for (size_t cut = SIZE_MAX; cut == SIZE_MAX || cut <= whole.size; cut++) {
        struct world w;
        world_init(&w, &limits);
        const unsigned a = world_channel(&w, "a");
        world_publish(&w, a, 8, 8);
        struct world_client *client = world_connect(&w, 0);
        (void)world_text(client, "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"a\","
                                 "\"from\":{\"seq\":2}}");
        world_owners_run(&w);
        world_publish(&w, a, 4, 2);
        size_t left = cut;
        while (client->woken || client->want_write) {
            const size_t taken = world_pump(client, left);
            left = taken < left ? left - taken : SIZE_MAX;
            world_owners_run(&w);
        }
        assert_int_equal(client->views[a].expected, 13);
        if (cut == SIZE_MAX) {
            assert_true(buf_append(&whole, buf_bytes(&client->stream)) == RC_OK);
        }
        assert_true(bytes_equal(buf_bytes(&client->stream), buf_bytes(&whole)));
        world_deinit(&w);
    }
    buf_deinit(&whole);
}

/* ---- memory -----------------------------------------------------------------------------------
 */

/* The same story with the k-th allocation failing. A connection may end for it; then, and in any
 * case, a client that comes again resumes and gets it all. False: there is no k-th one. */
static bool story_without_memory(uint64_t k, bool *ret_killed)
{
    struct world w;
    world_init(&w, &limits);
    const unsigned a = world_channel(&w, "a");
    const unsigned b = world_channel(&w, "b");
    w.fault_at = k;
    struct world_client *other = world_connect(&w, 1);
    (void)world_text(other, "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"a\"}");
    struct world_client *client = world_connect(&w, 0);
    tell(&w, client, a, b);
    (void)world_pump(client, 333);
    (void)world_pump(other, 33);
    world_run(&w);
    world_trim(&w, a, w.channels[a].latest + 1);
    world_publish(&w, a, 3, 1);
    (void)world_text(client, "{\"type\":\"unsubscribe\",\"id\":9,\"channel\":\"b\"}");
    world_run(&w);
    const bool hit = w.fault_seen >= k;
    *ret_killed = client->killed || other->killed;
    for (unsigned i = 0; i < 2; i++) {
        const uint64_t next = w.clients[i].views[a].expected;
        world_close(&w, i);
        struct world_client *again = world_connect(&w, i);
        (void)world_textf(
            again,
            "{\"type\":\"subscribe\",\"id\":3,\"channel\":\"a\",\"from\":{\"seq\":%llu},"
            "\"on_gap\":\"reset\"}",
            next > 0 ? (unsigned long long)next : 1);
        world_publish(&w, a, 1, 1);
        world_run(&w);
        again->woken = true; /* as the next ping does */
        world_run(&w);
        assert_true(again->killed || !hit || again->views[a].expected == w.channels[a].latest + 1);
    }
    world_deinit(&w);
    return hit;
}

static void memory_may_run_out_anywhere(void **state)
{
    (void)state;
    uint64_t killed_count = 0;
    uint64_t k = 1;
    bool killed = false;
    while (story_without_memory(k, &killed)) {
        killed_count += killed;
        k++;
    }
    assert_true(k > 30);
    assert_true(killed_count > 10);
    assert_true(killed_count < k); /* not each one costs a connection */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_delivery_cut_at_any_byte_is_the_same_delivery),
        cmocka_unit_test(one_channel_cut_at_any_byte_is_the_very_same_stream),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
