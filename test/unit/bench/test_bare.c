/* bench/bare, bench/tcp, bench/process: what is measured beside a server, its children, and what
 * becomes of both when the system says no. Method: what a child does is done here by a thread, over
 * sockets that the test holds the other ends of. */
#include "bench/bare.h"
#include "bench/bench.h"
#include "bench/process.h"
#include "bench/tcp.h"
#include "lib/failing.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUND 100u

struct left {
    size_t descriptors;
    int64_t blocks;
};

static int setup(void **state)
{
    static struct left before;
    failing_clear();
    before = (struct left){failing_entries("/proc/self/fd"), failing_blocks()};
    *state = &before;
    return 0;
}

static int nothing_is_left(void **state)
{
    const struct left *before = *state;
    failing_clear();
    assert_int_equal(failing_entries("/proc/self/fd"), before->descriptors);
    assert_int_equal(failing_blocks(), before->blocks);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    return 0;
}

/* ---- sockets ------------------------------------------------------------------------------- */

static void pairs_are_connected_with_one_another(void **state)
{
    (void)state;
    int *ends = bench_tcp_pairs(5);
    assert_non_null(ends);
    for (size_t i = 0; i < 5; i++) {
        const char sent = (char)('a' + i);
        char got[2] = "";
        assert_int_equal(send(ends[2 * i], &sent, 1, 0), 1);
        assert_int_equal(recv(ends[2 * i + 1], got, 2, 0), 1);
        assert_int_equal(got[0], sent);
        assert_int_equal(send(ends[2 * i + 1], &sent, 1, 0), 1);
        assert_int_equal(recv(ends[2 * i], got, 2, 0), 1);
    }
    bench_tcp_pairs_close(ends, 5);
}

static void of_pairs_that_cannot_be_had_none_is_left(void **state)
{
    static const enum failing_call calls[] = {
        FAILING_mem_calloc,  FAILING_socket,  FAILING_bind,   FAILING_listen,
        FAILING_getsockname, FAILING_connect, FAILING_accept4};
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        uint64_t nth = 1;
        for (;; nth++) {
            failing_set(calls[i], nth, 1, EMFILE);
            int *ends = bench_tcp_pairs(3);
            if (ends != NULL) {
                bench_tcp_pairs_close(ends, 3);
                break;
            }
            (void)nothing_is_left(state);
        }
        assert_true(nth > 1);
        failing_clear();
    }
}

static void a_listener_says_why_there_is_none(void **state)
{
    (void)state;
    uint16_t port = 0;
    failing_set(FAILING_bind, 1, 1, EADDRNOTAVAIL);
    assert_int_equal(bench_tcp_listen(&port), -1);
    assert_int_equal(errno, EADDRNOTAVAIL);
    const int fd = bench_tcp_listen(&port);
    assert_true(fd >= 0 && port > 0);
    const int to = bench_tcp_connect(port);
    assert_true(to >= 0);
    (void)close(to);
    (void)close(fd);
    assert_int_equal(bench_tcp_connect(port), -1); /* nobody is there any more */
}

/* ---- send ---------------------------------------------------------------------------------- */

/* What the thread does, and which call of its own fails. */
struct work {
    int *ends;
    size_t count;
    int done;
    struct bench_bare_sync *sync;
    enum failing_call call;
    uint64_t nth; /* 0: none */
};

static void *drain_thread(void *ctx)
{
    const struct work *work = ctx;
    failing_set(work->call, work->nth, 1, EIO);
    bench_bare_drain(work->ends, work->count, ROUND, work->done);
    return NULL;
}

static void a_drain_answers_each_round_until_somebody_ends(void **state)
{
    (void)state;
    uint8_t bytes[ROUND] = {0};
    char byte[3];
    int done[2];
    pthread_t thread;
    int *ends = bench_tcp_pairs(2);
    assert_non_null(ends);
    assert_int_equal(pipe(done), 0);
    struct work work = {.ends = ends, .count = 2, .done = done[1]};
    assert_int_equal(pthread_create(&thread, NULL, drain_thread, &work), 0);
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(send(ends[0], bytes, ROUND - 30, 0), ROUND - 30);
        assert_int_equal(send(ends[2], bytes, 30, 0), 30);
        assert_int_equal(read(done[0], byte, sizeof(byte)), 1);
    }
    assert_int_equal(shutdown(ends[2], SHUT_WR), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    bench_tcp_pairs_close(ends, 2);
    (void)close(done[0]);
    (void)close(done[1]);
}

/* A child that cannot go on ends: else its parent would wait for ever. */
static void a_drain_that_cannot_go_on_ends(void **state)
{
    (void)state;
    static const enum failing_call calls[] = {FAILING_epoll_create1, FAILING_epoll_ctl,
                                              FAILING_epoll_wait, FAILING_recv, FAILING_write};
    uint8_t bytes[ROUND] = {0};
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        int done[2];
        pthread_t thread;
        int *ends = bench_tcp_pairs(2);
        assert_non_null(ends);
        assert_int_equal(pipe(done), 0);
        assert_int_equal(send(ends[0], bytes, ROUND, 0), ROUND);
        struct work work = {.ends = ends, .count = 2, .done = done[1], .call = calls[i], .nth = 1};
        assert_int_equal(pthread_create(&thread, NULL, drain_thread, &work), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        bench_tcp_pairs_close(ends, 2);
        (void)close(done[0]);
        (void)close(done[1]);
    }
}

static void a_send_costs_something_or_cannot_be_measured(void **state)
{
    static const enum failing_call calls[] = {FAILING_mem_calloc, FAILING_socket, FAILING_pipe2,
                                              FAILING_fork,       FAILING_send,   FAILING_read,
                                              FAILING_epoll_wait /* the child's */};
    assert_true(bench_bare_send_ns(3, 200) > 0);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        failing_set(calls[i], 1, 1, EIO);
        assert_true(bench_bare_send_ns(3, 200) == 0);
        (void)nothing_is_left(state);
    }
    failing_set(FAILING_mem_calloc, 2, 1, ENOMEM); /* the list of pairs */
    assert_true(bench_bare_send_ns(3, 200) == 0);
}

/* ---- fdatasync ----------------------------------------------------------------------------- */

static struct bench bench;

static void open_folder(void)
{
    bench = (struct bench){0};
    (void)snprintf(bench.server.folder, sizeof(bench.server.folder),
                   "/var/tmp/seriatim-bare-XXXXXX");
    assert_non_null(mkdtemp(bench.server.folder));
}

static void remove_folder(void)
{
    char path[BENCH_PATH_SIZE + 8];
    (void)snprintf(path, sizeof(path), "%s/sync", bench.server.folder);
    (void)unlink(path);
    assert_int_equal(rmdir(bench.server.folder), 0);
}

static void a_sync_takes_time_or_fails(void **state)
{
    (void)state;
    struct bench_bare_sync sync = {0};
    bench = (struct bench){0};
    assert_false(bench_bare_sync_open(&bench, 100, &sync)); /* nobody knows where the disk is */
    open_folder();
    static const enum failing_call calls[] = {FAILING_open64, FAILING_pwrite64, FAILING_fdatasync};
    for (size_t i = 0; i < 3; i++) {
        failing_set(calls[i], 1, 1, ENOSPC);
        assert_false(bench_bare_sync_open(&bench, 100, &sync));
    }
    failing_clear();
    assert_true(bench_bare_sync_open(&bench, 1u << 20, &sync)); /* more than a record holds */
    assert_true(sync.size == 4096);
    bench_bare_sync_close(&sync);
    assert_true(bench_bare_sync_open(&bench, 100, &sync));
    assert_true(bench_bare_sync_once(&sync) > 0);
    failing_set(FAILING_pwrite64, 1, 1, ENOSPC);
    assert_true(bench_bare_sync_once(&sync) == 0);
    failing_set(FAILING_fdatasync, 1, 1, EIO);
    assert_true(bench_bare_sync_once(&sync) == 0);
    assert_true(bench_bare_sync_once(&sync) > 0);
    assert_int_equal(sync.count, 4);
    bench_bare_sync_close(&sync);
    remove_folder();
}

/* ---- relays -------------------------------------------------------------------------------- */

static void *relay_thread(void *ctx)
{
    const struct work *work = ctx;
    failing_set(work->call, work->nth, 1, EIO);
    bench_bare_relay_serve(work->ends, work->count, work->sync);
    return NULL;
}

static void a_relay_sends_on_what_it_receives(void **state)
{
    (void)state;
    struct bench_bare_sync sync;
    pthread_t thread;
    int *ends = bench_tcp_pairs(4); /* two relayed pairs */
    assert_non_null(ends);
    open_folder();
    assert_true(bench_bare_sync_open(&bench, 100, &sync));
    struct work work = {.ends = ends, .count = 2, .sync = &sync};
    assert_int_equal(pthread_create(&thread, NULL, relay_thread, &work), 0);
    for (size_t i = 0; i < 10; i++) {
        int *pair = ends + i % 2 * 4;
        char got[4] = "";
        assert_int_equal(send(pair[0], "abc", 3, 0), 3);
        assert_int_equal(recv(pair[2], got, 3, MSG_WAITALL), 3);
        assert_string_equal(got, "abc");
    }
    assert_int_equal(shutdown(ends[0], SHUT_WR), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(sync.count >= 10);
    bench_bare_sync_close(&sync);
    remove_folder();
    bench_tcp_pairs_close(ends, 4);
}

static void a_relay_that_cannot_go_on_ends(void **state)
{
    (void)state;
    static const enum failing_call calls[] = {FAILING_epoll_create1, FAILING_epoll_ctl,
                                              FAILING_epoll_wait,    FAILING_recv,
                                              FAILING_pwrite64,      FAILING_send};
    struct bench_bare_sync sync;
    open_folder();
    assert_true(bench_bare_sync_open(&bench, 100, &sync));
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        pthread_t thread;
        int *ends = bench_tcp_pairs(4);
        assert_non_null(ends);
        assert_int_equal(send(ends[0], "abc", 3, 0), 3);
        struct work work = {.ends = ends, .count = 2, .sync = &sync, .call = calls[i], .nth = 1};
        assert_int_equal(pthread_create(&thread, NULL, relay_thread, &work), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        bench_tcp_pairs_close(ends, 4);
    }
    bench_bare_sync_close(&sync);
    remove_folder();
}

static bool relay(struct bench_bare_relay_result *result, size_t size)
{
    const struct bench_bare_relay how = {.pairs = 3, .size = size, .run_ns = BENCH_NS / 50};
    return bench_bare_relay(&how, result);
}

static void a_relayed_message_takes_time_or_cannot_be_measured(void **state)
{
    static const struct {
        enum failing_call call;
        uint64_t nth;
        int error;
    } faults[] = {
        {FAILING_mem_calloc, 1, ENOMEM},    {FAILING_mem_calloc, 2, ENOMEM},
        {FAILING_mem_calloc, 3, ENOMEM},    {FAILING_socket, 4, EMFILE},
        {FAILING_epoll_create1, 1, EMFILE}, {FAILING_fork, 1, EAGAIN},
        {FAILING_epoll_ctl, 2, ENOSPC},     {FAILING_epoll_wait, 2, EINTR},
        {FAILING_send, 2, EPIPE},           {FAILING_send, 6, EPIPE},
        {FAILING_recv, 1, ECONNRESET},
    };
    struct bench_bare_relay_result *result = calloc(1, sizeof(*result));
    assert_non_null(result);
    assert_true(relay(result, 100));
    assert_true(result->ns.count > 3 && histogram_at(&result->ns, 5000) > 0);
    assert_true(relay(result, 20000)); /* comes in more than one piece */
    assert_true(result->ns.count > 3);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        failing_set(faults[i].call, faults[i].nth, 1, faults[i].error);
        assert_false(relay(result, 100));
        assert_true(result->cpu_ns == 0);
        (void)nothing_is_left(state);
    }
    free(result);
}

/* ---- children ------------------------------------------------------------------------------ */

static void sleep_on(const void *ctx)
{
    (void)ctx;
    for (;;) {
        (void)pause();
    }
}

static void end_at_once(const void *ctx)
{
    (void)ctx;
}

static void a_child_is_waited_for_through_signals(void **state)
{
    (void)state;
    pid_t child = process_start(sleep_on, NULL);
    assert_true(child > 0);
    assert_false(process_ended(child));
    failing_set(FAILING_wait4, 1, 3, EINTR);
    (void)process_kill(child);
    assert_int_equal(failing_calls(FAILING_wait4), 4);
    assert_int_equal(kill(child, 0), -1);
    /* One that is somebody else's, or nobody. */
    failing_set(FAILING_wait4, 1, 1, ECHILD);
    assert_int_equal(process_kill(0x7ffffff0), 0);
    assert_int_equal(process_kill(0), 0);
    assert_int_equal(process_kill(-1), 0);
    child = process_start(end_at_once, NULL);
    assert_true(child > 0);
    while (!process_ended(child)) {
        (void)usleep(1000);
    }
    failing_set(FAILING_fork, 1, 1, EAGAIN);
    assert_int_equal(process_start(end_at_once, NULL), -1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, nothing_is_left)
    const struct CMUnitTest tests[] = {
        CASE(pairs_are_connected_with_one_another),
        CASE(of_pairs_that_cannot_be_had_none_is_left),
        CASE(a_listener_says_why_there_is_none),
        CASE(a_drain_answers_each_round_until_somebody_ends),
        CASE(a_drain_that_cannot_go_on_ends),
        CASE(a_send_costs_something_or_cannot_be_measured),
        CASE(a_sync_takes_time_or_fails),
        CASE(a_relay_sends_on_what_it_receives),
        CASE(a_relay_that_cannot_go_on_ends),
        CASE(a_relayed_message_takes_time_or_cannot_be_measured),
        CASE(a_child_is_waited_for_through_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
