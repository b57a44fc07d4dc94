/* io/timer: the wheel against a list of deadlines that is searched from end to end.
 * Method: random arming, moving, disarming and sleeping, with deadlines up to five turns away and
 * sleeps up to three; after each sleep nothing may come early, and nothing that has been due for a
 * slot may be missing. */
#include "io/timer.h"

#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define TIMERS  64u
#define TURN_MS ((uint64_t)TIMER_SLOT_MS * TIMER_SLOTS)

/* The model: when each timer is due (0: not armed), and since when the wheel can know it. */
struct world {
    struct timer_wheel wheel;
    struct timer timers[TIMERS];
    uint64_t due_ms[TIMERS];
    uint64_t known_ms[TIMERS];
    uint64_t now_ms;
};

static void world_init(struct world *world, uint64_t now_ms)
{
    world->now_ms = now_ms;
    timer_wheel_init(&world->wheel, now_ms);
    for (unsigned i = 0; i < TIMERS; i++) {
        timer_init(&world->timers[i]);
        world->due_ms[i] = 0;
        world->known_ms[i] = 0;
    }
}

static void arm(struct world *world, unsigned i, uint64_t due_ms)
{
    timer_arm(&world->wheel, &world->timers[i], due_ms);
    world->due_ms[i] = due_ms;
    world->known_ms[i] = due_ms > world->now_ms ? due_ms : world->now_ms;
}

static void disarm(struct world *world, unsigned i)
{
    timer_disarm(&world->wheel, &world->timers[i]);
    world->due_ms[i] = 0;
}

static void expire_all(struct world *world)
{
    struct timer *timer;
    while ((timer = timer_expire(&world->wheel, world->now_ms)) != NULL) {
        const size_t i = (size_t)(timer - world->timers);
        assert_true(i < TIMERS);
        assert_true(world->due_ms[i] != 0);
        assert_true(world->due_ms[i] <= world->now_ms); /* never early */
        assert_int_equal(timer->due_ms, 0);
        world->due_ms[i] = 0;
    }
    for (unsigned i = 0; i < TIMERS; i++) {
        if (world->due_ms[i] != 0 && world->known_ms[i] + TIMER_SLOT_MS <= world->now_ms) {
            fail_msg("due at %llu, and still there at %llu", (unsigned long long)world->due_ms[i],
                     (unsigned long long)world->now_ms);
        }
    }
}

/* After an expiry: who sleeps as long as he is told to is late by a slot at most, and never told
 * not to sleep at all. */
static void check_wait(const struct world *world, int max_ms)
{
    const int wait = timer_wait_ms(&world->wheel, world->now_ms, max_ms);
    assert_in_range(wait, 1, max_ms);
    bool any = false;
    for (unsigned i = 0; i < TIMERS; i++) {
        if (world->due_ms[i] != 0) {
            any = true;
            assert_true(world->now_ms + (uint64_t)wait <= world->known_ms[i] + TIMER_SLOT_MS);
        }
    }
    if (!any) {
        assert_int_equal(wait, max_ms);
    }
}

static uint64_t random_due(struct world *world, struct prng *prng)
{
    const uint64_t reach[] = {TIMER_SLOT_MS, 200, TURN_MS, 5 * TURN_MS};
    const uint64_t ahead = prng_below(prng, reach[prng_below(prng, 4)]);
    if (prng_below(prng, 8) == 0) {
        return world->now_ms > ahead ? world->now_ms - ahead : 1; /* overdue */
    }
    return world->now_ms + ahead;
}

static void random_sleep(struct world *world, struct prng *prng)
{
    const uint64_t reach[] = {2, 40, TURN_MS / 4, 3 * TURN_MS};
    world->now_ms += prng_below(prng, reach[prng_below(prng, 4)]);
    expire_all(world);
    check_wait(world, 1 + (int)prng_below(prng, 2000));
}

static void the_wheel_agrees_with_a_list_of_deadlines(void **state)
{
    (void)state;
    static struct world world;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct prng prng = {.state = seed};
        world_init(&world, 1 + prng_below(&prng, 10 * TURN_MS));
        for (unsigned step = 0; step < 2000; step++) {
            const unsigned i = (unsigned)prng_below(&prng, TIMERS);
            switch (prng_below(&prng, 4)) {
            case 0:
            case 1: arm(&world, i, random_due(&world, &prng)); break;
            case 2: disarm(&world, i); break;
            default: random_sleep(&world, &prng); break;
            }
        }
        world.now_ms += 6 * TURN_MS;
        expire_all(&world);
        for (unsigned i = 0; i < TIMERS; i++) {
            assert_int_equal(world.due_ms[i], 0);
        }
    }
}

static void sleeping_as_told_meets_every_deadline(void **state)
{
    (void)state;
    static struct world world;
    struct prng prng = {.state = 7};
    world_init(&world, 123456);
    for (unsigned i = 0; i < TIMERS; i++) {
        arm(&world, i, world.now_ms + 1 + prng_below(&prng, 3 * TURN_MS));
    }
    const uint64_t end_ms = world.now_ms + 4 * TURN_MS;
    unsigned sleeps = 0;
    while (world.now_ms < end_ms) {
        world.now_ms += (uint64_t)timer_wait_ms(&world.wheel, world.now_ms, 1000);
        expire_all(&world);
        sleeps++;
    }
    /* One for each deadline, one for each second, and one for each visit to a slot a turn or two
     * too early: far fewer than one for each slot. */
    assert_true(sleeps < 3 * TIMERS + 4 * TURN_MS / 1000 + 8);
}

static void a_timer_due_at_the_wheels_first_moment_is_late_by_one_slot_at_most(void **state)
{
    (void)state;
    static struct world world;
    for (uint64_t start = 1; start <= 3 * TIMER_SLOT_MS; start++) {
        world_init(&world, start);
        arm(&world, 0, start);
        world.now_ms = start + TIMER_SLOT_MS;
        expire_all(&world);
        assert_int_equal(world.due_ms[0], 0);
    }
}

static void moving_a_timer_forgets_its_old_deadline(void **state)
{
    (void)state;
    static struct world world;
    world_init(&world, 1000);
    arm(&world, 0, 1100);
    arm(&world, 0, 1100 + TURN_MS); /* the same slot, a turn later */
    world.now_ms = 1200;
    expire_all(&world);
    assert_true(world.due_ms[0] != 0);
    arm(&world, 0, 1300);
    world.now_ms = 1300 + TIMER_SLOT_MS;
    expire_all(&world);
    assert_int_equal(world.due_ms[0], 0);
}

static void a_timer_may_be_armed_again_when_it_comes(void **state)
{
    (void)state;
    static struct world world;
    world_init(&world, 5000);
    arm(&world, 0, 5001);
    unsigned count = 0;
    for (world.now_ms = 5000; world.now_ms < 6000; world.now_ms++) {
        struct timer *timer;
        while ((timer = timer_expire(&world.wheel, world.now_ms)) != NULL) {
            count++;
            arm(&world, 0, world.now_ms + 1);
        }
    }
    assert_in_range(count, 1000 / TIMER_SLOT_MS / 2, 1000 / TIMER_SLOT_MS + 1);
}

static void disarming_what_is_not_armed_does_nothing(void **state)
{
    (void)state;
    static struct world world;
    world_init(&world, 1);
    disarm(&world, 0);
    disarm(&world, 0);
    assert_int_equal(timer_wait_ms(&world.wheel, 1, 77), 77);
    arm(&world, 1, 10);
    disarm(&world, 1);
    disarm(&world, 1);
    assert_int_equal(timer_wait_ms(&world.wheel, 1, 77), 77);
    assert_null(timer_expire(&world.wheel, 1000));
}

static void what_is_overdue_is_not_waited_for(void **state)
{
    (void)state;
    static struct world world;
    world_init(&world, 1000);
    arm(&world, 0, 2000);
    assert_in_range(timer_wait_ms(&world.wheel, 1000, 5000), 1000, 1000 + TIMER_SLOT_MS);
    /* Its slot is over, and nobody has asked for it yet. */
    assert_int_equal(timer_wait_ms(&world.wheel, 2000 + TIMER_SLOT_MS, 5000), 0);
    assert_int_equal(timer_wait_ms(&world.wheel, 9000, 5000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wheel_agrees_with_a_list_of_deadlines),
        cmocka_unit_test(sleeping_as_told_meets_every_deadline),
        cmocka_unit_test(a_timer_due_at_the_wheels_first_moment_is_late_by_one_slot_at_most),
        cmocka_unit_test(moving_a_timer_forgets_its_old_deadline),
        cmocka_unit_test(a_timer_may_be_armed_again_when_it_comes),
        cmocka_unit_test(disarming_what_is_not_armed_does_nothing),
        cmocka_unit_test(what_is_overdue_is_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
