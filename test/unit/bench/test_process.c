/* bench/process: a server that is a master with workers costs what all of them cost.
 * Method: a child that starts a grandchild, which takes CPU and memory that the child does not. */
#include "bench/process.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define BURN_NS   UINT64_C(200000000)
#define HELD_SIZE (32u << 20)

static uint64_t own_cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static _Noreturn void grandchild(int say)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    volatile uint8_t *held = malloc(HELD_SIZE);
    for (size_t i = 0; held != NULL && i < HELD_SIZE; i += 1024) {
        held[i] = 1;
    }
    while (own_cpu_ns() < BURN_NS) {
    }
    (void)!write(say, "x", 1);
    for (;;) {
        (void)pause();
    }
}

/* A master: it waits for one worker, which is then in its own CPU, and keeps another. */
static _Noreturn void child(int say)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    const pid_t first = fork();
    if (first == 0) {
        while (own_cpu_ns() < BURN_NS) {
        }
        _exit(0);
    }
    (void)waitpid(first, NULL, 0);
    if (fork() == 0) {
        grandchild(say);
    }
    for (;;) {
        (void)pause();
    }
}

static void a_tree_costs_what_all_of_it_costs(void **state)
{
    (void)state;
    int fds[2];
    char byte;
    pid_t tree[PROCESS_TREE_MAX];
    assert_int_equal(pipe(fds), 0);
    const pid_t root = fork();
    if (root == 0) {
        child(fds[1]);
    }
    (void)close(fds[1]);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    assert_int_equal(process_tree(root, tree), 2);
    assert_int_equal(tree[0], root);
    /* Ticks of 10 ms, rounded down for each of three processes and two kinds of time. */
    assert_true(process_cpu_ns(root) >= 2 * BURN_NS - 6 * UINT64_C(10000000));
    assert_true(process_bytes(root, "status", "VmRSS:") >= HELD_SIZE);
    assert_true(process_bytes(root, "status", "RssAnon:") >= HELD_SIZE);
    assert_int_equal(process_bytes(root, "status", "no such name"), 0);
    (void)kill(tree[1], SIGKILL);
    (void)kill(root, SIGKILL);
    assert_int_equal(waitpid(root, NULL, 0), root);
    assert_int_equal(process_tree(root, tree), 0);
    assert_int_equal(process_cpu_ns(root), 0);
    (void)close(fds[0]);
}

static void no_process_costs_nothing(void **state)
{
    (void)state;
    pid_t tree[PROCESS_TREE_MAX];
    assert_int_equal(process_tree(0, tree), 0);
    assert_int_equal(process_cpu_ns(0), 0);
    assert_int_equal(process_bytes(0, "status", "VmRSS:"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_costs_what_all_of_it_costs),
        cmocka_unit_test(no_process_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
