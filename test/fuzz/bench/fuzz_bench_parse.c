/* A hostile server against the load generator's own reading of frames: nothing that is sent may
 * break it, an event lies inside what was sent, and where a frame is cut does not matter. */
#include "bench/codec.h"
#include "bench/stamp.h"
#include "bench/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct bytes inner, struct bytes outer)
{
    ASSERT(inner.size <= outer.size);
    ASSERT(inner.size == 0 ||
           (inner.data >= outer.data && inner.data + inner.size <= outer.data + outer.size));
}

/* Whatever is in a message, each step takes something off it or ends. */
static void take_with(const struct bench_codec *codec, struct bytes message)
{
    struct bytes rest = message;
    do {
        struct bench_event event;
        struct stamp stamp;
        const size_t before = rest.size;
        codec->parse(&rest, &event);
        ASSERT(event.type != BENCH_EVENT_NONE);
        ASSERT(rest.size < before || before == 0);
        check_inside(rest, message);
        check_inside(event.payload, message);
        if (event.type != BENCH_EVENT_FAILED) { /* else it may be a sentence of ours */
            check_inside(event.text, message);
        }
        ASSERT(event.type != BENCH_EVENT_FAILED || event.text.data != NULL ||
               codec->wire == WIRE_JSON);
        (void)stamp_get(event.payload, &stamp);
    } while (rest.size > 0);
}

static void take(struct bytes payload)
{
    take_with(&bench_codec_json, payload);
    take_with(&bench_codec_binary, payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes rest = bytes_of(data, size);
    struct websocket_frame frame;
    size_t head = 0;
    const enum rc upgraded = websocket_response(rest, &head);
    ASSERT(upgraded != RC_OK || head <= size);
    if (upgraded == RC_OK) {
        rest = bytes_of(data + head, size - head);
    }
    while (websocket_frame(rest, &frame) == RC_OK) {
        struct websocket_frame cut;
        check_inside(frame.payload, rest);
        ASSERT(frame.size >= 2 && frame.size <= rest.size);
        ASSERT(websocket_frame(bytes_of(rest.data, frame.size - 1), &cut) == RC_AGAIN);
        take(frame.payload);
        rest = bytes_of(rest.data + frame.size, rest.size - frame.size);
    }
    take(rest);
    return 0;
}
