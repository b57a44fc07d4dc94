#include "io/address.h"

#include "base/bytes.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static_assert(ADDRESS_TEXT_SIZE == INET6_ADDRSTRLEN, "what inet_ntop() wants");
static_assert(sizeof(struct address) == sizeof(struct in6_addr), "an address is one of IPv6");

/* [RFC 4291, 2.5.5.2] */
static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};

struct address address_of_v4(const uint8_t octets[static 4])
{
    struct address address;
    bytes_copy(address.bytes, mapped, sizeof(mapped));
    bytes_copy(address.bytes + sizeof(mapped), octets, 4);
    return address;
}

void address_print(const struct address *address, char to[static ADDRESS_TEXT_SIZE])
{
    const bool v4 =
        bytes_equal(bytes_of(address->bytes, sizeof(mapped)), bytes_of(mapped, sizeof(mapped)));
    const char *text =
        v4 ? inet_ntop(AF_INET, address->bytes + sizeof(mapped), to, ADDRESS_TEXT_SIZE)
           : inet_ntop(AF_INET6, address->bytes, to, ADDRESS_TEXT_SIZE);
    ASSERT(text != NULL);
}
