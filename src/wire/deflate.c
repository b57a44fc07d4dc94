/* permessage-deflate's streams, [DEFLATE 7.2].
 *
 * Windows: zlib makes no raw stream with a window of 2^8 bytes. It is asked for 2^9 then, where the
 * furthest match reaches 2^9 - 262 = 250 bytes back (zlib's MAX_DIST), which a peer with 2^8 can
 * follow; the unit test holds it to that. In the other direction we take 2^9 as well, for peers
 * that are made the same way and look back a little further.
 *
 * Blocks with BFINAL: after one the stream is over, and the next block begins another, still with
 * the window of what was before ([DEFLATE 7.2.3.4], [DEFLATE 7.2.3.5]). A message that ends with
 * the block itself, without the empty one behind it, is understood as well.
 *
 * Bombs: a thousand to one is what DEFLATE can do. Output is made a step at a time, and nothing is
 * made beyond the limit. A stream of blocks that come to nothing costs time, but no more a byte
 * than any other, and its bytes are bounded by who gathers them (deflate_size_max()). */
#include "wire/deflate.h"

#include "base/limits.h"
#include "base/mem.h"

#define ZLIB_CONST
#include <zlib.h>

#define STEP_BYTES   (16u * KIB)
#define ROOM_LEAST   64u /* zlib wants more than six bytes, or it repeats the end of a flush */
#define WINDOW_LEAST 9u

/* [DEFLATE 7.2.1] what is taken off, [DEFLATE 7.2.2] and put back */
static const uint8_t flush_end[4] = {0x00, 0x00, 0xFF, 0xFF};

struct deflater {
    z_stream stream;
    size_t memory;
    struct deflater_options options;
    bool open;
    bool lost; /* memory ran out within a message: the peer's context is another now */
};

struct inflater {
    z_stream stream;
    size_t memory;
    uint8_t window_bits;
    bool takeover;
    bool open;
};

/* `opaque` is where bytes are counted; zlib gives back all of them or, when it cannot begin, none
 * that the count is looked at for. */
static voidpf zlib_alloc(voidpf opaque, uInt items, uInt size)
{
    ASSERT_HOT(opaque != NULL);
    ASSERT_HOT(items > 0 && size > 0);
    size_t *memory = opaque;
    void *block = mem_calloc(items, size);
    if (block != NULL) {
        *memory += (size_t)items * size;
    }
    return block;
}

static void zlib_free(voidpf opaque, voidpf block)
{
    ASSERT_HOT(opaque != NULL);
    ASSERT_HOT(block != NULL);
    mem_free(block);
}

static uint8_t zlib_bits(uint8_t window_bits)
{
    ASSERT(window_bits >= DEFLATE_BITS_MIN);
    ASSERT(window_bits <= DEFLATE_BITS_MAX);
    return window_bits < WINDOW_LEAST ? WINDOW_LEAST : window_bits;
}

/* ---- out ------------------------------------------------------------------------------------- */

enum rc deflater_new(const struct deflater_options *options, struct deflater **ret_deflater)
{
    ASSERT(options->window_bits >= DEFLATE_BITS_MIN && options->window_bits <= DEFLATE_BITS_MAX);
    ASSERT(options->memory_level >= DEFLATE_LEVEL_MIN);
    ASSERT(options->memory_level <= DEFLATE_LEVEL_MAX);
    struct deflater *deflater = mem_calloc(1, sizeof(*deflater));
    if (deflater == NULL) {
        return RC_NOMEM;
    }
    deflater->options = *options;
    *ret_deflater = deflater;
    return RC_OK;
}

static void deflater_close(struct deflater *deflater)
{
    ASSERT(deflater->open || deflater->memory == 0);
    if (deflater->open) {
        /* Z_DATA_ERROR: input or output was left; so it is where memory ran out. */
        const int status = deflateEnd(&deflater->stream);
        ASSERT(status == Z_OK || status == Z_DATA_ERROR);
        deflater->open = false;
        deflater->memory = 0;
    }
}

void deflater_free(struct deflater *deflater)
{
    if (deflater != NULL) {
        deflater_close(deflater);
        ASSERT(deflater->memory == 0);
        ASSERT(!deflater->open);
        mem_free(deflater);
    }
}

const struct deflater_options *deflater_options(const struct deflater *deflater)
{
    ASSERT_HOT(deflater != NULL);
    ASSERT_HOT(deflater->options.window_bits >= DEFLATE_BITS_MIN);
    return &deflater->options;
}

size_t deflater_memory(const struct deflater *deflater)
{
    ASSERT(deflater != NULL);
    ASSERT(deflater->open == (deflater->memory > 0));
    return deflater->memory;
}

void deflater_rest(struct deflater *deflater)
{
    ASSERT(deflater != NULL);
    ASSERT(deflater->open || deflater->memory == 0);
    if (!deflater->options.takeover) {
        deflater_close(deflater);
    }
}

/* zlib's state, as it must be at the start of a message. */
static enum rc deflater_open(struct deflater *deflater)
{
    ASSERT(!deflater->lost);
    ASSERT(deflater->open || deflater->memory == 0);
    if (deflater->open) {
        if (!deflater->options.takeover) {
            const int status = deflateReset(&deflater->stream);
            ASSERT(status == Z_OK);
        }
        return RC_OK;
    }
    deflater->stream =
        (z_stream){.zalloc = zlib_alloc, .zfree = zlib_free, .opaque = &deflater->memory};
    const int status = deflateInit2(&deflater->stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED,
                                    -(int)zlib_bits(deflater->options.window_bits),
                                    (int)deflater->options.memory_level, Z_DEFAULT_STRATEGY);
    if (status != Z_OK) {
        ASSERT(status == Z_MEM_ERROR);
        deflater->memory = 0;
        return RC_NOMEM;
    }
    deflater->open = true;
    return RC_OK;
}

static enum rc deflater_run(struct deflater *deflater, struct bytes payload, struct buf *to)
{
    ASSERT(payload.size > 0);
    ASSERT(payload.size <= UINT32_MAX / 2);
    z_stream *stream = &deflater->stream;
    stream->next_in = payload.data;
    stream->avail_in = (uInt)payload.size;
    do {
        const size_t guess = stream->avail_in / 4 + ROOM_LEAST;
        if (buf_reserve(to, guess < STEP_BYTES ? guess : STEP_BYTES) != RC_OK) {
            return RC_NOMEM;
        }
        const size_t room = to->capacity - to->size;
        const uInt given = room < STEP_BYTES ? (uInt)room : STEP_BYTES;
        stream->next_out = to->data + to->size;
        stream->avail_out = given;
        const int status = deflate(stream, Z_SYNC_FLUSH);
        /* Z_BUF_ERROR: the last byte of the flush had just fitted. */
        ASSERT(status == Z_OK || status == Z_BUF_ERROR);
        to->size += given - stream->avail_out;
    } while (stream->avail_out == 0);
    ASSERT(stream->avail_in == 0);
    return RC_OK;
}

enum rc deflater_append(struct deflater *deflater, struct bytes payload, struct buf *to)
{
    ASSERT(to->size <= to->capacity);
    const size_t before = to->size;
    enum rc rc = deflater_open(deflater);
    if (rc == RC_OK && payload.size == 0) {
        /* [DEFLATE 7.2.3.6] zlib flushes nothing twice; this is what an empty block begins with */
        return buf_append(to, BYTES_LITERAL("\0"));
    }
    if (rc == RC_OK) {
        rc = deflater_run(deflater, payload, to);
    }
    if (rc != RC_OK) {
        deflater->lost = deflater->options.takeover;
        to->size = before;
        return rc;
    }
    ASSERT(to->size - before > sizeof(flush_end));
    to->size -= sizeof(flush_end);
    ASSERT(memcmp(to->data + to->size, flush_end, sizeof(flush_end)) == 0);
    return RC_OK;
}

enum rc deflater_measure(uint8_t window_bits, uint8_t memory_level, size_t *ret_bytes)
{
    ASSERT(ret_bytes != NULL);
    struct deflater *deflater = NULL;
    enum rc rc =
        deflater_new(&(struct deflater_options){window_bits, memory_level, true, 1}, &deflater);
    if (rc == RC_OK) {
        rc = deflater_open(deflater); /* all of it is taken at once */
    }
    if (rc == RC_OK) {
        ASSERT(deflater->memory > (size_t)1 << window_bits);
        *ret_bytes = sizeof(*deflater) + deflater->memory;
    }
    deflater_free(deflater);
    return rc;
}

/* ---- in -------------------------------------------------------------------------------------- */

enum rc inflater_new(uint8_t window_bits, bool takeover, struct inflater **ret_inflater)
{
    ASSERT(window_bits >= DEFLATE_BITS_MIN);
    ASSERT(window_bits <= DEFLATE_BITS_MAX);
    struct inflater *inflater = mem_calloc(1, sizeof(*inflater));
    if (inflater == NULL) {
        return RC_NOMEM;
    }
    inflater->window_bits = window_bits;
    inflater->takeover = takeover;
    *ret_inflater = inflater;
    return RC_OK;
}

void inflater_free(struct inflater *inflater)
{
    if (inflater == NULL) {
        return;
    }
    ASSERT(inflater->open || inflater->memory == 0);
    if (inflater->open) {
        const int status = inflateEnd(&inflater->stream);
        ASSERT(status == Z_OK);
    }
    mem_free(inflater);
}

size_t inflater_memory(const struct inflater *inflater)
{
    ASSERT(inflater != NULL);
    ASSERT(inflater->open == (inflater->memory > 0));
    return inflater->memory;
}

static enum rc inflater_open(struct inflater *inflater)
{
    ASSERT(inflater->open || inflater->memory == 0);
    ASSERT(inflater->window_bits >= DEFLATE_BITS_MIN);
    if (inflater->open) {
        if (!inflater->takeover) {
            const int status = inflateReset(&inflater->stream);
            ASSERT(status == Z_OK);
        }
        return RC_OK;
    }
    inflater->stream =
        (z_stream){.zalloc = zlib_alloc, .zfree = zlib_free, .opaque = &inflater->memory};
    const int status = inflateInit2(&inflater->stream, -(int)zlib_bits(inflater->window_bits));
    if (status != Z_OK) {
        ASSERT(status == Z_MEM_ERROR);
        inflater->memory = 0;
        return RC_NOMEM;
    }
    inflater->open = true;
    return RC_OK;
}

/* One step of output. *ret_ended: the stream ended with the last byte taken. */
static enum rc inflater_step(z_stream *stream, size_t limit, struct buf *to, bool *ret_ended)
{
    ASSERT(to->size <= limit);
    ASSERT(ret_ended != NULL);
    const size_t left = limit - to->size + 1; /* one more shows that there is too much */
    /* Small messages are the rule; what grows takes larger steps. */
    const size_t wanted = to->size < KIB ? KIB : to->size < STEP_BYTES ? to->size : STEP_BYTES;
    if (buf_reserve(to, wanted < left ? wanted : left) != RC_OK) {
        return RC_NOMEM;
    }
    const size_t room = to->capacity - to->size;
    const uInt given = (uInt)(room < left ? room : left);
    stream->next_out = to->data + to->size;
    stream->avail_out = given;
    const uInt before = stream->avail_in;
    const int status = inflate(stream, Z_SYNC_FLUSH);
    to->size += given - stream->avail_out;
    if (to->size > limit) {
        return RC_TOO_LARGE;
    }
    *ret_ended = status == Z_STREAM_END;
    if (status == Z_STREAM_END) {
        const int reset = inflateResetKeep(stream); /* all but the window */
        ASSERT(reset == Z_OK);
        return RC_OK;
    }
    if (status == Z_MEM_ERROR) {
        return RC_NOMEM;
    }
    if (NEVER(status == Z_BUF_ERROR && before > 0)) {
        return RC_BAD; /* bytes, room and no progress: not to be spun on */
    }
    return status == Z_OK || status == Z_BUF_ERROR ? RC_OK : RC_BAD;
}

static enum rc inflater_run(struct inflater *inflater, struct bytes piece, size_t limit,
                            struct buf *to, bool *ret_ended)
{
    ASSERT(piece.size <= UINT32_MAX);
    ASSERT(inflater->open);
    z_stream *stream = &inflater->stream;
    stream->next_in = piece.data;
    stream->avail_in = (uInt)piece.size;
    enum rc rc;
    do {
        rc = inflater_step(stream, limit, to, ret_ended);
    } while (rc == RC_OK && (stream->avail_in > 0 || (stream->avail_out == 0 && !*ret_ended)));
    return rc;
}

enum rc inflater_append(struct inflater *inflater, struct bytes payload, size_t limit,
                        struct buf *to)
{
    ASSERT(to->size == 0);
    ASSERT(limit < UINT32_MAX);
    bool ended = false;
    enum rc rc = inflater_open(inflater);
    if (rc == RC_OK) {
        rc = inflater_run(inflater, payload, limit, to, &ended);
    }
    ASSERT(!ended || payload.size > 0);
    if (rc != RC_OK || ended) {
        return rc;
    }
    rc = inflater_run(inflater, bytes_of(flush_end, sizeof(flush_end)), limit, to, &ended);
    /* zlib: 128 is set between two blocks */
    return rc == RC_OK && (inflater->stream.data_type & 128) == 0 ? RC_BAD : rc;
}

enum rc inflater_measure(uint8_t window_bits, size_t *ret_bytes)
{
    ASSERT(ret_bytes != NULL);
    struct inflater *inflater = NULL;
    enum rc rc = inflater_new(window_bits, true, &inflater);
    if (rc == RC_OK) {
        rc = inflater_open(inflater);
    }
    if (rc == RC_OK) {
        ASSERT(inflater->memory > 0);
        /* the window comes with the first output */
        *ret_bytes = sizeof(*inflater) + inflater->memory + ((size_t)1 << zlib_bits(window_bits));
    }
    inflater_free(inflater);
    return rc;
}
