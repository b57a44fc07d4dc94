/* io/socket: TCP over the loopback, and each refusal by its name. */
#include "io/socket.h"

#include "lib/failing.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 5000

/* A listener, a client of ours that knows nothing of io/socket, and the accepted side. */
struct world {
    int listener;
    int client;
    int served;
    char address[SOCKET_ADDRESS_TEXT];
};

static uint16_t port_of(const char *address)
{
    unsigned port = 0;
    for (const char *at = strrchr(address, ':') + 1; *at != '\0'; at++) {
        assert_in_range(*at, '0', '9');
        port = port * 10 + (unsigned)(*at - '0');
    }
    return (uint16_t)port;
}

static int client_open(uint16_t port)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void wait_for(int fd, short events)
{
    struct pollfd wait = {.fd = fd, .events = events};
    assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
}

static void world_open(struct world *world)
{
    struct address peer;
    assert_int_equal(socket_listen("127.0.0.1", 0, 8, &world->listener, world->address), RC_OK);
    world->client = client_open(port_of(world->address));
    wait_for(world->listener, POLLIN);
    assert_int_equal(socket_accept(world->listener, &world->served, &peer), RC_OK);
    char text[ADDRESS_TEXT_SIZE];
    address_print(&peer, text);
    assert_string_equal(text, "127.0.0.1");
}

static void world_close(struct world *world)
{
    socket_close(world->listener);
    socket_close(world->client);
    socket_close(world->served);
}

static void a_free_port_is_found_and_told(void **state)
{
    (void)state;
    char address[SOCKET_ADDRESS_TEXT];
    int fd = -1;
    assert_int_equal(socket_listen("127.0.0.1", 0, 8, &fd, address), RC_OK);
    assert_memory_equal(address, "127.0.0.1:", 10);
    assert_true(port_of(address) > 0);
    const int client = client_open(port_of(address));
    socket_close(client);
    socket_close(fd);
}

static void an_ipv6_address_is_told_in_brackets(void **state)
{
    (void)state;
    char address[SOCKET_ADDRESS_TEXT];
    int fd = -1;
    const enum rc rc = socket_listen("::1", 0, 8, &fd, address);
    if (rc == RC_NOT_FOUND || rc == RC_IO) {
        skip(); /* a machine without IPv6 */
    }
    assert_int_equal(rc, RC_OK);
    assert_memory_equal(address, "[::1]:", 6);
    assert_true(port_of(address) > 0);
    socket_close(fd);
}

static void a_port_in_use_is_refused_by_name(void **state)
{
    (void)state;
    char address[SOCKET_ADDRESS_TEXT];
    char other[SOCKET_ADDRESS_TEXT] = "untouched";
    int first = -1;
    int second = -7;
    assert_int_equal(socket_listen("127.0.0.1", 0, 8, &first, address), RC_OK);
    const uint16_t port = port_of(address);
    assert_int_equal(socket_listen("127.0.0.1", port, 8, &second, other), RC_EXISTS);
    assert_int_equal(second, -7);
    assert_string_equal(other, "untouched");
    socket_close(first);
    assert_int_equal(socket_listen("127.0.0.1", port, 8, &second, other), RC_OK);
    assert_string_equal(other, address);
    socket_close(second);
}

static void a_port_whose_connections_have_just_ended_is_free(void **state)
{
    (void)state;
    struct world world;
    int again = -1;
    world_open(&world);
    socket_close(world.served); /* our side first: it stays in TIME_WAIT */
    world_close(&(struct world){world.listener, world.client, -1, ""});
    assert_int_equal(socket_listen("127.0.0.1", port_of(world.address), 8, &again, world.address),
                     RC_OK);
    socket_close(again);
}

static void a_host_that_is_not_there_is_refused_by_name(void **state)
{
    (void)state;
    char address[SOCKET_ADDRESS_TEXT];
    int fd = -7;
    /* A label over 63 bytes is no name, which needs no name server to tell; the other is an address
     * for documentation, of no machine. */
    const char *const hosts[] = {
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid",
        "192.0.2.1",
    };
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        assert_int_equal(socket_listen(hosts[i], 0, 8, &fd, address), RC_NOT_FOUND);
        assert_int_equal(fd, -7);
    }
}

static void sockets_block_nobody_and_are_not_inherited(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    const int ours[] = {world.listener, world.served};
    for (size_t i = 0; i < 2; i++) {
        assert_true((fcntl(ours[i], F_GETFL) & O_NONBLOCK) != 0);
        assert_true((fcntl(ours[i], F_GETFD) & FD_CLOEXEC) != 0);
    }
    int no_delay = 0;
    socklen_t size = sizeof(no_delay);
    assert_int_equal(getsockopt(world.served, IPPROTO_TCP, TCP_NODELAY, &no_delay, &size), 0);
    assert_true(no_delay != 0);
    world_close(&world);
}

static void with_nothing_there_the_answer_is_again(void **state)
{
    (void)state;
    struct world world;
    struct address peer;
    char byte;
    int fd = -7;
    size_t size = 99;
    world_open(&world);
    assert_int_equal(socket_accept(world.listener, &fd, &peer), RC_AGAIN);
    assert_int_equal(fd, -7);
    assert_int_equal(socket_read(world.served, &byte, 1, &size), RC_AGAIN);
    assert_int_equal(size, 99);
    world_close(&world);
}

static void pieces_arrive_as_one_stream(void **state)
{
    (void)state;
    struct world world;
    char got[16] = "";
    struct iovec pieces[] = {{"one ", 4}, {"", 0}, {"two ", 4}, {"three", 5}};
    size_t size = 0;
    world_open(&world);
    assert_int_equal(socket_write(world.served, pieces, 1, &size), RC_OK);
    assert_int_equal(size, 4);
    assert_int_equal(socket_write(world.served, pieces + 1, 3, &size), RC_OK);
    assert_int_equal(size, 9);
    assert_int_equal(recv(world.client, got, 13, MSG_WAITALL), 13);
    assert_string_equal(got, "one two three");
    assert_int_equal(send(world.client, "back", 4, 0), 4);
    wait_for(world.served, POLLIN);
    assert_int_equal(socket_read(world.served, got, sizeof(got), &size), RC_OK);
    assert_int_equal(size, 4);
    assert_memory_equal(got, "back", 4);
    world_close(&world);
}

/* What was said to be taken arrives, byte for byte, however often the answer was "again". */
static void a_peer_that_does_not_read_is_told_by_again(void **state)
{
    (void)state;
    struct world world;
    static uint8_t out[100000];
    static uint8_t in[100000];
    uint64_t sent = 0;
    size_t size = 0;
    world_open(&world);
    enum rc rc = RC_OK;
    while (rc == RC_OK) {
        for (size_t i = 0; i < sizeof(out); i++) {
            out[i] = (uint8_t)((sent + i) % 251);
        }
        const struct iovec piece = {out, sizeof(out)};
        rc = socket_write(world.served, &piece, 1, &size);
        sent += rc == RC_OK ? size : 0;
        assert_true(sent < (uint64_t)1 << 30);
    }
    assert_int_equal(rc, RC_AGAIN);
    socket_shutdown_write(world.served); /* what is in flight is still delivered */
    uint64_t received = 0;
    ssize_t count;
    while ((count = recv(world.client, in, sizeof(in), 0)) > 0) {
        for (ssize_t i = 0; i < count; i++) {
            assert_int_equal(in[i], (received + (uint64_t)i) % 251);
        }
        received += (uint64_t)count;
    }
    assert_int_equal(count, 0);
    assert_true(received == sent);
    world_close(&world);
}

static void the_peers_end_is_closed_after_its_last_byte(void **state)
{
    (void)state;
    struct world world;
    char got[8];
    size_t size = 0;
    world_open(&world);
    assert_int_equal(send(world.client, "bye", 3, 0), 3);
    assert_int_equal(shutdown(world.client, SHUT_WR), 0);
    wait_for(world.served, POLLRDHUP);
    assert_int_equal(socket_read(world.served, got, sizeof(got), &size), RC_OK);
    assert_int_equal(size, 3);
    assert_int_equal(socket_read(world.served, got, sizeof(got), &size), RC_CLOSED);
    const struct iovec piece = {"heard", 5}; /* the other direction is still open */
    assert_int_equal(socket_write(world.served, &piece, 1, &size), RC_OK);
    assert_int_equal(recv(world.client, got, 5, MSG_WAITALL), 5);
    world_close(&world);
}

/* A reset; SIGPIPE would end this program. */
static void a_peer_that_is_gone_is_closed_for_reading_and_writing(void **state)
{
    (void)state;
    struct world world;
    char byte;
    size_t size = 0;
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    world_open(&world);
    assert_int_equal(setsockopt(world.client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    assert_int_equal(close(world.client), 0);
    world.client = -1;
    wait_for(world.served, POLLIN);
    assert_int_equal(socket_read(world.served, &byte, 1, &size), RC_CLOSED);
    struct iovec pieces[] = {{"a", 1}, {"b", 1}};
    assert_int_equal(socket_write(world.served, pieces, 1, &size), RC_CLOSED);
    assert_int_equal(socket_write(world.served, pieces, 2, &size), RC_CLOSED);
    world_close(&world);
}

static void without_descriptors_accepting_waits_until_there_are_some(void **state)
{
    (void)state;
    struct world world;
    struct address peer;
    int fd = -7;
    world_open(&world);
    const int waiting = client_open(port_of(world.address));
    wait_for(world.listener, POLLIN);
    const int lowest = fcntl(0, F_DUPFD_CLOEXEC, 0); /* the first number that is free */
    assert_true(lowest >= 0);
    assert_int_equal(close(lowest), 0);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit none = {.rlim_cur = (rlim_t)lowest, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    const enum rc rc = socket_accept(world.listener, &fd, &peer);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(rc, RC_FULL);
    assert_int_equal(fd, -7);
    assert_int_equal(socket_accept(world.listener, &fd, &peer), RC_OK); /* it has waited */
    socket_close(fd);
    socket_close(waiting);
    world_close(&world);
}

static void accepting_on_what_is_no_listener_is_an_error(void **state)
{
    (void)state;
    struct world world;
    struct address peer;
    int fd = -7;
    world_open(&world);
    assert_int_equal(socket_accept(world.served, &fd, &peer), RC_IO);
    world_close(&world);
    socket_close(-1); /* is allowed */
}

/* Each errno of a call, and what a caller is told. */
struct told {
    int error;
    enum rc rc;
};

static void a_listener_that_cannot_be_is_refused_by_name(void **state)
{
    (void)state;
    static const struct told rows[] = {
        {EADDRINUSE, RC_EXISTS},       {EACCES, RC_DENIED}, {EPERM, RC_DENIED},
        {EADDRNOTAVAIL, RC_NOT_FOUND}, {ENOBUFS, RC_IO},
    };
    char address[SOCKET_ADDRESS_TEXT] = "untouched";
    int fd = -7;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        failing_set(FAILING_bind, 1, 1, rows[i].error);
        assert_int_equal(socket_listen("127.0.0.1", 0, 8, &fd, address), rows[i].rc);
        assert_int_equal(failing_hits(FAILING_bind), 1);
        failing_set(FAILING_listen, 1, 1, rows[i].error);
        assert_int_equal(socket_listen("127.0.0.1", 0, 8, &fd, address), rows[i].rc);
        assert_int_equal(failing_hits(FAILING_listen), 1);
    }
    failing_set(FAILING_socket, 1, 1, EMFILE);
    assert_int_equal(socket_listen("127.0.0.1", 0, 8, &fd, address), RC_IO);
    failing_set(FAILING_getaddrinfo, 1, 1, 0); /* no error, and no address */
    assert_int_equal(socket_listen("127.0.0.1", 0, 8, &fd, address), RC_NOT_FOUND);
    assert_int_equal(fd, -7);
    assert_string_equal(address, "untouched");
    failing_clear();
}

static void why_nobody_is_accepted_is_told(void **state)
{
    (void)state;
    static const struct told rows[] = {
        {EAGAIN, RC_AGAIN}, {EINTR, RC_AGAIN}, {ECONNABORTED, RC_AGAIN},
        {EPROTO, RC_AGAIN}, {EMFILE, RC_FULL}, {ENFILE, RC_FULL},
        {ENOBUFS, RC_FULL}, {ENOMEM, RC_FULL}, {EBADF, RC_IO},
    };
    struct world world;
    const struct address untouched = {.bytes = {1, 2, 3}};
    struct address peer = untouched;
    int fd = -7;
    world_open(&world);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        failing_set(FAILING_accept4, 1, 1, rows[i].error);
        assert_int_equal(socket_accept(world.listener, &fd, &peer), rows[i].rc);
        assert_int_equal(fd, -7);
        assert_memory_equal(&peer, &untouched, sizeof(peer));
    }
    failing_clear();
    world_close(&world);
}

static void a_call_that_did_nothing_is_no_end_of_the_connection(void **state)
{
    (void)state;
    static const struct told rows[] = {
        {EAGAIN, RC_AGAIN},
        {EINTR, RC_AGAIN},
        {ENOBUFS, RC_AGAIN},
        {EPIPE, RC_CLOSED},
    };
    struct world world;
    char byte = 'x';
    const struct iovec pieces[2] = {{&byte, 1}, {&byte, 1}};
    size_t size = 77;
    world_open(&world);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        failing_set(FAILING_send, 1, 1, rows[i].error);
        assert_int_equal(socket_write(world.served, pieces, 1, &size), rows[i].rc);
        failing_set(FAILING_sendmsg, 1, 1, rows[i].error);
        assert_int_equal(socket_write(world.served, pieces, 2, &size), rows[i].rc);
    }
    failing_set(FAILING_recv, 1, 1, EINTR);
    assert_int_equal(socket_read(world.served, &byte, 1, &size), RC_AGAIN);
    failing_set(FAILING_recv, 1, 1, ECONNRESET);
    assert_int_equal(socket_read(world.served, &byte, 1, &size), RC_CLOSED);
    assert_int_equal(size, 77);
    failing_clear();
    assert_int_equal(socket_write(world.served, pieces, 2, &size), RC_OK);
    assert_int_equal(size, 2);
    world_close(&world);
}

/* A listener that somebody else has made may be of another family. */
static void peers_of_every_family_have_an_address(void **state)
{
    (void)state;
    const struct sockaddr_un local = {.sun_family = AF_UNIX}; /* a name that the kernel draws */
    struct address peer;
    char text[ADDRESS_TEXT_SIZE];
    struct sockaddr_un bound;
    socklen_t size = sizeof(bound);
    int fd = -1;
    const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (const struct sockaddr *)&local, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&bound, &size), 0);
    assert_int_equal(connect(client, (const struct sockaddr *)&bound, size), 0);
    assert_int_equal(socket_accept(listener, &fd, &peer), RC_OK);
    address_print(&peer, text);
    assert_string_equal(text, "::"); /* none that we serve */
    socket_close(fd);
    socket_close(client);
    socket_close(listener);
}

static void a_peer_over_ipv6_is_told_without_its_port(void **state)
{
    (void)state;
    char address[SOCKET_ADDRESS_TEXT];
    struct address peer;
    char text[ADDRESS_TEXT_SIZE];
    int listener = -1;
    int fd = -1;
    const enum rc rc = socket_listen("::1", 0, 8, &listener, address);
    if (rc == RC_NOT_FOUND || rc == RC_IO) {
        skip(); /* a machine without IPv6 */
    }
    const struct sockaddr_in6 to = {
        .sin6_family = AF_INET6,
        .sin6_port = htons(port_of(address)),
        .sin6_addr = IN6ADDR_LOOPBACK_INIT,
    };
    const int client = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (const struct sockaddr *)&to, sizeof(to)), 0);
    wait_for(listener, POLLIN);
    assert_int_equal(socket_accept(listener, &fd, &peer), RC_OK);
    address_print(&peer, text);
    assert_string_equal(text, "::1");
    socket_close(fd);
    socket_close(client);
    socket_close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_free_port_is_found_and_told),
        cmocka_unit_test(an_ipv6_address_is_told_in_brackets),
        cmocka_unit_test(a_port_in_use_is_refused_by_name),
        cmocka_unit_test(a_port_whose_connections_have_just_ended_is_free),
        cmocka_unit_test(a_host_that_is_not_there_is_refused_by_name),
        cmocka_unit_test(sockets_block_nobody_and_are_not_inherited),
        cmocka_unit_test(with_nothing_there_the_answer_is_again),
        cmocka_unit_test(pieces_arrive_as_one_stream),
        cmocka_unit_test(a_peer_that_does_not_read_is_told_by_again),
        cmocka_unit_test(the_peers_end_is_closed_after_its_last_byte),
        cmocka_unit_test(a_peer_that_is_gone_is_closed_for_reading_and_writing),
        cmocka_unit_test(without_descriptors_accepting_waits_until_there_are_some),
        cmocka_unit_test(accepting_on_what_is_no_listener_is_an_error),
        cmocka_unit_test(a_listener_that_cannot_be_is_refused_by_name),
        cmocka_unit_test(why_nobody_is_accepted_is_told),
        cmocka_unit_test(a_call_that_did_nothing_is_no_end_of_the_connection),
        cmocka_unit_test(peers_of_every_family_have_an_address),
        cmocka_unit_test(a_peer_over_ipv6_is_told_without_its_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
