/* A segment file of any bytes: open, recover, repair, verify, and open again.
 *
 * The first byte says how far the fuzzer is helped: bit 0 puts a whole header in front, bit 1 gives
 * each record in a row its checksum, bit 2 its place in the chain, too. Whatever the bytes are,
 * nothing crashes, and a log that a repair accepts starts afterwards without one. */
#include "base/crc32c.h"
#include "base/hash.h"
#include "lib/sim_disk.h"
#include "log/file_log.h"
#include "log/files.h"

#define FOLDER      "p"
#define INCARNATION 7u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t records;
    uint64_t damages;
    struct file_log *log;
};

static void on_log(void *ctx, struct file_log *log)
{
    struct seen *seen = ctx;
    seen->log = log;
}

static enum rc on_state(void *ctx, uint64_t pos, struct bytes state)
{
    (void)ctx;
    (void)pos;
    (void)state;
    UNREACHABLE(); /* there is no checkpoint */
}

static enum rc on_record(void *ctx, const struct record *record, struct log_place place)
{
    struct seen *seen = ctx;
    seen->records++;
    ASSERT(place.at >= SEGMENT_HEADER_SIZE);
    return file_log_index_add(seen->log, place, 1, seen->records, 1, record->pos,
                              record->prev_hash);
}

static void on_damage(void *ctx, const struct log_damage *damage)
{
    struct seen *seen = ctx;
    ASSERT(damage->file != NULL);
    ASSERT(damage->what != NULL);
    seen->damages += !damage->torn_tail;
}

static void on_verify_damage(void *ctx, const struct log_damage *damage)
{
    on_damage(ctx, damage);
}

static enum rc start(const struct storage *storage, bool repair, struct seen *seen)
{
    *seen = (struct seen){0};
    const struct file_log_options options = {
        .folder = FOLDER,
        .partition = 0,
        .incarnation = INCARNATION,
        .segment_bytes = SEGMENT_BYTES_MIN,
        .repair = repair,
        .ctx = seen,
        .on_log = on_log,
        .on_state = on_state,
        .on_record = on_record,
        .on_damage = on_damage,
    };
    struct file_log *log = NULL;
    const enum rc rc = file_log_open(storage, &options, &log);
    if (rc == RC_OK) {
        ASSERT(file_log_next_pos(log) >= seen->records || repair || seen->damages == 0);
        file_log_close(log);
    }
    return rc;
}

/* Makes whole records of what has their sizes. */
static void help(uint8_t *bytes, size_t size, bool chain)
{
    uint64_t hash = INCARNATION;
    uint64_t pos = 0;
    for (size_t at = SEGMENT_HEADER_SIZE; at + RECORD_HEADER_SIZE <= size; pos++) {
        uint8_t *record = bytes + at;
        const uint32_t body_size = bytes_load_u32(record + 4) & 0xFF;
        const size_t whole = record_size(body_size);
        if (whole > size - at || record[8] == 0) {
            return;
        }
        bytes_store_u32(record + 4, body_size);
        record[8] = (uint8_t)(1 + record[8] % RECORD_HOLE);
        record[9] = RECORD_VERSION;
        bytes_store_u32(record + 12, 0);
        if (chain) {
            bytes_store_u64(record + 16, pos);
            bytes_store_u64(record + 24, hash);
        }
        bytes_store_u32(record, crc32c(0, bytes_of(record + 4, whole - 4)));
        hash = record_hash(bytes_of(record, whole));
        at += whole;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[16 * 1024];
    if (size < 1 || size > sizeof(bytes)) {
        return -1;
    }
    const uint8_t flags = data[0];
    size--;
    bytes_copy(bytes, data + 1, size);
    if ((flags & 1) != 0 && size >= SEGMENT_HEADER_SIZE) {
        const struct segment_header header = {
            .incarnation = INCARNATION, .number = 1, .prev_hash = INCARNATION};
        segment_header_encode(&header, bytes);
    }
    if ((flags & 2) != 0) {
        help(bytes, size, (flags & 4) != 0);
    }
    struct sim_disk *disk = sim_disk_open(1);
    const struct storage storage = sim_disk_storage(disk);
    const enum rc made = storage.ops->make_dir(storage.ctx, FOLDER);
    ASSERT(made == RC_OK);
    const struct log_name name = log_name_of(FOLDER, 1, ".seg");
    sim_disk_put(disk, name.text, bytes_of(bytes, size));

    struct seen seen = {0};
    struct log_verify_result result;
    const enum rc verified =
        file_log_verify(&storage, FOLDER, on_verify_damage, NULL, &seen, &result);
    ASSERT(verified == RC_OK);
    enum rc rc = start(&storage, false, &seen);
    ASSERT(rc == RC_OK || rc == RC_CORRUPT);
    ASSERT(rc == RC_OK || seen.damages > 0);
    rc = start(&storage, true, &seen);
    ASSERT(rc == RC_OK || rc == RC_CORRUPT);
    if (rc == RC_OK) {
        rc = start(&storage, false, &seen);
        ASSERT(rc == RC_OK);
        ASSERT(seen.damages == 0);
    }
    sim_disk_close(disk);
    return 0;
}
