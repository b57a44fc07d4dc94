/* ring/doorbell: no wake-up is lost, and none is sent to a thread that is awake.
 * Method: a sleeper that really sleeps (poll on an eventfd, with a deadline) drains several rings;
 * a lost wake-up shows as a deadline that passes while an item lies in a ring. And two threads that
 * arm and ring at the same moment, many times. */
#include "ring/doorbell.h"

#include "ring/spsc.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdatomic.h>
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

/* ---- both at once -------------------------------------------------------------------------- */

/* The moment that the fences are for: one side arms and looks, the other pushes and rings, both at
 * the same time, over and over. Without a fence each may still see the world of before. The two
 * meet by spinning, each on a core of its own, so that their stores are on their way at once. They
 * go on until they have really met often enough: each saw what the other did. Where there is one
 * core only nothing can be at once, and little is tested. */
#define MEETINGS_MAX 1500000u
#define MET_ENOUGH   400000u
#define DELAY_MAX    512u
#define ROUND_END    UINT32_MAX

struct meeting {
    alignas(64) _Atomic uint32_t round;
    alignas(64) _Atomic uint32_t arrived;
    alignas(64) struct doorbell bell;
    alignas(64) struct spsc ring;
    bool rang;
};

static uint32_t wait_for(_Atomic uint32_t *what, uint32_t value)
{
    uint32_t now;
    for (uint32_t spins = 0; (now = atomic_load_explicit(what, memory_order_acquire)) < value;
         spins++) {
        if (spins % 4096 == 4095) {
            (void)sched_yield();
        }
    }
    return now;
}

/* Puts the calling thread on the n-th core that the process may use; on the last if they are fewer.
 */
static void stay_on_core(unsigned n)
{
    cpu_set_t all;
    cpu_set_t one;
    CPU_ZERO(&all);
    CPU_ZERO(&one);
    assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
    unsigned last = 0;
    for (unsigned cpu = 0, seen = 0; cpu < CPU_SETSIZE && seen <= n; cpu++) {
        if (CPU_ISSET(cpu, &all)) {
            last = cpu;
            seen++;
        }
    }
    CPU_SET(last, &one);
    assert_int_equal(pthread_setaffinity_np(pthread_self(), sizeof(one), &one), 0);
}

static void *pusher_main(void *arg)
{
    struct meeting *meeting = arg;
    stay_on_core(1);
    for (uint32_t i = 1;; i++) {
        if (wait_for(&meeting->round, i) == ROUND_END) {
            break;
        }
        const bool pushed = spsc_push(&meeting->ring, meeting);
        meeting->rang = doorbell_ring(&meeting->bell) && pushed;
        atomic_store_explicit(&meeting->arrived, i, memory_order_release);
    }
    return NULL;
}

static void who_arms_while_another_rings_is_woken_or_sees_the_item(void **state)
{
    (void)state;
    static struct meeting meeting;
    doorbell_init(&meeting.bell);
    atomic_init(&meeting.round, 0);
    atomic_init(&meeting.arrived, 0);
    assert_int_equal(spsc_init(&meeting.ring, 2), RC_OK);
    pthread_t pusher;
    assert_int_equal(pthread_create(&pusher, NULL, pusher_main, &meeting), 0);
    cpu_set_t before;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    stay_on_core(0);
    uint32_t missed = 0;
    uint32_t met = 0;
    uint32_t delay = 0;
    for (uint32_t i = 1; i <= MEETINGS_MAX && met < MET_ENOUGH; i++) {
        atomic_store_explicit(&meeting.round, i, memory_order_release);
        for (volatile uint32_t left = delay + i % 16; left > 0; left--) {
        }
        doorbell_arm(&meeting.bell);
        const bool saw = !spsc_empty(&meeting.ring);
        (void)wait_for(&meeting.arrived, i);
        doorbell_disarm(&meeting.bell);
        /* Too late: earlier next time; too early: later. So they keep meeting at the edge. */
        delay = saw ? delay - (delay > 0) : delay + (delay < DELAY_MAX);
        missed += !saw && !meeting.rang;
        met += saw && meeting.rang;
        assert_ptr_equal(spsc_pop(&meeting.ring), &meeting);
    }
    atomic_store_explicit(&meeting.round, ROUND_END, memory_order_release);
    assert_int_equal(pthread_join(pusher, NULL), 0);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
    spsc_deinit(&meeting.ring);
    assert_int_equal(missed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bell_that_is_not_armed_asks_for_no_wake_up),
        cmocka_unit_test(an_armed_bell_asks_for_one_wake_up_only),
        cmocka_unit_test(no_wake_up_is_lost_between_three_ringers_and_a_sleeper),
        cmocka_unit_test(who_arms_while_another_rings_is_woken_or_sees_the_item),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
