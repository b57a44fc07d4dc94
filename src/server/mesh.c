#include "server/mesh.h"

#include "base/mem.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct mesh_pipe *pipe_of(struct mesh *mesh, unsigned from, unsigned to)
{
    ASSERT(from < mesh->count);
    ASSERT(to < mesh->count);
    return &mesh->pipes[from * mesh->count + to];
}

enum rc mesh_init(struct mesh *mesh, unsigned count)
{
    *mesh = (struct mesh){.count = count};
    mesh->endpoints = mem_calloc(count, sizeof(*mesh->endpoints));
    if (mesh->endpoints == NULL) {
        goto fail;
    }
    for (unsigned i = 0; i < count; i++) {
        list_init(&mesh->endpoints[i].local);
        doorbell_init(&mesh->endpoints[i].bell);
        mesh->endpoints[i].wake_fd = -1;
    }
    mesh->pipes = mem_calloc_lines((size_t)count * count, sizeof(*mesh->pipes));
    if (mesh->pipes == NULL) {
        goto fail;
    }
    for (unsigned i = 0; i < count * count; i++) {
        list_init(&mesh->pipes[i].outbox);
    }
    for (unsigned i = 0; i < count; i++) {
        mesh->endpoints[i].wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (mesh->endpoints[i].wake_fd < 0) {
            goto fail;
        }
    }
    for (unsigned i = 0; i < count * count; i++) {
        if (spsc_init(&mesh->pipes[i].ring, MESH_RING_SLOTS) != RC_OK) {
            goto fail;
        }
    }
    return RC_OK;

fail:
    mesh_deinit(mesh);
    return RC_NOMEM;
}

static void free_list(struct list *list)
{
    struct list *node;
    while ((node = list_pop_front(list)) != NULL) {
        mail_free(CONTAINER_OF(node, struct mail, link));
    }
}

void mesh_deinit(struct mesh *mesh)
{
    for (unsigned i = 0; mesh->endpoints != NULL && i < mesh->count; i++) {
        free_list(&mesh->endpoints[i].local);
        if (mesh->endpoints[i].wake_fd >= 0) {
            (void)close(mesh->endpoints[i].wake_fd);
        }
    }
    for (unsigned i = 0; mesh->pipes != NULL && i < mesh->count * mesh->count; i++) {
        free_list(&mesh->pipes[i].outbox);
        struct mail *mail;
        while (mesh->pipes[i].ring.slots_ != NULL &&
               (mail = spsc_pop(&mesh->pipes[i].ring)) != NULL) {
            mail_free(mail);
        }
        spsc_deinit(&mesh->pipes[i].ring);
    }
    mem_free(mesh->endpoints);
    mem_free(mesh->pipes);
    *mesh = (struct mesh){0};
}

void mesh_send(struct mesh *mesh, unsigned from, unsigned to, struct mail *mail)
{
    mail->from = from;
    struct list *list = from == to ? &mesh->endpoints[to].local : &pipe_of(mesh, from, to)->outbox;
    list_push_back(list, &mail->link);
}

static void wake(struct mesh_endpoint *endpoint)
{
    const uint64_t one = 1;
    ssize_t written;
    do {
        written = write(endpoint->wake_fd, &one, sizeof(one));
    } while (written < 0 && errno == EINTR);
    /* EAGAIN: the counter is at its top; the sleeper wakes all the same. */
}

/* Mails of an outbox that go into its ring together. */
#define FLUSH_MAILS 64u

static uint32_t pipe_push(struct mesh_pipe *pipe)
{
    void *mails[FLUSH_MAILS];
    const uint32_t room = spsc_room(&pipe->ring, FLUSH_MAILS);
    uint32_t count = 0;
    while (count < room && !list_empty(&pipe->outbox)) {
        mails[count++] = CONTAINER_OF(list_pop_front(&pipe->outbox), struct mail, link);
    }
    const uint32_t pushed = spsc_push_many(&pipe->ring, mails, count);
    ASSERT(pushed == count);
    return count;
}

static bool pipe_flush(struct mesh_pipe *pipe, struct mesh_endpoint *to)
{
    if (list_empty(&pipe->outbox)) {
        return true;
    }
    bool pushed = false;
    while (pipe_push(pipe) > 0) {
        pushed = true;
    }
    if (pushed && doorbell_ring(&to->bell)) {
        wake(to);
    }
    return list_empty(&pipe->outbox);
}

bool mesh_flush(struct mesh *mesh, unsigned from)
{
    bool left = false;
    for (unsigned to = 0; to < mesh->count; to++) {
        if (to != from && !pipe_flush(pipe_of(mesh, from, to), &mesh->endpoints[to])) {
            left = true;
        }
    }
    return left;
}

/* From itself, or from another one. */
static struct mail *receive_from(struct mesh *mesh, unsigned from, unsigned self)
{
    if (from != self) {
        return spsc_pop(&pipe_of(mesh, from, self)->ring);
    }
    struct list *node = list_pop_front(&mesh->endpoints[self].local);
    return node == NULL ? NULL : CONTAINER_OF(node, struct mail, link);
}

struct mail *mesh_receive(struct mesh *mesh, unsigned self)
{
    struct mesh_endpoint *endpoint = &mesh->endpoints[self];
    struct mail *mail = NULL;
    for (unsigned i = 0; mail == NULL && i < mesh->count; i++) {
        const unsigned from = endpoint->turn;
        endpoint->turn = from + 1 == mesh->count ? 0 : from + 1;
        mail = receive_from(mesh, from, self);
    }
    return mail;
}

bool mesh_ready(struct mesh *mesh, unsigned self)
{
    if (!list_empty(&mesh->endpoints[self].local)) {
        return true;
    }
    for (unsigned from = 0; from < mesh->count; from++) {
        if (from != self && !spsc_empty(&pipe_of(mesh, from, self)->ring)) {
            return true;
        }
    }
    return false;
}

void mesh_drain_wake(struct mesh *mesh, unsigned self)
{
    uint64_t count;
    (void)!read(mesh->endpoints[self].wake_fd, &count, sizeof(count));
}
