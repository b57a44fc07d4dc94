/* Command-line options by table, over getopt_long, with every complaint at once.
 *
 * What getopt_long allows and this does not: abbreviated names, since a new option would change
 * their meaning. Options and operands may be mixed; "--" ends the options.
 *
 * Thread: one at a time (getopt_long has global state).  Memory: none. */
#ifndef SERVER_CONFIG_ARGS_H
#define SERVER_CONFIG_ARGS_H

#include "base/bytes.h"
#include "base/rc.h"

enum args_value {
    ARGS_FLAG,     /* takes none */
    ARGS_REQUIRED, /* --name VALUE or --name=VALUE */
    ARGS_OPTIONAL, /* --name or --name=VALUE */
};

struct args_option {
    const char *name; /* without dashes */
    enum args_value value;
};

#define ARGS_OPTIONS_MAX 96u

struct args_use {
    const struct args_option *options;
    size_t option_count;
    /* Each option that is there, in order; `value` NULL: none was given. */
    enum rc (*on_option)(void *ctx, size_t index, const char *value);
    void *ctx;
};

/* Reads argv[1] …; argv is permuted so that the operands stand at the end, from *ret_operands on.
 * Complaints are appended to `errors`, a line each.
 * RC_USAGE  at least one complaint, here or from on_option
 * RC_NOMEM */
MUST_USE enum rc args_parse(int argc, char **argv, const struct args_use *use, struct buf *errors,
                            int *ret_operands);

#endif
