/* WebSocket frames (RFC 6455), sans I/O: bytes in, messages and control frames out.
 *
 * The decoder takes bytes as they come, cut anywhere. A message that lies whole in one frame inside
 * the caller's buffer is unmasked in place and handed out without a copy; everything else is
 * gathered in ONE buffer whose size follows the bytes received (never what a length field claims),
 * so 65,536 fragments cost what their bytes cost. UTF-8 is checked as it arrives and fails at the
 * first bad byte. A compressed message is gathered as it is and inflated when it is whole, so that
 * nothing is held for it before; its text is checked then.
 *
 * After WS_EVENT_ERROR or WS_EVENT_CLOSE nothing more is decoded.
 *
 * Thread: the owner's.  Memory: ws_decoder_deinit() frees; an idle decoder holds none. */
#ifndef WIRE_WS_H
#define WIRE_WS_H

#include "base/bytes.h"
#include "base/rc.h"
#include "wire/deflate.h"
#include "wire/utf8.h"

enum ws_opcode {
    WS_CONTINUATION = 0x0,
    WS_TEXT = 0x1,
    WS_BINARY = 0x2,
    WS_CLOSE = 0x8,
    WS_PING = 0x9,
    WS_PONG = 0xA,
};

/* [WS 7.4.1] and ours ([P 3]: 4400, 4401). */
enum ws_close_code {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_UNSUPPORTED = 1003,
    WS_CLOSE_NO_STATUS = 1005, /* never on the wire */
    WS_CLOSE_UTF8 = 1007,
    WS_CLOSE_POLICY = 1008,
    WS_CLOSE_TOO_LARGE = 1009,
    WS_CLOSE_INTERNAL = 1011,
    WS_CLOSE_BAD_REQUEST = 4400,
    WS_CLOSE_UNAUTHORIZED = 4401,
};

enum ws_role {
    WS_SERVER, /* peer's frames must be masked */
    WS_CLIENT, /* peer's frames must not be */
};

enum ws_event_type {
    WS_EVENT_NONE,    /* all input used; more is needed */
    WS_EVENT_MESSAGE, /* a whole message: opcode WS_TEXT or WS_BINARY, payload */
    WS_EVENT_PING,    /* payload to echo, at most 125 bytes */
    WS_EVENT_PONG,
    WS_EVENT_CLOSE, /* the peer closes: code (1005: none given), reason in payload */
    WS_EVENT_ERROR, /* close with `code`; `text` says why */
};

struct ws_event {
    enum ws_event_type type;
    enum ws_opcode opcode;
    uint16_t code;
    struct bytes payload; /* borrowed until the next call on the decoder or its input */
    const char *text;     /* static */
};

struct ws_limits {
    size_t message_bytes; /* a whole message, inflated; declared lengths are checked at once */
};

struct ws_decoder {
    /* private */
    struct buf message_; /* bytes of a message in the making */
    struct utf8 utf8_;
    struct inflater *inflater_; /* borrowed; NULL: RSV1 is refused */
    uint64_t frame_left_;       /* payload bytes of the frame under way still to come */
    uint32_t empty_count_;      /* empty continuations in a row */
    uint8_t head_[14];          /* a frame header in the making */
    uint8_t control_[125];      /* a control frame's payload in the making */
    uint8_t head_size_;
    uint8_t control_size_;
    uint8_t mask_[4];
    uint8_t mask_at_; /* which mask byte is next */
    uint8_t role_;
    uint8_t opcode_;         /* of the frame under way */
    uint8_t message_opcode_; /* of the message under way, 0: none */
    bool in_payload_;
    bool fin_;
    bool compressed_; /* the message under way */
    bool done_;       /* after error or close */
    bool lent_;       /* message_ was handed out; cleared at the next call */
};

void ws_decoder_init(struct ws_decoder *decoder, enum ws_role role);
void ws_decoder_deinit(struct ws_decoder *decoder);
/* Between messages: permessage-deflate is agreed on, and compressed messages are taken; NULL: they
 * are not. `inflater` is lent as long as the decoder is used; one without a context may serve any
 * number of decoders. */
void ws_decoder_inflate(struct ws_decoder *decoder, struct inflater *inflater);
/* Decodes until one event is there or the input is used up. `input` is changed in place.
 * *ret_used: how many bytes were taken; call again with the rest, be it empty, until
 * WS_EVENT_NONE: the next call is what lets go of the memory of a message.
 * RC_NOMEM: as WS_EVENT_ERROR with 1011. */
void ws_decoder_feed(struct ws_decoder *decoder, const struct ws_limits *limits, uint8_t *input,
                     size_t size, size_t *ret_used, struct ws_event *ret_event);
/* Whether a message or frame is under way (for the message deadline). */
bool ws_decoder_busy(const struct ws_decoder *decoder);

#define WS_HEADER_SIZE_MAX 14

/* Writes the header of an unfragmented frame; returns its size (2 … 14). `mask` NULL: not
 * masked (a server's); else 4 bytes. */
size_t ws_header_encode(uint8_t to[static WS_HEADER_SIZE_MAX], enum ws_opcode opcode,
                        uint64_t payload_size, const uint8_t *mask);
/* As above with FIN as given (tests and ws-echo's fragments). */
size_t ws_header_encode_fragment(uint8_t to[static WS_HEADER_SIZE_MAX], enum ws_opcode opcode,
                                 bool fin, uint64_t payload_size, const uint8_t *mask);
/* XORs in place, 16 or more bytes at a time; `at` is the position of data[0] in the frame, mod 4.
 */
void ws_mask(uint8_t *data, size_t size, const uint8_t mask[static 4], unsigned at);

/* Appends a whole unmasked frame. RC_NOMEM: `to` unchanged. */
MUST_USE enum rc ws_frame_append(struct buf *to, enum ws_opcode opcode, struct bytes payload);
/* Appends a Close frame with that code (and no more than 123 bytes of text). */
MUST_USE enum rc ws_close_append(struct buf *to, uint16_t code, const char *text);
/* [WS 7.4] whether a peer may send that code in a Close frame. */
bool ws_close_code_valid(uint16_t code);

#endif
