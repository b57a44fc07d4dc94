/* The bodies of all commands: what is decoded is encoded again to the same bytes. */
#include "core/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void publish_check(struct bytes body)
{
    static struct command_message messages[BATCH_MESSAGES_MAX];
    struct command_publish publish;
    if (command_publish_decode(body, &publish) != RC_OK) {
        return;
    }
    struct bytes rest = publish.messages;
    uint32_t count = 0;
    while (count < publish.count && command_message_next(&rest, &messages[count])) {
        count++;
    }
    ASSERT(count == publish.count && rest.size == 0);
    struct buf again = {0};
    const enum rc rc = command_publish_encode(&again, &publish, messages);
    ASSERT(rc == RC_OK);
    command_publish_stamp(again.data, publish.time_ms, publish.tick);
    ASSERT(bytes_equal(buf_bytes(&again), body));
    buf_deinit(&again);
}

static void trim_check(struct bytes body)
{
    struct command_trim trim;
    struct command_trim_entry entry;
    if (command_trim_decode(body, &trim) != RC_OK) {
        return;
    }
    uint32_t count = 0;
    while (command_trim_next(&trim.entries, &entry)) {
        count++;
    }
    ASSERT(count == trim.count);
}

static void doubt_check(struct bytes body)
{
    struct command_doubt doubt;
    struct command_doubt_entry entry;
    if (command_doubt_decode(body, &doubt) != RC_OK) {
        return;
    }
    uint32_t count = 0;
    while (command_doubt_next(&doubt.entries, &entry)) {
        count++;
    }
    ASSERT(count == doubt.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct bytes body = bytes_of(data, size);
    struct command_settings settings;
    publish_check(body);
    trim_check(body);
    doubt_check(body);
    ASSERT((command_settings_decode(body, &settings) == RC_OK) == (size == 16));
    return 0;
}
