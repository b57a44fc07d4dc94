/* The keys of messages, which follow from who they are, and what a conflating subscriber is owed:
 * of each key that was left out, a newer message.
 *
 * Thread: one.  Memory: none. */
#ifndef SIM_KEYS_H
#define SIM_KEYS_H

#include "sim/model.h"

#define KEYS 4u

/* Which key that message has; KEYS: none. */
unsigned key_number(unsigned channel, struct identity who);
/* NULL: none. One of them is empty. */
const char *key_text(unsigned number);
/* Appends the payload and, where there is one, the key, as members of a message. */
void key_payload(struct buf *to, unsigned channel, struct identity who);
/* A message as somebody sees it has the key that it must have. */
void key_check(unsigned channel, struct identity who, const struct value *message);

struct owed {
    uint64_t seqs[KEYS]; /* the newest that was left out, 0: nothing */
};

/* Messages from … to were conflated: what is known of them must have a key. */
void owed_add(struct owed *owed, unsigned channel, unsigned history, uint64_t from, uint64_t to);
void owed_seen(struct owed *owed, unsigned channel, const struct value *message);
/* Everything there is has come. */
void owed_check(const struct owed *owed, unsigned channel);

#endif
