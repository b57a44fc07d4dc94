#include "sim/havoc.h"

#include "sim/disk.h"
#include "sim/faults.h"
#include "sim/heap.h"
#include "sim/net.h"
#include "sim/node.h"
#include "sim/rot.h"
#include "sim/trace.h"
#include "sim/world.h"

static struct {
    uint64_t full_until_us;
    uint64_t errors_until_us;
    uint64_t parted_until_us;
    uint64_t swizzle_until_us;
    uint64_t clear_from_us; /* of a swizzle: from then on links clear */
    uint64_t stopped_until_us;
    int64_t stopped_at_ms; /* of the wall clock */
    uint64_t drift_until_us;
    int64_t drift_percent;
    uint64_t seen_us;
} havoc;

void havoc_begin(void)
{
    havoc.full_until_us = 0;
    havoc.errors_until_us = 0;
    havoc.parted_until_us = 0;
    havoc.swizzle_until_us = 0;
    havoc.stopped_until_us = 0;
    havoc.drift_until_us = 0;
    havoc.seen_us = sim_now_us;
}

bool havoc_disk_is_full(void)
{
    return havoc.full_until_us != 0;
}

/* ---- the network ----------------------------------------------------------------------------- */

static void all_clear(void)
{
    for (unsigned i = 0; i < net_count(); i++) {
        net_window(net_at(i), true);
        net_block(net_at(i), false);
    }
}

/* Who is on the other side is drawn; who connects meanwhile is not. */
static void part(bool up, bool down)
{
    const unsigned share = (unsigned)sim_between(20, 100);
    for (unsigned i = 0; i < net_count(); i++) {
        if (sim_chance(share)) {
            net_block(net_at(i), up);
            net_window(net_at(i), !down);
        }
    }
    havoc.parted_until_us = sim_now_us + sim_below(20000000);
}

static void partitions(void)
{
    if (havoc.parted_until_us != 0) {
        if (sim_now_us > havoc.parted_until_us) {
            trace("the network is whole again");
            havoc.parted_until_us = 0;
            all_clear();
        }
        return;
    }
    if (fault_happens(FAULT_PARTITION_ALL)) {
        part(true, true);
    } else if (fault_happens(FAULT_PARTITION_UP)) {
        part(true, false);
    } else if (fault_happens(FAULT_PARTITION_DOWN)) {
        part(false, true);
    }
}

/* Links clog one by one, then clear one by one, in an order of their own. */
static void swizzle(void)
{
    if (havoc.swizzle_until_us == 0) {
        if (fault_happens(FAULT_SWIZZLE)) {
            havoc.clear_from_us = sim_now_us + sim_below(3000000);
            havoc.swizzle_until_us = havoc.clear_from_us + sim_below(3000000);
        }
    } else if (sim_now_us > havoc.swizzle_until_us) {
        trace("no link is clogged any more");
        havoc.swizzle_until_us = 0;
        all_clear();
    } else if (net_count() > 0 && sim_chance(5)) {
        struct net_conn *conn = net_at((unsigned)sim_below(net_count()));
        const bool clog = sim_now_us < havoc.clear_from_us;
        net_block(conn, clog);
        net_window(conn, !clog);
    }
}

static void connections(void)
{
    if (net_count() == 0) {
        return;
    }
    struct net_conn *conn = net_at((unsigned)sim_below(net_count()));
    if (fault_happens(FAULT_CUT)) {
        net_cut(conn);
    }
    if (fault_happens(FAULT_HALF_OPEN)) {
        net_half_open(conn);
    }
    if (fault_happens(FAULT_WINDOW_SHUT)) {
        net_window(conn, false);
    } else if (fault_enabled(FAULT_WINDOW_SHUT) && sim_chance(2)) {
        net_window(conn, true);
    }
}

/* ---- clocks ---------------------------------------------------------------------------------- */

static int64_t wall_ms(void)
{
    return (int64_t)sim_wall_ms();
}

static void clocks_last(void)
{
    if (havoc.stopped_until_us != 0) {
        sim_wall_skew_ms += havoc.stopped_at_ms - wall_ms();
        if (sim_now_us > havoc.stopped_until_us) {
            havoc.stopped_until_us = 0;
        }
    }
    if (havoc.drift_until_us != 0) {
        const int64_t passed_ms = (int64_t)(sim_now_us - havoc.seen_us) / 1000;
        sim_wall_skew_ms += passed_ms * havoc.drift_percent / 100;
        if (sim_now_us > havoc.drift_until_us) {
            havoc.drift_until_us = 0;
        }
    }
    havoc.seen_us = sim_now_us;
}

static void clocks(void)
{
    clocks_last();
    if (fault_happens(FAULT_WALL_FORWARD)) {
        sim_wall_skew_ms += (int64_t)sim_below(3600000);
    }
    if (fault_happens(FAULT_WALL_BACK)) {
        sim_wall_skew_ms -= (int64_t)sim_below(3600000);
    }
    if (fault_happens(FAULT_LEAP_SECOND)) {
        sim_wall_skew_ms -= 1000;
    }
    if (havoc.stopped_until_us == 0 && fault_happens(FAULT_WALL_STOPS)) {
        havoc.stopped_until_us = sim_now_us + sim_below(10000000);
        havoc.stopped_at_ms = wall_ms();
    }
    if (havoc.drift_until_us == 0 && fault_happens(FAULT_WALL_DRIFTS)) {
        havoc.drift_until_us = sim_now_us + sim_below(60000000);
        havoc.drift_percent = (int64_t)sim_below(190) - 95;
    }
}

/* ---- the machine ----------------------------------------------------------------------------- */

static void pauses(void)
{
    if (fault_happens(FAULT_PAUSE_ALL)) {
        sim_now_us += sim_below(20000000);
    }
    if (fault_happens(FAULT_PAUSE_REACTOR)) {
        node_pause_reactor(sim_below(3000000));
    }
    if (fault_happens(FAULT_PAUSE_WORKER)) {
        node_pause_worker(sim_below(10000000));
    }
}

static void disk_space(void)
{
    if (!havoc_disk_is_full() && fault_happens(FAULT_DISK_FULL)) {
        sim_disk_budget(disk_inner(),
                        sim_disk_used(disk_inner()) + sim_below(sim_below(4) == 0 ? 200000 : 3000));
        havoc.full_until_us = sim_now_us + sim_below(20000000);
    }
    if (havoc_disk_is_full() && sim_now_us > havoc.full_until_us) {
        trace("the disk has room again");
        havoc.full_until_us = 0;
        sim_disk_budget(disk_inner(), UINT64_MAX);
    }
}

static void bad_disk(void)
{
    if (havoc.errors_until_us == 0 && fault_happens(FAULT_DISK_ERRORS)) {
        disk_errors(true);
        havoc.errors_until_us = sim_now_us + sim_below(8000000);
    } else if (havoc.errors_until_us != 0 && sim_now_us > havoc.errors_until_us) {
        trace("the disk has no more errors");
        disk_errors(false);
        havoc.errors_until_us = 0;
    }
}

static void machine(void)
{
    if (node_state() == NODE_DOWN) {
        return;
    }
    if (fault_happens(FAULT_KILL)) {
        world_crash(SIM_LOSE_LATER);
    } else if (fault_happens(FAULT_POWER_CUT)) {
        world_crash(SIM_LOSE_EVERYTHING);
    } else if (fault_happens(FAULT_POWER_TEAR)) {
        world_crash(SIM_LOSE_SOME);
    } else if (fault_happens(FAULT_DIE_WRITING)) {
        sim_disk_die_at(disk_inner(), sim_between(1, 20));
    } else if (node_state() == NODE_OPEN && fault_happens(FAULT_STOP)) {
        node_stop();
    } else if (fault_happens(FAULT_NO_MEMORY)) {
        heap_fail_at(sim_between(1, 50));
    }
    if (node_state() > NODE_OPEN && fault_enabled(FAULT_DIE_STOPPING) && sim_chance(5) &&
        fault_happens(FAULT_DIE_STOPPING)) {
        world_crash(SIM_LOSE_SOME);
    }
}

/* ---- all of it ------------------------------------------------------------------------------- */

void havoc_step(void)
{
    partitions();
    swizzle();
    connections();
    clocks();
    pauses();
    disk_space();
    bad_disk();
    rot_step();
    machine();
}

void havoc_end(void)
{
    havoc_begin();
    all_clear();
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return b != 0 && b < a ? b : a;
}

uint64_t havoc_next_us(void)
{
    uint64_t next = least(UINT64_MAX, havoc.full_until_us);
    next = least(next, havoc.errors_until_us);
    next = least(next, havoc.parted_until_us);
    return least(next, havoc.swizzle_until_us);
}
