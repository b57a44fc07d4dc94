/* The members of our JSON commands: gathering them from an object, and taking each as what it
 * must be. The lower half of json_decode.c; nobody else includes this.
 *
 * A member that is refused is recorded in the decode (the first refusal wins) and RC_PROTOCOL goes
 * up; RC_BAD is for text that is not JSON, RC_NOMEM as ever.
 *
 * Thread: the owner's.  Memory: unescaped and decoded bytes go to the scratch arena, which is
 * reserved once in full and so never moves while one command is decoded. */
#ifndef WIRE_JSON_MEMBERS_H
#define WIRE_JSON_MEMBERS_H

#include "wire/command.h"
#include "wire/json.h"
#include "wire/json_codec.h"

/* X(NAME, "as on the wire"): every member of every object that we read. */
#define MEMBER_LIST(X)                                                                             \
    X(TYPE, "type")                                                                                \
    X(ID, "id")                                                                                    \
    X(CHANNEL, "channel")                                                                          \
    X(DATA, "data")                                                                                \
    X(DATA_BASE64, "data_base64")                                                                  \
    X(BATCH, "batch")                                                                              \
    X(KEY, "key")                                                                                  \
    X(PRODUCER_SEQ, "producer_seq")                                                                \
    X(PRODUCER, "producer")                                                                        \
    X(TOKEN, "token")                                                                              \
    X(EPOCH, "epoch")                                                                              \
    X(SEQ, "seq")                                                                                  \
    X(TIME, "time")                                                                                \
    X(FROM, "from")                                                                                \
    X(ON_GAP, "on_gap")                                                                            \
    X(WINDOW, "window")                                                                            \
    X(LIMIT, "limit")                                                                              \
    X(REVERSE, "reverse")                                                                          \
    X(QUIET, "quiet")                                                                              \
    X(WHEN_SLOW, "when_slow")

enum member {
#define X(name, text) MEMBER_##name,
    MEMBER_LIST(X)
#undef X
        MEMBER_COUNT
};

#define MEMBER_BIT(name) (1u << MEMBER_##name)

/* The members that an object has. values[m] counts only if bit m of `seen` is set. */
struct members {
    uint32_t seen;
    uint32_t repeated;
    bool too_deep; /* some member's value, known or not, was */
    struct json_value values[MEMBER_COUNT];
};

/* Why a command is refused; `expected` NULL: it is not. */
struct refusal {
    enum wire_error_code code;
    bool in_batch;
    uint32_t item_index;  /* in_batch */
    const char *member;   /* static; NULL: the command as a whole */
    const char *expected; /* static; the rest of the sentence */
};

struct decode {
    struct json_scan scan;
    const struct wire_limits *limits;
    struct wire_scratch *scratch;
    size_t text_size;
    bool http;     /* a body of POST /v1/publish */
    bool in_batch; /* refusals are about an item */
    uint32_t item_index;
    uint32_t batch_count;
    struct refusal refusal;
    struct refusal batch_refusal; /* counts only if the command is a publish */
    struct members members;
};

/* The member of that name; MEMBER_COUNT: none of ours. */
enum member member_of(struct bytes name);
const char *member_name(enum member member);

/* Called by members_scan() at the value of a first `batch` that is an array. */
typedef enum rc (*batch_scan_fn)(struct decode *decode);

/* Reads an object from `scan`, to its end. `batch` NULL: an array there is a value as any other.
 * RC_BAD, RC_NOMEM (only from `batch`) */
MUST_USE enum rc members_scan(struct json_scan *scan, struct members *members, batch_scan_fn batch,
                              struct decode *decode);
static inline bool members_have(const struct members *members, enum member member)
{
    return (members->seen >> member & 1) != 0;
}

/* Records a refusal, unless there is one; RC_PROTOCOL. `member` and `expected` are static. */
enum rc decode_refuse(struct decode *decode, enum wire_error_code code, const char *member,
                      const char *expected);

/* A string, unescaped. RC_PROTOCOL: no string, or a lone surrogate in it; RC_NOMEM */
MUST_USE enum rc take_string(struct decode *decode, const struct json_value *value,
                             const char *member, struct bytes *ret_text);
/* A name: 1 to `size_max` bytes without control characters. */
MUST_USE enum rc take_name(struct decode *decode, const struct json_value *value,
                           const char *member, size_t size_max, struct bytes *ret_name);
/* A key: at most KEY_BYTES_MAX bytes of anything. */
MUST_USE enum rc take_key(struct decode *decode, const struct json_value *value,
                          struct bytes *ret_key);
/* An integer from `min` (0 or 1) to 2^53 - 1. */
MUST_USE enum rc take_integer(struct decode *decode, const struct json_value *value,
                              const char *member, uint64_t min, uint64_t *ret_integer);
/* A JSON payload, as written. */
MUST_USE enum rc take_data(struct decode *decode, const struct json_value *value,
                           struct bytes *ret_data);
/* A payload of bytes. */
MUST_USE enum rc take_data_base64(struct decode *decode, const struct json_value *value,
                                  struct bytes *ret_data);

#endif
