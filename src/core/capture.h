/* The state at one position, as bytes, encoded a slice at a time while the state goes on.
 *
 * A checkpoint of a million channels takes a tenth of a second to encode, and a reactor must not
 * stand still for so long. So the state is encoded in slices, and what must not be seen in it, the
 * changes since the position that it is of, are kept out:
 *
 *   what                              how
 *   -------------------------------   --------------------------------------------------------
 *   all but the channels              is encoded when the capture begins
 *   channels made since               have higher numbers than there were: they are left out
 *   channels changed since, not yet   are encoded before they change (capture_touch), and that
 *   encoded                           form is put in where their turn comes
 *
 * The bytes are those that state_encode() would have given when the capture began; test builds
 * compare. Memory: these bytes, and once more those of the channels that changed meanwhile, with
 * some 40 bytes for each.
 *
 * Thread: the partition's owner.  Memory: capture_close() frees. */
#ifndef CORE_CAPTURE_H
#define CORE_CAPTURE_H

#include "core/partition.h"

struct capture; /* opaque */
struct state;

/* RC_NOMEM */
MUST_USE enum rc capture_open(const struct state *state, struct capture **ret_capture);
/* Of the state that it was opened with; nobody changes a channel without it until then. NULL is
 * allowed. */
void capture_close(struct capture *capture);
/* The channel is about to change. Out of memory: the next step says so. */
void capture_touch(struct capture *capture, struct channel *channel);
/* See partition_capture_step(). */
MUST_USE enum rc capture_step(struct capture *capture, size_t bytes_max, struct pieces *ret_state);

#endif
