#include "io/loop.h"

#include "base/assert.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Registered with events 0 must still differ from "not registered". */
#define REGISTERED 0x80u

enum rc loop_init(struct loop *loop)
{
    loop->ready_count = 0;
    loop->epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
    return loop->epoll_fd_ < 0 ? RC_IO : RC_OK;
}

void loop_deinit(struct loop *loop)
{
    if (loop->epoll_fd_ >= 0) {
        (void)close(loop->epoll_fd_);
        loop->epoll_fd_ = -1;
    }
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
    if (epoll_ctl(loop->epoll_fd_, op, handler->fd, &event) != 0) {
        return errno == ENOMEM || errno == ENOSPC ? RC_NOMEM : RC_IO;
    }
    handler->events = (uint16_t)(events | REGISTERED);
    return RC_OK;
}

void loop_forget(struct loop *loop, struct loop_handler *handler)
{
    if (handler->events == 0) {
        return;
    }
    (void)epoll_ctl(loop->epoll_fd_, EPOLL_CTL_DEL, handler->fd, NULL);
    handler->events = 0;
    for (unsigned i = 0; i < loop->ready_count; i++) {
        if (loop->ready[i].handler == handler) {
            loop->ready[i].handler = NULL;
        }
    }
}

void loop_wait(struct loop *loop, int timeout_ms)
{
    struct epoll_event events[LOOP_READY_MAX];
    const int count = epoll_wait(loop->epoll_fd_, events, LOOP_READY_MAX, timeout_ms);
    loop->ready_count = 0;
    if (count < 0) {
        ASSERT(errno == EINTR);
        return;
    }
    for (int i = 0; i < count; i++) {
        uint32_t ready = 0;
        ready |= (events[i].events & (uint32_t)(EPOLLIN | EPOLLRDHUP)) != 0 ? LOOP_READ : 0u;
        ready |= (events[i].events & (uint32_t)EPOLLOUT) != 0 ? LOOP_WRITE : 0u;
        ready |= (events[i].events & (uint32_t)(EPOLLERR | EPOLLHUP)) != 0 ? LOOP_HANGUP : 0u;
        loop->ready[loop->ready_count++] =
            (struct loop_ready){.handler = events[i].data.ptr, .events = ready};
    }
}
