/* What the commands have in common: their table, their errors, their exit statuses.
 *
 * Data goes to standard output and everything else to standard error; a wrong usage is told with
 * what to do instead. A command is one file with one function.
 *
 * Thread: main.  Memory: as said. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/bytes.h"
#include "base/rc.h"

/* [P 6] exit statuses */
#define CLI_DONE   0
#define CLI_FAILED 1
#define CLI_USAGE  2

struct cli_command {
    const char *name;
    const char *summary;               /* for the list of commands */
    const char *help;                  /* from "Usage:" on */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name */
};

extern const struct cli_command cli_commands[];
extern const size_t cli_command_count;

/* Finds the command and runs it; the exit status. */
int cli_main(int argc, char **argv);

int cli_serve(int argc, char **argv);
int cli_pub(int argc, char **argv);
int cli_sub(int argc, char **argv);
int cli_config(int argc, char **argv);
int cli_log(int argc, char **argv);
int cli_verify(int argc, char **argv);
int cli_bench(int argc, char **argv);
int cli_version(int argc, char **argv);
int cli_help(int argc, char **argv);

/* "seriatim: …" and a line end, to standard error. */
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A text as it is, to standard error. */
void cli_tell(struct bytes text);
/* Complaints about the usage of a command, as gathered; CLI_USAGE. */
int cli_refuse(const char *command, const struct buf *errors);
/* As above, with one complaint. */
int cli_refuse_text(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Out of memory and the like; CLI_FAILED. */
int cli_fail(enum rc rc);
/* Whether --help or -h stands before any "--"; then it has printed the command's help, or failed
 * to: *ret_status. */
bool cli_wants_help(const char *command, int argc, char **argv, int *ret_status);
/* Writes all of it to standard output. CLI_DONE, or CLI_FAILED (told, but for a closed pipe) */
int cli_print(struct bytes text);
/* Prints and frees what rc says was made; CLI_FAILED if it was not. */
int cli_print_buf(enum rc rc, struct buf *text);
/* A number from min to max. RC_BAD */
MUST_USE enum rc cli_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret_number);

#endif
