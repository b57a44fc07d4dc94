/* io/boot: which boot of the machine this is, and that nobody knows where the kernel does not tell.
 */
#include "io/boot.h"

#include "lib/failing.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void a_boot_has_one_name_of_one_line(void **state)
{
    (void)state;
    char first[64] = "";
    char second[64] = "";
    boot_id(first, sizeof(first));
    boot_id(second, sizeof(second));
    assert_int_equal(strlen(first), 36); /* a UUID */
    assert_string_equal(first, second);
    assert_null(strchr(first, '\n'));
    boot_id(second, 9);
    assert_int_equal(strlen(second), 8); /* as much as there is room for */
    assert_memory_equal(first, second, 8);
}

static void where_the_kernel_does_not_tell_the_name_is_empty(void **state)
{
    (void)state;
    char id[64];
    (void)memset(id, 'x', sizeof(id));
    failing_set(FAILING_open64, 1, 1, ENOENT);
    boot_id(id, sizeof(id));
    assert_int_equal(failing_hits(FAILING_open64), 1);
    assert_string_equal(id, "");
    (void)memset(id, 'x', sizeof(id));
    failing_set(FAILING_read, 1, 1, EIO);
    boot_id(id, sizeof(id));
    assert_int_equal(failing_hits(FAILING_read), 1);
    assert_string_equal(id, "");
    failing_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_boot_has_one_name_of_one_line),
        cmocka_unit_test(where_the_kernel_does_not_tell_the_name_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
