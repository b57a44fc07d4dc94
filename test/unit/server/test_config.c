/* Settings from every source: which wins, what is refused, and in which words. */
#include "server/config.h"

#include "base/mem.h"
#include "server/config_schema.h"
#include "server/config_yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#define ARGS_MAX 16

/* One load: a file's text (NULL: none), variables, flags; errors as text. */
struct load {
    struct config config;
    enum rc rc;
    char *errors;
};

static char file_name[] = "test_config_XXXXXX.yaml";

static void write_file(const char *text)
{
    FILE *file = fopen(file_name, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static struct load load(const char *file, const char *const *variables, const char *const *flags)
{
    static char *no_variables[] = {NULL};
    char *argv[ARGS_MAX] = {(char *)"serve"};
    int argc = 1;
    if (file != NULL) {
        write_file(file);
        argv[argc++] = (char *)"--config";
        argv[argc++] = file_name;
    }
    for (size_t i = 0; flags != NULL && flags[i] != NULL; i++) {
        assert_true(argc + 1 < ARGS_MAX);
        argv[argc++] = (char *)flags[i];
    }
    struct buf errors = {0};
    struct load result = {0};
    result.rc = config_load(argc, argv, variables == NULL ? no_variables : (char *const *)variables,
                            &result.config, &errors);
    assert_int_equal(buf_append(&errors, bytes_of("", 1)), RC_OK);
    result.errors = (char *)errors.data;
    return result;
}

static void unload(struct load *result)
{
    config_deinit(&result->config);
    mem_free(result->errors);
}

static void assert_has(const struct load *result, const char *text)
{
    if (strstr(result->errors, text) == NULL) {
        print_error("not found: %s\nin:\n%s\n", text, result->errors);
        fail();
    }
}

static void refuses_with(const char *file, const char *const *variables, const char *const *flags,
                         const char *text)
{
    struct load result = load(file, variables, flags);
    assert_int_equal(result.rc, RC_USAGE);
    assert_has(&result, text);
    unload(&result);
}

static void the_defaults_are_those_of_the_table(void **state)
{
    (void)state;
    struct load got = load(NULL, NULL, NULL);
    assert_int_equal(got.rc, RC_OK);
    assert_string_equal(got.errors, "");
    assert_string_equal(got.config.data, "./data");
    assert_string_equal(got.config.listen.host, "127.0.0.1");
    assert_int_equal(got.config.listen.port, 8470);
    assert_int_equal(got.config.partitions, 4);
    assert_int_equal(got.config.durability, DURABILITY_FSYNC);
    assert_int_equal(got.config.segment_bytes, 16u << 20);
    assert_false(got.config.repair);
    assert_int_equal(got.config.allowed_origins.count, 0);
    assert_int_equal(got.config.log_level, LEVEL_INFO);
    assert_int_equal(got.config.ping_interval_ms, 25000);
    assert_int_equal(got.config.limit_message_bytes, 1u << 20);
    assert_int_equal(got.config.retention_bytes, 0);
    unload(&got);
}

static void flags_win_over_variables_and_these_over_the_file(void **state)
{
    (void)state;
    static const char *const variables[] = {"SERIATIM_DATA=/v", "SERIATIM_NODE=2",
                                            "SERIATIM_RETENTION__BYTES=", "PATH=/x", NULL};
    static const char *const flags[] = {"--data=/g", NULL};
    struct load got =
        load("data: /f\nnode: 1\nretention: {bytes: 5GiB}\nthreads: 3\n", variables, flags);
    assert_int_equal(got.rc, RC_OK);
    assert_string_equal(got.config.data, "/g");
    assert_int_equal(got.config.node, 2);
    assert_int_equal(got.config.threads, 3);
    assert_int_equal(got.config.retention_bytes, 5ull << 30); /* an empty variable is not set */

    struct buf shown = {0};
    assert_int_equal(config_print_effective(&shown, &got.config, true), RC_OK);
    assert_int_equal(buf_append(&shown, bytes_of("", 1)), RC_OK);
    const char *text = (const char *)shown.data;
    assert_non_null(strstr(text, "data: /g # --data\n"));
    assert_non_null(strstr(text, "node: 2 # SERIATIM_NODE\n"));
    assert_non_null(strstr(text, ".yaml:4:10\n"));
    assert_non_null(strstr(text, "partitions: 4 # default\n"));
    buf_deinit(&shown);
    unload(&got);
}

static void every_kind_of_value_is_taken(void **state)
{
    (void)state;
    static const char *const flags[] = {"--repair",
                                        "--listen",
                                        "[::1]:0",
                                        "--log-format=json",
                                        "--allowed-origins",
                                        "https://a.example,*",
                                        "--durability",
                                        "memory",
                                        NULL};
    struct load got = load(NULL, NULL, flags);
    assert_int_equal(got.rc, RC_OK);
    assert_true(got.config.repair);
    assert_string_equal(got.config.listen.host, "::1");
    assert_int_equal(got.config.listen.port, 0);
    assert_int_equal(got.config.log_format, LOG_FORMAT_JSON);
    assert_int_equal(got.config.durability, DURABILITY_MEMORY);
    assert_int_equal(got.config.allowed_origins.count, 2);
    assert_string_equal(got.config.allowed_origins.items[1], "*");
    unload(&got);
}

static void a_wrong_name_is_shown_with_line_and_caret(void **state)
{
    (void)state;
    struct load got = load("data: ./d\ndurabilty: fsync\n", NULL, NULL);
    assert_int_equal(got.rc, RC_USAGE);
    char expected[256];
    (void)snprintf(expected, sizeof(expected),
                   "%s:2:1: error: unknown setting 'durabilty', did you mean 'durability'?\n"
                   "    2 | durabilty: fsync\n"
                   "      | ^~~~~~~~~\n",
                   file_name);
    assert_string_equal(got.errors, expected);
    unload(&got);
}

static void all_complaints_come_at_once(void **state)
{
    (void)state;
    static const char *const variables[] = {"SERIATIM_DATTA=x", "SERIATIM_LOG__LEVEL=loud",
                                            "SERIATIM_URL=ws://h/", NULL};
    static const char *const flags[] = {"--retention-bites", "5", "--threads=x", "--dat", "3",
                                        "--repair=yes",      NULL};
    struct load got = load("listen: here\n"
                           "retention:\n"
                           "  bytes: lots\n"
                           "  agee: 3d\n"
                           "limits: 4\n"
                           "node: [1]\n"
                           "log:\n"
                           "  level: inof\n",
                           variables, flags);
    assert_int_equal(got.rc, RC_USAGE);
    static const char *const wanted[] = {
        "error: unknown option '--retention-bites', did you mean '--retention-bytes'?\n",
        "error: unknown option '--dat', did you mean '--data'?\n",
        ":1:9: error: listen must be HOST:PORT",
        ":3:10: error: retention.bytes must be a size",
        ":4:3: error: unknown setting 'retention.agee', did you mean 'age'?\n",
        ":5:1: error: limits: must hold settings",
        ":6:1: error: node: needs one value",
        ":8:10: error: log.level must be one of debug, info, warn, error; this is 'inof', did you "
        "mean 'info'?\n",
        "SERIATIM_DATTA: error: there is no such setting, did you mean 'SERIATIM_DATA'?\n",
        "SERIATIM_LOG__LEVEL: error: must be one of",
        "--threads: error: must be a whole number from 1 to 64, or 0 (as many as there are "
        "cores); this is 'x'\n",
        "--repair: error: must be true or false; this is 'yes'\n",
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        assert_has(&got, wanted[i]);
    }
    assert_null(strstr(got.errors, "SERIATIM_URL"));
    unload(&got);
}

static void values_out_of_range_are_refused_by_every_source(void **state)
{
    (void)state;
    static const struct {
        const char *flag;
        const char *text;
    } cases[] = {
        {"--partitions=0", "--partitions: error: must be a whole number from 1 to 256"},
        {"--partitions=257", "--partitions"},
        {"--node=1024", "--node"},
        {"--segment-bytes=4095", "from 4KiB to 1GiB"},
        {"--segment-bytes=2GiB", "from 4KiB to 1GiB"},
        {"--limits-message-bytes=17MiB", "to 16MiB"},
        {"--data=", "--data: error: must be a text that is not empty"},
        {"--allowed-origins=example.com", "list of web origins"},
        {"--allowed-origins=https://a.example/path", "list of web origins"},
        {"--listen=host:99999", "HOST:PORT"},
        {"--ping-interval=90s", "pong_timeout (60000ms) must be more than ping_interval"},
        {"--limits-frame-bytes=64KiB", "must not be less than limits.message_bytes"},
        {"--listen", "error: --listen needs a value"},
        {"stray", "error: unexpected argument 'stray'"},
        {"-x", "error: unknown option '-x'"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *const flags[] = {cases[i].flag, NULL};
        refuses_with(NULL, NULL, flags, cases[i].text);
    }
    static const char *const variables[] = {"SERIATIM_NODE=-1", NULL};
    refuses_with(NULL, variables, NULL, "SERIATIM_NODE: error: must be");
    refuses_with("node: 9999\n", NULL, NULL, ":1:7: error: node must be");
}

static void one_document_may_be_marked_as_such(void **state)
{
    (void)state;
    static const char *const files[] = {"---\nnode: 1\n", "node: 1\n...\n", "node: 1\n---\n# no\n"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct load got = load(files[i], NULL, NULL);
        assert_int_equal(got.rc, RC_OK);
        assert_int_equal(got.config.node, 1);
        unload(&got);
    }
}

static void broken_files_are_refused_where_they_break(void **state)
{
    (void)state;
    refuses_with("data: a\ndata: b\n", NULL, NULL, ":2:1: error: duplicate key");
    refuses_with("data: *x\n", NULL, NULL, "anchors and aliases are not understood");
    refuses_with("data: [a\nnode: 1\n", NULL, NULL, "error: ");
    refuses_with("- a\n", NULL, NULL, "settings are written 'name: value'");
    refuses_with("retention.age: 3d\n", NULL, NULL, "levels are nested in YAML");
    refuses_with("data:\n", NULL, NULL, "data: needs one value");
    refuses_with("data: {a: 1}\n", NULL, NULL, "data: needs one value");
    refuses_with("allowed_origins: x\n", NULL, NULL, "must be a list");
    refuses_with("retention: {age: {x: 1}}\n", NULL, NULL, "retention.age: needs one value");
    refuses_with("? [a]\n: b\n", NULL, NULL, "name must be a short text");
    refuses_with("node: 1\n---\nnode: 2\n", NULL, NULL, ":3:1: error: a second document");
    refuses_with("node: 1\n---\n- a\n", NULL, NULL, ":3:3: error: a second document");
    refuses_with("node: 1\n---\n\"x\n", NULL, NULL, ":3:2: error: double-quoted");
    static const char *const flags[] = {"--config=there/is/none.yaml", NULL};
    refuses_with(NULL, NULL, flags, "there/is/none.yaml: error: No such file or directory");
}

static void what_a_file_may_not_say_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *refusal;
    } cases[] = {
        {"allowed_origins: [*x]\n", "its items must be texts"},
        {"allowed_origins: [{a: 1}]\n", "its items must be texts"},
        {"allowed_origins: [[a]]\n", "its items must be texts"},
        {"allowed_origins: ['a']\n", ":1:20: error: allowed_origins must be a list of web origins"},
        {"allowed_origins: *x\n", "anchors and aliases are not understood"},
        {"allowed_origins:\n", "must be a list"},
        {"retention: *x\n", "retention: must hold settings"},
        {"retention:\n", "retention: must hold settings"},
        {"retention: {*x : 1}\n", "error: "},
        {"data: \"a\\nb\"\n", "data must be a text that is not empty; this is 'a?b'"},
        {"data: \"a\\x7f\"\n", "this is 'a?'"},
        {"data: ''\n", "data must be a text that is not empty"},
        {"? \n: 1\n", "error: "},
        {"zzzzzzzz: 1\n", "unknown setting 'zzzzzzzz'\n"}, /* nothing is near */
        {"retention: {zzzzzzzz: 1}\n", "unknown setting 'retention.zzzzzzzz'\n"},
        {"lgo: {level: info}\n", "unknown setting 'lgo', did you mean 'log'?"},
        {"repair: 'maybe'\n", "repair must be true or false; this is 'maybe'"},
        {"x\n", "settings are written 'name: value'"},
        {"data: \"\\q\"\n", "error: "},
        {"\tdata: x\n", "error: "},
        {"data: 'a\n", "error: "},
        {"log: {level: 'info'\n", "error: "},
        {"threads: 1\r\nnode: x\r\n", ":2:7: error: node must be"},
        {"node: "
         "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "a'\n",
         "..."},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        refuses_with(cases[i].text, NULL, NULL, cases[i].refusal);
    }
}

/* A place far to the right is told, and its line is not shown; a name of any length is refused. */
static void long_lines_and_long_names_stay_readable(void **state)
{
    (void)state;
    char text[1024];
    (void)snprintf(text, sizeof(text), "{%*s node: x}\n", 200, "");
    struct load got = load(text, NULL, NULL);
    assert_int_equal(got.rc, RC_USAGE);
    assert_has(&got, ":1:209: error: node must be");
    assert_null(strstr(got.errors, " | "));
    unload(&got);
    char name[400];
    (void)memset(name, 'n', sizeof(name));
    (void)snprintf(text, sizeof(text), "%.300s: 1\n", name);
    refuses_with(text, NULL, NULL, "a setting's name must be a short text");
    (void)snprintf(text, sizeof(text), "retention: {%.155s: 1}\n", name);
    refuses_with(text, NULL, NULL, "retention: a setting's name must be a short text");
    (void)snprintf(text, sizeof(text), "%.100s: 1\n", name);
    refuses_with(text, NULL, NULL, "unknown setting 'nnnn"); /* too long to guess at */
}

static void a_file_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const folder[] = {"--config=.", NULL};
    refuses_with(NULL, NULL, folder, ".: error: cannot be read");
    char *large = malloc((1u << 20) + 2);
    assert_non_null(large);
    (void)memset(large, '#', (1u << 20) + 1);
    large[(1u << 20) + 1] = '\0';
    refuses_with(large, NULL, NULL, "is larger than 1 MiB");
    large[1u << 20] = '\0'; /* just as large as may be: a comment */
    struct load got = load(large, NULL, NULL);
    assert_int_equal(got.rc, RC_OK);
    unload(&got);
    free(large);
}

static void variables_name_files_and_settings(void **state)
{
    (void)state;
    char config[64];
    (void)snprintf(config, sizeof(config), "SERIATIM_CONFIG=%s", file_name);
    write_file("node: 7\n");
    const char *const named[] = {"SERIATIM_CONFIG=", "SERIATIM_NO_VALUE", config, NULL};
    struct load got = load(NULL, named, NULL);
    assert_int_equal(got.rc, RC_OK);
    assert_int_equal(got.config.node, 7);
    unload(&got);
    static const char *const unknown[] = {"SERIATIM_QQQQQQQQQQ=1", NULL};
    refuses_with(NULL, unknown, NULL, "SERIATIM_QQQQQQQQQQ: error: there is no such setting\n");
    static const char *const list[] = {"SERIATIM_ALLOWED_ORIGINS=http://a,http://b", NULL};
    got = load("allowed_origins: ['http://c', 'http://d', 'http://e']\n", list, NULL);
    assert_int_equal(got.rc, RC_OK);
    assert_int_equal(got.config.allowed_origins.count, 2); /* in place of, not beside */
    assert_string_equal(got.config.allowed_origins.items[1], "http://b");
    unload(&got);
}

static void origins_are_as_browsers_send_them(void **state)
{
    (void)state;
    static const char *const bad[] = {"://a",
                                      "https://",
                                      "https:/a",
                                      "HTTPS://a",
                                      "https://A",
                                      "https://a b",
                                      "https://a/",
                                      "https://a\x7f",
                                      "https://\"a\"",
                                      "https://a://b",
                                      "https://\xc3\xa9",
                                      "**",
                                      "https://a,,https://b",
                                      ","};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char flag[64];
        (void)snprintf(flag, sizeof(flag), "--allowed-origins=%s", bad[i]);
        const char *const flags[] = {flag, NULL};
        refuses_with(NULL, NULL, flags, "--allowed-origins: error: must be a list of web origins");
    }
    static const char *const good[] = {"--allowed-origins=app://-,http://a:1,https://z_@[::1]:9~^",
                                       NULL};
    struct load got = load(NULL, NULL, good);
    assert_int_equal(got.rc, RC_OK);
    assert_int_equal(got.config.allowed_origins.count, 3);
    unload(&got);
    static const char *const none[] = {"--allowed-origins=", NULL};
    got = load("allowed_origins: ['http://a']\n", NULL, none);
    assert_int_equal(got.rc, RC_OK);
    assert_int_equal(got.config.allowed_origins.count, 0);
    unload(&got);
}

static void options_that_are_none_are_refused_by_name(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"---", "error: unknown option '---'\n"},
        {"--=5", "error: unknown option '--'\n"},
        {"--zzzzzzzzzzzz", "error: unknown option '--zzzzzzzzzzzz'\n"},
        {"--nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
         "nnn...'\n"},
        {"--dat=3", "error: unknown option '--dat', did you mean '--data'?"},
        {"--listn", "did you mean '--listen'?"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *const flags[] = {cases[i][0], NULL};
        refuses_with(NULL, NULL, flags, cases[i][1]);
    }
    /* Behind a complaint an operand is not complained of again. */
    static const char *const both[] = {"--nothing", "at-all", NULL};
    struct load got = load(NULL, NULL, both);
    assert_int_equal(got.rc, RC_USAGE);
    assert_null(strstr(got.errors, "unexpected argument"));
    unload(&got);
}

static void an_empty_file_changes_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "# nothing\n", "---\n", "\r\n \n# a\n #b\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct load got = load(texts[i], NULL, NULL);
        assert_int_equal(got.rc, RC_OK);
        unload(&got);
    }
}

static void the_default_file_is_taken_and_gives_the_defaults(void **state)
{
    (void)state;
    struct buf text = {0};
    assert_int_equal(config_print_default(&text), RC_OK);
    struct config defaults;
    struct config loaded;
    assert_int_equal(config_defaults(&defaults), RC_OK);
    assert_int_equal(config_defaults(&loaded), RC_OK);
    struct buf errors = {0};
    assert_int_equal(config_yaml_parse("default", buf_bytes(&text), &loaded, &errors), RC_OK);
    assert_int_equal(errors.size, 0);
    struct buf a = {0};
    struct buf b = {0};
    assert_int_equal(config_print_effective(&a, &defaults, false), RC_OK);
    assert_int_equal(config_print_effective(&b, &loaded, false), RC_OK);
    assert_true(bytes_equal(buf_bytes(&a), buf_bytes(&b)));
    for (size_t i = 0; i < config_setting_count; i++) {
        assert_int_equal(loaded.origins[i].source, CONFIG_FROM_FILE);
    }
    buf_deinit(&a);
    buf_deinit(&b);
    buf_deinit(&text);
    config_deinit(&defaults);
    config_deinit(&loaded);
}

/* Texts that YAML would take for something else, and those that it takes as they are. */
static void every_text_in_force_can_be_loaded_again(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "null",        "true",  "plain", "/var/lib/A_1-b.c",
        "./x",         "Upper", "0",     "~",
        "-",           "a: b",  "a #b",  "it's",
        "*a",          "&a",    "{a",    "[a",
        "caf\xc3\xa9", "a\"b",  "a,b",   "a|b",
        "!a",          "a\\b",  "no",    " a ",
        "zZ9",         "z@",    "z[",    "z`",
        "z{",          "z/",    "Z:",    "a:",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char flag[64];
        (void)snprintf(flag, sizeof(flag), "--data=%s", texts[i]);
        const char *const flags[] = {flag, "--repair", "--allowed-origins=*,https://a.b", NULL};
        struct load got = load(NULL, NULL, flags);
        assert_int_equal(got.rc, RC_OK);
        struct buf shown = {0};
        assert_int_equal(config_print_effective(&shown, &got.config, false), RC_OK);
        assert_int_equal(buf_append(&shown, bytes_of("", 1)), RC_OK);
        struct load again = load((const char *)shown.data, NULL, NULL);
        if (again.rc != RC_OK || strcmp(again.config.data, texts[i]) != 0) {
            print_error("'%s' is shown as\n%s%s\n", texts[i], shown.data, again.errors);
            fail();
        }
        assert_true(again.config.repair);
        assert_int_equal(again.config.allowed_origins.count, 2);
        assert_string_equal(again.config.allowed_origins.items[0], "*");
        assert_string_equal(again.config.allowed_origins.items[1], "https://a.b");
        buf_deinit(&shown);
        unload(&again);
        unload(&got);
    }
}

static void what_is_in_force_can_be_loaded_again(void **state)
{
    (void)state;
    static const char *const flags[] = {"--data=it's here: #1", "--listen=[::1]:1",
                                        "--allowed-origins=https://a.example", NULL};
    struct load got = load(NULL, NULL, flags);
    assert_int_equal(got.rc, RC_OK);
    struct buf shown = {0};
    assert_int_equal(config_print_effective(&shown, &got.config, true), RC_OK);
    struct config again;
    assert_int_equal(config_defaults(&again), RC_OK);
    struct buf errors = {0};
    assert_int_equal(config_yaml_parse("shown", buf_bytes(&shown), &again, &errors), RC_OK);
    assert_string_equal(again.data, "it's here: #1");
    assert_string_equal(again.listen.host, "::1");
    assert_string_equal(again.allowed_origins.items[0], "https://a.example");
    buf_deinit(&shown);
    config_deinit(&again);
    unload(&got);
}

/* Each allocation in turn fails: the answer is RC_NOMEM, and nothing leaks (the sanitizer looks).
 */
static void a_failing_allocation_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    char *argv[] = {(char *)"serve", (char *)"--data=x", (char *)"--allowed-origins=*,https://a.b",
                    NULL};
    char *environment[] = {(char *)"SERIATIM_NODE=1", NULL};
    for (uint64_t k = 1;; k++) {
        struct config config;
        struct buf errors = {0};
        mem_fault_set(k, 0);
        const enum rc rc = config_load(3, argv, environment, &config, &errors);
        const bool reached = mem_fault_count() >= k;
        mem_fault_set(0, 0);
        assert_int_equal(rc, reached ? RC_NOMEM : RC_OK);
        buf_deinit(&errors);
        if (!reached) {
            assert_true(k > 4);
            config_deinit(&config);
            return;
        }
    }
}

/* The same of a load that has much to complain of, and of each thing that is printed. */
static void a_failing_allocation_is_told_whatever_is_said(void **state)
{
    (void)state;
    char *argv[] = {(char *)"serve",       (char *)"--config",  file_name,
                    (char *)"--threads=x", (char *)"--nothing", NULL};
    char *environment[] = {(char *)"SERIATIM_DATTA=1", NULL};
    write_file("data: /a\nlisten: x\nnod: 1\nallowed_origins: ['https://a.b', 'b', {c: 1}]\n"
               "retention: {age: 1y, agee: 3}\nlimits: 1\n");
    uint64_t k = 1;
    enum rc rc = RC_NOMEM;
    for (; rc == RC_NOMEM; k++) {
        struct config config;
        struct buf errors = {0};
        mem_fault_set(k, 0);
        rc = config_load(5, argv, environment, &config, &errors);
        const bool reached = mem_fault_count() >= k;
        mem_fault_set(0, 0);
        assert_int_equal(rc, reached ? RC_NOMEM : RC_USAGE);
        buf_deinit(&errors);
    }
    assert_true(k > 8);
}

static enum rc print_in_force(struct buf *to)
{
    struct load got = load(NULL, NULL, NULL);
    const enum rc rc = got.rc == RC_OK ? config_print_effective(to, &got.config, true) : got.rc;
    unload(&got);
    return rc;
}

static void a_failing_allocation_is_told_whatever_is_printed(void **state)
{
    (void)state;
    static enum rc (*const prints[])(struct buf * to) = {config_print_default, config_print_docs,
                                                         config_print_flags};
    for (size_t i = 0; i < sizeof(prints) / sizeof(prints[0]); i++) {
        enum rc rc = RC_NOMEM;
        uint64_t k = 1;
        for (; rc == RC_NOMEM; k++) {
            struct buf to = {0};
            mem_fault_set(k, 0);
            rc = prints[i](&to);
            const bool reached = mem_fault_count() >= k;
            mem_fault_set(0, 0);
            assert_int_equal(rc, reached ? RC_NOMEM : RC_OK);
            buf_deinit(&to);
        }
        assert_true(k > 4);
    }
    struct buf to = {0};
    assert_int_equal(print_in_force(&to), RC_OK);
    buf_deinit(&to);
}

static void the_page_of_settings_is_current(void **state)
{
    (void)state;
    const char *root = getenv("SERIATIM_SOURCE_ROOT");
    assert_non_null(root);
    char name[512];
    (void)snprintf(name, sizeof(name), "%s/docs/CONFIG.md", root);
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    struct buf page = {0};
    assert_int_equal(buf_reserve(&page, 1u << 20), RC_OK);
    page.size = fread(page.data, 1, page.capacity, file);
    assert_int_equal(fclose(file), 0);
    struct buf wanted = {0};
    assert_int_equal(config_print_docs(&wanted), RC_OK);
    if (!bytes_equal(buf_bytes(&page), buf_bytes(&wanted))) {
        print_error("docs/CONFIG.md is old: run `seriatim config docs > docs/CONFIG.md`\n");
        fail();
    }
    buf_deinit(&page);
    buf_deinit(&wanted);
}

static int make_file(void **state)
{
    (void)state;
    const int fd = mkstemps(file_name, 5);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(file_name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_those_of_the_table),
        cmocka_unit_test(flags_win_over_variables_and_these_over_the_file),
        cmocka_unit_test(every_kind_of_value_is_taken),
        cmocka_unit_test(a_wrong_name_is_shown_with_line_and_caret),
        cmocka_unit_test(all_complaints_come_at_once),
        cmocka_unit_test(values_out_of_range_are_refused_by_every_source),
        cmocka_unit_test(one_document_may_be_marked_as_such),
        cmocka_unit_test(broken_files_are_refused_where_they_break),
        cmocka_unit_test(what_a_file_may_not_say_is_refused_by_name),
        cmocka_unit_test(long_lines_and_long_names_stay_readable),
        cmocka_unit_test(a_file_that_is_none_is_refused),
        cmocka_unit_test(variables_name_files_and_settings),
        cmocka_unit_test(origins_are_as_browsers_send_them),
        cmocka_unit_test(options_that_are_none_are_refused_by_name),
        cmocka_unit_test(an_empty_file_changes_nothing),
        cmocka_unit_test(every_text_in_force_can_be_loaded_again),
        cmocka_unit_test(the_default_file_is_taken_and_gives_the_defaults),
        cmocka_unit_test(what_is_in_force_can_be_loaded_again),
        cmocka_unit_test(a_failing_allocation_is_told_and_nothing_leaks),
        cmocka_unit_test(a_failing_allocation_is_told_whatever_is_said),
        cmocka_unit_test(a_failing_allocation_is_told_whatever_is_printed),
        cmocka_unit_test(the_page_of_settings_is_current),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
