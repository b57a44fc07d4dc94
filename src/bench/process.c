#include "bench/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND_NS   UINT64_C(1000000000)
#define ALIVE_MAX   4096u
#define STAT_PARENT 4
#define STAT_UTIME  14

/* ---- children ------------------------------------------------------------------------------ */

pid_t process_start(void (*run)(const void *ctx), const void *ctx)
{
    const pid_t child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        run(ctx);
        _exit(127);
    }
    return child;
}

bool process_ended(pid_t child)
{
    return waitpid(child, NULL, WNOHANG) == child;
}

static uint64_t time_ns(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * SECOND_NS + (uint64_t)time->tv_usec * 1000;
}

uint64_t process_kill(pid_t child)
{
    struct rusage usage = {0};
    if (child <= 0) {
        return 0;
    }
    (void)kill(child, SIGKILL);
    while (wait4(child, NULL, 0, &usage) < 0 && errno == EINTR) {
    }
    return time_ns(&usage.ru_utime) + time_ns(&usage.ru_stime);
}

/* ---- what they cost ------------------------------------------------------------------------ */

/* Reads /proc/PID/`name`; "" if it cannot be. */
static void proc_read(pid_t pid, const char *name, char *to, size_t size)
{
    char path[64];
    to[0] = '\0';
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        const ssize_t got = read(fd, to, size - 1);
        to[got > 0 ? got : 0] = '\0';
        (void)close(fd);
    }
}

/* The number at `at`, behind blanks. */
static uint64_t proc_number(const char *at)
{
    uint64_t value = 0;
    while (*at == ' ' || *at == '\t') {
        at++;
    }
    for (; *at >= '0' && *at <= '9'; at++) {
        value = value * 10 + (uint64_t)(*at - '0');
    }
    return value;
}

/* proc(5): the name in parentheses may hold anything; fields count from 1, the third is behind
 * it. NULL: there is none. */
static const char *stat_field(const char *text, int number)
{
    const char *at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < number; field++) {
        at = strchr(at + 1, ' ');
    }
    return at;
}

struct process {
    pid_t pid;
    pid_t parent;
};

static size_t all_processes(struct process to[static ALIVE_MAX])
{
    size_t count = 0;
    DIR *folder = opendir("/proc");
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        char text[1024];
        const pid_t pid = (pid_t)proc_number(entry->d_name);
        if (pid == 0 || count == ALIVE_MAX) {
            continue;
        }
        proc_read(pid, "stat", text, sizeof(text));
        const char *parent = stat_field(text, STAT_PARENT);
        if (parent != NULL) {
            to[count++] = (struct process){pid, (pid_t)proc_number(parent)};
        }
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    return count;
}

size_t process_tree(pid_t root, pid_t to[static PROCESS_TREE_MAX])
{
    static struct process alive[ALIVE_MAX];
    const size_t alive_count = root > 0 ? all_processes(alive) : 0;
    size_t count = 0;
    for (size_t i = 0; i < alive_count; i++) {
        if (alive[i].pid == root) {
            to[count++] = root;
        }
    }
    /* Each one's children go behind it: in the end all that are below. */
    for (size_t at = 0; at < count; at++) {
        for (size_t i = 0; i < alive_count && count < PROCESS_TREE_MAX; i++) {
            if (alive[i].parent == to[at]) {
                to[count++] = alive[i].pid;
            }
        }
    }
    return count;
}

uint64_t process_cpu_ns(pid_t root)
{
    pid_t tree[PROCESS_TREE_MAX];
    const size_t count = process_tree(root, tree);
    uint64_t ticks = 0;
    for (size_t i = 0; i < count; i++) {
        char text[1024];
        proc_read(tree[i], "stat", text, sizeof(text));
        /* utime, stime, and both of the children that it has waited for. */
        for (int field = STAT_UTIME; field < STAT_UTIME + 4; field++) {
            const char *at = stat_field(text, field);
            ticks += at == NULL ? 0 : proc_number(at);
        }
    }
    return ticks * (SECOND_NS / (uint64_t)sysconf(_SC_CLK_TCK));
}

uint64_t process_bytes(pid_t root, const char *file, const char *name)
{
    pid_t tree[PROCESS_TREE_MAX];
    const size_t count = process_tree(root, tree);
    uint64_t kilobytes = 0;
    for (size_t i = 0; i < count; i++) {
        char text[8192];
        proc_read(tree[i], file, text, sizeof(text));
        const char *at = strstr(text, name);
        kilobytes += at == NULL ? 0 : proc_number(at + strlen(name));
    }
    return kilobytes * 1024;
}
