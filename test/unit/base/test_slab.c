/* base/slab: objects keep what was written into them and never overlap, cost their size, and are
 * used again. Method: a naive copy of what each holds; failing allocations. */
#include "base/slab.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define OBJECTS 3000u

struct object {
    uint32_t handle; /* 0: none */
    size_t size;
    uint8_t fill;
};

static void object_make(struct slab *slab, struct object *object, size_t size, uint8_t fill)
{
    *object = (struct object){.handle = slab_take(slab, size), .size = size, .fill = fill};
    assert_int_not_equal(object->handle, 0);
    (void)memset(slab_at(slab, object->handle), fill, size);
}

static void object_check(const struct slab *slab, const struct object *object)
{
    const uint8_t *bytes = slab_at(slab, object->handle);
    assert_int_equal((uintptr_t)bytes % SLAB_UNIT, 0);
    for (size_t i = 0; i < object->size; i++) {
        assert_int_equal(bytes[i], object->fill);
    }
}

static void objects_of_all_sizes_keep_what_is_in_them(void **state)
{
    (void)state;
    static struct object objects[OBJECTS];
    bytes_zero(objects, sizeof(objects));
    struct slab slab = {0};
    struct prng prng = {.state = 3};
    for (unsigned n = 0; n < 40000; n++) {
        struct object *object = &objects[prng_below(&prng, OBJECTS)];
        if (object->handle != 0) {
            object_check(&slab, object);
            slab_give(&slab, object->handle, object->size);
            object->handle = 0;
        } else {
            object_make(&slab, object, (size_t)prng_below(&prng, SLAB_SIZE_MAX) + 1, (uint8_t)n);
        }
    }
    for (unsigned i = 0; i < OBJECTS; i++) {
        if (objects[i].handle != 0) {
            object_check(&slab, &objects[i]);
        }
    }
    slab_deinit(&slab);
}

static void what_is_given_back_is_used_again(void **state)
{
    (void)state;
    struct slab slab = {0};
    const uint32_t a = slab_take(&slab, 100);
    const uint32_t b = slab_take(&slab, 104); /* the same class */
    slab_give(&slab, a, 100);
    slab_give(&slab, b, 104);
    assert_int_equal(slab_take(&slab, 97), b);
    assert_int_equal(slab_take(&slab, 104), a);
    const uint32_t c = slab_take(&slab, 104);
    assert_true(c != a && c != b);
    /* Objects cost their size: 64 KiB blocks, and nothing beside them. */
    for (unsigned i = 0; i < 10000; i++) {
        assert_int_not_equal(slab_take(&slab, 104), 0);
    }
    assert_true(slab.block_count_ <= 10003u * 104u / 65536u + 1);
    slab_deinit(&slab);
}

static void a_slab_without_memory_gives_none(void **state)
{
    (void)state;
    struct slab slab = {0};
    for (uint64_t k = 1; k <= 2; k++) {
        mem_fault_set(k, 0);
        assert_int_equal(slab_take(&slab, 8), 0);
    }
    mem_fault_set(0, 0);
    assert_int_not_equal(slab_take(&slab, 8), 0);
    slab_deinit(&slab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_of_all_sizes_keep_what_is_in_them),
        cmocka_unit_test(what_is_given_back_is_used_again),
        cmocka_unit_test(a_slab_without_memory_gives_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
