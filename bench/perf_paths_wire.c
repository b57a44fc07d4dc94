/* Frames as they come from a client: unmasked and checked for UTF-8 on the way. */
#include "perf_paths.h"

#include "base/mem.h"
#include "wire/ws.h"

#define SMALL_FRAMES 1000u
#define SMALL_BYTES  64u
#define LARGE_FRAMES 8u
#define LARGE_BYTES  (64u * KIB)

struct wire_world {
    struct ws_decoder decoder;
    struct buf frames; /* as sent */
    uint8_t *input;    /* changed by the decoder */
    size_t frame_count;
    size_t payload_bytes;
};

/* Text of letters; `wide`: each eighth character is of two bytes. */
static void frame_add(struct wire_world *world, size_t size, bool wide)
{
    static const uint8_t mask[4] = {0x9A, 0x03, 0xC5, 0x71};
    uint8_t header[WS_HEADER_SIZE_MAX];
    const size_t header_size = ws_header_encode(header, WS_TEXT, size, mask);
    must(buf_append(&world->frames, bytes_of(header, header_size)));
    must(buf_reserve(&world->frames, size));
    uint8_t *text = world->frames.data + world->frames.size;
    for (size_t i = 0; i < size; i++) {
        text[i] = (uint8_t)('a' + i % 26);
        if (wide && i % 64 < 16) {
            text[i] = i % 2 == 0 ? 0xC3 : 0xA4;
        }
    }
    ws_mask(text, size, mask, 0);
    world->frames.size += size;
    world->frame_count++;
    world->payload_bytes += size;
}

static struct wire_world *frames_open(size_t count, size_t size, bool wide)
{
    struct wire_world *world = mem_calloc(1, sizeof(*world));
    expect(world != NULL, "memory");
    ws_decoder_init(&world->decoder, WS_SERVER);
    for (size_t i = 0; i < count; i++) {
        frame_add(world, size, wide);
    }
    world->input = mem_alloc(world->frames.size);
    expect(world->input != NULL, "memory");
    return world;
}

static void *small_open(void)
{
    return frames_open(SMALL_FRAMES, SMALL_BYTES, false);
}

static void *large_open(void)
{
    return frames_open(LARGE_FRAMES, LARGE_BYTES, true);
}

static void frames_prepare(void *ctx)
{
    struct wire_world *world = ctx;
    bytes_copy(world->input, world->frames.data, world->frames.size);
}

static void frames_run(void *ctx)
{
    struct wire_world *world = ctx;
    const struct ws_limits limits = {.message_bytes = MIB};
    uint8_t *at = world->input;
    size_t left = world->frames.size;
    size_t messages = 0;
    size_t bytes = 0;
    struct ws_event event;
    do {
        size_t used;
        ws_decoder_feed(&world->decoder, &limits, at, left, &used, &event);
        at += used;
        left -= used;
        if (event.type == WS_EVENT_MESSAGE) {
            messages++;
            bytes += event.payload.size;
        }
    } while (event.type != WS_EVENT_NONE);
    expect(left == 0 && messages == world->frame_count && bytes == world->payload_bytes,
           "each frame is a message");
}

static void frames_close(void *ctx)
{
    struct wire_world *world = ctx;
    ws_decoder_deinit(&world->decoder);
    buf_deinit(&world->frames);
    mem_free(world->input);
    mem_free(world);
}

const struct path wire_paths[2] = {
    {"ws_decode_64b", "frame", SMALL_FRAMES, small_open, frames_prepare, frames_run, frames_close},
    {"ws_decode_64k", "frame", LARGE_FRAMES, large_open, frames_prepare, frames_run, frames_close},
};
