/* ring/doorbell: no wake-up is lost, and none is sent to a thread that is awake.
 * Method: a sleeper that really sleeps (poll on an eventfd, with a deadline) drains several rings;
 * a lost wake-up shows as a deadline that passes while an item lies in a ring. */
#include "ring/doorbell.h"

#include "ring/spsc.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

static void a_bell_that_is_not_armed_asks_for_no_wake_up(void **state)
{
    (void)state;
    struct doorbell bell;
    doorbell_init(&bell);
    assert_false(doorbell_ring(&bell));
    doorbell_arm(&bell);
    doorbell_disarm(&bell);
    assert_false(doorbell_ring(&bell));
}

static void an_armed_bell_asks_for_one_wake_up_only(void **state)
{
    (void)state;
    struct doorbell bell;
    doorbell_init(&bell);
    for (int i = 0; i < 3; i++) {
        doorbell_arm(&bell);
        assert_true(doorbell_ring(&bell));
        assert_false(doorbell_ring(&bell));
        doorbell_disarm(&bell);
    }
}

#define RINGERS      3
#define RINGER_ITEMS 40000u
#define DEADLINE_MS  5000

struct house {
    struct doorbell bell;
    struct spsc rings[RINGERS];
    int event_fd;
};

struct ringer {
    struct house *house;
    unsigned index;
    uint64_t wakes;
};

static void *ringer_main(void *arg)
{
    struct ringer *ringer = arg;
    struct spsc *ring = &ringer->house->rings[ringer->index];
    for (uintptr_t i = 1; i <= RINGER_ITEMS; i++) {
        while (!spsc_push(ring, (void *)i)) {
            (void)sched_yield();
        }
        if (doorbell_ring(&ringer->house->bell)) {
            const uint64_t one = 1;
            ringer->wakes++;
            if (write(ringer->house->event_fd, &one, sizeof(one)) != sizeof(one)) {
                return NULL; /* the sleeper's deadline tells */
            }
        }
        /* Pauses let the sleeper fall asleep: only then is there a wake-up to lose. */
        if (i % 16 == 0) {
            (void)sched_yield();
        }
    }
    return NULL;
}

static unsigned drain(struct house *house, uintptr_t next[RINGERS])
{
    unsigned count = 0;
    for (unsigned r = 0; r < RINGERS; r++) {
        for (void *item = spsc_pop(&house->rings[r]); item != NULL;
             item = spsc_pop(&house->rings[r])) {
            assert_true((uintptr_t)item == ++next[r]);
            count++;
        }
    }
    return count;
}

static bool rings_empty(struct house *house)
{
    for (unsigned r = 0; r < RINGERS; r++) {
        if (!spsc_empty(&house->rings[r])) {
            return false;
        }
    }
    return true;
}

/* Arms, looks again, and only then sleeps. Returns whether it slept; fails at the deadline. */
static bool sleep_until_rung(struct house *house)
{
    bool slept = false;
    doorbell_arm(&house->bell);
    if (rings_empty(house)) {
        struct pollfd wait = {.fd = house->event_fd, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, DEADLINE_MS), 1);
        uint64_t rung = 0;
        assert_int_equal(read(house->event_fd, &rung, sizeof(rung)), sizeof(rung));
        slept = true;
    }
    doorbell_disarm(&house->bell);
    return slept;
}

static void no_wake_up_is_lost_between_three_ringers_and_a_sleeper(void **state)
{
    (void)state;
    static struct house house;
    struct ringer ringers[RINGERS];
    pthread_t threads[RINGERS];
    doorbell_init(&house.bell);
    house.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(house.event_fd >= 0);
    for (unsigned r = 0; r < RINGERS; r++) {
        assert_int_equal(spsc_init(&house.rings[r], 64), RC_OK);
        ringers[r] = (struct ringer){.house = &house, .index = r};
    }
    for (unsigned r = 0; r < RINGERS; r++) {
        assert_int_equal(pthread_create(&threads[r], NULL, ringer_main, &ringers[r]), 0);
    }
    uintptr_t next[RINGERS] = {0};
    uint64_t received = 0;
    uint64_t sleeps = 0;
    while (received < (uint64_t)RINGERS * RINGER_ITEMS) {
        const unsigned count = drain(&house, next);
        received += count;
        if (count == 0 && sleep_until_rung(&house)) {
            sleeps++;
        }
    }
    uint64_t wakes = 0;
    for (unsigned r = 0; r < RINGERS; r++) {
        assert_int_equal(pthread_join(threads[r], NULL), 0);
        wakes += ringers[r].wakes;
        spsc_deinit(&house.rings[r]);
    }
    /* Each sleep was ended by a wake-up; the sleeper did sleep, else nothing was tested. */
    assert_true(sleeps > 0);
    assert_true(wakes >= sleeps);
    assert_int_equal(close(house.event_fd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bell_that_is_not_armed_asks_for_no_wake_up),
        cmocka_unit_test(an_armed_bell_asks_for_one_wake_up_only),
        cmocka_unit_test(no_wake_up_is_lost_between_three_ringers_and_a_sleeper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
