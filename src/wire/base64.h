/* Base64 (RFC 4648, section 4): the standard alphabet, with padding.
 *
 * Decoding is strict: no white space, no missing or surplus padding, no other alphabet, no unused
 * bits set. So a text that decodes is the one that encoding gives back.
 *
 * Thread: any.  Memory: none; the caller gives the room. */
#ifndef WIRE_BASE64_H
#define WIRE_BASE64_H

#include "base/bytes.h"

/* The size of the text for `size` bytes. */
static inline size_t base64_encoded_size(size_t size)
{
    return (size + 2) / 3 * 4;
}

/* Writes base64_encoded_size(bytes.size) characters; no NUL. */
void base64_encode(uint8_t *to, struct bytes bytes);

/* At most so many bytes come out of the text; exactly so many if it is good. */
size_t base64_decoded_size(struct bytes text);

/* Writes base64_decoded_size(text) bytes at most. `to` may be text.data itself.
 * False: not strict base64. */
MUST_USE bool base64_decode(uint8_t *to, struct bytes text, size_t *ret_size);

#endif
