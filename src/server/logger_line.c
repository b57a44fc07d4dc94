/* How an event becomes a line: escaping, and cutting what is too long at a clean place. */
#include "server/logger.h"

#include "wire/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* What may follow when the rest is full: quote, the two notes, brace and line end. */
#define TAIL_BYTES 80u
#define HEAD_BYTES 256u
static_assert(HEAD_BYTES + TAIL_BYTES < LOG_LINE_BYTES_MAX, "fields have room");

struct line {
    char *to;
    size_t size;
    size_t limit; /* nothing but the tail goes beyond */
    bool json;
    bool cut; /* latched: something did not fit */
};

static void put(struct line *line, const char *text, size_t size)
{
    if (line->cut || line->limit - line->size < size) {
        line->cut = true;
        return;
    }
    bytes_copy(line->to + line->size, text, size);
    line->size += size;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

/* The part of the line that always has room. */
static void put_tail(struct line *line, const char *text)
{
    const size_t size = strlen(text);
    ASSERT(line->size + size <= LOG_LINE_BYTES_MAX);
    bytes_copy(line->to + line->size, text, size);
    line->size += size;
}

/* One byte that cannot stand for itself; a unit that is written whole or not at all. */
static void put_escaped(struct line *line, uint8_t c)
{
    char text[8];
    const char *known = strchr("\"\"\\\\\nn\rr\tt", c);
    if (c != 0 && known != NULL) {
        (void)snprintf(text, sizeof(text), "\\%c", known[1]);
    } else if (line->json && c < 0x20) {
        (void)snprintf(text, sizeof(text), "\\u%04x", c);
    } else {
        (void)snprintf(text, sizeof(text), line->json ? "\\\\x%02x" : "\\x%02x", c);
    }
    put_text(line, text);
}

/* The size of the character at `at`; a byte that is no part of UTF-8 counts as one. */
static size_t char_size(struct bytes text, size_t at, bool utf8)
{
    const uint8_t c = text.data[at];
    if (c < 0x80 || !utf8) {
        return 1;
    }
    return c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

static bool char_plain(struct bytes text, size_t at, bool utf8)
{
    const uint8_t c = text.data[at];
    if (c < 0x80) {
        return c >= 0x20 && c != 0x7F && c != '"' && c != '\\';
    }
    /* U+0080 … U+009F are control characters too, and some terminals obey them. */
    return utf8 && !(c == 0xC2 && text.data[at + 1] < 0xA0);
}

static void put_value(struct line *line, struct bytes text)
{
    const bool utf8 = utf8_valid(text);
    for (size_t at = 0; at < text.size && !line->cut;) {
        const size_t size = char_size(text, at, utf8);
        if (char_plain(text, at, utf8)) {
            put(line, (const char *)text.data + at, size);
        } else {
            for (size_t i = 0; i < size; i++) {
                put_escaped(line, text.data[at + i]);
            }
        }
        at += size;
    }
}

static bool needs_quotes(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t c = text.data[i];
        if (c <= ' ' || c == '"' || c == '\\' || c == '=' || c >= 0x7F) {
            return true;
        }
    }
    return text.size == 0;
}

static void put_key(struct line *line, const char *key, bool quoted)
{
    char text[80];
    const int size =
        snprintf(text, sizeof(text), line->json ? ",\"%s\":%s" : " %s=%s", key, quoted ? "\"" : "");
    ASSERT(size > 0 && (size_t)size < sizeof(text)); /* keys are short literals */
    put(line, text, (size_t)size);
}

static void put_string_field(struct line *line, const char *key, struct bytes text)
{
    const bool quoted = line->json || needs_quotes(text);
    put_key(line, key, quoted);
    if (line->cut) {
        return;
    }
    put_value(line, text);
    if (quoted) {
        put_tail(line, "\"");
    }
}

static void put_bare_field(struct line *line, const char *key, const char *text)
{
    const size_t before = line->size;
    put_key(line, key, false);
    put_text(line, text);
    if (line->cut) {
        line->size = before;
    }
}

static void put_field(struct line *line, const struct log_field *field)
{
    char text[128];
    switch (field->type) {
    case LOG_FIELD_TEXT:
        put_string_field(line, field->key,
                         bytes_of_text(field->value.text == NULL ? "-" : field->value.text));
        return;
    case LOG_FIELD_BYTES: put_string_field(line, field->key, field->value.bytes); return;
    case LOG_FIELD_U64: (void)snprintf(text, sizeof(text), "%" PRIu64, field->value.u64); break;
    case LOG_FIELD_I64: (void)snprintf(text, sizeof(text), "%" PRId64, field->value.i64); break;
    case LOG_FIELD_BOOL:
        (void)snprintf(text, sizeof(text), "%s", field->value.boolean ? "true" : "false");
        break;
    case LOG_FIELD_ERRNO:
        put_string_field(line, field->key,
                         bytes_of_text(strerror_r(field->value.error, text, sizeof(text))));
        return;
    }
    put_bare_field(line, field->key, text);
}

static void put_head(struct line *line, uint64_t time_ms, enum log_level level, const char *event)
{
    static const char *const upper[LEVEL_COUNT] = {"DEBUG", "INFO", "WARN", "ERROR"};
    static const char *const lower[LEVEL_COUNT] = {"debug", "info", "warn", "error"};
    ASSERT(level < LEVEL_COUNT);
    const time_t seconds = (time_t)(time_ms / 1000);
    struct tm tm;
    char time_text[32] = "-";
    if (gmtime_r(&seconds, &tm) != NULL) {
        (void)strftime(time_text, sizeof(time_text), "%Y-%m-%dT%H:%M:%S", &tm);
    }
    char head[HEAD_BYTES];
    const int size = line->json
                         ? snprintf(head, sizeof(head),
                                    "{\"time\":\"%s.%03uZ\",\"level\":\"%s\",\"event\":\"%s\"",
                                    time_text, (unsigned)(time_ms % 1000), lower[level], event)
                         : snprintf(head, sizeof(head), "%s.%03uZ %s %s", time_text,
                                    (unsigned)(time_ms % 1000), upper[level], event);
    ASSERT(size > 0 && (size_t)size < sizeof(head)); /* events are short literals */
    put(line, head, (size_t)size);
}

size_t log_line_format(char to[static LOG_LINE_BYTES_MAX], enum log_format format, uint64_t time_ms,
                       enum log_level level, const char *event, const struct log_field *fields,
                       size_t field_count, uint64_t dropped)
{
    ASSERT(format != LOG_FORMAT_AUTO);
    struct line line = {
        .to = to, .limit = LOG_LINE_BYTES_MAX - TAIL_BYTES, .json = format == LOG_FORMAT_JSON};
    put_head(&line, time_ms, level, event);
    for (size_t i = 0; i < field_count && !line.cut; i++) {
        put_field(&line, &fields[i]);
    }
    if (line.cut) {
        put_tail(&line, line.json ? ",\"cut\":true" : " cut=true");
    }
    if (dropped > 0) {
        char text[48];
        (void)snprintf(text, sizeof(text),
                       line.json ? ",\"dropped\":%" PRIu64 : " dropped=%" PRIu64, dropped);
        put_tail(&line, text);
    }
    put_tail(&line, line.json ? "}\n" : "\n");
    return line.size;
}
