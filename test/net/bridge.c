/* A faulty wire between two networks, as a TUN device in each.
 *
 *   bridge SEED
 *
 * The near device, `wire0`, is made in the network that the program is started in; the far one in a
 * new network, which this program holds open. It prints `ready FD`: /proc/PID/fd/FD is the far
 * network, for nsenter. Then each line of standard input says how the wire is from now on:
 *
 *   delay=MIN-MAX  milliseconds; in order, but for what `reorder` says
 *   loss=N dup=N reorder=N hole=N reset=N
 *                  of a thousand packets so many are lost, doubled, overtaken by others, are the
 *                  last of their connection that gets through (both ends believe in it on), end
 *                  their connection with a reset to one end or both
 *   cut=to_far|to_near|both
 *   rate=N         bytes a second each way; a queue of 64 KiB in front of it
 *
 * What a line does not name is as a good wire has it. The line `stats` has the counters printed as
 * JSON. The end of standard input ends the program.
 *
 * The same seed and the same packets make the same faults; the packets' timing is the machine's.
 *
 * Thread: one.  Memory: a packet that waits is a block of its own, at most WAITING_MAX of them. */
#include "packet.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define PACKET_SIZE 2048u
#define WAITING_MAX 65536u
#define QUEUE_BYTES 65536u
#define OVERTAKE_MS 40u

enum side { NEAR, FAR };

struct waiting {
    uint64_t due_us;
    uint64_t order; /* of two that are due at once the earlier goes first */
    enum side to;
    size_t size;
    uint8_t bytes[];
};

static struct {
    uint64_t delay_ms_min, delay_ms_max;
    uint64_t loss, dup, reorder, hole, reset, rate;
    bool cut[2]; /* by the side that packets go to */
} wire;

static struct {
    uint64_t packets, delayed, lost, cut, doubled, overtaken, holes, resets, crowded, zero_windows;
} stats;

static int devices[2];
static uint64_t dice;
static struct waiting *heap[WAITING_MAX];
static size_t heap_count;
static uint64_t orders;
static uint64_t last_due_us[2];
static uint64_t free_us[2]; /* when the narrow link has sent what it has */
static bool holes[65536];   /* by the client's port */

/* ---- chance and time ----------------------------------------------------------------------- */

static uint64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* splitmix64 */
static uint64_t draw(uint64_t below)
{
    dice += 0x9e3779b97f4a7c15u;
    uint64_t z = dice;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

/* Draws only where there is something to decide, and counts what it decides. */
static bool happens(uint64_t of_thousand, uint64_t *counter)
{
    const bool yes = of_thousand > 0 && draw(1000) < of_thousand;
    *counter += yes ? 1 : 0;
    return yes;
}

/* ---- what waits, by time ------------------------------------------------------------------- */

static bool before(size_t a, size_t b)
{
    return heap[a]->due_us != heap[b]->due_us ? heap[a]->due_us < heap[b]->due_us
                                              : heap[a]->order < heap[b]->order;
}

static void swap(size_t a, size_t b)
{
    struct waiting *held = heap[a];
    heap[a] = heap[b];
    heap[b] = held;
}

static void heap_push(struct waiting *packet)
{
    size_t at = heap_count;
    heap[at] = packet;
    heap_count++;
    for (; at > 0 && before(at, (at - 1) / 2); at = (at - 1) / 2) {
        swap(at, (at - 1) / 2);
    }
}

static struct waiting *heap_pop(void)
{
    struct waiting *first = heap[0];
    heap_count--;
    heap[0] = heap[heap_count];
    for (size_t at = 0; 2 * at + 1 < heap_count;) {
        size_t child = 2 * at + 1;
        child += child + 1 < heap_count && before(child + 1, child) ? 1 : 0;
        if (!before(child, at)) {
            break;
        }
        swap(at, child);
        at = child;
    }
    return first;
}

/* ---- packets ------------------------------------------------------------------------------- */

/* When a packet of this size, sent now, arrives; 0: the queue before the narrow link is full. */
static uint64_t arrival_us(enum side to, size_t size)
{
    uint64_t due = now_us();
    if (wire.rate > 0) {
        free_us[to] = free_us[to] > due ? free_us[to] : due;
        if ((free_us[to] - due) * wire.rate / 1000000 > QUEUE_BYTES) {
            stats.crowded++;
            return 0;
        }
        free_us[to] += size * 1000000 / wire.rate;
        due = free_us[to];
    }
    const uint64_t ms = wire.delay_ms_min + draw(wire.delay_ms_max - wire.delay_ms_min + 1);
    stats.delayed += ms > 0 ? 1 : 0;
    due += ms * 1000;
    if (happens(wire.reorder, &stats.overtaken)) {
        return due + (1 + draw(OVERTAKE_MS)) * 1000;
    }
    last_due_us[to] = last_due_us[to] > due ? last_due_us[to] : due;
    return last_due_us[to];
}

static void deliver_later(enum side to, const uint8_t *bytes, size_t size)
{
    const uint64_t due = arrival_us(to, size);
    struct waiting *packet =
        due == 0 || heap_count == WAITING_MAX ? NULL : malloc(sizeof(*packet) + size);
    if (packet == NULL) {
        return; /* lost: it is only a wire */
    }
    *packet = (struct waiting){.due_us = due, .order = orders, .to = to, .size = size};
    memcpy(packet->bytes, bytes, size);
    orders++;
    heap_push(packet);
}

static void deliver_due(void)
{
    while (heap_count > 0 && heap[0]->due_us <= now_us()) {
        struct waiting *packet = heap_pop();
        (void)!write(devices[packet->to], packet->bytes, packet->size);
        free(packet);
    }
}

/* Ends the packet's connection at one end, which leaves the other one half-open, or at both. */
static void reset_connection(enum side to, const uint8_t *packet)
{
    uint8_t reset[RESET_SIZE];
    const uint64_t ends = 1 + draw(3);
    if ((ends & 1) != 0) {
        packet_reset_sender(packet, reset);
        deliver_later(to == FAR ? NEAR : FAR, reset, sizeof(reset));
    }
    if ((ends & 2) != 0) {
        packet_reset_receiver(packet, reset);
        deliver_later(to, reset, sizeof(reset));
    }
}

/* True: the packet is gone with its connection. */
static bool connection_fault(enum side to, const uint8_t *packet)
{
    const uint16_t port = to == FAR ? packet_port_from(packet) : packet_port_to(packet);
    if (to == FAR && packet_opens(packet)) {
        holes[port] = false; /* a new connection that has the port of an old one */
    }
    if (to == FAR && packet_closes_window(packet)) {
        stats.zero_windows++;
    }
    if (holes[port]) {
        return true;
    }
    if (happens(wire.hole, &stats.holes)) {
        holes[port] = true;
        return true;
    }
    if (happens(wire.reset, &stats.resets)) {
        reset_connection(to, packet);
        return true;
    }
    return false;
}

static void carry(enum side to, const uint8_t *packet, size_t size)
{
    stats.packets++;
    if (wire.cut[to]) {
        stats.cut++;
        return;
    }
    if (packet_is_tcp(packet, size) && connection_fault(to, packet)) {
        return;
    }
    if (happens(wire.loss, &stats.lost)) {
        return;
    }
    deliver_later(to, packet, size);
    if (happens(wire.dup, &stats.doubled)) {
        deliver_later(to, packet, size);
    }
}

static void carry_all(enum side from)
{
    uint8_t packet[PACKET_SIZE];
    for (;;) {
        const ssize_t got = read(devices[from], packet, sizeof(packet));
        if (got <= 0) {
            return; /* nothing left for now */
        }
        carry(from == NEAR ? FAR : NEAR, packet, (size_t)got);
    }
}

/* ---- commands ------------------------------------------------------------------------------ */

static uint64_t number(const char *text)
{
    uint64_t value = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        value = value * 10 + (uint64_t)(*text - '0');
    }
    return value;
}

static bool set_one(const char *name, const char *value)
{
    const struct {
        const char *name;
        uint64_t *value;
    } numbers[] = {{"loss", &wire.loss}, {"dup", &wire.dup},     {"reorder", &wire.reorder},
                   {"hole", &wire.hole}, {"reset", &wire.reset}, {"rate", &wire.rate}};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            *numbers[i].value = number(value);
            return true;
        }
    }
    if (strcmp(name, "delay") == 0) {
        const char *dash = strchr(value, '-');
        wire.delay_ms_min = number(value);
        wire.delay_ms_max = dash != NULL ? number(dash + 1) : wire.delay_ms_min;
        return wire.delay_ms_min <= wire.delay_ms_max;
    }
    if (strcmp(name, "cut") == 0) {
        wire.cut[FAR] = strcmp(value, "to_near") != 0;
        wire.cut[NEAR] = strcmp(value, "to_far") != 0;
        return true;
    }
    return false;
}

static bool set_all(char *line)
{
    memset(&wire, 0, sizeof(wire));
    memset(free_us, 0, sizeof(free_us));
    for (char *word = strsep(&line, " "); word != NULL; word = strsep(&line, " ")) {
        char *value = strchr(word, '=');
        if (value == NULL) {
            continue; /* an empty line: a good wire */
        }
        *value = '\0';
        if (!set_one(word, value + 1)) {
            return false;
        }
    }
    return true;
}

static void stats_print(void)
{
    (void)printf("{\"packets\":%llu,\"delayed\":%llu,\"lost\":%llu,\"cut\":%llu,\"doubled\":%llu,"
                 "\"overtaken\":%llu,\"holes\":%llu,\"resets\":%llu,\"crowded\":%llu,"
                 "\"zero_windows\":%llu}\n",
                 (unsigned long long)stats.packets, (unsigned long long)stats.delayed,
                 (unsigned long long)stats.lost, (unsigned long long)stats.cut,
                 (unsigned long long)stats.doubled, (unsigned long long)stats.overtaken,
                 (unsigned long long)stats.holes, (unsigned long long)stats.resets,
                 (unsigned long long)stats.crowded, (unsigned long long)stats.zero_windows);
    (void)fflush(stdout);
}

/* False: the program is to end. One read is one line: who writes waits for what it has asked. */
static bool command(void)
{
    char text[512];
    const ssize_t got = read(STDIN_FILENO, text, sizeof(text) - 1);
    if (got <= 0) {
        return false;
    }
    text[got] = '\0';
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); rest != NULL; line = strsep(&rest, "\n")) {
        if (strcmp(line, "stats") == 0) {
            stats_print();
        } else if (!set_all(line)) {
            (void)fprintf(stderr, "bridge: not a setting: %s\n", line);
            return false;
        }
    }
    return true;
}

/* ---- the program --------------------------------------------------------------------------- */

static int device_open(void)
{
    const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    (void)snprintf(request.ifr_name, sizeof(request.ifr_name), "wire0");
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0) {
        perror("bridge: /dev/net/tun");
        exit(1);
    }
    return fd;
}

static int wait_ms(void)
{
    const uint64_t now = now_us();
    if (heap_count == 0) {
        return -1;
    }
    return heap[0]->due_us <= now ? 0 : (int)((heap[0]->due_us - now + 999) / 1000);
}

int main(int count, char **arguments)
{
    if (count != 2) {
        (void)fputs("usage: bridge SEED\n", stderr);
        return 2;
    }
    dice = number(arguments[1]);
    devices[NEAR] = device_open();
    if (unshare(CLONE_NEWNET) != 0) {
        perror("bridge: a network of its own");
        return 1;
    }
    devices[FAR] = device_open();
    const int far = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    (void)printf("ready %d\n", far);
    (void)fflush(stdout);
    for (;;) {
        struct pollfd fds[] = {{.fd = devices[NEAR], .events = POLLIN},
                               {.fd = devices[FAR], .events = POLLIN},
                               {.fd = STDIN_FILENO, .events = POLLIN}};
        (void)poll(fds, 3, wait_ms());
        if (fds[2].revents != 0 && !command()) {
            return 0;
        }
        carry_all(NEAR);
        carry_all(FAR);
        deliver_due();
    }
}
