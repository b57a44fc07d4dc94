/* The addresses of one service, and which of them to try next.
 *
 * They are tried in turn. One that has failed three times in a row within 30 seconds is left out
 * for 5 minutes, then for 10, 20 … up to an hour; but never all of them: the last one that is in
 * stays in. A connection that has held for 30 seconds makes everything before it forgotten; one
 * that has broken sooner is a failure like one that did not come about.
 *
 * Thread: the owner's.  Memory: none. */
#ifndef CLIENT_ENDPOINTS_H
#define CLIENT_ENDPOINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENDPOINTS_MAX          16u
#define ENDPOINTS_FAILURES     3u
#define ENDPOINTS_WITHIN_MS    30000u
#define ENDPOINTS_OUT_FIRST_MS 300000u
#define ENDPOINTS_OUT_LAST_MS  3600000u

struct endpoint {
    unsigned failures; /* in a row */
    unsigned ejections;
    uint64_t failed_ms[ENDPOINTS_FAILURES]; /* the last ones, by turns */
    uint64_t out_until_ms;                  /* 0: it is in */
};

struct endpoints {
    struct endpoint list_[ENDPOINTS_MAX];
    size_t count_;
    size_t current_;
    uint64_t ready_ms_;
    bool ready_;
};

/* `count` from 1 to ENDPOINTS_MAX; `first` of them is tried first. */
void endpoints_init(struct endpoints *endpoints, size_t count, size_t first);
/* Which one to try now. */
size_t endpoints_pick(struct endpoints *endpoints, uint64_t now_ms);
/* The one that was picked has let us in. */
void endpoints_ready(struct endpoints *endpoints, uint64_t now_ms);
/* It was lost, or did not come about; the next one is another, if there is another. */
void endpoints_lost(struct endpoints *endpoints, uint64_t now_ms);
/* How many are not left out. */
size_t endpoints_in(const struct endpoints *endpoints, uint64_t now_ms);

#endif
