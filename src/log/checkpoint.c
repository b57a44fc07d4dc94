#include "log/checkpoint.h"

#include "base/crc32c.h"
#include "base/hash.h"

#define CHECKPOINT_MAGIC 0x31504B434D545253u /* "SRTMCKP1" */
#define CHECK_BYTES      16384u

enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_PARTITION = 12,
    AT_INCARNATION = 16,
    AT_SEGMENT = 24,
    AT_POS = 32,
    AT_HASH = 40,
    AT_STATE_SIZE = 48,
    AT_STATE_HASH = 56,
    AT_CRC = 76,
};

static_assert(AT_CRC + sizeof(uint32_t) == CHECKPOINT_HEADER_SIZE, "the CRC ends the header");

static void header_encode(const struct checkpoint *checkpoint, const struct pieces *state,
                          uint8_t to[CHECKPOINT_HEADER_SIZE])
{
    ASSERT(checkpoint->segment > 0);
    ASSERT(state->count <= state->capacity);
    bytes_zero(to, CHECKPOINT_HEADER_SIZE);
    bytes_store_u64(to + AT_MAGIC, CHECKPOINT_MAGIC);
    bytes_store_u32(to + AT_VERSION, CHECKPOINT_VERSION);
    bytes_store_u32(to + AT_PARTITION, checkpoint->partition);
    bytes_store_u64(to + AT_INCARNATION, checkpoint->incarnation);
    bytes_store_u64(to + AT_SEGMENT, checkpoint->segment);
    bytes_store_u64(to + AT_POS, checkpoint->pos);
    bytes_store_u64(to + AT_HASH, checkpoint->hash);
    bytes_store_u64(to + AT_STATE_SIZE, pieces_size(state));
    bytes_store_u64(to + AT_STATE_HASH, pieces_hash(state, 0));
    bytes_store_u32(to + AT_CRC, crc32c(0, bytes_of(to, AT_CRC)));
    ASSERT(bytes_load_u64(to + AT_SEGMENT) == checkpoint->segment);
    ASSERT(bytes_load_u64(to + AT_STATE_SIZE) == pieces_size(state));
}

enum rc checkpoint_write(const struct storage *storage, const char *folder,
                         const struct checkpoint *checkpoint, const struct pieces *state)
{
    ASSERT(folder[0] != '\0');
    ASSERT(strlen(folder) <= LOG_FOLDER_BYTES_MAX);
    const struct log_name temporary = log_name_of(folder, checkpoint->segment, ".ckp.tmp");
    const struct log_name name = log_name_of(folder, checkpoint->segment, ".ckp");
    uint8_t header[CHECKPOINT_HEADER_SIZE];
    header_encode(checkpoint, state, header);

    struct storage_file *file;
    enum rc rc = files_create_anew(storage, temporary.text, &file);
    if (rc != RC_OK) {
        return rc;
    }
    rc = files_write(storage, file, bytes_of(header, sizeof(header)), 0);
    uint64_t at = CHECKPOINT_HEADER_SIZE;
    for (size_t i = 0; rc == RC_OK && i < state->count; i++) {
        if (state->items[i].size > 0) {
            rc = files_write(storage, file, buf_bytes(&state->items[i]), at);
            at += state->items[i].size;
        }
    }
    if (rc == RC_OK) {
        rc = files_sync(storage, file);
    }
    files_close(storage, file);
    if (rc == RC_OK) {
        rc = files_rename(storage, temporary.text, name.text);
    }
    return rc == RC_OK ? files_sync_dir(storage, folder) : rc;
}

static enum rc header_decode(const uint8_t *header, uint64_t segment, uint64_t file_size,
                             struct checkpoint *ret_checkpoint)
{
    ASSERT(segment > 0);
    ASSERT(ret_checkpoint != NULL);
    if (bytes_load_u64(header + AT_MAGIC) != CHECKPOINT_MAGIC ||
        bytes_load_u32(header + AT_VERSION) != CHECKPOINT_VERSION ||
        bytes_load_u32(header + AT_CRC) != crc32c(0, bytes_of(header, AT_CRC)) ||
        bytes_load_u64(header + AT_SEGMENT) != segment ||
        bytes_load_u64(header + AT_STATE_SIZE) != file_size - CHECKPOINT_HEADER_SIZE) {
        return RC_CORRUPT;
    }
    *ret_checkpoint = (struct checkpoint){
        .partition = bytes_load_u32(header + AT_PARTITION),
        .incarnation = bytes_load_u64(header + AT_INCARNATION),
        .segment = segment,
        .pos = bytes_load_u64(header + AT_POS),
        .hash = bytes_load_u64(header + AT_HASH),
    };
    ASSERT(ret_checkpoint->segment == segment);
    return RC_OK;
}

/* The header, the size of the state behind it, and its hash. */
static enum rc read_header(const struct storage *storage, struct storage_file *file,
                           uint64_t segment, struct checkpoint *ret_checkpoint, size_t *ret_size,
                           uint64_t *ret_hash)
{
    ASSERT(file != NULL);
    uint64_t file_size = 0;
    enum rc rc = files_size(storage, file, &file_size);
    if (rc != RC_OK) {
        return rc;
    }
    uint8_t header[CHECKPOINT_HEADER_SIZE];
    rc = files_read_exact(storage, file, header, sizeof(header), 0);
    if (rc == RC_OK) {
        rc = header_decode(header, segment, file_size, ret_checkpoint);
    }
    if (rc == RC_OK) {
        ASSERT(file_size >= CHECKPOINT_HEADER_SIZE);
        *ret_size = (size_t)(file_size - CHECKPOINT_HEADER_SIZE);
        *ret_hash = bytes_load_u64(header + AT_STATE_HASH);
    }
    return rc;
}

static enum rc read_whole(const struct storage *storage, struct storage_file *file,
                          uint64_t segment, struct checkpoint *ret_checkpoint, struct buf *to)
{
    ASSERT(to->size == 0);
    struct checkpoint checkpoint;
    size_t size = 0;
    uint64_t hash = 0;
    enum rc rc = read_header(storage, file, segment, &checkpoint, &size, &hash);
    if (rc == RC_OK) {
        rc = buf_reserve(to, size);
    }
    if (rc == RC_OK && size > 0) {
        rc = files_read_exact(storage, file, to->data + to->size, size, CHECKPOINT_HEADER_SIZE);
    }
    if (rc != RC_OK) {
        return rc;
    }
    const struct bytes state = bytes_of(size > 0 ? to->data + to->size : NULL, size);
    if (hash_bytes(state, 0) != hash) {
        return RC_CORRUPT;
    }
    to->size += size;
    ASSERT(to->size <= to->capacity);
    ASSERT(to->size == size);
    *ret_checkpoint = checkpoint;
    return RC_OK;
}

static enum rc check_whole(const struct storage *storage, struct storage_file *file,
                           uint64_t segment, struct checkpoint *ret_checkpoint)
{
    uint8_t piece[CHECK_BYTES];
    size_t size = 0;
    uint64_t hash = 0;
    struct hash_sum sum;
    enum rc rc = read_header(storage, file, segment, ret_checkpoint, &size, &hash);
    hash_sum_begin(&sum, 0);
    for (size_t at = 0; rc == RC_OK && at < size;) {
        const size_t part = size - at < sizeof(piece) ? size - at : sizeof(piece);
        ASSERT_HOT(part > 0);
        rc = files_read_exact(storage, file, piece, part, CHECKPOINT_HEADER_SIZE + at);
        hash_sum_add(&sum, bytes_of(piece, rc == RC_OK ? part : 0));
        at += part;
    }
    ASSERT(rc != RC_OK || ret_checkpoint->segment == segment);
    return rc == RC_OK && hash_sum_end(&sum) != hash ? RC_CORRUPT : rc;
}

enum rc checkpoint_read(const struct storage *storage, const char *folder, uint64_t segment,
                        struct checkpoint *ret_checkpoint, struct buf *to)
{
    ASSERT(segment > 0);
    ASSERT(to != NULL);
    const struct log_name name = log_name_of(folder, segment, ".ckp");
    struct storage_file *file;
    enum rc rc = files_open(storage, name.text, STORAGE_READ, &file);
    if (rc != RC_OK) {
        return rc;
    }
    rc = read_whole(storage, file, segment, ret_checkpoint, to);
    files_close(storage, file);
    return rc;
}

enum rc checkpoint_check(const struct storage *storage, const char *folder, uint64_t segment,
                         struct checkpoint *ret_checkpoint)
{
    ASSERT(segment > 0);
    ASSERT(ret_checkpoint != NULL);
    const struct log_name name = log_name_of(folder, segment, ".ckp");
    struct storage_file *file;
    enum rc rc = files_open(storage, name.text, STORAGE_READ, &file);
    if (rc == RC_OK) {
        rc = check_whole(storage, file, segment, ret_checkpoint);
        files_close(storage, file);
    }
    return rc;
}
