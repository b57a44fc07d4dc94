#include "bench/server.h"

#include "base/bytes.h"
#include "bench/bench.h"
#include "bench/process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READY_SECONDS_MAX 120u
#define READY_POLL_USEC   1000u
#define END_SECONDS_MAX   30u

/* ---- starting ------------------------------------------------------------------------------ */

static struct sockaddr_in address_of(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* 0: none. Somebody else may take it before the server does; then the server says so. */
static uint16_t free_port(void)
{
    struct sockaddr_in address = address_of(0);
    socklen_t size = sizeof(address);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool bound = fd >= 0 && bind(fd, (const struct sockaddr *)&address, size) == 0 &&
                       getsockname(fd, (struct sockaddr *)&address, &size) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return bound ? ntohs(address.sin_port) : 0;
}

/* Whether it takes connections, and says 200 to `path` if there is one. */
static bool is_ready(uint16_t port, const char *path)
{
    const struct sockaddr_in address = address_of(port);
    char text[256];
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ready = fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
    if (ready && path != NULL) {
        const int size = snprintf(text, sizeof(text),
                                  "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", path);
        ready = send(fd, text, (size_t)size, MSG_NOSIGNAL) == size &&
                recv(fd, text, sizeof(text), 0) > 12 && memcmp(text + 9, "200", 3) == 0;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return ready;
}

static _Noreturn void server_exec(const struct bench *bench)
{
    char data[BENCH_PATH_SIZE + 8];
    char log[BENCH_PATH_SIZE + 8];
    char address[32];
    const char *argv[BENCH_ARGV_MAX] = {0};
    (void)snprintf(data, sizeof(data), "%s/data", bench->server.folder);
    (void)snprintf(log, sizeof(log), "%s/log", bench->server.folder);
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", bench->server.port);
    (void)bench->adapter->server_argv(bench->options, data, address, argv);
    /* Whatever ends us ends it, and a ^C at the terminal is for us alone. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)setpgid(0, 0);
    const int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0 && dup2(fd, STDOUT_FILENO) >= 0 && dup2(fd, STDERR_FILENO) >= 0) {
        /* exec takes char *const for history's sake; it changes nothing. */
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        (void)dprintf(fd, "cannot run %s: %s\n", argv[0], strerror(errno));
    }
    _exit(127);
}

/* The end of what it said, for the failure. */
static void fail_with_log(struct bench *bench, const char *what)
{
    char path[BENCH_PATH_SIZE + 8];
    char text[201] = "";
    (void)snprintf(path, sizeof(path), "%s/log", bench->server.folder);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        const off_t end = lseek(fd, 0, SEEK_END);
        const off_t from = end > (off_t)sizeof(text) - 1 ? end - ((off_t)sizeof(text) - 1) : 0;
        const ssize_t got = pread(fd, text, sizeof(text) - 1, from);
        text[got > 0 ? got : 0] = '\0';
        (void)close(fd);
    }
    bench_fail(bench, "%s: %s", what, text);
}

static bool wait_ready(struct bench *bench, uint64_t began_ns)
{
    struct bench_server *server = &bench->server;
    while (!is_ready(server->port, bench->adapter->ready_path)) {
        if (waitpid(server->pid, NULL, WNOHANG) == server->pid) {
            server->pid = 0;
            fail_with_log(bench, "the server ended at once");
            return false;
        }
        if (bench_now_ns() - began_ns > READY_SECONDS_MAX * BENCH_NS || !bench_going(bench)) {
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
    const pid_t pid = fork();
    if (pid < 0) {
        bench_fail(bench, "fork: %s", strerror(errno));
        return false;
    }
    if (pid == 0) {
        server_exec(bench);
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
    server->port = free_port();
    uint64_t ready_ns = 0;
    if (server->port == 0) {
        bench_fail(bench, "there is no free port");
        return false;
    }
    return bench_server_restart(bench, &ready_ns);
}

/* ---- ending -------------------------------------------------------------------------------- */

void bench_server_kill(struct bench *bench)
{
    struct bench_server *server = &bench->server;
    if (server->ours && server->pid > 0) {
        (void)kill(server->pid, SIGKILL);
        (void)waitpid(server->pid, NULL, 0);
        server->pid = 0;
    }
}

void bench_server_end(struct bench *bench)
{
    struct bench_server *server = &bench->server;
    if (!server->ours || server->pid <= 0) {
        return;
    }
    (void)kill(server->pid, SIGTERM);
    const uint64_t end = bench_now_ns() + END_SECONDS_MAX * BENCH_NS;
    while (bench_now_ns() < end) {
        if (waitpid(server->pid, NULL, WNOHANG) == server->pid) {
            server->pid = 0;
            return;
        }
        (void)usleep(READY_POLL_USEC);
    }
    bench_server_kill(bench);
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
    if (bench->server.folder[0] != '\0') {
        (void)nftw(data, visit, 16, FTW_PHYS);
    }
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
