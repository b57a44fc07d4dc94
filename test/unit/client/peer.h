/* The other end of a client's connection, said line by line: a socket of 127.0.0.1 that a test
 * listens on, and what a server does with it. Of test_conn.c and test_link.c.
 *
 * Both ends run in the test's own thread: whoever waits for the other one turns both.
 *
 * Thread: one.  Memory: peer_close() frees. */
#ifndef TEST_CLIENT_PEER_H
#define TEST_CLIENT_PEER_H

#include "client/url.h"
#include "wire/ws.h"

#define PEER_WAIT_MS 10000

struct peer {
    int listener;
    int fd; /* -1: nobody is connected */
    struct client_url url;
    struct buf in; /* what came and was not taken yet */
    struct ws_decoder decoder;
};

/* Listens on a free port; peer->url is where. */
void peer_open(struct peer *peer);
void peer_close(struct peer *peer);
/* Ends the connection, with a reset if `reset`; the peer still listens. */
void peer_hang_up(struct peer *peer, bool reset);
/* From now on at most one more than `count` may wait to be taken. */
void peer_listen_for(struct peer *peer, int count);
/* Nobody listens there any more. */
void peer_stop_listening(struct peer *peer);

/* Whether somebody waits to be taken; whether who was has sent something. */
bool peer_waiting(const struct peer *peer);
bool peer_asked(const struct peer *peer);
/* Takes who is waiting. */
void peer_accept(struct peer *peer);
/* Waits until the head of a request is there; appends the answer to it that a good server gives. */
void peer_answer(struct peer *peer, struct buf *to);
void peer_write(struct peer *peer, struct bytes bytes);
/* A whole frame. */
void peer_frame(struct peer *peer, enum ws_opcode opcode, struct bytes payload);
void peer_say(struct peer *peer, const char *text);
/* All of the handshake: accept and answer. */
void peer_greet(struct peer *peer);
/* Reads what has come, without waiting. False: the other end has closed. */
bool peer_read(struct peer *peer);
/* The next frame that came, if it is all there; its payload is good until the next call. */
bool peer_next(struct peer *peer, struct ws_event *ret_event);

#endif
