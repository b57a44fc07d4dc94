/* The address that a connection comes from, in as few bytes as it has.
 *
 * IPv4 is kept as IPv6 maps it, so that one client has one address, whichever family the socket is
 * of that it has come through.
 *
 * Thread: any.  Memory: none. */
#ifndef IO_ADDRESS_H
#define IO_ADDRESS_H

#include <stdint.h>

struct address {
    uint8_t bytes[16]; /* in network order */
};

#define ADDRESS_TEXT_SIZE 46 /* the longest IPv6 address with its NUL */

struct address address_of_v4(const uint8_t octets[static 4]);
/* IPv4 with dots, IPv6 with colons, never with a port. */
void address_print(const struct address *address, char to[static ADDRESS_TEXT_SIZE]);

#endif
