/* A storage in memory, for durability `memory`: nothing outlives the process.
 *
 * Files are sparse: pages are allocated when something else than zeros is written to them, so a
 * segment written ahead costs nothing. A removed file lives on for who has it open.
 *
 * Thread: any; one mutex guards it, held for one copy or one look-up.
 * Memory: ram_disk_close() frees everything. */
#ifndef IO_RAM_DISK_H
#define IO_RAM_DISK_H

#include "log/storage.h"

struct ram_disk; /* opaque */

MUST_USE enum rc ram_disk_open(struct ram_disk **ret_disk);
/* NULL is allowed. No file may be open. */
void ram_disk_close(struct ram_disk *disk);
/* The storage interface; lives as long as the disk. */
struct storage ram_disk_storage(struct ram_disk *disk);

#endif
