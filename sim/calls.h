/* The system calls of the C client library, by other names: sim/machine.c has them. Included in
 * front of those files of the library that make some, in place of what they include themselves.
 *
 * Thread: one.  Memory: none. */
#ifndef SIM_CALLS_H
#define SIM_CALLS_H

#include <netdb.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

int sim_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                    struct addrinfo **ret_list);
void sim_freeaddrinfo(struct addrinfo *list);
int sim_socket(int family, int type, int protocol);
int sim_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int sim_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int sim_connect(int fd, const struct sockaddr *address, socklen_t size);
ssize_t sim_send(int fd, const void *data, size_t size, int flags);
ssize_t sim_recv(int fd, void *to, size_t size, int flags);
int sim_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int sim_close(int fd);
ssize_t sim_getrandom(void *to, size_t size, unsigned flags);
int sim_clock_gettime(clockid_t clock, struct timespec *ret_now);
int sim_epoll_create1(int flags);
int sim_epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event);
int sim_eventfd(unsigned count, int flags);
int sim_timerfd_create(int clock, int flags);
int sim_timerfd_settime(int fd, int flags, const struct itimerspec *when,
                        struct itimerspec *ret_before);
ssize_t sim_read(int fd, void *to, size_t size);
ssize_t sim_write(int fd, const void *data, size_t size);

#ifdef SIM_CALLS
#define getaddrinfo(...)     sim_getaddrinfo(__VA_ARGS__)
#define freeaddrinfo(...)    sim_freeaddrinfo(__VA_ARGS__)
#define socket(...)          sim_socket(__VA_ARGS__)
#define setsockopt(...)      sim_setsockopt(__VA_ARGS__)
#define getsockopt(...)      sim_getsockopt(__VA_ARGS__)
#define connect(...)         sim_connect(__VA_ARGS__)
#define send(...)            sim_send(__VA_ARGS__)
#define recv(...)            sim_recv(__VA_ARGS__)
#define poll(...)            sim_poll(__VA_ARGS__)
#define close(...)           sim_close(__VA_ARGS__)
#define getrandom(...)       sim_getrandom(__VA_ARGS__)
#define clock_gettime(...)   sim_clock_gettime(__VA_ARGS__)
#define epoll_create1(...)   sim_epoll_create1(__VA_ARGS__)
#define epoll_ctl(...)       sim_epoll_ctl(__VA_ARGS__)
#define eventfd(...)         sim_eventfd(__VA_ARGS__)
#define timerfd_create(...)  sim_timerfd_create(__VA_ARGS__)
#define timerfd_settime(...) sim_timerfd_settime(__VA_ARGS__)
#define read(...)            sim_read(__VA_ARGS__)
#define write(...)           sim_write(__VA_ARGS__)
#endif

#endif
