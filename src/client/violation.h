/* The promises that a checker finds broken, by name: how often each, and the first few in words.
 *
 * Thread: the owner's.  Memory: none beside itself. */
#ifndef CLIENT_VIOLATION_H
#define CLIENT_VIOLATION_H

#include <stdbool.h>
#include <stdint.h>

/* X(NAME, "name", "invariant", "what it means") */
#define VIOLATION_LIST(X)                                                                          \
    X(OUT_OF_ORDER, "out_of_order", "I1", "a subscriber got a message behind a later one")         \
    X(DUPLICATED, "duplicated", "I1", "a subscriber got the same seq again")                       \
    X(INCONSISTENT, "inconsistent", "I2",                                                          \
      "two observers disagree about one (channel, epoch, seq)")                                    \
    X(ACK_MISMATCH, "ack_mismatch", "I2",                                                          \
      "a message is not seen under the seq of its `published`")                                    \
    X(PAYLOAD_CHANGED, "payload_changed", "I2", "data or key are not what was sent")               \
    X(DIGEST_MISMATCH, "digest_mismatch", "I2",                                                    \
      "the server's digest is not that of what was seen")                                          \
    X(LOST_PREFIX, "lost_prefix", "I3", "acknowledged, not delivered: before the first delivered") \
    X(LOST_MIDDLE, "lost_middle", "I3", "acknowledged, not delivered: between delivered ones")     \
    X(LOST_POSTFIX, "lost_postfix", "I3",                                                          \
      "acknowledged, not delivered: behind the last delivered")                                    \
    X(HISTORY_CHANGED, "history_changed", "I3", "the server gave a channel another epoch")         \
    X(UNEXPECTED, "unexpected", "I4", "a message that nobody sent")                                \
    X(STORED_TWICE, "stored_twice", "I5", "one producer number stands under two seqs")             \
    X(NUMBERING_REFUSED, "numbering_refused", "I5", "the producer's own next number is refused")   \
    X(PRODUCER_ORDER, "producer_order", "I6", "a producer's numbers do not rise one by one")       \
    X(GAP_UNANNOUNCED, "gap_unannounced", "I7", "seqs were skipped without a word")                \
    X(GAP_ANNOUNCED, "gap_announced", "I7", "messages are gone, and it was told")                  \
    X(PROTOCOL, "protocol", "I13", "an answer that the protocol does not allow")

enum violation {
#define X(name, text, invariant, meaning) VIOLATION_##name,
    VIOLATION_LIST(X)
#undef X
        VIOLATION_COUNT
};

#define VIOLATION_TEXT_SIZE    320u
#define VIOLATION_EXAMPLES_MAX 20u

struct violation_example {
    enum violation violation;
    char text[VIOLATION_TEXT_SIZE];
};

/* All zero is a valid empty one. */
struct violations {
    bool tolerated[VIOLATION_COUNT]; /* counted, yet no violation */
    uint64_t counts[VIOLATION_COUNT];
    uint64_t total; /* of those not tolerated */
    /* Seqs that some observer has skipped and that may still turn up: what they are is decided at
     * the end (out of order, or a gap), but that something is wrong is known. */
    uint64_t suspects;
    unsigned example_count;
    struct violation_example examples[VIOLATION_EXAMPLES_MAX];
};

/* `count` of them at once; 0 does nothing. */
void violations_add(struct violations *violations, enum violation violation, uint64_t count,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* How many were counted in all, tolerated or not, with what is only suspected. */
uint64_t violations_counted(const struct violations *violations);

const char *violation_name(enum violation violation);
const char *violation_invariant(enum violation violation);
const char *violation_meaning(enum violation violation);

#endif
