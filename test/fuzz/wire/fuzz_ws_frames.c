/* The WebSocket decoder: however the bytes are cut, the same events; and the same events as
 * wslay's, an implementation that shares nothing with ours.
 *
 * The first byte chooses: bits 0 to 5 the size of the pieces, bit 6 whether what follows is a raw
 * stream or the makings of frames, bit 7 the role. Frames are made of a first byte, a byte of
 * length and the payload; they are masked as the role wants it, so that most of them are good.
 *
 * Where wslay differs, and what is done about it:
 *  - it judges a header when it is whole, we at the byte that decides: where we have failed, it
 *    gets enough zeros to finish the header that we did not wait for;
 *  - it looks at the reason of a Close as it comes, we when the frame is whole: a raw stream ends
 *    with zeros enough to end any control frame;
 *  - it answers some breaches of framing by a Close without a code: that is taken for 1002;
 *  - it does not know the close codes 1012 to 1014, registered since: a stream that makes us tell
 *    one is not compared;
 *  - it does not bound empty fragments: our 1008 is not compared;
 *  - it takes a Close with one byte for one without a code ([WS 5.5.1] says "if there is a body,
 *    the first two bytes are the code"), and looks at the reason before the code: where we refuse
 *    a Close with 1002, its 1005 and 1007 are as good.
 * Its verdicts on lengths, masks, opcodes, fragments, control frames, UTF-8 and closes are ours. */
#include "../../unit/wire/ws_transcript.h"

#include <wslay/wslay.h>

#define LIMIT 1000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void put(struct buf *to, struct bytes bytes)
{
    check(buf_append(to, bytes) == RC_OK);
}

/* ---- ours ---------------------------------------------------------------------------------- */

/* Returns the text of the error that ended it, or NULL. */
static const char *run_ours(struct buf *to, enum ws_role role, struct bytes stream, size_t step)
{
    const char *why = NULL;
    const struct ws_limits limits = {.message_bytes = LIMIT};
    struct ws_decoder decoder;
    ws_decoder_init(&decoder, role);
    for (size_t at = 0; at < stream.size; at += step) {
        const size_t left = stream.size - at;
        const size_t piece = left < step ? left : step;
        const char *text =
            transcript_piece(to, &decoder, &limits, bytes_of(stream.data + at, piece));
        why = text != NULL ? text : why;
    }
    ws_decoder_deinit(&decoder);
    return why;
}

/* ---- wslay's ------------------------------------------------------------------------------- */

struct peer {
    struct bytes input;
    struct buf *events;
    struct buf sent;
    bool closed; /* a Close has come */
};

static ssize_t peer_recv(wslay_event_context_ptr ctx, uint8_t *data, size_t size, int flags,
                         void *user)
{
    (void)flags;
    struct peer *peer = user;
    if (peer->input.size == 0) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    const size_t taken = size < peer->input.size ? size : peer->input.size;
    bytes_copy(data, peer->input.data, taken);
    peer->input = bytes_of(peer->input.data + taken, peer->input.size - taken);
    return (ssize_t)taken;
}

static ssize_t peer_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t size, int flags,
                         void *user)
{
    (void)ctx;
    (void)flags;
    struct peer *peer = user;
    put(&peer->sent, bytes_of(data, size));
    return (ssize_t)size;
}

static int peer_mask(wslay_event_context_ptr ctx, uint8_t *data, size_t size, void *user)
{
    (void)ctx;
    (void)user;
    bytes_zero(data, size);
    return 0;
}

static void peer_message(wslay_event_context_ptr ctx,
                         const struct wslay_event_on_msg_recv_arg *message, void *user)
{
    (void)ctx;
    struct peer *peer = user;
    struct bytes payload = {message->msg, message->msg_length};
    switch (message->opcode) {
    case WSLAY_TEXT_FRAME: transcript_add(peer->events, "T", 0, &payload); break;
    case WSLAY_BINARY_FRAME: transcript_add(peer->events, "B", 0, &payload); break;
    case WSLAY_PING: transcript_add(peer->events, "P", 0, &payload); break;
    case WSLAY_PONG: transcript_add(peer->events, "Q", 0, &payload); break;
    case WSLAY_CONNECTION_CLOSE:
        peer->closed = true;
        if (payload.size >= 2) {
            payload = bytes_of(payload.data + 2, payload.size - 2);
        }
        transcript_add(peer->events, "C", message->status_code != 0 ? message->status_code : 1005,
                       &payload);
        break;
    default: abort();
    }
}

/* The code of the Close that it sent, or 0. Frames it sends have no mask, or one of zeros. */
static unsigned peer_close_code(const struct peer *peer)
{
    size_t at = 0;
    while (at + 2 <= peer->sent.size) {
        const uint8_t *head = peer->sent.data + at;
        const size_t head_size = 2 + ((head[1] & 0x80u) != 0 ? 4u : 0);
        const size_t length = head[1] & 0x7Fu;
        if ((head[0] & 0x0Fu) == WSLAY_CONNECTION_CLOSE) {
            return length < 2 ? 1005u : (unsigned)head[head_size] << 8 | head[head_size + 1];
        }
        at += head_size + length;
    }
    return 0;
}

static void run_wslay(struct buf *to, enum ws_role role, struct bytes stream)
{
    const struct wslay_event_callbacks callbacks = {
        .recv_callback = peer_recv,
        .send_callback = peer_send,
        .genmask_callback = peer_mask,
        .on_msg_recv_callback = peer_message,
    };
    struct peer peer = {.input = stream, .events = to};
    wslay_event_context_ptr ctx = NULL;
    check((role == WS_SERVER ? wslay_event_context_server_init(&ctx, &callbacks, &peer)
                             : wslay_event_context_client_init(&ctx, &callbacks, &peer)) == 0);
    wslay_event_config_set_max_recv_msg_length(ctx, LIMIT);
    /* What it returns is not looked at: on a broken header it queues the Close and fails. */
    while (wslay_event_want_read(ctx) && peer.input.size > 0) {
        (void)wslay_event_recv(ctx);
    }
    while (wslay_event_want_write(ctx)) {
        check(wslay_event_send(ctx) == 0);
    }
    const unsigned code = peer_close_code(&peer);
    if (code != 0 && !peer.closed) {
        transcript_add(to, "E", code == WS_CLOSE_NO_STATUS ? WS_CLOSE_PROTOCOL : code, NULL);
    }
    wslay_event_context_free(ctx);
    buf_deinit(&peer.sent);
}

/* ---- both ---------------------------------------------------------------------------------- */

static void make_frames(struct buf *to, enum ws_role role, struct bytes from)
{
    static const uint8_t mask[4] = {0x11, 0x22, 0x33, 0x44};
    while (from.size >= 2) {
        uint8_t head[4] = {from.data[0], (uint8_t)(role == WS_SERVER ? 0x80u : 0)};
        size_t head_size = 2;
        size_t size = from.data[1];
        from = bytes_of(from.data + 2, from.size - 2);
        size = size < from.size ? size : from.size;
        if (size > 125) {
            head[1] |= 126;
            head[3] = (uint8_t)size;
            head_size = 4;
        } else {
            head[1] |= (uint8_t)size;
        }
        put(to, bytes_of(head, head_size));
        if (role == WS_SERVER) {
            put(to, bytes_of(mask, 4));
        }
        for (size_t i = 0; i < size; i++) {
            const uint8_t byte = role == WS_SERVER ? from.data[i] ^ mask[i % 4] : from.data[i];
            put(to, bytes_of(&byte, 1));
        }
        from = bytes_of(from.data + size, from.size - size);
    }
}

static bool has(const struct buf *text, const char *part)
{
    return text->size > 0 && memmem(text->data, text->size, part, strlen(part)) != NULL;
}

/* Equal but for what the head of this file allows. */
static bool verdicts_equal(const struct buf *ours, const char *why, const struct buf *theirs)
{
    if (bytes_equal(buf_bytes(ours), buf_bytes(theirs))) {
        return true;
    }
    const bool by_close = why != NULL && (strcmp(why, "a close frame with one byte") == 0 ||
                                          strcmp(why, "a close code that may not be sent") == 0);
    const size_t before = ours->size - (by_close ? 5 : 0);
    if (!by_close || theirs->size < ours->size ||
        !bytes_equal(bytes_of(ours->data, before), bytes_of(theirs->data, before))) {
        return false;
    }
    const struct bytes verdict = {theirs->data + before, 5};
    return bytes_equal(verdict, BYTES_LITERAL("C1005")) ||
           bytes_equal(verdict, BYTES_LITERAL("E1007"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    const size_t step = 1 + (data[0] & 0x3Fu);
    const enum ws_role role = (data[0] & 0x80u) != 0 ? WS_CLIENT : WS_SERVER;
    struct buf stream = {0};
    struct buf whole = {0};
    struct buf pieces = {0};
    struct buf theirs = {0};
    if ((data[0] & 0x40u) != 0) {
        static const uint8_t zeros[140];
        put(&stream, bytes_of(data + 1, size - 1));
        put(&stream, bytes_of(zeros, sizeof(zeros)));
    } else {
        make_frames(&stream, role, bytes_of(data + 1, size - 1));
    }
    const char *why = run_ours(&whole, role, buf_bytes(&stream), stream.size > 0 ? stream.size : 1);
    (void)run_ours(&pieces, role, buf_bytes(&stream), step);
    check(bytes_equal(buf_bytes(&whole), buf_bytes(&pieces)));

    if (!has(&whole, "E1008") && !has(&whole, "C1012(") && !has(&whole, "C1013(") &&
        !has(&whole, "C1014(")) {
        if (why != NULL) {
            put(&stream, BYTES_LITERAL("\0\0\0\0\0\0\0\0\0\0\0\0\0\0"));
        }
        run_wslay(&theirs, role, buf_bytes(&stream));
        if (!verdicts_equal(&whole, why, &theirs)) {
            (void)fprintf(stderr, "ours:   %.*s\ntheirs: %.*s\n", (int)whole.size,
                          (const char *)whole.data, (int)theirs.size, (const char *)theirs.data);
            abort();
        }
    }
    buf_deinit(&stream);
    buf_deinit(&whole);
    buf_deinit(&pieces);
    buf_deinit(&theirs);
    return 0;
}
