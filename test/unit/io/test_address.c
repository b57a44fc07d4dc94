/* io/address: what is kept of an address, and how it is written. */
#include "io/address.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void printed_is(const struct address *address, const char *expected)
{
    char text[ADDRESS_TEXT_SIZE];
    address_print(address, text);
    assert_string_equal(text, expected);
}

static void an_ipv4_address_is_printed_with_dots(void **state)
{
    (void)state;
    const uint8_t octets[4] = {192, 0, 2, 255};
    const struct address address = address_of_v4(octets);
    printed_is(&address, "192.0.2.255");
}

/* A socket of IPv6 that takes IPv4 as well gives the mapped form. */
static void an_address_is_the_same_through_either_family(void **state)
{
    (void)state;
    const uint8_t octets[4] = {10, 0, 0, 7};
    const struct address plain = address_of_v4(octets);
    struct address through;
    assert_int_equal(inet_pton(AF_INET6, "::ffff:10.0.0.7", through.bytes), 1);
    assert_memory_equal(&plain, &through, sizeof(plain));
    printed_is(&through, "10.0.0.7");
}

static void an_ipv6_address_is_printed_with_colons(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "::",
        "::1",
        "2001:db8::ff:0:1",
        "::fffe:a00:7", /* one bit from a mapped one */
        "2001:db8:1111:2222:3333:4444:5555:6666",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct address address;
        assert_int_equal(inet_pton(AF_INET6, texts[i], address.bytes), 1);
        printed_is(&address, texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ipv4_address_is_printed_with_dots),
        cmocka_unit_test(an_address_is_the_same_through_either_family),
        cmocka_unit_test(an_ipv6_address_is_printed_with_colons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
