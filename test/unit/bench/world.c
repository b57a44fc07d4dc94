#include "world.h"

#include "base/mem.h"
#include "lib/failing.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* Where the server is another process it must be waited for, but never for long. */
#define OWN_WAIT_MS 1

static struct {
    uint64_t now_ns;
    uint64_t look_ns;
    bool own;
    uint64_t waits;
    uint64_t signal_at;
    uint64_t signal_ns;
    uint16_t port;
    char program[256];
    char folder[64]; /* of servers of a load's own */
} world;

/* A sanitizer keeps back what was freed, and every fork has to copy the tables of that. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
    return "quarantine_size_mb=4";
}

/* ---- time ---------------------------------------------------------------------------------- */

int __real_clock_gettime(clockid_t clock, struct timespec *to);
int __wrap_clock_gettime(clockid_t clock, struct timespec *to);

int __wrap_clock_gettime(clockid_t clock, struct timespec *to)
{
    if (clock != CLOCK_MONOTONIC) {
        return __real_clock_gettime(clock, to);
    }
    world.now_ns += world.look_ns;
    if (world.now_ns >= world.signal_ns) {
        world.signal_ns = UINT64_MAX;
        (void)raise(SIGTERM);
    }
    to->tv_sec = (time_t)(world.now_ns / BENCH_NS);
    to->tv_nsec = (long)(world.now_ns % BENCH_NS);
    return 0;
}

int __wrap_nanosleep(const struct timespec *wait, struct timespec *left);

int __wrap_nanosleep(const struct timespec *wait, struct timespec *left)
{
    (void)left;
    world.now_ns += (uint64_t)wait->tv_sec * BENCH_NS + (uint64_t)wait->tv_nsec;
    return 0;
}

uint64_t world_waits(void)
{
    return world.waits;
}

double world_seconds(void)
{
    return (double)world.now_ns / 1e9;
}

/* All that the server has to say is there when the load looks. */
static int wait_for(int fd, struct epoll_event *events, int count, const struct timespec *wait)
{
    const uint64_t wait_ns = (uint64_t)wait->tv_sec * BENCH_NS + (uint64_t)wait->tv_nsec;
    int ready;
    if (++world.waits == world.signal_at) {
        (void)raise(SIGTERM);
    }
    if (world.own) {
        ready = epoll_wait(fd, events, count, wait_ns == 0 ? 0 : OWN_WAIT_MS);
    } else {
        failing_let_through(true);
        while (fake_turn()) {
        }
        ready = epoll_wait(fd, events, count, 0);
        failing_let_through(false);
    }
    world.now_ns += ready == 0 ? wait_ns : 0;
    return ready;
}

/* ---- what is left -------------------------------------------------------------------------- */

struct left {
    size_t descriptors;
    size_t files;
    int64_t blocks;
};

static struct left look(void)
{
    return (struct left){failing_entries("/proc/self/fd"), failing_entries(world.folder),
                         failing_blocks()};
}

/* ---- what is said -------------------------------------------------------------------------- */

/* A descriptor's output goes to a file of memory meanwhile. */
struct capture {
    int of;
    int kept;
    int file;
};

static struct capture capture_begin(int of)
{
    const struct capture capture = {of, dup(of), memfd_create("told", MFD_CLOEXEC)};
    assert_true(capture.kept >= 0 && capture.file >= 0);
    assert_int_equal(dup2(capture.file, of), of);
    return capture;
}

static void capture_end(const struct capture *capture, char *to, size_t size)
{
    assert_int_equal(dup2(capture->kept, capture->of), capture->of);
    const ssize_t got = pread(capture->file, to, size - 1, 0);
    assert_true(got >= 0);
    to[got] = '\0';
    (void)close(capture->kept);
    (void)close(capture->file);
}

uint64_t world_violations(const struct world_told *told)
{
    const char *at = strstr(told->text, " violations of order (");
    if (at == NULL) {
        at = strstr(told->error, " violations of order ("); /* --json - */
    }
    if (at == NULL) {
        return 0; /* not even the table could be had */
    }
    while (at[-1] >= '0' && at[-1] <= '9') {
        at--;
    }
    return strtoull(at, NULL, 10);
}

/* ---- runs ---------------------------------------------------------------------------------- */

struct bench_options world_options(const struct bench_scenario *scenario)
{
    struct bench_options options = {.codec = "json",
                                    .prefix = "t",
                                    .command = "seriatim bench",
                                    .quiet = true,
                                    .connections = 3,
                                    .channels = 2,
                                    .inflight = 2,
                                    .payload = 40,
                                    .batch = 1,
                                    .messages = 6,
                                    .rate = scenario->defaults.rate,
                                    .seconds = 1,
                                    .readers = 1,
                                    .stalled = 1,
                                    .stall_seconds = 1,
                                    .bytes = 1000,
                                    .server_pid = getpid()};
    (void)snprintf(options.url.host, sizeof(options.url.host), "127.0.0.1");
    (void)snprintf(options.url.port, sizeof(options.url.port), "%u", world.port);
    (void)snprintf(options.url.path, sizeof(options.url.path), "/v1/ws");
    (void)snprintf(options.url.authority, sizeof(options.url.authority), "127.0.0.1:%u",
                   world.port);
    return options;
}

struct bench_options world_options_own(const struct bench_scenario *scenario)
{
    struct bench_options options = world_options(scenario);
    options.own_server = true;
    options.server_pid = 0;
    options.program = world.program;
    options.folder = world.folder;
    return options;
}

void world_run(const struct bench_scenario *scenario, const struct world_setup *setup,
               struct world_told *ret_told)
{
    const struct bench_adapter *adapter =
        setup->adapter == NULL ? &bench_adapter_seriatim : setup->adapter;
    const struct left before = look();
    world.own = setup->options.own_server;
    world.look_ns = setup->look_ns == 0 ? BENCH_NS / 1000 : setup->look_ns;
    world.waits = 0;
    world.signal_at = setup->signal_at;
    world.signal_ns =
        setup->signal_after_ns == 0 ? UINT64_MAX : world.now_ns + setup->signal_after_ns;
    fake_behave(&setup->manners);
    (void)fflush(NULL);
    const struct capture error = capture_begin(STDERR_FILENO);
    const struct capture text = capture_begin(STDOUT_FILENO);
    failing_let_through(false);
    ret_told->status = bench_run(&setup->options, adapter, scenario);
    failing_let_through(true);
    (void)fflush(NULL);
    capture_end(&text, ret_told->text, sizeof(ret_told->text));
    capture_end(&error, ret_told->error, sizeof(ret_told->error));
    fake_reset();
    const struct left after = look();
    assert_int_equal(after.descriptors, before.descriptors);
    assert_int_equal(after.blocks, before.blocks);
    assert_int_equal(after.files, before.files);
    errno = 0;
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

void world_open(void)
{
    failing_let_through(true);
    failing_instead_of_epoll_pwait2 = wait_for;
    world.now_ns = BENCH_NS;
    world.signal_ns = UINT64_MAX;
    world.port = fake_open(0, NULL);
    const ssize_t size = readlink("/proc/self/exe", world.program, sizeof(world.program) - 1);
    assert_true(size > 0);
    /* In memory if that is to be had: nobody asks here what a disk takes. */
    (void)snprintf(world.folder, sizeof(world.folder), "%s/seriatim-world-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/var/tmp");
    assert_non_null(mkdtemp(world.folder));
}

void world_close(void)
{
    fake_close();
    assert_int_equal(rmdir(world.folder), 0);
}

/* ---- a server of a load's own -------------------------------------------------------------- */

/* serve --data FOLDER --listen HOST:PORT [--durability D] [--deaf] [--stubborn] [--verbose] */
void world_main(int argc, char **argv)
{
    bool deaf = false;
    if (argc < 6 || strcmp(argv[1], "serve") != 0) {
        return;
    }
    for (int i = 6; i < argc; i++) {
        deaf = deaf || strcmp(argv[i], "--deaf") == 0;
        if (strcmp(argv[i], "--stubborn") == 0) {
            (void)signal(SIGTERM, SIG_IGN);
        }
        if (strcmp(argv[i], "--verbose") == 0) {
            for (unsigned line = 1; line <= 100; line++) {
                (void)printf("this is line %u\n", line);
            }
            exit(1);
        }
    }
    const char *colon = strchr(argv[5], ':');
    if (deaf || colon == NULL) {
        for (;;) {
            (void)pause();
        }
    }
    (void)fake_open((uint16_t)strtoul(colon + 1, NULL, 10), argv[3]);
    for (;;) {
        while (fake_turn()) {
        }
        fake_wait();
    }
}
