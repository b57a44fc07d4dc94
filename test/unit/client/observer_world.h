/* The world in which an observer is tested: two producers, one channel, two observers, and what a
 * server says in it. Of test_observer.c and test_observer_wire.c.
 *
 * Thread: one.  Memory: close_world() frees. */
#ifndef TEST_CLIENT_OBSERVER_WORLD_H
#define TEST_CLIENT_OBSERVER_WORLD_H

#include "client/observer.h"

#define MESSAGES  40u /* 20 of each producer */
#define PRODUCERS 2u

struct world {
    bool strict; /* what the server says is written in an unusual way */
    struct workload workload;
    struct violations violations;
    struct ledger ledger;
    struct observer one;
    struct observer two;
    struct buf scratch;
    struct reply_room room;
};

/* What a test expects to be counted; everything else must be 0. */
struct expected {
    enum violation violation;
    uint64_t count;
};

struct said {
    uint64_t seq;
    uint32_t producer;
    uint64_t number;
    uint64_t time;      /* 0: 1000 + seq */
    const char *id;     /* NULL: "m" and the seq */
    const char *data;   /* NULL: the right one */
    const char *sender; /* NULL: the producer's name */
    int key;            /* 0: as it must be; 1: left out or put in; 2: another one */
};

void open_world(struct world *w, bool strict);
void close_world(struct world *w);
/* Exactly these violations were counted; the last one is VIOLATION_COUNT. */
void expect(const struct world *w, const struct expected *expected);
/* Plays in a world where things are written as usual, and in one where they are not. */
void twice(void (*play)(struct world *w), const struct expected *expected);
#define EXPECT(...) ((const struct expected[]){__VA_ARGS__, {VIOLATION_COUNT, 0}})
#define NOTHING     EXPECT({VIOLATION_COUNT, 0})

/* A new connection, on which the observer's client asks to go on with `seq`, 0: the earliest. */
void ask(struct observer *o, uint64_t seq);
/* What a server says to an observer. */
void feed(struct world *w, struct observer *o, const char *text);
void subscribed(struct world *w, struct observer *o, const char *epoch, uint64_t next,
                const char *more);
void say(struct world *w, struct observer *o, struct said m);
void write_message(struct world *w, const struct said *m, bool element, char *text, size_t size);

/* The right history: producers take turns, so seq s is number (s + 1) / 2 of producer (s + 1) % 2.
 */
struct said right(uint64_t seq);
void say_right(struct world *w, struct observer *o, uint64_t from, uint64_t to);
void ack(struct world *w, uint64_t seq);
void ack_all(struct world *w, uint64_t to);
/* Both have it all, but for what a test plants in `one` before. */
void finish_both(struct world *w);

#endif
