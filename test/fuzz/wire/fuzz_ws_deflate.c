/* permessage-deflate from a peer that may send anything. The first byte chooses what is tried, the
 * second its parameters:
 *
 *  - frames with RSV1 wherever the input wants it: however the bytes are cut, the same events, and
 *    no message over the limit;
 *  - one compressed message: the same bytes and the same verdict as zlib's own, called once with
 *    room for all of it;
 *  - messages there and back, with any window, level and context: what came in went out;
 *  - offers: an answer says nothing that was not offered and may not be said unasked. */
#include "../../unit/wire/ws_transcript.h"

#include "wire/ws_extension.h"

#include <zlib.h>

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

/* ---- frames ---------------------------------------------------------------------------------- */

/* A first byte, a byte of length and the payload, again and again; not masked. */
static void make_frames(struct buf *to, struct bytes from)
{
    while (from.size >= 2) {
        uint8_t head[WS_HEADER_SIZE_MAX];
        size_t size = from.data[1];
        const uint8_t first = from.data[0];
        from = bytes_of(from.data + 2, from.size - 2);
        size = size < from.size ? size : from.size;
        const size_t head_size = ws_header_encode(head, WS_BINARY, size, NULL);
        head[0] = first;
        put(to, bytes_of(head, head_size));
        put(to, bytes_of(from.data, size));
        from = bytes_of(from.data + size, from.size - size);
    }
}

static void run(struct buf *to, struct bytes stream, size_t step, uint8_t bits, bool takeover)
{
    const struct ws_limits limits = {.message_bytes = LIMIT};
    struct inflater *inflater = NULL;
    struct ws_decoder decoder;
    ws_decoder_init(&decoder, WS_CLIENT);
    check(inflater_new(bits, takeover, &inflater) == RC_OK);
    ws_decoder_inflate(&decoder, inflater);
    for (size_t at = 0; at < stream.size; at += step) {
        const size_t left = stream.size - at;
        (void)transcript_piece(to, &decoder, &limits,
                               bytes_of(stream.data + at, left < step ? left : step));
        check(decoder.message_.capacity <= 2 * deflate_size_max(LIMIT));
    }
    ws_decoder_deinit(&decoder);
    inflater_free(inflater);
}

static void try_frames(uint8_t how, struct bytes rest)
{
    struct buf stream = {0};
    struct buf whole = {0};
    struct buf pieces = {0};
    const uint8_t bits = (uint8_t)(8 + (how & 7u));
    make_frames(&stream, rest);
    run(&whole, buf_bytes(&stream), stream.size + 1, bits, (how & 8u) != 0);
    run(&pieces, buf_bytes(&stream), 1 + (how >> 4), bits, (how & 8u) != 0);
    check(bytes_equal(buf_bytes(&whole), buf_bytes(&pieces)));
    buf_deinit(&stream);
    buf_deinit(&whole);
    buf_deinit(&pieces);
}

/* ---- one message ----------------------------------------------------------------------------- */

/* What zlib makes of it in one go; *ret_ended: it met a block with BFINAL, and what is behind that
 * is ours to know. */
static bool by_zlib(uint8_t bits, struct bytes payload, struct buf *to, bool *ret_ended)
{
    struct buf in = {0};
    z_stream stream = {0};
    put(&in, payload);
    put(&in, BYTES_LITERAL("\x00\x00\xff\xff"));
    check(buf_reserve(to, 2 * LIMIT) == RC_OK);
    check(inflateInit2(&stream, -(int)(bits < 9 ? 9 : bits)) == Z_OK);
    stream.next_in = in.data;
    stream.avail_in = (uInt)in.size;
    stream.next_out = to->data;
    stream.avail_out = LIMIT + 1;
    const int status = inflate(&stream, Z_SYNC_FLUSH);
    to->size = LIMIT + 1 - stream.avail_out;
    *ret_ended = status == Z_STREAM_END;
    const bool good = (status == Z_OK || status == Z_BUF_ERROR) && stream.avail_out > 0 &&
                      (stream.data_type & 128) != 0;
    check(inflateEnd(&stream) == Z_OK);
    buf_deinit(&in);
    return good;
}

static void try_message(uint8_t how, struct bytes payload)
{
    struct inflater *inflater = NULL;
    struct buf ours = {0};
    struct buf theirs = {0};
    bool ended = false;
    const uint8_t bits = (uint8_t)(8 + (how & 7u));
    check(inflater_new(bits, (how & 8u) != 0, &inflater) == RC_OK);
    const enum rc rc = inflater_append(inflater, payload, LIMIT, &ours);
    const bool good = by_zlib(bits, payload, &theirs, &ended);
    check(rc == RC_OK || rc == RC_BAD || rc == RC_TOO_LARGE);
    check((rc == RC_TOO_LARGE) == (ours.size > LIMIT));
    if (!ended && rc != RC_TOO_LARGE) {
        check((rc == RC_OK) == good);
        check(rc != RC_OK || bytes_equal(buf_bytes(&ours), buf_bytes(&theirs)));
    }
    inflater_free(inflater);
    buf_deinit(&ours);
    buf_deinit(&theirs);
}

/* ---- there and back -------------------------------------------------------------------------- */

static void try_round_trip(uint8_t how, struct bytes rest)
{
    const struct deflater_options options = {
        .window_bits = (uint8_t)(8 + (how & 7u)),
        .memory_level = (uint8_t)(1 + (how >> 4) % 9),
        .takeover = (how & 8u) != 0,
        .min_bytes = how >> 6,
    };
    const struct ws_limits limits = {.message_bytes = 1u << 20};
    struct deflater *deflater = NULL;
    struct inflater *inflater = NULL;
    struct ws_decoder decoder;
    struct buf stream = {0};
    struct buf expected = {0};
    struct buf got = {0};
    check(deflater_new(&options, &deflater) == RC_OK);
    check(inflater_new(options.window_bits, options.takeover, &inflater) == RC_OK);
    while (rest.size > 0) {
        const size_t wanted = (size_t)rest.data[0] * rest.data[0] / 8;
        rest = bytes_of(rest.data + 1, rest.size - 1);
        const struct bytes message = bytes_of(rest.data, wanted < rest.size ? wanted : rest.size);
        rest = bytes_of(rest.data + message.size, rest.size - message.size);
        check(ws_message_append(&stream, deflater, WS_BINARY, message) == RC_OK);
        transcript_add(&expected, "B", 0, &message);
    }
    ws_decoder_init(&decoder, WS_CLIENT);
    ws_decoder_inflate(&decoder, inflater);
    check(transcript_piece(&got, &decoder, &limits, buf_bytes(&stream)) == NULL);
    check(bytes_equal(buf_bytes(&got), buf_bytes(&expected)));
    ws_decoder_deinit(&decoder);
    deflater_free(deflater);
    inflater_free(inflater);
    buf_deinit(&stream);
    buf_deinit(&expected);
    buf_deinit(&got);
}

/* ---- offers ---------------------------------------------------------------------------------- */

static bool has(struct bytes text, const char *part)
{
    return text.size > 0 && memmem(text.data, text.size, part, strlen(part)) != NULL;
}

static void try_offer(uint8_t how, struct bytes offer)
{
    const struct ws_deflate_wish wish = {
        .window_bits = (uint8_t)(8 + (how & 7u)),
        .no_context = (how & 8u) != 0,
        .fixed = (how & 16u) != 0,
    };
    struct ws_deflate deflate = {0};
    char answer[WS_DEFLATE_ANSWER_SIZE];
    if (!ws_extensions_valid(offer) || !ws_deflate_choose(offer, &wish, &deflate)) {
        check(!deflate.agreed);
        return;
    }
    check(has(offer, "permessage-deflate"));
    check(deflate.server_bits >= 8 && deflate.server_bits <= wish.window_bits);
    check(!wish.fixed || deflate.server_bits == wish.window_bits);
    check(deflate.client_no_context || deflate.client_bits <= wish.window_bits);
    check(!deflate.tell_client_bits || has(offer, "client_max_window_bits"));
    ws_deflate_answer(&deflate, answer);
    check(has(bytes_of_text(answer), "client_max_window_bits") == deflate.tell_client_bits);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    const struct bytes rest = {data + 2, size - 2};
    switch (data[0] & 3u) {
    case 0: try_frames(data[1], rest); break;
    case 1: try_message(data[1], rest); break;
    case 2: try_round_trip(data[1], rest); break;
    case 3: try_offer(data[1], rest); break;
    default: abort();
    }
    return 0;
}
