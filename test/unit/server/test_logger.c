/* Lines of the log: their exact form, that nothing foreign breaks out of them, and that the writer
 * thread loses nothing silently. */
#include "server/logger.h"

#include "lib/failing.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define TIME_MS 1767225600007u /* 2026-01-01T00:00:00.007Z */

static const char *line(enum log_format format, const struct log_field *fields, size_t count,
                        uint64_t dropped)
{
    static char text[LOG_LINE_BYTES_MAX + 1];
    const size_t size =
        log_line_format(text, format, TIME_MS, LEVEL_INFO, "listening", fields, count, dropped);
    assert_true(size <= LOG_LINE_BYTES_MAX);
    text[size] = '\0';
    return text;
}

static void text_lines_are_as_documented(void **state)
{
    (void)state;
    const struct log_field fields[] = {FIELD_TEXT("addr", "127.0.0.1:8470"),
                                       FIELD_U64("n", UINT64_MAX),
                                       FIELD_I64("i", -5),
                                       FIELD_BOOL("b", true),
                                       FIELD_TEXT("none", NULL),
                                       FIELD_TEXT("empty", ""),
                                       FIELD_TEXT("spaced", "a b"),
                                       FIELD_ERRNO("errno", 2)};
    assert_string_equal(line(LOG_FORMAT_TEXT, fields, 8, 0),
                        "2026-01-01T00:00:00.007Z INFO listening addr=127.0.0.1:8470 "
                        "n=18446744073709551615 i=-5 b=true none=- empty=\"\" spaced=\"a b\" "
                        "errno=\"No such file or directory\"\n");
    assert_string_equal(line(LOG_FORMAT_TEXT, NULL, 0, 12),
                        "2026-01-01T00:00:00.007Z INFO listening dropped=12\n");
}

static void json_lines_are_as_documented(void **state)
{
    (void)state;
    const struct log_field fields[] = {FIELD_TEXT("addr", "127.0.0.1:8470"), FIELD_U64("n", 3),
                                       FIELD_BOOL("b", false)};
    assert_string_equal(line(LOG_FORMAT_JSON, fields, 3, 7),
                        "{\"time\":\"2026-01-01T00:00:00.007Z\",\"level\":\"info\",\"event\":"
                        "\"listening\",\"addr\":\"127.0.0.1:8470\",\"n\":3,\"b\":false,"
                        "\"dropped\":7}\n");
}

/* Every byte, valid UTF-8 or not, in both formats: one line, no control byte, and JSON that another
 * parser takes. */
static void nothing_foreign_breaks_out_of_a_line(void **state)
{
    (void)state;
    static const char *const nasty[] = {"a\r\nb",      "\x1b[31mred",
                                        "q\"q\\q=q",   "\xff\xfe",
                                        "\302\23331m", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
                                        "\t\x7f"};
    for (size_t i = 0; i < sizeof(nasty) / sizeof(nasty[0]) + 256; i++) {
        const uint8_t byte = (uint8_t)i;
        const struct bytes value = i < 256 ? bytes_of(&byte, 1) : bytes_of_text(nasty[i - 256]);
        const struct log_field fields[] = {FIELD_BYTES("v", value), FIELD_U64("end", 1)};
        for (enum log_format format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JSON; format++) {
            const char *text = line(format, fields, 2, 0);
            const size_t size = strlen(text);
            for (size_t at = 0; at + 1 < size; at++) {
                assert_true((uint8_t)text[at] >= 0x20 && text[at] != 0x7F);
                assert_false((uint8_t)text[at] == 0xC2 && (uint8_t)text[at + 1] < 0xA0);
            }
            assert_int_equal(text[size - 1], '\n');
            if (format == LOG_FORMAT_JSON) {
                json_t *parsed = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
                assert_non_null(parsed);
                assert_int_equal(json_integer_value(json_object_get(parsed, "end")), 1);
                json_decref(parsed);
            } else {
                assert_non_null(strstr(text, " end=1\n"));
            }
        }
    }
}

static void a_long_line_is_cut_and_says_so(void **state)
{
    (void)state;
    char big[5000];
    for (size_t size = 1500; size < sizeof(big); size += 7) {
        (void)memset(big, size % 2 == 0 ? 'x' : '\n', sizeof(big));
        const struct log_field fields[] = {FIELD_BYTES("v", bytes_of(big, size)),
                                           FIELD_U64("after", 1)};
        const char *text = line(LOG_FORMAT_JSON, fields, 2, INT64_MAX);
        json_t *parsed = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        assert_non_null(parsed);
        const bool cut = json_is_true(json_object_get(parsed, "cut"));
        assert_int_equal(cut, json_object_get(parsed, "after") == NULL);
        assert_non_null(json_object_get(parsed, "dropped"));
        json_decref(parsed);
        text = line(LOG_FORMAT_TEXT, fields, 2, 0);
        assert_int_equal(strstr(text, " cut=true\n") != NULL, strstr(text, " after=1\n") == NULL);
    }
}

/* Whatever is cut, it is a value or a whole field: at each place of the line. */
static void a_field_that_does_not_fit_is_left_out_whole(void **state)
{
    (void)state;
    char big[LOG_LINE_BYTES_MAX];
    bool seen[2] = {false};
    (void)memset(big, 'x', sizeof(big));
    for (size_t size = LOG_LINE_BYTES_MAX - 400; size < sizeof(big); size++) {
        const struct log_field fields[] = {FIELD_BYTES("v", bytes_of(big, size)),
                                           FIELD_TEXT("after", "a text")};
        const char *text = line(LOG_FORMAT_JSON, fields, 2, 3);
        json_t *parsed = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(parsed);
        const char *after = json_string_value(json_object_get(parsed, "after"));
        const bool cut = json_is_true(json_object_get(parsed, "cut"));
        assert_int_equal(json_integer_value(json_object_get(parsed, "dropped")), 3);
        assert_true(after == NULL || strncmp("a text", after, strlen(after)) == 0);
        assert_int_equal(cut, after == NULL || strcmp(after, "a text") != 0);
        seen[after == NULL] = true;
        json_decref(parsed);
    }
    assert_true(seen[0] && seen[1]);
}

/* Many threads log more than their rings hold, into a pipe that is read only afterwards by a
 * thread: each line is either there or counted as dropped by a later line of its thread. */
#define THREADS 4
#define LINES   5000

static void *log_many(void *arg)
{
    const uint64_t thread = *(const uint64_t *)arg;
    for (uint64_t i = 0; i < LINES; i++) {
        log_event(LEVEL_INFO, "tick", FIELD_U64("thread", thread), FIELD_U64("i", i));
    }
    /* The last one must get through, so that the count of drops is told. */
    for (int tries = 0; tries < 200; tries++) {
        (void)usleep(2000);
        log_event(LEVEL_INFO, "last", FIELD_U64("thread", thread));
    }
    return NULL;
}

struct tally {
    int fd;
    uint64_t ticks[THREADS];
    uint64_t dropped[THREADS];
    uint64_t lasts[THREADS];
    uint64_t next[THREADS];
};

static void *count_lines(void *arg)
{
    struct tally *tally = arg;
    FILE *file = fdopen(tally->fd, "r");
    char text[4096];
    while (fgets(text, sizeof(text), file) != NULL) {
        json_t *parsed = json_loads(text, 0, NULL);
        assert_non_null(parsed);
        const size_t thread = (size_t)json_integer_value(json_object_get(parsed, "thread"));
        assert_true(thread < THREADS);
        const char *event = json_string_value(json_object_get(parsed, "event"));
        tally->dropped[thread] += (uint64_t)json_integer_value(json_object_get(parsed, "dropped"));
        if (strcmp(event, "tick") == 0) {
            const uint64_t i = (uint64_t)json_integer_value(json_object_get(parsed, "i"));
            assert_true(i >= tally->next[thread]); /* in order */
            tally->next[thread] = i + 1;
            tally->ticks[thread]++;
        } else {
            tally->lasts[thread]++;
        }
        json_decref(parsed);
    }
    (void)fclose(file);
    return NULL;
}

static void every_line_is_written_or_counted_as_dropped(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct tally tally = {.fd = fds[0]};
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, count_lines, &tally), 0);
    logger_init(LEVEL_INFO, LOG_FORMAT_JSON, fds[1]);
    assert_int_equal(logger_start(), RC_OK);
    log_event(LEVEL_DEBUG, "unseen", FIELD_U64("thread", 99));

    pthread_t threads[THREADS];
    uint64_t numbers[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, &numbers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    logger_stop();
    log_event(LEVEL_INFO, "after", FIELD_U64("thread", 0)); /* directly */
    assert_int_equal(close(fds[1]), 0);
    assert_int_equal(pthread_join(reader, NULL), 0);
    for (size_t i = 0; i < THREADS; i++) {
        const uint64_t lasts = i == 0 ? 201 : 200;
        assert_int_equal(tally.ticks[i] + tally.lasts[i] + tally.dropped[i], LINES + lasts);
        assert_true(tally.ticks[i] > 0);
    }
}

/* The pipe is full and nobody reads: the logging thread goes on, and drops. */
static void a_writer_that_is_stuck_does_not_stop_the_thread_that_logs(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    logger_init(LEVEL_INFO, LOG_FORMAT_JSON, fds[1]);
    assert_int_equal(logger_start(), RC_OK);
    for (uint64_t i = 0; i < 20000; i++) { /* more than pipe, buffer and ring can hold */
        log_event(LEVEL_INFO, "tick", FIELD_U64("thread", 0), FIELD_U64("i", i));
    }
    struct tally tally = {.fd = fds[0]};
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, count_lines, &tally), 0);
    for (int tries = 0; tries < 200; tries++) {
        (void)usleep(2000);
        log_event(LEVEL_INFO, "last", FIELD_U64("thread", 0));
    }
    logger_stop();
    assert_int_equal(close(fds[1]), 0);
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_true(tally.dropped[0] > 0);
    assert_int_equal(tally.ticks[0] + tally.lasts[0] + tally.dropped[0], 20200);
}

/* ---- what the system refuses ----------------------------------------------------------------- */

/* What a pipe holds, as text. */
static const char *drained(int fd)
{
    static char text[65536];
    size_t size = 0;
    ssize_t got;
    while ((got = read(fd, text + size, sizeof(text) - 1 - size)) > 0) {
        size += (size_t)got;
    }
    text[size] = '\0';
    return text;
}

static unsigned count_of(const char *text, const char *wanted)
{
    unsigned count = 0;
    for (; (text = strstr(text, wanted)) != NULL; text += strlen(wanted)) {
        count++;
    }
    return count;
}

static void a_write_that_is_interrupted_goes_on_and_one_that_fails_is_let_go(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    logger_init(LEVEL_INFO, LOG_FORMAT_TEXT, fds[1]);
    failing_set(FAILING_write, 1, 3, EINTR);
    log_plain(LEVEL_INFO, "interrupted");
    failing_set(FAILING_write, 1, 1, EAGAIN); /* waits until there is room: there is */
    log_plain(LEVEL_INFO, "full");
    failing_set(FAILING_write, 1, 1, EIO);
    log_plain(LEVEL_INFO, "lost");
    failing_clear();
    log_plain(LEVEL_INFO, "after");
    assert_int_equal(close(fds[1]), 0);
    const char *text = drained(fds[0]);
    assert_int_equal(count_of(text, " interrupted\n"), 1);
    assert_int_equal(count_of(text, " full\n"), 1);
    assert_int_equal(count_of(text, "lost"), 0);
    assert_int_equal(count_of(text, " after\n"), 1);
    assert_int_equal(close(fds[0]), 0);
}

static void a_logger_that_cannot_start_writes_itself(void **state)
{
    (void)state;
    static const struct {
        enum failing_call call;
        uint64_t nth;
        int error;
        enum rc rc;
    } rows[] = {
        {FAILING_mem_calloc, 1, ENOMEM, RC_NOMEM},
        {FAILING_mem_calloc_lines, 1, ENOMEM, RC_NOMEM},
        {FAILING_mem_calloc, 2, ENOMEM, RC_NOMEM},
        {FAILING_mem_calloc, 100, ENOMEM, RC_NOMEM},
        {FAILING_eventfd, 1, EMFILE, RC_UNAVAILABLE},
        {FAILING_pthread_create, 1, EAGAIN, RC_UNAVAILABLE},
    };
    int fds[2];
    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    logger_init(LEVEL_INFO, LOG_FORMAT_TEXT, fds[1]);
    const int64_t blocks = failing_blocks();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        failing_set(rows[i].call, rows[i].nth, 1, rows[i].error);
        assert_int_equal(logger_start(), rows[i].rc);
        assert_int_equal(failing_hits(rows[i].call), 1);
        failing_clear();
        assert_int_equal(failing_blocks(), blocks);
        log_plain(LEVEL_INFO, "directly");
        logger_stop(); /* nothing to stop */
    }
    assert_int_equal(count_of(drained(fds[0]), " directly\n"), sizeof(rows) / sizeof(rows[0]));
    assert_int_equal(close(fds[0]), 0);
    assert_int_equal(close(fds[1]), 0);
}

static void a_line_without_memory_is_counted_as_dropped(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    logger_init(LEVEL_INFO, LOG_FORMAT_TEXT, fds[1]);
    assert_int_equal(logger_start(), RC_OK);
    log_plain(LEVEL_INFO, "first");
    failing_set(FAILING_mem_alloc, 1, 2, ENOMEM);
    log_plain(LEVEL_INFO, "second");
    log_plain(LEVEL_INFO, "third");
    failing_clear();
    log_plain(LEVEL_INFO, "fourth");
    log_plain(LEVEL_INFO, "fifth");
    logger_stop();
    const char *text = drained(fds[0]);
    assert_non_null(strstr(text, " first\n"));
    assert_null(strstr(text, "second"));
    assert_null(strstr(text, "third"));
    assert_non_null(strstr(text, " fourth dropped=2\n"));
    assert_non_null(strstr(text, " fifth\n"));
    assert_int_equal(close(fds[0]), 0);
    assert_int_equal(close(fds[1]), 0);
}

static void *log_once(void *arg)
{
    (void)arg;
    log_plain(LEVEL_INFO, "one of many");
    return NULL;
}

/* There are rings for 320; whoever comes later writes itself. */
static void there_is_no_bound_on_threads_that_log(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    logger_init(LEVEL_INFO, LOG_FORMAT_TEXT, fds[1]);
    assert_int_equal(logger_start(), RC_OK);
    log_plain(LEVEL_INFO, "the main thread");
    for (int i = 0; i < 400; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, log_once, NULL), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    logger_stop();
    assert_int_equal(count_of(drained(fds[0]), " one of many\n"), 400);
    assert_int_equal(close(fds[0]), 0);
    assert_int_equal(close(fds[1]), 0);
}

struct late {
    int fd;
    char *text;
};

static void *read_late(void *arg)
{
    struct late *late = arg;
    (void)usleep(50000); /* the stop waits meanwhile */
    FILE *file = fdopen(late->fd, "r");
    size_t size = 0;
    assert_true(getdelim(&late->text, &size, '\0', file) > 0);
    (void)fclose(file);
    return NULL;
}

/* Nobody reads, the ring is full, and the end has to get through all the same. */
static void a_stop_waits_for_the_lines_before_it(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    logger_init(LEVEL_INFO, LOG_FORMAT_TEXT, fds[1]);
    assert_int_equal(logger_start(), RC_OK);
    for (uint64_t i = 0; i < 20000; i++) {
        log_event(LEVEL_INFO, "tick", FIELD_U64("i", i));
    }
    struct late late = {.fd = fds[0]};
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, read_late, &late), 0);
    logger_stop();
    assert_int_equal(close(fds[1]), 0);
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_true(count_of(late.text, " tick i=") >= 1024); /* a ring of them, and the pipe */
    assert_non_null(strstr(late.text, " tick i=0\n"));
    free(late.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_lines_are_as_documented),
        cmocka_unit_test(json_lines_are_as_documented),
        cmocka_unit_test(nothing_foreign_breaks_out_of_a_line),
        cmocka_unit_test(a_long_line_is_cut_and_says_so),
        cmocka_unit_test(every_line_is_written_or_counted_as_dropped),
        cmocka_unit_test(a_writer_that_is_stuck_does_not_stop_the_thread_that_logs),
        cmocka_unit_test(a_field_that_does_not_fit_is_left_out_whole),
        cmocka_unit_test(a_write_that_is_interrupted_goes_on_and_one_that_fails_is_let_go),
        cmocka_unit_test(a_logger_that_cannot_start_writes_itself),
        cmocka_unit_test(a_line_without_memory_is_counted_as_dropped),
        cmocka_unit_test(there_is_no_bound_on_threads_that_log),
        cmocka_unit_test(a_stop_waits_for_the_lines_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
