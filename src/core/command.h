/* The bodies of a partition's commands: what is appended to the log and applied when committed.
 *
 * All time and randomness come in with the command: apply reads no clock and draws no number. Byte
 * tables: docs/LOG.md.
 *
 * Thread: any.  Memory: decoding borrows from the body; encoding appends to a buffer. */
#ifndef CORE_COMMAND_H
#define CORE_COMMAND_H

#include "base/bytes.h"
#include "base/limits.h"

/* One message of a publish, in encoding order. */
struct command_message {
    struct bytes data; /* JSON text byte for byte, or bytes */
    struct bytes key;
    bool has_key;
    bool is_bytes;
};

/* RECORD_PUBLISH: one or more messages for one channel, all or none. */
struct command_publish {
    uint64_t time_ms; /* stamped by the owner when it appends */
    uint64_t tick; /* message id tick of the first message (core/snowflake.h); stamped likewise */
    struct bytes channel;
    struct bytes producer; /* size 0: not numbered */
    uint64_t producer_epoch;
    uint64_t producer_seq; /* of the first message; 0: not numbered */
    uint32_t count;        /* messages, 1 … BATCH_MESSAGES_MAX */
    bool is_batch;         /* asked for as a batch (the reply then has `count`) */
    struct bytes messages; /* encoded; read with command_message_next() */
};

/* Appends the body; time and tick are 0 until command_publish_stamp(). RC_NOMEM */
MUST_USE enum rc command_publish_encode(struct buf *to, const struct command_publish *head,
                                        const struct command_message *messages);
/* Sets time and tick in an encoded body. */
void command_publish_stamp(uint8_t *body, uint64_t time_ms, uint64_t tick);
/* Decodes and checks everything, the messages too. RC_CORRUPT */
MUST_USE enum rc command_publish_decode(struct bytes body, struct command_publish *ret_publish);
/* As command_publish_decode(), but does not look at the messages: for a body of our own making.
 * RC_CORRUPT */
MUST_USE enum rc command_publish_head_decode(struct bytes body,
                                             struct command_publish *ret_publish);
/* Takes the next message off the front of `*rest` (start with publish->messages). False: none left.
 * The body has been checked by command_publish_decode(). */
bool command_message_next(struct bytes *rest, struct command_message *ret_message);

/* RECORD_TRIM: channels' history moves up. */
struct command_trim_entry {
    uint64_t channel_id;
    uint64_t earliest; /* the new one; lower than now: ignored; beyond latest + 1: latest + 1 */
};

struct command_trim {
    uint64_t time_ms;
    uint32_t count;
    struct bytes entries; /* encoded; read with command_trim_next() */
};
/* Entries in one TRIM or DOUBT: one per channel of a partition, and 64 MiB at 16 bytes each. */
#define COMMAND_ENTRIES_MAX (4u * MIB)
/* RC_NOMEM */
MUST_USE enum rc command_trim_encode(struct buf *to, uint64_t time_ms,
                                     const struct command_trim_entry *entries, size_t count);
/* RC_CORRUPT */
MUST_USE enum rc command_trim_decode(struct bytes body, struct command_trim *ret_trim);
/* As command_message_next(). */
bool command_trim_next(struct bytes *rest, struct command_trim_entry *ret_entry);

/* RECORD_SETTINGS: what apply must know of the configuration; appended when it differs from what
 * the state holds. */
struct command_settings {
    uint64_t retention_messages; /* per channel; 0: no limit */
    uint64_t producer_idle_ms;   /* producers idle longer expire; 0: as long as there is history */
};
/* RC_NOMEM */
MUST_USE enum rc command_settings_encode(struct buf *to, const struct command_settings *settings);
/* RC_CORRUPT */
MUST_USE enum rc command_settings_decode(struct bytes body, struct command_settings *ret_settings);

/* RECORD_DOUBT: the log may have lost something that a client has seen. */
enum doubt_kind {
    DOUBT_ALL = 1,  /* an unclean stop without fsync: every channel begins a new epoch here */
    DOUBT_END = 2,  /* end of a repair: what a HOLE put in doubt and nothing has cleared does */
    DOUBT_LIST = 3, /* a repair knows exactly which channels lost which messages */
};
struct command_doubt_entry {
    uint64_t channel_id;
    uint64_t good_end; /* messages below this seq survived */
};
struct command_doubt {
    enum doubt_kind kind;
    uint64_t salt; /* so that the same position, written anew, gives other epochs */
    uint64_t base; /* ALL, END: state_base() where it was appended; 0: not told (LIST, old logs) */
    uint32_t count;
    struct bytes entries; /* encoded; read with command_doubt_next() */
};
/* Entries strictly ascending by channel. RC_NOMEM */
/* `base` 0 and entries: for DOUBT_LIST, and for it only. RC_NOMEM */
MUST_USE enum rc command_doubt_encode(struct buf *to, enum doubt_kind kind, uint64_t salt,
                                      uint64_t base, const struct command_doubt_entry *entries,
                                      size_t count);
/* RC_CORRUPT */
MUST_USE enum rc command_doubt_decode(struct bytes body, struct command_doubt *ret_doubt);
/* As command_message_next(). */
bool command_doubt_next(struct bytes *rest, struct command_doubt_entry *ret_entry);

#endif
