#include "bench/server.h"

#include "base/bytes.h"
#include "bench/bench.h"
#include "bench/process.h"
#include "bench/tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define READY_SECONDS_MAX 120u
#define READY_POLL_USEC   1000u
#define END_SECONDS_MAX   30u

/* ---- starting ------------------------------------------------------------------------------ */

/* Whether it takes connections, and says 200 to `path`. */
static bool is_ready(uint16_t port, const char *path)
{
    char text[256];
    const int fd = bench_tcp_connect(port);
    const int size = snprintf(text, sizeof(text),
                              "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", path);
    const bool ready = send(fd, text, (size_t)size, MSG_NOSIGNAL) == size &&
                       recv(fd, text, sizeof(text), 0) > 12 && memcmp(text + 9, "200", 3) == 0;
    (void)close(fd);
    return ready;
}

struct server_child {
    const struct bench *bench;
    int log_fd;
};

static void server_exec(const void *ctx)
{
    const struct server_child *child = ctx;
    const struct bench *bench = child->bench;
    char data[BENCH_PATH_SIZE + 8];
    char address[32];
    const char *argv[BENCH_ARGV_MAX] = {0};
    (void)snprintf(data, sizeof(data), "%s/data", bench->server.folder);
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", bench->server.port);
    (void)bench->adapter->server_argv(bench->options, data, address, argv);
    (void)setpgid(0, 0); /* a ^C at the terminal is for us alone */
    (void)dup2(child->log_fd, STDOUT_FILENO);
    (void)dup2(child->log_fd, STDERR_FILENO);
    /* exec takes char *const for history's sake; it changes nothing. */
    (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
    (void)dprintf(child->log_fd, "cannot run %s: %s\n", argv[0], strerror(errno));
}

static void log_path(const struct bench *bench, char to[static BENCH_PATH_SIZE + 8])
{
    (void)snprintf(to, BENCH_PATH_SIZE + 8, "%s/log", bench->server.folder);
}

/* The end of what it said, for the failure. */
static void fail_with_log(struct bench *bench, const char *what)
{
    char path[BENCH_PATH_SIZE + 8];
    char text[201] = "";
    log_path(bench, path);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const off_t end = lseek(fd, 0, SEEK_END);
    const off_t from = end > (off_t)sizeof(text) - 1 ? end - ((off_t)sizeof(text) - 1) : 0;
    const ssize_t got = pread(fd, text, sizeof(text) - 1, from);
    text[got > 0 ? got : 0] = '\0';
    (void)close(fd);
    bench_fail(bench, "%s: %s", what, text);
}

static bool wait_ready(struct bench *bench, uint64_t began_ns)
{
    struct bench_server *server = &bench->server;
    while (!is_ready(server->port, bench->adapter->ready_path)) {
        if (process_ended(server->pid)) {
            server->pid = 0;
            fail_with_log(bench, "the server ended at once");
            return false;
        }
        if (!bench_going(bench)) {
            return false; /* a signal */
        }
        if (bench_now_ns() - began_ns > READY_SECONDS_MAX * BENCH_NS) {
            fail_with_log(bench, "the server was not ready in time");
            return false;
        }
        (void)usleep(READY_POLL_USEC);
    }
    return true;
}

bool bench_server_restart(struct bench *bench, uint64_t *ret_ns)
{
    struct bench_server *server = &bench->server;
    ASSERT(server->folder[0] != '\0' && server->pid == 0);
    const uint64_t began_ns = bench_now_ns();
    char path[BENCH_PATH_SIZE + 8];
    log_path(bench, path);
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) {
        bench_fail(bench, "cannot write %s: %s", path, strerror(errno));
        return false;
    }
    const pid_t pid = process_start(server_exec, &(struct server_child){bench, fd});
    const int error = errno;
    (void)close(fd);
    if (pid < 0) {
        bench_fail(bench, "cannot start the server: %s", strerror(error));
        return false;
    }
    server->pid = pid;
    server->ours = true;
    if (!wait_ready(bench, began_ns)) {
        return false;
    }
    *ret_ns = bench_now_ns() - began_ns;
    return true;
}

bool bench_server_start(struct bench *bench)
{
    struct bench_server *server = &bench->server;
    const char *base = bench->options->folder;
    base = base != NULL ? base : getenv("TMPDIR");
    (void)snprintf(server->folder, sizeof(server->folder), "%s/seriatim-bench-XXXXXX",
                   base != NULL ? base : P_tmpdir);
    if (mkdtemp(server->folder) == NULL) {
        bench_fail(bench, "cannot make %s: %s", server->folder, strerror(errno));
        server->folder[0] = '\0';
        return false;
    }
    uint64_t ready_ns = 0;
    /* Somebody else may take it before the server does; then the server says so. */
    const int fd = bench_tcp_listen(&server->port);
    if (fd < 0) {
        bench_fail(bench, "there is no free port: %s", strerror(errno));
        return false;
    }
    (void)close(fd);
    return bench_server_restart(bench, &ready_ns);
}

/* ---- ending -------------------------------------------------------------------------------- */

void bench_server_kill(struct bench *bench)
{
    struct bench_server *server = &bench->server;
    if (server->ours) {
        (void)process_kill(server->pid);
        server->pid = 0;
    }
}

void bench_server_end(struct bench *bench)
{
    struct bench_server *server = &bench->server;
    ASSERT(server->ours && server->pid > 0);
    const uint64_t end = bench_now_ns() + END_SECONDS_MAX * BENCH_NS;
    (void)kill(server->pid, SIGTERM);
    while (!process_ended(server->pid)) {
        if (bench_now_ns() > end) {
            bench_server_kill(bench);
            return;
        }
        (void)usleep(READY_POLL_USEC);
    }
    server->pid = 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

void bench_server_close(struct bench *bench)
{
    struct bench_server *server = &bench->server;
    bench_server_kill(bench);
    if (server->folder[0] != '\0' && !bench->options->keep) {
        (void)nftw(server->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
}

/* ---- its files ----------------------------------------------------------------------------- */

/* nftw() has no context. */
static uint64_t walked_bytes;

static int count_entry(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)path;
    (void)at;
    walked_bytes += type == FTW_F ? (uint64_t)status->st_blocks * 512 : 0;
    return 0;
}

static uint64_t cached_bytes(int fd, size_t size)
{
    static unsigned char pages[65536]; /* 256 MiB of a file; segments are smaller */
    uint64_t cached = 0;
    void *map = size == 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        return 0;
    }
    if (size <= sizeof(pages) * 4096 && mincore(map, size, pages) == 0) {
        for (size_t i = 0; i < (size + 4095) / 4096; i++) {
            cached += (pages[i] & 1) != 0 ? 4096 : 0;
        }
    }
    (void)munmap(map, size);
    return cached;
}

static int chill_entry(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)at;
    const int fd = type == FTW_F ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)fdatasync(fd); /* dirty pages would stay */
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        walked_bytes += cached_bytes(fd, (size_t)status->st_size);
        (void)close(fd);
    }
    return 0;
}

static uint64_t walk(const struct bench *bench,
                     int (*visit)(const char *, const struct stat *, int, struct FTW *))
{
    char data[BENCH_PATH_SIZE + 8];
    (void)snprintf(data, sizeof(data), "%s/data", bench->server.folder);
    walked_bytes = 0;
    ASSERT(bench->server.folder[0] != '\0');
    (void)nftw(data, visit, 16, FTW_PHYS);
    return walked_bytes;
}

uint64_t bench_server_disk_bytes(const struct bench *bench)
{
    return walk(bench, count_entry);
}

uint64_t bench_server_chill(const struct bench *bench)
{
    return walk(bench, chill_entry);
}

/* ---- what it costs ------------------------------------------------------------------------- */

uint64_t bench_server_cpu_ns(const struct bench *bench)
{
    return process_cpu_ns(bench->server.pid);
}

uint64_t bench_server_rss_bytes(const struct bench *bench)
{
    return process_bytes(bench->server.pid, "status", "VmRSS:");
}

uint64_t bench_server_pss_bytes(const struct bench *bench)
{
    return process_bytes(bench->server.pid, "smaps_rollup", "\nPss:");
}

uint64_t bench_server_anonymous_bytes(const struct bench *bench)
{
    return process_bytes(bench->server.pid, "status", "RssAnon:");
}

uint64_t bench_client_cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * BENCH_NS + (uint64_t)now.tv_nsec;
}
