#include "bench/publisher.h"

#include "base/mem.h"
#include "bench/stamp.h"

#include <inttypes.h>

#define SLOTS_EACH 4u
/* With nothing to bound it, what may wait for a socket. */
#define UNACKED_BYTES_MAX (256u * 1024u)

static bool wants_ack(const struct bench *bench)
{
    return bench->adapter->acks && !bench->options->no_ack;
}

/* The seqs that a channel's only publisher is told follow one another; others' may lie between. */
static void check_seq(struct bench_publisher *p, const struct bench_slot *slot, uint64_t seq,
                      uint64_t count)
{
    struct bench *bench = p->conn.bench;
    uint64_t *last = &p->seqs[slot->channel];
    if (seq == 0 && !bench->adapter->seqs) {
        return;
    }
    if (p->setup.alone ? seq != *last + 1 : seq <= *last) {
        bench_violated(bench, BENCH_VIOLATION_ACK,
                       "publisher %u was told seq %" PRIu64 " behind %" PRIu64, p->conn.setup.index,
                       seq, *last);
    }
    *last = seq + count - 1;
}

/* One publish that an answer is for. False: it is not under way. */
static bool answer(struct bench_publisher *p, uint64_t id, uint64_t seq)
{
    struct bench *bench = p->conn.bench;
    struct bench_slot *slot = &p->slots[id & p->slot_mask];
    if (slot->id != id) {
        return false;
    }
    check_seq(p, slot, seq, p->made.count);
    bench->counts.acked += p->made.count;
    if (p->setup.latency != NULL && bench_measured(bench, slot->due_ns)) {
        histogram_add(p->setup.latency, bench->loop.now_ns - slot->due_ns);
    }
    slot->id = 0;
    p->inflight--;
    return true;
}

/* A run is answered as if each had been by itself: the seqs follow from the first. */
static void on_published(struct bench_publisher *p, const struct bench_event *event)
{
    struct bench *bench = p->conn.bench;
    const uint64_t each = p->made.count;
    const bool may = event->more <= (bench->options->cumulative ? p->slot_mask : 0) &&
                     event->count == (event->more + 1) * each;
    uint64_t answered = 0;
    while (may && answered <= event->more &&
           answer(p, event->id + answered, event->seq == 0 ? 0 : event->seq + answered * each)) {
        answered++;
    }
    if (answered <= event->more) {
        bench_violated(bench, BENCH_VIOLATION_ACK,
                       "publisher %u got an answer to %" PRIu64 " of %" PRIu64 " messages",
                       p->conn.setup.index, event->id + answered, event->count);
    }
    if (answered > 0 && p->setup.on_acked != NULL) {
        p->setup.on_acked(p);
    }
}

static void publisher_on_event(struct bench_conn *conn, const struct bench_event *event)
{
    struct bench_publisher *p = conn->setup.ctx;
    if (event->type == BENCH_EVENT_PUBLISHED && p->made.id_at != 0) {
        on_published(p, event);
    }
}

static bool make_template(struct bench *bench, struct bench_publisher *p)
{
    const struct bench_options *o = bench->options;
    uint8_t *payload = mem_alloc(o->payload);
    enum rc rc = payload == NULL ? RC_NOMEM : RC_OK;
    if (rc == RC_OK) {
        stamp_payload(payload, o->payload);
        rc = bench->adapter->prepare(&p->conn, o->prefix, bytes_of(payload, o->payload), o->batch,
                                     wants_ack(bench), &p->made);
    }
    mem_free(payload);
    if (rc != RC_OK) {
        bench_fail(bench, "out of memory");
    }
    return rc == RC_OK;
}

bool bench_publisher_open(struct bench *bench, struct bench_publisher *publisher, uint32_t index,
                          const struct bench_publisher_setup *setup)
{
    struct bench_publisher *p = publisher;
    ASSERT(setup->channel_count > 0 && setup->inflight > 0);
    *p = (struct bench_publisher){
        .setup = *setup, .next_id = BENCH_ID_FIRST, .out_bytes_max = UNACKED_BYTES_MAX};
    uint64_t slots = 1;
    /* Answers overtake one another: more slots than may be in use, so that one that is late blocks
     * few. */
    while (slots < setup->inflight * SLOTS_EACH) {
        slots *= 2;
    }
    p->slot_mask = slots - 1;
    p->slots = bench_alloc(bench, slots, sizeof(*p->slots));
    p->numbers = bench_alloc(bench, setup->channel_count, sizeof(*p->numbers));
    p->seqs = bench_alloc(bench, setup->channel_count, sizeof(*p->seqs));
    const struct bench_conn_setup conn = {.index = index,
                                          .publishes = true,
                                          .channel = setup->channel_first,
                                          .on_event = publisher_on_event,
                                          .ctx = p};
    bench_conn_open(bench, &p->conn, &conn);
    return bench->failure[0] == '\0' && make_template(bench, p);
}

void bench_publisher_close(struct bench_publisher *publisher)
{
    bench_conn_close(&publisher->conn);
    buf_deinit(&publisher->made.frame);
    mem_free(publisher->slots);
    mem_free(publisher->numbers);
    mem_free(publisher->seqs);
    *publisher = (struct bench_publisher){0};
}

bool bench_publisher_free(const struct bench_publisher *publisher)
{
    const struct bench_publisher *p = publisher;
    if (p->made.id_at == 0) {
        return !p->conn.wants_write && p->conn.out.size < p->out_bytes_max;
    }
    return p->inflight < p->setup.inflight && p->slots[p->next_id & p->slot_mask].id == 0;
}

static void patch(struct bench_publisher *p, uint8_t *frame, uint32_t channel, uint64_t due_ns)
{
    const struct bench_template *made = &p->made;
    const uint32_t name = p->setup.channel_first + channel * p->setup.channel_stride;
    struct stamp stamp = {.due_ns = due_ns - p->conn.bench->began_ns, .channel = name};
    for (size_t i = 0; i < made->count; i++) {
        stamp.number = ++p->numbers[channel];
        stamp_put(frame + made->payload_at + i * made->payload_stride, &stamp);
    }
    uint32_t rest = name;
    for (size_t i = BENCH_CHANNEL_DIGITS; made->channel_at != 0 && i > 0; i--) {
        frame[made->channel_at + i - 1] = (uint8_t)('0' + rest % 10);
        rest /= 10;
    }
}

void bench_publisher_send(struct bench_publisher *publisher, uint64_t due_ns)
{
    struct bench_publisher *p = publisher;
    struct bench *bench = p->conn.bench;
    struct buf *out = bench_send_buf(&p->conn);
    const struct bench_adapter *adapter = bench->adapter;
    if ((adapter->begin != NULL && adapter->begin(&p->conn, &p->made) != RC_OK) ||
        buf_reserve(out, p->made.frame.size) != RC_OK) {
        bench_fail(bench, "out of memory");
        p->setup.inflight = 0; /* or loads would try for ever: see bench_publisher_free() */
        p->out_bytes_max = 0;
        return;
    }
    const uint32_t channel = p->turn;
    const uint64_t id = p->next_id;
    p->next_id = id + 1 == BENCH_ID_END ? BENCH_ID_FIRST : id + 1;
    uint8_t *frame = out->data + out->size;
    bytes_copy(frame, p->made.frame.data, p->made.frame.size);
    patch(p, frame, channel, due_ns);
    adapter->finish(&p->conn, &p->made, frame, id);
    out->size += p->made.frame.size;
    p->turn = channel + 1 == p->setup.channel_count ? 0 : channel + 1;
    p->sent += p->made.count;
    bench->counts.sent += p->made.count;
    if (p->made.id_at != 0) {
        p->slots[id & p->slot_mask] = (struct bench_slot){id, due_ns, channel};
        p->inflight++;
    }
}

void bench_publisher_settle(struct bench_publisher *publisher)
{
    if (publisher->conn.bench == NULL || publisher->conn.bench->failure[0] != '\0') {
        return;
    }
    for (uint64_t i = 0; i <= publisher->slot_mask; i++) {
        if (publisher->slots[i].id != 0) {
            bench_violated(publisher->conn.bench, BENCH_VIOLATION_UNACKED,
                           "publisher %u got no answer to %" PRIu64, publisher->conn.setup.index,
                           publisher->slots[i].id);
        }
    }
}
