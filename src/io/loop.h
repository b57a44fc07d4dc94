/* Waiting for many descriptors at once: epoll behind a small face.
 *
 * A reactor registers a handler per descriptor and calls loop_wait(); what became ready comes back
 * as (handler, events). The face has room for another back end (io_uring): nothing of epoll shows.
 *
 * Who is not known yet (`newcomer`) stands aside: of each wait only a few of them come back, beside
 * all the others, so that a crowd at the door is let in at its own pace and nobody inside waits for
 * it.
 *
 * Thread: the owning reactor.  Memory: loop_deinit() closes. */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include "base/rc.h"

#include <stdbool.h>
#include <stdint.h>

enum loop_events {
    LOOP_READ = 1,
    LOOP_WRITE = 2,
    LOOP_HANGUP = 4, /* error or hang-up; always reported */
};

/* Embedded in what owns the descriptor; `kind` is the owner's, to tell its handlers apart. */
struct loop_handler {
    int fd;
    uint8_t kind;
    bool newcomer;   /* set before it is registered; loop_admit() ends it */
    uint16_t events; /* as registered; 0: not registered */
};

struct loop_ready {
    struct loop_handler *handler;
    uint32_t events;
};

#define LOOP_READY_MAX     256 /* of one wait, and as many newcomers beside them: */
#define LOOP_NEWCOMERS_MAX 64  /* … at most; see tune.newcomers */

struct loop {
    int epoll_fd_;
    int aside_fd_; /* the newcomers' own, which is in the other one */
    struct loop_ready ready[LOOP_READY_MAX + LOOP_NEWCOMERS_MAX]; /* of the last wait */
    unsigned ready_count;
    bool crowded; /* the last wait left out newcomers that had something, or may have */
};

/* RC_IO */
MUST_USE enum rc loop_init(struct loop *loop);
void loop_deinit(struct loop *loop);
/* Sets what the handler waits for (LOOP_READ | LOOP_WRITE; 0 keeps only hang-ups). Level-triggered.
 * RC_NOMEM, RC_IO */
MUST_USE enum rc loop_set(struct loop *loop, struct loop_handler *handler, uint32_t events);
/* A newcomer that is registered is one no more. RC_NOMEM, RC_IO: it is not registered now */
MUST_USE enum rc loop_admit(struct loop *loop, struct loop_handler *handler);
/* Forgets the handler, before its descriptor is closed. Entries of the current `ready` that name it
 * are blanked (handler NULL). */
void loop_forget(struct loop *loop, struct loop_handler *handler);
/* Waits up to `timeout_ms` (-1: for ever, 0: not at all) and fills `ready`. */
void loop_wait(struct loop *loop, int timeout_ms);

#endif
