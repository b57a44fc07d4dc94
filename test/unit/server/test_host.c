/* server/host: what a partition's owner makes of a log that is damaged.
 *
 * Goal: what cannot be read is told by its numbers, all of it, and the rest is read; what a repair
 * has cut out gives its channels new epochs, which are good up to the first loss, and no other
 * channel one.
 * Method: world.h over one disk in memory, with segments of 4 KiB. Each message has a text of its
 * own, by which its bytes are found on the disk. */
#include "server/host.h"

#include "base/tune.h"
#include "log/record.h"
#include "server/checkpoints.h"
#include "server/logger.h"
#include "unit/server/world.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MESSAGES  30u /* a channel */
#define FILE_MAX  (64u * 1024u)
#define NAME_SIZE 64u

struct fixture {
    struct world world;
    struct ram_disk *disk;
    struct client client;
    unsigned id; /* of the last command */
    int quiet;   /* where the log of events goes */
    bool full;   /* from the next start on the disk is, now and then */
};

static struct {
    struct storage inner;
    unsigned left; /* so many writes of a doubt find no space */
} full;

static enum rc write_of_a_full_disk(void *ctx, struct storage_file *file, struct bytes bytes,
                                    uint64_t at)
{
    const bool doubt = bytes.size > RECORD_HEADER_SIZE && bytes.data[8] == RECORD_DOUBT;
    if (doubt && full.left > 0) {
        full.left--;
        return RC_NOSPACE;
    }
    return full.inner.ops->write(ctx, file, bytes, at);
}

static void start(struct fixture *f, bool repair)
{
    world_config(&f->world);
    f->world.disk = f->disk;
    f->world.write = f->full ? write_of_a_full_disk : NULL;
    f->world.config.durability = DURABILITY_FSYNC;
    f->world.config.segment_bytes = 4096;
    f->world.config.repair = repair;
    world_open(&f->world);
    f->disk = f->world.disk;
    client_open(&f->world, &f->client, 0);
    assert_true(client_connect(&f->world, &f->client));
    f->id = 1;
}

static void stop(struct fixture *f)
{
    client_close(&f->client);
    world_stop(&f->world);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
    logger_init(LEVEL_INFO, LOG_FORMAT_TEXT, f->quiet);
    start(f, false);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    tune = tune_default;
    stop(f);
    ram_disk_close(f->disk);
    assert_int_equal(close(f->quiet), 0);
    free(f);
    return 0;
}

/* ---- commands -------------------------------------------------------------------------------- */

/* Sends a command, whose members are given, and gives its reply. */
__attribute__((format(printf, 2, 3))) static const char *ask(struct fixture *f, const char *format,
                                                             ...)
{
    char members[3000];
    char command[3100];
    char wanted[32];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(members, sizeof(members), format, args);
    va_end(args);
    f->id++;
    (void)snprintf(command, sizeof(command), "{\"id\":%u,%s}", f->id, members);
    (void)snprintf(wanted, sizeof(wanted), "\"id\":%u", f->id);
    client_forget(&f->client);
    client_text(&f->client, command);
    assert_true(client_hears(&f->world, &f->client, wanted));
    world_turns(&f->world, 2); /* a reply that is longer than a read */
    client_read(&f->client);
    return client_in(&f->client);
}

static void must_have(const char *reply, const char *text)
{
    if (strstr(reply, text) == NULL) {
        fail_msg("not found: %s\nin: %s", text, reply);
    }
}

/* The text of a channel's n-th message. */
static void text_of(char channel, unsigned n, char to[NAME_SIZE])
{
    (void)snprintf(to, NAME_SIZE, "<%c %u>", channel, n);
}

static void publish(struct fixture *f, char channel, unsigned n)
{
    char text[NAME_SIZE];
    text_of(channel, n, text);
    must_have(
        ask(f, "\"type\":\"publish\",\"channel\":\"%c\",\"data\":\"%s%0300d\"", channel, text, 0),
        "\"published\"");
}

static void epoch_of(struct fixture *f, char channel, char to[NAME_SIZE])
{
    const char *reply = ask(f, "\"type\":\"history\",\"channel\":\"%c\",\"limit\":1", channel);
    const char *epoch = strstr(reply, "\"epoch\":\"");
    assert_non_null(epoch);
    epoch += 9;
    (void)snprintf(to, NAME_SIZE, "%.*s", (int)strcspn(epoch, "\""), epoch);
}

/* Sealed segments get their indexes, and a checkpoint stands behind them. */
static void let_the_keeper_work(struct fixture *f)
{
    for (int i = 0; i < 40; i++) {
        world_later(&f->world, 300);
        world_turns(&f->world, 5);
    }
}

/* ---- damage ---------------------------------------------------------------------------------- */

struct hunt {
    struct storage storage;
    const char *text;
    unsigned found;
};

static void hunt_in(void *ctx, const char *entry)
{
    static uint8_t bytes[FILE_MAX];
    struct hunt *hunt = ctx;
    char name[128];
    struct storage_file *file;
    size_t size = 0;
    const size_t entry_size = strlen(entry);
    if (entry_size < 4 || strcmp(entry + entry_size - 4, ".seg") != 0) {
        return;
    }
    (void)snprintf(name, sizeof(name), "p000/%.100s", entry);
    const struct storage_ops *ops = hunt->storage.ops;
    assert_int_equal(ops->open(hunt->storage.ctx, name, STORAGE_WRITE, &file), RC_OK);
    assert_int_equal(ops->read(hunt->storage.ctx, file, bytes, sizeof(bytes), 0, &size), RC_OK);
    const uint8_t *at = memmem(bytes, size, hunt->text, strlen(hunt->text));
    if (at != NULL) {
        assert_int_equal(
            ops->write(hunt->storage.ctx, file, BYTES_LITERAL("!"), (uint64_t)(at - bytes)), RC_OK);
        hunt->found++;
    }
    ops->close(hunt->storage.ctx, file);
}

static void names_of(void *ctx, const char *entry)
{
    char(*names)[NAME_SIZE] = ctx;
    for (size_t i = 0; i < 100; i++) {
        if (names[i][0] == '\0') {
            (void)snprintf(names[i], NAME_SIZE, "%s", entry);
            return;
        }
    }
    fail();
}

/* A bit of that message's bytes on the disk is another. */
static void damage(struct fixture *f, const char *text)
{
    static char names[100][NAME_SIZE];
    struct hunt hunt = {.storage = ram_disk_storage(f->disk), .text = text};
    bytes_zero(names, sizeof(names));
    assert_int_equal(hunt.storage.ops->list(hunt.storage.ctx, "p000", names_of, names), RC_OK);
    for (size_t i = 0; i < 100 && names[i][0] != '\0'; i++) {
        hunt_in(&hunt, names[i]);
    }
    assert_int_equal(hunt.found, 1);
}

static void damage_message(struct fixture *f, char channel, unsigned n)
{
    char text[NAME_SIZE];
    text_of(channel, n, text);
    damage(f, text);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void publish_all(struct fixture *f)
{
    for (unsigned n = 1; n <= MESSAGES; n++) {
        for (char channel = 'a'; channel <= 'c'; channel++) {
            publish(f, channel, n);
        }
    }
    let_the_keeper_work(f);
}

static void each_channel_that_has_lost_begins_a_new_epoch_and_no_other(void **state)
{
    struct fixture *f = *state;
    char before[3][NAME_SIZE];
    char after[3][NAME_SIZE];
    publish_all(f);
    for (int i = 0; i < 3; i++) {
        epoch_of(f, (char)('a' + i), before[i]);
    }
    stop(f);
    /* In this order on the disk: of "b" the second loss stands behind one of "a". */
    damage_message(f, 'b', 7);
    damage_message(f, 'a', 9);
    damage_message(f, 'b', 11);
    damage_message(f, 'a', 13);
    damage_message(f, 'b', 12);
    start(f, true);
    for (int i = 0; i < 3; i++) {
        epoch_of(f, (char)('a' + i), after[i]);
    }
    assert_string_not_equal(after[0], before[0]);
    assert_string_not_equal(after[1], before[1]);
    assert_string_equal(after[2], before[2]);
    /* The old epoch is good up to the first loss, whatever was lost behind it. */
    static const struct {
        char channel;
        unsigned seq;
        const char *reply;
    } rows[] = {
        {'a', 9, "\"subscribed\""},        {'a', 10, "\"reason\":\"epoch\""},
        {'b', 7, "\"subscribed\""},        {'b', 8, "\"reason\":\"epoch\""},
        {'b', 30, "\"reason\":\"epoch\""}, {'c', 30, "\"subscribed\""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char channel = rows[i].channel;
        must_have(ask(f,
                      "\"type\":\"subscribe\",\"channel\":\"%c\",\"from\":{\"epoch\":\"%s\","
                      "\"seq\":%u}",
                      channel, before[channel - 'a'], rows[i].seq),
                  rows[i].reply);
        (void)ask(f, "\"type\":\"unsubscribe\",\"channel\":\"%c\"", channel);
    }
    publish(f, 'a', MESSAGES + 1);
    must_have(ask(f, "\"type\":\"history\",\"channel\":\"a\",\"from\":%u", MESSAGES + 1),
              "\"latest\":31");
}

/* The disk is full just when it would be written down. */
static void what_was_lost_is_not_forgotten_where_the_first_write_fails(void **state)
{
    struct fixture *f = *state;
    char before[NAME_SIZE];
    char after[NAME_SIZE];
    publish_all(f);
    epoch_of(f, 'a', before);
    stop(f);
    damage_message(f, 'a', 9);
    full.inner = ram_disk_storage(f->disk);
    full.left = 2;
    f->full = true;
    start(f, true);
    assert_int_equal(full.left, 0);
    epoch_of(f, 'a', after);
    assert_string_not_equal(after, before);
    must_have(ask(f,
                  "\"type\":\"subscribe\",\"channel\":\"a\",\"from\":{\"epoch\":\"%s\","
                  "\"seq\":10}",
                  before),
              "\"reason\":\"epoch\"");
}

/* Reads on from where the last reply ended; gives all of them one after another. */
static void read_history(struct fixture *f, char channel, bool reverse, char *to, size_t size)
{
    unsigned from = reverse ? MESSAGES : 1;
    to[0] = '\0';
    for (int i = 0; i < 20; i++) {
        const char *reply =
            ask(f, "\"type\":\"history\",\"channel\":\"%c\",\"limit\":1000,\"from\":%u%s", channel,
                from, reverse ? ",\"reverse\":true" : "");
        const size_t used = strlen(to);
        (void)snprintf(to + used, size - used, "%s", reply);
        if (strstr(reply, "\"more\":true") == NULL) {
            return;
        }
        /* What is told, whether by bytes or as damaged, need not be asked for again. */
        unsigned far = from;
        for (unsigned n = 1; n <= MESSAGES; n++) {
            char seq[32];
            char to_text[32];
            char from_text[32];
            (void)snprintf(seq, sizeof(seq), "\"seq\":%u,", n);
            (void)snprintf(to_text, sizeof(to_text), "\"to\":%u}", n);
            (void)snprintf(from_text, sizeof(from_text), "{\"from\":%u,", n);
            const bool told =
                strstr(reply, seq) != NULL || strstr(reply, reverse ? from_text : to_text) != NULL;
            far = told && (reverse ? n < far : n > far) ? n : far;
        }
        from = reverse ? far - 1 : far + 1;
    }
    fail_msg("it does not come to an end: %s", to);
}

/* A reply tells of eight places; there are more. */
static void all_that_cannot_be_read_is_told_in_either_direction(void **state)
{
    static char all[200000];
    struct fixture *f = *state;
    publish_all(f);
    stop(f);
    for (unsigned n = 2; n <= 24; n += 2) {
        damage_message(f, 'a', n);
    }
    damage_message(f, 'a', 15);
    start(f, false);
    for (int reverse = 0; reverse < 2; reverse++) {
        read_history(f, 'a', reverse == 1, all, sizeof(all));
        for (unsigned n = 1; n <= MESSAGES; n++) {
            char text[NAME_SIZE];
            char range[NAME_SIZE];
            text_of('a', n, text);
            (void)snprintf(range, sizeof(range), "{\"from\":%u,\"to\":%u}", n, n);
            const bool lost = (n <= 24 && n % 2 == 0) || n == 15;
            const bool in_range = strstr(all, range) != NULL || (n >= 14 && n <= 16);
            assert_int_equal(strstr(all, text) == NULL, lost);
            assert_int_equal(in_range, lost);
        }
        must_have(all, "{\"from\":14,\"to\":16}"); /* what is adjacent is one */
    }
}

static void a_digest_that_takes_bytes_which_are_damaged_is_not_told(void **state)
{
    struct fixture *f = *state;
    must_have(ask(f, "\"type\":\"publish\",\"channel\":\"d\",\"batch\":[{\"data\":\"<d 1>\"},"
                     "{\"data\":\"<d 2>\"},{\"data\":\"<d 3>\"}]"),
              "\"published\"");
    publish_all(f);
    must_have(ask(f, "\"type\":\"publish\",\"channel\":\"d\",\"data\":4"), "\"seq\":4");
    must_have(ask(f, "\"type\":\"digest\",\"channel\":\"d\",\"seq\":2"), "\"digest\":\"");
    stop(f);
    damage(f, "<d 2>");
    start(f, false);
    const char *reply = ask(f, "\"type\":\"digest\",\"channel\":\"d\",\"seq\":2");
    must_have(reply, "\"gap\"");
    must_have(reply, "\"damaged\"");
    must_have(ask(f, "\"type\":\"digest\",\"channel\":\"d\",\"seq\":3"), "\"digest\":\"");
}

/* What waits for its turn at the reader when the server ends is let go of; the sanitizer looks. */
static void reads_that_wait_end_with_the_server(void **state)
{
    struct fixture *f = *state;
    publish(f, 'a', 1);
    tune.host_reads = 0;
    client_text(&f->client, "{\"type\":\"history\",\"id\":99,\"channel\":\"a\"}");
    client_text(&f->client, "{\"type\":\"subscribe\",\"id\":98,\"channel\":\"a\"}");
    world_turns(&f->world, 5);
    client_read(&f->client);
    assert_false(client_has(&f->client, BYTES_LITERAL("\"id\":99")));
    assert_false(host_idle(f->world.host));
    host_close(NULL); /* is allowed */
}

/* ---- a keeper that is behind ----------------------------------------------------------------- */

#define BEHIND_SEGMENTS 60u

struct blocker {
    struct job job;
    int wait_fd;
    bool back;
};

static void blocker_run(struct job *job)
{
    char byte;
    assert_int_equal(read(((struct blocker *)(void *)job)->wait_fd, &byte, 1), 1);
}

static void blocker_done(struct job *job)
{
    ((struct blocker *)(void *)job)->back = true;
}

static void count_names(void *ctx, const char *entry)
{
    unsigned *counts = ctx;
    const char *suffix = strrchr(entry, '.');
    counts[0] += suffix != NULL && strcmp(suffix, ".seg") == 0 ? 1 : 0;
    counts[1] += suffix != NULL && strcmp(suffix, ".ckp") == 0 ? 1 : 0;
}

static unsigned files_of(const struct fixture *f, bool checkpoints)
{
    unsigned counts[2] = {0};
    const struct storage storage = ram_disk_storage(f->disk);
    assert_int_equal(storage.ops->list(storage.ctx, "p000", count_names, counts), RC_OK);
    return counts[checkpoints ? 1 : 0];
}

/* While the keeper does nothing, the log grows to that many segments. */
static void fall_behind(struct fixture *f, unsigned segments)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct blocker blocker = {.job = {blocker_run, blocker_done}, .wait_fd = fds[0]};
    worker_submit(&f->world.server.keeper, 0, &blocker.job);
    for (unsigned n = 1; files_of(f, false) < segments; n++) {
        publish(f, 'a', n);
    }
    assert_int_equal(write(fds[1], "x", 1), 1);
    while (!blocker.back) {
        world_turn(&f->world);
    }
    assert_int_equal(close(fds[0]), 0);
    assert_int_equal(close(fds[1]), 0);
}

/* Retention goes from checkpoint to checkpoint, so if there were none from where the keeper fell
 * behind to where the log ends, nothing could go until as much again is written. */
static void a_keeper_that_was_behind_leaves_what_retention_can_go_by(void **state)
{
    struct fixture *f = *state;
    fall_behind(f, BEHIND_SEGMENTS);
    let_the_keeper_work(f);
    assert_in_range(files_of(f, true), CHECKPOINTS_MAX, CHECKPOINTS_MAX + 1);
    f->world.config.retention_bytes = 40u * 4096u; /* with indexes and checkpoints */
    let_the_keeper_work(f);
    assert_in_range(files_of(f, false), 10, 40);
    must_have(ask(f, "\"type\":\"history\",\"channel\":\"a\",\"limit\":1"), "\"type\":\"history\"");
}

/* One that waits counts as the last one: where the state is larger than a segment not each roll
 * asks for one, whether the keeper is in time or not. */
static void a_large_state_is_not_encoded_at_each_roll(void **state)
{
    struct fixture *f = *state;
    for (unsigned n = 0; n < 40; n++) { /* more than 100 bytes of state each, with such a name */
        must_have(ask(f, "\"type\":\"publish\",\"channel\":\"%0100u\",\"data\":1", n),
                  "\"published\"");
    }
    let_the_keeper_work(f);
    const unsigned checkpoints = files_of(f, true);
    const unsigned segments = files_of(f, false);
    fall_behind(f, segments + 20);
    let_the_keeper_work(f);
    assert_in_range(files_of(f, true) - checkpoints, 1, 4);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(each_channel_that_has_lost_begins_a_new_epoch_and_no_other),
        CASE(what_was_lost_is_not_forgotten_where_the_first_write_fails),
        CASE(all_that_cannot_be_read_is_told_in_either_direction),
        CASE(a_digest_that_takes_bytes_which_are_damaged_is_not_told),
        CASE(reads_that_wait_end_with_the_server),
        CASE(a_keeper_that_was_behind_leaves_what_retention_can_go_by),
        CASE(a_large_state_is_not_encoded_at_each_roll),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
