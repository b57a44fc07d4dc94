/* N threads write to one WebSocket connection, in three designs.
 *
 * The connection is a TCP socket over loopback with a reader at its other end that takes what
 * comes. A message is what the server pushes to a subscriber: JSON in a frame.
 *
 *   rings    Each thread encodes into memory of its own and pushes the frame into its own ring
 *            (ring/spsc.h). The owner, a thread more, drains all rings into the out-buffer and
 * sends it in one go. Who finds its ring full sleeps until the owner has made room; the owner
 *            sleeps when all rings are empty (ring/doorbell.h).
 *   fine     Each thread encodes into memory of its own, appends under the out-buffer's mutex, and
 *            then sends under the socket's: what is there, also of others. Whose bytes another one
 *            has sent meanwhile has nothing left to do.
 *   coarse   One mutex around all of it, so each message is a send of its own.
 *
 * A message's latency is the time from the beginning of the write to the return of the send that
 * took its last byte. At a given rate each thread has its turns at fixed times; one that comes
 * late, because the write before took so long, counts from when it was due.
 *
 * A thread is blocked while it waits for a mutex that it did not get at once, or for room in its
 * ring; the share is that time of all threads over the whole. */
#include "write_path.h"

#include "base/mem.h"
#include "client/histogram.h"
#include "ring/doorbell.h"
#include "ring/spsc.h"
#include "wire/json_codec.h"
#include "wire/ws.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES (256u * KIB)
/* What the owner collects before it sends. */
#define OUT_BYTES_MAX (256u * KIB)

struct line;

/* A frame on its way to the owner; the producer's again once the owner has copied it. */
struct slot {
    uint64_t began_ns;
    struct buf frame;
};

struct producer {
    alignas(CACHE_LINE) struct line *line;
    unsigned index;
    uint64_t count; /* messages written */
    uint64_t blocked_ns;
    uint64_t latency_ns; /* of all its messages together */
    uint64_t bytes;
    pthread_t thread;
    struct buf scratch;
    struct slot *slots; /* rings: four times the ring's, so that none is used twice at a time */
    struct histogram *latency;
    alignas(CACHE_LINE) struct spsc ring;
    struct doorbell bell; /* rung when there is room again */
    int wake_fd;
};

struct line {
    const struct line_options *options;
    int send_fd;
    int read_fd;
    uint8_t *data;
    uint64_t start_ns;
    pthread_barrier_t ready;
    alignas(CACHE_LINE) _Atomic bool stop;
    alignas(CACHE_LINE) _Atomic unsigned running; /* producers that may still push */
    alignas(CACHE_LINE) pthread_mutex_t out_mutex;
    alignas(CACHE_LINE) pthread_mutex_t send_mutex;
    alignas(CACHE_LINE) struct buf out;
    struct buf sending;
    struct buf scratch;
    uint64_t sends;
    uint64_t end_ns;                          /* of the last send */
    alignas(CACHE_LINE) struct doorbell bell; /* the owner's */
    int wake_fd;
    struct buf began; /* when each message in `out` was begun */
    struct histogram latency;
    uint64_t latency_ns;
    alignas(CACHE_LINE) uint64_t read_bytes;
    uint64_t *next_seq; /* by producer; where the reader checks */
    struct producer *producers;
};

static void must(enum rc rc)
{
    if (rc != RC_OK) {
        die("out of memory");
    }
}

const char *design_name(enum design design)
{
    static const char *const names[] = {"rings", "fine-grained mutex", "coarse mutex"};
    static_assert(sizeof(names) / sizeof(names[0]) == DESIGN_COUNT, "a name each");
    return names[design];
}

/* ---- what all of them do --------------------------------------------------------------------- */

/* Appends the frame of a producer's next message. */
static void encode(const struct producer *producer, struct buf *scratch, struct buf *to)
{
    char name[16];
    const int size = snprintf(name, sizeof(name), "p%u", producer->index);
    const struct wire_message message = {
        .channel = BYTES_LITERAL("orders"),
        .seq = producer->count + 1,
        .message_id = (producer->count + 1) << 12,
        .time_ms = UINT64_C(1750000000000),
        .producer = bytes_of(name, (size_t)size),
        .producer_seq = producer->count + 1,
        .data = bytes_of(producer->line->data, producer->line->options->data_size),
    };
    buf_clear(scratch);
    must(json_encode_message(scratch, &message, true));
    must(ws_frame_append(to, WS_TEXT, buf_bytes(scratch)));
}

static void send_all(struct line *line, struct bytes bytes)
{
    while (bytes.size > 0) {
        const ssize_t sent = send(line->send_fd, bytes.data, bytes.size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            die("send: %s", strerror(errno));
        }
        bytes = bytes_of(bytes.data + sent, bytes.size - (size_t)sent);
    }
    line->sends++;
}

static void mutex_lock(pthread_mutex_t *mutex, struct producer *producer)
{
    if (pthread_mutex_trylock(mutex) == 0) {
        return;
    }
    const uint64_t before = now_ns();
    (void)pthread_mutex_lock(mutex);
    producer->blocked_ns += now_ns() - before;
}

/* The kernel has the message. */
static void written(struct producer *producer, uint64_t began_ns)
{
    const uint64_t latency_ns = now_ns() - began_ns;
    histogram_add(producer->latency, latency_ns);
    producer->latency_ns += latency_ns;
}

static void event_wait(int fd)
{
    uint64_t count;
    (void)!read(fd, &count, sizeof(count));
}

static void event_set(int fd)
{
    const uint64_t one = 1;
    (void)!write(fd, &one, sizeof(one));
}

/* ---- the designs ----------------------------------------------------------------------------- */

static void write_coarse(struct producer *producer, uint64_t began_ns)
{
    struct line *line = producer->line;
    mutex_lock(&line->out_mutex, producer);
    encode(producer, &line->scratch, &line->out);
    const size_t size = line->out.size;
    send_all(line, buf_bytes(&line->out));
    buf_clear(&line->out);
    (void)pthread_mutex_unlock(&line->out_mutex);
    producer->bytes += size;
    written(producer, began_ns);
}

static void write_fine(struct producer *producer, uint64_t began_ns)
{
    struct line *line = producer->line;
    struct buf *frame = &producer->slots[0].frame;
    encode(producer, &producer->scratch, frame);

    mutex_lock(&line->out_mutex, producer);
    must(buf_append(&line->out, buf_bytes(frame)));
    (void)pthread_mutex_unlock(&line->out_mutex);
    producer->bytes += frame->size;
    buf_clear(frame);

    mutex_lock(&line->send_mutex, producer);
    mutex_lock(&line->out_mutex, producer);
    const struct buf taken = line->out;
    line->out = line->sending;
    line->sending = taken;
    (void)pthread_mutex_unlock(&line->out_mutex);
    if (line->sending.size > 0) {
        send_all(line, buf_bytes(&line->sending));
        buf_clear(&line->sending);
    }
    (void)pthread_mutex_unlock(&line->send_mutex);
    written(producer, began_ns);
}

static void wait_for_room(struct producer *producer)
{
    const uint64_t before = now_ns();
    doorbell_arm(&producer->bell);
    if (spsc_full(&producer->ring)) {
        event_wait(producer->wake_fd);
    }
    doorbell_disarm(&producer->bell);
    producer->blocked_ns += now_ns() - before;
}

static void write_ring(struct producer *producer, uint64_t began_ns)
{
    struct line *line = producer->line;
    struct slot *slot = &producer->slots[producer->count % (4 * line->options->slots)];
    slot->began_ns = began_ns;
    buf_clear(&slot->frame);
    encode(producer, &producer->scratch, &slot->frame);
    producer->bytes += slot->frame.size;
    while (!spsc_push(&producer->ring, slot)) {
        wait_for_room(producer);
    }
    if (doorbell_ring(&line->bell)) {
        event_set(line->wake_fd);
    }
}

/* ---- the rings' owner ------------------------------------------------------------------------ */

static bool owner_take(struct line *line, struct producer *producer)
{
    void *slots[64];
    const uint32_t most = line->options->slots < 64 ? line->options->slots : 64;
    const uint32_t count = spsc_pop_many(&producer->ring, slots, most);
    for (uint32_t i = 0; i < count; i++) {
        const struct slot *slot = slots[i];
        must(buf_append(&line->out, buf_bytes(&slot->frame)));
        must(buf_append(&line->began, bytes_of(&slot->began_ns, sizeof(slot->began_ns))));
    }
    if (count > 0 && doorbell_ring(&producer->bell)) {
        event_set(producer->wake_fd);
    }
    return count > 0;
}

static void owner_send(struct line *line)
{
    send_all(line, buf_bytes(&line->out));
    const uint64_t now = now_ns();
    for (size_t at = 0; at < line->began.size; at += sizeof(uint64_t)) {
        const uint64_t latency_ns = now - bytes_load_u64(line->began.data + at);
        histogram_add(&line->latency, latency_ns);
        line->latency_ns += latency_ns;
    }
    buf_clear(&line->out);
    buf_clear(&line->began);
}

/* One look at each ring, and what was there is sent. False: they were all empty. */
static bool owner_turn(struct line *line)
{
    for (unsigned i = 0; i < line->options->threads; i++) {
        (void)owner_take(line, &line->producers[i]);
        if (line->out.size > OUT_BYTES_MAX) {
            owner_send(line);
        }
    }
    if (line->out.size == 0) {
        return false;
    }
    owner_send(line);
    return true;
}

static bool rings_empty(struct line *line)
{
    for (unsigned i = 0; i < line->options->threads; i++) {
        if (!spsc_empty(&line->producers[i].ring)) {
            return false;
        }
    }
    return true;
}

static void *owner_main(void *arg)
{
    struct line *line = arg;
    (void)pthread_barrier_wait(&line->ready);
    for (;;) {
        /* Before the look: who has left pushed before that. */
        const bool last = atomic_load(&line->running) == 0;
        if (owner_turn(line)) {
            continue;
        }
        if (last) {
            return NULL;
        }
        doorbell_arm(&line->bell);
        if (rings_empty(line) && atomic_load(&line->running) > 0) {
            event_wait(line->wake_fd);
        }
        doorbell_disarm(&line->bell);
    }
}

/* ---- the threads ----------------------------------------------------------------------------- */

/* When the message begins: now, or when it was due if that is past. */
static uint64_t wait_until(uint64_t due_ns)
{
    const uint64_t now = now_ns();
    if (now >= due_ns) {
        return due_ns;
    }
    const struct timespec due = {.tv_sec = (time_t)(due_ns / 1000000000u),
                                 .tv_nsec = (long)(due_ns % 1000000000u)};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    return now_ns();
}

/* From one turn of a thread to the next. */
static uint64_t turn_ns(const struct line_options *options)
{
    return options->rate == 0
               ? 0
               : options->threads * UINT64_C(1000000000) * options->burst / options->rate;
}

static void *producer_main(void *arg)
{
    struct producer *producer = arg;
    struct line *line = producer->line;
    const struct line_options *options = line->options;
    static void (*const writes[])(struct producer * producer, uint64_t began_ns) = {
        [DESIGN_RINGS] = write_ring,
        [DESIGN_FINE] = write_fine,
        [DESIGN_COARSE] = write_coarse,
    };
    const uint64_t every_ns = turn_ns(options);
    (void)prctl(PR_SET_TIMERSLACK, 1uL, 0uL, 0uL, 0uL);
    (void)pthread_barrier_wait(&line->ready);
    uint64_t due_ns = line->start_ns + producer->index * (every_ns / options->threads);
    /* relaxed: the flag guards no other memory. */
    while (!atomic_load_explicit(&line->stop, memory_order_relaxed)) {
        if (options->messages_each > 0 && producer->count == options->messages_each) {
            break;
        }
        const uint64_t began_ns = options->rate == 0 ? now_ns() : wait_until(due_ns);
        for (unsigned i = 0; i < (options->rate == 0 ? 1 : options->burst); i++) {
            writes[options->design](producer, began_ns);
            producer->count++;
        }
        due_ns += every_ns;
    }
    atomic_fetch_sub(&line->running, 1);
    if (doorbell_ring(&line->bell)) {
        event_set(line->wake_fd);
    }
    return NULL;
}

/* A producer's messages come in its order, each once. */
static void check_message(struct line *line, struct bytes text)
{
    static const char producer_name[] = "\"producer\":\"p";
    static const char seq_name[] = "\"producer_seq\":";
    const char *producer = memmem(text.data, text.size, producer_name, sizeof(producer_name) - 1);
    const char *seq = memmem(text.data, text.size, seq_name, sizeof(seq_name) - 1);
    if (producer == NULL || seq == NULL) {
        die("a message that is none");
    }
    uint64_t numbers[2] = {0, 0};
    const char *at[2] = {producer + sizeof(producer_name) - 1, seq + sizeof(seq_name) - 1};
    for (unsigned i = 0; i < 2; i++) {
        for (; *at[i] >= '0' && *at[i] <= '9'; at[i]++) {
            numbers[i] = numbers[i] * 10 + (uint64_t)(*at[i] - '0');
        }
    }
    if (numbers[0] >= line->options->threads || numbers[1] != line->next_seq[numbers[0]]++ + 1) {
        die("%s: a message is not the next one of its thread", design_name(line->options->design));
    }
}

static void check_bytes(struct line *line, struct ws_decoder *decoder, uint8_t *bytes, size_t size)
{
    const struct ws_limits limits = {.message_bytes = MESSAGE_BYTES_MAX};
    struct ws_event event;
    for (;;) {
        size_t used;
        ws_decoder_feed(decoder, &limits, bytes, size, &used, &event);
        bytes += used;
        size -= used;
        if (event.type == WS_EVENT_NONE) {
            return;
        }
        if (event.type != WS_EVENT_MESSAGE) {
            die("%s: not a message", design_name(line->options->design));
        }
        check_message(line, event.payload);
    }
}

static void *reader_main(void *arg)
{
    struct line *line = arg;
    uint8_t *bytes = mem_alloc(READ_BYTES);
    struct ws_decoder decoder;
    ws_decoder_init(&decoder, WS_CLIENT);
    if (bytes == NULL) {
        die("out of memory");
    }
    for (;;) {
        const ssize_t got = recv(line->read_fd, bytes, READ_BYTES, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        line->read_bytes += (uint64_t)got;
        if (line->options->messages_each > 0) {
            check_bytes(line, &decoder, bytes, (size_t)got);
        }
    }
    ws_decoder_deinit(&decoder);
    mem_free(bytes);
    return NULL;
}

/* ---- a run ----------------------------------------------------------------------------------- */

static void sockets_open(struct line *line)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    const int one = 1;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    line->send_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || line->send_fd < 0 ||
        bind(listener, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0 ||
        connect(line->send_fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        setsockopt(line->send_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0) {
        die("no connection over loopback: %s", strerror(errno));
    }
    line->read_fd = accept(listener, NULL, NULL);
    if (line->read_fd < 0) {
        die("accept: %s", strerror(errno));
    }
    (void)close(listener);
}

static void producer_open(struct line *line, unsigned index)
{
    struct producer *producer = &line->producers[index];
    producer->line = line;
    producer->index = index;
    producer->slots = mem_calloc(4 * (size_t)line->options->slots, sizeof(*producer->slots));
    producer->latency = mem_calloc(1, sizeof(*producer->latency));
    producer->wake_fd = eventfd(0, EFD_CLOEXEC);
    doorbell_init(&producer->bell);
    if (producer->slots == NULL || producer->latency == NULL || producer->wake_fd < 0) {
        die("no memory or no descriptor for %u threads", line->options->threads);
    }
    must(spsc_init(&producer->ring, line->options->slots));
}

static void producer_close(struct line *line, struct producer *producer)
{
    for (uint32_t i = 0; i < 4 * line->options->slots; i++) {
        buf_deinit(&producer->slots[i].frame);
    }
    mem_free(producer->slots);
    mem_free(producer->latency);
    buf_deinit(&producer->scratch);
    spsc_deinit(&producer->ring);
    (void)close(producer->wake_fd);
}

static struct line *line_open(const struct line_options *options)
{
    struct line *line = mem_calloc_lines(1, sizeof(*line));
    if (line == NULL) {
        die("out of memory");
    }
    line->options = options;
    line->data = mem_alloc(options->data_size);
    line->producers = mem_calloc_lines(options->threads, sizeof(*line->producers));
    line->next_seq = mem_calloc(options->threads, sizeof(*line->next_seq));
    line->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (line->data == NULL || line->producers == NULL || line->next_seq == NULL ||
        line->wake_fd < 0) {
        die("no memory or no descriptor");
    }
    for (size_t i = 0; i < options->data_size; i++) {
        const bool quote = i == 0 || i == options->data_size - 1;
        line->data[i] = (uint8_t)(quote ? '"' : 'a' + (int)(i % 26));
    }
    atomic_init(&line->running, options->threads);
    doorbell_init(&line->bell);
    (void)pthread_mutex_init(&line->out_mutex, NULL);
    (void)pthread_mutex_init(&line->send_mutex, NULL);
    const unsigned owners = options->design == DESIGN_RINGS ? 1 : 0;
    (void)pthread_barrier_init(&line->ready, NULL, options->threads + owners + 1);
    for (unsigned i = 0; i < options->threads; i++) {
        producer_open(line, i);
    }
    sockets_open(line);
    return line;
}

static void line_close(struct line *line)
{
    for (unsigned i = 0; i < line->options->threads; i++) {
        producer_close(line, &line->producers[i]);
    }
    (void)pthread_mutex_destroy(&line->out_mutex);
    (void)pthread_mutex_destroy(&line->send_mutex);
    (void)pthread_barrier_destroy(&line->ready);
    (void)close(line->wake_fd);
    (void)close(line->send_fd);
    (void)close(line->read_fd);
    buf_deinit(&line->out);
    buf_deinit(&line->sending);
    buf_deinit(&line->scratch);
    buf_deinit(&line->began);
    mem_free(line->next_seq);
    mem_free(line->producers);
    mem_free(line->data);
    mem_free(line);
}

static void line_sum(struct line *line, uint64_t cpu_before_ns, struct line_result *ret_result)
{
    uint64_t count = 0;
    uint64_t bytes = 0;
    uint64_t blocked_ns = 0;
    for (unsigned i = 0; i < line->options->threads; i++) {
        const struct producer *producer = &line->producers[i];
        count += producer->count;
        bytes += producer->bytes;
        blocked_ns += producer->blocked_ns;
        line->latency_ns += producer->latency_ns;
        for (unsigned slot = 0; slot < HISTOGRAM_SLOTS; slot++) {
            line->latency.slots[slot] += producer->latency->slots[slot];
        }
        line->latency.count += producer->latency->count;
        line->latency.max =
            producer->latency->max > line->latency.max ? producer->latency->max : line->latency.max;
    }
    if (line->latency.count != count || line->read_bytes != bytes || count == 0) {
        die("%s: %llu messages of %llu bytes were written, %llu sent, %llu bytes read",
            design_name(line->options->design), (unsigned long long)count,
            (unsigned long long)bytes, (unsigned long long)line->latency.count,
            (unsigned long long)line->read_bytes);
    }
    const double elapsed_ns = (double)(line->end_ns - line->start_ns);
    *ret_result = (struct line_result){
        .messages_per_second = (double)count / elapsed_ns * 1e9,
        .mean_ns = (double)line->latency_ns / (double)count,
        .max_ns = line->latency.max,
        .p99_ns = histogram_at(&line->latency, 9900),
        .blocked = (double)blocked_ns / elapsed_ns / line->options->threads,
        .cpu_ns = (double)(cpu_ns() - cpu_before_ns) / (double)count,
        .sends_per_thousand = line->sends * 1000 / count,
    };
}

void line_run(const struct line_options *options, struct line_result *ret_result)
{
    struct line *line = line_open(options);
    const bool has_owner = options->design == DESIGN_RINGS;
    const pthread_t reader = thread_start(reader_main, line);
    pthread_t owner = reader;
    if (has_owner) {
        owner = thread_start(owner_main, line);
    }
    for (unsigned i = 0; i < options->threads; i++) {
        line->producers[i].thread = thread_start(producer_main, &line->producers[i]);
    }
    const uint64_t cpu_before_ns = cpu_ns();
    line->start_ns = now_ns();
    (void)pthread_barrier_wait(&line->ready);
    if (options->messages_each == 0) {
        (void)wait_until(line->start_ns + options->duration_ns);
        atomic_store(&line->stop, true);
    }
    for (unsigned i = 0; i < options->threads; i++) {
        thread_join(line->producers[i].thread);
    }
    if (has_owner) {
        thread_join(owner);
    }
    line->end_ns = now_ns();
    (void)shutdown(line->send_fd, SHUT_WR);
    thread_join(reader);
    line_sum(line, cpu_before_ns, ret_result);
    line_close(line);
}
