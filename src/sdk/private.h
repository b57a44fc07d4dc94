/* The C client library, inside: what its files share.
 *
 *   publishing threads --intake--> turn: journal, sync --> outbox --> link
 *
 * A turn does everything there is to do, in order: what has come (callbacks), what was published
 * (written to the journal and synced, many at a time), what is to be sent. It holds the lock; the
 * publishing threads never do.
 *
 * Thread: the one that turns, unless it says otherwise.  Memory: client_free(). */
#ifndef SDK_PRIVATE_H
#define SDK_PRIVATE_H

#include "base/stats.h"
#include "client/agent.h"
#include "client/link.h"
#include "ring/budget.h"
#include "ring/doorbell.h"
#include "ring/gate.h"
#include "ring/intake.h"
#include "ring/share.h"
#include "sdk/journal.h"

#include <pthread.h>
#include <seriatim/client.h>

struct disk;

#define SDK_MESSAGE_CHARGE 64u   /* of outbox_bytes, beside what a message holds */
#define SDK_INLINE_BYTES   4096u /* a larger message takes the heap, and a pointer the ring */
#define SDK_OUTBOX_BYTES   (64u * 1024u * 1024u)
#define SDK_OUTBOX_MAX     (128u * 1024u * 1024u)
#define SDK_PUBLISH_WINDOW 65536u

/* Who waits for a message to be on disk. */
struct sdk_ticket {
    struct share share;     /* the waiter's, and the message's */
    struct share_flag told; /* `status` is good */
    enum seriatim_status status;
};

/* A message between the intake and the outbox. */
struct sdk_staged {
    struct outbox_message *message;
    struct outbox_channel *channel;
    struct sdk_ticket *ticket; /* NULL: nobody waits */
};

struct seriatim_subscription {
    struct seriatim_client *client;
    struct agent_sub *sub;
    void *user;
    void (*on_message)(void *user, const struct seriatim_message *message);
    void (*on_gap)(void *user, const struct seriatim_gap *gap);
    void (*on_state)(void *user, const struct seriatim_subscription_news *news);
};

struct seriatim_client {
    /* constant */
    struct seriatim_client_options options; /* its pointers to texts are not kept */
    struct client_url *urls;
    char producer[PRODUCER_ID_BYTES_MAX + 1];
    uint64_t producer_epoch;
    enum wire_codec codec;
    bool has_thread;
    int poll_fd; /* epoll: the socket, the bell and the timer */
    int wake_fd; /* the bell */
    int timer_fd;
    /* any thread */
    struct intake intake;
    struct budget budget;
    struct doorbell bell;
    struct gate taken; /* how far the intake was read, and what was read is on disk */
    struct stats_flag closing;
    struct stats_flag disk_failed;
    pthread_mutex_t next; /* who is next for `turning`: so that the thread lets others in */
    pthread_mutex_t turning;
    pthread_t thread;
    /* under `turning` */
    uint64_t now_ms;
    struct link *link;
    struct agent agent;
    struct disk *disk;
    struct journal *journal;
    uint32_t journal_channels;
    uint64_t rewrite_bytes; /* the size at which the journal is written anew, if little is live */
    bool must_sync;         /* something was added that must be on disk before anything is sent */
    bool moved;             /* room was given back, or a position reached */
    bool failed;
    bool more;    /* to say in the next turn, though nothing comes */
    bool give_up; /* the connection cannot go on, for want of memory */
    uint64_t close_at_ms;
    struct outbox_channel *last_channel; /* that a message was for */
    struct sdk_staged *staged;           /* tune.staged_count */
    size_t staged_count;
    struct buf out;
    int polled_fd; /* what poll_fd watches of the link, -1: nothing */
    short polled_events;
    uint64_t timer_ms;
};

/* sdk/lock.c. Any thread; from a callback they do nothing. */
void sdk_lock(struct seriatim_client *client);
void sdk_unlock(struct seriatim_client *client);
/* Around a turn: from now on callbacks of this client may run on this thread. */
void sdk_turn_begin(struct seriatim_client *client);
void sdk_turn_end(struct seriatim_client *client);
bool sdk_in_turn(const struct seriatim_client *client);

/* sdk/publish.c */
extern const struct outbox_ops sdk_outbox_ops;
/* Any thread. */
void sdk_wake(struct seriatim_client *client);
/* Moves what was published into the outbox, by way of the journal. */
void sdk_take_published(struct seriatim_client *client);
/* Reads the outbox's file. *ret_why as in seriatim_client_new() */
MUST_USE enum rc sdk_recover(struct seriatim_client *client, bool named);

/* sdk/subscribe.c */
extern const struct agent_ops sdk_agent_ops;
/* In the words of the public header; everything is borrowed. */
struct seriatim_message sdk_message(const char *channel, const char *epoch,
                                    const struct reply_message *message);

/* sdk/ask.c */
extern const struct asks_ops sdk_asks_ops;
/* Forgets what was asked, without a word. */
void sdk_forget_asks(struct seriatim_client *client);

/* sdk/client.c */
uint64_t sdk_now_ms(void);
/* Nothing is sent any more. */
void sdk_fail(struct seriatim_client *client, const char *why);

#endif
