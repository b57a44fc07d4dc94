#include "core/digest.h"

#include "base/digest.h"
#include "core/snowflake.h"

uint64_t publish_digest(uint64_t before, const struct command_publish *publish, uint64_t first_seq,
                        uint64_t last_seq, unsigned node)
{
    ASSERT_HOT(first_seq >= 1);
    ASSERT_HOT(node <= SNOWFLAKE_NODE_MAX);
    ASSERT_HOT(last_seq >= first_seq && last_seq - first_seq < publish->count);
    uint64_t digest = before;
    struct bytes rest = publish->messages;
    struct command_message message;
    struct digest_id id = {0};
    const uint64_t count = last_seq - first_seq + 1;
    for (uint64_t nth = 0; nth < count; nth++) {
        const bool taken = command_message_next(&rest, &message);
        ASSERT_HOT(taken); /* `count` is what was decoded */
        const struct digest_message seen = {
            .seq = first_seq + nth,
            .time_ms = publish->time_ms,
            .message_id = digest_id_text(&id, snowflake_id(publish->tick + nth, node)),
            .producer = publish->producer,
            .producer_seq = publish->producer_seq == 0 ? 0 : publish->producer_seq + nth,
            .key = message.key,
            .has_key = message.has_key,
            .is_bytes = message.is_bytes,
            .data = message.data,
        };
        digest = digest_roll(digest, &seen);
    }
    return digest;
}
