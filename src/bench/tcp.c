#include "bench/tcp.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 16

static struct sockaddr_in address_of(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int bench_tcp_listen(uint16_t *ret_port)
{
    struct sockaddr_in address = address_of(0);
    socklen_t size = sizeof(address);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, size) == 0 &&
        listen(fd, BACKLOG) == 0 && getsockname(fd, (struct sockaddr *)&address, &size) == 0) {
        *ret_port = ntohs(address.sin_port);
        return fd;
    }
    const int error = errno;
    (void)close(fd);
    errno = error;
    return -1;
}

int bench_tcp_connect(uint16_t port)
{
    const struct sockaddr_in address = address_of(port);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
        return fd;
    }
    (void)close(fd);
    return -1;
}

static bool connect_pair(int listener, uint16_t port, int ends[static 2])
{
    ends[0] = bench_tcp_connect(port);
    ends[1] = ends[0] < 0 ? -1 : accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (ends[1] < 0) {
        (void)close(ends[0]);
    }
    return ends[1] >= 0;
}

int *bench_tcp_pairs(size_t count)
{
    uint16_t port = 0;
    size_t made = 0;
    int *ends = mem_calloc(2 * count, sizeof(*ends));
    const int listener = ends == NULL ? -1 : bench_tcp_listen(&port);
    while (listener >= 0 && made < count && connect_pair(listener, port, ends + 2 * made)) {
        made++;
    }
    (void)close(listener);
    if (made < count) {
        bench_tcp_pairs_close(ends, made);
        return NULL;
    }
    return ends;
}

void bench_tcp_pairs_close(int *ends, size_t count)
{
    for (size_t i = 0; ends != NULL && i < 2 * count; i++) {
        (void)close(ends[i]);
    }
    mem_free(ends);
}
