/* The log of events: one line each, to stderr, never in the way of the work.
 *
 * A thread that logs formats its line and pushes it into a bounded ring of its own; one logger
 * thread drains the rings and writes. So a reactor never waits for a terminal, a pipe or a disk.
 * When a ring is full the line is dropped and counted, and the count is told with the next line
 * that gets through ("dropped=12"). Before logger_start() and after logger_stop() lines are written
 * at once by the caller.
 *
 *   text  2026-01-01T00:00:00.000Z INFO listening addr=127.0.0.1:8470
 *   json  {"time":"2026-01-01T00:00:00.000Z","level":"info","event":"listening","addr":"…"}
 *
 * Every value is escaped: what a peer sent can neither end a line nor speak to a terminal. A token
 * or a payload is never logged; that is a duty of the callers.
 *
 * Thread: log_event() any; init, start and stop the main thread.  Memory: logger_stop() frees. */
#ifndef SERVER_LOGGER_H
#define SERVER_LOGGER_H

#include "base/bytes.h"
#include "base/rc.h"

#include <stdbool.h>
#include <stdint.h>

enum log_level {
    LEVEL_DEBUG,
    LEVEL_INFO,
    LEVEL_WARN,
    LEVEL_ERROR,
    LEVEL_COUNT,
};

enum log_format {
    LOG_FORMAT_AUTO, /* text on a terminal, else json */
    LOG_FORMAT_TEXT,
    LOG_FORMAT_JSON,
    LOG_FORMAT_COUNT,
};

enum log_field_type {
    LOG_FIELD_TEXT,
    LOG_FIELD_BYTES,
    LOG_FIELD_U64,
    LOG_FIELD_I64,
    LOG_FIELD_BOOL,
    LOG_FIELD_ERRNO,
};

/* One key and value; made by the macros below. Everything is copied when the event is logged. */
struct log_field {
    const char *key; /* a literal of [a-z0-9_] */
    enum log_field_type type;
    union {
        const char *text; /* NULL is written as "-" */
        struct bytes bytes;
        uint64_t u64;
        int64_t i64;
        bool boolean;
        int error;
    } value;
};

#define FIELD_TEXT(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_TEXT, .value.text = (v)})
#define FIELD_BYTES(k, v)                                                                          \
    ((struct log_field){.key = (k), .type = LOG_FIELD_BYTES, .value.bytes = (v)})
#define FIELD_U64(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_U64, .value.u64 = (v)})
#define FIELD_I64(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_I64, .value.i64 = (v)})
#define FIELD_BOOL(k, v)                                                                           \
    ((struct log_field){.key = (k), .type = LOG_FIELD_BOOL, .value.boolean = (v)})
/* The text of an errno value. */
#define FIELD_ERRNO(k, v)                                                                          \
    ((struct log_field){.key = (k), .type = LOG_FIELD_ERRNO, .value.error = (v)})

/* log_event(LEVEL_INFO, "listening", FIELD_TEXT("addr", text), FIELD_U64("port", port)); at least
 * one field. A line is at most LOG_LINE_BYTES_MAX bytes; a longer one is cut and says so. */
#define log_event(level, event, ...)                                                               \
    log_event_fields((level), (event), (const struct log_field[]){__VA_ARGS__},                    \
                     sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))
/* An event without fields. */
#define log_plain(level, event) log_event_fields((level), (event), NULL, 0)

#define LOG_LINE_BYTES_MAX 2048u

void log_event_fields(enum log_level level, const char *event, const struct log_field *fields,
                      size_t field_count);
/* Whether events of that level are written: for callers whose fields cost something to make. */
bool log_enabled(enum log_level level);

/* What to write, and how; `fd` is 2 but in tests. May be called again before logger_start(). */
void logger_init(enum log_level level, enum log_format format, int fd);
/* Starts the logger thread. RC_NOMEM, RC_UNAVAILABLE (no thread could be started) */
MUST_USE enum rc logger_start(void);
/* Writes what is waiting, ends the thread. Every other thread that logs has ended. */
void logger_stop(void);

/* One whole line with its LF into `to`; the pure part, for tests. `dropped` 0: not told.
 * Returns its size, at most LOG_LINE_BYTES_MAX. */
size_t log_line_format(char to[static LOG_LINE_BYTES_MAX], enum log_format format, uint64_t time_ms,
                       enum log_level level, const char *event, const struct log_field *fields,
                       size_t field_count, uint64_t dropped);

#endif
