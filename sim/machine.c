#include "sim/machine.h"

#include "base/prng.h"
#include "io/disk.h"
#include "sim/calls.h"
#include "sim/client.h"
#include "sim/faults.h"
#include "sim/heap.h"
#include "sim/meddler.h"
#include "sim/net.h"
#include "sim/trace.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_FD  3
#define FDS       24
#define FILES     8u
#define CLOCK_US  UINT64_C(77000000000) /* what a machine's clock has shown when the world began */
#define SENT_MAX  65536u
#define SENT_TINY 300u

enum what { NOTHING, SOCKET, EVENT, TIMER, EPOLL };

enum socket_state { FRESH, CONNECTING, OPEN, RESET, ENDED };

struct descriptor {
    struct net_client net; /* first */
    struct machine *machine;
    enum what what;
    uint32_t watched; /* by the epoll descriptor; 0: not */
    /* a socket */
    enum socket_state state;
    struct net_conn *conn; /* NULL: none (any more) */
    uint64_t connected_us; /* CONNECTING: until then */
    bool refused;          /* … and then it turns out that nobody is there */
    size_t sent_max;
    struct meddler_block in;
    struct meddler meddler;
    /* an eventfd; a timerfd */
    uint64_t count;
    uint64_t due_us; /* 0: not set */
};

struct disk {
    bool locked;
};

struct machine {
    bool taken;
    bool dead;
    void (*wake)(void *ctx);
    void *ctx;
    struct prng prng;
    struct descriptor fds[FDS];
    struct sim_disk *inner;
    struct storage storage; /* of it */
    struct storage_file *files[FILES];
    unsigned file_count;
    struct disk disk; /* as the library has it */
    bool disk_failed;
    uint64_t die_sending; /* at that send; 0: not */
    jmp_buf death;
};

static struct machine machines[MACHINES_MAX];
static struct machine *current; /* whose program runs now */
static uint64_t down_until_us[MACHINE_ADDRESSES_MAX];
static bool down_silent[MACHINE_ADDRESSES_MAX];
static struct plan plan;

static enum heap_owner owner_of(const struct machine *machine)
{
    return (enum heap_owner)(HEAP_LIBRARY + (unsigned)(machine - machines));
}

static uint64_t clock_us(void)
{
    return CLOCK_US + sim_now_us;
}

void machines_begin(const struct plan *world)
{
    plan = *world;
    tune = world->tune;
    current = NULL;
    bytes_zero(machines, sizeof(machines));
    bytes_zero(down_until_us, sizeof(down_until_us));
}

struct machine *machine_open(uint64_t seed, void (*wake)(void *ctx), void *ctx)
{
    struct machine *machine = machines;
    while (machine->taken) {
        machine++;
        ASSERT(machine < machines + MACHINES_MAX);
    }
    bytes_zero(machine, sizeof(*machine));
    machine->taken = true;
    machine->wake = wake;
    machine->ctx = ctx;
    machine->prng.state = seed;
    machine->inner = sim_disk_open(seed);
    machine->storage = sim_disk_storage(machine->inner);
    return machine;
}

/* ---- its end --------------------------------------------------------------------------------- */

static void fd_close(struct descriptor *fd, bool silent)
{
    if (fd->conn != NULL) {
        if (silent) {
            net_half_open(fd->conn);
        }
        net_close(fd->conn);
    }
    meddler_block_deinit(&fd->in);
    meddler_deinit(&fd->meddler);
    bytes_zero(fd, sizeof(*fd));
}

static void files_close(struct machine *machine)
{
    while (machine->file_count > 0) {
        machine->storage.ops->close(machine->storage.ctx, machine->files[--machine->file_count]);
    }
}

void machine_kill(struct machine *machine, enum sim_loss loss)
{
    const bool power = loss == SIM_LOSE_EVERYTHING || loss == SIM_LOSE_SOME;
    heap_drop(owner_of(machine));
    for (unsigned i = 0; i < FDS; i++) {
        if (machine->fds[i].what != NOTHING) {
            fd_close(&machine->fds[i], power);
        }
    }
    files_close(machine);
    for (unsigned kind = 0; kind < SIM_CALL_COUNT; kind++) {
        sim_disk_fail(machine->inner, (enum sim_call)kind, 0, false, RC_OK);
    }
    sim_disk_restart(machine->inner, loss);
    machine->disk.locked = false;
    machine->disk_failed = false;
    machine->die_sending = 0;
    machine->dead = false;
}

void machine_close(struct machine *machine)
{
    machine_kill(machine, SIM_LOSE_NOTHING);
    sim_disk_close(machine->inner);
    machine->taken = false;
}

void machines_calm(void)
{
    bytes_zero(down_until_us, sizeof(down_until_us));
    for (unsigned i = 0; i < MACHINES_MAX; i++) {
        struct machine *machine = &machines[i];
        for (unsigned k = 0; k < FDS; k++) {
            struct descriptor *fd = &machine->fds[k];
            if (fd->conn != NULL && fd->meddler.did) {
                net_cut(fd->conn);
            }
            fd->sent_max = SENT_MAX;
        }
        if (machine->taken) {
            sim_disk_budget(machine->inner, UINT64_MAX);
        }
    }
}

bool machine_run(struct machine *machine, void (*part)(void *ctx), void *ctx)
{
    const enum heap_owner owner = heap_owner_set(owner_of(machine));
    if (current == machine) { /* from a callback */
        part(ctx);
        (void)heap_owner_set(owner);
        return true;
    }
    ASSERT(current == NULL && machine->taken && owner == HEAP_WORLD);
    current = machine;
    machine->dead = setjmp(machine->death) != 0;
    if (!machine->dead) {
        part(ctx);
    }
    current = NULL;
    (void)heap_owner_set(HEAP_WORLD);
    sim_disk_die_at(machine->inner, 0);
    machine->die_sending = 0;
    return !machine->dead;
}

bool machine_runs(const struct machine *machine)
{
    return machine == current;
}

static _Noreturn void die(struct machine *machine)
{
    ASSERT(machine == current);
    longjmp(machine->death, 1);
}

void machine_die_writing(struct machine *machine, uint64_t k)
{
    sim_disk_die_at(machine->inner, k);
}

void machine_die_sending(struct machine *machine, uint64_t k)
{
    machine->die_sending = k;
}

bool machine_disk_failed(struct machine *machine)
{
    const bool failed = machine->disk_failed;
    machine->disk_failed = false;
    return failed;
}

const char *machine_left_over(const struct machine *machine)
{
    for (unsigned i = 0; i < FDS; i++) {
        if (machine->fds[i].what != NOTHING) {
            return "a descriptor";
        }
    }
    return machine->file_count > 0              ? "a file"
           : machine->disk.locked               ? "the lock of the outbox"
           : heap_blocks(owner_of(machine)) > 0 ? "memory"
                                                : NULL;
}

/* ---- the disk: io/disk.h --------------------------------------------------------------------- */

/* The next call of that kind fails. */
static void fail(enum sim_call call, enum fault_kind kind, bool forever, enum rc rc)
{
    if (fault_happens(kind)) {
        sim_disk_fail(current->inner, call, 1, forever, rc);
        current->disk_failed = true;
    }
}

static enum rc after(enum rc rc)
{
    if (sim_disk_is_dead(current->inner)) {
        die(current);
    }
    return rc;
}

static enum rc on_open(void *ctx, const char *name, enum storage_open_mode mode,
                       struct storage_file **ret_file)
{
    (void)ctx;
    const enum rc rc = current->storage.ops->open(current->storage.ctx, name, mode, ret_file);
    if (rc == RC_OK) {
        ASSERT(current->file_count < FILES);
        current->files[current->file_count++] = *ret_file;
    }
    return after(rc);
}

static void on_close(void *ctx, struct storage_file *file)
{
    (void)ctx;
    for (unsigned i = 0; file != NULL && i < current->file_count; i++) {
        if (current->files[i] == file) {
            current->files[i] = current->files[--current->file_count];
            break;
        }
    }
    current->storage.ops->close(current->storage.ctx, file);
}

static enum rc on_size(void *ctx, struct storage_file *file, uint64_t *ret_size)
{
    (void)ctx;
    return after(current->storage.ops->size(current->storage.ctx, file, ret_size));
}

static enum rc on_read(void *ctx, struct storage_file *file, void *to, size_t size, uint64_t at,
                       size_t *ret_size)
{
    (void)ctx;
    return after(current->storage.ops->read(current->storage.ctx, file, to, size, at, ret_size));
}

static enum rc on_write(void *ctx, struct storage_file *file, struct bytes bytes, uint64_t at)
{
    (void)ctx;
    fail(SIM_WRITE, FAULT_OUTBOX_WRITE, false, sim_chance(50) ? RC_NOSPACE : RC_IO);
    return after(current->storage.ops->write(current->storage.ctx, file, bytes, at));
}

static enum rc on_sync_data(void *ctx, struct storage_file *file)
{
    (void)ctx;
    sim_disk_sync_keeps(current->inner, sim_chance(50));
    fail(SIM_SYNC_DATA, FAULT_OUTBOX_SYNC, false, RC_IO);
    return after(current->storage.ops->sync_data(current->storage.ctx, file));
}

static enum rc on_truncate(void *ctx, struct storage_file *file, uint64_t size)
{
    (void)ctx;
    fail(SIM_TRUNCATE, FAULT_OUTBOX_OTHER, false, RC_IO);
    return after(current->storage.ops->truncate(current->storage.ctx, file, size));
}

static enum rc on_rename(void *ctx, const char *from, const char *to)
{
    (void)ctx;
    fail(SIM_RENAME, FAULT_OUTBOX_OTHER, false, RC_IO);
    return after(current->storage.ops->rename(current->storage.ctx, from, to));
}

static enum rc on_remove(void *ctx, const char *name)
{
    (void)ctx;
    fail(SIM_REMOVE, FAULT_OUTBOX_OTHER, false, RC_IO);
    return after(current->storage.ops->remove(current->storage.ctx, name));
}

static enum rc on_make_dir(void *ctx, const char *name)
{
    (void)ctx;
    return after(current->storage.ops->make_dir(current->storage.ctx, name));
}

static enum rc on_sync_dir(void *ctx, const char *name)
{
    (void)ctx;
    fail(SIM_SYNC_DIR, FAULT_OUTBOX_OTHER, false, RC_IO);
    return after(current->storage.ops->sync_dir(current->storage.ctx, name));
}

struct storage disk_storage(struct disk *disk)
{
    static const struct storage_ops ops = {
        .open = on_open,
        .close = on_close,
        .size = on_size,
        .read = on_read,
        .write = on_write,
        .sync_data = on_sync_data,
        .truncate = on_truncate,
        .rename = on_rename,
        .remove = on_remove,
        .make_dir = on_make_dir,
        .sync_dir = on_sync_dir,
    };
    ASSERT(disk == &current->disk);
    return (struct storage){.ops = &ops, .ctx = NULL};
}

enum rc disk_open(const char *root, struct disk **ret_disk, struct disk_trouble *ret_trouble)
{
    (void)root; /* a machine has one outbox */
    (void)ret_trouble;
    *ret_disk = &current->disk;
    return RC_OK;
}

void disk_close(struct disk *disk)
{
    if (disk != NULL) {
        ASSERT(disk == &current->disk && current->file_count == 0);
        disk->locked = false;
    }
}

enum rc disk_lock(struct disk *disk)
{
    const bool locked = disk->locked;
    disk->locked = true;
    return locked ? RC_LOCKED : RC_OK;
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static struct descriptor *fd_at(int fd)
{
    ASSERT(fd >= FIRST_FD && fd < FIRST_FD + FDS);
    struct descriptor *found = &current->fds[fd - FIRST_FD];
    ASSERT(found->what != NOTHING); /* EBADF: a call on what was closed */
    return found;
}

static int fd_make(enum what what)
{
    for (int i = 0; i < FDS; i++) {
        struct descriptor *fd = &current->fds[i];
        if (fd->what == NOTHING) {
            bytes_zero(fd, sizeof(*fd));
            fd->what = what;
            fd->machine = current;
            return FIRST_FD + i;
        }
    }
    UNREACHABLE(); /* it leaks them */
}

int sim_close(int fd)
{
    fd_close(fd_at(fd), false);
    return 0;
}

static bool is_connected(const struct descriptor *fd)
{
    return fd->state == CONNECTING && sim_now_us >= fd->connected_us;
}

static bool has_room(const struct descriptor *fd)
{
    return fd->state == OPEN && fd->conn != NULL && net_unsent(fd->conn) < fd->sent_max;
}

static uint32_t events_of(const struct descriptor *fd)
{
    switch (fd->what) {
    case EVENT: return fd->count > 0 ? EPOLLIN : 0;
    case TIMER: return fd->due_us != 0 && sim_now_us >= fd->due_us ? EPOLLIN : 0;
    case SOCKET:
        return (fd->in.size > 0 || fd->state >= RESET ? EPOLLIN : 0u) |
               (is_connected(fd) || has_room(fd) || fd->state == RESET ? EPOLLOUT : 0u) |
               (fd->state == RESET || fd->state == FRESH ? EPOLLERR | EPOLLHUP : 0u);
    case NOTHING:
    case EPOLL: return 0;
    }
    UNREACHABLE();
}

bool machine_ready(const struct machine *machine, int epoll_fd)
{
    ASSERT(machine->fds[epoll_fd - FIRST_FD].what == EPOLL);
    for (unsigned i = 0; i < FDS; i++) {
        const struct descriptor *fd = &machine->fds[i];
        const uint32_t always = EPOLLERR | EPOLLHUP;
        if (fd->watched != 0 && (events_of(fd) & (fd->watched | always)) != 0) {
            return true;
        }
    }
    return false;
}

uint64_t machine_due_us(const struct machine *machine)
{
    uint64_t due = UINT64_MAX;
    for (unsigned i = 0; i < FDS; i++) {
        const struct descriptor *fd = &machine->fds[i];
        const uint64_t own = fd->watched == 0                                ? 0
                             : fd->what == TIMER                             ? fd->due_us
                             : fd->what == SOCKET && fd->state == CONNECTING ? fd->connected_us
                             : fd->what == SOCKET && (fd->watched & EPOLLOUT) != 0
                                 ? sim_now_us + 20000
                                 : 0;
        due = own != 0 && own < due ? own : due;
    }
    return due;
}

int sim_epoll_create1(int flags)
{
    (void)flags;
    return fd_make(EPOLL);
}

int sim_epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
    ASSERT(fd_at(epoll_fd)->what == EPOLL && (op == EPOLL_CTL_ADD || op == EPOLL_CTL_MOD));
    struct descriptor *to = fd_at(fd);
    if ((to->watched != 0) != (op == EPOLL_CTL_MOD)) {
        errno = op == EPOLL_CTL_MOD ? ENOENT : EEXIST;
        return -1;
    }
    to->watched = event->events | EPOLLERR;
    return 0;
}

int sim_eventfd(unsigned count, int flags)
{
    (void)flags;
    const int fd = fd_make(EVENT);
    fd_at(fd)->count = count;
    return fd;
}

int sim_timerfd_create(int clock, int flags)
{
    (void)flags;
    ASSERT(clock == CLOCK_MONOTONIC);
    return fd_make(TIMER);
}

int sim_timerfd_settime(int fd, int flags, const struct itimerspec *when,
                        struct itimerspec *ret_before)
{
    ASSERT(flags == TFD_TIMER_ABSTIME && ret_before == NULL && when->it_interval.tv_sec == 0);
    const uint64_t at_us =
        (uint64_t)when->it_value.tv_sec * 1000000 + (uint64_t)when->it_value.tv_nsec / 1000;
    const bool off = when->it_value.tv_sec == 0 && when->it_value.tv_nsec == 0;
    fd_at(fd)->due_us = off ? 0 : at_us > CLOCK_US ? at_us - CLOCK_US + 1 : 1;
    return 0;
}

ssize_t sim_read(int fd, void *to, size_t size)
{
    struct descriptor *from = fd_at(fd);
    ASSERT(size == sizeof(uint64_t) && (from->what == EVENT || from->what == TIMER));
    if ((events_of(from) & EPOLLIN) == 0) {
        errno = EAGAIN;
        return -1;
    }
    const uint64_t count = from->what == EVENT ? from->count : 1;
    from->count = 0;
    from->due_us = 0;
    bytes_copy(to, &count, sizeof(count));
    return (ssize_t)size;
}

ssize_t sim_write(int fd, const void *data, size_t size)
{
    uint64_t count;
    ASSERT(fd_at(fd)->what == EVENT && size == sizeof(count));
    bytes_copy(&count, data, sizeof(count));
    fd_at(fd)->count += count;
    return (ssize_t)size;
}

int sim_clock_gettime(clockid_t clock, struct timespec *ret_now)
{
    ASSERT(clock == CLOCK_MONOTONIC);
    ret_now->tv_sec = (time_t)(clock_us() / 1000000);
    ret_now->tv_nsec = (long)(clock_us() % 1000000) * 1000;
    return 0;
}

ssize_t sim_getrandom(void *to, size_t size, unsigned flags)
{
    (void)flags;
    uint8_t *at = to;
    for (size_t i = 0; i < size; i++) {
        at[i] = (uint8_t)prng_next(&current->prng);
    }
    return (ssize_t)size;
}

/* ---- names ----------------------------------------------------------------------------------- */

static struct addrinfo *address_make(unsigned port, struct addrinfo *next)
{
    struct made {
        struct addrinfo info; /* first */
        struct sockaddr_in address;
    } *made = mem_calloc(1, sizeof(*made));
    if (made == NULL) {
        return NULL;
    }
    made->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = (in_port_t)port};
    made->info = (struct addrinfo){.ai_family = AF_INET,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_addr = (struct sockaddr *)&made->address,
                                   .ai_addrlen = sizeof(made->address),
                                   .ai_next = next};
    return &made->info;
}

/* A name has one address, or one where nobody is and then the right one. */
int sim_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                    struct addrinfo **ret_list)
{
    ASSERT(strcmp(host, "sim") == 0 && hints->ai_socktype == SOCK_STREAM);
    if (fault_happens(FAULT_LOOKUP)) {
        return EAI_AGAIN;
    }
    struct addrinfo *list = address_make((unsigned)(port[0] - '0'), NULL);
    if (list != NULL && !clients_calm && sim_chance(15)) {
        struct addrinfo *first = address_make(0, list);
        list = first == NULL ? list : first;
    }
    *ret_list = list;
    return list == NULL ? EAI_MEMORY : 0;
}

void sim_freeaddrinfo(struct addrinfo *list)
{
    while (list != NULL) {
        struct addrinfo *next = list->ai_next;
        mem_free(list);
        list = next;
    }
}

/* ---- sockets --------------------------------------------------------------------------------- */

static void on_bytes(struct net_client *client, const uint8_t *data, size_t size)
{
    struct descriptor *fd = (struct descriptor *)client;
    meddler_pass(&fd->meddler, data, size, &fd->in);
    fd->machine->wake(fd->machine->ctx);
}

static void on_end(struct net_client *client)
{
    struct descriptor *fd = (struct descriptor *)client;
    fd->conn = NULL;
    fd->state = sim_chance(50) ? RESET : ENDED;
    fd->machine->wake(fd->machine->ctx);
}

static void on_silence(struct net_client *client)
{
    struct descriptor *fd = (struct descriptor *)client;
    meddler_block_take(&fd->in, fd->in.size);
}

int sim_socket(int family, int type, int protocol)
{
    ASSERT(family == AF_INET && (type & SOCK_NONBLOCK) != 0 && protocol == 0);
    return fd_make(SOCKET);
}

int sim_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    (void)value;
    (void)size;
    ASSERT(fd_at(fd)->what == SOCKET && level == IPPROTO_TCP && name != 0);
    return 0;
}

/* An address may be out of order for a while, for everybody: nobody is there, or nobody answers. */
static bool is_down(unsigned port)
{
    ASSERT(port <= MACHINE_ADDRESSES_MAX);
    if (port > 0 && sim_now_us >= down_until_us[port - 1] && fault_happens(FAULT_ADDRESS_DOWN)) {
        down_until_us[port - 1] = sim_now_us + sim_below(20000000);
        down_silent[port - 1] = sim_chance(30);
    }
    return port == 0 || sim_now_us < down_until_us[port - 1];
}

int sim_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    struct descriptor *socket = fd_at(fd);
    struct sockaddr_in to;
    ASSERT(socket->state == FRESH && size == sizeof(to));
    bytes_copy(&to, address, sizeof(to));
    const unsigned port = to.sin_port;
    const struct net_nature nature = talk_nature(&plan, clients_calm);
    const bool down = is_down(port);
    const bool silent = down && port > 0 && down_silent[port - 1];
    socket->net =
        (struct net_client){.on_bytes = on_bytes, .on_end = on_end, .on_silence = on_silence};
    socket->state = CONNECTING;
    socket->connected_us = silent ? UINT64_MAX : sim_now_us + sim_below(2 * nature.latency_us + 1);
    socket->conn = down ? NULL : net_connect(&socket->net, &nature);
    socket->refused = socket->conn == NULL;
    socket->sent_max = !clients_calm && fault_happens(FAULT_TINY_BUFFER) ? SENT_TINY : SENT_MAX;
    socket->meddler.on = fault_enabled(FAULT_PUSH_LOST) || fault_enabled(FAULT_PUSH_TWICE) ||
                         fault_enabled(FAULT_PUSH_LATE);
    if (socket->refused && !silent && sim_chance(30)) {
        errno = ECONNREFUSED;
        return -1;
    }
    errno = EINPROGRESS;
    return -1;
}

int sim_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    ASSERT(count == 1 && timeout_ms == 0 && fds->events == POLLOUT);
    const uint32_t events = events_of(fd_at(fds->fd));
    fds->revents = (short)((events & EPOLLOUT) != 0 ? POLLOUT : 0);
    return fds->revents != 0 ? 1 : 0;
}

int sim_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    struct descriptor *socket = fd_at(fd);
    const int error = socket->refused ? ECONNREFUSED : socket->state == RESET ? ECONNRESET : 0;
    ASSERT(level == SOL_SOCKET && name == SO_ERROR && *size == sizeof(error));
    bytes_copy(value, &error, sizeof(error));
    if (is_connected(socket)) {
        socket->state = error == 0 ? OPEN : RESET;
    }
    return 0;
}

ssize_t sim_send(int fd, const void *data, size_t size, int flags)
{
    struct descriptor *socket = fd_at(fd);
    ASSERT((flags & MSG_NOSIGNAL) != 0);
    if (socket->state >= RESET) {
        errno = socket->state == RESET ? ECONNRESET : EPIPE;
        return -1;
    }
    if (!has_room(socket)) {
        errno = EAGAIN;
        return -1;
    }
    const size_t room = socket->sent_max - net_unsent(socket->conn);
    size_t sent = size < room ? size : room;
    sent = sim_chance(10) ? (size_t)sim_between(1, sent) : sent;
    net_send(socket->conn, data, sent);
    if (current->die_sending > 0 && --current->die_sending == 0) {
        trace("a client's process is killed while it sends");
        die(current);
    }
    return (ssize_t)sent;
}

ssize_t sim_recv(int fd, void *to, size_t size, int flags)
{
    struct descriptor *socket = fd_at(fd);
    ASSERT((flags & MSG_DONTWAIT) != 0 && size > 0);
    if (socket->in.size > 0) {
        size_t taken = socket->in.size < size ? socket->in.size : size;
        taken = sim_chance(15) ? (size_t)sim_between(1, taken) : taken;
        bytes_copy(to, socket->in.data, taken);
        meddler_block_take(&socket->in, taken);
        return (ssize_t)taken;
    }
    if (socket->state == ENDED) {
        return 0;
    }
    errno = socket->state == RESET ? ECONNRESET : EAGAIN;
    return -1;
}
