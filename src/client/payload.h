/* How a line of text becomes a payload, and a payload a line.
 *
 * The rule, so that every line comes out as it went in:
 *
 *   line (PAYLOAD_STRING)   valid UTF-8: a JSON string; anything else: bytes
 *   JSON (PAYLOAD_JSON)     the text must be one JSON value, and is sent as it is
 *   guess (PAYLOAD_GUESS)   JSON if it is that, else as a line
 *
 *   out                     a JSON string: the text it stands for; bytes: themselves; any other
 *                           JSON value: as it is stored
 *
 * So show(data(line)) == line for every line, whatever it looks like: `123`, `"a"`, `true` and
 * `{"n":1}` are all sent as JSON strings. A JSON value other than a string comes back as it was
 * sent, less the white space around it. The only payload with no text form is a string with half a
 * surrogate pair; it comes out as JSON.
 *
 * Thread: any.  Memory: the caller's buffers. */
#ifndef CLIENT_PAYLOAD_H
#define CLIENT_PAYLOAD_H

#include "base/bytes.h"

enum payload_mode {
    PAYLOAD_GUESS,
    PAYLOAD_STRING,
    PAYLOAD_JSON,
};

/* Appends the payload: the text of a JSON value, or any bytes.
 * RC_BAD  PAYLOAD_JSON, and it is not JSON; nothing was appended
 * RC_NOMEM */
MUST_USE enum rc payload_data(struct buf *to, struct bytes text, enum payload_mode mode,
                              bool *ret_bytes);
/* Appends what such a payload stands for. RC_BAD: no JSON, though not bytes; RC_NOMEM */
MUST_USE enum rc payload_show(struct buf *to, struct bytes data, bool is_bytes);

#endif
