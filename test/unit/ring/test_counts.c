/* ring/share and ring/ticket: counts that several threads change at once.
 * Method: each ticket taken is marked in a table, where a second mark is a number given twice; a
 * shared object is freed by exactly one of its holders, after the others have read it. */
#include "ring/share.h"
#include "ring/ticket.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "base/prng.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- share --------------------------------------------------------------------------------- */

static void only_the_last_reference_says_so(void **state)
{
    (void)state;
    struct share share;
    share_init(&share);
    share_ref(&share);
    share_ref(&share);
    assert_false(share_unref(&share));
    assert_false(share_unref(&share));
    assert_true(share_unref(&share));
}

#define HOLDERS      4
#define SHARE_ROUNDS 3000

struct shared {
    struct share share;
    uint64_t value; /* plain: the count must order its reads before the free */
};

struct holder {
    struct shared **objects;
    unsigned freed;
    uint64_t sum;
};

static void *holder_main(void *arg)
{
    struct holder *holder = arg;
    for (unsigned i = 0; i < SHARE_ROUNDS; i++) {
        struct shared *object = holder->objects[i];
        holder->sum += object->value;
        if (share_unref(&object->share)) {
            object->value = 0; /* a late reader would race with this, or see it */
            mem_free(object);
            holder->freed++;
        }
    }
    return NULL;
}

static void a_shared_object_is_freed_once_and_after_every_read(void **state)
{
    (void)state;
    static struct shared *objects[SHARE_ROUNDS];
    struct holder holders[HOLDERS];
    pthread_t threads[HOLDERS];
    uint64_t sum = 0;
    for (unsigned i = 0; i < SHARE_ROUNDS; i++) {
        objects[i] = mem_alloc(sizeof(**objects));
        assert_non_null(objects[i]);
        objects[i]->value = i + 1;
        sum += i + 1;
        share_init(&objects[i]->share);
        for (unsigned h = 1; h < HOLDERS; h++) {
            share_ref(&objects[i]->share);
        }
    }
    for (unsigned h = 0; h < HOLDERS; h++) {
        holders[h] = (struct holder){.objects = objects};
        assert_int_equal(pthread_create(&threads[h], NULL, holder_main, &holders[h]), 0);
    }
    unsigned freed = 0;
    for (unsigned h = 0; h < HOLDERS; h++) {
        assert_int_equal(pthread_join(threads[h], NULL), 0);
        assert_true(holders[h].sum == sum);
        freed += holders[h].freed;
    }
    assert_int_equal(freed, SHARE_ROUNDS);
}

/* ---- ticket -------------------------------------------------------------------------------- */

static void tickets_are_consecutive_and_never_below_the_floor(void **state)
{
    (void)state;
    struct ticket ticket;
    ticket_init(&ticket, 10);
    assert_true(ticket_take(&ticket, 0, 1) == 10);
    assert_true(ticket_take(&ticket, 0, 5) == 11);
    assert_true(ticket_take(&ticket, 100, 2) == 100);
    /* A clock that steps back gives a lower floor; the numbers still rise. */
    assert_true(ticket_take(&ticket, 50, 1) == 102);
    assert_true(ticket_take(&ticket, 103, 1) == 103);
}

#define TAKERS       4
#define TAKES        20000u
#define TICKET_RANGE 3u
#define MARKS        (TAKERS * TAKES * TICKET_RANGE * 2)

static uint8_t marks[TAKERS][MARKS];

struct taker {
    struct ticket *ticket;
    uint8_t *marks;
    uint64_t highest;
    bool fell;
};

static void *taker_main(void *arg)
{
    struct taker *taker = arg;
    struct prng prng = {.state = (uintptr_t)arg};
    uint64_t before = 0;
    for (unsigned i = 0; i < TAKES; i++) {
        const uint64_t count = 1 + prng_below(&prng, TICKET_RANGE);
        const uint64_t floor = prng_below(&prng, 10) == 0 ? before + 1 : 0;
        const uint64_t first = ticket_take(taker->ticket, floor, count);
        taker->fell = taker->fell || first <= before || first < floor;
        for (uint64_t n = first; n < first + count; n++) {
            taker->marks[n]++;
        }
        before = first + count - 1;
    }
    taker->highest = before;
    return NULL;
}

static void no_number_is_given_twice_by_racing_threads(void **state)
{
    (void)state;
    struct ticket ticket;
    struct taker takers[TAKERS];
    pthread_t threads[TAKERS];
    ticket_init(&ticket, 1);
    for (unsigned t = 0; t < TAKERS; t++) {
        takers[t] = (struct taker){.ticket = &ticket, .marks = marks[t]};
        assert_int_equal(pthread_create(&threads[t], NULL, taker_main, &takers[t]), 0);
    }
    uint64_t highest = 0;
    for (unsigned t = 0; t < TAKERS; t++) {
        assert_int_equal(pthread_join(threads[t], NULL), 0);
        assert_false(takers[t].fell);
        highest = takers[t].highest > highest ? takers[t].highest : highest;
    }
    assert_true(highest < MARKS);
    for (uint64_t n = 0; n < MARKS; n++) {
        unsigned given = 0;
        for (unsigned t = 0; t < TAKERS; t++) {
            given += marks[t][n];
        }
        /* The floors never lie above the next number here, so no number is skipped either. */
        assert_int_equal(given, n >= 1 && n <= highest ? 1 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_last_reference_says_so),
        cmocka_unit_test(a_shared_object_is_freed_once_and_after_every_read),
        cmocka_unit_test(tickets_are_consecutive_and_never_below_the_floor),
        cmocka_unit_test(no_number_is_given_twice_by_racing_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
