/* The client's side of seriatim.v1.binary, as docs/PROTOCOL.md section 15 has it: commands to
 * units, replies and pushes to the JSON objects that they stand for. For tests, fuzz targets and
 * the simulator; shares nothing with src/wire/binary_*.
 *
 * Thread: any.  Memory: the caller's buffers. */
#ifndef TEST_LIB_PACKED_H
#define TEST_LIB_PACKED_H

#include "wire/command.h"

/* Appends the unit of a command. An epoch that is text and none of ours becomes one that nobody
 * has. */
void packed_command(struct buf *to, const struct wire_command *command);
/* The same from a command's JSON text. False: it is none. */
bool packed_text(struct buf *to, struct bytes text);
/* Takes a unit of the server's off the front of `*rest`, and appends its JSON object. NULL: done;
 * else what is wrong with it. */
const char *packed_reply(struct bytes *rest, struct buf *to);

#endif
