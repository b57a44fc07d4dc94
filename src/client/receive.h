/* Where a subscription stands in its channel, and what has come too early. Sans I/O.
 *
 *        next (rcv_nxt)      seen
 *          |                  |
 *   ... ---+--- hole --- kept +            kept: rcv_buf, at most the window (rcv_wnd)
 *   handled
 *
 * What is older than `next` is dropped, what is next is handed on, what comes early is kept, and
 * the hole before it is to be filled from history. What does not fit into the window is dropped as
 * well: it is in the history when its turn comes.
 *
 * Thread: the owner's.  Memory: receive_deinit() frees what is kept. */
#ifndef CLIENT_RECEIVE_H
#define CLIENT_RECEIVE_H

#include "client/reply.h"

struct receive_early {
    struct receive_early *next_;
    struct reply_message message; /* without its channel */
    uint8_t bytes_[];
};

struct receive {
    uint64_t next;
    uint64_t seen_;              /* behind the highest that has come */
    struct receive_early *kept_; /* by seq */
    uint32_t window_;
    uint32_t count_;
};

enum receive_verdict {
    RECEIVE_NEXT, /* hand it on, and call receive_pop() */
    RECEIVE_OLD,
    RECEIVE_EARLY, /* kept, or too early for that: there is a hole */
};

void receive_init(struct receive *receive, uint32_t window);
void receive_deinit(struct receive *receive);
/* Everything that was kept is dropped: it stands at `next`. */
void receive_begin(struct receive *receive, uint64_t next);
/* Judges a message; RECEIVE_NEXT moves `next` behind it. */
enum receive_verdict receive_offer(struct receive *receive, const struct reply_message *message);
/* The kept message that is next, if it is there; `next` moves behind it. The caller frees it with
 * receive_free(). */
struct receive_early *receive_pop(struct receive *receive);
void receive_free(struct receive_early *early);
/* Messages before `next` will not come: it goes on there. */
void receive_skip(struct receive *receive, uint64_t next);
/* Something told that what is before `end` has been: it is missing unless it comes. */
void receive_expect(struct receive *receive, uint64_t end);
/* Whether messages are missing from `next` on, before something that has come; *ret_end is behind
 * the last one missing. */
bool receive_hole(const struct receive *receive, uint64_t *ret_end);

#endif
