/* server/compress: what a connection may take is bounded, and whose a stream is follows from what
 * was agreed on. Method: budgets that hold so many connections and no more; each combination of
 * contexts; each allocation failing in turn, after which nothing is taken. */
#include "server/compress.h"

#include "base/limits.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct config config_of(enum config_deflate mode, uint64_t bytes)
{
    return (struct config){.deflate_mode = mode, .limit_deflate_bytes = bytes};
}

static const struct ws_deflate with_context = {.agreed = true, .server_bits = 9, .client_bits = 9};

static void off_offers_nothing_and_holds_nothing(void **state)
{
    (void)state;
    const struct config config = config_of(DEFLATE_OFF, MIB);
    struct compress compress;
    mem_fault_set(0, 0);
    assert_int_equal(compress_init(&compress, &config, 4), RC_OK);
    assert_int_equal(mem_fault_count(), 0);
    assert_null(compress_wish(&compress));
    compress_deinit(&compress);
}

static void the_defaults_of_a_mode_are_its_own_and_settings_win(void **state)
{
    (void)state;
    struct config config = config_of(DEFLATE_CONTEXT, MIB);
    struct compress compress;
    assert_int_equal(compress_init(&compress, &config, 1), RC_OK);
    assert_int_equal(compress_wish(&compress)->window_bits, 9);
    assert_false(compress_wish(&compress)->no_context);
    assert_int_equal(compress.options.memory_level, 1);
    assert_int_equal(compress.options.min_bytes, 64);
    compress_deinit(&compress);
    config.deflate_window_bits = 12;
    config.deflate_memory_level = 3;
    config.deflate_min_bytes = 7;
    assert_int_equal(compress_init(&compress, &config, 1), RC_OK);
    assert_int_equal(compress_wish(&compress)->window_bits, 12);
    assert_int_equal(compress.options.memory_level, 3);
    assert_int_equal(compress.options.min_bytes, 7);
    compress_deinit(&compress);
    config = config_of(DEFLATE_SHARED, 0); /* nothing is held for a connection */
    assert_int_equal(compress_init(&compress, &config, 1), RC_OK);
    assert_int_equal(compress_wish(&compress)->window_bits, 15);
    assert_true(compress_wish(&compress)->no_context && compress_wish(&compress)->fixed);
    assert_int_equal(compress.options.memory_level, 8);
    assert_int_equal(compress.options.min_bytes, 1024);
    compress_deinit(&compress);
}

static void so_many_connections_and_no_more_have_a_context(void **state)
{
    (void)state;
    struct compress_conn *conns[8];
    struct compress compress;
    struct config config = config_of(DEFLATE_CONTEXT, MIB);
    assert_int_equal(compress_init(&compress, &config, 1), RC_OK);
    const size_t each = compress.out_bytes + compress.in_bytes;
    assert_true(each > 8 * KIB && each < 24 * KIB);
    compress_deinit(&compress);

    config.limit_deflate_bytes = 4 * (8 * each + each - 1); /* of four reactors */
    assert_int_equal(compress_init(&compress, &config, 4), RC_OK);
    for (unsigned i = 0; i < 8; i++) {
        assert_non_null(compress_wish(&compress));
        assert_int_equal(compress_open(&compress, &with_context, &conns[i]), RC_OK);
        assert_true(compress_is_own(conns[i]));
    }
    assert_null(compress_wish(&compress));
    /* One that keeps nothing gives its room back to others. */
    compress_close(&compress, conns[0]);
    const struct ws_deflate without = {.agreed = true,
                                       .server_no_context = true,
                                       .client_no_context = true,
                                       .server_bits = 9,
                                       .client_bits = 15};
    assert_int_equal(compress_open(&compress, &without, &conns[0]), RC_OK);
    assert_int_equal(conns[0]->taken, 0);
    assert_ptr_equal(conns[0]->deflater, compress.deflater);
    assert_ptr_equal(conns[0]->inflater, compress.inflater);
    assert_non_null(compress_wish(&compress));
    for (unsigned i = 0; i < 8; i++) {
        compress_close(&compress, conns[i]);
    }
    assert_int_equal(compress.used, 0);
    compress_deinit(&compress);
}

static void each_direction_takes_what_it_keeps(void **state)
{
    (void)state;
    struct compress compress;
    const struct config config = config_of(DEFLATE_CONTEXT, MIB);
    assert_int_equal(compress_init(&compress, &config, 1), RC_OK);
    for (unsigned mask = 0; mask < 8; mask++) {
        struct compress_conn *conn = NULL;
        struct ws_deflate agreed = with_context;
        agreed.server_no_context = (mask & 1) != 0;
        agreed.client_no_context = (mask & 2) != 0;
        agreed.server_bits = (mask & 4) != 0 ? 8 : 9; /* a client with less than our window */
        assert_int_equal(compress_open(&compress, &agreed, &conn), RC_OK);
        const bool own = !agreed.server_no_context || agreed.server_bits == 8;
        assert_int_equal(conn->own_deflater, own);
        assert_int_equal(conn->own_inflater, !agreed.client_no_context);
        assert_int_equal(conn->taken, (own ? compress.out_bytes : 0) +
                                          (agreed.client_no_context ? 0 : compress.in_bytes));
        assert_int_equal(deflater_options(conn->deflater)->takeover, !agreed.server_no_context);
        assert_int_equal(deflater_options(conn->deflater)->window_bits, agreed.server_bits);
        assert_int_equal(deflater_memory(conn->deflater), 0); /* it comes with a message */
        compress_close(&compress, conn);
        assert_int_equal(compress.used, 0);
    }
    compress_close(&compress, NULL);
    compress_deinit(&compress);
}

static void what_finds_no_memory_takes_nothing(void **state)
{
    (void)state;
    struct compress compress;
    const struct config config = config_of(DEFLATE_CONTEXT, MIB);
    unsigned failed = 0;
    enum rc rc = RC_NOMEM;
    for (unsigned k = 1; rc != RC_OK; k++) {
        mem_fault_set(k, 0);
        rc = compress_init(&compress, &config, 1);
        mem_fault_set(0, 0);
        failed += rc != RC_OK;
    }
    assert_true(failed > 5);
    for (unsigned k = 1; k <= 3; k++) {
        struct compress_conn *conn = NULL;
        mem_fault_set(k, 0);
        assert_int_equal(compress_open(&compress, &with_context, &conn), RC_NOMEM);
        mem_fault_set(0, 0);
        assert_int_equal(compress.used, 0);
    }
    compress_deinit(&compress);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(off_offers_nothing_and_holds_nothing),
        cmocka_unit_test(the_defaults_of_a_mode_are_its_own_and_settings_win),
        cmocka_unit_test(so_many_connections_and_no_more_have_a_context),
        cmocka_unit_test(each_direction_takes_what_it_keeps),
        cmocka_unit_test(what_finds_no_memory_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
