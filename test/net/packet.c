/* See packet.h. Numbers on the wire are big-endian. */
#include "packet.h"

#include <string.h>

#define IP_SIZE  20u
#define TCP_SIZE 20u
#define TCP      6u
#define FLAG_SYN 0x02u
#define FLAG_RST 0x04u
#define FLAG_ACK 0x10u

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static const uint8_t *tcp_of(const uint8_t *packet)
{
    return packet + (size_t)(packet[0] & 15u) * 4;
}

bool packet_is_tcp(const uint8_t *packet, size_t size)
{
    if (size < IP_SIZE || packet[0] >> 4 != 4 || packet[9] != TCP) {
        return false;
    }
    const size_t head = (size_t)(packet[0] & 15u) * 4;
    return head >= IP_SIZE && size >= head + TCP_SIZE;
}

uint16_t packet_port_from(const uint8_t *packet)
{
    return get16(tcp_of(packet));
}

uint16_t packet_port_to(const uint8_t *packet)
{
    return get16(tcp_of(packet) + 2);
}

bool packet_opens(const uint8_t *packet)
{
    return (tcp_of(packet)[13] & (FLAG_SYN | FLAG_ACK)) == FLAG_SYN;
}

bool packet_closes_window(const uint8_t *packet)
{
    const uint8_t *tcp = tcp_of(packet);
    return get16(tcp + 14) == 0 && (tcp[13] & FLAG_RST) == 0;
}

/* The one's complement sum that IP and TCP use, of an even count of bytes. */
static uint32_t sum_add(uint32_t sum, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i += 2) {
        sum += get16(bytes + i);
    }
    return sum;
}

static uint16_t sum_end(uint32_t sum)
{
    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)~sum;
}

/* A reset from one address and port to another, with a number of its sender's. */
static void reset_make(uint8_t *reset, const uint8_t *ends, const uint8_t *ports,
                       const uint8_t *number)
{
    memset(reset, 0, RESET_SIZE);
    reset[0] = 0x45;
    put16(reset + 2, RESET_SIZE);
    reset[8] = 64; /* time to live */
    reset[9] = TCP;
    memcpy(reset + 12, ends, 8);
    put16(reset + 10, sum_end(sum_add(0, reset, IP_SIZE)));
    uint8_t *tcp = reset + IP_SIZE;
    memcpy(tcp, ports, 4);
    memcpy(tcp + 4, number, 4);
    tcp[12] = (TCP_SIZE / 4) << 4;
    tcp[13] = FLAG_RST;
    const uint32_t pseudo = sum_add(TCP + TCP_SIZE, ends, 8);
    put16(tcp + 16, sum_end(sum_add(pseudo, tcp, TCP_SIZE)));
}

void packet_reset_sender(const uint8_t *packet, uint8_t reset[RESET_SIZE])
{
    const uint8_t *tcp = tcp_of(packet);
    uint8_t ends[8];
    uint8_t ports[4];
    memcpy(ends, packet + 16, 4);
    memcpy(ends + 4, packet + 12, 4);
    memcpy(ports, tcp + 2, 2);
    memcpy(ports + 2, tcp, 2);
    reset_make(reset, ends, ports, tcp + 8);
}

void packet_reset_receiver(const uint8_t *packet, uint8_t reset[RESET_SIZE])
{
    const uint8_t *tcp = tcp_of(packet);
    reset_make(reset, packet + 12, tcp, tcp + 4);
}
