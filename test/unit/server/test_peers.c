/* server/peers: counts by address, against an array of counts. */
#include "server/peers.h"

#include "base/mem.h"
#include "base/prng.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define ADDRESSES 50u
#define PEERS_MAX 5u

static struct address address_of(const char *text)
{
    struct address address;
    struct in_addr v4;
    if (inet_pton(AF_INET, text, &v4) == 1) {
        return address_of_v4((const uint8_t *)&v4);
    }
    assert_int_equal(inet_pton(AF_INET6, text, address.bytes), 1);
    return address;
}

static bool add(struct peers *peers, const char *text, uint64_t max)
{
    const struct address address = address_of(text);
    return peers_add(peers, &address, max);
}

static void take_out(struct peers *peers, const char *text)
{
    const struct address address = address_of(text);
    peers_remove(peers, &address);
}

static void each_address_has_its_own_bound(void **state)
{
    (void)state;
    struct peers *peers;
    uint64_t model[ADDRESSES] = {0};
    uint64_t refused = 0;
    struct prng prng = {.state = 5};
    assert_int_equal(peers_open(1, &peers), RC_OK);
    for (unsigned step = 0; step < 20000; step++) {
        char address[32];
        const unsigned i = (unsigned)prng_below(&prng, ADDRESSES);
        (void)snprintf(address, sizeof(address), i % 2 == 0 ? "192.0.2.%u" : "2001:db8::%u", i);
        /* Now crowds come, now they leave. */
        if (prng_below(&prng, 10) < (step / 1000 % 2 == 0 ? 7u : 3u)) {
            const bool added = add(peers, address, PEERS_MAX);
            assert_int_equal(added, model[i] < PEERS_MAX);
            model[i] += added ? 1 : 0;
            refused += added ? 0 : 1;
        } else if (model[i] > 0) {
            take_out(peers, address);
            model[i]--;
        }
    }
    assert_true(refused > 100);
    peers_close(peers);
}

static void a_place_that_is_given_back_can_be_taken_again(void **state)
{
    (void)state;
    struct peers *peers;
    assert_int_equal(peers_open(1, &peers), RC_OK);
    assert_true(add(peers, "::1", 1));
    assert_false(add(peers, "::1", 1));
    assert_true(add(peers, "127.0.0.1", 1));
    assert_false(add(peers, "::ffff:127.0.0.1", 1)); /* the same client */
    take_out(peers, "::1");
    assert_true(add(peers, "::1", 1));
    assert_true(add(peers, "::1", 2)); /* the bound is the caller's, each time */
    peers_close(peers);
}

static void removing_an_unknown_address_does_nothing(void **state)
{
    (void)state;
    struct peers *peers;
    assert_int_equal(peers_open(1, &peers), RC_OK);
    take_out(peers, "::1");
    assert_true(add(peers, "::1", 1));
    take_out(peers, "::2");
    assert_false(add(peers, "::1", 1));
    peers_close(peers);
    peers_close(NULL);
}

static void without_memory_an_address_is_turned_away(void **state)
{
    (void)state;
    uint64_t refused = 0;
    for (uint64_t k = 1;; k++) {
        struct peers *peers = NULL;
        mem_fault_set(k, 0);
        const enum rc rc = peers_open(1, &peers);
        const bool added = rc == RC_OK && add(peers, "::1", 1);
        mem_fault_set(0, 0);
        if (rc == RC_OK && !added) {
            assert_true(add(peers, "::1", 1)); /* the failure has left no trace */
            assert_false(add(peers, "::1", 1));
        }
        peers_close(peers);
        if (added) {
            break;
        }
        refused++;
    }
    assert_true(refused >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_address_has_its_own_bound),
        cmocka_unit_test(a_place_that_is_given_back_can_be_taken_again),
        cmocka_unit_test(removing_an_unknown_address_does_nothing),
        cmocka_unit_test(without_memory_an_address_is_turned_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
