/* Starts, kills and measures the server under load. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SERVER_FLAGS_MAX   32
#define READY_SECONDS_MAX  120
#define READY_POLL_USEC    2000
#define NS_PER_SECOND      UINT64_C(1000000000)
#define SERVER_ANSWER_SIZE 1024

static struct sockaddr_in address_of(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int tcp_try_connect(uint16_t port)
{
    const struct sockaddr_in address = address_of(port);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        die("socket: %s", strerror(errno));
    }
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        (void)close(fd);
        return -1;
    }
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

int tcp_connect(uint16_t port)
{
    const int fd = tcp_try_connect(port);
    if (fd < 0) {
        die("cannot connect to port %u: %s", port, strerror(errno));
    }
    return fd;
}

static uint16_t free_port(void)
{
    struct sockaddr_in address = address_of(0);
    socklen_t size = sizeof(address);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        die("no free port: %s", strerror(errno));
    }
    (void)close(fd);
    return ntohs(address.sin_port);
}

/* The beginning of the answer to a GET; empty where there is none. */
static struct bytes http_get(uint16_t port, const char *path,
                             char answer[static SERVER_ANSWER_SIZE])
{
    char request[256];
    size_t size = 0;
    const int fd = tcp_try_connect(port);
    if (fd < 0) {
        return (struct bytes){0};
    }
    const int request_size = snprintf(
        request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", path);
    if (send(fd, request, (size_t)request_size, MSG_NOSIGNAL) == request_size) {
        ssize_t got = 1;
        while (got > 0 && size < SERVER_ANSWER_SIZE) {
            got = recv(fd, answer + size, SERVER_ANSWER_SIZE - size, 0);
            size += got > 0 ? (size_t)got : 0;
        }
    }
    (void)close(fd);
    return bytes_of(answer, size);
}

static bool server_ready(uint16_t port)
{
    char answer[SERVER_ANSWER_SIZE];
    const struct bytes got = http_get(port, "/readyz", answer);
    return got.size > 12 && memcmp(got.data + 9, "200", 3) == 0;
}

uint64_t server_latest(const struct server *server, const char *channel)
{
    char path[128];
    char answer[SERVER_ANSWER_SIZE];
    (void)snprintf(path, sizeof(path), "/v1/channels/%s/messages?limit=1&reverse=true", channel);
    return reply_number(http_get(server->port, path, answer), "\"latest\":");
}

static _Noreturn void server_exec(const struct server *server)
{
    char listen[32];
    char log[300];
    const char *argv[SERVER_FLAGS_MAX] = {server->options->server, "serve",    "--data",
                                          server->folder,          "--listen", listen};
    size_t count = 6;
    (void)snprintf(listen, sizeof(listen), "127.0.0.1:%u", server->port);
    (void)snprintf(log, sizeof(log), "%s.log", server->folder);
    for (char **flag = server->options->server_flags; flag != NULL && *flag != NULL; flag++) {
        if (count == SERVER_FLAGS_MAX - 1) {
            die("too many flags for the server");
        }
        argv[count++] = *flag;
    }
    /* Whatever ends the generator ends its server, too. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0) {
        die("%s: %s", log, strerror(errno));
    }
    /* exec takes char *const for history's sake; it changes nothing. */
    (void)execv(server->options->server, (char *const *)(uintptr_t)argv);
    die("%s: %s", server->options->server, strerror(errno));
}

uint64_t server_restart(struct server *server)
{
    const uint64_t began = now_ns();
    server->pid = fork();
    if (server->pid < 0) {
        die("fork: %s", strerror(errno));
    }
    if (server->pid == 0) {
        server_exec(server);
    }
    while (!server_ready(server->port)) {
        int status = 0;
        if (waitpid(server->pid, &status, WNOHANG) == server->pid) {
            die("the server ended with status %d; see %s.log", status, server->folder);
        }
        if (now_ns() - began > READY_SECONDS_MAX * NS_PER_SECOND) {
            die("the server was not ready in time; see %s.log", server->folder);
        }
        (void)usleep(READY_POLL_USEC);
    }
    return now_ns() - began;
}

void server_start(struct server *server, const struct options *options)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    *server = (struct server){.options = options, .port = free_port()};
    if (options->folder != NULL) {
        (void)snprintf(server->folder, sizeof(server->folder), "%s", options->folder);
    } else {
        const char *base = getenv("TMPDIR");
        (void)snprintf(server->folder, sizeof(server->folder), "%s/seriatim-load-XXXXXX",
                       base != NULL ? base : P_tmpdir);
        if (mkdtemp(server->folder) == NULL) {
            die("%s: %s", server->folder, strerror(errno));
        }
        server->folder_is_ours = true;
    }
    (void)server_restart(server);
}

void server_kill(struct server *server)
{
    (void)kill(server->pid, SIGKILL);
    (void)waitpid(server->pid, NULL, 0);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

void server_stop(struct server *server)
{
    server_kill(server);
    if (server->folder_is_ours) {
        char log[300];
        (void)snprintf(log, sizeof(log), "%s.log", server->folder);
        (void)nftw(server->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        (void)unlink(log);
    }
}

static void proc_read(const struct server *server, const char *name, char *to, size_t size)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)server->pid, name);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t got = fd < 0 ? -1 : read(fd, to, size - 1);
    if (got <= 0) {
        die("%s: the server is gone", path);
    }
    to[got] = '\0';
    (void)close(fd);
}

/* The number at `at`, behind blanks; *ret_end is behind it. */
static uint64_t proc_number(const char *at, const char **ret_end)
{
    uint64_t value = 0;
    while (*at == ' ' || *at == '\t') {
        at++;
    }
    for (; *at >= '0' && *at <= '9'; at++) {
        value = value * 10 + (uint64_t)(*at - '0');
    }
    *ret_end = at;
    return value;
}

uint64_t server_cpu_ns(const struct server *server)
{
    char text[1024];
    proc_read(server, "stat", text, sizeof(text));
    /* proc(5): the name in parentheses may hold anything; utime and stime are fields 14 and 15. */
    const char *at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 14; field++) {
        at = strchr(at + 1, ' ');
    }
    if (at == NULL) {
        die("/proc/PID/stat is not as documented");
    }
    uint64_t ticks = proc_number(at, &at);
    ticks += proc_number(at, &at);
    return ticks * (NS_PER_SECOND / (uint64_t)sysconf(_SC_CLK_TCK));
}

uint64_t server_rss_bytes(const struct server *server)
{
    char text[8192];
    proc_read(server, "status", text, sizeof(text));
    const char *at = strstr(text, "VmRSS:");
    if (at == NULL) {
        die("/proc/PID/status is not as documented");
    }
    return proc_number(at + strlen("VmRSS:"), &at) * 1024;
}
