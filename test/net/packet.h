/* As much of IPv4 and TCP as a faulty bridge must know: whose connection a packet is of, and how to
 * forge the reset that ends it.
 *
 * Thread: one.  Memory: the caller's. */
#ifndef PACKET_H
#define PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESET_SIZE 40u

/* False: no TCP over IPv4, or cut short. */
bool packet_is_tcp(const uint8_t *packet, size_t size);

/* Of a TCP packet. */
uint16_t packet_port_from(const uint8_t *packet);
uint16_t packet_port_to(const uint8_t *packet);
bool packet_opens(const uint8_t *packet);         /* a SYN without ACK */
bool packet_closes_window(const uint8_t *packet); /* window 0, and no reset */

/* The reset that the packet's sender takes for one of its peer's: it has the number that the sender
 * waits for. */
void packet_reset_sender(const uint8_t *packet, uint8_t reset[RESET_SIZE]);
/* The reset that the packet's receiver takes, if the packet is the next one it waits for. */
void packet_reset_receiver(const uint8_t *packet, uint8_t reset[RESET_SIZE]);

#endif
