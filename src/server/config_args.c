#include "server/config_args.h"

#include "server/config_suggest.h"
#include "server/config_text.h"

#include <getopt.h>

#define NAME_SHOWN_MAX 60u

static int getopt_kind(enum args_value value)
{
    switch (value) {
    case ARGS_FLAG: return no_argument;
    case ARGS_REQUIRED: return required_argument;
    case ARGS_OPTIONAL: return optional_argument;
    }
    UNREACHABLE();
}

/* "--name" of "--name=value". */
static struct bytes name_of(const char *argument)
{
    const struct bytes text = bytes_of_text(argument);
    size_t size = 0;
    while (size < text.size && text.data[size] != '=') {
        size++;
    }
    return bytes_of(text.data, size);
}

static void complain_unknown(const struct args_use *use, const char *argument,
                             struct config_text *to)
{
    const struct bytes name = name_of(argument);
    config_text_addf(to, "error: unknown option '");
    config_text_add_foreign(to, name, NAME_SHOWN_MAX);
    config_text_addf(to, "'");

    size_t dashes = 0;
    while (dashes < name.size && name.data[dashes] == '-') {
        dashes++;
    }
    struct config_suggest suggest =
        config_suggest_begin(bytes_of(name.data + dashes, name.size - dashes));
    for (size_t i = 0; i < use->option_count; i++) {
        config_suggest_offer(&suggest, use->options[i].name);
    }
    if (suggest.best != NULL) {
        config_text_addf(to, ", did you mean '--%s'?", suggest.best);
    }
    config_text_addf(to, "\n");
}

/* The argument that getopt_long has just taken an option from. */
static const char *argument_taken(char **argv)
{
    const bool separate = optarg != NULL && optarg == argv[optind - 1];
    return argv[optind - (separate ? 2 : 1)];
}

/* One option of getopt_long's findings: `got` is its index, or '?' or ':'. */
static enum rc take_one(char **argv, const struct args_use *use, int got, int index,
                        struct config_text *to)
{
    if (got == ':') {
        config_text_addf(to, "error: %s needs a value\n", argv[optind - 1]);
        return RC_USAGE;
    }
    if (got == '?') {
        for (size_t i = 0; i < use->option_count; i++) {
            const struct bytes name = name_of(argv[optind - 1]);
            if (use->options[i].value == ARGS_FLAG && name.size > 2 &&
                bytes_equal(bytes_of(name.data + 2, name.size - 2),
                            bytes_of_text(use->options[i].name))) {
                config_text_addf(to, "error: --%s takes no value\n", use->options[i].name);
                return RC_USAGE;
            }
        }
        complain_unknown(use, argv[optind - 1], to);
        return RC_USAGE;
    }
    const char *argument = argument_taken(argv);
    if (name_of(argument).size != strlen(use->options[index].name) + 2) {
        complain_unknown(use, argument, to);
        return RC_USAGE;
    }
    return use->on_option(use->ctx, (size_t)index, optarg);
}

enum rc args_parse(int argc, char **argv, const struct args_use *use, struct buf *errors,
                   int *ret_operands)
{
    ASSERT(use->option_count <= ARGS_OPTIONS_MAX);
    struct option table[ARGS_OPTIONS_MAX + 1] = {0};
    for (size_t i = 0; i < use->option_count; i++) {
        table[i].name = use->options[i].name;
        table[i].has_arg = getopt_kind(use->options[i].value);
    }
    struct config_text to = config_text_to(errors);
    enum rc result = RC_OK;
    opterr = 0;
    optind = 0; /* glibc: start anew */
    for (;;) {
        int index = -1;
        const int got = getopt_long(argc, argv, ":", table, &index);
        if (got == -1) {
            break;
        }
        const enum rc rc = take_one(argv, use, got, index, &to);
        if (rc != RC_OK && rc != RC_USAGE) {
            return rc;
        }
        result = rc == RC_OK ? result : rc;
    }
    *ret_operands = optind;
    return to.rc == RC_OK ? result : to.rc;
}
