/* A program that uses the C client library, inside: what its files share.
 *
 * It runs the library as a program does: options, turns when seriatim_client_fd() is readable,
 * callbacks, its own end at any moment. It remembers what any application would (positions, what
 * it has published and how that ended), and holds each word of the library's against that and
 * against the model.
 *
 * A process has one producer epoch, and with a file one outbox for all of its lives. A new epoch
 * begins where the old one's numbers are lost or worthless, and where another process takes over.
 *
 * Thread: one.  Memory: library_open() and the closing of clients. */
#ifndef SIM_LIBRARY_H
#define SIM_LIBRARY_H

#include "sim/client.h"
#include "sim/keys.h"
#include "sim/machine.h"
#include "sim/numbers.h"

#include <seriatim/client.h>

/* What became of a message, as far as its application knows. */
enum fate {
    FATE_NONE,
    FATE_PENDING,
    FATE_PUBLISHED,
    FATE_REFUSED,
    FATE_UNKNOWN, /* stored or not */
    FATE_FAILED,  /* the outbox could not be written */
    FATE_LOST,    /* the machine has gone down before it was on disk */
};

struct fated {
    uint32_t charge;
    uint8_t fate; /* enum fate */
    bool large;   /* larger than the server takes */
};

/* What a process has published to a channel. */
struct line {
    unsigned made;
    unsigned durable; /* up to here the outbox has them on disk, if it has a file */
    bool ended;       /* takes no more of this producer's epoch */
    struct fated messages[LIBRARY_MESSAGES + 1];
};

struct process {
    struct library *library;
    struct machine *machine;
    struct seriatim_client *client; /* NULL: it is down */
    int fd;
    unsigned epoch;
    bool has_file;
    bool began; /* has had a client in this epoch */
    bool closing;
    bool failed;   /* for good, says the library */
    bool no_disk;  /* takes nothing more, says the library, since its disk has failed */
    bool doubtful; /* what was told to have failed, or refused, may be on disk all the same */
    uint64_t outbox_bytes;
    uint64_t recovered_bytes; /* at most so much was there at the start */
    uint64_t ring_bytes;      /* published since the ring was empty */
    struct line lines[PLAN_CHANNELS_MAX];
};

struct follow {
    struct library *library;
    unsigned channel;
    struct seriatim_subscription *sub; /* NULL: none */
    enum seriatim_from from;
    uint64_t asked; /* SEQ, TIME */
    enum seriatim_when_slow when_slow;
    bool go_on; /* behind gaps */
    struct model_mark mark;
    bool known; /* has a position: */
    bool live;
    bool begun;    /* has been live since it was asked for: the library knows the epoch, too */
    bool gap_told; /* since it was asked for: `next` is the gap's */
    uint64_t next;
    unsigned history;
    struct owed owed;
};

struct library {
    struct client client; /* first */
    unsigned producer;
    bool publishes;
    bool subscribes;
    unsigned epoch_highest;
    struct process *now;
    struct process *old; /* NULL: none; one that is fenced, or will be */
    uint64_t old_until_us;
    uint64_t act_us;    /* of the application's next act */
    uint64_t up_us;     /* not started before */
    uint64_t paused_us; /* stands still until then */
    struct follow follows[PLAN_CHANNELS_MAX];
};

/* A call into the library, on the process's machine, from a callback of it or not. False: it has
 * died in it. */
bool process_call(struct process *process, void (*part)(void *ctx), void *ctx);

/* sim/library_publish.c */
void library_publish(struct process *process, unsigned channel);
void library_on_published(void *user, const struct seriatim_published *published);
/* After a turn that came to its end, and what else can be seen of the outbox. */
void library_outbox_check(struct process *process);
/* It has ended, how may be seen from `died`; what was only in memory is gone. */
void library_outbox_down(struct process *process);
/* It has begun again: what its outbox holds is what it must hold. */
void library_outbox_up(struct process *process);
unsigned library_pending(const struct process *process, unsigned channel);
/* Of all channels; and whether one of them has ended. */
unsigned library_pending_all(const struct process *process);
bool library_has_ended(const struct process *process);

/* sim/library_follow.c */
void library_subscribe(struct process *process, struct follow *follow);
void library_unsubscribe(struct process *process, struct follow *follow);
/* All subscriptions are gone with their client. */
void library_follows_down(struct library *library);
bool library_follows_settled(const struct library *library);

#endif
