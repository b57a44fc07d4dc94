/* The machine dies at every storage call of the log, and again while it recovers, three deep.
 *
 * Goal: whatever a crash leaves on disk, the log starts; all that was acknowledged is there,
 * nothing is there that was not written, the state is the naive model's; recovering again changes
 * nothing; and the log then works as any other. Method: a workload runs on a disk with a journal
 * (jdisk.h). Before each call that changes something, and at the end, everything stands still, and
 * each subset of what is not synced (all, if they are few; else a fixed number, by number) is made
 * a disk of its own that the real recovery starts on. unit/log/world.c judges every record and
 * state.
 *
 *   crash [--processes N] [--all]        all of it; --all: longer workloads, more subsets
 *   crash --only WORKLOAD:POINT:CHOICE[/K:CHOICE]...   one case: a crash before change POINT of the
 *                                        workload, then one before change K of its recovery, …  */
#include "torture/jdisk.h"
#include "torture/loop.h"
#include "unit/log/world.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 3u

enum counter {
    COUNT_POINTS, /* of each workload from here on */
    COUNT_CASES,
    COUNT_STATES,
    COUNT_TAILS,
    COUNT_DEPTH, /* and DEPTH_MAX more */
    COUNTERS = COUNT_DEPTH + DEPTH_MAX + 1,
};

/* Number of a crash before a change, and of what of the unsynced it left. */
struct place {
    uint64_t point;
    uint64_t choice;
};

struct workload {
    const char *name;
    enum log_sync sync;
    int batches;
    uint32_t batch_max;
    uint32_t body_max;
    uint64_t retain; /* bytes that are kept */
    unsigned depth;  /* crashes of recovery */
    size_t all_max;  /* subsets: all if at most so many … */
    size_t some;     /* … else so many */
    bool long_only;
};

/* The smallest segment holds 4 KiB, so a workload of some 200 calls rolls, seals, prepares, makes
 * checkpoints and removes segments several times. */
static const struct workload workloads[] = {
    {"synced", LOG_SYNC_DATA, 34, 9, 300, 20000, 0, 1024, 1400, false},
    {"unsynced", LOG_SYNC_NONE, 34, 9, 200, 20000, 0, 256, 400, false},
    {"large", LOG_SYNC_DATA, 24, 4, 3000, 30000, 0, 1024, 800, false},
    {"recovery", LOG_SYNC_DATA, 16, 8, 400, 12000, 3, 64, 64, false},
    {"recovery-unsynced", LOG_SYNC_NONE, 12, 8, 400, 12000, 3, 16, 16, false},
    {"long", LOG_SYNC_DATA, 90, 9, 300, 30000, 0, 4096, 8000, true},
    {"long-recovery", LOG_SYNC_DATA, 34, 9, 300, 20000, 3, 1024, 1000, true},
};
#define WORKLOADS (sizeof(workloads) / sizeof(workloads[0]))
#define SLICES    8u

static struct {
    unsigned workload;
    unsigned slice;
    bool all;
    bool only;
    unsigned only_depth; /* recoveries that crash in --only */
    struct place only_path[DEPTH_MAX + 1];
} run;

/* The workload that is under way, and where it stands. */
struct scene {
    const struct workload *workload;
    struct jdisk *disk;
    struct world world;
    uint64_t point;
};

static void count(enum counter counter, uint64_t more)
{
    torture_add(run.workload * COUNTERS + counter, more);
}

/* ---- one state ------------------------------------------------------------------------------- */

/* A disk that a crash left, and how it came about. */
struct state {
    struct jdisk *disk;
    bool whole; /* nothing was lost, as after kill -9 */
    unsigned depth;
    struct place path[DEPTH_MAX + 1];
};

static void name_case(const struct state *state)
{
    char path[160] = "";
    size_t size = 0;
    for (unsigned i = 0; i <= state->depth; i++) {
        size += (size_t)snprintf(path + size, sizeof(path) - size, "%s%llu:%llu", i > 0 ? "/" : "",
                                 (unsigned long long)state->path[i].point,
                                 (unsigned long long)state->path[i].choice);
    }
    torture_case("--only %s:%s", workloads[run.workload].name, path);
}

/* The model as it is at this point of the workload, for a world of its own. */
static void world_copy(const struct scene *scene, struct jdisk *disk, struct world *world)
{
    *world = scene->world;
    world->storage = jdisk_storage(disk);
    world->log = NULL;
    world->batch = (struct log_batch){0};
    world->checkpoint = (struct buf){0};
    world->checkpoint_segment = 0;
    world->damage_count = 0;
    world->records = malloc(world->record_capacity * sizeof(*world->records) + 1);
    TORTURE_CHECK(world->records != NULL);
    bytes_copy(world->records, scene->world.records, world->record_count * sizeof(*world->records));
}

static void damages_check(const struct world *world)
{
    for (size_t i = 0; i < world->damage_count; i++) {
        /* A torn tail is all that a crash may leave. */
        const struct world_damage *damage = &world->damages[i];
        if (!damage->torn_tail && !damage->repaired) {
            torture_fail("%s at %llu: %s", damage->file, (unsigned long long)damage->at,
                         damage->what);
        }
    }
    count(COUNT_TAILS, world->damage_count > 0);
}

/* The survivor works as any log: it takes batches, rolls, and has them all at the next start. */
static void work_check(struct world *world, struct jdisk *disk, struct jdisk *after)
{
    for (int i = 0; i < 2; i++) {
        TORTURE_CHECK(world_publish(world, 4, LOG_SYNC_DATA) == RC_OK);
        TORTURE_CHECK(world_chores(world) == RC_OK);
    }
    const uint64_t pos = world->pos;
    world_close(world);
    jdisk_crash(disk, (struct jdisk_choice){0}, after);
    world->storage = jdisk_storage(after);
    world_forget_damages(world);
    TORTURE_CHECK(world_open(world, false) == RC_OK);
    TORTURE_CHECK(world->pos == pos);
    TORTURE_CHECK(world->damage_count == 0);
    TORTURE_CHECK(world_check_reads(world, false) == 0);
}

/* What must be there: what was acknowledged with a sync, or, if only the process died, at all. */
static uint64_t floor_of(const struct scene *scene, bool whole)
{
    return whole ? scene->world.written_pos : scene->world.acked_pos;
}

/* Recovers from `state`, which is used up. Returns the changes that recovery makes. */
static uint64_t judge(const struct scene *scene, struct state *state)
{
    static struct jdisk *next;
    static struct jdisk *after;
    next = next == NULL ? jdisk_open() : next;
    after = after == NULL ? jdisk_open() : after;
    struct world world;
    world_copy(scene, state->disk, &world);
    const uint64_t floor = floor_of(scene, state->whole);
    TORTURE_CHECK(world_open(&world, false) == RC_OK);
    const uint64_t changes = jdisk_changes(state->disk);
    TORTURE_CHECK(world.pos >= floor);
    damages_check(&world);
    TORTURE_CHECK(world_check_reads(&world, false) == 0);
    const uint64_t pos = world.pos;
    const uint64_t hash = world.hash;
    world_close(&world);
    /* What recovery has shown stays, and nothing is left to do: power goes again. */
    jdisk_crash(state->disk, (struct jdisk_choice){0}, next);
    world.storage = jdisk_storage(next);
    world_forget_damages(&world);
    TORTURE_CHECK(world_open(&world, false) == RC_OK);
    TORTURE_CHECK(world.pos == pos);
    TORTURE_CHECK(world.hash == hash);
    TORTURE_CHECK(world.damage_count == 0);
    work_check(&world, next, after);
    world_deinit(&world);
    return changes;
}

/* ---- crashes of recovery --------------------------------------------------------------------- */

#define STACK_MAX 4096u

static struct state stack[STACK_MAX];
static size_t stack_size;

static bool wanted(const struct state *state)
{
    const struct place *here = &state->path[state->depth];
    const struct place *only = &run.only_path[state->depth];
    return !run.only || (state->depth <= run.only_depth && here->point == only->point &&
                         here->choice == only->choice);
}

/* Adds what a crash with that choice leaves of `disk`, if it is a state not seen before. */
static void push(const struct scene *scene, const struct state *from, const struct jdisk *disk,
                 unsigned depth, struct place place)
{
    ASSERT(stack_size < STACK_MAX);
    struct state *state = &stack[stack_size];
    state->disk = state->disk == NULL ? jdisk_open() : state->disk;
    state->depth = depth;
    for (unsigned i = 0; i < depth; i++) {
        state->path[i] = from->path[i];
    }
    state->path[depth] = place;
    if (!wanted(state)) {
        return;
    }
    count(COUNT_CASES, 1);
    const struct workload *w = scene->workload;
    const bool killed = place.choice == jdisk_choice_count(disk, w->all_max, w->some);
    if (killed) {
        jdisk_copy(disk, state->disk);
        state->whole = depth == 0 || from->whole;
    } else {
        const struct jdisk_choice choice = jdisk_choice(disk, w->all_max, (size_t)place.choice);
        jdisk_crash(disk, choice, state->disk);
        state->whole = jdisk_choice_is_whole(disk, choice) && (depth == 0 || from->whole);
    }
    const uint64_t key[] = {jdisk_hash(state->disk), floor_of(scene, state->whole),
                            scene->world.earliest[1], depth * 2 + killed, run.workload};
    if (torture_first_time(hash_bytes(bytes_of(key, sizeof(key)), 0)) || run.only) {
        stack_size++;
        count(COUNT_STATES, 1);
        count(COUNT_DEPTH + depth, 1);
    }
}

/* The recovery from `start` dies before its change number k, for every k; each time all that may
 * be left is pushed. */
static void crash_recovery(const struct scene *scene, const struct state *start, uint64_t changes)
{
    struct jdisk *disk = jdisk_open();
    for (uint64_t k = 1; k <= changes + 1; k++) {
        jdisk_copy(start->disk, disk);
        jdisk_die_before(disk, k);
        struct world world;
        world_copy(scene, disk, &world);
        const enum rc rc = world_open(&world, false);
        TORTURE_CHECK(k <= changes ? rc != RC_OK : rc == RC_OK);
        world_deinit(&world);
        const size_t choices =
            jdisk_choice_count(disk, scene->workload->all_max, scene->workload->some);
        for (size_t i = 0; i <= choices; i++) { /* the last one: only the process dies */
            push(scene, start, disk, start->depth + 1, (struct place){k, i});
        }
    }
    jdisk_close(disk);
}

static void judge_all(const struct scene *scene)
{
    struct state state = {.disk = jdisk_open()};
    struct jdisk *copy = jdisk_open();
    while (stack_size > 0) {
        const struct state *top = &stack[--stack_size];
        jdisk_copy(top->disk, state.disk);
        state.depth = top->depth;
        state.whole = top->whole;
        bytes_copy(state.path, top->path, sizeof(state.path));
        name_case(&state);
        struct state used = state;
        used.disk = copy;
        jdisk_copy(state.disk, copy);
        const uint64_t changes = judge(scene, &used);
        if (state.depth < scene->workload->depth) {
            crash_recovery(scene, &state, changes);
        }
    }
    jdisk_close(copy);
    jdisk_close(state.disk);
}

/* ---- the workload ---------------------------------------------------------------------------- */

static void before_change(void *ctx)
{
    struct scene *scene = ctx;
    scene->point++;
    if ((run.only ? scene->point != run.only_path[0].point : scene->point % SLICES != run.slice)) {
        return;
    }
    count(COUNT_POINTS, 1);
    const struct workload *w = scene->workload;
    const size_t choices = jdisk_choice_count(scene->disk, w->all_max, w->some);
    for (size_t i = 0; i <= choices; i++) { /* as below */
        push(scene, NULL, scene->disk, 0, (struct place){scene->point, i});
        judge_all(scene);
    }
}

static void workload_run(struct scene *scene)
{
    const struct workload *w = scene->workload;
    struct world *world = &scene->world;
    TORTURE_CHECK(world_open(world, false) == RC_OK);
    for (int i = 0; i < w->batches; i++) {
        const uint32_t records = 1 + (uint32_t)prng_below(&world->prng, w->batch_max);
        TORTURE_CHECK(world_publish(world, records, w->sync) == RC_OK);
        if (i % 3 == 0) {
            TORTURE_CHECK(world_chores(world) == RC_OK);
        }
        if (i % 7 == 6) {
            TORTURE_CHECK(world_retain(world, w->retain) == RC_OK);
        }
        if (i == w->batches / 2) { /* a start in between */
            world_close(world);
            TORTURE_CHECK(world_open(world, false) == RC_OK);
        }
    }
    before_change(scene); /* the end */
}

static void job_run(unsigned job)
{
    run.workload = job % WORKLOADS;
    run.slice = job / WORKLOADS;
    struct scene scene = {.workload = &workloads[run.workload], .disk = jdisk_open()};
    if (scene.workload->long_only && !run.all && !run.only) {
        return;
    }
    torture_case("--only %s:0:0", scene.workload->name);
    world_init(&scene.world, jdisk_storage(scene.disk), 77);
    scene.world.body_max = scene.workload->body_max;
    jdisk_watch(scene.disk, before_change, &scene);
    workload_run(&scene);
    struct file_log_stats stats;
    file_log_stats(scene.world.log, &stats);
    /* It does all that can be interrupted. */
    TORTURE_CHECK(scene.workload->sync == LOG_SYNC_NONE || scene.world.checkpoint_count > 0);
    TORTURE_CHECK(stats.first_pos > 0 || stats.segment_count > 1);
    world_deinit(&scene.world);
    jdisk_watch(scene.disk, NULL, NULL);
    jdisk_close(scene.disk);
}

/* ---- the program ----------------------------------------------------------------------------- */

static uint64_t total(unsigned workload, enum counter counter)
{
    return torture_total(workload * COUNTERS + counter);
}

static void print_totals(void)
{
    uint64_t states = 0;
    for (unsigned w = 0; w < WORKLOADS; w++) {
        const unsigned long long points = total(w, COUNT_POINTS);
        if (points == 0) {
            continue;
        }
        states += total(w, COUNT_STATES);
        (void)printf("crash %s: %llu points, %llu cases, %llu distinct states (%llu torn), ",
                     workloads[w].name, points, (unsigned long long)total(w, COUNT_CASES),
                     (unsigned long long)total(w, COUNT_STATES),
                     (unsigned long long)total(w, COUNT_TAILS));
        for (unsigned d = 1; d <= DEPTH_MAX && workloads[w].depth > 0; d++) {
            (void)printf("%llu after %u crashes of recovery, ",
                         (unsigned long long)total(w, COUNT_DEPTH + d), d);
        }
        (void)printf("0 violations\n");
    }
    (void)printf("crash: %llu distinct states recovered, %.1f s\n", (unsigned long long)states,
                 torture_seconds());
}

/* WORKLOAD:POINT:CHOICE[/K:CHOICE]... */
static bool parse_only(const char *text)
{
    const char *colon = strchr(text, ':');
    for (unsigned w = 0; colon != NULL && w < WORKLOADS; w++) {
        const size_t size = (size_t)(colon - text);
        if (strlen(workloads[w].name) == size && strncmp(workloads[w].name, text, size) == 0) {
            run.workload = w;
            run.only = true;
        }
    }
    for (unsigned depth = 0; run.only && colon != NULL && depth <= DEPTH_MAX; depth++) {
        char *end = NULL;
        run.only_depth = depth;
        run.only_path[depth].point = strtoull(colon + 1, &end, 10);
        if (*end != ':') {
            return false;
        }
        run.only_path[depth].choice = strtoull(end + 1, &end, 10);
        colon = *end == '/' ? end : NULL;
    }
    return run.only;
}

static void run_only(unsigned job)
{
    (void)job;
    job_run(run.workload);
}

int main(int argc, char **argv)
{
    unsigned processes = 2;
    torture_init("crash");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--all") == 0) {
            run.all = true;
        } else if (i + 1 < argc && strcmp(argv[i], "--processes") == 0) {
            processes = (unsigned)torture_number(argv[++i]);
        } else if (i + 1 >= argc || strcmp(argv[i], "--only") != 0 || !parse_only(argv[++i])) {
            (void)fprintf(stderr, "usage: crash [--processes N] [--all] [--only CASE]\n");
            return 2;
        }
    }
    const bool good = run.only ? torture_run(1, 1, run_only)
                               : torture_run(WORKLOADS * SLICES, processes, job_run);
    if (good) {
        print_totals();
    }
    return good ? 0 : 1;
}
