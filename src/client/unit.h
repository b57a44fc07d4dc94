/* Takes a unit of "seriatim.v1.binary" apart, field by field (docs/PROTOCOL.md, section 15); and
 * not by the server's own code, which it checks.
 *
 * Latched: once something is missing, `bad` stays and everything taken is empty.
 *
 * Thread: any.  Memory: none; what is taken is borrowed from the unit. */
#ifndef CLIENT_UNIT_H
#define CLIENT_UNIT_H

#include "base/bytes.h"
#include "wire/binary_int.h"

#define UNIT_U64_BYTES 8u

struct unit {
    struct bytes rest;
    bool bad;
};

static inline struct bytes unit_take(struct unit *u, uint64_t size)
{
    if (u->bad || size > u->rest.size) {
        u->bad = true;
        return (struct bytes){0};
    }
    const struct bytes piece = bytes_of(u->rest.data, (size_t)size);
    u->rest = bytes_of(u->rest.data + size, u->rest.size - (size_t)size);
    return piece;
}

static inline unsigned unit_take_byte(struct unit *u)
{
    const struct bytes piece = unit_take(u, 1);
    return u->bad ? 0 : piece.data[0];
}

static inline uint64_t unit_take_int(struct unit *u)
{
    uint64_t value = 0;
    u->bad = u->bad || !binary_int_take(&u->rest, &value);
    return u->bad ? 0 : value;
}

static inline uint64_t unit_take_u64(struct unit *u)
{
    const struct bytes piece = unit_take(u, UNIT_U64_BYTES);
    return u->bad ? 0 : bytes_load_u64(piece.data);
}

/* A byte that says how long it is, and as many. */
static inline struct bytes unit_take_text(struct unit *u)
{
    return unit_take(u, unit_take_byte(u));
}

#endif
