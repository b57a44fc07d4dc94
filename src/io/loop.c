#include "io/loop.h"

#include "base/assert.h"
#include "base/tune.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Registered with events 0 must still differ from "not registered". */
#define REGISTERED 0x80u

static_assert(LOOP_NEWCOMERS_MAX < LOOP_READY_MAX, "they are the few");

enum rc loop_init(struct loop *loop)
{
    loop->ready_count = 0;
    loop->crowded = false;
    loop->aside_fd_ = -1;
    loop->epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd_ < 0) {
        return RC_IO;
    }
    loop->aside_fd_ = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = loop};
    if (loop->aside_fd_ < 0 ||
        epoll_ctl(loop->epoll_fd_, EPOLL_CTL_ADD, loop->aside_fd_, &event) != 0) {
        loop_deinit(loop);
        return RC_IO;
    }
    return RC_OK;
}

static void fd_close(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

void loop_deinit(struct loop *loop)
{
    fd_close(&loop->aside_fd_);
    fd_close(&loop->epoll_fd_);
}

static int epoll_of(const struct loop *loop, const struct loop_handler *handler)
{
    return handler->newcomer ? loop->aside_fd_ : loop->epoll_fd_;
}

enum rc loop_set(struct loop *loop, struct loop_handler *handler, uint32_t events)
{
    ASSERT(handler->fd >= 0);
    if (handler->events == (events | REGISTERED)) {
        return RC_OK;
    }
    struct epoll_event event = {.data.ptr = handler};
    event.events |= (events & LOOP_READ) != 0 ? (uint32_t)EPOLLIN | (uint32_t)EPOLLRDHUP : 0u;
    event.events |= (events & LOOP_WRITE) != 0 ? (uint32_t)EPOLLOUT : 0u;
    const int op = handler->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(epoll_of(loop, handler), op, handler->fd, &event) != 0) {
        return errno == ENOMEM || errno == ENOSPC ? RC_NOMEM : RC_IO;
    }
    handler->events = (uint16_t)(events | REGISTERED);
    return RC_OK;
}

enum rc loop_admit(struct loop *loop, struct loop_handler *handler)
{
    ASSERT(handler->newcomer && handler->events != 0);
    const uint32_t events = handler->events & ~REGISTERED;
    (void)epoll_ctl(loop->aside_fd_, EPOLL_CTL_DEL, handler->fd, NULL);
    handler->events = 0;
    handler->newcomer = false;
    return loop_set(loop, handler, events);
}

void loop_forget(struct loop *loop, struct loop_handler *handler)
{
    if (handler->events == 0) {
        return;
    }
    (void)epoll_ctl(epoll_of(loop, handler), EPOLL_CTL_DEL, handler->fd, NULL);
    handler->events = 0;
    for (unsigned i = 0; i < loop->ready_count; i++) {
        if (loop->ready[i].handler == handler) {
            loop->ready[i].handler = NULL;
        }
    }
}

/* Adds what is ready to `ready`; `max` of it at most. Returns how many there were. */
static unsigned take_ready(struct loop *loop, int epoll_fd, unsigned max, int timeout_ms,
                           bool *ret_aside)
{
    struct epoll_event events[LOOP_READY_MAX];
    const int count = epoll_wait(epoll_fd, events, (int)max, timeout_ms);
    if (count < 0) {
        ASSERT(errno == EINTR);
        return 0;
    }
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr == loop) {
            *ret_aside = true;
            continue;
        }
        uint32_t ready = 0;
        ready |= (events[i].events & (uint32_t)(EPOLLIN | EPOLLRDHUP)) != 0 ? LOOP_READ : 0u;
        ready |= (events[i].events & (uint32_t)EPOLLOUT) != 0 ? LOOP_WRITE : 0u;
        ready |= (events[i].events & (uint32_t)(EPOLLERR | EPOLLHUP)) != 0 ? LOOP_HANGUP : 0u;
        loop->ready[loop->ready_count++] =
            (struct loop_ready){.handler = events[i].data.ptr, .events = ready};
    }
    return (unsigned)count;
}

void loop_wait(struct loop *loop, int timeout_ms)
{
    bool aside = false;
    loop->ready_count = 0;
    loop->crowded = false;
    (void)take_ready(loop, loop->epoll_fd_, LOOP_READY_MAX, timeout_ms, &aside);
    if (aside) {
        ASSERT(tune.newcomers > 0 && tune.newcomers <= LOOP_NEWCOMERS_MAX);
        loop->crowded =
            take_ready(loop, loop->aside_fd_, tune.newcomers, 0, &aside) == tune.newcomers;
    }
}
