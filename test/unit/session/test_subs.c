/* session/subs: a session's subscriptions by name, against an array of flags. */
#include "session/subs.h"

#include "base/mem.h"
#include "base/prng.h"
#include "base/tune.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define SUBS 24u

struct world {
    struct subs subs;
    struct feed feeds[SUBS];
    char names[SUBS][8];
    struct subscription each[SUBS];
    bool there[SUBS];
};

static void world_open(struct world *world)
{
    *world = (struct world){0};
    for (unsigned i = 0; i < SUBS; i++) {
        (void)snprintf(world->names[i], sizeof(world->names[i]), "ch-%u", i);
        world->feeds[i].name = bytes_of_text(world->names[i]);
        world->each[i].feed = &world->feeds[i];
    }
}

static uint32_t world_check(const struct world *world)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < SUBS; i++) {
        const struct subscription *sub = subs_find(&world->subs, world->feeds[i].name);
        assert_ptr_equal(sub, world->there[i] ? &world->each[i] : NULL);
        count += world->there[i];
    }
    assert_int_equal(subs_count(&world->subs), count);
    const struct subscription *any = subs_any(&world->subs);
    assert_int_equal(any != NULL, count > 0);
    if (any != NULL) {
        assert_true(world->there[any - world->each]);
    }
    return count;
}

static void flip(struct world *world, unsigned i)
{
    if (world->there[i]) {
        subs_remove(&world->subs, &world->each[i]);
    } else {
        assert_int_equal(subs_insert(&world->subs, &world->each[i]), RC_OK);
    }
    world->there[i] = !world->there[i];
}

static void each_is_found_by_its_name_however_many_there_are(void **state)
{
    (void)state;
    struct world world;
    struct prng prng = {.state = 3};
    uint32_t most = 0;
    unsigned emptied = 0;
    world_open(&world);
    for (unsigned step = 0; step < 20000; step++) {
        const unsigned i = (unsigned)prng_below(&prng, SUBS);
        /* Now they become many, now they all leave. */
        if (world.there[i] == (prng_below(&prng, 20) < (step / 200 % 2 == 0 ? 3u : 17u))) {
            flip(&world, i);
        }
        const uint32_t count = world_check(&world);
        most = count > most ? count : most;
        emptied += count == 0;
        /* A list that never came back would cost each session that once had many. */
        assert_true(count > 0 || !world.subs.mapped_);
    }
    assert_true(most > 2 * tune.subs_listed);
    assert_true(emptied > 20);
    for (unsigned i = 0; i < SUBS; i++) {
        if (world.there[i]) {
            flip(&world, i);
        }
    }
    subs_deinit(&world.subs);
}

static void few_take_no_memory_of_their_own(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    mem_fault_set(1, 1);
    for (unsigned i = 0; i < tune.subs_listed; i++) {
        flip(&world, i);
    }
    assert_int_equal(mem_fault_count(), 0);
    mem_fault_set(0, 0);
    (void)world_check(&world);
    for (unsigned i = 0; i < tune.subs_listed; i++) {
        flip(&world, i);
    }
    subs_deinit(&world.subs);
}

static void without_memory_nothing_changes(void)
{
    unsigned refused = 0;
    for (uint64_t k = 1;; k++) {
        struct world world;
        world_open(&world);
        for (unsigned i = 0; i < tune.subs_listed; i++) {
            flip(&world, i);
        }
        mem_fault_set(k, 0);
        const enum rc rc = subs_insert(&world.subs, &world.each[tune.subs_listed]);
        mem_fault_set(0, 0);
        world.there[tune.subs_listed] = rc == RC_OK;
        refused += rc == RC_NOMEM;
        (void)world_check(&world);
        for (unsigned i = 0; i < SUBS; i++) {
            if (world.there[i]) {
                flip(&world, i);
            }
        }
        subs_deinit(&world.subs);
        if (rc == RC_OK) {
            break;
        }
    }
    assert_true(refused >= 2);
}

static void without_memory_for_one_more_nothing_changes(void **state)
{
    (void)state;
    for (uint32_t listed = 0; listed <= tune_default.subs_listed; listed++) {
        tune.subs_listed = listed; /* 0: the first one wants a map */
        without_memory_nothing_changes();
    }
    tune = tune_default;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_found_by_its_name_however_many_there_are),
        cmocka_unit_test(few_take_no_memory_of_their_own),
        cmocka_unit_test(without_memory_for_one_more_nothing_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
