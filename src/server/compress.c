#include "server/compress.h"

#include "base/mark.h"
#include "base/mem.h"

/* With a context: a window and tables as small as zlib makes them, and messages from where the
 * frame costs less than it saves. Without: large ones, since they are few; below a kilobyte there
 * is little to gain. */
#define CONTEXT_BITS  9u
#define CONTEXT_LEVEL 1u
#define CONTEXT_BYTES 64u
#define SHARED_BITS   15u
#define SHARED_LEVEL  8u
#define SHARED_BYTES  1024u

static void options_set(struct compress *compress, const struct config *config)
{
    const bool context = config->deflate_mode == DEFLATE_CONTEXT;
    const uint64_t bits = config->deflate_window_bits;
    const uint64_t level = config->deflate_memory_level;
    const uint64_t bytes = config->deflate_min_bytes;
    compress->options = (struct deflater_options){
        .window_bits = bits != 0 ? (uint8_t)bits
                       : context ? CONTEXT_BITS
                                 : SHARED_BITS,
        .memory_level = level != 0 ? (uint8_t)level
                        : context  ? CONTEXT_LEVEL
                                   : SHARED_LEVEL,
        .min_bytes = bytes != 0 ? bytes
                     : context  ? CONTEXT_BYTES
                                : SHARED_BYTES,
    };
    compress->wish = (struct ws_deflate_wish){
        .window_bits = compress->options.window_bits,
        .no_context = !context,
        .fixed = !context,
    };
}

static enum rc streams_open(struct compress *compress)
{
    const struct deflater_options *options = &compress->options;
    enum rc rc = deflater_new(options, &compress->deflater);
    if (rc == RC_OK) {
        rc = deflater_new(options, &compress->read_deflater);
    }
    if (rc == RC_OK) {
        rc = inflater_new(DEFLATE_BITS_MAX, false, &compress->inflater);
    }
    if (rc == RC_OK) {
        rc = deflater_measure(options->window_bits, options->memory_level, &compress->out_bytes);
    }
    return rc == RC_OK ? inflater_measure(options->window_bits, &compress->in_bytes) : rc;
}

enum rc compress_init(struct compress *compress, const struct config *config, unsigned reactors)
{
    ASSERT(reactors > 0);
    *compress = (struct compress){.mode = config->deflate_mode};
    if (compress->mode == DEFLATE_OFF) {
        return RC_OK;
    }
    compress->max = config->limit_deflate_bytes / reactors;
    options_set(compress, config);
    const enum rc rc = streams_open(compress);
    if (rc != RC_OK) {
        compress_deinit(compress);
    }
    return rc;
}

void compress_deinit(struct compress *compress)
{
    ASSERT(compress->used == 0);
    deflater_free(compress->deflater);
    deflater_free(compress->read_deflater);
    inflater_free(compress->inflater);
    *compress = (struct compress){.mode = DEFLATE_OFF};
}

const struct ws_deflate_wish *compress_wish(const struct compress *compress)
{
    if (compress->mode == DEFLATE_OFF) {
        return NULL;
    }
    const size_t most =
        compress->mode == DEFLATE_SHARED ? 0 : compress->out_bytes + compress->in_bytes;
    if (most > compress->max - compress->used) {
        MARK("deflate: declined, no memory is left for it");
        return NULL;
    }
    return &compress->wish;
}

/* What keeps no context and has the usual window is everybody's; in `context` mode a client may ask
 * for less. */
static enum rc out_open(struct compress *compress, const struct ws_deflate *agreed,
                        struct compress_conn *conn)
{
    struct deflater_options options = compress->options;
    if (agreed->server_no_context && agreed->server_bits == options.window_bits) {
        MARK("deflate: nothing is kept of what is sent");
        conn->deflater = compress->deflater;
        return RC_OK;
    }
    options.takeover = !agreed->server_no_context;
    options.window_bits = agreed->server_bits;
    const enum rc rc = deflater_new(&options, &conn->deflater);
    conn->own_deflater = rc == RC_OK;
    conn->taken += rc == RC_OK ? compress->out_bytes : 0;
    return rc;
}

static enum rc in_open(struct compress *compress, const struct ws_deflate *agreed,
                       struct compress_conn *conn)
{
    if (agreed->client_no_context) {
        MARK("deflate: nothing is kept of what is received");
        conn->inflater = compress->inflater;
        return RC_OK;
    }
    ASSERT(agreed->client_bits <= compress->wish.window_bits);
    const enum rc rc = inflater_new(agreed->client_bits, true, &conn->inflater);
    conn->own_inflater = rc == RC_OK;
    conn->taken += rc == RC_OK ? compress->in_bytes : 0;
    return rc;
}

enum rc compress_open(struct compress *compress, const struct ws_deflate *agreed,
                      struct compress_conn **ret_conn)
{
    ASSERT(agreed->agreed && compress->mode != DEFLATE_OFF);
    struct compress_conn *conn = mem_calloc(1, sizeof(*conn));
    if (conn == NULL) {
        return RC_NOMEM;
    }
    conn->shared = compress->mode == DEFLATE_SHARED;
    enum rc rc = out_open(compress, agreed, conn);
    if (rc == RC_OK) {
        rc = in_open(compress, agreed, conn);
    }
    compress->used += conn->taken;
    ASSERT(compress->used <= compress->max);
    if (rc != RC_OK) {
        compress_close(compress, conn);
        return rc;
    }
    *ret_conn = conn;
    return RC_OK;
}

void compress_close(struct compress *compress, struct compress_conn *conn)
{
    if (conn == NULL) {
        return;
    }
    ASSERT(compress->used >= conn->taken);
    compress->used -= conn->taken;
    if (conn->own_deflater) {
        deflater_free(conn->deflater);
    }
    if (conn->own_inflater) {
        inflater_free(conn->inflater);
    }
    mem_free(conn);
}
