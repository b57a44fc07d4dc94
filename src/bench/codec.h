/* The codecs of our own protocol, as the load generator needs them: commands out, replies and
 * pushes in.
 *
 * They are those of the client library (client/speak.h, client/reply.h). A publish is made once as
 * a template and then patched, so it is said where its id, its channel's digits and its payloads
 * stand.
 *
 * Thread: any.  Memory: events borrow from the message. */
#ifndef BENCH_CODEC_H
#define BENCH_CODEC_H

#include "bench/adapter.h"
#include "wire/codec.h"

struct bench_codec {
    const char *name;
    const char *protocol; /* of WebSocket */
    enum wire_codec wire; /* in binary a WebSocket message may hold many commands */
    /* Writes the id into a copy of a template. */
    void (*patch_id)(uint8_t *at, uint64_t id);
    /* Takes one event off the front of what is left of a WebSocket message. READY is `connected`,
     * the object in `text`. */
    void (*parse)(struct bytes *rest, struct bench_event *ret_event);
};

extern const struct bench_codec bench_codec_json;
extern const struct bench_codec bench_codec_binary;

/* NULL: there is none of that name. */
const struct bench_codec *bench_codec_find(const char *name);

/* Append a command without any frame; `cumulative`: one answer may do for a run of publishes, in
 * binary. RC_NOMEM */
MUST_USE enum rc bench_codec_connect(const struct bench_codec *codec, struct buf *to,
                                     bool cumulative);
MUST_USE enum rc bench_codec_subscribe(const struct bench_codec *codec, struct buf *to,
                                       const char *channel, uint64_t from);
/* Appends the publish behind made->head_size bytes, and says where everything stands. RC_NOMEM */
MUST_USE enum rc bench_codec_publish(const struct bench_codec *codec, struct bench_template *made,
                                     const char *prefix, struct bytes payload, size_t count,
                                     bool ack);

#endif
