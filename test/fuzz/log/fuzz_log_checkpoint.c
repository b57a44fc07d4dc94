/* A checkpoint and an index file of any bytes: what is not whole is refused, and nothing is read
 * beyond what is there. Bit 0 of the first byte makes the checkpoint's head and the index's first
 * pages right, so that the rest is reached. */
#include "base/crc32c.h"
#include "base/hash.h"
#include "lib/sim_disk.h"
#include "log/checkpoint.h"
#include "log/index_file.h"

#define FOLDER "p"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_checkpoint(const struct storage *storage, size_t size)
{
    struct checkpoint checkpoint;
    struct buf state = {0};
    const enum rc rc = checkpoint_read(storage, FOLDER, 3, &checkpoint, &state);
    ASSERT(rc == RC_OK || rc == RC_CORRUPT);
    if (rc == RC_OK) {
        ASSERT(state.size == size - CHECKPOINT_HEADER_SIZE);
        ASSERT(checkpoint.segment == 3);
    }
    buf_deinit(&state);
    struct checkpoint checked;
    ASSERT(checkpoint_check(storage, FOLDER, 3, &checked) == rc);
    ASSERT(rc != RC_OK || checked.pos == checkpoint.pos);
}

static void try_rows(const struct index_summary *summary, struct index_pages *pages)
{
    const uint64_t rows = summary->head.channel_count < 1000 ? summary->head.channel_count : 1000;
    for (uint64_t i = 0; i < rows; i++) {
        struct index_row row;
        struct index_row again;
        uint32_t e = 0;
        if (index_file_row(pages, &summary->head, i, &row) != RC_OK) {
            continue;
        }
        (void)index_summary_may_hold(summary, row.channel_id);
        enum rc rc = index_file_find(pages, &summary->head, row.channel_id, &again);
        ASSERT(rc == RC_OK || rc == RC_END || rc == RC_CORRUPT);
        rc = index_file_seek(pages, &summary->head, &row, row.first_seq + 1, 0, &e);
        ASSERT(rc == RC_CORRUPT || (rc == RC_OK && e <= row.entry_count));
        rc = index_file_seek_behind(pages, &summary->head, &row, row.end_seq - 1, &e);
        ASSERT(rc == RC_CORRUPT || (rc == RC_OK && e <= row.entry_count));
    }
}

static void try_index(const struct storage *storage)
{
    struct index_summary *summary = NULL;
    const enum rc rc = index_summary_open(storage, FOLDER, 3, &summary);
    ASSERT(rc == RC_OK || rc == RC_CORRUPT);
    if (rc != RC_OK) {
        return;
    }
    const struct log_name name = log_name_of(FOLDER, 3, ".idx");
    struct storage_file *file = NULL;
    const enum rc opened = files_open(storage, name.text, STORAGE_READ, &file);
    ASSERT(opened == RC_OK);
    struct index_pages pages;
    index_pages_begin(&pages, storage, file);
    try_rows(summary, &pages);
    files_close(storage, file);
    index_summary_close(summary);
}

/* Magic, version, number and checksums. */
static void help_checkpoint(uint8_t *bytes, size_t size)
{
    if (size < CHECKPOINT_HEADER_SIZE) {
        return;
    }
    const struct bytes state =
        bytes_of(bytes + CHECKPOINT_HEADER_SIZE, size - CHECKPOINT_HEADER_SIZE);
    bytes_copy(bytes, "SRTMCKP1", 8);
    bytes_store_u32(bytes + 8, CHECKPOINT_VERSION);
    bytes_store_u64(bytes + 24, 3);
    bytes_store_u64(bytes + 48, state.size);
    bytes_store_u64(bytes + 56, hash_bytes(state, 0));
    bytes_store_u32(bytes + 76, crc32c(0, bytes_of(bytes, 76)));
}

static void help_index(uint8_t *bytes, size_t size)
{
    if (size < INDEX_PAGE_SIZE) {
        return;
    }
    bytes_copy(bytes, "SRTMIDX1", 8);
    bytes_store_u32(bytes + 8, INDEX_VERSION);
    bytes_store_u64(bytes + 24, 3);
    for (uint32_t page = 0; (page + 1) * INDEX_PAGE_SIZE <= size; page++) {
        uint8_t *at = bytes + (size_t)page * INDEX_PAGE_SIZE;
        bytes_store_u32(at + 4092, crc32c(page, bytes_of(at, 4092)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[32 * 1024];
    if (size < 1 || size > sizeof(bytes)) {
        return -1;
    }
    const bool help = (data[0] & 1) != 0;
    size--;
    struct sim_disk *disk = sim_disk_open(1);
    const struct storage storage = sim_disk_storage(disk);
    const enum rc made = storage.ops->make_dir(storage.ctx, FOLDER);
    ASSERT(made == RC_OK);

    bytes_copy(bytes, data + 1, size);
    if (help) {
        help_checkpoint(bytes, size);
    }
    const struct log_name checkpoint = log_name_of(FOLDER, 3, ".ckp");
    sim_disk_put(disk, checkpoint.text, bytes_of(bytes, size));
    try_checkpoint(&storage, size);

    bytes_copy(bytes, data + 1, size);
    if (help) {
        help_index(bytes, size);
    }
    const struct log_name index = log_name_of(FOLDER, 3, ".idx");
    sim_disk_put(disk, index.text, bytes_of(bytes, size));
    try_index(&storage);
    sim_disk_close(disk);
    return 0;
}
