/* The C client library where the system says no: a disk that is full or fails, memory that runs
 * out, descriptors and threads that are refused. Method: there is no server, so all that is
 * published waits in the outbox's file. What was told to have failed and what the next client finds
 * there must add up to what was published, in order. */
#include "base/tune.h"
#include "lib/failing.h"
#include "sdk/private.h"

#include <errno.h>
#include <poll.h>
#include <seriatim/client.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MESSAGES 6

struct world {
    char folder[64];
    struct seriatim_client *client;
    int told[MESSAGES + 1]; /* by message: 1 + how it ended, 0: it waits */
    int found[MESSAGES + 1];
    int last_found;
    bool failed; /* the client, for good */
};

static void on_published(void *user, const struct seriatim_published *p)
{
    struct world *w = user;
    const size_t n = (size_t)(uintptr_t)p->user;
    assert_true(n >= 1 && n <= MESSAGES);
    assert_int_equal(w->told[n], 0);
    w->told[n] = 1 + (int)p->status;
}

static void on_connection(void *user, enum seriatim_connection connection, const char *why)
{
    struct world *w = user;
    (void)why;
    w->failed = w->failed || connection == SERIATIM_FAILED;
}

static enum seriatim_status open_client(struct world *w, bool thread)
{
    const char *urls[] = {"ws://127.0.0.1:1"};
    const struct seriatim_client_options options = {.size = sizeof(options),
                                                    .endpoints = urls,
                                                    .endpoint_count = 1,
                                                    .outbox = w->folder,
                                                    .thread = thread,
                                                    .user = w,
                                                    .on_published = on_published,
                                                    .on_connection = on_connection};
    return seriatim_client_new(&options, &w->client, NULL);
}

static void open_world(struct world *w)
{
    *w = (struct world){.folder = "/var/tmp/seriatim-XXXXXX"};
    assert_non_null(mkdtemp(w->folder));
}

static void close_world(struct world *w)
{
    static const char *const names[] = {"outbox", "outbox.new", "LOCK"};
    char file[96];
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(file, sizeof(file), "%s/%s", w->folder, names[i]);
        (void)unlink(file);
    }
    assert_int_equal(rmdir(w->folder), 0);
}

/* Message n goes to one channel or the other. */
static enum seriatim_status publish(struct world *w, int n)
{
    char data[16];
    (void)snprintf(data, sizeof(data), "%d", n);
    const struct seriatim_publish p = {.size = sizeof(p),
                                       .channel = n % 2 == 0 ? "even" : "odd",
                                       .data = data,
                                       .data_size = strlen(data),
                                       .user = (void *)(uintptr_t)n};
    return seriatim_publish(w->client, &p);
}

static void turn(struct world *w)
{
    const enum seriatim_status status = seriatim_client_turn(w->client);
    assert_true(status == SERIATIM_OK || w->failed);
}

static bool find(void *user, const struct seriatim_pending *p)
{
    struct world *w = user;
    char text[16] = {0};
    assert_true(p->data_size < sizeof(text) && p->recovered && p->user == NULL);
    (void)memmove(text, p->data, p->data_size);
    const int n = atoi(text);
    assert_true(n >= 1 && n <= MESSAGES);
    assert_string_equal(p->channel, n % 2 == 0 ? "even" : "odd");
    assert_int_equal(w->found[n], 0);
    w->found[n] = (int)p->producer_seq;
    return true;
}

/* What the next client finds: each that was not told, under numbers without a hole. `told_too`: one
 * that was told may be there all the same. */
static void judge(struct world *w, bool told_too)
{
    (void)seriatim_client_close(w->client, 0);
    assert_int_equal(open_client(w, false), SERIATIM_OK);
    seriatim_client_pending(w->client, find, w);
    (void)seriatim_client_close(w->client, 0);
    uint64_t next[2] = {1, 1};
    for (int n = 1; n <= MESSAGES; n++) {
        if (!told_too || w->told[n] == 0) {
            assert_int_equal(w->found[n] != 0, w->told[n] == 0);
        }
        if (w->found[n] != 0) {
            assert_int_equal(w->found[n], next[n % 2]++);
        }
    }
}

static void a_full_disk_costs_what_finds_no_room_and_nothing_else(void **state)
{
    (void)state;
    for (int bad = 1; bad <= MESSAGES; bad++) {
        struct world w;
        open_world(&w);
        assert_int_equal(open_client(&w, false), SERIATIM_OK);
        for (int n = 1; n <= MESSAGES; n++) {
            if (n == bad) {
                failing_set(FAILING_pwrite64, 1, 1, ENOSPC);
            }
            assert_int_equal(publish(&w, n), SERIATIM_OK);
            turn(&w);
            failing_clear();
        }
        assert_int_equal(w.told[bad], 1 + SERIATIM_DISK);
        judge(&w, false);
        close_world(&w);
    }
}

static void after_a_failed_sync_nothing_is_taken(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(open_client(&w, false), SERIATIM_OK);
    assert_int_equal(publish(&w, 1), SERIATIM_OK);
    assert_int_equal(publish(&w, 2), SERIATIM_OK);
    turn(&w);
    assert_int_equal(publish(&w, 3), SERIATIM_OK);
    failing_set(FAILING_fdatasync, 1, 1, EIO);
    turn(&w);
    failing_clear();
    assert_int_equal(w.told[3], 1 + SERIATIM_DISK);
    assert_int_equal(publish(&w, 4), SERIATIM_DISK);
    w.told[4] = w.told[5] = w.told[6] = 1; /* never published */
    judge(&w, true);
    close_world(&w);
}

static void on_answer(void *user, const struct seriatim_answer *answer)
{
    (void)user;
    (void)answer;
    fail();
}

/* When a message is refused the next one gets its number, and may be sent under that only when a
 * start would find it so: with a sync that fails the client ends rather than send it. */
static void a_number_that_has_changed_is_on_disk_before_it_is_sent(void **state)
{
    (void)state;
    struct world w;
    struct outbox_channel *odd;
    open_world(&w);
    assert_int_equal(open_client(&w, false), SERIATIM_OK);
    assert_int_equal(publish(&w, 1), SERIATIM_OK);
    assert_int_equal(publish(&w, 3), SERIATIM_OK);
    turn(&w);
    assert_int_equal(outbox_channel(&w.client->agent.outbox, BYTES_LITERAL("odd"), &odd), RC_OK);
    sdk_outbox_ops.dropped(w.client, odd); /* as the outbox does then */
    failing_set(FAILING_fdatasync, 1, 1, EIO);
    turn(&w);
    failing_clear();
    assert_true(w.failed);
    const struct seriatim_digest digest = {
        .size = sizeof(digest), .channel = "odd", .on_answer = on_answer};
    assert_int_equal(seriatim_digest(w.client, &digest), SERIATIM_CLOSED); /* nobody would answer */
    (void)seriatim_client_close(w.client, 0);
    close_world(&w);
}

/* A channel ends, and takes with it what comes then: both are to be written before the file is. */
static void a_message_to_a_channel_that_has_ended_does_no_harm_to_the_file(void **state)
{
    (void)state;
    struct world w;
    struct outbox_channel *odd;
    tune.rewrite_bytes = 1;
    open_world(&w);
    assert_int_equal(open_client(&w, false), SERIATIM_OK);
    assert_int_equal(publish(&w, 1), SERIATIM_OK);
    turn(&w);
    assert_int_equal(outbox_channel(&w.client->agent.outbox, BYTES_LITERAL("odd"), &odd), RC_OK);
    odd->ended_ = true; /* as a server does that knows nothing of the producer */
    assert_int_equal(publish(&w, 3), SERIATIM_OK);
    turn(&w);
    assert_int_equal(w.told[1], 1 + SERIATIM_UNKNOWN);
    assert_int_equal(w.told[3], 1 + SERIATIM_UNKNOWN);
    turn(&w);
    for (int n = 4; n <= MESSAGES; n++) {
        assert_int_equal(publish(&w, n), SERIATIM_OK);
    }
    assert_int_equal(publish(&w, 2), SERIATIM_OK);
    turn(&w);
    assert_int_equal(w.told[5], 1 + SERIATIM_UNKNOWN);
    (void)seriatim_client_close(w.client, 0);
    assert_int_equal(open_client(&w, false), SERIATIM_OK);
    seriatim_client_pending(w.client, find, &w);
    (void)seriatim_client_close(w.client, 0);
    for (int n = 1; n <= MESSAGES; n++) {
        assert_int_equal(w.found[n] != 0, n % 2 == 0);
    }
    close_world(&w);
    tune = tune_default;
}

/* Each allocation in turn: what was taken and not told is there afterwards. */
static void memory_that_runs_out_loses_nothing_that_was_not_told(void **state)
{
    (void)state;
    static const enum failing_call calls[] = {FAILING_mem_alloc, FAILING_mem_calloc,
                                              FAILING_mem_realloc};
    unsigned failures = 0;
    for (size_t i = 0; i < 3; i++) {
        bool more = true;
        for (uint64_t k = 1; more; k++) {
            struct world w;
            assert_true(k < 200);
            open_world(&w);
            assert_int_equal(open_client(&w, false), SERIATIM_OK);
            failing_set(calls[i], k, 1, ENOMEM);
            for (int n = 1; n <= MESSAGES; n++) {
                if (publish(&w, n) != SERIATIM_OK) {
                    w.told[n] = 1 + SERIATIM_NOMEM;
                }
                if (n % 2 == 0) {
                    turn(&w);
                }
            }
            more = failing_hits(calls[i]) > 0;
            failing_clear();
            turn(&w);
            for (int n = 1; n <= MESSAGES; n++) {
                failures += w.told[n] != 0 ? 1 : 0;
            }
            judge(&w, false);
            close_world(&w);
        }
    }
    assert_true(failures > 10);
}

/* Each call of a start fails in turn. */
static void a_start_that_fails_says_so_and_leaves_nothing_behind(void **state)
{
    (void)state;
    static const struct {
        enum failing_call call;
        uint64_t nth;
        int error;
        enum seriatim_status status;
    } cases[] = {
        {FAILING_epoll_create1, 1, EMFILE, SERIATIM_SYSTEM},
        {FAILING_eventfd, 1, EMFILE, SERIATIM_SYSTEM},
        {FAILING_epoll_ctl, 1, ENOMEM, SERIATIM_SYSTEM},
        {FAILING_pthread_create, 1, EAGAIN, SERIATIM_SYSTEM},
        {FAILING_openat64, 2, EACCES, SERIATIM_DISK}, /* the first is the parent's, and forgiven */
        {FAILING_fsync, 2, EIO, SERIATIM_DISK},
        {FAILING_flock, 1, EWOULDBLOCK, SERIATIM_LOCKED},
        {FAILING_pwrite64, 1, ENOSPC, SERIATIM_DISK},
        {FAILING_fdatasync, 1, EIO, SERIATIM_DISK},
        {FAILING_mem_calloc, 1, ENOMEM, SERIATIM_NOMEM},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        open_world(&w);
        const int64_t blocks = failing_blocks();
        failing_set(cases[i].call, cases[i].nth, 1, cases[i].error);
        const enum seriatim_status got = open_client(&w, true);
        if (got != cases[i].status) {
            print_error("%s\n", failing_name(cases[i].call));
        }
        assert_int_equal(got, cases[i].status);
        failing_clear();
        assert_int_equal(failing_blocks(), blocks);
        assert_int_equal(open_client(&w, true), SERIATIM_OK);
        assert_int_equal(seriatim_client_close(w.client, 0), SERIATIM_OK);
        assert_int_equal(failing_blocks(), blocks);
        close_world(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_disk_costs_what_finds_no_room_and_nothing_else),
        cmocka_unit_test(after_a_failed_sync_nothing_is_taken),
        cmocka_unit_test(a_number_that_has_changed_is_on_disk_before_it_is_sent),
        cmocka_unit_test(a_message_to_a_channel_that_has_ended_does_no_harm_to_the_file),
        cmocka_unit_test(memory_that_runs_out_loses_nothing_that_was_not_told),
        cmocka_unit_test(a_start_that_fails_says_so_and_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
