/* The program as its tests run it: with its streams in files or on a terminal, and a server of its
 * own beside it. Each run is a process, which ends by itself or is ended after 20 seconds.
 *
 * Thread: one.  Memory: static. */
#ifndef TEST_CLI_PROGRAM_H
#define TEST_CLI_PROGRAM_H

#include "base/bytes.h"

#define PROGRAM_OUTPUT_MAX 65536

struct program_result {
    int status; /* exit status, or 128 + signal */
    char out[PROGRAM_OUTPUT_MAX];
    char err[PROGRAM_OUTPUT_MAX];
    uint64_t allocations; /* of program_call() */
};
extern struct program_result program;

/* Runs `seriatim ARGS` (TEST_BINARY) with `input` on standard input. */
void program_run(const char *const *args, const char *input);
#define RUN(...) program_run((const char *const[]){__VA_ARGS__, NULL}, "")
/* As above on a terminal, which all three streams are; it types `input`. What it shows is in
 * program.out. */
void program_run_on_terminal(const char *const *args, const char *input);
/* As program_run(), with cli_main() in a child of this process: its allocation number `fault` fails
 * (0: none), and if `forever` all behind it. For programs that link with src/cli. */
void program_call(int (*cli_main)(int argc, char **argv), const char *const *args,
                  const char *input, uint64_t fault, bool forever);

/* Fails unless `text` is in `stream`. */
void program_says(const char *stream, const char *text);

/* Starts a server with data of its own; its URL. */
const char *program_server_start(void);
void program_server_stop(void);
/* Its data, until they are removed. */
const char *program_server_folder(void);
void program_server_remove(void);

#endif
