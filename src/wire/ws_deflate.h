/* permessage-deflate (RFC 7692): what is agreed in the handshake, and compressed frames out.
 *
 * Thread: any.  Memory: none. */
#ifndef WIRE_WS_DEFLATE_H
#define WIRE_WS_DEFLATE_H

#include "wire/deflate.h"
#include "wire/ws.h"

/* What a server wants. */
struct ws_deflate_wish {
    uint8_t window_bits; /* of its own streams at most, and asked of the client's where they keep
                          * their context */
    bool no_context;     /* in both directions: nothing is kept between messages */
    bool fixed; /* what it sends has this window: an offer of a smaller one is passed over */
};

/* What both have agreed on. */
struct ws_deflate {
    bool agreed;
    bool server_no_context;
    bool client_no_context;
    uint8_t server_bits; /* DEFLATE_BITS_MIN … DEFLATE_BITS_MAX */
    uint8_t client_bits;
    bool tell_server_bits; /* in the answer */
    bool tell_client_bits;
};

/* [DEFLATE 5] Takes the first acceptable offer among the extensions of one field, which are in the
 * grammar (ws_extension.h). False: none. */
bool ws_deflate_choose(struct bytes list, const struct ws_deflate_wish *wish,
                       struct ws_deflate *ret_deflate);

#define WS_DEFLATE_ANSWER_SIZE 192u
/* The field line with its CRLF, and a NUL; empty where nothing is agreed. */
void ws_deflate_answer(const struct ws_deflate *deflate, char to[static WS_DEFLATE_ANSWER_SIZE]);

/* Appends a message in one unmasked frame: compressed if there is a deflater, the message is not
 * below its min_bytes and, where no context is kept, gets smaller by it.
 * RC_NOMEM: `to` unchanged; see deflater_append() */
MUST_USE enum rc ws_message_append(struct buf *to, struct deflater *deflater, enum ws_opcode opcode,
                                   struct bytes payload);
/* As above for what is a whole unmasked frame already, of a message in one piece. */
MUST_USE enum rc ws_message_reframe(struct buf *to, struct deflater *deflater, struct bytes frame);

#endif
