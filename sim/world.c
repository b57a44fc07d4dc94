#include "sim/world.h"

#include "log/file_log.h"
#include "server/config.h"
#include "sim/client.h"
#include "sim/copies.h"
#include "sim/disk.h"
#include "sim/faults.h"
#include "sim/havoc.h"
#include "sim/heap.h"
#include "sim/model.h"
#include "sim/net.h"
#include "sim/node.h"
#include "sim/plan.h"
#include "sim/rot.h"
#include "sim/trace.h"

#include <stdio.h>

/* Without faults everything must be as it should be after so long. */
#define CONVERGE_US    300000000u
#define CONVERGE_STEPS 3000000u
/* A server whose log does not come back is started anew by whoever looks after it. */
#define OPERATOR_US 8000000u

static struct {
    struct plan plan;
    struct world_result result;
    uint64_t boot_us;    /* when it is started again */
    uint64_t healthy_us; /* when it was last seen so */
    uint64_t again_us;   /* when it is stopped, since it was started to repair; 0: it is not */
} world;

/* ---- the server's life ------------------------------------------------------------------------
 */

void world_crash(enum sim_loss loss)
{
    ASSERT(node_state() != NODE_DOWN);
    node_crash(loss);
    world.boot_us = sim_now_us + sim_below(2000000);
}

static void boot(bool faults)
{
    if (node_state() != NODE_DOWN || sim_now_us < world.boot_us) {
        return;
    }
    if (faults && fault_happens(FAULT_SETTINGS)) {
        plan_settings_change(&world.plan);
        model_plan(&world.plan);
        plan_trace(&world.plan);
    }
    if (faults && fault_happens(FAULT_DIE_RECOVERING)) {
        sim_disk_die_at(disk_inner(), sim_between(1, 30));
    }
    if (faults && fault_happens(FAULT_NO_MEMORY_RECOVERING)) {
        heap_fail_at(sim_between(1, 400));
    }
    world.boot_us = sim_now_us + sim_below(1000000);
    if (rot_world() && sim_chance(20)) {
        node_repair();
    }
    if (node_boot(&world.plan, faults)) {
        world.healthy_us = sim_now_us;
        world.again_us = faults && node_config()->repair && sim_chance(70)
                             ? sim_now_us + 1 + sim_below(1000000)
                             : 0;
    }
}

/* Starts the server anew where it stands still: after a failed sync nothing else helps. And where
 * it has been started to repair. */
static void operate(void)
{
    if (world.again_us != 0 && sim_now_us > world.again_us && node_state() == NODE_OPEN) {
        trace("the operator starts without --repair again");
        world.again_us = 0;
        node_stop();
    }
    if (node_healthy() || node_state() == NODE_DOWN) {
        world.healthy_us = sim_now_us;
    } else if (sim_now_us > world.healthy_us + OPERATOR_US) {
        world.healthy_us = sim_now_us;
        if (node_state() == NODE_OPEN && sim_chance(50)) {
            node_stop();
        } else if (node_state() == NODE_OPEN || node_state() == NODE_STARTING) {
            trace("the operator kills a server that stands still");
            world_crash(SIM_LOSE_NOTHING);
        }
    }
}

/* ---- one step -------------------------------------------------------------------------------- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Nobody can do anything now: time passes until somebody can. */
static void sleep(void)
{
    uint64_t next = least(least(node_next_us(), net_next_us()), clients_next_us());
    if (node_state() == NODE_DOWN) {
        next = least(next, world.boot_us);
    }
    next = least(next, havoc_next_us());
    sim_now_us = next == UINT64_MAX || next <= sim_now_us ? sim_now_us + 1000 : next;
}

static bool move_bytes(void)
{
    const unsigned count = net_count();
    const unsigned turn = count > 0 ? (unsigned)sim_below(count) : 0;
    for (unsigned i = 0; i < count; i++) {
        if (net_ready((i + turn) % count)) {
            net_move((i + turn) % count);
            return true;
        }
    }
    return false;
}

/* Server, bytes or client, by chance among those that can. */
static void step(void)
{
    world.result.steps++;
    sim_now_us += sim_below(world.plan.step_us);
    const bool server = node_ready();
    const bool client = clients_ready();
    const unsigned choice = (unsigned)sim_below(10);
    if (server && choice < 5) {
        node_step();
    } else if (client && choice < 7) {
        clients_step();
    } else if (!move_bytes()) {
        if (server) {
            node_step();
        } else if (client) {
            clients_step();
        } else {
            sleep();
        }
    }
}

/* ---- a run ----------------------------------------------------------------------------------- */

static void run_with_faults(void)
{
    while (world.result.steps < world.plan.steps) {
        boot(true);
        step();
        havoc_step();
        operate();
    }
}

/* In the end the operator repairs what there is to repair: then what is left of messages can be
 * read, but for what was lost with the log's own bytes. */
static void repair_all(void)
{
    if (node_state() != NODE_DOWN) {
        world_crash(SIM_LOSE_NOTHING);
    }
    node_repair();
    while (!node_boot(&world.plan, false)) {
        node_repair();
    }
    /* What retention has removed with a segment whose index was damaged it could not trim. */
    if (world.plan.retention_bytes == 0 && world.plan.retention_age_ms == 0 &&
        fault_counts()[FAULT_SETTINGS] == 0) {
        rot_side_forget();
    }
}

static void calm(void)
{
    trace("calm: no more faults");
    world.again_us = 0;
    world.plan.step_us = least(world.plan.step_us, 500);
    faults_end();
    havoc_end();
    disk_calm();
    net_calm();
    node_calm();
    clients_calm_down();
    if (rot_world()) {
        repair_all();
    }
    world.boot_us = sim_now_us;
}

static void run_calm(void)
{
    const uint64_t end_us = sim_now_us + CONVERGE_US;
    const uint64_t end_steps = world.result.steps + CONVERGE_STEPS;
    const uint64_t audit_us = sim_now_us + 100000;
    unsigned number = 0;
    while (!node_healthy() || !clients_settled(&number) || sim_now_us < audit_us) {
        if (sim_now_us > end_us || world.result.steps > end_steps) {
            trace_fail("I12 liveness", "client %u is not done, the server is %s", number,
                       node_healthy() ? "well" : "not well");
        }
        boot(false);
        step();
        operate();
    }
}

static void stop(void)
{
    node_stop();
    const uint64_t end_us = sim_now_us + 60000000;
    while (node_state() != NODE_DOWN) {
        if (sim_now_us > end_us) {
            trace_fail("P27 graceful stop", "the server does not stop");
        }
        step();
    }
    if (!node_drained()) {
        trace_fail("P27 graceful stop", "publishes stayed in flight when the server drained");
    }
}

/* Everybody goes away: the server must come to rest, and hold nothing for anybody. */
static bool leave(void)
{
    const uint64_t upkeep_us = sim_now_us + 3000000;
    const uint64_t end_us = sim_now_us + CONVERGE_US;
    clients_end();
    while (!node_quiet() || (sim_now_us < upkeep_us && !node_upkeep_done())) {
        if (sim_now_us > end_us) {
            trace_fail("I12 liveness", "a server that nobody asks anything does not come to rest");
        }
        step();
        operate();
    }
    const char *left = node_left_over();
    if (left != NULL && fault_count_of(FAULT_MEMORY_FIRST, FAULT_MEMORY_LAST) == 0) {
        trace_fail("I11 bounded", "when everybody has gone there is %s", left);
    }
    return node_upkeep_done();
}

static void on_damage(void *ctx, const struct log_damage *damage)
{
    (void)ctx;
    if (damage->torn_tail || rot_left_behind(damage->file)) {
        return; /* of a partition that had failed, and was not started anew */
    }
    trace_fail("P18 damage", "%s at %llu: %s, and no bit was rotten", damage->file,
               (unsigned long long)damage->at, damage->what);
}

static void on_record(void *ctx, const struct record *record, struct log_place place)
{
    (void)place;
    if (*(bool *)ctx) {
        model_kept(record);
    }
}

/* Whether retention can have left nothing half done: what was trimmed and not removed stays, where
 * a removal fails, the server ends in between, its settings change or a clock goes back. */
static bool retention_is_whole(void)
{
    bool whole = node_crashes() == 0 && world.plan.retention_age_ms == 0 &&
                 fault_counts()[FAULT_STOP] == 0 && fault_counts()[FAULT_SETTINGS] == 0;
    return whole && fault_count_of(FAULT_DISK_FIRST, FAULT_DISK_LAST) == 0 && !rot_world();
}

/* `rested`: the server had nothing left to do when it was stopped. */
static void verify(bool rested)
{
    bool whole = rested && retention_is_whole();
    const struct storage storage = disk_storage_sim();
    for (unsigned i = 0; world.plan.durability != DURABILITY_MEMORY && i < world.plan.partitions;
         i++) {
        char folder[16];
        (void)snprintf(folder, sizeof(folder), "p%03u", i);
        struct log_verify_result result;
        const enum rc rc = file_log_verify(&storage, folder, on_damage, on_record, &whole, &result);
        if (rc != RC_OK) {
            trace_fail("P18 damage", "verify of %s: %s", folder, rc_text(rc));
        }
    }
}

/* What was repaired stays so, once the upkeep behind it is done. */
static void start_again(void)
{
    if (!node_boot(&world.plan, false)) {
        trace_fail("P18 damage", "a start is refused, and nothing is damaged since the repair");
    }
    world_crash(SIM_LOSE_NOTHING);
}

void world_run(uint64_t seed, bool verbose, struct world_result *ret_result)
{
    world.result = (struct world_result){0};
    world.boot_us = 0;
    world.healthy_us = 0;
    world.again_us = 0;
    trace_begin(seed, verbose);
    plan_draw(&world.plan, seed);
    plan_trace(&world.plan);
    heap_fail_at(0);
    net_reset();
    node_begin();
    faults_begin(&world.plan.faults);
    havoc_begin();
    rot_begin(&world.plan);
    disk_begin(seed, world.plan.disk_slow_us);
    model_begin(&world.plan);
    copies_begin();
    clients_begin(&world.plan);
    run_with_faults();
    calm();
    run_calm();
    model_dense();
    const bool rests = sim_chance(50) && leave();
    stop();
    verify(rests);
    if (rests && rot_world()) {
        start_again();
    }
    clients_end();
    world.result.messages = model_message_count();
    model_end();
    copies_end();
    rot_end();
    world.result.faults = fault_total();
    world.result.crashes = node_crashes();
    bytes_copy(world.result.kinds, fault_counts(), sizeof(world.result.kinds));
    disk_end();
    net_reset();
    world.result.hash = trace_hash();
    if (heap_blocks(HEAP_WORLD) != 0) {
        trace_fail("simulator", "%llu blocks of its own are left",
                   (unsigned long long)heap_blocks(HEAP_WORLD));
    }
    *ret_result = world.result;
}
