#include "unit/log/forge.h"

#include "base/crc32c.h"

#define LARGE (64u * 1024u)

void forge_begin(struct forge *forge, uint64_t number, uint64_t pos, uint64_t hash)
{
    bytes_zero(forge->bytes, forge->at);
    forge->header = (struct segment_header){
        .partition = WORLD_PARTITION,
        .incarnation = WORLD_INCARNATION,
        .number = number,
        .first_pos = pos,
        .prev_hash = hash,
    };
    forge->pos = pos;
    forge->hash = hash;
    forge->at = SEGMENT_HEADER_SIZE;
}

size_t forge_record(struct forge *forge, struct forge_odd odd, struct bytes body)
{
    const enum record_type type = odd.type == 0 ? RECORD_PUBLISH : odd.type;
    struct log_batch batch = {0};
    batch_begin(&batch, WORLD_PARTITION + odd.partition_add, forge->pos + odd.pos_add,
                forge->hash + odd.hash_add, 0);
    const enum rc rc = batch_append(&batch, type, 0, body);
    const size_t size = batch.bytes.size;
    ASSERT(rc == RC_OK);
    ASSERT(forge->at + size <= FORGE_SIZE);
    bytes_store_u16(batch.bytes.data + 10, odd.batch_index);
    const uint32_t crc = crc32c(0, bytes_of(batch.bytes.data + 4, size - 4));
    bytes_store_u32(batch.bytes.data, odd.bad ? ~crc : crc);
    const size_t at = forge->at;
    bytes_copy(forge->bytes + at, batch.bytes.data, size);
    bytes_store_u32(batch.bytes.data, crc);
    forge->hash = record_hash(buf_bytes(&batch.bytes));
    forge->pos++;
    forge->at += size;
    batch_deinit(&batch);
    return at;
}

size_t forge_good(struct forge *forge, struct bytes body)
{
    return forge_record(forge, (struct forge_odd){0}, body);
}

size_t forge_bad(struct forge *forge, struct bytes body)
{
    return forge_record(forge, (struct forge_odd){.bad = true}, body);
}

void forge_put(const struct forge *forge, struct sim_disk *disk, bool has_header)
{
    static uint8_t bytes[FORGE_SIZE];
    const size_t size = forge->at < SEGMENT_BYTES_MIN ? SEGMENT_BYTES_MIN
                        : forge->at < LARGE           ? LARGE
                                                      : FORGE_SIZE;
    bytes_copy(bytes, forge->bytes, size);
    if (has_header) {
        segment_header_encode(&forge->header, bytes);
    }
    const struct log_name name = log_name_of(WORLD_FOLDER, forge->header.number, ".seg");
    sim_disk_put(disk, name.text, bytes_of(bytes, size));
}
