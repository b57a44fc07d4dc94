/* What the tests of json_decode share: decode a text, and say what should have come of it.
 *
 * Thread: a test's.  Memory: decode_setup() and decode_teardown() around a group of tests. */
#ifndef TEST_UNIT_WIRE_JSON_DECODE_LIB_H
#define TEST_UNIT_WIRE_JSON_DECODE_LIB_H

#include "base/mem.h"
#include "wire/json_codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const struct wire_limits limits = {.message_bytes = 64};
static struct wire_scratch scratch;
static struct wire_command command;
static struct wire_error error;
static struct buf frame; /* exactly as large as the text: the sanitizer sees a read behind it */

static inline enum rc decode_bytes(struct bytes text, bool http)
{
    buf_deinit(&frame);
    frame.data = mem_alloc(text.size == 0 ? 1 : text.size);
    assert_non_null(frame.data);
    bytes_copy(frame.data, text.data, text.size);
    frame.size = text.size;
    frame.capacity = text.size;
    command = (struct wire_command){0};
    error = (struct wire_error){0};
    return http ? json_publish_decode(buf_bytes(&frame), &limits, &scratch, &command, &error)
                : json_command_decode(buf_bytes(&frame), &limits, &scratch, &command, &error);
}

static inline enum rc decode(const char *text)
{
    return decode_bytes(bytes_of_text(text), false);
}

static inline void assert_good(const char *text)
{
    const enum rc rc = decode(text);
    if (rc != RC_OK) {
        print_error("%s: %s %s\n", text, rc_name(rc), error.message);
        fail();
    }
}

static inline void assert_refused(const char *text, enum wire_error_code code,
                                  const char *message_part)
{
    const enum rc rc = decode(text);
    if (rc != RC_PROTOCOL || error.code != code || strstr(error.message, message_part) == NULL) {
        print_error("%s: %s, code %s, \"%s\"; expected %s, \"%s\"\n", text, rc_name(rc),
                    wire_error_text(error.code), error.message, wire_error_text(code),
                    message_part);
        fail();
    }
}

static inline void assert_text(struct bytes bytes, const char *text)
{
    if (!bytes_equal(bytes, bytes_of_text(text))) {
        print_error("\"%.*s\" is not \"%s\"\n", (int)bytes.size, (const char *)bytes.data, text);
        fail();
    }
}

static inline int decode_setup(void **state)
{
    (void)state;
    wire_scratch_init(&scratch);
    return 0;
}

static inline int decode_teardown(void **state)
{
    (void)state;
    wire_scratch_deinit(&scratch);
    buf_deinit(&frame);
    return 0;
}

#endif
