#include "program.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGS_MAX  64
#define LIMIT_SEC 20u

struct program_result program;

static struct {
    pid_t pid;
    char folder[512];
    char url[96];
} server;

static void read_file(FILE *file, char *to)
{
    rewind(file);
    to[fread(to, 1, PROGRAM_OUTPUT_MAX - 1, file)] = '\0';
    (void)fclose(file);
}

static void set_status(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    program.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int argv_of(const char *const *args, char *argv[static ARGS_MAX])
{
    const char *binary = getenv("TEST_BINARY");
    assert_non_null(binary);
    int argc = 1;
    argv[0] = (char *)binary;
    for (; args[argc - 1] != NULL; argc++) {
        assert_true(argc + 1 < ARGS_MAX);
        argv[argc] = (char *)args[argc - 1];
    }
    argv[argc] = NULL;
    return argc;
}

/* Forks with the three streams in files, so that nothing waits; 0 in the child. */
static pid_t begin(const char *input, FILE *files[static 3])
{
    for (int i = 0; i < 3; i++) {
        files[i] = tmpfile();
        assert_non_null(files[i]);
    }
    assert_true(fputs(input, files[0]) >= 0);
    rewind(files[0]);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        for (int i = 0; i < 3; i++) {
            if (dup2(fileno(files[i]), i) != i) {
                _exit(127);
            }
        }
        (void)alarm(LIMIT_SEC);
    }
    return pid;
}

static void end(pid_t pid, FILE *files[static 3])
{
    set_status(pid);
    (void)fclose(files[0]);
    read_file(files[1], program.out);
    read_file(files[2], program.err);
}

void program_run(const char *const *args, const char *input)
{
    char *argv[ARGS_MAX];
    FILE *files[3];
    (void)argv_of(args, argv);
    const pid_t pid = begin(input, files);
    if (pid == 0) {
        (void)execv(argv[0], argv);
        _exit(127);
    }
    end(pid, files);
}

void program_call(int (*cli_main)(int argc, char **argv), const char *const *args,
                  const char *input, uint64_t fault, bool forever)
{
    char *argv[ARGS_MAX];
    FILE *files[3];
    const int argc = argv_of(args, argv);
    uint64_t *count =
        mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(count != MAP_FAILED);
    const pid_t pid = begin(input, files);
    if (pid == 0) {
        mem_fault_set(fault, forever ? 1 : 0);
        const int status = cli_main(argc, argv);
        *count = mem_fault_count();
        mem_fault_set(0, 0);
        exit(status); /* not _exit(): leaks are looked for, and branches counted */
    }
    end(pid, files);
    program.allocations = *count;
    (void)munmap(count, sizeof(*count));
}

void program_run_on_terminal(const char *const *args, const char *input)
{
    char *argv[ARGS_MAX];
    (void)argv_of(args, argv);
    const int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(terminal >= 0);
    assert_int_equal(grantpt(terminal), 0);
    assert_int_equal(unlockpt(terminal), 0);
    const char *name = ptsname(terminal);
    assert_non_null(name);
    const int other = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(other >= 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (setsid() >= 0 && ioctl(other, TIOCSCTTY, 0) == 0 && dup2(other, 0) == 0 &&
            dup2(other, 1) == 1 && dup2(other, 2) == 2) {
            (void)alarm(LIMIT_SEC);
            (void)execv(argv[0], argv);
        }
        _exit(127);
    }
    (void)close(other);
    const size_t typed = strlen(input);
    assert_int_equal(write(terminal, input, typed), (ssize_t)typed);
    size_t size = 0;
    ssize_t got = 1;
    while (got > 0 && size + 1 < PROGRAM_OUTPUT_MAX) { /* EIO once nobody has it open any more */
        got = read(terminal, program.out + size, PROGRAM_OUTPUT_MAX - 1 - size);
        size += got > 0 ? (size_t)got : 0;
    }
    program.out[size] = '\0';
    (void)close(terminal);
    set_status(pid);
}

void program_says(const char *stream, const char *text)
{
    if (strstr(stream, text) == NULL) {
        print_error("not found: %s\nin: %s\n", text, stream);
        fail();
    }
}

/* ---- a server ------------------------------------------------------------------------------ */

/* Reads its log until it says where it listens. */
static void read_url(int fd)
{
    static const char field[] = "\"addr\":\"";
    char text[PROGRAM_OUTPUT_MAX];
    size_t size = 0;
    const char *address = NULL;
    while (address == NULL || strchr(address + strlen(field), '"') == NULL) {
        const ssize_t got = read(fd, text + size, sizeof(text) - 1 - size);
        assert_true(got > 0);
        size += (size_t)got;
        text[size] = '\0';
        address = strstr(text, field);
    }
    address += strlen(field);
    (void)snprintf(server.url, sizeof(server.url), "ws://%.*s/v1/ws", (int)strcspn(address, "\""),
                   address);
}

const char *program_server_start(void)
{
    static const char *const args[] = {"serve", "--listen",        "127.0.0.1:0", "--durability",
                                       "os",    "--threads",       "1",           "--partitions",
                                       "1",     "--segment-bytes", "16KiB",       "--log-format",
                                       "json",  "--data",          server.folder, NULL};
    char *argv[ARGS_MAX];
    int pipe_fds[2];
    const char *folder = getenv("TMPDIR");
    (void)snprintf(server.folder, sizeof(server.folder), "%s/seriatim-cli-XXXXXX",
                   folder == NULL ? P_tmpdir : folder);
    assert_non_null(mkdtemp(server.folder));
    (void)argv_of(args, argv);
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    server.pid = fork();
    assert_true(server.pid >= 0);
    if (server.pid == 0) {
        if (dup2(pipe_fds[1], 2) == 2) {
            (void)alarm(600);
            (void)execv(argv[0], argv);
        }
        _exit(127);
    }
    (void)close(pipe_fds[1]);
    read_url(pipe_fds[0]);
    /* It writes on, little enough for a pipe. */
    return server.url;
}

/* ---- its data ------------------------------------------------------------------------------ */

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *where)
{
    (void)stat;
    (void)kind;
    (void)where;
    return remove(path);
}

void program_server_stop(void)
{
    assert_int_equal(kill(server.pid, SIGTERM), 0);
    int status = 0;
    assert_int_equal(waitpid(server.pid, &status, 0), server.pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

const char *program_server_folder(void)
{
    return server.folder;
}

void program_server_remove(void)
{
    assert_int_equal(nftw(server.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}
