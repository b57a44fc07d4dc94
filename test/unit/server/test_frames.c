/* server/frames: a run of encoded messages is whole at any moment, also when memory runs out.
 * Method: each allocation fails in turn; what the run shows of itself is compared with what has
 * been added, so that a pointer to a block that has moved meets the sanitizer or other bytes. */
#include "server/frames.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MESSAGES 20u

static char text[1u << 16];

/* Where the list of ends grows, behind a power of two, the bytes must grow as well. */
static struct wire_message message(const struct shared_chunk *chunk)
{
    const uint64_t count = chunk->chunk.count;
    const size_t size = (count & (count - 1)) == 0 ? 2 * chunk->bytes_.size + 40 : 40;
    assert_true(size <= sizeof(text));
    for (size_t i = 0; i < size; i++) {
        text[i] = '1';
    }
    return (struct wire_message){
        .channel = BYTES_LITERAL("orders"),
        .seq = count + 1,
        .message_id = count + 1,
        .time_ms = 1780000000000u,
        .data = bytes_of(text, size),
    };
}

/* The ends rise to the size of all, and each frame begins with the head of its codec's frames. */
static void check(const struct shared_chunk *shared, uint32_t count)
{
    const struct chunk *chunk = &shared->chunk;
    assert_int_equal(chunk->count, count);
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(chunk->bytes[at], shared->codec == WIRE_JSON ? 0x81 : 0x82);
        assert_true(chunk->ends[i] > at);
        at = chunk->ends[i];
    }
    assert_int_equal(at, shared->bytes_.size);
}

static void check_all(enum wire_codec codec)
{
    uint64_t refused = 0;
    for (uint64_t k = 1;; k++) {
        struct shared_chunk *chunk = shared_chunk_new(codec, BYTES_LITERAL("orders"), 1);
        struct buf scratch = {0};
        assert_non_null(chunk);
        mem_fault_set(k, 0);
        uint32_t count = 0;
        enum rc rc = RC_OK;
        while (count < MESSAGES && rc == RC_OK) {
            const struct wire_message next = message(chunk);
            rc = shared_chunk_add(chunk, &next, &scratch);
            count += rc == RC_OK;
            check(chunk, count);
        }
        mem_fault_set(0, 0);
        assert_int_equal(scratch.size, 0);
        buf_deinit(&scratch);
        shared_chunk_unref(chunk);
        if (rc == RC_OK) {
            break;
        }
        assert_int_equal(rc, RC_NOMEM);
        refused++;
    }
    assert_true(refused > 5);
}

static void a_message_that_finds_no_memory_leaves_the_run_as_it_was(void **state)
{
    (void)state;
    check_all(WIRE_JSON);
    check_all(WIRE_BINARY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_that_finds_no_memory_leaves_the_run_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
