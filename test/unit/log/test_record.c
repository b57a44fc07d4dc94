/* Records and batches as bytes.
 *
 * Goal: what is encoded is decoded, and nothing else is taken for a record. Method: round trips
 * over all small sizes; every bit flip and every truncation of a record. */
#include "log/record.h"

#include "base/crc32c.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct bytes one_record(struct log_batch *batch, struct bytes body)
{
    batch_begin(batch, 7, 1000, 0xABCDEF, 9);
    assert_int_equal(batch_append(batch, RECORD_TRIM, 42, body), RC_OK);
    return buf_bytes(&batch->bytes);
}

static void a_record_comes_back_as_it_was(void **state)
{
    (void)state;
    struct log_batch batch = {0};
    uint8_t body[300];
    for (size_t i = 0; i < sizeof(body); i++) {
        body[i] = (uint8_t)(i * 7 + 1);
    }
    for (size_t size = 0; size <= sizeof(body); size++) {
        const struct bytes bytes = one_record(&batch, bytes_of(body, size));
        assert_int_equal(bytes.size, record_size(size));
        assert_int_equal(bytes.size % 8, 0);
        struct record record;
        assert_int_equal(record_decode(bytes, &record), RC_OK);
        assert_int_equal(record.type, RECORD_TRIM);
        assert_int_equal(record.partition, 7);
        assert_int_equal(record.pos, 1000);
        assert_int_equal(record.prev_hash, 0xABCDEF);
        assert_int_equal(record.channel_prev, 42);
        assert_int_equal(record.batch_index, 0);
        assert_int_equal(record.size, bytes.size);
        assert_true(bytes_equal(record.body, bytes_of(body, size)));
        assert_int_equal(batch.end_hash, record_hash(bytes));
        assert_int_equal(batch.end_pos, 1001);
    }
    batch_deinit(&batch);
}

static void the_header_stands_as_the_table_says(void **state)
{
    (void)state;
    struct log_batch batch = {0};
    const struct bytes bytes = one_record(&batch, BYTES_LITERAL("abc"));
    assert_int_equal(bytes.size, 48);
    static const uint8_t wanted[44] = {3, 0, 0, 0, 2, 2,    0,    0,    7,   0, 9, 0, 0xE8, 3,  0,
                                       0, 0, 0, 0, 0, 0xEF, 0xCD, 0xAB, 0,   0, 0, 0, 0,    42, 0,
                                       0, 0, 0, 0, 0, 0,    'a',  'b',  'c', 0, 0, 0, 0,    0};
    assert_memory_equal(bytes.data + 4, wanted, sizeof(wanted));
    assert_int_equal(bytes_load_u32(bytes.data), crc32c_portable(0, bytes_of(bytes.data + 4, 44)));
    batch_deinit(&batch);
}

static void every_bit_flip_is_noticed(void **state)
{
    (void)state;
    struct log_batch batch = {0};
    const struct bytes bytes = one_record(&batch, BYTES_LITERAL("a body of some length"));
    uint8_t copy[128];
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        bytes_copy(copy, bytes.data, bytes.size);
        copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        struct record record;
        const enum rc rc = record_decode(bytes_of(copy, bytes.size), &record);
        assert_true(rc == RC_CORRUPT || rc == RC_AGAIN);
        /* With all bytes there that a wrong size may ask for, it is no record either. */
        uint8_t more[512] = {0};
        bytes_copy(more, copy, bytes.size);
        const enum rc again = record_decode(bytes_of(more, sizeof(more)), &record);
        assert_true(again == RC_CORRUPT || again == RC_AGAIN);
    }
    batch_deinit(&batch);
}

static void every_truncation_asks_for_more(void **state)
{
    (void)state;
    struct log_batch batch = {0};
    const struct bytes bytes = one_record(&batch, BYTES_LITERAL("a body of some length"));
    for (size_t size = 0; size < bytes.size; size++) {
        /* On the heap, so that a sanitizer sees a read beyond the end. */
        uint8_t *copy = mem_alloc(size + 1);
        assert_non_null(copy);
        bytes_copy(copy + 1, bytes.data, size);
        struct record record;
        assert_int_equal(record_decode(bytes_of(copy + 1, size), &record), RC_AGAIN);
        mem_free(copy);
    }
    batch_deinit(&batch);
}

static void zeros_are_an_end_and_not_a_record(void **state)
{
    (void)state;
    static const uint8_t zeros[64];
    struct record record;
    assert_int_equal(record_decode(bytes_of(zeros, sizeof(zeros)), &record), RC_END);
    assert_int_equal(record_decode(bytes_of(zeros, RECORD_HEADER_SIZE), &record), RC_END);
    assert_int_equal(record_decode(bytes_of(zeros, RECORD_HEADER_SIZE - 1), &record), RC_AGAIN);
}

static void types_and_versions_that_we_do_not_know_are_refused(void **state)
{
    (void)state;
    struct log_batch batch = {0};
    const struct bytes bytes = one_record(&batch, BYTES_LITERAL("x"));
    uint8_t copy[64];
    bytes_copy(copy, bytes.data, bytes.size);
    for (unsigned type = 0; type < 256; type++) {
        copy[8] = (uint8_t)type;
        bytes_store_u32(copy, crc32c(0, bytes_of(copy + 4, bytes.size - 4)));
        struct record record;
        const bool known = type >= RECORD_PUBLISH && type <= RECORD_HOLE;
        assert_int_equal(record_decode(bytes_of(copy, bytes.size), &record),
                         known ? RC_OK : RC_CORRUPT);
    }
    bytes_copy(copy, bytes.data, bytes.size);
    copy[9] = RECORD_VERSION + 1;
    bytes_store_u32(copy, crc32c(0, bytes_of(copy + 4, bytes.size - 4)));
    struct record record;
    assert_int_equal(record_decode(bytes_of(copy, bytes.size), &record), RC_CORRUPT);
    batch_deinit(&batch);
}

static void a_batch_is_a_chain(void **state)
{
    (void)state;
    struct log_batch batch = {0};
    batch_begin(&batch, 1, 50, 99, 0);
    for (uint64_t i = 0; i < 70000; i++) {
        assert_int_equal(batch_append(&batch, RECORD_PUBLISH, 0, BYTES_LITERAL("m")), RC_OK);
    }
    assert_int_equal(batch.end_pos, 70050);
    struct bytes rest = buf_bytes(&batch.bytes);
    uint64_t hash = 99;
    for (uint64_t i = 0; i < 70000; i++) {
        struct record record;
        assert_int_equal(record_decode(rest, &record), RC_OK);
        assert_int_equal(record.pos, 50 + i);
        assert_int_equal(record.prev_hash, hash);
        assert_int_equal(record.batch_index, i < 65535 ? i : 65535);
        uint64_t pos;
        assert_int_equal(record_after(&record, bytes_of(rest.data, record.size), &pos, &hash),
                         RC_OK);
        assert_int_equal(pos, record.pos + 1);
        rest = bytes_of(rest.data + record.size, rest.size - record.size);
    }
    assert_int_equal(rest.size, 0);
    assert_int_equal(hash, batch.end_hash);
    batch_begin(&batch, 1, 3, 4, 0);
    assert_int_equal(batch.bytes.size, 0);
    assert_int_equal(batch.end_pos, 3);
    assert_int_equal(batch.end_hash, 4);
    batch_deinit(&batch);
}

static void a_batch_without_memory_is_unchanged(void **state)
{
    (void)state;
    struct log_batch batch = {0};
    (void)one_record(&batch, BYTES_LITERAL("first"));
    const uint64_t end_pos = batch.end_pos;
    const uint64_t end_hash = batch.end_hash;
    const size_t size = batch.bytes.size;
    static const uint8_t large[100000];
    mem_fault_set(1, 1);
    assert_int_equal(batch_append(&batch, RECORD_PUBLISH, 0, bytes_of(large, sizeof(large))),
                     RC_NOMEM);
    mem_fault_set(0, 0);
    assert_int_equal(batch.end_pos, end_pos);
    assert_int_equal(batch.end_hash, end_hash);
    assert_int_equal(batch.bytes.size, size);
    batch_deinit(&batch);
}

/* A body that is changed between the two steps: the record is whole, and the next one follows. */
static void a_placed_body_is_sealed_as_it_then_is(void **state)
{
    (void)state;
    struct log_batch batch = {0};
    struct log_batch other = {0};
    (void)one_record(&batch, BYTES_LITERAL("first"));
    (void)one_record(&other, BYTES_LITERAL("first"));
    const size_t before = batch.bytes.size;
    uint8_t *body;
    assert_int_equal(batch_place(&batch, RECORD_PUBLISH, 7, BYTES_LITERAL("stamp me"), &body),
                     RC_OK);
    assert_memory_equal(body, "stamp me", 8);
    assert_int_equal(batch.bytes.size, before); /* not yet */
    bytes_copy(body, "STAMP", 5);
    batch_seal(&batch);
    assert_int_equal(batch_append(&other, RECORD_PUBLISH, 7, BYTES_LITERAL("STAMP me")), RC_OK);
    assert_true(bytes_equal(buf_bytes(&batch.bytes), buf_bytes(&other.bytes)));
    assert_true(batch.end_hash == other.end_hash && batch.end_pos == other.end_pos);
    assert_int_equal(batch.controls, other.controls);
    batch_deinit(&batch);
    batch_deinit(&other);
}

static void what_we_wrote_is_read_the_same_without_its_checksum(void **state)
{
    (void)state;
    struct log_batch batch = {0};
    struct record checked;
    (void)one_record(&batch, BYTES_LITERAL("first"));
    assert_int_equal(batch_append(&batch, RECORD_PUBLISH, 3, BYTES_LITERAL("second one")), RC_OK);
    struct bytes rest = buf_bytes(&batch.bytes);
    while (rest.size > 0) {
        assert_int_equal(record_decode(rest, &checked), RC_OK);
        const struct record trusted = record_trust(rest);
        assert_true(trusted.type == checked.type && trusted.partition == checked.partition);
        assert_true(trusted.pos == checked.pos && trusted.prev_hash == checked.prev_hash);
        assert_true(trusted.channel_prev == checked.channel_prev);
        assert_true(trusted.controls == checked.controls);
        assert_true(trusted.batch_index == checked.batch_index && trusted.size == checked.size);
        assert_ptr_equal(trusted.body.data, checked.body.data);
        assert_int_equal(trusted.body.size, checked.body.size);
        rest = bytes_of(rest.data + trusted.size, rest.size - trusted.size);
    }
    batch_deinit(&batch);
}

static void a_hole_leads_to_its_end(void **state)
{
    (void)state;
    struct record_hole hole = {
        .first_pos = 1000, .end_pos = 1007, .resume_hash = 5, .segment = 3, .at = 64, .size = 800};
    uint8_t body[RECORD_HOLE_BODY_SIZE + 16] = {0}; /* zeros may follow */
    record_hole_encode(&hole, body);
    struct log_batch batch = {0};
    batch_begin(&batch, 7, 1000, 1, 0);
    assert_int_equal(batch_append(&batch, RECORD_HOLE, 0, bytes_of(body, sizeof(body))), RC_OK);
    struct record record;
    assert_int_equal(record_decode(buf_bytes(&batch.bytes), &record), RC_OK);
    uint64_t pos;
    uint64_t hash;
    assert_int_equal(record_after(&record, buf_bytes(&batch.bytes), &pos, &hash), RC_OK);
    assert_int_equal(pos, 1007);
    assert_int_equal(hash, 5);
    struct record_hole decoded;
    assert_int_equal(record_hole_decode(record.body, &decoded), RC_OK);
    assert_memory_equal(&decoded, &hole, sizeof(hole));

    for (size_t bit = 0; bit < (size_t)RECORD_HOLE_BODY_SIZE * 8; bit++) {
        body[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_equal(record_hole_decode(bytes_of(body, sizeof(body)), &decoded), RC_CORRUPT);
        body[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    assert_int_equal(record_hole_decode(bytes_of(body, RECORD_HOLE_BODY_SIZE - 1), &decoded),
                     RC_CORRUPT);
    batch_deinit(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_comes_back_as_it_was),
        cmocka_unit_test(the_header_stands_as_the_table_says),
        cmocka_unit_test(every_bit_flip_is_noticed),
        cmocka_unit_test(every_truncation_asks_for_more),
        cmocka_unit_test(zeros_are_an_end_and_not_a_record),
        cmocka_unit_test(types_and_versions_that_we_do_not_know_are_refused),
        cmocka_unit_test(a_batch_is_a_chain),
        cmocka_unit_test(a_batch_without_memory_is_unchanged),
        cmocka_unit_test(a_placed_body_is_sealed_as_it_then_is),
        cmocka_unit_test(what_we_wrote_is_read_the_same_without_its_checksum),
        cmocka_unit_test(a_hole_leads_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
