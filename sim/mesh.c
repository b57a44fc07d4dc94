/* In place of server/mesh.c: mail between a pair stays in order, and comes when the scheduler lets
 * it; so mail that one reactor caused may overtake mail of another that was sent before. */
#include "server/mesh.h"

#include "base/mem.h"
#include "sim/net.h"
#include "sim/steps.h"
#include "sim/trace.h"

#define ENDPOINTS_MAX 8u

/* Of each pair: what has been flushed, and of it what has arrived. */
static struct list under_way[ENDPOINTS_MAX][ENDPOINTS_MAX];
static struct list arrived[ENDPOINTS_MAX][ENDPOINTS_MAX];

enum rc mesh_init(struct mesh *mesh, unsigned count)
{
    ASSERT(count <= ENDPOINTS_MAX);
    *mesh = (struct mesh){.count = count};
    mesh->endpoints = mem_calloc(count, sizeof(*mesh->endpoints));
    mesh->pipes = mem_calloc_lines((size_t)count * count, sizeof(*mesh->pipes));
    if (mesh->endpoints == NULL || mesh->pipes == NULL) {
        mem_free(mesh->endpoints);
        mem_free(mesh->pipes);
        *mesh = (struct mesh){0};
        return RC_NOMEM;
    }
    for (unsigned i = 0; i < count; i++) {
        list_init(&mesh->endpoints[i].local);
        doorbell_init(&mesh->endpoints[i].bell);
        mesh->endpoints[i].wake_fd = NET_WAKE_FD + (int)i;
        for (unsigned j = 0; j < count; j++) {
            list_init(&mesh->pipes[i * count + j].outbox);
            list_init(&under_way[i][j]);
            list_init(&arrived[i][j]);
        }
    }
    return RC_OK;
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
    for (unsigned i = 0; i < mesh->count; i++) {
        free_list(&mesh->endpoints[i].local);
        for (unsigned j = 0; j < mesh->count; j++) {
            free_list(&mesh->pipes[i * mesh->count + j].outbox);
            free_list(&under_way[i][j]);
            free_list(&arrived[i][j]);
        }
    }
    mem_free(mesh->endpoints);
    mem_free(mesh->pipes);
    *mesh = (struct mesh){0};
}

void mesh_send(struct mesh *mesh, unsigned from, unsigned to, struct mail *mail)
{
    mail->from = from;
    struct list *list =
        from == to ? &mesh->endpoints[to].local : &mesh->pipes[from * mesh->count + to].outbox;
    list_push_back(list, &mail->link);
}

bool mesh_flush(struct mesh *mesh, unsigned from)
{
    for (unsigned to = 0; to < mesh->count; to++) {
        struct list *outbox = &mesh->pipes[from * mesh->count + to].outbox;
        struct list *node;
        while ((node = list_pop_front(outbox)) != NULL) {
            list_push_back(&under_way[from][to], node);
        }
    }
    return false;
}

struct mail *mesh_receive(struct mesh *mesh, unsigned self)
{
    const unsigned turn = (unsigned)sim_below(mesh->count);
    struct list *node = NULL;
    for (unsigned i = 0; node == NULL && i < mesh->count; i++) {
        const unsigned from = (i + turn) % mesh->count;
        node = list_pop_front(from == self ? &mesh->endpoints[self].local : &arrived[from][self]);
    }
    return node == NULL ? NULL : CONTAINER_OF(node, struct mail, link);
}

bool mesh_ready(struct mesh *mesh, unsigned self)
{
    if (!list_empty(&mesh->endpoints[self].local)) {
        return true;
    }
    for (unsigned from = 0; from < mesh->count; from++) {
        if (!list_empty(&arrived[from][self])) {
            return true;
        }
    }
    return false;
}

void mesh_drain_wake(struct mesh *mesh, unsigned self)
{
    (void)mesh;
    (void)self;
}

/* ---- the scheduler's ------------------------------------------------------------------------- */

bool mesh_busy(struct mesh *mesh, unsigned to)
{
    for (unsigned from = 0; from < mesh->count; from++) {
        if (!list_empty(&under_way[from][to])) {
            return true;
        }
    }
    return mesh_ready(mesh, to);
}

bool mesh_step(struct mesh *mesh, unsigned to)
{
    bool moved = false;
    for (unsigned from = 0; from < mesh->count; from++) {
        const unsigned mode = (unsigned)sim_below(4); /* 0: none, 1: some, else all */
        struct list *node;
        while (mode != 0 && !(mode == 1 && sim_chance(40)) &&
               (node = list_pop_front(&under_way[from][to])) != NULL) {
            list_push_back(&arrived[from][to], node);
            moved = true;
        }
    }
    return moved;
}
