#include "server/peers.h"

#include "base/map.h"
#include "base/mem.h"

struct peer {
    uint64_t count;
    struct address address;
};

struct peers {
    struct map by_address;
};

static struct bytes peer_key(const void *value)
{
    const struct peer *peer = value;
    return bytes_of(&peer->address, sizeof(peer->address));
}

enum rc peers_open(uint64_t hash_seed, struct peers **ret_peers)
{
    struct peers *peers = mem_alloc(sizeof(*peers));
    if (peers == NULL) {
        return RC_NOMEM;
    }
    map_init(&peers->by_address, hash_seed, peer_key);
    *ret_peers = peers;
    return RC_OK;
}

void peers_close(struct peers *peers)
{
    if (peers == NULL) {
        return;
    }
    size_t at = 0;
    struct peer *peer;
    while ((peer = map_next(&peers->by_address, &at)) != NULL) {
        mem_free(peer);
    }
    map_deinit(&peers->by_address);
    mem_free(peers);
}

static struct peer *peer_new(struct peers *peers, const struct address *address)
{
    struct peer *peer = mem_calloc(1, sizeof(*peer));
    if (peer == NULL) {
        return NULL;
    }
    peer->address = *address;
    if (map_insert(&peers->by_address, peer) != RC_OK) {
        mem_free(peer);
        return NULL;
    }
    return peer;
}

bool peers_add(struct peers *peers, const struct address *address, uint64_t max)
{
    struct peer *peer = map_find(&peers->by_address, bytes_of(address, sizeof(*address)));
    if (peer == NULL) {
        peer = peer_new(peers, address);
    }
    if (peer == NULL || peer->count >= max) {
        return false;
    }
    peer->count++;
    return true;
}

void peers_remove(struct peers *peers, const struct address *address)
{
    struct peer *peer = map_find(&peers->by_address, bytes_of(address, sizeof(*address)));
    if (peer == NULL) {
        return;
    }
    ASSERT(peer->count > 0);
    peer->count--;
    if (peer->count == 0) {
        (void)map_remove(&peers->by_address, bytes_of(address, sizeof(*address)));
        mem_free(peer);
    }
}
