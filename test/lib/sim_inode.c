#include "lib/sim_inode.h"

#include <stdlib.h>

#define SECTOR 512u

/* The C heap, which never fails here: see the header. */
void *sim_grow(void *block, size_t *capacity, size_t wanted, size_t item)
{
    if (wanted <= *capacity) {
        return block;
    }
    size_t next = *capacity == 0 ? 16 : *capacity;
    while (next < wanted) {
        next *= 2;
    }
    block = realloc(block, next * item);
    ASSERT(block != NULL);
    bytes_zero((uint8_t *)block + *capacity * item, (next - *capacity) * item);
    *capacity = next;
    return block;
}

struct inode *inode_make(void)
{
    struct inode *inode = calloc(1, sizeof(*inode));
    ASSERT(inode != NULL);
    inode->refs = 1;
    return inode;
}

void inode_unref(struct inode *inode)
{
    inode->refs--;
    if (inode->refs == 0) {
        free(inode->now);
        free(inode->synced);
        free(inode->dirty);
        free(inode);
    }
}

void inode_resize(struct inode *inode, size_t size)
{
    inode->now = sim_grow(inode->now, &inode->now_capacity, size, 1);
    if (size > inode->now_size) {
        bytes_zero(inode->now + inode->now_size, size - inode->now_size);
    }
    const size_t sectors = (size + SECTOR - 1) / SECTOR;
    inode->dirty = sim_grow(inode->dirty, &inode->dirty_count, sectors, sizeof(bool));
    const size_t low = size < inode->now_size ? size : inode->now_size;
    for (size_t i = low / SECTOR; i < sectors; i++) {
        inode->dirty[i] = true;
    }
    inode->now_size = size;
}

void inode_write(struct inode *inode, struct bytes bytes, size_t at)
{
    if (bytes.size == 0) {
        return;
    }
    if (at + bytes.size > inode->now_size) {
        inode_resize(inode, at + bytes.size);
    }
    bytes_copy(inode->now + at, bytes.data, bytes.size);
    for (size_t i = at / SECTOR; i * SECTOR < at + bytes.size; i++) {
        inode->dirty[i] = true;
    }
}

void inode_sync(struct inode *inode)
{
    inode->synced = sim_grow(inode->synced, &inode->synced_capacity, inode->now_size, 1);
    bytes_copy(inode->synced, inode->now, inode->now_size);
    inode->synced_size = inode->now_size;
    bytes_zero(inode->dirty, inode->dirty_count * sizeof(bool));
}

/* What becomes of one sector that is not synced. True: it is lost. */
static bool sector_crash(struct inode *inode, size_t at, size_t size, bool after_lost,
                         struct prng *prng, struct sim_disk_losses *losses)
{
    switch (prng_below(prng, 5)) {
    case 0:
    case 1: losses->sectors_lost++; return true;
    case 2:
        losses->sectors_torn++;
        size = (size_t)prng_below(prng, size);
        break;
    default: losses->sectors_ahead += after_lost; break;
    }
    bytes_copy(inode->synced + at, inode->now + at, size);
    return false;
}

/* Any subset of what is not synced gets to disk. */
static void inode_crash_some(struct inode *inode, struct prng *prng, struct sim_disk_losses *losses)
{
    const bool new_size = prng_below(prng, 4) != 0;
    const size_t size = new_size ? inode->now_size : inode->synced_size;
    losses->sizes_lost += !new_size && inode->now_size != inode->synced_size;
    inode->synced = sim_grow(inode->synced, &inode->synced_capacity, size, 1);
    const bool grown = size > inode->synced_size;
    if (grown) {
        bytes_zero(inode->synced + inode->synced_size, size - inode->synced_size);
    }
    inode->synced_size = size;
    const size_t both = size < inode->now_size ? size : inode->now_size;
    bool lost = false;
    bool last_lost = false;
    for (size_t at = 0; at < both; at += SECTOR) {
        if (inode->dirty[at / SECTOR]) {
            const size_t part = both - at < SECTOR ? both - at : SECTOR;
            last_lost = sector_crash(inode, at, part, lost, prng, losses);
            lost = lost || last_lost;
        }
    }
    losses->zero_tails += grown && last_lost;
}

/* Makes `synced` what a power cut leaves, and `now` the same. */
void inode_crash(struct inode *inode, struct prng *prng, enum sim_loss loss,
                 struct sim_disk_losses *losses)
{
    if (loss == SIM_LOSE_NOTHING) {
        inode_sync(inode);
    } else if (loss == SIM_LOSE_SOME && !inode->is_dir) {
        inode_crash_some(inode, prng, losses);
    } else {
        losses->sizes_lost += inode->now_size != inode->synced_size;
    }
    inode->now = sim_grow(inode->now, &inode->now_capacity, inode->synced_size, 1);
    bytes_copy(inode->now, inode->synced, inode->synced_size);
    inode->now_size = inode->synced_size;
    inode->dirty =
        sim_grow(inode->dirty, &inode->dirty_count, (inode->now_size + SECTOR - 1) / SECTOR, 1);
    bytes_zero(inode->dirty, inode->dirty_count * sizeof(bool));
}

void inode_poke(struct inode *inode, struct bytes bytes, size_t at)
{
    ASSERT(at + bytes.size <= inode->now_size);
    bytes_copy(inode->now + at, bytes.data, bytes.size);
    if (at < inode->synced_size) {
        const size_t rest = inode->synced_size - at;
        bytes_copy(inode->synced + at, bytes.data, bytes.size < rest ? bytes.size : rest);
    }
}

void inode_cut(struct inode *inode, size_t size)
{
    inode->now_size = size < inode->now_size ? size : inode->now_size;
    inode->synced_size = size < inode->synced_size ? size : inode->synced_size;
}
