/* Lines of a descriptor, one by one, without waiting for more than there is.
 *
 * A line ends with LF, which is no part of it; the last one may lack it. Everything else, CR and
 * NUL too, belongs to the line.
 *
 * Thread: the owner's.  Memory: lines_deinit() frees. */
#ifndef CLI_LINES_H
#define CLI_LINES_H

#include "base/bytes.h"

struct lines {
    /* private */
    struct buf buf_;
    size_t at_;      /* the first byte not given out */
    size_t scanned_; /* no LF before this */
    bool ended_;     /* nothing more will come */
};

void lines_deinit(struct lines *lines);
/* Takes what read(2) gave: bytes, or none at the end. RC_NOMEM */
MUST_USE enum rc lines_push(struct lines *lines, struct bytes bytes);
void lines_end(struct lines *lines);
/* The next whole line; borrowed until the next push.
 * RC_AGAIN      more must be read
 * RC_END        there is no more
 * RC_TOO_LARGE  it is longer than `size_max` */
MUST_USE enum rc lines_next(struct lines *lines, size_t size_max, struct bytes *ret_line);

#endif
