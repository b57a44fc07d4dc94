/* The naive model: what each channel holds, as far as anybody has been told. It knows nothing of
 * the server but the protocol; every statement a client receives goes through it.
 *
 *   I2  (channel, epoch, seq) is one message for all observers and for ever
 *   I3  what was acknowledged is there, until `earliest` passes it
 *   I4  what was seen or told is still there after a crash
 *   I5  of each (producer, epoch, channel, number) there is at most one message
 *   I6  a producer's numbers ascend with the seqs
 *   P9  an epoch begins only where something may have been lost, once each time, and never comes
 *       back; a position of an older one is taken only if all below it is the same
 *   P13 bounds never go back
 *   P28 a digest is that of the messages that were seen
 *
 * Thread: one.  Memory: model_end() frees. */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include "base/bytes.h"
#include "log/record.h"
#include "sim/member.h"
#include "sim/plan.h"

#define PRODUCERS_MAX 24u
#define EPOCHS_MAX    160u /* of a producer; 0: messages without number */

/* Who a message is; its payload says so, and follows from it. */
struct identity {
    unsigned producer;
    unsigned epoch;
    unsigned n;
};

/* What was known when a question was asked: the answer may not say less. */
struct model_mark {
    unsigned history;
    uint64_t earliest;
    uint64_t latest;
};

void model_begin(const struct plan *plan);
void model_end(void);
void model_plan(const struct plan *plan); /* the server has other settings */

const char *model_channel_name(unsigned channel);
/* A name that is none ends the run. */
unsigned model_channel_number(const char *name);
/* Appends the payload, as JSON text. */
void model_payload(struct buf *to, unsigned channel, struct identity who);

struct model_mark model_mark(unsigned channel);
/* Epochs are histories 0, 1 … of their channel, in the order in which somebody heard of them; the
 * current one, and the epoch's text (NULL: none told yet). */
unsigned model_history(unsigned channel);
const char *model_epoch(unsigned channel, unsigned history);
/* The seq of the newest message that anybody knows of, in the current one. */
uint64_t model_latest(unsigned channel);
uint64_t model_latest_of(unsigned channel, unsigned history);
/* The time of a message in the current one; false: nobody has seen it. */
bool model_time(unsigned channel, uint64_t seq, uint64_t *ret_time);

/* Something that somebody may have seen can be lost now: each channel may begin one new history. */
void model_may_lose(void);
/* The same, in one partition. */
void model_may_lose_in(unsigned partition);
/* Messages from … to of a channel cannot be read, somebody was told; a broken promise where nothing
 * is damaged. */
void model_damaged(unsigned channel, uint64_t from, uint64_t to);
/* Whether something of that channel may be damaged now. */
bool model_may_be_damaged(unsigned channel);
bool model_lossy(void);

/* Members `epoch`, `earliest`, `latest` of a reply, against what was known before it was asked.
 * Returns the history that it speaks of. */
unsigned model_told(unsigned channel, const struct value *object, struct model_mark mark);
/* A message as pushed, or as an element of a history. */
void model_seen(unsigned channel, unsigned history, const struct value *message);
/* The server takes a position of that history for good: everything below it has survived. */
void model_same(unsigned channel, unsigned history, uint64_t below);
/* In the history `now` it takes position `seq` of an earlier one for lost: so something below it
 * has not survived. */
void model_lost(unsigned channel, unsigned history, unsigned now, uint64_t seq);
/* Who a message is, if anybody has been told. */
bool model_who(unsigned channel, unsigned history, uint64_t seq, struct identity *ret_who);
/* Accepted: as `published` says. */
void model_acked(unsigned channel, const char *epoch, uint64_t seq, struct identity who);
/* The history that an epoch names, whoever speaks of it. */
unsigned model_heard(unsigned channel, const char *epoch);
/* Whether anybody has seen it, or been told that it is stored, in the current history. */
bool model_is_stored(unsigned channel, struct identity who);
/* At the very end, when an auditor has read everything: [I6] no number of a producer's is stored
 * where the one before it is not, and not trimmed either. */
void model_dense(void);
/* A reply to a digest: it follows from what subscribers have seen, and never changes. */
void model_digest(unsigned channel, const struct value *reply);
/* Messages up to `to` are gone by retention, somebody was told. */
void model_trimmed(unsigned channel, unsigned history, uint64_t to);
/* The channel does not know the producer any more: all that is known to be its is gone. */
void model_forgotten(unsigned channel, unsigned producer, unsigned epoch);
uint64_t model_message_count(void);
/* A record that the log still has at the very end: by number nothing else goes than what is
 * removed with its segment. */
void model_kept(const struct record *record);

#endif
