/* A conversation with a server that outlives its connections.
 *
 *              due            101, connect sent       connected
 *   WAITING ---------> OPENING ---------> GREETING ------------> READY
 *      ^                  |                  |                     |
 *      +------------------+------ lost ------+---------------------+
 *                                  any state: FAILED, for good
 *
 * A lost connection is tried again after an exponential backoff with full jitter; a goaway or a
 * `retry_after_ms` of the server's makes it longer. Where there are several addresses, they are
 * tried in turn, less those that fail again and again (client/endpoints.h). A server that has been
 * silent for well over its own ping interval counts as lost. What happens to commands under way is
 * up to the caller: at LINK_READY it begins anew.
 *
 * Thread: the owner's.  Memory: link_close() frees. */
#ifndef CLIENT_LINK_H
#define CLIENT_LINK_H

#include "base/bytes.h"
#include "client/message.h"
#include "client/url.h"
#include "wire/command.h"

struct link; /* opaque */

struct link_options {
    struct client_url url;
    const char *producer; /* NULL: none; lives as long as the link */
    uint64_t producer_epoch;
    /* More addresses of the same service, which live as long as the link; at most
     * ENDPOINTS_MAX - 1. */
    const struct client_url *others;
    size_t other_count;
    /* Asked before each `connect`: NULL, or a token, good until the next call. */
    const char *(*token)(void *ctx);
    enum wire_codec codec;
    bool cumulative; /* binary: one answer may do for a run of publishes */
    /* Is given everything that comes while READY, borrowed until it returns. What it has to say of
     * it: link_on_goaway(), link_on_broken(). */
    void (*take)(void *ctx, struct bytes frame);
    void *ctx;
};

enum link_event_type {
    LINK_NONE,
    LINK_READY,  /* connected; commands may be sent */
    LINK_GOAWAY, /* the server is about to leave before it has let us in; it will be back */
    LINK_LOST,   /* trying again; link_why() says what happened */
    LINK_FAILED, /* trying again is of no use; link_why() */
};

/* `seed` is for the jitter. RC_NOMEM */
MUST_USE enum rc link_open(const struct link_options *options, uint64_t seed, uint64_t now_ms,
                           struct link **ret_link);
/* Says goodbye where it can. NULL is allowed. */
void link_close(struct link *link);

/* Cuts the connection without a word, as a crash would, whatever was received or not yet sent; the
 * next attempt is `wait_ms` from now. LINK_LOST follows, if there was one. */
void link_cut(struct link *link, uint64_t now_ms, uint64_t wait_ms);

int link_fd(const struct link *link); /* -1: nothing to poll for now */
short link_events(const struct link *link);
/* When link_step() must be called even if nothing is ready. */
uint64_t link_deadline_ms(const struct link *link);
/* Reads, writes, and does what is due. */
void link_step(struct link *link, uint64_t now_ms);
/* Writes what the socket takes now, and reads nothing. */
void link_flush(struct link *link);
/* The next event; call until LINK_NONE. */
MUST_USE enum link_event_type link_next(struct link *link, uint64_t now_ms);

/* RC_NOMEM; RC_CLOSED: not READY */
MUST_USE enum rc link_send(struct link *link, struct bytes command);
size_t link_pending(const struct link *link);
/* What `take` has to say of what it took: the server will leave; or it broke the rules, and the
 * link ends. LINK_LOST or LINK_FAILED follows the second. `why` is copied. */
void link_on_goaway(struct link *link, uint64_t reconnect_after_ms, uint64_t now_ms);
void link_on_broken(struct link *link, const char *why);
/* Ends the connection because of something of ours, which may be over the next time. */
void link_give_up(struct link *link, const char *why, uint64_t now_ms);
/* The server's own limits, as `connected` said last; 0: it did not say. */
uint64_t link_frame_bytes(const struct link *link);
bool link_ready(const struct link *link);
/* The last thing that went wrong, for people. */
const char *link_why(const struct link *link);
/* After LINK_FAILED: whether the server broke the rules (of WebSocket, of JSON), rather than
 * refuse. */
bool link_broken(const struct link *link);
/* [P 4] whether the server has listed `digest` among its features, the last time it let us in. */
bool link_offers_digest(const struct link *link);

/* How long to wait before attempt number `attempt` (from 0): drawn from 1 ms up to a whole that
 * doubles up to 5 s, so that a crowd that was cut off together does not come back together. */
uint64_t link_jitter_ms(unsigned attempt, uint64_t drawn);

#endif
