/* A file of the simulated disk (lib/sim_disk.h): what a read sees, and what is on disk for sure.
 *
 * Thread: one.  Memory: the C heap; inode_unref() frees. */
#ifndef TEST_SIM_INODE_H
#define TEST_SIM_INODE_H

#include "base/prng.h"
#include "lib/sim_disk.h"

struct inode {
    uint32_t refs;
    bool is_dir;
    uint8_t *now; /* what a read sees */
    size_t now_size;
    size_t now_capacity;
    uint8_t *synced; /* what is on disk for sure */
    size_t synced_size;
    size_t synced_capacity;
    bool *dirty; /* per sector of `now` */
    size_t dirty_count;
};

/* The C heap, which never fails here. New room is zero. */
void *sim_grow(void *block, size_t *capacity, size_t wanted, size_t item);

struct inode *inode_make(void);
void inode_unref(struct inode *inode);
void inode_resize(struct inode *inode, size_t size);
void inode_write(struct inode *inode, struct bytes bytes, size_t at);
void inode_sync(struct inode *inode);
/* Makes `synced` what a power cut leaves, and `now` the same. */
void inode_crash(struct inode *inode, struct prng *prng, enum sim_loss loss,
                 struct sim_disk_losses *losses);
/* What time, or a write that was meant for elsewhere, does to a file: these bytes are others, in
 * memory and on disk alike. What is not synced elsewhere stays so. */
void inode_poke(struct inode *inode, struct bytes bytes, size_t at);
/* It is shorter, on disk, too. */
void inode_cut(struct inode *inode, size_t size);

#endif
