/* The digest of a channel: one number for all that its subscribers see, up to a message.
 *
 * digest(0) is the XXH3-64 of the channel's name, digest(n) that of an entry which begins with
 * digest(n-1) and holds everything a subscriber sees of message n. So equal digests mean equal
 * histories, and who knows digest(n-1) can go on with message n alone. The epoch is not in it: what
 * two histories have in common has the same digests in both. Server and clients compute it with
 * these functions; test vectors: test/vectors/digest.json. [P 8]
 *
 * An entry, all numbers little-endian; every hash here is XXH3-64 with seed 0:
 *
 *   at  size
 *    0     8  digest of the message before
 *    8     8  seq
 *   16     8  time, in ms since 1970
 *   24     8  producer_seq; 0: none
 *   32     8  size of the payload in bytes
 *   40     8  hash of the payload
 *   48     1  form of the payload: 1 `data`, its text as passed on; 2 `data_base64`, the bytes that
 *             it stands for
 *   49     1  size of message_id
 *   50     1  size of producer; 0: none
 *   51     1  1: it has a key (which may be empty); 0: none
 *   52     1  size of key
 *   53        message_id, producer, key: as UTF-8, without quotes and escapes
 *
 * Thread: any.  Memory: none. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "base/bytes.h"

/* The longest message_id, producer and key: each size is one byte of the entry. */
#define DIGEST_TEXT_BYTES_MAX 255u

/* A message as a subscriber sees it. message_id, producer and key are DIGEST_TEXT_BYTES_MAX bytes
 * at most: who has them from a peer checks that before. */
struct digest_message {
    uint64_t seq;
    uint64_t time_ms;
    struct bytes message_id;
    struct bytes producer; /* size 0: none */
    uint64_t producer_seq; /* 0: none */
    struct bytes key;      /* has_key */
    bool has_key;
    bool is_bytes;     /* data_base64 */
    struct bytes data; /* the text of `data`, or the bytes that `data_base64` stands for */
};

/* digest(0). */
uint64_t digest_start(struct bytes channel);
/* digest(n) from digest(n-1) and message n. */
uint64_t digest_roll(uint64_t before, const struct digest_message *message);

/* The message_id of a number, as the wire has it: its decimal digits, which lie in `id` until it is
 * used again. All zero is a beginning. Those of a batch differ in the last digits only: what is in
 * front of the last eight is kept. */
struct digest_id {
    uint64_t high_; /* what they say that are in front of the last eight */
    uint8_t digits_[24];
    uint8_t first_; /* of them that is told; 16 or above: among the last eight */
};
struct bytes digest_id_text(struct digest_id *id, uint64_t number);

/* How a digest is written: 16 hexadecimal digits in lower case, NUL-terminated. */
#define DIGEST_TEXT_SIZE 17u
void digest_text(uint64_t digest, char to[static DIGEST_TEXT_SIZE]);
/* False: not 16 such digits. */
bool digest_parse(struct bytes text, uint64_t *ret_digest);

#endif
