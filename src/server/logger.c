#include "server/logger.h"

#include "base/mem.h"
#include "ring/doorbell.h"
#include "ring/spsc.h"
#include "ring/ticket.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* Reactors (256 at most), their helpers, and room to spare; a thread beyond that writes itself. */
#define THREADS_MAX 320u
/* Lines that one thread may be ahead of the writer: 256 KiB of ordinary lines. */
#define RING_SLOTS 1024u
/* Lines that the writer takes off a ring at a time. */
#define DRAIN_LINES 64u
/* What is written at once. */
#define WRITE_BYTES (32u * 1024u)
static_assert(WRITE_BYTES > LOG_LINE_BYTES_MAX, "a line fits");

/* A line on its way; the writer frees it. */
struct log_line {
    size_t size;
    char text[];
};

static struct {
    enum log_level level;
    enum log_format format;
    int fd;
    bool running; /* changes only while no other thread logs */
    uint32_t generation;
    int wake_fd;
    pthread_t thread;
    struct doorbell bell;
    struct ticket next_ring;
    struct spsc *rings; /* THREADS_MAX */
} logger = {.level = LEVEL_INFO, .format = LOG_FORMAT_TEXT, .fd = STDERR_FILENO};

/* Passed through a ring as an item: the end. Its address is all that matters. */
static struct log_line end_mark;

static _Thread_local struct {
    uint32_t generation; /* of the logger that `ring` belongs to */
    uint32_t ring;
    uint64_t dropped;
} mine;

static uint64_t wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* Writes all of it, waiting where the descriptor makes it wait. Errors are swallowed: there is no
 * other place to report them to. */
static void write_all(const char *data, size_t size)
{
    while (size > 0) {
        const ssize_t written = write(logger.fd, data, size);
        if (written >= 0) {
            data += written;
            size -= (size_t)written;
        } else if (errno == EAGAIN) {
            struct pollfd wait = {.fd = logger.fd, .events = POLLOUT};
            (void)poll(&wait, 1, -1);
        } else if (errno != EINTR) {
            return;
        }
    }
}

void logger_init(enum log_level level, enum log_format format, int fd)
{
    ASSERT(!logger.running);
    ASSERT(level < LEVEL_COUNT);
    logger.level = level;
    logger.fd = fd;
    logger.format = format;
    if (format == LOG_FORMAT_AUTO) {
        logger.format = isatty(fd) == 1 ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
    }
}

bool log_enabled(enum log_level level)
{
    return level >= logger.level;
}

/* This thread's ring, or NULL: the line is written by the thread itself. */
static struct spsc *my_ring(void)
{
    if (!logger.running) {
        return NULL;
    }
    if (mine.generation != logger.generation) {
        const uint64_t ring = ticket_take(&logger.next_ring, 0, 1);
        mine.generation = logger.generation;
        mine.ring = ring < THREADS_MAX ? (uint32_t)ring : THREADS_MAX;
        mine.dropped = 0;
    }
    return mine.ring < THREADS_MAX ? &logger.rings[mine.ring] : NULL;
}

static void wake_writer(void)
{
    if (doorbell_ring(&logger.bell)) {
        const uint64_t one = 1;
        const ssize_t written = write(logger.wake_fd, &one, sizeof(one));
        (void)written; /* a full counter wakes the reader just as well */
    }
}

static void push_line(struct spsc *ring, const char *text, size_t size)
{
    struct log_line *line = spsc_full(ring) ? NULL : mem_alloc(sizeof(struct log_line) + size);
    if (line == NULL) {
        mine.dropped++;
        return;
    }
    line->size = size;
    bytes_copy(line->text, text, size);
    const bool pushed = spsc_push(ring, line);
    ASSERT(pushed);
    mine.dropped = 0;
    wake_writer();
}

void log_event_fields(enum log_level level, const char *event, const struct log_field *fields,
                      size_t field_count)
{
    if (!log_enabled(level)) {
        return;
    }
    struct spsc *ring = my_ring();
    if (ring != NULL && spsc_full(ring)) {
        mine.dropped++;
        return;
    }
    char text[LOG_LINE_BYTES_MAX];
    const size_t size = log_line_format(text, logger.format, wall_ms(), level, event, fields,
                                        field_count, ring == NULL ? 0 : mine.dropped);
    if (ring == NULL) {
        write_all(text, size);
    } else {
        push_line(ring, text, size);
    }
}

/* ---- the writer ---------------------------------------------------------------------------- */

struct writer {
    size_t size;
    bool ended;
    char text[WRITE_BYTES];
};

static void writer_flush(struct writer *writer)
{
    write_all(writer->text, writer->size);
    writer->size = 0;
}

static void writer_add(struct writer *writer, struct log_line *line)
{
    if (line == &end_mark) {
        writer->ended = true;
        return;
    }
    if (sizeof(writer->text) - writer->size < line->size) {
        writer_flush(writer);
    }
    bytes_copy(writer->text + writer->size, line->text, line->size);
    writer->size += line->size;
    mem_free(line);
}

/* Empties every ring once. False: there was nothing. */
static bool writer_drain(struct writer *writer)
{
    bool some = false;
    for (uint32_t i = 0; i < THREADS_MAX; i++) {
        void *lines[DRAIN_LINES];
        uint32_t count;
        while ((count = spsc_pop_many(&logger.rings[i], lines, DRAIN_LINES)) > 0) {
            some = true;
            for (uint32_t k = 0; k < count; k++) {
                writer_add(writer, lines[k]);
            }
        }
    }
    writer_flush(writer);
    return some;
}

static void *writer_main(void *arg)
{
    struct writer *writer = arg;
    while (!writer->ended) {
        if (writer_drain(writer)) {
            continue;
        }
        doorbell_arm(&logger.bell);
        /* The second look: whoever pushes after it finds the bell armed. */
        if (!writer_drain(writer)) {
            uint64_t count;
            const ssize_t got = read(logger.wake_fd, &count, sizeof(count));
            (void)got; /* woken by a signal: look again all the same */
        }
        doorbell_disarm(&logger.bell);
    }
    /* Every other thread had ended before the mark was pushed: one more look sees all of it. */
    (void)writer_drain(writer);
    mem_free(writer);
    return NULL;
}

static void rings_close(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        spsc_deinit(&logger.rings[i]);
    }
    mem_free(logger.rings);
    logger.rings = NULL;
}

static enum rc rings_open(void)
{
    logger.rings = mem_calloc_lines(THREADS_MAX, sizeof(struct spsc));
    if (logger.rings == NULL) {
        return RC_NOMEM;
    }
    for (uint32_t i = 0; i < THREADS_MAX; i++) {
        const enum rc rc = spsc_init(&logger.rings[i], RING_SLOTS);
        if (rc != RC_OK) {
            rings_close(i);
            return rc;
        }
    }
    return RC_OK;
}

enum rc logger_start(void)
{
    ASSERT(!logger.running);
    struct writer *writer = mem_calloc(1, sizeof(*writer));
    if (writer == NULL) {
        return RC_NOMEM;
    }
    enum rc rc = rings_open();
    if (rc != RC_OK) {
        goto fail_writer;
    }
    logger.wake_fd = eventfd(0, EFD_CLOEXEC);
    if (logger.wake_fd < 0) {
        rc = RC_UNAVAILABLE;
        goto fail_rings;
    }
    doorbell_init(&logger.bell);
    ticket_init(&logger.next_ring, 0);
    logger.generation++;
    logger.running = true;
    /* Signals are for the main thread; the writer inherits the mask of its birth. */
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&logger.thread, NULL, writer_main, writer);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        rc = RC_UNAVAILABLE;
        goto fail_wake;
    }
    return RC_OK;

fail_wake:
    logger.running = false;
    (void)close(logger.wake_fd);
fail_rings:
    rings_close(THREADS_MAX);
fail_writer:
    mem_free(writer);
    ASSERT(rc != RC_OK);
    return rc;
}

void logger_stop(void)
{
    if (!logger.running) {
        return;
    }
    struct spsc *ring = my_ring();
    ASSERT(ring != NULL); /* the main thread is among the first to log */
    while (!spsc_push(ring, &end_mark)) {
        wake_writer();
        (void)poll(NULL, 0, 1); /* full: the writer is at work */
    }
    wake_writer();
    (void)pthread_join(logger.thread, NULL);
    logger.running = false;
    (void)close(logger.wake_fd);
    rings_close(THREADS_MAX);
}
