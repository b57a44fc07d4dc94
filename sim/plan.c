#include "sim/plan.h"

#include "sim/trace.h"

static uint64_t one_of(const uint64_t *values, unsigned count)
{
    return values[sim_below(count)];
}

#define ONE_OF(...)                                                                                \
    one_of((const uint64_t[]){__VA_ARGS__}, sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void draw_settings(struct plan *plan)
{
    plan->threads = (unsigned)sim_between(1, 3);
    plan->feed_bytes = ONE_OF(1024, 1024, 2048, 4096, 65536);
    plan->retention_messages = sim_chance(65) ? sim_between(5, 50) : 0;
    plan->retention_bytes = sim_chance(35) ? ONE_OF(16384, 32768, 65536) : 0;
    plan->inflight = ONE_OF(1, 4, 64, 4096);
}

static void draw_clients(struct plan *plan)
{
    plan->channels = (unsigned)sim_between(1, PLAN_CHANNELS_MAX);
    plan->publishers = (unsigned)sim_between(1, 3);
    plan->subscribers = (unsigned)sim_between(1, 5);
    plan->readers = (unsigned)sim_below(3);
    plan->web_publishers = (unsigned)sim_below(2);
    plan->hostiles = (unsigned)sim_below(3);
    plan->messages_max = (unsigned)ONE_OF(30, 100, 300);
    plan->pad_max = (unsigned)ONE_OF(0, 50, 300, 1200, 6000);
    plan->batch_max = (unsigned)ONE_OF(1, 1, 3, 10);
    plan->think_us = ONE_OF(1000, 20000, 200000, 2000000);
    plan->epochs_bump = sim_chance(20);
    plan->latency_us = ONE_OF(0, 1000, 50000);
    plan->slow_readers = sim_chance(60);
    plan->tiny_buffers = sim_chance(60);
}

/* Off in most seeds, so that the combinations differ (swarm testing). */
static unsigned rate(unsigned percent, unsigned most)
{
    return sim_chance(percent) ? (unsigned)sim_between(1, most) : 0;
}

static void draw_faults(struct plan *plan)
{
    plan->crash = rate(45, 60);
    plan->crash_writing = rate(40, 60);
    plan->crash_recovery = rate(30, 60);
    plan->stop = rate(25, 40);
    plan->settings_change = rate(50, 100);
    plan->out_of_memory = rate(10, 20);
    plan->disk_read = rate(15, 200);
    plan->disk_open = rate(10, 500);
    plan->disk_write = rate(20, 2000);
    plan->disk_sync = rate(20, 1500);
    plan->disk_other = rate(15, 2000);
    plan->disk_full = rate(20, 150);
    plan->disk_slow_us = sim_chance(30) ? ONE_OF(1000, 20000, 500000) : 0;
    plan->cut = rate(60, 400);
    plan->cut_later = rate(40, 60);
    plan->half_open = rate(25, 100);
    plan->window = rate(50, 600);
    plan->accept = rate(15, 30);
    plan->pause_reactor = rate(30, 200);
    plan->pause_worker = rate(30, 200);
    plan->wall_jump = rate(25, 100);
    plan->time_jump = rate(20, 50);
}

/* Where such systems break: slow cursors, retention, reconnects, the hand-over to the live tail. */
static void draw_focus(struct plan *plan)
{
    plan->feed_bytes = 1024;
    plan->retention_messages = sim_between(3, 20);
    plan->subscribers = 4;
    plan->slow_readers = true;
    plan->tiny_buffers = true;
    plan->window = (unsigned)sim_between(100, 1500);
    plan->cut = (unsigned)sim_between(50, 500);
}

void plan_draw(struct plan *ret_plan, uint64_t seed)
{
    struct plan plan = {.seed = seed};
    plan.steps = ONE_OF(3000, 6000, 6000, 15000);
    plan.step_us = ONE_OF(200, 2000, 2000, 10000);
    plan.partitions = (unsigned)sim_between(1, 3);
    plan.segment_bytes = ONE_OF(4096, 4096, 4096, 16384);
    draw_settings(&plan);
    draw_clients(&plan);
    if (sim_chance(90)) {
        draw_faults(&plan);
    }
    if (sim_chance(50)) {
        draw_focus(&plan);
    }
    *ret_plan = plan;
}

void plan_settings_change(struct plan *plan)
{
    draw_settings(plan);
}

void plan_trace(const struct plan *plan)
{
    trace("plan: %u partitions, %u threads, segment %llu, feed %llu, keep %llu messages %llu bytes",
          plan->partitions, plan->threads, (unsigned long long)plan->segment_bytes,
          (unsigned long long)plan->feed_bytes, (unsigned long long)plan->retention_messages,
          (unsigned long long)plan->retention_bytes);
    trace("plan: %u channels, %u publishers, %u subscribers, %u readers, %u web, %u hostile",
          plan->channels, plan->publishers, plan->subscribers, plan->readers, plan->web_publishers,
          plan->hostiles);
}
