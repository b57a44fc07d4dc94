/* sdk/journal: the outbox's file, through crashes, full disks and damage.
 *
 * Goal: whatever a crash leaves, what was synced is there, in order and under its numbers; nothing
 * is there that was not written; and the file then works as any other.
 * Method: a workload notes every entry that it adds. Before each call that changes the disk, and
 * for each subset of what is not synced (torture/jdisk.h), a disk is made and the file read from
 * it; what comes out must be what a naive replay makes of the first n entries, with n not below
 * what was synced. */
#include "sdk/journal.h"

#include "base/mem.h"
#include "base/prng.h"
#include "torture/jdisk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define CHANNELS 3u
#define MESSAGES 64u
#define ENTRIES  400u

/* ---- the naive model ----------------------------------------------------------------------- */

enum kind { CHANNEL, PUT, DONE, DROP };

struct entry {
    enum kind kind;
    uint32_t channel;
    uint64_t head;
    uint32_t value; /* what the message says */
};

struct state {
    uint32_t channels;
    uint64_t head[CHANNELS];
    uint32_t count[CHANNELS];
    uint32_t values[CHANNELS][MESSAGES];
};

static void take_first(struct state *s, uint32_t channel)
{
    assert_true(s->count[channel] > 0);
    s->count[channel]--;
    for (uint32_t i = 0; i < s->count[channel]; i++) {
        s->values[channel][i] = s->values[channel][i + 1];
    }
}

static void apply(struct state *s, const struct entry *e)
{
    switch (e->kind) {
    case CHANNEL:
        s->head[e->channel] = e->head;
        s->channels++;
        break;
    case PUT: s->values[e->channel][s->count[e->channel]++] = e->value; break;
    case DONE:
    case DROP:
        while (s->head[e->channel] < e->head) {
            take_first(s, e->channel);
            s->head[e->channel]++;
        }
        if (e->kind == DROP) {
            take_first(s, e->channel);
        }
        break;
    }
}

static bool same(const struct state *a, const struct state *b)
{
    bool equal = a->channels == b->channels;
    for (uint32_t c = 0; c < CHANNELS && equal; c++) {
        equal = a->head[c] == b->head[c] && a->count[c] == b->count[c] &&
                memcmp(a->values[c], b->values[c], a->count[c] * sizeof(uint32_t)) == 0;
    }
    return equal;
}

/* ---- reading ------------------------------------------------------------------------------- */

static enum rc on_channel(void *ctx, uint32_t number, uint64_t head, struct bytes name)
{
    struct state *s = ctx;
    char wanted[24];
    (void)snprintf(wanted, sizeof(wanted), "channel-%u", number);
    assert_true(bytes_equal(name, bytes_of_text(wanted)));
    apply(s, &(struct entry){CHANNEL, number, head, 0});
    return RC_OK;
}

static enum rc on_put(void *ctx, uint32_t channel, const struct wire_item *item)
{
    assert_true(item->data.size >= 4);
    const uint32_t value = bytes_load_u32(item->data.data);
    assert_int_equal(item->is_bytes, value % 2);
    assert_int_equal(item->has_key, value % 3 == 0);
    assert_int_equal(item->key.size, value % 3 == 0 ? value % 7 : 0);
    apply(ctx, &(struct entry){PUT, channel, 0, value});
    return RC_OK;
}

static enum rc on_done(void *ctx, uint32_t channel, uint64_t head)
{
    struct state *s = ctx;
    if (head < s->head[channel] || head - s->head[channel] > s->count[channel]) {
        return RC_BAD;
    }
    apply(ctx, &(struct entry){DONE, channel, head, 0});
    return RC_OK;
}

static enum rc on_drop(void *ctx, uint32_t channel, uint64_t head)
{
    struct state *s = ctx;
    if (head < s->head[channel] || head - s->head[channel] >= s->count[channel]) {
        return RC_BAD;
    }
    apply(ctx, &(struct entry){DROP, channel, head, 0});
    return RC_OK;
}

static const struct journal_ops ops = {on_channel, on_put, on_done, on_drop};

static enum rc open_on(struct storage storage, struct state *ret_state, struct journal **ret)
{
    *ret_state = (struct state){.channels = 0};
    return journal_open(storage, BYTES_LITERAL("p-1"), 1, false, &ops, ret_state, ret);
}

/* ---- a workload ---------------------------------------------------------------------------- */

struct work {
    struct jdisk *disk;
    struct jdisk *after; /* what a crash leaves */
    struct journal *journal;
    struct prng prng;
    struct state now;
    struct entry entries[ENTRIES];
    size_t count;   /* noted */
    size_t written; /* of these, all that a write was begun for */
    size_t synced;  /* of these, those that are on disk for sure */
    uint32_t next_value;
    uint64_t cases;
};

static void note(struct work *w, const struct entry *entry)
{
    assert_true(w->count < ENTRIES);
    w->entries[w->count++] = *entry;
    apply(&w->now, entry);
}

static struct wire_item item_of(uint32_t value, uint8_t *room, size_t size)
{
    bytes_zero(room, size);
    bytes_store_u32(room, value);
    return (struct wire_item){.data = bytes_of(room, 4 + value % (size - 4)),
                              .key = bytes_of("secret-key", value % 3 == 0 ? value % 7 : 0),
                              .has_key = value % 3 == 0,
                              .is_bytes = value % 2 != 0};
}

static void add_some(struct work *w)
{
    uint8_t room[600];
    const uint32_t c = (uint32_t)prng_below(&w->prng, CHANNELS);
    if (c >= w->now.channels) {
        char name[24];
        const uint32_t number = w->now.channels;
        const uint64_t head = 1 + prng_below(&w->prng, 3);
        (void)snprintf(name, sizeof(name), "channel-%u", number);
        note(w, &(struct entry){CHANNEL, number, head, 0});
        assert_int_equal(journal_add_channel(w->journal, number, head, bytes_of_text(name)), RC_OK);
        return;
    }
    const uint64_t kind = prng_below(&w->prng, 8);
    if (kind < 5 && w->now.count[c] < MESSAGES) {
        const uint32_t value = w->next_value++;
        const struct wire_item item = item_of(value, room, sizeof(room));
        note(w, &(struct entry){PUT, c, 0, value});
        assert_int_equal(journal_add_put(w->journal, c, &item), RC_OK);
    } else if (kind < 7) {
        const uint64_t head = w->now.head[c] + prng_below(&w->prng, w->now.count[c] + 1u);
        note(w, &(struct entry){DONE, c, head, 0});
        assert_int_equal(journal_add_done(w->journal, c, head), RC_OK);
    } else if (w->now.count[c] > 0) {
        const uint64_t head = w->now.head[c] + prng_below(&w->prng, w->now.count[c]);
        note(w, &(struct entry){DROP, c, head, 0});
        assert_int_equal(journal_add_drop(w->journal, c, head), RC_OK);
    }
}

static enum rc add_all(void *ctx)
{
    struct work *w = ctx;
    uint8_t room[600];
    for (uint32_t c = 0; c < w->now.channels; c++) {
        char name[24];
        (void)snprintf(name, sizeof(name), "channel-%u", c);
        enum rc rc = journal_add_channel(w->journal, c, w->now.head[c], bytes_of_text(name));
        for (uint32_t i = 0; i < w->now.count[c] && rc == RC_OK; i++) {
            const struct wire_item item = item_of(w->now.values[c][i], room, sizeof(room));
            rc = journal_add_put(w->journal, c, &item);
        }
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

/* One step; whatever fails, fails because the machine is dead. */
static void step(struct work *w, unsigned number)
{
    const uint64_t adds = 1 + prng_below(&w->prng, 4);
    for (uint64_t i = 0; i < adds; i++) {
        add_some(w);
    }
    const bool sync = prng_below(&w->prng, 2) == 0;
    w->written = w->count;
    if (journal_write(w->journal, sync) == RC_OK && sync) {
        w->synced = w->count;
    }
    if (number % 9 == 8 && !journal_failed(w->journal)) {
        if (journal_rewrite(w->journal, add_all, w) == RC_OK) {
            w->synced = w->count;
        }
    }
}

/* ---- crashes ------------------------------------------------------------------------------- */

/* Whether what was read is what the first n entries make, for an n that may be. */
static bool is_possible(const struct work *w, const struct state *read)
{
    struct state s = {.channels = 0};
    for (size_t n = 0; n <= w->written; n++) {
        if (n >= w->synced && same(&s, read)) {
            return true;
        }
        if (n < w->written) {
            apply(&s, &w->entries[n]);
        }
    }
    return false;
}

/* The file as a crash leaves it: it is read, written to, and read again. */
static void judge(struct work *w)
{
    struct state first;
    struct state again;
    struct journal *journal = NULL;
    uint8_t room[64];
    const enum rc rc = open_on(jdisk_storage(w->after), &first, &journal);
    if (rc != RC_OK || !is_possible(w, &first)) {
        print_error("%s; %zu entries, %zu synced\n", rc_name(rc), w->written, w->synced);
        fail();
    }
    if (first.channels > 0 && first.count[0] < MESSAGES) {
        const struct wire_item item = item_of(4, room, sizeof(room));
        assert_int_equal(journal_add_put(journal, 0, &item), RC_OK);
        assert_int_equal(journal_write(journal, true), RC_OK);
        apply(&first, &(struct entry){PUT, 0, 0, 4});
    }
    journal_close(journal);
    assert_int_equal(open_on(jdisk_storage(w->after), &again, &journal), RC_OK);
    assert_true(same(&first, &again));
    journal_close(journal);
}

static void crash_here(void *ctx)
{
    struct work *w = ctx;
    const size_t count = jdisk_choice_count(w->disk, 64, 24);
    for (size_t i = 0; i < count; i++) {
        jdisk_crash(w->disk, jdisk_choice(w->disk, 64, i), w->after);
        judge(w);
        w->cases++;
    }
}

static void whatever_a_crash_leaves_what_was_synced_is_there(void **state)
{
    (void)state;
    uint64_t cases = 0;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct work *w = test_calloc(1, sizeof(*w));
        w->disk = jdisk_open();
        w->after = jdisk_open();
        w->prng.state = seed;
        jdisk_watch(w->disk, crash_here, w);
        struct state empty;
        assert_int_equal(open_on(jdisk_storage(w->disk), &empty, &w->journal), RC_OK);
        for (unsigned i = 0; i < 30; i++) {
            step(w, i);
        }
        crash_here(w);
        journal_close(w->journal);
        jdisk_close(w->disk);
        jdisk_close(w->after);
        cases += w->cases;
        test_free(w);
    }
    assert_true(cases > 5000);
}

/* The calls begin to fail, and the process goes on until it notices. */
static void a_disk_that_dies_takes_nothing_that_was_synced(void **state)
{
    (void)state;
    for (uint64_t k = 1; k < 90; k++) {
        struct work *w = test_calloc(1, sizeof(*w));
        struct state empty;
        w->disk = jdisk_open();
        w->after = jdisk_open();
        w->prng.state = 7;
        assert_int_equal(open_on(jdisk_storage(w->disk), &empty, &w->journal), RC_OK);
        jdisk_die_before(w->disk, k);
        for (unsigned i = 0; i < 30 && !jdisk_is_dead(w->disk); i++) {
            step(w, i);
        }
        crash_here(w);
        journal_close(w->journal);
        jdisk_close(w->disk);
        jdisk_close(w->after);
        test_free(w);
    }
}

/* ---- calls that fail once ------------------------------------------------------------------ */

struct moody {
    struct storage real;
    const char *call; /* the one that fails */
    unsigned countdown;
};

static bool fails(struct moody *m, const char *call)
{
    if (strcmp(m->call, call) != 0 || --m->countdown > 0) {
        return false;
    }
    m->call = "";
    return true;
}

#define ONCE(m, which, expression) (fails(m, which) ? RC_NOSPACE : (expression))

static enum rc moody_open(void *ctx, const char *name, enum storage_open_mode mode,
                          struct storage_file **ret_file)
{
    struct moody *m = ctx;
    return ONCE(m, "open", m->real.ops->open(m->real.ctx, name, mode, ret_file));
}
static void moody_close(void *ctx, struct storage_file *file)
{
    struct moody *m = ctx;
    m->real.ops->close(m->real.ctx, file);
}
static enum rc moody_size(void *ctx, struct storage_file *file, uint64_t *ret_size)
{
    struct moody *m = ctx;
    return ONCE(m, "size", m->real.ops->size(m->real.ctx, file, ret_size));
}
static enum rc moody_read(void *ctx, struct storage_file *file, void *to, size_t size, uint64_t at,
                          size_t *ret_size)
{
    struct moody *m = ctx;
    return ONCE(m, "read", m->real.ops->read(m->real.ctx, file, to, size, at, ret_size));
}
static enum rc moody_write(void *ctx, struct storage_file *file, struct bytes bytes, uint64_t at)
{
    struct moody *m = ctx;
    if (!fails(m, "write")) {
        return m->real.ops->write(m->real.ctx, file, bytes, at);
    }
    const enum rc rc =
        m->real.ops->write(m->real.ctx, file, bytes_of(bytes.data, bytes.size / 2), at);
    return rc == RC_OK ? RC_NOSPACE : rc; /* half of it */
}
static enum rc moody_sync(void *ctx, struct storage_file *file)
{
    struct moody *m = ctx;
    return ONCE(m, "sync", m->real.ops->sync_data(m->real.ctx, file));
}
static enum rc moody_truncate(void *ctx, struct storage_file *file, uint64_t size)
{
    struct moody *m = ctx;
    return ONCE(m, "truncate", m->real.ops->truncate(m->real.ctx, file, size));
}
static enum rc moody_rename(void *ctx, const char *from, const char *to)
{
    struct moody *m = ctx;
    return ONCE(m, "rename", m->real.ops->rename(m->real.ctx, from, to));
}
static enum rc moody_remove(void *ctx, const char *name)
{
    struct moody *m = ctx;
    return ONCE(m, "remove", m->real.ops->remove(m->real.ctx, name));
}
static enum rc moody_sync_dir(void *ctx, const char *name)
{
    struct moody *m = ctx;
    return ONCE(m, "sync_dir", m->real.ops->sync_dir(m->real.ctx, name));
}

static const struct storage_ops moody_ops = {.open = moody_open,
                                             .close = moody_close,
                                             .size = moody_size,
                                             .read = moody_read,
                                             .write = moody_write,
                                             .sync_data = moody_sync,
                                             .truncate = moody_truncate,
                                             .rename = moody_rename,
                                             .remove = moody_remove,
                                             .sync_dir = moody_sync_dir};

static void open_moody(struct work *w, struct moody *m)
{
    struct state empty;
    *w = (struct work){.disk = jdisk_open(), .prng = {11}};
    jdisk_plain(w->disk);
    *m = (struct moody){.real = jdisk_storage(w->disk), .call = ""};
    assert_int_equal(open_on((struct storage){&moody_ops, m}, &empty, &w->journal), RC_OK);
    note(w, &(struct entry){CHANNEL, 0, 1, 0});
    assert_int_equal(journal_add_channel(w->journal, 0, 1, BYTES_LITERAL("channel-0")), RC_OK);
    assert_int_equal(journal_write(w->journal, true), RC_OK);
}

static enum rc put(struct work *w, uint32_t value)
{
    uint8_t room[64];
    const struct wire_item item = item_of(value, room, sizeof(room));
    assert_int_equal(journal_add_put(w->journal, 0, &item), RC_OK);
    const enum rc rc = journal_write(w->journal, true);
    if (rc == RC_OK) {
        note(w, &(struct entry){PUT, 0, 0, value});
    }
    return rc;
}

/* What is on the disk is what was told to be there. */
static void close_moody(struct work *w)
{
    struct state read;
    journal_close(w->journal);
    assert_int_equal(open_on(jdisk_storage(w->disk), &read, &w->journal), RC_OK);
    assert_true(same(&read, &w->now));
    journal_close(w->journal);
    jdisk_close(w->disk);
}

static void a_write_that_fails_is_taken_back_and_the_next_one_works(void **state)
{
    (void)state;
    struct work w;
    struct moody m;
    open_moody(&w, &m);
    assert_int_equal(put(&w, 1), RC_OK);
    m.call = "write";
    m.countdown = 1;
    assert_int_equal(put(&w, 2), RC_NOSPACE);
    assert_false(journal_failed(w.journal));
    assert_int_equal(put(&w, 3), RC_OK);
    close_moody(&w);
}

static void a_sync_that_fails_is_the_end_of_the_file(void **state)
{
    (void)state;
    struct work w;
    struct moody m;
    open_moody(&w, &m);
    m.call = "sync";
    m.countdown = 1;
    assert_int_equal(put(&w, 1), RC_NOSPACE);
    assert_true(journal_failed(w.journal));
    assert_int_equal(put(&w, 2), RC_CLOSED);
    note(&w, &(struct entry){PUT, 0, 0, 1}); /* as it happens, here it was written */
    close_moody(&w);
}

static void what_cannot_be_taken_back_is_the_end_too(void **state)
{
    (void)state;
    struct work w;
    struct moody m;
    open_moody(&w, &m);
    uint8_t room[64];
    const struct wire_item item = item_of(1, room, sizeof(room));
    assert_int_equal(journal_add_put(w.journal, 0, &item), RC_OK);
    jdisk_die_before(w.disk, 1);
    assert_int_not_equal(journal_write(w.journal, true), RC_OK);
    assert_true(journal_failed(w.journal));
    journal_close(w.journal);
    jdisk_close(w.disk);
}

static void a_rewrite_that_fails_leaves_the_file_as_it_was(void **state)
{
    (void)state;
    static const char *const calls[] = {"remove", "open", "write", "sync", "rename"};
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        struct work w;
        struct moody m;
        open_moody(&w, &m);
        assert_int_equal(put(&w, 1), RC_OK);
        m.call = calls[i];
        m.countdown = 1;
        assert_int_equal(journal_rewrite(w.journal, add_all, &w), RC_NOSPACE);
        assert_false(journal_failed(w.journal));
        assert_int_equal(put(&w, 2), RC_OK);
        assert_int_equal(journal_rewrite(w.journal, add_all, &w), RC_OK);
        assert_int_equal(put(&w, 3), RC_OK);
        close_moody(&w);
    }
}

static void a_name_that_may_come_back_is_the_end(void **state)
{
    (void)state;
    struct work w;
    struct moody m;
    open_moody(&w, &m);
    m.call = "sync_dir";
    m.countdown = 1;
    assert_int_equal(journal_rewrite(w.journal, add_all, &w), RC_IO);
    assert_true(journal_failed(w.journal));
    close_moody(&w);
}

static void an_opening_that_fails_says_so(void **state)
{
    (void)state;
    static const char *const calls[] = {"open", "size", "read", "sync", "sync_dir"};
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        struct work w;
        struct moody m;
        struct state read;
        open_moody(&w, &m);
        assert_int_equal(put(&w, 1), RC_OK);
        journal_close(w.journal);
        m.call = calls[i];
        m.countdown = 1;
        struct journal *journal = NULL;
        assert_int_equal(open_on((struct storage){&moody_ops, &m}, &read, &journal), RC_NOSPACE);
        assert_int_equal(open_on((struct storage){&moody_ops, &m}, &read, &w.journal), RC_OK);
        close_moody(&w);
    }
}

/* ---- damage -------------------------------------------------------------------------------- */

/* Every bit of the file flipped, one at a time: what was synced before another sync is damage by
 * name; the end may be a torn tail. Never anything else than a prefix. */
static void a_flipped_bit_is_damage_or_a_torn_tail_and_never_a_wrong_message(void **state)
{
    (void)state;
    struct work w;
    struct moody m;
    open_moody(&w, &m);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(put(&w, 100 + i), RC_OK);
    }
    w.written = w.count;
    journal_close(w.journal);
    size_t size = 0;
    uint8_t *bytes = jdisk_bytes(w.disk, "outbox", &size);
    uint8_t *copy = test_malloc(size);
    bytes_copy(copy, bytes, size);
    unsigned corrupt = 0;
    unsigned torn = 0;
    for (size_t bit = 0; bit < 8 * size; bit++) {
        struct state read;
        struct journal *journal = NULL;
        jdisk_resize(w.disk, "outbox", size);
        bytes = jdisk_bytes(w.disk, "outbox", &size);
        bytes_copy(bytes, copy, size);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        const enum rc rc = open_on(jdisk_storage(w.disk), &read, &journal);
        corrupt += rc == RC_CORRUPT ? 1 : 0;
        torn += rc == RC_OK ? 1 : 0;
        if (rc != RC_CORRUPT) {
            assert_int_equal(rc, RC_OK);
            assert_true(is_possible(&w, &read)); /* with `synced` 0 any prefix is */
            journal_close(journal);
        }
    }
    assert_true(corrupt > 4 * size && torn > 0);
    test_free(copy);
    jdisk_close(w.disk);
}

static void a_file_belongs_to_its_producer(void **state)
{
    (void)state;
    struct jdisk *disk = jdisk_open();
    struct state read = {.channels = 0};
    struct journal *journal = NULL;
    const struct storage storage = jdisk_storage(disk);
    assert_int_equal(journal_open(storage, BYTES_LITERAL("me"), 3, true, &ops, &read, &journal),
                     RC_OK);
    journal_close(journal);
    assert_int_equal(journal_open(storage, BYTES_LITERAL("other"), 3, true, &ops, &read, &journal),
                     RC_USAGE);
    assert_int_equal(journal_open(storage, BYTES_LITERAL("me"), 4, true, &ops, &read, &journal),
                     RC_USAGE);
    assert_int_equal(journal_open(storage, BYTES_LITERAL("drawn"), 1, false, &ops, &read, &journal),
                     RC_OK);
    assert_true(bytes_equal(journal_producer(journal), BYTES_LITERAL("me")));
    assert_int_equal(journal_epoch(journal), 3);
    journal_close(journal);
    jdisk_close(disk);
}

static void memory_that_runs_out_is_told_and_loses_nothing(void **state)
{
    (void)state;
    for (uint64_t k = 1; k < 12; k++) {
        struct work w;
        struct moody m;
        struct state read;
        open_moody(&w, &m);
        assert_int_equal(put(&w, 1), RC_OK);
        journal_close(w.journal);
        struct journal *journal = NULL;
        mem_fault_set(k, 0);
        const enum rc rc = open_on(jdisk_storage(w.disk), &read, &journal);
        mem_fault_set(0, 0);
        assert_true(rc == RC_OK || rc == RC_NOMEM);
        journal_close(journal);
        assert_int_equal(open_on(jdisk_storage(w.disk), &read, &w.journal), RC_OK);
        close_moody(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_a_crash_leaves_what_was_synced_is_there),
        cmocka_unit_test(a_disk_that_dies_takes_nothing_that_was_synced),
        cmocka_unit_test(a_write_that_fails_is_taken_back_and_the_next_one_works),
        cmocka_unit_test(a_sync_that_fails_is_the_end_of_the_file),
        cmocka_unit_test(what_cannot_be_taken_back_is_the_end_too),
        cmocka_unit_test(a_rewrite_that_fails_leaves_the_file_as_it_was),
        cmocka_unit_test(a_name_that_may_come_back_is_the_end),
        cmocka_unit_test(an_opening_that_fails_says_so),
        cmocka_unit_test(a_flipped_bit_is_damage_or_a_torn_tail_and_never_a_wrong_message),
        cmocka_unit_test(a_file_belongs_to_its_producer),
        cmocka_unit_test(memory_that_runs_out_is_told_and_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
