/* server/server: whole servers, from the start to the stop, and a start of which one call fails.
 *
 * Goal: whichever call fails, the server serves all the same, or ends with status 1 and an error
 * that says why; it keeps no descriptor and no memory, closes no descriptor that is not its own,
 * and the next start over the same data directory serves. A stop waits as long as it should and no
 * longer.
 * Method: each server in a process of its own; the test reads its log of events and sends it
 * signals. The n-th call of a kind fails in the thread that starts and stops the others; n goes up
 * until there is no such call, beyond the first sixteen with gaps: the logger alone asks for
 * hundreds of rings. */
#include "server/server.h"

#include "base/mem.h"
#include "lib/failing.h"
#include "server/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_MS     30000
#define DESCRIPTORS_MAX 256
#define LOG_BYTES_MAX   (64u * 1024u)

/* ---- a server in a process of its own -------------------------------------------------------- */

struct fault {
    enum failing_call call;
    int error;
    uint64_t nth; /* 0: none */
};

/* What the process says at its end. */
struct report {
    int status;
    uint64_t hits;
    int64_t blocks; /* more than at its begin */
    uint64_t descriptors_may;
    uint8_t before[DESCRIPTORS_MAX];
    uint8_t after[DESCRIPTORS_MAX];
};

struct run {
    pid_t child;
    int log_fd;
    int report_fd;
    bool reported;
    struct report report;
    int wait_status;
    size_t log_size;
    char log[LOG_BYTES_MAX];
};

/* What the child does in front of the start; NULL: nothing. */
typedef void prepare(void);

static void descriptors_note(uint8_t to[static DESCRIPTORS_MAX])
{
    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++) {
        struct stat status;
        to[fd] = fstat(fd, &status) == 0;
    }
}

/* In the child: serves, and tells what came of it. */
_Noreturn static void serve(const struct config *config, struct fault fault, int log_fd,
                            int report_fd)
{
    static struct report report;
    logger_init(config->log_level, config->log_format, log_fd);
    descriptors_note(report.before);
    const int64_t blocks = failing_blocks();
    failing_clear();
    failing_set(fault.call, fault.nth, 1, fault.error);
    report.status = server_main(config);
    report.hits = failing_hits(fault.call);
    failing_clear();
    report.blocks = failing_blocks() - blocks;
    descriptors_note(report.after);
    struct rlimit limit;
    const bool told = getrlimit(RLIMIT_NOFILE, &limit) == 0;
    report.descriptors_may = limit.rlim_cur;
    exit(told && write(report_fd, &report, sizeof(report)) == (ssize_t)sizeof(report) ? 0 : 3);
}

/* `log` is where the server writes it: both ends. */
static void run_begin(struct run *run, const struct config *config, struct fault fault,
                      prepare *first, const int log[2])
{
    int report_pipe[2];
    *run = (struct run){.log_fd = log[0]};
    assert_int_equal(pipe(report_pipe), 0);
    (void)fflush(NULL);
    run->child = fork();
    assert_true(run->child >= 0);
    if (run->child == 0) {
        (void)close(log[0]);
        (void)close(report_pipe[0]);
        (void)dup2(log[1], STDERR_FILENO); /* assertions, and words to a terminal */
        if (first != NULL) {
            first();
        }
        serve(config, fault, log[1], report_pipe[1]);
    }
    assert_int_equal(close(log[1]), 0);
    assert_int_equal(close(report_pipe[1]), 0);
    run->report_fd = report_pipe[0];
}

/* Reads the log on until it says `text` (true) or ends. */
static bool log_wait(struct run *run, const char *text)
{
    while (text == NULL || strstr(run->log, text) == NULL) {
        struct pollfd wait = {.fd = run->log_fd, .events = POLLIN};
        if (poll(&wait, 1, DEADLINE_MS) != 1) {
            (void)kill(run->child, SIGKILL);
            fail_msg("a server neither goes on nor ends:\n%s", run->log);
        }
        const size_t room = sizeof(run->log) - 1 - run->log_size;
        const ssize_t got = read(run->log_fd, run->log + run->log_size, room);
        if (got <= 0) {
            return false; /* a terminal whose other end is closed says EIO */
        }
        run->log_size += (size_t)got;
        run->log[run->log_size] = '\0';
    }
    return true;
}

static void run_end(struct run *run)
{
    (void)log_wait(run, NULL);
    const ssize_t got = read(run->report_fd, &run->report, sizeof(run->report));
    run->reported = got == (ssize_t)sizeof(run->report);
    assert_int_equal(waitpid(run->child, &run->wait_status, 0), run->child);
    assert_int_equal(close(run->log_fd), 0);
    assert_int_equal(close(run->report_fd), 0);
}

static bool has_listened(const struct run *run)
{
    return strstr(run->log, "\"listening\"") != NULL;
}

static void run_begin_piped(struct run *run, const struct config *config, struct fault fault,
                            prepare *first)
{
    int log[2];
    assert_int_equal(pipe(log), 0);
    run_begin(run, config, fault, first, log);
}

/* As soon as it listens it is stopped. */
static void run_server(struct run *run, const struct config *config, struct fault fault,
                       prepare *first)
{
    run_begin_piped(run, config, fault, first);
    if (log_wait(run, "\"listening\"")) {
        assert_int_equal(kill(run->child, SIGTERM), 0);
    }
    run_end(run);
}

/* ---- a data directory ------------------------------------------------------------------------ */

struct fixture {
    char root[256];
    struct config config;
    char *origin; /* allowed */
    struct run run;
};

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

static void data_remove(const struct fixture *f)
{
    struct stat status;
    if (stat(f->config.data, &status) == 0) {
        assert_int_equal(nftw(f->config.data, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    }
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    /* In memory if that is to be had: a stop syncs the whole file system, with what others have
     * written to it. */
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");
    (void)snprintf(f->root, sizeof(f->root), "%s/seriatim-server-XXXXXX",
                   folder == NULL ? "." : folder);
    assert_non_null(mkdtemp(f->root));
    char data[512];
    (void)snprintf(data, sizeof(data), "%s/data", f->root);
    assert_int_equal(config_defaults(&f->config), RC_OK);
    mem_free(f->config.data);
    f->config.data = mem_strdup(data);
    f->origin = mem_strdup("https://example.org");
    f->config.allowed_origins = (struct config_list){.items = &f->origin, .count = 1};
    f->config.log_format = LOG_FORMAT_JSON;
    f->config.listen.port = 0;
    f->config.threads = 2;
    f->config.partitions = 2;
    f->config.segment_bytes = 4096;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    data_remove(f);
    assert_int_equal(rmdir(f->root), 0);
    f->config.allowed_origins = (struct config_list){0};
    mem_free(f->origin);
    config_deinit(&f->config);
    free(f);
    return 0;
}

/* ---- judgements ------------------------------------------------------------------------------ */

/* NULL, or what is wrong with what came of it. */
static const char *judge(const struct run *run)
{
    const struct report *report = &run->report;
    if (!run->reported || !WIFEXITED(run->wait_status) || WEXITSTATUS(run->wait_status) != 0) {
        return "it does not end by itself";
    }
    if (report->blocks != 0) {
        return "it keeps memory";
    }
    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++) {
        if (report->before[fd] != report->after[fd]) {
            return report->after[fd] ? "it keeps a descriptor" : "it closes a descriptor of others";
        }
    }
    if (report->status != 0 && report->status != 1) {
        return "its status is none";
    }
    const bool told = strstr(run->log, "\"level\":\"error\"") != NULL;
    return report->status == 1 && !told ? "it does not say why" : NULL;
}

static void must(struct run *run, int status)
{
    const char *wrong = judge(run);
    if (wrong != NULL || run->report.status != status) {
        fail_msg("%s\n%s", wrong == NULL ? "another status" : wrong, run->log);
    }
}

static void must_serve(struct fixture *f)
{
    run_server(&f->run, &f->config, (struct fault){0}, NULL);
    must(&f->run, 0);
    assert_true(has_listened(&f->run));
}

static void must_say(struct run *run, const char *text)
{
    if (strstr(run->log, text) == NULL) {
        fail_msg("it does not say %s\n%s", text, run->log);
    }
}

/* ---- whichever call fails -------------------------------------------------------------------- */

/* Mail to stop the others cannot be had: the process ends at once. What is committed is safe. */
static bool ended_for_want_of_memory(const struct run *run)
{
    return !run->reported && WIFEXITED(run->wait_status) && WEXITSTATUS(run->wait_status) == 1 &&
           strstr(run->log, "out of memory: the reactors cannot be told to stop") != NULL;
}

/* False: there is no such call. */
static bool fail_one(struct fixture *f, struct fault fault)
{
    struct run *run = &f->run;
    run_server(run, &f->config, fault, NULL);
    const bool ended = ended_for_want_of_memory(run);
    const char *wrong = ended ? NULL : judge(run);
    const bool hit = ended || run->report.hits > 0;
    if (wrong == NULL && !hit && run->report.status != 0) {
        wrong = "it fails without a fault";
    }
    if (wrong == NULL && !ended && run->report.status == 0 && !has_listened(run)) {
        wrong = "it has served nobody, and its status says that all is well";
    }
    if (wrong != NULL) {
        fail_msg("%s number %u, errno %d: %s\n%s", failing_name(fault.call), (unsigned)fault.nth,
                 fault.error, wrong, run->log);
    }
    must_serve(f);
    return hit;
}

/* Over no data directory, or over the one that the case before has left. */
static void fail_each(struct fixture *f, enum failing_call call, int error, bool fresh)
{
    bool hit = true;
    uint64_t count = 0;
    for (uint64_t nth = 1; hit; nth += 1 + nth / 16) {
        if (fresh) {
            data_remove(f);
        }
        hit = fail_one(f, (struct fault){.call = call, .error = error, .nth = nth});
        count += hit;
    }
    if (fresh && count == 0) {
        fail_msg("%s is never called", failing_name(call));
    }
}

static void whichever_call_fails_the_start_says_so_and_the_next_one_serves(void **state)
{
    static const struct {
        enum failing_call call;
        int error;
    } rows[] = {
        {FAILING_getrandom, EAGAIN},
        {FAILING_signalfd, EMFILE},
        {FAILING_mkdir, EACCES},
        {FAILING_open64, EMFILE},
        {FAILING_openat64, EMFILE},
        {FAILING_openat64, EACCES},
        {FAILING_flock, EIO},
        {FAILING_fstat64, EIO},
        {FAILING_mkdirat, ENOSPC},
        {FAILING_pread64, EIO},
        {FAILING_pwrite64, EIO},
        {FAILING_pwrite64, ENOSPC},
        {FAILING_fdatasync, EIO},
        {FAILING_fsync, EIO},
        {FAILING_renameat, EIO},
        {FAILING_unlinkat, EIO},
        {FAILING_fdopendir, ENOMEM},
        {FAILING_readdir64, EIO},
        {FAILING_getaddrinfo, EAI_AGAIN},
        {FAILING_socket, EMFILE},
        {FAILING_bind, EADDRINUSE},
        {FAILING_listen, EACCES},
        {FAILING_eventfd, EMFILE},
        {FAILING_epoll_create1, EMFILE},
        {FAILING_epoll_ctl, ENOSPC},
        {FAILING_pthread_create, EAGAIN},
        {FAILING_syncfs, EIO},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fail_each(*state, rows[i].call, rows[i].error, true);
        fail_each(*state, rows[i].call, rows[i].error, false);
    }
}

static void whichever_allocation_fails_the_start_says_so_and_the_next_one_serves(void **state)
{
    static const enum failing_call calls[] = {FAILING_mem_alloc, FAILING_mem_calloc,
                                              FAILING_mem_calloc_lines, FAILING_mem_realloc};
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        fail_each(*state, calls[i], ENOMEM, true);
    }
}

static void without_a_disk_too(void **state)
{
    struct fixture *f = *state;
    f->config.durability = DURABILITY_MEMORY;
    must_serve(f);
    must_say(&f->run, "\"data\":\"-\",\"durability\":\"memory\"");
    assert_int_not_equal(access(f->config.data, F_OK), 0);
    fail_each(f, FAILING_pthread_mutex_init, ENOMEM, true);
    fail_each(f, FAILING_mem_calloc, ENOMEM, true);
    f->config.retention_bytes = 4096;
    must_serve(f);
}

/* ---- what a start says ----------------------------------------------------------------------- */

static void a_data_directory_of_another_node_is_refused(void **state)
{
    struct fixture *f = *state;
    must_serve(f);
    f->config.node++;
    run_server(&f->run, &f->config, (struct fault){0}, NULL);
    must(&f->run, 1);
    must_say(&f->run, "\"event\":\"cannot use the data directory\"");
    must_say(&f->run, "the data directory belongs to node 0, the setting node is 1");
    f->config.node--;
    must_serve(f);
}

static void the_number_of_partitions_stays(void **state)
{
    struct fixture *f = *state;
    must_serve(f);
    f->config.partitions = 5;
    must_serve(f);
    must_say(&f->run, "the data directory keeps the number of partitions it was made with\","
                      "\"partitions\":2}");
    must_say(&f->run, "\"threads\":2,\"partitions\":2}");
}

static void threads_are_as_many_as_cores(void **state)
{
    struct fixture *f = *state;
    char text[32];
    f->config.threads = 0;
    must_serve(f);
    (void)snprintf(text, sizeof(text), "\"threads\":%ld,", sysconf(_SC_NPROCESSORS_ONLN));
    must_say(&f->run, text);
    run_server(&f->run, &f->config,
               (struct fault){.call = FAILING_sysconf, .error = EINVAL, .nth = 1}, NULL);
    must(&f->run, 0);
    assert_int_equal(f->run.report.hits, 1);
    must_say(&f->run, "\"threads\":1,"); /* where nobody knows: one */
}

static void few_descriptors(void)
{
    struct rlimit limit = {0};
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 64;
    limit.rlim_max = 300;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void it_takes_as_many_descriptors_as_it_may_have(void **state)
{
    struct fixture *f = *state;
    run_server(&f->run, &f->config, (struct fault){0}, few_descriptors);
    must(&f->run, 0);
    assert_int_equal(f->run.report.descriptors_may, 300);
}

/* Both ends of a terminal. */
static void terminal_open(int to[2])
{
    to[0] = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(to[0] >= 0);
    assert_int_equal(grantpt(to[0]), 0);
    assert_int_equal(unlockpt(to[0]), 0);
    char name[64];
    assert_int_equal(ptsname_r(to[0], name, sizeof(name)), 0);
    to[1] = open(name, O_RDWR | O_NOCTTY);
    assert_true(to[1] >= 0);
}

static void a_person_at_a_terminal_is_told_what_to_try(void **state)
{
    struct fixture *f = *state;
    for (int memory = 0; memory < 2; memory++) {
        int log[2];
        char data[600];
        f->config.log_format = LOG_FORMAT_AUTO;
        f->config.durability = memory ? DURABILITY_MEMORY : DURABILITY_FSYNC;
        (void)snprintf(data, sizeof(data), "data     %s (durability %s)",
                       memory ? "in memory" : f->config.data, memory ? "memory" : "fsync");
        terminal_open(log);
        run_begin(&f->run, &f->config, (struct fault){0}, NULL, log);
        assert_true(log_wait(&f->run, "pub hello 'Hello, world' --url ws://127.0.0.1:"));
        assert_int_equal(kill(f->run.child, SIGTERM), 0);
        run_end(&f->run);
        must(&f->run, 0);
        must_say(&f->run, " listens on ws://127.0.0.1:");
        must_say(&f->run, data);
        must_say(&f->run, "access   open to everybody on this machine");
        must_say(&f->run, "sub hello --from earliest --url ws://127.0.0.1:");
        must_say(&f->run, " INFO listening addr=127.0.0.1:"); /* as text, not JSON */
    }
}

static void the_loopback_of_ipv6_is_this_machine(void **state)
{
    struct fixture *f = *state;
    (void)snprintf(f->config.listen.host, sizeof(f->config.listen.host), "::1");
    run_server(&f->run, &f->config, (struct fault){0}, NULL);
    if (f->run.report.status == 1) {
        must_say(&f->run, "\"cannot listen\"");
        skip(); /* a machine without IPv6 */
    }
    must(&f->run, 0);
    must_say(&f->run, "\"addr\":\"[::1]:");
    must_say(&f->run, "open to everybody on this machine");
}

/* ---- stops ----------------------------------------------------------------------------------- */

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static void sigterm_is_there(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)raise(SIGTERM);
}

static void a_signal_during_the_start_is_a_stop(void **state)
{
    struct fixture *f = *state;
    f->config.partitions = 16;
    run_begin_piped(&f->run, &f->config, (struct fault){0}, sigterm_is_there);
    run_end(&f->run);
    must(&f->run, 0);
    must_say(&f->run, "\"event\":\"stopped\"");
    must_serve(f);
}

/* A client that has connected, or only begun to, and then does nothing. */
static int client_open(const struct run *run)
{
    const char *address = strstr(run->log, "\"addr\":\"127.0.0.1:");
    assert_non_null(address);
    const unsigned long port = strtoul(address + 18, NULL, 10);
    const struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void client_send(int fd, const void *bytes, size_t size)
{
    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

/* Reads until `text` has come; false: the end came first. */
static bool client_wait(int fd, const char *text, size_t text_size)
{
    static uint8_t bytes[8192];
    size_t size = 0;
    while (memmem(bytes, size, text, text_size) == NULL) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, DEADLINE_MS), 1);
        const ssize_t got = recv(fd, bytes + size, sizeof(bytes) - size, 0);
        if (got <= 0) {
            return false;
        }
        size += (size_t)got;
    }
    return true;
}

static int client_upgraded(const struct run *run)
{
    static const char head[] = "GET /v1/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                               "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    const int fd = client_open(run);
    client_send(fd, head, sizeof(head) - 1);
    assert_true(client_wait(fd, "HTTP/1.1 101", 12));
    return fd;
}

static void begin_and_listen(struct fixture *f)
{
    run_begin_piped(&f->run, &f->config, (struct fault){0}, NULL);
    assert_true(log_wait(&f->run, "\"listening\""));
}

static void stop_begin(struct run *run)
{
    assert_int_equal(kill(run->child, SIGTERM), 0);
    assert_true(log_wait(run, "\"draining\""));
}

/* The shortest of a few: the machine has other things to do, too. */
static void a_stop_while_nobody_is_there_is_short(void **state)
{
    struct fixture *f = *state;
    uint64_t shortest = UINT64_MAX;
    for (int i = 0; i < 5 && shortest > 900; i++) {
        begin_and_listen(f);
        const uint64_t begin = now_ms();
        stop_begin(&f->run);
        run_end(&f->run);
        must(&f->run, 0);
        shortest = now_ms() - begin < shortest ? now_ms() - begin : shortest;
    }
    assert_in_range(shortest, 0, 900); /* reactors that sleep do so for a second */
}

/* After a second signal the rest of the stop has half a second, which this machine may need. */
static bool was_too_slow(const struct run *run)
{
    return strstr(run->log, "the disk does not answer") != NULL;
}

/* Whether it came before the clients' half second was over; there is no time for Close frames then.
 */
static bool second_signal_in_time(struct fixture *f)
{
    begin_and_listen(f);
    const int client = client_upgraded(&f->run);
    stop_begin(&f->run);
    assert_int_equal(kill(f->run.child, SIGTERM), 0);
    run_end(&f->run);
    const bool in_time = strstr(f->run.log, "stopping with work in flight") != NULL;
    assert_int_equal(client_wait(client, "\x88", 1), !in_time);
    assert_int_equal(close(client), 0);
    if (was_too_slow(&f->run)) {
        return false;
    }
    must(&f->run, 0);
    return in_time;
}

static void a_second_signal_ends_the_drain(void **state)
{
    bool in_time = false;
    for (int i = 0; i < 5 && !in_time; i++) {
        in_time = second_signal_in_time(*state);
    }
    assert_true(in_time);
}

static void a_drain_has_its_bound(void **state)
{
    struct fixture *f = *state;
    f->config.drain_timeout_ms = 0;
    begin_and_listen(f);
    const int client = client_upgraded(&f->run);
    stop_begin(&f->run);
    assert_true(client_wait(client, "\x88", 1));
    run_end(&f->run);
    must(&f->run, 0);
    must_say(&f->run, "stopping with work in flight");
    assert_int_equal(close(client), 0);
}

static void a_second_signal_ends_the_wait_for_the_clients_close(void **state)
{
    struct fixture *f = *state;
    bool slow = true;
    for (int i = 0; i < 5 && slow; i++) {
        begin_and_listen(f);
        const int client = client_upgraded(&f->run);
        stop_begin(&f->run);
        assert_true(client_wait(client, "\x88", 1)); /* and is not answered */
        assert_int_equal(kill(f->run.child, SIGTERM), 0);
        run_end(&f->run);
        assert_int_equal(close(client), 0);
        slow = was_too_slow(&f->run);
    }
    must(&f->run, 0);
    assert_null(strstr(f->run.log, "stopping with work in flight"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(whichever_call_fails_the_start_says_so_and_the_next_one_serves),
        CASE(whichever_allocation_fails_the_start_says_so_and_the_next_one_serves),
        CASE(without_a_disk_too),
        CASE(a_data_directory_of_another_node_is_refused),
        CASE(the_number_of_partitions_stays),
        CASE(threads_are_as_many_as_cores),
        CASE(it_takes_as_many_descriptors_as_it_may_have),
        CASE(a_person_at_a_terminal_is_told_what_to_try),
        CASE(the_loopback_of_ipv6_is_this_machine),
        CASE(a_signal_during_the_start_is_a_stop),
        CASE(a_stop_while_nobody_is_there_is_short),
        CASE(a_second_signal_ends_the_drain),
        CASE(a_drain_has_its_bound),
        CASE(a_second_signal_ends_the_wait_for_the_clients_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
