/* Every k-th call fails while a log starts, is repaired and is verified.
 *
 * Goal: a start, a repair or a verify that cannot go on says why, by the name of what failed, and
 * leaves nothing behind that the next one does not put right: without the failure it keeps just
 * what it would have kept at once. Method: a log with sealed segments, checkpoints and a tail;
 * copies of it that are whole, lack indexes, or are damaged; and one run for each storage call,
 * allocation and change, that failing once, ever after, or being the last before the machine dies.
 *
 *   repair [--processes N]
 *   repair --only WORKLOAD:CALL:once|ever:K */
#include "base/mem.h"
#include "log/files.h"
#include "torture/loop.h"
#include "unit/log/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum workload {
    START,   /* of a log that died: a torn tail, rubbish in the folder */
    REINDEX, /* without an index below the newest checkpoint: it is built again */
    REPAIR,  /* of damage in a sealed segment, in a replayed one, and of a missing segment */
    VERIFY,  /* of the same */
    WORKLOADS,
};
static const char *const workload_names[] = {"start", "reindex", "repair", "verify"};

static const struct call {
    const char *name;
    enum sim_call kind;
    enum rc rc;
} calls[] = {
    {"open", SIM_OPEN, RC_IO},
    {"read", SIM_READ, RC_IO},
    {"write", SIM_WRITE, RC_IO},
    {"write-no-space", SIM_WRITE, RC_NOSPACE},
    {"fdatasync", SIM_SYNC_DATA, RC_IO},
    {"rename", SIM_RENAME, RC_IO},
    {"unlink", SIM_REMOVE, RC_IO},
    {"mkdir", SIM_MAKE_DIR, RC_DENIED},
    {"fsync-folder", SIM_SYNC_DIR, RC_IO},
    {"readdir", SIM_LIST, RC_IO},
    {"malloc", SIM_CALL_COUNT, RC_NOMEM},
    {"death", SIM_CALL_COUNT, RC_IO},
};
#define CALLS  ((unsigned)(sizeof(calls) / sizeof(calls[0])))
#define MALLOC (CALLS - 2)
#define DEATH  (CALLS - 1)

/* What a start keeps where nothing fails. */
struct kept {
    uint64_t pos;
    uint64_t hash;
    uint64_t holes;
    uint64_t unread; /* messages that reads cannot give */
    struct log_verify_result verify;
};

static struct sim_disk *bases[WORKLOADS];
static struct world model; /* of what was written, the log closed */
static struct kept wanted[WORKLOADS];

/* ---- the damaged logs ------------------------------------------------------------------------ */

static struct log_name file(uint64_t number, const char *suffix)
{
    return log_name_of(WORLD_FOLDER, number, suffix);
}

static void flip_middle(struct sim_disk *disk, uint64_t number)
{
    TORTURE_CHECK(sim_disk_flip(disk, file(number, ".seg").text, 1000, 0x10));
}

static void base_make(void)
{
    struct sim_disk *disk = sim_disk_open(3);
    world_init(&model, sim_disk_storage(disk), 3);
    TORTURE_CHECK(world_open(&model, false) == RC_OK);
    for (int i = 0; i < 40; i++) {
        TORTURE_CHECK(world_publish(&model, 1 + (uint32_t)prng_below(&model.prng, 6),
                                    LOG_SYNC_DATA) == RC_OK);
        if (i < 30) {
            TORTURE_CHECK(world_chores(&model) == RC_OK);
        }
    }
    TORTURE_CHECK(model.checkpoint_count > 1);
    const uint64_t last = model.batch.place.segment;
    const uint64_t end_at = model.batch.place.at + model.batch.bytes.size;
    world_close(&model);
    for (unsigned w = 0; w < WORKLOADS; w++) {
        bases[w] = sim_disk_copy(disk, 5);
    }
    TORTURE_CHECK(sim_disk_flip(bases[START], file(last, ".seg").text, end_at - 20, 0xff));
    sim_disk_put(bases[START], file(last + 1, ".seg.tmp").text, BYTES_LITERAL("rubbish"));
    TORTURE_CHECK(sim_disk_delete(bases[REINDEX], file(2, ".idx").text));
    for (unsigned w = REPAIR; w <= VERIFY; w++) {
        flip_middle(bases[w], 2);
        flip_middle(bases[w], last - 1);
        TORTURE_CHECK(sim_disk_delete(bases[w], file(4, ".seg").text));
        TORTURE_CHECK(sim_disk_flip(bases[w], file(3, ".idx").text, 5000, 1));
    }
    sim_disk_close(disk);
}

/* ---- one run --------------------------------------------------------------------------------- */

static void world_begin(struct world *world, struct sim_disk *disk, enum workload workload)
{
    *world = model;
    world->storage = sim_disk_storage(disk);
    world->batch = (struct log_batch){0};
    world->checkpoint = (struct buf){0};
    world->damage_count = 0;
    world->lossy = workload == REPAIR;
    world->records = calloc(world->record_capacity, sizeof(*world->records));
    TORTURE_CHECK(world->records != NULL);
    bytes_copy(world->records, model.records, model.record_count * sizeof(*model.records));
}

static void ignore(void *ctx, const struct log_damage *damage)
{
    (void)ctx;
    TORTURE_CHECK(damage->file != NULL);
    TORTURE_CHECK(damage->what != NULL);
}

static enum rc work(enum workload workload, struct world *world, struct kept *ret_kept)
{
    struct kept kept = {0};
    enum rc rc;
    if (workload == VERIFY) {
        rc = file_log_verify(&world->storage, WORLD_FOLDER, ignore, NULL, NULL, &kept.verify);
    } else {
        rc = world_open(world, workload == REPAIR);
        kept.pos = world->pos;
        kept.hash = world->hash;
        kept.holes = world->hole_count;
    }
    if (rc == RC_OK) {
        *ret_kept = kept;
    }
    return rc;
}

/* Without any failure: the same is kept as if there had been none, and the next start agrees. */
static void kept_check(enum workload workload, struct sim_disk *disk, struct kept *ret_kept)
{
    struct world world;
    world_begin(&world, disk, workload);
    TORTURE_CHECK(work(workload, &world, ret_kept) == RC_OK);
    if (workload != VERIFY) {
        ret_kept->unread = world_check_reads(&world, workload == REPAIR);
        world_close(&world);
        world_forget_damages(&world);
        TORTURE_CHECK(world_open(&world, false) == RC_OK);
        TORTURE_CHECK(world.pos == ret_kept->pos);
        TORTURE_CHECK(world.hash == ret_kept->hash);
        TORTURE_CHECK(world_publish(&world, 3, LOG_SYNC_DATA) == RC_OK);
        TORTURE_CHECK(world_chores(&world) == RC_OK);
        TORTURE_CHECK(world_check_reads(&world, workload == REPAIR) == ret_kept->unread);
    }
    world_deinit(&world);
}

static void arm(struct sim_disk *disk, unsigned call, bool forever, uint64_t k)
{
    if (call == MALLOC) {
        mem_fault_set(k, forever);
    } else if (call == DEATH) {
        sim_disk_die_at(disk, k);
    } else {
        sim_disk_fail(disk, calls[call].kind, k, forever, calls[call].rc);
    }
}

static bool was_hit(const struct sim_disk *disk, unsigned call, uint64_t k)
{
    return call == MALLOC  ? mem_fault_count() >= k
           : call == DEATH ? sim_disk_is_dead(disk)
                           : sim_disk_call_count(disk, calls[call].kind) >= k;
}

static unsigned counter_of(enum workload workload, unsigned call, bool forever)
{
    return (workload * CALLS + call) * 2 + forever;
}

/* False: there is no such call. */
static bool run_one(enum workload workload, unsigned call, bool forever, uint64_t k)
{
    torture_case("--only %s:%s:%s:%llu", workload_names[workload], calls[call].name,
                 forever ? "ever" : "once", (unsigned long long)k);
    struct sim_disk *disk = sim_disk_copy(bases[workload], k * 2 + forever);
    struct world world;
    world_begin(&world, disk, workload);
    world.no_state_check = call == MALLOC; /* the judge allocates, too */
    arm(disk, call, forever, k);
    struct kept kept = {0};
    const enum rc rc = work(workload, &world, &kept);
    const bool hit = was_hit(disk, call, k);
    mem_fault_set(0, 0);
    if (rc != RC_OK && (rc != calls[call].rc || !hit)) {
        torture_fail("%s failed with %s, and %s was told", calls[call].name,
                     rc_name(calls[call].rc), rc_name(rc));
    }
    world_deinit(&world); /* as if the process had ended */
    for (unsigned kind = 0; kind < SIM_CALL_COUNT; kind++) {
        sim_disk_fail(disk, (enum sim_call)kind, 0, false, RC_OK);
    }
    sim_disk_restart(disk, SIM_LOSE_SOME);
    kept_check(workload, disk, &kept);
    const struct kept *right = &wanted[workload];
    TORTURE_CHECK(kept.pos == right->pos);
    TORTURE_CHECK(kept.hash == right->hash);
    TORTURE_CHECK(kept.holes == right->holes);
    TORTURE_CHECK(kept.unread == right->unread);
    TORTURE_CHECK(kept.verify.records == right->verify.records);
    TORTURE_CHECK(kept.verify.damages == right->verify.damages);
    sim_disk_close(disk);
    torture_add(counter_of(workload, call, forever), hit);
    return hit;
}

static void job_run(unsigned job)
{
    const enum workload workload = (enum workload)(job % WORKLOADS);
    const bool forever = job / WORKLOADS % 2 == 1;
    const unsigned call = job / WORKLOADS / 2;
    for (uint64_t k = 1; run_one(workload, call, forever, k); k++) {
    }
}

/* ---- the program ----------------------------------------------------------------------------- */

static void print_totals(void)
{
    uint64_t runs = 0;
    for (unsigned w = 0; w < WORKLOADS; w++) {
        (void)printf("repair %s:", workload_names[w]);
        for (unsigned c = 0; c < CALLS; c++) {
            const uint64_t once = torture_total(counter_of((enum workload)w, c, false));
            runs += once + torture_total(counter_of((enum workload)w, c, true));
            (void)printf(" %llu %s,", (unsigned long long)once, calls[c].name);
        }
        (void)printf(" each once and ever after, 0 violations\n");
    }
    (void)printf("repair: %llu runs, %.1f s\n", (unsigned long long)runs, torture_seconds());
}

static bool run_only(const char *text)
{
    for (unsigned w = 0; w < WORKLOADS; w++) {
        for (unsigned c = 0; c < CALLS; c++) {
            for (unsigned forever = 0; forever < 2; forever++) {
                char head[80];
                const int size = snprintf(head, sizeof(head), "%s:%s:%s:", workload_names[w],
                                          calls[c].name, forever ? "ever" : "once");
                if (strncmp(head, text, (size_t)size) == 0) {
                    const bool hit =
                        run_one((enum workload)w, c, forever, torture_number(text + size));
                    (void)printf("%s\n", hit ? "0 violations" : "there is no such call");
                    return true;
                }
            }
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    unsigned processes = 2;
    torture_init("repair");
    base_make();
    for (unsigned w = 0; w < WORKLOADS; w++) {
        struct sim_disk *disk = sim_disk_copy(bases[w], 1);
        kept_check((enum workload)w, disk, &wanted[w]);
        sim_disk_close(disk);
    }
    TORTURE_CHECK(wanted[REPAIR].holes > 1);
    TORTURE_CHECK(wanted[VERIFY].verify.damages > 2);
    for (int i = 1; i < argc; i++) {
        if (i + 1 < argc && strcmp(argv[i], "--processes") == 0) {
            processes = (unsigned)torture_number(argv[++i]);
        } else if (i + 1 < argc && strcmp(argv[i], "--only") == 0 && run_only(argv[++i])) {
            return 0;
        } else {
            (void)fprintf(stderr, "usage: repair [--processes N] [--only CASE]\n");
            return 2;
        }
    }
    const bool good = torture_run(CALLS * WORKLOADS * 2, processes, job_run);
    if (good) {
        print_totals();
    }
    return good ? 0 : 1;
}
