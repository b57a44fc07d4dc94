/* A hostile server against the adapters of bench/peers: nothing that is sent may break one, an
 * event lies inside what was sent, and something is taken whenever there is one.
 *
 * The first byte chooses the adapter and what the connection is for, the second whether it has been
 * upgraded. */
#include "base/mem.h"
#include "peers/peers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct bytes inner, struct bytes outer)
{
    ASSERT(inner.size <= outer.size);
    ASSERT(inner.size == 0 ||
           (inner.data >= outer.data && inner.data + inner.size <= outer.data + outer.size));
}

/* Texts of our own are told, too. */
static void check_text(const struct bench_event *event, struct bytes outer)
{
    if (event->type != BENCH_EVENT_FAILED) {
        check_inside(event->text, outer);
    }
    check_inside(event->payload, outer);
}

static void take_all(struct bench_conn *conn, struct bytes rest)
{
    while (rest.size > 0) {
        struct bench_event event;
        size_t used = 0;
        conn->bench->adapter->parse(conn, rest.data, rest.size, &used, &event);
        ASSERT(used <= rest.size);
        ASSERT((used == 0) == (event.type == BENCH_EVENT_NONE));
        check_text(&event, rest);
        buf_clear(&conn->out);
        if (event.type == BENCH_EVENT_NONE || event.type == BENCH_EVENT_FAILED) {
            return;
        }
        conn->ready = conn->ready || event.type == BENCH_EVENT_READY;
        rest = bytes_of(rest.data + used, rest.size - used);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct bench_adapter *const all[] = {
#define X(name) &peer_##name,
        PEER_LIST(X)
#undef X
    };
    static const struct bench_options options = {.prefix = "bench.f", .codec = "json"};
    static struct bench bench = {.options = &options};
    if (size < 2) {
        return 0;
    }
    bench.adapter = all[(data[0] >> 1) % (sizeof(all) / sizeof(all[0]))];
    struct bench_conn conn = {
        .bench = &bench,
        .fd = -1,
        .wants_write = true, /* nothing is queued to be sent */
        .stage = data[1] & 1,
        .ready = (data[1] & 2) != 0,
        .setup = {.publishes = (data[0] & 1) != 0},
    };
    /* Copied, so that a byte read behind the end is one too many. */
    uint8_t *copy = mem_alloc(size > 2 ? size - 2 : 1);
    ASSERT(copy != NULL);
    bytes_copy(copy, data + 2, size - 2);
    take_all(&conn, bytes_of(copy, size - 2));
    mem_free(copy);
    buf_deinit(&conn.out);
    return 0;
}
