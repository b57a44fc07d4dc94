/* The client's side of WebSocket, as little as a load generator needs: for adapters.
 *
 * A server's frames are taken apart in place. They are not checked beyond what is needed to go on:
 * no UTF-8, no key of the handshake. Fragments are refused: no server that is measured sends any.
 *
 * Thread: any.  Memory: the caller's. */
#ifndef BENCH_WEBSOCKET_H
#define BENCH_WEBSOCKET_H

#include "base/bytes.h"
#include "base/rc.h"
#include "wire/ws.h"

struct client_url;

/* Appends the request for an upgrade; `protocol` NULL: none is offered. RC_NOMEM */
MUST_USE enum rc websocket_request(struct buf *to, const struct client_url *url,
                                   const char *protocol);
/* RC_OK: 101, *ret_used bytes are its head; RC_AGAIN: not all there; RC_DENIED: another answer */
MUST_USE enum rc websocket_response(struct bytes data, size_t *ret_used);

struct websocket_frame {
    enum ws_opcode opcode;
    struct bytes payload; /* borrowed */
    size_t size;          /* with its header */
};

/* Its header alone, with payload.data where the payload begins and payload.size what it will be:
 * it need not be there. As below. */
MUST_USE enum rc websocket_header(struct bytes data, struct websocket_frame *ret_frame);
/* RC_AGAIN: not all there; RC_PROTOCOL: masked, fragmented, reserved bits, or over 64 MiB (a
 * control frame: 125 bytes) */
MUST_USE enum rc websocket_frame(struct bytes data, struct websocket_frame *ret_frame);

/* Room for a header of `payload_size` bytes with a mask, in a template: its size. */
size_t websocket_head_size(size_t payload_size);
/* Writes the header and masks the payload behind it, in place. */
void websocket_seal(uint8_t *frame, enum ws_opcode opcode, size_t payload_size, uint32_t mask);
/* Appends a whole masked frame. RC_NOMEM */
MUST_USE enum rc websocket_append(struct buf *to, enum ws_opcode opcode, struct bytes payload,
                                  uint32_t mask);

#endif
