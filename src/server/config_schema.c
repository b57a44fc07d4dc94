#include "server/config_schema.h"

#include "base/limits.h"

#include <stdio.h>

static const char *const durability_choices[] = {"fsync", "os", "memory"};
static const char *const io_choices[] = {"auto", "epoll", "uring"};
static const char *const level_choices[] = {"debug", "info", "warn", "error"};
static const char *const format_choices[] = {"auto", "text", "json"};
static const char *const deflate_choices[] = {"off", "context", "shared"};
static_assert(sizeof(durability_choices) / sizeof(char *) == DURABILITY_COUNT, "one text each");
static_assert(sizeof(io_choices) / sizeof(char *) == IO_COUNT, "one text each");
static_assert(sizeof(level_choices) / sizeof(char *) == LEVEL_COUNT, "one text each");
static_assert(sizeof(format_choices) / sizeof(char *) == LOG_FORMAT_COUNT, "one text each");
static_assert(sizeof(deflate_choices) / sizeof(char *) == DEFLATE_COUNT, "one text each");

#define SECOND 1000ull
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define GIB    (1024ull * MIB)
#define TIB    (1024ull * GIB)

#define AT(f) .field = offsetof(struct config, f)
#define NUMBER(p, f, i, lo, hi, z, d)                                                              \
    {                                                                                              \
        .path = p, .type = SETTING_NUMBER, .initial = i, .min = lo, .max = hi, .zero = z, AT(f),   \
        .doc = d                                                                                   \
    }
#define SIZE(p, f, i, lo, hi, z, d)                                                                \
    {                                                                                              \
        .path = p, .type = SETTING_SIZE, .initial = i, .min = lo, .max = hi, .zero = z, AT(f),     \
        .doc = d                                                                                   \
    }
#define DURATION(p, f, i, lo, hi, z, d)                                                            \
    {                                                                                              \
        .path = p, .type = SETTING_DURATION, .initial = i, .min = lo, .max = hi, .zero = z, AT(f), \
        .doc = d                                                                                   \
    }
#define ENUM(p, f, i, c, d)                                                                        \
    {                                                                                              \
        .path = p, .type = SETTING_ENUM, .initial = i, .choices = c,                               \
        .choice_count = sizeof(c) / sizeof(c[0]), AT(f), .doc = d                                  \
    }
#define OTHER(p, t, f, i, d)                                                                       \
    {                                                                                              \
        .path = p, .type = t, .initial = i, AT(f), .doc = d                                        \
    }

/* clang-format off */
const struct setting config_settings[] = {
    OTHER("data", SETTING_STRING, data, "./data",
          "The data directory; made if it is missing. One server at a time may use it."),
    OTHER("listen", SETTING_ADDRESS, listen, "127.0.0.1:8470",
          "Where clients connect. Port 0 lets the system choose; the log tells which."),
    NUMBER("threads", threads, "0", 1, 64, "as many as there are cores",
           "Reactor threads; connections and partitions are spread over them."),
    NUMBER("partitions", partitions, "4", 1, 256, NULL,
           "Partitions of the log. Taken when the data directory is made; fixed from then on."),
    NUMBER("node", node, "0", 0, 1023, NULL,
           "The number of this node; part of every message id."),
    ENUM("durability", durability, "fsync", durability_choices,
         "When a message counts as stored: `fsync` once it is on disk, `os` once the operating "
         "system has it, `memory` without keeping anything through a stop."),
    ENUM("io", io, "auto", io_choices,
         "How sockets are read and written: `epoll` with a system call for each, `uring` with one "
         "for many (io_uring); `auto` is `uring` where the system allows it."),
    SIZE("segment_bytes", segment_bytes, "16MiB", 4096, GIB, NULL,
         "The size of one file of a partition's log."),
    OTHER("repair", SETTING_BOOL, repair, "false",
          "Start on a damaged log: keep what is whole, and give a new epoch to the channels that "
          "lost something. Without it such a start is refused."),
    OTHER("allowed_origins", SETTING_LIST, allowed_origins, "",
          "Web origins that may connect beside the server's own host, such as "
          "`https://app.example`; `*` allows every one."),

    ENUM("log.level", log_level, "info", level_choices,
         "The least level of event that is logged."),
    ENUM("log.format", log_format, "auto", format_choices,
         "How events are written to standard error; `auto` is text on a terminal, else JSON "
         "lines."),

    DURATION("ping_interval", ping_interval_ms, "25s", 100, HOUR, NULL,
             "A connection that has been silent for so long gets a ping."),
    DURATION("pong_timeout", pong_timeout_ms, "60s", 200, DAY, NULL,
             "A connection from which nothing has come for so long is closed."),
    DURATION("connect_timeout", connect_timeout_ms, "10s", 100, HOUR, NULL,
             "The time a client has for its `connect` command."),
    DURATION("head_timeout", head_timeout_ms, "10s", 100, HOUR, NULL,
             "The time a client has to send the head of an HTTP request."),
    DURATION("message_timeout", message_timeout_ms, "30s", 100, HOUR, NULL,
             "The time a client has to finish a WebSocket message or request body it has begun."),
    DURATION("write_timeout", write_timeout_ms, "2m", 100, HOUR, NULL,
             "A connection that takes no byte of what waits for it for so long is closed."),
    DURATION("drain_timeout", drain_timeout_ms, "10s", 0, HOUR, NULL,
             "The longest time between SIGTERM and the end of the process."),
    DURATION("reconnect_spread", reconnect_spread_ms, "5s", 0, HOUR, NULL,
             "On a drain each client is told to come back after a random time up to this."),

    SIZE("limits.message_bytes", limit_message_bytes, "1MiB", 1, MESSAGE_BYTES_MAX, NULL,
         "The largest payload of one message."),
    SIZE("limits.frame_bytes", limit_frame_bytes, "4MiB", FRAME_BYTES_BEFORE_CONNECT,
         FRAME_BYTES_MAX, NULL,
         "The largest WebSocket message or request body; it must hold a message and its names."),
    NUMBER("limits.connections", limit_connections, "100000", 1, 10000000, NULL,
           "Connections at a time."),
    NUMBER("limits.connections_per_ip", limit_connections_per_ip, "0", 1, 10000000, "no limit",
           "Connections at a time from one IP address."),
    NUMBER("limits.subscriptions", limit_subscriptions, "1000", 1, 1000000, NULL,
           "Subscriptions of one connection."),
    NUMBER("limits.inflight", limit_inflight, "4096", 1, 1000000, NULL,
           "Publishes, subscribes and history reads of one connection that are not answered yet; "
           "more wait in its socket."),
    NUMBER("limits.channels", limit_channels, "1000000", 1, 1000000000, NULL,
           "Channels of the node; an idle one takes about 150 bytes of memory."),

    SIZE("limits.deflate_bytes", limit_deflate_bytes, "64MiB", 0, TIB, NULL,
         "Memory for the compression contexts of all connections; a connection for which none is "
         "left is served without compression."),

    DURATION("retention.age", retention_age_ms, "0", SECOND, 36500 * DAY, "keep for ever",
             "Messages older than this may be removed, a segment at a time."),
    SIZE("retention.bytes", retention_bytes, "0", 4096, 1024 * TIB, "no limit",
         "The size of the server's whole log above which the oldest segments are removed."),
    NUMBER("retention.messages", retention_messages, "0", 1, WIRE_INTEGER_MAX, "no limit",
           "The number of messages that a channel keeps."),
    DURATION("producer_expiry", producer_expiry_ms, "0", SECOND, 36500 * DAY,
             "as long as the channel has history",
             "How long a channel remembers a producer that is silent; afterwards its next number "
             "is answered with `producer_unknown`."),

    ENUM("deflate.mode", deflate_mode, "off", deflate_choices,
         "Compression of WebSocket messages (permessage-deflate) for clients that offer it: "
         "`context` for small messages over dear bandwidth, some 16 KiB of memory a connection; "
         "`shared` for large ones, compressed once for all subscribers."),
    SIZE("deflate.min_bytes", deflate_min_bytes, "0", 1, FRAME_BYTES_MAX,
         "64 with `context`, 1KiB with `shared`",
         "Messages smaller than this are sent as they are."),
    NUMBER("deflate.window_bits", deflate_window_bits, "0", 9, 15,
           "9 with `context`, 15 with `shared`",
           "How far back a message may refer, as a power of two; memory doubles with each."),
    NUMBER("deflate.memory_level", deflate_memory_level, "0", 1, 9,
           "1 with `context`, 8 with `shared`",
           "The memory of a compressor beside its window; it doubles with each."),

    SIZE("feed_bytes", feed_bytes, "1MiB", 4096, GIB, NULL,
         "The newest messages of a channel that are kept in memory for its subscribers; who is "
         "further behind reads from the disk."),
    NUMBER("backlog", backlog, "65535", 1, 65535, NULL,
           "Connections that the kernel holds until they are accepted; more than its own bound "
           "(net.core.somaxconn) is that bound."),
};
/* clang-format on */

const size_t config_setting_count = sizeof(config_settings) / sizeof(config_settings[0]);
static_assert(sizeof(config_settings) / sizeof(config_settings[0]) <= CONFIG_SETTINGS_MAX,
              "struct config has an origin for each");

const struct setting *config_setting_find(struct bytes path)
{
    for (size_t i = 0; i < config_setting_count; i++) {
        if (bytes_equal(path, bytes_of_text(config_settings[i].path))) {
            return &config_settings[i];
        }
    }
    return NULL;
}

size_t config_setting_index(const struct setting *setting)
{
    const size_t index = (size_t)(setting - config_settings);
    ASSERT(index < config_setting_count);
    return index;
}

bool config_setting_is_group(struct bytes name)
{
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct bytes path = bytes_of_text(config_settings[i].path);
        if (path.size > name.size && path.data[name.size] == '.' &&
            bytes_equal(bytes_of(path.data, name.size), name)) {
            return true;
        }
    }
    return false;
}

void config_setting_flag(const struct setting *setting, char name[static SETTING_NAME_SIZE])
{
    const int size = snprintf(name, SETTING_NAME_SIZE, "%s", setting->path);
    ASSERT(size > 0 && (size_t)size < SETTING_NAME_SIZE);
    for (char *at = name; *at != '\0'; at++) {
        if (*at == '.' || *at == '_') {
            *at = '-';
        }
    }
}

void config_setting_variable(const struct setting *setting, char name[static SETTING_NAME_SIZE])
{
    static const char prefix[] = "SERIATIM_";
    size_t size = sizeof(prefix) - 1;
    bytes_copy(name, prefix, size);
    for (const char *at = setting->path; *at != '\0'; at++) {
        ASSERT(size + 3 <= SETTING_NAME_SIZE);
        if (*at == '.') {
            name[size++] = '_';
            name[size++] = '_';
        } else {
            name[size++] = *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at;
        }
    }
    name[size] = '\0';
}

const char *config_setting_placeholder(const struct setting *setting)
{
    switch (setting->type) {
    case SETTING_STRING: return "PATH";
    case SETTING_ADDRESS: return "HOST:PORT";
    case SETTING_NUMBER: return "N";
    case SETTING_SIZE: return "SIZE";
    case SETTING_DURATION: return "DURATION";
    case SETTING_BOOL: return "true|false";
    case SETTING_ENUM: return "NAME";
    case SETTING_LIST: return "A,B,...";
    }
    UNREACHABLE();
}
