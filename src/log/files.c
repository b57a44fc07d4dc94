#include "log/files.h"

#include "base/crc32c.h"
#include "base/limits.h"

#include <inttypes.h>
#include <stdio.h>

#define SEGMENT_MAGIC 0x314745534D545253u /* "SRTMSEG1" */

/* Byte table of the header: docs/LOG.md. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_PARTITION = 12,
    AT_INCARNATION = 16,
    AT_NUMBER = 24,
    AT_FIRST_POS = 32,
    AT_PREV_HASH = 40,
    AT_FLAGS = 48,
    AT_SIZE_AHEAD = 52,
    AT_CRC = 60,
};

static_assert(AT_CRC + sizeof(uint32_t) == SEGMENT_HEADER_SIZE, "the CRC ends the header");

void segment_header_encode(const struct segment_header *header, uint8_t to[SEGMENT_HEADER_SIZE])
{
    ASSERT(to != NULL);
    ASSERT(header->number > 0);
    bytes_zero(to, SEGMENT_HEADER_SIZE);
    bytes_store_u64(to + AT_MAGIC, SEGMENT_MAGIC);
    bytes_store_u32(to + AT_VERSION, SEGMENT_VERSION);
    bytes_store_u32(to + AT_PARTITION, header->partition);
    bytes_store_u64(to + AT_INCARNATION, header->incarnation);
    bytes_store_u64(to + AT_NUMBER, header->number);
    bytes_store_u64(to + AT_FIRST_POS, header->first_pos);
    bytes_store_u64(to + AT_PREV_HASH, header->prev_hash);
    bytes_store_u32(to + AT_FLAGS, header->flags);
    bytes_store_u32(to + AT_SIZE_AHEAD, header->size_ahead);
    bytes_store_u32(to + AT_CRC, crc32c(0, bytes_of(to, AT_CRC)));
    ASSERT(bytes_load_u64(to + AT_NUMBER) == header->number);
    ASSERT(bytes_load_u64(to + AT_FIRST_POS) == header->first_pos);
}

enum rc segment_header_decode(struct bytes bytes, struct segment_header *ret_header)
{
    ASSERT(ret_header != NULL);
    ASSERT(bytes.size == 0 || bytes.data != NULL);
    if (bytes.size < SEGMENT_HEADER_SIZE || bytes_load_u64(bytes.data) != SEGMENT_MAGIC ||
        bytes_load_u32(bytes.data + AT_VERSION) != SEGMENT_VERSION ||
        bytes_load_u32(bytes.data + AT_CRC) != crc32c(0, bytes_of(bytes.data, AT_CRC))) {
        return RC_CORRUPT;
    }
    *ret_header = (struct segment_header){
        .partition = bytes_load_u32(bytes.data + AT_PARTITION),
        .incarnation = bytes_load_u64(bytes.data + AT_INCARNATION),
        .number = bytes_load_u64(bytes.data + AT_NUMBER),
        .first_pos = bytes_load_u64(bytes.data + AT_FIRST_POS),
        .prev_hash = bytes_load_u64(bytes.data + AT_PREV_HASH),
        .flags = bytes_load_u32(bytes.data + AT_FLAGS),
        .size_ahead = bytes_load_u32(bytes.data + AT_SIZE_AHEAD),
    };
    return RC_OK;
}

struct log_name log_name_of(const char *folder, uint64_t number, const char *suffix)
{
    ASSERT(folder[0] != '\0');
    ASSERT(suffix[0] == '.');
    struct log_name name;
    const int size =
        snprintf(name.text, sizeof(name.text), "%s/%020" PRIu64 "%s", folder, number, suffix);
    ASSERT(size > 0);
    ASSERT((size_t)size < sizeof(name.text));
    ASSERT_HOT(strlen(name.text) == (size_t)size);
    return name;
}

bool log_name_parse(const char *entry, uint64_t *ret_number, const char **ret_suffix)
{
    ASSERT(ret_number != NULL);
    ASSERT(ret_suffix != NULL);
    uint64_t number = 0;
    for (size_t i = 0; i < LOG_NAME_DIGITS; i++) {
        if (entry[i] < '0' || entry[i] > '9') {
            return false;
        }
        const uint64_t digit = (uint64_t)(entry[i] - '0');
        if (number > (UINT64_MAX - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    if (entry[LOG_NAME_DIGITS] != '.' || number == 0) {
        return false;
    }
    *ret_number = number;
    *ret_suffix = entry + LOG_NAME_DIGITS;
    ASSERT(**ret_suffix == '.');
    return true;
}

enum rc files_open(const struct storage *storage, const char *name, enum storage_open_mode mode,
                   struct storage_file **ret_file)
{
    ASSERT_HOT(name[0] != '\0');
    ASSERT_HOT(ret_file != NULL);
    return storage->ops->open(storage->ctx, name, mode, ret_file);
}

void files_close(const struct storage *storage, struct storage_file *file)
{
    ASSERT_HOT(storage->ops->close != NULL);
    storage->ops->close(storage->ctx, file);
}

enum rc files_size(const struct storage *storage, struct storage_file *file, uint64_t *ret_size)
{
    ASSERT_HOT(file != NULL);
    ASSERT_HOT(ret_size != NULL);
    return storage->ops->size(storage->ctx, file, ret_size);
}

enum rc files_write(const struct storage *storage, struct storage_file *file, struct bytes bytes,
                    uint64_t at)
{
    ASSERT_HOT(file != NULL);
    ASSERT_HOT(bytes.size > 0);
    ASSERT_HOT(at <= UINT64_MAX - bytes.size);
    return storage->ops->write(storage->ctx, file, bytes, at);
}

enum rc files_sync(const struct storage *storage, struct storage_file *file)
{
    ASSERT_HOT(file != NULL);
    return storage->ops->sync_data(storage->ctx, file);
}

enum rc files_sync_dir(const struct storage *storage, const char *folder)
{
    ASSERT_HOT(folder != NULL);
    return storage->ops->sync_dir(storage->ctx, folder);
}

enum rc files_rename(const struct storage *storage, const char *from, const char *to)
{
    ASSERT(strcmp(from, to) != 0);
    ASSERT(to[0] != '\0');
    return storage->ops->rename(storage->ctx, from, to);
}

enum rc files_remove(const struct storage *storage, const char *name)
{
    ASSERT(name[0] != '\0');
    const enum rc rc = storage->ops->remove(storage->ctx, name);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

enum rc files_read(const struct storage *storage, struct storage_file *file, void *to, size_t size,
                   uint64_t at, size_t *ret_size)
{
    ASSERT_HOT(file != NULL);
    ASSERT_HOT(to != NULL);
    ASSERT_HOT(size > 0);
    ASSERT_HOT(ret_size != NULL);
    return storage->ops->read(storage->ctx, file, to, size, at, ret_size);
}

enum rc files_read_exact(const struct storage *storage, struct storage_file *file, void *to,
                         size_t size, uint64_t at)
{
    ASSERT_HOT(size > 0);
    ASSERT_HOT(at <= UINT64_MAX - size);
    size_t got = 0;
    const enum rc rc = files_read(storage, file, to, size, at, &got);
    if (rc != RC_OK) {
        return rc;
    }
    ASSERT(got <= size);
    return got == size ? RC_OK : RC_CORRUPT;
}

enum rc files_fill_zero(const struct storage *storage, struct storage_file *file, uint64_t first,
                        uint64_t end)
{
    ASSERT(file != NULL);
    static const uint8_t zeros[64 * KIB];
    ASSERT(first <= end);
    for (uint64_t at = first; at < end;) {
        const uint64_t left = end - at;
        const size_t size = left < sizeof(zeros) ? (size_t)left : sizeof(zeros);
        ASSERT_HOT(size > 0);
        ASSERT_HOT(size <= left);
        const enum rc rc = files_write(storage, file, bytes_of(zeros, size), at);
        if (rc != RC_OK) {
            return rc;
        }
        at += size;
    }
    return RC_OK;
}

enum rc files_create_anew(const struct storage *storage, const char *name,
                          struct storage_file **ret_file)
{
    ASSERT(ret_file != NULL);
    enum rc rc = files_open(storage, name, STORAGE_CREATE, ret_file);
    if (rc != RC_EXISTS) {
        return rc;
    }
    rc = files_remove(storage, name);
    if (rc != RC_OK) {
        return rc;
    }
    return files_open(storage, name, STORAGE_CREATE, ret_file);
}

enum rc files_segment_header(const struct storage *storage, const char *folder, uint64_t number,
                             struct segment_header *ret_header)
{
    ASSERT(ret_header != NULL);
    const struct log_name name = log_name_of(folder, number, ".seg");
    struct storage_file *file;
    enum rc rc = files_open(storage, name.text, STORAGE_READ, &file);
    if (rc != RC_OK) {
        return rc;
    }
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    rc = files_read_exact(storage, file, bytes, sizeof(bytes), 0);
    files_close(storage, file);
    if (rc != RC_OK) {
        return rc;
    }
    return segment_header_decode(bytes_of(bytes, sizeof(bytes)), ret_header);
}

enum rc files_version_differs(const struct storage *storage, const char *folder, uint64_t number,
                              const char *suffix, bool *ret_differs)
{
    static const struct {
        const char *suffix;
        const char *magic;
        uint32_t version;
        uint32_t crc_at; /* over all bytes before */
    } kinds[] = {
        {".seg", "SRTMSEG", SEGMENT_VERSION, AT_CRC},
        {".idx", "SRTMIDX", INDEX_VERSION, 4092},
        {".ckp", "SRTMCKP", CHECKPOINT_VERSION, 76},
    };
    size_t kind = 0;
    while (strcmp(kinds[kind].suffix, suffix) != 0) {
        kind++;
        ASSERT(kind < sizeof(kinds) / sizeof(kinds[0]));
    }
    const uint32_t crc_at = kinds[kind].crc_at;
    const struct log_name name = log_name_of(folder, number, suffix);
    struct storage_file *file;
    *ret_differs = false;
    enum rc rc = files_open(storage, name.text, STORAGE_READ, &file);
    if (rc != RC_OK) {
        return rc == RC_NOT_FOUND ? RC_OK : rc;
    }
    uint8_t bytes[4096];
    rc = files_read_exact(storage, file, bytes, crc_at + sizeof(uint32_t), 0);
    files_close(storage, file);
    *ret_differs = rc == RC_OK &&
                   memcmp(bytes, kinds[kind].magic, strlen(kinds[kind].magic)) == 0 &&
                   bytes_load_u32(bytes + AT_VERSION) != kinds[kind].version &&
                   bytes_load_u32(bytes + crc_at) == crc32c(0, bytes_of(bytes, crc_at));
    return rc == RC_CORRUPT ? RC_OK : rc;
}

bool bytes_are_zero(struct bytes bytes)
{
    ASSERT_HOT(bytes.size == 0 || bytes.data != NULL);
    size_t i = 0;
    uint64_t any = 0;
    for (; i + sizeof(any) <= bytes.size; i += sizeof(any)) {
        any |= bytes_load_u64(bytes.data + i);
        if (any != 0) {
            return false;
        }
    }
    for (; i < bytes.size; i++) {
        any |= bytes.data[i];
    }
    ASSERT_HOT(i == bytes.size);
    return any == 0;
}
