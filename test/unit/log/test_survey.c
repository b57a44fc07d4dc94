/* Goal: a survey tells of each channel in the oldest segments where its messages there end, once
 * and in order; and believes no index file whose rows do not rise.
 * Method: the rows of all those segments, read one by one into an array by channel, are the oracle.
 * A file whose pages are whole and whose rows are not in order is made by hand. */
#include "base.h"

#include "base/crc32c.h"
#include "log/index_file.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ROW_SIZE 48u
#define CRC_AT   (INDEX_PAGE_SIZE - 4)

/* Where each channel's messages end in one sealed segment; adds to how many it holds. */
static void oracle_add(const struct storage *storage, uint64_t number, uint64_t *ends)
{
    struct index_summary *summary = NULL;
    assert_int_equal(index_summary_open(storage, WORLD_FOLDER, number, &summary), RC_OK);
    const struct log_name name = log_name_of(WORLD_FOLDER, number, ".idx");
    struct storage_file *file = NULL;
    assert_int_equal(files_open(storage, name.text, STORAGE_READ, &file), RC_OK);
    struct index_pages pages;
    index_pages_begin(&pages, storage, file);
    for (uint64_t i = 0; i < summary->head.channel_count; i++) {
        struct index_row row;
        assert_int_equal(index_file_row(&pages, &summary->head, i, &row), RC_OK);
        assert_true(row.channel_id <= WORLD_CHANNELS_MAX);
        if (row.end_seq > ends[row.channel_id]) {
            ends[row.channel_id] = row.end_seq;
        }
    }
    files_close(storage, file);
    index_summary_close(summary);
}

static void entries_match(const struct log_chore *chore, const uint64_t *ends)
{
    size_t at = 0;
    for (uint64_t id = 0; id <= WORLD_CHANNELS_MAX; id++) {
        if (ends[id] == 0) {
            continue;
        }
        assert_true(at < chore->entry_count);
        assert_int_equal(chore->entries[at].channel_id, id);
        assert_int_equal(chore->entries[at].end_seq, ends[id]);
        at++;
    }
    assert_int_equal(at, chore->entry_count);
}

static void it_tells_of_each_channel_once_where_its_messages_end(void **state)
{
    (void)state;
    struct base base;
    base_make_of(&base, 150, true, true);
    struct world world;
    struct sim_disk *disk = case_begin(&base, &world, 1);
    assert_int_equal(world_open(&world, false), RC_OK);
    uint64_t ends[WORLD_CHANNELS_MAX + 1] = {0};
    assert_true(base.last_segment > 8);
    for (uint64_t below = 1; below < base.last_segment; below++) {
        struct log_chore chore = {.kind = LOG_CHORE_SURVEY, .segment = below};
        file_log_chore_do(world.log, &chore);
        assert_int_equal(chore.rc, RC_OK);
        entries_match(&chore, ends);
        file_log_chore_end(world.log, &chore);
        oracle_add(&world.storage, below, ends);
    }
    case_end(disk, &world);
    base_drop(&base);
}

/* Swaps the first two rows of a segment's index, or makes both those of one channel. */
static void rows_disorder(struct sim_disk *disk, uint64_t number, bool twice)
{
    const struct log_name name = log_name_of(WORLD_FOLDER, number, ".idx");
    struct bytes file;
    assert_true(sim_disk_get(disk, name.text, &file));
    assert_true(file.size >= 2u * INDEX_PAGE_SIZE);
    uint8_t rows[2 * ROW_SIZE];
    uint8_t page[INDEX_PAGE_SIZE];
    bytes_copy(page, file.data + INDEX_PAGE_SIZE, sizeof(page));
    bytes_copy(rows, page, sizeof(rows));
    assert_true(bytes_load_u64(rows) < bytes_load_u64(rows + ROW_SIZE));
    bytes_copy(page, rows + ROW_SIZE, ROW_SIZE);
    bytes_copy(page + ROW_SIZE, twice ? rows + ROW_SIZE : rows, ROW_SIZE);
    bytes_store_u32(page + CRC_AT, crc32c(1, bytes_of(page, CRC_AT)));
    struct buf changed = {0};
    assert_int_equal(buf_append(&changed, file), RC_OK);
    bytes_copy(changed.data + INDEX_PAGE_SIZE, page, sizeof(page));
    sim_disk_put(disk, name.text, buf_bytes(&changed));
    buf_deinit(&changed);
}

static void rows_that_do_not_rise_are_not_believed(void **state)
{
    (void)state;
    for (unsigned twice = 0; twice < 2; twice++) {
        struct base base;
        base_make_of(&base, 60, true, true);
        struct world world;
        struct sim_disk *disk = case_begin(&base, &world, 1);
        assert_int_equal(world_open(&world, false), RC_OK);
        rows_disorder(disk, 2, twice == 1);
        struct log_chore chore = {.kind = LOG_CHORE_SURVEY, .segment = 4, .will_trim = true};
        file_log_chore_do(world.log, &chore);
        assert_int_equal(chore.rc, RC_CORRUPT);
        assert_int_equal(chore.entry_count, 0);
        file_log_chore_end(world.log, &chore);
        chore = (struct log_chore){.kind = LOG_CHORE_SURVEY, .segment = 2, .will_trim = true};
        file_log_chore_do(world.log, &chore);
        assert_int_equal(chore.rc, RC_OK); /* the damaged one is not among these */
        file_log_chore_end(world.log, &chore);
        case_end(disk, &world);
        base_drop(&base);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_tells_of_each_channel_once_where_its_messages_end),
        cmocka_unit_test(rows_that_do_not_rise_are_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
