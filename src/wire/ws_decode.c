/* WebSocket frames in, [WS 5].
 *
 * A header is read from the input where it lies whole in it, else gathered in head_; either way it
 * is judged as soon as the byte that decides is there: reserved bits and opcode by the first, mask
 * bit and control length by the second, the length by its last byte, before a byte of payload is
 * taken or a byte of memory asked for. What is decided depends on the bytes alone, never on how
 * they were cut.
 *
 * A payload is unmasked in the input as it comes. The last piece of a message is handed out where
 * it lies if it is the whole message; else pieces are gathered in message_, whose size follows the
 * bytes received. So a frame that declares 16 MiB and sends ten bytes costs what ten bytes cost,
 * and a fragment costs nothing but its bytes. Only empty fragments would be free to send for ever:
 * they are counted.
 *
 * A message whose first frame has RSV1 is gathered in the same way and inflated at its end, by an
 * inflater that is this connection's (its context lives between messages) or everybody's. Its
 * pieces together may be a little more than the limit, since not all data gets smaller; what they
 * inflate to may not.
 *
 * When anything is wrong the decoder gives one WS_EVENT_ERROR with the code to close with, lets go
 * of its memory, and eats all input that follows. */
#include "wire/ws.h"

#define FIN                 0x80u
#define RESERVED            0x70u
#define RSV1                0x40u
#define OPCODE              0x0Fu
#define CONTROL             0x08u
#define MASKED              0x80u
#define LENGTH              0x7Fu
#define LENGTH_16           126u
#define LENGTH_64           127u
#define CONTROL_PAYLOAD_MAX 125u
#define CLOSE_CODE_SIZE     2u

/* Empty fragments in a row: far more than any library sends, and 24 KiB of input at most before
 * the verdict. */
#define WS_EMPTY_FRAMES_MAX 4096u

#define OPCODES_KNOWN                                                                              \
    ((1u << WS_CONTINUATION) | (1u << WS_TEXT) | (1u << WS_BINARY) | (1u << WS_CLOSE) |            \
     (1u << WS_PING) | (1u << WS_PONG))

static_assert(sizeof(((struct ws_decoder *)NULL)->control_) == CONTROL_PAYLOAD_MAX, "[WS 5.5]");
static_assert(sizeof(((struct ws_decoder *)NULL)->head_) == WS_HEADER_SIZE_MAX, "[WS 5.2]");

void ws_decoder_init(struct ws_decoder *decoder, enum ws_role role)
{
    ASSERT(role == WS_SERVER || role == WS_CLIENT);
    *decoder = (struct ws_decoder){.role_ = (uint8_t)role};
    ASSERT_HOT(decoder->role_ == role);
    ASSERT_HOT(!decoder->done_);
}

void ws_decoder_inflate(struct ws_decoder *decoder, struct inflater *inflater)
{
    ASSERT_HOT(!decoder->done_);
    ASSERT_HOT(!ws_decoder_busy(decoder));
    decoder->inflater_ = inflater;
    decoder->compressed_ = false; /* the last message may have been, of another connection's */
}

void ws_decoder_deinit(struct ws_decoder *decoder)
{
    ASSERT_HOT(decoder->message_.size <= decoder->message_.capacity);
    buf_deinit(&decoder->message_);
    ASSERT_HOT(decoder->message_.size == 0);
    decoder->done_ = true;
}

bool ws_decoder_busy(const struct ws_decoder *decoder)
{
    ASSERT_HOT(decoder->head_size_ <= WS_HEADER_SIZE_MAX);
    ASSERT_HOT(!decoder->in_payload_ || decoder->head_size_ == 0);
    return !decoder->done_ &&
           (decoder->in_payload_ || decoder->head_size_ > 0 || decoder->message_opcode_ != 0);
}

static void decoder_check(const struct ws_decoder *decoder)
{
    ASSERT_HOT(decoder->head_size_ < WS_HEADER_SIZE_MAX);
    ASSERT_HOT(!decoder->done_ || !decoder->in_payload_);
    ASSERT_HOT(decoder->empty_count_ <= WS_EMPTY_FRAMES_MAX || decoder->done_);
    ASSERT_HOT(decoder->in_payload_ || decoder->frame_left_ == 0);
    ASSERT_HOT(!decoder->in_payload_ || decoder->head_size_ == 0);
    ASSERT_HOT(decoder->message_.size == 0 || decoder->lent_ || decoder->message_opcode_ != 0);
    ASSERT_HOT(decoder->mask_at_ < 4 && decoder->control_size_ <= CONTROL_PAYLOAD_MAX);
}

static void decoder_stop(struct ws_decoder *decoder)
{
    ASSERT_HOT(decoder->message_.size <= decoder->message_.capacity);
    buf_deinit(&decoder->message_);
    decoder->message_opcode_ = 0;
    decoder->head_size_ = 0;
    decoder->frame_left_ = 0;
    decoder->in_payload_ = false;
    decoder->done_ = true;
}

static void decoder_fail(struct ws_decoder *decoder, uint16_t code, const char *text,
                         struct ws_event *event)
{
    ASSERT(code >= 1000 && code != WS_CLOSE_NO_STATUS);
    ASSERT(text != NULL);
    ASSERT(event->type == WS_EVENT_NONE);
    decoder_stop(decoder);
    *event = (struct ws_event){.type = WS_EVENT_ERROR, .code = code, .text = text};
}

/* ---- headers ------------------------------------------------------------------------------- */

static inline uint16_t load_u16_big_endian(const uint8_t *from)
{
    ASSERT_HOT(from != NULL);
    return __builtin_bswap16(bytes_load_u16(from));
}

static inline uint64_t load_u64_big_endian(const uint8_t *from)
{
    ASSERT_HOT(from != NULL);
    return __builtin_bswap64(bytes_load_u64(from));
}

/* Where the mask begins, by the second byte of a header. */
static inline size_t header_length_end(uint8_t second)
{
    ASSERT_HOT((second & LENGTH) <= LENGTH_64);
    const unsigned length = second & LENGTH;
    return length < LENGTH_16 ? 2 : length == LENGTH_16 ? 4 : 10;
}

static inline size_t header_size(uint8_t second)
{
    ASSERT_HOT(header_length_end(second) + 4 <= WS_HEADER_SIZE_MAX);
    return header_length_end(second) + ((second & MASKED) != 0 ? 4 : 0);
}

static inline uint64_t header_length(const uint8_t *head)
{
    ASSERT_HOT((head[1] & LENGTH) <= LENGTH_64);
    const unsigned length = head[1] & LENGTH;
    return length < LENGTH_16    ? length
           : length == LENGTH_16 ? load_u16_big_endian(head + 2)
                                 : load_u64_big_endian(head + 2);
}

/* What is wrong with the first byte, or NULL. */
static inline const char *first_byte_refuse(const struct ws_decoder *decoder, uint8_t first)
{
    ASSERT_HOT(!decoder->done_);
    ASSERT_HOT(!decoder->in_payload_);
    const unsigned opcode = first & OPCODE;
    /* [WS 5.2] the reserved bits must be 0, but for what extensions make of them; [DEFLATE 6] RSV1:
     * on the first frame of a message, never on continuations or control frames */
    const bool deflated = (first & RESERVED) == RSV1 && decoder->inflater_ != NULL &&
                          (opcode == WS_TEXT || opcode == WS_BINARY);
    if ((first & RESERVED) != 0 && !deflated) {
        return "a reserved bit is set";
    }
    /* [WS 5.2] opcodes 3 to 7 and B to F are reserved */
    if (((OPCODES_KNOWN >> opcode) & 1u) == 0) {
        return "unknown opcode";
    }
    if ((opcode & CONTROL) != 0) {
        /* [WS 5.4], [WS 5.5] control frames must not be fragmented */
        return (first & FIN) != 0 ? NULL : "a control frame in fragments";
    }
    /* [WS 5.4] a message is a first frame and continuations; messages do not interleave */
    if (opcode == WS_CONTINUATION) {
        return decoder->message_opcode_ != 0 ? NULL : "a continuation of no message";
    }
    return decoder->message_opcode_ == 0 ? NULL : "a new message inside another";
}

/* What is wrong with the second byte, or NULL. */
static inline const char *second_byte_refuse(const struct ws_decoder *decoder, const uint8_t *head)
{
    ASSERT_HOT(!decoder->in_payload_);
    ASSERT_HOT(decoder->role_ == WS_SERVER || decoder->role_ == WS_CLIENT);
    /* [WS 5.1] a client masks all its frames, a server none */
    const bool masked = (head[1] & MASKED) != 0;
    if (masked != (decoder->role_ == WS_SERVER)) {
        return masked ? "a masked frame from a server" : "an unmasked frame from a client";
    }
    /* [WS 5.5] control frames carry at most 125 bytes */
    if ((head[0] & CONTROL) != 0 && (head[1] & LENGTH) > CONTROL_PAYLOAD_MAX) {
        return "a control frame over 125 bytes";
    }
    return NULL;
}

/* What is wrong with the form of the length, or NULL. */
static inline const char *length_refuse(const uint8_t *head)
{
    ASSERT_HOT(head != NULL);
    const unsigned form = head[1] & LENGTH;
    const uint64_t length = header_length(head);
    /* [WS 5.2] the most significant bit must be 0 */
    if (length > INT64_MAX) {
        return "a length with the top bit set";
    }
    /* [WS 5.2] the minimal number of bytes must be used */
    if ((form == LENGTH_16 && length < LENGTH_16) || (form == LENGTH_64 && length <= UINT16_MAX)) {
        return "a length that is not in its shortest form";
    }
    return NULL;
}

/* How many bytes the message whose frame this is may be on the wire. */
static inline size_t wire_bytes_max(const struct ws_decoder *decoder,
                                    const struct ws_limits *limits, uint8_t first)
{
    ASSERT_HOT((first & CONTROL) == 0);
    ASSERT_HOT(!decoder->compressed_ || decoder->inflater_ != NULL);
    const bool compressed =
        (first & OPCODE) == WS_CONTINUATION ? decoder->compressed_ : (first & RSV1) != 0;
    return compressed ? deflate_size_max(limits->message_bytes) : limits->message_bytes;
}

/* Judges what the `size` bytes of a header that are there show. False: *event is the error. */
static inline bool header_check(struct ws_decoder *decoder, const struct ws_limits *limits,
                                const uint8_t *head, size_t size, struct ws_event *event)
{
    ASSERT_HOT(event->type == WS_EVENT_NONE);
    ASSERT_HOT(size > 0 && size <= WS_HEADER_SIZE_MAX);
    const char *why = first_byte_refuse(decoder, head[0]);
    if (why == NULL && size > 1) {
        why = second_byte_refuse(decoder, head);
    }
    const bool has_length = size > 1 && size >= header_length_end(head[1]);
    if (why == NULL && has_length) {
        why = length_refuse(head);
    }
    if (why != NULL) {
        decoder_fail(decoder, WS_CLOSE_PROTOCOL, why, event);
        return false;
    }
    if (has_length && (head[0] & CONTROL) == 0) {
        /* The declared length, and with it the sum, before anything is kept; no sum of two large
         * numbers is ever formed. */
        const size_t gathered = decoder->message_.size;
        const size_t max = wire_bytes_max(decoder, limits, head[0]);
        if (gathered > max || header_length(head) > max - gathered) {
            decoder_fail(decoder, WS_CLOSE_TOO_LARGE, "a message over the size limit", event);
            return false;
        }
    }
    return true;
}

/* The frame whose whole header is at `head` begins. */
static inline void frame_begin(struct ws_decoder *decoder, const uint8_t *head,
                               struct ws_event *event)
{
    ASSERT_HOT(!decoder->in_payload_);
    ASSERT_HOT(((head[1] & MASKED) != 0) == (decoder->role_ == WS_SERVER));
    const uint8_t opcode = head[0] & OPCODE;
    decoder->opcode_ = opcode;
    decoder->fin_ = (head[0] & FIN) != 0;
    decoder->frame_left_ = header_length(head);
    if ((head[1] & MASKED) != 0) {
        bytes_copy(decoder->mask_, head + header_length_end(head[1]), 4);
    }
    decoder->mask_at_ = 0;
    decoder->head_size_ = 0;
    decoder->control_size_ = 0;
    decoder->in_payload_ = true;
    if ((opcode & CONTROL) != 0) {
        return;
    }
    if (opcode != WS_CONTINUATION) {
        decoder->message_opcode_ = opcode;
        decoder->compressed_ = (head[0] & RSV1) != 0;
        decoder->utf8_ = (struct utf8){0};
        decoder->empty_count_ = 0;
    }
    if (decoder->frame_left_ > 0) {
        decoder->empty_count_ = 0;
    } else if (!decoder->fin_ && ++decoder->empty_count_ > WS_EMPTY_FRAMES_MAX) {
        decoder_fail(decoder, WS_CLOSE_POLICY, "too many empty fragments in a row", event);
    }
}

/* Takes bytes of a header; returns how many. in_payload_ says that it is complete. */
static inline size_t header_take(struct ws_decoder *decoder, const struct ws_limits *limits,
                                 const uint8_t *input, size_t size, struct ws_event *event)
{
    ASSERT_HOT(size > 0);
    ASSERT_HOT(!decoder->in_payload_ && !decoder->done_);
    const uint8_t *head = input;
    size_t head_size = decoder->head_size_;
    size_t used = 0;

    if (head_size == 0 && size >= 2 && size >= header_size(input[1])) {
        head_size = header_size(input[1]);
        used = head_size;
    } else {
        head = decoder->head_;
        while (used < size && (head_size < 2 || head_size < header_size(head[1]))) {
            decoder->head_[head_size++] = input[used++];
        }
        decoder->head_size_ = (uint8_t)head_size;
    }
    if (!header_check(decoder, limits, head, head_size, event)) {
        return used;
    }
    if (head_size >= 2 && head_size == header_size(head[1])) {
        frame_begin(decoder, head, event);
    }
    return used;
}

/* ---- payloads ------------------------------------------------------------------------------ */

static void close_event(struct ws_decoder *decoder, struct bytes payload, struct ws_event *event)
{
    ASSERT(payload.size <= CONTROL_PAYLOAD_MAX);
    ASSERT(decoder->opcode_ == WS_CLOSE);
    uint16_t code = WS_CLOSE_NO_STATUS;
    struct bytes reason = {0};

    if (payload.size >= CLOSE_CODE_SIZE) {
        code = load_u16_big_endian(payload.data);
        reason = bytes_of(payload.data + CLOSE_CODE_SIZE, payload.size - CLOSE_CODE_SIZE);
        if (!ws_close_code_valid(code)) {
            decoder_fail(decoder, WS_CLOSE_PROTOCOL, "a close code that may not be sent", event);
            return;
        }
        /* [WS 5.5.1] the reason is UTF-8 */
        if (!utf8_valid(reason)) {
            decoder_fail(decoder, WS_CLOSE_UTF8, "a close reason that is not UTF-8", event);
            return;
        }
    } else if (payload.size != 0) {
        /* [WS 5.5.1] a body, if any, begins with a code of two bytes */
        decoder_fail(decoder, WS_CLOSE_PROTOCOL, "a close frame with one byte", event);
        return;
    }
    /* [WS 5.5.1] nothing follows a Close */
    decoder_stop(decoder);
    *event = (struct ws_event){
        .type = WS_EVENT_CLOSE, .opcode = WS_CLOSE, .code = code, .payload = reason};
}

static void control_take(struct ws_decoder *decoder, struct bytes piece, struct ws_event *event)
{
    ASSERT_HOT((decoder->opcode_ & CONTROL) != 0);
    ASSERT_HOT(decoder->fin_);
    struct bytes payload = piece;
    if (decoder->frame_left_ > 0 || decoder->control_size_ > 0) {
        ASSERT(piece.size <= CONTROL_PAYLOAD_MAX - decoder->control_size_);
        bytes_copy(decoder->control_ + decoder->control_size_, piece.data, piece.size);
        decoder->control_size_ = (uint8_t)(decoder->control_size_ + piece.size);
        payload = bytes_of(decoder->control_, decoder->control_size_);
    }
    if (decoder->frame_left_ > 0) {
        return;
    }
    decoder->in_payload_ = false;
    if (decoder->opcode_ == WS_CLOSE) {
        close_event(decoder, payload, event);
        return;
    }
    *event = (struct ws_event){
        .type = decoder->opcode_ == WS_PING ? WS_EVENT_PING : WS_EVENT_PONG,
        .opcode = (enum ws_opcode)decoder->opcode_,
        .payload = payload,
    };
}

static void inflate_fail(struct ws_decoder *decoder, enum rc rc, struct ws_event *event)
{
    ASSERT(rc != RC_OK);
    ASSERT(event->type == WS_EVENT_NONE);
    if (rc == RC_TOO_LARGE) {
        decoder_fail(decoder, WS_CLOSE_TOO_LARGE, "a message over the size limit", event);
    } else if (rc == RC_BAD) {
        decoder_fail(decoder, WS_CLOSE_PROTOCOL, "a compressed message that is broken", event);
    } else {
        ASSERT(rc == RC_NOMEM);
        decoder_fail(decoder, WS_CLOSE_INTERNAL, "out of memory", event);
    }
}

/* [DEFLATE 7.2.2] The whole of `payload`, which may lie in message_, is inflated into its place. */
static bool message_inflate(struct ws_decoder *decoder, const struct ws_limits *limits,
                            struct bytes *payload, struct ws_event *event)
{
    ASSERT(decoder->inflater_ != NULL);
    ASSERT(decoder->message_opcode_ == WS_TEXT || decoder->message_opcode_ == WS_BINARY);
    struct buf inflated = {0};
    const enum rc rc =
        inflater_append(decoder->inflater_, *payload, limits->message_bytes, &inflated);
    buf_deinit(&decoder->message_);
    if (rc != RC_OK) {
        buf_deinit(&inflated);
        inflate_fail(decoder, rc, event);
        return false;
    }
    if (inflated.size == 0) {
        buf_deinit(&inflated);
    }
    decoder->message_ = inflated;
    *payload = buf_bytes(&inflated);
    /* [WS 8.1] as in data_take() */
    if (decoder->message_opcode_ == WS_TEXT && !utf8_feed(&decoder->utf8_, *payload)) {
        decoder_fail(decoder, WS_CLOSE_UTF8, "text that is not UTF-8", event);
        return false;
    }
    return true;
}

/* The last frame of a message is complete; `payload` is all of it. */
static inline void message_end(struct ws_decoder *decoder, const struct ws_limits *limits,
                               struct bytes payload, struct ws_event *event)
{
    ASSERT_HOT(decoder->fin_ && decoder->frame_left_ == 0);
    ASSERT_HOT(!decoder->in_payload_);
    const enum ws_opcode opcode = (enum ws_opcode)decoder->message_opcode_;
    if (decoder->compressed_ && !message_inflate(decoder, limits, &payload, event)) {
        return;
    }
    if (opcode == WS_TEXT && !utf8_complete(&decoder->utf8_)) {
        decoder_fail(decoder, WS_CLOSE_UTF8, "text that ends inside a character", event);
        return;
    }
    decoder->message_opcode_ = 0;
    decoder->lent_ = decoder->message_.size > 0;
    *event = (struct ws_event){.type = WS_EVENT_MESSAGE, .opcode = opcode, .payload = payload};
}

static inline void data_take(struct ws_decoder *decoder, const struct ws_limits *limits,
                             struct bytes piece, struct ws_event *event)
{
    ASSERT_HOT((decoder->opcode_ & CONTROL) == 0);
    ASSERT_HOT(decoder->message_opcode_ == WS_TEXT || decoder->message_opcode_ == WS_BINARY);
    /* [WS 8.1] text that is not UTF-8 fails the connection: at the byte that shows it, not at the
     * end of the frame. */
    if (decoder->message_opcode_ == WS_TEXT && !decoder->compressed_ &&
        !utf8_feed(&decoder->utf8_, piece)) {
        decoder_fail(decoder, WS_CLOSE_UTF8, "text that is not UTF-8", event);
        return;
    }
    const bool last = decoder->fin_ && decoder->frame_left_ == 0;
    struct bytes payload = piece;
    if (!last || decoder->message_.size > 0) {
        if (buf_append(&decoder->message_, piece) != RC_OK) {
            decoder_fail(decoder, WS_CLOSE_INTERNAL, "out of memory", event);
            return;
        }
        payload = buf_bytes(&decoder->message_);
    }
    if (decoder->frame_left_ == 0) {
        decoder->in_payload_ = false;
    }
    if (last) {
        message_end(decoder, limits, payload, event);
    }
}

static inline size_t payload_take(struct ws_decoder *decoder, const struct ws_limits *limits,
                                  uint8_t *input, size_t size, struct ws_event *event)
{
    ASSERT_HOT(decoder->in_payload_ && !decoder->done_);
    ASSERT_HOT(event->type == WS_EVENT_NONE);
    const size_t used = size < decoder->frame_left_ ? size : (size_t)decoder->frame_left_;
    if (decoder->role_ == WS_SERVER) {
        ws_mask(input, used, decoder->mask_, decoder->mask_at_);
        decoder->mask_at_ = (uint8_t)((decoder->mask_at_ + used) & 3u);
    }
    decoder->frame_left_ -= used;
    if ((decoder->opcode_ & CONTROL) != 0) {
        control_take(decoder, bytes_of(input, used), event);
    } else {
        data_take(decoder, limits, bytes_of(input, used), event);
    }
    return used;
}

void ws_decoder_feed(struct ws_decoder *decoder, const struct ws_limits *limits, uint8_t *input,
                     size_t size, size_t *ret_used, struct ws_event *ret_event)
{
    ASSERT_HOT(ret_used != NULL);
    ASSERT_HOT(ret_event != NULL);
    ASSERT_HOT(size == 0 || input != NULL);
    struct ws_event event = {.type = WS_EVENT_NONE};
    size_t used = 0;

    if (decoder->lent_) {
        buf_deinit(&decoder->message_);
        decoder->lent_ = false;
    }
    /* Every frame ends with a byte of its own, so with no input there is nothing to say. */
    while (used < size && event.type == WS_EVENT_NONE && !decoder->done_) {
        if (!decoder->in_payload_) {
            used += header_take(decoder, limits, input + used, size - used, &event);
        }
        if (decoder->in_payload_) {
            used += payload_take(decoder, limits, input + used, size - used, &event);
        }
    }
    decoder_check(decoder);
    ASSERT_HOT(used <= size);
    ASSERT_HOT(event.type != WS_EVENT_NONE || used == size || decoder->done_);
    *ret_used = decoder->done_ ? size : used;
    *ret_event = event;
}
