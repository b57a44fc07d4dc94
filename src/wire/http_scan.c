/* The automaton over a head's bytes, [HTTP 2.1] to [HTTP 5.2] (RFC 9112).
 *
 *   START -> METHOD -> TARGET -> VERSION -> VERSION_LF -> LINE -> NAME -> VALUE -> VALUE_LF -> LINE
 *     \-> START_LF -> START                                 \-> END_LF -> DONE
 *
 * and from each of them to FAILED. */
#include "wire/http_scan.h"

#include "base/limits.h"

enum scan_state {
    SCAN_START,    /* before the request line */
    SCAN_START_LF, /* an empty line before it */
    SCAN_METHOD,
    SCAN_TARGET,
    SCAN_VERSION,
    SCAN_VERSION_LF,
    SCAN_LINE, /* the first byte of a field line, or of the empty one */
    SCAN_NAME,
    SCAN_VALUE,
    SCAN_VALUE_LF,
    SCAN_END_LF,
    SCAN_DONE,
    SCAN_FAILED,
};

/* [HTTP 2.2] at least one empty line before a request is to be ignored: some clients send one
 * behind a body. */
#define EMPTY_LINES_MAX 2u

/* The longest known method has 11 letters; a longer one is not known. */
#define METHOD_BYTES_MAX 32u

#define TOKEN  1u /* [HTTP 9110 5.6.2] tchar */
#define TARGET 2u /* visible ASCII but '#': a fragment is never sent */
#define VALUE  4u /* [HTTP 9110 5.5] field-vchar, SP and HTAB */

#define ANY (TOKEN | TARGET | VALUE)
#define SEP (TARGET | VALUE) /* visible, but no token */

static const uint8_t scan_class[256] = {
    ['\t'] = VALUE,      [' '] = VALUE,         ['!'] = ANY,
    ['"'] = SEP,         ['#'] = TOKEN | VALUE, ['$' ... '\''] = ANY,
    ['(' ... ')'] = SEP, ['*' ... '+'] = ANY,   [','] = SEP,
    ['-' ... '.'] = ANY, ['/'] = SEP,           ['0' ... '9'] = ANY,
    [':' ... '@'] = SEP, ['A' ... 'Z'] = ANY,   ['[' ... ']'] = SEP,
    ['^' ... 'z'] = ANY, ['{'] = SEP,           ['|'] = ANY,
    ['}'] = SEP,         ['~'] = ANY,           [0x80 ... 0xFF] = VALUE,
};

void http_scan_init(struct http_scan *scan)
{
    *scan = (struct http_scan){.state = SCAN_START};
    ASSERT_HOT(scan->state == SCAN_START);
    ASSERT_HOT(scan->status == 0);
}

void http_scan_init_trailer(struct http_scan *scan)
{
    *scan = (struct http_scan){.state = SCAN_LINE};
    ASSERT_HOT(scan->state == SCAN_LINE);
    ASSERT_HOT(scan->status == 0);
}

bool http_scan_begun(const struct http_scan *scan)
{
    ASSERT((scan->state == SCAN_FAILED) == (scan->status != 0));
    ASSERT(scan->state <= SCAN_FAILED);
    return scan->state > SCAN_START_LF;
}

bool http_scan_done(const struct http_scan *scan)
{
    ASSERT(scan->state <= SCAN_FAILED);
    ASSERT(scan->state != SCAN_DONE || scan->status == 0);
    return scan->state == SCAN_DONE;
}

bool http_scan_failed(const struct http_scan *scan)
{
    ASSERT((scan->state == SCAN_FAILED) == (scan->status != 0));
    ASSERT((scan->state == SCAN_FAILED) == (scan->text != NULL));
    return scan->state == SCAN_FAILED;
}

static void scan_fail(struct http_scan *scan, unsigned status, const char *text)
{
    ASSERT(status >= 400 && status <= 599);
    ASSERT(text != NULL);
    ASSERT(scan->state < SCAN_DONE);
    scan->state = SCAN_FAILED;
    scan->status = status;
    scan->text = text;
}

static void scan_start(struct http_scan *scan, uint8_t byte)
{
    ASSERT_HOT(scan->state == SCAN_START);
    ASSERT_HOT(scan->empty_lines <= EMPTY_LINES_MAX);
    if (byte == '\r') {
        if (scan->empty_lines == EMPTY_LINES_MAX) {
            scan_fail(scan, 400, "empty lines before the request");
            return;
        }
        scan->empty_lines++;
        scan->state = SCAN_START_LF;
    } else if ((scan_class[byte] & TOKEN) != 0) {
        scan->start = scan->size - 1;
        scan->method_size = 1;
        scan->state = SCAN_METHOD;
    } else {
        scan_fail(scan, 400, "not an HTTP request");
    }
}

static void scan_method(struct http_scan *scan, uint8_t byte)
{
    ASSERT_HOT(scan->state == SCAN_METHOD);
    ASSERT_HOT(scan->method_size >= 1 && scan->method_size <= METHOD_BYTES_MAX);
    if (byte == ' ') {
        scan->state = SCAN_TARGET;
    } else if ((scan_class[byte] & TOKEN) == 0) {
        scan_fail(scan, 400, "malformed request line");
    } else if (++scan->method_size > METHOD_BYTES_MAX) {
        scan_fail(scan, 501, "unknown method");
    }
}

static void scan_target(struct http_scan *scan, uint8_t byte)
{
    ASSERT_HOT(scan->state == SCAN_TARGET);
    ASSERT_HOT(scan->target_size < HTTP_HEAD_BYTES_MAX);
    if ((scan_class[byte] & TARGET) != 0) {
        scan->target_size++;
    } else if (byte == ' ' && scan->target_size > 0) {
        scan->state = SCAN_VERSION;
    } else {
        /* Also HTTP/0.9, a second space, a fragment, and bytes that should be in %XX. */
        scan_fail(scan, 400, "malformed request line");
    }
}

/* [HTTP 2.3] HTTP-name and digits, upper case. Versions other than 1.0 and 1.1 are told so, which
 * answers the preface of HTTP/2 too. */
static void scan_version(struct http_scan *scan, uint8_t byte)
{
    ASSERT_HOT(scan->state == SCAN_VERSION);
    ASSERT_HOT(scan->version_size <= 8);
    static const char form[] = "HTTP/1.1";
    const size_t at = scan->version_size;

    if (at == sizeof(form) - 1) {
        if (byte == '\r') {
            scan->state = SCAN_VERSION_LF;
        } else {
            scan_fail(scan, 400, "malformed request line");
        }
        return;
    }
    const bool digit = byte >= '0' && byte <= '9';
    const bool is_number = form[at] == '1';
    if (is_number ? !digit : byte != (uint8_t)form[at]) {
        scan_fail(scan, 400, "malformed HTTP version");
        return;
    }
    if (is_number) {
        const bool is_minor = at == sizeof(form) - 2;
        if (byte != '1' && !(is_minor && byte == '0')) {
            scan_fail(scan, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
            return;
        }
        scan->minor = (uint8_t)(byte - '0');
    }
    scan->version_size++;
}

static void scan_line(struct http_scan *scan, uint8_t byte)
{
    ASSERT_HOT(scan->state == SCAN_LINE);
    ASSERT_HOT(scan->field_count <= HTTP_FIELDS_MAX);
    if (byte == '\r') {
        scan->state = SCAN_END_LF;
    } else if (byte == ' ' || byte == '\t') {
        /* [HTTP 5.2] a server must refuse or replace obs-fold */
        scan_fail(scan, 400, "a folded field line");
    } else if ((scan_class[byte] & TOKEN) == 0) {
        scan_fail(scan, 400, "malformed field name");
    } else if (scan->field_count == HTTP_FIELDS_MAX) {
        scan_fail(scan, 431, "too many fields");
    } else {
        scan->field_count++;
        scan->state = SCAN_NAME;
    }
}

static void scan_name(struct http_scan *scan, uint8_t byte)
{
    ASSERT_HOT(scan->state == SCAN_NAME);
    ASSERT_HOT(scan->field_count >= 1);
    if (byte == ':') {
        scan->state = SCAN_VALUE;
    } else {
        ASSERT_HOT((scan_class[byte] & TOKEN) == 0); /* scan_run() takes those */
        /* [HTTP 5.1] among them white space before the colon */
        scan_fail(scan, 400, "malformed field name");
    }
}

static void scan_value(struct http_scan *scan, uint8_t byte)
{
    ASSERT_HOT(scan->field_count >= 1);
    ASSERT_HOT(scan->state == SCAN_VALUE);
    if (byte == '\r') {
        scan->state = SCAN_VALUE_LF;
    } else {
        ASSERT_HOT((scan_class[byte] & VALUE) == 0); /* scan_run() takes those */
        /* [HTTP 9110 5.5] NUL, a bare LF and other control bytes */
        scan_fail(scan, 400, "a control byte in a field");
    }
}

static void scan_line_feed(struct http_scan *scan, uint8_t byte, uint8_t next)
{
    ASSERT_HOT(next == SCAN_START || next == SCAN_LINE || next == SCAN_DONE);
    ASSERT_HOT(scan->state == SCAN_START_LF || scan->state == SCAN_VERSION_LF ||
               scan->state == SCAN_VALUE_LF || scan->state == SCAN_END_LF);
    if (byte == '\n') {
        scan->state = next;
    } else {
        scan_fail(scan, 400, "a CR without LF"); /* [HTTP 2.2] */
    }
}

static void scan_byte(struct http_scan *scan, uint8_t byte)
{
    ASSERT_HOT(scan->state < SCAN_DONE);
    ASSERT_HOT(scan->size > 0);
    switch ((enum scan_state)scan->state) {
    case SCAN_START: scan_start(scan, byte); break;
    case SCAN_START_LF: scan_line_feed(scan, byte, SCAN_START); break;
    case SCAN_METHOD: scan_method(scan, byte); break;
    case SCAN_TARGET: scan_target(scan, byte); break;
    case SCAN_VERSION: scan_version(scan, byte); break;
    case SCAN_VERSION_LF: scan_line_feed(scan, byte, SCAN_LINE); break;
    case SCAN_LINE: scan_line(scan, byte); break;
    case SCAN_NAME: scan_name(scan, byte); break;
    case SCAN_VALUE: scan_value(scan, byte); break;
    case SCAN_VALUE_LF: scan_line_feed(scan, byte, SCAN_LINE); break;
    case SCAN_END_LF: scan_line_feed(scan, byte, SCAN_DONE); break;
    case SCAN_DONE:
    case SCAN_FAILED: UNREACHABLE();
    }
}

static void scan_check_size(struct http_scan *scan)
{
    ASSERT_HOT(scan->size <= HTTP_HEAD_BYTES_MAX);
    if (scan->size < HTTP_HEAD_BYTES_MAX || scan->state >= SCAN_DONE) {
        return;
    }
    if (scan->state == SCAN_TARGET) {
        scan_fail(scan, 414, "the request target is too long");
    } else {
        scan_fail(scan, 431, "the head of the request is too large");
    }
}

/* Runs of bytes that change nothing, such as a value's, without a call for each. */
static size_t scan_run(struct http_scan *scan, const uint8_t *data, size_t size)
{
    ASSERT_HOT(size > 0);
    ASSERT_HOT(scan->size < HTTP_HEAD_BYTES_MAX);
    if (scan->state != SCAN_VALUE && scan->state != SCAN_NAME) {
        return 0;
    }
    const unsigned class = scan->state == SCAN_VALUE ? VALUE : TOKEN;
    const size_t room = HTTP_HEAD_BYTES_MAX - scan->size;
    const size_t end = size < room ? size : room;
    size_t run = 0;
    while (run < end && (scan_class[data[run]] & class) != 0) {
        run++;
    }
    return run;
}

size_t http_scan_feed(struct http_scan *scan, struct bytes input)
{
    ASSERT_HOT(input.size == 0 || input.data != NULL);
    size_t used = 0;
    while (used < input.size && scan->state < SCAN_DONE) {
        ASSERT_HOT(scan->size < HTTP_HEAD_BYTES_MAX);
        const size_t run = scan_run(scan, input.data + used, input.size - used);
        scan->size += (uint32_t)run;
        used += run;
        if (run == 0) {
            scan->size++;
            scan_byte(scan, input.data[used++]);
        }
        scan_check_size(scan);
    }
    ASSERT(used <= input.size);
    ASSERT(used == input.size || scan->state >= SCAN_DONE);
    ASSERT_HOT(used <= input.size);
    ASSERT_HOT(scan->size <= HTTP_HEAD_BYTES_MAX);
    return used;
}
