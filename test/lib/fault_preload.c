/* Faults of a disk, and of io_uring, put between the server and the C library with LD_PRELOAD.
 *
 * FAULT_DIR names the folder concerned, FAULT_CONTROL a file of rules, which is read before each
 * call: a test switches faults on and off while the server runs. A line is a rule:
 *
 *   <call> <text> <skip> <times> <errno> <delay_ms>
 *
 * call      read (pread), write (pwrite), sync (fdatasync, fsync), open (openat), create (openat
 *           with O_CREAT), rename, truncate, room (fstatvfs), ring (io_uring_queue_init_params,
 *           whose path is FAULT_DIR)
 *
 * text      stands in the path of the file concerned; * for all files
 *
 * skip      so many matching calls are let through first, counted since the file was changed
 *
 * times     so many are hit then; 0: all
 *
 * errno     the number that the call fails with; 0: the call is carried out. For room any other
 *           number makes the file system look full
 *
 * delay_ms  how much longer the call takes
 *
 * Each hit appends a line `<call> <path>` to FAULT_CONTROL.hits, so that a test can prove that its
 * fault has happened, or just watch calls.
 *
 * Thread: any.  Memory: none. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define TEXT_SIZE 4096u
#define RULES_MAX 16u

struct rule {
    char call[16];
    char text[128];
    unsigned skip;
    unsigned times;
    int error;
    unsigned delay_ms;
    unsigned seen;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char text_seen[TEXT_SIZE];
static struct rule rules[RULES_MAX];
static unsigned rule_count;

int fdatasync(int fd);
int fsync(int fd);

/* ---- rules --------------------------------------------------------------------------------- */

static unsigned number(const char *text)
{
    unsigned value = 0;
    for (; text != NULL && *text >= '0' && *text <= '9'; text++) {
        value = value * 10 + (unsigned)(*text - '0');
    }
    return value;
}

static bool rule_parse(char *line, struct rule *ret_rule)
{
    char *fields[6] = {0};
    for (size_t i = 0; i < 6; i++) {
        fields[i] = strsep(&line, " ");
    }
    if (fields[5] == NULL) {
        return false;
    }
    *ret_rule = (struct rule){
        .skip = number(fields[2]),
        .times = number(fields[3]),
        .error = (int)number(fields[4]),
        .delay_ms = number(fields[5]),
    };
    (void)snprintf(ret_rule->call, sizeof(ret_rule->call), "%s", fields[0]);
    (void)snprintf(ret_rule->text, sizeof(ret_rule->text), "%s", fields[1]);
    return true;
}

static void rules_parse(void)
{
    char text[TEXT_SIZE];
    rule_count = 0;
    (void)snprintf(text, sizeof(text), "%s", text_seen);
    char *rest = text;
    char *line;
    while (rule_count < RULES_MAX && (line = strsep(&rest, "\n")) != NULL) {
        rule_count += rule_parse(line, &rules[rule_count]) ? 1 : 0;
    }
}

/* The rules as they are now; counting starts anew when the text has changed. */
static void rules_refresh(const char *control)
{
    char text[TEXT_SIZE] = "";
    const int fd = (int)syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC, 0);
    if (fd >= 0) {
        const ssize_t got = read(fd, text, sizeof(text) - 1);
        text[got > 0 ? got : 0] = '\0';
        (void)close(fd);
    }
    if (strcmp(text, text_seen) != 0) {
        (void)snprintf(text_seen, sizeof(text_seen), "%s", text);
        rules_parse();
    }
}

static void hit_tell(const char *control, const char *call, const char *path)
{
    char name[TEXT_SIZE];
    char line[TEXT_SIZE];
    (void)snprintf(name, sizeof(name), "%s.hits", control);
    const int size = snprintf(line, sizeof(line), "%s %s\n", call, path);
    const int fd =
        (int)syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) {
        (void)!write(fd, line, (size_t)size);
        (void)close(fd);
    }
}

static void wait_ms(unsigned ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&time, NULL);
}

/* The errno that this call must fail with, 0 for none; waits as the rule says. */
static int fault(const char *call, const char *path)
{
    const char *control = getenv("FAULT_CONTROL");
    const char *dir = getenv("FAULT_DIR");
    if (control == NULL || dir == NULL || strncmp(path, dir, strlen(dir)) != 0) {
        return 0;
    }
    int error = 0;
    unsigned delay_ms = 0;
    (void)pthread_mutex_lock(&lock);
    rules_refresh(control);
    for (unsigned i = 0; i < rule_count; i++) {
        struct rule *rule = &rules[i];
        const bool fits = strcmp(rule->call, call) == 0 &&
                          (rule->text[0] == '*' || strstr(path, rule->text) != NULL);
        if (!fits) {
            continue;
        }
        rule->seen++;
        if (rule->seen > rule->skip &&
            (rule->times == 0 || rule->seen <= rule->skip + rule->times)) {
            error = rule->error;
            delay_ms = rule->delay_ms;
            hit_tell(control, call, path);
            break;
        }
    }
    (void)pthread_mutex_unlock(&lock);
    if (delay_ms > 0) {
        wait_ms(delay_ms);
    }
    return error;
}

/* The path of an open file, and of a name below an open folder. */
static void path_of(int fd, const char *name, char to[static TEXT_SIZE])
{
    char link[64];
    char folder[TEXT_SIZE / 2];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    const ssize_t size = readlink(link, folder, sizeof(folder) - 1);
    folder[size > 0 ? size : 0] = '\0';
    if (name == NULL) {
        (void)snprintf(to, TEXT_SIZE, "%s", folder);
    } else {
        (void)snprintf(to, TEXT_SIZE, "%s/%.1000s", folder, name);
    }
}

static int fault_at(const char *call, int fd, const char *name)
{
    char path[TEXT_SIZE];
    const int before = errno;
    path_of(fd, name, path);
    const int error = fault(call, path);
    errno = before;
    return error;
}

/* ---- the calls ----------------------------------------------------------------------------- */

ssize_t pread(int fd, void *to, size_t size, off_t at)
{
    const int error = fault_at("read", fd, NULL);
    if (error != 0) {
        errno = error;
        return -1;
    }
    return syscall(SYS_pread64, fd, to, size, at);
}

ssize_t pwrite(int fd, const void *from, size_t size, off_t at)
{
    const int error = fault_at("write", fd, NULL);
    if (error != 0) {
        /* A part of it gets there, as on a disk that fills up; the next call says why. */
        (void)syscall(SYS_pwrite64, fd, from, size / 2, at);
        errno = error;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, from, size, at);
}

int fdatasync(int fd)
{
    const int error = fault_at("sync", fd, NULL);
    if (error != 0) {
        errno = error;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    const int error = fault_at("sync", fd, NULL);
    if (error != 0) {
        errno = error;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

int openat(int at, const char *name, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    const unsigned mode = (flags & O_CREAT) != 0 ? va_arg(list, unsigned) : 0;
    va_end(list);
    const char *call = (flags & O_CREAT) != 0 ? "create" : "open";
    const int error = at == AT_FDCWD ? 0 : fault_at(call, at, name);
    if (error != 0) {
        errno = error;
        return -1;
    }
    return (int)syscall(SYS_openat, at, name, flags, mode);
}

int renameat(int from_at, const char *from, int to_at, const char *to)
{
    const int error = fault_at("rename", to_at, to);
    if (error != 0) {
        errno = error;
        return -1;
    }
    return (int)syscall(SYS_renameat2, from_at, from, to_at, to, 0);
}

int ftruncate(int fd, off_t size)
{
    const int error = fault_at("truncate", fd, NULL);
    if (error != 0) {
        errno = error;
        return -1;
    }
    return (int)syscall(SYS_ftruncate, fd, size);
}

int fstatvfs(int fd, struct statvfs *to)
{
    struct statfs status = {0};
    if (fstatfs(fd, &status) != 0) {
        return -1;
    }
    const bool full = fault_at("room", fd, NULL) != 0;
    *to = (struct statvfs){
        .f_bsize = (unsigned long)status.f_bsize,
        .f_frsize = (unsigned long)(status.f_frsize != 0 ? status.f_frsize : status.f_bsize),
        .f_blocks = status.f_blocks,
        .f_bfree = full ? 0 : status.f_bfree,
        .f_bavail = full ? 0 : status.f_bavail,
    };
    return 0;
}

struct io_uring;
struct io_uring_params;
int io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                               struct io_uring_params *params);

int io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                               struct io_uring_params *params)
{
    typedef int (*init_function)(unsigned, struct io_uring *, struct io_uring_params *);
    const char *dir = getenv("FAULT_DIR");
    const int error = dir == NULL ? 0 : fault("ring", dir);
    if (error != 0) {
        return -error;
    }
    const init_function real =
        (init_function)(uintptr_t)dlsym(RTLD_NEXT, "io_uring_queue_init_params");
    return real(entries, ring, params);
}
