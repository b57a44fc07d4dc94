/* What goes over a client's connection, for who checks the server in place of using it.
 *
 * A client puts right what it can: what comes twice it drops, what comes early it keeps, a hole it
 * fills from history, what is not answered it sends again. Whoever wants to know that the server
 * has sent it so listens here: each reply as it was taken apart, before the client does anything
 * about it, whether it then believes it or not; and each command that such replies are to be judged
 * by. `seriatim verify` is made of it.
 *
 * In the order of the connection. Nothing may be called from here that changes the client.
 *
 * Thread: the client's.  Memory: what is told is borrowed. */
#ifndef CLIENT_TAP_H
#define CLIENT_TAP_H

#include "client/reply.h"

enum client_said_what {
    CLIENT_SAID_PUBLISH,
    CLIENT_SAID_SUBSCRIBE,
    CLIENT_SAID_ACK,
    CLIENT_SAID_QUESTION, /* history or digest, asked for by the program */
};

struct client_said {
    enum client_said_what what;
    struct bytes channel; /* size 0: of a question */
    uint64_t id;          /* of the command; ack: 0 */
    uint64_t number; /* publish: the producer_seq of the first message; ack: the seq; subscribe: the
                        seq asked for, 0: none */
    uint32_t count;  /* publish: messages */
};

struct client_tap {
    void (*said)(void *ctx, const struct client_said *said);
    void (*heard)(void *ctx, const struct reply *reply);
    void *ctx;
};

#endif
