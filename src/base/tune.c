#include "base/tune.h"

#include "base/limits.h"

#define DEFAULTS                                                                                   \
    {                                                                                              \
        .credit_bytes = 8u * MIB, /* bounds parcels, batches and replies */                        \
            .parcel_bytes = 256u * KIB, .feeds_bytes = 64u * MIB,                                  \
        .tail_bytes = 32u * MIB, /* more than the feeds keep by default */                         \
            .history_bytes = HISTORY_BYTES_MAX,                                                    \
        .catch_up_bytes = 64u * KIB, /* fills a socket's buffer in a few */                        \
            .flow_bytes = 256u * KIB, .flow_chunks = 4u, .out_bytes = 256u * KIB,                  \
        .pong_bytes = 4096u, .read_bytes = 256u * KIB, .part_bytes = 16u * KIB,                    \
        .flush_bytes = 512u * KIB, .deflate_bytes = 256u * KIB, .flush_rounds = 16u,               \
        .accepts = 64u, .newcomers = 32u, .waiting_room = 16384u, .mails = 4096u,                  \
        .host_reads = 32u, .slice_bytes = 64u * KIB, .slice_rows = 1024u, .checkpoints = 8u,       \
        .checkpoint_bytes = 16u * MIB, .session_reads = 4u, .read_count = 4096u,                   \
        .subs_listed = 8u, .conflate_count = 10000u, .conflate_bytes = 16u * MIB,                  \
        .conflate_key_bytes = MIB, .read_places = 512u, .producer_runs = 1024u,                    \
        .channel_epochs = 64u, .intake_bytes = MIB, .staged_count = 16384u,                        \
        .staged_bytes = 4u * MIB, .rewrite_bytes = 4u * MIB, .pending_bytes = 512u * KIB,          \
    }

struct tune tune = DEFAULTS;
const struct tune tune_default = DEFAULTS;
