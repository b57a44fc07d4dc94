/* bench/seriatim: what a server may say to a load, and what it may not. Method: the adapter is
 * shown bytes by hand; what it has to say stands in the connection's buffer. */
#include "bench/bench.h"
#include "bench/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct bench bench;
static struct bench_options options;
static struct bench_conn conn;
static struct bench_event event;
static const struct bench_adapter *const adapter = &bench_adapter_seriatim;

static int setup(void **state)
{
    (void)state;
    options = (struct bench_options){.codec = "json", .prefix = "t", .payload = 40, .batch = 1};
    bench = (struct bench){.options = &options, .adapter = adapter};
    conn = (struct bench_conn){.bench = &bench, .fd = -1, .wants_write = true};
    (void)snprintf(bench.target.path, sizeof(bench.target.path), "/v1/ws");
    assert_int_equal(adapter->open(&conn), RC_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_deinit(&conn.out);
    return 0;
}

/* How much of it is taken. */
static size_t show(struct bytes bytes)
{
    size_t used = 0;
    adapter->parse(&conn, bytes.data, bytes.size, &used, &event);
    return used;
}

#define UPGRADE "HTTP/1.1 101 Switching Protocols\r\n\r\n"

static void upgrade(void)
{
    assert_int_equal(show(BYTES_LITERAL(UPGRADE)), sizeof(UPGRADE) - 1);
    assert_int_equal(event.type, BENCH_EVENT_OTHER);
    buf_clear(&conn.out);
}

static void assert_fails(const char *why)
{
    assert_int_equal(event.type, BENCH_EVENT_FAILED);
    assert_int_equal(event.text.size, strlen(why));
    assert_memory_equal(event.text.data, why, strlen(why));
}

static void an_upgrade_may_come_byte_by_byte(void **state)
{
    (void)state;
    for (size_t size = 0; size + 1 < sizeof(UPGRADE); size++) {
        assert_int_equal(show(bytes_of(UPGRADE, size)), 0);
        assert_int_equal(event.type, BENCH_EVENT_NONE);
    }
    const size_t before = conn.out.size;
    assert_int_equal(show(BYTES_LITERAL(UPGRADE "\x81")), sizeof(UPGRADE) - 1);
    assert_int_equal(event.type, BENCH_EVENT_OTHER);
    assert_true(conn.out.size > before); /* it introduces itself */
}

static void a_refused_upgrade_is_quoted_by_its_first_line(void **state)
{
    (void)state;
    (void)show(BYTES_LITERAL("HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n"));
    assert_fails("HTTP/1.1 403 Forbidden");
}

static void a_ping_is_answered_with_what_it_says(void **state)
{
    (void)state;
    upgrade();
    assert_int_equal(show(BYTES_LITERAL("\x89\x03why")), 5);
    assert_int_equal(event.type, BENCH_EVENT_OTHER);
    assert_int_equal(conn.out.size, 6 + 3);
    assert_int_equal(conn.out.data[0], 0x8A);
    assert_int_equal(conn.out.data[1], 0x80 | 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(conn.out.data[6 + i] ^ conn.out.data[2 + i], "why"[i]);
    }
    /* Nobody has asked for it; it is allowed. */
    assert_int_equal(show(BYTES_LITERAL("\x8A\x00")), 2);
    assert_int_equal(event.type, BENCH_EVENT_OTHER);
}

static void what_ends_a_connection_is_told(void **state)
{
    (void)state;
    upgrade();
    assert_int_equal(show(BYTES_LITERAL("\x88\x02\x03\xE9")), 4);
    assert_fails("the server closes the connection");
    assert_int_equal(show(BYTES_LITERAL("\xC1\x01x")), 3);
    assert_fails("a frame that no server may send");
    assert_int_equal(show(BYTES_LITERAL("\x81\x04{\"a")), 0); /* not whole */
    assert_int_equal(event.type, BENCH_EVENT_NONE);
}

static void show_connected(const char *text)
{
    uint8_t frame[200];
    const size_t size = strlen(text);
    assert_true(size < 126);
    frame[0] = 0x81;
    frame[1] = (uint8_t)size;
    bytes_copy(frame + 2, text, size);
    assert_int_equal(show(bytes_of(frame, size + 2)), size + 2);
    assert_int_equal(event.type, BENCH_EVENT_READY);
}

/* The first connection tells what the server is; a text that does not end is none. */
static void what_the_server_is_is_noted_once(void **state)
{
    (void)state;
    upgrade();
    show_connected("{\"type\":\"connected\",\"id\":1,\"durability\":\"os\",\"server\":\"a/1\"}");
    assert_string_equal(bench.durability, "os");
    assert_string_equal(bench.server_name, "a/1");
    show_connected("{\"type\":\"connected\",\"id\":1,\"durability\":\"fsync\"}");
    assert_string_equal(bench.durability, "os");
}

static void flags_go_behind_what_every_server_is_told(void **state)
{
    (void)state;
    char flag[] = "--threads=2";
    char *flags[] = {flag, NULL};
    const char *argv[BENCH_ARGV_MAX] = {0};
    options.program = "/bin/s";
    assert_int_equal(adapter->server_argv(&options, "/d", "h:1", argv), 6);
    options.durability = "os";
    options.server_flags = flags;
    assert_int_equal(adapter->server_argv(&options, "/d", "h:1", argv), 9);
    assert_string_equal(argv[0], "/bin/s");
    assert_string_equal(argv[7], "os");
    assert_string_equal(argv[8], flag);
    assert_null(argv[9]);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(an_upgrade_may_come_byte_by_byte),
        CASE(a_refused_upgrade_is_quoted_by_its_first_line),
        CASE(a_ping_is_answered_with_what_it_says),
        CASE(what_ends_a_connection_is_told),
        CASE(what_the_server_is_is_noted_once),
        CASE(flags_go_behind_what_every_server_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
