/* The settings of a server: where they come from, and their values, typed and checked.
 *
 * Flags win over SERIATIM_* variables, these over the YAML file, that over the defaults. What is
 * not a setting, or not a value for it, is refused: all complaints at once, each with its source
 * (file, line, column and caret; variable; flag) and a guess at what was meant. The one table of
 * settings is config_schema.c; `struct config` has one field for each row of it.
 *
 * Thread: loaded before any thread starts, then read only by all.  Memory: config_deinit(). */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include "base/bytes.h"
#include "base/rc.h"
#include "server/logger.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum config_io {
    IO_AUTO,
    IO_EPOLL,
    IO_URING,
    IO_COUNT,
};

enum config_durability {
    DURABILITY_FSYNC,  /* acknowledged and visible once it is on disk */
    DURABILITY_OS,     /* once the operating system has it: survives kill -9, not a power loss */
    DURABILITY_MEMORY, /* nothing is kept through a stop of the server */
    DURABILITY_COUNT,
};

enum config_deflate {
    DEFLATE_OFF,
    DEFLATE_CONTEXT, /* each connection has a context of its own */
    DEFLATE_SHARED,  /* without one: compressed once for everybody */
    DEFLATE_COUNT,
};

#define CONFIG_HOST_SIZE 256u

/* HOST:PORT or [IPv6]:PORT; the host is kept without brackets, port 0 lets the system choose. */
struct config_address {
    char host[CONFIG_HOST_SIZE];
    uint16_t port;
};

struct config_list {
    char **items;
    size_t count;
};

enum config_source {
    CONFIG_FROM_DEFAULT,
    CONFIG_FROM_FILE,
    CONFIG_FROM_ENVIRONMENT,
    CONFIG_FROM_FLAG,
};

/* Where a setting's value was found. */
struct config_origin {
    enum config_source source;
    unsigned line; /* CONFIG_FROM_FILE, from 1 */
    unsigned column;
};

/* At least the number of rows in config_schema.c (asserted). */
#define CONFIG_SETTINGS_MAX 64u

struct config {
    char *data; /* the data directory */
    struct config_address listen;
    uint64_t threads;    /* 0: as many as there are cores */
    uint64_t partitions; /* taken when the data directory is made */
    uint64_t node;
    enum config_durability durability;
    enum config_io io;
    uint64_t segment_bytes;
    bool repair;
    struct config_list allowed_origins;

    enum log_level log_level;
    enum log_format log_format;

    uint64_t ping_interval_ms;
    uint64_t pong_timeout_ms;
    uint64_t connect_timeout_ms;
    uint64_t head_timeout_ms;
    uint64_t message_timeout_ms;
    uint64_t write_timeout_ms;
    uint64_t drain_timeout_ms;
    uint64_t reconnect_spread_ms;

    uint64_t limit_message_bytes;
    uint64_t limit_frame_bytes;
    uint64_t limit_connections;
    uint64_t limit_connections_per_ip; /* 0: off */
    uint64_t limit_subscriptions;      /* of one connection */
    uint64_t limit_inflight;           /* publishes of one connection not yet answered */
    uint64_t limit_channels;           /* of the node */

    uint64_t retention_age_ms;   /* 0: off */
    uint64_t retention_bytes;    /* 0: off; of the whole server's log */
    uint64_t retention_messages; /* 0: off; of one channel */
    uint64_t producer_expiry_ms; /* 0: as long as the channel has history */

    enum config_deflate deflate_mode;
    uint64_t deflate_min_bytes; /* 0: by the mode, as the next two */
    uint64_t deflate_window_bits;
    uint64_t deflate_memory_level;
    uint64_t limit_deflate_bytes; /* of the contexts of all connections */

    uint64_t feed_bytes; /* the shared tail of one channel */
    uint64_t backlog;    /* of listen(2) */

    char *file;                                        /* the configuration file, or NULL */
    struct config_origin origins[CONFIG_SETTINGS_MAX]; /* by row of the table */
};

/* The defaults alone. RC_NOMEM: nothing is to be freed. */
MUST_USE enum rc config_defaults(struct config *ret_config);
/* Frees; all zero is valid. */
void config_deinit(struct config *config);

/* Loads everything. `argv[0]` is skipped; `environment` is NULL-terminated, as environ is.
 * `errors` gets every complaint as text for the operator, one or more lines each.
 * RC_USAGE  something was refused; `errors` is not empty
 * RC_NOMEM */
MUST_USE enum rc config_load(int argc, char **argv, char *const *environment,
                             struct config *ret_config, struct buf *errors);

/* "HOST:PORT", with brackets around an IPv6 address. */
#define CONFIG_ADDRESS_TEXT_SIZE (CONFIG_HOST_SIZE + 8u)
void config_address_text(const struct config_address *address,
                         char text[static CONFIG_ADDRESS_TEXT_SIZE]);
const char *config_durability_text(enum config_durability durability);

/* ---- for people (config_print.c) ------------------------------------------------------------ */

/* A commented YAML file with the defaults. RC_NOMEM */
MUST_USE enum rc config_print_default(struct buf *to);
/* docs/CONFIG.md. RC_NOMEM */
MUST_USE enum rc config_print_docs(struct buf *to);
/* The values in force, as YAML; `sources`: with a comment each that says where it came from. */
MUST_USE enum rc config_print_effective(struct buf *to, const struct config *config, bool sources);
/* The flags of `serve`, for its help. */
MUST_USE enum rc config_print_flags(struct buf *to);

#endif
